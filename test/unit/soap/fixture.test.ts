/** The headers, and the Bodies that are in clear, of every recorded message of other stacks are read as it was established that they say. */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { readAddressing, UNDERSTOOD_ADDRESSING } from '../../../src/soap/addressing.ts'
import { requireUnderstood } from '../../../src/soap/envelope.ts'
import { readReliable, type Reliable, UNDERSTOOD_RELIABLE } from '../../../src/soap/reliable.ts'
import { readTokenRequest, readTokenResponse, readTrustAction } from '../../../src/soap/trust.ts'
import { NS } from '../../../src/spec/versions.ts'
import { split } from './read.ts'

interface Expected {
  readonly opened: boolean | null
  readonly soap?: string
  readonly action?: string
  readonly messageId?: string
  readonly relatesTo?: string
  readonly sequence?: { readonly identifier: string; readonly number: number; readonly lastMessage?: boolean }
  readonly acknowledgement?: readonly { readonly identifier: string; readonly ranges: readonly (readonly [number, number])[]; readonly final?: boolean; readonly none?: boolean }[]
  readonly ackRequested?: readonly string[]
  readonly createSequence?: { readonly acksTo?: string; readonly offer?: string; readonly str?: { readonly uri: string; readonly valueType?: string } }
  readonly createSequenceResponse?: { readonly identifier: string; readonly acceptAcksTo?: string }
  readonly rmBody?: { readonly element: string; readonly identifier?: string; readonly lastMsgNumber?: number }
}
const root = new URL('../../fixture/', import.meta.url)
const understood = new Set([...UNDERSTOOD_ADDRESSING, ...UNDERSTOOD_RELIABLE, `{${NS.wsse}}Security`])

const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name)
test('there are recordings', () => { expect(folders.length).toBeGreaterThan(20) })

/** The `expect` of these says SOAP 1.2; their envelopes, media types and own `versions` say 1.1. */
const NOTED_WRONG: ReadonlySet<string> = new Set(['metro-metro-soap11'])

test.each(folders)('%s', (folder) => {
  const { messages, versions } = JSON.parse(readFileSync(new URL(`${folder}/conversation.json`, root), 'utf8')) as { versions: { soap: string }; messages: readonly { file: string | null; expect?: Expected }[] }
  for (const { file, expect: expected } of messages) {
    if (file === null || expected?.opened !== true) continue
    const envelope = split(readFileSync(new URL(`${folder}/${file}`, root), 'utf8'))
    requireUnderstood(envelope, understood)
    const addressing = readAddressing(envelope)
    const read = readReliable(envelope, { addressing: addressing?.version })
    const said = { soap: envelope.soap.name, action: addressing?.action, messageId: addressing?.messageId, relatesTo: addressing?.relatesTo, ...headers(read), ...body(read) }
    expect(said.soap, file).toBe(NOTED_WRONG.has(folder) ? versions.soap : (expected.soap ?? said.soap))
    for (const name of ['action', 'messageId', 'relatesTo', 'sequence', 'acknowledgement', 'ackRequested'] as const) {
      if (expected[name] !== undefined) expect(said[name], `${file} ${name}`).toEqual(expected[name])
    }
    const encrypted = read.body.kind === 'application' && read.body.element.is(NS.xenc, 'EncryptedData')
    if (encrypted) continue
    for (const name of ['createSequence', 'createSequenceResponse', 'rmBody'] as const) {
      if (expected[name] === undefined) continue
      // How a reference is called differs from one recording to the other.
      const { str, ...rest } = expected[name] as Expected['createSequence'] & object
      expect(said, `${file} ${name}`).toMatchObject({ [name]: { ...rest, ...(str !== undefined && { str: { uri: str.uri, valueType: str.valueType } }) } })
    }
    const trust = readTrustAction(addressing?.action ?? '')
    if (trust !== undefined && read.body.kind === 'application') {
      const words = trust.direction === 'request' ? readTokenRequest(read.body.element) : readTokenResponse(read.body.element, trust.kind)
      expect(words).toMatchObject({ kind: trust.kind, sc: trust.sc })
    }
  }
})

function headers({ sequence, acknowledgements, ackRequested }: Reliable): Pick<Expected, 'sequence' | 'acknowledgement' | 'ackRequested'> {
  return {
    ...(sequence !== undefined && { sequence: { identifier: sequence.id, number: Number(sequence.number), ...(sequence.last && { lastMessage: true }) } }),
    acknowledgement: acknowledgements.map((each) => ({
      identifier: each.sequence, ranges: each.ranges.map(([lower, upper]) => [Number(lower), Number(upper)] as const), ...(each.final && { final: true }), ...(each.none && { none: true }),
    })),
    ackRequested: ackRequested.map((each) => each.id),
  }
}
const NAMES = { 'close-sequence': 'CloseSequence', 'terminate-sequence': 'TerminateSequence', 'close-sequence-response': 'CloseSequenceResponse', 'terminate-sequence-response': 'TerminateSequenceResponse' } as const
const addressOf = (address: { readonly kind: string; readonly address?: string }): string => address.address ?? 'http://www.w3.org/2005/08/addressing/anonymous'
function body({ body: read }: Reliable): Pick<Expected, 'createSequence' | 'createSequenceResponse' | 'rmBody'> {
  if (read.kind === 'create-sequence') return { createSequence: { acksTo: addressOf(read.acksTo), ...(read.offer !== undefined && { offer: read.offer.sequence }), ...(read.str !== undefined && { str: read.str }) } }
  if (read.kind === 'create-sequence-response') return { createSequenceResponse: { identifier: read.sequence, ...(read.accept !== undefined && { acceptAcksTo: addressOf(read.accept.acksTo) }) } }
  if (read.kind === 'make-connection') return { rmBody: { element: 'MakeConnection' } }
  if (!(read.kind in NAMES) || !('sequence' in read)) return {}
  return { rmBody: { element: NAMES[read.kind as keyof typeof NAMES], identifier: read.sequence, ...('lastNumber' in read && read.lastNumber !== undefined && { lastMsgNumber: Number(read.lastNumber) }) } }
}
