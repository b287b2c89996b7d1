/**
 * The DOM view and XPath, for handlers, WSDL and policy; the only door to @xmldom/xmldom and xpath. Never on the road of
 * a message: what comes in here is canonical text of our own writer, and the expression is the caller's own code.
 *
 * @module
 */
import { createRequire } from 'node:module'
import { UsageError } from '../errors.ts'

/** What a caller may count on of a DOM node; the packages' own types would bring lib.dom into his project. */
export interface XmlNode {
  readonly nodeType: number
  readonly nodeName: string
  readonly nodeValue: string | null
  readonly localName: string | null
  readonly namespaceURI: string | null
  readonly prefix: string | null
  readonly textContent: string | null
  readonly parentNode: XmlNode | null
  readonly childNodes: ArrayLike<XmlNode>
  /** Elements only. */
  readonly attributes?: ArrayLike<XmlNode>
  /** Elements only; '' when there is none. */
  getAttribute?(name: string): string
  /** Elements only; '' when there is none. */
  getAttributeNS?(namespace: string | null, local: string): string
  /** The node as XML. */
  toString(): string
}
export interface XmlDocument extends XmlNode {
  readonly documentElement: XmlNode
}

/** Loaded when first asked for: a process that never wants a DOM does not pay for it, and no type of theirs is seen. */
const require = createRequire(import.meta.url)
interface Xmldom { readonly DOMParser: new (options: { errorHandler(level: string, message: string): void }) => { parseFromString(xml: string, type: string): XmlDocument } }
interface XPath { parse(expression: string): { evaluateNodeSet(context: { node: XmlNode; namespaces(prefix: string): string | null }): { toArray(): XmlNode[] } } }

/**
 * The text as a DOM document.
 *
 * @throws {UsageError} ERR_XML_MALFORMED
 */
export function toDom(xml: string): XmlDocument {
  const { DOMParser } = require('@xmldom/xmldom') as Xmldom
  const refuse = (): never => { throw new UsageError('ERR_XML_MALFORMED', 'not well-formed XML') }
  const document = new DOMParser({ errorHandler: refuse }).parseFromString(xml, 'text/xml')
  return document?.documentElement ? document : refuse()
}

/**
 * The nodes that `xpath` (XPath 1.0) selects in the document, or below the node; prefixes mean what `namespaces` says.
 *
 * @throws {UsageError} ERR_XPATH: a wrong expression, a prefix that `namespaces` lacks, or an expression that gives no nodes but a value
 */
export function selectNodes(from: string | XmlNode, xpath: string, namespaces: Readonly<Record<string, string>> = {}): readonly XmlNode[] {
  const { parse } = require('xpath') as XPath
  const uris = new Map(Object.entries(namespaces))
  const node = typeof from === 'string' ? toDom(from) : from
  try {
    return parse(xpath).evaluateNodeSet({ node, namespaces: (prefix) => uris.get(prefix) ?? null }).toArray()
  } catch (cause) {
    throw new UsageError('ERR_XPATH', `the XPath expression cannot be evaluated: ${cause instanceof Error ? cause.message.slice(0, 128) : 'unknown reason'}`, { cause })
  }
}
