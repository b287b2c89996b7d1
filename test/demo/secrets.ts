/**
 * Looks for secrets where none may be: raw, in hex and in base64 (at every alignment).
 *
 * @module
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

export interface Needle { readonly name: string; readonly bytes: Uint8Array }

/** The ways in which bytes may stand in a file: themselves, hex in both cases, base64 wherever they begin in it. */
function forms(bytes: Uint8Array): readonly Buffer[] {
  const raw = Buffer.from(bytes)
  const aligned = [0, 1, 2].map((skip) => {
    const text = Buffer.concat([Buffer.alloc(skip), raw]).toString('base64')
    // The first group mixes with what stands before, the last with what stands behind.
    return Buffer.from(text.slice(skip === 0 ? 0 : 4, text.length - 4))
  })
  return [raw, Buffer.from(raw.toString('hex')), Buffer.from(raw.toString('hex').toUpperCase()), ...aligned].filter((form) => form.length >= 8)
}

/** Names of the needles that are found in `hay`. */
export function find(hay: Uint8Array, needles: readonly Needle[]): readonly string[] {
  const buffer = Buffer.from(hay.buffer, hay.byteOffset, hay.byteLength)
  return needles.filter(({ bytes }) => forms(bytes).some((form) => buffer.includes(form))).map(({ name }) => name)
}

/** `file: needle` for everything found in the files under `directory` whose name `wanted` accepts. */
export function scan(directory: string, needles: readonly Needle[], wanted: (name: string) => boolean): readonly string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name)
    if (statSync(path).isDirectory() || !wanted(name)) return []
    return find(readFileSync(path), needles).map((needle) => `${name}: ${needle}`)
  })
}
