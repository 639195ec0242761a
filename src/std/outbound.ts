import { lookup } from 'node:dns/promises'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { canonicalAddress } from './ip.ts'

/**
 * The one guard of calls that leave the server (webhooks, imports): an address that is not on the public internet is
 * never called, whether it is written in the URL or hides behind a name (CWE-918). The guard stands in the connection's
 * own lookup, so a name that changes its answer between a check and the call (DNS rebinding) gains nothing.
 */

/**
 * Everything that is not the public internet (RFC 6890). Of IPv6 only 2000::/3 is given out, so all beside it is
 * refused: loopback, mapped and translated IPv4, NAT64, unique local, link-local, segment routing, multicast.
 */
const PRIVATE_RANGES = {
  ipv4: [
    '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24',
    '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24',
    '224.0.0.0/3'
  ],
  ipv6: [
    '::/3', '4000::/2', '8000::/1',
    '2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'
  ]
} as const

/** One list per family: a list of both compares IPv4 addresses with the IPv6 ranges too, as mapped ones. */
const PRIVATE = { ipv4: blockListOf('ipv4'), ipv6: blockListOf('ipv6') }

function blockListOf (family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList()
  for (const range of PRIVATE_RANGES[family]) {
    const [address, bits] = range.split('/') as [string, string]
    list.addSubnet(address, Number(bits), family)
  }
  return list
}

/** True for addresses that must never be called, and for text that is no address. */
export function isPrivateAddress (address: string): boolean {
  const canonical = canonicalAddress(address)
  if (canonical === null) return true
  const family = canonical.includes(':') ? 'ipv6' : 'ipv4'
  return PRIVATE[family].check(canonical, family)
}

/** True when the host of a URL is a private address itself: such a host never reaches a lookup. */
export function isPrivateHost ({ hostname }: Pick<URL, 'hostname'>): boolean {
  const host = hostname.replace(/^\[|\]$/g, '')
  return isIP(host) !== 0 && isPrivateAddress(host)
}

/** Every address of a name. */
export type ResolveName = (hostname: string) => Promise<string[]>

/** As the system resolves it: hosts file and DNS. @throws its error when there is no such name */
export const resolveName: ResolveName = async (hostname) =>
  (await lookup(hostname, { all: true })).map(({ address }) => address)

export interface PublicLookupOptions {
  /** The error for a name that leads to a private address, or nowhere. */
  refused (): Error
  /** Tests have their own. */
  resolve?: ResolveName
  /** Names that may lead anywhere, because an operator wrote them. */
  allows? (hostname: string): boolean
}

/** A `lookup` for sockets that knows no private addresses; one such among several spoils the name. */
export function publicLookup ({ refused, resolve = resolveName, allows }: PublicLookupOptions): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then((addresses) => {
      const isRefused = allows?.(hostname) !== true && addresses.some(isPrivateAddress)
      if (addresses.length === 0 || isRefused) throw refused()
      return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    }).then((found) => {
      if (options.all === true) callback(null, found)
      else callback(null, found[0]!.address, found[0]!.family)
    }, (error: NodeJS.ErrnoException) => callback(error, '', 0))
  }
}
