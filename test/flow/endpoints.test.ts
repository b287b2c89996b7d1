/** Where answers go: to the mailbox that a client asks for, to the address at which it listens. Real parts over HTTP on loopback. */
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type ClientOptions, DEFAULT_PROFILE, Keyring, MemoryStore, type Profile, type ServiceOptions } from '../../src/index.ts'
import { opener } from '../attack/forge.ts'
import { type Middle, middleOf } from '../attack/middle.ts'
import { as, authorities, pem, PLACE, place, world, type World } from './world.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const each of cleanup.splice(0).reverse()) await each()
})
async function start(options: Parameters<typeof world>[0] = {}, port = 0): Promise<World> {
  const made = await world({ addresses: () => true, dangerPrivateAddresses: true, timing: { retransmitMs: 100, ackDelayMs: 50 }, ...options }, port)
  cleanup.push(() => made[Symbol.asyncDispose]())
  return made
}
/** Somebody between client and service. */
async function between(here: World): Promise<Middle> {
  const middle = await middleOf(here)
  cleanup.push(() => middle[Symbol.asyncDispose]())
  return middle
}
/** A server for a client to listen at, which loses what it is told to. */
async function listener(): Promise<{ readonly server: Server; lose: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined }> {
  const server = createServer()
  const made = { server, lose: undefined as ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined }
  const emit = server.emit.bind(server)
  server.emit = ((event: string, ...rest: unknown[]) => {
    const [request, response] = rest as [IncomingMessage, ServerResponse]
    if (event !== 'request' || made.lose?.(request, response) !== true) return emit(event, ...rest)
    request.socket.destroy()
    return true
  }) as typeof server.emit
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  cleanup.push(() => new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  }))
  return made
}
/** So many requests have their answer, and no back-channel waits any more. */
const released = (middle: Middle, count: number): Promise<void> => vi.waitFor(() => expect(middle.answers.filter(({ seen }) => seen.action === PLACE)).toHaveLength(count), 5_000)
const mailbox: Profile = { ...DEFAULT_PROFILE, endpoint: 'make-connection' }
const addressed: Profile = { ...DEFAULT_PROFILE, endpoint: 'address' }
const QUICK: ClientOptions = { retransmitAfterMs: 100, pollAfterMs: 20 }

/** A handler that answers only when it is let. */
function gated(): { readonly handle: () => Promise<{ reply: { body: string } }>; readonly calls: () => number; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let calls = 0
  return {
    handle: async () => {
      calls++
      await promise
      return { reply: { body: '<placed xmlns="urn:example:orders">late</placed>' } }
    },
    calls: () => calls, open: resolve,
  }
}
interface Said { readonly direction: string; readonly action: string; readonly xml: string; readonly number: number | undefined; readonly status: number | undefined }
function wireOf(here: World): readonly Said[] {
  const open = opener(here.secrets)
  return here.wire.map((event) => {
    const line = event.body.length === 0 ? undefined : open(event.body, event.at)
    return { direction: event.direction, action: (line?.opened ? line.action : undefined)?.split(/[/:]/).at(-1) ?? '', xml: Buffer.from(event.body).toString(), number: line?.opened ? line.sequence?.number : undefined, status: event.http.status }
  })
}

describe('a whole conversation', () => {
  const CASES: readonly (readonly [string, Profile])[] = [mailbox, addressed].flatMap((profile) => [
    [`${profile.endpoint}`, profile] as const,
    [`${profile.endpoint}, SOAP 1.1`, { ...profile, soap: '1.1' }] as const,
    [`${profile.endpoint}, RM 1.0`, { ...profile, rm: '1.0', sc: '200502' }] as const,
    [`${profile.endpoint}, RM 1.0 with WS-Addressing 2004/08`, { ...profile, rm: '1.0', sc: '200502', addressing: '200408' }] as const,
  ])
  test.each(CASES)('%s: requests, one-way messages, the end', async (_, profile) => {
    const here = await start({ profile })
    const client = here.client({ ...QUICK, listen: { port: 0, path: '/replies' } })
    const conversation = await client.connect(here.url, { ...as('client'), profile })
    expect((await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })).body).toContain('1')
    await (await conversation.send(place(2), { action: PLACE })).acknowledged({ timeoutMs: 10_000 })
    const [third, fourth] = await Promise.all([3, 4].map((n) => conversation.request(place(n), { action: PLACE, timeoutMs: 10_000 })))
    expect([third?.body, fourth?.body].join()).toMatch(/3.*4/)
    expect(await conversation.close({ timeoutMs: 10_000 })).toEqual({ outcome: 'terminated', lost: [] })
    expect(here.handled.map((message) => message.number)).toEqual([1, 2, 3, 4])
    expect(here.security).toEqual([])
    const asked = wireOf(here).filter(({ xml, direction }) => direction === 'request' && xml.includes('ReplyTo'))
    const where = conversation.status.endpoint
    if (where?.kind === 'anonymous' || where === undefined) throw new Error('an endpoint')
    // Every message that wants an answer says the one place, octet by octet; after the token, which is had on the back-channel.
    expect(asked.length).toBeGreaterThan(4)
    for (const { xml } of asked.slice(1).filter(({ action }) => action !== 'Cancel')) expect(xml).toContain(`<wsa:ReplyTo xmlns:wsa="${profile.addressing === '200408' ? 'http://schemas.xmlsoap.org/ws/2004/08/addressing' : 'http://www.w3.org/2005/08/addressing'}"`)
    for (const { xml } of asked.slice(1).filter(({ action }) => action !== 'Cancel')) expect(xml).toContain(`>${where.address}</wsa:Address></wsa:ReplyTo>`)
  }, 20_000)
})

test('back-channels that wait for a message which was lost leave room to send it again', async () => {
  const here = await start()
  const middle = await between(here)
  let isLost = false
  // Only its number is in clear; its answer never comes, as with a connection that broke.
  middle.meddle = async ({ text }, honest) => {
    if (isLost || !text.includes('MessageNumber>2<')) return honest()
    isLost = true
    throw new Error('lost')
  }
  const conversation = await here.client(QUICK).connect(middle.url, as('client'))
  const replies = await Promise.all(Array.from({ length: 32 }, (_, index) => conversation.request(place(index + 1), { action: PLACE, timeoutMs: 8_000 })))
  expect(replies.map(({ body }) => />(\d+)</.exec(body)?.[1])).toEqual(Array.from({ length: 32 }, (_, index) => String(index + 1)))
  expect(isLost).toBe(true)
}, 20_000)

describe('an address under TLS', () => {
  const tls = { cert: pem('client.pem'), key: pem('client.key.pem') }
  test('is answered where the owner of the service trusts it, after the pause of the profile', async () => {
    const profile = { ...addressed, addressDelayMs: 40 }
    const here = await start({ profile, addressTrust: { authorities } })
    const conversation = await here.client({ ...QUICK, listen: { port: 0, path: '/replies', tls } }).connect(here.url, { ...as('client'), profile })
    const began = performance.now()
    expect((await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })).body).toContain('1')
    expect(performance.now() - began).toBeGreaterThanOrEqual(39)
    expect(await conversation.close({ timeoutMs: 10_000 })).toEqual({ outcome: 'terminated', lost: [] })
    expect(here.security).toEqual([])
  })
  test.each<[string, ServiceOptions['addressTrust']]>([
    ['another authority', undefined], ['another certificate', { pins: ['00'.repeat(32)] }],
    ['somebody who cannot be judged', { verify: () => { throw new Error('no list today') } }],
  ])('of %s hears nothing, and the owner is told', async (_, addressTrust) => {
    const here = await start({ profile: addressed, ...(addressTrust !== undefined && { addressTrust }) })
    const conversation = await here.client({ ...QUICK, listen: { port: 0, path: '/replies', tls } }).connect(here.url, { ...as('client'), profile: addressed })
    await vi.waitFor(() => expect(here.security[0]).toMatchObject({ code: expect.stringMatching(/^ERR_(?:TLS|WSS)_UNTRUSTED$/) }), 5_000)
    expect(conversation.status.sequence).toBeUndefined()
  })
})

describe('a mailbox', () => {
  test('a reply that is late is fetched by a poll; the request, once acknowledged, is not sent again', async () => {
    const late = gated()
    const here = await start({ handle: late.handle, holdReplyMs: 50 })
    // The first poll brings the acknowledgement.
    const conversation = await here.client({ ...QUICK, retransmitAfterMs: 2_000 }).connect(here.url, { ...as('client'), profile: mailbox })
    const reply = conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })
    // Polls go on while the handler is at work.
    await vi.waitFor(() => expect(wireOf(here).filter(({ action, direction }) => action === 'MakeConnection' && direction === 'request').length).toBeGreaterThan(3), 5_000)
    late.open()
    expect((await reply).body).toContain('late')
    expect(late.calls()).toBe(1)
    const wire = wireOf(here)
    expect(wire.filter(({ action, direction }) => action === 'Place' && direction === 'request')).toHaveLength(1)
    const [brought] = wire.filter(({ action, direction }) => action === 'PlaceResponse' && direction === 'response')
    expect(brought?.xml).toMatch(/<wsmc:MessagePending [^>]*pending="false"/)
    const address = conversation.status.endpoint?.kind === 'make-connection' ? conversation.status.endpoint.address : ''
    expect(brought?.xml).toMatch(new RegExp(`<wsa:To [^>]*>${address.replaceAll(/[.?]/g, '\\$&')}</wsa:To>`))
    expect(await conversation.close({ timeoutMs: 10_000 })).toEqual({ outcome: 'terminated', lost: [] })
  })

  test('several that wait come one after the other, the oldest first, each saying whether there are more', async () => {
    const late = gated()
    const here = await start({ handle: late.handle, holdReplyMs: 30 })
    const middle = await between(here)
    let isAway = false
    middle.meddle = async (seen, honest) => (isAway && seen.action.endsWith('MakeConnection') ? { status: 503, body: '' } : honest())
    const conversation = await here.client(QUICK).connect(middle.url, { ...as('client'), profile: mailbox })
    const replies = [1, 2, 3].map((n) => conversation.request(place(n), { action: PLACE, timeoutMs: 10_000 }))
    await released(middle, 3)
    isAway = true
    late.open()
    await vi.waitFor(async () => expect((await here.service.sequences()[Symbol.asyncIterator]().next()).value).toMatchObject({ last: 3 }), 5_000)
    isAway = false
    await Promise.all(replies)
    const brought = wireOf(here).filter(({ action, direction }) => action === 'PlaceResponse' && direction === 'response')
    expect(brought.map(({ number }) => number)).toEqual([1, 2, 3])
    expect(brought.map(({ xml }) => /pending="(\w+)"/.exec(xml)?.[1])).toEqual(['true', 'true', 'false'])
  })

  test('a poll whose answer is lost loses nothing: the reply is given to a later one', async () => {
    const late = gated()
    const here = await start({ handle: late.handle, holdReplyMs: 30 })
    const middle = await between(here)
    let lost = 0
    middle.meddle = async (seen, honest) => {
      const answer = await honest()
      if (!seen.action.endsWith('MakeConnection') || !answer.headers?.['content-type']?.includes('PlaceResponse') || lost > 0) return answer
      lost++
      throw new Error('lost')
    }
    const conversation = await here.client(QUICK).connect(middle.url, { ...as('client'), profile: mailbox })
    const reply = conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })
    await released(middle, 1)
    late.open()
    expect((await reply).body).toContain('late')
    expect(lost).toBe(1)
    expect(late.calls()).toBe(1)
  })

  test('a client that begins anew finds its reply in the mailbox', async () => {
    const late = gated()
    const here = await start({ handle: late.handle, holdReplyMs: 30 })
    const [store, keyring] = [new MemoryStore(), Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')]
    const before = here.client({ ...QUICK, store, keyring })
    const conversation = await before.connect(here.url, { ...as('client'), profile: mailbox, name: 'orders' })
    const reply = conversation.request(place(1), { action: PLACE, key: 'one' }).catch(() => 'gone')
    await vi.waitFor(() => expect(conversation.status.acknowledged).toEqual([[1, 1]]), 5_000)
    await before[Symbol.asyncDispose]()
    expect(await reply).toBe('gone')
    late.open()
    const again = await here.client({ ...QUICK, store, keyring }).connect(here.url, { ...as('client'), profile: mailbox, name: 'orders' })
    expect(again.status.endpoint).toEqual(conversation.status.endpoint)
    expect((await again.reply('one', { timeoutMs: 10_000 })).body).toContain('late')
    expect(late.calls()).toBe(1)
    expect(await again.close({ timeoutMs: 10_000 })).toEqual({ outcome: 'terminated', lost: [] })
  })
})

describe('an address', () => {
  test('the service connects to it: the answer to CreateSequence, replies, acknowledgements, the answers to the end; requests are answered with 202', async () => {
    const here = await start()
    const conversation = await here.client({ ...QUICK, listen: { port: 0, path: '/replies' } }).connect(here.url, { ...as('client'), profile: addressed })
    await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })
    await (await conversation.send(place(2), { action: PLACE })).acknowledged({ timeoutMs: 10_000 })
    await conversation.close({ timeoutMs: 10_000 })
    const wire = wireOf(here)
    const where = conversation.status.endpoint?.kind === 'address' ? conversation.status.endpoint.address : ''
    const posted = wire.filter(({ xml, direction }) => direction === 'request' && xml.includes(`>${where}</wsa:To>`)).map(({ action }) => action)
    expect(new Set(posted)).toEqual(new Set(['CreateSequenceResponse', 'PlaceResponse', 'SequenceAcknowledgement', 'CloseSequenceResponse', 'TerminateSequenceResponse']))
    // On back-channels there is nothing but the token's own exchanges.
    expect(wire.filter(({ xml, direction }) => direction === 'response' && xml !== '').map(({ action }) => action)).toEqual(['SCT', 'Cancel'])
    expect(wire.filter(({ action, direction }) => action === 'Place' && direction === 'request')).toHaveLength(2)
  })

  test('a reply that does not arrive is sent again until it is acknowledged, and settles its request once', async () => {
    const here = await start()
    const at = await listener()
    const conversation = await here.client({ ...QUICK, listen: { server: at.server, path: '/replies' } }).connect(here.url, { ...as('client'), profile: addressed })
    await conversation.request(place('first'), { action: PLACE, timeoutMs: 10_000 })
    let lost = 0
    at.lose = (request) => /PlaceResponse/.test(request.headers['content-type'] ?? '') && lost++ < 2
    expect((await conversation.request(place('second'), { action: PLACE, timeoutMs: 20_000 })).body).toContain('second')
    // The answer to the POST is what is lost now: it was taken all the same.
    at.lose = (_, response) => {
      response.end = () => response.destroy() as never
      return false
    }
    expect((await conversation.request(place('third'), { action: PLACE, timeoutMs: 20_000 })).body).toContain('third')
    at.lose = undefined
    expect(await conversation.close({ timeoutMs: 20_000 })).toEqual({ outcome: 'terminated', lost: [] })
    expect(lost).toBeGreaterThanOrEqual(3)
    expect(here.handled).toHaveLength(3)
  }, 30_000)

  test('RM 1.0: the service ends its own sequence, by a last message and a TerminateSequence to the address', async () => {
    const profile: Profile = { ...addressed, rm: '1.0', sc: '200502' }
    const here = await start({ profile })
    const conversation = await here.client({ ...QUICK, listen: { port: 0 } }).connect(here.url, { ...as('client'), profile })
    await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })
    expect(await conversation.close({ timeoutMs: 10_000 })).toEqual({ outcome: 'terminated', lost: [] })
    const where = conversation.status.endpoint?.kind === 'address' ? conversation.status.endpoint.address : ''
    await vi.waitFor(() => {
      const posted = wireOf(here).filter(({ xml, direction }) => direction === 'request' && xml.includes(`>${where}</wsa:To>`)).map(({ action, number }) => `${action} ${number ?? ''}`.trim())
      expect(posted).toEqual(expect.arrayContaining(['PlaceResponse 1', 'LastMessage 2', 'TerminateSequence']))
    }, 5_000)
  })

  test('a request that was acknowledged waits for its reply without being sent again', async () => {
    const late = gated()
    const here = await start({ handle: late.handle })
    const conversation = await here.client({ ...QUICK, listen: { port: 0 } }).connect(here.url, { ...as('client'), profile: addressed })
    const reply = conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })
    await vi.waitFor(() => expect(conversation.status.acknowledged).toEqual([[1, 1]]), 5_000)
    const sent = here.wire.length
    late.open()
    expect((await reply).body).toContain('late')
    expect(here.wire.slice(sent).filter(({ body, direction }) => direction === 'request' && Buffer.from(body).includes('Place<'))).toEqual([])
  })

  test('client and service begin anew in the middle: the reply is sent to the same address, and found there', async () => {
    const late = gated()
    const keyring = Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')
    const [mine, its] = [new MemoryStore(), new MemoryStore()]
    const before = await start({ handle: late.handle, store: its, keyring })
    const at = await listener()
    const client = before.client({ ...QUICK, store: mine, keyring, listen: { server: at.server, path: '/replies' } })
    const conversation = await client.connect(before.url, { ...as('client'), profile: addressed, name: 'orders' })
    conversation.request(place(1), { action: PLACE, key: 'one' }).catch(() => undefined)
    await vi.waitFor(() => expect(conversation.status.acknowledged).toEqual([[1, 1]]), 5_000)
    await client[Symbol.asyncDispose]()
    const port = Number(new URL(before.url).port)
    await before.service.close()
    const after = await start({ store: its, keyring }, port)
    await vi.waitFor(() => expect(after.handled).toHaveLength(1), 5_000)
    const again = await after.client({ ...QUICK, store: mine, keyring, listen: { server: at.server, path: '/replies' } }).connect(after.url, { ...as('client'), profile: addressed, name: 'orders' })
    expect((await again.reply('one', { timeoutMs: 20_000 })).body).toContain('1')
    expect(after.handled).toHaveLength(1)
    expect(await again.close({ timeoutMs: 20_000 })).toEqual({ outcome: 'terminated', lost: [] })
  }, 40_000)

  test('a client that listens nowhere, or elsewhere than its conversation was begun at, is told', async () => {
    const here = await start()
    await expect(here.client().connect(here.url, { ...as('client'), profile: addressed })).rejects.toMatchObject({ code: 'ERR_USAGE_LISTEN' })
    const [store, keyring] = [new MemoryStore(), Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')]
    const first = here.client({ ...QUICK, store, keyring, listen: { port: 0 } })
    const conversation = await first.connect(here.url, { ...as('client'), profile: addressed, name: 'orders' })
    await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })
    await first[Symbol.asyncDispose]()
    await expect(here.client({ ...QUICK, store, keyring, listen: { port: 0 } }).connect(here.url, { ...as('client'), profile: addressed, name: 'orders' })).rejects.toMatchObject({ code: 'ERR_USAGE_LISTEN' })
  })
})
