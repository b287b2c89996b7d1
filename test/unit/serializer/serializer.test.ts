import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { secretKey } from '../../../src/crypto/hash.ts'
import { KeyMissing, SealBroken, UnknownVersion } from '../../../src/errors.ts'
import { type SecurityContextToken, TokenInstance, type TokenId } from '../../../src/sct/token.ts'
import { createSerializer, decodeToken, encodeToken, exportToken, importToken, openToken, sealToken } from '../../../src/serializer/serializer.ts'
import { Subkeys } from '../../../src/serializer/seal.ts'
import { SUITES, type SuiteName } from '../../../src/spec/algorithms.ts'
import { SC_VERSIONS } from '../../../src/spec/versions.ts'
import { countingRandom, k1, k2, other, ring, rootBytes, SECRETS, serializer, tellsNothing, token } from './samples.ts'

/** Secrets are compared as bytes: KeyObjects look alike. */
/** What the sample token was as a record of version 1. */
const VERSION_1 = 'AQAAAAAACnVybjp1dWlkOjEAAAAGMjAwNTEyAAAADkJhc2ljMjU2U2hhMjU2AAAAGGh0dHBzOi8vZXhhbXBsZS5vcmcvZWNobwAAAABAYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYgAAAA1DTj1ncsO8w58sTz14AAAAAgAAAAAAQI9AAAAAAABAn0IAAAAAAAAAAB9jYW5hcnkgc2VjcmV0IG9mIHRoZSBmaXJzdCBrZXkuAQAAAAp1cm46dXVpZDoxQI9IAAAAAABAn0YAAAAAAAAAAB9jYW5hcnkgc2VjcmV0IG9mIHRoZSBzZWNvbmQga2V5'
const plain = ({ instances, ...rest }: SecurityContextToken) => ({
  ...rest, instances: instances.map(({ instance, created, expires, secret }) => ({ instance, created, expires, secret: secret.export().toString('hex') })),
})
const sealedClasses = [SealBroken, UnknownVersion, KeyMissing]
/** The name of the error that opening ends with; every other end is a failure of the test. */
function refusal(open: () => unknown): string {
  try {
    open()
  } catch (error) {
    if (sealedClasses.some((known) => error instanceof known)) return (error as Error).name
    throw error
  }
  throw new Error('it was opened')
}
const flipped = (bytes: Uint8Array, bit: number): Uint8Array => {
  const changed = Uint8Array.from(bytes)
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return changed
}

describe('a record', () => {
  const keeper = serializer()
  const context = { tenant: 't', parts: ['lane', '1'] }
  test('has the layout that is written down', () => {
    const sealed = serializer().seal('msg', context, Buffer.from('body'))
    expect(Buffer.from(sealed.subarray(0, 4)).toString('hex')).toBe('01026b31')
    expect(sealed.length).toBe(2 + 2 + 12 + 4 + 16)
    expect(Buffer.from(sealed.subarray(4, 16))).toEqual(Buffer.from(countingRandom().bytes(12)))
  })
  // The format must not change without its version: computed once with another implementation of HKDF and AES-GCM.
  test('is, byte for byte, what the format says', () => {
    const sealed = Buffer.from(serializer().seal('msg', context, Buffer.from('body')))
    expect(sealed.toString('hex')).toBe('01026b310d6ef3ace93a6f9805462bc4dec83db4637ca66fae679cd005ea00e364e38ef2')
  })
  test('is opened at its place only', () => {
    const sealed = keeper.seal('msg', context, Buffer.from('body'))
    expect(Buffer.from(keeper.open('msg', context, sealed)).toString()).toBe('body')
    expect(refusal(() => keeper.open('lane', context, sealed))).toBe('SealBroken')
    const places = [
      { parts: ['lane', '1'] }, { tenant: '', parts: ['lane', '1'] }, { tenant: 'T', parts: ['lane', '1'] }, { tenant: 't', parts: ['lane', '2'] }, { tenant: 't', parts: ['lane1'] }, { tenant: 't', parts: ['lane', '1', ''] },
      { tenant: 't', parts: ['1', 'lane'] }, { tenant: 'tlane', parts: ['1'] }, { tenant: 't', parts: ['lane\u0000', '1'] }, { tenant: 't', parts: [] },
    ]
    for (const place of places) expect(refusal(() => keeper.open('msg', place, sealed))).toBe('SealBroken')
  })
  test('of two places that read alike when joined, each opens at its own only', () => {
    fc.assert(fc.property(fc.array(fc.string({ unit: 'binary' }), { maxLength: 4 }), fc.array(fc.string({ unit: 'binary' }), { maxLength: 4 }), (a, b) => {
      fc.pre(JSON.stringify(a) !== JSON.stringify(b))
      const sealed = keeper.seal('idx', { parts: a }, Buffer.from('x'))
      expect(Buffer.from(keeper.open('idx', { parts: a }, sealed)).toString()).toBe('x')
      expect(refusal(() => keeper.open('idx', { parts: b }, sealed))).toBe('SealBroken')
    }), { seed: 1, numRuns: 300 })
  })
  test('of nothing is a record', () => {
    expect(keeper.open('msg', context, keeper.seal('msg', context, new Uint8Array()))).toHaveLength(0)
  })
  test('is never the same twice', () => {
    expect(keeper.seal('msg', context, Buffer.from('a'))).not.toEqual(keeper.seal('msg', context, Buffer.from('a')))
  })
})

describe('a sealed token', () => {
  const keeper = serializer()
  const sealed = sealToken(keeper, token())
  test('comes back whole', () => {
    for (const original of [token(), token('x', other), token('')]) expect(plain(openToken(keeper, original.id, sealToken(keeper, original)))).toEqual(plain(original))
  })
  test('with any bit changed is refused, and it is told how', () => {
    const ends = new Map<string, number>()
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const end = refusal(() => openToken(keeper, token().id, flipped(sealed, bit)))
      ends.set(end, (ends.get(end) ?? 0) + 1)
    }
    // The first byte is the version; the two bytes of the key's id are the key's; the length before them moves all.
    expect(ends.get('UnknownVersion')).toBe(8)
    expect(ends.get('KeyMissing')).toBeGreaterThanOrEqual(16)
    expect((ends.get('SealBroken') ?? 0) + (ends.get('KeyMissing') ?? 0)).toBe(sealed.length * 8 - 8)
  })
  test('cut at any length is refused', () => {
    for (let length = 0; length < sealed.length; length++) refusal(() => openToken(keeper, token().id, sealed.subarray(0, length)))
    for (let start = 1; start < sealed.length; start++) refusal(() => openToken(keeper, token().id, sealed.subarray(start)))
  })
  test('with something behind it is refused', () => {
    for (let more = 1; more < 40; more++) refusal(() => openToken(keeper, token().id, Buffer.concat([sealed, Buffer.alloc(more)])))
  })
  test('in the place of another is refused', () => {
    const second = sealToken(keeper, token('urn:uuid:2'))
    expect(refusal(() => openToken(keeper, 'urn:uuid:1', second))).toBe('SealBroken')
    expect(refusal(() => openToken(keeper, 'urn:uuid:2', sealed))).toBe('SealBroken')
    expect(refusal(() => openToken(keeper, 'urn:uuid:1', sealed, { tenant: 'x' }))).toBe('SealBroken')
    const versioned = sealToken(keeper, token(), { recordVersion: 3 })
    expect(openToken(keeper, 'urn:uuid:1', versioned, { recordVersion: 3 }).id).toBe('urn:uuid:1')
    expect(refusal(() => openToken(keeper, 'urn:uuid:1', versioned, { recordVersion: 4 }))).toBe('SealBroken')
  })
  test('that holds another token than it says is refused', () => {
    const inner = encodeToken(token('urn:uuid:2'))
    expect(refusal(() => openToken(keeper, 'urn:uuid:1', keeper.seal('sct', { tenant: '', parts: ['stored', 'urn:uuid:1', ''] }, inner)))).toBe('SealBroken')
  })
  test('is opened with any enabled key, and with no other', () => {
    const rotated = serializer(ring('k2', k1, k2))
    expect(openToken(rotated, 'urn:uuid:1', sealed).id).toBe('urn:uuid:1')
    expect(Buffer.from(sealToken(rotated, token()).subarray(2, 4)).toString()).toBe('k2')
    expect(refusal(() => openToken(serializer(ring('k2', { ...k1, status: 'disabled' }, k2)), 'urn:uuid:1', sealed))).toBe('KeyMissing')
    expect(refusal(() => openToken(serializer(ring('k2', k2)), 'urn:uuid:1', sealed))).toBe('KeyMissing')
    expect(refusal(() => openToken(serializer(ring('k1', { id: 'k1', key: rootBytes(2) })), 'urn:uuid:1', sealed))).toBe('SealBroken')
    // The id of another key in the ring, put over the true one.
    const renamed = Buffer.from(sealed)
    renamed.write('k2', 2)
    expect(refusal(() => openToken(rotated, 'urn:uuid:1', renamed))).toBe('SealBroken')
  })
  test('leaves nothing of itself in the bytes that were sealed', () => {
    const seen: Uint8Array[] = []
    const spy = { ...keeper, seal: (...given: Parameters<typeof keeper.seal>) => { seen.push(given[2]); return keeper.seal(...given) },
      open: (...given: Parameters<typeof keeper.open>) => { const opened = keeper.open(...given); seen.push(opened); return opened } }
    openToken(spy, 'urn:uuid:1', sealToken(spy, token()))
    importToken(spy, exportToken(spy, token()))
    expect(seen).toHaveLength(4)
    for (const bytes of seen) expect(bytes.every((byte) => byte === 0)).toBe(true)
  })
})

describe('an exported token', () => {
  const keeper = serializer()
  const exported = exportToken(keeper, token())
  test('names itself in clear and comes back whole', () => {
    expect(Buffer.from(exported).toString('latin1')).toContain('urn:uuid:1')
    expect(plain(importToken(serializer(), exported))).toEqual(plain(token()))
  })
  test('changed, cut or lengthened anywhere is refused', () => {
    for (let bit = 0; bit < exported.length * 8; bit++) refusal(() => importToken(keeper, flipped(exported, bit)))
    for (let length = 0; length < exported.length; length++) refusal(() => importToken(keeper, exported.subarray(0, length)))
    refusal(() => importToken(keeper, Buffer.concat([exported, Buffer.alloc(1)])))
  })
  test('is no record of a store, and a record of a store is no export', () => {
    const front = exported.length - sealToken(keeper, token()).length
    expect(refusal(() => openToken(keeper, 'urn:uuid:1', exported.subarray(front)))).toBe('SealBroken')
    expect(refusal(() => importToken(keeper, Buffer.concat([exported.subarray(0, front), sealToken(keeper, token())])))).toBe('SealBroken')
    expect(refusal(() => importToken(keeper, exported, { tenant: 'x' }))).toBe('SealBroken')
  })
})

describe('the bytes of a token', () => {
  const arbitrary: fc.Arbitrary<SecurityContextToken> = fc.record({
    id: fc.string({ unit: 'binary', maxLength: 1_024 }).map((id) => id as TokenId),
    role: fc.constantFrom('initiator', 'recipient'),
    sc: fc.constantFrom(...SC_VERSIONS.values()),
    suite: fc.constantFrom(...[...SUITES.keys()].map((suite) => suite as SuiteName)),
    principal: fc.oneof(fc.record({ kind: fc.constant('certificate' as const), thumbprint: fc.string(), subject: fc.string({ unit: 'binary' }) }), fc.record({ kind: fc.constant('user' as const), name: fc.string({ unit: 'binary' }) })),
    peer: fc.string({ unit: 'binary', maxLength: 2_000 }),
    instances: fc.array(fc.record({
      secret: fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => secretKey(bytes)), instance: fc.option(fc.string({ unit: 'binary' }), { nil: undefined }),
      created: fc.double({ noNaN: true }), expires: fc.double({ noNaN: true }),
    }).map((fields) => new TokenInstance(fields)), { minLength: 1, maxLength: 12 }),
    state: fc.constantFrom('live', 'cancelled'),
  })
  test('bring back every token', () => {
    fc.assert(fc.property(arbitrary, (original) => {
      expect(plain(decodeToken(encodeToken(original)))).toEqual(plain(original))
    }), { seed: 2, numRuns: 300 })
  })
  test('of another version are refused with its number', () => {
    const bytes = encodeToken(token())
    bytes[0] = 3
    expect(() => decodeToken(bytes)).toThrow(UnknownVersion)
    expect(() => decodeToken(bytes)).toThrow(/3/)
  })
  test('of version 1, as the first release wrote them, are still read', () => {
    expect(plain(decodeToken(Buffer.from(VERSION_1, 'base64')))).toEqual(plain(token()))
  })
  test('hold the id that an element was issued with', () => {
    const [instance] = token().instances
    if (instance === undefined) throw new Error('an instance')
    const named = new TokenInstance({ secret: instance.secret, elementId: 'sctId-1', created: 1, expires: 2 })
    expect(decodeToken(encodeToken(token('urn:uuid:1', { instances: [named] }))).instances[0]?.elementId).toBe('sctId-1')
  })
  test('that were cut, lengthened or made up end with a clear refusal', () => {
    const bytes = encodeToken(token())
    for (let length = 0; length < bytes.length; length++) refusal(() => decodeToken(bytes.subarray(0, length)))
    refusal(() => decodeToken(Buffer.concat([bytes, Buffer.alloc(1)])))
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (random) => { refusal(() => decodeToken(Uint8Array.from([1, ...random]))) }), { seed: 3, numRuns: 2_000 })
    // A changed byte may make another token, never another error.
    for (let i = 0; i < bytes.length; i++) {
      for (const value of [0, 1, 2, 0x7f, 0xff]) {
        const changed = Uint8Array.from(bytes)
        changed[i] = value
        try {
          decodeToken(changed)
        } catch (error) {
          expect(sealedClasses.some((known) => error instanceof known)).toBe(true)
        }
      }
    }
  })
  test('are not made of text that would not come back, nor of words without a place in the table', () => {
    expect(() => encodeToken(token('\ud800'))).toThrow(RangeError)
    expect(() => encodeToken({ ...token(), role: 'both' as 'initiator' })).toThrow(RangeError)
  })
})

test('nothing that is printed, kept or thrown tells a secret', () => {
  const keyring = ring('k1', k1, k2)
  const keeper = createSerializer(keyring, countingRandom())
  const keys = new Subkeys(keyring)
  keys.of('k1', 'sct')
  const secrets = [...SECRETS, rootBytes(1), rootBytes(2)]
  const thrown: unknown[] = []
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(60, 1), sealToken(keeper, token('other'))]) {
    try { openToken(keeper, 'urn:uuid:1', bytes) } catch (error) { thrown.push(error) }
  }
  expect(thrown).toHaveLength(3)
  tellsNothing(secrets, keyring, keeper, keys, token(), token().instances, openToken(keeper, 'x', sealToken(keeper, token('x'))), sealToken(keeper, token()), exportToken(keeper, token()), ...thrown)
  expect(JSON.stringify([keyring, keys, token()])).toContain('[secret]')
  expect(() => tellsNothing(secrets, { planted: SECRETS[0]?.toString('base64') })).toThrow()
  expect(() => tellsNothing(secrets, encodeToken(token()))).toThrow()
})
