import t from 'tap'
import { checkRound, runRound } from './hostile-load.ts'
import { SCENARIOS } from './hostile-traffic.ts'

/**
 * Clients that try to wear the scorer out, within the limits that everybody has: nobody's attack passes because of it,
 * theirs do not either, and ordinary callers notice little. One short round of each kind; three long ones nightly.
 */
t.setTimeout(180_000)

/** Nobody notices less, and the quiet figure is an accident on a shared machine. */
const UNNOTICED_MS = 50
/** A large body waits its turn for 150 ms at most. */
const LARGE_MS_MAX = 250

for (const scenario of SCENARIOS) {
  t.test(`under hostile load no attack passes and ordinary requests go on: ${scenario}`, async (t) => {
    const round = await runRound(t, { scenario, seconds: 10, quietSeconds: 4 })
    checkRound(t, round, { scenario })
    const { quiet, flood, slowness } = round
    const [before, small, large] = [quiet.ordinary, flood.ordinary, flood['ordinary, large']].map((seen) => seen!.ms.p99)
    t.ok(small! <= Math.max(3 * before!, UNNOTICED_MS * slowness), `small requests take ${small!.toFixed(1)} ms (p99)`)
    t.ok(large! <= LARGE_MS_MAX * slowness, `large bodies take ${large!.toFixed(1)} ms (p99)`)
  })
}
