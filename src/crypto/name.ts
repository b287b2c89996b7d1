/**
 * Distinguished names as text (RFC 4514), and whether two encoders mean the same name: they differ in the names of types, in
 * spaces, in order, and in what they escape.
 *
 * @module
 */
import { derOid, derText, derValue, derValues } from './der.ts'

/** Long enough for any certificate; what is longer equals nothing. */
const LONGEST_NAME = 4_096

const OIDS: ReadonlyMap<string, string> = new Map([
  ['CN', '2.5.4.3'], ['COMMONNAME', '2.5.4.3'], ['SN', '2.5.4.4'], ['SURNAME', '2.5.4.4'], ['SERIALNUMBER', '2.5.4.5'], ['C', '2.5.4.6'], ['COUNTRYNAME', '2.5.4.6'],
  ['L', '2.5.4.7'], ['LOCALITYNAME', '2.5.4.7'], ['ST', '2.5.4.8'], ['S', '2.5.4.8'], ['STATEORPROVINCENAME', '2.5.4.8'], ['STREET', '2.5.4.9'], ['STREETADDRESS', '2.5.4.9'],
  ['O', '2.5.4.10'], ['ORGANIZATIONNAME', '2.5.4.10'], ['OU', '2.5.4.11'], ['ORGANIZATIONALUNITNAME', '2.5.4.11'], ['T', '2.5.4.12'], ['TITLE', '2.5.4.12'],
  ['POSTALCODE', '2.5.4.17'], ['G', '2.5.4.42'], ['GN', '2.5.4.42'], ['GIVENNAME', '2.5.4.42'], ['I', '2.5.4.43'], ['INITIALS', '2.5.4.43'], ['GENERATION', '2.5.4.44'],
  ['GENERATIONQUALIFIER', '2.5.4.44'], ['DNQ', '2.5.4.46'], ['DNQUALIFIER', '2.5.4.46'], ['DC', '0.9.2342.19200300.100.1.25'], ['DOMAINCOMPONENT', '0.9.2342.19200300.100.1.25'],
  ['UID', '0.9.2342.19200300.100.1.1'], ['USERID', '0.9.2342.19200300.100.1.1'], ['E', '1.2.840.113549.1.9.1'], ['EMAIL', '1.2.840.113549.1.9.1'],
  ['EMAILADDRESS', '1.2.840.113549.1.9.1'],
])
// RFC 4514 §3: the types that every reader knows by name; all others are written as numbers.
const SHORT_NAMES: ReadonlyMap<string, string> = new Map(['CN', 'L', 'ST', 'O', 'OU', 'C', 'STREET', 'DC', 'UID'].map((name) => [OIDS.get(name) ?? '', name]))

/** RFC 4514 text of a DER Name: the last RDN first. @throws {RangeError} */
export function nameText(der: Uint8Array): string {
  const rdns = derValues(derValue(der, 0x30).body).map((rdn) => derValues(rdn.body).map(({ body }) => attributeText(body)).join('+'))
  return rdns.reverse().join(',')
}
function attributeText(body: Uint8Array): string {
  const [type, value, ...more] = derValues(body)
  if (type?.tag !== 0x06 || value === undefined || more.length > 0) throw new RangeError('DER: no attribute of a name')
  const oid = derOid(type.body)
  const short = SHORT_NAMES.get(oid)
  const text = derText(value)
  // RFC 4514 §2.4: a type without a name, or a value that is no string, is written as the hex of its DER.
  return short === undefined || text === undefined ? `${short ?? oid}=#${Buffer.from(value.raw).toString('hex')}` : `${short}=${escaped(text)}`
}
const escaped = (text: string): string =>
  text.replace(/[\\"+,;<>]|^[ #]| $/g, '\\$&').replace(/[\u0000-\u001f\u007f]/g, (control) => `\\${control.charCodeAt(0).toString(16).padStart(2, '0')}`)

/** True when both texts name the same: types by meaning, values without regard to case and spacing, in order or in the reverse of it. */
export function sameIssuer(a: string, b: string): boolean {
  if (a === b) return a.length <= LONGEST_NAME
  const left = parsed(a)
  const right = parsed(b)
  if (left === undefined || right === undefined || left.length !== right.length) return false
  return left.every((rdn, i) => rdn === right[i]) || left.every((rdn, i) => rdn === right[right.length - 1 - i])
}

/** One comparable string per RDN; undefined when the text is no name. */
function parsed(text: string): readonly string[] | undefined {
  if (text.length > LONGEST_NAME || text.trim() === '') return undefined
  const rdns: string[] = []
  let attributes: string[] = []
  for (const { piece, end } of pieces(text)) {
    const attribute = comparable(piece)
    if (attribute === undefined) return undefined
    attributes.push(attribute)
    if (end === '+') continue
    rdns.push(attributes.sort().join('\u0000'))
    attributes = []
  }
  return attributes.length === 0 ? rdns : undefined
}

/** Cut at separators that are neither escaped nor quoted. */
function* pieces(text: string): Generator<{ readonly piece: string; readonly end: string }> {
  let start = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? ''
    if (char === '\\') i++
    else if (char === '"') quoted = !quoted
    else if (!quoted && (char === ',' || char === ';' || char === '+')) {
      yield { piece: text.slice(start, i), end: char }
      start = i + 1
    }
  }
  yield { piece: text.slice(start), end: '' }
}

function comparable(piece: string): string | undefined {
  const equals = piece.indexOf('=')
  if (equals < 1) return undefined
  const type = piece.slice(0, equals).trim().toUpperCase().replace(/^OID\./, '')
  const oid = OIDS.get(type) ?? (/^\d+(\.\d+)+$/.test(type) ? type : undefined)
  const value = valueText(trimmed(piece.slice(equals + 1)))
  if (oid === undefined || value === undefined) return undefined
  return `${oid}=${value.trim().replace(/\s+/g, ' ').toLowerCase()}`
}
/** Without the spaces around it; a trailing space that is escaped stays. */
function trimmed(text: string): string {
  const body = text.trim()
  return body.endsWith('\\') && text.trimStart().length > body.length ? `${body} ` : body
}
function valueText(text: string): string | undefined {
  if (text.startsWith('#')) return hexText(text.slice(1))
  const inner = text.length > 1 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text
  const bytes: Buffer[] = []
  // RFC 4514 §3: \ and two hex digits is an octet of UTF-8; \ and a character is the character.
  for (const [piece] of inner.matchAll(/\\[0-9A-Fa-f]{2}|\\[\s\S]|[^\\]+|\\/gu)) {
    if (piece === '\\') return undefined
    bytes.push(/^\\[0-9A-Fa-f]{2}$/.test(piece) ? Buffer.from(piece.slice(1), 'hex') : Buffer.from(piece.startsWith('\\') ? piece.slice(1) : piece, 'utf8'))
  }
  return Buffer.concat(bytes).toString('utf8')
}
function hexText(hex: string): string | undefined {
  if (!/^([0-9A-Fa-f]{2})+$/.test(hex)) return undefined
  try {
    const [value, ...more] = derValues(Buffer.from(hex, 'hex'))
    if (value === undefined || more.length > 0) return undefined
    return derText(value) ?? `#${hex.toLowerCase()}`
  } catch {
    return undefined
  }
}
