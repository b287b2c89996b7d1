/**
 * WS-Addressing 1.0 and 2004/08: message properties and endpoint references, read and written by row.
 *
 * @module
 */
import { DEFAULT_LIMITS } from '../options.ts'
import { FAULTS, PeerViolation } from '../errors.ts'
import type { ReceivedAddress } from '../rm/turn.ts'
import { ADDRESSING_VERSIONS, type AddressingVersion, MC_ANONYMOUS_PREFIX, type SoapVersion, WSA04, WSA10 } from '../spec/versions.ts'
import type { Element } from '../xml/tree.ts'
import { type Vocabulary, vocabulary } from '../xml/writer.ts'
import { type EnvelopeParts, headersForUs, mandatory, trimmed } from './envelope.ts'

/** The message addressing properties that this library uses. */
export interface Addressing {
  readonly version: AddressingVersion
  readonly action: string
  readonly to?: string
  readonly messageId?: string
  readonly relatesTo?: string
  readonly replyTo: ReceivedAddress
  readonly faultTo?: ReceivedAddress
  /** The header blocks that these were read from: what must be covered before they are believed. */
  readonly elements: readonly Element[]
}

const NAMES = ['To', 'From', 'ReplyTo', 'FaultTo', 'Action', 'MessageID', 'RelatesTo'] as const
/** Names of the headers that are understood here. */
export const UNDERSTOOD_ADDRESSING: readonly string[] = [WSA10, WSA04].flatMap((version) => NAMES.map((name) => `{${version.ns}}${name}`))

/** Longest URI that is read; identifiers are held to `identifierLength`. */
const URI_LENGTH = 4_096

/**
 * Reads the addressing headers for us; undefined when there are none.
 *
 * @throws {PeerViolation} ERR_WSA_*: two versions mixed, no Action, a property twice, a property that is no text
 */
export function readAddressing(envelope: EnvelopeParts): Addressing | undefined {
  const elements = headersForUs(envelope).filter((each) => ADDRESSING_VERSIONS.has(each.ns))
  const [first] = elements
  if (first === undefined) return undefined
  const action = elements.find((each) => each.local === 'Action')
  const version = ADDRESSING_VERSIONS.get((action ?? first).ns)
  // WSA 1.0 SOAP §6.4.1.4: Action is the one property that every message has.
  if (action === undefined || version === undefined) throw new PeerViolation('ERR_WSA_NO_ACTION', 'the message has no wsa:Action', FAULTS.messageAddressingHeaderRequired)
  if (elements.some((each) => each.ns !== version.ns)) throw invalid('ERR_WSA_MIXED', 'two versions of WS-Addressing in one message')
  const single = (local: string): Element | undefined => {
    const found = elements.filter((each) => each.local === local)
    // WSA 1.0 SOAP §6.4.1.1: a property that may stand once, stands once.
    if (found.length > 1) throw twice(`wsa:${local} stands twice`)
    return found[0]
  }
  const to = single('To')
  const messageId = single('MessageID')
  const replyTo = single('ReplyTo')
  const faultTo = single('FaultTo')
  single('Action')
  const relatesTo = replyRelation(elements, version)
  return {
    version, elements, action: uri(action, URI_LENGTH), replyTo: replyTo === undefined ? { kind: 'absent' } : readEndpoint(replyTo, version),
    ...(faultTo !== undefined && { faultTo: readEndpoint(faultTo, version) }),
    ...(to !== undefined && { to: uri(to, URI_LENGTH) }),
    ...(messageId !== undefined && { messageId: uri(messageId, DEFAULT_LIMITS.identifierLength) }),
    ...(relatesTo !== undefined && { relatesTo: uri(relatesTo, DEFAULT_LIMITS.identifierLength) }),
  }
}

/** The one RelatesTo that says "reply"; other relationships may stand beside it. */
function replyRelation(elements: readonly Element[], version: AddressingVersion): Element | undefined {
  const replies = elements.filter((each) => each.local === 'RelatesTo' && isReply(trimmed(each.attribute('RelationshipType') ?? ''), version))
  if (replies.length > 1) throw twice('wsa:RelatesTo says twice what is replied to')
  return replies[0]
}
// WSA 1.0 Core §3.1: a URI, by default …/reply. WSA 2004/08 §3: a QName, by default wsa:Reply.
function isReply(type: string, version: AddressingVersion): boolean {
  return type === '' || type === `${version.ns}/reply` || type.slice(type.indexOf(':') + 1) === 'Reply'
}

/**
 * Reads an endpoint reference (the content of ReplyTo, AcksTo, Endpoint): its Address.
 *
 * @throws {PeerViolation} ERR_WSA_ADDRESS: no Address of this version in it
 */
export function readEndpoint(reference: Element, version: AddressingVersion): ReceivedAddress {
  const addresses = reference.all(version.ns, 'Address')
  const [address] = addresses
  if (address === undefined || addresses.length > 1) throw invalid('ERR_WSA_ADDRESS', `${reference.local} is no endpoint reference of this version of WS-Addressing`)
  const text = uri(address, URI_LENGTH)
  if (text === version.anonymous) return { kind: 'anonymous' }
  if (text === version.none) return { kind: 'none' }
  return { kind: text.startsWith(MC_ANONYMOUS_PREFIX) ? 'make-connection' : 'address', address: text }
}

function uri(element: Element, limit: number): string {
  if (!element.isLeaf) throw invalid('ERR_WSA_CONTENT', `${element.local} holds more than text`)
  const text = trimmed(element.text)
  if (text === '' || text.length > limit) throw invalid('ERR_WSA_CONTENT', `${element.local} is empty or too long`)
  return text
}
const twice = (message: string): PeerViolation => new PeerViolation('ERR_WSA_TWICE', message, FAULTS.invalidCardinality)
const invalid = (code: string, message: string): PeerViolation => new PeerViolation(code, message, FAULTS.invalidAddressingHeader)

// ---- written ----

const WORDS10 = vocabulary('wsa', WSA10.ns)
const WORDS04 = vocabulary('wsa', WSA04.ns)
export const addressingWords = (version: AddressingVersion): Vocabulary => (version.name === '200508' ? WORDS10 : WORDS04)

export interface AddressingWords {
  readonly action: string
  /** Absent: the anonymous address, which is where an answer on the back-channel goes. */
  readonly to?: string | undefined
  readonly messageId?: string | undefined
  readonly relatesTo?: string | undefined
  /** Absent: not written. */
  readonly replyTo?: 'anonymous' | (string & {}) | undefined
}

export function writeAddressing(words: AddressingWords, version: AddressingVersion, soap: SoapVersion): readonly Element[] {
  const wsa = addressingWords(version)
  const headers = [
    wsa('To', mandatory(soap), words.to ?? version.anonymous),
    wsa('Action', mandatory(soap), words.action),
  ]
  if (words.messageId !== undefined) headers.push(wsa('MessageID', words.messageId))
  if (words.relatesTo !== undefined) headers.push(wsa('RelatesTo', words.relatesTo))
  if (words.replyTo !== undefined) headers.push(wsa('ReplyTo', writeAddress(words.replyTo, version)))
  return headers
}

/** The Address of an endpoint reference. */
export const writeAddress = (address: 'anonymous' | (string & {}), version: AddressingVersion): Element =>
  addressingWords(version)('Address', address === 'anonymous' ? version.anonymous : address)
