/** An answer confirms a signature of the message that it answers: of whichever copy, and of no other message. */
import { describe, expect, test } from 'vitest'
import { Confirmations } from '../../src/confirmations.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { DEFAULT_PROFILE, type Profile } from '../../src/profiles/profile.ts'
import { versionsOf } from '../../src/profiles/versions.ts'
import type { LaneId, Outbound } from '../../src/rm/turn.ts'
import { writeAddressing } from '../../src/soap/addressing.ts'
import { sessionPolicy } from '../../src/wire.ts'
import type { Opened } from '../../src/wss/keys.ts'
import { open, read } from '../../src/wss/open.ts'
import { protect } from '../../src/wss/protect.ts'
import { CONTEXT, counted, NOW, SECRET } from '../schema/kinds.ts'

const profile: Profile = { ...DEFAULT_PROFILE, signatureConfirmation: true }
const { soap, addressing, sc } = versionsOf(profile)
const value = (word: string): readonly Uint8Array[] => [Buffer.from(word)]
const lane = (name: string): LaneId => name as LaneId
const REQUEST = { lane: lane('l'), messageId: 'urn:m:1', body: { kind: 'application' } } as unknown as Outbound
const POLL = { lane: lane('l'), messageId: 'urn:poll', body: { kind: 'make-connection' } } as unknown as Outbound

function answer(confirmed: string, relatesTo?: string): Opened {
  const headers = writeAddressing({ action: 'urn:a', to: 'urn:us', messageId: 'urn:m:9', ...(relatesTo !== undefined && { relatesTo }) }, addressing, soap)
  const { xml } = protect({ soap, headers, body: ['<a></a>'], encryptBody: true, confirms: value(confirmed) }, { identifier: CONTEXT, secret: SECRET, sc }, { profile, role: 'recipient', now: NOW, random: counted() })
  const keys = { contexts: () => [{ identifier: CONTEXT, secret: SECRET, instance: undefined }], certificates: [], privateKeys: [], encryptedKey: () => undefined }
  return open(read(Buffer.from(xml), DEFAULT_LIMITS), keys, sessionPolicy({ profile, limits: DEFAULT_LIMITS }), NOW)
}

describe('of three copies of a message, another message and a poll, an answer', () => {
  const written = (): Confirmations => {
    const all = new Confirmations()
    for (const word of ['first', 'second', 'third']) all.wrote(REQUEST, value(word))
    all.wrote({ lane: lane('l'), messageId: 'urn:m:2' }, value('other'))
    all.wrote({ lane: lane('elsewhere'), messageId: 'urn:m:3' }, value('foreign'))
    all.wrote(POLL, value('poll'))
    return all
  }
  test.each<[string, Opened, Outbound, string]>([
    ['to the last copy confirms the last', answer('third', 'urn:m:1'), REQUEST, 'third'],
    ['to the last copy confirms the first', answer('first', 'urn:m:1'), REQUEST, 'third'],
    ['in the mailbox confirms the first copy', answer('first', 'urn:m:1'), POLL, 'poll'],
    ['in the mailbox confirms the poll', answer('poll', 'urn:m:1'), POLL, 'poll'],
    ['in the mailbox that answers nothing confirms any', answer('other'), POLL, 'poll'],
  ])('%s', (_, opened, outbound, own) => { expect(() => { written().check(opened, outbound, value(own)) }).not.toThrow() })
  test.each<[string, Opened, Outbound, string]>([
    ['confirms nothing of ours', answer('never written', 'urn:m:1'), REQUEST, 'third'],
    ['confirms another message than it answers', answer('other', 'urn:m:1'), REQUEST, 'third'],
    ['in the mailbox confirms another message than it answers', answer('other', 'urn:m:1'), POLL, 'poll'],
    ['in the mailbox confirms nothing of ours', answer('never written'), POLL, 'poll'],
    ['in the mailbox confirms a message of another conversation', answer('foreign'), POLL, 'poll'],
    ['in the mailbox answers and confirms a message of another conversation', answer('foreign', 'urn:m:3'), POLL, 'poll'],
    ['that answers nothing confirms another message than that on which it came', answer('other'), REQUEST, 'third'],
  ])('is refused that %s', (_, opened, outbound, own) => { expect(() => { written().check(opened, outbound, value(own)) }).toThrow(expect.objectContaining({ code: 'ERR_WSS_CONFIRMATION' })) })
})

test('only so many messages are remembered, the latest', () => {
  const all = new Confirmations()
  for (let at = 0; at < 5_000; at++) all.wrote({ lane: lane('l'), messageId: `urn:n:${at}` }, value(`v${at}`))
  expect(() => { all.check(answer('v4999', 'urn:n:4999'), POLL, value('poll')) }).not.toThrow()
  expect(() => { all.check(answer('v1', 'urn:n:1'), POLL, value('poll')) }).toThrow(expect.objectContaining({ code: 'ERR_WSS_CONFIRMATION' }))
})
