import { isIP, isIPv4 } from 'node:net'

/**
 * Addresses as numbers. One client must have one name: `::ffff:10.0.0.1` is `10.0.0.1`, IPv6 is written in full
 * lower-case form, and because a host owns at least a /64, an IPv6 client is its /64.
 */

/** Canonical text of an address, or null when it is none. IPv4-mapped IPv6 folds to IPv4; zone ids are dropped. */
export function canonicalAddress (text: string): string | null {
  if (isIPv4(text)) return text
  const bare = text.includes('%') ? text.slice(0, text.indexOf('%')) : text
  if (isIP(bare) !== 6) return null
  const groups = ipv6Groups(bare)
  const mapped = groups[0] === 0 && groups[1] === 0 && groups[2] === 0 && groups[3] === 0 &&
    groups[4] === 0 && groups[5] === 0xffff
  if (mapped) return ipv4Text(groups[6]! * 0x10000 + groups[7]!)
  return groups.map((group) => group.toString(16)).join(':')
}

/** `203.0.113.7:4711`, `[2001:db8::1]` or `[2001:db8::1]:99`; a port may be obfuscated, as in RFC 7239 6.3. */
const WITH_PORT = /^(?:\[([0-9a-fA-F:.%]{2,64})\]|([0-9.]{7,15})(?=:))(?::(?:\d{1,5}|_[\w.-]{1,64}))?$/

/** Canonical text of an address as proxies write it, with or without a port; null when it is none. */
export function forwardedAddress (text: string): string | null {
  const parts = WITH_PORT.exec(text)
  if (parts === null) return canonicalAddress(text)
  const [, six, four] = parts
  return six === undefined || six.includes(':') ? canonicalAddress((six ?? four) as string) : null
}

/** The part of a canonical address that counts as one client: IPv4 itself, IPv6 its /64 (`2001:db8:0:1::/64`). */
export function addressKey (canonical: string): string {
  if (!canonical.includes(':')) return canonical
  return `${canonical.split(':', 4).join(':')}::/64`
}

/** The /56 and the /48 around an IPv6 client (`2001:db8:0:1ff::/64`), canonical; none around one of IPv4. */
export function widerNets (addressKey: string): readonly [] | readonly [net56: string, net48: string] {
  if (!addressKey.endsWith('::/64')) return []
  const at = addressKey.lastIndexOf(':', addressKey.length - 6)
  const net48 = addressKey.slice(0, at)
  const group = parseInt(addressKey.slice(at + 1, -5), 16) & 0xff00
  return [`${net48}:${hex(group)}::/56`, `${net48}::/48`]
}

/** The /64 that holds a canonical IPv6 address, spelled as ranges are. */
export function subnetOf (canonical: string): string {
  return `${canonical.split(':', 4).join(':')}:0:0:0:0/64`
}

interface Cidr {
  family: 4 | 6
  /** First and last address, inclusive, as 128-bit or 32-bit numbers. */
  first: bigint
  last: bigint
  bits: number
}

/** A ClientKey that stands for an address (IPv6: its /64): nobody signed in. */
export function isAddressKey (client: string): boolean {
  return client.startsWith('ip:')
}

/** Null when it is no CIDR; a bare address is one of full width. Host bits may be set and are cleared. */
export function parseCidr (text: string): Cidr | null {
  const slash = text.indexOf('/')
  const address = canonicalAddress(slash < 0 ? text : text.slice(0, slash))
  if (address === null) return null
  const mapped = text.includes(':') && !address.includes(':')
  const family = address.includes(':') ? 6 : 4
  const width = family === 4 ? 32 : 128
  const given = slash < 0 ? width : Number(text.slice(slash + 1)) - (mapped ? 96 : 0)
  if (slash >= 0 && !/^\d{1,3}$/.test(text.slice(slash + 1))) return null
  if (!Number.isInteger(given) || given < 0 || given > width) return null
  const hostBits = BigInt(width - given)
  const first = (addressNumber(address) >> hostBits) << hostBits
  return { family, first, last: first + (1n << hostBits) - 1n, bits: given }
}

/** `first/bits`, canonical. */
export function cidrText (cidr: Cidr): string {
  return `${numberText(cidr.first, cidr.family)}/${cidr.bits}`
}

/** A canonical address as a number. */
export function addressNumber (canonical: string): bigint {
  if (!canonical.includes(':')) return BigInt(ipv4Number(canonical))
  return ipv6Groups(canonical).reduce((sum, group) => (sum << 16n) | BigInt(group), 0n)
}

/** A canonical IPv4 address as an unsigned 32-bit number. */
export function ipv4Number (canonical: string): number {
  let value = 0
  let octet = 0
  for (let i = 0; i < canonical.length; i++) {
    const code = canonical.charCodeAt(i)
    if (code === 46) { value = value * 256 + octet; octet = 0 } else octet = octet * 10 + code - 48
  }
  return value * 256 + octet
}

/**
 * A canonical IPv6 address (eight groups, none left out) as four signed 32-bit words, into `out`: no BigInt
 * where every request passes.
 */
export function ipv6Words (canonical: string, out: Int32Array): void {
  let group = 0
  let index = 0
  for (let i = 0; i < canonical.length; i++) {
    const code = canonical.charCodeAt(i)
    if (code === COLON) {
      putGroup(out, index++, group)
      group = 0
    } else group = group * 16 + (code <= 57 ? code - 48 : code - 87)
  }
  putGroup(out, index, group)
}

const COLON = 58

function putGroup (out: Int32Array, index: number, group: number): void {
  if ((index & 1) === 0) out[index >> 1] = group << 16
  else out[index >> 1]! |= group
}

/** Addresses of networks of one's own (RFC 1918, 4193, 6598), of this machine, and of its links. */
const PRIVATE = createAddressSet([
  '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16',
  'fc00::/7', 'fe80::/10', '::1/128'
])

/** True for a canonical address that nobody on the public internet has. */
export function isPrivatePeer (canonical: string): boolean {
  return PRIVATE.has(canonical)
}

/** Ranges to test addresses against, prepared once; for lists of up to some hundred ranges. */
export interface AddressSet { has (canonical: string): boolean, readonly size: number }

/** Texts that are no CIDR are passed over: config.ts refused them. */
export function createAddressSet (cidrs: readonly string[]): AddressSet {
  const four: Array<[number, number]> = []
  const six: SixRange[] = []
  for (const text of cidrs) {
    const cidr = parseCidr(text)
    if (cidr === null) continue
    if (cidr.family === 4) four.push([Number(cidr.first), Number(cidr.last)])
    else six.push(sixRange(cidr))
  }
  const words = new Int32Array(4)
  return {
    size: four.length + six.length,
    has (canonical) {
      if (!canonical.includes(':')) {
        if (four.length === 0) return false
        const value = ipv4Number(canonical)
        for (const [first, last] of four) if (value >= first && value <= last) return true
        return false
      }
      if (six.length === 0) return false
      ipv6Words(canonical, words)
      for (const range of six) if (isWithin(words, range)) return true
      return false
    }
  }
}

interface SixRange { first: Int32Array, masks: Int32Array }

function sixRange ({ first, bits }: Cidr): SixRange {
  const range = { first: new Int32Array(4), masks: new Int32Array(4) }
  ipv6Words(numberText(first, 6), range.first)
  for (let i = 0; i < 4; i++) {
    const left = bits - 32 * i
    range.masks[i] = left >= 32 ? -1 : left <= 0 ? 0 : -1 << (32 - left)
  }
  return range
}

function isWithin (words: Int32Array, { first, masks }: SixRange): boolean {
  for (let i = 0; i < 4; i++) if ((words[i]! & masks[i]!) !== first[i]) return false
  return true
}

function ipv6Groups (text: string): number[] {
  const lastColon = text.lastIndexOf(':')
  const tail = text.slice(lastColon + 1)
  // A dotted tail (::ffff:1.2.3.4) stands for two groups.
  const plain = tail.includes('.')
    ? `${text.slice(0, lastColon + 1)}${hex(ipv4Number(tail) >>> 16)}:${hex(ipv4Number(tail) & 0xffff)}`
    : text
  const [head, rest] = plain.split('::') as [string, string | undefined]
  const left = head === '' ? [] : head.split(':').map((group) => parseInt(group, 16))
  if (rest === undefined) return left
  const right = rest === '' ? [] : rest.split(':').map((group) => parseInt(group, 16))
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
}

function ipv4Text (value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`
}

function numberText (value: bigint, family: 4 | 6): string {
  if (family === 4) return ipv4Text(Number(value))
  const groups: string[] = []
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(((value >> shift) & 0xffffn).toString(16))
  return groups.join(':')
}

function hex (number: number): string {
  return number.toString(16)
}
