/** The HTTP client over real sockets, against servers that behave and servers that do not. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createRawServer, type AddressInfo, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { Agent } from 'undici'
import { afterEach, describe, expect, test } from 'vitest'
import { TransportFailed, UsageError } from '../../../src/errors.ts'
import { DEFAULT_TIMING } from '../../../src/rm/timing.ts'
import { soapHeaders } from '../../../src/transport/http.ts'
import { createHttpClient, type HttpClient, type HttpClientOptions, type PostAnswer, type PostOptions } from '../../../src/transport/http-client.ts'

const closers: (() => unknown)[] = []
afterEach(async () => { for (const close of closers.splice(0).reverse()) await close() })

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/rm?a=b`
}
/** Speaks whatever it wants on the socket. */
async function raw(onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createRawServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}
function client(options: Partial<HttpClientOptions> = {}): HttpClient {
  const made = createHttpClient({ limits: { messageBytes: 10_000 }, ...options })
  closers.push(() => made[Symbol.asyncDispose]())
  return made
}
const post = (url: string, options: Partial<PostOptions> = {}, by = client()): Promise<PostAnswer> =>
  by.post(url, { body: Buffer.from('<a/>'), headers: soapHeaders('1.2', 'urn:do'), timeoutMs: 5_000, ...options })
async function failureOf(promise: Promise<unknown>): Promise<TransportFailed> {
  const error: unknown = await promise.then(() => undefined, (reason: unknown) => reason)
  expect(error).toBeInstanceOf(TransportFailed)
  return error as TransportFailed
}
async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}
const answer = (response: ServerResponse, status: number, type: string | undefined, body: string | Uint8Array = '', headers: Record<string, string> = {}): void => {
  response.writeHead(status, { ...(type === undefined ? {} : { 'content-type': type }), ...headers })
  response.end(body)
}

describe('a message', () => {
  test.each(['1.1', '1.2'] as const)('of SOAP %s is posted as it is, and its answer read', async (soap) => {
    const seen: { method?: string; url?: string; headers: IncomingMessage['headers']; body: string }[] = []
    const url = await serve(async (request, response) => {
      seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body: await bodyOf(request) })
      answer(response, 200, soap === '1.1' ? 'text/xml' : 'application/soap+xml; charset=utf-8', '<b/>')
    })
    const got = await post(url, { headers: soapHeaders(soap, 'urn:do') })
    expect(got).toMatchObject({ status: 200, soap })
    expect(Buffer.from(got.body).toString()).toBe('<b/>')
    expect(seen[0]).toMatchObject({ method: 'POST', url: '/rm?a=b', body: '<a/>' })
    expect(seen[0]?.headers).toMatchObject(soap === '1.1'
      ? { 'content-type': 'text/xml; charset=utf-8', soapaction: '"urn:do"', 'accept-encoding': 'identity', 'content-length': '4' }
      : { 'content-type': 'application/soap+xml; charset=utf-8; action="urn:do"' })
  })

  test('may be answered by a fault with 400 or 500, and by nothing with 202', async () => {
    for (const [status, type, body] of [[500, 'text/xml', '<f/>'], [400, 'application/soap+xml', '<f/>'], [202, undefined, ''], [204, undefined, ''], [200, 'text/html', '']] as const) {
      const got = await post(await serve((_request, response) => answer(response, status, type, body)))
      expect([got.status, got.body.length, got.soap]).toEqual([status, body.length, body === '' ? undefined : type === 'text/xml' ? '1.1' : '1.2'])
    }
  })

  test('goes over connections that are kept', async () => {
    const sockets = new Set<Socket>()
    const url = await serve((request, response) => {
      sockets.add(request.socket)
      answer(response, 200, 'text/xml', '<b/>')
    })
    const by = client()
    for (let time = 0; time < 50; time++) await post(url, {}, by)
    // The pool may open a second one while the first is being released.
    expect(sockets.size).toBeLessThanOrEqual(2)
  })

  test('is sent although a whole window of others waits for its answers, which a service in order holds back until it is there', async () => {
    const held: ServerResponse[] = []
    const url = await serve((_request, response) => {
      held.push(response)
      if (held.length > DEFAULT_TIMING.window) for (const each of held) answer(each, 202, undefined)
    })
    const by = client()
    const all = await Promise.all(Array.from({ length: DEFAULT_TIMING.window + 1 }, () => post(url, {}, by)))
    expect(all.every(({ status }) => status === 202)).toBe(true)
  })

  test('goes through the dispatcher of the caller, which stays his to close', async () => {
    const agent = new Agent()
    closers.push(() => agent.close())
    const url = await serve((_request, response) => answer(response, 202, undefined))
    const by = client({ dispatcher: agent })
    expect((await post(url, {}, by)).status).toBe(202)
    await by[Symbol.asyncDispose]()
    expect(agent.closed).toBe(false)
  })
})

describe('an answer is refused', () => {
  test.each([301, 302, 307, 308])('when it is a redirect (%i), which is not followed', async (status) => {
    let others = 0
    const target = await serve((_request, response) => {
      others += 1
      answer(response, 200, 'text/xml', '<b/>')
    })
    const url = await serve((_request, response) => answer(response, status, 'text/xml', '<b/>', { location: target }))
    expect(await failureOf(post(url))).toMatchObject({ code: 'ERR_HTTP_REDIRECT', retryable: false })
    expect(others).toBe(0)
  })

  test.each(['gzip', 'br', 'deflate, gzip'])('when it is compressed (%s): a bomb is never opened', async (coding) => {
    const url = await serve((_request, response) => answer(response, 200, 'text/xml', gzipSync(Buffer.alloc(5_000_000)), { 'content-encoding': coding }))
    expect(await failureOf(post(url))).toMatchObject({ code: 'ERR_HTTP_ENCODING' })
  })

  test.each([['text/html', 200, false], ['text/plain', 503, true], ['multipart/related; type="text/xml"', 200, false], [undefined, 404, false], ['application/json', 429, true]] as const)(
    'when it is %s with status %i', async (type, status, retryable) => {
      const url = await serve((_request, response) => answer(response, status, type, 'something else'))
      expect(await failureOf(post(url))).toMatchObject({ code: 'ERR_HTTP_CONTENT_TYPE', retryable })
    })

  test('when it says that it is too long', async () => {
    const closed = Promise.withResolvers<void>()
    const url = await raw((socket) => {
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 1000000000\r\n\r\n<a'))
      socket.on('close', () => closed.resolve())
    })
    expect(await failureOf(post(url))).toMatchObject({ code: 'ERR_HTTP_TOO_LARGE', retryable: false })
    // Cut at once, not left to trickle in.
    await closed.promise
  })

  test('when it has no end: it is cut soon after the cap', async () => {
    const over = Promise.withResolvers<number>()
    const url = await raw((socket) => {
      let sent = 0
      socket.on('close', () => over.resolve(sent))
      const pump = (): void => {
        while (!socket.destroyed && sent < 256 * 1024 * 1024) {
          sent += 0x1000
          if (!socket.write(`1000\r\n${'x'.repeat(0x1000)}\r\n`)) {
            socket.once('drain', pump)
            return
          }
        }
      }
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n')
        pump()
      })
    })
    expect(await failureOf(post(url))).toMatchObject({ code: 'ERR_HTTP_TOO_LARGE' })
    expect(await over.promise).toBeLessThan(256 * 1024 * 1024)
  })

  test.each([
    ['no HTTP at all', 'SSH-2.0-OpenSSH\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['fewer bytes than it said', 'HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 10\r\n\r\nab'],
    ['nothing', ''],
  ])('when it is %s', async (_, text) => {
    const url = await raw((socket) => void socket.on('data', () => socket.end(text)))
    expect(await failureOf(post(url))).toMatchObject({ code: 'ERR_HTTP_FAILED', retryable: true })
  })
})

describe('waiting', () => {
  test('ends by its limit when the answer does not begin, or does not end', async () => {
    const silent = await raw(() => {})
    expect(await failureOf(post(silent, { timeoutMs: 50 }))).toMatchObject({ code: 'ERR_HTTP_TIMEOUT', retryable: true })
    const slow = await raw((socket) => void socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 10\r\n\r\n<a')))
    expect(await failureOf(post(slow, { timeoutMs: 50 }))).toMatchObject({ code: 'ERR_HTTP_TIMEOUT', retryable: true })
  })

  test('ends with the reason of the caller\'s signal, and the connection with it', async () => {
    const closed = Promise.withResolvers<void>()
    const arrived = Promise.withResolvers<void>()
    const url = await raw((socket) => {
      socket.on('data', () => arrived.resolve())
      socket.on('close', () => closed.resolve())
    })
    const abort = new AbortController()
    const failed = post(url, { signal: abort.signal }).then(() => undefined, (reason: unknown) => reason)
    await arrived.promise
    const reason = new Error('enough')
    abort.abort(reason)
    expect(await failed).toBe(reason)
    await closed.promise
  })

  test('ends when the client is closed', async () => {
    const arrived = Promise.withResolvers<void>()
    const url = await raw((socket) => void socket.on('data', () => arrived.resolve()))
    const by = client()
    const failed = failureOf(post(url, {}, by))
    await arrived.promise
    await by[Symbol.asyncDispose]()
    expect(await failed).toMatchObject({ code: 'ERR_HTTP_CLOSED' })
    expect(await failureOf(post(url, {}, by))).toMatchObject({ code: 'ERR_HTTP_CLOSED' })
  })

  test('does not begin when nobody listens', async () => {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    expect(await failureOf(post(`http://127.0.0.1:${port}/`))).toMatchObject({ code: 'ERR_HTTP_FAILED', message: `the connection to http://127.0.0.1:${port} failed (ECONNREFUSED)`, retryable: true, cause: { code: 'ECONNREFUSED' } })
  })
})

test.each(['ftp://example/', 'file:///etc/passwd', 'example', 'https://user:pass@example/'])('%s is no endpoint', async (url) => {
  await expect(post(url)).rejects.toThrow(UsageError)
})
