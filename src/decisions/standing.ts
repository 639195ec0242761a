import type { NeverBlock } from './never-block.ts'
import { RangeIndex } from './range-index.ts'
import { holdsForSignedIn, type Action, type Decision, type DecisionScope } from './shapes.ts'
import { Subnets } from './subnets.ts'

/**
 * All standing decisions of the fleet in memory, found by address, range, key, user or session.
 *
 * Hop 1 asks it for every request, so: addresses and ranges stand in one index of numbers (range-index.ts),
 * and only keys, users and sessions in a Map by text. An allow wins over every block, a block over a
 * challenge, real over simulated. Pure of time but for `nowMs` arguments: an expired decision is never
 * returned, whether swept or not.
 */
export interface Standing {
  put (decision: Decision): void
  remove (id: string): Decision | null
  get (id: string): Decision | null
  /** Bare address, canonical. `neverBlockApplies` false lifts the protection of NEVER_BLOCK from it. */
  forAddress (address: string, nowMs: number, neverBlockApplies: boolean): Decision | null
  /** The same of what holds for callers with a valid credential: blocks and challenges by people, and every allow. */
  byPeopleAbout (address: string, nowMs: number, neverBlockApplies: boolean): Decision | null
  forId (scope: 'KEY' | 'USER' | 'SESSION', id: string, nowMs: number): Decision | null
  /** All about the same client, expired ones included. */
  about (decision: Pick<Decision, 'scope' | 'value'>): readonly Decision[]
  /** What playbooks decided against the IPv6 /64 of this decision, expired ones included. */
  inSubnetOf (decision: Pick<Decision, 'scope' | 'value' | 'action' | 'originKind'>): readonly Decision[]
  /** The other decision of its kind of origin about the same client, with the same action: of those one stands. */
  rivalOf (decision: Decision, nowMs: number): Decision | null
  /** Takes out what expired and returns it. */
  sweep (nowMs: number): Decision[]
  values (): MapIterator<Decision>
  readonly size: number
  /** Real ones only. */
  active (): Record<Action, number>
  /** Equal for equal sets of decisions, whatever their order. */
  digest (): number
}

export function createStanding ({ neverBlock }: { neverBlock: NeverBlock }): Standing {
  const byId = new Map<string, Decision>()
  const named = new Map<string, Decision[]>()
  const ranges = new RangeIndex(before)
  const subnets = new Subnets()
  const expiring = new Map<number, Set<string>>()
  const active: Record<Action, number> = { ALLOW: 0, CHALLENGE: 0, BLOCK: 0 }
  let digest = 0
  const find = createFinder(ranges, active)

  const keyOf = (scope: DecisionScope, value: string): string => `${scope}|${value}`
  const isNetwork = (scope: DecisionScope): boolean => scope === 'IP' || scope === 'RANGE'

  function count (decision: Decision, by: 1 | -1): void {
    digest ^= hashOf(decision)
    if (!decision.simulated) active[decision.action] += by
  }

  function put (decision: Decision): void {
    remove(decision.id)
    byId.set(decision.id, decision)
    count(decision, 1)
    if (isNetwork(decision.scope)) {
      ranges.add(decision)
      subnets.add(decision)
    } else {
      const key = keyOf(decision.scope, decision.value)
      const list = named.get(key)
      if (list === undefined) named.set(key, [decision])
      else {
        list.push(decision)
        list.sort((one, other) => before(one, other) ? -1 : 1)
      }
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
    count(decision, -1)
    if (isNetwork(decision.scope)) {
      ranges.delete(decision)
      subnets.delete(decision)
    } else {
      const key = keyOf(decision.scope, decision.value)
      const rest = (named.get(key) ?? []).filter((other) => other.id !== id)
      if (rest.length === 0) named.delete(key)
      else named.set(key, rest)
    }
    if (decision.expiresAt !== null) {
      const second = Math.floor(decision.expiresAt / 1000)
      const bucket = expiring.get(second)
      bucket?.delete(id)
      if (bucket?.size === 0) expiring.delete(second)
    }
    return decision
  }

  function spare (found: Decision | null, address: string, neverBlockApplies: boolean): Decision | null {
    return found?.action === 'BLOCK' && neverBlockApplies && neverBlock.coversAddress(address) ? null : found
  }

  function about ({ scope, value }: Pick<Decision, 'scope' | 'value'>): readonly Decision[] {
    return isNetwork(scope) ? ranges.about(value) : named.get(keyOf(scope, value)) ?? []
  }

  return {
    put,
    remove,
    get: (id) => byId.get(id) ?? null,
    forAddress: (address, nowMs, neverBlockApplies) => spare(find(address, nowMs, false), address, neverBlockApplies),
    byPeopleAbout: (address, nowMs, neverBlockApplies) => spare(find(address, nowMs, true), address, neverBlockApplies),
    forId: (scope, id, nowMs) => strongest(named.get(keyOf(scope, id)), nowMs, null),
    about,
    inSubnetOf: (decision) => subnets.around(decision),
    rivalOf (decision, nowMs) {
      return about(decision).find((other) =>
        other.id !== decision.id && other.action === decision.action &&
        other.originKind === decision.originKind && other.simulated === decision.simulated &&
        (other.expiresAt === null || other.expiresAt > nowMs)
      ) ?? null
    },
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
    get size () { return byId.size },
    active: () => ({ ...active }),
    digest: () => digest
  }
}

type Find = (address: string, nowMs: number, byPeople: boolean) => Decision | null

/** Hop 1's visit without a closure per request: one question at a time. */
function createFinder (ranges: RangeIndex, active: Readonly<Record<Action, number>>): Find {
  let best: Decision | null = null
  let askedMs = 0
  let askedByPeople = false
  const consider = (first: Decision, decisions: readonly Decision[]): boolean => {
    if (askedByPeople) best = strongest(decisions.filter(holdsForSignedIn), askedMs, best)
    else if (best === null || rank(first) > rank(best)) {
      best = first.expiresAt === null || first.expiresAt > askedMs
        ? first
        : strongest(decisions, askedMs, best)
    }
    // Only an allow is stronger than a block, and mostly there is none.
    return best !== null && !best.simulated &&
      (best.action === 'ALLOW' || (best.action === 'BLOCK' && active.ALLOW === 0))
  }

  return function find (address, nowMs, byPeople) {
    askedMs = nowMs
    askedByPeople = byPeople
    best = null
    if (ranges.size > 0) ranges.visit(address, consider)
    return best
  }
}

/** The one of two that counts: an allow over every block, a block over a challenge, real over simulated. */
export function stronger (one: Decision | null, other: Decision | null): Decision | null {
  if (one === null || other === null) return one ?? other
  return rank(other) > rank(one) ? other : one
}

/** Of a list in the order of `before`: the first that has not expired. */
function strongest (list: readonly Decision[] | undefined, nowMs: number, best: Decision | null): Decision | null {
  if (list === undefined) return best
  for (const decision of list) {
    if (best !== null && rank(decision) <= rank(best)) return best
    if (decision.expiresAt === null || decision.expiresAt > nowMs) return decision
  }
  return best
}

/** The stronger first, of equals the one that lasts longer. */
function before (one: Decision, other: Decision): boolean {
  const by = rank(one) - rank(other)
  return by > 0 || (by === 0 && (one.expiresAt ?? Infinity) > (other.expiresAt ?? Infinity))
}

/** Whole numbers: hop 1 compares them for every decision about an address. */
function rank ({ action, simulated }: Decision): number {
  const real = action === 'ALLOW' ? 6 : action === 'BLOCK' ? 5 : 4
  return simulated ? real - 3 : real
}

/** FNV-1a of what makes a decision itself. */
function hashOf ({ id, expiresAt }: Decision): number {
  const text = `${id}${expiresAt ?? ''}`
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash
}
