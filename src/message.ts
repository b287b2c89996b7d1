/**
 * What handlers and callers see of a message: verified content only, as XML text or, when asked for, as a DOM.
 *
 * @module
 */
import { UsageError } from './errors.ts'
import type { Content, Delivery } from './rm/turn.ts'
import type { Principal, TokenId } from './sct/token.ts'
import type { QName } from './xml/tree.ts'
import { selectNodes, toDom, type XmlDocument, type XmlNode } from './xml/dom.ts'

/** The element inside Body, as text or UTF-8 bytes: read by the strict reader and written canonically. */
export type XmlBody = string | Uint8Array

export interface Reply {
  readonly action: string
  /** Canonical XML of the element inside Body; '' for an empty Body. */
  readonly body: string
  /** Canonical XML of the header blocks that are not WS-Addressing, WS-RM or WS-Security. */
  readonly headers: readonly string[]
  /** A DOM of the body, made when asked for. */
  dom(): XmlDocument
  select(xpath: string, namespaces: Readonly<Record<string, string>>): readonly XmlNode[]
}
export interface Message extends Reply {
  readonly sequence: string
  readonly number: number
  readonly messageId?: string
  readonly soap: '1.1' | '1.2'
  readonly principal: Principal
  readonly tokenId: TokenId
  readonly covered: readonly QName[]
}
export interface Outcome<Tx = never> {
  /** Action: by default that of the request with 'Response' behind it. */
  readonly reply?: { readonly action?: string; readonly body: XmlBody; readonly headers?: readonly XmlBody[] }
  /** The application's own effect, in the very commit that consumes the message (D18). With SQLite: synchronous. Without a store there is no commit. */
  readonly commit?: Commit<Tx>
}
/** `never`: no store, so nothing to write with. A database that works without waiting can wait for nothing: a promise would be too late. */
export type Commit<Tx> = [Tx] extends [never] ? undefined : (tx: Tx) => Tx extends SynchronousTx ? void | undefined : void | Promise<void>
/** What tells node:sqlite's DatabaseSync by, without naming it. */
export interface SynchronousTx { readonly isTransaction: boolean; readonly isOpen: boolean }

/** Thrown by a handler: the message is consumed and answered with this fault. Anything else that is thrown means: try again. */
export class ApplicationFault extends Error {
  readonly code: 'Sender' | 'Receiver'
  readonly subcode: QName | undefined
  readonly reason: string
  readonly detail: XmlBody | undefined
  constructor(fault: { readonly code: 'Sender' | 'Receiver'; readonly subcode?: QName; readonly reason: string; readonly detail?: XmlBody }) {
    super(fault.reason)
    this.name = 'ApplicationFault'
    this.code = fault.code
    this.subcode = fault.subcode
    this.reason = fault.reason
    this.detail = fault.detail
  }
}

export function replyOf(content: Content): Reply {
  let document: XmlDocument | undefined
  const dom = (): XmlDocument => {
    if (content.body === '') throw new UsageError('ERR_BODY_EMPTY', 'the Body is empty: there is no document')
    document ??= toDom(content.body)
    return document
  }
  return {
    action: content.action, body: content.body, headers: content.headers,
    dom, select: (xpath, namespaces) => selectNodes(dom(), xpath, namespaces),
  }
}

export function messageOf(delivery: Delivery, tokenId: TokenId): Message {
  const { content, soap, principal, covered } = delivery.received
  return {
    ...replyOf(content), sequence: delivery.sequence, number: delivery.number, messageId: content.messageId,
    soap, principal, tokenId, covered: covered as readonly QName[],
  }
}
