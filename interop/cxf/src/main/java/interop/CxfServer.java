package interop;

import java.security.KeyStore;
import java.util.ArrayList;
import java.util.List;
import org.apache.cxf.Bus;
import org.apache.cxf.transport.http_jetty.JettyHTTPServerEngine;
import org.apache.cxf.transport.http_jetty.JettyHTTPServerEngineFactory;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.SecureRequestCustomizer;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.SslConnectionFactory;
import org.eclipse.jetty.util.ssl.SslContextFactory;
import org.eclipse.jetty.util.thread.QueuedThreadPool;

/**
 * The HTTP servers of one bus, each on a free port. The factory that it replaces keeps its servers in one map for the whole process and
 * wants to be told the port.
 */
final class CxfServer extends JettyHTTPServerEngineFactory {
  private final List<JettyHTTPServerEngine> engines = new ArrayList<>();

  CxfServer(Bus bus) {
    super(bus);
  }

  /** Listens on 127.0.0.1; the URL of {@code path} there. */
  String listen(String path) throws Exception {
    return listen(path, null, null, false);
  }

  String listenTls(String path, KeyStore identity, KeyStore trusted, boolean clientCertificate) throws Exception {
    return listen(path, identity, trusted, clientCertificate);
  }

  private String listen(String path, KeyStore identity, KeyStore trusted, boolean clientCertificate) throws Exception {
    QueuedThreadPool threads = new QueuedThreadPool(20, 1);
    threads.setDaemon(true);
    Server server = new Server(threads);
    ServerConnector connector;
    if (identity == null) {
      connector = new ServerConnector(server, 1, 1);
    } else {
      SslContextFactory.Server tls = new SslContextFactory.Server();
      tls.setKeyStore(identity);
      tls.setKeyStorePassword(Keys.PASSWORD);
      tls.setTrustStore(trusted);
      tls.setNeedClientAuth(clientCertificate);
      HttpConfiguration configuration = new HttpConfiguration();
      // What the policy checks (cipher, client certificate) comes from here; a host name is no matter of the service.
      configuration.addCustomizer(new SecureRequestCustomizer(false));
      connector = new ServerConnector(server, 1, 1, new SslConnectionFactory(tls, "http/1.1"), new HttpConnectionFactory(configuration));
    }
    connector.setHost("127.0.0.1");
    connector.open();
    connector.setPort(connector.getLocalPort());
    JettyHTTPServerEngine engine = new JettyHTTPServerEngine(null, "127.0.0.1", connector.getLocalPort()) {
      @Override
      public String getProtocol() {
        return identity == null ? "http" : "https";
      }
    };
    engine.setConnector(connector);
    synchronized (engines) {
      engines.add(engine);
    }
    return engine.getProtocol() + "://127.0.0.1:" + engine.getPort() + path;
  }

  @Override
  public JettyHTTPServerEngine retrieveJettyHTTPServerEngine(int port) {
    synchronized (engines) {
      for (JettyHTTPServerEngine engine : engines) if (engine.getPort() == port) return engine;
    }
    return null;
  }

  @Override
  public void postShutdown() {
    synchronized (engines) {
      for (JettyHTTPServerEngine engine : engines) {
        try {
          engine.getConnector().getServer().stop();
        } catch (Exception e) {
          e.printStackTrace();
        }
      }
      engines.clear();
    }
  }
}
