import type { Clock } from '../std/clock.ts'
import { pause } from '../std/deadline.ts'
import type { StepOutcome } from './shapes.ts'

/** Failed steps of runs that are tried again, up to three times, later and apart, while the other steps stand. */
const RETRIES_MAX = 3
const RETRY_BASE_MS = 100
/** Runs with failed steps; beyond it a failure is final at once. */
const RUNS_MAX = 1_000

export class Retries {
  readonly #clock: Pick<Clock, 'after'>
  readonly #runs = new Set<Promise<void>>()
  readonly #closing = new AbortController()

  constructor (clock: Pick<Clock, 'after'>) {
    this.#clock = clock
  }

  get isFull (): boolean {
    return this.#runs.size >= RUNS_MAX
  }

  /**
   * Takes the failed ones of a run's steps again and puts what they come to in their places; then calls `finish`.
   * `take` takes the step at an index, for the given time (2 and more).
   */
  start (steps: StepOutcome[], take: (index: number, attempts: number) => StepOutcome, finish: () => void): void {
    const failed = steps.flatMap(({ result }, index) => result === 'failed' ? [index] : [])
    const run: Promise<void> = Promise.all(failed.map(async (index) => {
      steps[index] = await this.#again(steps[index]!, (attempts) => take(index, attempts))
    })).then(finish).finally(() => { this.#runs.delete(run) })
    this.#runs.add(run)
  }

  /** Full jitter: steps that failed together must not come back together. */
  async #again (first: StepOutcome, take: (attempts: number) => StepOutcome): Promise<StepOutcome> {
    const { signal } = this.#closing
    let last = first
    for (let retry = 1; retry <= RETRIES_MAX && last.result === 'failed' && !signal.aborted; retry++) {
      await pause(this.#clock, Math.random() * RETRY_BASE_MS * 2 ** retry, signal)
      last = take(retry + 1)
    }
    return last
  }

  /** Resolves when no step waits to be tried again. */
  async settled (): Promise<void> {
    await Promise.all(this.#runs)
  }

  /** Every step that waits is tried now, for the last time. */
  close (): void {
    this.#closing.abort()
  }
}
