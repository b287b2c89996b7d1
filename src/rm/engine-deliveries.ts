/**
 * Deliveries to the application: one at a time for each lane, in order, again when the handler throws, and given up in the end. A message is done
 * with when the commit that consumes it is durable, with whatever effect the application has in it.
 *
 * @module
 */
import { DeliveryFailed } from '../errors.ts'
import type { Alarm } from './engine-alarm.ts'
import type { Later, Shell } from './engine-shell.ts'
import { asError, type DeliveryOutcome, type EngineOptions } from './engine-words.ts'
import { backoff } from './timing.ts'
import type { Delivery } from './turn.ts'

type Given<Tx> = Pick<EngineOptions<Tx>, 'deliver' | 'undeliverable' | 'observe' | 'clock' | 'timing'>

export class Deliveries<Tx> {
  readonly #own: Given<Tx>
  readonly #signal: AbortSignal
  readonly #alarm: Alarm<Tx>
  readonly #later: Later<Tx>
  constructor(options: Given<Tx>, signal: AbortSignal, alarm: Alarm<Tx>, later: Later<Tx>) {
    this.#own = options
    this.#signal = signal
    this.#alarm = alarm
    this.#later = later
  }

  /** Hands over the next message of the lane, when there is one and none is being worked on. To be called behind a commit: what is delivered must be durable. */
  next(shell: Shell<Tx>): void {
    const { lane } = shell
    if (lane === undefined || lane.facts.role !== 'responder' || shell.delivering !== undefined || this.#signal.aborted) return
    if (shell.redeliverAt > this.#own.clock.now()) return
    const delivery = lane.destination.next()
    if (delivery === undefined) {
      shell.redeliverAt = 0
      return
    }
    // The tries are counted for one message; it may have been consumed after all.
    if (shell.undelivered !== delivery.number) shell.deliveryTries = 0
    shell.delivering = delivery.number
    if (shell.deliveryTries >= this.#own.timing.maxDeliveries) return this.#bury(shell, delivery)
    Promise.resolve().then(() => this.#own.deliver(delivery, this.#signal)).then(
      (outcome) => this.#delivered(shell, delivery, outcome ?? {}),
      (error: unknown) => {
        if (this.#signal.aborted) return
        this.failed(shell, delivery.number, error)
        this.#alarm.set()
      },
    )
  }
  /** The message is consumed, and that is durable. */
  consumed(shell: Shell<Tx>, number: number): void {
    if (shell.delivering === number) shell.delivering = undefined
    shell.deliveryTries = 0
    shell.redeliverAt = 0
    this.#own.observe?.({ kind: 'delivered', lane: shell.facts.lane, number })
  }
  /** The handler, or its effect, came to nothing: the message is delivered again after a while. */
  failed(shell: Shell<Tx>, number: number, error: unknown): void {
    shell.delivering = undefined
    shell.undelivered = number
    shell.deliveryTries++
    shell.deliveryError = error
    shell.redeliverAt = this.#own.clock.now() + backoff(this.#own.timing.redeliverMs, this.#own.timing.retransmitCapMs, shell.deliveryTries)
    this.#own.observe?.({ kind: 'error', error: asError(error), lane: shell.facts.lane })
  }

  /** A dead letter: it is consumed, and whoever asked is told. */
  #bury(shell: Shell<Tx>, delivery: Delivery): void {
    this.#own.observe?.({ kind: 'error', error: new DeliveryFailed('ERR_RM_DEAD_LETTER', `message ${delivery.number} was given up after ${shell.deliveryTries} deliveries`, { sequence: delivery.sequence, numbers: [delivery.number], cause: shell.deliveryError }), lane: shell.facts.lane })
    const reply = delivery.received.shape === 'request' ? this.#own.undeliverable?.(delivery, shell.deliveryError) : undefined
    this.#delivered(shell, delivery, reply === undefined ? {} : { reply })
  }
  #delivered(shell: Shell<Tx>, delivery: Delivery, outcome: DeliveryOutcome<Tx>): void {
    if (!this.#signal.aborted) this.#later(shell, { kind: 'consumed', number: delivery.number, reply: outcome.reply }, outcome.work)
  }
}
