/**
 * One row per version of SOAP, WS-Addressing, WS-ReliableMessaging, WS-SecureConversation and WS-Trust:
 * namespaces, actions and what the version has. Code asks the row, never the year.
 *
 * @module
 */

export const NS = {
  wsse: 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd',
  wsse11: 'http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd',
  wsu: 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd',
  ds: 'http://www.w3.org/2000/09/xmldsig#',
  xenc: 'http://www.w3.org/2001/04/xmlenc#',
  xenc11: 'http://www.w3.org/2009/xmlenc11#',
  exc: 'http://www.w3.org/2001/10/xml-exc-c14n#',
  wsmc: 'http://docs.oasis-open.org/ws-rx/wsmc/200702',
  netrm: 'http://schemas.microsoft.com/ws/2006/05/rm',
  xml: 'http://www.w3.org/XML/1998/namespace',
  xmlns: 'http://www.w3.org/2000/xmlns/',
} as const

/** URIs of token types and reference kinds that do not depend on the version of SC or Trust. */
const WSS10 = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0'
const WSS11 = 'http://docs.oasis-open.org/wss/oasis-wss-soap-message-security-1.1'
const X509 = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0'
const UT = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0'
export const TOKEN: Readonly<Record<
  | 'base64Binary' | 'strTransform' | 'x509v3' | 'subjectKeyIdentifier' | 'thumbprintSha1' | 'encryptedKey' | 'encryptedKeySha1'
  | 'passwordText' | 'passwordDigest', string
>> = {
  base64Binary: `${WSS10}#Base64Binary`,
  strTransform: `${WSS10}#STR-Transform`,
  x509v3: `${X509}#X509v3`,
  subjectKeyIdentifier: `${X509}#X509SubjectKeyIdentifier`,
  thumbprintSha1: `${WSS11}#ThumbprintSHA1`,
  encryptedKey: `${WSS11}#EncryptedKey`,
  encryptedKeySha1: `${WSS11}#EncryptedKeySHA1`,
  passwordText: `${UT}#PasswordText`,
  passwordDigest: `${UT}#PasswordDigest`,
}

export interface SoapVersion {
  readonly name: '1.1' | '1.2'
  readonly ns: string
  readonly mediaType: 'text/xml' | 'application/soap+xml'
  /** The attribute that names the node a header is for. */
  readonly roleAttribute: 'actor' | 'role'
  /** How mustUnderstand is written (BP 1.2 R1013: SOAP 1.1 knows 0 and 1 only). */
  readonly mustUnderstand: '1' | 'true'
  /** Roles that mean the ultimate receiver. */
  readonly ultimateRoles: readonly string[]
}
export const SOAP11: SoapVersion = {
  name: '1.1', ns: 'http://schemas.xmlsoap.org/soap/envelope/', mediaType: 'text/xml', roleAttribute: 'actor', mustUnderstand: '1',
  ultimateRoles: [''],
}
export const SOAP12: SoapVersion = {
  name: '1.2', ns: 'http://www.w3.org/2003/05/soap-envelope', mediaType: 'application/soap+xml', roleAttribute: 'role', mustUnderstand: 'true',
  ultimateRoles: ['', 'http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver'],
}

export interface AddressingVersion {
  readonly name: '200508' | '200408'
  readonly ns: string
  readonly anonymous: string
  readonly none?: string
  readonly faultAction: string
  /** The action of the faults that SOAP itself defines. */
  readonly soapFaultAction: string
  /** WSA 1.0 Core §3.4: an absent ReplyTo means anonymous; 2004/08 has no default. */
  readonly replyToDefaultsToAnonymous: boolean
  /** What this version calls the faults whose names are others in 1.0. */
  readonly faultNames: ReadonlyMap<string, string>
  /** WSA 1.0 SOAP §6.4: a subcode of the subcode says what is wrong with a header; 2004/08 defines none. */
  readonly hasInnerSubcodes: boolean
}
export const WSA10: AddressingVersion = {
  name: '200508', ns: 'http://www.w3.org/2005/08/addressing',
  anonymous: 'http://www.w3.org/2005/08/addressing/anonymous', none: 'http://www.w3.org/2005/08/addressing/none',
  faultAction: 'http://www.w3.org/2005/08/addressing/fault', soapFaultAction: 'http://www.w3.org/2005/08/addressing/soap/fault', replyToDefaultsToAnonymous: true,
  faultNames: new Map(), hasInnerSubcodes: true,
}
export const WSA04: AddressingVersion = {
  name: '200408', ns: 'http://schemas.xmlsoap.org/ws/2004/08/addressing',
  anonymous: 'http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous',
  faultAction: 'http://schemas.xmlsoap.org/ws/2004/08/addressing/fault', soapFaultAction: 'http://schemas.xmlsoap.org/ws/2004/08/addressing/fault', replyToDefaultsToAnonymous: false,
  // Its schema, FaultSubcodeValues.
  faultNames: new Map([['InvalidAddressingHeader', 'InvalidMessageInformationHeader'], ['MessageAddressingHeaderRequired', 'MessageInformationHeaderRequired']]), hasInnerSubcodes: false,
}

/** WS-MakeConnection §3.1: the anonymous URI with an id, everything after `id=` names the mailbox. */
export const MC_ANONYMOUS_PREFIX: string = `${NS.wsmc}/anonymous?id=`
export const MC_ACTION: string = `${NS.wsmc}/MakeConnection`
export const MC_FAULT_ACTION: string = `${NS.wsmc}/fault`

export interface RmVersion {
  readonly name: '1.0' | '1.1'
  readonly ns: string
  readonly faultAction: string
  readonly hasCloseSequence: boolean
  readonly hasTerminateResponse: boolean
  readonly hasUsesSequenceStr: boolean
  /** The Offer carries an Endpoint and IncompleteSequenceBehavior. */
  readonly hasOfferEndpoint: boolean
  /** SequenceAcknowledgement knows None and Final. */
  readonly hasNoneAndFinal: boolean
  /** The end is marked by LastMessage inside the Sequence header. */
  readonly hasLastMessage: boolean
  /** SequenceFault wraps its detail in a Detail element. */
  readonly hasFaultDetail: boolean
  /** MessageNumberRollover says what the limit is (1.1 §4.5); in 1.0 it names the sequence alone. */
  readonly hasMaxMessageNumber: boolean
  /** A message without a Sequence header has a fault of its own (1.1 §4.8); in 1.0 it is an action that is not supported. */
  readonly hasWsrmRequired: boolean
}
const RM11_NS = 'http://docs.oasis-open.org/ws-rx/wsrm/200702'
const RM10_NS = 'http://schemas.xmlsoap.org/ws/2005/02/rm'
/** 1.1 and 1.2 are one on the wire. */
export const RM11: RmVersion = {
  name: '1.1', ns: RM11_NS, faultAction: `${RM11_NS}/fault`, hasCloseSequence: true, hasTerminateResponse: true, hasUsesSequenceStr: true,
  hasOfferEndpoint: true, hasNoneAndFinal: true, hasLastMessage: false, hasFaultDetail: true, hasMaxMessageNumber: true, hasWsrmRequired: true,
}
export const RM10: RmVersion = {
  name: '1.0', ns: RM10_NS, faultAction: `${RM10_NS}/fault`, hasCloseSequence: false, hasTerminateResponse: false, hasUsesSequenceStr: false,
  hasOfferEndpoint: false, hasNoneAndFinal: false, hasLastMessage: true, hasFaultDetail: false, hasMaxMessageNumber: false, hasWsrmRequired: false,
}
/** WS-RM §3: a message with an RM element as Body child has action = namespace / local name; so have the messages with an empty Body. */
export const rmAction = (version: RmVersion, local: string): string => `${version.ns}/${local}`

export interface TrustVersion {
  readonly name: '200502' | '200512'
  readonly ns: string
  /** The final response is wrapped in RequestSecurityTokenResponseCollection. */
  readonly collection: boolean
}
export interface ScVersion {
  readonly name: '200502' | '200512'
  readonly ns: string
  /** TokenType and Reference/@ValueType of a SecurityContextToken. */
  readonly sct: string
  /** Reference/@ValueType of a DerivedKeyToken. */
  readonly dk: string
  /** DerivedKeyToken/@Algorithm. */
  readonly pSha1: string
  readonly trust: TrustVersion
}
const SC13_NS = 'http://docs.oasis-open.org/ws-sx/ws-secureconversation/200512'
const SC05_NS = 'http://schemas.xmlsoap.org/ws/2005/02/sc'
export const TRUST13: TrustVersion = { name: '200512', ns: 'http://docs.oasis-open.org/ws-sx/ws-trust/200512', collection: true }
export const TRUST05: TrustVersion = { name: '200502', ns: 'http://schemas.xmlsoap.org/ws/2005/02/trust', collection: false }
export const SC13: ScVersion = { name: '200512', ns: SC13_NS, sct: `${SC13_NS}/sct`, dk: `${SC13_NS}/dk`, pSha1: `${SC13_NS}/dk/p_sha1`, trust: TRUST13 }
export const SC05: ScVersion = { name: '200502', ns: SC05_NS, sct: `${SC05_NS}/sct`, dk: `${SC05_NS}/dk`, pSha1: `${SC05_NS}/dk/p_sha1`, trust: TRUST05 }

const byNamespace = <T extends { readonly ns: string }>(...rows: readonly T[]): ReadonlyMap<string, T> => new Map(rows.map((row) => [row.ns, row]))
export const SOAP_VERSIONS: ReadonlyMap<string, SoapVersion> = byNamespace(SOAP11, SOAP12)
export const ADDRESSING_VERSIONS: ReadonlyMap<string, AddressingVersion> = byNamespace(WSA10, WSA04)
export const RM_VERSIONS: ReadonlyMap<string, RmVersion> = byNamespace(RM11, RM10)
export const SC_VERSIONS: ReadonlyMap<string, ScVersion> = byNamespace(SC13, SC05)
export const TRUST_VERSIONS: ReadonlyMap<string, TrustVersion> = byNamespace(TRUST13, TRUST05)
