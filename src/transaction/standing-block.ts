import type { Decisions } from '../decisions/decisions.ts'
import type { Decision } from '../decisions/shapes.ts'
import type { Transaction } from './transaction.ts'

/** The block that stands, or not: a simulated one refuses nobody. */
export function isBlock (decision: Decision | null): decision is Decision {
  return decision !== null && decision.action === 'BLOCK' && !decision.simulated
}

/**
 * The block that stands against a caller, or null: for connections that stay open. An allow of the key or user lifts
 * the block of its address.
 */
export function standingBlock (
  decisions: Pick<Decisions, 'forAddress' | 'forCaller'>,
  { address, neverBlockApplies, principal }: Pick<Transaction, 'address' | 'neverBlockApplies' | 'principal'>
): Decision | null {
  const byAddress = decisions.forAddress(address as string, neverBlockApplies)
  const decision = decisions.forCaller(principal, byAddress)
  return isBlock(decision) ? decision : null
}
