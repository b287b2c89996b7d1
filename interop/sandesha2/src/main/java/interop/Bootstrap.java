package interop;

import org.apache.axis2.context.MessageContext;
import org.apache.axis2.handlers.AbstractHandler;
import org.apache.rampart.RampartMessageData;

/**
 * Puts the bootstrap policy in force for a token request and its answer. Rampart does so itself where the token is the binding's protection
 * token, but not where it is an endorsing one (axis2.xml has this handler before the security phases).
 */
public final class Bootstrap extends AbstractHandler {
  static final String POLICY = "bootstrapPolicy";

  @Override
  public InvocationResponse invoke(MessageContext message) {
    Object policy = message.getAxisService() == null ? null : message.getAxisService().getParameterValue(POLICY);
    String action = message.getWSAAction();
    if (policy != null && action != null && (action.endsWith("/RST/SCT") || action.endsWith("/RSTR/SCT"))) {
      message.setProperty(RampartMessageData.KEY_RAMPART_POLICY, policy);
    }
    return InvocationResponse.CONTINUE;
  }
}
