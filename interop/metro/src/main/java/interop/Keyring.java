package interop;

import com.sun.xml.wss.impl.callback.PasswordValidationCallback;
import com.sun.xml.wss.impl.callback.PasswordValidationCallback.PlainTextPasswordRequest;
import com.sun.xml.wss.impl.misc.DefaultCallbackHandler;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.Properties;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.CallbackHandler;

/** One side's keys, trust and password, in the forms in which the message layer and TLS ask for them. */
final class Keyring {
  private static final String OWN = "own";
  private static final String PEER = "peer";

  private final Scenario scenario;
  private final boolean server;
  private final KeyStore own;

  Keyring(Scenario scenario, boolean server) throws Exception {
    this.scenario = scenario;
    this.server = server;
    own = Keys.store(OWN, server ? scenario.service() : scenario.client());
  }

  /** The message layer's questions are answered from stores in {@code folder}; the password's here, since it differs by scenario. */
  CallbackHandler handler(Path folder) throws Exception {
    Scenario.Identity peer = server ? scenario.client() : scenario.service();
    KeyStore trusted = Keys.store(OWN, null, "authority", scenario.authority(), PEER, peer.certificate());
    Properties settings = new Properties();
    settings.setProperty(DefaultCallbackHandler.KEYSTORE_URL, Keys.write(own, folder.resolve("own.p12")).toString());
    settings.setProperty(DefaultCallbackHandler.KEYSTORE_TYPE, "PKCS12");
    settings.setProperty(DefaultCallbackHandler.KEYSTORE_PASSWORD, Keys.PASSWORD);
    settings.setProperty(DefaultCallbackHandler.MY_ALIAS, OWN);
    settings.setProperty(DefaultCallbackHandler.TRUSTSTORE_URL, Keys.write(trusted, folder.resolve("trusted.p12")).toString());
    settings.setProperty(DefaultCallbackHandler.TRUSTSTORE_TYPE, "PKCS12");
    settings.setProperty(DefaultCallbackHandler.TRUSTSTORE_PASSWORD, Keys.PASSWORD);
    if (!server) {
      settings.setProperty(DefaultCallbackHandler.PEER_ENTITY_ALIAS, PEER);
      settings.setProperty(DefaultCallbackHandler.MY_USERNAME, scenario.user());
      settings.setProperty(DefaultCallbackHandler.MY_PASSWORD, scenario.password());
    }
    CallbackHandler standard = new DefaultCallbackHandler(server ? "server" : "client", settings);
    return (callbacks) -> {
      for (Callback callback : callbacks) {
        if (callback instanceof PasswordValidationCallback validation) validation.setValidator(this::known);
        else standard.handle(new Callback[] {callback});
      }
    };
  }

  private boolean known(PasswordValidationCallback.Request request) {
    return request instanceof PlainTextPasswordRequest plain
        && scenario.user().equals(plain.getUsername()) && scenario.password().equals(plain.getPassword());
  }

  SSLContext tls() throws Exception {
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(own, Keys.PASSWORD.toCharArray());
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(Keys.store(OWN, null, "authority", scenario.authority()));
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }
}
