import { peekWithNets, type Counters } from './counters.ts'
import { bucketOf } from './rates.ts'
import type { LimitStore, RatesInForce } from './shapes.ts'

/** This process counts: the only one of its host, or the primary itself. Nothing is waited for. */
export function createLocalStore (
  { counters, inForce: first }: { counters: Counters, inForce: RatesInForce }
): LimitStore {
  let inForce = first
  const { windows } = counters
  return {
    take: (order) => counters.count(order, inForce),
    peek (order) {
      return peekWithNets(counters, order, inForce)
    },
    noteRefused: (order) => counters.nets.note(order, inForce),
    refund: (order) => windows.refund(bucketOf(order, inForce, false).key, order.points),
    countViolation: (clientKey, ms) => counters.noteViolation(clientKey, ms),
    applyBlock (order, ms) {
      const { key, rate } = bucketOf(order, inForce, false)
      windows.block(key, rate, ms)
    },
    applyForget: (clientKey) => counters.forget(clientKey),
    useRates (next) { inForce = next },
    close () {}
  }
}
