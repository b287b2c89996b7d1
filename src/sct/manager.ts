/**
 * SctManager: the security side that the RM engine asks for a token. At the initiator it knows the live token of a peer, has one issued
 * when there is none, renews and cancels; at the recipient it answers requests. For both it keeps tokens and says which key may be believed.
 * Knows no XML and no HTTP: those who carry requests to the peer are given to it as functions.
 *
 * @module
 */
import type { Clock } from '../clock.ts'
import { type RandomSource, urnUuid } from '../crypto/random.ts'
import { BootstrapFailed, StoreFailed, UsageError, WsrmError } from '../errors.ts'
import { Listeners } from '../observe.ts'
import type { Limits, Wait } from '../options.ts'
import type { LaneId } from '../rm/turn.ts'
import type { SctSerializer } from '../serializer/serializer.ts'
import { SUITES, type SuiteName } from '../spec/algorithms.ts'
import { SC13, type ScVersion } from '../spec/versions.ts'
import { storeKey, type Store } from '../store/store.ts'
import { TokenAuthority, type Answered, type TokenAsk } from './authority.ts'
import { Flight, pause, type Landing } from './flight.ts'
import { DEFAULT_ISSUER_POLICY, type IssuerPolicy } from './issuer.ts'
import { DEFAULT_TIMING, TokenLifecycle, type TokenTiming } from './lifecycle.ts'
import { acceptIssued, acceptRenewed, cancelRequest, issueRequest, renewRequest, type Acceptance, type Established } from './requestor.ts'
import { TokenShelf, type Quarantined } from './shelf.ts'
import {
  believedInstances, believedUntil, currentInstance, keptInstances,
  type ContextSecret, type Principal, type SecurityContextToken, type TokenId, type TokenInstance, type TokenRequest,
} from './token.ts'

/** Whose token: the first four are the key of the cache, no two of them share a token; the rest says what to ask for when there is none. */
export interface PeerKey {
  readonly endpoint: string
  /** Who we are to the peer: the name of the credential. */
  readonly principal: string
  /** Digest of the choices that the token's protection depends on. */
  readonly policy: string
  /** The one conversation that it is for; absent: all with this peer. */
  readonly conversation?: string
  readonly sc?: ScVersion
  readonly suite?: SuiteName
  readonly lifetimeMs?: number
}
/** The name of the peer of one conversation begins with that of the peer of all. */
export const peerName = ({ endpoint, principal, policy, conversation }: PeerKey): string => storeKey(endpoint, principal, policy, ...(conversation === undefined ? [] : [conversation]))

export interface SctManagerOptions {
  readonly store: Store
  readonly serializer: SctSerializer
  readonly clock: Clock
  readonly random: RandomSource
  readonly limits: Limits
  /** Carries an RST to the peer under its bootstrap and brings the checked answer. */
  readonly establish?: (peer: PeerKey, request: TokenRequest, signal: AbortSignal) => Promise<Established>
  /**
   * The same for Renew, endorsed by the token. Called again after a failure that is `retryable`, with the same request and `messageId`: it goes
   * out as wsa:MessageID each time, since the answer may have been lost on the way (D23).
   */
  readonly renewWith?: (token: SecurityContextToken, request: TokenRequest, signal: AbortSignal, messageId: string) => Promise<Established>
  /** The same for Cancel, under the token itself. */
  readonly cancelWith?: (token: SecurityContextToken, request: TokenRequest, signal: AbortSignal) => Promise<void>
  /** False: this peer (`peerName`) is known to renew no tokens. Default: all do. */
  readonly renews?: (peer: string) => boolean
  readonly timing?: Partial<TokenTiming>
  readonly policy?: Partial<IssuerPolicy>
  /** How long an ended token is remembered, to recognise what comes late. */
  readonly rememberMs?: number
  /** Longest life of a token at the initiator before it is renewed or replaced, whatever the recipient grants. */
  readonly longestLifetimeMs?: number
}
/** 120 min: time for a peer that was away to come back with messages that we can still recognise. */
const REMEMBER_MS = 7_200_000
/** A day: a key that is not renewed in that time is no session key any more. WCF grants 15 h, Metro 10 h. */
const LONGEST_LIFETIME_MS = 86_400_000
/** A Renew is repeated after 2 s, 4 s, …, while four fifths of the overlap last: then the answer still finds the old key believed. */
const INSIST_MS = 2_000
const INSIST_PART = 0.8
/** How often ended tokens and old replay rows are swept. Choice. */
const SWEEP_MS = 600_000

export type { Answered, TokenAsk }
export interface TokenStatus {
  readonly id: TokenId
  readonly role: 'initiator' | 'recipient'
  readonly state: 'live' | 'expired' | 'cancelled'
  readonly principal: Principal
  readonly peer: string
  /** Of the instance to write with. */
  readonly expires: number
  readonly instances: number
  readonly users: readonly LaneId[]
}
export interface RestoreReport { readonly restored: number; readonly quarantined: readonly Quarantined[] }

export interface TokenEvents {
  issued: { readonly tokenId: TokenId; readonly peer: string }
  reused: { readonly tokenId: TokenId; readonly peer: string }
  renewed: { readonly tokenId: TokenId; readonly peer: string }
  /** A renewal in the background failed; the token lives on until it expires. */
  notRenewed: { readonly tokenId: TokenId; readonly peer: string; readonly error: unknown }
  /** `error`: the peer did not confirm it. */
  cancelled: { readonly tokenId: TokenId; readonly peer: string; readonly error?: unknown }
  expired: { readonly tokenId: TokenId; readonly peer: string }
  /** A sequence is bound to a token that will end and cannot be renewed: it needs another one (`instead`). */
  ending: { readonly tokenId: TokenId; readonly peer: string }
  quarantined: Quarantined
  error: { readonly error: unknown }
}

/** One token's way at the initiator. */
interface Entry {
  readonly peer: string
  readonly machine: TokenLifecycle
  tokenId: TokenId | undefined
  flight: Flight<TokenId> | undefined
}

export class SctManager implements AsyncDisposable {
  readonly #options: SctManagerOptions
  readonly #shelf: TokenShelf
  readonly #policy: IssuerPolicy
  readonly #acceptance: Acceptance
  readonly #listeners = new Listeners<TokenEvents>()
  /** The token that a newcomer gets, by peer. */
  readonly #current = new Map<string, Entry>()
  readonly #entries = new Map<TokenId, Entry>()
  readonly #users = new Map<TokenId, Map<LaneId, number>>()
  /** The newest instance that the peer was seen to use, by token. */
  readonly #seen = new Map<TokenId, string | undefined>()
  readonly #authority: TokenAuthority
  readonly #writing = new Map<TokenId, Promise<void>>()
  #cancelAlarm: (() => void) | undefined
  #sweepAt: number
  #closed = false

  constructor(options: SctManagerOptions) {
    this.#options = options
    this.#shelf = new TokenShelf(options.store, options.serializer, (row) => this.#listeners.emit('quarantined', row))
    this.#policy = { ...DEFAULT_ISSUER_POLICY, tokensPerPrincipal: options.limits.tokensPerPrincipal, ...options.policy }
    this.#acceptance = {
      identifierLength: options.limits.identifierLength, lifetimeMs: options.longestLifetimeMs ?? LONGEST_LIFETIME_MS, entropyBytes: this.#policy.entropyBytes,
    }
    this.#authority = new TokenAuthority({
      ...options, shelf: this.#shelf, policy: this.#policy, users: (id) => this.users(id).length,
      // Before a renewal comes to be seen, messages go under what was there.
      renewing: (base) => { if (!this.#seen.has(base.id)) this.#seen.set(base.id, currentInstance(base).instance) },
      done: (event, token) => this.#listeners.emit(event, { tokenId: token.id, peer: token.peer }),
      forgotten: (id) => void this.#seen.delete(id),
    })
    this.#sweepAt = options.clock.now() + SWEEP_MS
  }

  on<K extends keyof TokenEvents>(name: K, listener: (event: TokenEvents[K]) => void): Disposable { return this.#listeners.on(name, listener) }

  // ---- For whoever sends: which token --------------------------------------------------------------------------------------------

  /**
   * The live token of this peer; when there is none, one is asked for. Callers at the same time share one request; an abort ends
   * the caller's own waiting, and the request when nobody waits any more. A token about to expire is renewed first, or replaced.
   *
   * @throws {BootstrapFailed} the peer gave none; `cause` says why
   * @throws {TimedOut} `timeoutMs` passed
   */
  async token(peer: PeerKey, wait: Wait = {}): Promise<TokenId> {
    wait.signal?.throwIfAborted()
    const name = peerName(peer)
    for (;;) {
      this.#mustBeOpen()
      const entry = this.#current.get(name) ?? this.#newEntry(name)
      const turn = entry.machine.handle({ kind: 'wanted', key: 'any' }, this.#now())
      if (turn.handOut && entry.tokenId !== undefined) {
        this.#listeners.emit('reused', { tokenId: entry.tokenId, peer: name })
        return entry.tokenId
      }
      if (turn.act === 'replace') this.#current.delete(name)
      else if (turn.act === 'retire') this.#retire(entry)
      else {
        if (turn.act === 'request') this.#request(entry, peer)
        if (turn.act === 'renew') this.#renewal(entry)
        const landing = await this.#join(entry, wait)
        // A renewal that failed is no reason to give up: the next round looks what is left.
        if (landing.ok) return landing.value
        if (entry.tokenId === undefined) throw failed(landing.error)
      }
    }
  }

  /**
   * Another token of this peer than `than`, which may be lost to it: the one that newcomers get by now, else one is asked for, once for all who
   * ask. The old one stays for those who are bound to it; newcomers get the new one as soon as there is one.
   */
  async instead(peer: PeerKey, than: TokenId, wait: Wait = {}): Promise<TokenId> {
    const name = peerName(peer)
    const before = this.#current.get(name)
    if (before === undefined || before.tokenId !== than) return this.token(peer, wait)
    this.#current.delete(name)
    try {
      return await this.token(peer, wait)
    } catch (error) {
      // Nothing better was to be had.
      if (!this.#current.has(name) && this.#entries.get(than) === before) this.#current.set(name, before)
      throw error
    }
  }

  /** The token that a newcomer gets now, if there is one. */
  newest(peer: PeerKey): TokenId | undefined { return this.#current.get(peerName(peer))?.tokenId }

  /** There is one, or one is being asked for, of this peer or for a conversation with it. */
  isKnown(peer: PeerKey): boolean {
    const name = peerName(peer)
    return [...this.#current.keys()].some((each) => each.startsWith(name))
  }

  /** Undefined: no such token is known here. */
  async status(id: TokenId): Promise<TokenStatus | undefined> {
    const token = await this.#shelf.load(id)
    if (token === undefined) return undefined
    const current = currentInstance(token)
    const state = token.state === 'cancelled' ? 'cancelled' : this.#now() < current.expires ? 'live' : 'expired'
    return {
      id: token.id, role: token.role, state, principal: token.principal, peer: token.peer,
      expires: current.expires, instances: token.instances.length, users: this.users(id),
    }
  }

  /** A sequence is bound to the token: it is renewed in time and cannot be cancelled. The same lane may do so several times. */
  use(id: TokenId, by: LaneId): Disposable {
    const lanes = this.#users.get(id) ?? new Map<LaneId, number>()
    this.#users.set(id, lanes)
    lanes.set(by, (lanes.get(by) ?? 0) + 1)
    // Its renewal may have been left out while nobody needed it.
    const entry = this.#entries.get(id)
    if (entry !== undefined && lanes.size === 1) this.#tick(entry)
    let over = false
    return { [Symbol.dispose]: () => {
      if (over) return
      over = true
      const left = (lanes.get(by) ?? 1) - 1
      if (left > 0) lanes.set(by, left)
      else lanes.delete(by)
      if (lanes.size === 0 && this.#users.get(id) === lanes) this.#users.delete(id)
    } }
  }
  users(id: TokenId): readonly LaneId[] { return [...this.#users.get(id)?.keys() ?? []] }

  // ---- For whoever opens and protects: which key ---------------------------------------------------------------------------------

  /** The token when it is live: neither cancelled nor expired. */
  async get(id: TokenId): Promise<SecurityContextToken | undefined> {
    const token = await this.#shelf.load(id)
    return token !== undefined && believedInstances(token, this.#now(), this.#policy.overlapMs).length > 0 ? token : undefined
  }

  /** The token as it is remembered, ended or not: to recognise, to renew in the period of grace, to answer a second Cancel; never to begin with. */
  remembered(id: TokenId): Promise<SecurityContextToken | undefined> { return this.#shelf.load(id) }

  /**
   * Every secret of the context that may be believed now, the newest last; empty when it is unknown, cancelled or expired.
   * `instance`: the one that the message names; when it is not among those that we know, the store is asked again (another node may have renewed).
   */
  async secrets(id: string, instance?: string): Promise<readonly ContextSecret[]> {
    let token = await this.#shelf.load(id)
    if (token !== undefined && instance !== undefined && !token.instances.some((each) => each.instance === instance)) token = await this.#shelf.reload(id)
    return token === undefined ? [] : this.#contextSecrets(token, 'live')
  }

  /** The token when it has expired and may still be renewed: whoever uses its last key is told RenewNeeded (WS-SC 1.3 §9). */
  async lapsed(id: TokenId): Promise<SecurityContextToken | undefined> {
    const token = await this.#shelf.load(id)
    if (token === undefined || token.state !== 'live') return undefined
    const { expires } = currentInstance(token)
    return this.#now() >= expires && this.#now() < expires + this.#policy.renewalGraceMs ? token : undefined
  }

  /**
   * The same, and what was cancelled or expired not longer than the token is remembered: enough to verify a Renew that comes late or a
   * Cancel that comes twice. Whoever uses these says so in what he accepts.
   */
  async rememberedSecrets(id: string): Promise<readonly ContextSecret[]> {
    const token = await this.#shelf.load(id)
    return token === undefined ? [] : this.#contextSecrets(token, 'remembered')
  }

  #contextSecrets(token: SecurityContextToken, how: 'live' | 'remembered'): readonly ContextSecret[] {
    const now = this.#now()
    const extra = how === 'live' ? 0 : this.#rememberMs
    if (how === 'live' && token.state !== 'live') return []
    // One that a renewal has replaced is believed for the overlap only, here too.
    const last = token.instances.length - 1
    const secrets = token.instances
      .map(({ instance, secret }, index) => ({ identifier: token.id, instance, secret, expires: believedUntil(token, index, this.#policy.overlapMs) + (index === last ? extra : 0) }))
      .filter((each) => now < each.expires)
    // Peer Metro 4: whatever key is the current one, the context's first makes the signature that endorses a renewal.
    const [first] = token.instances
    const isFirstOver = first !== undefined && secrets.length > 0 && secrets.every(({ instance }) => instance !== first.instance)
    return how === 'remembered' && isFirstOver ? [{ identifier: token.id, instance: first.instance, secret: first.secret, endorsesOnly: true }, ...secrets] : secrets
  }

  /** The peer was seen to use this instance, in a message that was verified. */
  noteUsed(id: TokenId, instance: string | undefined): void {
    const token = this.#shelf.held(id)
    if (token === undefined) return
    const index = (name: string | undefined): number => token.instances.findIndex((each) => each.instance === name)
    if (!this.#seen.has(id) || index(instance) > index(this.#seen.get(id))) this.#seen.set(id, instance)
  }

  /**
   * The instance to write with. At the initiator the newest. At the recipient the newest that the peer was seen to use (D23: the answer to a
   * renewal may not have arrived), as long as it is believed.
   */
  writing(token: SecurityContextToken): TokenInstance {
    const newest = currentInstance(token)
    if (token.role === 'initiator') return newest
    const believed = believedInstances(token, this.#now(), this.#policy.overlapMs)
    if (!this.#seen.has(token.id)) return believed[0] ?? newest
    const seen = this.#seen.get(token.id)
    return believed.find((each) => each.instance === seen) ?? newest
  }

  // ---- Serialized ----------------------------------------------------------------------------------------------------------------

  /** The token, sealed: exactly the value of its row `storeKey('token', id)`. */
  async serialize(id: TokenId): Promise<Uint8Array> {
    const token = await this.#shelf.load(id)
    if (token === undefined) throw new UsageError('ERR_SCT_UNKNOWN', 'no such token', { tokenId: id })
    return this.#shelf.seal(token)
  }

  /**
   * Makes a sealed token live here. Doing so again changes nothing; an older state of a token never replaces a newer one.
   *
   * @throws {SealBroken | UnknownVersion | KeyMissing}
   */
  async deserialize(sealed: Uint8Array): Promise<TokenId> {
    const token = this.#shelf.unseal(sealed)
    const known = await this.#shelf.load(token.id)
    if (known === undefined || newer(token, known)) this.#shelf.hold(token)
    this.#adopt(this.#shelf.held(token.id) ?? token)
    return token.id
  }

  /**
   * Takes over what the store holds. A record whose seal is broken is reported and left where it is; a record of an unknown version stops the
   * start, since what it says about our keys cannot be known.
   *
   * @throws {UnknownVersion} a newer release wrote to this store
   */
  async restore(): Promise<RestoreReport> {
    const quarantined: Quarantined[] = []
    const listening = this.on('quarantined', (row) => void quarantined.push(row))
    let restored = 0
    try {
      for await (const { token } of this.#shelf.stored()) {
        if (this.#shelf.held(token.id) === undefined) this.#shelf.hold(token)
        this.#adopt(token)
        restored += 1
      }
    } finally {
      listening[Symbol.dispose]()
    }
    this.#arm()
    return { restored, quarantined }
  }

  // ---- Renew and cancel, at the initiator ----------------------------------------------------------------------------------------

  /**
   * Has a new key issued for the token; the identifier stays. Also after the expiry, when the recipient grants it.
   *
   * @throws {BootstrapFailed} the peer refused; the token is as before
   */
  async renew(id: TokenId, wait: Wait = {}): Promise<void> {
    wait.signal?.throwIfAborted()
    this.#mustBeOpen()
    const token = await this.#shelf.load(id)
    if (token === undefined || token.state !== 'live') throw new UsageError('ERR_SCT_UNKNOWN', 'no such token, or it was cancelled', { tokenId: id })
    if (token.role !== 'initiator' || this.#options.renewWith === undefined) throw new UsageError('ERR_SCT_RENEW', 'this token is not renewed from here', { tokenId: id })
    const entry = this.#revive(token)
    const turn = entry.machine.handle({ kind: 'wanted', key: 'fresh' }, this.#now())
    if (turn.act === 'renew') this.#renewal(entry)
    if (turn.act === 'replace') throw new UsageError('ERR_SCT_RENEW', 'this peer renews no tokens', { tokenId: id })
    const landing = await this.#join(entry, wait)
    if (!landing.ok) throw failed(landing.error)
  }
  /** There is a newer key than this one, or it is being asked for: the peer may know the old one no more. */
  isOutdated(id: TokenId, { instance }: TokenInstance): boolean {
    const token = this.#shelf.held(id)
    return this.#entries.get(id)?.machine.state === 'renewing' || (token !== undefined && currentInstance(token).instance !== instance)
  }

  /**
   * Ends the token, here and at the peer. Here it has ended whatever the peer says: a lost answer and BadContextToken mean the same.
   *
   * @throws {UsageError} sequences are bound to it: terminate them first
   */
  async cancel(id: TokenId, wait: Wait = {}): Promise<void> {
    wait.signal?.throwIfAborted()
    const token = await this.#shelf.load(id)
    if (token === undefined || token.state === 'cancelled') return
    // D23: cancel comes after Terminate, or the answer to it could not be verified any more.
    const lanes = this.users(id).length
    if (lanes > 0) throw new UsageError('ERR_SCT_IN_USE', `${lanes} sequence${lanes === 1 ? ' is' : 's are'} bound to the token`, { tokenId: id })
    const entry = this.#entries.get(id)
    if (entry !== undefined) {
      entry.machine.handle({ kind: 'cancelled' }, this.#now())
      this.#forget(entry)
      entry.flight?.abort(new UsageError('ERR_SCT_CANCELLED', 'the token was cancelled', { tokenId: id }))
    }
    const outcome = await this.#cancelAtPeer(token, wait)
    await this.#inTurn(id, () => this.#recordCancelledHere(token))
    this.#listeners.emit('cancelled', { tokenId: id, peer: token.peer, ...outcome })
  }

  async #cancelAtPeer(token: SecurityContextToken, wait: Wait): Promise<{ readonly error?: unknown }> {
    const { cancelWith, clock } = this.#options
    if (cancelWith === undefined || token.role !== 'initiator' || this.#now() >= currentInstance(token).expires) return {}
    const flight = new Flight((signal) => cancelWith(token, cancelRequest(token), signal), () => {})
    try {
      const landing = await flight.join(wait, clock)
      return landing.ok ? {} : { error: landing.error }
    } catch (error) {
      return { error }
    }
  }

  async #recordCancelledHere(token: SecurityContextToken): Promise<void> {
    const cancel = (base: SecurityContextToken): SecurityContextToken => ({ ...base, state: 'cancelled' })
    try {
      if (await this.#isStored(token.id)) await this.#saveChanged(token, cancel)
    } finally {
      // Here it is over in any case.
      this.#shelf.hold(cancel(this.#shelf.held(token.id) ?? token))
    }
  }

  // ---- At the recipient ----------------------------------------------------------------------------------------------------------

  /**
   * Answers a request for a token: decides, stores, and only then hands out the answer. A Renew that is repeated with the same MessageID
   * gets the answer that was stored for it (D23).
   *
   * @throws {PeerViolation} refused; `fault` is what the peer is told
   * @throws {SecurityFailure} this very message was seen before
   */
  answer(ask: TokenAsk): Promise<Answered> { return this.#authority.answer(ask) }

  /** Live tokens that this principal got from us. */
  held(principal: Principal): number { return this.#authority.held(principal) }

  // ---- Inside --------------------------------------------------------------------------------------------------------------------

  #now(): number { return this.#options.clock.now() }
  get #rememberMs(): number { return this.#options.rememberMs ?? REMEMBER_MS }
  #mustBeOpen(): void { if (this.#closed) throw new UsageError('ERR_SCT_CLOSED', 'the token manager is closed') }

  #newEntry(peer: string): Entry {
    const { timing, random, renewWith, renews } = this.#options
    const machine = new TokenLifecycle({
      ...DEFAULT_TIMING, ...timing, chance: chanceOf(random),
      // Asked each time: a token that comes from the store is here before its peer is connected to.
      get canRenew() { return renewWith !== undefined && renews?.(peer) !== false },
    })
    const entry: Entry = { peer, machine, tokenId: undefined, flight: undefined }
    this.#current.set(peer, entry)
    return entry
  }

  /** A token that came from outside this process gets its machine; the one that lives longest is what newcomers get. */
  #adopt(token: SecurityContextToken): void {
    if (token.role !== 'initiator' || token.state !== 'live' || this.#entries.has(token.id)) return
    if (this.#now() >= currentInstance(token).expires) return
    const rival = this.#current.get(token.peer)
    this.#revive(token)
    const entry = this.#current.get(token.peer)
    if (rival === undefined || entry === rival) return
    const held = rival.tokenId === undefined ? undefined : this.#shelf.held(rival.tokenId)
    if (rival.machine.state === 'requesting' || (held !== undefined && currentInstance(held).expires >= currentInstance(token).expires)) this.#current.set(token.peer, rival)
  }

  /** The token's entry; a new one when it has none or had ended by expiry. */
  #revive(token: SecurityContextToken): Entry {
    const known = this.#entries.get(token.id)
    if (known !== undefined && known.machine.state !== 'ended') return known
    const current = this.#current.get(token.peer)
    const entry = this.#newEntry(token.peer)
    entry.tokenId = token.id
    entry.machine.handle({ kind: 'issued', lifetime: currentInstance(token) }, this.#now())
    this.#entries.set(token.id, entry)
    // An expired token that is renewed for its sequences does not push away the one that newcomers have.
    if (current !== undefined && this.#now() >= currentInstance(token).expires) this.#current.set(token.peer, current)
    this.#arm()
    return entry
  }

  #request(entry: Entry, peer: PeerKey): void {
    const flight: Flight<TokenId> = new Flight(
      (signal) => this.#establish(entry, peer, signal, () => entry.flight === flight),
      () => this.#requestFailed(entry, flight),
    )
    entry.flight = flight
  }

  async #establish(entry: Entry, peer: PeerKey, signal: AbortSignal, isOurs: () => boolean): Promise<TokenId> {
    const { establish, random } = this.#options
    // A turn of the event loop first: `flight` is set when the work begins.
    await Promise.resolve()
    try {
      if (establish === undefined) throw new UsageError('ERR_SCT_ESTABLISH', 'this manager asks nobody for tokens')
      const suite = peer.suite ?? 'Basic256Sha256'
      const at = this.#now()
      const request = issueRequest({ sc: peer.sc ?? SC13, keySizeBits: (SUITES.get(suite)?.secretBytes ?? 32) * 8, lifetimeMs: peer.lifetimeMs }, at, random)
      const answer = await establish(peer, request, signal)
      signal.throwIfAborted()
      const token = acceptIssued(request, answer, { peer: entry.peer, suite, at }, this.#now(), this.#acceptance)
      // WS-SC 1.3 §2: an identifier names one context for ever; one that we know already is not new.
      if (await this.#shelf.load(token.id) !== undefined) throw new BootstrapFailed('ERR_SCT_IDENTIFIER', 'the peer gave an identifier that is in use already')
      signal.throwIfAborted()
      this.#shelf.hold(token)
      entry.tokenId = token.id
      entry.flight = undefined
      this.#entries.set(token.id, entry)
      entry.machine.handle({ kind: 'issued', lifetime: currentInstance(token) }, this.#now())
      this.#arm()
      this.#listeners.emit('issued', { tokenId: token.id, peer: entry.peer })
      return token.id
    } catch (error) {
      if (isOurs()) this.#requestFailed(entry, entry.flight)
      throw error
    }
  }

  #requestFailed(entry: Entry, flight: Flight<TokenId> | undefined): void {
    if (entry.flight !== flight || entry.machine.state !== 'requesting') return
    entry.flight = undefined
    entry.machine.handle({ kind: 'rejected' }, this.#now())
    if (this.#current.get(entry.peer) === entry) this.#current.delete(entry.peer)
  }

  #renewal(entry: Entry): void {
    const flight: Flight<TokenId> = new Flight((signal) => this.#renewNow(entry, signal), () => {})
    // Not given up when callers leave: the peer may have renewed already, and the sequences of the token need its key.
    flight.hold()
    entry.flight = flight
  }

  async #renewNow(entry: Entry, signal: AbortSignal): Promise<TokenId> {
    const { renewWith, random } = this.#options
    const id = entry.tokenId
    await Promise.resolve()
    try {
      if (renewWith === undefined || id === undefined) throw new UsageError('ERR_SCT_RENEW', 'this manager renews no tokens')
      const token = await this.#shelf.load(id)
      if (token === undefined || token.state !== 'live') throw new UsageError('ERR_SCT_UNKNOWN', 'no such token, or it was cancelled', { tokenId: id })
      const at = this.#now()
      const request = renewRequest(token, random)
      const messageId = urnUuid(random)
      const answer = await this.#insist(() => renewWith(token, request, signal, messageId), signal)
      signal.throwIfAborted()
      const fresh = acceptRenewed(token, request, answer, at, this.#now(), this.#acceptance)
      const add = (base: SecurityContextToken): SecurityContextToken => ({ ...base, instances: [...keptInstances(base, at, this.#policy.overlapMs), fresh] })
      // Durable before it is used: after a crash the peer's newest key must be known.
      await this.#inTurn(id, () => this.#saveChanged(token, add))
      entry.flight = undefined
      entry.machine.handle({ kind: 'renewed', lifetime: fresh }, this.#now())
      this.#arm()
      this.#listeners.emit('renewed', { tokenId: id, peer: entry.peer })
      return id
    } catch (error) {
      entry.flight = undefined
      const turn = entry.machine.handle({ kind: 'rejected' }, this.#now())
      if (turn.act === 'retire') this.#retire(entry)
      this.#arm()
      if (id !== undefined && !this.#closed) this.#listeners.emit('notRenewed', { tokenId: id, peer: entry.peer, error })
      throw error
    }
  }

  /**
   * A Renew whose answer is lost has renewed the token at the peer: there the old key ends with the overlap. So the same request is repeated
   * as long as the overlap lasts, and the peer answers it from what it stored.
   */
  async #insist<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const until = this.#now() + INSIST_PART * this.#policy.overlapMs
    for (let wait = INSIST_MS; ; wait *= 2) {
      try {
        return await ask()
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof WsrmError && error.retryable) || this.#now() + wait >= until) throw error
        await pause(this.#options.clock, wait, signal)
      }
    }
  }

  /** Changes of one token are written one after the other: what a cancel ended, a renewal that was under way does not bring back. */
  #inTurn<T>(id: TokenId, work: () => Promise<T>): Promise<T> {
    const done = (this.#writing.get(id) ?? Promise.resolve()).then(work)
    const settled = done.then(() => {}, () => {}).finally(() => { if (this.#writing.get(id) === settled) this.#writing.delete(id) })
    this.#writing.set(id, settled)
    return done
  }

  /** Writes a change of a token of ours; `change` is made again on what another process has written meanwhile. */
  async #saveChanged(token: SecurityContextToken, change: (base: SecurityContextToken) => SecurityContextToken): Promise<void> {
    let base: SecurityContextToken | undefined = this.#shelf.held(token.id) ?? token
    for (let attempt = 0; attempt < 3; attempt++) {
      const wanted = change(base)
      if (base.state === 'cancelled' && wanted.state === 'cancelled') return
      if (base.state === 'cancelled') break
      if (await this.#shelf.save(wanted, base) === 'saved') return
      this.#shelf.drop(token.id)
      base = await this.#shelf.reload(token.id)
      if (base === undefined) break
    }
    if (base === undefined || base.state === 'cancelled') throw new UsageError('ERR_SCT_UNKNOWN', 'the token was cancelled meanwhile', { tokenId: token.id })
    throw new StoreFailed('ERR_STORE_CONFLICT', 'the token\'s row changes faster than it can be written', { retryable: true, tokenId: token.id })
  }

  async #isStored(id: TokenId): Promise<boolean> {
    for await (const row of this.#shelf.rows('token', id)) return row.value.length > 0
    return false
  }

  async #join(entry: Entry, wait: Wait): Promise<Landing<TokenId>> {
    if (entry.flight === undefined) throw new UsageError('ERR_SCT_STATE', `a token in state '${entry.machine.state}' has no request under way`)
    return entry.flight.join(wait, this.#options.clock)
  }

  /** No newcomer gets it; its record stays until it is swept. */
  #retire(entry: Entry): void {
    this.#forget(entry)
    if (entry.tokenId !== undefined) this.#listeners.emit('expired', { tokenId: entry.tokenId, peer: entry.peer })
  }
  #forget(entry: Entry): void {
    if (this.#current.get(entry.peer) === entry) this.#current.delete(entry.peer)
    if (entry.tokenId !== undefined && this.#entries.get(entry.tokenId) === entry) this.#entries.delete(entry.tokenId)
  }

  #tick(entry: Entry): void {
    const inUse = entry.tokenId !== undefined && this.#users.has(entry.tokenId)
    const turn = entry.machine.handle({ kind: 'time', inUse }, this.#now())
    if (turn.act === 'renew') this.#renewal(entry)
    if (turn.act === 'retire') this.#retire(entry)
    if (turn.act === 'replace' && entry.tokenId !== undefined) this.#listeners.emit('ending', { tokenId: entry.tokenId, peer: entry.peer })
  }

  #arm(): void {
    this.#cancelAlarm?.()
    this.#cancelAlarm = undefined
    if (this.#closed) return
    let at = this.#sweepAt
    for (const { machine } of this.#entries.values()) at = Math.min(at, machine.wakeAt ?? at)
    this.#cancelAlarm = this.#options.clock.alarm(at, () => this.#wake())
  }

  #wake(): void {
    const now = this.#now()
    for (const entry of [...this.#entries.values()]) if (now >= (entry.machine.wakeAt ?? Number.POSITIVE_INFINITY)) this.#tick(entry)
    if (now >= this.#sweepAt) {
      this.#sweepAt = now + SWEEP_MS
      this.sweep().catch((error: unknown) => this.#listeners.emit('error', { error }))
    }
    this.#arm()
  }

  /** Forgets what nobody can need any more: tokens that ended long ago with their stored answers, and marks of messages that are stale by themselves. */
  async sweep(): Promise<void> {
    const now = this.#now()
    const isOver = (token: SecurityContextToken): boolean => !this.#users.has(token.id) && now >= currentInstance(token).expires + this.#rememberMs
    await this.#shelf.sweep(isOver, now)
    for (const token of [...this.#shelf.all()]) {
      if (!isOver(token)) continue
      this.#shelf.drop(token.id)
      this.#seen.delete(token.id)
    }
  }

  /** Stops the clock and what is under way; everything stored stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#cancelAlarm?.()
    const reason = new UsageError('ERR_SCT_CLOSED', 'the token manager was closed')
    for (const entry of [...this.#current.values(), ...this.#entries.values()]) entry.flight?.abort(reason)
    await this.#authority.settled()
  }
}

/** 53 bits as a number from [0, 1). */
const chanceOf = (random: RandomSource): number => {
  const bytes = random.bytes(6)
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0) / 2 ** 48
}
/** A cancelled token stays cancelled; one renewal more is newer. */
const newer = (token: SecurityContextToken, known: SecurityContextToken): boolean =>
  known.state !== 'cancelled' && (token.state === 'cancelled' || currentInstance(token).created > currentInstance(known).created)

function failed(error: unknown): WsrmError {
  if (error instanceof BootstrapFailed || error instanceof UsageError) return error
  const reason = error instanceof Error ? error.message : 'for no given reason'
  return new BootstrapFailed('ERR_BOOTSTRAP', `no token could be had from the peer: ${reason}`, { cause: error, retryable: error instanceof WsrmError && error.retryable })
}
