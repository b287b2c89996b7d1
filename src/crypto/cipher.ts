/**
 * AES-CBC and AES-GCM as XML Encryption writes them, AES key wrap, and RSA-OAEP with every pair of digest and mask function.
 * A decryption that fails says only that it failed: wrong key, padding, tag and length look alike.
 *
 * @module
 */
import {
  type CipherGCMTypes, constants, createCipheriv, createDecipheriv, createSecretKey, type KeyObject, privateDecrypt, publicEncrypt,
} from 'node:crypto'
import { FAULTS, SecurityFailure, UsageError } from '../errors.ts'
import type { CipherAlgorithm, HashName, KeyTransportAlgorithm, KeyWrapAlgorithm } from '../spec/algorithms.ts'
import { digest } from './hash.ts'
import type { RandomSource } from './random.ts'

const BLOCK = 16
const GCM_IV = 12
const GCM_TAG = 16
/** RFC 3394 §2.2.3.1. */
const WRAP_IV = Buffer.alloc(8, 0xa6)

/** IV ‖ ciphertext, and the tag after it under GCM (XML Encryption 1.1 §5.2). */
export function encrypt(cipher: CipherAlgorithm, key: KeyObject, random: RandomSource, plain: Uint8Array | string): Buffer {
  mustFit(cipher, key)
  const data = typeof plain === 'string' ? Buffer.from(plain, 'utf8') : plain
  if (cipher.mode === 'gcm') {
    const iv = random.bytes(GCM_IV)
    const gcm = createCipheriv(cipher.node as CipherGCMTypes, key, iv, { authTagLength: GCM_TAG })
    return Buffer.concat([iv, gcm.update(data), gcm.final(), gcm.getAuthTag()])
  }
  const iv = random.bytes(BLOCK)
  // XML Encryption 1.1 §5.2.1: the last byte counts, the others are free. PKCS#7's choice is read by everyone.
  const cbc = createCipheriv(cipher.node, key, iv)
  return Buffer.concat([iv, cbc.update(data), cbc.final()])
}

/** @throws {SecurityFailure} ERR_WSS_DECRYPT, the same for every reason */
export function decrypt(cipher: CipherAlgorithm, key: KeyObject, data: Uint8Array): Buffer {
  if (key.type !== 'secret' || key.symmetricKeySize !== cipher.keyBytes) throw failed()
  return cipher.mode === 'gcm' ? decryptGcm(cipher, key, data) : decryptCbc(cipher, key, data)
}

function decryptGcm(cipher: CipherAlgorithm, key: KeyObject, data: Uint8Array): Buffer {
  const end = data.length - GCM_TAG
  if (end < GCM_IV) throw failed()
  try {
    // authTagLength is always given: without it a tag of 4 bytes is enough on Node 22.
    const gcm = createDecipheriv(cipher.node as CipherGCMTypes, key, data.subarray(0, GCM_IV), { authTagLength: GCM_TAG })
    gcm.setAuthTag(data.subarray(end))
    return Buffer.concat([gcm.update(data.subarray(GCM_IV, end)), gcm.final()])
  } catch {
    throw failed()
  }
}

function decryptCbc(cipher: CipherAlgorithm, key: KeyObject, data: Uint8Array): Buffer {
  if (data.length < 2 * BLOCK || data.length % BLOCK !== 0) throw failed()
  const cbc = createDecipheriv(cipher.node, key, data.subarray(0, BLOCK)).setAutoPadding(false)
  const padded = Buffer.concat([cbc.update(data.subarray(BLOCK)), cbc.final()])
  // XML Encryption 1.1 §5.2.1: 1 to 16 bytes of padding; the filler means nothing and is not looked at (D22).
  const padding = padded[padded.length - 1] ?? 0
  if (padding < 1 || padding > BLOCK) throw failed()
  return padded.subarray(0, padded.length - padding)
}

/** RFC 3394. */
export function wrapKey(row: KeyWrapAlgorithm, kek: KeyObject, key: KeyObject): Buffer {
  mustFit(row, kek)
  const plain = key.export()
  const cipher = createCipheriv(row.node, kek, WRAP_IV)
  const wrapped = Buffer.concat([cipher.update(plain), cipher.final()])
  plain.fill(0)
  return wrapped
}

/** @throws {SecurityFailure} ERR_WSS_DECRYPT */
export function unwrapKey(row: KeyWrapAlgorithm, kek: KeyObject, wrapped: Uint8Array): KeyObject {
  // RFC 3394 §2: at least two blocks of 64 bits and the check value; 512 bits is the longest key that we take.
  if (kek.type !== 'secret' || kek.symmetricKeySize !== row.keyBytes || wrapped.length < 24 || wrapped.length > 72 || wrapped.length % 8 !== 0) throw failed()
  try {
    const cipher = createDecipheriv(row.node, kek, WRAP_IV)
    return taken(Buffer.concat([cipher.update(wrapped), cipher.final()]))
  } catch {
    throw failed()
  }
}

export interface Oaep {
  /** ds:DigestMethod; absent in the message: SHA-1. */
  readonly digest?: HashName
  /** xenc11:MGF; absent: MGF1 with SHA-1. Without meaning for rsa-oaep-mgf1p, whose mask is fixed. */
  readonly mgf?: HashName
  /** xenc:OAEPparams. */
  readonly label?: Uint8Array
}
const maskHash = (row: KeyTransportAlgorithm, oaep: Oaep): HashName => row.fixedMgf ?? oaep.mgf ?? 'sha1'

/** @throws {UsageError} digest and mask function differ: we read such messages, but do not write them */
export function encryptKey(row: KeyTransportAlgorithm, publicKey: KeyObject, key: KeyObject, oaep: Oaep = {}): Buffer {
  const hash = oaep.digest ?? 'sha1'
  if (hash !== maskHash(row, oaep)) throw new UsageError('ERR_USAGE_OAEP', `RSA-OAEP is written with one hash for digest and mask, not ${hash} and ${maskHash(row, oaep)}`)
  const plain = key.export()
  const encrypted = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash, ...labelled(oaep) }, plain)
  plain.fill(0)
  return encrypted
}

/** @throws {SecurityFailure} ERR_WSS_DECRYPT */
export function decryptKey(row: KeyTransportAlgorithm, privateKey: KeyObject, data: Uint8Array, oaep: Oaep = {}): KeyObject {
  const size = Math.ceil((privateKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
  if (privateKey.type !== 'private' || privateKey.asymmetricKeyType !== 'rsa' || data.length !== size) throw failed()
  const hash = oaep.digest ?? 'sha1'
  const mask = maskHash(row, oaep)
  try {
    if (hash === mask) return taken(privateDecrypt({ key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash, ...labelled(oaep) }, data))
    // Node has one hash for both; what differs is decoded here.
    return taken(oaepDecode(privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, data), hash, mask, oaep.label))
  } catch {
    throw failed()
  }
}

const labelled = (oaep: Oaep): { readonly oaepLabel?: Uint8Array } => (oaep.label === undefined || oaep.label.length === 0 ? {} : { oaepLabel: oaep.label })

/**
 * RFC 8017 §7.1.2 step 3. All bytes are looked at whatever they are, and the verdict falls once, at the end:
 * where a wrong byte stands must not be told by the time (Manger's attack).
 */
function oaepDecode(encoded: Buffer, hash: HashName, mask: HashName, label: Uint8Array = new Uint8Array()): Buffer {
  const expected = digest(hash, label)
  const size = expected.length
  if (encoded.length < 2 * size + 2) throw failed()
  const seed = Buffer.from(encoded.subarray(1, 1 + size))
  const block = Buffer.from(encoded.subarray(1 + size))
  xor(seed, mgf1(mask, block, size))
  xor(block, mgf1(mask, seed, block.length))
  let wrong = encoded[0] ?? 1
  for (let i = 0; i < size; i++) wrong |= (block[i] ?? 0) ^ (expected[i] ?? 1)
  // From the label on: zeroes, then one 1. `open` is 1 until that 1 was met; `start` is where the message begins.
  let open = 1
  let start = 0
  for (let i = size; i < block.length; i++) {
    const byte = block[i] ?? 0
    const isOne = isZero(byte ^ 1)
    start += open * isOne * (i + 1)
    wrong |= open * (1 - isOne) * byte
    open *= 1 - isOne
  }
  wrong |= open
  seed.fill(0)
  encoded.fill(0)
  if (wrong !== 0) {
    block.fill(0)
    throw failed()
  }
  const message = Buffer.from(block.subarray(start))
  block.fill(0)
  return message
}
/** 1 for 0, else 0, without a branch; for bytes. */
const isZero = (byte: number): number => ((byte - 1) >>> 31) & 1

/** RFC 8017 B.2.1. */
function mgf1(hash: HashName, seed: Uint8Array, length: number): Buffer {
  const blocks: Buffer[] = []
  const input = Buffer.concat([seed, Buffer.alloc(4)])
  for (let made = 0, counter = 0; made < length; counter++) {
    input.writeUInt32BE(counter, seed.length)
    const block = digest(hash, input)
    blocks.push(block)
    made += block.length
  }
  return Buffer.concat(blocks).subarray(0, length)
}
function xor(target: Buffer, mask: Uint8Array): void {
  for (let i = 0; i < target.length; i++) target[i] = (target[i] ?? 0) ^ (mask[i] ?? 0)
}

function taken(bytes: Buffer): KeyObject {
  // An empty key is no key; nothing that we read has one of more than 512 bits.
  if (bytes.length < 1 || bytes.length > 64) throw failed()
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}
/** A secret that is used as it is, without deriving, may be longer than the cipher wants: its first bytes are the key (peers CXF, WSS4J). */
export function keyFor(row: CipherAlgorithm, key: KeyObject): KeyObject {
  if (key.type !== 'secret' || (key.symmetricKeySize ?? 0) <= row.keyBytes) return key
  const known = shortened.get(key)?.get(row.keyBytes)
  if (known !== undefined) return known
  const bytes = key.export()
  const made = createSecretKey(bytes.subarray(0, row.keyBytes))
  bytes.fill(0)
  shortened.set(key, new Map([...shortened.get(key) ?? [], [row.keyBytes, made]]))
  return made
}
/** D10: made once and kept, as long as the secret is. */
const shortened = new WeakMap<KeyObject, ReadonlyMap<number, KeyObject>>()
function mustFit(row: { readonly keyBytes: number }, key: KeyObject): void {
  if (key.type !== 'secret' || key.symmetricKeySize !== row.keyBytes) throw new RangeError(`the key must be a secret of ${row.keyBytes} bytes`)
}
const failed = (): SecurityFailure => new SecurityFailure('ERR_WSS_DECRYPT', 'decryption failed', FAULTS.failedCheck)
