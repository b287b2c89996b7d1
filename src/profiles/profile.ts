/**
 * The choices that go on the wire, as plain data: versions, algorithms, order of protection, habits. A preset can be spread and changed.
 *
 * @module
 */
import type { SuiteName } from '../spec/algorithms.ts'

export interface Profile {
  readonly soap: '1.1' | '1.2'
  readonly addressing: '200508' | '200408'
  readonly rm: '1.0' | '1.1'
  readonly sc: '200512' | '200502'
  readonly suite: SuiteName
  /** The MAC under the SCT: a field of its own, since stacks read `*Sha256` differently. */
  readonly hmac: 'hmac-sha1' | 'hmac-sha256'
  readonly rsa: 'rsa-sha1' | 'rsa-sha256'
  /** Derived keys for each message (WS-SC 1.3 §7); false: the SCT's secret itself signs and encrypts. */
  readonly derivedKeys: boolean
  readonly order: 'sign-before-encrypt' | 'encrypt-before-sign'
  readonly encryptSignature: boolean
  /** Bodies of CreateSequence, Close, Terminate, their answers and stand-alone acknowledgements. */
  readonly encryptLifecycle: boolean
  /** How CreateSequence is scoped (D23). */
  readonly str: 'header' | 'body' | 'dangerOmit'
  /** Ask for an acknowledgement with every one-way message. */
  readonly ackRequestedOnOneWay: boolean
  /** Repeat a CreateSequence with the same Offer, or with a new one. */
  readonly offerOnRepeat: 'same' | 'new'
  /** Accepted beside what we write ourselves when a message is opened. */
  readonly accept: { readonly sha1: boolean }
}
/** Ours: SHA-256 everywhere, AES-256-CBC, which every stack can be set to (D17). */
export const DEFAULT_PROFILE: Profile = {
  soap: '1.2', addressing: '200508', rm: '1.1', sc: '200512',
  suite: 'Basic256Sha256', hmac: 'hmac-sha256', rsa: 'rsa-sha256',
  derivedKeys: true, order: 'sign-before-encrypt', encryptSignature: false, encryptLifecycle: false,
  str: 'header', ackRequestedOnOneWay: true, offerOnRepeat: 'same', accept: { sha1: false },
}
/** Basic256 as the stacks mean it: SHA-1 digests, HMAC-SHA1, RSA-SHA1. Named, because it weakens. */
export const BASIC256_SHA1: Profile = {
  ...DEFAULT_PROFILE, suite: 'Basic256', hmac: 'hmac-sha1', rsa: 'rsa-sha1', accept: { sha1: true },
}
