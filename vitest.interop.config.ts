import { defineConfig } from 'vitest/config'

// Live peers: one file for each stack, side by side, and in each a few conversations at a time: they mostly wait.
export default defineConfig({
  test: { include: ['interop/*.test.ts'], globalSetup: ['interop/setup.ts'], maxWorkers: 3, maxConcurrency: 3, testTimeout: 150_000, hookTimeout: 60_000 },
})
