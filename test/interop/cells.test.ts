/** The cells of the live runs: every two choices that can stand together do so, each often enough; and docs/peers.md says what is run and what is not. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { allCells, cellsOf, FIELDS, type Field, nameOf, ROLES, SPACE, third } from '../../interop/cells.ts'
import { LIMITS } from '../../interop/limits.ts'
import { type Stack, STACKS } from '../../interop/peer.ts'
import { offTable, places } from '../../interop/results.ts'

type Chosen = { readonly [K in Field]?: unknown }
const excluded = (peer: Stack, role: string, chosen: Chosen): boolean => LIMITS.some((limit) =>
  (limit.peer ?? peer) === peer && (limit.role ?? role) === role &&
  Object.entries(limit.when).every(([field, values]) => [values].flat().some((value) => value === chosen[field as Field])))
/** By trying all of what limits speak of: written again, so as not to believe the generator. */
function possible(peer: Stack, role: string, chosen: Chosen): boolean {
  if (excluded(peer, role, chosen)) return false
  const open = FIELDS.find((field) => chosen[field] === undefined && LIMITS.some((limit) => limit.when[field] !== undefined))
  return open === undefined || SPACE[open].some((value) => possible(peer, role, { ...chosen, [open]: value }))
}

describe.each(STACKS.flatMap((peer) => ROLES.map((role) => [peer, role] as const)))('%s, our %s', (peer, role) => {
  const cells = cellsOf(peer, role)

  test('no cell is switched off', () => {
    for (const cell of cells) expect(excluded(peer, role, cell), nameOf(cell)).toBe(false)
  })
  test('each value that is possible stands in at least three cells', () => {
    for (const field of FIELDS) for (const value of SPACE[field]) {
      const count = cells.filter((cell) => cell[field] === value).length
      if (count < 3) expect({ field, value, possible: possible(peer, role, { [field]: value }) }).toEqual({ field, value, possible: false })
    }
  })
  test('each two values that are possible together stand in one cell', () => {
    for (const [at, one] of FIELDS.entries()) for (const other of FIELDS.slice(at + 1)) {
      for (const first of SPACE[one]) for (const second of SPACE[other]) {
        if (cells.some((cell) => cell[one] === first && cell[other] === second)) continue
        expect({ [one]: first, [other]: second, possible: possible(peer, role, { [one]: first, [other]: second }) }).toMatchObject({ possible: false })
      }
    }
  })
  test('no two cells have one name', () => {
    expect(new Set(cells.map(nameOf)).size).toBe(cells.length)
  })
})

test('a full run has at least 120 cells, and is the same every time', () => {
  const cells = allCells()
  expect(cells.length).toBeGreaterThanOrEqual(120)
  expect(allCells()).toEqual(cells)
})

test('a third is a third, another for another seed', () => {
  const cells = cellsOf('cxf', 'client')
  expect(third(cells, 1)).toHaveLength(Math.ceil(cells.length / 3))
  expect(third(cells, 1)).toEqual(third(cells, 1))
  expect(third(cells, 1)).not.toEqual(third(cells, 2))
})

describe('docs/peers.md', () => {
  const text = readFileSync(new URL('../../docs/peers.md', import.meta.url), 'utf8')

  test('lists what is switched off, as the data has it', () => {
    expect(places(text).off.trim()).toBe(offTable())
  })
  test('has a result for every cell', () => {
    const { results } = places(text)
    for (const cell of allCells()) expect(results, `${cell.peer} ${cell.role}: npm run test:interop -- --write`).toContain(`| our ${cell.role} | ${nameOf(cell)} |`)
  })
})
