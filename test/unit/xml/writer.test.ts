import { describe, expect, test } from 'vitest'
import { UsageError } from '../../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { readDocument, readElement, readFragment } from '../../../src/xml/reader.ts'
import { Element, Text, lookup } from '../../../src/xml/tree.ts'
import { element, vocabulary, writeDocument, writeNodes } from '../../../src/xml/writer.ts'
import { allElements, generate, generator } from './c14n-oracle.ts'

const s = vocabulary('s', 'urn:soap')
const wsa = vocabulary('wsa', 'urn:wsa')
const wsu = vocabulary('wsu', 'urn:wsu')
const none = vocabulary('', '')
const read = (xml: string): Element => readDocument(Buffer.from(xml), DEFAULT_LIMITS).root

describe('building', () => {
  test('text, elements, attributes and lists become one element; what is undefined or empty is left out', () => {
    const built = wsa('To', { a: '1', b: undefined }, wsu.attribute('Id', 'to'), s.attribute('role', undefined), 'x', '', undefined, ['y', [none('e')], { c: '' }])
    expect(canonicalize(built)).toBe('<wsa:To xmlns:wsa="urn:wsa" xmlns:wsu="urn:wsu" a="1" c="" wsu:Id="to">xy<e></e></wsa:To>')
    expect(built.children.map((child) => child.constructor)).toEqual([Text, Element])
    expect(built.children.every((child) => child.parent === built)).toBe(true)
    expect(built.start).toBe(-1)
  })

  test('a name may come as three words', () => {
    expect(canonicalize(element('p', 'a', 'urn:p', [{ x: '1' }, 't']))).toBe('<p:a xmlns:p="urn:p" x="1">t</p:a>')
  })

  test.each(['\0', '\x01', '\x08', '\x0B', '\x0C', '\x1F', '\uFFFE', '\uFFFF', '\uD800', '\uDC00', 'a\uD83Db'])('a character that XML cannot hold is a UsageError: %j', (character) => {
    for (const act of [() => none('a', `x${character}`), () => none('a', { b: character }), () => wsu.attribute('Id', character)]) {
      expect(act).toThrow(UsageError)
      expect(act).toThrow(expect.objectContaining({ code: 'ERR_XML_CHARACTER' }))
    }
  })

  test('every other character comes back as it went', () => {
    const all = '\t\n\r\r\n\x7F\x80\x85\u2028\uD7FF\uE000\uFFFD\u{10000}\u{10FFFF} ]]> --> <!-- <![CDATA[ ]]> &amp; &#13; "\' <a/> <?x?> <!DOCTYPE a>'
    const back = read(writeDocument(none('a', { b: all }, all)))
    expect([back.text, back.attribute('b'), back.isLeaf]).toEqual([all, all, true])
  })
})

describe('the document', () => {
  const body = readElement('<o:Order xmlns:o="urn:o" xmlns:xs="urn:xs" xmlns="urn:d" xmlns:i="urn:i" i:type="xs:string"><line/><o:p xmlns:xs="urn:xs2" i:type="xs:t"/></o:Order>', DEFAULT_LIMITS)
  const envelope = s('Envelope', s('Header', wsa('To', wsu.attribute('Id', 'to'), 'http://a/?b&c'), wsa('Action', s.attribute('mustUnderstand', '1'), 'x')), s('Body', wsu.attribute('Id', 'body'), body))

  test('declarations for content stand on the root, and nothing declares again what is in force', () => {
    const text = writeDocument(s('Envelope', s('Header', wsa('To', wsu.attribute('Id', 'to'), 'x')), s('Body')), { wsu: 'urn:wsu', q: 'urn:q&' })
    expect(text).toBe('<s:Envelope xmlns:q="urn:q&amp;" xmlns:s="urn:soap" xmlns:wsu="urn:wsu"><s:Header><wsa:To xmlns:wsa="urn:wsa" wsu:Id="to">x</wsa:To></s:Header><s:Body></s:Body></s:Envelope>')
  })

  test('the exclusive canonical form of every element that was written is that of the element that was built', () => {
    for (const declarations of [{}, { wsu: 'urn:wsu', wsa: 'urn:other', o: 'urn:else' }, { '': 'urn:default' }]) {
      const root = '' in declarations ? s('Envelope', none('a', s('Body', none('b')), vocabulary('', 'urn:x')('c'))) : envelope
      const built = allElements(root)
      const received = allElements(read(writeDocument(root, declarations)))
      expect(received.map((each) => canonicalize(each))).toEqual(built.map((each) => canonicalize(each)))
    }
  })

  test('QNames in the content of a read body keep their meaning', () => {
    const [order, , inner] = allElements(read(writeDocument(envelope)).elements()[1]?.elements()[0] as Element)
    expect([lookup(order?.scope, 'xs'), lookup(inner?.scope, 'xs'), lookup(order?.scope, '')]).toEqual(['urn:xs', 'urn:xs2', 'urn:d'])
  })

  test('a prefix of the root that is declared for something else is a RangeError', () => {
    expect(() => writeDocument(envelope, { s: 'urn:other' })).toThrow(RangeError)
  })

  test('generated documents survive being read and written, in content and in canonical form of each part', () => {
    const random = generator(5)
    for (let count = 0; count < 500; count++) {
      const part = read(generate(random))
      const received = read(writeDocument(s('Envelope', s('Body', part)), { a: 'urn:a', '': 'urn:b' })).elements()[0]?.elements()[0] as Element
      expect(allElements(received).map((each) => canonicalize(each))).toEqual(allElements(part).map((each) => canonicalize(each)))
      for (const each of ['a', 'b', '', '\u00E9']) expect(lookup(received.scope, each) ?? '').toBe(lookup(part.scope, each) ?? (each === 'a' ? 'urn:a' : ''))
    }
  })
})

describe('nodes', () => {
  test('content that is written to be encrypted reads back in its place to the same parts', () => {
    const body = s('Body', 'a<', readElement('<o xmlns="urn:o" xmlns:q="urn:q">q:x</o>', DEFAULT_LIMITS), wsa('b'), '>')
    const text = writeNodes(body.children, new Map([['s', 'urn:soap'], ['wsa', 'urn:wsa']]))
    expect(text).toBe('a&lt;<o xmlns="urn:o" xmlns:q="urn:q">q:x</o><wsa:b></wsa:b>&gt;')
    const place = read('<s:Body xmlns:s="urn:soap" xmlns:wsa="urn:wsa"/>')
    const { nodes } = readFragment(text, place.scope, DEFAULT_LIMITS)
    expect(canonicalize(new Element('s', 'Body', 'urn:soap', [], nodes))).toBe(canonicalize(body))
  })

  test('an element that is taken out of a document stands alone, with every namespace that was in scope', () => {
    const part = read('<s:e xmlns:s="urn:s" xmlns:xs="urn:xs"><b xmlns="urn:b" type="xs:string"/></s:e>').elements()[0] as Element
    expect(writeNodes([part])).toBe('<b xmlns="urn:b" xmlns:s="urn:s" xmlns:xs="urn:xs" type="xs:string"></b>')
  })
})
