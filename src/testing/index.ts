/**
 * For tests of what is built on this library: the Store contract as a suite, for a store of one's own, and the simulator that drives both
 * ends over a network that loses, repeats, reorders and crashes, from a seed.
 *
 * @module
 */
export { storeContract, type StoreUnderTest, type TestHarness } from './store.ts'
export { simulate, type SimulationOptions, type SimulationReport } from './simulator.ts'
