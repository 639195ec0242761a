import type { History } from '../clients/history.ts'
import type { Observation } from '../detect/shapes.ts'
import { addressKey } from '../std/ip.ts'
import type { Transaction } from './transaction.ts'

/**
 * From a transaction to an Observation: what was on the wire, and what its client did before. Nothing is decoded or
 * parsed here; the bytes go to the thread as they came.
 */
export function createObserver (clients: Pick<History, 'observe' | 'peek'>): (transaction: Transaction) => Observation {
  return function observe (transaction) {
    const { id, at, client, method, target, headers, route } = transaction
    const observation: Observation = {
      id,
      at,
      client,
      method,
      url: target,
      headers: headers as string[],
      body: transaction.submittedSample ? null : transaction.body,
      // A decoy is no route of ours: a request for it is judged as if it were not there.
      route: route.isDecoy ? null : route.pattern,
      history: null
    }
    if (transaction.address === null) return observation
    // A sample that nobody acts on, and what another site's page made a browser send, are scored against a history that
    // they do not grow.
    observation.history = transaction.crossSite || (transaction.authority === 'sample' && !transaction.acts)
      ? clients.peek(observation)
      : clients.observe(observation, { address: addressKey(transaction.address), limit: transaction.limit })
    return observation
  }
}
