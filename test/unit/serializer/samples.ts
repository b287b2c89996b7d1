/** A token, a keyring and a serializer whose secrets a test can look for. */
import { inspect } from 'node:util'
import { expect } from 'vitest'
import type { RandomSource } from '../../../src/crypto/random.ts'
import { secretKey } from '../../../src/crypto/hash.ts'
import { type SecurityContextToken, TokenInstance, type TokenId } from '../../../src/sct/token.ts'
import { createSerializer, type SctSerializer } from '../../../src/serializer/serializer.ts'
import { Keyring, type KeyringKey } from '../../../src/serializer/keyring.ts'
import { SC05, SC13 } from '../../../src/spec/versions.ts'

/** Goes through all bytes in a fixed order. */
export function countingRandom(): RandomSource {
  let next = 0
  return { bytes: (count) => Uint8Array.from({ length: count }, () => (next = (next * 165 + 13) & 0xff)) }
}
export const rootBytes = (seed: number): Buffer => Buffer.alloc(32, Buffer.from(`canary root ${seed} `))
export const ring = (primary: string, ...keys: readonly KeyringKey[]): Keyring => Keyring.of(keys, primary)
export const k1: KeyringKey = { id: 'k1', key: rootBytes(1) }
export const k2: KeyringKey = { id: 'k2', key: rootBytes(2) }
export const serializer = (keyring: Keyring = ring('k1', k1)): SctSerializer => createSerializer(keyring, countingRandom())

export const SECRETS: readonly Buffer[] = [Buffer.from('canary secret of the first key.'), Buffer.from('canary secret of the second key')]
export const token = (id = 'urn:uuid:1', more: Partial<SecurityContextToken> = {}): SecurityContextToken => ({
  id: id as TokenId, role: 'initiator', sc: SC13, suite: 'Basic256Sha256', principal: { kind: 'certificate', thumbprint: 'ab'.repeat(32), subject: 'CN=grüß,O=x' },
  peer: 'https://example.org/echo', state: 'live', instances: SECRETS.map((secret, i) => new TokenInstance({ secret: secretKey(secret), instance: i === 0 ? undefined : `urn:uuid:${i}`, created: 1_000 + i, expires: 2_000.5 + i })),
  ...more,
})
export const other: Partial<SecurityContextToken> = { role: 'recipient', sc: SC05, suite: 'Basic128GCM', principal: { kind: 'user', name: 'alice' }, peer: '', state: 'cancelled' }

/** Fails when what a thing prints, or its bytes, hold one of the secrets in any usual form. */
export function tellsNothing(secrets: readonly Uint8Array[], ...things: readonly unknown[]): void {
  for (const thing of things) {
    const printed = thing instanceof Uint8Array
      ? Buffer.from(thing).toString('latin1')
      : [inspect(thing, { depth: 20, showHidden: true }), inspect(thing, { customInspect: false, depth: 20 }), JSON.stringify(thing), String(thing)].join('\n')
    for (const secret of secrets.map((bytes) => Buffer.from(bytes))) {
      // The middle of a base64 text depends on where it begins: three forms of it.
      const forms = [secret.toString('latin1'), secret.toString('hex'), ...[0, 1, 2].map((skip) => secret.subarray(skip).toString('base64').slice(0, 36)), [...secret].join(', ')]
      for (const form of forms) expect(printed.toLowerCase()).not.toContain(form.toLowerCase())
    }
  }
}
