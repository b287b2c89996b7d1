/** Aborts, disposals and closings in the middle of things: nothing hangs, nothing is left behind, nothing is rejected unheard; and nothing that can be printed holds a secret. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { type Clock, connect, createClient, createService, Keyring, MemoryStore, type Store, x509 } from '../../src/index.ts'
import { systemClock } from '../../src/clock.ts'
import { deriveKey } from '../../src/crypto/derive.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import { readDocument } from '../../src/xml/reader.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import type { Element } from '../../src/xml/tree.ts'
import { find, type Needle } from '../demo/secrets.ts'
import { as, authorities, pem, PLACE, place, SERVICE, world, type World } from '../flow/world.ts'
import { application, expectHonest, forge, post, rst, send, tokenOf, underToken } from './forge.ts'
import { type Middle, middleOf } from './middle.ts'

/** A clock that knows which of its alarms are still set. */
function counted(): { readonly clock: Clock; readonly set: Set<object> } {
  const set = new Set<object>()
  return { set, clock: { now: () => systemClock.now(), alarm(at, wake, why) {
    const alarm = {}
    set.add(alarm)
    const cancel = systemClock.alarm(at, () => { set.delete(alarm); wake() }, why)
    return () => { set.delete(alarm); cancel() }
  } } }
}
const resources = (): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) if (/TCP|Timeout|TLS|Immediate/.test(name)) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
const pause = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms) })
/** No more than there was before, once sockets have had a moment to close. */
async function expectNothingLeft(before: Record<string, number>): Promise<void> {
  const more = (): string[] => Object.entries(resources()).filter(([name, count]) => count > (before[name] ?? 0)).map(([name, count]) => `${name}: ${count}`)
  for (let tries = 0; tries < 100 && more().length > 0; tries++) await pause(20)
  expect(more()).toEqual([])
}

const open: { [Symbol.asyncDispose](): PromiseLike<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]()
})
async function start(options: Parameters<typeof world>[0] = {}): Promise<{ readonly here: World; readonly middle: Middle }> {
  const here = await world(options)
  const middle = await middleOf(here)
  open.push(here, middle)
  return { here, middle }
}
const never = (): Promise<never> => new Promise(() => undefined)

describe('in the middle of things', () => {
  test('a connect that is aborted while the token is asked for ends at once and leaves nothing', async () => {
    const { here, middle } = await start()
    const { clock, set } = counted()
    const before = resources()
    middle.meddle = never
    const abort = new AbortController()
    const connecting = connect(middle.url, { ...as('client'), clock, signal: abort.signal })
    while (middle.requests.length === 0) await pause(2)
    const reason = new Error('enough')
    abort.abort(reason)
    await expect(connecting).rejects.toBe(reason)
    await middle[Symbol.asyncDispose]()
    expect(set.size).toBe(0)
    expect(resources().TCPSocketWrap ?? 0).toBeLessThanOrEqual(before.TCPSocketWrap ?? 0)
    expect(here.handled).toEqual([])
  })
  test('a connect that takes too long ends with its time limit; the next one starts afresh', async () => {
    const { here, middle } = await start()
    middle.meddle = never
    const client = here.client()
    await expect(client.connect(middle.url, { ...as('client'), timeoutMs: 50 })).rejects.toMatchObject({ name: 'TimedOut' })
    middle.meddle = undefined
    await expectHonest(here, await client.connect(middle.url, as('client')), 'afresh')
  })
  test('one of two that wait for the same token gives up; the other gets it', async () => {
    const { here, middle } = await start()
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => { go = resolve })
    middle.meddle = async (_, honest) => { await gate; return honest() }
    const client = here.client()
    const abort = new AbortController()
    const first = client.connect(middle.url, { ...as('client'), signal: abort.signal }).then(() => 'connected', (error: unknown) => (error as Error).name)
    const second = client.connect(middle.url, as('client'))
    while (middle.requests.length === 0) await pause(2)
    abort.abort()
    expect(await first).toBe('AbortError')
    go()
    await expectHonest(here, await second, 'the other')
    expect(middle.requests.filter((each) => each.action.endsWith('/RST/SCT'))).toHaveLength(1)
  })
  test('a request that is aborted ends the waiting, not the message', async () => {
    const { here, middle } = await start()
    const client = here.client()
    const conversation = await client.connect(middle.url, as('client'))
    await conversation.request(place('first'), { action: PLACE })
    middle.meddle = async (seen, honest) => (seen.action === PLACE ? { status: 202, headers: {} } : honest())
    const abort = new AbortController()
    const waiting = conversation.request(place('second'), { action: PLACE, key: 'second', signal: abort.signal })
    await pause(30)
    abort.abort()
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
    await expect(conversation.request(place('never'), { action: PLACE, signal: abort.signal })).rejects.toMatchObject({ name: 'AbortError' })
    middle.meddle = undefined
    expect((await conversation.reply('second', { timeoutMs: 10_000 })).body).toContain('second')
  })
  test('a client that is disposed with everything pending rejects every waiter once and leaves nothing', async () => {
    const { middle } = await start()
    const { clock, set } = counted()
    const client = createClient({ clock, retransmitAfterMs: 50 })
    const conversation = await client.connect(middle.url, { ...as('client'), maxPending: 3 })
    await conversation.request(place('first'), { action: PLACE })
    const before = resources()
    middle.meddle = never
    const waiting = [
      ...Array.from({ length: 6 }, (_, n) => conversation.request(place(n), { action: PLACE })),
      conversation.send(place('one way'), { action: PLACE }), conversation.drained(), conversation.close(),
      client.connect(middle.url, { ...as('intruder') }),
    ].map((each) => Promise.resolve(each).then(() => 'done', (error: unknown) => String((error as { code?: unknown }).code)))
    await pause(100)
    await client[Symbol.asyncDispose]()
    const hangs = Promise.withResolvers<string>()
    const timer = setTimeout(() => hangs.resolve('hangs'), 3_000)
    const outcomes = await Promise.race([Promise.all(waiting), hangs.promise])
    // The test's own timer is not one that is left behind.
    clearTimeout(timer)
    expect(outcomes).toEqual(expect.arrayContaining(['ERR_ENGINE_CLOSED']))
    expect(outcomes).not.toContain('done')
    expect(set.size).toBe(0)
    expect(resources().Timeout ?? 0).toBeLessThanOrEqual(before.Timeout ?? 0)
    // All that comes after is told so.
    await expect(conversation.request(place('late'), { action: PLACE })).rejects.toMatchObject({ code: 'ERR_ENGINE_CLOSED' })
    await expect(client.connect(middle.url, as('client'))).rejects.toMatchObject({ code: 'ERR_SCT_CLOSED' })
    await client[Symbol.asyncDispose]()
    await conversation[Symbol.asyncDispose]()
  })
  test('an unnamed conversation is closed when it is disposed, a named one kept; twice is once', async () => {
    const { here, middle } = await start()
    const keyring = Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')
    const store = new MemoryStore()
    const client = here.client({ store, keyring })
    const unnamed = await client.connect(middle.url, as('client'))
    await unnamed.request(place('unnamed'), { action: PLACE })
    await Promise.all([unnamed[Symbol.asyncDispose](), unnamed[Symbol.asyncDispose]()])
    await unnamed[Symbol.asyncDispose]()
    expect(middle.requests.filter((each) => each.action.endsWith('/TerminateSequence'))).toHaveLength(1)
    const named = await client.connect(middle.url, { ...as('client'), name: 'orders' })
    await named.request(place('named'), { action: PLACE })
    const { sequence } = named.status
    await Promise.all([named[Symbol.asyncDispose](), named[Symbol.asyncDispose]()])
    const again = await client.connect(middle.url, { ...as('client'), name: 'orders' })
    expect(again.status.sequence).toBe(sequence)
    await expectHonest(here, again, 'again')
  })
  test('a named conversation is open once, however many connect at the same moment', async () => {
    const { here, middle } = await start()
    const options = { store: new MemoryStore(), keyring: Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k') }
    const first = here.client(options)
    const before = await first.connect(middle.url, { ...as('client'), name: 'orders' })
    await before.request(place('first'), { action: PLACE })
    await before.detach()
    const settled = await Promise.allSettled(Array.from({ length: 5 }, () => first.connect(middle.url, { ...as('client'), name: 'orders' })))
    expect(settled.filter((each) => each.status === 'fulfilled')).toHaveLength(1)
    for (const each of settled) if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'ERR_NAME_TAKEN' })
  })
  test('a conversation whose token cannot be cancelled is closed all the same, and its client with it', async () => {
    const { here, middle } = await start()
    const { clock, set } = counted()
    const before = resources()
    const conversation = await connect(middle.url, { ...as('client'), clock })
    await conversation.request(place('first'), { action: PLACE })
    middle.meddle = (seen, honest, response) => {
      if (!seen.action.endsWith('/Cancel')) return honest()
      response.destroy()
      return Promise.resolve(undefined)
    }
    expect(await conversation.close()).toEqual({ outcome: 'terminated', lost: [] })
    expect(set.size).toBe(0)
    await middle[Symbol.asyncDispose]()
    await here.service.close()
    await expectNothingLeft(before)
  })
  test('a store that fails when the token is cancelled is told, and the conversation is closed', async () => {
    const { middle } = await start()
    const { clock, set } = counted()
    const memory = new MemoryStore()
    let broken = false
    const store: Store = { scan: (...given) => memory.scan(...given), [Symbol.asyncDispose]: () => memory[Symbol.asyncDispose](),
      commit: (lanes) => (broken && lanes.some((lane) => lane.writes.some((write) => 'put' in write && write.put.startsWith('5:token'))) ? Promise.reject(new Error('the disk is full')) : memory.commit(lanes as never)) }
    const conversation = await connect(middle.url, { ...as('client'), clock, store, keyring: Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k') })
    const errors: Error[] = []
    conversation.on('error', ({ error }) => void errors.push(error))
    await conversation.request(place('first'), { action: PLACE })
    broken = true
    expect(await conversation.close()).toEqual({ outcome: 'terminated', lost: [] })
    expect(errors.map((error) => error.message)).toEqual(['the disk is full'])
    expect(set.size).toBe(0)
  })
  test('a renewal is told to every conversation under the token', async () => {
    const { middle, here } = await start()
    const client = here.client()
    const conversations = [await client.connect(middle.url, as('client')), await client.connect(middle.url, as('client'))]
    const heard: string[] = []
    for (const each of conversations) each.on('renewed', ({ tokenId }) => void heard.push(tokenId))
    const [first] = conversations
    if (first === undefined) throw new Error('a conversation')
    await client.tokens.renew(first.tokenId)
    expect(heard).toEqual([first.tokenId, first.tokenId])
    await expectHonest(here, first, 'renewed')
  })

  test('a service that is closed with requests in flight answers them, ends in time and takes nothing more', async () => {
    const { clock, set } = counted()
    const before = resources()
    const here = await world({ handle: never as never, clock })
    const client = createClient({ retransmitAfterMs: 50 })
    const conversation = await client.connect(here.url, as('client'))
    const waiting = conversation.request(place('stuck'), { action: PLACE }).catch((error: unknown) => (error as { code: string }).code)
    while (here.wire.length < 5) await pause(5)
    const began = Date.now()
    await here.service.close({ timeoutMs: 100 })
    expect(Date.now() - began).toBeLessThan(3_000)
    const answer = await here.service.handle({ method: 'POST', url: '/', headers: { 'content-type': 'application/soap+xml' }, body: Buffer.from(rst().xml) })
    expect(answer.status).toBe(503)
    await here.service.close()
    await client[Symbol.asyncDispose]()
    expect(await waiting).toBe('ERR_ENGINE_CLOSED')
    expect(set.size).toBe(0)
    await expectNothingLeft(before)
  })
  test('a service that cannot start leaves nothing', async () => {
    const { clock, set } = counted()
    const store = { scan: () => { throw new Error('no such table') }, commit: () => Promise.reject(new Error('closed')), [Symbol.asyncDispose]: () => Promise.resolve() } as unknown as Store<never>
    await expect(createService({ accept: [x509({ identity: SERVICE, trust: { authorities } })], handle: () => Promise.resolve(undefined), store, keyring: Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k'), clock })).rejects.toThrow('no such table')
    expect(set.size).toBe(0)
  })
})

describe('what can be printed', () => {
  /** As `inspect` and JSON write bytes: hex with blanks, decimals with commas, indexes before them. */
  const normalised = (text: string): Buffer => Buffer.from(`${text}\n${text.replace(/\s+/g, '')}\n${text.replace(/\s+/g, '').replace(/"\d+":/g, '')}`)
  const found = (text: string, needles: readonly Needle[]): readonly string[] => [
    ...find(normalised(text), needles), ...needles.filter(({ bytes }) => normalised(text).includes([...bytes].join(','))).map(({ name }) => name),
  ]
  const printed = (thing: unknown): string => {
    const json = (): string => {
      try {
        return JSON.stringify(thing, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)) ?? ''
      } catch (error) {
        return String(error)
      }
    }
    const text = (): string => {
      try {
        return String(thing)
      } catch {
        return ''
      }
    }
    return [inspect(thing, { depth: Infinity, showHidden: true, maxArrayLength: null, maxStringLength: null, getters: true }), inspect(thing, { depth: Infinity, showHidden: true, customInspect: false, maxArrayLength: null }), json(), text()].join('\n')
  }
  const derivations = (message: Uint8Array): readonly { readonly nonce: Uint8Array; readonly length: number }[] => {
    const all: { nonce: Uint8Array; length: number }[] = []
    const walk = (element: Element): void => {
      const text = (local: string): string => element.elements().find((child) => child.local === local)?.text ?? ''
      if (element.local === 'DerivedKeyToken') all.push({ nonce: Buffer.from(text('Nonce'), 'base64'), length: Number(text('Length')) })
      element.elements().forEach(walk)
    }
    walk(readDocument(message, DEFAULT_LIMITS).root)
    return all
  }

  test('nothing that the library hands out holds a secret, a derived key, a private key or a body; a planted one is found', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'wsrm-ending-'))
    const ring = randomBytes(32)
    const keyring = Keyring.of([{ id: 'k', key: ring }], 'k')
    const sqlite = await openSqliteStore(join(directory, 'client.db'))
    const serviceStore = new MemoryStore()
    const canary = `canary-${randomBytes(12).toString('hex')}`
    const things: unknown[] = []
    const { here, middle } = await start({ store: serviceStore as never, maxDeliveries: 1 })
    try {
      const client = here.client({ store: sqlite, keyring })
      const conversation = await client.connect(middle.url, { ...as('client'), name: 'orders' })
      for (const event of ['state', 'retransmit', 'renewed', 'suspended', 'lost', 'security', 'error'] as const) conversation.on(event, (payload) => void things.push(payload))
      for (const event of ['security', 'error'] as const) here.service.on(event, (payload) => void things.push(payload))
      const caught = async (work: Promise<unknown>): Promise<void> => void things.push(await work.catch((error: unknown) => error))
      const ticket = await conversation.send(place(canary), { action: PLACE, key: 'k1' })
      await ticket.acknowledged()
      // Every way to fail that the two test files beside this one show, with the canary in it.
      await caught(conversation.send(`<a>${canary}`, { action: PLACE }))
      await caught(conversation.send(`<!DOCTYPE ${canary}><a/>`, { action: PLACE }))
      await caught(conversation.send(place(`${canary} again`), { action: PLACE, key: 'k1' }))
      await caught(conversation.send(place(1), { action: PLACE, headers: [`<${canary}`] }))
      middle.meddle = async (seen, honest) => (seen.action === PLACE ? { status: 500, headers: { 'content-type': 'text/html' }, body: canary } : honest())
      await caught(conversation.request(place(canary), { action: PLACE, key: 'k2', timeoutMs: 200 }))
      middle.meddle = async (seen, honest) => (seen.action === PLACE ? { status: 200, headers: { 'content-type': 'application/soap+xml' }, body: `<a ${canary}` } : honest())
      await caught(conversation.reply('k2', { timeoutMs: 300 }))
      middle.meddle = undefined
      await conversation.reply('k2', { timeoutMs: 10_000 })
      const token = await tokenOf(client, conversation)
      const hostile = forge(token, { body: application(place(canary)), to: here.url, sequence: { id: 'urn:unknown', number: 1 } })
      await post(here, hostile.xml.replace(/SignatureValue>.{4}/, 'SignatureValue>AAAA'), PLACE)
      await send(here, hostile)
      await post(here, `<s:Envelope ${canary}`, PLACE)
      await send(here, underToken(token, 'urn:nobody', { kind: 'cancel', sc: token.sc, target: { identifier: token.id } }))
      await caught(client.connect(middle.url, { ...as('client'), trust: { pins: ['00'.repeat(32)] } }))
      await caught(client.connect(middle.url, { ...as('intruder'), name: 'orders' }))
      await caught(Promise.resolve().then(() => x509({ certificate: pem('client.pem'), key: pem('intruder.key.pem'), service: SERVICE.certificate })))
      await caught(Keyring.fromFile(join(directory, 'none.json')))
      things.push(client, client.tokens, conversation, conversation.status, ticket, here.service, sqlite, serviceStore, keyring, token, token.instances, as('client'), x509({ identity: SERVICE, trust: { authorities } }), await client.tokens.status(conversation.tokenId))
      for await (const each of conversation.pending()) things.push(each)
      for await (const each of here.service.sequences()) things.push(each)
      for await (const row of sqlite.scan('')) things.push(row)
      for await (const row of serviceStore.scan('')) things.push(row)

      const secrets = here.secrets.map(({ secret }, index) => ({ name: `secret ${index}`, bytes: secret.export(), secret }))
      const derived = here.wire.filter(({ body }) => body.length > 0 && Buffer.from(body).includes('DerivedKeyToken')).flatMap(({ body }) => derivations(body)).flatMap((words, index) =>
        secrets.map(({ secret }) => ({ name: `derived key ${index}`, bytes: deriveKey({ secret, nonce: words.nonce, offset: 0, length: words.length }).export() })))
      const privateKeys = ['client.key.pem', 'service.key.pem', 'intruder.key.pem'].map((name) => ({ name, bytes: Buffer.from(pem(name).split('\n')[5] ?? '') }))
      const needles: readonly Needle[] = [...secrets, ...derived, ...privateKeys, { name: 'keyring', bytes: ring }, { name: 'body', bytes: Buffer.from(canary) }]
      expect(secrets.length).toBeGreaterThan(0)
      expect(derived.length).toBeGreaterThan(10)
      expect(things.length).toBeGreaterThan(30)
      for (const thing of things) expect(found(printed(thing), needles)).toEqual([])

      // The same search finds what is planted, however it is printed.
      const [secret] = secrets
      if (secret === undefined) throw new Error('a secret')
      for (const planted of [
        { key: secret.bytes }, { key: Uint8Array.from(secret.bytes) }, { key: secret.bytes.toString('hex') }, [`x${secret.bytes.toString('base64')}`], new Error(secret.bytes.toString('base64')),
        Object.assign(new Error('failed'), { detail: { nested: [secret.bytes] } }), new Error('failed', { cause: { key: secret.bytes } }), new Map([[secret.bytes.toString('hex'), 1]]),
      ]) expect(found(printed(planted), needles)).toContain('secret 0')
      expect(found(printed({ body: place(canary) }), needles)).toContain('body')
    } finally {
      for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]()
      await sqlite[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
