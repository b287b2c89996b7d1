/**
 * A live peer: one Java process that hosts services and clients of one stack. Builds it with Maven when it is not there, starts it,
 * speaks JSON lines with it (README.md) and ends it.
 *
 * @module
 */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process'
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

export type Stack = 'metro' | 'cxf' | 'sandesha2'
export const STACKS: readonly Stack[] = ['metro', 'cxf', 'sandesha2']

export interface Identity { readonly certificate: string; readonly key: string }
/** One conversation's choices: interop/common Scenario. */
export interface Scenario {
  readonly soap: '1.1' | '1.2'
  readonly addressing: '200508' | '200408'
  readonly rm: '1.0' | '1.1'
  readonly sc: '200502' | '200512'
  readonly bootstrap: 'x509' | 'usernameForCertificate' | 'usernameForCertificateEndorsing' | 'usernameOverTls' | 'certificateOverTls'
  /** Of application messages: by the token's keys, or by TLS with the token signing the Timestamp. */
  readonly protection: 'message' | 'transport'
  readonly suite: string
  readonly derivedKeys: boolean
  readonly order: 'sign-before-encrypt' | 'encrypt-before-sign'
  readonly encryptSignature: boolean
  readonly layout: 'strict' | 'lax'
  readonly includeToken: 'requests' | 'always'
  readonly encryptLifecycle: boolean
  readonly signatureConfirmation: boolean
  readonly shape: 'request' | 'one-way'
  readonly lifetimeMs?: number
  readonly retransmitMs: number
  /** The client listens at an address of its own. */
  readonly addressable: boolean
  /** The client asks for its answers; where a stack has to be told. */
  readonly makeConnection: boolean
  readonly client: Identity
  readonly service: Identity
  readonly authority: string
  readonly user: string
  readonly password: string
}
export interface Secret { readonly identifier: string; readonly instance?: string; readonly secret: string }

/** The stack cannot run this scenario, and why. */
export class Unsupported extends Error {}

const HERE = import.meta.dirname
const MAIN: Readonly<Record<Stack, string>> = { metro: 'interop.Metro', cxf: 'interop.Cxf', sandesha2: 'interop.Sandesha2' }

/** Whether a JDK, Maven and xmlsec1 are here; the reason where not. */
export async function missingTools(): Promise<string | undefined> {
  const run = promisify(execFile)
  for (const [command, flag] of [['javac', '-version'], ['mvn', '-version'], ['xmlsec1', '--version']] as const) {
    try {
      await run(command, [flag])
    } catch {
      return `${command} is not here (a JDK 17, Maven and xmlsec1 are needed)`
    }
  }
  return undefined
}

/** Compiles the hosts and copies what they need beside them. */
export async function buildPeers(stacks: readonly Stack[] = STACKS): Promise<void> {
  await promisify(execFile)('mvn', ['-q', '-B', '-f', join(HERE, 'pom.xml'), 'package', '-am', '-pl', stacks.join(',')], { maxBuffer: 64 << 20 })
}

export class Peer implements AsyncDisposable {
  readonly stack: Stack
  readonly #process: ChildProcessWithoutNullStreams
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(reason: Error): void }>()
  #last = 0

  private constructor(stack: Stack, process: ChildProcessWithoutNullStreams) {
    this.stack = stack
    this.#process = process
    createInterface({ input: process.stdout }).on('line', (line) => this.#answered(JSON.parse(line)))
    process.once('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${stack} ended (${code ?? signal})`))
      this.#waiting.clear()
    })
  }

  /** `log`: where what the stack prints is kept. */
  static async start(stack: Stack, log: string): Promise<Peer> {
    const folder = join(HERE, stack, 'target')
    const options = existsSync(join(HERE, stack, 'jvm.options'))
      ? readFileSync(join(HERE, stack, 'jvm.options'), 'utf8').split('\n').filter((line) => line !== '' && !line.startsWith('#'))
      : []
    const temporary = join(tmpdir(), `interop-${stack}-${process.pid}`)
    mkdirSync(temporary, { recursive: true })
    const child = spawn('java', [...options, `-Djava.io.tmpdir=${temporary}`, '-cp', `${join(folder, 'classes')}:${join(folder, 'lib')}/*`, MAIN[stack]])
    child.stderr.pipe(createWriteStream(log))
    child.once('exit', () => rmSync(temporary, { recursive: true, force: true }))
    const peer = new Peer(stack, child)
    await peer.#ask('describe', {})
    return peer
  }

  describe(): Promise<{ readonly peer: string }> { return this.#ask('describe', {}) }
  serve(scenario: Scenario): Promise<{ readonly service: string; readonly url: string }> { return this.#ask('serve', { scenario }) }
  received(service: string): Promise<readonly string[]> { return this.#ask('received', { service }) }
  forget(service: string): Promise<void> { return this.#ask('forget', { service }) }
  open(scenario: Scenario, url: string): Promise<{ readonly client: string }> { return this.#ask('open', { scenario, url }) }
  send(client: string, texts: readonly string[]): Promise<readonly (string | null)[]> { return this.#ask('send', { client, texts }) }
  end(client: string): Promise<void> { return this.#ask('end', { client }) }
  secrets(of: { readonly service: string } | { readonly client: string }): Promise<readonly Secret[]> { return this.#ask('secrets', of) }
  stop(which: { readonly service: string } | { readonly client: string }): Promise<void> { return this.#ask('stop', which) }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return
    const gone = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.stdin.end()
    const hard = setTimeout(() => this.#process.kill('SIGKILL'), 5_000)
    await gone
    clearTimeout(hard)
  }

  #ask<T>(command: string, words: object): Promise<T> {
    const id = ++this.#last
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: (value) => resolve(value as T), reject })
      this.#process.stdin.write(`${JSON.stringify({ id, do: command, ...words })}\n`)
    })
  }
  #answered(answer: { readonly id: number; readonly ok?: unknown; readonly unsupported?: string; readonly error?: string }): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if (answer.unsupported !== undefined) waiting?.reject(new Unsupported(answer.unsupported))
    else if (answer.error !== undefined) waiting?.reject(new Error(answer.error))
    else waiting?.resolve(answer.ok)
  }
}
