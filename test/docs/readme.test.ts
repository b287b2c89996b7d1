/** The examples of the README are what they claim to be: at most 15 lines of plain JavaScript each, and they work as they stand. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const example = (name: string): string => {
  const code = new RegExp(`<!-- ${name} -->\\n\`\`\`(?:js|sh)\\n([\\s\\S]*?)\`\`\``).exec(readme)?.[1]
  if (code === undefined) throw new Error(`the README has no ${name}`)
  return code
}

let folder = ''
let service: ChildProcess | undefined
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'wsrm-readme-'))
  // The package under its own name, with its doors leading to the source.
  const home = join(folder, 'node_modules', 'ws-reliablemessaging')
  mkdirSync(join(folder, 'node_modules'))
  mkdirSync(home)
  const doors = { '.': './src/index.ts', './store/sqlite': './src/store/sqlite.ts' }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name: 'ws-reliablemessaging', type: 'module', exports: doors }))
  symlinkSync(join(root, 'src'), join(home, 'src'), 'junction')
  // What the README says before the first run, word for word, by the Node that runs us.
  execFileSync('sh', ['-ec', example('setup.sh')], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`, NODE_NO_WARNINGS: '1' } })
  for (const name of ['client', 'service']) writeFileSync(join(folder, `${name}.js`), example(`${name}.js`).replace(/\b8080\b/g, name === 'service' ? '0' : '8080'))
})
afterAll(() => {
  service?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

function run(file: string): { readonly child: ChildProcess; readonly line: Promise<string>; readonly code: Promise<number | null> } {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  const line = new Promise<string>((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString('utf8')
      if (out.includes('\n')) resolve(out.slice(0, out.indexOf('\n')))
    })
    child.once('close', (code) => reject(new Error(`${file} ended with ${code} and said nothing`)))
  })
  return { child, line, code: new Promise((resolve) => child.once('close', resolve)) }
}

test.each(['client.js', 'service.js'])('%s has at most 15 lines that Node 22 parses', (name) => {
  const code = example(name)
  expect(code.trim().split('\n').length).toBeLessThanOrEqual(15)
  expect(code).not.toMatch(/\b(?:await )?using \w|^\s*(?:type|interface) /m)
})

test('the two talk to each other, and the order is in the service\u2019s own table', async () => {
  const serving = run('service.js')
  service = serving.child
  const url = await serving.line
  writeFileSync(join(folder, 'client.js'), example('client.js').replace('http://127.0.0.1:8080/orders', url))
  const calling = run('client.js')
  expect(await calling.line).toBe('<placed xmlns="urn:example:orders">1</placed>')
  expect(await calling.code).toBe(0)
  // Once more: the same order is not placed twice.
  const again = run('client.js')
  expect(await again.line).toBe('<placed xmlns="urn:example:orders">1</placed>')
  expect(await again.code).toBe(0)
  const database = new DatabaseSync(join(folder, 'service.db'))
  expect(database.prepare('SELECT body FROM orders').all().map((row) => row['body'])).toEqual(['<place xmlns="urn:example:orders">tea</place>'])
  database.close()
})
