import { describe, expect, test } from 'vitest'
import { simulate } from '../../src/testing/simulator.ts'
import { PLANTS, points } from './plants.ts'

describe('a seeded world', () => {
  test('500 histories: every accepted message is delivered once and in order, every request replied, every sequence ended and forgotten', async () => {
    let [crashes, attacks, lost, moves] = [0, 0, 0, 0]
    for (let seed = 1; seed <= 500; seed++) {
      const report = await simulate({ seed })
      expect(report.violations, `seed ${seed}`).toEqual([])
      crashes += report.crashes
      attacks += report.attacks
      lost += report.lost
      moves += report.moves
    }
    // The histories are worth something: things did go wrong in them.
    expect(crashes).toBeGreaterThan(400)
    expect(attacks).toBeGreaterThan(1_000)
    expect(lost).toBeGreaterThan(1_000)
    expect(moves).toBeGreaterThan(20)
  })
  test('the same seed gives the same history', async () => {
    const traces: string[][] = [[], []]
    for (const trace of traces) await simulate({ seed: 4711, trace: (line) => trace.push(line) })
    expect(traces[0]).toEqual(traces[1])
    expect(traces[0]?.length).toBeGreaterThan(10)
  })
})

describe('wherever the answers go', () => {
  for (const endpoint of ['anonymous', 'make-connection', 'address'] as const) {
    test(`to ${endpoint}: 200 histories`, async () => {
      for (let seed = 1; seed <= 200; seed++) expect((await simulate({ seed, endpoint })).violations, `seed ${seed}`).toEqual([])
    })
    test(`to ${endpoint}: a conversation of three messages survives a crash before and after each commit of either side`, async () => {
      let crashes = 0
      for (const point of points()) {
        const report = await simulate({ seed: 1, crashes: [point], endpoint })
        expect(report.violations, JSON.stringify(point)).toEqual([])
        crashes += report.crashes
      }
      // Every point but those behind the last commit was reached.
      expect(crashes).toBeGreaterThan(40)
    })
  }
})

describe('a conversation whose peer loses its sequences', () => {
  // While it asks for its sequence, while it sends, and towards its end.
  for (const forgetsAfterMs of [30, 120, 250, 450]) {
    test(`after ${forgetsAfterMs} ms goes on on another one, with a crash before and after each commit of either side`, async () => {
      let [crashes, moves] = [0, 0]
      for (const point of points()) {
        const report = await simulate({ seed: 1, crashes: [point], forgetsAfterMs })
        expect(report.violations, JSON.stringify(point)).toEqual([])
        crashes += report.crashes
        moves += report.moves
      }
      expect(crashes).toBeGreaterThan(40)
      expect(moves).toBeGreaterThan(0)
    })
  }
})

describe('a planted defect is found', () => {
  for (const [name, plant] of Object.entries(PLANTS)) {
    test(`${name}, within 3,000 histories`, async () => {
      let found: number | undefined
      for (let seed = 1; seed <= 3_000 && found === undefined; seed++) {
        const { violations } = await simulate({ seed, plant })
        if (violations.length > 0) found = seed
      }
      expect(found).toBeDefined()
    })
  }
})
