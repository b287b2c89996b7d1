/**
 * The keys that records are sealed with: several by id, one of them primary. A new key is added everywhere first, made primary
 * later, and the old one disabled when nothing is sealed with it any more. No key is made up and none comes from a passphrase.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { inspect } from 'node:util'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { secretKey } from '../crypto/hash.ts'
import type { RandomSource } from '../crypto/random.ts'
import { UsageError } from '../errors.ts'

/** A disabled key neither seals nor opens. */
export type KeyStatus = 'enabled' | 'disabled'
export interface KeyringKey { readonly id: string; /** 32 bytes. */ readonly key: KeyObject | Uint8Array; readonly status?: KeyStatus }

/** A key management service: it never sees a record, only the key that seals them. */
export interface KeyWrapper {
  /** `associated` must be given back at unwrapping: it holds the id of the key. */
  wrap(key: Uint8Array, associated: Uint8Array, signal?: AbortSignal): Promise<Uint8Array>
  unwrap(wrapped: Uint8Array, associated: Uint8Array, signal?: AbortSignal): Promise<Uint8Array>
}
export interface WrappedKey { readonly id: string; readonly wrapped: Uint8Array; readonly status?: KeyStatus }
export interface WrappedKeyring { readonly wrapper: KeyWrapper; readonly keys: readonly WrappedKey[]; readonly primary: string; readonly signal?: AbortSignal }

const KEY_BYTES = 32
const MOST_FILE_BYTES = 65_536
/** Anyone but the owner. */
const OTHERS = 0o077

export class Keyring {
  readonly #keys: ReadonlyMap<string, KeyObject>
  /** Id of the key that seals; the others open what they have sealed. */
  readonly primary: string

  private constructor(keys: ReadonlyMap<string, KeyObject>, primary: string) {
    this.#keys = keys
    this.primary = primary
  }

  /** @throws {UsageError} no such primary, an id twice, a key that has not 32 bytes */
  static of(keys: readonly KeyringKey[], primary: string): Keyring {
    const enabled = new Map<string, KeyObject>()
    const seen = new Set<string>()
    for (const { id, key, status = 'enabled' } of keys) {
      if (typeof id !== 'string' || !/^[\w.-]{1,64}$/.test(id)) throw wrong('the id of a key has 1 to 64 letters, digits, and . _ -')
      if (seen.has(id)) throw wrong(`the key ${id} stands twice in the keyring`)
      if (status !== 'enabled' && status !== 'disabled') throw wrong(`the status of the key ${id} is neither enabled nor disabled`)
      seen.add(id)
      const made = key instanceof Uint8Array ? secretKey(key) : key
      if (made?.type !== 'secret' || made.symmetricKeySize !== KEY_BYTES) throw wrong(`the key ${id} has not ${KEY_BYTES} bytes`)
      if (status === 'enabled') enabled.set(id, made)
    }
    if (!enabled.has(primary)) throw wrong('the primary key is not in the keyring, or disabled')
    return new Keyring(enabled, primary)
  }

  /** A ring of one key that dies with it: for stores in memory, where nothing is to be opened later. */
  static ephemeral(random: RandomSource): Keyring {
    const bytes = random.bytes(KEY_BYTES)
    const ring = Keyring.of([{ id: 'ephemeral', key: bytes }], 'ephemeral')
    bytes.fill(0)
    return ring
  }

  /** Asks the key management service once for each enabled key; from then on sealing is synchronous. */
  static async open({ wrapper, keys, primary, signal }: WrappedKeyring): Promise<Keyring> {
    const opened: KeyringKey[] = []
    for (const { id, wrapped, status = 'enabled' } of keys) {
      if (status !== 'enabled') continue
      signal?.throwIfAborted()
      const bytes = await wrapper.unwrap(wrapped, associatedWith(id), signal)
      opened.push({ id, key: secretKey(bytes), status })
      bytes.fill(0)
    }
    return Keyring.of(opened, primary)
  }

  /** Makes a key that nobody has seen, wrapped: to be stored and given to `open`. */
  static async wrapNew(id: string, wrapper: KeyWrapper, random: RandomSource, signal?: AbortSignal): Promise<WrappedKey> {
    const bytes = random.bytes(KEY_BYTES)
    try {
      return { id, wrapped: await wrapper.wrap(bytes, associatedWith(id), signal), status: 'enabled' }
    } finally {
      bytes.fill(0)
    }
  }

  /** Reads `{ "primary": "k1", "keys": [{ "id": "k1", "key": "<base64 of 32 bytes>", "status"?: "enabled" }] }`. @throws {UsageError} */
  static async fromFile(path: string): Promise<Keyring> {
    return ringIn(await privateText(path))
  }

  /** The key with this id, when there is one and it is enabled. */
  get(id: string): KeyObject | undefined {
    return this.#keys.get(id)
  }
  /** Ids of the enabled keys. */
  get ids(): readonly string[] {
    return [...this.#keys.keys()]
  }
  toJSON(): unknown {
    return { primary: this.primary, keys: this.ids.map((id) => ({ id, key: '[secret]' })) }
  }
  static {
    // What util.inspect prints. Defined here since declarations made file by file have no place for a computed name.
    Object.defineProperty(Keyring.prototype, inspect.custom, { value(this: Keyring): unknown { return this.toJSON() } })
  }
}

const associatedWith = (id: string): Uint8Array => Buffer.from(`ws-reliablemessaging keyring 1:${id}`, 'utf8')

/** The text of a file that only its owner can read. Checked on the opened file, so that it is the one that is read. */
async function privateText(path: string): Promise<string> {
  // A pipe that nobody writes to would be waited for without end.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((cause: unknown) => {
    throw wrong(`the keyring ${path} cannot be opened`, cause)
  })
  try {
    const { mode, size, ...stats } = await file.stat().then((found) => ({ mode: found.mode, size: found.size, isFile: found.isFile() }))
    if (!stats.isFile || size > MOST_FILE_BYTES) throw wrong(`the keyring ${path} is no file of at most ${MOST_FILE_BYTES} bytes`)
    if (process.platform !== 'win32' && (mode & OTHERS) !== 0) throw wrong(`the keyring ${path} can be read by others than its owner: chmod 600`)
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

interface FileKey { readonly id?: unknown; readonly key?: unknown; readonly status?: unknown }
/** No cause is passed on: the parser's message quotes what it read. */
function ringIn(text: string): Keyring {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw wrong('the keyring is no JSON')
  }
  const { primary, keys } = (parsed ?? {}) as { readonly primary?: unknown; readonly keys?: unknown }
  if (typeof primary !== 'string' || !Array.isArray(keys)) throw wrong('the keyring needs "primary" and "keys"')
  return Keyring.of(keys.map((key: FileKey | null) => fileKey(key ?? {})), primary)
}
function fileKey({ id, key, status = 'enabled' }: FileKey): KeyringKey {
  const bytes = Buffer.from(typeof key === 'string' ? key : '', 'base64')
  // Buffer reads what it can of any text; only what it would write itself is a key.
  if (bytes.toString('base64') !== key) throw wrong('a key of the keyring is no base64')
  const made = { id: id as string, key: secretKey(bytes), status: status as KeyStatus }
  bytes.fill(0)
  return made
}
const wrong = (message: string, cause?: unknown): UsageError => new UsageError('ERR_USAGE_KEYRING', message, { cause })
