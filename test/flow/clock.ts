/** A clock that is set by hand, for client and service together: time passes only while somebody waits for something, and then as fast as the wire allows. */
import type { Clock } from '../../src/index.ts'

export class TestClock implements Clock {
  #now = Date.now()
  readonly #alarms = new Set<{ readonly at: number; readonly wake: () => void }>()
  now(): number { return this.#now }
  alarm(at: number, wake: () => void): () => void {
    const alarm = { at, wake }
    this.#alarms.add(alarm)
    return () => this.#alarms.delete(alarm)
  }
  /** Goes on by `ms` at once, ringing on the way what is due, in order. */
  pass(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const [next] = [...this.#alarms].filter((each) => each.at <= until).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#alarms.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.wake()
    }
    this.#now = until
  }
  /** Lets time pass, a little with each turn of the event loop, until the promise is settled. */
  async until<T>(promise: Promise<T>, stepMs = 5): Promise<T> {
    let isSettled = false
    const settled = promise.finally(() => { isSettled = true })
    settled.catch(() => undefined)
    while (!isSettled) {
      await new Promise<void>((resolve) => { setImmediate(resolve) })
      if (!isSettled) this.pass(stepMs)
    }
    return settled
  }
  /** Lets time pass until it is so. */
  async when(holds: () => boolean, stepMs = 5): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => { setImmediate(resolve) })
      this.pass(stepMs)
    }
  }
}
