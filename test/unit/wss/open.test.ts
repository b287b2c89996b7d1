/** Shapes that a reader must cope with and that no recording shows: each opens, and says who signed and what was covered. */
import { describe, expect, test } from 'vitest'
import { decrypt, encryptKey, wrapKey } from '../../../src/crypto/cipher.ts'
import { digest, hmac, rsaSign, secretKey } from '../../../src/crypto/hash.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { AES128_CBC, AES256_CBC, AES256_GCM, EXCLUSIVE_C14N, HMAC_SHA1, HMAC_SHA512, KW_AES256, RSA_OAEP_MGF1P, RSA_SHA256, SHA1, SHA512 } from '../../../src/spec/algorithms.ts'
import { NS, SC05, SC13, TOKEN } from '../../../src/spec/versions.ts'
import { read } from '../../../src/wss/open.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { readDocument } from '../../../src/xml/reader.ts'
import type { Element } from '../../../src/xml/tree.ts'
import {
  at, b0, b0eParts, BODY_TEXT, CLIENT, derived, DIALECT, DIALECTS, dkt, hidden, ID_A, keyInfo, keysWith, list, NONCE_ENCRYPT, NONCE_SIGN, NOW, opening, type Parts, parts, reference, sct, SECRET_A,
  SERVER, SIGNED, signed, timestamp, withSecondKey, xmlOf,
} from '../../attack/baseline.ts'

const names = (elements: Iterable<Element>): readonly string[] => [...elements].map((each) => each.local)
const tokens = (given: Parts, ...more: readonly string[]): Parts => ({ ...given, tokens: more })
const attempted = <T>(make: () => T): T | undefined => {
  try {
    return make()
  } catch {
    return undefined
  }
}
const SHA1_NAME = (bytes: Uint8Array): string => digest('sha1', bytes).toString('base64')

describe.each(DIALECTS)('%s', (_, dialect) => {
  test('the message that the attacks edit opens', () => {
    const { signer, covered, endorsers, encrypted, timestamp: time } = opening(b0(dialect))
    expect(signer).toEqual({ kind: 'context', identifier: ID_A, instance: undefined })
    expect(names(covered)).toEqual(['Action', 'MessageID', 'To', 'ReplyTo', 'Sequence', 'Timestamp', 'Body'])
    expect({ endorsers, encrypted }).toEqual({ endorsers: [], encrypted: [] })
    expect(time).toEqual({ created: NOW, expires: NOW + 360_000 })
  })
  test('and its twin with an encrypted Body', () => {
    const message = opening(xmlOf(b0eParts(dialect)), { policy: { encryptBody: true } })
    expect(message.encrypted).toEqual([`{${dialect.soap.ns}}Body`])
    expect(message.encryptedParts).toEqual(['Body:op'])
    expect(canonicalize(message.envelope.body.elements()[0] as Element)).toBe(BODY_TEXT)
    expect(names(message.covered)).toContain('Body')
  })
})

describe('contexts', () => {
  const { sc } = DIALECT
  const first = { identifier: ID_A, instance: undefined, secret: SECRET_A }
  const second = { identifier: ID_A, instance: 'second', secret: secretKey(Buffer.alloc(32, 0xa2)) }
  const third = { identifier: ID_A, instance: 'third', secret: secretKey(Buffer.alloc(32, 0xa3)) }
  const renewed = keysWith([first, second, third])
  const under = (secret: typeof SECRET_A, str: string, ...before: readonly string[]): string =>
    xmlOf(signed(tokens(parts(), ...before, dkt(sc, '_d1', { str })), { key: derived(secret, NONCE_SIGN) }))

  test('named by identifier where the token is not in the message, with and without a type', () => {
    for (const type of [sc.sct, SC05.sct, '']) expect(opening(under(SECRET_A, reference(ID_A, type))).signer).toMatchObject({ identifier: ID_A })
  })
  test('any string is an identifier', () => {
    for (const identifier of ['8B7BBA65F54EDFE1D317954567025731', 'uuid:1', '__proto__', 'a b', '€']) {
      const keys = keysWith([{ identifier, instance: undefined, secret: SECRET_A }])
      expect(opening(under(SECRET_A, reference(identifier, '')), { keys }).signer).toMatchObject({ identifier })
    }
  })
  test('an instance that is named is that one and no other: in the token, or on the reference', () => {
    const inToken = (name: string): string => under(second.secret, reference('#_sct', sc.sct), sct(sc, ID_A, '_sct', `<wsc:Instance>${name}</wsc:Instance>`))
    const onReference = (name: string): string => under(second.secret, reference(ID_A, sc.sct, ` xmlns:wsc="${sc.ns}" wsc:Instance="${name}"`))
    for (const message of [inToken, onReference]) {
      expect(opening(message('second'), { keys: renewed }).signer).toEqual({ kind: 'context', identifier: ID_A, instance: 'second' })
      expect(() => opening(message('third'), { keys: renewed })).toThrow(expect.objectContaining({ code: 'ERR_WSS_MAC' }))
      expect(() => opening(message('fourth'), { keys: renewed })).toThrow(expect.objectContaining({ code: 'ERR_WSS_UNKNOWN_CONTEXT' }))
    }
  })
  test('without a name every instance that is believed may be meant, and the rest of the message is read with that one', () => {
    for (const { secret, instance } of [first, second, third]) {
      const clear = signed({ ...parts(), tokens: [dkt(sc, '_d1', { str: reference(ID_A, sc.sct) }), dkt(sc, '_d2', { str: reference(ID_A, sc.sct) })] }, { key: derived(secret, NONCE_SIGN) })
      const body = clear.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT, { key: derived(secret, NONCE_ENCRYPT) }))
      expect(opening(xmlOf({ ...clear, lists: list('_ed'), body }), { keys: renewed }).signer).toMatchObject({ instance })
      // The signature encrypted as well, so that the instance must be found by decrypting.
      const sealed = { ...clear, lists: list('_ed', '_es'), body, signatures: hidden(sc, clear.signatures, { id: '_es', type: 'element', cipher: AES256_CBC, key: derived(secret, NONCE_ENCRYPT) }) }
      expect(opening(xmlOf(sealed), { keys: renewed }).signer).toMatchObject({ instance })
    }
  })
  test('the instance that signed is the one that encrypted, also where another key would turn the ciphertext into something', () => {
    // CBC under a wrong key has padding that fits now and then, and nothing left before it: that is the content of an empty Body.
    const tokens_ = [dkt(sc, '_d1', { str: reference(ID_A, sc.sct) }), dkt(sc, '_d2', { str: reference(ID_A, sc.sct) })]
    const clear = signed({ ...parts(), tokens: tokens_, body: '<s:Body wsu:Id="_body">x</s:Body>' }, { key: derived(second.secret, NONCE_SIGN) })
    let fitting = 0
    for (let iv = 0; iv < 3_000 && fitting < 3; iv++) {
      const key = derived(second.secret, NONCE_ENCRYPT)
      const body = `<s:Body wsu:Id="_body">${hidden(sc, 'x', { cipher: AES256_CBC, key, iv })}</s:Body>`
      const bytes = Buffer.from(/<xenc:CipherValue>([^<]+)/.exec(body)?.[1] ?? '', 'base64')
      const misread = attempted(() => decrypt(AES256_CBC, derived(SECRET_A, NONCE_ENCRYPT), bytes))
      if (misread === undefined || misread.length > 0) continue
      fitting++
      expect(opening(xmlOf({ ...clear, lists: list('_ed'), body }), { keys: renewed }).envelope.body.text).toBe('x')
    }
    expect(fitting).toBeGreaterThan(0)
  })
  test('an instance that has expired needs renewal; an unnamed one is only sought among those that have not', () => {
    const expiring = keysWith([{ ...first, expires: NOW }, second])
    expect(() => opening(b0(), { keys: keysWith([{ ...first, expires: NOW }]) })).toThrow(expect.objectContaining({ code: 'ERR_WSC_EXPIRED', fault: expect.objectContaining({ name: 'RenewNeeded' }) }))
    expect(opening(under(second.secret, reference(ID_A, '')), { keys: expiring }).signer).toMatchObject({ instance: 'second' })
    expect(() => opening(b0(), { keys: expiring })).toThrow(expect.objectContaining({ code: 'ERR_WSS_MAC' }))
  })
  test('the context’s own key signs and encrypts where no key is derived', () => {
    const clear = signed(tokens(parts(), sct(sc)), { key: SECRET_A, keyInfo: keyInfo(reference('#_sct', sc.sct)) })
    const body = clear.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT, { key: SECRET_A, keyInfo: keyInfo(reference('#_sct', sc.sct)) }))
    expect(opening(xmlOf({ ...clear, lists: list('_ed'), body })).encryptedParts).toEqual(['Body:op'])
  })
  test('read names the contexts and EncryptedKeys that the message will ask for', () => {
    const named = { ...parts(), tokens: [sct(sc), dkt(sc, '_d1', { str: reference('urn:other', sc.sct) })],
      lists: `<wsse:SecurityTokenReference><wsse:KeyIdentifier ValueType="${TOKEN.encryptedKeySha1}">AAAA</wsse:KeyIdentifier></wsse:SecurityTokenReference>` }
    expect(read(Buffer.from(xmlOf(named)), DEFAULT_LIMITS).wanted).toEqual({ contexts: [ID_A, 'urn:other'], encryptedKeySha1: ['AAAA'] })
  })
})

describe('derived keys', () => {
  const { sc } = DIALECT
  const inside = (rest: string, key: typeof SECRET_A, more: Parameters<typeof dkt>[2] = {}): string => xmlOf(signed(tokens(parts(), sct(sc), dkt(sc, '_d1', { rest, ...more })), { key }))
  test.each([
    ['Offset and Length', '<wsc:Offset>64</wsc:Offset><wsc:Length>24</wsc:Length>', derived(SECRET_A, NONCE_SIGN, 64, 24)],
    ['Generation counts lengths', '<wsc:Generation>3</wsc:Generation><wsc:Length>20</wsc:Length>', derived(SECRET_A, NONCE_SIGN, 60, 20)],
    ['neither: 32 bytes from the beginning', '', derived(SECRET_A, NONCE_SIGN, 0, 32)],
    ['a Label, outside of ASCII too', '<wsc:Offset>0</wsc:Offset><wsc:Length>32</wsc:Length><wsc:Label>Lüge</wsc:Label>', derived(SECRET_A, NONCE_SIGN, 0, 32, 'Lüge')],
    ['numbers with signs and space', '<wsc:Offset> +0 </wsc:Offset><wsc:Length>\n016</wsc:Length>', derived(SECRET_A, NONCE_SIGN, 0, 16)],
  ])('%s', (_, rest, key) => expect(opening(inside(rest, key)).signer).toMatchObject({ identifier: ID_A }))
  test.each([`Algorithm="${sc.pSha1}"`, `wsc:Algorithm="${SC05.pSha1}"`])('the algorithm said: %s', (attribute) =>
    expect(opening(inside('', derived(SECRET_A, NONCE_SIGN), { attributes: ` ${attribute}` })).signer).toMatchObject({ identifier: ID_A }))
  test('a token of the other dialect may carry the derivation', () => expect(opening(xmlOf(signed(tokens(parts(), sct(SC13), dkt(SC05, '_d1'))))).signer).toMatchObject({ identifier: ID_A }))
  test('implied on the reference itself, with the length or without', () => {
    for (const [length, key] of [['', derived(SECRET_A, NONCE_SIGN)], [' wsc:Length="20"', derived(SECRET_A, NONCE_SIGN, 0, 20)]] as const) {
      const str = reference('#_sct', sc.sct).replace('<wsse:SecurityTokenReference', `<wsse:SecurityTokenReference xmlns:wsc="${sc.ns}" wsc:Nonce="${NONCE_SIGN.toString('base64')}"${length}`)
      expect(opening(xmlOf(signed(tokens(parts(), sct(sc)), { key, keyInfo: keyInfo(str) }))).signer).toMatchObject({ identifier: ID_A })
    }
  })
})

describe('keys that come in the message', () => {
  const { sc } = DIALECT
  const key = secretKey(Buffer.alloc(32, 0xe1))
  const cipher = encryptKey(RSA_OAEP_MGF1P, SERVER.certificate.publicKey, key)
  const encryptedKey = (str: string, inside = ''): string => `<xenc:EncryptedKey Id="_ek"><xenc:EncryptionMethod Algorithm="${RSA_OAEP_MGF1P.uri}"/>${str === '' ? '' : keyInfo(str)}<xenc:CipherData><xenc:CipherValue>${
    cipher.toString('base64')}</xenc:CipherValue></xenc:CipherData>${inside}</xenc:EncryptedKey>`
  const identified = (type: string, value: string): string => `<wsse:SecurityTokenReference><wsse:KeyIdentifier ValueType="${type}">${value}</wsse:KeyIdentifier></wsse:SecurityTokenReference>`
  const certificate = `<wsse:BinarySecurityToken wsu:Id="_x509" EncodingType="${TOKEN.base64Binary}" ValueType="${TOKEN.x509v3}">${Buffer.from(SERVER.certificate.raw).toString('base64')}</wsse:BinarySecurityToken>`
  const policy = { signer: 'bootstrap' as const }
  const FORMS: readonly (readonly [string, string, ...string[]])[] = [
    ['thumbprint', identified(TOKEN.thumbprintSha1, Buffer.from(SERVER.certificate.sha1, 'hex').toString('base64'))],
    ['subject key identifier', identified(TOKEN.subjectKeyIdentifier, SERVER.certificate.ski)],
    ['issuer and serial', `<wsse:SecurityTokenReference><ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName>C=XX, O=Example, CN=rm-service</ds:X509IssuerName><ds:X509SerialNumber>08194</ds:X509SerialNumber></ds:X509IssuerSerial></ds:X509Data></wsse:SecurityTokenReference>`],
    ['a token in the message', reference('#_x509', TOKEN.x509v3), certificate],
    ['a token in the reference', `<wsse:SecurityTokenReference><wsse:Embedded>${certificate}</wsse:Embedded></wsse:SecurityTokenReference>`],
    ['nothing, where there is one private key', ''],
  ]
  test.each(FORMS)('an EncryptedKey for a certificate by %s signs and encrypts', (name, str, ...before) => {
    const issuer = SERVER.certificate.issuer
    const named = name === 'issuer and serial' ? str.replace(/<ds:X509IssuerName>[^<]+/, `<ds:X509IssuerName>${issuer}`) : str
    const clear = signed(tokens(parts(), ...before, encryptedKey(named)), { key, keyInfo: keyInfo(reference('#_ek', '')) })
    const body = clear.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT, { key, keyInfo: keyInfo(reference('#_ek', '')) }))
    const opened = opening(xmlOf({ ...clear, lists: list('_ed'), body }), { policy })
    expect(opened.signer).toMatchObject({ kind: 'encrypted-key', sha1: SHA1_NAME(cipher) })
    expect([...opened.encryptedKeys.keys()]).toEqual([SHA1_NAME(cipher)])
  })
  test('an EncryptedKey that lists what it encrypts: with a KeyInfo of its own, or without', () => {
    const str = identified(TOKEN.thumbprintSha1, Buffer.from(SERVER.certificate.sha1, 'hex').toString('base64'))
    for (const info of ['', keyInfo(reference('#_ek', TOKEN.encryptedKey))]) {
      const clear = signed(tokens(parts(), encryptedKey(str, list('_ed'))), { key, keyInfo: keyInfo(reference('#_ek', '')) })
      const plain = hidden(sc, BODY_TEXT, { key, keyInfo: info })
      expect(opening(xmlOf({ ...clear, body: clear.body.replace(BODY_TEXT, plain) }), { policy }).encryptedParts).toEqual(['Body:op'])
    }
  })
  test('an EncryptedKey of an earlier message, used as it is and derived from', () => {
    const str = identified(TOKEN.encryptedKeySha1, SHA1_NAME(cipher))
    const keys = keysWith([], { encryptedKey: (sha1) => (sha1 === SHA1_NAME(cipher) ? key : undefined) })
    expect(opening(xmlOf(signed(tokens(parts()), { key, keyInfo: keyInfo(str) })), { policy, keys }).signer).toMatchObject({ kind: 'encrypted-key' })
    expect(opening(xmlOf(signed(tokens(parts(), dkt(sc, '_d1', { str })), { key: derived(key, NONCE_SIGN) })), { policy, keys }).signer).toMatchObject({ kind: 'encrypted-key', sha1: SHA1_NAME(cipher) })
  })
  test('a key that is wrapped with a context’s key stands for that context', () => {
    const wrapped = (kek: typeof SECRET_A, str: string): string => `<xenc:EncryptedKey Id="_ek"><xenc:EncryptionMethod Algorithm="${KW_AES256.uri}"/>${keyInfo(str)}<xenc:CipherData><xenc:CipherValue>${
      wrapKey(KW_AES256, kek, key).toString('base64')}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>`
    for (const each of [wrapped(SECRET_A, reference('#_sct', sc.sct)), wrapped(derived(SECRET_A, NONCE_ENCRYPT), reference('#_d2', sc.dk))]) {
      const clear = signed({ ...withSecondKey(parts()), lists: each }, { key, keyInfo: keyInfo(reference('#_ek', '')) })
      const body = clear.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT, { key, keyInfo: keyInfo(reference('#_ek', '')) }))
      expect(opening(xmlOf({ ...clear, lists: clear.lists + list('_ed'), body })).signer).toMatchObject({ kind: 'context', identifier: ID_A })
    }
  })
})

describe('encryption', () => {
  const { sc } = DIALECT
  test('encrypted before signed: the digest is that of the ciphertext', () => {
    const given = withSecondKey(parts())
    const encrypted = { ...given, body: given.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT)) }
    const opened = opening(xmlOf({ ...signed(encrypted), after: list('_ed') }), { policy: { encryptBody: true } })
    expect(canonicalize(opened.envelope.body.elements()[0] as Element)).toBe(BODY_TEXT)
    expect(names(opened.covered)).toContain('Body')
  })
  test('encrypted before signed, and the signature encrypted by a list of its own', () => {
    const given = withSecondKey(parts())
    const clear = signed({ ...given, body: given.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT)) })
    const sealed = { ...clear, lists: list('_es'), signatures: hidden(sc, clear.signatures, { id: '_es', type: 'element' }), after: list('_ed') }
    expect(opening(xmlOf(sealed)).encryptedParts).toEqual(['element in Security:Signature', 'Body:op'])
  })
  test('the whole child of Body as an Element; an empty Body; text alone', () => {
    const body = (inside: string, type: 'element' | 'content'): string => {
      const clear = signed({ ...withSecondKey(parts()), body: `<s:Body wsu:Id="_body">${inside}</s:Body>` })
      return xmlOf({ ...clear, lists: list('_ed'), body: `<s:Body wsu:Id="_body">${hidden(sc, inside, { type })}</s:Body>` })
    }
    expect(opening(body(BODY_TEXT, 'element')).encrypted).toEqual(['{urn:app}op'])
    expect(opening(body('', 'content'), { policy: { encryptBody: true } }).encryptedParts).toEqual(['Body'])
    expect(opening(body('text', 'content')).envelope.body.text).toBe('text')
  })
  test('an encrypted header takes the place of its wrapper and is covered, signed before or after', () => {
    const given = withSecondKey(parts())
    const header = given.headers[4] ?? ''
    const standing = header.replace('wsu:Id=', `xmlns:s="${DIALECT.soap.ns}" xmlns:wsu="${NS.wsu}" wsu:Id=`)
    const wrapper = (id = ''): string => `<wsse11:EncryptedHeader xmlns:wsse11="${NS.wsse11}"${id}>${hidden(sc, standing, { type: 'element' })}</wsse11:EncryptedHeader>`
    const before = signed(given)
    const opened = opening(xmlOf({ ...before, lists: list('_ed'), headers: [...given.headers.slice(0, 4), wrapper()] }))
    expect(opened.encryptedParts).toEqual(['element in Header:Sequence'])
    expect(opened.envelope.header?.elements()[4]?.local).toBe('Sequence')
    expect(names(opened.covered)).toContain('Sequence')
    const after = signed({ ...given, headers: [...given.headers.slice(0, 4), wrapper(' wsu:Id="_eh"')] }, { ids: [...SIGNED.filter((id) => id !== '_seq'), '_eh'] })
    expect(names(opening(xmlOf({ ...after, after: list('_ed') })).covered)).toEqual(expect.arrayContaining(['EncryptedHeader', 'Sequence']))
  })
  test('CBC too, with filler that is not PKCS#7', () => {
    for (const cipher of [AES256_CBC, AES256_GCM]) expect(opening(xmlOf(b0eParts(DIALECT, { cipher }))).encryptedParts).toEqual(['Body:op'])
    const key = derived(SECRET_A, NONCE_ENCRYPT, 0, 16)
    const clear = signed({ ...parts(), tokens: [...parts().tokens, dkt(sc, '_d2', { rest: '<wsc:Offset>0</wsc:Offset><wsc:Length>16</wsc:Length>' })] })
    expect(opening(xmlOf({ ...clear, lists: list('_ed'), body: clear.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT, { cipher: AES128_CBC, key })) })).encryptedParts).toEqual(['Body:op'])
  })
  test('prefixes of the place hold inside the ciphertext', () => {
    const inside = '<wsa:Address xmlns:wsa="urn:own"><wsu:x></wsu:x></wsa:Address>'
    const clear = signed({ ...withSecondKey(parts()), body: `<s:Body wsu:Id="_body">${inside}</s:Body>` })
    expect(opening(xmlOf({ ...clear, lists: list('_ed'), body: `<s:Body wsu:Id="_body">${hidden(sc, inside)}</s:Body>` })).encryptedParts).toEqual(['Body:Address'])
  })
})

describe('signatures', () => {
  const { sc } = DIALECT
  test('every MAC and every digest that has a row', () => {
    for (const [method, row] of [[HMAC_SHA1, SHA1], [HMAC_SHA512, SHA512]] as const) expect(opening(xmlOf(signed(parts(), { method, digest: row }))).signer).toMatchObject({ kind: 'context' })
  })
  test('RSA by the certificate in the message; the token itself signed by STR-Transform, written either way, or not in the message', () => {
    const bst = `<wsse:BinarySecurityToken wsu:Id="_x509" EncodingType="${TOKEN.base64Binary}" ValueType="${TOKEN.x509v3}">${Buffer.from(CLIENT.certificate.raw).toString('base64')}</wsse:BinarySecurityToken>`
    const strTransform = `<ds:Transform Algorithm="${TOKEN.strTransform}"><wsse:TransformationParameters xmlns:wsse="${NS.wsse}"><ds:CanonicalizationMethod Algorithm="${EXCLUSIVE_C14N}"></ds:CanonicalizationMethod></wsse:TransformationParameters></ds:Transform>`
    const value = (info: string): Uint8Array => rsaSign('sha256', CLIENT.key, info)
    const base = tokens(parts(), bst)
    const str = reference('#_x509', TOKEN.x509v3).replace('<wsse:SecurityTokenReference', '<wsse:SecurityTokenReference wsu:Id="_str"')
    const canonical = canonicalize(readDocument(Buffer.from(xmlOf(base)), DEFAULT_LIMITS).ids.get('_x509') as Element)
    for (const text of [canonical, canonical.replace('<wsse:BinarySecurityToken', '<wsse:BinarySecurityToken xmlns=""')]) {
      const made = signed(base, { method: RSA_SHA256, value, ids: [...SIGNED, '_str'], keyInfo: keyInfo(str), transform: (id) => (id === '_str' ? strTransform : `<ds:Transform Algorithm="${EXCLUSIVE_C14N}"></ds:Transform>`), text: (id) => (id === '_str' ? text : undefined) })
      const opened = opening(xmlOf(made), { policy: { signer: 'bootstrap' } })
      expect(opened.signer).toMatchObject({ kind: 'certificate', certificate: { sha1: CLIENT.certificate.sha1 } })
      expect(names(opened.covered)).toContain('BinarySecurityToken')
    }
    const thumbprint = `<wsse:SecurityTokenReference wsu:Id="_str"><wsse:KeyIdentifier EncodingType="${TOKEN.base64Binary}" ValueType="${TOKEN.thumbprintSha1}">${Buffer.from(CLIENT.certificate.sha1, 'hex').toString('base64')}</wsse:KeyIdentifier></wsse:SecurityTokenReference>`
    const synthesised = `<wsse:BinarySecurityToken xmlns="" xmlns:wsse="${NS.wsse}" EncodingType="${TOKEN.base64Binary}" ValueType="${TOKEN.x509v3}">${Buffer.from(CLIENT.certificate.raw).toString('base64')}</wsse:BinarySecurityToken>`
    const outside = signed(tokens(parts()), { method: RSA_SHA256, value, ids: [...SIGNED, '_str'], keyInfo: keyInfo(thumbprint), transform: (id) => (id === '_str' ? strTransform : `<ds:Transform Algorithm="${EXCLUSIVE_C14N}"></ds:Transform>`), text: (id) => (id === '_str' ? synthesised : undefined) })
    expect(opening(xmlOf(outside), { policy: { signer: 'bootstrap' } }).signer).toMatchObject({ kind: 'certificate' })
  })
  test('a PrefixList counts, for SignedInfo and for each part', () => {
    const prefixes = (list: string): string => `<ec:InclusiveNamespaces xmlns:ec="${NS.exc}" PrefixList="${list}"></ec:InclusiveNamespaces>`
    const transform = (id: string): string => `<ds:Transform Algorithm="${EXCLUSIVE_C14N}">${prefixes(id === '_body' ? 's wsse #default xenc' : '')}</ds:Transform>`
    const body = canonicalize(readDocument(Buffer.from(xmlOf(parts())), DEFAULT_LIMITS).ids.get('_body') as Element, { inclusivePrefixes: ['s', 'wsse', '#default', 'xenc'] })
    expect(body).toContain('xmlns:xenc')
    const made = signed(parts(), { transform, text: (id) => (id === '_body' ? body : undefined) })
    expect(opening(xmlOf(made)).signer).toMatchObject({ kind: 'context' })
    // SignedInfo: what is signed has the prefixes that the list names and that are in scope where the signature stands.
    const listed = signed(parts(), {
      info: (info) => info.replace(`<ds:CanonicalizationMethod Algorithm="${EXCLUSIVE_C14N}">`, (start) => `${start}${prefixes('wsse')}`),
      value: (info) => hmac('sha256', derived(SECRET_A, NONCE_SIGN), info.replace(`<ds:SignedInfo xmlns:ds="${NS.ds}"`, (start) => `${start} xmlns:wsse="${NS.wsse}"`)),
    })
    expect(opening(xmlOf(listed)).signer).toMatchObject({ kind: 'context' })
  })
  test('an endorsing signature: its signer stands apart, and covers nothing of the message', () => {
    const primary = signed(parts())
    const endorsed = { ...primary, tokens: [...primary.tokens, sct(sc, 'urn:uuid:sct-B', '_sctB'), dkt(sc, '_dB', { str: reference('#_sctB', sc.sct) })] }
    const message = xmlOf(signed(endorsed, { ids: ['_sig', '_body'], id: '_end', key: derived(secretKey(Buffer.alloc(32, 0xb2)), NONCE_SIGN), keyInfo: keyInfo(reference('#_dB', sc.dk)) }))
    const { signer, endorsers, covered, signatureValues } = opening(message)
    expect(signer).toMatchObject({ identifier: ID_A })
    expect(endorsers).toEqual([{ kind: 'context', identifier: 'urn:uuid:sct-B', instance: undefined }])
    expect(names(covered)).toEqual(['Action', 'MessageID', 'To', 'ReplyTo', 'Sequence', 'Timestamp', 'Body'])
    expect(signatureValues).toHaveLength(2)
  })
  test('an endorsing signature may be made with another secret of the context that it names; a primary one may not', () => {
    const older = secretKey(Buffer.alloc(32, 0xc1))
    const keys = keysWith([{ identifier: ID_A, instance: undefined, secret: SECRET_A }, { identifier: 'urn:c', instance: undefined, secret: older }, { identifier: 'urn:c', instance: 'now', secret: secretKey(Buffer.alloc(32, 0xc2)) }])
    const named = sct(sc, 'urn:c', '_sctC', '<wsc:Instance>now</wsc:Instance>')
    const primary = signed(parts())
    const endorsed = { ...primary, tokens: [...primary.tokens, named, dkt(sc, '_dC', { str: reference('#_sctC', sc.sct) })] }
    const by = { key: derived(older, NONCE_SIGN), keyInfo: keyInfo(reference('#_dC', sc.dk)) }
    expect(opening(xmlOf(signed(endorsed, { ids: ['_sig'], id: '_end', ...by })), { keys }).endorsers).toMatchObject([{ identifier: 'urn:c', instance: 'now' }])
    // One that is believed no more may do so too, and nothing else.
    const past = keysWith([{ identifier: ID_A, instance: undefined, secret: SECRET_A }, { identifier: 'urn:c', instance: undefined, secret: older, endorsesOnly: true }, { identifier: 'urn:c', instance: 'now', secret: secretKey(Buffer.alloc(32, 0xc2)) }])
    expect(opening(xmlOf(signed(endorsed, { ids: ['_sig'], id: '_end', ...by })), { keys: past }).endorsers).toMatchObject([{ identifier: 'urn:c', instance: 'now' }])
    const unnamed = { ...parts(), tokens: [sct(sc, 'urn:c', '_sctC'), dkt(sc, '_dC', { str: reference('#_sctC', sc.sct) })] }
    expect(() => opening(xmlOf(signed(unnamed, by)), { keys: past })).toThrow(expect.objectContaining({ code: 'ERR_WSS_MAC' }))
    const alone = { ...parts(), tokens: [named, dkt(sc, '_dC', { str: reference('#_sctC', sc.sct) })] }
    expect(() => opening(xmlOf(signed(alone, by)), { keys })).toThrow(expect.objectContaining({ code: 'ERR_WSS_MAC' }))
    // Nor may it where a true endorsement of it stands beside.
    const otherPrimary = signed(alone, by)
    const withB = { ...otherPrimary, tokens: [...otherPrimary.tokens, sct(sc, ID_A, '_sctA'), dkt(sc, '_dA', { str: reference('#_sctA', sc.sct) })] }
    expect(() => opening(xmlOf(signed(withB, { ids: ['_sig'], id: '_end', keyInfo: keyInfo(reference('#_dA', sc.dk)) })), { keys })).toThrow(expect.objectContaining({ code: 'ERR_WSS_MAC' }))
    const both = xmlOf({ ...signed(endorsed, { ids: SIGNED, id: '_end', ...by }) })
    expect(() => opening(both, { keys })).toThrow(expect.objectContaining({ fault: expect.objectContaining({ name: 'InvalidSecurity' }) }))
  })
  test('confirmations are told only when they are signed', () => {
    const confirmation = `<wsse11:SignatureConfirmation xmlns:wsse11="${NS.wsse11}" wsu:Id="_conf" Value="YWJj"/>`
    const given = { ...parts(), lists: confirmation }
    expect(opening(xmlOf(signed(given, { ids: [...SIGNED, '_conf'] }))).confirmations).toEqual(['YWJj'])
    expect(opening(xmlOf(signed(given))).confirmations).toEqual([])
  })
})

describe('users', () => {
  const user = (password: string): string => `<wsse:UsernameToken wsu:Id="_user"><wsse:Username>alice</wsse:Username>${password}</wsse:UsernameToken>`
  const text = user('<wsse:Password>correct horse</wsse:Password>')
  const nonce = Buffer.alloc(16, 5)
  const made = digest('sha1', Buffer.concat([nonce, Buffer.from(`${at(NOW)}correct horse`)])).toString('base64')
  const digested = user(`<wsse:Password Type="${TOKEN.passwordDigest}">${made}</wsse:Password><wsse:Nonce>${nonce.toString('base64')}</wsse:Nonce><wsu:Created>${at(NOW)}</wsu:Created>`)
  const over = (token: string): string => xmlOf({ ...parts(), tokens: [token] })
  const policy = { level: 'transport' as const, signer: 'bootstrap' as const }
  const knowing = (password: string | undefined) => keysWith([], { password: () => password })
  test('a password is handed out unchecked, or checked where it is known', () => {
    expect(opening(over(text), { policy }).user).toEqual({ name: 'alice', password: 'correct horse', checked: false })
    expect(opening(over(text), { policy, keys: knowing('correct horse') }).user).toMatchObject({ checked: true })
    expect(opening(over(digested), { policy, keys: knowing('correct horse') }).user).toEqual({ name: 'alice', checked: true })
    expect(opening(over(digested), { policy }).user).toEqual({ name: 'alice', checked: false })
  })
  test('another password, and nobody of that name, are one refusal', () => {
    for (const token of [text, digested]) for (const password of ['wrong', undefined]) {
      expect(() => opening(over(token), { policy, keys: knowing(password) })).toThrow(expect.objectContaining({ code: 'ERR_WSS_PASSWORD', fault: expect.objectContaining({ name: 'FailedAuthentication' }) }))
    }
  })
  test('where the message is signed, so must be the user’s token', () => {
    const given = { ...parts(), lists: text }
    expect(opening(xmlOf(signed(given, { ids: [...SIGNED, '_user'] }))).user).toMatchObject({ name: 'alice' })
    expect(() => opening(xmlOf(signed(given)))).toThrow(expect.objectContaining({ code: 'ERR_WSS_COVERAGE' }))
  })
})

describe('levels', () => {
  const { sc } = DIALECT
  const transport = { level: 'transport' as const }
  const endorsed = signed(tokens(parts(), sct(sc)), { ids: ['_ts'], key: SECRET_A, keyInfo: keyInfo(reference('#_sct', sc.sct)) })
  test('transport: a context signs the Timestamp, and that is all', () => {
    const { signer, covered, level } = opening(xmlOf(endorsed), { policy: transport })
    expect({ signer, covered: names(covered), level }).toEqual({ signer: { kind: 'context', identifier: ID_A, instance: undefined }, covered: ['Timestamp'], level: 'transport' })
    expect(() => opening(xmlOf(endorsed))).toThrow(expect.objectContaining({ code: 'ERR_WSS_COVERAGE' }))
  })
  test('transport: without a signature, with a Timestamp alone, or with nothing at all, only where any signer will do', () => {
    const time = xmlOf(tokens(parts()))
    const nothing = time.replace(/<wsse:Security .*<\/wsse:Security>/, '')
    for (const xml of [time, nothing]) {
      expect(opening(xml, { policy: { ...transport, signer: 'any' } })).toMatchObject({ signer: undefined, endorsers: [], level: 'transport' })
      expect(() => opening(xml, { policy: transport })).toThrow(expect.objectContaining({ fault: expect.objectContaining({ name: expect.stringMatching(/FailedCheck|InvalidSecurity/) }) }))
    }
  })
  test('body: addressing may stand unsigned, what RM says may not', () => {
    const policy = { level: 'body' as const }
    expect(opening(xmlOf(signed(parts(), { ids: ['_seq', '_ts', '_body'] })), { policy }).level).toBe('body')
    expect(() => opening(xmlOf(signed(parts(), { ids: ['_ts', '_body', '_to'] })), { policy })).toThrow(expect.objectContaining({ code: 'ERR_WSS_COVERAGE' }))
  })
  test('a Timestamp of nine digits behind the second is one instant', () =>
    expect(opening(xmlOf(signed({ ...parts(), timestamp: timestamp('2026-01-15T10:00:00.123456789Z', '2026-01-15T10:05:00Z') }))).timestamp?.created).toBe(NOW + 123))
})

