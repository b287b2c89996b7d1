/**
 * Structure-aware mutation: elements moved, doubled, dropped, swapped, wrapped; attributes and texts exchanged or spoiled.
 * A mutant is refused with one of our errors, or it opens and says in every protected word what the original said.
 */
import { PeerViolation, SecurityFailure, XmlError } from '../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { ADDRESSING_VERSIONS, RM_VERSIONS } from '../../src/spec/versions.ts'
import type { Keys, Opened, Policy } from '../../src/wss/keys.ts'
import { open, read } from '../../src/wss/open.ts'
import { canonicalize } from '../../src/xml/canonical.ts'
import { readDocument } from '../../src/xml/reader.ts'
import type { Element } from '../../src/xml/tree.ts'

export interface Subject { readonly name: string; readonly xml: string; readonly keys: Keys; readonly policy: Policy; readonly now: number }
export interface Outcome { readonly opened: number; readonly refused: ReadonlyMap<string, number> }

/** mulberry32: the same numbers for the same seed. */
export function chance(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296 * below) | 0
  }
}

interface Piece { readonly start: number; readonly end: number }
function elementsOf(xml: string): readonly Piece[] {
  const found: Piece[] = []
  const visit = (element: Element): void => {
    found.push(element)
    for (const child of element.elements()) visit(child)
  }
  visit(readDocument(Buffer.from(xml), DEFAULT_LIMITS).root)
  return found
}
const VALUES = /(?<==")[^"]*(?=")|(?<=>)[^<>]+(?=<)/g
const valuesOf = (xml: string): readonly Piece[] => [...xml.matchAll(VALUES)].map((match) => ({ start: match.index, end: match.index + match[0].length }))

type Mutation = (xml: string, any: <T>(of: readonly T[]) => T, below: (most: number) => number) => string
const cut = (xml: string, { start, end }: Piece): string => xml.slice(0, start) + xml.slice(end)
const text = (xml: string, { start, end }: Piece): string => xml.slice(start, end)
const put = (xml: string, { start, end }: Piece, what: string): string => xml.slice(0, start) + what + xml.slice(end)
const inside = (xml: string, piece: Piece): number => Math.min(xml.indexOf('>', piece.start) + 1, piece.end)
const WORDS = ['', '#', '#_body', '_body', '0', '1', '-1', '4096', '99999999999', 'AAAA', 'urn:uuid:sct-B', 'http://www.w3.org/2000/09/xmldsig#sha1', '::', 'constructor', '__proto__', '2026-01-15T10:00:00Z', ' ']
export const MUTATIONS: readonly Mutation[] = [
  (xml, any) => cut(xml, any(elementsOf(xml))),
  (xml, any) => { const one = any(elementsOf(xml)); return put(xml, one, text(xml, one).repeat(2)) },
  (xml, any) => { const [one, other] = [any(elementsOf(xml)), any(elementsOf(xml))]; return put(xml, one, text(xml, other)) },
  (xml, any) => { const [one, other] = [any(elementsOf(xml)), any(elementsOf(xml))]; return one.end <= other.start ? put(put(xml, other, text(xml, one)), one, text(xml, other)) : put(xml, one, `<w:W xmlns:w="urn:w">${text(xml, one)}</w:W>`) },
  (xml, any) => { const [one, other] = [any(elementsOf(xml)), any(elementsOf(xml))]; const at = inside(xml, other); return at > one.start && at <= one.end ? xml : at <= one.start ? put(cut(xml, one), { start: at, end: at }, text(xml, one)) : cut(put(xml, { start: at, end: at }, text(xml, one)), one) },
  (xml, any) => { const [one, other] = [any(elementsOf(xml)), any(elementsOf(xml))]; const at = inside(xml, other); return put(xml, { start: at, end: at }, text(xml, one)) },
  (xml, any) => { const [one, other] = [any(valuesOf(xml)), any(valuesOf(xml))]; return put(xml, one, text(xml, other)) },
  (xml, any) => put(xml, any(valuesOf(xml)), any(WORDS)),
  (xml, any, below) => { const one = any(valuesOf(xml)); const at = one.start + below(Math.max(1, one.end - one.start)); return put(xml, { start: at, end: at + 1 }, String.fromCharCode(33 + below(90)).replace(/[<&"]/, 'x')) },
  (xml, any) => { const one = any(elementsOf(xml)); const at = inside(xml, one) - 1; return xml[at - 1] === '/' ? xml : put(xml, { start: at, end: at }, any([' wsu:Id="_x"', ' Id="_body"', ' xml:id="_body"', ' s:role="urn:x"', ' xmlns=""', ' Type="x"'])) },
  (xml, any) => { const [one] = [...xml.matchAll(/ [\w:]+="[^"]*"/g)].map((match) => ({ start: match.index, end: match.index + match[0].length })).toSorted(() => any([-1, 1])); return one === undefined ? xml : cut(xml, one) },
]

/** What the message says, as far as it is protected. */
function said(opened: Opened): string {
  const { header, body, soap } = opened.envelope
  const ours = (header?.elements() ?? []).filter((each) => (ADDRESSING_VERSIONS.has(each.ns) || RM_VERSIONS.has(each.ns)) && each.attribute(soap.roleAttribute, soap.ns) === undefined)
  const { signer } = opened
  // A certificate that is not signed may be exchanged for another of the same key: whether that one is trusted is decided after opening.
  const by = signer?.kind === 'context' ? [signer.identifier, signer.instance] : signer?.kind === 'certificate' ? signer.certificate.publicKey.export({ type: 'spki', format: 'pem' }) : signer?.kind === 'encrypted-key' ? signer.sha1 : ''
  return JSON.stringify([ours.map((each) => canonicalize(each)).sort(), canonicalize(body), by, opened.timestamp])
}

class NothingLeft extends Error {}

/** Mutates `rounds` times, one to three mutations each. @throws {Error} a mutant opened and says something else, or broke the opener */
export function mutate(subject: Subject, seed: number, rounds: number): Outcome {
  const { xml, keys, policy, now } = subject
  const honest = said(open(read(Buffer.from(xml), DEFAULT_LIMITS), keys, policy, now))
  const below = chance(seed)
  const any = <T>(of: readonly T[]): T => {
    if (of.length === 0) throw new NothingLeft()
    return of[below(of.length)] as T
  }
  const refused = new Map<string, number>()
  let opened = 0
  for (let round = 0; round < rounds; round++) {
    let mutant = xml
    try {
      for (let times = 1 + below(3); times > 0; times--) mutant = any(MUTATIONS)(mutant, any, below)
    } catch (error) {
      // An earlier mutation left nothing to read, or nothing to change.
      if (error instanceof XmlError || error instanceof NothingLeft) continue
      throw error
    }
    try {
      const now_ = said(open(read(Buffer.from(mutant), DEFAULT_LIMITS), keys, policy, now))
      if (now_ !== honest) throw new Error(`${subject.name}, seed ${seed}, round ${round}: a mutant was believed: ${mutant}`)
      opened++
    } catch (error) {
      if (!(error instanceof SecurityFailure || error instanceof XmlError || error instanceof PeerViolation)) throw new Error(`${subject.name}, seed ${seed}, round ${round}: ${String(error)}`, { cause: error })
      refused.set(error.code, (refused.get(error.code) ?? 0) + 1)
    }
  }
  return { opened, refused }
}
