/**
 * Small documents, changed at random by a few characters, read by us and by libxml2: where one takes what the other
 * refuses, or both take it and see something else, one of them is wrong.
 */
import { XmlDocument, XmlParseError } from 'libxml2-wasm'
import { XmlError } from '../../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { readDocument } from '../../../src/xml/reader.ts'
import { generate, generator } from './c14n-oracle.ts'

// What the language is made of: changes that hit something are the ones that teach.
const PIECES = ['<', '>', '/', '=', '"', "'", '&', ';', '#', 'x', ':', '-', '--', '.', '1', ' ', '\n', '\r', '\t', '!', '?', '[', ']', ']]>', '<!--', '-->', '<![CDATA[', '&#', '&#x', '&amp;', '&lt;',
  'xmlns', 'xml', 'xmlns:', '=""', 'a="1"', '<a>', '</a>', '<a/>', '\0', '\x0B', '\x7F', '\u0085', '\u00A0', '\u00B7', '\u0300', '\u037E', '\u2028', '\uFEFF', '\uFFFE', '\uD800', '\u{10400}', '\u{F0000}', '<?xml version="1.0"?>']

export interface Verdicts { readonly inputs: number; readonly accepted: number; readonly differences: readonly string[] }

export function compareReaders(seed: number, inputs: number): Verdicts {
  const random = generator(seed)
  const differences: string[] = []
  let accepted = 0
  let from = ''
  for (let count = 0; count < inputs; count++) {
    if (count % 20 === 0) from = generate(random)
    let text = from
    for (let changes = 1 + random.below(3); changes > 0; changes--) {
      const at = random.below(text.length + 1)
      const cut = random.chance(0.5) ? random.below(4) : 0
      text = text.slice(0, at) + (random.chance(0.75) ? random.pick(PIECES) : '') + text.slice(at + cut)
    }
    // libxml2 takes a version of '1.' and nothing behind it.
    if (/^<\?xml\s+version\s*=\s*["']1\.["']/.test(text)) continue
    const bytes = Buffer.from(text, 'utf8')
    const ours = verdictOf(bytes)
    // Choices of ours that are no question of well-formedness, each tested by itself.
    if (['ERR_XML_DOCTYPE', 'ERR_XML_PI', 'ERR_XML_NAMESPACE', 'ERR_XML_VERSION', 'ERR_XML_ENCODING', 'ERR_XML_BAD_ID', 'ERR_XML_DUPLICATE_ID'].includes(ours.code)) continue
    const theirs = libxml2Verdict(bytes)
    if (theirs === 'no URI') continue
    if (ours.code === '') accepted++
    if (ours.code === '' ? theirs !== ours.form && theirs !== asLibxml2(ours.form) : theirs !== undefined) differences.push(`${ours.code || 'accepted'}: ${JSON.stringify(text)}`)
  }
  return { inputs, accepted, differences }
}

function verdictOf(bytes: Uint8Array): { readonly code: string; readonly form: string } {
  try {
    return { code: '', form: canonicalize(readDocument(bytes, DEFAULT_LIMITS).root) }
  } catch (error) {
    if (error instanceof XmlError) return { code: error.code, form: '' }
    throw error
  }
}
/** libxml2 writes the ampersand of a namespace name as it is. */
const asLibxml2 = (canonical: string): string => canonical.replace(/ xmlns(?::[^=\s]+)?="[^"]*"/g, (declaration) => declaration.replaceAll('&amp;', '&'))

/** libxml2's canonical form; undefined when it refuses the document; `no URI` when all that it says against it is no question of well-formedness. */
function libxml2Verdict(bytes: Uint8Array): string | undefined {
  try {
    const parsed = XmlDocument.fromBuffer(bytes)
    try {
      return parsed.canonicalizeToString({ mode: 1 })
    } finally {
      parsed.dispose()
    }
  } catch (error) {
    const complaints = error instanceof XmlParseError ? error.details.map(({ message }) => message) : []
    return complaints.length > 0 && complaints.every((complaint) => /is not a valid URI|Invalid value ".*" for xml:space/s.test(complaint)) ? 'no URI' : undefined
  }
}
