/** Published and recomputed answers: derivation, MACs, digests, ciphers, key wrap, key transport. */
import { createPrivateKey, createSecretKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { decrypt, decryptKey, encrypt, encryptKey, unwrapKey, wrapKey } from '../../src/crypto/cipher.ts'
import { computedKey, deriveKey } from '../../src/crypto/derive.ts'
import { digest, hmac, passwordDigest } from '../../src/crypto/hash.ts'
import {
  AES128_GCM, AES256_CBC, CIPHERS, type CipherAlgorithm, DIGESTS, KEY_TRANSPORTS, KEY_WRAPS, type KeyWrapAlgorithm, MASK_FUNCTIONS, SIGNATURES,
} from '../../src/spec/algorithms.ts'

interface Psha1 { name: string; secretHex: string; label: string | null; nonceHex: string; offset: number; length: number; expectedHex: string }
interface Computed { name: string; clientEntropyB64: string; serverEntropyB64: string; keySizeBits: number; expectedHex: string }
interface Sealed { algorithm: string; keyHex: string; ivHex: string; plaintextUtf8: string; paddingStyle?: string; cipherValueB64: string }
interface Wrapped { name?: string; algorithm: string; kekHex: string; keyHex: string; cipherValueB64: string }
interface Transport { name: string; algorithm: string; digestMethod?: string; mgf?: string | null; oaepParamsB64?: string | null; keyHex: string; cipherValueB64: string }
interface Mac { name: string; algorithm: string; keyHex: string; dataUtf8: string; expectedB64: string }
interface Published {
  source: string; algorithm: string; kind?: string; keyUtf8?: string; kekUtf8?: string; keyWrap?: string; wrappedKeyB64?: string; keyHex?: string; cipherValueB64?: string
  plaintextUtf8?: string; canonicalSignedInfo?: string; signatureValueB64?: string; canonicalReferenced?: string; digestSha1B64?: string
  secretB64?: string; label?: string; nonceHex?: string; offset?: number; length?: number; expectedB64?: string
}
interface Vectors {
  psha1: Psha1[]; computedKey: Computed[]; chain: Record<'sctSecretHex' | 'signNonceB64' | 'signKeyHex' | 'encNonceB64' | 'encKeyHex', string>; published: Published[]; hmac: Mac[]
  digest: { algorithm: string; dataUtf8: string; expectedB64: string }[]; aesCbc: Sealed[]; aesGcm: Sealed[]; aesKeyWrap: Wrapped[]; rsaKeyTransport: Transport[]
  usernameTokenDigest: { passwordUtf8: string; nonceB64: string; created: string; expectedB64: string }[]
  knownAnswers: {
    hmac: { name: string; keyHex: string; dataUtf8: string; expectedHex: string }[]; aesKeyWrap: { name: string; kekHex: string; keyHex: string; wrappedHex: string }[]
    aesCbc: { keyHex: string; ivHex: string; plainHex: string; cipherHex: string }[]; aesGcm: { keyHex: string; ivHex: string; plainHex: string; cipherHex: string; tagHex: string }[]
  }
  keys: { server: { privateKeyPkcs8DerB64: string } }
}
const vectors = JSON.parse(readFileSync(new URL('derived-key-vectors.json', import.meta.url), 'utf8')) as Vectors

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const base64 = (text: string): Buffer => Buffer.from(text, 'base64')
const key = (bytes: Uint8Array) => createSecretKey(bytes)
const fixed = (bytes: Uint8Array) => ({ bytes: (count: number) => { expect(count).toBe(bytes.length); return bytes } })
function rowOf<T>(rows: ReadonlyMap<string, T>, uri: string | undefined): T {
  const row = rows.get(uri ?? '')
  if (row === undefined) throw new Error(`no row for ${uri}`)
  return row
}
const serverKey = createPrivateKey({ key: base64(vectors.keys.server.privateKeyPkcs8DerB64), format: 'der', type: 'pkcs8' })

describe('derived keys', () => {
  test.each(vectors.psha1)('$name', ({ secretHex, label, nonceHex, offset, length, expectedHex }) => {
    const derived = deriveKey({ secret: key(hex(secretHex)), nonce: hex(nonceHex), offset, length, ...(label === null ? {} : { label }) })
    expect(derived.export().toString('hex')).toBe(expectedHex)
  })
  test.each(vectors.computedKey)('computed key $name', ({ clientEntropyB64, serverEntropyB64, keySizeBits, expectedHex }) => {
    expect(computedKey(key(base64(clientEntropyB64)), key(base64(serverEntropyB64)), keySizeBits / 8).export().toString('hex')).toBe(expectedHex)
  })
  test('entropy becomes the secret of the context, and that the keys of a message', () => {
    const { chain, computedKey: [first] } = vectors
    const secret = computedKey(key(base64(first?.clientEntropyB64 ?? '')), key(base64(first?.serverEntropyB64 ?? '')), 32)
    expect(secret.export().toString('hex')).toBe(chain.sctSecretHex)
    expect(deriveKey({ secret, nonce: base64(chain.signNonceB64), offset: 0, length: 24 }).export().toString('hex')).toBe(chain.signKeyHex)
    expect(deriveKey({ secret, nonce: base64(chain.encNonceB64), offset: 0, length: 32 }).export().toString('hex')).toBe(chain.encKeyHex)
  })
})

describe('MACs and digests', () => {
  test.each(vectors.hmac)('$name', ({ algorithm, keyHex, dataUtf8, expectedB64 }) => {
    expect(hmac(rowOf(SIGNATURES, algorithm).hash, key(hex(keyHex)), dataUtf8).toString('base64')).toBe(expectedB64)
  })
  test.each(vectors.knownAnswers.hmac)('$name', ({ name, keyHex, dataUtf8, expectedHex }) => {
    const hash = name.includes('SHA-256') ? 'sha256' : 'sha1'
    expect(hmac(hash, key(hex(keyHex)), dataUtf8).toString('hex')).toBe(expectedHex)
  })
  test.each(vectors.digest)('digest $algorithm', ({ algorithm, dataUtf8, expectedB64 }) => {
    expect(digest(rowOf(DIGESTS, algorithm).hash, dataUtf8).toString('base64')).toBe(expectedB64)
    expect(digest(rowOf(DIGESTS, algorithm).hash, Buffer.from(dataUtf8)).toString('base64')).toBe(expectedB64)
  })
  test.each(vectors.usernameTokenDigest)('the digest of a password', ({ passwordUtf8, nonceB64, created, expectedB64 }) => {
    expect(passwordDigest(base64(nonceB64), created, passwordUtf8).toString('base64')).toBe(expectedB64)
  })
})

describe('ciphers', () => {
  test.each([...vectors.aesCbc, ...vectors.aesGcm])('$algorithm, $paddingStyle: opens', ({ algorithm, keyHex, plaintextUtf8, cipherValueB64 }) => {
    expect(decrypt(rowOf(CIPHERS, algorithm), key(hex(keyHex)), base64(cipherValueB64)).toString('utf8')).toBe(plaintextUtf8)
  })
  test.each([...vectors.aesGcm, ...vectors.aesCbc.filter(({ paddingStyle }) => paddingStyle?.startsWith('PKCS'))])(
    '$algorithm: the same bytes are written',
    ({ algorithm, keyHex, ivHex, plaintextUtf8, cipherValueB64 }) => {
      expect(encrypt(rowOf(CIPHERS, algorithm), key(hex(keyHex)), fixed(hex(ivHex)), plaintextUtf8).toString('base64')).toBe(cipherValueB64)
    },
  )
  test.each(vectors.knownAnswers.aesCbc)('SP 800-38A F.2.5', ({ keyHex, ivHex, plainHex, cipherHex }) => {
    const sealed = encrypt(AES256_CBC, key(hex(keyHex)), fixed(hex(ivHex)), hex(plainHex))
    expect(sealed.subarray(0, 32).toString('hex')).toBe(ivHex + cipherHex)
  })
  test.each(vectors.knownAnswers.aesGcm)('GCM test case 2', ({ keyHex, ivHex, plainHex, cipherHex, tagHex }) => {
    expect(encrypt(AES128_GCM, key(hex(keyHex)), fixed(hex(ivHex)), hex(plainHex)).toString('hex')).toBe(ivHex + cipherHex + tagHex)
    expect(decrypt(AES128_GCM, key(hex(keyHex)), hex(ivHex + cipherHex + tagHex)).toString('hex')).toBe(plainHex)
  })
})

describe('keys under keys', () => {
  const both = (row: KeyWrapAlgorithm, kekHex: string, keyHex: string, wrapped: Buffer): void => {
    expect(unwrapKey(row, key(hex(kekHex)), wrapped).export().toString('hex')).toBe(keyHex)
    expect(wrapKey(row, key(hex(kekHex)), key(hex(keyHex)))).toEqual(wrapped)
  }
  test.each(vectors.aesKeyWrap)('$algorithm', ({ algorithm, kekHex, keyHex, cipherValueB64 }) => both(rowOf(KEY_WRAPS, algorithm), kekHex, keyHex, base64(cipherValueB64)))
  test.each(vectors.knownAnswers.aesKeyWrap)('$name', ({ kekHex, keyHex, wrappedHex }) => {
    const row = [...KEY_WRAPS.values()].find(({ keyBytes }) => keyBytes === kekHex.length / 2)
    both(rowOf(KEY_WRAPS, row?.uri), kekHex, keyHex, hex(wrappedHex))
  })
  const transports = vectors.rsaKeyTransport.filter(({ algorithm }) => !algorithm.endsWith('rsa-1_5'))
  test.each(transports)('$name', ({ algorithm, digestMethod, mgf, oaepParamsB64, keyHex, cipherValueB64 }) => {
    const row = rowOf(KEY_TRANSPORTS, algorithm)
    const oaep = {
      digest: rowOf(DIGESTS, digestMethod).hash,
      ...(mgf?.startsWith('http') ? { mgf: rowOf(MASK_FUNCTIONS, mgf) } : {}),
      ...(oaepParamsB64 ? { label: base64(oaepParamsB64) } : {}),
    }
    expect(decryptKey(row, serverKey, base64(cipherValueB64), oaep).export().toString('hex')).toBe(keyHex)
  })
  test('five of six key transports are read; RSA-1.5 has no row', () => {
    expect(transports).toHaveLength(5)
    expect(KEY_TRANSPORTS.has('http://www.w3.org/2001/04/xmlenc#rsa-1_5')).toBe(false)
  })
})

describe('published answers of other implementations', () => {
  const opened = vectors.published.filter(({ cipherValueB64 }) => cipherValueB64)
  test.each(opened)('$source', (vector) => {
    const direct = vector.keyUtf8 === undefined ? undefined : key(Buffer.from(vector.keyUtf8))
    const dataKey = direct ?? unwrapKey(rowOf(KEY_WRAPS, vector.keyWrap), key(Buffer.from(vector.kekUtf8 ?? '')), base64(vector.wrappedKeyB64 ?? ''))
    if (vector.keyHex !== undefined) expect(dataKey.export().toString('hex')).toBe(vector.keyHex)
    const row: CipherAlgorithm = rowOf(CIPHERS, vector.algorithm)
    expect(decrypt(row, dataKey, base64(vector.cipherValueB64 ?? '')).toString('utf8')).toBe(vector.plaintextUtf8)
  })
  const signed = vectors.published.filter(({ signatureValueB64 }) => signatureValueB64)
  test.each(signed)('$source', (vector) => {
    const { hash } = rowOf(SIGNATURES, vector.algorithm)
    expect(hmac(hash, key(Buffer.from(vector.keyUtf8 ?? '')), vector.canonicalSignedInfo ?? '').toString('base64')).toBe(vector.signatureValueB64)
    expect(digest('sha1', vector.canonicalReferenced ?? '').toString('base64')).toBe(vector.digestSha1B64)
  })
  const derived = vectors.published.filter(({ secretB64 }) => secretB64)
  test.each(derived)('$source', ({ secretB64 = '', label, nonceHex = '', offset = 0, length = 0, expectedB64 }) => {
    expect(deriveKey({ secret: key(base64(secretB64)), nonce: hex(nonceHex), offset, length, label }).export().toString('base64')).toBe(expectedB64)
  })
  test('each of the eight is one of these', () => expect([opened.length, signed.length, derived.length]).toEqual([4, 3, 1]))
})

test('a key that we transport is read back', () => {
  for (const row of KEY_TRANSPORTS.values()) {
    const secret = key(Buffer.alloc(32, 7))
    expect(decryptKey(row, serverKey, encryptKey(row, serverKey, secret)).equals(secret)).toBe(true)
  }
})
