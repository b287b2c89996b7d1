/** A token nears its end, or has come to it: renewed, renewed late, or replaced with a new sequence; and what the service says of it. */
import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { type Client, type ClientOptions, type Conversation, type ConnectOptions, DEFAULT_PROFILE, Keyring, MemoryStore, type Store } from '../../src/index.ts'
import { FAULTS } from '../../src/errors.ts'
import { currentInstance, TokenInstance } from '../../src/sct/token.ts'
import { trustAction } from '../../src/soap/trust.ts'
import { SC13 } from '../../src/spec/versions.ts'
import { encodeRefusal } from '../../src/wire.ts'
import { application, entropy, forge, opener, send, tokenOf, versions } from '../attack/forge.ts'
import { expectAllProtected, type Middle, middleOf, type Seen, SOAP } from '../attack/middle.ts'
import { TestClock } from './clock.ts'
import { as, PLACE, place, world, type World } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const RENEW = trustAction(SC13, 'renew', 'request')
const ISSUE = trustAction(SC13, 'issue', 'request')

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const each of cleanup.splice(0).reverse()) await each()
})
interface Field { readonly clock: TestClock; readonly here: World; readonly middle: Middle; readonly client: Client; readonly next: (options?: ClientOptions) => Client }
async function field(): Promise<Field> {
  const clock = new TestClock()
  // Hours pass at once here: the service is not to think that nobody is there any more.
  const here = await world({ clock, timing: { inactivityMs: 48 * HOUR } })
  cleanup.push(() => here[Symbol.asyncDispose]())
  const middle = await middleOf(here, () => clock.now())
  cleanup.push(() => middle[Symbol.asyncDispose]())
  const store = new MemoryStore()
  const keyring = Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')
  const next = (options: ClientOptions = {}): Client => here.client({ store: store as Store, keyring, clock, retransmitAfterMs: 2_000, ...options })
  return { clock, here, middle, client: next(), next }
}
const isMessage = (seen: Seen): boolean => seen.action === PLACE
const count = (middle: Middle, action: string): number => middle.requests.filter((each) => each.action === action).length
const opened = ({ client, middle, clock }: Field, options: Partial<ConnectOptions> = {}): Promise<Conversation> => clock.until(client.connect(middle.url, { ...as('client'), ...options }))
const ask = (on: Conversation, item: string | number): ReturnType<Conversation['request']> => on.request(place(item), { action: PLACE, key: `key ${item}` })
/** Says so to whoever asks for a new key, as peers that give none do. */
const refusing = (middle: Middle, fault: keyof typeof FAULTS): void => {
  middle.meddle = (seen, honest) => (seen.action === RENEW ? Promise.resolve({ status: 500, headers: SOAP, body: encodeRefusal(FAULTS[fault], versions).xml }) : honest())
}

describe('a token that nears its end', () => {
  test('is renewed while the sequence goes on, and the conversation hears of it', async () => {
    const at = await field()
    const conversation = await opened(at)
    const renewed: string[] = []
    conversation.on('renewed', ({ tokenId }) => void renewed.push(tokenId))
    await at.clock.until(ask(conversation, 1))
    const { sequence } = conversation.status
    at.clock.pass(7 * HOUR)
    await at.clock.when(() => renewed.length > 0)
    expect((await at.clock.until(ask(conversation, 2))).body).toContain('2')
    expect(conversation.status.sequence).toBe(sequence)
    expect(renewed).toEqual([conversation.tokenId])
  })

  test.each([['current', 1], ['first', 0]] as const)('a second renewal is in the name of the key in use, and endorsed with the %s one', async (renewalKey, index) => {
    const at = await field()
    const { clock, here, middle } = at
    const conversation = await opened(at, { profile: { ...DEFAULT_PROFILE, renewalKey } })
    for (const round of [1, 2]) {
      await clock.until(ask(conversation, round))
      clock.pass(7 * HOUR)
      await clock.when(() => middle.answers.filter(({ seen }) => seen.action === RENEW).length === round)
    }
    expect((await clock.until(ask(conversation, 3))).body).toContain('3')
    expect(count(middle, ISSUE)).toBe(1)
    const renewal = middle.requests.filter(({ action }) => action === RENEW)[1]
    // By the name of its instance: told again with each renewal.
    const keys = new Map(here.secrets.map(({ instance, secret }) => [instance, secret]))
    const [, inUse] = keys.keys()
    const opens = [...keys.values()].map((secret) => opener([{ identifier: conversation.tokenId, instance: inUse, secret }])(renewal?.body ?? Buffer.alloc(0), clock.now()).opened)
    expect(opens).toEqual([0, 1, 2].map((each) => each === index))
  })

  const refusals = ['actionNotSupported', 'unableToRenew', 'badContextToken'] as const
  test.each(refusals)('and whose renewal is refused (%s) is left in good time: what was sent comes to its end, nothing is in doubt, the old sequence is closed', async (fault) => {
    const at = await field()
    const { clock, middle, here } = at
    const conversation = await opened(at)
    const [notRenewed, moves]: [unknown[], unknown[]] = [[], []]
    conversation.on('notRenewed', (event) => void notRenewed.push(event.error))
    conversation.on('moved', (event) => void moves.push(event))
    await clock.until(ask(conversation, 1))
    const before = conversation.status
    refusing(middle, fault)
    // Some are under way when the moment comes, and more come while they are.
    const waiting = [ask(conversation, 2), ask(conversation, 3)]
    clock.pass(7 * HOUR)
    waiting.push(ask(conversation, 4), ask(conversation, 5))
    expect((await clock.until(Promise.all(waiting))).map((each) => each.body)).toEqual([2, 3, 4, 5].map((n) => expect.stringContaining(String(n)) as string))
    await clock.when(() => moves.length > 0)
    expect(notRenewed).toMatchObject([{ name: 'SoapFault' }])
    expect(moves).toMatchObject([{ from: { tokenId: before.tokenId, sequence: before.sequence }, doubtful: [] }])
    expect((await clock.until(ask(conversation, 6))).body).toContain('6')
    expect(conversation.tokenId).not.toBe(before.tokenId)
    expect(here.handled.map((message) => /<item>(\d)/.exec(message.body)?.[1])).toEqual(['1', '2', '3', '4', '5', '6'])
    await clock.when(() => middle.answers.some(({ seen, body }) => seen.action.endsWith('/TerminateSequence') && body.includes('TerminateSequenceResponse')))
    const states: string[] = []
    for await (const each of here.service.sequences()) if (each.sequence === before.sequence) states.push(each.state)
    expect(states).toEqual(['ended'])
    expect(at.client.tokens.users(before.tokenId)).toEqual([])
    expect(await clock.until(conversation.close())).toEqual({ outcome: 'terminated', lost: [] })
    expectAllProtected(here, middle.requests)
  })

  test('at a peer that is known to give no new key nobody asks for one', async () => {
    const at = await field()
    const conversation = await opened(at, { profile: { ...DEFAULT_PROFILE, renewal: 'replace' } })
    await at.clock.until(ask(conversation, 1))
    const { tokenId } = conversation
    at.clock.pass(7 * HOUR)
    await at.clock.when(() => conversation.tokenId !== tokenId)
    expect((await at.clock.until(ask(conversation, 2))).body).toContain('2')
    expect(count(at.middle, RENEW)).toBe(0)
    expect(count(at.middle, ISSUE)).toBe(2)
  })

  test('with onContextLost: report it is left where it is, and the refusal is told', async () => {
    const at = await field()
    const conversation = await opened(at, { onContextLost: 'report' })
    const notRenewed: unknown[] = []
    conversation.on('notRenewed', (event) => void notRenewed.push(event.error))
    await at.clock.until(ask(conversation, 1))
    const { tokenId } = conversation
    refusing(at.middle, 'unableToRenew')
    at.clock.pass(7 * HOUR)
    await at.clock.when(() => notRenewed.length > 0)
    expect((await at.clock.until(ask(conversation, 2))).body).toContain('2')
    expect(conversation.tokenId).toBe(tokenId)
  })

  test('renewed by two processes at once, on one store, while both send: every message once, and the keys are the same', async () => {
    const at = await field()
    const { clock, here, middle } = at
    const first = await opened(at, { name: 'first' })
    await clock.until(ask(first, 'a'))
    const other = at.next()
    const second = await clock.until(other.connect(middle.url, { ...as('client'), name: 'second' }))
    await clock.until(ask(second, 'b'))
    expect(second.tokenId).toBe(first.tokenId)
    await clock.until(Promise.allSettled([at.client.tokens.renew(first.tokenId), other.tokens.renew(first.tokenId), ask(first, 'c'), ask(second, 'd')]))
    await clock.until(Promise.all([ask(first, 'e'), ask(second, 'f')]))
    expect(here.handled.map((message) => /<item>(\w)/.exec(message.body)?.[1]).sort()).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
    const mine = await tokenOf(at.client, first)
    const theirs = await other.tokens.get(first.tokenId)
    expect(here.secrets.some(({ instance, secret }) => instance === currentInstance(mine).instance && secret.equals(currentInstance(mine).secret))).toBe(true)
    expect(theirs?.instances.length).toBeGreaterThan(1)
    // Not cancelled by whoever closes first: the other's sequence is bound to it.
    await clock.until(first.close())
    expect((await at.client.tokens.status(first.tokenId))?.state).toBe('live')
    expect((await clock.until(ask(second, 'g'))).body).toContain('g')
    await clock.until(other.tokens.renew(second.tokenId))
    await clock.until(second.close())
    expect((await other.tokens.status(second.tokenId))?.state).toBe('cancelled')
    expect(count(middle, trustAction(SC13, 'cancel', 'request'))).toBe(1)
  })
})

describe('a token that has come to its end', () => {
  test('is renewed late, in the time of grace, and the sequence goes on', async () => {
    const at = await field()
    const conversation = await opened(at)
    await at.clock.until(ask(conversation, 1))
    const before = conversation.status
    // Nothing reaches the peer until the token has expired.
    at.middle.meddle = async (seen, honest) => (seen.action === RENEW && at.clock.now() < end ? { status: 503 } : honest())
    const end = at.clock.now() + 10 * HOUR
    at.clock.pass(10 * HOUR + MINUTE)
    expect((await at.clock.until(ask(conversation, 2), 100)).body).toContain('2')
    expect(conversation.status).toMatchObject({ tokenId: before.tokenId, sequence: before.sequence })
  })

  test('and cannot be renewed is replaced, and what was never sent goes on under the other', async () => {
    const at = await field()
    const conversation = await opened(at, { profile: { ...DEFAULT_PROFILE, renewal: 'replace' } })
    await at.clock.until(ask(conversation, 1))
    const { tokenId } = conversation
    // The peer is away from before the end until after it.
    at.middle.meddle = async () => ({ status: 503 })
    at.clock.pass(9 * HOUR)
    at.clock.pass(2 * HOUR)
    at.middle.meddle = undefined
    await at.clock.when(() => conversation.tokenId !== tokenId, 100)
    expect((await at.clock.until(ask(conversation, 2), 100)).body).toContain('2')
    expect(at.here.handled).toHaveLength(2)
  })
})

describe('what the service says of a context', () => {
  test('RenewNeeded, under that very key, to whoever uses one that has expired and may be renewed; as of an unknown one to all others', async () => {
    const at = await field()
    const { clock, here } = at
    const conversation = await opened(at)
    await clock.until(ask(conversation, 1))
    const token = await tokenOf(at.client, conversation)
    const sequence = { id: conversation.status.sequence ?? '', number: 2 }
    const said = async (by = token): Promise<{ readonly text: string; readonly fault: unknown; readonly opened: boolean }> => {
      const { text } = await send(here, forge(by, { body: application(place('late')), to: here.url, sequence, now: clock.now() }))
      const line = opener(here.secrets)(Buffer.from(text), clock.now())
      return { text, opened: line.opened, fault: line.opened ? line.fault : undefined }
    }
    clock.pass(10 * HOUR + MINUTE)
    expect(await said()).toMatchObject({ opened: true, fault: expect.stringMatching(/}RenewNeeded$/) as string })
    const foreign = { ...token, instances: [new TokenInstance({ secret: entropy(), created: clock.now(), expires: clock.now() + HOUR })] }
    const [late, unknown] = [await said(foreign), await said({ ...foreign, id: 'urn:uuid:none' as typeof token.id })]
    expect(late.opened).toBe(false)
    expect(late.text.replaceAll(/urn:uuid:[-0-9a-f]+/g, '')).toBe(unknown.text.replaceAll(/urn:uuid:[-0-9a-f]+/g, ''))
    expect(late.text).toContain('BadContextToken')
    clock.pass(HOUR)
    expect((await said()).text).toContain('BadContextToken')
    expect(here.handled).toHaveLength(1)
  })

  test('RenewNeeded under the key makes the client renew, and the message goes its way', async () => {
    const at = await field()
    const { clock, middle, here } = at
    const conversation = await opened(at)
    await clock.until(ask(conversation, 1))
    const token = await tokenOf(at.client, conversation)
    const { sequence } = conversation.status
    let times = 0
    middle.meddle = (seen, honest) => {
      if (!isMessage(seen) || ++times > 1) return honest()
      const body = forge(token, { body: { kind: 'fault', fault: FAULTS.renewNeeded }, role: 'recipient', now: clock.now() }).xml
      return Promise.resolve({ status: 500, headers: SOAP, body })
    }
    expect((await clock.until(ask(conversation, 2))).body).toContain('2')
    await clock.when(() => count(middle, RENEW) === 1)
    expect(conversation.status.sequence).toBe(sequence)
    expect(here.handled).toHaveLength(2)
  })

  test('BadContextToken under the key is no reply: the conversation goes on under another token', async () => {
    const at = await field()
    const { clock, middle } = at
    const conversation = await opened(at)
    await clock.until(ask(conversation, 1))
    const token = await tokenOf(at.client, conversation)
    middle.meddle = (seen, honest) => (isMessage(seen) && seen.text.includes(token.id)
      ? Promise.resolve({ status: 500, headers: SOAP, body: forge(token, { body: { kind: 'fault', fault: FAULTS.badContextToken }, role: 'recipient', now: clock.now() }).xml })
      : honest())
    await expect(clock.until(ask(conversation, 2))).rejects.toMatchObject({ code: 'ERR_RM_DELIVERY' })
    expect((await clock.until(ask(conversation, 3))).body).toContain('3')
    expect(conversation.tokenId).not.toBe(token.id)
  })

  test('faults about a key that is being replaced are no reason to leave', async () => {
    const at = await field()
    const { clock, middle } = at
    const conversation = await opened(at)
    await clock.until(ask(conversation, 1))
    const { tokenId } = conversation
    // A peer that forgets the old key as soon as it has given a new one.
    let isRenewed = false
    middle.meddle = async (seen, honest) => {
      if (seen.action === RENEW) {
        const answer = await honest()
        isRenewed = true
        await clock.when(() => middle.requests.filter(isMessage).length > 4)
        return answer
      }
      return isMessage(seen) && isRenewed && !seen.text.includes('Instance>') ? { status: 500, headers: SOAP, body: encodeRefusal(FAULTS.badContextToken, versions).xml } : honest()
    }
    const renewal = at.client.tokens.renew(tokenId)
    await clock.when(() => isRenewed)
    const replies = [2, 3, 4, 5].map((n) => ask(conversation, n))
    await clock.until(renewal)
    expect((await clock.until(Promise.all(replies))).map((each) => each.body)).toHaveLength(4)
    expect(conversation.tokenId).toBe(tokenId)
    expect(count(middle, ISSUE)).toBe(1)
  })
})
