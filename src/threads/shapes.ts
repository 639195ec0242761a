/** Shapes that the pool and its channels share: one channel per thread, whatever carries the observations to it. */
import type { Observation, Score } from '../detect/shapes.ts'
import type { Policy } from '../detect/policy.ts'

/** One observation that waits for its score. */
export interface Waiting {
  readonly observation: Observation
  readonly startedMs: number
  /** Answers once; later answers are dropped. Null: no thread could say, the cheap score is due. */
  answered: boolean
  resolve: (score: Score) => void
}

/** Events of a channel, for the pool. */
export interface ChannelEvents {
  answer (waiting: Waiting, score: Score | null): void
  /** A thread ended before it was told to. */
  onDeath (reason: string): void
}

/** One thread and the way to it. */
export interface Channel {
  /** Observations that wait or are in hand. */
  size (): number
  /** False when it is full. */
  push (waiting: Waiting): boolean
  /**
   * Collects what is done and stops a thread that has been at one observation for too long. `passedMs`: time
   * that counts.
   */
  tick (passedMs: number): void
  /** True while its thread takes work. */
  isAlive (): boolean
  /** Resolves when the thread took up work for the first time. */
  ready: Promise<void>
  usePolicy (policy: Policy): void
  /** Every waiting observation is answered (null) before it resolves. */
  close (): Promise<void>
}

export interface ChannelOptions {
  workerUrl: URL
  policy: Policy
  events: ChannelEvents
}

/** Observations that one channel holds, waiting or in hand (R31): beyond it the answer is the cheap score. */
export const QUEUE_MAX = 256
/** A thread at one observation for longer is stopped: 64 KiB of the worst text take 5 ms. */
export const HANG_MS = 50
/** How long a thread may take to load before it is given up and another one is started. */
export const THREAD_START_MS_MAX = 5_000
const RESTART_DELAY_MS_MAX = 1_000

/** Pause before the next try after threads that died before they took up work: 10 ms, doubled for each before this. */
export function restartDelayMs (failedStarts: number): number {
  return Math.min(RESTART_DELAY_MS_MAX, 10 * 2 ** Math.min(failedStarts, 10))
}
