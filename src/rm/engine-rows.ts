/**
 * The rows of lanes in the store, sealed each to its place: heads, what was sent, what was received and not consumed, by what names a lane is
 * found, and the tokens that they are bound to, which the security side has sealed itself.
 *
 * @module
 */
import { DeliveryFailed, KeyMissing, ReplyLost, SealBroken, SoapFault, UnknownVersion } from '../errors.ts'
import type { TokenId } from '../sct/token.ts'
import type { SctSerializer } from '../serializer/serializer.ts'
import { type Row, type Store, storeKey, type Write } from '../store/store.ts'
import { Destination, type ReceivedRow } from './destination.ts'
import type { LaneFacts, LaneHead } from './lane.ts'
import { Source } from './source.ts'
import type { SentRow } from './source-words.ts'
import { type Content, decodeRow, headKey, type LaneId, sentKey, type SequenceId } from './turn.ts'

/** What a lane is found by, for processes that were not there when it was made. A name of its own at the initiator; at the responder both sequences, the CreateSequence, and the mailbox, which is that of the lane that last came to it. */
export const nameKey = (name: string): string => storeKey('named', name)
export const sequenceKey = (token: TokenId, sequence: SequenceId): string => storeKey('sequence', token, sequence)
export const creationKey = (token: TokenId, messageId: string): string => storeKey('creation', token, messageId)
export const mailboxKey = (token: TokenId, address: string): string => storeKey('mailbox', token, address)
export function indexKeys({ role, tokenId, name, sequence, offered, createMessageId, endpoint }: LaneFacts): readonly string[] {
  if (role === 'initiator') return name === undefined ? [] : [nameKey(name)]
  const mailbox = endpoint?.kind === 'make-connection' ? [mailboxKey(tokenId, endpoint.address)] : []
  return [creationKey(tokenId, createMessageId), ...[sequence, offered].filter((each) => each !== undefined).map((each) => sequenceKey(tokenId, each)), ...mailbox]
}

export const tokenKey = (id: TokenId): string => storeKey('token', id)

/** All that is kept of one lane. */
export interface KeptLane { readonly head: LaneHead; readonly revision: number; readonly sent: readonly SentRow[]; readonly received: readonly ReceivedRow[] }

export class LaneRows {
  readonly #store: Pick<Store, 'scan'>
  readonly #serializer: SctSerializer
  constructor(store: Pick<Store, 'scan'>, serializer: SctSerializer) {
    this.#store = store
    this.#serializer = serializer
  }

  /** Every head, still sealed: each is opened by itself, so that a broken one stands alone. */
  heads(): AsyncIterable<Row> { return this.#store.scan(storeKey('lane')) }
  /** @throws {SealBroken | UnknownVersion | KeyMissing} */
  openHead(row: Row): LaneHead {
    // The key is `storeKey('lane', id)`, taken apart again.
    const rest = row.key.slice(storeKey('lane').length)
    const lane = rest.slice(rest.indexOf(':') + 1, -1)
    return decodeRow<LaneHead>(this.#serializer.open('lane', { parts: [lane, row.key] }, row.value))
  }
  /** Every head that opens, and what is the matter with the others. */
  async openHeads(): Promise<{ readonly heads: readonly { readonly head: LaneHead; readonly row: Row }[]; readonly quarantined: { key: string; error: unknown }[] }> {
    const heads: { head: LaneHead; row: Row }[] = []
    const quarantined: { key: string; error: unknown }[] = []
    for await (const row of this.heads()) {
      try {
        heads.push({ head: this.openHead(row), row })
      } catch (error) {
        // A record of a later release: going on without it would forget what it holds.
        if (error instanceof UnknownVersion) throw error
        quarantined.push({ key: row.key, error })
      }
    }
    return { heads, quarantined }
  }
  /** Undefined: one that does not open is somebody else's to report. */
  openOrNone(row: Row): LaneHead | undefined {
    try {
      return this.openHead(row)
    } catch (error) {
      if (error instanceof SealBroken || error instanceof KeyMissing) return undefined
      throw error
    }
  }
  async lane(id: LaneId): Promise<KeptLane | undefined> {
    const row = await this.#row(headKey(id))
    if (row === undefined) return undefined
    const head = this.openHead(row)
    const received: ReceivedRow[] = []
    for await (const each of this.#store.scan(storeKey('msg', id, 'received'))) received.push(Destination.readRow(this.#open(id, each)))
    return { head, revision: row.revision, sent: await this.sent(id), received }
  }
  async sent(id: LaneId): Promise<readonly SentRow[]> {
    const rows: SentRow[] = []
    for await (const row of this.#store.scan(storeKey('msg', id, 'sent'))) rows.push(Source.readRow(this.#open(id, row)))
    return rows
  }
  /**
   * The reply that is kept to that request; undefined: none is there.
   *
   * @throws {SoapFault | ReplyLost | DeliveryFailed} how it ended otherwise
   */
  async reply(facts: LaneFacts, number: number): Promise<Content | undefined> {
    const found = await this.#row(sentKey(facts.lane, number))
    if (found === undefined) return undefined
    const row = Source.readRow(this.#open(facts.lane, found))
    const error = errorOf(facts, row)
    if (error !== undefined) throw error
    return row.reply !== undefined && 'content' in row.reply ? row.reply.content : undefined
  }
  /** The head of one lane, opened. */
  async head(id: LaneId): Promise<LaneHead | undefined> {
    const row = await this.#row(headKey(id))
    return row === undefined ? undefined : this.openHead(row)
  }
  async revision(id: LaneId): Promise<number | 'absent'> { return (await this.#row(headKey(id)))?.revision ?? 'absent' }
  /** The lane that is found by this key. */
  async indexed(key: string): Promise<{ readonly lane: LaneId; readonly revision: number } | undefined> {
    const row = await this.#row(key)
    return row === undefined ? undefined : { lane: new TextDecoder().decode(this.#serializer.open('idx', { parts: [key] }, row.value)) as LaneId, revision: row.revision }
  }
  index(key: string, lane: LaneId): Write { return { put: key, value: this.#serializer.seal('idx', { parts: [key] }, new TextEncoder().encode(lane)) } }
  token(id: TokenId): Promise<Row | undefined> { return this.#row(tokenKey(id)) }
  seal(id: LaneId, write: Write): Write {
    if ('delete' in write) return write
    return { put: write.put, value: this.#serializer.seal(write.put === headKey(id) ? 'lane' : 'msg', { parts: [id, write.put] }, write.value) }
  }

  async #row(key: string): Promise<Row | undefined> {
    for await (const row of this.#store.scan(key)) if (row.key === key) return row
    return undefined
  }
  #open(id: LaneId, row: Row): Uint8Array { return this.#serializer.open('msg', { parts: [id, row.key] }, row.value) }
}

export const lostError = (facts: LaneFacts, number: number): DeliveryFailed => new DeliveryFailed('ERR_RM_DELIVERY', `the sequence ended before message ${number} was acknowledged`, { tokenId: facts.tokenId, numbers: [number] })
/** How a message ended that brought its caller nothing but an error. */
export function errorOf(facts: LaneFacts, row: SentRow): Error | undefined {
  if (row.settled === 'lost') return lostError(facts, row.number)
  if (row.settled === 'reply-lost') return new ReplyLost('ERR_RM_REPLY_LOST', `the peer holds request ${row.number} but gave no reply`, { tokenId: facts.tokenId, numbers: [row.number] })
  const { reply } = row
  return reply !== undefined && 'fault' in reply ? new SoapFault(reply.fault, { tokenId: facts.tokenId, numbers: [row.number] }) : undefined
}
