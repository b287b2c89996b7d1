/** The machine of a token at its initiator: every state meets every event, and goes where the table says. */
import { describe, expect, test } from 'vitest'
import { UsageError } from '../../src/errors.ts'
import {
  DEFAULT_TIMING, renewalMoment, TOKEN_TABLE, TokenLifecycle,
  type TokenEvent, type TokenEventKind, type TokenLifecycleOptions, type TokenState,
} from '../../src/sct/lifecycle.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const LIFETIME = { created: 0, expires: 10 * HOUR }
const OPTIONS: TokenLifecycleOptions = { ...DEFAULT_TIMING, chance: 0, canRenew: true }
const STATES = Object.keys(TOKEN_TABLE) as TokenState[]

/** Every kind of event, in each of its forms. */
const EVENTS: readonly TokenEvent[] = [
  { kind: 'wanted', key: 'any' }, { kind: 'wanted', key: 'fresh' }, { kind: 'issued', lifetime: LIFETIME }, { kind: 'rejected' },
  { kind: 'renewed', lifetime: { created: 6 * HOUR, expires: 16 * HOUR } }, { kind: 'cancelled' }, { kind: 'time', inUse: true }, { kind: 'time', inUse: false },
]
const KINDS: readonly TokenEventKind[] = ['wanted', 'issued', 'rejected', 'renewed', 'cancelled', 'time']
const MOMENTS = [0, 6 * HOUR, 9.9 * HOUR, 10 * HOUR, 20 * HOUR]

/** The way into each state. */
const WAYS: Record<TokenState, readonly TokenEvent[]> = {
  absent: [],
  requesting: [{ kind: 'wanted', key: 'any' }],
  live: [{ kind: 'wanted', key: 'any' }, { kind: 'issued', lifetime: LIFETIME }],
  renewing: [{ kind: 'wanted', key: 'any' }, { kind: 'issued', lifetime: LIFETIME }, { kind: 'wanted', key: 'fresh' }],
  ended: [{ kind: 'wanted', key: 'any' }, { kind: 'rejected' }],
}
function machineIn(state: TokenState, options: TokenLifecycleOptions = OPTIONS): TokenLifecycle {
  const machine = new TokenLifecycle(options)
  for (const event of WAYS[state]) machine.handle(event, 0)
  expect(machine.state).toBe(state)
  return machine
}
const allowedIn = (state: TokenState, kind: TokenEventKind): readonly TokenState[] | undefined =>
  (TOKEN_TABLE[state] as Partial<Record<TokenEventKind, readonly TokenState[]>>)[kind]

describe('state x event', () => {
  const pairs = STATES.flatMap((state) => KINDS.map((kind) => ({ state, kind, allowed: allowedIn(state, kind) })))
  test.each(pairs)('$state meets $kind', ({ state, kind, allowed }) => {
    const reached = new Set<TokenState>()
    for (const event of EVENTS.filter((each) => each.kind === kind)) for (const now of MOMENTS) for (const canRenew of [true, false]) {
      const machine = machineIn(state)
      const used = canRenew || state === 'renewing' ? machine : machineIn(state, { ...OPTIONS, canRenew })
      if (allowed === undefined) {
        expect(() => used.handle(event, now)).toThrow(UsageError)
        expect(() => used.handle(event, now)).toThrow(`no event '${kind}' in state '${state}'`)
        expect(used.state).toBe(state)
      } else {
        used.handle(event, now)
        reached.add(used.state)
      }
    }
    // Not more than the table allows, and all that it allows.
    expect([...reached].sort()).toEqual([...allowed ?? []].sort())
  })

  test('the table is the one that was reviewed', () => {
    expect(STATES.map((state) => `${state}: ${KINDS.map((kind) => `${kind} -> ${allowedIn(state, kind)?.join('|') ?? 'refused'}`).join(', ')}`)).toMatchInlineSnapshot(`
      [
        "absent: wanted -> requesting, issued -> live, rejected -> refused, renewed -> refused, cancelled -> refused, time -> absent",
        "requesting: wanted -> requesting, issued -> live, rejected -> ended, renewed -> refused, cancelled -> refused, time -> requesting",
        "live: wanted -> live|renewing|ended, issued -> refused, rejected -> refused, renewed -> refused, cancelled -> ended, time -> live|renewing|ended",
        "renewing: wanted -> renewing, issued -> refused, rejected -> live|ended, renewed -> live, cancelled -> ended, time -> renewing",
        "ended: wanted -> refused, issued -> refused, rejected -> ended, renewed -> ended, cancelled -> ended, time -> ended",
      ]
    `)
  })
})

describe('what is done', () => {
  test('the first who wants a token has it asked for, the next ones wait', () => {
    const machine = new TokenLifecycle(OPTIONS)
    expect(machine.handle({ kind: 'wanted', key: 'any' }, 0)).toEqual({ act: 'request', handOut: false })
    expect(machine.handle({ kind: 'wanted', key: 'any' }, 1)).toEqual({ act: 'nothing', handOut: false })
  })

  test('a live token is handed out', () => {
    expect(machineIn('live').handle({ kind: 'wanted', key: 'any' }, HOUR)).toEqual({ act: 'nothing', handOut: true })
  })

  test('a token that is about to expire is renewed before it is handed out, and replaced when the renewal has just failed', () => {
    const machine = machineIn('live')
    expect(machine.handle({ kind: 'wanted', key: 'any' }, 10 * HOUR - 9 * MINUTE)).toEqual({ act: 'renew', handOut: false })
    expect(machine.handle({ kind: 'wanted', key: 'any' }, 10 * HOUR - 9 * MINUTE)).toEqual({ act: 'nothing', handOut: false })
    machine.handle({ kind: 'rejected' }, 10 * HOUR - 8 * MINUTE)
    expect(machine.handle({ kind: 'wanted', key: 'any' }, 10 * HOUR - 7 * MINUTE)).toEqual({ act: 'replace', handOut: false })
    expect(machine.state).toBe('live')
  })

  test('while it is renewed, the present key is good for those who do not insist on a new one', () => {
    const machine = machineIn('renewing')
    expect(machine.handle({ kind: 'wanted', key: 'any' }, HOUR).handOut).toBe(true)
    expect(machine.handle({ kind: 'wanted', key: 'fresh' }, HOUR).handOut).toBe(false)
  })

  test('an expired token is not handed out', () => {
    expect(machineIn('live').handle({ kind: 'wanted', key: 'any' }, 10 * HOUR)).toEqual({ act: 'retire', handOut: false })
  })

  test('a token is renewed by the clock when a sequence is bound to it, and lapses otherwise', () => {
    const used = machineIn('live')
    expect(used.wakeAt).toBe(6 * HOUR)
    expect(used.handle({ kind: 'time', inUse: true }, 6 * HOUR - 1).act).toBe('nothing')
    expect(used.handle({ kind: 'time', inUse: true }, 6 * HOUR).act).toBe('renew')
    expect(used.wakeAt).toBeUndefined()
    const unused = machineIn('live')
    expect(unused.handle({ kind: 'time', inUse: false }, 6 * HOUR).act).toBe('nothing')
    expect(unused.wakeAt).toBe(10 * HOUR)
    expect(unused.handle({ kind: 'time', inUse: false }, 10 * HOUR).act).toBe('retire')
  })

  test('a renewal is tried at most once in a quarter of the lifetime', () => {
    const machine = machineIn('live')
    machine.handle({ kind: 'time', inUse: true }, 6 * HOUR)
    machine.handle({ kind: 'rejected' }, 6 * HOUR + MINUTE)
    expect(machine.wakeAt).toBe(8.5 * HOUR)
    expect(machine.handle({ kind: 'time', inUse: true }, 8.5 * HOUR).act).toBe('renew')
  })

  test('after a renewal the next one is counted from the new lifetime', () => {
    const machine = machineIn('renewing')
    machine.handle({ kind: 'renewed', lifetime: { created: 6 * HOUR, expires: 16 * HOUR } }, 6 * HOUR)
    expect(machine.wakeAt).toBe(12 * HOUR)
  })

  test('what arrives after the end changes nothing', () => {
    const machine = machineIn('renewing')
    expect(machine.handle({ kind: 'cancelled' }, HOUR).act).toBe('retire')
    expect(machine.handle({ kind: 'renewed', lifetime: LIFETIME }, HOUR).act).toBe('nothing')
    expect(machine.state).toBe('ended')
  })
})

describe('the renewal moment', () => {
  const at = (lifetimeMs: number, chance = 0): number => renewalMoment({ created: 0, expires: lifetimeMs }, { ...OPTIONS, chance })
  test('lies at 0.6 of a long lifetime', () => expect(at(10 * HOUR)).toBe(6 * HOUR))
  test('lies before the end by the retransmission horizon, when that is earlier', () => expect(at(22 * MINUTE)).toBe(12 * MINUTE))
  test('lies at half of a short lifetime at the earliest', () => expect(at(5 * MINUTE)).toBe(2.5 * MINUTE))
  test('is spread over a twentieth of the lifetime', () => expect(at(10 * HOUR, 0.5)).toBe(6.25 * HOUR))
})
