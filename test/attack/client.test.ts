/**
 * A client under attack by whoever stands between it and its service: what is not proven ends no conversation, resolves no request, makes
 * no token, and weakens nothing that is sent after it.
 */
import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { type Client, type ClientOptions, type Conversation, type ConnectOptions, Keyring, MemoryStore, type SecurityContextToken } from '../../src/index.ts'
import { readCertificate, readPrivateKey } from '../../src/crypto/certificate.ts'
import { FAULTS, type FaultName } from '../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { DEFAULT_PROFILE } from '../../src/profiles/profile.ts'
import type { TokenRequest, TokenResponse } from '../../src/sct/token.ts'
import { trustAction, readTokenRequest } from '../../src/soap/trust.ts'
import { SC13 } from '../../src/spec/versions.ts'
import { bootstrapPolicy, encodeRefusal } from '../../src/wire.ts'
import { open as openEnvelope, read } from '../../src/wss/open.ts'
import { certificate, commonName } from '../unit/crypto/certificates.ts'
import { as, pem, PLACE, place, SERVICE, world, type World } from '../flow/world.ts'
import { edit, entropy, expectHonest, forge, type Identity, id, identity, newKey, rows, rstr, tokenOf, versions } from './forge.ts'
import { expectAllProtected, type Given, type Meddle, type Middle, middleOf, type Seen, SOAP } from './middle.ts'

interface Field { readonly here: World; readonly middle: Middle; readonly client: Client; readonly store: MemoryStore }
const fields: Field[] = []
async function field(options: ClientOptions = {}, service: Parameters<typeof world>[0] = {}): Promise<Field> {
  const here = await world(service)
  const middle = await middleOf(here)
  const store = new MemoryStore()
  const made = { here, middle, client: here.client({ store, keyring: Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k'), retransmitAfterMs: 30, ...options }), store }
  fields.push(made)
  return made
}
afterEach(async () => {
  for (const { here, middle } of fields.splice(0)) {
    await here[Symbol.asyncDispose]()
    await middle[Symbol.asyncDispose]()
  }
})
const soap = (body: string, status = 200): Given => ({ status, headers: SOAP, body })
const refusal = (name: FaultName, relatesTo?: string): Given => soap(encodeRefusal(FAULTS[name], versions, relatesTo).xml, 500)
const isMessage = (seen: Seen): boolean => seen.action === PLACE
const naked = (xml: string): string => edit(xml, /<wsse:Security[\s\S]*?<\/wsse:Security>/, '')
const messageIdOf = (seen: Seen): string => /MessageID[^>]*>([^<]+)</.exec(seen.text)?.[1] ?? ''

describe('answers to a request', () => {
  interface Made { readonly seen: Seen; readonly honest: () => Promise<Given>; readonly token: SecurityContextToken; readonly foreign: SecurityContextToken; readonly conversation: Conversation; readonly middle: Middle; readonly response: Parameters<Meddle>[2] }
  const unprotected: readonly FaultName[] = [
    'unknownSequence', 'sequenceTerminated', 'sequenceClosed', 'createSequenceRefused', 'messageNumberRollover', 'invalidAcknowledgement', 'wsrmRequired', 'badContextToken', 'invalidSecurity', 'failedCheck', 'messageExpired', 'renewNeeded',
  ]
  const reply = (made: Made, by: SecurityContextToken, words: Partial<Parameters<typeof forge>[1]> = {}): string => forge(by, {
    body: { kind: 'application', shape: 'reply', content: { action: `${PLACE}Response`, messageId: id(), body: '<planted xmlns="urn:example:orders"/>', headers: [] } },
    relatesTo: messageIdOf(made.seen), role: 'recipient', ...words,
  }).xml
  const BAD: readonly { readonly name: string; readonly answer: (made: Made) => Promise<Given | undefined> }[] = [
    ...unprotected.map((name) => ({ name: `an unprotected fault ${name}`, answer: (made: Made) => Promise.resolve(refusal(name, messageIdOf(made.seen))) })),
    { name: 'an unprotected reply', answer: async (made) => soap(edit(naked(reply(made, made.token)), /(<s:Body[^>]*>)[\s\S]*<\/s:Body>/, '$1<planted xmlns="urn:example:orders"/></s:Body>')) },
    { name: 'the service’s own answer without its protection', answer: async ({ honest }) => soap(naked(String((await honest()).body))) },
    { name: 'the service’s own answer, changed', answer: async ({ honest }) => soap(edit(Buffer.from((await honest()).body as Uint8Array).toString(), /(SequenceAcknowledgement><wsrm:Identifier|wsrm:Upper="|wsrm:MessageNumber>)/, '$1 ')) },
    { name: 'a final acknowledgement without protection', answer: async ({ token, conversation }) => soap(naked(forge(token, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: conversation.status.sequence ?? '', ranges: [[1, 9]], final: true }], role: 'recipient' }).xml)) },
    { name: 'a TerminateSequence without protection', answer: async ({ token, conversation }) => soap(naked(forge(token, { body: { kind: 'terminate-sequence', sequence: conversation.status.sequence ?? '' }, role: 'recipient' }).xml)) },
    { name: 'a reply under another token of the same client', answer: async (made) => soap(reply(made, made.foreign, { sequence: { id: made.conversation.status.offered ?? '', number: 2 } })) },
    { name: 'a fault under another token of the same client', answer: async ({ foreign, conversation }) => soap(forge(foreign, { body: { kind: 'fault', fault: FAULTS.sequenceTerminated, sequence: conversation.status.sequence ?? '' }, role: 'recipient' }).xml, 500) },
    { name: 'a TerminateSequence under another token of the same client', answer: async ({ foreign, conversation }) => soap(forge(foreign, { body: { kind: 'terminate-sequence', sequence: conversation.status.sequence ?? '' }, role: 'recipient' }).xml) },
    { name: 'a final acknowledgement under another token of the same client', answer: async ({ foreign, conversation }) => soap(forge(foreign, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: conversation.status.sequence ?? '', ranges: [[1, 2]], final: true }], role: 'recipient' }).xml) },
    { name: 'a reply under a token that nobody knows', answer: async (made) => soap(reply(made, { ...made.foreign, id: id() as SecurityContextToken['id'] })) },
    { name: 'a reply to another request', answer: async (made) => soap(reply(made, made.token, { relatesTo: id() })) },
    { name: 'the reply to the request before', answer: async ({ middle }) => soap(middle.answers.findLast((each) => isMessage(each.seen))?.body ?? '') },
    { name: 'the request itself, sent back', answer: async ({ seen }) => soap(seen.text) },
    { name: 'the CreateSequenceResponse once more', answer: async ({ middle }) => soap(middle.answers.find((each) => each.seen.action.endsWith('/CreateSequence'))?.body ?? '') },
    { name: 'a stale reply', answer: async (made) => soap(reply(made, made.token, { now: Date.now() - 400_000 })) },
    { name: 'HTTP 500 with HTML', answer: async () => ({ status: 500, headers: { 'content-type': 'text/html' }, body: '<html><body>oops</body></html>' }) },
    { name: 'HTTP 200 with HTML', answer: async () => ({ status: 200, headers: { 'content-type': 'text/html' }, body: '<html/>' }) },
    { name: 'a redirect', answer: async ({ middle }) => ({ status: 302, headers: { location: `${middle.url}/elsewhere` } }) },
    { name: '401', answer: async () => ({ status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }) },
    { name: '202', answer: async () => ({ status: 202, headers: {} }) },
    { name: '200 without a body', answer: async () => ({ status: 200, headers: SOAP }) },
    { name: 'no XML', answer: async () => soap('{"planted":true}') },
    { name: 'a DOCTYPE', answer: async () => soap('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>') },
    { name: 'a compressed answer', answer: async () => ({ status: 200, headers: { ...SOAP, 'content-encoding': 'gzip' }, body: gzipSync('<a/>') }) },
    { name: 'an endless body', answer: async ({ response }) => {
      response.writeHead(200, SOAP)
      const chunk = Buffer.alloc(65_536, 0x20)
      const more = (): void => { while (!response.destroyed && response.write(chunk)); if (!response.destroyed) response.once('drain', more) }
      more()
      return undefined
    } },
    { name: 'a connection that breaks', answer: async ({ response }) => void response.destroy() },
    { name: 'half an answer', answer: async ({ response, honest }) => {
      const { body } = await honest()
      response.writeHead(200, { ...SOAP, 'content-length': '100000' })
      response.write(Buffer.from(body as Uint8Array).subarray(0, 200))
      setTimeout(() => response.destroy(), 5)
      return undefined
    } },
  ]

  test.each(BAD)('$name: nothing is believed, and the request is answered when the answer comes', async ({ answer }) => {
    const { here, middle, client, store } = await field()
    // What a conversation that goes on by itself does with the first of these is shown in flow/lost-context.
    const conversation = await client.connect(middle.url, { ...as('client'), onContextLost: 'report' })
    await conversation.request(place('first'), { action: PLACE })
    const other = await client.connect(here.url, as('intruder'))
    const [token, foreign] = [await tokenOf(client, conversation), await tokenOf(client, other)]
    expect(token.id).not.toBe(foreign.id)
    const before = conversation.status
    middle.meddle = (seen, honest, response) => (isMessage(seen) ? answer({ seen, honest, token, foreign, conversation, middle, response }) : honest())
    const failure = await conversation.request(place('second'), { action: PLACE, key: 'second', timeoutMs: 250 }).then((got) => got.body, (error: unknown) => error)
    expect(failure).toMatchObject({ code: expect.stringMatching(/^ERR_(TIMEOUT|PEER_REFUSES)$/) as string })
    expect(conversation.status).toMatchObject({ state: 'open', sequence: before.sequence, offered: before.offered, acknowledged: before.acknowledged, accepted: before.accepted })
    expect((await rows(store)).length).toBeGreaterThan(0)
    middle.meddle = undefined
    expect((await conversation.reply('second', { timeoutMs: 10_000 })).body).toContain('second')
    await expectHonest(here, conversation, 'third')
    expect(here.handled.filter((message) => message.body.includes('second'))).toHaveLength(1)
    expectAllProtected(here, middle.requests)
    expect(await conversation.close({ timeoutMs: 10_000 })).toEqual({ outcome: 'terminated', lost: [] })
  })

  test('the very first request, sent back, does not become the first reply', async () => {
    const { here, middle, client } = await field()
    const conversation = await client.connect(middle.url, as('client'))
    let times = 0
    middle.meddle = (seen, honest) => (isMessage(seen) && ++times <= 2 ? Promise.resolve(soap(seen.text)) : honest())
    expect((await conversation.request(place('first'), { action: PLACE, timeoutMs: 10_000 })).body).toContain('first')
    expect(conversation.status.offered).not.toBe(conversation.status.sequence)
    await expectHonest(here, conversation, 'second')
    expectAllProtected(here, middle.requests)
    expect(await conversation.close({ timeoutMs: 10_000 })).toEqual({ outcome: 'terminated', lost: [] })
  })

  test('a peer that holds the request and never gives its reply ends the wait with ReplyLost', async () => {
    const { here, middle, client } = await field()
    const conversation = await client.connect(middle.url, as('client'))
    await conversation.request(place('first'), { action: PLACE })
    const token = await tokenOf(client, conversation)
    middle.meddle = async (seen, honest) => (isMessage(seen)
      ? soap(forge(token, { body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: conversation.status.sequence ?? '', ranges: [[1, 2]], final: false }], relatesTo: messageIdOf(seen), role: 'recipient' }).xml)
      : honest())
    await expect(conversation.request(place('second'), { action: PLACE, timeoutMs: 30_000 })).rejects.toMatchObject({ code: 'ERR_RM_REPLY_LOST', numbers: [2] })
    expect(middle.requests.filter(isMessage).length).toBeLessThan(10)
    expectAllProtected(here, middle.requests)
    middle.meddle = undefined
    // The number was taken by no handler: the sequence has a gap that only this peer made.
    expect(await conversation.close({ timeoutMs: 10_000 })).toMatchObject({ lost: [2] })
  })
})

describe('what opens and ends a sequence', () => {
  test('the CreateSequenceResponses of two conversations under one token, exchanged, make neither speak on the other’s sequence', async () => {
    const { here, middle, client } = await field()
    const waiting: { readonly honest: () => Promise<Given>; readonly settle: (given: Given) => void }[] = []
    middle.meddle = (seen, honest) => {
      if (!seen.action.endsWith('/CreateSequence') || middle.requests.filter((each) => each.action.endsWith('/CreateSequence')).length > 2) return honest()
      return new Promise((settle) => {
        waiting.push({ honest, settle })
        const [a, b] = waiting
        if (a === undefined || b === undefined) return
        void Promise.all([a.honest(), b.honest()]).then(([first, second]) => { a.settle(second); b.settle(first) })
      })
    }
    const conversations = await Promise.all([client.connect(middle.url, as('client')), client.connect(middle.url, as('client'))])
    expect(conversations[0]?.tokenId).toBe(conversations[1]?.tokenId)
    const replies = await Promise.all(conversations.map((each, index) => each.request(place(`of ${index}`), { action: PLACE, timeoutMs: 20_000 })))
    expect(replies.map((each) => each.body)).toEqual([expect.stringContaining('of 0'), expect.stringContaining('of 1')])
    expect(new Set(conversations.map((each) => each.status.sequence)).size).toBe(2)
    expect(here.handled).toHaveLength(2)
    expectAllProtected(here, middle.requests)
  })
  test.each<[string, (seen: Seen, token: SecurityContextToken) => Given]>([
    ['an unprotected CreateSequenceResponse', (seen, token) => soap(naked(forge(token, { body: { kind: 'create-sequence-response', sequence: 'urn:planted' }, relatesTo: messageIdOf(seen), role: 'recipient' }).xml))],
    ['an unprotected CreateSequenceRefused', (seen) => refusal('createSequenceRefused', messageIdOf(seen))],
    ['a CreateSequenceResponse to another request', (_, token) => soap(forge(token, { body: { kind: 'create-sequence-response', sequence: 'urn:planted' }, relatesTo: id(), role: 'recipient' }).xml)],
    ['the CreateSequence itself, sent back', (seen) => soap(seen.text)],
    ['HTTP 500 with HTML', () => ({ status: 500, headers: { 'content-type': 'text/html' }, body: '<html/>' })],
    ['202', () => ({ status: 202, headers: {} })],
  ])('%s opens nothing and refuses nothing', async (_, answer) => {
    const { here, middle, client } = await field()
    let times = 0
    const token = async (): Promise<SecurityContextToken> => {
      const [secret] = here.secrets
      const found = secret === undefined ? undefined : await client.tokens.get(secret.identifier as SecurityContextToken['id'])
      if (found === undefined) throw new Error('a token')
      return found
    }
    middle.meddle = async (seen, honest) => (seen.action.endsWith('/CreateSequence') && ++times <= 2 ? answer(seen, await token()) : honest())
    const conversation = await client.connect(middle.url, as('client'))
    // A hint may end a call; the message stays, and is answered.
    const again = (): ReturnType<typeof conversation.reply> => conversation.reply('one', { timeoutMs: 20_000 })
    const waited = await conversation.request(place('in the end'), { action: PLACE, key: 'one', timeoutMs: 20_000 }).catch(again).catch(again)
    expect(waited.body).toContain('in the end')
    expect(conversation.status.sequence).toMatch(/^urn:uuid:/)
    expectAllProtected(here, middle.requests)
  })
  test.each(['CloseSequence', 'TerminateSequence'])('%s, sent back to where it came from, is no answer to it', async (which) => {
    const { here, middle, client } = await field()
    const conversation = await client.connect(middle.url, as('client'))
    await conversation.request(place('first'), { action: PLACE })
    let times = 0
    middle.meddle = (seen, honest) => (seen.action.endsWith(`/${which}`) && ++times <= 2 ? Promise.resolve(soap(seen.text)) : honest())
    expect(await conversation.close({ timeoutMs: 10_000 })).toEqual({ outcome: 'terminated', lost: [] })
    expect(times).toBe(3)
    for await (const each of here.service.sequences()) expect(each.state).toBe('ended')
    expectAllProtected(here, middle.requests)
  })
  test('an unprotected UnknownSequence to our own Terminate is believed, and to nothing else', async () => {
    const { here, middle, client } = await field()
    const conversation = await client.connect(middle.url, as('client'))
    await conversation.request(place('first'), { action: PLACE })
    middle.meddle = (seen, honest) => (seen.action.endsWith('/TerminateSequence') ? Promise.resolve(refusal('unknownSequence', messageIdOf(seen))) : honest())
    expect(await conversation.close({ timeoutMs: 10_000 })).toEqual({ outcome: 'terminated', lost: [] })
    expectAllProtected(here, middle.requests)
  })
})

describe('answers to the request for a token', () => {
  const untrusted = (): Identity => {
    const key = newKey()
    return { certificate: readCertificate(certificate({ subject: commonName('service'), key, from: Date.now() - 1_000, to: Date.now() + 1_000_000 })), key }
  }
  /** What only the service can read of a request. */
  const asked = (seen: Seen): TokenRequest => {
    const opened = openEnvelope(read(seen.body, DEFAULT_LIMITS), { contexts: () => [], certificates: ['client.pem', 'service.pem'].map((name) => readCertificate(pem(name))), privateKeys: [readPrivateKey(SERVICE.key)], encryptedKey: () => undefined }, bootstrapPolicy({ profile: DEFAULT_PROFILE, limits: DEFAULT_LIMITS, isUnderTls: false }), Date.now())
    const [element] = opened.envelope.body.elements()
    if (element === undefined) throw new Error('a request')
    return readTokenRequest(element)
  }
  const response = (words: Partial<TokenResponse> = {}): TokenResponse => ({
    kind: 'issue', sc: SC13, token: { identifier: id() }, proof: { kind: 'given', secret: entropy() }, keySizeBits: 256, lifetime: { created: Date.now(), expires: Date.now() + 3_600_000 }, ...words,
  })
  const SERVICE_IDENTITY = identity('service')
  interface Bad { readonly name: string; readonly answer: (seen: Seen, honest: () => Promise<Given>, middle: Middle) => Promise<Given>; readonly options?: Partial<ConnectOptions> }
  const BAD: readonly Bad[] = [
    { name: 'signed by a certificate that nobody vouches for', answer: async (seen) => soap(rstr({ by: untrusted(), response: response(), relatesTo: messageIdOf(seen) }).xml) },
    { name: 'signed by another certificate of the same authority', answer: async (seen) => soap(rstr({ by: identity('intruder'), response: response(), relatesTo: messageIdOf(seen) }).xml) },
    { name: 'signed by the client itself', answer: async (seen) => soap(rstr({ by: identity('client'), response: response(), relatesTo: messageIdOf(seen) }).xml) },
    { name: 'signed by another certificate than the one that is pinned', answer: async (seen) => soap(rstr({ by: identity('intruder'), response: response(), relatesTo: messageIdOf(seen) }).xml), options: { trust: { pins: [SERVICE_IDENTITY.certificate.sha256] } } },
    { name: 'for another request', answer: async () => soap(rstr({ by: SERVICE_IDENTITY, response: response(), relatesTo: id() }).xml) },
    { name: 'with another action', answer: async (seen) => soap(rstr({ by: SERVICE_IDENTITY, response: response(), relatesTo: messageIdOf(seen), action: trustAction(SC13, 'renew', 'response') }).xml) },
    { name: 'with our own entropy, reflected', answer: async (seen) => soap(rstr({ by: SERVICE_IDENTITY, response: response({ proof: { kind: 'computed', entropy: asked(seen).entropy ?? entropy() } }), relatesTo: messageIdOf(seen) }).xml) },
    { name: 'with a key too small', answer: async (seen) => soap(rstr({ by: SERVICE_IDENTITY, response: response({ keySizeBits: 128, proof: { kind: 'given', secret: entropy(16) } }), relatesTo: messageIdOf(seen) }).xml) },
    { name: 'with a key smaller than it says', answer: async (seen) => soap(rstr({ by: SERVICE_IDENTITY, response: response({ proof: { kind: 'given', secret: entropy(16) } }), relatesTo: messageIdOf(seen) }).xml) },
    { name: 'that has expired', answer: async (seen) => soap(rstr({ by: SERVICE_IDENTITY, response: response({ lifetime: { created: Date.now() - 7_200_000, expires: Date.now() - 3_600_000 } }), relatesTo: messageIdOf(seen) }).xml) },
    { name: 'with its Body in clear', answer: async (seen) => soap(rstr({ by: SERVICE_IDENTITY, response: response(), relatesTo: messageIdOf(seen), clear: true }).xml) },
    { name: 'encrypted for somebody else', answer: async (seen) => soap(rstr({ by: SERVICE_IDENTITY, to: identity('intruder').certificate, response: response(), relatesTo: messageIdOf(seen) }).xml) },
    { name: 'without protection', answer: async (seen) => soap(naked(rstr({ by: SERVICE_IDENTITY, response: response(), relatesTo: messageIdOf(seen), clear: true }).xml)) },
    { name: 'an unprotected fault', answer: async (seen) => refusal('failedAuthentication', messageIdOf(seen)) },
    { name: 'the request itself', answer: async (seen) => soap(seen.text) },
    { name: 'HTTP 500 with HTML', answer: async () => ({ status: 500, headers: { 'content-type': 'text/html' }, body: '<html/>' }) },
    { name: 'a redirect', answer: async (_, __, middle) => ({ status: 307, headers: { location: middle.url } }) },
    { name: '202', answer: async () => ({ status: 202, headers: {} }) },
    { name: 'no XML', answer: async () => soap('nonsense') },
  ]
  test.each(BAD)('$name: no token, nothing sent but the request', async ({ answer, options = {} }) => {
    const { here, middle, client, store } = await field()
    middle.meddle = (seen, honest) => answer(seen, honest, middle)
    await expect(client.connect(middle.url, { ...as('client'), ...options, timeoutMs: 10_000 })).rejects.toMatchObject({ name: 'BootstrapFailed' })
    expect(middle.requests.map((each) => each.action)).toEqual([trustAction(SC13, 'issue', 'request')])
    expect(await rows(store)).toEqual([])
    middle.meddle = undefined
    const conversation = await client.connect(middle.url, { ...as('client'), ...options })
    await expectHonest(here, conversation, 'honest')
    expectAllProtected(here, middle.requests)
  })
  test('the answer to an earlier request, once more', async () => {
    const { here, middle, client } = await field()
    const first = await client.connect(middle.url, as('client'))
    await first.close()
    const old = middle.answers.find((each) => each.seen.action === trustAction(SC13, 'issue', 'request'))?.body ?? ''
    middle.meddle = () => Promise.resolve(soap(old))
    await expect(client.connect(middle.url, as('client'))).rejects.toMatchObject({ name: 'BootstrapFailed' })
    middle.meddle = undefined
    await expectHonest(here, await client.connect(middle.url, as('client')), 'honest')
  })
  test('a service whose signing certificate is another than its encryption certificate is trusted when it is pinned', async () => {
    const { middle, client } = await field()
    middle.meddle = (seen, honest) => (seen.action === trustAction(SC13, 'issue', 'request') ? Promise.resolve(soap(rstr({ by: identity('intruder'), response: response(), relatesTo: messageIdOf(seen) }).xml)) : honest())
    const conversation = await client.connect(middle.url, { ...as('client'), trust: { pins: [identity('intruder').certificate.sha256] } })
    expect(conversation.tokenId).toMatch(/^urn:uuid:/)
    await expect(client.connect(middle.url, as('client'))).rejects.toMatchObject({ code: 'ERR_WSS_UNTRUSTED' })
  })
  test('a token that is there already is no way around the trust of the next call', async () => {
    const { here, middle, client } = await field()
    const first = await client.connect(middle.url, as('client'))
    const pins = ['00'.repeat(32)]
    await expect(client.connect(middle.url, { ...as('client'), trust: { pins } })).rejects.toMatchObject({ code: 'ERR_WSS_UNTRUSTED' })
    await expect(client.connect(middle.url, { ...as('client'), trust: { verify: () => false } })).rejects.toMatchObject({ code: 'ERR_WSS_UNTRUSTED' })
    await expect(client.connect(middle.url, { ...as('client'), trust: { authorities: [pem('client.pem')] } })).rejects.toMatchObject({ code: 'ERR_WSS_UNTRUSTED' })
    expect((await client.connect(middle.url, { ...as('client'), trust: { pins: [SERVICE_IDENTITY.certificate.sha1] } })).tokenId).toBe(first.tokenId)
    await first.request(place('first'), { action: PLACE })
    await (await client.connect(middle.url, { ...as('client'), name: 'kept' })).detach()
    await expect(client.connect(middle.url, { ...as('client'), name: 'kept', trust: { pins } })).rejects.toMatchObject({ code: 'ERR_WSS_UNTRUSTED' })
    await expectHonest(here, await client.connect(middle.url, { ...as('client'), name: 'kept' }), 'kept')
  })
  test('a conversation that begins while another one ends has a token that lives', async () => {
    const { here, middle, client } = await field()
    let before = await client.connect(middle.url, as('client'))
    for (let round = 0; round < 25; round++) {
      await before.request(place(`before ${round}`), { action: PLACE, timeoutMs: 10_000 })
      const closing = before.close()
      for (let turn = 0; turn < round * 4; turn++) await new Promise<void>((resolve) => { setImmediate(resolve) })
      before = await client.connect(middle.url, as('client'))
      await expectHonest(here, before, `after ${round}`)
      expect(await closing).toEqual({ outcome: 'terminated', lost: [] })
    }
  })
  test('a message with an action that no header can hold is sent all the same', async () => {
    const { here, middle, client } = await field()
    const conversation = await client.connect(middle.url, as('client'))
    expect((await conversation.request(place('ä'), { action: 'urn:größe/中', timeoutMs: 5_000 })).body).toContain('ä')
    expect(here.handled.map((message) => message.action)).toEqual(['urn:größe/中'])
  })
})

describe('many requests under one token', () => {
  test('application messages never travel unprotected, whatever is answered to them', async () => {
    const { here, middle, client } = await field()
    const conversation = await client.connect(middle.url, as('client'))
    let n = 0
    const nonsense: readonly (() => Given)[] = [() => refusal('badContextToken'), () => ({ status: 202, headers: {} }), () => ({ status: 500, headers: { 'content-type': 'text/html' }, body: 'x' }), () => soap('<a/>')]
    middle.meddle = (seen, honest) => (isMessage(seen) && ++n % 3 !== 0 ? Promise.resolve((nonsense[n % nonsense.length] ?? (() => soap('')))()) : honest())
    const all = await Promise.all(Array.from({ length: 10 }, (_, index) => conversation.send(place(index), { action: PLACE })))
    await conversation.drained({ timeoutMs: 20_000 }).catch(() => conversation.drained({ timeoutMs: 20_000 }))
    expect(all.map((each) => each.number)).toEqual(Array.from({ length: 10 }, (_, index) => index + 1))
    expect(here.handled.map((message) => message.number)).toEqual(Array.from({ length: 10 }, (_, index) => index + 1))
    expectAllProtected(here, middle.requests)
  })
})


test('acknowledgements of one-way messages take no room among what is remembered of messages: any number of them is sent', async () => {
  const { middle, client } = await field({ limits: { replayMarksPerPrincipal: 20 } })
  const conversation = await client.connect(middle.url, as('client'))
  const tickets = []
  for (let item = 1; item <= 60; item++) tickets.push(await conversation.send(place(item), { action: PLACE }))
  for (const ticket of tickets) await ticket.acknowledged({ timeoutMs: 5_000 })
  expect(await conversation.close({ timeoutMs: 5_000 })).toEqual({ outcome: 'terminated', lost: [] })
})
