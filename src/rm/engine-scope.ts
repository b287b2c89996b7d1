/**
 * Which lane a received element is about, under which token (D9): each element that names a sequence is judged on its own. A name means
 * something only together with the token of its sequence; under any other it is a sequence that never was. And what becomes of a CreateSequence.
 *
 * @module
 */
import { digest } from '../crypto/hash.ts'
import { FAULTS, type FaultRow } from '../errors.ts'
import { type Principal, samePrincipal } from '../sct/token.ts'
import { RM_VERSIONS } from '../spec/versions.ts'
import { storeKey } from '../store/store.ts'
import type { Exchange } from './engine-exchange.ts'
import { creationKey, mailboxKey, sequenceKey } from './engine-rows.ts'
import { type EngineOptions, NO_LANE, type Via } from './engine-words.ts'
import type { Lane, LaneEvent, LaneFacts } from './lane.ts'
import type { About } from './source-words.ts'
import type { Content, Destination, Endpoint, LaneId, Outbound, Received, ReceivedAddress, ReceivedBody, SequenceId } from './turn.ts'

/** What is to be known of a lane in order to judge. */
export interface Scoped { readonly facts: LaneFacts; readonly lane: Lane | undefined; readonly isOver: boolean; readonly purgeAt: number; readonly isShed: boolean; names: readonly SequenceId[] }
export interface ScopeHost<S> {
  lane(id: LaneId): S | undefined
  lanes(): Iterable<S>
  /** A lane for a CreateSequence that is accepted. */
  make(facts: LaneFacts): S
  /** The lane is forgotten before its time. */
  shed(shell: S): void
  mint(): string
}
type Rules = Pick<EngineOptions, 'acceptOffers' | 'bindUnscopedToSigner' | 'address' | 'limits' | 'timing' | 'clock' | 'takesSequences' | 'reaches'> & { shapeOf?(received: Received): 'one-way' | 'request' | undefined; observe?: EngineOptions['observe'] }

export class Scope<S extends Scoped> {
  readonly #own: Rules
  readonly #host: ScopeHost<S>
  /** A name may occur under several tokens. */
  readonly #names = new Map<SequenceId, Set<S>>()
  /** Responder: CreateSequence by token and MessageID. */
  readonly #creations = new Map<string, S>()
  /** Responder: by the address of the mailbox, which may be that of several sequences, and under another token is another one. */
  readonly #mailboxes = new Map<string, Set<S>>()
  constructor(options: Rules, host: ScopeHost<S>) {
    this.#own = options
    this.#host = host
  }

  /** The lane's names are taken from here on, not only once its commit is through. */
  enter(shell: S): void {
    const { facts } = shell
    if (facts.role === 'responder') this.#creations.set(storeKey(facts.tokenId, facts.createMessageId), shell)
    const mailbox = mailboxOf(facts)
    if (mailbox !== undefined) this.#mailboxes.set(mailbox, (this.#mailboxes.get(mailbox) ?? new Set()).add(shell))
    this.rename(shell, [facts.sequence, facts.role === 'responder' ? facts.offered : undefined].filter((name) => name !== undefined))
  }
  leave(shell: S): void {
    this.rename(shell, [])
    this.#creations.delete(storeKey(shell.facts.tokenId, shell.facts.createMessageId))
    const mailbox = mailboxOf(shell.facts) ?? ''
    const shells = this.#mailboxes.get(mailbox)
    shells?.delete(shell)
    if (shells?.size === 0) this.#mailboxes.delete(mailbox)
  }
  rename(shell: S, names: readonly SequenceId[]): void {
    if (names.length === shell.names.length && names.every((name, index) => name === shell.names[index])) return
    for (const name of shell.names) {
      const shells = this.#names.get(name)
      shells?.delete(shell)
      if (shells?.size === 0) this.#names.delete(name)
    }
    for (const name of names) this.#names.set(name, (this.#names.get(name) ?? new Set()).add(shell))
    shell.names = names
  }

  /** The keys under which the store may know what is not known here: another process may have made the lane. */
  strange(received: Received): readonly string[] {
    const { tokenId, body, messageId } = received
    const named = [...received.acknowledgements.map(({ sequence }) => sequence), ...received.ackRequested, received.sequence?.id, 'sequence' in body ? body.sequence : undefined]
    const isKnown = (name: SequenceId): boolean => [...this.#names.get(name) ?? []].some(({ facts }) => facts.tokenId === tokenId)
    const keys = new Set(named.filter((name) => name !== undefined && !isKnown(name)).map((name) => sequenceKey(tokenId, name as SequenceId)))
    if (body.kind === 'create-sequence' && messageId !== undefined && !this.#creations.has(storeKey(tokenId, messageId))) keys.add(creationKey(tokenId, messageId))
    if (body.kind === 'make-connection' && !this.#mailbox(body.address).some(({ facts }) => facts.tokenId === tokenId)) keys.add(mailboxKey(tokenId, body.address))
    return [...keys]
  }

  /** D9: the lanes of a mailbox, for whoever asks under their token. Under any other it is a mailbox in which nothing waits. */
  mailbox(received: Received, address: string): readonly S[] {
    const shells = this.#mailbox(address)
    const own = shells.filter((shell) => this.#isUnder(shell, received))
    if (own.length === 0) for (const shell of shells) this.#report(shell, received)
    return own
  }
  #mailbox(address: string): readonly S[] { return [...this.#mailboxes.get(address) ?? []] }

  /** Each element that names a sequence is judged on its own: under its sequence's token it is worked on, else it is unknown. */
  sort(received: Received, via: Via, exchange: Exchange | undefined, add: (shell: S, event: LaneEvent) => void): void {
    const { body, messageId } = received
    const about = via.kind === 'answer' ? aboutOf(via.to) : undefined
    const carried = (shell: S) => ({ to: answerTo(shell.facts, received, exchange), messageId, about })
    const alone = received.sequence === undefined && (body.kind === 'empty' || body.kind === 'close-sequence-response')
    const unanswerable = exchange === undefined ? undefined : this.#unanswerable(received)
    // First what is wrong with the message itself: of several complaints that is the one that its sender must hear.
    if (unanswerable !== undefined) this.#complain(unanswerable, received, exchange)
    const shell = unanswerable !== undefined || body.kind === 'create-sequence' ? undefined : this.#laneOf(received, via, exchange)
    // Then what is asked, then what is told: of a pair that is not known the sender must hear that its own sequence is not.
    for (const sequence of received.ackRequested) {
      // A numbered message is acknowledged by itself.
      if (sequence === received.sequence?.id) continue
      const of = this.#named(sequence, received, exchange)
      if (of !== undefined) add(of, { kind: 'ack-requested', sequence, ...carried(of) })
    }
    for (const acknowledgement of received.acknowledgements) {
      const of = this.#named(acknowledgement.sequence, received, exchange)
      if (of !== undefined) add(of, { kind: 'acknowledgement', acknowledgement, alone, ...carried(of) })
    }
    if (unanswerable !== undefined) return
    if (body.kind === 'create-sequence') return this.#create(received, body, exchange, add)
    if (shell !== undefined) add(shell, { kind: 'received', received, shape: this.#shapeOf(received), digest: contentDigest(body), ...carried(shell) })
  }
  /** Why a message that wants an answer cannot have one; undefined when it can, or wants none. */
  #unanswerable(received: Received): FaultRow | undefined {
    const { body, replyTo, faultTo, messageId } = received
    const bound = this.#quietly(received)
    // What comes to the initiator is told to its peer in any case.
    if (bound?.role === 'initiator') return undefined
    const isRequest = body.kind === 'application' && this.#shapeOf(received) === 'request'
    // RM 1.0 has no answer to TerminateSequence.
    const isLifecycle = body.kind === 'create-sequence' || body.kind === 'close-sequence' || (body.kind === 'terminate-sequence' && received.rm !== '1.0')
    if (!isRequest && !isLifecycle) return undefined
    // BP 2.0 R1163, WSA 1.0 §3.4: what is to be answered has a MessageID; and a ReplyTo, where its absence does not mean the back-channel.
    const hasReplyTo = replyTo.kind !== 'absent' || received.addressing !== '200408'
    if (messageId === undefined || (body.kind === 'create-sequence' && !hasReplyTo)) return FAULTS.messageAddressingHeaderRequired
    // BP 2.0 R1146, R1148: an answer goes to ReplyTo, or the sender is told. It goes to where the sequence was bound to, and never to where a message says.
    // What is about a sequence that is not known here is told so, wherever its answer was to go.
    if (bound === undefined && nameOf(received) !== undefined) return undefined
    if (body.kind !== 'create-sequence' && (isElsewhere(replyTo, bound?.endpoint) || isElsewhere(faultTo, bound?.endpoint))) return FAULTS.onlyAnonymousSupported
    return undefined
  }
  /** What the lane is that a message names, without a word to anybody. */
  #quietly(received: Received): LaneFacts | undefined {
    const name = nameOf(received)
    for (const shell of name === undefined ? [] : this.#names.get(name) ?? []) if (this.#isUnder(shell, received)) return shell.facts
    return undefined
  }
  /** The lane that the Body or the Sequence header is about. */
  #laneOf(received: Received, via: Via, exchange: Exchange | undefined): S | undefined {
    const { body, sequence } = received
    switch (body.kind) {
      case 'close-sequence': case 'terminate-sequence': case 'close-sequence-response': case 'terminate-sequence-response': return this.#named(body.sequence, received, exchange)
      case 'create-sequence-response': return this.#answered(received, via)
      case 'create-sequence': case 'make-connection': return undefined
      default:
    }
    if (sequence !== undefined) return this.#named(sequence.id, received, exchange)
    if (body.kind === 'fault' && body.fault.sequence !== undefined) {
      const shell = this.#lookup(body.fault.sequence, received)
      if (shell !== undefined) return shell
    }
    const shell = this.#answered(received, via)
    if (shell !== undefined || via.kind === 'answer') return shell
    // WS-RM 1.1 §4.8: this endpoint takes numbered messages only. Without an RM header the message names no version, so that the writer of the fault,
    // who knows in which one the answer is, says it as that one does.
    if (body.kind === 'application' || isBare(received)) this.#complain(FAULTS.wsrmRequired, received, exchange)
    return undefined
  }
  /** The lane whose message this answers, when it is under that lane's token. */
  #answered(received: Received, via: Via): S | undefined {
    const shell = via.kind === 'answer' ? this.#host.lane(via.lane) : this.#asked(received)
    if (shell === undefined) return undefined
    if (!this.#isUnder(shell, received)) {
      this.#report(shell, received)
      return undefined
    }
    if (received.body.kind !== 'create-sequence-response') return shell
    // Only what answers our CreateSequence, and never the name of a sequence that is there already.
    const answers = received.relatesTo === undefined || received.relatesTo === shell.facts.createMessageId
    return answers && !this.#isTaken(received.body.sequence, shell) ? shell : undefined
  }
  /** The lane that asked what this answers, when the answer came to the address of the initiator. */
  #asked(received: Received): S | undefined {
    const { relatesTo } = received
    if (relatesTo === undefined) return undefined
    for (const shell of this.#host.lanes()) {
      if (shell.facts.role === 'initiator' && this.#isUnder(shell, received) && shell.lane?.source.asked(relatesTo)) return shell
    }
    return undefined
  }
  #named(sequence: SequenceId, received: Received, exchange: Exchange | undefined): S | undefined {
    const shell = this.#lookup(sequence, received)
    if (shell === undefined) this.#unknown(sequence, received, exchange)
    return shell
  }
  /** D9: a sequence is known only under the token that it is bound to, in the versions and under the protection that it began with. */
  #lookup(sequence: SequenceId, received: Received): S | undefined {
    const shells = this.#names.get(sequence)
    if (shells === undefined) return undefined
    for (const shell of shells) if (this.#isUnder(shell, received)) return shell
    for (const shell of shells) this.#report(shell, received)
    return undefined
  }
  #isUnder({ facts }: S, received: Received): boolean {
    // Both sides of a context have one key: what is addressed to the peer is a message of ours, sent back by whoever stands between.
    if (received.to !== undefined && received.to === peerOf(facts)) return false
    const isProtectedAlike = facts.protection === undefined || facts.protection === received.protection
    return isProtectedAlike && facts.tokenId === received.tokenId && (received.rm === undefined || received.rm === facts.rm) && (facts.soap === undefined || facts.soap === received.soap)
  }
  #report(shell: S, received: Received): void {
    const isOther = shell.facts.tokenId !== received.tokenId
    const isOurs = received.to !== undefined && received.to === peerOf(shell.facts)
    const code = isOther ? 'ERR_RM_SCOPE' : isOurs ? 'ERR_WSA_MIRRORED' : 'ERR_RM_VERSION_CHANGED'
    const detail = isOther ? 'names a sequence of another token' : isOurs ? 'is addressed to the peer' : 'names a sequence of another version, or of another protection'
    this.#own.observe?.({ kind: 'security', code, detail: `${received.body.kind} ${detail}`, lane: shell.facts.lane })
  }
  #isTaken(name: SequenceId, by: S): boolean {
    for (const shell of this.#names.get(name) ?? []) if (shell !== by && shell.facts.tokenId === by.facts.tokenId) return true
    return false
  }
  #unknown(sequence: SequenceId, received: Received, exchange: Exchange | undefined): void {
    this.#complain(FAULTS.unknownSequence, received, exchange, sequence)
  }
  #complain(fault: FaultRow, received: Received, exchange: Exchange | undefined, sequence?: SequenceId): void {
    exchange?.offer({
      lane: NO_LANE, tokenId: received.tokenId, to: { kind: 'exchange', exchange: exchange.id }, body: { kind: 'fault', fault, ...(sequence === undefined ? {} : { sequence }) },
      ...(received.messageId === undefined ? {} : { relatesTo: received.messageId }), acknowledgements: [], ackRequested: [],
    })
  }
  #shapeOf(received: Received): 'one-way' | 'request' {
    const { replyTo, faultTo, addressing } = received
    const known = this.#own.shapeOf?.(received)
    if (known !== undefined) return known
    if (replyTo.kind !== 'absent') return replyTo.kind === 'none' ? 'one-way' : 'request'
    // WSA 1.0 §3.4: without ReplyTo replies go to the anonymous address. Peer Sandesha2 relies on that and has a FaultTo; peer Metro 4 has neither
    // where it wants no reply.
    return faultTo !== undefined && addressing === '200508' ? 'request' : 'one-way'
  }

  #create(received: Received, body: ReceivedBody & { kind: 'create-sequence' }, exchange: Exchange | undefined, add: (shell: S, event: LaneEvent) => void): void {
    const known = this.#creation(received, body)
    const made = (shell: S): void => add(shell, { kind: 'made', to: answerTo(shell.facts, received, exchange), messageId: received.messageId })
    if (known !== undefined) return made(known)
    const refusal = this.#refusal(received, body) ?? (this.#isBusy(received.principal) ? FAULTS.createSequenceRefusedBusy : undefined)
    if (refusal !== undefined || received.messageId === undefined || received.rm === undefined || exchange === undefined) {
      this.#own.observe?.({ kind: 'security', code: 'ERR_RM_CREATE_REFUSED', detail: `CreateSequence refused (scope ${body.scope})` })
      return this.#complain(refusal ?? FAULTS.createSequenceRefused, received, exchange)
    }
    const { offer } = body
    const acceptsOffer = offer !== undefined && this.#own.acceptOffers !== false
    const shell = this.#host.make({
      lane: this.#host.mint() as LaneId, role: 'responder', tokenId: received.tokenId, rm: received.rm, createdAt: this.#own.clock.now(), createMessageId: received.messageId, expiresMs: body.expiresMs,
      principal: received.principal, soap: received.soap, addressing: received.addressing, protection: received.protection, sequence: this.#host.mint(), endpoint: endpointOf(body.acksTo), offered: offer?.sequence, offeredExpiresMs: offer?.expiresMs,
      acksTo: acceptsOffer ? this.#own.address ?? received.to ?? '' : undefined,
    })
    made(shell)
  }
  /** The lane that this very CreateSequence made before: by its MessageID, or, as .NET repeats it, by its Offer. */
  #creation(received: Received, body: ReceivedBody & { kind: 'create-sequence' }): S | undefined {
    const byMessage = received.messageId === undefined ? undefined : this.#creations.get(storeKey(received.tokenId, received.messageId))
    if (byMessage !== undefined || body.offer === undefined) return byMessage
    for (const shell of this.#names.get(body.offer.sequence) ?? []) {
      const isUnused = shell.lane === undefined ? !shell.isOver : (shell.lane.destination.state === 'open' && shell.lane.destination.accepted.length === 0)
      if (shell.facts.role === 'responder' && shell.facts.offered === body.offer.sequence && isUnused && this.#isUnder(shell, received)) return shell
    }
    return undefined
  }
  #refusal(received: Received, body: ReceivedBody & { kind: 'create-sequence' }): FaultRow | undefined {
    // WS-RM 1.1 §5.1: the reference names the token under which all of it stands; this message must stand under it too.
    const isScoped = body.scope === 'bound' || (body.scope === 'absent' && !body.usesSequenceStr && this.#own.bindUnscopedToSigner === true)
    if (!isScoped || this.#own.takesSequences === false) return FAULTS.createSequenceRefused
    const { acksTo, offer } = body
    const isAllowed = acksTo.kind === 'anonymous' || acksTo.kind === 'make-connection' || (acksTo.kind === 'address' && this.#own.reaches?.(acksTo.address, received.principal) === true)
    // One endpoint for all: whoever could name another one could have messages sent to somebody else.
    const bound = endpointOf(acksTo)
    if (!isAllowed || isElsewhere(received.replyTo, bound) || received.replyTo.kind === 'none' || isElsewhere(received.faultTo, bound)) return FAULTS.createSequenceRefused
    if (offer !== undefined) {
      const isReachable = offer.endpoint === undefined || (offer.endpoint.kind === acksTo.kind && !isElsewhere(offer.endpoint, bound))
      const isUsable = offer.sequence !== '' && offer.sequence.length <= this.#own.limits.identifierLength
      if (!isReachable || !isUsable || this.#lookup(offer.sequence, received) !== undefined) return FAULTS.createSequenceRefused
    }
    return undefined
  }
  /** There is no room for one more sequence of this principal, neither among those that live nor, for when it ends, among those that have ended. */
  #isBusy(principal: Principal): boolean {
    const { sequences, sequencesPerPrincipal, endedSequences, endedSequencesPerPrincipal } = this.#own.limits
    const all = [...this.#host.lanes()].filter(({ facts }) => facts.role === 'responder')
    const own = all.filter(({ facts }) => facts.principal !== undefined && samePrincipal(facts.principal, principal))
    if (liveOf(all) >= sequences || liveOf(own) >= sequencesPerPrincipal) return true
    return !this.#makesRoom(own, endedSequencesPerPrincipal) || !this.#makesRoom(all, endedSequences)
  }
  /** The oldest of what has ended gives way: who still asks about it hears UnknownSequence, which is an end too (D23). What is too young, or not yet handed over, stays. */
  #makesRoom(shells: readonly S[], most: number): boolean {
    const { timing: { tombstoneMs, leastTombstoneMs }, clock } = this.#own
    const ended = shells.filter(({ isOver, isShed }) => isOver && !isShed)
    const excess = ended.length + 1 - most
    if (excess <= 0) return true
    const mayGo = ended.filter(({ lane, purgeAt }) => lane === undefined && purgeAt - tombstoneMs + leastTombstoneMs <= clock.now()).sort((a, b) => a.purgeAt - b.purgeAt)
    for (const shell of mayGo.slice(0, excess)) this.#host.shed(shell)
    return mayGo.length >= excess
  }
}

/** The sequence that a message is about. */
const nameOf = ({ sequence, body }: Received): SequenceId | undefined => sequence?.id ?? ('sequence' in body ? body.sequence : undefined)
/** Neither the back-channel nor, octet by octet, what the sequence is bound to. */
const isElsewhere = (address: ReceivedAddress | undefined, bound: Endpoint | undefined): boolean =>
  address !== undefined && 'address' in address && !(bound !== undefined && 'address' in bound && bound.address === address.address)
const endpointOf = (acksTo: ReceivedAddress): Endpoint | undefined => ('address' in acksTo ? { kind: acksTo.kind, address: acksTo.address } : undefined)
const mailboxOf = ({ role, endpoint }: LaneFacts): string | undefined => (role === 'responder' && endpoint?.kind === 'make-connection' ? endpoint.address : undefined)
/** Where the peer of a lane takes messages, when it has such a place. */
const peerOf = ({ role, url, endpoint }: LaneFacts): string | undefined => (role === 'initiator' ? url : endpoint?.kind === 'address' || endpoint?.kind === 'make-connection' ? endpoint.address : undefined)
/** Where the answer to a message goes: to the address that it names, which is the one that the lane is bound to; else onto its back-channel. */
function answerTo(facts: LaneFacts, received: Received, exchange: Exchange | undefined): Destination | undefined {
  if (exchange === undefined) return undefined
  const peer = peerOf(facts)
  if (received.replyTo.kind === 'address' && peer !== undefined) return { kind: 'endpoint', url: peer }
  const mailbox = received.replyTo.kind === 'anonymous' ? undefined : mailboxOf(facts)
  return { kind: 'exchange', exchange: exchange.id, ...(mailbox === undefined ? {} : { address: mailbox }) }
}
/** An empty Body that says nothing of RM: a message of the application all the same. */
const isBare = ({ body, action, acknowledgements, ackRequested }: Received): boolean =>
  body.kind === 'empty' && acknowledgements.length === 0 && ackRequested.length === 0 && !RM_VERSIONS.has(action.slice(0, action.lastIndexOf('/')))
export const aboutOf = (outbound: Outbound): About => ({ kind: outbound.body.kind, number: outbound.sequence?.number })
const liveOf = (shells: readonly Scoped[]): number => shells.filter(({ isOver }) => !isOver).length
/** What makes two messages the same for a key: everything but the MessageID, which each attempt may make anew. */
export const digestOf = (content: Content, shape: string): string => digest('sha256', JSON.stringify([shape, content.action, content.body, content.headers])).toString('base64')
const contentDigest = (body: ReceivedBody): string => body.kind === 'application' ? digestOf(body.content, '') : ''
