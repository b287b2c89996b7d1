/**
 * The service's own connections, for sequences whose initiator takes messages at an address: replies, acknowledgements and answers are posted
 * there, and what comes back goes the way of everything received. Only where the service's owner allows it; asked again at each connection,
 * since what is stored may be older than the permission.
 *
 * @module
 */
import { answered } from './answer.ts'
import type { Clock } from './clock.ts'
import type { Trust } from './crypto/certificate.ts'
import { SecurityFailure, TransportFailed, UsageError } from './errors.ts'
import type { Gate, OwnKeys } from './gate.ts'
import type { Limits } from './options.ts'
import type { Profile } from './profiles/profile.ts'
import type { LaneStatus, SequenceEngine } from './rm/engine.ts'
import type { Outbound } from './rm/turn.ts'
import { pause } from './sct/flight.ts'
import type { SctManager } from './sct/manager.ts'
import type { Principal, SecurityContextToken } from './sct/token.ts'
import type { DangerTap } from './tap.ts'
import { headerValue, soapHeaders } from './transport/http.ts'
import { createHttpClient, type HttpClient, type PostAnswer } from './transport/http-client.ts'
import { type Reach, type ReachOptions, reachOf } from './transport/reach.ts'
import { encode, type EncodeOptions } from './wire.ts'

/** Where a service may connect to: origins, or a function that is asked for each address, with whoever asks for it. */
export type AllowedAddresses = ReachOptions<Principal>['addresses']

export interface OutwardOptions {
  readonly addresses: AllowedAddresses | undefined
  readonly dangerPrivate: boolean | undefined
  readonly trust: Trust | undefined
  readonly profiles: readonly Profile[]
  readonly own: OwnKeys
  readonly limits: Limits
  readonly clock: Clock
  readonly tokens: SctManager
  readonly gate: Gate
  engine(): Pick<SequenceEngine<never>, 'status' | 'receive' | 'hint'>
  /** With the instance to write with, and everything else. */
  writing(profile: Profile, token: SecurityContextToken): EncodeOptions
  /** Something that was refused. */
  refused(code: string, detail: string): void
  readonly tap: DangerTap | undefined
  /** A number for the tap. */
  nextExchange(): number
}

export class Outward implements AsyncDisposable {
  readonly #own: OutwardOptions
  readonly #reach: Reach<Principal> | undefined
  readonly #http: HttpClient | undefined

  constructor(options: OutwardOptions) {
    this.#own = options
    const { addresses, dangerPrivate, limits, clock } = options
    if (addresses === undefined) return
    if (typeof addresses !== 'function' && !(Array.isArray(addresses) && addresses.every((each) => URL.canParse(String(each))))) {
      throw new UsageError('ERR_USAGE_ADDRESSES', 'addresses is a list of origins, as https://clients.example.com, or a function that says for a URL and a principal whether it may be connected to')
    }
    this.#reach = reachOf({ addresses, dangerPrivate })
    this.#http = createHttpClient({ limits, clock, connections: CONNECTIONS, lookup: this.#reach.lookup })
  }

  reaches(address: string, principal: Principal): boolean { return this.#reach?.allows(address, principal) === true }

  /** Sends one message and hands what comes back to the engine: words when they are proven, otherwise a hint. */
  async transmit(outbound: Outbound, signal: AbortSignal): Promise<void> {
    const engine = this.#own.engine()
    const lane = engine.status(outbound.lane)
    const token = await this.#own.tokens.get(outbound.tokenId)
    if (lane === undefined || token === undefined || outbound.to.kind !== 'endpoint') return
    const { url } = outbound.to
    if (this.#http === undefined || lane.principal === undefined || !this.reaches(url, lane.principal)) throw this.#refusal('the address of the sequence is not one that this service connects to')
    const profile = this.#profileOf(lane, token)
    const isUnderTls = profile.protection === 'transport'
    // D9: the transport profile is none without TLS.
    if (isUnderTls && !url.startsWith('https:')) throw this.#refusal('the address of a sequence in the transport profile is not under TLS')
    const writing = this.#own.writing(profile, token)
    // Whoever opens an exchange under TLS says by the token's signature whose it is.
    const { xml, action, soap } = encode(outbound, token, isUnderTls ? { ...writing, role: 'initiator' } : writing)
    if (profile.addressDelayMs > 0) await pause(this.#own.clock, profile.addressDelayMs, signal)
    const body = Buffer.from(xml, 'utf8')
    const headers = soapHeaders(soap.name, action)
    const exchange = this.#own.nextExchange()
    this.#own.tap?.message({ exchange, direction: 'request', at: this.#own.clock.now(), http: { method: 'POST', path: new URL(url).pathname, headers }, body })
    let answer: PostAnswer
    try {
      answer = await this.#http.post(url, { body, headers, signal, timeoutMs: TIMEOUT_MS, tls: { trust: this.#own.trust } })
    } catch (cause) {
      // Somebody else than whom TLS must prove: nothing was said to him.
      if (cause instanceof SecurityFailure) this.#own.refused(cause.code, cause.message)
      else if (!(cause instanceof TransportFailed)) throw cause
      engine.hint(outbound.lane, { kind: 'http-failure', cause }, outbound)
      return
    }
    const type = headerValue(answer.headers, 'content-type')
    this.#own.tap?.message({ exchange, direction: 'response', at: this.#own.clock.now(), http: { status: answer.status, headers: type === undefined ? {} : { 'content-type': type } }, body: answer.body })
    const { gate, limits, own } = this.#own
    await answered(outbound, answer, { gate, limits, profile, own, engine, refused: (code, detail) => this.#own.refused(code, detail) })
  }

  #refusal(why: string): TransportFailed {
    this.#own.refused('ERR_ADDRESS_REFUSED', why)
    return new TransportFailed('ERR_ADDRESS_REFUSED', why)
  }

  /** The alternative of the token's suite and of the sequence's protection, in the versions that it keeps for life. */
  #profileOf({ soap, addressing, rm, protection }: LaneStatus, token: SecurityContextToken): Profile {
    const { profiles } = this.#own
    const chosen = profiles.find((each) => each.suite === token.suite && (protection === undefined || each.protection === protection))
    if (chosen === undefined) throw new UsageError('ERR_USAGE_PROFILE', 'the service has no profile any more that the sequence could go on in')
    return { ...chosen, rm, sc: token.sc.name, ...(soap !== undefined && { soap }), ...(addressing !== undefined && { addressing }) }
  }

  async [Symbol.asyncDispose](): Promise<void> { await this.#http?.[Symbol.asyncDispose]() }
}

/** Choice: whoever has one made us connect to a place should not have us open many. */
const CONNECTIONS = 4
const TIMEOUT_MS = 30_000
