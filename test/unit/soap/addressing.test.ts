import { describe, expect, test } from 'vitest'
import { FAULTS, PeerViolation } from '../../../src/errors.ts'
import { readAddressing, readEndpoint, writeAddressing } from '../../../src/soap/addressing.ts'
import { SOAP11, SOAP12, WSA04, WSA10 } from '../../../src/spec/versions.ts'
import { by, one, through } from './read.ts'

const words = { action: 'urn:a', to: 'https://service.example.com/rm', messageId: 'urn:uuid:1', relatesTo: 'urn:uuid:0', replyTo: 'anonymous' } as const

test.each([[WSA10, SOAP12], [WSA10, SOAP11], [WSA04, SOAP12], [WSA04, SOAP11]])('what is written is read again', (version, soap) => {
  const read = readAddressing(through(soap, { headers: writeAddressing(words, version, soap), body: [], declarations: {} }))
  expect(read).toMatchObject({ version, action: words.action, to: words.to, messageId: words.messageId, relatesTo: words.relatesTo, replyTo: { kind: 'anonymous' } })
  expect(read?.elements).toHaveLength(5)
})
test('without an address a message goes to the back-channel', () => {
  expect(readAddressing(through(SOAP12, { headers: writeAddressing({ action: 'urn:a' }, WSA10, SOAP12), body: [], declarations: {} }))).toMatchObject({ to: WSA10.anonymous, replyTo: { kind: 'absent' } })
})
test('without any addressing header there are no properties', () => { expect(readAddressing(by('<x/>'))).toBeUndefined() })

describe('refused', () => {
  const refused = (header: string): PeerViolation => {
    try {
      readAddressing(by(header))
    } catch (error) {
      if (error instanceof PeerViolation) return error
    }
    throw new Error('nothing was refused')
  }
  const action = '<wsa:Action>urn:a</wsa:Action>'
  test('no Action', () => { expect(refused('<wsa:To>urn:a</wsa:To>').fault).toBe(FAULTS.messageAddressingHeaderRequired) })
  test.each([
    ['two Actions', action + action], ['two Tos', `${action}<wsa:To>urn:t</wsa:To><wsa:To>urn:u</wsa:To>`], ['two FaultTos', action + '<wsa:FaultTo><wsa:Address>urn:a</wsa:Address></wsa:FaultTo>'.repeat(2)],
    ['two MessageIDs', `${action}<wsa:MessageID>a</wsa:MessageID><wsa:MessageID>b</wsa:MessageID>`], ['two replies', `${action}<wsa:RelatesTo>a</wsa:RelatesTo><wsa:RelatesTo>b</wsa:RelatesTo>`],
  ])('%s', (_, header) => { expect(refused(header).fault).toBe(FAULTS.invalidCardinality) })
  test.each([
    ['two versions', `${action}<wsa04:To>urn:t</wsa04:To>`],
    ['elements in a URI', `${action}<wsa:To><x/></wsa:To>`], ['an empty MessageID', `${action}<wsa:MessageID> </wsa:MessageID>`],
    ['an endless MessageID', `${action}<wsa:MessageID>${'m'.repeat(1_025)}</wsa:MessageID>`], ['a ReplyTo without Address', `${action}<wsa:ReplyTo/>`], ['a FaultTo without Address', `${action}<wsa:FaultTo/>`],
    ['a ReplyTo of the other version', `${action}<wsa:ReplyTo><wsa04:Address>urn:a</wsa04:Address></wsa:ReplyTo>`],
    ['a ReplyTo with two addresses', `${action}<wsa:ReplyTo><wsa:Address>urn:a</wsa:Address><wsa:Address>urn:b</wsa:Address></wsa:ReplyTo>`],
  ])('%s', (_, header) => { expect(refused(header).fault).toBe(FAULTS.invalidAddressingHeader) })
})

test('headers for another role are not ours', () => {
  expect(readAddressing(by('<wsa:Action>urn:a</wsa:Action><wsa:To s:role="urn:other">urn:t</wsa:To>'))).not.toHaveProperty('to')
})
test('an Action that is no child of Header is none', () => { expect(readAddressing(by('<x><wsa:Action>urn:a</wsa:Action></x>'))).toBeUndefined() })
test('other relationships may stand beside the reply', () => {
  const other = '<wsa:RelatesTo RelationshipType="urn:caused-by">x</wsa:RelatesTo>'
  expect(readAddressing(by(`<wsa:Action>urn:a</wsa:Action>${other}<wsa:RelatesTo RelationshipType="http://www.w3.org/2005/08/addressing/reply">r</wsa:RelatesTo>${other}`))).toMatchObject({ relatesTo: 'r' })
  expect(readAddressing(by('<wsa04:Action>urn:a</wsa04:Action><wsa04:RelatesTo RelationshipType="wsa04:Reply">r</wsa04:RelatesTo>'))).toMatchObject({ relatesTo: 'r' })
})
test.each([
  [WSA10.anonymous, { kind: 'anonymous' }], [` ${WSA10.anonymous}\n`, { kind: 'anonymous' }], [WSA10.none ?? '', { kind: 'none' }], ['https://a/b', { kind: 'address', address: 'https://a/b' }],
  ['http://docs.oasis-open.org/ws-rx/wsmc/200702/anonymous?id=7', { kind: 'make-connection', address: 'http://docs.oasis-open.org/ws-rx/wsmc/200702/anonymous?id=7' }],
  [WSA04.anonymous, { kind: 'address', address: WSA04.anonymous }],
])('the address %j', (text, address) => { expect(readEndpoint(one(`<x><wsa:Address>${text}</wsa:Address></x>`), WSA10)).toEqual(address) })
