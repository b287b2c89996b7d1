/**
 * The network between the two sides: passes HTTP on, tells about every message, and drops, repeats byte for byte, delays and so reorders
 * what chance says. With TLS it is the service to the one side and the client to the other: it has the keys of both.
 *
 * @module
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request as plainRequest, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, request as tlsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { WireEvent } from '../src/tap.ts'
import { chanceOf } from './cells.ts'
import { AUTHORITY, CLIENT, PATH, SERVICE } from './ours.ts'
import type { Identity } from './peer.ts'

/** What happens to one exchange. */
export interface Fate {
  readonly lose?: Loss
  /** A second copy, byte for byte: on its way beside the first, or after the answer. */
  readonly repeat?: 'racing' | 'late'
  readonly delayMs?: number
  /** The request goes no further, and this is its answer. */
  readonly answer?: { readonly status: number; readonly contentType: string; readonly body: string }
}
type Loss = 'request' | 'response'
export type Fates = (request: Uint8Array) => Fate
export interface Passing { readonly event: WireEvent; readonly isLost: boolean }

export const CLEAN: Fates = () => ({})
/** One request or answer in ten is lost, one request in ten comes twice, all take their time. What `isSpared` is only delayed. */
export function lossy(seed: number, isSpared: (action: string, what: Loss | 'race') => boolean): Fates {
  const chance = chanceOf(seed)
  return (request) => {
    // Drawn in any case, so that the same numbers belong to the same messages.
    const [lost, repeated, delay, which] = [chance(), chance(), chance(), chance()]
    const action = actionOf(request)
    const lose = lost < 0.1 ? (which < 0.5 ? 'request' : 'response') : undefined
    return {
      delayMs: Math.floor(delay * 40),
      ...(lose !== undefined && !isSpared(action, lose) && { lose }),
      ...(repeated < 0.1 && !isSpared(action, 'request') && { repeat: isSpared(action, 'race') ? 'late' : 'racing' }),
    }
  }
}
export const actionOf = (body: Uint8Array): string => /<(?:[\w.-]+:)?Action\b[^>]*>\s*([^<\s]*)\s*</.exec(Buffer.from(body).toString('utf8'))?.[1] ?? ''

export interface Network extends AsyncDisposable {
  readonly url: string
  /** Says where messages go on to: known only when the service is there, which may need to know this network's address first. */
  to(target: string): void
  fates: Fates
  readonly passed: readonly Passing[]
}

export async function startNetwork(options: { readonly tls: boolean; readonly client?: Identity; readonly fates?: Fates }): Promise<Network> {
  const passed: Passing[] = []
  const { cert, key } = { cert: SERVICE.certificate, key: SERVICE.key }
  const client = options.client ?? CLIENT
  let target = new URL('http://127.0.0.1:1/')
  let exchanges = 0

  /** Passes one request on; undefined where there was no answer. */
  const forward = (incoming: IncomingMessage, body: Uint8Array): Promise<{ readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Buffer } | undefined> => new Promise((resolve) => {
    const headers: IncomingHttpHeaders = { ...incoming.headers, host: target.host, 'content-length': String(body.length) }
    // Peer CXF 4: asks for HTTP/2 on the way, and sends in chunks.
    for (const hop of ['connection', 'upgrade', 'http2-settings', 'transfer-encoding', 'expect']) delete headers[hop]
    const tls = target.protocol === 'https:' ? { cert: client.certificate, key: client.key, ca: AUTHORITY } : {}
    const onward = (target.protocol === 'https:' ? tlsRequest : plainRequest)(
      { hostname: target.hostname, port: target.port, path: incoming.url, method: incoming.method, headers, agent: false, ...tls },
      (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('end', () => resolve({ status: answer.statusCode ?? 502, headers: answer.headers, body: Buffer.concat(parts) }))
        answer.on('error', () => resolve(undefined))
      })
    onward.on('error', () => resolve(undefined))
    onward.end(body)
  })

  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const exchange = ++exchanges
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const { lose, repeat, delayMs = 0, answer: forged } = network.fates(body)
    await after(delayMs)
    passed.push({ event: { exchange, direction: 'request', at: Date.now(), http: { method: incoming.method ?? '', path: incoming.url ?? '', headers: telling(incoming.headers) }, body }, isLost: lose === 'request' })
    if (lose === 'request') {
      incoming.socket.destroy()
      return
    }
    if (forged !== undefined) {
      const headers = { 'content-type': forged.contentType }
      passed.push({ event: { exchange, direction: 'response', at: Date.now(), http: { status: forged.status, headers }, body: Buffer.from(forged.body) }, isLost: false })
      outgoing.writeHead(forged.status, headers).end(forged.body)
      return
    }
    const first = forward(incoming, body)
    if (repeat === 'racing') void after(delayMs / 2).then(() => forward(incoming, body))
    const answer = await first
    if (repeat === 'late') void forward(incoming, body)
    const isLost = lose === 'response' || answer === undefined
    if (answer !== undefined) passed.push({ event: { exchange, direction: 'response', at: Date.now(), http: { status: answer.status, headers: telling(answer.headers) }, body: answer.body }, isLost })
    // Peer CXF 4: a reply to its own address that is there before the 202 for the request is as none.
    if (answer === undefined || answer.body.length > 0) await after(delayMs / 2)
    if (isLost) {
      incoming.socket.destroy()
      return
    }
    const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...headers } = answer.headers
    outgoing.writeHead(answer.status, { ...headers, 'content-length': String(answer.body.length) }).end(answer.body)
  }
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    serve(incoming, outgoing).catch(() => incoming.socket.destroy())
  }
  const server = options.tls ? createTlsServer({ cert, key, ca: AUTHORITY, requestCert: true, rejectUnauthorized: false }, onRequest) : createServer(onRequest)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `${options.tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`
  const network = {
    get url() { return origin + (target.pathname === '/' ? PATH : target.pathname) },
    to(url: string) { target = new URL(url) },
    fates: options.fates ?? CLEAN, passed,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => {
      server.closeAllConnections()
      server.close(() => resolve())
    }),
  }
  return network
}

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const telling = (headers: IncomingHttpHeaders): Record<string, string> => Object.fromEntries(
  ['content-type', 'soapaction'].flatMap((name) => (typeof headers[name] === 'string' ? [[name, headers[name]]] : [])))
