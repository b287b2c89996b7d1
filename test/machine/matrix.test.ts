import { describe, expect, test } from 'vitest'
import { DESTINATION_TABLE, type DestinationState } from '../../src/rm/destination.ts'
import { SOURCE_TABLE, type SourceState } from '../../src/rm/source-words.ts'
import { DESTINATION_CASES, DESTINATION_EVENTS, destinationAfter, NOW, SOURCE_CASES, SOURCE_EVENTS, sourceAfter } from './machines.ts'

type Table = Readonly<Record<string, Readonly<Partial<Record<string, readonly string[]>>>>>

/** One line for each state and event: what a person reviews. */
function printed(table: Table, kinds: readonly string[]): string {
  const lines = Object.keys(table).flatMap((state) => kinds.map((kind) => `${state.padEnd(12)} ${kind.padEnd(14)} ${table[state]?.[kind]?.join(' | ') ?? 'refused'}`))
  return `${lines.join('\n')}\n`
}

describe('the RM Source', () => {
  const kinds = SOURCE_EVENTS.map((event) => event.kind)
  for (const each of SOURCE_CASES) {
    test(`${each.event.kind} leads from ${each.from} to ${each.to} after ${each.after.map((event) => event.kind).join(', ') || 'nothing'}${each.with?.rm === undefined ? '' : ' in RM 1.0'}`, () => {
      const source = sourceAfter(each.after, each.with)
      expect(source.state).toBe(each.from)
      source.handle(each.event, NOW + (each.later ?? 0))
      expect(source.state).toBe(each.to)
    })
  }
  test('every state and event that the table lists is reached, each way that it lists, and none besides', () => {
    const reached: Record<string, Record<string, string[]>> = {}
    for (const { from, event, to } of SOURCE_CASES) {
      const row = reached[from] ?? {}
      reached[from] = row
      row[event.kind] = [...new Set([...row[event.kind] ?? [], to])].sort()
    }
    const listed = Object.fromEntries(Object.entries(SOURCE_TABLE).map(([state, row]) => [state, Object.fromEntries(Object.entries(row).map(([kind, to]) => [kind, [...to].sort()]))]))
    expect(reached).toEqual(listed)
  })
  test('every other pair is refused by one error that names machine, state and event, and changes nothing', () => {
    let refusals = 0
    for (const state of Object.keys(SOURCE_TABLE) as SourceState[]) {
      const example = SOURCE_CASES.find((each) => each.from === state)
      for (const event of SOURCE_EVENTS) {
        if (SOURCE_TABLE[state][event.kind] !== undefined) continue
        refusals++
        const source = sourceAfter(example?.after ?? [], example?.with)
        const before = JSON.stringify(source.snapshot())
        expect(() => source.handle(event, NOW)).toThrow(expect.objectContaining({ code: 'ERR_RM_STATE', message: `source: ${event.kind} is refused in state ${state}` }))
        expect(JSON.stringify(source.snapshot())).toBe(before)
      }
    }
    expect(refusals).toBe(Object.keys(SOURCE_TABLE).length * kinds.length - Object.values(SOURCE_TABLE).flatMap((row) => Object.keys(row)).length)
  })
  test('the matrix is the one that was reviewed', async () => {
    await expect(printed(SOURCE_TABLE as Table, kinds)).toMatchFileSnapshot('source.matrix.txt')
  })
})

describe('the RM Destination', () => {
  const kinds = DESTINATION_EVENTS.map((event) => event.kind)
  for (const each of DESTINATION_CASES) {
    const number = 'number' in each.event ? ` ${each.event.number}` : ''
    test(`${each.event.kind}${number} leads from ${each.from} to ${each.to} after ${each.after.map((event) => event.kind).join(', ') || 'nothing'}`, () => {
      const destination = destinationAfter(each.after, each.with)
      expect(destination.state).toBe(each.from)
      destination.handle(each.event, NOW + (each.later ?? 0))
      expect(destination.state).toBe(each.to)
    })
  }
  test('every state and event that the table lists is reached, each way that it lists, and none besides', () => {
    const reached: Record<string, Record<string, string[]>> = {}
    for (const { from, event, to } of DESTINATION_CASES) {
      const row = reached[from] ?? {}
      reached[from] = row
      row[event.kind] = [...new Set([...row[event.kind] ?? [], to])].sort()
    }
    const listed = Object.fromEntries(Object.entries(DESTINATION_TABLE).map(([state, row]) => [state, Object.fromEntries(Object.entries(row).map(([kind, to]) => [kind, [...to].sort()]))]))
    expect(reached).toEqual(listed)
  })
  test('every other pair is refused by one error that names machine, state and event, and changes nothing', () => {
    for (const state of Object.keys(DESTINATION_TABLE) as DestinationState[]) {
      const example = DESTINATION_CASES.find((each) => each.from === state)
      for (const event of DESTINATION_EVENTS) {
        if (DESTINATION_TABLE[state][event.kind] !== undefined) continue
        const destination = destinationAfter(example?.after ?? [], example?.with)
        const before = JSON.stringify(destination.snapshot())
        expect(() => destination.handle(event, NOW)).toThrow(expect.objectContaining({ code: 'ERR_RM_STATE', message: `destination: ${event.kind} is refused in state ${state}` }))
        expect(JSON.stringify(destination.snapshot())).toBe(before)
      }
    }
  })
  test('the matrix is the one that was reviewed', async () => {
    await expect(printed(DESTINATION_TABLE as Table, kinds)).toMatchFileSnapshot('destination.matrix.txt')
  })
})
