/**
 * The mistakes that users make, each answered at once, by an error that says what is wrong.
 *
 * @module
 */
import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { connect, createService, DEFAULT_PROFILE, Keyring, MemoryStore, type ServiceOptions, UsageError, x509 } from '../../src/index.ts'
import { as, authorities, PLACE, place, SERVICE, type World, world } from './world.ts'

async function started(options?: Partial<ServiceOptions<unknown>>): Promise<World> {
  const it = await world(options)
  onTestFinished(() => it[Symbol.asyncDispose]())
  return it
}
const ring = (id = 'k1'): Keyring => Keyring.of([{ id, key: randomBytes(32) }], id)
const serve = (options: Partial<ServiceOptions<unknown>>): ReturnType<typeof createService> =>
  createService({ accept: [x509({ identity: SERVICE, trust: { authorities } })], handle: async () => {}, ...options } as ServiceOptions)

// ---- the keyring of another store ----

test('a client that comes back with another keyring is refused, whatever the id of its key, and goes on with the right one', async () => {
  const it = await started()
  const store = new MemoryStore()
  const right = ring()
  const open = (keyring: Keyring): ReturnType<typeof connect> => connect(it.url, { ...as('client'), name: 'orders', store, keyring })
  const first = await open(right)
  await first.request(place(1), { action: PLACE, key: 'order-1' })
  await first.detach()
  await expect(open(ring('k1'))).rejects.toMatchObject({ name: 'UsageError', code: 'ERR_KEYRING_OTHER', message: expect.stringContaining('k1') })
  await expect(open(ring('k2'))).rejects.toMatchObject({ name: 'KeyMissing', code: 'ERR_SEAL_KEY_MISSING', message: expect.stringContaining('k1') })
  const again = await open(right)
  expect((await again.reply('order-1')).body).toContain('1')
  await again.close()
})

test('a service that comes back with another keyring does not start', async () => {
  const store = new MemoryStore()
  const keyring = ring()
  const it = await started({ store, keyring })
  await (await it.client().connect(it.url, as('client'))).request(place(1), { action: PLACE })
  await it.service.close()
  await expect(serve({ store, keyring: ring('k1') })).rejects.toMatchObject({ code: 'ERR_KEYRING_OTHER' })
  await expect(serve({ store, keyring: ring('k2') })).rejects.toMatchObject({ code: 'ERR_SEAL_KEY_MISSING' })
  await (await serve({ store, keyring })).close()
})

test('a key that is added and made primary opens what the old one sealed', async () => {
  const it = await started()
  const store = new MemoryStore()
  const [old, fresh] = [{ id: 'k1', key: randomBytes(32) }, { id: 'k2', key: randomBytes(32) }]
  const open = (keyring: Keyring): ReturnType<typeof connect> => connect(it.url, { ...as('client'), name: 'orders', store, keyring })
  await (await open(Keyring.of([old], 'k1'))).detach()
  const conversation = await open(Keyring.of([old, fresh], 'k2'))
  await conversation.request(place(1), { action: PLACE })
  await conversation.detach()
  // What is sealed with it now has a mark of its own.
  await expect(open(Keyring.of([old, { id: 'k2', key: randomBytes(32) }], 'k2'))).rejects.toMatchObject({ code: 'ERR_KEYRING_OTHER' })
})

test('a conversation whose record was changed is not begun anew under its name', async () => {
  const it = await started()
  const store = new MemoryStore()
  const keyring = ring()
  const open = (name: string | undefined): ReturnType<typeof connect> => connect(it.url, { ...as('client'), ...(name !== undefined && { name }), store, keyring })
  await (await open('orders')).detach()
  for await (const row of store.scan('4:lane;')) {
    const value = Uint8Array.from(row.value)
    value[value.length - 1] = (value.at(-1) ?? 0) ^ 1
    await store.commit([{ expect: [], writes: [{ put: row.key, value }] }])
  }
  const warnings = warned()
  await expect(open('orders')).rejects.toMatchObject({ name: 'StoreFailed', code: 'ERR_STORE_UNREADABLE' })
  await expect.poll(() => warnings).toContainEqual(expect.stringContaining('does not open'))
  const unnamed = await open(undefined)
  await unnamed.close()
})

// ---- failures that nobody listens for ----

function warned(): string[] {
  const warnings: string[] = []
  const hear = (warning: Error): void => void warnings.push(warning.message)
  process.on('warning', hear)
  onTestFinished(() => void process.off('warning', hear))
  return warnings
}

test('a handler that throws is a warning of the process, until somebody listens', async () => {
  const service = await serve({ handle: () => Promise.reject(new Error('no such table: orders')), timing: { redeliverMs: 20 }, maxDeliveries: 1 })
  onTestFinished(() => service.close())
  const { url } = await service.listen({ port: 0 })
  const warnings = warned()
  const ask = async (): Promise<unknown> => {
    const conversation = await connect(url, as('client'))
    try {
      return await conversation.request(place(1), { action: PLACE })
    } finally {
      await conversation.close()
    }
  }
  await expect(ask()).rejects.toMatchObject({ code: 'ERR_SOAP_FAULT' })
  await expect.poll(() => warnings).toContainEqual(expect.stringContaining('no such table: orders'))
  const before = warnings.length
  const heard: Error[] = []
  service.on('error', ({ error }) => void heard.push(error))
  await expect(ask()).rejects.toMatchObject({ code: 'ERR_SOAP_FAULT' })
  expect(heard.map(({ message }) => message)).toContain('no such table: orders')
  expect(warnings.length).toBe(before)
})

test('a path in the place of the store or of the keyring is refused', async () => {
  await expect(serve({ store: 'orders.db' as never, keyring: ring() })).rejects.toThrow(UsageError)
  await expect(serve({ store: new MemoryStore(), keyring: 'keyring.json' as never })).rejects.toThrow(/Keyring.fromFile/)
  await expect(connect('http://127.0.0.1:9/', { ...as('client'), store: 'orders.db' as never, keyring: ring() })).rejects.toThrow(/openSqliteStore/)
})

// ---- options ----

test.each([
  ['no trust', { trust: undefined }, /trust is \{ authorities/],
  ['an empty trust', { trust: {} }, /who is trusted is always said/],
  ['a PEM as trust', { trust: authorities[0] }, /who is trusted is always said/],
  ['authorities that are no list', { trust: { authorities: authorities[0] } }, /who is trusted is always said/],
  ['no authority', { trust: { authorities: [] } }, /names no authority/],
  ['the path of an authority', { trust: { authorities: ['authority.pem'] } }, /not the name of a file/],
  ['no pin', { trust: { pins: [] } }, /names no pin/],
  ['a pin that is none', { trust: { pins: ['xx'] } }, /thumbprint/],
  ['two trusts', { trust: { pins: ['00'.repeat(20)], verify: 'yes' } }, /who is trusted is always said/],
  ['no bootstrap', { bootstrap: undefined }, /x509\(\{ certificate, key, service \}\)/],
  ['the service’s bootstrap', { bootstrap: x509({ identity: SERVICE, trust: { authorities } }) }, /at the client/],
  ['a name without a store', { name: 'orders' }, /needs a store and a keyring/],
  ['an empty name', { name: '', store: new MemoryStore() }, /name of a conversation/],
  ['a time limit that is no number', { timeoutMs: 'soon' }, /timeoutMs/],
  ['a signal that is none', { signal: {} }, /AbortSignal/],
  ['a window of none', { maxPending: 0 }, /maxPending/],
  ['contexts of another kind', { profile: { ...DEFAULT_PROFILE, contexts: 'two-each' } }, /contexts of a profile is shared or one-each/],
  ['a window of the profile that is none', { profile: { ...DEFAULT_PROFILE, window: 0 } }, /window is a whole number from 1 to 1024/],
  ['a window too wide', { profile: { ...DEFAULT_PROFILE, window: 1_025 } }, /window is a whole number from 1 to 1024/],
  ['a URL that is none', { url: 'orders' }, /http or https URL/],
] as const)('connect with %s is a UsageError before anything is sent', async (_, options, message) => {
  const it = await started()
  const { url, ...rest } = { url: it.url, ...options } as { url: string }
  await expect(connect(url, { ...as('client'), ...rest } as never)).rejects.toMatchObject({ name: 'UsageError', message: expect.stringMatching(message) })
  expect(it.wire).toEqual([])
})
test.each([
  ['nothing', undefined, /object of options/],
  ['no bootstrap', { accept: [] }, /at least|one at least/],
  ['a bootstrap that is no list', { accept: x509({ identity: SERVICE, trust: { authorities } }) }, /is a list/],
  ['a client’s bootstrap', { accept: [as('client').bootstrap] }, /at the service/],
  ['no handler', { handle: undefined }, /needs handle/],
  ['a count that is none', { maxDeliveries: '3' }, /maxDeliveries/],
] as const)('createService with %s is a UsageError', async (_, options, message) => {
  const all = options === undefined ? undefined : { accept: [x509({ identity: SERVICE, trust: { authorities } })], handle: async () => {}, ...options }
  await expect(createService(all as never)).rejects.toMatchObject({ name: 'UsageError', message: expect.stringMatching(message) })
})
test.each([
  ['nothing', undefined, /certificate is missing/],
  ['no key', { certificate: SERVICE.certificate, service: SERVICE.certificate }, /key is missing/],
  ['no certificate of the service', { ...SERVICE }, /service is missing/],
  ['a path', { ...SERVICE, certificate: 'client.pem', service: SERVICE.certificate }, /certificate: .*not the name of a file/],
  ['certificate and key swapped', { certificate: SERVICE.key, key: SERVICE.certificate, service: SERVICE.certificate }, /certificate: the certificate cannot be read/],
  ['no trust, at the service', { identity: SERVICE }, /who is trusted is always said/],
  ['no identity', { identity: undefined, trust: { authorities } }, /certificate is missing/],
] as const)('x509 with %s is a UsageError without a word of the key', (_, options, message) => {
  let error: unknown
  try {
    x509(options as never)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toMatchObject({ name: 'UsageError', message: expect.stringMatching(message) })
  expect(JSON.stringify(error) + String((error as Error).stack)).not.toContain(SERVICE.key.split('\n')[3])
})

// ---- peers ----

test('a place where no service is, is named, and is not asked again', async () => {
  const it = await started()
  const error = await connect(it.url.replace('/orders', '/wrong'), as('client')).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'ERR_BOOTSTRAP_NO_ANSWER', retryable: false, message: 'the request for a token (issue) was answered with HTTP 404 and no message: no such service there? Look at the path of the URL' })
  // An error is printed with what it has, and nothing else.
  expect(inspect(error)).not.toContain('undefined')
})
test('a service that is away is named, with why, and may be asked again', async () => {
  const it = await started()
  await it.service.close()
  const origin = new URL(it.url).origin
  await expect(connect(it.url, as('client'))).rejects.toMatchObject({ code: 'ERR_BOOTSTRAP', retryable: true, message: `no token could be had from the peer: the connection to ${origin} failed (ECONNREFUSED)` })
})

// ---- messages ----

test('what cannot be sent is refused at once, and the conversation goes on', async () => {
  const it = await started()
  const conversation = await it.client().connect(it.url, as('client'))
  const refused = (body: unknown, options: unknown, message: RegExp): Promise<void> =>
    expect(conversation.request(body as string, options as { action: string }), String(message)).rejects.toMatchObject({ name: 'UsageError', message: expect.stringMatching(message) })
  for (const body of ['hello', '', '<a/><b/>', '<!DOCTYPE a><a/>', '<x:a/>', '<a>', '<a>&nbsp;</a>', Buffer.from('<a>\u00e9</a>', 'latin1')]) await refused(body, { action: PLACE }, /^the body is not one XML element/)
  for (const body of [undefined, null, 3, { a: 1 }]) await refused(body, { action: PLACE }, /one XML element, as text or as its bytes/)
  await refused('<a/>', undefined, /object of options/)
  for (const action of [undefined, '', 3]) await refused('<a/>', { action }, /needs an action/)
  for (const action of ['a b', 'a\nb', 'a\u0000', '\ud800', `urn:${'x'.repeat(2_000)}`]) await refused('<a/>', { action }, /no URI/)
  for (const action of ['http://docs.oasis-open.org/ws-rx/wsrm/200702/CreateSequence', 'http://docs.oasis-open.org/ws-sx/ws-trust/200512/RST/SCT']) await refused('<a/>', { action }, /protocols themselves/)
  for (const key of ['', 7, '\ud800', 'x'.repeat(1_025)]) await refused('<a/>', { action: PLACE, key }, /idempotency key/)
  await refused('<a/>', { action: PLACE, headers: '<h/>' }, /list of XML elements/)
  await refused('<a/>', { action: PLACE, headers: ['no'] }, /^a header is not one XML element/)
  await refused('<a/>', { action: PLACE, timeoutMs: Number.NaN }, /timeoutMs/)
  // Whatever passes here must pass there: the next one would wait for it without end.
  await refused(`<a>${'x'.repeat(3_200_000)}</a>`, { action: PLACE }, /limit messageBytes \(4194304\)/)
  await conversation.request(`<a>${'x'.repeat(3_100_000)}</a>`, { action: PLACE })
  expect((await conversation.request(new TextEncoder().encode('<a>\u00e9</a>'), { action: 'Place' })).action).toBe('PlaceResponse')
  expect(it.handled.map(({ number }) => number)).toEqual([1, 2])
  expect(it.handled[1]?.body).toBe('<a>\u00e9</a>')
  await conversation.close()
})

test.each([
  ['a text', '<a/>'], ['a reply that is a text', { reply: '<a/>' }], ['a body that is no XML', { reply: { body: 'a' } }], ['a commit that is no function', { commit: 'INSERT' }], ['a commit without a store', { commit: () => {} }], ['too large a body', { reply: { body: `<a>${'x'.repeat(3_200_000)}</a>` } }],
])('a handler that gives back %s has failed, and is said to have', async (_, outcome) => {
  const service = await serve({ handle: (async () => outcome) as never, timing: { redeliverMs: 20 }, maxDeliveries: 1 })
  onTestFinished(() => service.close())
  const heard: Error[] = []
  service.on('error', ({ error }) => void heard.push(error))
  const { url } = await service.listen({ port: 0 })
  const conversation = await connect(url, as('client'))
  await expect(conversation.request('<a/>', { action: PLACE })).rejects.toMatchObject({ code: 'ERR_SOAP_FAULT' })
  expect(heard[0]).toBeInstanceOf(UsageError)
  await conversation.close()
})

// ---- after the end ----

test.each(['connect', 'createClient'] as const)('after its end a conversation of %s says so, and closes once', async (how) => {
  const it = await started()
  const conversation = how === 'connect' ? await connect(it.url, as('client')) : await it.client().connect(it.url, as('client'))
  await conversation.request(place(1), { action: PLACE })
  const report = await conversation.close()
  expect(report).toEqual({ outcome: 'terminated', lost: [] })
  expect(await conversation.close()).toBe(report)
  for (const late of [conversation.send(place(2), { action: PLACE }), conversation.request(place(2), { action: PLACE })]) {
    await expect(late).rejects.toMatchObject({ name: 'UsageError', code: 'ERR_CONVERSATION_OVER', message: expect.stringContaining('connect again') })
  }
  await conversation.detach()
})

// ---- the same key again ----

test('a client whose close was cut short still gets the replies that it has, and is told that nothing new is taken', async () => {
  const it = await started()
  const [store, keyring] = [new MemoryStore(), ring()]
  const client = it.client({ store, keyring })
  const conversation = await client.connect(it.url, { ...as('client'), name: 'orders' })
  const { body } = await conversation.request(place(1), { action: PLACE, key: 'order-1' })
  await it.service.close()
  await expect(conversation.close({ timeoutMs: 50 })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
  await client[Symbol.asyncDispose]()
  const again = await connect(it.url, { ...as('client'), name: 'orders', store, keyring, retransmitAfterMs: 50 })
  expect((await again.request(place(1), { action: PLACE, key: 'order-1' })).body).toBe(body)
  await expect(again.request(place(2), { action: PLACE, key: 'order-1' })).rejects.toMatchObject({ code: 'ERR_KEY_REUSED' })
  await expect(again.request(place(2), { action: PLACE, key: 'order-2' })).rejects.toMatchObject({ code: 'ERR_CONVERSATION_OVER' })
  await again.detach()
})

test('a client that is started again after its conversation was closed orders nothing twice', async () => {
  const it = await started()
  const [store, keyring] = [new MemoryStore(), ring()]
  const run = async (keys: readonly string[]): Promise<readonly string[]> => {
    const conversation = await connect(it.url, { ...as('client'), name: 'orders', store, keyring })
    const replies = []
    for (const key of keys) replies.push((await conversation.request(place(key), { action: PLACE, key })).body)
    await expect(conversation.request(place('another'), { action: PLACE, key: keys[0] as string })).rejects.toMatchObject({ code: 'ERR_KEY_REUSED' })
    expect((await conversation.reply(keys[0] as string)).body).toBe(replies[0])
    await conversation.close()
    return replies
  }
  const first = await run(['order-1'])
  expect(await run(['order-1'])).toEqual(first)
  expect((await run(['order-1', 'order-2'])).map((body) => />([^<]*)</.exec(body)?.[1])).toEqual(['order-1', 'order-2'])
  expect((await run(['order-2', 'order-1'])).map((body) => />([^<]*)</.exec(body)?.[1])).toEqual(['order-2', 'order-1'])
  expect(it.handled.map(({ body }) => />([^<]*)<\/item>/.exec(body)?.[1])).toEqual(['order-1', 'order-2'])
})
