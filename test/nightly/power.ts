// The power is cut at every step of a long run of the audit writer, and once more within each recovery.
import t from 'tap'
import { cutPower } from '../journal/power.ts'

t.test('no acknowledged change is lost at any of 1,000 crash points or more', { timeout: 600_000 }, async (t) => {
  const { points, problems } = await cutPower(250, 1)
  t.ok(points >= 1_000, `${points} crash points`)
  t.same(problems.slice(0, 10), [], `${problems.length} problems`)
})
