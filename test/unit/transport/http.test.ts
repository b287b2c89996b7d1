/** Media types, headers and capped bodies: what both sides of HTTP share. */
import { describe, expect, test } from 'vitest'
import { HttpRefused, isIdentity, readBody, soapHeaders, soapMediaType } from '../../../src/transport/http.ts'

describe('content types', () => {
  test.each([
    ['text/xml; charset=utf-8', { soap: '1.1' }],
    ['TEXT/XML;charset="UTF-8"', { soap: '1.1' }],
    ['text/xml', { soap: '1.1' }],
    ['application/soap+xml; charset=utf-8; action="urn:a;b"', { soap: '1.2', action: 'urn:a;b' }],
    ['application/soap+xml; action="urn:\\"q\\""', { soap: '1.2', action: 'urn:"q"' }],
    ['application/soap+xml;action=urn:a', { soap: '1.2', action: 'urn:a' }],
    ['text/xml; charset=utf-16', { soap: '1.1' }],
  ])('%s is SOAP', (type, expected) => expect(soapMediaType(type)).toEqual(expected))

  test.each([
    [undefined], [''], ['text/html'], ['text/plain'], ['application/xml'], ['application/json'], ['application/xop+xml'],
    ['multipart/related; type="application/xop+xml"; start-info="text/xml"'], ['multipart/related; type="text/xml"'],
    ['text/xml; charset=iso-8859-1'], ['text/xml; charset=utf-7'], ['text/xmlx'], [`text/xml; x=${'y'.repeat(5_000)}`],
  ])('%s is not', (type) => expect(soapMediaType(type)).toBeUndefined())

  test('are written as each version wants them, and read back', () => {
    expect(soapHeaders('1.1', 'urn:do')).toEqual({ 'content-type': 'text/xml; charset=utf-8', soapaction: '"urn:do"' })
    expect(soapHeaders('1.1', undefined)).toEqual({ 'content-type': 'text/xml; charset=utf-8', soapaction: '""' })
    expect(soapHeaders('1.2', 'urn:do')).toEqual({ 'content-type': 'application/soap+xml; charset=utf-8; action="urn:do"' })
    expect(soapMediaType(soapHeaders('1.2', 'urn:"x\\;')['content-type'])).toEqual({ soap: '1.2', action: 'urn:"x\\;' })
  })
})

test.each([[undefined, true], ['identity', true], ['', true], ['gzip', false], ['br', false], ['identity, gzip', false], [['identity', 'gzip'], false]])(
  'the content encoding %s is identity: %s', (coding, expected) => expect(isIdentity({ 'content-encoding': coding })).toBe(expected))

describe('a body', () => {
  async function* chunks(count: number, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < count; at++) yield new Uint8Array(size).fill(at)
  }
  test('is read up to the cap, and not one byte further', async () => {
    expect((await readBody(chunks(4, 25), 100)).length).toBe(100)
    expect(await readBody(chunks(0, 0), 100)).toEqual(new Uint8Array(0))
    await expect(readBody(chunks(4, 25), 99)).rejects.toThrow(HttpRefused)
    await expect(readBody(new Uint8Array(101), 100)).rejects.toMatchObject({ status: 413 })
  })
  test('without end is left as soon as it is too long', async () => {
    let read = 0
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        read += 1
        yield new Uint8Array(10)
      }
    }
    await expect(readBody(endless(), 1_000)).rejects.toMatchObject({ status: 413 })
    expect(read).toBe(101)
  })
})
