package interop;

/**
 * The WSDL of one scenario, with the policy and the settings that Metro reads from it: everything that a scenario chooses about
 * protocols is said here. Service and client get one each; they differ in the settings that are private to a side.
 */
final class Wsdl {
  static final String NAMESPACE = "urn:example:interop";
  private static final String WSMC = "http://docs.oasis-open.org/ws-rx/wsmc/200702";

  /** How long each of the three waits at the end of a client's sequence may last: two of them always do, since nothing more comes. */
  private static final int CLOSE_WAIT_MS = 300;

  private final Scenario scenario;
  private final boolean server;
  private final boolean sc13;
  private final boolean rm11;
  private final boolean wsa10;
  private final String sp;

  private Wsdl(Scenario scenario, boolean server) {
    this.scenario = scenario;
    this.server = server;
    sc13 = "200512".equals(scenario.sc());
    rm11 = "1.1".equals(scenario.rm());
    wsa10 = "200508".equals(scenario.addressing());
    sp = sc13 ? "http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702" : "http://schemas.xmlsoap.org/ws/2005/07/securitypolicy";
  }

  static String service(Scenario scenario, String url) {
    return new Wsdl(scenario, true).write(url);
  }

  static String client(Scenario scenario, String url) {
    return new Wsdl(scenario, false).write(url);
  }

  private String write(String url) {
    // Of an operation without an output beside the one in use, a service may take polls for it, and a client looks for its output after a renewal.
    boolean note = !scenario.request();
    String soap = "1.1".equals(scenario.soap()) ? "http://schemas.xmlsoap.org/wsdl/soap/" : "http://schemas.xmlsoap.org/wsdl/soap12/";
    return """
        <wsdl:definitions targetNamespace="urn:example:interop" xmlns:tns="urn:example:interop" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"
          xmlns:soap="%s" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy"
          xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd" xmlns:sp="%s"
          xmlns:wsam="http://www.w3.org/2007/05/addressing/metadata" xmlns:wsa04="http://schemas.xmlsoap.org/ws/2004/08/addressing">
          <wsp:Policy wsu:Id="endpoint"><wsp:ExactlyOne><wsp:All>%s</wsp:All></wsp:ExactlyOne></wsp:Policy>
          <wsp:Policy wsu:Id="message"><wsp:ExactlyOne><wsp:All>%s</wsp:All></wsp:ExactlyOne></wsp:Policy>
          <wsdl:types><xsd:schema targetNamespace="urn:example:interop" elementFormDefault="qualified"><xsd:element name="echo" type="xsd:string"/>
            <xsd:element name="echoResponse" type="xsd:string"/><xsd:element name="note" type="xsd:string"/></xsd:schema></wsdl:types>
          <wsdl:message name="echo"><wsdl:part name="body" element="tns:echo"/></wsdl:message>
          <wsdl:message name="echoResponse"><wsdl:part name="body" element="tns:echoResponse"/></wsdl:message>
          <wsdl:message name="note"><wsdl:part name="body" element="tns:note"/></wsdl:message>
          <wsdl:portType name="Echo">
            <wsdl:operation name="echo">%s%s</wsdl:operation>%s
          </wsdl:portType>
          <wsdl:binding name="EchoBinding" type="tns:Echo"><wsp:PolicyReference URI="#endpoint"/>
            <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
            <wsdl:operation name="echo"><soap:operation soapAction="%s" style="document"/>
              <wsdl:input><wsp:PolicyReference URI="#message"/><soap:body use="literal"/></wsdl:input>
              <wsdl:output><wsp:PolicyReference URI="#message"/><soap:body use="literal"/></wsdl:output></wsdl:operation>
            %s
          </wsdl:binding>
          <wsdl:service name="EchoService"><wsdl:port name="EchoPort" binding="tns:EchoBinding"><soap:address location="%s"/></wsdl:port></wsdl:service>
        </wsdl:definitions>
        """.formatted(soap, sp, endpoint(), message(), carries("input", "echo", Echo.ECHO), carries("output", "echoResponse", Echo.ECHO_RESPONSE),
            note ? "<wsdl:operation name=\"note\">" + carries("input", "note", Echo.NOTE) + "</wsdl:operation>" : "", Echo.ECHO,
            note ? """
                <wsdl:operation name="note"><soap:operation soapAction="%s" style="document"/>
                  <wsdl:input><wsp:PolicyReference URI="#message"/><soap:body use="literal"/></wsdl:input></wsdl:operation>""".formatted(Echo.NOTE) : "", url);
  }

  private static String carries(String direction, String message, String action) {
    return "<wsdl:%1$s message=\"tns:%2$s\" wsam:Action=\"%3$s\" wsa04:Action=\"%3$s\"/>".formatted(direction, message, action);
  }

  private String endpoint() {
    String token = secureConversationToken();
    String protection = scenario.transport()
        ? transportBinding(false) + nested("EndorsingSupportingTokens", token)
        : nested("SymmetricBinding", nested("ProtectionToken", token) + binding());
    return reliableMessaging() + (scenario.makeConnection() ? "<wsmc:MCSupported xmlns:wsmc=\"" + WSMC + "\"/>" : "") + addressing() + protection + wss11() + trust() + settings();
  }

  /** Reliable messaging: version, scope and this stack's times. */
  private String reliableMessaging() {
    if (rm11) {
      return """
          <rmp:RMAssertion xmlns:rmp="http://docs.oasis-open.org/ws-rx/wsrmp/200702"><wsp:Policy><rmp:SequenceSTR/>
            <rmp:DeliveryAssurance><wsp:Policy><rmp:ExactlyOnce/></wsp:Policy></rmp:DeliveryAssurance></wsp:Policy></rmp:RMAssertion>
          <m:RetransmissionConfig xmlns:m="http://java.sun.com/xml/ns/metro/ws-rx/wsrmp/200702"><m:Interval Milliseconds="%d"/></m:RetransmissionConfig>
          <m:CloseSequenceTimeout xmlns:m="http://java.sun.com/xml/ns/metro/ws-rx/wsrmp/200702" Milliseconds="%d"/>
          """.formatted(scenario.retransmitMs(), CLOSE_WAIT_MS);
    }
    return """
        <rmp:RMAssertion xmlns:rmp="http://schemas.xmlsoap.org/ws/2005/02/rm/policy"><rmp:BaseRetransmissionInterval Milliseconds="%d"/></rmp:RMAssertion>
        """.formatted(scenario.retransmitMs())
        + (server ? "" : "<m:CloseTimeout xmlns:m=\"http://sun.com/2006/03/rm/client\" Milliseconds=\"%d\"/>".formatted(CLOSE_WAIT_MS));
  }

  private String addressing() {
    return wsa10
        ? "<wsaw:UsingAddressing xmlns:wsaw=\"http://www.w3.org/2006/05/addressing/wsdl\"/>"
        : "<wsap:UsingAddressing xmlns:wsap=\"http://schemas.xmlsoap.org/ws/2004/08/addressing/policy\"/>";
  }

  private String secureConversationToken() {
    return nested("SecureConversationToken", include("always".equals(scenario.includeToken()) ? "Always" : "AlwaysToRecipient"),
        (scenario.derivedKeys() ? "<sp:RequireDerivedKeys/>" : "") + nested("BootstrapPolicy", bootstrap()));
  }

  private String bootstrap() {
    String username = nested("UsernameToken", include("AlwaysToRecipient"), "<sp:WssUsernameToken10/>");
    switch (scenario.bootstrap()) {
      case "x509":
        String tokens = nested("InitiatorToken", x509("AlwaysToRecipient", "")) + nested("RecipientToken", x509("Never", ""));
        return nested("AsymmetricBinding", tokens + binding())
            + (scenario.signatureConfirmation() ? wss11() : nested("Wss10", "<sp:MustSupportRefKeyIdentifier/><sp:MustSupportRefIssuerSerial/>"))
            + trust() + bodyAndAddressing(false);
      case "usernameForCertificate":
      case "usernameForCertificateEndorsing":
        return nested("SymmetricBinding", nested("ProtectionToken", x509("Never", "<sp:RequireThumbprintReference/>")) + binding())
            + nested(sc13 ? "SignedEncryptedSupportingTokens" : "SignedSupportingTokens", username)
            + (scenario.bootstrap().endsWith("Endorsing") ? nested("EndorsingSupportingTokens", x509("AlwaysToRecipient", "")) : "")
            + wss11() + trust() + bodyAndAddressing(false);
      case "usernameOverTls":
        return transportBinding(false) + nested("SignedSupportingTokens", username) + wss11() + trust();
      case "certificateOverTls":
        return transportBinding(true) + wss11() + trust();
      default:
        throw new IllegalArgumentException("unknown bootstrap " + scenario.bootstrap());
    }
  }

  private String x509(String inclusion, String reference) {
    return nested("X509Token", include(inclusion), reference + "<sp:WssX509V3Token10/>");
  }

  /** What a symmetric and an asymmetric binding have in common. */
  private String binding() {
    return suite() + "<sp:IncludeTimestamp/>" + ("encrypt-before-sign".equals(scenario.order()) ? "<sp:EncryptBeforeSigning/>" : "")
        + (scenario.encryptSignature() ? "<sp:EncryptSignature/>" : "") + "<sp:OnlySignEntireHeadersAndBody/>";
  }

  private String transportBinding(boolean certificate) {
    String https = sc13
        ? nested("HttpsToken", certificate ? "<sp:RequireClientCertificate/>" : "")
        : "<sp:HttpsToken RequireClientCertificate=\"" + certificate + "\"/>";
    return nested("TransportBinding", nested("TransportToken", https) + suite() + "<sp:IncludeTimestamp/>");
  }

  private String suite() {
    return nested("AlgorithmSuite", "<sp:" + scenario.suite() + "/>")
        + nested("Layout", "strict".equals(scenario.layout()) ? "<sp:Strict/>" : "<sp:Lax/>");
  }

  private String wss11() {
    return nested("Wss11", "<sp:MustSupportRefKeyIdentifier/><sp:MustSupportRefIssuerSerial/><sp:MustSupportRefThumbprint/><sp:MustSupportRefEncryptedKey/>"
        + (scenario.signatureConfirmation() ? "<sp:RequireSignatureConfirmation/>" : ""));
  }

  private String trust() {
    return nested(sc13 ? "Trust13" : "Trust10", "<sp:MustSupportIssuedTokens/><sp:RequireClientEntropy/><sp:RequireServerEntropy/>");
  }

  /** Of application messages; under the transport profile TLS covers them whole. */
  private String message() {
    return scenario.transport() ? "" : bodyAndAddressing(true);
  }

  private String bodyAndAddressing(boolean withReliability) {
    StringBuilder signed = new StringBuilder("<sp:Body/>");
    String wsa = wsa10 ? "http://www.w3.org/2005/08/addressing" : "http://schemas.xmlsoap.org/ws/2004/08/addressing";
    String wsrm = rm11 ? "http://docs.oasis-open.org/ws-rx/wsrm/200702" : "http://schemas.xmlsoap.org/ws/2005/02/rm";
    for (String name : new String[] {"To", "From", "FaultTo", "ReplyTo", "MessageID", "RelatesTo", "Action"}) signed.append(header(name, wsa));
    if (withReliability) {
      for (String name : new String[] {"Sequence", "SequenceAcknowledgement", "AckRequested"}) signed.append(header(name, wsrm));
      if (scenario.makeConnection()) signed.append(header("MessagePending", WSMC));
    }
    return "<sp:SignedParts>" + signed + "</sp:SignedParts><sp:EncryptedParts><sp:Body/></sp:EncryptedParts>";
  }

  private static String header(String name, String namespace) {
    return "<sp:Header Name=\"" + name + "\" Namespace=\"" + namespace + "\"/>";
  }

  /** What concerns this side alone. Binary XML would make control messages unreadable for others. */
  private String settings() {
    String side = server ? "server" : "client";
    StringBuilder settings = new StringBuilder(
        "<fi:OptimizedFastInfosetSerialization xmlns:fi=\"http://java.sun.com/xml/ns/wsit/2006/09/policy/fastinfoset/service\" enabled=\"false\"/>");
    if (scenario.encryptLifecycle()) settings.append("<wss:EncryptRMLifecycleMessage xmlns:wss=\"http://schemas.sun.com/2006/03/wss/%s\"/>".formatted(side));
    if (scenario.lifetimeMs() != null) {
      settings.append((server
          ? "<sc:SCConfiguration xmlns:sc=\"http://schemas.sun.com/ws/2006/05/sc/server\"><sc:LifeTime>%d</sc:LifeTime></sc:SCConfiguration>"
          : "<sc:SCClientConfiguration xmlns:sc=\"http://schemas.sun.com/ws/2006/05/sc/client\" renewExpiredSCT=\"true\" requireCancelSCT=\"true\">"
              + "<sc:LifeTime>%d</sc:LifeTime></sc:SCClientConfiguration>").formatted(scenario.lifetimeMs()));
    }
    return settings.toString();
  }

  private String include(String when) {
    return " sp:IncludeToken=\"" + sp + "/IncludeToken/" + when + "\"";
  }

  private static String nested(String name, String content) {
    return nested(name, "", content);
  }

  private static String nested(String name, String attributes, String content) {
    return "<sp:" + name + attributes + "><wsp:Policy>" + content + "</wsp:Policy></sp:" + name + ">";
  }
}
