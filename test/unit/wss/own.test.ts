/** What is written here is opened here, whole; changed by one character it is refused, or says the same. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PeerViolation, SecurityFailure, XmlError } from '../../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../../src/options.ts'
import { readAddressing, UNDERSTOOD_ADDRESSING } from '../../../src/soap/addressing.ts'
import { requireUnderstood } from '../../../src/soap/envelope.ts'
import { readReliable, UNDERSTOOD_RELIABLE } from '../../../src/soap/reliable.ts'
import { readTokenRequest, readTokenResponse, readTrustAction } from '../../../src/soap/trust.ts'
import { NS } from '../../../src/spec/versions.ts'
import { authenticate } from '../../../src/wss/authenticate.ts'
import type { Keys, Opened, Policy } from '../../../src/wss/keys.ts'
import { open, read } from '../../../src/wss/open.ts'
import { canonicalize } from '../../../src/xml/canonical.ts'
import { CLIENT, CONTEXT, everyKind, type Kind, NOW, SECRET, SERVER } from '../../schema/kinds.ts'

const INSTANCE = 'urn:uuid:0f4a5f0e-3f5e-4a51-8a77-5d6c1f1f9e02'
const isAnswer = (kind: Kind): boolean => kind.name.startsWith('RSTR')
const keysFor = (kind: Kind): Keys => ({
  contexts: (identifier) => (identifier === CONTEXT ? [{ identifier, instance: undefined, secret: SECRET }, { identifier, instance: INSTANCE, secret: SECRET }] : []),
  certificates: [CLIENT.certificate, SERVER.certificate], privateKeys: [(isAnswer(kind) ? CLIENT : SERVER).key], encryptedKey: () => undefined,
})
const policyFor = (kind: Kind, encryptBody = false): Policy => ({
  level: 'headers', encryptBody, signer: kind.by === 'context' ? 'context' : 'bootstrap', skewMs: 60_000, lifeMs: 300_000, limits: DEFAULT_LIMITS,
})
const opened = (kind: Kind, xml = kind.sealed): Opened => open(read(Buffer.from(xml), DEFAULT_LIMITS), keysFor(kind), policyFor(kind, kind.by === 'bootstrap'), NOW)
const understood = new Set([...UNDERSTOOD_ADDRESSING, ...UNDERSTOOD_RELIABLE, `{${NS.wsse}}Security`])
const kinds = [...everyKind()].filter((kind) => kind.by !== 'nobody')

describe('opened and understood', () => {
  test.each(kinds.map((kind) => [kind.name, kind] as const))('%s', async (_, kind) => {
    const message = opened(kind)
    const { envelope, covered, signer } = message
    requireUnderstood(envelope, understood)
    const addressing = readAddressing(envelope)
    const reliable = readReliable(envelope, { addressing: addressing?.version })
    for (const element of [...(addressing?.elements ?? []), ...reliable.elements, envelope.body]) expect(covered.has(element)).toBe(true)
    if (kind.by === 'context') expect(signer).toMatchObject({ kind: 'context', identifier: CONTEXT })
    else {
      const sender = isAnswer(kind) ? SERVER : CLIENT
      expect(await authenticate(message, { kind: 'x509', trust: { pins: [sender.certificate.sha256] } }, { now: NOW })).toMatchObject({ thumbprint: sender.certificate.sha256 })
      expect(message.endorsers.map((each) => each.kind)).toEqual(kind.name.startsWith('RST for') ? ['context'] : [])
    }
    const trust = readTrustAction(addressing?.action ?? '')
    if (trust !== undefined) {
      if (reliable.body.kind !== 'application') throw new Error('no body')
      const words = trust.direction === 'request' ? readTokenRequest(reliable.body.element) : readTokenResponse(reliable.body.element, trust.kind)
      expect(words).toMatchObject({ kind: trust.kind, sc: kind.sc })
    } else if (/^(CreateS|Close|Terminate|fault)/.test(kind.name)) expect(reliable.body.kind).not.toBe('application')
  })
})

/** What a receiver may act on: the covered parts, in canonical form, and who signed. */
const said = (message: Opened): string => JSON.stringify([[...message.covered].map((element) => canonicalize(element)), message.signer?.kind, message.endorsers.length])

test('one changed character is refused, or changes nothing', () => {
  const chosen = kinds.filter((kind) => /^(request|reply|CreateSequence with|acknowledgement|fault unknownSequence|Cancel|RST for a renewal|RSTR) \(SOAP 1.2, WSA 200508, RM 1.1/.test(kind.name))
  expect(chosen.length).toBeGreaterThan(5)
  const before = new Map(chosen.map((kind) => [kind, said(opened(kind))]))
  let refused = 0
  fc.assert(fc.property(fc.constantFrom(...chosen), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.constantFrom(...'aA0+/ <>"&;:=x1'), fc.boolean(), (kind, place, character, inserts) => {
    const at = Math.floor(place * kind.sealed.length)
    const changed = kind.sealed.slice(0, at) + character + kind.sealed.slice(inserts ? at : at + 1)
    try {
      expect(said(opened(kind, changed))).toBe(before.get(kind))
    } catch (error) {
      if (!(error instanceof SecurityFailure || error instanceof XmlError || error instanceof PeerViolation)) throw error
      refused++
    }
  }), { seed: 9, numRuns: 1_500 })
  expect(refused).toBeGreaterThan(1_000)
})
test('under another token nothing opens', () => {
  for (const kind of kinds.filter((each) => each.by === 'context').slice(0, 40)) {
    expect(() => open(read(Buffer.from(kind.sealed), DEFAULT_LIMITS), { ...keysFor(kind), contexts: () => [] }, policyFor(kind), NOW)).toThrow(SecurityFailure)
  }
})
test('five minutes later nothing opens', () => {
  for (const kind of kinds.slice(0, 60)) expect(() => open(read(Buffer.from(kind.sealed), DEFAULT_LIMITS), keysFor(kind), policyFor(kind), NOW + 361_000)).toThrow(SecurityFailure)
})
