/**
 * XML Schema validation of whole envelopes with libxml2, offline: every import is resolved by its namespace to a file of this folder.
 *
 * Header, Body, Security and the token messages are lax wildcards: an element without a declaration is "not checked", not "invalid".
 * Therefore the validator also asks that every element in such a place is declared, beside those of the application.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { XmlBufferInputProvider, XmlDocument, XmlElement, XmlValidateError, XsdValidator, xmlRegisterInputProvider } from 'libxml2-wasm'

/** Which schema of the two that some namespaces have. */
export interface Dialect {
  readonly addressing: '200508' | '200408'
  /** `received` has the Detail of SequenceFault as stacks write it; the published text forbids a wsrm element there. */
  readonly faults: 'published' | 'received'
}

const FILES: Readonly<Record<string, string | ((dialect: Dialect) => string)>> = {
  'http://schemas.xmlsoap.org/soap/envelope/': 'soap-1.1.xsd',
  'http://www.w3.org/2003/05/soap-envelope': 'soap-1.2.xsd',
  'http://www.w3.org/2005/08/addressing': 'ws-addr.xsd',
  'http://schemas.xmlsoap.org/ws/2004/08/addressing': 'ws-addr-200408.xsd',
  'http://docs.oasis-open.org/ws-rx/wsrm/200702': ({ faults }) => (faults === 'received' ? 'wsrm-200702-cxf.xsd' : 'wsrm-200702.xsd'),
  'http://schemas.xmlsoap.org/ws/2005/02/rm': ({ addressing }) => (addressing === '200508' ? 'wsrm-200502-wsa10.xsd' : 'wsrm-200502.xsd'),
  'http://docs.oasis-open.org/ws-rx/wsmc/200702': 'wsmc-200702.xsd',
  'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd': 'oasis-200401-wss-wssecurity-secext-1.0.xsd',
  'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd': 'oasis-200401-wss-wssecurity-utility-1.0.xsd',
  'http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd': 'oasis-wss-wssecurity-secext-1.1.xsd',
  'http://docs.oasis-open.org/ws-sx/ws-secureconversation/200512': 'ws-secureconversation-1.3.xsd',
  'http://schemas.xmlsoap.org/ws/2005/02/sc': 'ws-secureconversation-200502.xsd',
  'http://docs.oasis-open.org/ws-sx/ws-trust/200512': 'ws-trust-1.3.xsd',
  'http://schemas.xmlsoap.org/ws/2005/02/trust': 'ws-trust-200502.xsd',
  'http://schemas.xmlsoap.org/ws/2004/09/policy': 'ws-policy.xsd',
  'http://www.w3.org/2000/09/xmldsig#': 'xmldsig-core-schema.xsd',
  'http://www.w3.org/2001/04/xmlenc#': 'xenc-schema.xsd',
  'http://www.w3.org/2001/10/xml-exc-c14n#': 'exc-c14n.xsd',
  'http://www.w3.org/XML/1998/namespace': 'xml.xsd',
}
const fileOf = (namespace: string, dialect: Dialect): string | undefined => {
  const file = FILES[namespace]
  return typeof file === 'function' ? file(dialect) : file
}

/** Elements whose content the schemas leave open. */
const OPEN = ['Header', 'Body', 'Security', 'RequestSecurityToken', 'RequestSecurityTokenResponse', 'SecurityContextToken', 'SecurityTokenReference', 'Timestamp', 'SequenceFault']
const IN_OPEN_PLACES = `//*[${OPEN.map((local) => `local-name()='${local}'`).join(' or ')}]/*`
/** What an application puts there. */
const FOREIGN = /^urn:example/

const nameOf = (element: XmlElement): string => `{${element.namespaceUri}}${element.name}`
const elementsAt = (document: XmlDocument, path: string): readonly XmlElement[] => document.find(path).filter((node) => node instanceof XmlElement)

/** Every schema under one address per dialect; what an import says about its place is replaced by where the namespace's file lies. */
function place(dialect: Dialect): { readonly address: string; readonly declared: ReadonlySet<string> } {
  const address = `memory://${dialect.addressing}-${dialect.faults}`
  const buffers: Record<string, Uint8Array> = {}
  const declared = new Set<string>()
  for (const namespace of Object.keys(FILES)) {
    const name = fileOf(namespace, dialect) ?? ''
    const text = readFileSync(new URL(name, import.meta.url), 'utf8')
      .replace(/^\uFEFF/, '')
      // xenc-schema.xsd and others have a DOCTYPE that points to the network; the entities that it declares are not used.
      .replace(/<!DOCTYPE[^[>]*(?:\[[\s\S]*?\]\s*)?>/, '')
      .replace(/<\?xml-stylesheet[^>]*\?>/, '')
      .replace(/<((?:\w+:)?import)\b([^>]*)>/g, (tag, element: string, rest: string) => {
        const imported = /namespace\s*=\s*(["'])(.*?)\1/.exec(rest)?.[2] ?? ''
        const file = fileOf(imported, dialect)
        return file === undefined ? tag : `<${element} namespace="${imported}" schemaLocation="${address}/${file}"${rest.trimEnd().endsWith('/') ? '/' : ''}>`
      })
    buffers[`${address}/${name}`] = new TextEncoder().encode(text)
    const schema = XmlDocument.fromString(text)
    for (const element of elementsAt(schema, "/*/*[local-name()='element']")) declared.add(`{${namespace}}${element.attr('name')?.value}`)
    schema.dispose()
  }
  xmlRegisterInputProvider(new XmlBufferInputProvider(buffers))
  return { address, declared }
}

export interface Validator {
  /** What the schemas find wrong; empty when the message is valid. */
  problems(xml: string): readonly string[]
}
const made = new Map<string, Validator>()

export function validatorFor(dialect: Dialect): Validator {
  const key = `${dialect.addressing} ${dialect.faults}`
  const validator = made.get(key) ?? makeValidator(dialect)
  made.set(key, validator)
  return validator
}

function makeValidator(dialect: Dialect): Validator {
  const { address, declared } = place(dialect)
  const imports = Object.keys(FILES).map((namespace) => `<xs:import namespace="${namespace}" schemaLocation="${address}/${fileOf(namespace, dialect)}"/>`)
  const schema = XmlDocument.fromString(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">${imports.join('')}</xs:schema>`)
  const xsd = XsdValidator.fromDoc(schema)
  return {
    problems(xml) {
      const document = XmlDocument.fromString(xml)
      const undeclared = elementsAt(document, IN_OPEN_PLACES)
        .filter((element) => !FOREIGN.test(element.namespaceUri) && !declared.has(nameOf(element)) && !isLocal(element))
        .map((element) => `no declaration of ${nameOf(element)}`)
      try {
        xsd.validate(document)
        return undeclared
      } catch (error) {
        if (!(error instanceof XmlValidateError)) throw error
        return [...error.details.map((detail) => detail.message.trim()), ...undeclared]
      } finally {
        document.dispose()
      }
    },
  }
}

/** SOAP 1.1 and RM declare some children inside the type of their parent: those are not open. */
const isLocal = (element: XmlElement): boolean => element.parent?.namespaceUri === element.namespaceUri && /^(?:FaultCode|Detail|Fault)$/.test(element.name)
