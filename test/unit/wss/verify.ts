/** A small verifier for these tests: what each reference covers, whether digests and the MAC hold, what the plaintexts are. */
import { decrypt } from '../../../src/crypto/cipher.ts'
import { deriveKey } from '../../../src/crypto/derive.ts'
import { digest, hmac, rsaVerify } from '../../../src/crypto/hash.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { CIPHERS, DIGESTS, SIGNATURES } from '../../../src/spec/algorithms.ts'
import { NS } from '../../../src/spec/versions.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { readDocument, readFragment } from '../../../src/xml/reader.ts'
import { type Element, graft } from '../../../src/xml/tree.ts'
import type { KeyObject } from 'node:crypto'

export interface Checked {
  readonly root: Element
  readonly security: Element
  readonly body: Element
  /** Names of what each signature covers, in order; false where a digest or the value does not hold. */
  readonly signatures: readonly { readonly covers: readonly Element[]; readonly digests: boolean; readonly value: boolean }[]
}
type Keys = { readonly context?: KeyObject; readonly content?: (encryptedKey: Element) => KeyObject; readonly certificate?: KeyObject }

export function check(xml: string, keys: Keys): Checked {
  const { root } = readDocument(Buffer.from(xml), DEFAULT_LIMITS)
  const header = root.elements().find((each) => each.local === 'Header')
  const body = root.elements().find((each) => each.local === 'Body')
  const security = header?.first(NS.wsse, 'Security')
  if (security === undefined || body === undefined) throw new Error('no Security')
  for (const data of [...all(root, NS.xenc, 'EncryptedData')]) reveal(data, root, keys)
  const signatures = security.all(NS.ds, 'Signature').map((signature) => {
    const info = only(signature, NS.ds, 'SignedInfo')
    const references = info.all(NS.ds, 'Reference')
    const covers = references.map((reference) => byId(root, reference.attribute('URI') ?? ''))
    const digests = references.every((reference, index) => {
      const row = DIGESTS.get(only(reference, NS.ds, 'DigestMethod').attribute('Algorithm') ?? '')
      return row !== undefined && digest(row.hash, canonicalize(covers[index] as Element)).toString('base64') === only(reference, NS.ds, 'DigestValue').text
    })
    const method = SIGNATURES.get(only(info, NS.ds, 'SignatureMethod').attribute('Algorithm') ?? '')
    const value = Buffer.from(only(signature, NS.ds, 'SignatureValue').text, 'base64')
    if (method === undefined) throw new Error('no such method')
    const holds = method.kind === 'rsa'
      ? keys.certificate !== undefined && rsaVerify(method.hash, keys.certificate, canonicalize(info), value)
      : hmac(method.hash, keyOf(signature, root, keys), canonicalize(info)).equals(value)
    return { covers, digests, value: holds }
  })
  return { root, security, body, signatures }
}

function reveal(data: Element, root: Element, keys: Keys): void {
  const row = CIPHERS.get(only(data, NS.xenc, 'EncryptionMethod').attribute('Algorithm') ?? '')
  if (row === undefined || data.parent === undefined) throw new Error('no such cipher')
  const bytes = Buffer.from(only(only(data, NS.xenc, 'CipherData'), NS.xenc, 'CipherValue').text, 'base64')
  const plain = decrypt(row, keyOf(data, root, keys), bytes).toString('utf8')
  graft(data.parent, data, readFragment(plain, data.parent.scope, DEFAULT_LIMITS).nodes)
}

function keyOf(user: Element, root: Element, keys: Keys): KeyObject {
  const reference = only(only(only(user, NS.ds, 'KeyInfo'), NS.wsse, 'SecurityTokenReference'), NS.wsse, 'Reference')
  const uri = reference.attribute('URI') ?? ''
  if (!uri.startsWith('#')) return keys.context ?? missing()
  const token = byId(root, uri)
  if (token.local === 'SecurityContextToken') return keys.context ?? missing()
  if (token.local === 'EncryptedKey') return keys.content?.(token) ?? missing()
  const child = (local: string): string => only(token, token.ns, local).text
  return deriveKey({ secret: keys.context ?? missing(), nonce: Buffer.from(child('Nonce'), 'base64'), offset: Number(child('Offset')), length: Number(child('Length')) })
}
const missing = (): never => { throw new Error('no key') }

function only(parent: Element, ns: string, local: string): Element {
  const found = parent.all(ns, local)
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} ${local} in ${parent.local}`)
  return found[0]
}
export function* all(element: Element, ns: string, local: string): Iterable<Element> {
  if (element.is(ns, local)) yield element
  for (const child of element.elements()) yield* all(child, ns, local)
}
function byId(root: Element, uri: string): Element {
  const found: Element[] = []
  const walk = (element: Element): void => {
    if (`#${element.attribute('Id', NS.wsu)}` === uri || `#${element.attribute('Id')}` === uri) found.push(element)
    for (const child of element.elements()) walk(child)
  }
  walk(root)
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} elements for ${uri}`)
  return found[0]
}

/** Names and nesting, without ids, values and text: what two messages of one shape share. */
export function skeleton(element: Element, depth = 9): string {
  const attributes = element.attributes.map((each) => each.local).filter((local) => local !== 'Id').sort()
  const children = depth === 0 ? [] : element.elements().map((each) => skeleton(each, depth - 1))
  return `${element.local}${attributes.length > 0 ? `@${attributes.join(',')}` : ''}${children.length > 0 ? `(${children.join(' ')})` : ''}`
}
