/**
 * SOAP 1.1 and 1.2: which headers are for us, what must be understood, envelopes from their parts, faults both ways.
 * Knows no security: what may be believed is decided before, what is sent is protected after.
 *
 * @module
 */
import { FAULTS, type FaultRow, PeerViolation } from '../errors.ts'
import type { ReceivedFault } from '../rm/turn.ts'
import { type AddressingVersion, MC_FAULT_ACTION, NS, RM_VERSIONS, type RmVersion, SC13, type ScVersion, SOAP11, SOAP12, type SoapVersion } from '../spec/versions.ts'
import { canonicalize } from '../xml/canonical.ts'
import { Element, lookup, type QName } from '../xml/tree.ts'
import { Qualified, type Vocabulary, vocabulary, writeDocument } from '../xml/writer.ts'

/** What a message is made of, before it is protected. A body part is an element, or text that the writer wrote and that stands alone. */
export interface MessageParts {
  readonly action: string
  readonly headers: readonly Element[]
  readonly body: readonly (Element | string)[]
  /** Namespaces by prefix that QNames in content need. */
  readonly declarations: Readonly<Record<string, string>>
}
/** The parts of a read envelope that the readers here look at. */
export interface EnvelopeParts { readonly soap: SoapVersion; readonly header: Element | undefined; readonly body: Element }

/** Without the white space around it, as XML knows white space: tab, line feed, carriage return, space. No other character is white. */
export function trimmed(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isWhite(text.charCodeAt(start))) start++
  while (end > start && isWhite(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}
const isWhite = (unit: number): boolean => unit === 0x20 || unit === 0x0a || unit === 0x09 || unit === 0x0d

const ENGLISH = new Qualified('xml', 'lang', NS.xml, 'en')
const WORDS11 = vocabulary('s', SOAP11.ns)
const WORDS12 = vocabulary('s', SOAP12.ns)
const WORDS_MC = vocabulary('wsmc', NS.wsmc)
/** The names of this SOAP version, under the prefix `s`. */
export const soapWords = (soap: SoapVersion): Vocabulary => (soap.name === '1.1' ? WORDS11 : WORDS12)
/** The attribute that makes a header mandatory. */
export const mandatory = (soap: SoapVersion): Qualified => soapWords(soap).attribute('mustUnderstand', soap.mustUnderstand)

/**
 * The header blocks meant for the ultimate receiver, in order.
 * SOAP 1.2 Part 1 §2.2, SOAP 1.1 §4.2.2: a header for another node is not ours, whatever it is called.
 */
export function headersForUs(envelope: EnvelopeParts): readonly Element[] {
  if (envelope.header === undefined) return []
  return envelope.header.elements().filter((each) => envelope.soap.ultimateRoles.includes(trimmed(each.attribute(envelope.soap.roleAttribute, envelope.soap.ns) ?? '')))
}

const NEXT = new Set(['http://schemas.xmlsoap.org/soap/actor/next', 'http://www.w3.org/2003/05/soap-envelope/role/next'])
/** Names of the headers that must be understood here and are not among `understood`. */
export function notUnderstood(envelope: EnvelopeParts, understood: ReadonlySet<string>): readonly QName[] {
  const { header, soap } = envelope
  if (header === undefined) return []
  return header
    .elements()
    .filter((each) => {
      const role = trimmed(each.attribute(soap.roleAttribute, soap.ns) ?? '')
      return (soap.ultimateRoles.includes(role) || NEXT.has(role)) && isMandatory(each, soap) && !understood.has(each.qname)
    })
    .map((each) => each.qname)
}

/**
 * Refuses a message with a mandatory header that nobody understands.
 *
 * @throws {PeerViolation} ERR_SOAP_MUST_UNDERSTAND
 */
export function requireUnderstood(envelope: EnvelopeParts, understood: ReadonlySet<string>): void {
  // SOAP 1.2 Part 1 §2.4, SOAP 1.1 §4.2.3: a mandatory header for us that is not understood ends the processing.
  const names = notUnderstood(envelope, understood)
  const [first] = names
  if (first === undefined) return
  const told = names.filter((name) => name.length <= TEXT_LIMIT).slice(0, MOST_TOLD)
  throw new PeerViolation('ERR_SOAP_MUST_UNDERSTAND', `the header ${first.slice(0, TEXT_LIMIT)} must be understood and is not`, FAULTS.mustUnderstand, { notUnderstood: told })
}

/** Longest text of a fault that is kept: a peer may put a stack trace there. */
const TEXT_LIMIT = 256
/** A peer that asks for more than these learns enough. Choice. */
const MOST_TOLD = 8

function isMandatory(header: Element, soap: SoapVersion): boolean {
  const value = trimmed(header.attribute('mustUnderstand', soap.ns) ?? 'false')
  if (value === '0' || value === 'false') return false
  // Peer Metro 4: writes "true" in SOAP 1.1 too, where the schema knows 0 and 1 only; taken for what it means.
  if (value === '1' || value === 'true') return true
  throw new PeerViolation('ERR_SOAP_MUST_UNDERSTAND', 'mustUnderstand is not a boolean', FAULTS.malformed)
}

/** A message without security, as text: bootstrap under TLS, and faults that are sent before there is a key. */
export function writeEnvelope(soap: SoapVersion, parts: Pick<MessageParts, 'headers' | 'declarations'> & { readonly body: readonly Element[] }): string {
  const s = soapWords(soap)
  const root = s('Envelope', parts.headers.length === 0 ? undefined : s('Header', parts.headers), s('Body', parts.body))
  return writeDocument(root, parts.declarations)
}

// ---- faults, written ----

export interface FaultVersions { readonly soap: SoapVersion; readonly addressing: AddressingVersion; readonly rm: RmVersion; readonly sc?: ScVersion }
export interface FaultContent {
  readonly row: FaultRow
  /** The sequence that an RM fault is about. */
  readonly sequence?: string
  /** MessageNumberRollover. */
  readonly maxNumber?: number
  /** InvalidAcknowledgement: the offending acknowledgement, written. */
  readonly acknowledgement?: Element
  /** MustUnderstand: the headers that were not understood. UnsupportedSelection: the criteria. */
  readonly notUnderstood?: readonly QName[]
}

/** Names without namespace: the children of a SOAP 1.1 Fault. */
const bare = vocabulary('', '')
/** Faults about CreateSequence or a missing sequence: no header of theirs can be named, so SOAP 1.1 has them in faultcode. */
const WITHOUT_SEQUENCE_FAULT: ReadonlySet<string> = new Set(['CreateSequenceRefused', 'WSRMRequired'])
const SOAP11_CODES: ReadonlyMap<string, string> = new Map([['Sender', 'Client'], ['Receiver', 'Server']])

/** The parts of a fault message: action, headers beside the addressing ones, Body content. */
export function writeFault(fault: FaultContent, versions: FaultVersions): MessageParts {
  const row = inVersion(fault.row, versions)
  // BP 2.0 R1035: MustUnderstand and VersionMismatch have an action of their own.
  const isOfSoap = row === FAULTS.mustUnderstand || row === FAULTS.versionMismatch
  const action = row.family === 'wsrm' ? versions.rm.faultAction : row.family === 'wsmc' ? MC_FAULT_ACTION : isOfSoap ? versions.addressing.soapFaultAction : versions.addressing.faultAction
  const declared = subcodeNamespace(row, versions)
  const declarations: Record<string, string> = declared === undefined ? {} : { [row.family]: declared }
  const content = { ...fault, row }
  return versions.soap.name === '1.2' ? { action, ...fault12(content, versions, declarations) } : { action, ...fault11(content, versions, declarations) }
}
/** A fault as the versions that it is written in have it. */
function inVersion(row: FaultRow, { addressing, rm }: FaultVersions): FaultRow {
  const known = row === FAULTS.wsrmRequired && !rm.hasWsrmRequired ? FAULTS.actionNotSupported : row
  if (known.family !== 'wsa') return known
  const { within, ...outer } = known
  return { ...outer, name: addressing.faultNames.get(known.name) ?? known.name, ...(within !== undefined && addressing.hasInnerSubcodes && { within }) }
}

type FaultParts = Pick<MessageParts, 'headers' | 'body' | 'declarations'>
function fault12(fault: FaultContent, versions: FaultVersions, declarations: Record<string, string>): FaultParts {
  const s = soapWords(versions.soap)
  const { row } = fault
  const code = row.family === 'soap' ? row.name : row.code
  const within = row.within === undefined ? undefined : s('Subcode', s('Value', `${row.family}:${row.within}`))
  const subcode = row.family === 'soap' || row.family === 'none' ? undefined : s('Subcode', s('Value', `${row.family}:${row.name}`), within)
  const detail = faultDetail(fault, versions, declarations)
  const body = s(
    'Fault', s('Code', s('Value', `s:${code}`), subcode), s('Reason', s('Text', ENGLISH, row.reason)),
    detail.length === 0 ? undefined : s('Detail', detail),
  )
  // SOAP 1.2 Part 1 §5.4.8: each header that was not understood is named in a NotUnderstood header.
  const headers = row !== FAULTS.mustUnderstand ? [] : declared(fault.notUnderstood ?? [], declarations).map((qname) => s('NotUnderstood', { qname }))
  return { headers, body: [body], declarations }
}

function fault11(fault: FaultContent, versions: FaultVersions, declarations: Record<string, string>): FaultParts {
  const { row } = fault
  const generic = `s:${SOAP11_CODES.get(row.code) ?? row.code}`
  // WSA 1.0 SOAP §6.2: SOAP 1.1 has one faultcode, the most exact one.
  const own = row.family === 'soap' ? `s:${SOAP11_CODES.get(row.name) ?? row.name}` : row.family === 'none' ? generic : `${row.family}:${row.within ?? row.name}`
  // WS-RM 1.1 §4 (SOAP 1.1 binding): a fault of an RM header has a generic faultcode and says the rest in a SequenceFault header.
  const inHeader = row.family === 'wsrm' && !WITHOUT_SEQUENCE_FAULT.has(row.name)
  // RSP 1.0 R2200: a fault of MakeConnection has its detail as SOAP 1.1 has it.
  const detail = row.family === 'wsmc' ? faultDetail(fault, versions, declarations) : []
  const body = soapWords(versions.soap)('Fault', bare('faultcode', inHeader ? generic : own), bare('faultstring', row.reason), detail.length === 0 ? undefined : bare('detail', detail))
  return { headers: inHeader ? [sequenceFault(fault, versions)] : [], body: [body], declarations }
}

function sequenceFault(fault: FaultContent, versions: FaultVersions): Element {
  const wsrm = vocabulary('wsrm', versions.rm.ns)
  const detail = faultDetail(fault, versions, {})
  // WS-RM 1.1 §4: SequenceFault/Detail; RM 1.0 has the detail as children of SequenceFault itself.
  const wrapped = detail.length === 0 ? undefined : versions.rm.hasFaultDetail ? wsrm('Detail', detail) : detail
  return wsrm('SequenceFault', wsrm('FaultCode', `wsrm:${fault.row.name}`), wrapped)
}

/** Names as QNames; the prefixes that they get are declared. */
function declared(names: readonly QName[], declarations: Record<string, string>): readonly string[] {
  return names.map((name, index) => {
    const [ns, local] = splitQName(name)
    if (ns !== '') declarations[`n${index}`] = ns
    return ns === '' ? local : `n${index}:${local}`
  })
}

function faultDetail(fault: FaultContent, versions: FaultVersions, declarations: Record<string, string>): readonly Element[] {
  // WS-MakeConnection §4.1: one UnsupportedElement for each criterion that is not known.
  if (fault.row === FAULTS.unsupportedSelection) return declared(fault.notUnderstood ?? [], declarations).map((name) => WORDS_MC('UnsupportedElement', name))
  if (fault.row.family !== 'wsrm') return []
  const wsrm = vocabulary('wsrm', versions.rm.ns)
  // WS-RM 1.1 §4.4: InvalidAcknowledgement shows the acknowledgement, the others the sequence.
  if (fault.acknowledgement !== undefined) return [fault.acknowledgement]
  if (fault.sequence === undefined) return []
  const identifier = wsrm('Identifier', fault.sequence)
  return fault.maxNumber === undefined || !versions.rm.hasMaxMessageNumber ? [identifier] : [identifier, wsrm('MaxMessageNumber', String(fault.maxNumber))]
}

function subcodeNamespace(row: FaultRow, versions: FaultVersions): string | undefined {
  const sc = versions.sc ?? SC13
  const families: Readonly<Record<FaultRow['family'], string | undefined>> = {
    wsrm: versions.rm.ns, wsmc: NS.wsmc, wsse: NS.wsse, wsu: NS.wsu, wsc: sc.ns, wst: sc.trust.ns, wsa: versions.addressing.ns, soap: undefined, none: undefined,
  }
  return families[row.family]
}

/** A fault that an application throws, as the text of the element in Body; prefixes that its code needs are declared on it. */
export function writeApplicationFault(
  soap: SoapVersion,
  fault: { readonly code: 'Sender' | 'Receiver'; readonly subcode?: QName | undefined; readonly reason: string; readonly detail?: readonly Element[] | undefined },
): string {
  const s = soapWords(soap)
  const [ns, local] = fault.subcode === undefined ? ['', ''] : splitQName(fault.subcode)
  const declarations: Record<string, string> = ns === '' ? {} : { code: ns }
  const own = ns === '' ? local : `code:${local}`
  const detail = fault.detail === undefined || fault.detail.length === 0 ? undefined : fault.detail
  const element = soap.name === '1.2'
    ? s('Fault', s('Code', s('Value', `s:${fault.code}`), own === '' ? undefined : s('Subcode', s('Value', own))),
        s('Reason', s('Text', ENGLISH, fault.reason)), detail && s('Detail', detail))
    : s('Fault', bare('faultcode', own === '' ? `s:${SOAP11_CODES.get(fault.code) ?? fault.code}` : own), bare('faultstring', fault.reason), detail && bare('detail', detail))
  return writeDocument(element, declarations)
}

/** The namespaces that the codes of a fault need: to be declared on the envelope, since canonical form does not see content. */
export function faultDeclarations(fault: Element): Readonly<Record<string, string>> {
  const declarations: Record<string, string> = {}
  for (const value of codeValues(fault)) {
    const prefix = prefixOf(value.text)
    const ns = prefix === '' || prefix === 's' ? undefined : lookup(value.scope, prefix)
    if (ns !== undefined && ns !== '') declarations[prefix] = ns
  }
  return declarations
}
function codeValues(fault: Element): readonly Element[] {
  const code = fault.first(fault.ns, 'Code')
  const subcode = code?.first(fault.ns, 'Subcode')
  return [code?.first(fault.ns, 'Value'), subcode?.first(fault.ns, 'Value'), fault.first('', 'faultcode')].filter((each) => each !== undefined)
}

// ---- faults, read ----

const IDENTIFIER_LIMIT = 1_024
const GENERIC_CODES: ReadonlyMap<string, string> = new Map([
  ['Client', 'Sender'], ['Server', 'Receiver'], ['Sender', 'Sender'], ['Receiver', 'Receiver'],
  ['MustUnderstand', 'MustUnderstand'], ['VersionMismatch', 'VersionMismatch'], ['DataEncodingUnknown', 'DataEncodingUnknown'],
])
/** RM subcodes by their lower-case local names. */
const RM_FAULTS: ReadonlyMap<string, string> = new Map(
  ['SequenceTerminated', 'UnknownSequence', 'InvalidAcknowledgement', 'MessageNumberRollover', 'CreateSequenceRefused', 'SequenceClosed', 'WSRMRequired', 'LastMessageNumberExceeded'].map((name) => [name.toLowerCase(), name]),
)

/** The Fault element of this Body, of either SOAP version. */
export function faultOf(body: Element): Element | undefined {
  const [first] = body.elements()
  return first !== undefined && first.local === 'Fault' && first.ns === body.ns ? first : undefined
}

/**
 * Reads a fault, tolerantly: peers differ in where they say what. Recognised by the Body, never by the action.
 * `detailLimit` is for faults under protection, whose detail the application wants whole.
 */
export function readFault(fault: Element, headers: readonly Element[] = [], detailLimit: number = TEXT_LIMIT): ReceivedFault {
  const sequenceFault = headers.find((each) => each.local === 'SequenceFault' && RM_VERSIONS.has(each.ns))
  const generic = fault.first(fault.ns, 'Code')
  const codeValue = generic?.first(fault.ns, 'Value') ?? fault.first('', 'faultcode')
  const subcodeValue = generic?.first(fault.ns, 'Subcode')?.first(fault.ns, 'Value') ?? fault.first('', 'faultcode')
  const detail = fault.first(fault.ns, 'Detail') ?? fault.first('', 'detail')
  const code = GENERIC_CODES.get(localOf(codeValue?.text ?? '')) ?? 'Sender'
  const subcode = subcodeValue === undefined ? undefined : qnameOf(subcodeValue)
  const known = subcode !== undefined && GENERIC_CODES.has(localOf(subcodeValue?.text ?? '')) && generic === undefined ? undefined : subcode
  const rmFault = rmFaultOf(sequenceFault?.elements().find((each) => each.local === 'FaultCode')) ?? rmFaultOf(subcodeValue)
  const sequence = rmFault === undefined ? undefined : faultySequence(sequenceFault, detail)
  const reason = fault.first(fault.ns, 'Reason')?.first(fault.ns, 'Text')?.text ?? fault.first('', 'faultstring')?.text ?? ''
  const inside = detail === undefined ? '' : trimmed(detail.children.map((child) => (child instanceof Element ? canonicalize(child) : child.value)).join(''))
  return {
    code, reason: trimmed(reason).slice(0, TEXT_LIMIT),
    ...(known !== undefined && { subcode: known }), ...(rmFault !== undefined && { rmFault }), ...(sequence !== undefined && { sequence }),
    ...(inside !== '' && { detail: inside.slice(0, detailLimit) }),
  }
}

/** WS-RM 1.1 §4: by local name, since prefixes of codes are not always bound; WCF writes WsrmRequired. */
function rmFaultOf(value: Element | undefined): string | undefined {
  if (value === undefined) return undefined
  const ns = lookup(value.scope, prefixOf(value.text))
  if (ns !== undefined && ns !== '' && !RM_VERSIONS.has(ns)) return undefined
  return RM_FAULTS.get(localOf(value.text).toLowerCase())
}

/** SequenceFault/Detail, SequenceFault itself, or the fault's own detail: whichever names the sequence. */
function faultySequence(sequenceFault: Element | undefined, detail: Element | undefined): string | undefined {
  const places = [sequenceFault?.elements().find((each) => each.local === 'Detail'), sequenceFault, detail]
  for (const place of places) {
    const found = place === undefined ? undefined : identifierIn(place)
    if (found !== undefined) return found
  }
  // Peer CXF 4: the Detail of UnknownSequence is the bare identifier.
  const text = detail?.isLeaf ? trimmed(detail.text) : ''
  return text !== '' && text.length <= IDENTIFIER_LIMIT ? text : undefined
}
function identifierIn(place: Element): string | undefined {
  for (const child of place.elements()) {
    if (!RM_VERSIONS.has(child.ns)) continue
    const identifier = child.local === 'Identifier' ? child : child.local === 'SequenceAcknowledgement' ? child.first(child.ns, 'Identifier') : undefined
    const text = identifier?.isLeaf ? trimmed(identifier.text) : ''
    if (text !== '' && text.length <= IDENTIFIER_LIMIT) return text
  }
  return undefined
}

const prefixOf = (qname: string): string => {
  const text = trimmed(qname)
  const colon = text.indexOf(':')
  return colon < 0 ? '' : text.slice(0, colon)
}
const localOf = (qname: string): string => trimmed(qname).slice(0, TEXT_LIMIT).split(':').at(-1) ?? ''
/** `{ns}local`, or the bare local name when the prefix is not bound. */
function qnameOf(value: Element): string {
  const ns = lookup(value.scope, prefixOf(value.text))
  return ns === undefined ? localOf(value.text) : `{${ns}}${localOf(value.text)}`
}
function splitQName(name: QName): readonly [ns: string, local: string] {
  const end = name.indexOf('}')
  return [name.slice(1, end), name.slice(end + 1)]
}
