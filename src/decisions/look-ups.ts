import type { Principal } from '../identity/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Decision } from './shapes.ts'
import { stronger, type Standing } from './standing.ts'

/** What hops 1 and 3 ask of memory. While nothing stands, an answer costs nothing. */
export interface LookUps {
  /** Hop 1. `neverBlockApplies` false when NEVER_BLOCK's default does not protect this peer. */
  forAddress (address: string, neverBlockApplies?: boolean): Decision | null
  /**
   * Of the same the one that holds for a caller with a valid credential: what a playbook, an import or a region decided
   * about an address says nothing of who shares it; what a person decided does, and so does every allow.
   */
  byPeopleAbout (address: string, neverBlockApplies?: boolean): Decision | null
  /**
   * True when a playbook blocks another address of an IPv6 address's /64, or the /64: who attacks from there now is
   * more than one address. `simulated` ones count for those that are simulated.
   */
  blocksNeighbour (address: string, simulated: boolean): boolean
  /** About the key, user or session. */
  forPrincipal (principal: Principal): Decision | null
  /** Hop 3: the decision that counts, of the caller's own and the one about its address; an allow wins over a block. */
  forCaller (principal: Principal | null, byAddress: Decision | null): Decision | null
}

export function createLookUps ({ standing, clock }: { standing: Standing, clock: Clock }): LookUps {
  function forPrincipal (principal: Principal): Decision | null {
    if (standing.size === 0) return null
    const now = clock.now()
    if (principal.kind === 'key') return standing.forId('KEY', principal.id, now)
    const session = principal.sessionId === null ? null : standing.forId('SESSION', principal.sessionId, now)
    return stronger(session, standing.forId('USER', principal.id, now))
  }

  return {
    forAddress: (address, neverBlockApplies = true) =>
      standing.size === 0 ? null : standing.forAddress(address, clock.now(), neverBlockApplies),
    byPeopleAbout: (address, neverBlockApplies = true) =>
      standing.size === 0 ? null : standing.byPeopleAbout(address, clock.now(), neverBlockApplies),
    blocksNeighbour (address, simulated) {
      const nowMs = clock.now()
      return standing.inSubnetOf({ scope: 'IP', value: address, action: 'BLOCK', originKind: 'playbook' }).some((one) =>
        one.action === 'BLOCK' && one.value !== address && one.simulated === simulated &&
        (one.expiresAt === null || one.expiresAt > nowMs))
    },
    forPrincipal,
    forCaller: (principal, byAddress) => principal === null ? byAddress : stronger(forPrincipal(principal), byAddress)
  }
}
