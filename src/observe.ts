/**
 * What can be watched: names and payloads of events, and the small typed emitter behind every `on`.
 * Payloads carry states, numbers and shortened identifiers; never a key, a body or a password.
 *
 * @module
 */

export interface ConversationEvents {
  /** The conversation moved on: opening, open, closing, closed, failed. */
  state: { readonly state: string }
  /** A message was sent again. */
  retransmit: { readonly number: number; readonly tries: number }
  /** The token has a new instance. */
  renewed: { readonly tokenId: string }
  /** The conversation cannot go on by itself. */
  suspended: { readonly reason: string }
  /** These numbers are in doubt. */
  lost: { readonly numbers: readonly number[]; readonly reason: string }
  /** Something that was refused for its protection or its scope. */
  security: { readonly code: string; readonly detail?: string }
  /** A failure in the background that no call is waiting for. */
  error: { readonly error: Error }
}
export interface ServiceEvents {
  security: { readonly code: string; readonly detail?: string }
  error: { readonly error: Error }
}

export class Listeners<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>()

  on<K extends keyof Events>(name: K, listener: (event: Events[K]) => void): Disposable {
    const set = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, set)
    set.add(listener)
    return { [Symbol.dispose]: () => void set.delete(listener) }
  }

  /** Calls every listener; one that throws does not keep the others from hearing, and its error is its own process's to see. */
  emit<K extends keyof Events>(name: K, event: Events[K]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        ;(listener as (event: Events[K]) => void)(event)
      } catch (error) {
        queueMicrotask(() => { throw error })
      }
    }
  }
}
