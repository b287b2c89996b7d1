import { createServer, type Server } from 'node:http'
import type { AddressInfo, LookupFunction } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { createHttpClient } from '../../../src/transport/http-client.ts'
import { reachOf } from '../../../src/transport/reach.ts'

const anywhere = reachOf({ addresses: () => true })

describe('what a peer may name', () => {
  test.each([
    'http://169.254.169.254/latest', 'http://127.0.0.1/', 'http://[::1]/', 'http://0x7f000001/', 'http://2130706433/', 'http://0177.0.0.1/', 'http://127.1/', 'http://localhost/', 'http://localhost./', 'http://a.localhost/',
    'http://10.1.2.3/', 'http://172.31.0.1/', 'http://192.168.0.1/', 'http://100.64.0.1/', 'http://0.0.0.0/', 'http://224.0.0.1/', 'http://255.255.255.255/', 'http://[::]/', 'http://[fe80::1]/', 'http://[fd00::1]/',
    'http://[::ffff:10.0.0.1]/', 'http://[::ffff:7f00:1]/', 'http://[::10.0.0.1]/', 'http://[64:ff9b::a00:1]/', 'http://[2002:a00:1::]/', 'http://198.18.0.1/',
  ])('%s is in a network that is not ours to show', (address) => expect(anywhere.allows(address, undefined)).toBe(false))
  test.each([
    'file:///etc/passwd', 'ftp://clients.example.com/', 'jms:queue:a', 'gopher://clients.example.com/', 'https:clients.example.com', '//clients.example.com/', 'http://user@clients.example.com/', 'http://user:word@clients.example.com/',
    'http://clients.example.com/#part', 'http://clients.example.com/a\r\nHost: b', 'http://clients.example.com/a b', 'http://clients.example.com\\@evil.example/', 'http://exämple.com/', 'http://[::1', `http://clients.example.com/${'a'.repeat(3_000)}`, '', 'urn:uuid:1',
  ])('%j is no plain http or https URL', (address) => expect(anywhere.allows(address, undefined)).toBe(false))
  test('others are asked about, with whoever asks', () => {
    const asked: unknown[] = []
    const reach = reachOf<string>({ addresses: (url, who) => asked.push([url.href, who]) > 0 && url.port === '8443' })
    expect(reach.allows('https://clients.example.com:8443/replies?id=7', 'alice')).toBe(true)
    expect(reach.allows('https://clients.example.com/replies', 'alice')).toBe(false)
    expect(asked).toEqual([['https://clients.example.com:8443/replies?id=7', 'alice'], ['https://clients.example.com/replies', 'alice']])
  })
  test('a list allows its origins: scheme, host and port', () => {
    const reach = reachOf({ addresses: ['https://clients.example.com', new URL('http://other.example:8080/path')] })
    expect(['https://clients.example.com/a', 'https://CLIENTS.example.com:443/', 'http://other.example:8080/'].map((each) => reach.allows(each, undefined))).toEqual([true, true, true])
    expect(['http://clients.example.com/', 'https://clients.example.com:8443/', 'https://clients.example.com.evil.example/', 'http://other.example/'].map((each) => reach.allows(each, undefined))).toEqual([false, false, false, false])
  })
  test('a private address is reached where the list has that very address, or by name of the danger', () => {
    expect(reachOf({ addresses: ['http://127.0.0.1:8080'] }).allows('http://127.0.0.1:8080/replies', undefined)).toBe(true)
    expect(reachOf({ addresses: ['http://127.0.0.1:8080'] }).allows('http://127.0.0.1:8081/replies', undefined)).toBe(false)
    expect(reachOf({ addresses: () => true, dangerPrivate: true }).allows('http://10.0.0.1/', undefined)).toBe(true)
  })
})

describe('what is connected to', () => {
  let server: Server
  let origin: string
  let requests = 0
  beforeAll(async () => {
    server = createServer((request, response) => {
      requests++
      request.resume()
      response.writeHead(302, { location: `${origin}/elsewhere` }).end()
    })
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    origin = `http://localhost:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => new Promise<void>((resolve) => { server.close(() => resolve()) }))
  const post = async (lookup: LookupFunction): Promise<unknown> => {
    await using http = createHttpClient({ limits: DEFAULT_LIMITS, lookup })
    return await http.post(`${origin}/replies`, { body: new Uint8Array(), headers: {} }).catch((error: unknown) => error)
  }
  test('a name that resolves to a private address is not, though it was allowed', async () => {
    expect(await post(anywhere.lookup)).toMatchObject({ code: 'ERR_ADDRESS_PRIVATE' })
    expect(requests).toBe(0)
  })
  test('one that is listed by that name is; where it sends us is not', async () => {
    expect(await post(reachOf({ addresses: [origin] }).lookup)).toMatchObject({ code: 'ERR_HTTP_REDIRECT' })
    expect(requests).toBe(1)
  })
})
