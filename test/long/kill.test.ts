import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { killRound } from '../contract/kill.ts'

const folder = mkdtempSync(join(tmpdir(), 'wsrm-kills-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('thirty kills lose no acknowledged row', async () => {
  let acknowledged = 0
  for (let round = 0; round < 30; round++) acknowledged += (await killRound(join(folder, 'killed.db'), round, 1 + ((round * 277) % 1_500))).acknowledged
  console.info(`30 kills, ${acknowledged} rows acknowledged, 0 lost`)
  expect(acknowledged).toBeGreaterThan(15_000)
}, 300_000)
