/**
 * Exclusive XML Canonicalization 1.0 without comments: an element of the light tree to its canonical text.
 * Works on trees that were read (their names and scopes come from the source) and on trees that were built
 * (each name carries its own prefix and namespace). Knows nothing of signatures.
 *
 * @module
 */
import { XmlError } from '../errors.ts'
import { DEFAULT_LIMITS } from '../options.ts'
import { type Attribute, Element, type Scope } from './tree.ts'

export interface CanonicalOptions {
  /** InclusiveNamespaces/@PrefixList; `#default` is the default namespace. These are rendered wherever they are in scope. */
  readonly inclusivePrefixes?: readonly string[]
  /** Namespaces by prefix that an ancestor in the output has rendered already. */
  readonly rendered?: ReadonlyMap<string, string>
  /** Elements that are left out, with all that is in them. */
  readonly omit?: ReadonlySet<Element>
  /** Longest result, in UTF-16 units; four times the largest message by default. */
  readonly longest?: number
}
/**
 * Exclusive canonical form declares a namespace anew at each sibling that uses it, so a small document can have a huge form:
 * 4 MB grow to 100 MB. Real messages hardly grow at all.
 */
const LONGEST = 4 * DEFAULT_LIMITS.messageBytes

/** Anything that turns an element into its canonical text: what tests replace to plant a mistake. */
export type Canonicalizer = (element: Element, options?: CanonicalOptions) => string

/**
 * The canonical text of `element` and what is in it.
 *
 * @throws {XmlError} ERR_XML_LIMIT_CANONICAL: the result would be longer than `longest`
 * @throws {RangeError} a built element uses one prefix for two namespaces, or has one attribute twice
 */
export function canonicalize(element: Element, options: CanonicalOptions = {}): string {
  const inclusive = options.inclusivePrefixes
  const keeps = inclusive === undefined || inclusive.length === 0 ? undefined : new Set(inclusive.map((prefix) => (prefix === '#default' ? '' : prefix)))
  const serializer = new Serializer(keeps, options.omit, options.rendered, options.longest ?? LONGEST)
  serializer.element(element, undefined)
  return serializer.text
}

/** As `canonicalize`, in UTF-8. */
export function canonicalBytes(element: Element, options?: CanonicalOptions): Uint8Array {
  return Buffer.from(canonicalize(element, options), 'utf8')
}

/** A set of prefixes whose declarations are kept though no name needs them; `all` for a document that carries QNames in content. */
type Keeps = { has(prefix: string): boolean }
export const KEEP_ALL: Keeps = { has: () => true }

/** Writes elements in canonical form, one after the other, and remembers which namespaces are in force. */
export class Serializer {
  text = ''
  readonly #keeps: Keeps | undefined
  readonly #omit: ReadonlySet<Element> | undefined
  readonly #rendered: Map<string, string>
  readonly #longest: number
  /** Pairs (prefix, namespace before), to be put back when an element ends. */
  readonly #undo: (string | undefined)[] = []

  constructor(keeps?: Keeps, omit?: ReadonlySet<Element>, rendered?: ReadonlyMap<string, string>, longest: number = Number.POSITIVE_INFINITY) {
    this.#keeps = keeps
    this.#omit = omit
    this.#rendered = new Map(rendered)
    this.#longest = longest
  }

  /** `outside` is the scope whose declarations need no keeping any more: that of the parent, when the parent was written. */
  element(element: Element, outside: Scope | undefined, declarations?: Iterable<readonly [prefix: string, uri: string]>): void {
    const { prefix, attributes, children } = element
    // A read element is consistent by construction; a built one may be put together wrongly.
    if (element.start < 0) checkNames(element, declarations)
    const mark = this.#undo.length
    this.#need(prefix, element.ns)
    for (const attribute of attributes) if (attribute.prefix !== '') this.#need(attribute.prefix, attribute.ns)
    if (declarations !== undefined) for (const [each, uri] of declarations) this.#need(each, uri)
    if (this.#keeps !== undefined && element.scope !== outside) this.#keep(this.#keeps, element.scope, outside)

    const name = prefix === '' ? element.local : `${prefix}:${element.local}`
    let tag = `<${name}`
    if (this.#undo.length > mark) tag += this.#declared(mark)
    if (attributes.length === 1) tag += written(attributes[0] as Attribute)
    else if (attributes.length > 1) for (const attribute of sorted(attributes)) tag += written(attribute)
    this.text += `${tag}>`
    for (const child of children) {
      if (!(child instanceof Element)) this.text += escapeText(child.value)
      else if (this.#omit === undefined || !this.#omit.has(child)) this.element(child, element.scope)
    }
    this.text += `</${name}>`
    if (this.text.length > this.#longest) throw new XmlError('ERR_XML_LIMIT_CANONICAL', 'the canonical form is too long')
    this.#restore(mark)
  }

  #need(prefix: string, uri: string): void {
    if (prefix === 'xml') return
    const now = this.#rendered.get(prefix)
    // Exclusive C14N §3: xmlns="" is written only where an ancestor in the output has a default namespace.
    if (now === uri || (now === undefined && uri === '')) return
    this.#rendered.set(prefix, uri)
    this.#undo.push(prefix, now)
  }

  /** Declarations from `scope` outwards to `outside`; the innermost of a prefix counts. One step per declaration, however long the list of prefixes. */
  #keep(keeps: Keeps, scope: Scope | undefined, outside: Scope | undefined): void {
    const seen = new Set<string>()
    let at = scope
    for (; at !== undefined && at !== outside; at = at.outer) {
      if (seen.has(at.prefix)) continue
      seen.add(at.prefix)
      if (keeps.has(at.prefix)) this.#need(at.prefix, at.uri)
    }
    // Nothing declares a default namespace up to the end of the scope: then there is none, whatever the output has in force.
    if (at === undefined && !seen.has('') && keeps.has('')) this.#need('', '')
  }

  /** The namespace declarations that were added since `mark`, the default one first, then by prefix. */
  #declared(mark: number): string {
    const undo = this.#undo
    if (undo.length === mark + 2) return this.#declaration(undo[mark] as string)
    const prefixes: string[] = []
    for (let at = mark; at < undo.length; at += 2) prefixes.push(undo[at] as string)
    prefixes.sort(byCodePoint)
    let declarations = ''
    for (const prefix of prefixes) declarations += this.#declaration(prefix)
    return declarations
  }

  #declaration(prefix: string): string {
    const uri = escapeAttribute(this.#rendered.get(prefix) as string)
    return prefix === '' ? ` xmlns="${uri}"` : ` xmlns:${prefix}="${uri}"`
  }

  #restore(mark: number): void {
    const undo = this.#undo
    while (undo.length > mark) {
      const before = undo.pop()
      const prefix = undo.pop() as string
      if (before === undefined) this.#rendered.delete(prefix)
      else this.#rendered.set(prefix, before)
    }
  }
}

const written = (attribute: Attribute): string =>
  attribute.prefix === '' ? ` ${attribute.local}="${escapeAttribute(attribute.value)}"` : ` ${attribute.prefix}:${attribute.local}="${escapeAttribute(attribute.value)}"`

/** C14N 1.0 §2.2: by namespace name, then local name; those without a namespace come first, as '' sorts first. */
function byName(left: Attribute, right: Attribute): number {
  return left.ns === right.ns ? byCodePoint(left.local, right.local) : byCodePoint(left.ns, right.ns)
}

function sorted(attributes: readonly Attribute[]): readonly Attribute[] {
  for (let at = 1; at < attributes.length; at++) {
    if (byName(attributes[at - 1] as Attribute, attributes[at] as Attribute) > 0) return attributes.toSorted(byName)
  }
  return attributes
}

/**
 * Order by code point. UTF-16 puts supplementary characters (surrogates, D800-DFFF) before E000-FFFF, so units from
 * D800 on are ranked again before they are compared.
 */
export function byCodePoint(left: string, right: string): number {
  const length = Math.min(left.length, right.length)
  for (let at = 0; at < length; at++) {
    const one = left.charCodeAt(at)
    const other = right.charCodeAt(at)
    if (one !== other) return rank(one) - rank(other)
  }
  return left.length - right.length
}
const rank = (unit: number): number => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800)

const TEXT_ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#xD;' }
const ATTRIBUTE_ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '"': '&quot;', '\t': '&#x9;', '\n': '&#xA;', '\r': '&#xD;' }

export function escapeText(text: string): string {
  return /[&<>\r]/.test(text) ? text.replace(/[&<>\r]/g, (character) => TEXT_ESCAPES[character] as string) : text
}
export function escapeAttribute(value: string): string {
  return /[&<"\t\n\r]/.test(value) ? value.replace(/[&<"\t\n\r]/g, (character) => ATTRIBUTE_ESCAPES[character] as string) : value
}

function checkNames(element: Element, declarations: Iterable<readonly [prefix: string, uri: string]> = []): void {
  const bound = new Map([[element.prefix, element.ns]])
  if (element.prefix !== '' && element.ns === '') throw new RangeError(`element ${element.local}: a prefix without a namespace`)
  const bind = (prefix: string, uri: string): void => {
    const other = bound.get(prefix)
    if (other !== undefined && other !== uri) throw new RangeError(`element ${element.local}: prefix '${prefix}' stands for two namespaces`)
    bound.set(prefix, uri)
  }
  const names = new Set<string>()
  for (const { prefix, local, ns } of element.attributes) {
    if ((prefix === '') !== (ns === '')) throw new RangeError(`element ${element.local}: attribute ${local} has a prefix or a namespace, not both`)
    if (prefix !== '') bind(prefix, ns)
    const name = `{${ns}}${local}`
    if (names.has(name)) throw new RangeError(`element ${element.local}: attribute ${local} twice`)
    names.add(name)
  }
  for (const [prefix, uri] of declarations) bind(prefix, uri)
}
