/** The HTTP server over real sockets, with peers that behave and peers that do not. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { Agent } from 'undici'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createHttpClient } from '../../../src/transport/http-client.ts'
import { soapHeaders, type HttpRequest, type HttpResponse, type Wait } from '../../../src/transport/http.ts'
import { listen, type Handle, type ListenOptions, type Listening } from '../../../src/transport/http-server.ts'

const open: { [Symbol.asyncDispose](): PromiseLike<void> }[] = []
afterEach(async () => { for (const each of open.splice(0)) await each[Symbol.asyncDispose]() })

const ECHO: Handle = async ({ body }) => ({ status: 200, headers: { 'content-type': 'text/xml; charset=utf-8' }, body: body as Uint8Array })
async function serve(handle: Handle = ECHO, options: Partial<ListenOptions> = {}, messageBytes = 1_000): Promise<Listening> {
  const server = await listen(handle, { port: 0, path: '/rm', timeouts: { drainMs: 200 }, ...options } as ListenOptions, { messageBytes })
  open.push(server)
  return server
}
const port = (server: Listening): number => Number(new URL(server.url).port)

/** Writes raw bytes and collects what comes back until the connection ends. */
class Raw {
  readonly socket: Socket
  #received = ''
  readonly closed: Promise<void>
  constructor(server: Listening) {
    this.socket = connect(port(server), '127.0.0.1')
    this.socket.setEncoding('latin1')
    this.socket.on('data', (text: string) => { this.#received += text })
    this.socket.on('error', () => {})
    this.closed = new Promise((resolve) => { this.socket.once('close', () => resolve()) })
  }
  send(text: string | Uint8Array): this {
    this.socket.write(text)
    return this
  }
  async answer(): Promise<string> {
    await this.closed
    return this.#received
  }
  /** What has come so far, once `part` is in it. */
  async until(part: string): Promise<string> {
    while (!this.#received.includes(part)) await once(this.socket, 'data')
    return this.#received
  }
}
const post = (length: number | string, more = ''): string => `POST /rm HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: ${length}\r\n${more}\r\n`
const status = (answer: string): string => answer.slice(9, 12)

describe('a message', () => {
  test('reaches the handler whole, with what is known of its sender, and is answered', async () => {
    const seen: HttpRequest[] = []
    const server = await serve(async (request) => {
      seen.push(request)
      return ECHO(request)
    })
    expect(server.url).toBe(`http://127.0.0.1:${port(server)}/rm`)
    const response = await fetch(`${server.url}?x=1`, { method: 'POST', body: '<a/>', headers: { 'content-type': 'text/xml', soapaction: '"urn:a"' } })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/xml; charset=utf-8')
    expect(await response.text()).toBe('<a/>')
    expect(seen[0]).toMatchObject({ method: 'POST', url: '/rm?x=1', headers: { soapaction: '"urn:a"' }, remoteAddress: '127.0.0.1' })
    expect(seen[0]?.tls).toBeUndefined()
  })

  test('of exactly the cap is taken, in chunks too', async () => {
    const server = await serve()
    expect((await fetch(server.url, { method: 'POST', body: 'x'.repeat(1_000) })).status).toBe(200)
    const raw = new Raw(server).send('POST /rm HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n').send(`${'x'.repeat(1_000)}\r\n0\r\n\r\n`)
    expect(status(await raw.answer())).toBe('200')
  })

  test('may be answered by a status alone', async () => {
    const server = await serve(async () => ({ status: 202, headers: {}, body: new Uint8Array(0) }))
    const response = await fetch(server.url, { method: 'POST', body: '<a/>' })
    expect([response.status, await response.text(), response.headers.get('content-length')]).toEqual([202, '', '0'])
  })

  test('whose handler fails is answered by 500, without a word of what happened', async () => {
    const server = await serve(async () => { throw new Error('the secret reason') })
    const response = await fetch(server.url, { method: 'POST', body: '<a/>' })
    expect([response.status, await response.text()]).toEqual([500, ''])
  })
})

describe('a request is refused', () => {
  const never: Handle = vi.fn(async () => { throw new Error('the handler was called') })

  test.each(['GET', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH'])('with 405 when its method is %s', async (method) => {
    const response = await fetch((await serve(never)).url, { method })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST'])
    expect(never).not.toHaveBeenCalled()
  })

  test.each(['/', '/rm/', '/rm2', '/RM', '/x/../rm2', '/%72m2'])('with 404 at %s', async (path) => {
    const server = await serve(never)
    const raw = new Raw(server).send(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`)
    expect(status(await raw.answer())).toBe('404')
    expect(never).not.toHaveBeenCalled()
  })

  test.each(['gzip', 'deflate', 'br', 'identity, gzip', 'x-unknown'])('with 415 when it is encoded as %s', async (coding) => {
    const response = await fetch((await serve(never)).url, { method: 'POST', body: gzipSync('<a/>'), headers: { 'content-encoding': coding } })
    expect(response.status).toBe(415)
  })

  test('with 413 when it says that it is too long, before a byte of it is read', async () => {
    const raw = new Raw(await serve(never)).send(post(1_001))
    expect(status(await raw.until('\r\n\r\n'))).toBe('413')
    raw.socket.destroy()
  })

  test('with 413 when it goes on too long, though it did not say so; and then it is cut', async () => {
    const server = await serve(never)
    const raw = new Raw(server).send('POST /rm HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`
    let sent = 0
    const pump = (): void => {
      while (!raw.socket.destroyed && sent < 64 * 1024 * 1024) {
        sent += chunk.length
        if (!raw.socket.write(chunk)) {
          raw.socket.once('drain', pump)
          return
        }
      }
    }
    pump()
    await raw.closed
    // What was on the way fits into the sockets' buffers; 64 MB do not.
    expect(sent).toBeLessThan(64 * 1024 * 1024)
    expect(never).not.toHaveBeenCalled()
  })

  test('with 408 when its body comes too slowly', async () => {
    const server = await serve(never, { timeouts: { requestTimeoutMs: 60, headersTimeoutMs: 50, drainMs: 50 } })
    const raw = new Raw(server).send(post(100)).send('<a')
    expect(status(await raw.answer())).toBe('408')
    expect(never).not.toHaveBeenCalled()
  })

  test('with 408 when its header comes too slowly', async () => {
    const server = await serve(never, { timeouts: { requestTimeoutMs: 200, headersTimeoutMs: 50, drainMs: 50 } })
    const raw = new Raw(server).send('POST /rm HTTP/1.1\r\nHost')
    expect(status(await raw.answer())).toBe('408')
  })

  test.each([
    ['two lengths', post('4', 'Content-Length: 5\r\n')],
    ['a length and chunks', post('4', 'Transfer-Encoding: chunked\r\n')],
    ['chunked under another coding', 'POST /rm HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n'],
    ['a length that is no number', post('4x')],
    ['a negative length', post('-1')],
    ['no host', 'POST /rm HTTP/1.1\r\nContent-Length: 0\r\n\r\n'],
    ['a folded header', post('0', 'X-A: b\r\n c\r\n')],
    ['a header without end', `POST /rm HTTP/1.1\r\nHost: x\r\nX-A: ${'b'.repeat(20_000)}`],
  ])('when it has %s: by an error of HTTP, and the connection ends', async (_, text) => {
    const handler = vi.fn(ECHO)
    const raw = new Raw(await serve(handler)).send(text)
    expect(status(await raw.answer())).toMatch(/^4/)
    expect(handler).not.toHaveBeenCalled()
  })

  test('and a peer that goes away in the middle of its message leaves nothing behind', async () => {
    const server = await serve(never)
    const raw = new Raw(server).send(post(100)).send('<a')
    await once(raw.socket, 'connect')
    raw.socket.destroy()
    await raw.closed
    await server.close()
    expect(never).not.toHaveBeenCalled()
  })
})

describe('the peer', () => {
  test('that goes away before the answer ends the work on it', async () => {
    const started = Promise.withResolvers<AbortSignal>()
    const server = await serve((_request, wait?: Wait) => {
      if (wait?.signal !== undefined) started.resolve(wait.signal)
      return new Promise<HttpResponse>(() => {})
    })
    const raw = new Raw(server).send(post(4)).send('<a/>')
    const signal = await started.promise
    const aborted = once(signal, 'abort')
    raw.socket.destroy()
    await aborted
    expect(signal.aborted).toBe(true)
  })

  test('that got its answer ends nothing', async () => {
    let signal: AbortSignal | undefined
    const server = await serve(async (request, wait) => {
      signal = wait?.signal
      return ECHO(request)
    })
    await (await fetch(server.url, { method: 'POST', body: '<a/>' })).text()
    await server.close()
    expect(signal?.aborted).toBe(false)
  })
})

describe('closing', () => {
  test('waits for the answer that is under way and takes no new request', async () => {
    const started = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const server = await serve(async (request) => {
      started.resolve()
      await gate.promise
      return ECHO(request)
    }, { timeouts: { drainMs: 10_000 } })
    const answer = fetch(server.url, { method: 'POST', body: '<a/>' }).then((response) => response.text())
    await started.promise
    const closed = server.close()
    await expect(fetch(server.url, { method: 'POST', body: '<b/>' })).rejects.toThrow()
    gate.resolve()
    expect(await answer).toBe('<a/>')
    await closed
  })

  test('gives up on work that does not end, and tells it', async () => {
    const started = Promise.withResolvers<AbortSignal>()
    const server = await serve((_request, wait) => {
      if (wait?.signal !== undefined) started.resolve(wait.signal)
      return new Promise<HttpResponse>(() => {})
    }, { timeouts: { drainMs: 50 } })
    const answer = fetch(server.url, { method: 'POST', body: '<a/>' })
    answer.catch(() => {})
    const signal = await started.promise
    await server.close()
    expect(signal.aborted).toBe(true)
    await expect(answer).rejects.toThrow()
  })

  test('does not wait for a peer that has only begun its header', async () => {
    const server = await serve(ECHO, { timeouts: { headersTimeoutMs: 60_000, requestTimeoutMs: 60_000, drainMs: 50 } })
    const raw = new Raw(server).send('POST /rm HTTP/1.1\r\nHost')
    // One whole exchange on another connection: the half header has arrived by then.
    await (await fetch(server.url, { method: 'POST', body: '<a/>' })).text()
    await server.close()
    await raw.closed
  }, 10_000)

  test('twice is closing once', async () => {
    const server = await serve()
    await Promise.all([server.close(), server.close(), server[Symbol.asyncDispose]()])
  })

  test('fails to listen at a port that is taken, with the error of the system', async () => {
    const server = await serve()
    await expect(serve(ECHO, { port: port(server) })).rejects.toMatchObject({ code: 'EADDRINUSE' })
    for (const wrong of [undefined, -1, 65_536, 1.5, '80']) await expect(listen(ECHO, { port: wrong as number }, { messageBytes: 1_000 })).rejects.toMatchObject({ code: 'ERR_USAGE_PORT' })
  })
})

describe('over TLS', () => {
  const pem = (name: string): string => readFileSync(new URL(`../../../demo/identities/${name}.pem`, import.meta.url), 'utf8')
  const CA = pem('authority')
  const TLS = { cert: pem('service'), key: pem('service.key'), requestCert: true }

  test('the handler is told which certificate the peer has proven to have, trusted or not, or that there is none', async () => {
    const seen: HttpRequest[] = []
    const server = await serve(async (request) => {
      seen.push(request)
      return ECHO(request)
    }, { tls: TLS })
    expect(server.url).toMatch(/^https:/)
    for (const identity of ['client', 'intruder', undefined]) {
      const own = identity === undefined ? {} : { cert: pem(identity), key: pem(`${identity}.key`) }
      const agent = new Agent({ connect: { ca: CA, checkServerIdentity: () => undefined, ...own } })
      open.push({ [Symbol.asyncDispose]: () => agent.destroy() })
      const client = createHttpClient({ dispatcher: agent, limits: { messageBytes: 1_000 } })
      expect((await client.post(server.url, { body: Buffer.from('<a/>'), headers: soapHeaders('1.1', 'urn:a') })).status).toBe(200)
    }
    const raw = (name: string): Uint8Array => new Uint8Array(new X509Certificate(pem(name)).raw)
    expect(seen.map(({ tls }) => tls)).toEqual([{ peerCertificate: raw('client') }, { peerCertificate: raw('intruder') }, {}])
  })

  test('the client trusts nobody by itself', async () => {
    const server = await serve(ECHO, { tls: TLS })
    const client = createHttpClient({ limits: { messageBytes: 1_000 } })
    open.push(client)
    await expect(client.post(server.url, { body: Buffer.from('<a/>'), headers: soapHeaders('1.1', 'urn:a') })).rejects.toMatchObject({ code: 'ERR_HTTP_FAILED' })
  })
})

describe('a server of the caller', () => {
  async function own(): Promise<Server> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    open.push({ [Symbol.asyncDispose]: async () => { server.closeAllConnections(); server.close() } })
    return server
  }

  test('is used at our path, keeps its others, and is not closed by us', async () => {
    const server = await own()
    server.on('request', (request, response) => { if (request.url === '/health') response.end('fine') })
    const ours = await listen(ECHO, { server, path: '/rm' }, { messageBytes: 1_000 })
    expect(await (await fetch(ours.url, { method: 'POST', body: '<a/>' })).text()).toBe('<a/>')
    expect(await (await fetch(new URL('/health', ours.url))).text()).toBe('fine')
    await ours.close()
    expect(server.listening).toBe(true)
    expect(server.listenerCount('request')).toBe(1)
  })

  test('that has nobody else for a path gets our 404', async () => {
    const server = await own()
    const ours = await listen(ECHO, { server, path: '/rm' }, { messageBytes: 1_000 })
    expect((await fetch(new URL('/other', ours.url), { method: 'POST' })).status).toBe(404)
    await ours.close()
  })

  test('with generous time-outs of its own does not make us wait for a slow body', async () => {
    const server = await own()
    const ours = await listen(ECHO, { server, path: '/rm', timeouts: { requestTimeoutMs: 50 } }, { messageBytes: 1_000 })
    const raw = new Raw(ours).send(post(100)).send('<a')
    expect(status(await raw.until('\r\n\r\n'))).toBe('408')
    raw.socket.destroy()
    await ours.close()
  })
})
