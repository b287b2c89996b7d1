package interop;

import com.sun.xml.ws.api.security.secconv.client.SCTokenConfiguration;
import com.sun.xml.ws.api.security.trust.WSTrustException;
import com.sun.xml.ws.api.security.trust.client.IssuedTokenManager;
import com.sun.xml.ws.security.IssuedTokenContext;
import com.sun.xml.ws.security.SecurityContextTokenInfo;
import com.sun.xml.ws.security.secconv.impl.client.SCTokenProviderImpl;
import jakarta.xml.ws.Binding;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The tokens of all clients of the process: this stack keeps them in one place, and an exchange with a token service puts its settings
 * where the next finds them. So exchanges go one after the other here; messages under a token that is there do not wait for them.
 */
final class Tokens extends SCTokenProviderImpl {
  /** So long before its end a token is no longer looked up beside an exchange: it could be one itself. */
  private static final long MARGIN_MS = 1_000;

  private static final Tokens ALL = new Tokens();

  private final ReentrantLock exchange = new ReentrantLock();
  /** By identifier; the ones of renewals by identifier and instance. */
  private final Map<String, IssuedTokenContext> contexts = Collections.synchronizedMap(new HashMap<>());
  private final Map<String, SecurityContextTokenInfo> renewed = Collections.synchronizedMap(new HashMap<>());

  /** Before the first client. */
  static void install() throws ReflectiveOperationException {
    Secrets.field(SCTokenProviderImpl.class, "issuedTokenContextMap").set(ALL, ALL.contexts);
    Secrets.field(SCTokenProviderImpl.class, "securityContextTokenMap").set(ALL, ALL.renewed);
    @SuppressWarnings("unchecked")
    Map<String, Object> providers = (Map<String, Object>) Secrets.field(IssuedTokenManager.class, "itpMap").get(IssuedTokenManager.getInstance());
    providers.put(SCTokenConfiguration.PROTOCOL_10, ALL);
    providers.put(SCTokenConfiguration.PROTOCOL_13, ALL);
  }

  /** Of the client whose port has this binding. */
  static List<Peer.Secret> secrets(Binding binding) {
    List<Peer.Secret> secrets = new ArrayList<>();
    for (IssuedTokenContext context : ALL.contexts.values().toArray(IssuedTokenContext[]::new)) {
      SCTokenConfiguration configuration = configuration(context);
      if (configuration.getWSBinding() != binding) continue;
      String identifier = configuration.getTokenId();
      secrets.add(Secrets.secret(identifier, null, context.getProofKey()));
      for (SecurityContextTokenInfo info : ALL.renewed.values().toArray(SecurityContextTokenInfo[]::new)) {
        if (identifier.equals(info.getIdentifier())) secrets.addAll(Secrets.renewed(info));
      }
    }
    return secrets;
  }

  private static SCTokenConfiguration configuration(IssuedTokenContext context) {
    return (SCTokenConfiguration) context.getSecurityPolicy().get(0);
  }

  @Override
  public void issue(IssuedTokenContext context) throws WSTrustException {
    IssuedTokenContext there = contexts.get(configuration(context).getTokenId());
    if (there != null && there.getExpirationTime().getTime() - System.currentTimeMillis() > MARGIN_MS) {
      super.issue(context);
      return;
    }
    exchange.lock();
    try {
      super.issue(context);
    } finally {
      exchange.unlock();
    }
  }

  @Override
  public void renew(IssuedTokenContext context) throws WSTrustException {
    exchange.lock();
    try {
      super.renew(context);
    } finally {
      exchange.unlock();
    }
  }

  @Override
  public void cancel(IssuedTokenContext context) {
    exchange.lock();
    try {
      super.cancel(context);
    } finally {
      exchange.unlock();
    }
  }
}
