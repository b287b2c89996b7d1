/**
 * WS-ReliableMessaging 1.0 and 1.1/1.2: headers and bodies to words and back, both versions by row.
 * Lax where peers are known to differ, each time with the peer's name beside it; strict everywhere else.
 *
 * @module
 */
import { FAULTS, PeerViolation, UsageError } from '../errors.ts'
import { DEFAULT_LIMITS } from '../options.ts'
import type { Acknowledgement, Outbound, OutboundBody, ReceivedAcknowledgement, ReceivedAddress, ReceivedFault, SequenceId } from '../rm/turn.ts'
import { ADDRESSING_VERSIONS, type AddressingVersion, MC_ACTION, NS, RM10, RM11, RM_VERSIONS, type RmVersion, rmAction, SC_VERSIONS, type ScVersion, type SoapVersion } from '../spec/versions.ts'
import type { Element } from '../xml/tree.ts'
import { type Vocabulary, vocabulary } from '../xml/writer.ts'
import { readEndpoint, writeAddress } from './addressing.ts'
import { type EnvelopeParts, faultOf, headersForUs, mandatory, type MessageParts, readFault, trimmed, writeFault } from './envelope.ts'

/** Names of the headers that are understood here. WS-RM 1.1 §6.2: UsesSequenceSSL is not among them, so it is refused. */
export const UNDERSTOOD_RELIABLE: readonly string[] = [
  ...[RM11, RM10].flatMap((version) =>
    ['Sequence', 'SequenceAcknowledgement', 'AckRequested', 'SequenceFault', ...(version.hasUsesSequenceStr ? ['UsesSequenceSTR'] : [])].map((name) => `{${version.ns}}${name}`)),
  `{${NS.wsmc}}MessagePending`,
]

/** How a CreateSequence names the token that it is scoped to. */
export interface ScopeReference {
  readonly form: 'attached' | 'unattached' | 'key-identifier' | 'other'
  readonly uri: string
  readonly valueType?: string
  readonly instance?: string
}
export type ReliableBody =
  | { readonly kind: 'create-sequence'; readonly acksTo: ReceivedAddress; readonly expiresMs?: number; readonly str?: ScopeReference
      readonly offer?: { readonly sequence: SequenceId; readonly endpoint?: ReceivedAddress; readonly expiresMs?: number } }
  | { readonly kind: 'create-sequence-response'; readonly sequence: SequenceId; readonly expiresMs?: number; readonly accept?: { readonly acksTo: ReceivedAddress } }
  | { readonly kind: 'close-sequence' | 'terminate-sequence'; readonly sequence: SequenceId; readonly lastNumber?: bigint }
  | { readonly kind: 'close-sequence-response' | 'terminate-sequence-response'; readonly sequence: SequenceId }
  | { readonly kind: 'make-connection'; readonly address: string }
  | { readonly kind: 'application'; readonly element: Element }
  | { readonly kind: 'empty' }
  | { readonly kind: 'fault'; readonly fault: ReceivedFault; readonly element: Element }

/** What a message says in WS-RM terms. `element` is the header that says so: what must be covered before it is believed (D9). */
export interface Reliable {
  readonly rm: RmVersion | undefined
  readonly sequence?: { readonly element: Element; readonly id: SequenceId; readonly number: bigint; readonly last: boolean }
  readonly acknowledgements: readonly (ReceivedAcknowledgement & { readonly element: Element })[]
  readonly ackRequested: readonly { readonly element: Element; readonly id: SequenceId }[]
  readonly usesSequenceStr: boolean
  /** wsmc:MessagePending. */
  readonly pending?: boolean
  /** Every header of RM and MakeConnection for us, whatever its name. */
  readonly elements: readonly Element[]
  readonly body: ReliableBody
}

/** A message has one header of each kind for each sequence of its pair, seldom more. Choice. */
const MOST_HEADERS = 64
/** Criteria of a poll that are named in the fault. Choice. */
const MOST_TOLD = 8
/** As for every address. */
const URI_LENGTH = 4_096

export interface ReadOptions {
  /** The WS-Addressing version of the message, for the endpoint references in it; by default that of the reference itself. */
  readonly addressing?: AddressingVersion | undefined
  /** Longest fault detail that is kept. */
  readonly detailLimit?: number
}

/**
 * Reads the RM headers for us and the Body.
 *
 * @throws {PeerViolation} ERR_RM_*, with the fault that the peer is told
 */
export function readReliable(envelope: EnvelopeParts, options: ReadOptions = {}): Reliable {
  const forUs = headersForUs(envelope)
  const elements = forUs.filter((each) => RM_VERSIONS.has(each.ns))
  const waiting = forUs.filter((each) => each.ns === NS.wsmc)
  const bodyElements = envelope.body.elements()
  const [first] = bodyElements
  if (elements.length > MOST_HEADERS) throw malformed('ERR_RM_MANY', 'too many RM headers')
  // A fault may be told in another version than was asked in; everything else is one version.
  const named = first !== undefined && RM_VERSIONS.has(first.ns) ? [...elements, first] : elements
  const rm = RM_VERSIONS.get(named[0]?.ns ?? '')
  if (named.some((each) => each.ns !== rm?.ns)) throw malformed('ERR_RM_MIXED', 'two versions of WS-RM in one message')
  const of = (local: string): readonly Element[] => elements.filter((each) => each.local === local)

  const sequences = of('Sequence')
  // WS-RM 1.1 §3.7: at most one Sequence header in a message.
  if (sequences.length > 1) throw malformed('ERR_RM_SEQUENCE', 'two Sequence headers')
  const [sequence] = sequences
  const acknowledgements = readAcknowledgements(of('SequenceAcknowledgement'), rm ?? RM11)
  const ackRequested = of('AckRequested').map((element) => ({ element, id: identifierIn(element) }))
  const pending = waiting.find((each) => each.local === 'MessagePending')
  return {
    rm, elements: [...elements, ...waiting], acknowledgements, ackRequested,
    ...(pending !== undefined && { pending: isPending(pending) }),
    ...(sequence !== undefined && { sequence: readSequence(sequence, rm ?? RM11) }),
    usesSequenceStr: of('UsesSequenceSTR').length > 0,
    body: readBody(envelope, bodyElements, elements, options),
  }
}

// WS-MakeConnection §3.3: the attribute has no namespace. Peer WCF's sample: it has; and whatever cannot be read says nothing.
const isPending = (element: Element): boolean => ['true', '1'].includes(trimmed(element.attribute('pending') ?? element.attribute('pending', NS.wsmc) ?? ''))

function readSequence(element: Element, rm: RmVersion): NonNullable<Reliable['sequence']> {
  const last = element.all(element.ns, 'LastMessage')
  if (last.length > (rm.hasLastMessage ? 1 : 0)) throw malformed('ERR_RM_SEQUENCE', 'LastMessage in a version without it, or twice')
  // WS-RM 1.1 §3.7: numbers run from 1 to 2^63 - 1. §4.5: one above that has rolled over, which its sequence answers, if there is one.
  return { element, id: identifierIn(element), number: readNumber(only(element, 'MessageNumber')), last: last.length > 0 }
}

type Acknowledged = ReceivedAcknowledgement & { readonly element: Element }
/** WS-RM 1.1 §3.2: a header that rides along and is wrong does not keep its carrier from being worked on: what is wrong is told beside it. */
function readAcknowledgements(headers: readonly Element[], rm: RmVersion): readonly Acknowledged[] {
  const read = headers.map((each) => readAcknowledgement(each, rm))
  return read.map((each) => {
    // WS-RM 1.1 §3.9: never two acknowledgements of one sequence in an envelope; neither is the one to believe.
    const isTwice = read.some((other) => other !== each && other.sequence === each.sequence)
    const invalid = isTwice ? 'one sequence acknowledged twice' : wrongIn(each, rm)
    if (invalid !== undefined) return { ...each, invalid }
    return { ...each, ranges: each.ranges.toSorted((left, right) => (left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0)) }
  })
}

/** The words as they stand; a number that cannot be read is -1. */
function readAcknowledgement(element: Element, rm: RmVersion): Acknowledged {
  const all = (local: string): readonly Element[] => element.all(element.ns, local)
  const [written, nacked] = [all('AcknowledgementRange'), all('Nack')]
  const isTooMany = written.length > DEFAULT_LIMITS.ackRanges || nacked.length > DEFAULT_LIMITS.ackRanges
  const bound = (range: Element, name: string): bigint => parseUnsigned(range.attribute(name) ?? '') ?? -1n
  const pairs = isTooMany ? [] : written.map((range) => [bound(range, 'Lower'), bound(range, 'Upper')] as const)
  return {
    element, sequence: identifierIn(element),
    // Peer WCF, RM 1.0: nothing received is the range 0-0.
    ranges: rm.hasNoneAndFinal ? pairs : pairs.filter(([lower, upper]) => lower !== 0n || upper !== 0n),
    nacks: isTooMany ? [] : nacked.map((each) => (each.isLeaf ? parseUnsigned(each.text) : undefined) ?? -1n),
    none: all('None').length > 0, final: all('Final').length > 0,
    ...(isTooMany && { invalid: 'an acknowledgement with too many ranges' }),
  }
}

/** WS-RM 1.1 §3.9: what an acknowledgement must be in itself; undefined when it is. */
function wrongIn({ ranges, nacks, none, final, element, invalid }: Acknowledged, rm: RmVersion): string | undefined {
  if (invalid !== undefined) return invalid
  if ((none || final) && !rm.hasNoneAndFinal) return 'None or Final in a version without them'
  if (nacks.length > 0 && (ranges.length > 0 || none || final)) return 'Nack beside ranges, None or Final'
  // Peer CXF 4: None stands behind the ranges; with ranges it says nothing. Peer Metro 4: RM 1.0 without any range means nothing accepted.
  if (element.all(element.ns, 'AcknowledgementRange').length === 0 && nacks.length === 0 && !none && rm.hasNoneAndFinal) return 'an acknowledgement that says nothing'
  if (ranges.some(([lower, upper]) => lower < 1n || lower > upper || upper > LAST_NUMBER)) return 'a range that is empty, or outside of the numbers that there are'
  if (nacks.some((number) => number < 1n || number > LAST_NUMBER)) return 'a Nack of a number that there is not'
  const sorted = ranges.toSorted((left, right) => (left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0))
  return sorted.some(([lower], at) => at > 0 && lower <= (sorted[at - 1]?.[1] ?? 0n)) ? 'ranges overlap' : undefined
}

type BodyReader = (element: Element, options: ReadOptions) => ReliableBody
const BODIES: ReadonlyMap<string, BodyReader> = new Map<string, BodyReader>([
  ['CreateSequence', readCreateSequence],
  ['CreateSequenceResponse', readCreateSequenceResponse],
  ['CloseSequence', (element) => ({ kind: 'close-sequence', sequence: identifierIn(element), ...lastNumber(element) })],
  ['TerminateSequence', (element) => ({ kind: 'terminate-sequence', sequence: identifierIn(element), ...lastNumber(element) })],
  ['CloseSequenceResponse', (element) => ({ kind: 'close-sequence-response', sequence: identifierIn(element) })],
  ['TerminateSequenceResponse', (element) => ({ kind: 'terminate-sequence-response', sequence: identifierIn(element) })],
])
/** Bodies that only some versions have. */
const NEEDS: ReadonlyMap<string, (rm: RmVersion) => boolean> = new Map([
  ['CloseSequence', (rm: RmVersion) => rm.hasCloseSequence],
  ['CloseSequenceResponse', (rm: RmVersion) => rm.hasCloseSequence],
  ['TerminateSequenceResponse', (rm: RmVersion) => rm.hasTerminateResponse],
])

function readBody(envelope: EnvelopeParts, content: readonly Element[], headers: readonly Element[], options: ReadOptions): ReliableBody {
  const [element] = content
  if (element === undefined) return { kind: 'empty' }
  const fault = faultOf(envelope.body)
  if (fault !== undefined) return { kind: 'fault', element: fault, fault: readFault(fault, headers, options.detailLimit) }
  const rm = RM_VERSIONS.get(element.ns)
  if (rm === undefined) {
    if (element.is(NS.wsmc, 'MakeConnection')) return readMakeConnection(element)
    // WS-I BP 1.2 R2201, RSP: one element in Body.
    if (content.length > 1) throw malformed('ERR_SOAP_BODY', 'more than one element in Body')
    return { kind: 'application', element }
  }
  const read = BODIES.get(element.local)
  if (read === undefined || content.length > 1 || NEEDS.get(element.local)?.(rm) === false) throw malformed('ERR_RM_BODY', 'an RM body that this version does not have')
  return read(element, options)
}

function readMakeConnection(element: Element): ReliableBody {
  const criteria = element.elements()
  // RSP 1.0 R2103: wsrm:Identifier, which drafts had, is among those that are not known.
  const unknown = criteria.filter((each) => !each.is(NS.wsmc, 'Address')).map((each) => each.qname)
  if (unknown.length > 0) throw new PeerViolation('ERR_MC_SELECTION', 'a poll selects by what is not known here', FAULTS.unsupportedSelection, { notUnderstood: unknown.slice(0, MOST_TOLD) })
  const [address] = criteria
  // WS-MakeConnection §4.2: it must say which mailbox.
  if (address === undefined) throw new PeerViolation('ERR_MC_SELECTION', 'a poll that names no mailbox', FAULTS.missingSelection)
  const text = address.isLeaf ? trimmed(address.text) : ''
  if (criteria.length > 1 || text === '' || text.length > URI_LENGTH) throw malformed('ERR_MC_ADDRESS', 'a poll names one mailbox')
  return { kind: 'make-connection', address: text }
}

/** WS-RM 1.1 §4.6: whatever is wrong with it, it is refused as what it is. */
function readCreateSequence(element: Element, options: ReadOptions): ReliableBody {
  try {
    return createSequenceOf(element, options)
  } catch (error) {
    if (error instanceof PeerViolation && error.fault === FAULTS.malformed) throw new PeerViolation(error.code, error.message, FAULTS.createSequenceRefused, { cause: error })
    throw error
  }
}
function createSequenceOf(element: Element, options: ReadOptions): ReliableBody {
  const refused = (message: string): PeerViolation => new PeerViolation('ERR_RM_CREATE', message, FAULTS.createSequenceRefused)
  const references = element.all(NS.wsse, 'SecurityTokenReference')
  // WS-RM 1.1 §6.1: one token authorises the sequence.
  if (references.length > 1) throw refused('two tokens for one sequence')
  const [reference] = references
  const offers = element.all(element.ns, 'Offer')
  if (offers.length > 1) throw refused('two offers')
  const [offer] = offers
  return {
    kind: 'create-sequence', acksTo: endpointIn(only(element, 'AcksTo'), options), ...expires(element),
    ...(offer !== undefined && { offer: readOffer(offer, options) }),
    ...(reference !== undefined && { str: readScope(reference) }),
  }
}
function readOffer(offer: Element, options: ReadOptions): { readonly sequence: SequenceId; readonly endpoint?: ReceivedAddress; readonly expiresMs?: number } {
  const endpoint = offer.first(offer.ns, 'Endpoint')
  return { sequence: identifierIn(offer), ...(endpoint !== undefined && { endpoint: endpointIn(endpoint, options) }), ...expires(offer) }
}

/** Peer CXF 4 and others: ValueType may be missing; a renewal may add an Instance. */
function readScope(reference: Element): ScopeReference {
  const direct = reference.first(NS.wsse, 'Reference')
  if (direct === undefined) {
    const identifier = reference.first(NS.wsse, 'KeyIdentifier')
    return { form: identifier === undefined ? 'other' : 'key-identifier', uri: trimmed(identifier?.text ?? '').slice(0, DEFAULT_LIMITS.identifierLength) }
  }
  const uri = direct.attribute('URI') ?? ''
  if (uri.length > DEFAULT_LIMITS.identifierLength) throw new PeerViolation('ERR_RM_CREATE', 'a token reference that is too long', FAULTS.createSequenceRefused)
  const valueType = direct.attribute('ValueType')
  const instance = [...SC_VERSIONS.keys()].map((ns) => direct.attribute('Instance', ns)).find((value) => value !== undefined)
  return { form: uri.startsWith('#') ? 'attached' : 'unattached', uri, ...(valueType !== undefined && { valueType }), ...(instance !== undefined && { instance }) }
}

function readCreateSequenceResponse(element: Element, options: ReadOptions): ReliableBody {
  const accept = element.first(element.ns, 'Accept')
  return {
    kind: 'create-sequence-response', sequence: identifierIn(element), ...expires(element),
    ...(accept !== undefined && { accept: { acksTo: endpointIn(only(accept, 'AcksTo'), options) } }),
  }
}

function lastNumber(element: Element): { readonly lastNumber?: bigint } {
  const found = element.all(element.ns, 'LastMsgNumber')
  if (found.length > 1) throw malformed('ERR_RM_BODY', 'LastMsgNumber twice')
  // Peer Metro 4: its sequence in which nothing was sent ends with LastMsgNumber 0.
  if (found[0] === undefined || (found[0].isLeaf && parseUnsigned(found[0].text) === 0n)) return {}
  const number = readNumber(found[0])
  if (number > LAST_NUMBER) throw malformed('ERR_RM_NUMBER', 'LastMsgNumber above 2^63 - 1')
  return { lastNumber: number }
}

/** The version of WS-Addressing in the reference is that of the message: RM 1.0 goes with either. */
function endpointIn(element: Element, options: ReadOptions): ReceivedAddress {
  const version = options.addressing ?? ADDRESSING_VERSIONS.get(element.elements().find((each) => each.local === 'Address')?.ns ?? '')
  if (version === undefined) throw malformed('ERR_RM_ENDPOINT', `${element.local} is no endpoint reference`)
  return readEndpoint(element, version)
}

function expires(element: Element): { readonly expiresMs?: number } {
  const found = element.all(element.ns, 'Expires')
  if (found.length > 1) throw malformed('ERR_RM_EXPIRES', 'Expires twice')
  if (found[0] === undefined) return {}
  const ms = readDuration(found[0].text)
  if (ms === undefined) throw malformed('ERR_RM_EXPIRES', 'Expires is no duration')
  // WS-RM 1.1 §3.4: PT0S means never, as does leaving it out.
  return ms === 0 ? {} : { expiresMs: ms }
}

function only(parent: Element, local: string): Element {
  const found = parent.all(parent.ns, local)
  const [element] = found
  if (element === undefined || found.length > 1) throw malformed('ERR_RM_CONTENT', `${parent.local} needs one ${local}`)
  return element
}
function identifierIn(parent: Element): SequenceId {
  const identifier = only(parent, 'Identifier')
  const text = identifier.isLeaf ? trimmed(identifier.text) : ''
  // D23: any string up to 1,024 characters, compared by code point.
  if (text === '' || text.length > DEFAULT_LIMITS.identifierLength) throw malformed('ERR_RM_IDENTIFIER', 'an Identifier that is empty or too long')
  return text
}

const LAST_NUMBER = 2n ** 63n - 1n
/** A number from 1. */
function readNumber(element: Element): bigint {
  const number = element.isLeaf ? parseUnsigned(element.text) : undefined
  if (number === undefined || number < 1n) throw malformed('ERR_RM_NUMBER', `${element.local} is no message number`)
  return number
}
/** xs:unsignedLong: digits, a plus sign and zeros in front, white space around. BigInt, so that no two numbers become one. */
export function parseUnsigned(text: string): bigint | undefined {
  if (text.length > 64) return undefined
  const digits = /^[ \t\r\n]*\+?([0-9]+)[ \t\r\n]*$/.exec(text)?.[1]
  return digits === undefined ? undefined : BigInt(digits)
}

/** A hundred years: what is longer is as long. */
const LONGEST_MS = 100 * 365 * 86_400_000
const DURATION = /^P(?:([0-9]{1,12})Y)?(?:([0-9]{1,12})M)?(?:([0-9]{1,12})D)?(?:T(?:([0-9]{1,12})H)?(?:([0-9]{1,12})M)?(?:([0-9]{1,12}(?:\.[0-9]{1,9})?)S)?)?$/
const UNITS_MS = [365 * 86_400_000, 30 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000] as const
/** xs:duration in milliseconds; undefined when it is none, or negative. A year counts 365 days, a month 30. */
export function readDuration(text: string): number | undefined {
  const written = text.length > 128 ? '' : trimmed(text)
  const parts = /[PT]$/.test(written) ? null : DURATION.exec(written)
  if (parts === null) return undefined
  const ms = UNITS_MS.reduce((sum, unit, index) => sum + Number(parts[index + 1] ?? 0) * unit, 0)
  return Math.min(Math.round(ms), LONGEST_MS)
}
export const writeDuration = (ms: number): string => `PT${ms % 1_000 === 0 ? ms / 1_000 : (ms / 1_000).toFixed(3)}S`

const malformed = (code: string, message: string): PeerViolation => new PeerViolation(code, message, FAULTS.malformed)

// ---- written ----

export interface ReliableVersions { readonly soap: SoapVersion; readonly addressing: AddressingVersion; readonly rm: RmVersion; readonly sc: ScVersion }
export interface WriteOptions extends ReliableVersions {
  /** CreateSequence: the identifier of the token that it is scoped to, and how that is said (D23). */
  readonly scope: { readonly identifier: string; readonly str: 'header' | 'body' | 'dangerOmit' }
  /** Elements of further application headers, read already. */
  readonly applicationHeaders?: readonly Element[]
}

const WORDS11 = vocabulary('wsrm', RM11.ns)
const WORDS10 = vocabulary('wsrm', RM10.ns)
const wordsOf = (rm: RmVersion): Vocabulary => (rm.name === '1.1' ? WORDS11 : WORDS10)
const wsse = vocabulary('wsse', NS.wsse)
const wsmc = vocabulary('wsmc', NS.wsmc)

/** The parts of an RM message: its action, its RM headers and its Body content; addressing and security are added by others. */
export function writeReliable(outbound: Pick<Outbound, 'body' | 'sequence' | 'acknowledgements' | 'ackRequested' | 'pending'>, options: WriteOptions): MessageParts {
  const { body } = outbound
  const own = writeBody(body, options)
  const headers = [...(options.applicationHeaders ?? []), ...own.headers]
  // WS-MakeConnection §3.3: never mandatory.
  if (outbound.pending !== undefined) headers.push(wsmc('MessagePending', { pending: String(outbound.pending) }))
  if (outbound.sequence !== undefined) headers.push(writeSequence(outbound.sequence, options))
  for (const each of outbound.acknowledgements) headers.push(writeAcknowledgement(each, options.rm))
  // WS-RM 1.1 §3.8, RSP R0540: AckRequested and SequenceAcknowledgement are never mandatory.
  for (const id of outbound.ackRequested) headers.push(wordsOf(options.rm)('AckRequested', wordsOf(options.rm)('Identifier', id)))
  return { ...own, headers }
}

function writeSequence(sequence: NonNullable<Outbound['sequence']>, { rm, soap }: ReliableVersions): Element {
  const wsrm = wordsOf(rm)
  // WS-RM 1.1 §3.7: the Sequence header is mandatory to understand.
  return wsrm(
    'Sequence', mandatory(soap), wsrm('Identifier', sequence.id), wsrm('MessageNumber', String(sequence.number)),
    sequence.last === true && rm.hasLastMessage ? wsrm('LastMessage') : undefined,
  )
}

export function writeAcknowledgement(acknowledgement: Acknowledgement, rm: RmVersion): Element {
  const wsrm = wordsOf(rm)
  const range = (lower: number, upper: number): Element => wsrm('AcknowledgementRange', { Lower: String(lower), Upper: String(upper) })
  const identifier = wsrm('Identifier', acknowledgement.sequence)
  const nacks = acknowledgement.nacks ?? []
  // WS-RM 1.1 §3.9: Nack stands alone.
  if (nacks.length > 0) return wsrm('SequenceAcknowledgement', identifier, nacks.map((number) => wsrm('Nack', String(number))))
  const ranges = acknowledgement.ranges.map(([lower, upper]) => range(lower, upper))
  // WS-RM 1.1 §3.9: None says that nothing was accepted, Final that this will not change. RM 1.0 has neither; there 0-0 says nothing.
  if (!rm.hasNoneAndFinal) return wsrm('SequenceAcknowledgement', identifier, ranges.length > 0 ? ranges : range(0, 0))
  return wsrm('SequenceAcknowledgement', identifier, ranges.length > 0 ? ranges : wsrm('None'), acknowledgement.final ? wsrm('Final') : undefined)
}

function writeBody(body: OutboundBody, options: WriteOptions): MessageParts {
  const { rm } = options
  const wsrm = wordsOf(rm)
  const message = (local: string, ...content: Parameters<Vocabulary> extends [string, ...infer Rest] ? Rest : never): MessageParts => {
    if (NEEDS.get(local)?.(rm) === false) throw new UsageError('ERR_RM_VERSION', `WS-RM ${rm.name} has no ${local}`)
    return { action: rmAction(rm, local), headers: [], body: [wsrm(local, ...content)], declarations: {} }
  }
  const empty = (local: string): MessageParts => ({ action: rmAction(rm, local), headers: [], body: [], declarations: {} })
  const ended = (sequence: SequenceId, number?: number): readonly (Element | undefined)[] => [
    wsrm('Identifier', sequence),
    // WS-RM 1.1 §3.5, §3.6: LastMsgNumber is left out when nothing was sent; RM 1.0 has none.
    number !== undefined && number > 0 && rm.hasCloseSequence ? wsrm('LastMsgNumber', String(number)) : undefined,
  ]
  switch (body.kind) {
    case 'create-sequence': return createSequence(body, options)
    case 'create-sequence-response': return message('CreateSequenceResponse', wsrm('Identifier', body.sequence), written(body.expiresMs, wsrm), behaviour(rm),
      body.accept === undefined ? undefined : wsrm('Accept', wsrm('AcksTo', writeAddress(body.accept.acksTo, options.addressing))))
    case 'application': return { action: body.content.action, headers: [], body: body.content.body === '' ? [] : [body.content.body], declarations: {} }
    case 'acknowledgement': return empty('SequenceAcknowledgement')
    case 'ack-requested': return empty('AckRequested')
    case 'last-message': return empty('LastMessage')
    // RSP 1.0 R2100, R2101: the mailbox, and nothing else.
    case 'make-connection': return { action: MC_ACTION, headers: [], body: [wsmc('MakeConnection', wsmc('Address', body.address))], declarations: {} }
    case 'close-sequence': return message('CloseSequence', ended(body.sequence, body.lastNumber))
    case 'terminate-sequence': return message('TerminateSequence', ended(body.sequence, body.lastNumber))
    case 'close-sequence-response': return message('CloseSequenceResponse', ended(body.sequence))
    case 'terminate-sequence-response': return message('TerminateSequenceResponse', ended(body.sequence))
    case 'fault': return fault(body, options)
  }
}

function createSequence(body: OutboundBody & { readonly kind: 'create-sequence' }, options: WriteOptions): MessageParts {
  const { rm, addressing, scope, soap, sc } = options
  const wsrm = wordsOf(rm)
  const offer = body.offer && wsrm(
    'Offer', wsrm('Identifier', body.offer.sequence),
    // WS-RM 1.1 §3.4: the Offer has an Endpoint; the same address as AcksTo, byte for byte (peer WCF).
    rm.hasOfferEndpoint ? wsrm('Endpoint', writeAddress(body.acksTo, addressing)) : undefined,
    written(body.offer.expiresMs, wsrm), behaviour(rm),
  )
  // WS-RM 1.1 §6.1: the token is named by a reference that stands last and means the same in any message; WS-SC 1.3 §8: no Instance,
  // since the sequence is bound to the context, whatever its key.
  const reference = scope.str === 'dangerOmit' ? undefined : wsse('SecurityTokenReference', wsse('Reference', { URI: scope.identifier, ValueType: sc.sct }))
  // WS-RM 1.1 §6.1: UsesSequenceSTR is mandatory, so that whoever cannot scope a sequence does not create it.
  const headers = scope.str === 'header' && rm.hasUsesSequenceStr ? [wsrm('UsesSequenceSTR', mandatory(soap))] : []
  const element = wsrm('CreateSequence', wsrm('AcksTo', writeAddress(body.acksTo, addressing)), written(body.expiresMs, wsrm), offer, reference)
  return { action: rmAction(rm, 'CreateSequence'), headers, body: [element], declarations: {} }
}

const written = (expiresMs: number | undefined, wsrm: Vocabulary): Element | undefined => (expiresMs === undefined ? undefined : wsrm('Expires', writeDuration(expiresMs)))
/** In order, exactly once: what comes behind a gap is not delivered. */
const behaviour = (rm: RmVersion): Element | undefined => (rm.hasOfferEndpoint ? wordsOf(rm)('IncompleteSequenceBehavior', 'DiscardFollowingFirstGap') : undefined)

function fault(body: OutboundBody & { readonly kind: 'fault' }, options: WriteOptions): MessageParts {
  const parts = writeFault({
    row: body.fault,
    ...(body.sequence !== undefined && { sequence: body.sequence }),
    ...(body.maxNumber !== undefined && { maxNumber: body.maxNumber }),
    // WS-RM 1.1 §4.4: the detail shows the offending acknowledgement.
    ...(body.offending !== undefined && { acknowledgement: repeated(body.offending, options.rm) }),
  }, options)
  // WS-RM 1.1 §3.5: a fault about a closed sequence carries its final acknowledgement.
  return body.acknowledgement === undefined ? parts : { ...parts, headers: [...parts.headers, writeAcknowledgement(body.acknowledgement, options.rm)] }
}
/** An acknowledgement as it was received, as far as it could be read. */
function repeated({ sequence, ranges, nacks, none, final }: ReceivedAcknowledgement, rm: RmVersion): Element {
  const wsrm = wordsOf(rm)
  const [spans, numbers] = [ranges.filter(([lower, upper]) => lower >= 0n && upper >= 0n), nacks.filter((number) => number >= 0n)]
  return wsrm(
    'SequenceAcknowledgement', wsrm('Identifier', sequence), spans.map(([lower, upper]) => wsrm('AcknowledgementRange', { Lower: String(lower), Upper: String(upper) })),
    none ? wsrm('None') : undefined, final ? wsrm('Final') : undefined, numbers.map((number) => wsrm('Nack', String(number))),
  )
}
