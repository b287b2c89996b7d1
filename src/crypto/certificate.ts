/**
 * X.509 certificates: the names by which messages refer to them, and whether they are trusted (D24). In messages only RSA of 2048 bits and more.
 *
 * @module
 */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { FAULTS, SecurityFailure, UsageError } from '../errors.ts'
import { type DerValue, derInteger, derOid, derValue, derValues } from './der.ts'
import { digest } from './hash.ts'
import { nameText } from './name.ts'

export { sameIssuer } from './name.ts'

/** A certificate with the names by which messages refer to it. */
export interface Certificate {
  /** DER. */
  readonly raw: Uint8Array
  readonly publicKey: KeyObject
  /** SHA-1 of the DER, lower-case hex (wsse11 ThumbprintSHA1 carries it in base64). */
  readonly sha1: string
  /** SHA-256 of the DER, lower-case hex. */
  readonly sha256: string
  /** SubjectKeyIdentifier, base64; computed from the key when the certificate has no such extension. */
  readonly ski: string
  /** RFC 4514 text. */
  readonly subject: string
  /** RFC 4514 text; compare with `sameIssuer`. */
  readonly issuer: string
  /** Serial number, decimal. */
  readonly serial: string
}

/**
 * Who is trusted is always said; there is no default.
 * - `pins`: thumbprints, SHA-1 or SHA-256 in hex, colons allowed. The certificate must be valid in time.
 * - `authorities`: PEM (one or several) or DER. The certificate must have been issued by one of them, directly or through others of them.
 * - `verify`: the caller's own judgement, of everything: time and issuer too.
 */
export type Trust =
  | { readonly pins: readonly string[] }
  | { readonly authorities: readonly (string | Uint8Array)[] }
  | { readonly verify: (certificate: Certificate, signal: AbortSignal) => boolean | Promise<boolean> }

/** Larger than any certificate in use; a token of a message may bring no more. */
const MOST_CERTIFICATE_BYTES = 32_768
const LEAST_RSA_BITS = 2_048
const MOST_RSA_BITS = 8_192
/** Certificate, three authorities between, and the last. Choice; chains of the web have three. */
const LONGEST_CHAIN = 5

/** @throws {SecurityFailure} it is no certificate, or not one of RSA with 2048 to 8192 bits */
export function readCertificate(pemOrDer: string | Uint8Array): Certificate { return readIf(pemOrDer, isStrongRsa, `RSA with ${LEAST_RSA_BITS} to ${MOST_RSA_BITS} bits`) }
/** Of a peer under TLS, which proves keys of other kinds too: nothing is encrypted for it, and no message is signed with it. */
export function readTlsCertificate(der: Uint8Array): Certificate { return readIf(der, isStrong, 'of a kind and size that is strong') }
function readIf(pemOrDer: string | Uint8Array, accepts: (key: KeyObject) => boolean, wanted: string): Certificate {
  if (pemOrDer.length > 2 * MOST_CERTIFICATE_BYTES) throw refused('is too large')
  const x509 = parse(pemOrDer)
  if (x509.raw.length > MOST_CERTIFICATE_BYTES) throw refused('is too large')
  // X509Certificate forgives bytes after the end; two encodings with one meaning would have two thumbprints.
  if (typeof pemOrDer !== 'string' && pemOrDer[0] === 0x30 && pemOrDer.length !== x509.raw.length) throw refused('is followed by other bytes')
  return certificateOf(x509, accepts, wanted)
}

/** @throws {UsageError} it is no RSA private key of 2048 to 8192 bits; the text itself is never told */
export function readPrivateKey(key: string | Uint8Array | KeyObject): KeyObject {
  const read = typeof key === 'string' || key instanceof Uint8Array ? parsePrivateKey(key) : key
  if (read.type !== 'private' || !isStrongRsa(read)) throw new UsageError('ERR_USAGE_PRIVATE_KEY', `a private key must be RSA with ${LEAST_RSA_BITS} bits or more`)
  return read
}

/** True when the private key belongs to the certificate. */
export const ownsCertificate = (key: KeyObject, certificate: Certificate): boolean => createPublicKey(key).equals(certificate.publicKey)

/**
 * Resolves when the certificate is trusted.
 *
 * @throws {SecurityFailure} ERR_WSS_UNTRUSTED: it is not
 * @throws {UsageError} the trust itself cannot be read: a pin that is no thumbprint, an authority that is no certificate
 */
export async function checkTrust(certificate: Certificate, trust: Trust, now: number, signal: AbortSignal = new AbortController().signal): Promise<void> {
  if ('verify' in trust) return checkVerdict(certificate, trust.verify, signal)
  if ('pins' in trust) return checkPins(certificate, readPins(trust.pins), now)
  return checkChain(certificate, readAuthorities(trust.authorities), now)
}

/**
 * The same trust, when it can be read: said when it is given, not when the first peer comes.
 *
 * @throws {UsageError} ERR_USAGE_TRUST
 */
export function readableTrust(trust: Trust): Trust {
  const given = (typeof trust === 'object' && trust !== null ? trust : {}) as { readonly verify?: unknown; readonly pins?: unknown; readonly authorities?: unknown }
  if (typeof given.verify === 'function') return trust
  if (Array.isArray(given.pins) && given.verify === undefined) {
    if (readPins(given.pins).size === 0) throw new UsageError('ERR_USAGE_TRUST', 'trust.pins names no pin')
    return trust
  }
  if (!Array.isArray(given.authorities) || given.verify !== undefined) {
    throw new UsageError('ERR_USAGE_TRUST', 'who is trusted is always said: trust is { authorities: [PEM] }, { pins: [thumbprint] } or { verify: function }')
  }
  readAuthorities(given.authorities)
  return trust
}

async function checkVerdict(certificate: Certificate, verify: (certificate: Certificate, signal: AbortSignal) => boolean | Promise<boolean>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  // Only `true` is yes: an undefined that was forgotten to be returned is not.
  if ((await verify(certificate, signal)) !== true) throw untrusted('was refused by verify')
}

function checkPins(certificate: Certificate, pins: ReadonlySet<string>, now: number): void {
  if (!pins.has(certificate.sha1) && !pins.has(certificate.sha256)) throw untrusted('is not among the pins')
  checkTime(new X509Certificate(certificate.raw), now)
}
function readPins(pins: readonly string[]): ReadonlySet<string> {
  const read = new Set(pins.map((pin) => String(pin).replaceAll(/[:\s]/g, '').toLowerCase()))
  for (const pin of read) {
    if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(pin)) throw new UsageError('ERR_USAGE_TRUST', 'trust.pins: a pin is a SHA-1 or SHA-256 thumbprint in hex')
  }
  return read
}

interface Authority { readonly x509: X509Certificate; readonly key: KeyObject; readonly facts: Facts }
/** Keyed by the caller's list, so that it is read once and not at every message. */
const authorityLists = new WeakMap<readonly (string | Uint8Array)[], readonly Authority[]>()

function readAuthorities(list: readonly (string | Uint8Array)[]): readonly Authority[] {
  const known = authorityLists.get(list)
  if (known !== undefined) return known
  const read = list.flatMap(certificatesIn).map((pemOrDer): Authority => {
    try {
      const x509 = new X509Certificate(pemOrDer)
      return { x509, key: x509.publicKey, facts: factsOf(x509.raw) }
    } catch (cause) {
      throw new UsageError('ERR_USAGE_TRUST', 'trust.authorities: one is no certificate: it is PEM text or DER bytes, not the name of a file', { cause })
    }
  })
  if (read.length === 0) throw new UsageError('ERR_USAGE_TRUST', 'trust.authorities names no authority')
  authorityLists.set(list, read)
  return read
}
const certificatesIn = (text: string | Uint8Array): readonly (string | Uint8Array)[] =>
  typeof text === 'string' ? (text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [text]) : [text]

/**
 * RFC 5280 §6, of which: signatures, names, time, CA flag, path length, key usage, and no critical extension that we do not know.
 * The way goes up for as long as an issuer is listed; all that is on it must hold, also the last.
 */
function checkChain(certificate: Certificate, authorities: readonly Authority[], now: number): void {
  let current: Authority = { x509: new X509Certificate(certificate.raw), key: certificate.publicKey, facts: factsOf(certificate.raw) }
  checkLink(current, now)
  // RFC 5280 §4.2.1.3: bits 0, 1 and 2 are digitalSignature, nonRepudiation and keyEncipherment.
  if (current.facts.usage !== undefined && !current.facts.usage.slice(0, 3).includes(true)) throw untrusted('may neither sign nor encrypt messages')
  for (let depth = 0; depth < LONGEST_CHAIN; depth++) {
    const issuer = authorities.find((authority) => current.x509.checkIssued(authority.x509) && current.x509.verify(authority.key))
    if (issuer === undefined) {
      if (depth === 0) throw untrusted('was issued by none of the authorities')
      return
    }
    checkLink(issuer, now)
    checkAuthority(issuer, depth)
    if (issuer.x509.checkIssued(issuer.x509)) return
    current = issuer
  }
  throw untrusted(`has a chain longer than ${LONGEST_CHAIN}`)
}
function checkLink({ x509, key, facts }: Authority, now: number): void {
  checkTime(x509, now)
  if (facts.unknownCritical) throw untrusted('has a critical extension that is not known here')
  if (!facts.strongSignature) throw untrusted('is signed with an algorithm that is not accepted')
  if (!isStrong(key)) throw untrusted('has an authority whose key is too short')
}
function checkAuthority({ x509, facts }: Authority, below: number): void {
  // RFC 5280 §4.2.1.9: only a certificate whose basicConstraints say so may issue; a certificate that is its own issuer can be pinned instead.
  if (!x509.ca) throw untrusted('was issued by a certificate that is no authority (pin it, if it is meant itself)')
  // RFC 5280 §4.2.1.3: bit 5 is keyCertSign.
  if (facts.usage !== undefined && facts.usage[5] !== true) throw untrusted('was issued by a certificate whose key may not sign certificates')
  if (facts.pathLength !== undefined && below > facts.pathLength) throw untrusted('stands too far below its authority')
}
function checkTime(x509: X509Certificate, now: number): void {
  if (now < x509.validFromDate.getTime()) throw untrusted('is not valid yet')
  if (now > x509.validToDate.getTime()) throw untrusted('is no longer valid')
}

/** What the DER tells beside what X509Certificate has. */
interface Facts {
  readonly serial: string
  readonly issuer: string
  readonly subject: string
  readonly ski: Buffer
  /** keyUsage bits, first to last; undefined without the extension. */
  readonly usage: readonly boolean[] | undefined
  readonly pathLength: number | undefined
  readonly unknownCritical: boolean
  readonly strongSignature: boolean
}
const KEY_IDENTIFIER = '2.5.29.14'
const KEY_USAGE = '2.5.29.15'
const BASIC_CONSTRAINTS = '2.5.29.19'
/** Those that we read, and subjectAltName, certificatePolicies and extendedKeyUsage, which set no limit that matters here. */
const KNOWN_CRITICAL: ReadonlySet<string> = new Set([KEY_IDENTIFIER, KEY_USAGE, BASIC_CONSTRAINTS, '2.5.29.17', '2.5.29.32', '2.5.29.35', '2.5.29.37'])
/** RSA with SHA-2, RSA-PSS, ECDSA with SHA-2, Ed25519, Ed448. No SHA-1: authorities have been forged with it. */
const STRONG_SIGNATURES: ReadonlySet<string> = new Set([
  '1.2.840.113549.1.1.10', '1.2.840.113549.1.1.11', '1.2.840.113549.1.1.12', '1.2.840.113549.1.1.13',
  '1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4', '1.3.101.112', '1.3.101.113',
])

function factsOf(der: Uint8Array): Facts {
  const [tbs, algorithm] = derValues(derValue(der, 0x30).body)
  const fields = derValues(tbs?.body ?? new Uint8Array())
  // RFC 5280 §4.1: an explicit version stands in front of v2 and v3.
  const [serial, , issuer, , subject, keyInfo, ...rest] = fields[0]?.tag === 0xa0 ? fields.slice(1) : fields
  if (serial === undefined || issuer === undefined || subject === undefined || keyInfo === undefined) throw new RangeError('DER: no certificate')
  const extensions = extensionsOf(rest.find(({ tag }) => tag === 0xa3))
  const usage = extensions.get(KEY_USAGE)
  const constraints = extensions.get(BASIC_CONSTRAINTS)
  return {
    serial: derInteger(serial.body).toString(),
    issuer: nameText(issuer.raw),
    subject: nameText(subject.raw),
    ski: keyIdentifier(extensions.get(KEY_IDENTIFIER), keyInfo),
    usage: usage === undefined ? undefined : bits(derValue(usage.value, 0x03).body),
    pathLength: constraints === undefined ? undefined : pathLength(constraints.value),
    unknownCritical: [...extensions].some(([oid, { critical }]) => critical && !KNOWN_CRITICAL.has(oid)),
    strongSignature: STRONG_SIGNATURES.has(derOid(derValues(algorithm?.body ?? new Uint8Array())[0]?.body ?? new Uint8Array())),
  }
}

interface Extension { readonly critical: boolean; readonly value: Uint8Array }
function extensionsOf(wrapper: DerValue | undefined): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>()
  if (wrapper === undefined) return found
  for (const { body } of derValues(derValue(wrapper.body, 0x30).body)) {
    const parts = derValues(body)
    const oid = derOid(parts[0]?.body ?? new Uint8Array())
    // RFC 5280 §4.2: not more than one instance of an extension.
    if (found.has(oid)) throw new RangeError('DER: an extension stands twice')
    const value = parts.at(-1)
    if (value?.tag !== 0x04) throw new RangeError('DER: an extension without value')
    found.set(oid, { critical: parts.length === 3 && parts[1]?.body[0] === 0xff, value: value.body })
  }
  return found
}
function keyIdentifier(extension: Extension | undefined, keyInfo: DerValue): Buffer {
  if (extension !== undefined) return Buffer.from(derValue(extension.value, 0x04).body)
  // RFC 5280 §4.2.1.2 (1): SHA-1 of the public key's bits, without the count of unused ones in front.
  const key = derValues(keyInfo.body)[1]
  return digest('sha1', key?.body.subarray(1) ?? new Uint8Array())
}
function bits(bitString: Uint8Array): readonly boolean[] {
  return [...bitString.subarray(1)].flatMap((byte) => [7, 6, 5, 4, 3, 2, 1, 0].map((bit) => ((byte >> bit) & 1) === 1))
}
function pathLength(constraints: Uint8Array): number | undefined {
  const length = derValues(derValue(constraints, 0x30).body).find(({ tag }) => tag === 0x02)
  return length === undefined ? undefined : Number(derInteger(length.body))
}

function certificateOf(x509: X509Certificate, accepts: (key: KeyObject) => boolean, wanted: string): Certificate {
  const publicKey = keyIn(x509)
  if (!accepts(publicKey)) throw refused(`has a key that is not ${wanted}`)
  const raw = new Uint8Array(x509.raw)
  try {
    const { serial, issuer, subject, ski } = factsOf(raw)
    return { raw, publicKey, sha1: digest('sha1', raw).toString('hex'), sha256: digest('sha256', raw).toString('hex'), ski: ski.toString('base64'), subject, issuer, serial }
  } catch {
    throw refused('cannot be read')
  }
}
function parse(pemOrDer: string | Uint8Array): X509Certificate {
  try {
    return new X509Certificate(pemOrDer)
  } catch {
    throw refused('cannot be read')
  }
}
function keyIn(x509: X509Certificate): KeyObject {
  try {
    return x509.publicKey
  } catch {
    throw refused('has a key that cannot be read')
  }
}
function parsePrivateKey(key: string | Uint8Array): KeyObject {
  try {
    return typeof key === 'string' ? createPrivateKey(key) : createPrivateKey({ key: Buffer.from(key), format: 'der', type: 'pkcs8' })
  } catch {
    // No cause: what a parser says about a private key is nobody's to read.
    throw new UsageError('ERR_USAGE_PRIVATE_KEY', 'the private key cannot be read: PEM, or PKCS#8 DER, without a passphrase')
  }
}

const isStrongRsa = (key: KeyObject): boolean => key.asymmetricKeyType === 'rsa' && inRange(key.asymmetricKeyDetails?.modulusLength)
const inRange = (bits: number | undefined): boolean => bits !== undefined && bits >= LEAST_RSA_BITS && bits <= MOST_RSA_BITS
/** Authorities, and peers under TLS, may have other keys than RSA. */
const isStrong = (key: KeyObject): boolean =>
  key.asymmetricKeyType === 'rsa' || key.asymmetricKeyType === 'rsa-pss' ? inRange(key.asymmetricKeyDetails?.modulusLength) : ['ec', 'ed25519', 'ed448'].includes(key.asymmetricKeyType ?? '')

const refused = (why: string): SecurityFailure => new SecurityFailure('ERR_WSS_CERTIFICATE', `the certificate ${why}`, FAULTS.invalidSecurity)
const untrusted = (why: string): SecurityFailure => new SecurityFailure('ERR_WSS_UNTRUSTED', `the certificate ${why}`, FAULTS.failedAuthentication)
