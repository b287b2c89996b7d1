/** The demo's page in a real browser: no error on the console, every message there, readable without scrolling sideways. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { drawPage } from '../../demo/page.ts'
import type { Shape } from '../../demo/shape.ts'
import type { Line } from '../../demo/story.ts'
import { launchBrowser } from './browser.ts'

const shape = (kind: string, more: Partial<Shape> = {}): Shape => ({
  kind, token: 'urn:uuid:6d1ba7c1-6f0a-4d0e-9a1c-6a8f0d3c2b11', acknowledges: [], signed: ['Timestamp', 'To', 'Action', 'MessageID', 'ReplyTo', 'Sequence', 'AckRequested', 'Body'], encrypted: ['Body'], bytes: 5_123, ...more,
})
const lines: readonly Line[] = [
  { kind: 'message', n: 1, atMs: 12, to: 'service', lost: false, shape: shape('RST/SCT') },
  { kind: 'message', n: 2, atMs: 40, to: 'client', lost: false, status: 200, shape: shape('RSTR/SCT') },
  { kind: 'event', atMs: 45, at: 'client', text: 'connected <b>under</b> token' },
  { kind: 'message', n: 3, atMs: 60, to: 'service', lost: true, shape: shape('Place', { number: '2', sequence: 'urn:uuid:5e9a2c7e-0001-4000-8000-0000000000aa', acknowledges: ['1-7 final'] }) },
  { kind: 'event', atMs: 70, at: 'runner', text: 'the client is killed (SIGKILL)' },
  { kind: 'event', atMs: 71, at: 'service', text: 'handler: message 2' },
  { kind: 'message', n: 4, atMs: 90, to: 'client', lost: false, status: 202, shape: undefined },
]

let browser: Browser | undefined
beforeAll(async () => { browser = await launchBrowser() }, 60_000)
afterAll(() => browser?.close())

describe('the page of the demo', () => {
  test.for([[1280, 'light'], [400, 'light'], [1280, 'dark'], [400, 'dark']] as const)('at %i pixels, %s: every message, no error, no sideways scrolling', async ([width, colorScheme], { skip }) => {
    if (browser === undefined) return skip()
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme })
    const errors: string[] = []
    page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text()) })
    page.on('pageerror', (error) => errors.push(error.message))
    page.on('request', (request) => { if (!request.url().startsWith('data:') && request.url() !== 'about:blank') errors.push(`asks for ${request.url()}`) })
    await page.setContent(drawPage(lines, [{ text: 'done & dusted', done: true }, { text: 'not done', done: false }], 'a summary'))
    expect(await page.locator('li.message').count()).toBe(4)
    expect(await page.locator('li.message .title').allTextContents()).toEqual(['RST/SCT', 'RSTR/SCT', 'Place #2 ack 1-7 final', 'HTTP 202 without a message'])
    expect(await page.locator('li.event').first().textContent()).toBe('connected <b>under</b> token')
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBeLessThanOrEqual(0)
    expect(errors).toEqual([])
    await page.close()
  })
})
