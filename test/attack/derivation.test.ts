/** Derived keys: circles and chains, sizes that cost or overflow, nonces and labels that are none. */
import { describe, expect, test } from 'vitest'
import { SC05, TOKEN } from '../../src/spec/versions.ts'
import { CLIENT, derived, DIALECT, DIALECTS, dkt, expectRefused, ID_A, keyInfo, keysWith, NONCE_SIGN, opening, type Parts, parts, reference, type Refusal, sct, SECRET_A, signed, xmlOf } from './baseline.ts'

const TOO_MUCH: Refusal = { fault: 'invalidSecurity', code: 'ERR_WSS_DERIVATION' }
const NO_SOURCE: Refusal = { fault: 'unknownDerivationSource', code: 'ERR_WSS_DERIVATION_SOURCE' }

describe.each(DIALECTS)('%s', (_, dialect) => {
  const { sc } = dialect
  const withTokens = (...tokens: readonly string[]): Parts => ({ ...parts(dialect), tokens: [sct(sc), ...tokens] })
  const one = (more: Parameters<typeof dkt>[2], key = derived(SECRET_A, NONCE_SIGN)): string => xmlOf(signed(withTokens(dkt(sc, '_d1', more)), { key, keyInfo: keyInfo(reference('#_d1', sc.dk)) }))
  const rest = (text: string): string => one({ rest: text })
  const from = (id: string): string => reference(`#${id}`, sc.dk)

  test('S1: a key derived from itself, from one that is derived from it, at the end of a chain', () => {
    const made = (...tokens: readonly string[]): string => xmlOf(signed(withTokens(...tokens), { keyInfo: keyInfo(from('_d1')) }))
    expectRefused(made(dkt(sc, '_d1', { str: from('_d1') })), NO_SOURCE)
    expectRefused(made(dkt(sc, '_d1', { str: from('_d2') }), dkt(sc, '_d2', { str: from('_d1') })), NO_SOURCE)
    expectRefused(made(dkt(sc, '_d1', { str: from('_d2') }), dkt(sc, '_d2')), NO_SOURCE)
    expectRefused(made(...Array.from({ length: 8 }, (_unused, at) => dkt(sc, `_d${at + 1}`, { str: from(`_d${at + 2}`) }))), NO_SOURCE)
  })
  test('S1: a key derived from a certificate, by any name of it, or from nothing', () => {
    const bst = `<wsse:BinarySecurityToken wsu:Id="_x509" EncodingType="${TOKEN.base64Binary}" ValueType="${TOKEN.x509v3}">${Buffer.from(CLIENT.certificate.raw).toString('base64')}</wsse:BinarySecurityToken>`
    const thumbprint = `<wsse:SecurityTokenReference><wsse:KeyIdentifier ValueType="${TOKEN.thumbprintSha1}">${Buffer.from(CLIENT.certificate.sha1, 'hex').toString('base64')}</wsse:KeyIdentifier></wsse:SecurityTokenReference>`
    const issued = `<wsse:SecurityTokenReference><ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName>${CLIENT.certificate.issuer}</ds:X509IssuerName><ds:X509SerialNumber>${CLIENT.certificate.serial}</ds:X509SerialNumber></ds:X509IssuerSerial></ds:X509Data></wsse:SecurityTokenReference>`
    const embedded = `<wsse:SecurityTokenReference><wsse:Embedded>${bst}</wsse:Embedded></wsse:SecurityTokenReference>`
    for (const str of [reference('#_x509', TOKEN.x509v3), thumbprint, issued]) expectRefused(xmlOf(signed(withTokens(bst, dkt(sc, '_d1', { str })))), NO_SOURCE)
    expectRefused(xmlOf(signed(withTokens(dkt(sc, '_d1', { str: embedded })))), NO_SOURCE)
    expectRefused(one({ str: '' }), NO_SOURCE)
  })
  test('S1: the source may stand behind; order is not what makes it believed', () =>
    expect(opening(xmlOf(signed({ ...parts(dialect), tokens: [dkt(sc, '_d1'), sct(sc)] }))).signer).toMatchObject({ identifier: ID_A }))

  test.each(['0', '-1', '1', '15', '65', '513', '2147483647', '9223372036854775808', '18446744073709551616', '1e2', '0x20', '32.0', '', ' ', '٣٢', 'NaN', '1'.repeat(400)])('S2: Length %s', (length) => {
    expectRefused(rest(`<wsc:Offset>0</wsc:Offset><wsc:Length>${length}</wsc:Length>`), TOO_MUCH)
    expectRefused(rest(`<wsc:Generation>0</wsc:Generation><wsc:Length>${length}</wsc:Length>`), TOO_MUCH)
  })
  test.each(['4097', '4065', '2147483647', '-1', '9007199254740991', '18446744073709551615', '1e1', ''])('S2: Offset %s', (offset) => expectRefused(rest(`<wsc:Offset>${offset}</wsc:Offset><wsc:Length>32</wsc:Length>`), TOO_MUCH))
  test.each(['128', '2147483648', '9007199254740991', '18446744073709551615', '-1'])('S2: Generation %s', (generation) => expectRefused(rest(`<wsc:Generation>${generation}</wsc:Generation><wsc:Length>32</wsc:Length>`), TOO_MUCH))
  test('S2: Offset and Generation; either twice; Length twice', () => {
    expectRefused(rest('<wsc:Offset>0</wsc:Offset><wsc:Generation>0</wsc:Generation><wsc:Length>32</wsc:Length>'), TOO_MUCH)
    for (const name of ['Offset', 'Generation', 'Length']) expectRefused(rest(`<wsc:${name}>32</wsc:${name}>`.repeat(2)), { fault: 'invalidSecurity', code: 'ERR_WSS_STRUCTURE' })
  })
  test('S2: the last key that fits is derived, the next is not', () => {
    const fits = '<wsc:Offset>4064</wsc:Offset><wsc:Length>32</wsc:Length>'
    expect(opening(one({ rest: fits }, derived(SECRET_A, NONCE_SIGN, 4_064, 32))).signer).toMatchObject({ identifier: ID_A })
    expect(opening(one({ rest: '<wsc:Generation>127</wsc:Generation><wsc:Length>32</wsc:Length>' }, derived(SECRET_A, NONCE_SIGN, 4_064, 32))).signer).toMatchObject({ identifier: ID_A })
  })

  const nonce = (bytes: number): string => `<wsc:Nonce>${Buffer.alloc(bytes, 1).toString('base64')}</wsc:Nonce>`
  test.each([1, 7, 129, 1_000_000])('S3: a Nonce of %i bytes', (bytes) => expectRefused(one({ nonce: nonce(bytes) }), TOO_MUCH))
  test('S3: no Nonce, an empty one, two, one that is not base64, one with an element in it', () => {
    expectRefused(one({ nonce: '' }), TOO_MUCH)
    for (const text of ['<wsc:Nonce></wsc:Nonce>', nonce(16) + nonce(16), '<wsc:Nonce>****</wsc:Nonce>', '<wsc:Nonce>AAAAAAAAAAA</wsc:Nonce>', nonce(16).replace('</', '<x/></')]) expectRefused(one({ nonce: text }), { fault: 'invalidSecurity' })
  })
  test.each([8, 128])('S3: a Nonce of %i bytes is one', (bytes) => expect(opening(one({ nonce: nonce(bytes) }, derived(SECRET_A, Buffer.alloc(bytes, 1)))).signer).toMatchObject({ identifier: ID_A }))
  test.each(['', 'x'.repeat(129)])('S3: a Label that is empty or too long', (label) => expectRefused(rest(`<wsc:Offset>0</wsc:Offset><wsc:Length>32</wsc:Length><wsc:Label>${label}</wsc:Label>`), TOO_MUCH))
  test.each(['urn:other', '', `${SC05.pSha1}2`, 'constructor'])('S3: another algorithm: %s', (uri) => {
    expectRefused(one({ attributes: ` Algorithm="${uri}"` }), { fault: 'unsupportedAlgorithm', code: 'ERR_WSS_ALGORITHM' })
    expectRefused(one({ attributes: ` wsc:Algorithm="${uri}"` }), { fault: 'unsupportedAlgorithm', code: 'ERR_WSS_ALGORITHM' })
  })
  test('S3: Properties, with and without ten thousand children', () => {
    for (const inside of ['', '<wsc:Name>a</wsc:Name>'.repeat(10_000)]) expectRefused(rest(`<wsc:Properties>${inside}</wsc:Properties>`), { fault: 'invalidSecurity', code: 'ERR_WSS_STRUCTURE' })
  })
  test('S3: a hundred derived keys, and a ninth that nothing uses', () => {
    for (const count of [9, 100]) expectRefused(xmlOf(signed(withTokens(...Array.from({ length: count }, (_unused, at) => dkt(sc, `_d${at + 1}`))))), { fault: 'invalidSecurity', code: 'ERR_WSS_LIMIT' })
    expect(opening(xmlOf(signed(withTokens(...Array.from({ length: 8 }, (_unused, at) => dkt(sc, `_d${at + 1}`)))))).signer).toMatchObject({ identifier: ID_A })
  })
  test('a derived key that is not used is held to the limits all the same', () => expectRefused(xmlOf(signed(withTokens(dkt(sc, '_d1'), dkt(sc, '_d2', { rest: '<wsc:Offset>0</wsc:Offset><wsc:Length>100000000</wsc:Length>' })))), TOO_MUCH))

  test('an implied derived key is held to the same limits', () => {
    const implied = (attributes: string, of = '#_sct'): string => keyInfo(reference(of, '').replace('<wsse:SecurityTokenReference', `<wsse:SecurityTokenReference xmlns:wsc="${sc.ns}" ${attributes}`))
    const good = NONCE_SIGN.toString('base64')
    const made = (info: string): string => xmlOf(signed(withTokens(dkt(sc, '_d1')), { keyInfo: info }))
    expect(opening(made(implied(`wsc:Nonce="${good}"`))).signer).toMatchObject({ identifier: ID_A })
    for (const attributes of ['wsc:Length="32"', 'wsc:Nonce=""', 'wsc:Nonce="AAAA"', `wsc:Nonce="${good}" wsc:Length="65"`, `wsc:Nonce="${good}" wsc:Length="15"`, `wsc:Nonce="${good}" wsc:Length="x"`, `wsc:Nonce="${good}" wsc:Length="99999999999"`, 'wsc:Nonce="*"']) {
      expectRefused(made(implied(attributes)), { fault: 'invalidSecurity' })
    }
    // Derived from a derived key: a chain of two.
    expectRefused(made(implied(`wsc:Nonce="${good}"`, '#_d1')), NO_SOURCE)
    const inDerived = reference('#_sct', '').replace('<wsse:SecurityTokenReference', `<wsse:SecurityTokenReference xmlns:wsc="${sc.ns}" wsc:Nonce="${good}"`)
    expectRefused(xmlOf(signed(withTokens(dkt(sc, '_d1', { str: inDerived })))), NO_SOURCE)
  })
})

describe('S5, S6: instances', () => {
  const { sc } = DIALECT
  const instance = (name: string): string => `<wsc:Instance>${name}</wsc:Instance>`
  const keys = keysWith([{ identifier: ID_A, instance: 'one', secret: SECRET_A }])
  const made = (name: string): string => xmlOf(signed({ ...parts(), tokens: [sct(sc, ID_A, '_sct', instance(name)), dkt(sc, '_d1')] }))
  test('another instance than any that is believed, also by a hair', () => {
    expect(opening(made('one'), { keys }).signer).toMatchObject({ instance: 'one' })
    for (const name of ['One', 'one.', 'o ne', '', '__proto__']) expectRefused(made(name), { fault: 'badContextToken', code: 'ERR_WSS_UNKNOWN_CONTEXT' }, { keys })
  })
  test('a token and a reference that name different instances; an instance twice; an identifier twice; none', () => {
    const differing = { ...parts(), tokens: [sct(sc, ID_A, '_sct', instance('one')), dkt(sc, '_d1', { str: reference('#_sct', sc.sct, ` xmlns:wsc="${sc.ns}" wsc:Instance="two"`) })] }
    expectRefused(xmlOf(signed(differing)), { fault: 'invalidSecurity', code: 'ERR_WSS_REFERENCE' }, { keys })
    for (const token of [sct(sc, ID_A, '_sct', instance('one').repeat(2)), sct(sc, ID_A, '_sct', '<wsc:Identifier>urn:b</wsc:Identifier>'), sct(sc).replace(/<wsc:Identifier>.*<\/wsc:Identifier>/, ''), sct(sc, '<x/>')]) {
      expectRefused(xmlOf(signed({ ...parts(), tokens: [token, dkt(sc, '_d1')] })), { fault: 'invalidSecurity' }, { keys })
    }
  })
  test('one that has expired needs renewal, to the millisecond', () => {
    const until = (expires: number) => keysWith([{ identifier: ID_A, instance: undefined, secret: SECRET_A, expires }])
    const now = Date.UTC(2026, 0, 15, 10, 1)
    expectRefused(xmlOf(signed(parts())), { fault: 'renewNeeded', code: 'ERR_WSC_EXPIRED' }, { keys: until(now), now })
    expect(opening(xmlOf(signed(parts())), { keys: until(now + 1), now }).signer).toMatchObject({ identifier: ID_A })
  })
})
