/**
 * The demo: a service and a client as two processes over HTTP on loopback, each on its own sealed SQLite file. One request and one response
 * are lost on purpose, the client is killed in the middle and started again; every order arrives once and in order all the same.
 *
 * Usage: npm run demo [-- --record DIR --danger-record-keys] [--keep DIR]
 *
 * @module
 */
import { type ChildProcess, fork } from 'node:child_process'
import { createHash, createSecretKey, randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { record, type Recording } from '../src/cli/record.ts'
import { drawPage, type Check } from './page.ts'
import { type Fate, startProxy } from './proxy.ts'
import { type Shape, shapeOf } from './shape.ts'
import { drawTerminal, type Line, short } from './story.ts'

const ORDERS = 8
const KILL_AT = 5

const { values: flags } = parseArgs({
  options: { record: { type: 'string' }, 'danger-record-keys': { type: 'boolean' }, keep: { type: 'string' }, page: { type: 'string' }, log: { type: 'string' } },
})
const here = fileURLToPath(new URL('.', import.meta.url))
const directory = flags.keep ?? mkdtempSync(join(tmpdir(), 'wsrm-demo-'))
mkdirSync(directory, { recursive: true })
for (const name of ['client', 'service']) {
  const keyring = { primary: 'demo', keys: [{ id: 'demo', key: randomBytes(32).toString('base64') }] }
  writeFileSync(join(directory, `${name}.keyring.json`), JSON.stringify(keyring), { mode: 0o600 })
}

const started = Date.now()
const lines: Line[] = []
const story = (text: string, at: 'client' | 'service' | 'runner'): void => void lines.push({ kind: 'event', atMs: Date.now() - started, at, text })
const children = new Set<ChildProcess>()
type Told = Readonly<Record<string, unknown>>

function start(file: string, args: readonly string[], hear: (told: Told) => void): { readonly child: ChildProcess; readonly exit: Promise<number | null>; told(name: string): Promise<unknown> } {
  const child = fork(join(here, file), args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv: ['--disable-warning=ExperimentalWarning'] })
  children.add(child)
  const waiting = new Map<string, (value: unknown) => void>()
  const log = (chunk: Buffer): void => void (flags.log === undefined ? process.stderr.write(chunk) : writeFileSync(flags.log, chunk, { flag: 'a' }))
  child.stdout?.on('data', log)
  child.stderr?.on('data', log)
  child.on('message', (message) => {
    const told = message as Told
    hear(told)
    for (const name of Object.keys(told)) waiting.get(name)?.(told[name])
  })
  const exit = new Promise<number | null>((resolve) => child.once('exit', (code) => { children.delete(child); resolve(code) }))
  return {
    child, exit,
    told: (name) => new Promise((resolve, reject) => {
      waiting.set(name, resolve)
      void exit.then((code) => reject(new Error(`${file} ended with ${code} before it said ${name}`)))
    }),
  }
}
const pem = (name: string): string => readFileSync(new URL(`identities/${name}`, import.meta.url), 'utf8')

let recording: Recording | undefined
if (flags.record !== undefined) {
  recording = record(flags.record, {
    scenario: 'the demo: mutual X.509 bootstrap, RM 1.1 scoped to the token, a lost request, a lost response, a killed client',
    versions: { soap: '1.2', addressing: '200508', rm: '1.1', sc: '200512', trust: '200512' }, suite: 'Basic256Sha256',
    ...(flags['danger-record-keys'] === true
      ? { dangerKeys: { certificates: [pem('client.pem'), pem('service.pem')], privateKeys: [pem('client.key.pem'), pem('service.key.pem')] } } : {}),
  })
}
try {
  const exitCode = await run()
  process.exitCode = exitCode
} finally {
  for (const child of children) child.kill('SIGKILL')
  if (flags.keep === undefined) rmSync(directory, { recursive: true, force: true })
}

async function run(): Promise<number> {
  const service = start('service.ts', [directory, flags['danger-record-keys'] === true ? 'danger-record-keys' : ''], (told) => {
    if (told['delivered'] !== undefined) story(`handler: message ${told['delivered']}, committed with the order`, 'service')
    const secret = told['secret'] as { identifier: string; instance?: string; value: string } | undefined
    if (secret !== undefined) recording?.secret({ identifier: secret.identifier, instance: secret.instance, secret: createSecretKey(secret.value, 'base64') })
  })
  const shapes: Shape[] = []
  const requests = new Map<string, number>()
  const fate = (body: Uint8Array): Fate => {
    const shape = safeShape(body)
    if (shape?.kind !== 'Place' || shape.number === undefined || shape.sequence === undefined) return 'pass'
    const key = `${shape.number} of ${shape.sequence}`
    const times = (requests.get(key) ?? 0) + 1
    requests.set(key, times)
    if (times === 1 && shape.number === '2') return 'lose-request'
    return times === 1 && shape.number === '3' ? 'lose-response' : 'pass'
  }
  const proxy = await startProxy(String(await service.told('listening')), fate, ({ event, lost }) => {
    recording?.message(event, lost ? 'dropped' : undefined)
    const shape = safeShape(event.body)
    if (shape !== undefined) shapes.push(shape)
    const n = lines.filter((line) => line.kind === 'message').length + 1
    lines.push({ kind: 'message', atMs: event.at - started, to: event.direction === 'request' ? 'service' : 'client', shape, lost, n, ...(event.http.status === undefined ? {} : { status: event.http.status }) })
  })

  let token = ''
  let second = ''
  const hear = (told: Told): void => {
    if (told['connected'] !== undefined) story(`connected under token ${short(String(told['connected']))}`, 'client')
    if (told['second'] !== undefined) story(`second conversation: token ${short(String(told['second']))} reused, nothing asked of the recipient`, 'client')
    if (told['replied'] !== undefined) story(`reply to order ${told['replied']}`, 'client')
    if (told['closed'] !== undefined) story('conversation closed', 'client')
  }
  const first = start('client.ts', [directory, proxy.url, String(ORDERS), String(KILL_AT)], (told) => {
    hear(told)
    if (told['connected'] !== undefined) token = String(told['connected'])
    if (told['second'] !== undefined) second = String(told['second'])
    if (told['kill'] !== undefined) {
      first.child.kill('SIGKILL')
      story(`the client is killed (SIGKILL) with order ${told['kill']} on its way`, 'runner')
    }
  })
  await first.exit
  const sequencesBefore = new Set(shapes.flatMap((shape) => (shape.kind === 'Place' && shape.sequence !== undefined ? [shape.sequence] : [])))
  story('the client is started again with the same name, store and keyring', 'runner')
  let tokenAfter = ''
  const again = start('client.ts', [directory, proxy.url, String(ORDERS), '0'], (told) => {
    hear(told)
    if (told['connected'] !== undefined) tokenAfter = String(told['connected'])
  })
  const clientExit = await again.exit
  service.child.send('end')
  const stored = (await service.told('orders')) as readonly string[]
  await service.exit
  await proxy.close()
  const tookMs = Date.now() - started

  const digestOf = (item: string): string => createHash('sha256').update(`<place xmlns="urn:example:orders"><item>${item}</item></place>`).digest('hex')
  const expected = Array.from({ length: ORDERS }, (_, at) => digestOf(`order ${at + 1}`))
  const newspaper = digestOf('a newspaper')
  const kinds = shapes.map((shape) => shape.kind)
  const count = (kind: string): number => kinds.filter((each) => each === kind).length
  const scoped = shapes.filter((shape) => !shape.kind.includes('RST'))
  const sequencesAfter = new Set(shapes.flatMap((shape) => (shape.kind === 'Place' && shape.sequence !== undefined ? [shape.sequence] : [])))
  const checks: readonly Check[] = [
    { text: '1. the RM engine asked the SCT manager for the UUID of the session\u2019s token', done: /^urn:uuid:[0-9a-f-]{36}$/.test(token) },
    { text: '2. one RST established it; the second conversation reused it', done: count('RST/SCT') === 1 && second === token },
    { text: '3. CreateSequence scoped to the token, signed by it', done: count('CreateSequence') >= 2 && signedEverywhere(shapes, 'CreateSequence', 'UsesSequenceSTR') },
    { text: '4. CreateSequenceResponse', done: count('CreateSequenceResponse') >= 2 },
    { text: `5. application messages: ${ORDERS} orders delivered once and in order`, done: JSON.stringify(stored.filter((digest) => digest !== newspaper)) === JSON.stringify(expected) },
    { text: '6. SequenceAcknowledgement, signed', done: shapes.some((shape) => shape.acknowledges.length > 0 && shape.signed.includes('SequenceAcknowledgement')) },
    { text: '7. CloseSequence and TerminateSequence with their responses, all of it under that token', done: count('TerminateSequenceResponse') >= 2 && scoped.every((shape) => shape.token === token) },
    { text: '8. after the crash: the same sequence under the same token, read from the sealed store', done: tokenAfter === token && [...sequencesAfter].every((sequence) => sequencesBefore.has(sequence)) },
    { text: 'one request and one response were lost on purpose', done: lines.filter((line) => line.kind === 'message' && line.lost).length >= 2 },
    { text: 'both processes ended well', done: clientExit === 0 },
  ]
  const good = checks.every((check) => check.done)
  const messages = lines.filter((line) => line.kind === 'message').length
  const summary = `${messages} messages in ${tookMs} ms: an X.509 bootstrap, two sequences scoped to one security context token, ${ORDERS} orders with replies, two losses, one SIGKILL.`
  const page = flags.page ?? join(here, 'out', 'conversation.html')
  mkdirSync(join(page, '..'), { recursive: true })
  writeFileSync(page, drawPage(lines, checks, summary))

  process.stdout.write(drawTerminal(lines, process.stdout.isTTY === true))
  process.stdout.write(`\n${summary}\n${checks.map((check) => `${check.done ? '✓' : '✗'} ${check.text}`).join('\n')}\n`)
  process.stdout.write(`\nThe same as a page: ${relative(process.cwd(), page)}\n`)
  return good ? 0 : 1
}

function safeShape(body: Uint8Array): Shape | undefined {
  return body.length === 0 ? undefined : shapeOf(body)
}
function signedEverywhere(shapes: readonly Shape[], kind: string, part: string): boolean {
  return shapes.filter((shape) => shape.kind === kind).every((shape) => shape.signed.includes(part) && shape.signed.includes('Body'))
}
