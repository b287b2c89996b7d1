import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { derInteger, derOid, derText, derValue, derValues } from '../../../src/crypto/der.ts'
import { nameText } from '../../../src/crypto/name.ts'
import { oid } from './certificates.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
describe('DER', () => {
  test('is read with short and long lengths', () => {
    expect(derValues(hex('0401ff0500')).map(({ tag, body }) => [tag, Buffer.from(body).toString('hex')])).toEqual([[4, 'ff'], [5, '']])
    expect(derValue(Buffer.concat([hex('048180'), Buffer.alloc(128)]), 4).body).toHaveLength(128)
    expect(derValue(Buffer.concat([hex('04820100'), Buffer.alloc(256)]), 4).body).toHaveLength(256)
  })
  test.each(['04', '0401', '0480', '04800000', '0485000000000', '0484ffffffff', '04820001', '048201', '1f8101', '3f00', '0402ff'])('%s is none', (text) => {
    expect(() => derValues(hex(text.padEnd(text.length + (text.length % 2), '0')))).toThrow(RangeError)
  })
  test('of another tag, or followed by more, is not the value that was meant', () => {
    for (const text of ['', '0500', '04000400']) expect(() => derValue(hex(text), 4)).toThrow(RangeError)
  })
  test('names identifiers', () => {
    for (const id of ['2.5.29.14', '1.2.840.113549.1.9.1', '0.9.2342.19200300.100.1.25', '2.5.4.3']) expect(derOid(derValue(oid(id), 6).body)).toBe(id)
    expect(derOid(hex('883703'))).toBe('2.999.3')
  })
  test.each(['', '551d0e80', '551d800e', '80551d0e', 'ff', '55'.repeat(65)])('%s names none', (text) => expect(() => derOid(hex(text))).toThrow(RangeError))
  test('has integers of both signs, of a size that is read', () => {
    expect(['00', '7f', '80', 'ff7f', '00ff'].map((text) => derInteger(hex(text)))).toEqual([0n, 127n, -128n, -129n, 255n])
    for (const size of [0, 65, 10_000]) expect(() => derInteger(Buffer.alloc(size))).toThrow(RangeError)
  })
  test('has texts, of string types only', () => {
    expect(derText({ tag: 0x1e, body: hex('00410'.padEnd(6, '0')), raw: hex('') })).toBe('A')
    expect(derText({ tag: 0x05, body: hex(''), raw: hex('') })).toBeUndefined()
  })
  test('that is made up ends with a RangeError, if with an error', () => {
    const known = (read: () => unknown): void => {
      try { read() } catch (error) { expect(error).toBeInstanceOf(RangeError) }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      known(() => derValues(bytes))
      known(() => derOid(bytes))
      known(() => nameText(bytes))
      known(() => nameText(Buffer.concat([Buffer.from([0x30, bytes.length & 0x7f]), bytes])))
    }), { seed: 4, numRuns: 3_000 })
  })
})
