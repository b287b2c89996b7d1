/**
 * Faults that the service has rightly signed, got by somebody between it and its client and given to the client at the wrong place: each says what it
 * says of the message and the sequence that it is about, and nothing of any other.
 */
import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { FAULTS } from '../../src/errors.ts'
import { type ConnectOptions, type Conversation, DEFAULT_PROFILE, Keyring, MemoryStore, type Profile } from '../../src/index.ts'
import { as, PLACE, place, world, type World } from '../flow/world.ts'
import { edit, forge, id, tokenOf } from './forge.ts'
import { type Given, type Middle, middleOf, type Seen, SOAP } from './middle.ts'

let on: World
let middle: Middle
afterEach(async () => {
  await middle[Symbol.asyncDispose]()
  await on[Symbol.asyncDispose]()
})
async function field(options: Parameters<typeof world>[0] = {}): Promise<void> {
  on = await world(options)
  middle = await middleOf(on)
}
const connect = (options: Partial<ConnectOptions> = {}): Promise<Conversation> => on.client().connect(middle.url, { ...as('client'), ...options })
const ask = (conversation: Conversation, item: string | number): Promise<string> => conversation.request(place(item), { action: PLACE, timeoutMs: 5_000 }).then(() => 'replied', String)
/** What the service says to these bytes. */
const said = (body: Uint8Array | string): Promise<Given> => on.service.handle({ method: 'POST', url: '/orders', headers: { 'content-type': SOAP['content-type'] }, body: Buffer.from(body) })
const isNumber = (seen: Seen, number: number): boolean => seen.action === PLACE && seen.text.includes(`MessageNumber>${number}<`)

const UNSIGNED: readonly (readonly [name: string, edited: (seen: Seen) => string])[] = [
  ['a mandatory header', ({ text }) => edit(text, '</s:Header>', '<x:Odd xmlns:x="urn:x" s:mustUnderstand="true"/></s:Header>')],
  ['a header whose mustUnderstand is none', ({ text }) => edit(text, '</s:Header>', '<x:Odd xmlns:x="urn:x" s:mustUnderstand="x"/></s:Header>')],
  ['a Security header whose mustUnderstand is none', ({ text }) => edit(text, /(<wsse:Security[^>]*mustUnderstand=")[^"]*/, '$1x')],
]
test.each(UNSIGNED)('%s that nobody signed draws no fault under the token: the request is sent again, and answered', async (_, odd) => {
  await field()
  const conversation = await connect()
  let times = 0
  middle.meddle = (seen, honest) => (isNumber(seen, 1) && ++times === 1 ? said(odd(seen)) : honest())
  expect(await ask(conversation, 1)).toBe('replied')
  expect(on.security.map(({ code }) => code)).toEqual(['ERR_WSS_COVERAGE'])
  expect(on.handled).toHaveLength(1)
  expect(await conversation.close({ timeoutMs: 5_000 })).toEqual({ outcome: 'terminated', lost: [] })
})

describe.each([['plain', DEFAULT_PROFILE], ['signatures confirmed', { ...DEFAULT_PROFILE, signatureConfirmation: true }]] as const)('%s', (_, profile: Profile) => {
  test('the fault that answers one request does not answer the next', async () => {
    await field({ profile })
    const conversation = await connect({ profile })
    let kept: Given | undefined
    let times = 0
    middle.meddle = async (seen, honest) => {
      if (isNumber(seen, 1)) kept = await honest()
      return isNumber(seen, 1) || (isNumber(seen, 2) && ++times === 1) ? kept : honest()
    }
    // A header that is signed and not understood: the service refuses the message, in a fault that relates to it and confirms it.
    const headers = ['<x:Odd xmlns:x="urn:x" xmlns:s="http://www.w3.org/2003/05/soap-envelope" s:mustUnderstand="true"/>']
    await expect(conversation.request(place(1), { action: PLACE, headers, timeoutMs: 5_000 })).rejects.toMatchObject({ name: 'SoapFault', code: 'ERR_SOAP_FAULT' })
    expect(await ask(conversation, 2)).toBe('replied')
    expect(on.handled.map(({ body }) => /<item>(\d)/.exec(body)?.[1])).toEqual(['2'])
  })
})

test.each(['invalidSecurity', 'failedCheck', 'messageExpired'] as const)('a fault about the protection of one copy (%s) does not end its request, which is written anew', async (name) => {
  await field()
  const client = on.client()
  const conversation = await client.connect(middle.url, as('client'))
  expect(await ask(conversation, 1)).toBe('replied')
  const token = await tokenOf(client, conversation)
  let times = 0
  middle.meddle = (seen, honest) => (isNumber(seen, 2) && ++times === 1
    ? Promise.resolve({ status: 500, headers: SOAP, body: forge(token, { role: 'recipient', relatesTo: /MessageID[^>]*>([^<]+)</.exec(seen.text)?.[1] ?? '', body: { kind: 'fault', fault: FAULTS[name] } }).xml }) : honest())
  expect(await ask(conversation, 2)).toBe('replied')
  expect(times).toBe(2)
  expect(conversation.tokenId).toBe(token.id)
})

test.each(['resume', 'report'] as const)('a fault about another sequence does not end this one (%s)', async (onContextLost) => {
  await field()
  const client = on.client()
  const conversation = await client.connect(middle.url, { ...as('client'), onContextLost })
  expect(await ask(conversation, 1)).toBe('replied')
  const token = await tokenOf(client, conversation)
  let times = 0
  middle.meddle = (seen, honest) => (isNumber(seen, 2) && ++times === 1
    ? Promise.resolve({ status: 500, headers: SOAP, body: forge(token, { role: 'recipient', body: { kind: 'fault', fault: FAULTS.unknownSequence, sequence: id() } }).xml }) : honest())
  expect(await ask(conversation, 2)).toBe('replied')
  expect(conversation.tokenId).toBe(token.id)
})

test('a copy of what belongs to an ended sequence of the same token, of another process, draws a fault that ends nothing here', async () => {
  await field()
  const options = { store: new MemoryStore() as never, keyring: Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k') }
  const [one, two] = [on.client(options), on.client(options)]
  const keep = await one.connect(middle.url, { ...as('client'), name: 'keep' })
  expect(await ask(keep, 1)).toBe('replied')
  const other = await two.connect(middle.url, { ...as('client'), name: 'other' })
  const ended = await one.connect(middle.url, { ...as('client'), name: 'ended' })
  expect(await ask(ended, 1)).toBe('replied')
  const copy = middle.requests.findLast((seen) => seen.action === PLACE)
  await ended.close({ timeoutMs: 5_000 })
  expect(await ask(other, 1)).toBe('replied')
  let times = 0
  middle.meddle = (seen, honest) => (isNumber(seen, 2) && ++times === 1 ? said(copy?.body ?? '') : honest())
  expect(await ask(other, 2)).toBe('replied')
})

test('the refusal of an earlier CreateSequence does not end a later one', async () => {
  const profile: Profile = { ...DEFAULT_PROFILE, lifecycleCopies: 'answer' }
  await field({ profile })
  const client = on.client()
  const first = await client.connect(middle.url, { ...as('client'), profile })
  const keep = await client.connect(middle.url, { ...as('client'), profile })
  for (const each of [first, keep]) expect(await ask(each, 1)).toBe('replied')
  await first.close({ timeoutMs: 5_000 })
  const copy = middle.requests.find((seen) => seen.action.endsWith('/CreateSequence'))
  let refusal: Given | undefined
  middle.meddle = async (seen, honest) => {
    if (!seen.action.endsWith('/CreateSequence') || refusal !== undefined) return honest()
    refusal = await said(copy?.body ?? '')
    return refusal
  }
  expect(await ask(await client.connect(middle.url, { ...as('client'), profile }), 1)).toBe('replied')
  expect(Buffer.from(refusal?.body ?? '').toString()).toContain('CreateSequenceRefused')
})
