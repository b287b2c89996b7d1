package interop;

import com.sun.xml.ws.api.message.Packet;
import com.sun.xml.ws.api.pipe.ClientTubeAssemblerContext;
import com.sun.xml.ws.api.pipe.NextAction;
import com.sun.xml.ws.api.pipe.TransportTubeFactory;
import com.sun.xml.ws.api.pipe.Tube;
import com.sun.xml.ws.api.pipe.TubeCloner;
import com.sun.xml.ws.api.pipe.helper.AbstractFilterTubeImpl;
import com.sun.xml.ws.api.pipe.helper.AbstractTubeImpl;
import com.sun.xml.ws.developer.JAXWSProperties;
import jakarta.xml.ws.BindingProvider;

/**
 * Gives every message that leaves a client what it needs on its way: the client's TLS settings, since the messages of reliable messaging
 * itself come without, and an end to the wait for an answer, since others may wait for a client that opens its sequence.
 */
public final class Transport extends TransportTubeFactory {
  private static final int TIMEOUT_MS = 20_000;

  @Override
  public Tube doCreate(ClientTubeAssemblerContext context) {
    return new Settings(createHttpTransport(context), context.getBindingProvider());
  }

  private static final class Settings extends AbstractFilterTubeImpl {
    private final BindingProvider client;

    Settings(Tube next, BindingProvider client) {
      super(next);
      this.client = client;
    }

    private Settings(Settings that, TubeCloner cloner) {
      super(that, cloner);
      client = that.client;
    }

    @Override
    public NextAction processRequest(Packet request) {
      Object tls = client.getRequestContext().get(JAXWSProperties.SSL_SOCKET_FACTORY);
      if (tls != null) request.invocationProperties.put(JAXWSProperties.SSL_SOCKET_FACTORY, tls);
      request.invocationProperties.put(JAXWSProperties.REQUEST_TIMEOUT, TIMEOUT_MS);
      return super.processRequest(request);
    }

    @Override
    public AbstractTubeImpl copy(TubeCloner cloner) {
      return new Settings(this, cloner);
    }
  }
}
