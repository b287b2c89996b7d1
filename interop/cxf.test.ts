import { testPeer } from './suite.ts'

testPeer('cxf')
