/** The command as a process: what it prints where, and what it exits with. */
import { type ChildProcess, spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const binary = fileURLToPath(new URL('../../../src/cli/wsrm.ts', import.meta.url))
const identities = fileURLToPath(new URL('../../../demo/identities/', import.meta.url))
const fixtures = fileURLToPath(new URL('../../fixture/', import.meta.url))
const of = (name: string): string => join(identities, name)

let folder = ''
const running = new Set<ChildProcess>()
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'wsrm-command-')) })
afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})
const write = (name: string, value: unknown): string => {
  writeFileSync(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value), { mode: 0o600 })
  return join(folder, name)
}

interface Ended { readonly code: number | null; readonly out: string; readonly err: string }
interface Running { readonly ended: Promise<Ended>; stop(): Promise<Ended>; heard(pattern: RegExp): Promise<RegExpExecArray> }
function start(args: readonly string[], input = ''): Running {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', binary, ...args], { stdio: ['pipe', 'pipe', 'pipe'], cwd: folder })
  running.add(child)
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const said = { out: '', err: '' }
  const listeners = new Set<() => void>()
  const hear = (channel: 'out' | 'err') => (chunk: Buffer): void => {
    said[channel] += chunk.toString('utf8')
    for (const listener of listeners) listener()
  }
  child.stdout.on('data', hear('out'))
  child.stderr.on('data', hear('err'))
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => { running.delete(child); resolve({ code, ...said }) }))
  return {
    ended,
    stop: () => { child.kill('SIGTERM'); return ended },
    heard: (pattern) => new Promise((resolve, reject) => {
      const listen = (): void => {
        const match = pattern.exec(said.err)
        if (match !== null) resolve(match)
      }
      listeners.add(listen)
      listen()
      void ended.then(({ code, err }) => reject(new Error(`ended with ${code} before it said ${pattern}: ${err}`)))
    }),
  }
}
const run = (args: readonly string[], input?: string): Promise<Ended> => start(args, input).ended
const lines = (text: string): readonly Record<string, unknown>[] => text.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)

describe('usage', () => {
  test('--help goes to stdout and ends with 0', async () => {
    const { code, out, err } = await run(['--help'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/wsrm call URL/)
  })
  test.each(['decode', 'call', 'serve'])('%s --help and -h say the same', async (command) => {
    const { out } = await run(['--help'])
    for (const flag of ['--help', '-h']) expect(await run([command, flag])).toEqual({ code: 0, out, err: '' })
  })
  test('--version is that of the package', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }
    expect(await run(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' })
  })
  const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['nothing', [], /wsrm decode FILE/],
    ['an unknown command', ['explode'], /no command "explode"/],
    ['an unknown option', ['call', 'http://localhost/', '--verbose'], /Unknown option '--verbose'/],
    ['no URL', ['call', '--config', 'c.json', '--action', 'a'], /call takes one URL/],
    ['no config', ['call', 'http://localhost/', '--action', 'a'], /--config is needed/],
    ['a config that is not there', ['call', 'http://localhost/', '--action', 'a', '--config', 'nowhere.json'], /nowhere\.json cannot be read \(ENOENT\)/],
    ['keys without a recording', ['serve', '--config', 'c.json', '--port', '0', '--danger-record-keys'], /goes with --record/],
    ['a port that is none', ['serve', '--config', 'c.json', '--port', '70000'], /--port is a number/],
    ['a count of nothing', ['call', 'http://localhost/', '--action', 'a', '--config', 'c.json', '--count', '0'], /--count is a whole number above 0/],
    ['decode without keys', ['decode', 'a.xml'], /--keys is needed/],
  ]
  test.each(wrong)('%s is a usage error', async (_, args, complaint) => {
    const { code, out, err } = await run(args)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toMatch(complaint)
    expect(err).not.toMatch(/\n\s+at /)
  })
})

describe('decode', () => {
  test('a recorded conversation in order, one object a line', async () => {
    const { code, out } = await run(['decode', join(fixtures, 'cxf-cxf-x509-basic256')])
    expect(code).toBe(0)
    expect(lines(out).every(({ opened, file }) => opened === true && typeof file === 'string')).toBe(true)
  })
  test('a message that is refused is a line and exit code 1', async () => {
    const { code, out } = await run(['decode', join(fixtures, 'cxf-cxf-tamper')])
    expect(code).toBe(1)
    expect(lines(out).filter(({ opened }) => opened === false).every(({ code: reason }) => /^ERR_/.test(String(reason)))).toBe(true)
  })
  test('single files need their time: later, the Timestamp has run out', async () => {
    const directory = join(fixtures, 'cxf-cxf-x509-basic256')
    const { messages } = JSON.parse(readFileSync(join(directory, 'conversation.json'), 'utf8')) as { messages: readonly { file: string; at: string }[] }
    const [first] = messages
    const args = ['decode', join(directory, first?.file ?? ''), '--keys', join(directory, 'keys.json')]
    expect(await run([...args, '--now', first?.at ?? ''])).toMatchObject({ code: 0 })
    expect(await run([...args, '--now', '2036-01-01T00:00:00Z'])).toMatchObject({ code: 1, out: expect.stringMatching(/"opened":false/) })
  })
  test('no secret of the key file is repeated, in answers or in errors', async () => {
    const keys = write('bad-keys.json', '{ "contexts": [ hunter2-secret')
    const shape = write('odd-keys.json', { contexts: [{ identifier: 'urn:a', secret: 5 }], passwords: { alice: 'hunter2-secret' } })
    for (const path of [keys, shape]) {
      const { code, out, err } = await run(['decode', join(fixtures, 'cxf-cxf-renew'), '--keys', path])
      expect(code).toBe(2)
      expect(out + err).not.toMatch(/hunter2/)
    }
  })
})

describe('call and serve', () => {
  const trust = { authorities: [of('authority.pem')] }
  const client = (more: object = {}): object => ({ bootstrap: { kind: 'x509', certificate: of('client.pem'), key: of('client.key.pem'), service: of('service.pem') }, trust, ...more })
  const service = (more: object = {}): object => ({ accept: [{ kind: 'x509', certificate: of('service.pem'), key: of('service.key.pem'), trust }], path: '/echo', ...more })
  const serve = async (more: readonly string[] = [], config = service()): Promise<Running & { readonly url: string }> => {
    const serving = start(['serve', '--config', write(`service-${Math.floor(performance.now() * 1_000)}.json`, config), '--port', '0', '--json', ...more])
    const [, url = ''] = await serving.heard(/listening on (\S+)/)
    return { ...serving, url }
  }
  const body = '<echo xmlns="urn:example:echo">grüß dich</echo>'

  test('requests are answered with their own body, deliveries are printed in order', async () => {
    const { url, stop } = await serve()
    const called = await run(['call', url, '--config', write('client.json', client()), '--action', 'urn:example:echo/Echo', '--count', '3', '--json'], body)
    expect(called).toMatchObject({ code: 0, err: expect.stringMatching(/connected under token urn:uuid:[\s\S]*closed/) })
    expect(lines(called.out)).toEqual(Array.from({ length: 3 }, () => ({ action: 'urn:example:echo/EchoResponse', body })))
    const served = await stop()
    expect(served.code).toBe(0)
    expect(lines(served.out).map(({ number, action, body: delivered }) => ({ number, action, delivered }))).toEqual([1, 2, 3].map((number) => ({ number, action: 'urn:example:echo/Echo', delivered: body })))
  })

  test('one-way messages are acknowledged, and a handler of a module is called', async () => {
    write('handler.mjs', 'export default async (message) => { console.error(`handled ${message.number}`) }\n')
    const { url, stop } = await serve(['--handler', join(folder, 'handler.mjs')])
    const called = await run(['call', url, '--config', write('client.json', client()), '--action', 'urn:example:echo/Tell', '--one-way', '--body', write('body.xml', body)])
    expect(called).toMatchObject({ code: 0, out: 'message 1 acknowledged\n' })
    expect(await stop()).toMatchObject({ code: 0, err: expect.stringMatching(/handled 1/) })
  })

  test('a recording of both sides is read by decode, with the keys only when asked for by name', async () => {
    const { url, stop } = await serve(['--record', join(folder, 'served')])
    const args = ['call', url, '--config', write('client.json', client()), '--action', 'urn:example:echo/Echo', '--record', join(folder, 'called'), '--danger-record-keys']
    expect(await run(args, body)).toMatchObject({ code: 0 })
    await stop()
    expect(existsSync(join(folder, 'served', 'keys.json'))).toBe(false)
    // The RST is encrypted for the service: its key is not the client's to record.
    const keys = JSON.parse(readFileSync(join(folder, 'called', 'keys.json'), 'utf8')) as { privateKeys: string[] }
    keys.privateKeys.push(readFileSync(of('service.key.pem'), 'utf8'))
    const decoded = await run(['decode', join(folder, 'called'), '--keys', write('both-keys.json', keys)])
    expect(decoded.code).toBe(0)
    const actions = lines(decoded.out).map(({ action }) => String(action).split('/').at(-1))
    for (const action of ['SCT', 'CreateSequence', 'CreateSequenceResponse', 'Echo', 'EchoResponse', 'CloseSequence', 'TerminateSequence', 'TerminateSequenceResponse', 'Cancel']) expect(actions).toContain(action)
    const other = await run(['decode', join(folder, 'served'), '--keys', join(folder, 'both-keys.json')])
    expect(other).toMatchObject({ code: 0 })
  })

  test('a client that the service does not trust is refused, and exits with 1', async () => {
    const pins = [new X509Certificate(readFileSync(of('client.pem'))).fingerprint256]
    const { url, stop } = await serve([], service({ accept: [{ kind: 'x509', certificate: of('service.pem'), key: of('service.key.pem'), trust: { pins } }] }))
    const stranger = { ...client(), bootstrap: { kind: 'x509', certificate: of('intruder.pem'), key: of('intruder.key.pem'), service: of('service.pem') } }
    const called = await run(['call', url, '--config', write('stranger.json', stranger), '--action', 'urn:example:echo/Echo', '--timeout', '5000'], body)
    expect(called).toMatchObject({ code: 1, out: '' })
    expect(called.err).toMatch(/ERR_/)
    expect(await stop()).toMatchObject({ code: 0, out: '', err: expect.stringMatching(/refused: ERR_/) })
  })

  test('a body that is no XML is a usage error, and nothing is sent', async () => {
    const { url, stop } = await serve()
    const called = await run(['call', url, '--config', write('client.json', client()), '--action', 'urn:example:echo/Echo', '--json'], '<open>')
    expect(called.code).not.toBe(0)
    expect(called.out + called.err).toMatch(/ERR_/)
    expect((await stop()).out).toBe('')
  })

  test('nobody listens: the command says so and ends with 1', async () => {
    const called = await run(['call', 'http://127.0.0.1:9/echo', '--config', write('client.json', client()), '--action', 'urn:example:echo/Echo', '--timeout', '1500'], body)
    expect(called).toMatchObject({ code: 1, out: '' })
    expect(called.err).toMatch(/ERR_/)
  })
})
