/**
 * What has been seen: a bounded set of signature values, each kept until the message that carried it is stale by itself.
 * Check and insert are one step. A full cache refuses what is new; it never forgets what is still fresh.
 *
 * @module
 */
import { digest } from '../crypto/hash.ts'
import { FAULTS, SecurityFailure } from '../errors.ts'

export interface ReplayOptions {
  /** Most entries in all, and of one scope (a token, a principal): one sender must not fill the cache for all. */
  readonly capacity: number
  readonly perScope: number
}
/** An entry as it can be stored and put back. */
export interface ReplayMark { readonly scope: string; readonly value: string; readonly until: number }

export class ReplayCache {
  readonly #capacity: number
  readonly #perScope: number
  /** By scope: SHA-256 of the value -> until when it is kept. Equal scopes never share a map with others, however they are spelled. */
  readonly #scopes = new Map<string, Map<string, number>>()
  #size = 0
  /** Nothing lapses before this. */
  #earliest = Number.POSITIVE_INFINITY

  constructor({ capacity, perScope }: ReplayOptions) {
    this.#capacity = capacity
    this.#perScope = perScope
  }

  get size(): number { return this.#size }

  /**
   * Marks a value as seen until the given moment.
   *
   * @param until when the message stops being acceptable by its own Timestamp
   * @throws {SecurityFailure} ERR_WSS_REPLAY_FULL: nothing more can be remembered, so nothing more is taken
   */
  insert(scope: string, value: Uint8Array, until: number, now: number): 'fresh' | 'seen' {
    return this.#insert({ scope, value: digest('sha256', value).toString('base64'), until }, now)
  }

  #insert({ scope, value, until }: ReplayMark, now: number): 'fresh' | 'seen' {
    const seen = this.#scopes.get(scope)
    const kept = seen?.get(value)
    if (kept !== undefined && kept > now) return 'seen'
    if ((this.#size >= this.#capacity || (seen?.size ?? 0) >= this.#perScope) && !this.#sweep(scope, now)) {
      throw new SecurityFailure('ERR_WSS_REPLAY_FULL', 'too many messages are being remembered', FAULTS.failedCheck)
    }
    const values = this.#scopes.get(scope) ?? new Map<string, number>()
    if (!values.has(value)) this.#size++
    values.set(value, until)
    this.#scopes.set(scope, values)
    this.#earliest = Math.min(this.#earliest, until)
    return 'fresh'
  }

  /** Drops what has lapsed. True when there is room again. */
  #sweep(scope: string, now: number): boolean {
    if (this.#earliest <= now) {
      this.#earliest = Number.POSITIVE_INFINITY
      for (const [name, values] of this.#scopes) {
        for (const [value, until] of values) {
          if (until <= now) values.delete(value)
          else this.#earliest = Math.min(this.#earliest, until)
        }
        if (values.size === 0) this.#scopes.delete(name)
      }
      this.#size = [...this.#scopes.values()].reduce((sum, values) => sum + values.size, 0)
    }
    return this.#size < this.#capacity && (this.#scopes.get(scope)?.size ?? 0) < this.#perScope
  }

  /** What is still fresh, to be persisted where replay state must survive (RST, Renew, Cancel; D8). */
  marks(now: number, scope?: string): readonly ReplayMark[] {
    const named = scope === undefined ? [...this.#scopes] : [[scope, this.#scopes.get(scope) ?? new Map<string, number>()] as const]
    return named.flatMap(([name, values]) => [...values].filter(([, until]) => until > now).map(([value, until]) => ({ scope: name, value, until })))
  }

  /** The mark that `insert` would leave, without leaving it: what a caller writes in the commit that the message belongs to. */
  static mark(scope: string, value: Uint8Array, until: number): ReplayMark {
    return { scope, value: digest('sha256', value).toString('base64'), until }
  }

  /** Puts marks back after a restart. */
  restore(marks: Iterable<ReplayMark>, now: number): void {
    for (const mark of marks) if (mark.until > now) this.#insert(mark, now)
  }
}
