// Packs the package as it would be published, checks the tarball (publint, are-the-types-wrong), then installs it in an empty project,
// imports and requires every door of it, compiles against its types without lib.dom, and calls the command: npm run pack:check
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
  writeFileSync(join(folder, 'doors.js'), `import { createRequire } from 'node:module'
const require = createRequire(import.meta.url)
for (const door of ${JSON.stringify(doors)}) {
  const names = Object.keys(await import(door))
  if (names.length === 0) throw new Error(door + ' exports nothing')
  if (Object.keys(require(door)).length !== names.length) throw new Error(door + ' is another thing when it is required')
  console.log(door + ': ' + names.length + ' names')
}\n`)
  writeFileSync(join(folder, 'user.ts'), doors.map((door, at) => `import * as door${at} from '${door}'\nexport type Names${at} = keyof typeof door${at}\n`).join(''))
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: {
      strict: true, exactOptionalPropertyTypes: true, noEmit: true, skipLibCheck: false, target: 'es2024', lib: ['es2024', 'esnext.disposable'], module: 'nodenext',
      types: ['node'], typeRoots: [join(root, 'node_modules/@types')],
    },
    files: ['user.ts'],
  }))
  run('npm', ['install', '--silent', '--no-audit', '--no-fund', tarball], folder)
  run('node', ['--disable-warning=ExperimentalWarning', 'doors.js'], folder)
  run('tsc', ['-p', folder])
  run(join(folder, 'node_modules', '.bin', 'wsrm'), ['--help'])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
