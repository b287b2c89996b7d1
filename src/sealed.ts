/**
 * A store and what seals its records. Nothing is kept in clear: a store that lasts needs a keyring; one in memory gets a key that dies with it.
 * A start with a keyring that is not the store's ends with an error: going on would forget what the store holds.
 *
 * @module
 */
import type { RandomSource } from './crypto/random.ts'
import { KeyMissing, SealBroken, UsageError } from './errors.ts'
import type { SequenceEngine } from './rm/engine.ts'
import type { SctManager } from './sct/manager.ts'
import { Keyring } from './serializer/keyring.ts'
import { createSerializer, type RecordContext, type SctSerializer } from './serializer/serializer.ts'
import { type CommitResult, type LaneCommit, MemoryStore, type Row, type ScanOptions, type Store, storeKey } from './store/store.ts'

export interface Sealed<Tx> { readonly store: MarkedStore<Tx>; readonly serializer: SctSerializer; readonly keyring: Keyring }

/** @throws {UsageError} ERR_USAGE_STORE, ERR_USAGE_KEYRING: a store without a keyring, or the other way round, or something else in their place */
export function sealedStore<Tx>(store: Store<Tx> | undefined, keyring: Keyring | undefined, random: RandomSource): Sealed<Tx> {
  if (store !== undefined && (typeof store?.commit !== 'function' || typeof store.scan !== 'function')) {
    throw new UsageError('ERR_USAGE_STORE', 'the store is what openSqliteStore(path) resolves with, a MemoryStore, or another Store; not a path')
  }
  if (keyring !== undefined && !(keyring instanceof Keyring)) throw new UsageError('ERR_USAGE_KEYRING', 'the keyring is what Keyring.fromFile(path) resolves with, or Keyring.of gives; not a path')
  if (store === undefined && keyring !== undefined) throw new UsageError('ERR_USAGE_KEYRING', 'a keyring without a store seals nothing that lasts')
  if (store !== undefined && keyring === undefined && !(store instanceof MemoryStore)) {
    throw new UsageError('ERR_USAGE_KEYRING', 'a store needs a keyring: tokens and messages are never kept in clear')
  }
  const ring = keyring ?? Keyring.ephemeral(random)
  // Without a store nothing has a transaction: Tx is `never` or `undefined`.
  return { store: new MarkedStore(store ?? (new MemoryStore() as unknown as Store<Tx>)), serializer: createSerializer(ring, random), keyring: ring }
}

/** How many lanes were left where they are because their record was changed: whose they are cannot be read. */
export interface TakenUp { readonly unreadable: number }

/**
 * Takes up all that the store holds, tokens first.
 *
 * @throws {KeyMissing} a record was sealed with a key that the keyring has not
 * @throws {UsageError} ERR_KEYRING_OTHER: a key of the keyring is another one than the store was sealed with under the same id
 */
export async function takeUp(sealed: Sealed<never>, tokens: SctManager, engine: Pick<SequenceEngine, 'restore'>): Promise<TakenUp> {
  for (const id of sealed.keyring.ids) await checkKey(sealed, id)
  const { quarantined: ofTokens } = await tokens.restore()
  const { quarantined } = await engine.restore()
  const missing = quarantined.map(({ error }) => error).find((error) => error instanceof KeyMissing)
  if (missing !== undefined) throw missing
  if (ofTokens.some(({ code }) => code === 'ERR_SEAL_KEY_MISSING')) throw new KeyMissing('ERR_SEAL_KEY_MISSING', 'a token in the store is sealed with a key that is not in the keyring, or disabled there: put it back, beside the new one')
  await markKey(sealed)
  return { unreadable: quarantined.length }
}

/** One record for each key that was ever primary: it opens with the very key alone. */
const markOf = (id: string): { readonly key: string; readonly context: RecordContext } => ({ key: storeKey('keyring', id), context: { parts: ['keyring', id] } })

async function checkKey({ store, serializer }: Sealed<never>, id: string): Promise<void> {
  const { key, context } = markOf(id)
  for await (const row of store.scan(key, { limit: 1 })) {
    try {
      if (row.key === key) serializer.open('idx', context, row.value)
    } catch (error) {
      if (!(error instanceof SealBroken)) throw error
      throw new UsageError('ERR_KEYRING_OTHER', `the key ${id} of the keyring is not the key ${id} that this store was sealed with: use the keyring that belongs to the store`)
    }
  }
}
async function markKey({ store, serializer, keyring }: Sealed<never>): Promise<void> {
  const { key, context } = markOf(keyring.primary)
  for await (const row of store.scan(key, { limit: 1 })) if (row.key === key) return
  store.markLater({ expect: [{ head: key, revision: 'absent' }], writes: [{ put: key, value: serializer.seal('idx', context, new Uint8Array()) }] })
}

/** The store, and the mark of its key with the first that is written: where nothing is kept there is no mark either. */
class MarkedStore<Tx> implements Store<Tx> {
  readonly #inner: Store<Tx>
  #mark: LaneCommit<Tx> | undefined

  constructor(inner: Store<Tx>) { this.#inner = inner }
  markLater(mark: LaneCommit<Tx>): void { this.#mark = mark }

  scan(prefix: string, options?: ScanOptions): AsyncIterable<Row> { return this.#inner.scan(prefix, options) }
  async commit(lanes: readonly LaneCommit<Tx>[]): Promise<readonly CommitResult[]> {
    const mark = this.#mark
    if (mark === undefined) return this.#inner.commit(lanes)
    const results = await this.#inner.commit([...lanes, mark])
    // A conflict: another process has written the same.
    if (typeof results.at(-1) === 'string') this.#mark = undefined
    return results.slice(0, -1)
  }
  [Symbol.asyncDispose](): PromiseLike<void> { return this.#inner[Symbol.asyncDispose]() }
}
