/**
 * Going on when the peer has lost the context, or gives it no new key: another token, authenticated by its own answer, and a new sequence under
 * it. Who said so may be anybody (D9), so what is done is safe whoever it was: nothing leaves unprotected, nothing is sent twice, and a token is
 * asked for at ever longer intervals.
 *
 * @module
 */
import type { Clock } from './clock.ts'
import { WsrmError } from './errors.ts'
import type { Wait } from './options.ts'
import type { MoveReport, SequenceEngine } from './rm/engine.ts'
import { backoff } from './rm/timing.ts'
import type { LaneId, ReceivedFault } from './rm/turn.ts'
import { pause } from './sct/flight.ts'
import { type PeerKey, peerName, type SctManager } from './sct/manager.ts'
import type { TokenId } from './sct/token.ts'
import { NS, SC_VERSIONS, TRUST_VERSIONS } from './spec/versions.ts'

/** A conversation that is open here: what of it may be moved, and to whom. */
export interface Bound {
  readonly lane: LaneId
  readonly peer: PeerKey
  /** False: what is lost is reported and left. */
  readonly resumes: boolean
  readonly doubtful: 'stay' | 'move'
  /** @throws the token was had from somebody whom this conversation does not trust */
  mustTrust(token: TokenId): Promise<void>
  report(error: unknown): void
}
export interface RecoveryOptions {
  readonly tokens: SctManager
  readonly engine: SequenceEngine
  readonly clock: Clock
  bound(lane: LaneId): Bound | undefined
  boundTo(token: TokenId): readonly Bound[]
}

/** The first at once, the next 5 s later, then twice as long each time: a peer that restarts is found soon, and who forges gains little. */
const PACE_MS = 5_000
const PACE_CAP_MS = 300_000
/** After so long without one the next is the first again. */
const CALM_MS = 600_000
/** For Close and Terminate under a token that is about to end. */
const CLOSE_MS = 10_000
const ENDING: ReadonlySet<string> = new Set(['closing', 'terminating', 'ended'])

export class Recovery {
  readonly #options: RecoveryOptions
  readonly #pacer: Pacer
  readonly #closed = new AbortController()
  /** Lanes that are on their way already. */
  readonly #under = new Set<LaneId>()
  /** One request for all who left the same token. */
  readonly #asked = new Map<TokenId, Promise<TokenId>>()

  constructor(options: RecoveryOptions) {
    this.#options = options
    this.#pacer = new Pacer(options.clock)
    const { tokens } = options
    tokens.on('expired', ({ tokenId }) => { for (const { lane } of options.boundTo(tokenId)) this.stranded(lane, 'expired') })
    tokens.on('ending', ({ tokenId }) => this.#ending(tokenId))
    // What may succeed the next time is tried again by the token's own clock; a refusal will be one again.
    tokens.on('notRenewed', ({ tokenId, error }) => { if (!(error instanceof WsrmError && error.retryable)) this.#ending(tokenId) })
  }

  /** The lane cannot go on as it is. */
  stranded(lane: LaneId, why: 'lost' | 'expired' | 'sequence'): void {
    this.#once(lane, (bound) => this.#goOn(bound, why), (error) => this.#options.engine.suspend(lane, asError(error)))
  }

  /** On demand: under the token that there is, or another one when it is lost or over. */
  async resume(bound: Bound, wait: Wait): Promise<MoveReport> {
    const { tokens, engine } = this.#options
    const { lane, peer } = bound
    const tokenId = this.#tokenOf(lane)
    const isGood = !engine.isDoubted(lane) && (await tokens.get(tokenId)) !== undefined
    return this.#moved(bound, isGood && isShared(peer) ? tokenId : await tokens.instead(peer, tokenId, wait), isGood ? 'close' : 'leave')
  }

  close(): void { this.#closed.abort(new Error('the client was closed')) }

  async #goOn(bound: Bound, why: 'lost' | 'expired' | 'sequence'): Promise<void> {
    const { engine } = this.#options
    const tokenId = this.#tokenOf(bound.lane)
    if (why === 'sequence') {
      // The token is good: the peer has just used it. A peer that loses every sequence is not given one after the other in haste.
      await this.#pacer.turn(`sequence ${peerName(bound.peer)}`, this.#closed.signal)
      await this.#moved(bound, isShared(bound.peer) ? tokenId : await this.#instead(bound.peer, tokenId), 'leave')
      return
    }
    if (why === 'expired') {
      const refused = await this.#renew(tokenId)
      if (refused === undefined) return
      if (!bound.resumes) throw refused.error
    }
    const token = await this.#instead(bound.peer, tokenId)
    // Something that is proven may have come meanwhile: then the peer knows the old one after all.
    if (why === 'lost' && !engine.isDoubted(bound.lane)) return
    await this.#moved(bound, token, 'leave')
  }
  async #renew(tokenId: TokenId): Promise<{ readonly error: unknown } | undefined> {
    await this.#pacer.turn(`renew ${tokenId}`, this.#closed.signal)
    try {
      await this.#options.tokens.renew(tokenId, { signal: this.#closed.signal })
      return undefined
    } catch (error) {
      this.#closed.signal.throwIfAborted()
      return { error }
    }
  }

  /** The token will end, and no new key is to be had: what was sent comes to its end under it, what comes then goes on under another. */
  #ending(tokenId: TokenId): void {
    const { engine } = this.#options
    for (const { lane, resumes } of this.#options.boundTo(tokenId)) {
      if (!resumes) continue
      this.#once(lane, (bound) => this.#replace(bound, tokenId), (error, bound) => {
        engine.hurry(lane)
        bound.report(error)
      })
    }
  }
  async #replace(bound: Bound, tokenId: TokenId): Promise<void> {
    const { tokens, engine, clock } = this.#options
    const token = await this.#instead(bound.peer, tokenId)
    const { expires } = await tokens.status(tokenId) ?? { expires: 0 }
    await engine.quiet(bound.lane, { signal: this.#closed.signal, timeoutMs: Math.max(0, expires - CLOSE_MS - clock.now()) })
    await this.#moved(bound, token, 'close')
  }

  async #moved(bound: Bound, token: TokenId, behind: 'leave' | 'close'): Promise<MoveReport> {
    const { tokens, engine } = this.#options
    // In use before anything else is waited for: somebody else's conversation may end and cancel it.
    const use = tokens.use(token, bound.lane)
    try {
      await bound.mustTrust(token)
      return await engine.move(bound.lane, { token, doubtful: bound.doubtful, behind })
    } finally {
      use[Symbol.dispose]()
    }
  }

  #instead(peer: PeerKey, than: TokenId): Promise<TokenId> {
    const under = this.#asked.get(than)
    if (under !== undefined) return under
    const asked = this.#ask(peer, than).finally(() => this.#asked.delete(than))
    this.#asked.set(than, asked)
    return asked
  }
  async #ask(peer: PeerKey, than: TokenId): Promise<TokenId> {
    const { tokens } = this.#options
    const newest = tokens.newest(peer)
    if (newest === undefined || newest === than) await this.#pacer.turn(peerName(peer), this.#closed.signal)
    return tokens.instead(peer, than, { signal: this.#closed.signal })
  }

  #tokenOf(lane: LaneId): TokenId {
    const status = this.#options.engine.status(lane)
    if (status === undefined) throw new TypeError('the lane is there as long as its conversation is open')
    return status.tokenId
  }
  #once(lane: LaneId, work: (bound: Bound) => Promise<void>, failed: (error: unknown, bound: Bound) => void): void {
    const bound = this.#options.bound(lane)
    if (bound === undefined || this.#under.has(lane) || this.#closed.signal.aborted) return
    // Everything in it is acknowledged: it ends by itself.
    if (ENDING.has(this.#options.engine.status(lane)?.state ?? '')) return
    this.#under.add(lane)
    work(bound).catch((error: unknown) => {
      // The conversation may have been closed or detached meanwhile.
      if (!this.#closed.signal.aborted && this.#options.bound(lane) !== undefined) failed(error, bound)
    }).finally(() => this.#under.delete(lane))
  }
}

/** Peer WCF: under a token that is for one conversation there was one sequence pair; another one, also of the same conversation, takes another token. */
const isShared = ({ conversation }: PeerKey): boolean => conversation === undefined

/** Lets one through at a time, at ever longer intervals. */
class Pacer {
  readonly #clock: Clock
  readonly #last = new Map<string, { readonly at: number; readonly tries: number }>()
  constructor(clock: Clock) { this.#clock = clock }

  async turn(key: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const now = this.#clock.now()
    // What is calm again begins anew.
    for (const [name, { at }] of this.#last) if (now - at >= CALM_MS) this.#last.delete(name)
    const last = this.#last.get(key)
    const at = last === undefined ? now : Math.max(now, last.at + backoff(PACE_MS, PACE_CAP_MS, last.tries))
    this.#last.set(key, { at, tries: (last?.tries ?? 0) + 1 })
    if (at > now) await pause(this.#clock, at - now, signal)
  }
}

/** What a fault says of the context that the message was under, by the codes that the peer is known for; undefined: nothing. It may be anybody's word. */
export function hintedContext({ code, subcode = code }: ReceivedFault, contextLost: readonly string[]): 'lost' | 'expired' | undefined {
  const local = subcode.slice(subcode.lastIndexOf('}') + 1)
  if (local === 'RenewNeeded') return 'expired'
  return contextLost.some((each) => each === subcode || each === local) ? 'lost' : undefined
}
/** The same of a fault that came under the context itself: WS-SC 1.3 §9, and RenewNeeded of WS-Trust; of either dialect, as peers mix them. */
export function saidContext({ subcode = '' }: ReceivedFault): 'lost' | 'expired' | undefined {
  const [ns = '', local = ''] = subcode.slice(1).split('}')
  if (!SC_VERSIONS.has(ns) && !TRUST_VERSIONS.has(ns)) return undefined
  return local === 'RenewNeeded' ? 'expired' : local === 'BadContextToken' || local === 'UnsupportedContextToken' ? 'lost' : undefined
}
/** WSS 1.1 §12: it is about the protection of one copy of a message, and not about the message. */
export const isOfProtection = ({ subcode = '' }: ReceivedFault): boolean => [NS.wsse, NS.wsu].some((ns) => subcode.startsWith(`{${ns}}`))
const asError = (error: unknown): Error => error instanceof Error ? error : new Error(String(error))
