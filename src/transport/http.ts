/**
 * What client and server side of HTTP share: the framework-neutral request and response, the media types of SOAP, and a body read under a cap.
 *
 * @module
 */
import { WsrmError } from '../errors.ts'

export interface HttpRequest {
  readonly method: string
  readonly url: string
  readonly headers: HttpHeaders
  /** Whole, or as it comes in; it is read under the cap of `limits.messageBytes`. */
  readonly body: Uint8Array | AsyncIterable<Uint8Array>
  readonly tls?: { /** DER of the certificate that the peer proved to have; whether it is trusted is not decided here. */ readonly peerCertificate?: Uint8Array }
  readonly remoteAddress?: string
}
export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}
/** Names in lower case, as node:http has them. */
export type HttpHeaders = Readonly<Record<string, string | readonly string[] | undefined>>
export interface Wait { readonly signal?: AbortSignal; readonly timeoutMs?: number }

/** A request that is answered by a status of HTTP before it is SOAP at all. */
export class HttpRefused extends WsrmError {
  readonly status: number
  constructor(status: number, code: string, message: string) {
    super(code, message)
    this.status = status
  }
}

export const NO_BODY: Uint8Array = new Uint8Array(0)

/** The header's one value; undefined when it is absent; several are as good as none that could be understood. */
export function headerValue(headers: HttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.length === 1 ? value[0] : value?.join(', ')
}

export interface SoapMediaType { readonly soap: '1.1' | '1.2'; /** The `action` parameter of application/soap+xml, where it is given. */ readonly action?: string }
const SOAP_OF = new Map<string, '1.1' | '1.2'>([['text/xml', '1.1'], ['application/soap+xml', '1.2']])

/**
 * Reads a Content-Type; undefined for everything that is no plain SOAP message: multipart (attachments and XOP are not spoken here), HTML, nothing,
 * or a charset other than UTF-8 and UTF-16.
 */
export function soapMediaType(contentType: string | undefined): SoapMediaType | undefined {
  if (contentType === undefined || contentType.length > 4_096) return undefined
  const [type = '', ...parameters] = splitParameters(contentType)
  const soap = SOAP_OF.get(type.trim().toLowerCase())
  if (soap === undefined) return undefined
  let action: string | undefined
  for (const parameter of parameters) {
    const at = parameter.indexOf('=')
    if (at < 0) continue
    const name = parameter.slice(0, at).trim().toLowerCase()
    const value = unquote(parameter.slice(at + 1).trim())
    if (name === 'charset' && !/^utf-?(8|16)$/i.test(value)) return undefined
    if (name === 'action') action = value
  }
  return action === undefined ? { soap } : { soap, action }
}

/** At semicolons outside of quotes. */
function splitParameters(text: string): string[] {
  const parts: string[] = []
  let part = ''
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? ''
    if (quoted && char === '\\') {
      part += char + (text[++at] ?? '')
      continue
    }
    if (char === '"') quoted = !quoted
    if (char === ';' && !quoted) {
      parts.push(part)
      part = ''
    } else part += char
  }
  parts.push(part)
  return parts
}
const unquote = (text: string): string => text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text

/** SOAP 1.1 §6.1.1 (text/xml, quoted SOAPAction) and SOAP 1.2 part 2 §7 with RFC 3902 (application/soap+xml, action parameter). */
export function soapHeaders(soap: '1.1' | '1.2', action: string | undefined): Record<string, string> {
  // RFC 9110 §5.5: a field value is printable ASCII. An action that is not says nothing here; wsa:Action says it in any case.
  const said = action !== undefined && /^[\x20-\x7e]*$/.test(action) ? action : undefined
  const quoted = `"${(said ?? '').replace(/[\\"]/g, '\\$&')}"`
  if (soap === '1.1') return { 'content-type': 'text/xml; charset=utf-8', soapaction: quoted }
  return { 'content-type': `application/soap+xml; charset=utf-8${said === undefined ? '' : `; action=${quoted}`}` }
}

/** Only the message itself is spoken: no compression, whose content has no bound. */
export const isIdentity = (headers: HttpHeaders): boolean => {
  const coding = headerValue(headers, 'content-encoding')
  return coding === undefined || coding.trim() === '' || coding.trim().toLowerCase() === 'identity'
}

/**
 * The whole body, not one byte over `most`.
 *
 * @throws {HttpRefused} 413, as soon as it is known
 */
export async function readBody(body: HttpRequest['body'], most: number): Promise<Uint8Array> {
  if (body instanceof Uint8Array) {
    if (body.length > most) throw tooLarge(most)
    return body
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > most) throw tooLarge(most)
    chunks.push(chunk)
  }
  const [only] = chunks
  if (chunks.length === 1 && only !== undefined) return only
  const whole = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}
export const tooLarge = (most: number): HttpRefused => new HttpRefused(413, 'ERR_HTTP_TOO_LARGE', `the message has more than ${most} bytes`)
