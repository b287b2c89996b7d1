/**
 * Opening a message: `read` makes an Envelope of bytes and names the keys that it wants; `open` checks it under a policy and alone
 * makes an Opened. The order is that of D8: shape, tokens, MAC over SignedInfo before anything is believed, references by node
 * identity, decryption at known places only, coverage by position, freshness. Pure: it changes nothing that it is given.
 * Replay and trust are decided by whoever calls.
 *
 * @module
 */
import { digest, equal, passwordDigest } from '../crypto/hash.ts'
import { FAULTS, PeerViolation, SecurityFailure, XmlError } from '../errors.ts'
import type { Limits } from '../options.ts'
import { ADDRESSING_VERSIONS, NS, RM_VERSIONS, SC_VERSIONS, SOAP_VERSIONS, type SoapVersion, TOKEN } from '../spec/versions.ts'
import { readDocument } from '../xml/reader.ts'
import { Element, graft, type QName, Text } from '../xml/tree.ts'
import { type Ciphertext, ciphertexts, places, reveal, type Revealed } from './encryption.ts'
import type { Envelope, Keys, Level, Opened, Policy, Signer, UserClaim } from './keys.ts'
import { type Candidate, References, type Resolved } from './references.ts'
import { base64Of, exactly, failed, invalid, only, optional, textOf, trimmed } from './shape.ts'
import { checkCertificateDigest, checkDigest, checkTokenDigest, checkValue, confirmationOf, readSignature, type Signature, type SignedReference } from './signature.ts'

// ---- read ----

/** A message names one context; a renewal two at most. What names more is asking for look-ups. */
const MOST_WANTED = 8

/**
 * Reads a SOAP message. Nothing in it is believed.
 *
 * @throws {XmlError} it is not XML, or over a limit
 * @throws {PeerViolation} ERR_SOAP_VERSION: it is XML, but no SOAP message
 * @throws {SecurityFailure} ERR_WSS_SHAPE, ERR_WSS_DUPLICATE_ID, ERR_WSS_DUPLICATE_HEADER, ERR_WSS_LIMIT
 */
export function read(bytes: Uint8Array, limits: Limits): Envelope {
  const { root, ids } = document(bytes, limits)
  const soap = root.local === 'Envelope' ? SOAP_VERSIONS.get(root.ns) : undefined
  if (soap === undefined) throw new PeerViolation('ERR_SOAP_VERSION', 'the document is no SOAP envelope', root.local === 'Envelope' ? FAULTS.versionMismatch : FAULTS.malformed)
  return envelopeOf(soap, root, ids, limits)
}

function document(bytes: Uint8Array, limits: Limits): ReturnType<typeof readDocument> {
  try {
    return readDocument(bytes, limits)
  } catch (error) {
    // An id that stands twice is an attack on references before it is bad XML.
    if (error instanceof XmlError && (error.code === 'ERR_XML_DUPLICATE_ID' || error.code === 'ERR_XML_BAD_ID')) throw invalid('ERR_WSS_DUPLICATE_ID', 'an id that stands twice, or is none')
    throw error
  }
}

function envelopeOf(soap: SoapVersion, root: Element, ids: ReadonlyMap<string, Element>, limits: Limits): Envelope {
  const children = root.elements()
  const [first, second] = children
  const header = first?.is(soap.ns, 'Header') ? first : undefined
  const body = header === undefined ? first : second
  // SOAP 1.2 §5.1: Header, if there, then Body, then nothing. SOAP 1.1 would allow more; nobody writes it, and it hides things.
  if (body === undefined || !body.is(soap.ns, 'Body') || children.length > (header === undefined ? 1 : 2)) throw invalid('ERR_WSS_SHAPE', 'the envelope is not Header and Body')
  const security = securityOf(header, soap)
  checkSingleHeaders(header, soap)
  return { soap, root, header, body, security, ids, wanted: wantedBy(security, header, body, limits) }
}

/** WSS 1.0 §5: one Security header for each role; those for others are left alone, and never believed. */
function securityOf(header: Element | undefined, soap: SoapVersion): Element | undefined {
  const [own, another] = (header?.all(NS.wsse, 'Security') ?? []).filter((each) => isForUs(each, soap))
  if (another !== undefined) throw invalid('ERR_WSS_SHAPE', 'two Security headers for this receiver')
  return own
}
const isForUs = (header: Element, soap: SoapVersion): boolean => soap.ultimateRoles.includes(header.attribute(soap.roleAttribute, soap.ns)?.trim() ?? '')

const REPEATABLE: ReadonlySet<string> = new Set(['RelatesTo', 'SequenceAcknowledgement', 'AckRequested'])
/** Headers that say what a message is and what it does to a sequence: what `headers` must cover. */
const isProtocol = (header: Element): boolean => ADDRESSING_VERSIONS.has(header.ns) || isReliable(header)
const isReliable = (header: Element): boolean => RM_VERSIONS.has(header.ns) || header.ns === NS.wsmc || header.ns === NS.netrm

// WSA 1.0 SOAP §3.2, WS-RM 1.1 §3.7: a header that may stand once, stands once; else one reader would take the first and another the last.
function checkSingleHeaders(header: Element | undefined, soap: SoapVersion): void {
  const seen = new Set<QName>()
  for (const each of header?.elements() ?? []) {
    if (!isProtocol(each) || REPEATABLE.has(each.local) || !isForUs(each, soap)) continue
    if (seen.has(each.qname)) throw invalid('ERR_WSS_DUPLICATE_HEADER', `the header ${each.local} stands twice`)
    seen.add(each.qname)
  }
}

function wantedBy(security: Element | undefined, header: Element | undefined, body: Element, limits: Limits): Envelope['wanted'] {
  const contexts = new Set<string>()
  const encryptedKeySha1 = new Set<string>()
  const visit = (element: Element): void => {
    if (SC_VERSIONS.has(element.ns) && element.local === 'SecurityContextToken') contexts.add(element.first(element.ns, 'Identifier')?.text.trim() ?? '')
    else if (element.is(NS.wsse, 'Reference')) {
      const uri = element.attribute('URI') ?? ''
      if (!uri.startsWith('#')) contexts.add(uri)
    } else if (element.is(NS.wsse, 'KeyIdentifier')) {
      if (element.attribute('ValueType') === TOKEN.encryptedKeySha1) encryptedKeySha1.add(element.text.replace(/[ \t\r\n]+/g, ''))
    } else for (const child of element.elements()) visit(child)
  }
  if (security !== undefined) visit(security)
  for (const element of places({ header, body } as Envelope, undefined)) visit(element)
  contexts.delete('')
  if (contexts.size > MOST_WANTED || encryptedKeySha1.size > MOST_WANTED) throw invalid('ERR_WSS_LIMIT', 'the message refers to more keys than are accepted')
  for (const name of contexts) if (name.length > limits.identifierLength) throw invalid('ERR_WSS_LIMIT', 'an identifier that is too long')
  return { contexts: [...contexts], encryptedKeySha1: [...encryptedKeySha1] }
}

// ---- open ----

/**
 * Checks a message. What comes back says who signed it and which very elements were covered.
 *
 * @throws {SecurityFailure} it does not hold; `code` is for us, `fault` for the peer
 */
export const open = (envelope: Envelope, keys: Keys, policy: Policy, now: number): Opened => verify(envelope, keys, policy, now).open()

/** The first half of it: the signatures. Who made them can be judged before anything that they are over is decrypted. */
export interface Authenticated {
  /** The primary one first. */
  readonly signers: readonly Signer[]
  /** @throws {SecurityFailure} as `open` */
  open(): Opened
}
/** @throws {SecurityFailure} as `open` */
export function verify(envelope: Envelope, keys: Keys, policy: Policy, now: number): Authenticated {
  if (envelope.security === undefined) return { signers: [], open: () => withoutSecurity(envelope, policy) }
  const opening = new Opening(withOwnTree(envelope), { keys, policy, now })
  const signers = opening.authenticated()
  return { signers, open: () => opening.opened() }
}

function withoutSecurity(envelope: Envelope, policy: Policy): Opened {
  // Under TLS a reply need not say anything; a request must, where the policy asks for a context.
  if (policy.level !== 'transport' || policy.signer === 'context') throw invalid('ERR_WSS_NO_SECURITY', 'the message has no Security header')
  if (policy.encryptBody) throw failed('ERR_WSS_NOT_ENCRYPTED', 'the Body is not encrypted')
  return {
    envelope, signer: undefined, endorsers: [], user: undefined, covered: new Set(), encrypted: [], encryptedParts: [], signatureValues: [],
    confirmations: [], encryptedKeys: new Map(), timestamp: undefined, level: policy.level,
  } as unknown as Opened
}

/** Decryption changes the tree, so it works on one of its own. A message with ciphertext in it has few elements. */
function withOwnTree(envelope: Envelope): Envelope & { readonly security: Element } {
  const { security } = envelope
  if (security === undefined) throw new RangeError('a Security header is there')
  if (places(envelope, security).length === 0) return { ...envelope, security }
  const copies = new Map<Element, Element>()
  const root = copy(envelope.root, copies)
  const of = (element: Element): Element => copies.get(element) as Element
  return {
    ...envelope, root, header: envelope.header && of(envelope.header), body: of(envelope.body), security: of(security),
    ids: new Map([...envelope.ids].map(([id, element]) => [id, of(element)])),
  }
}
function copy(element: Element, copies: Map<Element, Element>): Element {
  const children = element.children.map((child) => (child instanceof Element ? copy(child, copies) : new Text(child.value)))
  const made = new Element(element.prefix, element.local, element.ns, element.attributes, children, element.scope, element.start, element.end)
  copies.set(element, made)
  return made
}

/** WS-SecurityPolicy 1.2 §7.4, §8: what signs and what encrypts in a symmetric binding is one token, that of the context or the EncryptedKey. */
function isOfSigner(key: Signer, signer: Signer | undefined): boolean {
  switch (signer?.kind) {
    case 'context': return key.kind === 'context' && key.identifier === signer.identifier
    case 'encrypted-key': return key.kind === 'encrypted-key' && key.sha1 === signer.sha1
    default: return true
  }
}
const otherKey = (): SecurityFailure => failed('ERR_WSS_KEY_KIND', 'content that is encrypted with a key of another token than the signer')

/** A signature whose value was right, and what it covers so far. */
interface Verified {
  readonly signature: Signature
  readonly position: number
  readonly signer: Signer
  /** The secret was another than the one that the signature names. */
  readonly otherSecret: boolean
  readonly covered: Set<Element>
  /** References that wait for decryption. */
  waiting: readonly SignedReference[]
}

/** Choice: a primary signature, and two endorsing ones beside it, is more than any binding asks for. */
const MOST_SIGNATURES = 4
const KNOWN_IN_SECURITY: ReadonlySet<string> = new Set([NS.wsse, NS.wsse11, NS.wsu, NS.ds, NS.xenc, ...SC_VERSIONS.keys()])


class Opening {
  readonly #envelope: Envelope & { readonly security: Element }
  readonly #keys: Keys
  readonly #policy: Policy
  readonly #now: number
  readonly #ids: Map<string, Element>
  readonly #references: References
  readonly #positions: Map<Element, number>
  readonly #timestamp: Element | undefined
  readonly #pending: Set<Ciphertext>
  readonly #deciphered = new Map<Ciphertext, Revealed>()
  readonly #verified: Verified[] = []
  #primary: Verified | undefined
  readonly #encrypted = new Set<QName>()
  readonly #encryptedParts: string[] = []
  /** Whose keys decrypted something. */
  readonly #decryptedBy: Signer[] = []
  #bodyWasEncrypted = false
  #headersRevealed = false

  constructor(envelope: Envelope & { readonly security: Element }, { keys, policy, now }: { readonly keys: Keys; readonly policy: Policy; readonly now: number }) {
    const { security } = envelope
    this.#envelope = envelope
    this.#keys = keys
    this.#policy = policy
    this.#now = now
    this.#ids = new Map(envelope.ids)
    this.#positions = new Map(security.elements().map((each, index) => [each, index]))
    this.#timestamp = optional(security, NS.wsu, 'Timestamp')
    this.#references = new References(security, (id) => this.#ids.get(id), keys, policy, now)
    this.#pending = new Set(ciphertexts(envelope, security, policy))
    // What TLS protects was not encrypted by its sender: ciphertext in it was another's, and would be read in the sender's name.
    if (policy.level === 'transport' && this.#pending.size > 0) throw failed('ERR_WSS_ENCRYPTION', 'ciphertext in a message that TLS protects')
  }

  /** The signatures, and who made them. */
  authenticated(): readonly Signer[] {
    const clear = this.#signatures()
    for (const element of clear) this.#authenticate(element)
    // A signature may be encrypted, and then nothing can be believed before it is decrypted (D8).
    this.#revealSignatures()
    for (const element of this.#signatures()) if (!clear.includes(element)) this.#authenticate(element)

    const primary = this.#findPrimary()
    if (primary === undefined && this.#policy.level !== 'transport') throw failed('ERR_WSS_NO_SIGNATURE', 'the message has no signature')
    this.#primary = primary
    return [...(primary === undefined ? [] : [primary]), ...this.#endorsing].map(({ signer }) => signer)
  }

  opened(): Opened {
    const primary = this.#primary
    // Lists before the signature: signed first, encrypted after; the digests are those of the plaintext. Lists behind it: the other way.
    this.#decrypt((each) => primary === undefined || each.listed < primary.position)
    for (const each of this.#verified) for (const reference of each.waiting) this.#cover(each, reference)
    this.#decrypt(() => true)
    if (this.#headersRevealed) this.#checkHeadersAgain()

    const endorsing = this.#endorsing
    this.#checkSigners(primary, endorsing)
    this.#checkCoverage(primary)
    const timestamp = this.#freshness()
    return {
      envelope: { ...this.#envelope, ids: this.#ids }, level: this.#policy.level, timestamp,
      signer: primary?.signer, endorsers: endorsing.map((each) => each.signer), user: this.#user(primary),
      covered: primary?.covered ?? new Set(), encrypted: [...this.#encrypted], encryptedParts: this.#encryptedParts,
      signatureValues: [...(primary === undefined ? [] : [primary]), ...endorsing].map((each) => each.signature.value),
      confirmations: this.#confirmations(primary), encryptedKeys: this.#references.encryptedKeys,
    } as unknown as Opened
  }

  get #endorsing(): readonly Verified[] { return this.#verified.filter((each) => each !== this.#primary) }

  #signatures(): readonly Element[] {
    const found = this.#envelope.security.all(NS.ds, 'Signature')
    if (found.length > MOST_SIGNATURES) throw invalid('ERR_WSS_LIMIT', 'more signatures than are accepted in one message')
    return found
  }

  /** The value over SignedInfo; then, of the references, those that can be looked at already. */
  #authenticate(element: Element): void {
    const signature = readSignature(element, this.#policy)
    const resolved = this.#references.resolve(signature.keyReference)
    const { signer, otherSecret } = this.#signerOf(signature, resolved)
    const position = this.#positions.get(element) ?? 0
    const verified: Verified = { signature, position, signer, otherSecret, covered: new Set(), waiting: [] }
    this.#verified.push(verified)
    // Where a part stands is known before it is decrypted.
    for (const reference of signature.references) this.#checkPlace(reference)
    const ready = signature.references.filter((reference) => !this.#mustWait(reference, position))
    verified.waiting = signature.references.filter((reference) => !ready.includes(reference))
    for (const reference of ready) this.#cover(verified, reference)
  }

  #signerOf(signature: Signature, resolved: Resolved): { readonly signer: Signer; readonly otherSecret: boolean } {
    // The resolved token decides what kind of key it is, not the method that the message names: a certificate is never a MAC secret.
    if ((resolved.kind === 'certificate') !== (signature.method.kind === 'rsa')) throw failed('ERR_WSS_KEY_KIND', 'a signature by a kind of key that its method is not for')
    if (resolved.kind === 'certificate') {
      if (!checkValue(signature, resolved.certificate.publicKey)) throw badMac()
      return { signer: { kind: 'certificate', certificate: resolved.certificate }, otherSecret: false }
    }
    const named = resolved.candidates().find((each) => checkValue(signature, each.key))
    if (named !== undefined) return { signer: this.#settled(named), otherSecret: false }
    // Peer Metro 4: the signature that endorses a later renewal names the current instance, and is made with the context's first secret.
    const other = this.#mayEndorse() ? resolved.others().find((each) => checkValue(signature, each.key)) : undefined
    if (other === undefined) throw badMac()
    // What it is for is what it names; that its maker has had the context from the beginning is what it proves.
    return { signer: resolved.candidates()[0]?.signer ?? other.signer, otherSecret: true }
  }
  #settled(candidate: Candidate): Signer {
    this.#references.settle(candidate)
    return candidate.signer
  }
  #mayEndorse(): boolean { return this.#signatures().length > 1 || [...this.#pending].some((each) => each.place === 'security') }

  #mustWait(reference: SignedReference, position: number): boolean {
    const target = this.#ids.get(reference.id)
    if (target === undefined) return this.#pending.size > 0
    for (const { element, listed } of this.#pending) if (listed < position && element !== target && isInside(element, target)) return true
    return false
  }

  /** Digests what a reference names, once, and counts the very node as covered. */
  #cover(verified: Verified, reference: SignedReference): void {
    const target = this.#ids.get(reference.id)
    if (target === undefined) throw failed('ERR_WSS_REFERENCE', 'a reference to an element that is not there')
    const covered = reference.transform === 'token' ? this.#coveredToken(reference, target) : this.#coveredPart(reference, target)
    if (verified.covered.has(covered)) throw failed('ERR_WSS_REFERENCE', 'two references to one element')
    verified.covered.add(covered)
  }

  #coveredPart(reference: SignedReference, target: Element): Element {
    // Once more, for what was revealed since.
    this.#checkPlace(reference)
    if (!checkDigest(reference, target)) throw badDigest()
    return target
  }

  /** Position before digest: what stands elsewhere is refused whatever it holds. */
  #checkPlace({ id, transform }: SignedReference): void {
    const target = this.#ids.get(id)
    if (target === undefined || transform === 'token' || this.#mayBeSigned(target)) return
    throw failed('ERR_WSS_COVERAGE', 'a reference to an element at a place where nothing may be signed')
  }

  /** A header, the Body, or a part of our Security header that is of security. */
  #mayBeSigned(target: Element): boolean {
    const { header, body, security } = this.#envelope
    if (target === body) return true
    if (target.parent === security) return KNOWN_IN_SECURITY.has(target.ns)
    return header !== undefined && target.parent === header && target !== security
  }

  #coveredToken(reference: SignedReference, target: Element): Element {
    // STR-Transform is for references to tokens in our own Security header and in its signatures; of anything else it would hide the element.
    if (!target.is(NS.wsse, 'SecurityTokenReference') || !isInside(target, this.#envelope.security)) throw failed('ERR_WSS_REFERENCE', 'STR-Transform of something that is no token reference')
    const named = this.#references.tokenOf(target)
    if (!('token' in named ? checkTokenDigest(reference, named.token) : checkCertificateDigest(reference, target, named.certificate.raw))) throw badDigest()
    return 'token' in named ? named.token : target
  }

  #decrypt(which: (ciphertext: Ciphertext) => boolean): void {
    for (const ciphertext of [...this.#pending].filter(which)) {
      this.#pending.delete(ciphertext)
      this.#reveal(ciphertext)
    }
  }

  /** Of what is hidden in the Security header, the signatures: the rest has its turn when it is known whether they are over it or over its ciphertext. */
  #revealSignatures(): void {
    for (const ciphertext of [...this.#pending].filter((each) => each.place === 'security')) {
      const hidden = this.#decipher(ciphertext)
      if (!hidden.nodes.some((each) => each instanceof Element && each.is(NS.ds, 'Signature'))) continue
      this.#pending.delete(ciphertext)
      this.#put(ciphertext, hidden)
    }
  }

  #reveal(ciphertext: Ciphertext): void { this.#put(ciphertext, this.#decipher(ciphertext)) }

  /** Each once: what was looked at for a signature is not decrypted again. */
  #decipher(ciphertext: Ciphertext): Revealed {
    const { keyReference, owner } = ciphertext
    const known = this.#deciphered.get(ciphertext)
    if (known !== undefined) return known
    const resolved = keyReference !== undefined ? this.#references.resolve(keyReference) : this.#references.ofEncryptedKey(owner as Element)
    if (resolved.kind !== 'secret') throw failed('ERR_WSS_KEY_KIND', 'content that is encrypted with a certificate')
    const candidates = resolved.candidates()
    // Before it is decrypted: whoever signs may not have read to him what was encrypted for others.
    if (this.#primary !== undefined && candidates.some((each) => !isOfSigner(each.signer, this.#primary?.signer))) throw otherKey()
    const revealed = reveal(ciphertext, candidates, this.#policy)
    this.#deciphered.set(ciphertext, revealed)
    this.#decryptedBy.push(revealed.key.signer)
    return revealed
  }

  #put(ciphertext: Ciphertext, { nodes, ids }: Revealed): void {
    const { element, place } = ciphertext
    for (const [id, revealed] of ids) {
      // The ids of what was replaced stay taken: nothing takes the place of something that a reference has named.
      if (this.#ids.has(id)) throw failed('ERR_WSS_DUPLICATE_ID', 'an id in encrypted content that stands outside of it too')
      this.#ids.set(id, revealed)
    }
    const replaced = place === 'header' ? (element.parent as Element) : element
    const parent = replaced.parent as Element
    graft(parent, replaced, nodes)
    const [first] = nodes.filter((each) => each instanceof Element)
    if (first !== undefined) this.#inherit(replaced, first)
    this.#note(ciphertext, parent, nodes.filter((each) => each instanceof Element))
  }

  /** What came out of something signed as ciphertext is as covered as that was, and stands where it stood. */
  #inherit(replaced: Element, revealed: Element): void {
    this.#positions.set(revealed, this.#positions.get(replaced) ?? 0)
    for (const { covered } of this.#verified) if (covered.has(replaced)) covered.add(revealed)
  }

  #note({ place, type }: Ciphertext, parent: Element, revealed: readonly Element[]): void {
    const names = revealed.map((each) => each.local).join('+')
    if (type === 'content') this.#encrypted.add(parent.qname)
    else for (const each of revealed) this.#encrypted.add(each.qname)
    this.#encryptedParts.push(`${type === 'content' ? '' : 'element in '}${parent.local}${names === '' ? '' : `:${names}`}`)
    if (place === 'body') this.#bodyWasEncrypted = true
    if (place === 'header') this.#headersRevealed = true
  }

  /** A header that was encrypted obeys the rules of one that was not. */
  #checkHeadersAgain(): void {
    checkSingleHeaders(this.#envelope.header, this.#envelope.soap)
    if (securityOf(this.#envelope.header, this.#envelope.soap) !== this.#envelope.security) throw invalid('ERR_WSS_SHAPE', 'two Security headers for this receiver')
  }

  /** The one signature that endorses no other; every other must endorse it. */
  #findPrimary(): Verified | undefined {
    const signatures = this.#signatures()
    const targets = (verified: Verified): readonly (Element | undefined)[] => verified.signature.references.map((reference) => this.#ids.get(reference.id))
    const primary = this.#verified.find((each) => !targets(each).some((target) => target !== undefined && signatures.includes(target)))
    if (primary === undefined && this.#verified.length > 0) throw invalid('ERR_WSS_STRUCTURE', 'no signature that the others endorse')
    for (const each of this.#verified) {
      if (each !== primary && !targets(each).includes(primary?.signature.element)) throw invalid('ERR_WSS_STRUCTURE', 'a signature beside the primary one that does not endorse it')
    }
    if (primary?.otherSecret === true) throw badMac()
    return primary
  }

  #checkSigners(primary: Verified | undefined, endorsing: readonly Verified[]): void {
    const wanted = this.#policy.signer
    const kind = primary?.signer.kind
    if (wanted === 'context' && kind !== 'context') throw failed('ERR_WSS_SIGNER', 'the message is not signed by a security context')
    if (wanted === 'bootstrap' && kind === 'context') throw failed('ERR_WSS_SIGNER', 'the message is not signed by a bootstrap credential')
    if (endorsing.some((each) => each.otherSecret && each.signer.kind !== 'context')) throw badMac()
    // Once more, for what was decrypted before it was known who signs.
    if (this.#decryptedBy.some((each) => !isOfSigner(each, primary?.signer))) throw otherKey()
  }

  #checkCoverage(primary: Verified | undefined): void {
    const { header, soap, body, security } = this.#envelope
    const { level, encryptBody } = this.#policy
    const covered = primary?.covered ?? new Set<Element>()
    const required = MUST_COVER[level]
    const uncovered = (header?.elements() ?? []).some((each) => isForUs(each, soap) && required.header(each) && !covered.has(each))
    if (uncovered || (required.body && !covered.has(body))) throw failed('ERR_WSS_COVERAGE', 'a part that must be signed is not')
    if (level !== 'transport' && this.#timestamp === undefined) throw invalid('ERR_WSS_TIMESTAMP', 'the message has no Timestamp')
    // A signature under TLS that leaves out the Timestamp could be that of any other message.
    if (primary !== undefined && (this.#timestamp === undefined || !covered.has(this.#timestamp))) throw failed('ERR_WSS_COVERAGE', 'the Timestamp is not signed')
    // WS-SecurityPolicy 1.2 §8.3: under TLS a context signs the Timestamp. What it signed more of was made to protect itself, and anybody may have seen
    // it: under TLS, where the rest need not be signed, its signature would be taken for that of a message of his own.
    if (level === 'transport' && primary?.signer.kind === 'context' && [...covered].some((each) => !isInside(each, security))) throw failed('ERR_WSS_COVERAGE', 'a signature over the message itself, where TLS protects it')
    if (encryptBody && !this.#bodyWasEncrypted) throw failed('ERR_WSS_NOT_ENCRYPTED', 'the Body is not encrypted')
  }

  #freshness(): Opened['timestamp'] {
    if (this.#timestamp === undefined) return undefined
    const { created, expires } = readTimestamp(this.#timestamp)
    const { skewMs, lifeMs } = this.#policy
    // The sender's Expires shortens a message's life and never lengthens it.
    const until = Math.min(expires, created + lifeMs) + skewMs
    if (created > this.#now + skewMs || this.#now >= until) throw new SecurityFailure('ERR_WSS_TIMESTAMP', 'the message is stale, or from the future', FAULTS.messageExpired)
    return { created, expires: until }
  }

  #user(primary: Verified | undefined): UserClaim | undefined {
    const token = optional(this.#envelope.security, NS.wsse, 'UsernameToken')
    if (token === undefined) return undefined
    if (this.#policy.level !== 'transport' && primary?.covered.has(token) !== true) throw failed('ERR_WSS_COVERAGE', 'the user\'s token is not signed')
    return userClaim(token, this.#keys)
  }

  #confirmations(primary: Verified | undefined): readonly string[] {
    // WSS 1.1 §7: a confirmation that is not signed, or under TLS, confirms nothing.
    const isUnderTls = this.#policy.level === 'transport'
    return this.#envelope.security.all(NS.wsse11, 'SignatureConfirmation').filter((each) => isUnderTls || primary?.covered.has(each)).map(confirmationOf)
  }
}

const badMac = (): SecurityFailure => failed('ERR_WSS_MAC', 'the signature value is wrong')
const badDigest = (): SecurityFailure => failed('ERR_WSS_DIGEST', 'a digest is wrong')

function isInside(element: Element, outer: Element): boolean {
  for (let at: Element | undefined = element; at !== undefined; at = at.parent) if (at === outer) return true
  return false
}

/** What each level asks for, beside the Timestamp. RSP R0560, D9: every element that names a sequence is covered. */
const MUST_COVER: Readonly<Record<Level, { readonly header: (header: Element) => boolean; readonly body: boolean }>> = {
  headers: { header: isProtocol, body: true },
  body: { header: isReliable, body: true },
  transport: { header: () => false, body: false },
}

/** WSS 1.0 §10, BSP: UTC, up to nine digits behind the second, one instant and no other. */
const INSTANT = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?Z$/
function readTimestamp(timestamp: Element): { readonly created: number; readonly expires: number } {
  const [from, to] = exactlyTimestamp(timestamp)
  const created = instant(from)
  const expires = instant(to)
  if (created === undefined || expires === undefined || expires <= created) throw invalid('ERR_WSS_TIMESTAMP', 'a Timestamp that says no time')
  return { created, expires }
}
function exactlyTimestamp(timestamp: Element): readonly [Element, Element] {
  try {
    const [created, expires] = exactly(timestamp, NS.wsu, 'Created', 'Expires') as [Element, Element]
    return [created, expires]
  } catch (cause) {
    throw new SecurityFailure('ERR_WSS_TIMESTAMP', 'a Timestamp without Created or Expires', FAULTS.invalidSecurity, { cause })
  }
}
function instant(element: Element): number | undefined {
  const text = trimmed(element)
  const parts = INSTANT.exec(text)
  if (parts === null) return undefined
  const ms = Date.parse(`${text.slice(0, 19)}.${(parts[7] ?? '').padEnd(3, '0').slice(0, 3)}Z`)
  // 24:00:00 and February 30 are other instants than they say.
  return Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(text.slice(0, 19)) ? undefined : ms
}

function userClaim(token: Element, keys: Keys): UserClaim {
  const name = trimmed(only(token, NS.wsse, 'Username'))
  const password = optional(token, NS.wsse, 'Password')
  if (name === '' || name.length > 256) throw invalid('ERR_WSS_TOKEN', 'a UsernameToken without a name')
  if (password === undefined) return { name, checked: false }
  const type = password.attribute('Type') ?? TOKEN.passwordText
  const wrong = new SecurityFailure('ERR_WSS_PASSWORD', 'no such user, or another password', FAULTS.failedAuthentication)
  const expected = keys.password?.(name)
  if (keys.password !== undefined && expected === undefined) throw wrong
  if (type === TOKEN.passwordText) {
    const given = textOf(password)
    if (expected === undefined) return { name, password: given, checked: false }
    if (!equal(digest('sha256', given), digest('sha256', expected))) throw wrong
    return { name, password: given, checked: true }
  }
  if (type !== TOKEN.passwordDigest) throw invalid('ERR_WSS_TOKEN', 'a kind of password that is not accepted here')
  if (expected === undefined) return { name, checked: false }
  const nonce = optional(token, NS.wsse, 'Nonce')
  const created = optional(token, NS.wsu, 'Created')
  // UsernameToken Profile 1.0 §3.1: without nonce and time a digest could be used for ever.
  if (nonce === undefined || created === undefined) throw invalid('ERR_WSS_TOKEN', 'a password digest without Nonce or Created')
  if (!equal(passwordDigest(base64Of(nonce), trimmed(created), expected), base64Of(password))) throw wrong
  return { name, checked: true }
}


