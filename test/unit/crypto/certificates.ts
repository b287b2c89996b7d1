/** Makes certificates for tests, with any mistake that is asked for. */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

const tlv = (tag: number, ...bodies: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(bodies)
  const length = body.length < 0x80 ? [body.length] : body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}
export const sequence = (...parts: readonly Uint8Array[]): Buffer => tlv(0x30, ...parts)
export const octets = (...parts: readonly Uint8Array[]): Buffer => tlv(0x04, ...parts)
export function oid(text: string): Buffer {
  const [a = 0, b = 0, ...rest] = text.split('.').map(Number)
  const bytes = [40 * a + b, ...rest].flatMap((arc) => {
    const septets = [arc & 0x7f]
    for (let more = Math.floor(arc / 128); more > 0; more = Math.floor(more / 128)) septets.unshift((more % 128) | 0x80)
    return septets
  })
  return tlv(0x06, Buffer.from(bytes))
}
const time = (at: number): Buffer => tlv(0x18, Buffer.from(`${new Date(at).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`))

/** [type OID, value, tag of the string type] in DER order; an inner list is one RDN of several attributes. */
export type Attribute = readonly [type: string, value: string | Buffer, tag?: number]
export type Rdn = Attribute | readonly Attribute[]
export const name = (...rdns: readonly Rdn[]): Buffer =>
  sequence(...rdns.map((rdn) => tlv(0x31, ...(typeof rdn[0] === 'string' ? [rdn as Attribute] : (rdn as readonly Attribute[])).map(([type, value, tag = 0x0c]) => sequence(oid(type), tlv(tag, Buffer.from(value as string)))))))
export const commonName = (text: string): Buffer => name(['2.5.4.3', text])

const TRUE = Buffer.from([0x01, 0x01, 0xff])
export const extension = (id: string, value: Uint8Array, critical = true): Buffer => sequence(oid(id), ...(critical ? [TRUE] : []), octets(value))
export const authority = (pathLength?: number): Buffer => extension('2.5.29.19', sequence(TRUE, ...(pathLength === undefined ? [] : [tlv(0x02, Buffer.from([pathLength]))])))
/** Bits 0 to 8 of keyUsage. */
export const usage = (...bits: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(2)
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7))
  return extension('2.5.29.15', tlv(0x03, Buffer.from([0]), bytes))
}

export const NOW = Date.UTC(2026, 5, 1)
const DAY = 86_400_000
export interface Wanted {
  readonly subject: Uint8Array
  readonly issuer?: Uint8Array
  readonly key: KeyObject
  readonly signer?: KeyObject
  readonly serial?: Uint8Array
  readonly from?: number
  readonly to?: number
  readonly extensions?: readonly Uint8Array[]
  readonly algorithm?: 'sha256' | 'sha1'
}
/** DER. Self-signed unless a signer is named. */
export function certificate({ subject, issuer = subject, key, signer = key, serial = Buffer.from([1]), from = NOW - DAY, to = NOW + DAY, extensions = [], algorithm = 'sha256' }: Wanted): Buffer {
  const rsa = signer.asymmetricKeyType === 'rsa'
  const id = rsa ? (algorithm === 'sha1' ? '1.2.840.113549.1.1.5' : '1.2.840.113549.1.1.11') : '1.2.840.10045.4.3.2'
  const signature = sequence(oid(id), ...(rsa ? [Buffer.from([0x05, 0x00])] : []))
  const body = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))), tlv(0x02, serial), signature, issuer, sequence(time(from), time(to)), subject,
    createPublicKey(key).export({ type: 'spki', format: 'der' }), ...(extensions.length === 0 ? [] : [tlv(0xa3, sequence(...extensions))]),
  )
  return sequence(body, signature, tlv(0x03, Buffer.from([0]), sign(algorithm, body, signer)))
}
export const pem = (der: Uint8Array): string => `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64').replaceAll(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
export const rsaKey = (bits = 2_048): KeyObject => generateKeyPairSync('rsa', { modulusLength: bits }).privateKey
export const ecKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
