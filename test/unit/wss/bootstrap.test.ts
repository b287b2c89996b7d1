import { describe, expect, test } from 'vitest'
import { decryptKey } from '../../../src/crypto/cipher.ts'
import { secretKey } from '../../../src/crypto/hash.ts'
import { SecurityFailure } from '../../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { BASIC256_SHA1, DEFAULT_PROFILE, type Profile } from '../../../src/profiles/profile.ts'
import { RSA_OAEP_MGF1P } from '../../../src/spec/algorithms.ts'
import { NS, SC13, SOAP12 } from '../../../src/spec/versions.ts'
import { authenticate, type Authentication, protectBootstrap } from '../../../src/wss/bootstrap.ts'
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
const credentials = { ...CLIENT, peerCertificate: SERVER.certificate }
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
  const claims = (signer: Signer | undefined, endorsers: readonly Signer[] = [], user?: UserClaim): Opened => ({ signer, endorsers, user }) as unknown as Opened
  const client: Signer = { kind: 'certificate', certificate: CLIENT.certificate }
  const anybody: Signer = { kind: 'encrypted-key', sha1: '', key: secretKey(Buffer.alloc(16)) }
  const known = { kind: 'certificate', thumbprint: CLIENT.certificate.sha256, subject: CLIENT.certificate.subject }
  const trust = { pins: [CLIENT.certificate.sha1] }
  const passwords = (user: string): string | undefined => (user === 'alice' ? 'secret-alice' : undefined)

  test('a trusted signer', async () => { expect(await authenticate(claims(client), { trust, now: NOW })).toEqual(known) })
  test('a trusted endorser of a signature that anyone could have made', async () => { expect(await authenticate(claims(anybody, [client]), { trust, now: NOW })).toEqual(known) })
  test('a user with his password, or whose digest was checked', async () => {
    expect(await authenticate(claims(anybody, [], { name: 'alice', password: 'secret-alice', checked: false }), { password: passwords, now: NOW })).toEqual({ kind: 'user', name: 'alice' })
    expect(await authenticate(claims(anybody, [], { name: 'alice', checked: true }), { password: passwords, now: NOW })).toEqual({ kind: 'user', name: 'alice' })
  })
  test.each<[string, Opened, Partial<Authentication>]>([
    ['a signer who is not pinned', claims(client), { trust: { pins: [SERVER.certificate.sha1] } }],
    ['a signer when no trust is said', claims(client), {}],
    ['nobody', claims(undefined), { trust }],
    ['a key that anyone could have made', claims(anybody), { trust, password: passwords }],
    ['a context', claims({ kind: 'context', identifier: 'i', instance: undefined }), { trust, password: passwords }],
    ['another password', claims(anybody, [], { name: 'alice', password: 'secret-bob', checked: false }), { password: passwords }],
    ['no password', claims(anybody, [], { name: 'alice', checked: false }), { password: passwords }],
    ['an unknown user', claims(anybody, [], { name: 'mallory', password: 'undefined', checked: false }), { password: passwords }],
    ['an unknown user whose digest is said to be right', claims(anybody, [], { name: 'mallory', checked: true }), { password: passwords }],
    ['a user where none are known', claims(anybody, [], { name: 'alice', password: 'secret-alice', checked: false }), { trust }],
  ])('%s is refused', async (_, message, authentication) => { await expect(authenticate(message, { now: NOW, ...authentication })).rejects.toThrow(SecurityFailure) })
})
