import { createAfterwards, type Afterwards } from './afterwards.ts'
import { createAnswers, type Answers } from './answers.ts'
import { createDeadlines, type Deadlines } from './deadlines.ts'
import { FairLine, type LineOptions } from './fair-line.ts'
import { RingChannel } from './ring-channel.ts'
import { LARGE } from './ring.ts'
import { createKnownRequests } from './known-requests.ts'
import { createThreadCost } from './thread-cost.ts'
import { EXHAUSTED_CPU_MS, QUEUE_MAX, SECOND_TRY_CPU_MS, weightOf } from './shapes.ts'
import type { Answer, Ask, Channel, ChannelEvents, ScoringPoolOptions, ThreadEnd, Waiting } from './shapes.ts'
import { isAddressKey } from '../std/ip.ts'
import type { Policy } from '../detect/policy.ts'
import type { Observation, Score } from '../detect/shapes.ts'

/** Longer than a Redis command may take, far shorter than a database call. */
const SCORE_MS_MAX = 150
/** For heavy requests: sixteen of 10 ms each, one after the other, on half a processor. */
const HEAVY_SCORE_MS_MAX = 320
/** For a text that is suspect: its thread's time is used up, and then that of the second one, which has to start. */
const SECOND_TRY_MS_MAX = HEAVY_SCORE_MS_MAX + SECOND_TRY_CPU_MS
/** For what others saw, up to 2 MiB of it in one call: nobody waits for it with a page half shown. */
const PATIENT_MS_MAX = 3_000
/** More text than fits into a slot of the ring of small requests, more or less. */
const HEAVY_BYTES = 6_144
/**
 * Light requests that a thread holds at most: two lots, so that it never waits for work. More take turns, lest one
 * client's hundred stand before everybody.
 */
const LIGHT_IN_CHANNEL_MAX = 32
const LIGHT_LINE = { ofClientMax: QUEUE_MAX / 2, ofAllMax: QUEUE_MAX - LIGHT_IN_CHANNEL_MAX, fullUs: Infinity }
/** Enough that the thread has work while main is on its way. */
const HEAVY_IN_CHANNEL_MAX = 3
/** A quarter of a second of work: what comes then would miss its deadline. */
const HEAVY_LINE = { ofClientMax: 64, ofAllMax: 256, fullUs: 250_000 }
/** Texts that wait for their second try. */
const SECOND_TRIES_MAX = 4
/** At most some 2 MiB, and 4 MiB. */
const LIGHT_AFTERWARDS = { max: 256, portion: 8 }
const HEAVY_AFTERWARDS = { max: 64, portion: 1 }
const DEFAULT_WORKER = new URL('../../workers/score.ts', import.meta.url)

/** The way of heavy requests: the line, and a thread of its own. */
interface Heavy {
  readonly line: FairLine
  readonly channel: Channel
  readonly afterwards: Afterwards
  started: boolean
}

/**
 * The threads of a pool, and which request goes to which: light ones to the emptiest, heavy ones into their line, those
 * that used up a thread to one of their own.
 */
export class ThreadedPool {
  readonly #options: ScoringPoolOptions
  readonly #answers: Answers
  readonly #deadlines: Deadlines
  readonly #afterwards = createAfterwards(LIGHT_AFTERWARDS)
  readonly #known = createKnownRequests()
  /** Of light requests, and their line when they are more than the threads are quick. */
  readonly #channels: readonly Channel[]
  readonly #line: FairLine
  readonly #all: Channel[]
  #policy: Policy
  #heavy: Heavy | null = null
  #second: Channel | null = null
  #isClosed = false

  constructor (options: ScoringPoolOptions) {
    const { clock, policy, threads, onScored } = options
    this.#options = options
    this.#policy = policy
    this.#answers = createAnswers({ clock, policy: () => this.#policy, onScored })
    this.#channels = Array.from({ length: threads }, () => this.#open({ cpuMsMax: EXHAUSTED_CPU_MS }))
    this.#all = [...this.#channels]
    this.#line = this.#lineTo({ channels: this.#channels, inChannelMax: LIGHT_IN_CHANNEL_MAX, bounds: LIGHT_LINE })
    this.#deadlines = createDeadlines({ channels: this.#all, clock, expire: this.#expire, onTick: this.#onTick })
  }

  /** The full score of a small request whose like a thread was through with lately, or null. */
  recall (observation: Observation): Score | null {
    return weightOf({ observation }) > HEAVY_BYTES ? null : this.#known.recall(observation, this.#policy)
  }

  ask (observation: Observation, ask: Ask): Promise<Answer> {
    const startedMs = this.#options.clock.monotonic()
    const { promise, resolve } = Promise.withResolvers<Answer>()
    const waiting: Waiting = {
      observation,
      ask,
      startedMs,
      dueMs: startedMs + (ask.patient ? PATIENT_MS_MAX : SCORE_MS_MAX),
      answered: false,
      resolve,
      later: null,
      isSecondTry: false,
      hasExhausted: false
    }
    if (this.#isClosed) this.#answers.inHurry(waiting, false)
    else if (weightOf(waiting) > HEAVY_BYTES) this.#pushHeavy(waiting)
    else this.#push(waiting)
    return promise
  }

  get policy (): Policy {
    return this.#policy
  }

  usePolicy (policy: Policy): void {
    this.#policy = policy
    for (const channel of this.#all) channel.usePolicy(policy)
  }

  /** Observations that wait or are in hand. */
  get size (): number {
    const special = (this.#heavy?.line.size ?? 0) + (this.#second?.size() ?? 0)
    const light = this.#channels.reduce((sum, channel) => sum + channel.size(), this.#line.waiting)
    return light + special
  }

  isHealthy (): boolean {
    return !this.#isClosed && this.#channels.some((channel) => channel.isAlive())
  }

  /** Resolves when the threads of light requests took up work for the first time. */
  async ready (): Promise<void> {
    await Promise.all(this.#channels.map((channel) => channel.ready))
  }

  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#deadlines.stop()
    const heavy = this.#heavy === null ? [] : [...this.#heavy.line.drain(), ...this.#heavy.afterwards.drain()]
    const light = [...this.#line.drain(), ...this.#afterwards.drain()]
    for (const waiting of [...heavy, ...light]) this.#answers.inHurry(waiting, false)
    await Promise.all(this.#all.map((channel) => channel.close()))
  }

  #push (waiting: Waiting): void {
    const channel = emptiest(this.#channels)
    const isQuiet = this.#line.waiting === 0 && channel.size() < LIGHT_IN_CHANNEL_MAX
    if (isQuiet && channel.push(waiting)) return this.#deadlines.watch(waiting)
    const place = this.#line.push(waiting)
    if (place === 'taken') this.#deadlines.watch(waiting)
    else if (place === 'backlog' && !waiting.ask.patient) this.#answers.refuse(waiting, 'backlog')
    else this.#overflow(waiting, this.#afterwards)
  }

  /**
   * Heavy requests have a thread of their own, started by the first: a person's request must not stand behind 5 ms of
   * somebody's 64 KiB. Until it has started they go to the threads of all requests.
   */
  #pushHeavy (waiting: Waiting): void {
    waiting.dueMs = Math.max(waiting.dueMs, waiting.startedMs + HEAVY_SCORE_MS_MAX)
    const { line, afterwards, started } = this.#heavy ??= this.#startHeavy()
    if (!started) return this.#push(waiting)
    const place = line.push(waiting)
    if (place === 'taken') return this.#deadlines.watch(waiting)
    const { client, patient } = waiting.ask
    const isRefused = !patient && (place === 'backlog' || isAddressKey(client))
    if (isRefused) this.#answers.refuse(waiting, place)
    else this.#overflow(waiting, afterwards)
  }

  /** No room: answered now, and scored when there is. */
  #overflow (waiting: Waiting, afterwards: Afterwards): void {
    this.#answers.inHurry(waiting, afterwards.keep(waiting))
    // Its time is over already; the timer runs while it is still to be scored.
    this.#deadlines.watch(waiting)
  }

  #startHeavy (): Heavy {
    const channel = this.#open({ cpuMsMax: EXHAUSTED_CPU_MS, geometry: LARGE })
    const line = this.#lineTo({ channels: [channel], inChannelMax: HEAVY_IN_CHANNEL_MAX, bounds: HEAVY_LINE })
    const heavy: Heavy = { line, channel, afterwards: createAfterwards(HEAVY_AFTERWARDS), started: false }
    this.#all.push(channel)
    channel.ready.then(() => { heavy.started = true })
    return heavy
  }

  #lineTo ({ channels, inChannelMax, bounds }: {
    channels: readonly Channel[],
    inChannelMax: number,
    bounds: Pick<LineOptions, 'ofClientMax' | 'ofAllMax' | 'fullUs'>
  }): FairLine {
    return new FairLine({
      ...bounds,
      cost: createThreadCost(),
      hasRoom: () => emptiest(channels).size() < inChannelMax,
      hand: (waiting) => emptiest(channels).push(waiting),
      refuse: (waiting) => this.#answers.inHurry(waiting, false)
    })
  }

  #secondChannel (): Channel {
    if (this.#second !== null) return this.#second
    this.#second = this.#open({ cpuMsMax: SECOND_TRY_CPU_MS, geometry: LARGE })
    this.#all.push(this.#second)
    return this.#second
  }

  #open ({ cpuMsMax, geometry }: { cpuMsMax: number, geometry?: typeof LARGE }): Channel {
    const workerUrl = this.#options.workerUrl ?? DEFAULT_WORKER
    return new RingChannel({ workerUrl, policy: this.#policy, events: this.#events, cpuMsMax }, geometry)
  }

  readonly #events: ChannelEvents = {
    answer: (waiting, score, cpuUs) => {
      if (score !== null) this.#known.learn(waiting.observation, score, this.#policy)
      this.#answers.full(waiting, score)
      this.#leaveLine(waiting, cpuUs)
    },
    lost: (waiting, end) => this.#tryAgain(waiting, end),
    onDeath: (reason) => {
      if (this.#isClosed) return
      this.#options.log.warn({ reason }, 'a scoring thread ended and is replaced')
      this.#options.onDeath?.(reason)
    },
    onSuspect: (waiting) => this.#suspect(waiting)
  }

  readonly #onTick = (): boolean => {
    this.#afterwards.feed(emptiest(this.#channels))
    this.#heavy?.afterwards.feed(this.#heavy.channel)
    return this.#answers.owed() > 0
  }

  /** Its time is over. */
  readonly #expire = (waiting: Waiting): void => {
    // It used up a thread, and its second try has not ended in time.
    if (waiting.hasExhausted) return this.#answers.refuseForNow(waiting, 'unfinished')
    const line = this.#lineOf(waiting)
    const isOwn = !waiting.ask.patient && line?.isOwnBacklog(waiting, this.#options.clock.monotonic()) === true
    // A thread that has it already goes on; who still waits in line makes room for those that can be answered in time.
    const isWithThread = line?.withdraw(waiting) !== true
    if (isOwn) {
      return isWithThread ? this.#answers.refuseForNow(waiting, 'backlog') : this.#answers.refuse(waiting, 'backlog')
    }
    const afterwards = line === this.#heavy?.line ? this.#heavy?.afterwards : this.#afterwards
    this.#answers.inHurry(waiting, isWithThread || afterwards?.keep(waiting) === true)
  }

  #lineOf (waiting: Waiting): FairLine | null {
    if (this.#heavy?.line.has(waiting) === true) return this.#heavy.line
    return this.#line.has(waiting) ? this.#line : null
  }

  #leaveLine (waiting: Waiting, cpuUs: number): void {
    if (this.#heavy?.line.has(waiting) === true) this.#heavy.line.leave(waiting, cpuUs)
    else this.#line.leave(waiting, cpuUs)
  }

  /**
   * A thread ended over this text. The first time it is tried once more, alone. The second time it is the text's doing,
   * unless we stopped a silent thread. Without room for a second try it is refused if it used up its thread, and else
   * answered in a hurry.
   */
  #tryAgain (waiting: Waiting, end: ThreadEnd): void {
    this.#leaveLine(waiting, 0)
    if (waiting.isSecondTry) {
      return end === 'stopped' ? this.#answers.inHurry(waiting, false) : this.#answers.refuse(waiting, 'exhausts')
    }
    if (end === 'cpu' && !waiting.ask.secondTry) return this.#answers.refuse(waiting, 'exhausts')
    waiting.isSecondTry = true
    waiting.hasExhausted = end === 'cpu'
    if (waiting.hasExhausted) this.#suspect(waiting)
    const channel = this.#secondChannel()
    if (channel.size() < SECOND_TRIES_MAX && channel.push(waiting)) return
    if (end === 'cpu') this.#answers.refuse(waiting, 'unfinished')
    else this.#answers.inHurry(waiting, false)
  }

  /** It is not others that keep it waiting: its end is waited for, and the thread for second tries is made ready. */
  #suspect (waiting: Waiting): void {
    waiting.dueMs = Math.max(waiting.dueMs, waiting.startedMs + SECOND_TRY_MS_MAX)
    this.#secondChannel()
  }
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
