/** For the tests here: text to the parts of an envelope, and parts to an envelope and back. */
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { type EnvelopeParts, type MessageParts, writeEnvelope } from '../../../src/soap/envelope.ts'
import { SOAP_VERSIONS, SOAP12, type SoapVersion } from '../../../src/spec/versions.ts'
import { readDocument, readElement } from '../../../src/xml/reader.ts'

export function split(xml: string): EnvelopeParts {
  const { root } = readDocument(Buffer.from(xml), DEFAULT_LIMITS)
  const soap = SOAP_VERSIONS.get(root.ns)
  const body = root.elements().find((each) => each.local === 'Body')
  if (soap === undefined || body === undefined) throw new Error('no envelope')
  return { soap, header: root.elements().find((each) => each.local === 'Header'), body }
}

const NAMESPACES = [
  'xmlns:wsa="http://www.w3.org/2005/08/addressing"', 'xmlns:wsa04="http://schemas.xmlsoap.org/ws/2004/08/addressing"',
  'xmlns:wsrm="http://docs.oasis-open.org/ws-rx/wsrm/200702"', 'xmlns:wsrm10="http://schemas.xmlsoap.org/ws/2005/02/rm"',
  'xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"',
  'xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"',
  'xmlns:wsc="http://docs.oasis-open.org/ws-sx/ws-secureconversation/200512"', 'xmlns:wsc05="http://schemas.xmlsoap.org/ws/2005/02/sc"',
  'xmlns:wst="http://docs.oasis-open.org/ws-sx/ws-trust/200512"', 'xmlns:wst05="http://schemas.xmlsoap.org/ws/2005/02/trust"',
].join(' ')
/** An envelope around header and Body content written by hand. */
export const by = (header: string, body = '', soap: SoapVersion = SOAP12): EnvelopeParts =>
  split(`<s:Envelope xmlns:s="${soap.ns}" ${NAMESPACES}><s:Header>${header}</s:Header><s:Body>${body}</s:Body></s:Envelope>`)
/** One element written by hand. */
export const one = (xml: string): ReturnType<typeof readElement> => readElement(xml.replace(/^<([\w:]+)/, `<$1 ${NAMESPACES}`), DEFAULT_LIMITS)

/** Parts written as an envelope and read again. */
export function through(soap: SoapVersion, parts: Pick<MessageParts, 'headers' | 'body' | 'declarations'>): EnvelopeParts {
  const body = parts.body.map((each) => (typeof each === 'string' ? readElement(each, DEFAULT_LIMITS) : each))
  return split(writeEnvelope(soap, { ...parts, body }))
}
