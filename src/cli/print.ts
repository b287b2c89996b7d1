/**
 * How the command speaks: results on stdout, as text or as one JSON object a line; words on stderr.
 *
 * @module
 */
import { WsrmError } from '../index.ts'

export interface Printer {
  /** A result: the object with --json, else the text. */
  result(object: Readonly<Record<string, unknown>>, text: string): void
  say(words: string): void
}
export const printer = (json: boolean): Printer => ({
  result: (object, text) => void process.stdout.write(`${json ? JSON.stringify(object) : text}\n`),
  say: (words) => void process.stderr.write(`${words}\n`),
})

/** What may be said of an error: its code and message; neither holds a key or a body. */
export const reasonOf = (error: unknown): { readonly code: string; readonly message: string } =>
  error instanceof WsrmError ? { code: error.code, message: error.message } : { code: 'ERR_UNEXPECTED', message: error instanceof Error ? error.message : String(error) }
