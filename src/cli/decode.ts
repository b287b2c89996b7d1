/**
 * `wsrm decode`: recorded envelopes one by one, or a recorded conversation in order, each message at its own time.
 * One JSON object a line on stdout; exit 0 when all opened, 1 when one was refused.
 *
 * @module
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { type DecodeLine, decodeMessage, type KeyFile, type PolicyFile, RecordedKeys } from '../decode.ts'
import { UsageError } from '../errors.ts'

export type FileLine = { readonly file: string } & DecodeLine

/** The messages of a recorded conversation, in order. Later ones may refer to EncryptedKeys of earlier ones; entries without a file are skipped. */
export function* decodeConversation(directory: string, given: { readonly keys?: string | undefined; readonly policy?: string | undefined } = {}): Generator<FileLine> {
  const keys = new RecordedKeys(json<KeyFile>(given.keys ?? join(directory, 'keys.json')))
  const policyPath = given.policy ?? join(directory, 'policy.json')
  const policy = given.policy === undefined && !existsSync(policyPath) ? {} : json<PolicyFile>(policyPath)
  const { messages } = json<{ readonly messages: readonly { readonly file?: string | null; readonly at: string }[] }>(join(directory, 'conversation.json'))
  for (const { file, at } of messages) {
    if (typeof file !== 'string') continue
    yield { file, ...decodeMessage(bytes(join(directory, file)), keys, policy, instant(at)) }
  }
}

/** Envelopes that do not belong together; still, one after the other with the same keys. */
export function* decodeFiles(files: readonly string[], given: { readonly keys: string; readonly policy?: string | undefined; readonly now: number }): Generator<FileLine> {
  const keys = new RecordedKeys(json<KeyFile>(given.keys))
  const policy = given.policy === undefined ? {} : json<PolicyFile>(given.policy)
  for (const file of files) yield { file: basename(file), ...decodeMessage(bytes(file), keys, policy, given.now) }
}

export async function runDecode(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args)
  const [first, ...more] = positionals
  if (first === undefined) throw new UsageError('ERR_CLI', 'decode takes a folder, or files')
  const lines = statSync(first, { throwIfNoEntry: false })?.isDirectory() === true
    ? folder(first, more, values)
    : decodeFiles(positionals, { keys: needed(values.keys), policy: values.policy, now: values.now === undefined ? Date.now() : instant(values.now) })
  let refused = false
  for (const line of lines) {
    refused ||= !line.opened
    process.stdout.write(`${JSON.stringify(line)}\n`)
  }
  return refused ? 1 : 0
}

interface Values { readonly keys?: string | undefined; readonly policy?: string | undefined; readonly now?: string | undefined }
function folder(directory: string, more: readonly string[], values: Values): Iterable<FileLine> {
  if (more.length > 0) throw new UsageError('ERR_CLI', 'decode takes one folder, or files')
  if (values.now !== undefined) throw new UsageError('ERR_CLI', '--now goes with files: each message of a conversation has its own time')
  return decodeConversation(directory, values)
}

function parse(args: readonly string[]): { readonly values: Values; readonly positionals: readonly string[] } {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: { keys: { type: 'string' }, policy: { type: 'string' }, now: { type: 'string' }, json: { type: 'boolean' } } })
  } catch (error) {
    throw new UsageError('ERR_CLI', (error as Error).message)
  }
}
function needed(keys: string | undefined): string {
  if (keys === undefined) throw new UsageError('ERR_CLI', '--keys is needed')
  return keys
}
function instant(iso: string): number {
  const at = Date.parse(iso)
  if (Number.isNaN(at)) throw new UsageError('ERR_CLI', 'a time is written as in 2026-01-15T10:00:00Z')
  return at
}
function bytes(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new UsageError('ERR_CLI_FILE', `${path} cannot be read`, { cause })
  }
}
function json<T>(path: string): T {
  const text = Buffer.from(bytes(path)).toString('utf8')
  try {
    return JSON.parse(text) as T
  } catch {
    // The text may be a key file: nothing of it is repeated, not even as a cause.
    throw new UsageError('ERR_CLI_FILE', `${path} is not JSON`)
  }
}
