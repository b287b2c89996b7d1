/**
 * How a conversation begins: the credentials of both sides, as options. Mutual X.509 under the asymmetric binding; a user under the service's
 * certificate, with or without a certificate of his own that endorses; a user or a client certificate under TLS. Each side names whom it
 * trusts (D24).
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { type Certificate, ownsCertificate, readableTrust, readCertificate, readPrivateKey, type Trust } from './crypto/certificate.ts'
import { secretKey } from './crypto/hash.ts'
import { SecurityFailure, UsageError } from './errors.ts'
import type { PasswordOf } from './wss/authenticate.ts'
import type { Credentials, User } from './wss/bootstrap.ts'

export type ClientBootstrap =
  /** `service`: the service's certificate: the RST is encrypted for it. */
  | ({ readonly kind: 'x509'; readonly service: Certificate } & Credentials)
  | { readonly kind: 'usernameForCertificate'; readonly user?: User; readonly service: Certificate; readonly endorsing?: Credentials }
  | { readonly kind: 'usernameOverTls'; readonly user: User }
  | { readonly kind: 'certificateOverTls'; readonly credentials?: Credentials }
export type ServiceBootstrap =
  | ({ readonly kind: 'x509'; readonly trust: Trust } & Credentials)
  /** `endorsing`: a certificate must endorse, one that this trusts; without `password` that certificate is who asks. */
  | ({ readonly kind: 'usernameForCertificate'; readonly password?: PasswordOf; readonly endorsing?: Trust } & Credentials)
  | { readonly kind: 'usernameOverTls'; readonly password: PasswordOf }
  | { readonly kind: 'certificateOverTls'; readonly trust: Trust }
/** PEM or DER; the key PEM, DER or a KeyObject. */
export interface Identity { readonly certificate: string | Uint8Array; readonly key: string | Uint8Array | KeyObject }

/**
 * Mutual X.509. For a client: who we are and whom the request is encrypted for. For a service: who it is and whom it trusts.
 *
 * @throws {UsageError} something is missing, cannot be read, or does not belong together
 */
export function x509(options: Identity & { readonly service: string | Uint8Array }): ClientBootstrap & { readonly kind: 'x509' }
export function x509(options: { readonly identity: Identity; readonly trust: Trust }): ServiceBootstrap & { readonly kind: 'x509' }
export function x509(options: (Identity & { readonly service: string | Uint8Array }) | { readonly identity: Identity; readonly trust: Trust }): ClientBootstrap | ServiceBootstrap {
  if (typeof options !== 'object' || options === null) throw missing('x509', 'certificate')
  if ('identity' in options) return { kind: 'x509', ...credentials('x509', options.identity), trust: readableTrust(options.trust) }
  return { kind: 'x509', ...credentials('x509', options), service: certificateOf('x509', options.service, 'service') }
}

/** Who asks under the service's certificate: a user, with or without a certificate that endorses, or the certificate alone. */
export type UnderCertificate<U, E> = { readonly endorsing?: E } & U | { readonly endorsing: E } & { readonly [K in keyof U]?: never }

/**
 * A user under the service's certificate (symmetric binding, WSS 1.1): the request is protected by a key that is encrypted for the service.
 * `endorsing`: a certificate of the client's signs too, beside the user or in his place.
 *
 * @throws {UsageError} as `x509`
 */
export function usernameForCertificate(options: { readonly service: string | Uint8Array } & UnderCertificate<UserOptions, Identity>): ClientBootstrap & { readonly kind: 'usernameForCertificate' }
export function usernameForCertificate(options: { readonly identity: Identity } & UnderCertificate<{ readonly password: PasswordOf }, Trust>): ServiceBootstrap & { readonly kind: 'usernameForCertificate' }
export function usernameForCertificate(
  options: { readonly service: string | Uint8Array } & UnderCertificate<UserOptions, Identity> | { readonly identity: Identity } & UnderCertificate<{ readonly password: PasswordOf }, Trust>,
): ClientBootstrap | ServiceBootstrap {
  const kind = 'usernameForCertificate'
  if (typeof options !== 'object' || options === null) throw missing(kind, 'user')
  if ('identity' in options) {
    const { identity, password, endorsing } = options
    return { kind, ...credentials(kind, identity), ...((password !== undefined || endorsing === undefined) && { password: passwordOf(kind, password) }), ...(endorsing !== undefined && { endorsing: readableTrust(endorsing) }) }
  }
  const { service, user: name, password, endorsing } = options
  const user = name === undefined && endorsing !== undefined ? undefined : userOf(kind, name, password)
  return { kind, service: certificateOf(kind, service, 'service'), ...(user !== undefined && { user }), ...(endorsing !== undefined && { endorsing: credentials(kind, endorsing) }) }
}
export interface UserOptions { readonly user: string; readonly password: string }

/** A user and his password under TLS. @throws {UsageError} as `x509` */
export function usernameOverTls(options: UserOptions): ClientBootstrap & { readonly kind: 'usernameOverTls' }
export function usernameOverTls(options: { readonly password: PasswordOf }): ServiceBootstrap & { readonly kind: 'usernameOverTls' }
export function usernameOverTls(options: UserOptions | { readonly password: PasswordOf }): ClientBootstrap | ServiceBootstrap {
  const kind = 'usernameOverTls'
  if (typeof options !== 'object' || options === null) throw missing(kind, 'password')
  return 'user' in options ? { kind, user: userOf(kind, options.user, options.password) } : { kind, password: passwordOf(kind, options.password) }
}

/**
 * A client certificate under TLS. A client gives it here, or brings a dispatcher that has it (`dangerDispatcherTrust`); a service says whom it trusts.
 *
 * @throws {UsageError} as `x509`
 */
export function certificateOverTls(options?: Partial<Identity>): ClientBootstrap & { readonly kind: 'certificateOverTls' }
export function certificateOverTls(options: { readonly trust: Trust }): ServiceBootstrap & { readonly kind: 'certificateOverTls' }
export function certificateOverTls(options: Partial<Identity> | { readonly trust: Trust } = {}): ClientBootstrap | ServiceBootstrap {
  const kind = 'certificateOverTls'
  if ('trust' in options) return { kind, trust: readableTrust(options.trust) }
  return 'certificate' in options || 'key' in options ? { kind, credentials: credentials(kind, options as Identity) } : { kind }
}

function userOf(kind: string, name: unknown, password: unknown): User {
  if (typeof name !== 'string' || name === '' || !name.isWellFormed()) throw missing(kind, 'user')
  if (typeof password !== 'string' || password === '' || !password.isWellFormed()) throw missing(kind, 'password')
  return { name, password: secretKey(Buffer.from(password, 'utf8')) }
}
function passwordOf(kind: string, given: PasswordOf | undefined): PasswordOf {
  if (typeof given !== 'function') throw new UsageError('ERR_USAGE_PASSWORD', `${kind}: password is a function that gives the password of a user, or undefined`)
  return given
}
function credentials(kind: string, given: Identity): Credentials {
  const certificate = certificateOf(kind, given?.certificate, 'certificate')
  if (given.key === undefined || given.key === null) throw missing(kind, 'key')
  const key = readPrivateKey(given.key)
  if (!ownsCertificate(key, certificate)) throw new UsageError('ERR_USAGE_IDENTITY', 'the private key does not belong to the certificate')
  return { certificate, key }
}
function certificateOf(kind: string, given: string | Uint8Array, name: string): Certificate {
  if (typeof given !== 'string' && !(given instanceof Uint8Array)) throw missing(kind, name)
  try {
    return readCertificate(given)
  } catch (error) {
    if (!(error instanceof SecurityFailure)) throw error
    throw new UsageError('ERR_USAGE_CERTIFICATE', `${kind}: ${name}: ${error.message}; it is PEM text or DER bytes, not the name of a file`, { cause: error })
  }
}
/** What each kind needs. */
const NEEDS: Readonly<Record<string, string>> = {
  x509: 'a client gives { certificate, key, service }, a service { identity: { certificate, key }, trust }',
  usernameForCertificate: 'a client gives { user, password, service, endorsing? }, a service { identity: { certificate, key }, password, endorsing? }',
  usernameOverTls: 'a client gives { user, password }, a service { password }',
  certificateOverTls: 'a client gives { certificate, key } or nothing, a service { trust }',
}
const missing = (kind: string, name: string): UsageError => new UsageError('ERR_USAGE_IDENTITY', `${kind}: ${name} is missing: ${NEEDS[kind]}`)
