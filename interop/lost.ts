/**
 * Lost replies and restarts: what can be had again comes again, what cannot is named, and nothing hangs.
 *
 * @module
 */
import { Keyring, MemoryStore, ReplyLost } from '../src/index.ts'
import { systemRandom } from '../src/crypto/random.ts'
import type { Case } from './cases.ts'
import { exchange, givenBy, must, PATIENCE_MS, pause, same, textsOf, until } from './conversation.ts'
import { inspect } from './journal.ts'
import { actionOf, CLEAN, type Network } from './network.ts'
import { bodyOf, ECHO, profileOf, textOf } from './ours.ts'

/** Loses the answer to the nth request of the application, once. */
function loseReply(network: Network, nth: number): void {
  let seen = 0
  network.fates = (request) => (actionOf(request) === ECHO && ++seen === nth ? { lose: 'response' } : {})
}

export const LOST: readonly Case[] = [
  {
    name: 'a reply that was lost is given again', role: 'client', peers: ['metro', 'sandesha2'],
    async run(run, peer) {
      const service = await run.theirService(peer)
      const conversation = await run.connect()
      loseReply(run.network, 3)
      await exchange(conversation, run.cell, textsOf(5))
      same([...await givenBy(peer, service, 5)].sort(), textsOf(5), 'their application was given')
      same([await conversation.close({ timeoutMs: PATIENCE_MS })], [{ outcome: 'terminated', lost: [] }], 'the end')
      same(await inspect(run.journal, run.cell, profileOf(run.cell)), [], 'what is wrong with what we wrote')
    },
  },
  {
    name: 'a reply that cannot be had again is reported, with its number, and the conversation goes on', role: 'client', peers: ['cxf'],
    async run(run, peer) {
      const service = await run.theirService(peer)
      const conversation = await run.client({ retransmitAfterMs: 300 }).connect(run.network.url, run.connectOptions)
      loseReply(run.network, 3)
      for (const [index, text] of textsOf(5).entries()) {
        const reply = await conversation.request(bodyOf('echo', text), { action: ECHO, timeoutMs: PATIENCE_MS }).catch((error: unknown) => error)
        if (index === 2) must(reply instanceof ReplyLost && reply.numbers?.join() === '3', `the third request ended with ${String(reply)}`)
        else must(!(reply instanceof Error) && textOf((reply as { body: string }).body) === text, `the reply to '${text}' is ${String(reply)}`)
      }
      same(await givenBy(peer, service, 5), textsOf(5), 'their application was given')
      same([await conversation.close({ timeoutMs: PATIENCE_MS })], [{ outcome: 'terminated', lost: [3] }], 'the end')
      same(await inspect(run.journal, run.cell, profileOf(run.cell)), [], 'what is wrong with what we wrote')
    },
  },
  {
    name: 'our client restarts: the conversation goes on', role: 'client',
    async run(run, peer) {
      const service = await run.theirService(peer)
      const options = { store: new MemoryStore(), keyring: Keyring.ephemeral(systemRandom) }
      const first = run.client(options)
      const conversation = await first.connect(run.network.url, { ...run.connectOptions, name: 'live' })
      await exchange(conversation, run.cell, textsOf(5, 'before'))
      await conversation.detach()
      await first[Symbol.asyncDispose]()
      const again = await run.client(options).connect(run.network.url, { ...run.connectOptions, name: 'live' })
      must(again.status.sequence === conversation.status.sequence, 'it is another sequence')
      await exchange(again, run.cell, textsOf(5, 'after'))
      same([await again.close({ timeoutMs: PATIENCE_MS })], [{ outcome: 'terminated', lost: [] }], 'the end')
      same([...await givenBy(peer, service, 10)].sort(), [...textsOf(5, 'before'), ...textsOf(5, 'after')].sort(), 'their application was given')
      same(await inspect(run.journal, run.cell, profileOf(run.cell)), [], 'what is wrong with what we wrote')
    },
  },
  {
    name: 'our service restarts: the conversation goes on, each message once', role: 'service',
    async run(run, peer) {
      const options = { store: new MemoryStore(), keyring: Keyring.ephemeral(systemRandom) }
      const before = await run.ourService(options)
      const client = await run.theirClient(peer)
      await peer.send(client, textsOf(5, 'before'))
      await before.service.close({ timeoutMs: 1_000 })
      const sending = peer.send(client, textsOf(5, 'after'))
      // Some of their tries find nobody.
      await pause(300)
      const after = await run.ourService(options)
      same(await sending, textsOf(5, 'after'), 'their application got')
      await peer.end(client)
      await until(() => after.received.length >= 5)
      same(before.received, textsOf(5, 'before'), 'our application was given before')
      same(after.received, textsOf(5, 'after'), 'our application was given after')
      same(await inspect(run.journal, run.cell, profileOf(run.cell)), [], 'what is wrong with what we wrote')
    },
  },
  {
    name: 'an answer of ours that was lost comes again, and the message is handled once', role: 'service',
    async run(run, peer) {
      const { received } = await run.ourService()
      const client = await run.theirClient(peer)
      loseReply(run.network, 3)
      // Peer CXF 4: waits for a reply on the back-channel of the first try alone.
      const texts = run.cell.peer === 'cxf' ? textsOf(2) : textsOf(5)
      same(await peer.send(client, texts), texts, 'their application got')
      run.network.fates = CLEAN
      await peer.end(client)
      same(received, texts, 'our application was given')
      same(await inspect(run.journal, run.cell, profileOf(run.cell)), [], 'what is wrong with what we wrote')
    },
  },
  {
    name: 'a request that our application works on for longer than an exchange is held has its reply in the end, and is handled once', role: 'service',
    async run(run, peer) {
      const received: string[] = []
      await run.ourService({
        // Peer CXF 4: its preset holds them.
        ...(run.cell.peer !== 'cxf' && { holdReplyMs: 700 }),
        handle: async ({ body }) => {
          received.push(textOf(body))
          if (received.length === 2) await pause(3_000)
          return { reply: { body: bodyOf('echoResponse', textOf(body)) } }
        },
      })
      const client = await run.theirClient(peer)
      same(await peer.send(client, textsOf(4)), textsOf(4), 'their application got')
      await peer.end(client)
      same(received, textsOf(4), 'our application was given')
      same(await inspect(run.journal, run.cell, profileOf(run.cell)), [], 'what is wrong with what we wrote')
    },
  },
]
