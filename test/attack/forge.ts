/**
 * Forgeries for the attack tests: any message under any token, requests for tokens with any mistake, rows of a store before and after.
 *
 * @module
 */
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { expect } from 'vitest'
import type { Client, Conversation, Store } from '../../src/index.ts'
import { type Certificate, readCertificate, readPrivateKey } from '../../src/crypto/certificate.ts'
import { secretKey } from '../../src/crypto/hash.ts'
import { systemRandom, urnUuid } from '../../src/crypto/random.ts'
import { type DecodeLine, decodeMessage, RecordedKeys } from '../../src/decode.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { DEFAULT_PROFILE } from '../../src/profiles/profile.ts'
import type { LaneId, Outbound, OutboundBody } from '../../src/rm/turn.ts'
import { currentInstance, type SecurityContextToken, type TokenRequest, type TokenResponse } from '../../src/sct/token.ts'
import { writeAddressing } from '../../src/soap/addressing.ts'
import { trustAction, writeTokenRequest, writeTokenResponse } from '../../src/soap/trust.ts'
import { SC13 } from '../../src/spec/versions.ts'
import { soapHeaders } from '../../src/transport/http.ts'
import { encode, encodeUnderToken, type Written } from '../../src/wire.ts'
import { versionsOf } from '../../src/profiles/versions.ts'
import { protectBootstrap } from '../../src/wss/bootstrap.ts'
import { writeNodes } from '../../src/xml/writer.ts'
import { pem, PLACE, place, SERVICE, type World } from '../flow/world.ts'

export const id = (): string => urnUuid(systemRandom)
export const versions = versionsOf(DEFAULT_PROFILE)

// ---- messages under a token ----

export async function tokenOf(client: Client, conversation: Conversation): Promise<SecurityContextToken> {
  const token = await client.tokens.get(conversation.tokenId)
  if (token === undefined) throw new Error('the token is live')
  return token
}
export const application = (body: string, shape: 'request' | 'one-way' = 'request', messageId = id()): OutboundBody => ({ kind: 'application', shape, content: { action: PLACE, messageId, body, headers: [] } })

export interface Forgery extends Partial<Omit<Outbound, 'to'>> { readonly body: OutboundBody; readonly to?: string; readonly now?: number; readonly role?: 'initiator' | 'recipient' }
/** A message with those words, rightly protected by the token. */
export function forge(token: SecurityContextToken, forgery: Forgery): Written {
  const { to, now = Date.now(), role = 'initiator', ...words } = forgery
  const outbound: Outbound = {
    lane: '' as LaneId, tokenId: token.id, to: to === undefined ? { kind: 'exchange', exchange: '' } : { kind: 'endpoint', url: to },
    ...(words.body.kind === 'application' ? { messageId: words.body.content.messageId } : { messageId: id() }), acknowledgements: [], ackRequested: [], ...words,
  }
  return encode(outbound, token, { profile: DEFAULT_PROFILE, role, instance: currentInstance(token), now, random: systemRandom, limits: DEFAULT_LIMITS })
}

export interface Answer { readonly status: number; readonly text: string }
export async function post(here: World, xml: string, action: string, headers: Record<string, string> = soapHeaders('1.2', action)): Promise<Answer> {
  const answer = await here.service.handle({ method: 'POST', url: '/orders', headers, body: Buffer.from(xml) })
  return { status: answer.status, text: Buffer.from(answer.body).toString() }
}
export const send = (here: World, written: Written): Promise<Answer> => post(here, written.xml, written.action)

/** Replaces exactly one place, or fails. */
export function edit(xml: string, from: string | RegExp, to: string): string {
  const edited = xml.replace(from, to)
  if (edited === xml) throw new Error(`nothing to edit: ${String(from)}`)
  return edited
}
/** Another character of the alphabet at the start of the base64 content of the first such element. */
export const flip = (xml: string, local: string, where = ''): string =>
  edit(xml, new RegExp(`(${where}[\\s\\S]*?<(?:\\w+:)?${local}(?: [^>]*)?>)(.)`), (xml.match(new RegExp(`${where}[\\s\\S]*?<(?:\\w+:)?${local}(?: [^>]*)?>(.)`))?.[1] === 'A' ? '$1B' : '$1A'))

// ---- requests for a token, and answers to them ----

export interface Identity { readonly certificate: Certificate; readonly key: KeyObject }
export const identity = (name: 'client' | 'intruder' | 'service'): Identity => ({ certificate: readCertificate(pem(`${name}.pem`)), key: readPrivateKey(pem(`${name}.key.pem`)) })
export const service = readCertificate(SERVICE.certificate)
export const newKey = (): KeyObject => generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey
export const entropy = (bytes = 32): KeyObject => secretKey(systemRandom.bytes(bytes))
export const issue = (words: Partial<TokenRequest> = {}): TokenRequest => ({ kind: 'issue', sc: SC13, keySizeBits: 256, entropy: entropy(), ...words })

export interface RstWords { readonly by?: Identity; readonly request?: TokenRequest; readonly action?: string; readonly messageId?: string; readonly now?: number; readonly endorse?: SecurityContextToken; readonly clear?: boolean }
export function rst({ by = identity('client'), request = issue(), action = trustAction(SC13, 'issue', 'request'), messageId = id(), now = Date.now(), endorse, clear = false }: RstWords = {}): Written {
  const headers = writeAddressing({ action, to: 'http://127.0.0.1/orders', messageId, replyTo: 'anonymous' }, versions.addressing, versions.soap)
  const body = writeTokenRequest(request)
  const { xml } = protectBootstrap({ soap: versions.soap, headers, body: [body] }, { kind: 'x509', role: 'initiator', own: by, peer: service }, {
    profile: DEFAULT_PROFILE, now, random: systemRandom,
    ...(endorse !== undefined && { endorse: { identifier: endorse.id, instance: currentInstance(endorse).instance, secret: currentInstance(endorse).secret, sc: endorse.sc } }),
  })
  if (!clear) return { xml, action, soap: versions.soap }
  return { xml: inClear(xml, writeNodes([body])), action, soap: versions.soap }
}
/** What was signed, without the encryption that was put over it. */
export const inClear = (xml: string, content: string): string =>
  edit(edit(xml, /(<s:Body[^>]*>)[\s\S]*<\/s:Body>/, `$1${content}</s:Body>`), /<xenc:EncryptedKey[\s\S]*?<\/xenc:EncryptedKey>/, '')

/** Something about a token, under that token. */
export function underToken(token: SecurityContextToken, action: string, request: TokenRequest): Written {
  return encodeUnderToken({ action, headers: [], body: [writeTokenRequest(request)], declarations: {} }, { to: 'http://127.0.0.1/orders', messageId: id() }, token, {
    profile: DEFAULT_PROFILE, role: 'initiator', instance: currentInstance(token), now: Date.now(), random: systemRandom, limits: DEFAULT_LIMITS, encryptBody: false,
  })
}

export interface RstrWords { readonly by: Identity; readonly to?: Certificate; readonly response: TokenResponse; readonly relatesTo: string; readonly action?: string; readonly clear?: boolean }
export function rstr({ by, to = identity('client').certificate, response, relatesTo, action = trustAction(SC13, 'issue', 'response'), clear = false }: RstrWords): Written {
  const headers = writeAddressing({ action, messageId: id(), relatesTo }, versions.addressing, versions.soap)
  const body = writeTokenResponse(response, 'sct')
  const { xml } = protectBootstrap({ soap: versions.soap, headers, body: [body] }, { kind: 'x509', role: 'recipient', own: by, peer: to }, { profile: DEFAULT_PROFILE, now: Date.now(), random: systemRandom })
  return { xml: clear ? inClear(xml, writeNodes([body])) : xml, action, soap: versions.soap }
}

// ---- what is looked at ----

/** Every row but the marks of messages seen, as text. */
export async function rows(store: Store<never> | Store<undefined> | Store): Promise<string[]> {
  const found: string[] = []
  for await (const row of (store as Store).scan('')) if (!row.key.includes('6:replay')) found.push(`${row.key}@${row.revision} ${createHash('sha256').update(row.value).digest('hex').slice(0, 16)}`)
  return found
}

/** Every message on the wire, opened by the strict reader with the recorded secrets. */
export function opener(secrets: World['secrets']): (body: Uint8Array, at?: number) => DecodeLine {
  const keys = new RecordedKeys({
    certificates: ['client.pem', 'service.pem', 'intruder.pem'].map(pem), privateKeys: ['client.key.pem', 'service.key.pem', 'intruder.key.pem'].map(pem),
    contexts: secrets.map(({ identifier, instance, secret }) => ({ identifier, ...(instance !== undefined && { instance }), secret: secret.export().toString('base64') })), passwords: { alice: 'in wonderland' },
  })
  return (body, at = Date.now()) => decodeMessage(body, keys, { suite: 'Basic256Sha256' }, at)
}

const NAMES = /urn:uuid:[0-9a-f-]{36}/g
/** Nothing stands in the answer that an outsider should not learn: names that he did not send himself, codes of ours, traces, keys. */
export function expectNothingLeaked(answer: Answer, sent: string, known: ReadonlySet<string>, secrets: World['secrets']): void {
  for (const name of answer.text.match(NAMES) ?? []) if (known.has(name)) expect(sent).toContain(name)
  expect(answer.text).not.toMatch(/ERR_|\n\s+at |node:|node_modules|\/src\/|xmldom|saxes/)
  for (const { secret } of secrets) for (const form of ['base64', 'hex'] as const) expect(answer.text).not.toContain(secret.export().toString(form))
}

/** An honest message gets through, on a conversation that was there before. */
export async function expectHonest(here: World, conversation: Conversation, text: string): Promise<void> {
  const before = here.handled.length
  expect((await conversation.request(place(text), { action: PLACE, timeoutMs: 10_000 })).body).toContain(text)
  expect(here.handled).toHaveLength(before + 1)
}
