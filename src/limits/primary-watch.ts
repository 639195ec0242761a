import type { Clock, Timer } from '../std/clock.ts'

/**
 * Whether the primary answers. Silence is noticed by a timer that runs while a batch is under way; a silent primary is
 * asked again once a second (it may have lost the question), and any answer of its ends the silence.
 */
/** The delay that a shared limiter may cost a request before the process decides alone. */
const ANSWER_MS_MAX = 100
/** A primary that hands out hundreds of connections meanwhile (a burst at a cold start) is busy, not silent. */
const BUSY_MS_MAX = 500
const PROBE_MS = 1_000

interface PrimaryWatchOptions {
  clock: Pick<Clock, 'monotonic' | 'after'>
  /** When the batch that is under way left; null when none is. */
  sentAtMs (): number | null
  /** When anything of the primary's was last heard. */
  heardAtMs (): number
  onSilent (waitedMs: number): void
  probe (): void
}

export class PrimaryWatch {
  readonly #options: PrimaryWatchOptions
  #timer: Timer | null = null
  #isSilent = false
  #isClosed = false

  constructor (options: PrimaryWatchOptions) {
    this.#options = options
  }

  get isSilent (): boolean {
    return this.#isSilent
  }

  /** A batch has left. */
  start (): void {
    if (this.#timer === null) this.#lookIn(ANSWER_MS_MAX)
  }

  /** An answer came: true when the primary was silent until now. */
  hear (): boolean {
    const wasSilent = this.#isSilent
    this.#isSilent = false
    return wasSilent
  }

  /** Nobody is asked any more. */
  close (): void {
    this.#isClosed = true
    this.#isSilent = true
    this.#timer?.cancel()
  }

  #lookIn (ms: number): void {
    // By the time of the look all messages in the channel have been read: a stall of our own is no silence of the
    // primary's.
    this.#timer = this.#options.clock.after(ms, () => setImmediate(() => this.#look()))
  }

  #look (): void {
    if (this.#isClosed) return
    const { clock, sentAtMs, heardAtMs, onSilent, probe } = this.#options
    const nowMs = clock.monotonic()
    const sentMs = sentAtMs()
    if (this.#isSilent) {
      if (sentMs === null || nowMs - sentMs >= PROBE_MS) probe()
      return this.#lookIn(PROBE_MS)
    }
    if (sentMs === null) {
      this.#timer = null
      return
    }
    const leftMs = answerTimeLeftMs({ nowMs, sentMs, heardMs: heardAtMs() })
    if (leftMs > 0) return this.#lookIn(leftMs)
    this.#isSilent = true
    onSilent(nowMs - sentMs)
    this.#lookIn(PROBE_MS)
  }
}

/**
 * How much longer the primary may take, ms; 0 or less when it is silent. Counted from the moment when the batch was
 * sent: a long turn of our own before that says nothing of the primary.
 */
export function answerTimeLeftMs (
  { nowMs, sentMs, heardMs }: { nowMs: number, sentMs: number, heardMs: number }
): number {
  return Math.min(sentMs + BUSY_MS_MAX, Math.max(sentMs, heardMs) + ANSWER_MS_MAX) - nowMs
}
