/** Freshness and replay: a Timestamp is one instant, and what was seen is remembered for as long as it could come again. */
import { describe, expect, test } from 'vitest'
import { FAULTS, SecurityFailure } from '../../src/errors.ts'
import { ReplayCache } from '../../src/wss/replay.ts'
import { at, b0, expectRefused, keyInfo, NOW, opening, parts, reference, sct, SECRET_A, signed, timestamp, xmlOf, DIALECT } from './baseline.ts'

const MINUTE = 60_000
const MANY = { capacity: 1_000, perScope: 1_000 }
const made = (created: string, expires: string): string => xmlOf(signed({ ...parts(), timestamp: timestamp(created, expires) }))
const whole = (text: string): string => xmlOf(signed({ ...parts(), timestamp: text }))

describe('F1: what a Timestamp may say', () => {
  test('nothing; one of two; the other order; twice; something else', () => {
    const created = `<wsu:Created>${at(NOW)}</wsu:Created>`
    const expires = `<wsu:Expires>${at(NOW + MINUTE)}</wsu:Expires>`
    const stamp = (inside: string): string => `<wsu:Timestamp wsu:Id="_ts">${inside}</wsu:Timestamp>`
    for (const text of [stamp(''), stamp(created), stamp(expires), stamp(expires + created), stamp(created + created + expires), stamp(created + expires + expires), stamp(`${created + expires}<x/>`), stamp(`<x/>${created}${expires}`)]) {
      expectRefused(whole(text), { fault: 'invalidSecurity', code: 'ERR_WSS_TIMESTAMP' })
    }
    const without = { ...parts(), timestamp: '' }
    expectRefused(xmlOf(signed(without, { ids: ['_action', '_mid', '_to', '_rto', '_seq', '_body'] })), { fault: 'invalidSecurity', code: 'ERR_WSS_TIMESTAMP' })
    expectRefused(whole(stamp(`<wsu:Created><x/>${at(NOW)}</wsu:Created>${expires}`)), { fault: 'invalidSecurity' })
  })
  test('Expires not after Created', () => {
    for (const ms of [0, -1, -MINUTE]) expectRefused(made(at(NOW), at(NOW + ms)), { fault: 'invalidSecurity', code: 'ERR_WSS_TIMESTAMP' })
  })
  test.each([
    '2026-01-15T10:00:00', '2026-01-15T10:00:00+00:00', '2026-01-15T24:00:00+14:00', '2026-01-15T24:00:00Z', '2026-01-15T10:00:60Z', '2026-01-15T10:60:00Z', '2026-02-30T10:00:00Z', '2026-13-01T10:00:00Z', '10000-01-15T10:00:00Z', '+2026-01-15T10:00:00Z',
    '-2026-01-15T10:00:00Z', '2026-01-15T10:00:00.Z', `2026-01-15T10:00:00.${'1'.repeat(30)}Z`, '2026-1-15T10:00:00Z', '2026-01-15 10:00:00Z', '2026-01-15T10:00Z', '2026-01-15', '2026-01-15T10:00:00z', 'Thu, 15 Jan 2026 10:00:00 GMT', '1768471200000', '', '٢٠٢٦-01-15T10:00:00Z', '2026-01-15T10:00:00ZZ',
  ])('Created %s says no time', (created) => expectRefused(made(created, at(NOW + MINUTE)), { fault: 'invalidSecurity', code: 'ERR_WSS_TIMESTAMP' }))
  test('up to nine digits behind the second, and white space around, are one instant', () => {
    for (const [text, ms] of [['2026-01-15T10:00:00Z', 0], ['2026-01-15T10:00:00.5Z', 500], ['2026-01-15T10:00:00.123456789Z', 123], [' 2026-01-15T10:00:00.999Z\n', 999]] as const) expect(opening(made(text, at(NOW + MINUTE))).timestamp?.created).toBe(NOW + ms)
  })
})

describe('F2, F3: the window', () => {
  const stale = { fault: 'messageExpired', code: 'ERR_WSS_TIMESTAMP' } as const
  const message = (created: number, expires: number): string => made(at(created), at(expires))
  test('Created in the future: as far as the skew, and no farther', () => {
    expect(opening(message(NOW + MINUTE, NOW + 6 * MINUTE), { now: NOW }).timestamp?.created).toBe(NOW + MINUTE)
    for (const ahead of [MINUTE + 1, 61_000, 86_400_000]) expectRefused(message(NOW + ahead, NOW + ahead + MINUTE), stale, { now: NOW })
    expectRefused(made('9999-12-30T00:00:00Z', '9999-12-31T00:00:00Z'), stale, { now: NOW })
  })
  test('Expires in the past: as far as the skew, and no farther', () => {
    const short = message(NOW - 2 * MINUTE, NOW - 1_000)
    expect(opening(short, { now: NOW }).timestamp?.expires).toBe(NOW - 1_000 + MINUTE)
    expect(opening(short, { now: NOW + 59_000 - 1 }).timestamp).toBeDefined()
    for (const later of [59_000, MINUTE, 6 * MINUTE]) expectRefused(short, stale, { now: NOW + later })
    expectRefused(short, stale, { now: NOW, policy: { skewMs: 1_000 } })
  })
  test('a sender’s Expires shortens a message’s life and never lengthens it', () => {
    const tenYears = message(NOW, NOW + 3_650 * 86_400_000)
    const { timestamp: time } = opening(tenYears, { now: NOW })
    expect(time).toEqual({ created: NOW, expires: NOW + 5 * MINUTE + MINUTE })
    expect(opening(tenYears, { now: NOW + 6 * MINUTE - 1 }).timestamp).toBeDefined()
    for (const later of [6 * MINUTE, 61 * MINUTE, 13 * 60 * MINUTE]) expectRefused(tenYears, stale, { now: NOW + later })
  })
  test('staleness is told only to whoever proved to be somebody', () => {
    const old = message(NOW - 86_400_000, NOW - 86_340_000)
    expectRefused(old, stale)
    expectRefused(old.replace('transfer 10', 'transfer 11'), { fault: 'failedCheck', code: 'ERR_WSS_DIGEST' })
  })
  test('under TLS the Timestamp that was not signed is held to the window too', () => {
    const policy = { level: 'transport' as const, signer: 'any' as const }
    expectRefused(xmlOf({ ...parts(), tokens: [] }), stale, { policy, now: NOW + 10 * MINUTE })
    const endorsed = { ...parts(), tokens: [sct(DIALECT.sc)] }
    expectRefused(xmlOf(signed(endorsed, { ids: ['_to'], key: SECRET_A, keyInfo: keyInfo(reference('#_sct', DIALECT.sc.sct)) })), { fault: 'failedCheck', code: 'ERR_WSS_COVERAGE' }, { policy })
  })
})

describe('F4, F5, F8: what was seen', () => {
  const value = (number: number): Uint8Array => Buffer.from(`value ${number}`)
  const UNTIL = NOW + 6 * MINUTE

  test('a value is fresh once, in its own scope, until the message that carried it is stale by itself', () => {
    const seen = new ReplayCache(MANY)
    expect([seen.insert('a', value(1), UNTIL, NOW), seen.insert('a', value(1), UNTIL, NOW), seen.insert('b', value(1), UNTIL, NOW)]).toEqual(['fresh', 'seen', 'fresh'])
    expect(seen.insert('a', value(1), UNTIL, UNTIL - 1)).toBe('seen')
    expect(() => opening(b0(), { now: UNTIL })).toThrow(SecurityFailure)
    expect(seen.insert('a', value(1), UNTIL + MINUTE, UNTIL)).toBe('fresh')
  })
  test('the moment that open gives is the one that the mark must last for', () => {
    const seen = new ReplayCache(MANY)
    const { signatureValues: [first], timestamp: time } = opening(b0(), { now: NOW })
    const until = time?.expires ?? 0
    seen.insert('a', first ?? new Uint8Array(), until, NOW)
    // For as long as it opens, it is remembered.
    for (const now of [NOW, until - 1]) expect([opening(b0(), { now }).signer?.kind, seen.insert('a', first ?? new Uint8Array(), until, now)]).toEqual(['context', 'seen'])
    expect(() => opening(b0(), { now: until })).toThrow(SecurityFailure)
  })
  test('scopes are whole names: none is the beginning of another with a value that makes up for it', () => {
    const seen = new ReplayCache(MANY)
    expect([['a', 'bc'], ['ab', 'c'], ['', 'abc'], ['__proto__', 'x'], ['constructor', 'x']].map(([scope = '', text = '']) => seen.insert(scope, Buffer.from(text), UNTIL, NOW))).toEqual(Array(5).fill('fresh'))
  })
  test('a full cache refuses what is new and forgets nothing; when time has passed there is room again', () => {
    const seen = new ReplayCache({ ...MANY, capacity: 100 })
    for (let at = 0; at < 100; at++) seen.insert('a', value(at), UNTIL + at, NOW)
    for (let at = 100; at < 200; at++) expect(() => seen.insert('b', value(at), UNTIL, NOW)).toThrow(expect.objectContaining({ code: 'ERR_WSS_REPLAY_FULL', fault: FAULTS.failedCheck }))
    expect(seen.size).toBe(100)
    for (let at = 0; at < 100; at++) expect(seen.insert('a', value(at), UNTIL, NOW)).toBe('seen')
    expect(seen.insert('b', value(200), UNTIL + MINUTE, UNTIL + 10)).toBe('fresh')
    expect(seen.size).toBe(90)
  })
  test('one sender does not fill it for the others', () => {
    const seen = new ReplayCache({ capacity: 100, perScope: 10 })
    for (let at = 0; at < 10; at++) seen.insert('offender', value(at), UNTIL, NOW)
    expect(() => seen.insert('offender', value(10), UNTIL, NOW)).toThrow(expect.objectContaining({ code: 'ERR_WSS_REPLAY_FULL' }))
    expect(seen.insert('honest', value(10), UNTIL, NOW)).toBe('fresh')
  })
  test('filling it over and over costs one look at most, not one look at everything', () => {
    const seen = new ReplayCache({ capacity: 20_000, perScope: 20_000 })
    for (let at = 0; at < 20_000; at++) seen.insert('a', value(at), UNTIL, NOW)
    const start = process.cpuUsage()
    for (let at = 0; at < 5_000; at++) expect(() => seen.insert('a', value(20_000 + at), UNTIL, NOW)).toThrow()
    expect(process.cpuUsage(start).user / 1_000).toBeLessThan(2_000)
  })
  test('marks survive a restart, and only those that still matter', () => {
    const before = new ReplayCache(MANY)
    for (const at of [1, 2]) before.insert('a', value(at), UNTIL, NOW)
    before.insert('b', value(3), NOW + 1, NOW)
    const marks = JSON.parse(JSON.stringify(before.marks(NOW + 1))) as ReturnType<ReplayCache['marks']>
    expect(marks.map((mark) => mark.scope)).toEqual(['a', 'a'])
    expect(marks[0]).toEqual(ReplayCache.mark('a', value(1), UNTIL))
    expect(before.marks(NOW, 'b')).toHaveLength(1)
    const after = new ReplayCache(MANY)
    after.restore(marks, NOW + 1)
    expect([after.insert('a', value(1), UNTIL, NOW + 1), after.insert('a', value(3), UNTIL, NOW + 1)]).toEqual(['seen', 'fresh'])
  })
  test('F5: the same message protected anew is another value', () => {
    const again = made(at(NOW + 1), at(NOW + 5 * MINUTE))
    expect(opening(again).signatureValues).not.toEqual(opening(b0()).signatureValues)
  })
})
