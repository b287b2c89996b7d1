/**
 * The Store contract (D3): rows under string keys, written by commits that compare revisions first. One call is one durable
 * sync for all its lanes; a lane whose expectation fails, or whose work throws, is rolled back alone.
 *
 * @module
 */

export interface Row {
  readonly key: string
  readonly value: Uint8Array
  /** 1 when the row is first put, one more with each later put. */
  readonly revision: number
}
export type Write = { readonly put: string; readonly value: Uint8Array } | { readonly delete: string }
export interface Expectation { readonly head: string; readonly revision: number | 'absent' }
export interface LaneCommit<Tx = unknown> {
  /** All must hold, or nothing of this lane is written. */
  readonly expect: readonly Expectation[]
  readonly writes: readonly Write[]
  /** The application's own effect, in the same transaction. */
  readonly work?: (tx: Tx) => void | Promise<void>
}
export type CommitResult = 'committed' | 'conflict' | { readonly failed: unknown }
export interface ScanOptions { readonly after?: string; readonly limit?: number; readonly signal?: AbortSignal }

export interface Store<Tx = unknown> extends AsyncDisposable {
  /** Rows whose key starts with `prefix`, ordered by key (by code unit), after `after` where given. A snapshot per page is enough. */
  scan(prefix: string, options?: ScanOptions): AsyncIterable<Row>
  /** One result per lane, in order. Durable when it resolves. Rejects only when the store as a whole failed: then nothing is known to be written. */
  commit(lanes: readonly LaneCommit<Tx>[]): Promise<readonly CommitResult[]>
}

/**
 * A key of parts: each is preceded by its length, so that no identifier, whatever it contains, reaches into a neighbour's prefix
 * (`storeKey('lane', id)` is a prefix of exactly the keys that begin with these two parts).
 */
export function storeKey(...parts: readonly (string | number)[]): string {
  let key = ''
  for (const part of parts) {
    // Numbers are written with 16 digits, so that rows of one lane scan in numeric order.
    const text = typeof part === 'number' ? String(part).padStart(16, '0') : part
    key += `${text.length}:${text};`
  }
  return key
}
