/**
 * The pieces of a Security header as text, in canonical form: what is digested is what is sent (D21), but for declarations
 * that only QNames in an application's own content need, which canonical form leaves out and the wire does not.
 * Each piece that is signed declares its own namespaces, so that it reads the same wherever it stands.
 *
 * @module
 */
import { digest } from '../crypto/hash.ts'
import type { RandomSource } from '../crypto/random.ts'
import { UsageError } from '../errors.ts'
import { DEFAULT_LIMITS } from '../options.ts'
import type { Profile } from '../profiles/profile.ts'
import { type CipherAlgorithm, type DigestAlgorithm, ENCRYPTED_CONTENT, ENCRYPTED_ELEMENT, EXCLUSIVE_C14N, HMAC_SHA1, HMAC_SHA256, RSA_SHA1, RSA_SHA256, SHA1, SHA256, type SignatureAlgorithm, SUITES, type Suite } from '../spec/algorithms.ts'
import { NS, type ScVersion, type SoapVersion } from '../spec/versions.ts'
import { canonicalize, escapeAttribute, escapeText } from '../xml/canonical.ts'
import { readElement } from '../xml/reader.ts'
import { Element, lookup } from '../xml/tree.ts'
import { writeNodes } from '../xml/writer.ts'

/** A message before its protection: header blocks without ids, Body content as elements or as text that the writer wrote and that stands alone. */
export interface OutgoingMessage {
  readonly soap: SoapVersion
  /** All of them are signed; wsu:Id is added here. */
  readonly headers: readonly Element[]
  readonly body: readonly (Element | string)[]
  /** Namespaces by prefix for QNames in content; they stand on the Envelope. */
  readonly declarations?: Readonly<Record<string, string>>
}

/** A message as it leaves. */
export interface Protected { readonly xml: string; /** Of the primary signature, and of what endorses it; none under TLS where nothing is signed. */ readonly signatureValues: readonly Uint8Array[] }

const WSU = NS.wsu
const WSU_DECLARED = ` xmlns:wsu="${WSU}"`
const WSSE_DECLARED = ` xmlns:wsse="${NS.wsse}"`
const DS_DECLARED = ` xmlns:ds="${NS.ds}"`
const XENC_DECLARED = ` xmlns:xenc="${NS.xenc}"`

/** How long a message is fresh. WSS 1.0 §10 leaves it open; five minutes is what the stacks write. */
const LIFE_MS = 300_000

/** The names of ids in one message: short words with one random tail, so that no id of an application's own Body meets them. */
export type Ids = (word: string) => string
export const idsOf = (random: RandomSource): Ids => {
  const tail = Buffer.from(random.bytes(ID_BYTES)).toString('hex')
  return (word) => `${word}-${tail}`
}
export const ID_BYTES = 8

/** Hands out one draw of `count` bytes piece by piece: one call of the source a message (D21). */
export function drawn(random: RandomSource, count: number): RandomSource {
  const pool = random.bytes(count)
  let at = 0
  return {
    bytes(size) {
      if (at + size > pool.length) throw new RangeError('more chance is used than was drawn')
      at += size
      return pool.subarray(at - size, at)
    },
  }
}

/** The rows that a profile names. */
export interface Algorithms { readonly suite: Suite; readonly hmac: SignatureAlgorithm; readonly rsa: SignatureAlgorithm; readonly digest: DigestAlgorithm }
/** @throws {UsageError} ERR_USAGE_SUITE */
export function algorithmsOf(profile: Profile): Algorithms {
  const suite = SUITES.get(profile.suite)
  if (suite === undefined) throw new UsageError('ERR_USAGE_SUITE', `no algorithm suite ${profile.suite}`)
  return {
    suite, hmac: profile.hmac === 'hmac-sha1' ? HMAC_SHA1 : HMAC_SHA256, rsa: profile.rsa === 'rsa-sha1' ? RSA_SHA1 : RSA_SHA256,
    digest: profile.digest === undefined ? suite.digest : profile.digest === 'sha1' ? SHA1 : SHA256,
  }
}

/** A part that is signed: its id, its canonical text, and the text that is sent, whose canonical form that is. */
export interface SignedPart { readonly id: string; readonly text: string; readonly sent: string }
const asSigned = (id: string, text: string): SignedPart => ({ id, text, sent: text })

export function timestampPart(ids: Ids, now: number): SignedPart {
  const id = ids('ts')
  // WSS 1.0 §10: UTC; three digits behind the second are read by everyone. The id is random: it is what makes two messages of one moment differ.
  const created = new Date(now).toISOString()
  const expires = new Date(now + LIFE_MS).toISOString()
  return asSigned(id, `<wsu:Timestamp${WSU_DECLARED} wsu:Id="${id}"><wsu:Created>${created}</wsu:Created><wsu:Expires>${expires}</wsu:Expires></wsu:Timestamp>`)
}

export function headerParts(headers: readonly Element[], ids: Ids): readonly SignedPart[] {
  return headers.map((header, index) => {
    const id = ids(`h${index}`)
    const named = withId(header, id)
    const text = canonicalize(named)
    // What was read keeps the declarations that its content may need; what was built needs none but those of its names.
    return { id, text, sent: header.scope === undefined ? text : writeNodes([named]) }
  })
}
function withId(header: Element, id: string): Element {
  const { prefix, local, ns, attributes, children, scope } = header
  return new Element(prefix, local, ns, [...attributes, { prefix: freePrefix(header), local: 'Id', ns: WSU, value: id }], children, scope)
}
/** `wsu`, unless the header means something else by it. */
function freePrefix(header: Element): string {
  const means = (prefix: string): readonly (string | undefined)[] =>
    [lookup(header.scope, prefix), ...[header, ...header.attributes].filter((each) => each.prefix === prefix).map((each) => each.ns)]
  let prefix = 'wsu'
  while (means(prefix).some((ns) => ns !== undefined && ns !== WSU)) prefix += '_'
  return prefix
}

/** Body as it is signed, its start tag, and its content as it is sent: in clear, or as plaintext. */
export interface BodyPart extends SignedPart { readonly open: string; readonly content: string }
export const BODY_END = '</s:Body>'

export function bodyPart(soap: SoapVersion, body: readonly (Element | string)[], ids: Ids): BodyPart {
  const id = ids('body')
  const open = `<s:Body xmlns:s="${soap.ns}"${WSU_DECLARED} wsu:Id="${id}">`
  const rendered = new Map([['s', soap.ns], ['wsu', WSU]])
  let signed = ''
  let content = ''
  for (const each of body) {
    const text = typeof each === 'string' && isCanonicalIn(each, rendered) ? each : canonicalize(typeof each === 'string' ? readElement(each, DEFAULT_LIMITS) : each, { rendered })
    signed += text
    // XML Encryption 1.1 §4.1: a plaintext is read in the namespaces of its place. One that stands alone is read right everywhere.
    content += typeof each === 'string' ? each : each.scope === undefined && !/[< ](?:s|wsu):/.test(text) ? text : writeNodes([each])
  }
  return { id, open, content, text: `${open}${signed}${BODY_END}`, sent: `${open}${content}${BODY_END}` }
}

/**
 * True when the text, which our writer wrote, is its own exclusive canonical form inside an element that has rendered `rendered`:
 * all declarations stand on its start tag, each is needed by a name there, and none is there already. Then it need not be read.
 */
function isCanonicalIn(xml: string, rendered: ReadonlyMap<string, string>): boolean {
  const name = /^<([^\s=>/]+)/.exec(xml)?.[1]
  if (name === undefined) return false
  const used = new Set([prefixOf(name)])
  const declared = new Map<string, string>()
  // In canonical form a value holds no quotation mark, so that this finds the attributes, all of them and nothing else.
  const attribute = / ([^\s=>/]+)="([^"]*)"/y
  attribute.lastIndex = name.length + 1
  let end = attribute.lastIndex
  for (let found = attribute.exec(xml); found !== null; found = attribute.exec(xml)) {
    const [, own = '', value = ''] = found
    if (own === 'xmlns') declared.set('', value)
    else if (own.startsWith('xmlns:')) declared.set(own.slice(6), value)
    else if (own.includes(':')) used.add(prefixOf(own))
    end = attribute.lastIndex
  }
  if (xml[end] !== '>' || xml.includes(' xmlns', end)) return false
  for (const [prefix, uri] of declared) if (uri === '' || !used.has(prefix) || rendered.get(prefix) === uri) return false
  return true
}
const prefixOf = (name: string): string => (name.includes(':') ? name.slice(0, name.indexOf(':')) : '')

/** ds:SignedInfo over whole parts, each by its id, under exclusive C14N without a PrefixList. */
export function signedInfo(method: SignatureAlgorithm, algorithm: DigestAlgorithm, parts: readonly Pick<SignedPart, 'id' | 'text'>[]): string {
  let references = ''
  for (const { id, text } of parts) {
    references += `<ds:Reference URI="#${id}"><ds:Transforms><ds:Transform Algorithm="${EXCLUSIVE_C14N}"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="${
      algorithm.uri}"></ds:DigestMethod><ds:DigestValue>${digest(algorithm.hash, text).toString('base64')}</ds:DigestValue></ds:Reference>`
  }
  return `<ds:SignedInfo${DS_DECLARED}><ds:CanonicalizationMethod Algorithm="${EXCLUSIVE_C14N}"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="${
    method.uri}"></ds:SignatureMethod>${references}</ds:SignedInfo>`
}

/** In canonical form, as what endorses it digests it: the declaration that SignedInfo has when it stands alone is left out. */
export const signature = (id: string, info: string, value: Uint8Array, keyReference: string): string =>
  `<ds:Signature${DS_DECLARED} Id="${id}">${info.replace(DS_DECLARED, '')}<ds:SignatureValue>${Buffer.from(value).toString('base64')}</ds:SignatureValue><ds:KeyInfo>${keyReference}</ds:KeyInfo></ds:Signature>`

/** wsse:SecurityTokenReference by URI. */
export const directReference = (uri: string, valueType: string): string =>
  `<wsse:SecurityTokenReference${WSSE_DECLARED}><wsse:Reference URI="${escapeAttribute(uri)}" ValueType="${valueType}"></wsse:Reference></wsse:SecurityTokenReference>`

export interface ContextName { readonly identifier: string; readonly instance?: string | undefined }
// WS-SC 1.3 §2: Identifier, and after a renewal Instance; nothing else.
export const contextToken = (token: ContextName, sc: ScVersion, id: string): string =>
  `<wsc:SecurityContextToken xmlns:wsc="${sc.ns}"${WSU_DECLARED} wsu:Id="${id}"><wsc:Identifier>${escapeText(token.identifier)}</wsc:Identifier>${
    token.instance === undefined ? '' : `<wsc:Instance>${escapeText(token.instance)}</wsc:Instance>`}</wsc:SecurityContextToken>`

/** WS-SC 1.3 §8: without the token in the message, its Identifier is the URI, and Instance an attribute. */
export const unattachedReference = (token: ContextName, sc: ScVersion): string => contextReference(token.identifier, token, sc)
/** The same where the token stands in the message under that id. Peer Metro 4: without Instance it takes the first key for decryption. */
export const attachedReference = (id: string, token: ContextName, sc: ScVersion): string => contextReference(`#${id}`, token, sc)
const contextReference = (uri: string, { instance }: ContextName, sc: ScVersion): string =>
  (instance === undefined ? directReference(uri, sc.sct) : `<wsse:SecurityTokenReference${WSSE_DECLARED}><wsse:Reference xmlns:wsc="${sc.ns}" URI="${escapeAttribute(uri)}" ValueType="${
    sc.sct}" wsc:Instance="${escapeAttribute(instance)}"></wsse:Reference></wsse:SecurityTokenReference>`)

// WS-SC 1.3 §7: reference, Offset, Length, Nonce, always written; no Label, no Generation, no Algorithm: each has a reader that mistakes it.
export const derivedKeyToken = (sc: ScVersion, id: string, source: string, length: number, nonce: Uint8Array): string =>
  `<wsc:DerivedKeyToken xmlns:wsc="${sc.ns}"${WSU_DECLARED} wsu:Id="${id}">${source}<wsc:Offset>0</wsc:Offset><wsc:Length>${length}</wsc:Length><wsc:Nonce>${
    Buffer.from(nonce).toString('base64')}</wsc:Nonce></wsc:DerivedKeyToken>`

/** Nothing, where nothing is encrypted. */
export const referenceList = (ids: readonly string[]): string =>
  ids.length === 0 ? '' : `<xenc:ReferenceList${XENC_DECLARED}>${ids.map((id) => `<xenc:DataReference URI="#${id}"></xenc:DataReference>`).join('')}</xenc:ReferenceList>`

export function encryptedData(id: string, type: 'content' | 'element', cipher: CipherAlgorithm, keyReference: string, bytes: Uint8Array): string {
  return `<xenc:EncryptedData${XENC_DECLARED} Id="${id}" Type="${type === 'content' ? ENCRYPTED_CONTENT : ENCRYPTED_ELEMENT}"><xenc:EncryptionMethod Algorithm="${
    cipher.uri}"></xenc:EncryptionMethod><ds:KeyInfo${DS_DECLARED}>${keyReference}</ds:KeyInfo>${cipherData(bytes)}</xenc:EncryptedData>`
}
export const cipherData = (bytes: Uint8Array): string =>
  `<xenc:CipherData><xenc:CipherValue>${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')}</xenc:CipherValue></xenc:CipherData>`

/** The whole message: WSS 1.0 §5: one mandatory Security header for the ultimate receiver, behind the others. */
export function envelope(message: OutgoingMessage, headers: readonly SignedPart[], security: string, body: string): string {
  const { soap, declarations } = message
  let declared = ''
  for (const [prefix, ns] of Object.entries(declarations ?? {})) {
    if (prefix === '' || prefix === 's') throw new RangeError(`the prefix '${prefix}' is not free on the Envelope`)
    declared += ` xmlns:${prefix}="${escapeAttribute(ns)}"`
  }
  const blocks = headers.map(({ sent }) => sent).join('')
  return `<s:Envelope xmlns:s="${soap.ns}"${declared}><s:Header>${blocks}<wsse:Security${WSSE_DECLARED} s:mustUnderstand="${
    soap.mustUnderstand}">${security}</wsse:Security></s:Header>${body}</s:Envelope>`
}
