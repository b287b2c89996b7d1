/**
 * Chance: nonces, entropy, identifiers. The only importer of uuid.
 *
 * @module
 */
import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto'
import { v4, validate, version } from 'uuid'

/** Given as an argument wherever chance is needed, so that a test can choose it. */
export interface RandomSource { bytes(count: number): Uint8Array }
export const systemRandom: RandomSource = { bytes: (count) => randomBytes(count) }

/** New secret octets (entropy) that exist as a KeyObject only: the bytes that were drawn are overwritten. */
export function freshSecret(random: RandomSource, count: number): KeyObject {
  const bytes = random.bytes(count)
  const secret = createSecretKey(bytes)
  bytes.fill(0)
  return secret
}

/** `urn:uuid:` and a version 4 UUID (RFC 9562 §5.4). */
export const urnUuid = (random: RandomSource): string => `urn:uuid:${v4({ random: random.bytes(16) })}`
/** True for `urn:uuid:` and a version 4 UUID, and for nothing else. */
export const isUrnUuid = (text: string): boolean => text.startsWith('urn:uuid:') && validate(text.slice(9)) && version(text.slice(9)) === 4
