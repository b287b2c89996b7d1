/** The lanes of a process: an id is the conversation's for its life, and no longer. */
import { expect, test } from 'vitest'
import { Lanes } from '../../../src/rm/engine-lanes.ts'
import { newShell, type Shell } from '../../../src/rm/engine-shell.ts'
import type { LaneId } from '../../../src/rm/turn.ts'
import { A } from './bench.ts'

const id = (name: string): LaneId => name as LaneId
/** Lanes a, b, c, …, each of which has moved to the next. */
function moved(...names: readonly string[]): { readonly lanes: Lanes<undefined>; readonly of: (name: string) => Shell<undefined> } {
  const lanes = new Lanes<undefined>()
  const shells = new Map<string, Shell<undefined>>()
  for (const [index, name] of names.entries()) {
    const shell = newShell<undefined>({ lane: id(name), role: 'initiator', tokenId: A, rm: '1.1', createdAt: 0, createMessageId: `create ${name}` }, {})
    const next = names[index + 1]
    if (next !== undefined) shell.movedTo = { lane: id(next), numbers: [] }
    shells.set(name, shell)
    lanes.add(shell)
  }
  const of = (name: string): Shell<undefined> => {
    const shell = shells.get(name)
    if (shell === undefined) throw new Error(`no lane ${name}`)
    return shell
  }
  return { lanes, of }
}

test('whichever of its lanes are forgotten, and in whatever order, every id of the conversation means the lane that goes on', () => {
  for (const order of [['a', 'b', 'c'], ['c', 'b', 'a'], ['b', 'a', 'c'], ['b', 'c', 'a']]) {
    const { lanes, of } = moved('a', 'b', 'c', 'd')
    for (const name of order) lanes.forget(of(name))
    for (const name of ['a', 'b', 'c', 'd']) expect(lanes.current(id(name))).toBe(of('d'))
  }
})
test('a conversation that moves on after its first lanes are forgotten is found by their ids', () => {
  const { lanes, of } = moved('a', 'b')
  lanes.forget(of('a'))
  const next = newShell<undefined>({ ...of('b').facts, lane: id('c') }, {})
  lanes.add(next)
  of('b').movedTo = { lane: id('c'), numbers: [] }
  expect(lanes.current(id('a'))).toBe(next)
  lanes.forget(of('b'))
  expect(lanes.current(id('a'))).toBe(next)
})
test('nothing is kept of a conversation whose last lane is forgotten: its ids lead nowhere, not even when that lane is there again', () => {
  for (const order of [['a', 'b', 'c'], ['c', 'b', 'a'], ['b', 'c', 'a']]) {
    const { lanes, of } = moved('a', 'b', 'c')
    for (const name of order) lanes.forget(of(name))
    expect([...lanes]).toEqual([])
    lanes.add(of('c'))
    for (const name of ['a', 'b']) expect(lanes.current(id(name))).toBeUndefined()
  }
})
