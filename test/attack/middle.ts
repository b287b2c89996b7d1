/**
 * Somebody between client and service: sees every request, and answers as he likes or lets the service answer.
 *
 * @module
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'vitest'
import type { World } from '../flow/world.ts'
import { opener } from './forge.ts'

export interface Seen { readonly body: Buffer; readonly text: string; readonly action: string; readonly at: number }
export interface Given { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string | Uint8Array }
/** What is answered; undefined: it was answered by hand. */
export type Meddle = (seen: Seen, honest: () => Promise<Given>, response: ServerResponse) => Promise<Given | undefined>

export interface Middle extends AsyncDisposable {
  readonly url: string
  readonly requests: Seen[]
  /** What the service answered, whether it was passed on or not. */
  readonly answers: { readonly seen: Seen; readonly body: string }[]
  meddle: Meddle | undefined
}
export const SOAP = { 'content-type': 'application/soap+xml; charset=utf-8' }

export async function middleOf(here: Pick<World, 'service'>, now: () => number = Date.now): Promise<Middle> {
  const requests: Seen[] = []
  const answers: Middle['answers'] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => undefined)
    response.on('error', () => undefined)
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      const seen: Seen = { body, text: body.toString(), action: /action="([^"]*)"/.exec(request.headers['content-type'] ?? '')?.[1] ?? '', at: now() }
      requests.push(seen)
      const honest = async (): Promise<Given> => {
        const answer = await here.service.handle({ method: 'POST', url: '/orders', headers: request.headers, body })
        answers.push({ seen, body: Buffer.from(answer.body).toString() })
        return answer
      }
      const meddled = middle.meddle === undefined ? honest() : middle.meddle(seen, honest, response)
      meddled.then((given) => {
        if (given === undefined || response.destroyed) return
        response.writeHead(given.status, given.headers ?? SOAP)
        response.end(given.body ?? '')
      }, () => response.destroy())
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const middle: Middle = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/orders`, requests, answers, meddle: undefined,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => { server.close(() => resolve()) })
      server.closeAllConnections()
      await closed
    },
  }
  return middle
}

/** Every request that was ever sent is protected as it should be: signed over its Body and whatever names a sequence, application content never in clear. */
export function expectAllProtected(here: World, requests: readonly Seen[]): void {
  const open = opener(here.secrets)
  for (const { body, text, at } of requests) {
    const line = open(body, at)
    expect(line).toMatchObject({ opened: true })
    if (!line.opened) continue
    expect(line.covered).toContain('{http://www.w3.org/2003/05/soap-envelope}Body')
    expect(text).not.toContain('<item')
    if (line.sequence !== undefined && line.rmBody === undefined) expect(line.encrypted).toContain('{http://www.w3.org/2003/05/soap-envelope}Body')
    if (text.includes('CreateSequence>')) expect(line.createSequence?.str).toMatchObject({ uri: line.token?.identifier })
  }
}
