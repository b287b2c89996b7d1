/**
 * `npm run test:interop`: all live tests. `-- --third SEED`: a third of them, by chance; `-- --write`: the results become the tables of
 * docs/peers.md. What else is given goes to vitest.
 */
import { spawnSync } from 'node:child_process'

const words = process.argv.slice(2)
const env = { ...process.env }
const rest = []
for (let at = 0; at < words.length; at++) {
  if (words[at] === '--third') env.INTEROP_THIRD = words[++at]
  else if (words[at] === '--write') env.INTEROP_WRITE = '1'
  else rest.push(words[at])
}
if (env.INTEROP_THIRD !== undefined && !/^\d+$/.test(env.INTEROP_THIRD)) {
  console.error('--third needs a seed, a number')
  process.exit(2)
}
if (env.INTEROP_THIRD !== undefined && env.INTEROP_WRITE !== undefined) {
  console.error('the tables are made from a full run')
  process.exit(2)
}
const { status } = spawnSync('vitest', ['run', '--config', 'vitest.interop.config.ts', ...rest], { stdio: 'inherit', env })
process.exit(status ?? 1)
