/**
 * The scoring pool: `ask(observation)` gives a Score, whatever carries the observation to a thread.
 *
 * Owns: the channels (one per thread, one more for heavy requests, one for texts that exhausted a thread), the
 * deadlines, the bounds of the queues, the answer in a hurry. Never does: reject, decide, keep history. In: Observation;
 * out: Score, from a thread or marked `degraded`; or the word that there is no verdict.
 *
 * Why so: payload scanning costs tens of microseconds and hostile text far more, which must not hold up the event loop.
 * A verdict that is missing because of the client's own doing (its text used up a thread twice, its own work stands
 * before it) refuses the request. A verdict that is missing because of us (others were before it, a thread ended by
 * itself) is made up for: an answer in a hurry now, which stays below the block threshold unless the raw bytes hold a
 * certain sign, and the full score afterwards.
 */
import { createAfterwards, type Afterwards } from './afterwards.ts'
import { createDeadlines } from './deadlines.ts'
import { createHeavyCost } from './heavy-cost.ts'
import { createHeavyLine, weightOf, type HeavyLine } from './heavy-line.ts'
import { scoreCheaply, scoreInHurry } from './hurry.ts'
import { scoreInline } from './inline.ts'
import { RingChannel } from './ring-channel.ts'
import { LARGE } from './ring.ts'
import { EXHAUSTED_CPU_MS, QUEUE_MAX, SECOND_TRY_CPU_MS } from './shapes.ts'
import type { Answer, Ask, Channel, ChannelEvents, Later, ThreadEnd, Unjudged, Waiting } from './shapes.ts'
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
  onScored?: (seconds: number, answer: Answer) => void
  /** A thread died or was stopped. */
  onDeath?: (reason: string) => void
  /** Thread entry; tests give one that fails on purpose. */
  workerUrl?: URL
}

export interface ScoringPool {
  readonly mode: PoolMode
  /** Never rejects; when the deadline of its kind has passed there is an answer, perhaps a degraded one. */
  ask (observation: Observation, ask?: Ask): Promise<Answer>
  /** The score alone, for whoever refuses nobody. */
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
/** For heavy requests: sixteen of 10 ms each, one after the other, on a machine that others use too. */
const HEAVY_SCORE_MS_MAX = 300
/** For a text that exhausted a thread: until its second try has ended. */
const SECOND_TRY_MS_MAX = 470
/** For whoever is patient. */
const PATIENT_MS_MAX = 1_000
/** More text than fits into a slot of the ring of small requests, more or less. */
const HEAVY_BYTES = 6_144
/** Of one client in the queue of a thread that is full: more is its own backlog. */
const OWN_BACKLOG_MIN = QUEUE_MAX / 2
/** Texts that wait for their second try. */
const SECOND_TRIES_MAX = 4
const DEFAULT_WORKER = new URL('../../workers/score.ts', import.meta.url)

export function createScoringPool (options: ScoringPoolOptions): ScoringPool {
  const pool = options.mode === 'inline' ? createInlinePool(options) : createThreadedPool(options)
  return { ...pool, score: async (observation) => (await pool.ask(observation)).score }
}

function createInlinePool (options: ScoringPoolOptions): Omit<ScoringPool, 'score'> {
  const { clock } = options
  let policy = options.policy
  return {
    mode: 'inline',
    ask (observation) {
      const startedMs = clock.monotonic()
      const score = scoreInline(observation, policy) ?? scoreInHurry(observation, policy)
      const answer: Answer = { score, unjudged: null, later: null }
      options.onScored?.((clock.monotonic() - startedMs) / 1000, answer)
      return Promise.resolve(answer)
    },
    usePolicy (next) { policy = next },
    policy: () => policy,
    queueSize: () => 0,
    healthy: () => true,
    ready: () => Promise.resolve(),
    close: () => Promise.resolve()
  }
}

/** The way of heavy requests: the line, and a thread of its own. */
interface Heavy { readonly line: HeavyLine, readonly channel: Channel, started: boolean }

/** At most some 2 MiB, and 4 MiB. */
const LIGHT_AFTERWARDS = { max: 256, portion: 8 }
const HEAVY_AFTERWARDS = { max: 64, portion: 1 }

function createThreadedPool (options: ScoringPoolOptions): Omit<ScoringPool, 'score'> {
  const { clock } = options
  let policy = options.policy
  let closed = false
  let heavy: Heavy | null = null
  let second: Channel | null = null
  /** Answered requests that a thread is still to be through with. */
  let owed = 0

  const events: ChannelEvents = {
    answer (waiting, score) {
      if (waiting.answered) tellLater(waiting, score, false)
      else if (score === null) answerInHurry(waiting, false)
      else answer(waiting, score, null)
    },
    lost: tryAgain,
    onDeath (reason) {
      if (closed) return
      options.log.warn({ reason }, 'a scoring thread ended and is replaced')
      options.onDeath?.(reason)
    },
    onSuspect: suspect
  }

  const workerUrl = options.workerUrl ?? DEFAULT_WORKER
  const channels: Channel[] = Array.from(
    { length: options.threads },
    () => new RingChannel({ workerUrl, policy, events, cpuMsMax: EXHAUSTED_CPU_MS })
  )
  const all = [...channels]
  const afterwards = { light: createAfterwards(LIGHT_AFTERWARDS), heavy: createAfterwards(HEAVY_AFTERWARDS) }
  const deadlines = createDeadlines({
    channels: all,
    clock,
    expire,
    onTick () {
      afterwards.light.feed(emptiest(channels))
      if (heavy !== null) afterwards.heavy.feed(heavy.channel)
      return owed > 0
    }
  })

  function answer (waiting: Waiting, score: Score, unjudged: Unjudged | null, later: Answer['later'] = null): void {
    waiting.answered = true
    const given: Answer = { score, unjudged, later }
    options.onScored?.((clock.monotonic() - waiting.startedMs) / 1000, given)
    waiting.resolve(given)
  }

  function refuse (waiting: Waiting, unjudged: Unjudged): void {
    if (waiting.answered) tellLater(waiting, null, unjudged === 'exhausts')
    else answer(waiting, scoreCheaply(waiting.observation, policy), unjudged)
  }

  /** `comesLater`: a thread will have its full score. */
  function answerInHurry (waiting: Waiting, comesLater: boolean): void {
    if (waiting.answered) return tellLater(waiting, null, false)
    answer(waiting, scoreInHurry(waiting.observation, policy), null, comesLater ? laterOf(waiting) : null)
  }

  /** What comes after the answer. The memory of the body is given back with the answer, so it gets one of its own. */
  function laterOf (waiting: Waiting): Promise<Later> {
    const { promise, resolve } = Promise.withResolvers<Later>()
    const { body } = waiting.observation
    if (body !== null) waiting.observation = { ...waiting.observation, body: new Uint8Array(body) }
    waiting.later = resolve
    owed++
    return promise
  }

  function tellLater (waiting: Waiting, score: Score | null, exhausts: boolean): void {
    if (waiting.later === null) return
    waiting.later({ score, exhausts })
    waiting.later = null
    owed--
  }

  /** Its time is over. */
  function expire (waiting: Waiting): void {
    // It used up a thread or is about to, and its second try has not ended in time.
    if (waiting.isSuspect) return answer(waiting, scoreCheaply(waiting.observation, policy), 'full', laterOf(waiting))
    const isOwn = !waiting.ask.patient && heavy?.line.isOwnBacklog(waiting, clock.monotonic()) === true
    if (isOwn) return refuse(waiting, 'backlog')
    // A thread that has it already goes on; who still waits in line makes room for those that can be answered in time.
    answerInHurry(waiting, heavy?.line.withdraw(waiting) !== true || afterwards.heavy.keep(waiting))
  }

  /** A thread ended over this text. */
  function tryAgain (waiting: Waiting, end: ThreadEnd): void {
    heavy?.line.leave(waiting, 0)
    if (waiting.isSecondTry) return end === 'stopped' ? answerInHurry(waiting, false) : refuse(waiting, 'exhausts')
    if (end === 'cpu' && !waiting.ask.secondTry) return refuse(waiting, 'exhausts')
    waiting.isSecondTry = true
    if (end === 'cpu') suspect(waiting)
    const channel = secondChannel()
    if (channel.size() < SECOND_TRIES_MAX && channel.push(waiting)) return
    if (end === 'cpu') refuse(waiting, 'full')
    else answerInHurry(waiting, false)
  }

  /** It is not others that keep it waiting: its own end is waited for, and the thread for second tries is made ready. */
  function suspect (waiting: Waiting): void {
    waiting.isSuspect = true
    waiting.dueMs = Math.max(waiting.dueMs, waiting.startedMs + SECOND_TRY_MS_MAX)
    secondChannel()
  }

  function secondChannel (): Channel {
    if (second !== null) return second
    second = new RingChannel({ workerUrl, policy, events, cpuMsMax: SECOND_TRY_CPU_MS }, LARGE)
    all.push(second)
    return second
  }

  /**
   * Heavy requests have a thread of their own, started by the first: a person's request must not stand behind 5 ms of
   * somebody's 64 KiB. Until it has started they go to the threads of all requests.
   */
  function push (waiting: Waiting): void {
    if (weightOf(waiting) > HEAVY_BYTES) {
      waiting.dueMs = waiting.startedMs + Math.max(HEAVY_SCORE_MS_MAX, waiting.dueMs - waiting.startedMs)
      heavy ??= startHeavy()
      if (heavy.started) return pushHeavy(waiting, heavy.line)
    }
    const channel = emptiest(channels)
    if (channel.push(waiting)) return deadlines.watch(waiting)
    const { client, patient } = waiting.ask
    if (!patient && channel.sizeOf(client) >= OWN_BACKLOG_MIN) return refuse(waiting, 'backlog')
    overflow(waiting, afterwards.light)
  }

  function pushHeavy (waiting: Waiting, line: HeavyLine): void {
    const place = line.push(waiting)
    if (place === 'taken') deadlines.watch(waiting)
    else if (!waiting.ask.patient && (place === 'backlog' || isAnonymous(waiting))) refuse(waiting, place)
    else overflow(waiting, afterwards.heavy)
  }

  /** No room: answered now, and scored when there is. */
  function overflow (waiting: Waiting, kept: Afterwards): void {
    answerInHurry(waiting, kept.keep(waiting))
    deadlines.watch(waiting)
  }

  function startHeavy (): Heavy {
    const { answer, lost } = events
    const channel = new RingChannel({
      workerUrl,
      policy,
      cpuMsMax: EXHAUSTED_CPU_MS,
      events: {
        ...events,
        answer (waiting, score, cpuUs) {
          answer(waiting, score, cpuUs)
          one.line.leave(waiting, cpuUs)
        },
        lost
      }
    }, LARGE)
    const line = createHeavyLine(channel, createHeavyCost(), (waiting) => answerInHurry(waiting, false))
    const one: Heavy = { line, channel, started: false }
    all.push(channel)
    channel.ready.then(() => { one.started = true })
    return one
  }

  return {
    mode: 'ring',
    ask (observation, ask = { client: observation.client, secondTry: true, patient: false }) {
      return new Promise<Answer>((resolve) => {
        const startedMs = clock.monotonic()
        const dueMs = startedMs + (ask.patient ? PATIENT_MS_MAX : SCORE_MS_MAX)
        const waiting: Waiting = {
          observation,
          ask,
          startedMs,
          dueMs,
          answered: false,
          resolve,
          later: null,
          isSuspect: false,
          isSecondTry: false
        }
        if (closed) answerInHurry(waiting, false)
        else push(waiting)
      })
    },
    usePolicy (next) {
      policy = next
      for (const channel of all) channel.usePolicy(next)
    },
    policy: () => policy,
    queueSize: () =>
      channels.reduce((sum, channel) => sum + channel.size(), (heavy?.line.size() ?? 0) + (second?.size() ?? 0)),
    healthy: () => !closed && channels.some((channel) => channel.isAlive()),
    ready: (timeoutMs) => within(Promise.all(channels.map((channel) => channel.ready)), timeoutMs),
    async close () {
      if (closed) return
      closed = true
      deadlines.stop()
      const left = [...heavy?.line.drain() ?? [], ...afterwards.light.drain(), ...afterwards.heavy.drain()]
      for (const waiting of left) answerInHurry(waiting, false)
      await Promise.all(all.map((channel) => channel.close()))
    }
  }
}

function isAnonymous ({ ask }: Waiting): boolean {
  return ask.client.startsWith('ip:')
}

function emptiest (channels: readonly Channel[]): Channel {
  if (channels.length === 1) return channels[0] as Channel
  let best = channels[0] as Channel
  let least = QUEUE_MAX + 1
  for (const channel of channels) {
    const size = channel.isAlive() ? channel.size() : QUEUE_MAX
    if (size < least) { best = channel; least = size }
  }
  return best
}

async function within (work: Promise<unknown>, timeoutMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, timeoutMs)
  await Promise.race([work, promise])
  clearTimeout(timer)
}
