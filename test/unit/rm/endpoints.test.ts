/** Engines whose answers go to a mailbox or to an address, on a clock that the test moves. */
import { describe, expect, test } from 'vitest'
import { FAULTS } from '../../../src/errors.ts'
import { DEFAULT_TIMING } from '../../../src/rm/timing.ts'
import type { Endpoint, Outbound, OutboundBody, Received } from '../../../src/rm/turn.ts'
import { MC_ANONYMOUS_PREFIX, RM10, RM11 } from '../../../src/spec/versions.ts'
import { MemoryStore } from '../../../src/store/store.ts'
import { A, ALICE, B, Bench, content, MALLORY, message, nameOf, settled, URL } from './bench.ts'
import { wordsOf } from '../../../src/testing/simulator.ts'

const MAILBOX = `${MC_ANONYMOUS_PREFIX}7`
const HERE = 'https://client.example/replies'
const mailbox: Endpoint = { kind: 'make-connection', address: MAILBOX }
const address: Endpoint = { kind: 'address', address: HERE }
const kinds = (sent: readonly Outbound[]): string[] => sent.map(({ body, sequence }) => `${body.kind}${sequence === undefined ? '' : ` ${sequence.number}`}`)
const reply = (name: string, relatesTo = `urn:${name}`): OutboundBody => ({ kind: 'application', shape: 'reply', content: { ...content(`re-${name}`), relatesTo } })

/** A message that comes to the initiator's own address. */
let exchanges = 0
async function arrive(bench: Bench, outbound: Partial<Outbound> & Pick<Outbound, 'body'>, token = A): Promise<Outbound | 'accepted' | undefined> {
  const exchange = `i${++exchanges}`
  const words = wordsOf({ lane: '' as never, tokenId: token, to: { kind: 'endpoint', url: HERE }, acknowledgements: [], ackRequested: [], ...outbound }, { tokenId: token, principal: token === A ? ALICE : MALLORY, rm: '1.1' })
  await bench.engine.receive(words, { kind: 'exchange', exchange })
  await settled()
  return bench.answers.get(exchange)
}
/** Ends the exchange of what was sent last, with an empty answer. */
async function accepted(bench: Bench, at = bench.sent.length - 1): Promise<void> {
  const outbound = bench.sent[at]
  if (outbound === undefined) throw new Error('nothing was sent')
  bench.engine.hint(outbound.lane, { kind: 'empty-answer', status: 202 }, outbound)
  bench.over[at]?.()
  await settled()
}

describe('an initiator with a mailbox', () => {
  test('names it wherever an answer is wanted', async () => {
    const bench = new Bench()
    const lane = await bench.opened({ endpoint: mailbox })
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    expect(bench.sent.map(({ body, replyTo }) => [body.kind, replyTo, 'acksTo' in body ? body.acksTo : undefined])).toEqual([['create-sequence', MAILBOX, MAILBOX], ['application', MAILBOX, undefined]])
    expect(bench.engine.status(lane)?.endpoint).toEqual(mailbox)
  })

  test('asks for what waits there while it awaits something: one poll at a time, more and more seldom, and not after the end of it', async () => {
    const bench = new Bench({ timing: { retransmitMs: 60_000 } })
    const lane = await bench.opened({ endpoint: mailbox })
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    await accepted(bench)
    const polls: number[] = []
    const began = bench.time.now
    for (let at = bench.sent.length; polls.length < 8; ) {
      await bench.wait(50)
      for (; at < bench.sent.length; at++) {
        if (bench.sent[at]?.body.kind === 'make-connection') polls.push(bench.time.now - began)
        await accepted(bench, at)
      }
    }
    const pauses = polls.slice(1).map((each, index) => each - (polls[index] ?? 0))
    expect(polls[0]).toBe(DEFAULT_TIMING.pollMs)
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000])
    const poll = bench.sent.findLast(({ body }) => body.kind === 'make-connection')
    expect(poll).toMatchObject({ to: { kind: 'endpoint', url: URL }, body: { address: MAILBOX } })
    if (poll === undefined) return
    await bench.answer(poll, { body: reply('a'), relatesTo: 'urn:a', sequence: { id: bench.engine.status(lane)?.offered ?? '', number: 1 }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }], pending: false })
    const before = bench.sent.length
    await bench.wait(60_000)
    expect(kinds(bench.sent.slice(before)).filter((kind) => kind === 'make-connection')).toEqual([])
  })

  test('asks soon for what was sent last, however long it has asked for something else', async () => {
    const bench = new Bench({ timing: { retransmitMs: 60_000 } })
    const lane = await bench.opened({ endpoint: mailbox })
    await bench.engine.submit(lane, content('long'), 'request', 'long')
    await accepted(bench)
    const began = bench.time.now
    for (let at = bench.sent.length; bench.time.now < began + 30_000; ) {
      await bench.wait(250)
      for (; at < bench.sent.length; at++) await accepted(bench, at)
    }
    await bench.engine.submit(lane, content('quick'), 'request', 'quick')
    await accepted(bench)
    const before = bench.sent.length
    await bench.wait(DEFAULT_TIMING.pollMs)
    expect(kinds(bench.sent.slice(before))).toEqual(['make-connection'])
  })

  test('asks at once again as long as more waits', async () => {
    const bench = new Bench()
    const lane = await bench.opened({ endpoint: mailbox })
    for (const key of ['a', 'b']) await bench.engine.submit(lane, content(key), 'request', key)
    await bench.wait(DEFAULT_TIMING.pollMs)
    const [poll] = bench.sent.filter(({ body }) => body.kind === 'make-connection')
    if (poll === undefined) throw new Error('no poll')
    const before = bench.sent.length
    await bench.answer(poll, { body: reply('a'), relatesTo: 'urn:a', sequence: { id: bench.engine.status(lane)?.offered ?? '', number: 1 }, pending: true })
    expect(bench.sent).toHaveLength(before)
    bench.over[bench.sent.indexOf(poll)]?.()
    await settled()
    expect(kinds(bench.sent.slice(before))).toEqual(['make-connection'])
    // The poll says what has arrived.
    expect(bench.sent.at(-1)?.acknowledgements).toEqual([{ sequence: bench.engine.status(lane)?.offered, ranges: [[1, 1]], final: false }])
  })

  test('sends an acknowledged request again now and then: what was lost in the answer to a poll is given once more; and names the reply that never comes as lost', async () => {
    const bench = new Bench({ timing: { silenceMs: 3_600_000 } })
    const lane = await bench.opened({ endpoint: mailbox })
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    const lost = bench.engine.reply(lane, 'a').catch((error: unknown) => error)
    const request = bench.sent.at(-1)
    if (request === undefined) throw new Error('no request')
    await bench.answer(request, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    bench.over.at(-1)?.()
    const began = bench.time.now
    const repeated: number[] = []
    for (let at = bench.sent.length; bench.time.now - began < 3_700_000; ) {
      await bench.wait(1_000)
      for (; at < bench.sent.length; at++) {
        if (bench.sent[at]?.body.kind === 'application') repeated.push(bench.time.now - began)
        await accepted(bench, at)
      }
    }
    expect(repeated.slice(0, 4)).toEqual([16_000, 48_000, 108_000, 168_000])
    expect(repeated.length).toBeLessThanOrEqual(61)
    expect(await lost).toMatchObject({ code: 'ERR_RM_REPLY_LOST', numbers: [1] })
  })

  test('sends an acknowledged request again soon when the reply to a later one has come', async () => {
    const bench = new Bench()
    const lane = await bench.opened({ endpoint: mailbox })
    for (const key of ['a', 'b']) await bench.engine.submit(lane, content(key), 'request', key)
    const answers: Partial<Outbound>[] = [{}, { body: reply('b'), relatesTo: 'urn:b', sequence: { id: bench.engine.status(lane)?.offered ?? '', number: 2 } }]
    for (const [index, answer] of answers.entries()) {
      const request = bench.sent.at(index - 2)
      if (request === undefined) throw new Error('no request')
      await bench.answer(request, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, index + 1]], final: false }], ...answer })
      bench.over[bench.sent.indexOf(request)]?.()
    }
    const began = bench.time.now
    const repeated: number[] = []
    for (let at = bench.sent.length; bench.time.now - began < 40_000; ) {
      await bench.wait(50)
      for (; at < bench.sent.length; at++) {
        if (bench.sent[at]?.body.kind === 'application') repeated.push(bench.time.now - began)
        await accepted(bench, at)
      }
    }
    expect(repeated).toEqual([2_000, 6_000, 14_000, 30_000])
  })

  test('whose sequence is unknown in the answer to a poll has ended, once it has asked for the end twice', async () => {
    const bench = new Bench()
    const lane = await bench.opened({ endpoint: mailbox, closeEmpty: false })
    await bench.engine.submit(lane, content('a'), 'one-way', 'a')
    const [message] = bench.sent.slice(-1)
    if (message === undefined) throw new Error('nothing was sent')
    await bench.answer(message, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    const closed = bench.engine.close(lane)
    await settled()
    const close = bench.sent.findLast(({ body }) => body.kind === 'close-sequence')
    if (close === undefined) throw new Error('not closed')
    await bench.answer(close, { body: { kind: 'close-sequence-response', sequence: 'urn:requests' } })
    const asked = (): number => kinds(bench.sent).filter((kind) => kind === 'terminate-sequence').length
    const states: [number, string | undefined][] = []
    const began = bench.time.now
    for (let at = bench.sent.length - 1; bench.engine.status(lane)?.state === 'terminating' && bench.time.now < began + 60_000; ) {
      await bench.wait(100)
      for (; at < bench.sent.length; at++) {
        const outbound = bench.sent[at]
        if (outbound?.body.kind === 'make-connection') bench.engine.hint(lane, { kind: 'unprotected-fault', fault: { code: 'Sender', rmFault: 'UnknownSequence', reason: '' } }, outbound)
        else await accepted(bench, at)
        bench.over[at]?.()
        await settled()
        states.push([asked(), bench.engine.status(lane)?.state])
      }
    }
    expect(states.filter(([times]) => times < 2).every(([, state]) => state === 'terminating')).toBe(true)
    expect(states.at(-1)).toEqual([2, 'ended'])
    await closed
  })

  test('whose offer was not taken asks for its replies by sending the requests again', async () => {
    const bench = new Bench()
    const lane = await bench.engine.open(A, { url: URL, rm: RM11, offer: true, endpoint: mailbox })
    const [create] = bench.sent
    if (create === undefined) throw new Error('nothing was sent')
    await bench.answer(create, { body: { kind: 'create-sequence-response', sequence: 'urn:requests' } })
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    const request = bench.sent.at(-1)
    if (request === undefined) throw new Error('no request')
    await bench.answer(request, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    bench.over[bench.sent.indexOf(request)]?.()
    await bench.wait(10_000)
    expect(kinds(bench.sent).filter((kind) => kind === 'application 1').length).toBeGreaterThan(1)
  })
})

describe('an initiator with an address', () => {
  test('asks for a sign of life also when all that left waits for its reply, and what did not for room', async () => {
    const bench = new Bench({ timing: { window: 1 } })
    const lane = await bench.opened({ endpoint: address })
    for (const key of ['a', 'b']) await bench.engine.submit(lane, content(key), 'request', key)
    await arrive(bench, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })
    for (const over of bench.over) over()
    await bench.wait(DEFAULT_TIMING.retransmitCapMs)
    expect(kinds(bench.sent)).toEqual(['create-sequence', 'application 1', 'ack-requested'])
  })
  async function opened(bench: Bench): Promise<ReturnType<Bench['opened']> extends Promise<infer L> ? L : never> {
    const lane = await bench.engine.open(A, { url: URL, rm: RM11, offer: true, endpoint: address })
    const [create] = bench.sent
    await accepted(bench, 0)
    expect(bench.engine.status(lane)?.state).toBe('creating')
    const words = { body: { kind: 'create-sequence-response', sequence: 'urn:requests', accept: { acksTo: URL } } as const, relatesTo: create?.messageId ?? '' }
    expect(await arrive(bench, { ...words, relatesTo: 'urn:other' })).toBe('accepted')
    expect(await arrive(bench, words, B)).toBe('accepted')
    expect(bench.engine.status(lane)?.state).toBe('creating')
    expect(await arrive(bench, words)).toBe('accepted')
    expect(bench.engine.status(lane)?.state).toBe('open')
    return lane
  }
  test('hears there of everything: its sequence, acknowledgements, replies, the end; under its token alone', async () => {
    const bench = new Bench()
    const lane = await opened(bench)
    await bench.engine.submit(lane, content('a'), 'request', 'a')
    const offered = bench.engine.status(lane)?.offered ?? ''
    await arrive(bench, { body: reply('a'), relatesTo: 'urn:a', sequence: { id: offered, number: 1 } }, B)
    expect(bench.engine.status(lane)).toMatchObject({ pending: 1, accepted: [] })
    expect(await arrive(bench, { body: reply('a'), relatesTo: 'urn:a', sequence: { id: offered, number: 1 }, acknowledgements: [{ sequence: 'urn:requests', ranges: [[1, 1]], final: false }] })).toBe('accepted')
    expect((await bench.engine.reply(lane, 'a')).body).toBe('<re-a/>')
    // What it has to say to that goes to the address of the service, not onto the back-channel.
    await bench.wait(DEFAULT_TIMING.ackDelayMs)
    expect(bench.sent.at(-1)).toMatchObject({ to: { kind: 'endpoint', url: URL }, body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: offered, ranges: [[1, 1]] }] })
    const closed = bench.engine.close(lane)
    await settled()
    expect(bench.sent.at(-1)?.body.kind).toBe('close-sequence')
    await arrive(bench, { body: { kind: 'close-sequence-response', sequence: 'urn:requests' }, relatesTo: bench.sent.at(-1)?.messageId ?? '' }, B)
    expect(bench.engine.status(lane)?.state).toBe('closing')
    await arrive(bench, { body: { kind: 'close-sequence-response', sequence: 'urn:requests' }, relatesTo: bench.sent.at(-1)?.messageId ?? '' })
    expect(bench.sent.at(-1)?.body.kind).toBe('terminate-sequence')
    await arrive(bench, { body: { kind: 'terminate-sequence-response', sequence: 'urn:requests' }, relatesTo: bench.sent.at(-1)?.messageId ?? '' })
    expect(await closed).toEqual({ outcome: 'terminated', lost: [] })
  })
  test('is told there that its sequence is refused', async () => {
    const bench = new Bench()
    const lane = await bench.engine.open(A, { url: URL, rm: RM11, offer: true, endpoint: address })
    await arrive(bench, { body: { kind: 'fault', fault: FAULTS.createSequenceRefused }, relatesTo: bench.sent[0]?.messageId ?? '' }, B)
    expect(bench.engine.status(lane)?.state).toBe('creating')
    await arrive(bench, { body: { kind: 'fault', fault: FAULTS.createSequenceRefused }, relatesTo: bench.sent[0]?.messageId ?? '' })
    expect(bench.engine.status(lane)?.state).toBe('ended')
  })
  test('answers what is asked of it on the back-channel, or to the service where that says so', async () => {
    const bench = new Bench()
    const lane = await opened(bench)
    const offered = bench.engine.status(lane)?.offered ?? ''
    expect(nameOf(await arrive(bench, { body: { kind: 'close-sequence', sequence: offered }, messageId: 'urn:close' }))).toBe('close-sequence-response')
    expect(await arrive(bench, { body: { kind: 'terminate-sequence', sequence: offered }, messageId: 'urn:terminate', replyTo: URL })).toBe('accepted')
    expect(bench.sent.at(-1)).toMatchObject({ to: { kind: 'endpoint', url: URL }, body: { kind: 'terminate-sequence-response' }, relatesTo: 'urn:terminate' })
  })
})

describe('a responder with a mailbox', () => {
  const create = (messageId = 'urn:create', offered = 'urn:replies') => ({ body: { kind: 'create-sequence', acksTo: MAILBOX, offer: { sequence: offered } } as const, messageId, replyTo: MAILBOX })
  const poll = (bench: Bench, by: Parameters<Bench['ask']>[1] = {}, also: Partial<Outbound> = {}): ReturnType<Bench['ask']> => bench.ask({ body: { kind: 'make-connection', address: MAILBOX }, ...also }, by)
  const request = (sequence: string, number: number, name = `m${number}`): Parameters<Bench['ask']>[0] => ({ ...message(sequence, number, 'request', name), replyTo: MAILBOX })
  const deliver = async (delivery: { received: { content: { messageId: string; body: string } } }) => ({ reply: { ...content('re'), body: `<re>${delivery.received.content.body}</re>`, relatesTo: delivery.received.content.messageId } })

  test('answers on the back-channel what is at hand, said to the mailbox', async () => {
    const bench = new Bench({ deliver })
    const sequence = await bench.created(create())
    expect(await bench.ask(request(sequence, 1))).toMatchObject({ to: { kind: 'exchange', address: MAILBOX }, body: { kind: 'application' } })
  })
  test('keeps a reply for the poll, gives it again only when it may be lost, and forgets it when it was acknowledged', async () => {
    let go: (() => void) | undefined
    const bench = new Bench({ deliver: (delivery) => new Promise((resolve) => { go = () => resolve(deliver(delivery)) }) })
    const sequence = await bench.created(create())
    const asked = bench.ask(request(sequence, 1))
    await bench.wait(DEFAULT_TIMING.holdReplyMs)
    await asked
    expect(bench.answers.get(bench.lastExchange)).toBe('accepted')
    expect(nameOf(await poll(bench))).toBe('acknowledgement')
    expect(await poll(bench)).toBe('accepted')
    go?.()
    await settled()
    const first = await poll(bench)
    expect(first).toMatchObject({ to: { kind: 'exchange', address: MAILBOX }, body: { kind: 'application', content: { body: '<re><m1/></re>' } }, sequence: { id: 'urn:replies', number: 1 }, pending: false })
    expect(await poll(bench)).toBe('accepted')
    await bench.wait(DEFAULT_TIMING.retransmitMs)
    expect(nameOf(await poll(bench))).toBe('application')
    await bench.wait(60_000)
    // What the poll itself acknowledges is not given to it.
    expect(await poll(bench, {}, { acknowledgements: [{ sequence: 'urn:replies', ranges: [[1, 1]], final: false }] })).toBe('accepted')
    await bench.wait(60_000)
    expect(await poll(bench)).toBe('accepted')
  })
  test('gives an acknowledgement that nothing has carried yet, once', async () => {
    const bench = new Bench({ deliver: () => new Promise(() => undefined) })
    const sequence = await bench.created(create())
    void bench.ask(request(sequence, 1))
    await settled()
    expect(await poll(bench)).toMatchObject({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence, ranges: [[1, 1]] }], pending: false })
    expect(await poll(bench)).toBe('accepted')
  })
  test('of several sequences: the oldest first, and each says whether more waits in any of them', async () => {
    const go: (() => void)[] = []
    const bench = new Bench({ timing: { holdReplyMs: 10 }, deliver: (delivery) => new Promise((resolve) => { go.push(() => resolve(deliver(delivery))) }) })
    const [first, second] = [await bench.created(create()), await bench.created(create('urn:create-2', 'urn:replies-2'))]
    for (const [sequence, name] of [[first, 'a'], [second, 'b']] as const) void bench.ask(request(sequence, 1, name))
    await bench.wait(20)
    for (const each of go.splice(0)) each()
    await settled()
    expect([await poll(bench), await poll(bench)].map((each) => typeof each === 'object' && [each.sequence?.id, each.pending])).toEqual([['urn:replies', true], ['urn:replies-2', false]])
    expect(await poll(bench)).toBe('accepted')
  })
  test('of the same name under another token is another one, in which nothing waits', async () => {
    const bench = new Bench({ timing: { holdReplyMs: 10 }, deliver: (delivery) => deliver(delivery) })
    const sequence = await bench.created(create())
    await bench.ask(request(sequence, 1))
    await bench.wait(60_000)
    expect(await poll(bench, { token: B, principal: MALLORY })).toBe('accepted')
    expect(bench.events).toContainEqual(expect.objectContaining({ kind: 'security', code: 'ERR_RM_SCOPE' }))
    expect(nameOf(await poll(bench))).toBe('application')
  })
  test('is found by a process that did not make it', async () => {
    const store = new MemoryStore()
    const [one, two] = [new Bench({ store, deliver }), new Bench({ store, deliver })]
    const sequence = await one.created(create())
    await one.ask(request(sequence, 1))
    await two.wait(60_000)
    expect(nameOf(await poll(two))).toBe('application')
  })
  test('a reply without a number is given to one poll, and again to whoever repeats the request', async () => {
    let go: (() => void) | undefined
    const bench = new Bench({ timing: { holdReplyMs: 10 }, engine: { acceptOffers: false }, deliver: (delivery) => new Promise((resolve) => { go = () => resolve(deliver(delivery)) }) })
    const sequence = await bench.created(create())
    void bench.ask(request(sequence, 1))
    await bench.wait(20)
    go?.()
    await settled()
    const polled = await poll(bench)
    expect(polled).toMatchObject({ body: { kind: 'application' } })
    expect((polled as Outbound).sequence).toBeUndefined()
    await bench.wait(60_000)
    expect(await poll(bench)).toBe('accepted')
    expect(nameOf(await bench.ask(request(sequence, 1)))).toBe('application')
  })
  test('one place for all: what names another one is refused', async () => {
    const bench = new Bench()
    const elsewhere = `${MC_ANONYMOUS_PREFIX}8`
    expect(nameOf(await bench.ask({ ...create(), replyTo: elsewhere }))).toBe('CreateSequenceRefused')
    const change = (received: Received): Received => ({ ...received, body: { ...received.body, offer: { sequence: 'urn:replies', endpoint: { kind: 'make-connection', address: elsewhere } } } as Received['body'] })
    expect(nameOf(await bench.ask(create(), { change }))).toBe('CreateSequenceRefused')
    const anonymous = (received: Received): Received => ({ ...received, body: { ...received.body, offer: { sequence: 'urn:replies', endpoint: { kind: 'anonymous' } } } as Received['body'] })
    expect(nameOf(await bench.ask(create(), { change: anonymous }))).toBe('CreateSequenceRefused')
    const sequence = await bench.created(create())
    expect(nameOf(await bench.ask({ ...message(sequence, 1, 'request'), replyTo: elsewhere }))).toBe('InvalidAddressingHeader')
  })
})

describe('a responder that connects to an address', () => {
  const engine = { reaches: (to: string) => to === HERE }
  const create = (messageId = 'urn:create') => ({ body: { kind: 'create-sequence', acksTo: HERE, offer: { sequence: 'urn:replies' } } as const, messageId, replyTo: HERE })
  const deliver = async (delivery: { received: { content: { messageId: string; body: string } } }) => ({ reply: { ...content('re'), body: `<re>${delivery.received.content.body}</re>`, relatesTo: delivery.received.content.messageId } })
  async function created(bench: Bench): Promise<string> {
    expect(await bench.ask(create())).toBe('accepted')
    const made = bench.sent.at(-1)
    expect(made).toMatchObject({ to: { kind: 'endpoint', url: HERE }, body: { kind: 'create-sequence-response' }, relatesTo: 'urn:create' })
    await accepted(bench)
    return made?.body.kind === 'create-sequence-response' ? made.body.sequence : ''
  }
  test('does so only where it may', async () => {
    const bench = new Bench()
    expect(nameOf(await bench.ask(create()))).toBe('CreateSequenceRefused')
    expect(nameOf(await new Bench({ engine: { reaches: (to) => to !== HERE } }).ask(create()))).toBe('CreateSequenceRefused')
    expect(bench.sent).toEqual([])
  })
  test('sends a reply again by time until it is acknowledged, and asks for that; a repeated request makes it no faster', async () => {
    const bench = new Bench({ engine, deliver })
    const sequence = await created(bench)
    expect(await bench.ask({ ...message(sequence, 1, 'request'), replyTo: HERE })).toBe('accepted')
    const at = bench.sent.length - 1
    expect(bench.sent[at]).toMatchObject({ to: { kind: 'endpoint', url: HERE }, body: { kind: 'application' }, sequence: { id: 'urn:replies', number: 1 }, acknowledgements: [{ sequence, ranges: [[1, 1]] }], ackRequested: [] })
    await accepted(bench)
    await bench.ask({ ...message(sequence, 1, 'request'), replyTo: HERE })
    await bench.wait(DEFAULT_TIMING.retransmitMs - 10)
    expect(kinds(bench.sent.slice(at))).toEqual(['application 1', 'acknowledgement'])
    await bench.wait(20)
    expect(kinds(bench.sent.slice(at)).filter((kind) => kind === 'application 1')).toHaveLength(2)
    expect(bench.sent.findLast(({ body }) => body.kind === 'application')?.ackRequested).toEqual(['urn:replies'])
    // The answer to our POST may say that it has arrived.
    const sent = bench.sent.findLast(({ body }) => body.kind === 'application')
    if (sent === undefined) throw new Error('no reply')
    await bench.answer(sent, { body: { kind: 'acknowledgement' }, to: { kind: 'endpoint', url: URL }, acknowledgements: [{ sequence: 'urn:replies', ranges: [[1, 1]], final: false }] })
    bench.over[bench.sent.indexOf(sent)]?.()
    const count = bench.sent.length
    await bench.wait(120_000)
    expect(bench.sent).toHaveLength(count)
  })
  test('a reply without a number is sent again when its request is repeated, after the usual wait', async () => {
    const bench = new Bench({ engine: { ...engine, acceptOffers: false }, deliver })
    const sequence = await created(bench)
    const asked = async (): Promise<number> => {
      for (let times = 0; times < 3; times++) expect(await bench.ask({ ...message(sequence, 1, 'request'), replyTo: HERE })).toBe('accepted')
      return bench.sent.filter(({ body }) => body.kind === 'application').length
    }
    expect(await asked()).toBe(1)
    await accepted(bench)
    expect(await asked()).toBe(1)
    for (const count of [2, 3]) {
      await bench.wait(DEFAULT_TIMING.retransmitMs)
      expect(await asked()).toBe(count)
    }
  })
  test('acknowledges one-way messages soon, several at once', async () => {
    const bench = new Bench({ engine })
    const sequence = await created(bench)
    const count = bench.sent.length
    for (const number of [1, 2, 3]) expect(await bench.ask({ ...message(sequence, number), ackRequested: [sequence] })).toBe('accepted')
    await bench.wait(DEFAULT_TIMING.ackAskedMs)
    expect(bench.sent.slice(count)).toMatchObject([{ to: { kind: 'endpoint', url: HERE }, body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence, ranges: [[1, 3]] }] }])
  })
  test('answers the end there, and faults; also when the end is asked for again', async () => {
    const bench = new Bench({ engine })
    const sequence = await created(bench)
    for (const kind of ['close-sequence', 'terminate-sequence', 'terminate-sequence'] as const) {
      expect(await bench.ask({ body: { kind, sequence }, messageId: `urn:${kind}`, replyTo: HERE })).toBe('accepted')
      expect(bench.sent.at(-1)).toMatchObject({ to: { kind: 'endpoint', url: HERE }, body: { kind: `${kind}-response` }, relatesTo: `urn:${kind}` })
      await accepted(bench)
    }
    expect(kinds(bench.sent)).toEqual(['create-sequence-response', 'close-sequence-response', 'terminate-sequence-response', 'terminate-sequence-response'])
    expect(await bench.ask({ ...message(sequence, 1, 'request'), replyTo: HERE })).toBe('accepted')
    expect(nameOf(bench.sent.at(-1))).toBe('UnknownSequence')
  })
  test('says no answer beside itself, however often it is asked; again when the first has come to its end, or after the usual wait', async () => {
    const bench = new Bench({ engine })
    const asked = async (): Promise<number> => {
      for (let times = 0; times < 5; times++) expect(await bench.ask(create())).toBe('accepted')
      return bench.sent.length
    }
    expect(await asked()).toBe(1)
    await accepted(bench)
    expect(await asked()).toBe(2)
    await bench.wait(DEFAULT_TIMING.retransmitMs)
    expect(await asked()).toBe(3)
    // The end of the older one is not that of the newer.
    await accepted(bench, 1)
    expect(await asked()).toBe(3)
    // Another question has an answer of its own.
    const { body } = bench.sent[0] as Outbound
    const sequence = body.kind === 'create-sequence-response' ? body.sequence : ''
    await bench.ask({ body: { kind: 'close-sequence', sequence }, messageId: 'urn:close', replyTo: HERE })
    expect(kinds(bench.sent.slice(3))).toEqual(['close-sequence-response'])
  })
  test('goes on after a restart: what was not acknowledged is sent again', async () => {
    const store = new MemoryStore()
    const bench = new Bench({ store, engine, deliver })
    const sequence = await created(bench)
    await bench.ask({ ...message(sequence, 1, 'request'), replyTo: HERE })
    await bench.engine[Symbol.asyncDispose]()
    const later = new Bench({ store, engine, deliver })
    await later.engine.restore()
    await later.wait(10)
    expect(kinds(later.sent)).toEqual(['application 1'])
    expect(later.sent[0]).toMatchObject({ to: { kind: 'endpoint', url: HERE } })
  })
  test('never to another place that a message names', async () => {
    const bench = new Bench({ engine: { reaches: () => true } })
    const sequence = await created(bench)
    for (const replyTo of [`${HERE}/`, HERE.toUpperCase(), 'https://elsewhere.example/']) {
      expect(nameOf(await bench.ask({ ...message(sequence, 1, 'request'), replyTo }))).toBe('InvalidAddressingHeader')
      expect(nameOf(await bench.ask({ body: { kind: 'close-sequence', sequence }, replyTo }))).toBe('InvalidAddressingHeader')
    }
    expect(bench.sent.every(({ to }) => to.kind === 'endpoint' && to.url === HERE)).toBe(true)
  })
  test('takes what it sent itself for nothing', async () => {
    const bench = new Bench({ engine })
    const sequence = await created(bench)
    expect(nameOf(await bench.ask({ body: { kind: 'terminate-sequence', sequence }, to: { kind: 'endpoint', url: HERE } }))).toBe('UnknownSequence')
    expect(bench.events).toContainEqual(expect.objectContaining({ kind: 'security', code: 'ERR_WSA_MIRRORED' }))
  })
  test('in RM 1.0 it ends its own sequence when it has read the last message', async () => {
    const bench = new Bench({ engine, deliver })
    const rm10 = { change: (received: Received): Received => ({ ...received, rm: RM10.name }) }
    expect(await bench.ask(create(), rm10)).toBe('accepted')
    const made = bench.sent.at(-1)?.body
    const sequence = made?.kind === 'create-sequence-response' ? made.sequence : ''
    await bench.ask({ ...message(sequence, 1, 'request'), replyTo: HERE }, rm10)
    await bench.ask({ body: { kind: 'last-message' }, sequence: { id: sequence, number: 2, last: true } }, rm10)
    expect(bench.sent.at(-1)).toMatchObject({ body: { kind: 'last-message' }, sequence: { id: 'urn:replies', number: 2, last: true } })
    await bench.ask({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:replies', ranges: [[1, 2]], final: false }] }, rm10)
    expect(bench.sent.at(-1)?.body).toEqual({ kind: 'terminate-sequence', sequence: 'urn:replies' })
    await accepted(bench)
    await bench.ask({ body: { kind: 'terminate-sequence', sequence } }, rm10)
    expect(kinds(bench.sent).filter((kind) => kind === 'terminate-sequence')).toHaveLength(1)
    expect(bench.engine.sequences()[0]?.state).toBe('ended')
  })
})
