/** A clock that is set by hand, chance from a seed, and a recipient that answers from the real issuer: what the token tests share. */
import { createHash, createSecretKey, type KeyObject } from 'node:crypto'
import type { Clock } from '../../../src/clock.ts'
import type { RandomSource } from '../../../src/crypto/random.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import type { LaneId } from '../../../src/rm/turn.ts'
import { SctManager, type PeerKey, type SctManagerOptions, type TokenAsk } from '../../../src/sct/manager.ts'
import type { Principal, SecurityContextToken, TokenRequest } from '../../../src/sct/token.ts'
import { Keyring } from '../../../src/serializer/keyring.ts'
import { createSerializer, type SctSerializer } from '../../../src/serializer/serializer.ts'
import { SC13 } from '../../../src/spec/versions.ts'
import { MemoryStore, type Store } from '../../../src/store/store.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const ALICE: Principal = { kind: 'user', name: 'alice' }
export const BOB: Principal = { kind: 'user', name: 'bob' }
export const SERVICE: Principal = { kind: 'certificate', thumbprint: 'ab'.repeat(32), subject: 'CN=service' }
export const PEER: PeerKey = { endpoint: 'https://service.example/rm', principal: 'alice', policy: 'p1' }
export const LANE = 'lane-1' as LaneId

export class FakeClock implements Clock {
  #now = Date.UTC(2026, 0, 15, 10)
  readonly #alarms = new Set<{ readonly at: number; readonly wake: () => void }>()
  now(): number { return this.#now }
  alarm(at: number, wake: () => void): () => void {
    const alarm = { at, wake }
    this.#alarms.add(alarm)
    return () => this.#alarms.delete(alarm)
  }
  get alarms(): number { return this.#alarms.size }
  /** Goes on by `ms`, ringing on the way what is due, and lets promises settle after each. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms
    for (;;) {
      const [next] = [...this.#alarms].filter((each) => each.at <= until).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#alarms.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.wake()
      await settle()
    }
    this.#now = until
    await settle()
  }
}

/** Everything that can go on without the clock has gone on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => { setImmediate(resolve) })
}

/** SHA-256 of seed and counter: the same every time. */
export function seeded(seed: string): RandomSource {
  let count = 0
  return {
    bytes(length) {
      const out = new Uint8Array(length)
      for (let at = 0; at < length; at += 32) out.set(createHash('sha256').update(`${seed}/${count++}`).digest().subarray(0, Math.min(32, length - at)), at)
      return out
    },
  }
}
export const secret = (text: string, bytes = 32): KeyObject => createSecretKey(Buffer.alloc(bytes, text))
export const keyOf = (token: SecurityContextToken | undefined, index = -1): string => token?.instances.at(index)?.secret.export().toString('hex') ?? 'none'

const KEY = Keyring.of([{ id: 'k1', key: new Uint8Array(32).fill(7) }], 'k1')
export const serializerOf = (seed: string): SctSerializer => createSerializer(KEY, seeded(`iv/${seed}`))

/** An initiator and a recipient, joined by functions; `calls` counts what went over. */
export class World {
  readonly clock = new FakeClock()
  readonly store: Store = new MemoryStore()
  readonly serviceStore: Store = new MemoryStore()
  readonly calls: { readonly kind: string; readonly request: TokenRequest }[] = []
  readonly service: SctManager
  #messages = 0
  #managers = 0

  constructor(service: Partial<SctManagerOptions> = {}) {
    this.service = new SctManager({ store: this.serviceStore, serializer: serializerOf('service'), clock: this.clock, random: seeded('service'), limits: DEFAULT_LIMITS, ...service })
  }

  /** An initiator on the store of this world; a second one is the first after a crash. */
  manager(options: Partial<SctManagerOptions> = {}): SctManager {
    this.#managers += 1
    return new SctManager({
      store: this.store, serializer: serializerOf(`client/${this.#managers}`), clock: this.clock, random: seeded(`client/${this.#managers}`), limits: DEFAULT_LIMITS,
      establish: async (_peer, request) => ({ response: (await this.ask({ request })).response, principal: SERVICE }),
      renewWith: async (token, request, _signal, messageId) => ({ response: (await this.ask({ request, messageId, signer: signerOf(token) })).response, principal: SERVICE }),
      cancelWith: async (token, request) => { await this.ask({ request, signer: signerOf(token) }) },
      ...options,
    })
  }

  async ask(ask: Pick<TokenAsk, 'request'> & Partial<TokenAsk>): ReturnType<SctManager['answer']> {
    this.calls.push({ kind: ask.request.kind, request: ask.request })
    this.#messages += 1
    return this.service.answer({
      principal: ALICE, suite: 'Basic256Sha256', peer: PEER.endpoint, messageId: `urn:m:${this.#messages}`,
      replay: { key: `sig-${this.#messages}`, until: this.clock.now() + 10 * MINUTE }, ...ask,
    })
  }
}
export const signerOf = (token: SecurityContextToken): NonNullable<TokenAsk['signer']> => ({ identifier: token.id, instance: token.instances.at(-1)?.instance })
export const issueOf = (text = 'client', more: Partial<TokenRequest> = {}): TokenRequest => ({ kind: 'issue', sc: SC13, entropy: secret(text), keySizeBits: 256, ...more })
