/**
 * Digests, MACs, RSA signatures and comparison in constant time. Each function takes only keys of its own kind, so that
 * a public key is never a MAC secret.
 *
 * @module
 */
import { constants, createHmac, createSecretKey, hash as oneShot, type KeyObject, sign, timingSafeEqual, verify } from 'node:crypto'
import type { HashName } from '../spec/algorithms.ts'

/** The digest of the bytes, or of the text's UTF-8. One shot: half the time of createHash. */
export const digest = (hash: HashName, data: Uint8Array | string): Buffer => oneShot(hash, data, 'buffer')

/** @throws {TypeError} the key is not a secret: an X.509 key that is used as MAC secret is an attack, not a key */
export function hmac(hash: HashName, key: KeyObject, data: Uint8Array | string): Buffer {
  if (key.type !== 'secret') throw new TypeError(`a MAC needs a secret key, not a ${key.type} key`)
  return createHmac(hash, key).update(data).digest()
}

/** Equal bytes, in a time that tells nothing but the lengths, which are public. */
export const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)

/** A secret as KeyObject; the caller's bytes stay his to overwrite. */
export const secretKey = (bytes: Uint8Array): KeyObject => createSecretKey(bytes)

/** PKCS#1 v1.5, as all XML signatures with RSA. False for whatever is not this key's signature of this data. */
export function rsaVerify(hash: HashName, publicKey: KeyObject, data: Uint8Array | string, signature: Uint8Array): boolean {
  if (publicKey.type !== 'public' || publicKey.asymmetricKeyType !== 'rsa') return false
  // RFC 8017 §8.2.2: a signature is as long as the modulus; leading zeroes are neither added nor dropped.
  if (signature.length * 8 !== roundedBits(publicKey)) return false
  return verify(hash, bytesOf(data), { key: publicKey, padding: constants.RSA_PKCS1_PADDING }, signature)
}

/** @throws {TypeError} the key is not an RSA private key */
export function rsaSign(hash: HashName, privateKey: KeyObject, data: Uint8Array | string): Buffer {
  if (privateKey.type !== 'private' || privateKey.asymmetricKeyType !== 'rsa') throw new TypeError('an RSA signature needs an RSA private key')
  return sign(hash, bytesOf(data), { key: privateKey, padding: constants.RSA_PKCS1_PADDING })
}

// UsernameToken Profile 1.0 §3.1: SHA-1 over the decoded nonce, Created as written, and the password.
export const passwordDigest = (nonce: Uint8Array, created: string, password: string): Buffer =>
  digest('sha1', Buffer.concat([nonce, Buffer.from(created + password, 'utf8')]))

const bytesOf = (data: Uint8Array | string): Uint8Array => (typeof data === 'string' ? Buffer.from(data, 'utf8') : data)
const roundedBits = (key: KeyObject): number => Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8) * 8
