package interop;

import com.sun.xml.ws.api.BindingID;
import com.sun.xml.ws.api.server.Container;
import com.sun.xml.ws.util.RuntimeVersion;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.stream.Stream;

/** Hosts Metro's services and clients. What this stack cannot run is named here, nowhere else. */
public final class Metro implements Peer {
  private static final List<String> SUITES = List.of("Basic128", "Basic192", "Basic256", "Basic128Sha256", "Basic192Sha256", "Basic256Sha256");

  /** With threads for what is due later, or each client would wait two seconds at its end for those it made for itself. */
  static final Container CONTAINER = new Container() {
    private final ScheduledExecutorService threads = Executors.newScheduledThreadPool(8, (task) -> {
      Thread thread = new Thread(task, "later");
      thread.setDaemon(true);
      return thread;
    });

    @Override
    public <S> S getSPI(Class<S> type) {
      return type.isInstance(threads) ? type.cast(threads) : super.getSPI(type);
    }
  };

  public static void main(String[] args) throws Exception {
    Host.run(() -> {
      Tokens.install();
      return new Metro();
    });
  }

  @Override
  public String describe() {
    return "Metro 4.0.5 (JAX-WS " + RuntimeVersion.VERSION + "), Java " + Runtime.version();
  }

  @Override
  public Service serve(Scenario scenario) throws Exception {
    supported(scenario);
    return new MetroService(scenario);
  }

  @Override
  public Client open(Scenario scenario, String url) throws Exception {
    supported(scenario);
    if (scenario.lifetimeMs() != null) renews(scenario);
    return new MetroClient(scenario, url);
  }

  private static void supported(Scenario scenario) throws Unsupported {
    if (!SUITES.contains(scenario.suite())) throw new Unsupported("the policy has no suite " + scenario.suite());
    if (scenario.addressable()) throw new Unsupported("a client has no address of its own");
  }

  /** A renewal signs the signature of its bootstrap too: this stack's service has to see that one first, and in clear under X.509. */
  private static void renews(Scenario scenario) throws Unsupported {
    if ("encrypt-before-sign".equals(scenario.order()) && !scenario.bootstrap().endsWith("OverTls")) {
      throw new Unsupported("no renewal where the bootstrap encrypts first");
    }
    if (scenario.encryptSignature() && "x509".equals(scenario.bootstrap())) {
      throw new Unsupported("no renewal where the signature of an X.509 bootstrap is encrypted");
    }
  }

  static BindingID binding(Scenario scenario) {
    return "1.1".equals(scenario.soap()) ? BindingID.SOAP11_HTTP : BindingID.SOAP12_HTTP;
  }

  static Path folder() throws IOException {
    return Files.createTempDirectory("metro");
  }

  static void delete(Path folder) throws IOException {
    try (Stream<Path> inside = Files.walk(folder)) {
      for (Path path : inside.sorted(Comparator.reverseOrder()).toList()) Files.delete(path);
    }
  }
}
