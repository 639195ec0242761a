import { addressNumber, createAddressSet, ipv4Number, parseCidr } from '../std/ip.ts'
import type { Decision, DecisionScope } from './shapes.ts'

/**
 * All standing decisions of the fleet in memory, found by address, range, key, user or session.
 *
 * Hop 1 asks it for every request, so: one Map look-up for exact addresses, then one per prefix length that is in use
 * (a dozen at most in practice, 33 + 129 at worst). An allow wins over every block, a block over a challenge, real over
 * simulated. Pure of time but for `nowMs` arguments: an expired decision is never returned, whether swept or not.
 */
export interface Standing {
  put (decision: Decision): void
  remove (id: string): Decision | null
  get (id: string): Decision | null
  /** Bare address, canonical. `covered` false lifts the protection of NEVER_BLOCK from it. */
  forAddress (address: string, nowMs: number, neverBlock: boolean): Decision | null
  forId (scope: 'KEY' | 'USER' | 'SESSION', id: string, nowMs: number): Decision | null
  /** Takes out what expired and returns it. */
  sweep (nowMs: number): Decision[]
  values (): IterableIterator<Decision>
  readonly size: number
}

export function createStanding ({ neverBlock }: { neverBlock: readonly string[] }): Standing {
  const byId = new Map<string, Decision>()
  const exact = new Map<string, Decision[]>()
  const ranges = createRangeIndex()
  const expiring = new Map<number, Set<string>>()
  const spared = createAddressSet(neverBlock)

  const keyOf = (scope: DecisionScope, value: string): string => scope === 'IP' ? value : `${scope}|${value}`

  function put (decision: Decision): void {
    remove(decision.id)
    byId.set(decision.id, decision)
    if (decision.scope === 'RANGE') ranges.add(decision)
    else {
      const key = keyOf(decision.scope, decision.value)
      const list = exact.get(key)
      if (list === undefined) exact.set(key, [decision])
      else list.push(decision)
    }
    if (decision.expiresAt !== null) {
      const second = Math.floor(decision.expiresAt / 1000)
      const bucket = expiring.get(second)
      if (bucket === undefined) expiring.set(second, new Set([decision.id]))
      else bucket.add(decision.id)
    }
  }

  function remove (id: string): Decision | null {
    const decision = byId.get(id)
    if (decision === undefined) return null
    byId.delete(id)
    if (decision.scope === 'RANGE') ranges.delete(decision)
    else {
      const key = keyOf(decision.scope, decision.value)
      const rest = (exact.get(key) ?? []).filter((other) => other.id !== id)
      if (rest.length === 0) exact.delete(key)
      else exact.set(key, rest)
    }
    if (decision.expiresAt !== null) {
      const second = Math.floor(decision.expiresAt / 1000)
      const bucket = expiring.get(second)
      bucket?.delete(id)
      if (bucket?.size === 0) expiring.delete(second)
    }
    return decision
  }

  function forAddress (address: string, nowMs: number, covered: boolean): Decision | null {
    let best = strongest(exact.get(address), nowMs, null)
    if (ranges.size > 0) best = ranges.strongest(address, nowMs, best)
    if (best !== null && best.action === 'BLOCK' && covered && spared.has(address)) return null
    return best
  }

  return {
    put,
    remove,
    get: (id) => byId.get(id) ?? null,
    forAddress,
    forId: (scope, id, nowMs) => strongest(exact.get(keyOf(scope, id)), nowMs, null),
    sweep (nowMs) {
      const second = Math.floor(nowMs / 1000)
      const gone: Decision[] = []
      for (const [at, ids] of expiring) {
        if (at > second) continue
        for (const id of [...ids]) {
          const decision = byId.get(id)
          if (decision !== undefined && decision.expiresAt! <= nowMs) { remove(id); gone.push(decision) }
        }
      }
      return gone
    },
    values: () => byId.values(),
    get size () { return byId.size }
  }
}

const RANK = { ALLOW: 3, BLOCK: 2, CHALLENGE: 1 } as const

function strongest (list: readonly Decision[] | undefined, nowMs: number, best: Decision | null): Decision | null {
  if (list === undefined) return best
  for (const decision of list) {
    if (decision.expiresAt !== null && decision.expiresAt <= nowMs) continue
    if (best === null || rank(decision) > rank(best)) best = decision
  }
  return best
}

function rank (decision: Decision): number {
  return decision.simulated ? RANK[decision.action] - 3.5 : RANK[decision.action]
}

interface RangeIndex {
  add (decision: Decision): void
  delete (decision: Decision): void
  strongest (address: string, nowMs: number, best: Decision | null): Decision | null
  readonly size: number
}

/** Ranges by prefix length: the masked address is the key. */
function createRangeIndex (): RangeIndex {
  const four = new Map<number, Map<number, Decision[]>>()
  const six = new Map<number, Map<bigint, Decision[]>>()
  let size = 0

  function place (decision: Decision): [Map<number | bigint, Decision[]>, number | bigint] | null {
    const cidr = parseCidr(decision.value)
    if (cidr === null) return null
    const lengths = (cidr.family === 4 ? four : six) as Map<number, Map<number | bigint, Decision[]>>
    let table = lengths.get(cidr.bits)
    if (table === undefined) lengths.set(cidr.bits, table = new Map())
    return [table, cidr.family === 4 ? Number(cidr.first) : cidr.first]
  }

  return {
    get size () { return size },
    add (decision) {
      const found = place(decision)
      if (found === null) return
      const [table, key] = found
      const list = table.get(key)
      if (list === undefined) table.set(key, [decision])
      else list.push(decision)
      size++
    },
    delete (decision) {
      const found = place(decision)
      if (found === null) return
      const [table, key] = found
      const list = table.get(key) ?? []
      const rest = list.filter((other) => other.id !== decision.id)
      size -= list.length - rest.length
      if (rest.length === 0) table.delete(key)
      else table.set(key, rest)
    },
    strongest (address, nowMs, best) {
      if (!address.includes(':')) {
        if (four.size === 0) return best
        const value = ipv4Number(address)
        for (const [bits, table] of four) if (table.size > 0) best = strongest(table.get(bits === 0 ? 0 : value - value % 2 ** (32 - bits)), nowMs, best)
        return best
      }
      if (six.size === 0) return best
      const value = addressNumber(address)
      for (const [bits, table] of six) {
        const host = BigInt(128 - bits)
        if (table.size > 0) best = strongest(table.get((value >> host) << host), nowMs, best)
      }
      return best
    }
  }
}
