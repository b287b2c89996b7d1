/**
 * Bytes to the light tree: the only reader of XML from outside, the only importer of saxes. Every cap stands here and is
 * enforced while reading. UTF-8 and XML 1.0 only; no DOCTYPE, no processing instructions; comments are dropped.
 *
 * @module
 */
import { type SaxesAttributeNS, type SaxesAttributeNSIncomplete, SaxesParser, type SaxesTagNS, type XMLDecl } from 'saxes'
import { UsageError, XmlError } from '../errors.ts'
import type { Limits } from '../options.ts'
import { NS } from '../spec/versions.ts'
import { type Attribute, Element, type Node, type Scope, Text } from './tree.ts'

export interface ReadDocument {
  readonly root: Element
  /** The text that the offsets of the elements count in; without a byte order mark. */
  readonly source: string
  readonly ids: ReadonlyMap<string, Element>
}
export interface ReadFragment {
  readonly nodes: readonly Node[]
  readonly ids: ReadonlyMap<string, Element>
}

/** Longest attribute value, in UTF-16 units: no attribute of these protocols comes near it. Choice; the caps of other stacks are the same. */
const VALUE_LENGTH = 65_536

/**
 * Reads a document.
 *
 * @throws {XmlError} ERR_XML_MALFORMED, _ENCODING, _VERSION, _DOCTYPE, _PI, _NAMESPACE, _BAD_ID, _DUPLICATE_ID, or
 * ERR_XML_LIMIT_ and the name of the limit
 */
export function readDocument(bytes: Uint8Array, limits: Limits): ReadDocument {
  const source = decode(bytes, limits)
  const { nodes, ids } = parse(source, limits, undefined, 'document')
  return { root: nodes[0] as Element, source, ids }
}

/**
 * Reads content (a decrypted plaintext) in the namespaces of the place where it will stand. Ids are those of the fragment
 * alone: whoever puts it into a document checks them against the document's.
 *
 * @throws {XmlError} as `readDocument`; also when the text closes what it did not open
 */
export function readFragment(text: string, scope: Scope | undefined, limits: Limits): ReadFragment {
  if (text.length > limits.messageBytes) throw over('messageBytes')
  return parse(wellFormed(text), limits, scope, 'fragment')
}

/**
 * Reads the one element that a caller wants to send, as strictly as what comes from outside.
 *
 * @throws {UsageError} with the code that `readDocument` would have given
 */
export function readElement(xml: string | Uint8Array, limits: Limits): Element {
  try {
    if (typeof xml !== 'string') return readDocument(xml, limits).root
    if (xml.length > limits.messageBytes) throw over('messageBytes')
    return parse(wellFormed(xml.startsWith(MARK) ? xml.slice(1) : xml), limits, undefined, 'document').nodes[0] as Element
  } catch (error) {
    if (error instanceof XmlError) throw new UsageError(error.code, error.message, { cause: error })
    throw error
  }
}

const MARK = '\uFEFF'
const UTF8 = new TextDecoder('utf-8', { fatal: true })

function decode(bytes: Uint8Array, limits: Limits): string {
  if (bytes.byteLength > limits.messageBytes) throw over('messageBytes')
  // UTF-16 without a byte order mark would be read as UTF-8 with NULs; say what it is.
  if (bytes[0] === 0 || bytes[1] === 0) throw new XmlError('ERR_XML_ENCODING', 'the document is not UTF-8')
  try {
    return UTF8.decode(bytes)
  } catch (cause) {
    throw new XmlError('ERR_XML_ENCODING', 'the document is not UTF-8', { cause })
  }
}

/** Half surrogate pairs cannot come out of UTF-8, but out of a caller's string; saxes does not look for them. */
function wellFormed(text: string): string {
  if (!text.isWellFormed()) throw new XmlError('ERR_XML_MALFORMED', 'the text has half a surrogate pair')
  return text
}

interface Handlers {
  errorHandler(error: Error): void
  doctypeHandler(): void
  piHandler(): void
  xmldeclHandler(declaration: XMLDecl): void
  commentHandler(): void
  cdataHandler(content: string): void
  textHandler(text: string): void
  openTagStartHandler(tag: { readonly name: string }): void
  attributeHandler(attribute: SaxesAttributeNSIncomplete): void
  openTagHandler(tag: SaxesTagNS): void
  closeTagHandler(tag: SaxesTagNS): void
}
/**
 * Puts the handlers where saxes 6 keeps them. Its own `on` stores under computed keys, and from the seventh V8 keeps the
 * parser as a dictionary; and a function that is written where a property is assigned V8 makes in the old generation,
 * where it holds its document until the next full collection. Each of the two doubles the time of reading. Under another
 * version of saxes no handler would be called, and every test of the reader would fail.
 */
function attach(parser: object, handlers: Handlers): void {
  const slots = parser as Handlers
  slots.errorHandler = handlers.errorHandler
  slots.doctypeHandler = handlers.doctypeHandler
  slots.piHandler = handlers.piHandler
  slots.xmldeclHandler = handlers.xmldeclHandler
  slots.commentHandler = handlers.commentHandler
  slots.cdataHandler = handlers.cdataHandler
  slots.textHandler = handlers.textHandler
  slots.openTagStartHandler = handlers.openTagStartHandler
  slots.attributeHandler = handlers.attributeHandler
  slots.openTagHandler = handlers.openTagHandler
  slots.closeTagHandler = handlers.closeTagHandler
}

interface Frame { attributes: readonly Attribute[]; scope: Scope | undefined; start: number; /** Where the element's own nodes begin. */ mark: number }

// Not frozen: frozen arrays are of another kind to V8, and what reads trees would have two kinds to deal with.
const NO_ATTRIBUTES: Attribute[] = []
const NO_NODES: readonly Node[] = []
/** A fragment is read as the content of this element, so that all rules for content hold for it. */
const WRAPPER = '_'

function parse(source: string, limits: Limits, outer: Scope | undefined, kind: 'document' | 'fragment'): ReadFragment {
  // saxes drops a byte order mark of its own accord; the one that is allowed is gone already.
  if (source.startsWith(MARK)) throw new XmlError('ERR_XML_MALFORMED', 'a second byte order mark')
  if (kind === 'document') checkProlog(source)

  const ids = new Map<string, Element>()
  /** Elements are made when they end, from the frames of those that are open and the nodes that stand in them. Both lists are used again and again. */
  const frames: Frame[] = []
  const nodes: Node[] = []
  const declared: SaxesAttributeNSIncomplete[] = []
  let depth = 0
  let top = 0
  let attributeCount = 0
  let text = ''
  let start = 0
  let offset = 0
  let items = 0
  let units = 0
  /** The fragment's wrapper: not yet opened, open, or about to be closed by us. */
  let wrapper: 'before' | 'open' | 'closing' = 'before'

  /** A fragment's outer namespaces by prefix, gathered at the first question: asking the chain each time would cost its length. */
  let inherited: Map<string, string> | undefined
  const resolvePrefix = (prefix: string): string | undefined => {
    inherited ??= gather(outer)
    return inherited.get(prefix)
  }
  const parser = new SaxesParser({ xmlns: true, position: false, defaultXMLVersion: '1.0', forceXMLVersion: true, resolvePrefix })
  const malformed = (what: string, code = 'ERR_XML_MALFORMED'): XmlError => new XmlError(code, `line ${parser.line}: ${printable(what)}`)

  const countItem = (): void => { if (++items > limits.elements) throw over('elements') }
  /** In UTF-16 units, of which UTF-8 needs one byte each at least. */
  const countText = (length: number): void => {
    units += length
    if (units > limits.textBytes) throw over('textBytes')
  }
  const addText = (more: string): void => {
    if (depth === 0 && kind === 'document') return
    countText(more.length)
    text = text === '' ? more : text + more
  }
  const endText = (): void => {
    if (text === '') return
    nodes[top++] = new Text(text)
    text = ''
  }

  const errorHandler = (error: Error): never => { throw malformed(error.message, error.message.includes('doctype') ? 'ERR_XML_DOCTYPE' : undefined) }
  const doctypeHandler = (): never => { throw malformed('a document type declaration', 'ERR_XML_DOCTYPE') }
  // SOAP 1.2 §5: a message has no document type declaration and no processing instructions.
  const piHandler = (): never => { throw malformed('a processing instruction', 'ERR_XML_PI') }
  const xmldeclHandler = ({ version, encoding }: XMLDecl): void => {
    if (version !== '1.0') throw malformed('not XML 1.0', 'ERR_XML_VERSION')
    if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') throw malformed('the declared encoding is not UTF-8', 'ERR_XML_ENCODING')
  }
  // Comments and CDATA sections cost as much as elements to read, so they count as such.
  const cdataHandler = (content: string): void => {
    countItem()
    addText(content)
  }

  const openTagStartHandler = (tag: { readonly name: string }): void => {
    if (kind === 'fragment' && wrapper === 'before') return
    endText()
    countItem()
    if (depth >= limits.depth) throw over('depth')
    if (tag.name.length > limits.nameLength) throw over('nameLength')
    start = source.lastIndexOf('<', parser.position - offset - 1)
  }
  const attributeHandler = (attribute: SaxesAttributeNSIncomplete): void => {
    declared[attributeCount++] = attribute
    if (attributeCount > limits.attributes) throw over('attributes')
    if (attribute.name.length > limits.nameLength) throw over('nameLength')
    if (attribute.value.length > VALUE_LENGTH) throw over('attributeValue')
    // A namespace name is compared and hashed with every attribute that has it, so a long one would cost its length each time.
    if (attribute.value.length > limits.nameLength && (attribute.prefix === 'xmlns' || attribute.name === 'xmlns')) throw over('nameLength')
    countText(attribute.value.length)
  }
  const openTagHandler = (tag: SaxesTagNS): void => {
    if (kind === 'fragment' && wrapper === 'before') {
      wrapper = 'open'
      return
    }
    checkLocal(tag)
    let scope = depth === 0 ? outer : (frames[depth - 1] as Frame).scope
    let attributes = NO_ATTRIBUTES
    for (let at = 0; at < attributeCount; at++) {
      // The handler got the attribute before saxes resolved its prefix; by now it has.
      const attribute = declared[at] as SaxesAttributeNS
      checkLocal(attribute)
      const { prefix, local, value, uri } = attribute
      if (uri !== NS.xmlns) {
        if (attributes === NO_ATTRIBUTES) attributes = [{ prefix, local, ns: uri, value }]
        else attributes.push({ prefix, local, ns: uri, value })
      } else if (prefix !== '' && local === 'xml') {
        // saxes trims before it compares.
        if (value !== NS.xml) throw malformed('the prefix xml declared for another namespace', 'ERR_XML_NAMESPACE')
      } else scope = { prefix: prefix === '' ? '' : local, uri: namespaceName(value), outer: scope }
    }
    attributeCount = 0
    const frame = frames[depth]
    if (frame === undefined) frames.push({ attributes, scope, start, mark: top })
    else {
      frame.attributes = attributes
      frame.scope = scope
      frame.start = start
      frame.mark = top
    }
    depth++
  }
  const closeTagHandler = (tag: SaxesTagNS): void => {
    endText()
    if (depth === 0) {
      if (wrapper !== 'closing') throw malformed('the fragment closes an element that it did not open')
      return
    }
    const { attributes, scope, start, mark } = frames[--depth] as Frame
    const children = top === mark ? NO_NODES : nodes.slice(mark, top)
    const element = new Element(tag.prefix, tag.local, tag.uri, attributes, children, scope, start, parser.position - offset)
    nodes[mark] = element
    top = mark + 1
    for (const attribute of attributes) if (isId(attribute, tag.uri)) addId(attribute.value, element)
  }

  attach(parser, {
    errorHandler, doctypeHandler, piHandler, xmldeclHandler, cdataHandler, openTagStartHandler, attributeHandler, openTagHandler, closeTagHandler,
    commentHandler: countItem, textHandler: addText,
  })

  const checkLocal = ({ prefix, local }: { readonly prefix: string; readonly local: string }): void => {
    // Namespaces in XML §4: the part after the colon begins like a name too. saxes looks at the whole name's beginning only.
    if (prefix !== '' && !startsName(local)) throw malformed(`malformed name: ${prefix}:${local}`)
  }
  const namespaceName = (uri: string): string => {
    // Relative names have no meaning (Namespaces in XML, errata) and make canonicalisers disagree; spaces would be
    // trimmed by some readers; quotes and angle brackets stand in no IRI.
    if (uri !== '' && !/^[A-Za-z][A-Za-z0-9+.-]*:[^\s\0-\x20\x7F-\x9F<>"{}|\\^`]*$/.test(uri)) throw malformed(`not an absolute namespace name: ${uri}`, 'ERR_XML_NAMESPACE')
    return uri
  }
  const addId = (id: string, element: Element): void => {
    if (!NCNAME.test(id)) throw malformed(`not an id: ${id}`, 'ERR_XML_BAD_ID')
    if (ids.has(id)) throw malformed(`the id stands twice: ${id}`, 'ERR_XML_DUPLICATE_ID')
    if (ids.size >= limits.ids) throw over('ids')
    ids.set(id, element)
  }

  if (kind === 'fragment') {
    parser.write(`<${WRAPPER}>`)
    offset = WRAPPER.length + 2
  }
  parser.write(source)
  if (kind === 'fragment') {
    if (depth > 0) throw malformed('the fragment leaves an element open')
    // The end tag begins with '<', so it ends text and completes nothing that the fragment left half done.
    wrapper = 'closing'
    parser.write(`</${WRAPPER}>`)
  }
  parser.close()
  return { nodes: nodes.slice(0, top), ids }
}

function gather(scope: Scope | undefined): Map<string, string> {
  const uris = new Map<string, string>()
  for (let at = scope; at !== undefined; at = at.outer) if (!uris.has(at.prefix)) uris.set(at.prefix, at.uri)
  return uris
}

/**
 * The document type declaration is refused at its first letters, before anything in it is looked at; so is a processing
 * instruction before the root. All else in the prolog is left to the parser.
 */
function checkProlog(source: string): void {
  let at = 0
  if (/^<\?xml[\s?]/.test(source)) {
    at = source.indexOf('?>')
    if (at < 0) return
    at += 2
  }
  for (;;) {
    while (/[ \t\r\n]/.test(source.charAt(at))) at++
    if (!source.startsWith('<!--', at)) break
    at = source.indexOf('-->', at + 4)
    if (at < 0) return
    at += 3
  }
  if (/^<!d/i.test(source.slice(at, at + 3))) throw new XmlError('ERR_XML_DOCTYPE', 'a document type declaration')
  if (source.startsWith('<?', at) && at > 0) throw new XmlError('ERR_XML_PI', 'a processing instruction')
}

/** WSS 1.0 §4: wsu:Id everywhere, Id on elements of XML Signature and XML Encryption; xml:id; SAML's own ids. */
function isId({ ns, local }: Attribute, elementNs: string): boolean {
  if (ns === NS.wsu) return local === 'Id'
  if (ns === NS.xml) return local === 'id'
  if (ns !== '') return false
  if (local === 'Id') return elementNs === NS.ds || elementNs === NS.xenc
  return (local === 'ID' || local === 'AssertionID') && elementNs.startsWith('urn:oasis:names:tc:SAML:')
}

const NAME_START = 'A-Z_a-z\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u02FF\\u0370-\\u037D\\u037F-\\u1FFF\\u200C\\u200D\\u2070-\\u218F\\u2C00-\\u2FEF\\u3001-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFFD\\u{10000}-\\u{EFFFF}'
const NCNAME = new RegExp(`^[${NAME_START}][${NAME_START}\\-.0-9\\u00B7\\u0300-\\u036F\\u203F\\u2040]*$`, 'u')
const NON_ASCII_START = new RegExp(`^[${NAME_START}]`, 'u')

function startsName(local: string): boolean {
  const first = local.charCodeAt(0)
  if (first < 0x80) return (first >= 0x61 && first <= 0x7a) || (first >= 0x41 && first <= 0x5a) || first === 0x5f
  return NON_ASCII_START.test(local)
}

type ReaderLimit = 'messageBytes' | 'depth' | 'attributes' | 'elements' | 'textBytes' | 'nameLength' | 'ids' | 'attributeValue'
function over(limit: ReaderLimit): XmlError {
  return new XmlError(`ERR_XML_LIMIT_${limit.replace(/[A-Z]/g, '_$&').toUpperCase()}`, `the document is over the limit ${limit}`)
}

/** The parser's words quote the input: 64 characters in all are enough, and no control characters. */
const printable = (words: string): string => words.slice(0, 64).replace(/[\0-\x1F\x7F-\x9F\u2028\u2029]/g, ' ')
