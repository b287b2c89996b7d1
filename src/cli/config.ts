/**
 * CLIENT.json and SERVICE.json: the options of `connect` and `createService` as data. File names are relative to the config file.
 * Read strictly: a member that is not known, or that has another type, is an error that names it. Values are never quoted: some are secret.
 *
 * @module
 */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import {
  BASIC256_SHA1, certificateOverTls, type ClientBootstrap, type ClientOptions, type ConnectOptions, cxf, DEFAULT_PROFILE, type Identity, Keyring, metro, type PasswordOf, type Profile, sandesha2,
  type ServiceBootstrap, type ServiceOptions, type Store, type Trust, UsageError, usernameForCertificate, usernameOverTls, was, wcf, wcfTransport, WsrmError, x509,
} from '../index.ts'
import { WIDEST } from '../profiles/profile.ts'
import { SUITES } from '../spec/algorithms.ts'
import { openSqliteStore } from '../store/sqlite.ts'

/** PEM texts, for a recording with keys. */
export interface RecordedKeys { readonly certificates: readonly string[]; readonly privateKeys: readonly string[] }
export interface ClientConfig {
  readonly options: ClientOptions & ConnectOptions
  readonly keys: RecordedKeys
  /** Closes the store that was opened here. */
  close(): Promise<void>
}
export interface ServiceConfig {
  readonly options: Omit<ServiceOptions<DatabaseSync>, 'handle'>
  readonly listen: { readonly path?: string; readonly tls?: { readonly cert: string; readonly key: string } }
  readonly keys: RecordedKeys
  close(): Promise<void>
}

export async function readClientConfig(path: string): Promise<ClientConfig> {
  const file = await ConfigFile.read(path)
  const root = file.root(['bootstrap', 'trust', 'profile', 'name', 'store', 'keyring', 'onContextLost', 'listen', ...CLIENT_NUMBERS, ...CLIENT_FLAGS])
  const certificates: string[] = []
  const privateKeys: string[] = []
  const bootstrap = await clientBootstrap(root, { certificates, privateKeys })
  const trust = await readTrust(root.object('trust', TRUST_MEMBERS))
  const [profile] = root.has('profile') ? readProfiles(root) : [DEFAULT_PROFILE]
  const kept = await openStore(root)
  return {
    options: {
      bootstrap, trust, profile, ...kept.options, ...root.numbers(...CLIENT_NUMBERS), ...root.flags(...CLIENT_FLAGS),
      ...(root.has('name') ? { name: root.text('name') } : {}),
      ...(root.has('onContextLost') ? { onContextLost: root.choice('onContextLost', ['resume', 'report'] as const) } : {}),
      ...(root.has('listen') ? { listen: await readListen(root.object('listen', ['port', 'host', 'path', 'address', 'tls'])) } : {}),
    },
    keys: { certificates, privateKeys },
    close: kept.close,
  }
}

const CLIENT_NUMBERS = ['retransmitAfterMs', 'pollAfterMs', 'maxPending', 'maxPendingBytes'] as const
const CLIENT_FLAGS = ['offer', 'dangerResendDoubtful'] as const

/** Where a client takes what is sent to it: `{ "port": 8081, "path": "/answers", "address": "https://…" }`; port 0 is any free one. */
async function readListen(entry: Entry): Promise<NonNullable<ClientOptions['listen']>> {
  return {
    port: entry.has('port') ? entry.port('port') : 0,
    ...(entry.has('host') ? { host: entry.text('host') } : {}), ...(entry.has('path') ? { path: entry.text('path') } : {}), ...(entry.has('address') ? { address: entry.text('address') } : {}),
    ...await readTls(entry),
  }
}
async function readTls(entry: Entry): Promise<{ readonly tls?: { readonly cert: string; readonly key: string } }> {
  if (!entry.has('tls')) return {}
  const tls = entry.object('tls', ['certificate', 'key'])
  return { tls: { cert: await tls.file('certificate'), key: await tls.file('key') } }
}

export async function readServiceConfig(path: string): Promise<ServiceConfig> {
  const file = await ConfigFile.read(path)
  const root = file.root(['accept', 'profile', 'path', 'address', 'addresses', 'addressTrust', 'store', 'keyring', 'tls', 'operations', ...SERVICE_NUMBERS, ...SERVICE_FLAGS])
  const certificates: string[] = []
  const privateKeys: string[] = []
  const accept = []
  for (const [index, each] of root.objects('accept').entries()) accept.push(await serviceBootstrap(root, each, `accept[${index}]`, { certificates, privateKeys }))
  const secured = await readTls(root)
  const kept = await openStore(root)
  return {
    options: {
      accept, ...kept.options, ...root.numbers(...SERVICE_NUMBERS), ...root.flags(...SERVICE_FLAGS),
      ...(root.has('addresses') ? { addresses: root.texts('addresses') } : {}),
      ...(root.has('addressTrust') ? { addressTrust: await readTrust(root.object('addressTrust', TRUST_MEMBERS)) } : {}),
      ...(root.has('profile') ? { profile: readProfiles(root) } : {}),
      ...(root.has('address') ? { address: root.text('address') } : {}),
      ...(root.has('operations') ? { operations: readOperations(root) } : {}),
    },
    listen: { ...(root.has('path') ? { path: root.text('path') } : {}), ...secured },
    keys: { certificates, privateKeys },
    close: kept.close,
  }
}

const SERVICE_NUMBERS = ['holdReplyMs', 'maxDeliveries', 'tokenLifetimeMs'] as const
const SERVICE_FLAGS = ['acceptOffer', 'bindUnscopedToSigner', 'dangerRenewWithoutProof', 'dangerPrivateAddresses'] as const

interface Collected { readonly certificates: string[]; readonly privateKeys: string[] }

async function clientBootstrap(root: Entry, collected: Collected): Promise<ClientBootstrap> {
  const kind = root.open('bootstrap').choice('kind', Object.keys(CLIENT_MEMBERS) as (keyof typeof CLIENT_MEMBERS)[])
  const entry = root.object('bootstrap', ['kind', ...CLIENT_MEMBERS[kind]])
  const service = async (): Promise<string> => certificate(entry, 'service', collected)
  switch (kind) {
    case 'x509': {
      const options = { ...await identity(entry, collected), service: await service() }
      return entry.attempt(() => x509(options))
    }
    case 'usernameForCertificate': {
      const endorsing = entry.has('endorsing') ? await identity(entry.object('endorsing', ['certificate', 'key']), collected) : undefined
      const named = entry.has('user') || endorsing === undefined ? { user: entry.text('user'), password: entry.text('password') } : undefined
      const common = { service: await service() }
      return entry.attempt(() => (named === undefined
        ? usernameForCertificate({ ...common, endorsing: endorsing as Identity })
        : usernameForCertificate({ ...common, ...named, ...(endorsing !== undefined && { endorsing }) })))
    }
    case 'usernameOverTls': return entry.attempt(() => usernameOverTls({ user: entry.text('user'), password: entry.text('password') }))
    case 'certificateOverTls': {
      const options = await identity(entry, collected)
      return entry.attempt(() => certificateOverTls(options))
    }
  }
}
const CLIENT_MEMBERS = {
  x509: ['certificate', 'key', 'service'], usernameForCertificate: ['user', 'password', 'service', 'endorsing'], usernameOverTls: ['user', 'password'], certificateOverTls: ['certificate', 'key'],
} as const

async function serviceBootstrap(root: Entry, value: unknown, at: string, collected: Collected): Promise<ServiceBootstrap> {
  const kind = root.entry(at, value, 'any').choice('kind', Object.keys(SERVICE_MEMBERS) as (keyof typeof SERVICE_MEMBERS)[])
  const entry = root.entry(at, value, ['kind', ...SERVICE_MEMBERS[kind]])
  switch (kind) {
    case 'x509': {
      const options = { identity: await identity(entry, collected), trust: await readTrust(entry.object('trust', TRUST_MEMBERS)) }
      return entry.attempt(() => x509(options))
    }
    case 'usernameForCertificate': {
      const options = { identity: await identity(entry, collected) }
      const endorsing = entry.has('endorsing') ? await readTrust(entry.object('endorsing', TRUST_MEMBERS)) : undefined
      const password = entry.has('passwords') || endorsing === undefined ? readPasswords(entry) : undefined
      return entry.attempt(() => (password === undefined
        ? usernameForCertificate({ ...options, endorsing: endorsing as Trust })
        : usernameForCertificate({ ...options, password, ...(endorsing !== undefined && { endorsing }) })))
    }
    case 'usernameOverTls': {
      const password = readPasswords(entry)
      return entry.attempt(() => usernameOverTls({ password }))
    }
    case 'certificateOverTls': {
      const trust = await readTrust(entry.object('trust', TRUST_MEMBERS))
      return entry.attempt(() => certificateOverTls({ trust }))
    }
  }
}
const TRUST_MEMBERS = ['pins', 'authorities']
const SERVICE_MEMBERS = {
  x509: ['certificate', 'key', 'trust'], usernameForCertificate: ['certificate', 'key', 'passwords', 'endorsing'], usernameOverTls: ['passwords'], certificateOverTls: ['trust'],
} as const
/** `{ "alice": "her password" }` */
function readPasswords(entry: Entry): PasswordOf {
  const known = entry.open('passwords')
  const passwords = new Map(known.names().map((name) => [name, known.text(name)]))
  return (user) => passwords.get(user)
}
async function identity(entry: Entry, { certificates, privateKeys }: Collected): Promise<Identity> {
  const read = { certificate: await entry.file('certificate'), key: await entry.file('key') }
  certificates.push(read.certificate)
  privateKeys.push(read.key)
  return read
}
async function certificate(entry: Entry, name: string, { certificates }: Collected): Promise<string> {
  const read = await entry.file(name)
  certificates.push(read)
  return read
}
async function readTrust(entry: Entry): Promise<Trust> {
  if (entry.has('pins') === entry.has('authorities')) throw entry.wrong('', 'names either pins or authorities')
  return entry.has('pins') ? { pins: entry.texts('pins') } : { authorities: await Promise.all(entry.texts('authorities').map((name) => entry.read('authorities', name))) }
}

async function openStore(root: Entry): Promise<{ readonly options: { readonly store?: Store<DatabaseSync>; readonly keyring?: Keyring }; close(): Promise<void> }> {
  if (!root.has('store')) {
    if (root.has('keyring')) throw root.wrong('keyring', 'is of no use without store')
    return { options: {}, close: () => Promise.resolve() }
  }
  if (!root.has('keyring')) throw root.wrong('store', 'needs a keyring: nothing is kept in clear')
  const keyring = await Keyring.fromFile(root.path('keyring'))
  const store = await openSqliteStore(root.path('store'))
  return { options: { store, keyring }, close: () => Promise.resolve(store[Symbol.asyncDispose]()) }
}

const PRESETS: ReadonlyMap<string, Profile> = new Map(Object.entries({ default: DEFAULT_PROFILE, basic256Sha1: BASIC256_SHA1, cxf, metro, sandesha2, was, wcf, wcfTransport }))
const ORDERS = ['sign-before-encrypt', 'encrypt-before-sign']
const KEY_ORDERS = ['signature-first', 'encryption-first']
type Choices = Readonly<Record<string, readonly (string | boolean)[]>>
const CHOICES: Choices = {
  soap: ['1.1', '1.2'], addressing: ['200508', '200408'], rm: ['1.0', '1.1'], sc: ['200512', '200502'], suite: [...SUITES.keys()],
  hmac: ['hmac-sha1', 'hmac-sha256'], rsa: ['rsa-sha1', 'rsa-sha256'], digest: ['sha1', 'sha256'], protection: ['message', 'transport'], derivedKeys: [true, false],
  keyOrder: KEY_ORDERS, order: ORDERS, encryptSignature: [true, false, 'with-body'], layout: ['strict', 'lax'], httpAction: ['checked', 'ignored'], includeToken: ['requests', 'always'], signatureConfirmation: [true, false],
  encryptLifecycle: [true, false], lifecycleCopies: ['refuse', 'answer'], encryptCancel: [true, false], str: ['header', 'body', 'dangerOmit'], endpoint: ['anonymous', 'make-connection', 'address'], ackRequestedOnOneWay: [true, false], contexts: ['shared', 'one-each'], offerOnRepeat: ['same', 'new'], renewal: ['renew', 'replace'], renewalKey: ['current', 'first'],
}
const BOOTSTRAP_CHOICES: Choices = {
  accept: ['headers', 'dangerBody'],
  addressing: ['200508', '200408'], order: ORDERS, encryptSignature: [true, false], keyOrder: KEY_ORDERS, derivedKeys: [true, false], signatureConfirmation: [true, false], includeCertificate: ['requests', 'always'],
  certificateReference: ['thumbprint', 'issuer-serial', 'subject-key-identifier'],
}
/** A preset by name, one changed (`{ "preset": "default", "soap": "1.1" }`), or a list of alternatives. */
function readProfiles(root: Entry): readonly [Profile, ...Profile[]] {
  const values = root.list('profile')
  const [first, ...rest] = values.map((value, index): Profile => {
    if (typeof value === 'string') return presetOf(root, value)
    const entry = root.entry(values.length === 1 ? 'profile' : `profile[${index}]`, value, ['preset', 'accept', 'addressDelayMs', 'bootstrap', 'contextLost', 'holdReplyMs', 'window', ...Object.keys(CHOICES)])
    const preset = presetOf(root, entry.has('preset') ? entry.text('preset') : 'default')
    const bootstrap = entry.has('bootstrap') ? { bootstrap: { ...preset.bootstrap, ...changes(entry.object('bootstrap', Object.keys(BOOTSTRAP_CHOICES)), BOOTSTRAP_CHOICES) } } : {}
    const accept = entry.has('accept') ? { accept: { ...preset.accept, ...entry.object('accept', ['sha1']).flags('sha1') } } : {}
    return { ...preset, ...changes(entry, CHOICES), ...entry.numbers('addressDelayMs', 'holdReplyMs'), ...bootstrap, ...accept, ...(entry.has('contextLost') ? { contextLost: entry.texts('contextLost') } : {}), ...(entry.has('window') ? { window: entry.count('window', WIDEST) } : {}) }
  })
  if (first === undefined) throw root.wrong('profile', 'is empty')
  return [first, ...rest]
}
const changes = (entry: Entry, choices: Choices): object => Object.fromEntries(Object.keys(choices).filter((name) => entry.has(name)).map((name) => [name, entry.choice(name, choices[name] ?? [])]))
function presetOf(root: Entry, name: string): Profile {
  const preset = PRESETS.get(name)
  if (preset === undefined) throw root.wrong('profile', `names no preset; there are ${[...PRESETS.keys()].join(', ')}`)
  return preset
}
function readOperations(root: Entry): Readonly<Record<string, { readonly shape: 'one-way' | 'request' }>> {
  const operations = root.open('operations')
  return Object.fromEntries(operations.names().map((action) => [action, { shape: operations.object(action, ['shape']).choice('shape', ['one-way', 'request'] as const) }]))
}

/** A config file and what is said of it when it is wrong. */
class ConfigFile {
  readonly name: string
  readonly #value: unknown
  private constructor(name: string, value: unknown) {
    this.name = name
    this.#value = value
  }

  static async read(path: string): Promise<ConfigFile> {
    const text = await readFile(path, 'utf8').catch((cause: unknown) => { throw new UsageError('ERR_CONFIG', `${path} cannot be read (${codeOf(cause)})`) })
    try {
      return new ConfigFile(path, JSON.parse(text))
    } catch {
      // The parser's message quotes the text.
      throw new UsageError('ERR_CONFIG', `${path} is no JSON`)
    }
  }
  root(known: readonly string[]): Entry { return Entry.of(this.name, '', this.#value, known) }
}

/** One object of the file: members by name, each with the type that is asked for. */
class Entry {
  readonly #file: string
  readonly #at: string
  readonly #members: ReadonlyMap<string, unknown>
  private constructor(file: string, at: string, members: ReadonlyMap<string, unknown>) {
    this.#file = file
    this.#at = at
    this.#members = members
  }

  static of(file: string, at: string, value: unknown, known: readonly string[] | 'any'): Entry {
    const where = at === '' ? file : `${file}: ${at}`
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new UsageError('ERR_CONFIG', `${where} is no object`)
    const entry = new Entry(file, at, new Map(Object.entries(value)))
    const unknown = known === 'any' ? undefined : Object.keys(value).find((name) => !known.includes(name))
    if (unknown !== undefined && known !== 'any') throw new UsageError('ERR_CONFIG', `${where}: unknown member ${JSON.stringify(unknown.slice(0, 64))}; known are ${known.join(', ')}`)
    return entry
  }

  names(): readonly string[] { return [...this.#members.keys()] }
  has(name: string): boolean { return this.#members.has(name) }
  wrong(name: string, what: string): UsageError {
    const path = [this.#at, name].filter((part) => part !== '').join('.')
    return new UsageError('ERR_CONFIG', `${this.#file}: ${path} ${what}`)
  }
  #get(name: string, isRight: (value: unknown) => boolean, type: string): unknown {
    if (!this.has(name)) throw this.wrong(name, 'is missing')
    const value = this.#members.get(name)
    if (!isRight(value)) throw this.wrong(name, `is no ${type}`)
    return value
  }

  text(name: string): string { return this.#get(name, (value) => typeof value === 'string' && value !== '', 'text') as string }
  texts(name: string): readonly string[] {
    return this.#get(name, (value) => Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string'), 'list of texts') as readonly string[]
  }
  choice<T extends string | boolean>(name: string, choices: readonly T[]): T {
    if (!this.has(name)) throw this.wrong(name, `is missing: ${choices.map((choice) => JSON.stringify(choice)).join(' or ')}`)
    const value = choices.find((choice) => choice === this.#members.get(name))
    if (value === undefined) throw this.wrong(name, `is not one of ${choices.map((choice) => JSON.stringify(choice)).join(', ')}`)
    return value
  }
  flags<K extends string>(...names: readonly K[]): Partial<Record<K, boolean>> {
    return Object.fromEntries(names.filter((name) => this.has(name)).map((name) => [name, this.#get(name, (value) => typeof value === 'boolean', 'true or false')])) as Partial<Record<K, boolean>>
  }
  numbers<K extends string>(...names: readonly K[]): Partial<Record<K, number>> {
    const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0
    return Object.fromEntries(names.filter((name) => this.has(name)).map((name) => [name, this.#get(name, isCount, 'whole number above 0')])) as Partial<Record<K, number>>
  }
  count(name: string, most: number): number { return this.#get(name, (value) => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most, `whole number from 1 to ${most}`) as number }
  port(name: string): number { return this.#get(name, (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 65_536, 'port') as number }
  object(name: string, known: readonly string[]): Entry { return this.entry(name, this.#get(name, (value) => typeof value === 'object', 'object'), known) }
  /** An object whose member names are the user's. */
  open(name: string): Entry { return Entry.of(this.#file, this.#path(name), this.#get(name, (value) => typeof value === 'object', 'object'), 'any') }
  objects(name: string): readonly unknown[] { return this.#get(name, (value) => Array.isArray(value) && value.length > 0, 'list of objects') as readonly unknown[] }
  /** The member as a list: what is no list is a list of one. */
  list(name: string): readonly unknown[] {
    const value = this.#members.get(name)
    return Array.isArray(value) ? value : [value]
  }
  entry(name: string, value: unknown, known: readonly string[] | 'any'): Entry { return Entry.of(this.#file, this.#path(name), value, known) }
  #path(name: string): string { return [this.#at, name].filter((part) => part !== '').join('.') }

  /** The member as a path, relative to the config file. */
  path(name: string): string { return resolve(dirname(this.#file), this.text(name)) }
  file(name: string): Promise<string> { return this.read(name, this.text(name)) }
  read(name: string, path: string): Promise<string> {
    return readFile(resolve(dirname(this.#file), path), 'utf8').catch((cause: unknown) => { throw this.wrong(name, `names a file that cannot be read (${codeOf(cause)})`) })
  }
  /** What the library says of values from here is said with their place. */
  attempt<T>(make: () => T): T {
    try {
      return make()
    } catch (error) {
      if (error instanceof WsrmError) throw this.wrong('', `cannot be used: ${error.message}`)
      throw error
    }
  }
}
const codeOf = (cause: unknown): string => (cause as { readonly code?: string }).code ?? 'unknown error'
