/**
 * The walk of a request, which no transport owns: four calls, each of which goes out and comes back once.
 *
 *     begin    -> a Transaction: the receipt's id, and what the transport read before the body
 *     admit    -> hops 1 to 4: standing decision, credential, decision about the caller, limit
 *     inspect  -> hops 5 to 7: observation, score on a thread, verdict, the rules for samples, challenges and decoys
 *     settle   -> hop 9: receipt, history, metrics, playbooks, one log line
 *
 * Owns: the order of the hops, and what each leaves in the Transaction. Never does: know a framework, a socket or a
 * detection rule; call back into a transport; write an answer. A refusal is data, and each transport says it in its
 * own words: HTTP (transports/http), operations of a WebSocket (transports/websocket), samples that others saw
 * (transports/assess). The order is the cheapest first: a blocked address costs hop 1 only, and `admit` answers it
 * without a promise.
 */
import { createAdmit, type Admit, type AdmitParts } from './admit.ts'
import { createBegin, type Begin } from './begin.ts'
import { createInspect, type Inspect, type InspectParts } from './inspect.ts'
import { createCrossSiteTurns } from './cross-site-turns.ts'
import { createSettle, type Settle, type SettleParts } from './settle.ts'

export interface Walk {
  begin: Begin
  /** Null when the request may go on. */
  admit: Admit
  /** Null when the request may go on. Never rejects. */
  inspect: Inspect
  /** Once per transaction. Never throws. */
  settle: Settle['settle']
  /** After `settle`, for a sample: whatever acts on it has acted when this resolves. */
  respondToSample: Settle['respondToSample']
}

type OfParts = AdmitParts & Omit<InspectParts, 'respond' | 'catchUp'> & SettleParts
  & Parameters<typeof createCrossSiteTurns>[0]
export type WalkParts = Omit<OfParts, 'thresholds' | 'crossSiteTurns'> & {
  processId: string
  challengeThreshold: number
  blockThreshold: number
  shadow: boolean
}

export function createWalk (parts: WalkParts): Walk {
  const { challengeThreshold: challenge, blockThreshold: block, shadow } = parts
  const thresholds = { challenge, block, shadow }
  const crossSiteTurns = createCrossSiteTurns(parts)
  const { settle, respond, respondToSample, catchUp } = createSettle({ ...parts, thresholds, crossSiteTurns })
  const inspect = createInspect({ ...parts, thresholds, respond, catchUp })
  return {
    begin: createBegin(parts),
    admit: createAdmit(parts),
    inspect: (transaction, body) => transaction.crossSite
      ? crossSiteTurns.take(transaction, async () => inspect(transaction, body))
      : inspect(transaction, body),
    settle,
    respondToSample
  }
}
