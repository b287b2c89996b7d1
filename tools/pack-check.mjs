// Packs the package as it would be published, checks the tarball (publint, are-the-types-wrong), then installs it in an empty project,
// imports every door of it and calls the command: npm run pack:check
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'wsrm-pack-'))

function run(command, args, cwd = root) {
  console.log(`$ ${command} ${args.join(' ')}`)
  const { status, error } = spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'], shell: process.platform === 'win32' })
  if (status !== 0) throw new Error(`${command} ${args[0]} failed${error === undefined ? ` (${status})` : `: ${error.message}`}`)
}

try {
  run('npm', ['pack', '--silent', '--pack-destination', folder])
  const tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')))
  run('publint', ['run', tarball, '--strict'])
  run('attw', [tarball, '--profile', 'esm-only'])

  const { name, exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const doors = Object.entries(exports).filter(([, door]) => typeof door === 'object').map(([path]) => name + path.slice(1))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }))
  writeFileSync(join(folder, 'doors.js'), `for (const door of ${JSON.stringify(doors)}) {
  const names = Object.keys(await import(door))
  if (names.length === 0) throw new Error(door + ' exports nothing')
  console.log(door + ': ' + names.length + ' names')
}\n`)
  run('npm', ['install', '--silent', '--no-audit', '--no-fund', tarball], folder)
  run('node', ['--disable-warning=ExperimentalWarning', 'doors.js'], folder)
  run(join(folder, 'node_modules', '.bin', 'wsrm'), ['--help'])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
