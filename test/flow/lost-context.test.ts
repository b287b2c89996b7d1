/** The peer has lost what it knew: its contexts, or its sequences alone. The conversation goes on, and says what became of each message. */
import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { type Client, type ClientOptions, type Conversation, type ConnectOptions, type ConversationEvents, DEFAULT_PROFILE, DeliveryFailed, Keyring, MemoryStore, type Service, type Store } from '../../src/index.ts'
import { FAULTS } from '../../src/errors.ts'
import { trustAction } from '../../src/soap/trust.ts'
import { SC13 } from '../../src/spec/versions.ts'
import { encodeRefusal } from '../../src/wire.ts'
import { forge, tokenOf, versions } from '../attack/forge.ts'
import { expectAllProtected, type Given, type Middle, middleOf, type Seen, SOAP } from '../attack/middle.ts'
import { TestClock } from './clock.ts'
import { as, PLACE, place, world, type World } from './world.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const each of cleanup.splice(0).reverse()) await each()
})

/** A client, somebody between, and a service that can be started anew with nothing in its memory. */
interface Field {
  readonly clock: TestClock
  readonly middle: Middle
  readonly client: Client
  readonly store: MemoryStore
  readonly worlds: World[]
  /** Items that a handler was given, in order, in any life of the service. */
  readonly handled: () => string[]
  readonly restart: () => Promise<void>
  readonly bootstraps: () => number
  readonly next: (options?: ClientOptions) => Client
}
async function field(service: Parameters<typeof world>[0] = {}): Promise<Field> {
  const clock = new TestClock()
  const worlds: World[] = []
  const site: { service: Service } = { service: undefined as unknown as Service }
  const restart = async (): Promise<void> => {
    const made = await world({ clock, ...service })
    worlds.push(made)
    cleanup.push(() => made[Symbol.asyncDispose]())
    site.service = made.service
  }
  await restart()
  const middle = await middleOf(site, () => clock.now())
  cleanup.push(() => middle[Symbol.asyncDispose]())
  const store = new MemoryStore()
  const keyring = Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')
  const next = (options: ClientOptions = {}): Client => (worlds[0] as World).client({ store: store as Store, keyring, clock, retransmitAfterMs: 2_000, ...options })
  return {
    clock, middle, store, worlds, restart, next, client: next(),
    handled: () => worlds.flatMap((each) => each.handled.map((message) => itemOf(message.body))),
    bootstraps: () => middle.requests.filter(({ action }) => action === trustAction(SC13, 'issue', 'request')).length,
  }
}
const itemOf = (body: string): string => /<item>([^<]*)</.exec(body)?.[1] ?? ''
const isMessage = (seen: Seen): boolean => seen.action === PLACE
const refusal = (name: keyof typeof FAULTS): Given => ({ status: 500, headers: SOAP, body: encodeRefusal(FAULTS[name], versions).xml })
const opened = ({ client, middle, clock }: Field, options: Partial<ConnectOptions> = {}): Promise<Conversation> => clock.until(client.connect(middle.url, { ...as('client'), ...options }))
const ask = (on: Conversation, item: string | number, key = `key ${item}`): ReturnType<Conversation['request']> => on.request(place(item), { action: PLACE, key })
function watched(on: Conversation): ConversationEvents['moved'][] {
  const moves: ConversationEvents['moved'][] = []
  on.on('moved', (event) => void moves.push(event))
  return moves
}
/** Everything that ever left was protected, whichever life of the service it went to. */
const expectProtected = ({ worlds, middle }: Field): void => expectAllProtected({ ...worlds[0], secrets: worlds.flatMap((each) => each.secrets) } as World, middle.requests)

describe('a service that was started again without a store', () => {
  test('what was never sent moves in order, with keys, tickets and waits; what was sent is in doubt and fails, its numbers named', async () => {
    const at = await field()
    const { clock, middle } = at
    const conversation = await opened(at)
    const moves = watched(conversation)
    await clock.until(ask(conversation, 'first'))
    const before = { tokenId: conversation.tokenId, sequence: conversation.status.sequence }
    await at.restart()
    const doubtful = ask(conversation, 'doubtful').catch((error: unknown) => error)
    // The first refusal holds back what comes next.
    await clock.until(new Promise<void>((resolve) => { clock.alarm(clock.now() + 1_000, resolve) }))
    expect(middle.requests.filter(isMessage)).toHaveLength(2)
    const ticket = await clock.until(conversation.send(place('moved 1'), { action: PLACE, key: 'ticket' }))
    const waiting = [ask(conversation, 'moved 2'), ask(conversation, 'moved 3')]
    expect(ticket.number).toBe(3)
    const failure = await clock.until(doubtful)
    expect(failure).toBeInstanceOf(DeliveryFailed)
    expect(failure).toMatchObject({ code: 'ERR_RM_DELIVERY', numbers: [2], tokenId: before.tokenId, sequence: before.sequence })
    expect((await clock.until(Promise.all(waiting))).map((each) => each.body)).toEqual([expect.stringContaining('moved 2'), expect.stringContaining('moved 3')])
    await clock.until(ticket.acknowledged())
    expect(ticket.number).toBe(1)
    expect(at.handled()).toEqual(['first', 'moved 1', 'moved 2', 'moved 3'])
    expect(moves).toEqual([{ from: before, to: { tokenId: conversation.tokenId }, moved: [[3, 1], [4, 2], [5, 3]], doubtful: [2] }])
    expect(conversation.tokenId).not.toBe(before.tokenId)
    expect(conversation.status).toMatchObject({ state: 'open', last: 3 })
    expect(at.bootstraps()).toBe(2)
    // Keys are known on either sequence: nothing is sent again for them.
    expect((await clock.until(conversation.send(place('moved 1'), { action: PLACE, key: 'ticket' }))).number).toBe(1)
    expect((await clock.until(conversation.reply('key first'))).body).toContain('first')
    await expect(clock.until(conversation.reply('key doubtful'))).rejects.toMatchObject({ code: 'ERR_RM_DELIVERY' })
    await expect(clock.until(conversation.send(place('other'), { action: PLACE, key: 'key doubtful' }))).rejects.toMatchObject({ code: 'ERR_KEY_REUSED' })
    expect(await clock.until(conversation.close())).toEqual({ outcome: 'terminated', lost: [2] })
    expectProtected(at)
  })

  test('the lost token is released and not cancelled at the peer, the new one is', async () => {
    const at = await field()
    const conversation = await opened(at)
    await at.clock.until(ask(conversation, 1))
    const lost = conversation.tokenId
    await at.restart()
    await at.clock.until(ask(conversation, 2).catch(() => undefined))
    await at.clock.until(ask(conversation, 3))
    expect(at.client.tokens.users(lost)).toEqual([])
    const current = conversation.tokenId
    await at.clock.until(conversation.close())
    expect((await at.client.tokens.status(lost))?.state).toBe('live')
    expect((await at.client.tokens.status(current))?.state).toBe('cancelled')
    expect(at.middle.requests.filter(({ action }) => action === trustAction(SC13, 'cancel', 'request'))).toHaveLength(1)
  })

  test('dangerResendDoubtful sends again what is in doubt, before all else', async () => {
    const at = await field()
    const conversation = await opened(at, { dangerResendDoubtful: true })
    const moves = watched(conversation)
    await at.clock.until(ask(conversation, 1))
    await at.restart()
    const replies = await at.clock.until(Promise.all([ask(conversation, 2), ask(conversation, 3)]))
    expect(replies.map((each) => each.body)).toEqual([expect.stringContaining('2'), expect.stringContaining('3')])
    expect(at.handled()).toEqual(['1', '2', '3'])
    expect(moves).toMatchObject([{ moved: [[2, 1], [3, 2]], doubtful: [] }])
    expect(await at.clock.until(conversation.close())).toEqual({ outcome: 'terminated', lost: [] })
    expectProtected(at)
  })

  test('a request that the peer held and did not answer ends with ReplyLost', async () => {
    const held = Promise.withResolvers<never>()
    const at = await field({ holdReplyMs: 100, handle: () => held.promise })
    const conversation = await opened(at)
    const waiting = ask(conversation, 1).catch((error: unknown) => error)
    // What comes behind it says that it was accepted.
    await at.clock.until(conversation.send(place(2), { action: PLACE }))
    await at.clock.when(() => conversation.status.acknowledged.length > 0)
    await at.restart()
    expect(await at.clock.until(waiting)).toMatchObject({ name: 'ReplyLost', numbers: [1] })
  })

  test('several conversations under the token ask for one new token', async () => {
    const at = await field()
    const all = [await opened(at), await opened(at), await opened(at)]
    for (const each of all) await at.clock.until(ask(each, 1))
    await at.restart()
    for (const each of all) await at.clock.until(ask(each, 2, 'lost').catch(() => undefined))
    for (const each of all) await at.clock.until(ask(each, 3, 'after'))
    expect(new Set(all.map((each) => each.tokenId)).size).toBe(1)
    expect(at.bootstraps()).toBe(2)
  })

  test('several with tokens of their own move to another one each', async () => {
    const at = await field()
    const own = { profile: { ...DEFAULT_PROFILE, contexts: 'one-each' } } as const
    const all = [await opened(at, { ...own, name: 'orders' }), await opened(at, own), await opened(at, own)]
    for (const each of all) await at.clock.until(ask(each, 1))
    const before = all.map(({ tokenId }) => tokenId)
    await at.restart()
    for (const each of all) await at.clock.until(ask(each, 2, 'lost').catch(() => undefined))
    for (const each of all) await at.clock.until(ask(each, 3, 'after'))
    expect(new Set([...before, ...all.map(({ tokenId }) => tokenId)]).size).toBe(6)
    expect(at.bootstraps()).toBe(6)
    const { tokenId } = all[0] as Conversation
    await at.client[Symbol.asyncDispose]()
    const again = await at.clock.until(at.next().connect(at.middle.url, { ...as('client'), ...own, name: 'orders' }))
    expect(again.tokenId).toBe(tokenId)
    expect((await at.clock.until(ask(again, 4))).body).toContain('4')
    await at.clock.until(again.close())
    expectProtected(at)
  })

  test('a token of its own that was asked for in vain is cancelled with the conversation', async () => {
    const at = await field()
    const { clock, middle } = at
    const conversation = await opened(at, { profile: { ...DEFAULT_PROFILE, contexts: 'one-each' } })
    const moves = watched(conversation)
    await clock.until(ask(conversation, 1))
    const issued: string[] = []
    at.client.tokens.on('issued', ({ tokenId }) => void issued.push(tokenId))
    // Somebody says twice that the context is lost; the honest answer comes while another token is asked for.
    let refusals = 0
    const isTold = Promise.withResolvers<void>()
    middle.meddle = async (seen, honest) => {
      if (isMessage(seen) && ++refusals <= 2) return refusal('badContextToken')
      const answer = await honest()
      if (isMessage(seen)) isTold.resolve()
      else if (seen.action === trustAction(SC13, 'issue', 'request')) await isTold.promise
      return answer
    }
    expect((await clock.until(ask(conversation, 2))).body).toContain('2')
    await clock.when(() => issued.length > 0)
    expect((await clock.until(ask(conversation, 3))).body).toContain('3')
    expect(moves).toEqual([])
    await clock.until(conversation.close())
    for (const tokenId of [conversation.tokenId, ...issued]) expect((await at.client.tokens.status(tokenId as never))?.state).toBe('cancelled')
  })

  test('a new conversation with the token of an old one: the first refusal is enough, nothing was sent', async () => {
    const at = await field()
    const first = await opened(at)
    await at.clock.until(ask(first, 1))
    await at.restart()
    const second = await opened(at)
    expect((await at.clock.until(ask(second, 'at once'))).body).toContain('at once')
    expect(second.tokenId).not.toBe(first.tokenId)
    expect(at.middle.requests.filter(({ action }) => action.endsWith('/CreateSequence'))).toHaveLength(3)
  })

  test('with onContextLost: report nothing is done until the caller says so', async () => {
    const at = await field()
    const conversation = await opened(at, { onContextLost: 'report' })
    const moves = watched(conversation)
    await at.clock.until(ask(conversation, 1))
    const before = conversation.status
    await at.restart()
    await expect(at.clock.until(ask(conversation, 2))).rejects.toMatchObject({ code: 'ERR_PEER_REFUSES', retryable: true })
    expect(conversation.status).toMatchObject({ tokenId: before.tokenId, sequence: before.sequence, state: 'open', pending: 1 })
    expect(moves).toEqual([])
    const report = await at.clock.until(conversation.resumeOnNewSequence())
    expect(report).toMatchObject({ from: { tokenId: before.tokenId, sequence: before.sequence }, moved: [], doubtful: [2] })
    expect(moves).toEqual([report])
    expect((await at.clock.until(ask(conversation, 3))).body).toContain('3')
  })

  test('a named conversation goes on under its name, also in the next process', async () => {
    const at = await field()
    const conversation = await opened(at, { name: 'orders' })
    await at.clock.until(ask(conversation, 1))
    await at.restart()
    await at.clock.until(ask(conversation, 2).catch(() => undefined))
    await at.clock.until(ask(conversation, 3))
    const { tokenId, sequence } = conversation.status
    await conversation.detach()
    await at.client[Symbol.asyncDispose]()
    const again = await at.clock.until(at.next().connect(at.middle.url, { ...as('client'), name: 'orders' }))
    expect(again.status).toMatchObject({ tokenId, sequence })
    expect((await at.clock.until(again.reply('key 1'))).body).toContain('1')
    expect((await at.clock.until(again.reply('key 3'))).body).toContain('3')
    expect((await at.clock.until(ask(again, 4))).body).toContain('4')
    expect(at.handled()).toEqual(['1', '3', '4'])
    expect(await at.clock.until(again.close())).toEqual({ outcome: 'terminated', lost: [2] })
  })

  test('a conversation that is being closed is not kept long by a peer that knows nothing of it', async () => {
    const at = await field()
    const conversation = await opened(at)
    await at.clock.until(ask(conversation, 1))
    await at.restart()
    const began = at.clock.now()
    expect(await at.clock.until(conversation.close())).toEqual({ outcome: 'terminated', lost: [] })
    expect(at.clock.now() - began).toBeLessThan(60_000)
  })

  test('a peer that gives no token ends the calls with that error; when it does, the conversation goes on', async () => {
    const at = await field()
    const conversation = await opened(at)
    const suspended: string[] = []
    conversation.on('suspended', ({ reason }) => void suspended.push(reason))
    await at.clock.until(ask(conversation, 1))
    await at.restart()
    at.middle.meddle = (seen, honest) => (seen.action === trustAction(SC13, 'issue', 'request') ? Promise.resolve(refusal('requestFailed')) : honest())
    await expect(at.clock.until(ask(conversation, 2))).rejects.toMatchObject({ name: 'BootstrapFailed' })
    expect(suspended).toHaveLength(1)
    expect(conversation.status).toMatchObject({ state: 'open', pending: 1 })
    at.middle.meddle = undefined
    await expect(at.clock.until(conversation.reply('key 2'))).rejects.toMatchObject({ code: 'ERR_RM_DELIVERY' })
    expect((await at.clock.until(ask(conversation, 3))).body).toContain('3')
  })
})

describe('a service that knows the token and not the sequence', () => {
  test('the conversation goes on under the same token', async () => {
    const at = await field()
    const { clock, middle } = at
    const conversation = await opened(at)
    const moves = watched(conversation)
    await clock.until(ask(conversation, 1))
    const { tokenId, sequence = '' } = conversation.status
    const token = await tokenOf(at.client, conversation)
    middle.meddle = (seen, honest) => (isMessage(seen) && seen.text.includes(sequence)
      ? Promise.resolve({ status: 500, headers: SOAP, body: forge(token, { body: { kind: 'fault', fault: FAULTS.unknownSequence, sequence }, role: 'recipient', now: clock.now() }).xml })
      : honest())
    await expect(clock.until(ask(conversation, 2))).rejects.toMatchObject({ code: 'ERR_RM_DELIVERY', numbers: [2] })
    expect((await clock.until(ask(conversation, 3))).body).toContain('3')
    expect(conversation.tokenId).toBe(tokenId)
    expect(conversation.status.sequence).not.toBe(sequence)
    expect(at.bootstraps()).toBe(1)
    expect(moves).toMatchObject([{ from: { tokenId, sequence }, to: { tokenId }, moved: [], doubtful: [2] }])
    expect(at.handled()).toEqual(['1', '3'])
  })

  test('a conversation with a token of its own takes another one: there was a sequence pair under it already', async () => {
    const at = await field()
    const { clock, middle } = at
    const conversation = await opened(at, { profile: { ...DEFAULT_PROFILE, contexts: 'one-each' } })
    const moves = watched(conversation)
    await clock.until(ask(conversation, 1))
    const { tokenId, sequence = '' } = conversation.status
    const token = await tokenOf(at.client, conversation)
    middle.meddle = (seen, honest) => (isMessage(seen) && seen.text.includes(sequence)
      ? Promise.resolve({ status: 500, headers: SOAP, body: forge(token, { body: { kind: 'fault', fault: FAULTS.unknownSequence, sequence }, role: 'recipient', now: clock.now() }).xml })
      : honest())
    await expect(clock.until(ask(conversation, 2))).rejects.toMatchObject({ code: 'ERR_RM_DELIVERY', numbers: [2] })
    expect((await clock.until(ask(conversation, 3))).body).toContain('3')
    expect(conversation.tokenId).not.toBe(tokenId)
    expect(at.bootstraps()).toBe(2)
    expect(moves).toMatchObject([{ from: { tokenId, sequence }, to: { tokenId: conversation.tokenId } }])
  })

  test('the same without protection moves nothing', async () => {
    const at = await field()
    const conversation = await opened(at)
    const moves = watched(conversation)
    await at.clock.until(ask(conversation, 1))
    let times = 0
    at.middle.meddle = (seen, honest) => (isMessage(seen) && ++times < 3 ? Promise.resolve(refusal('unknownSequence')) : honest())
    expect((await at.clock.until(ask(conversation, 2))).body).toContain('2')
    expect(moves).toEqual([])
  })
})

describe('on demand', () => {
  test('a sequence that the peer ended: what it gave up and never sent is moved', async () => {
    const at = await field()
    const { clock, middle } = at
    const conversation = await opened(at)
    await clock.until(ask(conversation, 1))
    const { sequence = '' } = conversation.status
    const token = await tokenOf(at.client, conversation)
    middle.meddle = (seen, honest) => (isMessage(seen) && seen.text.includes(sequence)
      ? Promise.resolve({ status: 500, headers: SOAP, body: forge(token, { body: { kind: 'fault', fault: FAULTS.sequenceTerminated, sequence }, role: 'recipient', now: clock.now() }).xml })
      : honest())
    // More than may be under way at once: the last ones have not left when the peer ends the sequence.
    const failures = await clock.until(Promise.all(Array.from({ length: 40 }, (_, index) => ask(conversation, index + 2).catch((error: unknown) => error))))
    expect(failures.every((each) => each instanceof DeliveryFailed)).toBe(true)
    expect(conversation.status.state).toBe('ended')
    const report = await clock.until(conversation.resumeOnNewSequence())
    expect(report.doubtful).toHaveLength(32)
    expect(report.moved).toEqual(Array.from({ length: 8 }, (_, index) => [34 + index, 1 + index]))
    expect((await clock.until(conversation.reply('key 41'))).body).toContain('41')
    expect(at.handled()).toEqual(['1', ...Array.from({ length: 8 }, (_, index) => String(34 + index))])
    expect(at.bootstraps()).toBe(1)
  })

  test('a sequence that is well is closed behind it, since nothing in it is open', async () => {
    const at = await field()
    const conversation = await opened(at)
    await at.clock.until(ask(conversation, 1))
    const { sequence = '', tokenId } = conversation.status
    expect(await at.clock.until(conversation.resumeOnNewSequence())).toMatchObject({ moved: [], doubtful: [], to: { tokenId } })
    expect((await at.clock.until(ask(conversation, 2))).body).toContain('2')
    await at.clock.when(() => at.middle.requests.some((seen) => seen.action.endsWith('/TerminateSequence') && at.middle.answers.some((each) => each.seen === seen)))
    const states = new Map<string, string>()
    for await (const each of (at.worlds[0] as World).service.sequences()) states.set(each.sequence ?? '', each.state)
    expect(states.get(sequence)).toBe('ended')
    expect(await at.clock.until(conversation.close())).toEqual({ outcome: 'terminated', lost: [] })
    await expect(conversation.resumeOnNewSequence()).rejects.toMatchObject({ code: 'ERR_CONVERSATION_OVER' })
  })
})

describe('on demand, with a token of its own', () => {
  test('the conversation takes another one; the sequence that is well is closed behind it', async () => {
    const at = await field()
    const conversation = await opened(at, { profile: { ...DEFAULT_PROFILE, contexts: 'one-each' } })
    await at.clock.until(ask(conversation, 1))
    const { sequence = '', tokenId } = conversation.status
    expect(await at.clock.until(conversation.resumeOnNewSequence())).toMatchObject({ moved: [], doubtful: [] })
    expect(conversation.tokenId).not.toBe(tokenId)
    expect((await at.clock.until(ask(conversation, 2))).body).toContain('2')
    await at.clock.when(() => at.middle.requests.some((seen) => seen.action.endsWith('/TerminateSequence') && at.middle.answers.some((each) => each.seen === seen)))
    const bound = new Map<string, string>()
    for await (const each of (at.worlds[0] as World).service.sequences()) bound.set(each.sequence ?? '', each.tokenId)
    expect(bound.get(sequence)).toBe(tokenId)
    expect(new Set(bound.values()).size).toBe(2)
    expect(await at.clock.until(conversation.close())).toEqual({ outcome: 'terminated', lost: [] })
  })
})

describe('somebody on the path who answers with a fault that proves nothing', () => {
  const everything = (seen: Seen): boolean => !seen.action.includes('/RST/SCT')
  const names = ['badContextToken', 'renewNeeded', 'invalidSecurity', 'unknownSequence'] as const
  const cases = names.flatMap((name) => ([['every message', isMessage], ['everything but requests for tokens', everything]] as const).map(([what, isMeant]) => ({ name, what, isMeant })))
  test.each(cases)('$name, to $what: nothing is delivered twice, nothing leaves unprotected, tokens are asked for at ever longer intervals', async ({ name, isMeant }) => {
    const at = await field()
    const { clock, middle } = at
    const profile = { ...DEFAULT_PROFILE, contextLost: ['BadContextToken', 'InvalidSecurity'] }
    const conversation = await opened(at, { profile })
    await clock.until(ask(conversation, 'first'))
    // The service works on what it was sent; its answer is thrown away.
    middle.meddle = async (seen, honest) => {
      const answer = await honest()
      return isMeant(seen) ? refusal(name) : answer
    }
    const until = clock.now() + 300_000
    const outcomes: unknown[] = []
    for (let n = 0; clock.now() < until; n++) {
      outcomes.push(await clock.until(conversation.request(place(`item ${n}`), { action: PLACE, key: `item ${n}`, timeoutMs: 30_000 }).then((reply) => reply.body, (error: unknown) => error), 50))
    }
    for (const each of outcomes) expect(each).toMatchObject({ code: expect.stringMatching(/^ERR_(RM_DELIVERY|TIMEOUT|PEER_REFUSES|BOOTSTRAP)$/) as string })
    // At 0, 5, 15, 35, 75, 155 and 315 s, beside the first.
    expect(middle.requests.filter(({ action }) => action.includes('/RST/SCT')).length).toBeLessThanOrEqual(8)
    middle.meddle = undefined
    // A request of before may still come to its end with an error; the next one comes through.
    await clock.until(ask(conversation, 'next').catch(() => undefined), 50)
    expect((await clock.until(ask(conversation, 'last'), 50)).body).toContain('last')
    const handled = at.handled()
    expect(new Set(handled).size).toBe(handled.length)
    expect(handled.at(-1)).toBe('last')
    expectProtected(at)
  })

  test('and lets no token be had: the calls end with an error, and what was accepted is there when he has gone', async () => {
    const at = await field()
    const { clock, middle } = at
    const conversation = await opened(at)
    await clock.until(ask(conversation, 1))
    middle.meddle = () => Promise.resolve(refusal('badContextToken'))
    await expect(clock.until(ask(conversation, 2))).rejects.toMatchObject({ name: 'BootstrapFailed' })
    const ticket = await clock.until(conversation.send(place(3), { action: PLACE, key: 'three' }))
    middle.meddle = undefined
    // The honest answer to what is repeated says that the context is known: nothing has moved.
    expect((await clock.until(conversation.reply('key 2'))).body).toContain('2')
    await clock.until(ticket.acknowledged())
    expect(at.handled()).toEqual(['1', '2', '3'])
    expect(at.worlds).toHaveLength(1)
    expectProtected(at)
  })

  test('one fault among honest answers does nothing at all', async () => {
    const at = await field()
    const conversation = await opened(at)
    const moves = watched(conversation)
    let n = 0
    at.middle.meddle = (seen, honest) => (isMessage(seen) && ++n % 2 === 1 ? Promise.resolve(refusal('badContextToken')) : honest())
    for (let item = 0; item < 5; item++) expect((await at.clock.until(ask(conversation, item))).body).toContain(String(item))
    expect(moves).toEqual([])
    expect(at.bootstraps()).toBe(1)
    expectProtected(at)
  })
})
