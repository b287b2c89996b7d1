import { describe, expect, test } from 'vitest'
import { decryptKey } from '../../../src/crypto/cipher.ts'
import { secretKey } from '../../../src/crypto/hash.ts'
import { SecurityFailure } from '../../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { BASIC256_SHA1, DEFAULT_PROFILE, type Profile } from '../../../src/profiles/profile.ts'
import { RSA_OAEP_MGF1P } from '../../../src/spec/algorithms.ts'
import { NS, SC13, SOAP12 } from '../../../src/spec/versions.ts'
import { authenticate, type Expectation } from '../../../src/wss/authenticate.ts'
import { type BootstrapCredentials, protectBootstrap } from '../../../src/wss/bootstrap.ts'
import type { Opened, Signer, UserClaim } from '../../../src/wss/keys.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { readDocument, readElement } from '../../../src/xml/reader.ts'
import type { Element } from '../../../src/xml/tree.ts'
import { writeAddressing } from '../../../src/soap/addressing.ts'
import { CLIENT, counted, everyKind, type Identity, NOW, SECRET, SERVER, SERVICE, tokenOf } from '../../schema/kinds.ts'
import { WSA10 } from '../../../src/spec/versions.ts'
import vectors from '../../vector/derived-key-vectors.json' with { type: 'json' }
import { type Checked, check, skeleton } from './verify.ts'

const opened = (xml: string, receiver: Identity, sender: Identity): Checked => check(xml, {
  context: SECRET, certificate: sender.certificate.publicKey,
  content: (key: Element) => decryptKey(RSA_OAEP_MGF1P, receiver.key, Buffer.from(key.first(NS.xenc, 'CipherData')?.first(NS.xenc, 'CipherValue')?.text ?? '', 'base64')),
})
const credentials: BootstrapCredentials = { kind: 'x509', role: 'initiator', own: CLIENT, peer: SERVER.certificate }
const headers = (): readonly Element[] => writeAddressing({ action: 'urn:a', to: SERVICE, messageId: 'urn:uuid:1', replyTo: 'anonymous' }, WSA10, SOAP12)
const write = (profile: Profile = DEFAULT_PROFILE, body: readonly string[] = ['<a></a>'], endorse = false): string =>
  protectBootstrap({ soap: SOAP12, headers: headers(), body }, credentials, { profile, now: NOW, random: counted(), ...(endorse && { endorse: tokenOf({ sc: SC13 }) }) }).xml

describe('everything that is sent to establish a context', () => {
  test.each([...everyKind()].filter((kind) => kind.by === 'bootstrap').map((kind) => [kind.name, kind] as const))('%s', (name, kind) => {
    const [sender, receiver] = name.startsWith('RSTR') ? [SERVER, CLIENT] : [CLIENT, SERVER]
    const { root, security, body, signatures } = opened(kind.sealed, receiver, sender)
    const [primary, endorsing] = signatures
    expect(primary).toMatchObject({ digests: true, value: true })
    const expected = [...(root.elements()[0]?.elements() ?? []).filter((each) => each !== security), security.first(NS.wsu, 'Timestamp'), body]
    expect(new Set(primary?.covers)).toEqual(new Set(expected))
    // A renewal proves the key of the context by a signature over the signature.
    if (name.startsWith('RST for')) expect(endorsing).toMatchObject({ digests: true, value: true, covers: [security.first(NS.ds, 'Signature')] })
    else expect(endorsing).toBeUndefined()
    expect(kind.sealed).not.toContain('BinarySecret')
    expect(body.elements().map((each) => each.local).join()).toMatch(/^RequestSecurityToken/)
  })
})

test.each([['01-rst-sct', false], ['02-rstrc-sct', false], ['07-rst-renew', true], ['08-rstrc-renew', false]])('%s has the shape of ours', (name, renews) => {
  const shape = (xml: string): string => skeleton(readDocument(Buffer.from(xml), DEFAULT_LIMITS).root.elements()[0]?.first(NS.wsse, 'Security') ?? missing())
  expect(shape(write(DEFAULT_PROFILE, ['<a></a>'], renews))).toBe(shape(vectors.messages.find((each) => each.name === name)?.xml ?? ''))
})
const missing = (): never => { throw new Error('no Security') }

test('the SHA-1 profile signs with RSA-SHA1, ours with RSA-SHA256', () => {
  expect(write()).toContain('xmldsig-more#rsa-sha256')
  expect(write()).not.toContain('#rsa-sha1')
  expect(write(BASIC256_SHA1)).toContain('xmldsig#rsa-sha1')
  expect(opened(write(BASIC256_SHA1), SERVER, CLIENT).signatures).toMatchObject([{ digests: true, value: true }])
})
test.each([[false, true], [true, false]])('an answer to a token request confirms by the word of its own: session %s, bootstrap %s, in every kind', (session, bootstrap) => {
  const profile: Profile = { ...DEFAULT_PROFILE, signatureConfirmation: session, bootstrap: { ...DEFAULT_PROFILE.bootstrap, signatureConfirmation: bootstrap } }
  const kinds: readonly BootstrapCredentials[] = [{ kind: 'x509', role: 'recipient', own: SERVER, peer: CLIENT.certificate }, { kind: 'earlier-key', sha1: 'a', key: SECRET }, { kind: 'tls' }]
  for (const kind of kinds) {
    const { xml } = protectBootstrap({ soap: SOAP12, headers: headers(), body: ['<a></a>'] }, kind, { profile, now: NOW, random: counted(), confirms: [Buffer.from('one'), Buffer.from('two')] })
    expect([...xml.matchAll(/SignatureConfirmation [^>]*Value="([^"]*)"/g)].map((each) => each[1])).toEqual(bootstrap ? ['b25l', 'dHdv'] : [])
  }
})
test('a Body that mixes up our prefixes is signed as it will be read', () => {
  for (const text of [`<s:b xmlns:s="urn:s" xmlns:wsu="urn:w" wsu:Id="1">&amp;&#xD;é\u{1f600}</s:b>`, `<b xmlns="urn:b"><c xmlns=""></c><s:d xmlns:s="${SOAP12.ns}"></s:d></b>`]) {
    const { body, signatures } = opened(write(DEFAULT_PROFILE, [text]), SERVER, CLIENT)
    expect(signatures).toMatchObject([{ digests: true, value: true }])
    expect(body.elements().map((each) => canonicalize(each))).toEqual([canonicalize(readElement(text, DEFAULT_LIMITS))])
  }
})
test('a changed header breaks its digest, a changed reference the value', () => {
  expect(opened(write().replace('>urn:uuid:1<', '>urn:uuid:2<'), SERVER, CLIENT).signatures[0]).toMatchObject({ digests: false, value: true })
  expect(opened(write().replace(/<ds:DigestValue>..../, '<ds:DigestValue>AAAA'), SERVER, CLIENT).signatures[0]).toMatchObject({ digests: false, value: false })
})

describe('who stands behind a message', () => {
  type Claims = Partial<Pick<Opened, 'signer' | 'endorsers' | 'user' | 'level'>>
  const claims = (words: Claims): Opened => ({ endorsers: [], level: 'headers', ...words }) as unknown as Opened
  const client: Signer = { kind: 'certificate', certificate: CLIENT.certificate }
  const server: Signer = { kind: 'certificate', certificate: SERVER.certificate }
  const anybody: Signer = { kind: 'encrypted-key', sha1: '', key: secretKey(Buffer.alloc(16)) }
  const context: Signer = { kind: 'context', identifier: 'i', instance: undefined }
  const alice: UserClaim = { name: 'alice', password: 'secret-alice', checked: false }
  const known = { kind: 'certificate', thumbprint: CLIENT.certificate.sha256, subject: CLIENT.certificate.subject }
  const trust = { pins: [CLIENT.certificate.sha1] }
  const password = (user: string): string | undefined => (user === 'alice' ? 'secret-alice' : undefined)
  const x509: Expectation = { kind: 'x509', trust }
  const user: Expectation = { kind: 'usernameForCertificate', password }
  const endorsed: Expectation = { kind: 'usernameForCertificate', password, endorsing: trust }
  const tlsUser: Expectation = { kind: 'usernameOverTls', password }
  const tlsClient: Expectation = { kind: 'certificateOverTls', trust }
  const tls = { certificate: CLIENT.certificate }

  test.each<[string, Claims, Expectation, object, object?]>([
    ['a trusted signer', { signer: client }, x509, known],
    ['a user with his password', { signer: anybody, user: alice }, user, { kind: 'user', name: 'alice' }],
    ['a user whose digest was checked', { signer: anybody, user: { name: 'alice', checked: true } }, user, { kind: 'user', name: 'alice' }],
    ['a user with a trusted endorser', { signer: anybody, endorsers: [client], user: alice }, endorsed, { kind: 'user', name: 'alice' }],
    ['a trusted endorser alone', { signer: anybody, endorsers: [client] }, { kind: 'usernameForCertificate', endorsing: trust }, known],
    ['a user under TLS', { level: 'transport', user: alice }, tlsUser, { kind: 'user', name: 'alice' }, {}],
    ['a client certificate under TLS', { level: 'transport' }, tlsClient, known, tls],
  ])('%s', async (_, message, expected, principal, under) => {
    expect(await authenticate(claims(message), expected, { now: NOW, tls: under })).toEqual(principal)
  })
  test.each<[string, Claims, Expectation, object?]>([
    ['a signer who is not trusted', { signer: server }, x509],
    ['nobody', {}, x509],
    ['nobody, of a user', {}, user],
    ['a key that anyone could have made', { signer: anybody }, x509],
    ['a key that anyone could have made, without a user', { signer: anybody }, user],
    ['a context', { signer: context, user: alice }, user],
    ['a user beside the signature of a certificate', { signer: client, user: alice }, user],
    ['a signer whose user is not asked for', { signer: anybody, user: alice }, x509],
    ['another password', { signer: anybody, user: { ...alice, password: 'secret-bob' } }, user],
    ['no password', { signer: anybody, user: { name: 'alice', checked: false } }, user],
    ['an unknown user', { signer: anybody, user: { name: 'mallory', password: 'undefined', checked: false } }, user],
    ['an unknown user whose digest is said to be right', { signer: anybody, user: { name: 'mallory', checked: true } }, user],
    ['a user without the endorser that is asked for', { signer: anybody, user: alice }, endorsed],
    ['a user with an endorser who is not trusted', { signer: anybody, endorsers: [server], user: alice }, endorsed],
    ['an endorser whose user has another password', { signer: anybody, endorsers: [client], user: { ...alice, password: 'x' } }, endorsed],
    ['a user under TLS whom nothing protects', { level: 'transport', user: alice }, tlsUser],
    ['a user who was to be under TLS', { signer: anybody, user: alice }, tlsUser, {}],
    ['a user under TLS where the message was to be protected', { level: 'transport', signer: anybody, user: alice }, user, {}],
    ['a signer under TLS where the message was to be protected', { level: 'transport', signer: client }, x509, tls],
    ['TLS without a client certificate', { level: 'transport' }, tlsClient, {}],
    ['a client certificate under TLS that is not trusted', { level: 'transport' }, tlsClient, { certificate: SERVER.certificate }],
    ['a client certificate under TLS of a message that protects itself', { signer: anybody }, tlsClient, tls],
  ])('%s is refused', async (_, message, expected, under) => {
    await expect(authenticate(claims(message), expected, { now: NOW, tls: under })).rejects.toThrow(SecurityFailure)
  })
})
