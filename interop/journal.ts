/**
 * What our side wrote and with which keys, and the check of all of it: our own reader opens each message under the strictest level of its
 * profile, and xmlsec1, which knows nothing of us, verifies every signature.
 *
 * @module
 */
import { decodeMessage, type KeyFile, RecordedKeys } from '../src/decode.ts'
import { DEFAULT_LIMITS, type Profile } from '../src/index.ts'
import type { DangerTap, WireEvent } from '../src/tap.ts'
import { bootstrapPolicy, sessionPolicy } from '../src/wire.ts'
import type { Policy } from '../src/wss/keys.ts'
import { open, read } from '../src/wss/open.ts'
import type { Cell, Role } from './cells.ts'
import { actionOf } from './network.ts'
import { AUTHORITY, CLIENT, INTRUDER, NAMESPACE, PASSWORDS, PATH, REPLIES, SERVICE } from './ours.ts'
import { verifyAll } from './xmlsec.ts'

/** The tap of one conversation's side of ours. */
export class Journal implements DangerTap {
  readonly role: Role
  /** Everything with a body, both ways. */
  readonly #events: WireEvent[] = []
  readonly #asked = new Map<number, 'we' | 'they'>()
  readonly #contexts: { readonly identifier: string; readonly instance?: string; readonly secret: string }[] = []

  constructor(role: Role) { this.role = role }
  message(event: WireEvent): void {
    if (event.body.length > 0) this.#events.push(event)
  }
  secret({ identifier, instance, secret }: Parameters<NonNullable<DangerTap['secret']>>[0]): void {
    if (this.#contexts.some((each) => each.identifier === identifier && each.instance === instance)) return
    this.#contexts.push({ identifier, ...(instance !== undefined && { instance }), secret: secret.export().toString('base64') })
  }
  get written(): readonly WireEvent[] { return this.#events.filter((event) => this.#isOurs(event)) }
  get received(): readonly WireEvent[] { return this.#events.filter((event) => !this.#isOurs(event)) }
  /** A service asks too, where a client listens: whose place it is tells who asked. */
  #isOurs({ exchange, direction, http }: WireEvent): boolean {
    if (direction === 'request') this.#asked.set(exchange, (http.path === (this.role === 'client' ? REPLIES : PATH)) ? 'they' : 'we')
    return (this.#asked.get(exchange) === 'we') === (direction === 'request')
  }
  /** The keys of both sides, as a recording has them. */
  get keys(): KeyFile {
    return {
      contexts: this.#contexts, certificates: [CLIENT, SERVICE, INTRUDER].map((each) => each.certificate).concat(AUTHORITY),
      privateKeys: [CLIENT, SERVICE, INTRUDER].map((each) => each.key), passwords: PASSWORDS,
    }
  }
}

/** What is wrong with what was written; nothing, as a rule. */
export async function inspect(journal: Journal, cell: Cell, profile: Profile): Promise<readonly string[]> {
  const keys = new RecordedKeys(journal.keys)
  const wrong: string[] = []
  // Answers refer to the keys of requests.
  const exchanges = journal.received.filter((event) => isTokenExchange(actionOf(event.body)))
  for (const event of exchanges) decodeMessage(event.body, keys, { bootstrap: 'body' }, event.at)
  const signedOnes: WireEvent[] = []
  for (const [index, event] of journal.written.entries()) {
    const action = actionOf(event.body)
    const complain = (what: string): void => void wrong.push(`message ${index + 1} of ours (${action}): ${what}`)
    try {
      const envelope = read(event.body, DEFAULT_LIMITS)
      if (envelope.security === undefined) {
        // What a service refused before it had a key to answer with is answered by a fault in clear; a client says nothing in clear.
        if (journal.role === 'client' || envelope.body.elements()[0]?.local !== 'Fault') complain('is not protected')
        continue
      }
      const opened = open(envelope, keys, strictest(action, cell, profile), event.at)
      keys.learn(opened)
      const [element] = opened.envelope.body.elements()
      const isEncryptedInside = opened.encrypted.some((name) => name.endsWith('}Body'))
      const mustBe = cell.protection === 'message' && !isTokenExchange(action) && (element?.ns === NAMESPACE || (profile.encryptLifecycle && !isAboutToken(action)))
      if (mustBe && !isEncryptedInside) complain('has a clear Body')
      const isUnderTls = isTokenExchange(action) ? cell.bootstrap.endsWith('OverTls') : cell.protection === 'transport' && journal.role === 'service'
      if (opened.signatureValues.length > 0) signedOnes.push(event)
      else if (!isUnderTls) complain('is not signed')
    } catch (error) {
      complain(`does not open: ${error instanceof Error ? `${'code' in error ? String(error.code) : error.name} ${error.message}` : String(error)}`)
    }
  }
  return [...wrong, ...await verifyAll(signedOnes.map((event) => event.body), { keys: journal.keys, learn: exchanges.map((event) => event.body), role: journal.role, order: profile.order, renewalKey: profile.renewalKey })]
}

const isAboutToken = (action: string): boolean => /\/RSTR?\//.test(action)
/** Of the bootstrap: not a Cancel, which the context itself protects. */
const isTokenExchange = (action: string): boolean => isAboutToken(action) && !action.endsWith('/Cancel')

/** Its own algorithms alone, whatever it accepts from others. */
function strictest(action: string, cell: Cell, profile: Profile): Policy {
  const own: Profile = { ...profile, accept: { sha1: false } }
  const policy = isTokenExchange(action)
    ? bootstrapPolicy({ profile: own, limits: DEFAULT_LIMITS, isUnderTls: cell.bootstrap.endsWith('OverTls') })
    : sessionPolicy({ profile: own, limits: DEFAULT_LIMITS })
  // The profile decides what signs here; of a service's answers in the transport profile nothing need do so.
  return { ...policy, signer: 'any' }
}
