/** Every dialect that can be written opens here under the strictest level of its profile, and says who is behind it. */
import { createDecipheriv } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { secretKey } from '../../../src/crypto/hash.ts'
import { SecurityFailure } from '../../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { BASIC256_SHA1, DEFAULT_PROFILE, type Profile } from '../../../src/profiles/profile.ts'
import { versionsOf } from '../../../src/profiles/versions.ts'
import { writeAddressing } from '../../../src/soap/addressing.ts'
import { SUITES } from '../../../src/spec/algorithms.ts'
import { NS } from '../../../src/spec/versions.ts'
import { answerPolicy, bootstrapPolicy, sessionPolicy } from '../../../src/wire.ts'
import { authenticate, type Expectation } from '../../../src/wss/authenticate.ts'
import { type BootstrapCredentials, protectBootstrap } from '../../../src/wss/bootstrap.ts'
import type { Keys, Opened, Policy } from '../../../src/wss/keys.ts'
import { open, read } from '../../../src/wss/open.ts'
import { protect } from '../../../src/wss/protect.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { CLIENT, CONTEXT, counted, NOW, SECRET, SERVER, SERVICE } from '../../schema/kinds.ts'

/** Every choice of each, one combined with all others. */
function* product<T extends Readonly<Record<string, readonly unknown[]>>>(choices: T): Generator<{ -readonly [K in keyof T]: T[K][number] }> {
  const [name, ...rest] = Object.keys(choices)
  if (name === undefined) return yield {} as never
  const others = Object.fromEntries(rest.map((each) => [each, choices[each] ?? []]))
  for (const value of choices[name] ?? []) for (const more of product(others)) yield { [name]: value, ...more } as never
}
const words = (choices: object): string => Object.entries(choices).map(([name, value]) => `${name} ${String(value)}`).join(', ')
const bodyOf = (profile: Profile): string => `<a xmlns="urn:a">${profile.suite}</a>`
const openIt = (xml: string, keys: Partial<Keys>, policy: Policy): Opened =>
  open(read(Buffer.from(xml), DEFAULT_LIMITS), { contexts: () => [], certificates: [], privateKeys: [], encryptedKey: () => undefined, ...keys }, policy, NOW)
const headersOf = (profile: Profile) => {
  const { soap, addressing } = versionsOf(profile)
  return writeAddressing({ action: 'urn:a', to: SERVICE, messageId: 'urn:uuid:1', replyTo: 'anonymous' }, addressing, soap)
}
/** Header, Body and Timestamp are covered, and the Body is what was written. */
function mustBeWhole(opened: Opened, profile: Profile): void {
  const { header, body, security } = opened.envelope
  if (opened.level !== 'transport') {
    for (const each of header?.elements() ?? []) if (each !== security) expect(opened.covered.has(each)).toBe(true)
    expect(opened.covered.has(body)).toBe(true)
  }
  expect(body.elements().map((each) => canonicalize(each))).toEqual([bodyOf(profile)])
}

describe('under a context', () => {
  const secrets = (bytes: number) => secretKey(Buffer.alloc(32, 7).subarray(0, bytes))
  const keysFor = (bytes: number, instance?: string): Partial<Keys> => ({ contexts: (identifier) => (identifier === CONTEXT ? [{ identifier, instance, secret: secrets(bytes) }] : []) })

  test.each([...SUITES.values()].map((suite) => [suite.name, suite] as const))('%s, whatever else is chosen', (name, suite) => {
    let count = 0
    for (const choice of product({
      derivedKeys: [true, false], order: ['sign-before-encrypt', 'encrypt-before-sign'], encryptSignature: [true, false, 'with-body'], keyOrder: ['signature-first', 'encryption-first'], layout: ['strict', 'lax'],
      includeToken: ['requests', 'always'], signatureConfirmation: [true, false], role: ['initiator', 'recipient'], encryptBody: [true, false], digest: [undefined, 'sha1'], instance: [undefined, 'second'],
    } as const)) {
      const { role, encryptBody, digest, instance, ...rest } = choice
      const profile: Profile = { ...DEFAULT_PROFILE, ...rest, suite: name, hmac: 'hmac-sha1', ...(digest !== undefined && { digest }) }
      const message = { soap: versionsOf(profile).soap, headers: headersOf(profile), body: [bodyOf(profile)], encryptBody, ...(role === 'recipient' && { confirms: [Buffer.from('one'), Buffer.from('two')] }) }
      const { xml, signatureValues } = protect(message, { identifier: CONTEXT, instance, secret: secrets(suite.secretBytes), sc: versionsOf(profile).sc }, { profile, role, now: NOW, random: counted(++count) })
      const opened = openIt(xml, keysFor(suite.secretBytes, instance), { ...sessionPolicy({ profile, limits: DEFAULT_LIMITS }), encryptBody })
      mustBeWhole(opened, profile)
      expect(opened.signer, words(choice)).toMatchObject({ kind: 'context', identifier: CONTEXT })
      expect(opened.signatureValues).toEqual(signatureValues)
      expect(opened.confirmations).toEqual(rest.signatureConfirmation && role === 'recipient' ? ['b25l', 'dHdv'] : [])
      const isSealed = rest.encryptSignature === true || (rest.encryptSignature === 'with-body' && encryptBody)
      expect(xml.includes('<ds:SignatureValue>')).toBe(!isSealed)
      expect(xml.includes('<wsc:SecurityContextToken ')).toBe(role === 'initiator' || rest.includeToken === 'always')
    }
    expect(count).toBe(3_072)
  })

  test('an answer without a signature to confirm says so', () => {
    const profile: Profile = { ...DEFAULT_PROFILE, signatureConfirmation: true }
    const { xml } = protect({ soap: versionsOf(profile).soap, headers: headersOf(profile), body: [bodyOf(profile)], encryptBody: true, confirms: [] }, { identifier: CONTEXT, secret: secrets(32), sc: versionsOf(profile).sc }, { profile, role: 'recipient', now: NOW, random: counted() })
    expect(openIt(xml, keysFor(32), sessionPolicy({ profile: DEFAULT_PROFILE, limits: DEFAULT_LIMITS })).confirmations).toEqual([''])
  })

  test('a secret that is longer than the cipher wants encrypts with its first bytes', () => {
    const profile: Profile = { ...BASIC256_SHA1, suite: 'Basic128', derivedKeys: false }
    const { xml } = protect({ soap: versionsOf(profile).soap, headers: headersOf(profile), body: [bodyOf(profile)], encryptBody: true }, { identifier: CONTEXT, secret: secrets(32), sc: versionsOf(profile).sc }, { profile, role: 'initiator', now: NOW, random: counted() })
    mustBeWhole(openIt(xml, keysFor(32), sessionPolicy({ profile, limits: DEFAULT_LIMITS })), profile)
    const [, cipher = ''] = /<xenc:CipherValue>([^<]+)</.exec(xml) ?? []
    const [iv, data] = [Buffer.from(cipher, 'base64').subarray(0, 16), Buffer.from(cipher, 'base64').subarray(16)]
    const decipher = createDecipheriv('aes-128-cbc', Buffer.alloc(16, 7), iv).setAutoPadding(false)
    expect(Buffer.concat([decipher.update(data), decipher.final()]).toString()).toContain('>Basic128</a>')
  })
  test('the token has the id that it was issued with, and references to it say which instance', () => {
    const { xml } = protect({ soap: versionsOf(DEFAULT_PROFILE).soap, headers: [], body: [bodyOf(DEFAULT_PROFILE)], encryptBody: true }, { identifier: CONTEXT, instance: 'second', elementId: 'sctId-1', secret: secrets(32), sc: versionsOf(DEFAULT_PROFILE).sc }, { profile: DEFAULT_PROFILE, role: 'initiator', now: NOW, random: counted() })
    expect(xml).toContain('wsu:Id="sctId-1"')
    expect(xml.match(/URI="#sctId-1" ValueType="[^"]*" wsc:Instance="second"/g)).toHaveLength(2)
  })

  describe('by TLS', () => {
    test('an answer confirms in clear what TLS protects', () => {
      const profile: Profile = { ...BASIC256_SHA1, protection: 'transport', signatureConfirmation: true }
      for (const [confirms, said] of [[[Buffer.from('one')], ['b25l']], [[], ['']]] as const) {
        const { xml } = protect({ soap: versionsOf(profile).soap, headers: [], body: [bodyOf(profile)], encryptBody: true, confirms }, { identifier: CONTEXT, secret: secrets(32), sc: versionsOf(profile).sc }, { profile, role: 'recipient', now: NOW, random: counted() })
        expect(openIt(xml, keysFor(32), answerPolicy({ profile, limits: DEFAULT_LIMITS })).confirmations).toEqual(said)
      }
    })
    const write = (profile: Profile, role: 'initiator' | 'recipient', bytes = 32): string =>
      protect({ soap: versionsOf(profile).soap, headers: headersOf(profile), body: [bodyOf(profile)], encryptBody: true }, { identifier: CONTEXT, secret: secrets(bytes), sc: versionsOf(profile).sc }, { profile, role, now: NOW, random: counted() }).xml
    test.each([true, false])('with derived keys: %s', (derivedKeys) => {
      const profile: Profile = { ...BASIC256_SHA1, protection: 'transport', derivedKeys }
      const opened = openIt(write(profile, 'initiator'), keysFor(32), sessionPolicy({ profile, limits: DEFAULT_LIMITS }))
      mustBeWhole(opened, profile)
      expect(opened).toMatchObject({ level: 'transport', signer: { kind: 'context', identifier: CONTEXT } })
      // Peer .NET Framework: nothing but the Timestamp is signed.
      expect([...opened.covered].map((each) => each.local)).toEqual(['Timestamp'])
      expect(write(profile, 'recipient')).not.toContain('Signature')
    })
    test('what nobody signed, or signed with another key, is no message of the context', () => {
      const profile: Profile = { ...BASIC256_SHA1, protection: 'transport' }
      const policy = sessionPolicy({ profile, limits: DEFAULT_LIMITS })
      expect(() => openIt(write(profile, 'recipient'), keysFor(32), policy)).toThrow(SecurityFailure)
      expect(() => openIt(write(profile, 'initiator'), { contexts: (identifier) => [{ identifier, instance: undefined, secret: secretKey(Buffer.alloc(32, 8)) }] }, policy)).toThrow(SecurityFailure)
      expect(() => openIt(write(profile, 'initiator').replace('<wsu:Created>2026', '<wsu:Created>2025'), keysFor(32), policy)).toThrow(SecurityFailure)
    })
  })
})

describe('to establish one', () => {
  const user = { name: 'alice', password: secretKey(Buffer.from('se&cret')) }
  const password = (name: string): string | undefined => (name === 'alice' ? 'se&cret' : undefined)
  const trust = { pins: [CLIENT.certificate.sha256] }
  const client = { kind: 'certificate', thumbprint: CLIENT.certificate.sha256, subject: CLIENT.certificate.subject }
  const alice = { kind: 'user', name: 'alice' }
  const kinds: readonly (readonly [string, BootstrapCredentials, Expectation, object])[] = [
    ['x509', { kind: 'x509', role: 'initiator', own: CLIENT, peer: SERVER.certificate }, { kind: 'x509', trust }, client],
    ['a user', { kind: 'fresh-key', peer: SERVER.certificate, user }, { kind: 'usernameForCertificate', password }, alice],
    ['a user and an endorsing certificate', { kind: 'fresh-key', peer: SERVER.certificate, user, endorsing: CLIENT }, { kind: 'usernameForCertificate', password, endorsing: trust }, alice],
    ['an endorsing certificate', { kind: 'fresh-key', peer: SERVER.certificate, endorsing: CLIENT }, { kind: 'usernameForCertificate', endorsing: trust }, client],
  ]
  const token = { identifier: CONTEXT, secret: SECRET, sc: versionsOf(DEFAULT_PROFILE).sc }
  const server: Partial<Keys> = { certificates: [CLIENT.certificate, SERVER.certificate], privateKeys: [SERVER.key], contexts: (identifier) => [{ identifier, instance: undefined, secret: SECRET }] }

  test.each(kinds)('%s, whatever else is chosen, and its answer', async (_, credentials, expectation, principal) => {
    let count = 0
    for (const choice of product({
      suite: ['Basic256Sha256', 'Basic128', 'Basic256GCM'], order: ['sign-before-encrypt', 'encrypt-before-sign'], encryptSignature: [true, false], derivedKeys: [true, false], layout: ['strict', 'lax'],
      keyOrder: ['signature-first', 'encryption-first'], certificateReference: ['thumbprint', 'issuer-serial', 'subject-key-identifier'], includeCertificate: ['requests', 'always'], signatureConfirmation: [true, false], renews: [true, false],
    } as const)) {
      const { suite, order, encryptSignature, derivedKeys, layout, keyOrder, certificateReference, includeCertificate, signatureConfirmation, renews } = choice
      // Each RSA signature takes its time: a part of them, spread over all choices.
      if (++count % 23 !== 0) continue
      const profile: Profile = { ...DEFAULT_PROFILE, suite, layout, keyOrder, signatureConfirmation, bootstrap: { accept: 'headers', order, encryptSignature, keyOrder, derivedKeys, includeCertificate, certificateReference } }
      const policy = bootstrapPolicy({ profile, limits: DEFAULT_LIMITS, isUnderTls: false })
      const message = { soap: versionsOf(profile).soap, headers: headersOf(profile), body: [bodyOf(profile)] }
      const asked = protectBootstrap(message, credentials, { profile, now: NOW, random: counted(count), ...(renews && { endorse: token }) })
      expect(asked.xml).not.toContain('se&amp;cret')
      const question = openIt(asked.xml, server, policy)
      mustBeWhole(question, profile)
      expect(await authenticate(question, expectation, { now: NOW }), words(choice)).toEqual(principal)
      expect(question.endorsers.some((each) => each.kind === 'context')).toBe(renews)

      const { signer } = question
      const own: BootstrapCredentials = signer?.kind === 'encrypted-key' ? { kind: 'earlier-key', sha1: signer.sha1, key: signer.key } : { kind: 'x509', role: 'recipient', own: SERVER, peer: CLIENT.certificate }
      const answered = protectBootstrap(message, own, { profile, now: NOW, random: counted(count + 1), confirms: question.signatureValues })
      const answer = openIt(answered.xml, { certificates: [CLIENT.certificate, SERVER.certificate], privateKeys: [CLIENT.key], encryptedKey: (sha1) => (sha1 === asked.key?.sha1 ? asked.key.key : undefined) }, policy)
      mustBeWhole(answer, profile)
      expect(answer.confirmations).toEqual(signatureConfirmation ? asked.signatureValues.map((value) => Buffer.from(value).toString('base64')) : [])
    }
  })

  test.each([
    ['a user', { kind: 'tls', user }, { kind: 'usernameOverTls', password }, {}, alice],
    ['a client certificate', { kind: 'tls' }, { kind: 'certificateOverTls', trust }, { certificate: CLIENT.certificate }, client],
  ] as const)('%s under TLS, also to renew', async (_, credentials, expectation, tls, principal) => {
    const profile: Profile = { ...DEFAULT_PROFILE, protection: 'transport' }
    const message = { soap: versionsOf(profile).soap, headers: headersOf(profile), body: [bodyOf(profile)] }
    const policy = bootstrapPolicy({ profile, limits: DEFAULT_LIMITS, isUnderTls: true })
    for (const endorse of [undefined, token]) {
      const { xml } = protectBootstrap(message, credentials, { profile, now: NOW, random: counted(), endorse })
      const opened = openIt(xml, server, policy)
      mustBeWhole(opened, profile)
      expect(await authenticate(opened, expectation, { now: NOW, tls })).toEqual(principal)
      expect(opened.signer?.kind).toBe(endorse === undefined ? undefined : 'context')
      await expect(authenticate(opened, expectation, { now: NOW })).rejects.toThrow(SecurityFailure)
    }
  })

  test('whoever has no key of the service reads neither the Body nor the user', () => {
    const { xml } = protectBootstrap({ soap: versionsOf(DEFAULT_PROFILE).soap, headers: headersOf(DEFAULT_PROFILE), body: [bodyOf(DEFAULT_PROFILE)] }, { kind: 'fresh-key', peer: SERVER.certificate, user }, { profile: DEFAULT_PROFILE, now: NOW, random: counted() })
    expect(xml).not.toContain('alice')
    expect(xml).not.toContain(NS.wsse + '"><wsse:Username')
    expect(() => openIt(xml, { ...server, privateKeys: [CLIENT.key] }, bootstrapPolicy({ profile: DEFAULT_PROFILE, limits: DEFAULT_LIMITS, isUnderTls: false }))).toThrow(SecurityFailure)
  })
})
