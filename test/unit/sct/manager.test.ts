/** The token manager: one token for each peer, kept, renewed, ended, and found again after a crash. */
import { inspect } from 'node:util'
import { describe, expect, test, vi } from 'vitest'
import { BootstrapFailed, FAULTS, PeerViolation, SecurityFailure, StoreFailed, TimedOut, TransportFailed, UnknownVersion, UsageError } from '../../../src/errors.ts'
import { peerName, SctManager, type PeerKey, type TokenAsk } from '../../../src/sct/manager.ts'
import { tokenRow } from '../../../src/sct/shelf.ts'
import type { SecurityContextToken, TokenId, TokenRequest } from '../../../src/sct/token.ts'
import { Keyring } from '../../../src/serializer/keyring.ts'
import { createSerializer } from '../../../src/serializer/serializer.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { SC13 } from '../../../src/spec/versions.ts'
import { storeKey, type Row, type Store } from '../../../src/store/store.ts'
import { ALICE, BOB, HOUR, issueOf, keyOf, LANE, MINUTE, PEER, secret, seeded, serializerOf, SERVICE, settle, signerOf, World } from './world.ts'
import type { LaneId } from '../../../src/rm/turn.ts'

async function rowsOf(store: Store, ...prefix: string[]): Promise<Row[]> {
  const rows: Row[] = []
  for await (const row of store.scan(storeKey(...prefix))) rows.push(row)
  return rows
}
async function persist(store: Store, manager: SctManager, id: TokenId): Promise<void> {
  const [result] = await store.commit([{ expect: [{ head: tokenRow(id), revision: 'absent' }], writes: [{ put: tokenRow(id), value: await manager.serialize(id) }] }])
  expect(result).toBe('committed')
}
async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => { throw new Error('it did not fail') }, (error: unknown) => error)
}
const kinds = (world: World): string[] => world.calls.map((call) => call.kind)

describe('the token of a peer', () => {
  test('is asked for once, and both sides hold the same key', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    expect(kinds(world)).toEqual(['issue'])
    expect(keyOf(await manager.get(id))).toBe(keyOf(await world.service.get(id)))
    expect(await manager.status(id)).toMatchObject({ id, state: 'live', role: 'initiator', principal: SERVICE, peer: peerName(PEER), users: [] })
    expect(await world.service.status(id)).toMatchObject({ id, state: 'live', role: 'recipient', principal: ALICE })
  })

  test('is reused while it lives: a second caller sends no request', async () => {
    const world = new World()
    const manager = world.manager()
    const reused = vi.fn()
    manager.on('reused', reused)
    const id = await manager.token(PEER)
    expect(await manager.token({ ...PEER })).toBe(id)
    expect(kinds(world)).toEqual(['issue'])
    expect(reused).toHaveBeenCalledOnce()
  })

  test.each<[string, Partial<PeerKey>]>([
    ['endpoint', { endpoint: 'https://service.example/other' }], ['principal', { principal: 'bob' }], ['policy', { policy: 'p2' }],
  ])('is never that of another %s', async (_, other) => {
    const world = new World()
    const manager = world.manager()
    expect(await manager.token({ ...PEER, ...other })).not.toBe(await manager.token(PEER))
    expect(kinds(world)).toEqual(['issue', 'issue'])
  })

  test('is replaced on demand, once for all who ask; the old one stays for those who are bound to it', async () => {
    const world = new World()
    const manager = world.manager()
    const old = await manager.token(PEER)
    const all = await Promise.all([manager.instead(PEER, old), manager.instead(PEER, old), manager.token(PEER)])
    expect(new Set(all).size).toBe(1)
    expect(all[0]).not.toBe(old)
    expect(kinds(world)).toEqual(['issue', 'issue'])
    expect(await manager.instead(PEER, old)).toBe(all[0])
    expect(manager.newest(PEER)).toBe(all[0])
    expect((await manager.status(old))?.state).toBe('live')
  })
  test('is what newcomers get, as before, when none better could be had', async () => {
    const world = new World()
    let isAway = false
    const manager = world.manager({
      establish: async (_, request) => {
        if (isAway) throw new TransportFailed('ERR_HTTP_FAILED', 'away')
        return { response: (await world.ask({ request })).response, principal: SERVICE }
      },
    })
    const old = await manager.token(PEER)
    isAway = true
    await expect(manager.instead(PEER, old)).rejects.toMatchObject({ code: 'ERR_BOOTSTRAP' })
    expect(await manager.token(PEER)).toBe(old)
  })
  test('has a name that no other combination of parts has', () => {
    expect(peerName({ endpoint: 'a', principal: 'bc', policy: '' })).not.toBe(peerName({ endpoint: 'ab', principal: 'c', policy: '' }))
  })

  test('has one of its own for a conversation that shares none; with either the peer is known', async () => {
    const world = new World()
    const manager = world.manager()
    const own = { ...PEER, conversation: 'orders' }
    expect([manager.isKnown(PEER), manager.isKnown(own)]).toEqual([false, false])
    const id = await manager.token(own)
    expect([manager.isKnown(PEER), manager.isKnown(own), manager.isKnown({ ...PEER, conversation: 'order' })]).toEqual([true, true, false])
    expect(await manager.token(PEER)).not.toBe(id)
    expect(await manager.token(own)).toBe(id)
    expect(await manager.token({ ...PEER, conversation: 'returns' })).not.toBe(id)
    expect((await manager.status(id))?.peer).toBe(`${peerName(PEER)}6:orders;`)
    await manager.cancel(id)
    expect([manager.isKnown(PEER), manager.isKnown(own)]).toEqual([true, false])
  })

  test('is asked for once when many ask at the same time', async () => {
    const world = new World()
    const manager = world.manager()
    const ids = await Promise.all(Array.from({ length: 50 }, () => manager.token(PEER)))
    expect(new Set(ids).size).toBe(1)
    expect(kinds(world)).toEqual(['issue'])
  })

  test('is not handed out shortly before its expiry, nor after', async () => {
    const world = new World()
    const manager = world.manager({ renewWith: async () => { throw new TransportFailed('ERR_HTTP_FAILED', 'away') } })
    const first = await manager.token(PEER)
    await world.clock.pass(10 * HOUR - 9 * MINUTE)
    const second = await manager.token(PEER)
    expect(second).not.toBe(first)
    expect(await manager.get(first)).toBeDefined()
    await world.clock.pass(10 * HOUR)
    expect(await manager.get(first)).toBeUndefined()
    expect(await manager.token(PEER)).not.toBe(second)
  })

  test('is renewed instead where that is possible', async () => {
    const world = new World()
    const manager = world.manager()
    const first = await manager.token(PEER)
    await world.clock.pass(10 * HOUR - 9 * MINUTE)
    expect(await manager.token(PEER)).toBe(first)
    expect(kinds(world)).toEqual(['issue', 'renew'])
  })
})

describe('waiting', () => {
  function pending(): { world: World; manager: SctManager; signals: AbortSignal[]; answer: () => Promise<void> } {
    const world = new World()
    const gate = Promise.withResolvers<void>()
    const signals: AbortSignal[] = []
    const manager = world.manager({ establish: async (_peer, request, signal) => {
      signals.push(signal)
      await gate.promise
      return { response: (await world.ask({ request })).response, principal: SERVICE }
    } })
    return { world, manager, signals, answer: async () => { gate.resolve(); await settle() } }
  }

  test('an abort ends the waiting of one caller, the request goes on for the other', async () => {
    const { manager, signals, answer } = pending()
    const abort = new AbortController()
    const gone = errorOf(manager.token(PEER, { signal: abort.signal }))
    const stays = manager.token(PEER)
    await settle()
    abort.abort(new Error('enough'))
    expect(await gone).toMatchObject({ message: 'enough' })
    expect(signals).toHaveLength(1)
    expect(signals[0]?.aborted).toBe(false)
    await answer()
    expect(await manager.get(await stays)).toBeDefined()
  })

  test('when all are gone the request is aborted, and what it still brings is nobody\'s', async () => {
    const { world, manager, signals, answer } = pending()
    const abort = new AbortController()
    const both = [errorOf(manager.token(PEER, { signal: abort.signal })), errorOf(manager.token(PEER, { signal: abort.signal }))]
    await settle()
    abort.abort()
    await Promise.all(both)
    expect(signals[0]?.aborted).toBe(true)
    const next = manager.token(PEER)
    await answer()
    await next
    expect(signals).toHaveLength(2)
    expect(kinds(world)).toEqual(['issue', 'issue'])
    expect(await manager.token(PEER)).toBe(await next)
  })

  test('a time limit ends it', async () => {
    const { world, manager, signals } = pending()
    const late = errorOf(manager.token(PEER, { timeoutMs: 5_000 }))
    await settle()
    await world.clock.pass(5_000)
    expect(await late).toBeInstanceOf(TimedOut)
    expect(signals[0]?.aborted).toBe(true)
  })

  test('an abort that came before asks nobody', async () => {
    const { manager, signals } = pending()
    await errorOf(manager.token(PEER, { signal: AbortSignal.abort() }))
    expect(signals).toEqual([])
  })

  test('a request that fails fails for all who wait, and the next caller tries again', async () => {
    const world = new World()
    let away = true
    const manager = world.manager({ establish: async (_peer, request) => {
      if (away) throw new TransportFailed('ERR_HTTP_FAILED', 'the connection failed', { retryable: true })
      return { response: (await world.ask({ request })).response, principal: SERVICE }
    } })
    const [one, two] = await Promise.all([errorOf(manager.token(PEER)), errorOf(manager.token(PEER))])
    expect(one).toBeInstanceOf(BootstrapFailed)
    expect(one).toMatchObject({ code: 'ERR_BOOTSTRAP', retryable: true, cause: { code: 'ERR_HTTP_FAILED' } })
    expect(two).toBeInstanceOf(BootstrapFailed)
    away = false
    expect(await manager.token(PEER)).toMatch(/^urn:uuid:/)
  })

  test('closing the manager ends what is under way and its clock', async () => {
    const { world, manager, signals } = pending()
    const waiting = errorOf(manager.token(PEER))
    await settle()
    await manager[Symbol.asyncDispose]()
    expect(signals[0]?.aborted).toBe(true)
    expect(await waiting).toMatchObject({ code: 'ERR_SCT_CLOSED' })
    expect(world.clock.alarms).toBe(0)
    expect(await errorOf(manager.token(PEER))).toMatchObject({ code: 'ERR_SCT_CLOSED' })
  })
})

describe('an answer is refused, and no token comes of it,', () => {
  type Answer = Awaited<ReturnType<World['ask']>>['response']
  const WRONG: [string, (good: Answer, request: TokenRequest) => Answer][] = [
    ['when it answers something else', (good) => ({ ...good, kind: 'renew' })],
    ['when its Context is that of another request', (good) => ({ ...good, context: 'other' })],
    ['without a token', ({ token: _, ...good }) => good],
    ['with an empty identifier', (good) => ({ ...good, token: { identifier: '' } })],
    ['with an identifier that is too long', (good) => ({ ...good, token: { identifier: 'x'.repeat(1_025) } })],
    ['with a key that is shorter than asked for', (good) => ({ ...good, keySizeBits: 128 })],
    ['with a key that is too long', (good) => ({ ...good, keySizeBits: 2_048 })],
    ['with a given key of another size', (good) => ({ ...good, proof: { kind: 'given', secret: secret('k', 16) } })],
    ['with our own entropy reflected', (good, request) => ({ ...good, proof: { kind: 'computed', entropy: request.entropy ?? secret('x') } })],
    ['with hardly any entropy', (good) => ({ ...good, proof: { kind: 'computed', entropy: secret('x', 8) } })],
    ['when it has expired already', (good) => ({ ...good, lifetime: { created: 0, expires: 1 } })],
    ['when its lifetime is no number', (good) => ({ ...good, lifetime: { created: Number.NaN, expires: Number.NaN } })],
  ]
  test.each(WRONG)('%s', async (_, wrong) => {
    const world = new World()
    const manager = world.manager({ establish: async (_peer, request) => ({ response: wrong((await world.ask({ request })).response, request), principal: SERVICE }) })
    expect(await errorOf(manager.token(PEER))).toBeInstanceOf(BootstrapFailed)
    expect(await rowsOf(world.store)).toEqual([])
  })

  test.each([['is taken when it is longer', 40, true], ['is refused when it is shorter', 16, false]] as const)('and a given key whose size is not named %s', async (_, bytes, isTaken) => {
    const world = new World()
    const given = secret('k', bytes)
    const manager = world.manager({ establish: async (_peer, request) => {
      const { keySizeBits: _bits, ...response } = (await world.ask({ request })).response
      return { response: { ...response, proof: { kind: 'given', secret: given } }, principal: SERVICE }
    } })
    if (isTaken) expect(keyOf(await manager.get(await manager.token(PEER)))).toBe(given.export().toString('hex'))
    else expect(await errorOf(manager.token(PEER))).toMatchObject({ code: 'ERR_SCT_KEY_SIZE' })
  })

  test('when its identifier is that of a token that we have', async () => {
    const world = new World()
    const first = await world.ask({ request: issueOf() })
    const manager = world.manager({ establish: async (_peer, request) => ({ response: { ...(await world.ask({ request })).response, token: { identifier: first.token.id } }, principal: SERVICE }) })
    const id = await manager.token(PEER)
    const key = keyOf(await manager.get(id))
    expect(await errorOf(manager.token({ ...PEER, policy: 'p2' }))).toMatchObject({ code: 'ERR_SCT_IDENTIFIER' })
    expect(keyOf(await manager.get(id))).toBe(key)
  })

  test('and a peer whose clock is ahead or without Lifetime gives one that ends by our clock', async () => {
    const world = new World()
    const ahead = world.manager({ establish: async (_peer, request) => {
      const { response } = await world.ask({ request })
      return { response: { ...response, lifetime: { created: world.clock.now() + 3 * HOUR, expires: world.clock.now() + 4 * HOUR } }, principal: SERVICE }
    } })
    expect((await ahead.status(await ahead.token(PEER)))?.expires).toBe(world.clock.now() + HOUR)
    const without = world.manager({ establish: async (_peer, request) => {
      const { lifetime: _, ...response } = (await world.ask({ request })).response
      return { response, principal: SERVICE }
    } })
    expect((await without.status(await without.token(PEER)))?.expires).toBe(world.clock.now() + 24 * HOUR)
    const endOnly = world.manager({ establish: async (_peer, request) => ({ response: { ...(await world.ask({ request })).response, lifetime: { expires: world.clock.now() + HOUR / 2 } }, principal: SERVICE }) })
    expect((await endOnly.status(await endOnly.token(PEER)))?.expires).toBe(world.clock.now() + HOUR / 2)
  })

  test('but a key given whole, or our entropy taken as it is, is accepted', async () => {
    const world = new World()
    const given = world.manager({ establish: async (_peer, request) => ({ response: { ...(await world.ask({ request })).response, proof: { kind: 'given', secret: secret('g') } }, principal: SERVICE }) })
    expect(keyOf(await given.get(await given.token(PEER)))).toBe(secret('g').export().toString('hex'))
    let own = ''
    const requestor = world.manager({ establish: async (_peer, request) => {
      own = request.entropy?.export().toString('hex') ?? ''
      return { response: { ...(await world.ask({ request })).response, proof: { kind: 'requestor' } }, principal: SERVICE }
    } })
    expect(keyOf(await requestor.get(await requestor.token(PEER)))).toBe(own)
  })
})

describe('renewal', () => {
  test('happens by the clock for a token that a sequence is bound to; the identifier stays', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    const renewed = vi.fn()
    manager.on('renewed', renewed)
    manager.use(id, LANE)
    await world.clock.pass(6.5 * HOUR)
    expect(kinds(world)).toEqual(['issue', 'renew'])
    expect(renewed).toHaveBeenCalledWith({ tokenId: id, peer: peerName(PEER) })
    expect((await manager.get(id))?.instances).toHaveLength(2)
    expect(keyOf(await manager.get(id))).toBe(keyOf(await world.service.get(id)))
    expect(world.calls[1]?.request.target).toEqual({ identifier: id })
    await world.clock.pass(6.5 * HOUR)
    expect(kinds(world)).toEqual(['issue', 'renew', 'renew'])
    expect(world.calls[2]?.request.target?.instance).toMatch(/^urn:uuid:/)
  })

  test('is not made for a token that nobody uses, but as soon as somebody does again', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    await world.clock.pass(7 * HOUR)
    expect(kinds(world)).toEqual(['issue'])
    manager.use(id, LANE)
    await settle()
    expect(kinds(world)).toEqual(['issue', 'renew'])
  })

  test('at a peer that gives no new key is told in time, again and again, as long as a sequence is bound to it', async () => {
    const world = new World()
    const manager = world.manager({ renews: () => false })
    const ending = vi.fn()
    manager.on('ending', ending)
    const id = await manager.token(PEER)
    await world.clock.pass(7 * HOUR)
    expect(ending).not.toHaveBeenCalled()
    manager.use(id, LANE)
    await settle()
    expect(ending).toHaveBeenCalledWith({ tokenId: id, peer: expect.any(String) as string })
    await world.clock.pass(2.6 * HOUR)
    expect(ending).toHaveBeenCalledTimes(2)
    await expect(manager.renew(id)).rejects.toMatchObject({ code: 'ERR_SCT_RENEW' })
    expect(kinds(world)).toEqual(['issue'])
  })

  test('that fails is reported, leaves the token as it is, and is tried again after a quarter of the lifetime', async () => {
    const world = new World()
    let tries = 0
    const manager = world.manager({ renewWith: async () => { tries += 1; throw new TransportFailed('ERR_HTTP_FAILED', 'away') } })
    const failed = vi.fn()
    manager.on('notRenewed', failed)
    const id = await manager.token(PEER)
    const before = keyOf(await manager.get(id))
    manager.use(id, LANE)
    await world.clock.pass(7 * HOUR)
    expect(tries).toBe(1)
    expect(failed).toHaveBeenCalledOnce()
    expect(keyOf(await manager.get(id))).toBe(before)
    await world.clock.pass(2.4 * HOUR)
    expect(tries).toBe(2)
  })

  test('is durable before the new key is used', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    await persist(world.store, manager, id)
    await manager.renew(id)
    const second = world.manager()
    await second.restore()
    expect((await second.get(id))?.instances).toHaveLength(2)
    expect(keyOf(await second.get(id))).toBe(keyOf(await world.service.get(id)))
  })

  test('that could not be stored is no renewal', async () => {
    const world = new World()
    const broken: Store = { scan: (prefix, options) => world.store.scan(prefix, options), commit: async () => [{ failed: new Error('disk full') }], [Symbol.asyncDispose]: async () => {} }
    const manager = world.manager({ store: broken })
    const id = await manager.token(PEER)
    expect(await errorOf(manager.renew(id))).toMatchObject({ cause: expect.any(StoreFailed) })
    expect((await manager.get(id))?.instances).toHaveLength(1)
  })

  test('whose answer is lost is asked for again with the same MessageID and entropy, and answered from what was stored', async () => {
    const world = new World()
    const names: string[] = []
    let lost = 2
    const manager = world.manager({ renewWith: async (token, request, _signal, messageId) => {
      names.push(messageId)
      const { response } = await world.ask({ request, messageId, signer: signerOf(token) })
      if (lost-- > 0) throw new TransportFailed('ERR_HTTP_TIMEOUT', 'no answer', { retryable: true })
      return { response, principal: SERVICE }
    } })
    const id = await manager.token(PEER)
    const renewed = manager.renew(id)
    await settle()
    await world.clock.pass(10_000)
    await renewed
    expect(names).toHaveLength(3)
    expect(new Set(names).size).toBe(1)
    expect((await world.service.get(id))?.instances).toHaveLength(2)
    expect(keyOf(await manager.get(id))).toBe(keyOf(await world.service.get(id)))
  })

  test('is given up when the peer is away for longer than the old key would be believed', async () => {
    const world = new World()
    let tries = 0
    const manager = world.manager({ renewWith: async () => { tries += 1; throw new TransportFailed('ERR_HTTP_FAILED', 'away', { retryable: true }) } })
    const id = await manager.token(PEER)
    const failed = errorOf(manager.renew(id))
    await settle()
    await world.clock.pass(5 * MINUTE)
    expect(await failed).toBeInstanceOf(BootstrapFailed)
    expect(tries).toBe(7)
    expect(await manager.token(PEER)).toBe(id)
  })

  test('by two at the same time is one renewal', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    await Promise.all([manager.renew(id), manager.renew(id), manager.renew(id)])
    expect(kinds(world)).toEqual(['issue', 'renew'])
  })

  test('by two processes that share a store loses neither key', async () => {
    const world = new World()
    const one = world.manager()
    const id = await one.token(PEER)
    await persist(world.store, one, id)
    const two = world.manager()
    await two.restore()
    await one.renew(id)
    await two.renew(id)
    expect((await two.get(id))?.instances).toHaveLength(3)
    expect(keyOf(await two.get(id))).toBe(keyOf(await world.service.get(id)))
    // The first process meets the other's instance in a message, and looks it up.
    const named = (await two.get(id))?.instances.at(-1)?.instance
    expect((await one.secrets(id, named)).map((each) => each.instance)).toContain(named)
  })

  test('is refused when it brings another identifier, an old instance, no instance, or comes from somebody else', async () => {
    for (const wrong of [{ identifier: 'urn:other', instance: 'i2' }, { identifier: '' }, undefined]) {
      const world = new World()
      const manager = world.manager({ renewWith: async (token, request) => {
        const { response } = await world.ask({ request, signer: signerOf(token) })
        return wrong === undefined ? { response, principal: BOB } : { response: { ...response, token: wrong.identifier === '' ? { identifier: token.id } : wrong }, principal: SERVICE }
      } })
      const id = await manager.token(PEER)
      expect(await errorOf(manager.renew(id))).toBeInstanceOf(BootstrapFailed)
      expect((await manager.get(id))?.instances).toHaveLength(1)
    }
  })

  test('keeps the old key for verification for five minutes', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    await world.clock.pass(MINUTE)
    await manager.renew(id)
    for (const side of [manager, world.service]) expect(await side.secrets(id)).toHaveLength(2)
    await world.clock.pass(5 * MINUTE)
    for (const side of [manager, world.service]) {
      const left = await side.secrets(id)
      expect(left).toHaveLength(1)
      expect(left[0]?.instance).toMatch(/^urn:uuid:/)
    }
  })

  test('the recipient writes with the new key only after it has seen it used', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    world.service.noteUsed(id, undefined)
    await world.clock.pass(MINUTE)
    await manager.renew(id)
    const token = await world.service.get(id) as SecurityContextToken
    const fresh = token.instances[1]?.instance
    expect(world.service.writing(token).instance).toBeUndefined()
    expect(manager.writing(await manager.get(id) as SecurityContextToken).instance).toBe(fresh)
    world.service.noteUsed(id, fresh)
    world.service.noteUsed(id, undefined)
    expect(world.service.writing(token).instance).toBe(fresh)
  })

  test('the recipient, started again, writes with the oldest key that it may until it has seen the newer one used', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    await world.clock.pass(MINUTE)
    await manager.renew(id)
    const again = new SctManager({ store: world.serviceStore, serializer: serializerOf('again'), clock: world.clock, random: seeded('again'), limits: DEFAULT_LIMITS })
    await again.restore()
    const token = await again.get(id) as SecurityContextToken
    expect(again.writing(token).instance).toBeUndefined()
    await world.clock.pass(5 * MINUTE)
    expect(again.writing(token).instance).toMatch(/^urn:uuid:/)
  })
})

describe('cancel', () => {
  test('ends the token on both sides', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    await persist(world.store, manager, id)
    await manager.cancel(id)
    expect(kinds(world)).toEqual(['issue', 'cancel'])
    for (const side of [manager, world.service]) {
      expect(await side.get(id)).toBeUndefined()
      expect(await side.secrets(id)).toEqual([])
      expect(await side.status(id)).toMatchObject({ state: 'cancelled' })
    }
    const next = world.manager()
    await next.restore()
    expect(await next.get(id)).toBeUndefined()
    expect(await next.token(PEER)).not.toBe(id)
  })

  test('is refused while sequences are bound to it, and says how many', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    const uses = [manager.use(id, LANE), manager.use(id, 'lane-2' as LaneId), manager.use(id, LANE)]
    expect(manager.users(id)).toEqual([LANE, 'lane-2'])
    const refused = await errorOf(manager.cancel(id))
    expect(refused).toBeInstanceOf(UsageError)
    expect(refused).toMatchObject({ code: 'ERR_SCT_IN_USE', message: '2 sequences are bound to the token' })
    for (const use of uses) use[Symbol.dispose]()
    for (const use of uses) use[Symbol.dispose]()
    expect(manager.users(id)).toEqual([])
    await manager.cancel(id)
    expect(await manager.get(id)).toBeUndefined()
  })

  test('is over here whatever the peer says, and says so', async () => {
    const world = new World()
    const manager = world.manager({ cancelWith: async () => { throw new TransportFailed('ERR_HTTP_FAILED', 'away') } })
    const cancelled = vi.fn()
    manager.on('cancelled', cancelled)
    const id = await manager.token(PEER)
    await manager.cancel(id)
    await manager.cancel(id)
    expect(await manager.get(id)).toBeUndefined()
    expect(cancelled).toHaveBeenCalledOnce()
    expect(cancelled.mock.calls[0]?.[0]).toMatchObject({ error: { code: 'ERR_HTTP_FAILED' } })
  })

  test.each(['stored', 'not stored'])('of a token (%s) whose renewal is under way is not undone by it', async (how) => {
    const world = new World()
    const gate = Promise.withResolvers<void>()
    const manager = world.manager({ renewWith: async (token, request) => {
      const { response } = await world.ask({ request, signer: signerOf(token) })
      await gate.promise
      return { response, principal: SERVICE }
    } })
    const id = await manager.token(PEER)
    if (how === 'stored') await persist(world.store, manager, id)
    const renewing = errorOf(manager.renew(id))
    await settle()
    await manager.cancel(id)
    gate.resolve()
    expect(await renewing).toMatchObject({ code: 'ERR_SCT_CANCELLED' })
    await settle()
    expect(await manager.status(id)).toMatchObject({ state: 'cancelled' })
    const next = world.manager()
    await next.restore()
    expect(await next.get(id)).toBeUndefined()
  })

  test('of a token that expired asks nobody', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    await world.clock.pass(10 * HOUR)
    await manager.cancel(id)
    expect(kinds(world)).toEqual(['issue'])
  })
})

describe('serialized', () => {
  test('a token is found again by the next process, and goes on under the same identifier without a request', async () => {
    const world = new World()
    const first = world.manager()
    const id = await first.token(PEER)
    await persist(world.store, first, id)
    const second = world.manager()
    expect(await second.restore()).toEqual({ restored: 1, quarantined: [] })
    expect(await second.token(PEER)).toBe(id)
    expect(keyOf(await second.get(id))).toBe(keyOf(await world.service.get(id)))
    expect(kinds(world)).toEqual(['issue'])
  })

  test('a token that was not stored when the process died is asked for again', async () => {
    const world = new World()
    const id = await world.manager().token(PEER)
    const second = world.manager()
    await second.restore()
    expect(await second.token(PEER)).not.toBe(id)
  })

  test('a token is loaded from the store when it is first asked for', async () => {
    const world = new World()
    const first = world.manager()
    const id = await first.token(PEER)
    await persist(world.store, first, id)
    expect(keyOf(await world.manager().get(id))).toBe(keyOf(await first.get(id)))
  })

  test('it can be taken to another manager, as often as one likes', async () => {
    const world = new World()
    const first = world.manager()
    const id = await first.token(PEER)
    const sealed = await first.serialize(id)
    const alone = new World()
    const third = alone.manager()
    expect(await third.deserialize(sealed)).toBe(id)
    expect(await third.deserialize(sealed)).toBe(id)
    expect(await third.token(PEER)).toBe(id)
    expect(alone.calls).toEqual([])
  })

  test('an older state does not replace a newer one, nor bring back what was cancelled', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    const old = await manager.serialize(id)
    await world.clock.pass(MINUTE)
    await manager.renew(id)
    await manager.deserialize(old)
    expect((await manager.get(id))?.instances).toHaveLength(2)
    await manager.cancel(id)
    await manager.deserialize(old)
    expect(await manager.get(id)).toBeUndefined()
    expect(await manager.token(PEER)).not.toBe(id)
  })

  test('what was cancelled here does not come back with a newer key from elsewhere', async () => {
    const world = new World()
    const here = world.manager()
    const id = await here.token(PEER)
    const there = world.manager({ store: new World().store })
    await there.deserialize(await here.serialize(id))
    await world.clock.pass(MINUTE)
    await there.renew(id)
    await here.cancel(id)
    await here.deserialize(await there.serialize(id))
    expect(await here.get(id)).toBeUndefined()
  })

  test('a record that was changed, moved, or sealed with a key that we lack is reported and left alone; the others are restored', async () => {
    const world = new World()
    const manager = world.manager()
    const ids = [await manager.token(PEER), await manager.token({ ...PEER, policy: 'p2' }), await manager.token({ ...PEER, policy: 'p3' })]
    const [good, changed, moved] = ids as [TokenId, TokenId, TokenId]
    await persist(world.store, manager, good)
    const bytes = Uint8Array.from(await manager.serialize(changed))
    bytes[bytes.length - 20] = (bytes.at(-20) ?? 0) ^ 1
    const foreign = createSerializer(Keyring.of([{ id: 'k9', key: new Uint8Array(32).fill(9) }], 'k9'), seeded('foreign'))
    const lost = new SctManager({ store: new World().store, serializer: foreign, clock: world.clock, random: seeded('lost'), limits: DEFAULT_LIMITS, establish: async (_peer, request) => ({ response: (await world.ask({ request })).response, principal: SERVICE }) })
    const lostId = await lost.token(PEER)
    const puts = [
      { put: tokenRow(changed), value: bytes }, { put: tokenRow('elsewhere'), value: await manager.serialize(moved) },
      { put: tokenRow(lostId), value: await lost.serialize(lostId) }, { put: tokenRow('cut'), value: bytes.slice(0, 30) },
    ]
    await world.store.commit([{ expect: [], writes: puts }])
    const before = await rowsOf(world.store)
    const second = world.manager()
    const report = await second.restore()
    expect(report.restored).toBe(1)
    expect(report.quarantined.map((each) => each.key).sort()).toEqual(puts.map((each) => each.put).sort())
    expect(await rowsOf(world.store)).toEqual(before)
    expect(await second.get(good)).toBeDefined()
    expect(await second.get(changed)).toBeUndefined()
    await second.sweep()
    expect(await rowsOf(world.store)).toEqual(before)
  })

  test('a record of an unknown version stops the start', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    const bytes = Uint8Array.from(await manager.serialize(id))
    bytes[0] = 99
    await world.store.commit([{ expect: [], writes: [{ put: tokenRow(id), value: bytes }] }])
    const refused = await errorOf(world.manager().restore())
    expect(refused).toBeInstanceOf(UnknownVersion)
    expect((refused as Error).message).toContain('99')
  })

  test('nothing that is kept or shown has a key in it', async () => {
    const world = new World()
    const manager = world.manager()
    const id = await manager.token(PEER)
    await persist(world.store, manager, id)
    await manager.renew(id)
    const token = await manager.get(id)
    const shown = inspect([manager, token, await manager.status(id), await manager.secrets(id)], { depth: 12, showHidden: true }) + JSON.stringify(token)
    const rows = Buffer.concat([...await rowsOf(world.store), ...await rowsOf(world.serviceStore)].map((row) => Buffer.from(row.value)))
    for (const { secret: key } of token?.instances ?? []) {
      const raw = key.export()
      expect(rows.includes(raw)).toBe(false)
      for (const form of ['hex', 'base64'] as const) {
        expect(shown).not.toContain(raw.toString(form))
        expect(rows.toString('latin1')).not.toContain(raw.toString(form))
      }
    }
    // The search would find it.
    expect(Buffer.concat([rows, token?.instances[0]?.secret.export() ?? Buffer.alloc(0)]).includes(token?.instances[0]?.secret.export() ?? 'none')).toBe(true)
  })
})

describe('at the recipient', () => {
  const REPLAY = { key: 'sig-x', until: Date.UTC(2026, 0, 15, 11) }

  test('token and mark of the request are durable, in one commit, before there is an answer', async () => {
    const world = new World()
    const commits = vi.spyOn(world.serviceStore, 'commit')
    const { token } = await world.ask({ request: issueOf(), replay: REPLAY })
    expect(commits).toHaveBeenCalledOnce()
    const after = new SctManager({ store: world.serviceStore, serializer: serializerOf('after'), clock: world.clock, random: seeded('after'), limits: DEFAULT_LIMITS })
    expect(keyOf(await after.get(token.id))).toBe(keyOf(token))
    expect(await rowsOf(world.serviceStore, 'replay')).toHaveLength(1)
  })

  test('the very same request is refused, also by the next process, and stores nothing', async () => {
    const world = new World()
    await world.ask({ request: issueOf(), replay: REPLAY })
    const before = await rowsOf(world.serviceStore)
    const again = await errorOf(world.ask({ request: issueOf(), replay: REPLAY }))
    expect(again).toBeInstanceOf(SecurityFailure)
    expect(again).toMatchObject({ code: 'ERR_WSS_REPLAY', fault: FAULTS.failedCheck })
    const restarted = new SctManager({ store: world.serviceStore, serializer: serializerOf('r'), clock: world.clock, random: seeded('r'), limits: DEFAULT_LIMITS })
    await restarted.restore()
    const ask: TokenAsk = { request: issueOf(), principal: ALICE, suite: 'Basic256Sha256', peer: 'x', replay: REPLAY }
    expect(await errorOf(restarted.answer(ask))).toBeInstanceOf(SecurityFailure)
    expect(await rowsOf(world.serviceStore)).toEqual(before)
  })

  test('a store that fails means no answer', async () => {
    const world = new World()
    vi.spyOn(world.serviceStore, 'commit').mockResolvedValue([{ failed: new Error('disk full') }])
    expect(await errorOf(world.ask({ request: issueOf() }))).toBeInstanceOf(StoreFailed)
    expect(world.service.held(ALICE)).toBe(0)
  })

  test('a repeated Renew with the same MessageID gets the stored answer, also from the next process', async () => {
    const world = new World()
    const { token } = await world.ask({ request: issueOf() })
    const request: TokenRequest = { ...issueOf('renewal'), kind: 'renew', target: { identifier: token.id } }
    const first = await world.ask({ request, signer: signerOf(token), messageId: 'urn:m:renew' })
    const second = await world.ask({ request, signer: signerOf(token), messageId: 'urn:m:renew' })
    expect(second.response).toEqual({ ...first.response, proof: { kind: 'computed', entropy: expect.anything() } })
    if (first.response.proof?.kind !== 'computed' || second.response.proof?.kind !== 'computed') throw new Error('no computed key')
    expect(second.response.proof.entropy.equals(first.response.proof.entropy)).toBe(true)
    expect((await world.service.get(token.id))?.instances).toHaveLength(2)
    const restarted = new SctManager({ store: world.serviceStore, serializer: serializerOf('r'), clock: world.clock, random: seeded('r'), limits: DEFAULT_LIMITS })
    const third = await restarted.answer({ request, principal: ALICE, signer: signerOf(token), messageId: 'urn:m:renew', suite: 'Basic256', peer: '', replay: { key: 'sig-third', until: REPLAY.until } })
    expect(third.response.token).toEqual(first.response.token)
  })

  test('a Renew without proof, where it is allowed, is repeated with the same answer too', async () => {
    const world = new World({ policy: { renewWithoutProof: true } })
    const { token } = await world.ask({ request: issueOf() })
    const ask = { request: { kind: 'renew', sc: token.sc, target: { identifier: token.id } } as const, messageId: 'urn:m:renewal' }
    const first = await world.ask(ask)
    const again = await world.ask(ask)
    expect(again.response.token).toEqual(first.response.token)
    expect(again.response.proof?.kind === 'given' && first.response.proof?.kind === 'given' && again.response.proof.secret.equals(first.response.proof.secret)).toBe(true)
    expect((await world.service.get(token.id))?.instances).toHaveLength(2)
    await expect(world.ask({ ...ask, request: { ...ask.request, entropy: secret('other') } })).rejects.toMatchObject({ code: 'ERR_SCT_RENEW_REPEATED' })
  })

  test('the stored answer is given to nobody else, for nothing else, and not to a replay', async () => {
    const world = new World()
    const { token } = await world.ask({ request: issueOf() })
    const other = await world.ask({ request: issueOf('other'), principal: BOB })
    const request: TokenRequest = { ...issueOf('renewal'), kind: 'renew', target: { identifier: token.id } }
    const ask = { request, signer: signerOf(token), messageId: 'urn:m:renew' }
    await world.ask({ ...ask, replay: REPLAY })
    expect(await errorOf(world.ask({ ...ask, replay: REPLAY }))).toBeInstanceOf(SecurityFailure)
    expect(await errorOf(world.ask({ ...ask, principal: BOB }))).toMatchObject({ fault: FAULTS.unableToRenew })
    expect(await errorOf(world.ask({ ...ask, signer: signerOf(other.token) }))).toMatchObject({ fault: FAULTS.unableToRenew })
    expect(await errorOf(world.ask({ ...ask, request: { ...request, entropy: secret('changed') } }))).toMatchObject({ fault: FAULTS.invalidRequest })
  })

  test('of two renewals at the same time on two nodes one wins', async () => {
    const world = new World()
    const { token } = await world.ask({ request: issueOf() })
    const node = new SctManager({ store: world.serviceStore, serializer: serializerOf('node'), clock: world.clock, random: seeded('node'), limits: DEFAULT_LIMITS })
    const request: TokenRequest = { ...issueOf('renewal'), kind: 'renew', target: { identifier: token.id } }
    const ask = (key: string): TokenAsk => ({ request, principal: ALICE, signer: signerOf(token), messageId: key, suite: 'Basic256', peer: '', replay: { key, until: REPLAY.until } })
    await node.restore()
    const results = await Promise.allSettled([world.service.answer(ask('a')), node.answer(ask('b'))])
    expect(results.map((each) => each.status).sort()).toEqual(['fulfilled', 'rejected'])
    const lost = results.find((each) => each.status === 'rejected')
    expect(lost?.reason).toBeInstanceOf(PeerViolation)
    expect(lost?.reason).toMatchObject({ fault: FAULTS.unableToRenew })
    const third = new SctManager({ store: world.serviceStore, serializer: serializerOf('third'), clock: world.clock, random: seeded('third'), limits: DEFAULT_LIMITS })
    expect((await third.get(token.id))?.instances).toHaveLength(2)
  })

  test('a renewal on one node is known on the other: it renews from there, and repeats the stored answer', async () => {
    const world = new World()
    const { token } = await world.ask({ request: issueOf() })
    const node = new SctManager({ store: world.serviceStore, serializer: serializerOf('node'), clock: world.clock, random: seeded('node'), limits: DEFAULT_LIMITS })
    await node.restore()
    const request: TokenRequest = { ...issueOf('renewal'), kind: 'renew', target: { identifier: token.id } }
    const first = await world.ask({ request, signer: signerOf(token), messageId: 'urn:m:renew' })
    const ask: TokenAsk = { request, principal: ALICE, signer: signerOf(token), messageId: 'urn:m:renew', suite: 'Basic256', peer: '', replay: { key: 'node-1', until: REPLAY.until } }
    expect((await node.answer(ask)).response.token).toEqual(first.response.token)
    const next: TokenRequest = { ...request, target: signerOf(first.token) as NonNullable<TokenRequest['target']> }
    const second = await node.answer({ ...ask, request: next, signer: signerOf(first.token), messageId: 'urn:m:next', replay: { key: 'node-2', until: REPLAY.until } })
    expect(second.token.instances).toHaveLength(3)
  })

  test('a principal cannot take more tokens than he may, whatever the number of requests at a time; others are not touched', async () => {
    const world = new World({ limits: { ...DEFAULT_LIMITS, tokensPerPrincipal: 4 } })
    const results = await Promise.allSettled(Array.from({ length: 20 }, (_, at) => world.ask({ request: issueOf(`c${at}`) })))
    expect(results.filter((each) => each.status === 'fulfilled')).toHaveLength(4)
    expect((await world.ask({ request: issueOf(), principal: BOB })).token.principal).toEqual(BOB)
    await world.clock.pass(10 * HOUR)
    expect((await world.ask({ request: issueOf() })).token).toBeDefined()
  })

  test('a principal who lost his tokens in crashes is not locked out: the oldest that no sequence is bound to gives way', async () => {
    const world = new World({ limits: { ...DEFAULT_LIMITS, tokensPerPrincipal: 3 } })
    const ids: TokenId[] = []
    for (let at = 0; at < 3; at++) {
      ids.push((await world.ask({ request: issueOf(`c${at}`) })).token.id)
      await world.clock.pass(MINUTE)
    }
    world.service.use(ids[0] as TokenId, LANE)
    expect(await errorOf(world.ask({ request: issueOf() }))).toMatchObject({ fault: FAULTS.requestFailed })
    await world.clock.pass(10 * MINUTE)
    await world.ask({ request: issueOf() })
    expect(await Promise.all(ids.map(async (id) => (await world.service.status(id))?.state))).toEqual(['live', 'cancelled', 'live'])
    expect(world.service.held(ALICE)).toBe(3)
  })

  test('of tokens that have ended a number is remembered for each principal: the oldest are forgotten, here and in the store, and what marks their requests stays', async () => {
    const world = new World({ limits: { ...DEFAULT_LIMITS, endedTokensPerPrincipal: 3 } })
    const cancelled = async (text: string, principal = ALICE): Promise<SecurityContextToken> => {
      const { token } = await world.ask({ request: issueOf(text), principal, replay: { key: `of ${text}`, until: world.clock.now() + 10 * MINUTE } })
      await world.ask({ request: { kind: 'cancel', sc: SC13, target: { identifier: token.id } }, principal, signer: signerOf(token) })
      await world.clock.pass(1_000)
      return token
    }
    const states = (tokens: readonly SecurityContextToken[]): Promise<unknown[]> => Promise.all(tokens.map(async ({ id }) => (await world.service.status(id))?.state))
    const bobs = await cancelled('bob', BOB)
    const { token: lapsing } = await world.ask({ request: issueOf('lapsing', { lifetime: { expires: world.clock.now() + MINUTE } }) })
    await world.ask({ request: { ...issueOf('renewal'), kind: 'renew', target: { identifier: lapsing.id } }, signer: signerOf(lapsing) })
    await world.clock.pass(10 * HOUR + MINUTE)
    const tokens = [await cancelled('a'), await cancelled('b'), await cancelled('c'), await cancelled('d')]
    const { token: live } = await world.ask({ request: issueOf('live') })
    // One that may still be renewed outlives those that were cancelled.
    expect(await states([lapsing, ...tokens, live, bobs])).toEqual(['expired', undefined, undefined, undefined, 'cancelled', 'live', 'cancelled'])
    const [first] = tokens as [SecurityContextToken]
    for await (const { key } of world.serviceStore.scan('')) expect(key).not.toContain(first.id)
    expect(await errorOf(world.ask({ request: issueOf('a'), replay: { key: 'of a', until: world.clock.now() + MINUTE } }))).toMatchObject({ code: 'ERR_WSS_REPLAY' })
    expect(await errorOf(world.ask({ request: { kind: 'cancel', sc: SC13, target: { identifier: first.id } }, signer: signerOf(first) }))).toMatchObject({ fault: FAULTS.badContextToken })
    expect(await world.service.rememberedSecrets(first.id)).toEqual([])
  })
  test('a token that another node has renewed meanwhile is not forgotten with those that have ended', async () => {
    const world = new World({ limits: { ...DEFAULT_LIMITS, endedTokensPerPrincipal: 1 } })
    const { token } = await world.ask({ request: issueOf('a') })
    await world.clock.pass(10 * HOUR + MINUTE)
    const node = new SctManager({ store: world.serviceStore, serializer: serializerOf('node'), clock: world.clock, random: seeded('node'), limits: DEFAULT_LIMITS })
    await node.restore()
    await node.answer({ request: { ...issueOf('renewal'), kind: 'renew', target: { identifier: token.id } }, principal: ALICE, signer: signerOf(token), suite: 'Basic256Sha256', peer: '', replay: { key: 'node', until: world.clock.now() + MINUTE } })
    await world.ask({ request: issueOf('b') })
    expect(await world.service.status(token.id)).toMatchObject({ state: 'live', instances: 2 })
  })
  test('a token with a sequence is not cancelled; without one it is, and a second cancel is answered alike', async () => {
    const world = new World()
    const { token } = await world.ask({ request: issueOf() })
    const cancel: TokenRequest = { kind: 'cancel', sc: token.sc, target: { identifier: token.id } }
    const use = world.service.use(token.id, LANE)
    expect(await errorOf(world.ask({ request: cancel, signer: signerOf(token) }))).toMatchObject({ fault: FAULTS.requestFailed })
    use[Symbol.dispose]()
    expect((await world.ask({ request: cancel, signer: signerOf(token) })).response.kind).toBe('cancel')
    expect((await world.ask({ request: cancel, signer: signerOf(token) })).response.kind).toBe('cancel')
    expect(await errorOf(world.ask({ request: { ...issueOf(), kind: 'renew', target: { identifier: token.id } }, signer: signerOf(token) }))).toMatchObject({ fault: FAULTS.unableToRenew })
    expect(await world.service.rememberedSecrets(token.id)).toHaveLength(1)
  })

  test('an unknown identifier has no secret, also one that is a part of a known one', async () => {
    const world = new World()
    const { token } = await world.ask({ request: issueOf() })
    for (const id of ['urn:uuid:0', '', '__proto__', 'constructor', token.id.slice(0, -1), `${token.id};`, `${token.id} `]) expect(await world.service.secrets(id)).toEqual([])
    expect(await world.service.secrets(token.id)).toHaveLength(1)
  })

  test('a key that a renewal has replaced is believed for the overlap only, also where ended tokens are remembered', async () => {
    const world = new World()
    const { token } = await world.ask({ request: issueOf() })
    const { token: renewed } = await world.ask({ request: { ...issueOf('renewal'), kind: 'renew', target: { identifier: token.id } }, signer: signerOf(token) })
    await world.clock.pass(5 * MINUTE)
    const [first, ...believed] = await world.service.rememberedSecrets(token.id)
    expect(believed.map((each) => each.instance)).toEqual([renewed.instances[1]?.instance])
    // The first of all may still endorse a renewal (peer Metro 4), and nothing else.
    expect(first).toMatchObject({ instance: undefined, endorsesOnly: true })
    expect((await world.service.secrets(token.id)).map((each) => each.instance)).toEqual([renewed.instances[1]?.instance])
  })

  test('an expired token is remembered for two hours, then it and all that belongs to it is forgotten', async () => {
    const world = new World()
    const { token } = await world.ask({ request: issueOf() })
    await world.service.restore()
    await world.ask({ request: { ...issueOf('renewal'), kind: 'renew', target: { identifier: token.id } }, signer: signerOf(token) })
    await world.clock.pass(10 * HOUR)
    expect(await world.service.secrets(token.id)).toEqual([])
    expect(await world.service.rememberedSecrets(token.id)).not.toEqual([])
    expect(await rowsOf(world.serviceStore, 'replay')).toEqual([])
    await world.clock.pass(2 * HOUR + 11 * MINUTE)
    expect(await world.service.status(token.id)).toBeUndefined()
    expect(await rowsOf(world.serviceStore)).toEqual([])
  })

  test('a token that a sequence is still bound to is not forgotten', async () => {
    const world = new World()
    const { token } = await world.ask({ request: issueOf() })
    await world.service.restore()
    world.service.use(token.id, LANE)
    await world.clock.pass(30 * HOUR)
    expect(await world.service.status(token.id)).toMatchObject({ state: 'expired', users: [LANE] })
    expect(await rowsOf(world.serviceStore, 'token')).toHaveLength(1)
  })
})
