import { describe, expect, test } from 'vitest'
import { FAULTS, PeerViolation } from '../../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import type { ReceivedFault } from '../../../src/rm/turn.ts'
import { UNDERSTOOD_ADDRESSING } from '../../../src/soap/addressing.ts'
import { type EnvelopeParts, faultDeclarations, faultOf, headersForUs, notUnderstood, readFault, requireUnderstood, writeApplicationFault, writeFault } from '../../../src/soap/envelope.ts'
import { NS, RM10, RM11, SC05, SC13, SOAP11, SOAP12, WSA04, WSA10 } from '../../../src/spec/versions.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { readElement } from '../../../src/xml/reader.ts'
import { writeDocument } from '../../../src/xml/writer.ts'
import { by, one, split, through } from './read.ts'

const told = (parts: EnvelopeParts): ReceivedFault => {
  const fault = faultOf(parts.body)
  if (fault === undefined) throw new Error('no fault')
  return readFault(fault, headersForUs(parts))
}

describe('what must be understood', () => {
  const understood = new Set(UNDERSTOOD_ADDRESSING)
  test.each(['1', 'true', ' 1 '])('a strange header with mustUnderstand %j is refused', (value) => {
    expect(() => requireUnderstood(by(`<x:y xmlns:x="urn:x" s:mustUnderstand="${value}"/>`), understood)).toThrow(expect.objectContaining({ code: 'ERR_SOAP_MUST_UNDERSTAND', fault: FAULTS.mustUnderstand }))
    expect(() => requireUnderstood(by(`<x:y xmlns:x="urn:x" s:mustUnderstand="${value}"/>`, '', SOAP11), understood)).toThrow(PeerViolation)
  })
  test.each(['0', 'false'])('one with %j is kept quiet about', (value) => { requireUnderstood(by(`<x:y xmlns:x="urn:x" s:mustUnderstand="${value}"/>`), understood) })
  test('known headers and those for other nodes pass', () => {
    requireUnderstood(by('<wsa:To s:mustUnderstand="1">a</wsa:To><x:y xmlns:x="urn:x" s:role="urn:other" s:mustUnderstand="1"/><x:y xmlns:x="urn:x" mustUnderstand="1"/>'), understood)
  })
  test('a header for the next node is for us', () => {
    expect(notUnderstood(by('<x:y xmlns:x="urn:x" s:role="http://www.w3.org/2003/05/soap-envelope/role/next" s:mustUnderstand="1"/>'), understood)).toEqual(['{urn:x}y'])
    expect(notUnderstood(by('<x:y xmlns:x="urn:x" s:actor="http://schemas.xmlsoap.org/soap/actor/next" s:mustUnderstand="1"/>', '', SOAP11), understood)).toEqual(['{urn:x}y'])
  })
  test('a value that is no boolean is refused', () => { expect(() => notUnderstood(by('<x:y xmlns:x="urn:x" s:mustUnderstand="yes"/>'), understood)).toThrow(PeerViolation) })
  test('an envelope without Header has nothing to understand', () => { requireUnderstood(split(`<s:Envelope xmlns:s="${SOAP12.ns}"><s:Body/></s:Envelope>`), understood) })
})

describe('faults', () => {
  const versions = { addressing: WSA10, rm: RM11, sc: SC13 }
  test.each([SOAP12, SOAP11].flatMap((soap) => Object.entries(FAULTS).map(([name, row]) => [`${name} in SOAP ${soap.name}`, soap, row] as const)))('%s is read as it was written', (_, soap, row) => {
    const read = told(through(soap, writeFault({ row }, { ...versions, soap })))
    expect(read.reason).toBe(row.reason)
    const families = { wsrm: RM11.ns, wsmc: NS.wsmc, wsse: NS.wsse, wsu: NS.wsu, wsc: SC13.ns, wst: SC13.trust.ns, wsa: WSA10.ns } as const
    if (row.family === 'soap' || row.family === 'none') expect(read).toMatchObject({ code: row.family === 'soap' ? row.name : row.code })
    else if (row.family !== 'wsrm' || soap === SOAP12) expect(read.subcode).toBe(`{${families[row.family]}}${soap === SOAP11 ? row.within ?? row.name : row.name}`)
    if (row.family === 'wsrm') expect(read.rmFault).toBe(row.name)
  })
  test('families follow the dialect in use', () => {
    expect(told(through(SOAP12, writeFault({ row: FAULTS.badContextToken }, { soap: SOAP12, addressing: WSA10, rm: RM10, sc: SC05 }))).subcode).toBe(`{${SC05.ns}}BadContextToken`)
  })
  test.each([SOAP12, SOAP11].flatMap((soap) => ([
    ['invalidAddressingHeader', 'InvalidMessageInformationHeader'], ['actionMismatch', 'InvalidMessageInformationHeader'], ['invalidCardinality', 'InvalidMessageInformationHeader'],
    ['onlyAnonymousSupported', 'InvalidMessageInformationHeader'], ['messageAddressingHeaderRequired', 'MessageInformationHeaderRequired'],
    ['actionNotSupported', 'ActionNotSupported'], ['destinationUnreachable', 'DestinationUnreachable'],
  ] as const).map(([name, local]) => [name, local, soap] as const)))('%s is %s in WS-Addressing 2004/08, and nothing within', (name, local, soap) => {
    const parts = writeFault({ row: FAULTS[name] }, { ...versions, addressing: WSA04, rm: RM10, soap })
    expect(told(through(soap, parts)).subcode).toBe(`{${WSA04.ns}}${local}`)
    expect(parts.body.map((each) => (typeof each === 'string' ? each : canonicalize(each))).join().match(/wsa:\w+/g)).toEqual([`wsa:${local}`])
  })
  test.each([SOAP12, SOAP11])('RM 1.0 has no WSRMRequired: the action is not supported, SOAP $name', (soap) => {
    for (const addressing of [WSA10, WSA04]) {
      const parts = writeFault({ row: FAULTS.wsrmRequired }, { ...versions, addressing, rm: RM10, soap })
      expect(told(through(soap, parts))).toEqual({ code: 'Sender', subcode: `{${addressing.ns}}ActionNotSupported`, reason: FAULTS.actionNotSupported.reason })
      expect(parts).toMatchObject({ action: addressing.faultAction, headers: [] })
    }
  })
  test('MustUnderstand names what was not understood', () => {
    const { headers, declarations } = writeFault({ row: FAULTS.mustUnderstand, notUnderstood: ['{urn:x}y'] }, { ...versions, soap: SOAP12 })
    expect(headers.map((each) => canonicalize(each))).toEqual([`<s:NotUnderstood xmlns:s="${SOAP12.ns}" qname="n0:y"></s:NotUnderstood>`])
    expect(declarations).toEqual({ n0: 'urn:x' })
  })
  test('UnknownSequence in SOAP 1.1 has a generic code and a SequenceFault header, in each version its own', () => {
    for (const rm of [RM11, RM10]) {
      const { headers, body } = writeFault({ row: FAULTS.unknownSequence, sequence: 'urn:s' }, { ...versions, rm, soap: SOAP11 })
      const detail = `<wsrm:Identifier>urn:s</wsrm:Identifier>`
      expect(headers.map((each) => canonicalize(each))).toEqual([`<wsrm:SequenceFault xmlns:wsrm="${rm.ns}"><wsrm:FaultCode>wsrm:UnknownSequence</wsrm:FaultCode>${rm === RM11 ? `<wsrm:Detail>${detail}</wsrm:Detail>` : detail}</wsrm:SequenceFault>`])
      expect(body.map((each) => (typeof each === 'string' ? each : canonicalize(each)))).toEqual([`<s:Fault xmlns:s="${SOAP11.ns}"><faultcode>s:Client</faultcode><faultstring>${FAULTS.unknownSequence.reason}</faultstring></s:Fault>`])
    }
  })
  test('CreateSequenceRefused in SOAP 1.1 is the faultcode itself', () => {
    const { headers, body } = writeFault({ row: FAULTS.createSequenceRefused }, { ...versions, soap: SOAP11 })
    expect(headers).toEqual([])
    expect(body.map((each) => (typeof each === 'string' ? each : canonicalize(each))).join()).toContain('<faultcode>wsrm:CreateSequenceRefused</faultcode>')
  })
})

describe('faults of other stacks', () => {
  const fault12 = (inside: string): ReceivedFault => told(by('', `<s:Fault>${inside}</s:Fault>`))
  const coded = (subcode: string, rest = ''): ReceivedFault => fault12(`<s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>${subcode}</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">r</s:Text></s:Reason>${rest}`)
  const fault11 = (code: string, rest = '', header = ''): ReceivedFault => told(by(header, `<s:Fault><faultcode>${code}</faultcode><faultstring>r</faultstring>${rest}</s:Fault>`, SOAP11))

  test('a subcode whose prefix nothing binds is known by its local name (Metro)', () => { expect(coded('ns1:SequenceTerminated')).toMatchObject({ subcode: 'SequenceTerminated', rmFault: 'SequenceTerminated' }) })
  test('a bare identifier in Detail is the sequence (CXF)', () => { expect(coded('wsrm:UnknownSequence', '<s:Detail>urn:s</s:Detail>')).toMatchObject({ rmFault: 'UnknownSequence', sequence: 'urn:s' }) })
  test('WsrmRequired is WSRMRequired (WCF)', () => { expect(coded('wsrm:WsrmRequired').rmFault).toBe('WSRMRequired') })
  test('a nested subcode leaves the outer one to be seen (WCF)', () => {
    const nested = '<s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>wsrm:CreateSequenceRefused</s:Value><s:Subcode><s:Value xmlns:n="urn:n">n:ConnectionLimitReached</s:Value></s:Subcode></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">r</s:Text></s:Reason>'
    expect(fault12(nested)).toMatchObject({ code: 'Receiver', rmFault: 'CreateSequenceRefused' })
  })
  test.each([
    ['in Detail', '<wsrm:SequenceFault><wsrm:FaultCode>wsrm:UnknownSequence</wsrm:FaultCode><wsrm:Detail><wsrm:Identifier>urn:s</wsrm:Identifier></wsrm:Detail></wsrm:SequenceFault>', ''],
    ['behind FaultCode', '<wsrm10:SequenceFault><wsrm10:FaultCode>wsrm10:UnknownSequence</wsrm10:FaultCode><wsrm10:Identifier>urn:s</wsrm10:Identifier></wsrm10:SequenceFault>', ''],
    ['in the detail of the Body', '<wsrm:SequenceFault><wsrm:FaultCode>wsrm:UnknownSequence</wsrm:FaultCode></wsrm:SequenceFault>', '<detail><wsrm:Identifier>urn:s</wsrm:Identifier></detail>'],
  ])('SequenceFault with the identifier %s', (_, header, detail) => { expect(fault11('s:Client', detail, header)).toMatchObject({ code: 'Sender', rmFault: 'UnknownSequence', sequence: 'urn:s' }) })
  test('a SequenceFault decides over the faultcode', () => {
    expect(fault11('wsrm:SequenceTerminated', '', '<wsrm:SequenceFault><wsrm:FaultCode>wsrm:SequenceClosed</wsrm:FaultCode></wsrm:SequenceFault>').rmFault).toBe('SequenceClosed')
  })
  test('an RM subcode as faultcode', () => { expect(fault11('wsrm:CreateSequenceRefused')).toMatchObject({ subcode: `{${RM11.ns}}CreateSequenceRefused`, rmFault: 'CreateSequenceRefused' }) })
  test('a name of another family is no RM fault', () => { expect(coded('wsse:UnknownSequence').rmFault).toBeUndefined() })
  test('a code without prefix, a missing Reason and an odd Value are survived', () => {
    expect(fault11('CreateSequenceRefused')).toMatchObject({ code: 'Sender', rmFault: 'CreateSequenceRefused' })
    expect(fault12('')).toEqual({ code: 'Sender', reason: '' })
    expect(fault12('<s:Code/>')).toEqual({ code: 'Sender', reason: '' })
  })
  test('long texts are cut, also in an identifier', () => {
    const trace = 'at com.example.Stack.trace '.repeat(1_000)
    const read = coded('wsrm:CreateSequenceRefused', `<s:Detail><wsrm:Identifier>${trace}</wsrm:Identifier></s:Detail>`.replace('<s:Detail>', `<s:Detail>`))
    expect(read.sequence).toBeUndefined()
    expect(read.detail).toHaveLength(256)
    expect(fault12(`<s:Code><s:Value>s:Sender</s:Value></s:Code><s:Reason><s:Text xml:lang="en">${trace}</s:Text></s:Reason>`).reason).toHaveLength(256)
    expect(coded(`wsrm:${'x'.repeat(5_000)}`).subcode?.length).toBeLessThan(400)
  })
  test('a Fault of the other SOAP version, or one that is not the first element, is no fault', () => {
    expect(faultOf(by('', `<f:Fault xmlns:f="${SOAP11.ns}"/>`).body)).toBeUndefined()
    expect(faultOf(by('', '<x/><s:Fault/>').body)).toBeUndefined()
  })
})

describe('faults of an application', () => {
  test.each([SOAP12, SOAP11])('keep their subcode through storage, canonical form and the wire', (soap) => {
    const stored = writeApplicationFault(soap, { code: 'Receiver', subcode: '{urn:example}OutOfStock', reason: 'nothing left', detail: [one('<d>1 &lt; 2</d>')] })
    const fault = readElement(stored, DEFAULT_LIMITS)
    const declarations = faultDeclarations(fault)
    expect(declarations).toEqual({ code: 'urn:example' })
    // Canonical form drops the declaration, since no name needs it: the envelope brings it back.
    const sent = readElement(canonicalize(fault), DEFAULT_LIMITS)
    const read = told(split(writeDocument(readElement(`<s:Envelope xmlns:s="${soap.ns}"${Object.entries(declarations).map(([prefix, ns]) => ` xmlns:${prefix}="${ns}"`).join('')}><s:Body>${canonicalize(sent)}</s:Body></s:Envelope>`, DEFAULT_LIMITS))))
    expect(read).toMatchObject({ subcode: '{urn:example}OutOfStock', reason: 'nothing left' })
    expect(read.detail).toContain('1 &lt; 2')
  })
  test('one without subcode is its code', () => {
    expect(told(through(SOAP12, { headers: [], body: [writeApplicationFault(SOAP12, { code: 'Receiver', reason: 'x' })], declarations: {} }))).toEqual({ code: 'Receiver', reason: 'x' })
    expect(told(through(SOAP11, { headers: [], body: [writeApplicationFault(SOAP11, { code: 'Receiver', reason: 'x' })], declarations: {} }))).toEqual({ code: 'Receiver', reason: 'x' })
  })
  test('their detail is read whole where asked', () => {
    const fault = readElement(writeApplicationFault(SOAP12, { code: 'Sender', reason: 'x', detail: [one(`<d>${'y'.repeat(1_000)}</d>`)] }), DEFAULT_LIMITS)
    expect(readFault(fault).detail).toHaveLength(256)
    expect(readFault(fault, [], 10_000).detail).toBe(`<d>${'y'.repeat(1_000)}</d>`)
  })
})
