import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import fc from 'fast-check'
import t from 'tap'
import { countedByWords, countedSeries, gaugedSeries, handOver, observedSeries } from '../../src/telemetry/tallies.ts'

t.test('what is tallied is shown as prom-client would count it', async (t) => {
  const steps = fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.oneof(fc.double({ min: -1, max: 12, noNaN: true }), fc.constantFrom(0, 0.1, 1, 5)), fc.boolean()), { maxLength: 60 })
  await fc.assert(fc.asyncProperty(steps, async (all) => {
    const [tallied, plain] = [new Registry(), new Registry()]
    const make = (registry: Registry, collect: Record<string, unknown>): { histogram: Histogram<'kind'>, bare: Histogram, counter: Counter<'kind'>, gauge: Gauge } => ({
      histogram: new Histogram({ name: 'h', help: 'h', labelNames: ['kind'], buckets: [0.1, 1, 5], registers: [registry], ...collect }),
      bare: new Histogram({ name: 'b', help: 'b', buckets: [0.1, 1, 5], registers: [registry], ...collect }),
      counter: new Counter({ name: 'c', help: 'c', labelNames: ['kind'], registers: [registry], ...collect }),
      gauge: new Gauge({ name: 'g', help: 'g', registers: [registry], ...collect })
    })
    const ours = make(tallied, { collect: handOver })
    const theirs = make(plain, {})
    const histograms = { a: observedSeries(ours.histogram, { kind: 'a' }), b: observedSeries(ours.histogram, { kind: 'b' }) }
    const bare = observedSeries(ours.bare)
    const words = countedByWords(ours.counter, ['kind'])
    const gauge = gaugedSeries(ours.gauge)
    for (const [kind, value, isShown] of all) {
      histograms[kind as 'a'].observe(value)
      theirs.histogram.observe({ kind }, value)
      bare.observe(value)
      theirs.bare.observe(value)
      words(kind).inc()
      theirs.counter.inc({ kind })
      if (value > 1) gauge.inc()
      else gauge.dec()
      theirs.gauge.inc(value > 1 ? 1 : -1)
      // Some look in between.
      if (isShown) await tallied.metrics()
    }
    const lines = async (registry: Registry): Promise<string[]> => (await registry.metrics()).split('\n').sort().map((line) => line.replace(/(_sum\S* )(\S+)$/, (_all, name: string, sum: string) => name + Number(sum).toFixed(6)))
    t.strictSame(await lines(tallied), await lines(plain))
  }), { numRuns: 60 })
})

t.test('a series that was never counted is not shown, and each is counted once', async (t) => {
  const registry = new Registry()
  const counter = new Counter({ name: 'c', help: 'c', labelNames: ['tier', 'result', 'store'] as const, registers: [registry], collect: handOver })
  const words = countedByWords(counter, ['tier', 'result', 'store'])
  const series = words('a', 'b', 'c')
  t.equal(words('a', 'b', 'c'), series)
  countedSeries(counter, { tier: 'x', result: 'y', store: 'z' })
  t.notMatch(await registry.metrics(), /c\{/)
  series.inc()
  for (let i = 0; i < 2; i++) t.match(await registry.metrics(), /c\{tier="a",result="b",store="c"\} 1\n/)
})
