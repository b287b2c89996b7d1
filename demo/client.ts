/**
 * The client of the demo: places orders under idempotency keys in a named conversation. Killed in the middle and started again with the
 * same arguments, it goes on with the same sequence under the stored token.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { createClient, Keyring, x509 } from '../src/index.ts'
import { openSqliteStore } from '../src/store/sqlite.ts'

const [directory = '', url = '', count = '0', pauseAfter = '0'] = process.argv.slice(2)
const identity = (name: string): string => readFileSync(new URL(`identities/${name}`, import.meta.url), 'utf8')
const tell = (message: unknown): void => void process.send?.(message)

const store = await openSqliteStore(`${directory}/client.db`)
const client = createClient({ store, keyring: await Keyring.fromFile(`${directory}/client.keyring.json`), retransmitAfterMs: 400 })
const options = {
  bootstrap: x509({ certificate: identity('client.pem'), key: identity('client.key.pem'), service: identity('service.pem') }),
  trust: { authorities: [identity('authority.pem')] },
}
const orders = await client.connect(url, { ...options, name: 'orders' })
tell({ connected: orders.tokenId })

if (pauseAfter !== '0') {
  // A second conversation with the same peer: the live token is reused, no RST is sent.
  const news = await client.connect(url, options)
  tell({ second: news.tokenId })
  await news.request('<place xmlns="urn:example:orders"><item>a newspaper</item></place>', { action: 'urn:example:orders/Place' })
  await news.close()
}
for (let n = 1; n <= Number(count); n++) {
  const reply = orders.request(`<place xmlns="urn:example:orders"><item>order ${n}</item></place>`, { action: 'urn:example:orders/Place', key: `order-${n}` })
  // The order is durable, its reply is not here yet: this is where the runner kills us.
  if (n === Number(pauseAfter)) tell({ kill: n })
  await reply
  tell({ replied: n })
}
await orders.close()
tell({ closed: true })
await client[Symbol.asyncDispose]()
await store[Symbol.asyncDispose]()
process.disconnect?.()
