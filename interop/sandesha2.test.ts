import { testPeer } from './suite.ts'

testPeer('sandesha2')
