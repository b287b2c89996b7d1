import { defineConfig } from 'vitest/config'

// The long runs: many seeds, many documents. `npm test` has a short version of each.
export default defineConfig({
  test: { include: ['test/long/**/*.test.ts'], exclude: ['node_modules/**'], testTimeout: 900_000, hookTimeout: 60_000 },
})
