/**
 * Who waits for what becomes of a message or of a lane, and how it is told. A wait may end by itself; what was accepted stays accepted.
 *
 * @module
 */
import type { Clock } from '../clock.ts'
import { DeliveryFailed, SoapFault, TimedOut } from '../errors.ts'
import type { Wait } from '../options.ts'
import type { Alarm } from './engine-alarm.ts'
import type { Lanes } from './engine-lanes.ts'
import { numberIn } from './engine-move.ts'
import { errorOf, lostError } from './engine-rows.ts'
import type { Shell, Waiter } from './engine-shell.ts'
import { closedError, type Observe, type Ticket } from './engine-words.ts'
import type { Lane } from './lane.ts'
import type { SentRow } from './source-words.ts'
import type { Settlement } from './turn.ts'

export class Waits<Tx> {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  readonly #alarm: Alarm<Tx>
  readonly #lanes: Lanes<Tx>
  readonly #present: (shell: Shell<Tx>) => Promise<Lane>
  constructor(clock: Clock, signal: AbortSignal, alarm: Alarm<Tx>, lanes: Lanes<Tx>, present: (shell: Shell<Tx>) => Promise<Lane>) {
    this.#clock = clock
    this.#signal = signal
    this.#alarm = alarm
    this.#lanes = lanes
    this.#present = present
  }

  /** An abort or a time limit ends the waiting; what was accepted stays accepted. */
  until(shell: Shell<Tx>, what: Pick<Waiter, 'number' | 'want'>, wait: Wait, also?: (settle: Waiter['settle']) => void): Promise<unknown> {
    const { signal, timeoutMs } = wait
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.#signal.aborted) return Promise.reject(closedError())
    return new Promise((resolve, reject) => {
      const ends: (() => void)[] = []
      const waiter: Waiter = {
        ...what, home: shell.waiters,
        settle: (outcome) => {
          waiter.home.delete(waiter)
          for (const end of ends) end()
          if ('error' in outcome) reject(outcome.error)
          else resolve(outcome.value)
        },
      }
      shell.waiters.add(waiter)
      this.#alarm.set()
      also?.(waiter.settle)
      if (timeoutMs !== undefined) ends.push(this.#clock.alarm(this.#clock.now() + timeoutMs, () => waiter.settle({ error: new TimedOut('ERR_TIMEOUT', `not within ${timeoutMs} ms; what was accepted stays accepted`, { retryable: true }) }), 'awaited'))
      if (signal !== undefined) {
        const onAbort = (): void => waiter.settle({ error: signal.reason })
        signal.addEventListener('abort', onAbort, { once: true })
        ends.push(() => signal.removeEventListener('abort', onAbort))
      }
    })
  }
  /** Of the message that has this number in that lane; it goes with the message wherever that is moved. */
  ticket(shell: Shell<Tx>, key: string, number: number): Ticket {
    let [at, now] = [shell, number]
    /** Where the message is by now. */
    const place = (): Shell<Tx> => {
      for (;;) {
        const next = at.movedTo === undefined ? undefined : this.#lanes.get(at.movedTo.lane)
        const renumbered = at.movedTo === undefined ? undefined : numberIn(at.movedTo, now)
        if (next === undefined || renumbered === undefined) return at
        at = next
        now = renumbered
      }
    }
    const acknowledged = async (wait: Wait = {}): Promise<void> => {
      for (;;) {
        const here = place()
        const status = (await this.#present(here)).source.status(key)
        if (here !== place()) continue
        if (status?.settled === 'lost') throw lostError(here.facts, now)
        if (status?.acknowledged) return
        return void await this.until(here, { number: now, want: 'acknowledged' }, wait)
      }
    }
    return {
      key, acknowledged,
      get number() {
        place()
        return now
      },
    }
  }
}

/** The fourth part of a turn: whoever waits is told what has become of a message, and so are those who watch. */
export function settle<Tx>(shell: Shell<Tx>, settlement: Settlement, observe: Observe): void {
  const { lane } = shell.facts
  switch (settlement.kind) {
    case 'acknowledged':
      observe({ kind: 'acknowledged', lane, number: settlement.number })
      return tell(shell, settlement.number, ['acknowledged'], {})
    case 'replied':
      return tell(shell, settlement.number, ['reply'], { value: settlement.content })
    case 'failed':
      if (!(settlement.error instanceof SoapFault)) observe({ kind: 'lost', lane, numbers: [settlement.number], reason: settlement.error.message })
      return tell(shell, settlement.number, settlement.error instanceof DeliveryFailed ? ['acknowledged', 'reply'] : ['reply'], { error: settlement.error })
    case 'retransmitted': return observe({ kind: 'retransmit', lane, number: settlement.number, tries: settlement.tries })
    case 'stranded': return observe({ kind: 'stranded', lane, why: 'sequence' })
    case 'alarm': return observe({ kind: 'error', error: settlement.error, lane })
    case 'state': return
  }
}
/** The same for what the lane itself has come to; whoever waits for room looks again. */
export function tellOfLane<Tx>(shell: Shell<Tx>, observe: Observe): void {
  const { lane } = shell
  if (lane === undefined) return
  const { source } = lane
  for (const waiter of [...shell.waiters]) {
    if (waiter.want === 'end' && source.state === 'ended') waiter.settle({})
    if (waiter.want === 'drained' && source.pendingCount === 0) waiter.settle({})
    if (waiter.want === 'quiet' && (source.isQuiet || source.state === 'ended')) waiter.settle({})
  }
  for (const go of shell.blocked.splice(0)) go()
  const state = lane.facts.role === 'initiator' ? source.state : lane.destination.state
  if (state === shell.state) return
  shell.state = state
  observe({ kind: 'state', lane: shell.facts.lane, state })
}
/** What was settled while nobody here was told. */
export function tellFromRow<Tx>(shell: Shell<Tx>, row: SentRow): void {
  const error = errorOf(shell.facts, row)
  if (error === undefined || row.settled === 'replied' || row.settled === 'reply-lost') tell(shell, row.number, ['acknowledged'], {})
  else tell(shell, row.number, ['acknowledged'], { error })
  tell(shell, row.number, ['reply'], error !== undefined ? { error } : { value: row.reply !== undefined && 'content' in row.reply ? row.reply.content : undefined })
}
/** The calls that wait for messages, or for room; who waits for the lane itself goes on waiting. */
export function endCalls<Tx>(shell: Shell<Tx>, error: Error): void {
  for (const waiter of [...shell.waiters]) if (waiter.want !== 'end' && waiter.want !== 'quiet') waiter.settle({ error })
}
export function endWaits<Tx>(shell: Shell<Tx>, error: Error): void {
  for (const waiter of [...shell.waiters]) waiter.settle({ error })
}
/** Tells whoever waits for one of `wants` of that message. */
function tell<Tx>(shell: Shell<Tx>, number: number, wants: readonly Waiter['want'][], outcome: { readonly value?: unknown } | { readonly error: unknown }): void {
  for (const waiter of [...shell.waiters]) if (waiter.number === number && wants.includes(waiter.want)) waiter.settle(outcome)
}
