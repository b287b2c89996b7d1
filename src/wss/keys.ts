/**
 * What opening and protecting a message are given: keys by the names that a message uses for them, and the policy to hold it to.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import type { Certificate } from '../crypto/certificate.ts'
import type { Limits } from '../options.ts'
import type { ContextSecret } from '../sct/token.ts'
import type { Element, QName } from '../xml/tree.ts'
import type { SoapVersion } from '../spec/versions.ts'

export type { Certificate } from '../crypto/certificate.ts'

export interface Keys {
  /** Every instance of the context that may be believed, the newest last; empty when the context is unknown. */
  contexts(identifier: string): readonly ContextSecret[]
  /** Certificates that a message may refer to by thumbprint, SKI or issuer and serial. */
  readonly certificates: readonly Certificate[]
  /** Private keys that an EncryptedKey may be meant for. */
  readonly privateKeys: readonly KeyObject[]
  /** The key of an EncryptedKey of an earlier message, by base64 of the SHA-1 of its CipherValue octets. */
  encryptedKey(sha1: string): KeyObject | undefined
  /** Password of a user whose UsernameToken is to be checked here; absent: the claim is handed out unchecked. */
  password?(user: string): string | undefined
}

/** How much must be covered: POLICY.json's LEVEL. */
export type Level = 'headers' | 'body' | 'transport'
export interface Policy {
  readonly level: Level
  /** Algorithm URIs allowed; absent: every algorithm that has a row. */
  readonly algorithms?: ReadonlySet<string>
  /** The Body must have been encrypted. */
  readonly encryptBody: boolean
  /** Who must have signed: a security context, a bootstrap credential, or either. Under `transport` a message without a signature passes unless it is `context`. */
  readonly signer: 'context' | 'bootstrap' | 'any'
  /** Created may lie this far in the future, Expires this far in the past; and how long a message lives at most after Created. */
  readonly skewMs: number
  readonly lifeMs: number
  readonly limits: Limits
}

/** Whose key made a signature. */
export type Signer =
  | { readonly kind: 'context'; readonly identifier: string; readonly instance: string | undefined }
  | { readonly kind: 'certificate'; readonly certificate: Certificate }
  | { readonly kind: 'encrypted-key'; readonly sha1: string; readonly key: KeyObject }

/** A SOAP message as it was read: shape checked, nothing believed. */
export interface Envelope {
  readonly soap: SoapVersion
  readonly root: Element
  readonly header: Element | undefined
  readonly body: Element
  /** The one Security header for the ultimate receiver. */
  readonly security: Element | undefined
  /** Elements by id attribute value. */
  readonly ids: ReadonlyMap<string, Element>
  /** Names of the keys that opening it will ask for. */
  readonly wanted: { readonly contexts: readonly string[]; readonly encryptedKeySha1: readonly string[] }
}

export interface UserClaim { readonly name: string; /** PasswordText, or undefined when a digest was checked. */ readonly password?: string; readonly checked: boolean }

declare const proof: unique symbol
/**
 * A message whose signature, references, coverage and freshness were checked under a policy. Only `wss/open` makes it.
 * Who the signer is stands here; whether he is trusted is decided after (`authenticate`, or the token's owner).
 */
export interface Opened {
  readonly [proof]: true
  readonly envelope: Envelope
  /** Maker of the primary signature; undefined under a transport policy for a message without signature. */
  readonly signer: Signer | undefined
  /** Makers of signatures over the primary signature. */
  readonly endorsers: readonly Signer[]
  readonly user: UserClaim | undefined
  /** The very elements that the primary signer's references resolved to; under `transport` the Timestamp, at most. */
  readonly covered: ReadonlySet<Element>
  /** What was encrypted, by the names of the elements revealed, or whose content was. */
  readonly encrypted: readonly QName[]
  /** Names of what was revealed inside each: `Body:CreateSequence`, `element in Security:Signature`. */
  readonly encryptedParts: readonly string[]
  /** Decoded SignatureValue of the primary signature, then of the others. */
  readonly signatureValues: readonly Uint8Array[]
  /** Values of SignatureConfirmation (base64), '' for one without Value. */
  readonly confirmations: readonly string[]
  /** Keys of EncryptedKeys in this message, by SHA-1 name: what a reply may refer to. */
  readonly encryptedKeys: ReadonlyMap<string, KeyObject>
  /** `expires`: from then on this very message is not opened any more (Expires or Created + lifeMs, whichever is first, and the skew). */
  readonly timestamp: { readonly created: number; readonly expires: number } | undefined
  readonly level: Level
}
