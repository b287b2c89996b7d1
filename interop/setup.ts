/**
 * Before the live tests: builds the peers' processes. Where a tool is missing, says so aloud, and the tests are left out. After them:
 * writes the tables into docs/peers.md, where that was asked for.
 *
 * @module
 */
import { mkdirSync, rmSync } from 'node:fs'
import type { TestProject } from 'vitest/node'
import { buildPeers, missingTools } from './peer.ts'
import { OUT, readResults, writeDocument } from './results.ts'

export async function setup(project: TestProject): Promise<void> {
  rmSync(OUT, { recursive: true, force: true })
  mkdirSync(OUT, { recursive: true })
  const missing = await missingTools()
  project.provide('missing', missing ?? '')
  if (missing !== undefined) console.warn(`\nNO PEER WAS ASKED: ${missing}. Debian: apt-get install openjdk-17-jdk-headless maven xmlsec1\n`)
  // INTEROP_BUILT: they are, and nothing has changed.
  else if (process.env['INTEROP_BUILT'] === undefined) await buildPeers()
}
export function teardown(): void {
  if (process.env['INTEROP_WRITE'] !== undefined) writeDocument(readResults())
}
