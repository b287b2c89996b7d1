import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareKeys, MemoryStore, storeKey } from '../../../src/store/store.ts'

const text = fc.string({ unit: 'binary', maxLength: 12 })
describe('keys of parts', () => {
  test('are prefixes of exactly the keys that begin with the same parts', () => {
    fc.assert(fc.property(fc.array(text, { maxLength: 4 }), fc.array(text, { maxLength: 4 }), (a, b) => {
      const begins = a.every((part, i) => part === b[i])
      expect(storeKey(...b).startsWith(storeKey(...a))).toBe(begins)
    }), { seed: 1, numRuns: 2_000 })
  })
  test('of numbers are ordered as the numbers are', () => {
    fc.assert(fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
      expect(Math.sign(compareKeys(storeKey('x', a), storeKey('x', b)))).toBe(Math.sign(a - b))
    }), { seed: 2, numRuns: 500 })
  })
})
test('keys are compared as their UTF-8 bytes are', () => {
  fc.assert(fc.property(text, text, (a, b) => {
    expect(Math.sign(compareKeys(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }), { seed: 3, numRuns: 3_000 })
  expect(compareKeys('\uffff', '\u{10000}')).toBeLessThan(0)
})

describe('the store in memory', () => {
  test('lets the work of a commit wait, and other commits wait with it', async () => {
    const store = new MemoryStore()
    const order: string[] = []
    let release = (): void => {}
    const held = new Promise<void>((resolve) => { release = resolve })
    const first = store.commit([{ expect: [], writes: [{ put: 'a', value: Buffer.from('1') }], work: async () => { order.push('work'); await held } }]).then((results) => { order.push('first'); return results })
    const second = store.commit([{ expect: [{ head: 'a', revision: 1 }], writes: [] }]).then((results) => { order.push('second'); return results })
    release()
    expect(await Promise.all([first, second])).toEqual([['committed'], ['committed']])
    expect(order).toEqual(['work', 'first', 'second'])
  })
  test('takes nothing of a lane whose work was rejected', async () => {
    const store = new MemoryStore()
    const failed = new Error('no')
    expect(await store.commit([{ expect: [], writes: [{ put: 'a', value: Buffer.from('1') }], work: () => Promise.reject(failed) }])).toEqual([{ failed }])
    for await (const row of store.scan('')) expect.fail(row.key)
  })
})
