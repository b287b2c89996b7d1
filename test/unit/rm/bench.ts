/** One engine on a store in memory, with a clock that the test moves and a record of all that it says. */
import { setImmediate } from 'node:timers'
import { DEFAULT_LIMITS, type Limits } from '../../../src/options.ts'
import { type DeliveryOutcome, type EngineEvent, type EngineOptions, type OpenOptions, SequenceEngine } from '../../../src/rm/engine.ts'
import { DEFAULT_TIMING, type RmTiming } from '../../../src/rm/timing.ts'
import type { Content, Delivery, LaneId, Outbound, Received } from '../../../src/rm/turn.ts'
import type { Principal, TokenId } from '../../../src/sct/token.ts'
import { RM11 } from '../../../src/spec/versions.ts'
import { MemoryStore, type Row, type Store } from '../../../src/store/store.ts'
import { Chance, openSerializer, VirtualTime, wordsOf } from '../../../src/testing/simulator.ts'

export const A = 'urn:token-a' as TokenId
export const B = 'urn:token-b' as TokenId
export const ALICE: Principal = { kind: 'user', name: 'alice' }
export const MALLORY: Principal = { kind: 'user', name: 'mallory' }
export const URL = 'https://service.example/'
export const settled = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })
export const content = (name: string): Content => ({ action: 'urn:do', messageId: `urn:${name}`, body: `<${name}/>`, headers: [] })

export interface BenchOptions {
  readonly store?: Store<undefined>
  readonly limits?: Partial<Limits>
  readonly timing?: Partial<RmTiming>
  readonly deliver?: (delivery: Delivery) => Promise<DeliveryOutcome<undefined> | void>
  readonly engine?: Partial<EngineOptions<undefined>>
  readonly time?: VirtualTime
}
export class Bench {
  readonly time: VirtualTime
  readonly store: Store<undefined>
  readonly engine: SequenceEngine<undefined>
  readonly sent: Outbound[] = []
  readonly answers = new Map<string, Outbound | 'accepted'>()
  readonly delivered: Delivery[] = []
  readonly events: EngineEvent[] = []
  readonly used = new Set<string>()
  readonly restoredTokens: string[] = []
  /** Resolves the exchange of what was sent, by its place in `sent`. */
  readonly over: (() => void)[] = []
  #exchanges = 0
  constructor(options: BenchOptions = {}) {
    this.time = options.time ?? new VirtualTime()
    this.store = options.store ?? new MemoryStore()
    this.engine = new SequenceEngine<undefined>({
      store: this.store, serializer: openSerializer, random: new Chance(7), limits: { ...DEFAULT_LIMITS, ...options.limits }, timing: { ...DEFAULT_TIMING, ...options.timing },
      clock: { now: () => this.time.now, alarm: (at, wake) => this.time.at(at, wake) },
      security: {
        serialize: async (id) => Buffer.from(`sealed ${id}`),
        deserialize: async (sealed) => {
          const id = Buffer.from(sealed).toString().slice(7)
          this.restoredTokens.push(id)
          return id as TokenId
        },
        use: (id, by) => {
          this.used.add(`${id} ${by}`)
          return { [Symbol.dispose]: () => void this.used.delete(`${id} ${by}`) }
        },
      },
      transmit: (outbound) => new Promise((resolve) => {
        this.sent.push(outbound)
        this.over.push(resolve)
      }),
      respond: (exchange, answer) => {
        if (this.answers.has(exchange)) throw new Error(`${exchange} was answered twice`)
        this.answers.set(exchange, answer)
      },
      deliver: async (delivery) => {
        this.delivered.push(delivery)
        return options.deliver?.(delivery)
      },
      observe: (event) => this.events.push(event), ...options.engine,
    })
  }
  async rows(): Promise<readonly Row[]> {
    const rows: Row[] = []
    for await (const row of this.store.scan('')) rows.push(row)
    return rows
  }
  /** An inbound request; the answer, or undefined while it is held. */
  async ask(outbound: Partial<Outbound> & Pick<Outbound, 'body'>, by: { token?: TokenId; principal?: Principal; change?: (received: Received) => Received; holdMs?: number } = {}): Promise<Outbound | 'accepted' | undefined> {
    const exchange = `x${++this.#exchanges}`
    const words = wordsOf(said(outbound), { tokenId: by.token ?? A, principal: by.principal ?? ALICE, rm: '1.1' })
    await this.engine.receive(by.change?.(words) ?? words, { kind: 'exchange', exchange, holdMs: by.holdMs })
    await settled()
    return this.answers.get(exchange)
  }
  get lastExchange(): string { return `x${this.#exchanges}` }
  /** The answer to something that this engine sent. */
  async answer(to: Outbound, outbound: Partial<Outbound> & Pick<Outbound, 'body'>, token: TokenId = A): Promise<void> {
    const words = wordsOf(said({ relatesTo: to.messageId ?? '', to: { kind: 'exchange', exchange: 'answer' }, ...outbound }), { tokenId: token, principal: ALICE, rm: this.engine.status(to.lane)?.rm ?? '1.1' })
    await this.engine.receive(words, { kind: 'answer', lane: to.lane, to })
    await settled()
  }
  async wait(ms: number): Promise<void> {
    const until = this.time.now + ms
    await settled()
    let isThere = false
    this.time.at(until, () => { isThere = true })
    while (!isThere) {
      this.time.step()
      await settled()
    }
  }
  /** An open lane of an initiator. */
  async opened(options: Partial<OpenOptions> = {}): Promise<LaneId> {
    const lane = await this.engine.open(A, { url: URL, rm: RM11, offer: true, name: 'work', ...options })
    await settled()
    const create = this.sent[0]
    if (create === undefined) throw new Error('nothing was sent')
    await this.answer(create, { body: { kind: 'create-sequence-response', sequence: 'urn:requests', accept: { acksTo: URL } } })
    return lane
  }
  /** A sequence at a responder. */
  async created(create: Partial<Outbound> & Pick<Outbound, 'body'> = CREATE): Promise<string> {
    const answer = await this.ask(create)
    if (answer === undefined || answer === 'accepted' || answer.body.kind !== 'create-sequence-response') throw new Error('no sequence')
    return answer.body.sequence
  }
}
export const said = (outbound: Partial<Outbound> & Pick<Outbound, 'body'>): Outbound =>
  ({ lane: '' as LaneId, tokenId: A, to: { kind: 'endpoint', url: URL }, messageId: 'urn:message', acknowledgements: [], ackRequested: [], ...outbound })
export const CREATE = { body: { kind: 'create-sequence', acksTo: 'anonymous', offer: { sequence: 'urn:replies' } }, messageId: 'urn:create' } as const
export const nameOf = (answer: Outbound | 'accepted' | undefined): string => answer === undefined ? 'held' : answer === 'accepted' ? answer : answer.body.kind === 'fault' ? answer.body.fault.name : answer.body.kind
export const message = (sequence: string, number: number, shape: 'one-way' | 'request' = 'one-way', name = `m${number}`): Pick<Outbound, 'body' | 'sequence' | 'messageId'> =>
  ({ body: { kind: 'application', content: content(name), shape }, sequence: { id: sequence, number }, messageId: `urn:${name}` })
