/**
 * The client: initiator of the token, RM Source of the requests, Destination of the offered sequence. `connect` gives a conversation, which is
 * one sequence pair scoped to one token; a named one survives the process.
 *
 * @module
 */
import type { ClientBootstrap } from './bootstraps.ts'
import { checkClientBootstrap, checkCounts, checkName, checkOnContextLost, checkOptions, waitOf } from './checks.ts'
import { type Clock, systemClock } from './clock.ts'
import { type Conversation, ConversationFace } from './conversation.ts'
import { type Certificate, checkTrust, type Trust } from './crypto/certificate.ts'
import { digest } from './crypto/hash.ts'
import { type RandomSource, systemRandom, urnUuid } from './crypto/random.ts'
import { BootstrapFailed, FAULTS, PeerViolation, SecurityFailure, SoapFault, StoreFailed, TransportFailed, UsageError, WsrmError } from './errors.ts'
import { Gate, type OwnKeys } from './gate.ts'
import { type ConversationEvents, Listeners, tell, warn } from './observe.ts'
import { DEFAULT_LIMITS, type Limits, type Wait } from './options.ts'
import { DEFAULT_PROFILE, type Profile } from './profiles/profile.ts'
import { type Bound, hintedContext, Recovery, saidContext } from './recovery.ts'
import { type EngineEvent, type OpenOptions, SequenceEngine } from './rm/engine.ts'
import { DEFAULT_TIMING } from './rm/timing.ts'
import type { Hint, LaneId, Outbound, ReceivedFault } from './rm/turn.ts'
import { type PeerKey, peerName, SctManager } from './sct/manager.ts'
import type { Established } from './sct/requestor.ts'
import { currentInstance, type Principal, type SecurityContextToken, type TokenId, type TokenRequest } from './sct/token.ts'
import { type Sealed, sealedStore, takeUp, type TakenUp } from './sealed.ts'
import type { Keyring } from './serializer/keyring.ts'
import { writeAddressing } from './soap/addressing.ts'
import { readTokenResponse, trustAction, writeTokenRequest } from './soap/trust.ts'
import type { Store } from './store/store.ts'
import type { DangerTap } from './tap.ts'
import { headerValue, soapHeaders } from './transport/http.ts'
import { createHttpClient, type HttpClient, type HttpDispatcher, type PostAnswer } from './transport/http-client.ts'
import { bootstrapPolicy, encode, encodeUnderToken, hintedFault, mustUnderstand, readCovered, sessionPolicy, versionsOf, type Written } from './wire.ts'
import { authenticate, protectBootstrap } from './wss/bootstrap.ts'
import { read } from './wss/open.ts'
import type { SessionToken } from './wss/protect.ts'
import { ReplayCache } from './wss/replay.ts'

export interface ClientOptions {
  /** Default: in memory. With a store that lasts, a keyring is needed: nothing is kept in clear. */
  readonly store?: Store
  readonly keyring?: Keyring
  /** An undici Dispatcher of the caller's: for TLS with a client certificate, proxies and the like. */
  readonly dispatcher?: HttpDispatcher
  readonly clock?: Clock
  readonly random?: RandomSource
  readonly limits?: Partial<Limits>
  /** First resend after so long, doubled each time. Default: 2 s. */
  readonly retransmitAfterMs?: number
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

/** What belongs to a peer as one principal under one policy: the key of its token, and how to speak to it. */
interface Line { readonly url: string; readonly options: ConnectOptions; readonly profile: Profile; readonly own: OwnKeys; readonly peer: PeerKey }

/** A conversation that is open in this process. */
interface Open extends Bound { readonly events: Listeners<ConversationEvents> }

class ClientFace implements Client {
  readonly tokens: SctManager
  readonly #limits: Limits
  readonly #clock: Clock
  readonly #random: RandomSource
  readonly #engine: SequenceEngine
  readonly #gate: Gate
  readonly #http: HttpClient
  readonly #tap: DangerTap | undefined
  readonly #lasting: boolean
  /** By the name of the token's key. */
  readonly #lines = new Map<string, Line>()
  /** Certificates of services that proved to have them, by thumbprint. */
  readonly #proven = new Map<string, Certificate>()
  readonly #open = new Map<LaneId, Open>()
  readonly #recovery: Recovery
  readonly #sealed: Sealed<unknown>
  #restored: Promise<TakenUp> | undefined
  #exchanges = 0

  constructor(options: ClientOptions) {
    checkCounts(options, ['retransmitAfterMs'])
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#tap = options.dangerTap
    this.#lasting = options.store !== undefined
    this.#sealed = sealedStore(options.store, options.keyring, this.#random)
    const { store, serializer } = this.#sealed
    const shared = { store, serializer, clock: this.#clock, random: this.#random, limits: this.#limits }
    this.#http = createHttpClient({ limits: this.#limits, clock: this.#clock, ...(options.dispatcher !== undefined && { dispatcher: options.dispatcher }) })
    this.tokens = new SctManager({
      ...shared,
      establish: (peer, request, signal) => this.#establish(this.#lineOf(peerName(peer)), request, signal),
      renewWith: (token, request, signal, messageId) => this.#establish(this.#lineOf(token.peer), request, signal, { token, messageId }),
      cancelWith: (token, request, signal) => this.#cancelWith(token, request, signal),
      renews: (peer) => this.#lines.get(peer)?.profile.renewal !== 'replace',
    })
    this.tokens.on('renewed', ({ tokenId }) => { for (const { events } of this.#boundTo(tokenId)) events.emit('renewed', { tokenId }) })
    this.tokens.on('notRenewed', ({ tokenId, error }) => { for (const { events } of this.#boundTo(tokenId)) events.emit('notRenewed', { tokenId, error }) })
    this.#gate = new Gate(this.tokens, this.#clock, new ReplayCache())
    this.#engine = new SequenceEngine({
      ...shared, security: this.tokens, restoreDetached: true,
      timing: { ...DEFAULT_TIMING, ...(options.retransmitAfterMs !== undefined && { retransmitMs: options.retransmitAfterMs }) },
      transmit: (outbound, signal) => this.#transmit(outbound, signal),
      respond: () => undefined,
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
    if (options.name !== undefined && !this.#lasting) throw new UsageError('ERR_USAGE_NAME', 'a named conversation needs a store and a keyring')
    const line = this.#line(String(url), options)
    this.#restored ??= takeUp(this.#sealed as Sealed<never>, this.tokens, this.#engine)
    const { unreadable } = await this.#restored
    const known = options.name === undefined ? undefined : this.#engine.find(options.name)
    if (known !== undefined && this.#open.has(known)) throw new UsageError('ERR_NAME_TAKEN', `the conversation ${options.name} is open in this process already`)
    // Nothing is lost silently: a new conversation would stand in the place of one that holds messages.
    if (options.name !== undefined && known === undefined && unreadable > 0) {
      throw new StoreFailed('ERR_STORE_UNREADABLE', `the conversation ${options.name} is not among those of the store that can be read, and ${unreadable} cannot be: it may be one of them. Go on with a copy of the store from before it was changed, or begin anew with another store`)
    }
    const events = new Listeners<ConversationEvents>()
    const opened = (lane: LaneId): Open => ({
      lane, events, peer: line.peer, resumes: options.onContextLost !== 'report', doubtful: options.dangerResendDoubtful === true ? 'move' : 'stay',
      mustTrust: async (token) => this.#mustTrust(await this.tokens.get(token), line), report: (error) => tell(events, error),
    })
    // Before anything is waited for: of several who ask at the same moment one gets it.
    if (known !== undefined) this.#open.set(known, opened(known))
    const { lane, tokenId } = await this.#taken(line, options, known).catch((error: unknown) => {
      if (known !== undefined) this.#open.delete(known)
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
        } catch (error) {
          // The conversation has ended; that its token could not be is no reason to say that it has not.
          tell(events, error)
        } finally {
          await owner?.[Symbol.asyncDispose]()
        }
      },
    })
  }

  async #taken(line: Line, options: ConnectOptions, known: LaneId | undefined): Promise<{ readonly lane: LaneId; readonly tokenId: TokenId }> {
    const lane = known ?? await this.#openLane(line, options, waitOf(options))
    return { lane, tokenId: await this.#tokenOf(lane, line) }
  }

  /** Step 1 of the flow: a live token of this peer is a required argument of `engine.open`, the only producer of CreateSequence. */
  async #openLane(line: Line, options: ConnectOptions, wait: Wait): Promise<LaneId> {
    for (let tries = 0; tries < HAND_OVERS; tries++) {
      const tokenId = await this.tokens.token(line.peer, wait)
      // In use before anything else is waited for: the last conversation under it may be ending at this moment, and would cancel it.
      const use = this.tokens.use(tokenId, OPENING)
      try {
        const token = await this.tokens.get(tokenId)
        if (token === undefined) continue
        await this.#mustTrust(token, line)
        return await this.#engine.open(tokenId, openOptions(line, options))
      } finally {
        use[Symbol.dispose]()
      }
    }
    throw new BootstrapFailed('ERR_BOOTSTRAP', 'every token ended while it was handed over', { retryable: true })
  }
  /** A conversation that comes back from the store must be the one that is asked for: the same service, as the same principal, under the same policy. */
  async #tokenOf(lane: LaneId, line: Line): Promise<TokenId> {
    const tokenId = this.#engine.status(lane)?.tokenId
    const token = tokenId === undefined ? undefined : await this.tokens.remembered(tokenId)
    if (tokenId === undefined || token === undefined) throw new UsageError('ERR_CONVERSATION_OVER', 'the conversation is over')
    if (token.peer !== peerName(line.peer)) throw new UsageError('ERR_NAME_TAKEN', 'the conversation of that name has another service, another certificate or another profile')
    await this.#mustTrust(token, line)
    return tokenId
  }
  /** A token that was there already was had from somebody whom another call trusted, perhaps in another process: this one has its own word. */
  async #mustTrust(token: SecurityContextToken | undefined, { options: { bootstrap, trust, signal } }: Line): Promise<void> {
    const thumbprint = token?.principal.kind === 'certificate' ? token.principal.thumbprint : ''
    mustBeNamed(token?.principal, { bootstrap, trust })
    const certificate = thumbprint === bootstrap.service.sha256 ? bootstrap.service : this.#proven.get(thumbprint)
    if (certificate !== undefined) return checkTrust(certificate, trust, this.#clock.now(), signal)
    const isPinned = 'pins' in trust && trust.pins.some((pin) => pin.replaceAll(/[:\s]/g, '').toLowerCase() === thumbprint)
    // A certificate of an earlier process that is not the named one is known by its thumbprint only: enough for a pin, nothing to show to `verify`.
    if (!isPinned && !('verify' in trust)) throw new BootstrapFailed('ERR_WSS_UNTRUSTED', 'the token was had from a service that is not trusted here')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#recovery.close()
    await this.#engine[Symbol.asyncDispose]()
    await this.tokens[Symbol.asyncDispose]()
    await this.#http[Symbol.asyncDispose]()
  }

  /** Here or in another process on this store. */
  async #isBound(token: TokenId): Promise<boolean> {
    await this.#engine.refresh(token)
    return this.tokens.users(token).length > 0 || await this.#engine.isBound(token)
  }
  #boundTo(token: TokenId): readonly Open[] { return [...this.#open.values()].filter(({ lane }) => this.#engine.status(lane)?.tokenId === token) }

  #line(url: string, options: ConnectOptions): Line {
    const { bootstrap } = options
    const profile = options.profile ?? DEFAULT_PROFILE
    const peer: PeerKey = {
      endpoint: url, principal: `x509:${bootstrap.certificate.sha256}`, sc: versionsOf(profile).sc, suite: profile.suite,
      // S12: no other principal, and no other choice of protection, gets this token.
      policy: digest('sha256', JSON.stringify([profile, bootstrap.service.sha256])).toString('hex'),
    }
    const line: Line = { url, options, profile, peer, own: { certificates: [bootstrap.certificate, bootstrap.service], privateKeys: [bootstrap.key] } }
    this.#lines.set(peerName(peer), line)
    return line
  }
  #lineOf(name: string): Line {
    const line = this.#lines.get(name)
    if (line === undefined) throw new UsageError('ERR_USAGE_LINE', 'the peer of this token was not connected to in this process')
    return line
  }

  // ---- the token's exchanges ----

  async #establish(line: Line, request: TokenRequest, signal: AbortSignal, renewal?: { readonly token: SecurityContextToken; readonly messageId: string }): Promise<Established> {
    const { profile, options: { bootstrap, trust } } = line
    const versions = versionsOf(profile)
    const action = trustAction(request.sc, request.kind, 'request')
    // D23: a renewal is repeated with the same MessageID, for which the recipient has kept the answer.
    const messageId = renewal?.messageId ?? urnUuid(this.#random)
    const headers = writeAddressing({ action, to: line.url, messageId, replyTo: 'anonymous' }, versions.addressing, versions.soap)
    const { xml } = protectBootstrap(
      { soap: versions.soap, headers, body: [writeTokenRequest(request)] },
      { certificate: bootstrap.certificate, key: bootstrap.key, peerCertificate: bootstrap.service },
      { profile, now: this.#clock.now(), random: this.#random, ...(renewal !== undefined && { endorse: sessionToken(renewal.token) }) },
    )
    const answer = await this.#post(line, { xml, action, soap: versions.soap }, signal)
    const envelope = this.#protectedAnswer(answer, request.kind)
    const opened = await this.#gate.open(envelope, line.own, bootstrapPolicy({ profile, limits: this.#limits }))
    mustUnderstand(opened)
    const addressing = readCovered(opened)
    // S10: the answer to this very request, once.
    if (addressing.relatesTo !== messageId || addressing.action !== trustAction(request.sc, request.kind, 'response')) throw new BootstrapFailed('ERR_BOOTSTRAP_UNRELATED', 'the answer belongs to another request')
    if (this.#gate.mark(opened, 'bootstrap') === 'seen') throw new SecurityFailure('ERR_WSS_REPLAY', 'this very answer was seen before', FAULTS.failedCheck)
    const principal = await authenticate(opened, { trust, now: this.#clock.now(), signal })
    mustBeNamed(principal, line.options)
    if (opened.signer?.kind === 'certificate') this.#proven.set(opened.signer.certificate.sha256, opened.signer.certificate)
    const [element] = opened.envelope.body.elements()
    if (element === undefined) throw new BootstrapFailed('ERR_BOOTSTRAP_EMPTY', 'the answer has an empty Body')
    return { response: readTokenResponse(element, request.kind), principal }
  }

  async #cancelWith(token: SecurityContextToken, request: TokenRequest, signal: AbortSignal): Promise<void> {
    const line = this.#lineOf(token.peer)
    const action = trustAction(token.sc, 'cancel', 'request')
    const messageId = urnUuid(this.#random)
    const parts = { action, headers: [], body: [writeTokenRequest(request)], declarations: {} }
    const instance = this.tokens.writing(token)
    const written = encodeUnderToken(parts, { to: line.url, messageId }, token, { profile: line.profile, role: 'initiator', instance, now: this.#clock.now(), random: this.#random, limits: this.#limits })
    const envelope = this.#protectedAnswer(await this.#post(line, written, signal), 'cancel')
    // The answer is the last message under the token, which has ended here already.
    const opened = await this.#gate.open(envelope, line.own, sessionPolicy({ profile: line.profile, limits: this.#limits }), 'remembered')
    const addressing = readCovered(opened)
    if (addressing.relatesTo !== messageId || opened.signer?.kind !== 'context' || opened.signer.identifier !== token.id) throw new BootstrapFailed('ERR_BOOTSTRAP_UNRELATED', 'the answer belongs to another request')
    const [element] = opened.envelope.body.elements()
    if (element === undefined) throw new BootstrapFailed('ERR_BOOTSTRAP_EMPTY', 'the answer has an empty Body')
    readTokenResponse(element, 'cancel')
  }

  /** The envelope of an answer that must be protected; a fault without protection ends the request with what it says (D9: it is a hint, and the request has failed in any case). */
  #protectedAnswer(answer: PostAnswer, kind: string): ReturnType<typeof read> {
    if (answer.body.length === 0) {
      // 4xx says that the request is at the wrong place, or is no request for it: asking again changes nothing.
      const { status } = answer
      const isOurs = status >= 400 && status < 500 && status !== 408 && status !== 429
      const hint = isOurs ? ': no such service there? Look at the path of the URL' : ''
      throw new BootstrapFailed('ERR_BOOTSTRAP_NO_ANSWER', `the request for a token (${kind}) was answered with HTTP ${status} and no message${hint}`, { retryable: !isOurs })
    }
    const envelope = read(answer.body, this.#limits)
    if (envelope.security !== undefined) return envelope
    const fault = hintedFault(envelope)
    if (fault !== undefined) throw new SoapFault(fault)
    throw new SecurityFailure('ERR_WSS_UNPROTECTED', 'the answer is not protected', FAULTS.failedCheck)
  }

  async #post(line: Line, written: Written, signal: AbortSignal): Promise<PostAnswer> {
    const body = Buffer.from(written.xml, 'utf8')
    const headers = soapHeaders(written.soap.name, written.action)
    const exchange = ++this.#exchanges
    this.#tap?.message({ exchange, direction: 'request', at: this.#clock.now(), http: { method: 'POST', path: new URL(line.url).pathname, headers }, body })
    const answer = await this.#http.post(line.url, { body, headers, signal })
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
    let answer: PostAnswer
    try {
      answer = await this.#post(line, written, signal)
    } catch (error) {
      if (!(error instanceof TransportFailed)) throw error
      this.#engine.hint(outbound.lane, { kind: 'http-failure', cause: error }, outbound)
      return
    }
    // The peer that has renewed a token may have forgotten the key that this was written with: it will be written anew.
    await this.#answered(outbound, line, answer, () => this.tokens.isOutdated(token.id, instance))
  }

  async #answered(outbound: Outbound, line: Line, answer: PostAnswer, isStale: () => boolean): Promise<void> {
    if (answer.body.length === 0) {
      const hint = answer.status < 300 ? { kind: 'empty-answer' as const, status: answer.status } : { kind: 'http-failure' as const, status: answer.status }
      this.#engine.hint(outbound.lane, hint, outbound)
      return
    }
    try {
      const envelope = read(answer.body, this.#limits)
      const fault = envelope.security === undefined ? hintedFault(envelope) : undefined
      if (fault !== undefined) {
        this.#engine.hint(outbound.lane, hintOf(fault, line.profile, isStale), outbound)
        return
      }
      const opened = await this.#gate.open(envelope, line.own, sessionPolicy({ profile: line.profile, limits: this.#limits }))
      const { received } = await this.#gate.receive(opened)
      // Both sides of a context have one key, so our own message, sent back by whoever stands between, is rightly signed too. It says whom it is for.
      if (received.to === line.url) throw new SecurityFailure('ERR_WSA_MIRRORED', 'the answer is addressed to the service: it is a message of ours', FAULTS.failedCheck)
      const says = received.body.kind === 'fault' && received.sequence === undefined && received.tokenId === outbound.tokenId ? saidContext(received.body.fault) : undefined
      if (says !== undefined) this.#engine.hint(outbound.lane, { kind: 'context-fault', says, code: says, proven: true }, outbound)
      else await this.#engine.receive(received, { kind: 'answer', lane: outbound.lane, to: outbound })
    } catch (error) {
      // D9: what is not proven changes nothing; it is told, and the wait goes on.
      if (!(error instanceof SecurityFailure || error instanceof PeerViolation || (error instanceof WsrmError && error.code.startsWith('ERR_XML')))) throw error
      this.#open.get(outbound.lane)?.events.emit('security', { code: error.code, detail: error.message })
      this.#engine.hint(outbound.lane, { kind: 'refused-answer', code: error.code }, outbound)
    }
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

/**
 * An authority says whom it vouches for, not who of them the service is: that is who the request was encrypted for. Pins and `verify` say it
 * themselves.
 */
function mustBeNamed(principal: Principal | undefined, { bootstrap, trust }: Pick<ConnectOptions, 'bootstrap' | 'trust'>): void {
  if (!('authorities' in trust) || (principal?.kind === 'certificate' && principal.thumbprint === bootstrap.service.sha256)) return
  throw new SecurityFailure('ERR_WSS_UNTRUSTED', 'the service answered with another certificate than the one that the request was encrypted for', FAULTS.failedAuthentication)
}

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

const openOptions = ({ url, profile }: Line, options: ConnectOptions): OpenOptions => ({
  resumes: options.onContextLost !== 'report',
  url, rm: versionsOf(profile).rm, offer: options.offer ?? true, offerOnRepeat: profile.offerOnRepeat, ackRequestedOnOneWay: profile.ackRequestedOnOneWay,
  ...(options.name !== undefined && { name: options.name }),
  ...(options.maxPending !== undefined && { maxPending: options.maxPending }), ...(options.maxPendingBytes !== undefined && { maxPendingBytes: options.maxPendingBytes }),
})

/** The peer is asked to forget the token; that it answers is not worth a long wait. */
const CANCEL_MS = 5_000

const sessionToken = (token: SecurityContextToken): SessionToken => {
  const { instance, secret } = currentInstance(token)
  return { identifier: token.id, instance, secret, sc: token.sc }
}
const contentTypeOf = ({ headers }: PostAnswer): Record<string, string> => {
  const value = headerValue(headers, 'content-type')
  return value === undefined ? {} : { 'content-type': value }
}
