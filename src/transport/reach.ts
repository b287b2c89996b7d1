/**
 * Where a service may connect to when a peer names the place. Nowhere, unless the service's owner said so; and never into the private network by
 * a name that resolves there, whatever it resolved to a moment ago: the address that is looked at is the one that is connected to.
 *
 * @module
 */
import { lookup as resolve, type LookupAddress, type LookupOptions } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { TransportFailed } from '../errors.ts'

export interface ReachOptions<Who> {
  /** Origins, or a function that decides. */
  readonly addresses: readonly (string | URL)[] | ((url: URL, who: Who) => boolean)
  /** Names that resolve to private addresses, too. */
  readonly dangerPrivate?: boolean | undefined
}
export interface Reach<Who> {
  /** Whether that address may be connected to, as far as can be said without resolving its name. */
  allows(address: string, who: Who): boolean
  /** For the connection: a name that resolves to what must not be reached does not resolve. */
  readonly lookup: LookupFunction
}

export function reachOf<Who>({ addresses, dangerPrivate = false }: ReachOptions<Who>): Reach<Who> {
  const list = typeof addresses === 'function' ? undefined : new Set(addresses.map((each) => new URL(String(each)).origin))
  // Who writes 127.0.0.1, or localhost, into his list has said what he means.
  const named = new Set([...list ?? []].map((origin) => new URL(origin).hostname).filter((host) => isLocal(host)))
  const isSpared = (host: string): boolean => dangerPrivate || named.has(host)
  return {
    allows(address, who) {
      const url = plainUrl(address)
      if (url === undefined) return false
      const isAllowed = typeof addresses === 'function' ? addresses(url, who) === true : list?.has(url.origin) === true
      return isAllowed && (isSpared(url.hostname) || !isLocal(url.hostname))
    },
    lookup(host, options, callback) {
      resolve(host, options as LookupOptions, (error, found: string | LookupAddress[], family?: number) => {
        const all = typeof found === 'string' ? [found] : (found ?? []).map(({ address }) => address)
        // One private address among several is enough: which of them is taken is not ours to say.
        const refused = error === null && !isSpared(host) && all.some(isPrivate) ? new TransportFailed('ERR_ADDRESS_PRIVATE', `${host} resolves to a private address`) : error
        callback(refused, found as string, family)
      })
    },
  }
}

const LONGEST = 2_048
/** An http or https URL that says nothing but where: what a URL parser would quietly drop or correct is no address. */
function plainUrl(address: string): URL | undefined {
  if (address.length > LONGEST || /[^\x21-\x7e]|\\/.test(address) || !/^https?:\/\//i.test(address) || !URL.canParse(address)) return undefined
  const url = new URL(address)
  return url.username === '' && url.password === '' && url.hash === '' ? url : undefined
}
const bare = (host: string): string => host.replace(/^\[|\]$/g, '')
const isLocal = (host: string): boolean => (isIP(bare(host)) > 0 ? isPrivate(bare(host)) : /(^|\.)localhost\.?$/.test(host))

/** This host, private and link-local networks, also as IPv6 writes them, what is carried to IPv4 by translation, multicast, and what is reserved (RFC 6890). */
const PRIVATE = new BlockList()
for (const range of [
  '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24',
  '224.0.0.0/4', '240.0.0.0/4', '::/96', '64:ff9b::/96', '64:ff9b:1::/48', '100::/64', '2001::/23', '2001:db8::/32', '2002::/16', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8',
]) {
  const [net = '', bits] = range.split('/')
  PRIVATE.addSubnet(net, Number(bits), net.includes(':') ? 'ipv6' : 'ipv4')
}
const isPrivate = (address: string): boolean => PRIVATE.check(address, address.includes(':') ? 'ipv6' : 'ipv4')
