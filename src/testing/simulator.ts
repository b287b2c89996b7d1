/**
 * A world in one process: two engines, a network that loses, doubles, delays and reorders, stores that crash before and after a commit,
 * an attacker with a token of his own, and a clock that only the world moves. Everything follows from one seed. The engines are the
 * real ones; words go from one to the other without XML.
 *
 * @module
 */
import { setImmediate } from 'node:timers'
import type { Clock } from '../clock.ts'
import type { RandomSource } from '../crypto/random.ts'
import { DeliveryFailed, FAULTS, ReplyLost } from '../errors.ts'
import { DEFAULT_LIMITS } from '../options.ts'
import { type EngineOptions, type LaneStatus, SequenceEngine, type Via } from '../rm/engine.ts'
import { DEFAULT_TIMING, type RmTiming } from '../rm/timing.ts'
import { addressOf, type Content, type Delivery, type Endpoint, type ExchangeId, type Hint, type LaneId, type Outbound, type Received, type ReceivedAddress, type ReceivedBody, type Span } from '../rm/turn.ts'
import type { Principal, TokenId } from '../sct/token.ts'
import { SealBroken } from '../errors.ts'
import type { RecordContext, SctSerializer } from '../serializer/serializer.ts'
import { MC_ANONYMOUS_PREFIX, RM10, RM11 } from '../spec/versions.ts'
import { type CommitResult, type LaneCommit, type Row, type ScanOptions, type Store, storeKey } from '../store/store.ts'

/** Where a test puts a defect, to see that the simulation finds it: between the engine and what it is given, never inside. */
export interface Plant {
  store?(store: Store<Effects>): Store<Effects>
  serializer?(serializer: SctSerializer): SctSerializer
  receive?(received: Received, engine: SequenceEngine<Effects>): Received
}
export interface SimulationOptions {
  readonly seed: number
  readonly plant?: Plant
  /** Nothing else goes wrong: one conversation of three messages, in which the processes die at these commits. */
  readonly crashes?: readonly CrashPoint[]
  /** Where the initiator takes what is sent to it; default: by chance, with `crashes` on back-channels. */
  readonly endpoint?: Endpoint['kind']
  /** So long after the beginning the responder loses its sequences, but not its tokens; without it some histories have it by chance. */
  readonly forgetsAfterMs?: number
  /** Hears of every step. */
  readonly trace?: (line: string) => void
}
/** The side, the how-manieth commit that it tries, and whether that is lost or written and not heard of. */
export interface CrashPoint { readonly side: 'initiator' | 'responder'; readonly commit: number; readonly when: 'before' | 'after' }
export interface SimulationReport {
  readonly seed: number
  /** Empty when everything that was promised held. */
  readonly violations: readonly string[]
  readonly messages: number
  readonly steps: number
  readonly commits: number
  readonly crashes: number
  readonly lost: number
  readonly attacks: number
  /** Conversations that went on on another sequence. */
  readonly moves: number
  readonly virtualMs: number
}
/** What the application at the responder writes in the commit that consumes a message. */
export interface Effects { push(body: string): void }

/** xorshift128 seeded by splitmix: the same numbers on every platform. */
export class Chance implements RandomSource {
  #a: number
  #b: number
  #c: number
  #d: number
  constructor(seed: number) {
    let state = seed >>> 0
    const next = (): number => {
      state = (state + 0x9e3779b9) >>> 0
      let z = state
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
      return (z ^ (z >>> 16)) >>> 0
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    this.#d = next() | 1
  }
  /** 0 up to 1. */
  next(): number {
    let t = this.#a ^ (this.#a << 11)
    this.#a = this.#b
    this.#b = this.#c
    this.#c = this.#d
    t ^= t >>> 8
    this.#d = (this.#d ^ (this.#d >>> 19) ^ t) >>> 0
    return this.#d / 0x1_0000_0000
  }
  below(count: number): number { return Math.floor(this.next() * count) }
  hit(probability: number): boolean { return this.next() < probability }
  bytes(count: number): Uint8Array { return Uint8Array.from({ length: count }, () => this.below(256)) }
}

/** Time that stands still but for what the world does next. */
export class VirtualTime {
  #now = 1_700_000_000_000
  #sequence = 0
  #queue: { at: number; order: number; run: () => void }[] = []
  get now(): number { return this.#now }
  get nextAt(): number { return this.#queue[0]?.at ?? Infinity }
  at(when: number, run: () => void): () => void {
    const item = { at: Math.max(when, this.#now), order: this.#sequence++, run }
    // A sorted list: there are few things to come at any time.
    let index = this.#queue.length
    while (index > 0 && isLater(this.#queue[index - 1], item)) index--
    this.#queue.splice(index, 0, item)
    return () => {
      const place = this.#queue.indexOf(item)
      if (place >= 0) this.#queue.splice(place, 1)
    }
  }
  after(ms: number, run: () => void): () => void { return this.at(this.#now + ms, run) }
  /** Runs the next thing; false when there is none. */
  step(): boolean {
    const item = this.#queue.shift()
    if (item === undefined) return false
    this.#now = item.at
    item.run()
    return true
  }
}
const isLater = (a: { at: number; order: number } | undefined, b: { at: number; order: number }): boolean => a !== undefined && (a.at > b.at || (a.at === b.at && a.order > b.order))

/** Rows that outlive a process, and what the application wrote with them. */
export class Disk {
  readonly rows: Map<string, { value: Uint8Array; revision: number }> = new Map()
  readonly effects: string[] = []
  #sorted: string[] | undefined
  apply(lane: LaneCommit<Effects>): CommitResult {
    for (const { head, revision } of lane.expect) if ((this.rows.get(head)?.revision ?? 'absent') !== revision) return 'conflict'
    const effects: string[] = []
    try {
      void lane.work?.({ push: (body) => effects.push(body) })
    } catch (error) {
      return { failed: error }
    }
    for (const write of lane.writes) {
      if ('delete' in write) this.rows.delete(write.delete)
      else this.rows.set(write.put, { value: write.value, revision: (this.rows.get(write.put)?.revision ?? 0) + 1 })
    }
    this.#sorted = undefined
    this.effects.push(...effects)
    return 'committed'
  }
  forget(key: string): void {
    this.rows.delete(key)
    this.#sorted = undefined
  }
  scan(prefix: string): Row[] {
    this.#sorted ??= [...this.rows.keys()].sort()
    return this.#sorted.filter((key) => key.startsWith(prefix)).map((key) => ({ key, value: this.rows.get(key)?.value ?? new Uint8Array(), revision: this.rows.get(key)?.revision ?? 0 }))
  }
}

/** Seals by writing in front where a record belongs: enough to see one that was moved. */
export const openSerializer: SctSerializer = {
  seal: (purpose, context, plain) => Buffer.concat([Buffer.from(placeOf(purpose, context), 'utf8'), plain]),
  open(purpose, context, sealed) {
    const place = Buffer.from(placeOf(purpose, context), 'utf8')
    if (!place.equals(sealed.subarray(0, place.length))) throw new SealBroken('ERR_SEAL', 'a record that belongs elsewhere')
    return sealed.subarray(place.length)
  },
}
const placeOf = (purpose: string, context: RecordContext): string => storeKey(purpose, ...context.parts)

const A: Principal = { kind: 'user', name: 'alice' }
const B: Principal = { kind: 'user', name: 'mallory' }
const TOKEN_A = 'urn:uuid:00000000-0000-4000-8000-00000000000a' as TokenId
const TOKEN_B = 'urn:uuid:00000000-0000-4000-8000-00000000000b' as TokenId
const URL = 'https://service.example/'
/** Where the initiator listens, when it does. */
const HERE = 'https://client.example/'
type Side = 'initiator' | 'responder'
const other = (side: Side): Side => (side === 'initiator' ? 'responder' : 'initiator')
const TIMING: RmTiming = { ...DEFAULT_TIMING, retransmitMs: 200, retransmitCapMs: 3_000, exchangeMs: 2_000, window: 4, ackDelayMs: 100, ackAskedMs: 50, pollMs: 50, holdReplyMs: 400, redeliverMs: 100, maxDeliveries: 1_000 }
const isEnded = ({ state }: LaneStatus): boolean => state === 'ended'
/** Everything must have come to its end so long after the last fault. */
const LIVENESS_MS = 5 * 60_000

/** The words that the peer reads from what we send. */
export function wordsOf(outbound: Outbound, by: { readonly tokenId: TokenId; readonly principal: Principal; readonly rm: '1.0' | '1.1' }): Received {
  const { body } = outbound
  const acknowledgements = [...outbound.acknowledgements, ...(body.kind === 'fault' && body.acknowledgement !== undefined ? [body.acknowledgement] : [])]
  const words = {
    tokenId: by.tokenId, principal: by.principal, soap: '1.2', addressing: '200508', rm: by.rm, action: body.kind, to: outbound.to.kind === 'endpoint' ? outbound.to.url : outbound.to.address ?? 'anonymous',
    ...(outbound.messageId === undefined ? {} : { messageId: outbound.messageId }), ...(outbound.relatesTo === undefined ? {} : { relatesTo: outbound.relatesTo }),
    replyTo: asksBack(outbound) ? endpointOf(outbound.replyTo) : { kind: 'absent' }, covered: [], ...(outbound.pending === undefined ? {} : { pending: outbound.pending }),
    ...(outbound.sequence === undefined ? {} : { sequence: { id: outbound.sequence.id, number: BigInt(outbound.sequence.number), last: outbound.sequence.last ?? false } }),
    acknowledgements: acknowledgements.map((each) => ({
      sequence: each.sequence, ranges: each.ranges.map(([lower, upper]) => [BigInt(lower), BigInt(upper)]), nacks: (each.nacks ?? []).map(BigInt), none: each.ranges.length === 0, final: each.final,
    })),
    ackRequested: outbound.ackRequested, body: bodyOf(outbound),
  }
  return words as unknown as Received
}
const asksBack = ({ body }: Outbound): boolean => (body.kind === 'application' && body.shape === 'request') || body.kind === 'create-sequence' || body.kind === 'close-sequence' || body.kind === 'terminate-sequence'
const endpointOf = (address: string | undefined): ReceivedAddress =>
  address === undefined || address === 'anonymous' ? { kind: 'anonymous' } : { kind: address.startsWith(MC_ANONYMOUS_PREFIX) ? 'make-connection' : 'address', address }
function bodyOf({ body }: Outbound): ReceivedBody {
  switch (body.kind) {
    case 'create-sequence': return {
      kind: body.kind, acksTo: endpointOf(body.acksTo), ...(body.expiresMs === undefined ? {} : { expiresMs: body.expiresMs }),
      ...(body.offer === undefined ? {} : { offer: { sequence: body.offer.sequence, endpoint: endpointOf(body.acksTo) } }), scope: 'bound', usesSequenceStr: true,
    }
    case 'create-sequence-response': return { kind: body.kind, sequence: body.sequence, ...(body.accept === undefined ? {} : { accept: { acksTo: { kind: 'address', address: body.accept.acksTo } } }) }
    case 'make-connection': return { kind: body.kind, address: body.address }
    case 'application': return { kind: 'application', content: body.content }
    case 'close-sequence': case 'terminate-sequence': return { kind: body.kind, sequence: body.sequence, ...(body.lastNumber === undefined ? {} : { lastNumber: BigInt(body.lastNumber) }) }
    case 'close-sequence-response': case 'terminate-sequence-response': return { kind: body.kind, sequence: body.sequence }
    case 'fault': return {
      kind: 'fault', fault: {
        code: body.fault.code, reason: body.fault.reason, ...(body.fault.family === 'wsrm' ? { rmFault: body.fault.name } : {}), ...(body.sequence === undefined ? {} : { sequence: body.sequence }),
      },
    }
    default: return { kind: 'empty' }
  }
}

/** What the history is like: from calm to rough. */
interface Weather { readonly loss: number; readonly double: number; readonly delayMs: number; readonly crash: number; readonly storeFails: number; readonly attack: number; readonly until: number }

const CALM: Pick<Weather, 'crash' | 'storeFails'> = { crash: 0, storeFails: 0 }

export async function simulate(options: SimulationOptions): Promise<SimulationReport> { return new World(options).run() }

/** One process: dead after a crash; its successor finds the disk. */
interface Process { readonly engine: SequenceEngine<Effects>; isAlive: boolean; readonly seen: Set<string>; /** On their way to another sequence. */ readonly moving: Set<LaneId> }
interface Job { readonly key: string; readonly shape: 'one-way' | 'request'; readonly body: string; number: number; replied: boolean; /** The caller was told that it may not have been delivered. */ failed: boolean }
/** One conversation: what shall be said in it, and whether it is over. */
interface Work { readonly name: string; readonly jobs: readonly Job[]; isClosed: boolean }

const workOf = (index: number, shapes: readonly ('request' | 'one-way')[]): Work => ({
  name: `work ${index}`, isClosed: false, jobs: shapes.map((shape, at) => ({ key: `k${at + 1}`, shape, body: `<m>${index}.${at + 1}</m>`, number: 0, replied: shape === 'one-way', failed: false })),
})

class World {
  readonly #chance: Chance
  readonly #plant: Plant
  readonly #trace: (line: string) => void
  readonly #time = new VirtualTime()
  readonly #weather: Weather
  readonly #violations: string[] = []
  readonly #disks = { initiator: new Disk(), responder: new Disk() }
  #initiator: Process | undefined
  #responder: Process | undefined
  readonly #rm: '1.0' | '1.1'
  readonly #works: readonly Work[]
  readonly #jobs: readonly Job[]
  readonly #crashes: readonly CrashPoint[] | undefined
  readonly #commits = { initiator: 0, responder: 0 }
  readonly #offer: boolean
  readonly #acceptOffers: boolean
  readonly #offerOnRepeat: 'same' | 'new'
  readonly #window: number | undefined
  readonly #endpoint: Endpoint['kind']
  /** Open exchanges, each with the side that has to answer it. */
  readonly #exchanges = new Map<ExchangeId, { readonly side: Side; readonly end: (answer: Outbound | 'accepted' | 'broken') => void }>()
  /** The responder has lost its sequences. */
  #forgot = false
  readonly #mayForget: boolean
  #counts = { steps: 0, commits: 0, crashes: 0, lost: 0, attacks: 0, moves: 0, exchange: 0, signature: 0 }
  readonly #startedAt: number

  constructor({ seed, plant, crashes, endpoint, forgetsAfterMs, trace }: SimulationOptions) {
    this.#seed = seed
    this.#chance = new Chance(seed)
    this.#plant = plant ?? {}
    this.#trace = trace ?? (() => undefined)
    const chance = this.#chance
    this.#startedAt = this.#time.now
    this.#weather = {
      loss: chance.next() * 0.3, double: chance.next() * 0.3, delayMs: chance.hit(0.3) ? 1_500 : 150, crash: chance.hit(0.7) ? chance.next() * 0.15 : 0, storeFails: chance.hit(0.3) ? chance.next() * 0.1 : 0,
      attack: chance.hit(0.5) ? chance.next() * 0.2 : 0, until: this.#time.now + 5_000 + chance.below(40_000),
    }
    this.#rm = chance.hit(0.2) ? '1.0' : '1.1'
    this.#offer = chance.hit(0.85)
    this.#acceptOffers = chance.hit(0.9)
    this.#offerOnRepeat = chance.hit(0.2) ? 'new' : 'same'
    this.#crashes = crashes
    if (crashes !== undefined) {
      this.#weather = { loss: 0, double: 0, delayMs: 20, crash: 0, storeFails: 0, attack: 0, until: this.#time.now + 60_000 }
      this.#rm = '1.1'
      this.#offer = true
      this.#acceptOffers = true
      this.#works = [workOf(1, ['request', 'one-way', 'request'])]
    } else {
      const shapes = (): ('request' | 'one-way')[] => Array.from({ length: chance.below(9) }, () => this.#offer && chance.hit(0.6) ? 'request' : 'one-way')
      this.#works = Array.from({ length: chance.hit(0.25) ? 2 : 1 }, (_, index) => workOf(index + 1, shapes()))
    }
    this.#jobs = this.#works.flatMap((work) => work.jobs)
    this.#endpoint = endpoint ?? (crashes !== undefined || chance.hit(0.5) ? 'anonymous' : chance.hit(0.5) ? 'make-connection' : 'address')
    // Of its own chance: the other histories stay what they were.
    const fate = new Chance(~seed)
    const forgetsAt = forgetsAfterMs ?? (plant === undefined && crashes === undefined && fate.hit(0.2) ? 200 + fate.below(10_000) : undefined)
    this.#window = plant === undefined && crashes === undefined && fate.hit(0.2) ? 1 + fate.below(3) : undefined
    this.#mayForget = forgetsAt !== undefined
    if (forgetsAt !== undefined) this.#time.after(forgetsAt, () => this.#forget())
  }
  readonly #seed: number

  async run(): Promise<SimulationReport> {
    this.#startResponder()
    this.#startInitiator()
    const deadline = this.#weather.until + LIVENESS_MS
    await drain()
    while (!this.#isFinished() && this.#violations.length === 0) {
      // A responder that every try of a TerminateSequence was lost to ends by itself, when nothing comes.
      if (this.#time.nextAt > deadline + (this.#isDone() ? TIMING.inactivityMs : 0)) {
        this.#violations.push(`not finished ${LIVENESS_MS} ms after the last fault: ${this.#unfinished()}`)
        break
      }
      if (this.#counts.steps++ > 50_000) {
        this.#violations.push('no end: 50,000 steps')
        break
      }
      if (this.#isRough && this.#chance.hit(this.#weather.attack)) this.#attackResponder()
      if (this.#isRough && this.#crashes === undefined && this.#chance.hit(0.01)) this.#renew()
      this.#time.step()
      await drain()
    }
    const virtualMs = this.#time.now - this.#startedAt
    if (this.#violations.length === 0) await this.#forgetting()
    this.#check()
    const { steps, commits, crashes, lost, attacks, moves } = this.#counts
    return { seed: this.#seed, violations: this.#violations, messages: this.#jobs.length, steps, commits, crashes, lost, attacks, moves, virtualMs }
  }

  get #isRough(): boolean { return this.#time.now < this.#weather.until }
  #isFinished(): boolean {
    // A late copy of a CreateSequence makes a sequence that the forgetful responder ends by itself when nothing comes.
    return this.#isDone() && this.#responder?.isAlive === true && (this.#forgot || [...this.#responder.engine.sequences()].every(isEnded))
  }
  /** The initiator has all that it wanted, and has nothing more to say. */
  #isDone(): boolean {
    return this.#works.every((work) => work.isClosed) && this.#jobs.every((job) => job.replied) && this.#initiator?.isAlive === true && [...this.#initiator.engine.sequences()].every(isEnded)
      && (this.#forgot || this.#disks.responder.effects.length >= this.#jobs.length)
  }
  #unfinished(): string {
    const lanes = [...this.#initiator?.engine.sequences() ?? [], ...this.#responder?.engine.sequences() ?? []].map((lane) => `${lane.role} ${lane.state} pending ${lane.pending}`)
    return `${lanes.join('; ')}; delivered ${this.#disks.responder.effects.length} of ${this.#jobs.length}; replied ${this.#jobs.filter((job) => job.replied).length}; closed ${this.#works.filter((work) => work.isClosed).length}`
  }
  /** Delivered exactly once and in order; nothing else was delivered. */
  #check(): void {
    const delivered = this.#disks.responder.effects
    const known = new Set(this.#jobs.map((job) => job.body))
    const foreign = delivered.filter((body) => !known.has(body))
    if (foreign.length > 0) this.#violations.push(`delivered ${foreign.join(' ')}, which nobody sent`)
    if (this.#forgot) return this.#checkForgetful(delivered)
    for (const { jobs } of this.#works) {
      const own = new Set(jobs.map((job) => job.body))
      const there = delivered.filter((body) => own.has(body))
      // In the order of their numbers, as far as they were given.
      const sent = jobs.filter((job) => job.number > 0).sort((a, b) => a.number - b.number).map((job) => job.body)
      const isWrong = there.some((body, index) => body !== sent[index])
      if (isWrong || (there.length !== sent.length && this.#violations.length === 0)) this.#violations.push(`delivered ${there.join(' ')}, sent ${sent.join(' ')}`)
    }
  }
  /** What was lost with the responder's sequences may be missing; nothing came twice, in each sequence all came in order, and what was replied was there. */
  #checkForgetful(delivered: readonly string[]): void {
    if (new Set(delivered).size !== delivered.length) this.#violations.push(`delivered twice: ${delivered.join(' ')}`)
    for (const { body, shape, replied, failed } of this.#jobs) {
      if (shape === 'request' && replied && !failed && !delivered.includes(body)) this.#violations.push(`${body} was replied and never delivered`)
    }
  }
  /** The responder loses what it knows of sequences, and starts again. */
  #forget(): void {
    this.#trace('the responder forgets its sequences')
    this.#forgot = true
    for (const key of [...this.#disks.responder.rows.keys()]) if (!key.startsWith(storeKey('token'))) this.#disks.responder.forget(key)
    this.#crash('responder', 'with nothing left')
  }
  /** The security side writes its row anew at a renewal: the lanes that stand on it must notice and go on. */
  #renew(): void {
    for (const disk of Object.values(this.#disks)) {
      const row = disk.rows.get(storeKey('token', TOKEN_A))
      if (row !== undefined) disk.rows.set(storeKey('token', TOKEN_A), { value: row.value, revision: row.revision + 1 })
    }
  }
  /** A day later nothing is left of what ended, but the tokens. */
  async #forgetting(): Promise<void> {
    const until = this.#time.now + 2 * TIMING.tombstoneMs
    for (let steps = 0; steps < 2_000 && this.#time.nextAt < until; steps++) {
      this.#time.step()
      await drain()
    }
    if (this.#exchanges.size > 0) this.#violations.push(`${this.#exchanges.size} exchanges were never answered`)
    for (const [side, disk] of Object.entries(this.#disks)) {
      // Token rows are swept by the security side, which this world does without.
      const rows = [...disk.rows.keys()].filter((key) => !key.startsWith(storeKey('token')))
      if (rows.length > 0) this.#violations.push(`${rows.length} rows are left at the ${side}: ${rows.slice(0, 3).join(' ')}`)
    }
  }

  // ── The two sides ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #process(side: Side, words: Pick<EngineOptions<Effects>, 'transmit' | 'respond' | 'deliver'>): Process {
    const tokens = new Set<TokenId>(side === 'initiator' ? [TOKEN_A] : [TOKEN_A, TOKEN_B])
    const process: { engine?: SequenceEngine<Effects>; isAlive: boolean; seen: Set<string>; moving: Set<LaneId> } = { isAlive: true, seen: new Set(), moving: new Set() }
    const clock: Clock = {
      now: () => this.#time.now,
      alarm: (at, wake) => this.#time.at(at, () => { if (process.isAlive) wake() }),
    }
    const store = this.#store(side, process)
    const engine = new SequenceEngine<Effects>({
      store: this.#plant.store?.(store) ?? store, serializer: this.#plant.serializer?.(openSerializer) ?? openSerializer, clock, random: this.#chance, limits: DEFAULT_LIMITS, timing: TIMING,
      acceptOffers: this.#acceptOffers, takesSequences: side === 'responder', reaches: (address) => address === HERE,
      security: {
        serialize: async (id) => {
          if (!tokens.has(id)) throw new Error('no such token')
          return Buffer.from(id, 'utf8')
        },
        deserialize: async (sealed) => {
          const id = Buffer.from(sealed).toString('utf8') as TokenId
          tokens.add(id)
          return id
        },
        use: () => ({ [Symbol.dispose]: () => undefined }),
      },
      observe: (event) => {
        if (event.kind === 'stranded') this.#goOn(process, event.lane)
        if (event.kind === 'moved') this.#counts.moves++
        this.#trace(`  ${side} ${event.kind} ${JSON.stringify(event, (_, value) => value instanceof Error ? value.message : value)}`)
      },
      ...words,
    })
    process.engine = engine
    return process as Process
  }
  #store(side: Side, process: { isAlive: boolean }): Store<Effects> {
    const disk = this.#disks[side]
    const commit = (lanes: readonly LaneCommit<Effects>[]): Promise<readonly CommitResult[]> => new Promise((resolve) => {
      this.#counts.commits++
      const commit = ++this.#commits[side]
      const point = this.#crashes?.find((each) => each.side === side && each.commit === commit)
      this.#time.after(this.#chance.below(20), () => {
        if (!process.isAlive) return
        const { crash, storeFails } = this.#isRough ? this.#weather : CALM
        const fate = this.#chance.next()
        if (fate < crash / 2 || point?.when === 'before') return this.#crash(side, 'before a commit')
        if (fate >= 1 - storeFails) return resolve(lanes.map(() => ({ failed: new Error('the disk said no') })))
        const results = lanes.map((lane) => disk.apply(lane))
        if (fate < crash || point?.when === 'after') return this.#crash(side, 'after a commit')
        resolve(results)
      })
    })
    return {
      commit,
      async *scan(prefix: string, _options?: ScanOptions): AsyncIterable<Row> { yield* disk.scan(prefix) },
      async [Symbol.asyncDispose](): Promise<void> {},
    }
  }
  #crash(side: Side, when: string): void {
    const process = side === 'initiator' ? this.#initiator : this.#responder
    if (process === undefined || !process.isAlive) return
    this.#trace(`${side} crashes ${when}`)
    this.#counts.crashes++
    process.isAlive = false
    for (const [id, exchange] of [...this.#exchanges]) {
      if (exchange.side !== side) continue
      this.#exchanges.delete(id)
      exchange.end('broken')
    }
    this.#time.after(this.#chance.below(2_000), () => side === 'initiator' ? this.#startInitiator() : this.#startResponder())
  }

  #startResponder(): void {
    const process = this.#process('responder', {
      transmit: async (outbound, signal) => {
        if (this.#endpoint !== 'address') this.#violations.push(`the responder opened a connection for ${said(outbound)}`)
        else if (!signal.aborted) await this.#transmit(outbound, process, 'responder')
      },
      respond: (exchange, answer) => this.#respond(exchange, answer, process, 'responder'),
      deliver: (delivery) => this.#handle(delivery, process),
    })
    this.#responder = process
    void process.engine.restore().catch((error: unknown) => this.#violations.push(`restore: ${String(error)}`))
  }
  /** The application: slow at times, failing at times. */
  #handle(delivery: Delivery, process: { isAlive: boolean }): Promise<{ reply?: Content; work: (tx: Effects) => void }> {
    return new Promise((resolve, reject) => {
      this.#time.after(this.#chance.hit(0.2) ? this.#chance.below(1_500) : this.#chance.below(30), () => {
        if (!process.isAlive) return
        if (this.#isRough && this.#chance.hit(0.1)) return reject(new Error('the handler said no'))
        const { content, shape } = delivery.received
        const reply: Content = { action: 'reply', messageId: `reply-${content.messageId}`, relatesTo: content.messageId, body: `<re>${content.body}</re>`, headers: [] }
        resolve({ ...(shape === 'request' ? { reply } : {}), work: (tx) => tx.push(content.body) })
      })
    })
  }

  #startInitiator(): void {
    const process = this.#process('initiator', {
      transmit: (outbound) => this.#transmit(outbound, process, 'initiator'),
      respond: (exchange, answer) => this.#respond(exchange, answer, process, 'initiator'),
      deliver: async () => { this.#violations.push('the initiator delivered a message') },
    })
    this.#initiator = process
    void this.#use(process).catch((error: unknown) => {
      if (process.isAlive) this.#violations.push(`initiator: ${String(error)}`)
    })
  }
  /** The peer has lost the sequence: what never left goes on on another one. */
  #goOn(process: { engine?: SequenceEngine<Effects>; isAlive: boolean; moving: Set<LaneId> }, lane: LaneId): void {
    const { engine, moving } = process
    if (engine === undefined || moving.has(lane)) return
    moving.add(lane)
    void this.#patiently(() => engine.move(lane, { token: TOKEN_A, doubtful: 'stay', behind: 'leave' })).catch((error: unknown) => {
      // It may be closing by now.
      if (process.isAlive && !(error instanceof Error && 'code' in error && error.code === 'ERR_RM_STATE')) this.#violations.push(`move: ${String(error)}`)
    }).finally(() => moving.delete(lane))
  }
  /** The client's program: it begins again after each crash, with the same name and keys. */
  async #use({ engine }: Process): Promise<void> {
    await engine.restore()
    // What is over is over: a day later nobody remembers its name.
    const open = this.#works.filter((work) => !work.isClosed || work.jobs.some((job) => !job.replied))
    await Promise.all(open.map((work) => this.#converse(engine, work)))
  }
  async #converse(engine: SequenceEngine<Effects>, work: Work): Promise<void> {
    const known = engine.find(work.name)
    if (known !== undefined) engine.attach(known, { resumes: this.#mayForget })
    const lane = known ?? engine.sequences().find((each) => each.name === work.name)?.lane ?? await this.#patiently(() => engine.open(TOKEN_A, {
      url: URL, rm: this.#rm === '1.0' ? RM10 : RM11, offer: this.#offer, name: work.name, offerOnRepeat: this.#offerOnRepeat, maxPending: 5, resumes: this.#mayForget,
      ...(this.#window !== undefined && { window: this.#window }),
      endpoint: this.#endpoint === 'anonymous' ? { kind: 'anonymous' } : { kind: this.#endpoint, address: this.#endpoint === 'address' ? HERE : `${MC_ANONYMOUS_PREFIX}${this.#works.indexOf(work)}` },
    }))
    const submits: Promise<void>[] = []
    for (const job of work.jobs) {
      const content: Content = { action: 'urn:do', messageId: `urn:${work.name} ${job.key}`, body: job.body, headers: [] }
      const submitted = this.#submit(engine, lane, job, content)
      submits.push(submitted)
      // At times several are under way at once, at times the next waits until this one is durable.
      if (this.#chance.hit(0.5)) await submitted
      else submitted.catch(() => undefined)
      if (this.#chance.hit(0.3)) await this.#pause(this.#chance.below(800))
    }
    await Promise.all(submits)
    const report = await this.#patiently(() => engine.close(lane))
    if (!this.#forgot && (report.outcome !== 'terminated' || report.lost.length > 0)) this.#violations.push(`ended ${report.outcome}, lost ${report.lost.join(' ')}`)
    work.isClosed = true
  }
  async #submit(engine: SequenceEngine<Effects>, lane: LaneId, job: Job, content: Content): Promise<void> {
    const known = await this.#patiently(() => engine.ticket(lane, job.key))
    const ticket = known ?? await this.#patiently(() => engine.submit(lane, content, job.shape, job.key))
    if (job.number > 0 && job.number !== ticket.number && !this.#forgot) this.#violations.push(`${job.key} had number ${job.number}, now it has ${ticket.number}`)
    job.number = ticket.number
    if (job.shape === 'request' && !job.replied) this.#await(engine, lane, job).catch((error: unknown) => {
      if (!this.#forgot || !(error instanceof DeliveryFailed || error instanceof ReplyLost)) return void this.#violations.push(`${job.key}: ${String(error)}`)
      job.replied = true
      job.failed = true
    })
  }
  async #await(engine: SequenceEngine<Effects>, lane: LaneId, job: Job): Promise<void> {
    const reply = await this.#patiently(() => engine.reply(lane, job.key))
    if (reply.body !== `<re>${job.body}</re>`) this.#violations.push(`${job.key} was answered with ${reply.body}`)
    job.replied = true
  }
  /** A store that fails is tried again, as a user would. */
  async #patiently<T>(act: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await act()
      } catch (error) {
        if (!(error instanceof Error && 'retryable' in error && error.retryable === true)) throw error
        await this.#pause(300)
      }
    }
  }
  #pause(ms: number): Promise<void> { return new Promise((resolve) => { this.#time.after(ms, resolve) }) }

  // ── The network ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  #delay(): number { return this.#isRough ? this.#chance.below(this.#weather.delayMs) : this.#chance.below(20) }
  #loses(): boolean {
    const isLost = this.#isRough && this.#chance.hit(this.#weather.loss)
    if (isLost) this.#counts.lost++
    return isLost
  }
  /** One HTTP exchange, with all that may happen to it. */
  #transmit(outbound: Outbound, process: Process, side: Side): Promise<void> {
    this.#mustBeDurable(outbound, side)
    return new Promise((resolve, reject) => {
      let isOver = false
      const over = (error?: Error): void => {
        if (isOver || !process.isAlive) return
        isOver = true
        if (error === undefined) resolve()
        else reject(error)
      }
      const signature = `s${this.#counts.signature++}`
      const answered = (answer: Outbound | 'accepted' | 'broken'): void => {
        if (this.#loses() || answer === 'broken') return void this.#time.after(this.#delay() + 50, () => over(new Error('connection lost')))
        this.#time.after(this.#delay(), () => {
          if (isOver || !process.isAlive) return
          void this.#answer(outbound, answer, process, side).then(() => over(), (error: unknown) => this.#violations.push(`answer: ${String(error)}`))
        })
      }
      if (this.#loses()) this.#time.after(this.#delay() + 50, () => over(new Error('connection lost')))
      else this.#time.after(this.#delay(), () => this.#arrive(outbound, signature, other(side), answered))
      // The network's own copy, byte for byte; either answer may be the one that comes through.
      if (this.#isRough && this.#chance.hit(this.#weather.double)) this.#time.after(this.#delay(), () => this.#arrive(outbound, signature, other(side), answered))
    })
  }
  #arrive(outbound: Outbound, signature: string, side: Side, answered: (answer: Outbound | 'accepted' | 'broken') => void): void {
    const process = side === 'responder' ? this.#responder : this.#initiator
    if (process === undefined || !process.isAlive) return answered('broken')
    const seenBefore = process.seen.has(signature)
    // Copies of numbered messages are known by their numbers; the rest is refused before there are words.
    if (seenBefore && outbound.sequence === undefined) return answered('broken')
    process.seen.add(signature)
    const exchange = `x${this.#counts.exchange++}`
    const [to, from] = side === 'responder' ? ['→', '←'] : ['⇐', '⇒']
    this.#trace(`${to} ${said(outbound)} ${exchange}${seenBefore ? ' again' : ''}`)
    this.#exchanges.set(exchange, {
      side,
      end: (answer) => {
        this.#trace(`${from} ${typeof answer === 'string' ? answer : said(answer)} ${exchange}`)
        answered(answer)
      },
    })
    this.#receive(process, wordsOf(outbound, { tokenId: TOKEN_A, principal: A, rm: this.#rm }), { kind: 'exchange', exchange })
  }
  #respond(id: ExchangeId, answer: Outbound | 'accepted', process: Process, side: Side): void {
    if (!process.isAlive) return
    const exchange = this.#exchanges.get(id)
    if (exchange?.side !== side) this.#violations.push(`exchange ${id} was answered twice`)
    this.#exchanges.delete(id)
    if (answer !== 'accepted') this.#mustBeDurable(answer, side)
    exchange?.end(answer)
  }
  async #answer(outbound: Outbound, answer: Outbound | 'accepted', process: Process, side: Side): Promise<void> {
    const { engine } = process
    if (side === 'initiator' && this.#isRough && this.#chance.hit(this.#weather.attack)) this.#attackInitiator(outbound, process)
    if (answer === 'accepted') return engine.hint(outbound.lane, { kind: 'empty-answer', status: 202 }, outbound)
    this.#receive(process, wordsOf(answer, { tokenId: TOKEN_A, principal: A, rm: this.#rm }), { kind: 'answer', lane: outbound.lane, to: outbound })
    return Promise.resolve()
  }
  #receive({ engine }: Process, received: Received, via: Via): void {
    void engine.receive(this.#plant.receive?.(received, engine) ?? received, via).catch((error: unknown) => this.#violations.push(`receive: ${String(error)}`))
  }
  /** No number is acknowledged whose acceptance is not on the disk. */
  #mustBeDurable(answer: Outbound, side: Side): void {
    for (const { sequence, ranges } of answer.acknowledgements) {
      const row = this.#disks[side].rows.get(storeKey('lane', answer.lane))
      if (row === undefined) {
        this.#violations.push(`acknowledged on ${sequence}, which is not on the disk`)
        continue
      }
      const text = Buffer.from(row.value).toString('utf8')
      const head = JSON.parse(text.slice(text.indexOf('{'))) as { destination: { accepted: Span[] } }
      const isThere = ranges.every(([lower, upper]) => head.destination.accepted.some(([low, high]) => low <= lower && upper <= high))
      if (!isThere) this.#violations.push(`acknowledged ${JSON.stringify(ranges)}, on the disk ${JSON.stringify(head.destination.accepted)}`)
    }
  }

  // ── The attacker: a principal of his own, with a token of his own, who knows every identifier ──────────────────────────────

  #attackResponder(): void {
    const process = this.#responder
    if (process === undefined || !process.isAlive) return
    const lane = process.engine.sequences().find((each) => each.tokenId === TOKEN_A)
    if (lane?.sequence === undefined) return
    if (lane.endpoint?.kind === 'address' && this.#chance.hit(0.3)) return this.#attackAddress()
    const name = this.#chance.hit(0.3) && lane.offered !== undefined ? lane.offered : lane.sequence
    const top = Math.max(1, lane.last, this.#jobs.length)
    const isPoll = lane.endpoint?.kind === 'make-connection' && this.#chance.hit(0.3)
    const attack = isPoll && lane.endpoint !== undefined ? attackWith(name, { kind: 'make-connection', address: addressOf(lane.endpoint) }, {}) : ATTACKS[this.#chance.below(ATTACKS.length)]?.(name, 1 + this.#chance.below(top), top)
    if (attack === undefined) return
    this.#counts.attacks++
    const exchange = `b${this.#counts.exchange++}`
    this.#trace(`attack ${said(attack)}`)
    this.#exchanges.set(exchange, { side: 'responder', end: (answer) => {
      // D9: as a mailbox in which nothing waits.
      if (answer === 'broken' || (isPoll && answer === 'accepted')) return
      // D9: as a sequence that never was.
      const isUnknown = answer !== 'accepted' && answer.body.kind === 'fault' && answer.body.fault === FAULTS.unknownSequence && answer.acknowledgements.length === 0 && answer.body.acknowledgement === undefined
      if (!isUnknown) this.#violations.push(`the attacker's ${attack.body.kind} was answered with ${answer === 'accepted' ? answer : said(answer)}`)
    } })
    this.#receive(process, wordsOf(attack, { tokenId: TOKEN_B, principal: B, rm: this.#rm }), { kind: 'exchange', exchange })
  }
  /** At the initiator's own address: whoever is there, words under another token are about nothing. */
  #attackAddress(): void {
    const process = this.#initiator
    const lane = process?.engine.sequences().find((each) => each.tokenId === TOKEN_A && each.sequence !== undefined)
    if (process === undefined || !process.isAlive || lane?.sequence === undefined) return
    const body = forgeries(lane.sequence, 'urn:create')[this.#chance.below(9)]
    if (body === undefined) return
    this.#counts.attacks++
    const exchange = `c${this.#counts.exchange++}`
    this.#exchanges.set(exchange, { side: 'initiator', end: () => undefined })
    const attack = attackWith(lane.sequence, body, { ranges: lane.last > 0 ? [[1, lane.last]] : [], final: true, ...(body.kind === 'application' && lane.offered !== undefined ? { number: 1, on: lane.offered } : {}) })
    this.#receive(process, { ...wordsOf(attack, { tokenId: TOKEN_B, principal: B, rm: this.#rm }), to: HERE }, { kind: 'exchange', exchange })
  }
  /** In the place of an answer: words under another token, and words under none. */
  #attackInitiator(outbound: Outbound, process: Process): void {
    const lane = process.engine.status(outbound.lane)
    if (lane === undefined) return
    this.#counts.attacks++
    if (this.#chance.hit(0.3)) {
      const fault: Hint = { kind: 'unprotected-fault', fault: { code: 'Sender', reason: 'forged', rmFault: outbound.body.kind === 'terminate-sequence' ? 'SequenceTerminated' : 'UnknownSequence' } }
      return process.engine.hint(outbound.lane, fault, outbound)
    }
    const name = lane.sequence ?? 'urn:none'
    const forged = forgeries(name, outbound.messageId ?? '')
    const body = forged[this.#chance.below(forged.length)]
    if (body === undefined) return
    const attack = attackWith(name, body, { relatesTo: outbound.messageId ?? '', ranges: lane.last > 0 ? [[1, lane.last]] : [], ...(body.kind === 'application' && lane.offered !== undefined ? { number: 1, on: lane.offered } : {}) })
    this.#receive(process, wordsOf(attack, { tokenId: TOKEN_B, principal: B, rm: this.#rm }), { kind: 'answer', lane: outbound.lane, to: outbound })
  }
}

/** What somebody who is not the peer may tell an initiator. */
const forgeries = (name: string, relatesTo: string): readonly Outbound['body'][] => [
  { kind: 'acknowledgement' }, { kind: 'close-sequence-response', sequence: name }, { kind: 'terminate-sequence-response', sequence: name }, { kind: 'terminate-sequence', sequence: name },
  { kind: 'close-sequence', sequence: name }, { kind: 'fault', fault: FAULTS.sequenceTerminated, sequence: name }, { kind: 'fault', fault: FAULTS.createSequenceRefused },
  { kind: 'create-sequence-response', sequence: 'urn:forged' }, { kind: 'application', shape: 'reply', content: { action: 'reply', messageId: 'urn:forged', relatesTo, body: '<forged/>', headers: [] } },
]
/** Every kind of message that names a sequence, by the identifier of someone else's. */
const ATTACKS: readonly ((name: string, number: number, top: number) => Outbound)[] = [
  (name, number) => attackWith(name, { kind: 'application', shape: 'one-way', content: { action: 'urn:do', messageId: 'urn:evil', body: '<evil/>', headers: [] } }, { number }),
  (name, number) => attackWith(name, { kind: 'application', shape: 'request', content: { action: 'urn:do', messageId: 'urn:evil', body: '<evil/>', headers: [] } }, { number }),
  (name) => attackWith(name, { kind: 'ack-requested' }, { asks: true }),
  (name, _, top) => attackWith(name, { kind: 'acknowledgement' }, { ranges: [[1, top]] }),
  (name, _, top) => attackWith(name, { kind: 'acknowledgement' }, { ranges: [[1, top]], final: true }),
  (name, number) => attackWith(name, { kind: 'acknowledgement' }, { ranges: [], nacks: [number] }),
  (name, _, top) => attackWith(name, { kind: 'close-sequence', sequence: name, lastNumber: top }, {}),
  (name) => attackWith(name, { kind: 'close-sequence-response', sequence: name }, {}),
  (name, _, top) => attackWith(name, { kind: 'terminate-sequence', sequence: name, lastNumber: top }, {}),
  (name) => attackWith(name, { kind: 'terminate-sequence-response', sequence: name }, {}),
  (name) => attackWith(name, { kind: 'last-message' }, { number: 1 }),
]
function attackWith(name: string, body: Outbound['body'], also: { number?: number; on?: string; asks?: boolean; ranges?: readonly Span[]; nacks?: readonly number[]; final?: boolean; relatesTo?: string }): Outbound {
  return {
    lane: '' as LaneId, tokenId: TOKEN_B, to: { kind: 'endpoint', url: URL }, body, messageId: 'urn:evil', ...(also.relatesTo === undefined ? {} : { relatesTo: also.relatesTo }),
    ...(also.number === undefined ? {} : { sequence: { id: also.on ?? name, number: also.number } }),
    acknowledgements: also.ranges === undefined ? [] : [{ sequence: name, ranges: also.ranges, final: also.final ?? false, ...(also.nacks === undefined ? {} : { nacks: also.nacks }) }],
    ackRequested: also.asks ? [name] : [],
  }
}
/** One line of what a message is. */
export function said(outbound: Outbound): string {
  const { body, sequence, acknowledgements, ackRequested } = outbound
  const parts = [body.kind === 'fault' ? `fault ${body.fault.name}` : body.kind === 'application' ? `${body.shape} ${body.content.body}` : body.kind]
  if (sequence !== undefined) parts.push(`#${sequence.number}${sequence.last ? ' last' : ''}`)
  if ('lastNumber' in body && body.lastNumber !== undefined) parts.push(`last ${body.lastNumber}`)
  for (const each of acknowledgements) parts.push(`ack ${each.ranges.map(([lower, upper]) => lower === upper ? lower : `${lower}-${upper}`).join(',') || 'none'}${each.final ? ' final' : ''}`)
  if (ackRequested.length > 0) parts.push('ack?')
  return parts.join(' ')
}

/** All that promises have to say is said before the world goes on. */
const drain = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })
