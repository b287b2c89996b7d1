/**
 * One message of every kind that is sent, in both SOAP versions, both RM versions and both dialects of the token service:
 * for the schemas, for xmlsec1 and for our own reader. Deterministic: keys from the published vectors, chance from a counter.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { type Certificate, readCertificate, readPrivateKey } from '../../src/crypto/certificate.ts'
import { secretKey } from '../../src/crypto/hash.ts'
import type { RandomSource } from '../../src/crypto/random.ts'
import { FAULTS, type FaultRow } from '../../src/errors.ts'
import { BASIC256_SHA1, DEFAULT_PROFILE, type Profile } from '../../src/profiles/profile.ts'
import type { Outbound, OutboundBody } from '../../src/rm/turn.ts'
import type { TokenRequest, TokenResponse } from '../../src/sct/token.ts'
import { type AddressingWords, writeAddressing } from '../../src/soap/addressing.ts'
import { type MessageParts, writeApplicationFault, writeEnvelope, writeFault } from '../../src/soap/envelope.ts'
import { type WriteOptions, writeReliable } from '../../src/soap/reliable.ts'
import { trustAction, writeTokenRequest, writeTokenResponse } from '../../src/soap/trust.ts'
import { type AddressingVersion, MC_ANONYMOUS_PREFIX, RM10, RM11, type RmVersion, SC05, SC13, type ScVersion, SOAP11, SOAP12, type SoapVersion, WSA04, WSA10 } from '../../src/spec/versions.ts'
import { protectBootstrap } from '../../src/wss/bootstrap.ts'
import { protect, type SessionToken } from '../../src/wss/protect.ts'
import { readElement } from '../../src/xml/reader.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import type { Element } from '../../src/xml/tree.ts'

export const NOW = Date.UTC(2026, 0, 15, 10)
export const SERVICE = 'https://service.example.com/rm'
export const CONTEXT = 'urn:uuid:6d1ba7c1-6f0a-4d0e-9a1c-6a8f0d3c2b11'
export const SEQUENCE = 'urn:uuid:5e9a2c7e-0001-4000-8000-0000000000aa'
export const OFFERED = 'urn:uuid:5e9a2c7e-0002-4000-8000-0000000000bb'
const MESSAGE = 'urn:uuid:aaaaaaaa-0000-4000-8000-000000000004'

interface Keyed { readonly certificateDerB64: string; readonly privateKeyPkcs8DerB64: string }
const { keys } = JSON.parse(readFileSync(new URL('../vector/derived-key-vectors.json', import.meta.url), 'utf8')) as { keys: { client: Keyed; server: Keyed } }
export interface Identity { readonly certificate: Certificate; readonly key: ReturnType<typeof readPrivateKey> }
const identity = ({ certificateDerB64, privateKeyPkcs8DerB64 }: Keyed): Identity => ({
  certificate: readCertificate(Buffer.from(certificateDerB64, 'base64')), key: readPrivateKey(Buffer.from(privateKeyPkcs8DerB64, 'base64')),
})
export const CLIENT: Identity = identity(keys.client)
export const SERVER: Identity = identity(keys.server)
export const SECRET = secretKey(Buffer.from(Array.from({ length: 32 }, (_, index) => index)))

/** Bytes that count: chance that a test can repeat. */
export function counted(start = 0): RandomSource {
  let at = start
  return { bytes: (count) => Uint8Array.from({ length: count }, () => at++ & 255) }
}

export interface Kind {
  readonly name: string
  readonly soap: SoapVersion
  readonly rm: RmVersion
  readonly sc: ScVersion
  readonly by: 'context' | 'bootstrap' | 'nobody'
  /** Signed, nothing encrypted (messages of the bootstrap: without security), so that schemas see the Body. */
  readonly clear: string
  /** As it is sent. */
  readonly sealed: string
  /** True for SOAP 1.1 faults whose SequenceFault has a Detail: the published RM 1.1 schema forbids the text's own shape. */
  readonly detailed: boolean
}

interface Versions { readonly soap: SoapVersion; readonly addressing: AddressingVersion; readonly rm: RmVersion; readonly sc: ScVersion; readonly profile: Profile }
export const VERSIONS: readonly Versions[] = [SOAP12, SOAP11].flatMap((soap): readonly Versions[] => [
  { soap, addressing: WSA10, rm: RM11, sc: SC13, profile: DEFAULT_PROFILE },
  { soap, addressing: WSA10, rm: RM11, sc: SC13, profile: { ...DEFAULT_PROFILE, encryptSignature: true, suite: 'Basic256GCM' } },
  { soap, addressing: WSA10, rm: RM10, sc: SC05, profile: BASIC256_SHA1 },
  { soap, addressing: WSA04, rm: RM10, sc: SC05, profile: { ...DEFAULT_PROFILE, suite: 'Basic128Sha256' } },
])

const titled = ({ soap, addressing, rm, sc, profile }: Versions): string =>
  `SOAP ${soap.name}, WSA ${addressing.name}, RM ${rm.name}, SC ${sc.name}, ${profile.suite}${profile.encryptSignature ? ', encrypted signature' : ''}`

export function* everyKind(): Iterable<Kind> {
  for (const versions of VERSIONS) {
    const title = titled(versions)
    for (const [name, message] of sessionMessages(versions)) yield sessionKind(`${name} (${title})`, message, versions)
    for (const [name, message] of bootstrapMessages(versions)) yield bootstrapKind(`${name} (${title})`, message, versions)
    for (const [name, row] of unprotectedFaults()) {
      const parts = writeFault({ row, notUnderstood: row === FAULTS.mustUnderstand ? ['{urn:example}Odd'] : [] }, versions)
      const headers = [...writeAddressing({ action: parts.action, relatesTo: MESSAGE }, versions.addressing, versions.soap), ...parts.headers]
      const xml = writeEnvelope(versions.soap, { headers, declarations: parts.declarations, body: elements(parts) })
      yield { name: `${name}, unprotected (${title})`, ...versions, by: 'nobody', clear: xml, sealed: xml, detailed: false }
    }
  }
}

export interface Session { readonly parts: MessageParts; readonly addressing: Omit<AddressingWords, 'action'>; readonly role: 'initiator' | 'recipient'; readonly encryptBody: boolean; readonly instance?: string }
const request = { to: SERVICE, messageId: MESSAGE, replyTo: 'anonymous' } as const
const answer = { relatesTo: MESSAGE } as const
export const MAILBOX = `${MC_ANONYMOUS_PREFIX}urn:uuid:5e9a2c7e-0003-4000-8000-0000000000cc`
const CLIENT_ADDRESS = 'https://client.example.com/replies'

const blank = { acknowledgements: [], ackRequested: [] } satisfies Partial<Outbound>
/** The messages of a session, by name. */
export function* sessionMessages(versions: Versions): Iterable<readonly [name: string, message: Session]> {
  const { rm, sc } = versions
  const write = (body: OutboundBody, more: Partial<Outbound> = {}, options: Partial<WriteOptions> = {}): MessageParts =>
    writeReliable({ ...blank, body, ...more }, { ...versions, scope: { identifier: CONTEXT, str: 'header' }, ...options })
  const asked = (parts: MessageParts, encryptBody = false): Session => ({ parts, addressing: request, role: 'initiator', encryptBody })
  const told = (parts: MessageParts, encryptBody = false): Session => ({ parts, addressing: answer, role: 'recipient', encryptBody })
  const content = (body: string, isFault = false): OutboundBody & { kind: 'application' } => ({
    kind: 'application', shape: 'request', content: { action: 'urn:example:app/Echo', messageId: MESSAGE, body, headers: [], isFault },
  })
  const echo = '<app:Echo xmlns:app="urn:example:app"><app:text>grüß dich &amp; &lt;ok&gt;</app:text></app:Echo>'
  const acknowledged = { acknowledgements: [{ sequence: OFFERED, ranges: [[1, 3], [5, 6]], final: false }] } satisfies Partial<Outbound>
  const finished = { acknowledgements: [{ sequence: SEQUENCE, ranges: [[1, 6]], final: true }] } satisfies Partial<Outbound>

  yield ['CreateSequence with an offer', asked(write({ kind: 'create-sequence', acksTo: 'anonymous', expiresMs: 3_600_000, offer: { sequence: OFFERED, expiresMs: 90_500 } }))]
  yield ['CreateSequence without the header', asked(write({ kind: 'create-sequence', acksTo: 'anonymous' }, {}, { scope: { identifier: CONTEXT, str: 'body' } }))]
  yield ['CreateSequence to an address', { ...asked(write({ kind: 'create-sequence', acksTo: CLIENT_ADDRESS, offer: { sequence: OFFERED } }), true), addressing: { ...request, replyTo: CLIENT_ADDRESS } }]
  yield ['CreateSequence to a mailbox', { ...asked(write({ kind: 'create-sequence', acksTo: MAILBOX, offer: { sequence: OFFERED } })), addressing: { ...request, replyTo: MAILBOX } }]
  yield ['MakeConnection', { ...asked(write({ kind: 'make-connection', address: MAILBOX }, acknowledged)), addressing: { to: SERVICE, messageId: MESSAGE } }]
  yield ['reply in answer to a poll', { ...told(write(content(echo), { sequence: { id: OFFERED, number: 1 }, ...acknowledged, pending: true }), true), addressing: { ...answer, to: MAILBOX } }]
  yield ['acknowledgement in answer to a poll', { ...told(write({ kind: 'acknowledgement' }, { ...acknowledged, pending: false })), addressing: { to: MAILBOX } }]
  yield ['reply to an address', { ...told(write(content(echo), { sequence: { id: OFFERED, number: 1 }, ackRequested: [OFFERED] }), true), addressing: { ...answer, to: CLIENT_ADDRESS } }]
  yield ['CreateSequenceResponse', told(write({ kind: 'create-sequence-response', sequence: SEQUENCE, expiresMs: 3_600_000, accept: { acksTo: SERVICE } }))]
  yield ['CreateSequenceResponse without Accept', told(write({ kind: 'create-sequence-response', sequence: SEQUENCE }), true)]
  yield ['request', asked(write(content(echo), { sequence: { id: SEQUENCE, number: 1 }, ...acknowledged }), true)]
  yield ['one-way message', { ...asked(write(content(echo), { sequence: { id: SEQUENCE, number: 2 }, ackRequested: [SEQUENCE] }), true), addressing: { to: SERVICE, messageId: MESSAGE } }]
  yield ['request after a renewal', { ...asked(write(content(echo), { sequence: { id: SEQUENCE, number: 3 } }), true), instance: 'urn:uuid:0f4a5f0e-3f5e-4a51-8a77-5d6c1f1f9e02' }]
  yield ['reply', told(write(content('<app:EchoResponse xmlns:app="urn:example:app"><app:text>ok</app:text></app:EchoResponse>'), { sequence: { id: OFFERED, number: 1 }, ...acknowledged }), true)]
  yield ['reply after a renewal', { ...told(write(content(echo), { sequence: { id: OFFERED, number: 2 } }), true), instance: 'urn:uuid:0f4a5f0e-3f5e-4a51-8a77-5d6c1f1f9e02' }]
  yield ['application fault', told(applicationFault(write, versions, content), true)]
  yield ['reply with an empty Body', told(write(content(''), { sequence: { id: OFFERED, number: 3 } }), true)]
  yield ['acknowledgement', told(write({ kind: 'acknowledgement' }, acknowledged))]
  yield ['acknowledgement of nothing', told(write({ kind: 'acknowledgement' }, { acknowledgements: [{ sequence: SEQUENCE, ranges: [], final: false }] }))]
  yield ['acknowledgement with Nack', told(write({ kind: 'acknowledgement' }, { acknowledgements: [{ sequence: SEQUENCE, ranges: [], nacks: [2, 4], final: false }] }))]
  yield ['AckRequested', asked(write({ kind: 'ack-requested' }, { ackRequested: [SEQUENCE] }), true)]
  if (rm.hasCloseSequence) {
    yield ['CloseSequence', asked(write({ kind: 'close-sequence', sequence: SEQUENCE, lastNumber: 6 }, acknowledged))]
    yield ['CloseSequenceResponse', told(write({ kind: 'close-sequence-response', sequence: SEQUENCE }, finished))]
    yield ['TerminateSequenceResponse', told(write({ kind: 'terminate-sequence-response', sequence: SEQUENCE }, finished))]
  }
  if (rm.hasLastMessage) yield ['LastMessage', asked(write({ kind: 'last-message' }, { sequence: { id: SEQUENCE, number: 6, last: true } }))]
  yield ['TerminateSequence', asked(write({ kind: 'terminate-sequence', sequence: SEQUENCE, lastNumber: 6 }))]
  yield ['TerminateSequence of nothing', asked(write({ kind: 'terminate-sequence', sequence: SEQUENCE }))]
  for (const [name, row] of rmFaults(rm)) {
    const bad = row === FAULTS.invalidAcknowledgement ? { offending: { sequence: SEQUENCE, ranges: [[1n, 9n]] as const, nacks: [], none: false, final: false } } : {}
    const parts = write({ kind: 'fault', fault: row, ...(WITHOUT_SEQUENCE.has(name) ? {} : { sequence: SEQUENCE }), ...(row === FAULTS.messageNumberRollover && { maxNumber: 9_007_199_254_740_991 }), ...bad })
    yield [`fault ${name}`, told(parts)]
  }
  yield ['fault UnsupportedSelection', told(writeFault({ row: FAULTS.unsupportedSelection, notUnderstood: ['{urn:example:ext}Priority', '{urn:example:ext}Other'] }, versions))]
  yield ['fault MissingSelection', told(writeFault({ row: FAULTS.missingSelection }, versions))]
  const cancel: TokenRequest = { kind: 'cancel', sc, context: 'urn:uuid:33333333-3333-4333-8333-333333333333', target: { identifier: CONTEXT } }
  yield ['Cancel', asked(plain(trustAction(sc, 'cancel', 'request'), writeTokenRequest(cancel)))]
  yield ['answer to Cancel', told(plain(trustAction(sc, 'cancel', 'response'), writeTokenResponse({ kind: 'cancel', sc, context: 'urn:uuid:33333333-3333-4333-8333-333333333333' }, 'sct')))]
}

const WITHOUT_SEQUENCE: ReadonlySet<string> = new Set(['createSequenceRefused', 'createSequenceRefusedBusy', 'wsrmRequired'])
const ONLY_11: ReadonlySet<string> = new Set(['sequenceClosed', 'wsrmRequired'])
const ONLY_10: ReadonlySet<string> = new Set(['lastMessageNumberExceeded'])
const rmFaults = (rm: RmVersion): readonly (readonly [string, FaultRow])[] =>
  Object.entries(FAULTS).filter(([name, row]) => row.family === 'wsrm' && !(rm.hasLastMessage ? ONLY_11 : ONLY_10).has(name))
const unprotectedFaults = (): readonly (readonly [string, FaultRow])[] => Object.entries(FAULTS).filter(([, row]) => row.family !== 'wsrm' && row.family !== 'wsmc')

function applicationFault(write: (body: OutboundBody, more: Partial<Outbound>) => MessageParts, { soap }: Versions, content: (body: string, isFault: boolean) => OutboundBody): MessageParts {
  const detail = readElement('<app:Why xmlns:app="urn:example:app">no stock</app:Why>', DEFAULT_LIMITS)
  const body = writeApplicationFault(soap, { code: 'Sender', subcode: '{urn:example:app}OutOfStock', reason: 'nothing left', detail: [detail] })
  return { ...write(content(body, true), { sequence: { id: OFFERED, number: 4 } }), declarations: { code: 'urn:example:app' } }
}

const plain = (action: string, body: Element): MessageParts => ({ action, headers: [], body: [body], declarations: {} })
/** The messages of the bootstrap, by name. */
export function* bootstrapMessages({ sc }: Versions): Iterable<readonly [name: string, message: Session]> {
  const context = 'urn:uuid:11111111-1111-4111-8111-111111111111'
  const entropy = secretKey(Buffer.alloc(32, 7))
  const lifetime = { created: NOW, expires: NOW + 36_000_000 }
  const instance = 'urn:uuid:0f4a5f0e-3f5e-4a51-8a77-5d6c1f1f9e02'
  const rst = (kind: 'issue' | 'renew', more: Partial<TokenRequest> = {}): Session => ({
    parts: plain(trustAction(sc, kind, 'request'), writeTokenRequest({ kind, sc, context, entropy, keySizeBits: 256, ...more })), addressing: request, role: 'initiator', encryptBody: true,
  })
  const rstr = (kind: 'issue' | 'renew', more: Partial<TokenResponse> = {}): Session => ({
    parts: plain(trustAction(sc, kind, 'response'), writeTokenResponse({ kind, sc, context, token: { identifier: CONTEXT }, proof: { kind: 'computed', entropy }, keySizeBits: 256, lifetime, ...more }, 'sct')),
    addressing: answer, role: 'recipient', encryptBody: true,
  })
  yield ['RST', rst('issue')]
  yield ['RST with a lifetime', rst('issue', { lifetime })]
  yield ['RSTR', rstr('issue')]
  yield ['RSTR with the key itself', rstr('issue', { proof: { kind: 'given', secret: SECRET } })]
  yield ['RST for a renewal', { ...rst('renew', { target: { identifier: CONTEXT } }) }]
  yield ['RST for a second renewal', { ...rst('renew', { target: { identifier: CONTEXT, instance } }), instance }]
  yield ['RSTR of a renewal', rstr('renew', { token: { identifier: CONTEXT, instance } })]
}

export const tokenOf = ({ sc }: { readonly sc: ScVersion }, instance?: string): SessionToken => ({ identifier: CONTEXT, instance, secret: SECRET, sc })
const elements = (parts: MessageParts): readonly Element[] => parts.body.map((each) => (typeof each === 'string' ? readElement(each, DEFAULT_LIMITS) : each))
const headersOf = ({ parts, addressing: words }: Session, { soap, addressing }: Versions): readonly Element[] => [...writeAddressing({ ...words, action: parts.action }, addressing, soap), ...parts.headers]

function sessionKind(name: string, message: Session, versions: Versions): Kind {
  const write = (encrypts: boolean): string => {
    const { body, declarations } = message.parts
    const outgoing = { soap: versions.soap, headers: headersOf(message, versions), body, declarations, encryptBody: encrypts && message.encryptBody }
    const profile = encrypts ? versions.profile : { ...versions.profile, encryptSignature: false }
    return protect(outgoing, tokenOf(versions, message.instance), { profile, role: message.role, now: NOW, random: counted() }).xml
  }
  return { name, ...versions, by: 'context', clear: write(false), sealed: write(true), detailed: versions.soap === SOAP11 && message.parts.headers.some((each) => each.local === 'SequenceFault' && each.first(each.ns, 'Detail') !== undefined) }
}

function bootstrapKind(name: string, message: Session, versions: Versions): Kind {
  const [sender, receiver] = message.role === 'initiator' ? [CLIENT, SERVER] : [SERVER, CLIENT]
  const outgoing = { soap: versions.soap, headers: headersOf(message, versions), body: message.parts.body }
  const renews = message.role === 'initiator' && message.parts.action.endsWith('Renew')
  const { xml } = protectBootstrap(outgoing, { kind: 'x509', role: message.role, own: sender, peer: receiver.certificate }, { profile: versions.profile, now: NOW, random: counted(), ...(renews && { endorse: tokenOf(versions, message.instance) }) })
  const clear = writeEnvelope(versions.soap, { headers: headersOf(message, versions), declarations: {}, body: elements(message.parts) })
  return { name, ...versions, by: 'bootstrap', clear, sealed: xml, detailed: false }
}
