/**
 * Protects a message with a security context: by its keys (Timestamp, derived keys, one signature over every header and the Body, encryption),
 * or, in the transport profile, by TLS, where its key signs the Timestamp. Written once, in canonical form, without PrefixLists.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { keyFor } from '../crypto/cipher.ts'
import { deriveKey } from '../crypto/derive.ts'
import { hmac } from '../crypto/hash.ts'
import type { RandomSource } from '../crypto/random.ts'
import type { Profile } from '../profiles/profile.ts'
import type { ScVersion } from '../spec/versions.ts'
import { confirmationParts, type EncryptingKey, type LayerChoices, protectInLayers, type SignatureText, type SigningKey } from './layers.ts'
import {
  type Algorithms, algorithmsOf, attachedReference, bodyPart, contextToken, derivedKeyToken, directReference, drawn, envelope, headerParts, ID_BYTES, type Ids, idsOf, type OutgoingMessage, type Protected,
  referenceList, signature, signedInfo, type SignedPart, timestampPart, unattachedReference,
} from './parts.ts'

export type { OutgoingMessage, Protected } from './parts.ts'

export interface SessionMessage extends OutgoingMessage {
  readonly encryptBody: boolean
  /** Values of the signatures that this message answers; written where the profile says so. */
  readonly confirms?: readonly Uint8Array[] | undefined
}
/** The key that a message is written with. */
export interface SessionToken {
  readonly identifier: string
  readonly instance?: string | undefined
  /** The id that the token's element was issued with; absent: one of the message's own. */
  readonly elementId?: string | undefined
  readonly secret: KeyObject
  readonly sc: ScVersion
}
export interface ProtectOptions {
  readonly profile: Profile
  /** The initiator's messages carry the token; the recipient's refer to it by its identifier. */
  readonly role: 'initiator' | 'recipient'
  readonly now: number
  readonly random: RandomSource
}

export const NONCE_BYTES = 16
const IV_BYTES = 16

/** @throws {UsageError} ERR_USAGE_SUITE */
export function protect(message: SessionMessage, token: SessionToken, options: ProtectOptions): Protected {
  if (options.profile.protection === 'transport') return protectUnderTls(message, token, options)
  const { profile, now } = options
  const algorithms = algorithmsOf(profile)
  const confirms = profile.signatureConfirmation ? message.confirms ?? [] : []
  // D21: one draw of chance for the whole message.
  const random = drawn(options.random, ID_BYTES + 2 * NONCE_BYTES + (2 + confirms.length) * IV_BYTES)
  const ids = idsOf(random)
  const source = contextSource(token, options, ids)
  const signing = symmetricSigning(source, { profile, algorithms, ids, random })
  const encryptSignature = profile.encryptSignature === true || (profile.encryptSignature === 'with-body' && message.encryptBody)
  const parts = message.confirms === undefined || !profile.signatureConfirmation ? [] : confirmationParts(confirms, ids, encryptSignature)
  const encrypting = message.encryptBody || encryptSignature ? symmetricEncrypting(source, { profile, algorithms, ids, random }) : undefined
  const choices: LayerChoices = { keyOrder: profile.keyOrder, layout: profile.layout, order: profile.order, encryptSignature }
  return protectInLayers(message, { choices, ids, now, random, source: source.token, signing, encrypting, encryptBody: message.encryptBody, parts })
}

/** A symmetric key: how it is named, and what of it stands in the message. */
export interface KeySource { readonly key: KeyObject; readonly sc: ScVersion; readonly reference: string; readonly token: string }
interface Writing { readonly profile: Pick<Profile, 'derivedKeys'>; readonly algorithms: Algorithms; readonly ids: Ids; readonly random: RandomSource }

export function contextSource(token: SessionToken, { profile, role }: Pick<ProtectOptions, 'profile' | 'role'>, ids: Ids): KeySource {
  const isCarried = role === 'initiator' || profile.includeToken === 'always'
  const id = token.elementId ?? ids('sct')
  return {
    key: token.secret, sc: token.sc, token: isCarried ? contextToken(token, token.sc, id) : '',
    reference: isCarried ? attachedReference(id, token, token.sc) : unattachedReference(token, token.sc),
  }
}

/** A key of this message: what refers to it, and what is put in front of its use. */
function messageKey(word: string, length: number, source: KeySource, { profile, ids, random }: Writing): { readonly key: KeyObject; readonly reference: string; readonly token: string } {
  if (!profile.derivedKeys) return { key: source.key, reference: source.reference, token: '' }
  const nonce = random.bytes(NONCE_BYTES)
  const key = deriveKey({ secret: source.key, nonce, offset: 0, length })
  return { key, reference: directReference(`#${ids(word)}`, source.sc.dk), token: derivedKeyToken(source.sc, ids(word), source.reference, length, nonce) }
}
export function symmetricSigning(source: KeySource, writing: Writing): SigningKey {
  const { algorithms, ids } = writing
  const { key, reference, token } = messageKey('dk-sig', algorithms.suite.signatureKeyBytes, source, writing)
  return { tokens: token, sign: (parts) => macSignature(ids('sig'), parts, { key, reference, algorithms }) }
}
export function symmetricEncrypting(source: KeySource, writing: Writing): EncryptingKey {
  const { cipher } = writing.algorithms.suite
  const { key, reference, token } = messageKey('dk-enc', cipher.keyBytes, source, writing)
  return { key: keyFor(cipher, key), cipher, reference, tokens: (listed) => token + referenceList(listed) }
}
/** A signature by a secret over these parts. */
export function macSignature(id: string, parts: readonly Pick<SignedPart, 'id' | 'text'>[], { key, reference, algorithms }: { readonly key: KeyObject; readonly reference: string; readonly algorithms: Algorithms }): SignatureText {
  const info = signedInfo(algorithms.hmac, algorithms.digest, parts)
  const value = hmac(algorithms.hmac.hash, key, info)
  return { id, value, text: signature(id, info, value, reference) }
}

/**
 * The transport profile: TLS protects the message, the token says in whose conversation it stands by signing its Timestamp (D16).
 * Peers CXF, Metro, .NET: answers carry a Timestamp and nothing else.
 */
function protectUnderTls(message: SessionMessage, token: SessionToken, options: ProtectOptions): Protected {
  const { profile: { signatureConfirmation } } = options
  if (options.role === 'recipient') return underTls(message, options, (_, ids) => ({ security: signatureConfirmation && message.confirms !== undefined ? confirmations(message.confirms, ids) : '' }))
  const random = drawn(options.random, ID_BYTES + NONCE_BYTES)
  return underTls(message, { ...options, random }, (timestamp, ids) => timestampSignature(token, timestamp, { ...options, random, ids }))
}
/** WS-SecurityPolicy 1.2 §8.3: under TLS an endorsing token signs the Timestamp. Peer .NET: nothing else. */
export function timestampSignature(token: SessionToken, timestamp: SignedPart, { profile, ids, random }: { readonly profile: Profile; readonly ids: Ids; readonly random: RandomSource }): { readonly security: string; readonly value: Uint8Array } {
  const source = contextSource(token, { profile, role: 'initiator' }, ids)
  const signing = symmetricSigning(source, { profile, algorithms: algorithmsOf(profile), ids, random })
  const { text, value } = signing.sign([timestamp], () => '')
  return { security: source.token + signing.tokens + text, value }
}
/** Under TLS, in clear and without a signature: TLS protects them. */
export const confirmations = (values: readonly Uint8Array[], ids: Ids): string => confirmationParts(values, ids, false).map(({ text }) => text).join('')
/** A message under TLS: its Timestamp, and what `more` puts behind it. */
export function underTls(
  message: OutgoingMessage, { now, random }: Pick<ProtectOptions, 'now' | 'random'>, more: (timestamp: SignedPart, ids: Ids) => { readonly security: string; readonly value?: Uint8Array } = () => ({ security: '' }),
): Protected {
  const ids = idsOf(random)
  const timestamp = timestampPart(ids, now)
  const { security, value } = more(timestamp, ids)
  const xml = envelope(message, headerParts(message.headers, ids), timestamp.text + security, bodyPart(message.soap, message.body, ids).sent)
  return { xml, signatureValues: value === undefined ? [] : [value] }
}
