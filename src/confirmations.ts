/**
 * Which signatures of ours an answer may confirm (WSS 1.1 §7): that of the message which it came back on, or those of the message that it relates
 * to. What is repeated is signed anew, and a reply that was kept confirms the copy that it was made for; a mailbox gives replies to other messages
 * than the poll.
 *
 * @module
 */
import { FAULTS, SecurityFailure } from './errors.ts'
import type { Outbound } from './rm/turn.ts'
import { readCovered } from './wire.ts'
import type { Opened } from './wss/keys.ts'

type Values = readonly string[]
interface Signed { readonly lane: string; readonly attempts: readonly Values[] }

/** Choice: of more messages than one conversation has on its way, and of each more copies than are made before its answer is given up. */
const MOST_MESSAGES = 4_096
const MOST_ATTEMPTS = 64

export class Confirmations {
  /** By MessageID, the latest last. */
  readonly #signed = new Map<string, Signed>()

  wrote({ lane, messageId }: Pick<Outbound, 'lane' | 'messageId'>, signatureValues: readonly Uint8Array[] | undefined): void {
    if (messageId === undefined || signatureValues === undefined) return
    const known = this.#signed.get(messageId)?.attempts ?? []
    this.#signed.delete(messageId)
    this.#signed.set(messageId, { lane, attempts: [...known, valuesOf(signatureValues)].slice(-MOST_ATTEMPTS) })
    for (const oldest of this.#signed.keys()) {
      if (this.#signed.size <= MOST_MESSAGES) break
      this.#signed.delete(oldest)
    }
  }

  /** @throws {SecurityFailure} ERR_WSS_CONFIRMATION */
  check(opened: Opened, { lane, body }: Pick<Outbound, 'lane' | 'body'>, signatureValues: readonly Uint8Array[] | undefined): void {
    const isConfirmed = (values: Values): boolean => values.every((value) => opened.confirmations.includes(value))
    if (isConfirmed(valuesOf(signatureValues ?? []))) return
    const { relatesTo } = readCovered(opened)
    // Peers Metro 4, Sandesha2: what a mailbox gives confirms what it answers, and not the poll; what answers nothing was made at some earlier message.
    const related = relatesTo !== undefined ? [this.#signed.get(relatesTo)] : body.kind === 'make-connection' ? [...this.#signed.values()] : []
    if (!related.some((each) => each?.lane === lane && each.attempts.some((values) => values.length > 0 && isConfirmed(values)))) throw notConfirmed()
  }
}
const valuesOf = (values: readonly Uint8Array[]): Values => values.map((value) => Buffer.from(value).toString('base64'))

export const notConfirmed = (): SecurityFailure => new SecurityFailure('ERR_WSS_CONFIRMATION', 'the answer does not confirm the signature that it answers', FAULTS.failedCheck)
