/**
 * Real parts on loopback: a service and clients of different principals, the wire tapped, every secret at hand for the decoder.
 *
 * @module
 */
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  type Client, type ClientOptions, type ConnectOptions, createClient, createService, type Message, type Outcome, type Service, type ServiceOptions, type WireEvent, x509,
} from '../../src/index.ts'

export const pem = (name: string): string => readFileSync(new URL(`../../demo/identities/${name}`, import.meta.url), 'utf8')
export const authorities = [pem('authority.pem')]
export const SERVICE = { certificate: pem('service.pem'), key: pem('service.key.pem') }
export const PLACE = 'urn:example:orders/Place'
export const place = (item: string | number): string => `<place xmlns="urn:example:orders"><item>${item}</item></place>`

/** How to connect as the principal of that name. */
export const as = (name: 'client' | 'intruder'): Pick<ConnectOptions, 'bootstrap' | 'trust'> => ({
  bootstrap: x509({ certificate: pem(`${name}.pem`), key: pem(`${name}.key.pem`), service: SERVICE.certificate }), trust: { authorities },
})

export interface World extends AsyncDisposable {
  readonly url: string
  readonly service: Service
  /** Messages that the handler was given, in order. */
  readonly handled: Message[]
  /** What went over the service's wire, in order. */
  readonly wire: WireEvent[]
  readonly secrets: { identifier: string; instance: string | undefined; secret: KeyObject }[]
  readonly security: { code: string }[]
  client(options?: ClientOptions): Client
}

export async function world(options: Partial<ServiceOptions<unknown>> = {}, port = 0, tls?: { readonly cert: string; readonly key: string }): Promise<World> {
  const handled: Message[] = []
  const wire: WireEvent[] = []
  const secrets: World['secrets'] = []
  const security: { code: string }[] = []
  const clients: Client[] = []
  const handle = async (message: Message): Promise<Outcome<unknown>> => {
    handled.push(message)
    return { reply: { body: `<placed xmlns="urn:example:orders">${message.select('/o:place/o:item', { o: 'urn:example:orders' })[0]?.textContent}</placed>` } }
  }
  const service = await createService<unknown>({
    accept: [x509({ identity: SERVICE, trust: { authorities } })], handle,
    dangerTap: { message: (event) => void wire.push(event), secret: (secret) => void secrets.push(secret) },
    ...options,
  })
  service.on('security', (event) => void security.push(event))
  service.on('error', ({ error }) => void security.push({ code: String((error as { code?: unknown }).code ?? error.message) }))
  const listening = await service.listen({ port, path: '/orders', ...(tls !== undefined && { tls }) })
  return {
    url: listening.url, service, handled, wire, secrets, security,
    client(given = {}) {
      const client = createClient({ retransmitAfterMs: 100, ...given })
      clients.push(client)
      return client
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client[Symbol.asyncDispose]()
      await service.close()
    },
  }
}
