/**
 * A headless browser for the tests: Debian's where it is installed, else the one that comes as a package.
 *
 * @module
 */
import { existsSync } from 'node:fs'
import type { Browser } from 'playwright-core'

/** Undefined, and said aloud, on a machine without the system libraries of a browser (libnss3); under CI that is a failure. */
export async function launchBrowser(): Promise<Browser | undefined> {
  const { chromium } = await import('playwright-core')
  const packaged = (await import('@sparticuz/chromium')).default
  const installed = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync)
  try {
    return await chromium.launch({
      executablePath: installed ?? await packaged.executablePath(),
      // One process for everything, as the package asks for, ends with its first page.
      args: installed === undefined ? packaged.args.filter((arg) => arg !== '--single-process') : ['--no-sandbox'],
      headless: true,
    })
  } catch (error) {
    if (process.env['CI'] !== undefined) throw error
    console.warn(`\n!!! No browser starts here, the demo's page is NOT tested: ${String(error).slice(0, 200)}\n`)
    return undefined
  }
}
