/**
 * XML Encryption as WS-Security uses it: which EncryptedData a message lists, whether each stands where one may stand, and turning
 * one into what it hides. Nothing is decrypted that is not listed, or not at a place that is known here.
 *
 * @module
 */
import { decrypt, keyFor } from '../crypto/cipher.ts'
import { XmlError } from '../errors.ts'
import { type CipherAlgorithm, CIPHERS, ENCRYPTED_CONTENT, ENCRYPTED_ELEMENT } from '../spec/algorithms.ts'
import { NS } from '../spec/versions.ts'
import { readFragment, type ReadFragment } from '../xml/reader.ts'
import { Element } from '../xml/tree.ts'
import type { Envelope, Policy } from './keys.ts'
import { cipherValue, type Candidate } from './references.ts'
import { algorithm, exactly, failed, invalid, nothingBut, only, optional } from './shape.ts'
import { keyReferenceOf, localId } from './signature.ts'

/** One EncryptedData of the message. */
export interface Ciphertext {
  readonly element: Element
  /** `elsewhere` is never decrypted; it is refused when its turn comes, after the references have been looked at. */
  readonly place: 'body' | 'header' | 'security' | 'elsewhere'
  /** Where among the children of Security its list stands: a signature behind it is over the plaintext, one before it over the ciphertext. */
  readonly listed: number
  /** The EncryptedKey that lists it. */
  readonly owner: Element | undefined
  readonly type: 'element' | 'content'
  readonly cipher: CipherAlgorithm
  /** The SecurityTokenReference in its KeyInfo. */
  readonly keyReference: Element | undefined
}

/**
 * The ciphertexts that the Security header lists, in the order of the lists.
 *
 * @throws {SecurityFailure} one is listed twice, or is not listed at all
 */
export function ciphertexts(envelope: Envelope, security: Element, policy: Policy): readonly Ciphertext[] {
  const found: Ciphertext[] = []
  const seen = new Set<Element>()
  security.elements().forEach((child, position) => {
    const owner = child.is(NS.xenc, 'EncryptedKey') ? child : undefined
    const list = child.is(NS.xenc, 'ReferenceList') ? child : owner && optional(owner, NS.xenc, 'ReferenceList')
    if (list === undefined) return
    nothingBut(list, [NS.xenc, 'DataReference'])
    for (const reference of list.elements()) {
      const element = envelope.ids.get(localId(reference.attribute('URI')))
      if (element === undefined || !element.is(NS.xenc, 'EncryptedData')) throw failed('ERR_WSS_ENCRYPTION', 'a ReferenceList that names something else than EncryptedData')
      if (seen.has(element)) throw invalid('ERR_WSS_ENCRYPTION', 'EncryptedData that is listed twice')
      if (seen.size >= policy.limits.encryptedData) throw invalid('ERR_WSS_LIMIT', 'more EncryptedData than are accepted in one message')
      seen.add(element)
      found.push(readEncryptedData(element, placeOf(element, envelope, security), { listed: position, owner }, policy))
    }
  })
  for (const element of places(envelope, security)) if (!seen.has(element)) throw failed('ERR_WSS_ENCRYPTION', 'EncryptedData that no ReferenceList names')
  return found
}

/** WSS 1.1 §9: content of Body, whole headers in EncryptedHeader, and children of Security. Anything else is an oracle. */
function placeOf(element: Element, envelope: Envelope, security: Element): Ciphertext['place'] {
  const parent = element.parent
  if (parent === security) return 'security'
  if (parent === envelope.body && parent.elements().length === 1) return 'body'
  if (parent?.is(NS.wsse11, 'EncryptedHeader') && parent.parent === envelope.header && parent.elements().length === 1) return 'header'
  return 'elsewhere'
}
/** Every EncryptedData at such a place. */
export function places(envelope: Envelope, security: Element | undefined): readonly Element[] {
  const headers = envelope.header?.all(NS.wsse11, 'EncryptedHeader') ?? []
  return [...(security?.all(NS.xenc, 'EncryptedData') ?? []), ...envelope.body.all(NS.xenc, 'EncryptedData'), ...headers.flatMap((header) => header.all(NS.xenc, 'EncryptedData'))]
}

const TYPES: ReadonlyMap<string | undefined, Ciphertext['type']> = new Map([[ENCRYPTED_ELEMENT, 'element'], [ENCRYPTED_CONTENT, 'content']])

function readEncryptedData(element: Element, place: Ciphertext['place'], from: Pick<Ciphertext, 'listed' | 'owner'>, policy: Policy): Ciphertext {
  nothingBut(element, [NS.xenc, 'EncryptionMethod'], [NS.ds, 'KeyInfo'], [NS.xenc, 'CipherData'])
  exactly(only(element, NS.xenc, 'CipherData'), NS.xenc, 'CipherValue')
  const type = TYPES.get(element.attribute('Type'))
  if (type === undefined || (type === 'content' && (place === 'security' || place === 'header'))) throw invalid('ERR_WSS_ENCRYPTION', 'EncryptedData of a Type that does not fit its place')
  const method = only(element, NS.xenc, 'EncryptionMethod')
  if (!method.isLeaf) throw invalid('ERR_WSS_ENCRYPTION', 'EncryptionMethod with parameters')
  const cipher = algorithm(CIPHERS, method.attribute('Algorithm'), policy.algorithms, 'EncryptedData')
  const keyInfo = optional(element, NS.ds, 'KeyInfo')
  if (keyInfo === undefined && from.owner === undefined) throw invalid('ERR_WSS_ENCRYPTION', 'EncryptedData that says nothing about its key')
  return { element, place, ...from, type, cipher, keyReference: keyInfo && keyReferenceOf(keyInfo) }
}

/** What one EncryptedData hid. */
export interface Revealed extends ReadFragment { readonly key: Candidate }

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const undecryptable = (): Error => failed('ERR_WSS_DECRYPT', 'decryption failed')

/**
 * Decrypts and reads, without putting it into the message. One failure for wrong key, padding, tag, encoding and content.
 *
 * @throws {SecurityFailure} ERR_WSS_DECRYPT
 */
export function reveal(ciphertext: Ciphertext, candidates: readonly Candidate[], policy: Policy): Revealed {
  const { element, cipher, place } = ciphertext
  if (place === 'elsewhere') throw failed('ERR_WSS_ENCRYPTION', 'EncryptedData where none may stand')
  const data = cipherValue(element)
  for (const key of candidates) {
    const fragment = attempt(() => readFragment(UTF8.decode(decrypt(cipher, keyFor(cipher, key.key), data)), element.parent?.scope, policy.limits))
    if (fragment !== undefined && fits(ciphertext, fragment)) return { ...fragment, key }
  }
  throw undecryptable()
}
function attempt(read: () => ReadFragment): ReadFragment | undefined {
  try {
    return read()
  } catch (error) {
    // TypeError: not UTF-8. The reader's and the cipher's failures have classes of their own.
    if (error instanceof XmlError || error instanceof TypeError || (error instanceof Error && 'code' in error && error.code === 'ERR_WSS_DECRYPT')) return undefined
    throw error
  }
}

const HIDDEN_IN_SECURITY: readonly (readonly [ns: string, local: string])[] = [[NS.ds, 'Signature'], [NS.wsse11, 'SignatureConfirmation'], [NS.wsse, 'UsernameToken']]
const SECURITY_NAMESPACES: ReadonlySet<string> = new Set([NS.wsse, NS.wsse11, NS.wsu, NS.ds, NS.xenc, NS.xenc11])
/** What may come out depends on where it was; encryption inside encryption is not followed. */
function fits({ place, type }: Ciphertext, { nodes }: ReadFragment): boolean {
  const elements = nodes.filter((each) => each instanceof Element)
  const [first] = elements
  if (elements.some((each) => each.is(NS.xenc, 'EncryptedData'))) return false
  if (type === 'content') return true
  if (first === undefined || nodes.length > 1) return false
  if (place === 'security') return HIDDEN_IN_SECURITY.some(([ns, local]) => first.is(ns, local))
  return place === 'body' || !SECURITY_NAMESPACES.has(first.ns)
}
