/**
 * Signatures with RSA keys, in messages that were built here. The only importer of xml-crypto, which makes them; it never verifies and never
 * sees a message from outside (D7).
 *
 * @module
 */
import { createRequire } from 'node:module'
import type { KeyObject } from 'node:crypto'
import { DEFAULT_LIMITS } from '../options.ts'
import { EXCLUSIVE_C14N } from '../spec/algorithms.ts'
import { NS } from '../spec/versions.ts'
import { canonicalize } from '../xml/canonical.ts'
import { readElement } from '../xml/reader.ts'
import type { SignatureText } from './layers.ts'
import type { Algorithms, SignedPart } from './parts.ts'

/** The part of xml-crypto that is used here; loaded when first needed, so that no type of its is seen outside. */
interface XmlSigner {
  addReference(reference: { readonly xpath: string; readonly transforms: readonly string[]; readonly digestAlgorithm: string }): void
  computeSignature(xml: string, options: { readonly prefix: string; readonly attrs: Readonly<Record<string, string>>; readonly location: { readonly reference: string; readonly action: 'append' } }): void
  getSignatureXml(): string
}
interface XmlCrypto {
  readonly SignedXml: new (options: {
    readonly privateKey: KeyObject
    readonly signatureAlgorithm: string
    readonly canonicalizationAlgorithm: string
    readonly getKeyInfoContent: () => string
  }) => XmlSigner
}
const require = createRequire(import.meta.url)

/** The signature over the parts of the message `clear`, in canonical form, and its value. `reference`: what KeyInfo holds. */
export function rsaSignature(
  id: string, clear: string, parts: readonly Pick<SignedPart, 'id'>[], { key, reference, algorithms }: { readonly key: KeyObject; readonly reference: string; readonly algorithms: Algorithms },
): SignatureText {
  const { SignedXml } = require('xml-crypto') as XmlCrypto
  const signer = new SignedXml({
    privateKey: key, signatureAlgorithm: algorithms.rsa.uri, canonicalizationAlgorithm: EXCLUSIVE_C14N, getKeyInfoContent: () => reference,
  })
  // Whatever is signed here we have written, and it has one attribute named Id, wsu's or its own. The ids are letters, digits and hyphens with a random tail: nothing of a message gets into the expression, and nothing in it is named so.
  for (const part of parts) signer.addReference({ xpath: `//*[@*[local-name()='Id']='${part.id}']`, transforms: [EXCLUSIVE_C14N], digestAlgorithm: algorithms.digest.uri })
  signer.computeSignature(clear, { prefix: 'ds', attrs: { Id: id }, location: { reference: `/*/*[1]/*[local-name()='Security' and namespace-uri()='${NS.wsse}']`, action: 'append' } })
  const element = readElement(signer.getSignatureXml(), DEFAULT_LIMITS)
  return { id, text: canonicalize(element), value: Buffer.from(element.first(NS.ds, 'SignatureValue')?.text ?? '', 'base64') }
}
