package interop;

import org.apache.cxf.version.Version;
import org.apache.wss4j.dom.engine.WSSConfig;

/**
 * Apache CXF as a peer. Every service and every client has a bus of its own, so that nothing of one scenario reaches another.
 *
 * Switches, for all scenarios of the process, by system property:
 * interop.cxf.understandsUsesSequenceSTR=true lets services accept the header UsesSequenceSTR with mustUnderstand;
 * interop.cxf.sha256=true signs with rsa-sha256 and hmac-sha256 in the suites named so, and accepts nothing else there (the stack
 * writes and accepts rsa-sha1 and hmac-sha1 under sha256 digests otherwise: it never accepts both).
 */
public final class Cxf implements Peer {
  public static void main(String[] args) throws Exception {
    Host.run(Cxf::new);
  }

  @Override
  public String describe() {
    return "Apache CXF " + Version.getCurrentVersion() + ", WSS4J " + WSSConfig.class.getPackage().getImplementationVersion();
  }

  @Override
  public Peer.Service serve(Scenario scenario) throws Exception {
    supported(scenario);
    if (scenario.addressable() && (!scenario.request() || scenario.rm().equals("1.0"))) {
      throw new Unsupported("a service cannot protect an acknowledgement that it sends by itself, to an address (it has no token of its own making)");
    }
    return new CxfService(scenario);
  }

  @Override
  public Peer.Client open(Scenario scenario, String url) throws Exception {
    supported(scenario);
    return new CxfClient(scenario, url);
  }

  /** What neither side can run. */
  private static void supported(Scenario scenario) throws Unsupported {
    if (scenario.rm().equals("1.1") && scenario.addressing().equals("200408")) throw new Unsupported("RM 1.1 goes with WS-Addressing 2005/08 only");
    if (scenario.transport() && scenario.includeToken().equals("always")) {
      throw new Unsupported("a client that includes the token always wants it to endorse the replies too, and services do not do so in the transport profile");
    }
  }
}
