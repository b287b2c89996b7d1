package interop;

import java.io.ByteArrayInputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;

/** PEM into key stores, which is what these stacks read. Every password is {@link #PASSWORD}. */
public final class Keys {
  public static final String PASSWORD = "changeit";

  private Keys() {}

  public static X509Certificate certificate(String pem) throws Exception {
    return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(pem.getBytes(StandardCharsets.US_ASCII)));
  }

  public static PrivateKey key(String pem) throws Exception {
    String base64 = pem.replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
    return KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(base64)));
  }

  /** A store with the identity's key under {@code alias} and the other certificates as trusted entries (alias, PEM, alias, PEM...). */
  public static KeyStore store(String alias, Scenario.Identity identity, String... trusted) throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    if (identity != null && identity.key() != null) {
      store.setKeyEntry(alias, key(identity.key()), PASSWORD.toCharArray(), new Certificate[] {certificate(identity.certificate())});
    }
    for (int i = 0; i < trusted.length; i += 2) store.setCertificateEntry(trusted[i], certificate(trusted[i + 1]));
    return store;
  }

  public static Path write(KeyStore store, Path file) throws Exception {
    try (OutputStream out = Files.newOutputStream(file)) {
      store.store(out, PASSWORD.toCharArray());
    }
    return file;
  }
}
