/**
 * Real processes on real files: clients and services that are killed at moments of chance (seeded), that share a file, that open the same
 * conversation. What counts is what the application finds in its own table: every message once and in order.
 *
 * @module
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { createSerializer, DEFAULT_LIMITS, Keyring, SctManager, type TokenId } from '../../src/index.ts'
import { systemClock } from '../../src/clock.ts'
import { systemRandom } from '../../src/crypto/random.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'

const here = fileURLToPath(new URL('processes', import.meta.url))
type Told = Readonly<Record<string, unknown>>

class Party {
  readonly child: ChildProcess
  readonly told: Told[] = []
  readonly ended: Promise<void>
  #hear: (() => void)[] = []

  constructor(file: string, ...args: readonly string[]) {
    this.child = fork(join(here, file), args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: ['--disable-warning=ExperimentalWarning'] })
    this.child.on('message', (message) => {
      this.told.push(message as Told)
      for (const hear of this.#hear.splice(0)) hear()
    })
    this.ended = new Promise((resolve) => this.child.once('exit', () => {
      resolve()
      for (const hear of this.#hear.splice(0)) hear()
    }))
  }
  /** The first thing told under that name. */
  async hear(name: string): Promise<unknown> {
    for (;;) {
      const found = this.told.find((each) => name in each)
      if (found !== undefined) return found[name]
      if (this.child.exitCode !== null || this.child.signalCode !== null) throw new Error(`the process ended before it said ${name}: ${JSON.stringify(this.told.slice(-5))}`)
      await new Promise<void>((resolve) => void this.#hear.push(resolve))
    }
  }
  all(name: string): readonly unknown[] { return this.told.filter((each) => name in each).map((each) => each[name]) }
  say(message: number | string): void { if (this.child.connected) this.child.send(message, () => {}) }
  kill(): Promise<void> {
    this.child.kill('SIGKILL')
    return this.ended
  }
}

class World {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'wsrm-processes-'))
  readonly parties = new Set<Party>()
  constructor() {
    for (const name of ['client', 'service']) {
      writeFileSync(join(this.folder, `${name}.keyring.json`), JSON.stringify({ primary: 'k', keys: [{ id: 'k', key: randomBytes(32).toString('base64') }] }), { mode: 0o600 })
    }
    const database = new DatabaseSync(join(this.folder, 'service.db'))
    database.exec('CREATE TABLE orders (position INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL, by INTEGER NOT NULL)')
    database.close()
    onTestFinished(async ({ task }) => {
      // Where it stood: the last words of every process that still lived.
      if (task.result?.state === 'fail') {
        for (const { child, told } of this.parties) if (child.exitCode === null && child.signalCode === null) console.log(`still alive: ${child.spawnargs.slice(2).join(' ')}\n  ${told.slice(-8).map((each) => JSON.stringify(each)).join('\n  ')}`)
      }
      for (const party of this.parties) await party.kill()
      rmSync(this.folder, { recursive: true, force: true })
    })
  }
  start(file: string, ...args: readonly string[]): Party {
    const party = new Party(file, this.folder, ...args)
    this.parties.add(party)
    return party
  }
  async service(port = 0): Promise<{ readonly party: Party; readonly url: string }> {
    const party = this.start('service.ts', String(port))
    return { party, url: String(await party.hear('listening')) }
  }
  client(url: string, prefix = '', name = 'orders'): Party { return this.start('client.ts', url, name, prefix) }
  orders(): readonly { readonly item: string; readonly by: number }[] {
    const database = new DatabaseSync(join(this.folder, 'service.db'), { readOnly: true })
    const rows = database.prepare('SELECT item, by FROM orders ORDER BY position').all() as unknown as { item: string; by: number }[]
    database.close()
    return rows.map(({ item, by }) => ({ item, by }))
  }
  items(): readonly string[] { return this.orders().map(({ item }) => item) }
  /** What is left of a token at the service. */
  async tokenAtService(id: TokenId): Promise<string | undefined> {
    await using store = await openSqliteStore(join(this.folder, 'service.db'))
    const serializer = createSerializer(await Keyring.fromFile(join(this.folder, 'service.keyring.json')), systemRandom)
    await using tokens = new SctManager({ store, serializer, clock: systemClock, random: systemRandom, limits: DEFAULT_LIMITS })
    return (await tokens.status(id))?.state
  }
}

const upTo = (count: number, prefix = ''): readonly string[] => Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`)
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
/** mulberry32. */
function chanceOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const ROUNDS = 20
const EACH = 8
const ENDINGS = 6

test('twenty times a client, a service or both are killed: every message is consumed once and in order, every reply obtained, all is ended', { timeout: 600_000 }, async () => {
  const world = new World()
  const chance = chanceOf(Number(process.env['WSRM_SEED'] ?? 20_261_123))
  let { party: service, url } = await world.service()
  const port = Number(new URL(url).port)
  let client = world.client(url)
  const kills = { client: 0, service: 0, both: 0 }
  const trouble: unknown[] = []
  const endings: string[] = []
  const moments: ('start' | 'middle' | 'end')[] = []
  for (let round = 1; round <= ROUNDS; round++) {
    client.say(round * EACH)
    // From before the connection is there until the messages of the round are done.
    await pause(chance() * 800)
    moments.push(client.all('connected').length === 0 ? 'start' : client.all('replied').length < round * EACH ? 'middle' : 'end')
    const victim = (['client', 'service', 'both'] as const)[Math.floor(chance() * 3)] ?? 'both'
    kills[victim]++
    trouble.push(...client.all('failed'), ...client.all('lost'), ...client.all('refused'), ...service.all('error'))
    await Promise.all([victim !== 'service' && client.kill(), victim !== 'client' && service.kill()])
    if (victim !== 'client') ({ party: service } = await world.service(port))
    if (victim !== 'service') client = world.client(url)
  }
  // The end, too, may be cut short, at each side and at any moment.
  for (let round = 0; round < ENDINGS; round++) {
    client.say(ROUNDS * EACH)
    client.say('close')
    await client.hear('connected')
    await pause(chance() * 250)
    const isBoth = chance() < 0.5
    trouble.push(...client.all('failed'), ...client.all('lost'), ...client.all('refused'), ...service.all('error'))
    endings.push(client.all('closed').length === 0 ? 'before' : 'after')
    await Promise.all([client.kill(), isBoth && service.kill()])
    if (isBoth) ({ party: service } = await world.service(port))
    client = world.client(url)
  }
  client.say(ROUNDS * EACH)
  client.say('close')
  const closed = await client.hear('closed')
  await client.ended
  service.say('end')
  const sequences = await service.hear('sequences') as readonly { readonly state: string }[]
  await service.ended
  console.log(`${ROUNDS} rounds, kills ${JSON.stringify(kills)}, at ${JSON.stringify(Object.groupBy(moments, (moment) => moment), (_, value) => Array.isArray(value) ? value.length : value)}, ${endings.length} endings cut short (${endings.filter((each) => each === 'before').length} before they were through), ${sequences.length} sequences at the service`)

  expect(trouble).toEqual([])
  expect(world.items()).toEqual(upTo(ROUNDS * EACH))
  expect(new Set(client.told.filter((each) => 'replied' in each).map(({ replied, body }) => `${replied} ${body}`)))
    .toEqual(new Set(upTo(ROUNDS * EACH).map((n) => `${n} <placed xmlns="urn:example:orders">${n}</placed>`)))
  expect(client.all('failed')).toEqual([])
  expect(closed).toMatchObject({ outcome: 'terminated', lost: [], token: 'cancelled' })
  expect(await world.tokenAtService((closed as { id: TokenId }).id)).toBe('cancelled')
  expect(sequences.map(({ state }) => state)).toContain('ended')
  expect(sequences.filter(({ state }) => state !== 'ended')).toEqual([])
})

/** Hands each request to the next of several services. */
async function alternate(urls: readonly string[]): Promise<{ readonly url: string; readonly answered: readonly Map<number, number>[] }> {
  let turn = 0
  const answered = urls.map(() => new Map<number, number>())
  const server = createServer((incoming, outgoing) => {
    const at = turn++ % urls.length
    const to = urls[at] ?? ''
    const onward = request(to, { method: incoming.method, headers: incoming.headers, agent: false }, (answer) => {
      const { statusCode = 502 } = answer
      answered[at]?.set(statusCode, (answered[at]?.get(statusCode) ?? 0) + 1)
      outgoing.writeHead(statusCode, answer.headers)
      answer.pipe(outgoing)
    })
    onward.on('error', () => outgoing.destroy())
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, answered }
}

test('two services on one file, requests by turns: nothing is lost, nothing doubled', { timeout: 120_000 }, async () => {
  const world = new World()
  const services = [await world.service(), await world.service()]
  const { url, answered } = await alternate(services.map((each) => each.url))
  const client = world.client(url)
  client.say(40)
  client.say('close')
  const closed = await client.hear('closed')
  expect(client.all('failed')).toEqual([])
  expect(client.all('lost')).toEqual([])
  expect(world.items()).toEqual(upTo(40))
  expect(new Set(client.all('replied'))).toEqual(new Set(Array.from({ length: 40 }, (_, index) => index + 1)))
  expect(closed).toMatchObject({ outcome: 'terminated', lost: [], token: 'cancelled' })
  // Both had a part in it.
  console.log(answered.map((statuses) => JSON.stringify(Object.fromEntries(statuses))).join(' and '), services.map(({ party }) => JSON.stringify([...party.all('error'), ...party.all('security')])).join('\n'))
  for (const statuses of answered) expect(statuses.get(200)).toBeGreaterThan(5)
  expect(await world.tokenAtService((closed as { id: TokenId }).id)).toBe('cancelled')
})

test('a second process opens the conversation of a first that lives: what both send is consumed once', { timeout: 120_000 }, async () => {
  const world = new World()
  const { url, party: service } = await world.service()
  const first = world.client(url)
  await first.hear('connected')
  first.say(10)
  const second = world.client(url)
  await Promise.race([second.hear('connected'), second.hear('refused')])
  first.say(20)
  second.say(30)
  first.say(30)
  first.say('detach')
  second.say('detach')
  await Promise.all([first.hear('detached'), second.hear('detached')])
  console.log(JSON.stringify([first.told.filter((t) => !('replied' in t)), second.told.filter((t) => !('replied' in t)), service.told]))
  expect(world.items()).toEqual(upTo(30))
})

test('two processes open a new conversation of one name at the same moment: there is one', { timeout: 120_000 }, async () => {
  const world = new World()
  const { url } = await world.service()
  const pair = [world.client(url), world.client(url)]
  for (const each of pair) each.say(10)
  await Promise.all(pair.map((each) => Promise.race([each.hear('connected'), each.hear('refused')])))
  for (const each of pair) each.say('detach')
  await Promise.all(pair.map((each) => Promise.race([each.hear('detached'), each.hear('refused')])))
  console.log(JSON.stringify(pair.map((each) => each.told.filter((t) => !('replied' in t)))))
  expect(world.items()).toEqual(upTo(10))
})
