/**
 * A tap on the wire, for recordings: every HTTP body as it was, and, where the user asks for that danger, the keys.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'

export interface WireEvent {
  /** The HTTP exchange that the message belongs to, by a number of the tap's owner. */
  readonly exchange: number
  readonly direction: 'request' | 'response'
  /** Milliseconds since 1970. */
  readonly at: number
  readonly http: { readonly method?: string; readonly path?: string; readonly status?: number; readonly headers: Readonly<Record<string, string>> }
  readonly body: Uint8Array
}
export interface DangerTap {
  message(event: WireEvent): void
  /** Called with each secret of a token that this process makes or restores. Leave it out to record no keys. */
  secret?(context: { readonly identifier: string; readonly instance: string | undefined; readonly secret: KeyObject }): void
}
