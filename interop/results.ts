/**
 * What a run came to, and the tables in docs/peers.md that are made of it.
 *
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { allCells, type Cell, FIELDS, type Limit, nameOf, type Role, ROLES, SPACE } from './cells.ts'
import { LIMITS, SPARED } from './limits.ts'
import { type Stack, STACKS } from './peer.ts'

/** What a run leaves: the stacks' own logs, recordings of what failed, and the results. */
export const OUT: string = join(import.meta.dirname, 'out')
export const RESULTS: string = join(OUT, 'results.jsonl')
const DOCUMENT: string = join(import.meta.dirname, '..', 'docs', 'peers.md')

export interface Outcome {
  readonly peer: Stack
  readonly version: string
  readonly role: Role
  readonly kind: 'cell' | 'case'
  readonly what: string
  readonly date: string
  readonly passed: boolean
}
export const readResults = (): readonly Outcome[] => readFileSync(RESULTS, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Outcome)

/** Puts both lists in their places of the document. */
export function writeDocument(outcomes: readonly Outcome[]): void {
  const text = readFileSync(DOCUMENT, 'utf8')
  writeFileSync(DOCUMENT, between(between(text, 'results', resultTables(outcomes)), 'off', offTable()))
}
/** What stands in both. */
export const places = (text: string): Readonly<Record<'results' | 'off', string>> => ({ results: text.slice(...place(text, 'results')), off: text.slice(...place(text, 'off')) })
function place(text: string, name: string): readonly [from: number, to: number] {
  const [begin, end] = [`<!-- ${name}: made by npm run test:interop -- --write -->`, `<!-- end of ${name} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/peers.md has no place for ${name}`)
  return [from + begin.length, to]
}
function between(text: string, name: string, content: string): string {
  const [from, to] = place(text, name)
  return `${text.slice(0, from)}\n${content}\n${text.slice(to)}`
}

const ROLE_NAMES: Readonly<Record<Role, string>> = { client: 'our client', service: 'our service' }

function resultTables(outcomes: readonly Outcome[]): string {
  return [summary(outcomes), ...STACKS.map((peer) => details(outcomes.filter((each) => each.peer === peer)))].join('\n\n')
}
/** How many conversations with each choice there were. */
function summary(outcomes: readonly Outcome[]): string {
  const cells = allCells()
  const passed = new Set(outcomes.filter((each) => each.passed).map(keyOf))
  const tally = (peer: Stack, role: Role, has: (cell: Cell) => boolean): string => {
    const these = cells.filter((cell) => cell.peer === peer && cell.role === role && has(cell))
    const good = these.filter((cell) => passed.has(keyOf({ peer, role, what: nameOf(cell) }))).length
    return these.length === 0 ? 'off' : good === these.length ? String(good) : `${good} of ${these.length}`
  }
  const columns = STACKS.flatMap((peer) => ROLES.map((role) => ({ peer, role })))
  const row = (name: string, has: (cell: Cell) => boolean): string => `| ${name} | ${columns.map(({ peer, role }) => tally(peer, role, has)).join(' | ')} |`
  return [
    `| conversations | ${columns.map(({ peer, role }) => `${peer}, ${ROLE_NAMES[role]}`).join(' | ')} |`, `|---|${columns.map(() => '---|').join('')}`,
    row('all', () => true),
    ...FIELDS.flatMap((field) => SPACE[field].map((value) => row(`${field} ${String(value)}`, (cell) => cell[field] === value))),
  ].join('\n')
}
function details(outcomes: readonly Outcome[]): string {
  const [first] = outcomes
  if (first === undefined) return ''
  return [
    `### ${first.version.replace(/ \(.*/, '')}`, '', '| date | role | scenario | result |', '|---|---|---|---|',
    ...[...outcomes].sort((one, other) => one.kind.localeCompare(other.kind) || one.role.localeCompare(other.role) || one.what.localeCompare(other.what))
      .map(({ date, role, what, passed }) => `| ${date} | ${ROLE_NAMES[role]} | ${what} | ${passed ? 'passed' : 'failed'} |`),
  ].join('\n')
}
const keyOf = ({ peer, role, what }: Pick<Outcome, 'peer' | 'role' | 'what'>): string => `${peer} ${role} ${what}`

/** What is switched off, with reasons. */
export function offTable(): string {
  const where = ({ peer, role }: { readonly peer?: Stack; readonly role?: Role }): string => [peer ?? 'every peer', role !== undefined && ROLE_NAMES[role]].filter((word) => word !== false && word !== undefined).join(', ')
  const choices = (when: Limit['when']): string => Object.entries(when).map(([field, value]) => `${field} ${Array.isArray(value) ? value.join(' or ') : String(value)}`).join(', ')
  return [
    '| peer | not run | reason |', '|---|---|---|',
    ...LIMITS.map((limit) => `| ${where(limit)} | ${choices(limit.when)} | ${limit.reason} |`), '',
    'In lossy networks these are not lost:', '',
    '| peer | messages | reason |', '|---|---|---|',
    ...SPARED.map((each) => `| ${where(each)} | ${each.name} | ${each.reason} |`),
  ].join('\n')
}
