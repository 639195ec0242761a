import type { Decisions } from '../decisions/decisions.ts'
import { holdsForSignedIn, type Decision } from '../decisions/shapes.ts'
import type { Transaction } from './transaction.ts'

/** The block that stands, or not: a simulated one refuses nobody. */
export function isBlock (decision: Decision | null): decision is Decision {
  return decision !== null && decision.action === 'BLOCK' && !decision.simulated
}

type Asked = Pick<Decisions, 'forAddress' | 'byPeopleAbout' | 'forCaller'>
type Caller = Pick<Transaction, 'address' | 'neverBlockApplies' | 'unnamedProxy' | 'principal'>

/**
 * Hop 3: the decision about a caller. One that a rule made about an address does not hold for a valid credential: many
 * share an address, and one of them must not shut out the others; nor for a private proxy that TRUST_PROXY lacks, since
 * it may stand before everybody. That of the credential itself does, and an allow of either lifts every block.
 */
export function decisionAbout (
  decisions: Omit<Asked, 'forAddress'>,
  { address, neverBlockApplies, unnamedProxy, principal }: Caller,
  byAddress: Decision | null
): Decision | null {
  const isSpared = principal !== null || unnamedProxy === 'private'
  const holds = byAddress === null || !isSpared || holdsForSignedIn(byAddress)
  return decisions.forCaller(principal, holds ? byAddress : decisions.byPeopleAbout(address!, neverBlockApplies))
}

/** The block that stands against a caller, or null: for connections that stay open. */
export function standingBlock (decisions: Asked, caller: Caller): Decision | null {
  const byAddress = decisions.forAddress(caller.address as string, caller.neverBlockApplies)
  const decision = decisionAbout(decisions, caller, byAddress)
  return isBlock(decision) ? decision : null
}
