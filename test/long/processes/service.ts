/**
 * A service of the process tests: each message is written into the application's own table in the commit that consumes it, and answered with
 * its number. Usage: service.ts FOLDER PORT
 *
 * @module
 */
import { createService, Keyring, x509 } from '../../../src/index.ts'
import { openSqliteStore } from '../../../src/store/sqlite.ts'
import { pem } from '../../flow/world.ts'

const [folder = '', port = '0'] = process.argv.slice(2)
const tell = (message: unknown): void => void process.send?.(message)

const store = await openSqliteStore(`${folder}/service.db`)
const service = await createService({
  accept: [x509({ identity: { certificate: pem('service.pem'), key: pem('service.key.pem') }, trust: { authorities: [pem('authority.pem')] } })],
  store, keyring: await Keyring.fromFile(`${folder}/service.keyring.json`), timing: { redeliverMs: 100 }, holdReplyMs: 1_000,
  handle: async (message) => {
    const item = message.select('/o:place/o:item', { o: 'urn:example:orders' })[0]?.textContent ?? ''
    return { reply: { body: `<placed xmlns="urn:example:orders">${item}</placed>` }, commit: (db) => void db.prepare('INSERT INTO orders (item, by) VALUES (?, ?)').run(item, process.pid) }
  },
})
service.on('security', ({ code, detail }) => tell({ security: `${code} ${detail ?? ''}` }))
service.on('error', ({ error }) => tell({ error: `${'code' in error ? String(error.code) : error.name} ${error.message}` }))
tell({ listening: (await service.listen({ port: Number(port) })).url })
process.on('message', async (message) => {
  if (message !== 'end') return
  const sequences = []
  for await (const { state, sequence } of service.sequences()) sequences.push({ state, sequence })
  await service.close()
  await store[Symbol.asyncDispose]()
  process.send?.({ sequences }, () => process.disconnect())
})
