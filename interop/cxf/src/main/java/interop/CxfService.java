package interop;

import jakarta.jws.WebService;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import javax.xml.namespace.QName;
import org.apache.cxf.binding.soap.SoapMessage;
import org.apache.cxf.binding.soap.interceptor.AbstractSoapInterceptor;
import org.apache.cxf.endpoint.Endpoint;
import org.apache.cxf.jaxws.JaxWsServerFactoryBean;
import org.apache.cxf.phase.Phase;
import org.apache.cxf.ws.rm.RM11Constants;
import org.apache.cxf.ws.rm.RMEndpoint;
import org.apache.cxf.ws.rm.SourceSequence;
import org.apache.cxf.ws.security.tokenstore.TokenStore;

/** The service, its application and what is added to the stack for it. */
final class CxfService extends CxfSide implements Peer.Service {
  private final Application application = new Application();
  private final String url;
  private final org.apache.cxf.endpoint.Server server;

  CxfService(Scenario scenario) throws Exception {
    super(scenario);
    url = listen("/echo", scenario.service(), scenario.bootstrap().equals("certificateOverTls"));
    if (scenario.tls() && scenario.addressable()) trust(null);
    KeyStore store = Keys.store("service", scenario.service(), "authority", scenario.authority());
    JaxWsServerFactoryBean factory = new JaxWsServerFactoryBean();
    factory.setBus(bus);
    factory.setServiceBean(application);
    factory.setWsdlLocation(wsdl(url));
    factory.setServiceName(SERVICE);
    factory.setEndpointName(PORT);
    factory.setAddress(url);
    factory.setProperties(security(store, "service", "useReqSigCert"));
    server = factory.create();
    if (Boolean.getBoolean("interop.cxf.understandsUsesSequenceSTR")) server.getEndpoint().getInInterceptors().add(new Understanding());
  }

  @Override
  public String url() {
    return url;
  }

  @Override
  Endpoint endpoint() {
    return server.getEndpoint();
  }

  @Override
  public List<String> received() {
    return List.copyOf(application.received);
  }

  @Override
  public void forget() {
    TokenStore tokens = tokens();
    if (tokens != null) for (String identifier : List.copyOf(tokens.getTokenIdentifiers())) tokens.remove(identifier);
    RMEndpoint endpoint = reliability.findReliableEndpoint(SERVICE);
    if (endpoint == null) return;
    endpoint.getDestination().getAllSequences().forEach(endpoint.getDestination()::removeSequence);
    for (SourceSequence sequence : endpoint.getSource().getAllSequences()) {
      reliability.getRetransmissionQueue().stop(sequence);
      endpoint.getSource().removeSequence(sequence);
    }
  }

  /** The implementation: gives the text back and keeps it. */
  @WebService(endpointInterface = "interop.CxfEcho", targetNamespace = CxfWsdl.NAMESPACE, serviceName = "EchoService", portName = "EchoPort")
  public static final class Application implements CxfEcho {
    final List<String> received = Collections.synchronizedList(new ArrayList<>());

    @Override
    public String echo(String text) {
      received.add(text);
      return text;
    }

    @Override
    public void note(String text) {
      received.add(text);
    }
  }

  /** Only says that it understands the header: the stack itself binds a sequence to no token. */
  private static final class Understanding extends AbstractSoapInterceptor {
    Understanding() {
      super(Phase.PRE_PROTOCOL);
    }

    @Override
    public Set<QName> getUnderstoodHeaders() {
      return Set.of(new QName(RM11Constants.NAMESPACE_URI, "UsesSequenceSTR"));
    }

    @Override
    public void handleMessage(SoapMessage message) {
    }
  }
}
