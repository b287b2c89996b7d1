/**
 * Generated documents, and the comparison of a canonicaliser with libxml2's on them. The canonicaliser is an argument, so
 * that a planted mistake can be put in its place.
 */
import { XmlC14NMode, XmlDocument, XmlElement, type XmlOutputBufferHandler } from 'libxml2-wasm'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import type { Canonicalizer } from '../../../src/xml/canonical.ts'
import { readDocument } from '../../../src/xml/reader.ts'
import type { Element } from '../../../src/xml/tree.ts'

export interface Comparison {
  readonly documents: number
  readonly compared: number
  readonly differences: number
  readonly first?: { readonly document: string; readonly element: string; readonly prefixes: readonly string[]; readonly ours: string; readonly theirs: string }
}

/** The canonical form of an element by libxml2. Its own string handler may cut a character in two, so bytes are gathered. */
export function libxml2Canonical(element: XmlElement, prefixes: readonly string[] = []): string {
  const chunks: Uint8Array[] = []
  const handler: XmlOutputBufferHandler = { write: (chunk) => chunks.push(Uint8Array.from(chunk)) > 0 ? chunk.byteLength : -1, close: () => true }
  element.canonicalize(handler, { mode: XmlC14NMode.XML_C14N_EXCLUSIVE_1_0, ...(prefixes.length === 0 ? {} : { inclusiveNamespacePrefixes: [...prefixes] }) })
  return Buffer.concat(chunks).toString('utf8')
}

/** All elements in document order. */
export function allElements(element: Element): Element[] {
  return [element, ...element.elements().flatMap(allElements)]
}
export function allLibxml2Elements(element: XmlElement): XmlElement[] {
  const found = [element]
  for (let child = element.firstChild; child !== null; child = child.next) if (child instanceof XmlElement) found.push(...allLibxml2Elements(child))
  return found
}

/** Compares on `documents` generated documents: the root of each, and two elements inside, with and without a PrefixList. */
export function compare(canonicalizer: Canonicalizer, seed: number, documents: number): Comparison {
  const random = generator(seed)
  let compared = 0
  let differences = 0
  let first: Comparison['first']
  for (let count = 0; count < documents; count++) {
    const document = generate(random)
    const bytes = Buffer.from(document, 'utf8')
    const ours = allElements(readDocument(bytes, DEFAULT_LIMITS).root)
    const parsed = XmlDocument.fromBuffer(bytes)
    try {
      const theirs = allLibxml2Elements(parsed.root)
      if (theirs.length !== ours.length) throw new Error(`the trees differ: ${document}`)
      for (const at of new Set([0, random.below(ours.length), random.below(ours.length)])) {
        const prefixes = random.chance(0.4) ? random.some(['#default', ...PREFIXES, 'unbound']) : []
        const expected = libxml2Canonical(theirs[at] as XmlElement, prefixes)
        const got = canonicalizer(ours[at] as Element, { inclusivePrefixes: prefixes })
        compared++
        if (got === expected) continue
        differences++
        first ??= { document, element: (ours[at] as Element).qname, prefixes, ours: got, theirs: expected }
      }
    } finally {
      parsed.dispose()
    }
  }
  return { documents, compared, differences, ...(first === undefined ? {} : { first }) }
}

export interface Random { next(): number; below(limit: number): number; chance(probability: number): boolean; pick<T>(from: readonly T[]): T; some<T>(from: readonly T[]): T[] }
export function generator(seed: number): Random {
  let state = seed >>> 0
  // mulberry32
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    next, below, chance: (probability) => next() < probability, pick: (from) => from[below(from.length)] as (typeof from)[number],
    some: (from) => from.filter(() => next() < 0.3),
  }
}

// U+F900 and U+FDF2 come before U+10400 and U+20000 by code point, and after them by UTF-16 unit.
const PREFIXES = ['a', 'b', 'c', 'B', 'ab', 'a-b', 'a.1', '_', '\u00E9', '\uF900', '\u{10400}', '\u{20000}p']
const LOCALS = ['x', 'y', 'X', 'x1', 'x-1', 'Id', '_', '\u00FC', '\uFDF2', '\u{10400}', 'x\u{20000}', 'x\uF900']
// libxml2 takes ASCII only as namespace names and writes `&` in them unescaped, so neither is compared here.
const NAMES = ['urn:a', 'urn:b', 'urn:A', 'http://example.com/', 'http://example.com/a', 'http://example.com/a#', 'urn:a:b', "urn:it's"]
const TEXTS = ['text', ' ', '\n', '\t', '&amp;', '&lt;', '&gt;', '>', '"', "'", '&quot;', '&apos;', '&#13;', '&#10;', '&#9;', '\r\n', '\r', '\u00E4', '\u{1F600}', '&#x1F600;', '\uFFFD', '\u0085', '\u2028', '&#x7F;', ']] ', '&amp;amp;']
const VALUES = TEXTS.filter((text) => text !== '"')

/** A document with declarations nested, inherited, redeclared and undeclared, used or not. */
export function generate(random: Random): string {
  let left = 1 + random.below(14)
  const mixed = (): string => {
    let text = ''
    while (random.chance(0.6)) {
      text += random.chance(0.12) ? `<!-- ${random.pick(LOCALS)} -->` : random.chance(0.1) ? `<![CDATA[${random.pick(['<&>', ']]', '\r\n', '"', ']>'])}]]>` : random.pick(TEXTS)
    }
    return text
  }
  const element = (outer: ReadonlyMap<string, string>, depth: number): string => {
    left--
    const scope = new Map(outer)
    const words: string[] = []
    const declare = (prefix: string, uri: string): void => {
      scope.set(prefix, uri)
      words.push(`${prefix === '' ? 'xmlns' : `xmlns:${prefix}`}=${random.chance(0.5) ? `"${uri}"` : `"${uri.replace('r', '&#x72;')}"`}`)
    }
    if (random.chance(0.3)) declare('', random.chance(0.35) ? '' : random.pick(NAMES))
    for (const prefix of random.some(PREFIXES)) if (random.chance(depth === 0 ? 0.8 : 0.3)) declare(prefix, random.pick(NAMES))
    if (random.chance(0.02)) words.push('xmlns:xml="http://www.w3.org/XML/1998/namespace"')
    const bound = [...scope.keys()].filter((prefix) => prefix !== '')
    const used = new Set<string>()
    while (random.chance(0.55)) {
      const prefix = random.chance(0.08) ? 'xml' : random.chance(0.6) && bound.length > 0 ? random.pick(bound) : ''
      const local = prefix === 'xml' ? random.pick(['lang', 'base', 'space']) : random.pick(LOCALS)
      const name = `${prefix === '' ? '' : prefix === 'xml' ? 'xml' : scope.get(prefix)} ${local}`
      if (used.has(name)) continue
      used.add(name)
      let value = ''
      while (random.chance(0.5)) value += random.pick(VALUES)
      words.push(`${prefix === '' ? '' : `${prefix}:`}${local}="${prefix === 'xml' && local === 'space' ? 'preserve' : prefix === 'xml' && local === 'base' ? 'urn:base' : value}"`)
    }
    // Fisher and Yates: declarations and attributes stand in any order.
    for (let at = words.length - 1; at > 0; at--) {
      const other = random.below(at + 1)
      ;[words[at], words[other]] = [words[other] as string, words[at] as string]
    }
    const prefix = random.chance(0.55) && bound.length > 0 ? `${random.pick(bound)}:` : ''
    const name = `${prefix}${random.pick(LOCALS)}`
    let content = mixed()
    while (left > 0 && depth < 8 && random.chance(0.7)) content += element(scope, depth + 1) + mixed()
    const tag = [name, ...words].join(random.pick([' ', '  ', '\n']))
    return content === '' && random.chance(0.7) ? `<${tag}/>` : `<${tag}>${content}</${name}${random.chance(0.1) ? ' ' : ''}>`
  }
  return `${random.chance(0.2) ? '<?xml version="1.0" encoding="UTF-8"?>\r\n' : ''}${random.chance(0.1) ? '<!-- before -->' : ''}${element(new Map([['', '']]), 0)}`
}
