/**
 * Sets of message numbers as sorted spans, and what a received acknowledgement must be before it is believed.
 * The cost goes with the number of spans, never with the numbers in them.
 *
 * @module
 */
import { FAULTS, PeerViolation } from '../errors.ts'
import type { ReceivedAcknowledgement, Span } from './turn.ts'

export class NumberSet {
  /** Ascending, apart: a neighbour is merged. */
  readonly #spans: [lower: number, upper: number][]

  constructor(spans: Iterable<Span> = []) {
    this.#spans = []
    for (const [lower, upper] of spans) this.addSpan(lower, upper)
  }

  get spans(): readonly Span[] { return this.#spans.map(([lower, upper]) => [lower, upper] as const) }
  get spanCount(): number { return this.#spans.length }
  /** The highest number in the set, 0 when it is empty. */
  get top(): number { return this.#spans.at(-1)?.[1] ?? 0 }
  /** The highest number up to which none is missing, counted from 1. */
  get contiguousTop(): number {
    const first = this.#spans[0]
    return first !== undefined && first[0] <= 1 ? first[1] : 0
  }
  has(number: number): boolean {
    const span = this.#spans[this.#firstEndingAt(number)]
    return span !== undefined && span[0] <= number
  }
  /** False when it was there already. */
  add(number: number): boolean {
    if (this.has(number)) return false
    this.addSpan(number, number)
    return true
  }
  addSpan(lower: number, upper: number): void {
    // Touching counts as overlapping: [1,2] and [3,3] are [1,3].
    const from = this.#firstEndingAt(lower - 1)
    let to = from
    let [low, high] = [lower, upper]
    for (let span = this.#spans[to]; span !== undefined && span[0] <= upper + 1; span = this.#spans[to]) {
      low = Math.min(low, span[0])
      high = Math.max(high, span[1])
      to++
    }
    this.#spans.splice(from, to - from, [low, high])
  }
  union(spans: Iterable<Span>): void {
    for (const [lower, upper] of spans) this.addSpan(lower, upper)
  }
  /** How many spans there would be with `number` in the set. */
  spanCountWith(number: number): number {
    if (this.has(number)) return this.spanCount
    const [before, after] = [this.has(number - 1), this.has(number + 1)]
    return this.spanCount + (before && after ? -1 : before || after ? 0 : 1)
  }
  toJSON(): readonly Span[] { return this.spans }

  /** Index of the first span whose upper end is at or above `number`. */
  #firstEndingAt(number: number): number {
    let low = 0
    let high = this.#spans.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#spans[middle]?.[1] ?? 0) < number) low = middle + 1
      else high = middle
    }
    return low
  }
}

export interface AcknowledgementRules {
  /** The highest number that was ever given to a message of the sequence. */
  readonly last: number
  readonly maxRanges: number
  /** RM 1.0 has no None: peers say 0-0 instead. */
  readonly zeroMeansNone: boolean
}

/**
 * The ranges of a received acknowledgement as safe numbers, after every check that needs no state but `last`.
 *
 * @throws {PeerViolation} with InvalidAcknowledgement: nothing of it may be used
 */
export function acknowledgedSpans(received: ReceivedAcknowledgement, rules: AcknowledgementRules): readonly Span[] {
  const { ranges, nacks } = received
  if (received.invalid !== undefined) throw invalid('WORDS', received.invalid)
  if (ranges.length > rules.maxRanges || nacks.length > rules.maxRanges) throw invalid('COUNT', `${Math.max(ranges.length, nacks.length)} ranges, at most ${rules.maxRanges}`)
  // WS-RM 1.1 §3.9: a Nack stands alone, beside neither ranges nor Final.
  if (nacks.length > 0 && (ranges.length > 0 || received.final)) throw invalid('MIXED', 'Nack beside ranges or Final')
  if (rules.zeroMeansNone && ranges.length === 1 && ranges[0]?.[0] === 0n && ranges[0][1] === 0n) return []
  // Peer CXF 4: None behind the ranges in every acknowledgement; the ranges are what it means.
  const spans: Span[] = []
  let above = 0n
  for (const [lower, upper] of ranges) {
    if (lower < 1n || upper < lower) throw invalid('RANGE', 'a range that is empty or begins below 1')
    // WS-RM 1.1 §3.9: ranges in one acknowledgement do not overlap; everybody writes them ascending.
    if (lower <= above) throw invalid('ORDER', 'ranges overlap or descend')
    // WS-RM 1.1 §4.3: what was never sent cannot have been accepted.
    if (upper > BigInt(rules.last)) throw invalid('UNSENT', `acknowledged above ${rules.last}, the last number given`)
    spans.push([Number(lower), Number(upper)])
    above = upper
  }
  return spans
}

const invalid = (code: string, message: string): PeerViolation => new PeerViolation(`ERR_RM_ACK_${code}`, message, FAULTS.invalidAcknowledgement)
