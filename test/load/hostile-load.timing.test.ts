import t from 'tap'
import { checkRound, runRound } from './hostile-load.ts'
import { SCENARIOS } from './hostile-traffic.ts'

/**
 * Clients that try to wear the scorer out, within the limits that everybody has: nobody's attack passes because of it,
 * theirs do not either, and ordinary callers notice little. One short round of each kind; three long ones nightly.
 */
t.setTimeout(180_000)

/**
 * In each round, as long as the loop may stand still in each: of three long ones the best is held to three times the
 * quiet figure (test/nightly/hostile-load.ts), which one short round on a shared machine cannot tell.
 */
const ORDINARY_MS_MAX = 250
/** A large body waits its turn for 320 ms at most, beside that. */
const LARGE_MS_MAX = 570

for (const scenario of SCENARIOS) {
  t.test(`under hostile load no attack passes and ordinary requests go on: ${scenario}`, async (t) => {
    const round = await runRound(t, { scenario, seconds: 5, quietSeconds: 1 })
    checkRound(t, round, { scenario })
    for (const [kind, msMax] of [['ordinary', ORDINARY_MS_MAX], ['ordinary, large', LARGE_MS_MAX]] as const) {
      const ms = round.flood[kind]!.ms.p99
      const quietMs = round.quiet[kind]!.ms.p99
      const barMs = Math.max(3 * quietMs, msMax * round.slowness)
      t.ok(ms <= barMs, `${kind}: p99 ${ms.toFixed(1)} ms, ${quietMs.toFixed(1)} quiet`)
    }
  })
}
