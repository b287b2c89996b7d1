/**
 * What the commit of a lane stands on, and what it writes: compared are the revisions of all that its events were judged by, so that two processes
 * on one store never do the same thing twice.
 *
 * @module
 */
import { UsageError } from '../errors.ts'
import type { TokenId } from '../sct/token.ts'
import type { Expectation, LaneCommit, Write } from '../store/store.ts'
import { indexKeys, type LaneRows, nameKey, tokenKey } from './engine-rows.ts'
import type { Batch, Shell } from './engine-shell.ts'
import type { Tokens } from './engine-tokens.ts'
import { Lane, type LaneFacts, type LaneSettings } from './lane.ts'
import { headKey } from './turn.ts'

/** What is known of the store when a lane's events are handled: the token's row, which is written with a new lane, the row of its name, and the ground of a move. */
export interface Footing { readonly tokenRevision: number | 'absent'; readonly token: Write | undefined; readonly claimed: Expectation | undefined; readonly ground?: Ground }
/** What the events of a lane came to; `work`: the application's own effect. */
export interface Handled<Tx> extends Pick<Batch<Tx>, 'jobs' | 'turn' | 'refused' | 'next'> { readonly work: LaneCommit<Tx>['work'] | undefined }

export function batchOf<Tx>(shell: Shell<Tx>, lane: Lane, { tokenRevision, token, claimed, ground }: Footing, { jobs, turn, refused, work, next }: Handled<Tx>, rows: LaneRows, now: number): Batch<Tx> {
  const isPurge = now >= lane.purgeAt
  const head = lane.headRow()
  const headText = new TextDecoder().decode(head.value)
  const expect = [{ head: head.key, revision: shell.revision }, { head: tokenKey(shell.facts.tokenId), revision: tokenRevision }, ...(claimed === undefined ? [] : [claimed])]
  if (!isPurge && turn.persist.length === 0 && work === undefined && headText === shell.headText) {
    // D3: what is said of a lane without writing to it must be fenced too, or a process that slept would accuse a peer of what another was told.
    const isSilent = turn.transmit.length === 0 && turn.settle.length === 0 && turn.deliver.length === 0
    return { shell, jobs, turn, refused, headText, commit: isSilent || shell.revision === 'absent' ? undefined : { expect, writes: [] }, isCheck: true, isPurge, writesToken: false }
  }
  const writes: Write[] = turn.persist.map((write) => rows.seal(shell.facts.lane, write))
  // The token's row stays: the security side, which knows how long it is to be remembered, sweeps it.
  writes.push(isPurge ? { delete: head.key } : rows.seal(shell.facts.lane, { put: head.key, value: head.value }))
  if (token !== undefined) writes.push(token)
  if (shell.isNew) for (const key of indexKeys(shell.facts)) writes.push(rows.index(key, shell.facts.lane))
  // A name may have gone over to another lane.
  else if (isPurge && (shell.facts.role === 'responder' || claimed !== undefined)) for (const key of indexKeys(shell.facts)) writes.push({ delete: key })
  if (next !== undefined && ground !== undefined) {
    const { facts } = next.shell
    expect.push({ head: headKey(facts.lane), revision: 'absent' }, ...ground.expect)
    writes.push(...[...next.turn.persist, { put: headKey(facts.lane), value: next.lane.headRow().value }].map((write) => rows.seal(facts.lane, write)), ...ground.writes)
  }
  const commit: LaneCommit<Tx> = { expect, writes, ...(work === undefined ? {} : { work }) }
  return { shell, jobs, turn, refused, headText, commit, isCheck: false, isPurge, writesToken: token !== undefined, next }
}

/**
 * The row of the lane's name, as it must still be when the lane is first written, or forgotten: two processes do not make two of one name.
 *
 * @throws {UsageError} another process has made one
 */
export async function claimOf<Tx>({ facts, isNew, lane }: Shell<Tx>, rows: LaneRows, settings: LaneSettings, now: number): Promise<Expectation | undefined> {
  const isPurge = lane !== undefined && now >= lane.purgeAt
  if (facts.role !== 'initiator' || facts.name === undefined || !(isNew || isPurge)) return undefined
  const head = nameKey(facts.name)
  const found = await rows.indexed(head)
  if (found === undefined) return isNew ? { head, revision: 'absent' } : undefined
  if (found.lane === facts.lane) return { head, revision: found.revision }
  if (!isNew) return undefined
  const other = await rows.lane(found.lane)
  const isLive = other !== undefined && !new Lane(other.head.facts, settings, now, other).isOver
  if (isLive) throw new UsageError('ERR_NAME_TAKEN', `another process has opened a conversation named ${facts.name}: connect in a new process to go on with it, or choose another name`)
  return { head, revision: found.revision }
}

/** What a move stands on, and writes, beside the two lanes: the new token's row and the conversation's name. */
export interface Ground { readonly facts: LaneFacts; readonly expect: readonly Expectation[]; readonly writes: readonly Write[]; readonly writesToken: boolean }
/**
 * 'later': another lane of this round writes the token's row; 'stale': another process has changed the lane; 'taken': its name is another
 * conversation's by now.
 */
export async function groundOf(
  old: { readonly facts: LaneFacts; readonly revision: number | 'absent' }, facts: LaneFacts, tokensWritten: Set<TokenId>, rows: LaneRows, tokens: Tokens,
): Promise<Ground | 'later' | 'stale' | 'taken'> {
  const { tokenId, name } = facts
  const expect: Expectation[] = []
  const writes: Write[] = []
  if (name !== undefined) {
    const head = nameKey(name)
    const found = await rows.indexed(head)
    if (found !== undefined && found.lane !== old.facts.lane) return (await rows.revision(old.facts.lane)) === old.revision ? 'taken' : 'stale'
    expect.push({ head, revision: found?.revision ?? 'absent' })
    writes.push(rows.index(head, facts.lane))
  }
  // The old token's row is the old lane's to compare.
  if (tokenId === old.facts.tokenId) return { facts, expect, writes, writesToken: false }
  const revision = await tokens.revision(tokenId)
  if (revision === 'absent' && tokensWritten.has(tokenId)) return 'later'
  expect.push({ head: tokenKey(tokenId), revision })
  if (revision !== 'absent') return { facts, expect, writes, writesToken: false }
  writes.push(await tokens.row(tokenId))
  tokensWritten.add(tokenId)
  return { facts, expect, writes, writesToken: true }
}
