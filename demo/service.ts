/**
 * The service of the demo: takes orders, one by one, and answers each. Its effect (the list of orders) is written in the very commit
 * that consumes the message, so that no crash doubles or loses one. The list keeps digests: the file is to hold no order in clear.
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createService, Keyring, x509 } from '../src/index.ts'
import { openSqliteStore } from '../src/store/sqlite.ts'
import type { DangerTap } from '../src/tap.ts'

const [directory = '', recordKeys = ''] = process.argv.slice(2)
const identity = (name: string): string => readFileSync(new URL(`identities/${name}`, import.meta.url), 'utf8')
const tell = (message: unknown): void => void process.send?.(message)

const store = await openSqliteStore(`${directory}/service.db`)
const secret: DangerTap['secret'] = (context) => tell({ secret: { identifier: context.identifier, instance: context.instance, value: context.secret.export().toString('base64') } })
const service = await createService({
  accept: [x509({ identity: { certificate: identity('service.pem'), key: identity('service.key.pem') }, trust: { authorities: [identity('authority.pem')] } })],
  store,
  keyring: await Keyring.fromFile(`${directory}/service.keyring.json`),
  ...(recordKeys === 'danger-record-keys' ? { dangerTap: { message: () => undefined, secret } } : {}),
  handle: async (message) => ({
    reply: { body: `<placed xmlns="urn:example:orders">${message.select('/o:place/o:item', { o: 'urn:example:orders' })[0]?.textContent}</placed>` },
    commit: (database) => {
      database.exec('CREATE TABLE IF NOT EXISTS orders (position INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL)')
      database.prepare('INSERT INTO orders (digest) VALUES (?)').run(createHash('sha256').update(message.body).digest('hex'))
      tell({ delivered: message.number })
    },
  }),
})
const listening = await service.listen({ port: 0, path: '/orders' })
tell({ listening: listening.url })
process.on('message', async (message) => {
  if (message !== 'end') return
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(`${directory}/service.db`, { readOnly: true })
  tell({ orders: database.prepare('SELECT digest FROM orders ORDER BY position').all().map((row) => String(row['digest'])) })
  database.close()
  await service.close()
  await store[Symbol.asyncDispose]()
  process.disconnect?.()
})
