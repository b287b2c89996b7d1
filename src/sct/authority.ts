/**
 * The recipient's part of the manager: answers requests for tokens, one after the other for each principal. What the issuer decides is
 * durable, together with the mark of the request, before the answer is handed out.
 *
 * @module
 */
import type { Clock } from '../clock.ts'
import type { RandomSource } from '../crypto/random.ts'
import { FAULTS, PeerViolation, SecurityFailure } from '../errors.ts'
import type { Limits } from '../options.ts'
import type { SctSerializer } from '../serializer/serializer.ts'
import { storeKey } from '../store/store.ts'
import { recallAnswer, rememberAnswer } from './answers.ts'
import { decide, type IssuerPolicy, type TokenQuestion } from './issuer.ts'
import type { Companion, Saved, TokenShelf } from './shelf.ts'
import { believedInstances, currentInstance, principalName, samePrincipal, type Principal, type SecurityContextToken, type TokenId, type TokenResponse } from './token.ts'

/** What marks a message as seen, and until when it could otherwise pass as fresh. */
export interface ReplayMark { readonly key: string; readonly until: number }
/** A request for a token that was opened and authenticated. */
export interface TokenAsk extends Pick<TokenQuestion, 'request' | 'principal' | 'signer' | 'suite' | 'peer'> {
  readonly messageId?: string
  readonly replay: ReplayMark
}
export interface Answered { readonly response: TokenResponse; /** As it is stored now; the answer to a Cancel is the last message under it. */ readonly token: SecurityContextToken }

export interface AuthorityOptions {
  readonly shelf: TokenShelf
  readonly serializer: SctSerializer
  readonly clock: Clock
  readonly random: RandomSource
  readonly limits: Limits
  readonly policy: IssuerPolicy
  /** How many sequences are bound to the token. */
  users(id: TokenId): number
  /** Called before a renewal is stored. */
  renewing(base: SecurityContextToken): void
  done(event: 'issued' | 'renewed' | 'cancelled', token: SecurityContextToken): void
  /** The token is not remembered any more. */
  forgotten(id: TokenId): void
}
/** A token that was issued this long ago and that no sequence is bound to gives way when its principal wants one more than he may have. Choice. */
const UNUSED_MS = 600_000

export class TokenAuthority {
  readonly #options: AuthorityOptions
  readonly #shelf: TokenShelf
  readonly #queues = new Map<string, Promise<unknown>>()

  constructor(options: AuthorityOptions) {
    this.#options = options
    this.#shelf = options.shelf
  }

  answer(ask: TokenAsk): Promise<Answered> {
    const queue = queueName(ask.principal)
    const before = this.#queues.get(queue) ?? Promise.resolve()
    const answered = before.then(() => this.#answer(ask))
    const settled = answered.catch(() => {}).finally(() => { if (this.#queues.get(queue) === settled) this.#queues.delete(queue) })
    this.#queues.set(queue, settled)
    return answered
  }

  /** When what is under way is done. */
  async settled(): Promise<void> { await Promise.allSettled(this.#queues.values()) }

  held(principal: Principal): number { return this.#liveOf(principal).length }

  async #answer(ask: TokenAsk): Promise<Answered> {
    const { request, principal, signer, suite, peer, replay, messageId } = ask
    // From the store: another node may have renewed or cancelled it.
    const existing = request.target === undefined ? undefined : await this.#shelf.reload(request.target.identifier)
    const repeated = existing === undefined ? undefined : await this.#repeated(ask, existing)
    if (repeated !== undefined) return repeated
    if (request.kind === 'issue') {
      await this.#makeRoom(principal)
      await this.#forgetOldest(principal)
    }
    const question: TokenQuestion = {
      request, principal, suite, peer, held: this.held(principal), bound: existing === undefined ? 0 : this.#options.users(existing.id),
      ...(signer === undefined ? {} : { signer }), ...(existing === undefined ? {} : { existing }),
    }
    const decision = decide(question, this.#options.policy, this.#options.clock.now(), this.#options.random)
    if (!decision.granted) throw new PeerViolation(decision.code, decision.reason, decision.fault)
    const { token, response } = decision
    if (existing === undefined) await this.#record('issued', token, undefined, [replayRow(replay)])
    else if (request.kind === 'cancel') await this.#record('cancelled', token, existing, [replayRow(replay)])
    else {
      this.#options.renewing(existing)
      await this.#record('renewed', token, existing, [replayRow(replay), ...this.#kept(token, response, messageId)])
    }
    return { response, token }
  }

  /** The token and what belongs to it in one commit, durable when it resolves. */
  async #record(event: 'issued' | 'renewed' | 'cancelled', token: SecurityContextToken, base: SecurityContextToken | undefined, companions: readonly Companion[]): Promise<void> {
    const saved: Saved = await this.#shelf.save(token, base, companions)
    if (saved === 'seen') throw replayed()
    if (saved === 'changed') {
      // Two at the same time on two nodes: one wins, and what it wrote is what counts from now on.
      this.#shelf.drop(token.id)
      throw new PeerViolation('ERR_SCT_RACE', 'the token was changed by another request', FAULTS.unableToRenew, { tokenId: token.id, retryable: true })
    }
    this.#options.done(event, token)
  }

  /** The answer to a Renew, for its repetition. */
  #kept(token: SecurityContextToken, response: TokenResponse, messageId: string | undefined): readonly Companion[] {
    if (messageId === undefined) return []
    if (messageId.length > this.#options.limits.identifierLength) throw new PeerViolation('ERR_SCT_RENEW', 'the MessageID is too long', FAULTS.invalidRequest)
    const key = renewalRow(token.id, messageId)
    return [{ key, value: rememberAnswer(this.#options.serializer, key, response) }]
  }

  /** The stored answer to a Renew of the same MessageID, once it is proven that the same requestor asks for the same. */
  async #repeated(ask: TokenAsk, existing: SecurityContextToken): Promise<Answered | undefined> {
    const { request, principal, signer, messageId } = ask
    if (request.kind !== 'renew' || messageId === undefined || existing.state !== 'live') return undefined
    const isProven = signer === undefined ? this.#options.policy.renewWithoutProof : signer.identifier === existing.id
    if (!isProven || !samePrincipal(principal, existing.principal)) return undefined
    const key = renewalRow(existing.id, messageId)
    const sealed = await this.#shelf.read(key)
    if (sealed === undefined) return undefined
    const response = recallAnswer(this.#options.serializer, key, sealed, existing, request)
    if (response === undefined) throw new PeerViolation('ERR_SCT_RENEW_REPEATED', 'a Renew was repeated with other content', FAULTS.invalidRequest, { tokenId: existing.id })
    if (await this.#shelf.record([replayRow(ask.replay)]) !== 'saved') throw replayed()
    return { response, token: existing }
  }

  #issuedTo(principal: Principal): readonly SecurityContextToken[] {
    return [...this.#shelf.all()].filter((token) => token.role === 'recipient' && samePrincipal(token.principal, principal))
  }
  #isLive(token: SecurityContextToken): boolean { return believedInstances(token, this.#options.clock.now(), this.#options.policy.overlapMs).length > 0 }
  #liveOf(principal: Principal): readonly SecurityContextToken[] { return this.#issuedTo(principal).filter((token) => this.#isLive(token)) }

  /**
   * A requestor that lost its tokens in crashes shall not be locked out until they expire: the oldest of his that no sequence was bound to
   * for a while ends. Nobody else's does.
   */
  async #makeRoom(principal: Principal): Promise<void> {
    const held = this.#liveOf(principal)
    if (held.length < this.#options.policy.tokensPerPrincipal) return
    const before = this.#options.clock.now() - UNUSED_MS
    const [oldest] = held
      .filter((token) => this.#options.users(token.id) === 0 && currentInstance(token).created <= before)
      .sort((a, b) => currentInstance(a).created - currentInstance(b).created)
    if (oldest !== undefined) await this.#record('cancelled', { ...oldest, state: 'cancelled' }, oldest, [])
  }

  /**
   * A requestor may have token after token issued and cancelled, so that of those that have ended a number is remembered: first those go that were
   * cancelled, then those that may still be renewed. However young they are: to us they are unknown then, and copies of the requests that made or
   * ended them are refused by marks of their own, which stay (D8).
   */
  async #forgetOldest(principal: Principal): Promise<void> {
    const { limits, users, forgotten } = this.#options
    const ended = this.#issuedTo(principal).filter((token) => !this.#isLive(token) && users(token.id) === 0)
    const excess = ended.length + 1 - limits.endedTokensPerPrincipal
    if (excess <= 0) return
    const order = (token: SecurityContextToken): number => (token.state === 'cancelled' ? 0 : 1)
    const gone = ended.sort((a, b) => order(a) - order(b) || currentInstance(a).expires - currentInstance(b).expires).slice(0, excess)
    await this.#shelf.forget(gone)
    for (const { id } of gone) forgotten(id)
  }
}

const replayRow = (mark: ReplayMark): Companion => ({ key: storeKey('replay', mark.key), value: new TextEncoder().encode(String(mark.until)) })
const renewalRow = (id: TokenId, messageId: string): string => storeKey('renewal', id, messageId)
const queueName = (principal: Principal): string => storeKey(principal.kind, principalName(principal))
const replayed = (): SecurityFailure => new SecurityFailure('ERR_WSS_REPLAY', 'this very message was seen before', FAULTS.failedCheck)
