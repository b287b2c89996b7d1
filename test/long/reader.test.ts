/** The long form of the comparison with libxml2 in test/unit/xml/reader.test.ts. */
import { expect, test } from 'vitest'
import { compareReaders } from '../unit/xml/reader-oracle.ts'

test.each(Array.from({ length: 5 }, (_, part) => part))('40,000 documents with a few characters changed are taken or refused as libxml2 does, part %i', (part) => {
  expect(compareReaders(2_000 + part, 40_000).differences).toEqual([])
}, 300_000)
