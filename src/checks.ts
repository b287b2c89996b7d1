/**
 * What callers give, looked at before anything is done with it. In plain JavaScript no compiler has done so: a mistake is answered at once,
 * by an error that says what is wrong, instead of later and elsewhere; and what the peer would have to refuse is not accepted, since in a
 * sequence everything behind it would wait for it.
 *
 * @module
 */
import type { ClientBootstrap, ServiceBootstrap } from './bootstraps.ts'
import { readableTrust, type Trust } from './crypto/certificate.ts'
import { UsageError } from './errors.ts'
import type { Outcome, XmlBody } from './message.ts'
import type { Limits, Wait } from './options.ts'
import { type Profile, WIDEST } from './profiles/profile.ts'
import type { Content } from './rm/turn.ts'
import { ADDRESSING_VERSIONS, RM_VERSIONS, SC_VERSIONS, TRUST_VERSIONS } from './spec/versions.ts'
import { contentXml } from './wire.ts'

/** @throws {UsageError} ERR_USAGE_OPTIONS */
export function checkOptions(options: unknown, of: string): void {
  if (typeof options !== 'object' || options === null) throw new UsageError('ERR_USAGE_OPTIONS', `${of} needs an object of options`)
}
/** Whole numbers above 0, where they are given. */
export function checkCounts<T extends object>(options: T, names: readonly (keyof T & string)[]): void {
  for (const name of names) {
    const value: unknown = options[name]
    if (value !== undefined && !(Number.isSafeInteger(value) && (value as number) > 0)) throw new UsageError('ERR_USAGE_NUMBER', `${name} is a whole number above 0`)
  }
}

/** @throws {UsageError} ERR_USAGE_NUMBER, ERR_USAGE_OPTIONS */
export function checkProfile({ window, contexts }: Profile): void {
  if (contexts !== 'shared' && contexts !== 'one-each') throw new UsageError('ERR_USAGE_OPTIONS', 'contexts of a profile is shared or one-each')
  if (window !== undefined && !(Number.isInteger(window) && window >= 1 && window <= WIDEST)) throw new UsageError('ERR_USAGE_NUMBER', `window is a whole number from 1 to ${WIDEST}`)
}

export function checkOnContextLost(choice: string | undefined): void {
  if (choice !== undefined && choice !== 'resume' && choice !== 'report') throw new UsageError('ERR_USAGE_OPTIONS', 'onContextLost is resume or report')
}

export function checkClientBootstrap(bootstrap: ClientBootstrap, trust: Trust): void {
  const isClients = bootstrap?.kind === 'certificateOverTls' ? !('trust' in bootstrap) : 'service' in (bootstrap ?? {}) || (bootstrap?.kind === 'usernameOverTls' && 'user' in bootstrap)
  if (!isClients) {
    throw new UsageError('ERR_USAGE_BOOTSTRAP', 'bootstrap says how a conversation begins: what x509({ certificate, key, service }), usernameForCertificate, usernameOverTls or certificateOverTls give, at the client')
  }
  readableTrust(trust)
}
export function checkAccepted(accept: readonly ServiceBootstrap[]): void {
  if (!Array.isArray(accept) || accept.length === 0) throw new UsageError('ERR_USAGE_ACCEPT', 'accept is a list of bootstraps, one at least: [x509({ identity, trust })]')
  for (const each of accept) {
    const isServices = each?.kind === 'usernameOverTls' ? 'password' in each : KINDS.has(each?.kind) && !('service' in each) && ('trust' in each || 'password' in each || 'endorsing' in each)
    if (!isServices) throw new UsageError('ERR_USAGE_ACCEPT', 'accept holds what x509({ identity, trust }), usernameForCertificate, usernameOverTls or certificateOverTls give, at the service')
    if ('trust' in each) readableTrust(each.trust)
  }
}
const KINDS: ReadonlySet<string | undefined> = new Set(['x509', 'usernameForCertificate', 'usernameOverTls', 'certificateOverTls'])
export function checkName(name: string | undefined): void {
  if (name !== undefined && !isText(name)) throw new UsageError('ERR_USAGE_NAME', `the name of a conversation is a text of 1 to ${LONGEST_NAME} characters`)
}

/** Of a caller's patience, what counts. @throws {UsageError} ERR_USAGE_WAIT */
export function waitOf({ signal, timeoutMs }: Wait): Wait {
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs >= 0)) throw new UsageError('ERR_USAGE_WAIT', 'timeoutMs is a number of milliseconds')
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new UsageError('ERR_USAGE_WAIT', 'signal is an AbortSignal')
  return { ...(signal !== undefined && { signal }), ...(timeoutMs !== undefined && timeoutMs !== Number.POSITIVE_INFINITY && { timeoutMs }) }
}

/** An idempotency key. */
export function checkKey(key: string | undefined): void {
  if (key !== undefined && !isText(key)) throw new UsageError('ERR_USAGE_KEY', `an idempotency key is a text of 1 to ${LONGEST_NAME} characters`)
}
const LONGEST_NAME = 1_024
const isText = (value: unknown): boolean => typeof value === 'string' && value !== '' && value.length <= LONGEST_NAME && value.isWellFormed()

/** What of a message the caller says: checked, read strictly, written canonically. @throws {UsageError} */
export function contentOf(given: { readonly action: string; readonly body: XmlBody | undefined; readonly headers?: readonly XmlBody[] | undefined }, limits: Limits): Pick<Content, 'action' | 'body' | 'headers'> {
  const action = actionOf(given.action, limits)
  if (given.headers !== undefined && !Array.isArray(given.headers)) throw new UsageError('ERR_USAGE_HEADERS', 'headers is a list of XML elements')
  const body = given.body === undefined ? '' : xmlOf(given.body, 'the body', limits)
  const headers = (given.headers ?? []).map((header) => xmlOf(header, 'a header', limits))
  const bytes = Buffer.byteLength(body)
  // An encrypted body is base64, a third longer; the peer may have our own default limit, and a message that it refuses would be sent for ever.
  const estimate = Math.ceil(bytes / 3) * 4 + headers.reduce((sum, header) => sum + Buffer.byteLength(header), 0) + ENVELOPE_BYTES
  if (estimate > limits.messageBytes) throw new UsageError('ERR_BODY_TOO_LARGE', `a body of ${bytes} bytes makes a message of about ${estimate}, more than the limit messageBytes (${limits.messageBytes}): send it in parts`)
  return { action, body, headers }
}
/** Addressing, sequence headers, signature and references: 6 to 11 KB in the recordings of other stacks. */
const ENVELOPE_BYTES = 16_384

function actionOf(action: string, limits: Limits): string {
  if (typeof action !== 'string' || action === '') throw new UsageError('ERR_USAGE_ACTION', 'a message needs an action: the URI of the operation, as the WSDL of the service has it')
  // What would be trimmed, or end a line of HTTP, would not arrive as it was sent.
  if (/[\s\u0000-\u0020\u007f\ufffe\uffff]/.test(action) || !action.isWellFormed() || action.length > limits.identifierLength) throw new UsageError('ERR_USAGE_ACTION', 'the action is no URI: it has spaces or control characters, or is too long')
  if (PROTOCOLS.some((ns) => action.startsWith(`${ns}/`))) throw new UsageError('ERR_USAGE_ACTION', 'the action is one of the protocols themselves, which the library speaks by itself')
  return action
}
const PROTOCOLS: readonly string[] = [RM_VERSIONS, SC_VERSIONS, TRUST_VERSIONS, ADDRESSING_VERSIONS].flatMap((versions) => [...versions.keys()])

function xmlOf(xml: XmlBody, what: string, limits: Limits): string {
  if (typeof xml !== 'string' && !(xml instanceof Uint8Array)) throw new UsageError('ERR_USAGE_XML', `${what} is one XML element, as text or as its bytes in UTF-8`)
  try {
    return contentXml(xml, limits)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    throw new UsageError(error.code, `${what} is not one XML element that can be sent: ${error.message}`, { cause: error })
  }
}

/** What a handler gave back. @throws {UsageError} ERR_USAGE_OUTCOME */
export function checkOutcome(outcome: Outcome<unknown> | undefined | void): void {
  if (outcome === undefined) return
  if (typeof outcome !== 'object' || outcome === null) throw wrongOutcome()
  if (outcome.reply !== undefined && (typeof outcome.reply !== 'object' || outcome.reply === null)) throw wrongOutcome()
  if (outcome.commit !== undefined && typeof outcome.commit !== 'function') throw wrongOutcome()
}
const wrongOutcome = (): UsageError => new UsageError('ERR_USAGE_OUTCOME', 'a handler gives back nothing, or { reply?: { body }, commit?: function }')
