/**
 * How a conversation begins: the credentials of both sides, as options. `x509` is mutual X.509 under the asymmetric binding; each side names
 * whom it trusts (D24).
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { type Certificate, ownsCertificate, readableTrust, readCertificate, readPrivateKey, type Trust } from './crypto/certificate.ts'
import { SecurityFailure, UsageError } from './errors.ts'

export interface ClientBootstrap {
  readonly kind: 'x509'
  readonly certificate: Certificate
  readonly key: KeyObject
  /** The service's certificate: the RST is encrypted for it. */
  readonly service: Certificate
}
export interface ServiceBootstrap {
  readonly kind: 'x509'
  readonly certificate: Certificate
  readonly key: KeyObject
  readonly trust: Trust
}
/** PEM or DER; the key PEM, DER or a KeyObject. */
export interface Identity { readonly certificate: string | Uint8Array; readonly key: string | Uint8Array | KeyObject }

/**
 * For a client: who we are and whom the request is encrypted for. For a service: who it is and whom it trusts.
 *
 * @throws {UsageError} something is missing, cannot be read, or does not belong together
 */
export function x509(options: Identity & { readonly service: string | Uint8Array }): ClientBootstrap
export function x509(options: { readonly identity: Identity; readonly trust: Trust }): ServiceBootstrap
export function x509(options: (Identity & { readonly service: string | Uint8Array }) | { readonly identity: Identity; readonly trust: Trust }): ClientBootstrap | ServiceBootstrap {
  if (typeof options !== 'object' || options === null) throw missing('certificate')
  if ('identity' in options) return { kind: 'x509', ...identity(options.identity), trust: readableTrust(options.trust) }
  return { kind: 'x509', ...identity(options), service: certificateOf(options.service, 'service') }
}

function identity(options: Identity): { readonly certificate: Certificate; readonly key: KeyObject } {
  const certificate = certificateOf(options?.certificate, 'certificate')
  if (options.key === undefined || options.key === null) throw missing('key')
  const key = readPrivateKey(options.key)
  if (!ownsCertificate(key, certificate)) throw new UsageError('ERR_USAGE_IDENTITY', 'the private key does not belong to the certificate')
  return { certificate, key }
}
function certificateOf(given: string | Uint8Array, name: string): Certificate {
  if (typeof given !== 'string' && !(given instanceof Uint8Array)) throw missing(name)
  try {
    return readCertificate(given)
  } catch (error) {
    if (!(error instanceof SecurityFailure)) throw error
    throw new UsageError('ERR_USAGE_CERTIFICATE', `x509: ${name}: ${error.message}; it is PEM text or DER bytes, not the name of a file`, { cause: error })
  }
}
const missing = (name: string): UsageError =>
  new UsageError('ERR_USAGE_IDENTITY', `x509: ${name} is missing: a client gives { certificate, key, service }, a service { identity: { certificate, key }, trust }`)
