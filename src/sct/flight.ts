/**
 * One piece of work that several callers wait for: an abort ends one caller's waiting; when all are gone the work is given up.
 *
 * @module
 */
import type { Clock } from '../clock.ts'
import { TimedOut } from '../errors.ts'
import type { Wait } from '../options.ts'

export type Landing<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown }

export class Flight<T> {
  readonly #controller = new AbortController()
  readonly #landing = Promise.withResolvers<Landing<T>>()
  readonly #abandoned: () => void
  #waiting = 0
  #over = false

  /** `abandoned` is called at once when nobody waits any more; `work` then sees its signal aborted, and what it brings is nobody's. */
  constructor(work: (signal: AbortSignal) => Promise<T>, abandoned: () => void) {
    this.#abandoned = abandoned
    work(this.#controller.signal).then((value) => this.#land({ ok: true, value }), (error: unknown) => this.#land({ ok: false, error }))
  }

  /** Goes on though no caller waits. */
  hold(): void { this.#waiting += 1 }

  /** Ends it from outside, for all who wait, whether the work listens to its signal or not. */
  abort(reason: unknown): void {
    this.#land({ ok: false, error: reason })
    this.#controller.abort(reason)
  }

  #land(landing: Landing<T>): void {
    this.#over = true
    this.#landing.resolve(landing)
  }

  /** How it ended. @throws the signal's reason, or TimedOut, when this caller's own waiting ends first */
  async join(wait: Wait, clock: Clock): Promise<Landing<T>> {
    this.#waiting += 1
    try {
      return await patiently(this.#landing.promise, wait, clock)
    } finally {
      this.#waiting -= 1
      if (this.#waiting === 0 && !this.#over) {
        this.#over = true
        this.#abandoned()
        this.#controller.abort(new TimedOut('ERR_ABANDONED', 'nobody waits for it any more'))
      }
    }
  }
}

/** The promise, or the end of the caller's patience. What is waited for goes on. */
export async function patiently<T>(promise: Promise<T>, wait: Wait, clock: Clock): Promise<T> {
  wait.signal?.throwIfAborted()
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(wait.signal?.reason)
  wait.signal?.addEventListener('abort', onAbort, { once: true })
  const timeout = wait.timeoutMs
  const cancel = timeout === undefined ? undefined : clock.alarm(clock.now() + timeout, () => reject(new TimedOut('ERR_TIMED_OUT', `not done after ${timeout} ms`, { retryable: true })), 'awaited')
  try {
    return await Promise.race([promise, ended])
  } finally {
    wait.signal?.removeEventListener('abort', onAbort)
    cancel?.()
  }
}

/** Until `ms` have passed. @throws the signal's reason */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const cancel = clock.alarm(clock.now() + ms, resolve)
  try {
    await patiently(promise, { signal }, clock)
  } finally {
    cancel()
  }
}
