/**
 * Options read once into a complete object; each default with its reason.
 *
 * @module
 */
export interface Limits {
  readonly messageBytes: number
  readonly depth: number
  readonly attributes: number
  readonly elements: number
  readonly textBytes: number
  readonly nameLength: number
  readonly ids: number
  readonly references: number
  readonly derivedKeys: number
  readonly derivationBytes: number
  readonly nonceBytes: readonly [least: number, most: number]
  readonly derivedKeyBytes: readonly [least: number, most: number]
  readonly encryptedKeys: number
  readonly encryptedData: number
  readonly identifierLength: number
  readonly ackRanges: number
  readonly receiveWindow: number
  readonly sequencesPerPrincipal: number
  readonly sequences: number
  readonly endedSequencesPerPrincipal: number
  readonly endedSequences: number
  readonly tokensPerPrincipal: number
  readonly endedTokensPerPrincipal: number
  readonly replayMarks: number
  readonly replayMarksPerPrincipal: number
}
/** D23; 1,832 recorded messages of three stacks have at most 10 references, 1 transform, depth 9, 114 elements, 3 attributes. */
export const DEFAULT_LIMITS: Limits = {
  messageBytes: 4 * 1024 * 1024,
  depth: 64,
  attributes: 64,
  elements: 50_000,
  textBytes: 4 * 1024 * 1024,
  nameLength: 1_024,
  ids: 256,
  references: 32,
  derivedKeys: 8,
  derivationBytes: 4_096,
  nonceBytes: [8, 128],
  derivedKeyBytes: [16, 64],
  encryptedKeys: 2,
  encryptedData: 16,
  identifierLength: 1_024,
  ackRanges: 256,
  receiveWindow: 1_024,
  sequencesPerPrincipal: 16,
  sequences: 10_000,
  /**
   * Remembered for a day (D23), but no more than these: beyond them the oldest are forgotten, from the seventh minute after their end on; a principal who
   * ends more in that time, 5 in a second, must wait. Each takes 6 KB, 18 KB with the longest names: 120 MB in all, and at worst 36 MB for one principal.
   */
  endedSequencesPerPrincipal: 2_000,
  endedSequences: 20_000,
  tokensPerPrincipal: 64,
  /** Remembered for 2 hours after they would have expired, but no more than these, in 3 KB each; the oldest are forgotten first. */
  endedTokensPerPrincipal: 1_000,
  /** What was seen is remembered for 6 minutes, in about 130 bytes each: 13 MB in all. One sender has a fifth of it: 55 messages without a number in a second. */
  replayMarks: 100_000,
  replayMarksPerPrincipal: 20_000,
}
export interface Wait { readonly signal?: AbortSignal; readonly timeoutMs?: number }
