/**
 * How long and how often, for the machines and the engine. Each default with its reason; the machines are told the time, they never ask.
 *
 * @module
 */

export interface RmTiming {
  readonly retransmitMs: number
  readonly retransmitCapMs: number
  readonly exchangeMs: number
  readonly window: number
  readonly replyTries: number
  readonly controlTries: number
  readonly ackDelayMs: number
  readonly ackAskedMs: number
  readonly holdReplyMs: number
  readonly inactivityMs: number
  readonly silenceMs: number
  readonly pollMs: number
  readonly replyPollMs: number
  readonly tombstoneMs: number
  readonly leastTombstoneMs: number
  readonly redeliverMs: number
  readonly maxDeliveries: number
}
export const DEFAULT_TIMING: RmTiming = {
  /** First resend 2 s after the exchange ended without what was asked for, doubled each time: the middle of what peers do. */
  retransmitMs: 2_000,
  retransmitCapMs: 60_000,
  /** While its HTTP exchange is open nothing is lost yet; one that says nothing for so long is not waited for. */
  exchangeMs: 30_000,
  /** Messages under way at once: enough for a fast link, far below a peer's receive window. */
  window: 32,
  /** D25: so many acknowledgements of a repeated request without its reply, then ReplyLost. */
  replyTries: 5,
  /** Close and Terminate are asked so often; what they end is drained already, so nothing is lost by giving up. */
  controlTries: 8,
  /** Replies are acknowledged by the next request; an idle initiator says so by itself after this. */
  ackDelayMs: 1_000,
  /** Where an acknowledgement needs a connection of its own, whoever asks for it waits so long, as with .NET: several who ask get one. */
  ackAskedMs: 200,
  /** Below the 30 s after which proxies and clients commonly end an exchange. */
  holdReplyMs: 15_000,
  /** A Destination ends a sequence in which nothing was heard for 10 minutes, as .NET and Metro do; a Source that is idle asks twice as often. */
  inactivityMs: 600_000,
  /** A Source gives up a peer that says nothing for a day: an outage is waited for, what is lost then is named. */
  silenceMs: 24 * 60 * 60 * 1000,
  /** A mailbox is asked for the first time so long after something is awaited, then at twice the pause each time: a quick answer is had quickly. */
  pollMs: 250,
  /** The longest pause between two askings for the reply to a request that the peer is known to work on. */
  replyPollMs: 10_000,
  /** D23. */
  tombstoneMs: 24 * 60 * 60 * 1000,
  /** M14: where more have ended than can be remembered, an ended sequence is known for as long as a copy of its messages may be fresh: 5 minutes, and a minute for each clock. */
  leastTombstoneMs: 7 * 60 * 1000,
  /** A handler that threw is called again after this, doubled each time. */
  redeliverMs: 1_000,
  maxDeliveries: 5,
}
/** The wait after the `tries`-th attempt. */
export const backoff = (base: number, cap: number, tries: number): number => Math.min(cap, base * 2 ** Math.min(20, Math.max(0, tries - 1)))
