/**
 * Writes a conversation in the format of the recorded conversations: conversation.json, NNN-request.xml, NNN-response.xml and,
 * with `dangerKeys`, keys.json. Goes on where an earlier process stopped when the folder holds a recording already.
 *
 * @module
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DangerTap, WireEvent } from '../tap.ts'

export interface RecordingOptions {
  readonly scenario: string
  readonly versions: { readonly soap: string; readonly addressing: string; readonly rm: string; readonly sc: string; readonly trust: string }
  readonly suite: string
  /** Writes secrets: whoever reads keys.json reads every message. */
  readonly dangerKeys?: { readonly certificates: readonly string[]; readonly privateKeys: readonly string[] }
}
interface Entry { n: number; file: string | null; exchange: number; direction: string; at: string; action?: string; http: unknown; dropped?: true }
interface Conversation { peer: string; scenario: string; recorded: string; versions: RecordingOptions['versions']; suite: string; decodePolicy: unknown; messages: Entry[] }
interface KeyFile { contexts: { identifier: string; instance?: string; secret: string }[]; certificates: readonly string[]; privateKeys: readonly string[] }

const LEVELS = { bootstrap: 'headers', session: 'headers' }
const ACTION = /<(?:[\w.-]+:)?Action\b[^>]*>([^<]*)</

export interface Recording extends DangerTap {
  /** As `message`; `dropped` marks one that was on the wire and did not arrive. */
  message(event: WireEvent, dropped?: 'dropped'): void
  secret(context: { readonly identifier: string; readonly instance: string | undefined; readonly secret: { export(): Uint8Array } }): void
}

export function record(directory: string, options: RecordingOptions): Recording {
  mkdirSync(directory, { recursive: true })
  const path = (name: string): string => join(directory, name)
  const load = <T>(name: string, fresh: T): T => (existsSync(path(name)) ? (JSON.parse(readFileSync(path(name), 'utf8')) as T) : fresh)
  const save = (name: string, value: unknown, mode?: number): void => writeFileSync(path(name), `${JSON.stringify(value, null, 1)}\n`, mode === undefined ? {} : { mode })
  const conversation = load<Conversation>('conversation.json', {
    peer: 'ws-reliablemessaging', scenario: options.scenario, recorded: '', versions: options.versions, suite: options.suite, decodePolicy: LEVELS, messages: [],
  })
  save('policy.json', LEVELS)
  const { dangerKeys } = options
  const keys = load<KeyFile>('keys.json', { contexts: [], certificates: dangerKeys?.certificates ?? [], privateKeys: dangerKeys?.privateKeys ?? [] })
  if (dangerKeys !== undefined) save('keys.json', keys, 0o600)

  return {
    message(event, dropped) {
      const n = conversation.messages.length + 1
      const file = event.body.length === 0 ? null : `${String(n).padStart(3, '0')}-${event.direction}.xml`
      if (file !== null) writeFileSync(path(file), event.body)
      const at = new Date(event.at).toISOString()
      const action = ACTION.exec(Buffer.from(event.body).toString('utf8'))?.[1]
      if (conversation.recorded === '') conversation.recorded = at
      conversation.messages.push({
        n, file, exchange: event.exchange, direction: event.direction, at, ...(action === undefined ? {} : { action }), http: event.http,
        ...(dropped === undefined ? {} : { dropped: true }),
      })
      save('conversation.json', conversation)
    },
    secret({ identifier, instance, secret }) {
      if (dangerKeys === undefined) return
      if (keys.contexts.some((each) => each.identifier === identifier && each.instance === instance)) return
      keys.contexts.push({ identifier, ...(instance === undefined ? {} : { instance }), secret: Buffer.from(secret.export()).toString('base64') })
      save('keys.json', keys, 0o600)
    },
  }
}
