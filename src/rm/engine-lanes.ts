/**
 * The lanes of this process, and how they follow on each other: which lane an id means by now, and which lanes a conversation has left behind.
 *
 * @module
 */
import { UsageError } from '../errors.ts'
import type { Shell } from './engine-shell.ts'
import type { LaneId } from './turn.ts'

export class Lanes<Tx> {
  readonly #shells = new Map<LaneId, Shell<Tx>>()
  /** Where conversations went on whose first lanes are forgotten: a long one may move often. Each leads to a lane that is here. */
  readonly #forgotten = new Map<LaneId, LaneId>()

  /** That very lane. */
  get(id: LaneId): Shell<Tx> | undefined { return this.#shells.get(id) }
  has(id: LaneId): boolean { return this.#shells.has(id) }
  [Symbol.iterator](): Iterator<Shell<Tx>> { return this.#shells.values() }
  /** A LaneId is the conversation's for its life: after a move it means the lane that goes on. */
  current(id: LaneId): Shell<Tx> | undefined {
    for (let lane = id; ;) {
      const shell = this.#shells.get(lane)
      const next = shell === undefined ? this.#forgotten.get(lane) : shell.movedTo?.lane
      if (next === undefined) return shell
      lane = next
    }
  }
  /** @throws {UsageError} */
  known(id: LaneId): Shell<Tx> {
    const shell = this.current(id)
    if (shell === undefined) throw new UsageError('ERR_LANE_UNKNOWN', 'there is no such lane')
    return shell
  }
  /** The live lane of that name. */
  named(name: string): Shell<Tx> | undefined {
    for (const shell of this.#shells.values()) if (shell.facts.name === name && !shell.isOver && shell.movedTo === undefined) return shell
    return undefined
  }

  add(shell: Shell<Tx>): void { this.#shells.set(shell.facts.lane, shell) }
  /** The ids that led to it lead on to where it moved; where it ended without, nobody can ask for it by any of them. */
  forget(shell: Shell<Tx>): void {
    const { lane } = shell.facts
    const to = shell.movedTo?.lane
    const next = to === undefined || this.#shells.has(to) ? to : this.#forgotten.get(to)
    this.#shells.delete(lane)
    for (const id of [lane, ...this.#forgotten.keys()]) {
      if (id !== lane && this.#forgotten.get(id) !== lane) continue
      if (next === undefined) this.#forgotten.delete(id)
      else this.#forgotten.set(id, next)
    }
  }

  /** D18: a conversation of that name that has ended still knows its keys, until it is forgotten: who did not hear the end asks again for what is done. So do the sequences that this one goes on for. */
  before(shell: Shell<Tx>): readonly Shell<Tx>[] {
    const { role, name, url, movedFrom } = shell.facts
    if (role !== 'initiator' || (name === undefined && movedFrom === undefined)) return []
    const predecessors = this.predecessors(shell)
    return [...this.#shells.values()].filter((each) => each !== shell && (predecessors.has(each.facts.lane) || (name !== undefined && each.isOver && each.facts.name === name && each.facts.url === url)))
  }
  /** The lanes that this one goes on for, the last one first. */
  predecessors(shell: Shell<Tx>): ReadonlySet<LaneId> {
    const lanes = new Set<LaneId>()
    for (let lane = shell.facts.movedFrom; lane !== undefined && !lanes.has(lane); lane = this.#shells.get(lane)?.facts.movedFrom) lanes.add(lane)
    return lanes
  }
}
