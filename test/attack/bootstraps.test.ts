/** The exchanges that establish a token, in every kind, under attack: from the front by a false service, from behind by a false client. */
import { randomBytes } from 'node:crypto'
import { Agent } from 'undici'
import { afterAll, describe, expect, test } from 'vitest'
import { secretKey } from '../../src/crypto/hash.ts'
import { systemRandom } from '../../src/crypto/random.ts'
import { certificateOverTls, type Client, type ConnectOptions, DEFAULT_PROFILE, type Profile, usernameForCertificate, usernameOverTls, wcfTransport } from '../../src/index.ts'
import { trustAction, writeTokenRequest } from '../../src/soap/trust.ts'
import { writeAddressing } from '../../src/soap/addressing.ts'
import { SC13 } from '../../src/spec/versions.ts'
import { type BootstrapCredentials, protectBootstrap } from '../../src/wss/bootstrap.ts'
import { as, authorities, pem, PLACE, place, SERVICE, type World, world } from '../flow/world.ts'
import { certificate, commonName, ecKey, rsaKey } from '../unit/crypto/certificates.ts'
import { edit, id, identity, inClear, issue, service, versions } from './forge.ts'
import { expectAllProtected, type Given, type Meddle, middleOf, SOAP } from './middle.ts'

const password = (user: string): string | undefined => (user === 'alice' ? 'in wonderland' : undefined)
const alice = { name: 'alice', password: secretKey(Buffer.from('in wonderland')) }
const user = usernameForCertificate({ user: 'alice', password: 'in wonderland', service: SERVICE.certificate })
const trust = { authorities }
const TLS = { cert: SERVICE.certificate, key: SERVICE.key }
const soap = (body: string, status = 200): Given => ({ status, headers: SOAP, body })
const text = (given: Given): string => Buffer.from(given.body ?? '').toString()

/** One RST of whoever, in whichever way. */
function rst(credentials: BootstrapCredentials, profile: Profile = DEFAULT_PROFILE): string {
  const headers = writeAddressing({ action: trustAction(SC13, 'issue', 'request'), to: 'http://127.0.0.1/orders', messageId: id(), replyTo: 'anonymous' }, versions.addressing, versions.soap)
  return protectBootstrap({ soap: versions.soap, headers, body: [writeTokenRequest(issue())] }, credentials, { profile, now: Date.now(), random: systemRandom }).xml
}
const post = (on: World, body: string, tls?: object): ReturnType<World['service']['handle']> =>
  on.service.handle({ method: 'POST', url: '/orders', headers: { 'content-type': 'application/soap+xml' }, body: Buffer.from(body), ...(tls !== undefined && { tls }) })
async function refused(on: World, body: string, code: RegExp, tls?: object): Promise<void> {
  const before = on.security.length
  const answer = await post(on, body, tls)
  expect(answer.status).toBe(500)
  expect(Buffer.from(answer.body).toString()).not.toContain('SecurityContextToken')
  expect(on.security.slice(before).map((each) => each.code)).toEqual([expect.stringMatching(code)])
}
const issued = async (on: World, body: string, tls?: object): Promise<void> => { expect((await post(on, body, tls)).status).toBe(200) }

describe('a service that knows users under its certificate', () => {
  const accept = [usernameForCertificate({ identity: SERVICE, password })]
  const fresh: BootstrapCredentials = { kind: 'fresh-key', peer: service, user: alice }
  test('gives a token to a user, once', async () => {
    await using on = await world({ accept })
    const xml = rst(fresh)
    await issued(on, xml)
    await refused(on, xml, /^ERR_WSS_REPLAY$/)
  })
  test.each<[string, () => string, RegExp]>([
    ['nobody', () => rst({ kind: 'fresh-key', peer: service }), /^ERR_WSS_NO_CLAIM$/],
    ['another password', () => rst({ ...fresh, user: { ...alice, password: secretKey(Buffer.from('in wonderlanD')) } } as BootstrapCredentials), /^ERR_WSS_PASSWORD$/],
    ['an unknown user', () => rst({ ...fresh, user: { ...alice, name: 'mallory' } } as BootstrapCredentials), /^ERR_WSS_PASSWORD$/],
    ['a certificate in the place of a user', () => rst({ kind: 'x509', role: 'initiator', own: identity('client'), peer: service }), /^ERR_WSS_NO_CLAIM$/],
    ['a key that is encrypted for somebody else', () => rst({ ...fresh, peer: identity('intruder').certificate } as BootstrapCredentials), /^ERR_WSS/],
    ['another request under the same key', () => edit(rst(fresh), />urn:uuid:[^<]+<\/wsa:MessageID/, '>urn:uuid:other</wsa:MessageID'), /^ERR_WSS_DIGEST$/],
    ['a request whose user was cut out', () => edit(rst(fresh), /<xenc:EncryptedData [^>]*Type="[^"]*#Element"[\s\S]*?<\/xenc:EncryptedData>(?=<ds:Signature)/, ''), /^ERR_WSS/],
    ['a request in clear', () => inClear(rst(fresh), '<a/>'), /^ERR_WSS/],
    ['a request of TLS without TLS', () => rst({ kind: 'tls', user: alice }), /^ERR_WSS/],
  ])('refuses %s', async (_, xml, code) => {
    await using on = await world({ accept })
    await refused(on, xml(), code)
  })
  test('takes no user from another message: the token is signed with the key of its own', async () => {
    await using on = await world({ accept })
    const hidden = /<xenc:EncryptedData [^>]*Type="[^"]*#Element"[\s\S]*?<\/xenc:EncryptedData>/
    const [stolen = ''] = hidden.exec(rst(fresh)) ?? []
    const own = rst({ kind: 'fresh-key', peer: service, user: { ...alice, name: 'mallory' } })
    await refused(on, edit(own, hidden, stolen.replace(/ Id="[^"]*"/, ` Id="${/ Id="([^"]*)" Type="[^"]*#Element"/.exec(own)?.[1]}"`)), /^ERR_WSS/)
  })
})

describe('a service under TLS', () => {
  const accept = [usernameOverTls({ password })]
  test('gives a token to a user, and takes the same request once', async () => {
    await using on = await world({ accept })
    const xml = rst({ kind: 'tls', user: alice })
    await issued(on, xml, {})
    await refused(on, xml, /^ERR_WSS_REPLAY$/, {})
    await issued(on, rst({ kind: 'tls', user: alice }), {})
  })
  test.each<[string, () => string, object | undefined, RegExp]>([
    ['the same without TLS', () => rst({ kind: 'tls', user: alice }), undefined, /^ERR_WSS/],
    ['nobody', () => rst({ kind: 'tls' }), {}, /^ERR_WSS_NO_CLAIM$/],
    ['another password', () => rst({ kind: 'tls', user: { ...alice, password: secretKey(Buffer.from('x')) } }), {}, /^ERR_WSS_PASSWORD$/],
    ['a client certificate that nobody asked for', () => rst({ kind: 'tls' }), { peerCertificate: identity('client').certificate.raw }, /^ERR_WSS_NO_CLAIM$/],
    ['a request of the day before yesterday', () => edit(rst({ kind: 'tls', user: alice }), /<wsu:Created>\d{4}/, '<wsu:Created>2020'), {}, /^ERR_WSS_TIMESTAMP$/],
    ['a user beside an X.509 signature', () => rst({ kind: 'x509', role: 'initiator', own: identity('client'), peer: service }), {}, /^ERR_WSS/],
  ])('refuses %s', async (_, xml, tls, code) => {
    await using on = await world({ accept })
    await refused(on, xml(), code, tls)
  })
})

test('a user without a password, or of whom nothing is known, is nobody', async () => {
  const nothing = { name: 'bob', password: secretKey(new Uint8Array()) }
  const words: readonly unknown[] = ['', undefined, null]
  for (const word of words) {
    await using under = await world({ accept: [usernameOverTls({ password: () => word as string })] })
    await refused(under, rst({ kind: 'tls', user: nothing }), /^ERR_WSS_PASSWORD$/, {})
    await using encrypted = await world({ accept: [usernameForCertificate({ identity: SERVICE, password: () => word as string })] })
    await refused(encrypted, rst({ kind: 'fresh-key', peer: service, user: nothing }), /^ERR_WSS_PASSWORD$/)
  }
})

describe('a service under TLS that asks for certificates', () => {
  const key = ecKey()
  const raw = certificate({ subject: commonName('alice'), key, from: Date.now() - 60_000, to: Date.now() + 600_000 })
  const weak = certificate({ subject: commonName('alice'), key: rsaKey(1_024), from: Date.now() - 60_000, to: Date.now() + 600_000 })
  test('takes one of another kind than RSA, and no weak one', async () => {
    await using on = await world({ accept: [certificateOverTls({ trust: { verify: ({ subject }) => subject === 'CN=alice' } })] })
    await issued(on, rst({ kind: 'tls' }), { peerCertificate: raw })
    await refused(on, rst({ kind: 'tls' }), /^ERR_WSS_CERTIFICATE$/, { peerCertificate: weak })
  })
})

describe('a client whose answer is not that of its service', () => {
  async function connects(meddle: Meddle, profile: Profile = DEFAULT_PROFILE): Promise<{ readonly client: Client; readonly error: unknown }> {
    await using on = await world({ accept: [usernameForCertificate({ identity: SERVICE, password })], profile })
    await using middle = await middleOf(on)
    middle.meddle = meddle
    const client = on.client()
    const error = await client.connect(middle.url, { bootstrap: user, trust, profile, timeoutMs: 5_000 }).then(() => undefined, (reason: unknown) => reason)
    expectAllProtected(on, middle.requests)
    for (const { text: sent } of middle.requests) expect(sent).not.toMatch(/alice|wonderland/)
    return { client, error }
  }
  test('is content with an honest one', async () => { expect((await connects((_, honest) => honest())).error).toBeUndefined() })
  const answers: readonly (readonly [string, Meddle])[] = [
    ['its own request, sent back', (seen) => Promise.resolve(soap(seen.text))],
    ['a changed answer', async (_, honest) => soap(edit(text(await honest()), /RelatesTo([^>]*)>urn:uuid:./, 'RelatesTo$1>urn:uuid:0'))],
    ['the answer without its signature', async (_, honest) => soap(edit(text(await honest()), /<ds:Signature[\s\S]*<\/ds:Signature>/, ''))],
    ['an answer under another key, encrypted for the client by name', (seen) => {
      const headers = writeAddressing({ action: trustAction(SC13, 'issue', 'response'), messageId: id(), relatesTo: /MessageID[^>]*>([^<]+)</.exec(seen.text)?.[1] ?? '' }, versions.addressing, versions.soap)
      const { xml } = protectBootstrap({ soap: versions.soap, headers, body: ['<a></a>'] }, { kind: 'earlier-key', sha1: Buffer.alloc(20, 7).toString('base64'), key: secretKey(randomBytes(32)) }, { profile: DEFAULT_PROFILE, now: Date.now(), random: systemRandom })
      return Promise.resolve(soap(xml))
    }],
    ['an answer that its service signed with its certificate, but not with the key of the question', (seen) => {
      const headers = writeAddressing({ action: trustAction(SC13, 'issue', 'response'), messageId: id(), relatesTo: /MessageID[^>]*>([^<]+)</.exec(seen.text)?.[1] ?? '' }, versions.addressing, versions.soap)
      const { xml } = protectBootstrap({ soap: versions.soap, headers, body: ['<a></a>'] }, { kind: 'x509', role: 'recipient', own: identity('service'), peer: identity('client').certificate }, { profile: DEFAULT_PROFILE, now: Date.now(), random: systemRandom })
      return Promise.resolve(soap(xml))
    }],
    ['nothing', () => Promise.resolve({ status: 202, headers: {} })],
  ]
  test.each(answers)('refuses %s', async (_, meddle) => { expect((await connects(meddle)).error).toMatchObject({ name: 'BootstrapFailed' }) })
})

describe('a client whose connections a dispatcher of its own makes', () => {
  // It trusts whom the authority vouches for, whatever `trust` says.
  const dispatcher = new Agent({ connect: { ca: authorities } })
  afterAll(() => dispatcher.close())
  const pinned = (name: 'service' | 'intruder'): ConnectOptions['trust'] => ({ pins: [identity(name).certificate.sha256] })
  const overTls = { bootstrap: usernameOverTls({ user: 'alice', password: 'in wonderland' }), trust: pinned('intruder') }
  test.each<[string, ConnectOptions]>([
    ['a password', overTls],
    ['a client certificate', { bootstrap: certificateOverTls(), trust: pinned('intruder') }],
    ['messages that TLS alone protects', { ...as('client'), profile: { ...DEFAULT_PROFILE, protection: 'transport' } }],
  ])('does not send %s to somebody whom only the dispatcher trusts', async (_, options) => {
    await using on = await world({ accept: [usernameOverTls({ password })] }, 0, TLS)
    await expect(on.client({ dispatcher }).connect(on.url, options)).rejects.toMatchObject({ name: 'UsageError', code: 'ERR_USAGE_DISPATCHER', message: expect.stringContaining('dangerDispatcherTrust') })
    expect(on.wire).toEqual([])
  })
  test('leaves the judging to the dispatcher where it says so', async () => {
    await using on = await world({ accept: [usernameOverTls({ password })] }, 0, TLS)
    const conversation = await on.client({ dispatcher, dangerDispatcherTrust: true }).connect(on.url, overTls)
    expect((await conversation.request(place('tea'), { action: PLACE, timeoutMs: 5_000 })).body).toContain('tea')
    await conversation.close({ timeoutMs: 5_000 })
    // A dispatcher that trusts nobody here.
    const strict = new Agent()
    await expect(on.client({ dispatcher: strict, dangerDispatcherTrust: true }).connect(on.url, overTls)).rejects.toMatchObject({ name: 'BootstrapFailed' })
    await strict.close()
  })
  test.each([undefined, null])('judges by itself where there is no dispatcher to do so (%s)', async (none) => {
    await using on = await world({ accept: [usernameOverTls({ password })] }, 0, TLS)
    await expect(on.client({ dispatcher: none as never, dangerDispatcherTrust: true }).connect(on.url, overTls)).rejects.toMatchObject({ name: 'BootstrapFailed', cause: { code: 'ERR_WSS_UNTRUSTED' } })
    expect(on.wire).toEqual([])
  })
  test('gives its certificate to the dispatcher: one beside it would never be shown', async () => {
    await using on = await world({ accept: [certificateOverTls({ trust })] }, 0, TLS)
    const own = { cert: pem('client.pem'), key: pem('client.key.pem') }
    const showing = new Agent({ connect: { ca: authorities, ...own } })
    const client = on.client({ dispatcher: showing, dangerDispatcherTrust: true })
    await expect(client.connect(on.url, { bootstrap: certificateOverTls({ certificate: own.cert, key: own.key }), trust })).rejects.toMatchObject({ name: 'UsageError', code: 'ERR_USAGE_DISPATCHER' })
    expect(on.wire).toEqual([])
    const conversation = await client.connect(on.url, { bootstrap: certificateOverTls(), trust })
    await conversation.request(place('tea'), { action: PLACE, timeoutMs: 5_000 })
    expect(on.handled[0]?.principal).toMatchObject({ kind: 'certificate', subject: 'CN=client,O=Example' })
    await conversation.close({ timeoutMs: 5_000 })
    await showing.close()
  })
  describe.each([['TLS', TLS], ['HTTP', undefined]])('over %s, asks trust about whoever signs or opens', (_, tls) => {
    test.each<[string, ConnectOptions['bootstrap']]>([['x509', as('client').bootstrap], ['usernameForCertificate', user]])('%s', async (kind, bootstrap) => {
      await using on = await world({ ...(kind === 'x509' ? {} : { accept: [usernameForCertificate({ identity: SERVICE, password })] }) }, 0, tls)
      const client = on.client({ dispatcher })
      await expect(client.connect(on.url, { bootstrap, trust: pinned('intruder') })).rejects.toMatchObject({ name: 'BootstrapFailed', cause: { code: 'ERR_WSS_UNTRUSTED' } })
      const conversation = await client.connect(on.url, { bootstrap, trust: pinned('service') })
      expect((await conversation.request(place('tea'), { action: PLACE, timeoutMs: 5_000 })).body).toContain('tea')
      await conversation.close({ timeoutMs: 5_000 })
    })
  })
})

describe('a client that wants its signatures confirmed', () => {
  const profile: Profile = { ...DEFAULT_PROFILE, signatureConfirmation: true }
  test.each([
    ['a service that confirms nothing', DEFAULT_PROFILE, /ERR_WSS_CONFIRMATION/],
    ['a service that confirms', profile, undefined],
  ] as const)('%s', async (_, theirs, code) => {
    await using on = await world({ profile: theirs })
    const client = on.client()
    const connected = client.connect(on.url, { ...as('client'), profile })
    if (code === undefined) {
      const conversation = await connected
      expect((await conversation.request(place('tea'), { action: PLACE, timeoutMs: 5_000 })).body).toContain('tea')
      await conversation.close({ timeoutMs: 5_000 })
    } else await expect(connected).rejects.toMatchObject({ cause: { code: expect.stringMatching(code) } })
  })
  test('the answer to an earlier copy of a message is an answer to it', async () => {
    await using on = await world({ profile })
    await using middle = await middleOf(on)
    // Held back, and given when its message comes again: all right but for the signature that it confirms, which is that of the first copy.
    let first: Given | undefined
    middle.meddle = async (seen, honest) => {
      if (seen.action !== PLACE) return honest()
      const answer = await honest()
      if (first !== undefined) return first
      first = answer
      return { status: 503, headers: {} }
    }
    const conversation = await on.client({ retransmitAfterMs: 20 }).connect(middle.url, { ...as('client'), profile })
    const codes: string[] = []
    conversation.on('security', ({ code }) => void codes.push(code))
    expect((await conversation.request(place('tea'), { action: PLACE, timeoutMs: 5_000 })).body).toContain('tea')
    expect(codes).toEqual([])
    await conversation.detach()
  })
})

describe('a client that wants the signatures of its token requests confirmed, whatever holds of the session', () => {
  const bootstrapOnly: Profile = { ...DEFAULT_PROFILE, bootstrap: { ...DEFAULT_PROFILE.bootstrap, signatureConfirmation: true } }
  const sessionOnly: Profile = { ...DEFAULT_PROFILE, signatureConfirmation: true, bootstrap: { ...DEFAULT_PROFILE.bootstrap, signatureConfirmation: false } }
  async function connects(profile: Profile, theirs: Profile, meddle?: Meddle): Promise<unknown> {
    await using on = await world({ profile: theirs })
    await using middle = await middleOf(on)
    middle.meddle = meddle
    return await on.client().connect(middle.url, { ...as('client'), profile, timeoutMs: 5_000 }).then(() => undefined, (reason: unknown) => (reason as { cause?: unknown }).cause)
  }
  const unconfirmed = { code: 'ERR_WSS_CONFIRMATION' }
  test('takes no answer of a service that confirms in the session alone', async () => { expect(await connects(bootstrapOnly, sessionOnly)).toMatchObject(unconfirmed) })
  test('and wants none where the session alone is confirmed', async () => { expect(await connects(sessionOnly, DEFAULT_PROFILE)).toBeUndefined() })

  const signatureIn = (xml: string): Buffer => Buffer.from(/<ds:SignatureValue>([^<]+)</.exec(xml)?.[1] ?? '', 'base64')
  /** The service's own key says something else about the request than it should. */
  const confirming = (confirms: (seen: string) => readonly Uint8Array[] | undefined): Meddle => (seen) => {
    const headers = writeAddressing({ action: trustAction(SC13, 'issue', 'response'), messageId: id(), relatesTo: /MessageID[^>]*>([^<]+)</.exec(seen.text)?.[1] ?? '' }, versions.addressing, versions.soap)
    const { xml } = protectBootstrap({ soap: versions.soap, headers, body: ['<a></a>'] }, { kind: 'x509', role: 'recipient', own: identity('service'), peer: identity('client').certificate }, { profile: bootstrapOnly, now: Date.now(), random: systemRandom, confirms: confirms(seen.text) })
    return Promise.resolve(soap(xml))
  }
  test.each<[string, Meddle]>([
    ['of another value', confirming(() => [Buffer.alloc(256, 7)])],
    ['of the first part of its value', confirming((seen) => [signatureIn(seen).subarray(0, 20)])],
    ['without a value', confirming(() => [])],
    ['that is not there', confirming(() => undefined)],
    ['that nobody signed', async (seen, honest) => soap(edit(text(await honest()), /<\/wsse:Security>/, `<wsse11:SignatureConfirmation xmlns:wsse11="http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd" wsu:Id="c" xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd" Value="${signatureIn(seen.text).toString('base64')}"></wsse11:SignatureConfirmation></wsse:Security>`))],
  ])('refuses a confirmation %s', async (_, meddle) => { expect(await connects(bootstrapOnly, DEFAULT_PROFILE, meddle)).toMatchObject(unconfirmed) })
  test('and reads on behind the right one', async () => { expect(await connects(bootstrapOnly, DEFAULT_PROFILE, confirming((seen) => [signatureIn(seen)]))).toMatchObject({ code: expect.not.stringMatching(/^ERR_WSS/) as unknown }) })
})

describe('the transport profile', () => {
  test('a message under TLS says by its Timestamp whose it is: no other token moves its sequence', async () => {
    await using on = await world({ accept: [usernameOverTls({ password: (name) => (name === 'bob' ? 'builder' : password(name)) })], profile: wcfTransport }, 0, TLS)
    const connect = (name: string, secret: string) => on.client().connect(on.url, { bootstrap: usernameOverTls({ user: name, password: secret }), trust, profile: wcfTransport })
    const own = await connect('alice', 'in wonderland')
    await own.request(place('tea'), { action: PLACE, timeoutMs: 5_000 })
    const last = on.wire.findLast((each) => each.direction === 'request')
    const other = await connect('bob', 'builder')
    await other.request(place('milk'), { action: PLACE, timeoutMs: 5_000 })
    const bobs = on.wire.findLast((each) => each.direction === 'request')
    // Bob's signed Timestamp in front of Alice's sequence.
    const security = (xml: string): string => /<wsse:Security[\s\S]*<\/wsse:Security>/.exec(xml)?.[0] ?? ''
    const [mine, theirs] = [Buffer.from(last?.body ?? '').toString(), Buffer.from(bobs?.body ?? '').toString()]
    const answer = await post(on, mine.replace(security(mine), security(theirs)), {})
    expect(Buffer.from(answer.body).toString()).toContain('UnknownSequence')
    expect(on.security.map(({ code }) => code)).toContain('ERR_RM_SCOPE')
    expect((await own.request(place('sugar'), { action: PLACE, timeoutMs: 5_000 })).body).toContain('sugar')
    await other.close({ timeoutMs: 5_000 })
    await own.close({ timeoutMs: 5_000 })
  })

  /** A service that knows both: clients in clear whose messages protect themselves, and clients under TLS. */
  const both: readonly (readonly [string, readonly Profile[]])[] = [['TLS first', [{ ...DEFAULT_PROFILE, protection: 'transport' }, DEFAULT_PROFILE]], ['TLS last', [DEFAULT_PROFILE, { ...DEFAULT_PROFILE, protection: 'transport' }]]]
  test.each(both)('what was seen in clear does not become the signature of another message under TLS (%s)', async (_, known) => {
    // What is signed as it stands, encrypted, can be put where nobody reads it.
    const profiles = known.map((each): Profile => ({ ...each, order: 'encrypt-before-sign' }))
    await using on = await world({ profile: profiles })
    await using middle = await middleOf(on)
    let caught: string | undefined
    middle.meddle = (seen, honest) => {
      if (seen.action !== PLACE) return honest()
      caught = seen.text
      return Promise.resolve({ status: 503, headers: {} })
    }
    const conversation = await on.client().connect(middle.url, { ...as('client'), profile: { ...DEFAULT_PROFILE, order: 'encrypt-before-sign' } })
    await expect(conversation.request(place('tea'), { action: PLACE, timeoutMs: 500 })).rejects.toThrow()
    const xml = caught ?? ''
    const [body = ''] = /<s:Body[\s\S]*<\/s:Body>/.exec(xml) ?? []
    const poison = edit(edit(xml, /<xenc:ReferenceList[\s\S]*?<\/xenc:ReferenceList>/, ''), body, `<s:Body>${place('poison')}</s:Body>`).replace('</s:Header>', `${body}</s:Header>`)
    // Nor the very message, which under TLS nobody would remember to have seen.
    for (const each of [poison, xml]) await post(on, each, {})
    expect(on.handled.map((each) => each.body).join()).not.toContain('poison')
    await conversation.detach()
  })
  test.each(both)('each kind of client is served (%s)', async (_, profile) => {
    await using on = await world({ profile, accept: [usernameOverTls({ password })] }, 0, TLS)
    for (const protection of ['message', 'transport'] as const) {
      const conversation = await on.client().connect(on.url, { bootstrap: usernameOverTls({ user: 'alice', password: 'in wonderland' }), trust, profile: { ...DEFAULT_PROFILE, protection } })
      expect((await conversation.request(place(protection), { action: PLACE, timeoutMs: 5_000 })).body).toContain(protection)
      await conversation.close({ timeoutMs: 5_000 })
    }
    expect(on.security).toEqual([])
  })
})
