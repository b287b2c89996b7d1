/**
 * The rules of the house hold, and the checks that say so can fail: a copy of the source with planted violations is refused.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

/** Time and chance are read in the clock, in the command and in the suites for users alone. */
const TIME_AND_CHANCE = /\b(?:Date\.now|setTimeout|setInterval|Math\.random|performance\.now|process\.hrtime)\b|\bnew Date\(\)/
const MAY_READ_TIME = /^src\/(?:clock\.ts|cli\/|testing\/)/

function readersOfTime(folder: string): readonly string[] {
  return readdirSync(join(folder, 'src'), { recursive: true, encoding: 'utf8' })
    .map((name) => relative(folder, join(folder, 'src', name)).replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.ts') && !MAY_READ_TIME.test(path))
    .filter((path) => TIME_AND_CHANCE.test(withoutComments(readFileSync(join(folder, path), 'utf8'))))
}
const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')

interface Violation { readonly from: string; readonly to: string; readonly rule: { readonly name: string } }
async function violations(folder: string): Promise<readonly Violation[]> {
  const cruise = [join(root, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs'), '--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'src']
  // Exits with the number of violations.
  const { stdout } = await run(process.execPath, cruise, { cwd: folder, maxBuffer: 1 << 27 }).catch((error: { stdout: string }) => error)
  return (JSON.parse(stdout) as { summary: { violations: readonly Violation[] } }).summary.violations
}

let copy = ''
beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'wsrm-house-'))
  for (const name of ['src', '.dependency-cruiser.cjs', 'tsconfig.json', 'package.json']) cpSync(join(root, name), join(copy, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction')
})
afterAll(() => rmSync(copy, { recursive: true, force: true }))

test('floors, doors and circles are kept', async () => {
  expect((await violations(root)).map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`)).toEqual([])
})

test('time and chance are read in the clock alone', () => {
  expect(readersOfTime(root)).toEqual([])
})

/** One line planted in a file of its own or at the end of a file of ours, and the rule that must see it. */
const PLANTS: readonly (readonly [rule: RegExp, file: string, line: string])[] = [
  [/^floor-1-xml-knows-no-rm$/, 'src/xml/planted.ts', `import '../rm/turn.ts'`],
  [/^floor-2-rm-knows-no-soap$/, 'src/rm/planted.ts', `import type { SoapVersion } from '../soap/envelope.ts'\nexport type A = SoapVersion`],
  [/^floor-0-facts-knows-no-crypto$/, 'src/spec/planted.ts', `import { digest } from '../crypto/hash.ts'\nexport const a = digest`],
  [/^words-and-outside-are-strangers$|^floor-3-soap-knows-no-transport$/, 'src/soap/planted.ts', `import '../transport/http.ts'`],
  [/^no-xml-in-machines-and-runtime$/, 'src/store/planted.ts', `import '../xml/tree.ts'`],
  [/^floor-1-crypto-knows-no-xml$/, 'src/crypto/planted.ts', `import '../xml/tree.ts'`],
  [/^machines-hold-no-clock$/, 'src/rm/ranges.ts', `import '../clock.ts'`],
  [/^wings-are-not-imported$/, 'src/wss/planted.ts', `import '../cli/record.ts'`],
  [/^one-door-for-saxes$/, 'src/soap/planted2.ts', `import { SaxesParser } from 'saxes'\nexport const p = SaxesParser`],
  [/^one-door-for-xpath$/, 'src/xml/planted2.ts', `import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)\nexport const x: unknown = require('xpath')`],
  [/^one-door-for-@xmldom\/xmldom$/, 'src/soap/planted3.ts', `import { DOMParser } from '@xmldom/xmldom'\nexport const p = DOMParser`],
  [/^one-door-for-xml-crypto$/, 'src/wss/planted2.ts', `import type { SignedXml } from 'xml-crypto'\nexport type S = SignedXml`],
  [/^one-door-for-uuid$/, 'src/sct/planted.ts', `import { v4 } from 'uuid'\nexport const a: unknown = v4`],
  [/^one-door-for-undici$/, 'src/rm/planted2.ts', `export const a = (): unknown => import('undici')`],
  [/^one-door-for-node:crypto$/, 'src/wss/planted3.ts', `import { createHmac } from 'node:crypto'\nexport const a: unknown = createHmac`],
  [/^one-door-for-node:sqlite$/, 'src/serializer/planted.ts', `export const a = (): unknown => import('node:sqlite')`],
  [/^one-door-for-node:https\?/, 'src/soap/planted4.ts', `import { request } from 'node:http'\nexport const a: unknown = request`],
  [/^no-other-package$/, 'src/soap/planted5.ts', `import fc from 'fast-check'\nexport const a: unknown = fc`],
  [/^every-file-has-a-floor$/, 'src/message.ts', `import './somewhere/planted.ts'`],
  [/^nothing-missing$/, 'src/soap/planted6.ts', `import './nowhere.ts'`],
  [/^no-circles$/, 'src/crypto/ring.ts', `import type { B } from './ring2.ts'\nexport type A = B | 1`],
]

test('every planted violation of floors, doors and circles is seen', async () => {
  cpSync(join(root, 'src/spec/versions.ts'), join(copy, 'src/somewhere/planted.ts'))
  writeFileSync(join(copy, 'src/crypto/ring2.ts'), `import type { A } from './ring.ts'\nexport type B = A | 2\n`)
  for (const [, file, line] of PLANTS) writeFileSync(join(copy, file), `${line}\n`, { flag: 'a' })
  const seen = await violations(copy)
  const missed = PLANTS.filter(([rule, file]) => !seen.some((violation) => rule.test(violation.rule.name) && violation.from === file))
  expect(missed.map(([rule, file]) => `${file}: ${rule}`)).toEqual([])
})

test.each(['const t = Date.now()', 'setTimeout(() => 1, 5)', 'const d = new Date()', 'Math.random()', 'performance.now()'])('%s in a machine is seen', (line) => {
  const path = join(copy, 'src/rm/planted-time.ts')
  writeFileSync(path, `// Date.now in a comment is none\n${line}\n`)
  expect(readersOfTime(copy)).toContain('src/rm/planted-time.ts')
  rmSync(path)
})

test('the tests run on the Node that test:matrix asked for', () => {
  expect(process.versions.node).toBe(process.env['WSRM_EXPECT_NODE'] ?? process.versions.node)
})
