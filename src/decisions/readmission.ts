import type { Clock, Timer } from '../std/clock.ts'
import type { RepeatOffenders } from './repeat-offenders.ts'
import type { Decision } from './shapes.ts'
import { clientKeyOf, subjectKey } from './subject.ts'

/** Updates that siblings still had on the way when a client was forgotten arrive within this. */
const AGAIN_MS = 500
/** Clients that are forgotten a second time; beyond them once must do. */
const WAITING_MAX = 10_000

interface ReadmissionParts {
  clock: Pick<Clock, 'after'>
  offenders: RepeatOffenders
  forgetClient (clientKey: string): void
}

/**
 * Lets a client back in: its next ordinary request must pass, so its step, history, limits and tries are forgotten in
 * this process, and once more when siblings' updates about it have arrived.
 */
export class Readmission {
  readonly #clock: Pick<Clock, 'after'>
  readonly #offenders: RepeatOffenders
  readonly #forgetClient: (clientKey: string) => void
  readonly #timers = new Set<Timer>()

  constructor ({ clock, offenders, forgetClient }: ReadmissionParts) {
    this.#clock = clock
    this.#offenders = offenders
    this.#forgetClient = forgetClient
  }

  /** The client that the decision is about; of a range or a session there is no one client to forget. */
  readmit (decision: Decision): void {
    this.#offenders.forget(subjectKey(decision))
    const client = clientKeyOf(decision)
    if (client === null) return
    this.#forgetClient(client)
    const again = this.#clock.after(AGAIN_MS, () => {
      this.#timers.delete(again)
      this.#forgetClient(client)
    })
    if (this.#timers.size < WAITING_MAX) this.#timers.add(again)
  }

  close (): void {
    for (const timer of this.#timers) timer.cancel()
  }
}
