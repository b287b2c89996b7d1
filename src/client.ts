/**
 * The client: initiator of the token, RM Source of the requests, Destination of the offered sequence. `connect` gives a conversation, which is
 * one sequence pair scoped to one token; a named one survives the process.
 *
 * @module
 */
import { answered } from './answer.ts'
import type { ClientBootstrap } from './bootstraps.ts'
import { checkClientBootstrap, checkCounts, checkName, checkOnContextLost, checkOptions, checkProfile, waitOf } from './checks.ts'
import { type Clock, systemClock } from './clock.ts'
import { Confirmations } from './confirmations.ts'
import { type Conversation, ConversationFace } from './conversation.ts'
import type { Trust } from './crypto/certificate.ts'
import { digest } from './crypto/hash.ts'
import { type RandomSource, systemRandom, urnUuid } from './crypto/random.ts'
import { BootstrapFailed, FAULTS, SecurityFailure, StoreFailed, TransportFailed, UsageError } from './errors.ts'
import { Establisher, isOverTls, type Line, ownKeysOf, principalOf } from './establish.ts'
import { Gate } from './gate.ts'
import { type ClientListenOptions, Inbox } from './inbox.ts'
import { type ConversationEvents, Listeners, tell, warn } from './observe.ts'
import { DEFAULT_LIMITS, type Limits, type Wait } from './options.ts'
import { DEFAULT_PROFILE, type Profile } from './profiles/profile.ts'
import { type Bound, hintedContext, isOfProtection, Recovery, saidContext } from './recovery.ts'
import { type EngineEvent, type OpenOptions, SequenceEngine } from './rm/engine.ts'
import { DEFAULT_TIMING } from './rm/timing.ts'
import { addressOf, type Endpoint, type Hint, type LaneId, type Outbound, type ReceivedFault } from './rm/turn.ts'
import { type PeerKey, peerName, SctManager } from './sct/manager.ts'
import type { TokenId } from './sct/token.ts'
import { type Sealed, sealedStore, takeUp, type TakenUp } from './sealed.ts'
import type { Keyring } from './serializer/keyring.ts'
import { MC_ANONYMOUS_PREFIX } from './spec/versions.ts'
import type { Store } from './store/store.ts'
import type { DangerTap } from './tap.ts'
import { headerValue, soapHeaders } from './transport/http.ts'
import { createHttpClient, type HttpClient, type HttpDispatcher, type PostAnswer } from './transport/http-client.ts'
import { type ClientTls, trustName } from './transport/tls.ts'
import { encode, type Written } from './wire.ts'
import { versionsOf } from './profiles/versions.ts'
import { ReplayCache } from './wss/replay.ts'

export interface ClientOptions {
  /** Default: in memory. With a store that lasts, a keyring is needed: nothing is kept in clear. */
  readonly store?: Store
  readonly keyring?: Keyring
  /**
   * An undici Dispatcher of the caller's: for proxies and the like. Its TLS is its own: our `trust` cannot be asked there, nor our client certificate
   * shown. So it goes with bootstraps in which the service signs or opens (`x509`, `usernameForCertificate`), and with TLS bootstraps and the transport
   * profile only beside `dangerDispatcherTrust`.
   */
  readonly dispatcher?: HttpDispatcher
  /**
   * The dispatcher judges who the service is under TLS, in the place of `trust`: whomever its TLS takes for the service gets the password and the messages.
   * A client certificate is the dispatcher's, too (`certificateOverTls()`). Without a dispatcher it says nothing: `trust` judges.
   */
  readonly dangerDispatcherTrust?: boolean
  readonly clock?: Clock
  readonly random?: RandomSource
  readonly limits?: Partial<Limits>
  /** First resend after so long, doubled each time. Default: 2 s. */
  readonly retransmitAfterMs?: number
  /** With `endpoint: 'make-connection'`: the mailbox is asked so long after something is awaited, then at twice the pause each time. Default: 250 ms. */
  readonly pollAfterMs?: number
  /** With `endpoint: 'address'`: where this client listens for what is sent to it; a named conversation needs the same place after a restart. */
  readonly listen?: ClientListenOptions
  /** Sees every message and, where it asks, every secret. For recordings only. */
  readonly dangerTap?: DangerTap
}
export interface ConnectOptions extends Wait {
  readonly bootstrap: ClientBootstrap
  /**
   * Whom we take for the service: there is no default (D24). With authorities its certificate must also be the one that the bootstrap names as
   * `service`, or whoever has a certificate of theirs could answer in its place; a service that signs with another one is pinned.
   */
  readonly trust: Trust
  readonly profile?: Profile
  /** A named conversation survives the process: connect with the same name goes on with it. Needs store and keyring. */
  readonly name?: string
  /** Default true; without an offered sequence only one-way messages are sent. */
  readonly offer?: boolean
  readonly maxPending?: number
  readonly maxPendingBytes?: number
  /**
   * When the peer has lost the token or the sequence: `resume` (default) goes on under another token on a new sequence, as `resumeOnNewSequence`
   * does; `report` tells it and leaves that to the caller.
   */
  readonly onContextLost?: 'resume' | 'report'
  /** Messages that were sent and not acknowledged are sent again on the new sequence: they may be delivered twice. Default: they fail. */
  readonly dangerResendDoubtful?: boolean
}
export interface Client extends AsyncDisposable {
  readonly tokens: SctManager
  connect(url: string | URL, options: ConnectOptions): Promise<Conversation>
}

/** One token cache, one HTTP pool, one clock. */
export function createClient(options: ClientOptions = {}): Client {
  checkOptions(options, 'createClient')
  return new ClientFace(options)
}

/** A client of one conversation: it ends with it. */
export async function connect(url: string | URL, options: ClientOptions & ConnectOptions): Promise<Conversation> {
  checkOptions(options, 'connect')
  const client = new ClientFace(options)
  try {
    return await client.open(url, options, client)
  } catch (error) {
    await client[Symbol.asyncDispose]()
    throw error
  }
}

/** What belongs to a peer as one principal under one policy: how to speak to it, and the key of its token. */
interface PeerLine extends Line { readonly peer: PeerKey }

/** A conversation that is open in this process. */
interface Open extends Bound { readonly events: Listeners<ConversationEvents> }

/** Whose TLS it is: ours, which asks `trust`; a dispatcher's, which does not; one's that the caller has said judges the service. */
type TlsOwner = 'client' | 'dispatcher' | 'trusted-dispatcher'

class ClientFace implements Client {
  readonly tokens: SctManager
  readonly #limits: Limits
  readonly #clock: Clock
  readonly #random: RandomSource
  readonly #engine: SequenceEngine
  readonly #gate: Gate
  readonly #inbox: Inbox
  readonly #http: HttpClient
  readonly #tlsOwner: TlsOwner
  readonly #tap: DangerTap | undefined
  readonly #lasting: boolean
  /** By the name of the peer of all conversations. */
  readonly #lines = new Map<string, PeerLine>()
  readonly #establisher: Establisher
  readonly #confirmations = new Confirmations()
  readonly #open = new Map<LaneId, Open>()
  readonly #recovery: Recovery
  readonly #sealed: Sealed<unknown>
  #restored: Promise<TakenUp> | undefined
  #exchanges = 0

  constructor(options: ClientOptions) {
    checkCounts(options, ['retransmitAfterMs', 'pollAfterMs'])
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#tap = options.dangerTap
    this.#tlsOwner = options.dispatcher ? (options.dangerDispatcherTrust === true ? 'trusted-dispatcher' : 'dispatcher') : 'client'
    this.#lasting = options.store !== undefined
    this.#sealed = sealedStore(options.store, options.keyring, this.#random)
    const { store, serializer } = this.#sealed
    const shared = { store, serializer, clock: this.#clock, random: this.#random, limits: this.#limits }
    this.#http = createHttpClient({ limits: this.#limits, clock: this.#clock, ...(options.dispatcher && { dispatcher: options.dispatcher }) })
    this.tokens = new SctManager({
      ...shared,
      establish: (peer, request, signal) => this.#establisher.establish(this.#lineOf(peerName(peer)), request, signal),
      renewWith: (token, request, signal, messageId) => this.#establisher.establish(this.#lineOf(token.peer), request, signal, { token, messageId }),
      cancelWith: (token, request, signal) => this.#establisher.cancel(this.#lineOf(token.peer), token, request, signal),
      renews: (peer) => this.#lineAt(peer)?.profile.renewal !== 'replace',
    })
    this.tokens.on('renewed', ({ tokenId }) => { for (const { events } of this.#boundTo(tokenId)) events.emit('renewed', { tokenId }) })
    this.tokens.on('notRenewed', ({ tokenId, error }) => { for (const { events } of this.#boundTo(tokenId)) events.emit('notRenewed', { tokenId, error }) })
    this.#gate = new Gate(this.tokens, this.#clock, new ReplayCache({ capacity: this.#limits.replayMarks, perScope: this.#limits.replayMarksPerPrincipal }))
    this.#establisher = new Establisher({
      gate: this.#gate, clock: this.#clock, random: this.#random, limits: this.#limits,
      post: (line, written, signal) => this.#post(line, written, signal), writing: (token) => this.tokens.writing(token),
    })
    this.#inbox = new Inbox({
      listen: options.listen, limits: this.#limits, clock: this.#clock, random: this.#random, tokens: this.tokens, gate: this.#gate, tap: this.#tap, nextExchange: () => ++this.#exchanges,
      engine: () => this.#engine, line: (token) => this.#lineAt(token.peer), refused: (code, detail) => this.#refused(code, detail),
      failed: (error) => this.#failed(error),
    })
    this.#engine = new SequenceEngine({
      ...shared, security: this.tokens, restoreDetached: true, takesSequences: false,
      timing: { ...DEFAULT_TIMING, ...(options.retransmitAfterMs !== undefined && { retransmitMs: options.retransmitAfterMs }), ...(options.pollAfterMs !== undefined && { pollMs: options.pollAfterMs }) },
      transmit: (outbound, signal) => this.#transmit(outbound, signal),
      respond: (exchange, answer) => this.#inbox.respond(exchange, answer),
      deliver: () => Promise.resolve(undefined),
      observe: (event) => this.#observe(event),
    })
    this.#recovery = new Recovery({ tokens: this.tokens, engine: this.#engine, clock: this.#clock, bound: (lane) => this.#open.get(lane), boundTo: (token) => this.#boundTo(token) })
  }

  connect(url: string | URL, options: ConnectOptions): Promise<Conversation> { return this.open(url, options) }

  /** `owner`: what ends with the conversation. */
  async open(url: string | URL, options: ConnectOptions, owner?: AsyncDisposable): Promise<Conversation> {
    checkOptions(options, 'connect')
    checkClientBootstrap(options.bootstrap, options.trust)
    checkName(options.name)
    checkCounts(options, ['maxPending', 'maxPendingBytes'])
    checkOnContextLost(options.onContextLost)
    if (options.profile !== undefined) checkProfile(options.profile)
    if (options.name !== undefined && !this.#lasting) throw new UsageError('ERR_USAGE_NAME', 'a named conversation needs a store and a keyring')
    const line = this.#line(String(url), options)
    const peer = this.#peerOf(line, options)
    this.#restored ??= takeUp(this.#sealed as Sealed<never>, this.tokens, this.#engine)
    const { unreadable } = await this.#restored
    // Of several at the same moment, the first: nothing is waited for from here to the request for a token.
    this.#speak(line)
    const known = options.name === undefined ? undefined : this.#engine.find(options.name)
    if (known !== undefined && this.#open.has(known)) throw new UsageError('ERR_NAME_TAKEN', `the conversation ${options.name} is open in this process already`)
    // Nothing is lost silently: a new conversation would stand in the place of one that holds messages.
    if (options.name !== undefined && known === undefined && unreadable > 0) {
      throw new StoreFailed('ERR_STORE_UNREADABLE', `the conversation ${options.name} is not among those of the store that can be read, and ${unreadable} cannot be: it may be one of them. Go on with a copy of the store from before it was changed, or begin anew with another store`)
    }
    const events = new Listeners<ConversationEvents>()
    const opened = (lane: LaneId): Open => ({
      lane, events, peer, resumes: options.onContextLost !== 'report', doubtful: options.dangerResendDoubtful === true ? 'move' : 'stay',
      mustTrust: async (token) => this.#establisher.mustTrust(await this.tokens.get(token), line, options.signal), report: (error) => tell(events, error),
    })
    // Before anything is waited for: of several who ask at the same moment one gets it.
    if (known !== undefined) this.#open.set(known, opened(known))
    const { lane, tokenId } = await this.#taken({ ...line, peer }, options, known).catch(async (error: unknown) => {
      if (known !== undefined) this.#open.delete(known)
      else if (options.signal?.aborted !== true) await this.#cancelUnused(peer).catch((late: unknown) => tell(events, late))
      throw error
    })
    this.#open.set(lane, opened(lane))
    if (known !== undefined) this.#engine.attach(lane, { resumes: options.onContextLost !== 'report' })
    /** Where it is by now. */
    const current = (): Open => [...this.#open.values()].find((each) => each.events === events) ?? opened(lane)
    return new ConversationFace({
      lane, tokenId, engine: this.#engine, events, limits: this.#limits, random: this.#random, named: options.name !== undefined, offer: options.offer ?? true,
      resume: (wait) => this.#recovery.resume(current(), wait),
      ended: async (how) => {
        this.#open.delete(current().lane)
        const last = this.#engine.status(lane)?.tokenId ?? tokenId
        try {
          // A token that the conversation has left is not cancelled: it is lost to the peer, or ends by itself.
          if (how === 'closed' && !(await this.#isBound(last))) await this.tokens.cancel(last, { timeoutMs: CANCEL_MS })
          if (how === 'closed') await this.#cancelUnused(peer)
        } catch (error) {
          // The conversation has ended; that its token could not be is no reason to say that it has not.
          tell(events, error)
        } finally {
          await owner?.[Symbol.asyncDispose]()
        }
      },
    })
  }

  async #taken(line: PeerLine, options: ConnectOptions, known: LaneId | undefined): Promise<{ readonly lane: LaneId; readonly tokenId: TokenId }> {
    const lane = known ?? await this.#openLane(line, options, waitOf(options))
    return { lane, tokenId: await this.#tokenOf(lane, line, options.signal) }
  }

  /** Step 1 of the flow: a live token of this peer is a required argument of `engine.open`, the only producer of CreateSequence. */
  async #openLane(line: PeerLine, options: ConnectOptions, wait: Wait): Promise<LaneId> {
    for (let tries = 0; tries < HAND_OVERS; tries++) {
      // Under a token of its own that an earlier conversation of the same name has left there was a sequence pair already.
      const left = line.peer.conversation === undefined ? undefined : this.tokens.newest(line.peer)
      const tokenId = left === undefined ? await this.tokens.token(line.peer, wait) : await this.tokens.instead(line.peer, left, wait)
      // In use before anything else is waited for: the last conversation under it may be ending at this moment, and would cancel it.
      const use = this.tokens.use(tokenId, OPENING)
      try {
        const token = await this.tokens.get(tokenId)
        if (token === undefined) continue
        await this.#establisher.mustTrust(token, line, options.signal)
        return await this.#engine.open(tokenId, openOptions(line, options, await this.#endpoint(line)))
      } finally {
        use[Symbol.dispose]()
      }
    }
    throw new BootstrapFailed('ERR_BOOTSTRAP', 'every token ended while it was handed over', { retryable: true })
  }
  /** A conversation that comes back from the store must be the one that is asked for: the same service, as the same principal, under the same policy. */
  async #tokenOf(lane: LaneId, line: PeerLine, signal: AbortSignal | undefined): Promise<TokenId> {
    const tokenId = this.#engine.status(lane)?.tokenId
    const token = tokenId === undefined ? undefined : await this.tokens.remembered(tokenId)
    if (tokenId === undefined || token === undefined) throw new UsageError('ERR_CONVERSATION_OVER', 'the conversation is over')
    if (token.peer !== peerName(line.peer)) throw new UsageError('ERR_NAME_TAKEN', 'the conversation of that name has another service, another certificate or another profile')
    await this.#establisher.mustTrust(token, line, signal)
    const endpoint = this.#engine.status(lane)?.endpoint
    if (endpoint?.kind === 'address' && addressOf(await this.#endpoint(line)) !== endpoint.address) {
      throw new UsageError('ERR_USAGE_LISTEN', `the service sends the replies of this conversation to ${endpoint.address}: listen there, or give that as listen.address`)
    }
    return tokenId
  }
  /** Where a new conversation takes what is sent to it: a mailbox of its own, or the one address of this client. */
  async #endpoint({ profile: { endpoint } }: Line): Promise<Endpoint> {
    if (endpoint === 'make-connection') return { kind: endpoint, address: `${MC_ANONYMOUS_PREFIX}${urnUuid(this.#random)}` }
    return endpoint === 'address' ? { kind: endpoint, address: await this.#inbox.address() } : { kind: endpoint }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#recovery.close()
    await this.#engine[Symbol.asyncDispose]()
    await this.#inbox[Symbol.asyncDispose]()
    await this.tokens[Symbol.asyncDispose]()
    await this.#http[Symbol.asyncDispose]()
  }

  /** Here or in another process on this store. */
  async #isBound(token: TokenId): Promise<boolean> {
    await this.#engine.refresh(token)
    return this.tokens.users(token).length > 0 || await this.#engine.isBound(token)
  }
  /** A token that only this conversation could use, had in vain: no sequence of it is bound to it. */
  async #cancelUnused(peer: PeerKey): Promise<void> {
    const own = peer.conversation === undefined ? undefined : this.tokens.newest(peer)
    if (own !== undefined && !(await this.#isBound(own))) await this.tokens.cancel(own, { timeoutMs: CANCEL_MS })
  }
  #boundTo(token: TokenId): readonly Open[] { return [...this.#open.values()].filter(({ lane }) => this.#engine.status(lane)?.tokenId === token) }

  #line(url: string, { bootstrap, trust, profile = DEFAULT_PROFILE }: ConnectOptions): PeerLine {
    checkLine(url, bootstrap, profile, this.#tlsOwner)
    const service = 'service' in bootstrap ? bootstrap.service.sha256 : ''
    const principal = principalOf(bootstrap)
    // S12: no other principal, and no other choice of protection, gets this token.
    const policy = digest('sha256', JSON.stringify([profile, service])).toString('hex')
    const peer: PeerKey = { endpoint: url, principal, sc: versionsOf(profile).sc, suite: profile.suite, policy }
    const line: PeerLine = { url, bootstrap, trust, profile, peer, own: ownKeysOf(bootstrap), tls: this.#tlsOwner === 'client' ? tlsOf(bootstrap, trust, profile) : undefined }
    this.#speak(line)
    return line
  }
  /** Whose token a conversation is under: that of all with this service, or its own, which after a restart is found by the name. */
  #peerOf({ peer, profile: { contexts } }: PeerLine, { name }: ConnectOptions): PeerKey {
    return contexts === 'shared' ? peer : { ...peer, conversation: name ?? urnUuid(this.#random) }
  }
  /** S12: where TLS alone says who the service is, a token that one trust brought is not for another; and connections are made for all who share it. */
  #speak(line: PeerLine): void {
    const { peer, tls } = line
    const name = peerName(peer)
    const known = this.#lines.get(name)?.tls
    const isSame = known === undefined || tls === undefined || trustName(known) === trustName(tls)
    if (!isSame && (this.tokens.isKnown(peer) || [...this.#open.values()].some((each) => peerName(each.peer).startsWith(name)))) {
      throw new UsageError('ERR_USAGE_TRUST', 'this client speaks with that service under another trust, and one of them would count for both: give the same (of verify, the same function), or make another client')
    }
    this.#lines.set(name, line)
  }
  /** Of the peer of all conversations, or of one. */
  #lineAt(name: string): PeerLine | undefined { return this.#lines.get(name) ?? [...this.#lines].find(([each]) => name.startsWith(each))?.[1] }
  #lineOf(name: string): PeerLine {
    const line = this.#lineAt(name)
    if (line === undefined) throw new UsageError('ERR_USAGE_LINE', 'the peer of this token was not connected to in this process')
    return line
  }

  async #post(line: Line, written: Written, signal: AbortSignal): Promise<PostAnswer> {
    const body = Buffer.from(written.xml, 'utf8')
    const headers = soapHeaders(written.soap.name, written.action)
    const exchange = ++this.#exchanges
    this.#tap?.message({ exchange, direction: 'request', at: this.#clock.now(), http: { method: 'POST', path: new URL(line.url).pathname, headers }, body })
    const answer = await this.#http.post(line.url, { body, headers, signal, tls: line.tls })
    this.#tap?.message({ exchange, direction: 'response', at: this.#clock.now(), http: { status: answer.status, headers: contentTypeOf(answer) }, body: answer.body })
    return answer
  }

  // ---- the sequence's exchanges ----

  /** Sends one message and hands what comes back to the engine: words when they are proven, otherwise a hint. */
  async #transmit(outbound: Outbound, signal: AbortSignal): Promise<void> {
    const token = await this.tokens.get(outbound.tokenId)
    if (token === undefined) {
      this.#engine.hint(outbound.lane, { kind: 'context-fault', says: 'expired', code: 'ERR_SCT_EXPIRED', proven: true }, outbound)
      return
    }
    const line = this.#lineOf(token.peer)
    const instance = this.tokens.writing(token)
    this.#tap?.secret?.({ identifier: token.id, instance: instance.instance, secret: instance.secret })
    const written = encode(outbound, token, { profile: line.profile, role: 'initiator', instance, now: this.#clock.now(), random: this.#random, limits: this.#limits })
    if (line.profile.signatureConfirmation) this.#confirmations.wrote(outbound, written.signatureValues)
    let answer: PostAnswer
    try {
      answer = await this.#post(line, written, signal)
    } catch (error) {
      // Somebody else than whom TLS must prove: nothing was said to him, and the right one may be there the next time.
      if (error instanceof SecurityFailure) this.#open.get(outbound.lane)?.events.emit('security', { code: error.code, detail: error.message })
      else if (!(error instanceof TransportFailed)) throw error
      this.#engine.hint(outbound.lane, { kind: 'http-failure', cause: error }, outbound)
      return
    }
    const { profile, own, url } = line
    await answered(outbound, answer, {
      gate: this.#gate, limits: this.#limits, profile, own, engine: this.#engine,
      check: (opened) => { if (profile.signatureConfirmation) this.#confirmations.check(opened, outbound, written.signatureValues) },
      judge: (received) => {
        // Both sides of a context have one key, so our own message, sent back by whoever stands between, is rightly signed too. It says whom it is for.
        if (received.to === url) throw new SecurityFailure('ERR_WSA_MIRRORED', 'the answer is addressed to the service: it is a message of ours', FAULTS.failedCheck)
        if (received.body.kind !== 'fault' || received.sequence !== undefined || received.tokenId !== outbound.tokenId) return undefined
        const says = saidContext(received.body.fault)
        if (says !== undefined) return { kind: 'context-fault', says, code: says, proven: true }
        // Peer Metro 4: so it answers what is under the key that it replaces at that moment. What was wrong with one copy need not be with the next.
        if (!isOfProtection(received.body.fault)) return undefined
        return this.tokens.isOutdated(token.id, instance) ? { kind: 'http-failure' } : { kind: 'refused-answer', code: 'ERR_WSS_FAULT' }
      },
      // The peer that has renewed a token may have forgotten the key that this was written with: it will be written anew.
      hintOf: (fault) => hintOf(fault, profile, () => this.tokens.isOutdated(token.id, instance)),
      refused: (code, detail) => this.#open.get(outbound.lane)?.events.emit('security', { code, detail }),
    })
  }

  /** What came to the address and belongs to no conversation: those hear of it that have it for theirs. */
  #refused(code: string, detail: string): void {
    for (const [lane, { events }] of this.#open) if (this.#engine.status(lane)?.endpoint?.kind === 'address') events.emit('security', { code, detail })
  }

  #failed(error: unknown): void {
    const concerned = [...this.#open].filter(([lane]) => this.#engine.status(lane)?.endpoint?.kind === 'address')
    if (concerned.length === 0) warn(error instanceof Error ? error : new Error(String(error)))
    for (const [, { events }] of concerned) tell(events, error)
  }

  #observe(event: EngineEvent): void {
    const open = event.lane === undefined ? undefined : this.#open.get(event.lane)
    if (open === undefined) return event.kind === 'error' ? warn(event.error) : undefined
    const { events } = open
    switch (event.kind) {
      case 'state': return events.emit('state', { state: event.state })
      case 'retransmit': return events.emit('retransmit', { number: event.number, tries: event.tries })
      case 'lost': return events.emit('lost', { numbers: event.numbers, reason: event.reason })
      case 'stranded': return this.#recovery.stranded(event.lane, event.why)
      case 'moved':
        this.#open.delete(event.lane)
        this.#open.set(event.to, { ...open, lane: event.to })
        return events.emit('moved', event.report)
      case 'suspended': return events.emit('suspended', { reason: event.reason })
      case 'security': return events.emit('security', { code: event.code, ...(event.detail !== undefined && { detail: event.detail }) })
      case 'error': return tell(events, event.error)
      default: return
    }
  }
}

/** @throws {UsageError} ERR_USAGE_TLS: what TLS shall protect is not under TLS; ERR_USAGE_DISPATCHER: it is under a TLS that does not know what was said of it here */
function checkLine(url: string, bootstrap: ClientBootstrap, profile: Profile, owner: TlsOwner): void {
  const needsTls = isProvenByTls(bootstrap, profile)
  if (needsTls && URL.canParse(url) && new URL(url).protocol !== 'https:') throw new UsageError('ERR_USAGE_TLS', 'a bootstrap over TLS, and the transport profile, need an https URL')
  // D24: who is trusted is always said, and what is said is kept to. A dispatcher shows us nobody's certificate, and whoever it reached would have the password before any answer.
  if (needsTls && owner === 'dispatcher') {
    throw new UsageError('ERR_USAGE_DISPATCHER', 'here TLS says who the service is, and a dispatcher makes its own, which does not ask trust: let it judge the service and say so by dangerDispatcherTrust: true, or give no dispatcher, or begin by x509 or usernameForCertificate with messages that are protected themselves')
  }
  if (owner !== 'client' && bootstrap.kind === 'certificateOverTls' && bootstrap.credentials !== undefined) {
    throw new UsageError('ERR_USAGE_DISPATCHER', 'a dispatcher shows its own client certificate: give it there, and certificateOverTls() without one')
  }
}
/** TLS says who the service is, of the token or of each message; otherwise the service signs, and TLS is beside it. */
const isProvenByTls = (bootstrap: ClientBootstrap, { protection }: Profile): boolean => isOverTls(bootstrap) || protection === 'transport'
/** There `trust` is that of TLS. */
const tlsOf = (bootstrap: ClientBootstrap, trust: Trust, profile: Profile): ClientTls | undefined =>
  (isProvenByTls(bootstrap, profile) ? { trust, credentials: bootstrap.kind === 'certificateOverTls' ? bootstrap.credentials : undefined } : undefined)

/** Choice. */
const HAND_OVERS = 3
/** A lane that has no name yet. */
const OPENING = 'opening' as LaneId

/** What an unprotected fault may be taken for; what it says of a key that is replaced at this moment says nothing. */
function hintOf(fault: ReceivedFault, profile: Profile, isStale: () => boolean): Hint {
  const says = hintedContext(fault, profile.contextLost)
  if (says === undefined) return { kind: 'unprotected-fault', fault }
  return isStale() ? { kind: 'http-failure' } : { kind: 'context-fault', says, code: (fault.subcode ?? fault.code).slice(0, 128) }
}

const openOptions = ({ url, profile }: PeerLine, options: ConnectOptions, endpoint: Endpoint): OpenOptions => ({
  url, endpoint, resumes: options.onContextLost !== 'report',
  rm: versionsOf(profile).rm, offer: options.offer ?? true, offerOnRepeat: profile.offerOnRepeat, ackRequestedOnOneWay: profile.ackRequestedOnOneWay,
  ...(profile.window !== undefined && { window: profile.window }),
  ...(options.name !== undefined && { name: options.name }),
  ...(options.maxPending !== undefined && { maxPending: options.maxPending }), ...(options.maxPendingBytes !== undefined && { maxPendingBytes: options.maxPendingBytes }),
})

/** The peer is asked to forget the token; that it answers is not worth a long wait. */
const CANCEL_MS = 5_000

const contentTypeOf = ({ headers }: PostAnswer): Record<string, string> => {
  const value = headerValue(headers, 'content-type')
  return value === undefined ? {} : { 'content-type': value }
}
