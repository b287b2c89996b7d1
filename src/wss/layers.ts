/**
 * The layers of a Security header, for every binding: what is signed, what is encrypted, in which order, and what stands where. Which keys
 * do it is said by whoever calls; here they are functions that sign, and keys with a reference.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { encrypt } from '../crypto/cipher.ts'
import type { RandomSource } from '../crypto/random.ts'
import type { BootstrapProfile, Profile } from '../profiles/profile.ts'
import type { CipherAlgorithm } from '../spec/algorithms.ts'
import { NS } from '../spec/versions.ts'
import {
  BODY_END, bodyPart, encryptedData, envelope, headerParts, type Ids, type OutgoingMessage, type Protected, referenceList, type SignedPart, timestampPart,
} from './parts.ts'

/** Of a profile, what the layers depend on: the session's choices, or those of the bootstrap. */
export type LayerChoices = Pick<Profile, 'keyOrder' | 'layout'> & Pick<BootstrapProfile, 'order' | 'encryptSignature'>

/** What makes the primary signature, and the tokens that its KeyInfo refers to. */
export interface SigningKey {
  readonly tokens: string
  /** `clear`: the message as it stands when it is signed, for a signer that reads it. */
  sign(parts: readonly SignedPart[], clear: () => string): SignatureText
}
export interface SignatureText { readonly id: string; readonly text: string; readonly value: Uint8Array }
export interface EncryptingKey {
  readonly key: KeyObject
  readonly cipher: CipherAlgorithm
  /** For KeyInfo of each EncryptedData. */
  readonly reference: string
  /** The tokens that it needs, and the list of these EncryptedData inside of them or behind. */
  tokens(listed: readonly string[]): string
}
/** A signature over the primary one, by a token that endorses it; `clear`: the message with the primary signature in it. */
export interface Endorsement { readonly tokens: string; endorse(primary: SignatureText, clear: () => string): SignatureText }
/** An element of Security that is signed as a part, and encrypted where its binding says so: UsernameToken, SignatureConfirmation. */
export interface SecurityPart extends SignedPart { readonly isEncrypted: boolean }

export interface Layers {
  readonly choices: LayerChoices
  readonly ids: Ids
  readonly now: number
  readonly random: RandomSource
  /** Stands in front of both keys: the token that they are made from. */
  readonly source: string
  readonly signing: SigningKey
  /** Absent: nothing is encrypted. */
  readonly encrypting?: EncryptingKey | undefined
  readonly encryptBody: boolean
  readonly parts?: readonly SecurityPart[] | undefined
  readonly endorsements?: readonly Endorsement[] | undefined
}

export function protectInLayers(message: OutgoingMessage, layers: Layers): Protected {
  const { choices, ids, signing, encrypting } = layers
  const isSignedFirst = choices.order === 'sign-before-encrypt'
  const timestamp = timestampPart(ids, layers.now)
  const headers = headerParts(message.headers, ids)
  const body = bodyPart(message.soap, message.body, ids)
  const sealer = new Sealer(encrypting, layers.random)

  const sealedBody = layers.encryptBody ? `${body.open}${sealer.seal(ids('ed-body'), 'content', body.content)}${BODY_END}` : body.sent
  // WS-SecurityPolicy 1.2 §6.3: signed first, the digest of the Body is that of the plaintext; encrypted first, that of what stands in the message.
  const signedBody: SignedPart = isSignedFirst || !layers.encryptBody ? body : { id: body.id, text: sealedBody, sent: sealedBody }
  const parts = layers.parts ?? []
  const plain = parts.map(({ text }) => text).join('')
  const endorsements = layers.endorsements ?? []
  const endorsing = endorsements.map((each) => each.tokens).join('')
  const clear = (more: string): string => envelope(message, headers, `${timestamp.text}${layers.source}${signing.tokens}${endorsing}${plain}${more}`, signedBody.sent)
  // D9, RSP R0560: every header that says something, the Timestamp and the Body stand under one signature.
  const signature = signing.sign([timestamp, ...headers, signedBody, ...parts], () => clear(''))
  const endorsed = endorsements.map((each) => each.endorse(signature, () => clear(signature.text)))
  const signatureValues = [signature, ...endorsed].map(({ value }) => value)

  const content = [...sealer.sealed]
  // Peer Metro 4: what Security holds is encrypted after it was signed, in either order of protection; so is the signature itself.
  const security = parts.map(({ text, isEncrypted }, index) => (isEncrypted ? sealer.seal(ids(`ed-${index}`), 'element', text) : text)).join('')
  const sealedSignature = choices.encryptSignature && encrypting !== undefined ? sealer.seal(ids('ed-sig'), 'element', signature.text) : signature.text
  // WSS 1.0 §5: a list in front of the signature is undone first, one behind it after: that is how a reader knows the order.
  const inFront = isSignedFirst ? sealer.sealed : sealer.sealed.slice(content.length)
  const written = arranged(choices, {
    source: layers.source, signing: signing.tokens, encrypting: encrypting?.tokens(inFront) ?? '', parts: security, endorsing,
    signatures: sealedSignature + endorsed.map(({ text }) => text).join(''), behind: isSignedFirst ? '' : referenceList(content),
  })
  const xml = envelope(message, headers, choices.layout === 'strict' ? timestamp.text + written : written + timestamp.text, sealedBody)
  return { xml, signatureValues }
}

interface Arranged { readonly source: string; readonly signing: string; readonly encrypting: string; readonly parts: string; readonly endorsing: string; readonly signatures: string; readonly behind: string }
/** WS-SecurityPolicy 1.2 §6.7.1, strict: a token stands before its use, and what is signed inside the header before the signature. */
const arranged = (choices: LayerChoices, { source, signing, encrypting, parts, endorsing, signatures, behind }: Arranged): string =>
  source + (choices.keyOrder === 'signature-first' ? signing + encrypting + parts + endorsing : encrypting + parts + endorsing + signing) + signatures + behind

/** Encrypts, and remembers what must be listed. */
class Sealer {
  readonly sealed: string[] = []
  readonly #encrypting: EncryptingKey | undefined
  readonly #random: RandomSource
  constructor(encrypting: EncryptingKey | undefined, random: RandomSource) {
    this.#encrypting = encrypting
    this.#random = random
  }
  seal(id: string, type: 'content' | 'element', plain: string): string {
    if (this.#encrypting === undefined) throw new RangeError('there is no key to encrypt with')
    const { cipher, key, reference } = this.#encrypting
    this.sealed.push(id)
    return encryptedData(id, type, cipher, reference, encrypt(cipher, key, this.#random, plain))
  }
}

/** wsse11:SignatureConfirmation of each value; of none, the one that says so (WSS 1.1 §7). */
export function confirmationParts(values: readonly Uint8Array[], ids: Ids, isEncrypted: boolean): readonly SecurityPart[] {
  return (values.length === 0 ? [undefined] : values).map((value, index) => {
    const id = ids(`sc-${index}`)
    const text = `<wsse11:SignatureConfirmation xmlns:wsse11="${NS.wsse11}" xmlns:wsu="${NS.wsu}"${value === undefined ? '' : ` Value="${Buffer.from(value).toString('base64')}"`} wsu:Id="${id}"></wsse11:SignatureConfirmation>`
    return { id, text, sent: text, isEncrypted }
  })
}
