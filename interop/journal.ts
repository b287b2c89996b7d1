/**
 * What our side wrote and with which keys, and the check of all of it: our own reader opens each message under the strictest level of its
 * profile, and xmlsec1, which knows nothing of us, verifies every signature.
 *
 * @module
 */
import { type KeyFile, RecordedKeys } from '../src/decode.ts'
import { DEFAULT_LIMITS, type Profile } from '../src/index.ts'
import type { DangerTap, WireEvent } from '../src/tap.ts'
import { bootstrapPolicy, sessionPolicy } from '../src/wire.ts'
import type { Level, Policy } from '../src/wss/keys.ts'
import { open, read } from '../src/wss/open.ts'
import type { Cell, Role } from './cells.ts'
import { actionOf } from './network.ts'
import { AUTHORITY, CLIENT, INTRUDER, NAMESPACE, PASSWORD, SERVICE, USER } from './ours.ts'
import { verifyAll } from './xmlsec.ts'

/** The tap of one conversation's side of ours. */
export class Journal implements DangerTap {
  readonly role: Role
  /** Everything with a body that left our side. */
  readonly written: WireEvent[] = []
  readonly #contexts: { readonly identifier: string; readonly instance?: string; readonly secret: string }[] = []

  constructor(role: Role) { this.role = role }
  message(event: WireEvent): void {
    if (event.body.length > 0 && event.direction === (this.role === 'client' ? 'request' : 'response')) this.written.push(event)
  }
  secret({ identifier, instance, secret }: Parameters<NonNullable<DangerTap['secret']>>[0]): void {
    if (this.#contexts.some((each) => each.identifier === identifier && each.instance === instance)) return
    this.#contexts.push({ identifier, ...(instance !== undefined && { instance }), secret: secret.export().toString('base64') })
  }
  /** The keys of both sides, as a recording has them. */
  get keys(): KeyFile {
    return {
      contexts: this.#contexts, certificates: [CLIENT, SERVICE, INTRUDER].map((each) => each.certificate).concat(AUTHORITY),
      privateKeys: [CLIENT, SERVICE, INTRUDER].map((each) => each.key), passwords: { [USER]: PASSWORD },
    }
  }
}

/** What is wrong with what was written; nothing, as a rule. */
export async function inspect(journal: Journal, cell: Cell, profile: Profile): Promise<readonly string[]> {
  const keys = new RecordedKeys(journal.keys)
  const wrong: string[] = []
  const protectedOnes: WireEvent[] = []
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
      protectedOnes.push(event)
    } catch (error) {
      complain(`does not open: ${error instanceof Error ? `${'code' in error ? String(error.code) : error.name} ${error.message}` : String(error)}`)
    }
  }
  return [...wrong, ...await verifyAll(protectedOnes.map((event) => event.body), journal.keys, journal.role)]
}

const isAboutToken = (action: string): boolean => /\/RSTR?\//.test(action)
/** Of the bootstrap: not a Cancel, which the context itself protects. */
const isTokenExchange = (action: string): boolean => isAboutToken(action) && !action.endsWith('/Cancel')

/** Its own algorithms alone, whatever it accepts from others. */
function strictest(action: string, cell: Cell, profile: Profile): Policy {
  const own: Profile = { ...profile, accept: { sha1: false } }
  if (!isTokenExchange(action)) {
    const level: Level = cell.protection === 'transport' ? 'transport' : 'headers'
    return { ...sessionPolicy({ profile: own, limits: DEFAULT_LIMITS, level }), signer: 'any' }
  }
  const isTls = cell.bootstrap.endsWith('OverTls')
  return { ...bootstrapPolicy({ profile: own, limits: DEFAULT_LIMITS, level: isTls ? 'transport' : 'headers', encryptBody: !isTls }), signer: 'any' }
}
