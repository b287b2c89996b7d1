/**
 * What the engine is given and what it says: its options, its results, its events.
 *
 * @module
 */
import type { RandomSource } from '../crypto/random.ts'
import type { Clock } from '../clock.ts'
import { UsageError } from '../errors.ts'
import type { Limits, Wait } from '../options.ts'
import type { RmVersion } from '../spec/versions.ts'
import type { Principal, TokenId } from '../sct/token.ts'
import type { SctSerializer } from '../serializer/serializer.ts'
import type { Store } from '../store/store.ts'
import type { DestinationState } from './destination.ts'
import type { MoveReport } from './engine-move.ts'
import type { Lane, LaneFacts, LaneHead } from './lane.ts'
import type { Outcome, SourceState } from './source-words.ts'
import type { RmTiming } from './timing.ts'
import type { Content, Delivery, Endpoint, ExchangeId, LaneId, Outbound, Received, SequenceId, Span } from './turn.ts'

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
  /** Whether answers may be sent to that address, for that principal; default: to none, so that whoever asks for it is refused. */
  reaches?(address: string, principal: Principal): boolean
  /** False: nobody may create a sequence here. */
  readonly takesSequences?: boolean
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
  /** Messages under way at once; default: as the timing says. */
  readonly window?: number
  readonly closeEmpty?: boolean
  /** Where the peer is to send to; default: to the back-channels. */
  readonly endpoint?: Endpoint
  /** When the peer has lost the context or the sequence, this is told as `stranded` and the lane waits for `move`; default: it ends. */
  readonly resumes?: boolean
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
  /** Where the initiator takes what is sent to it, when that is not the back-channel. */
  readonly endpoint?: Endpoint
  readonly soap?: '1.1' | '1.2'
  readonly addressing?: '200508' | '200408'
  /** At the responder: of the messages themselves, or of TLS. */
  readonly protection?: 'message' | 'transport'
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
  /** The lane that goes on in its place. */
  readonly movedTo?: LaneId
}
export interface RestoreReport { readonly lanes: number; readonly tokens: number; readonly quarantined: readonly { readonly key: string; readonly error: unknown }[] }
export type EngineEvent =
  | { readonly kind: 'state'; readonly lane: LaneId; readonly state: string }
  | { readonly kind: 'retransmit'; readonly lane: LaneId; readonly number: number; readonly tries: number }
  | { readonly kind: 'acknowledged'; readonly lane: LaneId; readonly number: number }
  | { readonly kind: 'delivered'; readonly lane: LaneId; readonly number: number }
  | { readonly kind: 'lost'; readonly lane: LaneId; readonly numbers: readonly number[]; readonly reason: string }
  | { readonly kind: 'suspended'; readonly lane: LaneId; readonly reason: string }
  /** Only `move` helps: the context is lost to the peer or has expired, or it does not know the sequence. The first two may be said by anybody (D9). */
  | { readonly kind: 'stranded'; readonly lane: LaneId; readonly why: 'lost' | 'expired' | 'sequence' }
  | { readonly kind: 'moved'; readonly lane: LaneId; readonly to: LaneId; readonly report: MoveReport }
  | { readonly kind: 'security'; readonly code: string; readonly detail?: string; readonly lane?: LaneId }
  | { readonly kind: 'error'; readonly error: Error; readonly lane?: LaneId }
export type Observe = (event: EngineEvent) => void
/** How a received message came: as an inbound request, or as the answer to one of ours. */
/** `holdMs`: how long the exchange of a request waits for the reply; absent: as the timing says. */
export type Via = { readonly kind: 'exchange'; readonly exchange: ExchangeId; readonly holdMs?: number | undefined } | { readonly kind: 'answer'; readonly lane: LaneId; readonly to: Outbound }

/** The lane of answers that belong to none: an unknown sequence, a refusal. */
export const NO_LANE: LaneId = '' as LaneId

/** As it stands in the store: what is not committed has not happened. */
export function statusOf(facts: LaneFacts, headText: string, lane: Lane | undefined): LaneStatus {
  const isInitiator = facts.role === 'initiator'
  const head = headText === '' ? undefined : JSON.parse(headText) as LaneHead
  const requests = isInitiator ? head?.source.sequence : head?.destination.sequence
  const replies = isInitiator ? head?.destination.sequence : head?.source.sequence
  return {
    lane: facts.lane, role: facts.role, tokenId: facts.tokenId, rm: facts.rm,
    ...(facts.name === undefined ? {} : { name: facts.name }), ...(facts.url === undefined ? {} : { url: facts.url }), ...(facts.endpoint === undefined ? {} : { endpoint: facts.endpoint }), ...(facts.soap === undefined ? {} : { soap: facts.soap }),
    ...(facts.addressing === undefined ? {} : { addressing: facts.addressing }), ...(facts.protection === undefined ? {} : { protection: facts.protection }), ...(facts.principal === undefined ? {} : { principal: facts.principal }),
    state: isInitiator ? head?.source.state ?? 'creating' : head?.destination.state ?? 'none',
    ...(requests === undefined ? {} : { sequence: requests }), ...(replies === undefined ? {} : { offered: replies }),
    last: head?.source.last ?? 0, acknowledged: head?.source.acknowledged ?? [], accepted: head?.destination.accepted ?? [], consumed: head?.destination.consumed ?? 0,
    ...(head?.source.movedTo === undefined ? {} : { movedTo: head.source.movedTo.lane }),
    pending: (isInitiator ? lane?.source.pendingCount : lane?.destination.waiting) ?? 0,
  }
}

export const closedError = (): UsageError => new UsageError('ERR_ENGINE_CLOSED', 'the engine was closed; what was accepted stays in the store')
export const asError = (error: unknown): Error => error instanceof Error ? error : new Error(String(error))
