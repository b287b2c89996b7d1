/** TLS at the client: who the server must prove to be. */
import { once } from 'node:events'
import { createServer as createPlainServer } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import type { Trust } from '../../../src/crypto/certificate.ts'
import { digest } from '../../../src/crypto/hash.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { createHttpClient } from '../../../src/transport/http-client.ts'
import type { ClientTls } from '../../../src/transport/tls.ts'
import { certificate, commonName, ecKey, pem } from '../crypto/certificates.ts'

interface Server extends AsyncDisposable { readonly url: string }
/** Each request has a connection of its own. */
async function server(identity: { readonly cert: string; readonly key: string }): Promise<Server> {
  const made = createServer(identity, (_, response) => response.writeHead(202, { connection: 'close' }).end())
  made.on('tlsClientError', () => undefined)
  made.listen(0, '127.0.0.1')
  await once(made, 'listening')
  return {
    url: `https://127.0.0.1:${(made.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      const closed = once(made, 'close')
      made.close()
      made.closeAllConnections()
      await closed
    },
  }
}
const ask = (tls: ClientTls) => ({ body: Buffer.from('<a/>'), headers: { 'content-type': 'application/soap+xml' }, tls, timeoutMs: 2_000 })

/** An identity of an elliptic curve, as most servers of the web have one. */
function elliptic(): { readonly cert: string; readonly key: string; readonly der: Buffer } {
  const key = ecKey()
  const der = certificate({ subject: commonName('elliptic'), key, from: Date.now() - 60_000, to: Date.now() + 600_000 })
  return { der, cert: pem(der), key: key.export({ type: 'pkcs8', format: 'pem' }) as string }
}

describe('a server whose key is no RSA key', () => {
  const identity = elliptic()
  test.each<[string, Trust, boolean]>([
    ['is pinned', { pins: [digest('sha256', identity.der).toString('hex')] }, true],
    ['is judged', { verify: ({ subject }) => subject === 'CN=elliptic' }, true],
    ['is not the one that is pinned', { pins: [digest('sha256', elliptic().der).toString('hex')] }, false],
  ])('%s', async (_, trust, isTrusted) => {
    await using here = await server(identity)
    await using client = createHttpClient({ limits: DEFAULT_LIMITS })
    const answer = client.post(here.url, ask({ trust }))
    if (isTrusted) expect((await answer).status).toBe(202)
    else await expect(answer).rejects.toMatchObject({ code: 'ERR_WSS_UNTRUSTED' })
  })
})

test('a server without TLS shows nothing that could be judged', async () => {
  const here = createPlainServer((_, response) => response.writeHead(202, { connection: 'close' }).end())
  here.listen(0, '127.0.0.1')
  await once(here, 'listening')
  await using client = createHttpClient({ limits: DEFAULT_LIMITS })
  let judged = 0
  const trusts: readonly Trust[] = [{ pins: ['00'.repeat(32)] }, { verify: () => ++judged > 0 }, { authorities: [elliptic().cert] }]
  for (const trust of trusts) expect((await client.post(`http://127.0.0.1:${(here.address() as AddressInfo).port}/`, ask({ trust }))).status).toBe(202)
  expect(judged).toBe(0)
  here.close()
})

test('a judgement that fails is a refusal, with its reason', async () => {
  await using here = await server(elliptic())
  await using client = createHttpClient({ limits: DEFAULT_LIMITS })
  const reason = new Error('no list today')
  const answer = client.post(here.url, ask({ trust: { verify: () => { throw reason } } }))
  await expect(answer).rejects.toMatchObject({ name: 'SecurityFailure', code: 'ERR_TLS_UNTRUSTED', cause: reason })
})

test('a server that is met again is judged again', async () => {
  await using here = await server(elliptic())
  await using client = createHttpClient({ limits: DEFAULT_LIMITS })
  let judged = 0
  const trust = { verify: () => ++judged > 0 }
  for (let times = 1; times <= 4; times++) {
    expect((await client.post(here.url, ask({ trust }))).status).toBe(202)
    expect(judged).toBe(times)
  }
})
