/**
 * What the commit of a lane stands on, and what it writes.
 *
 * @module
 */
import type { TokenId } from '../sct/token.ts'
import type { Expectation, Write } from '../store/store.ts'
import { type LaneRows, nameKey, tokenKey } from './engine-rows.ts'
import type { Tokens } from './engine-tokens.ts'
import type { LaneFacts } from './lane.ts'

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
