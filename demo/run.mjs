// npm run demo: sets up what is missing (npm ci), then runs the demo on the project's own Node. Plain JavaScript for any Node from 20 on.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const runtime = fileURLToPath(new URL(process.platform === 'win32' ? '../node_modules/node/bin/node.exe' : '../node_modules/node/bin/node', import.meta.url))

/** What is installed is what the lockfile says: npm writes down what it installed in node_modules/.package-lock.json. */
function isInstalled() {
  const packages = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).packages
  try {
    const wanted = packages('../package-lock.json')
    const present = packages('../node_modules/.package-lock.json')
    const missing = Object.entries(wanted).filter(([path, row]) => path !== '' && (present[path] === undefined ? row.optional !== true : present[path].version !== row.version))
    const left = Object.keys(present).filter((path) => wanted[path] === undefined)
    return missing.length === 0 && left.length === 0 && existsSync(runtime)
  } catch {
    return false
  }
}

if (!isInstalled()) {
  console.error('Setting up: npm ci')
  const cli = process.env.npm_execpath
  const npm = cli?.endsWith('.js') ? [process.execPath, [cli, 'ci'], false] : ['npm', ['ci'], process.platform === 'win32']
  const { status } = spawnSync(npm[0], npm[1], { cwd: root, stdio: ['ignore', 2, 2], shell: npm[2] })
  if (status !== 0) {
    console.error('npm ci failed: see above')
    process.exit(1)
  }
}
const demo = spawnSync(runtime, ['--disable-warning=ExperimentalWarning', fileURLToPath(new URL('main.ts', import.meta.url)), ...process.argv.slice(2)], { cwd: process.cwd(), stdio: 'inherit' })
if (demo.error !== undefined) throw demo.error
process.exitCode = demo.status ?? 1
