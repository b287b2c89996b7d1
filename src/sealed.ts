/**
 * A store and what seals its records. Nothing is kept in clear: a store that lasts needs a keyring; one in memory gets a key that dies with it.
 *
 * @module
 */
import type { RandomSource } from './crypto/random.ts'
import { UsageError } from './errors.ts'
import { Keyring } from './serializer/keyring.ts'
import { createSerializer, type SctSerializer } from './serializer/serializer.ts'
import { MemoryStore, type Store } from './store/store.ts'

export interface Sealed<Tx> { readonly store: Store<Tx>; readonly serializer: SctSerializer }

/** @throws {UsageError} ERR_USAGE_KEYRING: a store without a keyring, or the other way round */
export function sealedStore<Tx>(store: Store<Tx> | undefined, keyring: Keyring | undefined, random: RandomSource): Sealed<Tx> {
  if (store === undefined && keyring !== undefined) throw new UsageError('ERR_USAGE_KEYRING', 'a keyring without a store seals nothing that lasts')
  if (store !== undefined && keyring === undefined && !(store instanceof MemoryStore)) {
    throw new UsageError('ERR_USAGE_KEYRING', 'a store needs a keyring: tokens and messages are never kept in clear')
  }
  // Without a store nothing has a transaction: Tx is `never` or `undefined`.
  return { store: store ?? (new MemoryStore() as unknown as Store<Tx>), serializer: createSerializer(keyring ?? Keyring.ephemeral(random), random) }
}
