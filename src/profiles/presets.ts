/**
 * One preset for each stack: what it writes and takes when it is set up as its users do. Plain data, each choice with its evidence; spread
 * one and change what differs. `docs/peers.md` has the versions that these were seen with.
 *
 * @module
 */
import { BASIC256_SHA1, type Profile } from './profile.ts'

/** Apache CXF 4 with WSS4J. Seen live. */
export const cxf: Profile = {
  ...BASIC256_SHA1,
  // Seen: its policy asks for an encrypted Body, and RM bodies are Bodies.
  encryptLifecycle: true, encryptCancel: true,
  // Seen: UsesSequenceSTR as a mandatory header is not understood; the reference in the Body is accepted.
  str: 'body',
  // Seen: EncryptedKey in front of the certificate, which answers name by its thumbprint.
  bootstrap: { ...BASIC256_SHA1.bootstrap, keyOrder: 'encryption-first', includeCertificate: 'requests' },
  // Seen: unknown and expired contexts are answered by one fault, which is also that of every other failed check.
  contextLost: ['{http://ws.apache.org/wss4j}SecurityError'],
  // Seen: its client takes an answer without a reply for an empty reply, and waits for one 60 s.
  holdReplyMs: 120_000,
  // Seen: for a client whose reply was at its address before the 202 for the request, there is none.
  addressDelayMs: 100,
}
/** Eclipse Metro 4. Seen live. */
export const metro: Profile = {
  ...BASIC256_SHA1,
  // Seen: RM bodies are clear, and encrypted ones are refused unless EncryptRMLifecycleMessage is set; Cancel is clear in either case.
  encryptLifecycle: false,
  // Seen: the HTTP client of the JDK sends the same bytes again when its connection breaks, unless it is told not to.
  lifecycleCopies: 'answer',
  // Seen: what has a Body in clear has its signature in clear too, also where its policy asks for an encrypted one.
  encryptSignature: false,
  // Seen: one-way messages are acknowledged only when that is asked for.
  ackRequestedOnOneWay: true,
  // Seen: a CreateSequence with an Offer that is known already is refused.
  offerOnRepeat: 'new',
  // Seen: certificates by issuer and serial number, also that of an answer.
  bootstrap: { ...BASIC256_SHA1.bootstrap, includeCertificate: 'requests', certificateReference: 'issuer-serial' },
  // Seen: after a restart every message is answered so.
  contextLost: ['InvalidSecurity'],
  // Seen: its client endorses each renewal with the first key, in the name of the instance in use; its service takes no other key for the second one.
  renewalKey: 'first',
}
/** Apache Axis2 with Sandesha2 and Rampart. Seen live. */
export const sandesha2: Profile = {
  ...BASIC256_SHA1,
  // Seen: every Body is encrypted, empty ones too.
  encryptLifecycle: true, encryptCancel: true,
  // Seen: the HTTP client below it sends the same bytes again when its connection breaks.
  lifecycleCopies: 'answer',
  // Seen: repeated requests in whose HTTP header stands the action of another message.
  httpAction: 'ignored',
  // Seen: DerivedKeyToken for encryption, ReferenceList, then the one for the signature.
  keyOrder: 'encryption-first',
  // Seen: answers carry the token too.
  includeToken: 'always',
  // Seen: EncryptedKey in front of the certificate, which answers name by issuer and serial number; and a client whose token requests are in another
  // version of WS-Addressing than its policy names, so that their addressing headers are not signed.
  bootstrap: { ...BASIC256_SHA1.bootstrap, accept: 'dangerBody', keyOrder: 'encryption-first', includeCertificate: 'requests', certificateReference: 'issuer-serial' },
  // Seen: a CreateSequence that comes again with the Offer that it had is refused, or its replies are not sent.
  offerOnRepeat: 'new',
  // Seen: the fault of a message under a context that is not known.
  contextLost: ['InvalidSecurity'],
  // Seen: Renew is answered by ActionNotSupported.
  renewal: 'replace',
}
/**
 * What holds for WCF in either way of protection. By its source: the ordered request-reply channel of a service takes a message only when it is the next
 * one, and drops what comes before its turn without an acknowledgement. Two that leave at the same moment on two connections come in either order, and
 * the one that was dropped leaves again after 2 s: one round trip for each message is faster than any window in which that happens now and then. By its
 * source, too: a sequence pair takes the whole secure conversation; a CreateSequence with another Offer under the same token makes none, and ends the first.
 */
const SESSIONS = { window: 1, contexts: 'one-each' } as const
/** WCF of .NET Framework, message security, as its WS2007HttpBinding has it (RM 1.1, SC 1.3). */
export const wcf: Profile = {
  ...BASIC256_SHA1, ...SESSIONS,
  // By its source: bodies of RM are signed and not encrypted, and encrypted ones are taken; the signature is encrypted only where the Body is. Faults with an
  // action of WS-Addressing and those of RM 1.0 are expected encrypted: what is needed is always there, and the surplus is accepted.
  encryptSignature: true, encryptLifecycle: true, encryptCancel: true,
  // By its source: RequireDerivedKeys is the default of the service's certificate too, so that keys are derived from the EncryptedKey. Confirmations are
  // wanted under a certificate that endorses, and refused under a user: the preset writes none.
  bootstrap: { ...BASIC256_SHA1.bootstrap, encryptSignature: true, derivedKeys: true },
}
/** .NET Framework services and .NET clients (dotnet/wcf) under TLS: the SCT signs the Timestamp alone. By its source: no derived keys. */
export const wcfTransport: Profile = { ...BASIC256_SHA1, ...SESSIONS, protection: 'transport', derivedKeys: false }
/** IBM WebSphere: its engine is a relative of Sandesha2; by its documentation an encrypted Body and signature. */
export const was: Profile = {
  ...sandesha2, encryptSignature: true, renewal: 'renew',
  // Unsigned headers in token requests were seen with Sandesha2 alone.
  bootstrap: { ...sandesha2.bootstrap, accept: 'headers' },
}
