/** How the service refuses, as it stands on the wire: fault, subcode, detail, headers, action, HTTP status, and under which protection. */
import { afterEach, describe, expect, test } from 'vitest'
import { ApplicationFault, BASIC256_SHA1, DEFAULT_PROFILE, type Profile } from '../../src/index.ts'
import { systemRandom } from '../../src/crypto/random.ts'
import type { Outbound, OutboundBody } from '../../src/rm/turn.ts'
import { currentInstance, type SecurityContextToken } from '../../src/sct/token.ts'
import { writeAddressing } from '../../src/soap/addressing.ts'
import { writeReliable } from '../../src/soap/reliable.ts'
import { trustAction } from '../../src/soap/trust.ts'
import { RM11, SC05, SC13, WSA04 } from '../../src/spec/versions.ts'
import { soapHeaders } from '../../src/transport/http.ts'
import { versionsOf } from '../../src/profiles/versions.ts'
import { protect } from '../../src/wss/protect.ts'
import { application, forge, id, issue, opener, post, rst, send, tokenOf } from '../attack/forge.ts'
import { as, PLACE, place, world, type World } from './world.ts'

let here: World
afterEach(() => here[Symbol.asyncDispose]())

interface Field { readonly token: SecurityContextToken; readonly sequence: string; readonly profile: Profile }
async function field(profile: Profile = DEFAULT_PROFILE, options: Parameters<typeof world>[0] = {}): Promise<Field> {
  here = await world({ profile, ...options })
  const client = here.client()
  const conversation = await client.connect(here.url, { ...as('client'), profile })
  await conversation.request(place(1), { action: PLACE }).catch(() => undefined)
  return { token: await tokenOf(client, conversation), sequence: conversation.status.sequence ?? '', profile }
}

interface Words { readonly body: OutboundBody; readonly to?: string; readonly replyTo?: string; readonly sequence?: { readonly id: string; readonly number: number | string } }
/** Any words, rightly protected; what `encode` would not write too. */
function written({ token, profile }: Field, { body, to = here.url, replyTo = 'anonymous', sequence }: Words): { readonly xml: string; readonly action: string } {
  const versions = versionsOf(profile)
  const parts = writeReliable({ body, acknowledgements: [], ackRequested: [], ...(sequence !== undefined && { sequence: sequence as NonNullable<Outbound['sequence']> }) }, { ...versions, scope: { identifier: token.id, str: 'header' } })
  const headers = [...writeAddressing({ action: parts.action, to, messageId: body.kind === 'application' ? body.content.messageId : id(), replyTo }, versions.addressing, versions.soap), ...parts.headers]
  const { instance, secret } = currentInstance(token)
  const { xml } = protect({ soap: versions.soap, headers, body: parts.body, encryptBody: body.kind === 'application' }, { identifier: token.id, instance, secret, sc: token.sc }, { profile, role: 'initiator', now: Date.now(), random: systemRandom })
  return { xml, action: parts.action }
}
const request = (): OutboundBody => application(place('x'))
const ask = async (of: Field, words: Words): Promise<{ readonly status: number; readonly text: string }> => {
  const { xml, action } = written(of, words)
  return post(here, xml, action, soapHeaders(of.profile.soap, action))
}
const actionOf = (text: string): string => /<wsa:Action[^>]*>([^<]*)</.exec(text)?.[1] ?? ''
const SOAP_FAULT = 'http://www.w3.org/2005/08/addressing/soap/fault'

describe('what must be understood and is not', () => {
  test('is named in a NotUnderstood header, signed as all else, with the action of SOAP’s own faults', async () => {
    const on = await field()
    const body: OutboundBody = { kind: 'application', shape: 'request', content: { action: PLACE, messageId: id(), body: place('x'), headers: ['<t:Odd xmlns:t="urn:odd" xmlns:s="http://www.w3.org/2003/05/soap-envelope" s:mustUnderstand="true"/>'] } }
    const answer = await send(here, forge(on.token, { body, to: here.url, sequence: { id: on.sequence, number: 2 } }))
    expect([answer.status, actionOf(answer.text)]).toEqual([500, SOAP_FAULT])
    expect(answer.text).toMatch(/<s:Envelope[^>]* xmlns:n0="urn:odd"/)
    expect(answer.text).toMatch(/<s:NotUnderstood [^>]*qname="n0:Odd"/)
    const line = opener(here.secrets)(Buffer.from(answer.text))
    expect(line).toMatchObject({ opened: true, fault: 'MustUnderstand', covered: expect.arrayContaining(['{http://www.w3.org/2003/05/soap-envelope}NotUnderstood']) as unknown })
  })
})

describe('HTTP', () => {
  test('a SOAP 1.1 fault comes with 500, whatever it says; a SOAP 1.2 fault of the sender’s before it is SOAP at all with 400', async () => {
    await field()
    for (const [version, status] of [['1.1', 500], ['1.2', 400]] as const) {
      expect((await post(here, '<a/>', '', soapHeaders(version, undefined))).status).toBe(status)
    }
  })
  test('a version that is not the media type’s is VersionMismatch, with 500 and the action of SOAP’s own faults', async () => {
    const on = await field()
    const { xml, action } = written(on, { body: request(), sequence: { id: on.sequence, number: 2 } })
    const answer = await post(here, xml, action, soapHeaders('1.1', action))
    expect([answer.status, actionOf(answer.text)]).toEqual([500, SOAP_FAULT])
    expect(answer.text).toContain(':VersionMismatch<')
  })
  test('another action in the HTTP header is ActionMismatch within InvalidAddressingHeader; SOAP 1.1 has one code, the more exact', async () => {
    for (const soap of ['1.2', '1.1'] as const) {
      const on = await field({ ...DEFAULT_PROFILE, soap })
      const { xml } = written(on, { body: request(), sequence: { id: on.sequence, number: 2 } })
      const { status, text } = await post(here, xml, '', soapHeaders(soap, 'urn:other'))
      expect(status).toBe(500)
      const codes = [...text.matchAll(/wsa:(InvalidAddressingHeader|ActionMismatch)</g)].map((each) => each[1])
      expect(codes).toEqual(soap === '1.2' ? ['InvalidAddressingHeader', 'ActionMismatch'] : ['ActionMismatch'])
      await here[Symbol.asyncDispose]()
    }
  })
  test('where it is ignored, the signed action alone counts', async () => {
    const on = await field({ ...DEFAULT_PROFILE, httpAction: 'ignored' })
    const { xml } = written(on, { body: request(), sequence: { id: on.sequence, number: 2 } })
    expect((await post(here, xml, '', soapHeaders('1.2', 'urn:other'))).status).toBe(200)
  })
})

describe('a message without a Sequence header', () => {
  test.each([['1.1', 'WSRMRequired', '200508'], ['1.0', 'ActionNotSupported', '200508'], ['1.0', 'ActionNotSupported', '200408']] as const)('RM %s: %s, addressing %s', async (rm, name, addressing) => {
    const on = await field({ ...DEFAULT_PROFILE, rm, addressing })
    const { status, text } = await ask(on, { body: request() })
    expect(status).toBe(500)
    const { rm: { faultAction }, addressing: wsa } = versionsOf(on.profile)
    expect(actionOf(text)).toBe(rm === '1.1' ? faultAction : wsa.faultAction)
    expect(text).toContain(`${rm === '1.1' ? 'wsrm' : 'wsa'}:${name}<`)
    expect(here.handled).toHaveLength(1)
  })
})

describe('addresses', () => {
  test('a service that was told its address gives no token to what is addressed elsewhere', async () => {
    here = await world({ address: 'https://orders.example/place' })
    await expect(here.client().connect(here.url, as('client'))).rejects.toMatchObject({ cause: { subcode: '{http://www.w3.org/2005/08/addressing}DestinationUnreachable' } })
    expect(here.security.map((event) => event.code)).toEqual(['ERR_WSA_TO'])
  })
  test('and takes what is addressed to it; a message of a sequence that is not draws DestinationUnreachable', async () => {
    here = await world()
    const { url } = here
    await here[Symbol.asyncDispose]()
    here = await world({ address: url }, Number(new URL(url).port))
    const client = here.client()
    const conversation = await client.connect(here.url, as('client'))
    expect((await conversation.request(place(1), { action: PLACE })).body).toContain('1')
    const on: Field = { token: await tokenOf(client, conversation), sequence: conversation.status.sequence ?? '', profile: DEFAULT_PROFILE }
    const answer = await ask(on, { body: request(), to: 'http://elsewhere.example/', sequence: { id: on.sequence, number: 2 } })
    expect(answer.status).toBe(500)
    expect(answer.text).toContain('wsa:DestinationUnreachable<')
    expect(here.handled).toHaveLength(1)
  })
  test('a request whose reply is wanted elsewhere is refused before it is accepted: there is no connection to there', async () => {
    const on = await field()
    const answer = await ask(on, { body: request(), replyTo: 'http://169.254.169.254/', sequence: { id: on.sequence, number: 2 } })
    expect(answer.status).toBe(500)
    expect(answer.text).toMatch(/wsa:InvalidAddressingHeader<[\s\S]*wsa:OnlyAnonymousAddressSupported</)
    expect(here.handled).toHaveLength(1)
    expect((await ask(on, { body: request(), sequence: { id: on.sequence, number: 2 } })).status).toBe(200)
  })
  test('CreateSequence whose answer is wanted elsewhere is refused', async () => {
    const on = await field()
    const answer = await ask(on, { body: { kind: 'create-sequence', acksTo: 'anonymous' }, replyTo: 'http://169.254.169.254/' })
    expect([answer.status, actionOf(answer.text)]).toEqual([500, RM11.faultAction])
    expect(answer.text).toContain('wsrm:CreateSequenceRefused<')
  })
})

describe('numbers', () => {
  test.each(['9007199254740992', '9223372036854775808', '18446744073709551615'])('%s has rolled over: the fault names the sequence and the highest number', async (number) => {
    for (const soap of ['1.2', '1.1'] as const) {
      const on = await field({ ...DEFAULT_PROFILE, soap })
      const { status, text } = await ask(on, { body: request(), sequence: { id: on.sequence, number } })
      expect(status).toBe(500)
      expect(text).toMatch(soap === '1.2' ? /wsrm:MessageNumberRollover</ : /<wsrm:FaultCode>wsrm:MessageNumberRollover</)
      const [, detail = ''] = (soap === '1.2' ? /<s:Detail>(.*)<\/s:Detail>/ : /<wsrm:Detail>(.*)<\/wsrm:Detail>/).exec(text) ?? []
      expect(detail.replaceAll(` xmlns:wsrm="${RM11.ns}"`, '')).toBe(`<wsrm:Identifier>${on.sequence}</wsrm:Identifier><wsrm:MaxMessageNumber>9007199254740991</wsrm:MaxMessageNumber>`)
      await here[Symbol.asyncDispose]()
    }
  })
  test('of a sequence that is not known it is UnknownSequence', async () => {
    const on = await field()
    expect((await ask(on, { body: request(), sequence: { id: 'urn:never', number: '9223372036854775808' } })).text).toContain('wsrm:UnknownSequence<')
  })
})

describe('dialects', () => {
  test('a refused request for a token is told in the dialect of WS-Trust that it was written in', async () => {
    await field()
    for (const sc of [SC05, SC13]) {
      const refused = await send(here, rst({ request: issue({ sc, keySizeBits: 8 * 3 }), action: trustAction(sc, 'issue', 'request') }))
      expect(refused.status).toBe(500)
      expect(refused.text).toContain(`xmlns:wst="${sc.trust.ns}"`)
      expect(refused.text).toContain('wst:InvalidRequest<')
    }
  })
  test('an exchange about contexts that is not offered is ActionNotSupported', async () => {
    await field()
    for (const suffix of ['/Amend', '/Validate']) {
      const refused = await send(here, rst({ action: `${trustAction(SC13, 'issue', 'request')}${suffix}` }))
      expect([refused.status, /wsa:ActionNotSupported</.test(refused.text)]).toEqual([500, true])
    }
  })
  test('a fault of the application has the fault action of the version of WS-Addressing in use', async () => {
    const profile: Profile = { ...BASIC256_SHA1, addressing: '200408', rm: '1.0', sc: '200502' }
    here = await world({ profile, handle: async () => { throw new ApplicationFault({ code: 'Sender', reason: 'sold out' }) } })
    const conversation = await here.client().connect(here.url, { ...as('client'), profile })
    await expect(conversation.request(place(1), { action: PLACE })).rejects.toMatchObject({ reason: 'sold out' })
    const texts = here.wire.filter((event) => event.direction === 'response').map((event) => Buffer.from(event.body).toString())
    expect(texts.map(actionOf)).toContain(WSA04.faultAction)
    expect(texts.map(actionOf).filter((action) => action.includes('2005/08'))).toEqual([])
  })
})
