/**
 * One cell, live: both sides are started, the network is put between them, at least twenty messages go their way, and everything is looked at:
 * what each application was given, how it ended, and every message that we wrote.
 *
 * @module
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { record } from '../src/cli/record.ts'
import { type Client, type ClientOptions, connect, type ConnectOptions, createClient, createService, type Conversation, type Service, type ServiceOptions, WsrmError } from '../src/index.ts'
import { type Cell, nameOf } from './cells.ts'
import { inspect, Journal } from './journal.ts'
import { isSpared, repeats } from './limits.ts'
import { type Fates, lossy, type Network, startNetwork } from './network.ts'
import { AUTHORITY, bodyOf, clientBootstrapOf, ECHO, isTls, NOTE, PATH, profileOf, REPLIES, scenarioOf, SERVICE, serviceBootstrapOf, textOf, TRUST } from './ours.ts'
import type { Peer, Scenario } from './peer.ts'

const MESSAGES = 20
/** Where messages are lost they are to be seen again soon; where none is, nothing is said twice. A mailbox needs its polls in between. */
const RETRANSMIT_MS = { clean: 5_000, lossy: 300, mailbox: 1_500 }
export const PATIENCE_MS = 60_000

/** One run of a cell, with what is to be said when it fails. */
export class Run implements AsyncDisposable {
  readonly cell: Cell
  readonly seed: number
  readonly network: Network
  readonly journal: Journal
  readonly scenario: Scenario
  /** What our side refused, and why: the other side is told less. */
  readonly refusals: string[] = []
  /** The case loses something by itself: it is to be seen again soon. */
  isHurried = false
  readonly #after: (() => PromiseLike<void>)[] = []

  private constructor(cell: Cell, seed: number, network: Network, scenario: Scenario) {
    this.cell = cell
    this.seed = seed
    this.network = network
    this.scenario = scenario
    this.journal = new Journal(cell.role)
  }
  static async start(cell: Cell, seed: number, scenario: Scenario = scenarioOf(cell)): Promise<Run> {
    const fates: { fates?: Fates } = cell.network === 'lossy' ? { fates: lossy(seed, (action, what) => isSpared(cell, action, what)) } : {}
    return new Run(cell, seed, await startNetwork({ tls: isTls(cell), ...fates }), scenario)
  }
  /** What is to be stopped when the run is over, the last first. */
  after(stop: () => PromiseLike<void>): void { this.#after.push(stop) }

  /** Our client of this cell. */
  get clientOptions(): ClientOptions {
    const listen = this.cell.endpoint === 'address' ? { listen: { port: 0, path: REPLIES } } : {}
    const retransmitAfterMs = this.isHurried ? RETRANSMIT_MS.lossy : RETRANSMIT_MS[this.cell.network === 'lossy' && this.cell.endpoint === 'make-connection' ? 'mailbox' : this.cell.network]
    return { retransmitAfterMs, dangerTap: this.journal, ...listen }
  }
  /** How it connects with their service, which the network leads to. */
  get connectOptions(): ConnectOptions { return { bootstrap: clientBootstrapOf(this.cell), trust: TRUST, profile: profileOf(this.cell), timeoutMs: PATIENCE_MS } }
  async connect(): Promise<Conversation> {
    const conversation = await patiently(() => connect(this.network.url, { ...this.clientOptions, ...this.connectOptions }))
    conversation.on('security', ({ code, detail }) => void this.refusals.push(`${code} ${detail ?? ''}`))
    return conversation
  }
  /** A client for several conversations. */
  client(options: ClientOptions = {}): Client {
    const client = createClient({ ...this.clientOptions, ...options })
    this.after(() => client[Symbol.asyncDispose]())
    return client
  }
  /** Their service; `stop` is remembered. */
  async theirService(peer: Peer): Promise<string> {
    const { service, url } = await peer.serve(this.scenario)
    this.after(() => peer.stop({ service }))
    this.network.to(url)
    return service
  }
  /** Our service, with the texts that its application was given. */
  async ourService(options: Partial<ServiceOptions> = {}): Promise<{ readonly service: Service; readonly received: readonly string[] }> {
    const received: string[] = []
    const service = await createService({
      accept: [serviceBootstrapOf(this.cell)], profile: profileOf(this.cell), address: this.network.url, dangerTap: this.journal,
      operations: { [ECHO]: { shape: 'request' }, [NOTE]: { shape: 'one-way' } }, bindUnscopedToSigner: this.cell.peer === 'cxf',
      ...(this.cell.endpoint === 'address' && { addresses: () => true, dangerPrivateAddresses: true, addressTrust: TRUST }),
      handle: async ({ body, action }) => {
        received.push(textOf(body))
        return action === ECHO ? { reply: { body: bodyOf('echoResponse', textOf(body)) } } : undefined
      },
      ...options,
    })
    this.after(() => service.close({ timeoutMs: 1_000 }))
    service.on('security', ({ code, detail }) => void this.refusals.push(`${code} ${detail ?? ''}`))
    const { url } = await service.listen({ port: 0, path: PATH, ...(isTls(this.cell) && { tls: { cert: SERVICE.certificate, key: SERVICE.key, ca: AUTHORITY, requestCert: true } }) })
    this.network.to(url)
    return { service, received }
  }
  async theirClient(peer: Peer): Promise<string> {
    const { client } = await peer.open(this.scenario, this.network.url)
    this.after(() => peer.stop({ client }))
    return client
  }

  /** The recording of what went over the network, in `folder`, with the keys that our side knows. */
  write(folder: string): readonly string[] {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    const { soap, addressing, rm, sc, suite } = this.cell
    const { certificates = [], privateKeys = [], contexts = [] } = this.journal.keys
    const recording = record(folder, { scenario: nameOf(this.cell), versions: { soap, addressing, rm, sc, trust: sc }, suite, dangerKeys: { certificates, privateKeys } })
    for (const { identifier, instance, secret } of contexts) recording.secret({ identifier, instance, secret: { export: () => Buffer.from(secret, 'base64') } })
    for (const { event, isLost } of this.network.passed) recording.message(event, isLost ? 'dropped' : undefined)
    const keys = join(folder, 'keys.json')
    writeFileSync(keys, `${JSON.stringify({ ...JSON.parse(readFileSync(keys, 'utf8')) as object, passwords: this.journal.keys.passwords }, null, 1)}\n`)
    return this.network.passed.flatMap(({ event }, index) => (event.body.length === 0 ? [] : [join(folder, `${String(index + 1).padStart(3, '0')}-${event.direction}.xml`)]))
  }
  async [Symbol.asyncDispose](): Promise<void> {
    // A stack that is still trying takes its time to stop: it has some.
    for (const stop of this.#after.reverse()) await Promise.race([stop().then(undefined, () => undefined), pause(10_000)])
    await this.network[Symbol.asyncDispose]()
  }
}

/** A token exchange that was lost is the caller's to repeat. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (tries === 5 || !(error instanceof WsrmError && error.retryable)) throw error
    }
  }
}

export const textsOf = (count: number, word = 'text'): readonly string[] => Array.from({ length: count }, (_, index) => `${word} ${index + 1}`)

/** Sends them side by side, as many as the way of the replies lets through, and looks at the replies. */
export async function exchange(conversation: Conversation, cell: Pick<Cell, 'shape' | 'endpoint'>, texts: readonly string[]): Promise<void> {
  const left = [...texts]
  const one = async (text: string): Promise<void> => {
    if (cell.shape === 'one-way') {
      const ticket = await conversation.send(bodyOf('note', text), { action: NOTE, timeoutMs: PATIENCE_MS })
      return ticket.acknowledged({ timeoutMs: PATIENCE_MS })
    }
    const reply = await conversation.request(bodyOf('echo', text), { action: ECHO, timeoutMs: PATIENCE_MS })
    must(textOf(reply.body) === text, `the reply to '${text}' is ${reply.body}`)
  }
  const worker = async (): Promise<void> => {
    for (let text = left.shift(); text !== undefined; text = left.shift()) await one(text)
  }
  await Promise.all(Array.from({ length: cell.endpoint === 'make-connection' ? 4 : texts.length }, worker))
}

/** @throws what went wrong */
export async function converse(run: Run, peer: Peer): Promise<void> {
  await talk(run, peer, textsOf(MESSAGES))
  same(await inspect(run.journal, run.cell, profileOf(run.cell)), [], 'what is wrong with what we wrote')
}
/** The conversation itself, from the first message to the end of the sequence. */
export async function talk(run: Run, peer: Peer, texts: readonly string[]): Promise<void> {
  const { cell } = run
  if (cell.role === 'client') {
    const service = await run.theirService(peer)
    const conversation = await run.connect()
    await exchange(conversation, cell, texts)
    const { outcome, lost } = await conversation.close({ timeoutMs: PATIENCE_MS })
    must(lost.length === 0, `in doubt at the end: ${lost.join(' ')} (${JSON.stringify(outcome)})`)
    // Side by side: each once, in whatever order.
    const given = await givenBy(peer, service, texts.length)
    same([...(repeats(cell) ? new Set(given) : given)].sort(), [...texts].sort(), 'their application was given')
  } else {
    const { service, received } = await run.ourService()
    const errors: unknown[] = []
    service.on('error', ({ error }) => void errors.push(error))
    const client = await run.theirClient(peer)
    const replies = await peer.send(client, texts)
    same(replies, cell.shape === 'request' ? texts : texts.map(() => null), 'their application got')
    await peer.end(client)
    await until(() => received.length >= texts.length)
    same(received, texts, 'our application was given, in order')
    same(errors.map(String), [], 'errors in the background')
  }
}

/** What their application was given, once it is so much: they may acknowledge first. */
export async function givenBy(peer: Peer, service: string, count: number): Promise<readonly string[]> {
  await until(async () => (await peer.received(service)).length >= count)
  return peer.received(service)
}

export function must(isTrue: boolean, otherwise: string): asserts isTrue {
  if (!isTrue) throw new Error(otherwise)
}
export function same(seen: readonly unknown[], wanted: readonly unknown[], what: string): void {
  must(JSON.stringify(seen) === JSON.stringify(wanted), `${what}: ${JSON.stringify(seen)}, instead of ${JSON.stringify(wanted)}`)
}
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
/** Waits a little for what the other side does in its own time. */
export async function until(isSo: () => boolean | Promise<boolean>, patienceMs = 10_000): Promise<void> {
  for (const end = Date.now() + patienceMs; Date.now() < end;) {
    if (await isSo()) return
    await pause(50)
  }
}
