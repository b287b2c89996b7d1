/**
 * P_SHA-1 and P_SHA-256 (RFC 2246 §5, RFC 5246 §5): derived keys of WS-SecureConversation, computed keys of WS-Trust.
 * Secrets go in and come out as KeyObjects; what lies between is overwritten.
 *
 * @module
 */
import { createSecretKey, type KeyObject } from 'node:crypto'
import type { HashName } from '../spec/algorithms.ts'
import { hmac } from './hash.ts'

/** So far a stream of P_hash is made, and no farther: each byte costs us an HMAC, and the numbers come from outside (D23). */
export const MOST_DERIVED_BYTES = 4_096

// WS-SC 1.3 §7: without a Label this is it; "WS-SecureConversation" for the client, and once more for the service.
const DEFAULT_LABEL = 'WS-SecureConversationWS-SecureConversation'

/** `length` bytes of P_hash(secret, seed) from `offset` on. @throws {RangeError} outside of 0…4,096 */
export function pHash(hash: HashName, secret: KeyObject, seed: Uint8Array, offset: number, length: number): Buffer {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 1 || offset + length > MOST_DERIVED_BYTES) {
    throw new RangeError(`a derived key lies within ${MOST_DERIVED_BYTES} bytes, not at ${offset} with ${length}`)
  }
  const block = hmac(hash, secret, seed)
  const size = block.length
  const stream = Buffer.alloc(Math.ceil((offset + length) / size) * size)
  const input = Buffer.concat([block, seed])
  for (let at = 0; at < stream.length; at += size) {
    // A(i) stands in front of the seed; the output block i is the HMAC over both.
    const output = hmac(hash, secret, input)
    output.copy(stream, at)
    output.fill(0)
    if (at + size < stream.length) hmac(hash, secret, input.subarray(0, size)).copy(input)
  }
  const key = Buffer.from(stream.subarray(offset, offset + length))
  stream.fill(0)
  input.fill(0)
  block.fill(0)
  return key
}

export interface Derivation {
  readonly secret: KeyObject
  /** Absent: the default. An empty Label is a label of no octets. */
  readonly label?: Uint8Array | string | undefined
  readonly nonce: Uint8Array
  /** In bytes; Generation times Length where the message counts so. */
  readonly offset: number
  readonly length: number
  /** P_SHA-1 unless said: the only one that WS-SC 1.3 names. */
  readonly hash?: HashName
}
// WS-SC 1.3 §7: P_SHA1(secret, label + nonce), the bytes [offset, offset + length).
export function deriveKey({ secret, label = DEFAULT_LABEL, nonce, offset, length, hash = 'sha1' }: Derivation): KeyObject {
  const text = typeof label === 'string' ? Buffer.from(label, 'utf8') : label
  return keyOf(pHash(hash, secret, Buffer.concat([text, nonce]), offset, length))
}

// WS-Trust 1.3 §4.4.4 (CK/PSHA1): the requestor's entropy is the secret, the issuer's the seed.
export function computedKey(clientEntropy: KeyObject, serverEntropy: KeyObject, bytes: number): KeyObject {
  const seed = serverEntropy.export()
  const key = keyOf(pHash('sha1', clientEntropy, seed, 0, bytes))
  seed.fill(0)
  return key
}

function keyOf(bytes: Buffer): KeyObject {
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}
