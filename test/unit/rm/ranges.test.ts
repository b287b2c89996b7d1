import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PeerViolation } from '../../../src/errors.ts'
import { acknowledgedSpans, NumberSet } from '../../../src/rm/ranges.ts'
import type { ReceivedAcknowledgement } from '../../../src/rm/turn.ts'

describe('a set of numbers', () => {
  test('agrees with a plain Set, whatever is added in whatever order', () => {
    const span = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 5 })).map(([lower, length]) => [lower, lower + length] as const)
    fc.assert(fc.property(fc.array(fc.oneof(fc.integer({ min: 1, max: 45 }), span), { maxLength: 30 }), (steps) => {
      const set = new NumberSet()
      const plain = new Set<number>()
      for (const step of steps) {
        if (typeof step === 'number') {
          const [before, expected] = [set.spanCountWith(step), !plain.has(step)]
          expect(set.add(step)).toBe(expected)
          expect(set.spanCount).toBe(before)
          plain.add(step)
        } else {
          set.addSpan(...step)
          for (let number = step[0]; number <= step[1]; number++) plain.add(number)
        }
      }
      for (let number = 0; number <= 50; number++) expect(set.has(number)).toBe(plain.has(number))
      expect(set.top).toBe(Math.max(0, ...plain))
      let contiguous = 0
      while (plain.has(contiguous + 1)) contiguous++
      expect(set.contiguousTop).toBe(contiguous)
      // Sorted, apart by at least one number.
      for (const [index, [lower, upper]] of set.spans.entries()) {
        expect(lower).toBeLessThanOrEqual(upper)
        if (index > 0) expect(lower).toBeGreaterThan((set.spans[index - 1]?.[1] ?? 0) + 1)
      }
      expect(new NumberSet(set.spans).spans).toEqual(set.spans)
    }), { seed: 1, numRuns: 500 })
  })
  test('takes a span of 2^53 numbers in no time', () => {
    const set = new NumberSet([[1, Number.MAX_SAFE_INTEGER]])
    expect(set.contiguousTop).toBe(Number.MAX_SAFE_INTEGER)
    expect(set.has(2 ** 50)).toBe(true)
  })
})

describe('a received acknowledgement', () => {
  const received = (also: Partial<ReceivedAcknowledgement>): ReceivedAcknowledgement => ({ sequence: 's', ranges: [], nacks: [], none: false, final: false, ...also })
  const rules = { last: 10, maxRanges: 4, zeroMeansNone: false }
  test.each<[string, Partial<ReceivedAcknowledgement>, string]>([
    ['a number that was never sent', { ranges: [[1n, 11n]] }, 'ERR_RM_ACK_UNSENT'],
    ['2^63 - 1', { ranges: [[1n, 2n ** 63n - 1n]] }, 'ERR_RM_ACK_UNSENT'],
    ['upper below lower', { ranges: [[3n, 2n]] }, 'ERR_RM_ACK_RANGE'],
    ['zero', { ranges: [[0n, 2n]] }, 'ERR_RM_ACK_RANGE'],
    ['0-0 where None exists', { ranges: [[0n, 0n]] }, 'ERR_RM_ACK_RANGE'],
    ['overlap', { ranges: [[1n, 3n], [3n, 4n]] }, 'ERR_RM_ACK_ORDER'],
    ['descending', { ranges: [[5n, 6n], [1n, 2n]] }, 'ERR_RM_ACK_ORDER'],
    ['Nack beside ranges', { ranges: [[1n, 1n]], nacks: [2n] }, 'ERR_RM_ACK_MIXED'],
    ['Nack beside Final', { nacks: [2n], final: true }, 'ERR_RM_ACK_MIXED'],
    ['too many ranges', { ranges: [[1n, 1n], [3n, 3n], [5n, 5n], [7n, 7n], [9n, 9n]] }, 'ERR_RM_ACK_COUNT'],
    ['too many Nacks', { nacks: [1n, 2n, 3n, 4n, 5n] }, 'ERR_RM_ACK_COUNT'],
  ])('with %s is refused whole', (_, also, code) => {
    expect(() => acknowledgedSpans(received(also), rules)).toThrow(expect.objectContaining({ code, fault: expect.objectContaining({ name: 'InvalidAcknowledgement' }) }) as PeerViolation)
  })
  test.each<[string, Partial<ReceivedAcknowledgement>, readonly (readonly [number, number])[]]>([
    ['None', { none: true }, []],
    ['None behind its ranges, as one stack writes it', { ranges: [[1n, 2n]], none: true }, [[1, 2]]],
    ['neighbouring ranges', { ranges: [[1n, 2n], [3n, 3n]] }, [[1, 2], [3, 3]]],
    ['Nacks alone', { nacks: [3n] }, []],
  ])('with %s is taken', (_, also, spans) => { expect(acknowledgedSpans(received(also), rules)).toEqual(spans) })
  test('of RM 1.0 says nothing by 0-0', () => { expect(acknowledgedSpans(received({ ranges: [[0n, 0n]] }), { ...rules, zeroMeansNone: true })).toEqual([]) })
})
