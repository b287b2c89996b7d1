import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FAULTS, PeerViolation, UsageError } from '../../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import type { Acknowledgement, Outbound, OutboundBody } from '../../../src/rm/turn.ts'
import { parseUnsigned, readDuration, readReliable, type Reliable, UNDERSTOOD_RELIABLE, writeAcknowledgement, writeDuration, type WriteOptions, writeReliable } from '../../../src/soap/reliable.ts'
import { MC_ANONYMOUS_PREFIX, NS, RM10, RM11, type RmVersion, SC05, SC13, SOAP11, SOAP12, type SoapVersion, WSA04, WSA10 } from '../../../src/spec/versions.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { readElement } from '../../../src/xml/reader.ts'
import { Element } from '../../../src/xml/tree.ts'
import vectors from '../../vector/derived-key-vectors.json' with { type: 'json' }
import { by, through } from './read.ts'

const TOKEN = 'urn:uuid:6d1ba7c1-6f0a-4d0e-9a1c-6a8f0d3c2b11'
const options = (rm: RmVersion, soap: SoapVersion = SOAP12, str: WriteOptions['scope']['str'] = 'header'): WriteOptions =>
  ({ soap, rm, addressing: WSA10, sc: rm === RM11 ? SC13 : SC05, scope: { identifier: TOKEN, str } })
type Out = Partial<Outbound> & { body: OutboundBody }
const write = (out: Out, rm: RmVersion, soap: SoapVersion = SOAP12): ReturnType<typeof writeReliable> => writeReliable({ acknowledgements: [], ackRequested: [], ...out }, options(rm, soap))
const again = (out: Out, rm: RmVersion, soap: SoapVersion = SOAP12): Reliable => readReliable(through(soap, write(out, rm, soap)))

const violation = (run: () => unknown): PeerViolation => {
  try {
    run()
  } catch (error) {
    if (error instanceof PeerViolation) return error
    throw error
  }
  throw new Error('nothing was refused')
}

describe('what is written is read again', () => {
  const id = fc.string({ minLength: 1, maxLength: 40, unit: fc.constantFrom(...'abcdef0123456789:-/&<>"\'ü') })
  const ms = fc.integer({ min: 1, max: 86_400_000 })
  const number = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
  const spans = fc.uniqueArray(fc.integer({ min: 1, max: 10_000 }), { maxLength: 12 }).map((edges) => {
    const sorted = edges.toSorted((left, right) => left - right)
    return sorted.flatMap((edge, index) => (index % 2 === 0 && sorted[index + 1] !== undefined ? [[edge * 2, (sorted[index + 1] ?? 0) * 2 - 1] as const] : []))
  })
  const rms = fc.constantFrom(RM11, RM10)
  const soaps = fc.constantFrom(SOAP12, SOAP11)

  test('CreateSequence', () => {
    fc.assert(fc.property(rms, soaps, id, fc.option(ms, { nil: undefined }), fc.option(id, { nil: undefined }), (rm, soap, address, expiresMs, offered) => {
      const { body, usesSequenceStr, rm: read } = again({ body: {
        kind: 'create-sequence', acksTo: `urn:${address}`, ...(expiresMs !== undefined && { expiresMs }), ...(offered !== undefined && { offer: { sequence: offered, expiresMs: 5_000 } }) } }, rm, soap)
      const endpoint = { kind: 'address', address: `urn:${address}` }
      expect(body).toEqual({
        kind: 'create-sequence', acksTo: endpoint, ...(expiresMs !== undefined && { expiresMs }),
        ...(offered !== undefined && { offer: { sequence: offered, expiresMs: 5_000, ...(rm === RM11 && { endpoint }) } }),
        str: { form: 'unattached', uri: TOKEN, valueType: rm === RM11 ? SC13.sct : SC05.sct },
      })
      expect(read).toBe(rm)
      // UsesSequenceSTR is RM 1.1's; 1.0 has the reference alone.
      expect(usesSequenceStr).toBe(rm === RM11)
    }), { seed: 1, numRuns: 200 })
  })

  test('MakeConnection names its mailbox; what a mailbox gives says whether more waits', () => {
    fc.assert(fc.property(rms, soaps, id, fc.boolean(), (rm, soap, name, pending) => {
      const address = `${MC_ANONYMOUS_PREFIX}${name}`
      const poll = again({ body: { kind: 'make-connection', address }, acknowledgements: [{ sequence: 'urn:s', ranges: [[1, 2]], final: false }] }, rm, soap)
      expect(poll).toMatchObject({ body: { kind: 'make-connection', address }, acknowledgements: [{ sequence: 'urn:s', ranges: [[1n, 2n]] }] })
      expect(poll.pending).toBeUndefined()
      const given = again({ body: { kind: 'acknowledgement' }, pending }, rm, soap)
      expect(given.pending).toBe(pending)
      // What is acted on must be covered, so it is named.
      expect(given.elements.map((each) => each.local)).toContain('MessagePending')
    }), { seed: 1, numRuns: 100 })
  })
  test.each([['', false], ['pending="1"', true], ['pending=" true "', true], ['pending="0"', false], ['pending="yes"', false], [`m:pending="true" xmlns:m="${NS.wsmc}"`, true]])('MessagePending with %s', (attribute, pending) => {
    const header = readElement(`<wsmc:MessagePending xmlns:wsmc="${NS.wsmc}" ${attribute}/>`, DEFAULT_LIMITS)
    expect(readReliable(through(SOAP12, { ...write({ body: { kind: 'acknowledgement' } }, RM11), headers: [header] })).pending).toBe(pending)
  })
  test.each([
    ['', 'missingSelection', []],
    ['<x:By xmlns:x="urn:x"/>', 'unsupportedSelection', ['{urn:x}By']],
    [`<wsmc:Address>urn:a</wsmc:Address><wsrm:Identifier xmlns:wsrm="${RM11.ns}">urn:s</wsrm:Identifier>`, 'unsupportedSelection', [`{${RM11.ns}}Identifier`]],
    ['<wsmc:Address>urn:a</wsmc:Address><wsmc:Address>urn:a</wsmc:Address>', 'malformed', []],
    ['<wsmc:Address></wsmc:Address>', 'malformed', []],
    ['<wsmc:Address><a/></wsmc:Address>', 'malformed', []],
    [`<wsmc:Address>${'a'.repeat(5_000)}</wsmc:Address>`, 'malformed', []],
  ] as const)('a poll that holds %s is refused with %s', (content, fault, names) => {
    const body = readElement(`<wsmc:MakeConnection xmlns:wsmc="${NS.wsmc}">${content}</wsmc:MakeConnection>`, DEFAULT_LIMITS)
    const refused = violation(() => readReliable(through(SOAP12, { ...write({ body: { kind: 'acknowledgement' } }, RM11), body: [body] })))
    expect(refused.fault).toBe(FAULTS[fault])
    expect(refused.notUnderstood).toEqual(names)
  })

  test('Sequence, AckRequested and acknowledgements ride on an application message', () => {
    fc.assert(fc.property(rms, soaps, id, number, spans, fc.boolean(), (rm, soap, sequence, at, ranges, final) => {
      const read = again({
        body: { kind: 'application', shape: 'one-way', content: { action: 'urn:a', messageId: 'urn:m', body: '<a:b xmlns:a="urn:a">t</a:b>', headers: [] } },
        sequence: { id: sequence, number: at, last: final }, ackRequested: [sequence, 'other'], acknowledgements: [{ sequence, ranges, final }],
      }, rm, soap)
      expect(read.sequence).toMatchObject({ id: sequence, number: BigInt(at), last: final && rm === RM10 })
      expect(read.ackRequested.map((each) => each.id)).toEqual([sequence, 'other'])
      expect(read.acknowledgements).toMatchObject([{
        sequence, ranges: ranges.map(([lower, upper]) => [BigInt(lower), BigInt(upper)]), nacks: [], none: ranges.length === 0 && rm === RM11, final: final && rm === RM11,
      }])
      expect(read.body.kind === 'application' && canonicalize(read.body.element)).toBe('<a:b xmlns:a="urn:a">t</a:b>')
      expect(read.elements).toHaveLength(4)
    }), { seed: 2, numRuns: 200 })
  })

  test('the ends of a sequence', () => {
    fc.assert(fc.property(id, fc.option(number, { nil: undefined }), (sequence, last) => {
      for (const kind of ['close-sequence', 'terminate-sequence'] as const) {
        expect(again({ body: { kind, sequence, ...(last !== undefined && { lastNumber: last }) } }, RM11).body).toEqual({ kind, sequence, ...(last !== undefined && { lastNumber: BigInt(last) }) })
      }
      for (const kind of ['close-sequence-response', 'terminate-sequence-response'] as const) expect(again({ body: { kind, sequence } }, RM11).body).toEqual({ kind, sequence })
      expect(again({ body: { kind: 'terminate-sequence', sequence, ...(last !== undefined && { lastNumber: last }) } }, RM10).body).toEqual({ kind: 'terminate-sequence', sequence })
    }), { seed: 3, numRuns: 50 })
  })

  test('CreateSequenceResponse', () => {
    expect(again({ body: { kind: 'create-sequence-response', sequence: 'urn:s', expiresMs: 1_500, accept: { acksTo: 'https://a' } } }, RM11).body)
      .toEqual({ kind: 'create-sequence-response', sequence: 'urn:s', expiresMs: 1_500, accept: { acksTo: { kind: 'address', address: 'https://a' } } })
    expect(again({ body: { kind: 'create-sequence-response', sequence: 'urn:s' } }, RM10).body).toEqual({ kind: 'create-sequence-response', sequence: 'urn:s' })
  })

  test('durations', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 3_000_000_000_000 }), (value) => { expect(readDuration(writeDuration(value))).toBe(value) }), { seed: 4 })
  })

  test('every RM fault, in both SOAP versions', () => {
    for (const rm of [RM11, RM10]) for (const soap of [SOAP12, SOAP11]) for (const row of Object.values(FAULTS).filter((each) => each.family === 'wsrm' && (rm.hasWsrmRequired || each !== FAULTS.wsrmRequired))) {
      // In SOAP 1.1 these two are the faultcode itself, which leaves no place for whose fault it is.
      const named = row.name !== 'CreateSequenceRefused' && row.name !== 'WSRMRequired'
      const acknowledgement = row === FAULTS.invalidAcknowledgement ? { offending: { sequence: 'urn:s', ranges: [[1n, 2n]] as const, nacks: [], none: false, final: false } } : {}
      const { body } = again({ body: { kind: 'fault', fault: row, ...(named && { sequence: 'urn:s' }), ...acknowledgement } }, rm, soap)
      expect(body).toMatchObject({ kind: 'fault', fault: { ...((soap === SOAP12 || named) && { code: row.code }), rmFault: row.name, reason: row.reason } })
      if (body.kind === 'fault') expect(body.fault.sequence).toBe(named ? 'urn:s' : undefined)
    }
  })
})

test('the canonical Body of the published CreateSequence is what is written', () => {
  const vector = vectors.messages.find((each) => each.name === '03-create-sequence')
  const [element] = write({ body: { kind: 'create-sequence', acksTo: 'anonymous' } }, RM11).body
  if (element === undefined || typeof element === 'string') throw new Error('no element')
  expect(vector?.canonicalBody).toContain(canonicalize(element))
})

test('actions follow the body, and are those of the version', () => {
  expect(write({ body: { kind: 'acknowledgement' } }, RM11).action).toBe(`${RM11.ns}/SequenceAcknowledgement`)
  expect(write({ body: { kind: 'ack-requested' } }, RM11).action).toBe(`${RM11.ns}/AckRequested`)
  expect(write({ body: { kind: 'last-message' } }, RM10).action).toBe(`${RM10.ns}/LastMessage`)
  expect(write({ body: { kind: 'fault', fault: FAULTS.unknownSequence, sequence: 's' } }, RM11).action).toBe(`${RM11.ns}/fault`)
})

test('a version without CloseSequence refuses to write one', () => {
  for (const kind of ['close-sequence', 'close-sequence-response', 'terminate-sequence-response'] as const) expect(() => write({ body: { kind, sequence: 's' } }, RM10)).toThrow(UsageError)
})

test('scoping is written as the profile says, and never with an Instance', () => {
  const strOf = (str: WriteOptions['scope']['str']): readonly [boolean, unknown] => {
    const read = readReliable(through(SOAP12, writeReliable({ body: { kind: 'create-sequence', acksTo: 'anonymous' }, acknowledgements: [], ackRequested: [] }, options(RM11, SOAP12, str))))
    return [read.usesSequenceStr, read.body.kind === 'create-sequence' ? read.body.str : 'no']
  }
  const reference = { form: 'unattached', uri: TOKEN, valueType: SC13.sct }
  expect(strOf('header')).toEqual([true, reference])
  expect(strOf('body')).toEqual([false, reference])
  expect(strOf('dangerOmit')).toEqual([false, undefined])
})

test('in RM 1.0 nothing accepted is the range 0-0', () => {
  expect(canonicalize(writeAcknowledgement({ sequence: 's', ranges: [], final: false }, RM10))).toContain('<wsrm:AcknowledgementRange Lower="0" Upper="0">')
})

describe('numbers', () => {
  const sequence = (text: string): Reliable => readReliable(by(`<wsrm:Sequence><wsrm:Identifier>s</wsrm:Identifier><wsrm:MessageNumber>${text}</wsrm:MessageNumber></wsrm:Sequence>`))
  test.each(['+1', '01', ' 1 ', '1', '\n+0001\t'])('%j is 1', (text) => { expect(sequence(text).sequence?.number).toBe(1n) })
  test.each(['0', '-1', '-0', '1.0', '1e3', '0x1', '١', '', ' ', '1 2', '++1', 'Infinity', '1n', `1${'<wsrm:x/>'}`, '0'.repeat(65)])('%j is refused', (text) => {
    expect(violation(() => sequence(text))).toMatchObject({ code: 'ERR_RM_NUMBER', fault: FAULTS.malformed })
  })
  test('neighbours beyond 2^53 stay apart', () => {
    expect(sequence('9007199254740993').sequence?.number).toBe(9007199254740993n)
    expect(sequence('9223372036854775807').sequence?.number).toBe(9223372036854775807n)
  })
  test.each(['9223372036854775808', '18446744073709551616', '9'.repeat(60)])('%s has rolled over, which is for its sequence to say: the fault names it', (text) => {
    expect(sequence(text).sequence).toMatchObject({ id: 's', number: BigInt(text) })
  })
  test('LastMsgNumber has no number above 2^63 - 1', () => {
    const close = (text: string): Reliable => readReliable(by('', `<wsrm:CloseSequence><wsrm:Identifier>s</wsrm:Identifier><wsrm:LastMsgNumber>${text}</wsrm:LastMsgNumber></wsrm:CloseSequence>`))
    expect(close('9223372036854775807').body).toMatchObject({ lastNumber: 2n ** 63n - 1n })
    expect(violation(() => close('9223372036854775808')).fault).toBe(FAULTS.malformed)
    expect(violation(() => close('-1')).fault).toBe(FAULTS.malformed)
  })
  test('LastMsgNumber 0 is none (Metro)', () => {
    expect(readReliable(by('', '<wsrm:TerminateSequence><wsrm:Identifier>s</wsrm:Identifier><wsrm:LastMsgNumber>0</wsrm:LastMsgNumber></wsrm:TerminateSequence>')).body).toEqual({ kind: 'terminate-sequence', sequence: 's' })
  })
  test('a number of any length costs next to nothing', () => { expect(parseUnsigned('9'.repeat(3_000_000))).toBeUndefined() })
})

describe('acknowledgements', () => {
  const ack = (inside: string, prefix = 'wsrm'): Reliable['acknowledgements'][number] | undefined =>
    readReliable(by(`<${prefix}:SequenceAcknowledgement><${prefix}:Identifier>s</${prefix}:Identifier>${inside.replaceAll('<r:', `<${prefix}:`).replaceAll('</r:', `</${prefix}:`)}</${prefix}:SequenceAcknowledgement>`)).acknowledgements[0]
  const range = (lower: string | number, upper: string | number): string => `<r:AcknowledgementRange Upper="${upper}" Lower="${lower}"/>`

  test('ranges come sorted, whatever their order', () => { expect(ack(range(5, 6) + range(1, 3))?.ranges).toEqual([[1n, 3n], [5n, 6n]]) })
  test('None behind ranges says nothing (CXF)', () => { expect(ack(`${range(1, 1)}<r:None/>`)).toMatchObject({ ranges: [[1n, 1n]], none: true }) })
  test('an RM 1.0 acknowledgement without ranges means nothing accepted (Metro)', () => { expect(ack('', 'wsrm10')).toMatchObject({ ranges: [], none: false }) })
  test('an RM 1.0 range of 0-0 means nothing accepted (WCF)', () => { expect(ack(range(0, 0), 'wsrm10')).toMatchObject({ ranges: [] }) })
  test('extensions are kept quiet about', () => { expect(ack(`${range(1, 1)}<n:BufferRemaining xmlns:n="http://schemas.microsoft.com/ws/2006/05/rm">8</n:BufferRemaining>`)?.ranges).toEqual([[1n, 1n]]) })
  test.each([
    ['says nothing', ''], ['0-0 in RM 1.1', range(0, 0)], ['runs backwards', range(3, 2)], ['overlaps', range(1, 3) + range(3, 4)], ['contains another', range(1, 9) + range(2, 3)],
    ['Nack beside ranges', `${range(1, 1)}<r:Nack>2</r:Nack>`], ['Nack beside None', '<r:None/><r:Nack>2</r:Nack>'], ['Final behind Nack', '<r:Nack>2</r:Nack><r:Final/>'],
    ['no Upper', '<r:AcknowledgementRange Lower="1"/>'], ['letters', range('a', 'b')], ['beyond 2^63', range(1, '9223372036854775808')], ['Nack 0', '<r:Nack>0</r:Nack>'],
    ['too many ranges', Array.from({ length: 257 }, (_, index) => range(index * 2 + 1, index * 2 + 1)).join('')],
  ])('invalid, and its carrier is read all the same: %s', (_, inside) => { expect(ack(inside)).toMatchObject({ sequence: 's', invalid: expect.any(String) as string }) })
  test('one that holds is not called invalid', () => { for (const inside of ['<r:None/>', `${range(1, 2)}<r:Final/>`, '<r:Nack>2</r:Nack>']) expect(ack(inside)).not.toHaveProperty('invalid') })
  test('RM 1.0 knows neither None nor Final', () => { for (const inside of ['<r:None/>', `${range(1, 1)}<r:Final/>`]) expect(ack(inside, 'wsrm10')).toHaveProperty('invalid') })
  test('one sequence twice in one envelope: neither is believed, another’s is', () => {
    const header = (id: string): string => `<wsrm:SequenceAcknowledgement><wsrm:Identifier>${id}</wsrm:Identifier><wsrm:None/></wsrm:SequenceAcknowledgement>`
    expect(readReliable(by(header('s') + header('t') + header('s'))).acknowledgements.map((each) => 'invalid' in each)).toEqual([true, false, true])
  })
  test('the fault shows it as it was received', () => {
    const offending = ack(range(3, 2) + range('a', 1) + '<r:Nack>4</r:Nack>')
    if (offending === undefined) throw new Error('an acknowledgement')
    const [body] = write({ body: { kind: 'fault', fault: FAULTS.invalidAcknowledgement, sequence: 's', offending } }, RM11).body
    expect(body instanceof Element && canonicalize(body)).toContain(`<s:Detail><wsrm:SequenceAcknowledgement xmlns:wsrm="${RM11.ns}"><wsrm:Identifier>s</wsrm:Identifier><wsrm:AcknowledgementRange Lower="3" Upper="2"></wsrm:AcknowledgementRange><wsrm:Nack>4</wsrm:Nack></wsrm:SequenceAcknowledgement></s:Detail>`)
  })
  test('a written acknowledgement with Nacks has nothing else', () => {
    const acknowledgement: Acknowledgement = { sequence: 's', ranges: [[1, 1]], nacks: [2], final: true }
    expect(canonicalize(writeAcknowledgement(acknowledgement, RM11))).toBe(`<wsrm:SequenceAcknowledgement xmlns:wsrm="${RM11.ns}"><wsrm:Identifier>s</wsrm:Identifier><wsrm:Nack>2</wsrm:Nack></wsrm:SequenceAcknowledgement>`)
  })
})

describe('shapes that are refused', () => {
  const sequence = '<wsrm:Sequence><wsrm:Identifier>s</wsrm:Identifier><wsrm:MessageNumber>1</wsrm:MessageNumber></wsrm:Sequence>'
  const create = (inside: string): string => `<wsrm:CreateSequence><wsrm:AcksTo><wsa:Address>http://www.w3.org/2005/08/addressing/anonymous</wsa:Address></wsrm:AcksTo>${inside}</wsrm:CreateSequence>`
  const str = '<wsse:SecurityTokenReference><wsse:Reference URI="urn:t"/></wsse:SecurityTokenReference>'
  test.each<[string, string, string]>([
    ['two Sequence headers', sequence + sequence, ''],
    ['Identifier twice', sequence.replace('<wsrm:MessageNumber>', '<wsrm:Identifier>t</wsrm:Identifier><wsrm:MessageNumber>'), ''],
    ['no Identifier', sequence.replace('<wsrm:Identifier>s</wsrm:Identifier>', ''), ''],
    ['an empty Identifier', sequence.replace('>s<', '> <'), ''],
    ['an endless Identifier', sequence.replace('>s<', `>${'s'.repeat(1_025)}<`), ''],
    ['an Identifier with elements', sequence.replace('>s<', '><wsrm:x/>s<'), ''],
    ['LastMessage in RM 1.1', sequence.replace('</wsrm:Sequence>', '<wsrm:LastMessage/></wsrm:Sequence>'), ''],
    ['both RM versions', sequence, '<wsrm10:TerminateSequence><wsrm10:Identifier>s</wsrm10:Identifier></wsrm10:TerminateSequence>'],
    ['CloseSequence in RM 1.0', '', '<wsrm10:CloseSequence><wsrm10:Identifier>s</wsrm10:Identifier></wsrm10:CloseSequence>'],
    ['an RM header as a body', '', '<wsrm:AckRequested><wsrm:Identifier>s</wsrm:Identifier></wsrm:AckRequested>'],
    ['two bodies', '', '<wsrm:CloseSequence><wsrm:Identifier>s</wsrm:Identifier></wsrm:CloseSequence><x/>'],
    ['two application bodies', '', '<x/><y/>'],
    ['no AcksTo', '', '<wsrm:CreateSequence/>'],
    ['two tokens', '', create(str + str)],
    ['two offers', '', create('<wsrm:Offer><wsrm:Identifier>o</wsrm:Identifier></wsrm:Offer><wsrm:Offer><wsrm:Identifier>p</wsrm:Identifier></wsrm:Offer>')],
    ['Expires that is none', '', create('<wsrm:Expires>P</wsrm:Expires>')],
    ['Expires that is negative', '', create('<wsrm:Expires>-PT1S</wsrm:Expires>')],
    ['a token reference without end', '', create(`<wsse:SecurityTokenReference><wsse:Reference URI="${'u'.repeat(1_025)}"/></wsse:SecurityTokenReference>`)],
  ])('%s', (_, header, body) => { expect(violation(() => readReliable(by(header, body)))).toBeInstanceOf(PeerViolation) })

  test('a CreateSequence that cannot be read is refused as one', () => {
    for (const inside of ['<wsrm:Expires>P</wsrm:Expires>', '<wsrm:Offer/>', str + str, '<wsrm:AcksTo/>']) expect(violation(() => readReliable(by('', create(inside)))).fault).toBe(FAULTS.createSequenceRefused)
    expect(violation(() => readReliable(by('', '<wsrm:CreateSequence/>'))).fault).toBe(FAULTS.createSequenceRefused)
  })
  test('an offer without Endpoint, an STR in front and one without ValueType are read all the same', () => {
    const { body } = readReliable(by('', `<wsrm:CreateSequence>${str}<wsrm:AcksTo><wsa:Address>urn:a</wsa:Address></wsrm:AcksTo><wsrm:Offer><wsrm:Identifier>o</wsrm:Identifier></wsrm:Offer></wsrm:CreateSequence>`))
    expect(body).toMatchObject({ str: { form: 'unattached', uri: 'urn:t' }, offer: { sequence: 'o' } })
  })
  test('a reference into the message is attached; its Instance is told', () => {
    const { body } = readReliable(by('', create('<wsse:SecurityTokenReference><wsse:Reference URI="#sct" ValueType="v" wsc:Instance="i"/></wsse:SecurityTokenReference>')))
    expect(body).toMatchObject({ str: { form: 'attached', uri: '#sct', valueType: 'v', instance: 'i' } })
  })
  test('PT0S never expires', () => { expect(readReliable(by('', create('<wsrm:Expires>PT0S</wsrm:Expires>'))).body).not.toHaveProperty('expiresMs') })
  test('RM 1.0 goes with either version of WS-Addressing, 1.1 references are held to the one asked for', () => {
    const address = '<wsrm10:CreateSequence><wsrm10:AcksTo><wsa04:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</wsa04:Address></wsrm10:AcksTo></wsrm10:CreateSequence>'
    expect(readReliable(by('', address)).body).toMatchObject({ acksTo: { kind: 'anonymous' } })
    expect(readReliable(by('', address), { addressing: WSA04 }).body).toMatchObject({ acksTo: { kind: 'anonymous' } })
    expect(() => readReliable(by('', address), { addressing: WSA10 })).toThrow(PeerViolation)
  })
  test('headers for another role are not ours', () => {
    expect(readReliable(by(sequence.replace('<wsrm:Sequence>', '<wsrm:Sequence s:role="urn:other">'))).elements).toEqual([])
  })
  test('an RM element deep inside an application body is no RM element', () => { expect(readReliable(by('', `<x>${sequence}</x>`))).toMatchObject({ rm: undefined, body: { kind: 'application' } }) })
  test('more headers than any message has', () => {
    const many = Array.from({ length: 65 }, (_, index) => `<wsrm:AckRequested><wsrm:Identifier>${index}</wsrm:Identifier></wsrm:AckRequested>`).join('')
    expect(violation(() => readReliable(by(many))).code).toBe('ERR_RM_MANY')
  })
  test('only XML white space is not part of an identifier', () => {
    expect(readReliable(by(sequence.replace('>s<', '>\n s\u00a0 <'))).sequence?.id).toBe('s\u00a0')
  })
  test('UsesSequenceSSL is not understood', () => { expect(UNDERSTOOD_RELIABLE.join()).not.toContain('SSL') })
})

test.each([['PT1.5S', 1_500], ['P1DT1H1M1S', 90_061_000], ['P1Y', 31_536_000_000], ['P999999999Y', 100 * 365 * 86_400_000], [' PT5M ', 300_000], ['PT0S', 0]])('the duration %s', (text, ms) => {
  expect(readDuration(text)).toBe(ms)
})
test.each(['', 'P', 'PT', 'P1', '1S', 'PT1', 'P1S', 'PT1.S', '-PT1S', 'P-1D', 'PT1S2M', `PT${'9'.repeat(200)}S`, 'pt1s', 'P1DT'])('%j is no duration', (text) => { expect(readDuration(text)).toBeUndefined() })
