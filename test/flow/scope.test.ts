/** Whatever names a sequence is answered, under another principal's token, as if the sequence did not exist; and the sequence goes on. */
import { afterEach, describe, expect, test } from 'vitest'
import { systemRandom, urnUuid } from '../../src/crypto/random.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { DEFAULT_PROFILE } from '../../src/profiles/profile.ts'
import type { LaneId, Outbound, OutboundBody } from '../../src/rm/turn.ts'
import { currentInstance } from '../../src/sct/token.ts'
import { soapHeaders } from '../../src/transport/http.ts'
import { encode } from '../../src/wire.ts'
import { as, PLACE, place, world, type World } from './world.ts'

let here: World
afterEach(() => here[Symbol.asyncDispose]())

const unknown = 'urn:uuid:00000000-0000-4000-8000-000000000000'
const application: OutboundBody = { kind: 'application', shape: 'request', content: { action: PLACE, messageId: 'urn:uuid:11111111-0000-4000-8000-000000000000', body: place('stolen'), headers: [] } }

interface Attack { readonly name: string; readonly outbound: (sequence: string) => Pick<Outbound, 'body'> & Partial<Outbound> }
const ATTACKS: readonly Attack[] = [
  { name: 'an application message', outbound: (id) => ({ body: application, sequence: { id, number: 2 } }) },
  { name: 'a repeated application message', outbound: (id) => ({ body: application, sequence: { id, number: 1 } }) },
  { name: 'AckRequested alone', outbound: (id) => ({ body: { kind: 'ack-requested' }, ackRequested: [id] }) },
  { name: 'SequenceAcknowledgement alone', outbound: (sequence) => ({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence, ranges: [[1, 1]], final: true }] }) },
  { name: 'CloseSequence', outbound: (sequence) => ({ body: { kind: 'close-sequence', sequence, lastNumber: 1 } }) },
  { name: 'TerminateSequence', outbound: (sequence) => ({ body: { kind: 'terminate-sequence', sequence, lastNumber: 1 } }) },
  { name: 'CloseSequenceResponse', outbound: (sequence) => ({ body: { kind: 'close-sequence-response', sequence } }) },
  { name: 'TerminateSequenceResponse', outbound: (sequence) => ({ body: { kind: 'terminate-sequence-response', sequence } }) },
]

describe('a second principal with a token of its own', () => {
  test.each(ATTACKS)('$name on the first one’s sequence is answered like an unknown sequence and changes nothing', async ({ outbound }) => {
    here = await world()
    const conversation = await here.client().connect(here.url, as('client'))
    await conversation.request(place(1), { action: PLACE })
    const intruder = here.client()
    const own = await intruder.connect(here.url, as('intruder'))
    await own.request(place('own'), { action: PLACE })
    const token = await intruder.tokens.get(own.tokenId)
    if (token === undefined) throw new Error('the intruder has a token')
    const post = async (sequence: string): Promise<string> => {
      const message: Outbound = { lane: '' as LaneId, tokenId: token.id, to: { kind: 'endpoint', url: here.url }, messageId: urnUuid(systemRandom), acknowledgements: [], ackRequested: [], ...outbound(sequence) }
      const { xml, action } = encode(message, token, { profile: DEFAULT_PROFILE, role: 'initiator', instance: currentInstance(token), now: Date.now(), random: systemRandom, limits: DEFAULT_LIMITS })
      const answer = await here.service.handle({ method: 'POST', url: '/orders', headers: soapHeaders('1.2', action), body: Buffer.from(xml) })
      return `${answer.status} ${/wsrm:\w+|(?<=Action[^>]*>)[^<]+/.exec(Buffer.from(answer.body).toString())?.[0] ?? ''}`
    }
    const before = JSON.stringify(await sequences())
    const handledBefore = here.handled.length
    for (const victim of [conversation.status.sequence ?? '', conversation.status.offered ?? '']) {
      expect(await post(victim)).toBe(await post(unknown))
    }
    expect(JSON.stringify(await sequences())).toBe(before)
    expect(here.handled).toHaveLength(handledBefore)
    expect(here.security.map((event) => event.code)).toContain('ERR_RM_SCOPE')
    expect((await conversation.request(place(2), { action: PLACE })).body).toContain('2')
    expect(await conversation.close()).toEqual({ outcome: 'terminated', lost: [] })
  })

  test('its CreateSequence with a reference to the first one’s token is refused', async () => {
    here = await world()
    const conversation = await here.client().connect(here.url, as('client'))
    const intruder = here.client()
    const own = await intruder.connect(here.url, as('intruder'))
    const token = await intruder.tokens.get(own.tokenId)
    if (token === undefined) throw new Error('the intruder has a token')
    const options = { profile: DEFAULT_PROFILE, role: 'initiator' as const, instance: currentInstance(token), now: Date.now(), random: systemRandom, limits: DEFAULT_LIMITS }
    const message: Outbound = { lane: '' as LaneId, tokenId: token.id, to: { kind: 'endpoint', url: here.url }, messageId: urnUuid(systemRandom), acknowledgements: [], ackRequested: [], body: { kind: 'create-sequence', acksTo: 'anonymous' } }
    // The words of the intruder's message, with the reference to the victim's token, under the intruder's keys.
    const { writeReliable } = await import('../../src/soap/reliable.ts')
    const { writeAddressing } = await import('../../src/soap/addressing.ts')
    const { protect } = await import('../../src/wss/protect.ts')
    const { versionsOf } = await import('../../src/profiles/versions.ts')
    const versions = versionsOf(DEFAULT_PROFILE)
    const parts = writeReliable(message, { ...versions, scope: { identifier: conversation.tokenId, str: 'header' } })
    const headers = [...writeAddressing({ action: parts.action, to: here.url, messageId: message.messageId, replyTo: 'anonymous' }, versions.addressing, versions.soap), ...parts.headers]
    const { xml } = protect({ soap: versions.soap, headers, body: parts.body, encryptBody: false }, { identifier: token.id, secret: options.instance.secret, sc: token.sc }, options)
    const answer = await here.service.handle({ method: 'POST', url: '/orders', headers: soapHeaders('1.2', parts.action), body: Buffer.from(xml) })
    expect(answer.status).toBe(500)
    expect(Buffer.from(answer.body).toString()).toContain('CreateSequenceRefused')
  })
})

async function sequences(): Promise<unknown[]> {
  const all: unknown[] = []
  for await (const each of here.service.sequences()) all.push(each)
  return all
}
