/**
 * The life of a token with each peer: one for several conversations, renewed, expired, cancelled, forgotten.
 *
 * @module
 */
import { WsrmError } from '../src/index.ts'
import type { Case } from './cases.ts'
import { exchange, must, PATIENCE_MS, type Run, same, textsOf, until } from './conversation.ts'
import { inspect } from './journal.ts'
import { actionOf } from './network.ts'
import { bodyOf, ECHO, profileOf, scenarioOf } from './ours.ts'

/** How many requests of that kind about a token went over the network and were answered with what was asked for. */
export const granted = (run: Run, kind: 'SCT' | 'Renew' | 'Cancel'): number => run.network.passed.filter(({ event }) =>
  event.direction === 'response' && event.http.status === 200 && new RegExp(`/RSTR/(?:SCT${kind === 'SCT' ? '' : '/'})?${kind === 'SCT' ? '' : kind}$`).test(actionOf(event.body))).length

const checked = async (run: Run): Promise<void> => same(await inspect(run.journal, run.cell, profileOf(run.cell)), [], 'what is wrong with what we wrote')

export const LIFE: readonly Case[] = [
  {
    name: 'one token for two conversations, cancelled after the last', role: 'client',
    async run(run, peer) {
      const service = await run.theirService(peer)
      const client = run.client()
      const [one, other] = [await client.connect(run.network.url, run.connectOptions), await client.connect(run.network.url, run.connectOptions)]
      must(one.tokenId === other.tokenId, 'each has a token of its own')
      await Promise.all([exchange(one, run.cell, textsOf(5, 'one')), exchange(other, run.cell, textsOf(5, 'other'))])
      await one.close({ timeoutMs: PATIENCE_MS })
      must(granted(run, 'Cancel') === 0, 'the token was cancelled while it was in use')
      await exchange(other, run.cell, textsOf(2, 'more'))
      await other.close({ timeoutMs: PATIENCE_MS })
      same([granted(run, 'SCT')], [1], 'tokens issued')
      must(run.network.passed.some(({ event }) => event.direction === 'request' && actionOf(event.body).endsWith('/Cancel')), 'nobody was asked to cancel the token')
      must((await client.tokens.status(one.tokenId))?.state !== 'live', 'the token is live still')
      same([(await peer.received(service)).length], [12], 'messages that their application was given')
      await checked(run)
    },
  },
  {
    name: 'a renewal in the middle of a conversation', role: 'client', peers: ['metro', 'cxf'],
    async run(run, peer) {
      await run.theirService(peer)
      const client = run.client()
      const conversation = await client.connect(run.network.url, run.connectOptions)
      await exchange(conversation, run.cell, textsOf(3, 'before'))
      await client.tokens.renew(conversation.tokenId, { timeoutMs: PATIENCE_MS })
      await exchange(conversation, run.cell, textsOf(3, 'after'))
      same([granted(run, 'Renew') + granted(run, 'SCT')], [2], 'answers of the token service')
      same([(await client.tokens.status(conversation.tokenId))?.instances], [2], 'instances of the token')
      same([await conversation.close({ timeoutMs: PATIENCE_MS })], [{ outcome: 'terminated', lost: [] }], 'the end')
      await checked(run)
    },
  },
  {
    name: 'a renewal that the peer does not offer ends with its fault, and the conversation goes on', role: 'client', peers: ['sandesha2'],
    async run(run, peer) {
      await run.theirService(peer)
      const client = run.client()
      const conversation = await client.connect(run.network.url, run.connectOptions)
      await exchange(conversation, run.cell, textsOf(3, 'before'))
      const failure: unknown = await client.tokens.renew(conversation.tokenId, { timeoutMs: PATIENCE_MS }).then(() => undefined, (error: unknown) => error)
      must(failure instanceof WsrmError, `the renewal ended with ${String(failure)}`)
      await exchange(conversation, run.cell, textsOf(3, 'after'))
      same([await conversation.close({ timeoutMs: PATIENCE_MS })], [{ outcome: 'terminated', lost: [] }], 'the end')
      await checked(run)
    },
  },
  {
    name: 'the peer has lost the context: a request ends with an error by name or with its reply, and nothing is said in clear', role: 'client',
    async run(run, peer) {
      const service = await run.theirService(peer)
      const conversation = await run.connect()
      await exchange(conversation, run.cell, textsOf(3, 'before'))
      await peer.forget(service)
      const end: unknown = await conversation.request(bodyOf('echo', 'after'), { action: ECHO, timeoutMs: 30_000 }).then((reply) => reply, (error: unknown) => error)
      must(!(end instanceof Error) || (end instanceof WsrmError && end.code !== 'ERR_TIMEOUT'), `the request ended with ${String(end)}`)
      await conversation.close({ timeoutMs: 3_000 }).catch(() => undefined)
      await checked(run)
    },
  },
  {
    name: 'their client cancels its token at the end', role: 'service', peers: ['metro'],
    async run(run, peer) {
      const { service } = await run.ourService()
      const client = await run.theirClient(peer, scenarioOf(run.cell))
      await peer.send(client, textsOf(3))
      await peer.end(client)
      await until(() => granted(run, 'Cancel') === 1)
      same([granted(run, 'SCT'), granted(run, 'Cancel')], [1, 1], 'tokens issued and cancelled')
      for await (const { state } of service.sequences()) must(state === 'ended', `the sequence is ${state}`)
      await checked(run)
    },
  },
]
