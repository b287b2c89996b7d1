package interop;

import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.xml.namespace.QName;
import org.apache.axiom.om.OMAbstractFactory;
import org.apache.axiom.om.OMElement;
import org.apache.axiom.om.OMFactory;
import org.apache.axiom.soap.SOAP11Constants;
import org.apache.axiom.soap.SOAP12Constants;
import org.apache.axis2.AxisFault;
import org.apache.axis2.Constants;
import org.apache.axis2.addressing.AddressingConstants;
import org.apache.axis2.addressing.EndpointReference;
import org.apache.axis2.client.Options;
import org.apache.axis2.client.async.AxisCallback;
import org.apache.axis2.client.ServiceClient;
import org.apache.axis2.context.MessageContext;
import org.apache.axis2.description.AxisOperation;
import org.apache.axis2.description.AxisService;
import org.apache.axis2.description.OutInAxisOperation;
import org.apache.axis2.description.OutOnlyAxisOperation;
import org.apache.axis2.transport.http.HTTPConstants;
import org.apache.neethi.Policy;
import org.apache.rahas.RahasConstants;
import org.apache.rahas.client.STSClient;
import org.apache.rampart.RampartMessageData;
import org.apache.rampart.util.RampartUtil;
import org.apache.sandesha2.client.SandeshaClient;
import org.apache.sandesha2.client.SandeshaClientConstants;
import org.apache.sandesha2.client.SequenceReport;
import org.apache.ws.security.conversation.ConversationConstants;

/** The client: one sequence to one service, on an engine of its own. */
final class EchoClient implements Peer.Client {
  private static final String NAMESPACE = Sandesha2.NAMESPACE;
  private static final long PATIENCE_MS = 60_000;
  private static final AtomicInteger COUNT = new AtomicInteger();

  private final Scenario scenario;
  private final Engine engine;
  private final ServiceClient client;
  private final Front front;
  private int sent;

  EchoClient(Scenario scenario, String url) throws Exception {
    this.scenario = scenario;
    Path store = Keys.write(Keys.store("client", scenario.client(), "service", scenario.service().certificate(), "authority", scenario.authority()),
        Files.createTempFile("client", ".p12"));
    engine = new Engine(scenario, store, true);
    AxisService service = new AxisService("client" + COUNT.incrementAndGet());
    service.setClassLoader(EchoClient.class.getClassLoader());
    AxisOperation echo = new OutInAxisOperation(new QName(NAMESPACE, "echo"));
    AxisOperation note = new OutOnlyAxisOperation(new QName(NAMESPACE, "note"));
    // Sandesha2 sends an Offer with its first CreateSequence when the service has an operation with a reply.
    service.addOperation(scenario.request() ? echo : note);
    client = new ServiceClient(engine.context, service);
    for (String module : new String[] {"rampart", "sandesha2"}) client.engageModule(module);
    if (scenario.addressable()) {
      front = new Front(null, false);
      front.serve(engine);
      front.open();
    } else {
      front = null;
    }
    Policy policy = SecurityPolicy.client(scenario, store);
    // For what arrives at the listener; the option below is for what is sent and its answers.
    service.getPolicySubject().attachPolicy(policy);
    Options options = client.getOptions();
    options.setTo(new EndpointReference(url));
    options.setSoapVersionURI("1.1".equals(scenario.soap()) ? SOAP11Constants.SOAP_ENVELOPE_NAMESPACE_URI : SOAP12Constants.SOAP_ENVELOPE_NAMESPACE_URI);
    options.setProperty(RampartMessageData.KEY_RAMPART_POLICY, policy);
    options.setProperty(SandeshaClientConstants.RM_SPEC_VERSION, "1.0".equals(scenario.rm()) ? "Spec_2005_02" : "Spec_2007_02");
    options.setProperty(HTTPConstants.CHUNKED, "false");
    options.setTimeOutInMilliSeconds(PATIENCE_MS);
    if (scenario.tls()) {
      boolean certificate = "certificateOverTls".equals(scenario.bootstrap());
      options.setProperty(HTTPConstants.CUSTOM_PROTOCOL_HANDLER,
          Tls.protocol(Tls.context(scenario, certificate ? scenario.client() : null), URI.create(url).getPort()));
    }
    if ("200408".equals(scenario.addressing())) {
      options.setProperty(AddressingConstants.WS_ADDRESSING_VERSION, AddressingConstants.Submission.WSA_NAMESPACE);
    }
    if (scenario.addressable()) {
      options.setTransportInProtocol(Constants.TRANSPORT_HTTP);
      options.setUseSeparateListener(true);
      options.setProperty(SandeshaClientConstants.AcksTo, front.url(service.getName()));
    }
  }

  @Override
  public String send(String text) throws Exception {
    sent++;
    OMFactory factory = OMAbstractFactory.getOMFactory();
    OMElement body = factory.createOMElement(scenario.request() ? "echo" : "note", factory.createOMNamespace(NAMESPACE, ""));
    body.setText(text);
    client.getOptions().setAction(NAMESPACE + (scenario.request() ? "/Echo" : "/Note"));
    if (scenario.request()) {
      Reply reply = new Reply();
      client.sendReceiveNonBlocking(new QName(NAMESPACE, "echo"), body, reply);
      return reply.text.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
    }
    client.fireAndForget(new QName(NAMESPACE, "note"), body);
    // The stack gives a one-way message to a thread of its own: wait until it is acknowledged.
    until("acknowledgement of message " + sent, () -> report().getCompletedMessages().size() >= sent);
    return null;
  }

  @Override
  public void end() throws Exception {
    until("all acknowledgements", () -> report().getCompletedMessages().size() >= sent);
    if ("1.1".equals(scenario.rm())) SandeshaClient.closeSequence(client);
    SandeshaClient.terminateSequence(client);
    until("end of the sequence", () -> report().getSequenceStatus() == SequenceReport.SEQUENCE_STATUS_TERMINATED);
    cancel();
  }

  @Override
  public List<Peer.Secret> secrets() throws Exception {
    return Sandesha2.secrets(engine);
  }

  @Override
  public void close() throws Exception {
    client.cleanup();
    engine.close();
    if (front != null) front.close();
  }

  /** RST/Cancel, protected by the token itself. */
  private void cancel() throws Exception {
    String token = (String) ((java.util.Map<?, ?>) engine.context.getProperty(ConversationConstants.KEY_CONTEXT_MAP)).get(client.getAxisService().getName());
    boolean sc2005 = "200502".equals(scenario.sc());
    int trust = sc2005 ? RahasConstants.VERSION_05_02 : RahasConstants.VERSION_05_12;
    String action = (sc2005 ? "http://schemas.xmlsoap.org/ws/2005/02/trust" : "http://docs.oasis-open.org/ws-sx/ws-trust/200512") + "/RST/SCT/Cancel";
    STSClient sts = new STSClient(engine.context);
    sts.setVersion(trust);
    Options options = new Options();
    options.setSoapVersionURI(client.getOptions().getSoapVersionURI());
    for (String same : new String[] {RampartMessageData.KEY_RAMPART_POLICY, AddressingConstants.WS_ADDRESSING_VERSION, HTTPConstants.CHUNKED, HTTPConstants.CUSTOM_PROTOCOL_HANDLER}) {
      options.setProperty(same, client.getOptions().getProperty(same));
    }
    options.setProperty(RampartMessageData.SCT_ID, token);
    options.setProperty(SandeshaClientConstants.UNRELIABLE_MESSAGE, "true");
    options.setTimeOutInMilliSeconds(PATIENCE_MS);
    sts.setOptions(options);
    sts.cancelToken(client.getOptions().getTo().getAddress(), token, action);
  }

  private static final class Reply implements AxisCallback {
    private final CompletableFuture<String> text = new CompletableFuture<>();

    @Override
    public void onMessage(MessageContext message) {
      try {
        text.complete(message.getEnvelope().getBody().getFirstElement().getText());
      } catch (RuntimeException e) {
        text.completeExceptionally(e);
      }
    }

    @Override
    public void onFault(MessageContext message) {
      text.completeExceptionally(new AxisFault(message.getEnvelope().getBody().getFault()));
    }

    @Override
    public void onError(Exception e) {
      text.completeExceptionally(e);
    }

    @Override
    public void onComplete() {}
  }

  private SequenceReport report() throws Exception {
    return SandeshaClient.getOutgoingSequenceReport(client);
  }

  private interface Condition {
    boolean holds() throws Exception;
  }

  private static void until(String what, Condition condition) throws Exception {
    for (long end = System.currentTimeMillis() + PATIENCE_MS; !condition.holds(); Thread.sleep(10)) {
      if (System.currentTimeMillis() > end) throw new IllegalStateException("no " + what);
    }
  }
}
