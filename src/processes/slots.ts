import type { Logger } from '../telemetry/logger.ts'
import type { Child } from './child.ts'
import { FRESH, nextRestart, replacementReason } from './restart.ts'
import type { RestartState } from './restart.ts'

/**
 * The slots of one host: each holds one living worker, for as long as the primary serves. Here is acted on what
 * restart.ts decides. A slot is always in one of three states: it has a child, it waits for its next fork, or a
 * replacement for it is starting beside it.
 */
export interface Slots {
  start (): void
  /**
   * A new worker takes the slot's place once it is ready; the old one then drains. Rejects, the old one
   * staying, when the new one fails.
   */
  replace (slot: number, reason: string): Promise<void>
  readonly count: number
  children (): Child[]
  restarts (slot: number): number
  /** No more forks; every child drains. Resolves when all are gone. */
  stop (timeoutMs: number): Promise<void>
  killAll (): void
}

export interface SlotsOptions {
  count: number
  fork: (slot: number) => Child
  log: Pick<Logger, 'error' | 'info' | 'warn'>
  /** Killed when not ready by then, ms. */
  startTimeoutMs: number
  drainTimeoutMs: number
  rssBytesMax: () => number | null
  onReady: (child: Child, url: string) => void
  onGone: (child: Child) => void
  onRestart: (reason: string) => void
  /** A worker that never was ready ended. */
  onFailedStart: (code: number | null) => void
  random?: () => number
}

interface Slot {
  child: Child | null
  replacement: Promise<void> | null
  restart: RestartState
  restarts: number
  timer: NodeJS.Timeout | null
}

const WATCH_MS = 500
/** An event loop that did not turn for this long will not turn again: an endless loop, not a long task. */
const HUNG_MS = 15_000

export function createSlots (options: SlotsOptions): Slots {
  const { log } = options
  const slots: Slot[] = Array.from(
    { length: options.count },
    () => ({ child: null, replacement: null, restart: FRESH, restarts: 0, timer: null })
  )
  const living = new Set<Child>()
  let isStopping = false
  let watch: NodeJS.Timeout | null = null

  const fork = (index: number): Child => {
    const child = options.fork(index)
    living.add(child)
    const timer = setTimeout(() => {
      log.error({ workerSlot: index, workerPid: child.pid }, 'a worker was not ready in time')
      child.kill()
    }, options.startTimeoutMs)
    child.ready.then((url) => { options.onReady(child, url) }, () => {}).finally(() => clearTimeout(timer))
    child.ended.then((end) => {
      living.delete(child)
      options.onGone(child)
      if (child.readyForMs() === null) options.onFailedStart(end.code)
      died(index, child, end)
    }).catch((error) => log.error({ err: error }, 'the end of a worker was not handled'))
    return child
  }

  const died = (index: number, child: Child, end: { code: number | null, signal: string | null }): void => {
    const slot = slots[index]!
    if (slot.child !== child) return
    slot.child = null
    if (isStopping) return
    const { state, delayMs } = nextRestart(
      slot.restart,
      { readyMs: child.readyForMs() },
      (options.random ?? Math.random)()
    )
    slot.restart = state
    log.error({
      workerSlot: index,
      workerPid: child.pid,
      code: end.code,
      signal: end.signal,
      restartInMs: delayMs,
      failures: state.failures
    }, 'a worker died')
    // The replacement that is starting beside it takes the slot; should it fail, the slot is refilled then.
    if (slot.replacement === null) refill(index, end.signal === null ? 'exit' : 'signal', delayMs)
  }

  const refill = (index: number, reason: string, delayMs: number): void => {
    const slot = slots[index]!
    slot.timer = setTimeout(() => {
      slot.timer = null
      if (isStopping || slot.child !== null || slot.replacement !== null) return
      slot.restarts++
      options.onRestart(reason)
      slot.child = fork(index)
    }, delayMs)
  }

  const replace = async (index: number, reason: string): Promise<void> => {
    const slot = slots[index]!
    const next = fork(index)
    try {
      await next.ready
    } catch (error) {
      await next.ended
      throw error
    } finally {
      slot.replacement = null
      if (next.readyForMs() === null && slot.child === null && !isStopping) refill(index, reason, 0)
    }
    const old = slot.child
    slot.child = next
    slot.restart = FRESH
    slot.restarts++
    options.onRestart(reason)
    if (isStopping) await next.drain(options.drainTimeoutMs)
    else await old?.drain(options.drainTimeoutMs)
  }

  const look = (): void => {
    slots.forEach((slot, index) => {
      const { child } = slot
      if (child === null || child.readyForMs() === null || child.state === 'draining') return
      if (child.silentMs() > HUNG_MS) {
        log.error({ workerSlot: index, workerPid: child.pid }, 'a worker hangs')
        return child.kill()
      }
      const reason = child.beat === null ? null : replacementReason(child.beat, options.rssBytesMax())
      if (reason !== null && slot.replacement === null) {
        log.warn(
          { workerSlot: index, workerPid: child.pid, reason, ...child.beat },
          'a worker is replaced before its memory is full'
        )
        self.replace(index, reason).catch((error) =>
          log.error({ err: error, workerSlot: index }, 'the replacement failed')
        )
      }
    })
  }

  const self: Slots = {
    count: options.count,
    start () {
      slots.forEach((slot, index) => { slot.child = fork(index) })
      watch = setInterval(look, WATCH_MS)
    },
    replace (index, reason) {
      const slot = slots[index]!
      if (isStopping) return Promise.reject(new Error('the server is stopping'))
      if (slot.timer !== null) clearTimeout(slot.timer)
      slot.timer = null
      slot.replacement ??= replace(index, reason)
      return slot.replacement
    },
    children: () => [...living],
    restarts: (index) => slots[index]!.restarts,
    async stop (timeoutMs) {
      isStopping = true
      if (watch !== null) clearInterval(watch)
      for (const slot of slots) if (slot.timer !== null) clearTimeout(slot.timer)
      await Promise.all([...living].map((child) => child.drain(timeoutMs)))
    },
    killAll () { for (const child of living) child.kill() }
  }
  return self
}
