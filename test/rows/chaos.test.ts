import t from 'tap'
import { runChaos } from '../chaos/chaos.ts'

/**
 * What was acknowledged holds: one short cycle of the kind of which twenty run nightly (test/nightly/chaos.ts). A worker is
 * killed while store and Redis are away, and with everything back the server is restarted once more.
 */
const SEED = 17

t.test('a cycle of kills and returns leaves every acknowledged change in force', { timeout: 120_000 }, async (t) => {
  const { violations, acknowledged, probes, looks } = await runChaos(t, { seed: SEED, cycles: 1, spanMs: 2_000, long: false, mongo: null, report: (line) => t.comment(JSON.stringify(line)) })
  t.ok(acknowledged > 30, `${acknowledged} mutations were acknowledged`)
  t.ok(probes > 0 && looks > 0, `${probes} questions during the faults, ${looks} behind them`)
  t.same(violations.slice(0, 20), [], `${violations.length} violations`)
})
