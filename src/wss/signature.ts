/**
 * One ds:Signature: read strictly, its algorithms looked up before any key is touched, its value checked over the canonical SignedInfo,
 * its references digested once each. Knows no keys and no positions: those are told by `open`.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { digest, equal, hmac, rsaVerify } from '../crypto/hash.ts'
import { type DigestAlgorithm, DIGESTS, EXCLUSIVE_C14N, type SignatureAlgorithm, SIGNATURES } from '../spec/algorithms.ts'
import { NS, TOKEN } from '../spec/versions.ts'
import { canonicalize } from '../xml/canonical.ts'
import { type Element, lookup } from '../xml/tree.ts'
import type { Policy } from './keys.ts'
import { algorithm, base64Of, exactly, failed, invalid, unsupported } from './shape.ts'

export interface SignedReference {
  /** The id of the element that it is about, without `#`. */
  readonly id: string
  readonly transform: 'canonical' | 'token'
  readonly prefixes: readonly string[]
  readonly digest: DigestAlgorithm
  readonly value: Uint8Array
}
export interface Signature {
  readonly element: Element
  readonly method: SignatureAlgorithm
  readonly info: Element
  readonly infoPrefixes: readonly string[]
  readonly references: readonly SignedReference[]
  readonly value: Uint8Array
  /** The wsse:SecurityTokenReference in KeyInfo. */
  readonly keyReference: Element
}

/** A PrefixList that names more has another purpose; the longest recorded one has four. */
const MOST_PREFIXES = 64

/**
 * Reads a Signature. Nothing in it is believed yet.
 *
 * @throws {SecurityFailure} ERR_WSS_STRUCTURE, ERR_WSS_ALGORITHM, ERR_WSS_REFERENCE, ERR_WSS_BASE64
 */
export function readSignature(element: Element, policy: Policy): Signature {
  // BSP 1.1 R5402, R5417: SignedInfo, SignatureValue, KeyInfo with one reference; no Object, no Manifest.
  const [info, value, keyInfo] = exactly(element, NS.ds, 'SignedInfo', 'SignatureValue', 'KeyInfo') as [Element, Element, Element]
  const [c14n, method, ...references] = info.elements()
  if (c14n === undefined || method === undefined || !c14n.is(NS.ds, 'CanonicalizationMethod') || !method.is(NS.ds, 'SignatureMethod')) throw invalid('ERR_WSS_STRUCTURE', 'SignedInfo is not built as it must be')
  if (references.length === 0 || references.length > policy.limits.references) throw invalid('ERR_WSS_REFERENCE', 'a signature over nothing, or over too many parts')
  const infoPrefixes = exclusive(c14n)
  // HMACOutputLength truncates what must be right: any child of SignatureMethod is refused.
  if (!method.isLeaf) throw unsupported('SignatureMethod with parameters')
  const row = algorithm(SIGNATURES, method.attribute('Algorithm'), policy.algorithms, 'SignatureMethod')
  const read = references.map((reference) => readReference(reference, policy))
  if (read.some((each) => each.digest !== read[0]?.digest)) throw unsupported('DigestMethods that differ')
  return { element, method: row, info, infoPrefixes, references: read, value: base64Of(value), keyReference: keyReferenceOf(keyInfo) }
}

/** The SecurityTokenReference, which must be all that a KeyInfo holds. */
export const keyReferenceOf = (keyInfo: Element): Element => exactly(keyInfo, NS.wsse, 'SecurityTokenReference')[0] as Element

function readReference(reference: Element, policy: Policy): SignedReference {
  if (!reference.is(NS.ds, 'Reference')) throw invalid('ERR_WSS_STRUCTURE', 'SignedInfo is not built as it must be')
  const id = localId(reference.attribute('URI'))
  const children = reference.elements()
  // XML Signature §4.4.3.2: without Transforms it would be inclusive canonicalisation.
  if (children[0]?.is(NS.ds, 'DigestMethod')) throw unsupported('Reference without Transforms')
  const [transforms, method, value] = exactly(reference, NS.ds, 'Transforms', 'DigestMethod', 'DigestValue') as [Element, Element, Element]
  const [transform, ...more] = transforms.elements()
  if (transform === undefined || more.length > 0 || !transform.is(NS.ds, 'Transform')) throw unsupported('Transforms')
  if (!method.isLeaf) throw unsupported('DigestMethod with parameters')
  const row = algorithm(DIGESTS, method.attribute('Algorithm'), policy.algorithms, 'DigestMethod')
  const bytes = base64Of(value)
  if (transform.attribute('Algorithm') !== TOKEN.strTransform) return { id, transform: 'canonical', prefixes: exclusive(transform), digest: row, value: bytes }
  // WSS 1.0 §8.3: the canonicalisation stands in TransformationParameters.
  const [parameters] = exactly(transform, NS.wsse, 'TransformationParameters') as [Element]
  const [c14n] = exactly(parameters, NS.ds, 'CanonicalizationMethod') as [Element]
  return { id, transform: 'token', prefixes: exclusive(c14n), digest: row, value: bytes }
}

/** `#NCName` and nothing else is followed: no other document, no expression, not the whole document. */
export function localId(uri: string | undefined): string {
  if (uri === undefined || uri.length < 2 || !uri.startsWith('#') || !/^[^\s#:'"()<>/\\]+$/.test(uri.slice(1))) throw failed('ERR_WSS_REFERENCE', 'a reference to something else than an element of this message')
  return uri.slice(1)
}

/** PrefixList of an exclusive canonicalisation without comments; everything else is refused. */
function exclusive(method: Element): readonly string[] {
  if (method.attribute('Algorithm') !== EXCLUSIVE_C14N) throw unsupported(method.local)
  const [inclusive, ...more] = method.elements()
  if (inclusive === undefined) return []
  if (more.length > 0 || !inclusive.is(NS.exc, 'InclusiveNamespaces') || !inclusive.isLeaf) throw unsupported(`${method.local} with parameters`)
  const prefixes = (inclusive.attribute('PrefixList') ?? '').split(/[ \t\r\n]+/).filter((prefix) => prefix !== '')
  if (prefixes.length > MOST_PREFIXES) throw unsupported('PrefixList')
  return prefixes
}

/** True when the value is that of this key over the canonical SignedInfo. The key's kind has been decided by its token, never by the method. */
export function checkValue(signature: Signature, key: KeyObject): boolean {
  const { method, value } = signature
  const signed = canonicalInfo(signature)
  if (method.kind === 'rsa') return rsaVerify(method.hash, key, signed, value)
  return equal(hmac(method.hash, key, signed), value)
}
/** What the signature's value is made over. */
export const canonicalInfo = (signature: Signature): string => canonicalize(signature.info, { inclusivePrefixes: signature.infoPrefixes })

/** The digest of a whole element. */
export function checkDigest(reference: SignedReference, target: Element): boolean {
  return matches(reference, canonicalize(target, { inclusivePrefixes: reference.prefixes }))
}

/**
 * STR-Transform: the digest of the token in the place of its reference. WSS 1.0 §8.3 has the default namespace written on the token,
 * also the empty one; some leave an empty one out. Both are the same token.
 */
export function checkTokenDigest(reference: SignedReference, token: Element): boolean {
  const text = canonicalize(token, { inclusivePrefixes: [...reference.prefixes, '#default'] })
  if ((lookup(token.scope, '') ?? '') !== '' || token.prefix === '') return matches(reference, text)
  return matches(reference, withEmptyDefault(text)) || matches(reference, text)
}
/** The token of an X.509 reference is not in the message: it is written as WSS 1.0 §8.3 says, with the prefix that the reference has. */
export function checkCertificateDigest(reference: SignedReference, str: Element, certificate: Uint8Array): boolean {
  const prefix = str.prefix
  const encoding = str.first(NS.wsse, 'KeyIdentifier')?.attribute('EncodingType')
  const name = prefix === '' ? 'BinarySecurityToken' : `${prefix}:BinarySecurityToken`
  const declared = prefix === '' ? ` xmlns="${NS.wsse}"` : ` xmlns:${prefix}="${NS.wsse}"`
  const text = `<${name}${declared}${encoding === TOKEN.base64Binary ? ` EncodingType="${encoding}"` : ''} ValueType="${TOKEN.x509v3}">${Buffer.from(certificate).toString('base64')}</${name}>`
  return matches(reference, prefix === '' ? text : withEmptyDefault(text)) || matches(reference, text)
}
const withEmptyDefault = (text: string): string => text.replace(/^<[^\s>]+/, (start) => `${start} xmlns=""`)

const matches = (reference: SignedReference, text: string): boolean => equal(digest(reference.digest.hash, text), reference.value)

/** wsse11:SignatureConfirmation/@Value; '' when the request had no signature. */
export const confirmationOf = (element: Element): string => element.attribute('Value')?.replace(/[ \t\r\n]+/g, '') ?? ''
