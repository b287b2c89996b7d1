/**
 * Where words become messages and messages words: Outbound -> protected envelope; Opened -> Received. The one place where soap, wss, rm and
 * sct meet. Nothing reaches a machine but what `decode` read from an Opened (D4); nothing leaves but what was protected here.
 *
 * @module
 */
import type { RandomSource } from './crypto/random.ts'
import { FAULTS, type FaultRow, PeerViolation, SecurityFailure } from './errors.ts'
import type { Limits } from './options.ts'
import type { Profile } from './profiles/profile.ts'
import { type Versions, versionsOf } from './profiles/versions.ts'
import type { Content, Outbound, OutboundBody, Received, ReceivedBody, ReceivedFault } from './rm/turn.ts'
import type { Principal, SecurityContextToken, TokenId, TokenInstance } from './sct/token.ts'
import { type Addressing, readAddressing, UNDERSTOOD_ADDRESSING, writeAddressing } from './soap/addressing.ts'
import { faultDeclarations, faultOf, headersForUs, type MessageParts, readFault, requireUnderstood, writeEnvelope, writeFault } from './soap/envelope.ts'
import { type Reliable, readReliable, type ScopeReference, UNDERSTOOD_RELIABLE, writeReliable } from './soap/reliable.ts'
import { readTrustAction } from './soap/trust.ts'
import { HMAC_SHA1, RSA_OAEP, RSA_OAEP_MGF1P, RSA_SHA1, SHA1 } from './spec/algorithms.ts'
import { ADDRESSING_VERSIONS, NS, RM_VERSIONS, type RmVersion, SC_VERSIONS, type SoapVersion, TRUST_VERSIONS } from './spec/versions.ts'
import type { Envelope, Level, Opened, Policy } from './wss/keys.ts'
import { algorithmsOf } from './wss/parts.ts'
import { protect } from './wss/protect.ts'
import { canonicalize } from './xml/canonical.ts'
import { readElement } from './xml/reader.ts'
import { Element, type Scope } from './xml/tree.ts'
import { writeNodes } from './xml/writer.ts'

export interface Written {
  readonly xml: string
  readonly action: string
  readonly soap: SoapVersion
  /** What an answer that confirms signatures must repeat. */
  readonly signatureValues?: readonly Uint8Array[]
}

// ---- out ----

export interface EncodeOptions {
  readonly profile: Profile
  readonly role: 'initiator' | 'recipient'
  /** The instance to write with. */
  readonly instance: TokenInstance
  readonly now: number
  readonly random: RandomSource
  readonly limits: Limits
  /** An answer: the values of the signatures that it answers. */
  readonly confirms?: readonly Uint8Array[] | undefined
}

/** Bodies of the protocol's own messages: encrypted where the profile says so (D23). */
const isApplication = (body: OutboundBody): boolean => body.kind === 'application'
/** WS-Addressing 1.0 §3.4: what wants an answer says where to. RM 1.0 §3.4: TerminateSequence wants none. */
function wantsReply(body: OutboundBody, rm: RmVersion): boolean {
  if (body.kind === 'application') return body.shape === 'request'
  // WS-MakeConnection §3.2: what a poll brings is no answer to it.
  return body.kind === 'create-sequence' || body.kind === 'close-sequence' || (body.kind === 'terminate-sequence' && rm.hasTerminateResponse)
}

/** One message of a sequence, protected by its token with the keys of now (D4: secure late). */
export function encode(outbound: Outbound, token: SecurityContextToken, options: EncodeOptions): Written {
  const { profile, limits } = options
  const versions = versionsOf(profile)
  const { body } = outbound
  const fault = body.kind === 'application' && body.content.isFault === true ? readElement(body.content.body, limits) : undefined
  const applicationHeaders = body.kind === 'application' ? body.content.headers.map((header) => readElement(header, limits)) : []
  const parts = writeReliable(outbound, { ...versions, scope: { identifier: token.id, str: profile.str }, applicationHeaders })
  const addressing = writeAddressing({
    action: parts.action,
    to: outbound.to.kind === 'endpoint' ? outbound.to.url : outbound.to.address,
    ...(outbound.messageId !== undefined && { messageId: outbound.messageId }),
    ...(outbound.relatesTo !== undefined && { relatesTo: outbound.relatesTo }),
    ...(wantsReply(body, versions.rm) && { replyTo: outbound.replyTo ?? 'anonymous' }),
  }, versions.addressing, versions.soap)
  const message = {
    soap: versions.soap, headers: [...addressing, ...parts.headers], body: fault === undefined ? parts.body : [fault],
    declarations: fault === undefined ? parts.declarations : { ...parts.declarations, ...faultDeclarations(fault) },
    encryptBody: isApplication(body) || profile.encryptLifecycle,
  }
  return { ...protectWith(message, token, options), action: parts.action, soap: versions.soap }
}

/** A message that is none of a sequence, under a token: Cancel and its answer, and faults. WS-SC 1.3 §6: the Body is signed; encrypted where the profile says so. */
export function encodeUnderToken(
  parts: MessageParts, addressed: { readonly to?: string; readonly messageId?: string; readonly relatesTo?: string }, token: SecurityContextToken, options: EncodeOptions & { readonly encryptBody: boolean },
): Written {
  const versions = versionsOf(options.profile)
  const addressing = writeAddressing({ action: parts.action, ...addressed, ...(addressed.messageId !== undefined && { replyTo: 'anonymous' }) }, versions.addressing, versions.soap)
  const message = { soap: versions.soap, headers: [...addressing, ...parts.headers], body: parts.body, declarations: parts.declarations, encryptBody: options.encryptBody }
  return { ...protectWith(message, token, options), action: parts.action, soap: versions.soap }
}

function protectWith(message: Parameters<typeof protect>[0], token: SecurityContextToken, options: EncodeOptions): ReturnType<typeof protect> {
  const { instance, elementId, secret } = options.instance
  return protect({ ...message, confirms: options.confirms }, { identifier: token.id, instance, elementId, secret, sc: token.sc }, options)
}

/** A fault without protection: for what was refused before there was a key to answer with. It says nothing that the sender did not know. */
export function encodeRefusal(fault: FaultRow, versions: Versions, relatesTo?: string, notUnderstood: PeerViolation['notUnderstood'] = []): Written {
  const parts = writeFault({ row: fault, notUnderstood }, versions)
  const addressing = writeAddressing({ action: parts.action, ...(relatesTo !== undefined && { relatesTo }) }, versions.addressing, versions.soap)
  const body = parts.body.filter((each) => each instanceof Element)
  return { xml: writeEnvelope(versions.soap, { headers: [...addressing, ...parts.headers], declarations: parts.declarations, body }), action: parts.action, soap: versions.soap }
}

// ---- in ----

export interface PolicyOptions { readonly profile: Profile; readonly limits: Limits }
export interface BootstrapPolicyOptions extends PolicyOptions { readonly isUnderTls: boolean }
/** The policy for messages under a security context: the algorithms of its suite and no others (K5: the suite stands with the token). */
export const sessionPolicy = ({ profile, limits }: PolicyOptions): Policy =>
  ({ level: levelOf(profile), algorithms: acceptedBy(profile), encryptBody: false, signer: 'context', skewMs: SKEW_MS, lifeMs: LIFE_MS, limits })
/** The same for an answer. Peers CXF, Metro, .NET: under TLS it bears no signature; it came in the exchange that a signed Timestamp opened. */
export const answerPolicy = (options: PolicyOptions): Policy => {
  const policy = sessionPolicy(options)
  return policy.level === 'transport' ? { ...policy, signer: 'any' } : policy
}
/** The policy for the messages that establish or renew a context. WS-SC 1.3 §3: the entropies in them are encrypted, by the message or by TLS. */
export const bootstrapPolicy = ({ profile, limits, isUnderTls }: BootstrapPolicyOptions): Policy => ({
  level: isUnderTls ? 'transport' : 'headers', algorithms: acceptedBy(profile), encryptBody: !isUnderTls, signer: isUnderTls ? 'any' : 'bootstrap', skewMs: SKEW_MS, lifeMs: LIFE_MS, limits,
})
/** The same for what a client asks. */
export const tokenRequestPolicy = (options: BootstrapPolicyOptions): Policy => {
  const policy = bootstrapPolicy(options)
  return policy.level === 'headers' && options.profile.bootstrap.accept === 'dangerBody' ? { ...policy, level: 'body' } : policy
}
const levelOf = (profile: Profile): Level => (profile.protection === 'transport' ? 'transport' : 'headers')
/** A minute ahead, five minutes of life: what the Java stacks hold to. */
const SKEW_MS = 60_000
const LIFE_MS = 300_000

function acceptedBy(profile: Profile): ReadonlySet<string> {
  const { suite, hmac, rsa, digest } = algorithmsOf(profile)
  const rows = [digest, suite.cipher, suite.keyWrap, hmac, rsa, RSA_OAEP_MGF1P, RSA_OAEP]
  if (profile.accept.sha1) rows.push(SHA1, HMAC_SHA1, RSA_SHA1)
  return new Set(rows.map((row) => row.uri))
}

/** What a message says of itself before anything is believed: enough to choose the policy and to write a refusal. */
export interface Claims { readonly action?: string; readonly messageId?: string; readonly versions: Partial<Versions> & { readonly soap: SoapVersion } }
export function claimsOf(envelope: Envelope): Claims {
  const rm = [...(envelope.header?.elements() ?? []), ...envelope.body.elements()].map((each) => RM_VERSIONS.get(each.ns)).find((row) => row !== undefined)
  const addressing = quietly(() => readAddressing(envelope))
  // Before there is a context, the dialect is that of the request for one.
  const sc = envelope.security?.elements().map((each) => SC_VERSIONS.get(each.ns)).find((row) => row !== undefined) ?? readTrustAction(addressing?.action ?? '')?.sc
  return {
    ...(addressing !== undefined && { action: addressing.action, ...(addressing.messageId !== undefined && { messageId: addressing.messageId }) }),
    versions: { soap: envelope.soap, ...(addressing !== undefined && { addressing: addressing.version }), ...(rm !== undefined && { rm }), ...(sc !== undefined && { sc }) },
  }
}
const quietly = <T>(read: () => T): T | undefined => {
  try {
    return read()
  } catch (error) {
    if (error instanceof PeerViolation) return undefined
    throw error
  }
}

/** Whether a signature covers the message, or Security alone and leaves the rest to TLS. One that is encrypted is of the first kind. */
export function protectsItself({ security, ids }: Envelope): boolean {
  const info = security?.first(NS.ds, 'Signature')?.first(NS.ds, 'SignedInfo')
  return info === undefined || info.all(NS.ds, 'Reference').some((each) => ids.get((each.attribute('URI') ?? '').slice(1))?.parent !== security)
}

/** The fault in an answer without protection, as a hint; undefined when it is no fault. */
export function hintedFault(envelope: Envelope): ReceivedFault | undefined {
  const fault = faultOf(envelope.body)
  return fault === undefined ? undefined : readFault(fault, envelope.header?.elements() ?? [])
}

/** The addressing of an opened message, every property of it covered, but where the policy asked for less. */
export function readCovered(opened: Opened): Addressing {
  const addressing = readAddressing(opened.envelope)
  if (addressing === undefined) throw new PeerViolation('ERR_WSA_MISSING', 'the message has no addressing headers', FAULTS.messageAddressingHeaderRequired)
  if (opened.level !== 'body') mustBeCovered(opened, addressing.elements)
  return addressing
}

/** Headers that are understood, in every version. */
const UNDERSTOOD: ReadonlySet<string> = new Set([...UNDERSTOOD_ADDRESSING, ...UNDERSTOOD_RELIABLE, `{${NS.wsse}}Security`])
/** What nobody has signed is no reason for a fault under the token, which would be taken for the answer of whoever was asked. */
export function mustUnderstand(opened: Opened): void {
  const { envelope: { header, soap, security }, level } = opened
  try {
    requireUnderstood(opened.envelope, UNDERSTOOD)
  } catch (error) {
    const said = (header?.elements() ?? []).filter((each) => {
      const value = each.attribute('mustUnderstand', soap.ns)?.trim() ?? 'false'
      return !['0', 'false'].includes(value) && !(each === security && ['1', 'true'].includes(value))
    })
    if (level === 'headers') mustBeCovered(opened, said)
    throw error
  }
}

/**
 * The words of a message under the security context that covers it: the only maker of Received.
 *
 * @throws {PeerViolation | SecurityFailure} what the words are not allowed to be
 */
export function decode(opened: Opened, tokenId: TokenId, principal: Principal): Received {
  const { envelope } = opened
  mustUnderstand(opened)
  const addressing = readCovered(opened)
  const reliable = readReliable(envelope, { addressing: addressing.version, detailLimit: DETAIL_LIMIT })
  // D9: every element that names a sequence is believed only when the token covers it.
  mustBeCovered(opened, [...reliable.elements, envelope.body])
  return {
    tokenId, principal, protection: opened.level === 'transport' ? 'transport' : 'message',
    soap: envelope.soap.name, addressing: addressing.version.name, rm: reliable.rm?.name, action: addressing.action, replyTo: addressing.replyTo,
    ...(addressing.faultTo !== undefined && { faultTo: addressing.faultTo }),
    ...(addressing.to !== undefined && { to: addressing.to }),
    ...(addressing.messageId !== undefined && { messageId: addressing.messageId }),
    ...(addressing.relatesTo !== undefined && { relatesTo: addressing.relatesTo }),
    covered: opened.level === 'transport' ? [] : [...opened.covered].map((element) => element.qname),
    ...(reliable.sequence !== undefined && { sequence: { id: reliable.sequence.id, number: reliable.sequence.number, last: reliable.sequence.last } }),
    acknowledgements: reliable.acknowledgements.map(({ element: _, ...words }) => words),
    ackRequested: reliable.ackRequested.map((each) => each.id),
    ...(reliable.pending !== undefined && { pending: reliable.pending }),
    body: bodyWords(opened, tokenId, addressing, reliable),
  } as unknown as Received
}

const DETAIL_LIMIT = 65_536

function bodyWords(opened: Opened, identifier: string, addressing: Addressing, reliable: Reliable): ReceivedBody {
  const { body } = reliable
  switch (body.kind) {
    case 'create-sequence': {
      const { str, ...words } = body
      return { ...words, usesSequenceStr: reliable.usesSequenceStr, scope: str === undefined ? 'absent' : namesSigner(opened.envelope, str, identifier) ? 'bound' : 'other' }
    }
    case 'application': return { kind: 'application', content: contentOf(opened, addressing, body.element) }
    case 'fault': return { kind: 'fault', fault: body.fault }
    case 'empty':
      // An application message with an empty Body is one that has a Sequence header and an action of its own.
      return reliable.sequence !== undefined && !RM_VERSIONS.has(addressing.action.slice(0, addressing.action.lastIndexOf('/')))
        ? { kind: 'application', content: contentOf(opened, addressing, undefined) } : body
    default: return body
  }
}

/** WS-RM 1.1 §6.1: the reference must name the token that signed this very message, whichever way it names it. */
function namesSigner(envelope: Envelope, str: ScopeReference, identifier: string): boolean {
  if (str.form === 'unattached') return str.uri === identifier
  if (str.form !== 'attached') return false
  const element = contextIn(envelope, str.uri.slice(1))
  return element?.first(element.ns, 'Identifier')?.text.trim() === identifier
}
/** The token of that id in our own Security header: one that stands elsewhere is none. */
export function contextIn(envelope: Envelope, id: string): Element | undefined {
  const element = envelope.ids.get(id)
  return element !== undefined && element.parent === envelope.security && element.local === 'SecurityContextToken' && SC_VERSIONS.has(element.ns) ? element : undefined
}

const RESERVED: ReadonlySet<string> = new Set([...ADDRESSING_VERSIONS.keys(), ...RM_VERSIONS.keys(), ...TRUST_VERSIONS.keys(), ...SC_VERSIONS.keys(), NS.wsse, NS.wsse11, NS.wsmc])
function contentOf(opened: Opened, addressing: Addressing, element: Element | undefined): Content {
  const headers = headersForUs(opened.envelope).filter((header) => !RESERVED.has(header.ns) && (opened.level === 'transport' || opened.covered.has(header)))
  return {
    action: addressing.action, messageId: addressing.messageId ?? '', ...(addressing.relatesTo !== undefined && { relatesTo: addressing.relatesTo }),
    body: element === undefined ? '' : standalone(element), headers: headers.map(standalone),
  }
}

function mustBeCovered(opened: Opened, elements: readonly Element[]): void {
  // The transport profile: TLS covers what the Timestamp's signature came with (D9).
  if (opened.level === 'transport') return
  if (!elements.every((element) => opened.covered.has(element))) throw new SecurityFailure('ERR_WSS_COVERAGE', 'a part that is acted on is not covered by the signature', FAULTS.failedCheck)
}

// ---- content ----

/** The caller's XML, read strictly and written so that it stands alone; every declaration of his is kept. */
export function contentXml(xml: string | Uint8Array, limits: Limits): string { return writeNodes([readElement(xml, limits)]) }

/**
 * A part of a message as a document of its own: canonical, with the namespaces that its names use, and those that its content may use
 * (QNames in text and attribute values, which canonical form alone would leave unbound).
 */
export function standalone(element: Element): string {
  const prefixes = new Set<string>()
  for (let scope: Scope | undefined = element.scope; scope !== undefined; scope = scope.outer) if (scope.prefix !== '') prefixes.add(scope.prefix)
  const used = new Set<string>()
  collectPrefixes(element, prefixes, used)
  return canonicalize(element, { inclusivePrefixes: [...used] })
}
function collectPrefixes(element: Element, known: ReadonlySet<string>, used: Set<string>): void {
  const look = (text: string): void => {
    const colon = text.indexOf(':')
    if (colon < 0) return
    const prefix = text.slice(0, colon).trim()
    if (known.has(prefix)) used.add(prefix)
  }
  for (const attribute of element.attributes) look(attribute.value)
  for (const child of element.children) {
    if (child instanceof Element) collectPrefixes(child, known, used)
    else look(child.value)
  }
}
