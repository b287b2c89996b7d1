/** What a config file may say, and what is said of one that is wrong: the member is named, no value is quoted. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readClientConfig, readServiceConfig } from '../../../src/cli/config.ts'
import { sandesha2, wcf } from '../../../src/profiles/presets.ts'
import { BASIC256_SHA1, DEFAULT_PROFILE } from '../../../src/profiles/profile.ts'

const identities = fileURLToPath(new URL('../../../demo/identities/', import.meta.url))
const of = (name: string): string => join(identities, name)
let folder = ''
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'wsrm-config-')) })
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const bootstrap = { kind: 'x509', certificate: of('client.pem'), key: of('client.key.pem'), service: of('service.pem') }
const trust = { authorities: [of('authority.pem')] }
const CLIENT = { bootstrap, trust }
const SERVICE = { accept: [{ kind: 'x509', certificate: of('service.pem'), key: of('service.key.pem'), trust }] }
let files = 0
function write(value: unknown, name = `config-${++files}.json`): string {
  writeFileSync(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value), { mode: 0o600 })
  return join(folder, name)
}
const keyring = { primary: 'k1', keys: [{ id: 'k1', key: Buffer.alloc(32, 1).toString('base64') }] }

test('a client config of two members is enough', async () => {
  const { options, keys, close } = await readClientConfig(write(CLIENT))
  expect(options.profile).toEqual(DEFAULT_PROFILE)
  expect(options.bootstrap).toMatchObject({ kind: 'x509', certificate: { subject: expect.stringMatching(/client/i) } })
  expect(keys.privateKeys).toHaveLength(1)
  await close()
})

test('file names are relative to the config file, and a store opens with its keyring', async () => {
  write(keyring, 'keyring.json')
  const { options, close } = await readClientConfig(write({ ...CLIENT, name: 'orders', store: 'orders.db', keyring: 'keyring.json', offer: false, maxPending: 10 }))
  expect(options).toMatchObject({ name: 'orders', offer: false, maxPending: 10 })
  expect(options.store).toBeDefined()
  await close()
})

test('a profile is a preset, or one that is changed; a service has several', async () => {
  const client = await readClientConfig(write({ ...CLIENT, profile: { preset: 'basic256Sha1', soap: '1.1', accept: { sha1: false } } }))
  expect(client.options.profile).toEqual({ ...BASIC256_SHA1, soap: '1.1', accept: { sha1: false } })
  const paced = await readClientConfig(write({ ...CLIENT, profile: { preset: 'wcf', window: 8, contexts: 'shared' } }))
  expect(paced.options.profile).toEqual({ ...wcf, window: 8, contexts: 'shared' })
  const service = await readServiceConfig(write({ ...SERVICE, profile: ['default', { preset: 'basic256Sha1', encryptSignature: true }], path: '/echo', holdReplyMs: 50, operations: { 'urn:a': { shape: 'one-way' } } }))
  expect(service.options.profile).toEqual([DEFAULT_PROFILE, { ...BASIC256_SHA1, encryptSignature: true }])
  expect(service.listen).toEqual({ path: '/echo' })
  expect(service.options.operations).toEqual({ 'urn:a': { shape: 'one-way' } })
})

const wrongClients: readonly (readonly [what: string, config: unknown, complaint: RegExp])[] = [
  ['no JSON', '{ "bootstrap": secret', /is no JSON/],
  ['a list', [], /is no object/],
  ['an unknown member', { ...CLIENT, kyring: 'x' }, /unknown member "kyring"; known are bootstrap, trust/],
  ['a prototype in disguise', '{ "__proto__": {}, "bootstrap": {} }', /unknown member "__proto__"/],
  ['an unknown member further in', { ...CLIENT, bootstrap: { ...bootstrap, password: 'hunter2' } }, /bootstrap: unknown member "password"/],
  ['no bootstrap', { trust }, /bootstrap is missing/],
  ['no trust', { bootstrap }, /trust is missing/],
  ['trust of both kinds', { bootstrap, trust: { ...trust, pins: ['00'] } }, /trust names either pins or authorities/],
  ['another kind', { ...CLIENT, bootstrap: { ...bootstrap, kind: 'kerberos' } }, /bootstrap\.kind is not one of "x509"/],
  ['a file that is not there', { ...CLIENT, bootstrap: { ...bootstrap, key: 'nowhere.pem' } }, /bootstrap\.key names a file that cannot be read \(ENOENT\)/],
  ['a key of another certificate', { ...CLIENT, bootstrap: { ...bootstrap, key: of('intruder.key.pem') } }, /bootstrap cannot be used: .*does not belong/],
  ['a number for a text', { ...CLIENT, name: 5 }, /name is no text/],
  ['a text for a flag', { ...CLIENT, offer: 'no' }, /offer is no true or false/],
  ['a fraction', { ...CLIENT, maxPending: 1.5 }, /maxPending is no whole number above 0/],
  ['an unknown preset', { ...CLIENT, profile: 'nobody' }, /profile names no preset; there are default, basic256Sha1/],
  ['an unknown suite', { ...CLIENT, profile: { suite: 'ROT13' } }, /profile\.suite is not one of "Basic256"/],
  ['contexts of another kind', { ...CLIENT, profile: { contexts: 'two-each' } }, /profile\.contexts is not one of "shared", "one-each"/],
  ['a window of nothing', { ...CLIENT, profile: { window: 0 } }, /profile\.window is no whole number from 1 to 1024/],
  ['a window too wide', { ...CLIENT, profile: { window: 1_025 } }, /profile\.window is no whole number from 1 to 1024/],
  ['a store without a keyring', { ...CLIENT, store: 'a.db' }, /store needs a keyring/],
  ['a keyring without a store', { ...CLIENT, keyring: 'keyring.json' }, /keyring is of no use without store/],
]
test.each(wrongClients)('a client config with %s is refused', async (_, config, complaint) => {
  const failure = await readClientConfig(write(config)).then(() => undefined, (error: unknown) => error)
  expect(failure).toMatchObject({ name: 'UsageError', message: expect.stringMatching(complaint) })
  expect(String(failure)).not.toMatch(/hunter2|secret/)
})

const wrongServices: readonly (readonly [what: string, config: unknown, complaint: RegExp])[] = [
  ['nothing to accept', { accept: [] }, /accept is no list of objects/],
  ['an unknown member in accept', { accept: [{ ...SERVICE.accept[0], user: 'alice' }] }, /accept\[0\]: unknown member "user"/],
  ['an operation of another shape', { ...SERVICE, operations: { 'urn:a': { shape: 'both' } } }, /operations\.urn:a\.shape is not one of "one-way", "request"/],
  ['TLS without a key', { ...SERVICE, tls: { certificate: of('service.pem') } }, /tls\.key is missing/],
]
test.each(wrongServices)('a service config with %s is refused', async (_, config, complaint) => {
  await expect(readServiceConfig(write(config))).rejects.toMatchObject({ name: 'UsageError', message: expect.stringMatching(complaint) })
})

test('a keyring that others can read is refused', async () => {
  writeFileSync(join(folder, 'open-keyring.json'), JSON.stringify(keyring), { mode: 0o644 })
  await expect(readClientConfig(write({ ...CLIENT, store: 'b.db', keyring: 'open-keyring.json' }))).rejects.toThrow(/chmod 600/)
})

describe('every kind of bootstrap, as data', () => {
  const identity = { certificate: of('client.pem'), key: of('client.key.pem') }
  const own = { certificate: of('service.pem'), key: of('service.key.pem') }
  const alice = { user: 'alice', password: 'in wonderland' }

  test.each([
    ['x509', { kind: 'x509', ...identity, service: of('service.pem') }],
    ['a user', { kind: 'usernameForCertificate', ...alice, service: of('service.pem') }],
    ['a user and a certificate', { kind: 'usernameForCertificate', ...alice, service: of('service.pem'), endorsing: identity }],
    ['a certificate that endorses', { kind: 'usernameForCertificate', service: of('service.pem'), endorsing: identity }],
    ['a user over TLS', { kind: 'usernameOverTls', ...alice }],
    ['a certificate over TLS', { kind: 'certificateOverTls', ...identity }],
  ])('of a client: %s', async (_, bootstrap) => {
    const { options, close } = await readClientConfig(write({ bootstrap, trust, profile: 'metro' }))
    expect(options.bootstrap.kind).toBe(bootstrap.kind)
    expect(inspect(options, { depth: 9 })).not.toContain('in wonderland')
    await close()
  })
  test.each([
    ['x509', { kind: 'x509', ...own, trust }],
    ['users', { kind: 'usernameForCertificate', ...own, passwords: { alice: 'in wonderland' } }],
    ['users and certificates', { kind: 'usernameForCertificate', ...own, passwords: { alice: 'in wonderland' }, endorsing: trust }],
    ['certificates that endorse', { kind: 'usernameForCertificate', ...own, endorsing: trust }],
    ['users over TLS', { kind: 'usernameOverTls', passwords: { alice: 'in wonderland' } }],
    ['certificates over TLS', { kind: 'certificateOverTls', trust }],
  ])('of a service: %s', async (_, accepted) => {
    const { options, close } = await readServiceConfig(write({ accept: [accepted], addresses: ['https://clients.example.com'], dangerRenewWithoutProof: true, tokenLifetimeMs: 60_000 }))
    expect(options).toMatchObject({ accept: [{ kind: accepted.kind }], addresses: ['https://clients.example.com'], dangerRenewWithoutProof: true, tokenLifetimeMs: 60_000 })
    await close()
  })
  test.each([
    ['a user without a password', { kind: 'usernameForCertificate', user: 'alice', service: of('service.pem') }, /bootstrap\.password is missing/],
    ['a kind that there is not', { kind: 'kerberos' }, /bootstrap\.kind is not one of/],
    ['what another kind has', { kind: 'usernameOverTls', ...alice, service: of('service.pem') }, /unknown member "service"/],
  ])('%s is refused', async (_, bootstrap, said) => { await expect(readClientConfig(write({ bootstrap, trust }))).rejects.toThrow(said) })
  test('where a client listens, what it does when the context is lost, and how a preset is changed', async () => {
    const { options, close } = await readClientConfig(write({
      bootstrap: { kind: 'x509', ...identity, service: of('service.pem') }, trust, listen: { port: 0, path: '/answers' }, onContextLost: 'report', dangerResendDoubtful: true, pollAfterMs: 100,
      profile: { preset: 'sandesha2', endpoint: 'address', bootstrap: { addressing: '200408', signatureConfirmation: true }, contextLost: ['Gone'], renewal: 'renew' },
    }))
    expect(options).toMatchObject({ listen: { port: 0, path: '/answers' }, onContextLost: 'report', dangerResendDoubtful: true, pollAfterMs: 100 })
    expect(options.profile).toEqual({ ...sandesha2, endpoint: 'address', bootstrap: { ...sandesha2.bootstrap, addressing: '200408', signatureConfirmation: true }, contextLost: ['Gone'], renewal: 'renew' })
    await close()
  })
})
