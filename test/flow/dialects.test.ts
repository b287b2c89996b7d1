/** Whole conversations in every dialect, client and service both of ours, over real sockets and real TLS. */
import { describe, expect, test } from 'vitest'
import {
  BASIC256_SHA1, BootstrapFailed, certificateOverTls, type ConnectOptions, cxf, DEFAULT_PROFILE, metro, type Profile, sandesha2, type ServiceBootstrap, UsageError, usernameForCertificate, usernameOverTls, was, wcf,
  wcfTransport, x509,
} from '../../src/index.ts'
import { readCertificate } from '../../src/crypto/certificate.ts'
import { as, authorities, pem, PLACE, place, SERVICE, type World, world } from './world.ts'

const TLS = { cert: SERVICE.certificate, key: SERVICE.key }
const CLIENT = { certificate: pem('client.pem'), key: pem('client.key.pem') }
const INTRUDER = { certificate: pem('intruder.pem'), key: pem('intruder.key.pem') }
const password = (user: string): string | undefined => (user === 'alice' ? 'in wonderland' : undefined)
const alice = { user: 'alice', password: 'in wonderland' }
const trust = { authorities }
const service = SERVICE.certificate

interface Kind { readonly accept: ServiceBootstrap; readonly bootstrap: ConnectOptions['bootstrap']; readonly wrong: ConnectOptions['bootstrap']; readonly principal: object; readonly tls: boolean }
function certificateOf(name: 'client' | 'intruder' | 'service'): string { return readCertificate(pem(`${name}.pem`)).sha256 }
const pins = { pins: [certificateOf('client')] }
const client = { kind: 'certificate', thumbprint: certificateOf('client') }
const KINDS: Readonly<Record<string, Kind>> = {
  x509: { accept: x509({ identity: SERVICE, trust: pins }), bootstrap: x509({ ...CLIENT, service }), wrong: x509({ ...INTRUDER, service }), principal: client, tls: false },
  usernameForCertificate: {
    accept: usernameForCertificate({ identity: SERVICE, password }), bootstrap: usernameForCertificate({ ...alice, service }), wrong: usernameForCertificate({ ...alice, password: 'x', service }),
    principal: { kind: 'user', name: 'alice' }, tls: false,
  },
  'usernameForCertificate, endorsed': {
    accept: usernameForCertificate({ identity: SERVICE, password, endorsing: pins }), bootstrap: usernameForCertificate({ ...alice, service, endorsing: CLIENT }),
    wrong: usernameForCertificate({ ...alice, service, endorsing: INTRUDER }), principal: { kind: 'user', name: 'alice' }, tls: false,
  },
  'a certificate that endorses': {
    accept: usernameForCertificate({ identity: SERVICE, endorsing: pins }), bootstrap: usernameForCertificate({ service, endorsing: CLIENT }), wrong: usernameForCertificate({ ...alice, service }), principal: client, tls: false,
  },
  usernameOverTls: { accept: usernameOverTls({ password }), bootstrap: usernameOverTls(alice), wrong: usernameOverTls({ ...alice, user: 'mallory' }), principal: { kind: 'user', name: 'alice' }, tls: true },
  certificateOverTls: { accept: certificateOverTls({ trust: pins }), bootstrap: certificateOverTls(CLIENT), wrong: certificateOverTls(INTRUDER), principal: client, tls: true },
}

async function converse(on: World, options: ConnectOptions, shape: 'request' | 'one-way' = 'request'): Promise<void> {
  const conversation = await on.client().connect(on.url, options)
  for (const item of ['tea', 'milk', 'sugar']) {
    if (shape === 'one-way') await (await conversation.send(place(item), { action: PLACE })).acknowledged({ timeoutMs: 10_000 })
    else expect((await conversation.request(place(item), { action: PLACE, timeoutMs: 10_000 })).body).toContain(`>${item}<`)
  }
  expect(await conversation.close({ timeoutMs: 10_000 })).toMatchObject({ outcome: 'terminated', lost: [] })
}
const renewed = async (on: World, options: ConnectOptions): Promise<void> => {
  const user = on.client()
  const conversation = await user.connect(on.url, options)
  await conversation.request(place('before'), { action: PLACE, timeoutMs: 10_000 })
  await user.tokens.renew(conversation.tokenId, { timeoutMs: 10_000 })
  await conversation.request(place('after'), { action: PLACE, timeoutMs: 10_000 })
  await conversation.close({ timeoutMs: 10_000 })
}

describe.each(Object.entries(KINDS))('%s', (_, { accept, bootstrap, wrong, principal, tls }) => {
  test.each(['message', 'transport'] as const)('then %s protection: requests, one-way messages, a renewal', async (protection) => {
    const profile: Profile = { ...DEFAULT_PROFILE, protection }
    await using on = await world({ accept: [accept], profile }, 0, tls || protection === 'transport' ? TLS : undefined)
    const options = { bootstrap, trust, profile }
    await converse(on, options)
    await converse(on, options, 'one-way')
    await renewed(on, options)
    expect(on.handled).toHaveLength(8)
    for (const message of on.handled) expect(message.principal).toMatchObject(principal)
    expect(on.security).toEqual([])
  })

  test('somebody else gets no token, and learns nothing', async () => {
    await using on = await world({ accept: [accept] }, 0, tls ? TLS : undefined)
    await expect(on.client().connect(on.url, { bootstrap: wrong, trust })).rejects.toThrow(BootstrapFailed)
    expect(on.handled).toEqual([])
    expect(on.security.map(({ code }) => code)).toEqual([expect.stringMatching(/^ERR_WSS_(UNTRUSTED|PASSWORD|NO_CLAIM)$/)])
    const answers = on.wire.filter(({ direction }) => direction === 'response').map(({ body }) => Buffer.from(body).toString())
    for (const answer of answers) expect(answer).toContain('FailedAuthentication')
  })

  test('a bootstrap of another kind is not accepted', async () => {
    const other = KINDS[_ === 'x509' ? 'usernameForCertificate' : 'x509']
    await using on = await world({ accept: [accept] }, 0, tls ? TLS : undefined)
    if (other === undefined || tls) return
    await expect(on.client().connect(on.url, { bootstrap: other.bootstrap, trust })).rejects.toThrow(BootstrapFailed)
    expect(on.handled).toEqual([])
  })
})

describe('who the service is', () => {
  test.each([
    ['usernameForCertificate', 'pins of another', { pins: [certificateOf('intruder')] }],
    ['usernameOverTls', 'pins of another', { pins: [certificateOf('intruder')] }],
    ['usernameOverTls', 'a verdict', { verify: () => false }],
    ['usernameOverTls', 'another authority', { authorities: [pem('client.pem')] }],
    ['certificateOverTls', 'another authority', { authorities: [pem('client.pem')] }],
  ] as const)('%s: refused by %s, before anything secret is said', async (name, _, refusing) => {
    const { accept, bootstrap, tls } = KINDS[name] as Kind
    await using on = await world({ accept: [accept] }, 0, tls ? TLS : undefined)
    await expect(on.client().connect(on.url, { bootstrap, trust: refusing })).rejects.toThrow(BootstrapFailed)
    expect(on.wire).toEqual([])
    expect(on.handled).toEqual([])
  })
  test.each([['pins', { pins: [] as string[] }], ['a verdict', { verify: () => true }]] as const)('over TLS: taken by %s', async (how, given) => {
    const { accept, bootstrap } = KINDS['usernameOverTls'] as Kind
    await using on = await world({ accept: [accept] }, 0, TLS)
    await converse(on, { bootstrap, trust: how === 'pins' ? { pins: [certificateOf('service')] } : given })
  })
  test('in the transport profile TLS says it of each message, however the token was had', async () => {
    await using on = await world({ profile: wcfTransport }, 0, { cert: pem('intruder.pem'), key: pem('intruder.key.pem') })
    const connected = on.client().connect(on.url, { ...as('client'), trust: { pins: [certificateOf('service')] }, profile: wcfTransport })
    await expect(connected).rejects.toMatchObject({ cause: { code: 'ERR_WSS_UNTRUSTED' } })
    expect(on.wire).toEqual([])
  })
  test.each(['shared', 'one-each'] as const)('over TLS, one trust does not count for a conversation under another, contexts %s', async (contexts) => {
    const { accept, bootstrap } = KINDS['usernameOverTls'] as Kind
    await using on = await world({ accept: [accept] }, 0, TLS)
    const client = on.client()
    const profile = { ...DEFAULT_PROFILE, contexts }
    const strict = { bootstrap, trust: { pins: [certificateOf('service')] }, profile }
    const lax = { bootstrap, trust: { verify: () => true }, profile }
    const connecting = client.connect(on.url, strict)
    await expect(client.connect(on.url, lax)).rejects.toMatchObject({ code: 'ERR_USAGE_TRUST' })
    const first = await connecting
    const second = await client.connect(on.url, { ...strict, trust: { pins: [certificateOf('service')] } })
    await expect(client.connect(on.url, lax)).rejects.toMatchObject({ code: 'ERR_USAGE_TRUST' })
    for (const conversation of [first, second]) await conversation.close({ timeoutMs: 5_000 })
    await (await client.connect(on.url, lax)).close({ timeoutMs: 5_000 })
  })
  test('over TLS, somebody else in the place of the service is told of', async () => {
    const { accept, bootstrap } = KINDS['usernameOverTls'] as Kind
    await using on = await world({ accept: [accept] }, 0, TLS)
    let isRight = true
    const conversation = await on.client().connect(on.url, { bootstrap, trust: { verify: () => isRight } })
    const codes: string[] = []
    conversation.on('security', ({ code }) => {
      codes.push(code)
      isRight = true
    })
    isRight = false
    // More at a time than there are connections that were judged before.
    await Promise.all([1, 2, 3, 4].map((item) => conversation.request(place(item), { action: PLACE, timeoutMs: 10_000 })))
    expect(new Set(codes)).toEqual(new Set(['ERR_WSS_UNTRUSTED']))
    await conversation.close({ timeoutMs: 5_000 })
  })
  test('the name of the host must be that of the certificate', async () => {
    const { accept, bootstrap } = KINDS['usernameOverTls'] as Kind
    await using on = await world({ accept: [accept] }, 0, TLS)
    await expect(on.client().connect(on.url.replace('127.0.0.1', '127.0.0.2'), { bootstrap, trust })).rejects.toThrow(BootstrapFailed)
  })
})

describe('TLS is not optional', () => {
  test('what it shall protect is not sent without it', async () => {
    await using on = await world({ accept: [usernameOverTls({ password })] })
    for (const options of [{ bootstrap: usernameOverTls(alice), trust }, { bootstrap: certificateOverTls(CLIENT), trust }, { ...as('client'), profile: wcfTransport }]) {
      await expect(on.client().connect(on.url, options)).rejects.toThrow(UsageError)
    }
    expect(on.wire).toEqual([])
  })
  test('a service that knows the transport profile does not take it in clear', async () => {
    const profile: Profile = { ...DEFAULT_PROFILE, protection: 'transport' }
    await using on = await world({ profile })
    const { protect } = await import('../../src/wss/protect.ts')
    const { versionsOf } = await import('../../src/profiles/versions.ts')
    const { secretKey } = await import('../../src/crypto/hash.ts')
    const versions = versionsOf(profile)
    const { xml } = protect({ soap: versions.soap, headers: [], body: ['<a></a>'], encryptBody: false }, { identifier: 'urn:uuid:1', secret: secretKey(Buffer.alloc(32)), sc: versions.sc }, { profile, role: 'initiator', now: Date.now(), random: { bytes: (count) => Buffer.alloc(count, 1) } })
    const answer = await on.service.handle({ method: 'POST', url: '/orders', headers: { 'content-type': 'application/soap+xml' }, body: Buffer.from(xml) })
    expect(answer.status).toBe(500)
    expect(on.security).toEqual([expect.objectContaining({ code: 'ERR_WSS_NO_TLS' })])
  })
})

describe('WCF of .NET Framework, under the certificate of the service', () => {
  test.each([['a user', 'usernameForCertificate', wcf], ['a certificate that endorses', 'a certificate that endorses', { ...wcf, bootstrap: { ...wcf.bootstrap, signatureConfirmation: true } }]] as const)('%s: the keys of the token exchange are derived from the EncryptedKey', async (_, kind, profile) => {
    const { accept, bootstrap } = KINDS[kind] as Kind
    await using on = await world({ accept: [accept], profile })
    await converse(on, { bootstrap, trust, profile })
    const [question, answer] = on.wire.map(({ body }) => Buffer.from(body).toString())
    for (const text of [question, answer]) expect(text?.match(/<wsc:DerivedKeyToken /g)).toHaveLength(2)
    expect(on.security).toEqual([])
  })
})

describe('what a service confirms', () => {
  const session: Profile = { ...DEFAULT_PROFILE, signatureConfirmation: true }
  const under = (profile: Profile, signatureConfirmation: boolean): Profile => ({ ...profile, bootstrap: { ...profile.bootstrap, signatureConfirmation } })
  test.each<[string, Profile, boolean, boolean]>([
    ['token requests alone', under(DEFAULT_PROFILE, true), true, false],
    ['the session alone', under(session, false), false, true],
    ['both, where the bootstrap says nothing', session, true, true],
    ['neither', DEFAULT_PROFILE, false, false],
  ])('%s; a renewal is a token request, Cancel is of the session', async (_, profile, isBootstrap, isSession) => {
    await using on = await world({ profile })
    const user = on.client()
    const conversation = await user.connect(on.url, { ...as('client'), profile })
    await conversation.request(place('before'), { action: PLACE, timeoutMs: 10_000 })
    await user.tokens.renew(conversation.tokenId, { timeoutMs: 10_000 })
    await conversation.request(place('after'), { action: PLACE, timeoutMs: 10_000 })
    await conversation.close({ timeoutMs: 10_000 })
    const answers = on.wire.filter(({ direction }) => direction === 'response').map(({ body }) => Buffer.from(body).toString()).filter((text) => text !== '')
    const said = answers.map((text) => [/\/RSTR\/SCT(\/Renew)?</.test(text), text.includes(':SignatureConfirmation ')])
    expect(said.filter(([isToken]) => isToken).map(([, isConfirmed]) => isConfirmed)).toEqual([isBootstrap, isBootstrap])
    const others = said.filter(([isToken]) => !isToken).map(([, isConfirmed]) => isConfirmed)
    expect(new Set(others)).toEqual(new Set([isSession]))
    expect(answers.some((text) => text.includes('/RSTR/SCT/Cancel<'))).toBe(true)
    expect(on.security).toEqual([])
  })
})

describe('every preset and every version', () => {
  const profiles: readonly (readonly [string, Profile])[] = [
    ['cxf', cxf], ['metro', metro], ['sandesha2', { ...sandesha2, endpoint: 'anonymous' }], ['was', was], ['wcf', wcf],
    ['RM 1.0, SC 2005/02, SOAP 1.1, addressing 2004/08', { ...BASIC256_SHA1, soap: '1.1', addressing: '200408', rm: '1.0', sc: '200502' }],
    ['Basic192', { ...BASIC256_SHA1, suite: 'Basic192' }], ['Basic128GCM', { ...DEFAULT_PROFILE, suite: 'Basic128GCM' }],
    ['encrypt before sign', { ...DEFAULT_PROFILE, order: 'encrypt-before-sign', encryptSignature: true, bootstrap: { ...DEFAULT_PROFILE.bootstrap, order: 'encrypt-before-sign', encryptSignature: true } }],
    ['no derived keys, lax, always the token', { ...DEFAULT_PROFILE, derivedKeys: false, layout: 'lax', includeToken: 'always' }],
    ['signatures confirmed', { ...DEFAULT_PROFILE, signatureConfirmation: true, encryptSignature: true }],
    ['another addressing for tokens', { ...BASIC256_SHA1, bootstrap: { ...BASIC256_SHA1.bootstrap, addressing: '200408' } }],
  ]
  test.each(profiles)('%s', async (_, profile) => {
    await using on = await world({ profile, bindUnscopedToSigner: true })
    await converse(on, { ...as('client'), profile })
    await converse(on, { ...as('client'), profile }, 'one-way')
    expect(on.security).toEqual([])
  })
})
