/**
 * From a SecurityTokenReference to the key that it means: security contexts by identifier and instance, derived keys, EncryptedKeys
 * of this message and of earlier ones, certificates by every name that is in use. All resolving goes through here, all limits of
 * derivation stand here, and each step takes only the kinds of token that it may: no chain, no circle.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { ownsCertificate, readCertificate, sameIssuer } from '../crypto/certificate.ts'
import { decryptKey, unwrapKey } from '../crypto/cipher.ts'
import { deriveKey } from '../crypto/derive.ts'
import { digest } from '../crypto/hash.ts'
import { FAULTS, SecurityFailure } from '../errors.ts'
import type { ContextSecret } from '../sct/token.ts'
import { DIGESTS, KEY_TRANSPORTS, KEY_WRAPS, MASK_FUNCTIONS } from '../spec/algorithms.ts'
import { NS, SC_VERSIONS, TOKEN } from '../spec/versions.ts'
import type { Element } from '../xml/tree.ts'
import type { Certificate, Keys, Policy, Signer } from './keys.ts'
import { algorithm, base64, base64Of, exactly, failed, invalid, nothingBut, only, optional, textOf, trimmed, unsigned, unsupported } from './shape.ts'
import { keyReferenceOf } from './signature.ts'

/** One key that a reference may mean, and whose it is. */
export interface Candidate { readonly signer: Signer; readonly key: KeyObject; /** Tells `settle` which secret was right. */ readonly secret?: ContextSecret }
/**
 * What a reference means. A secret has several candidates only where it names a context without saying which instance;
 * `others` are the remaining secrets of that context.
 */
export type Resolved =
  | { readonly kind: 'certificate'; readonly certificate: Certificate; /** The token in this message, if it is in it. */ readonly token: Element | undefined }
  | { readonly kind: 'secret'; candidates(): readonly Candidate[]; others(): readonly Candidate[]; readonly token: Element | undefined }

/** Kinds of token that a reference may lead to. */
type Kind = 'context' | 'derived' | 'encrypted-key' | 'certificate'
/** From a signature or ciphertext; from a derived key (chain of 1, D23); from a wrapped key; from a derived key that unwraps. */
const FROM_KEY_INFO: ReadonlySet<Kind> = new Set(['context', 'derived', 'encrypted-key', 'certificate'])
const FROM_DERIVED: ReadonlySet<Kind> = new Set(['context', 'encrypted-key'])
const FROM_ENCRYPTED_KEY: ReadonlySet<Kind> = new Set(['context', 'derived', 'certificate'])
const CONTEXT_ALONE: ReadonlySet<Kind> = new Set(['context'])

interface DerivedKey { readonly reference: Element; readonly offset: number; readonly length: number; readonly label: string | undefined; readonly nonce: Uint8Array }
interface Unwrapped { readonly sha1: string; readonly key: KeyObject }

/** More tokens than these in one header have no purpose (the fullest recorded message has two certificates). */
const MOST_CERTIFICATES = 4
const LONGEST_LABEL = 128
const LONGEST_OAEP_LABEL = 128
const DEFAULT_LENGTH = 32

export class References {
  readonly #security: Element
  readonly #element: (id: string) => Element | undefined
  readonly #keys: Keys
  readonly #policy: Policy
  readonly #now: number
  readonly #derived: ReadonlyMap<Element, DerivedKey>
  readonly #contexts = new Map<string, readonly ContextSecret[]>()
  readonly #settled = new Map<string, ContextSecret>()
  readonly #unwrapped = new Map<Element, Unwrapped>()
  readonly #certificates = new Map<Element, Certificate>()

  /** Reads every derived key before any is derived. @throws {SecurityFailure} ERR_WSS_DERIVATION, ERR_WSS_LIMIT */
  constructor(security: Element, element: (id: string) => Element | undefined, keys: Keys, policy: Policy, now: number) {
    this.#security = security
    this.#element = element
    this.#keys = keys
    this.#policy = policy
    this.#now = now
    const tokens = security.elements()
    const derived = tokens.filter((each) => SC_VERSIONS.has(each.ns) && each.local === 'DerivedKeyToken')
    if (derived.length > policy.limits.derivedKeys) throw limit('derived keys')
    if (tokens.filter((each) => each.is(NS.xenc, 'EncryptedKey')).length > policy.limits.encryptedKeys) throw limit('EncryptedKeys')
    if (tokens.filter((each) => each.is(NS.wsse, 'BinarySecurityToken')).length > MOST_CERTIFICATES) throw limit('certificates')
    this.#derived = new Map(derived.map((each) => [each, readDerivedKey(each, policy)]))
  }

  /** Keys of the EncryptedKeys that were opened, by their SHA-1 names. */
  get encryptedKeys(): ReadonlyMap<string, KeyObject> { return new Map([...this.#unwrapped.values()].map(({ sha1, key }) => [sha1, key])) }

  /** From now on this is the instance that is meant where this message names the context without one. */
  settle({ signer, secret }: Candidate): void {
    if (signer.kind === 'context' && secret !== undefined) this.#settled.set(signer.identifier, secret)
  }

  /** What the SecurityTokenReference of a KeyInfo means. @throws {SecurityFailure} */
  resolve(reference: Element): Resolved { return this.#reference(reference, FROM_KEY_INFO) }

  /** The key of an EncryptedKey in this message, for ciphertexts that it lists without saying more. */
  ofEncryptedKey(element: Element): Resolved { return this.#encryptedKey(element) }

  /** The certificate token of this message that a reference names, or the certificate itself: for STR-Transform. */
  tokenOf(reference: Element): { readonly token: Element } | { readonly certificate: Certificate } {
    const resolved = this.#reference(reference, FROM_KEY_INFO)
    if (resolved.token !== undefined) return { token: resolved.token }
    if (resolved.kind === 'certificate') return { certificate: resolved.certificate }
    throw failed('ERR_WSS_REFERENCE', 'STR-Transform of a token that is not in the message')
  }

  #reference(reference: Element, allowed: ReadonlySet<Kind>): Resolved {
    const children = reference.elements()
    const [child] = children
    if (child === undefined || children.length > 1) throw invalid('ERR_WSS_REFERENCE', 'a token reference that names none, or several')
    const implied = impliedKey(reference, this.#policy)
    if (implied === undefined) return this.#named(child, allowed)
    if (!allowed.has('derived')) throw derivationSource()
    return derivedFrom(this.#named(child, FROM_DERIVED), implied, undefined)
  }

  #named(child: Element, allowed: ReadonlySet<Kind>): Resolved {
    if (child.is(NS.wsse, 'Reference')) return this.#direct(child, allowed)
    if (child.is(NS.wsse, 'KeyIdentifier')) return this.#identified(child, allowed)
    if (child.is(NS.wsse, 'Embedded')) return this.#embedded(child, allowed)
    if (child.is(NS.ds, 'X509Data')) {
      mustAllow(allowed, 'certificate')
      return this.#issued(child)
    }
    throw invalid('ERR_WSS_REFERENCE', 'a kind of token reference that is not accepted here')
  }

  #direct(reference: Element, allowed: ReadonlySet<Kind>): Resolved {
    const uri = reference.attribute('URI') ?? ''
    const instance = instanceOf(reference)
    if (!uri.startsWith('#')) {
      // WS-SC 1.3 §8: outside of the message that carries it, a context is named by its identifier.
      const type = reference.attribute('ValueType')
      // Peer CXF 4: no ValueType after a renewal.
      if (type !== undefined && ![...SC_VERSIONS.values()].some((row) => row.sct === type)) throw failed('ERR_WSS_REFERENCE', 'a reference to something outside of the message that is no security context')
      mustAllow(allowed, 'context')
      return this.#context(uri, instance, undefined)
    }
    const token = this.#element(uri.slice(1))
    // Where the token stands matters: an element of that id anywhere else in the message is not believed.
    if (token === undefined || token.parent !== this.#security) throw failed('ERR_WSS_REFERENCE', 'a reference to a token that is not in the Security header')
    return this.#token(token, instance, allowed)
  }

  #token(token: Element, instance: string | undefined, allowed: ReadonlySet<Kind>): Resolved {
    if (SC_VERSIONS.has(token.ns) && token.local === 'SecurityContextToken') {
      mustAllow(allowed, 'context')
      const own = readContextToken(token)
      if (instance !== undefined && own.instance !== undefined && instance !== own.instance) throw invalid('ERR_WSS_REFERENCE', 'a reference to another instance than that of the token')
      return this.#context(own.identifier, own.instance ?? instance, token)
    }
    const derived = this.#derived.get(token)
    if (derived !== undefined) {
      mustAllow(allowed, 'derived')
      const source = this.#reference(derived.reference, allowed === FROM_ENCRYPTED_KEY ? CONTEXT_ALONE : FROM_DERIVED)
      return derivedFrom(source, derived, token)
    }
    if (token.is(NS.xenc, 'EncryptedKey')) {
      mustAllow(allowed, 'encrypted-key')
      return this.#encryptedKey(token)
    }
    if (token.is(NS.wsse, 'BinarySecurityToken')) {
      mustAllow(allowed, 'certificate')
      return { kind: 'certificate', certificate: this.#certificate(token), token }
    }
    throw failed('ERR_WSS_REFERENCE', 'a reference to something that is no token')
  }

  #context(identifier: string, instance: string | undefined, token: Element | undefined): Resolved {
    if (identifier === '' || identifier.length > this.#policy.limits.identifierLength) throw unknownContext()
    const all = this.#secrets(identifier)
    const known = all.filter((each) => each.endorsesOnly !== true)
    const live = known.filter((each) => each.expires === undefined || this.#now < each.expires)
    const named = instance === undefined ? known : known.filter((each) => each.instance === instance)
    if (named.length === 0) throw unknownContext()
    const believed = named.filter((each) => live.includes(each))
    if (believed.length === 0) throw new SecurityFailure('ERR_WSC_EXPIRED', 'the context has expired', FAULTS.renewNeeded)
    const candidate = (secret: ContextSecret): Candidate => ({ signer: { kind: 'context', identifier, instance: secret.instance }, key: secret.secret, secret })
    const meant = (): readonly ContextSecret[] => {
      const settled = this.#settled.get(identifier)
      if (instance !== undefined) return believed
      if (settled !== undefined) return [settled]
      // WS-SC 1.3 §5: by the letter the key that never had a name; then the newest.
      return [...believed.filter((each) => each.instance === undefined), ...believed.filter((each) => each.instance !== undefined).reverse()]
    }
    return {
      kind: 'secret', token,
      candidates: () => meant().map(candidate),
      others: () => all.filter((each) => each.endorsesOnly === true || (live.includes(each) && !meant().includes(each))).map(candidate),
    }
  }

  #secrets(identifier: string): readonly ContextSecret[] {
    const known = this.#contexts.get(identifier) ?? this.#keys.contexts(identifier)
    this.#contexts.set(identifier, known)
    return known
  }

  #identified(identifier: Element, allowed: ReadonlySet<Kind>): Resolved {
    const type = identifier.attribute('ValueType')
    const value = base64Of(identifier)
    if (type === TOKEN.encryptedKeySha1) {
      mustAllow(allowed, 'encrypted-key')
      return this.#earlierKey(value.toString('base64'))
    }
    mustAllow(allowed, 'certificate')
    if (type === TOKEN.thumbprintSha1) return this.#knownCertificate((each) => each.sha1 === value.toString('hex'))
    if (type === TOKEN.subjectKeyIdentifier) return this.#knownCertificate((each) => each.ski === value.toString('base64'))
    throw invalid('ERR_WSS_REFERENCE', 'a kind of KeyIdentifier that is not accepted here')
  }

  #embedded(embedded: Element, allowed: ReadonlySet<Kind>): Resolved {
    mustAllow(allowed, 'certificate')
    const [token] = exactly(embedded, NS.wsse, 'BinarySecurityToken') as [Element]
    return { kind: 'certificate', certificate: this.#certificate(token), token }
  }

  #issued(data: Element): Resolved {
    const [issued] = exactly(data, NS.ds, 'X509IssuerSerial') as [Element]
    const [name, number] = exactly(issued, NS.ds, 'X509IssuerName', 'X509SerialNumber') as [Element, Element]
    const issuer = trimmed(name)
    const serial = trimmed(number)
    if (issuer.length > 1_024 || !/^[0-9]{1,64}$/.test(serial)) throw invalid('ERR_WSS_REFERENCE', 'a certificate by a name that is none')
    const plain = serial.replace(/^0+(?=.)/, '')
    return this.#knownCertificate((each) => each.serial === plain && sameIssuer(each.issuer, issuer))
  }

  /** Among the certificates that the caller gave, then among those in this message: who is trusted is decided later (D24). */
  #knownCertificate(matches: (certificate: Certificate) => boolean): Resolved {
    const known = this.#keys.certificates.find(matches)
    if (known !== undefined) return { kind: 'certificate', certificate: known, token: undefined }
    for (const token of this.#security.all(NS.wsse, 'BinarySecurityToken')) {
      const certificate = this.#certificate(token)
      if (matches(certificate)) return { kind: 'certificate', certificate, token }
    }
    throw failed('ERR_WSS_UNKNOWN_CERTIFICATE', 'a certificate that is not known here')
  }

  #certificate(token: Element): Certificate {
    const read = this.#certificates.get(token)
    if (read !== undefined) return read
    const encoding = token.attribute('EncodingType')
    if (token.attribute('ValueType') !== TOKEN.x509v3 || (encoding !== undefined && encoding !== TOKEN.base64Binary)) throw invalid('ERR_WSS_TOKEN', 'a BinarySecurityToken that is no X.509 certificate')
    const certificate = readCertificate(base64Of(token))
    this.#certificates.set(token, certificate)
    return certificate
  }

  #earlierKey(sha1: string): Resolved {
    const inside = [...this.#unwrapped.values()].find((each) => each.sha1 === sha1)
    const key = inside?.key ?? this.#keys.encryptedKey(sha1) ?? this.#hereBySha1(sha1)
    if (key === undefined) throw failed('ERR_WSS_UNKNOWN_KEY', 'the EncryptedKey of a message that is not known here')
    return single({ kind: 'encrypted-key', sha1, key }, key, undefined)
  }
  #hereBySha1(sha1: string): KeyObject | undefined {
    for (const element of this.#security.all(NS.xenc, 'EncryptedKey')) if (sha1Name(cipherValue(element)) === sha1) return this.#unwrap(element).key
    return undefined
  }

  #encryptedKey(element: Element): Resolved {
    const method = only(element, NS.xenc, 'EncryptionMethod')
    const wrap = KEY_WRAPS.get(method.attribute('Algorithm') ?? '')
    if (wrap === undefined) {
      const { sha1, key } = this.#unwrap(element)
      return single({ kind: 'encrypted-key', sha1, key }, key, element)
    }
    // A key wrapped with a context's key stands for that context: whoever wrapped it had the secret.
    algorithm(KEY_WRAPS, wrap.uri, this.#policy.algorithms, 'EncryptedKey')
    const source = this.#reference(keyReferenceOf(only(element, NS.ds, 'KeyInfo')), FROM_ENCRYPTED_KEY)
    if (source.kind !== 'secret') throw failed('ERR_WSS_KEY_KIND', 'a wrapped key under a certificate')
    const wrapped = cipherValue(element)
    return mapped(source, (key) => unwrapKey(wrap, key, wrapped), element)
  }

  /** RSA runs once for each EncryptedKey, and only when something in the message needs it. */
  #unwrap(element: Element): Unwrapped {
    const done = this.#unwrapped.get(element)
    if (done !== undefined) return done
    // Under a context nothing needs RSA: a message that asks for it costs us a private key's work for nothing.
    if (this.#policy.signer === 'context') throw failed('ERR_WSS_KEY_KIND', 'an EncryptedKey in a message that must be protected by a context')
    nothingBut(element, [NS.xenc, 'EncryptionMethod'], [NS.ds, 'KeyInfo'], [NS.xenc, 'CipherData'], [NS.xenc, 'ReferenceList'], [NS.xenc, 'CarriedKeyName'])
    const method = only(element, NS.xenc, 'EncryptionMethod')
    const row = algorithm(KEY_TRANSPORTS, method.attribute('Algorithm'), this.#policy.algorithms, 'EncryptedKey')
    nothingBut(method, [NS.ds, 'DigestMethod'], [NS.xenc11, 'MGF'], [NS.xenc, 'OAEPparams'], [NS.xenc, 'KeySize'])
    const hash = optional(method, NS.ds, 'DigestMethod')
    const mask = optional(method, NS.xenc11, 'MGF')
    const params = optional(method, NS.xenc, 'OAEPparams')
    const digestRow = hash === undefined ? undefined : algorithm(DIGESTS, hash.attribute('Algorithm'), undefined, 'DigestMethod of RSA-OAEP')
    const mgf = mask === undefined ? undefined : MASK_FUNCTIONS.get(mask.attribute('Algorithm') ?? '')
    if (mask !== undefined && (mgf === undefined || row.fixedMgf !== undefined)) throw unsupported('MGF of RSA-OAEP')
    const label = params === undefined || textOf(params).trim() === '' ? undefined : base64Of(params)
    if (label !== undefined && label.length > LONGEST_OAEP_LABEL) throw unsupported('OAEPparams')
    const data = cipherValue(element)
    const sha1 = sha1Name(data)
    const key = this.#keys.encryptedKey(sha1) ?? decryptKey(row, this.#privateKey(optional(element, NS.ds, 'KeyInfo')), data, {
      ...(digestRow !== undefined && { digest: digestRow.hash }), ...(mgf !== undefined && { mgf }), ...(label !== undefined && { label }),
    })
    const unwrapped = { sha1, key }
    this.#unwrapped.set(element, unwrapped)
    return unwrapped
  }

  #privateKey(keyInfo: Element | undefined): KeyObject {
    const unknown = failed('ERR_WSS_UNKNOWN_CERTIFICATE', 'an EncryptedKey for somebody else')
    const [first, second] = this.#keys.privateKeys
    if (keyInfo === undefined) {
      if (first === undefined || second !== undefined) throw unknown
      return first
    }
    const resolved = this.#reference(keyReferenceOf(keyInfo), FROM_ENCRYPTED_KEY)
    if (resolved.kind !== 'certificate') throw failed('ERR_WSS_KEY_KIND', 'an EncryptedKey for RSA under a secret')
    const key = this.#keys.privateKeys.find((each) => ownsCertificate(each, resolved.certificate))
    if (key === undefined) throw unknown
    return key
  }
}

const sha1Name = (data: Uint8Array): string => digest('sha1', data).toString('base64')
/** XML Encryption 1.1 §3.3: CipherValue; a CipherReference is never followed. */
export function cipherValue(encrypted: Element): Buffer {
  const [value] = exactly(only(encrypted, NS.xenc, 'CipherData'), NS.xenc, 'CipherValue') as [Element]
  return base64Of(value)
}

const limit = (what: string): SecurityFailure => invalid('ERR_WSS_LIMIT', `more ${what} than are accepted in one message`)
const unknownContext = (): SecurityFailure => new SecurityFailure('ERR_WSS_UNKNOWN_CONTEXT', 'a security context that is not known here', FAULTS.badContextToken)
const derivationSource = (): SecurityFailure => new SecurityFailure('ERR_WSS_DERIVATION_SOURCE', 'a key may not be derived from this', FAULTS.unknownDerivationSource)

function mustAllow(allowed: ReadonlySet<Kind>, kind: Kind): void {
  if (allowed.has(kind)) return
  if (allowed === FROM_DERIVED || allowed === CONTEXT_ALONE) throw derivationSource()
  throw failed('ERR_WSS_REFERENCE', `a reference to a ${kind} where none may stand`)
}

const single = (signer: Signer, key: KeyObject, token: Element | undefined): Resolved =>
  ({ kind: 'secret', token, candidates: () => [{ signer, key }], others: () => [] })

/** The same owners with keys made from theirs; each is made once. */
function mapped(source: Resolved & { readonly kind: 'secret' }, make: (key: KeyObject) => KeyObject, token: Element | undefined): Resolved {
  const made = new Map<KeyObject, KeyObject>()
  const map = (candidate: Candidate): Candidate => {
    const key = made.get(candidate.key) ?? make(candidate.key)
    made.set(candidate.key, key)
    return { ...candidate, key }
  }
  return { kind: 'secret', token, candidates: () => source.candidates().map(map), others: () => source.others().map(map) }
}
function derivedFrom(source: Resolved, { nonce, label, offset, length }: Omit<DerivedKey, 'reference'>, token: Element | undefined): Resolved {
  if (source.kind !== 'secret') throw derivationSource()
  return mapped(source, (secret) => deriveKey({ secret, nonce, label, offset, length }), token)
}

/** WS-SC 1.3 §2: Identifier, and Instance when the key has a name. Other children say nothing to us. */
function readContextToken(token: Element): { readonly identifier: string; readonly instance: string | undefined } {
  const instance = optional(token, token.ns, 'Instance')
  return { identifier: trimmed(only(token, token.ns, 'Identifier')), instance: instance === undefined ? undefined : trimmed(instance) }
}
/** WS-SC 1.3 §8: the instance of an external reference stands on it, in the namespace of WS-SC. */
function instanceOf(reference: Element): string | undefined {
  return reference.attributes.find((each) => each.local === 'Instance' && SC_VERSIONS.has(each.ns))?.value
}

/** WS-SC 1.3 §7, within the limits of D23, before anything is derived. */
function readDerivedKey(token: Element, { limits }: Policy): DerivedKey {
  const { ns } = token
  nothingBut(token, [NS.wsse, 'SecurityTokenReference'], [ns, 'Generation'], [ns, 'Offset'], [ns, 'Length'], [ns, 'Label'], [ns, 'Nonce'])
  const named = token.attributes.filter((each) => each.local === 'Algorithm' && (each.ns === '' || SC_VERSIONS.has(each.ns)))
  // Peer CXF 4 reads and writes the attribute in the namespace of WS-SC, others without one.
  if (named.some((each) => ![...SC_VERSIONS.values()].some((row) => row.pSha1 === each.value))) throw unsupported('DerivedKeyToken')
  const reference = optional(token, NS.wsse, 'SecurityTokenReference')
  if (reference === undefined) throw derivationSource()
  const length = numberOf(optional(token, ns, 'Length')) ?? DEFAULT_LENGTH
  const generation = numberOf(optional(token, ns, 'Generation'))
  const offset = numberOf(optional(token, ns, 'Offset'))
  // WS-SC 1.3 §7: one or the other.
  if (generation !== undefined && offset !== undefined) throw invalid('ERR_WSS_DERIVATION', 'a derived key with both Generation and Offset')
  const label = optional(token, ns, 'Label')
  const text = label === undefined ? undefined : textOf(label)
  // An empty Label is the default to some and no octets to others: nobody can be meant by it.
  if (text !== undefined && (text === '' || text.length > LONGEST_LABEL)) throw invalid('ERR_WSS_DERIVATION', 'a derived key with a Label that is empty or too long')
  const nonce = optional(token, ns, 'Nonce')
  if (nonce === undefined) throw invalid('ERR_WSS_DERIVATION', 'a derived key without Nonce')
  const start = generation === undefined ? (offset ?? 0) : generation * length
  return { reference, label: text, ...within(start, length, base64Of(nonce), limits) }
}
const numberOf = (element: Element | undefined): number | undefined => (element === undefined ? undefined : unsigned(element))

function within(offset: number, length: number, nonce: Uint8Array, limits: Policy['limits']): { readonly offset: number; readonly length: number; readonly nonce: Uint8Array } {
  const [shortest, longest] = limits.derivedKeyBytes
  const [least, most] = limits.nonceBytes
  if (length < shortest || length > longest || !Number.isSafeInteger(offset) || offset + length > limits.derivationBytes) throw invalid('ERR_WSS_DERIVATION', 'a derived key that is too short, too long or too far out')
  if (nonce.length < least || nonce.length > most) throw invalid('ERR_WSS_DERIVATION', 'a derived key with a Nonce that is too short or too long')
  return { offset, length, nonce }
}

/** WS-SC 1.3 §7.3: Nonce and Length on the reference itself; the default label from the beginning. */
function impliedKey(reference: Element, { limits }: Policy): Omit<DerivedKey, 'reference'> | undefined {
  const own = reference.attributes.filter((each) => SC_VERSIONS.has(each.ns) && (each.local === 'Nonce' || each.local === 'Length'))
  if (own.length === 0) return undefined
  const nonces = own.filter((each) => each.local === 'Nonce')
  const lengths = own.filter((each) => each.local === 'Length')
  const [nonce] = nonces
  if (nonce === undefined || nonces.length > 1 || lengths.length > 1) throw invalid('ERR_WSS_DERIVATION', 'an implied derived key without Nonce, or with two')
  const written = lengths[0]?.value.trim()
  if (written !== undefined && !/^\+?[0-9]{1,9}$/.test(written)) throw invalid('ERR_WSS_DERIVATION', 'Length is no number of a size that is accepted')
  return { label: undefined, ...within(0, written === undefined ? DEFAULT_LENGTH : Number(written), base64(nonce.value, 'Nonce'), limits) }
}
