import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { createFleetEndpoint } from '../fleet/endpoint.ts'
import type { FleetEndpoint } from '../fleet/endpoint.ts'
import type { FleetHub } from '../fleet/hub.ts'
import type { Fleet } from '../fleet/port.ts'
import { afterAwakeMs, createAwakeTime } from '../std/awake.ts'
import type { AwakeTime } from '../std/awake.ts'
import type { Clock } from '../std/clock.ts'
import { newProcessId } from '../std/id.ts'
import type { Json } from '../std/json.ts'
import type { Logging } from '../telemetry/logger.ts'
import { createBalance } from './balance.ts'
import { forkChild, statusOf } from './child.ts'
import type { Child } from './child.ts'
import { EXIT_CONFIG, EXIT_CRASH } from './ending.ts'
import { ignoredChanges, keepFixed } from './fixed-settings.ts'
import { HostMetrics } from './host-metrics.ts'
import type { ControlReply } from './messages.ts'
import { NEVER_READY_MS } from './restart.ts'
import { LOOK_MS, Slots } from './slots.ts'
import type { ProcessStatus } from './status.ts'

interface SupervisorOptions {
  config: Config
  /** Handed to every worker. */
  prepared: Json
  workerFile: URL
  logging: Logging
  clock: Clock
  hub: FleetHub
  /** A worker ended while the others go on. */
  onEnded?: () => void
}

/** Long enough for a replay of the log at start, short enough that a reload to a broken build ends. */
const START_TIMEOUT_MS = 30_000
const COUNT_POLL_MS = 1000

/**
 * The primary: forks the workers, starts them again when they die, replaces them one by one on reload, and carries the
 * fleet's messages between them. It serves no request; a store it opens only to bring in what a dead worker left in its
 * log.
 * A worker gets its configuration from here and never from its environment: all workers run on the same one.
 *
 * Owns which configuration is in force and how far the start has come. The workers of the slots are slots.ts, their
 * figures host-metrics.ts.
 */
export class Supervisor {
  readonly fleet: Fleet
  /** The URL, once every slot has a ready worker for the first time. */
  readonly ready: Promise<string>
  /** Settles with the exit code when the primary should give up (no worker ever became ready). */
  readonly hopeless: Promise<number>
  readonly #options: SupervisorOptions
  readonly #slots: Slots
  readonly #metrics: HostMetrics
  readonly #balance = createBalance()
  readonly #ready = Promise.withResolvers<string>()
  readonly #hopeless = Promise.withResolvers<number>()
  readonly #awake: AwakeTime
  readonly #poll: NodeJS.Timeout
  readonly #cancelGivingUp: () => void
  /** New workers get this one: that of the last reload. */
  #config: Config
  #isEverReady = false
  #isStopping = false
  /** The state of the fleet that the workers were told last. */
  #toldCount = 0
  #toldBridge: boolean | null = null

  /** Forks the workers at once. */
  constructor (options: SupervisorOptions) {
    this.#options = options
    this.#config = options.config
    this.#awake = createAwakeTime({ clock: options.clock, lookMs: LOOK_MS })
    this.ready = this.#ready.promise
    this.hopeless = this.#hopeless.promise
    cluster.setupPrimary({ exec: fileURLToPath(options.workerFile), args: [] })
    this.fleet = joinHub(options)
    this.#slots = new Slots({
      count: options.config.workers,
      awake: this.#awake,
      log: options.logging.log,
      startTimeoutMs: START_TIMEOUT_MS,
      drainTimeoutMs: options.config.shutdownTimeoutMs,
      rssBytesMax: () => this.#config.workerMaxRssBytes,
      fork: (slot) => this.#fork(slot),
      onReady: (child, url) => this.#workerReady(child, url),
      onGone: (child) => this.#workerGone(child),
      onRestart: (reason) => this.#metrics.countRestart(reason),
      onFailedStart: (code) => this.#startFailed(code)
    })
    this.#metrics = new HostMetrics(() => this.#slots.children())
    this.#poll = setInterval(() => this.#tellFleet(), COUNT_POLL_MS)
    this.#cancelGivingUp = afterAwakeMs(NEVER_READY_MS, () => this.#giveUpWhenHopeless())
    this.#slots.start()
  }

  config (): Config {
    return this.#config
  }

  processes (): ProcessStatus[] {
    return this.#slots.children().map((child) => statusOf(child, this.#slots.restarts(child.slot)))
  }

  renderMetrics (): Promise<string> {
    return this.#metrics.render()
  }

  /**
   * Replaces every worker, one after the other, by one that runs `next`. Stops at the first that fails to start; those
   * not yet replaced stay as they were.
   * @throws ConfigError naming the slot whose new worker did not start.
   */
  async reload (next: Config, progress: (message: Json) => void): Promise<Json> {
    const { log } = this.#options.logging
    const before = this.#config
    const ignored = ignoredChanges(before, next)
    if (ignored.length > 0) log.warn({ ignored }, 'these need a restart: the reload left them as they were')
    this.#config = keepFixed(before, next)
    const { count } = this.#slots
    for (let slot = 0; slot < count; slot++) {
      try {
        await this.#slots.replace(slot, 'reload')
        progress({ slot, done: slot + 1, of: count })
      } catch (error) {
        this.#config = before
        log.error(
          { workerSlot: slot, reason: (error as Error).message },
          'the reload failed: the workers that were not replaced stay'
        )
        throw new ConfigError('reload', `the new worker of slot ${slot} did not start; those not yet replaced stay`)
      }
    }
    log.info({ workers: count }, 'reloaded')
    return { replaced: count }
  }

  /** Runs a control verb in the ready worker of the lowest slot. */
  forward (verb: string, args: Json, progress: (message: Json) => void): Promise<ControlReply> {
    const [child] = this.#slots.children().filter(({ state }) => state === 'ready').sort((a, b) => a.slot - b.slot)
    if (child === undefined) {
      return Promise.resolve({
        ok: false,
        error: { code: 'NEKO_ERR_OVERLOADED', message: 'No process is ready now' }
      })
    }
    return child.control(verb, args, progress)
  }

  /** Every worker drains; resolves when all are gone. */
  async stop (timeoutMs: number): Promise<void> {
    this.#isStopping = true
    clearInterval(this.#poll)
    this.#cancelGivingUp()
    this.#metrics.close()
    await this.#slots.stop(timeoutMs)
    await this.fleet.close()
  }

  killAll (): void {
    this.#slots.killAll()
  }

  #fork (slot: number): Child {
    const { hub, prepared } = this.#options
    const child: Child = forkChild({
      slot,
      balance: this.#balance,
      awake: this.#awake,
      init: (processId) => {
        // Joined before it is ready: a change told while it loads the store must not pass it by.
        hub.join(processId, (envelope) => child.deliver(envelope), { counted: false })
        return {
          neko: 'init',
          slot,
          primaryId: this.fleet.processId,
          config: this.#config,
          prepared,
          processCount: hub.processCount(),
          bridgeUp: hub.bridgeUp()
        }
      },
      onFleet: (envelope) => hub.fromMember(envelope)
    })
    return child
  }

  #workerReady (child: Child, url: string): void {
    this.#isEverReady = true
    this.#options.hub.join(child.processId!, (envelope) => child.deliver(envelope))
    this.#tellFleet()
    if (this.#slots.readyCount() === this.#slots.count) this.#ready.resolve(url)
  }

  #workerGone (child: Child): void {
    if (child.processId !== null) this.#options.hub.leave(child.processId)
    this.#tellFleet()
    // Also one that drained: what it could not write while the store was away is in its log alone.
    if (!this.#isStopping) this.#options.onEnded?.()
    this.#metrics.retire(child)
  }

  #startFailed (code: number | null): void {
    if (this.#isEverReady || this.#isStopping) return
    // The worker has said which variable is wrong: trying again would only say it again.
    if (code === EXIT_CONFIG) this.#hopeless.resolve(EXIT_CONFIG)
  }

  /** A build or configuration that cannot start at all is the operator's to know, not to be retried for ever. */
  #giveUpWhenHopeless (): void {
    if (this.#isStopping || this.#isEverReady) return
    this.#options.logging.log.fatal('no worker became ready')
    this.#hopeless.resolve(EXIT_CRASH)
  }

  /**
   * Shares of limits hang on the number of processes: it is told when it changes, also by hosts that come and go. So is
   * the state of Redis.
   */
  #tellFleet (): void {
    const { hub } = this.#options
    const count = hub.processCount()
    const bridge = hub.bridgeUp()
    if (count === this.#toldCount && bridge === this.#toldBridge) return
    this.#toldCount = count
    this.#toldBridge = bridge
    for (const child of this.#slots.children()) child.tellCount(count, bridge)
  }
}

/** The primary's own way into the fleet: it hears everything, and does not count as a process that serves. */
function joinHub (
  { hub, clock, logging: { log } }: Pick<SupervisorOptions, 'hub' | 'clock' | 'logging'>
): FleetEndpoint {
  const primaryId = newProcessId()
  const endpoint = createFleetEndpoint({
    processId: primaryId,
    slot: -1,
    primaryId,
    clock,
    log,
    send: (envelope) => hub.fromMember(envelope),
    processCount: () => hub.processCount(),
    bridgeUp: () => hub.bridgeUp(),
    close: () => hub.leave(primaryId)
  })
  hub.join(primaryId, (envelope) => endpoint.deliver(envelope), { counted: false })
  return endpoint
}
