/**
 * npm run bench [-- --write] [--quick]: opening and protecting beside the bare work that lies in them. `--write` puts the table into
 * docs/performance.md.
 *
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { measure, median, type Plan, ratio, type Timing } from './harness.ts'
import { measured } from './message.ts'

const { values: flags } = parseArgs({ options: { write: { type: 'boolean' }, quick: { type: 'boolean' } } })
const plan: Plan = flags.quick === true ? { rounds: 3, warmUpMs: 150, roundMs: 40 } : { rounds: 9, warmUpMs: 1_000, roundMs: 200 }

const rows: string[] = []
for (const kilobytes of [1, 10, 100]) {
  const { bodyBytes, wireBytes, protect, open, protectFloor, openFloor } = measured(kilobytes * 1_000)
  const [protected_, bareProtect, opened, bareOpen] = measure([protect, protectFloor, open, openFloor], plan)
  if (protected_ === undefined || bareProtect === undefined || opened === undefined || bareOpen === undefined) throw new Error('a timing is missing')
  rows.push(row('protect', protected_, bareProtect), row('open', opened, bareOpen))
  function row(what: string, of: Timing, floor: Timing): string {
    return `| ${what} | ${bodyBytes} | ${wireBytes} | ${median(of.rounds).toFixed(0)} | ${median(floor.rounds).toFixed(0)} | ${ratio(of, floor).toFixed(1)} |`
  }
}
const table = [
  `Node ${process.versions.node}, ${process.arch}; default profile (AES-256-CBC, SHA-256, HMAC-SHA-256, derived keys), ${plan.rounds} rounds, CPU time.`, '',
  '| | body, bytes | on the wire, bytes | µs | floor, µs | times the floor |', '|---|---|---|---|---|---|', ...rows,
].join('\n')
process.stdout.write(`${table}\n`)

if (flags.write === true) {
  const path = new URL('../docs/performance.md', import.meta.url)
  const text = readFileSync(path, 'utf8')
  const written = text.replace(/(<!-- bench -->\n)[\s\S]*?(<!-- \/bench -->)/, (_, begin: string, end: string) => `${begin}${table}\n${end}`)
  if (!written.includes(table)) throw new Error('docs/performance.md has no place for the table')
  writeFileSync(path, written)
}
