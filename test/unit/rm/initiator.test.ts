import { describe, expect, test } from 'vitest'
import { DeliveryFailed, FAULTS, ReplyLost, SealBroken, SoapFault, StoreFailed, TimedOut, UnknownVersion, UsageError } from '../../../src/errors.ts'
import { DEFAULT_TIMING } from '../../../src/rm/timing.ts'
import { type LaneId, type Outbound, sentKey } from '../../../src/rm/turn.ts'
import { RM10, RM11 } from '../../../src/spec/versions.ts'
import { type CommitResult, type LaneCommit, MemoryStore, type Row, type Store, storeKey } from '../../../src/store/store.ts'
import { Chance, openSerializer } from '../../../src/testing/simulator.ts'
import { A, B, Bench, content, settled, URL } from './bench.ts'

const last = (bench: Bench): Outbound => {
  const outbound = bench.sent.at(-1)
  if (outbound === undefined) throw new Error('nothing was sent')
  return outbound
}
const kinds = (bench: Bench): string[] => bench.sent.map((outbound) => outbound.body.kind)
const reply = (to: Outbound, number = 1): Partial<Outbound> & Pick<Outbound, 'body'> => ({
  body: { kind: 'application', shape: 'reply', content: { ...content('reply'), relatesTo: to.messageId ?? '' } }, sequence: { id: bench0, number },
  acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, number]], final: false }],
})
let bench0 = ''
/** An open lane, and the name of the sequence that it offered. */
async function open(options: ConstructorParameters<typeof Bench>[0] = {}, also: Parameters<Bench['opened']>[0] = {}): Promise<{ bench: Bench; lane: LaneId }> {
  const bench = new Bench(options)
  const lane = await bench.opened(also)
  const create = bench.sent[0]
  bench0 = create?.body.kind === 'create-sequence' ? create.body.offer?.sequence ?? '' : ''
  return { bench, lane }
}
/** Another process on the same store. */
const another = ({ store, time }: Bench, seed: number): Bench => new Bench({ store, time, engine: { random: new Chance(seed) } })
/** A store that a test can make fail, or have someone else write in between. */
class Frail implements Store<undefined> {
  readonly inner: MemoryStore = new MemoryStore()
  fails = 0
  rejects = 0
  commits = 0
  readonly groups: number[] = []
  scan(prefix: string): AsyncIterable<Row> { return this.inner.scan(prefix) }
  async commit(lanes: readonly LaneCommit<undefined>[]): Promise<readonly CommitResult[]> {
    this.commits++
    this.groups.push(lanes.length)
    if (this.fails > 0) {
      this.fails--
      return lanes.map(() => ({ failed: new Error('disk') }))
    }
    if (this.rejects > 0) {
      this.rejects--
      // Written, but nobody is told.
      await this.inner.commit(lanes)
      throw new Error('connection lost')
    }
    return this.inner.commit(lanes)
  }
  [Symbol.asyncDispose](): Promise<void> { return this.inner[Symbol.asyncDispose]() }
}

describe('opening', () => {
  test('is durable, with the sealed token, before CreateSequence leaves; it is repeated with its MessageID and Offer', async () => {
    const store = new Frail()
    const bench = new Bench({ store })
    const opening = bench.engine.open(A, { url: URL, rm: RM11, offer: true })
    expect(bench.sent).toHaveLength(0)
    await opening
    await settled()
    expect((await bench.rows()).map((row) => row.key.slice(0, 7))).toEqual(['4:lane;', '5:token'])
    bench.over[0]?.()
    await bench.wait(2_500)
    expect(kinds(bench)).toEqual(['create-sequence', 'create-sequence'])
    expect(bench.sent[1]).toEqual(bench.sent[0])
  })
  test('repeats with a new Offer where the profile says so; a reply on any of them is taken', async () => {
    const bench = new Bench()
    const lane = await bench.engine.open(A, { url: URL, rm: RM11, offer: true, offerOnRepeat: 'new' })
    await settled()
    bench.over[0]?.()
    await bench.wait(2_500)
    const offers = bench.sent.map((outbound) => outbound.body.kind === 'create-sequence' ? outbound.body.offer?.sequence ?? '' : '')
    expect(new Set(offers).size).toBe(2)
    expect(bench.sent[1]?.messageId).toBe(bench.sent[0]?.messageId)
    await bench.answer(last(bench), { body: { kind: 'create-sequence-response', sequence: 'urn:requests', accept: { acksTo: URL } } })
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    await settled()
    bench0 = offers[0] ?? ''
    await bench.answer(last(bench), reply(last(bench)))
    expect((await bench.engine.reply(lane, 'a')).body).toBe('<reply/>')
  })
  test('that is refused ends the lane, and the messages that waited for it are given up', async () => {
    const bench = new Bench()
    const lane = await bench.engine.open(A, { url: URL, rm: RM11, offer: true })
    const ticket = await bench.engine.submit(lane, content('a'), 'one-way', 'a')
    const refused = expect(ticket.acknowledged()).rejects.toThrow(DeliveryFailed)
    await bench.answer(bench.sent[0] as Outbound, { body: { kind: 'fault', fault: FAULTS.createSequenceRefused } })
    await refused
    await expect(ticket.acknowledged()).rejects.toThrow(expect.objectContaining({ numbers: [1] }))
    expect(await bench.engine.close(lane)).toEqual({ outcome: 'refused', lost: [1] })
    expect(bench.used.size).toBe(0)
  })
  test('under a token that cannot be sealed is refused, and nothing is stored or sent', async () => {
    const bench = new Bench({ engine: { security: { serialize: async () => { throw new Error('gone') }, deserialize: async () => A, use: () => ({ [Symbol.dispose]: () => undefined }) } } })
    const opening = expect(bench.engine.open(A, { url: URL, rm: RM11, offer: false })).rejects.toThrow('gone')
    await bench.wait(60_000)
    await opening
    expect(await bench.rows()).toEqual([])
    expect(bench.sent).toEqual([])
  })
  test('a name that is in use is refused', async () => {
    const { bench } = await open()
    await expect(bench.engine.open(A, { url: URL, rm: RM11, offer: true, name: 'work' })).rejects.toThrow(UsageError)
  })
})

describe('submitting', () => {
  test('the same key with the same content is the same message, with another content an error', async () => {
    const { bench, lane } = await open()
    const first = await bench.engine.submit(lane, content('a'), 'one-way', 'key')
    const again = await bench.engine.submit(lane, { ...content('a'), messageId: 'urn:fresh' }, 'one-way', 'key')
    expect(again.number).toBe(first.number)
    await expect(bench.engine.submit(lane, content('b'), 'one-way', 'key')).rejects.toThrow(expect.objectContaining({ code: 'ERR_KEY_REUSED' }))
    await expect(bench.engine.submit(lane, content('a'), 'request', 'key')).rejects.toThrow(expect.objectContaining({ code: 'ERR_KEY_REUSED' }))
    await settled()
    expect(bench.sent.filter((outbound) => outbound.body.kind === 'application')).toHaveLength(1)
  })
  test('many at once share a commit and keep their order', async () => {
    const store = new Frail()
    const { bench, lane } = await open({ store })
    const before = store.commits
    const tickets = await Promise.all(Array.from({ length: 20 }, (_, index) => bench.engine.submit(lane, content(`m${index}`), 'one-way', `k${index}`)))
    expect(tickets.map((ticket) => ticket.number)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1))
    expect(store.commits - before).toBe(1)
  })
  test('lanes that have work at the same moment share one durable call', async () => {
    const store = new Frail()
    const bench = new Bench({ store })
    const lanes = [await bench.engine.open(A, { url: URL, rm: RM11, offer: false }), await bench.engine.open(A, { url: URL, rm: RM11, offer: false })]
    await Promise.all(lanes.map((lane) => bench.engine.submit(lane, content('a'), 'one-way', 'a')))
    expect(store.groups.at(-1)).toBe(2)
  })
  test('waits when the lane is full; an abort ends the waiting and nothing is sent for it', async () => {
    const bench = new Bench()
    const lane = await bench.engine.open(A, { url: URL, rm: RM11, offer: false, maxPending: 2 })
    await settled()
    await bench.answer(last(bench), { body: { kind: 'create-sequence-response', sequence: 'urn:requests' } })
    for (const key of ['a', 'b']) await bench.engine.submit(lane, content(key), 'one-way', key)
    const abort = new AbortController()
    const aborted = bench.engine.submit(lane, content('never'), 'one-way', 'never', { signal: abort.signal })
    await settled()
    abort.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    let isThere = false
    const waiting = bench.engine.submit(lane, content('c'), 'one-way', 'c').then((ticket) => { isThere = true; return ticket })
    await settled()
    expect(isThere).toBe(false)
    await bench.answer(bench.sent[1] as Outbound, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    expect((await waiting).number).toBe(3)
    expect((await bench.engine.pending(lane)).map((each) => each.key)).toEqual(['b', 'c'])
  })
  test('keeps at most the window under way, and counts an acknowledged message as long as its exchange is open', async () => {
    const { bench, lane } = await open({ timing: { window: 3 } })
    for (let index = 1; index <= 6; index++) await bench.engine.submit(lane, content(`m${index}`), 'one-way', `k${index}`)
    await settled()
    expect(bench.sent.filter((outbound) => outbound.body.kind === 'application')).toHaveLength(3)
    await bench.answer(bench.sent[1] as Outbound, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 2]], final: false }] })
    expect(bench.sent.filter((outbound) => outbound.body.kind === 'application')).toHaveLength(3)
    for (const end of bench.over.slice(1, 3)) end()
    await settled()
    expect(bench.sent.filter((outbound) => outbound.body.kind === 'application').map((outbound) => outbound.sequence?.number)).toEqual([1, 2, 3, 4, 5])
  })
  test('a window of the lane\'s own holds, the one of all lanes does not: one at a time, requests until their replies', async () => {
    const { bench, lane } = await open({}, { window: 1 })
    const numbers = (): unknown[] => bench.sent.filter(({ body }) => body.kind === 'application').map(({ sequence }) => sequence?.number)
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    for (const key of ['b', 'c']) await bench.engine.submit(lane, content(key), 'one-way', key)
    await settled()
    const request = last(bench)
    // Held by the peer, whose handler is still at work.
    await bench.answer(request, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    expect(numbers()).toEqual([1])
    await bench.answer(request, reply(request))
    bench.over[1]?.()
    await settled()
    expect(numbers()).toEqual([1, 2])
    await bench.answer(last(bench), { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 2]], final: false }] })
    bench.over[2]?.()
    await settled()
    expect(numbers()).toEqual([1, 2, 3])
  })
  test('a window of the lane\'s own may be the wider one', async () => {
    const { bench, lane } = await open({ timing: { window: 2 } }, { window: 4 })
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map((key) => bench.engine.submit(lane, content(key), 'one-way', key)))
    await settled()
    expect(bench.sent.filter(({ body }) => body.kind === 'application').map(({ sequence }) => sequence?.number)).toEqual([1, 2, 3, 4])
  })
  test('to a lane that closes is refused', async () => {
    const { bench, lane } = await open()
    void bench.engine.close(lane).catch(() => undefined)
    await settled()
    await expect(bench.engine.submit(lane, content('late'), 'one-way', 'late')).rejects.toThrow(UsageError)
    expect(kinds(bench).at(-1)).toBe('close-sequence')
  })
})

describe('a commit that fails', () => {
  test('is a crash of the lane: the message is handled again and has one number', async () => {
    const store = new Frail()
    const { bench, lane } = await open({ store })
    store.fails = 2
    const ticket = bench.engine.submit(lane, content('a'), 'one-way', 'a')
    await bench.wait(1_000)
    expect((await ticket).number).toBe(1)
    expect((await bench.engine.submit(lane, content('b'), 'one-way', 'b')).number).toBe(2)
  })
  test('and was written all the same gives the message that is stored, not a second one', async () => {
    const store = new Frail()
    const { bench, lane } = await open({ store })
    store.rejects = 1
    const ticket = bench.engine.submit(lane, content('a'), 'one-way', 'a')
    await bench.wait(1_000)
    expect((await ticket).number).toBe(1)
    expect((await bench.rows()).filter((row) => row.key.startsWith(storeKey('msg')))).toHaveLength(1)
  })
  test('again and again is an error that may be tried again, and the lane goes on when the store does', async () => {
    const store = new Frail()
    const { bench, lane } = await open({ store })
    store.fails = 1_000
    const refused = expect(bench.engine.submit(lane, content('a'), 'one-way', 'a')).rejects.toThrow(expect.objectContaining({ name: StoreFailed.name, retryable: true }))
    await bench.wait(30_000)
    await refused
    store.fails = 0
    await bench.wait(30_000)
    expect((await bench.engine.submit(lane, content('a'), 'one-way', 'a')).number).toBe(1)
  })
  test('because another process wrote first: both go on, no number is given twice', async () => {
    const { bench, lane } = await open()
    const other = new Bench({ store: bench.store, time: bench.time })
    await other.engine.restore()
    await settled()
    const tickets = [await bench.engine.submit(lane, content('a'), 'one-way', 'a'), await other.engine.submit(lane, content('b'), 'one-way', 'b'), await bench.engine.submit(lane, content('c'), 'one-way', 'c')]
    expect(tickets.map((ticket) => ticket.number)).toEqual([1, 2, 3])
  })
})

describe('a request', () => {
  test('is settled by its reply, which stays to be had until the conversation is forgotten', async () => {
    const { bench, lane } = await open()
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    await settled()
    const waiting = bench.engine.reply(lane, 'a')
    await bench.answer(last(bench), reply(last(bench)))
    expect((await waiting).body).toBe('<reply/>')
    const later = new Bench({ store: bench.store, time: bench.time })
    await later.engine.restore()
    expect((await later.engine.reply(lane, 'a')).body).toBe('<reply/>')
    await expect(later.engine.reply(lane, 'never')).rejects.toThrow(expect.objectContaining({ code: 'ERR_KEY_UNKNOWN' }))
  })
  test('a reply whose record is gone from the store is an error, not a wait without end', async () => {
    const bench = new Bench()
    const lane = await bench.opened()
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    await settled()
    await bench.answer(last(bench), reply(last(bench)))
    // Somebody else's hand: the row goes, what the lane holds in memory stays.
    expect(await bench.store.commit([{ expect: [], writes: [{ delete: sentKey(lane, 1) }] }])).toEqual(['committed'])
    await expect(bench.engine.reply(lane, 'a')).rejects.toMatchObject({ code: 'ERR_REPLY_GONE', numbers: [1] })
  })
  test('is asked again until its reply is there, though it is acknowledged', async () => {
    const { bench, lane } = await open()
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    await settled()
    await bench.answer(last(bench), { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    bench.over.at(-1)?.()
    await bench.wait(2_500)
    expect(bench.sent.filter((outbound) => outbound.body.kind === 'application')).toHaveLength(2)
    expect(bench.sent.at(-1)?.messageId).toBe('urn:a')
  })
  test('whose peer gives only acknowledgements ends in ReplyLost, and the sequence goes on', async () => {
    const { bench, lane } = await open({ timing: { replyTries: 3 } })
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    await settled()
    const lost = expect(bench.engine.reply(lane, 'a')).rejects.toThrow(expect.objectContaining({ name: ReplyLost.name, numbers: [1] }))
    for (let tries = 0; tries < 3; tries++) {
      await bench.answer(last(bench), { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
      bench.over.at(-1)?.()
      await bench.wait(20_000)
    }
    await lost
    await expect(bench.engine.reply(lane, 'a')).rejects.toThrow(ReplyLost)
    expect((await bench.engine.submit(lane, content('b'), 'one-way', 'b')).number).toBe(2)
  })
  test('that is answered by a fault rejects with it, also after a restart', async () => {
    const { bench, lane } = await open()
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    await settled()
    await bench.answer(last(bench), { body: { kind: 'fault', fault: FAULTS.receiver }, relatesTo: 'urn:made-up', sequence: { id: bench0, number: 1 } })
    await expect(bench.engine.reply(lane, 'a')).rejects.toThrow(SoapFault)
    const later = new Bench({ store: bench.store, time: bench.time })
    await later.engine.restore()
    await expect(later.engine.reply(lane, 'a')).rejects.toThrow(SoapFault)
  })
  test('waits no longer than it is told; what was accepted stays', async () => {
    const { bench, lane } = await open()
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    const waiting = expect(bench.engine.reply(lane, 'a', { timeoutMs: 100 })).rejects.toThrow(TimedOut)
    await bench.wait(200)
    await waiting
    expect(await bench.engine.pending(lane)).toHaveLength(1)
  })
})

describe('what another token says', () => {
  test.each<[string, Partial<Outbound> & Pick<Outbound, 'body'>]>([
    ['an acknowledgement', { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: true }] }],
    ['SequenceTerminated', { body: { kind: 'fault', fault: FAULTS.sequenceTerminated, sequence: 'urn:requests' } }],
    ['UnknownSequence without a name', { body: { kind: 'fault', fault: FAULTS.unknownSequence } }],
    ['a reply', { body: { kind: 'application', shape: 'reply', content: { ...content('forged'), relatesTo: 'urn:a' } } }],
    ['CloseSequence', { body: { kind: 'close-sequence', sequence: 'urn:requests' } }],
    ['TerminateSequence', { body: { kind: 'terminate-sequence', sequence: 'urn:requests' } }],
    ['TerminateSequenceResponse', { body: { kind: 'terminate-sequence-response', sequence: 'urn:requests' } }],
    ['CreateSequenceResponse', { body: { kind: 'create-sequence-response', sequence: 'urn:other' } }],
  ])('changes nothing: %s', async (_, words) => {
    const { bench, lane } = await open()
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    await settled()
    const before = await bench.rows()
    await bench.answer(last(bench), words, B)
    expect(await bench.rows()).toEqual(before)
    expect(bench.events.at(-1)).toMatchObject({ kind: 'security', code: 'ERR_RM_SCOPE' })
    expect(bench.engine.status(lane)?.state).toBe('open')
  })
  test('an answer to CreateSequence under another token makes no sequence', async () => {
    const bench = new Bench()
    const lane = await bench.engine.open(A, { url: URL, rm: RM11, offer: true })
    await settled()
    await bench.answer(last(bench), { body: { kind: 'create-sequence-response', sequence: 'urn:forged' } }, B)
    expect(bench.engine.status(lane)?.state).toBe('creating')
  })
})

describe('what is not proven', () => {
  test('changes nothing that is stored; refused three times in a row, the calls that wait are told', async () => {
    const { bench, lane } = await open()
    const ticket = await bench.engine.submit(lane, content('a'), 'one-way', 'a')
    await settled()
    const before = await bench.rows()
    const waiting = expect(ticket.acknowledged()).rejects.toThrow(expect.objectContaining({ code: 'ERR_PEER_REFUSES', retryable: true }))
    for (let times = 0; times < 3; times++) {
      bench.engine.hint(lane, { kind: 'unprotected-fault', fault: { code: 'Sender', rmFault: 'SequenceTerminated', reason: '' } }, last(bench))
      await settled()
    }
    await waiting
    expect(await bench.rows()).toEqual(before)
    expect(bench.events).toContainEqual(expect.objectContaining({ kind: 'suspended' }))
    const again = ticket.acknowledged()
    await bench.answer(bench.sent[1] as Outbound, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    await again
  })
})

describe('the end', () => {
  test('close drains, closes with the last number, terminates, and lets the token go', async () => {
    const { bench, lane } = await open()
    await bench.engine.submit(lane, content('a'), 'one-way', 'a')
    const closing = bench.engine.close(lane)
    await settled()
    expect(kinds(bench)).toEqual(['create-sequence', 'application'])
    await bench.answer(last(bench), { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    expect(last(bench).body).toEqual({ kind: 'close-sequence', sequence: 'urn:requests', lastNumber: 1 })
    await bench.answer(last(bench), { body: { kind: 'close-sequence-response', sequence: 'urn:requests' } })
    expect(last(bench).body).toEqual({ kind: 'terminate-sequence', sequence: 'urn:requests', lastNumber: 1 })
    expect(bench.used.size).toBe(1)
    await bench.answer(last(bench), { body: { kind: 'terminate-sequence-response', sequence: 'urn:requests' } })
    expect(await closing).toEqual({ outcome: 'terminated', lost: [] })
    expect(bench.used.size).toBe(0)
    expect(await bench.engine.close(lane)).toEqual({ outcome: 'terminated', lost: [] })
  })
  test('in RM 1.0 it comes also when nobody acknowledges the LastMessage, once everything else is', async () => {
    const bench = new Bench()
    const lane = await bench.opened({ rm: RM10 })
    await bench.engine.submit(lane, content('a'), 'one-way', 'a')
    const closing = bench.engine.close(lane)
    await settled()
    const acknowledged = { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] } as const
    for (let at = 1, minutes = 0; bench.engine.status(lane)?.state === 'draining' && minutes < 20; minutes++) {
      for (; at < bench.sent.length; at++) {
        const sent = bench.sent[at]
        if (sent !== undefined) await bench.answer(sent, acknowledged)
        bench.over[at]?.()
      }
      await bench.wait(60_000)
    }
    expect(kinds(bench).filter((kind) => kind === 'last-message')).toHaveLength(DEFAULT_TIMING.controlTries)
    expect(last(bench).body).toMatchObject({ kind: 'terminate-sequence' })
    bench.engine.hint(lane, { kind: 'empty-answer', status: 202 }, last(bench))
    expect(await closing).toEqual({ outcome: 'terminated', lost: [] })
  })
  test('UnknownSequence to our own Terminate means that it is done, protected or not', async () => {
    const { bench, lane } = await open()
    const closing = bench.engine.close(lane)
    await settled()
    await bench.answer(last(bench), { body: { kind: 'close-sequence-response', sequence: 'urn:requests' } })
    bench.engine.hint(lane, { kind: 'unprotected-fault', fault: { code: 'Sender', rmFault: 'UnknownSequence', reason: '' } }, last(bench))
    expect((await closing).outcome).toBe('terminated')
  })
  test('by a fault names the numbers in doubt', async () => {
    const { bench, lane } = await open()
    const tickets = [await bench.engine.submit(lane, content('a'), 'one-way', 'a'), await bench.engine.submit(lane, content('b'), 'one-way', 'b')]
    await settled()
    const outcomes = Promise.allSettled(tickets.map((ticket) => ticket.acknowledged()))
    await bench.answer(bench.sent[1] as Outbound, { body: { kind: 'fault', fault: FAULTS.sequenceTerminated, sequence: 'urn:requests' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    expect(await outcomes).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { name: 'DeliveryFailed', numbers: [2] } }])
    expect(await bench.engine.close(lane)).toEqual({ outcome: 'faulted', lost: [2] })
  })
  test('comes by silence: a day without a word from the peer', async () => {
    const { bench, lane } = await open({ timing: { exchangeMs: 3_600_000 } })
    const ticket = await bench.engine.submit(lane, content('a'), 'one-way', 'a')
    const failed = expect(ticket.acknowledged()).rejects.toThrow(DeliveryFailed)
    await bench.wait(24 * 3_600_000 - 60_000)
    expect(bench.engine.status(lane)?.state).toBe('open')
    await bench.wait(120_000)
    await failed
    expect((await bench.engine.close(lane)).outcome).toBe('silent')
  })
  test('an idle lane keeps its sequence alive with AckRequested', async () => {
    const { bench } = await open()
    await bench.wait(301_000)
    expect(last(bench)).toMatchObject({ body: { kind: 'ack-requested' }, ackRequested: ['urn:requests'] })
  })
})

describe('rest and restart', () => {
  test('a detached lane sends nothing and keeps all; attached again it goes on at once', async () => {
    const { bench, lane } = await open()
    await bench.engine.detach(lane)
    const sent = bench.sent.length
    await bench.engine.submit(lane, content('a'), 'one-way', 'a')
    await bench.wait(30_000)
    expect(bench.sent).toHaveLength(sent)
    expect(bench.engine.find('work')).toBe(lane)
    bench.engine.attach(lane)
    await bench.wait(10)
    expect(last(bench)).toMatchObject({ body: { kind: 'application' }, sequence: { number: 1 } })
  })
  test('a lane that is over is forgotten after a day, though nobody takes it up', async () => {
    const { bench, lane } = await open()
    await bench.engine.submit(lane, content('a'), 'one-way', 'a')
    await settled()
    await bench.answer(last(bench), { body: { kind: 'fault', fault: FAULTS.sequenceTerminated, sequence: 'urn:requests' } })
    await bench.engine[Symbol.asyncDispose]()
    const later = new Bench({ store: bench.store, time: bench.time, engine: { restoreDetached: true } })
    await later.engine.restore()
    expect((await later.rows()).map((row) => row.key.slice(0, 7))).toEqual(['3:msg;4', '4:lane;', '5:named', '5:token'])
    await later.wait(24 * 3_600_000 + 1_000)
    expect((await later.rows()).map((row) => row.key.slice(0, 7))).toEqual(['5:token'])
  })
  test('two processes on one store make no two lanes of one name; the name is free when its lane has ended', async () => {
    const { bench, lane } = await open()
    const other = another(bench, 8)
    const before = await bench.rows()
    // It was there before the lane was, and has it not in memory.
    await expect(other.engine.open(A, { url: URL, rm: RM11, offer: false, name: 'work' })).rejects.toMatchObject({ name: 'UsageError', code: 'ERR_NAME_TAKEN', message: expect.stringContaining('another process') })
    expect(await bench.rows()).toEqual(before)
    expect(other.engine.sequences()).toEqual([])
    await bench.engine.submit(lane, content('a'), 'one-way', 'a')
    await settled()
    await bench.answer(last(bench), { body: { kind: 'fault', fault: FAULTS.sequenceTerminated, sequence: 'urn:requests' } })
    await bench.wait(23 * 3_600_000)
    const fresh = await other.engine.open(A, { url: URL, rm: RM11, offer: false, name: 'work' })
    // When the old one is forgotten, the name stays with the new one.
    await bench.wait(3_600_000 + 10_000)
    expect(bench.engine.sequences().map((each) => each.lane)).not.toContain(lane)
    const third = another(bench, 9)
    await expect(third.engine.open(A, { url: URL, rm: RM11, offer: false, name: 'work' })).rejects.toMatchObject({ code: 'ERR_NAME_TAKEN' })
    await third.engine.restore()
    expect(third.engine.find('work')).toBe(fresh)
  })
  test('of two that open one name at the same moment one gets it', async () => {
    const first = new Bench()
    const pair = [first, another(first, 8)]
    const outcomes = await Promise.allSettled(pair.map((each) => each.engine.open(A, { url: URL, rm: RM11, offer: false, name: 'work' })))
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(outcomes.find((each) => each.status === 'rejected')?.reason).toMatchObject({ code: 'ERR_NAME_TAKEN' })
  })
  test('after a restart everything outstanding is sent again with the same numbers and MessageIDs', async () => {
    const { bench, lane } = await open()
    for (const key of ['a', 'b']) await bench.engine.submit(lane, content(key), key === 'a' ? 'request' : 'one-way', key)
    const later = new Bench({ store: bench.store, time: bench.time })
    await later.engine.restore()
    await later.wait(10)
    expect(later.sent.map((outbound) => [outbound.sequence?.number, outbound.messageId])).toEqual([[1, 'urn:a'], [2, 'urn:b']])
    expect((await later.engine.ticket(lane, 'b'))?.number).toBe(2)
    expect((await later.engine.submit(lane, content('c'), 'one-way', 'c')).number).toBe(3)
  })
  test('after a restart the window of the lane holds; what is behind it counts as never sent', async () => {
    const { bench, lane } = await open({}, { window: 1 })
    for (const key of ['a', 'b', 'c']) await bench.engine.submit(lane, content(key), 'one-way', key)
    const later = new Bench({ store: bench.store, time: bench.time, engine: { random: new Chance(8) } })
    await later.engine.restore()
    await later.wait(10)
    expect(later.sent.map(({ sequence }) => sequence?.number)).toEqual([1])
    expect(await later.engine.move(lane, { token: B, doubtful: 'stay', behind: 'leave' })).toMatchObject({ moved: [[2, 1], [3, 2]], doubtful: [1] })
  })
  test('a record whose seal is broken is set aside and reported; the other lanes go on', async () => {
    const { bench, lane } = await open()
    const second = await bench.engine.open(A, { url: URL, rm: RM11, offer: false })
    await bench.engine.submit(second, content('a'), 'one-way', 'a')
    const serializer = { ...openSerializer, open: (...[purpose, context, sealed]: Parameters<typeof openSerializer.open>) => {
      if (context.parts[0] === second) throw new SealBroken('ERR_SEAL', 'broken')
      return openSerializer.open(purpose, context, sealed)
    } }
    const before = await bench.rows()
    const later = new Bench({ store: bench.store, time: bench.time, engine: { serializer } })
    const report = await later.engine.restore()
    expect(report).toMatchObject({ lanes: 1, quarantined: [{ error: { code: 'ERR_SEAL' } }] })
    await settled()
    expect(later.engine.status(lane)?.state).toBe('open')
    expect(later.engine.status(second)).toBeUndefined()
    expect(await later.rows()).toEqual(before)
  })
  test('a record of a later release stops the restore', async () => {
    const { bench } = await open()
    const serializer = { ...openSerializer, open: () => { throw new UnknownVersion('ERR_VERSION', 'version 9') } }
    await expect(new Bench({ store: bench.store, engine: { serializer } }).engine.restore()).rejects.toThrow(UnknownVersion)
  })
  test('a closed engine ends all waiting and takes nothing more', async () => {
    const { bench, lane } = await open()
    const ticket = await bench.engine.submit(lane, content('a'), 'one-way', 'a')
    const waiting = expect(ticket.acknowledged()).rejects.toThrow(expect.objectContaining({ code: 'ERR_ENGINE_CLOSED' }))
    await bench.engine[Symbol.asyncDispose]()
    await waiting
    await expect(bench.engine.submit(lane, content('b'), 'one-way', 'b')).rejects.toThrow(UsageError)
    await bench.wait(60_000)
    expect(bench.sent.filter((outbound) => outbound.body.kind === 'application')).toHaveLength(1)
  })
})
