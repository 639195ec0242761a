import type { LimitStore } from './shapes.ts'
import type { Ledger } from './counters.ts'
import { bucketOf } from './rates.ts'
import type { Terms } from './rates.ts'

/** This process counts: the only one of its host, or the primary itself. Nothing is waited for. */
export function createLocalStore ({ ledger, terms: first }: { ledger: Ledger, terms: Terms }): LimitStore {
  let terms = first
  const { windows } = ledger
  return {
    take: (order) => ledger.count(order, terms),
    peek (order) {
      const { key, tier, rate } = bucketOf(order, terms, false)
      return windows.peek(tier, key, rate)
    },
    refund: (order) => windows.refund(bucketOf(order, terms, false).key, order.points),
    countViolation: (clientKey, ms) => ledger.noteViolation(clientKey, ms),
    applyBlock (order, ms) {
      const { key, rate } = bucketOf(order, terms, false)
      windows.block(key, rate, ms)
    },
    applyForget: (clientKey) => ledger.forget(clientKey),
    useTerms (next) { terms = next },
    close () {}
  }
}
