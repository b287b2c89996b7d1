/**
 * The service's side of the token's exchanges: how a request for a token is opened, who is behind it, and how its answer is protected.
 *
 * @module
 */
import type { ServiceBootstrap } from './bootstraps.ts'
import type { Clock } from './clock.ts'
import { type Certificate, checkTrust, readTlsCertificate } from './crypto/certificate.ts'
import type { RandomSource } from './crypto/random.ts'
import { FAULTS, SecurityFailure } from './errors.ts'
import type { OwnKeys } from './gate.ts'
import type { Profile } from './profiles/profile.ts'
import type { Principal } from './sct/token.ts'
import type { HttpRequest } from './transport/http.ts'
import { authenticate, type Circumstances, noClaim } from './wss/authenticate.ts'
import { type BootstrapCredentials, protectBootstrap } from './wss/bootstrap.ts'
import type { Envelope, Opened, Signer } from './wss/keys.ts'
import { NS } from './spec/versions.ts'
import type { OutgoingMessage, Protected } from './wss/protect.ts'

/** TLS as it was when the request came; absent without it. */
export interface UnderTls { readonly certificate?: Certificate | undefined }
export function underTls(tls: HttpRequest['tls']): UnderTls | undefined {
  if (tls === undefined) return undefined
  return tls.peerCertificate === undefined ? {} : { certificate: readTlsCertificate(tls.peerCertificate) }
}

/** What a message to this service may be meant for. */
export const serviceKeys = (accept: readonly ServiceBootstrap[]): OwnKeys => {
  const identities = accept.flatMap((each) => ('certificate' in each ? [each] : []))
  return { certificates: identities.map(({ certificate }) => certificate), privateKeys: identities.map(({ key }) => key) }
}

/** A request whose Body is in clear is protected by TLS or not at all: the entropies in it are secrets (WS-SC 1.3 §3). */
export const isLeftToTls = (envelope: Envelope, tls: UnderTls | undefined): boolean => tls !== undefined && envelope.body.first(NS.xenc, 'EncryptedData') === undefined

/**
 * Whoever signs by a certificate is vouched for, before what is encrypted in his request is decrypted: a stranger would learn from the answers what others
 * have encrypted for this service.
 *
 * @throws {SecurityFailure} nobody vouches for him
 */
export async function mustBeVouchedFor(accept: readonly ServiceBootstrap[], [primary]: readonly Signer[], { now, signal }: Circumstances): Promise<void> {
  if (primary?.kind !== 'certificate') return
  let refused: unknown
  for (const bootstrap of accept) {
    if (bootstrap.kind !== 'x509') continue
    try {
      return await checkTrust(primary.certificate, bootstrap.trust, now, signal)
    } catch (error) {
      if (!(error instanceof SecurityFailure)) throw error
      refused ??= error
    }
  }
  throw refused ?? noClaim()
}

/** The first of what is accepted that the request proves. @throws {SecurityFailure} none is */
export async function authenticatedBy(
  accept: readonly ServiceBootstrap[], opened: Opened, circumstances: Circumstances,
): Promise<{ readonly principal: Principal; readonly bootstrap: ServiceBootstrap }> {
  let refused: unknown
  for (const bootstrap of accept) {
    try {
      return { principal: await authenticate(opened, bootstrap, circumstances), bootstrap }
    } catch (error) {
      if (!(error instanceof SecurityFailure)) throw error
      // That a claim is wrong says more than that there is none of another kind.
      if (refused === undefined || error.code !== 'ERR_WSS_NO_CLAIM') refused = error
    }
  }
  throw refused
}

/** The answer, protected as its question was: for the certificate that signed it, by the key that came with it, or by TLS. */
export function protectAnswer(
  message: OutgoingMessage, opened: Opened, bootstrap: ServiceBootstrap, options: { readonly profile: Profile; readonly clock: Clock; readonly random: RandomSource },
): Protected {
  const { profile, clock, random } = options
  return protectBootstrap(message, answeringCredentials(opened, bootstrap), { profile, now: clock.now(), random, confirms: opened.signatureValues })
}
function answeringCredentials({ signer }: Opened, bootstrap: ServiceBootstrap): BootstrapCredentials {
  switch (bootstrap.kind) {
    case 'x509':
      if (signer?.kind === 'certificate') return { kind: 'x509', role: 'recipient', own: bootstrap, peer: signer.certificate }
      break
    case 'usernameForCertificate':
      if (signer?.kind === 'encrypted-key') return { kind: 'earlier-key', sha1: signer.sha1, key: signer.key }
      break
    case 'usernameOverTls': case 'certificateOverTls': return { kind: 'tls' }
  }
  throw new SecurityFailure('ERR_WSS_SIGNER', 'the request is not signed by what it was accepted for', FAULTS.failedCheck)
}
