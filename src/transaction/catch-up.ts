import type { History } from '../clients/history.ts'
import type { Verdict } from '../decisions/shapes.ts'
import { decideVerdict, type Thresholds } from '../decisions/verdict.ts'
import { decisiveFactor } from '../detect/decisive-factor.ts'
import { addressKey } from '../std/ip.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Later } from '../threads/shapes.ts'
import { isOfOthers } from './carried.ts'
import type { CrossSiteTurns } from './cross-site-turns.ts'
import type { Transaction } from './transaction.ts'

/**
 * What is made up for: a full score that came after its answer. Only one that would have blocked counts: history learns
 * of the refusal, and playbooks hear of it. A challenge comes too late to be asked, and a sample has had its advice.
 */
export type CatchUp = (transaction: Transaction, later: Later) => void

interface CatchUpParts {
  clients: Pick<History, 'settle'>
  log: Pick<Logger, 'info'>
  thresholds: Thresholds
  crossSiteTurns: Pick<CrossSiteTurns, 'count'>
  /** Playbooks hear of a transaction as it turned out. */
  tell (transaction: Transaction): void
}

export function createCatchUp ({ clients, log, thresholds, crossSiteTurns, tell }: CatchUpParts): CatchUp {
  return function catchUp (transaction, { score, exhausts }) {
    if (transaction.authority === 'sample') return
    if (transaction.crossSite) return countLate(transaction, { score, exhausts })
    if (isOfOthers(transaction)) return
    const { client, address, id, decision, method } = transaction
    const about = { client, address: addressKey(address!) }
    // The limits that it crossed were told with its answer.
    const again = { ...transaction, limit: null, attemptLimited: false }
    if (exhausts) {
      // The status that it would have had: its own has left.
      clients.settle({ ...about, status: 503, action: 'ALLOW', exhausts })
      const verdict: Verdict = { action: 'BLOCK', simulated: thresholds.shadow }
      return tell({ ...again, verdict, unjudged: 'exhausts' })
    }
    if (score === null) return
    const verdict = decideVerdict({ score, decision, method, thresholds })
    if (verdict.action !== 'BLOCK') return
    score.decoy ||= transaction.score?.decoy === true
    log.info({ assessment: id, client, score: score.value, factor: decisiveFactor(score) }, 'a full score came later')
    clients.settle({ ...about, status: 403, action: 'BLOCK', score: score.value, factors: score.factors })
    tell({ ...again, score, scoreWithoutData: null, heldScore: null, verdict, refusedBy: 'score', unjudged: null })
  }

  /** Of another site's page only the bounds of its like hear. */
  function countLate (transaction: Transaction, { score, exhausts }: Later): void {
    const { decision, method, refusedBy } = transaction
    const blocks = exhausts ||
      (score !== null && decideVerdict({ score, decision, method, thresholds }).action === 'BLOCK')
    if (blocks && refusedBy === null && !thresholds.shadow) crossSiteTurns.count(transaction)
  }
}
