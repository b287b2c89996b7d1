/** The suite is evidence only if a store that breaks its promise fails it: ten broken stores, each caught. */
import { expect, test } from 'vitest'
import { type CommitResult, type LaneCommit, MemoryStore, type Row, type ScanOptions, type Store } from '../../src/store/store.ts'
import { type StoreUnderTest, storeContract } from '../../src/testing/store.ts'

/** Names of the tests that fail. */
async function failures(make: () => StoreUnderTest<undefined>): Promise<readonly string[]> {
  const tests: { readonly name: string; readonly body: () => Promise<void> }[] = []
  storeContract('broken', async () => make(), { describe: (_name, body) => body(), test: (name, body) => void tests.push({ name, body }) })
  const failed: string[] = []
  for (const { name, body } of tests) await body().catch(() => failed.push(name))
  return failed
}

class Wrapped implements Store<undefined> {
  readonly inner = new MemoryStore()
  commit(lanes: readonly LaneCommit<undefined>[]): Promise<readonly CommitResult[]> { return this.inner.commit(lanes) }
  scan(prefix: string, options?: ScanOptions): AsyncIterable<Row> { return this.inner.scan(prefix, options) }
  [Symbol.asyncDispose](): Promise<void> { return this.inner[Symbol.asyncDispose]() }
}
async function all(rows: AsyncIterable<Row>): Promise<readonly Row[]> {
  const found: Row[] = []
  for await (const row of rows) found.push(row)
  return found
}

const BROKEN: Readonly<Record<string, new () => Store<undefined>>> = {
  'does not compare revisions': class extends Wrapped {
    override commit(lanes: readonly LaneCommit<undefined>[]) { return super.commit(lanes.map((lane) => ({ ...lane, expect: [] }))) }
  },
  'compares the first expectation only': class extends Wrapped {
    override commit(lanes: readonly LaneCommit<undefined>[]) { return super.commit(lanes.map((lane) => ({ ...lane, expect: lane.expect.slice(0, 1) }))) }
  },
  'writes before the work and does not take it back': class extends Wrapped {
    override async commit(lanes: readonly LaneCommit<undefined>[]) {
      await super.commit(lanes.map(({ expect, writes }) => ({ expect, writes })))
      return super.commit(lanes.map(({ work }) => ({ expect: [], writes: [], ...(work === undefined ? {} : { work }) })))
    }
  },
  'fails the whole call when one lane fails': class extends Wrapped {
    override async commit(lanes: readonly LaneCommit<undefined>[]) {
      const results = await super.commit(lanes)
      const failed = results.find((result) => typeof result === 'object')
      return failed === undefined ? results : results.map(() => failed)
    }
  },
  'answers conflict but writes': class extends Wrapped {
    override async commit(lanes: readonly LaneCommit<undefined>[]) {
      const results = await super.commit(lanes)
      const lost = lanes.filter((_, i) => results[i] === 'conflict').map(({ writes }) => ({ expect: [], writes }))
      await super.commit(lost)
      return results
    }
  },
  'scans a prefix with a wildcard': class extends Wrapped {
    override async *scan(prefix: string, options?: ScanOptions) {
      const pattern = new RegExp(`^${prefix.replace(/[.*+?^$()|[\]\\{}]/g, '\\$&').replaceAll('%', '[^]*').replaceAll('_', '[^]')}`)
      for await (const row of super.scan('', options)) if (pattern.test(row.key)) yield row
    }
  },
  'orders by code unit': class extends Wrapped {
    override async *scan(prefix: string, options?: ScanOptions) {
      yield* [...(await all(super.scan(prefix, options)))].sort((a, b) => (a.key < b.key ? -1 : 1))
    }
  },
  'ends a scan after its first page': class extends Wrapped {
    override scan(prefix: string, options?: ScanOptions) { return super.scan(prefix, { ...options, limit: Math.min(options?.limit ?? 256, 256) }) }
  },
  'includes the row that a scan shall start after': class extends Wrapped {
    override async *scan(prefix: string, { after, ...options }: ScanOptions = {}) {
      for await (const row of super.scan(prefix, options)) if (after === undefined || row.key >= after) yield row
    }
  },
  'hands out its own bytes': class extends Wrapped {
    readonly #values = new Map<string, Row>()
    override async *scan(prefix: string, options?: ScanOptions) {
      for await (const row of super.scan(prefix, options)) {
        const known = this.#values.get(row.key) ?? row
        this.#values.set(row.key, known)
        yield known.revision === row.revision ? known : row
      }
    }
  },
  'goes on after it was closed': class extends Wrapped {
    override async [Symbol.asyncDispose](): Promise<void> {}
  },
}

test.each(Object.entries(BROKEN))('a store that %s is caught', async (_what, Broken) => {
  expect(await failures(() => ({ store: new Broken() }))).not.toEqual([])
})
test('a store that loses its last commit when it is opened again is caught', async () => {
  const make = (): StoreUnderTest<undefined> => ({ store: new MemoryStore(), reopen: async () => new MemoryStore() })
  expect(await failures(make)).toEqual(['what was acknowledged is there after it was opened again', 'commits under way are finished before the store closes'])
})
test('the store in memory, wrapped, is not caught', async () => expect(await failures(() => ({ store: new Wrapped() }))).toEqual([]))
