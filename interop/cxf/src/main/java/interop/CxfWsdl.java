package interop;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/**
 * The WSDL of the echo service for one scenario, with the policy that both sides follow: addressing, reliable messaging, and the
 * SecureConversationToken with its bootstrap. Written as text; the policy is small enough to be read in the form in which it is used.
 */
final class CxfWsdl {
  static final String NAMESPACE = "urn:example:interop";

  private static final String SP12 = "http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702";
  private static final String SP11 = "http://schemas.xmlsoap.org/ws/2005/07/securitypolicy";
  private static final String RM10_POLICY = "http://schemas.xmlsoap.org/ws/2005/02/rm/policy";
  private static final String RM11_POLICY = "http://docs.oasis-open.org/ws-rx/wsrmp/200702";
  private static final String WSA10 = "http://www.w3.org/2005/08/addressing";
  private static final String WSAM = "http://www.w3.org/2007/05/addressing/metadata";
  private static final String SUITES = "http://cxf.apache.org/custom/security-policy";
  private static final String[] ADDRESSING_HEADERS = {"To", "From", "FaultTo", "ReplyTo", "MessageID", "RelatesTo", "Action"};
  private static final String[] RM_HEADERS = {"Sequence", "SequenceAcknowledgement", "AckRequested", "UsesSequenceSTR"};

  private final Scenario scenario;
  private final boolean sp11;

  private CxfWsdl(Scenario scenario) {
    this.scenario = scenario;
    this.sp11 = scenario.sc().equals("200502");
  }

  static String of(Scenario scenario, String address) {
    return new CxfWsdl(scenario).wsdl(address);
  }

  static String rmNamespace(Scenario scenario) {
    return scenario.rm().equals("1.0") ? "http://schemas.xmlsoap.org/ws/2005/02/rm" : "http://docs.oasis-open.org/ws-rx/wsrm/200702";
  }

  static String addressingNamespace(Scenario scenario) {
    return scenario.addressing().equals("200408") ? "http://schemas.xmlsoap.org/ws/2004/08/addressing" : WSA10;
  }

  private String wsdl(String address) {
    String soap = scenario.soap().equals("1.1") ? "http://schemas.xmlsoap.org/wsdl/soap/" : "http://schemas.xmlsoap.org/wsdl/soap12/";
    return "<wsdl:definitions xmlns:wsdl='http://schemas.xmlsoap.org/wsdl/' xmlns:soap='" + soap + "' xmlns:tns='" + NAMESPACE
      + "' xmlns:xsd='http://www.w3.org/2001/XMLSchema' xmlns:wsam='" + WSAM + "' xmlns:wsp='http://www.w3.org/ns/ws-policy' xmlns:sp='"
      + (sp11 ? SP11 : SP12) + "' xmlns:wsu='http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd'"
      + " targetNamespace='" + NAMESPACE + "' name='Echo'>\n"
      + "<wsp:Policy wsu:Id='P'><wsp:ExactlyOne><wsp:All>" + policy() + "</wsp:All></wsp:ExactlyOne></wsp:Policy>\n"
      + "<wsdl:types><xsd:schema targetNamespace='" + NAMESPACE + "' elementFormDefault='qualified'>"
      + "<xsd:element name='echo' type='xsd:string'/><xsd:element name='echoResponse' type='xsd:string'/><xsd:element name='note' type='xsd:string'/>"
      + "</xsd:schema></wsdl:types>\n"
      + message("echo") + message("echoResponse") + message("note")
      + "<wsdl:portType name='EchoPort'>\n"
      + "<wsdl:operation name='Echo'><wsdl:input message='tns:echo' wsam:Action='" + NAMESPACE + "/Echo'/>"
      + "<wsdl:output message='tns:echoResponse' wsam:Action='" + NAMESPACE + "/EchoResponse'/></wsdl:operation>\n"
      + "<wsdl:operation name='Note'><wsdl:input message='tns:note' wsam:Action='" + NAMESPACE + "/Note'/></wsdl:operation>\n"
      + "</wsdl:portType>\n"
      + "<wsdl:binding name='EchoBinding' type='tns:EchoPort'><wsp:PolicyReference URI='#P'/>"
      + "<soap:binding style='document' transport='http://schemas.xmlsoap.org/soap/http'/>\n"
      + "<wsdl:operation name='Echo'><soap:operation soapAction='" + NAMESPACE + "/Echo'/>"
      + "<wsdl:input><soap:body use='literal'/></wsdl:input><wsdl:output><soap:body use='literal'/></wsdl:output></wsdl:operation>\n"
      + "<wsdl:operation name='Note'><soap:operation soapAction='" + NAMESPACE + "/Note'/>"
      + "<wsdl:input><soap:body use='literal'/></wsdl:input></wsdl:operation>\n"
      + "</wsdl:binding>\n"
      + "<wsdl:service name='EchoService'><wsdl:port name='EchoPort' binding='tns:EchoBinding'><soap:address location='" + address
      + "'/></wsdl:port></wsdl:service>\n</wsdl:definitions>\n";
  }

  private static String message(String element) {
    return "<wsdl:message name='" + element + "'><wsdl:part name='body' element='tns:" + element + "'/></wsdl:message>\n";
  }

  private String policy() {
    return "<wsam:Addressing><wsp:Policy/></wsam:Addressing>" + reliability()
      + (scenario.transport() ? transportBinding(false) + supporting("Endorsing", conversationToken())
        : binding("Symmetric", policy("ProtectionToken", conversationToken())) + parts(true))
      + extras();
  }

  private String reliability() {
    if (scenario.rm().equals("1.0")) {
      return "<rm:RMAssertion xmlns:rm='" + RM10_POLICY + "'><rm:BaseRetransmissionInterval Milliseconds='" + scenario.retransmitMs() + "'/></rm:RMAssertion>";
    }
    return "<rm:RMAssertion xmlns:rm='" + RM11_POLICY + "'><wsp:Policy>" + (scenario.transport() ? "" : "<rm:SequenceSTR/>")
      + "<rm:DeliveryAssurance><wsp:Policy><rm:ExactlyOnce/></wsp:Policy></rm:DeliveryAssurance></wsp:Policy></rm:RMAssertion>";
  }

  private String conversationToken() {
    return "<sp:SecureConversationToken" + include(scenario.includeToken().equals("always") ? "Always" : "AlwaysToRecipient") + "><wsp:Policy>"
      + derived() + policy("BootstrapPolicy", bootstrap() + extras()) + "</wsp:Policy></sp:SecureConversationToken>";
  }

  private String bootstrap() {
    switch (scenario.bootstrap()) {
      case "x509":
        return binding("Asymmetric", policy("InitiatorToken", x509("AlwaysToRecipient", "")) + policy("RecipientToken", x509("Never", ""))) + parts(false);
      case "usernameForCertificate":
      case "usernameForCertificateEndorsing":
        return binding("Symmetric", policy("ProtectionToken", x509("Never", derived()))) + parts(false)
          + supporting(sp11 ? "Signed" : "SignedEncrypted", username())
          + (scenario.bootstrap().endsWith("Endorsing") ? supporting("Endorsing", x509("AlwaysToRecipient", "")) : "");
      case "usernameOverTls":
        return transportBinding(false) + supporting("Signed", username());
      case "certificateOverTls":
        return transportBinding(true);
      default:
        throw new IllegalArgumentException("bootstrap " + scenario.bootstrap());
    }
  }

  private String binding(String kind, String tokens) {
    return "<sp:" + kind + "Binding><wsp:Policy>" + tokens + suite() + layout() + "<sp:IncludeTimestamp/>"
      + (scenario.order().equals("encrypt-before-sign") ? "<sp:EncryptBeforeSigning/>" : "")
      + (scenario.encryptSignature() ? "<sp:EncryptSignature/>" : "") + "<sp:OnlySignEntireHeadersAndBody/></wsp:Policy></sp:" + kind + "Binding>";
  }

  private String transportBinding(boolean clientCertificate) {
    String https = sp11 ? "<sp:HttpsToken RequireClientCertificate='" + clientCertificate + "'/>"
      : "<sp:HttpsToken><wsp:Policy>" + (clientCertificate ? "<sp:RequireClientCertificate/>" : "") + "</wsp:Policy></sp:HttpsToken>";
    return policy("TransportBinding", policy("TransportToken", https) + suite() + layout() + "<sp:IncludeTimestamp/>");
  }

  /** Names the assertion after the way in which the token supports the message. */
  private String supporting(String how, String token) {
    return policy(how + "SupportingTokens", token);
  }

  private String x509(String include, String more) {
    return "<sp:X509Token" + include(include) + "><wsp:Policy>" + more + (include.equals("Never") ? "<sp:RequireThumbprintReference/>" : "")
      + "<sp:WssX509V3Token10/></wsp:Policy></sp:X509Token>";
  }

  private String username() {
    return "<sp:UsernameToken" + include("AlwaysToRecipient") + "><wsp:Policy><sp:WssUsernameToken10/></wsp:Policy></sp:UsernameToken>";
  }

  private String include(String when) {
    return " sp:IncludeToken='" + (sp11 ? SP11 : SP12) + "/IncludeToken/" + when + "'";
  }

  private String derived() {
    return scenario.derivedKeys() ? "<sp:RequireDerivedKeys/>" : "";
  }

  private String suite() {
    String name = scenario.suite();
    return policy("AlgorithmSuite", name.endsWith("GCM") ? "<s:" + name + " xmlns:s='" + SUITES + "'/>" : "<sp:" + name + "/>");
  }

  private String layout() {
    return policy("Layout", scenario.layout().equals("strict") ? "<sp:Strict/>" : "<sp:Lax/>");
  }

  private String parts(boolean application) {
    StringBuilder signed = new StringBuilder("<sp:SignedParts><sp:Body/>");
    // The token client speaks WS-Addressing 2005/08, whatever the application does.
    Set<String> namespaces = new TreeSet<>(List.of(WSA10, addressingNamespace(scenario)));
    for (String namespace : namespaces) for (String name : ADDRESSING_HEADERS) signed.append(header(name, namespace));
    if (application) for (String name : RM_HEADERS) signed.append(header(name, rmNamespace(scenario)));
    return signed + "</sp:SignedParts><sp:EncryptedParts><sp:Body/></sp:EncryptedParts>";
  }

  private static String header(String name, String namespace) {
    return "<sp:Header Name='" + name + "' Namespace='" + namespace + "'/>";
  }

  private String extras() {
    String trust = sp11 ? "Trust10" : "Trust13";
    return policy("Wss11", "<sp:MustSupportRefKeyIdentifier/><sp:MustSupportRefIssuerSerial/><sp:MustSupportRefThumbprint/><sp:MustSupportRefEncryptedKey/>"
        + (scenario.signatureConfirmation() ? "<sp:RequireSignatureConfirmation/>" : ""))
      + policy(trust, "<sp:MustSupportIssuedTokens/><sp:RequireClientEntropy/><sp:RequireServerEntropy/>");
  }

  private static String policy(String assertion, String content) {
    return "<sp:" + assertion + "><wsp:Policy>" + content + "</wsp:Policy></sp:" + assertion + ">";
  }
}
