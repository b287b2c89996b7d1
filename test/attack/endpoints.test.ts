/**
 * Where answers go, under attack: mailboxes of others, forgeries at a client's own address, and services that are told to connect elsewhere.
 */
import { randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Client, type Conversation, DEFAULT_PROFILE, Keyring, type LaneStatus, MemoryStore, type Profile, type Row, type SecurityContextToken, UsageError } from '../../src/index.ts'
import type { OutboundBody } from '../../src/rm/turn.ts'
import { MC_ANONYMOUS_PREFIX } from '../../src/spec/versions.ts'
import { soapHeaders } from '../../src/transport/http.ts'
import type { Written } from '../../src/wire.ts'
import { as, PLACE, place, world, type World } from '../flow/world.ts'
import { type Answer, application, edit, flip, forge, id, send, tokenOf } from './forge.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const each of cleanup.splice(0).reverse()) await each()
})
async function start(options: Parameters<typeof world>[0] = {}): Promise<World> {
  const made = await world({ timing: { retransmitMs: 100, ackDelayMs: 50 }, ...options })
  cleanup.push(() => made[Symbol.asyncDispose]())
  return made
}
const mailbox: Profile = { ...DEFAULT_PROFILE, endpoint: 'make-connection' }
const addressed: Profile = { ...DEFAULT_PROFILE, endpoint: 'address' }
const QUICK = { retransmitAfterMs: 100, pollAfterMs: 20 }
const addressOf = ({ status: { endpoint } }: Conversation): string => (endpoint === undefined || endpoint.kind === 'anonymous' ? '' : endpoint.address)
const codes = (here: World): string[] => here.security.map(({ code }) => code)

async function intruding(here: World): Promise<{ readonly client: Client; readonly conversation: Conversation; readonly token: SecurityContextToken }> {
  const client = here.client(QUICK)
  const conversation = await client.connect(here.url, as('intruder'))
  await conversation.request(place('own'), { action: PLACE })
  return { client, conversation, token: await tokenOf(client, conversation) }
}

describe('a mailbox', () => {
  /** A reply lies in the mailbox of the first client, which is away. */
  async function waiting(): Promise<{ readonly here: World; readonly address: string; readonly token: SecurityContextToken; readonly other: Awaited<ReturnType<typeof intruding>> }> {
    const here = await start({ holdReplyMs: 20 })
    const other = await intruding(here)
    const client = here.client(QUICK)
    const conversation = await client.connect(here.url, { ...as('client'), profile: mailbox })
    await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })
    const token = await tokenOf(client, conversation)
    const sequence = conversation.status.sequence ?? ''
    // Its next request, whose answer nobody takes: it came under a ReplyTo of the mailbox, and on a back-channel that is gone.
    await conversation.detach().catch(() => undefined)
    const address = addressOf(conversation)
    const written = forge(token, { to: here.url, body: application(place(2)), sequence: { id: sequence, number: 2 }, replyTo: address })
    await send(here, written)
    return { here, address, token, other }
  }
  const poll = (here: World, token: SecurityContextToken, address: string, more: Partial<Parameters<typeof forge>[1]> = {}): Promise<Answer> =>
    send(here, forge(token, { to: here.url, body: { kind: 'make-connection', address }, ...more }))

  test('another principal who asks for it gets what an empty one gives; the owner gets it all', async () => {
    const { here, address, token, other } = await waiting()
    const before = await poll(here, other.token, `${MC_ANONYMOUS_PREFIX}${id()}`)
    expect(await poll(here, other.token, address)).toEqual(before)
    expect(before).toEqual({ status: 202, text: '' })
    expect(codes(here)).toContain('ERR_RM_SCOPE')
    // Both replies were given on back-channels once; a poll gets them again when nobody has said that they arrived. The second is the last.
    const { offered = '' } = (await all(here)).find((each) => each.endpoint !== undefined) ?? {}
    const given = (upper: number): Promise<string> => vi.waitFor(async () => {
      const { status, text } = await poll(here, token, address, { acknowledgements: [{ sequence: offered, ranges: upper === 0 ? [] : [[1, upper]], final: false }] })
      expect(status).toBe(200)
      expect(text).toContain(`${PLACE}Response`)
      return /MessageNumber>(\d)</.exec(text)?.[1] ?? ''
    }, 5_000)
    expect(await given(0)).toBe('1')
    expect(await given(1)).toBe('2')
    // Only the owner can say that they arrived.
    await poll(here, other.token, address, { acknowledgements: [{ sequence: offered, ranges: [[1, 2]], final: false }] })
    expect(await given(1)).toBe('2')
    expect(await poll(here, token, address, { acknowledgements: [{ sequence: offered, ranges: [[1, 2]], final: false }] })).toEqual({ status: 202, text: '' })
  })

  test('of the same name, under another token, is another mailbox', async () => {
    const { here, address, other } = await waiting()
    const create: OutboundBody = { kind: 'create-sequence', acksTo: address, offer: { sequence: id() } }
    const made = await send(here, forge(other.token, { to: here.url, body: create, replyTo: address }))
    expect(made.status).toBe(200)
    expect(made.text).toContain('CreateSequenceResponse')
    expect(await poll(here, other.token, address)).toEqual({ status: 202, text: '' })
  })

  test('is not opened by a copy of its owner’s poll', async () => {
    const { here, address, token } = await waiting()
    const written = forge(token, { to: here.url, body: { kind: 'make-connection', address } })
    await send(here, written)
    expect((await send(here, written)).status).toBe(500)
    expect(codes(here)).toContain('ERR_WSS_REPLAY')
  })

  test('its messages, sent to the service, are no messages for the service', async () => {
    const { here, address, token } = await waiting()
    const sequence = (await all(here)).find((each) => each.endpoint !== undefined)?.sequence ?? ''
    const mirrored = forge(token, { role: 'recipient', body: { kind: 'terminate-sequence', sequence }, to: address })
    expect(await send(here, mirrored)).toMatchObject({ status: 500 })
    expect(codes(here)).toContain('ERR_WSA_MIRRORED')
    expect((await all(here)).find((each) => each.sequence === sequence)?.state).toBe('open')
  })

  test('a poll that selects by nothing, or by what is not known, is told so', async () => {
    const { here, address, token } = await waiting()
    const { readElement } = await import('../../src/xml/reader.ts')
    const { protect } = await import('../../src/wss/protect.ts')
    const { writeAddressing } = await import('../../src/soap/addressing.ts')
    const { versions } = await import('./forge.ts')
    const { DEFAULT_LIMITS } = await import('../../src/options.ts')
    const { MC_ACTION } = await import('../../src/spec/versions.ts')
    const { systemRandom } = await import('../../src/crypto/random.ts')
    const asked = async (content: string): Promise<Answer> => {
      const body = readElement(`<wsmc:MakeConnection xmlns:wsmc="http://docs.oasis-open.org/ws-rx/wsmc/200702">${content}</wsmc:MakeConnection>`, DEFAULT_LIMITS)
      const [instance] = token.instances
      if (instance === undefined) throw new Error('an instance')
      const { xml } = protect({ soap: versions.soap, headers: writeAddressing({ action: MC_ACTION, to: here.url, messageId: id() }, versions.addressing, versions.soap), body: [body], encryptBody: false }, { identifier: token.id, secret: instance.secret, sc: token.sc }, { profile: DEFAULT_PROFILE, role: 'initiator', now: Date.now(), random: systemRandom })
      return send(here, { xml, action: MC_ACTION, soap: versions.soap })
    }
    expect(await asked('')).toMatchObject({ status: 500, text: expect.stringContaining('wsmc:MissingSelection') })
    const unknown = await asked(`<wsmc:Address>${address}</wsmc:Address><x:Priority xmlns:x="urn:example:ext">1</x:Priority>`)
    expect(unknown).toMatchObject({ status: 500, text: expect.stringContaining('wsmc:UnsupportedSelection') })
    expect(unknown.text).toMatch(/xmlns:n0="urn:example:ext"/)
    expect(unknown.text).toMatch(/<wsmc:UnsupportedElement[^>]*>n0:Priority</)
    expect((await asked('<wsrm:Identifier xmlns:wsrm="http://docs.oasis-open.org/ws-rx/wsrm/200702">urn:a</wsrm:Identifier>')).text).toContain('UnsupportedSelection')
    expect(await asked(`<wsmc:Address>${address}</wsmc:Address><wsmc:Address>${address}</wsmc:Address>`)).toMatchObject({ status: 500 })
  })
})

async function all(here: World): Promise<readonly LaneStatus[]> {
  const found: LaneStatus[] = []
  for await (const each of here.service.sequences()) found.push(each)
  return found
}

describe('a client’s own address', () => {
  async function listening(): Promise<{ readonly here: World; readonly client: Client; readonly conversation: Conversation; readonly token: SecurityContextToken; readonly url: string; readonly heard: string[]; post(written: Pick<Written, 'xml' | 'action'>): Promise<Answer> }> {
    const here = await start({ addresses: () => true, dangerPrivateAddresses: true })
    const client = here.client({ ...QUICK, listen: { port: 0, path: '/replies' } })
    const conversation = await client.connect(here.url, { ...as('client'), profile: addressed })
    const heard: string[] = []
    conversation.on('security', ({ code }) => heard.push(code))
    await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })
    const url = addressOf(conversation)
    const posted = async ({ xml, action }: Pick<Written, 'xml' | 'action'>): Promise<Answer> => {
      const response = await fetch(url, { method: 'POST', headers: soapHeaders('1.2', action), body: xml })
      return { status: response.status, text: await response.text() }
    }
    return { here, client, conversation, token: await tokenOf(client, conversation), url, heard, post: posted }
  }
  const state = ({ status }: Conversation): string => JSON.stringify([status.state, status.sequence, status.last, status.acknowledged, status.accepted])
  const honest = async (conversation: Conversation): Promise<void> => {
    expect((await conversation.request(place('honest'), { action: PLACE, timeoutMs: 10_000 })).body).toContain('honest')
    expect(await conversation.close({ timeoutMs: 10_000 })).toEqual({ outcome: 'terminated', lost: [] })
  }

  test('believes nothing under a token that it does not know, or under none', async () => {
    const { here, conversation, token, url, heard, post } = await listening()
    const other = await intruding(here)
    const before = state(conversation)
    const words = (by: SecurityContextToken): readonly Written[] => [
      forge(by, { role: 'recipient', to: url, body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: conversation.status.sequence ?? '', ranges: [[1, 1]], final: true }] }),
      forge(by, { role: 'recipient', to: url, body: { kind: 'terminate-sequence', sequence: conversation.status.sequence ?? '' } }),
      forge(by, { role: 'recipient', to: url, body: { kind: 'application', shape: 'reply', content: { action: `${PLACE}Response`, messageId: id(), body: '<forged xmlns="urn:x"/>', headers: [] } }, sequence: { id: conversation.status.offered ?? '', number: 2 } }),
    ]
    for (const written of words(other.token)) expect(await post(written)).toMatchObject({ status: 500, text: expect.stringContaining('BadContextToken') })
    for (const { xml, action } of words(token)) {
      expect((await post({ xml: edit(xml, /<wsse:Security[\s\S]*?<\/wsse:Security>/, ''), action })).status).toBe(500)
      expect(await post({ xml: flip(xml, 'SignatureValue'), action })).toMatchObject({ status: 500 })
    }
    expect(state(conversation)).toBe(before)
    expect(heard).toContain('ERR_WSC_UNKNOWN')
    await honest(conversation)
  })

  test('one conversation hears nothing that came under the token of another', async () => {
    const { here, client, conversation, url, post } = await listening()
    const second = await client.connect(here.url, { ...as('intruder'), profile: addressed })
    await second.request(place('second'), { action: PLACE, timeoutMs: 10_000 })
    const other = await tokenOf(client, second)
    const before = state(conversation)
    const sequence = conversation.status.sequence ?? ''
    const unknown = await post(forge(other, { role: 'recipient', to: url, body: { kind: 'terminate-sequence', sequence: id() } }))
    const known = await post(forge(other, { role: 'recipient', to: url, body: { kind: 'terminate-sequence', sequence } }))
    expect([known.status, /wsrm:\w+Sequence/.exec(known.text)?.[0]]).toEqual([unknown.status, /wsrm:\w+Sequence/.exec(unknown.text)?.[0]])
    await post(forge(other, { role: 'recipient', to: url, body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence, ranges: [[1, 1]], final: true }] }))
    await post(forge(other, { role: 'recipient', to: url, body: { kind: 'application', shape: 'reply', content: { action: `${PLACE}Response`, messageId: id(), body: '<forged xmlns="urn:x"/>', headers: [] } }, sequence: { id: conversation.status.offered ?? '', number: 2 } }))
    expect(state(conversation)).toBe(before)
    await honest(conversation)
  })

  test('takes no message of its own that comes back, no copy, no sequence, and is no mailbox', async () => {
    const { here, conversation, token, url, heard, post } = await listening()
    const before = state(conversation)
    expect((await post(forge(token, { to: here.url, body: { kind: 'terminate-sequence', sequence: conversation.status.sequence ?? '' } }))).status).toBe(500)
    expect(heard).toContain('ERR_WSA_MIRRORED')
    const written = forge(token, { role: 'recipient', to: url, body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: conversation.status.sequence ?? '', ranges: [[1, 1]], final: false }] })
    expect(await post(written)).toEqual({ status: 202, text: '' })
    expect((await post(written)).status).toBe(500)
    expect(heard).toContain('ERR_WSS_REPLAY')
    expect(await post(forge(token, { role: 'recipient', to: url, body: { kind: 'create-sequence', acksTo: 'anonymous' }, replyTo: 'anonymous' }))).toMatchObject({ status: 500, text: expect.stringContaining('CreateSequenceRefused') })
    expect(await post(forge(token, { role: 'recipient', to: url, body: { kind: 'make-connection', address: url } }))).toEqual({ status: 202, text: '' })
    expect(state(conversation)).toBe(before)
    await honest(conversation)
  })

  test('what the service sent there, sent to the service, is no message for it', async () => {
    const { here, conversation, token, url } = await listening()
    const sequence = conversation.status.sequence ?? ''
    const mirrored = forge(token, { role: 'recipient', to: url, body: { kind: 'terminate-sequence', sequence } })
    expect(await send(here, mirrored)).toMatchObject({ status: 500, text: expect.stringContaining('UnknownSequence') })
    expect(codes(here)).toContain('ERR_WSA_MIRRORED')
    expect((await all(here)).find((each) => each.sequence === sequence)?.state).toBe('open')
    await honest(conversation)
  })

  test('tells its owner, and nobody else, what goes wrong in there', async () => {
    class Failing extends MemoryStore {
      isBroken = false
      override async *scan(...asked: Parameters<MemoryStore['scan']>): AsyncGenerator<Row, void, undefined> {
        if (this.isBroken) throw new Error('the disk is gone')
        yield* super.scan(...asked)
      }
    }
    const store = new Failing()
    const keyring = Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')
    const here = await start({ addresses: () => true, dangerPrivateAddresses: true })
    const conversation = await here.client({ ...QUICK, store: store as never, keyring, listen: { port: 0, path: '/replies' } }).connect(here.url, { ...as('client'), profile: addressed })
    await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })
    const heard: string[] = []
    conversation.on('error', ({ error }) => void heard.push(error.message))
    const { token } = await intruding(here)
    const { xml, action } = forge(token, { to: addressOf(conversation), body: application(place('x')) })
    store.isBroken = true
    const answer = await fetch(addressOf(conversation), { method: 'POST', headers: soapHeaders('1.2', action), body: xml })
    expect([answer.status, await answer.text()]).toEqual([500, ''])
    expect(heard).toEqual(['the disk is gone'])
    store.isBroken = false
    await conversation.close({ timeoutMs: 5_000 })
  })

  test('is not opened any more by a connect that its client did not wait for', async () => {
    const here = await start({ addresses: () => true, dangerPrivateAddresses: true })
    // A port that nobody has: whoever listens there is found.
    const free = createServer()
    await new Promise<void>((resolve) => { free.listen(0, '127.0.0.1', resolve) })
    const { port } = free.address() as AddressInfo
    await new Promise<void>((resolve) => { free.close(() => resolve()) })
    const client = here.client({ ...QUICK, listen: { port, path: '/replies' } })
    const { promise: judged, resolve: judge } = Promise.withResolvers<boolean>()
    let asked = 0
    const connecting = client.connect(here.url, { ...as('client'), trust: { verify: () => (++asked === 1 ? true : judged) }, profile: addressed })
    await vi.waitFor(() => expect(asked).toBe(2), 5_000)
    await client[Symbol.asyncDispose]()
    judge(true)
    await expect(connecting).rejects.toThrow(UsageError)
    await expect(fetch(`http://127.0.0.1:${port}/replies`)).rejects.toThrow()
  })

  test('takes SOAP alone', async () => {
    const { url } = await listening()
    expect((await fetch(url, { method: 'POST', headers: { 'content-type': 'text/html' }, body: '<html/>' })).status).toBe(415)
    expect((await fetch(url, { method: 'POST', headers: soapHeaders('1.2', 'urn:a'), body: '<not' })).status).toBe(400)
    expect((await fetch(url)).status).toBe(405)
    expect((await fetch(new URL('/elsewhere', url), { method: 'POST' })).status).toBe(404)
  })
})

describe('a service that is told where to connect to', () => {
  /** Somebody who would hear of it. */
  type Said = { readonly status: number; readonly headers?: Record<string, string> } | 'nothing'
  async function bystander(): Promise<{ readonly url: string; readonly server: Server; requests: number; answer: () => Said }> {
    const made = { url: '', server: createServer(), requests: 0, answer: (): Said => ({ status: 202 }) }
    made.server.on('request', (request, response) => {
      made.requests++
      request.resume()
      const said = made.answer()
      if (said !== 'nothing') response.writeHead(said.status, said.headers).end()
    })
    await new Promise<void>((resolve) => { made.server.listen(0, '127.0.0.1', resolve) })
    cleanup.push(() => new Promise<void>((resolve) => {
      made.server.close(() => resolve())
      made.server.closeAllConnections()
    }))
    made.url = `http://127.0.0.1:${(made.server.address() as AddressInfo).port}/acks`
    return made
  }
  const create = (address: string): OutboundBody => ({ kind: 'create-sequence', acksTo: address, offer: { sequence: id() } })

  test('connects nowhere by default, and says so', async () => {
    const here = await start()
    const there = await bystander()
    const { token, conversation } = await intruding(here)
    for (const address of [there.url, 'http://169.254.169.254/', 'file:///etc/passwd']) {
      expect(await send(here, forge(token, { to: here.url, body: create(address), replyTo: address }))).toMatchObject({ status: 500, text: expect.stringContaining('CreateSequenceRefused') })
    }
    const { sequence = '' } = conversation.status
    const asked = await send(here, forge(token, { to: here.url, body: application(place('x')), sequence: { id: sequence, number: 2 }, replyTo: there.url }))
    expect(asked).toMatchObject({ status: 500, text: expect.stringContaining('OnlyAnonymousAddressSupported') })
    expect(there.requests).toBe(0)
  })

  test('connects only where it is allowed, and never to what a later message says', async () => {
    const [there, elsewhere] = [await bystander(), await bystander()]
    const asked: unknown[] = []
    const here = await start({
      addresses: (url, principal) => {
        asked.push(principal.kind)
        return url.href === there.url
      },
      dangerPrivateAddresses: true,
    })
    const { token } = await intruding(here)
    const refused = async (body: OutboundBody, replyTo: string): Promise<void> =>
      expect(await send(here, forge(token, { to: here.url, body, replyTo }))).toMatchObject({ status: 500, text: expect.stringContaining('CreateSequenceRefused') })
    await refused(create(elsewhere.url), elsewhere.url)
    await refused(create(there.url), elsewhere.url)
    await refused(create(`${there.url}?`), `${there.url}?`)
    expect(asked).toContain('certificate')
    expect(await send(here, forge(token, { to: here.url, body: create(there.url), replyTo: there.url }))).toEqual({ status: 202, text: '' })
    await vi.waitFor(() => expect(there.requests).toBe(1), 5_000)
    const sequence = (await all(here)).find((each) => each.endpoint !== undefined)?.sequence ?? ''
    const other = await send(here, forge(token, { to: here.url, body: application(place('x')), sequence: { id: sequence, number: 1 }, replyTo: elsewhere.url }))
    expect(other).toMatchObject({ status: 500, text: expect.stringContaining('OnlyAnonymousAddressSupported') })
    expect(elsewhere.requests).toBe(0)
  })

  test('protects what it sends there as the sequence is protected, whatever else it knows', async () => {
    const here = await start({ addresses: () => true, dangerPrivateAddresses: true, profile: [{ ...DEFAULT_PROFILE, protection: 'transport' }, DEFAULT_PROFILE] })
    const conversation = await here.client({ ...QUICK, listen: { port: 0, path: '/replies' } }).connect(here.url, { ...as('client'), profile: addressed })
    expect((await conversation.request(place('tea'), { action: PLACE, timeoutMs: 5_000 })).body).toContain('tea')
    await conversation.close({ timeoutMs: 5_000 })
    for (const { body } of here.wire) expect(Buffer.from(body).toString()).not.toContain('>tea<')
  })

  test('says to an address without TLS what the token protects, whomever it trusts under TLS', async () => {
    const here = await start({ addresses: () => true, dangerPrivateAddresses: true, addressTrust: { pins: ['00'.repeat(32)] } })
    const conversation = await here.client({ ...QUICK, listen: { port: 0, path: '/replies' } }).connect(here.url, { ...as('client'), profile: addressed })
    expect((await conversation.request(place('tea'), { action: PLACE, timeoutMs: 5_000 })).body).toContain('tea')
    expect(await conversation.close({ timeoutMs: 5_000 })).toEqual({ outcome: 'terminated', lost: [] })
    expect(codes(here)).toEqual([])
    for (const { body } of here.wire) expect(Buffer.from(body).toString()).not.toContain('>tea<')
  })

  test('tells its owner why it does not connect', async () => {
    const there = await bystander()
    let answer: () => boolean = () => true
    const here = await start({ addresses: () => answer(), dangerPrivateAddresses: true })
    const { token } = await intruding(here)
    const asks = async (): Promise<void> => void await send(here, forge(token, { to: here.url, body: create(there.url), replyTo: there.url }))
    let times = 0
    answer = () => {
      if (++times > 1) throw new Error('no list today')
      return true
    }
    await asks()
    await vi.waitFor(() => expect(codes(here)).toContain('no list today'), 5_000)
    times = 0
    answer = () => ++times === 1
    await asks()
    await vi.waitFor(() => expect(codes(here)).toContain('ERR_ADDRESS_REFUSED'), 5_000)
    expect(there.requests).toBe(0)
  })

  /** What was handed over to be sent there, whether it has a connection or waits for one. */
  const sentTo = (here: World, url: string): number => here.wire.filter(({ direction, http }) => direction === 'request' && http.path === new URL(url).pathname).length
  test('sends an answer there once, however many copies of its question come while it is under way', async () => {
    const there = await bystander()
    there.answer = () => 'nothing'
    const here = await start({ addresses: () => true, dangerPrivateAddresses: true, profile: { ...DEFAULT_PROFILE, lifecycleCopies: 'answer' }, timing: { retransmitMs: 60_000, ackDelayMs: 60_000 } })
    const { token } = await intruding(here)
    const copied = async (body: OutboundBody, copies: number): Promise<void> => {
      const written = forge(token, { to: here.url, body, replyTo: there.url })
      for (let copy = 0; copy < copies; copy++) expect(await send(here, written)).toEqual({ status: 202, text: '' })
    }
    await copied(create(there.url), 200)
    const sequence = (await all(here)).find((each) => each.endpoint !== undefined)?.sequence ?? ''
    for (const kind of ['close-sequence', 'terminate-sequence'] as const) await copied({ kind, sequence }, 50)
    // One for each question, and each has its connection.
    await vi.waitFor(() => expect(there.requests).toBe(3), 5_000)
    expect(sentTo(here, there.url)).toBe(3)
    // Numbered messages are taken as often as they come, under any profile, and have one fault for all.
    const message = forge(token, { to: here.url, body: application(place('late')), sequence: { id: sequence, number: 1 }, replyTo: there.url })
    for (let copy = 0; copy < 50; copy++) expect(await send(here, message)).toEqual({ status: 202, text: '' })
    await vi.waitFor(() => expect(there.requests).toBe(4), 5_000)
    expect(sentTo(here, there.url)).toBe(4)
    expect(here.handled).toHaveLength(1)
  }, 20_000)

  test('sends a reply there no faster than by itself, however many copies of its request come, also where no sequence was offered for it', async () => {
    for (const offer of [{ sequence: id() }, undefined]) {
      const there = await bystander()
      there.answer = () => 'nothing'
      const here = await start({ addresses: () => true, dangerPrivateAddresses: true, timing: { retransmitMs: 60_000, ackDelayMs: 60_000 } })
      const { token } = await intruding(here)
      await send(here, forge(token, { to: here.url, body: { kind: 'create-sequence', acksTo: there.url, ...(offer !== undefined && { offer }) }, replyTo: there.url }))
      const sequence = (await all(here)).find((each) => each.endpoint !== undefined)?.sequence ?? ''
      const message = forge(token, { to: here.url, body: application(place('one')), sequence: { id: sequence, number: 1 }, replyTo: there.url })
      for (let copy = 0; copy < 100; copy++) expect(await send(here, message)).toEqual({ status: 202, text: '' })
      await vi.waitFor(() => expect(there.requests).toBe(2), 5_000)
      expect(sentTo(here, there.url)).toBe(2)
    }
  }, 20_000)

  test('follows no redirect', async () => {
    const [there, elsewhere] = [await bystander(), await bystander()]
    there.answer = () => ({ status: 307, headers: { location: elsewhere.url } })
    const here = await start({ addresses: [new URL(there.url).origin] })
    const { token } = await intruding(here)
    await send(here, forge(token, { to: here.url, body: create(there.url), replyTo: there.url }))
    await vi.waitFor(() => expect(there.requests).toBe(1), 5_000)
    expect(elsewhere.requests).toBe(0)
  })
})
