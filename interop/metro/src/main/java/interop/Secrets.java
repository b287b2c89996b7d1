package interop;

import com.sun.xml.ws.api.server.WSEndpoint;
import com.sun.xml.ws.runtime.dev.SessionManager;
import com.sun.xml.ws.security.IssuedTokenContext;
import com.sun.xml.ws.security.SecurityContextTokenInfo;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Properties;

/** Where this stack keeps a service's security contexts: the first secret of each in one table, the ones of its renewals in another. */
final class Secrets {
  private Secrets() {}

  /** The endpoint that a published one stands for: the one which its contexts are kept under. */
  static WSEndpoint<?> behind(WSEndpoint<?> published) throws ReflectiveOperationException {
    for (Object each : ((Map<?, ?>) field(SessionManager.class, "SESSION_MANAGERS").get(null)).keySet().toArray()) {
      if (each == published || published.equalsProxiedInstance((WSEndpoint<?>) each)) return (WSEndpoint<?>) each;
    }
    throw new IllegalStateException("the service keeps no contexts");
  }

  static List<Peer.Secret> of(WSEndpoint<?> endpoint) throws ReflectiveOperationException {
    List<Peer.Secret> secrets = new ArrayList<>();
    table(endpoint, "issuedTokenContextMap").forEach((identifier, context) ->
        secrets.add(secret((String) identifier, null, ((IssuedTokenContext) context).getProofKey())));
    table(endpoint, "securityContextTokenInfoMap").values().forEach((info) -> secrets.addAll(renewed((SecurityContextTokenInfo) info)));
    return secrets;
  }

  static void forget(WSEndpoint<?> endpoint) throws ReflectiveOperationException {
    for (String name : new String[] {"sessionMap", "issuedTokenContextMap", "securityContextTokenInfoMap"}) table(endpoint, name).clear();
  }

  static List<Peer.Secret> renewed(SecurityContextTokenInfo info) {
    return info.getInstanceKeys().stream().map((instance) -> secret(info.getIdentifier(), instance, info.getInstanceSecret(instance))).toList();
  }

  static Peer.Secret secret(String identifier, String instance, byte[] secret) {
    return new Peer.Secret(identifier, instance, Base64.getEncoder().encodeToString(secret));
  }

  static Field field(Class<?> type, String name) throws ReflectiveOperationException {
    Field field = type.getDeclaredField(name);
    field.setAccessible(true);
    return field;
  }

  private static Map<?, ?> table(WSEndpoint<?> endpoint, String name) throws ReflectiveOperationException {
    SessionManager manager = SessionManager.getSessionManager(endpoint, true, new Properties());
    return (Map<?, ?>) field(manager.getClass(), name).get(manager);
  }
}
