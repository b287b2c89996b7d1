/**
 * What we send is valid: one message of every kind, in the clear and as it is sent, under the published schemas. And the check bites:
 * each mutation of a valid message is refused.
 */
import { expect, test } from 'vitest'
import { everyKind, type Kind } from './kinds.ts'
import { type Dialect, validatorFor } from './validator.ts'

const kinds: readonly Kind[] = [...everyKind()]
const dialectOf = ({ name, clear }: Kind): Dialect => ({
  addressing: clear.includes('http://schemas.xmlsoap.org/ws/2004/08/addressing') ? '200408' : '200508',
  // The published text of RM 1.1 forbids the Detail that its own section 4 asks for.
  faults: name.startsWith('fault ') ? 'received' : 'published',
})

test('there is a message of every kind in every dialect', () => {
  expect(kinds.length).toBeGreaterThanOrEqual(400)
  expect(new Set(kinds.map(({ name }) => name)).size).toBe(kinds.length)
  const elements = new Set(kinds.flatMap(({ clear }) => [...clear.matchAll(/<(?:[\w.-]+:)?([\w.-]+)/g)].map((match) => match[1])))
  for (const local of [
    'CreateSequence', 'CreateSequenceResponse', 'Sequence', 'SequenceAcknowledgement', 'AckRequested', 'CloseSequence', 'CloseSequenceResponse', 'TerminateSequence',
    'TerminateSequenceResponse', 'SequenceFault', 'UsesSequenceSTR', 'LastMessage', 'Nack', 'None', 'Final', 'Offer', 'Accept', 'RequestSecurityToken',
    'RequestSecurityTokenResponse', 'RequestedTokenCancelled', 'Fault', 'MakeConnection', 'Address', 'MessagePending', 'UnsupportedElement', 'SecurityContextToken', 'DerivedKeyToken', 'Signature', 'Timestamp',
  ]) expect(elements, local).toContain(local)
})

test.each(kinds.map((kind) => [kind.name, kind] as const))('%s', (_, kind) => {
  const { problems } = validatorFor(dialectOf(kind))
  expect(problems(kind.clear)).toEqual([])
  expect(problems(kind.sealed)).toEqual([])
})

const DEFAULT_DIALECT = 'SOAP 1.2, WSA 200508, RM 1.1, SC 200512, Basic256Sha256'
const pick = (name: string, dialect = DEFAULT_DIALECT): Kind => {
  const kind = kinds.find((each) => each.name === `${name} (${dialect})`)
  if (kind === undefined) throw new Error(`no kind ${name} (${dialect})`)
  return kind
}

/** Replaces; a mutation that finds nothing to change proves nothing. */
function mutate(xml: string, pattern: RegExp, replacement: string): string {
  const mutated = xml.replace(pattern, replacement)
  if (mutated === xml) throw new Error(`nothing to mutate: ${pattern}`)
  return mutated
}

interface Mutation { readonly name: string; readonly kind: string; readonly pattern: RegExp; readonly replacement: string; readonly complaint: RegExp }
const MUTATIONS: readonly Mutation[] = [
  { name: 'ranges and a Nack in one acknowledgement', kind: 'acknowledgement', pattern: /(<(\w+):AcknowledgementRange [^>]*><\/\2:AcknowledgementRange>)/, replacement: '$1<$2:Nack>4</$2:Nack>', complaint: /Nack/ },
  { name: 'Final after a Nack', kind: 'acknowledgement with Nack', pattern: /(<(\w+):Nack>2<\/\2:Nack>)/, replacement: '$1<$2:Final></$2:Final>', complaint: /Final/ },
  { name: 'an acknowledgement that names no sequence', kind: 'acknowledgement', pattern: /(<(\w+):SequenceAcknowledgement [^>]*>)<\2:Identifier>[^<]*<\/\2:Identifier>/, replacement: '$1', complaint: /Identifier/ },
  { name: 'an Offer without Endpoint', kind: 'CreateSequence with an offer', pattern: /<(\w+):Endpoint>.*?<\/\1:Endpoint>/, replacement: '', complaint: /Endpoint/ },
  { name: 'the SecurityTokenReference before AcksTo', kind: 'CreateSequence with an offer', pattern: /(<(\w+):AcksTo>.*<\/\2:Offer>)(<(\w+):SecurityTokenReference.*?<\/\4:SecurityTokenReference>)/, replacement: '$3$1', complaint: /SecurityTokenReference|AcksTo/ },
  { name: 'message number 0', kind: 'request', pattern: /(<(\w+):MessageNumber>)1(<)/, replacement: '$10$3', complaint: /MessageNumber/ },
  { name: 'message number 2^63', kind: 'request', pattern: /(<(\w+):MessageNumber>)1(<)/, replacement: '$19223372036854775808$3', complaint: /MessageNumber/ },
  { name: 'a Sequence without a number', kind: 'request', pattern: /<(\w+):MessageNumber>1<\/\1:MessageNumber>/, replacement: '', complaint: /MessageNumber/ },
  { name: 'a derived key with a Length but no Offset', kind: 'request', pattern: /<(\w+):Offset>\d+<\/\1:Offset>/, replacement: '', complaint: /Length/ },
  { name: 'a signature without a value', kind: 'request', pattern: /<(\w+):SignatureValue>[^<]*<\/\1:SignatureValue>/, replacement: '', complaint: /SignatureValue/ },
  { name: 'a Timestamp that is spelt otherwise', kind: 'request', pattern: /(<\/?\w+:Time)stamp\b/g, replacement: '$1Stamp', complaint: /TimeStamp/ },
  { name: 'a header in a namespace that no schema here describes', kind: 'request', pattern: /(<\/\w+:Header>)/, replacement: '<odd:odd xmlns:odd="http://example.org/odd"></odd:odd>$1', complaint: /no declaration of/ },
  { name: 'TerminateSequence without Identifier', kind: 'TerminateSequence', pattern: /(<(\w+):TerminateSequence [^>]*>)<\2:Identifier>[^<]*<\/\2:Identifier>/, replacement: '$1', complaint: /Identifier|LastMsgNumber/ },
  { name: 'a range without Upper', kind: 'acknowledgement', pattern: / Upper="\d+"/, replacement: '', complaint: /Upper/ },
  { name: 'a poll for two mailboxes', kind: 'MakeConnection', pattern: /(<(\w+):Address>[^<]*<\/\2:Address>)/, replacement: '$1$1', complaint: /Address/ },
  { name: 'MessagePending that says neither', kind: 'reply in answer to a poll', pattern: /pending="true"/, replacement: 'pending="perhaps"', complaint: /pending/ },
  { name: 'a second Body', kind: 'request', pattern: /(<(\w+):Body)/, replacement: '<$2:Body></$2:Body>$1', complaint: /Body/ },
]

test.each(MUTATIONS)('caught: $name', ({ kind, pattern, replacement, complaint }) => {
  const { problems } = validatorFor({ addressing: '200508', faults: 'published' })
  const { clear } = pick(kind)
  expect(problems(clear)).toEqual([])
  expect(problems(mutate(clear, pattern, replacement)).join('\n')).toMatch(complaint)
})

test('caught: an RM 1.0 message that asks to close its sequence', () => {
  const { problems } = validatorFor({ addressing: '200508', faults: 'published' })
  const { clear } = pick('TerminateSequence of nothing', 'SOAP 1.2, WSA 200508, RM 1.0, SC 200502, Basic256')
  expect(problems(mutate(clear, /(<\/?\w+:)TerminateSequence\b/g, '$1CloseSequence')).join('\n')).toMatch(/CloseSequence/)
})
test('caught: a reference without DigestMethod in the protected form', () => {
  const { problems } = validatorFor({ addressing: '200508', faults: 'published' })
  expect(problems(mutate(pick('request').sealed, /<(\w+):DigestMethod [^>]*><\/\1:DigestMethod>/, '')).join('\n')).toMatch(/DigestMethod/)
})
test('nothing is fetched: a schema that is not in the folder is a loud error', async () => {
  const { XmlDocument, XsdValidator } = await import('libxml2-wasm')
  const schema = XmlDocument.fromString('<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:a="urn:a"><xs:import namespace="urn:a" schemaLocation="http://127.0.0.1:9/a.xsd"/><xs:element name="b" type="a:t"/></xs:schema>')
  expect(() => XsdValidator.fromDoc(schema)).toThrow()
})
