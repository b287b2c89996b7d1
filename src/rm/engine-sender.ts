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
    Promise.resolve().then(() => this.#own.transmit(outbound, this.#signal)).then(
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

/** A consumed request is answered on the exchange that waits for it now, not on the one that waited when its delivery began. */
export function withHeld<Tx>(shell: Shell<Tx>, event: LaneEvent): LaneEvent {
  if (event.kind !== 'consumed') return event
  const held = shell.holds.get(event.number)
  return held === undefined || held.exchange.isDone ? event : { ...event, to: held.hold.to }
}
