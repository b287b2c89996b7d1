/**
 * The gate that both faces share: bytes are read, the keys that they name are fetched, the message is opened under a policy, and only then
 * is it looked up among the messages seen before (D8: the replay mark comes last).
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import type { Clock } from './clock.ts'
import { FAULTS, SecurityFailure } from './errors.ts'
import type { Profile } from './profiles/profile.ts'
import type { Received, ReceivedBody } from './rm/turn.ts'
import type { SctManager } from './sct/manager.ts'
import { type ContextSecret, principalName, type SecurityContextToken, type TokenId } from './sct/token.ts'
import { storeKey } from './store/store.ts'
import { decode } from './wire.ts'
import type { Certificate, Envelope, Keys, Opened, Policy, Signer } from './wss/keys.ts'
import { verify } from './wss/open.ts'
import type { ReplayCache } from './wss/replay.ts'

export interface OwnKeys {
  readonly certificates: readonly Certificate[]
  readonly privateKeys: readonly KeyObject[]
  /** Keys of EncryptedKeys that we have sent, by their SHA-1 names: an answer refers to them. */
  readonly encryptedKeys?: ReadonlyMap<string, KeyObject>
}

export class Gate {
  readonly #tokens: SctManager
  readonly #clock: Clock
  readonly #seen: ReplayCache

  constructor(tokens: SctManager, clock: Clock, seen: ReplayCache) {
    this.#tokens = tokens
    this.#clock = clock
    this.#seen = seen
  }

  /**
   * `how`: 'remembered' also takes contexts that ended not long ago, for what only asks about them. `judge` is asked who may have signed before
   * anything of the message is decrypted.
   */
  async open(envelope: Envelope, own: OwnKeys, policy: Policy, how: 'live' | 'remembered' = 'live', judge?: (signers: readonly Signer[]) => Promise<void>): Promise<Opened> {
    const contexts = new Map<string, readonly ContextSecret[]>()
    for (const identifier of envelope.wanted.contexts) {
      contexts.set(identifier, how === 'live' ? await this.#tokens.secrets(identifier) : await this.#tokens.rememberedSecrets(identifier))
    }
    const { certificates, privateKeys, encryptedKeys } = own
    const keys: Keys = { contexts: (identifier) => contexts.get(identifier) ?? [], certificates, privateKeys, encryptedKey: (sha1) => encryptedKeys?.get(sha1) }
    const authenticated = verify(envelope, keys, policy, this.#clock.now())
    await judge?.(authenticated.signers)
    return authenticated.open()
  }

  /**
   * The words of a message under a token that is known here. `exchange`: the token whose signed Timestamp opened the TLS exchange that this answers.
   * `copies`: whether a copy, byte for byte, of what asks for a sequence or ends one is taken. `isToOneWay`: it answers a one-way message.
   */
  async receive(opened: Opened, { exchange, copies = 'refuse', isToOneWay = false }: { readonly exchange?: TokenId; readonly copies?: Profile['lifecycleCopies']; readonly isToOneWay?: boolean } = {}): Promise<{ readonly received: Received; readonly token: SecurityContextToken }> {
    const signer = signerOf(opened, exchange)
    const token = await this.#tokens.get(signer.identifier as TokenId)
    if (token === undefined) throw new SecurityFailure('ERR_WSC_UNKNOWN', 'the context ended while the message was opened', FAULTS.badContextToken)
    const received = decode(opened, token.id, token.principal)
    // D8: a copy of a numbered message is the network's duplicate. Its number tells, for as long as the sequence is known and after any restart;
    // were it remembered here too, a busy token would soon have filled what may be remembered, and be refused for it.
    // What asks for a sequence or ends one is told apart by its identifiers in the same way: asked again, it changes nothing and has the same answer.
    // And what acknowledges one-way messages says no more than it has said already: of those there are as many as of the messages.
    const isTold = isNumbered(received) || (copies === 'answer' && LIFECYCLE.has(received.body.kind)) || (isToOneWay && received.body.kind === 'empty')
    if (!isTold && this.mark(opened, senderOf(token), token.id) === 'seen') throw new SecurityFailure('ERR_WSS_REPLAY', 'this very message was seen before', FAULTS.failedCheck)
    if (opened.signer !== undefined) this.#tokens.noteUsed(token.id, signer.instance)
    return { received, token }
  }

  /**
   * Marks the message as seen; `sender` is whose share of the marks it takes. TLS lets nobody repeat a message; and what is signed under it, the
   * Timestamp alone, may be the same in two.
   */
  mark(opened: Opened, sender: string, tokenId = ''): 'fresh' | 'seen' {
    const [value] = opened.signatureValues
    if (value === undefined || opened.level === 'transport') return 'fresh'
    const now = this.#clock.now()
    // Of equal values under two tokens neither is a copy of the other.
    return this.#seen.insert(sender, Buffer.concat([Buffer.from(storeKey(tokenId)), value]), opened.timestamp?.expires ?? now, now)
  }
}

/**
 * F8: a service gives a principal one share, however many tokens he has, or with a few of them he would keep everybody else out. A client has for
 * each token a share of its own: it is itself who asks for tokens, and each of its messages may be answered without a number.
 */
const senderOf = ({ id, role, principal }: SecurityContextToken): string => (role === 'recipient' ? storeKey(principal.kind, principalName(principal)) : storeKey('token', id))

/** D9: whose token covers the message: its signature says so; under TLS, where answers bear none, the exchange that it answers. */
function signerOf({ signer, level }: Opened, exchange: TokenId | undefined): { readonly identifier: string; readonly instance: string | undefined } {
  if (signer === undefined && level === 'transport' && exchange !== undefined) return { identifier: exchange, instance: undefined }
  if (signer?.kind !== 'context') throw new SecurityFailure('ERR_WSS_SIGNER', 'the message is not signed by a security context', FAULTS.failedCheck)
  return signer
}

/** Decided by its number alone: not what asks for a sequence or ends one, wherever else a number stands beside it. */
const isNumbered = ({ sequence, body }: Received): boolean => sequence !== undefined && (body.kind === 'application' || body.kind === 'empty' || body.kind === 'fault')
const LIFECYCLE: ReadonlySet<ReceivedBody['kind']> = new Set<ReceivedBody['kind']>(['create-sequence', 'close-sequence', 'terminate-sequence'])
