/**
 * `wsrm call`: a conversation from the command line.
 *
 * @module
 */
import { readFile } from 'node:fs/promises'
import { connect, type Conversation, DEFAULT_PROFILE, UsageError, type Wait } from '../index.ts'
import { readClientConfig } from './config.ts'
import { type Printer, printer, reasonOf } from './print.ts'
import { recordingFor, type RecordingChoice } from './recording.ts'

export interface CallOptions extends RecordingChoice {
  readonly url: string
  readonly config: string
  readonly action: string
  /** A file, or - for the standard input. */
  readonly body: string
  readonly count: number
  readonly concurrency: number
  readonly oneWay: boolean
  readonly timeoutMs?: number
  readonly json: boolean
}

export async function call(options: CallOptions): Promise<number> {
  const print = printer(options.json)
  if (!URL.canParse(options.url)) throw new UsageError('ERR_CLI', 'call needs the URL of a service')
  const config = await readClientConfig(options.config)
  try {
    const body = await readBody(options.body)
    const profile = config.options.profile ?? DEFAULT_PROFILE
    const tap = recordingFor(options, `wsrm call ${options.action}`, profile, config.keys)
    const wait: Wait = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }
    const conversation = await connect(options.url, { ...config.options, ...wait, ...(tap !== undefined && { dangerTap: tap }) })
    print.say(`connected under token ${conversation.tokenId}`)
    conversation.on('retransmit', ({ number, tries }) => print.say(`message ${number} sent again (${tries})`))
    conversation.on('security', ({ code, detail }) => print.say(`refused: ${code}${detail === undefined ? '' : `, ${detail}`}`))
    const failures = await send(conversation, body, options, wait, print)
    const { outcome, lost } = await conversation.close(wait)
    print.say(`closed: ${typeof outcome === 'string' ? outcome : JSON.stringify(outcome)}${lost.length === 0 ? '' : `, in doubt ${lost.join(' ')}`}`)
    return failures === 0 && lost.length === 0 ? 0 : 1
  } finally {
    await config.close()
  }
}

/** Sends `count` messages, `concurrency` at a time. Returns how many failed. */
async function send(conversation: Conversation, body: Uint8Array, { count, concurrency, action, oneWay }: CallOptions, wait: Wait, print: Printer): Promise<number> {
  let next = 0
  let failures = 0
  const one = oneWay
    ? async (): Promise<void> => {
        const ticket = await conversation.send(body, { action, ...wait })
        await ticket.acknowledged(wait)
        print.result({ number: ticket.number, acknowledged: true }, `message ${ticket.number} acknowledged`)
      }
    : async (): Promise<void> => {
        const reply = await conversation.request(body, { action, ...wait })
        print.result({ action: reply.action, body: reply.body }, reply.body)
      }
  const worker = async (): Promise<void> => {
    while (next < count) {
      next += 1
      const nth = next
      try {
        await one()
      } catch (error) {
        failures += 1
        const reason = reasonOf(error)
        print.result({ failed: nth, ...reason }, `message ${nth} failed: ${reason.message} (${reason.code})`)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, worker))
  return failures
}

async function readBody(name: string): Promise<Uint8Array> {
  if (name !== '-') return readFile(name).catch((cause: NodeJS.ErrnoException) => { throw new UsageError('ERR_CLI', `--body ${name} cannot be read (${cause.code ?? 'unknown error'})`) })
  const chunks: Uint8Array[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks)
}
