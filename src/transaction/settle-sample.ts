import type { History } from '../clients/history.ts'
import type { Playbooks } from '../playbooks/playbooks.ts'
import type { Receipts } from '../receipts/receipts.ts'
import { addressKey } from '../std/ip.ts'
import type { Logger } from '../telemetry/logger.ts'
import { isOfOthers } from './carried.ts'
import { detectionOf, type DetectionOptions } from './detection.ts'
import type { Outcome, Transaction } from './transaction.ts'

/** The fourth call for requests that others saw: what is kept of them, and what acts on those that ask for it. */
interface SampleParts {
  clients: Pick<History, 'settle'>
  log: Pick<Logger, 'error'>
  playbooks: Pick<Playbooks, 'respondToSample'>
  receipts: Pick<Receipts, 'recordSample'>
}

export const UNSETTLED = 'a request could not be settled in full'

/** Its receipt says who saw it; only a sample that acts grows its client's history. */
export function settleSample (
  transaction: Transaction,
  { status }: Outcome,
  { clients, receipts }: Pick<SampleParts, 'clients' | 'receipts'>
): void {
  const { observation, score, verdict, client, address, at, acts, decision } = transaction
  if (observation === null || score === null || verdict === null) return
  if (acts && address !== null && !isOfOthers(transaction)) {
    clients.settle({ client, address: addressKey(address), status, action: verdict.action, score: score.value })
  }
  const seen = { observation, score, verdict, address: address ?? '', at }
  receipts.recordSample({ ...seen, status, decisionId: decision?.id ?? null, external: true }, { acts })
}

/** Never rejects. */
export async function respondToSample (
  transaction: Transaction,
  { playbooks, log }: Pick<SampleParts, 'playbooks' | 'log'>,
  options: DetectionOptions
): Promise<void> {
  const { acts, submitter, id } = transaction
  if (!acts || submitter === null) return
  try {
    const detection = detectionOf(transaction, options)
    if (detection !== null) await playbooks.respondToSample(detection, submitter)
  } catch (error) {
    log.error({ err: error, assessment: id, part: 'the playbooks' }, UNSETTLED)
  }
}
