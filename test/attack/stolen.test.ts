/**
 * Ciphertext that others made for this service, seen on the wire and sent again in messages of the attacker's own: it is never read in his name, and
 * nothing that is answered tells what is in it.
 */
import { randomBytes } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { systemRandom } from '../../src/crypto/random.ts'
import { type ConnectOptions, DEFAULT_PROFILE, type Profile, type ServiceBootstrap, usernameForCertificate, usernameOverTls, x509 } from '../../src/index.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { AES256_CBC } from '../../src/spec/algorithms.ts'
import { NS, SC13, TOKEN } from '../../src/spec/versions.ts'
import { trustAction, writeTokenRequest } from '../../src/soap/trust.ts'
import { writeAddressing } from '../../src/soap/addressing.ts'
import { protectBootstrap } from '../../src/wss/bootstrap.ts'
import { protectInLayers } from '../../src/wss/layers.ts'
import { algorithmsOf, directReference, idsOf } from '../../src/wss/parts.ts'
import { symmetricEncrypting, symmetricSigning } from '../../src/wss/protect.ts'
import { rsaSignature } from '../../src/wss/rsa.ts'
import { canonicalize } from '../../src/xml/canonical.ts'
import { readDocument } from '../../src/xml/reader.ts'
import type { Element } from '../../src/xml/tree.ts'
import { as, authorities, SERVICE, world, type World } from '../flow/world.ts'
import { id, identity, issue, service, versions } from './forge.ts'
import { middleOf } from './middle.ts'

const password = (user: string): string | undefined => (user === 'alice' ? 'in wonderland' : undefined)
const alice: ConnectOptions = { bootstrap: usernameForCertificate({ user: 'alice', password: 'in wonderland', service: SERVICE.certificate }), trust: { authorities } }
const users = usernameForCertificate({ identity: SERVICE, password })

let on: World
afterEach(() => on[Symbol.asyncDispose]())

/** What an eavesdropper has of a request for a token: the encrypted key, and what is encrypted with it. */
interface Stolen { readonly key: string; readonly keyId: string; readonly user: string; readonly userId: string; readonly cipher: Buffer }
async function eavesdrop(options: ConnectOptions): Promise<Stolen> {
  await using middle = await middleOf(on)
  const conversation = await on.client().connect(middle.url, options)
  await conversation.detach()
  const { root } = readDocument(middle.requests[0]?.body ?? Buffer.alloc(0), DEFAULT_LIMITS)
  const [header, body] = root.elements()
  const security = header?.first(NS.wsse, 'Security')
  const key = security?.first(NS.xenc, 'EncryptedKey')
  const user = security?.first(NS.xenc, 'EncryptedData')
  const data = user ?? body?.first(NS.xenc, 'EncryptedData')
  if (key === undefined || data === undefined) throw new Error('nothing was encrypted')
  return {
    key: canonicalize(key).replace(/<xenc:ReferenceList[\s\S]*?<\/xenc:ReferenceList>/, ''), keyId: key.attribute('Id') ?? '', user: user === undefined ? '' : canonicalize(user), userId: user?.attribute('Id') ?? '',
    cipher: Buffer.from((data.first(NS.xenc, 'CipherData') as Element).first(NS.xenc, 'CipherValue')?.text ?? '', 'base64'),
  }
}
const headers = (): readonly Element[] => writeAddressing({ action: trustAction(SC13, 'issue', 'request'), to: on.url, messageId: id(), replyTo: 'anonymous' }, versions.addressing, versions.soap)
async function ask(xml: string, tls?: object): Promise<{ readonly status: number; readonly fault: string }> {
  const { status, body } = await on.service.handle({ method: 'POST', url: '/orders', headers: { 'content-type': 'application/soap+xml' }, body: Buffer.from(xml), ...(tls !== undefined && { tls }) })
  return { status, fault: /wsse:((?:Failed|Invalid)\w+)/.exec(Buffer.from(body).toString())?.[1] ?? '' }
}
/** A key of the attacker's own, encrypted for the service. */
function ownKey(more: string) {
  const { xml, key } = protectBootstrap({ soap: versions.soap, headers: headers(), body: ['<a></a>'] }, { kind: 'fresh-key', peer: service }, { profile: DEFAULT_PROFILE, now: Date.now(), random: systemRandom })
  const element = /<xenc:EncryptedKey[\s\S]*?<\/xenc:EncryptedKey>/.exec(xml)?.[0] ?? ''
  if (key === undefined) throw new Error('a key of its own')
  return { key: key.key, sc: SC13, token: element + more, reference: `<wsse:SecurityTokenReference xmlns:wsse="${NS.wsse}"><wsse:Reference URI="#${/Id="([^"]*)"/.exec(element)?.[1]}"></wsse:Reference></wsse:SecurityTokenReference>` }
}
const choices = { keyOrder: 'signature-first', layout: 'strict', order: 'encrypt-before-sign', encryptSignature: false } as const
const listed = (xml: string, name: string): string => xml.replace('</wsse:Security>', `<xenc:ReferenceList xmlns:xenc="${NS.xenc}"><xenc:DataReference URI="#${name}"></xenc:DataReference></xenc:ReferenceList></wsse:Security>`)

test('a user’s encrypted name and password, signed as they stand by a key of the attacker’s own, are not his', async () => {
  on = await world({ accept: [users] })
  const stolen = await eavesdrop(alice)
  const profile: Profile = { ...DEFAULT_PROFILE, bootstrap: { ...DEFAULT_PROFILE.bootstrap, order: 'encrypt-before-sign' } }
  const ids = idsOf(systemRandom)
  const source = ownKey(stolen.key)
  const writing = { profile: { derivedKeys: false }, algorithms: algorithmsOf(profile), ids, random: systemRandom }
  const { xml } = protectInLayers({ soap: versions.soap, headers: headers(), body: [writeTokenRequest(issue())] }, {
    choices, ids, now: Date.now(), random: systemRandom, source: source.token, signing: symmetricSigning(source, writing), encrypting: symmetricEncrypting(source, writing), encryptBody: true,
    parts: [{ id: stolen.userId, text: stolen.user, sent: stolen.user, isEncrypted: false }],
  })
  const attack = xml.replace(/<\/xenc:ReferenceList><\/wsse:Security>/, `<xenc:DataReference URI="#${stolen.userId}"></xenc:DataReference></xenc:ReferenceList></wsse:Security>`)
  expect(attack).not.toBe(xml)
  expect(await ask(attack)).toEqual({ status: 500, fault: 'FailedCheck' })
  expect(on.security.at(-1)?.code).toBe('ERR_WSS_KEY_KIND')
})

test('nor are they his in a request of his own under TLS', async () => {
  on = await world({ accept: [users, usernameOverTls({ password })] })
  const stolen = await eavesdrop(alice)
  const { xml } = protectBootstrap({ soap: versions.soap, headers: headers(), body: [writeTokenRequest(issue())] }, { kind: 'tls' }, { profile: DEFAULT_PROFILE, now: Date.now(), random: systemRandom })
  const attack = listed(xml, stolen.userId).replace('</wsse:Security>', `${stolen.user}</wsse:Security>`).replace('<xenc:ReferenceList', `${stolen.key}<xenc:ReferenceList`)
  expect(await ask(attack, {})).toEqual({ status: 500, fault: 'FailedCheck' })
  expect(on.security.at(-1)?.code).toBe('ERR_WSS_ENCRYPTION')
})

// 256 first blocks: under one or two of them the padding is right and the content is well-formed.
const CASES: readonly { readonly by: string; readonly accept: () => ServiceBootstrap; readonly options: ConnectOptions; readonly fault: string }[] = [
  { by: 'a key of the attacker’s own', accept: () => users, options: alice, fault: 'FailedCheck' },
  { by: 'a stranger’s certificate', accept: () => users, options: alice, fault: 'FailedAuthentication' },
  { by: 'somebody who may ask himself', accept: () => x509({ identity: SERVICE, trust: { authorities } }), options: as('client'), fault: 'FailedCheck' },
  { by: 'a stranger’s certificate', accept: () => x509({ identity: SERVICE, trust: { verify: ({ subject }) => !/intruder/i.test(subject) } }), options: as('client'), fault: 'FailedAuthentication' },
]
test.each(CASES)('moved into the Body of a request that is signed by $by, it is answered alike whatever is in it', async ({ by, accept, options, fault }) => {
  on = await world({ accept: [accept()] })
  const stolen = await eavesdrop(options)
  const stranger = identity('intruder')
  const faults = new Set<string>()
  const iv = randomBytes(16)
  for (let last = 0; last < 256; last++) {
    iv[15] = last
    const ids = idsOf(systemRandom)
    const source = by.startsWith('a key') ? ownKey(stolen.key) : undefined
    const token = `<wsse:BinarySecurityToken xmlns:wsse="${NS.wsse}" xmlns:wsu="${NS.wsu}" EncodingType="${TOKEN.base64Binary}" ValueType="${TOKEN.x509v3}" wsu:Id="${ids('x509')}">${Buffer.from(stranger.certificate.raw).toString('base64')}</wsse:BinarySecurityToken>`
    const signing = source !== undefined ? symmetricSigning(source, { profile: { derivedKeys: false }, algorithms: algorithmsOf(DEFAULT_PROFILE), ids, random: systemRandom }) : {
      tokens: token,
      sign: (parts: Parameters<typeof rsaSignature>[2], clear: () => string) => rsaSignature(ids('sig'), clear(), parts, { key: stranger.key, reference: directReference(`#${ids('x509')}`, TOKEN.x509v3), algorithms: algorithmsOf(DEFAULT_PROFILE) }),
    }
    const body = `<xenc:EncryptedData xmlns:xenc="${NS.xenc}" Id="ed-x" Type="http://www.w3.org/2001/04/xmlenc#Content"><xenc:EncryptionMethod Algorithm="${AES256_CBC.uri}"></xenc:EncryptionMethod><ds:KeyInfo xmlns:ds="${NS.ds}"><wsse:SecurityTokenReference xmlns:wsse="${NS.wsse}"><wsse:Reference URI="#${stolen.keyId}"></wsse:Reference></wsse:SecurityTokenReference></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>${Buffer.concat([iv, stolen.cipher.subarray(16, 32)]).toString('base64')}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>`
    const { xml } = protectInLayers({ soap: versions.soap, headers: headers(), body: [body] }, { choices, ids, now: Date.now(), random: systemRandom, source: source?.token ?? stolen.key, signing, encryptBody: false })
    faults.add((await ask(listed(xml, 'ed-x'))).fault)
  }
  expect([...faults]).toEqual([fault])
})
