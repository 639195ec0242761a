import type { Clock, Timer } from '../std/clock.ts'

/**
 * Leases that the primary asked back, per bucket: the processes that have not answered yet, and the work that waits for
 * them.
 */
interface Recall { waitsFor: Set<string>, next: Array<() => void>, timer: Timer }

/**
 * A holder that does not give back in time is taken to have used its lease. Well below the time that a worker waits for
 * an answer.
 */
const RECALL_MS = 50

export class LeaseRecalls {
  readonly #recalls = new Map<string, Recall>()
  readonly #clock: Pick<Clock, 'after'>
  readonly #onLate: (key: string, processId: string) => void

  /** @param onLate told of each holder that did not give back in time, before the work goes on */
  constructor (clock: Pick<Clock, 'after'>, onLate: (key: string, processId: string) => void) {
    this.#clock = clock
    this.#onLate = onLate
  }

  /** Runs `next` when the recall of this bucket is over. True when it begins here: then the holders must be asked. */
  wait (key: string, holders: readonly string[], next: () => void): boolean {
    const underWay = this.#recalls.get(key)
    if (underWay !== undefined) {
      underWay.next.push(next)
      return false
    }
    const timer = this.#clock.after(RECALL_MS, () => this.#giveUp(key))
    this.#recalls.set(key, { waitsFor: new Set(holders), next: [next], timer })
    return true
  }

  /** A holder gave back its lease, or its rest of nothing. */
  answer (key: string, processId: string): void {
    const recall = this.#recalls.get(key)
    if (recall?.waitsFor.delete(processId) === true && recall.waitsFor.size === 0) this.#end(key, recall)
  }

  close (): void {
    for (const { timer } of this.#recalls.values()) timer.cancel()
  }

  #giveUp (key: string): void {
    const recall = this.#recalls.get(key)
    if (recall === undefined) return
    for (const holder of recall.waitsFor) this.#onLate(key, holder)
    this.#end(key, recall)
  }

  #end (key: string, { next, timer }: Recall): void {
    timer.cancel()
    this.#recalls.delete(key)
    for (const run of next) run()
  }
}
