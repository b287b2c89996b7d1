package interop;

import java.security.Principal;
import java.util.Arrays;
import java.util.List;
import javax.xml.namespace.QName;
import org.apache.axiom.om.OMAttribute;
import org.apache.axiom.om.OMElement;
import org.apache.axiom.om.impl.builder.StAXOMBuilder;
import org.apache.axis2.addressing.AddressingConstants;
import org.apache.axis2.client.Options;
import org.apache.axis2.context.ConfigurationContext;
import org.apache.axis2.context.MessageContext;
import org.apache.axis2.description.AxisModule;
import org.apache.axis2.transport.http.HTTPConstants;
import org.apache.neethi.Policy;
import org.apache.rahas.RahasConstants;
import org.apache.rahas.Token;
import org.apache.rahas.TokenStorage;
import org.apache.rahas.TrustException;
import org.apache.rahas.TrustUtil;
import org.apache.rahas.client.STSClient;
import org.apache.rampart.RampartMessageData;
import org.apache.rampart.policy.RampartPolicyBuilder;
import org.apache.rampart.policy.RampartPolicyData;
import org.apache.rampart.util.RampartUtil;
import org.apache.sandesha2.SandeshaException;
import org.apache.sandesha2.client.SandeshaClientConstants;
import org.apache.sandesha2.security.SecurityManager;
import org.apache.sandesha2.security.SecurityToken;
import org.apache.ws.secpolicy.model.SecureConversationToken;
import org.apache.ws.secpolicy.model.SupportingToken;
import org.apache.ws.security.WSConstants;
import org.apache.ws.security.WSDataRef;
import org.apache.ws.security.WSDerivedKeyTokenPrincipal;
import org.apache.ws.security.WSSecurityEngineResult;
import org.apache.ws.security.conversation.ConversationConstants;
import org.apache.ws.security.handler.WSHandlerConstants;
import org.apache.ws.security.handler.WSHandlerResult;
import org.apache.ws.security.message.token.Reference;
import org.apache.ws.security.message.token.SecurityContextToken;

/**
 * Scopes sequences to the conversation's SecurityContextToken, between Sandesha2 and Rampart: the client names its token in CreateSequence,
 * and every message of a sequence must be signed by that token (under the transport profile the token signs the Timestamp).
 */
final class Scope extends SecurityManager {
  private final ConfigurationContext context;
  private final Scenario scenario;
  private final boolean client;

  private record Scoped(Token token) implements SecurityToken {}

  Scope(ConfigurationContext context, Scenario scenario, boolean client) {
    super(context);
    this.context = context;
    this.client = client;
    this.scenario = scenario;
  }

  @Override
  public void initSecurity(AxisModule module) {}

  /** For CreateSequence: the client's token, obtained here when there is none yet. At the service: the token that this request was signed by. */
  @Override
  public SecurityToken getSecurityToken(MessageContext message) throws SandeshaException {
    try {
      String identifier = (String) RampartUtil.getContextMap(message).get(RampartUtil.getContextIdentifierKey(message));
      if (identifier == null) identifier = client ? obtain(message) : signedBy(message);
      return identifier == null ? null : recoverSecurityToken(identifier);
    } catch (SandeshaException e) {
      throw e;
    } catch (Exception e) {
      throw new SandeshaException(e);
    }
  }

  @Override
  public SecurityToken getSecurityToken(OMElement reference, MessageContext message) throws SandeshaException {
    OMElement child = reference.getFirstChildWithName(Reference.TOKEN);
    if (child == null) throw new SandeshaException("SecurityTokenReference without Reference");
    return recoverSecurityToken(child.getAttributeValue(new QName("URI")));
  }

  @Override
  public OMElement createSecurityTokenReference(SecurityToken token, MessageContext message) {
    OMElement reference = ((Scoped) token).token.getUnattachedReference();
    return new StAXOMBuilder(message.getEnvelope().getOMFactory(), reference.getXMLStreamReader()).getDocumentElement();
  }

  @Override
  public void checkProofOfPossession(SecurityToken token, OMElement part, MessageContext message) throws SandeshaException {
    // Under the transport profile the service signs nothing: its answers come over the connection that TLS made.
    if (scenario.transport() && client) return;
    Token expected = ((Scoped) token).token;
    for (WSSecurityEngineResult signature : results(message, WSConstants.SIGN)) {
      if (made(signature, expected) && (scenario.transport() || covers(signature, part))) return;
    }
    throw new SandeshaException("not signed by the token of this sequence: " + part.getLocalName());
  }

  @Override
  public String getTokenRecoveryData(SecurityToken token) {
    return ((Scoped) token).token.getId();
  }

  @Override
  public SecurityToken recoverSecurityToken(String identifier) throws SandeshaException {
    Token token = stored(identifier);
    if (token == null) throw new SandeshaException("unknown token " + identifier);
    return new Scoped(token);
  }

  /** What goes out from a sequence is protected by its token, also where there is no request beside it. */
  @Override
  public void applySecurityToken(SecurityToken token, MessageContext message) {
    message.setProperty(RampartMessageData.SCT_ID, ((Scoped) token).token.getId());
  }

  private Token stored(String identifier) throws SandeshaException {
    try {
      return ((TokenStorage) context.getProperty(TokenStorage.TOKEN_STORAGE_KEY)).getToken(identifier.startsWith("#") ? identifier.substring(1) : identifier);
    } catch (TrustException e) {
      throw new SandeshaException(e);
    }
  }

  /** Whether the signature's key is the token's secret or derived from it. */
  private boolean made(WSSecurityEngineResult signature, Token token) throws SandeshaException {
    Principal principal = (Principal) signature.get(WSSecurityEngineResult.TAG_PRINCIPAL);
    if (principal instanceof WSDerivedKeyTokenPrincipal derived) {
      Token base = derived.getBasetokenId() == null ? null : stored(derived.getBasetokenId());
      return base != null && base.getId().equals(token.getId());
    }
    byte[] key = (byte[]) signature.get(WSSecurityEngineResult.TAG_SECRET);
    return key != null && Arrays.equals(key, token.getSecret());
  }

  @SuppressWarnings("unchecked")
  private static boolean covers(WSSecurityEngineResult signature, OMElement part) {
    OMAttribute id = part.getAttribute(new QName(WSConstants.WSU_NS, "Id"));
    List<WSDataRef> parts = (List<WSDataRef>) signature.get(WSSecurityEngineResult.TAG_DATA_REF_URIS);
    return id != null && parts != null && parts.stream().anyMatch(one -> one.getWsuId().equals("#" + id.getAttributeValue()));
  }

  private String signedBy(MessageContext message) {
    for (WSSecurityEngineResult result : results(message, WSConstants.SCT)) {
      return ((SecurityContextToken) result.get(WSSecurityEngineResult.TAG_SECURITY_CONTEXT_TOKEN)).getIdentifier();
    }
    return null;
  }

  @SuppressWarnings("unchecked")
  private static List<WSSecurityEngineResult> results(MessageContext message, int action) {
    List<WSHandlerResult> all = (List<WSHandlerResult>) message.getProperty(WSHandlerConstants.RECV_RESULTS);
    if (all == null) return List.of();
    return all.stream().flatMap(one -> one.getResults().stream()).filter(one -> (Integer) one.get(WSSecurityEngineResult.TAG_ACTION) == action).toList();
  }

  /** Asks the service for a token, as Rampart does before the first message that needs one. */
  private String obtain(MessageContext message) throws Exception {
    Policy policy = (Policy) message.getProperty(RampartMessageData.KEY_RAMPART_POLICY);
    RampartPolicyData data = RampartPolicyBuilder.build((List<?>) policy.getAlternatives().next());
    SecureConversationToken assertion = assertion(data);
    Policy bootstrap = assertion.getBootstrapPolicy();
    bootstrap.addAssertion(data.getRampartConfig());
    boolean sc2005 = "200502".equals(scenario.sc());
    int trust = sc2005 ? RahasConstants.VERSION_05_02 : RahasConstants.VERSION_05_12;

    STSClient sts = new STSClient(context);
    Options options = new Options();
    options.setProperty(SandeshaClientConstants.UNRELIABLE_MESSAGE, "true");
    for (String same : new String[] {HTTPConstants.CHUNKED, HTTPConstants.CUSTOM_PROTOCOL_HANDLER}) options.setProperty(same, message.getProperty(same));
    sts.setOptions(options);
    sts.setVersion(trust);
    sts.setAction(TrustUtil.getActionValue(trust, RahasConstants.RST_ACTION_SCT));
    sts.setRstTemplate(RampartUtil.createRSTTempalteForSCT(sc2005 ? ConversationConstants.VERSION_05_02 : ConversationConstants.VERSION_05_12, trust));
    sts.setSoapVersion(message.getEnvelope().getNamespace().getNamespaceURI());
    // Without a version set the token service is asked under 2004/08, whatever the application uses.
    Object addressing = message.getProperty(AddressingConstants.WS_ADDRESSING_VERSION);
    if (addressing != null) sts.setAddressingNs((String) addressing);
    if (scenario.lifetimeMs() != null) sts.setTtl(Math.max(1, scenario.lifetimeMs() / 1000));
    ClassLoader loader = message.getAxisService().getClassLoader();
    sts.setCryptoInfo(RampartUtil.getSignatureCrypto(data.getRampartConfig(), loader), RampartUtil.getPasswordCB(message, data));
    sts.addParameter(message.getParameter(WSHandlerConstants.PW_CALLBACK_REF));
    Token token = sts.requestSecurityToken(policy, message.getTo().getAddress(), bootstrap, message.getTo().getAddress());
    token.setState(Token.ISSUED);
    ((TokenStorage) context.getProperty(TokenStorage.TOKEN_STORAGE_KEY)).add(token);
    RampartUtil.getContextMap(message).put(RampartUtil.getContextIdentifierKey(message), token.getId());
    return token.getId();
  }

  private SecureConversationToken assertion(RampartPolicyData data) {
    if (!scenario.transport()) return (SecureConversationToken) data.getSignatureToken();
    SupportingToken endorsing = data.getEndorsingSupportingTokens();
    return (SecureConversationToken) endorsing.getTokens().get(0);
  }
}
