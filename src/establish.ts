/**
 * The client's side of the token's exchanges: RST/SCT and Renew under the bootstrap of a line, Cancel under the token itself; and what an answer
 * must prove before a token comes of it.
 *
 * @module
 */
import type { ClientBootstrap } from './bootstraps.ts'
import type { Clock } from './clock.ts'
import { notConfirmed } from './confirmations.ts'
import { type Certificate, checkTrust, type Trust } from './crypto/certificate.ts'
import { type RandomSource, urnUuid } from './crypto/random.ts'
import { BootstrapFailed, FAULTS, SecurityFailure, SoapFault } from './errors.ts'
import type { Gate, OwnKeys } from './gate.ts'
import type { Limits } from './options.ts'
import type { Profile } from './profiles/profile.ts'
import type { Established } from './sct/requestor.ts'
import { currentInstance, type Principal, type SecurityContextToken, type TokenInstance, type TokenRequest } from './sct/token.ts'
import { writeAddressing } from './soap/addressing.ts'
import { readTokenResponse, trustAction, writeTokenRequest } from './soap/trust.ts'
import type { PostAnswer } from './transport/http-client.ts'
import type { ClientTls } from './transport/tls.ts'
import { answerPolicy, bootstrapPolicy, encodeUnderToken, hintedFault, mustUnderstand, readCovered, type Written } from './wire.ts'
import { type Versions, versionsOf } from './profiles/versions.ts'
import { authenticate } from './wss/authenticate.ts'
import { type BootstrapCredentials, confirmsRequests, protectBootstrap } from './wss/bootstrap.ts'
import type { Envelope, Opened } from './wss/keys.ts'
import { read } from './wss/open.ts'
import type { SessionToken } from './wss/protect.ts'

/** How a peer is spoken to about its tokens. */
export interface Line {
  readonly url: string
  readonly bootstrap: ClientBootstrap
  readonly trust: Trust
  readonly profile: Profile
  readonly own: OwnKeys
  readonly tls: ClientTls | undefined
}
export interface EstablisherOptions {
  readonly gate: Gate
  readonly clock: Clock
  readonly random: RandomSource
  readonly limits: Limits
  post(line: Line, written: Written, signal: AbortSignal): Promise<PostAnswer>
  /** The instance of a token to write with. */
  writing(token: SecurityContextToken): TokenInstance
}

export class Establisher {
  readonly #own: EstablisherOptions
  /** Certificates of services that proved to have them, by thumbprint. */
  readonly #proven = new Map<string, Certificate>()
  constructor(options: EstablisherOptions) { this.#own = options }

  /** RST/SCT, or Renew. D23: a renewal is repeated with the same MessageID, for which the recipient has kept the answer. */
  async establish(line: Line, request: TokenRequest, signal: AbortSignal, renewal?: { readonly token: SecurityContextToken; readonly messageId: string }): Promise<Established> {
    const { profile, bootstrap } = line
    const { gate, clock, random, limits } = this.#own
    const versions = bootstrapVersions(profile)
    // Whoever opens the request has the user's password: who that may be is asked before it is written.
    if (bootstrap.kind === 'usernameForCertificate') await checkTrust(bootstrap.service, line.trust, clock.now(), signal)
    const action = trustAction(request.sc, request.kind, 'request')
    const messageId = renewal?.messageId ?? urnUuid(random)
    const headers = writeAddressing({ action, to: line.url, messageId, replyTo: 'anonymous' }, versions.addressing, versions.soap)
    const message = { soap: versions.soap, headers, body: [writeTokenRequest(request)] }
    const endorse = renewal === undefined ? undefined : sessionToken(renewal.token, profile.renewalKey)
    const { xml, key, signatureValues } = protectBootstrap(message, credentialsOf(bootstrap), { profile, now: clock.now(), random, endorse })
    const answer = await this.#own.post(line, { xml, action, soap: versions.soap }, signal)
    const isUnderTls = isOverTls(bootstrap)
    const envelope = this.#protectedAnswer(answer, request.kind, isUnderTls)
    const own = key === undefined ? line.own : { ...line.own, encryptedKeys: new Map([[key.sha1, key.key]]) }
    const opened = await gate.open(envelope, own, bootstrapPolicy({ profile, limits, isUnderTls }))
    mustUnderstand(opened)
    mustConfirm(opened, signatureValues, profile)
    const addressing = readCovered(opened)
    // S10: the answer to this very request, once.
    if (addressing.relatesTo !== messageId || addressing.action !== trustAction(request.sc, request.kind, 'response')) throw new BootstrapFailed('ERR_BOOTSTRAP_UNRELATED', 'the answer belongs to another request')
    if (gate.mark(opened, 'bootstrap') === 'seen') throw new SecurityFailure('ERR_WSS_REPLAY', 'this very answer was seen before', FAULTS.failedCheck)
    const principal = await this.#principalOf(opened, line, key, signal)
    const [element] = opened.envelope.body.elements()
    if (element === undefined) throw new BootstrapFailed('ERR_BOOTSTRAP_EMPTY', 'the answer has an empty Body')
    return { response: readTokenResponse(element, request.kind), principal }
  }

  async cancel(line: Line, token: SecurityContextToken, request: TokenRequest, signal: AbortSignal): Promise<void> {
    const { gate, clock, random, limits } = this.#own
    const { profile } = line
    const action = trustAction(token.sc, 'cancel', 'request')
    const messageId = urnUuid(random)
    const parts = { action, headers: [], body: [writeTokenRequest(request)], declarations: {} }
    const written = encodeUnderToken(parts, { to: line.url, messageId }, token, { profile, role: 'initiator', instance: this.#own.writing(token), now: clock.now(), random, limits, encryptBody: profile.encryptCancel })
    const envelope = this.#protectedAnswer(await this.#own.post(line, written, signal), 'cancel', profile.protection === 'transport')
    // The answer is the last message under the token, which has ended here already.
    const opened = await gate.open(envelope, line.own, answerPolicy({ profile, limits }), 'remembered')
    const addressing = readCovered(opened)
    // D9: under TLS the exchange that the token's signature opened is the proof.
    const isOurs = opened.signer === undefined ? opened.level === 'transport' : opened.signer.kind === 'context' && opened.signer.identifier === token.id
    if (addressing.relatesTo !== messageId || !isOurs) throw new BootstrapFailed('ERR_BOOTSTRAP_UNRELATED', 'the answer belongs to another request')
    const [element] = opened.envelope.body.elements()
    if (element === undefined) throw new BootstrapFailed('ERR_BOOTSTRAP_EMPTY', 'the answer has an empty Body')
    readTokenResponse(element, 'cancel')
  }

  /** A token that was there already was had from somebody whom another call trusted, perhaps in another process: this line has its own word. */
  async mustTrust(token: SecurityContextToken | undefined, line: Line, signal: AbortSignal | undefined): Promise<void> {
    const { bootstrap, trust } = line
    const principal = token?.principal
    if (principal?.kind === 'host') {
      // TLS asks again whom it speaks to, at each connection.
      if (isOverTls(bootstrap) && principal.name === hostOf(line)) return
      throw new BootstrapFailed('ERR_WSS_UNTRUSTED', 'the token was had from another host')
    }
    mustBeNamed(principal, line)
    const thumbprint = principal?.kind === 'certificate' ? principal.thumbprint : ''
    const service = 'service' in bootstrap ? bootstrap.service : undefined
    const certificate = thumbprint === service?.sha256 ? service : this.#proven.get(thumbprint)
    if (certificate !== undefined) return checkTrust(certificate, trust, this.#own.clock.now(), signal)
    const isPinned = 'pins' in trust && trust.pins.some((pin) => pin.replaceAll(/[:\s]/g, '').toLowerCase() === thumbprint)
    // A certificate of an earlier process that is not the named one is known by its thumbprint only: enough for a pin, nothing to show to `verify`.
    if (!isPinned && !('verify' in trust)) throw new BootstrapFailed('ERR_WSS_UNTRUSTED', 'the token was had from a service that is not trusted here')
  }

  /** Who the service proved to be: by its signature, by having opened the key that was encrypted for it, or by TLS. */
  async #principalOf(opened: Opened, line: Line, key: { readonly sha1: string } | undefined, signal: AbortSignal): Promise<Principal> {
    const { bootstrap, trust } = line
    const now = this.#own.clock.now()
    if (isOverTls(bootstrap)) return { kind: 'host', name: hostOf(line) }
    if (bootstrap.kind === 'usernameForCertificate') {
      const { signer } = opened
      if (signer?.kind !== 'encrypted-key' || signer.sha1 !== key?.sha1) throw new SecurityFailure('ERR_WSS_SIGNER', 'the answer is not signed with the key that was encrypted for the service', FAULTS.failedCheck)
      return { kind: 'certificate', thumbprint: bootstrap.service.sha256, subject: bootstrap.service.subject }
    }
    const principal = await authenticate(opened, { kind: 'x509', trust }, { now, signal })
    mustBeNamed(principal, line)
    if (opened.signer?.kind === 'certificate') this.#proven.set(opened.signer.certificate.sha256, opened.signer.certificate)
    return principal
  }

  /** The envelope of an answer that must be protected; a fault without protection ends the request with what it says (D9: it is a hint, and the request has failed in any case). */
  #protectedAnswer(answer: PostAnswer, kind: string, isUnderTls: boolean): Envelope {
    if (answer.body.length === 0) {
      // 4xx says that the request is at the wrong place, or is no request for it: asking again changes nothing.
      const { status } = answer
      const isOurs = status >= 400 && status < 500 && status !== 408 && status !== 429
      const hint = isOurs ? ': no such service there? Look at the path of the URL' : ''
      throw new BootstrapFailed('ERR_BOOTSTRAP_NO_ANSWER', `the request for a token (${kind}) was answered with HTTP ${status} and no message${hint}`, { retryable: !isOurs })
    }
    const envelope = read(answer.body, this.#own.limits)
    const fault = envelope.security === undefined || isUnderTls ? hintedFault(envelope) : undefined
    if (fault !== undefined) throw new SoapFault(fault)
    if (envelope.security !== undefined || isUnderTls) return envelope
    throw new SecurityFailure('ERR_WSS_UNPROTECTED', 'the answer is not protected', FAULTS.failedCheck)
  }
}

/** WSS 1.1 §7: where it was agreed on, an answer repeats the values of the signatures that it answers, under its own signature. */
function mustConfirm(opened: Opened, signatureValues: readonly Uint8Array[] | undefined, profile: Profile): void {
  if (!confirmsRequests(profile)) return
  const missing = (signatureValues ?? []).some((value) => !opened.confirmations.includes(Buffer.from(value).toString('base64')))
  if (missing) throw notConfirmed()
}

/**
 * An authority says whom it vouches for, not who of them the service is: that is who the request was encrypted for. Pins and `verify` say it
 * themselves.
 */
function mustBeNamed(principal: Principal | undefined, { bootstrap, trust }: Line): void {
  if (!('authorities' in trust)) return
  if ('service' in bootstrap && principal?.kind === 'certificate' && principal.thumbprint === bootstrap.service.sha256) return
  throw new SecurityFailure('ERR_WSS_UNTRUSTED', 'the service answered with another certificate than the one that the request was encrypted for', FAULTS.failedAuthentication)
}

/** Peer Sandesha2: its token service speaks another version of WS-Addressing than its applications. */
const bootstrapVersions = (profile: Profile): Versions => versionsOf({ ...profile, addressing: profile.bootstrap.addressing ?? profile.addressing })
export const isOverTls = ({ kind }: ClientBootstrap): boolean => kind === 'usernameOverTls' || kind === 'certificateOverTls'
const hostOf = ({ url }: Line): string => new URL(url).host

/** Who we are to the peer: the name of the credentials. */
export function principalOf(bootstrap: ClientBootstrap): string {
  switch (bootstrap.kind) {
    case 'x509': return `x509:${bootstrap.certificate.sha256}`
    case 'usernameForCertificate': return `user:${bootstrap.endorsing?.certificate.sha256 ?? ''}:${bootstrap.user?.name ?? ''}`
    case 'usernameOverTls': return `tls-user:${bootstrap.user.name}`
    case 'certificateOverTls': return `tls-x509:${bootstrap.credentials?.certificate.sha256 ?? 'dispatcher'}`
  }
}
/** What a message from the peer may be meant for. */
export function ownKeysOf(bootstrap: ClientBootstrap): OwnKeys {
  switch (bootstrap.kind) {
    case 'x509': return { certificates: [bootstrap.certificate, bootstrap.service], privateKeys: [bootstrap.key] }
    case 'usernameForCertificate': return { certificates: [bootstrap.service], privateKeys: [] }
    default: return { certificates: [], privateKeys: [] }
  }
}
function credentialsOf(bootstrap: ClientBootstrap): BootstrapCredentials {
  switch (bootstrap.kind) {
    case 'x509': return { kind: 'x509', role: 'initiator', own: bootstrap, peer: bootstrap.service }
    case 'usernameForCertificate': return { kind: 'fresh-key', peer: bootstrap.service, user: bootstrap.user, endorsing: bootstrap.endorsing }
    case 'usernameOverTls': return { kind: 'tls', user: bootstrap.user }
    case 'certificateOverTls': return { kind: 'tls' }
  }
}
/** In the name of the instance in use, whichever key it is. */
function sessionToken(token: SecurityContextToken, key: Profile['renewalKey']): SessionToken {
  const { instance, elementId, secret } = currentInstance(token)
  const [first] = token.instances
  return { identifier: token.id, instance, elementId, secret: key === 'first' && first !== undefined ? first.secret : secret, sc: token.sc }
}
