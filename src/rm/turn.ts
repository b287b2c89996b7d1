/**
 * The words between the machines and the outside: what happened (events, received words) and what shall be done (a Turn).
 * No XML, no sockets, no keys: identifiers, numbers, states.
 *
 * @module
 */
import type { Principal, TokenId } from '../sct/token.ts'
import type { FaultRow } from '../errors.ts'
import { storeKey, type Write } from '../store/store.ts'

/** wsrm:Identifier: any string up to 1,024 characters, compared by code point. */
export type SequenceId = string
/** A sequence pair, by a name of our own: it exists before the peer names the sequence and survives a crash there. */
export type LaneId = string & { readonly [laneBrand]: true }
declare const laneBrand: unique symbol
/** An inbound HTTP request that waits for its response. */
export type ExchangeId = string

/** What the application sends, before protection: this, sealed, is what the store keeps (D4). */
export interface Content {
  readonly action: string
  readonly messageId: string
  /** A reply or a fault: the MessageID that it answers. */
  readonly relatesTo?: string
  /** Canonical XML of the element inside Body; '' for an empty Body. */
  readonly body: string
  /** Canonical XML of further header blocks. */
  readonly headers: readonly string[]
  /** True when the body is a SOAP fault that answers a request. */
  readonly isFault?: boolean
}

/** [lower, upper], both inclusive, ascending and apart. */
export type Span = readonly [lower: number, upper: number]
export interface Acknowledgement {
  readonly sequence: SequenceId
  readonly ranges: readonly Span[]
  readonly nacks?: readonly number[]
  /** True when the sequence is closed and this will not change. */
  readonly final: boolean
}

/** Where the initiator of a sequence pair takes what is sent to it: on back-channels alone, in a mailbox that it asks for (WS-MakeConnection), at an address. */
export type Endpoint = { readonly kind: 'anonymous' } | { readonly kind: 'make-connection' | 'address'; readonly address: string }
/** What may be written into AcksTo, ReplyTo and Endpoint of this one: the same word in each. */
export const addressOf = (endpoint: Endpoint | undefined): 'anonymous' | (string & {}) => (endpoint === undefined || endpoint.kind === 'anonymous' ? 'anonymous' : endpoint.address)

/** The back-channel of an exchange of the same sequence pair; `address` is whom it is said to when that is not just anybody: the mailbox. */
export interface BackChannel { readonly kind: 'exchange'; readonly exchange: ExchangeId; readonly address?: string }
/** Where a message goes: an address of the peer, or a back-channel. */
export type Destination = { readonly kind: 'endpoint'; readonly url: string } | BackChannel

export type OutboundBody =
  | { readonly kind: 'create-sequence'; readonly acksTo: 'anonymous' | string; readonly expiresMs?: number; readonly offer?: { readonly sequence: SequenceId; readonly expiresMs?: number } }
  | { readonly kind: 'create-sequence-response'; readonly sequence: SequenceId; readonly expiresMs?: number; readonly accept?: { readonly acksTo: string } }
  | { readonly kind: 'application'; readonly content: Content; readonly shape: 'one-way' | 'request' | 'reply' }
  | { readonly kind: 'acknowledgement' }
  | { readonly kind: 'ack-requested' }
  | { readonly kind: 'close-sequence'; readonly sequence: SequenceId; readonly lastNumber?: number }
  | { readonly kind: 'close-sequence-response'; readonly sequence: SequenceId }
  | { readonly kind: 'terminate-sequence'; readonly sequence: SequenceId; readonly lastNumber?: number }
  | { readonly kind: 'terminate-sequence-response'; readonly sequence: SequenceId }
  | { readonly kind: 'last-message' }
  | { readonly kind: 'make-connection'; readonly address: string }
  | { readonly kind: 'fault'; readonly fault: FaultRow; readonly sequence?: SequenceId; readonly maxNumber?: number; readonly acknowledgement?: Acknowledgement
      /** InvalidAcknowledgement: what the peer said. */
      readonly offending?: ReceivedAcknowledgement }

/** One message to send; protection is applied when it leaves, with the keys of that day. */
export interface Outbound {
  readonly lane: LaneId
  readonly tokenId: TokenId
  readonly to: Destination
  readonly body: OutboundBody
  /** wsa:MessageID; the same at every repetition. */
  readonly messageId?: string
  readonly relatesTo?: string
  /** Where an answer shall go, to what wants one; absent: the back-channel. */
  readonly replyTo?: string
  readonly sequence?: { readonly id: SequenceId; readonly number: number; readonly last?: boolean }
  readonly acknowledgements: readonly Acknowledgement[]
  readonly ackRequested: readonly SequenceId[]
  /** In answer to a poll: whether more waits in the mailbox. */
  readonly pending?: boolean
}

/** The words of a message whose protection was checked: everything in it was covered by `tokenId`. Only wire.decode makes it. */
export interface Received {
  readonly [receivedBrand]: true
  readonly tokenId: TokenId
  readonly principal: Principal
  readonly soap: '1.1' | '1.2'
  readonly addressing: '200508' | '200408'
  /** Its own, or that of TLS, which the token's signature is only part of. */
  readonly protection?: 'message' | 'transport'
  /** The version of the RM elements in it; undefined when it has none. */
  readonly rm: '1.0' | '1.1' | undefined
  readonly action: string
  readonly to?: string
  readonly messageId?: string
  readonly relatesTo?: string
  readonly replyTo: ReceivedAddress
  /** Absent: faults go where replies go. */
  readonly faultTo?: ReceivedAddress
  /** Names of what was signed by the token: `{ns}local`. */
  readonly covered: readonly string[]
  readonly sequence?: { readonly id: SequenceId; readonly number: bigint; readonly last: boolean }
  readonly acknowledgements: readonly ReceivedAcknowledgement[]
  readonly ackRequested: readonly SequenceId[]
  /** wsmc:MessagePending: more waits in the mailbox. */
  readonly pending?: boolean
  readonly body: ReceivedBody
}
declare const receivedBrand: unique symbol
export type ReceivedAddress = { readonly kind: 'anonymous' | 'none' | 'absent' } | { readonly kind: 'make-connection' | 'address'; readonly address: string }
export interface ReceivedAcknowledgement {
  readonly sequence: SequenceId
  readonly ranges: readonly (readonly [bigint, bigint])[]
  readonly nacks: readonly bigint[]
  readonly none: boolean
  readonly final: boolean
  /** What is wrong with it as it stands; the words are then those that could be read, to be shown and not to be used. */
  readonly invalid?: string
}
export type ReceivedBody =
  | { readonly kind: 'create-sequence'; readonly acksTo: ReceivedAddress; readonly expiresMs?: number
      readonly offer?: { readonly sequence: SequenceId; readonly endpoint?: ReceivedAddress; readonly expiresMs?: number }
      /** How the sequence was scoped: the STR resolved to the token that covers the Body ('bound'), to another ('other'), or there was none. */
      readonly scope: 'bound' | 'other' | 'absent'; readonly usesSequenceStr: boolean }
  | { readonly kind: 'create-sequence-response'; readonly sequence: SequenceId; readonly expiresMs?: number; readonly accept?: { readonly acksTo: ReceivedAddress } }
  | { readonly kind: 'close-sequence' | 'terminate-sequence'; readonly sequence: SequenceId; readonly lastNumber?: bigint }
  | { readonly kind: 'close-sequence-response' | 'terminate-sequence-response'; readonly sequence: SequenceId }
  | { readonly kind: 'make-connection'; readonly address: string }
  | { readonly kind: 'application'; readonly content: Content }
  | { readonly kind: 'empty' }
  | { readonly kind: 'fault'; readonly fault: ReceivedFault }
export interface ReceivedFault {
  readonly code: string
  /** `{ns}local` where the namespace is known. */
  readonly subcode?: string
  /** The local name of an RM subcode, from Subcode, faultcode or SequenceFault. */
  readonly rmFault?: string
  readonly sequence?: SequenceId
  readonly reason: string
  readonly detail?: string
}

/** What may be known without proof: it shortens waiting or ends a call with an error, nothing else (D9). */
export type Hint =
  | { readonly kind: 'unprotected-fault'; readonly fault: ReceivedFault }
  | { readonly kind: 'http-failure'; readonly status?: number; readonly cause?: unknown }
  | { readonly kind: 'empty-answer'; readonly status: number }
  | { readonly kind: 'refused-answer'; readonly code: string }
  /** The peer does not know the context any more, or takes it for expired; `proven`: it said so under that context. */
  | { readonly kind: 'context-fault'; readonly says: 'lost' | 'expired'; readonly code: string; readonly proven?: boolean }

/** One message for the application, in order. */
export interface Delivery { readonly lane: LaneId; readonly sequence: SequenceId; readonly number: number; readonly received: ApplicationMessage }
/** What of an accepted message is kept until it is consumed. */
export interface ApplicationMessage {
  readonly content: Content
  readonly shape: 'one-way' | 'request'
  readonly to?: string
  readonly soap: '1.1' | '1.2'
  readonly principal: Principal
  readonly covered: readonly string[]
}

/** The answer of a machine to one event, in the order in which it is carried out: one commit, then the rest (D2). */
export interface Turn {
  readonly persist: Write[]
  readonly transmit: Outbound[]
  readonly deliver: Delivery[]
  readonly settle: Settlement[]
}
export type Settlement =
  | { readonly kind: 'acknowledged'; readonly number: number }
  | { readonly kind: 'replied'; readonly number: number; readonly content: Content }
  | { readonly kind: 'failed'; readonly number: number; readonly error: Error }
  | { readonly kind: 'state'; readonly machine: 'source' | 'destination'; readonly state: string }
  | { readonly kind: 'retransmitted'; readonly number: number; readonly tries: number }
  /** The peer does not know the sequence; it stays as it is until the conversation has gone on elsewhere. */
  | { readonly kind: 'stranded' }
  /** Something that a person should hear of: a peer that breaks a rule, a message that was dropped. */
  | { readonly kind: 'alarm'; readonly error: Error }

export const emptyTurn = (): Turn => ({ persist: [], transmit: [], deliver: [], settle: [] })

/** Where a lane keeps what: its head, what it sends, what it received and has not handed over. */
export const headKey = (lane: LaneId): string => storeKey('lane', lane)
export const sentKey = (lane: LaneId, number: number): string => storeKey('msg', lane, 'sent', number)
export const receivedKey = (lane: LaneId, number: number): string => storeKey('msg', lane, 'received', number)
/** Rows hold JSON: the machines write words, the engine seals them. */
export const encodeRow = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
export const decodeRow = <T>(value: Uint8Array): T => JSON.parse(new TextDecoder().decode(value)) as T
