import type { Fleet } from '../fleet/port.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Transaction } from './transaction.ts'

/**
 * Peers that forward for others (X-Forwarded-For, Forwarded) and are not in TRUST_PROXY: everybody behind one has its
 * address, so one attacker must not shut out the rest.
 *
 * A private address is a proxy of the operator's own: playbooks decide nothing about it, and only single requests are
 * refused. Anybody on the public internet can send such headers, so a public one is judged by its own address. When
 * several callers with valid credentials have come through it, it is taken for a proxy, and a playbook's block of it is
 * short. Limits hold for either. What is known of peers is told to all processes, and begins anew with a start.
 */
export interface UnnamedProxies {
  /** A request came from such a peer; its principal is known by now. */
  note (transaction: Transaction): void
  /** What a Detection says of the peer. */
  kindOf (transaction: Pick<Transaction, 'address' | 'unnamedProxy'>): 'private' | 'shared' | null
  /** For readiness: TRUST_PROXY lacks one. */
  isSeen (): boolean
}

/** Fewer may be one person with two accounts and a tool that sends the header. */
const CALLERS_MIN = 3
const PEERS_MAX = 1_000
const TOPIC = 'proxies.caller'
const IGNORED = 'X-Forwarded-For or Forwarded from a peer that TRUST_PROXY does not name: it is ignored'

export function createUnnamedProxies (
  { fleet, log }: {
    fleet: Pick<Fleet, 'publish' | 'subscribe'>,
    log: { warn (details: object, message: string): void }
  }
): UnnamedProxies {
  const callers = new BoundedMap<string, Set<string>>(PEERS_MAX)
  let seen = false

  /** True for one that was not known, while it matters. */
  function remember (peer: string, caller: string): boolean {
    const known = callers.use(peer) ?? new Set<string>()
    if (known.size >= CALLERS_MIN || known.has(caller)) return false
    callers.set(peer, known.add(caller))
    return true
  }

  function isShared (peer: string): boolean {
    return (callers.get(peer)?.size ?? 0) >= CALLERS_MIN
  }

  function see (peer: string): void {
    if (!seen) log.warn({ peer }, IGNORED)
    seen = true
  }

  fleet.subscribe(TOPIC, (message) => {
    const [peer, caller] = message as [string, string]
    remember(peer, caller)
    seen ||= isShared(peer)
  })

  return {
    note ({ unnamedProxy, address, principal }) {
      const peer = address as string
      if (unnamedProxy === 'private') return see(peer)
      if (principal === null || !remember(peer, principal.clientKey)) return
      fleet.publish(TOPIC, [peer, principal.clientKey])
      if (isShared(peer)) see(peer)
    },
    kindOf ({ unnamedProxy, address }) {
      if (unnamedProxy !== 'public') return unnamedProxy
      return isShared(address as string) ? 'shared' : null
    },
    isSeen: () => seen
  }
}
