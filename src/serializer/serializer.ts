/**
 * SctSerializer: what is kept, sealed. Tokens and messages become records of AES-256-GCM whose place (purpose, tenant, identifiers,
 * version) is part of what is authenticated: a record that was moved, changed or cut does not open (D11).
 *
 * @module
 */
import { secretKey } from '../crypto/hash.ts'
import type { RandomSource } from '../crypto/random.ts'
import { SealBroken, UnknownVersion } from '../errors.ts'
import { type Principal, type SecurityContextToken, type TokenId, TokenInstance } from '../sct/token.ts'
import { SUITES } from '../spec/algorithms.ts'
import { SC_VERSIONS } from '../spec/versions.ts'
import type { Keyring } from './keyring.ts'
import { Subkeys, seal, unseal } from './seal.ts'

/** Each purpose has a subkey of its own. */
export type Purpose = 'sct' | 'msg' | 'lane' | 'idx'
/** Where a record belongs: opening it elsewhere fails. */
export interface RecordContext {
  readonly tenant?: string
  /** Token or lane identifier, then whatever else tells this record from its neighbours. */
  readonly parts: readonly string[]
}
export interface SctSerializer {
  seal(purpose: Purpose, context: RecordContext, plain: Uint8Array): Uint8Array
  /** @throws {SealBroken | UnknownVersion | KeyMissing} */
  open(purpose: Purpose, context: RecordContext, sealed: Uint8Array): Uint8Array
}

/** Seals with the keyring's primary key, opens with any enabled one. Synchronous: what had to be asked for, the keyring has asked. */
export function createSerializer(keyring: Keyring, random: RandomSource): SctSerializer {
  const keys = new Subkeys(keyring)
  const placeOf = ({ tenant = '', parts }: RecordContext): readonly string[] => [tenant, ...parts]
  return {
    seal: (purpose, context, plain) => seal(keys, random, purpose, placeOf(context), plain),
    open: (purpose, context, sealed) => unseal(keys, purpose, placeOf(context), sealed),
  }
}

/** What else is part of a token record's place: whose it is, and which version of the row, so that an older one cannot be put back. */
export interface TokenPlace { readonly tenant?: string; readonly recordVersion?: number }
const tokenContext = (form: 'stored' | 'exported', id: string, { tenant = '', recordVersion }: TokenPlace): RecordContext => ({
  tenant, parts: [form, id, recordVersion === undefined ? '' : String(recordVersion)],
})

/** The record of a token in a store. */
export function sealToken(serializer: SctSerializer, token: SecurityContextToken, place: TokenPlace = {}): Uint8Array {
  return sealedToken(serializer, token, tokenContext('stored', token.id, place))
}
/** @throws {SealBroken | UnknownVersion | KeyMissing} also when the record is of another token */
export function openToken(serializer: SctSerializer, id: string, sealed: Uint8Array, place: TokenPlace = {}): SecurityContextToken {
  return openedToken(serializer, id, sealed, tokenContext('stored', id, place))
}

/** A token on its way to another process: version, its identifier in clear, then the record. The identifier is authenticated with it. */
export function exportToken(serializer: SctSerializer, token: SecurityContextToken, place: TokenPlace = {}): Uint8Array {
  const front = new TokenWriter().byte(EXPORT_VERSION).text(token.id).done()
  return Buffer.concat([front, sealedToken(serializer, token, tokenContext('exported', token.id, place))])
}
/** @throws {SealBroken | UnknownVersion | KeyMissing} */
export function importToken(serializer: SctSerializer, exported: Uint8Array, place: TokenPlace = {}): SecurityContextToken {
  const reader = new TokenReader(exported)
  known('an exported token', reader.byte(), EXPORT_VERSION)
  const id = reader.text()
  return openedToken(serializer, id, reader.rest(), tokenContext('exported', id, place))
}

function sealedToken(serializer: SctSerializer, token: SecurityContextToken, context: RecordContext): Uint8Array {
  const plain = encodeToken(token)
  try {
    return serializer.seal('sct', context, plain)
  } finally {
    plain.fill(0)
  }
}
function openedToken(serializer: SctSerializer, id: string, sealed: Uint8Array, context: RecordContext): SecurityContextToken {
  const plain = serializer.open('sct', context, sealed)
  try {
    const token = decodeToken(plain)
    if (token.id !== id) throw malformed('names another token')
    return token
  } finally {
    plain.fill(0)
  }
}

const EXPORT_VERSION = 1
/** 2 has the id of the token's element; 1, which has not, is still read. */
const TOKEN_VERSIONS = [1, 2]
const TOKEN_VERSION = 2
const ROLES = ['initiator', 'recipient'] as const
const STATES = ['live', 'cancelled'] as const
const PRINCIPALS = ['certificate', 'user', 'host'] as const
/** Renewals are at least a quarter of a lifetime apart and old instances are dropped; more than this is no token. */
const MOST_INSTANCES = 1_024

/**
 * A token as bytes, with its secrets in clear: to be sealed and overwritten. Fixed binary, so that no secret ever becomes a string,
 * which could not be overwritten.
 */
export function encodeToken(token: SecurityContextToken): Uint8Array {
  const writer = new TokenWriter()
  writer.byte(TOKEN_VERSION).byte(ROLES.indexOf(token.role)).byte(STATES.indexOf(token.state)).text(token.id).text(token.sc.name).text(token.suite).text(token.peer)
  const { principal } = token
  writer.byte(PRINCIPALS.indexOf(principal.kind))
  if (principal.kind === 'certificate') writer.text(principal.thumbprint).text(principal.subject)
  else writer.text(principal.name)
  writer.count(token.instances.length)
  for (const { instance, elementId, created, expires, secret } of token.instances) {
    writer.byte(instance === undefined ? 0 : 1).text(instance ?? '').text(elementId ?? '').number(created).number(expires)
    const bytes = secret.export()
    writer.bytes(bytes)
    bytes.fill(0)
  }
  return writer.done()
}

/** @throws {UnknownVersion | SealBroken} */
export function decodeToken(bytes: Uint8Array): SecurityContextToken {
  const reader = new TokenReader(bytes)
  const version = reader.byte()
  if (!TOKEN_VERSIONS.includes(version)) known('a token record', version, TOKEN_VERSION)
  const role = oneOf(ROLES, reader.byte())
  const state = oneOf(STATES, reader.byte())
  const id = reader.text() as TokenId
  const sc = must([...SC_VERSIONS.values()].find(matches(reader.text())))
  const suite = must(SUITES.get(reader.text())).name
  const peer = reader.text()
  const principal = principalFrom(reader)
  const instances: TokenInstance[] = []
  const count = reader.count()
  if (count < 1 || count > MOST_INSTANCES) throw malformed('has no instances that can be read')
  for (let i = 0; i < count; i++) instances.push(instanceFrom(reader, version))
  if (reader.rest().length > 0) throw malformed('is too long')
  return { id, role, sc, suite, principal, peer, instances, state }
}
const matches = (name: string) => (row: { readonly name: string }): boolean => row.name === name
function principalFrom(reader: TokenReader): Principal {
  const kind = oneOf(PRINCIPALS, reader.byte())
  return kind === 'certificate' ? { kind, thumbprint: reader.text(), subject: reader.text() } : { kind, name: reader.text() }
}
function instanceFrom(reader: TokenReader, version: number): TokenInstance {
  const named = oneOf([false, true], reader.byte())
  const name = reader.text()
  const elementId = version === 1 ? '' : reader.text()
  const created = reader.number()
  const expires = reader.number()
  const bytes = reader.bytes()
  if (bytes.length === 0) throw malformed('has an empty secret')
  return new TokenInstance({ secret: secretKey(bytes), instance: named ? name : undefined, elementId: elementId === '' ? undefined : elementId, created, expires })
}

/** Grows by doubling and overwrites what it leaves behind. */
class TokenWriter {
  #buffer = Buffer.alloc(512)
  #length = 0
  byte(value: number): this {
    if (!Number.isInteger(value) || value < 0 || value > 255) throw new RangeError('a token has a word that is not in the table')
    this.#reserve(1).writeUInt8(value)
    return this.#advance(1)
  }
  count(value: number): this {
    this.#reserve(4).writeUInt32BE(value)
    return this.#advance(4)
  }
  number(value: number): this {
    this.#reserve(8).writeDoubleBE(value)
    return this.#advance(8)
  }
  bytes(value: Uint8Array): this {
    this.count(value.length)
    this.#reserve(value.length).set(value)
    return this.#advance(value.length)
  }
  text(value: string): this {
    // UTF-8 would silently change a lone surrogate, and the identifier would not come back.
    if (!value.isWellFormed()) throw new RangeError('a token has text that is no Unicode')
    return this.bytes(Buffer.from(value, 'utf8'))
  }
  done(): Buffer {
    const made = Buffer.from(this.#buffer.subarray(0, this.#length))
    this.#buffer.fill(0)
    return made
  }
  #reserve(bytes: number): Buffer {
    if (this.#length + bytes > this.#buffer.length) {
      const larger = Buffer.alloc(2 * (this.#length + bytes))
      this.#buffer.copy(larger, 0, 0, this.#length)
      this.#buffer.fill(0)
      this.#buffer = larger
    }
    return this.#buffer.subarray(this.#length, this.#length + bytes)
  }
  #advance(bytes: number): this {
    this.#length += bytes
    return this
  }
}

class TokenReader {
  readonly #buffer: Buffer
  #at = 0
  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
  byte(): number {
    return this.#take(1).readUInt8()
  }
  count(): number {
    return this.#take(4).readUInt32BE()
  }
  number(): number {
    return this.#take(8).readDoubleBE()
  }
  /** A view, not a copy: overwritten with the whole. */
  bytes(): Buffer {
    return this.#take(this.count())
  }
  text(): string {
    return this.bytes().toString('utf8')
  }
  rest(): Buffer {
    return this.#take(this.#buffer.length - this.#at)
  }
  #take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#buffer.length) throw malformed('is too short')
    const part = this.#buffer.subarray(this.#at, end)
    this.#at = end
    return part
  }
}

const malformed = (why: string): SealBroken => new SealBroken('ERR_SEAL_CONTENT', `a token record ${why}`)
function known(what: string, version: number, expected: number): void {
  if (version !== expected) throw new UnknownVersion('ERR_SEAL_VERSION', `${what} has version ${version}; this release knows ${expected}`)
}
function oneOf<T>(words: readonly T[], index: number): T {
  return must(words[index])
}
function must<T>(value: T | undefined): T {
  if (value === undefined) throw malformed('has a word that is not in the table')
  return value
}
