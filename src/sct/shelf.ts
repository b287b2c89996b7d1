/**
 * Where tokens are kept: in memory, and as sealed rows of the store. Every write names the revision that it replaces, so that a
 * second writer of the same row is noticed and never overwritten.
 *
 * @module
 */
import { KeyMissing, SealBroken, StoreFailed } from '../errors.ts'
import { exportToken, importToken, type SctSerializer } from '../serializer/serializer.ts'
import { storeKey, type Expectation, type Row, type Store, type Write } from '../store/store.ts'
import type { SecurityContextToken } from './token.ts'

/** A row that does not open: it is left as it is, for a person to look at. */
export interface Quarantined { readonly key: string; readonly code: string }
/** Rows that must be new, or nothing is written: what was seen before, answers that were given. */
export type Companion = { readonly key: string; readonly value: Uint8Array }
/** `changed`: the stored token is not the one that the writer began with; `seen`: a companion's row exists already. */
export type Saved = 'saved' | 'changed' | 'seen'

const ATTEMPTS = 5
export const tokenRow = (id: string): string => storeKey('token', id)

export class TokenShelf {
  readonly #store: Store
  readonly #serializer: SctSerializer
  readonly #tokens = new Map<string, SecurityContextToken>()
  readonly #loading = new Map<string, Promise<SecurityContextToken | undefined>>()
  readonly #onQuarantine: (row: Quarantined) => void

  constructor(store: Store, serializer: SctSerializer, onQuarantine: (row: Quarantined) => void) {
    this.#store = store
    this.#serializer = serializer
    this.#onQuarantine = onQuarantine
  }

  /** All that is in memory. */
  all(): Iterable<SecurityContextToken> { return this.#tokens.values() }
  held(id: string): SecurityContextToken | undefined { return this.#tokens.get(id) }
  hold(token: SecurityContextToken): void { this.#tokens.set(token.id, token) }
  drop(id: string): void { this.#tokens.delete(id) }
  seal(token: SecurityContextToken): Uint8Array { return exportToken(this.#serializer, token) }
  unseal(sealed: Uint8Array): SecurityContextToken { return importToken(this.#serializer, sealed) }

  /** From memory, else from the store; undefined when there is none, or its row does not open. */
  async load(id: string): Promise<SecurityContextToken | undefined> {
    return this.#tokens.get(id) ?? await this.reload(id)
  }

  /** What the store has now; memory follows. Callers at the same time share one read. */
  reload(id: string): Promise<SecurityContextToken | undefined> {
    const under = this.#loading.get(id)
    if (under !== undefined) return under
    const loading = this.#readWhole(id).finally(() => this.#loading.delete(id))
    this.#loading.set(id, loading)
    return loading
  }

  async #readWhole(id: string): Promise<SecurityContextToken | undefined> {
    const before = this.#tokens.get(id)
    const row = await this.#row(tokenRow(id))
    const stored = row === undefined ? undefined : this.#openOrQuarantine(row)
    const held = this.#tokens.get(id)
    // What was written while we read is newer than what we read; and what was cancelled here does not come back.
    if (stored === undefined || held !== before || held?.state === 'cancelled') return held
    this.#tokens.set(id, stored)
    return stored
  }

  /** Every token row of the store; those that do not open are handed to `broken`. */
  async *stored(): AsyncGenerator<{ readonly row: Row; readonly token: SecurityContextToken }> {
    for await (const row of this.#store.scan(storeKey('token'))) {
      const token = this.#openOrQuarantine(row)
      if (token !== undefined) yield { row, token }
    }
  }

  /**
   * Writes a token durably, with its companions in the same commit. `base` is what the writer began with; undefined: the token is new.
   *
   * @throws {StoreFailed} nothing was written
   */
  async save(token: SecurityContextToken, base: SecurityContextToken | undefined, companions: readonly Companion[] = []): Promise<Saved> {
    const key = tokenRow(token.id)
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const row = await this.#row(key)
      if (row !== undefined && (base === undefined || !sameStanding(this.#openRow(row), base))) return 'changed'
      const expect: Expectation = { head: key, revision: row?.revision ?? 'absent' }
      const done = await this.#commit([expect], [{ put: key, value: this.seal(token) }], companions)
      if (done) {
        this.#tokens.set(token.id, token)
        return 'saved'
      }
      if (await this.#anyExists(companions)) return 'seen'
      // Somebody else wrote the token's row meanwhile: the same content (a sequence made it durable), or another, which the next look shows.
    }
    throw new StoreFailed('ERR_STORE_CONFLICT', 'the token\'s row changes faster than it can be written', { retryable: true, tokenId: token.id })
  }

  /** Writes rows that must be new. */
  async record(companions: readonly Companion[]): Promise<Saved> {
    return await this.#commit([], [], companions) ? 'saved' : 'seen'
  }

  async read(key: string): Promise<Uint8Array | undefined> { return (await this.#row(key))?.value }

  /** Deletes tokens that are over, answers whose token is gone, and marks whose time has passed; each only if it is still as it was read. */
  async sweep(isOver: (token: SecurityContextToken) => boolean, now: number): Promise<void> {
    const gone: Row[] = []
    const kept = new Set<string>(this.#tokens.keys())
    for await (const row of this.rows('token')) {
      const token = this.#openOrQuarantine(row)
      if (token !== undefined && isOver(token)) {
        gone.push(row)
        kept.delete(token.id)
      } else kept.add(namedIn(row.key))
    }
    for await (const row of this.rows('renewal')) if (!kept.has(namedIn(row.key))) gone.push(row)
    for await (const row of this.rows('replay')) if (now >= Number(new TextDecoder().decode(row.value))) gone.push(row)
    await this.#delete(gone)
  }

  /** Deletes these tokens with the answers to their renewals. One that another node has changed meanwhile stays in the store, and is read again when it is asked for. */
  async forget(tokens: readonly SecurityContextToken[]): Promise<void> {
    const gone: Row[] = []
    for (const token of tokens) {
      const row = await this.#row(tokenRow(token.id))
      const stored = row === undefined ? undefined : this.#openOrQuarantine(row)
      if (row === undefined || stored === undefined || !sameStanding(stored, token)) continue
      gone.push(row)
      for await (const renewal of this.rows('renewal', token.id)) gone.push(renewal)
    }
    await this.#delete(gone)
    for (const { id } of tokens) this.drop(id)
  }

  async #delete(rows: readonly Row[]): Promise<void> {
    if (rows.length > 0) await this.#store.commit(rows.map((row) => ({ expect: [{ head: row.key, revision: row.revision }], writes: [{ delete: row.key }] })))
  }

  rows(...prefix: readonly string[]): AsyncIterable<Row> { return this.#store.scan(storeKey(...prefix)) }

  async #row(key: string): Promise<Row | undefined> {
    for await (const row of this.#store.scan(key, { limit: 1 })) if (row.key === key) return row
    return undefined
  }

  async #anyExists(companions: readonly Companion[]): Promise<boolean> {
    for (const { key } of companions) if (await this.#row(key) !== undefined) return true
    return false
  }

  /** True when committed, false on a conflict. */
  async #commit(expect: readonly Expectation[], writes: readonly Write[], companions: readonly Companion[]): Promise<boolean> {
    const [result] = await this.#store.commit([{
      expect: [...expect, ...companions.map(({ key }): Expectation => ({ head: key, revision: 'absent' }))],
      writes: [...writes, ...companions.map(({ key, value }): Write => ({ put: key, value }))],
    }])
    if (result === 'committed') return true
    if (result === 'conflict') return false
    throw new StoreFailed('ERR_STORE', 'the token could not be written', { retryable: true, cause: result?.failed })
  }

  #openRow(row: Row): SecurityContextToken {
    const token = this.unseal(row.value)
    // The seal proves whose record it is; that it lies in its own place is proven by the key.
    if (row.key !== tokenRow(token.id)) throw new SealBroken('ERR_SEAL_PLACE', 'a token\'s record lies under another token\'s key')
    return token
  }

  #openOrQuarantine(row: Row): SecurityContextToken | undefined {
    try {
      return this.#openRow(row)
    } catch (error) {
      if (!(error instanceof SealBroken || error instanceof KeyMissing)) throw error
      this.#onQuarantine({ key: row.key, code: error.code })
      return undefined
    }
  }
}

/** The second part of a key: the token's identifier (`storeKey` writes each part with its length in front). */
function namedIn(key: string): string {
  const [, kind = '', rest = ''] = /^\d+:([^;]*);(.*)$/s.exec(key) ?? []
  const colon = rest.indexOf(':')
  return kind === '' ? '' : rest.slice(colon + 1, colon + 1 + Number(rest.slice(0, colon)))
}

/** The same state and the same instances. */
const sameStanding = (a: SecurityContextToken, b: SecurityContextToken): boolean =>
  a.state === b.state && a.instances.length === b.instances.length && a.instances.every((each, index) => each.instance === b.instances[index]?.instance)
