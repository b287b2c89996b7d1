/**
 * The Store contract as a suite: what a store must do so that sequences survive crashes and two processes do not disturb each other.
 * Give it a maker and the `describe` and `test` of your test runner.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { StoreFailed, UsageError } from '../errors.ts'
import { type CommitResult, type LaneCommit, type Row, type ScanOptions, type Store, storeKey, type Write } from '../store/store.ts'

export interface TestHarness {
  readonly describe: (name: string, body: () => void) => void
  readonly test: (name: string, body: () => Promise<void>) => void
}
export interface StoreUnderTest<Tx> {
  readonly store: Store<Tx>
  /** Closes the store and opens what it has kept; absent for a store that keeps nothing. */
  readonly reopen?: () => Promise<Store<Tx>>
}

/** Declares one test for each promise of the contract. Every test makes a store of its own. */
export function storeContract<Tx>(name: string, make: () => Promise<StoreUnderTest<Tx>>, { describe, test }: TestHarness): void {
  const withStore = (title: string, body: (store: Store<Tx>, made: StoreUnderTest<Tx>) => Promise<void>): void => {
    test(title, async () => {
      const made = await make()
      try {
        await body(made.store, made)
      } finally {
        await made.store[Symbol.asyncDispose]()
      }
    })
  }
  describe(`${name} keeps the Store contract:`, () => {
    commits(withStore)
    revisions(withStore)
    scans(withStore)
    ends(withStore)
  })
}

type WithStore<Tx> = (title: string, body: (store: Store<Tx>, made: StoreUnderTest<Tx>) => Promise<void>) => void

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8')
const put = (key: string, text = key): Write => ({ put: key, value: bytes(text) })
const lane = <Tx>(writes: readonly Write[], expect: LaneCommit<Tx>['expect'] = []): LaneCommit<Tx> => ({ expect, writes })
async function rowsOf<Tx>(store: Store<Tx>, prefix = '', options?: ScanOptions): Promise<readonly Row[]> {
  const rows: Row[] = []
  for await (const row of store.scan(prefix, options)) rows.push(row)
  return rows
}
const read = async <Tx>(store: Store<Tx>, prefix = '', options?: ScanOptions): Promise<readonly string[]> =>
  (await rowsOf(store, prefix, options)).map(({ key, value, revision }) => `${key}=${Buffer.from(value).toString('utf8')}@${revision}`)
const keysOf = async <Tx>(store: Store<Tx>, prefix = '', options?: ScanOptions): Promise<readonly string[]> => (await rowsOf(store, prefix, options)).map(({ key }) => key)
const words = (results: readonly CommitResult[]): readonly string[] => results.map((result) => (typeof result === 'string' ? result : 'failed'))
async function committed<Tx>(store: Store<Tx>, ...writes: readonly Write[]): Promise<void> {
  assert.deepEqual(await store.commit([lane(writes)]), ['committed'])
}
const failing = (): never => {
  throw new Error('the application failed')
}

function commits<Tx>(withStore: WithStore<Tx>): void {
  withStore('what was committed is read', async (store) => {
    await committed(store, put('a', 'one'), put('b', 'two'))
    assert.deepEqual(await read(store), ['a=one@1', 'b=two@1'])
  })
  withStore('a commit of no lanes, and a lane of no writes, are no error', async (store) => {
    assert.deepEqual(await store.commit([]), [])
    assert.deepEqual(await store.commit([lane([])]), ['committed'])
  })
  withStore('the later write of one lane to the same key wins', async (store) => {
    await committed(store, put('a', 'one'), put('a', 'two'), put('b'), { delete: 'b' })
    assert.deepEqual(await read(store), ['a=two@2'])
  })
  withStore('a lane in conflict writes nothing, its neighbours write', async (store) => {
    await committed(store, put('head'))
    const results = await store.commit([
      lane([put('x')]),
      lane([put('head', 'new'), put('y')], [{ head: 'head', revision: 7 }]),
      lane([put('z')], [{ head: 'head', revision: 1 }]),
    ])
    assert.deepEqual(results, ['committed', 'conflict', 'committed'])
    assert.deepEqual(await read(store), ['head=head@1', 'x=x@1', 'z=z@1'])
  })
  withStore('all expectations of a lane hold, or none of it is written', async (store) => {
    await committed(store, put('pair'), put('token'))
    const both = (pair: number | 'absent', token: number | 'absent'): LaneCommit<Tx> =>
      lane([put('pair', 'new')], [{ head: 'pair', revision: pair }, { head: 'token', revision: token }, { head: 'moved', revision: 'absent' }])
    assert.deepEqual(await store.commit([both(1, 2), both(2, 1), both('absent', 1), both(1, 'absent')]), ['conflict', 'conflict', 'conflict', 'conflict'])
    assert.deepEqual(await read(store), ['pair=pair@1', 'token=token@1'])
    assert.deepEqual(await store.commit([both(1, 1)]), ['committed'])
    await committed(store, put('moved'))
    assert.deepEqual(await store.commit([both(2, 1)]), ['conflict'])
  })
  withStore('lanes of one call see what the lanes before them wrote', async (store) => {
    const first = lane<Tx>([put('head')], [{ head: 'head', revision: 'absent' }])
    const second = lane<Tx>([put('head', 'two')], [{ head: 'head', revision: 1 }])
    assert.deepEqual(await store.commit([first, first, second]), ['committed', 'conflict', 'committed'])
    assert.deepEqual(await read(store), ['head=two@2'])
  })
  withStore('a lane whose work throws is rolled back alone, and says why', async (store) => {
    const results = await store.commit([lane([put('a')]), { ...lane<Tx>([put('b'), { delete: 'a' }]), work: failing }, lane([put('c')])])
    assert.deepEqual(words(results), ['committed', 'failed', 'committed'])
    const failed = results[1]
    assert.ok(typeof failed === 'object' && failed.failed instanceof Error && failed.failed.message === 'the application failed')
    assert.deepEqual(await keysOf(store), ['a', 'c'])
  })
  withStore('the work of a lane in conflict does not run', async (store) => {
    let ran = 0
    const work = (): void => void ran++
    await store.commit([{ ...lane<Tx>([], [{ head: 'none', revision: 3 }]), work }, { ...lane<Tx>([]), work }])
    assert.equal(ran, 1)
  })
  withStore('of commits that race for one head exactly one wins', async (store) => {
    await committed(store, put('head'))
    const race = (i: number): Promise<readonly CommitResult[]> => store.commit([lane([put('head', `${i}`), put(`won-${i}`)], [{ head: 'head', revision: 1 }])])
    const results = (await Promise.all(Array.from({ length: 50 }, (_, i) => race(i)))).flat()
    assert.equal(results.filter((result) => result === 'committed').length, 1)
    assert.equal(results.filter((result) => result === 'conflict').length, 49)
    assert.equal((await keysOf(store, 'won-')).length, 1)
  })
  withStore('commits that come together keep their order and each gets its own results', async (store) => {
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, i) => store.commit([lane([put('last', `${i}`)]), ...(i % 3 === 0 ? [{ ...lane<Tx>([put('bad')]), work: failing }] : [])])),
    )
    results.forEach((result, i) => {
      assert.deepEqual(words(result), i % 3 === 0 ? ['committed', 'failed'] : ['committed'])
    })
    assert.deepEqual(await read(store), ['last=199@200'])
  })
}

function revisions<Tx>(withStore: WithStore<Tx>): void {
  withStore('a revision begins at 1 and grows by one with each put', async (store) => {
    for (let i = 0; i < 3; i++) await committed(store, put('a', `${i}`))
    assert.deepEqual(await read(store), ['a=2@3'])
    assert.deepEqual(await store.commit([lane([put('b')], [{ head: 'a', revision: 3 }])]), ['committed'])
  })
  withStore('a row that was deleted is absent, and begins at 1 again', async (store) => {
    await committed(store, put('a'), put('a'))
    await committed(store, { delete: 'a' })
    assert.deepEqual(await store.commit([lane([], [{ head: 'a', revision: 2 }]), lane([], [{ head: 'a', revision: 'absent' }])]), ['conflict', 'committed'])
    await committed(store, put('a', 'again'))
    assert.deepEqual(await read(store), ['a=again@1'])
  })
  withStore('deleting what is not there is no error', async (store) => {
    await committed(store, { delete: 'never' })
    assert.deepEqual(await read(store), [])
  })
  withStore('a lane that failed leaves the revisions as they were', async (store) => {
    await committed(store, put('a'))
    await store.commit([{ ...lane<Tx>([put('a'), put('a')]), work: failing }])
    assert.deepEqual(await read(store), ['a=a@1'])
  })
  withStore('expecting never writes: a head that is only expected keeps its revision', async (store) => {
    await committed(store, put('token'))
    await store.commit([lane([put('x')], [{ head: 'token', revision: 1 }])])
    assert.deepEqual(await read(store, 'token'), ['token=token@1'])
  })
}

const HOSTILE: readonly string[] = [
  '', 'a', 'a;', '1:a;', 'a%', 'a_', '%', '_', 'a\u0000b', 'a\u0000', '\u0000', "a' OR 1=1 --", 'a"', 'A', 'ä', 'a\u0308', '\uffff', '\ufffd', '\u{1f600}', '\u{10ffff}',
  '__proto__', 'constructor', '*', 'a*', '[a-z]', '\\', 'a\\', '\n', ' ', 'a ', 'x'.repeat(1_024),
]
function scans<Tx>(withStore: WithStore<Tx>): void {
  withStore('rows come in the order of their code points', async (store) => {
    const sorted = ['', 'A', 'a', 'aa', 'b', 'ä', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}']
    await committed(store, ...[...sorted].reverse().map((key) => put(key, 'x')))
    assert.deepEqual(await keysOf(store), sorted)
  })
  withStore('message numbers are scanned in their order', async (store) => {
    const numbers = [1, 2, 9, 10, 11, 99, 100, 1_000, Number.MAX_SAFE_INTEGER]
    await committed(store, ...[...numbers].reverse().map((number) => put(storeKey('msg', 'lane', number), `${number}`)))
    const found = await rowsOf(store, storeKey('msg', 'lane'))
    assert.deepEqual(found.map(({ value }) => Number(Buffer.from(value).toString('utf8'))), numbers)
  })
  withStore('a scan by identifier never reaches a neighbour, whatever the identifiers are', async (store) => {
    await committed(store, ...HOSTILE.flatMap((id) => [put(storeKey('lane', id), 'head'), put(storeKey('lane', id, 1), 'first'), put(storeKey('lane', id, 2), 'second')]))
    for (const id of HOSTILE) {
      assert.deepEqual(await keysOf(store, storeKey('lane', id)), [storeKey('lane', id), storeKey('lane', id, 1), storeKey('lane', id, 2)])
    }
    assert.equal((await keysOf(store, storeKey('lane'))).length, 3 * HOSTILE.length)
    assert.deepEqual(await keysOf(store, storeKey('lan')), [])
  })
  withStore('hostile keys and values come back as they were', async (store) => {
    await committed(store, ...HOSTILE.map((key) => put(key)))
    const found = await rowsOf(store)
    assert.deepEqual(new Set(found.map(({ key }) => key)), new Set(HOSTILE))
    for (const { key, value } of found) assert.equal(Buffer.from(value).toString('utf8'), key)
  })
  withStore('a key with a lone surrogate is refused, not changed', async (store) => {
    const results = await store.commit([lane([put('a\ud800', 'x')]), lane([{ delete: '\udfff' }]), lane([], [{ head: '\ud800', revision: 'absent' }])])
    assert.deepEqual(words(results), ['failed', 'failed', 'failed'])
    await assert.rejects(keysOf(store, '\ud800'), UsageError)
    assert.deepEqual(await read(store), [])
  })
  withStore('a scan starts after a key, whether it exists or not, and ends at its limit', async (store) => {
    await committed(store, ...['a1', 'a2', 'a3', 'a4', 'b1'].map((key) => put(key, 'x')))
    assert.deepEqual(await keysOf(store, 'a', { after: 'a2' }), ['a3', 'a4'])
    assert.deepEqual(await keysOf(store, 'a', { after: 'a2x' }), ['a3', 'a4'])
    assert.deepEqual(await keysOf(store, 'a', { after: '0' }), ['a1', 'a2', 'a3', 'a4'])
    assert.deepEqual(await keysOf(store, 'a', { after: 'b' }), [])
    assert.deepEqual(await keysOf(store, 'a', { limit: 2 }), ['a1', 'a2'])
    assert.deepEqual(await keysOf(store, 'a', { after: 'a1', limit: 2 }), ['a2', 'a3'])
    assert.deepEqual(await keysOf(store, 'a', { limit: 0 }), [])
  })
  withStore('a scan over many rows brings each once', async (store) => {
    const keys = Array.from({ length: 1_500 }, (_, i) => storeKey('row', i))
    await store.commit(keys.map((key) => lane([put(key, 'x')])))
    assert.deepEqual(await keysOf(store, storeKey('row')), keys)
    assert.deepEqual(await keysOf(store, storeKey('row'), { limit: 700 }), keys.slice(0, 700))
  })
  withStore('a scan goes on while rows before and behind it change', async (store) => {
    const keys = Array.from({ length: 600 }, (_, i) => storeKey('row', i))
    await store.commit(keys.map((key) => lane([put(key, 'x')])))
    const seen: string[] = []
    for await (const { key } of store.scan(storeKey('row'))) {
      if (seen.length === 10) await committed(store, { delete: keys[0] ?? '' }, { delete: keys[599] ?? '' }, put(storeKey('row', 5_000)))
      seen.push(key)
    }
    // Whether the new row and the deleted last are seen is left open; all that stayed is seen once and in order.
    const stayed = keys.slice(1, 599)
    assert.deepEqual(seen.filter((key) => stayed.includes(key)), stayed)
    assert.equal(new Set(seen).size, seen.length)
  })
  withStore('a scan stops when it is aborted', async (store) => {
    await committed(store, put('a'), put('b'), put('c'))
    const controller = new AbortController()
    const seen: string[] = []
    await assert.rejects(async () => {
      for await (const { key } of store.scan('', { signal: controller.signal })) {
        seen.push(key)
        controller.abort(new Error('enough'))
      }
    }, /enough/)
    assert.deepEqual(seen, ['a'])
    await assert.rejects(keysOf(store, '', { signal: AbortSignal.abort(new Error('before')) }), /before/)
  })
  withStore('a scan that is left early leaves the store usable', async (store) => {
    await committed(store, ...Array.from({ length: 300 }, (_, i) => put(storeKey(i), 'x')))
    for await (const row of store.scan('')) if (row.revision === 1) break
    await committed(store, put('after'))
  })
  withStore('large values come back whole, many of them too', async (store) => {
    const large = Buffer.alloc(4 * 1024 * 1024, 'large')
    await store.commit([lane([{ put: 'large', value: large }]), ...Array.from({ length: 20 }, (_, i) => lane<Tx>([{ put: storeKey('some', i), value: large.subarray(0, 200_000 + i) }]))])
    const [row] = await rowsOf(store, 'large')
    assert.ok(row !== undefined && large.equals(row.value))
    assert.deepEqual((await rowsOf(store, storeKey('some'))).map(({ value }) => value.length), Array.from({ length: 20 }, (_, i) => 200_000 + i))
  })
  withStore('an empty value is a row', async (store) => {
    await committed(store, { put: 'empty', value: new Uint8Array() })
    assert.deepEqual(await read(store), ['empty=@1'])
  })
  withStore('the bytes are the store’s own: changing them outside changes nothing inside', async (store) => {
    const value = bytes('before')
    const commit = store.commit([lane([{ put: 'a', value }])])
    await commit
    value.fill(0)
    for (const row of await rowsOf(store)) row.value.fill(0)
    assert.deepEqual(await read(store), ['a=before@1'])
  })
}

function ends<Tx>(withStore: WithStore<Tx>): void {
  withStore('what was acknowledged is there after it was opened again', async (store, { reopen }) => {
    if (reopen === undefined) return
    await committed(store, put('a', 'one'), put('b'))
    await committed(store, put('a', 'two'), { delete: 'b' })
    await store.commit([{ ...lane<Tx>([put('c')]), work: failing }])
    const again = await reopen()
    try {
      assert.deepEqual(await read(again), ['a=two@2'])
      assert.deepEqual(await again.commit([lane([put('a', 'three')], [{ head: 'a', revision: 2 }])]), ['committed'])
    } finally {
      await again[Symbol.asyncDispose]()
    }
  })
  withStore('commits under way are finished before the store closes', async (store, { reopen }) => {
    const commit = store.commit([lane([put('a')])])
    await store[Symbol.asyncDispose]()
    assert.deepEqual(await commit, ['committed'])
    if (reopen === undefined) return
    const again = await reopen()
    try {
      assert.deepEqual(await read(again), ['a=a@1'])
    } finally {
      await again[Symbol.asyncDispose]()
    }
  })
  withStore('a closed store refuses, and may be closed again', async (store) => {
    await store[Symbol.asyncDispose]()
    await assert.rejects(store.commit([lane([put('a')])]), StoreFailed)
    await assert.rejects(keysOf(store), StoreFailed)
    await store[Symbol.asyncDispose]()
  })
}
