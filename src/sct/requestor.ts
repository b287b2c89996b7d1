/**
 * What the initiator asks for and what it believes of the answer: from TokenRequest and TokenResponse to a token, or an error.
 * Synchronous and pure. That the answer belongs to the request and who wrote it was checked before, by those who opened it.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { computedKey } from '../crypto/derive.ts'
import { freshSecret, type RandomSource } from '../crypto/random.ts'
import { BootstrapFailed } from '../errors.ts'
import type { SuiteName } from '../spec/algorithms.ts'
import type { ScVersion } from '../spec/versions.ts'
import { isKeySize } from './issuer.ts'
import { currentInstance, samePrincipal, TokenInstance, type Principal, type SecurityContextToken, type TokenId, type TokenRequest, type TokenResponse } from './token.ts'

/** The answer and who the recipient proved to be. */
export interface Established { readonly response: TokenResponse; readonly principal: Principal }

export interface Acceptance {
  readonly identifierLength: number
  /** A lifetime that the recipient does not name, or names longer, is this long for us. */
  readonly lifetimeMs: number
  readonly entropyBytes: readonly [least: number, most: number]
}

export function issueRequest(wish: { readonly sc: ScVersion; readonly keySizeBits: number; readonly lifetimeMs?: number | undefined }, now: number, random: RandomSource): TokenRequest {
  const lifetime = wish.lifetimeMs === undefined ? {} : { lifetime: { created: now, expires: now + wish.lifetimeMs } }
  return { kind: 'issue', sc: wish.sc, keySizeBits: wish.keySizeBits, entropy: freshSecret(random, wish.keySizeBits / 8), ...lifetime }
}

export function renewRequest(token: SecurityContextToken, random: RandomSource): TokenRequest {
  const current = currentInstance(token)
  const bytes = current.secret.symmetricKeySize ?? 32
  return { kind: 'renew', sc: token.sc, keySizeBits: bytes * 8, entropy: freshSecret(random, bytes), target: target(token) }
}

export const cancelRequest = (token: SecurityContextToken): TokenRequest => ({ kind: 'cancel', sc: token.sc, target: target(token) })

function target(token: SecurityContextToken): NonNullable<TokenRequest['target']> {
  const { instance } = currentInstance(token)
  return instance === undefined ? { identifier: token.id } : { identifier: token.id, instance }
}

/** @throws {BootstrapFailed} the answer is not one to believe; no token comes of it */
export function acceptIssued(
  request: TokenRequest, answer: Established, asked: { readonly peer: string; readonly suite: SuiteName; readonly at: number }, now: number, acceptance: Acceptance,
): SecurityContextToken {
  const named = identified(request, answer.response, acceptance)
  return {
    id: named.identifier as TokenId, role: 'initiator', sc: request.sc, suite: asked.suite, principal: answer.principal, peer: asked.peer, state: 'live',
    instances: [instanceOf(request, answer.response, named, asked.at, now, acceptance)],
  }
}

/** @throws {BootstrapFailed} the answer is not one to believe; the token stays as it is */
export function acceptRenewed(token: SecurityContextToken, request: TokenRequest, answer: Established, askedAt: number, now: number, acceptance: Acceptance): TokenInstance {
  const named = identified(request, answer.response, acceptance)
  if (named.identifier !== token.id) throw refuse('ERR_SCT_RENEWED_OTHER', 'the renewed token has another identifier')
  if (!samePrincipal(answer.principal, token.principal)) throw refuse('ERR_SCT_RENEWED_OTHER', 'the renewal was answered by somebody else than the token\'s issuer')
  // WS-SC 1.3 §5: a renewed context that has another key is told apart by a new Instance.
  if (named.instance === undefined || token.instances.some((each) => each.instance === named.instance)) throw refuse('ERR_SCT_RENEWED_INSTANCE', 'the renewal brings no new instance')
  const fresh = instanceOf(request, answer.response, named, askedAt, now, acceptance)
  if (token.instances.some((each) => each.secret.equals(fresh.secret))) throw refuse('ERR_SCT_RENEWED_INSTANCE', 'the renewal brings no new key')
  return fresh
}

const refuse = (code: string, reason: string): BootstrapFailed => new BootstrapFailed(code, reason)

function identified(request: TokenRequest, response: TokenResponse, acceptance: Acceptance): NonNullable<TokenResponse['token']> {
  if (response.kind !== request.kind) throw refuse('ERR_SCT_RESPONSE', `asked to ${request.kind}, answered with ${response.kind}`)
  if (response.sc.name !== request.sc.name) throw refuse('ERR_SCT_RESPONSE', 'the answer is in another dialect than the request')
  // WS-Trust 1.3 §3.2: Context is echoed; one that is not there cannot differ.
  if (response.context !== undefined && response.context !== request.context) throw refuse('ERR_SCT_RESPONSE', 'the answer has the Context of another request')
  const { token } = response
  const isName = (name: string): boolean => name !== '' && name.length <= acceptance.identifierLength && name.isWellFormed()
  if (token === undefined || !isName(token.identifier)) throw refuse('ERR_SCT_RESPONSE', 'the answer has no usable token identifier')
  if (token.instance !== undefined && !isName(token.instance)) throw refuse('ERR_SCT_RESPONSE', 'the answer has no usable token instance')
  return token
}

function instanceOf(request: TokenRequest, response: TokenResponse, { instance, elementId }: NonNullable<TokenResponse['token']>, askedAt: number, now: number, acceptance: Acceptance): TokenInstance {
  return new TokenInstance({ secret: secretOf(request, response, acceptance), instance, elementId, created: askedAt, expires: expiryOf(response, askedAt, now, acceptance) })
}

function secretOf(request: TokenRequest, response: TokenResponse, acceptance: Acceptance): KeyObject {
  const wished = request.keySizeBits ?? 0
  // Peer Rampart 1.6: names no size, and gives 256 bits whatever was asked for: a key that is there says itself how long it is.
  const given = response.proof?.kind === 'given' ? (response.proof.secret.symmetricKeySize ?? 0) * 8 : undefined
  const bits = response.keySizeBits ?? given ?? wished
  if (!isKeySize(bits) || bits < wished) throw refuse('ERR_SCT_KEY_SIZE', `asked for a key of ${wished} bits, offered ${bits}`)
  const { entropy } = request
  if (entropy === undefined) throw refuse('ERR_SCT_ENTROPY', 'the request carried no entropy')
  const secret = proven(entropy, response.proof, bits, acceptance)
  if (secret.symmetricKeySize !== bits / 8) throw refuse('ERR_SCT_KEY_SIZE', `the key is not one of ${bits} bits`)
  return secret
}

/** WS-Trust 1.3 §4.4.4: the key is given whole, computed from both, or the requestor's own when nothing is said. */
function proven(entropy: KeyObject, proof: TokenResponse['proof'], bits: number, acceptance: Acceptance): KeyObject {
  if (proof === undefined || proof.kind === 'requestor') return entropy
  if (proof.kind === 'given') return proof.secret
  const size = proof.entropy.symmetricKeySize ?? 0
  const [least, most] = acceptance.entropyBytes
  if (size < least || size > most) throw refuse('ERR_SCT_ENTROPY', `the issuer's entropy has ${size} octets`)
  if (proof.entropy.equals(entropy)) throw refuse('ERR_SCT_ENTROPY', 'the issuer\'s entropy is our own, reflected')
  return computedKey(entropy, proof.entropy, bits / 8)
}

/**
 * In our own time: the issuer's clock may go before or after ours, so a token lives neither longer than its span counted from our asking
 * nor beyond the moment that it names.
 */
function expiryOf(response: TokenResponse, askedAt: number, now: number, acceptance: Acceptance): number {
  const named = response.lifetime
  // WS-Trust 1.3 §4.4.1: Created may be missing; what counts is the end.
  const span = Math.min(named?.created === undefined ? acceptance.lifetimeMs : named.expires - named.created, acceptance.lifetimeMs)
  const expires = Math.min(askedAt + span, named?.expires ?? Number.POSITIVE_INFINITY)
  if (!(expires > now)) throw refuse('ERR_SCT_LIFETIME', 'the token has expired already, or the clocks differ too much')
  return expires
}
