/**
 * The exchange as a story of lines: messages on the wire and what happened at the two ends. The terminal and the page draw the same story.
 *
 * @module
 */
import type { Shape } from './shape.ts'

export type Line =
  | { readonly kind: 'message'; readonly atMs: number; readonly to: 'service' | 'client'; readonly shape: Shape | undefined; readonly status?: number; readonly lost: boolean; readonly n: number }
  | { readonly kind: 'event'; readonly atMs: number; readonly at: 'client' | 'service' | 'runner'; readonly text: string }

/** The first eight hex digits say enough to tell identifiers apart. */
export const short = (identifier: string): string => identifier.replace(/^urn:uuid:/, '').slice(0, 8)

/** What stands on the arrow, and below it in small. */
export function caption(line: Extract<Line, { kind: 'message' }>): { readonly title: string; readonly details: string } {
  const { shape } = line
  if (shape === undefined) return { title: `HTTP ${line.status ?? ''} without a message`, details: '' }
  const number = shape.number === undefined ? '' : ` #${shape.number}`
  const acknowledges = shape.acknowledges.map((ranges) => ` ack ${ranges}`).join('')
  const signed = shape.signed.length === 0 ? 'nothing signed' : `signed: ${shape.signed.join(' ')}`
  const encrypted = shape.encrypted.length === 0 ? 'nothing encrypted' : `encrypted: ${shape.encrypted.join(' ')}`
  const names = [shape.token === undefined ? undefined : `token ${short(shape.token)}`, shape.sequence === undefined ? undefined : `sequence ${short(shape.sequence)}`]
  return { title: `${shape.kind}${number}${acknowledges}`, details: [...names, signed, encrypted].filter((part) => part !== undefined).join(' · ') }
}

const WIDTH = 64

/** The story for a terminal: two life lines, arrows between them. */
export function drawTerminal(lines: readonly Line[], colour: boolean): string {
  const paint = (code: string, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text)
  const out = [`    ${paint('1', 'client')}${' '.repeat(WIDTH - 6)}${paint('1', 'service')}`]
  for (const line of lines) {
    if (line.kind === 'event') {
      out.push(line.at === 'service' ? `    │${' '.repeat(WIDTH - 1)}│ ${paint('36', line.text)}` : `    │ ${paint(line.at === 'runner' ? '33' : '36', `${line.text}`)}`)
      continue
    }
    const { title, details } = caption(line)
    const text = ` ${title} `.slice(0, WIDTH - 6)
    const dashes = '─'.repeat(Math.max(2, WIDTH - 4 - text.length))
    const time = `${String(line.atMs).padStart(5)} ms`
    const arrow = line.to === 'service'
      ? `──${text}${dashes}${line.lost ? '✗ ' : '─▶'}`
      : `${line.lost ? ' ✗' : '◀─'}${dashes}${text}──`
    out.push(`    │${paint(line.lost ? '31' : line.to === 'service' ? '32' : '34', arrow.slice(0, WIDTH - 1).padEnd(WIDTH - 1))}│ ${paint('2', time)}${line.lost ? paint('31', ' lost on purpose') : ''}`)
    if (details !== '') for (const part of wrap(details, WIDTH - 6)) out.push(`    │   ${paint('2', part.padEnd(WIDTH - 4))}│`)
  }
  return `${out.join('\n')}\n`
}

function wrap(text: string, width: number): readonly string[] {
  const rows: string[] = []
  let row = ''
  for (const word of text.split(' ')) {
    if (row !== '' && row.length + 1 + word.length > width) {
      rows.push(row)
      row = word
    } else row = row === '' ? word : `${row} ${word}`
  }
  return row === '' ? rows : [...rows, row]
}
