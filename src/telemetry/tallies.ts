import type { Counter, Gauge, Histogram } from 'prom-client'

/**
 * Series that are counted for each request, as plain numbers: prom-client works out a text of the labels, and looks it
 * up, each time (3 us a request in all). What was counted is handed to prom-client when somebody asks for the figures.
 *
 * Owns: what was counted since somebody last asked. Never does: know a metric's meaning. A metric whose series are
 * tallied is made with `collect: handOver`.
 */
interface CountedSeries { inc (): void }
interface ObservedSeries { observe (value: number): void }
interface GaugedSeries { inc (): void, dec (): void }

type Labels = Readonly<Record<string, string | number>>
/** Adds what is new to prom-client's series. */
type HandOver = () => void

const waiting = new WeakMap<object, HandOver[]>()

/** For `collect` of a metric: prom-client calls it before it reads the values. */
export function handOver (this: object): void {
  for (const one of waiting.get(this) ?? []) one()
}

function tally (metric: object, add: HandOver): void {
  const all = waiting.get(metric) ?? []
  all.push(add)
  waiting.set(metric, all)
}

export function countedSeries<L extends string> (counter: Counter<L>, labels: Labels = {}): CountedSeries {
  let count = 0
  tally(counter, () => {
    if (count > 0) counter.inc(labels as never, count)
    count = 0
  })
  return { inc () { count++ } }
}

/** Of a figure that somebody else counts anyway. @param total never falls */
export function followedSeries<L extends string> (counter: Counter<L>, labels: Labels, total: () => number): void {
  let shown = 0
  tally(counter, () => {
    const now = total()
    counter.inc(labels as never, now - shown)
    shown = now
  })
}

/** Counters by a few words of closed lists: each series is made when it is first counted. */
export function countedByWords<L extends string> (
  counter: Counter<L>,
  names: readonly [L, L?, L?]
): (first: string, second?: string, third?: string) => CountedSeries {
  const known = new Map<string, Map<string, Map<string, CountedSeries>>>()
  return (first, second = '', third = '') => {
    let seconds = known.get(first)
    if (seconds === undefined) known.set(first, seconds = new Map())
    let thirds = seconds.get(second)
    if (thirds === undefined) seconds.set(second, thirds = new Map())
    let series = thirds.get(third)
    if (series === undefined) {
      const words = [first, second, third].slice(0, names.length)
      thirds.set(third, series = countedSeries(counter, Object.fromEntries(names.map((name, i) => [name, words[i]!]))))
    }
    return series
  }
}

export function gaugedSeries (gauge: Gauge): GaugedSeries {
  let value = 0
  tally(gauge, () => gauge.set(value))
  return { inc () { value++ }, dec () { value-- } }
}

/** As prom-client 15 keeps a series of a histogram; its test compares the two. */
interface KeptSeries { labels: Labels, bucketValues: Record<string, number>, sum: number, count: number }
type Kept = { readonly upperBounds: readonly number[], readonly hashMap: Readonly<Record<string, KeptSeries>> }

export function observedSeries<L extends string> (histogram: Histogram<L>, labels: Labels = {}): ObservedSeries {
  const { upperBounds } = histogram as unknown as Kept
  const counts = new Float64Array(upperBounds.length + 1)
  let sum = 0
  tally(histogram, () => {
    if (counts.every((count) => count === 0)) return
    const kept = keptSeries(histogram, labels)
    for (const [i, bound] of upperBounds.entries()) kept.bucketValues[bound] = kept.bucketValues[bound]! + counts[i]!
    kept.count += counts.reduce((total, count) => total + count, 0)
    kept.sum += sum
    counts.fill(0)
    sum = 0
  })
  return {
    observe (value) {
      let i = 0
      while (i < upperBounds.length && value > (upperBounds[i] as number)) i++
      counts[i] = (counts[i] as number) + 1
      sum += value
    }
  }
}

function keptSeries<L extends string> (histogram: Histogram<L>, labels: Labels): KeptSeries {
  const find = (): KeptSeries | undefined => Object.values((histogram as unknown as Kept).hashMap).find((series) =>
    Object.entries(labels).every(([name, value]) => series.labels[name] === value))
  const known = find()
  if (known !== undefined) return known
  histogram.zero(labels as never)
  return find() as KeptSeries
}
