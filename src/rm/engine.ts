/**
 * SequenceEngine: one lane per sequence pair. It hands each lane its events one after the other, writes what a turn changes in one
 * commit (lanes that have work at that moment share it), and only then sends, delivers and settles (D2). A commit that fails is a
 * crash of its lane: the machines are dropped, restored from the store, and the events are handled again. Whatever names a sequence
 * is believed only under the token of that sequence (D9). Knows no XML, no sockets and no keys.
 *
 * Here are the verbs, the pump and the taking up of what is stored. Beside it, in `engine-*`: which lanes there are (lanes) and which one a received
 * element is about (scope); what a commit compares and writes (commit, rows, tokens); what leaves and what is answered (sender, exchange), what goes to
 * the application (deliveries) and who is told (waits); when time has something to do (alarm), what is made of hints (doubt), how a conversation
 * goes on on another sequence (move).
 *
 * @module
 */
import { urnUuid } from '../crypto/random.ts'
import { StoreFailed, UnknownVersion, UsageError } from '../errors.ts'
import type { Wait } from '../options.ts'
import type { TokenId } from '../sct/token.ts'
import type { CommitResult, Write } from '../store/store.ts'
import { Alarm } from './engine-alarm.ts'
import { batchOf, claimOf, type Footing, type Ground, groundOf, type Handled } from './engine-commit.ts'
import { Deliveries } from './engine-deliveries.ts'
import { heed, trust } from './engine-doubt.ts'
import { Lanes } from './engine-lanes.ts'
import { type MoveReport, type MoveWish, reportOf, succeed, successorOf } from './engine-move.ts'
import { LaneRows } from './engine-rows.ts'
import { aboutOf, digestOf, Scope } from './engine-scope.ts'
import { Sender, withHeld } from './engine-sender.ts'
import { type Batch, handOver, isAwaited, isDone, isFull, type Job, type Later, lighten, newShell, type Next, refuseMove, rests, roundOf, type Shell } from './engine-shell.ts'
import { Tokens } from './engine-tokens.ts'
import { endCalls, endWaits, settle, tellFromRow, tellOfLane, Waits } from './engine-waits.ts'
import {
  asError, closedError, type CloseReport, type EngineOptions, type LaneStatus, type Observe, type OpenOptions, type PendingMessage, type RestoreReport, statusOf, type Ticket, type Via,
} from './engine-words.ts'
import { Lane, type LaneEvent, type LaneFacts, type LaneSettings, type LaneTurn } from './lane.ts'
import type { SentStatus, Succession } from './source-words.ts'
import { backoff } from './timing.ts'
import { type Content, emptyTurn, encodeRow, type ExchangeId, type Hint, type LaneId, type Outbound, type Received } from './turn.ts'

export type { MoveReport } from './engine-move.ts'
export type * from './engine-words.ts'

/** A commit that fails so often is not tried again for the same event. */
const COMMIT_TRIES = 6
const COMMIT_WAIT_MS = 50
/** A lane is not looked at more often than this when time does nothing for it. */
const LEAST_SLEEP_MS = 1_000
/** A commit that is under way is over after one look more; a crash of the lane may want another. */
const REPLY_LOOKS = 3

export class SequenceEngine<Tx = unknown> implements AsyncDisposable {
  readonly #own: EngineOptions<Tx>
  readonly #mint = (): string => urnUuid(this.#own.random)
  readonly #observe: Observe = (event) => this.#own.observe?.(event)
  readonly #lanes = new Lanes<Tx>()
  readonly #scope: Scope<Shell<Tx>>
  readonly #rows: LaneRows
  readonly #settings: LaneSettings
  readonly #tokens: Tokens
  readonly #alarm: Alarm<Tx>
  readonly #deliveries: Deliveries<Tx>
  readonly #sender: Sender<Tx>
  readonly #waits: Waits<Tx>
  readonly #ready = new Set<Shell<Tx>>()
  readonly #abort = new AbortController()
  #pumping: Promise<void> | undefined

  constructor(options: EngineOptions<Tx>) {
    this.#own = options
    this.#rows = new LaneRows(options.store, options.serializer)
    this.#tokens = new Tokens(options.security, this.#rows)
    this.#settings = { timing: options.timing, limits: options.limits, mint: this.#mint }
    const later: Later<Tx> = (shell, event, work) => this.#later(shell, event, work)
    this.#alarm = new Alarm<Tx>(options.clock, {
      lanes: this.#lanes,
      isBusy: () => this.#pumping !== undefined,
      wake: (shell) => this.#wake(shell),
      later,
    })
    this.#deliveries = new Deliveries<Tx>(options, this.#abort.signal, this.#alarm, later)
    this.#sender = new Sender<Tx>(options, this.#lanes, this.#abort.signal, later)
    this.#waits = new Waits<Tx>(options.clock, this.#abort.signal, this.#alarm, this.#lanes, (shell) => this.#present(shell))
    this.#scope = new Scope<Shell<Tx>>(options, {
      lane: (id) => this.#lanes.get(id),
      lanes: () => this.#lanes,
      make: (facts) => {
        // What was read of a message are slices of it, which would keep all of it in memory for as long as the facts are.
        const shell = this.#shell(JSON.parse(JSON.stringify(facts)) as LaneFacts)
        this.#tokens.use(shell)
        return shell
      },
      shed: (shell) => {
        shell.isShed = true
        this.#later(shell, { kind: 'time' })
      },
      mint: this.#mint,
    })
  }

  /** A new sequence bound to `token`, durable and local at once: CreateSequence leaves after the commit, messages may be submitted before its answer. */
  async open(token: TokenId, options: OpenOptions): Promise<LaneId> {
    this.#assertRunning()
    if (options.name !== undefined && this.find(options.name) !== undefined) throw new UsageError('ERR_NAME_TAKEN', `a conversation named ${options.name} is there already`)
    const facts: LaneFacts = {
      lane: this.#mint() as LaneId, role: 'initiator', tokenId: token, rm: options.rm.name, createdAt: this.#own.clock.now(), createMessageId: this.#mint(), url: options.url, endpoint: options.endpoint?.kind === 'anonymous' ? undefined : options.endpoint,
      name: options.name, expiresMs: options.expiresMs, offered: options.offer ? this.#mint() : undefined, ackRequestedOnOneWay: options.ackRequestedOnOneWay,
      offerOnRepeat: options.offerOnRepeat, window: options.window, closeEmpty: options.closeEmpty,
    }
    const shell = this.#shell(facts, options)
    this.#tokens.use(shell)
    await this.#enqueue(shell, { event: { kind: 'made' }, tries: 0 })
    return facts.lane
  }

  /**
   * Resolves when the message is durable here. The same key with the same content answers the same ticket; a full lane makes it wait.
   *
   * @throws {UsageError} the lane is closing or ended, or the key was given to another message
   */
  async submit(lane: LaneId, content: Content, shape: 'one-way' | 'request', key: string, wait: Wait = {}): Promise<Ticket> {
    this.#assertRunning()
    const digest = digestOf(content, shape)
    for (;;) {
      const shell = this.#lanes.known(lane)
      // Also what this one knows already: it is no new message, even where none is taken any more.
      for (const each of [shell, ...this.#lanes.before(shell)]) {
        // Nothing is waited for where it can be helped: messages are numbered in the order of the calls.
        const known = (each.lane ?? await this.#present(each)).source.status(key)
        if (known === undefined) continue
        if (known.digest !== digest) throw new UsageError('ERR_KEY_REUSED', `the key of message ${known.number} was given to another message`, { numbers: [known.number] })
        return this.#waits.ticket(each, key, known.number)
      }
      if (!isFull(shell, content.body.length)) break
      await this.#waits.until(shell, { number: undefined, want: 'drained' }, wait, (settle) => shell.blocked.push(() => settle({})))
    }
    const number = await this.#enqueue(this.#lanes.known(lane), { event: { kind: 'submit', content, shape, key, digest }, tries: 0 })
    return this.#waits.ticket(this.#lanes.known(lane), key, number as number)
  }

  /** The words of a verified message. Resolves when all that it changes is durable; a request's exchange may then still wait for its reply. */
  async receive(received: Received, via: Via): Promise<void> {
    const exchange = via.kind === 'exchange' ? this.#sender.open(via) : undefined
    if (this.#abort.signal.aborted) return exchange?.finish()
    if (via.kind === 'exchange' && !(await this.#takeUpStrange(received))) return exchange?.finish()
    const jobs: Promise<unknown>[] = []
    const add = (shell: Shell<Tx>, event: LaneEvent): void => {
      exchange?.begin()
      trust(shell)
      jobs.push(this.#enqueue(shell, { event: event.kind === 'received' ? { ...event, resumes: shell.resumes } : event, exchange, tries: 0 }))
    }
    this.#scope.sort(received, via, exchange, add)
    if (received.body.kind === 'make-connection' && exchange !== undefined) {
      // What the poll acknowledges is not given to it again.
      await Promise.allSettled(jobs)
      const [oldest, ...others] = await this.#mailbox(received, received.body.address)
      if (oldest !== undefined) add(oldest, { kind: 'polled', to: { kind: 'exchange', exchange: exchange.id, address: received.body.address }, others: others.length > 0 })
    }
    exchange?.end()
    // What failed was reported and its exchange was ended; the peer will ask again.
    await Promise.allSettled(jobs)
  }

  /** Whoever waited in the exchange has gone; what it was to be told is kept for the next time that it asks. */
  gone(exchange: ExchangeId): void { this.#sender.gone(exchange) }

  /** What may be known without proof. `about` is the message in whose exchange it came. */
  hint(lane: LaneId, hint: Hint, about?: Outbound): void {
    const shell = this.#lanes.get(lane)
    if (shell === undefined || this.#abort.signal.aborted) return
    heed(shell, hint, this.#observe)
    this.#later(shell, { kind: 'hint', hint, about: about === undefined ? undefined : aboutOf(about) })
  }

  /** Drains, closes, terminates; resolves when the sequence has ended. An abort ends the waiting, not the closing. */
  async close(lane: LaneId, wait: Wait = {}): Promise<CloseReport> {
    this.#assertRunning()
    await this.#enqueue(this.#lanes.known(lane), { event: { kind: 'close' }, tries: 0 })
    for (;;) {
      const shell = this.#lanes.known(lane)
      const { source } = await this.#present(shell)
      if (shell !== this.#lanes.known(lane)) continue
      if (source.state === 'ended') return { outcome: source.outcome ?? 'terminated', lost: await this.#lostIn(shell) }
      await this.#waits.until(shell, { number: undefined, want: 'end' }, wait)
    }
  }
  /**
   * The conversation goes on on a new sequence under that token; callers keep the lane's name, keys, tickets and waits. Durable when it
   * resolves: all of it or nothing. A lane that ended has what it gave up moved.
   *
   * @throws {UsageError} the lane is closing: everything in it is acknowledged already
   */
  async move(lane: LaneId, wish: MoveWish): Promise<MoveReport> {
    this.#assertRunning()
    const shell = this.#lanes.known(lane)
    const successor = successorOf(shell.facts, wish.token, this.#mint, this.#own.clock.now())
    return await this.#enqueue(shell, { event: { kind: 'move', to: successor.lane, doubtful: wish.doubtful, behind: wish.behind }, successor, tries: 0 }) as MoveReport
  }
  /** Sends nothing new until `hurry`, and resolves when everything that was sent has come to its end. */
  async quiet(lane: LaneId, wait: Wait): Promise<void> {
    const shell = this.#lanes.known(lane)
    await this.#enqueue(shell, { event: { kind: 'pace', window: 0 }, tries: 0 })
    if (!(await this.#present(shell)).source.isQuiet) await this.#waits.until(shell, { number: undefined, want: 'quiet' }, wait)
  }
  hurry(lane: LaneId): void { this.#later(this.#lanes.known(lane), { kind: 'pace' }) }
  /** The peer was said to have lost the context, and nothing that is proven has come since. */
  isDoubted(lane: LaneId): boolean { return this.#lanes.known(lane).doubts > 0 }
  /** The calls that wait end with this error; the messages stay. */
  suspend(lane: LaneId, error: Error): void {
    const shell = this.#lanes.known(lane)
    this.#observe({ kind: 'suspended', lane: shell.facts.lane, reason: error.message.slice(0, 256) })
    endCalls(shell, error)
  }
  /** Stops working on the lane in this process; all is kept for `attach`, here or after a restart. */
  async detach(lane: LaneId): Promise<void> {
    const shell = this.#lanes.known(lane)
    // The token stays in use: nobody shall cancel it under a lane that rests.
    shell.isDetached = true
    endWaits(shell, new UsageError('ERR_DETACHED', 'the conversation was detached; what was accepted stays'))
    await this.#pumping
  }
  attach(lane: LaneId, options: Pick<OpenOptions, 'resumes'> = {}): void {
    const shell = this.#lanes.known(lane)
    shell.resumes = options.resumes ?? false
    // A sequence that the conversation has left may still be on its way to its end.
    for (const each of [shell, ...this.#lanes.before(shell).filter(({ isOver }) => !isOver)]) {
      each.isDetached = false
      this.#later(each, { kind: 'time' })
    }
  }
  /** The live lane of that name. */
  find(name: string): LaneId | undefined { return this.#lanes.named(name)?.facts.lane }
  /** The ticket of a message that was submitted under that key, also before a restart. */
  async ticket(lane: LaneId, key: string): Promise<Ticket | undefined> {
    const shell = this.#lanes.known(lane)
    const found = await this.#earlier(shell, key) ?? { shell, status: (await this.#present(shell)).source.status(key) }
    return found.status === undefined ? undefined : this.#waits.ticket(found.shell, key, found.status.number)
  }
  /**
   * The reply to the request with that key, also one made before a restart.
   *
   * @throws {SoapFault | ReplyLost | DeliveryFailed} how it ended otherwise
   */
  async reply(lane: LaneId, key: string, wait: Wait = {}): Promise<Content> {
    for (let tries = 0; ; tries++) {
      const shell = (await this.#earlier(this.#lanes.known(lane), key))?.shell ?? this.#lanes.known(lane)
      const status = (await this.#present(shell)).source.status(key)
      // Moved while we looked for it.
      if (status === undefined && shell !== this.#lanes.known(lane)) continue
      if (status === undefined) throw new UsageError('ERR_KEY_UNKNOWN', 'no message was submitted under that key')
      if (status.shape !== 'request') throw new UsageError('ERR_NOT_A_REQUEST', `message ${status.number} is not a request`, { numbers: [status.number] })
      if (status.settled === undefined) return (await this.#waits.until(shell, { number: status.number, want: 'reply' }, wait)) as Content
      const kept = await this.#rows.reply(shell.facts, status.number)
      if (kept !== undefined) return kept
      if (tries === REPLY_LOOKS) throw new StoreFailed('ERR_REPLY_GONE', `the reply to request ${status.number} is not in the store any more`, { numbers: [status.number] })
      // Settled in the machine, but not yet in the store: its commit is under way.
      await this.#enqueue(shell, { event: { kind: 'time' }, tries: 0 })
    }
  }
  /** Resolves when nothing is pending. */
  async drained(lane: LaneId, wait: Wait = {}): Promise<void> {
    const shell = this.#lanes.known(lane)
    const isDrained = (await this.#present(shell)).source.pendingCount === 0 && shell.queue.length === 0
    if (shell !== this.#lanes.known(lane)) return this.drained(lane, wait)
    if (isDrained) return
    await this.#waits.until(shell, { number: undefined, want: 'drained' }, wait)
  }
  /** Messages that are not settled, in order. */
  async pending(lane: LaneId): Promise<readonly PendingMessage[]> {
    const { source } = await this.#present(this.#lanes.known(lane))
    return source.pending().flatMap((row) => row.shape === 'one-way' || row.shape === 'request'
      ? [{ number: row.number, key: row.key, shape: row.shape, acknowledged: source.status(row.key)?.acknowledged ?? false, action: row.content?.action ?? '' }] : [])
  }
  /** What other processes have done with the lanes of this token is known here too, before it is said what is bound to it. */
  async refresh(token: TokenId): Promise<void> {
    const bound = [...this.#lanes].filter((shell) => shell.facts.tokenId === token && !shell.isOver)
    await Promise.allSettled(bound.map((shell) => this.#enqueue(shell, { event: { kind: 'time' }, isFresh: true, tries: 0 })))
  }
  /** Sequences of any process on this store are bound to the token and have not ended: it is not to be cancelled. */
  async isBound(token: TokenId): Promise<boolean> {
    for await (const row of this.#rows.heads()) {
      const known = this.#rows.openOrNone(row)
      if (known !== undefined && known.facts.tokenId === token && known.source.state !== 'ended') return true
    }
    return false
  }
  status(lane: LaneId): LaneStatus | undefined {
    const shell = this.#lanes.current(lane)
    return shell === undefined ? undefined : statusOf(shell.facts, shell.headText, shell.lane)
  }
  /** Every lane, ended ones too until they are forgotten. */
  sequences(): readonly LaneStatus[] { return [...this.#lanes].map((shell) => statusOf(shell.facts, shell.headText, shell.lane)) }

  /** Takes up everything that the store holds: tokens first, then lanes. Call it once, before anything else. */
  async restore(): Promise<RestoreReport> {
    const { heads, quarantined } = await this.#rows.openHeads()
    const tokens = await this.#tokens.restore(new Set(heads.map(({ head }) => head.facts.tokenId)), quarantined)
    let lanes = 0
    for (const { head, row } of heads) {
      const { facts } = head
      if (tokens.refused.has(facts.tokenId)) continue
      const shell = this.#shell(facts)
      shell.isDetached = facts.role === 'initiator' && this.#own.restoreDetached === true
      try {
        await this.#load(shell)
        lanes++
      } catch (error) {
        this.#forget(shell)
        if (error instanceof UnknownVersion) throw error
        quarantined.push({ key: row.key, error })
        continue
      }
      this.#tokens.use(shell)
      lighten(shell)
      if (!rests(shell) && shell.lane !== undefined) this.#later(shell, { kind: 'time' })
    }
    this.#alarm.set()
    for (const { key, error } of quarantined) this.#observe({ kind: 'error', error: new StoreFailed('ERR_QUARANTINED', `a stored record does not open and is left as it is: ${key.slice(0, 80)}`, { cause: error }) })
    return { lanes, tokens: tokens.count, quarantined }
  }

  /** Ends all waiting and answers all exchanges; what is stored goes on with the next engine on the same store. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#abort.signal.aborted) return
    this.#abort.abort()
    this.#alarm.close()
    this.#tokens.close()
    const error = closedError()
    for (const shell of this.#lanes) {
      endWaits(shell, error)
      this.#tokens.release(shell)
    }
    await this.#pumping
    for (const shell of this.#lanes) for (const job of shell.queue.splice(0)) job.done?.reject(error)
    this.#sender.close()
  }

  // ── What the verbs are made of ─────────────────────────────────────────────────────────────────────────────────────────────

  /** The lanes of the mailbox: those with something in it, in the order in which they were made. */
  async #mailbox(received: Received, address: string): Promise<readonly Shell<Tx>[]> {
    const shells: Shell<Tx>[] = []
    const now = this.#own.clock.now()
    for (const shell of this.#scope.mailbox(received, address)) {
      // In what has ended nothing waits.
      if (shell.isOver) continue
      const lane = shell.lane ?? await this.#present(shell).catch(() => undefined)
      lane?.destination.noticed(now)
      if (lane !== undefined && lane.waiting(now) > 0) shells.push(shell)
    }
    return shells
  }
  /** Lanes that another process has made on this store. False: nothing can be said now; the peer will ask again. */
  async #takeUpStrange(received: Received): Promise<boolean> {
    try {
      for (const key of this.#scope.strange(received)) {
        const found = await this.#rows.indexed(key)
        const head = found === undefined || this.#lanes.has(found.lane) ? undefined : await this.#rows.head(found.lane)
        if (head === undefined || this.#lanes.has(head.facts.lane)) continue
        const shell = this.#shell(head.facts)
        shell.isNew = false
        this.#tokens.use(shell)
      }
      return !this.#abort.signal.aborted
    } catch (error) {
      this.#observe({ kind: 'error', error: asError(error) })
      return false
    }
  }
  /** By the numbers that they had, also on sequences that the conversation has left. */
  async #lostIn(shell: Shell<Tx>): Promise<readonly number[]> {
    const chain = [...this.#lanes.predecessors(shell)].reverse()
    const rows = await Promise.all([...chain, shell.facts.lane].map((lane) => this.#rows.sent(lane)))
    return rows.flat().filter((row) => (row.settled === 'lost' || row.settled === 'reply-lost') && row.shape !== 'last').map((row) => row.number)
  }
  async #earlier(of: Shell<Tx>, key: string): Promise<{ readonly shell: Shell<Tx>; readonly status: SentStatus } | undefined> {
    for (const shell of this.#lanes.before(of)) {
      const status = (await this.#present(shell)).source.status(key)
      if (status !== undefined) return { shell, status }
    }
    return undefined
  }
  /** The machines, restored when a failed commit has dropped them, or the lane was over. */
  async #present(shell: Shell<Tx>): Promise<Lane> {
    if (shell.lane !== undefined) return shell.lane
    this.#assertRunning()
    return await this.#enqueue(shell, { event: { kind: 'time' }, tries: 0 }) as Lane
  }
  #assertRunning(): void {
    if (this.#abort.signal.aborted) throw closedError()
  }

  // ── The pump: events to turns, turns to one commit, then their effects ─────────────────────────────────────────────────────

  #enqueue(shell: Shell<Tx>, job: Job<Tx>): Promise<unknown> {
    if (this.#abort.signal.aborted) return Promise.reject(closedError())
    return new Promise((resolve, reject) => {
      shell.queue.push({ ...job, done: { resolve, reject } })
      this.#wake(shell)
    })
  }
  /** An event that nobody waits for. */
  #later(shell: Shell<Tx>, event: LaneEvent, work?: Job<Tx>['work']): void {
    shell.queue.push({ event, work, tries: 0 })
    this.#wake(shell)
  }
  #wake(shell: Shell<Tx>): void {
    if (shell.retryAt > 0) return
    this.#ready.add(shell)
    if (this.#pumping !== undefined || this.#abort.signal.aborted) return
    this.#pumping = this.#pump().finally(() => {
      this.#pumping = undefined
      if (this.#abort.signal.aborted) return
      const [next] = this.#ready
      if (next !== undefined) this.#wake(next)
      else this.#alarm.set()
    })
  }
  async #pump(): Promise<void> {
    // Whoever comes in the same moment shares the commit.
    await undefined
    while (this.#ready.size > 0 && !this.#abort.signal.aborted) {
      const shells = [...this.#ready]
      this.#ready.clear()
      const batches: Batch<Tx>[] = []
      const tokensWritten = new Set<TokenId>()
      for (const shell of shells) {
        const batch = await this.#prepare(shell, tokensWritten)
        if (batch !== undefined) batches.push(batch)
      }
      const writing = batches.filter((batch) => batch.commit !== undefined)
      const results = await this.#commit(writing)
      for (const batch of batches) {
        const at = writing.indexOf(batch)
        const result = at < 0 ? 'committed' : results[at] ?? { failed: undefined }
        if (result === 'committed') this.#finish(batch)
        else this.#crash(batch, result)
      }
    }
  }
  async #commit(batches: readonly Batch<Tx>[]): Promise<readonly CommitResult[]> {
    if (batches.length === 0) return []
    try {
      return await this.#own.store.commit(batches.map((batch) => batch.commit ?? { expect: [], writes: [] }))
    } catch (error) {
      return batches.map(() => ({ failed: error }))
    }
  }

  /** What a lane has to commit in this round; undefined: nothing now. */
  async #prepare(shell: Shell<Tx>, tokensWritten: Set<TokenId>): Promise<Batch<Tx> | undefined> {
    if (shell.queue.length === 0) return undefined
    const footing = await this.#footing(shell, tokensWritten)
    if (footing === undefined) return undefined
    const { lane } = shell
    if (lane === undefined) {
      this.#dissolve(shell)
      return undefined
    }
    // What is shed has its time come early; not what the application has yet to be given.
    shell.isShed &&= isDone(lane)
    const now = shell.isShed ? lane.purgeAt : this.#own.clock.now()
    const handled = this.#handle(shell, lane, footing.ground, now)
    if (handled === undefined) return undefined
    if (handled.jobs.some((job) => job.event.kind === 'time') && lane.wakeAt <= now) shell.sleepUntil = now + LEAST_SLEEP_MS
    return batchOf(shell, lane, footing, handled, this.#rows, now)
  }
  /** The lane as it stands in the store, and what its commit is compared with. Undefined: nothing can be committed now; what waits for it is seen to. */
  async #footing(shell: Shell<Tx>, tokensWritten: Set<TokenId>): Promise<Footing | undefined> {
    const { tokenId } = shell.facts
    try {
      if (shell.queue.some((job) => job.isFresh) && !shell.isNew && (await this.#rows.revision(shell.facts.lane)) !== shell.revision) shell.lane = undefined
      if (shell.lane === undefined) await this.#load(shell)
      const claimed = await claimOf(shell, this.#rows, this.#settings, this.#own.clock.now())
      const tokenRevision = await this.#tokens.revision(tokenId)
      let token: Write | undefined
      if (shell.isNew && tokenRevision === 'absent') {
        // One lane of a round writes the token's row, the others find it there.
        if (tokensWritten.has(tokenId)) {
          this.#ready.add(shell)
          return undefined
        }
        token = await this.#tokens.row(tokenId)
        tokensWritten.add(tokenId)
      }
      if (shell.movedTo !== undefined && isAwaited(shell)) await this.#follow(shell, shell.movedTo)
      const successor = shell.isNew ? undefined : shell.queue.find((job) => job.successor !== undefined)?.successor
      if (successor === undefined || shell.movedTo !== undefined) return { claimed, tokenRevision, token }
      const ground = await groundOf(shell, successor, tokensWritten, this.#rows, this.#tokens)
      if (ground === 'stale') shell.lane = undefined
      if (ground === 'stale' || ground === 'later') {
        this.#ready.add(shell)
        return undefined
      }
      if (ground !== 'taken') return { claimed, tokenRevision, token, ground }
      refuseMove(shell, new UsageError('ERR_NAME_TAKEN', `another conversation has taken the name ${shell.facts.name} meanwhile`))
      return { claimed, tokenRevision, token }
    } catch (error) {
      if (shell.isNew && error instanceof UsageError) this.#refuse(shell, error)
      else this.#fail(shell, shell.queue.splice(0), error)
      return undefined
    }
  }
  /** The events that wait, one turn of all of them. Undefined: a defect stopped it; the rest is handled again. */
  #handle(shell: Shell<Tx>, lane: Lane, ground: Ground | undefined, now: number): Handled<Tx> | undefined {
    const jobs = shell.queue.splice(0, shell.isCareful ? 1 : roundOf(shell))
    const turn: LaneTurn = { ...emptyTurn(), holds: [] }
    const refused = new Map<Job<Tx>, UsageError>()
    let work: Job<Tx>['work']
    let next: Next<Tx> | undefined
    for (const [index, job] of jobs.entries()) {
      try {
        const { consumed } = lane.destination
        const taken = job.event.kind === 'move' && ground !== undefined && lane.source.movedTo === undefined ? this.#taken(shell, lane, job.event.doubtful, ground, now) : undefined
        const inner = lane.handle(withHeld(shell, job.event), now)
        next ??= taken
        // Another process may have consumed the message meanwhile: then the effect is there already.
        if (job.work !== undefined && lane.destination.consumed > consumed) work = job.work
        turn.persist.push(...inner.persist)
        turn.transmit.push(...inner.transmit)
        turn.deliver.push(...inner.deliver)
        turn.settle.push(...inner.settle)
        turn.holds.push(...inner.holds)
      } catch (error) {
        // What a caller asks for is refused before anything has changed.
        if (error instanceof UsageError && (job.event.kind === 'submit' || job.event.kind === 'close' || job.event.kind === 'move')) {
          refused.set(job, error)
          continue
        }
        // A defect: its event is given up, the machines may be half changed and are dropped, the other events are handled anew.
        shell.lane = undefined
        shell.isCareful = true
        this.#giveUp(shell, job, error)
        shell.queue.unshift(...jobs.slice(0, index), ...jobs.slice(index + 1))
        this.#ready.add(shell)
        return undefined
      }
    }
    return { jobs, turn, refused, work, next }
  }

  /** The commit is durable: now it may be seen. */
  #finish(batch: Batch<Tx>): void {
    const { shell, turn, jobs } = batch
    shell.isOver = shell.lane?.isOver ?? false
    shell.purgeAt = shell.lane?.purgeAt ?? Infinity
    if (batch.commit !== undefined && !batch.isCheck) {
      shell.revision = shell.revision === 'absent' ? 1 : shell.revision + 1
      if (batch.writesToken) this.#tokens.written(shell.facts.tokenId)
      shell.headText = batch.headText
      shell.isNew = false
    }
    shell.failures = 0
    if (shell.queue.length === 0) shell.isCareful = false
    else this.#ready.add(shell)
    if (batch.isPurge) this.#forget(shell)
    else {
      this.#rename(shell)
      this.#tokens.use(shell)
    }
    if (batch.next !== undefined) this.#succeeded(shell, batch.next)
    this.#carryOut(shell, turn)
    if (batch.next !== undefined) this.#goOn(shell, batch.next)
    for (const job of jobs) {
      const error = batch.refused.get(job)
      if (job.event.kind === 'consumed') this.#deliveries.consumed(shell, job.event.number)
      if (error === undefined) job.done?.resolve(this.#resultOf(shell, job.event))
      else job.done?.reject(error)
      job.exchange?.end()
    }
    tellOfLane(shell, this.#observe)
    this.#deliveries.next(shell)
    lighten(shell)
  }
  #carryOut(shell: Shell<Tx>, turn: LaneTurn): void {
    for (const outbound of turn.transmit) this.#sender.send(shell, outbound)
    for (const hold of turn.holds) this.#sender.hold(shell, hold)
    for (const settlement of turn.settle) settle(shell, settlement, this.#observe)
  }
  #resultOf({ lane }: Shell<Tx>, event: LaneEvent): unknown {
    if (event.kind === 'time') return lane
    if (event.kind === 'submit') return lane?.source.status(event.key)?.number
    const to = lane?.source.movedTo
    if (event.kind !== 'move' || lane === undefined || to === undefined) return undefined
    const { tokenId, sequence } = this.status(to.lane) ?? lane.facts
    return reportOf(lane, { tokenId, ...(sequence === undefined ? {} : { sequence }) })
  }

  // ── Moves: the lane that takes over is written in the commit of the old one ────────────────────────────────────────────────

  #taken(from: Shell<Tx>, old: Lane, doubtful: MoveWish['doubtful'], { facts, writesToken }: Ground, now: number): Next<Tx> {
    const { lane, turn } = succeed(old, facts, doubtful, this.#settings, now)
    return { shell: newShell<Tx>(facts, from), lane, turn, headText: new TextDecoder().decode(lane.headRow().value), writesToken }
  }
  /** The lane was moved, by another process or in a commit that was not heard of: who waits here goes along. */
  async #follow(shell: Shell<Tx>, succession: Succession): Promise<void> {
    const known = this.#lanes.get(succession.lane)
    const head = known === undefined ? await this.#rows.head(succession.lane) : undefined
    const to = known ?? (head === undefined ? undefined : this.#shell(head.facts, shell))
    if (to === undefined) return
    if (known === undefined) {
      Object.assign(to, { isNew: false, isDetached: shell.isDetached })
      this.#tokens.use(to)
      this.#observe({ kind: 'moved', lane: shell.facts.lane, to: to.facts.lane, report: reportOf(shell.lane ?? await this.#present(shell), { tokenId: to.facts.tokenId }) })
    }
    handOver(shell, to, succession)
    this.#later(to, { kind: 'time' })
  }
  /** The lane has moved: its successor is there, with all who wait for what it took over. */
  #succeeded(from: Shell<Tx>, { shell, lane, headText, writesToken }: Next<Tx>): void {
    const { facts } = shell
    this.#enter(shell)
    Object.assign(shell, { lane, headText, revision: 1, isNew: false, isDetached: from.isDetached })
    if (writesToken) this.#tokens.written(facts.tokenId)
    this.#rename(shell)
    this.#tokens.use(shell)
    from.movedTo = from.lane?.source.movedTo
    if (from.movedTo !== undefined) handOver(from, shell, from.movedTo)
  }
  #goOn(from: Shell<Tx>, { shell, turn }: Next<Tx>): void {
    if (from.lane !== undefined) this.#observe({ kind: 'moved', lane: from.facts.lane, to: shell.facts.lane, report: reportOf(from.lane, { tokenId: shell.facts.tokenId }) })
    this.#carryOut(shell, turn)
    tellOfLane(shell, this.#observe)
    if (shell.queue.length > 0) this.#wake(shell)
  }

  // ── What does not come about ───────────────────────────────────────────────────────────────────────────────────────────────

  /** D2: a commit that did not come about is a crash of the lane. */
  #crash(batch: Batch<Tx>, result: CommitResult): void {
    const { shell } = batch
    shell.lane = undefined
    this.#tokens.doubt(shell.facts.tokenId)
    if (batch.next !== undefined) this.#tokens.doubt(batch.next.shell.facts.tokenId)
    const error = typeof result === 'object' ? result.failed : undefined
    // The application's own effect may be what failed: its message is delivered again, the rest is only handled again.
    const jobs = batch.jobs.filter((job) => {
      if (result === 'conflict' || job.work === undefined || job.event.kind !== 'consumed') return true
      this.#deliveries.failed(shell, job.event.number, error)
      job.done?.resolve()
      return false
    })
    if (result === 'conflict') this.#retry(shell, jobs, new StoreFailed('ERR_STORE_CONFLICT', 'another process works on the lane', { retryable: true }), 0)
    else this.#retry(shell, jobs, new StoreFailed('ERR_STORE_COMMIT', 'the commit failed', { retryable: true, cause: error }), COMMIT_WAIT_MS)
  }
  #fail(shell: Shell<Tx>, jobs: readonly Job<Tx>[], error: unknown): void {
    shell.lane = undefined
    this.#tokens.doubt(shell.facts.tokenId)
    this.#retry(shell, jobs, error, COMMIT_WAIT_MS)
  }
  #retry(shell: Shell<Tx>, jobs: readonly Job<Tx>[], error: unknown, waitMs: number): void {
    shell.isCareful = true
    shell.failures++
    const again = jobs.filter((job) => {
      if (++job.tries < COMMIT_TRIES) return true
      this.#giveUp(shell, job, error)
      return false
    })
    shell.queue.unshift(...again)
    if (shell.isNew && !shell.queue.some((job) => job.event.kind === 'made')) return this.#dissolve(shell)
    // With nothing to handle again the machines must still come back: time does not wait for events.
    if (shell.queue.length === 0) shell.queue.push({ event: { kind: 'time' }, tries: 0 })
    if (waitMs === 0) {
      this.#ready.add(shell)
      return
    }
    shell.retryAt = this.#own.clock.now() + backoff(waitMs, 10_000, shell.failures)
    this.#alarm.set()
  }
  #giveUp(shell: Shell<Tx>, job: Job<Tx>, error: unknown): void {
    this.#observe({ kind: 'error', error: asError(error), lane: shell.facts.lane })
    job.done?.reject(error)
    // Held or not, whatever is left of the message: nobody will answer it any more.
    job.exchange?.finish()
  }
  /** A lane that is not there: never committed, or ended and forgotten by another process. */
  #dissolve(shell: Shell<Tx>): void {
    this.#forget(shell)
    const error = new StoreFailed('ERR_LANE_GONE', 'the lane is not in the store')
    for (const job of shell.queue.splice(0)) this.#giveUp(shell, job, error)
    endWaits(shell, error)
    for (const { exchange } of shell.holds.values()) exchange.finish()
  }
  /** What is asked for cannot be: nothing was written, and nothing is tried again. */
  #refuse(shell: Shell<Tx>, error: UsageError): void {
    this.#forget(shell)
    for (const job of shell.queue.splice(0)) {
      job.done?.reject(error)
      job.exchange?.finish()
    }
    endWaits(shell, error)
  }

  // ── Lanes in memory, rows in the store ─────────────────────────────────────────────────────────────────────────────────────

  #shell(facts: LaneFacts, options: Pick<OpenOptions, 'maxPending' | 'maxPendingBytes' | 'resumes'> = {}): Shell<Tx> {
    const shell = newShell<Tx>(facts, options)
    this.#enter(shell)
    return shell
  }
  #enter(shell: Shell<Tx>): void {
    this.#lanes.add(shell)
    this.#scope.enter(shell)
  }
  /** From the store: after a crash of the lane, or at the start of the process. */
  async #load(shell: Shell<Tx>): Promise<void> {
    const kept = await this.#rows.lane(shell.facts.lane)
    if (kept === undefined) {
      if (!shell.isNew) return
      shell.lane = new Lane(shell.facts, this.#settings, this.#own.clock.now())
      shell.revision = 'absent'
      shell.headText = ''
      return
    }
    shell.lane = new Lane(kept.head.facts, this.#settings, this.#own.clock.now(), kept)
    shell.isOver = shell.lane.isOver
    shell.purgeAt = shell.lane.purgeAt
    shell.movedTo = shell.lane.source.movedTo
    shell.isNew = false
    shell.revision = kept.revision
    shell.headText = new TextDecoder().decode(encodeRow(kept.head))
    shell.sleepUntil = 0
    // Settled while we were away from it: whoever waits is told from the rows.
    for (const row of kept.sent) if (row.settled !== undefined && shell.waiters.size > 0) tellFromRow(shell, row)
    this.#rename(shell)
  }
  #rename(shell: Shell<Tx>): void {
    if (shell.lane !== undefined) this.#scope.rename(shell, shell.lane.sequences)
  }
  #forget(shell: Shell<Tx>): void {
    this.#scope.leave(shell)
    this.#lanes.forget(shell)
    this.#ready.delete(shell)
    this.#tokens.release(shell)
  }
}
