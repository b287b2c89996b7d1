/** The long form of the comparison in test/unit/xml/canonical.test.ts. */
import { expect, test } from 'vitest'
import { canonicalize } from '../../src/xml/canonical.ts'
import { MISTAKES } from '../unit/xml/c14n-mistakes.ts'
import { compare } from '../unit/xml/c14n-oracle.ts'

// In parts: one test must not run longer than the time that a test has.
test.each(Array.from({ length: 10 }, (_, part) => part))('10,000 generated documents have the canonical form that libxml2 gives, part %i', (part) => {
  const result = compare(canonicalize, 1_000 + part, 10_000)
  expect(result.first).toBeUndefined()
  expect(result.compared).toBeGreaterThan(18_000)
}, 300_000)

test.each(MISTAKES)('a planted mistake is caught: %s', (_, mistaken) => {
  expect(compare(mistaken, 1_000, 2_000).differences).toBeGreaterThan(0)
}, 300_000)
