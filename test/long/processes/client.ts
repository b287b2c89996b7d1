/**
 * A client of the process tests. Places orders under idempotency keys in a named conversation, as many as it is told to; begun again, it asks
 * again for all of them under the same keys. Usage: client.ts FOLDER URL NAME PREFIX
 *
 * @module
 */
import { createClient, Keyring, type Reply } from '../../../src/index.ts'
import { openSqliteStore } from '../../../src/store/sqlite.ts'
import { as, PLACE, place } from '../../flow/world.ts'

const [folder = '', url = '', name = '', prefix = ''] = process.argv.slice(2)
const tell = (message: unknown): void => void process.send?.(message)
const said = (error: unknown): string => `${String((error as { code?: unknown }).code)} ${(error as Error).message}`

const store = await openSqliteStore(`${folder}/client.db`)
const client = createClient({ store, keyring: await Keyring.fromFile(`${folder}/client.keyring.json`), retransmitAfterMs: 200 })

async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if ((error as { retryable?: unknown }).retryable !== true) throw error
      tell({ again: said(error) })
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

try {
  const orders = await patiently(() => client.connect(url, { ...as('client'), name }))
  orders.on('error', ({ error }) => tell({ error: said(error) }))
  orders.on('lost', ({ numbers, reason }) => tell({ lost: `${numbers.join(' ')} ${reason}` }))
  tell({ connected: orders.tokenId })
  let asked = 0
  const replies: Promise<void>[] = []
  const ask = (upTo: number): void => {
    while (asked < upTo) {
      const n = ++asked
      const reply = (): Promise<Reply> => orders.request(place(`${prefix}${n}`), { action: PLACE, key: `${prefix}${n}` })
      replies.push(patiently(reply).then(({ body }) => tell({ replied: n, body }), (error: unknown) => tell({ failed: `${n} ${said(error)}` })))
    }
  }
  process.on('message', async (message) => {
    if (typeof message === 'number') ask(message)
    else {
      await Promise.all(replies)
      if (message === 'detach') {
        await orders.detach()
        process.send?.({ detached: true }, () => process.disconnect())
        return
      }
      const report = await orders.close()
      const token = await client.tokens.status(orders.tokenId)
      await client[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
      process.send?.({ closed: { ...report, token: token?.state, id: orders.tokenId } }, () => process.disconnect())
    }
  })
} catch (error) {
  process.send?.({ refused: said(error) }, () => process.disconnect())
}
