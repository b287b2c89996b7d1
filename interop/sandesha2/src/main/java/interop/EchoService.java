package interop;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import javax.xml.namespace.QName;
import org.apache.axiom.om.OMElement;
import org.apache.axiom.om.util.AXIOMUtil;
import org.apache.axiom.soap.SOAPFactory;
import org.apache.axis2.AxisFault;
import org.apache.axis2.context.MessageContext;
import org.apache.axis2.description.AxisOperation;
import org.apache.axis2.description.AxisService;
import org.apache.axis2.description.InOnlyAxisOperation;
import org.apache.axis2.description.InOutAxisOperation;
import org.apache.axis2.description.Parameter;
import org.apache.axis2.receivers.AbstractInMessageReceiver;
import org.apache.axis2.receivers.AbstractInOutMessageReceiver;

/** The service: an engine behind a listener, which stays when the engine is replaced. */
final class EchoService implements Peer.Service {
  private static final String NAMESPACE = Sandesha2.NAMESPACE;

  private final Scenario scenario;
  private final Front front;
  private final List<String> received = Collections.synchronizedList(new ArrayList<>());
  private Engine engine;

  EchoService(Scenario scenario) throws Exception {
    this.scenario = scenario;
    front = new Front(scenario.tls() ? Tls.context(scenario, scenario.service()) : null, "certificateOverTls".equals(scenario.bootstrap()));
    engine = start();
    front.open();
  }

  @Override
  public String url() {
    return front.url("echo");
  }

  @Override
  public List<String> received() {
    synchronized (received) {
      return List.copyOf(received);
    }
  }

  /** Tokens and sequences are in memory: a new engine has none. */
  @Override
  public void forget() throws Exception {
    Engine old = engine;
    engine = start();
    old.close();
  }

  @Override
  public List<Peer.Secret> secrets() throws Exception {
    return Sandesha2.secrets(engine);
  }

  @Override
  public void close() throws Exception {
    front.close();
    engine.close();
  }

  private Engine start() throws Exception {
    String[] trusted = scenario.client() == null
        ? new String[] {"authority", scenario.authority()}
        : new String[] {"authority", scenario.authority(), "client", scenario.client().certificate()};
    Path store = Keys.write(Keys.store("service", scenario.service(), trusted), Files.createTempFile("service", ".p12"));
    Engine next = new Engine(scenario, store, false);
    AxisService service = new AxisService("echo");
    service.setClassLoader(EchoService.class.getClassLoader());
    AxisOperation echo = new InOutAxisOperation(new QName(NAMESPACE, "echo"));
    echo.setOutputAction(NAMESPACE + "/EchoResponse");
    echo.setMessageReceiver(new Echo());
    AxisOperation note = new InOnlyAxisOperation(new QName(NAMESPACE, "note"));
    note.setMessageReceiver(new Note());
    for (AxisOperation operation : new AxisOperation[] {echo, note}) {
      next.configuration.getPhasesInfo().setOperationPhases(operation);
      service.addOperation(operation);
    }
    service.mapActionToOperation(NAMESPACE + "/Echo", echo);
    service.mapActionToOperation(NAMESPACE + "/Note", note);
    // Computed keys of both sides' entropy; under a 128 or 192 bit suite the two sides of this stack would compute keys of different sizes.
    boolean computed = scenario.suite().startsWith("Basic256");
    issuer(service, "sct-issuer-config", "<cryptoProperties/><addRequestedAttachedRef/><addRequestedUnattachedRef/><proofKeyType>BinarySecret</proofKeyType>"
        + "<keyComputation>" + (computed ? 2 : 3) + "</keyComputation>");
    issuer(service, "token-canceler-config", "<cryptoProperties/><proofKeyType>BinarySecret</proofKeyType>");
    next.configuration.addService(service);
    if (scenario.transport()) service.addParameter(Bootstrap.POLICY, SecurityPolicy.bootstrapOfService(scenario, store));
    service.getPolicySubject().attachPolicy(SecurityPolicy.service(scenario, store));
    for (String module : new String[] {"rampart", "rahas", "sandesha2"}) service.engageModule(next.configuration.getModule(module));
    front.serve(next);
    return next;
  }

  private static void issuer(AxisService service, String name, String content) throws Exception {
    Parameter parameter = new Parameter();
    parameter.setName(name);
    parameter.setParameterElement(AXIOMUtil.stringToOM("<parameter name=\"" + name + "\"><sct-issuer-config>" + content + "</sct-issuer-config></parameter>"));
    parameter.setValue(parameter.getParameterElement().getFirstElement());
    service.addParameter(parameter);
  }

  private String take(MessageContext message) {
    String text = message.getEnvelope().getBody().getFirstElement().getText();
    received.add(text);
    return text;
  }

  private final class Echo extends AbstractInOutMessageReceiver {
    @Override
    public void invokeBusinessLogic(MessageContext in, MessageContext out) throws AxisFault {
      SOAPFactory factory = getSOAPFactory(in);
      OMElement response = factory.createOMElement("echoResponse", factory.createOMNamespace(NAMESPACE, ""));
      response.setText(take(in));
      out.setEnvelope(factory.getDefaultEnvelope());
      out.getEnvelope().getBody().addChild(response);
    }
  }

  private final class Note extends AbstractInMessageReceiver {
    @Override
    protected void invokeBusinessLogic(MessageContext in) {
      take(in);
    }
  }
}
