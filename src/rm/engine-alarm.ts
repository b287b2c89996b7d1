/**
 * When time has something to do: one alarm for all lanes, and what is due when it rings. What a lane then does is for its machines to say.
 *
 * @module
 */
import type { Clock } from '../clock.ts'
import { type Later, rests, type Shell } from './engine-shell.ts'

export interface AlarmHost<Tx> {
  readonly lanes: Iterable<Shell<Tx>>
  /** Lanes are being worked on; whoever does that sets the alarm behind it. */
  isBusy(): boolean
  /** What waits for the lane may be tried again. */
  wake(shell: Shell<Tx>): void
  readonly later: Later<Tx>
}

export class Alarm<Tx> {
  readonly #clock: Clock
  readonly #host: AlarmHost<Tx>
  #next: { readonly at: number; readonly why: 'awaited' | undefined; cancel(): void } | undefined
  #isClosed = false
  constructor(clock: Clock, host: AlarmHost<Tx>) {
    this.#clock = clock
    this.#host = host
  }

  /** To be called when something may be due sooner, or is no longer. */
  set(): void {
    if (this.#isClosed) return
    let at = Infinity
    for (const shell of this.#host.lanes) at = Math.min(at, dueAt(shell))
    const why = this.#isAwaited() ? 'awaited' : undefined
    if (this.#next !== undefined && this.#next.at === at && this.#next.why === why) return
    this.#next?.cancel()
    this.#next = undefined
    if (at === Infinity) return
    const cancel = this.#clock.alarm(at, () => {
      this.#next = undefined
      this.#ring()
    }, why)
    this.#next = { at, why, cancel }
  }
  close(): void {
    this.#isClosed = true
    this.#next?.cancel()
    this.#next = undefined
  }

  /** Somebody waits, or something accepted is on its way: the process must not end for lack of other work. */
  #isAwaited(): boolean {
    for (const shell of this.#host.lanes) {
      if (shell.waiters.size > 0 || (!shell.isDetached && shell.facts.role === 'initiator' && (shell.lane?.source.pendingCount ?? 0) > 0)) return true
    }
    return false
  }
  #ring(): void {
    const now = this.#clock.now()
    for (const shell of this.#host.lanes) {
      if (dueAt(shell) > now) continue
      if (shell.retryAt > 0) {
        shell.retryAt = 0
        this.#host.wake(shell)
        continue
      }
      for (const [number, held] of shell.holds) {
        if (held.until > now) continue
        shell.holds.delete(number)
        // The first time the peer is told that its request is held; later nothing, which a peer does not take for a refusal.
        if (!held.hold.unsaid) held.exchange.finish()
        else {
          this.#host.later(shell, { kind: 'release', number, to: held.hold.to, messageId: held.hold.messageId })
          shell.holds.set(number, { ...held, until: Infinity })
        }
      }
      const isAwake = wakeAt(shell) <= now
      // What is delivered must be durable: it is looked for only behind a commit.
      const isRedelivery = shell.redeliverAt > 0 && shell.redeliverAt <= now && shell.delivering === undefined
      if (isAwake || isRedelivery) this.#host.later(shell, { kind: 'time' })
    }
    if (!this.#host.isBusy()) this.set()
  }
}

/** Of machines that are not loaded nothing is due but that an ended lane is forgotten. */
const wakeAt = <Tx>(shell: Shell<Tx>): number => (rests(shell) ? Infinity : Math.max(shell.lane?.wakeAt ?? shell.purgeAt, shell.sleepUntil))
function dueAt<Tx>(shell: Shell<Tx>): number {
  if (shell.retryAt > 0) return shell.retryAt
  let at = wakeAt(shell)
  for (const held of shell.holds.values()) at = Math.min(at, held.until)
  if (shell.redeliverAt > 0 && shell.delivering === undefined) at = Math.min(at, shell.redeliverAt)
  return at
}
