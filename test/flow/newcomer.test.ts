/**
 * The mistakes that users make, each answered at once, by an error that says what is wrong.
 *
 * @module
 */
import { randomBytes } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { connect, createService, Keyring, MemoryStore, type ServiceOptions, UsageError, x509 } from '../../src/index.ts'
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
