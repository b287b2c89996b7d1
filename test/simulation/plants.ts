/**
 * Five defects, each put between the engine and what it is given: a store that lies, a restore that forgets, a reader that believes.
 * The simulation must find every one; the engine itself knows nothing of them.
 */
import { decodeRow, encodeRow } from '../../src/rm/turn.ts'
import type { LaneHead } from '../../src/rm/lane.ts'
import type { Received } from '../../src/rm/turn.ts'
import type { SctSerializer } from '../../src/serializer/serializer.ts'
import { type Row, type Store, storeKey } from '../../src/store/store.ts'
import { type CrashPoint, type Effects, openSerializer, type Plant } from '../../src/testing/simulator.ts'

/** What the head says is changed as it comes back from the store. */
const forgetful = (change: (head: LaneHead) => LaneHead) => (serializer: SctSerializer): SctSerializer => ({
  ...serializer,
  open(purpose, context, sealed) {
    const plain = serializer.open(purpose, context, sealed)
    return purpose === 'lane' ? encodeRow(change(decodeRow<LaneHead>(plain))) : plain
  },
})

/** The store says `committed` before anything is on the disk. */
const acknowledgedBeforeCommit: Plant = {
  store: (store: Store<Effects>): Store<Effects> => ({
    scan: (prefix, options) => store.scan(prefix, options),
    commit: async (lanes) => {
      void store.commit(lanes)
      return lanes.map(() => 'committed' as const)
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }),
}
/** After a restart the next number follows the highest acknowledged one, whatever was given out since. */
const numberUsedAgain: Plant = {
  serializer: forgetful((head) => head.facts.role === 'initiator' ? { ...head, source: { ...head.source, last: head.source.acknowledged.at(-1)?.[1] ?? 0 } } : head),
}
/** What was accepted is known to the process only. */
const duplicatesInMemory: Plant = {
  serializer: forgetful((head) => head.facts.role === 'responder' ? { ...head, destination: { ...head.destination, accepted: [], consumed: 0 } } : head),
}
/** A message is taken to be under the token of whatever sequence it names. */
const tokenNotCompared: Plant = {
  receive(received, engine): Received {
    const { body } = received
    const names = new Set([received.sequence?.id, ...received.ackRequested, ...received.acknowledgements.map((each) => each.sequence), 'sequence' in body ? body.sequence : undefined])
    const lane = engine.sequences().find((each) => names.has(each.sequence ?? '') || names.has(each.offered ?? ''))
    return lane === undefined ? received : { ...received, tokenId: lane.tokenId }
  },
}
/** Messages that wait for their turn come back in another order. */
const orderLost: Plant = {
  store: (store: Store<Effects>): Store<Effects> => ({
    commit: (lanes) => store.commit(lanes),
    async *scan(prefix, options): AsyncIterable<Row> {
      const rows: Row[] = []
      for await (const row of store.scan(prefix, options)) rows.push(row)
      const waiting = rows.filter((row) => row.key.includes(storeKey('received')))
      const messages = waiting.map((row) => decodeRow<object>(row.value.subarray(placeOf(row).length))).reverse()
      for (const row of rows) {
        const at = waiting.indexOf(row)
        const { number } = at < 0 ? { number: 0 } : decodeRow<{ number: number }>(row.value.subarray(placeOf(row).length))
        yield at < 0 ? row : { ...row, value: Buffer.concat([placeOf(row), encodeRow({ ...messages[at], number })]) }
      }
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }),
}
/** What the simulator's serializer writes in front of a row. */
const placeOf = (row: Row): Uint8Array => {
  const lane = row.key.slice(storeKey('msg').length)
  const id = lane.slice(lane.indexOf(':') + 1, lane.indexOf(';'))
  return openSerializer.seal('msg', { parts: [id, row.key] }, new Uint8Array())
}

export const PLANTS: Readonly<Record<string, Plant>> = {
  'an acknowledgement before the commit': acknowledgedBeforeCommit,
  'a number used again after a restart': numberUsedAgain,
  'duplicates remembered in memory only': duplicatesInMemory,
  'a token that is not compared': tokenNotCompared,
  'an order that is lost on restore': orderLost,
}

/** A crash before and after each of the first commits of either side. */
export function points(): readonly CrashPoint[] {
  const all: CrashPoint[] = []
  for (const side of ['initiator', 'responder'] as const) for (let commit = 1; commit <= 16; commit++) for (const when of ['before', 'after'] as const) all.push({ side, commit, when })
  return all
}
