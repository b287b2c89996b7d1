/** What a Destination owes whoever asks, whatever became of the message that asked: the rules of WS-RM about answers, one by one. */
import { describe, expect, test } from 'vitest'
import type { Outbound, Received } from '../../../src/rm/turn.ts'
import { Bench, content, CREATE, message, nameOf, settled, URL } from './bench.ts'

const replied = async (): Promise<{ reply: ReturnType<typeof content> & { relatesTo: string } }> => ({ reply: { ...content('reply'), relatesTo: 'urn:m1' } })
const changed = (change: object) => (received: Received): Received => ({ ...received, ...change })
const answerOf = (answer: Outbound | 'accepted' | undefined): Outbound => {
  if (answer === undefined || answer === 'accepted') throw new Error(`no answer: ${String(answer)}`)
  return answer
}

describe('a header that rides along and is wrong', () => {
  const wrong = { sequence: 'urn:replies', ranges: [[3n, 2n]], nacks: [], none: false, final: false, invalid: 'a range that is empty' }
  test('does not keep its carrier from being delivered', async () => {
    const bench = new Bench({ deliver: replied })
    const sequence = await bench.created()
    expect(nameOf(await bench.ask(message(sequence, 1, 'request'), { change: changed({ acknowledgements: [wrong] }) }))).toBe('application')
    expect(bench.delivered).toHaveLength(1)
  })
  test('alone draws InvalidAcknowledgement, which shows it; what it names is not released', async () => {
    const bench = new Bench({ deliver: replied })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1, 'request'))
    for (const acknowledgement of [wrong, { ...wrong, ranges: [[1n, 9n]], invalid: undefined }]) {
      const answer = answerOf(await bench.ask({ body: { kind: 'acknowledgement' } }, { change: changed({ acknowledgements: [acknowledgement] }) }))
      expect(answer.body).toMatchObject({ kind: 'fault', fault: { name: 'InvalidAcknowledgement' }, offending: { sequence: 'urn:replies', ranges: acknowledgement.ranges } })
    }
    expect(nameOf(await bench.ask(message(sequence, 1, 'request')))).toBe('application')
  })
})

describe('AckRequested is always answered', () => {
  test('on a number that came before with another body', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    await bench.ask(message(sequence, 2))
    const answer = answerOf(await bench.ask({ ...message(sequence, 2, 'one-way', 'other'), ackRequested: [sequence] }))
    expect([answer.body.kind, answer.acknowledgements[0]?.ranges]).toEqual(['acknowledgement', [[2, 2]]])
  })
  test('on a request that is not taken since its Source acknowledges no replies', async () => {
    const bench = new Bench({ deliver: replied, limits: { receiveWindow: 1 } })
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1, 'request'))
    const answer = answerOf(await bench.ask({ ...message(sequence, 2, 'request'), ackRequested: [sequence] }))
    expect([answer.body.kind, answer.acknowledgements[0]?.ranges]).toEqual(['acknowledgement', [[1, 1]]])
  })
  test('by the initiator too, who has accepted nothing yet: None', async () => {
    const bench = new Bench()
    await bench.opened()
    await bench.engine.submit(bench.engine.sequences()[0]?.lane as never, content('m1'), 'request', 'k1')
    await settled()
    const sent = bench.sent.at(-1)
    if (sent === undefined) throw new Error('nothing was sent')
    const offered = bench.sent[0]?.body.kind === 'create-sequence' ? bench.sent[0].body.offer?.sequence ?? '' : ''
    expect(sent.acknowledgements).toEqual([])
    await bench.answer(sent, { body: { kind: 'acknowledgement' }, ackRequested: [offered] })
    await bench.wait(1_000)
    expect(bench.sent.at(-1)).toMatchObject({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: offered, ranges: [], final: false }] })
  })
})

describe('a fault about a sequence that was closed', () => {
  test('carries the final acknowledgement, SequenceTerminated too', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    await bench.ask(message(sequence, 1))
    await bench.ask({ body: { kind: 'close-sequence', sequence, lastNumber: 1 } })
    const final = { acknowledgement: { sequence, ranges: [[1, 1]], final: true } }
    expect(answerOf(await bench.ask(message(sequence, 2))).body).toMatchObject({ fault: { name: 'SequenceClosed' }, sequence, ...final })
    expect(answerOf(await bench.ask({ body: { kind: 'terminate-sequence', sequence, lastNumber: 3 } })).body).toMatchObject({ fault: { name: 'SequenceTerminated' }, sequence, ...final })
  })
  test('an unknown sequence has none', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    await bench.ask({ body: { kind: 'terminate-sequence', sequence } })
    expect(answerOf(await bench.ask(message(sequence, 1))).body).toEqual({ kind: 'fault', fault: expect.objectContaining({ name: 'UnknownSequence' }), sequence })
  })
})

describe('what needs an answer says whom it answers', () => {
  const unnamed = (received: Received): Received => { const { messageId: _, ...rest } = received; return rest as Received }
  test.each<[string, (sequence: string) => Partial<Outbound> & Pick<Outbound, 'body'>]>([
    ['CreateSequence', () => CREATE],
    ['CloseSequence', (sequence) => ({ body: { kind: 'close-sequence', sequence } })],
    ['TerminateSequence', (sequence) => ({ body: { kind: 'terminate-sequence', sequence } })],
    ['a request', (sequence) => message(sequence, 1, 'request')],
  ])('%s without MessageID draws MessageAddressingHeaderRequired, and nothing changes', async (_, made) => {
    const bench = new Bench()
    const sequence = await bench.created()
    const before = await bench.rows()
    expect(nameOf(await bench.ask(made(sequence), { change: unnamed }))).toBe('MessageAddressingHeaderRequired')
    expect(await bench.rows()).toEqual(before)
    expect(bench.delivered).toHaveLength(0)
  })
  test('a one-way message, an acknowledgement and AckRequested need none', async () => {
    const bench = new Bench()
    const sequence = await bench.created()
    expect(nameOf(await bench.ask(message(sequence, 1), { change: unnamed }))).toBe('acknowledgement')
    expect(nameOf(await bench.ask({ body: { kind: 'ack-requested' }, ackRequested: [sequence] }, { change: unnamed }))).toBe('acknowledgement')
  })
  test('the answer to a message without MessageID names none, also when it comes late', async () => {
    const done: (() => void)[] = []
    const bench = new Bench({ limits: { receiveWindow: 1 }, deliver: () => new Promise<void>((resolve) => { done.push(resolve) }) })
    const sequence = await bench.created()
    const nameless = (received: Received): Received => unnamed({ ...received, body: { kind: 'application', content: { ...content('m1'), messageId: '' } } } as Received)
    expect(nameOf(await bench.ask(message(sequence, 1), { change: nameless }))).toBe('held')
    done.shift()?.()
    await settled()
    const late = answerOf(bench.answers.get(bench.lastExchange))
    expect([late.body.kind, 'relatesTo' in late]).toEqual(['acknowledgement', false])
  })
  test('TerminateSequence of RM 1.0 has no answer and needs none', async () => {
    const bench = new Bench()
    const rm10 = changed({ rm: '1.0' })
    const created = answerOf(await bench.ask(CREATE, { change: rm10 }))
    if (created.body.kind !== 'create-sequence-response') throw new Error('no sequence')
    expect(nameOf(await bench.ask({ body: { kind: 'terminate-sequence', sequence: created.body.sequence } }, { change: (received) => unnamed(rm10(received)) }))).toBe('accepted')
    expect(bench.engine.sequences()[0]?.state).toBe('ended')
  })
  test('in WS-Addressing 2004/08 an absent ReplyTo is nobody, so that CreateSequence must have one', async () => {
    const bench = new Bench()
    const with04 = (replyTo: Received['replyTo']) => changed({ rm: '1.0', addressing: '200408', replyTo })
    expect(nameOf(await bench.ask(CREATE, { change: with04({ kind: 'absent' }) }))).toBe('MessageAddressingHeaderRequired')
    expect(nameOf(await bench.ask(CREATE, { change: with04({ kind: 'anonymous' }) }))).toBe('create-sequence-response')
  })
})

describe('answers go where the sender wants them, or he is told that they cannot', () => {
  const elsewhere = { kind: 'address', address: 'http://169.254.169.254/' } as const
  test.each<[string, object]>([['ReplyTo an address', { replyTo: elsewhere }], ['ReplyTo none', { replyTo: { kind: 'none' } }], ['FaultTo an address', { faultTo: elsewhere }]])('CreateSequence with %s is refused', async (_, change) => {
    const bench = new Bench()
    expect(nameOf(await bench.ask(CREATE, { change: changed(change) }))).toBe('CreateSequenceRefused')
    expect(await bench.rows()).toEqual([])
  })
  test('FaultTo anonymous or none is accepted', async () => {
    for (const kind of ['anonymous', 'none']) expect(nameOf(await new Bench().ask(CREATE, { change: changed({ faultTo: { kind } }) }))).toBe('create-sequence-response')
  })
})

test.each<[string, object, string]>([
  ['ReplyTo anonymous', { replyTo: { kind: 'anonymous' } }, 'application'], ['ReplyTo none', { replyTo: { kind: 'none' } }, 'acknowledgement'],
  ['neither ReplyTo nor FaultTo (Metro)', { replyTo: { kind: 'absent' } }, 'acknowledgement'],
  ['no ReplyTo, but a FaultTo (Sandesha2)', { replyTo: { kind: 'absent' }, faultTo: { kind: 'anonymous' } }, 'application'],
  ['ReplyTo none and a FaultTo (Sandesha2)', { replyTo: { kind: 'none' }, faultTo: { kind: 'anonymous' } }, 'acknowledgement'],
  ['no ReplyTo in 2004/08', { replyTo: { kind: 'absent' }, faultTo: { kind: 'anonymous' }, addressing: '200408' }, 'acknowledgement'],
])('where the operation is not known, its headers say whether a reply is wanted: %s', async (_, change, outcome) => {
  const bench = new Bench({ deliver: replied })
  const sequence = await bench.created()
  expect(nameOf(await bench.ask(message(sequence, 1), { change: changed(change) }))).toBe(outcome)
})

test('an empty message of the application without a Sequence header draws WSRMRequired', async () => {
  const bench = new Bench()
  await bench.created()
  expect(nameOf(await bench.ask({ body: { kind: 'last-message' } }, { change: changed({ action: 'urn:do' }) }))).toBe('WSRMRequired')
  expect(nameOf(await bench.ask({ body: { kind: 'acknowledgement' } }, { change: changed({ action: 'http://docs.oasis-open.org/ws-rx/wsrm/200702/SequenceAcknowledgement' }) }))).toBe('accepted')
})

test('an answer that grants a longer life than was asked for is held to what was asked for', async () => {
  const bench = new Bench()
  const lane = await bench.engine.open('urn:token-a' as never, { url: URL, rm: (await import('../../../src/spec/versions.ts')).RM11, offer: false, expiresMs: 60_000 })
  await settled()
  const create = bench.sent[0]
  if (create === undefined) throw new Error('nothing was sent')
  await bench.answer(create, { body: { kind: 'create-sequence-response', sequence: 'urn:requests' } })
  await bench.wait(60_001)
  expect(bench.engine.status(lane)?.state).toBe('ended')
})
