/**
 * A plain second canonicaliser, slow and short, and mistakes that the comparison with libxml2 has to catch. Without a
 * mistake it agrees with libxml2 too, so what is caught is the mistake.
 */
import { type Canonicalizer, canonicalize, escapeAttribute, escapeText } from '../../../src/xml/canonical.ts'
import { type Attribute, Element, type Scope } from '../../../src/xml/tree.ts'

type Order = (left: string, right: string) => number
const byCodePoints: Order = (left, right) => Buffer.compare(Buffer.from(left, 'utf8'), Buffer.from(right, 'utf8'))
const byUnits: Order = (left, right) => (left < right ? -1 : left > right ? 1 : 0)

function inScope(scope: Scope | undefined): Map<string, string> {
  const found = scope === undefined ? new Map<string, string>() : inScope(scope.outer)
  if (scope !== undefined) found.set(scope.prefix, scope.uri)
  return found
}

export const plain = (order: Order): Canonicalizer => (root, options = {}) => {
  const inclusive = (options.inclusivePrefixes ?? []).map((prefix) => (prefix === '#default' ? '' : prefix))
  const write = (element: Element, rendered: ReadonlyMap<string, string>): string => {
    const scope = inScope(element.scope)
    const wanted = new Map<string, string>()
    for (const prefix of inclusive) if (scope.has(prefix)) wanted.set(prefix, scope.get(prefix) ?? '')
    for (const name of [element, ...element.attributes.filter((attribute) => attribute.prefix !== '')]) wanted.set(name.prefix, name.ns)
    wanted.delete('xml')
    const fresh = [...wanted].filter(([prefix, uri]) => (rendered.get(prefix) ?? '') !== uri).sort(([left], [right]) => order(left, right))
    const attributes = [...element.attributes].sort((left: Attribute, right: Attribute) => order(left.ns, right.ns) || order(left.local, right.local))
    const name = (of: { prefix: string; local: string }): string => (of.prefix === '' ? of.local : `${of.prefix}:${of.local}`)
    const words = [
      ...fresh.map(([prefix, uri]) => ` ${prefix === '' ? 'xmlns' : `xmlns:${prefix}`}="${escapeAttribute(uri)}"`),
      ...attributes.map((attribute) => ` ${name(attribute)}="${escapeAttribute(attribute.value)}"`),
    ]
    const inner = new Map([...rendered, ...fresh])
    const content = element.children.map((child) => (child instanceof Element ? write(child, inner) : escapeText(child.value)))
    return `<${name(element)}${words.join('')}>${content.join('')}</${name(element)}>`
  }
  return write(root, new Map())
}

export const correct: Canonicalizer = plain(byCodePoints)

/** What is wrong, and a canonicaliser that has it wrong. */
export const MISTAKES: readonly (readonly [what: string, canonicalizer: Canonicalizer])[] = [
  ['names in UTF-16 order', plain(byUnits)],
  ['no xmlns=""', (element, options) => canonicalize(element, options).replaceAll(' xmlns=""', '')],
  ['#default ignored', (element, options) => canonicalize(element, { ...options, inclusivePrefixes: (options?.inclusivePrefixes ?? []).filter((prefix) => prefix !== '#default') })],
  ['the PrefixList ignored', (element) => canonicalize(element)],
  ['> not escaped in text', (element, options) => canonicalize(element, options).replaceAll('&gt;', '>')],
  ['a carriage return in small hex', (element, options) => canonicalize(element, options).replaceAll('&#xD;', '&#xd;')],
  ['attributes as they stood', (element, options) => canonicalize(unsorted(element), options)],
]
function unsorted(element: Element): Element {
  const reversed = [...element.attributes].reverse()
  // A list that says it is sorted whatever it holds.
  Object.defineProperty(reversed, 'toSorted', { value: () => reversed })
  const copy = new Element(element.prefix, element.local, element.ns, reversed, element.children, element.scope, element.start, element.end)
  for (const child of element.children) child.parent = element
  return copy
}
