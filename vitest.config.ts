import { defineConfig } from 'vitest/config'

export default defineConfig({
  // All cores: by default one is left idle, which on two of them is half.
  test: { include: ['test/**/*.test.ts'], exclude: ['test/long/**', 'node_modules/**'], testTimeout: 60_000, hookTimeout: 60_000, maxWorkers: '100%' },
})
