/**
 * What a live conversation can be made of: the choices, one cell for each combination that is run, and which cells those are: a pairwise
 * cover for each peer and role, the same at every run.
 *
 * @module
 */
import { LIMITS } from './limits.ts'
import { type Stack, STACKS } from './peer.ts'

/** `client`: our client with their service; `service`: their client with our service. */
export type Role = 'client' | 'service'
export const ROLES: readonly Role[] = ['client', 'service']

export const SPACE = {
  rm: ['1.1', '1.0'],
  soap: ['1.2', '1.1'],
  addressing: ['200508', '200408'],
  sc: ['200512', '200502'],
  bootstrap: ['x509', 'usernameForCertificate', 'usernameForCertificateEndorsing', 'usernameOverTls', 'certificateOverTls'],
  protection: ['message', 'transport'],
  suite: ['Basic256', 'Basic256Sha256', 'Basic192', 'Basic128', 'Basic128Sha256', 'Basic256GCM'],
  derivedKeys: [true, false],
  order: ['sign-before-encrypt', 'encrypt-before-sign'],
  encryptSignature: [false, true],
  layout: ['strict', 'lax'],
  includeToken: ['requests', 'always'],
  signatureConfirmation: [false, true],
  encryptLifecycle: [false, true],
  shape: ['request', 'one-way'],
  endpoint: ['anonymous', 'make-connection', 'address'],
  network: ['clean', 'lossy'],
} as const
type Space = typeof SPACE
export type Field = keyof Space
export type Choices = { readonly [K in Field]: Space[K][number] }
type Value = Choices[Field]
export interface Cell extends Choices { readonly peer: Stack; readonly role: Role }
export const FIELDS: readonly Field[] = Object.keys(SPACE) as Field[]

/** A combination that is not run, and why. Fields that are not named may be anything. */
export interface Limit {
  readonly peer?: Stack
  readonly role?: Role
  readonly when: { readonly [K in Field]?: Choices[K] | readonly Choices[K][] }
  readonly reason: string
}

/** Each value stands in at least so many cells of a peer and role that can do it at all. */
const LEAST = 3
/** Of the cover: another number, another cover. */
const SEED = 20

/** Every cell of a full run. */
export const allCells = (): readonly Cell[] => STACKS.flatMap((peer) => ROLES.flatMap((role) => cellsOf(peer, role)))
export const cellsOf = (peer: Stack, role: Role): readonly Cell[] => cover(peer, role).map((choices) => ({ peer, role, ...choices }))

/** What tells cells of one peer and role apart, for people. */
export function nameOf(cell: Cell): string {
  const { rm, soap, addressing, sc, bootstrap, protection, suite, derivedKeys, order, encryptSignature, layout, includeToken, signatureConfirmation, encryptLifecycle, shape, endpoint, network } = cell
  return [
    `RM ${rm}`, `SOAP ${soap}`, addressing === '200408' && 'WSA 2004/08', `SC ${sc === '200502' ? '2005/02' : '1.3'}`, bootstrap, protection === 'transport' && 'TLS profile', suite,
    !derivedKeys && 'no derived keys', order === 'encrypt-before-sign' && 'encrypt before sign', encryptSignature && 'encrypted signature', layout === 'lax' && 'lax',
    includeToken === 'always' && 'token always', signatureConfirmation && 'signature confirmation', encryptLifecycle && 'lifecycle encrypted', shape, endpoint !== 'anonymous' && endpoint, network,
  ].filter((word) => word !== false).join(', ')
}

/** A third of the cells of each peer and role, by chance of `seed`. */
export function third<T>(all: readonly T[], seed: number): readonly T[] {
  const chance = chanceOf(seed)
  return all.map((each) => ({ each, at: chance() })).sort((one, other) => one.at - other.at).slice(0, Math.ceil(all.length / 3)).map(({ each }) => each)
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function chanceOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

// ---- the cover ----

type Part = { readonly [K in Field]?: Value }

/** The limits that a peer and role have, as tests of what is chosen so far. */
const limitsOf = (peer: Stack, role: Role): readonly Limit[] => LIMITS.filter((limit) => (limit.peer ?? peer) === peer && (limit.role ?? role) === role)
const holds = (limit: Limit, chosen: Part): boolean => Object.entries(limit.when).every(([field, values]) => {
  const value = chosen[field as Field]
  return value !== undefined && (Array.isArray(values) ? (values as readonly Value[]).includes(value) : values === value)
})

/** A pairwise cover: whatever two choices can stand together do so in some cell (greedy, as AETG). */
function cover(peer: Stack, role: Role): readonly Choices[] {
  const limits = limitsOf(peer, role)
  const isAllowed = (chosen: Part): boolean => !limits.some((limit) => holds(limit, chosen))
  const limited = FIELDS.filter((field) => limits.some((limit) => limit.when[field] !== undefined))
  /** Whether some cell has all of it: what no limit speaks of may be anything. */
  const isPossible = (chosen: Part): boolean => {
    if (!isAllowed(chosen)) return false
    const field = limited.find((each) => chosen[each] === undefined)
    return field === undefined || SPACE[field].some((value) => isPossible({ ...chosen, [field]: value }))
  }
  // Both roles of a peer have the same limits, often; they need not have the same cells.
  const chance = chanceOf(SEED + STACKS.indexOf(peer) * ROLES.length + ROLES.indexOf(role))
  const shuffled = <T>(list: readonly T[]): readonly T[] => list.map((each) => ({ each, at: chance() })).sort((one, other) => one.at - other.at).map(({ each }) => each)

  const wanted = new Map<string, Part>()
  for (const [at, one] of FIELDS.entries()) {
    for (const other of FIELDS.slice(at + 1)) {
      for (const first of SPACE[one]) for (const second of SPACE[other]) {
        const pair = { [one]: first, [other]: second }
        if (isPossible(pair)) wanted.set(pairName(one, first, other, second), pair)
      }
    }
  }

  const counts = new Map<string, number>()
  const count = (field: Field, value: Value): number => counts.get(`${field} ${value}`) ?? 0
  const gain = (chosen: Part, field: Field, value: Value): number =>
    FIELDS.filter((other) => other !== field && chosen[other] !== undefined && wanted.has(pairName(field, value, other, chosen[other] as Value))).length
  /** Grown from what it must contain, each further choice the one that covers most. */
  const grow = (seed: Part): Choices => {
    let chosen = seed
    for (const field of shuffled(FIELDS)) {
      if (chosen[field] !== undefined) continue
      const possible = (SPACE[field] as readonly Value[]).filter((value) => isPossible({ ...chosen, [field]: value }))
      const [best] = shuffled(possible).map((value) => ({ value, gain: gain(chosen, field, value), count: count(field, value) }))
        .sort((one, other) => other.gain - one.gain || one.count - other.count)
      chosen = { ...chosen, [field]: best?.value }
    }
    return chosen as Choices
  }
  const newPairs = (cell: Part): readonly string[] => pairsOf(cell).filter((pair) => wanted.has(pair))
  const cells: Choices[] = []
  const take = (cell: Choices): void => {
    cells.push(cell)
    for (const pair of newPairs(cell)) wanted.delete(pair)
    for (const field of FIELDS) counts.set(`${field} ${cell[field]}`, count(field, cell[field]) + 1)
  }

  while (wanted.size > 0) {
    const seeds = shuffled([...wanted.values()]).slice(0, CANDIDATES)
    const [best] = seeds.map(grow).map((cell) => ({ cell, gain: newPairs(cell).length })).sort((one, other) => other.gain - one.gain)
    if (best !== undefined) take(best.cell)
  }
  for (const field of FIELDS) for (const value of SPACE[field]) {
    while (isPossible({ [field]: value }) && count(field, value) < LEAST) take(grow({ [field]: value }))
  }
  return cells
}
const CANDIDATES = 12

const pairName = (one: Field, first: Value, other: Field, second: Value): string => (one < other ? `${one} ${first} ${other} ${second}` : `${other} ${second} ${one} ${first}`)
const pairsOf = (cell: Part): readonly string[] => FIELDS.flatMap((one, at) => FIELDS.slice(at + 1).flatMap((other) => {
  const [first, second] = [cell[one], cell[other]]
  return first === undefined || second === undefined ? [] : [pairName(one, first, other, second)]
}))
