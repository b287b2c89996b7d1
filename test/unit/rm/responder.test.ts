import { MemoryStore, storeKey } from '../../../src/store/store.ts'
import { describe, expect, test } from 'vitest'
import { StoreFailed } from '../../../src/errors.ts'
import type { Delivery, Outbound, Received } from '../../../src/rm/turn.ts'
import { A, ALICE, B, Bench, content, CREATE, MALLORY, message, nameOf, settled, URL } from './bench.ts'

const replyTo = (name: string): { reply: { action: string; messageId: string; relatesTo: string; body: string; headers: readonly string[] } } => ({ reply: { ...content(`re-${name}`), relatesTo: `urn:${name}` } })
const withBody = (change: object) => (received: Received): Received => ({ ...received, body: { ...received.body, ...change } }) as Received

describe('a sequence is known only under its token', () => {
  const kinds: readonly [string, (name: string) => Partial<Outbound> & Pick<Outbound, 'body'>][] = [
    ['a one-way message', (name) => message(name, 2)],
    ['a request', (name) => message(name, 2, 'request')],
    ['a repeated request', (name) => message(name, 1, 'request')],
    ['a last message', (name) => ({ body: { kind: 'last-message' }, sequence: { id: name, number: 2, last: true } })],
    ['AckRequested', (name) => ({ body: { kind: 'ack-requested' }, ackRequested: [name] })],
    ['an acknowledgement', (name) => ({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: name, ranges: [[1, 1]], final: false }] })],
    ['a final acknowledgement', (name) => ({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: name, ranges: [[1, 1]], final: true }] })],
    ['a Nack', (name) => ({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: name, ranges: [], nacks: [1], final: false }] })],
    ['CloseSequence', (name) => ({ body: { kind: 'close-sequence', sequence: name, lastNumber: 1 } })],
    ['CloseSequenceResponse', (name) => ({ body: { kind: 'close-sequence-response', sequence: name } })],
    ['TerminateSequence', (name) => ({ body: { kind: 'terminate-sequence', sequence: name, lastNumber: 1 } })],
    ['TerminateSequenceResponse', (name) => ({ body: { kind: 'terminate-sequence-response', sequence: name } })],
  ]
  for (const [what, made] of kinds) {
    for (const which of ['requests', 'replies'] as const) {
      test(`${what} on another's sequence of ${which} is answered as on one that never was, and changes nothing`, async () => {
        const bench = new Bench({ deliver: async () => replyTo('m1') })
        const sequence = await bench.created()
        expect(nameOf(await bench.ask(message(sequence, 1, 'request')))).toBe('application')
        const [before, delivered] = [await bench.rows(), bench.delivered.length]
        const foreign = await bench.ask(made(which === 'requests' ? sequence : 'urn:replies'), { token: B, principal: MALLORY })
        const unknown = await bench.ask(made('urn:never'), { token: B, principal: MALLORY })
        expect(nameOf(foreign)).toBe('UnknownSequence')
        // The same words, but for the name that was asked for.
        const shown = (answer: Outbound | 'accepted' | undefined): unknown => JSON.parse(JSON.stringify(answer).replaceAll(sequence, 'NAME').replaceAll('urn:replies', 'NAME').replaceAll('urn:never', 'NAME').replace(/"x\d+"/, '"x"'))
        expect(shown(foreign)).toEqual(shown(unknown))
        await bench.wait(60_000)
        expect(await bench.rows()).toEqual(before)
        expect(bench.delivered).toHaveLength(delivered)
        expect(bench.events.filter((event) => event.kind === 'security').map((event) => event.code)).toEqual(['ERR_RM_SCOPE'])
        await bench.engine[Symbol.asyncDispose]()
      })
    }
  }
  test('each header is judged on its own: a message under token B that acknowledges a sequence of A is delivered, the acknowledgement is not', async () => {
    const bench = new Bench({ deliver: async ({ received }) => replyTo(received.content.messageId.slice(4)) })
    const ofA = await bench.created()
    await bench.ask(message(ofA, 1, 'request'))
    const ofB = (await bench.ask({ body: { kind: 'create-sequence', acksTo: 'anonymous' }, messageId: 'urn:create' }, { token: B, principal: MALLORY })) as Outbound
    if (ofB.body.kind !== 'create-sequence-response') throw new Error('no sequence')
    const answer = await bench.ask({ ...message(ofB.body.sequence, 1), acknowledgements: [{ sequence: 'urn:replies', ranges: [[1, 1]], final: false }] }, { token: B, principal: MALLORY })
    expect(nameOf(answer)).toBe('acknowledgement')
    expect(bench.delivered).toHaveLength(2)
    // The reply is kept still: a repeated request gets it.
    expect(nameOf(await bench.ask(message(ofA, 1, 'request')))).toBe('application')
  })
  test('an acknowledgement of the sequence of requests, or an AckRequested for that of replies, is not for us to take', async () => {
    const bench = new Bench({ deliver: async () => replyTo('m1') })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1, 'request'))
    const before = await bench.rows()
    expect(nameOf(await bench.ask({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence, ranges: [[1, 1]], final: true }] }))).toBe('UnknownSequence')
    expect(nameOf(await bench.ask({ body: { kind: 'ack-requested' }, ackRequested: ['urn:replies'] }))).toBe('UnknownSequence')
    expect(await bench.rows()).toEqual(before)
  })
  test('another version of RM or of SOAP than the sequence began with does not know it', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    for (const change of [{ rm: '1.0' }, { soap: '1.1' }]) expect(nameOf(await bench.ask(message(sequence, 1), { change: (received) => ({ ...received, ...change }) as Received }))).toBe('UnknownSequence')
    expect(nameOf(await bench.ask(message(sequence, 1)))).toBe('acknowledgement')
  })
})

describe('CreateSequence', () => {
  test.each<[string, object, string]>([
    ['a reference to another token', { scope: 'other' }, 'CreateSequenceRefused'],
    ['no reference', { scope: 'absent', usesSequenceStr: false }, 'CreateSequenceRefused'],
    ['UsesSequenceSTR without a reference', { scope: 'absent', usesSequenceStr: true }, 'CreateSequenceRefused'],
    ['acknowledgements to an address', { acksTo: { kind: 'address', address: 'http://169.254.169.254/' } }, 'CreateSequenceRefused'],
    ['acknowledgements to none', { acksTo: { kind: 'none' } }, 'CreateSequenceRefused'],
    ['an Offer elsewhere', { offer: { sequence: 'urn:o', endpoint: { kind: 'address', address: 'http://127.0.0.1/' } } }, 'CreateSequenceRefused'],
    ['an empty Offer identifier', { offer: { sequence: '' } }, 'CreateSequenceRefused'],
    ['an Offer identifier of 10 KB', { offer: { sequence: 'u'.repeat(10_240) } }, 'CreateSequenceRefused'],
    ['everything in order', {}, 'create-sequence-response'],
    ['an Offer without Endpoint, as in RM 1.0', { offer: { sequence: 'urn:o' } }, 'create-sequence-response'],
  ])('with %s', async (_, change, outcome) => {
    const bench = new Bench()
    expect(nameOf(await bench.ask(CREATE, { change: withBody(change) }))).toBe(outcome)
    // Refused means that nothing is kept.
    expect((await bench.rows()).length).toBe(outcome === 'CreateSequenceRefused' ? 0 : 'lane token creation requests replies'.split(' ').length)
  })
  test('without a reference is bound to its signer where the service says so, but not when it claims one', async () => {
    const bench = new Bench({ engine: { bindUnscopedToSigner: true } })
    expect(nameOf(await bench.ask(CREATE, { change: withBody({ scope: 'absent', usesSequenceStr: true }) }))).toBe('CreateSequenceRefused')
    expect(nameOf(await bench.ask(CREATE, { change: withBody({ scope: 'other' }) }))).toBe('CreateSequenceRefused')
    expect(nameOf(await bench.ask(CREATE, { change: withBody({ scope: 'absent', usesSequenceStr: false }) }))).toBe('create-sequence-response')
  })
  test('repeated gets the same sequence: by MessageID, also at once, and by its Offer as long as that is unused', async () => {
    const bench = new Bench()
    const both = await Promise.all([bench.ask(CREATE), bench.ask(CREATE)])
    const names = new Set([...both, await bench.ask(CREATE), await bench.ask({ ...CREATE, messageId: 'urn:another' })].map((answer) => answer !== undefined && answer !== 'accepted' && answer.body.kind === 'create-sequence-response' ? answer.body.sequence : nameOf(answer)))
    expect(names.size).toBe(1)
    await bench.ask(message([...names][0] ?? '', 1))
    expect(nameOf(await bench.ask({ ...CREATE, messageId: 'urn:third' }))).toBe('CreateSequenceRefused')
    expect(nameOf(await bench.ask(CREATE))).toBe('create-sequence-response')
    expect(bench.engine.sequences()).toHaveLength(1)
  })
  test('of another principal with the same MessageID and Offer makes a sequence of its own', async () => {
    const bench = new Bench()
    const first = await bench.created()
    const second = await bench.ask(CREATE, { token: B, principal: MALLORY })
    expect(nameOf(second)).toBe('create-sequence-response')
    expect(JSON.stringify(second)).not.toContain(first)
  })
  test('is refused for an ended sequence that it made', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    await bench.ask({ body: { kind: 'terminate-sequence', sequence } })
    expect(nameOf(await bench.ask(CREATE))).toBe('CreateSequenceRefused')
  })
  test('beyond the quota of a principal, and of all, is refused as busy', async () => {
    const bench = new Bench({ limits: { sequencesPerPrincipal: 2, sequences: 3 } })
    const create = (id: string, token = A, principal = undefined as typeof MALLORY | undefined): Promise<Outbound | 'accepted' | undefined> =>
      bench.ask({ body: { kind: 'create-sequence', acksTo: 'anonymous' }, messageId: id }, { token, ...(principal === undefined ? {} : { principal }) })
    expect([nameOf(await create('a')), nameOf(await create('b')), nameOf(await create('c'))]).toEqual(['create-sequence-response', 'create-sequence-response', 'CreateSequenceRefused'])
    expect(nameOf(await create('d', B, MALLORY))).toBe('create-sequence-response')
    const refused = await create('e', B, MALLORY)
    expect(refused).toMatchObject({ body: { fault: { code: 'Receiver' } } })
    const first = bench.engine.sequences()[0]?.sequence ?? ''
    await bench.ask({ body: { kind: 'terminate-sequence', sequence: first } })
    expect(nameOf(await create('f'))).toBe('create-sequence-response')
  })
  test('of a service that takes no offers has no Accept, and its replies have no number', async () => {
    const bench = new Bench({ engine: { acceptOffers: false }, deliver: async () => replyTo('m1') })
    const answer = (await bench.ask(CREATE)) as Outbound
    expect(answer.body).not.toHaveProperty('accept')
    const sequence = answer.body.kind === 'create-sequence-response' ? answer.body.sequence : ''
    for (let times = 0; times < 2; times++) {
      const reply = (await bench.ask(message(sequence, 1, 'request'))) as Outbound
      expect(reply).toMatchObject({ body: { kind: 'application', shape: 'reply' }, relatesTo: 'urn:m1', acknowledgements: [{ sequence, ranges: [[1, 1]] }] })
      expect(reply.sequence).toBeUndefined()
    }
    expect(bench.delivered).toHaveLength(1)
  })
  test('writes the sealed token in the commit that makes its first sequence, once', async () => {
    const bench = new Bench()
    await bench.created()
    await bench.ask({ body: { kind: 'create-sequence', acksTo: 'anonymous' }, messageId: 'urn:2' })
    const tokens = (await bench.rows()).filter((row) => row.key.startsWith('5:token;'))
    expect(tokens.map((row) => [Buffer.from(row.value).toString(), row.revision])).toEqual([[`sealed ${A}`, 1]])
    expect(bench.used.size).toBe(2)
  })
})

describe('what has ended', () => {
  const QUOTA = { endedSequencesPerPrincipal: 3, endedSequences: 5 }
  const MINUTE = 60_000
  const create = (bench: Bench, id: string, token = A, principal = ALICE): Promise<Outbound | 'accepted' | undefined> => bench.ask({ body: { kind: 'create-sequence', acksTo: 'anonymous' }, messageId: id }, { token, principal })
  const terminate = (bench: Bench, sequence: string, token = A, principal = ALICE): Promise<Outbound | 'accepted' | undefined> => bench.ask({ body: { kind: 'terminate-sequence', sequence } }, { token, principal })
  /** A sequence, made and ended. */
  async function ended(bench: Bench, id: string, token = A, principal = ALICE): Promise<string> {
    const answer = await create(bench, id, token, principal)
    const sequence = typeof answer === 'object' && answer.body.kind === 'create-sequence-response' ? answer.body.sequence : ''
    expect(nameOf(await terminate(bench, sequence, token, principal))).toBe('terminate-sequence-response')
    return sequence
  }
  const laneOf = (bench: Bench, sequence: string): string => bench.engine.sequences().find((status) => status.sequence === sequence)?.lane ?? 'none'
  const kept = async (bench: Bench, lane: string): Promise<boolean> => (await bench.rows()).some(({ key }) => key.includes(lane))

  test('is remembered for each principal in a number, and gives way to what is new, the oldest first', async () => {
    const bench = new Bench({ limits: QUOTA })
    const first = await ended(bench, 'a')
    await bench.wait(1_000)
    const [second, lane, rows] = [await ended(bench, 'b'), laneOf(bench, first), (await bench.rows()).length]
    await bench.wait(1_000)
    const third = await ended(bench, 'c')
    await bench.wait(7 * MINUTE)
    expect(nameOf(await create(bench, 'd'))).toBe('create-sequence-response')
    expect(bench.engine.sequences().map(({ sequence, state }) => (state === 'ended' ? sequence : state))).toEqual([second, third, 'open'])
    expect([await kept(bench, lane), (await bench.rows()).length]).toEqual([false, rows + 3])
    // UnknownSequence is an end too (D23); those that are younger answer as before.
    expect([nameOf(await terminate(bench, first)), nameOf(await terminate(bench, second)), nameOf(await create(bench, 'c'))]).toEqual(['UnknownSequence', 'terminate-sequence-response', 'CreateSequenceRefused'])
    expect(bench.events.filter(({ kind }) => kind === 'error')).toEqual([])
  })
  test('is not forgotten while a copy of its messages may be fresh: whoever ends that many has to wait, and nobody else', async () => {
    const bench = new Bench({ limits: QUOTA })
    const sequences = [await ended(bench, 'a'), await ended(bench, 'b'), await ended(bench, 'c')]
    await bench.wait(7 * MINUTE - 1)
    expect(await create(bench, 'd')).toMatchObject({ body: { kind: 'fault', fault: { name: 'CreateSequenceRefused', code: 'Receiver' } } })
    expect(nameOf(await create(bench, 'e', B, MALLORY))).toBe('create-sequence-response')
    for (const sequence of sequences) expect(nameOf(await terminate(bench, sequence))).toBe('terminate-sequence-response')
    await bench.wait(1)
    expect(nameOf(await create(bench, 'd'))).toBe('create-sequence-response')
  })
  test('is remembered of all in a number, however many tokens and principals there are', async () => {
    const bench = new Bench({ limits: QUOTA })
    const first = await ended(bench, 'a')
    await bench.wait(MINUTE)
    for (const id of ['b', 'c']) await ended(bench, id)
    for (const id of ['d', 'e']) await ended(bench, id, B, MALLORY)
    expect(nameOf(await create(bench, 'f', B, MALLORY))).toBe('CreateSequenceRefused')
    await bench.wait(6 * MINUTE)
    expect(nameOf(await create(bench, 'f', B, MALLORY))).toBe('create-sequence-response')
    expect(nameOf(await terminate(bench, first))).toBe('UnknownSequence')
    expect(bench.engine.sequences()).toHaveLength(5)
  })
  test('stays until the application was given what was accepted', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const bench = new Bench({ limits: { endedSequencesPerPrincipal: 1 }, deliver: () => promise })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1))
    await terminate(bench, sequence)
    await bench.wait(8 * MINUTE)
    expect(nameOf(await create(bench, 'b'))).toBe('CreateSequenceRefused')
    resolve()
    await settled()
    expect(bench.events).toContainEqual(expect.objectContaining({ kind: 'delivered', number: 1 }))
    expect(nameOf(await create(bench, 'c'))).toBe('create-sequence-response')
  })
  test('is forgotten also when the store fails meanwhile', async () => {
    const store = new MemoryStore()
    const commit = store.commit.bind(store)
    const bench = new Bench({ limits: { endedSequencesPerPrincipal: 1 }, store })
    const lane = laneOf(bench, await ended(bench, 'a'))
    await bench.wait(8 * MINUTE)
    let failures = 0
    store.commit = async (lanes) => (failures++ < 3 ? lanes.map(() => ({ failed: new Error('no disk') })) : commit(lanes))
    const created = create(bench, 'b')
    await bench.wait(1_000)
    await created
    expect([await kept(bench, lane), bench.engine.sequences().map(({ state }) => state)]).toEqual([false, ['open']])
  })
  test('is answered from the store, also after a restart, and forgotten after a day', async () => {
    const reads: string[] = []
    const store = new MemoryStore()
    const scan = store.scan.bind(store)
    store.scan = (prefix, options) => {
      reads.push(prefix)
      return scan(prefix, options)
    }
    const bench = new Bench({ store })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1))
    const closed = await terminate(bench, sequence)
    const lane = laneOf(bench, sequence)
    for (let process = bench; ; process = new Bench({ store, time: bench.time })) {
      if (process !== bench) expect((await process.engine.restore()).lanes).toBe(1)
      for (const answer of ['terminate-sequence-response', 'terminate-sequence-response']) {
        reads.length = 0
        const again = await terminate(process, sequence)
        expect([nameOf(again), reads.some((prefix) => prefix.includes(lane))]).toEqual([answer, true])
        expect(again).toMatchObject({ acknowledgements: (closed as Outbound).acknowledgements })
      }
      expect(process.engine.sequences()).toMatchObject([{ state: 'ended', sequence, accepted: [[1, 1]], consumed: 1, pending: 0 }])
      if (process !== bench) {
        await process.wait(24 * 60 * MINUTE)
        expect([process.engine.sequences(), await kept(process, lane)]).toEqual([[], false])
        return
      }
      await bench.engine[Symbol.asyncDispose]()
    }
  })
})

describe('messages', () => {
  test('are delivered once and in order, whatever order they come in', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    for (const number of [3, 2, 2, 1, 3]) await bench.ask(message(sequence, number))
    expect(bench.delivered.map((delivery) => delivery.number)).toEqual([1, 2, 3])
  })
  test('a number that comes again with another body is dropped and reported', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    await bench.ask(message(sequence, 2))
    await bench.ask(message(sequence, 2, 'one-way', 'other'))
    await bench.ask(message(sequence, 1))
    expect(bench.delivered.map((delivery) => delivery.received.content.body)).toEqual(['<m1/>', '<m2/>'])
    expect(bench.events).toContainEqual(expect.objectContaining({ kind: 'error', error: expect.objectContaining({ code: 'ERR_RM_NUMBER_REUSED' }) }))
  })
  test('beyond the receive window are not stored and not acknowledged', async () => {
    const bench = new Bench({ limits: { receiveWindow: 8, ackRanges: 3 } })
    const sequence = await bench.created()
    const rows = (await bench.rows()).length
    expect(await bench.ask(message(sequence, 9))).toMatchObject({ body: { kind: 'acknowledgement' }, acknowledgements: [{ ranges: [] }] })
    for (const number of [2, 4, 6]) await bench.ask(message(sequence, number))
    // A fourth gap would need a fourth range.
    expect(await bench.ask(message(sequence, 8))).toMatchObject({ acknowledgements: [{ ranges: [[2, 2], [4, 4], [6, 6]] }] })
    // Reported once, however many come.
    expect(bench.events.filter((event) => event.kind === 'error')).toHaveLength(1)
    expect((await bench.rows()).length).toBe(rows + 3)
    const asked = (await bench.ask({ body: { kind: 'ack-requested' }, ackRequested: [sequence] })) as Outbound
    expect(asked.acknowledgements[0]?.ranges).toEqual([[2, 2], [4, 4], [6, 6]])
  })
  test('above 2^53 - 1 draw MessageNumberRollover; lower ones are still taken', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    const huge = (received: Received): Received => ({ ...received, sequence: { id: sequence, number: 2n ** 63n - 1n, last: false } })
    expect(await bench.ask(message(sequence, 1), { change: huge })).toMatchObject({ body: { kind: 'fault', fault: { name: 'MessageNumberRollover' }, maxNumber: Number.MAX_SAFE_INTEGER } })
    expect(nameOf(await bench.ask(message(sequence, 1)))).toBe('acknowledgement')
  })
  test('without a Sequence header draw WSRMRequired', async () => {
    const bench = new Bench()
    expect(nameOf(await bench.ask({ body: { kind: 'application', content: content('bare'), shape: 'request' } }))).toBe('WSRMRequired')
    expect(bench.delivered).toHaveLength(0)
  })
  test.each<[string, readonly (readonly [bigint, bigint])[]]>([['never sent', [[1n, 9n]]], ['descending', [[1n, 1n], [1n, 1n]]], ['zero', [[0n, 1n]]]])('an acknowledgement of replies with %s numbers releases none of them', async (_, ranges) => {
    const bench = new Bench({ deliver: async () => replyTo('m1') })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1, 'request'))
    const before = await bench.rows()
    const bad = (received: Received): Received => ({ ...received, acknowledgements: [{ sequence: 'urn:replies', ranges, nacks: [], none: false, final: false }] })
    expect(nameOf(await bench.ask({ body: { kind: 'acknowledgement' } }, { change: bad }))).toBe('InvalidAcknowledgement')
    expect(await bench.rows()).toEqual(before)
  })
})

describe('an application that is behind', () => {
  test('lets the exchanges of one-way messages wait until it has come to them: the sender slows down, nothing is dropped', async () => {
    const done: (() => void)[] = []
    const bench = new Bench({ limits: { receiveWindow: 8 }, deliver: () => new Promise<void>((resolve) => { done.push(resolve) }) })
    const sequence = await bench.created()
    const answers = []
    for (let number = 1; number <= 4; number++) answers.push(nameOf(await bench.ask(message(sequence, number))))
    expect(answers).toEqual(['acknowledgement', 'acknowledgement', 'held', 'held'])
    const fourth = bench.lastExchange
    for (let number = 1; number <= 3; number++) {
      done.shift()?.()
      await settled()
    }
    expect(bench.answers.has(fourth)).toBe(false)
    done.shift()?.()
    await settled()
    expect(bench.answers.get(fourth)).toMatchObject({ acknowledgements: [{ ranges: [[1, 4]] }], relatesTo: 'urn:m4' })
    expect(bench.delivered).toHaveLength(4)
  })
})

describe('the exchange of a request', () => {
  test('waits for the reply; after the time for that it gets nothing, as do copies of a request that waits, and whoever waits gets the reply when it is there', async () => {
    let answer = (_: object): void => undefined
    const bench = new Bench({ deliver: () => new Promise((resolve) => { answer = resolve }) })
    const sequence = await bench.created()
    expect(await bench.ask(message(sequence, 1, 'request'))).toBeUndefined()
    const first = bench.lastExchange
    await bench.wait(15_000)
    expect(bench.answers.get(first)).toBe('accepted')
    expect(await bench.ask(message(sequence, 1, 'request'))).toBeUndefined()
    const second = bench.lastExchange
    expect(await bench.ask(message(sequence, 1, 'request'))).toBe('accepted')
    expect(await bench.ask({ ...message(sequence, 1, 'request'), ackRequested: [sequence] })).toBe('accepted')
    answer(replyTo('m1'))
    await settled()
    expect(nameOf(bench.answers.get(second))).toBe('application')
    expect(bench.delivered).toHaveLength(1)
  })
  test('waits as long as its exchange may; whoever has gone waits no more, and makes room for a copy', async () => {
    let answer = (_: object): void => undefined
    const bench = new Bench({ deliver: () => new Promise((resolve) => { answer = resolve }) })
    const sequence = await bench.created()
    expect(await bench.ask(message(sequence, 1, 'request'), { holdMs: 40_000 })).toBeUndefined()
    const first = bench.lastExchange
    await bench.wait(39_000)
    expect(bench.answers.has(first)).toBe(false)
    bench.engine.gone(first)
    expect(await bench.ask(message(sequence, 1, 'request'))).toBeUndefined()
    answer(replyTo('m1'))
    await settled()
    expect(nameOf(bench.answers.get(bench.lastExchange))).toBe('application')
  })
  test('whose reply has no number gets an acknowledgement after the time for the reply', async () => {
    const bench = new Bench({ engine: { acceptOffers: false }, deliver: () => new Promise(() => undefined) })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1, 'request'))
    await bench.wait(15_000)
    expect(nameOf(bench.answers.get(bench.lastExchange))).toBe('acknowledgement')
  })
  test('of a repeated request brings the kept reply, until that is acknowledged', async () => {
    const bench = new Bench({ deliver: async () => replyTo('m1') })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1, 'request'))
    expect(await bench.ask(message(sequence, 1, 'request'))).toMatchObject({ body: { kind: 'application', content: { body: '<re-m1/>' } }, sequence: { id: 'urn:replies', number: 1 } })
    await bench.ask({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:replies', ranges: [[1, 1]], final: false }] })
    expect(nameOf(await bench.ask(message(sequence, 1, 'request')))).toBe('acknowledgement')
  })
  test('none is left open when the engine is closed', async () => {
    const bench = new Bench({ deliver: () => new Promise(() => undefined) })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1, 'request'))
    await bench.engine[Symbol.asyncDispose]()
    expect(bench.answers.get(bench.lastExchange)).toBe('accepted')
    expect(nameOf(await bench.ask(message(sequence, 2)))).toBe('accepted')
  })
})

describe('a handler that throws', () => {
  test('is called again with growing waits, then the message is a dead letter and its sender gets the fault', async () => {
    const bench = new Bench({
      deliver: async ({ number }) => { if (number === 1) throw new Error('no'); return replyTo('m2') },
      engine: { undeliverable: ({ received }) => ({ ...content('fault'), relatesTo: received.content.messageId, isFault: true }) },
    })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1, 'request'))
    const exchange = bench.lastExchange
    await bench.ask(message(sequence, 2, 'request'))
    await bench.wait(60_000)
    expect(bench.delivered.map((delivery) => delivery.number)).toEqual([1, 1, 1, 1, 1, 2])
    expect(bench.events).toContainEqual(expect.objectContaining({ kind: 'error', error: expect.objectContaining({ code: 'ERR_RM_DEAD_LETTER', numbers: [1] }) }))
    expect(bench.answers.get(exchange)).toBeDefined()
    expect(await bench.ask(message(sequence, 1, 'request'))).toMatchObject({ body: { content: { body: '<fault/>', isFault: true } } })
  })
  test('and so does an effect that fails in the commit: nothing of it is consumed', async () => {
    let fails = 2
    const bench = new Bench({ deliver: async () => ({ work: () => { if (fails-- > 0) throw new Error('constraint') } }) })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1))
    expect(bench.engine.sequences()[0]?.consumed).toBe(0)
    await bench.wait(60_000)
    expect(bench.delivered).toHaveLength(3)
    expect(bench.engine.sequences()[0]?.consumed).toBe(1)
  })
})

describe('two processes on one store', () => {
  test('that deliver the same message have its effect once', async () => {
    const effects: string[] = []
    const done: (() => void)[] = []
    const deliver = (name: string) => (): Promise<{ work: () => void }> => new Promise((resolve) => { done.push(() => resolve({ work: () => void effects.push(name) })) })
    const first = new Bench({ deliver: deliver('first') })
    const sequence = await first.created()
    const second = new Bench({ store: first.store, time: first.time, deliver: deliver('second') })
    await second.engine.restore()
    await first.ask(message(sequence, 1))
    // The other process hears of the message by its duplicate.
    await second.ask(message(sequence, 1))
    await second.ask(message(sequence, 2))
    await settled()
    expect([first.delivered.length, second.delivered.length]).toEqual([1, 1])
    for (const end of done.splice(0)) end()
    await settled()
    await first.wait(1_000)
    for (const end of done.splice(0)) end()
    await first.wait(1_000)
    expect(effects).toHaveLength(2)
    expect(first.engine.sequences()[0]?.consumed === 2 || second.engine.sequences()[0]?.consumed === 2).toBe(true)
  })
})

describe('a service that starts again', () => {
  test('goes on with its sequences: duplicates are known, kept replies are given, what was not consumed is delivered', async () => {
    const first = new Bench({ deliver: async ({ number }) => number === 1 ? replyTo('m1') : new Promise(() => undefined) })
    const sequence = await first.created()
    await first.ask(message(sequence, 1, 'request'))
    await first.ask(message(sequence, 2))
    const second = new Bench({ store: first.store, time: first.time })
    expect(await second.engine.restore()).toEqual({ lanes: 1, tokens: 1, quarantined: [] })
    await settled()
    expect(second.restoredTokens).toEqual([A])
    expect(second.delivered.map((delivery) => delivery.number)).toEqual([2])
    expect(await second.ask(message(sequence, 1, 'request'))).toMatchObject({ body: { content: { body: '<re-m1/>' } } })
    expect(nameOf(await second.ask(CREATE))).toBe('create-sequence-response')
    expect(second.engine.sequences()).toHaveLength(1)
  })
  test('knows what another process on the same store has made since: by either sequence, and the CreateSequence itself', async () => {
    const first = new Bench()
    const other = (): Bench => new Bench({ store: first.store, time: first.time, deliver: async () => replyTo('m1') })
    const [second, third, fourth] = [other(), other(), other()]
    const sequence = await first.created()
    expect(await second.ask(message(sequence, 1, 'request'))).toMatchObject({ body: { content: { body: '<re-m1/>' } } })
    expect(nameOf(await third.ask({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:replies', ranges: [[1, 1]], final: false }] }))).toBe('accepted')
    expect(third.engine.sequences()[0]?.acknowledged).toEqual([[1, 1]])
    expect(await fourth.ask(CREATE)).toMatchObject({ body: { kind: 'create-sequence-response', sequence } })
    // What the first has in memory is old by now; its next word shows it.
    expect(nameOf(await first.ask(message(sequence, 2)))).toBe('acknowledgement')
    expect(first.engine.sequences()[0]).toMatchObject({ accepted: [[1, 2]] })
    for (const bench of [first, second, third, fourth]) expect(bench.engine.sequences()).toHaveLength(1)
  })
  test('accuses nobody of what it has not heard itself: what is only said is fenced like what is written', async () => {
    const deliver = async ({ received }: Delivery): Promise<ReturnType<typeof replyTo>> => replyTo(received.content.messageId.slice(4))
    const first = new Bench({ deliver })
    const second = new Bench({ store: first.store, time: first.time, deliver })
    const sequence = await first.created()
    for (const [number, bench] of [first, second, second].entries()) expect(await bench.ask(message(sequence, number + 1, 'request'))).toMatchObject({ sequence: { id: 'urn:replies', number: number + 1 } })
    const acknowledged = { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: 'urn:replies', ranges: [[1, 3]], final: false }] } as const
    expect(nameOf(await first.ask(acknowledged))).toBe('accepted')
    expect(first.events.filter(({ kind }) => kind === 'error' || kind === 'security')).toEqual([])
    // What nobody has sent is refused still, by whoever is asked.
    for (const bench of [first, second]) expect(nameOf(await bench.ask({ ...acknowledged, acknowledgements: [{ sequence: 'urn:replies', ranges: [[1, 4]], final: false }] }))).toBe('InvalidAcknowledgement')
  })
  test('learns when it is asked that another process has ended the last lane of a token', async () => {
    const first = new Bench()
    const second = new Bench({ store: first.store, time: first.time })
    const sequence = await first.created()
    expect(nameOf(await second.ask({ body: { kind: 'terminate-sequence', sequence } }))).toBe('terminate-sequence-response')
    expect([first.used.size, second.used.size]).toEqual([1, 0])
    await first.engine.refresh(A)
    expect(first.used.size).toBe(0)
  })
  test('under another token, what another process has made is a sequence that never was', async () => {
    const first = new Bench()
    const second = new Bench({ store: first.store, time: first.time })
    const sequence = await first.created()
    const before = await first.rows()
    expect(nameOf(await second.ask(message(sequence, 1), { token: B, principal: MALLORY }))).toBe('UnknownSequence')
    expect(second.engine.sequences()).toEqual([])
    expect(await first.rows()).toEqual(before)
  })
  test('says nothing when the store cannot tell whether it knows a sequence', async () => {
    const bench = new Bench({ store: { scan: () => { throw new StoreFailed('ERR_STORE_BUSY', 'locked') }, commit: async () => [], [Symbol.asyncDispose]: async () => {} } })
    expect(await bench.ask(message('urn:never', 1))).toBe('accepted')
    expect(bench.events).toMatchObject([{ kind: 'error', error: { code: 'ERR_STORE_BUSY' } }])
  })
  test('forgets an ended sequence after a day; its token is the security side’s to forget', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1))
    expect(nameOf(await bench.ask({ body: { kind: 'terminate-sequence', sequence, lastNumber: 1 } }))).toBe('terminate-sequence-response')
    expect(bench.used.size).toBe(0)
    expect(nameOf(await bench.ask({ body: { kind: 'terminate-sequence', sequence, lastNumber: 1 } }))).toBe('terminate-sequence-response')
    await bench.wait(24 * 3_600_000 + 10_000)
    expect((await bench.rows()).filter(({ key }) => !key.startsWith(storeKey('token')))).toEqual([])
    expect(nameOf(await bench.ask({ body: { kind: 'terminate-sequence', sequence, lastNumber: 1 } }))).toBe('UnknownSequence')
  })
  test('ends a sequence in which nothing was heard for ten minutes', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    await bench.wait(599_000)
    expect(nameOf(await bench.ask({ body: { kind: 'ack-requested' }, ackRequested: [sequence] }))).toBe('acknowledgement')
    await bench.wait(601_000)
    expect(nameOf(await bench.ask({ body: { kind: 'ack-requested' }, ackRequested: [sequence] }))).toBe('UnknownSequence')
    expect(bench.engine.sequences()[0]?.state).toBe('ended')
    expect(URL).toBeDefined()
  })
})
