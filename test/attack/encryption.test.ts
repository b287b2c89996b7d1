/** Encryption: oracles, cut tags, key transport, ciphertext in places where none belongs, and plaintext that is not what it should be. */
import { describe, expect, test } from 'vitest'
import { encryptKey } from '../../src/crypto/cipher.ts'
import { secretKey } from '../../src/crypto/hash.ts'
import { SecurityFailure } from '../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { AES256_CBC, AES256_GCM, KW_AES256, RSA_OAEP, RSA_OAEP_MGF1P } from '../../src/spec/algorithms.ts'
import { NS, TOKEN } from '../../src/spec/versions.ts'
import type { Keys } from '../../src/wss/keys.ts'
import {
  b0, b0eParts, BODY_TEXT, CLIENT, derived, DIALECT, dkt, expectRefused, hidden, keyInfo, keysWith, list, NONCE_ENCRYPT, opening, type Parts, parts, reference, type Refusal, SECRET_A, SECRET_B, SERVER, SIGNED, signed,
  withSecondKey, xmlOf,
} from './baseline.ts'

const { sc, soap } = DIALECT
const FAILED: Refusal = { fault: 'failedCheck' }
const refusal = (xml: string): SecurityFailure => {
  try {
    opening(xml)
  } catch (error) {
    expect(error).toBeInstanceOf(SecurityFailure)
    return error as SecurityFailure
  }
  throw new Error('it was opened')
}
const encryptedSignature = (how: Parameters<typeof hidden>[2] = {}): string => {
  const clear = signed(withSecondKey(parts()))
  return xmlOf({ ...clear, lists: list('_es'), signatures: hidden(sc, clear.signatures, { id: '_es', type: 'element', ...how }) })
}

describe('E1: no padding oracle', () => {
  const edits = (bytes: Buffer, position: number): readonly Buffer[] => Array.from({ length: 255 }, (_, index) => {
    const copy = Buffer.from(bytes)
    copy[position] = (copy[position] ?? 0) ^ (index + 1)
    return copy
  })
  test.each([['Body', (bytes: (given: Buffer) => Buffer) => xmlOf(b0eParts(DIALECT, { cipher: AES256_CBC, bytes }))], ['Signature', (bytes: (given: Buffer) => Buffer) => encryptedSignature({ cipher: AES256_CBC, bytes })]] as const)('every edit of the last two blocks of the %s has one answer', (_, make) => {
    const answers = new Set<string>()
    const codes = new Set<string>()
    for (const back of [1, 2, 15, 16, 17, 18, 31, 32]) for (let index = 0; index < 255; index += back === 17 || back === 1 ? 1 : 8) {
      const xml = make((bytes) => edits(bytes, bytes.length - back)[index] as Buffer)
      try {
        // Bytes of the padding that mean nothing may be anything.
        expect(opening(xml).covered.size).toBe(7)
      } catch (error) {
        if (!(error instanceof SecurityFailure)) throw error
        answers.add(JSON.stringify(error.fault))
        codes.add(error.code)
      }
    }
    expect(answers.size).toBe(1)
    expect([...codes].filter((code) => !['ERR_WSS_DECRYPT', 'ERR_WSS_DIGEST', 'ERR_WSS_MAC'].includes(code))).toEqual([])
  })
  test('a wrong key, wrong padding, bad UTF-8, bad XML and nothing at all are refused with the same words', () => {
    const key = derived(SECRET_A, NONCE_ENCRYPT)
    const cases = [
      b0eParts(DIALECT, { cipher: AES256_CBC, key: derived(SECRET_B, NONCE_ENCRYPT) }), b0eParts(DIALECT, { cipher: AES256_CBC, key, bytes: (bytes) => bytes.subarray(0, 16) }), b0eParts(DIALECT, { cipher: AES256_CBC, key, bytes: (bytes) => bytes.subarray(0, bytes.length - 3) }),
      b0eParts(DIALECT, { bytes: (bytes) => bytes.map((byte, at) => (at === 20 ? byte ^ 1 : byte)) }),
      ...['<unclosed>', '</s:Body><s:Body>', '<!DOCTYPE x><op/>', '<?pi?><op/>', '<u:op/>', '<op xmlns="relative"/>', '<op a="1" a="2"/>', '\u0000'].map((plain) => ({ ...b0eParts(), body: `<s:Body wsu:Id="_body">${hidden(sc, plain)}</s:Body>` })),
      { ...b0eParts(), body: `<s:Body wsu:Id="_body">${hidden(sc, Buffer.from([0xff, 0xfe, 0x41]))}</s:Body>` },
    ].map((given) => refusal(xmlOf(given)))
    expect(new Set(cases.map((error) => `${error.code} ${error.message} ${JSON.stringify(error.fault)} ${String(error.cause)}`))).toEqual(new Set([`ERR_WSS_DECRYPT decryption failed ${JSON.stringify(cases[0]?.fault)} undefined`]))
  })
})

describe('E2: GCM', () => {
  const cut = (bytes: (given: Buffer) => Uint8Array): void => expectRefused(xmlOf(b0eParts(DIALECT, { cipher: AES256_GCM, bytes })), { fault: 'failedCheck', code: 'ERR_WSS_DECRYPT' })
  test.each([4, 8, 12, 15])('a tag of %i bytes', (bytes) => cut((given) => given.subarray(0, given.length - 16 + bytes)))
  test.each([1, 12, 16, 27])('%i bytes in all', (bytes) => cut((given) => given.subarray(0, bytes)))
  test('an IV of 8 or of 16 bytes', () => {
    cut((given) => given.subarray(4))
    cut((given) => Buffer.concat([Buffer.alloc(4), given]))
  })
  test('nothing at all', () => expectRefused(xmlOf(b0eParts(DIALECT, { bytes: () => Buffer.alloc(0) })), { fault: 'invalidSecurity', code: 'ERR_WSS_BASE64' }))
})

describe('E3, E4: EncryptedKeys', () => {
  const key = secretKey(Buffer.alloc(32, 0xe1))
  const thumbprint = (certificate = SERVER.certificate): string =>
    `<wsse:SecurityTokenReference><wsse:KeyIdentifier ValueType="${TOKEN.thumbprintSha1}">${Buffer.from(certificate.sha1, 'hex').toString('base64')}</wsse:KeyIdentifier></wsse:SecurityTokenReference>`
  interface Wrapped { readonly id?: string; readonly uri?: string; readonly inside?: string; readonly info?: string; readonly value?: string }
  const cipher = encryptKey(RSA_OAEP_MGF1P, SERVER.certificate.publicKey, key).toString('base64')
  const encryptedKey = ({ id = '_ek', uri = RSA_OAEP_MGF1P.uri, inside = '', info = keyInfo(thumbprint()), value = cipher }: Wrapped = {}): string =>
    `<xenc:EncryptedKey Id="${id}"><xenc:EncryptionMethod Algorithm="${uri}">${inside}</xenc:EncryptionMethod>${info}<xenc:CipherData><xenc:CipherValue>${value}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>`
  const by = (...keys: readonly string[]): string => xmlOf(signed({ ...parts(), tokens: keys }, { key, keyInfo: keyInfo(reference('#_ek', '')) }))
  const attempt = { policy: { signer: 'bootstrap' as const } }
  const refused = (wrapped: Wrapped, expected: Refusal): void => expectRefused(by(encryptedKey(wrapped)), expected, attempt)

  test('the honest one', () => expect(opening(by(encryptedKey()), attempt).signer).toMatchObject({ kind: 'encrypted-key' }))
  test('E3: RSA 1.5, right or wrong, does not come near the key', () => {
    let touched = 0
    const { contexts, certificates, encryptedKey: earlier } = keysWith()
    const keys: Keys = { contexts, certificates, encryptedKey: earlier, get privateKeys() { touched++; return [SERVER.key] } }
    for (const value of [cipher, Buffer.alloc(256, 1).toString('base64'), 'AAAA']) expectRefused(by(encryptedKey({ uri: 'http://www.w3.org/2001/04/xmlenc#rsa-1_5', value })), { fault: 'unsupportedAlgorithm', code: 'ERR_WSS_ALGORITHM' }, { ...attempt, keys })
    expect(touched).toBe(0)
    opening(by(encryptedKey()), { ...attempt, keys })
    expect(touched).toBeGreaterThan(0)
  })
  test.each(['urn:x', 'constructor', '', 'http://www.w3.org/2001/04/xmlenc#kw-tripledes'])('key transport %s', (uri) => refused({ uri }, { fault: 'unsupportedAlgorithm' }))
  test('E4: digests and masks without a row, or that do not fit', () => {
    for (const inside of ['<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#md5"/>', '<ds:DigestMethod/>']) refused({ inside }, { fault: 'unsupportedAlgorithm' })
    refused({ uri: RSA_OAEP.uri, inside: `<xenc11:MGF xmlns:xenc11="${NS.xenc11}" Algorithm="${NS.xenc11}mgf1md5"/>` }, { fault: 'unsupportedAlgorithm' })
    refused({ inside: `<xenc11:MGF xmlns:xenc11="${NS.xenc11}" Algorithm="${NS.xenc11}mgf1sha256"/>` }, { fault: 'unsupportedAlgorithm' })
    refused({ inside: `<ds:DigestMethod Algorithm="${NS.xenc}sha256"/>` }, { fault: 'failedCheck', code: 'ERR_WSS_DECRYPT' })
    refused({ inside: '<xenc:OAEPparams>AAAA</xenc:OAEPparams>' }, { fault: 'failedCheck', code: 'ERR_WSS_DECRYPT' })
    refused({ inside: `<xenc:OAEPparams>${'AAAA'.repeat(100)}</xenc:OAEPparams>` }, { fault: 'unsupportedAlgorithm' })
  })
  test('malformed ciphertexts are one refusal', () => {
    const wrong = [Buffer.alloc(256, 1), Buffer.alloc(255, 1), Buffer.alloc(257, 1), Buffer.alloc(256, 0xff), Buffer.alloc(1)].map((bytes) => () => opening(by(encryptedKey({ value: bytes.toString('base64') })), attempt))
    for (const each of wrong) expect(each).toThrow(expect.objectContaining({ code: 'ERR_WSS_DECRYPT', message: 'decryption failed' }))
  })
  test('E4: ten EncryptedKeys cost nothing; RSA runs once for one that is used ten times', () => {
    expectRefused(by(...Array.from({ length: 10 }, (_, index) => encryptedKey({ id: index === 0 ? '_ek' : `_ek${index}` }))), { fault: 'invalidSecurity', code: 'ERR_WSS_LIMIT' }, attempt)
    let used = 0
    const keys = keysWith([], { encryptedKey: () => { used++; return key } })
    const clear = signed({ ...parts(), tokens: [encryptedKey()] }, { key, keyInfo: keyInfo(reference('#_ek', '')) })
    opening(xmlOf({ ...clear, lists: list('_ed'), body: clear.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT, { key, keyInfo: keyInfo(reference('#_ek', '')) })) }), { ...attempt, keys })
    expect(used).toBe(1)
  })
  test('for somebody else, or for a certificate that is not known; and never where a context must sign', () => {
    refused({ info: keyInfo(thumbprint(CLIENT.certificate)) }, { fault: 'failedCheck', code: 'ERR_WSS_UNKNOWN_CERTIFICATE' })
    refused({ info: keyInfo(thumbprint().replace(/>[^<>]+<\/wsse:KeyIdentifier>/, '>AAAA</wsse:KeyIdentifier>')) }, { fault: 'failedCheck', code: 'ERR_WSS_UNKNOWN_CERTIFICATE' })
    expectRefused(by(encryptedKey()), { fault: 'failedCheck', code: 'ERR_WSS_KEY_KIND' })
  })
  test('E8: a key that is wrapped by itself, by one that it wraps, at the end of a chain, or by a certificate', () => {
    const wrap = (id: string, of: string): string => encryptedKey({ id, uri: KW_AES256.uri, info: keyInfo(reference(of, '')), value: Buffer.alloc(40, 1).toString('base64') })
    for (const keys of [[wrap('_ek', '#_ek')], [wrap('_ek', '#_ek2'), wrap('_ek2', '#_ek')], [wrap('_ek', '#_ek2'), encryptedKey({ id: '_ek2' })], [wrap('_ek', '#_d1'), dkt(sc, '_d1', { str: reference('#_ek', '') })]]) {
      expectRefused(by(...keys), { fault: ['failedCheck', 'unknownDerivationSource'] }, attempt)
    }
    expectRefused(by(encryptedKey({ uri: KW_AES256.uri })), { fault: 'failedCheck', code: 'ERR_WSS_KEY_KIND' }, attempt)
    expectRefused(by(wrap('_ek', '#_sct'), parts().tokens[0] ?? ''), { fault: 'failedCheck', code: 'ERR_WSS_DECRYPT' }, attempt)
  })
  test('a reference in place of the ciphertext, and other things inside', () => {
    const reference = '<xenc:CipherReference URI="http://127.0.0.1:9/"/>'
    expectRefused(by(encryptedKey().replace(/<xenc:CipherValue>.*<\/xenc:CipherValue>/, reference)), { fault: 'invalidSecurity' }, attempt)
    expectRefused(by(encryptedKey().replace('</xenc:EncryptedKey>', '<xenc:EncryptionProperties/></xenc:EncryptedKey>')), { fault: 'invalidSecurity' }, attempt)
    expectRefused(by(encryptedKey().replace('</xenc:CipherValue>', '<x/></xenc:CipherValue>')), { fault: 'invalidSecurity' }, attempt)
  })
})

describe('E5: ciphertext where none may stand', () => {
  const oracle = hidden(sc, '<a xmlns="urn:app"></a>', { id: '_oracle', type: 'element' })
  const PLACES: Readonly<Record<string, (given: Parts) => Parts>> = {
    'a header': (given) => ({ ...given, headers: [...given.headers, oracle] }),
    'inside a header': (given) => ({ ...given, headers: [...given.headers, `<w:W xmlns:w="urn:w">${oracle}</w:W>`] }),
    'an encrypted header inside another': (given) => ({ ...given, headers: [...given.headers, `<w:W xmlns:w="urn:w"><wsse11:EncryptedHeader xmlns:wsse11="${NS.wsse11}">${oracle}</wsse11:EncryptedHeader></w:W>`] }),
    'beside the content of Body': (given) => ({ ...given, body: given.body.replace('</s:Body>', `${oracle}</s:Body>`) }),
    'deep in Body': (given) => ({ ...given, body: given.body.replace('transfer 10', oracle) }),
    'in a token': (given) => ({ ...given, tokens: [(given.tokens[0] ?? '').replace('</wsc:Sec', `${oracle}</wsc:Sec`), ...given.tokens.slice(1)] }),
    'in the Timestamp': (given) => ({ ...given, timestamp: given.timestamp.replace('</wsu:Timestamp>', `${oracle}</wsu:Timestamp>`) }),
    'in the signature': (given) => ({ ...given, signatures: given.signatures.replace('</ds:KeyInfo>', `${oracle}</ds:KeyInfo>`) }),
  }
  test.each(Object.keys(PLACES))('%s, listed', (place) => expectRefused(xmlOf((PLACES[place] as (given: Parts) => Parts)({ ...signed(withSecondKey(parts())), lists: list('_oracle') })), { fault: ['failedCheck', 'invalidSecurity'] }))
  test('beside the content of Body it is not even decrypted', () => {
    const beside = PLACES['beside the content of Body'] as (given: Parts) => Parts
    expectRefused(xmlOf(beside({ ...signed(withSecondKey(parts())), lists: list('_oracle') })), { fault: 'failedCheck', code: 'ERR_WSS_ENCRYPTION' })
  })
  test('listed first, with the true one behind it', () => {
    const given = b0eParts()
    expectRefused(xmlOf({ ...given, lists: list('_oracle', '_ed'), headers: [...given.headers, `<w:W xmlns:w="urn:w">${oracle}</w:W>`] }), { fault: 'failedCheck', code: 'ERR_WSS_ENCRYPTION' })
  })
  test('at its place, but in no list; in two; in one twice; a list of something else, or of nothing that is there', () => {
    const given = b0eParts()
    expectRefused(xmlOf({ ...given, lists: '' }), { fault: 'failedCheck', code: 'ERR_WSS_ENCRYPTION' })
    expectRefused(xmlOf({ ...given, lists: list('_ed') + list('_ed') }), { fault: 'invalidSecurity', code: 'ERR_WSS_ENCRYPTION' })
    expectRefused(xmlOf({ ...given, lists: list('_ed', '_ed') }), { fault: 'invalidSecurity', code: 'ERR_WSS_ENCRYPTION' })
    for (const id of ['_body', '_ts', '_sct', '_none', '__proto__']) expectRefused(xmlOf({ ...given, lists: list('_ed', id) }), { fault: 'failedCheck', code: 'ERR_WSS_ENCRYPTION' })
    for (const uri of ['', 'http://127.0.0.1:9/', "#xpointer(id('_ed'))"]) expectRefused(xmlOf({ ...given, lists: list('_ed').replace('#_ed', uri) }), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
  })
  test('a list of a thousand', () => {
    const many = Array.from({ length: 20 }, (_, index) => hidden(sc, '', { id: `_e${index}`, type: 'element' }))
    expectRefused(xmlOf({ ...signed(withSecondKey(parts())), lists: list(...many.map((_, index) => `_e${index}`)), after: many.join('') }), { fault: 'invalidSecurity', code: 'ERR_WSS_LIMIT' })
    expectRefused(xmlOf({ ...b0eParts(), lists: list('_ed', ...Array.from({ length: 1_000 }, (_, index) => `_no${index}`)) }), { fault: 'failedCheck' })
  })
  test('encryption inside encryption, once and ten times, is not followed', () => {
    let nested = hidden(sc, BODY_TEXT, { id: '_inner' })
    expectRefused(xmlOf({ ...b0eParts(), body: `<s:Body wsu:Id="_body">${hidden(sc, nested)}</s:Body>` }), { fault: 'failedCheck', code: 'ERR_WSS_DECRYPT' })
    for (let depth = 0; depth < 10; depth++) nested = hidden(sc, nested, { id: `_n${depth}` })
    expectRefused(xmlOf({ ...b0eParts(), body: `<s:Body wsu:Id="_body">${hidden(sc, nested)}</s:Body>` }), { fault: 'failedCheck', code: 'ERR_WSS_DECRYPT' })
  })
  test('a CipherReference, properties, parameters, no Type, another Type, no key', () => {
    const given = b0eParts()
    const edited = (edit: (body: string) => string): string => xmlOf({ ...given, body: edit(given.body) })
    for (const xml of [
      edited((body) => body.replace(/<xenc:CipherValue>.*<\/xenc:CipherValue>/, '<xenc:CipherReference URI="http://127.0.0.1:9/"/>')), edited((body) => body.replace('</xenc:EncryptedData>', '<xenc:EncryptionProperties/></xenc:EncryptedData>')),
      edited((body) => body.replace(/(<xenc:EncryptionMethod [^/]*)\/>/, '$1/>').replace(/<xenc:EncryptionMethod ([^>]*)\/>/, '<xenc:EncryptionMethod $1><xenc:KeySize>256</xenc:KeySize></xenc:EncryptionMethod>')), edited((body) => body.replace(/ Type="[^"]+"/, '')),
      edited((body) => body.replace(/ Type="[^"]+"/, ' Type="urn:gzip"')), edited((body) => body.replace(/<ds:KeyInfo>.*<\/ds:KeyInfo>/, '')), edited((body) => body.replace('</xenc:CipherValue>', '<x/></xenc:CipherValue>')),
    ]) expectRefused(xml, { fault: 'invalidSecurity' })
    expectRefused(edited((body) => body.replace(/<ds:KeyInfo>.*<\/ds:KeyInfo>/, keyInfo(`<wsse:SecurityTokenReference><wsse:KeyIdentifier ValueType="${TOKEN.thumbprintSha1}">${Buffer.from(SERVER.certificate.sha1, 'hex').toString('base64')}</wsse:KeyIdentifier></wsse:SecurityTokenReference>`))), FAILED)
  })
})

describe('E6: encrypted headers', () => {
  const given = withSecondKey(parts())
  const wrapper = (inside: string, attributes = ''): string => `<wsse11:EncryptedHeader xmlns:wsse11="${NS.wsse11}"${attributes}>${inside}</wsse11:EncryptedHeader>`
  const element = (xml: string, id = '_ed'): string => hidden(sc, xml.replace(/^<([\w:]+)/, `<$1 xmlns:s="${soap.ns}" xmlns:wsu="${NS.wsu}" xmlns:wsa="http://www.w3.org/2005/08/addressing"`), { type: 'element', id })
  const sequence = given.headers[4] ?? ''
  const added = (header: string): string => xmlOf({ ...signed(given), lists: list('_ed'), headers: [...given.headers, header] })
  test('two children; text or a plain header beside the ciphertext; nothing', () => {
    expectRefused(xmlOf({ ...signed(given), lists: list('_ed', '_e2'), headers: [...given.headers, wrapper(element('<a xmlns="urn:app"></a>') + element('<b xmlns="urn:app"></b>', '_e2'))] }), { fault: 'failedCheck', code: 'ERR_WSS_ENCRYPTION' })
    expectRefused(added(wrapper(`<app:a xmlns:app="urn:app"/>${element('<b xmlns="urn:app"></b>')}`)), { fault: 'failedCheck', code: 'ERR_WSS_ENCRYPTION' })
  })
  test('that turn into a second Sequence, a second Action, or an unsigned one', () => {
    expectRefused(added(wrapper(element(sequence.replace(' wsu:Id="_seq"', '').replace('>1<', '>2<')))), { fault: 'invalidSecurity', code: 'ERR_WSS_DUPLICATE_HEADER' })
    expectRefused(added(wrapper(element('<wsa:Action>urn:app/other</wsa:Action>'))), { fault: 'invalidSecurity', code: 'ERR_WSS_DUPLICATE_HEADER' })
    expectRefused(added(wrapper(element('<wsa:FaultTo><wsa:Address>http://evil.example/</wsa:Address></wsa:FaultTo>'))), { fault: 'failedCheck', code: 'ERR_WSS_COVERAGE' })
  })
  test('that turn into a Security header, a signature, or anything else of security', () => {
    for (const [prefix, ns, local] of [['wsse', NS.wsse, 'Security'], ['ds', NS.ds, 'Signature'], ['wsu', NS.wsu, 'Timestamp'], ['xenc', NS.xenc, 'EncryptedKey'], ['wsse11', NS.wsse11, 'EncryptedHeader']]) {
      expectRefused(added(wrapper(element(`<${prefix}:${local} xmlns:${prefix}x="urn:x"></${prefix}:${local}>`.replace(`xmlns:${prefix}x="urn:x"`, prefix === 'wsu' ? '' : `xmlns:${prefix}="${ns}"`)))), { fault: 'failedCheck', code: 'ERR_WSS_DECRYPT' })
    }
  })
  test('that turn into two headers, text, or nothing', () => {
    for (const plain of ['<a xmlns="urn:app"></a><b xmlns="urn:app"></b>', 'text', '', ' <a xmlns="urn:app"></a>']) expectRefused(added(wrapper(hidden(sc, plain, { type: 'element' }))), { fault: 'failedCheck', code: 'ERR_WSS_DECRYPT' })
  })
})

describe('E7: plaintext of a signature or a token that is something else', () => {
  const clear = signed(withSecondKey(parts()))
  const made = (plain: string): string => xmlOf({ ...clear, lists: list('_es'), signatures: hidden(sc, plain, { id: '_es', type: 'element' }) })
  test('the honest one', () => expect(opening(made(clear.signatures)).encryptedParts).toEqual(['element in Security:Signature']))
  test.each([
    ['two signatures', clear.signatures + clear.signatures.replace('_sig', '_sig2')], ['text', 'text'], ['nothing', ''], ['a header', '<wsa:To>urn:x</wsa:To>'], ['a context token', parts().tokens[0] ?? ''], ['a Timestamp', '<wsu:Timestamp></wsu:Timestamp>'],
    ['a signature and text', `${clear.signatures}x`], ['encryption', hidden(sc, clear.signatures, { id: '_in', type: 'element' })], ['a list', list('_body')], ['an EncryptedKey', '<xenc:EncryptedKey></xenc:EncryptedKey>'],
  ])('%s', (_, plain) => expectRefused(made(plain), { fault: 'failedCheck', code: 'ERR_WSS_DECRYPT' }))
  test('the signature as content of Type Content', () => expectRefused(made(clear.signatures).replace('xmlenc#Element', 'xmlenc#Content'), { fault: 'invalidSecurity', code: 'ERR_WSS_ENCRYPTION' }))
  test('a Body of two elements is opened as it is: what a Body may hold is for others to say', () => {
    const two = signed({ ...withSecondKey(parts()), body: `<s:Body wsu:Id="_body">${BODY_TEXT}${BODY_TEXT}</s:Body>` })
    expect(opening(xmlOf({ ...two, lists: list('_ed'), body: `<s:Body wsu:Id="_body">${hidden(sc, BODY_TEXT + BODY_TEXT)}</s:Body>` })).encryptedParts).toEqual(['Body:op+op'])
    expectRefused(xmlOf({ ...two, lists: list('_ed'), body: `<s:Body wsu:Id="_body">${hidden(sc, BODY_TEXT + BODY_TEXT, { type: 'element' })}</s:Body>` }), { fault: 'failedCheck', code: 'ERR_WSS_DECRYPT' })
  })
  test('a plaintext that is small as bytes and large as XML is held to the limits of a message', () => {
    const limits = { elements: 200, depth: 16, ids: 256 }
    for (const plain of ['<a xmlns="urn:app"></a>'.repeat(300), '<a xmlns="urn:app">'.repeat(20) + '</a>'.repeat(20)]) {
      const given = signed({ ...withSecondKey(parts()), body: `<s:Body wsu:Id="_body">${plain}</s:Body>` })
      const xml = xmlOf({ ...given, lists: list('_ed'), body: `<s:Body wsu:Id="_body">${hidden(sc, plain)}</s:Body>` })
      expect(() => opening(xml, { policy: { limits: { ...DEFAULT_LIMITS, ...limits } } })).toThrow(expect.objectContaining({ code: 'ERR_WSS_DECRYPT' }))
    }
  })
})

describe('E9: what the policy wants encrypted', () => {
  test('a Body in clear', () => {
    expectRefused(b0(), { fault: 'failedCheck', code: 'ERR_WSS_NOT_ENCRYPTED' }, { policy: { encryptBody: true } })
    expectRefused(encryptedSignature(), { fault: 'failedCheck', code: 'ERR_WSS_NOT_ENCRYPTED' }, { policy: { encryptBody: true } })
  })
  test('an encrypted Body that is not signed proves nothing', () => {
    const clear = signed(withSecondKey(parts()), { ids: SIGNED.filter((id) => id !== '_body') })
    expectRefused(xmlOf({ ...clear, lists: list('_ed'), body: clear.body.replace(BODY_TEXT, hidden(sc, '<op xmlns="urn:app">transfer 9999</op>')) }), { fault: 'failedCheck', code: 'ERR_WSS_COVERAGE' })
  })
  test('another ciphertext of the same sender in the place of the signed one', () => {
    const other = b0eParts()
    expectRefused(xmlOf({ ...other, body: `<s:Body wsu:Id="_body">${hidden(sc, '<op xmlns="urn:app">transfer 9999</op>')}</s:Body>` }), { fault: 'failedCheck', code: 'ERR_WSS_DIGEST' })
  })
})
