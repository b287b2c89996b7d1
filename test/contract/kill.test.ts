import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { killRound } from './kill.ts'

const folder = mkdtempSync(join(tmpdir(), 'wsrm-kill-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// Rounds share a file: each opens what the kill before it left. test/long has ten times as many.
test.each([1, 37, 400])('a process killed after %i acknowledgements has lost none of them', async (after) => {
  const { acknowledged } = await killRound(join(folder, 'killed.db'), after, after)
  expect(acknowledged).toBeGreaterThanOrEqual(after)
})

test('a process that acknowledges before it commits is caught', async () => {
  await expect(killRound(join(folder, 'early.db'), 0, 10, 'early')).rejects.toThrow(/0:0:1/)
})
