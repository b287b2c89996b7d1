/** Chance and names: what we rely on of uuid, and that fresh secrets leave no copy of their bytes. */
import { expect, test } from 'vitest'
import { freshSecret, isUrnUuid, type RandomSource, systemRandom, urnUuid } from '../../../src/crypto/random.ts'

const of = (...bytes: readonly number[]): RandomSource => ({ bytes: (count) => Uint8Array.from({ length: count }, (_, index) => bytes[index % bytes.length] ?? 0) })

test('an identifier is made of the bytes that it is given, with the version and variant of RFC 9562', () => {
  expect(urnUuid(of(0xff))).toBe('urn:uuid:ffffffff-ffff-4fff-bfff-ffffffffffff')
  expect(urnUuid(of(0))).toBe('urn:uuid:00000000-0000-4000-8000-000000000000')
  expect(urnUuid(of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16))).toBe('urn:uuid:01020304-0506-4708-890a-0b0c0d0e0f10')
})
test('a thousand identifiers of the system are a thousand different ones', () => {
  const made = Array.from({ length: 1_000 }, () => urnUuid(systemRandom))
  expect(new Set(made).size).toBe(1_000)
  expect(made.every(isUrnUuid)).toBe(true)
})
test.each([
  ['no urn', '01020304-0506-4708-890a-0b0c0d0e0f10'], ['another scheme', 'uuid:01020304-0506-4708-890a-0b0c0d0e0f10'], ['version 1', 'urn:uuid:01020304-0506-1708-890a-0b0c0d0e0f10'],
  ['another variant', 'urn:uuid:01020304-0506-4708-790a-0b0c0d0e0f10'], ['the nil UUID', 'urn:uuid:00000000-0000-0000-0000-000000000000'], ['braces', 'urn:uuid:{01020304-0506-4708-890a-0b0c0d0e0f10}'],
  ['no hyphens', 'urn:uuid:01020304050647088900a0b0c0d0e0f10'], ['a digit too few', 'urn:uuid:01020304-0506-4708-890a-0b0c0d0e0f1'], ['something behind it', 'urn:uuid:01020304-0506-4708-890a-0b0c0d0e0f10 '],
  ['a line break behind it', 'urn:uuid:01020304-0506-4708-890a-0b0c0d0e0f10\n'], ['nothing', ''],
])('%s is no identifier of ours', (_, text) => {
  expect(isUrnUuid(text)).toBe(false)
})
test('the bytes of a fresh secret are overwritten when the key is made', () => {
  const drawn: Uint8Array[] = []
  const secret = freshSecret({ bytes: (count) => { const bytes = new Uint8Array(count).fill(7); drawn.push(bytes); return bytes } }, 32)
  expect(secret.export()).toEqual(Buffer.alloc(32, 7))
  expect(drawn[0]).toEqual(new Uint8Array(32))
})
