/**
 * What anyone on the wire sees of a message: which it is, its token and sequence, its numbers, what is signed and what is encrypted.
 * No key is used here: the checking is done by the two ends; this only names the parts.
 *
 * @module
 */
import { DEFAULT_LIMITS } from '../src/options.ts'
import { NS, RM11 } from '../src/spec/versions.ts'
import { readDocument } from '../src/xml/reader.ts'
import type { Element } from '../src/xml/tree.ts'

export interface Shape {
  readonly kind: string
  readonly token?: string
  readonly sequence?: string
  readonly number?: string
  readonly acknowledges: readonly string[]
  readonly signed: readonly string[]
  readonly encrypted: readonly string[]
  readonly bytes: number
}
const KINDS: readonly (readonly [suffix: string, kind: string])[] = [
  ['/RST/SCT/Cancel', 'RST/SCT/Cancel'], ['/RSTR/SCT/Cancel', 'RSTR/SCT/Cancel'], ['/RST/SCT', 'RST/SCT'], ['/RSTR/SCT', 'RSTR/SCT'],
]

export function shapeOf(body: Uint8Array): Shape {
  const { root, ids } = readDocument(body, DEFAULT_LIMITS)
  const everything = [...walk(root)]
  const find = (local: string): Element | undefined => everything.find((element) => element.local === local)
  const action = find('Action')?.text ?? ''
  const kind = KINDS.find(([suffix]) => action.endsWith(suffix))?.[1] ?? action.slice(Math.max(action.lastIndexOf('/'), action.lastIndexOf(':')) + 1)
  const sequence = find('Sequence') ?? everything.find((element) => element.parent?.parent?.local === 'Body' && element.local === 'Identifier')?.parent
  const reference = everything.find((element) => element.local === 'Reference' && element.ns === NS.wsse && !(element.attribute('URI') ?? '#').startsWith('#'))
  const token = everything.find((element) => element.local === 'SecurityContextToken')?.elements()[0]?.text ?? reference?.attribute('URI')
  const number = find('MessageNumber')?.text
  const identifier = sequence?.first(RM11.ns, 'Identifier')?.text
  return {
    kind, bytes: body.length,
    ...(token === undefined ? {} : { token }), ...(identifier === undefined ? {} : { sequence: identifier }), ...(number === undefined ? {} : { number }),
    acknowledges: everything.filter((element) => element.local === 'SequenceAcknowledgement').map(ranges),
    signed: everything.filter((element) => element.is(NS.ds, 'Reference')).map((element) => ids.get((element.attribute('URI') ?? '').slice(1))?.local ?? '?'),
    encrypted: everything.filter((element) => element.is(NS.xenc, 'EncryptedData')).map((element) => (element.parent?.local === 'Body' ? 'Body' : 'Signature')),
  }
}

function ranges(acknowledgement: Element): string {
  const spans = acknowledgement.elements().filter((element) => element.local === 'AcknowledgementRange').map((element) => {
    const [lower, upper] = [element.attribute('Lower'), element.attribute('Upper')]
    return lower === upper ? `${lower}` : `${lower}-${upper}`
  })
  const final = acknowledgement.elements().some((element) => element.local === 'Final') ? ' final' : ''
  return `${spans.length === 0 ? 'none' : spans.join(',')}${final}`
}

function* walk(element: Element): Generator<Element> {
  yield element
  for (const child of element.elements()) yield* walk(child)
}
