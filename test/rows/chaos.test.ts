import t from 'tap'
import { runChaos } from '../chaos/chaos.ts'

/**
 * What was acknowledged holds: two short cycles of the twenty that run nightly (test/nightly/chaos.ts). A worker is killed
 * while store and Redis are away, then the primary while the store is; once the server is whole first, and once the store.
 */
const SEED = 17

t.test('two cycles of kills and returns leave every acknowledged change in force', { timeout: 120_000 }, async (t) => {
  const { violations, acknowledged, probes, looks } = await runChaos(t, { seed: SEED, cycles: 2, spanMs: 2_000, long: false, mongo: null, report: (line) => t.comment(JSON.stringify(line)) })
  t.ok(acknowledged > 50, `${acknowledged} mutations were acknowledged`)
  t.ok(probes > 0 && looks > 0, `${probes} questions during the faults, ${looks} behind them`)
  t.same(violations.slice(0, 20), [], `${violations.length} violations`)
})
