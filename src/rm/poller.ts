/**
 * When a mailbox is asked (WS-MakeConnection): while something is awaited, at once again as long as more waits there, else more and more seldom
 * until something new is sent.
 * What it knows dies with the process: whoever begins anew asks soon.
 *
 * @module
 */
import { backoff, type RmTiming } from './timing.ts'

export class Poller {
  readonly #timing: Pick<RmTiming, 'pollMs' | 'replyPollMs'>
  #tries = 0
  /** Undefined: nothing is awaited. */
  #nextAt: number | undefined
  #isAsking = false
  #moreWaits = false

  constructor(timing: Pick<RmTiming, 'pollMs' | 'replyPollMs'>) { this.#timing = timing }

  get wakeAt(): number { return this.#isAsking ? Infinity : this.#nextAt ?? Infinity }
  /** Something is awaited, or nothing any more. */
  await(isAwaited: boolean, now: number): void {
    if (isAwaited) this.#nextAt ??= now + this.#timing.pollMs
    else {
      this.#nextAt = undefined
      this.#tries = 0
    }
  }
  /** Something has left whose answer may be there soon, however long others have been awaited. */
  hasten(now: number): void {
    this.#tries = 0
    if (this.#nextAt !== undefined) this.#nextAt = Math.min(this.#nextAt, now + this.#timing.pollMs)
  }
  /** One poll at a time: true is said once, until it is over. */
  isDue(now: number): boolean {
    if (now < this.wakeAt) return false
    this.#isAsking = true
    this.#moreWaits = false
    this.#tries++
    return true
  }
  /** The poll has brought a message. */
  brought(moreWaits: boolean): void {
    this.#moreWaits = moreWaits
    this.#tries = 0
  }
  /** The exchange of the poll is over, whatever it has brought. */
  over(now: number): void {
    this.#isAsking = false
    if (this.#nextAt === undefined) return
    this.#nextAt = this.#moreWaits ? now : now + backoff(this.#timing.pollMs, this.#timing.replyPollMs, this.#tries + 1)
  }
}
