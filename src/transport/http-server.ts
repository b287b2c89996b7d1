/**
 * node:http (or https) around a framework-neutral `handle`: POST at one path, bodies read whole under a cap and a deadline.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { SecureContextOptions, TLSSocket } from 'node:tls'
import { systemClock, type Clock } from '../clock.ts'
import { UsageError } from '../errors.ts'
import type { Limits } from '../options.ts'
import { headerValue, HttpRefused, isIdentity, readBody, tooLarge, type HttpRequest, type HttpResponse, type Wait } from './http.ts'

export type Handle = (request: HttpRequest, wait?: Wait) => Promise<HttpResponse>

export interface ServerLimits {
  /** From the first byte to the end of the header. */
  readonly headersTimeoutMs: number
  /** For the whole request; with the cap of the body this is also the least speed. */
  readonly requestTimeoutMs: number
  readonly keepAliveMs: number
  readonly connections: number
  /** How long a closing server waits for requests that it has begun to answer. */
  readonly drainMs: number
}
/** Header 10 s, body 30 s (security sheet H1); 5 s idle, as Node; connections: a file descriptor each. Choices where the sheet is silent. */
export const DEFAULT_SERVER_LIMITS: ServerLimits = { headersTimeoutMs: 10_000, requestTimeoutMs: 30_000, keepAliveMs: 5_000, connections: 4_096, drainMs: 10_000 }

interface ListenCommon { /** Where messages are taken; absent: at every path. */ readonly path?: string; readonly clock?: Clock; readonly timeouts?: Partial<ServerLimits> }
export type ListenOptions =
  /** A server of our own. `requestCert`: ask clients for a certificate; whether it is trusted the service decides. */
  | ListenCommon & { readonly port: number; readonly host?: string; readonly tls?: SecureContextOptions & { readonly requestCert?: boolean } }
  /** The caller's server, which stays his: we neither open nor close it. Requests for other paths are left to its other listeners. */
  | ListenCommon & { readonly server: Server | TlsServer }

export interface Listening extends AsyncDisposable {
  readonly url: string
  /** Takes no more requests, waits for those under way, closes what was opened here. */
  close(): Promise<void>
}

/** Node's own default, said here so that it stays. */
const HEADER_BYTES = 16_384

export async function listen(handle: Handle, options: ListenOptions, limits: Pick<Limits, 'messageBytes'>): Promise<Listening> {
  if (!('server' in options) && !(Number.isInteger(options.port) && options.port >= 0 && options.port < 65_536)) throw new UsageError('ERR_USAGE_PORT', 'listen needs a port, from 0 (any free one) to 65535, or a server')
  const adapter = new Adapter(handle, options, limits.messageBytes)
  if ('server' in options) return adapter.attach(options.server)
  return adapter.open(options)
}

class Adapter {
  readonly #handle: Handle
  readonly #path: string | undefined
  readonly #clock: Clock
  readonly #times: ServerLimits
  readonly #most: number
  /** Responses that are not sent yet, each with what ends its work. */
  readonly #underWay = new Map<ServerResponse, AbortController>()
  #idle: (() => void) | undefined
  #closing = false
  #shared = false

  constructor(handle: Handle, options: ListenOptions, most: number) {
    this.#handle = handle
    this.#path = options.path
    this.#clock = options.clock ?? systemClock
    this.#times = { ...DEFAULT_SERVER_LIMITS, ...options.timeouts }
    this.#most = most
  }

  async open(options: Extract<ListenOptions, { readonly port: number }>): Promise<Listening> {
    const times = this.#times
    const common = {
      headersTimeout: times.headersTimeoutMs, requestTimeout: times.requestTimeoutMs, keepAliveTimeout: times.keepAliveMs, maxHeaderSize: HEADER_BYTES,
      // How exactly the two time-outs are kept; Node looks only every 30 s by itself.
      connectionsCheckingInterval: Math.max(10, Math.ceil(Math.min(times.headersTimeoutMs, times.requestTimeoutMs) / 4)),
      insecureHTTPParser: false, requireHostHeader: true,
    }
    const { tls } = options
    // rejectUnauthorized: whom to trust is said to the service, not to TLS; possession of the key is proven in either case.
    const server = tls === undefined ? createServer(common) : createTlsServer({ minVersion: 'TLSv1.2', ...common, ...tls, rejectUnauthorized: false })
    server.maxConnections = times.connections
    const onRequest = this.#onRequest.bind(this)
    server.on('request', onRequest)
    const host = options.host ?? '127.0.0.1'
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(options.port, host, () => {
        server.removeListener('error', reject)
        resolve()
      })
    })
    const close = once(async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      this.#closing = true
      server.closeIdleConnections()
      await this.#drain()
      server.closeAllConnections()
      await closed
    })
    return { url: this.#url(tls === undefined ? 'http' : 'https', host, server.address()), close, [Symbol.asyncDispose]: close }
  }

  attach(server: Server | TlsServer): Listening {
    this.#shared = true
    const onRequest = this.#onRequest.bind(this)
    server.on('request', onRequest)
    const close = once(async () => {
      server.removeListener('request', onRequest)
      this.#closing = true
      await this.#drain()
    })
    const address = server.address()
    return { url: this.#url('setSecureContext' in server ? 'https' : 'http', '127.0.0.1', address), close, [Symbol.asyncDispose]: close }
  }

  #url(scheme: string, host: string, address: AddressInfo | string | null): string {
    if (address === null || typeof address === 'string') throw new UsageError('ERR_LISTEN', 'the server listens at no port')
    const unbound = address.address === '0.0.0.0' || address.address === '::'
    const name = unbound ? host === '0.0.0.0' || host === '::' ? 'localhost' : host : address.address
    return `${scheme}://${name.includes(':') ? `[${name}]` : name}:${address.port}${this.#path ?? '/'}`
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    // Its own path is ours alone; other paths of a shared server are somebody else's, unless there is nobody else.
    if (this.#shared && !this.#isOurs(request) && this.#hasOthers(request)) return
    const work = new AbortController()
    this.#underWay.set(response, work)
    response.once('close', () => {
      this.#underWay.delete(response)
      if (!response.writableFinished) work.abort(new HttpRefused(499, 'ERR_HTTP_GONE', 'the peer went away'))
      if (this.#underWay.size === 0) this.#idle?.()
    })
    // A connection that breaks is told by 'close'; without a listener the error would end the process.
    request.on('error', () => {})
    response.on('error', () => {})
    void this.#serve(request, response, work.signal)
  }

  #isOurs(request: IncomingMessage): boolean { return this.#path === undefined || pathOf(request) === this.#path }
  #hasOthers(request: IncomingMessage): boolean {
    const server = (request.socket as { readonly server?: Server }).server
    return (server?.listenerCount('request') ?? 0) > 1
  }

  async #serve(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    try {
      this.#admit(request)
      const body = await this.#body(request)
      const answer = await this.#handle(neutral(request, body), { signal })
      if (this.#closing) response.setHeader('connection', 'close')
      response.writeHead(answer.status, { ...answer.headers, 'content-length': String(answer.body.length) })
      response.end(answer.body)
    } catch (error) {
      this.#refuse(request, response, error instanceof HttpRefused ? error.status : 500)
    }
  }

  /** What is known from the header alone, before a byte of the body is read. */
  #admit(request: IncomingMessage): void {
    if (this.#closing) throw new HttpRefused(503, 'ERR_HTTP_CLOSING', 'the server is closing')
    if (!this.#isOurs(request)) throw new HttpRefused(404, 'ERR_HTTP_PATH', 'there is nothing at this path')
    if (request.method !== 'POST') throw new HttpRefused(405, 'ERR_HTTP_METHOD', 'messages are posted')
    if (!isIdentity(request.headers)) throw new HttpRefused(415, 'ERR_HTTP_ENCODING', 'compressed messages are not taken')
    if (Number(headerValue(request.headers, 'content-length') ?? 0) > this.#most) throw tooLarge(this.#most)
  }

  async #body(request: IncomingMessage): Promise<Uint8Array> {
    const late = Promise.withResolvers<never>()
    const timeoutMs = this.#times.requestTimeoutMs
    // Also for a server that is not ours, whose own time-outs we do not know.
    const cancel = this.#clock.alarm(this.#clock.now() + timeoutMs, () => late.reject(new HttpRefused(408, 'ERR_HTTP_SLOW', `no whole message within ${timeoutMs} ms`)))
    const read = readBody(chunksOf(request), this.#most)
    try {
      return await Promise.race([read, late.promise])
    } finally {
      cancel()
      read.catch(() => {})
    }
  }

  /** A status and nothing else: what went wrong inside is not for the peer. */
  #refuse(request: IncomingMessage, response: ServerResponse, status: number): void {
    if (response.headersSent || response.destroyed) {
      request.socket.destroy()
      return
    }
    response.writeHead(status, { 'content-length': '0', connection: 'close', ...(status === 405 ? { allow: 'POST' } : {}) })
    // Node ends the connection when this has left, whatever of the body is still on its way: a peer that goes on sending is cut.
    response.end()
  }

  /** Until the last answer has left, or time is up: then the work under way is told. */
  async #drain(): Promise<void> {
    if (this.#underWay.size === 0) return
    const idle = Promise.withResolvers<void>()
    this.#idle = idle.resolve
    const cancel = this.#clock.alarm(this.#clock.now() + this.#times.drainMs, idle.resolve)
    await idle.promise
    cancel()
    for (const [response, work] of this.#underWay) {
      work.abort(new HttpRefused(503, 'ERR_HTTP_CLOSING', 'the server is closing'))
      response.destroy()
    }
  }
}

/** The body's chunks, left undestroyed when reading stops early: the refusal goes out on the same socket. */
async function* chunksOf(request: IncomingMessage): AsyncGenerator<Uint8Array> {
  for await (const chunk of request.iterator({ destroyOnReturn: false })) yield chunk as Uint8Array
}

function neutral(request: IncomingMessage, body: Uint8Array): HttpRequest {
  const { socket } = request
  const certificate = 'getPeerCertificate' in socket ? (socket as TLSSocket).getPeerCertificate().raw : undefined
  const tls = 'getPeerCertificate' in socket ? { tls: certificate === undefined ? {} : { peerCertificate: new Uint8Array(certificate) } } : {}
  const remote = socket.remoteAddress === undefined ? {} : { remoteAddress: socket.remoteAddress }
  return { method: request.method ?? '', url: request.url ?? '/', headers: request.headers, body, ...tls, ...remote }
}

/** The path of a request target in origin or absolute form, without its query. */
function pathOf(request: IncomingMessage): string | undefined {
  const target = request.url ?? ''
  return URL.canParse(target, 'http://host') ? new URL(target, 'http://host').pathname : undefined
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => (done ??= work())
}
