/**
 * An inbound request and its one answer.
 *
 * @module
 */
import type { ExchangeId, Outbound } from './turn.ts'

/** An inbound request until it is answered: the best of what its parts had to say is the one envelope that it gets. */
export class Exchange {
  readonly id: ExchangeId
  /** How long it may wait for a reply; absent: as the timing says. */
  readonly holdMs: number | undefined
  #open = 1
  #best: Outbound | undefined
  #isHeld = false
  #isDone = false
  readonly #respond: (answer: Outbound | 'accepted') => void
  constructor({ exchange, holdMs }: { readonly exchange: ExchangeId; readonly holdMs?: number | undefined }, respond: (answer: Outbound | 'accepted') => void) {
    this.id = exchange
    this.holdMs = holdMs
    this.#respond = respond
  }
  get isDone(): boolean { return this.#isDone }
  /** One more part of the message is to be worked on. */
  begin(): void { this.#open++ }
  end(): void {
    if (--this.#open <= 0 && !this.#isHeld) this.finish()
  }
  offer(outbound: Outbound): void {
    if (this.#best === undefined || RANK[outbound.body.kind] > RANK[this.#best.body.kind]) this.#best = outbound
  }
  hold(): void { this.#isHeld = true }
  finish(): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#respond(this.#best ?? 'accepted')
  }
}
/**
 * Which answer an exchange gets when its message has drawn several: what carries content, then what ends a wait, then what complains.
 * WS-RM 1.1 §3.2: a header that rides along and fails does not keep its carrier from being worked on, nor, here, from being answered.
 */
const RANK: Readonly<Record<Outbound['body']['kind'], number>> = {
  application: 6, 'create-sequence-response': 5, 'close-sequence-response': 5, 'terminate-sequence-response': 5, acknowledgement: 4, fault: 3,
  'create-sequence': 1, 'ack-requested': 1, 'close-sequence': 1, 'terminate-sequence': 1, 'last-message': 1, 'make-connection': 1,
}
