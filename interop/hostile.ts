/**
 * Hostile neighbours: a second principal with a token of its own reaches for the sequence of the first; and answers in clear that claim
 * whatever could make a client give up its protection.
 *
 * @module
 */
import { systemRandom, urnUuid } from '../src/crypto/random.ts'
import { DEFAULT_LIMITS, type LaneStatus, type Profile } from '../src/index.ts'
import type { LaneId, Outbound } from '../src/rm/turn.ts'
import { currentInstance, type SecurityContextToken } from '../src/sct/token.ts'
import { soapHeaders } from '../src/transport/http.ts'
import { encode } from '../src/wire.ts'
import type { Case } from './cases.ts'
import { givenBy, must, PATIENCE_MS, same, textsOf, until } from './conversation.ts'
import { inspect, Journal } from './journal.ts'
import { actionOf, CLEAN } from './network.ts'
import { bodyOf, clientBootstrapOf, ECHO, INTRUDER, NAMESPACE, NOTE, profileOf, textOf } from './ours.ts'

const UNKNOWN = 'urn:uuid:00000000-0000-4000-8000-000000000000'
type Words = Pick<Outbound, 'body'> & Partial<Outbound>
/** Everything that names a sequence. */
const ATTACKS: Readonly<Record<string, (sequence: string) => Words>> = {
  'a message': (id) => ({ body: message('stolen'), sequence: { id, number: 11 } }),
  'a repeated message': (id) => ({ body: message('stolen'), sequence: { id, number: 1 } }),
  'an acknowledgement': (sequence) => ({ body: { kind: 'acknowledgement' }, acknowledgements: [{ sequence, ranges: [[1, 20]], final: false }] }),
  'a request for one': (id) => ({ body: { kind: 'ack-requested' }, ackRequested: [id] }),
  'CloseSequence': (sequence) => ({ body: { kind: 'close-sequence', sequence, lastNumber: 10 } }),
  'TerminateSequence': (sequence) => ({ body: { kind: 'terminate-sequence', sequence, lastNumber: 10 } }),
}
const message = (text: string): Outbound['body'] => ({ kind: 'application', shape: 'one-way', content: { action: NOTE, messageId: urnUuid(systemRandom), body: bodyOf('note', text), headers: [] } })

/** Sends it under the token, rightly protected; what is answered, without the names that differ each time. */
async function attack(url: string, words: Words, token: SecurityContextToken, profile: Profile): Promise<string> {
  const outbound: Outbound = { lane: '' as LaneId, tokenId: token.id, to: { kind: 'endpoint', url }, messageId: urnUuid(systemRandom), acknowledgements: [], ackRequested: [], ...words }
  const { xml, action, soap } = encode(outbound, token, { profile, role: 'initiator', instance: currentInstance(token), now: Date.now(), random: systemRandom, limits: DEFAULT_LIMITS })
  const answer = await fetch(url, { method: 'POST', headers: soapHeaders(soap.name, action), body: xml })
  const text = await answer.text()
  return `${answer.status} ${actionOf(Buffer.from(text))} ${/:(\w+)<\/[\w:]*(?:Value|FaultCode)>/g.exec(text)?.[1] ?? ''} ${text.length}`
}

/** All but what their client itself may still acknowledge meanwhile. */
const stateOf = ({ lane, state, sequence, offered, last, accepted, consumed }: LaneStatus): string => [lane, state, sequence, offered, last, JSON.stringify(accepted), consumed].join(' ')

export const HOSTILE: readonly Case[] = [
  {
    name: 'a second principal reaches for the sequences of their client: each is unknown to it, and the conversation goes on', role: 'service',
    async run(run, peer) {
      const { service, received } = await run.ourService()
      const profile = profileOf(run.cell)
      const client = await run.theirClient(peer)
      await peer.send(client, textsOf(10))
      const before: string[] = []
      const victims: string[] = []
      for await (const status of service.sequences()) {
        before.push(stateOf(status))
        victims.push(...[status.sequence, status.offered].filter((each) => each !== undefined))
      }
      must(victims.length > 0, 'there is no sequence to reach for')

      const intruder = run.client({ dangerTap: new Journal('client') })
      const own = await intruder.connect(run.network.url, { ...run.connectOptions, bootstrap: clientBootstrapOf(run.cell, INTRUDER) })
      const token = await intruder.tokens.get(own.tokenId)
      if (token === undefined) throw new Error('the intruder has no token')
      for (const [name, words] of Object.entries(ATTACKS)) {
        const expected = await attack(run.network.url, words(UNKNOWN), token, profile)
        // Names have different lengths: what differs otherwise would tell the intruder that the sequence is there.
        for (const victim of victims) same([(await attack(run.network.url, words(victim), token, profile)).replace(/\d+$/, '')], [expected.replace(/\d+$/, '')], `the answer to ${name}`)
      }
      await own.close({ timeoutMs: PATIENCE_MS })

      const after: string[] = []
      for await (const status of service.sequences()) if (before.some((each) => each.startsWith(status.lane))) after.push(stateOf(status))
      same(after, before, 'the sequences')
      same(await peer.send(client, textsOf(10, 'more')), textsOf(10, 'more'), 'their application got')
      await peer.end(client)
      await until(() => received.length >= 20)
      same(received, [...textsOf(10), ...textsOf(10, 'more')], 'our application was given')
      same(await inspect(run.journal, run.cell, profile), [], 'what is wrong with what we wrote')
    },
  },
  {
    name: 'answers in clear, faults and replies, never make our client say anything in clear', role: 'client',
    async run(run, peer) {
      const service = await run.theirService(peer)
      const conversation = await run.connect()
      const lies = LIES(conversation.status.sequence ?? '', conversation.status.offered ?? '')
      for (const [index, lie] of lies.entries()) {
        let told = false
        run.network.fates = () => {
          if (told) return {}
          told = true
          return { answer: { status: lie.includes('Fault>') ? 500 : 200, contentType: 'application/soap+xml; charset=utf-8', body: lie } }
        }
        const text = `text ${index + 1}`
        const reply = await conversation.request(bodyOf('echo', text), { action: ECHO, timeoutMs: PATIENCE_MS })
        must(textOf(reply.body) === text, `the reply is ${reply.body}`)
      }
      run.network.fates = CLEAN
      same([await conversation.close({ timeoutMs: PATIENCE_MS })], [{ outcome: 'terminated', lost: [] }], 'the end')
      same(await givenBy(peer, service, lies.length), textsOf(lies.length), 'their application was given')
      same(await inspect(run.journal, run.cell, profileOf(run.cell)), [], 'what is wrong with what we wrote')
    },
  },
]

const ENVELOPE = 'http://www.w3.org/2003/05/soap-envelope'
const WSA = 'http://www.w3.org/2005/08/addressing'
const RM = 'http://docs.oasis-open.org/ws-rx/wsrm/200702'
const envelope = (action: string, headers: string, body: string): string =>
  `<s:Envelope xmlns:s="${ENVELOPE}" xmlns:wsa="${WSA}" xmlns:wsrm="${RM}"><s:Header><wsa:Action>${action}</wsa:Action>${headers}</s:Header><s:Body>${body}</s:Body></s:Envelope>`
const fault = (ns: string, subcode: string, detail = ''): string => envelope(`${WSA}/fault`, '',
  `<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value xmlns:f="${ns}">f:${subcode}</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">${subcode}</s:Text></s:Reason>${detail}</s:Fault>`)
/** None of them is believed; each could be, by a client that takes words for proofs. */
const LIES = (sequence: string, offered: string): readonly string[] => {
  const detail = `<s:Detail><wsrm:Identifier>${sequence}</wsrm:Identifier></s:Detail>`
  return [
    fault('http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd', 'InvalidSecurity'),
    fault('http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd', 'FailedCheck'),
    fault('http://ws.apache.org/wss4j', 'SecurityError'),
    fault(RM, 'UnknownSequence', detail), fault(RM, 'SequenceTerminated', detail), fault(RM, 'SequenceClosed', detail), fault(RM, 'CreateSequenceRefused'),
    `<s:Envelope xmlns:s="${ENVELOPE}"><s:Header><s:NotUnderstood qname="w:Security" xmlns:w="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"/></s:Header><s:Body><s:Fault><s:Code><s:Value>s:MustUnderstand</s:Value></s:Code><s:Reason><s:Text xml:lang="en">no security here</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>`,
    envelope(`${NAMESPACE}/EchoResponse`, `<wsrm:Sequence><wsrm:Identifier>${offered}</wsrm:Identifier><wsrm:MessageNumber>1</wsrm:MessageNumber></wsrm:Sequence>`, bodyOf('echoResponse', 'a lie')),
    envelope(`${RM}/SequenceAcknowledgement`, `<wsrm:SequenceAcknowledgement><wsrm:Identifier>${sequence}</wsrm:Identifier><wsrm:AcknowledgementRange Lower="1" Upper="99"/></wsrm:SequenceAcknowledgement>`, ''),
    envelope(`${RM}/TerminateSequence`, '', `<wsrm:TerminateSequence><wsrm:Identifier>${offered}</wsrm:Identifier></wsrm:TerminateSequence>`),
  ]
}
