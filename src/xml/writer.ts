/**
 * Builds trees from words and writes them. What is written is canonical form plus declarations that content needs, so
 * the digest that a receiver computes of any part equals the one that was computed of the built part.
 *
 * @module
 */
import { UsageError } from '../errors.ts'
import { KEEP_ALL, Serializer, escapeText } from './canonical.ts'
import { type Attribute, Element, type Node, Text } from './tree.ts'

/** Attributes without a namespace, by name; undefined ones are left out. */
export type Plain = Readonly<Record<string, string | undefined>>
/** What an element is built of: text, child elements, attributes (`{ URI: '#a' }` or `wsu.attribute('Id', 'a')`); undefined is left out. */
export type Content = string | Node | Qualified | Plain | undefined | readonly Content[]

/** An attribute with a namespace. */
export class Qualified implements Attribute {
  readonly prefix: string
  readonly local: string
  readonly ns: string
  readonly value: string
  constructor(prefix: string, local: string, ns: string, value: string) {
    this.prefix = prefix
    this.local = local
    this.ns = ns
    this.value = holdable(value)
  }
}

/** The names of one namespace under one prefix: `const wsa = vocabulary('wsa', ns); wsa('To', wsu.attribute('Id', 'to'), 'http://…')`. */
export interface Vocabulary {
  (local: string, ...content: readonly Content[]): Element
  readonly prefix: string
  readonly ns: string
  /** An attribute of this namespace; undefined when the value is. */
  attribute(local: string, value: string): Qualified
  attribute(local: string, value: string | undefined): Qualified | undefined
}

export function vocabulary(prefix: string, ns: string): Vocabulary {
  const build = (local: string, ...content: readonly Content[]): Element => element(prefix, local, ns, content)
  const attribute = (local: string, value: string | undefined): Qualified | undefined => (value === undefined ? undefined : new Qualified(prefix, local, ns, value))
  return Object.assign(build, { prefix, ns, attribute }) as Vocabulary
}

/**
 * Builds one element. Neighbouring texts become one.
 *
 * @throws {UsageError} ERR_XML_CHARACTER: a text or attribute value has a character that XML 1.0 cannot hold
 */
export function element(prefix: string, local: string, ns: string, content: readonly Content[] = []): Element {
  const attributes: Attribute[] = []
  const children: Node[] = []
  fill(content, attributes, children)
  return new Element(prefix, local, ns, attributes, children)
}

function fill(content: readonly Content[], attributes: Attribute[], children: Node[]): void {
  for (const each of content) {
    if (each === undefined || each === '') continue
    if (typeof each === 'string') addText(children, holdable(each))
    else if (each instanceof Text) addText(children, each.value)
    else if (each instanceof Element) children.push(each)
    else if (each instanceof Qualified) attributes.push(each)
    else if (isList(each)) fill(each, attributes, children)
    else for (const [local, value] of Object.entries(each)) if (value !== undefined) attributes.push({ prefix: '', local, ns: '', value: holdable(value) })
  }
}
const isList = (content: Plain | readonly Content[]): content is readonly Content[] => Array.isArray(content)

function addText(children: Node[], value: string): void {
  const last = children.at(-1)
  if (last instanceof Text) children[children.length - 1] = new Text(last.value + value)
  else children.push(new Text(value))
}

/** XML 1.0 §2.2: no control characters but tab, line feed and carriage return, no half surrogate pairs, neither FFFE nor FFFF. */
function holdable(text: string): string {
  if (/[\0-\x08\x0B\x0C\x0E-\x1F\uFFFE\uFFFF]/.test(text) || !text.isWellFormed()) throw new UsageError('ERR_XML_CHARACTER', 'the text has a character that XML 1.0 cannot hold')
  return text
}

/**
 * The whole document, without an XML declaration, to be sent as UTF-8. `declarations` (namespace by prefix) stand on the
 * root's start tag: for prefixes that only content uses, which canonical form does not see. Elements that were read keep
 * the declarations that they were read with, for the same reason.
 */
export function writeDocument(root: Element, declarations: Readonly<Record<string, string>> = {}): string {
  const serializer = new Serializer(KEEP_ALL)
  serializer.element(root, undefined, Object.entries(declarations))
  return serializer.text
}

/**
 * The nodes one after the other, as they stand inside a parent that has rendered `rendered`: the plaintext of an encrypted
 * content, or one element that stands alone. Read elements keep every declaration that was in scope.
 */
export function writeNodes(nodes: readonly Node[], rendered?: ReadonlyMap<string, string>): string {
  const serializer = new Serializer(KEEP_ALL, undefined, rendered)
  for (const node of nodes) {
    if (node instanceof Element) serializer.element(node, undefined)
    else serializer.text += escapeText(node.value)
  }
  return serializer.text
}
