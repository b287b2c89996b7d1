import fc from 'fast-check'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { secretKey } from '../../../src/crypto/hash.ts'
import type { RandomSource } from '../../../src/crypto/random.ts'
import { UsageError } from '../../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { BASIC256_SHA1, DEFAULT_PROFILE, type Profile } from '../../../src/profiles/profile.ts'
import { writeAddressing } from '../../../src/soap/addressing.ts'
import { NS, SC13, SOAP11, SOAP12, type SoapVersion, WSA10 } from '../../../src/spec/versions.ts'
import { protect, type ProtectOptions, type Protected, type SessionMessage } from '../../../src/wss/protect.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { readDocument, readElement } from '../../../src/xml/reader.ts'
import { lookup } from '../../../src/xml/tree.ts'
import { writeNodes } from '../../../src/xml/writer.ts'
import { CONTEXT, counted, everyKind, NOW, SECRET, SERVICE } from '../../schema/kinds.ts'
import vectors from '../../vector/derived-key-vectors.json' with { type: 'json' }
import { check, skeleton } from './verify.ts'

const headers = (soap: SoapVersion = SOAP12): SessionMessage['headers'] =>
  writeAddressing({ action: 'urn:a', to: SERVICE, messageId: 'urn:uuid:1', replyTo: 'anonymous' }, WSA10, soap)
const write = (message: Partial<SessionMessage> = {}, options: Partial<ProtectOptions> & { instance?: string } = {}): Protected => {
  const { instance, ...rest } = options
  return protect({ soap: SOAP12, headers: headers(message.soap), body: ['<a:b xmlns:a="urn:a">t</a:b>'], encryptBody: true, ...message },
    { identifier: CONTEXT, secret: SECRET, sc: SC13, instance }, { profile: DEFAULT_PROFILE, role: 'initiator', now: NOW, random: counted(), ...rest })
}
const sealed: Profile = { ...DEFAULT_PROFILE, encryptSignature: true }

describe('everything that is sent under a context', () => {
  test.each([...everyKind()].filter((kind) => kind.by === 'context').map((kind) => [kind.name, kind] as const))('%s: one signature covers all headers, the Timestamp and the Body', (_, kind) => {
    for (const xml of [kind.clear, kind.sealed]) {
      const { root, security, body, signatures } = check(xml, { context: SECRET })
      expect(signatures).toHaveLength(1)
      const [signature] = signatures
      expect(signature).toMatchObject({ digests: true, value: true })
      const expected = [...(root.elements()[0]?.elements() ?? []).filter((each) => each !== security), security.first(NS.wsu, 'Timestamp'), body]
      expect(new Set(signature?.covers)).toEqual(new Set(expected))
      expect(signature?.covers).toHaveLength(expected.length)
    }
  })
})

describe('the published messages have the shape of ours', () => {
  const published = (name: string): string => {
    const { root } = readDocument(Buffer.from(vectors.messages.find((each) => each.name === name)?.xml ?? ''), DEFAULT_LIMITS)
    return skeleton(root.elements()[0]?.first(NS.wsse, 'Security') ?? root)
  }
  const ours = (xml: string): string => {
    const { root } = readDocument(Buffer.from(xml), DEFAULT_LIMITS)
    return skeleton(root.elements()[0]?.first(NS.wsse, 'Security') ?? root)
  }
  test('03, 04: a request with an encrypted signature', () => {
    const written = ours(write({}, { profile: sealed }).xml)
    expect(written).toBe(published('03-create-sequence'))
    expect(written).toBe(published('04-app-message'))
  })
  test('06: a reply without the token', () => { expect(ours(write({}, { profile: sealed, role: 'recipient' }).xml)).toBe(published('06-app-response-no-token')) })
  /** Ours names the instance in the references too, for readers that look for it there and not in the token. */
  const named = (shape: string): string => shape.replaceAll('Reference@Instance,URI,ValueType', 'Reference@URI,ValueType')
  test('09: after a renewal', () => { expect(named(ours(write({}, { profile: sealed, instance: 'i' }).xml))).toBe(published('09-app-message-renewed')) })
  test('10, 11: Cancel and its answer, Body in clear', () => {
    expect(named(ours(write({ encryptBody: false }, { profile: sealed, instance: 'i' }).xml))).toBe(published('10-rst-cancel'))
    expect(ours(write({ encryptBody: false }, { profile: sealed, role: 'recipient', instance: 'i' }).xml)).toBe(published('11-rstrc-cancel'))
  })
})

describe('a Body is signed as the receiver will see it', () => {
  const bodies: readonly (readonly [string, string])[] = [
    ['with a default namespace', '<b xmlns="urn:b"><c xmlns="">x</c></b>'],
    ['without any namespace', '<b><c d="e"></c></b>'],
    ['that declares the SOAP prefix again', `<b xmlns:s="${SOAP12.ns}" s:role="x"><s:c></s:c></b>`],
    ['that means something else by s and wsu', '<s:b xmlns:s="urn:s" xmlns:wsu="urn:w" wsu:Id="1"><wsu:c></wsu:c></s:b>'],
    ['that declares wsu deep inside', `<b><c xmlns:wsu="${NS.wsu}" wsu:Id="mine"></c></b>`],
    ['that redeclares s and returns to it', `<b><s:c xmlns:s="urn:s"><s:d xmlns:s="${SOAP12.ns}"></s:d></s:c></b>`],
    ['that speaks of a declaration in its text', `<b>xmlns:s="${SOAP12.ns}" xmlns:wsu="${NS.wsu}"</b>`],
    ['with every character that is escaped', '<b a="&quot;&lt;&amp;&#x9;&#xA;&#xD;">&lt;&amp;&gt;&#xD;\u{1f600}</b>'],
    ['whose content needs a declaration that no name needs', '<a:b xmlns:a="urn:a" xmlns:t="urn:t" xmlns:xsi="urn:xsi" xsi:type="t:T"></a:b>'],
    ['whose declarations are needed further in', '<b xmlns:a="urn:a" c="&gt; a:b" d="> a:e"><a:c></a:c></b>'],
    ['that undeclares nothing', '<b xmlns=""></b>'],
    ['with xml:lang', '<b xml:lang="en"></b>'],
    ['with no content', ''],
  ]
  for (const [profileName, profile] of [['CBC', sealed], ['GCM', { ...sealed, suite: 'Basic128GCM' as const }], ['SHA-1', BASIC256_SHA1], ['no derived keys', { ...sealed, derivedKeys: false }]] as const) {
    test.each(bodies)(`${profileName}, %s`, (_, text) => {
      const element = text === '' ? undefined : readElement(text, DEFAULT_LIMITS)
      for (const soap of [SOAP12, SOAP11]) for (const encryptBody of [true, false]) for (const body of element === undefined ? [[]] : [[element], [canonicalize(element)], [writeNodes([element])]]) {
        const { signatures, body: read } = check(write({ soap, body, encryptBody }, { profile: profile.derivedKeys ? profile : { ...profile, suite: 'Basic256' } }).xml, { context: SECRET })
        expect(signatures).toMatchObject([{ digests: true, value: true }])
        expect(read.elements().map((each) => canonicalize(each))).toEqual(element === undefined ? [] : [canonicalize(element)])
      }
    })
  }

  test('whatever it holds', () => {
    const prefixes = ['s', 'wsu', 'a', '']
    const uris = fc.constantFrom(SOAP12.ns, NS.wsu, 'urn:a', 'urn:b')
    const { tree } = fc.letrec<{ tree: string }>((tie) => ({
      tree: fc.tuple(fc.constantFrom(...prefixes), uris, fc.constantFrom('', 'x', '&lt;'), fc.oneof({ maxDepth: 4, withCrossShrink: true }, fc.constant<string[]>([]), fc.array(tie('tree'), { maxLength: 2 }))).map(([prefix, uri, text, children]) => {
        const name = prefix === '' ? 'e' : `${prefix}:e`
        return `<${name} xmlns${prefix === '' ? '' : `:${prefix}`}="${uri}">${text}${children.join('')}</${name}>`
      }),
    }))
    fc.assert(fc.property(tree, fc.boolean(), fc.constantFrom('read', 'canonical', 'written'), (text, encryptBody, form) => {
      const element = readElement(text, DEFAULT_LIMITS)
      const body = { read: element, canonical: canonicalize(element), written: writeNodes([element]) }[form] ?? element
      const { signatures, body: received } = check(write({ body: [body], encryptBody }, { profile: sealed }).xml, { context: SECRET })
      expect(signatures).toMatchObject([{ digests: true, value: true }])
      expect(received.elements().map((each) => canonicalize(each))).toEqual([canonicalize(element)])
      // Declarations that content may need arrive.
      if (form !== 'canonical') expect(prefixes.filter((each) => element.scope !== undefined && lookup(element.scope, each) !== lookup(received.elements()[0]?.scope, each) && lookup(element.scope, each))).toEqual([])
    }), { seed: 8, numRuns: 300 })
  })
})

test('application headers keep what their content needs, whatever their prefixes mean', () => {
  const texts = [
    '<t:h xmlns:t="urn:t" xmlns:x="urn:x" kind="x:y"></t:h>', '<wsu:h xmlns:wsu="urn:w" wsu:a="b"></wsu:h>', '<h xmlns="urn:h" xmlns:wsu="urn:w" kind="wsu:y"><wsu:a></wsu:a></h>',
    `<s:h xmlns:s="urn:s"><wsu:c xmlns:wsu="${NS.wsu}"></wsu:c></s:h>`, '<h xmlns="urn:h" xmlns:wsu="urn:w" xmlns:wsu_="urn:v" wsu_:a="b"></h>',
  ]
  const own = texts.map((text) => readElement(text, DEFAULT_LIMITS))
  const { root, signatures } = check(write({ headers: [...headers(), ...own] }).xml, { context: SECRET })
  expect(signatures).toMatchObject([{ digests: true, value: true }])
  const received = root.elements()[0]?.elements().slice(4, -1) ?? []
  expect(received.map((each) => each.qname)).toEqual(['{urn:t}h', '{urn:w}h', '{urn:h}h', '{urn:s}h', '{urn:h}h'])
  expect(lookup(received[0]?.scope, 'x')).toBe('urn:x')
  expect(lookup(received[2]?.scope, 'wsu')).toBe('urn:w')
  expect(signatures[0]?.covers).toEqual(expect.arrayContaining([...received]))
})
test('a message of the initiator carries the token, one of the recipient names it', () => {
  const children = (xml: string): readonly string[] => check(xml, { context: SECRET }).security.elements().map((each) => each.local)
  expect(children(write({ encryptBody: false }).xml)).toEqual(['Timestamp', 'SecurityContextToken', 'DerivedKeyToken', 'Signature'])
  expect(children(write({ encryptBody: false }, { role: 'recipient' }).xml)).toEqual(['Timestamp', 'DerivedKeyToken', 'Signature'])
  expect(children(write().xml)).toEqual(['Timestamp', 'SecurityContextToken', 'DerivedKeyToken', 'DerivedKeyToken', 'ReferenceList', 'Signature'])
})
test('the signature is encrypted in every message, or where the Body is', () => {
  const count = (encryptBody: boolean, encryptSignature: Profile['encryptSignature']): number => write({ encryptBody }, { profile: { ...DEFAULT_PROFILE, encryptSignature } }).xml.split('<xenc:EncryptedData').length - 1
  expect([count(true, true), count(false, true), count(true, 'with-body'), count(false, 'with-body'), count(true, false), count(false, false)]).toEqual([2, 1, 2, 0, 1, 0])
})
test('the Timestamp lives five minutes and has a name of its own', () => {
  const { xml } = write({}, { random: counted(3) })
  expect(xml).toContain('<wsu:Created>2026-01-15T10:00:00.000Z</wsu:Created><wsu:Expires>2026-01-15T10:05:00.000Z</wsu:Expires>')
  expect(write({ encryptBody: false }, { random: counted(1) }).xml).not.toBe(write({ encryptBody: false }, { random: counted(2) }).xml)
})
test('two messages of one moment have different signatures', () => {
  expect(write({}, { random: counted(1) }).signatureValues).not.toEqual(write({}, { random: counted(2) }).signatureValues)
})
test('chance is drawn once a message', () => {
  let draws = 0
  const random: RandomSource = { bytes: (count) => { draws++; return counted().bytes(count) } }
  write({}, { profile: sealed, random })
  expect(draws).toBe(1)
})
test('no nonce, key or initialisation vector is used twice in one message', () => {
  const { xml } = write({}, { profile: sealed })
  const nonces = [...xml.matchAll(/<wsc:Nonce>([^<]+)</g)].map((match) => match[1])
  const ivs = [...xml.matchAll(/<xenc:CipherValue>([^<]+)</g)].map((match) => Buffer.from(match[1] ?? '', 'base64').subarray(0, 16).toString('hex'))
  expect(new Set([...nonces, ...ivs]).size).toBe(4)
})
test('identifiers of any kind are escaped, not believed', () => {
  const identifier = 'a"b<c>&d\'\u{1f600}'
  const outgoing = { soap: SOAP12, headers: headers(), body: [], encryptBody: false }
  for (const role of ['initiator', 'recipient'] as const) {
    const { xml } = protect(outgoing, { identifier, instance: identifier, secret: SECRET, sc: SC13 }, { profile: DEFAULT_PROFILE, role, now: NOW, random: counted() })
    const { security, signatures } = check(xml, { context: SECRET })
    expect(signatures).toMatchObject([{ digests: true, value: true }])
    if (role === 'initiator') expect(security.first(SC13.ns, 'SecurityContextToken')?.elements().map((each) => each.text)).toEqual([identifier, identifier])
    else expect(xml).toContain('URI="a&quot;b&lt;c>&amp;d\'')
  }
})
test('an id of the application’s own Body meets none of ours', () => {
  const { xml } = write({ body: [`<b xmlns:wsu="${NS.wsu}" wsu:Id="body"></b>`], encryptBody: false })
  expect(check(xml, { context: SECRET }).signatures).toMatchObject([{ digests: true, value: true }])
})
test('a prefix that the envelope needs itself is not given away', () => {
  for (const prefix of ['s', '']) expect(() => write({ declarations: { [prefix]: 'urn:x' } })).toThrow(RangeError)
})
test('what is not written is refused', () => {
  expect(() => write({}, { profile: { ...DEFAULT_PROFILE, suite: 'TripleDes' as never } })).toThrow(UsageError)
})
test('neither the secret nor a derived key is in what is sent or printed', () => {
  const secret = Buffer.from('ThisSecretHasThirtyTwoBytes-----')
  const result = protect({ soap: SOAP12, headers: headers(), body: ['<a></a>'], encryptBody: true }, { identifier: CONTEXT, secret: secretKey(secret), sc: SC13 }, { profile: sealed, role: 'initiator', now: NOW, random: counted() })
  for (const text of [result.xml, inspect(result)]) for (const form of [secret.toString(), secret.toString('hex'), secret.toString('base64')]) expect(text).not.toContain(form)
})
