/**
 * What a Source has been given to send: the messages that are not settled, with how often and when each has left, every key ever given, and what
 * was lost. What of it is written is for the Source to say.
 *
 * @module
 */
import type { SentRow, Settled, Shape, StoredReply } from './source-words.ts'

/** A message that is not settled; below the line what dies with the process. */
export interface Entry {
  readonly row: SentRow
  tries: number
  sentAt: number
  nextAt: number
  /** Acknowledged in answer to itself, without the reply. */
  bare: number
  /** An acknowledgement was asked for since it was sent. */
  asked: boolean
  /** A request that the peer holds: said once. */
  held: boolean
  /** Since when it is held, and nothing is left to do but to wait for its reply. */
  waitsSince: number | undefined
}
/** Choice: of more messages than are on the way at once, whose late answers may still come. */
const MOST_PAST = 1_024
interface Known { readonly number: number; readonly digest: string; readonly shape: Shape | 'last'; settled?: Settled | undefined }

export class SentRows {
  /** Not settled, by number. */
  readonly #entries = new Map<number, Entry>()
  /** Every number ever given, by its key: the idempotency record. */
  readonly #known = new Map<string, Known>()
  readonly #answers = new Map<number, number>()
  /** Given up with their content, by number: a successor may take them over. */
  readonly #lost = new Map<number, SentRow>()
  /** MessageIDs of what was settled last, in this process. */
  readonly #past = new Set<string>()
  #underWay = 0
  #bytes = 0

  get size(): number { return this.#entries.size }
  /** What is not settled, in order. */
  [Symbol.iterator](): Iterator<Entry> { return this.#entries.values() }
  /** Of the bodies that are not settled, in characters. */
  get bytes(): number { return this.#bytes }
  /** Sent at least once since the process began, and not settled. */
  get underWay(): number { return this.#underWay }
  get(number: number): Entry | undefined { return this.#entries.get(number) }
  hasBeen(messageId: string): boolean { return this.#past.has(messageId) }
  known(key: string): Readonly<Known> | undefined { return this.#known.get(key) }
  /** The reply to that request, while it is kept. */
  replyTo(request: number): Entry | undefined { return this.#entries.get(this.#answers.get(request) ?? 0) }
  /** In order. */
  get lost(): readonly SentRow[] { return [...this.#lost.values()].sort((a, b) => a.number - b.number) }

  /** Remembers a row; an entry when it is not settled. */
  keep(row: SentRow): Entry | undefined {
    if (row.shape !== 'reply') this.#known.set(row.key, { number: row.number, digest: row.digest, shape: row.shape, settled: row.settled })
    if (row.settled === 'lost' && row.content !== undefined) this.#lost.set(row.number, row)
    if (row.settled !== undefined) return undefined
    const entry: Entry = { row, tries: 0, sentAt: 0, nextAt: 0, bare: 0, asked: false, held: false, waitsSince: undefined }
    this.#entries.set(row.number, entry)
    this.#bytes += row.content?.body.length ?? 0
    if (row.answers !== undefined) this.#answers.set(row.answers, row.number)
    return entry
  }
  /** It leaves now, for the first time or again. */
  leaves(entry: Entry, now: number): void {
    if (entry.tries === 0) this.#underWay++
    entry.tries++
    entry.sentAt = now
  }
  drop(entry: Entry): void {
    if (!this.#entries.delete(entry.row.number)) return
    if (entry.tries > 0) this.#underWay--
    this.#bytes -= entry.row.content?.body.length ?? 0
    if (entry.row.answers !== undefined) this.#answers.delete(entry.row.answers)
  }
  /** The row stays, without its content: the key must be known until the lane is forgotten. What was lost keeps it, to be sent elsewhere. */
  settle(entry: Entry, settled: Settled, reply?: StoredReply): SentRow {
    this.drop(entry)
    if (entry.row.content !== undefined) this.#remember(entry.row.content.messageId)
    const known = this.#known.get(entry.row.key)
    if (known !== undefined) known.settled = settled
    const { content, ...rest } = entry.row
    const row: SentRow = { ...rest, settled, reply, ...(settled === 'lost' ? { content } : {}) }
    if (row.content !== undefined) this.#lost.set(row.number, row)
    return row
  }
  #remember(messageId: string): void {
    this.#past.add(messageId)
    const [oldest] = this.#past
    if (this.#past.size > MOST_PAST && oldest !== undefined) this.#past.delete(oldest)
  }
  /** The message is another lane's from here on, with its key. False: it is not here to be given away. */
  give(number: number): boolean {
    const entry = this.#entries.get(number)
    const row = entry?.row ?? this.#lost.get(number)
    if (row === undefined) return false
    if (entry !== undefined) this.drop(entry)
    this.#lost.delete(number)
    this.#known.delete(row.key)
    return true
  }
  /** Forgets every key, and answers with their numbers. */
  clear(): readonly number[] {
    const numbers = [...this.#known.values()].map(({ number }) => number)
    this.#known.clear()
    this.#lost.clear()
    return numbers
  }
}
