/** The eight steps of the flow, each seen on real parts over HTTP on loopback. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { createClient, Keyring } from '../../src/index.ts'
import { type DecodeLine, decodeMessage, RecordedKeys } from '../../src/decode.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import { as, pem, PLACE, place, world, type World } from './world.ts'

const open: World[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]()
})
async function start(options?: Parameters<typeof world>[0]): Promise<World> {
  const made = await world(options)
  open.push(made)
  return made
}

/** Every message on the wire, opened by the strict reader with the recorded secrets. */
function decoded(of: World): readonly (DecodeLine & { readonly direction: string })[] {
  const keys = new RecordedKeys({
    certificates: ['client.pem', 'service.pem'].map(pem), privateKeys: ['client.key.pem', 'service.key.pem'].map(pem),
    contexts: of.secrets.map(({ identifier, secret }) => ({ identifier, secret: secret.export().toString('base64') })),
  })
  return of.wire.filter((event) => event.body.length > 0).map((event) => ({ ...decodeMessage(event.body, keys, { suite: 'Basic256Sha256' }, event.at), direction: event.direction }))
}
const kind = (line: DecodeLine): string => ((line.opened ? line.action : undefined) ?? '').split(/[/:]/).at(-1) ?? ''
const opened = (lines: readonly DecodeLine[]): readonly Extract<DecodeLine, { opened: true }>[] => lines.flatMap((line) => (line.opened ? [line] : []))

describe('the eight steps', () => {
  test('1. the RM engine asks the SCT manager for the UUID of the session’s token', async () => {
    const here = await start()
    const client = here.client()
    const conversation = await client.connect(here.url, as('client'))
    expect(conversation.tokenId).toMatch(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    const status = await client.tokens.status(conversation.tokenId)
    expect(status).toMatchObject({ state: 'live', role: 'initiator' })
    expect(status?.users).toHaveLength(1)
  })

  test('2. a live token is reused: a second conversation sends no RST; without one the recipient is called', async () => {
    const here = await start()
    const client = here.client()
    const [first, second] = [await client.connect(here.url, as('client')), await client.connect(here.url, as('client'))]
    expect(second.tokenId).toBe(first.tokenId)
    await first.request(place(1), { action: PLACE })
    await second.request(place(2), { action: PLACE })
    expect(decoded(here).filter((line) => kind(line) === 'SCT' && line.direction === 'request')).toHaveLength(1)
    await first.close()
    await second.close()
    const third = await client.connect(here.url, as('client'))
    expect(third.tokenId).not.toBe(first.tokenId)
    expect(decoded(here).filter((line) => kind(line) === 'SCT' && line.direction === 'request')).toHaveLength(2)
  })

  test('3. CreateSequence is scoped to the token by a SecurityTokenReference, with UsesSequenceSTR, all of it signed by that token', async () => {
    const here = await start()
    const conversation = await here.client().connect(here.url, as('client'))
    await conversation.request(place(1), { action: PLACE })
    const create = opened(decoded(here)).find((line) => line.createSequence !== undefined)
    expect(create?.createSequence?.str).toEqual({ form: 'unattached', uri: conversation.tokenId, valueType: 'http://docs.oasis-open.org/ws-sx/ws-secureconversation/200512/sct' })
    expect(create?.token).toEqual({ identifier: conversation.tokenId })
    expect(create?.covered).toEqual(expect.arrayContaining(['{http://docs.oasis-open.org/ws-rx/wsrm/200702}UsesSequenceSTR', '{http://www.w3.org/2003/05/soap-envelope}Body']))
  })

  test('4. CreateSequenceResponse names the sequence and accepts the offer, under the token', async () => {
    const here = await start()
    const conversation = await here.client().connect(here.url, as('client'))
    await conversation.request(place(1), { action: PLACE })
    const response = opened(decoded(here)).find((line) => line.createSequenceResponse !== undefined)
    expect(response?.createSequenceResponse?.identifier).toBe(conversation.status.sequence)
    expect(response?.createSequenceResponse?.acceptAcksTo).toBeDefined()
    expect(response?.token).toEqual({ identifier: conversation.tokenId })
  })

  test('5. application messages arrive once and in order, their bodies encrypted; one-way ones are acknowledged', async () => {
    const here = await start()
    const conversation = await here.client().connect(here.url, as('client'))
    const replies = await Promise.all(Array.from({ length: 20 }, (_, n) => conversation.request(place(n), { action: PLACE })))
    expect(replies.map((reply) => reply.select('/*', {})[0]?.textContent)).toEqual(Array.from({ length: 20 }, (_, n) => String(n)))
    expect(here.handled.map((message) => message.number)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
    const ticket = await conversation.send(place('one way'), { action: PLACE })
    await ticket.acknowledged({ timeoutMs: 5_000 })
    const messages = opened(decoded(here)).filter((line) => line.sequence !== undefined)
    expect(messages.length).toBeGreaterThanOrEqual(41)
    expect(messages.every((line) => line.encrypted.length === 1 && line.token?.identifier === conversation.tokenId)).toBe(true)
  })

  test('6. SequenceAcknowledgement covers what was accepted, signed by the token', async () => {
    const here = await start()
    const conversation = await here.client().connect(here.url, as('client'))
    for (let n = 1; n <= 3; n++) await conversation.request(place(n), { action: PLACE })
    const sequence = conversation.status.sequence
    const last = opened(decoded(here)).filter((line) => line.acknowledgement?.some((each) => each.identifier === sequence)).at(-1)
    expect(last?.acknowledgement).toContainEqual({ identifier: sequence, ranges: [[1, 3]] })
    expect(last?.covered).toContain('{http://docs.oasis-open.org/ws-rx/wsrm/200702}SequenceAcknowledgement')
  })

  test('7. CloseSequence and TerminateSequence with their responses, under the token, which is cancelled last', async () => {
    const here = await start()
    const conversation = await here.client().connect(here.url, as('client'))
    await conversation.request(place(1), { action: PLACE })
    const sequence = conversation.status.sequence
    expect(await conversation.close()).toEqual({ outcome: 'terminated', lost: [] })
    const lines = decoded(here)
    expect(lines.map(kind).slice(-6)).toEqual(['CloseSequence', 'CloseSequenceResponse', 'TerminateSequence', 'TerminateSequenceResponse', 'Cancel', 'Cancel'])
    expect(lines.every((line) => line.opened)).toBe(true)
    const ending = opened(lines).filter((line) => line.rmBody !== undefined)
    expect(ending.map((line) => [line.rmBody?.element, line.rmBody?.identifier, line.rmBody?.lastMsgNumber])).toEqual([
      ['CloseSequence', sequence, 1], ['CloseSequenceResponse', sequence, undefined], ['TerminateSequence', sequence, 1], ['TerminateSequenceResponse', sequence, undefined],
    ])
  })

  test('8. the serialized token lies sealed in the store; after a crash the same sequence goes on under the same token', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'wsrm-flow-'))
    try {
      const keyring = Keyring.of([{ id: 'k', key: randomBytes(32) }], 'k')
      const here = await start()
      const store = await openSqliteStore(join(directory, 'client.db'))
      const client = createClient({ store, keyring, retransmitAfterMs: 100 })
      const before = await client.connect(here.url, { ...as('client'), name: 'orders' })
      await before.request(place(1), { action: PLACE, key: 'first' })
      const sequence = before.status.sequence
      // The process is gone: nothing is closed, nothing is said to the peer.
      await client[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()

      const secret = here.secrets[0]?.secret.export() ?? Buffer.alloc(0)
      for (const file of readdirSync(directory)) {
        const bytes = readFileSync(join(directory, file))
        for (const form of [secret, Buffer.from(secret.toString('hex')), Buffer.from(secret.toString('base64')), Buffer.from('first'), Buffer.from('<item>1</item>')]) expect(bytes.includes(form)).toBe(false)
      }
      const stored = await openSqliteStore(join(directory, 'client.db'))
      const again = createClient({ store: stored, keyring, retransmitAfterMs: 100 })
      const after = await again.connect(here.url, { ...as('client'), name: 'orders' })
      expect([after.tokenId, after.status.sequence]).toEqual([before.tokenId, sequence])
      expect((await after.reply('first')).body).toBe('<placed xmlns="urn:example:orders">1</placed>')
      await after.request(place(2), { action: PLACE })
      expect(here.handled.map((message) => message.number)).toEqual([1, 2])
      await after.close()
      expect(decoded(here).filter((line) => kind(line) === 'SCT' && line.direction === 'request')).toHaveLength(1)
      await again[Symbol.asyncDispose]()
      await stored[Symbol.asyncDispose]()
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
