import { describe, test } from 'vitest'
import { MemoryStore } from '../../src/store/store.ts'
import { storeContract } from '../../src/testing/store.ts'

storeContract('MemoryStore', async () => ({ store: new MemoryStore() }), { describe, test })
