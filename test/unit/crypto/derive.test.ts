import { describe, expect, test } from 'vitest'
import { computedKey, deriveKey, pHash } from '../../../src/crypto/derive.ts'
import { hmac, secretKey } from '../../../src/crypto/hash.ts'

const secret = secretKey(Buffer.alloc(32, 1))
const nonce = Buffer.alloc(16, 2)

/** RFC 5246 §5 as it is written, for any length. */
function reference(hash: 'sha1' | 'sha256', seed: Buffer, length: number): Buffer {
  let a = seed
  let stream = Buffer.alloc(0)
  while (stream.length < length) {
    a = hmac(hash, secret, a)
    stream = Buffer.concat([stream, hmac(hash, secret, Buffer.concat([a, seed]))])
  }
  return stream.subarray(0, length)
}

describe('P_hash', () => {
  test.each(['sha1', 'sha256'] as const)('with %s is the stream of the RFC, cut anywhere', (hash) => {
    const stream = reference(hash, nonce, 4_096)
    for (const [offset, length] of [[0, 1], [0, 20], [0, 21], [19, 2], [31, 33], [64, 64], [4_095, 1], [0, 4_096], [4_032, 64]] as const) {
      expect(pHash(hash, secret, nonce, offset, length)).toEqual(stream.subarray(offset, offset + length))
    }
  })
  test('takes an empty seed and the longest nonce', () => {
    expect(pHash('sha1', secret, Buffer.alloc(0), 0, 24)).toEqual(reference('sha1', Buffer.alloc(0), 24))
    expect(pHash('sha1', secret, Buffer.alloc(128, 9), 0, 24)).toEqual(reference('sha1', Buffer.alloc(128, 9), 24))
  })
  test.each([
    [0, 0], [0, -1], [-1, 16], [0, 4_097], [4_096, 1], [4_081, 16], [2 ** 31 - 1, 16], [0, 2 ** 31 - 1], [2 ** 53, 16], [0, 2 ** 63], [0.5, 16], [0, 16.5], [Number.NaN, 16], [0, Number.NaN],
    [0, Number.POSITIVE_INFINITY], [Number.NEGATIVE_INFINITY, 16], [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ])('refuses offset %d with length %d before any work', (offset, length) => {
    expect(() => pHash('sha1', secret, nonce, offset, length)).toThrow(RangeError)
    expect(() => deriveKey({ secret, nonce, offset, length })).toThrow(RangeError)
  })
})

test('a label is text or bytes; none is the default, and an empty one is empty', () => {
  const derive = (label?: string | Uint8Array) => deriveKey({ secret, nonce, offset: 0, length: 32, label }).export()
  expect(derive('grüß')).toEqual(derive(Buffer.from('grüß')))
  expect(derive()).toEqual(derive('WS-SecureConversationWS-SecureConversation'))
  expect(derive('')).toEqual(reference('sha1', nonce, 32))
  expect(derive('')).not.toEqual(derive())
})
test('a computed key has a length within bounds', () => {
  for (const bytes of [0, -1, 4_097]) expect(() => computedKey(secret, secret, bytes)).toThrow(RangeError)
})
test('who gave which entropy matters', () => {
  const other = secretKey(Buffer.alloc(32, 3))
  expect(computedKey(secret, other, 32).equals(computedKey(other, secret, 32))).toBe(false)
})
