/**
 * A cell as our own options: the peer's preset, and on top of it what the cell says. Written once, for both roles; pure.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import {
  certificateOverTls, type ClientBootstrap, cxf, metro, type Profile, sandesha2, type ServiceBootstrap, type Trust, usernameForCertificate, usernameOverTls, x509,
} from '../src/index.ts'
import type { Cell } from './cells.ts'
import type { Identity, Scenario, Stack } from './peer.ts'

const pem = (name: string): string => readFileSync(new URL(`../demo/identities/${name}.pem`, import.meta.url), 'utf8')
const identity = (name: string): Identity => ({ certificate: pem(name), key: pem(`${name}.key`) })
export const CLIENT: Identity = identity('client')
export const SERVICE: Identity = identity('service')
/** A second principal: vouched for like the client, and nothing of the client's is its. */
export const INTRUDER: Identity = identity('intruder')
export const AUTHORITY: string = pem('authority')
export const TRUST: Trust = { authorities: [AUTHORITY] }

/** Each peer's preset, and what its policies mean by the choices that they share. */
interface Dialect {
  readonly preset: Profile
  /** What an encrypted signature is. */
  readonly encryptedSignature: Profile['encryptSignature']
  /** Whether derived keys are for the bootstrap under a username too. */
  readonly derivesInBootstrap: boolean
}
const DIALECTS: Readonly<Record<Stack, Dialect>> = {
  metro: { preset: metro, encryptedSignature: 'with-body', derivesInBootstrap: false },
  cxf: { preset: cxf, encryptedSignature: true, derivesInBootstrap: true },
  sandesha2: { preset: sandesha2, encryptedSignature: true, derivesInBootstrap: true },
}

export function profileOf(cell: Cell): Profile {
  const { preset, encryptedSignature, derivesInBootstrap } = DIALECTS[cell.peer]
  const { soap, addressing, rm, sc, suite, protection, derivedKeys, order, encryptSignature, layout, includeToken, signatureConfirmation, encryptLifecycle, endpoint } = cell
  return {
    ...preset, soap, addressing, rm, sc, suite, protection, derivedKeys, order, layout, includeToken, signatureConfirmation, encryptLifecycle, endpoint,
    encryptSignature: encryptSignature && encryptedSignature,
    // Many conversations share one process here: a 202 may take longer than elsewhere.
    addressDelayMs: 8 * preset.addressDelayMs,
    // Peer CXF 4: its own suites with GCM have the digests of SHA-1.
    ...(suite === 'Basic256GCM' && { digest: 'sha1' as const }),
    bootstrap: { ...preset.bootstrap, order, encryptSignature, derivedKeys: derivedKeys && derivesInBootstrap },
  }
}

const USER = { user: 'alice', password: 'correct horse battery staple' }
export const PASSWORDS: Readonly<Record<string, string>> = { [USER.user]: USER.password, mallory: 'a password of her own' }

export function clientBootstrapOf({ bootstrap }: Pick<Cell, 'bootstrap'>, { certificate, key }: Identity = CLIENT): ClientBootstrap {
  const service = SERVICE.certificate
  switch (bootstrap) {
    case 'x509': return x509({ certificate, key, service })
    case 'usernameForCertificate': return usernameForCertificate({ ...USER, service })
    case 'usernameForCertificateEndorsing': return usernameForCertificate({ ...USER, service, endorsing: { certificate, key } })
    case 'usernameOverTls': return usernameOverTls(USER)
    case 'certificateOverTls': return certificateOverTls({ certificate, key })
  }
}
export function serviceBootstrapOf({ bootstrap }: Pick<Cell, 'bootstrap'>): ServiceBootstrap {
  const password = (user: string): string | undefined => PASSWORDS[user]
  switch (bootstrap) {
    case 'x509': return x509({ identity: SERVICE, trust: TRUST })
    case 'usernameForCertificate': return usernameForCertificate({ identity: SERVICE, password })
    case 'usernameForCertificateEndorsing': return usernameForCertificate({ identity: SERVICE, password, endorsing: TRUST })
    case 'usernameOverTls': return usernameOverTls({ password })
    case 'certificateOverTls': return certificateOverTls({ trust: TRUST })
  }
}

/** Their side of the same cell. */
export function scenarioOf(cell: Cell, more: Partial<Pick<Scenario, 'lifetimeMs' | 'retransmitMs'>> = {}): Scenario {
  const { peer: _, role: __, endpoint, network, ...choices } = cell
  return {
    // Where nothing is lost, a busy machine is to be no reason to say a thing again; nor where the reply is on a way of its own.
    ...choices, addressable: endpoint === 'address', makeConnection: endpoint === 'make-connection', retransmitMs: network === 'clean' ? 15_000 : endpoint === 'address' ? 3_000 : 800,
    client: CLIENT, service: SERVICE, authority: AUTHORITY, ...USER, ...more,
  }
}
/** Whether their and our service listens with TLS. */
export const isTls = ({ bootstrap, protection }: Cell): boolean => protection === 'transport' || bootstrap.endsWith('OverTls')

export const NAMESPACE = 'urn:example:interop'
export const ECHO = `${NAMESPACE}/Echo`
export const NOTE = `${NAMESPACE}/Note`
/** Of our service, and of the place where our client listens. */
export const PATH = '/echo'
export const REPLIES = '/replies'
export const bodyOf = (name: 'echo' | 'echoResponse' | 'note', text: string): string => `<${name} xmlns="${NAMESPACE}">${text}</${name}>`
/** Of a body without markup inside. */
export const textOf = (body: string): string => /^<[^>]+>([^<]*)</.exec(body)?.[1] ?? ''
