/**
 * The exchange that establishes a context: under mutual X.509 (asymmetric binding), under a key that is encrypted for the service's certificate,
 * with a user and with a certificate that endorses (symmetric binding, WSS 1.1), or under TLS. A renewal is endorsed with the key of the context
 * that it renews.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { encryptKey } from '../crypto/cipher.ts'
import { digest } from '../crypto/hash.ts'
import { freshSecret, type RandomSource } from '../crypto/random.ts'
import type { Profile } from '../profiles/profile.ts'
import { versionsOf } from '../profiles/versions.ts'
import { SHA1 } from '../spec/algorithms.ts'
import { NS, TOKEN } from '../spec/versions.ts'
import { escapeText } from '../xml/canonical.ts'
import type { Certificate } from './keys.ts'
import { confirmationParts, type Endorsement, type LayerChoices, protectInLayers, type SecurityPart } from './layers.ts'
import { type Algorithms, algorithmsOf, cipherData, directReference, type Ids, idsOf, type OutgoingMessage, type Protected, referenceList } from './parts.ts'
import { confirmations, contextSource, type KeySource, type SessionToken, symmetricEncrypting, symmetricSigning, timestampSignature, underTls } from './protect.ts'
import { rsaSignature } from './rsa.ts'

/** A certificate and the key that belongs to it. */
export interface Credentials { readonly certificate: Certificate; readonly key: KeyObject }
export interface User { readonly name: string; readonly password: KeyObject }
export type BootstrapCredentials =
  /** `peer`: whom the Body is encrypted for. */
  | { readonly kind: 'x509'; readonly role: 'initiator' | 'recipient'; readonly own: Credentials; readonly peer: Certificate }
  /** A key of this message, encrypted for `peer`; who is behind it the user's token and the endorsing certificate say. */
  | { readonly kind: 'fresh-key'; readonly peer: Certificate; readonly user?: User | undefined; readonly endorsing?: Credentials | undefined }
  /** The key of the question, for its answer. */
  | { readonly kind: 'earlier-key'; readonly sha1: string; readonly key: KeyObject }
  | { readonly kind: 'tls'; readonly user?: User | undefined }
export interface BootstrapOptions {
  readonly profile: Profile
  readonly now: number
  readonly random: RandomSource
  /** A renewal: the context whose key endorses the signature. */
  readonly endorse?: SessionToken | undefined
  /** An answer: the values of the signatures that it answers; written where the profile says so. */
  readonly confirms?: readonly Uint8Array[] | undefined
}
/** `key`: the one that was made for this message, which its answer may name. */
export interface ProtectedBootstrap extends Protected { readonly key?: { readonly sha1: string; readonly key: KeyObject } }

/** Whether answers to token requests confirm their signatures; those of the session have their own word. */
export const confirmsRequests = ({ bootstrap, signatureConfirmation }: Profile): boolean => bootstrap.signatureConfirmation ?? signatureConfirmation

export function protectBootstrap(message: OutgoingMessage, credentials: BootstrapCredentials, options: BootstrapOptions): ProtectedBootstrap {
  if (credentials.kind === 'tls') return protectTls(message, credentials.user, options)
  const { profile, now, random, endorse, confirms } = options
  const ids = idsOf(random)
  const writing: Writing = { profile, algorithms: algorithmsOf(profile), ids, random }
  const { encryptSignature } = profile.bootstrap
  const parts = confirmsRequests(profile) && confirms !== undefined ? [...confirmationParts(confirms, ids, encryptSignature)] : []
  const endorsements = endorse === undefined ? [] : [contextEndorsement(endorse, writing)]
  const common = { choices: choicesOf(profile), ids, now, random, encryptBody: true }
  if (credentials.kind === 'x509') return protectInLayers(message, { ...common, ...asymmetric(credentials, writing), parts, endorsements })

  const made = credentials.kind === 'fresh-key' ? freshKey(credentials.peer, writing) : undefined
  const source = made?.source ?? earlierKey(credentials as BootstrapCredentials & { readonly kind: 'earlier-key' }, writing)
  const derived = { ...writing, profile: { derivedKeys: profile.bootstrap.derivedKeys } }
  if (credentials.kind === 'fresh-key') {
    // WS-SecurityPolicy 1.2 §8.1: the user's token is signed, and nobody but the service reads it.
    if (credentials.user !== undefined) parts.push(userPart(credentials.user, ids))
    if (credentials.endorsing !== undefined) endorsements.unshift(certificateEndorsement(credentials.endorsing, writing))
  }
  const written = protectInLayers(message, {
    ...common, choices: { ...common.choices, keyOrder: profile.keyOrder }, source: source.token, signing: symmetricSigning(source, derived), encrypting: symmetricEncrypting(source, derived), parts, endorsements,
  })
  return { ...written, ...(made !== undefined && { key: { sha1: made.sha1, key: source.key } }) }
}

interface Writing { readonly profile: Profile; readonly algorithms: Algorithms; readonly ids: Ids; readonly random: RandomSource }
const choicesOf = ({ layout, bootstrap: { keyOrder, order, encryptSignature } }: Profile): LayerChoices => ({ keyOrder, layout, order, encryptSignature })

// ---- asymmetric ----

function asymmetric({ role, own, peer }: BootstrapCredentials & { readonly kind: 'x509' }, writing: Writing): Pick<Parameters<typeof protectInLayers>[1], 'source' | 'signing' | 'encrypting'> {
  const { algorithms, ids, random } = writing
  const { cipher } = algorithms.suite
  const key = freshSecret(random, cipher.keyBytes)
  const { includeCertificate, certificateReference } = writing.profile.bootstrap
  const isCarried = role === 'initiator' || includeCertificate === 'always'
  const reference = isCarried ? directReference(`#${ids('x509')}`, TOKEN.x509v3) : certificateName(own.certificate, certificateReference)
  return {
    source: '',
    signing: { tokens: isCarried ? certificateToken(own.certificate, ids('x509')) : '', sign: (parts, clear) => rsaSignature(ids('sig'), clear(), parts, { key: own.key, reference, algorithms }) },
    encrypting: { key, cipher, reference: encryptedKeyReference(ids('ek')), tokens: (listed) => encryptedKey(key, certificateName(peer, certificateReference), peer, writing, referenceList(listed)).text },
  }
}
const certificateToken = (certificate: Certificate, id: string): string =>
  `<wsse:BinarySecurityToken xmlns:wsse="${NS.wsse}" xmlns:wsu="${NS.wsu}" EncodingType="${TOKEN.base64Binary}" ValueType="${TOKEN.x509v3}" wsu:Id="${id}">${
    Buffer.from(certificate.raw).toString('base64')}</wsse:BinarySecurityToken>`

// ---- symmetric ----

function freshKey(peer: Certificate, writing: Writing): { readonly source: KeySource; readonly sha1: string } {
  const key = freshSecret(writing.random, writing.algorithms.suite.secretBytes)
  // WSS 1.1: a receiver of this binding knows thumbprints. Peers CXF, Metro, Sandesha2: each names it so here.
  const { text, sha1 } = encryptedKey(key, certificateName(peer, 'thumbprint'), peer, writing)
  return { sha1, source: { key, sc: versionsOf(writing.profile).sc, reference: encryptedKeyReference(writing.ids('ek')), token: text } }
}
// WSS 1.1 §7.3: an answer names the key of its question by the hash of its octets in ciphertext.
const earlierKey = ({ sha1, key }: { readonly sha1: string; readonly key: KeyObject }, { profile }: Writing): KeySource => ({
  key, sc: versionsOf(profile).sc, token: '',
  reference: `<wsse:SecurityTokenReference xmlns:wsse="${NS.wsse}" xmlns:wsse11="${NS.wsse11}" wsse11:TokenType="${TOKEN.encryptedKey}"><wsse:KeyIdentifier EncodingType="${
    TOKEN.base64Binary}" ValueType="${TOKEN.encryptedKeySha1}">${sha1}</wsse:KeyIdentifier></wsse:SecurityTokenReference>`,
})

/** UsernameToken Profile 1.1 §3.1: the password as it is, since it is encrypted, by the message or by TLS. */
function userToken({ name, password }: User, id: string): string {
  return `<wsse:UsernameToken xmlns:wsse="${NS.wsse}" xmlns:wsu="${NS.wsu}" wsu:Id="${id}"><wsse:Username>${escapeText(name)}</wsse:Username><wsse:Password Type="${TOKEN.passwordText}">${
    escapeText(password.export().toString('utf8'))}</wsse:Password></wsse:UsernameToken>`
}
function userPart(user: User, ids: Ids): SecurityPart {
  const text = userToken(user, ids('user'))
  return { id: ids('user'), text, sent: text, isEncrypted: true }
}

function certificateEndorsement({ certificate, key }: Credentials, { algorithms, ids }: Writing): Endorsement {
  const reference = directReference(`#${ids('x509')}`, TOKEN.x509v3)
  return { tokens: certificateToken(certificate, ids('x509')), endorse: (primary, clear) => rsaSignature(ids('sig-x509'), clear(), [primary], { key, reference, algorithms }) }
}
/** WS-SC 1.3 §5: the context's key is proven by a signature over the primary one. */
function contextEndorsement(token: SessionToken, writing: Writing): Endorsement {
  const { ids } = writing
  const source = contextSource(token, { profile: writing.profile, role: 'initiator' }, ids)
  const proving = symmetricSigning(source, { ...writing, ids: (word) => ids(`end-${word}`) })
  return { tokens: source.token + proving.tokens, endorse: (primary) => proving.sign([{ ...primary, sent: primary.text }], () => '') }
}

// ---- certificates and keys by their names ----

function encryptedKey(key: KeyObject, name: string, peer: Certificate, { algorithms: { suite }, ids }: Writing, list = ''): { readonly text: string; readonly sha1: string } {
  const bytes = encryptKey(suite.keyTransport, peer.publicKey, key)
  const text = `<xenc:EncryptedKey xmlns:xenc="${NS.xenc}" Id="${ids('ek')}"><xenc:EncryptionMethod Algorithm="${suite.keyTransport.uri}"><ds:DigestMethod xmlns:ds="${NS.ds}" Algorithm="${SHA1.uri}"></ds:DigestMethod></xenc:EncryptionMethod><ds:KeyInfo xmlns:ds="${
    NS.ds}">${name}</ds:KeyInfo>${cipherData(bytes)}${list}</xenc:EncryptedKey>`
  return { text, sha1: digest('sha1', bytes).toString('base64') }
}
function certificateName(certificate: Certificate, by: Profile['bootstrap']['certificateReference']): string {
  const named = (text: string): string => `<wsse:SecurityTokenReference xmlns:wsse="${NS.wsse}">${text}</wsse:SecurityTokenReference>`
  const identifier = (type: string, value: string): string => named(`<wsse:KeyIdentifier EncodingType="${TOKEN.base64Binary}" ValueType="${type}">${value}</wsse:KeyIdentifier>`)
  switch (by) {
    // WSS X.509 1.1 §3.2.1.
    case 'thumbprint': return identifier(TOKEN.thumbprintSha1, Buffer.from(certificate.sha1, 'hex').toString('base64'))
    case 'subject-key-identifier': return identifier(TOKEN.subjectKeyIdentifier, certificate.ski)
    // WSS X.509 1.1 §3.2.3.
    case 'issuer-serial': return named(`<ds:X509Data xmlns:ds="${NS.ds}"><ds:X509IssuerSerial><ds:X509IssuerName>${escapeText(certificate.issuer)}</ds:X509IssuerName><ds:X509SerialNumber>${
      certificate.serial}</ds:X509SerialNumber></ds:X509IssuerSerial></ds:X509Data>`)
  }
}
/** BSP 1.1 R5215 and its readers: a reference to an EncryptedKey says so by TokenType. */
const encryptedKeyReference = (id: string): string =>
  `<wsse:SecurityTokenReference xmlns:wsse="${NS.wsse}" xmlns:wsse11="${NS.wsse11}" wsse11:TokenType="${TOKEN.encryptedKey}"><wsse:Reference URI="#${id}" ValueType="${TOKEN.encryptedKey}"></wsse:Reference></wsse:SecurityTokenReference>`

// ---- TLS ----

/** TLS protects all of it; the user's token says who asks, and the token to renew signs the Timestamp. */
function protectTls(message: OutgoingMessage, user: User | undefined, { profile, now, random, endorse, confirms }: BootstrapOptions): Protected {
  return underTls(message, { now, random }, (timestamp, ids) => {
    const proof = endorse === undefined ? undefined : timestampSignature(endorse, timestamp, { profile, ids, random })
    const confirmed = confirmsRequests(profile) && confirms !== undefined ? confirmations(confirms, ids) : ''
    const security = confirmed + (user === undefined ? '' : userToken(user, ids('user'))) + (proof?.security ?? '')
    return { security, ...(proof !== undefined && { value: proof.value }) }
  })
}
