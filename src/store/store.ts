/**
 * The Store contract (D3): rows under string keys, written by commits that compare revisions first. One call is one durable
 * sync for all its lanes; a lane whose expectation fails, or whose work throws, is rolled back alone.
 *
 * @module
 */
import { StoreFailed, UsageError } from '../errors.ts'

export interface Row {
  readonly key: string
  readonly value: Uint8Array
  /** 1 when the row is first put, one more with each later put; a row that was deleted begins again. */
  readonly revision: number
}
/** Keys are well-formed Unicode. The bytes are not to be changed before the commit has its result. */
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
  /** Rows whose key starts with `prefix`, ordered by key (by code point, as `compareKeys`), after `after` where given. A snapshot per page is enough. */
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

/** By code point, which is also the order of the keys' UTF-8 bytes. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return rank(x) - rank(y)
  }
  return a.length - b.length
}
/** Surrogates stand for code points above all others. */
const rank = (unit: number): number => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800)

/** @throws {UsageError} a lone surrogate would come back as another key */
export function checkedKey(key: string): string {
  if (!key.isWellFormed()) throw new UsageError('ERR_STORE_KEY', 'a key of the store is no well-formed Unicode')
  return key
}

interface Kept { readonly value: Uint8Array; readonly revision: number }
/** Rows of one lane before they are taken over; undefined = deleted. */
type Changes = Map<string, Kept | undefined>

/** Everything in memory, gone with the process; the same semantics as a store on disk. `work` gets nothing, and may wait: other commits wait with it. */
export class MemoryStore implements Store<undefined> {
  readonly #rows = new Map<string, Kept>()
  /** In order; kept beside the map, so that a scan is a search and not a sort. */
  readonly #keys: string[] = []
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  async *scan(prefix: string, options: ScanOptions = {}): AsyncGenerator<Row, void, undefined> {
    const { after, limit = Number.POSITIVE_INFINITY, signal } = options
    checkedKey(prefix)
    let from = after
    for (let given = 0; given < limit; ) {
      this.#mustBeOpen()
      signal?.throwIfAborted()
      const page = this.#page(prefix, from, Math.min(PAGE_ROWS, limit - given))
      for (const row of page) {
        yield row
        signal?.throwIfAborted()
      }
      given += page.length
      from = page.at(-1)?.key
      if (page.length < PAGE_ROWS) return
    }
  }

  commit(lanes: readonly LaneCommit<undefined>[]): Promise<readonly CommitResult[]> {
    const result = this.#last.then(async () => {
      this.#mustBeOpen()
      const results: CommitResult[] = []
      for (const lane of lanes) results.push(await this.#commitLane(lane))
      return results
    })
    this.#last = result.catch(() => undefined)
    return result
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last
    this.#closed = true
  }

  async #commitLane({ expect, writes, work }: LaneCommit<undefined>): Promise<CommitResult> {
    try {
      if (!expect.every(({ head, revision }) => (this.#rows.get(checkedKey(head))?.revision ?? 'absent') === revision)) return 'conflict'
      const changes = this.#changes(writes)
      await work?.(undefined)
      this.#take(changes)
      return 'committed'
    } catch (failed) {
      return { failed }
    }
  }
  #changes(writes: readonly Write[]): Changes {
    const changes: Changes = new Map()
    const current = (key: string): Kept | undefined => (changes.has(key) ? changes.get(key) : this.#rows.get(key))
    for (const write of writes) {
      if ('delete' in write) changes.set(checkedKey(write.delete), undefined)
      // Copied: what the caller does with his bytes afterwards is his affair.
      else changes.set(checkedKey(write.put), { value: Uint8Array.from(write.value), revision: (current(write.put)?.revision ?? 0) + 1 })
    }
    return changes
  }
  #take(changes: Changes): void {
    for (const [key, kept] of changes) {
      const known = this.#rows.has(key)
      if (kept !== undefined) this.#rows.set(key, kept)
      else this.#rows.delete(key)
      if (known !== (kept !== undefined)) this.#keys.splice(this.#position(key), known ? 1 : 0, ...(known ? [] : [key]))
    }
  }
  /** Index of the first key that is not before this one. */
  #position(key: string): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareKeys(this.#keys[middle] ?? '', key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
  #page(prefix: string, after: string | undefined, limit: number): readonly Row[] {
    const page: Row[] = []
    const start = after !== undefined && compareKeys(after, prefix) >= 0 ? after : prefix
    for (let i = this.#position(start); i < this.#keys.length && page.length < limit; i++) {
      const key = this.#keys[i] ?? ''
      if (!key.startsWith(prefix)) break
      const kept = this.#rows.get(key)
      if (kept !== undefined && key !== after) page.push({ key, value: Uint8Array.from(kept.value), revision: kept.revision })
    }
    return page
  }
  #mustBeOpen(): void {
    if (this.#closed) throw new StoreFailed('ERR_STORE_CLOSED', 'the store is closed')
  }
}
const PAGE_ROWS = 256
