/**
 * POST of one message and its answer, over kept connections (undici Pool). Answers are capped, not decompressed and not followed elsewhere.
 *
 * @module
 */
import type { LookupFunction } from 'node:net'
import { Pool } from 'undici'
import { systemClock, type Clock } from '../clock.ts'
import { TransportFailed, UsageError, WsrmError } from '../errors.ts'
import type { Limits } from '../options.ts'
import { headerValue, HttpRefused, isIdentity, readBody, soapMediaType, type HttpHeaders } from './http.ts'
import { type ClientTls, tlsConnector, tlsName } from './tls.ts'

/** What is needed of undici's Dispatcher (Agent, Pool, ProxyAgent, …): with one of their own, callers choose TLS, client certificate and proxy. */
export interface HttpDispatcher { request(options: DispatcherRequest): Promise<DispatcherResponse> }
export interface DispatcherRequest {
  readonly origin: string
  readonly path: string
  readonly method: 'POST'
  readonly headers: Record<string, string>
  readonly body: Uint8Array
  readonly signal: AbortSignal
  readonly headersTimeout: number
  readonly bodyTimeout: number
}
export interface DispatcherResponse {
  readonly statusCode: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: AsyncIterable<Uint8Array> & { destroy(): unknown; on?(event: 'error', listener: () => void): unknown }
}

export interface HttpClientOptions {
  readonly dispatcher?: HttpDispatcher
  readonly limits: Pick<Limits, 'messageBytes'>
  readonly clock?: Clock
  /** Connections to one origin: above the window of one conversation they only wait for each other. */
  readonly connections?: number
  /** How names are resolved; default: as the system does. */
  readonly lookup?: LookupFunction
}
export interface PostOptions {
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
  /** For https. A dispatcher that was given has its own, so that whoever gives one must not rely on this. */
  readonly tls?: ClientTls | undefined
  /** For everything, from connecting to the last byte of the answer. */
  readonly timeoutMs?: number
}
export interface PostAnswer {
  readonly status: number
  readonly headers: HttpHeaders
  /** Empty for an answer without a message (202, 204, or an empty error). */
  readonly body: Uint8Array
  /** The SOAP version that the Content-Type names; undefined for an empty body. */
  readonly soap: '1.1' | '1.2' | undefined
}
export interface HttpClient extends AsyncDisposable {
  /** @throws {TransportFailed} no answer, or one that is no SOAP message; `retryable` says whether asking again can help */
  post(url: string, options: PostOptions): Promise<PostAnswer>
}

/** A minute: a peer may hold the answer to a request back while its application works. Choice. */
const TIMEOUT_MS = 60_000
/** Choice; more than messages are under way at once, since a peer may hold the answers of all until one that was lost is there. They are opened as they are needed. */
const CONNECTIONS = 48
/** Origins whose connections are kept at a time; the one used longest ago goes first. */
const MOST_ORIGINS = 64

export function createHttpClient(options: HttpClientOptions): HttpClient {
  return new PooledClient(options)
}

class PooledClient implements HttpClient {
  readonly #options: HttpClientOptions
  readonly #pools = new Map<string, Pool>()
  readonly #closing = new AbortController()

  constructor(options: HttpClientOptions) { this.#options = options }

  async post(url: string, options: PostOptions): Promise<PostAnswer> {
    const { origin, pathname, search } = httpUrl(url)
    options.signal?.throwIfAborted()
    this.#closing.signal.throwIfAborted()
    const clock = this.#options.clock ?? systemClock
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    const deadline = new AbortController()
    const cancelAlarm = clock.alarm(clock.now() + timeoutMs, () => deadline.abort(new TransportFailed('ERR_HTTP_TIMEOUT', `no whole answer within ${timeoutMs} ms`, { retryable: true })))
    const signal = AbortSignal.any([deadline.signal, this.#closing.signal, ...options.signal === undefined ? [] : [options.signal]])
    try {
      const dispatcher = this.#options.dispatcher ?? this.#pool(origin, options.tls)
      const response = await dispatcher.request({
        origin, path: pathname + search, method: 'POST', body: options.body, signal, headersTimeout: timeoutMs, bodyTimeout: timeoutMs,
        headers: { ...options.headers, 'accept-encoding': 'identity' },
      })
      return await this.#read(response)
    } catch (error) {
      options.signal?.throwIfAborted()
      if (signal.aborted) throw signal.reason
      throw error instanceof WsrmError ? error : new TransportFailed('ERR_HTTP_FAILED', `the connection to ${origin} failed${reasonOf(error)}`, { retryable: true, cause: error })
    } finally {
      cancelAlarm()
    }
  }

  /** The answer under the cap; whatever is not read is cut off, so that it costs nothing more. */
  async #read({ statusCode: status, headers, body }: DispatcherResponse): Promise<PostAnswer> {
    try {
      refuseForeign(status, headers)
      const most = this.#options.limits.messageBytes
      const announced = Number(headerValue(headers, 'content-length') ?? 0)
      if (announced > most) throw tooLong(most)
      const media = soapMediaType(headerValue(headers, 'content-type'))
      const bytes = await readBody(body, media === undefined ? 0 : most).catch((error: unknown) => {
        throw error instanceof HttpRefused ? media === undefined ? notSoap(status) : tooLong(most) : error
      })
      return { status, headers, body: bytes, soap: bytes.length === 0 ? undefined : media?.soap }
    } catch (error) {
      // What is cut off says so by an event, which would end the process if nobody heard it.
      body.on?.('error', () => {})
      body.destroy()
      throw error
    }
  }

  #pool(origin: string, tls: ClientTls | undefined): Pool {
    // No two who show or ask for different certificates share a connection.
    const name = tls === undefined ? origin : `${origin} ${tlsName(tls)}`
    const known = this.#pools.get(name)
    // Last in the Map: used last.
    if (known !== undefined) this.#pools.delete(name)
    const pool = known ?? new Pool(origin, { connections: this.#options.connections ?? CONNECTIONS, pipelining: 1, ...this.#connect(tls) })
    this.#pools.set(name, pool)
    const [oldest] = this.#pools
    if (this.#pools.size > MOST_ORIGINS && oldest !== undefined) {
      this.#pools.delete(oldest[0])
      // What is under way on it ends by itself.
      oldest[1].close().catch(() => {})
    }
    return pool
  }

  #connect(tls: ClientTls | undefined): { readonly connect?: ReturnType<typeof tlsConnector> | { readonly lookup: HttpClientOptions['lookup'] } } {
    const { lookup, clock = systemClock } = this.#options
    if (tls !== undefined) return { connect: tlsConnector(tls, clock, lookup) }
    return lookup === undefined ? {} : { connect: { lookup } }
  }

  /** Ends what is under way and closes the connections that were made here; a dispatcher that was given is its owner's to close. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new TransportFailed('ERR_HTTP_CLOSED', 'the client was closed'))
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    await Promise.all(pools.map((pool) => pool.destroy()))
  }
}

function refuseForeign(status: number, headers: HttpHeaders): void {
  // A redirect is an answer of somebody who is not the endpoint that the token belongs to: it is not followed.
  if (status >= 300 && status < 400) throw new TransportFailed('ERR_HTTP_REDIRECT', `the answer is a redirect (status ${status}), which is not followed`)
  if (!isIdentity(headers)) throw new TransportFailed('ERR_HTTP_ENCODING', 'the answer is compressed, though that was not asked for')
}
const tooLong = (most: number): TransportFailed => new TransportFailed('ERR_HTTP_TOO_LARGE', `the answer has more than ${most} bytes`)
const notSoap = (status: number): TransportFailed =>
  new TransportFailed('ERR_HTTP_CONTENT_TYPE', `the answer (status ${status}) is no SOAP message`, { retryable: status >= 500 || status === 408 || status === 429 })

/** Why, by the code that Node or undici gives: ECONNREFUSED, ENOTFOUND, UND_ERR_SOCKET and the like. */
function reasonOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? ` (${code})` : ''
}

function httpUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')) throw new UsageError('ERR_URL', 'an endpoint is an http or https URL')
  if (parsed.username !== '' || parsed.password !== '') throw new UsageError('ERR_URL', 'an endpoint has no user name or password in its URL')
  return parsed
}
