/**
 * What is written by hand: the cases that are no cell, for each peer and role.
 *
 * @module
 */
import type { Role } from './cells.ts'
import type { Peer, Stack } from './peer.ts'

export interface Case { readonly name: string; readonly run: (peer: Peer) => Promise<void> }

export function casesOf(_peer: Stack, _role: Role): readonly Case[] { return [] }
