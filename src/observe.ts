/**
 * What can be watched: names and payloads of events, and the small typed emitter behind every `on`.
 * Payloads carry states, numbers and shortened identifiers; never a key, a body or a password.
 *
 * @module
 */
import { WsrmError } from './errors.ts'

export interface ConversationEvents {
  /** The conversation moved on: opening, open, closing, closed, failed. */
  state: { readonly state: string }
  /** A message was sent again. */
  retransmit: { readonly number: number; readonly tries: number }
  /** The token has a new instance. */
  renewed: { readonly tokenId: string }
  /** A renewal failed; the token lives on until it expires. */
  notRenewed: { readonly tokenId: string; readonly error: unknown }
  /** The conversation goes on on a new sequence: what was moved has its new number, what is doubtful may have been delivered and was given up. */
  moved: {
    readonly from: { readonly sequence?: string; readonly tokenId: string }
    readonly to: { readonly sequence?: string; readonly tokenId: string }
    readonly moved: readonly (readonly [from: number, to: number])[]
    readonly doubtful: readonly number[]
  }
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

  has(name: keyof Events): boolean { return (this.#listeners.get(name)?.size ?? 0) > 0 }
}

/** A failure in the background. When nobody listens it becomes a warning of the process: a handler that throws is not to fail in silence. */
export function tell(listeners: ErrorListeners, thrown: unknown): void {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  if (listeners.has('error')) listeners.emit('error', { error })
  else warn(error)
}
interface ErrorListeners { has(name: 'error'): boolean; emit(name: 'error', event: { readonly error: Error }): void }

/** Said once by Node for each failure, on the standard error: what it was, and where an error of the application's own came from. */
export function warn(error: Error): void {
  const { cause } = error
  const detail = error instanceof WsrmError ? (cause instanceof Error ? `cause: ${cause.message}` : undefined) : error.stack
  process.emitWarning(`${error.message} (nobody listens for 'error')`, { type: 'WsrmWarning', ...('code' in error && { code: String(error.code) }), ...(detail !== undefined && { detail }) })
}
