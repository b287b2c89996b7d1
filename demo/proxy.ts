/**
 * The network between the two processes: passes HTTP on, tells about every message, and loses what it is told to lose.
 *
 * @module
 */
import { createServer, request, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { WireEvent } from '../src/tap.ts'

export interface Passing { readonly event: WireEvent; readonly lost: boolean }
export type Fate = 'pass' | 'lose-request' | 'lose-response'

/** Listens on loopback and passes on to `target`; `fate` decides about each request by its body. */
export async function startProxy(target: string, fate: (body: Uint8Array) => Fate, tell: (passing: Passing) => void): Promise<{ readonly url: string; close(): Promise<void> }> {
  let exchanges = 0
  const { hostname, port, pathname } = new URL(target)
  const server = createServer((incoming, outgoing) => {
    const exchange = ++exchanges
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const body = Buffer.concat(chunks)
      const decided = fate(body)
      tell({ event: { exchange, direction: 'request', at: Date.now(), http: { method: incoming.method ?? '', path: incoming.url ?? '', headers: pick(incoming.headers) }, body }, lost: decided === 'lose-request' })
      if (decided === 'lose-request') {
        incoming.socket.destroy()
        return
      }
      const onward = request({ hostname, port, path: pathname, method: 'POST', headers: { ...incoming.headers, host: `${hostname}:${port}` } }, (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('end', () => {
          const back = Buffer.concat(parts)
          const gone = decided === 'lose-response' || outgoing.destroyed
          tell({ event: { exchange, direction: 'response', at: Date.now(), http: { status: answer.statusCode ?? 0, headers: pick(answer.headers) }, body: back }, lost: gone })
          if (gone) incoming.socket.destroy()
          else outgoing.writeHead(answer.statusCode ?? 502, answer.headers).end(back)
        })
        answer.on('error', () => incoming.socket.destroy())
      })
      onward.on('error', () => incoming.socket.destroy())
      onward.end(body)
    })
    incoming.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    close: () => new Promise((resolve) => {
      server.closeAllConnections()
      server.close(() => resolve())
    }),
  }
}

function pick(headers: IncomingHttpHeaders): Record<string, string> {
  const picked: Record<string, string> = {}
  for (const name of ['content-type', 'soapaction']) {
    const value = headers[name]
    if (typeof value === 'string') picked[name] = value
  }
  return picked
}
