import type { Tier } from '../identity/shapes.ts'
import { widerNets } from '../std/ip.ts'
import { refused } from './answers.ts'
import { bucketOf } from './rates.ts'
import { KNOWN } from './shapes.ts'
import type { Bucket, LimitAnswer, Order, RatesInForce } from './shapes.ts'
import type { WindowLimiter } from './window.ts'

/**
 * Limits of the /56 and the /48 around an IPv6 client, which is a /64: whoever has a /48 has 65,536 of those, and went
 * on with the next one when one was limited.
 *
 * Only a client that is new in its window is refused for its network: one with requests in it goes on as it was,
 * whatever its neighbours do, and a new one is refused until the network's window has room. Attempts and refused
 * credentials are all counted, in the /48 no more of one /56 than that may have, so that no customer fills the /48 of
 * a provider; of requests each client's first one, so that a client that is known costs what it did, and one of IPv4
 * always. Requests that were refused by their score count beside them, and are looked at with
 * the first of a client.
 */
export interface Nets {
  /** A client's own count had room; null when its networks have room too, and counted it. */
  count (order: Order, inForce: RatesInForce, about: { isNew: boolean, weight: number }): LimitAnswer | null
  /** The refusal that a client without a count of its own would get. */
  peek (order: Order, inForce: RatesInForce): LimitAnswer | null
  /** What was refused by its score. */
  note (order: Order, inForce: RatesInForce): void
}

/** Of the client's own limit: the /56's, and the /48's. */
const FACTORS: Readonly<Record<string, readonly [number, number]>> = {
  request: [16, 64],
  attempt: [4, 16],
  failed: [4, 16],
  'cross-site': [4, 16],
  refused: [4, 16]
}
export const REFUSED = 'refused'

/** Of the orders that have networks to count in: a few characters to look at for all others. */
export function hasNets ({ client }: Pick<Order, 'client'>): boolean {
  return client.endsWith('::/64') && !client.startsWith(KNOWN)
}

/** Nobody asked for what other sites' pages send: no client goes on with it when its networks are full. */
export function mayBeKnown ({ kind }: Pick<Order, 'kind'>): boolean {
  return kind !== 'cross-site'
}

/** The buckets that are looked at for an order: those it is counted in, and for a request those of refused ones. */
export function netBuckets (order: Order, inForce: RatesInForce): readonly Bucket[] {
  const counted = countedBuckets(order, inForce)
  return order.kind === 'request' ? [...counted, ...countedBuckets({ ...order, kind: REFUSED }, inForce)] : counted
}

/** The /56's and the /48's, in which an order is counted beside its client's own. */
function countedBuckets (order: Order, inForce: RatesInForce): readonly Bucket[] {
  const factors = FACTORS[order.kind]
  if (factors === undefined) return []
  return widerNets(order.client).map((client, i) => netBucket({ ...order, client }, inForce, factors[i]!))
}

function netBucket (order: Order, inForce: RatesInForce, factor: number): Bucket {
  const { key, tier, rate } = bucketOf(order, inForce, false)
  // No block: a network is many people, and its window moves on.
  return { key, tier, rate: { max: rate.max * factor, windowSeconds: rate.windowSeconds, blockSeconds: 0 } }
}

interface NetsOptions {
  windows: WindowLimiter
  onAdmitted (key: string, tier: Tier, points: number): void
}

export function createNets ({ windows, onAdmitted }: NetsOptions): Nets {
  function add ({ key, tier, rate }: Bucket, points: number): void {
    windows.absorb(key, rate, points)
    onAdmitted(key, tier, points)
  }

  function addTo (order: Order, inForce: RatesInForce, points: number): void {
    const [of56, of48] = countedBuckets(order, inForce)
    if (of56 === undefined || of48 === undefined) return
    add(of56, points)
    if (order.kind !== 'request') {
      // Counted apart: known clients take the /56 beyond its limit, where it must go on refusing new ones.
      const key = `${of56.key} in its /48`
      if (!windows.take(of56.tier, key, of56.rate, points).allowed) return
      onAdmitted(key, of56.tier, points)
    }
    add(of48, points)
  }

  function refusalOf (buckets: readonly Bucket[], weight: number): LimitAnswer | null {
    for (const [net, { key, tier, rate }] of buckets.entries()) {
      const { allowed, count, retryAfterMs } = windows.peek(tier, key, rate)
      if (allowed && count + weight <= rate.max) continue
      const ms = allowed ? 1_000 : retryAfterMs
      return { ...refused({ tier, rate, count, retryAfterMs: ms, crossed: false, store: 'local' }), net }
    }
    return null
  }

  return {
    count (order, inForce, { isNew, weight }) {
      if (order.kind === 'request' && !isNew) return null
      const refusal = isNew || !mayBeKnown(order) ? refusalOf(netBuckets(order, inForce), weight) : null
      if (refusal === null) addTo(order, inForce, weight)
      return refusal
    },
    peek: (order, inForce) => refusalOf(netBuckets(order, inForce), 1),
    note: (order, inForce) => addTo(order, inForce, order.points)
  }
}
