/**
 * What must and must not compile for a user of the package: checked by `npm run types`, never run.
 *
 * @module
 */
import { connect, createService, type Handler, Keyring, type Message, type Outcome, x509 } from '../../src/index.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'

const accept = [x509({ identity: { certificate: '', key: '' }, trust: { authorities: [''] } })]
const bootstrap = x509({ certificate: '', key: '', service: '' })
const keyring = Keyring.of([], '')

// A handler may return nothing, in each way in which a function can.
await createService({ accept, handle: async (message) => { message.body.trim() } })
await createService({ accept, handle: async () => {} })
await createService({ accept, handle: async (message: Message): Promise<void> => { message.body.trim() } })
await createService({ accept, handle: async (message) => { if (message.number > 1) return { reply: { body: '<a/>' } }; return } })
await createService({ accept, handle: () => Promise.resolve(undefined) })

// The store says what `commit` is given, wherever it stands.
const store = await openSqliteStore('')
await createService({ accept, store, keyring, handle: async (message) => ({ commit: (db) => void db.prepare('').run(message.body).changes }) })
await createService({ handle: async () => ({ reply: { body: '<a/>' }, commit: (db) => db.exec('') }), accept, store, keyring })
const handler: Handler<import('node:sqlite').DatabaseSync> = async () => ({ commit: (db) => db.exec('') })
await createService({ accept, store, keyring, handle: handler })

// Without a store there is nothing to commit with.
// @ts-expect-error
await createService({ accept, handle: async () => ({ commit: () => {} }) })
// @ts-expect-error
await createService({ accept, handle: async () => ({ reply: { body: '<a/>' }, commit: (tx: { exec(sql: string): void }) => tx.exec('') }) })
// @ts-expect-error
export const outcome: Outcome = { commit: () => {} }

// Nothing waits inside a transaction of SQLite.
// @ts-expect-error
await createService({ accept, store, keyring, handle: async () => ({ commit: async (db) => { db.exec('') } }) })

// There is no default trust, and no message without an action.
// @ts-expect-error
await connect('', { bootstrap })
const conversation = await connect('', { bootstrap, trust: { pins: [''] } })
// @ts-expect-error
await conversation.send('<a/>', {})
// @ts-expect-error
conversation.on('nothing', () => {})
// @ts-expect-error: the service's side of x509 is not the client's
await connect('', { bootstrap: accept[0], trust: { pins: [''] } })
