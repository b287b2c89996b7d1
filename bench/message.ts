/**
 * The message that is measured: an order of so many bytes in a request of a sequence, under the default profile; protected, opened, and the
 * bare work that lies in it.
 *
 * @module
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hash } from 'node:crypto'
import { systemRandom } from '../src/crypto/random.ts'
import { DEFAULT_LIMITS } from '../src/options.ts'
import { DEFAULT_PROFILE, type Profile } from '../src/profiles/profile.ts'
import type { LaneId, Outbound } from '../src/rm/turn.ts'
import { type SecurityContextToken, type TokenId, TokenInstance } from '../src/sct/token.ts'
import { SC13 } from '../src/spec/versions.ts'
import { encode, sessionPolicy } from '../src/wire.ts'
import type { Keys } from '../src/wss/keys.ts'
import { open, read } from '../src/wss/open.ts'
import type { Task } from './harness.ts'

const NOW = Date.UTC(2026, 0, 15, 10)
const CONTEXT = 'urn:uuid:6d1ba7c1-6f0a-4d0e-9a1c-6a8f0d3c2b11'
const SEQUENCE = 'urn:uuid:5e9a2c7e-0001-4000-8000-0000000000aa'
/** wsa:To, Action, MessageID, ReplyTo, wsrm:Sequence, Timestamp, Body. */
const SIGNED_PARTS = 7
/** Two derived keys of 24 and 32 bytes, two blocks of P_SHA-1 each, two HMACs a block. */
const DERIVING_HMACS = 8
const SIGNED_INFO_BYTES = 2_600
const HEADER_BYTES = 350

const secret = createSecretKey(Buffer.from(Array.from({ length: 32 }, (_, index) => index)))
const instance = new TokenInstance({ secret, created: NOW, expires: NOW + 3_600_000 })
const token: SecurityContextToken = {
  id: CONTEXT as TokenId, role: 'initiator', sc: SC13, suite: 'Basic256Sha256', principal: { kind: 'user', name: 'bench' }, peer: 'bench', instances: [instance], state: 'live',
}
const keys: Keys = {
  contexts: (identifier) => (identifier === CONTEXT ? [{ identifier, instance: undefined, secret }] : []),
  certificates: [], privateKeys: [], encryptedKey: () => undefined,
}

/** Lines of an order: attributes, an escaped character, Latin-1 letters, empty elements. */
export function order(bytes: number): string {
  const lines: string[] = []
  let length = 120
  for (let n = 1; length < bytes; n++) {
    const line = `<ord:Item number="${n}" unit="pc"><ord:Name>Schräglager Größe ${n} &amp; Zubehör</ord:Name><ord:Price currency="EUR">${(n * 7.35).toFixed(2)}</ord:Price><ord:Tax></ord:Tax></ord:Item>`
    lines.push(line)
    length += Buffer.byteLength(line)
  }
  return `<ord:Order xmlns:ord="urn:example:orders"><ord:Customer>C-4711</ord:Customer>${lines.join('')}</ord:Order>`
}

export interface Measured { readonly bodyBytes: number; readonly wireBytes: number; readonly protect: Task; readonly open: Task; readonly protectFloor: Task; readonly openFloor: Task }

export function measured(bodyBytes: number, profile: Profile = DEFAULT_PROFILE): Measured {
  const body = order(bodyBytes)
  const outbound: Outbound = {
    lane: 'bench' as LaneId, tokenId: token.id, to: { kind: 'endpoint', url: 'https://service.example.com/orders' }, messageId: 'urn:uuid:aaaaaaaa-0000-4000-8000-000000000004',
    body: { kind: 'application', shape: 'request', content: { action: 'urn:example:orders/Place', messageId: 'urn:uuid:aaaaaaaa-0000-4000-8000-000000000004', body, headers: [] } },
    sequence: { id: SEQUENCE, number: 1 }, acknowledgements: [], ackRequested: [],
  }
  const writing = { profile, role: 'initiator' as const, instance, now: NOW, random: systemRandom, limits: DEFAULT_LIMITS }
  const protect = (): Buffer => Buffer.from(encode(outbound, token, writing).xml, 'utf8')
  const wire = protect()
  const policy = { ...sessionPolicy({ profile, limits: DEFAULT_LIMITS }), encryptBody: true }
  const opening = (): number => open(read(wire, DEFAULT_LIMITS), keys, policy, NOW).covered.size
  if (opening() !== SIGNED_PARTS) throw new Error(`the message has other parts than the floor: ${opening()}`)

  const floor = bareWork(body, wire.toString('utf8'))
  return {
    bodyBytes: Buffer.byteLength(body), wireBytes: wire.length,
    protect: { name: 'protect', run: protect }, open: { name: 'open', run: opening },
    protectFloor: { name: 'floor of protect', run: floor.protect }, openFloor: { name: 'floor of open', run: floor.open },
  }
}

/** 8 HMACs, 7 digests, 1 HMAC, AES and base64 with node:crypto, and one search for `<` through all of the text. */
function bareWork(body: string, wire: string): { readonly protect: () => void; readonly open: () => void } {
  const plain = Buffer.from(body, 'utf8')
  const header = Buffer.alloc(HEADER_BYTES, 'h')
  const info = Buffer.alloc(SIGNED_INFO_BYTES, 's')
  const seed = Buffer.alloc(80, 'd')
  const iv = Buffer.alloc(16, 'i')
  const cipher = createCipheriv('aes-256-cbc', secret, iv)
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]).toString('base64')
  const sign = (): void => {
    for (let n = 0; n < DERIVING_HMACS; n++) createHmac('sha1', secret).update(seed).digest()
    for (let n = 1; n < SIGNED_PARTS; n++) hash('sha256', header, 'base64')
    hash('sha256', plain, 'base64')
    createHmac('sha256', secret).update(info).digest()
  }
  return {
    protect: () => {
      sign()
      const each = createCipheriv('aes-256-cbc', secret, iv)
      Buffer.concat([each.update(plain), each.final()]).toString('base64')
      scan(body)
    },
    open: () => {
      sign()
      const each = createDecipheriv('aes-256-cbc', secret, iv)
      each.update(Buffer.from(sealed, 'base64'))
      each.final()
      scan(wire)
      scan(body)
    },
  }
}
function scan(text: string): number {
  let found = 0
  for (let at = text.indexOf('<'); at !== -1; at = text.indexOf('<', at + 1)) found += 1
  return found
}
