/** The life of a token around a sequence: renewed under it, shared, restored at the service, cancelled when nothing is bound to it. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { BASIC256_SHA1, DEFAULT_PROFILE, Keyring, type Profile, SoapFault, ApplicationFault } from '../../src/index.ts'
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
