/**
 * The message that every attack edits: header blocks, Timestamp, context token, derived key, one signature over all of it, and its twin
 * with an encrypted Body. Written and signed here, part by part, so that what is wrong can be wrong before the signature or after it.
 */
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { type Certificate, readCertificate, readPrivateKey } from '../../src/crypto/certificate.ts'
import { encrypt } from '../../src/crypto/cipher.ts'
import { deriveKey } from '../../src/crypto/derive.ts'
import { digest, hmac, secretKey } from '../../src/crypto/hash.ts'
import { FAULTS, type FaultName, SecurityFailure, XmlError } from '../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import type { ContextSecret } from '../../src/sct/token.ts'
import {
  AES256_GCM, type CipherAlgorithm, type DigestAlgorithm, ENCRYPTED_CONTENT, ENCRYPTED_ELEMENT, EXCLUSIVE_C14N, HMAC_SHA256, SHA256, type SignatureAlgorithm,
} from '../../src/spec/algorithms.ts'
import { NS, RM10, RM11, type RmVersion, SC05, SC13, type ScVersion, SOAP11, SOAP12, type SoapVersion, WSA10 } from '../../src/spec/versions.ts'
import type { Keys, Opened, Policy } from '../../src/wss/keys.ts'
import { open, read } from '../../src/wss/open.ts'
import { canonicalize } from '../../src/xml/canonical.ts'
import { readDocument } from '../../src/xml/reader.ts'

type Secret = ReturnType<typeof secretKey>
export const NOW = Date.UTC(2026, 0, 15, 10)
export const ID_A = 'urn:uuid:sct-A'
export const ID_B = 'urn:uuid:sct-B'
export const SECRET_A = secretKey(Buffer.alloc(32, 0xa1))
export const SECRET_B = secretKey(Buffer.alloc(32, 0xb2))

interface Keyed { readonly certificateDerB64: string; readonly privateKeyPkcs8DerB64: string }
const vectors = JSON.parse(readFileSync(new URL('../vector/derived-key-vectors.json', import.meta.url), 'utf8')) as { keys: { client: Keyed; server: Keyed } }
export interface Identity { readonly certificate: Certificate; readonly key: ReturnType<typeof readPrivateKey> }
const identity = (keyed: Keyed): Identity => ({
  certificate: readCertificate(Buffer.from(keyed.certificateDerB64, 'base64')), key: readPrivateKey(Buffer.from(keyed.privateKeyPkcs8DerB64, 'base64')),
})
export const CLIENT: Identity = identity(vectors.keys.client)
export const SERVER: Identity = identity(vectors.keys.server)

export const POLICY: Policy = { level: 'headers', encryptBody: false, signer: 'context', skewMs: 60_000, lifeMs: 300_000, limits: DEFAULT_LIMITS }
const CONTEXTS: readonly ContextSecret[] = [{ identifier: ID_A, instance: undefined, secret: SECRET_A }, { identifier: ID_B, instance: undefined, secret: SECRET_B }]
export const keysWith = (contexts: readonly ContextSecret[] = CONTEXTS, more: Partial<Keys> = {}): Keys => ({
  contexts: (identifier) => contexts.filter((each) => each.identifier === identifier),
  certificates: [CLIENT.certificate, SERVER.certificate], privateKeys: [SERVER.key], encryptedKey: () => undefined, ...more,
})

export interface Dialect { readonly soap: SoapVersion; readonly rm: RmVersion; readonly sc: ScVersion }
export const DIALECT: Dialect = { soap: SOAP12, rm: RM11, sc: SC13 }
/** Every attack runs on the twins too. */
export const DIALECTS: readonly (readonly [name: string, dialect: Dialect])[] = [
  ['SOAP 1.2, RM 1.1, SC 200512', DIALECT], ['SOAP 1.1, RM 1.0, SC 200502', { soap: SOAP11, rm: RM10, sc: SC05 }],
]

const ACTION = 'urn:app/op'
const WSU = `xmlns:wsu="${NS.wsu}"`
export const NONCE_SIGN = Buffer.alloc(16, 0x51)
export const NONCE_ENCRYPT = Buffer.alloc(16, 0x52)

/** The parts of a message as text; each is a whole element. */
export interface Parts {
  readonly dialect: Dialect
  readonly headers: readonly string[]
  readonly timestamp: string
  readonly tokens: readonly string[]
  /** Before the signatures. */
  readonly lists: string
  readonly signatures: string
  readonly after: string
  /** Attributes of the Security element. */
  readonly security: string
  readonly body: string
}
export const SIGNED: readonly string[] = ['_action', '_mid', '_to', '_rto', '_seq', '_ts', '_body']

export const reference = (uri: string, type: string, more = ''): string =>
  `<wsse:SecurityTokenReference><wsse:Reference URI="${uri}"${type === '' ? '' : ` ValueType="${type}"`}${more}/></wsse:SecurityTokenReference>`
export const keyInfo = (str: string): string => `<ds:KeyInfo>${str}</ds:KeyInfo>`
export const timestamp = (created: string, expires: string, id = '_ts'): string =>
  `<wsu:Timestamp wsu:Id="${id}"><wsu:Created>${created}</wsu:Created><wsu:Expires>${expires}</wsu:Expires></wsu:Timestamp>`
export const at = (ms: number): string => new Date(ms).toISOString()
export const sct = (sc: ScVersion, identifier = ID_A, id = '_sct', instance = ''): string =>
  `<wsc:SecurityContextToken xmlns:wsc="${sc.ns}" wsu:Id="${id}"><wsc:Identifier>${identifier}</wsc:Identifier>${instance}</wsc:SecurityContextToken>`
export const dkt = (sc: ScVersion, id: string, inside: { readonly str?: string; readonly rest?: string; readonly nonce?: string; readonly attributes?: string } = {}): string =>
  `<wsc:DerivedKeyToken xmlns:wsc="${sc.ns}" wsu:Id="${id}"${inside.attributes ?? ''}>${inside.str ?? reference('#_sct', sc.sct)}${inside.rest ?? '<wsc:Offset>0</wsc:Offset><wsc:Length>32</wsc:Length>'}${
    inside.nonce ?? `<wsc:Nonce>${(id === '_d2' ? NONCE_ENCRYPT : NONCE_SIGN).toString('base64')}</wsc:Nonce>`}</wsc:DerivedKeyToken>`
export const derived = (secret: Secret, nonce: Uint8Array, offset = 0, length = 32, label?: string): Secret => deriveKey({ secret, nonce, offset, length, label })

export function parts(dialect: Dialect = DIALECT): Parts {
  const { soap, rm, sc } = dialect
  const must = `s:mustUnderstand="${soap.mustUnderstand}"`
  return {
    dialect,
    headers: [
      `<wsa:Action wsu:Id="_action">${ACTION}</wsa:Action>`, '<wsa:MessageID wsu:Id="_mid">urn:uuid:message-1</wsa:MessageID>', '<wsa:To wsu:Id="_to">https://service.example/rm</wsa:To>',
      `<wsa:ReplyTo wsu:Id="_rto"><wsa:Address>${WSA10.anonymous}</wsa:Address></wsa:ReplyTo>`,
      `<wsrm:Sequence xmlns:wsrm="${rm.ns}" ${must} wsu:Id="_seq"><wsrm:Identifier>urn:uuid:seq-A</wsrm:Identifier><wsrm:MessageNumber>1</wsrm:MessageNumber></wsrm:Sequence>`,
    ],
    timestamp: timestamp(at(NOW), at(NOW + 300_000)), tokens: [sct(sc), dkt(sc, '_d1')], lists: '', signatures: '', after: '', security: ` ${must}`,
    body: '<s:Body wsu:Id="_body"><op xmlns="urn:app">transfer 10</op></s:Body>',
  }
}
export const xmlOf = ({ dialect: { soap }, headers, timestamp: time, tokens, lists, signatures, after, security, body }: Parts): string =>
  `<s:Envelope xmlns:s="${soap.ns}" xmlns:wsa="${WSA10.ns}" xmlns:wsse="${NS.wsse}" ${WSU} xmlns:ds="${NS.ds}" xmlns:xenc="${NS.xenc}"><s:Header>${
    headers.join('')}<wsse:Security${security}>${time}${tokens.join('')}${lists}${signatures}${after}</wsse:Security></s:Header>${body}</s:Envelope>`

export interface Signing {
  readonly ids?: readonly string[]
  readonly key?: Secret
  readonly method?: SignatureAlgorithm
  readonly digest?: DigestAlgorithm
  readonly keyInfo?: string
  readonly id?: string
  /** Made wrong before it is signed. */
  readonly info?: (info: string) => string
  /** Made wrong after it was signed. */
  readonly signature?: (signature: string) => string
  readonly transform?: (id: string) => string
  /** Instead of the element of that id. */
  readonly text?: (id: string) => string | undefined
  readonly value?: (info: string) => Uint8Array
}
const C14N = `<ds:Transform Algorithm="${EXCLUSIVE_C14N}"></ds:Transform>`
/** A signature over these parts of the message as it is now. */
export function signature(given: Parts, signing: Signing = {}): string {
  const { ids = SIGNED, method = HMAC_SHA256, digest: row = SHA256, id = '_sig' } = signing
  const elements = readDocument(Buffer.from(xmlOf(given)), DEFAULT_LIMITS).ids
  const references = ids.map((each) => {
    const element = elements.get(each)
    const text = signing.text?.(each) ?? (element === undefined ? '' : canonicalize(element))
    return `<ds:Reference URI="#${each}"><ds:Transforms>${signing.transform?.(each) ?? C14N}</ds:Transforms><ds:DigestMethod Algorithm="${row.uri}"></ds:DigestMethod><ds:DigestValue>${
      digest(row.hash, text).toString('base64')}</ds:DigestValue></ds:Reference>`
  })
  const plain = `<ds:SignedInfo xmlns:ds="${NS.ds}"><ds:CanonicalizationMethod Algorithm="${EXCLUSIVE_C14N}"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="${method.uri}"></ds:SignatureMethod>${references.join('')}</ds:SignedInfo>`
  const info = signing.info?.(plain) ?? plain
  const key = signing.key ?? derived(SECRET_A, NONCE_SIGN)
  // What is signed is what a reader canonicalises, whatever the edit has made of it.
  const canonical = canonicalize(readDocument(Buffer.from(info), { ...DEFAULT_LIMITS, elements: 100_000 }).root)
  const value = signing.value?.(canonical) ?? hmac(method.hash, key, canonical)
  const text = `<ds:Signature xmlns:ds="${NS.ds}" Id="${id}">${info}<ds:SignatureValue>${Buffer.from(value).toString('base64')}</ds:SignatureValue>${
    signing.keyInfo ?? keyInfo(reference('#_d1', given.dialect.sc.dk))}</ds:Signature>`
  return signing.signature?.(text) ?? text
}
export const signed = (given: Parts, signing: Signing = {}): Parts => ({ ...given, signatures: given.signatures + signature(given, signing) })
/** B0: the message as an honest sender writes it. */
export const b0 = (dialect: Dialect = DIALECT): string => xmlOf(signed(parts(dialect)))

export interface Hidden { readonly id?: string; readonly cipher?: CipherAlgorithm; readonly key?: Secret; readonly keyInfo?: string; readonly type?: 'element' | 'content'; /** Another IV. */ readonly iv?: number; readonly bytes?: (bytes: Buffer) => Uint8Array }
const counting = (from: number) => ({ bytes: (count: number): Uint8Array => Uint8Array.from({ length: count }, (_, index) => index + from) })
/** EncryptedData with that plaintext, under the second derived key. */
export function hidden(sc: ScVersion, plain: string | Uint8Array, { id = '_ed', cipher = AES256_GCM, key = derived(SECRET_A, NONCE_ENCRYPT), keyInfo: info, type = 'content', iv = 7, bytes }: Hidden = {}): string {
  const made = encrypt(cipher, key, counting(iv), plain)
  return `<xenc:EncryptedData xmlns:xenc="${NS.xenc}" xmlns:ds="${NS.ds}" xmlns:wsse="${NS.wsse}" Id="${id}" Type="${type === 'content' ? ENCRYPTED_CONTENT : ENCRYPTED_ELEMENT}"><xenc:EncryptionMethod Algorithm="${cipher.uri}"/>${
    info ?? keyInfo(reference('#_d2', sc.dk))}<xenc:CipherData><xenc:CipherValue>${Buffer.from(bytes?.(made) ?? made).toString('base64')}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>`
}
export const list = (...ids: readonly string[]): string => `<xenc:ReferenceList>${ids.map((id) => `<xenc:DataReference URI="#${id}"/>`).join('')}</xenc:ReferenceList>`
export const BODY_TEXT = '<op xmlns="urn:app">transfer 10</op>'
export const withSecondKey = (given: Parts): Parts => ({ ...given, tokens: [...given.tokens, dkt(given.dialect.sc, '_d2')] })
/** B0e: signed, then the Body encrypted. */
export function b0eParts(dialect: Dialect = DIALECT, how: Hidden = {}): Parts {
  const clear = signed(withSecondKey(parts(dialect)))
  return { ...clear, lists: list('_ed'), body: clear.body.replace(BODY_TEXT, hidden(dialect.sc, BODY_TEXT, how)) }
}

export interface Attempt { readonly keys?: Keys; readonly policy?: Partial<Policy>; readonly now?: number }
export const opening = (xml: string | Uint8Array, { keys = keysWith(), policy = {}, now = NOW + 1_000 }: Attempt = {}): Opened =>
  open(read(typeof xml === 'string' ? Buffer.from(xml) : xml, DEFAULT_LIMITS), keys, { ...POLICY, ...policy }, now)

/** The faults that a refusal may show, and its inner code where it matters. */
export interface Refusal { readonly fault: FaultName | readonly FaultName[] | 'xml'; readonly code?: string | RegExp }
export function expectRefused(xml: string | Uint8Array, { fault, code }: Refusal, attempt: Attempt = {}): void {
  let thrown: unknown
  const start = process.cpuUsage()
  try {
    opening(xml, attempt)
  } catch (error) {
    thrown = error
  }
  const { user, system } = process.cpuUsage(start)
  // Bounded cost; the bound allows for a slow and busy machine. What is dear takes seconds.
  expect((user + system) / 1_000).toBeLessThan(400)
  expect(thrown, 'it was opened').toBeInstanceOf(Error)
  if (fault === 'xml') expect(thrown).toBeInstanceOf(XmlError)
  else {
    expect(thrown).toBeInstanceOf(SecurityFailure)
    expect((Array.isArray(fault) ? fault : [fault]).map((name: FaultName) => FAULTS[name])).toContain((thrown as SecurityFailure).fault)
  }
  if (code !== undefined) expect((thrown as SecurityFailure).code).toMatch(code)
  expectNothingLeaks(thrown as SecurityFailure, xml)
}
/** What is said of a refusal (the fault is a row of the table and the same for everyone) holds nothing of what was expected: no digest, no value, no key, no identifier of the message. */
function expectNothingLeaks(error: SecurityFailure | XmlError, xml: string | Uint8Array): void {
  const said = String(error)
  // The reader's own words may quote 64 characters of what the sender wrote; a security failure quotes nothing.
  const quotes = error instanceof XmlError || xml.length > 20_000
  const words = quotes ? [] : (Buffer.from(xml as string).toString('latin1').match(/[A-Za-z0-9+/=:._-]{12,}/g) ?? []).filter((word) => /[0-9:+/=]/.test(word))
  expect([...SECRETS, ...words].filter((word) => said.includes(word))).toEqual([])
}
const SECRETS: readonly string[] = [SECRET_A, SECRET_B, derived(SECRET_A, NONCE_SIGN), derived(SECRET_A, NONCE_ENCRYPT)]
  .flatMap((secret) => (['hex', 'base64', 'base64url', 'latin1'] as const).map((form) => secret.export().toString(form)))
