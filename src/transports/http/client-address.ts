import { canonicalAddress, type AddressSet } from '../../std/ip.ts'

/**
 * The client at the other end, worked out once per request (Fastify's `request.ip` under trustProxy costs 7 us
 * each time).
 */
interface ClientAddress {
  /** Canonical. */
  address: string
  /** X-Forwarded-For came from a peer that we were not told to believe. */
  untrustedForwarding: boolean
}

/** Addresses looked at from the right of X-Forwarded-For; further left is the client's own invention. */
const HOPS_MAX = 20

/**
 * The client's address: the peer's, or the rightmost address of X-Forwarded-For that is no trusted proxy when the peer
 * is one. Several headers count as one list (RFC 9110 5.3); garbage in the list ends the walk at the last
 * believable hop.
 */
export function clientAddress (
  peer: string | undefined,
  forwarded: string | string[] | undefined,
  trusted: AddressSet
): ClientAddress {
  const peerAddress = canonicalAddress(peer ?? '') ?? '0.0.0.0'
  if (forwarded === undefined) return { address: peerAddress, untrustedForwarding: false }
  if (!trusted.has(peerAddress)) return { address: peerAddress, untrustedForwarding: true }
  const list = (Array.isArray(forwarded) ? forwarded.join(',') : forwarded).split(',')
  let address = peerAddress
  for (let i = list.length - 1; i >= 0 && i >= list.length - HOPS_MAX; i--) {
    const hop = canonicalAddress((list[i] as string).trim())
    if (hop === null) break
    address = hop
    if (!trusted.has(hop)) break
  }
  return { address, untrustedForwarding: false }
}
