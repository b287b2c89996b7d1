/**
 * SequenceEngine: one lane per sequence pair. It hands each lane its events one after the other, writes what a turn changes in one
 * commit (lanes that have work at that moment share it), and only then sends, delivers and settles (D2). A commit that fails is a
 * crash of its lane: the machines are dropped, restored from the store, and the events are handled again. Whatever names a sequence
 * is believed only under the token of that sequence (D9). Knows no XML, no sockets and no keys.
 *
 * @module
 */
import { digest } from '../crypto/hash.ts'
import { type RandomSource, urnUuid } from '../crypto/random.ts'
import type { Clock } from '../clock.ts'
import { DeliveryFailed, FAULTS, type FaultRow, ReplyLost, SoapFault, StoreFailed, TimedOut, TransportFailed, UnknownVersion, UsageError } from '../errors.ts'
import type { Limits, Wait } from '../options.ts'
import type { RmVersion } from '../spec/versions.ts'
import type { Principal, TokenId } from '../sct/token.ts'
import type { SctSerializer } from '../serializer/serializer.ts'
import { type CommitResult, type LaneCommit, type Row, type Store, storeKey, type Write } from '../store/store.ts'
import { Destination, type DestinationState, type ReceivedRow } from './destination.ts'
import { type Hold, Lane, type LaneEvent, type LaneFacts, type LaneHead, type LaneTurn } from './lane.ts'
import { type About, type Outcome, type SentRow, type SentStatus, Source, type SourceState, type StoredReply } from './source.ts'
import { backoff, type RmTiming } from './timing.ts'
import {
  type Content, decodeRow, type Delivery, emptyTurn, encodeRow, type ExchangeId, headKey, type Hint, type LaneId, type Outbound, type Received, type ReceivedBody,
  type SequenceId, sentKey, type Settlement, type Span,
} from './turn.ts'

/** What the engine asks of the security side (step 1 of the flow: no token, no sequence). */
export interface SecuritySide {
  /** The token, sealed: it lies in the store before the first CreateSequence that is bound to it leaves. */
  serialize(id: TokenId): Promise<Uint8Array>
  deserialize(sealed: Uint8Array): Promise<TokenId>
  /** A live lane keeps its token from being cancelled. */
  use(id: TokenId, by: LaneId): Disposable
}
/** What became of a delivery: the content of the reply or fault, and the application's own effect, both in the commit that consumes the message (D18). */
export interface DeliveryOutcome<Tx = unknown> { readonly reply?: Content; readonly work?: (tx: Tx) => void | Promise<void> }
export interface EngineOptions<Tx = unknown> {
  readonly store: Store<Tx>
  readonly serializer: SctSerializer
  readonly security: SecuritySide
  /** Sends, hands what comes back to `receive` or `hint`, and resolves when the exchange is over. */
  transmit(outbound: Outbound, signal: AbortSignal): Promise<void>
  /** Answers an inbound request: called exactly once for each exchange given to `receive`. */
  respond(exchange: ExchangeId, answer: Outbound | 'accepted'): void
  /** Hands a message to the application: one at a time for each lane, in order, again when it throws. */
  deliver(delivery: Delivery, signal: AbortSignal): Promise<DeliveryOutcome<Tx> | void>
  /** The fault that answers a request whose delivery was given up. */
  undeliverable?(delivery: Delivery, error: unknown): Content
  observe?(event: EngineEvent): void
  readonly clock: Clock
  readonly random: RandomSource
  readonly limits: Limits
  readonly timing: RmTiming
  /** False: offers are not taken; replies then leave without a number. */
  readonly acceptOffers?: boolean
  /** Bind a CreateSequence without SecurityTokenReference to the token that protected it. */
  readonly bindUnscopedToSigner?: boolean
  /** The service's own address, where acknowledgements of replies shall go; default: the wsa:To of the CreateSequence. */
  readonly address?: string
  /** Initiator lanes that come back from the store rest until `attach`: whoever sends for them must be there first. */
  readonly restoreDetached?: boolean
  /** One-way or request, where the operation is known; default: by ReplyTo. */
  shapeOf?(received: Received): 'one-way' | 'request' | undefined
}
export interface OpenOptions {
  readonly url: string
  readonly rm: RmVersion
  /** Offer a sequence for the replies; without it only one-way messages are reliable. */
  readonly offer: boolean
  readonly name?: string
  readonly expiresMs?: number
  readonly ackRequestedOnOneWay?: boolean
  readonly offerOnRepeat?: 'same' | 'new'
  readonly closeEmpty?: boolean
  readonly maxPending?: number
  readonly maxPendingBytes?: number
}
export interface Ticket { readonly number: number; readonly key: string; acknowledged(wait?: Wait): Promise<void> }
export interface CloseReport { readonly outcome: Outcome; /** Given up without an acknowledgement, or without a reply. */ readonly lost: readonly number[] }
export interface PendingMessage { readonly number: number; readonly key: string; readonly shape: 'one-way' | 'request'; readonly acknowledged: boolean; readonly action: string }
export interface LaneStatus {
  readonly lane: LaneId
  readonly role: 'initiator' | 'responder'
  readonly tokenId: TokenId
  readonly rm: RmVersion['name']
  readonly name?: string
  readonly url?: string
  readonly soap?: '1.1' | '1.2'
  readonly addressing?: '200508' | '200408'
  readonly principal?: Principal
  /** Of the machine that decides: the Source at the initiator, the Destination at the responder. */
  readonly state: SourceState | DestinationState
  /** The sequence of the requests. */
  readonly sequence?: SequenceId
  /** The sequence of the replies. */
  readonly offered?: SequenceId
  readonly last: number
  readonly acknowledged: readonly Span[]
  readonly accepted: readonly Span[]
  readonly consumed: number
  /** Not settled at the initiator; accepted and not consumed at the responder. */
  readonly pending: number
}
export interface RestoreReport { readonly lanes: number; readonly tokens: number; readonly quarantined: readonly { readonly key: string; readonly error: unknown }[] }
export type EngineEvent =
  | { readonly kind: 'state'; readonly lane: LaneId; readonly state: string }
  | { readonly kind: 'retransmit'; readonly lane: LaneId; readonly number: number; readonly tries: number }
  | { readonly kind: 'acknowledged'; readonly lane: LaneId; readonly number: number }
  | { readonly kind: 'delivered'; readonly lane: LaneId; readonly number: number }
  | { readonly kind: 'lost'; readonly lane: LaneId; readonly numbers: readonly number[]; readonly reason: string }
  | { readonly kind: 'suspended'; readonly lane: LaneId; readonly reason: string }
  | { readonly kind: 'security'; readonly code: string; readonly detail?: string; readonly lane?: LaneId }
  | { readonly kind: 'error'; readonly error: Error; readonly lane?: LaneId }
/** How a received message came: as an inbound request, or as the answer to one of ours. */
export type Via = { readonly kind: 'exchange'; readonly exchange: ExchangeId } | { readonly kind: 'answer'; readonly lane: LaneId; readonly to: Outbound }

/** The lane of answers that belong to none: an unknown sequence, a refusal. */
export const NO_LANE: LaneId = '' as LaneId
/** A commit that fails so often is not tried again for the same event. */
const COMMIT_TRIES = 6
const COMMIT_WAIT_MS = 50
/** A lane is not looked at more often than this when time does nothing for it. */
const LEAST_SLEEP_MS = 1_000
/** So many unprotected refusals in a row end the calls that wait; the messages stay. */
const HINTS_TO_SUSPEND = 3

/** A lane in this process: its machines while they are loaded, and what waits beside them. */
interface Shell<Tx> {
  readonly facts: LaneFacts
  lane: Lane | undefined
  /** Ended, and committed as such. */
  isOver: boolean
  /** Nothing of it was ever committed. */
  isNew: boolean
  revision: number | 'absent'
  /** The head as it stands in the store: an equal one is not written. */
  headText: string
  readonly queue: Job<Tx>[]
  /** After a failure events are handled one by one, so that the bad one stands alone. */
  isCareful: boolean
  failures: number
  retryAt: number
  sleepUntil: number
  readonly holds: Map<number, { readonly exchange: Exchange; readonly hold: Hold; readonly until: number }>
  delivering: number | undefined
  deliveryTries: number
  undelivered: number | undefined
  deliveryError: unknown
  redeliverAt: number
  readonly waiters: Set<Waiter>
  readonly blocked: (() => void)[]
  isDetached: boolean
  state: string
  hints: number
  use: Disposable | undefined
  names: readonly SequenceId[]
  readonly maxPending: number
  readonly maxPendingBytes: number
}
interface Job<Tx> {
  readonly event: LaneEvent
  readonly exchange?: Exchange | undefined
  readonly work?: ((tx: Tx) => void | Promise<void>) | undefined
  readonly done?: { /** With the number, for a message that was submitted. */ resolve(number?: number): void; reject(error: unknown): void } | undefined
  tries: number
}
interface Waiter { readonly number: number | undefined; readonly want: 'acknowledged' | 'reply' | 'drained' | 'end'; settle(outcome: { readonly value?: unknown } | { readonly error: unknown }): void }
interface Batch<Tx> { readonly shell: Shell<Tx>; readonly jobs: readonly Job<Tx>[]; readonly turn: LaneTurn; readonly refused: ReadonlyMap<Job<Tx>, UsageError>; readonly headText: string; readonly commit: LaneCommit<Tx> | undefined; readonly isPurge: boolean; readonly writesToken: boolean }

/** An inbound request until it is answered: the best of what its parts had to say is the one envelope that it gets. */
class Exchange {
  readonly id: ExchangeId
  #open = 1
  #best: Outbound | undefined
  #isHeld = false
  #isDone = false
  readonly #respond: (answer: Outbound | 'accepted') => void
  constructor(id: ExchangeId, respond: (answer: Outbound | 'accepted') => void) {
    this.id = id
    this.#respond = respond
  }
  get isDone(): boolean { return this.#isDone }
  /** One more part of the message is to be worked on. */
  begin(): void { this.#open++ }
  end(): void {
    if (--this.#open <= 0 && !this.#isHeld) this.finish()
  }
  offer(outbound: Outbound): void {
    if (this.#best === undefined || RANK[outbound.body.kind] > RANK[this.#best.body.kind]) this.#best = outbound
  }
  hold(): void { this.#isHeld = true }
  finish(): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#respond(this.#best ?? 'accepted')
  }
}
/**
 * Which answer an exchange gets when its message has drawn several: what carries content, then what ends a wait, then what complains.
 * WS-RM 1.1 §3.2: a header that rides along and fails does not keep its carrier from being worked on, nor, here, from being answered.
 */
const RANK: Readonly<Record<Outbound['body']['kind'], number>> = {
  application: 6, 'create-sequence-response': 5, 'close-sequence-response': 5, 'terminate-sequence-response': 5, acknowledgement: 4, fault: 3,
  'create-sequence': 1, 'ack-requested': 1, 'close-sequence': 1, 'terminate-sequence': 1, 'last-message': 1,
}

export class SequenceEngine<Tx = unknown> implements AsyncDisposable {
  readonly #own: EngineOptions<Tx>
  readonly #shells = new Map<LaneId, Shell<Tx>>()
  /** A name may occur under several tokens: it means something only together with one. */
  readonly #names = new Map<SequenceId, Set<Shell<Tx>>>()
  /** Responder: CreateSequence by token and MessageID. */
  readonly #creations = new Map<string, Shell<Tx>>()
  readonly #tokens = new Map<TokenId, number | 'absent'>()
  readonly #exchanges = new Map<ExchangeId, Exchange>()
  readonly #ready = new Set<Shell<Tx>>()
  readonly #abort = new AbortController()
  #pumping: Promise<void> | undefined
  #alarm: { readonly at: number; readonly why: 'awaited' | undefined; cancel(): void } | undefined

  constructor(options: EngineOptions<Tx>) { this.#own = options }

  /** A new sequence bound to `token`, durable and local at once: CreateSequence leaves after the commit, messages may be submitted before its answer. */
  async open(token: TokenId, options: OpenOptions): Promise<LaneId> {
    this.#assertRunning()
    if (options.name !== undefined && this.find(options.name) !== undefined) throw new UsageError('ERR_NAME_TAKEN', `a conversation named ${options.name} is there already`)
    const facts: LaneFacts = {
      lane: this.#mint() as LaneId, role: 'initiator', tokenId: token, rm: options.rm.name, createdAt: this.#own.clock.now(), createMessageId: this.#mint(), url: options.url,
      name: options.name, expiresMs: options.expiresMs, offered: options.offer ? this.#mint() : undefined, ackRequestedOnOneWay: options.ackRequestedOnOneWay,
      offerOnRepeat: options.offerOnRepeat, closeEmpty: options.closeEmpty,
    }
    const shell = this.#shell(facts, options)
    this.#keepToken(shell)
    await this.#enqueue(shell, { event: { kind: 'made' }, tries: 0 })
    return facts.lane
  }

  /**
   * Resolves when the message is durable here. The same key with the same content answers the same ticket; a full lane makes it wait.
   *
   * @throws {UsageError} the lane is closing or ended, or the key was given to another message
   */
  async submit(lane: LaneId, content: Content, shape: 'one-way' | 'request', key: string, wait: Wait = {}): Promise<Ticket> {
    this.#assertRunning()
    const shell = this.#get(lane)
    const size = content.body.length
    while (this.#isFull(shell, size) && (await this.#present(shell)).source.status(key) === undefined) await this.#until(shell, { number: undefined, want: 'drained' }, wait, (settle) => shell.blocked.push(() => settle({})))
    const number = await this.#enqueue(shell, { event: { kind: 'submit', content, shape, key, digest: digestOf(content, shape) }, tries: 0 })
    return this.#ticket(shell, key, number as number)
  }

  /** The words of a verified message. Resolves when all that it changes is durable; a request's exchange may then still wait for its reply. */
  async receive(received: Received, via: Via): Promise<void> {
    const exchange = via.kind === 'exchange' ? this.#openExchange(via.exchange) : undefined
    if (this.#abort.signal.aborted) return exchange?.finish()
    const jobs: Promise<unknown>[] = []
    const add = (shell: Shell<Tx>, event: LaneEvent): void => {
      exchange?.begin()
      shell.hints = 0
      jobs.push(this.#enqueue(shell, { event, exchange, tries: 0 }))
    }
    this.#sort(received, via, exchange, add)
    exchange?.end()
    // What failed was reported and its exchange was ended; the peer will ask again.
    await Promise.allSettled(jobs)
  }

  /** What may be known without proof. `about` is the message in whose exchange it came. */
  hint(lane: LaneId, hint: Hint, about?: Outbound): void {
    const shell = this.#shells.get(lane)
    if (shell === undefined || this.#abort.signal.aborted) return
    if (hint.kind === 'unprotected-fault' || hint.kind === 'refused-answer') this.#suspect(shell, hint)
    this.#later(shell, { kind: 'hint', hint, about: about === undefined ? undefined : aboutOf(about) })
  }

  /** Drains, closes, terminates; resolves when the sequence has ended. An abort ends the waiting, not the closing. */
  async close(lane: LaneId, wait: Wait = {}): Promise<CloseReport> {
    this.#assertRunning()
    const shell = this.#get(lane)
    await this.#enqueue(shell, { event: { kind: 'close' }, tries: 0 })
    if ((await this.#present(shell)).source.state !== 'ended') await this.#until(shell, { number: undefined, want: 'end' }, wait)
    const rows = await this.#sentRows(shell.facts.lane)
    return { outcome: (await this.#present(shell)).source.outcome ?? 'terminated', lost: rows.filter((row) => (row.settled === 'lost' || row.settled === 'reply-lost') && row.shape !== 'last').map((row) => row.number) }
  }
  /** Stops working on the lane in this process; all is kept for `attach`, here or after a restart. */
  async detach(lane: LaneId): Promise<void> {
    const shell = this.#get(lane)
    // The token stays in use: nobody shall cancel it under a lane that rests.
    shell.isDetached = true
    for (const waiter of [...shell.waiters]) waiter.settle({ error: new UsageError('ERR_DETACHED', 'the conversation was detached; what was accepted stays') })
    await this.#pumping
  }
  attach(lane: LaneId): void {
    const shell = this.#get(lane)
    shell.isDetached = false
    this.#later(shell, { kind: 'time' })
  }
  /** The live lane of that name. */
  find(name: string): LaneId | undefined {
    for (const shell of this.#shells.values()) if (shell.facts.name === name && !shell.isOver) return shell.facts.lane
    return undefined
  }
  /** The ticket of a message that was submitted under that key, also before a restart. */
  async ticket(lane: LaneId, key: string): Promise<Ticket | undefined> {
    const shell = this.#get(lane)
    const status = (await this.#present(shell)).source.status(key)
    return status === undefined ? undefined : this.#ticket(shell, key, status.number)
  }
  /**
   * The reply to the request with that key, also one made before a restart.
   *
   * @throws {SoapFault | ReplyLost | DeliveryFailed} how it ended otherwise
   */
  async reply(lane: LaneId, key: string, wait: Wait = {}): Promise<Content> {
    const shell = this.#get(lane)
    for (;;) {
      const status = (await this.#present(shell)).source.status(key)
      if (status === undefined) throw new UsageError('ERR_KEY_UNKNOWN', 'no message was submitted under that key')
      if (status.shape !== 'request') throw new UsageError('ERR_NOT_A_REQUEST', `message ${status.number} is not a request`, { numbers: [status.number] })
      if (status.settled === undefined) return (await this.#until(shell, { number: status.number, want: 'reply' }, wait)) as Content
      const kept = await this.#keptReply(shell, status)
      if (kept !== undefined) return kept
      // Settled in the machine, but not yet in the store: its commit is under way.
      await this.#enqueue(shell, { event: { kind: 'time' }, tries: 0 })
    }
  }
  /** Resolves when nothing is pending. */
  async drained(lane: LaneId, wait: Wait = {}): Promise<void> {
    const shell = this.#get(lane)
    if ((await this.#present(shell)).source.pendingCount === 0 && shell.queue.length === 0) return
    await this.#until(shell, { number: undefined, want: 'drained' }, wait)
  }
  /** Messages that are not settled, in order. */
  async pending(lane: LaneId): Promise<readonly PendingMessage[]> {
    const { source } = await this.#present(this.#get(lane))
    return source.pending().flatMap((row) => row.shape === 'one-way' || row.shape === 'request'
      ? [{ number: row.number, key: row.key, shape: row.shape, acknowledged: source.status(row.key)?.acknowledged ?? false, action: row.content?.action ?? '' }] : [])
  }
  status(lane: LaneId): LaneStatus | undefined {
    const shell = this.#shells.get(lane)
    return shell === undefined ? undefined : statusOf(shell.facts, shell.headText, shell.lane)
  }
  /** Every lane, ended ones too until they are forgotten. */
  sequences(): readonly LaneStatus[] { return [...this.#shells.values()].map((shell) => statusOf(shell.facts, shell.headText, shell.lane)) }

  /** Takes up everything that the store holds: tokens first, then lanes. Call it once, before anything else. */
  async restore(): Promise<RestoreReport> {
    const quarantined: { key: string; error: unknown }[] = []
    const heads: { head: LaneHead; row: Row }[] = []
    for await (const row of this.#own.store.scan(storeKey('lane'))) {
      try {
        heads.push({ head: this.#openHead(row), row })
      } catch (error) {
        // A record of a later release: going on without it would forget what it holds.
        if (error instanceof UnknownVersion) throw error
        quarantined.push({ key: row.key, error })
      }
    }
    const tokens = await this.#restoreTokens(new Set(heads.map(({ head }) => head.facts.tokenId)), quarantined)
    let lanes = 0
    for (const { head, row } of heads) {
      const { facts } = head
      if (tokens.refused.has(facts.tokenId)) continue
      const shell = this.#shell(facts, {})
      shell.isDetached = facts.role === 'initiator' && this.#own.restoreDetached === true
      try {
        await this.#load(shell)
        lanes++
      } catch (error) {
        this.#forget(shell)
        if (error instanceof UnknownVersion) throw error
        quarantined.push({ key: row.key, error })
        continue
      }
      this.#keepToken(shell)
      if (!shell.isDetached) this.#later(shell, { kind: 'time' })
    }
    for (const { key, error } of quarantined) this.#observe({ kind: 'error', error: new StoreFailed('ERR_QUARANTINED', `a stored record does not open and is left as it is: ${key.slice(0, 80)}`, { cause: error }) })
    return { lanes, tokens: tokens.count, quarantined }
  }

  /** Ends all waiting and answers all exchanges; what is stored goes on with the next engine on the same store. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#abort.signal.aborted) return
    this.#abort.abort()
    this.#alarm?.cancel()
    this.#alarm = undefined
    const error = closedError()
    for (const shell of this.#shells.values()) {
      for (const waiter of [...shell.waiters]) waiter.settle({ error })
      shell.use?.[Symbol.dispose]()
      shell.use = undefined
    }
    await this.#pumping
    for (const shell of this.#shells.values()) for (const job of shell.queue.splice(0)) job.done?.reject(error)
    for (const exchange of [...this.#exchanges.values()]) exchange.finish()
  }

  // ── Received words to lanes ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Each element that names a sequence is judged on its own: under its sequence's token it is worked on, else it is unknown. */
  #sort(received: Received, via: Via, exchange: Exchange | undefined, add: (shell: Shell<Tx>, event: LaneEvent) => void): void {
    const carrier = { exchange: exchange?.id, messageId: received.messageId, about: via.kind === 'answer' ? aboutOf(via.to) : undefined }
    const { body } = received
    const alone = received.sequence === undefined && (body.kind === 'empty' || body.kind === 'close-sequence-response')
    for (const acknowledgement of received.acknowledgements) {
      const shell = this.#named(acknowledgement.sequence, received, exchange)
      if (shell !== undefined) add(shell, { kind: 'acknowledgement', acknowledgement, alone, ...carrier })
    }
    for (const sequence of received.ackRequested) {
      // A numbered message is acknowledged by itself.
      if (sequence === received.sequence?.id) continue
      const shell = this.#named(sequence, received, exchange)
      if (shell !== undefined) add(shell, { kind: 'ack-requested', sequence, ...carrier })
    }
    if (body.kind === 'create-sequence') return this.#create(received, body, exchange, add)
    const shell = this.#laneOf(received, via, exchange)
    if (shell !== undefined) add(shell, { kind: 'received', received, shape: this.#shapeOf(received), digest: contentDigest(body), ...carrier })
  }
  /** The lane that the Body or the Sequence header is about. */
  #laneOf(received: Received, via: Via, exchange: Exchange | undefined): Shell<Tx> | undefined {
    const { body, sequence } = received
    switch (body.kind) {
      case 'close-sequence': case 'terminate-sequence': case 'close-sequence-response': case 'terminate-sequence-response': return this.#named(body.sequence, received, exchange)
      case 'create-sequence-response': return this.#answered(received, via)
      case 'create-sequence': return undefined
      default:
    }
    if (sequence !== undefined) return this.#named(sequence.id, received, exchange)
    if (body.kind === 'fault' && body.fault.sequence !== undefined) {
      const shell = this.#lookup(body.fault.sequence, received)
      if (shell !== undefined) return shell
    }
    if (via.kind === 'answer') return this.#answered(received, via)
    // WS-RM 1.1 §4.8: this endpoint takes numbered messages only.
    if (body.kind === 'application') this.#complain(FAULTS.wsrmRequired, received, exchange)
    return undefined
  }
  /** The lane whose message this answers, when it is under that lane's token. */
  #answered(received: Received, via: Via): Shell<Tx> | undefined {
    const shell = via.kind === 'answer' ? this.#shells.get(via.lane) : undefined
    if (shell === undefined) return undefined
    if (this.#isUnder(shell, received)) {
      if (received.body.kind !== 'create-sequence-response' || received.relatesTo === undefined || received.relatesTo === shell.facts.createMessageId) return shell
      return undefined
    }
    this.#scope(shell, received)
    return undefined
  }
  #named(sequence: SequenceId, received: Received, exchange: Exchange | undefined): Shell<Tx> | undefined {
    const shell = this.#lookup(sequence, received)
    if (shell === undefined) this.#unknown(sequence, received, exchange)
    return shell
  }
  /** D9: a sequence is known only under the token that it is bound to, and in the versions that it began with. */
  #lookup(sequence: SequenceId, received: Received): Shell<Tx> | undefined {
    const shells = this.#names.get(sequence)
    if (shells === undefined) return undefined
    for (const shell of shells) if (this.#isUnder(shell, received)) return shell
    for (const shell of shells) this.#scope(shell, received)
    return undefined
  }
  #isUnder({ facts }: Shell<Tx>, received: Received): boolean {
    return facts.tokenId === received.tokenId && (received.rm === undefined || received.rm === facts.rm) && (facts.soap === undefined || facts.soap === received.soap)
  }
  #scope(shell: Shell<Tx>, received: Received): void {
    const code = shell.facts.tokenId === received.tokenId ? 'ERR_RM_VERSION_CHANGED' : 'ERR_RM_SCOPE'
    this.#observe({ kind: 'security', code, detail: `${received.body.kind} names a sequence of another ${code === 'ERR_RM_SCOPE' ? 'token' : 'version'}`, lane: shell.facts.lane })
  }
  #unknown(sequence: SequenceId, received: Received, exchange: Exchange | undefined): void {
    this.#complain(FAULTS.unknownSequence, received, exchange, sequence)
  }
  #complain(fault: FaultRow, received: Received, exchange: Exchange | undefined, sequence?: SequenceId): void {
    exchange?.offer({
      lane: NO_LANE, tokenId: received.tokenId, to: { kind: 'exchange', exchange: exchange.id }, body: { kind: 'fault', fault, ...(sequence === undefined ? {} : { sequence }) },
      ...(received.messageId === undefined ? {} : { relatesTo: received.messageId }), acknowledgements: [], ackRequested: [],
    })
  }
  #shapeOf(received: Received): 'one-way' | 'request' {
    const { kind } = received.replyTo
    return this.#own.shapeOf?.(received) ?? (kind === 'none' || kind === 'absent' ? 'one-way' : 'request')
  }

  #create(received: Received, body: ReceivedBody & { kind: 'create-sequence' }, exchange: Exchange | undefined, add: (shell: Shell<Tx>, event: LaneEvent) => void): void {
    const known = this.#creation(received, body)
    const carrier = { exchange: exchange?.id, messageId: received.messageId }
    if (known !== undefined) return add(known, { kind: 'made', ...carrier })
    const refusal = this.#refusal(received, body)
    if (refusal !== undefined || received.messageId === undefined || received.rm === undefined || exchange === undefined) {
      this.#observe({ kind: 'security', code: 'ERR_RM_CREATE_REFUSED', detail: `CreateSequence refused (scope ${body.scope})` })
      return this.#complain(refusal ?? FAULTS.createSequenceRefused, received, exchange)
    }
    const { offer } = body
    const acceptsOffer = offer !== undefined && this.#own.acceptOffers !== false
    const shell = this.#shell({
      lane: this.#mint() as LaneId, role: 'responder', tokenId: received.tokenId, rm: received.rm, createdAt: this.#own.clock.now(), createMessageId: received.messageId, expiresMs: body.expiresMs,
      principal: received.principal, soap: received.soap, addressing: received.addressing, sequence: this.#mint(), offered: offer?.sequence, offeredExpiresMs: offer?.expiresMs,
      acksTo: acceptsOffer ? this.#own.address ?? received.to ?? '' : undefined,
    }, {})
    this.#keepToken(shell)
    add(shell, { kind: 'made', ...carrier })
  }
  /** The lane that this very CreateSequence made before: by its MessageID, or, as .NET repeats it, by its Offer. */
  #creation(received: Received, body: ReceivedBody & { kind: 'create-sequence' }): Shell<Tx> | undefined {
    const byMessage = received.messageId === undefined ? undefined : this.#creations.get(storeKey(received.tokenId, received.messageId))
    if (byMessage !== undefined || body.offer === undefined) return byMessage
    for (const shell of this.#names.get(body.offer.sequence) ?? []) {
      const isUnused = shell.lane === undefined || (shell.lane.destination.state === 'open' && shell.lane.destination.accepted.length === 0)
      if (shell.facts.role === 'responder' && shell.facts.offered === body.offer.sequence && isUnused && this.#isUnder(shell, received)) return shell
    }
    return undefined
  }
  #refusal(received: Received, body: ReceivedBody & { kind: 'create-sequence' }): FaultRow | undefined {
    // WS-RM 1.1 §5.1: the reference names the token under which all of it stands; this message must stand under it too.
    const isScoped = body.scope === 'bound' || (body.scope === 'absent' && !body.usesSequenceStr && this.#own.bindUnscopedToSigner === true)
    if (!isScoped || body.acksTo.kind !== 'anonymous') return FAULTS.createSequenceRefused
    const { offer } = body
    if (offer !== undefined) {
      const isReachable = offer.endpoint === undefined || offer.endpoint.kind === 'anonymous'
      const isUsable = offer.sequence !== '' && offer.sequence.length <= this.#own.limits.identifierLength
      if (!isReachable || !isUsable || this.#lookup(offer.sequence, received) !== undefined) return FAULTS.createSequenceRefused
    }
    const live = [...this.#shells.values()].filter((shell) => shell.facts.role === 'responder' && !shell.isOver)
    const name = principalKey(received.principal)
    const isBusy = live.length >= this.#own.limits.sequences || live.filter((shell) => shell.facts.principal !== undefined && principalKey(shell.facts.principal) === name).length >= this.#own.limits.sequencesPerPrincipal
    return isBusy ? FAULTS.createSequenceRefusedBusy : undefined
  }
  #openExchange(id: ExchangeId): Exchange {
    if (this.#exchanges.has(id)) throw new UsageError('ERR_EXCHANGE_TWICE', 'the exchange was given before')
    const exchange = new Exchange(id, (answer) => {
      this.#exchanges.delete(id)
      try {
        this.#own.respond(id, answer)
      } catch (error) {
        this.#observe({ kind: 'error', error: asError(error) })
      }
    })
    this.#exchanges.set(id, exchange)
    return exchange
  }

  // ── The pump: events to turns, turns to one commit, then their effects ────────────────────────────────────────────────────

  #enqueue(shell: Shell<Tx>, job: Job<Tx>): Promise<unknown> {
    if (this.#abort.signal.aborted) return Promise.reject(closedError())
    return new Promise((resolve, reject) => {
      shell.queue.push({ ...job, done: { resolve, reject } })
      this.#wake(shell)
    })
  }
  /** An event that nobody waits for. */
  #later(shell: Shell<Tx>, event: LaneEvent, exchange?: Exchange): void {
    exchange?.begin()
    shell.queue.push({ event, exchange, tries: 0 })
    this.#wake(shell)
  }
  #wake(shell: Shell<Tx>): void {
    if (shell.retryAt > 0) return
    this.#ready.add(shell)
    if (this.#pumping !== undefined || this.#abort.signal.aborted) return
    this.#pumping = this.#pump().finally(() => {
      this.#pumping = undefined
      if (this.#abort.signal.aborted) return
      const [next] = this.#ready
      if (next !== undefined) this.#wake(next)
      else this.#setAlarm()
    })
  }
  async #pump(): Promise<void> {
    // Whoever comes in the same moment shares the commit.
    await undefined
    while (this.#ready.size > 0 && !this.#abort.signal.aborted) {
      const shells = [...this.#ready]
      this.#ready.clear()
      const batches: Batch<Tx>[] = []
      const tokensWritten = new Set<TokenId>()
      for (const shell of shells) {
        const batch = await this.#prepare(shell, tokensWritten)
        if (batch !== undefined) batches.push(batch)
      }
      const writing = batches.filter((batch) => batch.commit !== undefined)
      const results = await this.#commit(writing)
      for (const batch of batches) {
        const at = writing.indexOf(batch)
        const result = at < 0 ? 'committed' : results[at] ?? { failed: undefined }
        if (result === 'committed') this.#finish(batch)
        else this.#crash(batch, result)
      }
    }
  }
  async #commit(batches: readonly Batch<Tx>[]): Promise<readonly CommitResult[]> {
    if (batches.length === 0) return []
    try {
      return await this.#own.store.commit(batches.map((batch) => batch.commit ?? { expect: [], writes: [] }))
    } catch (error) {
      return batches.map(() => ({ failed: error }))
    }
  }

  async #prepare(shell: Shell<Tx>, tokensWritten: Set<TokenId>): Promise<Batch<Tx> | undefined> {
    if (shell.queue.length === 0) return undefined
    let token: Write | undefined
    let tokenRevision: number | 'absent'
    try {
      if (shell.lane === undefined) await this.#load(shell)
      tokenRevision = await this.#tokenRevision(shell.facts.tokenId)
      if (shell.isNew && tokenRevision === 'absent') {
        // One lane of a round writes the token's row, the others find it there.
        if (tokensWritten.has(shell.facts.tokenId)) {
          this.#ready.add(shell)
          return undefined
        }
        token = { put: tokenKey(shell.facts.tokenId), value: await this.#own.security.serialize(shell.facts.tokenId) }
        tokensWritten.add(shell.facts.tokenId)
      }
    } catch (error) {
      this.#fail(shell, shell.queue.splice(0), error)
      return undefined
    }
    const { lane } = shell
    if (lane === undefined) {
      this.#dissolve(shell)
      return undefined
    }
    const jobs = shell.isCareful ? shell.queue.splice(0, 1) : shell.queue.splice(0)
    const now = this.#own.clock.now()
    const turn: LaneTurn = { ...emptyTurn(), holds: [] }
    const refused = new Map<Job<Tx>, UsageError>()
    let work: Job<Tx>['work']
    for (const [index, job] of jobs.entries()) {
      try {
        const { consumed } = lane.destination
        const inner = lane.handle(this.#withHeld(shell, job.event), now)
        // Another process may have consumed the message meanwhile: then the effect is there already.
        if (job.work !== undefined && lane.destination.consumed > consumed) work = job.work
        turn.persist.push(...inner.persist)
        turn.transmit.push(...inner.transmit)
        turn.deliver.push(...inner.deliver)
        turn.settle.push(...inner.settle)
        turn.holds.push(...inner.holds)
      } catch (error) {
        // What a caller asks for is refused before anything has changed.
        if (error instanceof UsageError && (job.event.kind === 'submit' || job.event.kind === 'close')) {
          refused.set(job, error)
          continue
        }
        // A defect: its event is given up, the machines may be half changed and are dropped, the other events are handled anew.
        shell.lane = undefined
        shell.isCareful = true
        this.#giveUp(shell, job, error)
        shell.queue.unshift(...jobs.slice(0, index), ...jobs.slice(index + 1))
        this.#ready.add(shell)
        return undefined
      }
    }
    if (jobs.some((job) => job.event.kind === 'time') && lane.wakeAt <= now) shell.sleepUntil = now + LEAST_SLEEP_MS
    const isPurge = now >= lane.purgeAt
    const head = lane.headRow()
    const headText = new TextDecoder().decode(head.value)
    if (!isPurge && turn.persist.length === 0 && work === undefined && headText === shell.headText) return { shell, jobs, turn, refused, headText, commit: undefined, isPurge, writesToken: false }
    const writes: Write[] = turn.persist.map((write) => 'put' in write ? { put: write.put, value: this.#seal(shell.facts.lane, write.put, write.value) } : write)
    // The token's row stays: the security side, which knows how long it is to be remembered, sweeps it.
    writes.push(isPurge ? { delete: head.key } : { put: head.key, value: this.#seal(shell.facts.lane, head.key, head.value) })
    if (token !== undefined) writes.push(token)
    const commit: LaneCommit<Tx> = {
      expect: [{ head: head.key, revision: shell.revision }, { head: tokenKey(shell.facts.tokenId), revision: tokenRevision }], writes, ...(work === undefined ? {} : { work }),
    }
    return { shell, jobs, turn, refused, headText, commit, isPurge, writesToken: token !== undefined }
  }
  /** A consumed request is answered on the exchange that waits for it now, not on the one that waited when its delivery began. */
  #withHeld(shell: Shell<Tx>, event: LaneEvent): LaneEvent {
    if (event.kind !== 'consumed') return event
    const held = shell.holds.get(event.number)
    return held === undefined || held.exchange.isDone ? event : { ...event, exchange: held.exchange.id }
  }

  /** The commit is durable: now it may be seen. */
  #finish(batch: Batch<Tx>): void {
    const { shell, turn, jobs } = batch
    shell.isOver = shell.lane?.isOver ?? false
    if (batch.commit !== undefined) {
      shell.revision = shell.revision === 'absent' ? 1 : shell.revision + 1
      if (batch.writesToken) this.#tokens.set(shell.facts.tokenId, 1)
      shell.headText = batch.headText
      shell.isNew = false
    }
    shell.failures = 0
    if (shell.queue.length === 0) shell.isCareful = false
    else this.#ready.add(shell)
    if (batch.isPurge) this.#forget(shell)
    else {
      this.#rename(shell)
      this.#keepToken(shell)
    }
    for (const outbound of turn.transmit) this.#send(shell, outbound)
    for (const hold of turn.holds) this.#hold(shell, hold)
    for (const settlement of turn.settle) this.#settle(shell, settlement)
    for (const job of jobs) {
      const error = batch.refused.get(job)
      if (job.event.kind === 'consumed') this.#consumed(shell, job.event.number)
      if (error === undefined) job.done?.resolve(job.event.kind === 'submit' ? shell.lane?.source.status(job.event.key)?.number : undefined)
      else {
        job.done?.reject(error)
      }
      job.exchange?.end()
    }
    this.#settleWaiters(shell)
    this.#deliverNext(shell)
  }
  /** D2: a commit that did not come about is a crash of the lane. */
  #crash(batch: Batch<Tx>, result: CommitResult): void {
    const { shell } = batch
    shell.lane = undefined
    this.#tokens.delete(shell.facts.tokenId)
    const error = typeof result === 'object' ? result.failed : undefined
    // The application's own effect may be what failed: its message is delivered again, the rest is only handled again.
    const jobs = batch.jobs.filter((job) => {
      if (result === 'conflict' || job.work === undefined || job.event.kind !== 'consumed') return true
      this.#undelivered(shell, job.event.number, error)
      job.done?.resolve()
      return false
    })
    if (result === 'conflict') this.#retry(shell, jobs, new StoreFailed('ERR_STORE_CONFLICT', 'another process works on the lane', { retryable: true }), 0)
    else this.#retry(shell, jobs, new StoreFailed('ERR_STORE_COMMIT', 'the commit failed', { retryable: true, cause: error }), COMMIT_WAIT_MS)
  }
  #fail(shell: Shell<Tx>, jobs: readonly Job<Tx>[], error: unknown): void {
    shell.lane = undefined
    this.#tokens.delete(shell.facts.tokenId)
    this.#retry(shell, jobs, error, COMMIT_WAIT_MS)
  }
  #retry(shell: Shell<Tx>, jobs: readonly Job<Tx>[], error: unknown, waitMs: number): void {
    shell.isCareful = true
    shell.failures++
    const again = jobs.filter((job) => {
      if (++job.tries < COMMIT_TRIES) return true
      this.#giveUp(shell, job, error)
      return false
    })
    shell.queue.unshift(...again)
    if (shell.isNew && !shell.queue.some((job) => job.event.kind === 'made')) return this.#dissolve(shell)
    // With nothing to handle again the machines must still come back: time does not wait for events.
    if (shell.queue.length === 0) shell.queue.push({ event: { kind: 'time' }, tries: 0 })
    if (waitMs === 0) {
      this.#ready.add(shell)
      return
    }
    shell.retryAt = this.#own.clock.now() + backoff(waitMs, 10_000, shell.failures)
    this.#setAlarm()
  }
  #giveUp(shell: Shell<Tx>, job: Job<Tx>, error: unknown): void {
    this.#observe({ kind: 'error', error: asError(error), lane: shell.facts.lane })
    job.done?.reject(error)
    // Held or not, whatever is left of the message: nobody will answer it any more.
    job.exchange?.finish()
  }
  /** A lane that is not there: never committed, or ended and forgotten by another process. */
  #dissolve(shell: Shell<Tx>): void {
    this.#forget(shell)
    const error = new StoreFailed('ERR_LANE_GONE', 'the lane is not in the store')
    for (const job of shell.queue.splice(0)) this.#giveUp(shell, job, error)
    for (const waiter of [...shell.waiters]) waiter.settle({ error })
    for (const { exchange } of shell.holds.values()) exchange.finish()
  }

  // ── Effects ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #send(shell: Shell<Tx>, outbound: Outbound): void {
    if (outbound.to.kind === 'exchange') {
      const { exchange: id } = outbound.to
      const exchange = this.#exchanges.get(id)
      exchange?.offer(outbound)
      for (const [number, held] of shell.holds) {
        if (held.exchange.id !== id) continue
        shell.holds.delete(number)
        held.exchange.finish()
      }
      return
    }
    const about = aboutOf(outbound)
    const over = (hint: Hint | { readonly kind: 'exchange-over' }): void => {
      if (!this.#abort.signal.aborted && this.#shells.has(shell.facts.lane)) this.#later(shell, { kind: 'hint', hint, about })
    }
    // A lane at rest sends nothing; what it would have sent is due again when it is taken up.
    if (shell.isDetached) return over({ kind: 'exchange-over' })
    const { signal } = this.#abort
    Promise.resolve().then(() => this.#own.transmit(outbound, signal)).then(
      () => over({ kind: 'exchange-over' }),
      (cause: unknown) => over({ kind: 'http-failure', cause }),
    )
  }
  /** The exchange of a request waits for the reply; an older one of the same request gives way to it. */
  #hold(shell: Shell<Tx>, hold: Hold): void {
    const exchange = this.#exchanges.get(hold.exchange)
    if (exchange === undefined || exchange.isDone) return
    exchange.hold()
    shell.holds.get(hold.number)?.exchange.finish()
    shell.holds.set(hold.number, { exchange, hold, until: this.#own.clock.now() + this.#own.timing.holdReplyMs })
  }
  #settle(shell: Shell<Tx>, settlement: Settlement): void {
    const { lane } = shell.facts
    switch (settlement.kind) {
      case 'acknowledged':
        this.#observe({ kind: 'acknowledged', lane, number: settlement.number })
        return this.#tell(shell, settlement.number, ['acknowledged'], {})
      case 'replied':
        return this.#tell(shell, settlement.number, ['reply'], { value: settlement.content })
      case 'failed':
        if (!(settlement.error instanceof SoapFault)) this.#observe({ kind: 'lost', lane, numbers: [settlement.number], reason: settlement.error.message })
        return this.#tell(shell, settlement.number, settlement.error instanceof DeliveryFailed ? ['acknowledged', 'reply'] : ['reply'], { error: settlement.error })
      case 'retransmitted': return this.#observe({ kind: 'retransmit', lane, number: settlement.number, tries: settlement.tries })
      case 'alarm': return this.#observe({ kind: 'error', error: settlement.error, lane })
      case 'state': return
    }
  }
  #tell(shell: Shell<Tx>, number: number, wants: readonly Waiter['want'][], outcome: { readonly value?: unknown } | { readonly error: unknown }): void {
    for (const waiter of [...shell.waiters]) if (waiter.number === number && wants.includes(waiter.want)) waiter.settle(outcome)
  }
  #settleWaiters(shell: Shell<Tx>): void {
    const { lane } = shell
    if (lane === undefined) return
    const { source } = lane
    for (const waiter of [...shell.waiters]) {
      if (waiter.want === 'end' && source.state === 'ended') waiter.settle({})
      if (waiter.want === 'drained' && source.pendingCount === 0) waiter.settle({})
    }
    for (const go of shell.blocked.splice(0)) go()
    const state = lane.facts.role === 'initiator' ? source.state : lane.destination.state
    if (state === shell.state) return
    shell.state = state
    this.#observe({ kind: 'state', lane: shell.facts.lane, state })
  }

  #deliverNext(shell: Shell<Tx>): void {
    const { lane } = shell
    if (lane === undefined || lane.facts.role !== 'responder' || shell.delivering !== undefined || this.#abort.signal.aborted) return
    if (shell.redeliverAt > this.#own.clock.now()) return
    const delivery = lane.destination.next()
    if (delivery === undefined) {
      shell.redeliverAt = 0
      return
    }
    // The tries are counted for one message; it may have been consumed after all.
    if (shell.undelivered !== delivery.number) shell.deliveryTries = 0
    shell.delivering = delivery.number
    if (shell.deliveryTries >= this.#own.timing.maxDeliveries) return this.#bury(shell, delivery)
    const { signal } = this.#abort
    Promise.resolve().then(() => this.#own.deliver(delivery, signal)).then(
      (outcome) => this.#delivered(shell, delivery, outcome ?? {}),
      (error: unknown) => {
        if (signal.aborted) return
        this.#undelivered(shell, delivery.number, error)
        this.#setAlarm()
      },
    )
  }
  /** A dead letter: it is consumed, and whoever asked is told. */
  #bury(shell: Shell<Tx>, delivery: Delivery): void {
    this.#observe({ kind: 'error', error: new DeliveryFailed('ERR_RM_DEAD_LETTER', `message ${delivery.number} was given up after ${shell.deliveryTries} deliveries`, { sequence: delivery.sequence, numbers: [delivery.number], cause: shell.deliveryError }), lane: shell.facts.lane })
    const reply = delivery.received.shape === 'request' ? this.#own.undeliverable?.(delivery, shell.deliveryError) : undefined
    this.#delivered(shell, delivery, reply === undefined ? {} : { reply })
  }
  #delivered(shell: Shell<Tx>, delivery: Delivery, outcome: DeliveryOutcome<Tx>): void {
    if (this.#abort.signal.aborted) return
    shell.queue.push({ event: { kind: 'consumed', number: delivery.number, reply: outcome.reply }, work: outcome.work, tries: 0 })
    this.#wake(shell)
  }
  #undelivered(shell: Shell<Tx>, number: number, error: unknown): void {
    shell.delivering = undefined
    shell.undelivered = number
    shell.deliveryTries++
    shell.deliveryError = error
    shell.redeliverAt = this.#own.clock.now() + backoff(this.#own.timing.redeliverMs, this.#own.timing.retransmitCapMs, shell.deliveryTries)
    this.#observe({ kind: 'error', error: asError(error), lane: shell.facts.lane })
  }
  #consumed(shell: Shell<Tx>, number: number): void {
    if (shell.delivering === number) shell.delivering = undefined
    shell.deliveryTries = 0
    shell.redeliverAt = 0
    this.#observe({ kind: 'delivered', lane: shell.facts.lane, number })
  }
  /** Refusals without proof: the calls that wait are told, nothing else changes. */
  #suspect(shell: Shell<Tx>, hint: Hint): void {
    const reason = hint.kind === 'unprotected-fault' ? hint.fault.subcode ?? hint.fault.rmFault ?? hint.fault.code : hint.kind
    shell.hints++
    // A refusal to create the sequence at all is not going to change by being asked three times.
    const isRefusal = hint.kind === 'unprotected-fault' && hint.fault.rmFault === 'CreateSequenceRefused' && shell.lane?.source.state === 'creating'
    if (shell.hints < HINTS_TO_SUSPEND && !isRefusal) return
    if (shell.hints === HINTS_TO_SUSPEND || isRefusal) this.#observe({ kind: 'suspended', lane: shell.facts.lane, reason: reason.slice(0, 128) })
    const error = new TransportFailed('ERR_PEER_REFUSES', `the peer answers without protection: ${reason.slice(0, 128)}`, { retryable: true, tokenId: shell.facts.tokenId })
    for (const waiter of [...shell.waiters]) if (waiter.want !== 'end') waiter.settle({ error })
  }

  // ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One alarm for all lanes. */
  #setAlarm(): void {
    if (this.#abort.signal.aborted) return
    let at = Infinity
    for (const shell of this.#shells.values()) at = Math.min(at, this.#dueAt(shell))
    const why = this.#isAwaited() ? 'awaited' : undefined
    if (this.#alarm !== undefined && this.#alarm.at === at && this.#alarm.why === why) return
    this.#alarm?.cancel()
    this.#alarm = undefined
    if (at === Infinity) return
    const cancel = this.#own.clock.alarm(at, () => {
      this.#alarm = undefined
      this.#tick()
    }, why)
    this.#alarm = { at, why, cancel }
  }
  /** Somebody waits, or something accepted is on its way: the process must not end for lack of other work. */
  #isAwaited(): boolean {
    for (const shell of this.#shells.values()) {
      if (shell.waiters.size > 0 || (!shell.isDetached && shell.facts.role === 'initiator' && (shell.lane?.source.pendingCount ?? 0) > 0)) return true
    }
    return false
  }
  #dueAt(shell: Shell<Tx>): number {
    if (shell.retryAt > 0) return shell.retryAt
    let at = shell.isDetached ? Infinity : Math.max(shell.lane?.wakeAt ?? Infinity, shell.sleepUntil)
    for (const held of shell.holds.values()) at = Math.min(at, held.until)
    if (shell.redeliverAt > 0 && shell.delivering === undefined) at = Math.min(at, shell.redeliverAt)
    return at
  }
  #tick(): void {
    const now = this.#own.clock.now()
    for (const shell of this.#shells.values()) {
      if (this.#dueAt(shell) > now) continue
      if (shell.retryAt > 0) {
        shell.retryAt = 0
        this.#wake(shell)
        continue
      }
      for (const [number, held] of shell.holds) {
        if (held.until > now) continue
        shell.holds.delete(number)
        // The first time the peer is told that its request is held; later nothing, which a peer does not take for a refusal.
        if (!held.hold.unsaid) held.exchange.finish()
        else {
          this.#later(shell, { kind: 'release', number, exchange: held.exchange.id, messageId: held.hold.messageId })
          shell.holds.set(number, { ...held, until: Infinity })
        }
      }
      const isAwake = !shell.isDetached && shell.lane !== undefined && Math.max(shell.lane.wakeAt, shell.sleepUntil) <= now
      // What is delivered must be durable: it is looked for only behind a commit.
      const isRedelivery = shell.redeliverAt > 0 && shell.redeliverAt <= now && shell.delivering === undefined
      if (isAwake || isRedelivery) this.#later(shell, { kind: 'time' })
    }
    if (this.#pumping === undefined) this.#setAlarm()
  }

  // ── Lanes in memory, rows in the store ────────────────────────────────────────────────────────────────────────────────────

  #shell(facts: LaneFacts, options: { readonly maxPending?: number; readonly maxPendingBytes?: number }): Shell<Tx> {
    const shell: Shell<Tx> = {
      facts, lane: undefined, isOver: false, isNew: true, revision: 'absent', headText: '', queue: [], isCareful: false, failures: 0, retryAt: 0, sleepUntil: 0, holds: new Map(), delivering: undefined,
      deliveryTries: 0, undelivered: undefined, deliveryError: undefined, redeliverAt: 0, waiters: new Set(), blocked: [], isDetached: false, state: '', hints: 0, use: undefined, names: [],
      maxPending: options.maxPending ?? 1_000, maxPendingBytes: options.maxPendingBytes ?? 64 * 1024 * 1024,
    }
    this.#shells.set(facts.lane, shell)
    if (facts.role === 'responder') this.#creations.set(storeKey(facts.tokenId, facts.createMessageId), shell)
    // The names are taken from here on, not only once the commit is through.
    this.#name(shell, [facts.sequence, facts.role === 'responder' ? facts.offered : undefined].filter((name) => name !== undefined))
    return shell
  }
  /** From the store: after a crash of the lane, or at the start of the process. */
  async #load(shell: Shell<Tx>): Promise<void> {
    const settings = { timing: this.#own.timing, limits: this.#own.limits, mint: () => this.#mint() }
    const key = headKey(shell.facts.lane)
    let row: Row | undefined
    for await (const each of this.#own.store.scan(key)) if (each.key === key) row = each
    if (row === undefined) {
      if (!shell.isNew) return
      shell.lane = new Lane(shell.facts, settings, this.#own.clock.now())
      shell.revision = 'absent'
      shell.headText = ''
      return
    }
    const head = this.#openHead(row)
    const sent = await this.#sentRows(shell.facts.lane)
    const received: ReceivedRow[] = []
    for await (const each of this.#own.store.scan(storeKey('msg', shell.facts.lane, 'received'))) received.push(Destination.readRow(this.#unseal(shell.facts.lane, each)))
    shell.lane = new Lane(head.facts, settings, this.#own.clock.now(), { head, sent, received })
    shell.isOver = shell.lane.isOver
    shell.isNew = false
    shell.revision = row.revision
    shell.headText = new TextDecoder().decode(encodeRow(head))
    shell.sleepUntil = 0
    // Settled while we were away from it: whoever waits is told from the rows.
    for (const sentRow of sent) if (sentRow.settled !== undefined && shell.waiters.size > 0) this.#tellFromRow(shell, sentRow)
    this.#rename(shell)
  }
  async #sentRows(lane: LaneId): Promise<readonly SentRow[]> {
    const rows: SentRow[] = []
    for await (const row of this.#own.store.scan(storeKey('msg', lane, 'sent'))) rows.push(Source.readRow(this.#unseal(lane, row)))
    return rows
  }
  #tellFromRow(shell: Shell<Tx>, row: SentRow): void {
    const error = errorOf(shell.facts, row)
    if (error === undefined || row.settled === 'replied' || row.settled === 'reply-lost') this.#tell(shell, row.number, ['acknowledged'], {})
    else this.#tell(shell, row.number, ['acknowledged'], { error })
    this.#tell(shell, row.number, ['reply'], error !== undefined ? { error } : { value: row.reply !== undefined && 'content' in row.reply ? row.reply.content : undefined })
  }
  async #keptReply(shell: Shell<Tx>, status: SentStatus): Promise<Content | undefined> {
    const key = sentKey(shell.facts.lane, status.number)
    for await (const each of this.#own.store.scan(key)) {
      if (each.key !== key) continue
      const row = Source.readRow(this.#unseal(shell.facts.lane, each))
      const error = errorOf(shell.facts, row)
      if (error !== undefined) throw error
      if (row.reply !== undefined && 'content' in row.reply) return row.reply.content
    }
    return undefined
  }
  #openHead(row: Row): LaneHead {
    const lane = laneOfKey(row.key)
    const head = decodeRow<LaneHead>(this.#own.serializer.open('lane', { parts: [lane, row.key] }, row.value))
    return head
  }
  #seal(lane: LaneId, key: string, value: Uint8Array): Uint8Array { return this.#own.serializer.seal(key === headKey(lane) ? 'lane' : 'msg', { parts: [lane, key] }, value) }
  #unseal(lane: LaneId, row: Row): Uint8Array { return this.#own.serializer.open('msg', { parts: [lane, row.key] }, row.value) }

  async #tokenRevision(id: TokenId): Promise<number | 'absent'> {
    const known = this.#tokens.get(id)
    if (known !== undefined) return known
    const row = await this.#tokenRow(id)
    const revision = row?.revision ?? 'absent'
    this.#tokens.set(id, revision)
    return revision
  }
  async #tokenRow(id: TokenId): Promise<Row | undefined> {
    for await (const row of this.#own.store.scan(tokenKey(id))) if (row.key === tokenKey(id)) return row
    return undefined
  }
  async #restoreTokens(ids: ReadonlySet<TokenId>, quarantined: { key: string; error: unknown }[]): Promise<{ readonly count: number; readonly refused: ReadonlySet<TokenId> }> {
    const refused = new Set<TokenId>()
    let count = 0
    for (const id of ids) {
      const row = await this.#tokenRow(id)
      if (row === undefined) continue
      try {
        const restored = await this.#own.security.deserialize(row.value)
        if (restored !== id) throw new StoreFailed('ERR_TOKEN_MISPLACED', 'the record of one token lies in the place of another', { tokenId: id })
        this.#tokens.set(id, row.revision)
        count++
      } catch (error) {
        if (error instanceof UnknownVersion) throw error
        refused.add(id)
        quarantined.push({ key: row.key, error })
      }
    }
    return { count, refused }
  }
  #keepToken(shell: Shell<Tx>): void {
    if (shell.isOver) {
      shell.use?.[Symbol.dispose]()
      shell.use = undefined
      return
    }
    if (shell.use === undefined && !this.#abort.signal.aborted) shell.use = this.#own.security.use(shell.facts.tokenId, shell.facts.lane)
  }
  #rename(shell: Shell<Tx>): void {
    if (shell.lane !== undefined) this.#name(shell, shell.lane.sequences)
  }
  #name(shell: Shell<Tx>, names: readonly SequenceId[]): void {
    if (names.length === shell.names.length && names.every((name, index) => name === shell.names[index])) return
    for (const name of shell.names) {
      const shells = this.#names.get(name)
      shells?.delete(shell)
      if (shells?.size === 0) this.#names.delete(name)
    }
    for (const name of names) this.#names.set(name, (this.#names.get(name) ?? new Set()).add(shell))
    shell.names = names
  }
  #forget(shell: Shell<Tx>): void {
    this.#name(shell, [])
    this.#shells.delete(shell.facts.lane)
    this.#ready.delete(shell)
    this.#creations.delete(storeKey(shell.facts.tokenId, shell.facts.createMessageId))
    shell.use?.[Symbol.dispose]()
    shell.use = undefined
  }

  // ── Waiting ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** An abort or a time limit ends the waiting; what was accepted stays accepted. */
  #until(shell: Shell<Tx>, what: Pick<Waiter, 'number' | 'want'>, wait: Wait, also?: (settle: Waiter['settle']) => void): Promise<unknown> {
    const { signal, timeoutMs } = wait
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.#abort.signal.aborted) return Promise.reject(closedError())
    return new Promise((resolve, reject) => {
      const ends: (() => void)[] = []
      const waiter: Waiter = {
        ...what,
        settle: (outcome) => {
          shell.waiters.delete(waiter)
          for (const end of ends) end()
          if ('error' in outcome) reject(outcome.error)
          else resolve(outcome.value)
        },
      }
      shell.waiters.add(waiter)
      this.#setAlarm()
      also?.(waiter.settle)
      if (timeoutMs !== undefined) ends.push(this.#own.clock.alarm(this.#own.clock.now() + timeoutMs, () => waiter.settle({ error: new TimedOut('ERR_TIMEOUT', `not within ${timeoutMs} ms; what was accepted stays accepted`, { retryable: true }) }), 'awaited'))
      if (signal !== undefined) {
        const onAbort = (): void => waiter.settle({ error: signal.reason })
        signal.addEventListener('abort', onAbort, { once: true })
        ends.push(() => signal.removeEventListener('abort', onAbort))
      }
    })
  }
  #ticket(shell: Shell<Tx>, key: string, number: number): Ticket {
    const acknowledged = async (wait: Wait = {}): Promise<void> => {
      const status = (await this.#present(shell)).source.status(key)
      if (status?.settled === 'lost') throw lostError(shell.facts, number)
      if (status?.acknowledged) return
      await this.#until(shell, { number, want: 'acknowledged' }, wait)
    }
    return { number, key, acknowledged }
  }
  #isFull(shell: Shell<Tx>, size: number): boolean {
    let pending = shell.lane?.source.pendingCount ?? 0
    let bytes = shell.lane?.source.pendingBytes ?? 0
    for (const { event } of shell.queue) {
      if (event.kind !== 'submit') continue
      pending++
      bytes += event.content.body.length
    }
    return pending >= shell.maxPending || (pending > 0 && bytes + size > shell.maxPendingBytes)
  }
  /** The machines, restored when a failed commit has dropped them. */
  async #present(shell: Shell<Tx>): Promise<Lane> {
    for (;;) {
      if (shell.lane !== undefined) return shell.lane
      this.#assertRunning()
      await this.#enqueue(shell, { event: { kind: 'time' }, tries: 0 })
    }
  }
  #get(lane: LaneId): Shell<Tx> {
    const shell = this.#shells.get(lane)
    if (shell === undefined) throw new UsageError('ERR_LANE_UNKNOWN', 'there is no such lane')
    return shell
  }
  #assertRunning(): void {
    if (this.#abort.signal.aborted) throw closedError()
  }
  #mint(): string { return urnUuid(this.#own.random) }
  #observe(event: EngineEvent): void { this.#own.observe?.(event) }
}

const closedError = (): UsageError => new UsageError('ERR_ENGINE_CLOSED', 'the engine was closed; what was accepted stays in the store')
const tokenKey = (id: TokenId): string => storeKey('token', id)
/** The lane that a head's key names: `storeKey('lane', id)`, taken apart again. */
function laneOfKey(key: string): LaneId {
  const rest = key.slice(storeKey('lane').length)
  return rest.slice(rest.indexOf(':') + 1, -1) as LaneId
}
const aboutOf = (outbound: Outbound): About => ({ kind: outbound.body.kind, number: outbound.sequence?.number })
const asError = (error: unknown): Error => error instanceof Error ? error : new Error(String(error))
const principalKey = (principal: Principal): string => principal.kind === 'certificate' ? storeKey('certificate', principal.thumbprint) : storeKey('user', principal.name)
/** What makes two messages the same for a key: everything but the MessageID, which each attempt may make anew. */
const digestOf = (content: Content, shape: string): string => digest('sha256', JSON.stringify([shape, content.action, content.body, content.headers])).toString('base64')
const contentDigest = (body: ReceivedBody): string => body.kind === 'application' ? digestOf(body.content, '') : ''
const lostError = (facts: LaneFacts, number: number): DeliveryFailed => new DeliveryFailed('ERR_RM_DELIVERY', `the sequence ended before message ${number} was acknowledged`, { tokenId: facts.tokenId, numbers: [number] })
function errorOf(facts: LaneFacts, row: SentRow): Error | undefined {
  if (row.settled === 'lost') return lostError(facts, row.number)
  if (row.settled === 'reply-lost') return new ReplyLost('ERR_RM_REPLY_LOST', `the peer holds request ${row.number} but gave no reply`, { tokenId: facts.tokenId, numbers: [row.number] })
  const reply: StoredReply | undefined = row.reply
  return reply !== undefined && 'fault' in reply ? new SoapFault(reply.fault, { tokenId: facts.tokenId, numbers: [row.number] }) : undefined
}
/** As it stands in the store: what is not committed has not happened. */
function statusOf(facts: LaneFacts, headText: string, lane: Lane | undefined): LaneStatus {
  const isInitiator = facts.role === 'initiator'
  const head = headText === '' ? undefined : JSON.parse(headText) as LaneHead
  const requests = isInitiator ? head?.source.sequence : head?.destination.sequence
  const replies = isInitiator ? head?.destination.sequence : head?.source.sequence
  return {
    lane: facts.lane, role: facts.role, tokenId: facts.tokenId, rm: facts.rm,
    ...(facts.name === undefined ? {} : { name: facts.name }), ...(facts.url === undefined ? {} : { url: facts.url }), ...(facts.soap === undefined ? {} : { soap: facts.soap }),
    ...(facts.addressing === undefined ? {} : { addressing: facts.addressing }), ...(facts.principal === undefined ? {} : { principal: facts.principal }),
    state: isInitiator ? head?.source.state ?? 'creating' : head?.destination.state ?? 'none',
    ...(requests === undefined ? {} : { sequence: requests }), ...(replies === undefined ? {} : { offered: replies }),
    last: head?.source.last ?? 0, acknowledged: head?.source.acknowledged ?? [], accepted: head?.destination.accepted ?? [], consumed: head?.destination.consumed ?? 0,
    pending: (isInitiator ? lane?.source.pendingCount : lane?.destination.waiting) ?? 0,
  }
}
