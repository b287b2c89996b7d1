/**
 * A lane: the two machines of a sequence pair and what goes between them. At the initiator a Source of requests and a Destination of
 * replies, at the responder a Destination of requests and a Source of replies. It turns received words into events of its machines,
 * lets acknowledgements ride on what leaves, and settles requests by their replies. As its machines, it does nothing itself.
 *
 * @module
 */
import { FAULTS, PeerViolation } from '../errors.ts'
import type { Limits } from '../options.ts'
import { RM10, RM11, type RmVersion } from '../spec/versions.ts'
import type { Principal, TokenId } from '../sct/token.ts'
import { Destination, type DestinationSnapshot, type ReceivedRow } from './destination.ts'
import { Poller } from './poller.ts'
import { acknowledgedSpans } from './ranges.ts'
import { Source } from './source.ts'
import { type About, GAP, type SentRow, type SourceSnapshot, type StoredReply } from './source-words.ts'
import type { RmTiming } from './timing.ts'
import {
  type Acknowledgement, type ApplicationMessage, type BackChannel, type Content, type Destination as Place, emptyTurn, encodeRow, type Endpoint, headKey, type Hint, type LaneId, type Outbound, type OutboundBody, type Received,
  type ReceivedAcknowledgement, type SequenceId, type Turn,
} from './turn.ts'

/** What a lane is, from its first commit to its last. */
export interface LaneFacts {
  readonly lane: LaneId
  readonly role: 'initiator' | 'responder'
  readonly tokenId: TokenId
  readonly rm: RmVersion['name']
  readonly createdAt: number
  /** wsa:MessageID of the CreateSequence. */
  readonly createMessageId: string
  readonly expiresMs?: number | undefined
  /** Where the initiator takes what is sent to it; absent: on back-channels. */
  readonly endpoint?: Endpoint | undefined
  /** Initiator. */
  readonly url?: string | undefined
  readonly name?: string | undefined
  /** The lane that this one goes on for. */
  readonly movedFrom?: LaneId | undefined
  readonly offerOnRepeat?: 'same' | 'new' | undefined
  readonly ackRequestedOnOneWay?: boolean | undefined
  readonly window?: number | undefined
  readonly closeEmpty?: boolean | undefined
  /** Responder: who made the sequence, in which versions and under which protection, which it keeps for life. */
  readonly principal?: Principal | undefined
  readonly soap?: '1.1' | '1.2' | undefined
  readonly addressing?: '200508' | '200408' | undefined
  readonly protection?: 'message' | 'transport' | undefined
  readonly sequence?: SequenceId | undefined
  readonly offered?: SequenceId | undefined
  readonly offeredExpiresMs?: number | undefined
  /** Where the Source of the request sequence shall send acknowledgements of replies: present when the offer was accepted. */
  readonly acksTo?: string | undefined
}
/** The head's row. */
export interface LaneHead { readonly facts: LaneFacts; readonly source: SourceSnapshot; readonly destination: DestinationSnapshot }

/** An inbound message is answered to where it says, `relatesTo` its MessageID; what came as an answer is itself the answer to `about`. */
interface Carrier { readonly to?: Place | undefined; readonly messageId?: string | undefined; readonly about?: About | undefined }
export type LaneEvent =
  | ({ readonly kind: 'made' } & Carrier)
  | { readonly kind: 'submit'; readonly content: Content; readonly shape: 'one-way' | 'request'; readonly key: string; readonly digest: string }
  | ({ readonly kind: 'acknowledgement'; readonly acknowledgement: ReceivedAcknowledgement; /** The message that carried it says nothing else. */ readonly alone: boolean } & Carrier)
  | ({ readonly kind: 'ack-requested'; readonly sequence: SequenceId } & Carrier)
  | ({ readonly kind: 'received'; readonly received: Received; readonly shape: 'one-way' | 'request'; readonly digest: string; readonly resumes?: boolean | undefined } & Carrier)
  | ({ readonly kind: 'release'; readonly number: number } & Carrier)
  | { readonly kind: 'consumed'; readonly number: number; readonly reply?: Content | undefined; readonly to?: BackChannel | undefined }
  /** The peer asks for what waits in its mailbox; `others`: more waits in other lanes. */
  | { readonly kind: 'polled'; readonly to: BackChannel; readonly others: boolean }
  | { readonly kind: 'close' }
  | { readonly kind: 'hint'; readonly hint: Hint | { readonly kind: 'exchange-over' }; readonly about?: About | undefined }
  | { readonly kind: 'pace'; readonly window?: number | undefined }
  /** The messages that a successor may have are its own from here on. */
  | { readonly kind: 'move'; readonly to: LaneId; readonly doubtful: 'stay' | 'move'; readonly behind: 'leave' | 'close' }
  | { readonly kind: 'time' }

/** A turn of a lane; `holds` are back-channels that wait for the reply to a request. */
export interface LaneTurn extends Turn { readonly holds: Hold[] }
export interface Hold { readonly number: number; readonly to: BackChannel; /** Nobody has told the peer yet that it was accepted. */ readonly unsaid: boolean; readonly messageId?: string | undefined }

export interface LaneSettings { readonly timing: RmTiming; readonly limits: Limits; readonly mint: () => string }

export class Lane {
  readonly facts: LaneFacts
  readonly rm: RmVersion
  readonly source: Source
  readonly destination: Destination
  readonly #settings: LaneSettings
  readonly #url: string | undefined
  readonly #mailbox: { readonly address: string; readonly poller: Poller } | undefined

  constructor(facts: LaneFacts, settings: LaneSettings, now: number, from?: { readonly head: LaneHead; readonly sent: Iterable<SentRow>; readonly received: Iterable<ReceivedRow> }) {
    this.facts = facts
    this.#settings = settings
    this.rm = facts.rm === '1.0' ? RM10 : RM11
    const isInitiator = facts.role === 'initiator'
    const { endpoint } = facts
    this.#url = isInitiator ? facts.url : endpoint?.kind === 'address' ? endpoint.address : undefined
    this.#mailbox = isInitiator && endpoint?.kind === 'make-connection' ? { address: endpoint.address, poller: new Poller(settings.timing) } : undefined
    const common = { lane: facts.lane, tokenId: facts.tokenId, rm: this.rm, timing: settings.timing, url: this.#url }
    const sourceOptions = {
      ...common, role: facts.role, endpoint: isInitiator ? endpoint : undefined, createMessageId: facts.createMessageId, expiresMs: isInitiator ? facts.expiresMs : facts.offeredExpiresMs, offerOnRepeat: facts.offerOnRepeat,
      ackRequestedOnOneWay: facts.ackRequestedOnOneWay, window: facts.window, closeEmpty: facts.closeEmpty, keptReplies: settings.limits.receiveWindow, mint: settings.mint,
    }
    const destinationOptions = { ...common, limits: settings.limits, role: isInitiator ? 'replies' as const : 'requests' as const, isPolled: !isInitiator && endpoint?.kind === 'make-connection' }
    this.source = from === undefined ? new Source(sourceOptions, isInitiator && facts.offered !== undefined ? [facts.offered] : []) : Source.restore(sourceOptions, from.head.source, from.sent)
    this.destination = from === undefined ? new Destination(destinationOptions) : Destination.restore(destinationOptions, from.head.destination, from.received)
    if (from !== undefined || isInitiator) return
    this.destination.handle({ kind: 'created', sequence: facts.sequence ?? '', expiresMs: facts.expiresMs }, now)
    this.source.handle({ kind: 'created', sequence: facts.acksTo === undefined ? undefined : facts.offered, expiresMs: facts.offeredExpiresMs }, now)
  }

  get id(): LaneId { return this.facts.lane }
  get isOver(): boolean { return this.source.state === 'ended' && (this.destination.state === 'ended' || this.destination.state === 'none') }
  /** When the lane may be forgotten. */
  get purgeAt(): number { return this.isOver ? Math.max(this.source.endedAt ?? 0, this.destination.endedAt ?? 0) + this.#settings.timing.tombstoneMs : Infinity }
  get wakeAt(): number { return Math.min(this.source.wakeAt, this.destination.wakeAt, this.#mailbox?.poller.wakeAt ?? Infinity, this.purgeAt) }
  /** What the peer's mailbox holds of this lane: replies, or else an acknowledgement. */
  waiting(now: number): number { return this.source.waiting(now) || (this.destination.owes ? 1 : 0) }
  /** The sequences that the peer may name to us, under the lane's token. */
  get sequences(): readonly SequenceId[] {
    const names = new Set<SequenceId>()
    if (this.source.sequence !== undefined) names.add(this.source.sequence)
    if (this.destination.sequence !== undefined) names.add(this.destination.sequence)
    // Until the first reply any of our offers may be the one that was taken.
    if (this.facts.role === 'initiator' && this.destination.state !== 'none' && this.destination.accepted.length === 0) for (const offer of this.source.offers) names.add(offer)
    return [...names]
  }
  head(): LaneHead { return { facts: this.facts, source: this.source.snapshot(), destination: this.destination.snapshot() } }
  headRow(): { readonly key: string; readonly value: Uint8Array } { return { key: headKey(this.id), value: encodeRow(this.head()) } }

  /** @throws {UsageError} what a caller asked for is refused in this state; nothing has changed */
  handle(event: LaneEvent, now: number): LaneTurn {
    const turn: LaneTurn = { ...emptyTurn(), holds: [] }
    this.#take(event, now, turn)
    this.#endTogether(now, turn)
    this.#poll(event, now, turn)
    this.#carry(turn)
    return turn
  }

  #take(event: LaneEvent, now: number, turn: LaneTurn): void {
    switch (event.kind) {
      case 'made': return this.#made(event, now, turn)
      case 'submit': return this.#add(turn, this.source.handle(event, now))
      case 'acknowledgement': return this.#acknowledged(event, now, turn)
      case 'ack-requested': return this.#ackRequested(event, now, turn)
      case 'received': return this.#received(event, now, turn)
      case 'release': return this.#say({ kind: 'acknowledgement' }, event, turn)
      case 'consumed': return this.#consumed(event, now, turn)
      case 'polled': return this.#polled(event, now, turn)
      case 'close': return this.#add(turn, this.source.handle(event, now))
      case 'hint': case 'pace': return this.#add(turn, this.source.handle(event, now))
      case 'move': return this.#move(event, now, turn)
      case 'time': return this.#time(now, turn)
    }
  }

  /** The lane was made, or the peer asks for it again: the initiator asks for its sequence, the responder names it. */
  #made(event: LaneEvent & { kind: 'made' }, now: number, turn: LaneTurn): void {
    if (this.facts.role === 'initiator') return this.#time(now, turn)
    const { sequence, expiresMs, acksTo } = this.facts
    if (this.isOver) return this.#say({ kind: 'fault', fault: FAULTS.createSequenceRefused }, event, turn)
    this.#say({
      kind: 'create-sequence-response', sequence: sequence ?? '', ...(expiresMs === undefined ? {} : { expiresMs }), ...(acksTo === undefined ? {} : { accept: { acksTo } }),
    }, event, turn)
  }
  #acknowledged(event: LaneEvent & { kind: 'acknowledgement' }, now: number, turn: LaneTurn): void {
    const { last, state } = this.source
    const { sequence } = event.acknowledgement
    if (sequence !== this.source.sequence || state === 'creating') return this.#say({ kind: 'fault', fault: FAULTS.unknownSequence, sequence }, event, turn)
    try {
      const spans = acknowledgedSpans(event.acknowledgement, { last, maxRanges: this.#settings.limits.ackRanges, zeroMeansNone: !this.rm.hasNoneAndFinal })
      // Numbers to be sent again are looked at only where they were given.
      const nacks = event.acknowledgement.nacks.filter((number) => number >= 1n && number <= BigInt(last)).map(Number)
      const answering = event.alone && event.about?.kind === 'application' ? event.about.number : undefined
      this.#add(turn, this.source.handle({ kind: 'acknowledged', spans, nacks, final: event.acknowledgement.final, answering }, now))
    } catch (error) {
      if (!(error instanceof PeerViolation)) throw error
      turn.settle.push({ kind: 'alarm', error })
      // The fault answers the header that broke the rule; what else the message carries is worked on as usual.
      this.#say({ kind: 'fault', fault: error.fault, sequence, offending: event.acknowledgement }, event, turn)
    }
  }

  #ackRequested(event: LaneEvent & { kind: 'ack-requested' }, now: number, turn: LaneTurn): void {
    const { sequence } = event
    if (sequence !== this.destination.sequence || this.destination.state === 'none') return this.#say({ kind: 'fault', fault: FAULTS.unknownSequence, sequence }, event, turn)
    this.#add(turn, this.destination.handle({ kind: 'ack-requested', to: event.to, messageId: event.messageId }, now))
  }

  #received(event: LaneEvent & { kind: 'received' }, now: number, turn: LaneTurn): void {
    const { received } = event
    const { body } = received
    switch (body.kind) {
      case 'create-sequence-response': return this.#created(body, now, turn)
      case 'close-sequence': case 'terminate-sequence': return this.#ending(event, body, now, turn)
      case 'close-sequence-response':
        if (body.sequence === this.source.sequence && this.source.state !== 'creating') this.#add(turn, this.source.handle({ kind: 'closed' }, now))
        return
      case 'terminate-sequence-response':
        if (body.sequence === this.source.sequence && this.source.state !== 'creating') this.#add(turn, this.source.handle({ kind: 'terminated', by: 'answer' }, now))
        return
      case 'fault':
        if (body.fault.rmFault !== undefined) return this.#fault(body.fault.rmFault, event, body.fault.sequence, now, turn)
        break
      case 'application': case 'empty': break
      default: return
    }
    if (received.sequence === undefined) return this.#unnumbered(event, now, turn)
    if (this.facts.role === 'initiator') this.#numberedReply(event, received.sequence, now, turn)
    else this.#numberedRequest(event, received.sequence, now, turn)
  }
  #created(body: Received['body'] & { kind: 'create-sequence-response' }, now: number, turn: LaneTurn): void {
    if (this.facts.role !== 'initiator' || this.source.state !== 'creating') return
    const offer = this.source.offers.at(-1)
    // Peer CXF 4: an offer is refused by an Accept whose AcksTo is the none address.
    const isOfferTaken = offer !== undefined && body.accept !== undefined && body.accept.acksTo.kind !== 'none'
    this.#add(turn, this.source.handle({ kind: 'created', sequence: body.sequence, expiresMs: body.expiresMs, isOfferTaken }, now))
    if (isOfferTaken) this.#add(turn, this.destination.handle({ kind: 'created', sequence: offer, expiresMs: this.facts.expiresMs }, now))
  }
  /** CloseSequence and TerminateSequence, of the sequence that we receive on, or of ours by a peer that wants no more of it. */
  #ending(event: LaneEvent & { kind: 'received' }, body: Received['body'] & { kind: 'close-sequence' | 'terminate-sequence' }, now: number, turn: LaneTurn): void {
    const isClose = body.kind === 'close-sequence'
    const messageId = event.received.messageId
    if (body.sequence !== this.source.sequence) {
      if (this.destination.state === 'none') return
      this.#add(turn, this.destination.handle({ kind: isClose ? 'close' : 'terminate', lastNumber: body.lastNumber, to: event.to, messageId }, now))
      if (!isClose) this.#endOther(event, turn)
    } else {
      if (this.source.state === 'creating') return
      // The responder's Source ends with the sequence of the requests, so that closing it alone changes nothing there.
      if (this.facts.role === 'initiator') this.#add(turn, this.source.handle(isClose ? { kind: 'fault', name: 'SequenceClosed' } : { kind: 'terminated', by: 'peer' }, now))
      if (isClose || this.rm.hasTerminateResponse) this.#say({ kind: isClose ? 'close-sequence-response' : 'terminate-sequence-response', sequence: body.sequence }, { ...event, messageId }, turn)
    }
    // RM 1.0 has no answer to TerminateSequence: peers answer it with their own.
    if (!isClose && !this.rm.hasTerminateResponse && event.about?.kind === 'terminate-sequence') this.#add(turn, this.source.handle({ kind: 'terminated', by: 'answer' }, now))
  }
  /** RM 1.0 has no answer to TerminateSequence. Peers Metro, CXF, Sandesha2 say then that the other sequence of the pair has ended too; peer WCF waits for it. */
  #endOther({ to, received }: LaneEvent & { kind: 'received' }, turn: LaneTurn): void {
    const { messageId, replyTo } = received
    // Peer CXF 4: in the transport profile it takes that for a request of its own service, and refuses it.
    if (this.facts.protection === 'transport') return
    if (this.rm.hasTerminateResponse || this.facts.role !== 'responder' || this.#url !== undefined || this.source.sequence === undefined) return
    if (to?.kind === 'exchange' && messageId !== undefined && replyTo.kind !== 'none') this.#say({ kind: 'terminate-sequence', sequence: this.source.sequence }, { to, messageId }, turn)
  }
  #move({ to, doubtful, behind }: LaneEvent & { kind: 'move' }, now: number, turn: LaneTurn): void {
    this.#add(turn, this.source.handle({ kind: 'moved', to, numbers: this.source.movable(doubtful).map(({ number }) => number), behind }, now))
  }
  #fault(name: string, { resumes, received }: LaneEvent & { kind: 'received' }, sequence: SequenceId | undefined, now: number, turn: LaneTurn): void {
    const isOver = name === 'SequenceTerminated' || name === 'UnknownSequence'
    if (this.facts.role === 'responder' && (sequence === undefined || sequence === this.destination.sequence)) {
      // WS-RM 1.1 §4.1: the Source of what we receive has given the sequence up.
      if (isOver) this.#add(turn, this.destination.handle({ kind: 'terminate' }, now))
      return
    }
    if (name === 'CreateSequenceRefused') {
      // Of another CreateSequence it says nothing of this one.
      const isOurs = received.relatesTo === undefined || received.relatesTo === this.facts.createMessageId
      if (isOurs && this.facts.role === 'initiator' && this.source.state === 'creating') this.#add(turn, this.source.handle({ kind: 'refused', reason: 'the peer refused to create the sequence' }, now))
      return
    }
    // Peer WCF: a pair ends as one, by the name of either. A fault about any other sequence says nothing of these.
    const isOfPair = isOver && this.facts.role === 'initiator' && sequence === this.destination.sequence
    if (sequence !== undefined && sequence !== this.source.sequence && !isOfPair) return
    this.#add(turn, this.source.handle({ kind: 'fault', name, resumes }, now))
  }
  /** A reply outside of any sequence: from a peer that was offered none, or took none. */
  #unnumbered(event: LaneEvent & { kind: 'received' }, now: number, turn: LaneTurn): void {
    if (this.facts.role !== 'initiator' || this.source.state === 'creating') return
    const reply = replyOf(event.received)
    if (reply === undefined) {
      // An answer with an empty Body: nothing but its headers.
      return
    }
    const number = this.#requestOf(event)
    if (number !== undefined) {
      const isAccepted = this.source.acknowledged.some(([lower, upper]) => lower <= number && number <= upper)
      this.#add(turn, this.source.handle({ kind: 'replied', number, reply }, now))
      // Where replies have numbers, a fault without one was made before RM had the message. Peers Metro, WCF: the application's own have them.
      if ('fault' in reply && !isAccepted && this.destination.state !== 'none') this.#add(turn, this.source.handle({ kind: 'fault', name: GAP, resumes: event.resumes }, now))
    } else if ('fault' in reply) this.#add(turn, this.source.handle({ kind: 'hint', hint: { kind: 'exchange-over' }, about: event.about }, now))
  }
  #numberedReply(event: LaneEvent & { kind: 'received' }, sequence: NonNullable<Received['sequence']>, now: number, turn: LaneTurn): void {
    if (this.destination.state === 'none') return
    if (sequence.id !== this.destination.sequence && this.destination.accepted.length === 0) this.#add(turn, this.destination.handle({ kind: 'created', sequence: sequence.id }, now))
    if (sequence.id !== this.destination.sequence) return
    const { received } = event
    const reply = replyOf(received)
    const message = reply === undefined ? undefined : messageOf(received, 'content' in reply ? reply.content : emptyContent(received), 'one-way')
    const inner = this.destination.handle({ kind: 'message', number: sequence.number, last: sequence.last, message, digest: event.digest, messageId: received.messageId }, now)
    const isNew = inner.deliver.splice(0).length > 0
    this.#add(turn, inner)
    if (!isNew || reply === undefined) return
    const number = this.#requestOf(event)
    if (number !== undefined) this.#add(turn, this.source.handle({ kind: 'replied', number, reply }, now))
  }
  /** The request that a reply answers: by RelatesTo; peer Metro 4: a fault may have made that up, then by the exchange that brought it. What relates to another message of ours answers that one. */
  #requestOf(event: LaneEvent & { kind: 'received' }): number | undefined {
    const { relatesTo, body } = event.received
    const named = relatesTo === undefined ? undefined : this.source.requestOf(relatesTo)
    if (named !== undefined) return named
    const isOfAnother = relatesTo !== undefined && this.source.sentAs(relatesTo)
    return body.kind === 'fault' && !isOfAnother && event.about?.kind === 'application' ? event.about.number : undefined
  }
  #numberedRequest(event: LaneEvent & { kind: 'received' }, sequence: NonNullable<Received['sequence']>, now: number, turn: LaneTurn): void {
    const { received, to, shape } = event
    const exchange = to?.kind === 'exchange' ? to : undefined
    const { messageId } = received
    // The other name of the pair is that of our replies: nothing is received on it.
    if (sequence.id !== this.destination.sequence) return this.#say({ kind: 'fault', fault: FAULTS.unknownSequence, sequence: sequence.id }, { to, messageId }, turn)
    const number = Number(sequence.number)
    const isNew = !this.destination.has(number)
    const asks = received.ackRequested.some((id) => id === sequence.id)
    // A client that never acknowledges replies gets no further ones: each is kept until it does. WS-RM 1.1 §3.8: if it asks, it is told.
    if (isNew && shape === 'request' && this.source.sequence !== undefined && this.source.pendingCount >= this.#settings.limits.receiveWindow) {
      return asks ? this.#add(turn, this.destination.handle({ kind: 'ack-requested', to, messageId }, now)) : undefined
    }
    const reply = replyOf(received)
    const message = reply !== undefined && 'content' in reply ? messageOf(received, reply.content, shape) : undefined
    const inner = this.destination.handle({ kind: 'message', number: sequence.number, last: sequence.last, message, digest: event.digest, to, messageId }, now)
    if (isNew && message?.shape === 'one-way' && exchange !== undefined && this.#isBehind(number)) {
      // The application is behind: the exchange waits until it has come to this message, and so does a sender that has only so many.
      inner.transmit.length = 0
      turn.holds.push({ number, to: exchange, unsaid: true, messageId })
    }
    this.#add(turn, inner)
    this.#complete(now, turn)
    if (message?.shape !== 'request' || inner.transmit.length > 0 || !this.destination.has(number)) return
    // D25: the reply is kept until it is acknowledged, and a repeated request gets it again.
    if (this.source.keepsReplyTo(number)) return this.#add(turn, this.source.handle({ kind: 'polled', to, answers: number }, now))
    if (exchange === undefined) return
    if (number <= this.destination.consumed) return this.#say({ kind: 'acknowledgement' }, { to, messageId }, turn)
    // Where replies have numbers, an answer without one would be taken for an empty reply: what says that the request has come is the reply itself.
    turn.holds.push({ number, to: exchange, unsaid: (isNew || asks) && this.source.sequence === undefined, messageId })
  }
  #isBehind(number: number): boolean { return this.destination.has(number) && this.destination.waiting > this.#settings.limits.receiveWindow / 4 }
  #consumed(event: LaneEvent & { kind: 'consumed' }, now: number, turn: LaneTurn): void {
    const message = this.destination.row(event.number)?.message
    if (event.number !== this.destination.consumed + 1 || message === undefined) return
    this.#add(turn, this.destination.handle({ kind: 'consumed', number: event.number }, now))
    const { to, reply } = event
    const canReply = message.shape === 'request' && reply !== undefined && this.source.state === 'open'
    if (canReply) this.#add(turn, this.source.handle({ kind: 'submit', content: reply, shape: 'reply', key: `reply ${event.number}`, digest: '', answers: event.number, to }, now))
    else if (to !== undefined) this.#say({ kind: 'acknowledgement' }, { to, messageId: message.content.messageId || undefined }, turn)
    this.#complete(now, turn)
  }
  /** Peer Sandesha2: in RM 1.0 whoever has read the last request sends its own last message, and ends its own sequence. Only where it can be heard by itself. */
  #complete(now: number, turn: LaneTurn): void {
    const ends = this.rm.hasLastMessage && this.#url !== undefined && this.source.sequence !== undefined && this.source.state === 'open' && this.destination.isComplete
    if (ends) this.#add(turn, this.source.handle({ kind: 'close' }, now))
  }
  /** WS-MakeConnection §3.2, §3.3: the oldest message that waits, and whether there are more. */
  #polled({ to, others }: LaneEvent & { kind: 'polled' }, now: number, turn: LaneTurn): void {
    const inner = this.source.handle({ kind: 'polled', to }, now)
    this.#add(turn, inner)
    if (inner.transmit.length === 0 && this.destination.owes) this.#say({ kind: 'acknowledgement' }, { to }, turn)
    const pending = others || this.source.waiting(now) > 0
    for (const [index, outbound] of turn.transmit.entries()) turn.transmit[index] = { ...outbound, pending }
  }
  /** The initiator asks for what waits for it, while it waits for something. */
  #poll(event: LaneEvent, now: number, turn: LaneTurn): void {
    if (this.#mailbox === undefined) return
    const { address, poller } = this.#mailbox
    const isAbout = 'about' in event && event.about?.kind === 'make-connection'
    if (isAbout && event.kind === 'received') poller.brought(event.received.pending ?? false)
    poller.await(this.source.awaits, now)
    if (turn.transmit.some(({ to, body }) => to.kind === 'endpoint' && body.kind === 'application')) poller.hasten(now)
    if (isAbout && event.kind === 'hint' && event.hint.kind === 'exchange-over') poller.over(now)
    if (poller.isDue(now)) this.#post({ kind: 'make-connection', address }, turn)
  }
  /** What is sent once, and answers nothing. */
  #post(body: OutboundBody, turn: LaneTurn): void {
    turn.transmit.push({ lane: this.id, tokenId: this.facts.tokenId, to: { kind: 'endpoint', url: this.#url ?? '' }, body, messageId: this.#settings.mint(), acknowledgements: [], ackRequested: [] })
  }
  #time(now: number, turn: LaneTurn): void {
    this.#add(turn, this.source.handle({ kind: 'time' }, now))
    this.#add(turn, this.destination.handle({ kind: 'time' }, now))
  }

  /** A pair lives and ends together: the sequence of the requests decides. */
  #endTogether(now: number, turn: LaneTurn): void {
    if (this.facts.role === 'responder') {
      if (this.destination.state !== 'ended' || this.source.state === 'ended') return
      // Peer Sandesha2: in RM 1.0 a TerminateSequence is answered with one's own, though the last message is not acknowledged yet.
      if (this.source.state === 'draining' && this.rm.hasLastMessage) this.#post({ kind: 'terminate-sequence', sequence: this.source.sequence ?? '' }, turn)
      this.#add(turn, this.source.handle({ kind: 'terminated', by: 'peer' }, now))
      return
    }
    if (this.source.state === 'ended' && this.destination.state !== 'none' && this.destination.state !== 'ended') this.#add(turn, this.destination.handle({ kind: 'terminate' }, now))
  }
  /** WS-RM 1.1 §3.9: an acknowledgement rides on whatever goes to the peer; one header for a sequence, one sequence that we receive on. */
  #carry(turn: LaneTurn): void {
    for (const [index, outbound] of turn.transmit.entries()) {
      if (SILENT.has(outbound.body.kind)) continue
      const acknowledgement = this.#acknowledgement()
      if (acknowledgement === undefined) continue
      turn.transmit[index] = { ...outbound, acknowledgements: [acknowledgement] }
      this.destination.carried()
    }
  }
  #acknowledgement(): Acknowledgement | undefined {
    const acknowledgement = this.destination.acknowledgement()
    if (acknowledgement === undefined || this.facts.role === 'responder') return acknowledgement
    // Closing the requests closes the replies: what we say of them from here on is final.
    const isFinal = this.source.state === 'closing' || this.source.state === 'terminating' || this.source.state === 'ended'
    return { ...acknowledgement, final: acknowledgement.final || (isFinal && this.rm.hasNoneAndFinal) }
  }
  #say(body: OutboundBody, carrier: Carrier, turn: LaneTurn): void {
    const { messageId } = carrier
    // A complaint about an answer has nowhere to go but into a new connection, which would ask for the next complaint.
    const to: Place | undefined = carrier.to ?? (this.#url === undefined || body.kind === 'fault' ? undefined : { kind: 'endpoint', url: this.#url })
    if (to === undefined) return
    const outbound: Outbound = {
      lane: this.id, tokenId: this.facts.tokenId, to, body, ...(messageId === undefined ? {} : { relatesTo: messageId }), acknowledgements: [], ackRequested: [],
    }
    turn.transmit.push(outbound)
  }
  #add(turn: LaneTurn, inner: Turn): void {
    turn.persist.push(...inner.persist)
    turn.transmit.push(...inner.transmit)
    turn.deliver.push(...inner.deliver)
    turn.settle.push(...inner.settle)
  }
}

/** What carries no acknowledgement: the sequence is not there yet, or the fault says itself what there is to say. */
const SILENT: ReadonlySet<OutboundBody['kind']> = new Set(['create-sequence', 'create-sequence-response', 'fault'])

const emptyContent = (received: Received): Content => ({ action: received.action, messageId: received.messageId ?? '', body: '', headers: [], isFault: true })
function replyOf({ body }: Received): StoredReply | undefined {
  if (body.kind === 'application') return { content: body.content }
  return body.kind === 'fault' ? { fault: body.fault } : undefined
}
function messageOf(received: Received, content: Content, shape: 'one-way' | 'request'): ApplicationMessage {
  return { content, shape, ...(received.to === undefined ? {} : { to: received.to }), soap: received.soap, principal: received.principal, covered: received.covered }
}
