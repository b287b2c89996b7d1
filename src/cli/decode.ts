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
  const keys = new RecordedKeys(keyFile(given.keys ?? join(directory, 'keys.json')))
  const policyPath = given.policy ?? join(directory, 'policy.json')
  const policy = given.policy === undefined && !existsSync(policyPath) ? {} : policyFile(policyPath)
  const { messages } = json<{ readonly messages: readonly { readonly file?: string | null; readonly at: string }[] }>(join(directory, 'conversation.json'))
  if (!Array.isArray(messages)) throw new UsageError('ERR_CLI_FILE', `${directory} holds no list of messages`)
  for (const { file, at } of messages) {
    if (typeof file !== 'string') continue
    // A recording names files of its own folder and no others.
    if (/[/\\]/.test(file)) throw new UsageError('ERR_CLI_FILE', `${directory} names a file outside of it`)
    yield { file, ...decodeMessage(bytes(join(directory, file)), keys, policy, instant(at)) }
  }
}

/** Envelopes that do not belong together; still, one after the other with the same keys. */
export function* decodeFiles(files: readonly string[], given: { readonly keys: string; readonly policy?: string | undefined; readonly now: number }): Generator<FileLine> {
  const keys = new RecordedKeys(keyFile(given.keys))
  const policy = given.policy === undefined ? {} : policyFile(given.policy)
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
/** KEYS.json; members that are not known are ignored, known ones have their type. */
function keyFile(path: string): KeyFile {
  const file = json<Record<string, unknown>>(path)
  const check = (name: string, isRight: (value: unknown) => boolean): void => {
    if (file[name] !== undefined && !isRight(file[name])) throw new UsageError('ERR_CLI_FILE', `${path}: ${name} is not what it should be`)
  }
  const isText = (value: unknown): boolean => typeof value === 'string'
  const areTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText)
  const isContext = (value: unknown): boolean => {
    const { identifier, instance, secret } = (value ?? {}) as Record<string, unknown>
    return isText(identifier) && isText(secret) && (instance === undefined || isText(instance))
  }
  check('contexts', (value) => Array.isArray(value) && value.every(isContext))
  check('certificates', areTexts)
  check('privateKeys', areTexts)
  check('passwords', (value) => typeof value === 'object' && value !== null && Object.values(value).every(isText))
  return file as KeyFile
}
const LEVELS: readonly unknown[] = ['headers', 'body', 'transport']
function policyFile(path: string): PolicyFile {
  const file = json<Record<string, unknown>>(path)
  for (const name of ['bootstrap', 'session']) {
    if (file[name] !== undefined && !LEVELS.includes(file[name])) throw new UsageError('ERR_CLI_FILE', `${path}: ${name} is not one of ${LEVELS.join(', ')}`)
  }
  if (file['encryptBody'] !== undefined && typeof file['encryptBody'] !== 'boolean') throw new UsageError('ERR_CLI_FILE', `${path}: encryptBody is no true or false`)
  return file as PolicyFile
}
function json<T extends object>(path: string): T {
  const text = Buffer.from(bytes(path)).toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // The text may be a key file: nothing of it is repeated, not even as a cause.
    throw new UsageError('ERR_CLI_FILE', `${path} is not JSON`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new UsageError('ERR_CLI_FILE', `${path} is no JSON object`)
  return value as T
}
