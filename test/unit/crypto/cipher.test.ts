import { constants, createCipheriv, generateKeyPairSync, type KeyObject, publicEncrypt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readCertificate, readPrivateKey } from '../../../src/crypto/certificate.ts'
import { decrypt, decryptKey, encrypt, encryptKey, unwrapKey, wrapKey } from '../../../src/crypto/cipher.ts'
import { digest, secretKey } from '../../../src/crypto/hash.ts'
import { FAULTS, SecurityFailure, UsageError } from '../../../src/errors.ts'
import { AES128_CBC, AES256_CBC, AES256_GCM, CIPHERS, type HashName, KW_AES128, KW_AES256, RSA_OAEP, RSA_OAEP_MGF1P } from '../../../src/spec/algorithms.ts'

const key = (bytes: number): KeyObject => secretKey(Buffer.alloc(bytes, 0x11))
const random = { bytes: (count: number) => Buffer.alloc(count, 0x22) }

/** Every failure must look like every other one. */
function failure(attempt: () => unknown): void {
  let thrown: unknown
  try {
    attempt()
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(SecurityFailure)
  const { code, message, cause, fault } = thrown as SecurityFailure
  expect({ code, message, cause, fault }).toEqual({ code: 'ERR_WSS_DECRYPT', message: 'decryption failed', cause: undefined, fault: FAULTS.failedCheck })
}

describe.each([...CIPHERS.values()])('$node', (cipher) => {
  const secret = key(cipher.keyBytes)
  test('what was encrypted is decrypted, at every length around a block', () => {
    for (const length of [0, 1, 15, 16, 17, 31, 32, 33, 1_000]) {
      const plain = Buffer.alloc(length, 0x61)
      expect(decrypt(cipher, secret, encrypt(cipher, secret, random, plain))).toEqual(plain)
    }
    expect(decrypt(cipher, secret, encrypt(cipher, secret, random, 'grüß')).toString()).toBe('grüß')
  })
  test('a key of another length or kind is refused', () => {
    const sealed = encrypt(cipher, secret, random, 'text')
    for (const bytes of [1, 8, 16, 24, 32, 64].filter((length) => length !== cipher.keyBytes)) {
      failure(() => decrypt(cipher, key(bytes), sealed))
      expect(() => encrypt(cipher, key(bytes), random, 'text')).toThrow(RangeError)
    }
    failure(() => decrypt(cipher, privateKey, sealed))
    expect(() => encrypt(cipher, privateKey, random, 'text')).toThrow(RangeError)
  })
  test('nothing that was cut decrypts to what it was', () => {
    const plain = Buffer.from('a text of three blocks, which is cut everywhere')
    const sealed = encrypt(cipher, secret, random, plain)
    for (let length = 0; length < sealed.length; length++) {
      try {
        expect(decrypt(cipher, secret, sealed.subarray(0, length))).not.toEqual(plain)
      } catch {
        failure(() => decrypt(cipher, secret, sealed.subarray(0, length)))
      }
    }
  })
})

describe('AES-CBC as XML Encryption pads it', () => {
  const padded = (blocks: Buffer): Buffer => {
    const iv = Buffer.alloc(16, 0x33)
    const cbc = createCipheriv('aes-256-cbc', key(32), iv).setAutoPadding(false)
    return Buffer.concat([iv, cbc.update(blocks), cbc.final()])
  }
  test('the last byte counts, from 1 to 16, and the filler may be anything', () => {
    for (let last = 0; last < 256; last++) {
      const blocks = Buffer.alloc(32, 0xee)
      blocks[31] = last
      if (last >= 1 && last <= 16) expect(decrypt(AES256_CBC, key(32), padded(blocks))).toEqual(Buffer.alloc(32 - last, 0xee))
      else failure(() => decrypt(AES256_CBC, key(32), padded(blocks)))
    }
  })
  test('data that is no whole number of blocks, or has none, is refused', () => {
    for (const length of [0, 1, 15, 16, 17, 31, 33, 47]) failure(() => decrypt(AES128_CBC, key(16), Buffer.alloc(length)))
  })
})

describe('AES-GCM', () => {
  const sealed = encrypt(AES256_GCM, key(32), random, 'a text')
  test('with any bit changed, cut, or with something behind it, is refused', () => {
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      failure(() => decrypt(AES256_GCM, key(32), changed))
    }
    for (let length = 0; length < sealed.length; length++) failure(() => decrypt(AES256_GCM, key(32), sealed.subarray(0, length)))
    for (let more = 1; more < 20; more++) failure(() => decrypt(AES256_GCM, key(32), Buffer.concat([sealed, Buffer.alloc(more)])))
  })
  test.each([4, 8, 12, 13, 14, 15])('a true tag of %i bytes is not enough', (length) => {
    const gcm = createCipheriv('aes-256-gcm', key(32), Buffer.alloc(12, 1), { authTagLength: length })
    const short = Buffer.concat([Buffer.alloc(12, 1), gcm.update('a text'), gcm.final(), gcm.getAuthTag()])
    failure(() => decrypt(AES256_GCM, key(32), short))
  })
})

describe('AES key wrap', () => {
  const wrapped = wrapKey(KW_AES256, key(32), key(24))
  test('a key of each size comes back', () => {
    for (const bytes of [16, 24, 32, 64]) expect(unwrapKey(KW_AES256, key(32), wrapKey(KW_AES256, key(32), key(bytes))).equals(key(bytes))).toBe(true)
  })
  test('with any bit changed, or any other length, is refused', () => {
    for (let bit = 0; bit < wrapped.length * 8; bit++) {
      const changed = Buffer.from(wrapped)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      failure(() => unwrapKey(KW_AES256, key(32), changed))
    }
    for (let length = 0; length < 80; length++) failure(() => unwrapKey(KW_AES256, key(32), Buffer.alloc(length)))
    failure(() => unwrapKey(KW_AES256, key(32), Buffer.alloc(100_000)))
  })
  test('under a key of another length or kind is refused', () => {
    failure(() => unwrapKey(KW_AES128, key(32), wrapped))
    failure(() => unwrapKey(KW_AES256, privateKey, wrapped))
    expect(() => wrapKey(KW_AES128, key(32), key(16))).toThrow(RangeError)
  })
})

const identity = (name: string): string => readFileSync(new URL(`../../../demo/identities/${name}`, import.meta.url), 'utf8')
const privateKey = readPrivateKey(identity('service.key.pem'))
const { publicKey } = readCertificate(identity('service.pem'))
const HASHES: readonly HashName[] = ['sha1', 'sha256', 'sha384', 'sha512']

const mask = (hash: HashName, seed: Buffer, length: number): Buffer => {
  let made = Buffer.alloc(0)
  for (let i = 0; made.length < length; i++) made = Buffer.concat([made, digest(hash, Buffer.concat([seed, Buffer.from([0, 0, 0, i])]))])
  return made.subarray(0, length)
}
const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((byte, i) => byte ^ (b[i] ?? 0)))
interface Planted { readonly first?: number; readonly label?: Buffer; readonly padding?: (zeroes: Buffer) => Buffer }
/** RFC 8017 §7.1.1 with any pair of hashes, and with mistakes. */
function oaep(message: Buffer, hash: HashName, mgf: HashName, { first = 0, label = Buffer.alloc(0), padding = (zeroes) => Buffer.concat([zeroes, Buffer.from([1])]) }: Planted = {}): Buffer {
  const size = digest(hash, '').length
  const zeroes = Buffer.alloc(256 - message.length - 2 * size - 2)
  const block = Buffer.concat([digest(hash, label), padding(zeroes), message])
  const seed = Buffer.alloc(size, 0x5a)
  const maskedBlock = xor(block, mask(mgf, seed, block.length))
  const encoded = Buffer.concat([Buffer.from([first]), xor(seed, mask(mgf, maskedBlock, size)), maskedBlock])
  return publicEncrypt({ key: publicKey, padding: constants.RSA_NO_PADDING }, encoded)
}

describe('RSA-OAEP', () => {
  const message = Buffer.alloc(32, 0x77)
  test.each(HASHES.flatMap((hash) => HASHES.map((mgf) => ({ hash, mgf }))))('digest $hash with mask $mgf is read', ({ hash, mgf }) => {
    expect(decryptKey(RSA_OAEP, privateKey, oaep(message, hash, mgf), { digest: hash, mgf }).export()).toEqual(message)
    expect(decryptKey(RSA_OAEP, privateKey, oaep(message, hash, mgf, { label: Buffer.from('label') }), { digest: hash, mgf, label: Buffer.from('label') }).export()).toEqual(message)
  })
  test.each([['sha1', 'sha1'], ['sha256', 'sha1'], ['sha256', 'sha256'], ['sha1', 'sha512']] as const)('every planted mistake under %s and %s is refused alike', (hash, mgf) => {
    const read = (data: Buffer, more = {}): unknown => decryptKey(RSA_OAEP, privateKey, data, { digest: hash, mgf, ...more })
    expect(read(oaep(message, hash, mgf))).toBeDefined()
    const wrong: readonly Planted[] = [
      { first: 1 }, { label: Buffer.from('other') },
      { padding: (zeroes) => Buffer.concat([zeroes, Buffer.from([2])]) },
      { padding: (zeroes) => Buffer.concat([Buffer.from([3]), zeroes.subarray(1), Buffer.from([1])]) },
      { padding: (zeroes) => Buffer.concat([zeroes.subarray(1), Buffer.from([3, 1])]) },
    ]
    for (const planted of wrong) failure(() => read(oaep(message, hash, mgf, planted)))
    failure(() => read(oaep(message, hash, mgf), { label: Buffer.from('x') }))
    for (const other of HASHES) {
      if (other !== hash) failure(() => read(oaep(message, hash, mgf), { digest: other }))
      if (other !== mgf) failure(() => read(oaep(message, hash, mgf), { mgf: other }))
    }
    // An empty key, and one of more than 512 bits.
    failure(() => read(oaep(Buffer.alloc(0), hash, mgf)))
    failure(() => read(oaep(Buffer.alloc(65), hash, mgf)))
  })
  test('a block of zeroes only has no separator', () => failure(() => decryptKey(RSA_OAEP, privateKey, oaep(Buffer.alloc(0), 'sha256', 'sha1', { padding: (zeroes) => Buffer.alloc(zeroes.length + 1) }), { digest: 'sha256', mgf: 'sha1' })))
  test('the mask of rsa-oaep-mgf1p is SHA-1, whatever the message says', () => {
    expect(decryptKey(RSA_OAEP_MGF1P, privateKey, oaep(message, 'sha256', 'sha1'), { digest: 'sha256', mgf: 'sha256' }).export()).toEqual(message)
  })
  test.each([0, 1, 255, 257, 512, 1_000_000])('%i bytes are no encrypted key', (length) => {
    failure(() => decryptKey(RSA_OAEP, privateKey, Buffer.alloc(length, 1)))
    failure(() => decryptKey(RSA_OAEP, privateKey, Buffer.alloc(length, 1), { digest: 'sha256' }))
  })
  test('a number above the modulus is refused', () => {
    failure(() => decryptKey(RSA_OAEP, privateKey, Buffer.alloc(256, 0xff)))
    failure(() => decryptKey(RSA_OAEP, privateKey, Buffer.alloc(256, 0xff), { digest: 'sha256' }))
  })
  test('a key of another kind does not decrypt', () => {
    const data = oaep(message, 'sha1', 'sha1')
    for (const other of [publicKey, key(32), generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey]) failure(() => decryptKey(RSA_OAEP, other, data))
    failure(() => decryptKey(RSA_OAEP, readPrivateKey(identity('intruder.key.pem')), data))
  })
  test('we write what we say: one hash for both, with a label where there is one', () => {
    const label = Buffer.from([1, 2, 3])
    for (const hash of HASHES) expect(decryptKey(RSA_OAEP, privateKey, encryptKey(RSA_OAEP, publicKey, key(32), { digest: hash, mgf: hash, label }), { digest: hash, mgf: hash, label }).equals(key(32))).toBe(true)
    expect(decryptKey(RSA_OAEP_MGF1P, privateKey, encryptKey(RSA_OAEP_MGF1P, publicKey, key(16))).equals(key(16))).toBe(true)
    expect(() => encryptKey(RSA_OAEP_MGF1P, publicKey, key(16), { digest: 'sha256' })).toThrow(UsageError)
  })
})
