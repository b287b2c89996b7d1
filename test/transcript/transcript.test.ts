/**
 * Conversations in plain text: a line that begins with a word is what happens, the indented lines below it are the turn that follows.
 * `UPDATE=1 npx vitest run test/transcript` writes the turns anew; the difference is to be read by a person.
 *
 * Words: `client|service made`, `client submit KEY one-way|request`, `service take N [reply]`, `client close`, `client|service wait MS`,
 * `client|service restart` (from its snapshot and rows), `deliver MESSAGE [as COPY]` (a request to the service, an answer to the client), `lose MESSAGE`, `empty MESSAGE` (202 to it).
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS } from '../../src/options.ts'
import { Destination, type ReceivedRow } from '../../src/rm/destination.ts'
import { Lane, type LaneEvent, type LaneFacts, type LaneHead, type LaneTurn } from '../../src/rm/lane.ts'
import { Source } from '../../src/rm/source.ts'
import type { SentRow } from '../../src/rm/source-words.ts'
import { DEFAULT_TIMING } from '../../src/rm/timing.ts'
import type { LaneId, Outbound } from '../../src/rm/turn.ts'
import type { TokenId } from '../../src/sct/token.ts'
import { said, wordsOf } from '../../src/testing/simulator.ts'
import { content } from '../machine/machines.ts'

const FOLDER = new URL('.', import.meta.url)
const TOKEN = 'urn:token' as TokenId
const WHO = { tokenId: TOKEN, principal: { kind: 'user', name: 'alice' } } as const
type Side = 'client' | 'service'

class Conversation {
  readonly #rm: '1.0' | '1.1'
  readonly #rows: Record<Side, Map<string, Uint8Array>> = { client: new Map(), service: new Map() }
  readonly #lanes: Partial<Record<Side, Lane>> = {}
  readonly #messages = new Map<string, { from: Side; outbound: Outbound; about?: Outbound | undefined }>()
  #now = 0
  #minted = 0
  #sent = 0
  constructor(rm: '1.0' | '1.1', facts: Partial<LaneFacts>) {
    this.#rm = rm
    const common = { tokenId: TOKEN, rm, createdAt: 0, createMessageId: 'urn:create' }
    this.#lanes.client = this.#lane({ ...common, lane: 'client' as LaneId, role: 'initiator', url: 'https://service.example/', offered: 'urn:replies', ...facts })
    this.#lanes.service = this.#lane({ ...common, lane: 'service' as LaneId, role: 'responder', sequence: 'urn:requests', ...('offered' in facts ? {} : { offered: 'urn:replies', acksTo: 'https://service.example/' }) })
  }
  play(line: string): string[] {
    const [who = '', ...rest] = line.split(' ')
    switch (who) {
      case 'deliver': return this.#deliver(rest[0] ?? '')
      case 'lose': return this.#hint(rest[0] ?? '', { kind: 'http-failure' })
      case 'empty': return this.#hint(rest[0] ?? '', { kind: 'empty-answer', status: 202 })
      case 'client': case 'service': return this.#act(who, rest)
      default: throw new Error(`not understood: ${line}`)
    }
  }
  #act(side: Side, [verb = '', a = '', b = '']: readonly string[]): string[] {
    switch (verb) {
      case 'made': return this.#turn(side, { kind: 'made' })
      case 'submit': return this.#turn(side, { kind: 'submit', content: content(a), shape: b as 'one-way' | 'request', key: a, digest: a })
      case 'take': return this.#turn(side, { kind: 'consumed', number: Number(a), ...(b === 'reply' ? { reply: { ...content(`reply${a}`), relatesTo: this.#lanes.service?.destination.row(Number(a))?.message?.content.messageId ?? '' } } : {}), ...(this.#held.has(Number(a)) ? { to: { kind: 'exchange', exchange: this.#held.get(Number(a)) ?? '' } } : {}) })
      case 'close': return this.#turn(side, { kind: 'close' })
      case 'wait':
        this.#now += Number(a)
        return this.#turn(side, { kind: 'time' })
      case 'restart': return this.#restart(side)
      default: throw new Error(`not understood: ${side} ${verb}`)
    }
  }
  readonly #held = new Map<number, string>()
  #turn(side: Side, event: LaneEvent): string[] {
    const lane = this.#lanes[side]
    if (lane === undefined) throw new Error('no lane')
    const before = JSON.stringify(lane.head())
    let turn: LaneTurn
    try {
      turn = lane.handle(event, this.#now)
    } catch (error) {
      return [`refused: ${(error as Error).message}`]
    }
    const lines = turn.persist.map((write) => `${'put' in write ? 'keep' : 'forget'} ${keyOf('put' in write ? write.put : write.delete)}`)
    for (const write of turn.persist) {
      if ('put' in write) this.#rows[side].set(write.put, write.value)
      else this.#rows[side].delete(write.delete)
    }
    if (JSON.stringify(lane.head()) !== before) lines.push('keep head')
    for (const outbound of turn.transmit) {
      const name = `m${++this.#sent}`
      const asked = outbound.to.kind === 'exchange' ? this.#messages.get(outbound.to.exchange)?.outbound : undefined
      this.#messages.set(name, { from: side, outbound, about: asked })
      lines.push(`${name} ${side === 'client' ? '→' : '←'} ${said(outbound)}`)
    }
    for (const hold of turn.holds) {
      this.#held.set(hold.number, hold.to.exchange)
      lines.push(`hold the answer to ${hold.number}`)
    }
    for (const each of turn.settle) {
      if (each.kind === 'state') lines.push(`${each.machine} ${each.state}`)
      else if (each.kind === 'alarm') lines.push(`alarm ${each.error.message}`)
      else if (each.kind === 'failed') lines.push(`failed ${each.number}: ${each.error.name}`)
      else lines.push('number' in each ? `${each.kind} ${each.number}` : each.kind)
    }
    return lines
  }
  #deliver(name: string): string[] {
    const { from, outbound, about } = this.#message(name)
    const received = wordsOf(outbound, { ...WHO, rm: this.#rm })
    const to: Side = from === 'client' ? 'service' : 'client'
    const asked = about === undefined ? undefined : { kind: about.body.kind, number: about.sequence?.number }
    const carrier = to === 'service' ? { to: { kind: 'exchange', exchange: name } as const, messageId: received.messageId } : { about: asked, messageId: received.messageId }
    const events: LaneEvent[] = [
      ...received.acknowledgements.map((acknowledgement): LaneEvent => ({ kind: 'acknowledgement', acknowledgement, alone: received.sequence === undefined && received.body.kind === 'empty', ...carrier })),
      ...received.ackRequested.filter((id) => id !== received.sequence?.id).map((sequence): LaneEvent => ({ kind: 'ack-requested', sequence, ...carrier })),
      received.body.kind === 'create-sequence' ? { kind: 'made', ...carrier }
        : { kind: 'received', received, shape: received.replyTo.kind === 'anonymous' ? 'request' : 'one-way', digest: outbound.body.kind === 'application' ? outbound.body.content.body : '', ...carrier },
    ]
    return events.flatMap((event) => this.#turn(to, event))
  }
  #hint(name: string, hint: { kind: 'http-failure' } | { kind: 'empty-answer'; status: number }): string[] {
    const { outbound } = this.#message(name)
    return this.#turn('client', { kind: 'hint', hint, about: { kind: outbound.body.kind, number: outbound.sequence?.number } })
  }
  #message(name: string): { from: Side; outbound: Outbound; about?: Outbound | undefined } {
    const message = this.#messages.get(name)
    if (message === undefined) throw new Error(`no message ${name}`)
    return message
  }
  #restart(side: Side): string[] {
    const lane = this.#lanes[side]
    if (lane === undefined) throw new Error('no lane')
    const head = JSON.parse(JSON.stringify(lane.head())) as LaneHead
    const rows = [...this.#rows[side]]
    const sent: SentRow[] = rows.filter(([key]) => key.includes(':sent;')).map(([, value]) => Source.readRow(value))
    const received: ReceivedRow[] = rows.filter(([key]) => key.includes(':received;')).map(([, value]) => Destination.readRow(value))
    this.#lanes[side] = this.#lane(head.facts, { head, sent, received })
    return [`${sent.length} sent, ${received.length} received`]
  }
  #lane(facts: LaneFacts, from?: { head: LaneHead; sent: SentRow[]; received: ReceivedRow[] }): Lane {
    return new Lane(facts, { timing: DEFAULT_TIMING, limits: DEFAULT_LIMITS, mint: () => `urn:minted-${++this.#minted}` }, this.#now, from)
  }
}
const keyOf = (key: string): string => `${key.includes(':sent;') ? 'sent' : 'received'} ${Number(key.slice(-17, -1))}`

/** The text with its turns written by the machines. */
function played(text: string): string {
  const lines = text.split('\n').filter((line) => !line.startsWith('  '))
  const options = new Map(lines.filter((line) => line.startsWith('with ')).map((line) => line.slice(5).split(' ') as [string, string]))
  const conversation = new Conversation(options.get('rm') === '1.0' ? '1.0' : '1.1', options.get('offer') === 'none' ? { offered: undefined } : {})
  return lines.flatMap((line) => line === '' || line.startsWith('#') || line.startsWith('with ') ? [line] : [line, ...conversation.play(line).map((each) => `  ${each}`)]).join('\n')
}

describe('a conversation goes as it is written', () => {
  for (const name of readdirSync(FOLDER).filter((each) => each.endsWith('.txt')).sort()) {
    test(name.slice(0, -4).replaceAll('-', ' '), () => {
      const url = new URL(name, FOLDER)
      const text = readFileSync(url, 'utf8')
      const result = played(text)
      if (process.env.UPDATE === '1') writeFileSync(url, result)
      else expect(result).toBe(text)
    })
  }
})
