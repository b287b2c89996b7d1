/** Algorithms and keys: confusion of key kinds, truncation, weak or unknown algorithms, other spellings of one value. */
import { describe, expect, test } from 'vitest'
import { hmac, rsaSign, secretKey } from '../../src/crypto/hash.ts'
import {
  AES256_CBC, AES256_GCM, HMAC_SHA1, HMAC_SHA256, KW_AES256, RSA_OAEP_MGF1P, RSA_SHA1, RSA_SHA256, SHA1, SHA256, type SignatureAlgorithm,
} from '../../src/spec/algorithms.ts'
import { TOKEN } from '../../src/spec/versions.ts'
import { b0, b0eParts, CLIENT, derived, DIALECT, DIALECTS, expectRefused, ID_A, keyInfo, keysWith, list, NONCE_SIGN, opening, parts, reference, sct, SECRET_A, SERVER, signed, type Signing, xmlOf } from './baseline.ts'

const { sc } = DIALECT
const token = `<wsse:BinarySecurityToken wsu:Id="_x509" EncodingType="${TOKEN.base64Binary}" ValueType="${TOKEN.x509v3}">${Buffer.from(SERVER.certificate.raw).toString('base64')}</wsse:BinarySecurityToken>`
const thumbprint = `<wsse:SecurityTokenReference><wsse:KeyIdentifier ValueType="${TOKEN.thumbprintSha1}">${Buffer.from(SERVER.certificate.sha1, 'hex').toString('base64')}</wsse:KeyIdentifier></wsse:SecurityTokenReference>`
const SUITE = new Set([SHA256, HMAC_SHA256, AES256_GCM, RSA_SHA256, RSA_OAEP_MGF1P, KW_AES256].map((row) => row.uri))

describe('K1: a MAC made with what everybody knows of a certificate', () => {
  const { publicKey } = SERVER.certificate
  const materials: Readonly<Record<string, Uint8Array>> = {
    'PEM of the certificate': Buffer.from(`-----BEGIN CERTIFICATE-----\n${Buffer.from(SERVER.certificate.raw).toString('base64')}\n-----END CERTIFICATE-----\n`), 'DER of the certificate': SERVER.certificate.raw,
    'PEM of the key': Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })), 'DER of the key': publicKey.export({ type: 'spki', format: 'der' }), 'PKCS#1 of the key': publicKey.export({ type: 'pkcs1', format: 'der' }),
    nothing: Buffer.alloc(0), 'the Nonce': NONCE_SIGN, 'the identifier': Buffer.from(ID_A),
  }
  test.each(Object.keys(materials))('%s', (name) => {
    for (const method of [HMAC_SHA1, HMAC_SHA256]) for (const info of [reference('#_x509', TOKEN.x509v3), thumbprint, reference('#_d1', sc.dk), reference('#_sct', sc.sct)]) {
      const value = (text: string): Uint8Array => hmac(method.hash, secretKey(materials[name] ?? Buffer.alloc(0)), text)
      const given = { ...parts(), tokens: [...parts().tokens, token] }
      for (const signer of ['any', 'bootstrap', 'context'] as const) expectRefused(xmlOf(signed(given, { method, value, keyInfo: keyInfo(info) })), { fault: 'failedCheck' }, { policy: { signer } })
    }
  })
  test('without KeyInfo', () => expectRefused(xmlOf(signed(parts(), { signature: (text) => text.replace(/<ds:KeyInfo>.*<\/ds:KeyInfo>/, '') })), { fault: 'invalidSecurity' }))
  test('and the other way: RSA where the key is a secret', () => {
    const value = (text: string): Uint8Array => rsaSign('sha256', CLIENT.key, text)
    for (const str of [reference('#_d1', sc.dk), reference('#_sct', sc.sct)]) expectRefused(xmlOf(signed(parts(), { method: RSA_SHA256, value, keyInfo: keyInfo(str) })), { fault: 'failedCheck', code: 'ERR_WSS_KEY_KIND' })
  })
})

test('K2: a right RSA signature by any certificate, where a context must sign', () => {
  const own = token.replace(Buffer.from(SERVER.certificate.raw).toString('base64'), Buffer.from(CLIENT.certificate.raw).toString('base64'))
  const made = xmlOf(signed({ ...parts(), tokens: [own] }, { method: RSA_SHA256, value: (text) => rsaSign('sha256', CLIENT.key, text), keyInfo: keyInfo(reference('#_x509', TOKEN.x509v3)) }))
  expectRefused(made, { fault: 'failedCheck', code: 'ERR_WSS_SIGNER' })
  expect(opening(made, { policy: { signer: 'bootstrap' } }).signer).toMatchObject({ kind: 'certificate' })
  expectRefused(b0(), { fault: 'failedCheck', code: 'ERR_WSS_SIGNER' }, { policy: { signer: 'bootstrap' } })
  // The certificate of one, the signature of another.
  expectRefused(made.replace(Buffer.from(CLIENT.certificate.raw).toString('base64'), Buffer.from(SERVER.certificate.raw).toString('base64')), { fault: 'failedCheck', code: 'ERR_WSS_MAC' }, { policy: { signer: 'bootstrap' } })
})

describe('K3: HMACOutputLength', () => {
  test.each(['0', '1', '8', '80', '127', '128', '160', '161', '256', '-8', 'abc', ''])('%s is refused, whatever the value', (bits) => {
    const info = (text: string): string => text.replace(`<ds:SignatureMethod Algorithm="${HMAC_SHA256.uri}">`, (start) => `${start}<ds:HMACOutputLength>${bits}</ds:HMACOutputLength>`)
    const whole = (text: string): Buffer => hmac('sha256', derived(SECRET_A, NONCE_SIGN), text)
    const length = Math.max(1, Math.min(32, Math.trunc(Number(bits) / 8) || 1))
    for (const value of [whole, (text: string) => whole(text).subarray(0, length)]) expectRefused(xmlOf(signed(parts(), { info, value })), { fault: 'unsupportedAlgorithm', code: 'ERR_WSS_ALGORITHM' })
  })
  test('a value that is cut, or longer, without saying so', () => {
    const whole = (text: string): Buffer => hmac('sha256', derived(SECRET_A, NONCE_SIGN), text)
    for (const value of [(text: string) => whole(text).subarray(0, 31), (text: string) => whole(text).subarray(0, 20), (text: string) => Buffer.concat([whole(text), Buffer.alloc(1)])]) {
      expectRefused(xmlOf(signed(parts(), { value })), { fault: 'failedCheck', code: 'ERR_WSS_MAC' })
    }
  })
})

describe('K4: methods', () => {
  const method = (uri: string): Signing => ({ info: (info) => info.replace(HMAC_SHA256.uri, uri) })
  const digest = (uri: string, all: boolean): Signing => ({ info: (info) => (all ? info.replaceAll(SHA256.uri, uri) : info.replace(SHA256.uri, uri)) })
  const NONE = ['http://www.w3.org/2000/09/xmldsig#none', 'http://www.w3.org/2001/04/xmldsig-more#hmac-md5', 'http://www.w3.org/2001/04/xmldsig-more#rsa-md5', 'urn:x', '', 'constructor', '__proto__', 'toString', HMAC_SHA256.uri.toUpperCase(), `${HMAC_SHA256.uri} `]
  test.each(NONE)('SignatureMethod %s', (uri) => expectRefused(xmlOf(signed(parts(), method(uri))), { fault: 'unsupportedAlgorithm', code: 'ERR_WSS_ALGORITHM' }))
  test('SignatureMethod without Algorithm', () => expectRefused(xmlOf(signed(parts(), { info: (info) => info.replace(` Algorithm="${HMAC_SHA256.uri}"`, '') })), { fault: 'unsupportedAlgorithm' }))
  test.each(['http://www.w3.org/2001/04/xmldsig-more#md5', 'http://www.w3.org/2007/05/xmldsig-more#sha3-256', 'constructor', ''])('DigestMethod %s', (uri) => {
    for (const all of [true, false]) expectRefused(xmlOf(signed(parts(), digest(uri, all))), { fault: 'unsupportedAlgorithm', code: 'ERR_WSS_ALGORITHM' })
  })
  test('digests that differ from each other', () => expectRefused(xmlOf(signed(parts(), digest(SHA1.uri, false))), { fault: 'unsupportedAlgorithm', code: 'ERR_WSS_ALGORITHM' }))
  const WEAK: readonly (readonly [string, Signing])[] = [['hmac-sha1', { method: HMAC_SHA1 }], ['SHA-1 digests', { digest: SHA1 }], ['rsa-sha1', { method: RSA_SHA1, value: () => Buffer.alloc(256) }]]
  test.each(WEAK)('K5: %s is not of the suite, and is refused before a key is sought', (_, signing) => {
    const asked: string[] = []
    const keys = keysWith([], { contexts: (identifier) => { asked.push(identifier); return [] } })
    expectRefused(xmlOf(signed(parts(), signing)), { fault: 'unsupportedAlgorithm', code: 'ERR_WSS_ALGORITHM' }, { keys, policy: { algorithms: SUITE } })
    expect(asked).toEqual([])
  })
  test('what the suite names is accepted', () => expect(opening(xmlOf(b0eParts()), { policy: { algorithms: SUITE } }).encryptedParts).toEqual(['Body:op']))
  test('K6: the same key under a cipher that is not of the suite is not decrypted', () =>
    expectRefused(xmlOf(b0eParts(DIALECT, { cipher: AES256_CBC })), { fault: 'unsupportedAlgorithm', code: 'ERR_WSS_ALGORITHM' }, { policy: { algorithms: SUITE } }))
})

describe('K7: one value has one spelling', () => {
  const spelled = (spell: (value: string) => string): string => xmlOf(signed(parts(), { signature: (text) => text.replace(/(<ds:SignatureValue>)([^<]+)/, (_, start: string, value: string) => start + spell(value)) }))
  const SPELLINGS: Readonly<Record<string, (value: string) => string>> = {
    'without padding': (value) => value.replace(/=+$/, ''), 'more padding': (value) => `${value}=`, 'another letter where bits are unused': (value) => value.replace(/(.)=$/, (_, letter: string) => `${String.fromCharCode(letter.charCodeAt(0) + 1)}=`),
    'with *': (value) => `${value.slice(0, 4)}*${value.slice(4)}`, 'URL-safe': (value) => `-${value.slice(1)}`, 'a dot': (value) => `${value}.`, 'a space that is no XML space': (value) => `${value.slice(0, 4)}\u00A0${value.slice(4)}`, 'twice': (value) => value + value,
    'full width': (value) => `\uFF21${value.slice(1)}`, 'data behind the padding': (value) => `${value}AAAA`,
  }
  test.each(Object.keys(SPELLINGS))('%s is refused', (name) => expectRefused(spelled(SPELLINGS[name] ?? ((value) => value)), { fault: 'invalidSecurity', code: 'ERR_WSS_BASE64' }))
  test.each([[' ', ''], ['\n', '\n'], ['&#13;', '\t']])('white space around and between is nothing', (before, between) => {
    const { signatureValues } = opening(spelled((value) => `${before}${value.slice(0, 20)}${between}${value.slice(20)}${before}`))
    expect(signatureValues).toEqual(opening(b0()).signatureValues)
  })
})

test('K8: a wrong first byte, a wrong last byte and a wrong length of a MAC are one refusal; so are those of a digest', () => {
  const at = (index: number) => (text: string): Uint8Array => hmac('sha256', derived(SECRET_A, NONCE_SIGN), text).map((byte, here) => (here === (index + 32) % 32 ? byte ^ 1 : byte))
  const said = (xml: string): string => {
    try {
      opening(xml)
    } catch (error) {
      return JSON.stringify([String(error), error])
    }
    return 'opened'
  }
  expect(new Set([0, 15, -1].map((index) => said(xmlOf(signed(parts(), { value: at(index) }))))).size).toBe(1)
  const changed = (index: number): string => xmlOf(signed(parts(), { info: (info) => info.replace(/(<ds:DigestValue>)([^<]+)/, (_, start: string, value: string) => {
    const bytes = Buffer.from(value, 'base64')
    bytes[(index + 32) % 32] = (bytes[(index + 32) % 32] ?? 0) ^ 1
    return start + bytes.toString('base64')
  }) }))
  expect(new Set([changed(0), changed(-1), xmlOf(signed(parts(), { info: (info) => info.replace(/<ds:DigestValue>[^<]+/, '<ds:DigestValue>AAAA') }))].map(said)).size).toBe(1)
})

describe.each(DIALECTS)('%s', (_, dialect) => {
  test('an unknown context is refused before a key is touched, and a token’s wsu:Id is no identifier', () => {
    const unknown = { ...parts(dialect), tokens: [sct(dialect.sc, 'urn:uuid:unknown', '_sct'), parts(dialect).tokens[1] ?? ''] }
    expectRefused(xmlOf(signed(unknown)), { fault: 'badContextToken', code: 'ERR_WSS_UNKNOWN_CONTEXT' })
    const disguised = { ...parts(dialect), tokens: [sct(dialect.sc, 'urn:uuid:unknown', ID_A.replaceAll(':', '_')), (parts(dialect).tokens[1] ?? '').replace('#_sct', `#${ID_A.replaceAll(':', '_')}`)] }
    expectRefused(xmlOf(signed(disguised)), { fault: 'badContextToken', code: 'ERR_WSS_UNKNOWN_CONTEXT' })
    for (const name of ['__proto__', 'constructor', 'toString', '', 'a'.repeat(1_025)]) expectRefused(xmlOf(signed({ ...unknown, tokens: [sct(dialect.sc, name), parts(dialect).tokens[1] ?? ''] })), { fault: ['badContextToken', 'invalidSecurity'] })
  })
  test('a message that names many contexts asks for no more look-ups than are accepted', () => {
    const many = Array.from({ length: 40 }, (_unused, index) => sct(dialect.sc, `urn:uuid:${index}`, `_s${index}`)).join('')
    expectRefused(xmlOf(signed({ ...parts(dialect), lists: many })), { fault: 'invalidSecurity', code: 'ERR_WSS_LIMIT' })
  })
})

test('a signature over more parts than are accepted, and more signatures', () => {
  const headers = Array.from({ length: 40 }, (_, index) => `<app:h xmlns:app="urn:app" wsu:Id="_h${index}"/>`)
  const given = { ...parts(), headers: [...parts().headers, ...headers] }
  expectRefused(xmlOf(signed(given, { ids: headers.map((_, index) => `_h${index}`) })), { fault: 'invalidSecurity', code: 'ERR_WSS_REFERENCE' })
  const one = signed(parts()).signatures
  expectRefused(xmlOf({ ...parts(), signatures: Array.from({ length: 5 }, (_, index) => one.replace('_sig', `_sig${index}`)).join('') }), { fault: 'invalidSecurity', code: 'ERR_WSS_LIMIT' })
})

test('a certificate that is none, is cut, is another kind of token, or is one too many', () => {
  const policy = { signer: 'bootstrap' as const }
  const by = (bst: string): string => xmlOf(signed({ ...parts(), tokens: [bst] }, { method: RSA_SHA256 as SignatureAlgorithm, value: (text) => rsaSign('sha256', CLIENT.key, text), keyInfo: keyInfo(reference('#_x509', TOKEN.x509v3)) }))
  const raw = Buffer.from(CLIENT.certificate.raw)
  const own = (bytes: Buffer): string => token.replace(/>[^<]+</, `>${bytes.toString('base64')}<`)
  expect(opening(by(own(raw)), { policy }).signer).toMatchObject({ kind: 'certificate' })
  for (const bst of [own(raw.subarray(0, 300)), own(Buffer.alloc(40, 1)), own(Buffer.concat([raw, Buffer.alloc(8)])), own(raw).replace(TOKEN.x509v3, 'urn:other'), own(raw).replace(TOKEN.base64Binary, 'urn:hex'), own(raw).replace(' ValueType', ' x')]) {
    expect(() => opening(by(bst), { policy })).toThrow(expect.objectContaining({ name: 'SecurityFailure' }))
  }
  expectRefused(by(own(raw) + Array.from({ length: 4 }, (_, index) => own(raw).replace('_x509', `_more${index}`)).join('')), { fault: 'invalidSecurity', code: 'ERR_WSS_LIMIT' }, { policy })
})

test('a reference that is no SecurityTokenReference, names two things, or leads out of the Security header', () => {
  const str = (inside: string): string => keyInfo(`<wsse:SecurityTokenReference>${inside}</wsse:SecurityTokenReference>`)
  const direct = '<wsse:Reference URI="#_d1"/>'
  for (const info of [keyInfo(direct), keyInfo(''), str(''), str(direct + direct), str('<ds:KeyName>a</ds:KeyName>'), str(`<wsse:KeyIdentifier ValueType="urn:x">AAAA</wsse:KeyIdentifier>`), keyInfo(reference('#_d1', '') + reference('#_d1', '')), str('<wsse:Reference/>')]) {
    expectRefused(xmlOf(signed(parts(), { keyInfo: info })), { fault: ['invalidSecurity', 'failedCheck', 'badContextToken'] })
  }
  for (const uri of ['#_body', '#_action', '#_ts', '#_sig', '#none', '#', '#_d1#_d1']) expectRefused(xmlOf(signed(parts(), { keyInfo: keyInfo(reference(uri, '')) })), { fault: 'failedCheck' })
  // A decoy of the token outside of the header.
  const [context = '', key = ''] = parts().tokens
  expectRefused(xmlOf(signed({ ...parts(), tokens: [context], headers: [...parts().headers, key] })), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
  expectRefused(xmlOf(signed({ ...parts(), tokens: [key], headers: [...parts().headers, context] })), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
  expectRefused(xmlOf(signed({ ...parts(), tokens: [key], body: parts().body.replace('transfer 10', context) })), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
  expectRefused(xmlOf(signed(parts(), { keyInfo: keyInfo(reference(ID_A, TOKEN.x509v3)) })), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
  // An embedded derived key or context is not taken.
  expectRefused(xmlOf(signed(parts(), { keyInfo: str(`<wsse:Embedded>${key.replace('_d1', '_d9')}</wsse:Embedded>`) })), { fault: 'invalidSecurity' })
  // Other algorithms in Transforms of the list of what is encrypted, or lists of keys, are not followed.
  expectRefused(xmlOf({ ...b0eParts(), lists: list('_ed').replace('</xenc:ReferenceList>', '<xenc:KeyReference URI="#_d1"/></xenc:ReferenceList>') }), { fault: 'invalidSecurity' })
})
