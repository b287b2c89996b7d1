/**
 * What leaves: into a connection of its own, or onto the back-channel of an inbound request, of which each gets one answer. And the requests that
 * are held until their reply is there.
 *
 * @module
 */
import { TransportFailed, UsageError } from '../errors.ts'
import { Exchange } from './engine-exchange.ts'
import type { Lanes } from './engine-lanes.ts'
import { aboutOf } from './engine-scope.ts'
import type { Later, Shell } from './engine-shell.ts'
import { asError, type EngineOptions, type Via } from './engine-words.ts'
import type { Hold, LaneEvent } from './lane.ts'
import type { ExchangeId, Hint, Outbound } from './turn.ts'

type Given<Tx> = Pick<EngineOptions<Tx>, 'transmit' | 'respond' | 'observe' | 'clock' | 'timing'>

export class Sender<Tx> {
  readonly #own: Given<Tx>
  readonly #lanes: Lanes<Tx>
  readonly #signal: AbortSignal
  readonly #later: Later<Tx>
  readonly #exchanges = new Map<ExchangeId, Exchange>()
  /** Answers that are under way to an address, and since when. */
  readonly #answering = new Map<string, number>()
  constructor(options: Given<Tx>, lanes: Lanes<Tx>, signal: AbortSignal, later: Later<Tx>) {
    this.#own = options
    this.#lanes = lanes
    this.#signal = signal
    this.#later = later
  }

  send(shell: Shell<Tx>, outbound: Outbound): void {
    if (outbound.to.kind === 'exchange') return this.#answer(shell, outbound, outbound.to.exchange)
    const about = aboutOf(outbound)
    const over = (hint: Hint | { readonly kind: 'exchange-over' }): void => {
      if (!this.#signal.aborted && this.#lanes.has(shell.facts.lane)) this.#later(shell, { kind: 'hint', hint, about })
    }
    // A lane at rest sends nothing; what it would have sent is due again when it is taken up.
    if (shell.isDetached) return over({ kind: 'exchange-over' })
    const answer = answerOf(outbound)
    const now = this.#own.clock.now()
    if (answer !== undefined) {
      // A copy of a question costs whoever sends it nothing, not even the token. Its answer is not posted beside itself: the peer gets the one that is under
      // way, or asks again. After the usual wait it has another one all the same: the first may be on a connection that broke without a sign.
      if (now < (this.#answering.get(answer) ?? -Infinity) + this.#own.timing.retransmitMs) return
      this.#answering.set(answer, now)
    }
    Promise.resolve().then(() => this.#own.transmit(outbound, this.#signal)).finally(() => {
      if (answer !== undefined && this.#answering.get(answer) === now) this.#answering.delete(answer)
    }).then(
      () => over({ kind: 'exchange-over' }),
      (cause: unknown) => {
        // That a peer is not reached is nothing special. Everything else is a mistake of somebody's here, and would only be seen as silence.
        if (!(cause instanceof TransportFailed) && !this.#signal.aborted) this.#own.observe?.({ kind: 'error', error: asError(cause), lane: shell.facts.lane })
        over({ kind: 'http-failure', cause })
        over({ kind: 'exchange-over' })
      },
    )
  }

  /** An inbound request, until it is answered. */
  open(via: Via & { kind: 'exchange' }): Exchange {
    const { exchange: id } = via
    if (this.#exchanges.has(id)) throw new UsageError('ERR_EXCHANGE_TWICE', 'the exchange was given before')
    const exchange = new Exchange(via, (answer) => {
      this.#exchanges.delete(id)
      try {
        this.#own.respond(id, answer)
      } catch (error) {
        this.#own.observe?.({ kind: 'error', error: asError(error) })
      }
    })
    this.#exchanges.set(id, exchange)
    return exchange
  }
  /**
   * The exchange of a request waits for the reply. As long as it does, copies of the request are answered with nothing: peer CXF 4 takes a reply on the
   * exchange of its first try alone.
   */
  hold(shell: Shell<Tx>, hold: Hold): void {
    const exchange = this.#exchanges.get(hold.to.exchange)
    if (exchange === undefined || exchange.isDone || shell.holds.get(hold.number)?.exchange.isDone === false) return
    exchange.hold()
    shell.holds.set(hold.number, { exchange, hold, until: this.#own.clock.now() + (exchange.holdMs ?? this.#own.timing.holdReplyMs) })
  }
  /** Nobody is there any more to take its answer. */
  gone(id: ExchangeId): void { this.#exchanges.get(id)?.finish() }
  #answer(shell: Shell<Tx>, outbound: Outbound, id: ExchangeId): void {
    this.#exchanges.get(id)?.offer(outbound)
    for (const [number, held] of shell.holds) {
      if (held.exchange.id !== id) continue
      shell.holds.delete(number)
      held.exchange.finish()
    }
  }
  /** Every request is answered. */
  close(): void {
    for (const exchange of [...this.#exchanges.values()]) exchange.finish()
  }
}

/** What an answer to an address says, of which sequence: equal for those that may stand for each other. Messages and acknowledgements go by the time of Source and Destination. */
function answerOf({ lane, to, body }: Outbound): string | undefined {
  if (to.kind !== 'endpoint') return undefined
  switch (body.kind) {
    case 'create-sequence-response': case 'close-sequence-response': case 'terminate-sequence-response': return JSON.stringify([lane, body.kind, body.sequence])
    case 'fault': return JSON.stringify([lane, body.fault.name, body.sequence])
    default: return undefined
  }
}

/** A consumed request is answered on the exchange that waits for it now, not on the one that waited when its delivery began. */
export function withHeld<Tx>(shell: Shell<Tx>, event: LaneEvent): LaneEvent {
  if (event.kind !== 'consumed') return event
  const held = shell.holds.get(event.number)
  return held === undefined || held.exchange.isDone ? event : { ...event, to: held.hold.to }
}
