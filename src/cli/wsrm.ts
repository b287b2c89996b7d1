#!/usr/bin/env node
/**
 * The command `wsrm`: decode recorded messages, call a service, be one. Results on stdout, words on stderr; exit 0 done, 1 refused or
 * failed, 2 usage. No key is ever printed.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { UsageError, WsrmError } from '../index.ts'
import { call } from './call.ts'
import { runDecode } from './decode.ts'
import { serve } from './serve.ts'

const HELP = `wsrm: WS-ReliableMessaging under a WS-SecureConversation token

  wsrm decode FILE... --keys KEYS.json [--policy POLICY.json] [--now ISO]
  wsrm decode DIR [--keys KEYS.json] [--policy POLICY.json]
      Opens recorded envelopes, or a recorded conversation in order; one JSON object a line.

  wsrm call URL --config CLIENT.json --action URI [--body FILE|-] [--count N] [--one-way] [--concurrency N] [--timeout MS]
      Opens a conversation, sends, prints each reply and acknowledgement, closes.

  wsrm serve --config SERVICE.json --port N [--host HOST] [--handler MODULE]
      A service that prints every delivery. MODULE's default export is the handler; without it requests are answered with their own body.

  call and serve: --json  one JSON object a line
                  --record DIR  write the exchange as a recorded conversation
                  --danger-record-keys  write its keys too: who reads keys.json reads every message
`

const RECORDING = { json: { type: 'boolean' }, record: { type: 'string' }, 'danger-record-keys': { type: 'boolean' } } as const satisfies ParseArgsOptionsConfig
type Command = (args: readonly string[]) => Promise<number>
const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['decode', runDecode],
  ['call', async (args) => {
    const { values, positionals } = parse(args, {
      config: { type: 'string' }, action: { type: 'string' }, body: { type: 'string' }, count: { type: 'string' }, 'one-way': { type: 'boolean' },
      concurrency: { type: 'string' }, timeout: { type: 'string' }, ...RECORDING,
    })
    const [url, ...more] = positionals
    if (url === undefined || more.length > 0) throw new UsageError('ERR_CLI', 'call takes one URL')
    return call({
      url, config: needed(values.config, '--config'), action: needed(values.action, '--action'), body: values.body ?? '-', oneWay: values['one-way'] ?? false,
      count: counted(values.count ?? '1', '--count'), concurrency: counted(values.concurrency ?? '1', '--concurrency'),
      ...(values.timeout !== undefined && { timeoutMs: counted(values.timeout, '--timeout') }), ...recordingOf(values),
    })
  }],
  ['serve', async (args) => {
    const { values, positionals } = parse(args, { config: { type: 'string' }, port: { type: 'string' }, host: { type: 'string' }, handler: { type: 'string' }, ...RECORDING })
    if (positionals.length > 0) throw new UsageError('ERR_CLI', 'serve takes no arguments beside its options')
    const port = Number(needed(values.port, '--port'))
    if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new UsageError('ERR_CLI', '--port is a number from 0 (any free one) to 65535')
    return serve({
      config: needed(values.config, '--config'), port, ...(values.host !== undefined && { host: values.host }), ...(values.handler !== undefined && { handler: values.handler }), ...recordingOf(values),
    })
  }],
])

function parse<T extends ParseArgsOptionsConfig>(args: readonly string[], options: T): ReturnType<typeof parseArgs<{ args: string[]; options: T; allowPositionals: true }>> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    throw new UsageError('ERR_CLI', (error as Error).message)
  }
}
function recordingOf(values: { readonly json?: boolean | undefined; readonly record?: string | undefined; readonly 'danger-record-keys'?: boolean | undefined }): { readonly json: boolean; readonly record?: string; readonly dangerKeys: boolean } {
  const dangerKeys = values['danger-record-keys'] ?? false
  if (dangerKeys && values.record === undefined) throw new UsageError('ERR_CLI', '--danger-record-keys goes with --record')
  return { json: values.json ?? false, dangerKeys, ...(values.record !== undefined && { record: values.record }) }
}
function needed(value: string | undefined, name: string): string {
  if (value === undefined) throw new UsageError('ERR_CLI', `${name} is needed`)
  return value
}
function counted(text: string, name: string): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 1) throw new UsageError('ERR_CLI', `${name} is a whole number above 0`)
  return count
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === '--version') {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }
    process.stdout.write(`${version}\n`)
    return 0
  }
  if (name === '--help' || name === '-h' || (name !== undefined && (rest.includes('--help') || rest.includes('-h')))) {
    process.stdout.write(HELP)
    return 0
  }
  const command = name === undefined ? undefined : COMMANDS.get(name)
  if (command === undefined) {
    process.stderr.write(`${name === undefined ? '' : `wsrm: no command ${JSON.stringify(name)}\n\n`}${HELP}`)
    return 2
  }
  try {
    return await command(rest)
  } catch (error) {
    // A code and a message say what was wrong; a stack is for us, and only of errors that are none of ours.
    const isOurs = error instanceof WsrmError
    // What the system refused, such as a port that is taken, says it in its message.
    const isSystems = error instanceof Error && 'syscall' in error
    process.stderr.write(`wsrm ${name}: ${isOurs ? `${error.message} (${error.code})` : isSystems ? error.message : ((error as Error).stack ?? String(error))}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

// Who reads us may have heard enough (`wsrm decode … | head`).
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
process.exitCode = await main(process.argv.slice(2))
