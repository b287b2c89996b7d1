/**
 * What comes back on a connection of our own: words when they are proven, otherwise a hint (D9). For whoever connects: a client, and a service
 * that posts to the address of a sequence.
 *
 * @module
 */
import { PeerViolation, SecurityFailure, WsrmError } from './errors.ts'
import type { Gate, OwnKeys } from './gate.ts'
import type { Limits } from './options.ts'
import type { Profile } from './profiles/profile.ts'
import type { SequenceEngine } from './rm/engine.ts'
import type { Hint, Outbound, Received, ReceivedFault } from './rm/turn.ts'
import type { PostAnswer } from './transport/http-client.ts'
import { answerPolicy, hintedFault } from './wire.ts'
import type { Opened } from './wss/keys.ts'
import { read } from './wss/open.ts'

export interface Asker {
  readonly gate: Gate
  readonly limits: Limits
  readonly profile: Profile
  readonly own: OwnKeys
  readonly engine: Pick<SequenceEngine, 'receive' | 'hint'>
  /** What must hold of an answer beside its protection. */
  check?(opened: Opened): void
  /** What must hold of its words; and what they are when they are not about a sequence. */
  judge?(received: Received): Hint | undefined
  /** What a fault without protection may be taken for. */
  hintOf?(fault: ReceivedFault): Hint
  refused(code: string, detail: string): void
}

export async function answered(outbound: Outbound, { status, body }: PostAnswer, asker: Asker): Promise<void> {
  const { gate, limits, profile, own, engine } = asker
  const hint = (what: Hint): void => engine.hint(outbound.lane, what, outbound)
  if (body.length === 0) return hint(status < 300 ? { kind: 'empty-answer', status } : { kind: 'http-failure', status })
  try {
    const envelope = read(body, limits)
    const fault = envelope.security === undefined ? hintedFault(envelope) : undefined
    if (fault !== undefined) return hint(asker.hintOf?.(fault) ?? { kind: 'unprotected-fault', fault })
    const opened = await gate.open(envelope, own, answerPolicy({ profile, limits }))
    asker.check?.(opened)
    const { received } = await gate.receive(opened, { exchange: outbound.tokenId, isToOneWay: outbound.body.kind === 'application' && outbound.body.shape === 'one-way' })
    const said = asker.judge?.(received)
    if (said !== undefined) return hint(said)
    await engine.receive(received, { kind: 'answer', lane: outbound.lane, to: outbound })
  } catch (error) {
    // D9: what is not proven changes nothing; it is told, and the wait goes on.
    if (!(error instanceof SecurityFailure || error instanceof PeerViolation || (error instanceof WsrmError && error.code.startsWith('ERR_XML')))) throw error
    asker.refused(error.code, error.message)
    hint({ kind: 'refused-answer', code: error.code })
  }
}
