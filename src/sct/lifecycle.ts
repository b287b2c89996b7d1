/**
 * The machine of one security context token at its initiator: wanted, asked for, live, renewed, ended.
 * Knows no clock, no store, no key and no XML: it is told what happened and when, and answers what is to be done.
 *
 * @module
 */
import { UsageError } from '../errors.ts'

export type TokenState = 'absent' | 'requesting' | 'live' | 'renewing' | 'ended'
export interface Lifetime { readonly created: number; readonly expires: number }
export type TokenEvent =
  /** Somebody needs the token: `any` as it is, `fresh` only with a new key (the peer said RenewNeeded, or the user asks). */
  | { readonly kind: 'wanted'; readonly key: 'any' | 'fresh' }
  | { readonly kind: 'issued'; readonly lifetime: Lifetime }
  /** The request or the renewal under way failed, whatever the reason. */
  | { readonly kind: 'rejected' }
  | { readonly kind: 'renewed'; readonly lifetime: Lifetime }
  | { readonly kind: 'cancelled' }
  /** `inUse`: a sequence is bound to the token; without one it is not renewed by the clock, it lapses. */
  | { readonly kind: 'time'; readonly inUse: boolean }
export type TokenEventKind = TokenEvent['kind']

/** Where each event may lead; what is not listed does not happen. */
export const TOKEN_TABLE = {
  absent:     { wanted: ['requesting'], issued: ['live'], time: ['absent'] },
  requesting: { wanted: ['requesting'], issued: ['live'], rejected: ['ended'], time: ['requesting'] },
  live:       { wanted: ['live', 'renewing', 'ended'], cancelled: ['ended'], time: ['live', 'renewing', 'ended'] },
  renewing:   { wanted: ['renewing'], rejected: ['live', 'ended'], renewed: ['live'], cancelled: ['ended'], time: ['renewing'] },
  // What was under way when the token ended may still arrive.
  ended:      { rejected: ['ended'], renewed: ['ended'], cancelled: ['ended'], time: ['ended'] },
} as const
TOKEN_TABLE satisfies Record<TokenState, Partial<Record<TokenEventKind, readonly TokenState[]>>>

/**
 * What the outside does now: ask for a token, ask for a new key, give newcomers another token (this one goes on for those who are bound to it),
 * or take the token out of circulation.
 */
export interface TokenTurn { readonly act: 'request' | 'renew' | 'replace' | 'retire' | 'nothing'; /** The token may be given to whoever wanted it. */ readonly handOut: boolean }

export interface TokenTiming {
  /** How long a message may still be sent again: a key should live longer than that. */
  readonly retransmissionHorizonMs: number
  /** The renewal moment is moved later by up to this part of the lifetime, so that many clients do not come at once. */
  readonly jitter: number
}
/** 10 min: above the back-off sum of a message that is given up. 5 %: the renewal still falls before 0.65 of the lifetime. Choices. */
export const DEFAULT_TIMING: TokenTiming = { retransmissionHorizonMs: 600_000, jitter: 0.05 }

export interface TokenLifecycleOptions extends TokenTiming {
  /** From [0, 1): where in the jitter's range this token renews. */
  readonly chance: number
  /** False: the peer does not renew; a token near its end is replaced, and whoever is bound to it is told in time. */
  readonly canRenew: boolean
}

const NOTHING: TokenTurn = { act: 'nothing', handOut: false }
const HAND_OUT: TokenTurn = { act: 'nothing', handOut: true }
const RETIRE: TokenTurn = { act: 'retire', handOut: false }
const REPLACE: TokenTurn = { act: 'replace', handOut: false }

export class TokenLifecycle {
  #state: TokenState = 'absent'
  #lifetime: Lifetime = { created: 0, expires: 0 }
  #renewAt = 0
  #lastRenewal = Number.NEGATIVE_INFINITY
  /** The renewal moment came while nothing used the token. */
  #idle = false
  readonly #options: TokenLifecycleOptions

  constructor(options: TokenLifecycleOptions) { this.#options = options }

  get state(): TokenState { return this.#state }

  /** When `time` has something to do next; undefined: never by itself. */
  get wakeAt(): number | undefined {
    if (this.#state !== 'live') return undefined
    return this.#idle ? this.#lifetime.expires : Math.min(this.#renewAt, this.#lifetime.expires)
  }

  /** @throws {UsageError} the table has no such pair */
  handle(event: TokenEvent, now: number): TokenTurn {
    const row: Partial<Record<TokenEventKind, readonly TokenState[]>> = TOKEN_TABLE[this.#state]
    const allowed = row[event.kind]
    if (allowed === undefined) throw new UsageError('ERR_SCT_STATE', `token lifecycle: no event '${event.kind}' in state '${this.#state}'`)
    return this.#react(event, now)
  }

  #react(event: TokenEvent, now: number): TokenTurn {
    switch (event.kind) {
      case 'wanted': return this.#wanted(event.key, now)
      case 'issued': return this.#live(event.lifetime)
      case 'renewed': return this.#state === 'ended' ? NOTHING : this.#live(event.lifetime)
      case 'rejected': return this.#rejected(now)
      case 'cancelled': return this.#end()
      case 'time': return this.#time(event.inUse, now)
    }
  }

  #wanted(key: 'any' | 'fresh', now: number): TokenTurn {
    if (this.#state === 'absent') {
      this.#state = 'requesting'
      return { act: 'request', handOut: false }
    }
    if (this.#state === 'requesting') return NOTHING
    // While a renewal is under way the present key is good for those who do not insist, unless it is about to end.
    if (this.#state === 'renewing') return key === 'any' && !this.#nearEnd(now) ? HAND_OUT : NOTHING
    // Asked for by name: after the expiry too, the recipient may have a period of grace.
    if (key === 'fresh') return this.#options.canRenew ? this.#renew(now) : REPLACE
    if (now >= this.#lifetime.expires) return this.#end()
    if (!this.#nearEnd(now)) return HAND_OUT
    return this.#mayRenew(now) ? this.#renew(now) : REPLACE
  }

  #time(inUse: boolean, now: number): TokenTurn {
    if (this.#state !== 'live') return NOTHING
    if (now >= this.#lifetime.expires) return this.#end()
    if (now < this.#renewAt) return NOTHING
    this.#idle = !inUse
    if (!inUse) return NOTHING
    if (this.#mayRenew(now)) return this.#renew(now)
    if (this.#options.canRenew) return NOTHING
    // Said again as often as a renewal would be tried: those who are bound to it may not have managed to leave.
    this.#renewAt = now + this.#span / 4
    return REPLACE
  }

  #rejected(now: number): TokenTurn {
    if (this.#state !== 'renewing') return this.#end()
    if (now >= this.#lifetime.expires) return this.#end()
    this.#state = 'live'
    // D23: at most once per quarter of the lifetime.
    this.#renewAt = this.#lastRenewal + this.#span / 4
    return NOTHING
  }

  #live(lifetime: Lifetime): TokenTurn {
    this.#state = 'live'
    this.#idle = false
    this.#lifetime = lifetime
    this.#renewAt = renewalMoment(lifetime, this.#options)
    return NOTHING
  }

  #renew(now: number): TokenTurn {
    this.#state = 'renewing'
    this.#lastRenewal = now
    return { act: 'renew', handOut: false }
  }

  #end(): TokenTurn {
    const had = this.#state === 'live' || this.#state === 'renewing'
    this.#state = 'ended'
    return had ? RETIRE : NOTHING
  }

  get #span(): number { return this.#lifetime.expires - this.#lifetime.created }
  #mayRenew(now: number): boolean { return this.#options.canRenew && now >= this.#lastRenewal + this.#span / 4 }
  /** Too close to its end to start something new with it; a quarter of a short lifetime at most. */
  #nearEnd(now: number): boolean { return now >= this.#lifetime.expires - Math.min(this.#options.retransmissionHorizonMs, this.#span / 4) }
}

/** D23: max(lifetime / 2, min(0.6 lifetime, lifetime - retransmission horizon)), and jitter on top. */
export function renewalMoment(lifetime: Lifetime, options: TokenLifecycleOptions): number {
  const span = lifetime.expires - lifetime.created
  const after = Math.max(span / 2, Math.min(0.6 * span, span - options.retransmissionHorizonMs))
  return Math.ceil(lifetime.created + after + options.chance * options.jitter * span)
}
