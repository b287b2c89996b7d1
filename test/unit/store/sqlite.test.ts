import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, describe, expect, test } from 'vitest'
import { StoreFailed, UsageError } from '../../../src/errors.ts'
import { openSqliteStore, type SqliteOptions } from '../../../src/store/sqlite.ts'
import type { LaneCommit, Store } from '../../../src/store/store.ts'

const folder = mkdtempSync(join(tmpdir(), 'wsrm-sqlite-unit-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let made = 0
const fresh = (): string => join(folder, `${made++}.db`)

async function withStore(body: (store: Store<DatabaseSync>, path: string) => Promise<void>, options?: SqliteOptions): Promise<void> {
  const path = fresh()
  const store = await openSqliteStore(path, options)
  try {
    await body(store, path)
  } finally {
    await store[Symbol.asyncDispose]()
  }
}
const lane = (key: string, work?: (database: DatabaseSync) => void | Promise<void>, value: Uint8Array = Buffer.from(key)): LaneCommit<DatabaseSync> =>
  ({ expect: [], writes: [{ put: key, value }], ...(work === undefined ? {} : { work }) })
async function keys(store: Store<DatabaseSync>): Promise<readonly string[]> {
  const found: string[] = []
  for await (const { key } of store.scan('')) found.push(key)
  return found
}
function looking<T>(path: string, look: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path)
  try {
    return look(database)
  } finally {
    database.close()
  }
}

describe('opening', () => {
  test.skipIf(process.platform === 'win32')('makes files that only the owner can read', async () => {
    await withStore(async (store, path) => {
      await store.commit([lane('a')])
      for (const file of [path, `${path}-wal`, `${path}-shm`]) expect(statSync(file).mode & 0o777).toBe(0o600)
    })
  })
  test('sets a write-ahead log and a sync at each commit', async () => {
    await withStore(async (store) => {
      const seen: unknown[] = []
      await store.commit([lane('a', (database) => void seen.push(database.prepare('PRAGMA journal_mode').get(), database.prepare('PRAGMA synchronous').get()))])
      expect(seen).toEqual([{ journal_mode: 'wal' }, { synchronous: 2 }])
    })
  })
  test.each(['', ':memory:', 'file:x.db'])('%j is no path', async (path) => expect(openSqliteStore(path)).rejects.toThrow(UsageError))
  test('what is no database is refused and left as it was', async () => {
    const path = fresh()
    writeFileSync(path, 'this is a letter, not a database, and long enough to be read as one '.repeat(20))
    await expect(openSqliteStore(path)).rejects.toThrow(StoreFailed)
    expect(readFileSync(path, 'utf8')).toContain('this is a letter')
    const directory = fresh()
    mkdirSync(directory)
    await expect(openSqliteStore(directory)).rejects.toThrow(StoreFailed)
    await expect(openSqliteStore(join(folder, 'missing', 'x.db'))).rejects.toThrow(StoreFailed)
  })
  test('a schema of another release is refused, with its number, and left as it was', async () => {
    const path = fresh()
    await (await openSqliteStore(path))[Symbol.asyncDispose]()
    looking(path, (database) => database.exec("UPDATE wsrm_meta SET value = 7 WHERE name = 'schema'"))
    await expect(openSqliteStore(path)).rejects.toThrow(expect.objectContaining({ code: 'ERR_STORE_VERSION', message: expect.stringContaining('7') }))
    expect(looking(path, (database) => database.prepare('SELECT value FROM wsrm_meta').all())).toEqual([{ value: 7 }])
  })
  test('the database of an application is shared with it', async () => {
    const path = fresh()
    looking(path, (database) => database.exec('CREATE TABLE orders (id TEXT); PRAGMA user_version = 42'))
    chmodSync(path, 0o640)
    await (await openSqliteStore(path))[Symbol.asyncDispose]()
    expect(looking(path, (database) => database.prepare('PRAGMA user_version').get())).toEqual({ user_version: 42 })
    expect(statSync(path).mode & 0o777).toBe(0o640)
  })
})

describe('the work of a commit', () => {
  const insert = (id: string) => (database: DatabaseSync): void => {
    database.exec('CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY)')
    database.prepare('INSERT INTO orders VALUES (?)').run(id)
  }
  const orders = (path: string) => looking(path, (database) => database.prepare('SELECT id FROM orders ORDER BY id').all().map(({ id }) => id))
  test('stands and falls with its lane', async () => {
    await withStore(async (store, path) => {
      const results = await store.commit([lane('a', insert('1')), lane('b', insert('1')), lane('c', (database) => { insert('2')(database); throw new Error('no') }), lane('d', insert('3'))])
      expect(results.map((result) => (typeof result === 'string' ? result : 'failed'))).toEqual(['committed', 'failed', 'failed', 'committed'])
      expect(await keys(store)).toEqual(['a', 'd'])
      expect(orders(path)).toEqual(['1', '3'])
    })
  })
  test('that returns a promise fails and is undone, and its later rejection reaches nobody', async () => {
    await withStore(async (store, path) => {
      await store.commit([lane('a', insert('0'))])
      const late = async (database: DatabaseSync): Promise<void> => {
        insert('1')(database)
        await Promise.resolve()
        throw new Error('too late')
      }
      const [result, other] = await store.commit([lane('b', late), lane('c')])
      expect(result).toMatchObject({ failed: { code: 'ERR_STORE_ASYNC_WORK' } })
      expect(other).toBe('committed')
      expect(await keys(store)).toEqual(['a', 'c'])
      expect(orders(path)).toEqual(['0'])
    })
  })
  test.each(['ROLLBACK', 'COMMIT', 'ROLLBACK; BEGIN', 'RELEASE wsrm_lane'])('that does %s itself fails the commit, and the store goes on', async (statement) => {
    await withStore(async (store) => {
      const answers = await Promise.allSettled([store.commit([lane('a')]), store.commit([lane('b', (database) => database.exec(statement))])])
      expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
      for (const answer of answers) expect(answer.status === 'rejected' && answer.reason).toBeInstanceOf(StoreFailed)
      expect(await store.commit([lane('c')])).toEqual(['committed'])
      expect(await keys(store)).toContain('c')
    })
  })
  test('may commit more, which comes after', async () => {
    await withStore(async (store) => {
      let more: Promise<unknown> = Promise.resolve()
      await store.commit([lane('a', () => { more = store.commit([lane('b')]) })])
      expect(await more).toEqual(['committed'])
      expect(await keys(store)).toEqual(['a', 'b'])
    })
  })
})

describe('commits that come together', () => {
  test('share one transaction', async () => {
    await withStore(async (store, path) => {
      const visible = (database: DatabaseSync) => database.prepare('SELECT count(*) AS count FROM wsrm_row').get()?.['count']
      const seen: unknown[] = []
      const look = (database: DatabaseSync): void => void seen.push([visible(database), looking(path, visible)])
      await Promise.all([store.commit([lane('a')]), store.commit([lane('b')]), Promise.resolve().then(() => store.commit([lane('c', look)]))])
      // Three rows inside, none outside: nothing was committed before all were written.
      expect(seen).toEqual([[3, 0]])
    })
  })
  test('are all refused when the disk is full, and taken when it is not', async () => {
    await withStore(async (store) => {
      await store.commit([lane('before')])
      const pages = (count: number) => store.commit([lane('pages', (database) => void database.prepare(`PRAGMA max_page_count = ${count}`).get())])
      await pages(20)
      const answers = await Promise.allSettled([store.commit([lane('small')]), store.commit([lane('large', undefined, Buffer.alloc(1_000_000))])])
      const results = answers.map((answer) => (answer.status === 'rejected' ? answer.reason : answer.value))
      // Whether SQLite gives up the statement or the transaction is its own choice: nobody is told `committed` for what is not there.
      const kept = await keys(store)
      expect(kept).not.toContain('large')
      expect(JSON.stringify(results[1])).not.toContain('committed')
      expect(kept.includes('small')).toBe(Array.isArray(results[0]) && results[0][0] === 'committed')
      await pages(100_000)
      expect(await store.commit([lane('large', undefined, Buffer.alloc(1_000_000))])).toEqual(['committed'])
    })
  })
})

describe('two processes on one file', () => {
  test('are kept apart by the revisions', async () => {
    await withStore(async (store, path) => {
      const second = await openSqliteStore(path)
      try {
        const claim = (value: string): LaneCommit<DatabaseSync> => ({ expect: [{ head: 'head', revision: 'absent' }], writes: [{ put: 'head', value: Buffer.from(value) }] })
        const results = (await Promise.all([store.commit([claim('first')]), second.commit([claim('second')])])).flat()
        expect(results.toSorted()).toEqual(['committed', 'conflict'])
      } finally {
        await second[Symbol.asyncDispose]()
      }
    })
  })
  test('a file that another holds too long is a failure that may be tried again', async () => {
    await withStore(async (store, path) => {
      const holder = new DatabaseSync(path)
      try {
        holder.exec('BEGIN IMMEDIATE')
        await expect(store.commit([lane('a')])).rejects.toThrow(expect.objectContaining({ code: 'ERR_STORE_BUSY', retryable: true }))
        holder.exec('ROLLBACK')
        expect(await store.commit([lane('b')])).toEqual(['committed'])
        expect(await keys(store)).toEqual(['b'])
      } finally {
        holder.close()
      }
    }, { busyTimeoutMs: 0 })
  })
})

describe('a file that turns out to be broken', () => {
  async function broken(): Promise<Store<DatabaseSync>> {
    const path = fresh()
    const store = await openSqliteStore(path)
    await store.commit(Array.from({ length: 200 }, (_, i) => lane(`row ${i}`, undefined, Buffer.alloc(3_000, i))))
    await store[Symbol.asyncDispose]()
    // Overwrite all pages but the first few: what opens, breaks when it is used.
    const bytes = readFileSync(path)
    bytes.fill(0xa5, 4096 * 5)
    writeFileSync(path, bytes)
    return openSqliteStore(path)
  }
  const why = (end: Promise<unknown>): Promise<unknown> => end.then(() => 'no error', (error: unknown) => error)
  test('when it is read, is not written any more', async () => {
    const store = await broken()
    const first = await why(keys(store))
    expect(first).toBeInstanceOf(StoreFailed)
    // The very same error: the file was not asked again.
    expect(await why(store.commit([lane('after')]))).toBe(first)
    await store[Symbol.asyncDispose]()
  })
  test('when it is written, fails the commit and not only a lane, and is not written any more', async () => {
    const store = await broken()
    const first = await why(store.commit([lane('a', undefined, Buffer.alloc(1)), lane('row 100'), lane('row 77')]))
    expect(first).toBeInstanceOf(StoreFailed)
    expect(await why(store.commit([lane('after')]))).toBe(first)
    expect(await why(keys(store))).toBe(first)
    await store[Symbol.asyncDispose]()
  })
})
