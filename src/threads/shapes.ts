/** Shapes that the pool and its channels share: one channel per thread, whatever carries the observations to it. */
import type { Observation, Score } from '../detect/shapes.ts'
import type { Policy } from '../detect/policy.ts'
import type { Clock } from '../std/clock.ts'

/**
 * Why a request gets no verdict. `exhausts`: its text used up its thread's time, or its thread died of it, at its
 * second try too (at the first where there is none). `unfinished`: it has used more thread time than any ordinary text,
 * and its second try has not ended. `backlog`: its client's own work stands before it. `full`: the line is full of
 * heavy requests.
 */
export type Unjudged = 'exhausts' | 'unfinished' | 'backlog' | 'full'

/** What became of a request after its answer: its full score, or that its text exhausted the threads. */
export interface Later { readonly score: Score | null, readonly exhausts: boolean }

export interface Answer {
  /** The full score, or the cheap one, marked `degraded`. */
  readonly score: Score
  /** The client's own doing, or what a full line means for it: the request is refused. Null: the score stands. */
  readonly unjudged: Unjudged | null
  /** Of a request that was answered before a thread was through with it. Never rejects. */
  readonly later: Promise<Later> | null
}

/** On whose behalf a score is asked for. */
export interface Ask {
  /** ClientKey: whose work it is. */
  readonly client: string
  /** A text that exhausted a thread is tried once more; elsewhere the first stop decides. */
  readonly secondTry: boolean
  /** Waits longer for the full score, and no backlog refuses it: what others saw, handed in. */
  readonly patient: boolean
}

/** How a thread ended over a text. `cpu`: it used up its time. `died`: by itself. `stopped`: by us, for silence. */
export type ThreadEnd = 'cpu' | 'died' | 'stopped'

/** One observation that waits for its score. */
export interface Waiting {
  /** With a body of its own once it was answered in a hurry: the memory of the first is given back then. */
  observation: Observation
  readonly ask: Ask
  readonly startedMs: number
  /** Monotonic, ms: then it is answered without a thread. */
  dueMs: number
  /** Answers once; later answers are dropped, or go to `later`. */
  answered: boolean
  readonly resolve: (answer: Answer) => void
  /** After an answer in a hurry; null when nobody waits for the full score. */
  later: ((later: Later) => void) | null
  /** It used up its thread's time, or the thread died of it: it has its second try. */
  isSecondTry: boolean
  /** Its first try ended because it used up its thread's time. */
  hasExhausted: boolean
}

/** Somebody still wants its score. */
export function isWanted (waiting: Waiting): boolean {
  return !waiting.answered || waiting.later !== null
}

/** Characters and bytes to be read. */
export function weightOf ({ observation: { url, headers, body } }: Pick<Waiting, 'observation'>): number {
  let bytes = url.length + (body === null ? 0 : body.length)
  for (const text of headers) bytes += text.length
  return bytes
}

/** Events of a channel, for the pool. */
export interface ChannelEvents {
  /** Null: the scorer threw. `cpuUs`: CPU time of the thread, where the channel measures it; else 0. */
  answer (waiting: Waiting, score: Score | null, cpuUs: number): void
  /** The thread ended over this one; the others that waited there are tried again. */
  lost (waiting: Waiting, end: ThreadEnd): void
  /** A thread ended before it was told to. */
  onDeath (reason: string): void
  /** A thread has been at this one for unusually long. */
  onSuspect (waiting: Waiting): void
}

/** One thread and the way to it. */
export interface Channel {
  /** Observations that wait or are in hand. */
  size (): number
  /** How many of them are of this client. */
  sizeOf (client: string): number
  /** False when it is full. */
  push (waiting: Waiting): boolean
  /**
   * Collects what is done, and stops a thread that used up its time at one observation. `passedMs`: time that
   * counts.
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
  /** CPU time of the thread that one observation may use, ms. */
  cpuMsMax: number
}

export type PoolMode = 'ring' | 'inline'

export interface ScoringPoolOptions {
  mode: PoolMode
  /** 1 or more; none are started in inline mode. */
  threads: number
  policy: Policy
  clock: Clock
  log: { warn: (facts: object, message: string) => void }
  /** Each answer, with the seconds since it was asked for. */
  onScored?: (seconds: number, answer: Answer) => void
  /** A thread died or was stopped. */
  onDeath?: (reason: string) => void
  /** Thread entry; tests give one that fails on purpose. */
  workerUrl?: URL
}

/**
 * Observations that one channel holds, waiting or in hand. Beyond it a client whose own requests are half of them
 * is refused; others are answered in a hurry, and scored afterwards.
 */
export const QUEUE_MAX = 256
/** Some ten times what 64 KiB of ordinary text take: a text that uses more has exhausted its thread. */
export const EXHAUSTED_CPU_MS = 50
/** Thread time of the second try. */
export const SECOND_TRY_CPU_MS = 150
/**
 * A thread that uses no CPU, or does not even say how much, is stopped after this long at one observation. The machine
 * or the process stood still: that is held against nobody. Generous, since a thread that waits for its processor looks
 * the same: beside three busy programs one of the lowest priority is not run for more than a second.
 */
export const SILENT_MS_MAX = 5_000
/**
 * How long a thread may take to load before it is given up and another one is started, which would load no faster:
 * it took 5 s where six busy programs shared its processor.
 */
export const THREAD_START_MS_MAX = 30_000
const RESTART_DELAY_MS_MAX = 1_000

/** Pause before the next try after threads that died before they took up work: 10 ms, doubled for each before this. */
export function restartDelayMs (failedStarts: number): number {
  return Math.min(RESTART_DELAY_MS_MAX, 10 * 2 ** Math.min(failedStarts, 10))
}
