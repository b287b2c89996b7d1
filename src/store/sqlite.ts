/**
 * The Store contract on one SQLite file (D12): WAL, synced at each commit, and one sync for all lanes that come together. Several
 * processes may open the same file: the revisions decide between them.
 *
 * @module
 */
import { open } from 'node:fs/promises'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { StoreFailed, UsageError } from '../errors.ts'
import { type CommitResult, checkedKey, type LaneCommit, type Row, type ScanOptions, type Store, type Write } from './store.ts'

export interface SqliteOptions {
  /** How long a commit waits for another process's. 5 s: longer than any commit, shorter than a peer's patience. */
  readonly busyTimeoutMs?: number
}

const SCHEMA_VERSION = 1
/** The file may be the application's own: our tables have a name of their own, and no pragma that belongs to the file is used. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS wsrm_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS wsrm_row (key BLOB PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL) STRICT;
  INSERT INTO wsrm_meta (name, value) VALUES ('schema', ${SCHEMA_VERSION}) ON CONFLICT DO NOTHING;
`
const PAGE_ROWS = 256
/** A page ends when it has this much, so that a scan over large messages stays small. */
const PAGE_BYTES = 1024 * 1024
/** SQLite's primary result codes. */
const BUSY: ReadonlySet<number> = new Set([5, 6])
/** After IOERR, CORRUPT or NOTADB the file is not touched again: a sync that failed and is repeated proves nothing. */
const BROKEN: ReadonlySet<number> = new Set([10, 11, 26])

/**
 * Opens the store in this file, or makes it (mode 0600). `work` of a commit gets the same database, inside the transaction, and
 * must be synchronous.
 *
 * @throws {StoreFailed} the file cannot be opened or synced, or has a schema that this release does not know
 */
export async function openSqliteStore(path: string, options: SqliteOptions = {}): Promise<Store<DatabaseSync>> {
  if (path === '' || path === ':memory:' || path.startsWith('file:')) throw new UsageError('ERR_STORE_PATH', 'the store needs the path of a file; MemoryStore keeps nothing')
  const { DatabaseSync } = await import('node:sqlite')
  try {
    // SQLite would make it readable for all; its -wal and -shm files take the mode of this one.
    await (await open(path, 'a', 0o600)).close()
    const database = new DatabaseSync(path, { timeout: options.busyTimeoutMs ?? 5_000 })
    try {
      prepare(database)
      return new SqliteStore(database)
    } catch (error) {
      database.close()
      throw error
    }
  } catch (cause) {
    throw cause instanceof StoreFailed ? cause : failure('cannot be opened', cause)
  }
}

function prepare(database: DatabaseSync): void {
  const mode = database.prepare('PRAGMA journal_mode = WAL').get()?.['journal_mode']
  if (mode !== 'wal') throw new StoreFailed('ERR_STORE_WAL', `the file system of the store does not carry a write-ahead log (journal mode ${String(mode)})`)
  // fullfsync: what macOS needs to write to the disk and not only to its cache; elsewhere without effect.
  database.exec('PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON')
  const known = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'wsrm_meta'").get() !== undefined
  if (!known) database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`)
  const version = database.prepare("SELECT value FROM wsrm_meta WHERE name = 'schema'").get()?.['value']
  if (version !== SCHEMA_VERSION) throw new StoreFailed('ERR_STORE_VERSION', `the store has schema ${String(version)}; this release knows ${SCHEMA_VERSION}`)
}

interface Waiting {
  readonly lanes: readonly LaneCommit<DatabaseSync>[]
  readonly resolve: (results: readonly CommitResult[]) => void
  readonly reject: (error: StoreFailed) => void
}

class SqliteStore implements Store<DatabaseSync> {
  readonly #database: DatabaseSync
  readonly #revision: StatementSync
  readonly #put: StatementSync
  readonly #delete: StatementSync
  readonly #page: StatementSync
  #waiting: Waiting[] = []
  #broken: StoreFailed | undefined

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#revision = database.prepare('SELECT revision FROM wsrm_row WHERE key = ?')
    this.#put = database.prepare(
      'INSERT INTO wsrm_row (key, revision, value) VALUES (?, 1, ?) ON CONFLICT (key) DO UPDATE SET revision = revision + 1, value = excluded.value',
    )
    this.#delete = database.prepare('DELETE FROM wsrm_row WHERE key = ?')
    this.#page = database.prepare('SELECT key, revision, value FROM wsrm_row WHERE key >= ? AND key < ? AND key IS NOT ? ORDER BY key LIMIT ?')
  }

  async *scan(prefix: string, options: ScanOptions = {}): AsyncGenerator<Row, void, undefined> {
    const { after, limit = Number.POSITIVE_INFINITY, signal } = options
    let from = after
    for (let given = 0; given < limit; ) {
      this.#mustBeUsable()
      signal?.throwIfAborted()
      const { rows, last } = this.#readPage(prefix, from, Math.min(PAGE_ROWS, limit - given))
      for (const row of rows) {
        yield row
        signal?.throwIfAborted()
      }
      if (last) return
      given += rows.length
      from = rows.at(-1)?.key
    }
  }

  commit(lanes: readonly LaneCommit<DatabaseSync>[]): Promise<readonly CommitResult[]> {
    return new Promise((resolve, reject) => {
      this.#mustBeUsable()
      // All that is asked for until this turn of the event loop ends shares one transaction and its sync.
      if (this.#waiting.length === 0) setImmediate(() => this.#flush())
      this.#waiting.push({ lanes, resolve, reject })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#flush()
    if (this.#database.isOpen) this.#database.close()
    this.#broken = new StoreFailed('ERR_STORE_CLOSED', 'the store is closed')
  }

  #flush(): void {
    const group = this.#waiting
    this.#waiting = []
    if (group.length === 0) return
    try {
      this.#mustBeUsable()
      const results = this.#transaction(group)
      group.forEach(({ resolve }, i) => {
        resolve(results[i] ?? [])
      })
    } catch (cause) {
      const error = this.#failed('did not take a commit', cause)
      for (const { reject } of group) reject(error)
    }
  }

  #transaction(group: readonly Waiting[]): readonly (readonly CommitResult[])[] {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const results = group.map(({ lanes }) => lanes.map((lane) => this.#lane(lane)))
      this.#database.exec('COMMIT')
      return results
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }

  #lane(lane: LaneCommit<DatabaseSync>): CommitResult {
    this.#database.exec('SAVEPOINT wsrm_lane')
    const result = this.#attempt(lane)
    if (!this.#database.isTransaction) throw new StoreFailed('ERR_STORE_TRANSACTION', 'the work of a commit ended the transaction that it ran in')
    this.#database.exec(result === 'committed' ? 'RELEASE wsrm_lane' : 'ROLLBACK TO wsrm_lane; RELEASE wsrm_lane')
    return result
  }
  #attempt({ expect, writes, work }: LaneCommit<DatabaseSync>): CommitResult {
    try {
      for (const { head, revision } of expect) {
        if ((this.#revision.get(bytesOf(head))?.['revision'] ?? 'absent') !== revision) return 'conflict'
      }
      for (const write of writes) this.#write(write)
      const pending: unknown = work?.(this.#database)
      if (isThenable(pending)) {
        // Nothing may wait inside the transaction: all lanes would wait with it.
        Promise.resolve(pending).catch(() => undefined)
        throw new UsageError('ERR_STORE_ASYNC_WORK', 'the work of a commit on SQLite must be synchronous; it returned a promise')
      }
      return 'committed'
    } catch (failed) {
      // A full disk ends the whole transaction, and with it all lanes of this group.
      if (!this.#database.isTransaction || (isSqliteError(failed) && BROKEN.has(failed.errcode & 0xff))) throw failed
      return { failed }
    }
  }
  #write(write: Write): void {
    if ('delete' in write) this.#delete.run(bytesOf(write.delete))
    else this.#put.run(bytesOf(write.put), write.value)
  }

  #readPage(prefix: string, after: string | undefined, limit: number): { readonly rows: readonly Row[]; readonly last: boolean } {
    const start = bytesOf(prefix)
    const from = after === undefined ? null : bytesOf(after)
    const rows: Row[] = []
    let bytes = 0
    try {
      // No byte of UTF-8 is 0xff: all keys with this prefix, and no others, lie below it.
      const found = this.#page.iterate(from !== null && Buffer.compare(from, start) > 0 ? from : start, Buffer.concat([start, Buffer.from([0xff])]), from, limit)
      for (const { key, revision, value } of found as Iterable<{ key: Uint8Array; revision: number; value: Uint8Array }>) {
        rows.push({ key: Buffer.from(key).toString('utf8'), value, revision })
        bytes += value.length
        if (bytes >= PAGE_BYTES) return { rows, last: false }
      }
    } catch (cause) {
      throw this.#failed('cannot be read', cause)
    }
    return { rows, last: rows.length < limit }
  }

  #failed(what: string, cause: unknown): StoreFailed {
    if (cause instanceof StoreFailed) return cause
    const error = failure(what, cause)
    if (isSqliteError(cause) && BROKEN.has(cause.errcode & 0xff)) this.#broken = error
    return error
  }
  #mustBeUsable(): void {
    if (this.#broken !== undefined) throw this.#broken
  }
}

// Blobs: compared byte by byte, and read back whole even with a NUL inside.
const bytesOf = (key: string): Buffer => Buffer.from(checkedKey(key), 'utf8')
const isThenable = (value: unknown): boolean => typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'

interface SqliteError extends Error { readonly errcode: number }
const isSqliteError = (error: unknown): error is SqliteError => error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
function failure(what: string, cause: unknown): StoreFailed {
  const code = isSqliteError(cause) ? cause.errcode & 0xff : undefined
  const why = cause instanceof Error ? cause.message : 'unknown'
  const retryable = code !== undefined && BUSY.has(code)
  return new StoreFailed(retryable ? 'ERR_STORE_BUSY' : 'ERR_STORE_FAILED', `the store ${what}: ${why}`, { cause, retryable })
}
