/** The two stores give the same answers to the same history, and so does a model of a dozen lines. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import { type CommitResult, type LaneCommit, MemoryStore, type Store } from '../../src/store/store.ts'

const folder = mkdtempSync(join(tmpdir(), 'wsrm-agree-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Lane { readonly expect: LaneCommit['expect']; readonly writes: LaneCommit['writes']; readonly fails: boolean }
const key = fc.constantFrom('a', 'aa', 'b', '\uffff', '\u{1f600}', 'a\u0000', '')
const lane: fc.Arbitrary<Lane> = fc.record({
  expect: fc.array(fc.record({ head: key, revision: fc.oneof(fc.constant('absent' as const), fc.integer({ min: 1, max: 3 })) }), { maxLength: 2 }),
  writes: fc.array(fc.oneof({ weight: 3, arbitrary: fc.record({ put: key, value: fc.uint8Array({ maxLength: 3 }) }) }, { weight: 1, arbitrary: fc.record({ delete: key }) }), { maxLength: 3 }),
  fails: fc.nat(4).map((one) => one === 0),
})
/** Steps of calls that are made together. */
const history = fc.array(fc.array(fc.array(lane, { maxLength: 3 }), { minLength: 1, maxLength: 3 }), { maxLength: 8 })

const fail = (): never => { throw new Error('planned') }
async function play(store: Store<undefined> | Store<DatabaseSync>, steps: readonly (readonly (readonly Lane[])[])[]): Promise<unknown> {
  const seen: unknown[] = []
  for (const calls of steps) {
    const answers = await Promise.all(calls.map((lanes) => store.commit(lanes.map(({ expect: expected, writes, fails }) => ({ expect: expected, writes, ...(fails ? { work: fail } : {}) })))))
    seen.push(answers.map((results: readonly CommitResult[]) => results.map((result) => (typeof result === 'string' ? result : 'failed'))))
    for (const prefix of ['', 'a', '\uffff']) for await (const row of store.scan(prefix, { after: prefix === 'a' ? 'a' : '\u0000' })) seen.push([prefix, row.key, [...row.value], row.revision])
  }
  return seen
}
async function model(steps: readonly (readonly (readonly Lane[])[])[]): Promise<unknown> {
  const seen: unknown[] = []
  let rows = new Map<string, { readonly value: readonly number[]; readonly revision: number }>()
  for (const calls of steps) {
    seen.push(calls.map((lanes) => lanes.map((each) => {
      if (each.expect.some(({ head, revision }) => (rows.get(head)?.revision ?? 'absent') !== revision)) return 'conflict'
      if (each.fails) return 'failed'
      const next = new Map(rows)
      for (const write of each.writes) {
        if ('delete' in write) next.delete(write.delete)
        else next.set(write.put, { value: [...write.value], revision: (next.get(write.put)?.revision ?? 0) + 1 })
      }
      rows = next
      return 'committed'
    })))
    const sorted = [...rows].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    for (const prefix of ['', 'a', '\uffff']) {
      const after = prefix === 'a' ? 'a' : '\u0000'
      for (const [name, { value, revision }] of sorted) if (name.startsWith(prefix) && Buffer.compare(Buffer.from(name), Buffer.from(after)) > 0) seen.push([prefix, name, value, revision])
    }
  }
  return seen
}

test('both stores answer 300 histories as the model does', async () => {
  let made = 0
  await fc.assert(fc.asyncProperty(history, async (steps) => {
    const memory = new MemoryStore()
    const sqlite = await openSqliteStore(join(folder, `${made++}.db`))
    try {
      const expected = await model(steps)
      expect(await play(memory, steps)).toEqual(expected)
      expect(await play(sqlite, steps)).toEqual(expected)
    } finally {
      await sqlite[Symbol.asyncDispose]()
    }
  }), { seed: 5, numRuns: 300 })
})
