import { afterAwakeMs } from '../std/awake.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Child } from './child.ts'
import { FRESH, HUNG_MS, nextRestart, replacementReason } from './restart.ts'

export interface SlotOptions {
  index: number
  fork: () => Child
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

/**
 * One slot of a host: it holds one living worker, for as long as the primary serves. It acts on the decisions of
 * restart.ts. A slot is always in one of three states: it has a child, it waits for its next fork, or a replacement
 * is starting, beside the child or in the place of one that died.
 */
export class Slot {
  readonly #options: SlotOptions
  #child: Child | null = null
  #replacement: Promise<void> | null = null
  #restart = FRESH
  #restarts = 0
  #timer: NodeJS.Timeout | null = null
  /** A replacement that nobody asked for failed: the next one is not tried before. */
  #retryAtMs = 0
  #isStopping = false

  constructor (options: SlotOptions) {
    this.#options = options
  }

  /** Times that its worker was started again. */
  get restarts (): number {
    return this.#restarts
  }

  start (): void {
    this.#child = this.#fork()
  }

  /**
   * A new worker takes the slot's place once it is ready; the old one then drains. Rejects, the old one
   * staying, when the new one fails.
   */
  replace (reason: string): Promise<void> {
    if (this.#isStopping) return Promise.reject(new Error('the server is stopping'))
    // The one under way may run on the configuration of before.
    if (this.#replacement !== null) return this.#replacement.catch(() => {}).then(() => this.replace(reason))
    this.#clearTimer()
    this.#replacement = this.#replace(reason)
    return this.#replacement
  }

  /** What hungSlot decides by: as long as it may not be replaced again, another slot that hangs has its turn. */
  state (): { silentMs: number | null, isBeingReplaced: boolean } {
    const isPausing = performance.now() < this.#retryAtMs
    return {
      silentMs: isPausing ? null : this.#serving()?.silentMs() ?? null,
      isBeingReplaced: this.#replacement !== null
    }
  }

  /** A worker that hangs serves on as long as it can, until another one stands beside it: it is killed then. */
  replaceHung (): void {
    const { log, index } = this.#options
    const child = this.#serving()
    if (child === null || !this.#mayReplace()) return
    const silentMs = Math.round(child.silentMs())
    log.error({ workerSlot: index, workerPid: child.pid, silentMs }, 'a worker hangs and is replaced')
    this.#replaceUnasked('hung')
  }

  /** Replaces a worker whose memory is nearly full. */
  checkMemory (): void {
    const { log, index, rssBytesMax } = this.#options
    const child = this.#serving()
    const beat = child?.beat ?? null
    const reason = beat === null ? null : replacementReason(beat, rssBytesMax())
    if (reason === null || !this.#mayReplace()) return
    const about = { workerSlot: index, workerPid: child!.pid, reason }
    log.warn({ ...about, ...beat }, 'a worker is replaced before its memory is full')
    this.#replaceUnasked(reason)
  }

  /** No more forks. */
  stop (): void {
    this.#isStopping = true
    this.#clearTimer()
  }

  /** The worker of the slot, if it is ready. */
  #serving (): Child | null {
    const child = this.#child
    return child === null || child.readyForMs() === null || child.state === 'draining' ? null : child
  }

  #mayReplace (): boolean {
    return !this.#isStopping && this.#replacement === null && performance.now() >= this.#retryAtMs
  }

  #replaceUnasked (reason: string): void {
    const { index, log, random = Math.random } = this.#options
    this.replace(reason).catch((error) => {
      const { state, delayMs } = nextRestart(this.#restart, { readyMs: null }, random())
      this.#restart = state
      this.#retryAtMs = performance.now() + delayMs
      log.error({ err: error, workerSlot: index, retryInMs: delayMs }, 'the replacement failed')
    })
  }

  #fork (): Child {
    const { index, log, startTimeoutMs, onReady, onGone, onFailedStart } = this.#options
    const child = this.#options.fork()
    const cancel = afterAwakeMs(startTimeoutMs, () => {
      log.error({ workerSlot: index, workerPid: child.pid }, 'a worker was not ready in time')
      child.kill()
    })
    child.ready.then((url) => { onReady(child, url) }, () => {}).finally(cancel)
    child.ended.then((end) => {
      onGone(child)
      if (child.readyForMs() === null) onFailedStart(end.code)
      this.#childEnded(child, end)
    }).catch((error) => log.error({ err: error }, 'the end of a worker was not handled'))
    return child
  }

  #childEnded (child: Child, end: { code: number | null, signal: string | null }): void {
    if (this.#child !== child) return
    this.#child = null
    if (this.#isStopping) return
    const { index, log, random = Math.random } = this.#options
    const { state, delayMs } = nextRestart(this.#restart, { readyMs: child.readyForMs() }, random())
    this.#restart = state
    log.error({
      workerSlot: index,
      workerPid: child.pid,
      code: end.code,
      signal: end.signal,
      restartInMs: delayMs,
      failures: state.failures
    }, 'a worker died')
    // The replacement that is starting beside it takes the slot; should it fail, the slot is refilled then.
    if (this.#replacement === null) this.#refill(end.signal === null ? 'exit' : 'signal', delayMs)
  }

  #refill (reason: string, delayMs: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null
      if (this.#isStopping || this.#child !== null || this.#replacement !== null) return
      this.#countRestart(reason)
      this.#child = this.#fork()
    }, delayMs)
  }

  async #replace (reason: string): Promise<void> {
    const { drainTimeoutMs } = this.#options
    const next = this.#fork()
    try {
      await next.ready
    } catch (error) {
      await next.ended
      throw error
    } finally {
      this.#replacement = null
      if (next.readyForMs() === null && this.#child === null && !this.#isStopping) this.#refill(reason, 0)
    }
    const old = this.#child
    this.#child = next
    this.#restart = FRESH
    this.#countRestart(reason)
    if (this.#isStopping) return await next.drain(drainTimeoutMs)
    // It went on meanwhile, or its order to drain would not be read.
    if (old === null || old.silentMs() <= HUNG_MS) return await old?.drain(drainTimeoutMs)
    this.#options.log.error({ workerSlot: this.#options.index, workerPid: old.pid }, 'a worker that hangs was killed')
    old.kill()
    await old.ended
  }

  #countRestart (reason: string): void {
    this.#restarts++
    this.#options.onRestart(reason)
  }

  #clearTimer (): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }
}
