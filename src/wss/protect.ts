/**
 * Protects a message with a security context: Timestamp, derived keys, one signature over every header and the Body, then
 * encryption. One dialect, complete: signed before encrypted, whole parts, no PrefixList, written once in canonical form.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { encrypt } from '../crypto/cipher.ts'
import { deriveKey } from '../crypto/derive.ts'
import { hmac } from '../crypto/hash.ts'
import type { RandomSource } from '../crypto/random.ts'
import { UsageError } from '../errors.ts'
import type { Profile } from '../profiles/profile.ts'
import type { Suite } from '../spec/algorithms.ts'
import type { ScVersion } from '../spec/versions.ts'
import {
  BODY_END, bodyPart, contextToken, derivedKeyToken, directReference, drawn, encryptedData, envelope, headerParts, hmacOf, ID_BYTES, type Ids, idsOf,
  type OutgoingMessage, referenceList, signature, signedInfo, suiteOf, timestampPart, unattachedReference,
} from './parts.ts'

export type { OutgoingMessage } from './parts.ts'

export interface SessionMessage extends OutgoingMessage {
  readonly encryptBody: boolean
  /** By default as the profile says. */
  readonly encryptSignature?: boolean
}
/** The key that a message is written with. */
export interface SessionToken {
  readonly identifier: string
  readonly instance?: string | undefined
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
export interface Protected { readonly xml: string; readonly signatureValue: Uint8Array }

const NONCE_BYTES = 16
const IV_BYTES = 16

/** A key of this message: what refers to it, and what is put in front of its use. */
interface MessageKey { readonly key: KeyObject; readonly reference: string; readonly token: string }

/** @throws {UsageError} the profile asks for what is not written: encryption before the signature, an unknown suite */
export function protect(message: SessionMessage, token: SessionToken, options: ProtectOptions): Protected {
  const { profile, now } = options
  if (profile.order !== 'sign-before-encrypt') throw new UsageError('ERR_USAGE_ORDER', 'messages are written signed before encrypted')
  const suite = suiteOf(profile)
  const method = hmacOf(profile)
  const encryptSignature = message.encryptSignature ?? profile.encryptSignature
  const encrypts = message.encryptBody || encryptSignature
  // D21: one draw of chance for the whole message.
  const random = drawn(options.random, ID_BYTES + 2 * NONCE_BYTES + 2 * IV_BYTES)
  const ids = idsOf(random)

  const context = options.role === 'initiator' ? directReference(`#${ids('sct')}`, token.sc.sct) : unattachedReference(token, token.sc)
  const signing = messageKey('dk-sig', suite.signatureKeyBytes, { token, context, ids, random, profile })
  const timestamp = timestampPart(ids, now)
  const headers = headerParts(message.headers, ids)
  const body = bodyPart(message.soap, message.body, ids)
  // D9, RSP R0560: every header that says something, the Timestamp and the Body stand under one signature.
  const info = signedInfo(method, suite.digest, [timestamp, ...headers, body])
  const signatureValue = hmac(method.hash, signing.key, info)
  const signed = signature(ids('sig'), info, signatureValue, signing.reference)

  // WSS 1.0 §5: a token stands before its first use, a ReferenceList before what it lists.
  const tokens = `${timestamp.text}${options.role === 'initiator' ? contextToken(token, token.sc, ids('sct')) : ''}${signing.token}`
  if (!encrypts) return { xml: envelope(message, headers, tokens + signed, body.sent), signatureValue }

  const encrypting = messageKey('dk-enc', suite.cipher.keyBytes, { token, context, ids, random, profile })
  const seal = (id: string, type: 'content' | 'element', plain: string): string => sealed(id, type, plain, { suite, encrypting, random })
  const bodyText = message.encryptBody ? `${body.open}${seal(ids('ed-body'), 'content', body.content)}${BODY_END}` : body.sent
  const signatureText = encryptSignature ? seal(ids('ed-sig'), 'element', signed) : signed
  const list = referenceList([...(message.encryptBody ? [ids('ed-body')] : []), ...(encryptSignature ? [ids('ed-sig')] : [])])
  return { xml: envelope(message, headers, `${tokens}${encrypting.token}${list}${signatureText}`, bodyText), signatureValue }
}

interface KeySource { readonly token: SessionToken; readonly context: string; readonly ids: Ids; readonly random: RandomSource; readonly profile: Profile }
function messageKey(word: string, length: number, { token, context, ids, random, profile }: KeySource): MessageKey {
  if (!profile.derivedKeys) return { key: token.secret, reference: context, token: '' }
  const nonce = random.bytes(NONCE_BYTES)
  const key = deriveKey({ secret: token.secret, nonce, offset: 0, length })
  return { key, reference: directReference(`#${ids(word)}`, token.sc.dk), token: derivedKeyToken(token.sc, ids(word), context, length, nonce) }
}

function sealed(id: string, type: 'content' | 'element', plain: string, keys: { readonly suite: Suite; readonly encrypting: MessageKey; readonly random: RandomSource }): string {
  const { suite, encrypting, random } = keys
  return encryptedData(id, type, suite.cipher, encrypting.reference, encrypt(suite.cipher, encrypting.key, random, plain))
}
