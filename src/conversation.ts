/**
 * A conversation: one sequence pair scoped to one token at a time, as its user sees it. What is under way is the engine's; this only puts it into words.
 *
 * @module
 */
import { checkKey, checkOptions, contentOf, waitOf } from './checks.ts'
import { type RandomSource, urnUuid } from './crypto/random.ts'
import { UsageError } from './errors.ts'
import { type Reply, replyOf, type XmlBody } from './message.ts'
import type { ConversationEvents, Listeners } from './observe.ts'
import type { Limits, Wait } from './options.ts'
import type { CloseReport, LaneStatus, MoveReport, PendingMessage, SequenceEngine, Ticket } from './rm/engine.ts'
import type { Content, LaneId } from './rm/turn.ts'
import type { TokenId } from './sct/token.ts'

export interface SendOptions extends Wait {
  readonly action: string
  /** Idempotency key: the same key is the same message, also after a restart; with another body it is an error. */
  readonly key?: string
  /** Further header blocks. */
  readonly headers?: readonly XmlBody[]
}
export interface Conversation extends AsyncDisposable {
  /** Of the sequence that it is on now: a move changes both. */
  readonly tokenId: TokenId
  readonly status: LaneStatus
  /** Resolves when the message is durable here; its acknowledgement is the ticket's second promise. */
  send(body: XmlBody, options: SendOptions): Promise<Ticket>
  /** Resolves with the reply. @throws {SoapFault} the answer is a fault; {ReplyLost}; {DeliveryFailed} */
  request(body: XmlBody, options: SendOptions): Promise<Reply>
  /** The reply to a request made before a restart. */
  reply(key: string, wait?: Wait): Promise<Reply>
  pending(): AsyncIterable<PendingMessage>
  drained(wait?: Wait): Promise<void>
  /** Drains, CloseSequence, TerminateSequence; cancels the token when nothing else is bound to it. */
  close(wait?: Wait): Promise<CloseReport>
  /** Stops here; everything is kept for `connect` with the same name. */
  detach(): Promise<void>
  /**
   * Leaves the sequence as it is and goes on on a new one, under another token when this one is lost or over, or was the conversation's own; also
   * from a sequence that ended by expiry or by the peer. What was never sent moves, in its order and with its keys; what was sent and not
   * acknowledged may have been delivered and ends with `DeliveryFailed`, unless `dangerResendDoubtful` has it sent again. Resolves when the move is
   * durable.
   *
   * @throws {UsageError} the conversation is closing or was closed
   * @throws {BootstrapFailed} the peer gave no token; nothing has changed
   */
  resumeOnNewSequence(wait?: Wait): Promise<MoveReport>
  on<K extends keyof ConversationEvents>(event: K, listener: (event: ConversationEvents[K]) => void): Disposable
}

export interface ConversationParts {
  readonly lane: LaneId
  readonly tokenId: TokenId
  readonly engine: SequenceEngine
  readonly events: Listeners<ConversationEvents>
  readonly limits: Limits
  readonly random: RandomSource
  readonly named: boolean
  readonly offer: boolean
  readonly resume: (wait: Wait) => Promise<MoveReport>
  readonly ended: (how: 'closed' | 'detached') => Promise<void>
}

export class ConversationFace implements Conversation {
  readonly #parts: ConversationParts
  #over = false
  #report: CloseReport | undefined

  constructor(parts: ConversationParts) { this.#parts = parts }
  get tokenId(): TokenId { return this.#parts.engine.status(this.#parts.lane)?.tokenId ?? this.#parts.tokenId }
  get status(): LaneStatus {
    const status = this.#parts.engine.status(this.#parts.lane)
    if (status === undefined) throw new UsageError('ERR_CONVERSATION_OVER', 'the conversation is over and forgotten')
    return status
  }
  on<K extends keyof ConversationEvents>(event: K, listener: (event: ConversationEvents[K]) => void): Disposable { return this.#parts.events.on(event, listener) }

  send(body: XmlBody, options: SendOptions): Promise<Ticket> { return this.#submit(body, options, 'one-way') }

  async request(body: XmlBody, options: SendOptions): Promise<Reply> {
    if (!this.#parts.offer) throw new UsageError('ERR_USAGE_OFFER', 'a request needs a reply, and no sequence was offered for it')
    const ticket = await this.#submit(body, options, 'request')
    return this.reply(ticket.key, waitOf(options))
  }

  async reply(key: string, wait: Wait = {}): Promise<Reply> {
    return replyOf(await this.#parts.engine.reply(this.#parts.lane, key, waitOf(wait)))
  }

  async #submit(body: XmlBody, options: SendOptions, shape: 'one-way' | 'request'): Promise<Ticket> {
    const { engine, lane, limits, random } = this.#parts
    if (this.#over) throw over('the conversation was closed or detached here')
    checkOptions(options, shape === 'request' ? 'request' : 'send')
    checkKey(options.key)
    if (body === undefined) throw new UsageError('ERR_USAGE_XML', 'there is no body: it is one XML element, as text or as its bytes in UTF-8')
    const content: Content = { messageId: urnUuid(random), ...contentOf({ action: options.action, body, headers: options.headers }, limits) }
    try {
      return await engine.submit(lane, content, shape, options.key ?? urnUuid(random), waitOf(options))
    } catch (error) {
      throw error instanceof UsageError && error.code === 'ERR_RM_STATE' ? over('the conversation is closing, or was ended', error) : error
    }
  }

  async *pending(): AsyncIterable<PendingMessage> { yield* await this.#parts.engine.pending(this.#parts.lane) }
  async drained(wait: Wait = {}): Promise<void> { return this.#parts.engine.drained(this.#parts.lane, waitOf(wait)) }

  async resumeOnNewSequence(wait: Wait = {}): Promise<MoveReport> {
    if (this.#over) throw over('the conversation was closed or detached here')
    try {
      return await this.#parts.resume(waitOf(wait))
    } catch (error) {
      throw error instanceof UsageError && error.code === 'ERR_RM_STATE' ? over('the conversation is closing', error) : error
    }
  }

  async close(wait: Wait = {}): Promise<CloseReport> {
    if (this.#report !== undefined) return this.#report
    if (this.#over) throw over('the conversation was detached here')
    const report = await this.#parts.engine.close(this.#parts.lane, waitOf(wait))
    this.#report = report
    await this.#end('closed')
    return report
  }
  async detach(): Promise<void> {
    await this.#parts.engine.detach(this.#parts.lane)
    await this.#end('detached')
  }
  async #end(how: 'closed' | 'detached'): Promise<void> {
    if (this.#over) return
    this.#over = true
    await this.#parts.ended(how)
  }

  /** A named conversation is kept, an unnamed one closed; a peer that does not answer is not waited for longer than this. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#over) return
    if (this.#parts.named) return this.detach()
    try {
      await this.close({ timeoutMs: DISPOSE_MS })
    } catch (error) {
      await this.#end('detached')
      // The client was disposed before: everything has ended with it.
      if (!(error instanceof UsageError && error.code === 'ERR_ENGINE_CLOSED')) throw error
    }
  }
}
const over = (what: string, cause?: unknown): UsageError => new UsageError('ERR_CONVERSATION_OVER', `${what}: it takes nothing new; connect again for another`, { cause })
const DISPOSE_MS = 30_000
