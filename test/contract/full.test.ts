import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { openSqliteStore } from '../../src/store/sqlite.ts'

const folder = mkdtempSync(join(tmpdir(), 'wsrm-full-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// A limit of the operating system makes every write beyond it fail, as a broken disk does (SQLite: IOERR).
test.skipIf(process.platform === 'win32')('when the disk refuses a write, nothing acknowledged is lost and the file is not used any more', async () => {
  const path = join(folder, 'full.db')
  const writer = fileURLToPath(new URL('full-writer.ts', import.meta.url))
  const child = spawn('/bin/sh', ['-c', 'ulimit -f 2000 && exec "$0" "$@"', process.execPath, '--disable-warning=ExperimentalWarning', writer, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text })
  expect(await once(child, 'close')).toEqual([0, null])
  const { acknowledged, failures } = JSON.parse(out) as { acknowledged: number[]; failures: string[] }
  expect(acknowledged.length).toBeGreaterThan(50)
  expect(failures).toEqual(['StoreFailed ERR_STORE_FAILED', 'StoreFailed ERR_STORE_FAILED'])
  const store = await openSqliteStore(path)
  try {
    const kept: number[] = []
    for await (const { key, value } of store.scan('')) {
      const number = Number(/(\d{16});$/.exec(key)?.[1])
      expect(value).toEqual(new Uint8Array(5_000).fill(number))
      kept.push(number)
    }
    expect(kept.slice(0, acknowledged.length)).toEqual(acknowledged)
  } finally {
    await store[Symbol.asyncDispose]()
  }
})
