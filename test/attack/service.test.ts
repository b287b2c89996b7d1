/**
 * A service under attack: for each hostile message the refusal by name, no call of the handler, rows as before, nothing told that the
 * sender did not know, and the next honest message served.
 */
import { request as httpRequest } from 'node:http'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ApplicationFault, type Client, type Conversation, createService, type HttpResponse, Keyring, type Message, MemoryStore, type SecurityContextToken, type Service, x509 } from '../../src/index.ts'
import { systemClock } from '../../src/clock.ts'
import { readCertificate } from '../../src/crypto/certificate.ts'
import { Gate } from '../../src/gate.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { DEFAULT_PROFILE } from '../../src/profiles/profile.ts'
import type { OutboundBody } from '../../src/rm/turn.ts'
import { TokenInstance, type TokenId } from '../../src/sct/token.ts'
import { trustAction } from '../../src/soap/trust.ts'
import { NS, RM11, SC13, SOAP11, WSA10 } from '../../src/spec/versions.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import { sessionPolicy } from '../../src/wire.ts'
import type { Opened } from '../../src/wss/keys.ts'
import { read } from '../../src/wss/open.ts'
import { ReplayCache } from '../../src/wss/replay.ts'
import { soapHeaders } from '../../src/transport/http.ts'
import { certificate, commonName } from '../unit/crypto/certificates.ts'
import { as, authorities, PLACE, place, SERVICE, world, type World } from '../flow/world.ts'
import { type Answer, application, edit, entropy, expectHonest, expectNothingLeaked, flip, forge, id, identity, issue, newKey, post, rows, rst, send, tokenOf, underToken } from './forge.ts'

const UNKNOWN = 'urn:uuid:00000000-0000-4000-8000-000000000000'

/** A world with a conversation of the client and one of the intruder, both in use. */
interface Field { readonly here: World; readonly store: MemoryStore; readonly client: Client; readonly conversation: Conversation; readonly token: SecurityContextToken; readonly other: Conversation; readonly otherToken: SecurityContextToken }
async function field(options: Parameters<typeof world>[0] = {}): Promise<Field> {
  const store = new MemoryStore()
  const here = await world({ store, ...options })
  const client = here.client()
  const conversation = await client.connect(here.url, as('client'))
  await conversation.request(place('first'), { action: PLACE })
  const intruder = here.client()
  const other = await intruder.connect(here.url, as('intruder'))
  await other.request(place('own'), { action: PLACE })
  return { here, store, client, conversation, token: await tokenOf(client, conversation), other, otherToken: await tokenOf(intruder, other) }
}
const sequenceOf = (conversation: Conversation): string => conversation.status.sequence ?? ''

interface Refusal { readonly status: number; /** In the answer. */ readonly fault?: string | RegExp; /** The event's code. */ readonly code?: string }
/** What has to hold for each attack. `sent` is everything that the attacker wrote. */
async function refused({ here, store, conversation, other }: Field, attack: () => Promise<Answer>, sent: string, { status, fault, code }: Refusal): Promise<void> {
  const [before, handled, heard] = [await rows(store), here.handled.length, here.security.length]
  const answer = await attack()
  expect(answer.status).toBe(status)
  if (fault === undefined) expect(answer.text).toBe('')
  else expect(answer.text).toMatch(typeof fault === 'string' ? new RegExp(`[:>]${fault}<`) : fault)
  expect(await rows(store)).toEqual(before)
  expect(here.handled).toHaveLength(handled)
  if (code !== undefined) expect(here.security.slice(heard).map((event) => event.code)).toContain(code)
  const known = new Set([conversation, other].flatMap((each) => [each.tokenId as string, each.status.sequence ?? '', each.status.offered ?? '']))
  expectNothingLeaked(answer, sent, known, here.secrets)
  await expectHonest(here, conversation, `honest ${handled}`)
}

describe('before it is SOAP', () => {
  let on: Field
  beforeAll(async () => { on = await field() })
  afterAll(() => on.here[Symbol.asyncDispose]())

  /** Over the wire, as any peer may write it. */
  const raw = (method: string, headers: Record<string, string>, body: Uint8Array, path = new URL(on.here.url).pathname): Promise<Answer> => new Promise((resolve, reject) => {
    const { hostname, port } = new URL(on.here.url)
    const request = httpRequest({ hostname, port, path, method, headers: { ...headers, 'content-length': body.length }, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
    })
    request.on('error', reject)
    request.end(body)
  })
  const honestBytes = (): Buffer => Buffer.from(forge(on.token, { body: { kind: 'ack-requested' }, to: on.here.url, ackRequested: [sequenceOf(on.conversation)] }).xml)
  const soap = { 'content-type': 'application/soap+xml; charset=utf-8' }

  interface HttpCase { readonly name: string; readonly attack: () => Promise<Answer>; readonly status: number; readonly fault?: string }
  const CASES: readonly HttpCase[] = [
    { name: 'GET', attack: () => raw('GET', {}, Buffer.alloc(0)), status: 405 },
    { name: 'PUT', attack: () => raw('PUT', soap, honestBytes()), status: 405 },
    { name: 'another path', attack: () => raw('POST', soap, honestBytes(), '/elsewhere'), status: 404 },
    { name: '?xsd= on another path', attack: () => raw('GET', {}, Buffer.alloc(0), '/orders?xsd=../../etc/passwd'), status: 405 },
    { name: 'text/plain', attack: () => raw('POST', { 'content-type': 'text/plain' }, honestBytes()), status: 415 },
    { name: 'no media type', attack: () => raw('POST', {}, honestBytes()), status: 415 },
    { name: 'multipart/related', attack: () => raw('POST', { 'content-type': 'multipart/related; type="application/xop+xml"; boundary=b' }, Buffer.from('--b\r\n\r\n<a/>\r\n--b--')), status: 415 },
    { name: 'gzip', attack: () => raw('POST', { ...soap, 'content-encoding': 'gzip' }, gzipSync(honestBytes())), status: 415 },
    { name: 'an empty body', attack: () => raw('POST', soap, Buffer.alloc(0)), status: 400, fault: 'Sender' },
    { name: 'no XML', attack: () => raw('POST', soap, Buffer.from('{"a":1}')), status: 400, fault: 'Sender' },
    { name: 'XML that is no SOAP', attack: () => raw('POST', soap, Buffer.from('<a/>')), status: 400, fault: 'Sender' },
    { name: 'DOCTYPE', attack: () => raw('POST', soap, Buffer.from(`<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>${honestBytes().toString()}`)), status: 400, fault: 'Sender' },
    { name: 'a processing instruction', attack: () => raw('POST', soap, Buffer.from(edit(honestBytes().toString(), '<s:Header>', '<s:Header><?php x?>'))), status: 400, fault: 'Sender' },
    { name: 'one byte more than 4 MB', attack: () => raw('POST', soap, Buffer.alloc(4 * 1024 * 1024 + 1, 0x20)), status: 413 },
    { name: '10,000 elements deep', attack: () => raw('POST', soap, Buffer.from('<a>'.repeat(10_000))), status: 400, fault: 'Sender' },
    { name: 'SOAP 1.1 under the media type of SOAP 1.2', attack: () => raw('POST', soap, Buffer.from(honestBytes().toString().replaceAll('http://www.w3.org/2003/05/soap-envelope', SOAP11.ns))), status: 500, fault: 'VersionMismatch' },
    { name: 'SOAP 1.2 under the media type of SOAP 1.1', attack: () => raw('POST', { 'content-type': 'text/xml' }, honestBytes()), status: 500, fault: 'VersionMismatch' },
    { name: 'an action parameter that is not wsa:Action', attack: () => raw('POST', { 'content-type': 'application/soap+xml; action="urn:example:other"' }, honestBytes()), status: 500, fault: 'InvalidAddressingHeader' },
  ]
  test.each(CASES)('$name is answered with $status', async ({ attack, status, fault }) => {
    await refused(on, attack, '', { status, ...(fault !== undefined && { fault }) })
  })

  test('a compressed body that another front handed on is not taken either', async () => {
    await refused(on, async () => {
      const answer = await on.here.service.handle({ method: 'POST', url: '/orders', headers: { ...soap, 'content-encoding': 'gzip' }, body: gzipSync(honestBytes()) })
      return { status: answer.status, text: Buffer.from(answer.body).toString() }
    }, '', { status: 415 })
  })
  test('a body that is no bytes, or breaks off, is answered and not thrown', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield honestBytes().subarray(0, 100)
      throw new Error('the socket broke')
    }
    const answer = await on.here.service.handle({ method: 'POST', url: '/orders', headers: soap, body: broken() })
    expect(answer.status).toBe(500)
    const text = await on.here.service.handle({ method: 'POST', url: '/orders', headers: soap, body: '<parsed/>' as unknown as Uint8Array })
    expect(text.status).toBe(400)
    await expectHonest(on.here, on.conversation, 'after broken bodies')
  })
})

describe('protection', () => {
  let on: Field
  beforeAll(async () => { on = await field() })
  afterAll(() => on.here[Symbol.asyncDispose]())

  const next = (body: OutboundBody = application(place('hostile'))): Parameters<typeof forge>[1] => ({ body, to: on.here.url, sequence: { id: sequenceOf(on.conversation), number: on.conversation.status.last + 1 } })
  const unprotected = (xml: string): string => edit(xml, /<wsse:Security[\s\S]*?<\/wsse:Security>/, '')

  const RM_MESSAGES: readonly { readonly name: string; readonly words: () => Parameters<typeof forge>[1] }[] = [
    { name: 'a numbered application message', words: () => next() },
    { name: 'CreateSequence', words: () => ({ body: { kind: 'create-sequence', acksTo: 'anonymous' } }) },
    { name: 'CreateSequenceResponse', words: () => ({ body: { kind: 'create-sequence-response', sequence: sequenceOf(on.conversation) } }) },
    { name: 'CloseSequence', words: () => ({ body: { kind: 'close-sequence', sequence: sequenceOf(on.conversation) } }) },
    { name: 'CloseSequenceResponse', words: () => ({ body: { kind: 'close-sequence-response', sequence: sequenceOf(on.conversation) } }) },
    { name: 'TerminateSequence', words: () => ({ body: { kind: 'terminate-sequence', sequence: sequenceOf(on.conversation) } }) },
    { name: 'TerminateSequenceResponse', words: () => ({ body: { kind: 'terminate-sequence-response', sequence: sequenceOf(on.conversation) } }) },
    { name: 'AckRequested', words: () => ({ body: { kind: 'ack-requested' }, ackRequested: [sequenceOf(on.conversation)] }) },
    { name: 'SequenceAcknowledgement', words: () => ({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence: on.conversation.status.offered ?? '', ranges: [[1, 1]], final: false }] }) },
    { name: 'SequenceFault', words: () => ({ body: { kind: 'fault', fault: { name: 'SequenceTerminated', code: 'Sender', family: 'wsrm', reason: 'x' }, sequence: sequenceOf(on.conversation) } }) },
  ]
  test.each(RM_MESSAGES)('$name without Security is refused', async ({ words }) => {
    const { xml, action } = forge(on.token, words())
    await refused(on, () => post(on.here, unprotected(xml), action), xml, { status: 500, fault: 'InvalidSecurity', code: 'ERR_WSS_NO_SECURITY' })
  })
  test('a clear Body put under the headers of a known sequence is refused', async () => {
    const { xml, action } = forge(on.token, next())
    const bare = edit(unprotected(xml), /(<s:Body[^>]*>)[\s\S]*<\/s:Body>/, `$1${place('planted')}</s:Body>`)
    await refused(on, () => post(on.here, bare, action), bare, { status: 500, fault: 'InvalidSecurity', code: 'ERR_WSS_NO_SECURITY' })
  })

  interface Edit { readonly name: string; readonly edit: (xml: string) => string; readonly fault: string; readonly status?: number }
  const EDITS: readonly Edit[] = [
    { name: 'the Body', edit: (xml) => flip(xml, 'CipherValue', '<s:Body'), fault: 'FailedCheck' },
    { name: 'the Body, put back in clear', edit: (xml) => edit(xml, /(<s:Body[^>]*>)[\s\S]*<\/s:Body>/, `$1${place('planted')}</s:Body>`), fault: 'FailedCheck' },
    { name: 'the number', edit: (xml) => edit(xml, /(MessageNumber>)\d+/, '$1999'), fault: 'FailedCheck' },
    { name: 'the sequence', edit: (xml) => edit(xml, sequenceOf(on.conversation), UNKNOWN), fault: 'FailedCheck' },
    { name: 'the MessageID', edit: (xml) => edit(xml, /(MessageID[^>]*>)[^<]+/, `$1${UNKNOWN}`), fault: 'FailedCheck' },
    { name: 'the ReplyTo', edit: (xml) => edit(xml, 'http://www.w3.org/2005/08/addressing/anonymous', 'http://169.254.169.254/'), fault: 'FailedCheck' },
    { name: 'a header put in', edit: (xml) => edit(xml, '</s:Header>', `<wsrm:AckRequested xmlns:wsrm="${RM11.ns}"><wsrm:Identifier>${UNKNOWN}</wsrm:Identifier></wsrm:AckRequested></s:Header>`), fault: 'FailedCheck' },
    { name: 'a ReplyTo taken out', edit: (xml) => edit(xml, /<wsa:ReplyTo[\s\S]*?<\/wsa:ReplyTo>/, ''), fault: 'FailedCheck' },
    { name: 'the signature value', edit: (xml) => flip(xml, 'SignatureValue'), fault: 'FailedCheck' },
    { name: 'a digest', edit: (xml) => flip(xml, 'DigestValue'), fault: 'FailedCheck' },
    { name: 'the nonce of a derived key', edit: (xml) => flip(xml, 'Nonce'), fault: 'FailedCheck' },
    { name: 'Created', edit: (xml) => edit(xml, /(?<=Created>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{3}/, ''), fault: 'FailedCheck' },
    { name: 'Expires', edit: (xml) => edit(xml, /(?<=Expires>)\d{4}/, '2099'), fault: 'FailedCheck' },
    { name: 'no signature at all', edit: (xml) => edit(xml, /<ds:Signature[\s\S]*?<\/ds:Signature>/, ''), fault: 'FailedCheck' },
    { name: 'two Bodies', edit: (xml) => edit(xml, '</s:Envelope>', `<s:Body>${place('second')}</s:Body></s:Envelope>`), fault: 'InvalidSecurity', status: 400 },
    { name: 'two Sequence headers', edit: (xml) => edit(xml, /(<wsrm:Sequence[\s\S]*?<\/wsrm:Sequence>)/, '$1$1'), fault: 'InvalidSecurity', status: 400 },
    { name: 'two Security headers', edit: (xml) => edit(xml, '</s:Header>', `<wsse:Security xmlns:wsse="${NS.wsse}"/></s:Header>`), fault: 'InvalidSecurity', status: 400 },
    { name: 'an unknown context', edit: (xml) => xml.replaceAll(on.token.id, UNKNOWN), fault: 'BadContextToken' },
    { name: 'another one’s context', edit: (xml) => xml.replaceAll(on.token.id, on.otherToken.id), fault: 'FailedCheck' },
  ]
  test.each(EDITS)('changed after it was signed: $name', async ({ edit: change, fault, status = 500 }) => {
    const { xml, action } = forge(on.token, next())
    const changed = change(xml)
    await refused(on, () => post(on.here, changed, action), changed, { status, fault })
  })
  test('all that is wrong with the cryptography is answered alike', async () => {
    const answers: string[] = []
    for (const change of [EDITS[0], EDITS[2], EDITS[8], EDITS[9], EDITS[10]]) {
      const { xml, action } = forge(on.token, next(application(place('x'), 'request', UNKNOWN)))
      answers.push((await post(on.here, change?.edit(xml) ?? '', action)).text)
    }
    expect(new Set(answers).size).toBe(1)
  })

  test.each([['a minute and more too old', -400_000], ['two minutes from the future', 120_000]])('a Timestamp that is %s is refused', async (_, offset) => {
    const written = forge(on.token, { ...next(), now: Date.now() + offset })
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'MessageExpired', code: 'ERR_WSS_TIMESTAMP' })
  })
  test('a right signature by a key that nobody agreed on is refused', async () => {
    const guessed: SecurityContextToken = { ...on.token, instances: [new TokenInstance({ secret: entropy(), created: 0, expires: Date.now() + 3_600_000 })] }
    const written = forge(guessed, next())
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'FailedCheck' })
  })
  test('a numbered message byte by byte again is acknowledged again and not delivered', async () => {
    const sequence = sequenceOf(on.conversation)
    const written = on.here.wire.filter((event) => event.direction === 'request').findLast((event) => Buffer.from(event.body).toString().includes(`${sequence}</wsrm:Identifier><wsrm:MessageNumber>`))
    if (written === undefined) throw new Error('a message went over the wire')
    const [before, handled] = [await rows(on.store), on.here.handled.length]
    for (let copy = 0; copy < 3; copy++) {
      const answer = await post(on.here, Buffer.from(written.body).toString(), PLACE)
      expect(answer.status).toBe(200)
      expect(answer.text).toContain('SequenceAcknowledgement')
    }
    expect(await rows(on.store)).toEqual(before)
    expect(on.here.handled).toHaveLength(handled)
    await expectHonest(on.here, on.conversation, 'after the replay')
  })
  test('a hundred copies at once are one message', async () => {
    const conversation = await on.client.connect(on.here.url, as('client'))
    await conversation.request(place('opening'), { action: PLACE })
    const handled = on.here.handled.length
    const { xml, action } = forge(on.token, { body: application(place('once')), to: on.here.url, sequence: { id: sequenceOf(conversation), number: 2 } })
    const answers = await Promise.all(Array.from({ length: 100 }, () => post(on.here, xml, action)))
    expect(on.here.handled).toHaveLength(handled + 1)
    expect(answers.every((answer) => answer.status < 300)).toBe(true)
    await expectHonest(on.here, on.conversation, 'after the copies')
  })
  test.each(RM_MESSAGES.filter(({ name }) => ['CreateSequence', 'AckRequested', 'SequenceAcknowledgement'].includes(name)))('$name alone, byte by byte again, is refused', async ({ words }) => {
    const written = forge(on.token, { ...words(), to: on.here.url })
    await send(on.here, written)
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'FailedCheck', code: 'ERR_WSS_REPLAY' })
  })
  test('where copies are taken, what asks for a sequence or ends one has the same answer each time: nothing is made or ended twice', async () => {
    const there = await field({ profile: { ...DEFAULT_PROFILE, lifecycleCopies: 'answer' } })
    await using _ = there.here
    const states = async (): Promise<string[]> => {
      const found: string[] = []
      for await (const { state } of there.here.service.sequences()) found.push(state)
      return found
    }
    const thrice = async (body: OutboundBody): Promise<readonly Answer[]> => {
      const written = forge(there.token, { body, to: there.here.url })
      const racing = await Promise.all([send(there.here, written), send(there.here, written)])
      return [...racing, await send(there.here, written)]
    }
    const named = (answers: readonly Answer[]): ReadonlySet<string | undefined> => new Set(answers.map(({ status, text }) => `${status} ${/Response[^>]*>.*?Identifier>([^<]+)</s.exec(text)?.[1]}`))
    const made = [...named(await thrice({ kind: 'create-sequence', acksTo: 'anonymous' }))]
    const sequence = made[0]?.split(' ')[1] ?? ''
    expect(made).toEqual([`200 ${sequence}`])
    expect(await states()).toEqual(['open', 'open', 'open'])
    for (const kind of ['close-sequence', 'terminate-sequence'] as const) expect(named(await thrice({ kind, sequence }))).toEqual(new Set([`200 ${sequence}`]))
    expect((await states()).sort()).toEqual(['ended', 'open', 'open'])
    // Nothing else is taken twice.
    const asking = forge(there.token, { body: { kind: 'ack-requested' }, ackRequested: [sequenceOf(there.conversation)], to: there.here.url })
    await send(there.here, asking)
    await refused(there, () => send(there.here, asking), asking.xml, { status: 500, fault: 'FailedCheck', code: 'ERR_WSS_REPLAY' })
    await expectHonest(there.here, there.conversation, 'after the copies')
  })
  test('a mandatory header that nobody knows is refused, under the token', async () => {
    const body: OutboundBody = { kind: 'application', shape: 'request', content: { action: PLACE, messageId: id(), body: place('x'), headers: ['<t:Transaction xmlns:t="urn:t" xmlns:s="http://www.w3.org/2003/05/soap-envelope" s:mustUnderstand="true"/>'] } }
    const written = forge(on.token, next(body))
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'MustUnderstand' })
  })
  test('what is remembered of messages is not filled by numbered ones, which their numbers tell apart', async () => {
    const gate = new Gate(on.client.tokens, systemClock, new ReplayCache({ capacity: 100, perScope: 3 }))
    const receive = async ({ xml }: { xml: string }): Promise<unknown> => gate.receive(await gate.open(read(Buffer.from(xml), DEFAULT_LIMITS), { certificates: [], privateKeys: [] }, sessionPolicy({ profile: DEFAULT_PROFILE, limits: DEFAULT_LIMITS })))
    for (let number = 1; number <= 10; number++) await receive(forge(on.token, { ...next(), sequence: { id: UNKNOWN, number } }))
    const close = forge(on.token, { body: { kind: 'close-sequence', sequence: UNKNOWN }, to: on.here.url })
    await receive(close)
    await expect(receive(close)).rejects.toMatchObject({ code: 'ERR_WSS_REPLAY' })
    // A number beside it does not make CloseSequence one of the numbered.
    const numbered = forge(on.token, { body: { kind: 'close-sequence', sequence: UNKNOWN }, to: on.here.url, sequence: { id: UNKNOWN, number: 11 } })
    await receive(numbered)
    await expect(receive(numbered)).rejects.toMatchObject({ code: 'ERR_WSS_REPLAY' })
  })
  test('one principal does not fill what is remembered for the others, with however many tokens', async () => {
    const there = await field({ limits: { replayMarks: 60, replayMarksPerPrincipal: 12 } })
    await using _ = there.here
    const asking = (token: SecurityContextToken): Promise<Answer> => send(there.here, forge(token, { body: { kind: 'ack-requested' }, to: there.here.url }))
    const first = forge(there.otherToken, { body: { kind: 'ack-requested' }, to: there.here.url })
    expect((await send(there.here, first)).status).toBe(202)
    let taken = 0
    for (const tokens = [there.otherToken]; tokens.length <= 6;) {
      for (let times = 0; times < 13; times++) if ((await asking(tokens.at(-1) as SecurityContextToken)).status === 202) taken++
      const client = there.here.client()
      // Whether a sequence can still be had under the next token does not matter: the token is there.
      await client.connect(there.here.url, { ...as('intruder'), timeoutMs: 10_000 }).catch(() => undefined)
      tokens.push(await client.tokens.get(there.here.secrets.at(-1)?.identifier as TokenId) as SecurityContextToken)
    }
    expect(taken).toBeLessThan(12)
    // The offender is refused, and nothing of his was forgotten for it.
    await refused(there, () => asking(there.otherToken), '', { status: 500, fault: 'FailedCheck', code: 'ERR_WSS_REPLAY_FULL' })
    await refused(there, () => send(there.here, first), first.xml, { status: 500, fault: 'FailedCheck', code: 'ERR_WSS_REPLAY' })
    const newcomer = await there.client.connect(there.here.url, as('client'))
    await expectHonest(there.here, newcomer, 'beside a full share')
    expect((await asking(there.token)).status).toBe(202)
  })
  test('equal signatures under two tokens of one principal are two messages', async () => {
    const gate = new Gate(on.client.tokens, systemClock, new ReplayCache({ capacity: 100, perScope: 100 }))
    const opened = { signatureValues: [Buffer.from('equal')], level: 'headers', timestamp: { created: 0, expires: Date.now() + 60_000 } } as unknown as Opened
    const marked = ['a', 'b', 'a'].map((tokenId) => gate.mark(opened, 'principal', tokenId))
    expect(marked).toEqual(['fresh', 'fresh', 'seen'])
  })
})

describe('requests for a token', () => {
  let on: Field
  beforeAll(async () => { on = await field() })
  afterAll(() => on.here[Symbol.asyncDispose]())

  test('by a certificate that nobody vouches for', async () => {
    const key = newKey()
    const by = { certificate: readCertificate(certificate({ subject: commonName('client'), key, from: Date.now() - 1_000, to: Date.now() + 1_000_000 })), key }
    const written = rst({ by })
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'FailedAuthentication', code: 'ERR_WSS_UNTRUSTED' })
  })
  test('with the Body in clear', async () => {
    const written = rst({ clear: true })
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'FailedCheck', code: 'ERR_WSS_NOT_ENCRYPTED' })
  })
  test('changed after they were signed', async () => {
    const written = rst()
    const changed = edit(written.xml, /(MessageID[^>]*>)[^<]+/, `$1${UNKNOWN}`)
    await refused(on, () => post(on.here, changed, written.action), changed, { status: 500, fault: 'FailedCheck' })
  })
  test('stale', async () => {
    const written = rst({ now: Date.now() - 400_000 })
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'MessageExpired' })
  })
  test('without entropy, with entropy too short or too long, for a key too short', async () => {
    const { entropy: _, ...bare } = issue()
    for (const request of [bare, issue({ entropy: entropy(8) }), issue({ entropy: entropy(256) }), issue({ keySizeBits: 64 })]) {
      const written = rst({ request })
      await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'InvalidRequest' })
    }
  })
  test('a second time, byte by byte', async () => {
    const written = rst()
    expect((await send(on.here, written)).status).toBe(200)
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'FailedCheck', code: 'ERR_WSS_REPLAY' })
  })
  test('whose action says another thing than the Body', async () => {
    const kinds = ['issue', 'renew', 'cancel'] as const
    const target = { identifier: on.token.id }
    const ask = { issue: issue(), renew: issue({ kind: 'renew', target }), cancel: { kind: 'cancel' as const, sc: SC13, target } }
    for (const said of ['issue', 'renew'] as const) for (const meant of kinds) {
      if (said === meant) continue
      const written = rst({ action: trustAction(SC13, said, 'request'), request: ask[meant], endorse: on.token })
      await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: '(InvalidAddressingHeader|InvalidRequest)' })
    }
    for (const meant of ['issue', 'renew'] as const) {
      const written = underToken(on.token, trustAction(SC13, 'cancel', 'request'), ask[meant])
      await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: '(InvalidAddressingHeader|InvalidRequest)' })
    }
  })
  test('a Renew without the proof of the token, and by somebody else', async () => {
    const request = issue({ kind: 'renew', target: { identifier: on.token.id } })
    const action = trustAction(SC13, 'renew', 'request')
    for (const written of [rst({ request, action }), rst({ request, action, endorse: on.otherToken }), rst({ request, action, endorse: on.token, by: identity('intruder') })]) {
      await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'UnableToRenew' })
    }
  })
  test('a Cancel of a token with sequences, and of somebody else’s', async () => {
    const action = trustAction(SC13, 'cancel', 'request')
    const inUse = underToken(on.token, action, { kind: 'cancel', sc: SC13, target: { identifier: on.token.id } })
    await refused(on, () => send(on.here, inUse), inUse.xml, { status: 500, fault: 'RequestFailed' })
    const foreign = underToken(on.otherToken, action, { kind: 'cancel', sc: SC13, target: { identifier: on.token.id } })
    await refused(on, () => send(on.here, foreign), foreign.xml, { status: 500, fault: 'BadContextToken' })
  })
  test('beyond the quota of a principal; others are served', async () => {
    const few = await field({ limits: { tokensPerPrincipal: 3 } })
    try {
      for (const status of [200, 200]) expect((await send(few.here, rst())).status).toBe(status)
      const written = rst()
      await refused(few, () => send(few.here, written), written.xml, { status: 500, fault: 'RequestFailed', code: 'ERR_SCT_QUOTA' })
      expect((await send(few.here, rst({ by: identity('intruder') }))).status).toBe(200)
    } finally {
      await few.here[Symbol.asyncDispose]()
    }
  })
  test('a second time after a restart on the same store', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'wsrm-attack-'))
    const keyring = Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')
    const start = async (): Promise<{ readonly service: Service; end(): Promise<void> }> => {
      const store = await openSqliteStore(join(directory, 'service.db'))
      const made = await createService<unknown>({ accept: [x509({ identity: SERVICE, trust: { authorities } })], handle: () => Promise.resolve(undefined), store: store as never, keyring })
      return { service: made, end: async () => { await made.close(); await store[Symbol.asyncDispose]() } }
    }
    const ask = async (made: Service, xml: string, action: string): Promise<HttpResponse> => made.handle({ method: 'POST', url: '/', headers: soapHeaders('1.2', action), body: Buffer.from(xml) })
    try {
      const { xml, action } = rst()
      const before = await start()
      expect((await ask(before.service, xml, action)).status).toBe(200)
      await before.end()
      const after = await start()
      const again = await ask(after.service, xml, action)
      expect([again.status, Buffer.from(again.body).toString()]).toEqual([500, expect.stringContaining('FailedCheck')])
      const fresh = rst()
      expect((await ask(after.service, fresh.xml, fresh.action)).status).toBe(200)
      await after.end()
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})

describe('tokens that have ended', () => {
  let on: Field
  beforeAll(async () => { on = await field() })
  afterAll(() => on.here[Symbol.asyncDispose]())

  test('a message under a cancelled token is refused, and so is a new token in its name', async () => {
    const client = on.here.client()
    const gone = await client.connect(on.here.url, as('client'))
    await gone.request(place('before'), { action: PLACE })
    const token = await tokenOf(client, gone)
    const sequence = sequenceOf(gone)
    await gone.close()
    const written = forge(token, { body: application(place('late')), to: on.here.url, sequence: { id: sequence, number: 2 } })
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: '(BadContextToken|FailedCheck)' })
    const resurrection = underToken(token, trustAction(SC13, 'cancel', 'request'), issue())
    await refused(on, () => send(on.here, resurrection), resurrection.xml, { status: 500, fault: /InvalidAddressingHeader|InvalidRequest|BadContextToken/ })
    const renewal = rst({ action: trustAction(SC13, 'renew', 'request'), request: issue({ kind: 'renew', target: { identifier: token.id } }), endorse: token })
    await refused(on, () => send(on.here, renewal), renewal.xml, { status: 500, fault: 'UnableToRenew' })
  })
  test('a message under an expired token is refused', async () => {
    let ahead = 0
    const clock = { now: () => Date.now() + ahead, alarm: (at: number, wake: () => void) => { const timer = setTimeout(wake, Math.max(0, at - Date.now() - ahead)); timer.unref(); return () => clearTimeout(timer) } }
    const late = await field({ clock })
    try {
      ahead = 11 * 3_600_000
      const written = forge(late.token, { body: application(place('late')), to: late.here.url, sequence: { id: sequenceOf(late.conversation), number: 2 }, now: clock.now() })
      const [before, handled] = [await rows(late.store), late.here.handled.length]
      const answer = await send(late.here, written)
      expect([answer.status, answer.text]).toEqual([500, expect.stringMatching(/BadContextToken|FailedCheck/)])
      expect(await rows(late.store)).toEqual(before)
      expect(late.here.handled).toHaveLength(handled)
      ahead = 0
      await expectHonest(late.here, late.conversation, 'in time')
    } finally {
      await late.here[Symbol.asyncDispose]()
    }
  })
})

describe('sequences', () => {
  let on: Field
  beforeAll(async () => { on = await field() })
  afterAll(() => on.here[Symbol.asyncDispose]())

  const create = (words: Partial<OutboundBody & { kind: 'create-sequence' }> = {}): Parameters<typeof forge>[1] => ({ body: { kind: 'create-sequence', acksTo: 'anonymous', ...words }, to: on.here.url })

  test('without a reference to the token', async () => {
    const { encode, protectWith } = await scopeless()
    for (const str of ['dangerOmit', 'uses'] as const) {
      const xml = str === 'dangerOmit' ? encode() : protectWith()
      await refused(on, () => post(on.here, xml, `${RM11.ns}/CreateSequence`), xml, { status: 500, fault: 'CreateSequenceRefused', code: 'ERR_RM_CREATE_REFUSED' })
    }
  })
  /** CreateSequence without scope: with nothing, and with UsesSequenceSTR but no reference. */
  async function scopeless(): Promise<{ encode(): string; protectWith(): string }> {
    const { writeReliable } = await import('../../src/soap/reliable.ts')
    const { writeAddressing } = await import('../../src/soap/addressing.ts')
    const { protect } = await import('../../src/wss/protect.ts')
    const { versionsOf } = await import('../../src/profiles/versions.ts')
    const { DEFAULT_PROFILE } = await import('../../src/profiles/profile.ts')
    const { systemRandom } = await import('../../src/crypto/random.ts')
    const versions = versionsOf(DEFAULT_PROFILE)
    const made = (body: 'dangerOmit' | 'header'): string => {
      const words = { body: { kind: 'create-sequence', acksTo: 'anonymous' } as const, acknowledgements: [], ackRequested: [] }
      const parts = writeReliable(words, { ...versions, scope: { identifier: on.token.id, str: 'dangerOmit' } })
      const scoped = writeReliable(words, { ...versions, scope: { identifier: on.token.id, str: body } })
      const headers = [...writeAddressing({ action: parts.action, to: on.here.url, messageId: id(), replyTo: 'anonymous' }, versions.addressing, versions.soap), ...scoped.headers]
      const [instance] = on.token.instances
      if (instance === undefined) throw new Error('an instance')
      return protect({ soap: versions.soap, headers, body: parts.body, encryptBody: false }, { identifier: on.token.id, secret: instance.secret, sc: on.token.sc }, { profile: DEFAULT_PROFILE, role: 'initiator', now: Date.now(), random: systemRandom }).xml
    }
    return { encode: () => made('dangerOmit'), protectWith: () => made('header') }
  }
  test('with a reference to another token', async () => {
    const written = forge({ ...on.otherToken, id: on.otherToken.id }, create())
    // The words are those of the victim's token, the keys the intruder's own.
    const swapped = await underOwnKeys(on.token.id, on.otherToken)
    await refused(on, () => post(on.here, swapped, written.action), swapped, { status: 500, fault: 'CreateSequenceRefused', code: 'ERR_RM_CREATE_REFUSED' })
  })
  async function underOwnKeys(named: TokenId, own: SecurityContextToken): Promise<string> {
    const { writeReliable } = await import('../../src/soap/reliable.ts')
    const { writeAddressing } = await import('../../src/soap/addressing.ts')
    const { protect } = await import('../../src/wss/protect.ts')
    const { versionsOf } = await import('../../src/profiles/versions.ts')
    const { DEFAULT_PROFILE } = await import('../../src/profiles/profile.ts')
    const { systemRandom } = await import('../../src/crypto/random.ts')
    const versions = versionsOf(DEFAULT_PROFILE)
    const parts = writeReliable({ body: { kind: 'create-sequence', acksTo: 'anonymous' }, acknowledgements: [], ackRequested: [] }, { ...versions, scope: { identifier: named, str: 'header' } })
    const headers = [...writeAddressing({ action: parts.action, to: on.here.url, messageId: id(), replyTo: 'anonymous' }, versions.addressing, versions.soap), ...parts.headers]
    const [instance] = own.instances
    if (instance === undefined) throw new Error('an instance')
    return protect({ soap: versions.soap, headers, body: parts.body, encryptBody: false }, { identifier: own.id, secret: instance.secret, sc: own.sc }, { profile: DEFAULT_PROFILE, role: 'initiator', now: Date.now(), random: systemRandom }).xml
  }
  test.each(['http://169.254.169.254/', 'http://127.0.0.1:22/', 'file:///etc/passwd', 'http://user:pw@host/', `${WSA10.ns}/none`])('with acknowledgements to %s', async (acksTo) => {
    const written = forge(on.token, create({ acksTo }))
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'CreateSequenceRefused' })
  })
  test('with an offer that exists, is empty, or too long', async () => {
    for (const sequence of [on.conversation.status.offered ?? '', sequenceOf(on.conversation), '', 'x'.repeat(1_025)]) {
      const written = forge(on.token, create({ offer: { sequence } }))
      await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: '(CreateSequenceRefused|Sender)' })
    }
  })
  test('more than a principal may have; others are served', async () => {
    const few = await field({ limits: { sequencesPerPrincipal: 3 } })
    try {
      for (const status of [200, 200]) expect((await send(few.here, forge(few.token, { body: { kind: 'create-sequence', acksTo: 'anonymous' }, to: few.here.url }))).status).toBe(status)
      const written = forge(few.token, { body: { kind: 'create-sequence', acksTo: 'anonymous' }, to: few.here.url })
      await refused(few, () => send(few.here, written), written.xml, { status: 500, fault: 'CreateSequenceRefused' })
      expect((await send(few.here, forge(few.otherToken, { body: { kind: 'create-sequence', acksTo: 'anonymous' }, to: few.here.url }))).status).toBe(200)
    } finally {
      await few.here[Symbol.asyncDispose]()
    }
  })
  test('made and ended one after the other: of one principal a number is remembered, and others are served', async () => {
    const create = (there: Field, token: SecurityContextToken): ReturnType<typeof forge> => forge(token, { body: { kind: 'create-sequence', acksTo: 'anonymous' }, to: there.here.url })
    const ended = async (there: Field): Promise<void> => {
      const sequence = /Identifier>([^<]+)</.exec(/CreateSequenceResponse.*/s.exec((await send(there.here, create(there, there.otherToken))).text)?.[0] ?? '')?.[1] ?? ''
      expect((await send(there.here, forge(there.otherToken, { body: { kind: 'terminate-sequence', sequence }, to: there.here.url }))).text).toContain('TerminateSequenceResponse')
    }
    const limits = { endedSequencesPerPrincipal: 3 }
    const [young, old] = [await field({ limits }), await field({ limits, timing: { leastTombstoneMs: 0 } })]
    await using _ = young.here
    await using __ = old.here
    for (let times = 0; times < 3; times++) await ended(young)
    const written = create(young, young.otherToken)
    await refused(young, () => send(young.here, written), written.xml, { status: 500, fault: 'CreateSequenceRefused', code: 'ERR_RM_CREATE_REFUSED' })
    expect((await send(young.here, create(young, young.token))).status).toBe(200)
    // What is old enough gives way, and its rows with it.
    for (let times = 0; times < 3; times++) await ended(old)
    const before = (await rows(old.store)).length
    for (let times = 0; times < 5; times++) await ended(old)
    expect((await rows(old.store)).length).toBe(before)
    await expectHonest(old.here, old.other, 'after the many')
  })
  test('numbers beyond the window, at 10^18, and at nothing', async () => {
    const { other, otherToken, here, store } = on
    const victim = sequenceOf(other)
    for (const number of ['2000', '1000000000000000000', '18446744073709551615', '0', '-1', 'NaN', '99999999999999999999999999']) {
      const { encodeNumbered } = await numbered()
      const xml = encodeNumbered(number)
      const [before, handled] = [await rows(store), here.handled.length]
      const answer = await post(here, xml, PLACE)
      expect(answer.text).not.toContain('placed')
      expect(here.handled).toHaveLength(handled)
      const after = await rows(store)
      // A number that cannot be counted closes the sequence for new numbers; no other row changes.
      if (number !== '1000000000000000000' && number !== '18446744073709551615') expect(after).toEqual(before)
      else expect(after.length).toBe(before.length)
    }
    await expectHonest(here, on.conversation, 'after the numbers')
    async function numbered(): Promise<{ encodeNumbered(number: string): string }> {
      const { writeReliable } = await import('../../src/soap/reliable.ts')
      const { writeAddressing } = await import('../../src/soap/addressing.ts')
      const { protect } = await import('../../src/wss/protect.ts')
      const { versionsOf } = await import('../../src/profiles/versions.ts')
      const { DEFAULT_PROFILE } = await import('../../src/profiles/profile.ts')
      const { systemRandom } = await import('../../src/crypto/random.ts')
      const versions = versionsOf(DEFAULT_PROFILE)
      return { encodeNumbered: (number) => {
        const messageId = id()
        const parts = writeReliable({ body: application(place('far'), 'request', messageId), sequence: { id: victim, number: number as unknown as number }, acknowledgements: [], ackRequested: [] }, { ...versions, scope: { identifier: otherToken.id, str: 'header' } })
        const headers = [...writeAddressing({ action: PLACE, to: here.url, messageId, replyTo: 'anonymous' }, versions.addressing, versions.soap), ...parts.headers]
        const [instance] = otherToken.instances
        if (instance === undefined) throw new Error('an instance')
        return protect({ soap: versions.soap, headers, body: parts.body, encryptBody: true }, { identifier: otherToken.id, secret: instance.secret, sc: otherToken.sc }, { profile: DEFAULT_PROFILE, role: 'initiator', now: Date.now(), random: systemRandom }).xml
      } }
    }
  })
  test('acknowledgements of replies that were never sent', async () => {
    const offered = on.conversation.status.offered ?? ''
    for (const ranges of [[[1, 1_000]], [[900, 901]]] as const) {
      const written = forge(on.token, { body: { kind: 'acknowledgement' }, to: on.here.url, acknowledgements: [{ sequence: offered, ranges, final: false }] })
      await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'InvalidAcknowledgement' })
    }
  })
  test('a request on the sequence that the service itself sends on', async () => {
    const offered = on.conversation.status.offered ?? ''
    const written = forge(on.token, { body: application(place('reversed')), to: on.here.url, sequence: { id: offered, number: 700 } })
    await refused(on, () => send(on.here, written), written.xml, { status: 500, fault: 'UnknownSequence' })
  })
  test('what the service has sent, sent back to it', async () => {
    const answers = on.here.wire.filter((event) => event.direction === 'response' && event.body.length > 0)
    expect(answers.length).toBeGreaterThan(5)
    const [before, handled] = [await rows(on.store), on.here.handled.length]
    for (const { body } of answers) {
      const xml = Buffer.from(body).toString()
      await post(on.here, xml, '', { 'content-type': 'application/soap+xml' })
    }
    expect(await rows(on.store)).toEqual(before)
    expect(on.here.handled).toHaveLength(handled)
    await expectHonest(on.here, on.conversation, 'after the mirror')
  })
  test('a message without a sequence, and an action that nobody knows', async () => {
    const free = forge(on.token, { body: application(place('free')), to: on.here.url })
    await refused(on, () => send(on.here, free), free.xml, { status: 500, fault: 'WSRMRequired' })
    const odd: OutboundBody = { kind: 'application', shape: 'request', content: { action: 'urn:nobody:knows', messageId: id(), body: place('odd'), headers: [] } }
    const loose = forge(on.token, { body: odd, to: on.here.url })
    await refused(on, () => send(on.here, loose), loose.xml, { status: 500, fault: 'WSRMRequired' })
  })
  test('MakeConnection for a mailbox that is not there', async () => {
    const { protect } = await import('../../src/wss/protect.ts')
    const { writeAddressing } = await import('../../src/soap/addressing.ts')
    const { readElement } = await import('../../src/xml/reader.ts')
    const { versions } = await import('./forge.ts')
    const { DEFAULT_PROFILE } = await import('../../src/profiles/profile.ts')
    const { systemRandom } = await import('../../src/crypto/random.ts')
    const action = `${NS.wsmc}/MakeConnection`
    const body = readElement(`<wsmc:MakeConnection xmlns:wsmc="${NS.wsmc}"><wsmc:Address>${NS.wsmc}/anonymous?id=${UNKNOWN}</wsmc:Address></wsmc:MakeConnection>`, DEFAULT_LIMITS)
    const [instance] = on.token.instances
    if (instance === undefined) throw new Error('an instance')
    const { xml } = protect({ soap: versions.soap, headers: writeAddressing({ action, to: on.here.url, messageId: id() }, versions.addressing, versions.soap), body: [body], encryptBody: false }, { identifier: on.token.id, secret: instance.secret, sc: on.token.sc }, { profile: DEFAULT_PROFILE, role: 'initiator', now: Date.now(), random: systemRandom })
    // As a mailbox in which nothing waits.
    await refused(on, () => post(on.here, xml, action), xml, { status: 202 })
  })
})

describe('the handler', () => {
  const open: { [Symbol.asyncDispose](): PromiseLike<void> }[] = []
  afterEach(async () => {
    for (const each of open.splice(0)) await each[Symbol.asyncDispose]()
  })
  /** A service whose handler is the test's, with a conversation. */
  async function served(handle: (message: Message, calls: number, signal: AbortSignal) => ReturnType<Parameters<typeof createService>[0]['handle']>, options: Parameters<typeof world>[0] = {}): Promise<{ here: World; conversation: Conversation; calls: () => number; client: Client }> {
    let calls = 0
    const here = await world({ handle: ((message: Message, { signal }: { signal: AbortSignal }) => handle(message, ++calls, signal)) as never, timing: { redeliverMs: 10 }, ...options })
    open.push(here)
    const client = here.client()
    const conversation = await client.connect(here.url, as('client'))
    return { here, conversation, calls: () => calls, client }
  }
  const reply = { reply: { body: '<done xmlns="urn:example:orders"/>' } }

  test('that throws is called again, in the end given up, and tells nothing of its error', async () => {
    const { conversation, calls, here } = await served(() => Promise.reject(new Error('SECRET-PATH /etc/shadow')), { maxDeliveries: 3 })
    await expect(conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })).rejects.toMatchObject({ code: 'ERR_SOAP_FAULT', reason: 'The message could not be processed' })
    expect(calls()).toBe(3)
    const { opener } = await import('./forge.ts')
    const open = opener(here.secrets)
    for (const { body } of here.wire) if (body.length > 0) expect(JSON.stringify(open(body))).not.toContain('SECRET-PATH')
  })
  test('that throws once is called again and answers', async () => {
    const { conversation, calls } = await served((_, n) => (n === 1 ? Promise.reject(new Error('busy')) : Promise.resolve(reply)))
    expect((await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })).body).toContain('done')
    expect(calls()).toBe(2)
  })
  test('that throws synchronously, or throws no Error, is treated alike', async () => {
    const { conversation, calls } = await served((_, n) => {
      if (n === 1) throw new TypeError('synchronous')
      if (n === 2) throw undefined
      return Promise.resolve(reply)
    })
    expect((await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })).body).toContain('done')
    expect(calls()).toBe(3)
  })
  test('that throws an ApplicationFault consumes the message with that fault', async () => {
    const { conversation, calls } = await served((_, n) => (n === 1 ? Promise.reject(new ApplicationFault({ code: 'Sender', subcode: '{urn:shop}SoldOut', reason: 'sold out', detail: '<left xmlns="urn:shop">0</left>' })) : Promise.resolve(reply)))
    await expect(conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })).rejects.toMatchObject({ subcode: '{urn:shop}SoldOut', reason: 'sold out' })
    expect((await conversation.request(place(2), { action: PLACE, timeoutMs: 10_000 })).body).toContain('done')
    expect(calls()).toBe(2)
  })
  test.each([
    ['a reply that is no XML', { body: '<open>' }], ['a reply with a DOCTYPE', { body: '<!DOCTYPE a><a/>' }], ['two elements', { body: '<a/><b/>' }],
    ['a header that is no XML', { body: '<a/>', headers: ['&'] }], ['an action that breaks lines', { body: '<a/>', action: 'urn:a\r\nset-cookie: x=1' }],
  ])('that returns %s is called again, then given up', async (_, bad) => {
    const { conversation, calls } = await served((message) => Promise.resolve(message.number === 1 ? { reply: bad } : reply), { maxDeliveries: 2 })
    await expect(conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })).rejects.toMatchObject({ code: 'ERR_SOAP_FAULT' })
    expect((await conversation.request(place(2), { action: PLACE, timeoutMs: 10_000 })).body).toContain('done')
    expect(calls()).toBe(3)
  })
  test.each(['urn:bestellung/größe/中', 'urn:"quoted"\\'])('whose reply has the action %j answers without breaking HTTP', async (action) => {
    const { conversation, here } = await served(() => Promise.resolve({ reply: { ...reply.reply, action } }))
    expect((await conversation.request(place(1), { action: PLACE, timeoutMs: 5_000 })).body).toContain('done')
    for (const { http } of here.wire) for (const value of Object.values(http.headers)) expect(value).toMatch(/^[\x20-\x7e]*$/)
  })
  test('that returns never leaves other conversations alone, holds no answer back, and ends with the service', async () => {
    let stopped = false
    const { conversation, here, client } = await served((message, _, signal) => {
      if (message.body.includes('ok')) return Promise.resolve(reply)
      return new Promise(() => signal.addEventListener('abort', () => { stopped = true }))
    }, { holdReplyMs: 100 })
    const started = Date.now()
    await expect(conversation.request(place('stuck'), { action: PLACE, timeoutMs: 600 })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    const second = await client.connect(here.url, as('client'))
    expect((await second.request(place('ok'), { action: PLACE, timeoutMs: 5_000 })).body).toContain('done')
    await here.service.close()
    expect(stopped).toBe(true)
    expect(Date.now() - started).toBeLessThan(5_000)
  })
  test('that is slower than holdReplyMs still answers, once', async () => {
    const { conversation, calls, here } = await served(async () => {
      await new Promise((resolve) => { setTimeout(resolve, 400) })
      return reply
    }, { holdReplyMs: 50 })
    expect((await conversation.request(place(1), { action: PLACE, timeoutMs: 10_000 })).body).toContain('done')
    expect(calls()).toBe(1)
    expect(here.wire.some((event) => event.direction === 'response' && (event.http.status === 202 || event.http.status === 200))).toBe(true)
  })
  test('a client that breaks off in the middle harms nobody', async () => {
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => { release = resolve })
    const { conversation, here, client, calls } = await served(async (message) => {
      if (message.body.includes('slow')) await gate
      return reply
    })
    await conversation.request(place('opening'), { action: PLACE })
    const token = await tokenOf(client, conversation)
    const written = forge(token, { body: application(place('slow')), to: here.url, sequence: { id: sequenceOf(conversation), number: 2 } })
    const abort = new AbortController()
    const fetched = fetch(here.url, { method: 'POST', headers: soapHeaders('1.2', PLACE), body: written.xml, signal: abort.signal }).catch(() => 'gone')
    while (calls() < 2) await new Promise((resolve) => { setTimeout(resolve, 5) })
    abort.abort()
    expect(await fetched).toBe('gone')
    release()
    const second = await client.connect(here.url, as('client'))
    expect((await second.request(place('honest'), { action: PLACE, timeoutMs: 5_000 })).body).toContain('done')
    expect(here.security.filter(({ code }) => !code.startsWith('ERR_'))).toEqual([])
  })
})

describe('the store', () => {
  test.each([0, 1, 2, 3, 4])('that fails its commit number %i loses nothing and tells nothing', async (failing) => {
    const directory = mkdtempSync(join(tmpdir(), 'wsrm-attack-'))
    const sqlite = await openSqliteStore(join(directory, 'service.db'))
    let commits = 0
    let failed = 0
    const store = new Proxy(sqlite, {
      get(target, property) {
        const value = Reflect.get(target, property, target) as unknown
        if (property === 'commit') return (...given: Parameters<typeof sqlite.commit>) => {
          if (commits++ !== failing) return sqlite.commit(...given)
          failed++
          return Promise.reject(new Error('SECRET-DISK is full'))
        }
        return typeof value === 'function' ? (value as (...given: unknown[]) => unknown).bind(target) : value
      },
    })
    const here = await world({ store: store as never, keyring: Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k') })
    try {
      const client = here.client()
      const connect = (): Promise<Conversation> => client.connect(here.url, as('client'))
      const conversation = await connect().catch(connect)
      const replies = await Promise.all([1, 2, 3].map((n) => conversation.request(place(n), { action: PLACE, timeoutMs: 20_000 })))
      expect(replies.map((each) => each.body)).toEqual([1, 2, 3].map((n) => expect.stringContaining(`>${n}<`)))
      expect(new Set(here.handled.map((message) => message.number))).toEqual(new Set([1, 2, 3]))
      expect(failed).toBe(1)
      for (const { body } of here.wire) expect(Buffer.from(body).toString()).not.toContain('SECRET-DISK')
      expect(await conversation.close({ timeoutMs: 20_000 })).toMatchObject({ lost: [] })
    } finally {
      await here[Symbol.asyncDispose]()
      await sqlite[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
