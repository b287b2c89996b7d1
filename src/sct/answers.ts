/**
 * The answer to a Renew, kept sealed for the case that the request is repeated: what the requestor needs to compute the same key again.
 *
 * @module
 */
import { computedKey } from '../crypto/derive.ts'
import { secretKey } from '../crypto/hash.ts'
import { UnknownVersion } from '../errors.ts'
import type { SctSerializer } from '../serializer/serializer.ts'
import type { SecurityContextToken, TokenRequest, TokenResponse } from './token.ts'

const VERSION = 1
interface Kept { readonly instance: string; readonly bits: number; readonly created: number; readonly expires: number }

/** version(1) | length of the head(4) | head as JSON, nothing secret in it | the issuer's entropy, none where it gave the key whole; sealed for its own row. */
export function rememberAnswer(serializer: SctSerializer, key: string, response: TokenResponse): Uint8Array {
  const { token, proof, keySizeBits, lifetime } = response
  if (token?.instance === undefined || proof === undefined || proof.kind === 'requestor' || keySizeBits === undefined || lifetime?.created === undefined) throw new RangeError('not the answer to a renewal')
  const head = new TextEncoder().encode(JSON.stringify({ instance: token.instance, bits: keySizeBits, created: lifetime.created, expires: lifetime.expires } satisfies Kept))
  // A key that was given whole lies with the token.
  const entropy = proof.kind === 'computed' ? proof.entropy.export() : Buffer.alloc(0)
  const plain = new Uint8Array(5 + head.length + entropy.length)
  const view = new DataView(plain.buffer)
  view.setUint8(0, VERSION)
  view.setUint32(1, head.length)
  plain.set(head, 5)
  plain.set(entropy, 5 + head.length)
  entropy.fill(0)
  const sealed = serializer.seal('sct', { parts: ['renewal', key] }, plain)
  plain.fill(0)
  return sealed
}

/** The answer again; undefined when the repeated request does not lead to the key that was made then. */
export function recallAnswer(serializer: SctSerializer, key: string, sealed: Uint8Array, token: SecurityContextToken, request: TokenRequest): TokenResponse | undefined {
  const plain = serializer.open('sct', { parts: ['renewal', key] }, sealed)
  if (plain[0] !== VERSION) throw new UnknownVersion('ERR_SCT_ANSWER_VERSION', `a stored answer has version ${plain[0]}`, { tokenId: token.id })
  const length = new DataView(plain.buffer, plain.byteOffset, plain.byteLength).getUint32(1)
  const kept = JSON.parse(new TextDecoder().decode(plain.subarray(5, 5 + length))) as Kept
  const entropy = plain.length === 5 + length ? undefined : secretKey(plain.subarray(5 + length))
  plain.fill(0)
  const made = token.instances.find((each) => each.instance === kept.instance)
  if (made === undefined || (entropy === undefined) !== (request.entropy === undefined)) return undefined
  // Other entropy with the same MessageID: the requestor would compute another key than the one that we hold.
  if (request.entropy !== undefined && entropy !== undefined && !computedKey(request.entropy, entropy, kept.bits / 8).equals(made.secret)) return undefined
  return {
    kind: 'renew', sc: request.sc, ...(request.context === undefined ? {} : { context: request.context }),
    token: { identifier: token.id, instance: kept.instance }, proof: entropy === undefined ? { kind: 'given', secret: made.secret } : { kind: 'computed', entropy }, keySizeBits: kept.bits,
    lifetime: { created: kept.created, expires: kept.expires },
  }
}
