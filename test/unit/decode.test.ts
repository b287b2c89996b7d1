/** What `wsrm decode` says of a message, of a folder, and of files that are not what they should be. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { decodeConversation, runDecode } from '../../src/cli/decode.ts'
import { decodeMessage, type KeyFile, policyFor, RecordedKeys } from '../../src/decode.ts'
import { UsageError } from '../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { AES256_CBC, SHA1, SHA256 } from '../../src/spec/algorithms.ts'
import { read } from '../../src/wss/open.ts'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const RENEWAL = at('../fixture/cxf-cxf-renew')
const TLS = at('../fixture/cxf-cxf-tls-endorsing')
const keyFile = (folder: string): KeyFile => JSON.parse(readFileSync(join(folder, 'keys.json'), 'utf8')) as KeyFile
const scratch = mkdtempSync(join(tmpdir(), 'decode-'))
afterAll(() => rmSync(scratch, { recursive: true }))
const file = (name: string, text: string): string => {
  writeFileSync(join(scratch, name), text)
  return join(scratch, name)
}

describe('a conversation', () => {
  const lines = [...decodeConversation(RENEWAL)]
  test('is read in order, one line a file, empty answers skipped', () => {
    expect(lines.map((line) => line.file)).toEqual(lines.map((_, index) => expect.stringContaining(String(index + 1).padStart(3, '0'))))
    expect(lines.every((line) => line.opened)).toBe(true)
  })
  test('a line names who signed, what was covered and encrypted, and the words of RM', () => {
    expect(lines[0]).toMatchObject({ soap: '1.2', token: { certificate: expect.stringMatching(/^[0-9a-f]{40}$/) } })
    const message = lines.find((line) => line.opened && line.sequence !== undefined)
    expect(message).toMatchObject({
      token: { identifier: expect.stringMatching(/^uuid:/) }, sequence: { identifier: expect.any(String), number: 1 },
      covered: expect.arrayContaining(['{http://www.w3.org/2005/08/addressing}Action', '{http://docs.oasis-open.org/ws-rx/wsrm/200702}Sequence']), encrypted: ['{http://www.w3.org/2003/05/soap-envelope}Body'], body: expect.stringMatching(/^<.*>$/),
    })
    expect(lines.some((line) => line.opened && line.token?.instance !== undefined)).toBe(true)
  })
  test('no key is in any line, not even the one that an RSTR brings', () => {
    const said = JSON.stringify(lines)
    expect(said).toContain('BinarySecret')
    for (const { secret } of keyFile(RENEWAL).contexts ?? []) for (const form of ['base64', 'hex'] as const) expect(said).not.toContain(Buffer.from(secret, 'base64').toString(form))
  })
  test('another policy may be given: what TLS protected is not protected by itself', () => {
    const policy = file('headers.json', '{"bootstrap":"headers","session":"headers"}')
    const strict = [...decodeConversation(TLS, { policy })]
    expect(strict.filter((line) => line.opened)).toEqual([])
    expect(strict[0]).toMatchObject({ opened: false, code: 'ERR_WSS_NO_SIGNATURE' })
    expect([...decodeConversation(TLS)].every((line) => line.opened)).toBe(true)
  })
})

describe('policies', () => {
  const envelope = (folder: string, name: string): ReturnType<typeof read> => read(readFileSync(join(folder, name)), DEFAULT_LIMITS)
  test('RST and RSTR are bootstrap, messages of the session are not; Cancel under the context alone is of the session', () => {
    const levels = { bootstrap: 'body', session: 'transport' } as const
    expect(['001-request.xml', '002-response.xml', '003-request.xml'].map((name) => policyFor(envelope(RENEWAL, name), levels).level)).toEqual(['body', 'body', 'transport'])
    const metro = at('../fixture/metro-metro-x509-basic256')
    expect(policyFor(envelope(metro, '023-request.xml'), levels).level).toBe('transport')
  })
  test('a suite allows its algorithms and no others; none allows all', () => {
    expect(policyFor(envelope(RENEWAL, '003-request.xml'), {}).algorithms).toBeUndefined()
    const { algorithms } = policyFor(envelope(RENEWAL, '003-request.xml'), { suite: 'Basic256Sha256' })
    expect([SHA256, AES256_CBC, SHA1].map((row) => algorithms?.has(row.uri))).toEqual([true, true, false])
    expect(() => policyFor(envelope(RENEWAL, '003-request.xml'), { suite: 'constructor' })).toThrow(UsageError)
  })
  test('a suite and encryptBody are asked of the message', () => {
    const bytes = readFileSync(join(RENEWAL, '003-request.xml'))
    const now = Date.parse((JSON.parse(readFileSync(join(RENEWAL, 'conversation.json'), 'utf8')) as { messages: { at: string }[] }).messages[2]?.at ?? '')
    const decode = (policy: object) => decodeMessage(bytes, new RecordedKeys(keyFile(RENEWAL)), policy, now)
    expect(decode({})).toMatchObject({ opened: true })
    expect(decode({ encryptBody: true })).toMatchObject({ opened: true })
    expect(decode({ suite: 'Basic256Sha256' })).toEqual({ opened: false, code: 'ERR_WSS_ALGORITHM' })
    expect(decodeMessage(bytes, new RecordedKeys({}), {}, now)).toEqual({ opened: false, code: 'ERR_WSS_UNKNOWN_CONTEXT' })
    expect(decodeMessage(bytes, new RecordedKeys(keyFile(RENEWAL)), {}, now + 3_600_000)).toEqual({ opened: false, code: 'ERR_WSS_TIMESTAMP' })
  })
  test('what is no message at all is refused with a code', () => {
    const decode = (text: string) => decodeMessage(Buffer.from(text), new RecordedKeys({}), {}, 0)
    expect([decode('<a'), decode('<a/>'), decode('<!DOCTYPE a><a/>')]).toEqual([
      { opened: false, code: 'ERR_XML_MALFORMED' }, { opened: false, code: 'ERR_SOAP_VERSION' }, { opened: false, code: 'ERR_XML_DOCTYPE' },
    ])
  })
})

describe('the command', () => {
  test('prints one JSON object a line and exits with 0 when all opened, with 1 when one was refused', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [at('../../src/cli/wsrm.ts'), 'decode', at('../fixture/cxf-cxf-tamper')], { encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' })
    expect(new Set(stdout.trimEnd().split('\n').map((line) => (JSON.parse(line) as { opened: boolean }).opened))).toEqual(new Set([true, false]))
  })
  test('files one by one, with keys and a time', async () => {
    const written: string[] = []
    const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0)
    const { messages } = JSON.parse(readFileSync(join(RENEWAL, 'conversation.json'), 'utf8')) as { messages: { at: string }[] }
    const status = await runDecode([join(RENEWAL, '003-request.xml'), '--keys', join(RENEWAL, 'keys.json'), '--now', messages[2]?.at ?? '']).finally(() => spy.mockRestore())
    expect({ status, line: JSON.parse(written.join('')) as unknown }).toMatchObject({ status: 0, line: { file: '003-request.xml', opened: true, createSequence: { acksTo: expect.any(String) } } })
  })
  const secret = Buffer.alloc(32, 0x77).toString('base64')
  const message = join(RENEWAL, '003-request.xml')
  test.each<readonly [string, () => readonly string[]]>([
    ['no file', () => []], ['no keys', () => [message]], ['keys that are not there', () => [message, '--keys', join(scratch, 'none.json')]],
    ['keys that are no JSON', () => [message, '--keys', file('broken.json', `{"contexts":[{"identifier":"a","secret":"${secret}"`)]],
    ['a private key that is none', () => [message, '--keys', file('wrong.json', JSON.stringify({ privateKeys: [`-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----`] }))]],
    ['a message that is not there', () => [join(scratch, 'none.xml'), '--keys', join(RENEWAL, 'keys.json')]], ['one time for a whole conversation', () => [RENEWAL, '--now', '2026-01-01T00:00:00Z']],
    ['a folder and more', () => [RENEWAL, message]], ['a time that is none', () => [message, '--keys', join(RENEWAL, 'keys.json'), '--now', 'soon']], ['an option that is none', () => ['--odd']],
  ])('usage: %s, and nothing of a key file is repeated', async (_, args) => {
    const error = await runDecode(args()).then(() => undefined, (thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(UsageError)
    expect(String(error)).not.toContain(secret)
  })
})
