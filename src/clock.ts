/**
 * Time, the one place where it is read. Everything else is told what time it is.
 *
 * @module
 */

export interface Clock {
  /** Milliseconds since 1970-01-01T00:00Z. */
  now(): number
  /**
   * Calls `wake` once, not before `at` (as `now` counts); the returned function takes that back. `awaited`: somebody waits for what the
   * alarm will do, so the process must not end before; other alarms do not keep it.
   */
  alarm(at: number, wake: () => void, why?: 'awaited'): () => void
}

/** Node's timers take 32 bits: a later alarm is re-set until its time has come. */
const LONGEST_MS = 2_147_483_647

export const systemClock: Clock = {
  now: () => Date.now(),
  alarm(at, wake, why) {
    let timer: NodeJS.Timeout
    const set = (): void => {
      const left = at - Date.now()
      timer = left > LONGEST_MS ? setTimeout(set, LONGEST_MS) : setTimeout(wake, Math.max(0, left))
      if (why !== 'awaited') timer.unref()
    }
    set()
    return () => clearTimeout(timer)
  },
}
