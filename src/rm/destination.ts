/**
 * RM Destination: accepts each number once, hands over in order, acknowledges all that it accepted and only that, answers Close and
 * Terminate, also after the end. Knows no clock, no store and no XML: it is told what happened and when, and answers with a turn.
 *
 * @module
 */
import { FAULTS, type FaultRow, PeerViolation, UsageError } from '../errors.ts'
import type { Limits } from '../options.ts'
import type { RmVersion } from '../spec/versions.ts'
import type { TokenId } from '../sct/token.ts'
import { NumberSet } from './ranges.ts'
import type { RmTiming } from './timing.ts'
import {
  type Acknowledgement, type ApplicationMessage, decodeRow, type Delivery, type Destination as Place, emptyTurn, encodeRow, type LaneId, type Outbound,
  type OutboundBody, receivedKey, type SequenceId, type Span, type Turn,
} from './turn.ts'

export type DestinationState = 'none' | 'open' | 'full' | 'closed' | 'ended'
/** Where the answer to an event goes: to where its message says; nowhere by itself when that was an answer. */
interface Answerable { readonly to?: Place | undefined; readonly messageId?: string | undefined }
export type DestinationEvent =
  | { readonly kind: 'created'; readonly sequence: SequenceId; readonly expiresMs?: number | undefined }
  | ({ readonly kind: 'message'; readonly number: bigint; readonly last: boolean
      /** Absent for a message with an empty Body, which is numbered but has nothing for the application. */
      readonly message?: ApplicationMessage | undefined; readonly digest: string } & Answerable)
  | ({ readonly kind: 'ack-requested' } & Answerable)
  | { readonly kind: 'consumed'; readonly number: number }
  | ({ readonly kind: 'close'; readonly lastNumber?: bigint | undefined } & Answerable)
  | ({ readonly kind: 'terminate'; readonly lastNumber?: bigint | undefined } & Answerable)
  | { readonly kind: 'time' }
export type DestinationEventKind = DestinationEvent['kind']
export type DestinationTable = Readonly<Record<DestinationState, Readonly<Partial<Record<DestinationEventKind, readonly DestinationState[]>>>>>

/** What each event may lead to. A pair that is not here is refused; a step that is not here is a defect and stops the lane. */
export const DESTINATION_TABLE: DestinationTable = {
  none: { created: ['open'], time: ['none'] },
  open: { created: ['open'], message: ['open', 'full', 'ended'], 'ack-requested': ['open'], consumed: ['open'], close: ['closed', 'ended'], terminate: ['ended'], time: ['open', 'ended'] },
  full: { created: ['full'], message: ['full', 'ended'], 'ack-requested': ['full'], consumed: ['full'], close: ['closed', 'ended'], terminate: ['ended'], time: ['full', 'ended'] },
  closed: { created: ['closed'], message: ['closed'], 'ack-requested': ['closed'], consumed: ['closed'], close: ['closed', 'ended'], terminate: ['ended'], time: ['closed', 'ended'] },
  ended: { message: ['ended'], 'ack-requested': ['ended'], consumed: ['ended'], close: ['ended'], terminate: ['ended'], time: ['ended'] },
}

export interface DestinationOptions {
  readonly lane: LaneId
  readonly tokenId: TokenId
  readonly rm: RmVersion
  readonly timing: RmTiming
  readonly limits: Limits
  /** Requests are handed over in order and acknowledged on their exchange; replies settle their request at once and are acknowledged by what is sent next. */
  readonly role: 'requests' | 'replies'
  /** Where acknowledgements go, whatever brought what they are about. Absent: to the back-channel of what asks for one. */
  readonly url?: string | undefined
  /** Requests: what finds no back-channel waits until it is asked for. */
  readonly isPolled?: boolean | undefined
}
/** What the head keeps. */
export interface DestinationSnapshot {
  readonly state: DestinationState
  readonly sequence?: SequenceId | undefined
  readonly accepted: readonly Span[]
  /** Handed over and done with, from 1 without a gap. */
  readonly consumed: number
  /** The last number there will be, as the peer said. */
  readonly lastNumber?: number | undefined
  /** The end was made known by a fault: that is what it is answered with. */
  readonly broken?: boolean | undefined
  readonly expiresAt?: number | undefined
  readonly endedAt?: number | undefined
}
/** An accepted message that is not consumed. */
export interface ReceivedRow { readonly number: number; readonly digest: string; readonly message?: ApplicationMessage | undefined }

export class Destination {
  readonly #own: DestinationOptions
  #state: DestinationState = 'none'
  #sequence: SequenceId | undefined
  readonly #accepted: NumberSet
  #consumed = 0
  #lastNumber: number | undefined
  #broken = false
  #expiresAt: number | undefined
  #endedAt: number | undefined
  readonly #rows = new Map<number, ReceivedRow>()
  // What dies with the process.
  #heardAt: number | undefined
  /** Since when an acknowledgement is owed that nothing has carried. */
  #owedSince: number | undefined
  /** The peer asked, so that even nothing is worth saying. */
  #isAsked = false
  #isOverflowing = false

  constructor(options: DestinationOptions, from?: DestinationSnapshot, rows: Iterable<ReceivedRow> = []) {
    this.#own = options
    this.#accepted = new NumberSet(from?.accepted ?? [])
    if (from === undefined) return
    this.#state = from.state
    this.#sequence = from.sequence
    this.#consumed = from.consumed
    this.#lastNumber = from.lastNumber
    this.#broken = from.broken ?? false
    this.#expiresAt = from.expiresAt
    this.#endedAt = from.endedAt
    for (const row of rows) this.#rows.set(row.number, row)
    // Whether the last acknowledgement left is not known: say it again.
    if (options.role === 'replies' && this.#accepted.spanCount > 0 && this.#state !== 'ended') this.#owedSince = 0
  }
  static restore(options: DestinationOptions, snapshot: DestinationSnapshot, rows: Iterable<ReceivedRow>): Destination { return new Destination(options, snapshot, rows) }
  snapshot(): DestinationSnapshot {
    return {
      state: this.#state, sequence: this.#sequence, accepted: this.#accepted.spans, consumed: this.#consumed, lastNumber: this.#lastNumber,
      broken: this.#broken || undefined, expiresAt: this.#expiresAt, endedAt: this.#endedAt,
    }
  }
  static readRow(value: Uint8Array): ReceivedRow { return decodeRow<ReceivedRow>(value) }

  get state(): DestinationState { return this.#state }
  get sequence(): SequenceId | undefined { return this.#sequence }
  get accepted(): readonly Span[] { return this.#accepted.spans }
  get consumed(): number { return this.#consumed }
  get endedAt(): number | undefined { return this.#endedAt }
  get expiresAt(): number | undefined { return this.#expiresAt }
  has(number: number): boolean { return this.#accepted.has(number) }
  /** The peer said which message is the last, and it was consumed with all before it. */
  get isComplete(): boolean { return this.#lastNumber !== undefined && this.#consumed >= this.#lastNumber }
  /** There is an acknowledgement to be had that was not given yet. */
  get owes(): boolean { return this.#owedSince !== undefined && this.acknowledgement() !== undefined }
  /** Accepted messages that wait to be handed over. */
  get waiting(): number { return this.#rows.size }
  row(number: number): ReceivedRow | undefined { return this.#rows.get(number) }

  /** The next message for the application, if it is there: the same again until it is consumed. */
  next(): Delivery | undefined {
    const number = this.#consumed + 1
    const message = this.#rows.get(number)?.message
    return message === undefined || this.#sequence === undefined ? undefined : { lane: this.#own.lane, sequence: this.#sequence, number, received: message }
  }
  /** What may be said about the sequence now, for whatever envelope leaves; undefined when there is nothing worth saying. */
  acknowledgement(): Acknowledgement | undefined {
    if (this.#sequence === undefined || this.#state === 'none') return undefined
    // Peer CXF 4: an acknowledgement of a sequence that it has dropped kills the message that carries it; of one that was never used, none is owed.
    if (this.#own.role === 'replies' && this.#accepted.spanCount === 0 && !this.#isAsked) return undefined
    // WS-RM 1.1 §3.9: all accepted numbers and only these; Final as soon as the sequence is closed.
    return { sequence: this.#sequence, ranges: this.#accepted.spans, final: this.#own.rm.hasNoneAndFinal && (this.#state === 'closed' || this.#state === 'ended') }
  }
  /** The peer is there, though it said nothing of the sequence: it asks for what waits for it. */
  noticed(now: number): void { this.#heardAt = now }
  /** The acknowledgement left on something. */
  carried(): void {
    this.#owedSince = undefined
    this.#isAsked = false
  }

  get wakeAt(): number {
    if (this.#state === 'none' || this.#state === 'ended') return Infinity
    let at = this.#expiresAt ?? Infinity
    if (this.#owedSince !== undefined && this.#own.url !== undefined) at = Math.min(at, this.#owedSince + this.#delay)
    if (this.#own.role === 'requests') at = Math.min(at, (this.#heardAt ?? 0) + (this.#heardAt === undefined ? 0 : this.#own.timing.inactivityMs))
    return at
  }

  /** @throws {UsageError} the pair of state and event is not in the table; nothing has changed */
  handle(event: DestinationEvent, now: number): Turn {
    const before = this.#state
    const allowed = DESTINATION_TABLE[before][event.kind]
    if (allowed === undefined) throw new UsageError('ERR_RM_STATE', `destination: ${event.kind} is refused in state ${before}`, { tokenId: this.#own.tokenId })
    const turn = emptyTurn()
    if (event.kind !== 'time' && event.kind !== 'consumed') this.#heardAt = now
    this.#take(event, now, turn)
    if (!allowed.includes(this.#state)) throw new Error(`destination: ${event.kind} led from ${before} to ${this.#state}, which the table does not have`)
    if (this.#state !== before) turn.settle.push({ kind: 'state', machine: 'destination', state: this.#state })
    return turn
  }

  #take(event: DestinationEvent, now: number, turn: Turn): void {
    switch (event.kind) {
      case 'created': return this.#created(event, now)
      case 'message': return this.#message(event, now, turn)
      case 'ack-requested': return this.#askedFor(event, turn)
      case 'consumed': return this.#consume(event.number, turn)
      case 'close': return this.#close(event, now, turn)
      case 'terminate': return this.#terminate(event, now, turn)
      case 'time': return this.#time(now, turn)
    }
  }

  #created(event: DestinationEvent & { kind: 'created' }, now: number): void {
    // The initiator learns which of its offers was taken only by the first message on it.
    if (this.#accepted.spanCount === 0) this.#sequence = event.sequence
    if (this.#state !== 'none') return
    // WS-RM 1.1 §3.4: 0 (PT0S) and absent both mean that it never expires; the Destination counts from the creation.
    if (event.expiresMs !== undefined && event.expiresMs > 0) this.#expiresAt = now + event.expiresMs
    this.#state = 'open'
  }
  #message(event: DestinationEvent & { kind: 'message' }, now: number, turn: Turn): void {
    if (this.#state === 'ended') return this.#fault(event, this.#ended(), turn)
    // WS-RM 1.1 §4.4: a number above what we can count is refused, and the sequence goes on with those below.
    if (event.number > BigInt(Number.MAX_SAFE_INTEGER)) return this.#rollover(event, now, turn)
    if (event.number < 1n) return
    const number = Number(event.number)
    if (this.#accepted.has(number)) return this.#duplicate(event, number, turn)
    // WS-RM 1.1 §4.7: closed means that nothing new is accepted; the answer carries the final state.
    if (this.#state === 'closed') return this.#fault(event, FAULTS.sequenceClosed, turn)
    if (this.#lastNumber !== undefined && number > this.#lastNumber) return this.#beyondLast(event, now, turn)
    if (!this.#hasRoom(number)) return this.#overflow(number, event, turn)
    if (event.last) {
      if (number < this.#accepted.top) return this.#break(event, FAULTS.sequenceTerminated, now, turn)
      this.#lastNumber = number
    }
    this.#accept(number, event, turn)
  }
  /** Neither stored nor acknowledged: the Source sends it again. Whoever asked is told all the same; we are told once. */
  #overflow(number: number, event: DestinationEvent & { kind: 'message' }, turn: Turn): void {
    if (!this.#isOverflowing) turn.settle.push({ kind: 'alarm', error: this.#violation('ERR_RM_WINDOW', `message ${number} is beyond the receive window`) })
    this.#isOverflowing = true
    this.#acknowledge(event, turn)
  }
  /** Bounded from both ends: numbers ahead of what is handed over, and gaps in between. */
  #hasRoom(number: number): boolean {
    const { receiveWindow, ackRanges } = this.#own.limits
    // Replies are not kept in order: one that is lost for good must not keep out those behind it.
    const base = this.#own.role === 'requests' ? this.#consumed : this.#accepted.top
    return number <= base + receiveWindow && this.#accepted.spanCountWith(number) <= ackRanges
  }
  #accept(number: number, event: DestinationEvent & { kind: 'message' }, turn: Turn): void {
    this.#accepted.add(number)
    const { message } = event
    if (this.#own.role === 'replies') {
      this.#owedSince ??= this.#heardAt
      if (message !== undefined && this.#sequence !== undefined) turn.deliver.push({ lane: this.#own.lane, sequence: this.#sequence, number, received: message })
      return
    }
    const row: ReceivedRow = { number, digest: event.digest, message }
    this.#rows.set(number, row)
    turn.persist.push({ put: receivedKey(this.#own.lane, number), value: encodeRow(row) })
    this.#skipEmpty(turn)
    if (message?.shape === 'request') this.#owe()
    else this.#acknowledge(event, turn)
  }
  #duplicate(event: DestinationEvent & { kind: 'message' }, number: number, turn: Turn): void {
    const row = this.#rows.get(number)
    if (row !== undefined && row.digest !== event.digest) {
      turn.settle.push({ kind: 'alarm', error: this.#violation('ERR_RM_NUMBER_REUSED', `message ${number} came again with another body, which is dropped`) })
      // The number was accepted, whatever stands under it now: that is what is said.
      return this.#acknowledge(event, turn)
    }
    // A duplicate means that our acknowledgement was lost: say it again. A request is answered by whoever holds its reply.
    if (event.message?.shape === 'request') this.#owe()
    else this.#acknowledge(event, turn)
  }
  #consume(number: number, turn: Turn): void {
    if (number !== this.#consumed + 1 || !this.#rows.has(number)) return
    this.#release(number, turn)
    this.#skipEmpty(turn)
  }
  /** Numbered messages without content are consumed by their turn in the order. */
  #skipEmpty(turn: Turn): void {
    for (let row = this.#rows.get(this.#consumed + 1); row !== undefined && row.message === undefined; row = this.#rows.get(this.#consumed + 1)) this.#release(row.number, turn)
  }
  #release(number: number, turn: Turn): void {
    this.#consumed = number
    this.#isOverflowing = false
    this.#rows.delete(number)
    turn.persist.push({ delete: receivedKey(this.#own.lane, number) })
  }

  #close(event: DestinationEvent & { kind: 'close' }, now: number, turn: Turn): void {
    if (this.#state === 'ended' && this.#broken) return this.#fault(event, FAULTS.unknownSequence, turn)
    if (this.#state !== 'ended') {
      if (!this.#agreesOnLast(event.lastNumber)) return this.#break(event, FAULTS.sequenceTerminated, now, turn)
      this.#state = 'closed'
    }
    this.#answer(event, { kind: 'close-sequence-response', sequence: this.#sequence ?? '' }, turn)
  }
  #terminate(event: DestinationEvent & { kind: 'terminate' }, now: number, turn: Turn): void {
    if (this.#state === 'ended' && this.#broken) return this.#fault(event, FAULTS.unknownSequence, turn)
    if (this.#state !== 'ended') {
      if (!this.#agreesOnLast(event.lastNumber)) return this.#break(event, FAULTS.sequenceTerminated, now, turn)
      this.#end(now, turn)
    }
    if (this.#own.rm.hasTerminateResponse) this.#answer(event, { kind: 'terminate-sequence-response', sequence: this.#sequence ?? '' }, turn)
  }
  /** WS-RM 1.1 §3.5: LastMsgNumber is not below what was accepted, and the same whenever it is said. */
  #agreesOnLast(lastNumber: bigint | undefined): boolean {
    if (lastNumber === undefined) return true
    if (lastNumber < BigInt(this.#accepted.top) || (this.#lastNumber !== undefined && BigInt(this.#lastNumber) !== lastNumber)) return false
    // A number above what we can count promises nothing that we could miss.
    if (lastNumber <= BigInt(Number.MAX_SAFE_INTEGER)) this.#lastNumber = Number(lastNumber)
    return true
  }
  #beyondLast(event: DestinationEvent & { kind: 'message' }, now: number, turn: Turn): void {
    this.#break(event, this.#own.rm.hasLastMessage ? FAULTS.lastMessageNumberExceeded : FAULTS.sequenceTerminated, now, turn)
  }
  #rollover(event: DestinationEvent & { kind: 'message' }, now: number, turn: Turn): void {
    if (this.#state === 'closed') return this.#fault(event, FAULTS.sequenceClosed, turn)
    // WS-RM 1.0 §4: there the rollover ends the sequence.
    if (this.#own.rm.hasLastMessage) return this.#break(event, FAULTS.messageNumberRollover, now, turn)
    this.#state = 'full'
    this.#fault(event, FAULTS.messageNumberRollover, turn)
  }
  #break(event: Answerable, fault: FaultRow, now: number, turn: Turn): void {
    this.#broken = true
    this.#end(now, turn)
    this.#fault(event, fault, turn)
    turn.settle.push({ kind: 'alarm', error: this.#violation('ERR_RM_SEQUENCE', `the sequence was ended: ${fault.name}`, fault) })
  }
  #end(now: number, turn: Turn): void {
    this.#state = 'ended'
    this.#endedAt = now
    this.#owedSince = undefined
    // What lies behind a gap will never be in order: it is not handed over. What is before it still is.
    const complete = this.#accepted.contiguousTop
    for (const number of [...this.#rows.keys()]) {
      if (number <= complete) continue
      this.#rows.delete(number)
      turn.persist.push({ delete: receivedKey(this.#own.lane, number) })
    }
  }
  #time(now: number, turn: Turn): void {
    const { inactivityMs, tombstoneMs } = this.#own.timing
    if (this.#state === 'none') return
    if (this.#state === 'ended') {
      if (this.#endedAt === undefined || now < this.#endedAt + tombstoneMs) return
      for (const number of this.#rows.keys()) turn.persist.push({ delete: receivedKey(this.#own.lane, number) })
      this.#rows.clear()
      return
    }
    this.#heardAt ??= now
    const isSilent = this.#own.role === 'requests' && now - this.#heardAt >= inactivityMs
    if (isSilent || (this.#expiresAt !== undefined && now >= this.#expiresAt)) {
      this.#broken = true
      return this.#end(now, turn)
    }
    if (this.#own.url === undefined || this.#owedSince === undefined || now - this.#owedSince < this.#delay) return
    this.#owedSince = undefined
    if (this.acknowledgement() !== undefined) turn.transmit.push(this.#outbound({ kind: 'endpoint', url: this.#own.url }, { kind: 'acknowledgement' }))
  }

  #askedFor(event: Answerable, turn: Turn): void {
    if (this.#state === 'ended') return this.#fault(event, this.#ended(), turn)
    this.#isAsked = true
    this.#acknowledge(event, turn)
  }
  /** WS-RM 1.1 §3.8: whoever asks is told, where AcksTo says: on the back-channel of what asked, or at an address. */
  #acknowledge(event: Answerable, turn: Turn): void {
    if (this.#own.url === undefined && event.to !== undefined) turn.transmit.push(this.#outbound(event.to, { kind: 'acknowledgement' }, event.messageId))
    else {
      if (this.#own.role === 'requests') this.#isAsked = true
      this.#owe()
    }
  }
  #owe(): void {
    if (this.#own.url !== undefined || this.#own.isPolled) this.#owedSince ??= this.#heardAt
  }
  get #delay(): number { return this.#isAsked ? Math.min(this.#own.timing.ackAskedMs, this.#own.timing.ackDelayMs) : this.#own.timing.ackDelayMs }
  #answer(event: Answerable, body: OutboundBody, turn: Turn): void {
    // Neither a place nor a MessageID: nobody asked, it was our own doing.
    if (event.to === undefined && event.messageId === undefined) return
    const to: Place | undefined = event.to ?? (this.#own.url !== undefined ? { kind: 'endpoint', url: this.#own.url } : undefined)
    if (to !== undefined) turn.transmit.push(this.#outbound(to, body, event.messageId))
  }
  #fault(event: Answerable, fault: FaultRow, turn: Turn): void {
    if (event.to === undefined) return
    // WS-RM 1.1 §3.5: once closed, every fault about the sequence carries its final acknowledgement. An unknown one has none.
    const acknowledgement = this.#own.rm.hasNoneAndFinal && SAYS_FINAL.has(fault) ? this.acknowledgement() : undefined
    turn.transmit.push(this.#outbound(event.to, {
      kind: 'fault', fault, ...(this.#sequence === undefined ? {} : { sequence: this.#sequence }),
      ...(fault === FAULTS.messageNumberRollover && !this.#own.rm.hasLastMessage ? { maxNumber: Number.MAX_SAFE_INTEGER } : {}),
      ...(acknowledgement === undefined ? {} : { acknowledgement }),
    }, event.messageId))
  }
  /** How an ended sequence answers what is not Close or Terminate. */
  #ended(): FaultRow { return FAULTS.unknownSequence }
  #outbound(to: Place, body: OutboundBody, relatesTo?: string): Outbound {
    return { lane: this.#own.lane, tokenId: this.#own.tokenId, to, body, ...(relatesTo === undefined ? {} : { relatesTo }), acknowledgements: [], ackRequested: [] }
  }
  #violation(code: string, message: string, fault: FaultRow = FAULTS.sequenceTerminated): PeerViolation {
    return new PeerViolation(code, message, fault, { tokenId: this.#own.tokenId, ...(this.#sequence === undefined ? {} : { sequence: this.#sequence }) })
  }
}

/** Faults about a sequence that takes nothing more, and is known. */
const SAYS_FINAL: ReadonlySet<FaultRow> = new Set([FAULTS.sequenceClosed, FAULTS.sequenceTerminated])
