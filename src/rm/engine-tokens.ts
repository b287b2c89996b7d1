/**
 * The tokens that lanes are bound to: their rows in the store, with which every commit of a lane is compared, and that they are in use. What is
 * in such a row is for the security side alone, which has sealed it.
 *
 * @module
 */
import { StoreFailed, UnknownVersion } from '../errors.ts'
import type { TokenId } from '../sct/token.ts'
import type { Write } from '../store/store.ts'
import { type LaneRows, tokenKey } from './engine-rows.ts'
import type { Shell } from './engine-shell.ts'
import type { SecuritySide } from './engine-words.ts'

export class Tokens {
  readonly #security: SecuritySide
  readonly #rows: LaneRows
  readonly #revisions = new Map<TokenId, number | 'absent'>()
  #isClosed = false
  constructor(security: SecuritySide, rows: LaneRows) {
    this.#security = security
    this.#rows = rows
  }

  /** Of the token's row, as it was when it was last seen. */
  async revision(id: TokenId): Promise<number | 'absent'> {
    const known = this.#revisions.get(id)
    if (known !== undefined) return known
    const row = await this.#rows.token(id)
    const revision = row?.revision ?? 'absent'
    this.#revisions.set(id, revision)
    return revision
  }
  /** The row of a token that the store does not hold yet. */
  async row(id: TokenId): Promise<Write> { return { put: tokenKey(id), value: await this.#security.serialize(id) } }
  /** That row is in the store now. */
  written(id: TokenId): void { this.#revisions.set(id, 1) }
  /** The row may have changed: the store is asked again. */
  doubt(id: TokenId): void { this.#revisions.delete(id) }

  /** A live lane keeps its token from being cancelled; one that is over lets it go. */
  use<Tx>(shell: Shell<Tx>): void {
    if (shell.isOver) return this.release(shell)
    if (shell.use === undefined && !this.#isClosed) shell.use = this.#security.use(shell.facts.tokenId, shell.facts.lane)
  }
  release<Tx>(shell: Shell<Tx>): void {
    shell.use?.[Symbol.dispose]()
    shell.use = undefined
  }
  /** From here on no token is taken into use. */
  close(): void { this.#isClosed = true }

  /** What does not open is added to `quarantined`; nothing that is bound to a refused one can go on. */
  async restore(ids: ReadonlySet<TokenId>, quarantined: { key: string; error: unknown }[]): Promise<{ readonly count: number; readonly refused: ReadonlySet<TokenId> }> {
    const refused = new Set<TokenId>()
    let count = 0
    for (const id of ids) {
      const row = await this.#rows.token(id)
      if (row === undefined) continue
      try {
        const restored = await this.#security.deserialize(row.value)
        if (restored !== id) throw new StoreFailed('ERR_TOKEN_MISPLACED', 'the record of one token lies in the place of another', { tokenId: id })
        this.#revisions.set(id, row.revision)
        count++
      } catch (error) {
        if (error instanceof UnknownVersion) throw error
        refused.add(id)
        quarantined.push({ key: row.key, error })
      }
    }
    return { count, refused }
  }
}
