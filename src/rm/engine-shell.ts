/**
 * A lane in this process: its machines while they are loaded, its events, and who waits for it.
 *
 * @module
 */
import type { UsageError } from '../errors.ts'
import type { LaneCommit } from '../store/store.ts'
import type { Exchange } from './engine-exchange.ts'
import type { Hold, Lane, LaneEvent, LaneFacts, LaneTurn } from './lane.ts'
import type { SequenceId } from './turn.ts'

export interface Shell<Tx> {
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
export interface Job<Tx> {
  readonly event: LaneEvent
  readonly exchange?: Exchange | undefined
  readonly work?: ((tx: Tx) => void | Promise<void>) | undefined
  readonly done?: { /** With the number, for a message that was submitted. */ resolve(number?: number): void; reject(error: unknown): void } | undefined
  /** The store is asked first whether another process has changed the lane. */
  readonly isFresh?: boolean
  tries: number
}
export interface Waiter { readonly number: number | undefined; readonly want: 'acknowledged' | 'reply' | 'drained' | 'end'; settle(outcome: { readonly value?: unknown } | { readonly error: unknown }): void }
/** What one round makes of the events of one lane. */
export interface Batch<Tx> { readonly shell: Shell<Tx>; readonly jobs: readonly Job<Tx>[]; readonly turn: LaneTurn; readonly refused: ReadonlyMap<Job<Tx>, UsageError>; readonly headText: string; readonly commit: LaneCommit<Tx> | undefined; /** The commit writes nothing: it only tells whether what was said is still so. */ readonly isCheck: boolean; readonly isPurge: boolean; readonly writesToken: boolean }

export function newShell<Tx>(facts: LaneFacts, options: { readonly maxPending?: number; readonly maxPendingBytes?: number }): Shell<Tx> {
  return {
    facts, lane: undefined, isOver: false, isNew: true, revision: 'absent', headText: '', queue: [], isCareful: false, failures: 0, retryAt: 0, sleepUntil: 0, holds: new Map(), delivering: undefined,
    deliveryTries: 0, undelivered: undefined, deliveryError: undefined, redeliverAt: 0, waiters: new Set(), blocked: [], isDetached: false, state: '', hints: 0, use: undefined, names: [],
    maxPending: options.maxPending ?? 1_000, maxPendingBytes: options.maxPendingBytes ?? 64 * 1024 * 1024,
  }
}
/** Time does nothing for a lane at rest; one that is over has nothing left to do but to be forgotten. */
export const rests = <Tx>(shell: Shell<Tx>): boolean => shell.isDetached && !shell.isOver
/** Full: whoever submits more waits. What is submitted and not yet handled counts too. */
export function isFull<Tx>(shell: Shell<Tx>, size: number): boolean {
  let pending = shell.lane?.source.pendingCount ?? 0
  let bytes = shell.lane?.source.pendingBytes ?? 0
  for (const { event } of shell.queue) {
    if (event.kind !== 'submit') continue
    pending++
    bytes += event.content.body.length
  }
  return pending >= shell.maxPending || (pending > 0 && bytes + size > shell.maxPendingBytes)
}
/** Tells whoever waits for one of `wants` of that message. */
export function tell<Tx>(shell: Shell<Tx>, number: number, wants: readonly Waiter['want'][], outcome: { readonly value?: unknown } | { readonly error: unknown }): void {
  for (const waiter of [...shell.waiters]) if (waiter.number === number && wants.includes(waiter.want)) waiter.settle(outcome)
}
