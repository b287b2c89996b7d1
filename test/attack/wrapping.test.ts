/** Signature wrapping and reference resolution: what was signed is moved, doubled or hidden, and something else stands in its place. */
import { describe, expect, test } from 'vitest'
import { readAddressing } from '../../src/soap/addressing.ts'
import { readReliable } from '../../src/soap/reliable.ts'
import { EXCLUSIVE_C14N, HMAC_SHA256 } from '../../src/spec/algorithms.ts'
import { NS, TOKEN } from '../../src/spec/versions.ts'
import {
  at, b0, b0eParts, BODY_TEXT, derived, DIALECT, DIALECTS, dkt, expectRefused, hidden, ID_A, ID_B, keyInfo, list, NONCE_SIGN, NOW, opening, type Parts, parts, reference, type Refusal, sct, SECRET_A,
  SECRET_B, SIGNED, type Signing, signature, signed, timestamp, withSecondKey, xmlOf,
} from './baseline.ts'

const REFUSED: Refusal = { fault: ['failedCheck', 'invalidSecurity'] }
const FORGED = '<op xmlns="urn:app">transfer 9999</op>'
const C14N = `<ds:Transform Algorithm="${EXCLUSIVE_C14N}"></ds:Transform>`
const wrapped = (xml: string): string => `<w:W xmlns:w="urn:w">${xml}</w:W>`

/** Where the signed element is put. Each is told the message, what was signed, and what takes its place. */
type Place = (xml: string, moved: string, forged: string) => string
const into = (anchor: RegExp | string, put: (moved: string, found: string) => string) => (original: string): Place => (xml, moved, forged) =>
  xml.replace(original, '\u0000').replace(anchor, (found) => put(moved, found)).replace('\u0000', forged)
const PLACES: Readonly<Record<string, (original: string) => Place>> = {
  'first in Header': into('<s:Header>', (moved, found) => found + moved),
  'last in Header': into('</s:Header>', (moved, found) => moved + found),
  'first in Security': into(/<wsse:Security[^>]*>/, (moved, found) => found + moved),
  'last in Security': into('</wsse:Security>', (moved, found) => moved + found),
  'before Header': into('<s:Header>', (moved, found) => moved + found),
  'after the last element': into('</s:Envelope>', (moved, found) => moved + found),
  'in ds:Object': into('</ds:Signature>', (moved, found) => `<ds:Object>${moved}</ds:Object>${found}`),
  'in ds:KeyInfo': into('</ds:KeyInfo>', (moved, found) => moved + found),
  'in SignatureValue': into('</ds:SignatureValue>', (moved, found) => moved + found),
  'in the Timestamp': into('</wsu:Timestamp>', (moved, found) => moved + found),
  'in the context token': into('</wsc:SecurityContextToken>', (moved, found) => moved + found),
  'in the Sequence': into('</wsrm:Sequence>', (moved, found) => moved + found),
  'in the forged element': (original) => (xml, moved, forged) => xml.replace(original, forged.replace(/(<\/[^>]+>)$/, (end) => moved + end)),
  'before the forged element': (original) => (xml, moved, forged) => xml.replace(original, moved + forged),
  'behind the forged element': (original) => (xml, moved, forged) => xml.replace(original, forged + moved),
}
/** What the element in the place of the signed one says its id is. */
const IDS: Readonly<Record<string, (id: string) => string>> = {
  'no id': () => '', 'a new id': () => ' wsu:Id="_new"', 'the same wsu:Id': (id) => ` wsu:Id="${id}"`, 'the same Id': (id) => ` Id="${id}"`, 'the same ID': (id) => ` ID="${id}"`,
  'the same id in lower case': (id) => ` id="${id}"`, 'the same xml:id': (id) => ` xml:id="${id}"`, 'the same Id of a foreign namespace': (id) => ` xmlns:f="urn:f" f:Id="${id}"`, 'the same AssertionID': (id) => ` AssertionID="${id}"`,
}

describe.each(DIALECTS)('%s', (_, dialect) => {
  const honest = b0(dialect)
  const original = parts(dialect)
  const targets = {
    Body: { signed: original.body, forged: (attributes: string) => `<s:Body${attributes}>${FORGED}</s:Body>`, id: '_body' },
    Sequence: { signed: original.headers[4] ?? '', forged: (attributes: string) => (original.headers[4] ?? '').replace(' wsu:Id="_seq"', attributes).replace('>1<', '>2<'), id: '_seq' },
    Timestamp: { signed: original.timestamp, forged: (attributes: string) => timestamp(at(NOW + 500), at(NOW + 300_500)).replace(' wsu:Id="_ts"', attributes), id: '_ts' },
    Action: { signed: original.headers[0] ?? '', forged: (attributes: string) => `<wsa:Action${attributes}>urn:app/other</wsa:Action>`, id: '_action' },
  }
  const cases = Object.entries(targets).flatMap(([name, target]) => Object.entries(PLACES).flatMap(([place, put]) => Object.entries(IDS).flatMap(([ids, attribute]) =>
    [true, false].map((wrapper) => ({ name, title: `${place}, ${ids}, ${wrapper ? 'wrapped' : 'bare'}`, xml: put(target.signed)(honest, wrapper ? wrapped(target.signed) : target.signed, target.forged(attribute(target.id))) })))))

  test('what is moved was really there, and is there again', () => {
    expect(cases).toHaveLength(4 * 15 * 9 * 2)
    expect(opening(honest).covered.size).toBe(7)
    for (const { xml } of cases) expect(xml).not.toBe(honest)
  })
  test.each(Object.keys(targets))('X1, X2, X5: the signed %s moved to any place, with any id on what is put there instead, is never believed', (target) => {
    for (const { title, xml } of cases.filter((each) => each.name === target)) {
      try {
        expectRefused(xml, REFUSED)
      } catch (error) {
        throw new Error(`${title}: ${(error as Error).message}`, { cause: error })
      }
    }
  })
  test.each(Object.keys(PLACES))('X1: the same with nothing in its place: %s', (place) => {
    const signedBody = targets.Body.signed
    expectRefused((PLACES[place] as (original: string) => Place)(signedBody)(honest, wrapped(signedBody), ''), REFUSED)
  })
  test('X2: two Sequence headers, the signed one first or last', () => {
    const second = targets.Sequence.forged('')
    for (const xml of [honest.replace(targets.Sequence.signed, targets.Sequence.signed + second), honest.replace(targets.Sequence.signed, second + targets.Sequence.signed)]) {
      expectRefused(xml, { fault: 'invalidSecurity', code: 'ERR_WSS_DUPLICATE_HEADER' })
    }
  })
  test('X3: the signed Sequence in a header for nobody: the reference is to no header', () => {
    const none = `<w:W xmlns:w="urn:w" s:${dialect.soap.roleAttribute}="http://www.w3.org/2003/05/soap-envelope/role/none">${targets.Sequence.signed}</w:W>`
    expectRefused(honest.replace(targets.Sequence.signed, none), { fault: 'failedCheck', code: 'ERR_WSS_COVERAGE' })
  })
  test('X4: a header that may be absent, moved to where it does nothing, is an error and not an absence', () => {
    const replyTo = original.headers[3] ?? ''
    const roleNone = `<w:W xmlns:w="urn:w" s:${dialect.soap.roleAttribute}="urn:nobody">${replyTo}</w:W>`
    for (const xml of [
      honest.replace(replyTo, roleNone), honest.replace(replyTo, '').replace(/<wsse:Security[^>]*>/, (start) => start + replyTo), honest.replace(replyTo, '').replace('</wsse:Security>', `${replyTo}</wsse:Security>`),
      honest.replace(replyTo, '').replace(BODY_TEXT, BODY_TEXT + replyTo), honest.replace(replyTo, ''),
    ]) expectRefused(xml, { fault: 'failedCheck' })
  })
  test('X5: two Timestamps', () => {
    for (const second of [timestamp(at(NOW), at(NOW + 60_000), '_ts2'), timestamp(at(NOW), at(NOW + 60_000)).replace(' wsu:Id="_ts"', '')]) {
      expectRefused(honest.replace(original.timestamp, original.timestamp + second), { fault: 'invalidSecurity' })
      expectRefused(honest.replace(original.timestamp, second + original.timestamp), { fault: 'invalidSecurity' })
    }
  })
  test('X6: a second Security header for us; the whole of it wrapped; for somebody else', () => {
    const security = /<wsse:Security .*<\/wsse:Security>/.exec(honest)?.[0] ?? ''
    const role = (uri: string): string => security.replace('<wsse:Security ', `<wsse:Security s:${dialect.soap.roleAttribute}="${uri}" `)
    expectRefused(honest.replace(security, `<wsse:Security></wsse:Security>${security}`), { fault: 'invalidSecurity', code: 'ERR_WSS_SHAPE' })
    expectRefused(honest.replace(security, `${security}<wsse:Security s:${dialect.soap.roleAttribute}=" "></wsse:Security>`), { fault: 'invalidSecurity', code: 'ERR_WSS_SHAPE' })
    expectRefused(honest.replace(security, wrapped(security)), { fault: 'invalidSecurity', code: 'ERR_WSS_NO_SECURITY' })
    expectRefused(honest.replace(security, role('urn:somebody')), { fault: 'invalidSecurity', code: 'ERR_WSS_NO_SECURITY' })
    // For somebody else and beside ours: a signature there is nobody's to us, and its ids still may not be ours.
    expectRefused(honest.replace(security, role('urn:somebody') + security), { fault: 'invalidSecurity', code: 'ERR_WSS_DUPLICATE_ID' })
    const foreign = role('urn:somebody').replaceAll('"_', '"_f').replaceAll('#_', '#_f').replace(/<ds:SignatureValue>[^<]+/, '<ds:SignatureValue>AAAA')
    expect(opening(honest.replace(security, foreign + security)).signer).toMatchObject({ identifier: ID_A })
  })
})

test('X7: an id that stands twice, in whichever attributes, however it is spelled', () => {
  const honest = b0()
  const doubled = (attribute: string): string => honest.replace('<op xmlns="urn:app">', `<op xmlns="urn:app" ${attribute}>`)
  for (const attribute of ['wsu:Id="_body"', 'xml:id="_body"', 'wsu:Id="&#95;body"', 'wsu:Id="&#x5f;body"', 'xml:id="_ts"']) expectRefused(doubled(attribute), { fault: 'invalidSecurity', code: 'ERR_WSS_DUPLICATE_ID' })
  for (const attribute of ['wsu:Id=" _body"', 'wsu:Id="\t_body"', 'wsu:Id="_body&#10;"', 'wsu:Id=""', 'wsu:Id="1"', 'wsu:Id="a:b"']) expectRefused(doubled(attribute), { fault: 'invalidSecurity', code: 'ERR_WSS_DUPLICATE_ID' })
  // On elements of signature and encryption `Id` is an id too; on others it is none, and nothing refers to it.
  expectRefused(honest.replace('<ds:SignedInfo ', '<ds:SignedInfo Id="_body" '), REFUSED)
  expectRefused(honest.replace('<ds:KeyInfo>', '<ds:KeyInfo Id="_ts">'), { fault: 'invalidSecurity', code: 'ERR_WSS_DUPLICATE_ID' })
  expect(opening(xmlOf(signed({ ...parts(), body: '<s:Body wsu:Id="_body"><op xmlns="urn:app" Id="_body">1</op></s:Body>' }))).covered.size).toBe(7)
})
test('X7: the same id in what was encrypted, against any other of the message', () => {
  for (const id of ['_body', '_ts', '_d1', '_sig', '_ed']) {
    const inside = `<op xmlns="urn:app" xmlns:wsu="${NS.wsu}" wsu:Id="${id}">transfer 10</op>`
    const given = b0eParts()
    expectRefused(xmlOf({ ...given, body: `<s:Body wsu:Id="_body">${hidden(DIALECT.sc, inside)}</s:Body>` }), { fault: 'failedCheck', code: 'ERR_WSS_DUPLICATE_ID' })
  }
})

test('X8: only #NCName is followed; nothing is fetched', () => {
  const uris = ['', '#', "#xpointer(id('_body'))", '#xpointer(/)', "#_b'ody", '#_body#_body', 'http://127.0.0.1:9/', 'file:///etc/passwd', 'cid:x', '_body', '#/1', '# _body', '#wsu:_body', '#_dangling', '#__proto__', '#constructor']
  for (const uri of uris) expectRefused(xmlOf(signed(parts(), { info: (info) => info.replace('URI="#_body"', `URI="${uri}"`) })), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
  expectRefused(xmlOf(signed(parts(), { info: (info) => info.replace(' URI="#_body"', '') })), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
  expectRefused(xmlOf(signed(parts(), { ids: [...SIGNED, '_body'] })), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
  // Two ids of one element are one element.
  const given = { ...parts(), body: `<s:Body wsu:Id="_body" xml:id="_too">${BODY_TEXT}</s:Body>` }
  expectRefused(xmlOf(signed(given, { ids: [...SIGNED, '_too'] })), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
})

describe('X9, X10: transforms and canonicalisation', () => {
  const transform = (algorithm: string, inside = ''): string => `<ds:Transform Algorithm="${algorithm}">${inside}</ds:Transform>`
  const xpath = '<ds:XPath>self::node()</ds:XPath>'
  const TRANSFORMS: Readonly<Record<string, string>> = {
    none: '', '200 times exclusive': C14N.repeat(200), twice: C14N + C14N,
    XPath: transform('http://www.w3.org/TR/1999/REC-xpath-19991116', xpath), 'XPath 2 filter': transform('http://www.w3.org/2002/06/xmldsig-filter2', xpath),
    XSLT: transform('http://www.w3.org/TR/1999/REC-xslt-19991116', '<x:stylesheet xmlns:x="http://www.w3.org/1999/XSL/Transform" version="1.0"></x:stylesheet>'),
    base64: transform(`${NS.ds}base64`), enveloped: transform(`${NS.ds}enveloped-signature`), inclusive: transform('http://www.w3.org/TR/2001/REC-xml-c14n-20010315'),
    'with comments': transform(`${EXCLUSIVE_C14N}WithComments`), 'STR-Transform without parameters': transform(TOKEN.strTransform), 'no algorithm': '<ds:Transform></ds:Transform>', 'a name of the language': transform('constructor'),
    'a PrefixList of 10,000 names': transform(EXCLUSIVE_C14N, `<ec:InclusiveNamespaces xmlns:ec="${NS.exc}" PrefixList="${Array.from({ length: 10_000 }, (_, at) => `p${at}`).join(' ')}"></ec:InclusiveNamespaces>`),
    'parameters of another kind': transform(EXCLUSIVE_C14N, xpath),
  }
  test.each(Object.keys(TRANSFORMS))('%s is refused before anything is computed', (name) => {
    const text = TRANSFORMS[name] ?? ''
    expectRefused(xmlOf(signed(parts(), { transform: (id) => (id === '_body' ? text : C14N) })), { fault: ['unsupportedAlgorithm', 'invalidSecurity'], code: /ERR_WSS_(ALGORITHM|STRUCTURE)/ })
  })
  test('a Reference without Transforms', () => expectRefused(xmlOf(signed(parts(), { info: (info) => info.replace(`<ds:Transforms>${C14N}</ds:Transforms>`, '') })), { fault: 'unsupportedAlgorithm' }))
  test('X9, X20: STR-Transform of a part, of a reference elsewhere, of a token that is not there', () => {
    const str = `<ds:Transform Algorithm="${TOKEN.strTransform}"><wsse:TransformationParameters xmlns:wsse="${NS.wsse}"><ds:CanonicalizationMethod Algorithm="${EXCLUSIVE_C14N}"></ds:CanonicalizationMethod></wsse:TransformationParameters></ds:Transform>`
    expectRefused(xmlOf(signed(parts(), { transform: (id) => (id === '_body' ? str : C14N) })), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
    const inBody = { ...parts(), body: `<s:Body wsu:Id="_body"><wsse:SecurityTokenReference wsu:Id="_str"><wsse:Reference URI="#_sct"/></wsse:SecurityTokenReference></s:Body>` }
    expectRefused(xmlOf(signed(inBody, { ids: [...SIGNED, '_str'], transform: (id) => (id === '_str' ? str : C14N) })), { fault: 'failedCheck', code: 'ERR_WSS_REFERENCE' })
    // A token signed by way of its reference covers the token and nothing else.
    const given = { ...parts(), lists: reference('#_sct', '').replace('<wsse:SecurityTokenReference', '<wsse:SecurityTokenReference wsu:Id="_str"') }
    const token = sct(DIALECT.sc).replace('<wsc:SecurityContextToken xmlns:wsc', '<wsc:SecurityContextToken xmlns="" xmlns:wsc').replace('wsu:Id', `xmlns:wsu="${NS.wsu}" wsu:Id`)
    const sign = (ids: readonly string[]): string => xmlOf(signed(given, { ids, transform: (id) => (id === '_str' ? str : C14N), text: (id) => (id === '_str' ? token : undefined) }))
    expect([...opening(sign([...SIGNED, '_str'])).covered].map((each) => each.local)).toContain('SecurityContextToken')
    expectRefused(sign([...SIGNED.filter((id) => id !== '_body'), '_str']), { fault: 'failedCheck', code: 'ERR_WSS_COVERAGE' })
  })
  test('CanonicalizationMethod: with comments, unknown, a decoy before it', () => {
    const method = (algorithm: string): Signing => ({ info: (info) => info.replace(`<ds:CanonicalizationMethod Algorithm="${EXCLUSIVE_C14N}">`, `<ds:CanonicalizationMethod Algorithm="${algorithm}">`) })
    for (const uri of [`${EXCLUSIVE_C14N}WithComments`, `${NS.ds}enveloped-signature`, 'urn:unknown', '']) expectRefused(xmlOf(signed(parts(), method(uri))), { fault: 'unsupportedAlgorithm' })
    const decoy = `<ds:CanonicalizationMethod Algorithm="${EXCLUSIVE_C14N}"></ds:CanonicalizationMethod>`
    expectRefused(xmlOf(signed(parts(), { signature: (text) => text.replace('<ds:SignedInfo', `${decoy}<ds:SignedInfo`) })), { fault: 'invalidSecurity' })
    expectRefused(xmlOf(signed(parts(), { info: (info) => info.replace('<ds:SignatureMethod', `${decoy}<ds:SignatureMethod`) })), { fault: 'invalidSecurity' })
  })
})

describe('X11, X12: decoys in the signature', () => {
  const broken = (edit: (text: string) => string): string => xmlOf(signed(parts(), { signature: edit }))
  const info = (text: string): string => /<ds:SignedInfo.*<\/ds:SignedInfo>/.exec(text)?.[0] ?? ''
  test('a SignatureMethod that is not signed beside one that is', () => {
    const decoy = `<ds:SignatureMethod Algorithm="${HMAC_SHA256.uri}"></ds:SignatureMethod>`
    const bogus = (text: string): string => text.replace(HMAC_SHA256.uri, 'urn:bogus')
    expectRefused(xmlOf(signed(parts(), { info: bogus, signature: (text) => text.replace('<ds:SignedInfo', `${decoy}<ds:SignedInfo`) })), { fault: ['invalidSecurity', 'unsupportedAlgorithm'] })
    expectRefused(xmlOf(signed(parts(), { info: (text) => bogus(text).replace('<ds:SignatureMethod', `${decoy}<ds:SignatureMethod`) })), { fault: ['invalidSecurity', 'unsupportedAlgorithm'] })
  })
  test('two SignedInfo, one in Object, none', () => {
    expectRefused(broken((text) => text.replace(info(text), info(text) + info(text))), { fault: 'invalidSecurity' })
    expectRefused(broken((text) => text.replace(info(text), '').replace('</ds:Signature>', `<ds:Object>${info(text)}</ds:Object></ds:Signature>`)), { fault: 'invalidSecurity' })
    expectRefused(broken((text) => text.replace(info(text), '')), { fault: 'invalidSecurity' })
  })
  test('no references; an empty value; no signature; a bogus one before the true one, or behind it', () => {
    expectRefused(xmlOf(signed(parts(), { ids: [] })), { fault: 'invalidSecurity' })
    expectRefused(broken((text) => text.replace(/<ds:SignatureValue>[^<]*/, '<ds:SignatureValue>')), { fault: 'invalidSecurity' })
    expectRefused(xmlOf(parts()), { fault: 'failedCheck', code: 'ERR_WSS_NO_SIGNATURE' })
    const bogus = (given: Parts): string => signature(given, { id: '_bogus', value: () => Buffer.alloc(32, 1) })
    const true_ = signature(parts())
    expectRefused(xmlOf({ ...parts(), signatures: bogus(parts()) + true_ }), { fault: 'failedCheck', code: 'ERR_WSS_MAC' })
    expectRefused(xmlOf({ ...parts(), signatures: true_ + bogus(parts()) }), { fault: 'failedCheck', code: 'ERR_WSS_MAC' })
    // Two that are both right, none over the other: which one is believed must not be a matter of order.
    expectRefused(xmlOf({ ...parts(), signatures: signature(parts(), { ids: ['_body'], id: '_one' }) + true_ }), { fault: 'invalidSecurity' })
    // Two that endorse each other leave none that covers the message.
    expectRefused(xmlOf({ ...parts(), signatures: true_.repeat(5).replaceAll('Id="_sig"', '') }), { fault: 'invalidSecurity' })
  })
  test('X13: something else than text in a value', () => {
    for (const name of ['DigestValue', 'SignatureValue']) {
      expectRefused(broken((text) => text.replace(`<ds:${name}>`, `<ds:${name}><x xmlns="">AAAA</x>`)), { fault: ['invalidSecurity', 'failedCheck'] })
    }
    // A comment is nothing: the value is read whole. One that holds the expected digest changes nothing.
    expect(opening(broken((text) => text.replace(/<ds:SignatureValue>/, '<ds:SignatureValue><!--AAAA-->'))).covered.size).toBe(7)
    const moved = broken((text) => text).replace('transfer 10', 'transfer 9999')
    expectRefused(moved.replace(/<ds:DigestValue>/g, '<ds:DigestValue><!--AAAA-->'), { fault: 'failedCheck', code: 'ERR_WSS_DIGEST' })
    expectRefused(xmlOf(signed(parts(), { info: (text) => text.replace(/(<ds:DigestValue>[^<]*<\/ds:DigestValue>)/, '$1$1') })), { fault: 'invalidSecurity' })
  })
})

test('X14: comments do not cut a text; what is read is what was signed', () => {
  const commented = b0().replace('urn:uuid:seq-A', 'urn:uuid:seq<!--x-->-A').replace('urn:app/op', 'urn:<!-- -->app/op').replace('<wsrm:MessageNumber>1', '<wsrm:MessageNumber><!-- -->1').replace(ID_A, 'urn:uuid:sct<!--x-->-A')
  const { envelope, signer } = opening(commented)
  expect(readReliable(envelope).sequence).toMatchObject({ id: 'urn:uuid:seq-A', number: 1n })
  expect(readAddressing(envelope)?.action).toBe('urn:app/op')
  expect(signer).toMatchObject({ identifier: ID_A })
  expectRefused(b0().replace('>1<', '>1<!-- -->0<'), { fault: 'failedCheck', code: 'ERR_WSS_DIGEST' })
})

test('X15 to X19: what is no plain XML does not reach the check; what slips through a careless canonicaliser is covered', () => {
  const honest = b0()
  for (const xml of [
    honest.replace('transfer', '<?x?>transfer'), `<?x y?>${honest}`, honest.replace('<op xmlns="urn:app">', '<op xmlns="relative">'), honest.replace('<op ', '<op xmlns:p="x:y z" '), `${honest}<x/>`, `${honest}x`, `<!DOCTYPE x>${honest}`,
    honest.replace('<op ', '<op a="1" a="2" '), honest.replace('<op ', `<op xmlns:u2="${NS.wsu}" u2:x="1" wsu:x="2" `), honest.replace('<op ', '<u:op u:x="1" '), honest.replace('transfer', '\u0000'), `<?xml version="1.1"?>${honest}`,
    Buffer.from(honest, 'utf16le'), `<?xml version="1.0" encoding="utf-7"?>${honest}`,
  ]) expectRefused(xml, { fault: 'xml' })
  expectRefused(honest.replace('<op ', '<op xmlnsEvil="1" '), { fault: 'failedCheck', code: 'ERR_WSS_DIGEST' })
  expectRefused(honest.replace('<op ', '<op a="&quot; b=&quot;" '), { fault: 'failedCheck', code: 'ERR_WSS_DIGEST' })
  expectRefused(honest.replace(/urn:app"/, 'urn:app&#9;"'), { fault: 'xml' })
  expect(opening(`\uFEFF${honest}`).covered.size).toBe(7)
})

test('X18: a name in content means what the covered part says', () => {
  // The prefix is bound outside of what is signed: rebinding it leaves the signature right, so nothing may hang on it.
  const given = { ...parts(), body: '<s:Body wsu:Id="_body"><op xmlns="urn:app">p:name</op></s:Body>' }
  const rebound = xmlOf(signed(given)).replace('<s:Envelope ', '<s:Envelope xmlns:p="urn:evil" ')
  expect(opening(rebound).covered.size).toBe(7)
  expectRefused(xmlOf(signed({ ...given, body: given.body.replace('<op ', '<op xmlns:p="urn:good" p:a="" ') })).replace('urn:good', 'urn:evil'), { fault: 'failedCheck', code: 'ERR_WSS_DIGEST' })
})

describe.each(DIALECTS)('X21: a right signature that leaves something out (%s)', (_, dialect) => {
  const leaving = (given: Parts, ...out: readonly string[]): string => xmlOf(signed(given, { ids: SIGNED.filter((id) => !out.includes(id)) }))
  const { rm } = dialect
  const MORE: Readonly<Record<string, string>> = {
    AckRequested: `<wsrm:AckRequested xmlns:wsrm="${rm.ns}"><wsrm:Identifier>urn:uuid:seq-A</wsrm:Identifier></wsrm:AckRequested>`,
    SequenceAcknowledgement: `<wsrm:SequenceAcknowledgement xmlns:wsrm="${rm.ns}"><wsrm:Identifier>urn:uuid:seq-A</wsrm:Identifier><wsrm:AcknowledgementRange Lower="1" Upper="9"/></wsrm:SequenceAcknowledgement>`,
    'SequenceFault': `<wsrm:SequenceFault xmlns:wsrm="${rm.ns}"/>`, RelatesTo: '<wsa:RelatesTo>urn:uuid:other</wsa:RelatesTo>', FaultTo: '<wsa:FaultTo><wsa:Address>http://evil.example/</wsa:Address></wsa:FaultTo>', From: '<wsa:From><wsa:Address>urn:x</wsa:Address></wsa:From>',
    'a wsa header of the other version': '<wsa4:ReplyTo xmlns:wsa4="http://schemas.xmlsoap.org/ws/2004/08/addressing"/>', MessagePending: `<wsmc:MessagePending xmlns:wsmc="${NS.wsmc}" pending="true"/>`, 'a wsa header that nobody knows': '<wsa:Novel/>',
  }
  test.each(SIGNED)('%s', (id) => expectRefused(leaving(parts(dialect), id), { fault: 'failedCheck', code: 'ERR_WSS_COVERAGE' }))
  test('all but the Timestamp', () => expectRefused(leaving(parts(dialect), ...SIGNED.filter((id) => id !== '_ts')), { fault: 'failedCheck', code: 'ERR_WSS_COVERAGE' }))
  test.each(Object.keys(MORE))('a header added on the way: %s', (name) =>
    expectRefused(b0(dialect).replace('<wsa:Action', `${MORE[name]}<wsa:Action`), { fault: 'failedCheck', code: 'ERR_WSS_COVERAGE' }))
  test('a header of the application is not asked for, and is not covered when it is not signed', () => {
    const added = opening(b0(dialect).replace('<wsa:Action', '<app:Price xmlns:app="urn:app">1</app:Price><wsa:Action'))
    expect([...added.covered].map((each) => each.local)).not.toContain('Price')
  })
})

test('X22: what another token’s signature covers is not covered by ours', () => {
  const { sc } = DIALECT
  const given = { ...parts(), tokens: [...parts().tokens, sct(sc, ID_B, '_sctB'), dkt(sc, '_dB', { str: reference('#_sctB', sc.sct) })] }
  const primary = signed(given, { ids: SIGNED.filter((id) => id !== '_seq') })
  const endorsing: Signing = { ids: ['_sig', '_seq'], id: '_end', key: derived(SECRET_B, NONCE_SIGN), keyInfo: keyInfo(reference('#_dB', sc.dk)) }
  expectRefused(xmlOf(signed(primary, endorsing)), { fault: 'failedCheck', code: 'ERR_WSS_COVERAGE' })
  // Nor does an encryption key of B make a message of A's.
  const clear = signed(withSecondKey({ ...parts(), tokens: [...parts().tokens, sct(sc, ID_B, '_sctB')] }))
  const tokens = clear.tokens.map((each) => each.replace('wsu:Id="_d2"><wsse:SecurityTokenReference><wsse:Reference URI="#_sct"', 'wsu:Id="_d2"><wsse:SecurityTokenReference><wsse:Reference URI="#_sctB"'))
  const body = clear.body.replace(BODY_TEXT, hidden(sc, BODY_TEXT, { key: derived(SECRET_B, Buffer.alloc(16, 0x52)) }))
  expectRefused(xmlOf({ ...clear, tokens, lists: list('_ed'), body }), { fault: 'failedCheck', code: 'ERR_WSS_KEY_KIND' })
})

test('an endorsing signature that endorses nothing of this message, or only says so', () => {
  const { sc } = DIALECT
  const given: Parts = { ...parts(), tokens: [...parts().tokens, sct(sc, ID_B, '_sctB'), dkt(sc, '_dB', { str: reference('#_sctB', sc.sct) })] }
  const by: Signing = { id: '_end', key: derived(SECRET_B, NONCE_SIGN), keyInfo: keyInfo(reference('#_dB', sc.dk)) }
  const primary = signed(given)
  expectRefused(xmlOf(signed(primary, { ...by, ids: ['_sig'] })).replace(/(Id="_end".*<ds:DigestValue>)[^<]{4}/, '$1AAAA'), { fault: 'failedCheck' })
  expectRefused(xmlOf(signed(primary, { ...by, ids: ['_sct'] })), { fault: 'invalidSecurity' })
  expectRefused(xmlOf(signed(primary, { ...by, ids: ['_sig'], key: derived(SECRET_A, NONCE_SIGN) })), { fault: 'failedCheck', code: 'ERR_WSS_MAC' })
})

