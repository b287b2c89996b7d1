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
  /** Of the parts that are signed; absent: the suite's. */
  readonly digest?: 'sha1' | 'sha256'
  /** Of application messages: by keys of the SCT, or by TLS, where the SCT signs the Timestamp (D16). */
  readonly protection: 'message' | 'transport'
  /** Derived keys for each message (WS-SC 1.3 §7); false: the SCT's secret itself signs and encrypts. */
  readonly derivedKeys: boolean
  /** Which of the two derived keys stands first. */
  readonly keyOrder: 'signature-first' | 'encryption-first'
  readonly order: 'sign-before-encrypt' | 'encrypt-before-sign'
  /** Of every message, or of those whose Body is encrypted. */
  readonly encryptSignature: boolean | 'with-body'
  /** WS-SecurityPolicy 1.2 §6.7: what is used stands behind what it needs; or the Timestamp stands last. */
  readonly layout: 'strict' | 'lax'
  /** A service: whether the action in the HTTP header must be that of the message. */
  readonly httpAction: 'checked' | 'ignored'
  /** Which messages carry the SCT itself; the others name it by its identifier. */
  readonly includeToken: 'requests' | 'always'
  /** Answers repeat the value of the signature that they answer (WSS 1.1 §7), and the client insists on it; of answers to token requests `bootstrap` may say another thing. */
  readonly signatureConfirmation: boolean
  /** Bodies of CreateSequence, Close, Terminate, their answers and stand-alone acknowledgements. */
  readonly encryptLifecycle: boolean
  /**
   * A service is sent CreateSequence, CloseSequence or TerminateSequence again byte for byte, as HTTP clients do that got no answer: refused as a replay,
   * or answered again. Its identifiers make it the same request, whoever sends it: nothing is made or ended twice.
   */
  readonly lifecycleCopies: 'refuse' | 'answer'
  /** Bodies of Cancel and its answer. */
  readonly encryptCancel: boolean
  readonly bootstrap: BootstrapProfile
  /** How CreateSequence is scoped (D23). */
  readonly str: 'header' | 'body' | 'dangerOmit'
  /** Where the client wants replies and acknowledgements: on the back-channel, in its mailbox (WS-MakeConnection), or at the address that it listens at. */
  readonly endpoint: 'anonymous' | 'make-connection' | 'address'
  /** What a service sends to the address of a client waits so long: whoever is answered there before the 202 for the request has come may miss it. */
  readonly addressDelayMs: number
  /** A service keeps the exchange of a request open so long for the reply, which else is had by asking again; absent: 15 s. */
  readonly holdReplyMs?: number
  /** Ask for an acknowledgement with every one-way message. */
  readonly ackRequestedOnOneWay: boolean
  /** Messages of one sequence that a client has under way at once, at most: 1 to `WIDEST`. Absent: as its timing says. */
  readonly window?: number
  /** Conversations of one client with one service share a token, or each has its own, and another one whenever it goes on on another sequence. */
  readonly contexts: 'shared' | 'one-each'
  /** Repeat a CreateSequence with the same Offer, or with a new one. */
  readonly offerOnRepeat: 'same' | 'new'
  /**
   * Codes (`{ns}local`, or the local name alone) of unprotected faults that this peer answers with when it does not know the context any more.
   * A hint, never a command (D9): it makes the client ask for a token anew, nothing else.
   */
  readonly contextLost: readonly string[]
  /** How a token lives longer: by a new key, or, at peers that give none, by another token and a new sequence under it. */
  readonly renewal: 'renew' | 'replace'
  /** Which key of the context endorses its renewals: the one in use (WS-SC 1.3 §5), or the one that it was issued with. */
  readonly renewalKey: 'current' | 'first'
  /** Accepted beside what we write ourselves when a message is opened. */
  readonly accept: { readonly sha1: boolean }
}

/** The exchange that establishes the token: its protection is apart from that of application messages. */
export interface BootstrapProfile {
  /** Absent: as the application's messages. */
  readonly addressing?: '200508' | '200408'
  /** A service: what of a token request must be signed, every addressing header too, or Body and Timestamp alone. Clients take no answer without all of it. */
  readonly accept: 'headers' | 'dangerBody'
  readonly order: 'sign-before-encrypt' | 'encrypt-before-sign'
  readonly encryptSignature: boolean
  /** Under X.509: the token of the signature stands first, or the EncryptedKey. */
  readonly keyOrder: 'signature-first' | 'encryption-first'
  /** Under a username: keys derived from the EncryptedKey, or that key itself. */
  readonly derivedKeys: boolean
  /** Of answers to token requests. Absent: as of the session's messages. Peer WCF: under a certificate that endorses it wants them here, and refuses them in the session. */
  readonly signatureConfirmation?: boolean
  /** Under X.509: which messages carry the certificate that signed them; the others name it. */
  readonly includeCertificate: 'requests' | 'always'
  /** Under X.509: how a certificate is named that does not stand in the message. */
  readonly certificateReference: 'thumbprint' | 'issuer-serial' | 'subject-key-identifier'
}

/** The widest `window`: as many as a service of ours keeps that came before their turn. */
export const WIDEST = 1_024

/** Ours: SHA-256 everywhere, AES-256-CBC, which every stack can be set to (D17). */
export const DEFAULT_PROFILE: Profile = {
  soap: '1.2', addressing: '200508', rm: '1.1', sc: '200512',
  suite: 'Basic256Sha256', hmac: 'hmac-sha256', rsa: 'rsa-sha256',
  protection: 'message', derivedKeys: true, keyOrder: 'signature-first', order: 'sign-before-encrypt', encryptSignature: false, layout: 'strict', httpAction: 'checked',
  includeToken: 'requests', signatureConfirmation: false, encryptLifecycle: false, lifecycleCopies: 'refuse', encryptCancel: false,
  bootstrap: { accept: 'headers', order: 'sign-before-encrypt', encryptSignature: false, keyOrder: 'signature-first', derivedKeys: false, includeCertificate: 'always', certificateReference: 'thumbprint' },
  str: 'header', endpoint: 'anonymous', addressDelayMs: 0, ackRequestedOnOneWay: true, contexts: 'shared', offerOnRepeat: 'same',
  contextLost: ['BadContextToken', 'UnsupportedContextToken', 'SecuritySessionAborted'], renewal: 'renew', renewalKey: 'current', accept: { sha1: false },
}
/** Basic256 as the stacks mean it: SHA-1 digests, HMAC-SHA1, RSA-SHA1. Named, because it weakens. */
export const BASIC256_SHA1: Profile = {
  ...DEFAULT_PROFILE, suite: 'Basic256', hmac: 'hmac-sha1', rsa: 'rsa-sha1', accept: { sha1: true },
}
