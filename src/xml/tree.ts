/**
 * The light tree: Elements and Texts with identity, their namespaces in scope and where they stood in the source.
 * Made by the reader (from bytes) and by the writer (from words); the canonicaliser turns either into bytes.
 * Immutable from outside but for `graft`, which decryption uses to put plaintext where its ciphertext stood.
 *
 * @module
 */

export interface Attribute {
  /** Prefix as written, '' for none. */
  readonly prefix: string
  readonly local: string
  /** Namespace name, '' for an attribute without prefix. */
  readonly ns: string
  readonly value: string
}

/** Namespaces in scope: a linked list, innermost declaration first; an inner '' uri undeclares the default namespace. */
export interface Scope { readonly prefix: string; readonly uri: string; readonly outer: Scope | undefined }

/** The namespace name bound to `prefix` in `scope`; undefined when unbound; '' for no default namespace. */
export function lookup(scope: Scope | undefined, prefix: string): string | undefined {
  if (prefix === 'xml') return 'http://www.w3.org/XML/1998/namespace'
  for (let at = scope; at !== undefined; at = at.outer) if (at.prefix === prefix) return at.uri
  return prefix === '' ? '' : undefined
}

export class Text {
  readonly value: string
  parent: Element | undefined
  constructor(value: string) { this.value = value }
}

export type Node = Element | Text

export class Element {
  readonly prefix: string
  readonly local: string
  readonly ns: string
  readonly attributes: readonly Attribute[]
  /** Text and elements in document order; comments are not kept, neighbouring text is one Text. */
  readonly children: readonly Node[]
  readonly scope: Scope | undefined
  /** Offsets (UTF-16 units) of the element in the string that it was read from; -1 when it was built. */
  readonly start: number
  end: number
  parent: Element | undefined

  constructor(prefix: string, local: string, ns: string, attributes: readonly Attribute[], children: readonly Node[], scope?: Scope, start = -1, end = -1) {
    this.prefix = prefix
    this.local = local
    this.ns = ns
    this.attributes = attributes
    this.children = children
    this.scope = scope
    this.start = start
    this.end = end
    for (const child of children) child.parent = this
  }

  is(ns: string, local: string): boolean { return this.local === local && this.ns === ns }
  /** Child elements, in document order. */
  elements(): readonly Element[] { return this.children.filter((child) => child instanceof Element) }
  /** Child elements of that name. */
  all(ns: string, local: string): readonly Element[] { return this.elements().filter((child) => child.is(ns, local)) }
  /** The first child element of that name. */
  first(ns: string, local: string): Element | undefined {
    for (const child of this.children) if (child instanceof Element && child.is(ns, local)) return child
    return undefined
  }
  /** The attribute's value; `ns` is '' for an attribute without prefix. */
  attribute(local: string, ns = ''): string | undefined {
    for (const each of this.attributes) if (each.local === local && each.ns === ns) return each.value
    return undefined
  }
  /** All text of the element's own Text children (not of its child elements), as it stands. */
  get text(): string {
    let text = ''
    for (const child of this.children) if (child instanceof Text) text += child.value
    return text
  }
  /** True when the element has no child elements. */
  get isLeaf(): boolean { return !this.children.some((child) => child instanceof Element) }
  /** `{namespace}local` */
  get qname(): QName { return `{${this.ns}}${this.local}` }
}

export type QName = `{${string}}${string}`

/**
 * Puts `nodes` in the place of `old` among `parent`'s children. Decryption's only tool: nobody else changes a tree.
 * Text that becomes neighbour to text is joined.
 */
export function graft(parent: Element, old: Node, nodes: readonly Node[]): void {
  const at = parent.children.indexOf(old)
  if (at < 0) throw new RangeError('graft: not a child')
  const joined: Node[] = []
  for (const node of [...parent.children.slice(0, at), ...nodes, ...parent.children.slice(at + 1)]) {
    const last = joined.at(-1)
    if (node instanceof Text && last instanceof Text) joined[joined.length - 1] = new Text(last.value + node.value)
    else joined.push(node)
  }
  for (const node of joined) node.parent = parent
  old.parent = undefined
  ;(parent as { children: readonly Node[] }).children = joined
}
