/**
 * Just enough DER to read what node:crypto does not tell of a certificate: names, key identifier, key usage, constraints.
 * Definite lengths only, every length checked against its parent, no recursion.
 *
 * @module
 */

export interface DerValue {
  readonly tag: number
  /** The content octets. */
  readonly body: Uint8Array
  /** Tag, length and content. */
  readonly raw: Uint8Array
}

/** The values that stand one after another in `bytes`. @throws {RangeError} what stands there is no DER */
export function derValues(bytes: Uint8Array): readonly DerValue[] {
  const values: DerValue[] = []
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] ?? 0
    // Tags above 30 do not occur in certificates.
    if ((tag & 0x1f) === 0x1f) throw new RangeError('DER: a tag of several bytes')
    const { start, length } = derLength(bytes, at + 1)
    if (start + length > bytes.length) throw new RangeError('DER: a value is longer than what holds it')
    values.push({ tag, body: bytes.subarray(start, start + length), raw: bytes.subarray(at, start + length) })
    at = start + length
  }
  return values
}

/** The only value in `bytes`, which has this tag. @throws {RangeError} */
export function derValue(bytes: Uint8Array, tag: number): DerValue {
  const [only, ...more] = derValues(bytes)
  if (only === undefined || more.length > 0 || only.tag !== tag) throw new RangeError(`DER: expected one value with tag ${tag}`)
  return only
}

function derLength(bytes: Uint8Array, at: number): { readonly start: number; readonly length: number } {
  const first = bytes[at]
  if (first === undefined || first === 0x80 || first > 0x84) throw new RangeError('DER: no definite length')
  if (first < 0x80) return { start: at + 1, length: first }
  let length = 0
  for (let i = 1; i <= first - 0x80; i++) length = length * 256 + (bytes[at + i] ?? Number.POSITIVE_INFINITY)
  return { start: at + 1 + first - 0x80, length }
}

/** Dotted form of an OBJECT IDENTIFIER's content. @throws {RangeError} */
export function derOid(body: Uint8Array): string {
  // X.690 §8.19: whole arcs, and none with zeroes in front: two encodings of one identifier would be two extensions to others.
  if (body.length === 0 || body.length > 64 || (body.at(-1) ?? 0) >= 0x80) throw new RangeError('DER: no object identifier')
  const arcs: bigint[] = []
  let arc = 0n
  let isFirst = true
  for (const byte of body) {
    if (isFirst && byte === 0x80) throw new RangeError('DER: no object identifier')
    isFirst = byte < 0x80
    arc = (arc << 7n) | BigInt(byte & 0x7f)
    if (byte < 0x80) {
      arcs.push(arc)
      arc = 0n
    }
  }
  const [head = 0n, ...rest] = arcs
  const first = head < 80n ? head / 40n : 2n
  return [first, head - first * 40n, ...rest].join('.')
}

/** An INTEGER's content, two's complement. */
export function derInteger(body: Uint8Array): bigint {
  if (body.length === 0 || body.length > 64) throw new RangeError('DER: an integer of no size that we read')
  const value = BigInt(`0x${Buffer.from(body).toString('hex')}`)
  return (body[0] ?? 0) < 0x80 ? value : value - (1n << BigInt(8 * body.length))
}

const STRINGS: ReadonlyMap<number, (body: Uint8Array) => string> = new Map([
  [0x0c, (body) => Buffer.from(body).toString('utf8')],
  [0x12, (body) => Buffer.from(body).toString('latin1')],
  [0x13, (body) => Buffer.from(body).toString('latin1')],
  [0x14, (body) => Buffer.from(body).toString('latin1')],
  [0x16, (body) => Buffer.from(body).toString('latin1')],
  [0x1a, (body) => Buffer.from(body).toString('latin1')],
  [0x1e, (body) => Buffer.from(body.subarray(0, body.length & ~1)).swap16().toString('utf16le')],
])
/** The text of a string type; undefined for all else. */
export const derText = (value: DerValue): string | undefined => STRINGS.get(value.tag)?.(value.body)
