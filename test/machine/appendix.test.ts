import { describe, expect, test } from 'vitest'
import type { Outbound } from '../../src/rm/turn.ts'
import { DESTINATION_MEANS, DESTINATION_ROWS, DESTINATION_STATES, DESTINATION_WAY, SOURCE_MEANS, SOURCE_ROWS, SOURCE_STATES, SOURCE_WAY } from './appendix.ts'
import { created, destinationAfter, NOW, sourceAfter } from './machines.ts'

describe('the specification\'s table of the RM Source', () => {
  for (const { row, event, later, expiresMs, cells } of SOURCE_ROWS) {
    for (const [index, state] of SOURCE_STATES.entries()) {
      const cell = cells[index] ?? '-'
      test(`${row}, in ${state}: ${cell}`, () => {
        const way = SOURCE_WAY[state].map((each) => each.kind === 'created' && expiresMs !== undefined ? created(expiresMs) : each)
        const source = sourceAfter(way)
        const before = source.state
        expect(SOURCE_MEANS[state]).toContain(before)
        if (cell === '!') return void expect(() => source.handle(event, NOW)).toThrow('is refused in state')
        // CreateSequence is given up when the peer says nothing; it is sent first, then the time passes.
        if (later !== undefined && state === 'Creating') source.handle(event, NOW)
        source.handle(event, NOW + (later ?? 0))
        if (cell === '=') expect(source.state).toBe(before)
        else expect(SOURCE_MEANS[cell as (typeof SOURCE_STATES)[number]]).toContain(source.state)
      })
    }
  }
})

describe('the specification\'s table of the RM Destination', () => {
  for (const { row, event, later, cells, answers } of DESTINATION_ROWS) {
    for (const [index, state] of DESTINATION_STATES.entries()) {
      const cell = cells[index] ?? '-'
      test(`${row}, in ${state}: ${cell} ${answers?.[index] ?? ''}`, () => {
        const destination = destinationAfter(DESTINATION_WAY[state])
        const before = destination.state
        expect(DESTINATION_MEANS[state]).toContain(before)
        if (cell === '!') return void expect(() => destination.handle(event, NOW)).toThrow('is refused in state')
        const turn = destination.handle(event, NOW + (later ?? 0))
        if (cell === '=') expect(destination.state).toBe(before)
        else expect(DESTINATION_MEANS[cell as (typeof DESTINATION_STATES)[number]]).toContain(destination.state)
        if (answers !== undefined) expect(turn.transmit.map(answerOf).join()).toBe(answers[index])
      })
    }
  }
})

const answerOf = ({ body }: Outbound): string => body.kind === 'fault' ? body.fault.name : body.kind
