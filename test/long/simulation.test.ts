import { describe, expect, test } from 'vitest'
import { simulate } from '../../src/testing/simulator.ts'
import { PLANTS, points } from '../simulation/plants.ts'

const HISTORIES = 20_000
/** Far from the seeds of the short run. */
const FIRST = 100_000

describe('the long run', () => {
  test(`${HISTORIES} histories without a violation`, async () => {
    const sums = { messages: 0, steps: 0, commits: 0, crashes: 0, lost: 0, attacks: 0, virtualMs: 0 }
    for (let seed = FIRST; seed < FIRST + HISTORIES; seed++) {
      const report = await simulate({ seed })
      expect(report.violations, `seed ${seed}`).toEqual([])
      for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += report[key]
    }
    console.log(JSON.stringify({ histories: HISTORIES, ...sums, virtualHours: Math.round(sums.virtualMs / 3_600_000) }))
  }, 15 * 60_000)

  test('three messages survive any two crashes, each before or after any commit of either side', async () => {
    const all = points()
    let crashes = 0
    for (const first of all) for (const second of all) {
      if (first === second) continue
      const report = await simulate({ seed: 1, crashes: [first, second] })
      expect(report.violations, JSON.stringify([first, second])).toEqual([])
      crashes += report.crashes
    }
    console.log(`${all.length * (all.length - 1)} histories, ${crashes} crashes`)
  }, 15 * 60_000)

  test('how soon each planted defect is found', async () => {
    for (const [name, plant] of Object.entries(PLANTS)) {
      let found = 0
      for (let seed = 1; seed <= 300; seed++) if ((await simulate({ seed, plant })).violations.length > 0) found++
      console.log(`${name}: ${(found / 3).toFixed(1)} % of histories`)
      expect(found, name).toBeGreaterThan(0)
    }
  }, 15 * 60_000)
})
