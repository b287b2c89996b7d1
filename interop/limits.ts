/**
 * What is switched off, each with its reason: combinations that mean nothing, and what a peer does not do. The rest is run.
 *
 * @module
 */
import type { Cell, Limit, Role } from './cells.ts'
import type { Stack } from './peer.ts'

/** Combinations that the specifications do not have, or in which a choice changes nothing. */
const MEANINGLESS: readonly Limit[] = [
  { when: { rm: '1.1', addressing: '200408' }, reason: 'RM 1.1 is defined on WS-Addressing 1.0' },
  { when: { rm: '1.0', endpoint: 'make-connection' }, reason: 'WS-MakeConnection came with RM 1.1' },
  { when: { protection: 'transport', bootstrap: ['x509', 'usernameForCertificate', 'usernameForCertificateEndorsing'] }, reason: 'the transport profile is TLS, and so is its token exchange' },
  { when: { protection: 'transport', order: 'encrypt-before-sign' }, reason: 'in the transport profile TLS encrypts' },
  { role: 'client', when: { protection: 'transport', endpoint: 'address' }, reason: 'in the transport profile answers are not signed: at the address of a client nothing says whose they are' },
  { role: 'service', when: { signatureConfirmation: true, endpoint: 'address' }, reason: 'what is sent to the address of a client is no answer to one message, and confirms no signature' },
  { when: { protection: 'transport', encryptSignature: true }, reason: 'in the transport profile TLS encrypts' },
]

const METRO: readonly Limit[] = [
  { peer: 'metro', when: { suite: 'Basic256GCM' }, reason: 'Metro has no suite with GCM' },
  { peer: 'metro', when: { endpoint: 'address' }, reason: 'a Metro client does not listen, its service does not send to an address' },
  { peer: 'metro', role: 'client', when: { order: 'encrypt-before-sign', encryptSignature: true, signatureConfirmation: true }, reason: 'the confirmations of a Metro service are not taken there' },
  { peer: 'metro', role: 'service', when: { bootstrap: 'usernameForCertificateEndorsing', encryptSignature: true, order: 'encrypt-before-sign' }, reason: 'the endorsing signature of a Metro client is not taken there' },
  { peer: 'metro', role: 'service', when: { derivedKeys: false, suite: ['Basic192', 'Basic128', 'Basic128Sha256'] }, reason: 'a Metro client asks for a key of 256 bits in every suite, and without derived keys uses it as that of a cipher of 256 bits' },
  { peer: 'metro', when: { encryptLifecycle: true, encryptSignature: false, order: 'sign-before-encrypt' }, reason: 'Metro encrypts messages of RM together with the signature, or before it' },
  { peer: 'metro', when: { protection: 'transport', encryptLifecycle: true }, reason: 'in the transport profile TLS encrypts' },
]
const CXF: readonly Limit[] = [
  { peer: 'cxf', when: { encryptLifecycle: false, protection: 'message' }, reason: 'its EncryptedParts hold for every Body, those of RM too' },
  { peer: 'cxf', when: { encryptLifecycle: false, protection: 'transport' }, reason: 'in the transport profile TLS encrypts' },
  { peer: 'cxf', role: 'client', when: { endpoint: 'address', shape: 'one-way' }, reason: 'a CXF service has no token for an acknowledgement that it sends by itself' },
  { peer: 'cxf', role: 'client', when: { endpoint: 'address', rm: '1.0' }, reason: 'a CXF service has no token for an acknowledgement that it sends by itself' },
  { peer: 'cxf', role: 'service', when: { endpoint: 'address', rm: '1.0' }, reason: 'a CXF client does not end its sequence when the acknowledgement of LastMessage comes to its address' },
  { peer: 'cxf', when: { protection: 'transport', includeToken: 'always' }, reason: 'a CXF client then wants replies endorsed by the token, which no service does in the transport profile' },
  { peer: 'cxf', role: 'service', when: { signatureConfirmation: true, network: 'lossy' }, reason: 'a CXF client that has repeated a message does not know its signature any more when the confirmation comes' },
  { peer: 'cxf', when: { endpoint: 'make-connection' }, reason: 'CXF has no MakeConnection' },
]
const SANDESHA2: readonly Limit[] = [
  { peer: 'sandesha2', when: { encryptLifecycle: false }, reason: 'its EncryptedParts hold for every Body, those of RM too' },
  { peer: 'sandesha2', when: { suite: 'Basic256GCM' }, reason: 'Rampart 1.6 has no suite with GCM' },
  { peer: 'sandesha2', when: { suite: 'Basic192', protection: 'message' }, reason: 'WSS4J 1.6 does not accept AES-192' },
  { peer: 'sandesha2', when: { order: 'encrypt-before-sign', encryptSignature: true }, reason: 'the two sides do not agree on what stands encrypted in the Security header' },
  { peer: 'sandesha2', role: 'service', when: { rm: '1.1', endpoint: 'anonymous' }, reason: 'in RM 1.1 a Sandesha2 client that does not listen asks by MakeConnection' },
  { peer: 'sandesha2', role: 'client', when: { order: 'encrypt-before-sign', derivedKeys: false, includeToken: 'requests' }, reason: 'answers of Rampart 1.6 refer to a token that they do not carry' },
  { peer: 'sandesha2', role: 'service', when: { protection: 'transport', endpoint: 'address' }, reason: 'the place where its client listens is not under TLS' },
  { peer: 'sandesha2', role: 'client', when: { order: 'encrypt-before-sign', derivedKeys: true, bootstrap: ['usernameForCertificate', 'usernameForCertificateEndorsing'] }, reason: 'answers of Rampart 1.6 to the token request then refer to a token that they do not carry' },
  { peer: 'sandesha2', role: 'service', when: { protection: 'message', derivedKeys: false, includeToken: 'requests' }, reason: 'without derived keys a Rampart 1.6 client reads only answers that carry the token: its preset says so' },
  { peer: 'sandesha2', role: 'service', when: { protection: 'transport', derivedKeys: true }, reason: 'a Rampart 1.6 client does not sign with a key derived from an endorsing token' },
  { peer: 'sandesha2', role: 'service', when: { order: 'encrypt-before-sign', bootstrap: ['usernameForCertificate', 'usernameForCertificateEndorsing'] }, reason: 'a Rampart 1.6 client then gives one id to two elements' },
  { peer: 'sandesha2', role: 'service', when: { derivedKeys: false, bootstrap: ['usernameForCertificate', 'usernameForCertificateEndorsing'], suite: ['Basic256', 'Basic256Sha256'] }, reason: 'a Rampart 1.6 client makes a key of 128 bits for its bootstrap in every suite' },
]
export const LIMITS: readonly Limit[] = [...MEANINGLESS, ...METRO, ...CXF, ...SANDESHA2]

/** What the network does not lose, or repeat before the first copy is answered (`race`), since nothing of ours or theirs could make it good. */
interface Spared { readonly peer?: Stack; readonly role?: Role; readonly action: RegExp; readonly what?: 'request' | 'response' | 'race'; readonly when?: { readonly [K in 'shape' | 'endpoint']?: Cell[K] }; /** What they are, in words. */ readonly name: string; readonly reason: string }
export const SPARED: readonly Spared[] = [
  { peer: 'metro', role: 'service', action: /\/RST\/SCT/, name: 'the token exchange', reason: 'a Metro client gives its conversation up at once when its token exchange is lost' },
  { peer: 'metro', role: 'client', action: /\/CreateSequence$/, what: 'race', name: 'a second copy of CreateSequence, until the first is answered', reason: 'to Metro its Offer is known already' },
  { peer: 'metro', role: 'client', action: /\/LastMessage$/, name: 'LastMessage and its answer', reason: 'Metro takes the first copy alone; our client ends without the answer after eight tries' },
  { peer: 'metro', role: 'service', action: /\/MakeConnection$/, name: 'polls and what answers them', reason: 'a Metro client has one try at each' },
  { peer: 'sandesha2', role: 'service', action: /\/RST\/SCT/, name: 'the token exchange', reason: 'a Sandesha2 client asks once; what its HTTP client then repeats is the same message, which is refused as a replay' },
  { peer: 'sandesha2', role: 'client', action: /\/RST\/SCT|\/CreateSequence$/, what: 'race', name: 'second copies of the token exchange and of CreateSequence, until the first is answered', reason: 'two copies at the same moment are two requests to it: one of two gets no token, or no sequence for its replies' },
  { peer: 'cxf', role: 'service', action: /\/RST\/SCT|\/CreateSequence$|\/(?:Close|Terminate)Sequence$|\/(?:LastMessage|SequenceAcknowledgement)$/, name: 'the token exchange, and messages of RM without an application\'s Body', reason: 'a CXF client sends them once' },
  { peer: 'cxf', role: 'service', action: /\/Echo$/, what: 'response', when: { endpoint: 'address' }, name: 'the 202 for a request whose reply goes to its address', reason: 'a CXF client that has not seen it may wait for nothing more' },
  { peer: 'cxf', role: 'client', action: /\/Echo$/, what: 'response', when: { shape: 'request' }, name: 'replies', reason: 'CXF does not give a reply again; that our client says so is a case of its own' },
  { peer: 'cxf', role: 'client', action: /\/(?:Echo|Note)$/, what: 'race', name: 'second copies, until the first is answered', reason: 'two copies at the same moment are two messages to it, or the reply goes to the copy that nobody waits for' },
]
export const isSpared = (cell: Cell, action: string, what: 'request' | 'response' | 'race'): boolean => SPARED.some((each) =>
  (each.peer ?? cell.peer) === cell.peer && (each.role ?? cell.role) === cell.role && (each.what ?? what) === what &&
  (each.when?.shape ?? cell.shape) === cell.shape && (each.when?.endpoint ?? cell.endpoint) === cell.endpoint && each.action.test(action))

/** Where a stack promises its application no more than that a message comes at least once. */
export const repeats = ({ peer, rm }: Pick<Cell, 'peer' | 'rm'>): boolean => peer === 'cxf' && rm === '1.0'
