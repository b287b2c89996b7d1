import { describe, expect, test } from 'vitest'
import { Destination } from '../../../src/rm/destination.ts'
import { Source } from '../../../src/rm/source.ts'
import { DEFAULT_TIMING } from '../../../src/rm/timing.ts'
import type { Outbound, Turn } from '../../../src/rm/turn.ts'
import { acknowledged, asked, CLOSE, closing, consumed, created, destinationAfter, fault, made, message, NOW, PASSED, sourceAfter, submit, terminating, TIME } from '../../machine/machines.ts'

const kinds = (turn: Turn): string[] => turn.transmit.map(({ body, sequence }: Outbound) => sequence === undefined ? body.kind : `${body.kind} ${sequence.number}`)
const OVER = (number: number): Parameters<Source['handle']>[0] => ({ kind: 'hint', hint: { kind: 'exchange-over' }, about: { kind: 'application', number } })

describe('the RM Source', () => {
  test('asks again with doubled waits up to the cap', () => {
    const source = sourceAfter([created(), submit('a', 'request'), OVER(1)])
    const waits: number[] = []
    let now = NOW
    for (let tries = 0; tries < 7; tries++) {
      const at = source.wakeAt
      waits.push(at - now)
      now = at
      expect(kinds(source.handle(TIME, now))).toEqual(['application 1'])
      source.handle(OVER(1), now)
    }
    expect(waits).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  })
  test('does not ask again while the exchange is open, until it is open for too long', () => {
    const source = sourceAfter([created(), submit('a', 'request')])
    expect(source.wakeAt).toBe(NOW + DEFAULT_TIMING.exchangeMs)
    expect(kinds(source.handle(TIME, NOW + DEFAULT_TIMING.exchangeMs - 1))).toEqual([])
    expect(kinds(source.handle(TIME, NOW + DEFAULT_TIMING.exchangeMs))).toEqual(['application 1'])
  })
  test('asks for an acknowledgement before it sends bodies again, where they did not ask themselves', () => {
    const source = sourceAfter([created(), submit('a'), submit('b'), OVER(1), OVER(2)], { ackRequestedOnOneWay: false })
    expect(kinds(source.handle(TIME, NOW + 2_000))).toEqual(['ack-requested'])
    expect(kinds(source.handle(TIME, NOW + 4_000))).toEqual(['application 1', 'application 2'])
  })
  test('sends again what a Nack names, once in an interval, and never what is acknowledged', () => {
    const source = sourceAfter([created(), submit('a'), submit('b'), submit('c'), acknowledged(1)])
    const nack = { kind: 'acknowledged', spans: [], nacks: [1, 2], final: false } as const
    source.handle(nack, NOW + 100)
    expect(kinds(source.handle(TIME, NOW + 100))).toEqual([])
    source.handle(nack, NOW + 2_000)
    expect(kinds(source.handle(TIME, NOW + 2_000))).toEqual(['application 2'])
    for (let storm = 0; storm < 1_000; storm++) source.handle(nack, NOW + 2_001)
    expect(kinds(source.handle(TIME, NOW + 2_001))).toEqual([])
  })
  test('keeps what was acknowledged when a later acknowledgement lacks it; a final one that does is reported', () => {
    const source = sourceAfter([created(), submit('a'), submit('b'), submit('c'), acknowledged(2)])
    source.handle(acknowledged(1), NOW)
    expect(source.acknowledged).toEqual([[1, 2]])
    const turn = source.handle(acknowledged(1, { final: true }), NOW)
    expect(turn.settle).toContainEqual(expect.objectContaining({ kind: 'alarm' }))
    expect(turn.settle).toContainEqual(expect.objectContaining({ kind: 'failed', number: 3 }))
    expect(source.acknowledged).toEqual([[1, 2]])
  })
  test('gives no number twice, whatever becomes of it', () => {
    const source = sourceAfter([created(), submit('a')], { maxNumber: 2 })
    source.handle(submit('b'), NOW)
    expect(() => source.handle(submit('c'), NOW)).toThrow('submit is refused in state full')
    expect(source.last).toBe(2)
  })
  test('says which numbers are lost, and which are only without a reply', () => {
    const source = sourceAfter([created(), submit('a', 'request'), submit('b'), acknowledged(1)])
    const { settle } = source.handle(fault('SequenceTerminated'), NOW)
    expect(settle.filter((each) => each.kind === 'failed').map((each) => [each.number, each.error.name])).toEqual([[1, 'ReplyLost'], [2, 'DeliveryFailed']])
  })
  test('comes back from its snapshot and rows as it was', () => {
    const rows = new Map<string, Uint8Array>()
    const options = { lane: 'lane', tokenId: 'urn:token', mint: () => 'urn:x' }
    const source = sourceAfter([])
    for (const event of [created(), submit('a', 'request'), submit('b'), acknowledged(1), submit('c'), CLOSE]) {
      for (const write of source.handle(event, NOW).persist) if ('put' in write) rows.set(write.put, write.value)
    }
    const back = Source.restore({ ...options, timing: DEFAULT_TIMING, role: 'initiator' } as never, JSON.parse(JSON.stringify(source.snapshot())), [...rows.values()].map(Source.readRow))
    expect(JSON.stringify(back.snapshot())).toBe(JSON.stringify(source.snapshot()))
    expect(back.pending().map((row) => row.number)).toEqual([1, 2, 3])
    expect(back.status('b')).toEqual(source.status('b'))
  })
})

describe('the RM Destination', () => {
  test('hands over what was accepted before the end, and nothing behind a gap', () => {
    const destination = destinationAfter([made(), message(1), message(2), message(4), terminating()])
    expect(destination.next()?.number).toBe(1)
    destination.handle(consumed(1), NOW)
    expect(destination.next()?.number).toBe(2)
    destination.handle(consumed(2), NOW)
    expect(destination.next()).toBeUndefined()
    // Nor is it kept.
    expect(destination.waiting).toBe(0)
  })
  test('consumes only the message whose turn it is', () => {
    const destination = destinationAfter([made(), message(1), message(2)])
    expect(destination.handle(consumed(2), NOW).persist).toEqual([])
    expect(destination.handle(consumed(1), NOW).persist).toHaveLength(1)
    expect(destination.handle(consumed(1), NOW).persist).toEqual([])
  })
  test('acknowledges replies by what leaves next, else by itself after a while, and not again', () => {
    const destination = destinationAfter([made()], { role: 'replies', url: 'https://service.example/' })
    const turn = destination.handle({ ...message(1), to: undefined } as never, NOW)
    expect(turn.transmit).toEqual([])
    expect(turn.deliver).toHaveLength(1)
    expect(destination.wakeAt).toBe(NOW + DEFAULT_TIMING.ackDelayMs)
    destination.carried()
    expect(destination.wakeAt).toBe(Infinity)
    destination.handle({ ...message(2), to: undefined } as never, NOW)
    expect(kinds(destination.handle(PASSED, NOW + 1_000))).toEqual(['acknowledgement'])
    expect(kinds(destination.handle(PASSED, NOW + 9_000))).toEqual([])
  })
  test('says Final from the close on, in every answer', () => {
    const destination = destinationAfter([made(), message(1)])
    expect(destination.acknowledgement()).toEqual({ sequence: 'urn:sequence', ranges: [[1, 1]], final: false })
    destination.handle(closing(1), NOW)
    expect(destination.acknowledgement()?.final).toBe(true)
    expect(destination.handle(message(2), NOW).transmit[0]?.body).toMatchObject({ kind: 'fault', fault: { name: 'SequenceClosed' }, acknowledgement: { final: true } })
    expect(kinds(destination.handle(asked, NOW))).toEqual(['acknowledgement'])
  })
  test('comes back from its snapshot and rows as it was', () => {
    const rows = new Map<string, Uint8Array>()
    const destination = destinationAfter([])
    for (const event of [made(), message(1), message(3), message(2), consumed(1)]) {
      for (const write of destination.handle(event, NOW).persist) {
        if ('put' in write) rows.set(write.put, write.value)
        else rows.delete(write.delete)
      }
    }
    const back = Destination.restore({ role: 'requests', timing: DEFAULT_TIMING } as never, JSON.parse(JSON.stringify(destination.snapshot())), [...rows.values()].map(Destination.readRow))
    expect(JSON.stringify(back.snapshot())).toBe(JSON.stringify(destination.snapshot()))
    expect([back.next()?.number, back.waiting]).toEqual([2, 2])
  })
})
