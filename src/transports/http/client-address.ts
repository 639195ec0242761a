import type { UnnamedProxy } from '../../transaction/transaction.ts'
import { canonicalAddress, forwardedAddress, isPrivatePeer, type AddressSet } from '../../std/ip.ts'
import { forwardedFor } from './forwarded.ts'

/**
 * The client at the other end, worked out once per request (Fastify's `request.ip` under trustProxy costs 7 us
 * each time).
 */
interface ClientAddress {
  /** Canonical. */
  address: string
  /** The peer forwards for others, and we were not told to believe it. */
  unnamedProxy: UnnamedProxy | null
}

type Header = string | string[] | undefined

/** Addresses looked at from the right of the list; further left is the client's own invention. */
const HOPS_MAX = 20

/**
 * The client's address: the peer's, or the rightmost address of X-Forwarded-For, or else of Forwarded, that is no
 * trusted proxy when the peer is one. Several headers count as one list (RFC 9110 5.3); garbage in the list ends the
 * walk at the last believable hop.
 *
 * Of both headers X-Forwarded-For counts and Forwarded is not read: almost every proxy writes the former and passes on
 * the latter as its client sent it, so a client would choose its own address.
 */
export function clientAddress (
  peer: string | undefined,
  { 'x-forwarded-for': list, forwarded }: { readonly 'x-forwarded-for'?: Header, readonly forwarded?: Header },
  trusted: AddressSet
): ClientAddress {
  const address = canonicalAddress(peer ?? '') ?? '0.0.0.0'
  if (list === undefined && forwarded === undefined) return { address, unnamedProxy: null }
  if (!trusted.has(address)) return { address, unnamedProxy: isPrivatePeer(address) ? 'private' : 'public' }
  const hops = list === undefined
    ? forwardedFor(joined(forwarded), HOPS_MAX)
    : joined(list).split(',').slice(-HOPS_MAX).reverse().map((hop) => hop.trim())
  return { address: walk(address, hops, trusted), unnamedProxy: null }
}

/** @param hops from the nearest on; null for one that does not say whom it stands for */
function walk (peer: string, hops: ReadonlyArray<string | null>, trusted: AddressSet): string {
  let address = peer
  for (const text of hops) {
    const hop = text === null ? null : forwardedAddress(text)
    if (hop === null) break
    address = hop
    if (!trusted.has(hop)) break
  }
  return address
}

function joined (header: Header): string {
  return Array.isArray(header) ? header.join(',') : header ?? ''
}
