/**
 * The recorder that `--record` and `--danger-record-keys` ask for.
 *
 * @module
 */
import type { Profile } from '../index.ts'
import type { RecordedKeys } from './config.ts'
import { record, type Recording } from './record.ts'

export interface RecordingChoice { readonly record?: string; readonly dangerKeys: boolean }

export function recordingFor({ record: directory, dangerKeys }: RecordingChoice, scenario: string, { soap, addressing, rm, sc, suite }: Profile, keys: RecordedKeys): Recording | undefined {
  if (directory === undefined) return undefined
  return record(directory, { scenario, versions: { soap, addressing, rm, sc, trust: sc }, suite, ...(dangerKeys && { dangerKeys: keys }) })
}
