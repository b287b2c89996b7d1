/**
 * `wsrm serve`: a service from the command line. Prints every delivery; without a handler, requests are answered with their own body.
 *
 * @module
 */
import type { DatabaseSync } from 'node:sqlite'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { createService, DEFAULT_PROFILE, type Message, type Outcome, type Profile, type ServiceOptions, UsageError } from '../index.ts'
import { readServiceConfig } from './config.ts'
import { printer } from './print.ts'
import { recordingFor, type RecordingChoice } from './recording.ts'

export interface ServeOptions extends RecordingChoice {
  readonly config: string
  readonly port: number
  readonly host?: string
  readonly handler?: string
  readonly json: boolean
}
type Handle = ServiceOptions<DatabaseSync>['handle']

export async function serve(options: ServeOptions): Promise<number> {
  const print = printer(options.json)
  const handler = options.handler === undefined ? echo : await loadHandler(options.handler)
  const config = await readServiceConfig(options.config)
  try {
    const tap = recordingFor(options, 'wsrm serve', firstProfile(config.options.profile), config.keys)
    const service = await createService<DatabaseSync>({
      ...config.options, ...(tap !== undefined && { dangerTap: tap }),
      handle: (message, context) => {
        print.result(
          { sequence: message.sequence, number: message.number, action: message.action, principal: message.principal, token: message.tokenId, body: message.body },
          `${message.sequence} ${message.number} ${message.action}\n${message.body}`,
        )
        return handler(message, context)
      },
    })
    service.on('security', ({ code, detail }) => print.say(`refused: ${code}${detail === undefined ? '' : `, ${detail}`}`))
    service.on('error', ({ error }) => print.say(`failed: ${error.message}`))
    try {
      const listening = await service.listen({ port: options.port, host: options.host ?? '127.0.0.1', ...config.listen })
      print.say(`listening on ${listening.url}`)
      await asked()
      return 0
    } finally {
      await service.close()
    }
  } finally {
    await config.close()
  }
}

const echo: Handle = (message: Message) => Promise.resolve<Outcome<DatabaseSync>>({ reply: { body: message.body } })

async function loadHandler(name: string): Promise<Handle> {
  const module = (await import(pathToFileURL(resolve(name)).href).catch((cause: unknown) => {
    throw new UsageError('ERR_CLI', `--handler ${name} cannot be loaded: ${(cause as Error).message}`, { cause })
  })) as { readonly default?: unknown }
  if (typeof module.default !== 'function') throw new UsageError('ERR_CLI', `--handler ${name} has no function as its default export`)
  return module.default as Handle
}

const isList = (profile: Profile | readonly Profile[]): profile is readonly Profile[] => Array.isArray(profile)
const firstProfile = (profile: Profile | readonly Profile[] | undefined): Profile => {
  if (profile === undefined) return DEFAULT_PROFILE
  return isList(profile) ? (profile[0] ?? DEFAULT_PROFILE) : profile
}

/** Until the user or the system asks us to end. */
const asked = (): Promise<void> => new Promise((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
})
