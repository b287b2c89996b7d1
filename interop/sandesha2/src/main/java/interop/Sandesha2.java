package interop;

import java.security.Security;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import javax.xml.namespace.QName;
import org.apache.axiom.om.OMElement;
import org.apache.rahas.EncryptedKeyToken;
import org.apache.rahas.Token;
import org.apache.ws.security.WSSConfig;

/** Hosts Apache Axis2 with Sandesha2 and Rampart. */
public final class Sandesha2 implements Peer {
  static final String NAMESPACE = "urn:example:interop";

  public static void main(String[] arguments) throws Exception {
    // The stack signs with SHA-1 by default, which the JDK's XML signatures refuse otherwise.
    Security.setProperty("jdk.xml.dsig.secureValidationPolicy", "");
    // The provider that it would put in front of the JDK's own breaks the JDK's TLS.
    WSSConfig.setAddJceProviders(false);
    Host.run(Sandesha2::new);
  }

  @Override
  public String describe() {
    return "Apache Axis2 1.6.2, Sandesha2 1.6.2, Rampart and Rahas 1.6.2, WSS4J 1.6.4";
  }

  @Override
  public Service serve(Scenario scenario) throws Exception {
    check(scenario);
    boolean dangling = encryptFirst(scenario) && !scenario.derivedKeys() && "requests".equals(scenario.includeToken());
    unless(scenario.lifetimeMs() == null, "the service gives every token 300 s, and takes it afterwards too");
    unless(!dangling, "encrypt-before-sign without derived keys: answers refer to a token that they do not carry");
    return new EchoService(scenario);
  }

  @Override
  public Client open(Scenario scenario, String url) throws Exception {
    check(scenario);
    unless(!(scenario.transport() && scenario.derivedKeys()), "the client cannot sign with a key derived from an endorsing token");
    unless(!(encryptFirst(scenario) && scenario.bootstrap().startsWith("usernameForCertificate")),
        "encrypt-before-sign with a UsernameToken: the client writes two DerivedKeyTokens of one id");
    return new EchoClient(scenario, url);
  }

  /** What neither side can do. All of it was tried. */
  private static void check(Scenario scenario) throws Unsupported {
    unless(!scenario.suite().endsWith("GCM"), "no AES-GCM suites");
    boolean decrypts = !scenario.transport() || scenario.bootstrap().startsWith("usernameForCertificate");
    unless(!(scenario.suite().startsWith("Basic192") && decrypts), "AES-192 is not accepted (Basic Security Profile, cannot be switched off)");
    unless(!(scenario.transport() && scenario.addressable()), "under the transport profile nothing protects what goes to the client's listener");
    unless(!(encryptFirst(scenario) && scenario.encryptSignature()), "encrypt-before-sign with an encrypted signature: the wrong element is encrypted");
  }

  private static boolean encryptFirst(Scenario scenario) {
    return "encrypt-before-sign".equals(scenario.order()) && !scenario.transport();
  }

  private static void unless(boolean possible, String reason) throws Unsupported {
    if (!possible) throw new Unsupported(reason);
  }

  /** The conversation's tokens of one side. */
  static List<Secret> secrets(Engine engine) throws Exception {
    List<Secret> secrets = new ArrayList<>();
    for (String id : engine.tokens().getTokenIdentifiers()) {
      Token token = engine.tokens().getToken(id);
      if (token == null || token instanceof EncryptedKeyToken) continue;
      OMElement element = token.getToken();
      String identifier = element.getFirstChildWithName(new QName(element.getNamespace().getNamespaceURI(), "Identifier")).getText();
      secrets.add(new Secret(identifier, null, Base64.getEncoder().encodeToString(token.getSecret())));
    }
    return secrets;
  }
}
