/**
 * What is written by hand: the cases that are no cell, for each peer and role.
 *
 * @module
 */
import type { Cell, Choices, Role } from './cells.ts'
import type { Run } from './conversation.ts'
import { HOSTILE } from './hostile.ts'
import { LIFE } from './life.ts'
import { LOST } from './lost.ts'
import type { Peer, Stack } from './peer.ts'

export interface Case {
  readonly name: string
  readonly role: Role
  /** Absent: every peer. */
  readonly peers?: readonly Stack[]
  readonly changes?: Partial<Choices>
  /** Of their tokens. */
  readonly lifetimeMs?: number
  readonly run: (run: Run, peer: Peer) => Promise<void>
}

export const casesOf = (peer: Stack, role: Role): readonly Case[] => [...LIFE, ...HOSTILE, ...LOST].filter((each) => each.role === role && (each.peers ?? [peer]).includes(peer))

/** What each stack is set up as when nothing else is said. */
export function ordinary(peer: Stack, role: Role, changes: Partial<Choices> = {}): Cell {
  return {
    peer, role, rm: '1.1', soap: '1.2', addressing: '200508', sc: '200512', bootstrap: 'x509', protection: 'message', suite: 'Basic256', derivedKeys: true,
    order: 'sign-before-encrypt', encryptSignature: false, layout: 'strict', includeToken: 'requests', signatureConfirmation: false, encryptLifecycle: peer !== 'metro',
    shape: 'request', endpoint: 'anonymous', network: 'clean', ...changes,
  }
}
