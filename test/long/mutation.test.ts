/** The long run of test/attack/mutation: 10,000 mutants of each message, from seeds that stay the same. */
import { expect, test } from 'vitest'
import { mutate } from '../attack/mutations.ts'
import { SUBJECTS } from '../attack/subjects.ts'

test.each(SUBJECTS.map((subject) => [subject.name, subject] as const))('no mutant of a message is believed: %s', (_, subject) => {
  const { opened, refused } = mutate(subject, 2026, 10_000)
  expect(opened + [...refused.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(7_500)
}, 600_000)
