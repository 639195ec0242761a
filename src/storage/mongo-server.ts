import type { MongoClient } from 'mongodb'
import { BREAKER_STATE_VALUE, type Breaker, createBreaker } from '../std/breaker.ts'
import { systemClock } from '../std/clock.ts'
import { backoffMs } from '../std/deadline.ts'
import { type HealthState, createHealthState } from './health.ts'
import type { StorageLog } from './log.ts'
import { type MongoReason, reasonOf } from './mongo-failure.ts'

/**
 * Whether the MongoDB server can be asked: the breaker before it, its health, and the pings that find out.
 *
 * Only pings knock on a server that is down, with backoff and jitter, for ever, so that it heals without a restart and
 * no user's request is the trial. Each ends in a state and in the date of the next one; never two at once. The driver's
 * own heartbeats (every 10 s) tell of failures while nobody asks.
 */
interface MongoServerOptions {
  client: MongoClient
  log: StorageLog
  onBreaker? (value: number): void
  /**
   * Asks the server, and does all that must be done before anybody else may. `isFirst`: it never answered yet. Resolves
   * with whether it answered as fast as requests need it.
   */
  knock (isFirst: boolean): Promise<boolean>
}

const PING_MS = 60_000
const RECONNECT_MS_MIN = 250
const RECONNECT_MS_MAX = 5000
const BREAKER_FAILURES_MAX = 3
const REACH_MS = 2000

export class MongoServer {
  readonly health: HealthState
  readonly #knock: (isFirst: boolean) => Promise<boolean>
  readonly #breaker: Breaker
  readonly #allRefused = Promise.withResolvers<false>()
  #isClosed = false
  /** Until the first answer nothing goes through: the indexes may not be there yet. */
  #isReached = false
  #isPinging = false
  #failedPings = 0
  #pingTimer: NodeJS.Timeout | null = null
  #heartbeatReason: MongoReason | null = null

  constructor ({ client, log, onBreaker, knock }: MongoServerOptions) {
    this.health = createHealthState('mongodb', log)
    this.#knock = knock
    this.#breaker = createBreaker({
      clock: systemClock,
      failuresMax: BREAKER_FAILURES_MAX,
      openMsMin: RECONNECT_MS_MIN,
      openMsMax: RECONNECT_MS_MAX,
      onState: (state) => onBreaker?.(BREAKER_STATE_VALUE[state])
    })
    this.#listen(client)
  }

  get isClosed (): boolean {
    return this.#isClosed
  }

  /** False while a call would only wait in vain. */
  allows (): boolean {
    return !this.#isClosed && this.#isReached && this.#breaker.state === 'closed'
  }

  /** The same for background work, which a server that is merely slow answers in its longer time. */
  allowsBackground (): boolean {
    return this.allows() || (!this.#isClosed && this.#isReached && this.health.current().reason === 'timeout')
  }

  /** A call was answered. */
  succeed (): void {
    if (this.#breaker.state === 'closed') this.#breaker.succeed()
  }

  /** A call, or the driver, could not reach the server. */
  fail (error: unknown): void {
    if (this.#isClosed) return
    this.#breaker.fail()
    const wasUp = this.health.current().up
    this.health.set({ up: false, reason: this.#reasonFor(error) }, error)
    if (wasUp) this.#schedulePing(RECONNECT_MS_MIN * Math.random())
  }

  /**
   * A try to reach it; true when it answered. Ends after 2 s, the first one also when every server refused: the ping
   * goes on behind it.
   */
  reach (): Promise<boolean> {
    const late = new Promise<false>((resolve) => { setTimeout(resolve, REACH_MS, false).unref() })
    return Promise.race([this.#ping(), late, ...(this.#isReached ? [] : [this.#allRefused.promise])])
  }

  close (): void {
    this.#isClosed = true
    if (this.#pingTimer !== null) clearTimeout(this.#pingTimer)
  }

  #listen (client: MongoClient): void {
    client.on('serverHeartbeatSucceeded', () => { this.#heartbeatReason = null })
    client.on('serverHeartbeatFailed', ({ failure }) => {
      this.#heartbeatReason = reasonOf(failure)
      if (this.health.current().up && !this.#isPinging) this.#schedulePing(0)
    })
    client.on('error', (error) => this.fail(error))
    client.on('topologyDescriptionChanged', ({ newDescription: { servers } }) => {
      const errors = [...servers.values()].map(({ error }) => error)
      if (this.#isReached || errors.length === 0 || errors.includes(null)) return
      this.fail(errors[0])
      this.#allRefused.resolve(false)
    })
  }

  async #ping (): Promise<boolean> {
    if (this.#isClosed || this.#isPinging) return false
    this.#isPinging = true
    this.#breaker.allows()
    try {
      const isPrompt = await this.#knock(!this.#isReached)
      this.#isReached = true
      if (!isPrompt) throw Object.assign(new Error('MongoDB answers too slowly for requests'), { code: 'ETIMEDOUT' })
      this.#failedPings = 0
      this.#breaker.succeed()
      this.health.set({ up: true, reason: null })
      return true
    } catch (error) {
      this.#failedPings++
      this.fail(error)
      return false
    } finally {
      this.#isPinging = false
      const isUp = this.health.current().up
      this.#schedulePing(isUp ? PING_MS : backoffMs(this.#failedPings, RECONNECT_MS_MIN, RECONNECT_MS_MAX))
    }
  }

  #schedulePing (delayMs: number): void {
    if (this.#pingTimer !== null) clearTimeout(this.#pingTimer)
    if (!this.#isClosed) this.#pingTimer = setTimeout(() => this.#ping(), delayMs).unref()
  }

  /**
   * A call that waited in vain for a server ends as a timeout, or with the driver's own pool closed: the heartbeat
   * knows why there is none.
   */
  #reasonFor (error: unknown): MongoReason {
    const reason = reasonOf(error)
    return reason === 'timeout' || reason === 'other' ? this.#heartbeatReason ?? reason : reason
  }
}
