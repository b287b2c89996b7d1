/**
 * The service: bytes in, bytes out. Issues tokens, is RM Destination of the requests and RM Source of the replies, hands each message to the
 * handler once and in order.
 *
 * @module
 */
import type { ServiceBootstrap } from './bootstraps.ts'
import { checkAccepted, checkCounts, checkOptions, checkOutcome, contentOf } from './checks.ts'
import { type Clock, systemClock } from './clock.ts'
import type { Trust } from './crypto/certificate.ts'
import { digest } from './crypto/hash.ts'
import { type RandomSource, systemRandom, urnUuid } from './crypto/random.ts'
import { FAULTS, PeerViolation, SecurityFailure, UsageError, XmlError } from './errors.ts'
import { Gate, type OwnKeys } from './gate.ts'
import { authenticatedBy, isLeftToTls, mustBeVouchedFor, protectAnswer, serviceKeys, underTls, type UnderTls } from './issue.ts'
import { ApplicationFault, type Message, messageOf, type Outcome } from './message.ts'
import { Listeners, type ServiceEvents, tell } from './observe.ts'
import { DEFAULT_LIMITS, type Limits, type Wait } from './options.ts'
import { type AllowedAddresses, Outward } from './outward.ts'
import { DEFAULT_PROFILE, type Profile } from './profiles/profile.ts'
import { type DeliveryOutcome, type EngineEvent, type LaneStatus, SequenceEngine } from './rm/engine.ts'
import { DEFAULT_TIMING, type RmTiming } from './rm/timing.ts'
import type { Content, Delivery, ExchangeId, Outbound } from './rm/turn.ts'
import { patiently } from './sct/flight.ts'
import { type Answered, SctManager, type TokenAsk } from './sct/manager.ts'
import { principalName, type SecurityContextToken, type TokenId, type TokenRequest } from './sct/token.ts'
import { type Sealed, sealedStore, takeUp } from './sealed.ts'
import type { Keyring } from './serializer/keyring.ts'
import { writeAddressing } from './soap/addressing.ts'
import { writeApplicationFault, writeFault } from './soap/envelope.ts'
import { readTokenRequest, readTrustAction, trustAction, writeTokenResponse } from './soap/trust.ts'
import { MC_ANONYMOUS_PREFIX, RM11, SC05, SC13, SOAP11, SOAP12, WSA04, WSA10 } from './spec/versions.ts'
import type { Store } from './store/store.ts'
import type { DangerTap } from './tap.ts'
import { headerValue, type HttpRequest, HttpRefused, type HttpResponse, isIdentity, NO_BODY, readBody, soapHeaders, soapMediaType } from './transport/http.ts'
import { listen, type ListenOptions, type Listening } from './transport/http-server.ts'
import { type Claims, claimsOf, contextIn, encode, type EncodeOptions, encodeRefusal, encodeUnderToken, mustUnderstand, protectsItself, readCovered, sessionPolicy, tokenRequestPolicy, type Written } from './wire.ts'
import { type Versions, versionsOf } from './profiles/versions.ts'
import type { Circumstances } from './wss/authenticate.ts'
import type { Envelope, Opened, Policy } from './wss/keys.ts'
import { read } from './wss/open.ts'
import { ReplayCache } from './wss/replay.ts'
import { readElement } from './xml/reader.ts'

/** An async function that returns nothing is a handler too. What `commit` is given is said by the store alone (NoInfer). */
export type Handler<Tx = never> = (message: Message, context: { readonly signal: AbortSignal }) => Promise<Outcome<NoInfer<Tx>> | undefined | void>

export interface ServiceOptions<Tx = never> {
  /** How clients may establish a token, each with whom it trusts. */
  readonly accept: readonly ServiceBootstrap[]
  /** Called once for each message, in the order of its sequence; the next one waits until it is consumed (D18). */
  readonly handle: Handler<Tx>
  /** By action; else ReplyTo decides: anonymous, a mailbox, an address = request; none or absent = one-way. */
  readonly operations?: Readonly<Record<string, { readonly shape: 'one-way' | 'request' }>>
  /** Alternatives: the RST decides. Replies keep the request's SOAP, WS-Addressing, RM and SC versions. */
  readonly profile?: Profile | readonly Profile[]
  /** The service's own address; when it is given, what is addressed elsewhere is refused. Default: what `listen` answers, and no such check. */
  readonly address?: string | URL
  /**
   * Where clients may have their replies and acknowledgements sent to: origins (`https://clients.example.com`), or a function that is asked for
   * each address with its principal. Default: nowhere; such a client is refused, and takes them on back-channels or by MakeConnection.
   * Addresses in private networks are reached only by an origin that is written as that very address, or with `dangerPrivateAddresses`.
   */
  readonly addresses?: AllowedAddresses
  /** Also connect to names that resolve to private, link-local or loopback addresses. */
  readonly dangerPrivateAddresses?: boolean
  /**
   * Who they may be under TLS. Default: whom Node's own authorities vouch for. An http address proves nothing of itself: messages there are protected by
   * the token, and in the transport profile none are sent; who wants TLS as well allows https origins alone in `addresses`.
   */
  readonly addressTrust?: Trust
  /** Default: in memory. With a store that lasts, a keyring is needed: nothing is kept in clear. */
  readonly store?: Store<Tx>
  readonly keyring?: Keyring
  readonly acceptOffer?: boolean
  /** Bind a CreateSequence without SecurityTokenReference to the token that signed it; default: refuse it. */
  readonly bindUnscopedToSigner?: boolean
  /**
   * A Renew without a signature of the token itself is granted to the principal who established it, as long as a renewal may come at all: whoever
   * has his certificate or password then takes over his sequences too, where the standard wants proof of the token's key. For peers that renew so (CXF).
   */
  readonly dangerRenewWithoutProof?: boolean
  readonly holdReplyMs?: number
  readonly maxDeliveries?: number
  /** How long tokens live, whatever clients ask for. Default: what they ask for, between a minute and 10 hours, and 10 hours where they ask for nothing. */
  readonly tokenLifetimeMs?: number
  readonly timing?: Partial<RmTiming>
  readonly clock?: Clock
  readonly random?: RandomSource
  readonly limits?: Partial<Limits>
  /** Sees every message and, where it asks, every secret. For recordings only. */
  readonly dangerTap?: DangerTap
}
export interface Service extends AsyncDisposable {
  /** Bytes in, bytes out: mount it before any body parser, or pass raw bytes. Never rejects for what a peer sent; 503 once it is closed. */
  handle(request: HttpRequest, wait?: Wait): Promise<HttpResponse>
  listen(options: ListenOptions): Promise<Listening>
  sequences(): AsyncIterable<LaneStatus>
  on<K extends keyof ServiceEvents>(event: K, listener: (event: ServiceEvents[K]) => void): Disposable
  /** Takes nothing more and lets requests under way end, for as long as `wait` says; what is stored goes on with the next service on the same store. */
  close(wait?: Wait): Promise<void>
}

/** Makes the service and takes up what its store holds: sequences go on where they stood. */
export async function createService<Tx = never>(options: ServiceOptions<Tx>): Promise<Service> {
  const service = new ServiceFace(options)
  try {
    await service.start()
    return service
  } catch (error) {
    await service.close()
    throw error
  }
}

/** An HTTP request whose answer the engine will choose. */
interface Waiting { readonly profile: Profile; readonly token: SecurityContextToken; readonly instance: string | undefined; readonly confirms: readonly Uint8Array[]; readonly answer: (response: HttpResponse) => void }

class ServiceFace<Tx> implements Service {
  readonly #options: ServiceOptions<Tx>
  readonly #profiles: readonly [Profile, ...Profile[]]
  readonly #limits: Limits
  readonly #clock: Clock
  readonly #random: RandomSource
  readonly #own: OwnKeys
  readonly #sealed: Sealed<never>
  readonly #tokens: SctManager
  readonly #engine: SequenceEngine<Tx>
  readonly #gate: Gate
  readonly #outward: Outward
  readonly #events = new Listeners<ServiceEvents>()
  readonly #waiting = new Map<ExchangeId, Waiting>()
  readonly #listening = new Set<Listening>()
  #address: string | undefined
  #exchanges = 0
  #tapped = 0
  #closed = false

  constructor(options: ServiceOptions<Tx>) {
    checkOptions(options, 'createService')
    checkAccepted(options.accept)
    checkCounts(options, ['holdReplyMs', 'maxDeliveries', 'tokenLifetimeMs'])
    if (typeof options.handle !== 'function') throw new UsageError('ERR_USAGE_HANDLE', 'a service needs handle: the async function that is given each message')
    this.#options = options
    this.#profiles = profilesOf(options.profile)
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#address = options.address === undefined ? undefined : String(options.address)
    this.#own = serviceKeys(options.accept)
    const sealed = sealedStore(options.store, options.keyring, this.#random)
    const { store, serializer } = sealed
    this.#sealed = sealed as unknown as Sealed<never>
    const shapes = new Map(Object.entries(options.operations ?? {}).map(([action, { shape }]) => [action, shape]))
    const shared = { store, serializer, clock: this.#clock, random: this.#random, limits: this.#limits }
    const { tokenLifetimeMs: lifetimeMs } = options
    const policy = { renewWithoutProof: options.dangerRenewWithoutProof ?? false, ...(lifetimeMs !== undefined && { lifetimeMs, lifetimeRangeMs: [lifetimeMs, lifetimeMs] as const }) }
    this.#tokens = new SctManager({ ...shared, policy } as unknown as ConstructorParameters<typeof SctManager>[0])
    this.#gate = new Gate(this.#tokens, this.#clock, new ReplayCache({ capacity: this.#limits.replayMarks, perScope: this.#limits.replayMarksPerPrincipal }))
    this.#outward = new Outward({
      addresses: options.addresses, dangerPrivate: options.dangerPrivateAddresses, trust: options.addressTrust, profiles: this.#profiles, own: this.#own, limits: this.#limits, clock: this.#clock, tokens: this.#tokens, gate: this.#gate,
      engine: () => this.#engine as unknown as SequenceEngine<never>,
      writing: (profile, token) => this.#writing(profile, token, this.#tokens.writing(token).instance),
      refused: (code, detail) => this.#events.emit('security', { code, detail }),
      tap: options.dangerTap, nextExchange: () => ++this.#tapped,
    })
    this.#engine = new SequenceEngine<Tx>({
      ...shared, security: this.#tokens,
      timing: { ...DEFAULT_TIMING, ...options.timing, ...(options.holdReplyMs !== undefined && { holdReplyMs: options.holdReplyMs }), ...(options.maxDeliveries !== undefined && { maxDeliveries: options.maxDeliveries }) },
      acceptOffers: options.acceptOffer ?? true, bindUnscopedToSigner: options.bindUnscopedToSigner ?? false,
      ...(this.#address !== undefined && { address: this.#address }),
      shapeOf: (received) => shapes.get(received.action),
      undeliverable: (delivery) => this.#fault(delivery, { code: 'Receiver', reason: FAULTS.receiver.reason }),
      reaches: (address, principal) => this.#outward.reaches(address, principal),
      transmit: (outbound, signal) => this.#outward.transmit(outbound, signal),
      respond: (exchange, answer) => void this.#respond(exchange, answer),
      deliver: (delivery, signal) => this.#deliver(delivery, signal),
      observe: (event) => this.#observe(event),
    })
  }

  async start(): Promise<void> {
    await takeUp(this.#sealed, this.#tokens, this.#engine as unknown as SequenceEngine)
  }

  on<K extends keyof ServiceEvents>(event: K, listener: (event: ServiceEvents[K]) => void): Disposable { return this.#events.on(event, listener) }
  async *sequences(): AsyncIterable<LaneStatus> { yield* this.#engine.sequences() }

  async listen(options: ListenOptions): Promise<Listening> {
    // A client certificate that nobody asked for is not shown.
    const asks = 'tls' in options && options.tls !== undefined && this.#options.accept.some(({ kind }) => kind === 'certificateOverTls')
    const listening = await listen((request, wait) => this.handle(request, wait), asks ? { ...options, tls: { requestCert: true, ...options.tls } } : options, this.#limits)
    this.#address ??= listening.url
    this.#listening.add(listening)
    return listening
  }

  async close(wait: Wait = {}): Promise<void> {
    this.#closed = true
    const drained = Promise.all([...this.#listening].map((each) => each.close()))
    // Requests under way have as long as the caller waits; then the engine answers them as accepted, and what is stored goes on later.
    await patiently(drained, wait, this.#clock).catch(() => undefined)
    await this.#engine[Symbol.asyncDispose]()
    await this.#outward[Symbol.asyncDispose]()
    await drained
    await this.#tokens[Symbol.asyncDispose]()
  }
  [Symbol.asyncDispose](): Promise<void> { return this.close() }

  // ---- one HTTP request ----

  async handle(request: HttpRequest, wait: Wait = {}): Promise<HttpResponse> {
    const exchange = ++this.#tapped
    if (this.#closed) return plain(503)
    try {
      const media = soapMediaType(headerValue(request.headers, 'content-type'))
      if (request.method !== 'POST') return plain(405, { allow: 'POST' })
      // A front of another's may hand compressed bodies on; what they hold has no bound.
      if (media === undefined || !isIdentity(request.headers)) return plain(415)
      const bytes = await readBody(request.body, this.#limits.messageBytes)
      this.#tap(exchange, request, bytes)
      const response = await this.#answer(bytes, request, media, wait)
      this.#options.dangerTap?.message({ exchange, direction: 'response', at: this.#clock.now(), http: { status: response.status, headers: response.headers }, body: response.body })
      return response
    } catch (error) {
      if (error instanceof HttpRefused) return plain(error.status)
      tell(this.#events, error)
      return plain(500)
    }
  }

  #tap(exchange: number, request: HttpRequest, body: Uint8Array): void {
    if (this.#options.dangerTap === undefined) return
    const headers = Object.fromEntries(['content-type', 'soapaction'].flatMap((name) => {
      const value = headerValue(request.headers, name)
      return value === undefined ? [] : [[name, value]]
    }))
    this.#options.dangerTap.message({ exchange, direction: 'request', at: this.#clock.now(), http: { method: request.method, path: request.url, headers }, body })
  }

  async #answer(bytes: Uint8Array, request: HttpRequest, media: { readonly soap: '1.1' | '1.2'; readonly action?: string }, wait: Wait): Promise<HttpResponse> {
    const soap = media.soap === '1.1' ? SOAP11 : SOAP12
    let envelope: Envelope
    try {
      envelope = read(bytes, this.#limits)
      if (envelope.soap !== soap) throw new PeerViolation('ERR_HTTP_MEDIA', 'the media type names another SOAP version', FAULTS.versionMismatch)
    } catch (error) {
      // BP 1.2 R1126: a SOAP 1.1 fault comes with 500. SOAP 1.2 Part 2 §7.5: VersionMismatch too, another fault of the sender's with 400.
      const isServerStatus = soap === SOAP11 || (error instanceof PeerViolation && error.fault === FAULTS.versionMismatch)
      return this.#refuse(error, { versions: { soap } }, isServerStatus ? 500 : 400)
    }
    const claims = claimsOf(envelope)
    try {
      const named = media.soap === '1.1' ? headerValue(request.headers, 'soapaction')?.replace(/^"|"$/g, '') : media.action
      // BP 1.2 R1144: SOAPAction and the action parameter say what wsa:Action says, or nothing. What is done goes by wsa:Action in any case, which is signed.
      const isChecked = this.#profiles.every(({ httpAction }) => httpAction === 'checked')
      if (isChecked && named !== undefined && named !== '' && named !== claims.action) throw new PeerViolation('ERR_HTTP_ACTION', 'the HTTP header names another action', FAULTS.actionMismatch)
      const trust = claims.action === undefined ? undefined : readTrustAction(claims.action)
      // WS-SC 1.3 §4: Amend, and whatever else may be asked about a context, is not offered.
      if (trust === undefined && isContextAction(claims.action)) throw new PeerViolation('ERR_TRUST_ACTION', 'an exchange about contexts that is not offered', FAULTS.actionNotSupported)
      if (trust?.direction === 'request' && trust.kind !== 'cancel') return await this.#bootstrap(envelope, claims, underTls(request.tls), wait)
      return await this.#session(envelope, claims, { isCancel: trust?.kind === 'cancel', isUnderTls: request.tls !== undefined }, wait)
    } catch (error) {
      return this.#refuse(error, claims, 500)
    }
  }

  // ---- RST/SCT and RST/SCT/Renew ----

  /** A Renew may come after the expiry, endorsed by what is only remembered (peer CXF 4): the issuer decides how late is too late. */
  async #bootstrap(envelope: Envelope, claims: Claims, tls: UnderTls | undefined, wait: Wait): Promise<HttpResponse> {
    const isUnderTls = isLeftToTls(envelope, tls)
    const circumstances = (): Circumstances => ({ now: this.#clock.now(), tls, signal: wait.signal })
    const { opened, profile: chosen } = await this.#openUnderAny(envelope, this.#profiles, (profile) => tokenRequestPolicy({ profile, limits: this.#limits, isUnderTls }), 'remembered', (signers) => mustBeVouchedFor(this.#options.accept, signers, circumstances()))
    // First of all: what else is wrong with a message is for those to hear who may ask.
    const { principal, bootstrap } = await authenticatedBy(this.#options.accept, opened, circumstances())
    mustUnderstand(opened)
    const addressing = readCovered(opened)
    this.#mustBeHere(addressing.to)
    const request = tokenRequestOf(opened, addressing.action)
    const profile = { ...chosen, ...names(claims.versions) }
    const signer = [opened.signer, ...opened.endorsers].find((each) => each?.kind === 'context')
    const proven = signer?.kind === 'context' ? { identifier: signer.identifier, instance: signer.instance } : undefined
    const answered = await this.#ask(opened, { request, principal, suite: profile.suite, ...(proven !== undefined && { signer: proven }) }, addressing.messageId)
    const versions = versionsOf(profile)
    const action = trustAction(answered.response.sc, answered.response.kind, 'response')
    const headers = writeAddressing({ action, messageId: urnUuid(this.#random), ...(addressing.messageId !== undefined && { relatesTo: addressing.messageId }) }, versions.addressing, versions.soap)
    const message = { soap: versions.soap, headers, body: [writeTokenResponse(answered.response, elementId(answered))] }
    const { xml } = protectAnswer(message, opened, bootstrap, { profile, clock: this.#clock, random: this.#random })
    for (const { instance, secret } of answered.token.instances) this.#options.dangerTap?.secret?.({ identifier: answered.token.id, instance, secret })
    return reply(200, { xml, action, soap: versions.soap })
  }

  /** The first alternative whose algorithms the message keeps to. */
  async #openUnderAny(envelope: Envelope, profiles: readonly Profile[], policyOf: (profile: Profile) => Policy, how: 'live' | 'remembered' = 'live', judge?: Parameters<Gate['open']>[4]): Promise<{ readonly opened: Opened; readonly profile: Profile }> {
    let refused: unknown
    for (const profile of profiles) {
      try {
        return { opened: await this.#gate.open(envelope, this.#own, policyOf(profile), how, judge), profile }
      } catch (error) {
        if (!(error instanceof SecurityFailure) || error.fault !== FAULTS.unsupportedAlgorithm) throw error
        refused ??= error
      }
    }
    throw refused ?? new SecurityFailure('ERR_WSS_NO_TLS', 'the service takes messages under TLS only', FAULTS.failedCheck)
  }

  #ask(opened: Opened, ask: Pick<TokenAsk, 'request' | 'principal' | 'suite' | 'signer'>, messageId: string | undefined): Promise<Answered> {
    const value = opened.level === 'transport' ? undefined : opened.signatureValues[0]
    // Nobody else can send again what came under TLS, where the Timestamp is signed at most: what tells two requests apart is what they say.
    const { principal } = ask
    const mark = value ?? JSON.stringify([principal.kind, principalName(principal), ask.request.kind, messageId ?? urnUuid(this.#random)])
    const until = (opened.timestamp?.expires ?? this.#clock.now()) + REPLAY_MARGIN_MS
    return this.#tokens.answer({ ...ask, peer: this.#address ?? '', replay: { key: digest('sha256', mark).toString('hex'), until }, ...(messageId !== undefined && { messageId }) })
  }

  // ---- everything under a token ----

  async #session(envelope: Envelope, claims: Claims, { isCancel, isUnderTls }: { readonly isCancel: boolean; readonly isUnderTls: boolean }, wait: Wait): Promise<HttpResponse> {
    // D9: the transport profile is none without TLS.
    const allowed = this.#profiles.filter(({ protection }) => protection === 'message' || isUnderTls)
    // Of several, those that protect as the message does; where there is none, it is told what it lacks.
    const kind = protectsItself(envelope) ? 'message' : 'transport'
    const alike = allowed.filter(({ protection }) => protection === kind)
    const profiles = alike.length > 0 ? alike : allowed
    const expired = isCancel ? undefined : await this.#expired(envelope, profiles, claims)
    if (expired !== undefined) return expired
    const { opened, profile: chosen } = await this.#openUnderAny(envelope, profiles, (profile) => sessionPolicy({ profile, limits: this.#limits }), isCancel ? 'remembered' : 'live')
    const profile = { ...chosen, ...names(claims.versions) }
    const { signer } = opened
    if (signer?.kind !== 'context') throw new SecurityFailure('ERR_WSS_SIGNER', 'the message is not signed by a security context', FAULTS.failedCheck)
    if (isCancel) return this.#cancel(opened, signer, profile)
    const token = await this.#tokens.get(signer.identifier as TokenId)
    if (token === undefined) throw new SecurityFailure('ERR_WSC_UNKNOWN', 'no such context', FAULTS.badContextToken)
    // K5: the suite was agreed on with the token.
    if (token.suite !== profile.suite) throw new SecurityFailure('ERR_WSS_SUITE', 'the context was issued for another algorithm suite', FAULTS.unsupportedAlgorithm)
    try {
      const { received } = await this.#gate.receive(opened, { copies: profile.lifecycleCopies })
      // Both sides of a context have one key, so what we sent ourselves is rightly signed too. Answers go to the anonymous address, requests never;
      // the engine knows the addresses that sequences are bound to.
      if (received.to !== undefined && (ANONYMOUS.has(received.to) || received.to.startsWith(MC_ANONYMOUS_PREFIX))) throw new PeerViolation('ERR_WSA_MIRRORED', 'the message is addressed to whoever asks: it is an answer, not a request', FAULTS.invalidAddressingHeader)
      this.#mustBeHere(received.to)
      const exchange = `x${++this.#exchanges}`
      const { promise, resolve } = Promise.withResolvers<HttpResponse>()
      this.#waiting.set(exchange, { profile, token, instance: signer.instance, confirms: opened.signatureValues, answer: resolve })
      const gone = (): void => this.#engine.gone(exchange)
      wait.signal?.addEventListener('abort', gone, { once: true })
      try {
        await this.#engine.receive(received, { kind: 'exchange', exchange, holdMs: this.#options.holdReplyMs ?? profile.holdReplyMs })
        return await promise
      } finally {
        wait.signal?.removeEventListener('abort', gone)
        this.#waiting.delete(exchange)
      }
    } catch (error) {
      if (!(error instanceof PeerViolation)) throw error
      this.#events.emit('security', { code: error.code, detail: error.message })
      wait.signal?.throwIfAborted()
      return this.#protectedFault(error, claims.messageId, this.#writing(profile, token, signer.instance, opened.signatureValues), token)
    }
  }

  /** WS-SC 1.3 §9: who uses the last key of a token that has expired, and may still be renewed, is told so under that key; to everybody else it is as unknown. */
  async #expired(envelope: Envelope, profiles: readonly Profile[], claims: Claims): Promise<HttpResponse | undefined> {
    const lapsed = await Promise.all(envelope.wanted.contexts.map((each) => this.#tokens.lapsed(each as TokenId)))
    const token = lapsed.find((each) => each !== undefined)
    if (token === undefined) return undefined
    // What does not open is refused as under a context that is not known.
    const found = await this.#openUnderAny(envelope, profiles, (profile) => sessionPolicy({ profile, limits: this.#limits }), 'remembered').catch((reason: unknown) => {
      if (reason instanceof SecurityFailure) return undefined
      throw reason
    })
    if (found?.opened.signer?.kind !== 'context' || found.opened.signer.identifier !== token.id || token.suite !== found.profile.suite) return undefined
    const error = new PeerViolation('ERR_WSC_EXPIRED', 'the context has expired', FAULTS.renewNeeded)
    this.#events.emit('security', { code: error.code, detail: error.message })
    const { profile, opened: { signer, signatureValues } } = found
    return this.#protectedFault(error, claims.messageId, this.#writing({ ...profile, ...names(claims.versions) }, token, signer.instance, signatureValues), token)
  }

  async #cancel(opened: Opened, signer: { readonly identifier: string; readonly instance: string | undefined }, profile: Profile): Promise<HttpResponse> {
    mustUnderstand(opened)
    const addressing = readCovered(opened)
    const known = await this.#tokens.remembered(signer.identifier as TokenId)
    if (known === undefined) throw new SecurityFailure('ERR_WSC_UNKNOWN', 'no such context', FAULTS.badContextToken)
    await this.#engine.refresh(known.id)
    const answered = await this.#ask(opened, { request: tokenRequestOf(opened, addressing.action), principal: known.principal, suite: known.suite, signer }, addressing.messageId)
    const { response, token } = answered
    const parts = { action: trustAction(response.sc, 'cancel', 'response'), headers: [], body: [writeTokenResponse(response, elementId(answered))], declarations: {} }
    return reply(200, encodeUnderToken(parts, { ...(addressing.messageId !== undefined && { relatesTo: addressing.messageId }) }, token, { ...this.#writing(profile, token, signer.instance, opened.signatureValues), encryptBody: profile.encryptCancel }))
  }

  /**
   * WSA 1.0 SOAP §6.4.2: what is addressed to another place is not for us; BP 2.0 R1153: what names none is. Only a service that was told its
   * address knows: behind a proxy it is another than the one that listens.
   */
  #mustBeHere(to: string | undefined): void {
    const { address } = this.#options
    if (to === undefined || address === undefined || sameAddress(to, String(address))) return
    throw new PeerViolation('ERR_WSA_TO', 'the message is addressed to another place', FAULTS.destinationUnreachable)
  }

  #respond(exchange: ExchangeId, answer: Outbound | 'accepted'): void {
    const waiting = this.#waiting.get(exchange)
    if (waiting === undefined) return
    if (answer === 'accepted') {
      waiting.answer(plain(202))
      return
    }
    const { profile, token, instance, confirms } = waiting
    // Peers Metro, CXF, Sandesha2: RM and application faults come with 500 or 200; what says fault is the Body.
    const status = answer.body.kind === 'fault' || (answer.body.kind === 'application' && answer.body.content.isFault === true) ? 500 : 200
    try {
      waiting.answer(reply(status, encode(answer, token, this.#writing(profile, token, instance, confirms))))
    } catch (error) {
      tell(this.#events, error)
      waiting.answer(plain(500))
    }
  }

  #protectedFault({ fault, notUnderstood }: PeerViolation, relatesTo: string | undefined, options: EncodeOptions, token: SecurityContextToken): HttpResponse {
    const parts = writeFault({ row: fault, notUnderstood }, versionsOf(options.profile))
    return reply(500, encodeUnderToken(parts, { ...(relatesTo !== undefined && { relatesTo }) }, token, { ...options, encryptBody: options.profile.encryptLifecycle }))
  }

  /** Answers are written with the instance that the question was written with: the one that the peer certainly has (D23). */
  #writing(profile: Profile, token: SecurityContextToken, instance: string | undefined, confirms?: readonly Uint8Array[]): EncodeOptions {
    const found = token.instances.find((each) => each.instance === instance) ?? this.#tokens.writing(token)
    return { profile, role: 'recipient', instance: found, confirms, now: this.#clock.now(), random: this.#random, limits: this.#limits }
  }

  /** What was refused: the fault that its error names, without protection, or none at all. One face for all cryptographic failures. */
  #refuse(error: unknown, claims: Claims, status: number): HttpResponse {
    if (!(error instanceof SecurityFailure || error instanceof PeerViolation || error instanceof XmlError)) throw error
    this.#events.emit('security', { code: error.code, detail: error.message })
    const fault = error instanceof XmlError ? FAULTS.malformed : error.fault
    const versions: Versions = { addressing: WSA10, rm: RM11, sc: SC13, ...claims.versions }
    return reply(status, encodeRefusal(fault, versions, claims.messageId, error instanceof PeerViolation ? error.notUnderstood : []))
  }

  // ---- the handler ----

  async #deliver(delivery: Delivery, signal: AbortSignal): Promise<DeliveryOutcome<Tx> | undefined> {
    const { content, shape } = delivery.received
    const tokenId = this.#engine.status(delivery.lane)?.tokenId
    if (tokenId === undefined) throw new UsageError('ERR_LANE_UNKNOWN', 'the sequence of the message is not there any more')
    try {
      const outcome = await this.#options.handle(messageOf(delivery, tokenId), { signal })
      checkOutcome(outcome as Outcome<unknown> | undefined)
      // Whose types are not checked is told in words.
      if (this.#options.store === undefined && outcome?.commit !== undefined) throw new UsageError('ERR_USAGE_COMMIT', 'the handler gave a commit, and the service has no store to commit to: give it store and keyring')
      const work = outcome?.commit as DeliveryOutcome<Tx>['work']
      if (shape === 'one-way') return work === undefined ? undefined : { work }
      const given = outcome?.reply
      const answer: Content = {
        ...contentOf({ action: given?.action ?? `${content.action}Response`, body: given?.body, headers: given?.headers }, this.#limits),
        messageId: urnUuid(this.#random), relatesTo: content.messageId,
      }
      return { reply: answer, ...(work !== undefined && { work }) }
    } catch (error) {
      if (!(error instanceof ApplicationFault)) throw error
      const detail = error.detail === undefined ? [] : [readElement(error.detail, this.#limits)]
      return { reply: this.#fault(delivery, { code: error.code, subcode: error.subcode, reason: error.reason, detail }) }
    }
  }
  #fault({ received, lane }: Delivery, fault: Parameters<typeof writeApplicationFault>[1]): Content {
    const addressing = this.#engine.status(lane)?.addressing
    const body = writeApplicationFault(received.soap === '1.1' ? SOAP11 : SOAP12, fault)
    return { action: (addressing === '200408' ? WSA04 : WSA10).faultAction, messageId: urnUuid(this.#random), relatesTo: received.content.messageId, body, headers: [], isFault: true }
  }

  #observe(event: EngineEvent): void {
    if (event.kind === 'security') this.#events.emit('security', { code: event.code, ...(event.detail !== undefined && { detail: event.detail }) })
    if (event.kind === 'error') tell(this.#events, event.error)
  }
}

/**
 * What is asked for. The action decides what a request is held to: who may sign it, whether its Body must be encrypted, whether a context
 * that has ended will do. So the Body must ask for that very thing: a Cancel that holds an Issue would get a token with none of the proofs.
 */
function tokenRequestOf(opened: Opened, action: string): TokenRequest {
  const [element] = opened.envelope.body.elements()
  // Answered like what does not decrypt: whoever may ask would else learn of the ciphertext of others whether it does.
  if (element?.local !== 'RequestSecurityToken') throw new SecurityFailure('ERR_TRUST_REQUEST', 'the Body is no RequestSecurityToken', FAULTS.failedCheck)
  const request = readTokenRequest(element, (id) => contextIn(opened.envelope, id))
  if (action !== trustAction(request.sc, request.kind, 'request')) throw new PeerViolation('ERR_TRUST_ACTION', 'the action says another thing than the Body', FAULTS.invalidRequest)
  return request
}

/** BP 2.0 R1160: compared as strings, but for what a URL object adds when it is written. */
const sameAddress = (one: string, other: string): boolean => one === other || (URL.canParse(one) && URL.canParse(other) && new URL(one).href === new URL(other).href)
const isContextAction = (action: string | undefined): boolean => [SC13, SC05].some(({ trust }) => action?.startsWith(`${trust.ns}/RST/SCT`))
const ANONYMOUS: ReadonlySet<string> = new Set([WSA10.anonymous, WSA04.anonymous])

/** A replay of a request for a token is known as one for as long as its Timestamp could pass, and the skew of clocks. */
const REPLAY_MARGIN_MS = 120_000

function profilesOf(given: Profile | readonly Profile[] | undefined): readonly [Profile, ...Profile[]] {
  const list: readonly Profile[] = given === undefined ? [DEFAULT_PROFILE] : 'soap' in given ? [given] : given
  const [first, ...rest] = list
  if (first === undefined) throw new UsageError('ERR_USAGE_PROFILE', 'a service needs at least one profile')
  return [first, ...rest]
}

/** The id of the element of the token, or of the instance, that is answered with. */
const elementId = ({ token, response }: Answered): string => token.instances.find(({ instance }) => instance === response.token?.instance)?.elementId ?? 'sct'

/** The names of the versions of a request, for the profile that its answer is written in. */
const names = (versions: Claims['versions']): Partial<Pick<Profile, 'soap' | 'addressing' | 'rm' | 'sc'>> => ({
  soap: versions.soap.name,
  ...(versions.addressing !== undefined && { addressing: versions.addressing.name }),
  ...(versions.rm !== undefined && { rm: versions.rm.name }),
  ...(versions.sc !== undefined && { sc: versions.sc.name }),
})

const plain = (status: number, headers: Readonly<Record<string, string>> = {}): HttpResponse => ({ status, headers, body: NO_BODY })
const reply = (status: number, written: Written): HttpResponse => ({ status, headers: soapHeaders(written.soap.name, written.action), body: Buffer.from(written.xml, 'utf8') })
