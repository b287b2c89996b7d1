/**
 * What may be known of a peer without proof (D9): it ends calls that wait, or is told to those who can bring the conversation elsewhere. Nothing
 * else changes by it.
 *
 * @module
 */
import { TransportFailed } from '../errors.ts'
import type { Shell } from './engine-shell.ts'
import { endCalls } from './engine-waits.ts'
import type { Observe } from './engine-words.ts'
import type { Hint } from './turn.ts'

/** So many unprotected refusals in a row end the calls that wait; the messages stay. */
const HINTS_TO_SUSPEND = 3
/** One could be a stray answer; while nothing was ever sent in the sequence nothing is lost by believing the first. */
const DOUBTS_TO_STRAND = 2

export function heed<Tx>(shell: Shell<Tx>, hint: Hint, observe: Observe): void {
  if (hint.kind === 'context-fault') doubt(shell, hint, observe)
  else if (hint.kind === 'unprotected-fault' || hint.kind === 'refused-answer') suspect(shell, hint, observe)
}
/** Something proven has come: what was said before is not in a row with what may be said yet. */
export function trust<Tx>(shell: Shell<Tx>): void {
  shell.hints = 0
  shell.doubts = 0
}

/** Refusals without proof: the calls that wait are told, nothing else changes. */
function suspect<Tx>(shell: Shell<Tx>, hint: Hint, observe: Observe): void {
  const reason = hint.kind === 'unprotected-fault' ? hint.fault.subcode ?? hint.fault.rmFault ?? hint.fault.code : hint.kind === 'context-fault' ? hint.code : hint.kind
  shell.hints++
  // A refusal to create the sequence at all is not going to change by being asked three times.
  const isRefusal = hint.kind === 'unprotected-fault' && hint.fault.rmFault === 'CreateSequenceRefused' && shell.lane?.source.state === 'creating'
  if (shell.hints < HINTS_TO_SUSPEND && !isRefusal) return
  if (shell.hints === HINTS_TO_SUSPEND || isRefusal) observe({ kind: 'suspended', lane: shell.facts.lane, reason: reason.slice(0, 128) })
  endCalls(shell, new TransportFailed('ERR_PEER_REFUSES', `the peer answers without protection: ${reason.slice(0, 128)}`, { retryable: true, tokenId: shell.facts.tokenId }))
}
/** The peer may have lost the context. Where the conversation can go on without it, that is for others to bring about; here nothing changes. */
function doubt<Tx>(shell: Shell<Tx>, hint: Hint & { kind: 'context-fault' }, observe: Observe): void {
  shell.doubts++
  if (!shell.resumes && hint.says === 'lost') return suspect(shell, hint, observe)
  const { source } = shell.lane ?? {}
  if (source === undefined || !MOVABLE.has(source.state)) return
  if (hint.proven || hint.says === 'expired' || source.state === 'creating' || shell.doubts >= DOUBTS_TO_STRAND) observe({ kind: 'stranded', lane: shell.facts.lane, why: hint.says })
}
/** Where something may still be open that a successor can take over, or give up. */
const MOVABLE: ReadonlySet<string> = new Set(['creating', 'open', 'full', 'draining', 'closed'])
