package interop;

/** One conversation's choices, as the runner writes them (README.md); PEM where there are certificates and keys (PKCS #8). */
public record Scenario(
    String soap, String addressing, String rm, String sc, String bootstrap, String protection, String suite, boolean derivedKeys, String order,
    boolean encryptSignature, String layout, String includeToken, boolean encryptLifecycle, boolean signatureConfirmation, String shape,
    Integer lifetimeMs, int retransmitMs, boolean addressable, boolean makeConnection, Identity client, Identity service, String authority, String user, String password) {

  public record Identity(String certificate, String key) {}

  public boolean request() {
    return "request".equals(shape);
  }

  /** The transport profile: TLS, the token signs the Timestamp. */
  public boolean transport() {
    return "transport".equals(protection);
  }

  /** Whether the service listens with TLS. */
  public boolean tls() {
    return transport() || bootstrap.endsWith("OverTls");
  }
}
