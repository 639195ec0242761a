import { AggregatorRegistry } from 'prom-client'
import type { Registry } from 'prom-client'

/**
 * One set of figures for many processes. Counters must never fall when a process is replaced: what a dead one
 * had counted is kept here, folded into one set, so that the memory held does not grow with the number of deaths.
 */
interface Series {
  name: string
  type: string
  help: string
  aggregator: string
  values: Array<{ value: number, metricName?: string, labels: Record<string, string | number> }>
}

interface Aggregate {
  /**
   * Keeps the counters and histograms of a process that is gone; its gauges died with it. At once, so that no
   * scrape falls between its end and this.
   */
  retire (series: Series[]): void
  /** Prometheus text of the living and the dead, who must not be among the living any more. */
  render (living: Series[][]): Promise<string>
}

export function createAggregate (): Aggregate {
  const retired = new Map<string, { series: Series, byLabels: Map<string, Series['values'][number]> }>()
  return {
    retire (series) {
      for (const metric of series) {
        // prom-client says the type as a word or, in older snapshots, as the class's own name: both are lower case.
        if (metric.type !== 'counter' && metric.type !== 'histogram') continue
        let kept = retired.get(metric.name)
        if (kept === undefined) {
          retired.set(metric.name, kept = { series: { ...metric, values: [] }, byLabels: new Map() })
        }
        for (const value of metric.values) {
          const key = JSON.stringify([
            value.metricName ?? '',
            Object.entries(value.labels).sort(([a], [b]) => a < b ? -1 : 1)
          ])
          const known = kept.byLabels.get(key)
          if (known !== undefined) known.value += value.value
          else {
            const copy = { ...value }
            kept.byLabels.set(key, copy)
            kept.series.values.push(copy)
          }
        }
      }
    },
    render: (living) => merge([...living, [...retired.values()].map(({ series }) => series)]).metrics()
  }
}

function merge (sets: Series[][]): Registry {
  return AggregatorRegistry.aggregate(sets.filter((set) => set.length > 0))
}
