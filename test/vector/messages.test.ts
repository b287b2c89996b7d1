/** The published complete messages: 22 that open, with exactly the bytes that were signed and hidden; 15 that must be refused, each for its reason. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readCertificate, readPrivateKey } from '../../src/crypto/certificate.ts'
import { secretKey } from '../../src/crypto/hash.ts'
import { FAULTS, type FaultName, SecurityFailure, XmlError } from '../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { NS } from '../../src/spec/versions.ts'
import type { Keys, Opened, Policy } from '../../src/wss/keys.ts'
import { open, read } from '../../src/wss/open.ts'
import { canonicalInfo, readSignature } from '../../src/wss/signature.ts'
import { canonicalize } from '../../src/xml/canonical.ts'
import { Element } from '../../src/xml/tree.ts'

interface Keyed { readonly certificateDerB64: string; readonly privateKeyPkcs8DerB64: string }
interface Message {
  readonly name: string; readonly what: string; readonly xml: string; readonly sctSecretHex?: string; readonly canonicalSignedInfo?: string; readonly endorsingCanonicalSignedInfo?: string
  readonly bodyPlaintext?: string; readonly canonicalBody?: string; readonly contentKeyHex?: string; readonly encryptedKeyPlainHex?: string; readonly encryptedKeySHA1?: string; readonly signatureValueB64?: string
}
interface Negative { readonly name: string; readonly why: string; readonly xml: string }
const vectors = JSON.parse(readFileSync(new URL('derived-key-vectors.json', import.meta.url), 'utf8')) as
  { readonly keys: { readonly client: Keyed; readonly server: Keyed }; readonly messages: readonly Message[]; readonly negative: readonly Negative[] }
const both = [vectors.keys.client, vectors.keys.server]
const message = (name: string): Message => vectors.messages.find((each) => each.name === name) as Message

const POLICY: Policy = { level: 'headers', encryptBody: false, signer: 'any', skewMs: 60_000, lifeMs: 300_000, limits: DEFAULT_LIMITS }
const TRANSPORT = new Set(['17-tls-rst-sct', '18-tls-rstrc-sct', '19-tls-app-message', '20-tls-app-response'])
const policyOf = (name: string): Policy => (TRANSPORT.has(name) ? { ...POLICY, level: 'transport' } : POLICY)
const createdOf = (xml: string): number => Date.parse(/<wsu:Created>([^<]+)</.exec(xml)?.[1] ?? '')
const identifierOf = (xml: string): string | undefined =>
  /SecurityContextToken[^>]*><\w+:Identifier>([^<]+)</.exec(xml)?.[1] ?? /<wsse:Reference URI="([^#"][^"]*)"/.exec(xml)?.[1]
const instanceOf = (xml: string): string | undefined => /<\w+:Instance>([^<]+)</.exec(xml)?.[1] ?? /\w+:Instance="([^"]+)"/.exec(xml)?.[1]

function keysFor(xml: string, secretHex: string | undefined, earlier: Opened['encryptedKeys'] = new Map()): Keys {
  const identifier = identifierOf(xml)
  return {
    contexts: (asked) => (secretHex === undefined || asked !== identifier ? [] : [{ identifier, instance: instanceOf(xml), secret: secretKey(Buffer.from(secretHex, 'hex')) }]),
    certificates: both.map((each) => readCertificate(Buffer.from(each.certificateDerB64, 'base64'))),
    privateKeys: both.map((each) => readPrivateKey(Buffer.from(each.privateKeyPkcs8DerB64, 'base64'))),
    encryptedKey: (sha1) => earlier.get(sha1),
  }
}
function opened(each: Message, policy = policyOf(each.name)): Opened {
  // The reply to the symmetric bootstrap refers to the key of its request.
  const earlier = each.name === '13-rstrc-sct-symmetric' ? opened(message('12-rst-sct-symmetric')).encryptedKeys : undefined
  return open(read(Buffer.from(each.xml), DEFAULT_LIMITS), keysFor(each.xml, each.sctSecretHex, earlier), policy, createdOf(each.xml) + 1_000)
}

describe.each(vectors.messages.map((each) => [each.name, each] as const))('%s', (_, each) => {
  test(`opens: ${each.what}`, () => {
    const { envelope, encryptedKeys, signatureValues } = opened(each)
    if (each.bodyPlaintext !== undefined) expect(envelope.body.children.map((child) => (child instanceof Element ? canonicalize(child) : child.value)).join('')).toBe(each.bodyPlaintext)
    if (each.canonicalBody !== undefined) expect(canonicalize(envelope.body)).toBe(each.canonicalBody)
    const infos = (envelope.security?.all(NS.ds, 'Signature') ?? []).map((signature) => canonicalInfo(readSignature(signature, POLICY)))
    expect(infos).toEqual([each.canonicalSignedInfo, each.endorsingCanonicalSignedInfo].filter((info) => info !== undefined))
    if (each.signatureValueB64 !== undefined) expect(Buffer.from(signatureValues[0] ?? []).toString('base64')).toBe(each.signatureValueB64)
    const keyHex = each.contentKeyHex ?? each.encryptedKeyPlainHex
    if (keyHex !== undefined && each.encryptedKeySHA1 !== undefined && encryptedKeys.size > 0) expect(encryptedKeys.get(each.encryptedKeySHA1)?.export().toString('hex')).toBe(keyHex)
  })
  test('is opened again just the same, since opening changes nothing', () => {
    const envelope = read(Buffer.from(each.xml), DEFAULT_LIMITS)
    const before = canonicalize(envelope.root)
    const earlier = each.name === '13-rstrc-sct-symmetric' ? opened(message('12-rst-sct-symmetric')).encryptedKeys : undefined
    const once = (): string => canonicalize(open(envelope, keysFor(each.xml, each.sctSecretHex, earlier), policyOf(each.name), createdOf(each.xml)).envelope.root)
    expect(once()).toBe(once())
    expect(canonicalize(envelope.root)).toBe(before)
  })
})

test('message 13 does not open without the key of message 12', () => {
  const { xml } = message('13-rstrc-sct-symmetric')
  expect(() => open(read(Buffer.from(xml), DEFAULT_LIMITS), keysFor(xml, undefined), POLICY, createdOf(xml))).toThrow(expect.objectContaining({ code: 'ERR_WSS_UNKNOWN_KEY' }))
})

test('what was found in them: signers, endorsers, user, and what was encrypted', () => {
  expect(opened(message('07-rst-renew')).endorsers).toEqual([expect.objectContaining({ kind: 'context', identifier: identifierOf(message('07-rst-renew').xml) })])
  expect(opened(message('12-rst-sct-symmetric'))).toMatchObject({ signer: { kind: 'encrypted-key' }, endorsers: [{ kind: 'certificate' }] })
  expect(opened(message('12-rst-sct-symmetric')).encryptedParts).toEqual(['element in Security:Signature', 'element in Security:Signature', 'Body:RequestSecurityToken'])
  expect(opened(message('17-tls-rst-sct'))).toMatchObject({ signer: undefined, user: { name: 'alice', password: 'correct horse', checked: false } })
  expect(opened(message('19-tls-app-message'))).toMatchObject({ signer: { kind: 'context' }, level: 'transport' })
  expect([...opened(message('19-tls-app-message')).covered].map((each) => each.local)).toEqual(['Timestamp'])
})

test.each([...TRANSPORT])('%s does not open where the message itself must be signed', (name) => {
  expect(() => opened(message(name), POLICY)).toThrow(SecurityFailure)
})
test('a reply with a Timestamp alone does not open under TLS either where a context must have signed', () => {
  expect(() => opened(message('20-tls-app-response'), { ...POLICY, level: 'transport', signer: 'context' })).toThrow(expect.objectContaining({ code: 'ERR_WSS_SIGNER' }))
})

const REFUSED: Readonly<Record<string, readonly [code: string, fault: FaultName | undefined]>> = {
  'n01-wrapping-new-id': ['ERR_WSS_COVERAGE', 'failedCheck'],
  'n02-wrapping-duplicate-id': ['ERR_WSS_DUPLICATE_ID', 'invalidSecurity'],
  'n03-body-not-signed': ['ERR_WSS_COVERAGE', 'failedCheck'],
  'n04-timestamp-not-signed': ['ERR_WSS_COVERAGE', 'failedCheck'],
  'n05-sequence-header-not-signed': ['ERR_WSS_COVERAGE', 'failedCheck'],
  'n06-unknown-sct': ['ERR_WSS_UNKNOWN_CONTEXT', 'badContextToken'],
  'n07-huge-derived-length': ['ERR_WSS_DERIVATION', 'invalidSecurity'],
  'n08-huge-derived-offset': ['ERR_WSS_DERIVATION', 'invalidSecurity'],
  'n09-offset-and-generation': ['ERR_WSS_DERIVATION', 'invalidSecurity'],
  'n10-hmac-output-length': ['ERR_WSS_ALGORITHM', 'unsupportedAlgorithm'],
  'n11-xslt-transform': ['ERR_WSS_ALGORITHM', 'unsupportedAlgorithm'],
  'n12-cipher-value-bit-flip': ['ERR_WSS_DECRYPT', 'failedCheck'],
  'n13-doctype': ['ERR_XML_DOCTYPE', undefined],
  'n14-duplicate-timestamp': ['ERR_WSS_STRUCTURE', 'invalidSecurity'],
  'n15-plain-body': ['ERR_WSS_NOT_ENCRYPTED', 'failedCheck'],
}
const SECRET = message('04-app-message').sctSecretHex

describe('messages that must be refused', () => {
  test('are all here', () => expect(vectors.negative.map((each) => each.name)).toEqual(Object.keys(REFUSED)))
  const attempt = (each: Negative): Opened => {
    const policy = each.name === 'n15-plain-body' ? { ...POLICY, encryptBody: true } : POLICY
    const keys = keysFor(each.xml, each.name === 'n06-unknown-sct' ? undefined : SECRET)
    return open(read(Buffer.from(each.xml), DEFAULT_LIMITS), keys, policy, createdOf(each.xml) + 1_000)
  }
  test.each(vectors.negative.map((each) => [`${each.name}: ${each.why}`, each] as const))('%s', (_, each) => {
    const [code, fault] = REFUSED[each.name] ?? ['', undefined]
    let thrown: unknown
    try {
      attempt(each)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(fault === undefined ? XmlError : SecurityFailure)
    expect(thrown).toMatchObject({ code, ...(fault !== undefined && { fault: FAULTS[fault] }) })
  })
  test('the one with a plain Body opens where nothing asks for encryption: it is refused for that alone', () => {
    const each = vectors.negative.find(({ name }) => name === 'n15-plain-body') as Negative
    expect(open(read(Buffer.from(each.xml), DEFAULT_LIMITS), keysFor(each.xml, SECRET), POLICY, createdOf(each.xml)).encrypted).toEqual([`{${NS.ds}}Signature`])
  })
})
