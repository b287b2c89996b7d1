import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, test } from 'vitest'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import { storeContract } from '../../src/testing/store.ts'

const folder = mkdtempSync(join(tmpdir(), 'wsrm-sqlite-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let made = 0
async function make() {
  const path = join(folder, `${made++}.db`)
  const store = await openSqliteStore(path)
  const reopen = async () => {
    await store[Symbol.asyncDispose]()
    return openSqliteStore(path)
  }
  return { store, reopen }
}
storeContract('the SQLite store', make, { describe, test })
