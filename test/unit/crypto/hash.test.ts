import { createPublicKey, createSecretKey, generateKeyPairSync, constants, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readCertificate, readPrivateKey } from '../../../src/crypto/certificate.ts'
import { digest, equal, hmac, passwordDigest, rsaSign, rsaVerify, secretKey } from '../../../src/crypto/hash.ts'

const identity = (name: string): string => readFileSync(new URL(`../../../demo/identities/${name}`, import.meta.url), 'utf8')
const privateKey = readPrivateKey(identity('client.key.pem'))
const certificate = readCertificate(identity('client.pem'))
const secret = secretKey(Buffer.alloc(32, 7))

describe('a MAC', () => {
  // The attack: a MAC made with the public text of the verifier's certificate.
  test.each([
    ['public', certificate.publicKey],
    ['private', privateKey],
  ])('is not made with a %s key', (_kind, key) => expect(() => hmac('sha1', key, 'data')).toThrow(TypeError))
  test('is the same over text and over its UTF-8', () => expect(hmac('sha256', secret, 'grüß')).toEqual(hmac('sha256', secret, Buffer.from('grüß'))))
})

describe('an RSA signature', () => {
  const signature = rsaSign('sha256', privateKey, 'data')
  test('is verified', () => {
    expect(rsaVerify('sha256', certificate.publicKey, 'data', signature)).toBe(true)
    expect(rsaVerify('sha256', certificate.publicKey, Buffer.from('data'), signature)).toBe(true)
    for (const hash of ['sha1', 'sha384', 'sha512'] as const) expect(rsaVerify(hash, certificate.publicKey, 'data', rsaSign(hash, privateKey, 'data'))).toBe(true)
  })
  test('of other data, another hash or another key is none', () => {
    expect(rsaVerify('sha256', certificate.publicKey, 'Data', signature)).toBe(false)
    expect(rsaVerify('sha1', certificate.publicKey, 'data', signature)).toBe(false)
    expect(rsaVerify('sha256', readCertificate(identity('intruder.pem')).publicKey, 'data', signature)).toBe(false)
  })
  test('with any byte changed is none', () => {
    for (let i = 0; i < signature.length; i++) {
      const changed = Buffer.from(signature)
      changed[i] = (changed[i] ?? 0) ^ 1
      expect(rsaVerify('sha256', certificate.publicKey, 'data', changed)).toBe(false)
    }
  })
  test.each([0, 1, 20, 32, 255, 257, 512, 100_000])('of %i bytes is none', (length) => {
    const other = Buffer.alloc(length)
    signature.copy(other)
    expect(rsaVerify('sha256', certificate.publicKey, 'data', other)).toBe(false)
  })
  test('with a zero byte in front is none', () => {
    expect(rsaVerify('sha256', certificate.publicKey, 'data', Buffer.concat([Buffer.alloc(1), signature]))).toBe(false)
  })
  test('with another padding is none', () => {
    const pss = sign('sha256', Buffer.from('data'), { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING })
    expect(rsaVerify('sha256', certificate.publicKey, 'data', pss)).toBe(false)
  })
  test('is not looked for with a key of another kind', () => {
    const { publicKey, privateKey: ec } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    expect(rsaVerify('sha256', publicKey, 'data', sign('sha256', Buffer.from('data'), ec))).toBe(false)
    expect(rsaVerify('sha256', secret, 'data', signature)).toBe(false)
    expect(rsaVerify('sha256', privateKey, 'data', signature)).toBe(false)
    expect(() => rsaSign('sha256', ec, 'data')).toThrow(TypeError)
    expect(() => rsaSign('sha256', createPublicKey(privateKey), 'data')).toThrow(TypeError)
    expect(() => rsaSign('sha256', createSecretKey(Buffer.alloc(32)), 'data')).toThrow(TypeError)
  })
})

test('equal compares content, and unequal lengths are unequal', () => {
  expect(equal(Buffer.from('abc'), Buffer.from('abc'))).toBe(true)
  expect(equal(new Uint8Array(), new Uint8Array())).toBe(true)
  expect(equal(Buffer.from('abc'), Buffer.from('abd'))).toBe(false)
  expect(equal(Buffer.from('abc'), Buffer.from('ab'))).toBe(false)
})

test('a secret is kept when the caller overwrites his bytes', () => {
  const bytes = Buffer.alloc(16, 5)
  const key = secretKey(bytes)
  bytes.fill(0)
  expect(key.export()).toEqual(Buffer.alloc(16, 5))
})

test('the digest of a password joins nonce, time and password as octets', () => {
  expect(passwordDigest(Buffer.from([1, 2]), 'T', 'pä')).toEqual(digest('sha1', Buffer.from([1, 2, 0x54, 0x70, 0xc3, 0xa4])))
})
