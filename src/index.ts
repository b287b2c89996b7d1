/**
 * ws-reliablemessaging: WS-ReliableMessaging whose sequences are scoped to a WS-SecureConversation security context token.
 *
 * @module
 */
export { connect, createClient, type Client, type ClientOptions, type ConnectOptions } from './client.ts'
export type { Conversation, SendOptions } from './conversation.ts'
export { createService, type Handler, type Service, type ServiceOptions } from './service.ts'
export {
  certificateOverTls, type ClientBootstrap, type Identity, type ServiceBootstrap, type UnderCertificate, usernameForCertificate, usernameOverTls, type UserOptions, x509,
} from './bootstraps.ts'
export type { ClientListenOptions } from './inbox.ts'
export type { AllowedAddresses } from './outward.ts'
export type { PasswordOf } from './wss/authenticate.ts'
export type { Certificate, Trust } from './crypto/certificate.ts'
export { ApplicationFault, type Commit, type Message, type Outcome, type Reply, type SynchronousTx, type XmlBody } from './message.ts'
export { BASIC256_SHA1, type BootstrapProfile, DEFAULT_PROFILE, type Profile } from './profiles/profile.ts'
export { cxf, metro, sandesha2, was, wcf, wcfTransport } from './profiles/presets.ts'
export { type Limits, DEFAULT_LIMITS, type Wait } from './options.ts'
// The three parts, for those who embed.
export { SctManager, type PeerKey, type SctManagerOptions, type TokenStatus } from './sct/manager.ts'
export { SequenceEngine, type CloseReport, type LaneStatus, type MoveReport, type PendingMessage, type Ticket } from './rm/engine.ts'
export { createSerializer, type SctSerializer } from './serializer/serializer.ts'
export { Keyring, type KeyringKey, type KeyWrapper } from './serializer/keyring.ts'
export { MemoryStore, storeKey, type CommitResult, type LaneCommit, type Row, type Store, type Write } from './store/store.ts'
export type { Principal, SecurityContextToken, TokenId } from './sct/token.ts'
export type { ConversationEvents, ServiceEvents } from './observe.ts'
export type { DangerTap, WireEvent } from './tap.ts'
export type { HttpRequest, HttpResponse } from './transport/http.ts'
export type { ListenOptions, Listening } from './transport/http-server.ts'
export type { Clock } from './clock.ts'
export type { RandomSource } from './crypto/random.ts'
export type { XmlDocument, XmlNode } from './xml/dom.ts'
export {
  BootstrapFailed, DeliveryFailed, KeyMissing, PeerViolation, ReplyLost, SealBroken, SecurityFailure, SoapFault, StoreFailed, TimedOut, TransportFailed, UnknownVersion, UsageError, WsrmError, XmlError,
} from './errors.ts'
