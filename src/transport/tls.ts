/**
 * TLS at the client: who the server must prove to be, and which certificate is shown to it.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import type { LookupFunction } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { buildConnector } from 'undici'
import type { Clock } from '../clock.ts'
import { type Certificate, checkTrust, readTlsCertificate, type Trust } from '../crypto/certificate.ts'
import { digest } from '../crypto/hash.ts'
import { FAULTS, SecurityFailure, TransportFailed, WsrmError } from '../errors.ts'

export interface ClientTls {
  /** Absent: the authorities that Node.js comes with, or the system's. With authorities and without `trust` the certificate must be for the host of the URL. */
  readonly trust?: Trust | undefined
  readonly credentials?: { readonly certificate: Certificate; readonly key: KeyObject } | undefined
}

/** Equal for those who show and ask for the same: they may share connections. */
export function tlsName(tls: ClientTls): string {
  const name = names.get(tls) ?? digest('sha256', JSON.stringify([tls.credentials?.certificate.sha256, trustName(tls)])).toString('hex')
  names.set(tls, name)
  return name
}
/** Asked for with every message, and authorities may be many. */
const names = new WeakMap<ClientTls, string>()
/** Equal for those who ask for the same. */
export function trustName({ trust }: ClientTls): string {
  if (trust === undefined) return ''
  const words = 'authorities' in trust ? trust.authorities.map((each) => (typeof each === 'string' ? each : Buffer.from(each).toString('base64'))) : 'pins' in trust ? trust.pins : judgeNumber(trust.verify)
  return JSON.stringify([Object.keys(trust)[0], words])
}
/** A judgement of the caller's own belongs to him alone. */
const judges = new WeakMap<object, number>()
let lastJudge = 0
function judgeNumber(verify: object): number {
  const number = judges.get(verify) ?? ++lastJudge
  judges.set(verify, number)
  return number
}

/** What undici's Pool takes as `connect`. */
export function tlsConnector({ trust, credentials }: ClientTls, clock: Clock, lookup?: LookupFunction): buildConnector.connector {
  const authorities = trust !== undefined && 'authorities' in trust ? trust.authorities : undefined
  // A pinned certificate, or one that the caller judges, needs no name and no authority beside.
  const isJudgedHere = trust !== undefined && authorities === undefined
  const connect = buildConnector({
    rejectUnauthorized: !isJudgedHere, minVersion: 'TLSv1.2', allowH2: false,
    // A session that is taken up again shows no certificate that could be judged.
    ...(isJudgedHere && { maxCachedSessions: 0 }), ...(lookup !== undefined && { lookup }),
    ...(authorities !== undefined && { ca: authorities.map((each) => (typeof each === 'string' ? each : pem('CERTIFICATE', each))) }),
    ...(credentials !== undefined && { cert: pem('CERTIFICATE', credentials.certificate.raw), key: credentials.key.export({ type: 'pkcs8', format: 'pem' }) }),
  } as buildConnector.BuildOptions)
  return (options, done) => connect(options, (...result) => {
    const [error, socket] = result
    if (error !== null) return done(refusedBy(error), null)
    // Without TLS nobody shows a certificate: what goes there is protected by itself, or was refused before it came to a connection.
    if (!isJudgedHere || socket === null || options.protocol !== 'https:') return done(...result)
    judge(socket as TLSSocket, trust, clock.now()).then(
      () => done(...result),
      (cause: unknown) => {
        socket.destroy()
        // Who cannot be judged is refused, and that is told: as a broken connection it would be tried again in silence.
        done(cause instanceof WsrmError ? cause : new SecurityFailure('ERR_TLS_UNTRUSTED', `the server's certificate could not be judged: ${cause instanceof Error ? cause.message : String(cause)}`, FAULTS.failedAuthentication, { cause }), null)
      },
    )
  })
}

async function judge(socket: TLSSocket, trust: Trust, now: number): Promise<void> {
  const { raw } = socket.getPeerCertificate()
  if (raw === undefined) throw new SecurityFailure('ERR_TLS_UNTRUSTED', 'the server showed no certificate', FAULTS.failedAuthentication)
  await checkTrust(readTlsCertificate(raw), trust, now)
}

/** What OpenSSL or Node say of a certificate that is not trusted: asking again does not change it. */
function refusedBy(error: Error & { readonly code?: string }): Error {
  const { code = '' } = error
  const isRefusal = /CERT|SIGNATURE|ISSUER|VERIFY|ALTNAME|CRL|^INVALID_CA$|^PATH_LENGTH_EXCEEDED$|^INVALID_PURPOSE$/.test(code) && !code.startsWith('ERR_SSL')
  if (isRefusal) return new SecurityFailure('ERR_TLS_UNTRUSTED', `the server's certificate is not trusted (${code})`, FAULTS.failedAuthentication, { cause: error })
  return code.startsWith('ERR_SSL') ? new TransportFailed('ERR_TLS_HANDSHAKE', `TLS failed (${code})`, { cause: error }) : error
}

const pem = (label: string, der: Uint8Array): string => `-----BEGIN ${label}-----\n${Buffer.from(der).toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n')}\n-----END ${label}-----\n`
