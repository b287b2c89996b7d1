/**
 * Who stands behind a bootstrap message that was opened: the host's decision about its claims (D24).
 *
 * @module
 */
import { checkTrust, type Trust } from '../crypto/certificate.ts'
import { digest, equal } from '../crypto/hash.ts'
import { FAULTS, SecurityFailure } from '../errors.ts'
import type { Principal } from '../sct/token.ts'
import type { Certificate, Opened, UserClaim } from './keys.ts'

/** The password of a user; undefined for one who is not known. */
export type PasswordOf = (user: string, signal: AbortSignal) => string | undefined | Promise<string | undefined>
/** How a client may prove who he is. */
export type Expectation =
  | { readonly kind: 'x509'; readonly trust: Trust }
  /** Without `password` the endorsing certificate alone says who it is. */
  | { readonly kind: 'usernameForCertificate'; readonly password?: PasswordOf | undefined; readonly endorsing?: Trust | undefined }
  | { readonly kind: 'usernameOverTls'; readonly password: PasswordOf }
  | { readonly kind: 'certificateOverTls'; readonly trust: Trust }
/** What the claims are held to beside their own words. */
export interface Circumstances {
  readonly now: number
  readonly signal?: AbortSignal | undefined
  /** The message came under TLS, from somebody who proved to have this certificate. */
  readonly tls?: { readonly certificate?: Certificate | undefined } | undefined
}

/**
 * The principal behind a message, when it is proven in the way that is expected.
 *
 * @throws {SecurityFailure} ERR_WSS_UNTRUSTED, ERR_WSS_PASSWORD, ERR_WSS_NO_CLAIM
 */
export async function authenticate(opened: Opened, expected: Expectation, { now, signal = new AbortController().signal, tls }: Circumstances): Promise<Principal> {
  const { signer, endorsers, user, level } = opened
  const trusted = async (certificate: Certificate | undefined, trust: Trust): Promise<Principal> => {
    if (certificate === undefined) throw noClaim()
    await checkTrust(certificate, trust, now, signal)
    return { kind: 'certificate', thumbprint: certificate.sha256, subject: certificate.subject }
  }
  // What TLS alone protects, and what protects itself, are never taken for each other.
  const isUnderTls = level === 'transport' && tls !== undefined
  switch (expected.kind) {
    case 'x509':
      if (level === 'transport' || signer?.kind !== 'certificate') throw noClaim()
      return trusted(signer.certificate, expected.trust)
    case 'usernameForCertificate': {
      if (level === 'transport' || signer?.kind !== 'encrypted-key') throw noClaim()
      const endorser = endorsers.find((each) => each.kind === 'certificate')
      const certificate = expected.endorsing === undefined ? undefined : await trusted(endorser?.kind === 'certificate' ? endorser.certificate : undefined, expected.endorsing)
      if (expected.password !== undefined) return known(user, expected.password, signal)
      if (certificate === undefined) throw noClaim()
      return certificate
    }
    case 'usernameOverTls':
      if (!isUnderTls) throw noClaim()
      return known(user, expected.password, signal)
    case 'certificateOverTls':
      if (!isUnderTls) throw noClaim()
      return trusted(tls.certificate, expected.trust)
  }
}
async function known(user: UserClaim | undefined, password: PasswordOf, signal: AbortSignal): Promise<Principal> {
  if (user === undefined) throw noClaim()
  const expected = await password(user.name, signal)
  const given = user.password
  // A digest was checked while the message was opened, with the same password; a text is compared here, in constant time.
  // An empty one is none: who has it in his table has nothing there.
  const right = typeof expected === 'string' && expected !== '' && (user.checked || (given !== undefined && equal(digest('sha256', given), digest('sha256', expected))))
  if (!right) throw new SecurityFailure('ERR_WSS_PASSWORD', 'no such user, or another password', FAULTS.failedAuthentication)
  return { kind: 'user', name: user.name }
}
export const noClaim = (): SecurityFailure => new SecurityFailure('ERR_WSS_NO_CLAIM', 'the message proves nobody whom this host accepts', FAULTS.failedAuthentication)
