package interop;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.security.KeyStore;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;
import org.apache.commons.httpclient.params.HttpConnectionParams;
import org.apache.commons.httpclient.protocol.Protocol;
import org.apache.commons.httpclient.protocol.ProtocolSocketFactory;
import org.apache.commons.httpclient.protocol.SecureProtocolSocketFactory;

/** TLS from a scenario's PEM, for both sides. The client's checks the host name, which the HTTP client of this stack does not. */
final class Tls {
  private Tls() {}

  static SSLContext context(Scenario scenario, Scenario.Identity own) throws Exception {
    KeyStore store = Keys.store("own", own, "authority", scenario.authority());
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(store, Keys.PASSWORD.toCharArray());
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(Keys.store(null, null, "authority", scenario.authority()));
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }

  /** What the stack's HTTP client opens its connections with. */
  static Protocol protocol(SSLContext context, int port) {
    return new Protocol("https", (ProtocolSocketFactory) new Sockets(context), port);
  }

  private record Sockets(SSLContext context) implements SecureProtocolSocketFactory {
    private Socket checked(Socket socket) {
      SSLParameters parameters = ((SSLSocket) socket).getSSLParameters();
      parameters.setEndpointIdentificationAlgorithm("HTTPS");
      ((SSLSocket) socket).setSSLParameters(parameters);
      return socket;
    }

    @Override
    public Socket createSocket(String host, int port) throws IOException {
      return checked(context.getSocketFactory().createSocket(host, port));
    }

    @Override
    public Socket createSocket(String host, int port, InetAddress local, int localPort) throws IOException {
      return checked(context.getSocketFactory().createSocket(host, port, local, localPort));
    }

    @Override
    public Socket createSocket(String host, int port, InetAddress local, int localPort, HttpConnectionParams parameters) throws IOException {
      Socket plain = new Socket();
      plain.connect(new InetSocketAddress(host, port), parameters == null ? 0 : parameters.getConnectionTimeout());
      return createSocket(plain, host, port, true);
    }

    @Override
    public Socket createSocket(Socket socket, String host, int port, boolean close) throws IOException {
      return checked(context.getSocketFactory().createSocket(socket, host, port, close));
    }
  }
}
