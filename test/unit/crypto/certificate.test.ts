import { createSecretKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { checkTrust, ownsCertificate, readCertificate, readPrivateKey, sameIssuer, type Trust } from '../../../src/crypto/certificate.ts'
import { digest } from '../../../src/crypto/hash.ts'
import { SecurityFailure, UsageError } from '../../../src/errors.ts'
import { authority, certificate, commonName, ecKey, extension, name, NOW, octets, pem, type Rdn, rsaKey, sequence, usage } from './certificates.ts'

const identity = (file: string): string => readFileSync(new URL(`../../../demo/identities/${file}`, import.meta.url), 'utf8')
const vectors = JSON.parse(readFileSync(new URL('../../vector/derived-key-vectors.json', import.meta.url), 'utf8')) as {
  keys: Record<'client' | 'server', { certificateDerB64: string; thumbprintSHA1: string; subjectKeyIdentifierB64: string; issuerName: string; serialNumber: string | number }>
}
const key = readPrivateKey(identity('client.key.pem'))
const rootKey = readPrivateKey(identity('service.key.pem'))
const middleKey = ecKey()
const ROOT = commonName('root')
const MIDDLE = commonName('middle')
const root = certificate({ subject: ROOT, key: rootKey, extensions: [authority(), usage(5, 6)] })
const leaf = (more: Partial<Parameters<typeof certificate>[0]> = {}) => readCertificate(certificate({ subject: commonName('leaf'), issuer: ROOT, key, signer: rootKey, ...more }))

describe('a certificate is read', () => {
  test.each(['client', 'server'] as const)('with the names that the vectors have for the %s', (who) => {
    const vector = vectors.keys[who]
    const read = readCertificate(Buffer.from(vector.certificateDerB64, 'base64'))
    expect(read.ski).toBe(vector.subjectKeyIdentifierB64)
    expect(read.serial).toBe(String(vector.serialNumber))
    expect(sameIssuer(read.issuer, vector.issuerName)).toBe(true)
    expect([read.sha1, Buffer.from(read.sha1, 'hex').toString('base64')]).toContain(vector.thumbprintSHA1)
    expect(read.sha256).toBe(digest('sha256', read.raw).toString('hex'))
  })
  test('from PEM as from DER', () => {
    const der = new X509Certificate(identity('client.pem')).raw
    expect(readCertificate(der)).toEqual(readCertificate(identity('client.pem')))
    expect(readCertificate(identity('client.pem'))).toMatchObject({ subject: 'CN=client,O=Example', issuer: 'CN=Demo authority,O=Example' })
  })
  test('without a key identifier one is made of the key', () => {
    const der = certificate({ subject: ROOT, key })
    const bits = new X509Certificate(der).publicKey.export({ type: 'pkcs1', format: 'der' })
    expect(readCertificate(der).ski).toBe(digest('sha1', bits).toString('base64'))
  })
  test('with the key identifier that it names, whatever that is', () => {
    const der = certificate({ subject: ROOT, key, extensions: [extension('2.5.29.14', octets(Buffer.from('any')), false)] })
    expect(readCertificate(der).ski).toBe(Buffer.from('any').toString('base64'))
  })
  test.each([
    ['00', '0'], ['7f', '127'], ['0080', '128'], ['ff', '-1'], [`7f${'ff'.repeat(19)}`, String(2n ** 159n - 1n)],
  ])('with serial %s as %s', (hex, decimal) => expect(leaf({ serial: Buffer.from(hex, 'hex') }).serial).toBe(decimal))
})

describe('no certificate is', () => {
  const der = certificate({ subject: ROOT, key })
  const refused = (bytes: string | Uint8Array): void => expect(() => readCertificate(bytes)).toThrow(expect.objectContaining({ code: 'ERR_WSS_CERTIFICATE' }))
  test('nothing, text, or half of one', () => {
    for (const bytes of ['', 'certificate', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----', new Uint8Array(), Buffer.alloc(100), Buffer.alloc(100_000), 'x'.repeat(1_000_000)]) refused(bytes)
    for (let length = 0; length < der.length; length += 7) refused(der.subarray(0, length))
  })
  test('one with other bytes behind it', () => refused(Buffer.concat([der, Buffer.alloc(1)])))
  test('one with a key that is too short, or not RSA', () => {
    refused(certificate({ subject: ROOT, key: rsaKey(1_024) }))
    refused(certificate({ subject: ROOT, key: ecKey() }))
  })
  test('one with an extension twice', () => {
    const twice = extension('2.5.29.14', octets(Buffer.from('any')), false)
    expect(() => readCertificate(certificate({ subject: ROOT, key, extensions: [twice, twice] }))).toThrow(SecurityFailure)
  })
  test('one with any byte changed, when it is refused, is refused with that error', () => {
    for (let i = 0; i < der.length; i++) {
      for (const change of [0x01, 0x80, 0xff]) {
        const changed = Buffer.from(der)
        changed[i] = (changed[i] ?? 0) ^ change
        try {
          readCertificate(changed)
        } catch (error) {
          expect(error).toBeInstanceOf(SecurityFailure)
        }
      }
    }
  })
})

describe('names', () => {
  const issued = (...rdns: readonly Rdn[]) => leaf({ subject: name(...rdns) }).subject
  test('are written as RFC 4514 has them', () => {
    expect(issued(['2.5.4.6', 'DE', 0x13], ['2.5.4.10', 'Example, Inc. + "more"'], ['2.5.4.3', '#1 <a;b>\\ '])).toBe('CN=\\#1 \\<a\\;b\\>\\\\\\ ,O=Example\\, Inc. \\+ \\"more\\",C=DE')
    expect(issued([['2.5.4.3', 'a'], ['2.5.4.11', 'b']], ['2.5.4.10', 'c'])).toBe('O=c,CN=a+OU=b')
    expect(issued(['1.2.840.113549.1.9.1', 'a@b', 0x16])).toBe('1.2.840.113549.1.9.1=#1603614062')
    expect(issued(['2.5.4.3', Buffer.from('0411', 'hex'), 0x1e])).toBe('CN=Б')
    expect(issued(['2.5.4.3', 'a\u0000b'])).toBe('CN=a\\00b')
  })
  test.each([
    ['CN=a,O=b', 'CN=a, O=b'], ['CN=a,O=b', 'cn = a ; o=b'], ['CN=a,O=b', 'O=b, CN=a'], ['CN=a,O=b', 'CN="a",O=b'], ['CN=a\\, b,O=c', 'CN="a, b",O=c'],
    ['CN=a+OU=b,O=c', 'OU=b + CN=a, O=c'], ['ST=x', 'S=x'], ['1.2.840.113549.1.9.1=#1603614062', 'E=a@b'], ['1.2.840.113549.1.9.1=#1603614062', 'EMAILADDRESS=A@b'],
    ['2.5.4.5=#130131', 'SERIALNUMBER=1'], ['CN=a', 'OID.2.5.4.3=a'], ['CN=ä', 'CN=\\C3\\A4'], ['CN=a  b', 'CN=a b'], ['CN=Example', 'CN=EXAMPLE'], ['DC=example,DC=com', 'dc=example, dc=com'],
    ['CN=a\\ ', 'CN="a "'], ['CN=\\#1', 'CN="#1"'], ['T=x,GN=y', 'title=x,G=y'],
  ])('%s is the same as %s', (a, b) => {
    expect(sameIssuer(a, b)).toBe(true)
    expect(sameIssuer(b, a)).toBe(true)
  })
  test.each([
    ['CN=a,O=b', 'CN=a'], ['CN=a,O=b', 'CN=b,O=a'], ['CN=a', 'O=a'], ['CN=a\\,O=b', 'CN=a,O=b'], ['CN=a', ''], ['', 'x'], ['CN=a', 'CN=a,'], ['CN=a', '=a'], ['CN=a', 'a'], ['CN=a', 'CN=a\\'],
    ['CN=a+O=b', 'CN=a,O=b'], ['CN=a', 'FOO=a'], ['CN=a', 'CN=a+'], ['CN=a,O=b,C=c', 'O=b,CN=a,C=c'], ['CN=a', '__proto__=a'], ['CN=a', '2.5.4.3=#zz'], ['CN=a', '2.5.4.3=#13ff61'], ['CN=a', 'CN=#'],
  ])('%s is not the same as %s', (a, b) => {
    expect(sameIssuer(a, b)).toBe(false)
    expect(sameIssuer(b, a)).toBe(false)
  })
  test('that are no names equal nothing but themselves, and long ones not even that', () => {
    expect(sameIssuer('x', 'y')).toBe(false)
    const long = `CN=${'a'.repeat(5_000)}`
    expect(sameIssuer(long, long)).toBe(false)
  })
  test.each(['\\', ',', '+', '"', ' ', '=', 'CN=,', '\\41', '#'])('of %j only, 4,000 characters long, cost no time worth telling', (piece) => {
    const text = `CN=${piece.repeat(4_000 / piece.length)}`
    const start = process.cpuUsage().user
    for (let i = 0; i < 20; i++) sameIssuer(text, 'CN=a')
    expect(process.cpuUsage().user - start).toBeLessThan(1_000_000)
  })
})

describe('a private key', () => {
  test('is read from PEM, PKCS#8 or a key, and is known to belong to its certificate', () => {
    expect(readPrivateKey(key.export({ type: 'pkcs8', format: 'der' })).equals(key)).toBe(true)
    expect(readPrivateKey(key)).toBe(key)
    expect(ownsCertificate(key, readCertificate(identity('client.pem')))).toBe(true)
    expect(ownsCertificate(key, readCertificate(identity('intruder.pem')))).toBe(false)
  })
  test('that is none is refused without a word of it', () => {
    const wrong = [
      '', 'secret words', identity('client.pem'), Buffer.from('secret words'), rsaKey(1_024), ecKey(), createSecretKey(Buffer.from('secret words')),
      key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret words' }),
    ]
    for (const input of wrong) {
      const error = (() => {
        try { return readPrivateKey(input) } catch (thrown) { return thrown }
      })()
      expect(error).toBeInstanceOf(UsageError)
      expect(`${(error as Error).stack}${String((error as Error).cause)}`).not.toContain('secret words')
    }
  })
})

const trusts = async (subject: Parameters<typeof checkTrust>[0], trust: Trust, now = NOW): Promise<string> => {
  try {
    await checkTrust(subject, trust, now)
    return 'trusted'
  } catch (error) {
    if (error instanceof SecurityFailure) return error.code
    throw error
  }
}
const REFUSED = 'ERR_WSS_UNTRUSTED'

describe('trust by pins', () => {
  const pinned = leaf()
  const colons = (hex: string): string => hex.toUpperCase().replaceAll(/..(?!$)/g, '$&:')
  test.each([pinned.sha1, pinned.sha256, colons(pinned.sha1), colons(pinned.sha256)])('%s', async (pin) => expect(await trusts(pinned, { pins: ['0'.repeat(40), pin] })).toBe('trusted'))
  test('refuses any other certificate, and an empty list all', async () => {
    expect(await trusts(leaf({ serial: Buffer.from([2]) }), { pins: [pinned.sha1, pinned.sha256] })).toBe(REFUSED)
    expect(await trusts(pinned, { pins: [] })).toBe(REFUSED)
  })
  test('refuses what is not valid in time', async () => {
    expect(await trusts(pinned, { pins: [pinned.sha1] }, NOW + 2 * 86_400_000)).toBe(REFUSED)
    expect(await trusts(pinned, { pins: [pinned.sha1] }, NOW - 2 * 86_400_000)).toBe(REFUSED)
  })
  test.each(['', 'abc', 'z'.repeat(40), '0'.repeat(41), '0'.repeat(39)])('names the mistake in %j', async (pin) => {
    await expect(trusts(pinned, { pins: [pinned.sha1, pin] })).rejects.toThrow(UsageError)
  })
})

describe('trust by authorities', () => {
  test('takes what one of them issued', async () => {
    expect(await trusts(leaf(), { authorities: [root] })).toBe('trusted')
    expect(await trusts(leaf(), { authorities: [pem(root)] })).toBe('trusted')
    expect(await trusts(leaf(), { authorities: [identity('authority.pem') + pem(root)] })).toBe('trusted')
    expect(await trusts(leaf({ extensions: [usage(0, 2)] }), { authorities: [root] })).toBe('trusted')
    expect(await trusts(readCertificate(identity('client.pem')), { authorities: [identity('authority.pem')] }, Date.UTC(2027, 0, 1))).toBe('trusted')
  })
  test('refuses what others issued, also under the same name', async () => {
    expect(await trusts(leaf(), { authorities: [identity('authority.pem')] })).toBe(REFUSED)
    expect(await trusts(leaf({ signer: key }), { authorities: [root] })).toBe(REFUSED)
    expect(await trusts(readCertificate(certificate({ subject: ROOT, key, extensions: [authority()] })), { authorities: [root] })).toBe(REFUSED)
    expect(await trusts(leaf(), { authorities: [certificate({ subject: ROOT, key: middleKey, extensions: [authority()] })] })).toBe(REFUSED)
    expect(await trusts(leaf(), { authorities: [certificate({ subject: ROOT, key: middleKey, extensions: [authority()] }), root] })).toBe('trusted')
    expect(await trusts(leaf({ issuer: commonName('Root two') }), { authorities: [root] })).toBe(REFUSED)
  })
  test('goes through authorities between, as far as they allow', async () => {
    const middle = (pathLength?: number, more = {}) => certificate({ subject: MIDDLE, issuer: ROOT, key: middleKey, signer: rootKey, extensions: [authority(pathLength), usage(5)], ...more })
    const below = leaf({ issuer: MIDDLE, signer: middleKey })
    expect(await trusts(below, { authorities: [root, middle()] })).toBe('trusted')
    expect(await trusts(below, { authorities: [middle(0), root] })).toBe('trusted')
    expect(await trusts(below, { authorities: [root] })).toBe(REFUSED)
    const shallow = certificate({ subject: ROOT, key: rootKey, extensions: [authority(0)] })
    expect(await trusts(below, { authorities: [shallow, middle()] })).toBe(REFUSED)
    expect(await trusts(leaf(), { authorities: [shallow] })).toBe('trusted')
    expect(await trusts(below, { authorities: [root, middle(0, { to: NOW - 1_000 })] })).toBe(REFUSED)
    expect(await trusts(below, { authorities: [certificate({ subject: ROOT, key: rootKey, extensions: [authority()], to: NOW - 1_000 }), middle()] })).toBe(REFUSED)
  })
  test('refuses chains that are too long, and circles', async () => {
    const names = Array.from({ length: 9 }, (_, i) => commonName(`level ${i}`))
    const chain = names.map((subject, i) => certificate({ subject, issuer: names[i + 1] ?? subject, key: rootKey, extensions: [authority()] }))
    expect(await trusts(leaf({ issuer: names[0] ?? ROOT }), { authorities: chain })).toBe(REFUSED)
    expect(await trusts(leaf({ issuer: names[5] ?? ROOT }), { authorities: chain })).toBe('trusted')
    const circle = [certificate({ subject: ROOT, issuer: MIDDLE, key: rootKey, extensions: [authority()] }), certificate({ subject: MIDDLE, issuer: ROOT, key: rootKey, extensions: [authority()] })]
    expect(await trusts(leaf(), { authorities: circle })).toBe(REFUSED)
  })
  test('asks that an authority is one', async () => {
    const issuer = (extensions: readonly Uint8Array[], more = {}) => certificate({ subject: ROOT, key: rootKey, extensions, ...more })
    expect(await trusts(leaf(), { authorities: [issuer([])] })).toBe(REFUSED)
    expect(await trusts(leaf(), { authorities: [issuer([extension('2.5.29.19', sequence())])] })).toBe(REFUSED)
    expect(await trusts(leaf(), { authorities: [issuer([authority(), usage(0)])] })).toBe(REFUSED)
    expect(await trusts(leaf(), { authorities: [issuer([authority()], { to: NOW - 1_000 })] })).toBe(REFUSED)
    expect(await trusts(leaf(), { authorities: [issuer([authority(), extension('2.5.29.30', sequence())])] })).toBe(REFUSED)
  })
  test('asks that an authority has a key that is long enough', async () => {
    const weak = rsaKey(1_024)
    expect(await trusts(leaf({ signer: weak }), { authorities: [certificate({ subject: ROOT, key: weak, extensions: [authority()] })] })).toBe(REFUSED)
  })
  test('does not let one leaf issue another', async () => {
    const first = certificate({ subject: MIDDLE, issuer: ROOT, key: middleKey, signer: rootKey })
    expect(await trusts(leaf({ issuer: MIDDLE, signer: middleKey }), { authorities: [root, first] })).toBe(REFUSED)
  })
  test('refuses a leaf out of its time, with a usage that is not ours, with an extension that is not known, or signed with SHA-1', async () => {
    const authorities = [root]
    expect(await trusts(leaf(), { authorities }, NOW + 2 * 86_400_000)).toBe(REFUSED)
    expect(await trusts(leaf(), { authorities }, NOW - 2 * 86_400_000)).toBe(REFUSED)
    expect(await trusts(leaf({ extensions: [usage(5, 6)] }), { authorities })).toBe(REFUSED)
    expect(await trusts(leaf({ extensions: [extension('1.2.3.4', octets())] }), { authorities })).toBe(REFUSED)
    expect(await trusts(leaf({ extensions: [extension('1.2.3.4', octets(), false)] }), { authorities })).toBe('trusted')
    expect(await trusts(leaf({ algorithm: 'sha1' }), { authorities })).toBe(REFUSED)
  })
  test('names the mistake in the list', async () => {
    for (const authorities of [[], [''], ['text'], [Buffer.alloc(10)], [root, 'text']]) await expect(trusts(leaf(), { authorities })).rejects.toThrow(UsageError)
  })
})

describe('trust by judgement', () => {
  const signal = new AbortController().signal
  test('is what verify says, and only true is yes', async () => {
    const seen: unknown[] = []
    await checkTrust(leaf(), { verify: (...given) => { seen.push(...given); return true } }, NOW, signal)
    expect(seen).toEqual([leaf(), signal])
    expect(await trusts(leaf(), { verify: async () => true })).toBe('trusted')
    for (const verdict of [false, undefined, 1, 'yes', {}]) expect(await trusts(leaf(), { verify: () => verdict as boolean })).toBe(REFUSED)
    expect(await trusts(leaf(), { verify: async () => false })).toBe(REFUSED)
  })
  test('that throws, or comes too late, is no yes', async () => {
    await expect(trusts(leaf(), { verify: () => { throw new Error('no') } })).rejects.toThrow('no')
    await expect(checkTrust(leaf(), { verify: () => true }, NOW, AbortSignal.abort(new Error('late')))).rejects.toThrow('late')
  })
})
