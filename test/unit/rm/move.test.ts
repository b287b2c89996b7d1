/** A conversation that goes on on another sequence: one commit of both lanes, and everybody finds the way. */
import { describe, expect, test } from 'vitest'
import { DeliveryFailed, FAULTS } from '../../../src/errors.ts'
import { numberIn } from '../../../src/rm/engine-move.ts'
import { type LaneId, type Outbound, sentKey } from '../../../src/rm/turn.ts'
import { RM11 } from '../../../src/spec/versions.ts'
import { type CommitResult, type LaneCommit, MemoryStore, type Row, type Store, storeKey } from '../../../src/store/store.ts'
import { Chance } from '../../../src/testing/simulator.ts'
import { A, B, Bench, type BenchOptions, content, settled, URL } from './bench.ts'

/** Remembers what was committed; the next commit fails, or is written and not heard of. */
class Watched implements Store<undefined> {
  readonly inner: MemoryStore = new MemoryStore()
  readonly commits: LaneCommit<undefined>[] = []
  next: 'fails' | 'unheard' | undefined
  scan(prefix: string): AsyncIterable<Row> { return this.inner.scan(prefix) }
  async commit(lanes: readonly LaneCommit<undefined>[]): Promise<readonly CommitResult[]> {
    const { next } = this
    this.next = undefined
    if (next === 'fails') return lanes.map(() => ({ failed: new Error('disk') }))
    this.commits.push(...lanes)
    const results = await this.inner.commit(lanes)
    if (next === 'unheard') throw new Error('connection lost')
    return results
  }
  [Symbol.asyncDispose](): Promise<void> { return this.inner[Symbol.asyncDispose]() }
}
const TO_B = { token: B, doubtful: 'stay', behind: 'leave' } as const
/** Five messages in an open lane, of which two may be under way at once. */
async function five(options: BenchOptions = {}): Promise<{ readonly bench: Bench; readonly lane: LaneId }> {
  const bench = new Bench({ timing: { window: 2 }, ...options })
  const lane = await bench.opened()
  for (const name of ['a', 'b', 'c', 'd', 'e']) await bench.engine.submit(lane, content(name), name === 'd' ? 'request' : 'one-way', name)
  await settled()
  return { bench, lane }
}
const numbers = (sent: readonly Outbound[]): unknown[] => sent.filter(({ body }) => body.kind === 'application').map(({ sequence, tokenId }) => [tokenId, sequence?.number])
const created = async (bench: Bench, sequence = 'urn:new'): Promise<void> => {
  const create = bench.sent.findLast(({ body }) => body.kind === 'create-sequence')
  if (create === undefined) throw new Error('no CreateSequence')
  await bench.answer(create, { body: { kind: 'create-sequence-response', sequence, accept: { acksTo: URL } } }, create.tokenId)
}

describe('a move', () => {
  test('is one commit that compares both heads, both tokens and the name; CreateSequence leaves behind it', async () => {
    const store = new Watched()
    const { bench, lane } = await five({ store })
    const before = store.commits.length
    const moving = bench.engine.move(lane, TO_B)
    expect(bench.sent.some(({ tokenId }) => tokenId === B)).toBe(false)
    expect(await moving).toEqual({ from: { tokenId: A, sequence: 'urn:requests' }, to: { tokenId: B }, moved: [[3, 1], [4, 2], [5, 3]], doubtful: [1, 2] })
    expect(store.commits).toHaveLength(before + 1)
    const [commit] = store.commits.slice(before)
    const current = bench.engine.status(lane)?.lane as LaneId
    expect(commit?.expect.map(({ head }) => head).sort()).toEqual([storeKey('lane', lane), storeKey('lane', current), storeKey('token', A), storeKey('token', B), storeKey('named', 'work')].sort())
    expect(commit?.expect.find(({ head }) => head === storeKey('lane', current))?.revision).toBe('absent')
    expect(bench.used).toEqual(new Set([`${B} ${current}`]))
    await settled()
    expect(bench.sent.at(-1)).toMatchObject({ tokenId: B, body: { kind: 'create-sequence' } })
    await created(bench)
    expect(numbers(bench.sent).slice(-2)).toEqual([[B, 1], [B, 2]])
  })

  test('takes the window of the lane along', async () => {
    const bench = new Bench()
    const lane = await bench.opened({ window: 2 })
    for (const name of ['a', 'b', 'c', 'd', 'e']) await bench.engine.submit(lane, content(name), 'one-way', name)
    await settled()
    expect(await bench.engine.move(lane, TO_B)).toMatchObject({ moved: [[3, 1], [4, 2], [5, 3]], doubtful: [1, 2] })
    await settled()
    await created(bench)
    expect(numbers(bench.sent)).toEqual([[A, 1], [A, 2], [B, 1], [B, 2]])
  })

  test('leaves no message in both lanes, and none in none', async () => {
    const { bench, lane } = await five()
    await bench.engine.move(lane, TO_B)
    const current = bench.engine.status(lane)?.lane as LaneId
    const keys = (await bench.rows()).map(({ key }) => key).filter((key) => key.startsWith(storeKey('msg')))
    expect(keys).toEqual([...[1, 2].map((number) => sentKey(lane, number)), ...[1, 2, 3].map((number) => sentKey(current, number))].sort())
  })

  test.each(['fails', 'unheard'] as const)('whose commit %s is made once', async (next) => {
    const store = new Watched()
    const { bench, lane } = await five({ store })
    store.next = next
    const moving = bench.engine.move(lane, TO_B)
    await bench.wait(1_000)
    expect(await moving).toMatchObject({ moved: [[3, 1], [4, 2], [5, 3]], doubtful: [1, 2] })
    expect(bench.engine.sequences().map((each) => each.tokenId).sort()).toEqual([A, B])
    await settled()
    await created(bench)
    await bench.wait(2_500)
    expect(bench.engine.status(lane)).toMatchObject({ tokenId: B, state: 'open', sequence: 'urn:new', pending: 3 })
  })

  test('takes tickets, waits and what is submitted meanwhile along', async () => {
    const { bench, lane } = await five()
    const ticket = await bench.engine.ticket(lane, 'c')
    const doubtful = await bench.engine.ticket(lane, 'a')
    const told = { c: ticket?.acknowledged(), a: doubtful?.acknowledged().catch((error: unknown) => error), d: bench.engine.reply(lane, 'd'), drained: bench.engine.drained(lane) }
    await settled()
    const moving = bench.engine.move(lane, TO_B)
    const late = bench.engine.submit(lane, content('f'), 'one-way', 'f')
    await moving
    expect(await told.a).toBeInstanceOf(DeliveryFailed)
    expect(ticket?.number).toBe(1)
    expect(doubtful?.number).toBe(1)
    expect((await late).number).toBe(4)
    await created(bench)
    await bench.answer(bench.sent.at(-1) as Outbound, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:new', ranges: [[1, 4]], final: false }] }, B)
    await told.c
    const asked = bench.sent.find(({ body, tokenId }) => tokenId === B && body.kind === 'application' && body.content.messageId === 'urn:d') as Outbound
    await bench.answer(asked, { body: { kind: 'application', shape: 'reply', content: { ...content('re'), relatesTo: 'urn:d' } } }, B)
    expect((await told.d).body).toBe('<re/>')
    await told.drained
  })

  test('is known to the next process by the name, and by every key', async () => {
    const { bench, lane } = await five()
    await bench.engine.move(lane, TO_B)
    await bench.engine[Symbol.asyncDispose]()
    const next = new Bench({ store: bench.store, time: bench.time, engine: { random: new Chance(9) } })
    await next.engine.restore()
    const found = next.engine.find('work') as LaneId
    expect(next.engine.status(found)).toMatchObject({ tokenId: B, pending: 3 })
    expect(found).not.toBe(lane)
    expect(next.engine.status(lane)).toMatchObject({ tokenId: B })
    expect((await next.engine.ticket(found, 'e'))?.number).toBe(3)
    await expect((await next.engine.ticket(found, 'b'))?.acknowledged()).rejects.toMatchObject({ code: 'ERR_RM_DELIVERY' })
    await expect(next.engine.submit(found, content('other'), 'one-way', 'b')).rejects.toMatchObject({ code: 'ERR_KEY_REUSED' })
  })

  test('made by another process takes along who waits in this one', async () => {
    const { bench, lane } = await five()
    const other = new Bench({ store: bench.store, time: bench.time, timing: { window: 2 }, engine: { random: new Chance(9) } })
    await other.engine.restore()
    await other.engine.move(lane, TO_B)
    await settled()
    await created(other)
    const late = bench.engine.submit(lane, content('f'), 'one-way', 'f')
    await bench.wait(3_000)
    expect((await late).number).toBe(4)
    expect(bench.engine.status(lane)).toMatchObject({ tokenId: B, sequence: 'urn:new', last: 4 })
    expect(bench.events.filter(({ kind }) => kind === 'moved')).toMatchObject([{ lane, report: { moved: [[3, 1], [4, 2], [5, 3]], doubtful: [1, 2] } }])
  })

  test('of a lane that ended, whose name another conversation has taken since, is refused', async () => {
    const { bench, lane } = await five()
    await bench.answer(bench.sent.at(-1) as Outbound, { body: { kind: 'fault', fault: FAULTS.sequenceTerminated, sequence: 'urn:requests' } })
    expect(bench.engine.status(lane)?.state).toBe('ended')
    await bench.engine.open(A, { url: URL, rm: RM11, offer: true, name: 'work' })
    await expect(bench.engine.move(lane, TO_B)).rejects.toMatchObject({ code: 'ERR_NAME_TAKEN' })
    expect(bench.engine.sequences()).toHaveLength(2)
  })

  test('of a lane that is closing is refused: everything in it is acknowledged', async () => {
    const bench = new Bench()
    const lane = await bench.opened()
    const closing = bench.engine.close(lane).catch(() => undefined)
    await settled()
    await expect(bench.engine.move(lane, TO_B)).rejects.toMatchObject({ code: 'ERR_RM_STATE' })
    await bench.engine[Symbol.asyncDispose]()
    await closing
  })

  test('a lane that is over is forgotten after a day; the name and the LaneId still mean the conversation', async () => {
    const { bench, lane } = await five()
    await bench.engine.move(lane, TO_B)
    await settled()
    await created(bench)
    await bench.wait(20 * 3_600_000)
    await bench.answer(bench.sent.at(-1) as Outbound, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:new', ranges: [[1, 3]], final: false }] }, B)
    await bench.wait(5 * 3_600_000)
    expect(bench.engine.sequences().map((each) => each.tokenId)).toEqual([B])
    expect(bench.engine.status(lane)).toMatchObject({ tokenId: B })
    expect(bench.engine.find('work')).toBe(bench.engine.status(lane)?.lane)
  })
})

describe('what the peer says of the sequence', () => {
  const unknown = { body: { kind: 'fault', fault: FAULTS.unknownSequence, sequence: 'urn:requests' } } as const
  test('UnknownSequence strands a lane that may go on elsewhere, and ends one that may not', async () => {
    for (const [resumes, state] of [[true, 'open'], [false, 'ended']] as const) {
      const bench = new Bench()
      const lane = await bench.opened()
      bench.engine.attach(lane, { resumes })
      await bench.engine.submit(lane, content('a'), 'one-way', 'a')
      await settled()
      await bench.answer(bench.sent.at(-1) as Outbound, unknown)
      expect(bench.engine.status(lane)?.state).toBe(state)
      expect(bench.events.filter(({ kind }) => kind === 'stranded')).toEqual(resumes ? [{ kind: 'stranded', lane, why: 'sequence' }] : [])
    }
  })
  test('a lost context is told at the second hint in a row; anything that is proven begins anew', async () => {
    const { bench, lane } = await five()
    bench.engine.attach(lane, { resumes: true })
    const hint = { kind: 'context-fault', says: 'lost', code: 'BadContextToken' } as const
    const stranded = (): number => bench.events.filter(({ kind }) => kind === 'stranded').length
    bench.engine.hint(lane, hint)
    await settled()
    expect([stranded(), bench.engine.isDoubted(lane)]).toEqual([0, true])
    // One message at a time from here on.
    await bench.answer(bench.sent.at(-1) as Outbound, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    expect(bench.engine.isDoubted(lane)).toBe(false)
    bench.engine.hint(lane, hint)
    bench.engine.hint(lane, hint)
    expect(stranded()).toBe(1)
  })
})

test('numbers that were taken over are 1, 2, … in their order', () => {
  const succession = { lane: 'x' as LaneId, numbers: [[2, 3], [5, 5], [9, 11]] as const }
  expect([1, 2, 3, 4, 5, 6, 9, 11, 12].map((number) => numberIn(succession, number))).toEqual([undefined, 1, 2, undefined, 3, undefined, 4, 6, undefined])
})
