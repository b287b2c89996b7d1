/**
 * RM Source: numbers messages, keeps them until acknowledged (a request: until its reply came), asks again when time passes,
 * closes and terminates, or hands what it may to a successor. Knows no clock, no store and no XML: it is told what happened and when, and answers with a turn.
 *
 * @module
 */
import { DeliveryFailed, ReplyLost, SoapFault, UsageError } from '../errors.ts'
import { NumberSet } from './ranges.ts'
import { type Entry, SentRows } from './source-rows.ts'
import { GAP, type Outcome, type SentRow, type SentStatus, type Settled, SOURCE_TABLE, type SourceEvent, type SourceOptions, type SourceSnapshot, type SourceState, type StoredReply, type Succession } from './source-words.ts'
import { backoff } from './timing.ts'
import { addressOf, decodeRow, type Destination as Place, emptyTurn, encodeRow, type Outbound, type OutboundBody, sentKey, type SequenceId, type Span, type Turn } from './turn.ts'

export class Source {
  readonly #own: SourceOptions
  #state: SourceState = 'creating'
  #sequence: SequenceId | undefined
  #last = 0
  /** The highest number that has left, and the one that the head says so of. */
  #left = 0
  #sentInHead = 0
  readonly #acknowledged: NumberSet
  #offers: SequenceId[]
  #closeWanted = false
  /** A request that is acknowledged needs no repetition: the peer repeats its reply by itself, or keeps it for us. */
  #repliesCome = false
  #expiresAt: number | undefined
  #endedAt: number | undefined
  #outcome: Outcome | undefined
  #movedTo: Succession | undefined
  /** wsa:MessageID of the CloseSequence or TerminateSequence that is under way. */
  #controlId: string | undefined
  readonly #rows = new SentRows()
  // What dies with the process: after a restart everything outstanding is due at once.
  #controlTries = 0
  #controlAt = 0
  #waitingSince: number | undefined
  #quietSince: number | undefined
  /** The highest request whose reply has come. */
  #answered = 0
  /** Exchanges with messages in them that are not over: a peer that is behind answers late, and so slows us down. */
  #open = 0
  /** Under way at once at most, where it is less than usual: as long as the peer is in doubt, and before a move. */
  #suspected = false
  #pace: number | undefined

  constructor(options: SourceOptions, offers: readonly SequenceId[] = [], from?: SourceSnapshot, rows: Iterable<SentRow> = []) {
    this.#own = options
    this.#offers = [...(from?.offers ?? offers)]
    this.#acknowledged = new NumberSet(from?.acknowledged ?? [])
    if (from === undefined) return
    this.#state = from.state
    this.#sequence = from.sequence
    this.#last = from.last
    // What an earlier release has kept says nothing of it.
    this.#sentInHead = from.sent ?? from.last
    this.#left = Math.min(this.#sentInHead, from.last)
    this.#closeWanted = from.closeWanted ?? false
    this.#repliesCome = from.repliesCome ?? false
    this.#expiresAt = from.expiresAt
    this.#endedAt = from.endedAt
    this.#outcome = from.outcome
    this.#movedTo = from.movedTo
    this.#controlId = from.controlId
    for (const row of [...rows].sort((a, b) => a.number - b.number)) this.#rows.keep(row)
  }
  static restore(options: SourceOptions, snapshot: SourceSnapshot, rows: Iterable<SentRow>): Source { return new Source(options, [], snapshot, rows) }
  snapshot(): SourceSnapshot {
    return {
      state: this.#state, sequence: this.#sequence, last: this.#last, sent: this.#own.role === 'initiator' ? this.#sentInHead : undefined, acknowledged: this.#acknowledged.spans, offers: this.#offers, controlId: this.#controlId,
      repliesCome: this.#repliesCome || undefined, closeWanted: this.#closeWanted || undefined, expiresAt: this.#expiresAt, endedAt: this.#endedAt, outcome: this.#outcome, movedTo: this.#movedTo,
    }
  }
  static readRow(value: Uint8Array): SentRow { return decodeRow<SentRow>(value) }

  get state(): SourceState { return this.#state }
  get sequence(): SequenceId | undefined { return this.#sequence }
  get offers(): readonly SequenceId[] { return this.#offers }
  get last(): number { return this.#last }
  get acknowledged(): readonly Span[] { return this.#acknowledged.spans }
  get outcome(): Outcome | undefined { return this.#outcome }
  get movedTo(): Succession | undefined { return this.#movedTo }
  get isClosing(): boolean { return this.#closeWanted }
  get endedAt(): number | undefined { return this.#endedAt }
  get expiresAt(): number | undefined { return this.#expiresAt }
  get pendingCount(): number { return this.#rows.size }
  /** Of the bodies that are not settled, in characters. */
  get pendingBytes(): number { return this.#rows.bytes }
  /** Rows that are not settled, in order. */
  pending(): readonly SentRow[] { return [...this.#rows].map((entry) => entry.row) }
  status(key: string): SentStatus | undefined {
    const known = this.#rows.known(key)
    return known === undefined ? undefined : { ...known, acknowledged: this.#acknowledged.has(known.number) }
  }
  /** Nothing that was sent waits for the peer any more. */
  get isQuiet(): boolean {
    for (const { row } of this.#rows) if (row.number <= this.#left) return false
    return true
  }
  /** What a successor may take over, in order: what never left; with `doubtful` also what left and was not acknowledged. */
  movable(doubtful: 'stay' | 'move'): readonly SentRow[] {
    return this.#unsettled().filter(({ number }) => number > this.#left || doubtful === 'move')
  }
  /** What may or may not have been delivered when `movable` has gone. */
  doubtful(doubtful: 'stay' | 'move'): readonly number[] {
    return doubtful === 'move' ? [] : this.#unsettled().map(({ number }) => number).filter((number) => number <= this.#left)
  }
  #unsettled(): readonly SentRow[] {
    const rows = this.#state === 'ended' ? this.#rows.lost : this.pending()
    return rows.filter(({ shape, number, content }) => (shape === 'one-way' || shape === 'request') && content !== undefined && !this.#acknowledged.has(number))
  }
  /** The reply to request `number` is kept and not yet acknowledged. */
  keepsReplyTo(number: number): boolean { return this.#rows.replyTo(number) !== undefined }
  /** The request with that MessageID which waits for its reply. */
  requestOf(messageId: string): number | undefined {
    for (const { row } of this.#rows) if (row.shape === 'request' && row.content?.messageId === messageId) return row.number
    return undefined
  }

  /** That message of ours, a CreateSequence, Close or Terminate or a request, is not answered yet. */
  asked(messageId: string): boolean {
    return (this.#state === 'creating' && messageId === this.#own.createMessageId) || messageId === this.#controlId || this.requestOf(messageId) !== undefined
  }
  /** Something was sent that the peer has yet to say something to. */
  /** A message of ours had this MessageID, as far as is remembered. */
  sentAs(messageId: string): boolean { return this.asked(messageId) || this.#rows.hasBeen(messageId) }
  get awaits(): boolean { return this.#state !== 'ended' && (this.#rows.underWay > 0 || this.#waitingSince !== undefined || (CONTROL.has(this.#state) && this.#controlTries > 0)) }
  /** Replies that a poll would be given. */
  waiting(now: number): number {
    let count = 0
    for (const entry of this.#rows) if (this.#isWaiting(entry, now)) count++
    return count
  }
  /** What was given to a poll is given to another only when it may be lost; without a number nobody would ever say that it arrived. */
  #isWaiting(entry: Entry, now: number): boolean { return entry.tries === 0 || (this.#sequence !== undefined && now >= entry.nextAt) }

  /** The next moment at which `time` has something to do. */
  get wakeAt(): number {
    if (this.#state === 'ended') return Infinity
    let at = this.#expiresAt ?? Infinity
    if (!this.#connects) return at
    const { silenceMs } = this.#own.timing
    if (this.#waitingSince !== undefined) at = Math.min(at, this.#waitingSince + silenceMs)
    if (CONTROL.has(this.#state)) return Math.min(at, this.#controlAt)
    // Replies without a number are not repeated by time.
    if (this.#sequence === undefined) return at
    for (const entry of this.#rows) {
      if (entry.waitsSince !== undefined) at = Math.min(at, entry.waitsSince + silenceMs, this.#isMailbox ? entry.nextAt : Infinity)
      else if (entry.tries > 0) at = Math.min(at, entry.nextAt)
      else {
        // Those behind it were not sent either.
        if (this.#hasWindow) at = 0
        break
      }
    }
    if (this.#isQuiet) at = Math.min(at, (this.#quietSince ?? 0) + this.#quietMs)
    return at
  }

  /**
   * @throws {UsageError} the pair of state and event is not in the table, or a key is used again for something else; nothing has changed
   */
  handle(event: SourceEvent, now: number): Turn {
    const before = this.#state
    const allowed = SOURCE_TABLE[before][event.kind]
    if (allowed === undefined) throw new UsageError('ERR_RM_STATE', `source: ${event.kind} is refused in state ${before}`, this.#name())
    const turn = emptyTurn()
    this.#take(event, now, turn)
    this.#advance(now, turn)
    if (!allowed.includes(this.#state)) throw new Error(`source: ${event.kind} led from ${before} to ${this.#state}, which the table does not have`)
    if (this.#state !== before) turn.settle.push({ kind: 'state', machine: 'source', state: this.#state })
    return turn
  }

  #take(event: SourceEvent, now: number, turn: Turn): void {
    switch (event.kind) {
      case 'submit': return this.#submit(event, now, turn)
      case 'created': return this.#created(event, now, turn)
      case 'refused': return this.#state === 'creating' ? this.#fail('refused', event.reason, now, turn) : undefined
      case 'acknowledged': return this.#acknowledge(event, now, turn)
      case 'replied': return this.#replied(event, now, turn)
      case 'close': return this.#close(now, turn)
      case 'closed': return this.#closed(now)
      case 'terminated': return this.#terminated(event.by, now, turn)
      case 'fault': return this.#fault(event, now, turn)
      case 'hint': return this.#hint(event, now, turn)
      case 'polled': return this.#polled(event, now, turn)
      case 'pace':
        this.#pace = event.window
        return this.#fill(now, turn)
      case 'moved': return this.#moved(event, now, turn)
      case 'time': return this.#time(now, turn)
    }
  }

  // ── What happens ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  #submit(event: SourceEvent & { kind: 'submit' }, now: number, turn: Turn): void {
    const known = this.#rows.known(event.key)
    if (known !== undefined) {
      if (known.digest !== event.digest) throw new UsageError('ERR_KEY_REUSED', `the key of message ${known.number} was given to another message`, { ...this.#name(), numbers: [known.number] })
      return
    }
    // WS-RM 1.1 §3.3: the numbers rise by one from 1, in the order in which the application sent.
    const row: SentRow = { number: ++this.#last, shape: event.shape, key: event.key, digest: event.digest, answers: event.answers, content: event.content }
    this.#put(row, turn)
    const entry = this.#rows.keep(row)
    if (this.#last >= (this.#own.maxNumber ?? Number.MAX_SAFE_INTEGER)) this.#state = 'full'
    if (event.shape !== 'reply') return this.#fill(now, turn)
    this.#trim(turn)
    const to = event.to ?? this.#endpoint
    // In a sequence it waits for its turn, so that it is sent no sooner than those before it; without one nobody will ask for it again.
    if (to?.kind === 'endpoint' && this.#sequence !== undefined) this.#fill(now, turn)
    else if (to !== undefined && entry !== undefined) this.#send(entry, to, now, turn)
  }
  #created(event: SourceEvent & { kind: 'created' }, now: number, turn: Turn): void {
    if (this.#state !== 'creating') return
    this.#heard(now)
    this.#sequence = event.sequence
    this.#repliesCome = event.isOfferTaken === true && addressOf(this.#own.endpoint) !== 'anonymous'
    // WS-RM 1.1 §3.4: 0 (PT0S) and absent both mean that it never expires; the Source counts from here.
    // What was asked for is the most that there is, whatever the answer grants.
    const granted = Math.min(event.expiresMs || Infinity, this.#own.expiresMs || Infinity)
    if (granted < Infinity) this.#expiresAt = now + granted
    this.#state = this.#closeWanted ? 'draining' : 'open'
    this.#fill(now, turn)
  }
  #acknowledge(event: SourceEvent & { kind: 'acknowledged' }, now: number, turn: Turn): void {
    if (this.#state === 'ended') return
    this.#heard(now)
    const shrunk = event.final && this.#acknowledged.spans.some(([lower, upper]) => !event.spans.some(([low, high]) => low <= lower && upper <= high))
    if (shrunk) turn.settle.push({ kind: 'alarm', error: new DeliveryFailed('ERR_RM_ACK_SHRUNK', 'a final acknowledgement lacks numbers that were acknowledged before', this.#name()) })
    // WS-RM 1.1 §3.9: what was acknowledged stays so; an older statement that comes late is a subset.
    this.#acknowledged.union(event.spans)
    for (const entry of [...this.#rows]) if (this.#acknowledged.has(entry.row.number)) this.#covered(entry, now, turn)
    for (const number of event.nacks) {
      const entry = this.#rows.get(number)
      if (entry !== undefined && entry.tries > 0 && !this.#acknowledged.has(number) && now - entry.sentAt >= this.#own.timing.retransmitMs) entry.nextAt = now
    }
    if (event.answering !== undefined) this.#bare(event.answering, turn)
    if (event.final && this.#own.rm.hasNoneAndFinal && (this.#state === 'open' || this.#state === 'full' || this.#state === 'draining')) this.#closedByPeer(now, turn)
    if (event.final && this.#state === 'closing') this.#toTerminating(now)
    this.#fill(now, turn)
  }
  /** An entry whose number the peer holds. */
  #covered(entry: Entry, now: number, turn: Turn): void {
    const { row } = entry
    if (row.shape === 'request') {
      if (!entry.held) turn.settle.push({ kind: 'acknowledged', number: row.number })
      entry.held = true
      if (this.#repliesCome && entry.tries > 0) this.#waits(entry, now)
      return
    }
    if (row.shape === 'reply') {
      this.#drop(entry, turn)
      return
    }
    this.#settle(entry, 'acknowledged', turn)
    turn.settle.push({ kind: 'acknowledged', number: row.number })
  }
  /** D25: the peer holds the request and answers it without its reply; a few times is often enough. */
  #bare(number: number, turn: Turn): void {
    const entry = this.#rows.get(number)
    if (entry === undefined || entry.row.shape !== 'request' || this.#repliesCome || !this.#acknowledged.has(number)) return
    if (++entry.bare >= this.#own.timing.replyTries) this.#loseReply(entry, turn)
  }
  #loseReply(entry: Entry, turn: Turn): void {
    const { number } = entry.row
    this.#settle(entry, 'reply-lost', turn)
    turn.settle.push({ kind: 'failed', number, error: this.#replyLost([number]) })
  }
  #replied(event: SourceEvent & { kind: 'replied' }, now: number, turn: Turn): void {
    if (this.#state === 'ended') return
    this.#heard(now)
    const entry = this.#rows.get(event.number)
    if (entry === undefined || entry.row.shape !== 'request') return
    // A reply proves that the peer holds the request, whatever its acknowledgements say.
    if (this.#acknowledged.add(event.number) || !entry.held) turn.settle.push({ kind: 'acknowledged', number: event.number })
    this.#settle(entry, 'replied', turn, event.reply)
    this.#overtake(event.number, now)
    const { reply } = event
    if ('content' in reply) turn.settle.push({ kind: 'replied', number: event.number, content: reply.content })
    else turn.settle.push({ kind: 'failed', number: event.number, error: new SoapFault(reply.fault, { ...this.#name(), numbers: [event.number] }) })
    this.#fill(now, turn)
  }
  /** Replies come in the order of their requests: one that has not come by then may be lost, and is not long waited for. */
  #overtake(number: number, now: number): void {
    this.#answered = Math.max(this.#answered, number)
    for (const entry of this.#rows) {
      if (entry.row.number > number) return
      if (entry.waitsSince !== undefined) entry.nextAt = Math.min(entry.nextAt, now + this.#pause(entry))
    }
  }
  #close(now: number, turn: Turn): void {
    if (this.#state !== 'creating' && this.#state !== 'open' && this.#state !== 'full') return
    if (this.#closeWanted) return
    this.#closeWanted = true
    // WS-RM 1.0 §3.2: the end is marked by the last message; an empty one of its own serves every sequence.
    if (this.#own.rm.hasLastMessage && this.#state !== 'full') {
      const row: SentRow = { number: ++this.#last, shape: 'last', key: `${this.#own.lane} last`, digest: '', content: undefined }
      this.#put(row, turn)
      this.#rows.keep(row)
    }
    if (this.#state === 'creating') return
    this.#state = 'draining'
    this.#fill(now, turn)
  }
  #closed(now: number): void {
    if (this.#state !== 'closing') return
    this.#heard(now)
    this.#toTerminating(now)
  }
  #terminated(by: 'answer' | 'peer', now: number, turn: Turn): void {
    if (this.#state === 'ended') return
    if (this.#state === 'terminating') return this.#end('terminated', now)
    if (by === 'answer') return
    // WS-RM 1.1 §3.6: the peer is done; what it has not acknowledged by now it never will.
    this.#fail('terminated', 'the peer terminated the sequence', now, turn)
  }
  #fault({ name, resumes }: SourceEvent & { kind: 'fault' }, now: number, turn: Turn): void {
    if (this.#state === 'creating' || this.#state === 'ended') return
    this.#heard(now)
    if ((name === 'UnknownSequence' || name === GAP) && resumes && SENDING.has(this.#state)) {
      // What has not left yet need not be lost with it: the conversation goes on elsewhere, and that ends this.
      this.#suspected = true
      turn.settle.push({ kind: 'stranded' })
      return
    }
    if (name === GAP) return this.#fail('faulted', 'the peer refused a message of the sequence', now, turn)
    if (name === 'UnknownSequence' || name === 'SequenceTerminated' || name === 'LastMessageNumberExceeded') {
      if (this.#state === 'terminating') return this.#end('terminated', now)
      return this.#fail('faulted', `the peer raised ${name}`, now, turn)
    }
    if (name === 'SequenceClosed') {
      if (this.#state === 'closing') this.#toTerminating(now)
      else if (this.#state !== 'closed' && this.#state !== 'terminating') this.#closedByPeer(now, turn)
      return
    }
    if (name !== 'MessageNumberRollover') return
    // WS-RM 1.0 §4: there the rollover ends the sequence; in 1.1 only no new numbers are given.
    if (this.#own.rm.hasLastMessage && this.#state !== 'terminating') return this.#fail('faulted', 'the peer raised MessageNumberRollover', now, turn)
    if (this.#state === 'open') this.#state = 'full'
  }
  #hint({ hint, about }: SourceEvent & { kind: 'hint' }, now: number, turn: Turn): void {
    if (hint.kind === 'exchange-over' && about?.number !== undefined) this.#open = Math.max(0, this.#open - 1)
    const { retransmitMs, retransmitCapMs, replyPollMs } = this.#own.timing
    if (this.#state === 'terminating') {
      const isOwn = about === undefined || about.kind === 'terminate-sequence'
      // D23: UnknownSequence in the answer to our own Terminate, protected or not, means that it is done.
      // Peer Metro 4: to a poll too, once the answer that was for the mailbox is lost.
      const isPoll = about?.kind === 'make-connection' && this.#controlTries > 1
      if ((isOwn || isPoll) && hint.kind === 'unprotected-fault' && hint.fault.rmFault === 'UnknownSequence') return this.#end('terminated', now)
      // RM 1.0 answers with nothing.
      if (isOwn && hint.kind === 'empty-answer' && !this.#own.rm.hasTerminateResponse) return this.#end('terminated', now)
    }
    // While the peer is in doubt one message at a time: the fewer are under way, the fewer are in doubt in the end.
    if (hint.kind === 'context-fault') this.#suspected = true
    // Whatever else it says, the exchange is over: what it should have brought is asked for again after the usual wait.
    const entry = about?.number === undefined ? undefined : this.#rows.get(about.number)
    // An answer with nothing in it to a request: its handler is still at work, so that asking is waiting.
    const cap = hint.kind === 'empty-answer' && entry?.row.shape === 'request' && !this.#repliesCome ? replyPollMs : retransmitCapMs
    if (entry !== undefined && entry.tries > 0) entry.nextAt = Math.min(entry.nextAt, now + this.#pause(entry, cap))
    // Everything is acknowledged: a peer that has lost the context is not asked for long to end what it does not know.
    const controlCap = hint.kind === 'context-fault' && this.#state !== 'creating' ? retransmitMs : retransmitCapMs
    if (about !== undefined && about.kind === CONTROL.get(this.#state)) this.#controlAt = Math.min(this.#controlAt, now + backoff(retransmitMs, controlCap, this.#controlTries))
    this.#fill(now, turn)
  }
  #moved({ to, numbers, behind }: SourceEvent & { kind: 'moved' }, now: number, turn: Turn): void {
    if (this.#movedTo !== undefined) return
    const spans = new NumberSet()
    for (const number of numbers) {
      if (!this.#rows.give(number)) continue
      spans.add(number)
      this.#delete(number, turn)
    }
    this.#movedTo = { lane: to, numbers: spans.spans }
    if (this.#state === 'ended') return
    const isClean = this.#rows.size === 0 && numbers.every((number) => number > this.#left)
    if (behind === 'close' && isClean && (this.#state === 'open' || this.#state === 'full')) {
      // WS-RM 1.1 §3.5: LastMsgNumber is the number of what was sent; the numbers of what was handed over were never used.
      this.#last = this.#left
      return this.#close(now, turn)
    }
    this.#fail('moved', 'the conversation went on on another sequence', now, turn)
  }
  #polled({ to, answers }: SourceEvent & { kind: 'polled' }, now: number, turn: Turn): void {
    const entry = answers === undefined ? this.#oldest(now) : this.#rows.replyTo(answers)
    if (entry === undefined) return
    if (to?.kind === 'exchange') return this.#send(entry, to, now, turn)
    // Who asks again has not got it; but nobody makes us send it faster than we would by ourselves.
    const soonest = entry.sentAt + this.#own.timing.retransmitMs
    if (to !== undefined && this.#sequence === undefined) {
      // Without a number time does not repeat it: whoever asks too soon asks once more.
      if (entry.tries === 0 || now >= soonest) this.#send(entry, to, now, turn)
    } else if (entry.tries > 0) entry.nextAt = Math.min(entry.nextAt, Math.max(now, soonest))
  }
  /** What was never given goes before what may be lost. */
  #oldest(now: number): Entry | undefined {
    const waiting = [...this.#rows].filter((entry) => this.#isWaiting(entry, now))
    return waiting.find((entry) => entry.tries === 0) ?? waiting[0]
  }
  #time(now: number, turn: Turn): void {
    if (this.#state === 'ended') return this.#purge(now, turn)
    if (this.#expiresAt !== undefined && now >= this.#expiresAt) return this.#fail('expired', 'the sequence expired', now, turn)
    if (!this.#connects) return
    const { silenceMs } = this.#own.timing
    if (this.#waitingSince !== undefined && now - this.#waitingSince >= silenceMs) return this.#fail('silent', `the peer said nothing for ${silenceMs} ms`, now, turn)
    if (CONTROL.has(this.#state)) return this.#control(now, turn)
    this.#repeat(now, turn)
    this.#fill(now, turn)
    this.#quietSince ??= now
    if (!this.#isQuiet || now - this.#quietSince < this.#quietMs) return
    // Peers end a sequence in which nothing is heard: asking for an acknowledgement keeps it. Who waits for replies that come by themselves learns so
    // that the peer has lost the sequence.
    turn.transmit.push(this.#outbound({ kind: 'ack-requested' }, { asks: true }))
    this.#sent(now)
  }

  // ── Control: a sequence is created, closed and terminated ──────────────────────────────────────────────────────────────────

  /** Moves on by itself: from drained to closing, from closed to terminating. */
  #advance(now: number, turn: Turn): void {
    // The responder's Source ends with the sequence of the requests. Peer Sandesha2: in RM 1.0, which has no answer to TerminateSequence, it ends its own.
    if (this.#own.role === 'responder' && !(this.#connects && this.#own.rm.hasLastMessage)) return
    if (this.#rows.size === 0 && this.#state === 'closed') this.#toTerminating(now)
    if (this.#rows.size === 0 && this.#state === 'draining') {
      const closes = this.#own.rm.hasCloseSequence && (this.#last > 0 || this.#own.closeEmpty !== false)
      if (closes) {
        this.#state = 'closing'
        this.#newControl(now)
      } else this.#toTerminating(now)
    }
    if ((this.#state === 'closing' || this.#state === 'terminating') && this.#controlTries === 0) this.#control(now, turn)
  }
  #toTerminating(now: number): void {
    this.#state = 'terminating'
    this.#newControl(now)
  }
  #newControl(now: number): void {
    this.#controlId = this.#own.mint()
    this.#controlTries = 0
    this.#controlAt = now
    this.#waitingSince = undefined
  }
  /** CreateSequence, CloseSequence, TerminateSequence: each is asked again with its MessageID until it is answered. */
  #control(now: number, turn: Turn): void {
    if (now < this.#controlAt) return
    const { retransmitMs, retransmitCapMs, controlTries, exchangeMs } = this.#own.timing
    if (this.#state !== 'creating' && this.#controlTries >= controlTries) {
      if (this.#state === 'terminating') return this.#end('terminated', now)
      // Peer CXF 4: a CloseSequence may stay without an answer; everything is acknowledged, so it may end.
      this.#toTerminating(now)
    }
    this.#controlTries++
    this.#controlAt = now + Math.max(exchangeMs, backoff(retransmitMs, retransmitCapMs, this.#controlTries))
    turn.transmit.push(this.#state === 'creating' ? this.#createSequence() : this.#ending())
    this.#sent(now)
  }
  #createSequence(): Outbound {
    const { expiresMs, offerOnRepeat, createMessageId } = this.#own
    // Peer Metro 4: a repeated Offer is refused as known, so that a repetition brings a new one; any of them may turn out to be the accepted one.
    if (this.#controlTries > 1 && offerOnRepeat === 'new' && this.#offers.length > 0) this.#offers.push(this.#own.mint())
    const offer = this.#offers.at(-1)
    return this.#outbound({
      kind: 'create-sequence', acksTo: addressOf(this.#own.endpoint), ...(expiresMs === undefined ? {} : { expiresMs }),
      ...(offer === undefined ? {} : { offer: { sequence: offer, ...(expiresMs === undefined ? {} : { expiresMs }) } }),
    }, { messageId: createMessageId })
  }
  #ending(): Outbound {
    const sequence = this.#sequence ?? ''
    // WS-RM 1.1 §3.5, §3.6: LastMsgNumber is the same in both, and absent where nothing was sent.
    const lastNumber = this.#last > 0 && this.#own.rm.hasCloseSequence ? { lastNumber: this.#last } : {}
    return this.#outbound(this.#state === 'closing' ? { kind: 'close-sequence', sequence, ...lastNumber } : { kind: 'terminate-sequence', sequence, ...lastNumber }, { messageId: this.#controlId })
  }

  // ── Sending, and asking again ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends what was never sent, in order, as far as the window goes. */
  #fill(now: number, turn: Turn): void {
    const to = this.#endpoint
    if (to === undefined || this.#sequence === undefined || !SENDING.has(this.#state)) return
    for (const entry of this.#rows) {
      if (!this.#hasWindow) return
      if (entry.tries === 0) this.#send(entry, to, now, turn)
    }
  }
  get #window(): number { return this.#own.window ?? this.#own.timing.window }
  get #hasWindow(): boolean {
    const window = this.#window
    return Math.max(this.#rows.underWay, this.#open) < Math.min(this.#pace ?? window, this.#suspected ? 1 : window)
  }
  #repeat(now: number, turn: Turn): void {
    const to = this.#endpoint
    if (to === undefined || this.#sequence === undefined || !SENDING.has(this.#state)) return
    let polled = false
    for (const entry of [...this.#rows]) {
      if (entry.waitsSince !== undefined) {
        if (now >= entry.waitsSince + this.#own.timing.silenceMs) {
          this.#loseReply(entry, turn)
          continue
        }
        if (!this.#isMailbox) continue
      }
      if (entry.tries === 0 || now < entry.nextAt) continue
      if (entry.row.shape === 'last' && entry.tries >= this.#own.timing.controlTries && this.#rows.size === 1) {
        // Peer Metro 4, RM 1.0: a LastMessage whose answer was lost is answered by faults. Everything else is acknowledged, so it may end.
        this.#settle(entry, 'lost', turn)
        continue
      }
      if (!polled && entry.row.shape === 'one-way' && !entry.asked) {
        // The acknowledgement may be all that is missing: ask for it before the body is sent again.
        polled = true
        turn.transmit.push(this.#outbound({ kind: 'ack-requested' }, { asks: true }))
        this.#sent(now)
      }
      if (polled && entry.row.shape === 'one-way' && !entry.asked) {
        entry.asked = true
        entry.nextAt = now + this.#own.timing.retransmitMs
        continue
      }
      this.#send(entry, to, now, turn)
      turn.settle.push({ kind: 'retransmitted', number: entry.row.number, tries: entry.tries })
    }
  }
  #send(entry: Entry, to: Place, now: number, turn: Turn): void {
    const { row } = entry
    this.#left = Math.max(this.#left, row.number)
    if (this.#left > this.#sentInHead) this.#sentInHead = Math.min(this.#last, this.#left + this.#window - 1)
    this.#rows.leaves(entry, now)
    const { exchangeMs } = this.#own.timing
    // Nobody tells how a back-channel ended; of our own exchanges we are told.
    entry.nextAt = now + Math.max(to.kind === 'endpoint' ? exchangeMs : 0, this.#pause(entry))
    if (this.#repliesCome && row.shape === 'request' && this.#acknowledged.has(row.number)) this.#waits(entry, now)
    const asks = (row.shape === 'one-way' && (this.#own.ackRequestedOnOneWay !== false || entry.tries > 1)) || (row.shape === 'reply' && to.kind === 'endpoint' && entry.tries > 1)
    if (asks || row.shape === 'last') entry.asked = true
    const body: OutboundBody = row.content === undefined || row.shape === 'last' ? { kind: 'last-message' } : { kind: 'application', content: row.content, shape: row.shape }
    turn.transmit.push(this.#outbound(body, { to, number: row.number, asks, messageId: row.content?.messageId, relatesTo: row.content?.relatesTo, last: row.shape === 'last' }))
    if (to.kind !== 'endpoint') return
    this.#open++
    this.#sent(now)
  }
  #outbound(body: OutboundBody, also: { to?: Place | undefined; messageId?: string | undefined; relatesTo?: string | undefined; number?: number; asks?: boolean; last?: boolean }): Outbound {
    const id = this.#sequence
    const replyTo = addressOf(this.#own.endpoint)
    return {
      lane: this.#own.lane, tokenId: this.#own.tokenId, to: also.to ?? { kind: 'endpoint', url: this.#own.url ?? '' }, body,
      ...(replyTo === 'anonymous' ? {} : { replyTo }),
      ...(also.messageId === undefined ? {} : { messageId: also.messageId }),
      ...(also.relatesTo === undefined ? {} : { relatesTo: also.relatesTo }),
      ...(also.number === undefined || id === undefined ? {} : { sequence: { id, number: also.number, ...(also.last ? { last: true } : {}) } }),
      acknowledgements: [], ackRequested: also.asks && id !== undefined ? [id] : [],
    }
  }
  /** The peer holds the request. */
  #waits(entry: Entry, now: number): void {
    if (entry.waitsSince !== undefined) return
    entry.waitsSince = now
    entry.nextAt = now + this.#pause(entry)
  }
  /** Until an entry is sent again; one whose reply is on its way in a mailbox is left more time, unless a later one has come. */
  #pause(entry: Entry, cap = this.#own.timing.retransmitCapMs): number {
    const isPatient = entry.waitsSince !== undefined && entry.row.number > this.#answered
    return backoff(this.#own.timing.retransmitMs, cap, isPatient ? entry.tries + 3 : entry.tries)
  }
  /** Peer Metro 4: a reply that was lost in the answer to a poll is given again only when its request is repeated. */
  get #isMailbox(): boolean { return this.#own.endpoint?.kind === 'make-connection' }
  get #connects(): boolean { return this.#own.url !== undefined }
  get #endpoint(): Place | undefined { return this.#own.url === undefined ? undefined : { kind: 'endpoint', url: this.#own.url } }
  get #quietMs(): number {
    const { inactivityMs, retransmitCapMs } = this.#own.timing
    return this.#rows.size === 0 ? inactivityMs / 2 : Math.min(retransmitCapMs, inactivityMs / 2)
  }
  /** Nothing goes out by itself, while the peer may be waiting for a sign of life: all that left waits for its reply, and what did not waits for room. */
  get #isQuiet(): boolean {
    return this.#own.role === 'initiator' && [...this.#rows].every(({ tries, waitsSince }) => waitsSince !== undefined || (tries === 0 && !this.#hasWindow))
  }

  // ── The peer is heard, or is silent ────────────────────────────────────────────────────────────────────────────────────────

  #heard(now: number): void {
    this.#waitingSince = undefined
    this.#suspected = false
    this.#quietSince = now
  }
  #sent(now: number): void {
    this.#waitingSince ??= now
    this.#quietSince = now
  }

  // ── The end, and what is lost by it ────────────────────────────────────────────────────────────────────────────────────────

  /** The peer accepts nothing more: what it does not hold is lost; replies may still be asked for. */
  #closedByPeer(now: number, turn: Turn): void {
    this.#state = 'closed'
    this.#lose([...this.#rows].filter((entry) => !this.#acknowledged.has(entry.row.number)), 'the peer closed the sequence', turn)
    // Where replies come by themselves, each is waited for in its own time.
    this.#waitingSince = this.#repliesCome ? undefined : now
  }
  #fail(outcome: Outcome, reason: string, now: number, turn: Turn): void {
    this.#lose([...this.#rows], reason, turn)
    this.#end(outcome, now)
  }
  #lose(entries: readonly Entry[], reason: string, turn: Turn): void {
    const held = entries.filter((entry) => entry.row.shape === 'request' && this.#acknowledged.has(entry.row.number))
    const doubted = entries.filter((entry) => !held.includes(entry) && (entry.row.shape === 'one-way' || entry.row.shape === 'request'))
    const failed = new DeliveryFailed('ERR_RM_DELIVERY', `${reason}; not acknowledged: ${listed(doubted)}`, { ...this.#name(), numbers: doubted.map((entry) => entry.row.number) })
    const lost = this.#replyLost(held.map((entry) => entry.row.number))
    for (const entry of entries) {
      const { number, shape } = entry.row
      if (shape === 'reply') {
        this.#drop(entry, turn)
      } else if (shape === 'last') this.#settle(entry, 'lost', turn)
      else {
        const isHeld = held.includes(entry)
        this.#settle(entry, isHeld ? 'reply-lost' : 'lost', turn)
        turn.settle.push({ kind: 'failed', number, error: isHeld ? lost : failed })
      }
    }
  }
  #end(outcome: Outcome, now: number): void {
    this.#state = 'ended'
    this.#outcome = outcome
    this.#endedAt = now
    this.#controlId = undefined
    this.#waitingSince = undefined
  }
  #purge(now: number, turn: Turn): void {
    if (this.#endedAt === undefined || now < this.#endedAt + this.#own.timing.tombstoneMs) return
    for (const number of this.#rows.clear()) this.#delete(number, turn)
  }
  #replyLost(numbers: readonly number[]): ReplyLost {
    return new ReplyLost('ERR_RM_REPLY_LOST', `the peer holds the request but gave no reply: ${numbers.slice(0, 16).join(', ')}`, { ...this.#name(), numbers })
  }
  #name(): { sequence?: string; tokenId: string } {
    return { ...(this.#sequence === undefined ? {} : { sequence: this.#sequence }), tokenId: this.#own.tokenId }
  }

  // ── Rows ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #put(row: SentRow, turn: Turn): void { turn.persist.push({ put: sentKey(this.#own.lane, row.number), value: encodeRow(row) }) }
  #delete(number: number, turn: Turn): void { turn.persist.push({ delete: sentKey(this.#own.lane, number) }) }
  #drop(entry: Entry, turn: Turn): void {
    this.#rows.drop(entry)
    this.#delete(entry.row.number, turn)
  }
  #settle(entry: Entry, settled: Settled, turn: Turn, reply?: StoredReply): void { this.#put(this.#rows.settle(entry, settled, reply), turn) }
  /** Replies without a number are never acknowledged: the oldest make room. */
  #trim(turn: Turn): void {
    if (this.#sequence !== undefined) return
    for (const entry of this.#rows) {
      if (this.#rows.size <= (this.#own.keptReplies ?? 1_024)) return
      this.#drop(entry, turn)
    }
  }
}

/** States in which one control message is under way, and which. */
const CONTROL: ReadonlyMap<SourceState, OutboundBody['kind']> = new Map<SourceState, OutboundBody['kind']>([['creating', 'create-sequence'], ['closing', 'close-sequence'], ['terminating', 'terminate-sequence']])
/** States in which messages leave. */
const SENDING: ReadonlySet<SourceState> = new Set(['open', 'full', 'draining', 'closed'])
const listed = (entries: readonly Entry[]): string => entries.slice(0, 16).map((entry) => entry.row.number).join(', ') || 'none'
