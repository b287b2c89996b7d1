package interop;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.security.KeyStore;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import org.apache.cxf.endpoint.Endpoint;
import org.apache.cxf.frontend.ClientProxy;
import org.apache.cxf.jaxws.JaxWsProxyFactoryBean;
import org.apache.cxf.transport.http.HTTPConduit;
import org.apache.cxf.ws.addressing.MAPAggregator;
import org.apache.cxf.ws.rm.Proxy;
import org.apache.cxf.ws.rm.RMEndpoint;
import org.apache.cxf.ws.rm.SourceSequence;
import org.apache.cxf.ws.rm.v200702.SequenceAcknowledgement;
import org.apache.cxf.ws.security.SecurityConstants;

/** The client: one sequence, begun by the first message. */
final class CxfClient extends CxfSide implements Peer.Client {
  private static final long PATIENCE_MS = 20_000;

  private final CxfEcho echo;

  CxfClient(Scenario scenario, String url) throws Exception {
    super(scenario);
    KeyStore store = Keys.store("client", scenario.client(), "service", scenario.service().certificate(), "authority", scenario.authority());
    if (scenario.tls()) trust(scenario.bootstrap().equals("certificateOverTls") ? keyManagers() : null);
    JaxWsProxyFactoryBean factory = new JaxWsProxyFactoryBean();
    factory.setBus(bus);
    factory.setServiceClass(CxfEcho.class);
    factory.setWsdlLocation(wsdl(url));
    factory.setServiceName(SERVICE);
    factory.setEndpointName(PORT);
    factory.setAddress(url);
    Map<String, Object> properties = security(store, "client", "service");
    properties.put(MAPAggregator.ADDRESSING_NAMESPACE, CxfWsdl.addressingNamespace(scenario));
    factory.setProperties(properties);
    echo = (CxfEcho) factory.create();
    if (scenario.addressable()) {
      ((HTTPConduit) ClientProxy.getClient(echo).getConduit()).getClient().setDecoupledEndpoint(listen("/replies", scenario.client(), false));
    }
  }

  private KeyManager[] keyManagers() throws Exception {
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(Keys.store("client", scenario.client()), Keys.PASSWORD.toCharArray());
    return keys.getKeyManagers();
  }

  @Override
  Endpoint endpoint() {
    return ClientProxy.getClient(echo).getEndpoint();
  }

  @Override
  public String send(String text) {
    if (scenario.request()) return echo.echo(text);
    echo.note(text);
    return null;
  }

  @Override
  public void end() throws Exception {
    RMEndpoint endpoint = reliability.findReliableEndpoint(SERVICE);
    if (endpoint == null) return;
    for (SourceSequence sequence : List.copyOf(endpoint.getSource().getAllSequences())) end(endpoint, sequence);
  }

  /**
   * The stack ends a sequence by itself when the last message was marked as such and is acknowledged. Here nobody knows the last
   * message when it is sent, so it is marked afterwards (RM 1.1), or an empty one is sent (LastMessage of RM 1.0).
   */
  private void end(RMEndpoint endpoint, SourceSequence sequence) throws Exception {
    forgetFirstToken(endpoint.getProxy());
    wait(() -> reliability.getRetransmissionQueue().getUnacknowledgedMessageNumbers(sequence).isEmpty(), "acknowledgements");
    if (scenario.rm().equals("1.1")) {
      endpoint.getSource().setCurrent(null);
      call(sequence, "setLastMessage", boolean.class, true);
      sequence.setAcknowledged((SequenceAcknowledgement) call(sequence, "getAcknowledgement", null, null));
    } else {
      call(endpoint.getProxy(), "lastMessage", SourceSequence.class, sequence);
    }
    wait(() -> endpoint.getSource().getSequence(sequence.getIdentifier()) == null, "the end of the sequence");
  }

  /** TerminateSequence goes with the properties of CreateSequence, its token among them; when that was renewed since, the current one is to be taken. */
  private static void forgetFirstToken(Proxy proxy) throws Exception {
    Field context = Proxy.class.getDeclaredField("sequenceContext");
    context.setAccessible(true);
    if (context.get(proxy) instanceof Map<?, ?> properties) {
      properties.keySet().removeAll(Set.of(SecurityConstants.TOKEN, SecurityConstants.TOKEN_ID, org.apache.cxf.endpoint.Client.REQUEST_CONTEXT));
    }
  }

  private static void wait(BooleanSupplier until, String what) throws Exception {
    for (long end = System.nanoTime() + PATIENCE_MS * 1_000_000L; !until.getAsBoolean(); Thread.sleep(20)) {
      if (System.nanoTime() > end) throw new TimeoutException("waited for " + what);
    }
  }

  /** These methods are not public. */
  private static Object call(Object of, String name, Class<?> type, Object argument) throws Exception {
    Method method = type == null ? of.getClass().getDeclaredMethod(name) : of.getClass().getDeclaredMethod(name, type);
    method.setAccessible(true);
    return type == null ? method.invoke(of) : method.invoke(of, argument);
  }

  @Override
  public void close() throws Exception {
    ClientProxy.getClient(echo).destroy();
    super.close();
  }
}
