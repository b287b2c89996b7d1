package interop;

import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.net.ssl.KeyManager;
import javax.net.ssl.TrustManagerFactory;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.CallbackHandler;
import javax.xml.namespace.QName;
import org.apache.cxf.bus.extension.ExtensionManagerBus;
import org.apache.cxf.configuration.jsse.TLSClientParameters;
import org.apache.cxf.endpoint.Endpoint;
import org.apache.cxf.helpers.DOMUtils;
import org.apache.cxf.transport.http.HTTPConduitConfigurer;
import org.apache.cxf.ws.rm.RMConfiguration;
import org.apache.cxf.ws.rm.RMManager;
import org.apache.cxf.ws.security.SecurityConstants;
import org.apache.cxf.ws.security.tokenstore.SecurityToken;
import org.apache.cxf.ws.security.tokenstore.TokenStore;
import org.apache.wss4j.common.crypto.Merlin;
import org.apache.wss4j.common.ext.WSPasswordCallback;
import org.w3c.dom.Element;

/** What a service and a client have in common: the bus, the security properties, the token store. */
abstract class CxfSide implements AutoCloseable {
  static final QName SERVICE = new QName(CxfWsdl.NAMESPACE, "EchoService");
  static final QName PORT = new QName(CxfWsdl.NAMESPACE, "EchoPort");

  final Scenario scenario;
  final ExtensionManagerBus bus = new ExtensionManagerBus();
  final RMManager reliability;
  private Path wsdl;

  CxfSide(Scenario scenario) {
    this.scenario = scenario;
    bus.initialize();
    reliability = bus.getExtension(RMManager.class);
    RMConfiguration configuration = reliability.getConfiguration();
    configuration.setRMNamespace(CxfWsdl.rmNamespace(scenario));
    configuration.setRM10AddressingNamespace(CxfWsdl.addressingNamespace(scenario));
    configuration.setBaseRetransmissionInterval((long) scenario.retransmitMs());
    // What is closed says nothing: it is end() that ends a sequence.
    reliability.getSourcePolicy().getSequenceTerminationPolicy().setTerminateOnShutdown(false);
  }

  abstract Endpoint endpoint();

  /** For every connection of this bus, those of the token service's client too. */
  void trust(KeyManager[] identity) throws Exception {
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(Keys.store(null, null, "authority", scenario.authority()));
    TLSClientParameters tls = new TLSClientParameters();
    tls.setKeyManagers(identity);
    tls.setTrustManagers(trust.getTrustManagers());
    bus.setExtension((name, address, conduit) -> conduit.setTlsClientParameters(tls), HTTPConduitConfigurer.class);
  }

  /** A URL of 127.0.0.1 where this side listens, with TLS where the scenario wants it. */
  String listen(String path, Scenario.Identity identity, boolean clientCertificate) throws Exception {
    CxfServer server = new CxfServer(bus);
    if (!scenario.tls()) return server.listen(path);
    return server.listenTls(path, Keys.store("own", identity), Keys.store(null, null, "authority", scenario.authority()), clientCertificate);
  }

  String wsdl(String address) throws Exception {
    wsdl = Files.createTempFile("echo", ".wsdl");
    Files.writeString(wsdl, CxfWsdl.of(scenario, address));
    return wsdl.toUri().toString();
  }

  /** Under the names that serve the bootstrap (".sct") and the conversation. */
  Map<String, Object> security(KeyStore store, String alias, String encryptFor) throws Exception {
    Merlin crypto = new Merlin();
    crypto.setKeyStore(store);
    Map<String, Object> properties = new HashMap<>();
    for (String suffix : new String[] {"", ".sct"}) {
      properties.put(SecurityConstants.SIGNATURE_CRYPTO + suffix, crypto);
      properties.put(SecurityConstants.ENCRYPT_CRYPTO + suffix, crypto);
      properties.put(SecurityConstants.SIGNATURE_USERNAME + suffix, alias);
      properties.put(SecurityConstants.ENCRYPT_USERNAME + suffix, encryptFor);
      properties.put(SecurityConstants.CALLBACK_HANDLER + suffix, (CallbackHandler) this::password);
      properties.put(SecurityConstants.USERNAME + suffix, scenario.user());
    }
    if (scenario.lifetimeMs() != null) properties.put(SecurityConstants.SECURITY_TOKEN_LIFETIME, String.valueOf(scenario.lifetimeMs()));
    // The Basic Security Profile has no 192-bit algorithms.
    if (scenario.suite().startsWith("Basic192")) properties.put(SecurityConstants.IS_BSP_COMPLIANT, "false");
    if (scenario.suite().endsWith("Sha256") && Boolean.getBoolean("interop.cxf.sha256")) {
      properties.put(SecurityConstants.ASYMMETRIC_SIGNATURE_ALGORITHM, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256");
      properties.put(SecurityConstants.SYMMETRIC_SIGNATURE_ALGORITHM, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256");
    }
    return properties;
  }

  private void password(Callback[] callbacks) {
    for (Callback callback : callbacks) {
      if (!(callback instanceof WSPasswordCallback asked)) continue;
      if (asked.getUsage() == WSPasswordCallback.USERNAME_TOKEN) {
        if (scenario.user().equals(asked.getIdentifier())) asked.setPassword(scenario.password());
      } else {
        asked.setPassword(Keys.PASSWORD);
      }
    }
  }

  TokenStore tokens() {
    return (TokenStore) endpoint().getEndpointInfo().getProperty(TokenStore.class.getName());
  }

  public List<Peer.Secret> secrets() {
    List<Peer.Secret> secrets = new ArrayList<>();
    TokenStore tokens = tokens();
    if (tokens == null) return secrets;
    for (String identifier : tokens.getTokenIdentifiers()) {
      SecurityToken token = tokens.getToken(identifier);
      // Keys of a username bootstrap lie here too.
      if (token == null || token.getSecret() == null || !token.getToken().getLocalName().equals("SecurityContextToken")) continue;
      secrets.add(new Peer.Secret(identifier, instance(token), Base64.getEncoder().encodeToString(token.getSecret())));
    }
    return secrets;
  }

  private static String instance(SecurityToken token) {
    for (Element child = DOMUtils.getFirstElement(token.getToken()); child != null; child = DOMUtils.getNextElement(child)) {
      if (child.getLocalName().equals("Instance")) return child.getTextContent();
    }
    return null;
  }

  @Override
  public void close() throws Exception {
    bus.shutdown(true);
    if (wsdl != null) Files.deleteIfExists(wsdl);
  }
}
