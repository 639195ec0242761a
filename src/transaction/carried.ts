import { decideVerdict, type Thresholds } from '../decisions/verdict.ts'
import type { Observation, Score } from '../detect/shapes.ts'
import type { Unjudged } from '../threads/shapes.ts'
import { asHeld, withoutOperation } from './held-score.ts'
import type { Transaction } from './transaction.ts'

/**
 * What a browser carries for others: a sister of ours sets cookies for the whole domain, and the page that was left is
 * the Referer. A request that would be refused for these alone is refused; but nobody who sat at that browser asked for
 * it, so it makes no block and teaches no history.
 */
type Rescore = (observation: Observation) => Promise<{ score: Score, unjudged: Unjudged | null }>

/** A page of another site made it, or is the only reason why it is refused: it is held against nobody. */
export function isOfOthers (
  { crossSite, refusedForCarried }: Pick<Transaction, 'crossSite' | 'refusedForCarried'>
): boolean {
  return crossSite || refusedForCarried
}

/** Asks for another score only of requests that would be refused and carry something. Never throws. */
export async function isRefusedForCarried (
  transaction: Transaction,
  { thresholds, rescore }: { thresholds: Thresholds, rescore: Rescore }
): Promise<boolean> {
  const { verdict, score, observation, decision, method, crossSite, unjudged } = transaction
  if (verdict?.action !== 'BLOCK' || crossSite || score === null || observation === null) return false
  if (score.decoy === true || transaction.route.isDecoy || unjudged === 'exhausts') return false
  const headers = withoutCarried(observation.headers)
  if (headers === null) return false
  // Refused for its operation: that is not held against its caller as it is.
  if (asHeld(transaction, thresholds).verdict?.action !== 'BLOCK') return false
  const rest = withoutOperation(transaction) ?? observation
  const found = await rescore({ ...rest, headers })
  if (found.unjudged !== null && found.unjudged !== unjudged) return false
  return decideVerdict({ score: found.score, decision, method, thresholds }).action !== 'BLOCK'
}

/** Null where there is nothing to take out. */
function withoutCarried (headers: readonly string[]): string[] | null {
  const rest = [...headers]
  let isCarried = false
  for (let i = 0; i + 1 < rest.length; i += 2) {
    const name = rest[i] as string
    if ((name.length !== 6 && name.length !== 7) || !CARRIED.has(name.toLowerCase()) || rest[i + 1] === '') continue
    rest[i + 1] = ''
    isCarried = true
  }
  return isCarried ? rest : null
}

const CARRIED: ReadonlySet<string> = new Set(['cookie', 'referer'])
