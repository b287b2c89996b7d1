package interop;

import com.sun.xml.ws.api.WSService;
import com.sun.xml.ws.api.security.CallbackHandlerFeature;
import com.sun.xml.ws.developer.JAXWSProperties;
import jakarta.xml.ws.BindingProvider;
import jakarta.xml.ws.Service;
import java.io.Closeable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** A client that knows the service by a WSDL of its own. */
final class MetroClient implements Peer.Client {
  private final Path folder = Metro.folder();
  private final boolean request;
  private final Asking port;
  private boolean ended;

  MetroClient(Scenario scenario, String url) throws Exception {
    request = scenario.request();
    Path wsdl = Files.writeString(folder.resolve("client.wsdl"), Wsdl.client(scenario, url));
    Keyring keyring = new Keyring(scenario, false);
    WSService.InitParams parameters = new WSService.InitParams();
    parameters.setContainer(Metro.CONTAINER);
    Service service = WSService.create(wsdl.toUri().toURL(), MetroService.SERVICE, parameters);
    CallbackHandlerFeature keys = new CallbackHandlerFeature(keyring.handler(folder));
    port = request ? service.getPort(MetroService.PORT, Asking.class, keys) : service.getPort(MetroService.PORT, Echo.class, keys);
    if (scenario.tls()) ((BindingProvider) port).getRequestContext().put(JAXWSProperties.SSL_SOCKET_FACTORY, keyring.tls().getSocketFactory());
  }

  @Override
  public String send(String text) {
    if (request) return port.echo(text);
    ((Echo) port).note(text);
    return null;
  }

  @Override
  public void end() throws Exception {
    if (ended) return;
    ended = true;
    ((Closeable) port).close();
  }

  @Override
  public List<Peer.Secret> secrets() {
    return Tokens.secrets(((BindingProvider) port).getBinding());
  }

  @Override
  public void close() throws Exception {
    try {
      end();
    } finally {
      Metro.delete(folder);
    }
  }
}
