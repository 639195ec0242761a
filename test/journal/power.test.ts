import t from 'tap'
import { cutPower } from './power.ts'

t.test('a power cut at any step of the writer loses nothing acknowledged (a sample of the nightly run)', async (t) => {
  const { points, problems } = await cutPower(60, 3)
  t.ok(points >= 200, `${points} crash points`)
  t.same(problems.slice(0, 10), [])
})
