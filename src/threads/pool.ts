/**
 * The scoring pool: `score(observation)` gives a Score, whatever carries the observation to a thread.
 *
 * Owns: the channels (one per thread, one more for large bodies), the deadline, the bound of the queue, the
 * cheap answer when a thread cannot answer in time. Never does: reject, decide, keep history. In:
 * Observation; out: Score, from a thread or marked `degraded`.
 *
 * Why so: payload scanning costs tens of microseconds and hostile text far more, which must not hold up the event loop.
 * The cheap score knows everything but the payload and stays below the block threshold, so that no request is refused
 * because its score is missing (R31).
 */
import { createFairQueue } from './fair-queue.ts'
import { scoreInline } from './inline.ts'
import { RingChannel } from './ring-channel.ts'
import { QUEUE_MAX } from './shapes.ts'
import { LARGE } from './ring.ts'
import { cheapScore } from '../detect/score.ts'
import type { FairQueue } from './fair-queue.ts'
import type { Channel, ChannelEvents, Waiting } from './shapes.ts'
import type { Policy } from '../detect/policy.ts'
import type { Observation, Score } from '../detect/shapes.ts'
import type { Clock } from '../std/clock.ts'

export type PoolMode = 'ring' | 'inline'

export interface ScoringPoolOptions {
  mode: PoolMode
  /** 1 or more; none are started in inline mode. */
  threads: number
  policy: Policy
  clock: Clock
  log: { warn: (facts: object, message: string) => void }
  /** Each answer, with the seconds since it was asked for. */
  onScored?: (seconds: number, score: Score) => void
  /** A thread died or was stopped. */
  onDeath?: (reason: string) => void
  /** Thread entry; tests give one that fails on purpose. */
  workerUrl?: URL
}

export interface ScoringPool {
  readonly mode: PoolMode
  /** Never rejects; at most SCORE_MS_MAX plus a tick later there is a score, perhaps a degraded one. */
  score (observation: Observation): Promise<Score>
  /** The policy that answers from now on; observations under way may still be scored by the one before. */
  usePolicy (policy: Policy): void
  policy (): Policy
  /** Observations that wait or are in hand. */
  queueSize (): number
  /** True while at least one thread takes work. */
  healthy (): boolean
  /** Resolves when every thread took up work for the first time, or after `timeoutMs`. */
  ready (timeoutMs: number): Promise<void>
  close (): Promise<void>
}

/** Longer than a Redis command may take, far shorter than a database call. */
const SCORE_MS_MAX = 150
/** How often deadlines and stuck threads are looked for while anything waits. */
const TICK_MS = 20
/** A body that fits into no slot of the ring, more or less. */
const LARGE_BYTES = 6_144
/**
 * Twice the number that can be answered within SCORE_MS_MAX at 5 ms each, and the slots of its ring. A client that
 * waits does not send the next request meanwhile; a client that gets the cheap answer at once does.
 */
const LARGE_MAX = LARGE.slots
const DEFAULT_WORKER = new URL('../../workers/score.ts', import.meta.url)

export function createScoringPool (options: ScoringPoolOptions): ScoringPool {
  if (options.mode === 'inline') return createInlinePool(options)
  return createThreadedPool(options)
}

/** The way of large bodies: turns of clients, in front of a thread of its own. */
interface LargeBodies { readonly queue: FairQueue, started: boolean }

function createInlinePool (options: ScoringPoolOptions): ScoringPool {
  const { clock } = options
  let policy = options.policy
  return {
    mode: 'inline',
    score (observation) {
      const startedMs = clock.monotonic()
      const score = scoreInline(observation, policy) ?? cheapAnswer(observation, policy)
      options.onScored?.((clock.monotonic() - startedMs) / 1000, score)
      return Promise.resolve(score)
    },
    usePolicy (next) { policy = next },
    policy: () => policy,
    queueSize: () => 0,
    healthy: () => true,
    ready: () => Promise.resolve(),
    close: () => Promise.resolve()
  }
}

function createThreadedPool (options: ScoringPoolOptions): ScoringPool {
  const { clock } = options
  let policy = options.policy
  let closed = false

  const events: ChannelEvents = {
    answer (waiting, score) {
      if (waiting.answered) return
      waiting.answered = true
      const given = score ?? cheapAnswer(waiting.observation, policy)
      options.onScored?.((clock.monotonic() - waiting.startedMs) / 1000, given)
      waiting.resolve(given)
    },
    onDeath (reason) {
      if (closed) return
      options.log.warn({ reason }, 'a scoring thread ended and is replaced')
      options.onDeath?.(reason)
    }
  }

  const channelOptions = { workerUrl: options.workerUrl ?? DEFAULT_WORKER, policy, events }
  const channels: Channel[] = Array.from({ length: options.threads }, () => new RingChannel(channelOptions))
  const all = [...channels]
  const deadlines = createDeadlines({ channels: all, clock, expire: (waiting) => events.answer(waiting, null) })
  let large: LargeBodies | null = null

  /**
   * Large bodies have a thread of their own, started by the first: a person's request must not stand behind 5 ms of
   * somebody's 64 KiB. Clients take turns there. Until it has started they go to the threads of all requests. False:
   * too many wait.
   */
  function push (waiting: Waiting): boolean {
    const { body } = waiting.observation
    if (body !== null && body.length > LARGE_BYTES) {
      large ??= startLarge()
      if (large.started) return large.queue.push(waiting)
    }
    return (channels.length === 1 ? channels[0] as Channel : emptiest(channels)).push(waiting)
  }

  function startLarge (): LargeBodies {
    const answer = (waiting: Waiting, score: Score | null): void => {
      events.answer(waiting, score)
      bodies.queue.feed()
    }
    const channel = new RingChannel({ ...channelOptions, policy, events: { ...events, answer } }, LARGE)
    const queue = createFairQueue(channel, LARGE_MAX, (waiting) => events.answer(waiting, null))
    const bodies = { queue, started: false }
    all.push(channel)
    channel.ready.then(() => { bodies.started = true })
    return bodies
  }

  return {
    mode: 'ring',
    score (observation) {
      return new Promise<Score>((resolve) => {
        const waiting: Waiting = { observation, startedMs: clock.monotonic(), answered: false, resolve }
        if (closed || !push(waiting)) events.answer(waiting, null)
        else deadlines.watch(waiting)
      })
    },
    usePolicy (next) {
      policy = next
      for (const channel of all) channel.usePolicy(next)
    },
    policy: () => policy,
    queueSize: () => channels.reduce((sum, channel) => sum + channel.size(), large?.queue.size() ?? 0),
    healthy: () => !closed && channels.some((channel) => channel.isAlive()),
    ready: (timeoutMs) => within(Promise.all(channels.map((channel) => channel.ready)), timeoutMs),
    async close () {
      if (closed) return
      closed = true
      deadlines.stop()
      for (const waiting of large?.queue.drain() ?? []) events.answer(waiting, null)
      await Promise.all(all.map((channel) => channel.close()))
    }
  }
}

/** Microseconds and never throws: what a factor chokes on cheaply must not take the request down either. */
function cheapAnswer (observation: Observation, policy: Policy): Score {
  try {
    return cheapScore(observation, policy)
  } catch {
    return cheapScore({ ...observation, url: '/', headers: [], body: null, history: null }, policy)
  }
}

function emptiest (channels: Channel[]): Channel {
  let best = channels[0] as Channel
  let least = QUEUE_MAX + 1
  for (const channel of channels) {
    const size = channel.isAlive() ? channel.size() : QUEUE_MAX
    if (size < least) { best = channel; least = size }
  }
  return best
}

/**
 * One timer for all deadlines, running only while anything waits: all have the same length, so they end in
 * the order they began.
 */
function createDeadlines (
  { channels, clock, expire }: { channels: Channel[], clock: Clock, expire: (waiting: Waiting) => void }
): { watch: (waiting: Waiting) => void, stop: () => void } {
  let watched: Waiting[] = []
  let timer: NodeJS.Timeout | null = null
  let lastMs = 0

  function tick (): void {
    const nowMs = clock.monotonic()
    const passedMs = countedMs(nowMs - lastMs)
    lastMs = nowMs
    for (const channel of channels) channel.tick(passedMs)
    let done = 0
    for (; done < watched.length; done++) {
      const waiting = watched[done] as Waiting
      if (waiting.answered) continue
      if (nowMs - waiting.startedMs < SCORE_MS_MAX - TICK_MS) break
      expire(waiting)
    }
    watched = done === watched.length ? [] : watched.slice(done)
    if (watched.length === 0) stop()
  }

  function stop (): void {
    if (timer !== null) clearInterval(timer)
    timer = null
  }

  return {
    watch (waiting) {
      watched.push(waiting)
      if (timer !== null) return
      lastMs = clock.monotonic()
      timer = setInterval(tick, TICK_MS).unref()
    },
    stop
  }
}

/**
 * How much of the time between two ticks counts against a thread. A tick that comes late says that the
 * machine is busy or that our own loop stood still: then the thread did not have the time either, and must
 * not be stopped for it.
 */
function countedMs (elapsedMs: number): number {
  return elapsedMs <= 1.5 * TICK_MS ? elapsedMs : TICK_MS * TICK_MS / elapsedMs
}

async function within (work: Promise<unknown>, timeoutMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, timeoutMs)
  await Promise.race([work, promise])
  clearTimeout(timer)
}
