package interop;

import com.sun.net.httpserver.HttpContext;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import com.sun.xml.ws.api.WSBinding;
import com.sun.xml.ws.api.security.CallbackHandlerFeature;
import com.sun.xml.ws.api.server.InstanceResolver;
import com.sun.xml.ws.api.server.SDDocumentSource;
import com.sun.xml.ws.api.server.WSEndpoint;
import com.sun.xml.ws.runtime.dev.SessionManager;
import com.sun.xml.ws.transport.http.server.EndpointImpl;
import jakarta.xml.ws.Endpoint;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.xml.namespace.QName;

/** An echo service on the JDK's HTTP server. */
final class MetroService implements Peer.Service {
  static final QName SERVICE = new QName(Wsdl.NAMESPACE, "EchoService");
  static final QName PORT = new QName(Wsdl.NAMESPACE, "EchoPort");

  private final List<String> received = Collections.synchronizedList(new ArrayList<>());
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final Path folder = Metro.folder();
  private final HttpServer http;
  private final String url;
  private final WSEndpoint<?> contexts;
  private final Endpoint published;

  MetroService(Scenario scenario) throws Exception {
    Keyring keyring = new Keyring(scenario, true);
    InetSocketAddress address = new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0);
    http = scenario.tls() ? https(address, keyring.tls(), "certificateOverTls".equals(scenario.bootstrap())) : HttpServer.create(address, 0);
    http.setExecutor(threads);
    url = (scenario.tls() ? "https" : "http") + "://127.0.0.1:" + http.getAddress().getPort() + "/echo";
    Path wsdl = Files.writeString(folder.resolve("service.wsdl"), Wsdl.service(scenario, url));
    SDDocumentSource description = SDDocumentSource.create(wsdl.toUri().toURL());
    WSBinding binding = Metro.binding(scenario).createBinding(new CallbackHandlerFeature(keyring.handler(folder)));
    WSEndpoint<?> endpoint = scenario.request()
        ? endpoint(Asking.Recorder.class, new Asking.Recorder(received), binding, description)
        : endpoint(Echo.Recorder.class, new Echo.Recorder(received), binding, description);
    contexts = Secrets.behind(endpoint);
    HttpContext context = http.createContext("/echo");
    published = new EndpointImpl(endpoint, context);
    http.start();
  }

  private static <T> WSEndpoint<T> endpoint(Class<T> type, T application, WSBinding binding, SDDocumentSource description) {
    return WSEndpoint.create(type, true, InstanceResolver.createSingleton(application).createInvoker(), SERVICE, PORT, Metro.CONTAINER, binding, description, null, null, true);
  }

  private static HttpServer https(InetSocketAddress address, SSLContext tls, boolean certificate) throws Exception {
    HttpsServer https = HttpsServer.create(address, 0);
    https.setHttpsConfigurator(new HttpsConfigurator(tls) {
      @Override
      public void configure(HttpsParameters parameters) {
        SSLParameters ssl = tls.getDefaultSSLParameters();
        ssl.setNeedClientAuth(certificate);
        parameters.setSSLParameters(ssl);
      }
    });
    return https;
  }

  @Override
  public String url() {
    return url;
  }

  @Override
  public List<String> received() {
    synchronized (received) {
      return List.copyOf(received);
    }
  }

  @Override
  public void forget() throws Exception {
    Secrets.forget(contexts);
  }

  @Override
  public List<Peer.Secret> secrets() throws Exception {
    return Secrets.of(contexts);
  }

  @Override
  public void close() throws Exception {
    published.stop();
    http.stop(0);
    threads.shutdownNow();
    SessionManager.removeSessionManager(contexts);
    Metro.delete(folder);
  }
}
