/** Mutants of messages of every shape: refused, or they say what the original said. The long run is in test/long. */
import { expect, test } from 'vitest'
import { mutate } from './mutations.ts'
import { SUBJECTS } from './subjects.ts'

test.each(SUBJECTS.map((subject) => [subject.name, subject] as const))('no mutant of a message is believed: %s', (_, subject) => {
  const { opened, refused } = mutate(subject, 1, 250)
  // The mutations reach the checks, and some change nothing that matters.
  expect(opened).toBeGreaterThan(0)
  expect([...refused.keys()].some((code) => code === 'ERR_WSS_DIGEST' || code === 'ERR_WSS_MAC')).toBe(true)
  expect(refused.size).toBeGreaterThan(6)
})
