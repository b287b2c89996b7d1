/**
 * Record to sealed bytes and back: `ver(1) | kidLen(1) | kid | iv(12) | ciphertext | tag(16)`, AES-256-GCM. The associated data holds
 * the header and the record's place, each part with its length in front, so that no two places read alike.
 *
 * @module
 */
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import { inspect } from 'node:util'
import { KeyMissing, SealBroken, UnknownVersion } from '../errors.ts'
import type { RandomSource } from '../crypto/random.ts'
import type { Keyring } from './keyring.ts'

const VERSION = 1
const IV = 12
const TAG = 16
const CIPHER = 'aes-256-gcm'
const DOMAIN = 'ws-reliablemessaging record 1'

/** Where a record belongs: purpose, tenant, then the identifiers. */
export type Place = readonly string[]

/** Subkeys by key id and purpose. */
export class Subkeys {
  readonly #keyring: Keyring
  readonly #derived = new Map<string, KeyObject>()
  constructor(keyring: Keyring) {
    this.#keyring = keyring
  }
  get primary(): string {
    return this.#keyring.primary
  }
  /** @throws {KeyMissing} */
  of(id: string, purpose: string): KeyObject {
    const root = this.#keyring.get(id)
    if (root === undefined) throw new KeyMissing('ERR_SEAL_KEY_MISSING', `a record is sealed with the key ${JSON.stringify(id.slice(0, 64))}, which is not in the keyring, or disabled there: put it back, beside the new one`)
    const name = `${purpose}:${id}`
    const known = this.#derived.get(name)
    if (known !== undefined) return known
    // RFC 5869; a subkey for each purpose, so that a record of one is nothing under another.
    const bytes = Buffer.from(hkdfSync('sha256', root, DOMAIN, purpose, 32))
    const key = createSecretKey(bytes)
    bytes.fill(0)
    this.#derived.set(name, key)
    return key
  }
  toJSON(): unknown {
    return { primary: this.primary, keys: '[secret]' }
  }
  static {
    // What util.inspect prints. Defined here since declarations made file by file have no place for a computed name.
    Object.defineProperty(Subkeys.prototype, inspect.custom, { value(this: Subkeys): unknown { return this.toJSON() } })
  }
}

export function seal(keys: Subkeys, random: RandomSource, purpose: string, place: Place, plain: Uint8Array): Uint8Array {
  const kid = Buffer.from(keys.primary, 'utf8')
  const header = Buffer.concat([Buffer.from([VERSION, kid.length]), kid])
  const iv = random.bytes(IV)
  const cipher = createCipheriv(CIPHER, keys.of(keys.primary, purpose), iv, { authTagLength: TAG })
  cipher.setAAD(associated(header, purpose, place))
  return Buffer.concat([header, iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** @throws {SealBroken | UnknownVersion | KeyMissing} */
export function unseal(keys: Subkeys, purpose: string, place: Place, sealed: Uint8Array): Uint8Array {
  const version = sealed[0]
  const kidLength = sealed[1]
  if (version !== undefined && version !== VERSION) throw new UnknownVersion('ERR_SEAL_VERSION', `a sealed record has version ${version}; this release knows ${VERSION}`)
  if (kidLength === undefined || sealed.length < 2 + kidLength + IV + TAG) throw broken('is too short')
  const header = sealed.subarray(0, 2 + kidLength)
  const start = header.length + IV
  const end = sealed.length - TAG
  const key = keys.of(Buffer.from(header.subarray(2)).toString('latin1'), purpose)
  try {
    const cipher = createDecipheriv(CIPHER, key, sealed.subarray(header.length, start), { authTagLength: TAG })
    cipher.setAAD(associated(header, purpose, place))
    cipher.setAuthTag(sealed.subarray(end))
    const plain = cipher.update(sealed.subarray(start, end))
    cipher.final()
    return plain
  } catch {
    throw broken('was changed, or belongs elsewhere')
  }
}

function associated(header: Uint8Array, purpose: string, place: Place): Buffer {
  // UTF-16 keeps apart what UTF-8 would not: two lone surrogates.
  return Buffer.concat([header, ...[DOMAIN, purpose, ...place].flatMap((part) => prefixed(Buffer.from(part, 'utf16le')))])
}
function prefixed(part: Uint8Array): readonly Uint8Array[] {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(part.length)
  return [length, part]
}
const broken = (why: string): SealBroken => new SealBroken('ERR_SEAL_BROKEN', `a sealed record ${why}`)
