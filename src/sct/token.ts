/**
 * SecurityContextToken: an identifier, the instances (keys) that it has had, lifetimes, and whose it is.
 * Secrets are KeyObjects in private fields; nothing here prints them.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { inspect } from 'node:util'
import type { SuiteName } from '../spec/algorithms.ts'
import type { ScVersion } from '../spec/versions.ts'

declare const tokenBrand: unique symbol
/** wsc:Identifier: any string up to 1,024 characters, compared by code point; ours are `urn:uuid:…`. */
export type TokenId = string & { readonly [tokenBrand]: true }

/** Who stands behind a token or a message: what the bootstrap proved. */
export type Principal =
  | { readonly kind: 'certificate'; /** SHA-256 of the DER certificate, lower-case hex. */ readonly thumbprint: string; readonly subject: string }
  | { readonly kind: 'user'; readonly name: string }
  /** A service that TLS vouched for: host and port, as the URL has them. */
  | { readonly kind: 'host'; readonly name: string }
export const samePrincipal = (a: Principal, b: Principal): boolean => a.kind === b.kind && principalName(a) === principalName(b)
/** What tells one principal of a kind from another. */
export const principalName = (principal: Principal): string => (principal.kind === 'certificate' ? principal.thumbprint : principal.name)

/** One key generation of a context. The first has no name; each renewal brings a new one (WS-SC 1.3 §5). */
export class TokenInstance {
  readonly #secret: KeyObject
  readonly instance: string | undefined
  /** The id that the token's element was issued with, and has in every message (WS-Trust 1.3 §4.4). */
  readonly elementId: string | undefined
  /** Milliseconds since 1970. */
  readonly created: number
  readonly expires: number
  constructor(fields: { readonly secret: KeyObject; readonly instance?: string | undefined; readonly elementId?: string | undefined; readonly created: number; readonly expires: number }) {
    this.#secret = fields.secret
    this.instance = fields.instance
    this.elementId = fields.elementId
    this.created = fields.created
    this.expires = fields.expires
  }
  get secret(): KeyObject { return this.#secret }
  toJSON(): unknown { return { instance: this.instance, created: this.created, expires: this.expires, secret: '[secret]' } }
  static {
    // What util.inspect prints. Defined here since declarations made file by file have no place for a computed name.
    Object.defineProperty(TokenInstance.prototype, inspect.custom, { value(this: TokenInstance): unknown { return this.toJSON() } })
  }
}

export interface SecurityContextToken {
  readonly id: TokenId
  readonly role: 'initiator' | 'recipient'
  readonly sc: ScVersion
  readonly suite: SuiteName
  /** At the recipient: who established it. At the initiator: who the recipient proved to be. */
  readonly principal: Principal
  /** Initiator: the cache key of endpoint, own principal and policy. Recipient: the service's address. */
  readonly peer: string
  /** Oldest first, at least one; the last is the one to write with. */
  readonly instances: readonly TokenInstance[]
  readonly state: 'live' | 'cancelled'
}
/** The instance to write with. */
export function currentInstance(token: SecurityContextToken): TokenInstance {
  const last = token.instances.at(-1)
  if (last === undefined) throw new RangeError('a token has at least one instance')
  return last
}

/**
 * Until when each instance is believed: its own expiry, and for one that was renewed not longer than `overlapMs` after its successor came (D23).
 */
export function believedUntil(token: SecurityContextToken, index: number, overlapMs: number): number {
  const own = token.instances[index]?.expires ?? 0
  const next = token.instances[index + 1]
  return next === undefined ? own : Math.min(own, next.created + overlapMs)
}
/** The instances that may be believed now, oldest first; empty when the token is cancelled or has lapsed. */
export const believedInstances = (token: SecurityContextToken, now: number, overlapMs: number): readonly TokenInstance[] =>
  token.state === 'live' ? token.instances.filter((_, index) => now < believedUntil(token, index, overlapMs)) : []

/** What is kept when another instance comes. The last one stays although it has lapsed: it tells the one who comes late that he was known. Peer Metro 4: the first one endorses later renewals. */
export const keptInstances = (token: SecurityContextToken, now: number, overlapMs: number): readonly TokenInstance[] => {
  const believed = believedInstances(token, now, overlapMs)
  return token.instances.filter((each, index) => index === 0 || index === token.instances.length - 1 || believed.includes(each))
}

/** One secret of a security context; several instances share the identifier. */
export interface ContextSecret {
  readonly identifier: string
  readonly instance: string | undefined
  readonly secret: KeyObject
  /** Milliseconds since 1970: not believed from then on; absent = no limit. */
  readonly expires?: number
  /** Not believed any more; it may only make the signature that endorses a renewal. */
  readonly endorsesOnly?: true
}

/** What an RST/SCT asks for (WS-Trust 1.3 §3, WS-SC 1.3 §3, §5, §6), as words. */
export interface TokenRequest {
  readonly kind: 'issue' | 'renew' | 'cancel'
  readonly sc: ScVersion
  /** wst:RequestSecurityToken/@Context: echoed in the answer. */
  readonly context?: string
  readonly entropy?: KeyObject
  readonly keySizeBits?: number
  readonly lifetime?: { readonly created?: number; readonly expires?: number }
  /** Renew and cancel: the token that is meant. */
  readonly target?: { readonly identifier: string; readonly instance?: string }
}
/** What the recipient answers, as words. */
export interface TokenResponse {
  readonly kind: 'issue' | 'renew' | 'cancel'
  readonly sc: ScVersion
  readonly context?: string
  /** Absent in the answer to a cancel. */
  readonly token?: { readonly identifier: string; readonly instance?: string; /** wsu:Id of its element. */ readonly elementId?: string }
  /** How the secret comes about (WS-Trust 1.3 §4.4): computed from both entropies, given whole, or the requestor's entropy as it is. */
  readonly proof?: { readonly kind: 'computed'; readonly entropy: KeyObject } | { readonly kind: 'given'; readonly secret: KeyObject } | { readonly kind: 'requestor' }
  readonly keySizeBits?: number
  readonly lifetime?: { readonly created?: number; readonly expires: number }
}
