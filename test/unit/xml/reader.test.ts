import { XmlDocument, XmlXPath } from 'libxml2-wasm'
import { describe, expect, test } from 'vitest'
import { UsageError, XmlError } from '../../../src/errors.ts'
import { DEFAULT_LIMITS, type Limits } from '../../../src/options.ts'
import { NS } from '../../../src/spec/versions.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { type ReadDocument, readDocument, readElement, readFragment } from '../../../src/xml/reader.ts'
import { type Element, type Scope, Text, lookup } from '../../../src/xml/tree.ts'
import { libxml2Canonical } from './c14n-oracle.ts'
import { compareReaders } from './reader-oracle.ts'

const bytes = (xml: string | Uint8Array): Uint8Array => (typeof xml === 'string' ? Buffer.from(xml, 'utf8') : xml)
const read = (xml: string | Uint8Array, limits: Partial<Limits> = {}): ReadDocument => readDocument(bytes(xml), { ...DEFAULT_LIMITS, ...limits })
function codeOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (error instanceof XmlError || error instanceof UsageError) return error.code
    throw error
  }
  return 'accepted'
}
function libxml2Takes(xml: string | Uint8Array): boolean {
  try {
    XmlDocument.fromBuffer(bytes(xml)).dispose()
    return true
  } catch {
    return false
  }
}
const utf16 = (xml: string, mark: string): Buffer => Buffer.from(mark + xml, 'utf16le')
const raw = (...parts: (string | number[])[]): Buffer => Buffer.concat(parts.map((part) => Buffer.from(part as string)))

// Every one is refused by both, us and libxml2.
const MALFORMED: readonly (readonly [what: string, xml: string | Uint8Array, code?: string])[] = [
  ['nothing', ''],
  ['white space alone', ' \n'],
  ['text alone', 'text'],
  ['a comment alone', '<!-- x -->'],
  ['an XML declaration alone', '<?xml version="1.0"?>'],
  ['two roots', '<a/><b/>'],
  ['text before the root', 'x<a/>'],
  ['text after the root', '<a/>x'],
  ['a character reference after the root', '<a/>&#32;'],
  ['CDATA before the root', '<![CDATA[]]><a/>'],
  ['CDATA after the root', '<a/><![CDATA[]]>'],
  ['an element left open', '<a>'],
  ['an inner element left open', '<a><b></a>'],
  ['an element that was not opened is closed', '<a></a></b>'],
  ['elements that cross', '<a><b></a></b>'],
  ['another case in the end tag', '<a></A>'],
  ['another prefix for the same namespace in the end tag', '<p:a xmlns:p="urn:x" xmlns:q="urn:x"></q:a>'],
  ['an attribute in the end tag', '<a></a b="">'],
  ['a space before the name in the end tag', '<a></ a>'],
  ['an empty end tag', '<a></>'],
  ['a start tag that breaks off', '<a'],
  ['a start tag that breaks off in a value', '<a b="'],
  ['an end tag that breaks off', '<a></a'],
  ['a space before the name in the start tag', '< a/>'],
  ['a space after the slash of an empty tag', '<a/ >'],
  ['a name that begins with a digit', '<1a/>'],
  ['a name that begins with a hyphen', '<-a/>'],
  ['a name that begins with a dot', '<.a/>'],
  ['a name with a character that is none', '<a$/>'],
  ['a name that begins with U+0300', '<\u0300a/>'],
  ['a name with U+00D7', '<a\u00D7/>'],
  ['an attribute without a value', '<a b/>'],
  ['an attribute without quotes', '<a b=c/>'],
  ['quotes that do not match', `<a b="c'/>`],
  ['no white space between attributes', '<a b="1"c="2"/>'],
  ['a value with <', '<a b="<"/>'],
  ['a value with a bare &', '<a b="&"/>'],
  ['the same attribute twice', '<a b="1" b="2"/>'],
  ['the same attribute twice under two prefixes', '<a xmlns:p="urn:x" xmlns:q="urn:x" p:b="1" q:b="2"/>'],
  ['the same declaration twice', '<a xmlns:p="urn:x" xmlns:p="urn:x"/>'],
  ['the default namespace declared twice', '<a xmlns="urn:x" xmlns="urn:x"/>'],
  ['an undeclared prefix in a name', '<p:a/>'],
  ['an undeclared prefix in an attribute', '<a p:b=""/>'],
  ['a prefix used outside its element', '<a><b xmlns:p="urn:x"/><p:c/></a>'],
  ['a prefix undeclared', '<a xmlns:p="urn:x"><b xmlns:p=""/></a>'],
  ['an empty namespace name', '<a xmlns:p=""/>'],
  ['a namespace name that is white space', '<a xmlns:p=" "/>'],
  ['a namespace name with white space around', '<a xmlns:p=" urn:x "/>', 'ERR_XML_NAMESPACE'],
  ['an empty prefix', '<:a/>'],
  ['an empty local name', '<p: xmlns:p="urn:x"/>'],
  ['two colons', '<p:a:b xmlns:p="urn:x"/>'],
  ['two colons in an attribute', '<a xmlns:p="urn:x" p:a:b=""/>'],
  ['a local name that begins with a digit', '<p:1a xmlns:p="urn:x"/>'],
  ['a local name that begins with a hyphen', '<p:-a xmlns:p="urn:x"/>'],
  ['a local name that begins with U+00B7', '<p:\u00B7a xmlns:p="urn:x"/>'],
  ['a local name in an attribute that begins with a digit', '<a xmlns:p="urn:x" p:1a=""/>'],
  ['a declared prefix that begins with a digit', '<a xmlns:1p="urn:x"/>'],
  ['the prefix xml for another namespace', '<a xmlns:xml="urn:x"/>'],
  ['the prefix xml with white space around its namespace', `<a xmlns:xml=" ${NS.xml}"/>`, 'ERR_XML_NAMESPACE'],
  ['another prefix for the xml namespace', `<a xmlns:p="${NS.xml}"/>`],
  ['the xml namespace as default', `<a xmlns="${NS.xml}"/>`],
  ['the prefix xmlns declared', `<a xmlns:xmlns="${NS.xmlns}"/>`],
  ['the prefix xmlns declared for another namespace', '<a xmlns:xmlns="urn:x"/>'],
  ['another prefix for the xmlns namespace', `<a xmlns:p="${NS.xmlns}"/>`],
  ['the xmlns namespace as default', `<a xmlns="${NS.xmlns}"/>`],
  ['an unknown entity', '<a>&x;</a>'],
  ['an entity named like a member of every object', '<a>&constructor;</a>'],
  ['an entity named __proto__', '<a>&__proto__;</a>'],
  ['an HTML entity', '<a>&nbsp;</a>'],
  ['an entity without a semicolon', '<a>&amp</a>'],
  ['an entity without a name', '<a>&;</a>'],
  ['a bare & in text', '<a> & </a>'],
  ['an entity in another case', '<a>&AMP;</a>'],
  ['a reference to character 0', '<a>&#0;</a>'],
  ['a reference to character 1', '<a>&#1;</a>'],
  ['a reference to half a pair', '<a>&#xD800;</a>'],
  ['a reference to both halves of a pair', '<a>&#xD83D;&#xDE00;</a>'],
  ['a reference to FFFE', '<a>&#xFFFE;</a>'],
  ['a reference beyond Unicode', '<a>&#x110000;</a>'],
  ['a reference far beyond Unicode', '<a>&#x100000041;</a>'],
  ['a reference with a capital X', '<a>&#X41;</a>'],
  ['a reference without digits', '<a>&#;</a>'],
  ['a reference without hex digits', '<a>&#x;</a>'],
  ['a decimal reference with hex digits', '<a>&#4A;</a>'],
  ['a reference with a sign', '<a>&#+65;</a>'],
  [']]> in text', '<a>]]></a>'],
  ['CDATA that does not end', '<a><![CDATA[</a>'],
  ['cdata in small letters', '<a><![cdata[]]></a>'],
  ['a comment that does not end', '<a><!-- </a>'],
  ['two hyphens in a comment', '<a><!-- -- --></a>'],
  ['three hyphens at the end of a comment', '<a><!-- ---></a>'],
  ['a processing instruction without a target', '<a><? x?></a>'],
  ['a NUL', '<a>\0</a>'],
  ['a control character in text', '<a>\x01</a>'],
  ['a control character in a value', '<a b="\x1F"/>'],
  ['a control character in a comment', '<a><!-- \x02 --></a>'],
  ['U+FFFE in text', '<a>\uFFFE</a>'],
  ['U+FFFF in text', '<a>\uFFFF</a>'],
  ['a form feed between attributes', '<a\fb=""/>'],
  ['a no-break space between attributes', '<a\u00A0b=""/>'],
  ['an XML declaration after white space', ' <?xml version="1.0"?><a/>', 'ERR_XML_PI'],
  ['an XML declaration inside', '<a><?xml version="1.0"?></a>'],
  ['an XML declaration after the root', '<a/><?xml version="1.0"?>'],
  ['an XML declaration in capitals', '<?XML version="1.0"?><a/>'],
  ['an XML declaration without a version', '<?xml encoding="UTF-8"?><a/>'],
  ['an XML declaration with the encoding first', '<?xml encoding="UTF-8" version="1.0"?><a/>'],
  ['an XML declaration with standalone before encoding', '<?xml version="1.0" standalone="yes" encoding="UTF-8"?><a/>'],
  ['an XML declaration with a third thing', '<?xml version="1.0" x="y"?><a/>'],
  ['an XML declaration without white space', '<?xml version="1.0"encoding="UTF-8"?><a/>'],
  ['standalone that is neither yes nor no', '<?xml version="1.0" standalone="maybe"?><a/>'],
  ['a version that is no number', '<?xml version="x"?><a/>'],
  ['an encoding that nobody knows', '<?xml version="1.0" encoding="x-none"?><a/>', 'ERR_XML_ENCODING'],
  ['UTF-16 declared, UTF-8 written', '<?xml version="1.0" encoding="UTF-16"?><a/>', 'ERR_XML_ENCODING'],
  ['two byte order marks', '\uFEFF\uFEFF<a/>'],
  ['UTF-8 with a byte that never stands there', raw('<a>', [0xff], '</a>'), 'ERR_XML_ENCODING'],
  ['UTF-8 that breaks off', raw('<a>', [0xe2, 0x82], '</a>'), 'ERR_XML_ENCODING'],
  ['overlong UTF-8', raw('<a>', [0xc1, 0xa1], '</a>'), 'ERR_XML_ENCODING'],
  ['an overlong <', raw([0xc0, 0xbc], 'a/>'), 'ERR_XML_ENCODING'],
  ['half a pair in UTF-8', raw('<a>', [0xed, 0xa0, 0x80], '</a>'), 'ERR_XML_ENCODING'],
  ['a pair in UTF-8 (CESU-8)', raw('<a>', [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80], '</a>'), 'ERR_XML_ENCODING'],
  ['UTF-8 beyond Unicode', raw('<a>', [0xf4, 0x90, 0x80, 0x80], '</a>'), 'ERR_XML_ENCODING'],
  ['Latin-1 without saying so', raw('<a>', [0xe4], '</a>'), 'ERR_XML_ENCODING'],
]

// Well-formed, or taken by libxml2, and refused here all the same.
const REFUSED: readonly (readonly [what: string, xml: string | Uint8Array, code: string])[] = [
  ['an empty DOCTYPE', '<!DOCTYPE a><a/>', 'ERR_XML_DOCTYPE'],
  ['a DOCTYPE with an entity', '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', 'ERR_XML_DOCTYPE'],
  ['a DOCTYPE after a comment', '<?xml version="1.0"?><!-- x --> <!DOCTYPE a><a/>', 'ERR_XML_DOCTYPE'],
  ['a DOCTYPE that names a file', '<!DOCTYPE a SYSTEM "/dev/urandom"><a/>', 'ERR_XML_DOCTYPE'],
  ['a DOCTYPE that names a host', '<!DOCTYPE a PUBLIC "-//x" "http://127.0.0.1:9/"><a/>', 'ERR_XML_DOCTYPE'],
  ['a DOCTYPE that makes an attribute an id', '<!DOCTYPE a [<!ATTLIST a x ID #IMPLIED y CDATA "1">]><a x="1"/>', 'ERR_XML_DOCTYPE'],
  ['a DOCTYPE with parameter entities', '<!DOCTYPE a [<!ENTITY % p "<!ENTITY e \'x\'>"> %p;]><a/>', 'ERR_XML_DOCTYPE'],
  ['a DOCTYPE with doubling entities', `<!DOCTYPE a [<!ENTITY e0 "ha">${Array.from({ length: 20 }, (_, at) => `<!ENTITY e${at + 1} "&e${at};&e${at};">`).join('')}]><a>&e3;</a>`, 'ERR_XML_DOCTYPE'],
  ['a processing instruction before the root', '<?x y?><a/>', 'ERR_XML_PI'],
  ['a processing instruction after a comment', '<!-- --><?x y?><a/>', 'ERR_XML_PI'],
  ['a style sheet', '<?xml version="1.0"?><?xml-stylesheet href="x"?><a/>', 'ERR_XML_PI'],
  ['a processing instruction inside', '<a><?x y?></a>', 'ERR_XML_PI'],
  ['a processing instruction that splits text', '<a>1<?x?>0</a>', 'ERR_XML_PI'],
  ['a processing instruction that swallows text', '<a>1<?x <b>2</b>?>0</a>', 'ERR_XML_PI'],
  ['a processing instruction after the root', '<a/><?x?>', 'ERR_XML_PI'],
  ['XML 1.1', '<?xml version="1.1"?><a/>', 'ERR_XML_VERSION'],
  ['an XML 1.x that nobody made', '<?xml version="1.7"?><a/>', 'ERR_XML_VERSION'],
  ['Latin-1', raw('<?xml version="1.0" encoding="ISO-8859-1"?><a>', [0xe4], '</a>'), 'ERR_XML_ENCODING'],
  ['Latin-1 that would be UTF-8', '<?xml version="1.0" encoding="ISO-8859-1"?><a/>', 'ERR_XML_ENCODING'],
  ['US-ASCII', '<?xml version="1.0" encoding="US-ASCII"?><a/>', 'ERR_XML_ENCODING'],
  ['UTF-16 with a byte order mark', utf16('<a/>', '\uFEFF'), 'ERR_XML_ENCODING'],
  ['UTF-16, the other way round', utf16('<a/>', '\uFEFF').swap16(), 'ERR_XML_ENCODING'],
  ['UTF-16 without a byte order mark', utf16('<?xml version="1.0" encoding="UTF-16LE"?><a/>', ''), 'ERR_XML_ENCODING'],
  ['a DOCTYPE in UTF-16', utf16('<!DOCTYPE a><a/>', '\uFEFF'), 'ERR_XML_ENCODING'],
  ['a relative namespace name', '<a xmlns="rel"/>', 'ERR_XML_NAMESPACE'],
  ['a relative namespace name for a prefix', '<a xmlns:p="../x"/>', 'ERR_XML_NAMESPACE'],
  ['a namespace name without a scheme', '<a xmlns:p="//example.com/"/>', 'ERR_XML_NAMESPACE'],
  ['a namespace name that is a fragment', '<a xmlns:p="#x"/>', 'ERR_XML_NAMESPACE'],
]
// libxml2 refuses these as no URIs; XML itself does not.
const NAMESPACES: readonly (readonly [what: string, xml: string, code: string])[] = [
  ['a default namespace name that is white space', '<a xmlns=" "/>', 'ERR_XML_NAMESPACE'],
  ['a namespace name with a quote that looks like an attribute', `<a xmlns:p='urn:x" Id="b'/>`, 'ERR_XML_NAMESPACE'],
  ['a namespace name with angle brackets', '<a xmlns:p="urn:&lt;x>"/>', 'ERR_XML_NAMESPACE'],
  ['a namespace name with braces', '<a xmlns:p="urn:{x}"/>', 'ERR_XML_NAMESPACE'],
  ['a namespace name with a line feed', '<a xmlns:p="urn:x&#10;y"/>', 'ERR_XML_NAMESPACE'],
  ['a namespace name with a no-break space behind it', '<a xmlns:p="urn:x\u00A0"/>', 'ERR_XML_NAMESPACE'],
  ['a namespace name with a control character', '<a xmlns:p="urn:x&#x85;"/>', 'ERR_XML_NAMESPACE'],
]

describe('what is refused', () => {
  test.each(MALFORMED.map(([what, xml, code]) => [what, xml, code ?? 'ERR_XML_MALFORMED'] as const))('%s', (_, xml, code) => {
    expect(codeOf(() => read(xml))).toBe(code)
    expect(libxml2Takes(xml)).toBe(false)
  })
  test.each(REFUSED)('%s, which libxml2 takes', (_, xml, code) => {
    expect(codeOf(() => read(xml))).toBe(code)
    expect(libxml2Takes(xml)).toBe(true)
  })
  test.each(NAMESPACES)('%s', (_, xml, code) => {
    expect(codeOf(() => read(xml))).toBe(code)
  })
  test('a DOCTYPE in another case', () => {
    expect(codeOf(() => read('<!doctype a><a/>'))).toBe('ERR_XML_DOCTYPE')
  })
  test('a DOCTYPE inside the root', () => {
    expect(codeOf(() => read('<a><!DOCTYPE a></a>'))).toBe('ERR_XML_DOCTYPE')
  })
  test('nothing in a DOCTYPE is looked at: what is behind its first letters may be anything', () => {
    expect(codeOf(() => read('<!DOCTYPE \0\x01'))).toBe('ERR_XML_DOCTYPE')
  })
  test('the table is as long as it should be', () => {
    expect(MALFORMED.length + REFUSED.length).toBeGreaterThan(100)
  })
})

describe('what is accepted reads as libxml2 reads it', () => {
  test.each([
    ['a byte order mark', '\uFEFF<a/>'],
    ['an XML declaration', '<?xml version="1.0" encoding="utf-8" standalone="no" ?><a/>'],
    ['an XML declaration with white space everywhere', `<?xml\tversion\n= '1.0'\r\n?>\n<a/>`],
    ['white space and comments around the root', '\n<!-- --> <a/>\t<!-- > --> '],
    ['a comment that begins with >', '<a><!-->--></a>'],
    ['white space in tags', '<a\nb\t=\r\n"c" ></a\n>'],
    ['entities', '<a b="&lt;&amp;&quot;&apos;&gt;">&lt;&amp;&quot;&apos;&gt;</a>'],
    ['character references', '<a>&#65;&#x41;&#x1F600;&#13;&#x10FFFF;&#x0000000041;</a>'],
    ['line ends', '<a b="1\r\n2\r3\n4\t5&#10;6">1\r\n2\r3\n4</a>'],
    ['CDATA', '<a>1<![CDATA[<&]]]]><![CDATA[>]]>2</a>'],
    ['half an end of CDATA', '<a>]] > ]&gt; ]]&gt;</a>'],
    ['names beyond ASCII', '<\u00E4:\u{10400} xmlns:\u00E4="urn:x" \u00E4:\uF900-1="\u{1F600}"/>'],
    ['names with hyphen, dot and digit', '<a-1.b _="" xmlns:p-1="urn:x" p-1:a.-1=""/>'],
    ['reserved names that only begin with xml', '<xmlfoo xmlbar="1"/>'],
    ['the xml prefix declared as it is', `<a xmlns:xml="${NS.xml}" xml:lang="en"/>`],
    ['a namespace undeclared and declared again', '<a xmlns="urn:a"><b xmlns=""><c xmlns="urn:a"/></b></a>'],
    ['U+0085 and U+2028, which XML 1.0 takes as they are', '<a b="\u0085\u2028">\u0085\u2028</a>'],
    ['names that every object has', '<constructor __proto__="1" toString="2" hasOwnProperty="3" xmlns:__proto__="urn:x" __proto__:valueOf="4"><__proto__ xmlns="urn:y"/></constructor>'],
    ['the last characters of Unicode', '<a>\uFFFD\u{1FFFE}\u{10FFFF}</a>'],
  ])('%s', (_, xml) => {
    const parsed = XmlDocument.fromBuffer(bytes(xml))
    try {
      expect(canonicalize(read(xml).root)).toBe(libxml2Canonical(parsed.root))
    } finally {
      parsed.dispose()
    }
  })
})

test('10,000 documents with a few characters changed are taken or refused as libxml2 does, and read the same', () => {
  const { differences, accepted } = compareReaders(7, 10_000)
  expect(differences).toEqual([])
  expect(accepted).toBeGreaterThan(1_000)
})

describe('the tree', () => {
  test('comments and CDATA do not split text: there is one Text', () => {
    const { root } = read('<a>urn:uuid:seq<!--x-->-A<![CDATA[-]]>&#66;<b/>1<!-- -->0</a>')
    expect(root.children.map((child) => (child instanceof Text ? child.value : child.local))).toEqual(['urn:uuid:seq-A-B', 'b', '10'])
    expect(root.text).toBe('urn:uuid:seq-A-B10')
    expect(canonicalize(root)).toBe('<a>urn:uuid:seq-A-B<b></b>10</a>')
  })

  test('parents, namespaces and offsets are known', () => {
    const xml = '\uFEFF<?xml version="1.0"?>\r\n<s:a xmlns:s="urn:s" xmlns="urn:d">\u{1F600}<b\r\nx="1"/><s:c \n><d></d ></s:c ></s:a >\n'
    const { root, source } = read(xml)
    expect(source).toBe(xml.slice(1))
    const parts = (element: Element): string[] => [source.slice(element.start, element.end), ...element.elements().flatMap(parts)]
    expect(parts(root)).toEqual([xml.slice(24, -1), '<b\r\nx="1"/>', '<s:c \n><d></d ></s:c >', '<d></d >'])
    expect(root.elements().map((element) => [element.qname, element.parent === root])).toEqual([['{urn:d}b', true], ['{urn:s}c', true]])
    expect(root.children[0]?.parent).toBe(root)
    expect(root.parent).toBeUndefined()
  })

  test('an element without declarations shares the scope of its parent; others extend it', () => {
    const { root } = read('<a xmlns:p="urn:p"><b/><c xmlns="urn:c" xmlns:p="urn:q"><d/></c></a>')
    const [b, c] = root.elements()
    expect(b?.scope).toBe(root.scope)
    expect(c?.first('urn:c', 'd')?.scope).toBe(c?.scope)
    expect([lookup(c?.scope, 'p'), lookup(c?.scope, ''), lookup(root.scope, 'p'), lookup(root.scope, ''), lookup(root.scope, 'q')]).toEqual(['urn:q', 'urn:c', 'urn:p', '', undefined])
  })

  test('declarations are no attributes, and attributes without a prefix have no namespace', () => {
    expect(read('<a xmlns="urn:a" xmlns:p="urn:p" b="1" p:b="2"/>').root.attributes).toEqual([
      { prefix: '', local: 'b', ns: '', value: '1' }, { prefix: 'p', local: 'b', ns: 'urn:p', value: '2' },
    ])
  })

  test('it is the tree that libxml2 finds by XPath', () => {
    const xml = '<a xmlns:p="urn:p"><p:b x="1">t</p:b><b x="2"/></a>'
    const parsed = XmlDocument.fromString(xml)
    expect(parsed.get(XmlXPath.compile('/a/p:b', { p: 'urn:p' }))?.content).toBe(read(xml).root.first('urn:p', 'b')?.text)
    parsed.dispose()
  })
})

describe('ids', () => {
  const wsu = `xmlns:wsu="${NS.wsu}"`
  const ds = `xmlns:ds="${NS.ds}" xmlns:xenc="${NS.xenc}"`
  const saml = 'urn:oasis:names:tc:SAML:1.0:assertion'

  test('wsu:Id anywhere, Id on signature and encryption elements, xml:id, and the ids of SAML are ids', () => {
    const { ids, root } = read(`<a ${wsu} ${ds}><b wsu:Id="b"/><ds:KeyInfo Id="c"/><xenc:EncryptedData Id="d"/><e xml:id="e"/><f xmlns="${saml}" AssertionID="f"/><g xmlns="urn:oasis:names:tc:SAML:2.0:assertion" ID="g"/></a>`)
    expect([...ids].map(([id, element]) => [id, element.local])).toEqual([['b', 'b'], ['c', 'KeyInfo'], ['d', 'EncryptedData'], ['e', 'e'], ['f', 'f'], ['g', 'g']])
    expect(ids.get('b')).toBe(root.elements()[0])
  })

  test('attributes that only look like ids are none', () => {
    const { ids } = read(`<a ${wsu} ${ds} xmlns:x="urn:x" Id="1" ID="1" id="1" AssertionID="1" x:Id="1" wsu:id="1" wsu:ID="1" xml:Id="1" xml:ID="1"><ds:X ID="1" id="1" wsu:ID="1" ds:Id="1"/></a>`)
    expect(ids.size).toBe(0)
  })

  test.each([
    ['wsu:Id twice', '<b wsu:Id="x"/><b wsu:Id="x"/>'],
    ['wsu:Id and Id', '<b wsu:Id="x"/><ds:KeyInfo Id="x"/>'],
    ['wsu:Id and Id on one element', '<ds:KeyInfo Id="x" wsu:Id="x"/>'],
    ['wsu:Id and xml:id', '<b xml:id="x"/><b wsu:Id="x"/>'],
    ['wsu:Id and AssertionID', `<b xmlns="${saml}" AssertionID="x"/><b wsu:Id="x"/>`],
    ['one inside the other', '<b wsu:Id="x"><b wsu:Id="x"/></b>'],
    ['the same after a character reference', '<b wsu:Id="&#95;body"/><b wsu:Id="_body"/>'],
    ['the same under another prefix', `<b wsu:Id="x"/><b xmlns:u2="${NS.wsu}" u2:Id="x"/>`],
  ])('a duplicate is an error: %s', (_, inside) => {
    expect(codeOf(() => read(`<a ${wsu} ${ds}>${inside}</a>`))).toBe('ERR_XML_DUPLICATE_ID')
  })

  test.each(['', ' x', 'x ', '\tx', 'x\n', '&#10;x', 'a b', '1x', 'a:b', '#x', "x'", '-x', '\u00A0x', 'x&#x200B;'])('an id that is no NCName is an error: %j', (id) => {
    expect(codeOf(() => read(`<a ${wsu} wsu:Id="${id}"/>`))).toBe('ERR_XML_BAD_ID')
  })

  test.each(['x', '_x', 'uuid-1.2', 'constructor', '__proto__', 'toString', '\u00E4\u{10400}', 'x\u00B7'])('an ordinary id is one: %s', (id) => {
    expect([...read(`<a ${wsu} wsu:Id="${id}"/>`).ids.keys()]).toEqual([id])
  })
})

describe('caps', () => {
  const nested = (depth: number): string => '<a>'.repeat(depth) + '</a>'.repeat(depth)
  const times = (count: number, of: (at: number) => string): string => Array.from({ length: count }, (_, at) => of(at)).join('')
  test.each<readonly [what: string, limits: Partial<Limits>, within: string, over: string, code: string]>([
    ['bytes', { messageBytes: 10 }, '<a>123</a>', '<a>12\u00E4</a>', 'ERR_XML_LIMIT_MESSAGE_BYTES'],
    ['depth', {}, nested(64), nested(65), 'ERR_XML_LIMIT_DEPTH'],
    ['depth of empty elements', { depth: 2 }, '<a><b/></a>', '<a><b><c/></b></a>', 'ERR_XML_LIMIT_DEPTH'],
    ['attributes', {}, `<a ${times(64, (at) => `x${at}="" `)}/>`, `<a ${times(65, (at) => `x${at}="" `)}/>`, 'ERR_XML_LIMIT_ATTRIBUTES'],
    ['declarations', {}, `<a ${times(64, (at) => `xmlns:x${at}="urn:x" `)}/>`, `<a ${times(65, (at) => `xmlns:x${at}="urn:x" `)}/>`, 'ERR_XML_LIMIT_ATTRIBUTES'],
    ['elements', { elements: 3 }, '<a><b/><c/></a>', '<a><b/><c/><d/></a>', 'ERR_XML_LIMIT_ELEMENTS'],
    ['comments', { elements: 3 }, '<a><!-- --><!-- --></a>', '<a><!-- --><!-- --><!-- --></a>', 'ERR_XML_LIMIT_ELEMENTS'],
    ['comments before the root', { elements: 3 }, '<!-- --><!-- --><a/>', '<!-- --><!-- --><!-- --><a/>', 'ERR_XML_LIMIT_ELEMENTS'],
    ['CDATA sections', { elements: 3 }, '<a><![CDATA[]]><![CDATA[]]></a>', '<a><![CDATA[]]><![CDATA[]]><![CDATA[]]></a>', 'ERR_XML_LIMIT_ELEMENTS'],
    ['text', { textBytes: 4 }, '<a>12<b/>34</a>', '<a>12<b/>345</a>', 'ERR_XML_LIMIT_TEXT_BYTES'],
    ['text in values', { textBytes: 4 }, '<a b="12">34</a>', '<a b="12">345</a>', 'ERR_XML_LIMIT_TEXT_BYTES'],
    ['length of a name', {}, `<${'a'.repeat(1_024)}/>`, `<${'a'.repeat(1_025)}/>`, 'ERR_XML_LIMIT_NAME_LENGTH'],
    ['length of an attribute name', {}, `<a ${'a'.repeat(1_024)}=""/>`, `<a ${'a'.repeat(1_025)}=""/>`, 'ERR_XML_LIMIT_NAME_LENGTH'],
    ['length of a namespace name', {}, `<a xmlns="urn:${'a'.repeat(1_020)}"/>`, `<a xmlns="urn:${'a'.repeat(1_021)}"/>`, 'ERR_XML_LIMIT_NAME_LENGTH'],
    ['length of a namespace name with a prefix', {}, `<a xmlns:p="urn:${'a'.repeat(1_020)}"/>`, `<a xmlns:p="urn:${'a'.repeat(1_021)}"/>`, 'ERR_XML_LIMIT_NAME_LENGTH'],
    ['length of a value', {}, `<a b="${'x'.repeat(65_536)}"/>`, `<a b="${'x'.repeat(65_537)}"/>`, 'ERR_XML_LIMIT_ATTRIBUTE_VALUE'],
    ['ids', { ids: 2 }, '<a xml:id="a"><b xml:id="b"/></a>', '<a xml:id="a"><b xml:id="b"/><c xml:id="c"/></a>', 'ERR_XML_LIMIT_IDS'],
  ])('%s', (_, limits, within, over, code) => {
    expect(codeOf(() => read(within, limits))).toBe('accepted')
    expect(codeOf(() => read(over, limits))).toBe(code)
  })

  test('the caps hold while reading: what stands behind the point of refusal is never looked at', () => {
    // Behind each is something that would be another error if it were reached.
    expect(codeOf(() => read(`${'<a>'.repeat(65)}</b>`))).toBe('ERR_XML_LIMIT_DEPTH')
    expect(codeOf(() => read(`<a ${times(100, (at) => `x${at}="" `)} <`))).toBe('ERR_XML_LIMIT_ATTRIBUTES')
    expect(codeOf(() => read(`<a>${'<b/>'.repeat(50_000)}</c>`))).toBe('ERR_XML_LIMIT_ELEMENTS')
    expect(codeOf(() => read(`<a>12345<b/></c>`, { textBytes: 4 }))).toBe('ERR_XML_LIMIT_TEXT_BYTES')
  })

  test.each([
    ['depth 100,000', '<a>'.repeat(100_000), 'ERR_XML_LIMIT_DEPTH'],
    ['depth 100,000 with a declaration each', times(100_000, (at) => `<a xmlns:p${at}="urn:x">`), 'ERR_XML_LIMIT_DEPTH'],
    ['25,000 attributes', `<a ${times(25_000, (at) => `x${at}="" `)}/>`, 'ERR_XML_LIMIT_ATTRIBUTES'],
    ['10,000 declarations', `<a ${times(10_000, (at) => `xmlns:x${at}="urn:x" `)}/>`, 'ERR_XML_LIMIT_ATTRIBUTES'],
    ['200,000 elements', `<a>${'<b/>'.repeat(200_000)}</a>`, 'ERR_XML_LIMIT_ELEMENTS'],
    ['200,000 comments', `<a>${'<!---->'.repeat(200_000)}</a>`, 'ERR_XML_LIMIT_ELEMENTS'],
    ['200,000 CDATA sections', `<a>${'<![CDATA[x]]>'.repeat(200_000)}</a>`, 'ERR_XML_LIMIT_ELEMENTS'],
    ['20 MB of text', `<a>${'x'.repeat(20_000_000)}</a>`, 'ERR_XML_LIMIT_MESSAGE_BYTES'],
    ['a million character references', `<a>${'&#65;'.repeat(1_000_000)}</a>`, 'ERR_XML_LIMIT_MESSAGE_BYTES'],
    ['800,000 character references', `<a>${'&#65;'.repeat(800_000)}</a>`, 'accepted'],
    ['4 MB of comment', `<a><!--${'- '.repeat(2_000_000)}--></a>`, 'accepted'],
    ['4 MB of ] in CDATA', `<a><![CDATA[${'] '.repeat(2_000_000)}]]></a>`, 'accepted'],
    ['5,001 children', `<a>${'<b/>'.repeat(5_001)}</a>`, 'accepted'],
    ['50,000 elements', `<a>${'<b/>'.repeat(49_999)}</a>`, 'accepted'],
    ['a name of 4 MB', `<${'a'.repeat(4_000_000)}/>`, 'ERR_XML_LIMIT_NAME_LENGTH'],
    ['an entity name of 4 MB', `<a>&${'a'.repeat(4_000_000)};</a>`, 'ERR_XML_MALFORMED'],
  ])('hostile size: %s', (_, xml, code) => {
    expect(codeOf(() => read(xml))).toBe(code)
  })

  test('text that comes in 100,000 pieces becomes one Text, whole', () => {
    const { root } = read(`<a>${'x&amp;<!---->'.repeat(40_000)}${'y&lt;'.repeat(60_000)}</a>`)
    expect(root.children).toHaveLength(1)
    expect(root.text).toBe('x&'.repeat(40_000) + 'y<'.repeat(60_000))
  })
})

describe('fragments', () => {
  const scope = read('<a xmlns="urn:d" xmlns:s="urn:s"/>').root.scope
  const fragment = (text: string, at: Scope | undefined = scope, limits: Partial<Limits> = {}): ReturnType<typeof readFragment> => readFragment(text, at, { ...DEFAULT_LIMITS, ...limits })

  test('names have the namespaces of the place, and can be taken back by it', () => {
    const { nodes } = fragment('1<b/><s:c xmlns:s="urn:t" s:x=""/><s:d xmlns=""><e/></s:d>2')
    expect(nodes.map((node) => (node instanceof Text ? node.value : node.qname))).toEqual(['1', '{urn:d}b', '{urn:t}c', '{urn:s}d', '2'])
    expect((nodes[3] as Element).elements()[0]?.qname).toBe('{}e')
    expect((nodes[1] as Element).scope).toBe(scope)
    expect(nodes.every((node) => node.parent === undefined)).toBe(true)
  })

  test('offsets count in the text of the fragment', () => {
    const text = '1<b><c/></b>'
    const [, b] = fragment(text).nodes as [Text, Element]
    expect([text.slice(b.start, b.end), text.slice(b.elements()[0]?.start, b.elements()[0]?.end)]).toEqual(['<b><c/></b>', '<c/>'])
  })

  test('text, nothing at all, comments, references and line ends are content', () => {
    const texts = (text: string): unknown[] => fragment(text).nodes.map((node) => (node as Text).value)
    expect(texts('')).toEqual([])
    expect(texts('<!-- x -->')).toEqual([])
    expect(texts(' 1<!-- -->&#50;<![CDATA[<]]>\r\n')).toEqual([' 12<\n'])
    expect(texts('1\r')).toEqual(['1\n'])
    expect(texts(']')).toEqual([']'])
  })

  test('ids are those of the fragment', () => {
    expect([...fragment(`<b xml:id="x"/><c xmlns:u="${NS.wsu}" u:Id="y"/>`).ids.keys()]).toEqual(['x', 'y'])
    expect(codeOf(() => fragment('<b xml:id="x"/><c xml:id="x"/>'))).toBe('ERR_XML_DUPLICATE_ID')
  })

  test.each(([
    ['</s:Body><s:Body>'], ['</_><_>'], ['</_>'], ['<_>'], ['</_></_>'], ['<b>'], ['</b>'], ['<b></b></b>'], ['<b></c>'], ['<_></_></_><_>'],
    ['<!-- '], ['<![CDATA['], ['<b x="'], ['<b x="></_>'], ['<b'], ['<'], ['&'], ['&amp'], ['&x;'], [']]>'], ['1 ]]> 2'], ['\0'], ['\uFEFF<b/>'], ['\uD800'], ['1\uD83D'], ['<b x="\uDE00"/>'],
    ['<p:b/>'], ['<b p:x=""/>'], ['<b xmlns:s=""/>'], ['<b xmlns="rel"/>', 'ERR_XML_NAMESPACE'], ['<?xml version="1.0"?><b/>'], ['<?x?>', 'ERR_XML_PI'], ['<!DOCTYPE b>', 'ERR_XML_DOCTYPE'],
    ['<!DOCTYPE b [<!ENTITY e "x">]><b>&e;</b>', 'ERR_XML_DOCTYPE'],
  ] as [string, string?][]).map(([text, code]) => [text, code ?? 'ERR_XML_MALFORMED'] as const))('%j is refused', (text, code) => {
    expect(codeOf(() => fragment(text))).toBe(code)
  })

  test('without a scope no prefix is known', () => {
    expect((readFragment('<b/>', undefined, DEFAULT_LIMITS).nodes[0] as Element).qname).toBe('{}b')
    expect(codeOf(() => readFragment('<s:b/>', undefined, DEFAULT_LIMITS))).toBe('ERR_XML_MALFORMED')
  })

  test('a prefix named like a member of every object is not known', () => {
    for (const prefix of ['constructor', '__proto__', 'toString']) expect(codeOf(() => fragment(`<${prefix}:b/>`))).toBe('ERR_XML_MALFORMED')
  })

  test('the same caps hold', () => {
    expect(codeOf(() => fragment('<b><c/></b>', scope, { depth: 2 }))).toBe('accepted')
    expect(codeOf(() => fragment('<b><c><d/></c></b>', scope, { depth: 2 }))).toBe('ERR_XML_LIMIT_DEPTH')
    expect(codeOf(() => fragment('<b/><c/><d/>', scope, { elements: 2 }))).toBe('ERR_XML_LIMIT_ELEMENTS')
    expect(codeOf(() => fragment('12345', scope, { textBytes: 4 }))).toBe('ERR_XML_LIMIT_TEXT_BYTES')
    expect(codeOf(() => fragment('12345', scope, { messageBytes: 4 }))).toBe('ERR_XML_LIMIT_MESSAGE_BYTES')
  })
})

describe('an element that the caller wants to send', () => {
  test('is read from text or bytes', () => {
    expect(canonicalize(readElement('\uFEFF<?xml version="1.0"?><a> <!-- x --><b/></a>\n', DEFAULT_LIMITS))).toBe('<a> <b></b></a>')
    expect(readElement(bytes('<a>\u00E4</a>'), DEFAULT_LIMITS).text).toBe('\u00E4')
  })
  test.each([
    ['', 'ERR_XML_MALFORMED'], ['text', 'ERR_XML_MALFORMED'], ['<a/><b/>', 'ERR_XML_MALFORMED'], ['<a>', 'ERR_XML_MALFORMED'], ['<a>\uD800</a>', 'ERR_XML_MALFORMED'],
    ['<!DOCTYPE a><a/>', 'ERR_XML_DOCTYPE'], ['<?x?><a/>', 'ERR_XML_PI'], ['<p:a/>', 'ERR_XML_MALFORMED'], ['</s:Body><s:Body>', 'ERR_XML_MALFORMED'],
  ])('%j is a UsageError', (xml, code) => {
    for (const form of [xml, bytes(xml)]) {
      if (xml.includes('\uD800') && form !== xml) continue
      const act = (): Element => readElement(form, DEFAULT_LIMITS)
      expect(act).toThrow(UsageError)
      expect(codeOf(act)).toBe(code)
    }
  })
  test('one that is too large is a UsageError', () => {
    expect(codeOf(() => readElement(`<a>${'x'.repeat(20)}</a>`, { ...DEFAULT_LIMITS, messageBytes: 10 }))).toBe('ERR_XML_LIMIT_MESSAGE_BYTES')
  })
})

test.each([
  `<${'x'.repeat(900)}:y/>`,
  `<a ${'x'.repeat(900)}:y=""/>`,
  `<a></${'x'.repeat(900)}>`,
  `<${'x'.repeat(900)}><b></${'x'.repeat(900)}>`,
  `<${'x'.repeat(900)}>`,
  `<${'x'.repeat(500)}:${'x'.repeat(500)}:x/>`,
  `<a xmlns:p="urn:${'x'.repeat(900)}" xmlns:q="urn:${'x'.repeat(900)}" p:a="" q:a=""/>`,
  `<a xmlns:p="${'x'.repeat(900)}"/>`,
  `<a xml:id="1${'x'.repeat(900)}"/>`,
  `<a xml:id="${'x'.repeat(900)}"><b xml:id="${'x'.repeat(900)}"/></a>`,
  `<a>&${'x'.repeat(900)};</a>`,
])('an error quotes no more than 64 characters of the input, and none that would break a line: case %#', (xml) => {
  let message = ''
  try {
    read(xml)
  } catch (error) {
    message = (error as Error).message
  }
  expect(message).not.toBe('')
  expect(/x{65}/.test(message)).toBe(false)
  expect(message).toMatch(/^[\x20-\x7E]+$/)
})
