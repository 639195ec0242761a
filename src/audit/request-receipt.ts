import { AsyncLocalStorage } from 'node:async_hooks'
import type { AuditInput, Receipt } from './shapes.ts'

/**
 * The receipt of the request that is being served, for every event that its work records.
 *
 * Kept in an AsyncLocalStorage in place of an argument through some thirty verbs of five rooms, which the next verb
 * would forget. Entered for mutations and imports alone: where it is not entered it costs nothing (Node keeps it in
 * V8's own context slot).
 */
export class RequestReceipt {
  readonly #current = new AsyncLocalStorage<Receipt>()

  within<T> (receipt: Receipt, work: () => T): T {
    return this.#current.run(receipt, work)
  }

  /** The event as it is recorded: with this request's receipt in it. */
  addTo (input: AuditInput): AuditInput {
    const receipt = this.#current.getStore()
    if (receipt === undefined || receipt.assessmentId === null) return input
    const { assessmentId, score, factor } = input
    if (assessmentId == null || assessmentId === receipt.assessmentId) {
      return { ...input, ...receipt, score: score ?? receipt.score, factor: factor ?? receipt.factor }
    }
    // About another receipt (a run on an old request): this one is named in the details.
    return { ...input, details: { ...input.details, request: receipt.assessmentId } }
  }
}
