/** Commits until the file may not grow any more, tries once again, and says what was acknowledged and how the others ended. */
import { WsrmError } from '../../src/errors.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import { storeKey } from '../../src/store/store.ts'

const store = await openSqliteStore(process.argv[2] ?? '')
const acknowledged: number[] = []
const failures: string[] = []
for (let number = 1; failures.length < 2; number++) {
  try {
    const [result] = await store.commit([{ expect: [], writes: [{ put: storeKey('row', number), value: Buffer.alloc(5_000, number) }] }])
    if (result === 'committed') acknowledged.push(number)
    else failures.push(typeof result === 'object' ? `lane: ${String(result.failed)}` : 'conflict')
  } catch (error) {
    failures.push(error instanceof WsrmError ? `${error.name} ${error.code}` : String(error))
  }
}
process.stdout.write(JSON.stringify({ acknowledged, failures }))
