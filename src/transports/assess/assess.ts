import { NEKO_ERR_INPUT_INVALID } from '../../errors.ts'
import type { Receipts } from '../../receipts/receipts.ts'
import type { Assessment } from '../../receipts/shapes.ts'
import type { Transaction } from '../../transaction/transaction.ts'
import type { Walk } from '../../transaction/walk.ts'
import { readSample, type AssessRequest, type Sample } from './read-sample.ts'

/**
 * The door for samples: requests that others saw, given to be assessed. Each takes the walk of every request with the
 * authority of a sample, so that nothing of it is believed and nothing is refused.
 *
 * @param requests 1 to 100; answers come in the same order
 * @param options `acts`: they count in their clients' histories, and playbooks hear of them. `submitter`: ClientKey of
 * whoever hands them in
 * @throws NEKO_ERR_INPUT_INVALID naming the request that cannot be read
 */
export type Assess = (
  requests: readonly AssessRequest[],
  options: { acts: boolean, submitter: string }
) => Promise<Assessment[]>

export const REQUESTS_MAX = 100
/** Requests of one call that are with the threads at once, so that it does not crowd out live requests. */
const ASSESSED_AT_ONCE = 16
/** A sample has no answer of ours. */
const UNANSWERED = { status: 0 }

export function createAssess ({ walk, receipts }: { walk: Walk, receipts: Pick<Receipts, 'remembered'> }): Assess {
  return async function assess (requests, { acts, submitter }) {
    if (requests.length < 1 || requests.length > REQUESTS_MAX) {
      throw new NEKO_ERR_INPUT_INVALID(`requests must be from 1 to ${REQUESTS_MAX}`)
    }
    // All are read before the first is scored: one that cannot be read must not leave the others half done.
    const begun = requests.map((request, index) => begin(readSample(request, { index, acts, submitter })))
    const assessed: Assessment[] = []
    for (let i = 0; i < begun.length; i += ASSESSED_AT_ONCE) {
      const scored = await Promise.all(begun.slice(i, i + ASSESSED_AT_ONCE).map(scoreOne))
      // One after the other: each is described in a turn of its own.
      for (const transaction of scored) assessed.push(await settleOne(transaction))
    }
    return assessed
  }

  function begin ({ arrival, body }: Sample): { transaction: Transaction, body: Uint8Array | null } {
    return { transaction: walk.begin(arrival), body }
  }

  async function scoreOne (
    { transaction, body }: { transaction: Transaction, body: Uint8Array | null }
  ): Promise<Transaction> {
    await walk.admit(transaction)
    await walk.inspect(transaction, body === null ? null : { bytes: body, end: 'whole' })
    return transaction
  }

  async function settleOne (transaction: Transaction): Promise<Assessment> {
    walk.settle(transaction, UNANSWERED)
    await walk.respondToSample(transaction)
    const assessment = await receipts.remembered(transaction.id)
    if (assessment === null) throw new Error('a sample left no receipt')
    return assessment
  }
}
