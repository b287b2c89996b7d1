package interop;

import java.io.InputStream;
import java.net.URI;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.jar.JarFile;
import java.util.zip.ZipEntry;
import javax.security.auth.callback.CallbackHandler;
import org.apache.axis2.AxisFault;
import org.apache.axis2.context.ConfigurationContext;
import org.apache.axis2.context.ConfigurationContextFactory;
import org.apache.axis2.deployment.AxisConfigBuilder;
import org.apache.axis2.deployment.DeploymentEngine;
import org.apache.axis2.deployment.ModuleBuilder;
import org.apache.axis2.description.AxisModule;
import org.apache.axis2.engine.AxisConfiguration;
import org.apache.axis2.engine.AxisConfigurator;
import org.apache.rahas.SimpleTokenStore;
import org.apache.rahas.TokenStorage;
import org.apache.rampart.RampartEngine;
import org.apache.sandesha2.Sandesha2Constants;
import org.apache.sandesha2.SandeshaModule;
import org.apache.sandesha2.policy.SandeshaPolicyBean;
import org.apache.sandesha2.util.SandeshaUtil;
import org.apache.ws.security.WSPasswordCallback;
import org.apache.ws.security.handler.WSHandlerConstants;

/**
 * One Axis2 engine: its configuration, modules, token store and sequences. Each service and each client has its own, so scenarios share
 * nothing but classes and live side by side.
 */
final class Engine implements AutoCloseable {
  private static final URLClassLoader ADDRESSING = loader(archive(AxisConfiguration.class, "addressing"));

  final ConfigurationContext context;
  final AxisConfiguration configuration;
  final Path store;

  /** {@code store}: the key store that {@link SecurityPolicy} names; it goes with the engine. */
  Engine(Scenario scenario, Path store, boolean client) throws Exception {
    this.store = store;
    configuration = new AxisConfiguration();
    try (InputStream xml = Engine.class.getResourceAsStream("axis2.xml")) {
      new AxisConfigBuilder(xml, configuration, null).populateConfig();
    }
    configuration.validateSystemPredefinedPhases();
    // The handlers of the addressing module are in its archive alone; those of the others are on the class path.
    add("addressing", archive(AxisConfiguration.class, "addressing"), ADDRESSING);
    add("rampart", archive(RampartEngine.class, "rampart"), Engine.class.getClassLoader());
    add("rahas", archive(RampartEngine.class, "rahas"), Engine.class.getClassLoader());
    add("sandesha2", archive(SandeshaModule.class, "sandesha2"), Engine.class.getClassLoader());
    configuration.addParameter(WSHandlerConstants.PW_CALLBACK_REF, passwords(scenario));
    context = ConfigurationContextFactory.createConfigurationContext(new Configurator());
    context.setProperty(TokenStorage.TOKEN_STORAGE_KEY, new SimpleTokenStore());
    configuration.addParameter(Sandesha2Constants.SECURITY_MANAGER, new Scope(context, scenario, client));
    SandeshaPolicyBean settings = (SandeshaPolicyBean) configuration.getParameterValue(Sandesha2Constants.SANDESHA_PROPERTY_BEAN);
    settings.setRetransmissionInterval(scenario.retransmitMs());
    settings.setMaximumRetransmissionCount(-1);
    // Acknowledgements of their own go at once where there is nothing that they could ride on.
    settings.setAcknowledgementInterval(100);
    configuration.engageModule("addressing");
  }

  TokenStorage tokens() {
    return (TokenStorage) context.getProperty(TokenStorage.TOKEN_STORAGE_KEY);
  }

  /** Nothing is sent any more when this returns; the rest of the stack's threads end within some seconds. */
  @Override
  public void close() throws Exception {
    SandeshaUtil.getSandeshaStorageManager(context, configuration).getSender().stopRunning();
    Thread rest = new Thread(() -> {
      try {
        context.terminate();
        Files.deleteIfExists(store);
      } catch (Exception e) {
        e.printStackTrace();
      }
    });
    rest.setDaemon(true);
    rest.start();
  }

  private void add(String name, Path archive, ClassLoader loader) throws Exception {
    AxisModule module = new AxisModule(name);
    module.setModuleClassLoader(loader);
    try (JarFile jar = new JarFile(archive.toFile())) {
      ZipEntry description = jar.getEntry("META-INF/module.xml");
      try (InputStream xml = jar.getInputStream(description)) {
        new ModuleBuilder(xml, module, configuration).populateModule();
      }
    }
    DeploymentEngine.addNewModule(module, configuration);
  }

  /** The module archive {@code name}, beside the archive that {@code neighbour} comes from and of the same version. */
  private static Path archive(Class<?> neighbour, String name) {
    try {
      Path jar = Path.of(neighbour.getProtectionDomain().getCodeSource().getLocation().toURI());
      String file = jar.getFileName().toString();
      return jar.resolveSibling(name + file.substring(file.lastIndexOf('-'), file.lastIndexOf('.')) + ".mar");
    } catch (java.net.URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  private static URLClassLoader loader(Path archive) {
    try {
      URI uri = archive.toUri();
      return new URLClassLoader(new URL[] {uri.toURL()}, Engine.class.getClassLoader());
    } catch (java.net.MalformedURLException e) {
      throw new IllegalStateException(e);
    }
  }

  private static CallbackHandler passwords(Scenario scenario) {
    return callbacks -> {
      for (javax.security.auth.callback.Callback callback : callbacks) {
        WSPasswordCallback asked = (WSPasswordCallback) callback;
        if (asked.getUsage() != WSPasswordCallback.USERNAME_TOKEN) asked.setPassword(Keys.PASSWORD);
        else if (asked.getIdentifier().equals(scenario.user())) asked.setPassword(scenario.password());
      }
    };
  }

  private final class Configurator implements AxisConfigurator {
    @Override
    public AxisConfiguration getAxisConfiguration() {
      return configuration;
    }

    @Override
    public void loadServices() {}

    @Override
    public void engageGlobalModules() throws AxisFault {}

    @Override
    public void cleanup() {}
  }
}
