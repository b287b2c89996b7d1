/**
 * SctSerializer: what is kept, sealed. Tokens and messages become records of AES-256-GCM whose place (purpose, tenant, identifiers,
 * version) is part of what is authenticated: a record that was moved, changed or cut does not open (D11).
 *
 * @module
 */

/** Each purpose has a subkey of its own. */
export type Purpose = 'sct' | 'msg' | 'lane' | 'idx'
/** Where a record belongs: opening it elsewhere fails. */
export interface RecordContext {
  readonly tenant?: string
  /** Token or lane identifier, then whatever else tells this record from its neighbours. */
  readonly parts: readonly string[]
}
export interface SctSerializer {
  seal(purpose: Purpose, context: RecordContext, plain: Uint8Array): Uint8Array
  /** @throws {SealBroken | UnknownVersion | KeyMissing} */
  open(purpose: Purpose, context: RecordContext, sealed: Uint8Array): Uint8Array
}
