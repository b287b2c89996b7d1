/**
 * The address at which a client takes what is sent to it: its own listener. Nothing that comes in there is believed for having come there; it is
 * opened under a live token of this client, goes through the same gate as an answer, and is about a sequence of that very token, or about none.
 *
 * @module
 */
import type { Clock } from './clock.ts'
import type { RandomSource } from './crypto/random.ts'
import { FAULTS, PeerViolation, SecurityFailure, UsageError, XmlError } from './errors.ts'
import type { Gate, OwnKeys } from './gate.ts'
import type { Limits } from './options.ts'
import type { Profile } from './profiles/profile.ts'
import { versionsOf } from './profiles/versions.ts'
import type { SequenceEngine } from './rm/engine.ts'
import type { ExchangeId, Outbound } from './rm/turn.ts'
import type { SctManager } from './sct/manager.ts'
import type { SecurityContextToken, TokenId } from './sct/token.ts'
import { writeFault } from './soap/envelope.ts'
import { RM11, SC13, SOAP11, SOAP12, WSA10 } from './spec/versions.ts'
import type { DangerTap } from './tap.ts'
import { headerValue, type HttpRequest, type HttpResponse, HttpRefused, isIdentity, NO_BODY, readBody, soapHeaders, soapMediaType } from './transport/http.ts'
import { listen, type ListenOptions, type Listening } from './transport/http-server.ts'
import { claimsOf, encode, type EncodeOptions, encodeRefusal, encodeUnderToken, sessionPolicy, type Written } from './wire.ts'
import { read } from './wss/open.ts'

/** Where a client listens, and, where others see it under another one, at which address. */
export type ClientListenOptions = ListenOptions & { readonly address?: string | URL }

export interface InboxOptions {
  readonly listen: ClientListenOptions | undefined
  readonly limits: Limits
  readonly clock: Clock
  readonly random: RandomSource
  readonly tokens: SctManager
  readonly gate: Gate
  readonly tap: DangerTap | undefined
  /** A number for the tap. */
  nextExchange(): number
  engine(): Pick<SequenceEngine, 'receive'>
  /** How the peer of a token is spoken to; undefined: not in this process. */
  line(token: SecurityContextToken): { readonly url: string; readonly profile: Profile; readonly own: OwnKeys } | undefined
  /** Something that was refused. */
  refused(code: string, detail: string): void
  /** A failure of our own: whoever sent the message hears nothing of it but that. */
  failed(error: unknown): void
}
/** An inbound request whose answer the engine will choose. */
interface Waiting { readonly token: SecurityContextToken; readonly profile: Profile; readonly answer: (response: HttpResponse) => void }

export class Inbox implements AsyncDisposable {
  readonly #own: InboxOptions
  readonly #waiting = new Map<ExchangeId, Waiting>()
  #listening: Promise<Listening> | undefined
  #exchanges = 0
  #closed = false

  constructor(options: InboxOptions) { this.#own = options }

  /** The address, listened at from the first time that somebody asks for it. @throws {UsageError} ERR_USAGE_LISTEN: the client was not told where to listen */
  async address(): Promise<string> {
    const { listen: options, limits } = this.#own
    if (options?.address !== undefined && !/^https?:\/\//.test(String(options.address))) throw new UsageError('ERR_USAGE_LISTEN', 'listen.address is the http or https URL under which the service reaches this client')
    if (options === undefined) throw new UsageError('ERR_USAGE_LISTEN', "a profile with endpoint: 'address' needs a client that listens: give createClient listen: { port, host?, path?, address? }")
    // A connect that was under way when the client was closed would leave a listener behind that nobody closes.
    if (this.#closed) throw new UsageError('ERR_ENGINE_CLOSED', 'the client was closed')
    this.#listening ??= listen((request) => this.#handle(request), options, limits)
    const { url } = await this.#listening.catch((error: unknown) => {
      // A port that is taken now may be free when somebody asks again.
      this.#listening = undefined
      throw error
    })
    return options.address === undefined ? url : String(options.address)
  }

  async #handle(request: HttpRequest): Promise<HttpResponse> {
    const { limits, clock, tap } = this.#own
    const exchange = this.#own.nextExchange()
    const media = soapMediaType(headerValue(request.headers, 'content-type'))
    if (media === undefined || !isIdentity(request.headers)) return plain(415)
    const action = media.soap === '1.1' ? headerValue(request.headers, 'soapaction')?.replace(/^"|"$/g, '') : media.action
    try {
      const body = await readBody(request.body, limits.messageBytes)
      tap?.message({ exchange, direction: 'request', at: clock.now(), http: { method: request.method, path: request.url, headers: { 'content-type': headerValue(request.headers, 'content-type') ?? '' } }, body })
      const response = await this.#answer(body, { soap: media.soap, action, isUnderTls: request.tls !== undefined })
      tap?.message({ exchange, direction: 'response', at: clock.now(), http: { status: response.status, headers: response.headers }, body: response.body })
      return response
    } catch (error) {
      if (error instanceof HttpRefused) return plain(error.status)
      this.#own.failed(error)
      return plain(500)
    }
  }

  async #answer(body: Uint8Array, { soap, action, isUnderTls }: { readonly soap: '1.1' | '1.2'; readonly action: string | undefined; readonly isUnderTls: boolean }): Promise<HttpResponse> {
    const { gate, limits } = this.#own
    let versions = { addressing: WSA10, rm: RM11, sc: SC13, soap: soap === '1.1' ? SOAP11 : SOAP12 }
    let messageId: string | undefined
    try {
      const envelope = read(body, limits)
      const claims = claimsOf(envelope)
      versions = { ...versions, ...claims.versions }
      messageId = claims.messageId
      // BP 1.2 R1144: SOAPAction and the action parameter say what wsa:Action says, or nothing.
      if (action !== undefined && action !== '' && action !== claims.action) throw new PeerViolation('ERR_HTTP_ACTION', 'the HTTP header names another action', FAULTS.actionMismatch)
      // A message under one version of SOAP is answered in that version.
      if (envelope.soap.name !== soap) throw new PeerViolation('ERR_HTTP_MEDIA', 'the media type names another SOAP version', FAULTS.versionMismatch)
      const { token, profile, url, own } = await this.#lineOf(envelope.wanted.contexts)
      // D9: the transport profile is none without TLS.
      if (profile.protection === 'transport' && !isUnderTls) throw new SecurityFailure('ERR_WSS_NO_TLS', 'the message came without TLS', FAULTS.failedCheck)
      try {
        const opened = await gate.open(envelope, own, sessionPolicy({ profile, limits }))
        const { received } = await gate.receive(opened)
        // Both sides of a context have one key, so our own message, sent back by whoever stands between, is rightly signed too. It says whom it is for.
        if (received.to === url) throw new SecurityFailure('ERR_WSA_MIRRORED', 'the message is addressed to the service: it is one of ours', FAULTS.failedCheck)
        // What opens under the token of one line is not for another, whatever keys it also asked for.
        if (received.tokenId !== token.id) throw new SecurityFailure('ERR_WSS_SIGNER', 'the message is signed by another context than the one that it was opened for', FAULTS.failedCheck)
        const exchange = `i${++this.#exchanges}`
        const { promise, resolve } = Promise.withResolvers<HttpResponse>()
        this.#waiting.set(exchange, { token, profile, answer: resolve })
        try {
          await this.#own.engine().receive(received, { kind: 'exchange', exchange })
          return await promise
        } finally {
          this.#waiting.delete(exchange)
        }
      } catch (error) {
        if (!(error instanceof PeerViolation)) throw error
        this.#own.refused(error.code, error.message)
        const parts = writeFault({ row: error.fault, notUnderstood: error.notUnderstood }, versionsOf(profile))
        return reply(500, encodeUnderToken(parts, { ...(messageId !== undefined && { relatesTo: messageId }) }, token, { ...this.#writing(profile, token), encryptBody: profile.encryptLifecycle }))
      }
    } catch (error) {
      if (!(error instanceof SecurityFailure || error instanceof PeerViolation || error instanceof XmlError)) throw error
      this.#own.refused(error.code, error.message)
      return reply(error instanceof XmlError ? 400 : 500, encodeRefusal(error instanceof XmlError ? FAULTS.malformed : error.fault, versions, messageId))
    }
  }

  /** A live context with a service that this process speaks to. Every other is not known here. */
  async #lineOf(contexts: readonly string[]): Promise<{ readonly token: SecurityContextToken; readonly url: string; readonly profile: Profile; readonly own: OwnKeys }> {
    for (const identifier of contexts) {
      const token = await this.#own.tokens.get(identifier as TokenId)
      const line = token === undefined ? undefined : this.#own.line(token)
      if (token !== undefined && line !== undefined) return { token, ...line }
    }
    throw new SecurityFailure('ERR_WSC_UNKNOWN', 'the message is under no context of a service that is spoken to here', FAULTS.badContextToken)
  }

  respond(exchange: ExchangeId, answer: Outbound | 'accepted'): void {
    const waiting = this.#waiting.get(exchange)
    if (waiting === undefined) return
    if (answer === 'accepted') return waiting.answer(plain(202))
    const { token, profile } = waiting
    try {
      waiting.answer(reply(answer.body.kind === 'fault' ? 500 : 200, encode(answer, token, this.#writing(profile, token))))
    } catch (error) {
      this.#own.failed(error)
      waiting.answer(plain(500))
    }
  }

  #writing(profile: Profile, token: SecurityContextToken): EncodeOptions {
    const { clock, random, limits, tokens } = this.#own
    return { profile, role: 'initiator', instance: tokens.writing(token), now: clock.now(), random, limits }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    await (await this.#listening?.catch(() => undefined))?.close()
  }
}

const plain = (status: number): HttpResponse => ({ status, headers: {}, body: NO_BODY })
const reply = (status: number, written: Written): HttpResponse => ({ status, headers: soapHeaders(written.soap.name, written.action), body: Buffer.from(written.xml, 'utf8') })
