/** The life of a token around a sequence: renewed under it, shared, restored at the service, cancelled when nothing is bound to it. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { BASIC256_SHA1, type Client, type Conversation, DEFAULT_PROFILE, Keyring, MemoryStore, type Profile, SoapFault, ApplicationFault, type TokenId } from '../../src/index.ts'
import { storeKey } from '../../src/store/store.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import { as, PLACE, place, world, type World } from './world.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const each of cleanup.splice(0).reverse()) await each()
})
async function start(options?: Parameters<typeof world>[0]): Promise<World> {
  const made = await world(options)
  cleanup.push(() => made[Symbol.asyncDispose]())
  return made
}

describe('a token and the sequences under it', () => {
  test('a renewal brings a new key; the sequence goes on under the same identifier, twice', async () => {
    const here = await start()
    const client = here.client()
    const conversation = await client.connect(here.url, as('client'))
    await conversation.request(place(1), { action: PLACE })
    for (const n of [2, 3]) {
      await client.tokens.renew(conversation.tokenId)
      expect((await conversation.request(place(n), { action: PLACE })).body).toContain(String(n))
      expect((await client.tokens.status(conversation.tokenId))?.instances).toBe(n)
    }
    expect(here.handled.map((message) => message.number)).toEqual([1, 2, 3])
    expect(new Set(here.secrets.map(({ secret }) => secret.export().toString('hex'))).size).toBe(3)
    const last = Buffer.from(here.wire.filter((event) => event.direction === 'request').at(-1)?.body ?? []).toString()
    expect(last).toContain('<wsc:Instance>')
    expect(await conversation.close()).toEqual({ outcome: 'terminated', lost: [] })
  })

  test('the token is cancelled with the last conversation under it, not before', async () => {
    const here = await start()
    const client = here.client()
    const [first, second] = [await client.connect(here.url, as('client')), await client.connect(here.url, as('client'))]
    await first.request(place(1), { action: PLACE })
    await expect(client.tokens.cancel(first.tokenId)).rejects.toMatchObject({ code: 'ERR_SCT_IN_USE' })
    await first.close()
    expect((await client.tokens.status(first.tokenId))?.state).toBe('live')
    await second.request(place(2), { action: PLACE })
    await second.close()
    expect((await client.tokens.status(first.tokenId))?.state).toBe('cancelled')
  })

  test('a service started again on its store knows token and sequence; nothing is delivered twice', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'wsrm-flow-'))
    cleanup.push(() => rmSync(directory, { recursive: true, force: true }))
    const keyring = Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')
    const database = join(directory, 'service.db')
    let store = await openSqliteStore(database)
    const before = await world({ store, keyring })
    const port = Number(new URL(before.url).port)
    const conversation = await before.client().connect(before.url, as('client'))
    cleanup.push(() => before[Symbol.asyncDispose]())
    await conversation.request(place(1), { action: PLACE })
    await before.service.close()
    await store[Symbol.asyncDispose]()
    const pending = conversation.request(place(2), { action: PLACE, timeoutMs: 20_000 })
    store = await openSqliteStore(database)
    const after = await world({ store, keyring }, port)
    cleanup.push(async () => {
      await after[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
    })
    expect((await pending).body).toContain('2')
    expect(after.handled.map((message) => message.number)).toEqual([2])
    expect(await conversation.close()).toEqual({ outcome: 'terminated', lost: [] })
  })
})

describe('conversations with tokens of their own', () => {
  const profile: Profile = { ...DEFAULT_PROFILE, contexts: 'one-each' }
  const own = { ...as('client'), profile }
  const state = async (client: Client, { tokenId }: { readonly tokenId: TokenId }): Promise<string | undefined> => (await client.tokens.status(tokenId))?.state
  const actions = (here: World, end: string): number => here.wire.filter(({ direction, body }) => direction === 'request' && Buffer.from(body).toString().includes(`${end}</`)).length

  test('two of one client have two tokens, and each cancels its own', async () => {
    const here = await start()
    const client = here.client()
    const [first, second] = await Promise.all([client.connect(here.url, own), client.connect(here.url, own)])
    expect(first.tokenId).not.toBe(second.tokenId)
    await Promise.all([first, second].flatMap((each) => [1, 2].map((n) => each.request(place(n), { action: PLACE }))))
    const bound = new Set<TokenId>()
    for await (const { tokenId } of here.service.sequences()) bound.add(tokenId)
    expect(bound).toEqual(new Set([first.tokenId, second.tokenId]))
    for (const each of [first, second]) expect((await client.tokens.status(each.tokenId))?.peer).toContain(here.url)
    await first.close()
    expect([await state(client, first), await state(client, second)]).toEqual(['cancelled', 'live'])
    await second.request(place(3), { action: PLACE })
    await second.close()
    expect(await state(client, second)).toBe('cancelled')
    expect(actions(here, '/RST/SCT/Cancel')).toBe(2)
    expect(here.security).toEqual([])
  })

  test('beside those that share one', async () => {
    const here = await start()
    const client = here.client()
    const shared = [await client.connect(here.url, as('client')), await client.connect(here.url, as('client'))]
    const apart = await client.connect(here.url, own)
    expect(new Set([...shared, apart].map(({ tokenId }) => tokenId)).size).toBe(2)
    expect(shared[0]?.tokenId).toBe(shared[1]?.tokenId)
    await apart.close()
    for (const each of shared) expect((await each.request(place(1), { action: PLACE })).body).toContain('1')
  })

  test('each renews its own key', async () => {
    const here = await start()
    const client = here.client()
    const [first, second] = [await client.connect(here.url, own), await client.connect(here.url, own)]
    await client.tokens.renew(first.tokenId)
    for (const each of [first, second]) expect((await each.request(place(1), { action: PLACE })).body).toContain('1')
    expect((await client.tokens.status(first.tokenId))?.instances).toBe(2)
    expect((await client.tokens.status(second.tokenId))?.instances).toBe(1)
  })

  test('named ones go on under their own after a restart; no other takes it, and it is cancelled with the last word', async () => {
    const here = await start()
    const [store, keyring] = [new MemoryStore(), Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')]
    const before = here.client({ store, keyring })
    const names = ['orders', 'returns']
    const tokens = new Map<string, TokenId>()
    for (const name of names) {
      const conversation = await before.connect(here.url, { ...own, name })
      await conversation.request(place(name), { action: PLACE, key: name })
      tokens.set(name, conversation.tokenId)
    }
    expect(new Set(tokens.values()).size).toBe(2)
    await before[Symbol.asyncDispose]()
    const client = here.client({ store, keyring })
    const newcomer = await client.connect(here.url, own)
    const again = await Promise.all(names.map((name) => client.connect(here.url, { ...own, name })))
    expect(again.map(({ tokenId }) => tokenId)).toEqual(names.map((name) => tokens.get(name)))
    expect([...tokens.values()]).not.toContain(newcomer.tokenId)
    for (const [index, each] of again.entries()) {
      expect((await each.reply(names[index] ?? '')).body).toContain(names[index])
      await each.request(place('more'), { action: PLACE })
      await each.close()
      expect(await state(client, each)).toBe('cancelled')
    }
    expect(await state(client, newcomer)).toBe('live')
    expect(here.handled).toHaveLength(4)
  })

  test('a new one does not take the token that an ended one of its name has left', async () => {
    const here = await start()
    const [store, keyring] = [new MemoryStore(), Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')]
    const before = here.client({ store, keyring })
    const conversation = await before.connect(here.url, { ...own, name: 'orders' })
    await conversation.request(place(1), { action: PLACE })
    const sealed = await before.tokens.serialize(conversation.tokenId)
    await conversation.close()
    await before[Symbol.asyncDispose]()
    // As if the process had ended before it could write that the token is cancelled.
    await store.commit([{ expect: [], writes: [{ put: storeKey('token', conversation.tokenId), value: sealed }] }])
    const client = here.client({ store, keyring })
    const next = await client.connect(here.url, { ...own, name: 'orders' })
    expect(next.tokenId).not.toBe(conversation.tokenId)
    expect((await next.request(place(2), { action: PLACE })).body).toContain('2')
    await next.close()
    expect(await state(client, next)).toBe('cancelled')
  })

  test('a conversation that is not opened after all leaves no token of its own behind', async () => {
    const here = await start()
    const client = here.client()
    const issued: TokenId[] = []
    client.tokens.on('issued', ({ tokenId }) => void issued.push(tokenId))
    let times = 0
    await expect(client.connect(here.url, { ...own, trust: { verify: () => ++times === 1 } })).rejects.toMatchObject({ code: 'ERR_WSS_UNTRUSTED' })
    expect(issued).toHaveLength(1)
    for (const tokenId of issued) expect(await state(client, { tokenId })).toBe('cancelled')
    expect(actions(here, '/RST/SCT/Cancel')).toBe(1)
  })

  test('of two that ask for one name at the same moment one gets it, under a token that lives', async () => {
    const here = await start()
    const [store, keyring] = [new MemoryStore(), Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')]
    const client = here.client({ store, keyring })
    const issued: TokenId[] = []
    client.tokens.on('issued', ({ tokenId }) => void issued.push(tokenId))
    const opening = [client.connect(here.url, { ...own, name: 'orders' }), client.connect(here.url, { ...own, name: 'orders' })]
    const outcomes = await Promise.allSettled(opening)
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const open = outcomes.find((each) => each.status === 'fulfilled')?.value as Conversation
    expect((await open.request(place(1), { action: PLACE })).body).toContain('1')
    for (const tokenId of issued) expect(await state(client, { tokenId })).toBe(tokenId === open.tokenId ? 'live' : 'cancelled')
  })

  test('one that was to share its token is not taken up as one that does not', async () => {
    const here = await start()
    const client = here.client({ store: new MemoryStore(), keyring: Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k') })
    await (await client.connect(here.url, { ...as('client'), name: 'orders' })).detach()
    await expect(client.connect(here.url, { ...own, name: 'orders' })).rejects.toMatchObject({ code: 'ERR_NAME_TAKEN' })
  })
})

describe('what is written', () => {
  const profiles: readonly (readonly [string, Profile])[] = [
    ['the default', DEFAULT_PROFILE],
    ['Basic256 with SHA-1', BASIC256_SHA1],
    ['SOAP 1.1', { ...DEFAULT_PROFILE, soap: '1.1' }],
    ['AES-GCM', { ...DEFAULT_PROFILE, suite: 'Basic256GCM' }],
    ['an encrypted signature', { ...DEFAULT_PROFILE, encryptSignature: true }],
    ['encrypted lifecycle bodies', { ...DEFAULT_PROFILE, encryptLifecycle: true, encryptSignature: true }],
    ['no derived keys', { ...DEFAULT_PROFILE, derivedKeys: false }],
    ['the reference in the Body alone', { ...DEFAULT_PROFILE, str: 'body' }],
    ['HMAC-SHA1 under SHA-256 digests', { ...DEFAULT_PROFILE, hmac: 'hmac-sha1' }],
  ]
  test.each(profiles)('%s carries a whole conversation', async (_, profile) => {
    const here = await start({ profile })
    const conversation = await here.client().connect(here.url, { ...as('client'), profile })
    expect((await conversation.request(place(1), { action: PLACE })).action).toBe(`${PLACE}Response`)
    await (await conversation.send(place(2), { action: PLACE })).acknowledged({ timeoutMs: 5_000 })
    expect(await conversation.close()).toEqual({ outcome: 'terminated', lost: [] })
    expect(here.handled.map((message) => message.number)).toEqual([1, 2])
    expect(here.security).toEqual([])
  })

  test('content whose QNames need a declaration arrives with it', async () => {
    const here = await start()
    const conversation = await here.client().connect(here.url, as('client'))
    const typed = '<place xmlns="urn:example:orders" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xs="http://www.w3.org/2001/XMLSchema"><item xsi:type="xs:string">tea</item></place>'
    await conversation.request(typed, { action: PLACE, headers: ['<t:trace xmlns:t="urn:example:trace" id="7"/>'] })
    expect(here.handled[0]?.body).toContain('xmlns:xs="http://www.w3.org/2001/XMLSchema"')
    expect(here.handled[0]?.headers.join('')).toContain('<t:trace')
    expect(here.handled[0]?.headers.join('')).toContain('id="7"')
  })

  test('a fault of the application ends the request with its code, reason and detail; the next request goes on', async () => {
    const here = await start({
      handle: async (message) => {
        if (message.number === 1) throw new ApplicationFault({ code: 'Sender', subcode: '{urn:example:orders}SoldOut', reason: 'no tea left', detail: '<left xmlns="urn:example:orders">0</left>' })
        return { reply: { body: '<placed xmlns="urn:example:orders"/>' } }
      },
    })
    const conversation = await here.client().connect(here.url, as('client'))
    const fault = await conversation.request(place(1), { action: PLACE }).catch((error: unknown) => error)
    expect(fault).toBeInstanceOf(SoapFault)
    expect(fault).toMatchObject({ subcode: '{urn:example:orders}SoldOut', reason: 'no tea left' })
    expect((fault as SoapFault).detail).toContain('<left')
    expect((await conversation.request(place(2), { action: PLACE })).body).toBe('<placed xmlns="urn:example:orders"></placed>')
  })
})
