/**
 * How a conversation goes on on another sequence: the lane that takes over, what it is given, and what is said of it. The old lane and the new
 * one are written in one commit, so that every message is in exactly one of them, whenever the process dies.
 *
 * @module
 */
import type { TokenId } from '../sct/token.ts'
import { Lane, type LaneFacts, type LaneSettings, type LaneTurn } from './lane.ts'
import type { Succession } from './source-words.ts'
import type { LaneId, SequenceId } from './turn.ts'

export interface MoveWish {
  readonly token: TokenId
  /** Sent and not acknowledged: given up, or sent again on the new sequence, where they may be delivered a second time. */
  readonly doubtful: 'stay' | 'move'
  /** The old sequence: left as it is, or closed where nothing in it is open. */
  readonly behind: 'leave' | 'close'
}
export interface MoveReport {
  readonly from: { readonly sequence?: SequenceId; readonly tokenId: TokenId }
  /** The sequence has a name once the peer has given it one. */
  readonly to: { readonly sequence?: SequenceId; readonly tokenId: TokenId }
  readonly moved: readonly (readonly [from: number, to: number])[]
  /** Numbers of the old sequence that were sent, not acknowledged, and given up: they may have been delivered. */
  readonly doubtful: readonly number[]
}

export function successorOf(facts: LaneFacts, token: TokenId, mint: () => string, now: number): LaneFacts {
  return { ...facts, lane: mint() as LaneId, tokenId: token, createdAt: now, createMessageId: mint(), offered: facts.offered === undefined ? undefined : mint(), movedFrom: facts.lane }
}

/** The new lane with all that the old one may hand over; the old one is only read. */
export function succeed(old: Lane, facts: LaneFacts, doubtful: MoveWish['doubtful'], settings: LaneSettings, now: number): { readonly lane: Lane; readonly turn: LaneTurn } {
  const lane = new Lane(facts, settings, now)
  const turn = lane.handle({ kind: 'made' }, now)
  const also = (inner: LaneTurn): void => {
    turn.persist.push(...inner.persist)
    turn.transmit.push(...inner.transmit)
    turn.settle.push(...inner.settle)
  }
  for (const { content, shape, key, digest } of old.source.movable(doubtful)) {
    if (content !== undefined && (shape === 'one-way' || shape === 'request')) also(lane.handle({ kind: 'submit', content, shape, key, digest }, now))
  }
  if (old.source.isClosing) also(lane.handle({ kind: 'close' }, now))
  return { lane, turn }
}

/** What a number of the old lane is in the new one; undefined: it stayed. */
export function numberIn({ numbers }: Succession, number: number): number | undefined {
  let before = 0
  for (const [lower, upper] of numbers) {
    if (number < lower) return undefined
    if (number <= upper) return before + number - lower + 1
    before += upper - lower + 1
  }
  return undefined
}

/** Of a lane that has moved. */
export function reportOf(old: Lane, to: MoveReport['to']): MoveReport {
  const { movedTo, sequence } = old.source
  const moved = (movedTo?.numbers ?? []).flatMap(([lower, upper]) => Array.from({ length: upper - lower + 1 }, (_, index) => lower + index))
  return {
    from: { tokenId: old.facts.tokenId, ...(sequence === undefined ? {} : { sequence }) }, to,
    moved: moved.map((number, index) => [number, index + 1] as const), doubtful: old.source.doubtful('stay'),
  }
}
