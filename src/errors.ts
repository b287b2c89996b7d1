/**
 * Error classes with stable codes, and the table of the faults that go on the wire.
 * Messages say state, event and number; never a key, a body or an expected value.
 *
 * @module
 */

/** A fault as a row: the subcode's family is resolved to the namespace of the version in use. */
export interface FaultRow {
  /** Of WS-Addressing: as 1.0 has it; the row of another version says what it is there. */
  readonly name: string
  readonly code: 'Sender' | 'Receiver'
  /** Whose namespace the subcode has; `soap` means that Code itself is the name (MustUnderstand, VersionMismatch). */
  readonly family: 'wsrm' | 'wsmc' | 'wsse' | 'wsu' | 'wsc' | 'wst' | 'wsa' | 'soap' | 'none'
  readonly reason: string
  /** A subcode of the subcode, of the same family: what exactly is wrong with an addressing header. */
  readonly within?: string
}
const row = (name: string, family: FaultRow['family'], reason: string, code: FaultRow['code'] = 'Sender'): FaultRow => ({ name, family, reason, code })
const invalidHeader = (within?: string): FaultRow => ({
  ...row('InvalidAddressingHeader', 'wsa', 'A header representing a Message Addressing Property is not valid and the message cannot be processed'), ...(within !== undefined && { within }),
})
export type FaultName =
  | 'sequenceTerminated' | 'unknownSequence' | 'invalidAcknowledgement' | 'messageNumberRollover' | 'createSequenceRefused'
  | 'createSequenceRefusedBusy' | 'sequenceClosed' | 'wsrmRequired' | 'lastMessageNumberExceeded' | 'failedCheck' | 'invalidSecurity'
  | 'unsupportedAlgorithm' | 'failedAuthentication' | 'messageExpired' | 'badContextToken' | 'unknownDerivationSource' | 'renewNeeded'
  | 'unableToRenew' | 'invalidRequest' | 'requestFailed' | 'actionNotSupported' | 'messageAddressingHeaderRequired' | 'invalidAddressingHeader'
  | 'actionMismatch' | 'invalidCardinality' | 'onlyAnonymousSupported' | 'destinationUnreachable'
  | 'mustUnderstand' | 'versionMismatch' | 'malformed' | 'receiver' | 'missingSelection' | 'unsupportedSelection'
export const FAULTS: Readonly<Record<FaultName, FaultRow>> = {
  // WS-RM 1.1 §4: reasons are the text's own.
  sequenceTerminated: row('SequenceTerminated', 'wsrm', 'The Sequence has been terminated due to an unrecoverable error.'),
  unknownSequence: row('UnknownSequence', 'wsrm', 'The value of wsrm:Identifier is not a known Sequence identifier.'),
  invalidAcknowledgement: row('InvalidAcknowledgement', 'wsrm', 'The SequenceAcknowledgement violates the cumulative Acknowledgement invariant.'),
  messageNumberRollover: row('MessageNumberRollover', 'wsrm', 'The maximum value for wsrm:MessageNumber has been exceeded.'),
  createSequenceRefused: row('CreateSequenceRefused', 'wsrm', 'The Create Sequence request has been refused by the RM Destination.'),
  createSequenceRefusedBusy: row('CreateSequenceRefused', 'wsrm', 'The Create Sequence request has been refused by the RM Destination.', 'Receiver'),
  sequenceClosed: row('SequenceClosed', 'wsrm', 'The Sequence is closed and cannot accept new messages.'),
  wsrmRequired: row('WSRMRequired', 'wsrm', 'The RM Destination requires the use of WSRM.'),
  lastMessageNumberExceeded: row('LastMessageNumberExceeded', 'wsrm', 'The value for wsrm:MessageNumber exceeds the value of the MessageNumber accompanying a LastMessage element in this Sequence.'),
  // WS-MakeConnection §4: reasons are the text's own.
  missingSelection: row('MissingSelection', 'wsmc', 'The MakeConnection element did not contain any selection criteria.', 'Receiver'),
  unsupportedSelection: row('UnsupportedSelection', 'wsmc', 'The extension element used in the message selection is not supported by the MakeConnection receiver', 'Receiver'),
  // WSS 1.0 §12, WS-SC 1.3 §9, WS-Trust 1.3 §11.
  failedCheck: row('FailedCheck', 'wsse', 'The signature or decryption was invalid'),
  invalidSecurity: row('InvalidSecurity', 'wsse', 'An error was discovered processing the <wsse:Security> header.'),
  unsupportedAlgorithm: row('UnsupportedAlgorithm', 'wsse', 'An unsupported signature or encryption algorithm was used'),
  failedAuthentication: row('FailedAuthentication', 'wsse', 'The security token could not be authenticated or authorized'),
  messageExpired: row('MessageExpired', 'wsu', 'The message has expired'),
  badContextToken: row('BadContextToken', 'wsc', 'The requested context elements are insufficient or unsupported.'),
  unknownDerivationSource: row('UnknownDerivationSource', 'wsc', 'The specified source for the derivation is unknown.'),
  renewNeeded: row('RenewNeeded', 'wsc', 'The provided context token has expired'),
  unableToRenew: row('UnableToRenew', 'wsc', 'The specified context token could not be renewed.'),
  invalidRequest: row('InvalidRequest', 'wst', 'The request was invalid or malformed'),
  requestFailed: row('RequestFailed', 'wst', 'The specified request failed'),
  // WSA 1.0 SOAP binding §6.4, SOAP 1.2 §5.4.
  actionNotSupported: row('ActionNotSupported', 'wsa', 'The action cannot be processed at the receiver.'),
  messageAddressingHeaderRequired: row('MessageAddressingHeaderRequired', 'wsa', 'A required header representing a Message Addressing Property is not present'),
  invalidAddressingHeader: invalidHeader(),
  actionMismatch: invalidHeader('ActionMismatch'),
  invalidCardinality: invalidHeader('InvalidCardinality'),
  onlyAnonymousSupported: invalidHeader('OnlyAnonymousAddressSupported'),
  destinationUnreachable: row('DestinationUnreachable', 'wsa', 'No route can be determined to reach the destination role defined by the WS-Addressing To.'),
  mustUnderstand: row('MustUnderstand', 'soap', 'One or more mandatory SOAP header blocks not understood'),
  versionMismatch: row('VersionMismatch', 'soap', 'The envelope version is not supported'),
  malformed: row('Sender', 'soap', 'The message is not a well-formed SOAP envelope'),
  receiver: row('Receiver', 'soap', 'The message could not be processed', 'Receiver'),
}

export interface ErrorDetails {
  readonly retryable?: boolean
  readonly cause?: unknown
  readonly sequence?: string
  readonly numbers?: readonly number[]
  readonly tokenId?: string
}

/** The root of everything that this library throws. */
export class WsrmError extends Error {
  readonly code: string
  readonly retryable: boolean
  // Declared, not defined: an error is not printed with members that it has not.
  declare readonly sequence?: string
  declare readonly numbers?: readonly number[]
  declare readonly tokenId?: string
  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = new.target.name
    this.code = code
    this.retryable = details.retryable ?? false
    if (details.sequence !== undefined) this.sequence = details.sequence
    if (details.numbers !== undefined) this.numbers = details.numbers
    if (details.tokenId !== undefined) this.tokenId = details.tokenId
  }
}
/** The caller's mistake: an option, a body that is not XML, a conversation that is closing. */
export class UsageError extends WsrmError {}
/** The XML is malformed or over a limit. */
export class XmlError extends WsrmError {}
/** The peer broke the protocol; `fault` is what it is told. */
export class PeerViolation extends WsrmError {
  readonly fault: FaultRow
  /** Headers that had to be understood and are not, or what a poll selects by and is not known, as `{ns}local`. */
  readonly notUnderstood: readonly `{${string}}${string}`[]
  constructor(code: string, message: string, fault: FaultRow, details?: ErrorDetails & { readonly notUnderstood?: readonly `{${string}}${string}`[] }) {
    super(code, message, details)
    this.fault = fault
    this.notUnderstood = details?.notUnderstood ?? []
  }
}
/** A message failed its security checks. `code` is for us; `fault` is the outward face, one for all cryptographic failures. */
export class SecurityFailure extends WsrmError {
  readonly fault: FaultRow
  constructor(code: string, message: string, fault: FaultRow, details?: ErrorDetails) {
    super(code, message, details)
    this.fault = fault
  }
}
/** A fault that the peer sent in answer to a request. */
export class SoapFault extends WsrmError {
  /** The subcode (SOAP 1.2) or faultcode as `{ns}local`. */
  readonly subcode: string | undefined
  readonly reason: string
  readonly detail: string | undefined
  constructor(fault: { readonly code: string; readonly subcode?: string | undefined; readonly reason: string; readonly detail?: string | undefined }, details?: ErrorDetails) {
    super('ERR_SOAP_FAULT', `the peer answered with the fault ${fault.subcode ?? fault.code}: ${fault.reason.slice(0, 256)}`, details)
    this.subcode = fault.subcode
    this.reason = fault.reason
    this.detail = fault.detail
  }
}
/** The sequence ended before the peer acknowledged; `numbers` are in doubt. */
export class DeliveryFailed extends WsrmError {}
/** The peer holds the request but cannot give its reply again (D25). */
export class ReplyLost extends WsrmError {}
/** HTTP: no answer, or one that is no SOAP message. */
export class TransportFailed extends WsrmError {}
/** A sealed record does not open: changed, cut, or sealed for another place. */
export class SealBroken extends WsrmError {}
/** A record of a version that this release does not know. */
export class UnknownVersion extends WsrmError {}
/** The key that sealed a record is not in the keyring. */
export class KeyMissing extends WsrmError {}
/** The store refused or lost a commit. */
export class StoreFailed extends WsrmError {}
/** Waiting ended by its time limit; what was accepted stays accepted. */
export class TimedOut extends WsrmError {}
/** No token could be had from the recipient. */
export class BootstrapFailed extends WsrmError {}
