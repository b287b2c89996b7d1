/**
 * A lane in this process: its machines while they are loaded, its events, and who waits for it.
 *
 * @module
 */
import type { UsageError } from '../errors.ts'
import type { LaneCommit } from '../store/store.ts'
import type { Exchange } from './engine-exchange.ts'
import { numberIn } from './engine-move.ts'
import type { Hold, Lane, LaneEvent, LaneFacts, LaneTurn } from './lane.ts'
import type { Succession } from './source-words.ts'
import type { SequenceId } from './turn.ts'

export interface Shell<Tx> {
  readonly facts: LaneFacts
  lane: Lane | undefined
  /** Ended, and committed as such. */
  isOver: boolean
  /** When it is forgotten: known also while its machines are not loaded. */
  purgeAt: number
  /** It is to be forgotten before that, for others to have room. */
  isShed: boolean
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
  /** Times in a row that the peer was said not to know the context. */
  doubts: number
  /** The conversation goes on elsewhere when the peer has lost it. */
  resumes: boolean
  /** The lane that goes on in the place of this one. */
  movedTo: Succession | undefined
  use: Disposable | undefined
  names: readonly SequenceId[]
  readonly maxPending: number
  readonly maxPendingBytes: number
}
export interface Job<Tx> {
  readonly event: LaneEvent
  readonly exchange?: Exchange | undefined
  readonly work?: ((tx: Tx) => void | Promise<void>) | undefined
  readonly done?: { /** With the number of a message that was submitted, with the report of a move. */ resolve(value?: unknown): void; reject(error: unknown): void } | undefined
  /** The store is asked first whether another process has changed the lane. */
  readonly isFresh?: boolean
  /** Of a move: the lane that takes over. */
  readonly successor?: LaneFacts
  tries: number
}
/** Takes an event that nobody waits for. */
export type Later<Tx> = (shell: Shell<Tx>, event: LaneEvent, work?: Job<Tx>['work']) => void
export interface Waiter { number: number | undefined; readonly want: 'acknowledged' | 'reply' | 'drained' | 'quiet' | 'end'; /** Where it is kept. */ home: Set<Waiter>; settle(outcome: { readonly value?: unknown } | { readonly error: unknown }): void }
/** What one round makes of the events of one lane. */
export interface Batch<Tx> { readonly shell: Shell<Tx>; readonly jobs: readonly Job<Tx>[]; readonly turn: LaneTurn; readonly refused: ReadonlyMap<Job<Tx>, UsageError>; readonly headText: string; readonly commit: LaneCommit<Tx> | undefined; /** The commit writes nothing: it only tells whether what was said is still so. */ readonly isCheck: boolean; readonly isPurge: boolean; readonly writesToken: boolean; readonly next?: Next<Tx> | undefined }
/** The lane that a move makes, in the commit of the old one. */
export interface Next<Tx> { readonly shell: Shell<Tx>; readonly lane: Lane; readonly turn: LaneTurn; readonly headText: string; readonly writesToken: boolean }

export function newShell<Tx>(facts: LaneFacts, options: { readonly maxPending?: number; readonly maxPendingBytes?: number; readonly resumes?: boolean }): Shell<Tx> {
  return {
    facts, lane: undefined, isOver: false, purgeAt: Infinity, isShed: false, isNew: true, revision: 'absent', headText: '', queue: [], isCareful: false, failures: 0, retryAt: 0, sleepUntil: 0, holds: new Map(), delivering: undefined,
    deliveryTries: 0, undelivered: undefined, deliveryError: undefined, redeliverAt: 0, waiters: new Set(), blocked: [], isDetached: false, state: '', hints: 0, doubts: 0, resumes: options.resumes ?? false, movedTo: undefined, use: undefined, names: [],
    maxPending: options.maxPending ?? 1_000, maxPendingBytes: options.maxPendingBytes ?? 64 * 1024 * 1024,
  }
}
/** Time does nothing for a lane at rest; one that is over has nothing left to do but to be forgotten. */
export const rests = <Tx>(shell: Shell<Tx>): boolean => shell.isDetached && !shell.isOver
/** Ended, and nothing is left in it to hand over. */
export const isDone = ({ isOver, destination }: Lane): boolean => isOver && destination.waiting === 0
/**
 * A client may end sequence after sequence, each remembered for a day: while nothing is under way in them only what they are found by stays in memory,
 * and whoever asks is answered from the store. What has ended at the initiator is the application's own, and looked up for each key that it submits (D18).
 */
export function lighten<Tx>(shell: Shell<Tx>): void {
  const { facts, lane, queue, holds, delivering } = shell
  if (facts.role === 'responder' && lane !== undefined && isDone(lane) && queue.length === 0 && holds.size === 0 && delivering === undefined) shell.lane = undefined
}
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
/** Who waits on a lane that has moved waits on its successor: for a message by its new number. What is given up is told where it was. */
export function handOver<Tx>(from: Shell<Tx>, to: Shell<Tx>, succession: Succession): void {
  for (const waiter of [...from.waiters]) {
    const number = waiter.number === undefined ? undefined : numberIn(succession, waiter.number)
    if (waiter.want === 'quiet' || (waiter.number !== undefined && number === undefined)) continue
    from.waiters.delete(waiter)
    waiter.number = number
    waiter.home = to.waiters
    to.waiters.add(waiter)
  }
  to.queue.push(...takeAsked(from))
}
const isAsked = <Tx>({ event }: Job<Tx>): boolean => event.kind === 'submit' || event.kind === 'close'
/** What callers have asked of the lane and was not handled yet. */
function takeAsked<Tx>(shell: Shell<Tx>): readonly Job<Tx>[] {
  const asked = shell.queue.filter(isAsked)
  shell.queue.splice(0, shell.queue.length, ...shell.queue.filter((job) => !isAsked(job)))
  return asked
}
/** Somebody on this lane is to be told where it goes on; whoever moves it may not have heard that it was done. */
export const isAwaited = <Tx>(shell: Shell<Tx>): boolean => shell.waiters.size > 0 || shell.queue.some((job) => isAsked(job) || job.successor !== undefined)
/** So many of the events that wait are handled at once: up to a move; what was asked behind it is the successor's. A lane that was never written is written first. */
export function roundOf<Tx>({ queue, isNew }: Shell<Tx>): number {
  const move = queue.findIndex((job) => job.successor !== undefined)
  return move < 0 ? queue.length : isNew && move > 0 ? move : move + 1
}
/** A move that cannot be: whoever asked for it is told. */
export function refuseMove<Tx>(shell: Shell<Tx>, error: UsageError): void {
  for (const job of shell.queue.filter((each) => each.successor !== undefined)) {
    shell.queue.splice(shell.queue.indexOf(job), 1)
    job.done?.reject(error)
  }
}
