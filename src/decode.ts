/**
 * Recorded messages as words: what `wsrm decode` prints, one line a message. Opens with the keys that it is given and a policy that asks
 * for coverage only; without replay detection and without trust, since it looks at what was, and decides nothing.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { type Certificate, readCertificate, readPrivateKey } from './crypto/certificate.ts'
import { secretKey } from './crypto/hash.ts'
import { PeerViolation, SecurityFailure, UsageError, WsrmError, XmlError } from './errors.ts'
import { DEFAULT_LIMITS, type Limits } from './options.ts'
import type { ReceivedAcknowledgement, ReceivedAddress } from './rm/turn.ts'
import type { ContextSecret } from './sct/token.ts'
import { type Addressing, readAddressing } from './soap/addressing.ts'
import { faultOf, headersForUs, readFault } from './soap/envelope.ts'
import { readReliable, type Reliable, type ReliableBody, type ScopeReference } from './soap/reliable.ts'
import { RSA_OAEP, RSA_OAEP_MGF1P, type Suite, SUITES } from './spec/algorithms.ts'
import { NS, SC_VERSIONS, TRUST_VERSIONS } from './spec/versions.ts'
import { standalone } from './wire.ts'
import type { Envelope, Keys, Level, Opened, Policy, Signer } from './wss/keys.ts'
import { open, read } from './wss/open.ts'
import { Element, type QName, Text } from './xml/tree.ts'

/** KEYS.json; unknown members are ignored. */
export interface KeyFile {
  readonly contexts?: readonly { readonly identifier: string; readonly instance?: string; readonly secret: string }[]
  readonly certificates?: readonly string[]
  readonly privateKeys?: readonly string[]
  readonly passwords?: Readonly<Record<string, string>>
}
/** POLICY.json. `bootstrap` is for RST and RSTR, except those protected by a context alone. */
export interface PolicyFile { readonly bootstrap?: Level; readonly session?: Level; readonly suite?: string; readonly encryptBody?: boolean }

export interface SecuredBy {
  readonly identifier?: string
  readonly instance?: string
  /** SHA-1 thumbprint in hex. */
  readonly certificate?: string
  readonly encryptedKey?: string
  readonly user?: string
}
export interface AcknowledgementLine { readonly identifier: string; readonly ranges: readonly (readonly [number, number])[]; readonly nacks?: readonly number[]; readonly final?: true; readonly none?: true }
export interface OpenedLine {
  readonly opened: true
  readonly soap: '1.1' | '1.2'
  readonly action?: string
  readonly messageId?: string
  readonly relatesTo?: string
  readonly token?: SecuredBy
  readonly covered: readonly QName[]
  readonly encrypted: readonly QName[]
  readonly encryptedParts: readonly string[]
  readonly sequence?: { readonly identifier: string; readonly number: number; readonly lastMessage?: true }
  readonly acknowledgement?: readonly AcknowledgementLine[]
  readonly ackRequested?: readonly string[]
  readonly createSequence?: { readonly acksTo: string; readonly offer?: string; readonly str?: ScopeReference }
  readonly createSequenceResponse?: { readonly identifier: string; readonly acceptAcksTo?: string }
  readonly rmBody?: { readonly element: string; readonly identifier?: string; readonly lastMsgNumber?: number }
  readonly fault?: string
  readonly body: string
}
/** `fault`: what a message without protection claims. */
export interface RefusedLine { readonly opened: false; readonly code: string; readonly fault?: string }
export type DecodeLine = OpenedLine | RefusedLine

/** The keys of one recording. EncryptedKeys of earlier messages are learned as they are opened. */
export class RecordedKeys implements Keys {
  readonly certificates: readonly Certificate[]
  readonly privateKeys: readonly KeyObject[]
  readonly #contexts = new Map<string, ContextSecret[]>()
  readonly #passwords: ReadonlyMap<string, string>
  readonly #learned = new Map<string, KeyObject>()

  /** @throws {UsageError} ERR_USAGE_KEYS: something in the file is not what it should be */
  constructor(file: KeyFile) {
    this.certificates = (file.certificates ?? []).map((pem) => usable('certificate', () => readCertificate(pem)))
    this.privateKeys = (file.privateKeys ?? []).map((pem) => usable('private key', () => readPrivateKey(pem)))
    this.#passwords = new Map(Object.entries(file.passwords ?? {}))
    for (const { identifier, instance, secret } of file.contexts ?? []) {
      const known = this.#contexts.get(identifier) ?? []
      known.push({ identifier, instance, secret: usable('secret', () => secretKey(Buffer.from(secret, 'base64'))) })
      this.#contexts.set(identifier, known)
    }
  }
  contexts(identifier: string): readonly ContextSecret[] { return this.#contexts.get(identifier) ?? [] }
  encryptedKey(sha1: string): KeyObject | undefined { return this.#learned.get(sha1) }
  password(user: string): string | undefined { return this.#passwords.get(user) }
  learn(opened: Opened): void { for (const [sha1, key] of opened.encryptedKeys) this.#learned.set(sha1, key) }
}
function usable<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new UsageError('ERR_USAGE_KEYS', `a ${what} of the key file cannot be read`, { cause })
  }
}

/** A message that is opened without being part of a conversation lives as long as it says, at most as long as this. */
const SKEW_MS = 60_000
const LIFE_MS = 300_000

/** One recorded message as words. Never throws for what is in the message. */
export function decodeMessage(bytes: Uint8Array, keys: RecordedKeys, policy: PolicyFile, now: number, limits: Limits = DEFAULT_LIMITS): DecodeLine {
  let envelope: Envelope | undefined
  try {
    envelope = read(bytes, limits)
    const opened = open(envelope, keys, policyFor(envelope, policy, limits), now)
    keys.learn(opened)
    return lineOf(opened)
  } catch (error) {
    if (!(error instanceof SecurityFailure || error instanceof XmlError || error instanceof PeerViolation)) throw error
    const fault = envelope && claimedFault(envelope)
    return { opened: false, code: error.code, ...(fault !== undefined && { fault }) }
  }
}

/** Every algorithm with a row, any signer: what is asked for is coverage. */
export function policyFor(envelope: Envelope, file: PolicyFile, limits: Limits = DEFAULT_LIMITS): Policy {
  const suite = file.suite === undefined ? undefined : SUITES.get(file.suite)
  if (file.suite !== undefined && suite === undefined) throw new UsageError('ERR_USAGE_SUITE', 'the policy names a suite that is not known')
  return {
    level: (isBootstrap(envelope) ? file.bootstrap : file.session) ?? 'headers', encryptBody: file.encryptBody ?? false, signer: 'any',
    skewMs: SKEW_MS, lifeMs: LIFE_MS, limits, ...(suite !== undefined && { algorithms: algorithmsOfSuite(suite) }),
  }
}

const algorithmsOfSuite = ({ digest, cipher, keyWrap, hmac, rsa }: Suite): ReadonlySet<string> =>
  new Set([digest, cipher, keyWrap, hmac, rsa, RSA_OAEP_MGF1P, RSA_OAEP].map((row) => row.uri))

/** RST and RSTR, but for those that a context alone protects: a renewal has a credential beside it, a cancel has none. */
function isBootstrap(envelope: Envelope): boolean {
  const action = quietly(() => readAddressing(envelope))?.action ?? ''
  const isTrust = [...TRUST_VERSIONS.keys()].some((ns) => action.startsWith(`${ns}/RST`)) || TRUST_VERSIONS.has(envelope.body.elements()[0]?.ns ?? '')
  return isTrust && (envelope.wanted.contexts.length === 0 || envelope.security === undefined || hasCredential(envelope.security))
}
function hasCredential(element: Element): boolean {
  // Inside a derived key a reference says what it is derived from, not who signed.
  return element.elements().some((each) => CREDENTIALS.has(each.qname) || (!SC_VERSIONS.has(each.ns) && hasCredential(each)))
}
const CREDENTIALS: ReadonlySet<string> = new Set([
  ...['BinarySecurityToken', 'KeyIdentifier', 'UsernameToken'].map((local) => `{${NS.wsse}}${local}`), `{${NS.xenc}}EncryptedKey`, `{${NS.ds}}X509Data`,
])

const quietly = <T>(make: () => T): T | undefined => {
  try {
    return make()
  } catch (error) {
    if (error instanceof WsrmError) return undefined
    throw error
  }
}

function claimedFault(envelope: Envelope): string | undefined {
  const fault = faultOf(envelope.body)
  return fault === undefined ? undefined : faultText(readFault(fault, headersForUs(envelope)))
}
const faultText = (fault: { readonly code: string; readonly subcode?: string }): string => fault.subcode ?? fault.code

function lineOf(opened: Opened): OpenedLine {
  const { envelope } = opened
  const addressing = quietly(() => readAddressing(envelope))
  const reliable = quietly(() => readReliable(envelope, { addressing: addressing?.version }))
  return {
    opened: true, soap: envelope.soap.name,
    ...(addressing !== undefined && addressed(addressing)),
    ...tokenOf(opened),
    covered: coveredNames(opened), encrypted: opened.encrypted, encryptedParts: opened.encryptedParts,
    ...(reliable !== undefined && reliableWords(reliable, addressing)),
    body: envelope.body.elements().map((each) => standalone(withoutSecrets(each))).join(''),
  }
}

/** No key is ever printed: an RSTR may hold a whole one, and both entropies make one. */
function withoutSecrets(element: Element): Element {
  const { prefix, local, ns, attributes, scope, start, end } = element
  const hides = TRUST_VERSIONS.has(ns) && local === 'BinarySecret'
  const children = hides ? [new Text('[secret]')] : element.children.map((child) => (child instanceof Element ? withoutSecrets(child) : new Text(child.value)))
  return new Element(prefix, local, ns, attributes, children, scope, start, end)
}

const addressed = ({ action, messageId, relatesTo }: Addressing): Partial<OpenedLine> =>
  ({ action, ...(messageId !== undefined && { messageId }), ...(relatesTo !== undefined && { relatesTo }) })

/** Who signed; of a renewal also the context that endorses it. */
function tokenOf({ signer, endorsers, user }: Opened): { readonly token?: SecuredBy } {
  const contexts = endorsers.filter((each) => each.kind === 'context')
  const token = { ...(signer && namesOf(signer)), ...(contexts[0] && namesOf(contexts[0])), ...(user !== undefined && { user: user.name }) }
  return Object.keys(token).length === 0 ? {} : { token }
}
function namesOf(signer: Signer): SecuredBy {
  switch (signer.kind) {
    case 'context': return { identifier: signer.identifier, ...(signer.instance !== undefined && { instance: signer.instance }) }
    case 'certificate': return { certificate: signer.certificate.sha1 }
    case 'encrypted-key': return { encryptedKey: signer.sha1 }
  }
}

/** What the primary signature covers; and that signature itself, when another endorses it. */
function coveredNames({ covered, endorsers }: Opened): readonly QName[] {
  const names = new Set([...covered].map((each) => each.qname))
  if (endorsers.length > 0) names.add(`{${NS.ds}}Signature`)
  return [...names]
}

function reliableWords(reliable: Reliable, addressing: Addressing | undefined): Partial<OpenedLine> {
  const { sequence, ackRequested, body } = reliable
  const acknowledgements = reliable.acknowledgements.filter((each) => each.invalid === undefined)
  return {
    ...(sequence !== undefined && { sequence: { identifier: sequence.id, number: Number(sequence.number), ...(sequence.last && { lastMessage: true as const }) } }),
    ...(acknowledgements.length > 0 && { acknowledgement: acknowledgements.map(acknowledgementLine) }),
    ...(ackRequested.length > 0 && { ackRequested: ackRequested.map((each) => each.id) }),
    ...bodyWords(body, addressing),
  }
}
const acknowledgementLine = ({ sequence, ranges, nacks, none, final }: ReceivedAcknowledgement): AcknowledgementLine => ({
  identifier: sequence, ranges: ranges.map(([lower, upper]) => [Number(lower), Number(upper)] as const),
  ...(nacks.length > 0 && { nacks: nacks.map(Number) }), ...(final && { final: true as const }), ...(none && { none: true as const }),
})

const RM_BODIES: ReadonlyMap<ReliableBody['kind'], string> = new Map([
  ['close-sequence', 'CloseSequence'], ['close-sequence-response', 'CloseSequenceResponse'],
  ['terminate-sequence', 'TerminateSequence'], ['terminate-sequence-response', 'TerminateSequenceResponse'],
] as const)
function bodyWords(body: ReliableBody, addressing: Addressing | undefined): Partial<OpenedLine> {
  const address = (reference: ReceivedAddress): string =>
    'address' in reference ? reference.address : (reference.kind === 'none' ? addressing?.version.none : addressing?.version.anonymous) ?? ''
  switch (body.kind) {
    case 'create-sequence': return { createSequence: {
      acksTo: address(body.acksTo), ...(body.offer !== undefined && { offer: body.offer.sequence }), ...(body.str !== undefined && { str: body.str }) } }
    case 'create-sequence-response': return { createSequenceResponse: {
      identifier: body.sequence, ...(body.accept !== undefined && { acceptAcksTo: address(body.accept.acksTo) }) } }
    case 'close-sequence': case 'terminate-sequence': case 'close-sequence-response': case 'terminate-sequence-response': return { rmBody: {
      element: RM_BODIES.get(body.kind) ?? '', identifier: body.sequence, ...('lastNumber' in body && body.lastNumber !== undefined && { lastMsgNumber: Number(body.lastNumber) }) } }
    case 'make-connection': return { rmBody: { element: 'MakeConnection' } }
    case 'fault': return { fault: faultText(body.fault) }
    default: return {}
  }
}
