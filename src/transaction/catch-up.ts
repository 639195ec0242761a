import type { History } from '../clients/history.ts'
import type { Verdict } from '../decisions/shapes.ts'
import { decideVerdict, type Thresholds } from '../decisions/verdict.ts'
import { decisiveFactor } from '../detect/decisive-factor.ts'
import { addressKey } from '../std/ip.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Later } from '../threads/shapes.ts'
import type { Transaction } from './transaction.ts'

/**
 * What is made up for: the full score of a request that was answered before there was one. Nothing is refused by it any
 * more; history learns it, and playbooks may act, as if it had been there in time. A sample has had its advice.
 */
export type CatchUp = (transaction: Transaction, later: Later) => void

interface CatchUpParts {
  clients: Pick<History, 'settle'>
  log: Pick<Logger, 'info'>
  thresholds: Thresholds
  /** Playbooks hear of a transaction as it turned out. */
  tell (transaction: Transaction): void
}

export function createCatchUp ({ clients, log, thresholds, tell }: CatchUpParts): CatchUp {
  return function catchUp (transaction, { score, exhausts }) {
    if (transaction.authority === 'sample') return
    const { client, address, id, decision, method } = transaction
    const about = { client, address: addressKey(address!) }
    if (exhausts) {
      clients.settle({ ...about, status: 503, action: 'ALLOW', exhausts })
      const verdict: Verdict = { action: 'BLOCK', simulated: thresholds.shadow }
      return tell({ ...transaction, limit: null, verdict, unjudged: 'exhausts' })
    }
    if (score === null) return
    const writes = method !== 'GET' && method !== 'HEAD'
    const verdict = decideVerdict({ score, decision, writes, thresholds })
    score.decoy ||= transaction.score?.decoy === true
    if (verdict.action !== 'BLOCK') return
    log.info({ assessment: id, client, score: score.value, factor: decisiveFactor(score) }, 'a full score came later')
    clients.settle({ ...about, status: 403, action: 'BLOCK', score: score.value, factors: score.factors })
    tell({ ...transaction, limit: null, score, verdict, refusedBy: 'score', unjudged: null })
  }
}
