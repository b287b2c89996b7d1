/**
 * `npm run corpus`: records one or two conversations with each peer in each role into test/fixture, where they are replayed (replay.test.ts).
 * What is expected of a message is written down from what both applications know and from the text itself, not from our reader.
 *
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ordinary } from './cases.ts'
import { type Cell, type Choices, type Role, ROLES } from './cells.ts'
import { Run, talk } from './conversation.ts'
import { actionOf } from './network.ts'
import { buildPeers, missingTools, Peer, type Stack, STACKS } from './peer.ts'

/** Each peer's ordinary way, and what it is otherwise seldom seen with. */
const CHOSEN: Readonly<Record<Stack, Readonly<Record<Role, Readonly<Record<string, Partial<Choices>>>>>>> = {
  metro: {
    client: { x509: {}, 'mailbox-user': { bootstrap: 'usernameForCertificate', endpoint: 'make-connection', shape: 'one-way' } },
    service: { 'encrypt-first': { order: 'encrypt-before-sign', encryptSignature: true }, 'tls-rm10': { bootstrap: 'certificateOverTls', protection: 'transport', rm: '1.0', sc: '200502', shape: 'one-way' } },
  },
  cxf: {
    client: { x509: {}, 'gcm-endorsing': { bootstrap: 'usernameForCertificateEndorsing', suite: 'Basic256GCM', encryptSignature: true } },
    service: { 'user-tls': { bootstrap: 'usernameOverTls', protection: 'transport' }, 'no-derived-keys': { derivedKeys: false, suite: 'Basic128', soap: '1.1' } },
  },
  sandesha2: {
    client: { 'mailbox-x509': { endpoint: 'make-connection' }, 'address-rm10': { endpoint: 'address', rm: '1.0', addressing: '200408', sc: '200502', soap: '1.1' } },
    service: { 'mailbox-x509': { endpoint: 'make-connection' }, 'user-rm10': { bootstrap: 'usernameForCertificate', rm: '1.0', sc: '200502', encryptSignature: true } },
  },
}
const TEXTS: readonly string[] = ['text 1', 'text 2', 'text 3']
const FIXTURES = join(import.meta.dirname, '..', 'test', 'fixture')

const missing = await missingTools()
if (missing !== undefined) throw new Error(missing)
await buildPeers()
for (const stack of STACKS) {
  await using peer = await Peer.start(stack, join(tmpdir(), `corpus-${stack}.log`))
  const { peer: version } = await peer.describe()
  for (const role of ROLES) for (const [name, changes] of Object.entries(CHOSEN[stack][role])) {
    const cell = ordinary(stack, role, changes)
    await using run = await Run.start(cell, 1)
    await talk(run, peer, TEXTS)
    const folder = join(FIXTURES, `live-${stack}-${role}-${name}`)
    run.write(folder)
    complete(folder, cell, version)
    console.log(folder)
  }
}

interface Message { readonly file: string | null; expect?: Record<string, unknown> }
interface Recording { peer: string; recorded: string; decodePolicy: unknown; readonly messages: Message[] }
/** Adds what is known without a reader. */
function complete(folder: string, cell: Cell, version: string): void {
  const path = join(folder, 'conversation.json')
  const recording = JSON.parse(readFileSync(path, 'utf8')) as Recording
  const isOverTls = cell.bootstrap.endsWith('OverTls')
  const policy = { bootstrap: isOverTls ? 'transport' : cell.peer === 'sandesha2' ? 'body' : 'headers', session: cell.protection === 'transport' ? 'transport' : 'headers' }
  recording.peer = `ws-reliablemessaging as ${cell.role} with ${version.replace(/ \(.*/, '')}`
  recording.decodePolicy = policy
  for (const message of recording.messages) {
    if (message.file === null) continue
    const xml = readFileSync(join(folder, message.file), 'utf8')
    message.expect = { opened: /<(?:\w+:)?Security[ >]/.test(xml), soap: cell.soap, action: actionOf(Buffer.from(xml)) }
  }
  writeFileSync(path, `${JSON.stringify(recording, null, 1)}\n`)
  writeFileSync(join(folder, 'policy.json'), `${JSON.stringify(policy)}\n`)
}
