/** The recipient's decisions: what is granted, and every request that must not be. */
import { describe, expect, test } from 'vitest'
import { computedKey } from '../../../src/crypto/derive.ts'
import { isUrnUuid } from '../../../src/crypto/random.ts'
import { FAULTS } from '../../../src/errors.ts'
import { decide, DEFAULT_ISSUER_POLICY, type IssuerPolicy, type TokenDecision, type TokenQuestion } from '../../../src/sct/issuer.ts'
import { believedInstances, currentInstance, type SecurityContextToken, type TokenRequest } from '../../../src/sct/token.ts'
import { SC05, SC13 } from '../../../src/spec/versions.ts'
import { ALICE, BOB, HOUR, issueOf, MINUTE, secret, seeded, signerOf } from './world.ts'

const NOW = 1_000 * HOUR
const random = seeded('issuer')
const ask = (request: TokenRequest, more: Partial<TokenQuestion> = {}, now = NOW, policy: Partial<IssuerPolicy> = {}): TokenDecision =>
  decide({ request, principal: ALICE, held: 0, bound: 0, suite: 'Basic256Sha256', peer: 'https://service.example/rm', ...more }, { ...DEFAULT_ISSUER_POLICY, ...policy }, now, random)
type Granted = Extract<TokenDecision, { granted: true }>
function granted(decision: TokenDecision): Granted {
  if (!decision.granted) throw new Error(`refused: ${decision.reason}`)
  return decision
}
const faultOf = (decision: TokenDecision): unknown => decision.granted ? 'granted' : decision.fault
const issued = (now = NOW): SecurityContextToken => granted(ask(issueOf(), {}, now)).token
const renewOf = (token: SecurityContextToken, more: Partial<TokenRequest> = {}): TokenRequest =>
  ({ kind: 'renew', sc: token.sc, entropy: secret('again'), keySizeBits: 256, target: signerOf(token) as NonNullable<TokenRequest['target']>, ...more })
const renew = (token: SecurityContextToken, now = NOW + HOUR, more: Partial<TokenQuestion> = {}, request: Partial<TokenRequest> = {}): TokenDecision =>
  ask(renewOf(token, request), { existing: token, signer: signerOf(token), ...more }, now)
const cancelOf = (token: SecurityContextToken): TokenRequest => ({ kind: 'cancel', sc: token.sc, target: { identifier: token.id } })

describe('issue', () => {
  test('both entropies make the key, and the requestor is told ours', () => {
    const request = issueOf('client', { context: 'ctx' })
    const { token, response } = granted(ask(request))
    expect(isUrnUuid(token.id)).toBe(true)
    expect(response).toMatchObject({ kind: 'issue', context: 'ctx', keySizeBits: 256, token: { identifier: token.id }, lifetime: { created: NOW, expires: NOW + 10 * HOUR } })
    if (response.proof?.kind !== 'computed') throw new Error('no computed key')
    expect(computedKey(secret('client'), response.proof.entropy, 32).equals(currentInstance(token).secret)).toBe(true)
    expect(currentInstance(token).instance).toBeUndefined()
    expect(token).toMatchObject({ role: 'recipient', principal: ALICE, state: 'live' })
  })

  test('two requests with the same entropy get two tokens with two keys', () => {
    const [one, two] = [issued(), issued()]
    expect(one.id).not.toBe(two.id)
    expect(currentInstance(one).secret.equals(currentInstance(two).secret)).toBe(false)
  })

  test.each([
    ['no entropy', { entropy: undefined }],
    ['too little entropy', { entropy: secret('x', 15) }],
    ['too much entropy', { entropy: secret('x', 129) }],
    ['a megabyte of entropy', { entropy: secret('x', 1_048_576) }],
    ['a key of 120 bits', { keySizeBits: 120 }],
    ['a key of 1032 bits', { keySizeBits: 1032 }],
    ['a key of 250 bits', { keySizeBits: 250 }],
    ['a key of 0 bits', { keySizeBits: 0 }],
    ['a key of NaN bits', { keySizeBits: Number.NaN }],
    ['a key of 2^31 bits', { keySizeBits: 2 ** 31 }],
    ['a lifetime that is over', { lifetime: { created: NOW - 2 * HOUR, expires: NOW - HOUR } }],
    ['a lifetime that ends before it begins', { lifetime: { created: NOW, expires: NOW - 1 } }],
    ['a lifetime that begins tomorrow', { lifetime: { created: NOW + 24 * HOUR, expires: NOW + 25 * HOUR } }],
    ['a lifetime that is no number', { lifetime: { created: NOW, expires: Number.NaN } }],
  ])('%s is an invalid request', (_, wrong) => {
    const { entropy, ...rest } = { ...issueOf(), ...wrong }
    expect(faultOf(ask({ ...rest, ...(entropy === undefined ? {} : { entropy }) }))).toBe(FAULTS.invalidRequest)
  })

  test.each([
    ['none', undefined, 10 * HOUR],
    ['five minutes', { created: NOW, expires: NOW + 5 * MINUTE }, 5 * MINUTE],
    ['a hundred years', { created: NOW, expires: NOW + 876_000 * HOUR }, 10 * HOUR],
    ['a second', { created: NOW, expires: NOW + 1_000 }, MINUTE],
    ['an end only', { expires: NOW + HOUR }, HOUR],
    ['a clock that is a minute behind', { created: NOW - MINUTE, expires: NOW + 4 * MINUTE }, 5 * MINUTE],
  ])('of the lifetime asked for (%s) what lies in our range is granted', (_, lifetime, span) => {
    expect(granted(ask(issueOf('client', lifetime === undefined ? {} : { lifetime }))).response.lifetime).toEqual({ created: NOW, expires: NOW + span })
  })

  test.each([128, 192, 256, 1024])('a key of %i bits is granted', (bits) => {
    expect(currentInstance(granted(ask(issueOf('c', { keySizeBits: bits }))).token).secret.symmetricKeySize).toBe(bits / 8)
  })
  test.each([['Basic256Sha256', 256], ['Basic192', 192], ['Basic128', 128]] as const)('without a size the key is one of %s, with %i bits', (suite, bits) => {
    const { keySizeBits: _, ...request } = issueOf()
    const { response, token } = granted(ask(request, { suite }))
    expect(response.keySizeBits).toBe(bits)
    expect(currentInstance(token).secret.symmetricKeySize).toBe(bits / 8)
  })

  test('a principal that holds as many tokens as he may gets no more', () => {
    expect(faultOf(ask(issueOf(), { held: 64 }))).toBe(FAULTS.requestFailed)
    expect(ask(issueOf(), { held: 63 }).granted).toBe(true)
  })
})

describe('renew', () => {
  test('the identifier stays, the key and the instance are new', () => {
    const before = issued()
    const { token, response } = granted(renew(before))
    expect(token.id).toBe(before.id)
    expect(token.instances).toHaveLength(2)
    expect(isUrnUuid(response.token?.instance ?? '')).toBe(true)
    expect(currentInstance(token).instance).toBe(response.token?.instance)
    expect(currentInstance(token).secret.equals(currentInstance(before).secret)).toBe(false)
    expect(currentInstance(token).expires).toBe(NOW + 11 * HOUR)
  })

  test('the old instance is believed for the overlap, and not a moment longer', () => {
    const { token } = granted(renew(issued()))
    const at = NOW + HOUR + DEFAULT_ISSUER_POLICY.overlapMs
    expect(believedInstances(token, at - 1, DEFAULT_ISSUER_POLICY.overlapMs)).toHaveLength(2)
    expect(believedInstances(token, at, DEFAULT_ISSUER_POLICY.overlapMs)).toEqual([currentInstance(token)])
  })

  test('the old instance is never believed past its own expiry', () => {
    const { token } = granted(renew(issued(), NOW + 10 * HOUR - MINUTE))
    expect(believedInstances(token, NOW + 10 * HOUR - 1, DEFAULT_ISSUER_POLICY.overlapMs)).toHaveLength(2)
    expect(believedInstances(token, NOW + 10 * HOUR, DEFAULT_ISSUER_POLICY.overlapMs)).toHaveLength(1)
  })

  test('principal, suite and address are those of the token, whatever the request comes with', () => {
    const { token } = granted(renew(issued(), NOW + HOUR, { suite: 'Basic128', peer: 'https://other.example' }))
    expect(token).toMatchObject({ suite: 'Basic256Sha256', peer: 'https://service.example/rm', principal: ALICE })
  })

  test('a token that has just expired is renewed, one that expired long ago is not', () => {
    expect(renew(issued(), NOW + 10 * HOUR + 59 * MINUTE).granted).toBe(true)
    expect(faultOf(renew(issued(), NOW + 11 * HOUR))).toBe(FAULTS.unableToRenew)
  })

  test('an old instance inside the overlap endorses: the answer that named the newer one may have been lost', () => {
    const first = issued()
    const second = granted(renew(first)).token
    expect(ask(renewOf(first), { existing: second, signer: signerOf(first) }, NOW + HOUR + MINUTE).granted).toBe(true)
    expect(faultOf(ask(renewOf(first), { existing: second, signer: signerOf(first) }, NOW + HOUR + 6 * MINUTE))).toBe(FAULTS.unableToRenew)
  })

  test('renewing in a loop ends', () => {
    let token = issued()
    let turns = 0
    for (; turns < 100; turns++) {
      const decision = renew(token, NOW + HOUR + turns)
      if (!decision.granted) break
      token = decision.token
    }
    expect(turns).toBeLessThan(DEFAULT_ISSUER_POLICY.instances)
  })

  const other = issued()
  test.each<[string, (token: SecurityContextToken) => TokenDecision]>([
    ['an unknown token', (token) => ask(renewOf(token), { signer: signerOf(token) }, NOW + HOUR)],
    ['a cancelled token', (token) => renew({ ...token, state: 'cancelled' })],
    ['a token of which we are the initiator', (token) => renew({ ...token, role: 'initiator' })],
    ['a request of another principal', (token) => renew(token, NOW + HOUR, { principal: BOB })],
    ['a request that no context endorses', (token) => ask(renewOf(token), { existing: token }, NOW + HOUR)],
    ['a request endorsed by another context', (token) => renew(token, NOW + HOUR, { signer: signerOf(other) })],
    ['a target other than the endorsing context', (token) => renew(token, NOW + HOUR, {}, { target: { identifier: other.id } })],
    ['a target instance other than the endorsing one', (token) => renew(token, NOW + HOUR, {}, { target: { identifier: token.id, instance: 'urn:other' } })],
    ['an instance that the token never had', (token) => renew(token, NOW + HOUR, { signer: { identifier: token.id, instance: 'urn:other' } })],
    ['another dialect', (token) => renew(token, NOW + HOUR, {}, { sc: SC05 })],
  ])('%s cannot be renewed', (_, decision) => {
    expect(faultOf(decision(issued()))).toBe(FAULTS.unableToRenew)
  })

  test('without proof: where it is allowed, for the one who established it, the newest key, and as long as any renewal may come', () => {
    const token = issued()
    const { entropy: _, keySizeBits: __, ...bare } = renewOf(token)
    const ungranted = (more: Partial<TokenQuestion> = {}, request: Partial<TokenRequest> = {}, now = NOW + HOUR, policy: Partial<IssuerPolicy> = { renewWithoutProof: true }): TokenDecision =>
      ask({ ...bare, ...request }, { existing: token, ...more }, now, policy)
    const { token: renewed, response } = granted(ungranted())
    // The issuer's key alone, of the size that the token had.
    expect(response).toMatchObject({ proof: { kind: 'given' }, keySizeBits: 256, token: { identifier: token.id } })
    expect(response.proof?.kind === 'given' && response.proof.secret.equals(currentInstance(renewed).secret)).toBe(true)
    expect(granted(ungranted({}, { entropy: secret('again') })).response.proof?.kind).toBe('computed')
    expect(granted(ungranted({}, {}, NOW + 10 * HOUR + 59 * MINUTE)).token.instances).toHaveLength(2)
    const refused: readonly TokenDecision[] = [
      ungranted({}, {}, NOW + HOUR, {}), ungranted({ principal: BOB }), ungranted({}, {}, NOW + 11 * HOUR), ungranted({}, { target: { identifier: other.id } }),
      ungranted({}, { target: { identifier: token.id, instance: 'urn:older' } }), ungranted({ existing: { ...token, state: 'cancelled' } }),
      // Proof that is there and does not fit is none the better.
      ungranted({ signer: signerOf(other) }), ungranted({ existing: renewed }, { target: { identifier: token.id, instance: 'urn:none' } }),
    ]
    expect(refused.map(faultOf)).toEqual(refused.map(() => FAULTS.unableToRenew))
  })

  test('the first key stays, for peers that endorse with it; those between do not', () => {
    const first = issued()
    const second = granted(renew(first, NOW + HOUR)).token
    const third = granted(renew(second, NOW + 2 * HOUR)).token
    const fourth = granted(renew(third, NOW + 3 * HOUR)).token
    expect(fourth.instances.map((each) => each.instance)).toEqual([undefined, currentInstance(third).instance, currentInstance(fourth).instance])
    expect(believedInstances(fourth, NOW + 3 * HOUR, DEFAULT_ISSUER_POLICY.overlapMs)).toHaveLength(2)
  })

  test('a renew without target, or without entropy, is an invalid request', () => {
    const token = issued()
    const { target: _, ...targetless } = renewOf(token)
    expect(faultOf(ask(targetless, { existing: token, signer: signerOf(token) }))).toBe(FAULTS.invalidRequest)
    const { entropy: __, ...poor } = renewOf(token)
    expect(faultOf(ask(poor, { existing: token, signer: signerOf(token) }))).toBe(FAULTS.invalidRequest)
  })
})

describe('cancel', () => {
  const cancel = (token: SecurityContextToken, more: Partial<TokenQuestion> = {}): TokenDecision => ask(cancelOf(token), { existing: token, signer: signerOf(token), ...more }, NOW + HOUR)

  test('the token ends; a second cancel under the same token is answered alike', () => {
    const { token, response } = granted(cancel(issued()))
    expect(token.state).toBe('cancelled')
    expect(response).toEqual({ kind: 'cancel', sc: SC13 })
    expect(believedInstances(token, NOW + HOUR, MINUTE)).toEqual([])
    expect(granted(cancel(token)).token.state).toBe('cancelled')
  })

  test('a token that sequences are bound to is not cancelled', () => {
    expect(faultOf(cancel(issued(), { bound: 1 }))).toBe(FAULTS.requestFailed)
  })

  test('a key that is not believed any more cancels nothing', () => {
    const first = issued()
    expect(faultOf(ask(cancelOf(first), { existing: first, signer: signerOf(first) }, NOW + 10 * HOUR))).toBe(FAULTS.badContextToken)
    const second = granted(renew(first)).token
    expect(ask(cancelOf(first), { existing: second, signer: signerOf(first) }, NOW + HOUR + MINUTE).granted).toBe(true)
    expect(faultOf(ask(cancelOf(first), { existing: second, signer: signerOf(first) }, NOW + HOUR + 6 * MINUTE))).toBe(FAULTS.badContextToken)
  })

  test.each<[string, Partial<TokenQuestion>]>([
    ['signed by another token', { signer: signerOf(issued()) }],
    ['of another principal', { principal: BOB }],
  ])('a cancel %s answers as for an unknown token', (_, more) => {
    expect(faultOf(cancel(issued(), more))).toBe(FAULTS.badContextToken)
  })
  test('a cancel of an unknown token, or one that no token signed, is answered by BadContextToken', () => {
    const token = issued()
    expect(faultOf(ask(cancelOf(token), { signer: signerOf(token) }))).toBe(FAULTS.badContextToken)
    expect(faultOf(ask(cancelOf(token), { existing: token }))).toBe(FAULTS.badContextToken)
  })
})
