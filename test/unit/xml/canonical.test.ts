import { globSync, readFileSync } from 'node:fs'
import { XmlDocument, type XmlElement } from 'libxml2-wasm'
import { describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { NS } from '../../../src/spec/versions.ts'
import { byCodePoint, canonicalBytes, canonicalize } from '../../../src/xml/canonical.ts'
import { readDocument, readFragment } from '../../../src/xml/reader.ts'
import { Element, Text, graft } from '../../../src/xml/tree.ts'
import { vocabulary } from '../../../src/xml/writer.ts'
import { MISTAKES, correct } from './c14n-mistakes.ts'
import { allElements, allLibxml2Elements, compare, libxml2Canonical } from './c14n-oracle.ts'

const read = (xml: string): Element => readDocument(Buffer.from(xml), DEFAULT_LIMITS).root
const inner = (xml: string, local: string): Element => {
  const found = allElements(read(xml)).find((element) => element.local === local)
  if (found === undefined) throw new Error(`no ${local}`)
  return found
}

describe('the rules, one by one', () => {
  test.each([
    ['an empty tag becomes a pair', '<a/>', '<a></a>'],
    ['white space in tags goes, in content stays', '<a  x = "1"\n> <b\t/> </a >', '<a x="1"> <b></b> </a>'],
    ['attributes in single quotes get double ones', `<a x='"'/>`, '<a x="&quot;"></a>'],
    ['text escapes', '<a>&lt;&gt;&amp;&quot;&apos;&#13;\t\n</a>', `<a>&lt;&gt;&amp;"'&#xD;\t\n</a>`],
    ['attribute escapes', '<a x="&lt;>&amp;&quot;&apos;&#13;&#10;&#9;"/>', `<a x="&lt;>&amp;&quot;'&#xD;&#xA;&#x9;"></a>`],
    ['line ends are normalised by the reader, not escaped', '<a>1\r\n2\r3</a>', '<a>1\n2\n3</a>'],
    ['CDATA becomes text', '<a><![CDATA[<&>]]></a>', '<a>&lt;&amp;&gt;</a>'],
    ['comments go', '<a>1<!-- 2 -->3<!----></a>', '<a>13</a>'],
    ['what stands outside the root goes', '<?xml version="1.0"?>\n<!-- x --><a/>\n', '<a></a>'],
    ['character references become characters', '<a>&#x1F600;&#228;</a>', '<a>\u{1F600}\u00E4</a>'],
    ['declarations that no name uses go', '<a xmlns:p="urn:p"><b/></a>', '<a><b></b></a>'],
    ['declarations move to where they are used', '<a xmlns:p="urn:p"><p:b/><p:c/></a>', '<a><p:b xmlns:p="urn:p"></p:b><p:c xmlns:p="urn:p"></p:c></a>'],
    ['declarations that say what is in force go', '<p:a xmlns:p="urn:p"><p:b xmlns:p="urn:p"/></p:a>', '<p:a xmlns:p="urn:p"><p:b></p:b></p:a>'],
    ['a prefix is declared again when it changes, and again when it changes back', '<p:a xmlns:p="urn:1"><p:b xmlns:p="urn:2"><p:c xmlns:p="urn:1"/></p:b><p:d/></p:a>', '<p:a xmlns:p="urn:1"><p:b xmlns:p="urn:2"><p:c xmlns:p="urn:1"></p:c></p:b><p:d></p:d></p:a>'],
    ['xmlns="" only where a default namespace is in force', '<a xmlns=""><b xmlns="urn:b"><c xmlns=""><d/></c></b></a>', '<a><b xmlns="urn:b"><c xmlns=""><d></d></c></b></a>'],
    ['xmlns="" waits for an element without a prefix', '<a xmlns="urn:a"><p:b xmlns:p="urn:p" xmlns=""><c/></p:b></a>', '<a xmlns="urn:a"><p:b xmlns:p="urn:p"><c xmlns=""></c></p:b></a>'],
    ['declarations first, the default one before the others', '<a z="1" xmlns:q="urn:q" q:y="2" xmlns:p="urn:p" p:y="3" xmlns="urn:a"/>', '<a xmlns="urn:a" xmlns:p="urn:p" xmlns:q="urn:q" z="1" p:y="3" q:y="2"></a>'],
    ['attributes by namespace name, not by prefix', '<a xmlns:a="urn:2" xmlns:b="urn:1" a:x="1" b:x="2"/>', '<a xmlns:a="urn:2" xmlns:b="urn:1" b:x="2" a:x="1"></a>'],
    ['xml: needs no declaration', '<a xml:lang="de" xmlns:xml="http://www.w3.org/XML/1998/namespace" b="1"/>', '<a b="1" xml:lang="de"></a>'],
    ['names by code point', '<a \u{10400}="1" \uF900="2" z="3"/>', '<a z="3" \uF900="2" \u{10400}="1"></a>'],
    ['prefixes by code point', '<a xmlns:\u{10400}="urn:1" xmlns:\uF900="urn:2" \u{10400}:x="1" \uF900:x="2"/>', '<a xmlns:\uF900="urn:2" xmlns:\u{10400}="urn:1" \u{10400}:x="1" \uF900:x="2"></a>'],
    ['namespace names by code point', '<a xmlns:p="urn:\u{10400}" xmlns:q="urn:\uF900" p:x="1" q:x="2"/>', '<a xmlns:p="urn:\u{10400}" xmlns:q="urn:\uF900" q:x="2" p:x="1"></a>'],
    ['an ampersand in a namespace name is escaped', '<a xmlns="urn:a?b&amp;c"/>', '<a xmlns="urn:a?b&amp;c"></a>'],
  ])('%s', (_, xml, expected) => {
    expect(canonicalize(read(xml))).toBe(expected)
    expect(correct(read(xml))).toBe(expected)
  })

  // Exclusive C14N §2.2 shows why it exists: the part means the same in another envelope.
  test('a part has one canonical form whatever stands around it', () => {
    const part = '<n1:elem2 xmlns:n1="http://example.net" xml:lang="en"><n3:stuff xmlns:n3="ftp://example.org"/></n1:elem2>'
    const around = [`<n0:local xmlns:n0="foo:bar" xmlns:n3="ftp://example.org">${part}</n0:local>`, `<n2:pdu xmlns:n1="http://example.com" xmlns:n2="http://foo.example" xml:lang="fr">${part}</n2:pdu>`]
    for (const xml of around) {
      expect(canonicalize(inner(xml, 'elem2'))).toBe('<n1:elem2 xmlns:n1="http://example.net" xml:lang="en"><n3:stuff xmlns:n3="ftp://example.org"></n3:stuff></n1:elem2>')
    }
  })

  test('a part takes the namespaces that it uses from outside', () => {
    expect(canonicalize(inner('<a xmlns="urn:a" xmlns:p="urn:p" xmlns:q="urn:q"><b p:x="1"><p:c/></b></a>', 'b'))).toBe('<b xmlns="urn:a" xmlns:p="urn:p" p:x="1"><p:c></p:c></b>')
  })

  const listed = '<a xmlns="urn:a" xmlns:p="urn:p" xmlns:q="urn:q"><q:b><c xmlns="" xmlns:p="urn:p2"/></q:b></a>'
  test.each([
    [[], '<q:b xmlns:q="urn:q"><c></c></q:b>'],
    [['p'], '<q:b xmlns:p="urn:p" xmlns:q="urn:q"><c xmlns:p="urn:p2"></c></q:b>'],
    [['#default'], '<q:b xmlns="urn:a" xmlns:q="urn:q"><c xmlns=""></c></q:b>'],
    [['q', '#default', 'p', 'none', 'xml'], '<q:b xmlns="urn:a" xmlns:p="urn:p" xmlns:q="urn:q"><c xmlns="" xmlns:p="urn:p2"></c></q:b>'],
  ])('PrefixList %j is treated inclusively', (inclusivePrefixes, expected) => {
    expect(canonicalize(inner(listed, 'b'), { inclusivePrefixes })).toBe(expected)
    expect(correct(inner(listed, 'b'), { inclusivePrefixes })).toBe(expected)
  })

  test('namespaces that the output has rendered already are not declared again', () => {
    const part = inner('<a xmlns="urn:a" xmlns:p="urn:p"><b p:x="1"/></a>', 'b')
    expect(canonicalize(part, { rendered: new Map([['p', 'urn:p'], ['', 'urn:other']]) })).toBe('<b xmlns="urn:a" p:x="1"></b>')
    expect(canonicalize(read('<a/>'), { rendered: new Map([['', 'urn:other']]) })).toBe('<a xmlns=""></a>')
  })

  test('elements to omit go with all that is in them', () => {
    const root = read('<a>1<b><c/></b>2<b/></a>')
    expect(canonicalize(root, { omit: new Set([root.first('', 'b') as Element]) })).toBe('<a>12<b></b></a>')
  })

  test('a form that is much longer than its document is refused before it is made', () => {
    const uri = `urn:${'x'.repeat(1_000)}`
    const document = read(`<a xmlns:p="${uri}">${'<p:b/>'.repeat(40_000)}</a>`)
    expect(() => canonicalize(document)).toThrow(expect.objectContaining({ name: 'XmlError', code: 'ERR_XML_LIMIT_CANONICAL' }))
    expect(() => canonicalize(read('<a>123</a>'), { longest: 9 })).toThrow(expect.objectContaining({ code: 'ERR_XML_LIMIT_CANONICAL' }))
    expect(canonicalize(read('<a>123</a>'), { longest: 10 })).toBe('<a>123</a>')
  })

  test('the cost of a long PrefixList is that of the declarations in scope, and its result the same', () => {
    const prefixes = Array.from({ length: 10_000 }, (_, at) => `p${at}`)
    expect(canonicalize(inner('<a xmlns:p1="urn:1" xmlns:p20000="urn:2"><b><c/></b></a>', 'b'), { inclusivePrefixes: prefixes })).toBe('<b xmlns:p1="urn:1"><c></c></b>')
  })

  test('the bytes are the text in UTF-8', () => {
    expect(Buffer.from(canonicalBytes(read('<a>\u00E4\u{1F600}</a>'))).toString('hex')).toBe(Buffer.from('<a>\u00E4\u{1F600}</a>').toString('hex'))
  })

  test('code point order is that of the UTF-8 bytes', () => {
    const words = ['', 'a', 'ab', 'b', '\uD7FF', '\uE000', '\uF900', '\uFFFD', '\u{10000}', '\u{10400}', '\u{10400}a', '\u{1F600}', '\u{10FFFF}', 'a\uFFFD', 'a\u{10000}']
    for (const left of words) {
      for (const right of words) expect(Math.sign(byCodePoint(left, right))).toBe(Buffer.compare(Buffer.from(left), Buffer.from(right)))
    }
  })
})

describe('built trees', () => {
  const p = vocabulary('p', 'urn:p')
  const q = vocabulary('q', 'urn:q')

  test('names declare themselves, once', () => {
    expect(canonicalize(p('a', { x: '1' }, q.attribute('y', '2'), p('b', q('c')), vocabulary('', '')('d')))).toBe(
      '<p:a xmlns:p="urn:p" xmlns:q="urn:q" x="1" q:y="2"><p:b><q:c></q:c></p:b><d></d></p:a>')
  })

  test('a read element inside a built one keeps its meaning', () => {
    const part = inner('<a xmlns="urn:a" xmlns:p="urn:other"><p:b p:x="1"><c/></p:b></a>', 'b')
    expect(canonicalize(p('wrap', part))).toBe('<p:wrap xmlns:p="urn:p"><p:b xmlns:p="urn:other" p:x="1"><c xmlns="urn:a"></c></p:b></p:wrap>')
  })

  test('what was built canonicalises as what is read of it', () => {
    const built = p('a', { b: '<&">', '\u{10400}': '1', '\uF900': '2' }, q.attribute('b', '\r\n\t'), 'x & \r > ]]>', vocabulary('', 'urn:d')('d', vocabulary('', '')('e')))
    const text = canonicalize(built)
    expect(canonicalize(read(text))).toBe(text)
    expect(libxml2Canonical(XmlDocument.fromString(text).root)).toBe(text)
  })

  const attribute = (prefix: string, local: string, ns: string): { prefix: string; local: string; ns: string; value: string } => ({ prefix, local, ns, value: '' })
  test.each([
    ['one prefix for two namespaces in attributes', new Element('', 'a', '', [attribute('p', 'x', 'urn:1'), attribute('p', 'y', 'urn:2')], [])],
    ['one prefix for two namespaces in name and attribute', new Element('p', 'a', 'urn:1', [attribute('p', 'x', 'urn:2')], [])],
    ['an attribute with a namespace but no prefix', new Element('', 'a', '', [attribute('', 'x', 'urn:1')], [])],
    ['an attribute with a prefix but no namespace', new Element('', 'a', '', [attribute('p', 'x', '')], [])],
    ['an element with a prefix but no namespace', new Element('p', 'a', '', [], [])],
    ['one attribute twice', new Element('', 'a', '', [attribute('', 'x', ''), attribute('', 'x', '')], [])],
    ['one attribute twice under two prefixes', new Element('', 'a', '', [attribute('p', 'x', 'urn:1'), attribute('q', 'x', 'urn:1')], [])],
  ])('%s is a RangeError', (_, built) => {
    expect(() => canonicalize(built)).toThrow(RangeError)
  })
})

test('a fragment that was grafted canonicalises as if it had always stood there', () => {
  const whole = '<s:e xmlns:s="urn:s" xmlns="urn:d"><s:b xmlns:p="urn:p">1<p:x a="2"/><y xmlns=""><z/></y>3</s:b></s:e>'
  const root = read('<s:e xmlns:s="urn:s" xmlns="urn:d"><s:b xmlns:p="urn:p">1<cipher/>3</s:b></s:e>')
  const body = root.children[0] as Element
  graft(body, body.children[1] as Element, readFragment('<p:x a="2"/><y xmlns=""><z/></y>', body.scope, DEFAULT_LIMITS).nodes)
  expect(canonicalize(body)).toBe(canonicalize(read(whole).children[0] as Element))
  for (const prefix of ['#default', 'p', 's']) {
    expect(canonicalize(body, { inclusivePrefixes: [prefix] })).toBe(canonicalize(read(whole).children[0] as Element, { inclusivePrefixes: [prefix] }))
  }
})

describe('against libxml2', () => {
  test('2,000 generated documents have the same canonical form, whole and in parts', () => {
    const result = compare(canonicalize, 20, 2_000)
    expect(result.first).toBeUndefined()
    expect(result.compared).toBeGreaterThan(3_500)
  })

  test('the plain second canonicaliser agrees as well, so it may carry the planted mistakes', () => {
    expect(compare(correct, 21, 500).first).toBeUndefined()
  })

  test.each(MISTAKES)('a planted mistake is caught: %s', (_, mistaken) => {
    expect(compare(mistaken, 20, 500).differences).toBeGreaterThan(0)
  })

  const ID = new Set([`{${NS.wsu}}Id`, '{}Id', `{${NS.xml}}id`, '{}ID', '{}AssertionID'])
  const hasId = (element: Element): boolean => element.attributes.some(({ ns, local }) => ID.has(`{${ns}}${local}`))
  function compareMessage(bytes: Uint8Array): number {
    const ours = allElements(readDocument(bytes, DEFAULT_LIMITS).root)
    const parsed = XmlDocument.fromBuffer(bytes)
    try {
      const theirs = allLibxml2Elements(parsed.root)
      expect(theirs.length).toBe(ours.length)
      let compared = 0
      ours.forEach((element, at) => {
        if (at > 0 && !hasId(element) && element.local !== 'SignedInfo') return
        const expected = libxml2Canonical(theirs[at] as XmlElement)
        if (canonicalize(element) !== expected) expect(canonicalize(element)).toBe(expected)
        compared++
      })
      return compared
    } finally {
      parsed.dispose()
    }
  }

  const recorded = globSync('test/fixture/*/*.xml').sort()
  test('every recorded message has the same canonical form, whole, and in each part that has an id', () => {
    expect(recorded.length).toBeGreaterThanOrEqual(511)
    let parts = 0
    for (const file of recorded) parts += compareMessage(readFileSync(file))
    expect(parts).toBeGreaterThan(4_000)
  })

  const vectors = JSON.parse(readFileSync('test/vector/derived-key-vectors.json', 'utf8')) as {
    readonly messages: readonly { readonly name: string; readonly xml: string; readonly canonicalSignedInfo?: string; readonly canonicalBody?: string; readonly bodyPlaintext?: string }[]
    readonly negative: readonly { readonly name: string; readonly xml: string }[]
  }
  test('so has every message of the vectors', () => {
    for (const { xml } of vectors.messages) expect(compareMessage(Buffer.from(xml))).toBeGreaterThan(1)
  })

  test('SignedInfo of the vectors has the canonical form that they state', () => {
    let stated = 0
    for (const { xml, canonicalSignedInfo } of vectors.messages) {
      if (canonicalSignedInfo === undefined) continue
      const forms = allElements(read(xml)).filter((element) => element.is(NS.ds, 'SignedInfo')).map((element) => canonicalize(element))
      // An encrypted Signature shows its SignedInfo only after decryption.
      if (forms.length === 0) continue
      expect(forms).toContain(canonicalSignedInfo)
      stated++
    }
    expect(stated).toBe(7)
  })
})

test('text that follows text in a tree, as grafting by hand could leave it, is written as one', () => {
  expect(canonicalize(new Element('', 'a', '', [], [new Text('1'), new Text('<2')]))).toBe('<a>1&lt;2</a>')
})
