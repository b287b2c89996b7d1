import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { secretKey } from '../../../src/crypto/hash.ts'
import { UsageError } from '../../../src/errors.ts'
import { Keyring, type KeyStatus, type KeyWrapper } from '../../../src/serializer/keyring.ts'
import { openToken, sealToken } from '../../../src/serializer/serializer.ts'
import { countingRandom, k1, k2, rootBytes, serializer, tellsNothing, token } from './samples.ts'

const folder = mkdtempSync(join(tmpdir(), 'wsrm-keyring-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a keyring', () => {
  test('has its enabled keys by id', () => {
    const keyring = Keyring.of([k1, { ...k2, status: 'disabled' }, { id: 'k3', key: secretKey(rootBytes(3)) }], 'k3')
    expect(keyring.primary).toBe('k3')
    expect(keyring.ids).toEqual(['k1', 'k3'])
    expect(keyring.get('k1')?.export()).toEqual(rootBytes(1))
    expect(keyring.get('k2')).toBeUndefined()
    for (const id of ['', '__proto__', 'constructor', 'K1']) expect(keyring.get(id)).toBeUndefined()
  })
  test.each([
    ['no key', [], 'k1'], ['no such primary', [k1], 'k2'], ['a disabled primary', [{ ...k1, status: 'disabled' as const }], 'k1'], ['an id twice', [k1, { ...k2, id: 'k1' }], 'k1'],
    ['an empty id', [{ ...k1, id: '' }], ''], ['an id that is too long', [{ ...k1, id: 'x'.repeat(65) }], 'x'.repeat(65)], ['an id with other characters', [{ ...k1, id: 'k 1' }], 'k 1'],
    ['a key of 16 bytes', [{ id: 'k1', key: Buffer.alloc(16) }], 'k1'], ['a key of 33 bytes', [{ id: 'k1', key: Buffer.alloc(33) }], 'k1'], ['an empty key', [{ id: 'k1', key: Buffer.alloc(0) }], 'k1'],
    ['a public key', [{ id: 'k1', key: createPublicKey(generateKeyPairSync('ed25519').privateKey) }], 'k1'], ['an unknown status', [{ ...k1, status: 'retired' as KeyStatus }], 'k1'],
  ])('with %s is refused', (_what, keys, primary) => expect(() => Keyring.of(keys, primary)).toThrow(UsageError))
  test('keeps its keys when the caller overwrites his', () => {
    const bytes = rootBytes(1)
    const keyring = Keyring.of([{ id: 'k1', key: bytes }], 'k1')
    bytes.fill(0)
    expect(keyring.get('k1')?.export()).toEqual(rootBytes(1))
  })
  test('made for a store in memory seals, and no other opens it', () => {
    const random = countingRandom()
    const sealed = sealToken(serializer(Keyring.ephemeral(random)), token())
    expect(() => openToken(serializer(Keyring.ephemeral(random)), token().id, sealed)).toThrow(/changed/)
  })
})

describe('a keyring under a key management service', () => {
  const wrapper: KeyWrapper = {
    wrap: async (key, associated) => Buffer.concat([associated, Buffer.from(key).reverse()]),
    unwrap: async (wrapped, associated) => {
      if (!Buffer.from(associated).equals(wrapped.subarray(0, associated.length))) throw new Error('the service refused')
      return Uint8Array.from(wrapped.subarray(associated.length)).reverse()
    },
  }
  test('asks once for each enabled key and then works without it', async () => {
    const random = countingRandom()
    const keys = [await Keyring.wrapNew('a', wrapper, random), await Keyring.wrapNew('b', wrapper, random), { ...(await Keyring.wrapNew('c', wrapper, random)), status: 'disabled' as const }]
    let asked = 0
    const counting: KeyWrapper = { ...wrapper, unwrap: (...given) => { asked++; return wrapper.unwrap(...given) } }
    const keyring = await Keyring.open({ wrapper: counting, keys, primary: 'b' })
    expect(asked).toBe(2)
    const again = await Keyring.open({ wrapper, keys: keys.slice(1), primary: 'b' })
    expect(openToken(serializer(again), token().id, sealToken(serializer(keyring), token())).id).toBe(token().id)
  })
  test('does not take one key for another', async () => {
    const { wrapped } = await Keyring.wrapNew('a', wrapper, countingRandom())
    await expect(Keyring.open({ wrapper, keys: [{ id: 'b', wrapped }], primary: 'b' })).rejects.toThrow('the service refused')
  })
  test('fails with the service, and stops when it is told to', async () => {
    const keys = [await Keyring.wrapNew('a', wrapper, countingRandom())]
    await expect(Keyring.open({ wrapper: { ...wrapper, unwrap: async () => new Uint8Array(5) }, keys, primary: 'a' })).rejects.toThrow(UsageError)
    await expect(Keyring.open({ wrapper, keys, primary: 'a', signal: AbortSignal.abort(new Error('late')) })).rejects.toThrow('late')
  })
})

describe('a keyring in a file', () => {
  let written = 0
  const file = (content: unknown, mode = 0o600): string => {
    const path = join(folder, `${written++}.json`)
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
    chmodSync(path, mode)
    return path
  }
  const content = { primary: 'k1', keys: [{ id: 'k1', key: rootBytes(1).toString('base64') }, { id: 'k2', key: rootBytes(2).toString('base64'), status: 'disabled' }] }
  test('is read', async () => {
    const keyring = await Keyring.fromFile(file(content))
    expect(keyring.ids).toEqual(['k1'])
    expect(keyring.get('k1')?.export()).toEqual(rootBytes(1))
    expect((await Keyring.fromFile(file(content, 0o400))).primary).toBe('k1')
  })
  test.skipIf(process.platform === 'win32').each([0o644, 0o640, 0o620, 0o604, 0o610, 0o601, 0o666])('that others may use (mode %o) is refused', async (mode) => {
    await expect(Keyring.fromFile(file(content, mode))).rejects.toThrow(/chmod 600/)
  })
  test('that is none is refused without a word of it', async () => {
    mkdirSync(join(folder, 'folder'), { mode: 0o700 })
    const secret = rootBytes(1).toString('base64')
    const paths = [
      join(folder, 'missing'), join(folder, 'folder'), file(''), file(`{"${secret}`), file('null'), file('[]'), file({}), file({ primary: 'k1' }), file({ primary: 'k1', keys: {} }), file({ primary: 'k1', keys: [] }),
      file({ primary: 'k1', keys: [null] }), file({ primary: 'k1', keys: ['k1'] }), file({ primary: 'k1', keys: [{ id: 'k1' }] }), file({ primary: 'k1', keys: [{ id: 'k1', key: 5 }] }),
      file({ primary: 'k1', keys: [{ id: 'k1', key: secret.slice(0, -1) }] }), file({ primary: 'k1', keys: [{ id: 'k1', key: ` ${secret}` }] }), file({ primary: 'k1', keys: [{ id: 'k1', key: secret.slice(4) }] }),
      file({ primary: 'k1', keys: [{ id: 7, key: secret }] }), file({ primary: 'k1', keys: [{ id: 'k1', key: secret, status: 'lost' }] }), file({ primary: 7, keys: content.keys }), file(`${' '.repeat(70_000)}{}`),
    ]
    for (const path of paths) {
      const error = await Keyring.fromFile(path).then(() => undefined, (thrown: unknown) => thrown)
      expect(error, path).toBeInstanceOf(UsageError)
      tellsNothing([rootBytes(1)], error, (error as Error).stack)
    }
  })
})
