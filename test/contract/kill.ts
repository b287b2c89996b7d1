/** One round: a process commits, is killed with SIGKILL after so many acknowledgements, and what it acknowledged must be in the file. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import { storeKey } from '../../src/store/store.ts'

const WRITER = fileURLToPath(new URL('kill-writer.ts', import.meta.url))

export async function killRound(path: string, round: number, after: number, defect = ''): Promise<{ readonly acknowledged: number; readonly kept: number }> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', WRITER, path, String(round), defect], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  let lines = 0
  child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    lines += text.split('\n').length - 1
    if (lines >= after) child.kill('SIGKILL')
  })
  const [, signal] = (await once(child, 'close')) as [number | null, string | null]
  expect({ signal, err }).toEqual({ signal: 'SIGKILL', err: '' })
  // The last line may have been cut by the kill.
  const acknowledged = out.split('\n').slice(0, -1)
  const store = await openSqliteStore(path)
  try {
    const kept = new Set<string>()
    for (let writer = 0; writer < 4; writer++) {
      const id = `${round}:${writer}`
      let last = 0
      for await (const row of store.scan(storeKey('msg', id))) {
        last++
        expect(row.key).toBe(storeKey('msg', id, last))
        expect(Buffer.from(row.value).toString()).toBe(`${writer}/${last}`.padEnd(300, '.'))
        kept.add(`${id}:${last}`)
      }
      // Head and messages come from the same commits: neither is ahead.
      for await (const head of store.scan(storeKey('head', id))) expect(head.revision).toBe(last)
    }
    expect(acknowledged.filter((name) => !kept.has(name))).toEqual([])
    return { acknowledged: acknowledged.length, kept: kept.size }
  } finally {
    await store[Symbol.asyncDispose]()
  }
}
