/** Machines brought into each of their states by events alone, and one case for each step that a table lists. */
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { Destination, type DestinationEvent, type DestinationOptions, type DestinationState } from '../../src/rm/destination.ts'
import { Source } from '../../src/rm/source.ts'
import type { SourceEvent, SourceOptions, SourceState } from '../../src/rm/source-words.ts'
import { DEFAULT_TIMING } from '../../src/rm/timing.ts'
import type { ApplicationMessage, Content, LaneId, ReceivedFault } from '../../src/rm/turn.ts'
import type { TokenId } from '../../src/sct/token.ts'
import { RM10, RM11 } from '../../src/spec/versions.ts'

export const NOW = 1_000_000
const X = { kind: 'exchange', exchange: 'x' } as const
const LANE = 'lane' as LaneId
const TOKEN = 'urn:token' as TokenId
export const HOUR = 3_600_000

export const content = (name: string): Content => ({ action: 'urn:do', messageId: `urn:${name}`, body: `<${name}/>`, headers: [] })
let minted = 0
export const sourceWith = (options: Partial<SourceOptions> = {}): Source => new Source({
  lane: LANE, tokenId: TOKEN, rm: RM11, timing: { ...DEFAULT_TIMING, replyTries: 1, controlTries: 2, silenceMs: 600_000 }, role: 'initiator', url: 'https://service.example/', createMessageId: 'urn:create', mint: () => `urn:minted-${++minted}`, ...options,
}, ['urn:offer'])

export const submit = (key = 'a', shape: 'one-way' | 'request' = 'one-way'): SourceEvent => ({ kind: 'submit', content: content(key), shape, key, digest: key })
export const created = (expiresMs?: number): SourceEvent => ({ kind: 'created', sequence: 'urn:sequence', expiresMs })
/** The peer has taken our offer: it sends its replies by itself where it has an address for them. */
const OFFER_TAKEN: SourceEvent = { kind: 'created', sequence: 'urn:sequence', isOfferTaken: true }
export const acknowledged = (upper: number, also: { final?: boolean; answering?: number } = {}): SourceEvent => ({ kind: 'acknowledged', spans: upper > 0 ? [[1, upper]] : [], nacks: [], final: also.final ?? false, answering: also.answering })
export const replied = (number = 1): SourceEvent => ({ kind: 'replied', number, reply: { content: content('reply') } })
export const fault = (name: string): SourceEvent => ({ kind: 'fault', name })
const unprotected = (rmFault: string): ReceivedFault => ({ code: 'Sender', reason: '', rmFault })
export const hint = (rmFault = 'SequenceTerminated', about?: 'terminate-sequence'): SourceEvent => ({ kind: 'hint', hint: { kind: 'unprotected-fault', fault: unprotected(rmFault) }, ...(about === undefined ? {} : { about: { kind: about } }) })
export const CLOSE: SourceEvent = { kind: 'close' }
export const CLOSED: SourceEvent = { kind: 'closed' }
export const TIME: SourceEvent = { kind: 'time' }
export const POLLED: SourceEvent = { kind: 'polled', to: X }
export const REFUSED: SourceEvent = { kind: 'refused', reason: 'no' }
export const PACE: SourceEvent = { kind: 'pace', window: 0 }
export const moved = (behind: 'leave' | 'close' = 'leave', numbers: readonly number[] = []): SourceEvent => ({ kind: 'moved', to: 'successor' as LaneId, numbers, behind })
/** The peer has lost the sequence, and the conversation can go on elsewhere. */
export const STRANDED: SourceEvent = { kind: 'fault', name: 'UnknownSequence', resumes: true }
export const terminated = (by: 'answer' | 'peer'): SourceEvent => ({ kind: 'terminated', by })

export interface SourceCase { readonly from: SourceState; readonly event: SourceEvent; readonly to: SourceState; /** What leads to `from`. */ readonly after: readonly SourceEvent[]; readonly with?: Partial<SourceOptions>; /** How much later the event comes. */ readonly later?: number }
const FULL = { maxNumber: 1 }
const OLD = { rm: RM10 }
const ELSEWHERE = { endpoint: { kind: 'address', address: 'https://client.example/' } } as const
const OPEN = [created()]
const DRAINING = [created(), submit('a'), submit('b'), CLOSE]
const CLOSING = [created(), submit(), acknowledged(1), CLOSE]
const CLOSED_BY_PEER = [created(), submit('a', 'request'), submit('b', 'request'), acknowledged(2, { final: true })]
const TERMINATING = [...CLOSING, CLOSED]
const ENDED = [...TERMINATING, terminated('answer')]
const c = (from: SourceState, event: SourceEvent, to: SourceState, after: readonly SourceEvent[], also: Pick<SourceCase, 'with' | 'later'> = {}): SourceCase => ({ from, event, to, after, ...also })
const same = (from: SourceState, after: readonly SourceEvent[], events: readonly SourceEvent[], also: Pick<SourceCase, 'with'> = {}): SourceCase[] => events.map((event) => c(from, event, from, after, also))

export const SOURCE_CASES: readonly SourceCase[] = [
  ...same('creating', [], [submit(), CLOSE, fault('UnknownSequence'), hint(), PACE, TIME]),
  c('creating', created(), 'open', []), c('creating', created(), 'draining', [submit(), CLOSE]), c('creating', created(), 'closing', [CLOSE]), c('creating', created(), 'terminating', [CLOSE], { with: { closeEmpty: false } }),
  c('creating', moved('close', [1]), 'ended', [submit()]), c('creating', REFUSED, 'ended', [submit()]), c('creating', TIME, 'ended', [TIME], { later: HOUR }),

  ...same('open', OPEN, [submit(), created(), REFUSED, acknowledged(0), CLOSED, terminated('answer'), fault('InvalidAcknowledgement'), STRANDED, hint(), POLLED, PACE, TIME]),
  ...same('open', [created(), submit('a', 'request')], [acknowledged(1), replied()]),
  c('open', submit(), 'full', OPEN, { with: FULL }), c('open', acknowledged(2, { final: true }), 'closed', [created(), submit('a', 'request'), submit('b')]), c('open', acknowledged(1, { final: true }), 'terminating', [created(), submit()]),
  c('open', CLOSE, 'draining', [created(), submit()]), c('open', CLOSE, 'closing', OPEN), c('open', CLOSE, 'terminating', OPEN, { with: { closeEmpty: false } }),
  c('open', terminated('peer'), 'ended', OPEN), c('open', fault('MessageNumberRollover'), 'full', OPEN), c('open', fault('SequenceClosed'), 'closed', [created(), submit('a', 'request'), acknowledged(1)]),
  c('open', fault('SequenceClosed'), 'terminating', [created(), submit()]), c('open', fault('UnknownSequence'), 'ended', [created(), submit()]), c('open', fault('MessageNumberRollover'), 'ended', OPEN, { with: OLD }),
  c('open', moved(), 'ended', OPEN), c('open', moved('close'), 'ended', [created(), submit()]), c('open', moved('close'), 'closing', [created(), submit(), acknowledged(1)]), c('open', moved('close', [1]), 'ended', [created(), submit()]),
  c('open', moved('close'), 'draining', OPEN, { with: OLD }), c('open', moved('close'), 'terminating', OPEN, { with: { closeEmpty: false } }),
  c('open', TIME, 'ended', [created(1_000)], { later: 2_000 }), c('open', TIME, 'ended', [created(), submit()], { later: HOUR }),

  ...same('full', [created(), submit()], [created(), REFUSED, acknowledged(0), replied(), CLOSED, terminated('answer'), fault('MessageNumberRollover'), STRANDED, hint(), POLLED, PACE, TIME], { with: FULL }),
  c('full', moved(), 'ended', [created(), submit()], { with: FULL }), c('full', moved('close'), 'closing', [created(), submit(), acknowledged(1)], { with: FULL }), c('full', moved('close'), 'terminating', [created(), submit(), acknowledged(1)], { with: { ...FULL, ...OLD } }),
  c('full', acknowledged(1, { final: true }), 'closed', [created(), submit('a', 'request')], { with: FULL }), c('full', acknowledged(1, { final: true }), 'terminating', [created(), submit()], { with: FULL }),
  c('full', CLOSE, 'draining', [created(), submit()], { with: FULL }), c('full', CLOSE, 'closing', [created(), submit(), acknowledged(1)], { with: FULL }), c('full', CLOSE, 'terminating', [created(), submit(), acknowledged(1)], { with: { ...FULL, ...OLD } }),
  c('full', terminated('peer'), 'ended', [created(), submit()], { with: FULL }), c('full', fault('SequenceClosed'), 'closed', [created(), submit('a', 'request'), acknowledged(1)], { with: FULL }),
  c('full', fault('SequenceClosed'), 'terminating', [created(), submit()], { with: FULL }), c('full', fault('SequenceTerminated'), 'ended', [created(), submit()], { with: FULL }), c('full', TIME, 'ended', [created(1_000), submit()], { with: FULL, later: 2_000 }),

  ...same('draining', DRAINING, [created(), REFUSED, acknowledged(1), replied(), CLOSE, CLOSED, terminated('answer'), fault('MessageNumberRollover'), STRANDED, hint(), POLLED, PACE, TIME]),
  c('draining', moved('close'), 'ended', DRAINING), c('draining', acknowledged(2), 'closing', DRAINING), c('draining', acknowledged(1, { final: true }), 'closed', [created(), submit('a', 'request'), submit('b'), CLOSE]), c('draining', acknowledged(2, { final: true }), 'terminating', DRAINING),
  c('draining', acknowledged(2), 'terminating', [created(), submit(), CLOSE], { with: OLD }), c('draining', replied(), 'closing', [created(), submit('a', 'request'), CLOSE]), c('draining', replied(), 'terminating', [created(), submit('a', 'request'), CLOSE, acknowledged(2)], { with: OLD }),
  c('draining', terminated('peer'), 'ended', DRAINING), c('draining', fault('SequenceClosed'), 'closed', [created(), submit('a', 'request'), acknowledged(1), CLOSE]), c('draining', fault('SequenceClosed'), 'terminating', DRAINING),
  c('draining', fault('UnknownSequence'), 'ended', DRAINING), c('draining', TIME, 'ended', DRAINING, { later: HOUR }),
  c('draining', TIME, 'closing', [OFFER_TAKEN, submit('a', 'request'), acknowledged(1), CLOSE], { with: ELSEWHERE, later: HOUR }),
  c('draining', TIME, 'terminating', [OFFER_TAKEN, submit('a', 'request'), CLOSE, acknowledged(2)], { with: { ...ELSEWHERE, ...OLD }, later: HOUR }),

  ...same('closing', CLOSING, [created(), REFUSED, acknowledged(1), replied(), CLOSE, terminated('answer'), fault('MessageNumberRollover'), hint('UnknownSequence'), POLLED, PACE, TIME]),
  c('closing', acknowledged(1, { final: true }), 'terminating', CLOSING), c('closing', CLOSED, 'terminating', CLOSING), c('closing', terminated('peer'), 'ended', CLOSING), c('closing', fault('SequenceClosed'), 'terminating', CLOSING),
  c('closing', fault('UnknownSequence'), 'ended', CLOSING), c('closing', TIME, 'terminating', CLOSING, { with: { timing: { ...DEFAULT_TIMING, controlTries: 1 } }, later: 60_000 }),
  c('closing', TIME, 'ended', [created(1_000), submit(), acknowledged(1), CLOSE], { later: 2_000 }),

  ...same('closed', CLOSED_BY_PEER, [created(), REFUSED, acknowledged(2), replied(), CLOSE, CLOSED, terminated('answer'), fault('SequenceClosed'), STRANDED, hint(), POLLED, PACE, TIME]), c('closed', moved(), 'ended', CLOSED_BY_PEER),
  c('closed', acknowledged(1, { answering: 1 }), 'terminating', [created(), submit('a', 'request'), acknowledged(1, { final: true })]), c('closed', replied(), 'terminating', [created(), submit('a', 'request'), acknowledged(1, { final: true })]),
  c('closed', terminated('peer'), 'ended', CLOSED_BY_PEER), c('closed', fault('UnknownSequence'), 'ended', CLOSED_BY_PEER), c('closed', TIME, 'ended', CLOSED_BY_PEER, { later: HOUR }),
  c('closed', TIME, 'terminating', [OFFER_TAKEN, submit('a', 'request'), acknowledged(1, { final: true })], { with: ELSEWHERE, later: HOUR }),

  ...same('terminating', TERMINATING, [created(), REFUSED, acknowledged(1), replied(), CLOSE, CLOSED, fault('MessageNumberRollover'), hint('SequenceTerminated', 'terminate-sequence'), POLLED, PACE, TIME]),
  c('terminating', terminated('answer'), 'ended', TERMINATING), c('terminating', terminated('peer'), 'ended', TERMINATING), c('terminating', fault('UnknownSequence'), 'ended', TERMINATING),
  c('terminating', hint('UnknownSequence', 'terminate-sequence'), 'ended', TERMINATING), c('terminating', TIME, 'ended', TERMINATING, { later: HOUR }),

  ...same('ended', ENDED, [created(), REFUSED, acknowledged(1), replied(), CLOSE, CLOSED, terminated('answer'), fault('UnknownSequence'), hint('UnknownSequence', 'terminate-sequence'), POLLED, PACE, moved(), TIME]),
]
/** One event of each kind, to be refused where the table has none. */
export const SOURCE_EVENTS: readonly SourceEvent[] = [submit('new'), created(), REFUSED, acknowledged(0), replied(), CLOSE, CLOSED, terminated('answer'), fault('UnknownSequence'), hint(), POLLED, PACE, moved(), TIME]

export function sourceAfter(events: readonly SourceEvent[], options: Partial<SourceOptions> = {}): Source {
  const source = sourceWith(options)
  for (const event of events) source.handle(event, NOW)
  return source
}

// ── Destination ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const destinationWith = (options: Partial<DestinationOptions> = {}): Destination => new Destination({
  lane: LANE, tokenId: TOKEN, rm: RM11, timing: DEFAULT_TIMING, limits: DEFAULT_LIMITS, role: 'requests', ...options,
})
const application = (name: string, shape: 'one-way' | 'request'): ApplicationMessage => ({ content: content(name), shape, soap: '1.2', principal: { kind: 'user', name: 'alice' }, covered: [] })
export const message = (number: number | bigint, also: { body?: string; last?: boolean; shape?: 'one-way' | 'request' } = {}): DestinationEvent => ({
  kind: 'message', number: BigInt(number), last: also.last ?? false, digest: also.body ?? `m${number}`, to: X, messageId: `urn:m${number}`,
  ...(also.last ? {} : { message: application(also.body ?? `m${number}`, also.shape ?? 'one-way') }),
})
export const made = (expiresMs?: number): DestinationEvent => ({ kind: 'created', sequence: 'urn:sequence', expiresMs })
export const asked: DestinationEvent = { kind: 'ack-requested', to: X, messageId: 'urn:asked' }
export const consumed = (number: number): DestinationEvent => ({ kind: 'consumed', number })
export const closing = (lastNumber?: number): DestinationEvent => ({ kind: 'close', to: X, messageId: 'urn:close', lastNumber: lastNumber === undefined ? undefined : BigInt(lastNumber) })
export const terminating = (lastNumber?: number): DestinationEvent => ({ kind: 'terminate', to: X, messageId: 'urn:terminate', lastNumber: lastNumber === undefined ? undefined : BigInt(lastNumber) })
export const PASSED: DestinationEvent = { kind: 'time' }
export const HUGE = 2n ** 53n

export interface DestinationCase { readonly from: DestinationState; readonly event: DestinationEvent; readonly to: DestinationState; readonly after: readonly DestinationEvent[]; readonly with?: Partial<DestinationOptions>; readonly later?: number }
const d = (from: DestinationState, event: DestinationEvent, to: DestinationState, after: readonly DestinationEvent[], also: Pick<DestinationCase, 'with' | 'later'> = {}): DestinationCase => ({ from, event, to, after, ...also })
const stays = (from: DestinationState, after: readonly DestinationEvent[], events: readonly DestinationEvent[]): DestinationCase[] => events.map((event) => d(from, event, from, after))
const RECEIVING = [made(), message(1)]
const FULL_THERE = [made(), message(1), message(HUGE)]
const CLOSED_THERE = [...RECEIVING, closing(1)]
const ENDED_THERE = [...RECEIVING, terminating(1)]
export const DESTINATION_CASES: readonly DestinationCase[] = [
  d('none', made(), 'open', []), d('none', PASSED, 'none', []),
  ...stays('open', RECEIVING, [made(), message(2), message(1), asked, consumed(1), PASSED]),
  d('open', message(HUGE), 'full', RECEIVING), d('open', message(3), 'ended', [made(), message(2, { last: true })], { with: OLD }), d('open', closing(1), 'closed', RECEIVING), d('open', closing(1), 'ended', [made(), message(1), message(2)]),
  d('open', terminating(1), 'ended', RECEIVING), d('open', PASSED, 'ended', RECEIVING, { later: HOUR }), d('open', PASSED, 'ended', [made(1_000)], { later: 2_000 }),
  ...stays('full', FULL_THERE, [made(), message(2), message(HUGE), asked, consumed(1), PASSED]),
  d('full', message(3), 'ended', [made(), message(2, { last: true }), message(HUGE)]), d('full', closing(1), 'closed', FULL_THERE), d('full', closing(1), 'ended', [...FULL_THERE, message(2)]), d('full', terminating(), 'ended', FULL_THERE), d('full', PASSED, 'ended', FULL_THERE, { later: HOUR }),
  ...stays('closed', CLOSED_THERE, [made(), message(2), message(1), message(HUGE), asked, consumed(1), closing(1), PASSED]),
  d('closed', closing(2), 'ended', CLOSED_THERE), d('closed', terminating(1), 'ended', CLOSED_THERE), d('closed', PASSED, 'ended', CLOSED_THERE, { later: HOUR }),
  ...stays('ended', ENDED_THERE, [message(1), message(2), asked, consumed(1), closing(1), terminating(1), PASSED]),
]
export const DESTINATION_EVENTS: readonly DestinationEvent[] = [made(), message(9), asked, consumed(1), closing(), terminating(), PASSED]
export function destinationAfter(events: readonly DestinationEvent[], options: Partial<DestinationOptions> = {}): Destination {
  const destination = destinationWith(options)
  for (const event of events) destination.handle(event, NOW)
  return destination
}
