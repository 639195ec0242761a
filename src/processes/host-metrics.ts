import { createAggregate } from '../telemetry/aggregate.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import type { Child } from './child.ts'
import type { MetricSeries } from './messages.ts'

const METRICS_TIMEOUT_MS = 1000
/** How much of a worker's counting is lost to the fleet's figures when it is killed, at most. */
const METRICS_POLL_MS = 5000
/** The primary's own registry holds the metrics of all rooms at zero: only these are its own to tell. */
const PRIMARY_SERIES = /^(neko_processes|neko_process_restarts_total|process_|nodejs_)/

/**
 * The figures of one host: those of its workers, living and ended, added up, and the primary's own. Kept up to date
 * by polling, because a worker that is killed takes with it what it had not told.
 */
export class HostMetrics {
  readonly #children: () => Child[]
  readonly #own = createMetrics()
  readonly #aggregate = createAggregate()
  readonly #timer: NodeJS.Timeout

  constructor (children: () => Child[]) {
    this.#children = children
    this.#timer = setInterval(() => {
      this.#collect().catch(() => { /* the last figures stay */ })
    }, METRICS_POLL_MS)
  }

  countRestart (reason: string): void {
    this.#own.processRestartsTotal.inc({ reason })
  }

  /** Counters of a worker that ended stay in the sums. */
  retire (child: Child): void {
    this.#aggregate.retire(child.series)
  }

  async render (): Promise<string> {
    const { processes, registry } = this.#own
    processes.reset()
    for (const state of ['starting', 'ready', 'stalled', 'draining'] as const) processes.set({ state }, 0)
    for (const child of this.#children()) processes.inc({ state: child.state })
    const own = await registry.getMetricsAsJSON() as unknown as MetricSeries[]
    await this.#collect()
    // The living are asked for after the wait: a worker that ended meanwhile is among the retired now, and must
    // not count twice.
    return this.#aggregate.render([
      ...this.#children().map(({ series }) => series),
      own.filter(({ name }) => PRIMARY_SERIES.test(name))
    ])
  }

  close (): void {
    clearInterval(this.#timer)
  }

  #collect (): Promise<MetricSeries[][]> {
    return Promise.all(this.#children().map((child) => child.metrics(METRICS_TIMEOUT_MS)))
  }
}
