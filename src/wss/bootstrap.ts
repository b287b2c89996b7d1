/**
 * The exchange that establishes a context, under mutual X.509 (asymmetric binding): signed with the sender's certificate,
 * then the Body encrypted for the receiver's. A renewal is endorsed with the key of the context that it renews.
 * Also: who stands behind a bootstrap message (`authenticate`). The only importer of xml-crypto, which makes the RSA
 * signatures of messages that were built here; it never verifies and never sees a message from outside (D7).
 *
 * @module
 */
import { createRequire } from 'node:module'
import type { KeyObject } from 'node:crypto'
import { checkTrust, type Trust } from '../crypto/certificate.ts'
import { encrypt, encryptKey } from '../crypto/cipher.ts'
import { deriveKey } from '../crypto/derive.ts'
import { digest, equal, hmac } from '../crypto/hash.ts'
import { freshSecret, type RandomSource } from '../crypto/random.ts'
import { FAULTS, SecurityFailure } from '../errors.ts'
import { DEFAULT_LIMITS } from '../options.ts'
import type { Profile } from '../profiles/profile.ts'
import type { Principal } from '../sct/token.ts'
import { EXCLUSIVE_C14N, RSA_SHA1, RSA_SHA256, SHA1, type Suite } from '../spec/algorithms.ts'
import { NS, TOKEN } from '../spec/versions.ts'
import { canonicalize } from '../xml/canonical.ts'
import { readElement } from '../xml/reader.ts'
import type { Certificate, Opened } from './keys.ts'
import {
  BODY_END, bodyPart, cipherData, contextToken, derivedKeyToken, directReference, encryptedData, envelope, headerParts, hmacOf, type Ids, idsOf,
  type OutgoingMessage, referenceList, signature, type SignedPart, signedInfo, suiteOf, timestampPart,
} from './parts.ts'
import type { Protected, SessionToken } from './protect.ts'

export interface X509Credentials {
  readonly certificate: Certificate
  readonly key: KeyObject
  /** Whom the Body is encrypted for. */
  readonly peerCertificate: Certificate
}
export interface BootstrapOptions {
  readonly profile: Profile
  readonly now: number
  readonly random: RandomSource
  /** A renewal: the context whose key endorses the signature. */
  readonly endorse?: SessionToken | undefined
}

export function protectBootstrap(message: OutgoingMessage, credentials: X509Credentials, options: BootstrapOptions): Protected {
  const { profile, now, random } = options
  const suite = suiteOf(profile)
  const ids = idsOf(random)
  const timestamp = timestampPart(ids, now)
  const headers = headerParts(message.headers, ids)
  const body = bodyPart(message.soap, message.body, ids)
  const token = `<wsse:BinarySecurityToken xmlns:wsse="${NS.wsse}" xmlns:wsu="${NS.wsu}" EncodingType="${TOKEN.base64Binary}" ValueType="${TOKEN.x509v3}" wsu:Id="${ids('x509')}">${
    Buffer.from(credentials.certificate.raw).toString('base64')}</wsse:BinarySecurityToken>`

  const clear = envelope(message, headers, timestamp.text + token, body.sent)
  const signed = rsaSignature(clear, [timestamp, ...headers, body], { profile, suite, ids, key: credentials.key })
  const contentKey = freshSecret(random, suite.cipher.keyBytes)
  const encrypted = `${body.open}${encryptedData(
    ids('ed-body'), 'content', suite.cipher, encryptedKeyReference(ids('ek')), encrypt(suite.cipher, contentKey, random, body.content))}${BODY_END}`
  const context = options.endorse === undefined ? '' : contextToken(options.endorse, options.endorse.sc, ids('sct'))
  const endorsement = options.endorse === undefined ? { token: '', signature: '' } : endorsing(options.endorse, { id: ids('sig'), text: signed.text }, { profile, suite, ids, random })
  // WSS 1.0 §5: tokens stand before their use, the endorsing signature behind the one that it endorses.
  const security = [timestamp.text, token, encryptedKey(contentKey, credentials.peerCertificate, suite, ids), context, endorsement.token, signed.text, endorsement.signature]
  return { xml: envelope(message, headers, security.join(''), encrypted), signatureValue: signed.value }
}

interface SigningWords { readonly profile: Profile; readonly suite: Suite; readonly ids: Ids }

/** The part of xml-crypto that is used here; loaded when first needed, so that no type of its is seen outside. */
interface XmlSigner {
  addReference(reference: { readonly xpath: string; readonly transforms: readonly string[]; readonly digestAlgorithm: string }): void
  computeSignature(xml: string, options: { readonly prefix: string; readonly attrs: Readonly<Record<string, string>>; readonly location: { readonly reference: string; readonly action: 'append' } }): void
  getSignatureXml(): string
}
interface XmlCrypto {
  readonly SignedXml: new (options: {
    readonly idMode: 'wssecurity'
    readonly privateKey: KeyObject
    readonly signatureAlgorithm: string
    readonly canonicalizationAlgorithm: string
    readonly getKeyInfoContent: () => string
  }) => XmlSigner
}
const require = createRequire(import.meta.url)

/** The signature over the parts of the clear message, in canonical form, and its value. */
function rsaSignature(clear: string, parts: readonly Pick<SignedPart, 'id'>[], { profile, suite, ids, key }: SigningWords & { readonly key: KeyObject }): { readonly text: string; readonly value: Uint8Array } {
  const { SignedXml } = require('xml-crypto') as XmlCrypto
  const signer = new SignedXml({
    idMode: 'wssecurity',
    privateKey: key,
    signatureAlgorithm: (profile.rsa === 'rsa-sha1' ? RSA_SHA1 : RSA_SHA256).uri,
    canonicalizationAlgorithm: EXCLUSIVE_C14N,
    getKeyInfoContent: () => directReference(`#${ids('x509')}`, TOKEN.x509v3),
  })
  // The ids are ours, letters, digits and hyphens: nothing of a message gets into the expression.
  for (const { id } of parts) {
    signer.addReference({ xpath: `//*[@*[local-name()='Id' and namespace-uri()='${NS.wsu}']='${id}']`, transforms: [EXCLUSIVE_C14N], digestAlgorithm: suite.digest.uri })
  }
  signer.computeSignature(clear, { prefix: 'ds', attrs: { Id: ids('sig') }, location: { reference: `/*/*[1]/*[local-name()='Security' and namespace-uri()='${NS.wsse}']`, action: 'append' } })
  const element = readElement(signer.getSignatureXml(), DEFAULT_LIMITS)
  return { text: canonicalize(element), value: Buffer.from(element.first(NS.ds, 'SignatureValue')?.text ?? '', 'base64') }
}

/** WS-SC 1.3 §5: the context's key is proven by a signature over the primary one. */
function endorsing(token: SessionToken, primary: Pick<SignedPart, 'id' | 'text'>, { profile, suite, ids, random }: SigningWords & { readonly random: RandomSource }): { readonly token: string; readonly signature: string } {
  const attached = directReference(`#${ids('sct')}`, token.sc.sct)
  const nonce = random.bytes(16)
  const key = profile.derivedKeys ? deriveKey({ secret: token.secret, nonce, offset: 0, length: suite.signatureKeyBytes }) : token.secret
  const info = signedInfo(hmacOf(profile), suite.digest, [primary])
  const value = hmac(hmacOf(profile).hash, key, info)
  return {
    token: profile.derivedKeys ? derivedKeyToken(token.sc, ids('dk-end'), attached, suite.signatureKeyBytes, nonce) : '',
    signature: signature(ids('sig-end'), info, value, profile.derivedKeys ? directReference(`#${ids('dk-end')}`, token.sc.dk) : attached),
  }
}

// WSS X.509 1.1 §3.2.1: the certificate is named by its thumbprint.
function encryptedKey(contentKey: KeyObject, peer: Certificate, suite: Suite, ids: Ids): string {
  const thumbprint = Buffer.from(peer.sha1, 'hex').toString('base64')
  return `<xenc:EncryptedKey xmlns:xenc="${NS.xenc}" Id="${ids('ek')}"><xenc:EncryptionMethod Algorithm="${suite.keyTransport.uri}"><ds:DigestMethod xmlns:ds="${NS.ds}" Algorithm="${SHA1.uri}"></ds:DigestMethod></xenc:EncryptionMethod><ds:KeyInfo xmlns:ds="${
    NS.ds}"><wsse:SecurityTokenReference xmlns:wsse="${NS.wsse}"><wsse:KeyIdentifier EncodingType="${TOKEN.base64Binary}" ValueType="${TOKEN.thumbprintSha1}">${
    thumbprint}</wsse:KeyIdentifier></wsse:SecurityTokenReference></ds:KeyInfo>${cipherData(encryptKey(suite.keyTransport, peer.publicKey, contentKey))}${referenceList([ids('ed-body')])}</xenc:EncryptedKey>`
}
/** BSP 1.1 R5215 and its readers: a reference to an EncryptedKey says so by TokenType. */
const encryptedKeyReference = (id: string): string =>
  `<wsse:SecurityTokenReference xmlns:wsse="${NS.wsse}" xmlns:wsse11="${NS.wsse11}" wsse11:TokenType="${TOKEN.encryptedKey}"><wsse:Reference URI="#${id}"></wsse:Reference></wsse:SecurityTokenReference>`

export interface Authentication {
  /** For certificates; without it none is trusted (D24). */
  readonly trust?: Trust | undefined
  /** For users; without it none is known. */
  readonly password?: ((user: string, signal: AbortSignal) => string | undefined | Promise<string | undefined>) | undefined
  readonly now: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Who stands behind a bootstrap message that was opened: the host's decision about its claims (D24).
 *
 * @throws {SecurityFailure} ERR_WSS_UNTRUSTED, ERR_WSS_PASSWORD, ERR_WSS_NO_CLAIM
 */
export async function authenticate(opened: Opened, { trust, password, now, signal = new AbortController().signal }: Authentication): Promise<Principal> {
  const certificate = claimedCertificate(opened)
  if (certificate !== undefined && trust !== undefined) {
    await checkTrust(certificate, trust, now, signal)
    return { kind: 'certificate', thumbprint: certificate.sha256, subject: certificate.subject }
  }
  if (opened.user !== undefined && password !== undefined) {
    const expected = await password(opened.user.name, signal)
    const given = opened.user.password
    // A digest was checked while the message was opened, with the same password; a text is compared here, in constant time.
    const right = expected !== undefined && (opened.user.checked || (given !== undefined && equal(digest('sha256', given), digest('sha256', expected))))
    if (!right) throw new SecurityFailure('ERR_WSS_PASSWORD', 'no such user, or another password', FAULTS.failedAuthentication)
    return { kind: 'user', name: opened.user.name }
  }
  throw new SecurityFailure('ERR_WSS_NO_CLAIM', 'the message proves nobody whom this host accepts', FAULTS.failedAuthentication)
}
/** The signer, or who endorsed the signature of an EncryptedKey that anyone could have made. */
function claimedCertificate(opened: Opened): Certificate | undefined {
  if (opened.signer?.kind === 'certificate') return opened.signer.certificate
  for (const endorser of opened.endorsers) if (endorser.kind === 'certificate') return endorser.certificate
  return undefined
}
