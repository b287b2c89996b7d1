/**
 * What the recipient answers to a request for a token: issue, renew and cancel, decided from words alone.
 * Synchronous and pure: who asks was authenticated before, what is granted is stored after, by others.
 *
 * @module
 */
import { FAULTS, type FaultRow } from '../errors.ts'
import { freshSecret, urnUuid, type RandomSource } from '../crypto/random.ts'
import { computedKey } from '../crypto/derive.ts'
import { SUITES, type SuiteName } from '../spec/algorithms.ts'
import { believedInstances, believedUntil, keptInstances, samePrincipal, TokenInstance, type Principal, type SecurityContextToken, type TokenId, type TokenRequest, type TokenResponse } from './token.ts'

export interface IssuerPolicy {
  /** Lifetime when none is asked for. */
  readonly lifetimeMs: number
  readonly lifetimeRangeMs: readonly [least: number, most: number]
  /** How long the instance before a renewal is believed. */
  readonly overlapMs: number
  /** How long after its expiry the newest instance may still endorse a renewal. */
  readonly renewalGraceMs: number
  readonly entropyBytes: readonly [least: number, most: number]
  /** Instances of one token that are believed at a time: renewing in a loop must not fill the record. */
  readonly instances: number
  readonly tokensPerPrincipal: number
  /** A renewal may come without a signature of the token, from the principal who established it. */
  readonly renewWithoutProof: boolean
  /** wsu:Created of a wished lifetime may lie this far ahead. */
  readonly skewMs: number
}
/**
 * 10 h as Metro and WCF renew; at least a minute, or a token is gone before it is used. Overlap 5 min (D23). Grace 1 h: a stack that renews
 * only after expiry (Peer CXF) does so with its next message. Entropy 16 to 128 octets (fact sheet 17.2).
 */
export const DEFAULT_ISSUER_POLICY: IssuerPolicy = {
  lifetimeMs: 36_000_000, lifetimeRangeMs: [60_000, 36_000_000], overlapMs: 300_000, renewalGraceMs: 3_600_000,
  entropyBytes: [16, 128], instances: 8, tokensPerPrincipal: 64, renewWithoutProof: false, skewMs: 300_000,
}

/** A request with what was proven about it. */
export interface TokenQuestion {
  readonly request: TokenRequest
  /** Who the bootstrap (issue, renew) or the token (cancel) proved the requestor to be. */
  readonly principal: Principal
  /** The context that endorsed the request (renew) or signed it (cancel). */
  readonly signer?: { readonly identifier: string; readonly instance: string | undefined }
  /** The token that is meant by a renew or cancel, as it is kept; ended ones too. */
  readonly existing?: SecurityContextToken
  /** Tokens that this principal holds already. */
  readonly held: number
  /** Sequences bound to the existing token, tombstones not counted. */
  readonly bound: number
  readonly suite: SuiteName
  /** The service's address. */
  readonly peer: string
}
export type TokenDecision =
  | { readonly granted: true; readonly response: TokenResponse; /** What is to be stored, durably, before the response leaves. */ readonly token: SecurityContextToken }
  | { readonly granted: false; readonly code: string; readonly reason: string; readonly fault: FaultRow }

/** The id of the token's element, in whatever message it stands (WS-Trust 1.3 §4.4): none that a body beside it may have. */
const elementId = (random: RandomSource): string => `sct-${urnUuid(random).slice('urn:uuid:'.length)}`
const refuse = (code: string, reason: string, fault: FaultRow): TokenDecision => ({ granted: false, code, reason, fault })
const invalid = (code: string, reason: string): TokenDecision => refuse(code, reason, FAULTS.invalidRequest)
const unable = (reason: string): TokenDecision => refuse('ERR_SCT_RENEW', reason, FAULTS.unableToRenew)

/** Decides one request. */
export function decide(question: TokenQuestion, policy: IssuerPolicy, now: number, random: RandomSource): TokenDecision {
  switch (question.request.kind) {
    case 'issue': return issue(question, policy, now, random)
    case 'renew': return renew(question, policy, now, random)
    case 'cancel': return cancel(question, policy, now)
  }
}

function issue(question: TokenQuestion, policy: IssuerPolicy, now: number, random: RandomSource): TokenDecision {
  const { request, principal, suite, peer } = question
  if (question.held >= policy.tokensPerPrincipal) return refuse('ERR_SCT_QUOTA', `the principal holds ${question.held} tokens`, FAULTS.requestFailed)
  // Peer Sandesha2: names no size, and computes a key of the suite's.
  const key = newKey({ keySizeBits: suiteBits(suite), ...request }, policy, now, random)
  if ('granted' in key) return key
  const id = urnUuid(random) as TokenId
  const token: SecurityContextToken = {
    id, role: 'recipient', sc: request.sc, suite, principal, peer, state: 'live',
    instances: [new TokenInstance({ secret: key.secret, elementId: elementId(random), created: key.lifetime.created, expires: key.lifetime.expires })],
  }
  return { granted: true, token, response: respond(request, { identifier: id }, key) }
}

function renew(question: TokenQuestion, policy: IssuerPolicy, now: number, random: RandomSource): TokenDecision {
  const { request, principal, signer, existing } = question
  if (request.target === undefined) return invalid('ERR_SCT_TARGET', 'a renew names no token')
  if (existing === undefined || existing.state !== 'live' || existing.role !== 'recipient') return unable('the token is unknown or cancelled')
  // WS-SC 1.3 §5: possession of the current key is proven, by a signature of the very context that is to be renewed.
  const isProven = signer !== undefined && sameToken(request.target, signer, existing.id)
  // Peer CXF 4: the bootstrap alone protects it. Where that is allowed, only what the requestor names can be compared, and only the newest key is renewed.
  const isUnproven = signer === undefined && policy.renewWithoutProof && request.target.identifier === existing.id
  if (!isProven && !isUnproven) return unable('the target is not the endorsing token')
  if (!samePrincipal(principal, existing.principal)) return unable('the principal is not the one who established the token')
  if (request.sc.name !== existing.sc.name) return unable('the dialect is not the one of the token')
  const believed = believedInstances(existing, now, policy.overlapMs)
  const last = existing.instances.at(-1)
  const lapsed = last !== undefined && now < last.expires + policy.renewalGraceMs ? [last] : []
  const named = signer === undefined ? request.target.instance ?? last?.instance : signer.instance
  const endorsing = signer === undefined ? [...lapsed] : [...believed, ...lapsed]
  // An old instance inside the overlap endorses too: the answer that named the newer one may have been lost.
  if (!endorsing.some((each) => each.instance === named)) return unable('the instance is not believed any more')
  if (believed.length >= policy.instances) return unable(`${believed.length} instances are believed already`)
  // Peers Metro 4, CXF 4: may leave the size out: then it stays.
  const sized = { keySizeBits: last?.secret.symmetricKeySize === undefined ? suiteBits(existing.suite) : last.secret.symmetricKeySize * 8, ...request }
  const key = newKey(sized, policy, now, random, signer === undefined ? 'given' : 'computed')
  if ('granted' in key) return key
  const instance = urnUuid(random)
  const added = new TokenInstance({ secret: key.secret, instance, elementId: elementId(random), created: key.lifetime.created, expires: key.lifetime.expires })
  return { granted: true, token: { ...existing, instances: [...keptInstances(existing, now, policy.overlapMs), added] }, response: respond(request, { identifier: existing.id, instance }, key) }
}

function cancel(question: TokenQuestion, policy: IssuerPolicy, now: number): TokenDecision {
  const { request, principal, signer, existing } = question
  if (request.target === undefined) return invalid('ERR_SCT_TARGET', 'a cancel names no token')
  const bad = (reason: string): TokenDecision => refuse('ERR_SCT_CANCEL', reason, FAULTS.badContextToken)
  if (existing === undefined || existing.role !== 'recipient') return bad('the token is unknown')
  // WS-SC 1.3 §6: proof of possession of the very token.
  if (signer === undefined || !sameToken(request.target, signer, existing.id)) return bad('the target is not the signing token')
  if (!samePrincipal(principal, existing.principal)) return bad('the principal is not the one who established the token')
  // Cancelled or not, the key that signs is one that would be believed now.
  const index = existing.instances.findIndex((each) => each.instance === signer.instance)
  if (index < 0 || now >= believedUntil(existing, index, policy.overlapMs)) return bad('the instance is not believed any more')
  if (question.bound > 0) return refuse('ERR_SCT_IN_USE', `${question.bound} sequences are bound to the token`, FAULTS.requestFailed)
  const response: TokenResponse = { kind: 'cancel', sc: request.sc, ...(request.context === undefined ? {} : { context: request.context }) }
  return { granted: true, token: { ...existing, state: 'cancelled' }, response }
}

const sameToken = (target: NonNullable<TokenRequest['target']>, signer: NonNullable<TokenQuestion['signer']>, id: TokenId): boolean =>
  target.identifier === id && signer.identifier === id && (target.instance === undefined || target.instance === signer.instance)

interface NewKey { readonly secret: TokenInstance['secret']; readonly proof: NonNullable<TokenResponse['proof']>; readonly bits: number; readonly lifetime: { readonly created: number; readonly expires: number } }

/**
 * The secret of both entropies: ours is always added, so that no requestor chooses a key alone (WS-Trust 1.3 §4.4.3). `without`: what becomes of
 * a request without entropy; a key that is given whole is ours alone.
 */
function newKey(request: TokenRequest, policy: IssuerPolicy, now: number, random: RandomSource, without: 'computed' | 'given' = 'computed'): NewKey | TokenDecision {
  const bits = request.keySizeBits
  if (bits === undefined || !isKeySize(bits)) return invalid('ERR_SCT_KEY_SIZE', 'the key size is not a multiple of 8 from 128 to 1024')
  const size = request.entropy?.symmetricKeySize
  const lifetime = clamp(request.lifetime, policy, now)
  if (lifetime === undefined) return invalid('ERR_SCT_LIFETIME', 'the lifetime asked for lies in the past or in the future')
  if (request.entropy === undefined && without === 'given') {
    const secret = freshSecret(random, bits / 8)
    return { secret, proof: { kind: 'given', secret }, bits, lifetime }
  }
  if (request.entropy === undefined || size === undefined) return invalid('ERR_SCT_ENTROPY', 'the requestor brings no entropy')
  const [least, most] = policy.entropyBytes
  if (size < least || size > most) return invalid('ERR_SCT_ENTROPY', `the requestor's entropy has ${size} octets`)
  const entropy = freshSecret(random, bits / 8)
  return { secret: computedKey(request.entropy, entropy, bits / 8), proof: { kind: 'computed', entropy }, bits, lifetime }
}

const suiteBits = (suite: SuiteName): number => (SUITES.get(suite)?.secretBytes ?? 32) * 8
/** Sizes of a context's secret that are dealt with at all, for both roles. */
export const isKeySize = (bits: number): boolean => Number.isInteger(bits) && bits >= 128 && bits <= 1024 && bits % 8 === 0

/** A wish is granted inside our range and starts now; one that makes no sense is no wish. */
function clamp(wish: TokenRequest['lifetime'], policy: IssuerPolicy, now: number): { created: number; expires: number } | undefined {
  const from = wish?.created ?? now
  const span = wish?.expires === undefined ? policy.lifetimeMs : wish.expires - from
  if (!(span > 0) || from > now + policy.skewMs || from + span <= now - policy.skewMs) return undefined
  const [least, most] = policy.lifetimeRangeMs
  return { created: now, expires: now + Math.min(Math.max(span, least), most) }
}

const respond = (request: TokenRequest, token: NonNullable<TokenResponse['token']>, key: NewKey): TokenResponse => ({
  kind: request.kind, sc: request.sc, ...(request.context === undefined ? {} : { context: request.context }),
  token, proof: key.proof, keySizeBits: key.bits, lifetime: key.lifetime,
})
