/**
 * The life of a token with each peer: one for several conversations, renewed, expired, cancelled, forgotten.
 *
 * @module
 */
import { DeliveryFailed, ReplyLost, type ServiceOptions, WsrmError } from '../src/index.ts'
import type { Case } from './cases.ts'
import { exchange, givenBy, must, PATIENCE_MS, pause, type Run, same, textsOf, until } from './conversation.ts'
import { inspect } from './journal.ts'
import { actionOf } from './network.ts'
import { bodyOf, ECHO, profileOf } from './ours.ts'
import type { Peer } from './peer.ts'

/** Short: what a token's end does is to be seen soon. */
const LIFETIME_MS = 10_000

/** How many requests of that kind about a token went over the network and were answered with what was asked for. */
const granted = (run: Run, kind: 'SCT' | 'Renew' | 'Cancel'): number => run.network.passed.filter(({ event }) =>
  event.direction === 'response' && event.http.status === 200 && new RegExp(`/RSTR/(?:SCT${kind === 'SCT' ? '' : '/'})?${kind === 'SCT' ? '' : kind}$`).test(actionOf(event.body))).length

const checked = async (run: Run): Promise<void> => same(await inspect(run.journal, run.cell, profileOf(run.cell)), [], 'what is wrong with what we wrote')

export const LIFE: readonly Case[] = [
  {
    name: 'one token for two conversations, cancelled after the last', role: 'client',
    async run(run, peer) {
      const service = await run.theirService(peer)
      const client = run.client()
      const one = await client.connect(run.network.url, run.connectOptions)
      await exchange(one, run.cell, textsOf(2, 'first'))
      const other = await client.connect(run.network.url, run.connectOptions)
      must(one.tokenId === other.tokenId, 'each has a token of its own')
      await Promise.all([exchange(one, run.cell, textsOf(3, 'one')), exchange(other, run.cell, textsOf(5, 'other'))])
      await one.close({ timeoutMs: PATIENCE_MS })
      must(granted(run, 'Cancel') === 0, 'the token was cancelled while it was in use')
      await exchange(other, run.cell, textsOf(2, 'more'))
      await other.close({ timeoutMs: PATIENCE_MS })
      same([granted(run, 'SCT')], [1], 'tokens issued')
      must(run.network.passed.some(({ event }) => event.direction === 'request' && actionOf(event.body).endsWith('/Cancel')), 'nobody was asked to cancel the token')
      must((await client.tokens.status(one.tokenId))?.state !== 'live', 'the token is live still')
      same([(await givenBy(peer, service, 12)).length], [12], 'messages that their application was given')
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
    name: 'the token would expire in the middle: our client renews it in time, again and again', role: 'client', peers: ['metro', 'cxf'], lifetimeMs: LIFETIME_MS,
    async run(run, peer) {
      await run.theirService(peer)
      const client = run.client()
      const conversation = await client.connect(run.network.url, run.connectOptions)
      for (let round = 1; round <= 5; round++) {
        await exchange(conversation, run.cell, textsOf(2, `round ${round}`))
        await pause(LIFETIME_MS / 3)
      }
      same([granted(run, 'SCT')], [1], 'tokens issued')
      must(granted(run, 'Renew') >= 2, 'the token was not renewed again')
      same([await conversation.close({ timeoutMs: PATIENCE_MS })], [{ outcome: 'terminated', lost: [] }], 'the end')
      await checked(run)
    },
  },
  {
    name: 'the peer has lost the context: what is in doubt is named, the conversation goes on under another token, and nothing is said in clear', role: 'client',
    async run(run, peer) {
      const service = await run.theirService(peer)
      const client = run.client()
      const conversation = await client.connect(run.network.url, run.connectOptions)
      await exchange(conversation, run.cell, textsOf(3, 'before'))
      await peer.forget(service)
      // It left under the old token and may have arrived: it is answered, or named.
      const end: unknown = await conversation.request(bodyOf('echo', 'at that moment'), { action: ECHO, timeoutMs: PATIENCE_MS }).then(() => undefined, (error: unknown) => error)
      must(end === undefined || ((end instanceof DeliveryFailed || end instanceof ReplyLost) && end.numbers?.join() === '4'), `the request ended with ${String(end)}`)
      await exchange(conversation, run.cell, textsOf(3, 'after'))
      must(granted(run, 'SCT') >= 2, 'no other token was issued')
      await conversation.close({ timeoutMs: PATIENCE_MS })
      const given = await givenBy(peer, service, 6)
      same(given.filter((text) => text !== 'at that moment').sort(), [...textsOf(3, 'before'), ...textsOf(3, 'after')].sort(), 'their application was given')
      await checked(run)
    },
  },
  {
    name: 'their client cancels its token at the end', role: 'service', peers: ['metro'],
    async run(run, peer) {
      const { service } = await run.ourService()
      const client = await run.theirClient(peer)
      await peer.send(client, textsOf(3))
      await peer.end(client)
      await until(() => granted(run, 'Cancel') === 1)
      same([granted(run, 'SCT'), granted(run, 'Cancel')], [1, 1], 'tokens issued and cancelled')
      for await (const { state } of service.sequences()) must(state === 'ended', `the sequence is ${state}`)
      await checked(run)
    },
  },
  {
    name: 'their client renews its token after it has expired', role: 'service', peers: ['metro'], lifetimeMs: LIFETIME_MS,
    async run(run, peer) { await expired(run, peer, {}) },
  },
  {
    name: 'their client renews an expired token by its bootstrap alone, where that was allowed', role: 'service', peers: ['cxf'],
    async run(run, peer) { await expired(run, peer, { dangerRenewWithoutProof: true }) },
  },
  {
    name: 'a token that expired and is not renewed: nothing more is delivered under it', role: 'service', peers: ['cxf', 'sandesha2'],
    async run(run, peer) {
      const { received } = await run.ourService({ tokenLifetimeMs: LIFETIME_MS })
      const client = await run.theirClient(peer)
      await peer.send(client, textsOf(3, 'before'))
      await pause(LIFETIME_MS + 1_000)
      // Their application may be told at once, or their RM may go on trying: neither is waited for.
      const after = peer.send(client, ['after']).catch(() => undefined)
      await Promise.race([after, pause(5_000)])
      same(received, textsOf(3, 'before'), 'our application was given')
      must(run.refusals.length > 0, 'nothing was refused')
      await checked(run)
    },
  },
]

/** A token of ours that ends while their client is idle; it goes on after that. */
async function expired(run: Run, peer: Peer, options: Partial<ServiceOptions>): Promise<void> {
  const { received } = await run.ourService({ tokenLifetimeMs: LIFETIME_MS, ...options })
  const client = await run.theirClient(peer)
  same(await peer.send(client, textsOf(3, 'before')), textsOf(3, 'before'), 'their application got before')
  await pause(LIFETIME_MS + 1_000)
  same(await peer.send(client, textsOf(3, 'after')), textsOf(3, 'after'), 'their application got after')
  same(received, [...textsOf(3, 'before'), ...textsOf(3, 'after')], 'our application was given')
  same([granted(run, 'Renew') > 0], [true], 'renewals')
  await checked(run)
}
