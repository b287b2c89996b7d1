/** The demo as a user runs it: two processes, two sealed files, two losses, one SIGKILL. */
import { spawn } from 'node:child_process'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { secretKey } from '../../src/crypto/hash.ts'
import { deriveKey } from '../../src/crypto/derive.ts'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { readDocument } from '../../src/xml/reader.ts'
import type { Element } from '../../src/xml/tree.ts'
import { launchBrowser } from './browser.ts'
import { type Needle, find, scan } from './secrets.ts'

const main = fileURLToPath(new URL('../../demo/main.ts', import.meta.url))
let directory = ''
let recording = ''
let output = ''
let code: number | null = null
let tookMs = 0

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wsrm-demo-test-'))
  recording = join(directory, 'recording')
  const started = Date.now()
  const child = spawn(process.execPath, [main, '--keep', join(directory, 'state'), '--page', join(directory, 'page.html'), '--log', join(directory, 'log.txt'), '--record', recording, '--danger-record-keys'])
  child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => { output += chunk.toString() })
  code = await new Promise((resolve) => child.once('exit', resolve))
  tookMs = Date.now() - started
  writeFileSync(join(directory, 'output.txt'), output)
}, 60_000)
afterAll(() => rmSync(directory, { recursive: true, force: true }))

interface Recorded { readonly messages: readonly { readonly file: string | null; readonly dropped?: boolean }[] }
const conversation = (): Recorded => JSON.parse(readFileSync(join(recording, 'conversation.json'), 'utf8')) as Recorded

describe('npm run demo', () => {
  test('shows each of the eight steps and ends well', () => {
    expect(output).not.toContain('✗ ')
    expect(output.match(/^✓ [1-8]\. /gm)).toHaveLength(8)
    expect(code).toBe(0)
  })
  test('takes less than ten seconds', () => expect(tookMs).toBeLessThan(10_000))
  test('records the conversation with its losses', () => {
    const { messages } = conversation()
    expect(messages.length).toBeGreaterThan(30)
    expect(messages.filter((message) => message.dropped === true).length).toBeGreaterThanOrEqual(2)
    for (const { file } of messages) if (file !== null) expect(readdirSync(recording)).toContain(file)
  })
  test('draws a page with every message, without an error on the console', async ({ skip }) => {
    const browser = await launchBrowser()
    if (browser === undefined) return skip()
    try {
      const page = await browser.newPage({ viewport: { width: 400, height: 900 } })
      const errors: string[] = []
      page.on('console', (message) => errors.push(message.text()))
      page.on('pageerror', (error) => errors.push(error.message))
      await page.goto(pathToFileURL(join(directory, 'page.html')).href)
      expect(await page.locator('li.message').count()).toBe(conversation().messages.length)
      expect(await page.locator('li.message.lost').count()).toBe(conversation().messages.filter((message) => message.dropped === true).length)
      expect(errors).toEqual([])
    } finally {
      await browser.close()
    }
  })
})

describe('what the demo leaves behind', () => {
  /** Every context secret, every key derived from it in any message, and words of the bodies. */
  function needles(): readonly Needle[] {
    const keys = JSON.parse(readFileSync(join(recording, 'keys.json'), 'utf8')) as { contexts: { identifier: string; secret: string }[] }
    const secrets = keys.contexts.map(({ identifier, secret }) => ({ name: `secret of ${identifier}`, bytes: Buffer.from(secret, 'base64') }))
    const derived = conversation().messages.flatMap(({ file }) => (file === null ? [] : derivations(readFileSync(join(recording, file)))))
      .flatMap(({ nonce, length }) => secrets.map(({ bytes }) => ({ name: 'a derived key', bytes: new Uint8Array(deriveKey({ secret: secretKey(bytes), nonce, offset: 0, length }).export()) })))
    const bodies = ['<item>order 1</item>', '<item>order 8</item>', '>a newspaper<'].map((text) => ({ name: `the body with ${text}`, bytes: Buffer.from(text) }))
    expect(secrets.length).toBeGreaterThan(0)
    expect(derived.length).toBeGreaterThan(30)
    return [...secrets, ...derived, ...bodies]
  }
  const isOurs = (name: string): boolean => !name.endsWith('keyring.json')

  test('store files, log and output hold no secret, no derived key and no body', () => {
    const looked = needles()
    expect(readdirSync(join(directory, 'state')).filter((name) => /\.db/.test(name)).length).toBeGreaterThanOrEqual(2)
    expect(scan(join(directory, 'state'), looked, isOurs)).toEqual([])
    expect(find(Buffer.from(output), looked)).toEqual([])
    expect(scan(directory, looked, (name) => name === 'log.txt' || name === 'page.html')).toEqual([])
  })
  test('the same search finds a secret that is planted, in each form', () => {
    const looked = needles()
    const [secret] = looked
    if (secret === undefined) throw new Error('no secret')
    for (const form of [Buffer.from(secret.bytes), Buffer.from(Buffer.from(secret.bytes).toString('hex')), Buffer.from(`x${Buffer.from(secret.bytes).toString('base64')}`)]) {
      const copy = join(directory, 'planted.db')
      copyFileSync(join(directory, 'state', 'service.db'), copy)
      writeFileSync(copy, form, { flag: 'a' })
      expect(scan(directory, looked, (name) => name === 'planted.db')).toEqual([`planted.db: ${secret.name}`])
    }
  })
})

function derivations(message: Uint8Array): readonly { readonly nonce: Uint8Array; readonly length: number }[] {
  const found: { nonce: Uint8Array; length: number }[] = []
  const walk = (element: Element): void => {
    if (element.local === 'DerivedKeyToken') {
      const text = (local: string): string => element.elements().find((child) => child.local === local)?.text ?? ''
      found.push({ nonce: Buffer.from(text('Nonce'), 'base64'), length: Number(text('Length')) })
    }
    element.elements().forEach(walk)
  }
  walk(readDocument(message, DEFAULT_LIMITS).root)
  return found
}
