package interop;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsExchange;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLPeerUnverifiedException;
import org.apache.axis2.AxisFault;
import org.apache.axis2.Constants;
import org.apache.axis2.addressing.EndpointReference;
import org.apache.axis2.context.ConfigurationContext;
import org.apache.axis2.context.MessageContext;
import org.apache.axis2.context.SessionContext;
import org.apache.axis2.description.TransportInDescription;
import org.apache.axis2.transport.OutTransportInfo;
import org.apache.axis2.transport.TransportListener;
import org.apache.axis2.transport.http.HTTPConstants;
import org.apache.axis2.transport.http.HTTPWorker;
import org.apache.axis2.transport.http.server.AxisHttpRequest;
import org.apache.axis2.transport.http.server.AxisHttpResponse;
import org.apache.axis2.transport.http.server.AxisHttpService;
import org.apache.http.ProtocolVersion;
import org.apache.http.HttpVersion;
import org.apache.http.impl.DefaultConnectionReuseStrategy;
import org.apache.http.impl.DefaultHttpResponseFactory;
import org.apache.http.message.AbstractHttpMessage;
import org.apache.http.protocol.BasicHttpContext;
import org.apache.http.protocol.BasicHttpProcessor;
import org.apache.ws.security.WSConstants;
import org.apache.ws.security.WSDataRef;
import org.apache.ws.security.WSSecurityEngineResult;
import org.apache.ws.security.handler.WSHandlerConstants;
import org.apache.ws.security.handler.WSHandlerResult;

/**
 * Listens on a free port of 127.0.0.1, with TLS where the scenario says so, and hands requests to the stack's own HTTP service, which
 * decides on status codes and faults. The path's last segment names the service.
 */
final class Front implements TransportListener, AutoCloseable {
  private final HttpServer server;
  private final ExecutorService workers = Executors.newCachedThreadPool();
  private final boolean certificates;
  private volatile Engine engine;

  /** {@code tls}: null for plain HTTP; {@code certificates}: clients must present one. */
  Front(SSLContext tls, boolean certificates) throws IOException {
    this.certificates = certificates;
    InetSocketAddress address = new InetSocketAddress("127.0.0.1", 0);
    server = tls == null ? HttpServer.create(address, 0) : HttpsServer.create(address, 0);
    if (tls != null) {
      ((HttpsServer) server).setHttpsConfigurator(new HttpsConfigurator(tls) {
        @Override
        public void configure(HttpsParameters parameters) {
          SSLParameters chosen = tls.getDefaultSSLParameters();
          chosen.setNeedClientAuth(certificates);
          parameters.setSSLParameters(chosen);
        }
      });
    }
    server.setExecutor(workers);
    server.createContext("/", this::answer);
  }

  /** From now on requests go to this engine. */
  void serve(Engine next) throws AxisFault {
    TransportInDescription in = new TransportInDescription(scheme());
    in.setReceiver(this);
    next.configuration.addTransportIn(in);
    engine = next;
  }

  void open() {
    server.start();
  }

  String url(String service) {
    return scheme() + "://127.0.0.1:" + server.getAddress().getPort() + "/" + service;
  }

  @Override
  public void close() {
    server.stop(0);
    workers.shutdownNow();
  }

  private String scheme() {
    return server instanceof HttpsServer ? Constants.TRANSPORT_HTTPS : Constants.TRANSPORT_HTTP;
  }

  private void answer(HttpExchange exchange) throws IOException {
    Engine current = engine;
    Answer answer = new Answer();
    try {
      byte[] body = exchange.getRequestBody().readAllBytes();
      MessageContext message = current.context.createMessageContext();
      message.setIncomingTransportName(scheme());
      message.setProperty(MessageContext.TRANSPORT_ADDR, "127.0.0.1");
      message.setProperty(HTTPConstants.HTTP_METHOD, exchange.getRequestMethod());
      if (certificates) requester(message, ((HttpsExchange) exchange).getSSLSession().getPeerCertificates()[0]);
      String path = exchange.getRequestURI().getPath();
      message.setAxisService(current.configuration.getService(path.substring(path.lastIndexOf('/') + 1)));
      new Stack(current.context).run(new Question(exchange, body), answer, message);
    } catch (Exception e) {
      e.printStackTrace();
      answer.status = 500;
    }
    if (answer.type != null) exchange.getResponseHeaders().set("Content-Type", answer.type);
    exchange.sendResponseHeaders(answer.status, answer.body.size() == 0 ? -1 : answer.body.size());
    try (OutputStream out = exchange.getResponseBody()) {
      answer.body.writeTo(out);
    }
  }

  /** Rahas takes the requester from what WS-Security found; for a certificate of TLS it is put there. */
  private static void requester(MessageContext message, java.security.cert.Certificate certificate) throws SSLPeerUnverifiedException {
    X509Certificate one = (X509Certificate) certificate;
    message.setProperty(HTTPConstants.MC_HTTP_SERVLETREQUEST, java.lang.reflect.Proxy.newProxyInstance(Front.class.getClassLoader(),
        new Class<?>[] {javax.servlet.http.HttpServletRequest.class},
        (proxy, method, arguments) -> "getAttribute".equals(method.getName()) && "javax.servlet.request.X509Certificate".equals(arguments[0])
            ? new X509Certificate[] {one} : null));
    List<WSHandlerResult> results = new ArrayList<>();
    WSSecurityEngineResult result = new WSSecurityEngineResult(WSConstants.BST, List.<WSDataRef>of());
    result.put(WSSecurityEngineResult.TAG_X509_CERTIFICATES, new X509Certificate[] {one});
    results.add(new WSHandlerResult("", new ArrayList<>(List.of(result))));
    message.setProperty(WSHandlerConstants.RECV_RESULTS, results);
  }

  /** The stack's HTTP service without its own connections. */
  private static final class Stack extends AxisHttpService {
    Stack(ConfigurationContext context) {
      super(new BasicHttpProcessor(), new DefaultConnectionReuseStrategy(), new DefaultHttpResponseFactory(), context, new HTTPWorker());
    }

    void run(AxisHttpRequest question, AxisHttpResponse answer, MessageContext message) throws Exception {
      doService(question, answer, new BasicHttpContext(null), message);
    }
  }

  private static final class Question extends AbstractHttpMessage implements AxisHttpRequest {
    private final HttpExchange exchange;
    private final byte[] body;

    Question(HttpExchange exchange, byte[] body) {
      this.exchange = exchange;
      this.body = body;
      exchange.getRequestHeaders().forEach((name, values) -> values.forEach(value -> addHeader(name, value)));
    }

    @Override
    public String getMethod() {
      return exchange.getRequestMethod();
    }

    @Override
    public String getRequestURI() {
      return exchange.getRequestURI().getPath();
    }

    @Override
    public String getContentType() {
      return exchange.getRequestHeaders().getFirst("Content-Type");
    }

    @Override
    public InputStream getInputStream() {
      return new ByteArrayInputStream(body);
    }

    @Override
    public ProtocolVersion getProtocolVersion() {
      return HttpVersion.HTTP_1_1;
    }
  }

  private static final class Answer extends AbstractHttpMessage implements AxisHttpResponse, OutTransportInfo {
    private final ByteArrayOutputStream body = new ByteArrayOutputStream();
    private int status = 200;
    private String type;

    @Override
    public void setStatus(int code) {
      status = code;
    }

    @Override
    public void sendError(int code, String text) {
      status = code;
    }

    @Override
    public void sendError(int code) {
      status = code;
    }

    @Override
    public void setContentType(String value) {
      type = value;
    }

    @Override
    public OutputStream getOutputStream() {
      return body;
    }

    @Override
    public ProtocolVersion getProtocolVersion() {
      return HttpVersion.HTTP_1_1;
    }
  }

  @Override
  public EndpointReference getEPRForService(String service, String ip) {
    return new EndpointReference(url(service.indexOf('.') < 0 ? service : service.substring(0, service.indexOf('.'))));
  }

  @Override
  public EndpointReference[] getEPRsForService(String service, String ip) {
    return new EndpointReference[] {getEPRForService(service, ip)};
  }

  @Override
  public void init(ConfigurationContext context, TransportInDescription in) {}

  @Override
  public void start() {}

  @Override
  public void stop() {}

  @Override
  public SessionContext getSessionContext(MessageContext message) {
    return null;
  }

  @Override
  public void destroy() {}
}
