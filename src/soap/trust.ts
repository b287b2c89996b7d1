/**
 * WS-Trust for security context tokens: RST, RSTR and RSTRC to words and back, both dialects by row.
 * Entropy and secrets become KeyObjects as soon as they are read, and text only where they are written.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { secretKey } from '../crypto/hash.ts'
import { FAULTS, PeerViolation, UsageError } from '../errors.ts'
import { DEFAULT_LIMITS } from '../options.ts'
import type { TokenRequest, TokenResponse } from '../sct/token.ts'
import { NS, SC05, SC13, type ScVersion, TRUST_VERSIONS } from '../spec/versions.ts'
import type { Element } from '../xml/tree.ts'
import { type Vocabulary, vocabulary } from '../xml/writer.ts'
import { trimmed } from './envelope.ts'

type Kind = TokenRequest['kind']
const DIALECTS: readonly ScVersion[] = [SC13, SC05]
const KINDS: readonly Kind[] = ['issue', 'renew', 'cancel']
const REQUEST_TYPES: Readonly<Record<Kind, string>> = { issue: 'Issue', renew: 'Renew', cancel: 'Cancel' }
const SUFFIXES: Readonly<Record<Kind, string>> = { issue: '', renew: '/Renew', cancel: '/Cancel' }

/** WS-SC 1.3 §3, §5, §6: the actions of the exchanges that issue, renew and cancel a context. */
export const trustAction = (sc: ScVersion, kind: Kind, direction: 'request' | 'response'): string =>
  `${sc.trust.ns}/${direction === 'request' ? 'RST' : 'RSTR'}/SCT${SUFFIXES[kind]}`

const ACTIONS: ReadonlyMap<string, { readonly sc: ScVersion; readonly kind: Kind; readonly direction: 'request' | 'response' }> = new Map(
  DIALECTS.flatMap((sc) => KINDS.flatMap((kind) => (['request', 'response'] as const).map((direction) => [trustAction(sc, kind, direction), { sc, kind, direction }] as const))),
)
/** What an action of the token exchange means; undefined for every other action. */
export const readTrustAction = (action: string): { readonly sc: ScVersion; readonly kind: Kind; readonly direction: 'request' | 'response' } | undefined => ACTIONS.get(action)

// ---- read ----

/**
 * Reads a RequestSecurityToken for a context. `attached`: the context that stands in the same message under an id.
 *
 * @throws {PeerViolation} ERR_TRUST_*: told as InvalidRequest
 */
export function readTokenRequest(element: Element, attached: (id: string) => Element | undefined = () => undefined): TokenRequest {
  const trust = TRUST_VERSIONS.get(element.ns)
  const sc = DIALECTS.find((each) => each.trust === trust)
  if (sc === undefined || element.local !== 'RequestSecurityToken') throw invalid('ERR_TRUST_REQUEST', 'the Body is no RequestSecurityToken')
  const requestType = text(element, 'RequestType')
  const kind = KINDS.find((each) => requestType === `${element.ns}/${REQUEST_TYPES[each]}`)
  if (kind === undefined) throw invalid('ERR_TRUST_TYPE', 'a RequestType that is not known here')
  // WS-SC 1.3 §3: an SCT is asked for by its TokenType. Peer CXF 4: leaves it out when it renews; the action says the rest.
  const tokenType = text(element, 'TokenType')
  if (tokenType !== undefined && !isSct(tokenType)) throw invalid('ERR_TRUST_TOKEN_TYPE', 'another kind of token is asked for')
  const algorithm = text(element, 'ComputedKeyAlgorithm')
  if (algorithm !== undefined && algorithm !== `${element.ns}/CK/PSHA1`) throw invalid('ERR_TRUST_ALGORITHM', 'a ComputedKeyAlgorithm that is not known here')
  const keyType = text(element, 'KeyType')
  if (keyType !== undefined && keyType !== `${element.ns}/SymmetricKey`) throw invalid('ERR_TRUST_KEY_TYPE', 'a context has a symmetric key')
  const entropy = single(element, 'Entropy')
  const target = single(element, kind === 'renew' ? 'RenewTarget' : 'CancelTarget')
  if (kind !== 'issue' && target === undefined) throw invalid('ERR_TRUST_TARGET', 'the token to renew or cancel is not named')
  return {
    kind, sc, ...contextOf(element), ...keySize(element), ...lifetimeOf(element),
    ...(entropy !== undefined && { entropy: secretIn(entropy) }),
    ...(target !== undefined && kind !== 'issue' && { target: readTarget(target, attached) }),
  }
}

/**
 * Reads an RSTR, alone or as the only one of a collection.
 *
 * @throws {PeerViolation} ERR_TRUST_*
 */
export function readTokenResponse(body: Element, kind: Kind): TokenResponse {
  const element = soleResponse(body)
  const sc = DIALECTS.find((each) => each.trust.ns === element.ns)
  if (sc === undefined) throw invalid('ERR_TRUST_RESPONSE', 'the Body is no RequestSecurityTokenResponse')
  if (kind === 'cancel') {
    // WS-Trust 1.3 §7: RequestedTokenCancelled says that it is done.
    if (single(element, 'RequestedTokenCancelled') === undefined) throw invalid('ERR_TRUST_RESPONSE', 'the answer does not say that the token is cancelled')
    return { kind, sc, ...contextOf(element) }
  }
  const tokenType = text(element, 'TokenType')
  if (tokenType !== undefined && !isSct(tokenType)) throw invalid('ERR_TRUST_TOKEN_TYPE', 'another kind of token was issued')
  const requested = single(element, 'RequestedSecurityToken')
  const context = requested?.elements()
  if (context?.length !== 1 || context[0]?.local !== 'SecurityContextToken' || !isSct(`${context[0].ns}/sct`)) {
    throw invalid('ERR_TRUST_RESPONSE', 'the answer holds no SecurityContextToken')
  }
  const token = { ...readContextToken(context[0]), ...elementIdOf(context[0]) }
  checkUnattached(element, token.identifier)
  const { created, expires } = lifetimeOf(element).lifetime ?? {}
  return { kind, sc, token, proof: proofOf(element), ...contextOf(element), ...keySize(element), ...(expires !== undefined && { lifetime: { ...(created !== undefined && { created }), expires } }) }
}

/** WS-Trust 1.3 §3.2: a collection with one response. Peers of 2005/02, and some of 1.3, send it bare. */
function soleResponse(body: Element): Element {
  if (!TRUST_VERSIONS.has(body.ns)) throw invalid('ERR_TRUST_RESPONSE', 'the Body is no RequestSecurityTokenResponse')
  if (body.local === 'RequestSecurityTokenResponse') return body
  const responses = body.elements()
  const [first] = responses
  if (body.local !== 'RequestSecurityTokenResponseCollection' || first === undefined || responses.length > 1 || !first.is(body.ns, 'RequestSecurityTokenResponse')) {
    throw invalid('ERR_TRUST_RESPONSE', 'the Body does not hold exactly one RequestSecurityTokenResponse')
  }
  return first
}

/** WS-Trust 1.3 §4.4.4, §4.4.6; the Type of a BinarySecret is not looked at: peer CXF 4 gives a whole key as a Nonce. */
function proofOf(element: Element): NonNullable<TokenResponse['proof']> {
  const proof = single(element, 'RequestedProofToken')
  const entropy = single(element, 'Entropy')
  if (proof === undefined) {
    if (entropy !== undefined) throw invalid('ERR_TRUST_PROOF', 'entropy without a way to use it')
    return { kind: 'requestor' }
  }
  const algorithm = text(proof, 'ComputedKey')
  if (algorithm === undefined) return { kind: 'given', secret: secretIn(proof) }
  if (algorithm !== `${element.ns}/CK/PSHA1` || entropy === undefined) throw invalid('ERR_TRUST_PROOF', 'a computed key that cannot be computed')
  return { kind: 'computed', entropy: secretIn(entropy) }
}

/** The words of a SecurityContextToken element. */
export function readContextToken(element: Element): { readonly identifier: string; readonly instance?: string } {
  const name = (local: string): string | undefined => {
    const found = element.all(element.ns, local)
    if (found.length > 1) throw invalid('ERR_TRUST_TWICE', `${local} stands twice`)
    const value = found[0]?.isLeaf ? trimmed(found[0].text) : undefined
    if (found.length > 0 && (value === undefined || value === '' || value.length > DEFAULT_LIMITS.identifierLength)) throw invalid('ERR_TRUST_IDENTIFIER', `${local} is empty or too long`)
    return value
  }
  const identifier = name('Identifier')
  const instance = name('Instance')
  if (identifier === undefined) throw invalid('ERR_TRUST_IDENTIFIER', 'a SecurityContextToken without Identifier')
  return { identifier, ...(instance !== undefined && { instance }) }
}

/**
 * WS-Trust 1.3 §4.4: RequestedAttachedReference refers to the token by the id that its element has, so that id goes with it wherever it stands.
 * Peer Sandesha2: looks the token up by it.
 */
function elementIdOf(context: Element): { readonly elementId?: string } {
  const id = context.attribute('Id', NS.wsu) ?? ''
  return id.length <= DEFAULT_LIMITS.nameLength && NC_NAME.test(id) ? { elementId: id } : {}
}
/** Letters, digits and what stands between them in the ids that are in use: less than an NCName may have, and nothing that ends an attribute or a reference. */
const NC_NAME = /^[A-Za-z_][A-Za-z0-9_.-]*$/

/** A reference by identifier (WCF, Metro, ours), or the token itself (peer CXF 4). */
function readTarget(target: Element, attached: (id: string) => Element | undefined): { readonly identifier: string; readonly instance?: string } {
  const [element, other] = target.elements()
  if (element === undefined || other !== undefined) throw invalid('ERR_TRUST_TARGET', 'the token to renew or cancel is not named once')
  if (element.local === 'SecurityContextToken' && DIALECTS.some((each) => each.ns === element.ns)) return readContextToken(element)
  const reference = element.is(NS.wsse, 'SecurityTokenReference') ? element.first(NS.wsse, 'Reference') : undefined
  const uri = reference?.attribute('URI') ?? ''
  // Peer Sandesha2: names the token by the id that it has in this message.
  const carried = uri.startsWith('#') ? attached(uri.slice(1)) : undefined
  if (carried !== undefined) return readContextToken(carried)
  // WS-SC 1.3 §5: the target means the same in any message; a reference to nothing does not.
  if (reference === undefined || uri === '' || uri.startsWith('#') || uri.length > DEFAULT_LIMITS.identifierLength) throw invalid('ERR_TRUST_TARGET', 'the token is not named by its identifier')
  const instance = DIALECTS.map((each) => reference.attribute('Instance', each.ns)).find((value) => value !== undefined)
  return { identifier: uri, ...(instance !== undefined && { instance }) }
}

/** RequestedUnattachedReference may be missing (peer Metro 4, renewals); where it stands, it names this token. */
function checkUnattached(element: Element, identifier: string): void {
  const uri = single(element, 'RequestedUnattachedReference')?.first(NS.wsse, 'SecurityTokenReference')?.first(NS.wsse, 'Reference')?.attribute('URI')
  if (uri !== undefined && uri !== identifier) throw invalid('ERR_TRUST_RESPONSE', 'the reference names another token than was issued')
}

const SECRET_BYTES = [16, 128] as const
/** The one BinarySecret in `parent`, as a key. */
function secretIn(parent: Element): KeyObject {
  const secret = single(parent, 'BinarySecret')
  const encoded = secret?.isLeaf ? secret.text.replace(/[ \t\r\n]+/g, '') : ''
  if (encoded.length > 4 * SECRET_BYTES[1] || encoded.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) throw invalid('ERR_TRUST_SECRET', 'no BinarySecret that can be read')
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.length < SECRET_BYTES[0] || bytes.length > SECRET_BYTES[1]) throw invalid('ERR_TRUST_SECRET', 'a secret that is too short or too long')
  const key = secretKey(bytes)
  bytes.fill(0)
  return key
}

function keySize(element: Element): { readonly keySizeBits?: number } {
  const value = text(element, 'KeySize')
  if (value === undefined) return {}
  const bits = /^\+?[0-9]{1,6}$/.test(value) ? Number(value) : 0
  // WS-Trust 1.3 §4.4.4 leaves the range open; a context key has 128 to 1,024 bits, whole bytes.
  if (bits < 128 || bits > 1_024 || bits % 8 !== 0) throw invalid('ERR_TRUST_KEY_SIZE', 'a KeySize outside of 128 to 1,024 bits')
  return { keySizeBits: bits }
}

function lifetimeOf(element: Element): { readonly lifetime?: { readonly created?: number; readonly expires?: number } } {
  const lifetime = single(element, 'Lifetime')
  if (lifetime === undefined) return {}
  const at = (local: string): number | undefined => {
    const found = lifetime.all(NS.wsu, local)
    if (found.length > 1) throw invalid('ERR_TRUST_TWICE', `${local} stands twice`)
    const time = found[0] === undefined ? undefined : readInstant(found[0].text)
    if (found.length > 0 && time === undefined) throw invalid('ERR_TRUST_LIFETIME', `${local} is no time in UTC`)
    return time
  }
  const created = at('Created')
  const expires = at('Expires')
  if (created !== undefined && expires !== undefined && expires <= created) throw invalid('ERR_TRUST_LIFETIME', 'a lifetime that ends before it begins')
  return { lifetime: { ...(created !== undefined && { created }), ...(expires !== undefined && { expires }) } }
}

const INSTANT = /^([0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?:\.([0-9]{1,9}))?Z$/
/** xs:dateTime in UTC, up to nine digits behind the second, no leap second; in milliseconds. */
function readInstant(written: string): number | undefined {
  const parts = written.length > 64 ? null : INSTANT.exec(trimmed(written))
  if (parts === null) return undefined
  const time = Date.parse(`${parts[1]}.${(parts[2] ?? '').padEnd(3, '0').slice(0, 3)}Z`)
  // 31 February is parsed by rolling over or not at all; neither is a day.
  return Number.isNaN(time) || new Date(time).toISOString().slice(0, 19) !== parts[1] ? undefined : time
}

/** WS-Trust 1.3 §3.1: @Context of the request stands in its answer. */
function contextOf(element: Element): { readonly context?: string } {
  const context = element.attribute('Context')
  if (context !== undefined && context.length > DEFAULT_LIMITS.identifierLength) throw invalid('ERR_TRUST_CONTEXT', 'a Context that is too long')
  return context === undefined ? {} : { context }
}

/** Peers pair the dialects as published; a type of the other one still says SCT. */
const isSct = (type: string): boolean => DIALECTS.some((each) => each.sct === type)
/** WS-Trust 1.3 §3.1: these children stand at most once. */
function single(parent: Element, local: string): Element | undefined {
  const ns = TRUST_VERSIONS.has(parent.ns) ? parent.ns : ''
  const found = parent.all(ns, local)
  if (found.length > 1) throw invalid('ERR_TRUST_TWICE', `${local} stands twice`)
  return found[0]
}
function text(parent: Element, local: string): string | undefined {
  const element = single(parent, local)
  if (element === undefined) return undefined
  if (!element.isLeaf) throw invalid('ERR_TRUST_CONTENT', `${local} holds more than text`)
  return trimmed(element.text)
}
const invalid = (code: string, message: string): PeerViolation => new PeerViolation(code, message, FAULTS.invalidRequest)

// ---- written ----

interface Words { readonly wst: Vocabulary; readonly wsc: Vocabulary }
const WORDS: ReadonlyMap<string, Words> = new Map(DIALECTS.map((sc) => [sc.name, { wst: vocabulary('wst', sc.trust.ns), wsc: vocabulary('wsc', sc.ns) }]))
const wsse = vocabulary('wsse', NS.wsse)
const wsu = vocabulary('wsu', NS.wsu)
function wordsOf(sc: ScVersion): Words {
  const words = WORDS.get(sc.name)
  if (words === undefined) throw new UsageError('ERR_TRUST_VERSION', 'a dialect that is not known here')
  return words
}

export function writeTokenRequest(request: TokenRequest): Element {
  const { kind, sc, target } = request
  const { wst } = wordsOf(sc)
  if (kind !== 'issue' && target === undefined) throw new UsageError('ERR_TRUST_TARGET', 'the token to renew or cancel must be named')
  const reference = target && unattached(target.identifier, target.instance, sc)
  const type = wst('RequestType', `${sc.trust.ns}/${REQUEST_TYPES[kind]}`)
  const context = { Context: request.context }
  if (kind === 'cancel') return wst('RequestSecurityToken', context, type, wst('CancelTarget', reference))
  return wst(
    'RequestSecurityToken', context, wst('TokenType', sc.sct), type, entropyOf(request.entropy, sc), requestedLifetime(request, sc),
    request.keySizeBits === undefined ? undefined : wst('KeySize', String(request.keySizeBits)),
    request.entropy === undefined ? undefined : wst('ComputedKeyAlgorithm', `${sc.trust.ns}/CK/PSHA1`),
    kind === 'renew' ? wst('RenewTarget', reference) : undefined,
  )
}

/** The Body content of an answer; `id` becomes the wsu:Id of the token in it. */
export function writeTokenResponse(response: TokenResponse, id: string): Element {
  const { kind, sc } = response
  const { wst } = wordsOf(sc)
  const content = kind === 'cancel' ? [wst('RequestedTokenCancelled')] : issued(response, id)
  const element = wst('RequestSecurityTokenResponse', { Context: response.context }, content)
  // WS-Trust 1.3 §3.2: a final answer is a collection; 2005/02 sends it bare.
  return sc.trust.collection ? wst('RequestSecurityTokenResponseCollection', element) : element
}

function issued(response: TokenResponse, id: string): readonly (Element | undefined)[] {
  const { sc, token, proof } = response
  const { wst } = wordsOf(sc)
  if (token === undefined || proof === undefined) throw new UsageError('ERR_TRUST_RESPONSE', 'an issued token has an identifier and a proof')
  const given = proof.kind === 'computed' ? wst('ComputedKey', `${sc.trust.ns}/CK/PSHA1`) : proof.kind === 'given' ? secretOf(proof.secret, `${sc.trust.ns}/SymmetricKey`, wst) : undefined
  return [
    wst('TokenType', sc.sct),
    wst('RequestedSecurityToken', writeContextToken(token, sc, wsu.attribute('Id', id))),
    wst('RequestedAttachedReference', wsse('SecurityTokenReference', wsse('Reference', { URI: `#${id}`, ValueType: sc.sct }))),
    wst('RequestedUnattachedReference', unattached(token.identifier, token.instance, sc)),
    given && wst('RequestedProofToken', given),
    proof.kind === 'computed' ? entropyOf(proof.entropy, sc) : undefined,
    response.lifetime && lifetimeWords(response.lifetime, sc),
    response.keySizeBits === undefined ? undefined : wst('KeySize', String(response.keySizeBits)),
  ]
}

function writeContextToken(token: { readonly identifier: string; readonly instance?: string }, sc: ScVersion, id: ReturnType<Vocabulary['attribute']>): Element {
  const { wsc } = wordsOf(sc)
  return wsc('SecurityContextToken', id, wsc('Identifier', token.identifier), token.instance === undefined ? undefined : wsc('Instance', token.instance))
}

/** WS-SC 1.3 §8: a reference that means the same in any message; the Instance stands beside it after a renewal. */
function unattached(identifier: string, instance: string | undefined, sc: ScVersion): Element {
  return wsse('SecurityTokenReference', wsse('Reference', { URI: identifier, ValueType: sc.sct }, wordsOf(sc).wsc.attribute('Instance', instance)))
}

function requestedLifetime(request: TokenRequest, sc: ScVersion): Element | undefined {
  const { created, expires } = request.lifetime ?? {}
  return created === undefined && expires === undefined ? undefined : lifetimeWords({ ...(created !== undefined && { created }), ...(expires !== undefined && { expires }) }, sc)
}
const lifetimeWords = ({ created, expires }: { readonly created?: number; readonly expires?: number }, sc: ScVersion): Element => wordsOf(sc).wst(
  'Lifetime', created === undefined ? undefined : wsu('Created', instant(created)), expires === undefined ? undefined : wsu('Expires', instant(expires)),
)
const entropyOf = (entropy: KeyObject | undefined, sc: ScVersion): Element | undefined =>
  entropy && wordsOf(sc).wst('Entropy', secretOf(entropy, `${sc.trust.ns}/Nonce`, wordsOf(sc).wst))
function secretOf(secret: KeyObject, type: string, wst: Vocabulary): Element {
  const bytes = secret.export()
  const encoded = bytes.toString('base64')
  bytes.fill(0)
  return wst('BinarySecret', { Type: type }, encoded)
}
const instant = (ms: number): string => new Date(ms).toISOString()
