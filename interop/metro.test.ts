import { testPeer } from './suite.ts'

testPeer('metro')
