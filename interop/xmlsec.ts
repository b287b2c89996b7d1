/**
 * Signatures verified by xmlsec1, many messages by one process. xmlsec1 derives no keys of WS-SecureConversation and looks up no
 * certificate by thumbprint, so the keys are worked out here (with node:crypto, not with the library) and named in each KeyInfo;
 * what is encrypted is decrypted here first, since the signatures are over the plain text.
 *
 * @module
 */
import { execFile } from 'node:child_process'
import { createDecipheriv, createHash, createHmac, privateDecrypt, createPrivateKey } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyFile } from '../src/decode.ts'
import { DEFAULT_LIMITS, type Profile } from '../src/index.ts'
import { ENCRYPTED_ELEMENT } from '../src/spec/algorithms.ts'
import { NS } from '../src/spec/versions.ts'
import { readElement } from '../src/xml/reader.ts'
import type { Element } from '../src/xml/tree.ts'
import type { Role } from './cells.ts'
import { CLIENT, SERVICE } from './ours.ts'

export interface Verification {
  readonly keys: KeyFile
  /** Messages of the other side whose EncryptedKeys ours may refer to. */
  readonly learn: readonly Uint8Array[]
  /** Whose messages they are. */
  readonly role: Role
  /** What was encrypted before it was signed is verified as it stands. */
  readonly order: Profile['order']
  /** Whichever key of a context endorses its renewals is named as the one in use. */
  readonly renewalKey: Profile['renewalKey']
}

/** Verifies every Signature of every message; what is wrong, in words. */
export async function verifyAll(messages: readonly Uint8Array[], { keys: keyFile, learn, role, order, renewalKey }: Verification): Promise<readonly string[]> {
  const ring = new Ring(keyFile, renewalKey)
  for (const bytes of learn) ring.learn(Buffer.from(bytes).toString('utf8'))
  const wrong: string[] = []
  const folder = mkdtempSync(join(tmpdir(), 'wsrm-xmlsec-'))
  try {
    /** By how many-th Signature of its message is verified: xmlsec1 is told once a run which. */
    const runs = new Map<number, string[]>()
    for (const [index, bytes] of messages.entries()) {
      try {
        const xml = ring.decrypted(Buffer.from(bytes).toString('utf8'), order)
        for (const [nth, named] of ring.named(xml, index).entries()) {
          const file = join(folder, `${String(index + 1).padStart(4, '0')}-${nth + 1}.xml`)
          writeFileSync(file, named)
          runs.set(nth, [...runs.get(nth) ?? [], file])
        }
      } catch (error) {
        wrong.push(`message ${index + 1} for xmlsec1: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    const keys = join(folder, 'keys.xml')
    writeFileSync(keys, ring.file)
    const certificate = join(folder, 'certificate.pem')
    writeFileSync(certificate, (role === 'client' ? CLIENT : SERVICE).certificate)
    for (const [nth, files] of runs) wrong.push(...await verify(files, nth, [`--keys-file`, keys, '--pubkey-cert-pem:own', certificate]))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return wrong
}

async function verify(files: readonly string[], nth: number, keys: readonly string[]): Promise<readonly string[]> {
  const which = ['--node-xpath', `(//*[local-name()='Signature' and local-name(..)='Security'])[${nth + 1}]`]
  // One file after the other, until one fails.
  const { said } = await new Promise<{ readonly said: string }>((resolve) => {
    execFile('xmlsec1', ['--verify', ...keys, ...which, ...IDS, ...files], { maxBuffer: 64 << 20 }, (error, stdout, stderr) => resolve({ said: `${error === null ? '' : error.code === 'ENOENT' ? 'xmlsec1 is missing\n' : ''}${stdout}${stderr}` }))
  })
  const good = said.match(/^OK$/gm)?.length ?? 0
  return good === files.length ? [] : [`xmlsec1 verifies ${good} of ${files.length} signatures (number ${nth + 1} of each message): ${said.replaceAll(/^(?:OK|SignedInfo References.*|Manifests References.*)\n/gm, '').slice(0, 2_000)}`]
}

/** Which elements have ids. */
const IDS: readonly string[] = [
  ...['http://www.w3.org/2003/05/soap-envelope', 'http://schemas.xmlsoap.org/soap/envelope/'].map((ns) => `${ns}:Body`),
  ...['http://www.w3.org/2005/08/addressing', 'http://schemas.xmlsoap.org/ws/2004/08/addressing'].flatMap((ns) => ['Action', 'To', 'From', 'MessageID', 'RelatesTo', 'ReplyTo', 'FaultTo'].map((local) => `${ns}:${local}`)),
  ...['http://docs.oasis-open.org/ws-rx/wsrm/200702', 'http://schemas.xmlsoap.org/ws/2005/02/rm'].flatMap((ns) => ['Sequence', 'SequenceAcknowledgement', 'AckRequested', 'UsesSequenceSTR', 'UsesSequenceSSL', 'SequenceFault'].map((local) => `${ns}:${local}`)),
  ...['Timestamp'].map((local) => `${NS.wsu}:${local}`), ...['BinarySecurityToken', 'UsernameToken', 'SecurityTokenReference'].map((local) => `${NS.wsse}:${local}`),
  `${NS.wsse11}:SignatureConfirmation`, `${NS.ds}:Signature`, `${NS.xenc}:EncryptedData`, `${NS.xenc}:EncryptedKey`, `${NS.wsmc}:MessagePending`,
  ...['http://docs.oasis-open.org/ws-sx/ws-secureconversation/200512', 'http://schemas.xmlsoap.org/ws/2005/02/sc'].flatMap((ns) => ['SecurityContextToken', 'DerivedKeyToken'].map((local) => `${ns}:${local}`)),
].flatMap((name) => ['--id-attr:Id', name])

/** The keys that messages name, worked out. */
class Ring {
  readonly #contexts: NonNullable<KeyFile['contexts']>
  readonly #private: readonly string[]
  readonly #renewalKey: Profile['renewalKey']
  /** Of EncryptedKeys, by the SHA-1 of what they hold encrypted. */
  readonly #learned = new Map<string, Buffer>()
  readonly #named: string[] = []

  constructor({ contexts = [], privateKeys = [] }: KeyFile, renewalKey: Profile['renewalKey']) {
    this.#contexts = contexts
    this.#renewalKey = renewalKey
    this.#private = privateKeys
  }

  /** What xmlsec1 calls a keys file. */
  get file(): string { return `<Keys xmlns="http://www.aleksey.com/xmlsec/2002">${this.#named.join('')}</Keys>` }

  /** The EncryptedKeys of a message of the other side. */
  learn(xml: string): void {
    for (const each of all(readElement(xml, DEFAULT_LIMITS))) if (each.is(NS.xenc, 'EncryptedKey')) this.#unwrap(each)
  }

  /** What is to be verified in clear: all that was encrypted after it was signed. From the end, so that what stands before stays where it is. */
  decrypted(xml: string, order: Profile['order']): string {
    const root = readElement(xml, DEFAULT_LIMITS)
    for (const data of all(root).filter((each) => each.is(NS.xenc, 'EncryptedData')).reverse()) {
      const key = this.#keyOf(data.first(NS.ds, 'KeyInfo')?.elements()[0] ?? referrer(root, data), root)
      const cipher = data.first(NS.xenc, 'CipherData')?.first(NS.xenc, 'CipherValue')?.text ?? ''
      const clear = plain(key, data.first(NS.xenc, 'EncryptionMethod')?.attribute('Algorithm') ?? '', Buffer.from(cipher, 'base64'))
      // What supports the message is signed before it is encrypted in either order.
      if (order === 'sign-before-encrypt' || data.attribute('Type') === ENCRYPTED_ELEMENT) xml = xml.slice(0, data.start) + clear + xml.slice(data.end)
    }
    return xml
  }

  /** The message once for each of its signatures, with the KeyInfo of that one replaced by a key's name. */
  named(xml: string, index: number): readonly string[] {
    const root = readElement(xml, DEFAULT_LIMITS)
    const signatures = all(root).filter((each) => each.is(NS.ds, 'Signature'))
    if (signatures.length === 0) throw new Error('has no signature')
    return signatures.map((signature, nth) => {
      const info = signature.first(NS.ds, 'KeyInfo')
      const method = signature.first(NS.ds, 'SignedInfo')?.first(NS.ds, 'SignatureMethod')?.attribute('Algorithm') ?? ''
      if (info === undefined) throw new Error('has a signature without KeyInfo')
      const name = method.includes('rsa') ? 'own' : `k${index}-${nth}`
      if (name !== 'own') this.#named.push(`<KeyInfo xmlns="${NS.ds}"><KeyName>${name}</KeyName><KeyValue><HMACKeyValue xmlns="http://www.aleksey.com/xmlsec/2002">${this.#keyOf(info.elements()[0], root).toString('base64')}</HMACKeyValue></KeyValue></KeyInfo>`)
      return `${xml.slice(0, info.start)}<ds:KeyInfo xmlns:ds="${NS.ds}"><ds:KeyName>${name}</ds:KeyName></ds:KeyInfo>${xml.slice(info.end)}`
    })
  }

  #keyOf(element: Element | undefined, root: Element): Buffer {
    if (element === undefined) throw new Error('names no key')
    const { local } = element
    if (local === 'SecurityTokenReference' || local === 'KeyInfo') return this.#keyOf(element.elements()[0], root)
    if (local === 'Reference') {
      const uri = element.attribute('URI') ?? ''
      if (!uri.startsWith('#')) return this.#context(uri, element.attribute('Instance', element.attributes.find((each) => each.local === 'Instance')?.ns), root)
      return this.#keyOf(all(root).find((each) => each.attributes.some((attribute) => attribute.local === 'Id' && attribute.value === uri.slice(1))), root)
    }
    if (local === 'KeyIdentifier') {
      const key = this.#learned.get(element.text.trim())
      if (key === undefined) throw new Error('refers to an EncryptedKey that was not seen')
      return key
    }
    if (local === 'SecurityContextToken') return this.#context(element.first(element.ns, 'Identifier')?.text.trim() ?? '', element.first(element.ns, 'Instance')?.text.trim(), root)
    if (local === 'EncryptedKey') return this.#unwrap(element)
    if (local === 'DerivedKeyToken') return this.#derive(element, root)
    throw new Error(`names a key by ${local}`)
  }
  #context(identifier: string, instance: string | undefined, root: Element): Buffer {
    const known = this.#contexts.filter((each) => each.identifier === identifier)
    const isRenewal = all(root).some((each) => each.local === 'Action' && each.text.trim().endsWith('/Renew'))
    const found = isRenewal && this.#renewalKey === 'first' ? known[0] : known.find((each) => each.instance === instance) ?? known.at(-1)
    if (found === undefined) throw new Error('names a context that was not recorded')
    return Buffer.from(found.secret, 'base64')
  }
  #unwrap(element: Element): Buffer {
    const cipher = Buffer.from(element.first(NS.xenc, 'CipherData')?.first(NS.xenc, 'CipherValue')?.text ?? '', 'base64')
    for (const key of this.#private) {
      try {
        const content = privateDecrypt({ key: createPrivateKey(key), oaepHash: 'sha1' }, cipher)
        this.#learned.set(createHash('sha1').update(cipher).digest('base64'), content)
        return content
      } catch {
        // For another of them.
      }
    }
    throw new Error('has an EncryptedKey for nobody here')
  }
  /** WS-SC 1.3 §7: P_SHA-1 over label and nonce. */
  #derive(token: Element, root: Element): Buffer {
    const child = (local: string): string | undefined => token.first(token.ns, local)?.text.trim()
    const secret = this.#keyOf(token.first(NS.wsse, 'SecurityTokenReference'), root)
    const [length, offset] = [Number(child('Length') ?? 32), Number(child('Offset') ?? 0)]
    const seed = Buffer.concat([Buffer.from(child('Label') ?? 'WS-SecureConversationWS-SecureConversation'), Buffer.from(child('Nonce') ?? '', 'base64')])
    let out = Buffer.alloc(0)
    for (let link = seed; out.length < offset + length;) {
      link = createHmac('sha1', secret).update(link).digest()
      out = Buffer.concat([out, createHmac('sha1', secret).update(link).update(seed).digest()])
    }
    return out.subarray(offset, offset + length)
  }
}

const all = (element: Element): readonly Element[] => [element, ...element.elements().flatMap(all)]

/** An EncryptedData without KeyInfo: whatever has the ReferenceList that names it. */
function referrer(root: Element, data: Element): Element | undefined {
  const id = data.attribute('Id') ?? ''
  return all(root).find((each) => each.is(NS.xenc, 'EncryptedKey') && all(each).some((inner) => inner.is(NS.xenc, 'DataReference') && inner.attribute('URI') === `#${id}`))
}

function plain(key: Buffer, algorithm: string, cipher: Buffer): string {
  const bits = /aes(\d+)-/.exec(algorithm)?.[1] ?? ''
  // A longer secret that is itself the key: its first bytes encrypt.
  const cut = key.subarray(0, Number(bits) / 8)
  if (algorithm.endsWith('-gcm')) {
    const decipher = createDecipheriv(`aes-${bits}-gcm` as 'aes-256-gcm', cut, cipher.subarray(0, 12))
    decipher.setAuthTag(cipher.subarray(-16))
    return Buffer.concat([decipher.update(cipher.subarray(12, -16)), decipher.final()]).toString('utf8')
  }
  const decipher = createDecipheriv(`aes-${bits}-cbc`, cut, cipher.subarray(0, 16))
  decipher.setAutoPadding(false)
  const padded = Buffer.concat([decipher.update(cipher.subarray(16)), decipher.final()])
  return padded.subarray(0, padded.length - (padded.at(-1) ?? 0)).toString('utf8')
}
