/**
 * The words of the RM Source: what it is told, what each event may lead to, and what it keeps.
 *
 * @module
 */
import type { RmVersion } from '../spec/versions.ts'
import type { TokenId } from '../sct/token.ts'
import type { RmTiming } from './timing.ts'
import type { Content, Destination as Place, Endpoint, Hint, LaneId, OutboundBody, ReceivedFault, SequenceId, Span } from './turn.ts'

export type SourceState = 'creating' | 'open' | 'full' | 'draining' | 'closing' | 'closed' | 'terminating' | 'ended'
export type SourceEvent =
  | { readonly kind: 'submit'; readonly content: Content; readonly shape: Shape; readonly key: string; readonly digest: string
      /** A reply: the number of the request, and the back-channel that waits for it, if one does. */
      readonly answers?: number; readonly to?: Place | undefined }
  | { readonly kind: 'created'; readonly sequence: SequenceId | undefined; readonly expiresMs?: number | undefined
      /** The peer's replies have numbers, so that it repeats them by itself. */
      readonly isOfferTaken?: boolean }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'acknowledged'; readonly spans: readonly Span[]; readonly nacks: readonly number[]; readonly final: boolean
      /** The number of the message in whose answer this came, when the answer had nothing more to say. */
      readonly answering?: number | undefined }
  | { readonly kind: 'replied'; readonly number: number; readonly reply: StoredReply }
  | { readonly kind: 'close' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'terminated'; readonly by: 'answer' | 'peer' }
  /** `resumes`: the conversation goes on elsewhere when the peer has lost the sequence. */
  | { readonly kind: 'fault'; readonly name: string; readonly resumes?: boolean | undefined }
  | { readonly kind: 'hint'; readonly hint: Hint | { readonly kind: 'exchange-over' }; readonly about?: About | undefined }
  /** Somebody opened a back-channel, for the reply to a request or for whatever waits; or asked again for a reply that goes elsewhere. */
  | { readonly kind: 'polled'; readonly to?: Place | undefined; readonly answers?: number }
  /** Messages under way at once; absent: as usual. 0 lets what was sent come to its end before a move. */
  | { readonly kind: 'pace'; readonly window?: number | undefined }
  /** These messages are another lane's now; what stays is given up, or, where nothing is left, the sequence is closed. */
  | { readonly kind: 'moved'; readonly to: LaneId; readonly numbers: readonly number[]; readonly behind: 'leave' | 'close' }
  | { readonly kind: 'time' }
/** Of a fault that refuses one message before the peer has accepted it: the sequence has a gap from there on, behind which a peer may hand nothing over. */
export const GAP = 'gap'
export type SourceEventKind = SourceEvent['kind']
export type Shape = 'one-way' | 'request' | 'reply'
export type StoredReply = { readonly content: Content } | { readonly fault: ReceivedFault }
/** Which of our messages a hint is about. */
export interface About { readonly kind: OutboundBody['kind']; readonly number?: number | undefined }

/** What each event may lead to. A pair that is not here is refused; a step that is not here is a defect and stops the lane. */
export const SOURCE_TABLE: SourceTable = {
  creating: { submit: ['creating'], created: ['open', 'draining', 'closing', 'terminating'], refused: ['ended'], close: ['creating'], fault: ['creating'], hint: ['creating'], pace: ['creating'], moved: ['ended'], time: ['creating', 'ended'] },
  open: {
    submit: ['open', 'full'], created: ['open'], refused: ['open'], acknowledged: ['open', 'closed', 'terminating'], replied: ['open'], close: ['draining', 'closing', 'terminating'], closed: ['open'],
    terminated: ['open', 'ended'], fault: ['open', 'full', 'closed', 'terminating', 'ended'], hint: ['open'], polled: ['open'], pace: ['open'], moved: ['draining', 'closing', 'terminating', 'ended'], time: ['open', 'ended'],
  },
  full: {
    created: ['full'], refused: ['full'], acknowledged: ['full', 'closed', 'terminating'], replied: ['full'], close: ['draining', 'closing', 'terminating'], closed: ['full'],
    terminated: ['full', 'ended'], fault: ['full', 'closed', 'terminating', 'ended'], hint: ['full'], polled: ['full'], pace: ['full'], moved: ['closing', 'terminating', 'ended'], time: ['full', 'ended'],
  },
  draining: {
    created: ['draining'], refused: ['draining'], acknowledged: ['draining', 'closing', 'closed', 'terminating'], replied: ['draining', 'closing', 'terminating'], close: ['draining'], closed: ['draining'],
    terminated: ['draining', 'ended'], fault: ['draining', 'closed', 'terminating', 'ended'], hint: ['draining'], polled: ['draining'], pace: ['draining'], moved: ['ended'], time: ['draining', 'closing', 'terminating', 'ended'],
  },
  closing: {
    created: ['closing'], refused: ['closing'], acknowledged: ['closing', 'terminating'], replied: ['closing'], close: ['closing'], closed: ['terminating'],
    terminated: ['closing', 'ended'], fault: ['closing', 'terminating', 'ended'], hint: ['closing'], polled: ['closing'], pace: ['closing'], time: ['closing', 'terminating', 'ended'],
  },
  closed: {
    created: ['closed'], refused: ['closed'], acknowledged: ['closed', 'terminating'], replied: ['closed', 'terminating'], close: ['closed'], closed: ['closed'],
    terminated: ['closed', 'ended'], fault: ['closed', 'ended'], hint: ['closed'], polled: ['closed'], pace: ['closed'], moved: ['ended'], time: ['closed', 'terminating', 'ended'],
  },
  terminating: {
    created: ['terminating'], refused: ['terminating'], acknowledged: ['terminating'], replied: ['terminating'], close: ['terminating'], closed: ['terminating'],
    terminated: ['ended'], fault: ['terminating', 'ended'], hint: ['terminating', 'ended'], polled: ['terminating'], pace: ['terminating'], time: ['terminating', 'ended'],
  },
  ended: {
    created: ['ended'], refused: ['ended'], acknowledged: ['ended'], replied: ['ended'], close: ['ended'], closed: ['ended'],
    terminated: ['ended'], fault: ['ended'], hint: ['ended'], polled: ['ended'], pace: ['ended'], moved: ['ended'], time: ['ended'],
  },
}
export type SourceTable = Readonly<Record<SourceState, Readonly<Partial<Record<SourceEventKind, readonly SourceState[]>>>>>

export interface SourceOptions {
  readonly lane: LaneId
  readonly tokenId: TokenId
  readonly rm: RmVersion
  readonly timing: RmTiming
  readonly role: 'initiator' | 'responder'
  /** Where it connects to. Absent: it only answers. */
  readonly url?: string | undefined
  /** Initiator: where its peer is to send to. */
  readonly endpoint?: Endpoint | undefined
  /** wsa:MessageID of the CreateSequence, the same at every repetition. */
  readonly createMessageId?: string | undefined
  readonly expiresMs?: number | undefined
  readonly offerOnRepeat?: 'same' | 'new' | undefined
  readonly ackRequestedOnOneWay?: boolean | undefined
  /** Messages under way at once; absent: as the timing says. */
  readonly window?: number | undefined
  /** False: a sequence in which nothing was sent is terminated without being closed. */
  readonly closeEmpty?: boolean | undefined
  /** The most replies without a number that are kept for a repeated request. */
  readonly keptReplies?: number | undefined
  readonly maxNumber?: number | undefined
  /** New identifiers, for offers and for the MessageIDs of control messages. */
  readonly mint: () => string
}

/** What the head keeps. */
export interface SourceSnapshot {
  readonly state: SourceState
  readonly sequence?: SequenceId | undefined
  readonly last: number
  /**
   * Initiator: what is above it has never left; first sendings go in order. In the store before the message is on its way, for a whole window at
   * a time: a backlog is not to cost one more commit for each message.
   */
  readonly sent?: number | undefined
  readonly acknowledged: readonly Span[]
  readonly offers: readonly SequenceId[]
  readonly controlId?: string | undefined
  readonly repliesCome?: boolean | undefined
  readonly closeWanted?: boolean | undefined
  readonly expiresAt?: number | undefined
  readonly endedAt?: number | undefined
  readonly outcome?: Outcome | undefined
  readonly movedTo?: Succession | undefined
}
/** `moved`: the conversation went on on another sequence. */
export type Outcome = 'terminated' | 'refused' | 'faulted' | 'expired' | 'silent' | 'moved'
/** The lane that goes on, and which numbers it took over: they are 1, 2, … there, in this order. */
export interface Succession { readonly lane: LaneId; readonly numbers: readonly Span[] }
/** One row of what was sent; `content` until it is settled, and for what was lost. */
export interface SentRow {
  readonly number: number
  readonly shape: Shape | 'last'
  readonly key: string
  readonly digest: string
  readonly answers?: number | undefined
  readonly content?: Content | undefined
  readonly settled?: Settled | undefined
  readonly reply?: StoredReply | undefined
}
export type Settled = 'acknowledged' | 'replied' | 'lost' | 'reply-lost'
export interface SentStatus { readonly number: number; readonly digest: string; readonly shape: Shape | 'last'; readonly acknowledged: boolean; readonly settled?: Settled | undefined }
