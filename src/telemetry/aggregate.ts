import { AggregatorRegistry } from 'prom-client'
import type { Registry } from 'prom-client'

/**
 * One set of figures for many processes. Counters must never fall when a process is replaced (R47): what a dead one
 * had counted is kept here, folded into one set, so that the memory held does not grow with the number of deaths.
 */
export interface Series { name: string, type: string, help: string, aggregator: string, values: Array<{ value: number, metricName?: string, labels: Record<string, string | number> }> }

export interface Aggregate {
  /** Keeps the counters and histograms of a process that is gone; its gauges died with it. */
  retire (series: Series[]): Promise<void>
  /** Prometheus text of the living and the dead. */
  render (living: Series[][]): Promise<string>
}

export function createAggregate (): Aggregate {
  let retired: Series[] = []
  return {
    async retire (series) {
      // prom-client says the type as a word or, in older snapshots, as the class's own name: both are lower case.
      const lasting = series.filter((metric) => metric.type === 'counter' || metric.type === 'histogram')
      retired = await merge([retired, lasting]).getMetricsAsJSON() as unknown as Series[]
    },
    render: (living) => merge([...living, retired]).metrics()
  }
}

function merge (sets: Series[][]): Registry {
  return AggregatorRegistry.aggregate(sets.filter((set) => set.length > 0))
}
