/** Commits to the SQLite store as fast as it can with four writers, and says which commits were acknowledged, until it is killed. */
import { writeSync } from 'node:fs'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import { storeKey } from '../../src/store/store.ts'

const [path = '', round = '', early] = process.argv.slice(2)
const store = await openSqliteStore(path)
async function write(writer: number): Promise<never> {
  for (let number = 1; ; number++) {
    const value = Buffer.from(`${writer}/${number}`.padEnd(300, '.'))
    const id = `${round}:${writer}`
    // The planted defect: acknowledge what is only in memory.
    if (early === 'early') {
      writeSync(1, `${id}:${number}\n`)
      continue
    }
    const [result] = await store.commit([{
      expect: [{ head: storeKey('head', id), revision: number === 1 ? 'absent' : number - 1 }],
      writes: [{ put: storeKey('head', id), value }, { put: storeKey('msg', id, number), value }],
    }])
    if (result !== 'committed') throw new Error(`not committed: ${JSON.stringify(result)}`)
    // Straight to the pipe: what was written there has been acknowledged, whatever happens to this process next.
    writeSync(1, `${id}:${number}\n`)
  }
}
await Promise.all([0, 1, 2, 3].map(write))
