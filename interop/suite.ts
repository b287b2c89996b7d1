/**
 * The tests of one peer: every cell of the cover, and the cases written by hand, all with one process of the stack. What each came to is
 * written down for the table in docs/peers.md.
 *
 * @module
 */
import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, inject, test } from 'vitest'
import { type Case, casesOf, ordinary } from './cases.ts'
import { type Cell, cellsOf, nameOf, ROLES, third } from './cells.ts'
import { converse, Run } from './conversation.ts'
import { scenarioOf } from './ours.ts'
import { Peer, type Stack } from './peer.ts'
import { type Outcome, OUT, RESULTS } from './results.ts'

declare module 'vitest' {
  interface ProvidedContext { missing: string }
}

/** Chance of the networks, and of which third is run. */
const SEED = Number(process.env['INTEROP_THIRD'] ?? 1)
const some = <T>(all: readonly T[]): readonly T[] => (process.env['INTEROP_THIRD'] === undefined ? all : third(all, SEED))
/** By far the longest are the lossy ones of a peer that answers by MakeConnection. */
const TIMEOUT_MS = 150_000

/** Of their side, in the cases that lose by themselves. */
const HURRIED_MS = 800

export function testPeer(stack: Stack): void {
  const missing = inject('missing')
  describe.skipIf(missing !== '').concurrent(stack, () => {
    let peer: Peer
    let version = ''
    beforeAll(async () => {
      peer = await Peer.start(stack, join(OUT, `${stack}.log`))
      version = (await peer.describe()).peer
    }, 60_000)
    afterAll(() => peer?.[Symbol.asyncDispose]())
    const done = (outcome: Omit<Outcome, 'peer' | 'version' | 'date'>): void =>
      appendFileSync(RESULTS, `${JSON.stringify({ peer: stack, version, date: new Date().toISOString().slice(0, 10), ...outcome } satisfies Outcome)}\n`)
    const noting = async (role: Cell['role'], what: string, kind: Outcome['kind'], work: () => Promise<void>): Promise<void> => {
      try {
        await work()
        done({ role, what, kind, passed: true })
      } catch (error) {
        done({ role, what, kind, passed: false })
        throw error
      }
    }

    for (const role of ROLES) {
      describe(role === 'client' ? 'our client, their service' : 'their client, our service', () => {
        const cells = cellsOf(stack, role)
        for (const cell of some(cells)) {
          test(nameOf(cell), () => noting(role, nameOf(cell), 'cell', () => live(cell, cells.indexOf(cell), peer)), TIMEOUT_MS)
        }
        for (const one of some(casesOf(stack, role))) {
          test(one.name, () => noting(role, one.name, 'case', () => byHand(one, ordinary(stack, role, one.changes), peer)), TIMEOUT_MS)
        }
      })
    }
  })
}

async function live(cell: Cell, index: number, peer: Peer): Promise<void> {
  await using run = await Run.start(cell, SEED * 1_000 + index)
  await converse(run, peer).catch((error: unknown) => { throw told(error, run, index) })
}
async function byHand({ name, lifetimeMs, run: work }: Case, cell: Cell, peer: Peer): Promise<void> {
  await using run = await Run.start(cell, SEED, scenarioOf(cell, { retransmitMs: HURRIED_MS, ...(lifetimeMs !== undefined && { lifetimeMs }) }))
  run.isHurried = true
  await work(run, peer).catch((error: unknown) => { throw told(error, run, name.replaceAll(/\W+/g, '-').slice(0, 40)) })
}

/** The failure with what is needed to see it again: the cell, the seed, and where the last messages are. */
function told(error: unknown, run: Run, index: number | string): Error {
  const folder = join(OUT, `${run.cell.peer}-${run.cell.role}-${index}`)
  mkdirSync(folder, { recursive: true })
  const files = run.write(folder)
  const reason = error instanceof Error ? `${'code' in error ? `${String(error.code)}: ` : ''}${error.message}` : String(error)
  return new Error(`${reason}\n  refused here: ${[...new Set(run.refusals)].join('; ') || 'nothing'}\n  scenario: ${JSON.stringify(run.cell)}\n  seed: ${run.seed}\n  last messages: ${files.slice(-4).join(' ')}`, { cause: error })
}
