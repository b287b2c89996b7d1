package interop;

import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.apache.neethi.Policy;
import org.apache.neethi.PolicyEngine;

/**
 * The WS-SecurityPolicy of a scenario, with Rampart's own assertion (keys, user) in it. WS-SecurityPolicy 1.1 goes with
 * WS-SecureConversation and WS-Trust 2005/02, 1.2 with 2005/12: Rampart takes all three versions from the policy's namespace.
 */
final class SecurityPolicy {
  private static final String RM_2005 = "http://schemas.xmlsoap.org/ws/2005/02/rm";
  private static final String RM_2007 = "http://docs.oasis-open.org/ws-rx/wsrm/200702";
  private static final String WSMC = "http://docs.oasis-open.org/ws-rx/wsmc/200702";

  private final Scenario scenario;
  private final boolean sp12;
  private final String sp;

  private SecurityPolicy(Scenario scenario) {
    this.scenario = scenario;
    this.sp12 = "200512".equals(scenario.sc());
    this.sp = sp12 ? "http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702" : "http://schemas.xmlsoap.org/ws/2005/07/securitypolicy";
  }

  static Policy client(Scenario scenario, Path store) {
    SecurityPolicy policy = new SecurityPolicy(scenario);
    return policy.parsed(policy.messages() + rampart(store, scenario.user(), "client", "service"));
  }

  static Policy service(Scenario scenario, Path store) {
    SecurityPolicy policy = new SecurityPolicy(scenario);
    return policy.parsed(policy.messages() + rampartOfService(store));
  }

  /** What the service asks of token requests alone, see {@link Bootstrap}. */
  static Policy bootstrapOfService(Scenario scenario, Path store) {
    SecurityPolicy policy = new SecurityPolicy(scenario);
    return policy.parsed(policy.bootstrap() + policy.trust() + rampartOfService(store));
  }

  /** The token service takes the user for the alias, and answers the certificate that signed. */
  private static String rampartOfService(Path store) {
    return rampart(store, "service", "service", "useReqSigCert");
  }

  private Policy parsed(String assertions) {
    String text = "<wsp:Policy xmlns:wsp=\"http://schemas.xmlsoap.org/ws/2004/09/policy\" xmlns:sp=\"" + sp + "\"><wsp:ExactlyOne><wsp:All>" + assertions
        + "</wsp:All></wsp:ExactlyOne></wsp:Policy>";
    return PolicyEngine.getPolicy(new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)));
  }

  private String messages() {
    return (scenario.transport() ? transportBinding() + endorsing(token()) : symmetricBinding(token()) + messageParts()) + wss11() + trust();
  }

  /** The SecureConversationToken, with how it is obtained. */
  private String token() {
    return "<sp:SecureConversationToken " + include(included()) + "><wsp:Policy>" + (scenario.derivedKeys() ? "<sp:RequireDerivedKeys/>" : "")
        + "<sp:BootstrapPolicy><wsp:Policy>" + bootstrap() + trust() + "</wsp:Policy></sp:BootstrapPolicy></wsp:Policy></sp:SecureConversationToken>";
  }

  private String bootstrap() {
    switch (scenario.bootstrap()) {
      case "x509":
        return "<sp:AsymmetricBinding><wsp:Policy><sp:InitiatorToken><wsp:Policy>" + x509("AlwaysToRecipient", "") + "</wsp:Policy></sp:InitiatorToken>"
            + "<sp:RecipientToken><wsp:Policy>" + x509("Never", "<sp:RequireIssuerSerialReference/>") + "</wsp:Policy></sp:RecipientToken>" + binding()
            + "</wsp:Policy></sp:AsymmetricBinding>" + (scenario.signatureConfirmation() ? wss11() : wss10()) + bootstrapParts();
      case "usernameForCertificate":
        return symmetricBinding(serviceCertificate()) + username() + wss11() + bootstrapParts();
      case "usernameForCertificateEndorsing":
        return symmetricBinding(serviceCertificate()) + username() + endorsing(x509("AlwaysToRecipient", "<sp:RequireThumbprintReference/>")) + wss11() + bootstrapParts();
      case "usernameOverTls":
        return transportBinding() + username();
      case "certificateOverTls":
        return transportBinding();
      default:
        throw new IllegalArgumentException(scenario.bootstrap());
    }
  }

  private String symmetricBinding(String token) {
    return "<sp:SymmetricBinding><wsp:Policy><sp:ProtectionToken><wsp:Policy>" + token + "</wsp:Policy></sp:ProtectionToken>" + binding()
        + "</wsp:Policy></sp:SymmetricBinding>";
  }

  private String transportBinding() {
    boolean certificate = "certificateOverTls".equals(scenario.bootstrap());
    String https = sp12
        ? "<sp:HttpsToken><wsp:Policy>" + (certificate ? "<sp:RequireClientCertificate/>" : "") + "</wsp:Policy></sp:HttpsToken>"
        : "<sp:HttpsToken RequireClientCertificate=\"" + certificate + "\"/>";
    return "<sp:TransportBinding><wsp:Policy><sp:TransportToken><wsp:Policy>" + https + "</wsp:Policy></sp:TransportToken>" + suite() + layout()
        + "<sp:IncludeTimestamp/></wsp:Policy></sp:TransportBinding>";
  }

  /** What the symmetric and the asymmetric binding share. */
  private String binding() {
    return suite() + layout() + "<sp:IncludeTimestamp/>" + ("encrypt-before-sign".equals(scenario.order()) ? "<sp:EncryptBeforeSigning/>" : "")
        + (scenario.encryptSignature() ? "<sp:EncryptSignature/>" : "") + "<sp:OnlySignEntireHeadersAndBody/>";
  }

  private String suite() {
    return "<sp:AlgorithmSuite><wsp:Policy><sp:" + scenario.suite() + "/></wsp:Policy></sp:AlgorithmSuite>";
  }

  private String layout() {
    return "<sp:Layout><wsp:Policy><sp:" + ("strict".equals(scenario.layout()) ? "Strict" : "Lax") + "/></wsp:Policy></sp:Layout>";
  }

  private String included() {
    return "always".equals(scenario.includeToken()) ? "Always" : "AlwaysToRecipient";
  }

  private String include(String when) {
    return "sp:IncludeToken=\"" + sp + "/IncludeToken/" + when + "\"";
  }

  private String x509(String when, String form) {
    return "<sp:X509Token " + include(when) + "><wsp:Policy>" + form + "<sp:WssX509V3Token10/></wsp:Policy></sp:X509Token>";
  }

  private String serviceCertificate() {
    return x509("Never", (scenario.derivedKeys() ? "<sp:RequireDerivedKeys/>" : "") + "<sp:RequireThumbprintReference/>");
  }

  private String username() {
    // Under a SymmetricBinding Rampart encrypts every UsernameToken; 1.1 has no assertion that would say so.
    String kind = sp12 && !scenario.bootstrap().endsWith("OverTls") ? "SignedEncryptedSupportingTokens" : "SignedSupportingTokens";
    return "<sp:" + kind + "><wsp:Policy><sp:UsernameToken " + include("AlwaysToRecipient") + "/></wsp:Policy></sp:" + kind + ">";
  }

  private String endorsing(String token) {
    return "<sp:EndorsingSupportingTokens><wsp:Policy>" + token + "</wsp:Policy></sp:EndorsingSupportingTokens>";
  }

  private String wss10() {
    return "<sp:Wss10><wsp:Policy><sp:MustSupportRefKeyIdentifier/><sp:MustSupportRefIssuerSerial/></wsp:Policy></sp:Wss10>";
  }

  private String wss11() {
    return "<sp:Wss11><wsp:Policy><sp:MustSupportRefKeyIdentifier/><sp:MustSupportRefIssuerSerial/><sp:MustSupportRefThumbprint/><sp:MustSupportRefEncryptedKey/>"
        + (scenario.signatureConfirmation() ? "<sp:RequireSignatureConfirmation/>" : "") + "</wsp:Policy></sp:Wss11>";
  }

  private String trust() {
    String name = sp12 ? "Trust13" : "Trust10";
    return "<sp:" + name + "><wsp:Policy><sp:MustSupportIssuedTokens/><sp:RequireClientEntropy/><sp:RequireServerEntropy/></wsp:Policy></sp:" + name + ">";
  }

  private String bootstrapParts() {
    return "<sp:SignedParts><sp:Body/>" + addressing() + "</sp:SignedParts><sp:EncryptedParts><sp:Body/></sp:EncryptedParts>";
  }

  private String messageParts() {
    StringBuilder rm = new StringBuilder();
    for (String namespace : new String[] {RM_2005, RM_2007}) {
      for (String name : new String[] {"Sequence", "SequenceAcknowledgement", "AckRequested"}) rm.append(header(name, namespace));
    }
    return "<sp:SignedParts><sp:Body/>" + addressing() + rm + header("UsesSequenceSTR", RM_2007) + header("MessagePending", WSMC) + "</sp:SignedParts><sp:EncryptedParts><sp:Body/></sp:EncryptedParts>";
  }

  private String addressing() {
    StringBuilder headers = new StringBuilder();
    String namespace = "200408".equals(scenario.addressing()) ? "http://schemas.xmlsoap.org/ws/2004/08/addressing" : "http://www.w3.org/2005/08/addressing";
    for (String name : new String[] {"To", "From", "ReplyTo", "FaultTo", "MessageID", "RelatesTo", "Action"}) headers.append(header(name, namespace));
    return headers.toString();
  }

  private static String header(String name, String namespace) {
    return "<sp:Header Name=\"" + name + "\" Namespace=\"" + namespace + "\"/>";
  }

  /** {@code own}, {@code other}: the aliases in the key store of this side's key and of the other side's certificate. */
  private static String rampart(Path store, String user, String own, String other) {
    String crypto = "<ramp:crypto provider=\"org.apache.ws.security.components.crypto.Merlin\">" + cryptoProperty("file", store.toString()) + cryptoProperty("keystore.type", "PKCS12")
        + cryptoProperty("keystore.password", Keys.PASSWORD) + "</ramp:crypto>";
    return "<ramp:RampartConfig xmlns:ramp=\"http://ws.apache.org/rampart/policy\"><ramp:user>" + user + "</ramp:user><ramp:userCertAlias>" + own
        + "</ramp:userCertAlias><ramp:encryptionUser>" + other + "</ramp:encryptionUser><ramp:timestampPrecisionInMilliseconds>true</ramp:timestampPrecisionInMilliseconds>"
        + "<ramp:signatureCrypto>" + crypto + "</ramp:signatureCrypto><ramp:encryptionCrypto>" + crypto + "</ramp:encryptionCrypto></ramp:RampartConfig>";
  }

  private static String cryptoProperty(String name, String value) {
    return "<ramp:property name=\"org.apache.ws.security.crypto.merlin." + name + "\">" + value + "</ramp:property>";
  }
}
