/**
 * How the elements of a Security header may look: these children and no others, text without elements in it, canonical base64,
 * numbers as the schema writes them. And how a refusal is made: what it is called inside, which fault the peer is told.
 *
 * @module
 */
import { FAULTS, SecurityFailure } from '../errors.ts'
import type { Element } from '../xml/tree.ts'

/** A check of signature, coverage or decryption failed: one outward face for all of them. */
export const failed = (code: string, message: string): SecurityFailure => new SecurityFailure(code, message, FAULTS.failedCheck)
/** The header is not built as it must be. */
export const invalid = (code: string, message: string): SecurityFailure => new SecurityFailure(code, message, FAULTS.invalidSecurity)
/** An algorithm without a row, or not in the policy. */
export const unsupported = (what: string): SecurityFailure => new SecurityFailure('ERR_WSS_ALGORITHM', `${what}: an algorithm that is not accepted here`, FAULTS.unsupportedAlgorithm)

/** The row of an algorithm that is known and allowed. */
export function algorithm<T extends { readonly uri: string }>(rows: ReadonlyMap<string, T>, uri: string | undefined, allowed: ReadonlySet<string> | undefined, what: string): T {
  const row = uri === undefined ? undefined : rows.get(uri)
  if (row === undefined || (allowed !== undefined && !allowed.has(row.uri))) throw unsupported(what)
  return row
}

/** The one child of that name; no other of it may stand beside. */
export function only(parent: Element, ns: string, local: string): Element {
  const child = optional(parent, ns, local)
  if (child === undefined) throw invalid('ERR_WSS_STRUCTURE', `${parent.local} without ${local}`)
  return child
}
export function optional(parent: Element, ns: string, local: string): Element | undefined {
  const [first, second] = parent.all(ns, local)
  if (second !== undefined) throw invalid('ERR_WSS_STRUCTURE', `${local} stands twice in ${parent.local}`)
  return first
}
/** Every child element must be one of these. */
export function nothingBut(parent: Element, ...names: readonly (readonly [ns: string, local: string])[]): void {
  for (const child of parent.elements()) {
    if (!names.some(([ns, local]) => child.is(ns, local))) throw invalid('ERR_WSS_STRUCTURE', `${parent.local} holds something that does not belong there`)
  }
}
/** The child elements, which must be these, in this order. */
export function exactly(parent: Element, ns: string, ...locals: readonly string[]): readonly Element[] {
  const children = parent.elements()
  if (children.length !== locals.length || !children.every((child, index) => child.is(ns, locals[index] ?? ''))) throw invalid('ERR_WSS_STRUCTURE', `${parent.local} is not built as it must be`)
  return children
}

/** All text of an element that may hold nothing else: an element in it must not hide a part of the value. */
export function textOf(element: Element): string {
  if (!element.isLeaf) throw invalid('ERR_WSS_STRUCTURE', `${element.local} holds more than text`)
  return element.text
}
export const trimmed = (element: Element): string => textOf(element).replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '')

/** Canonical base64, with white space anywhere; one value has one spelling, so that nothing can be sent again in another. */
export function base64Of(element: Element): Buffer {
  return base64(textOf(element), element.local)
}
export function base64(text: string, what: string): Buffer {
  const compact = /[ \t\r\n]/.test(text) ? text.replace(/[ \t\r\n]+/g, '') : text
  const bytes = Buffer.from(compact, 'base64')
  if (bytes.length === 0 || bytes.toString('base64') !== compact) throw invalid('ERR_WSS_BASE64', `${what} is empty or not canonical base64`)
  return bytes
}

/** xs:unsignedLong, as far as a safe integer goes. */
export function unsigned(element: Element): number {
  const text = trimmed(element)
  const value = /^\+?[0-9]{1,20}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) throw invalid('ERR_WSS_DERIVATION', `${element.local} is no number of a size that is accepted`)
  return value
}
