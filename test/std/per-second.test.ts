import t from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { createPerSecond } from '../../src/std/per-second.ts'

t.test('so many in each second, and nothing is saved for the next', (t) => {
  const clock = createTestClock()
  const budget = createPerSecond(clock, 3)
  const takeMany = (count: number): number => Array.from({ length: count }, () => budget.take()).filter(Boolean).length
  t.equal(takeMany(10), 3, 'also in the first second of a clock that begins at 0')
  clock.advance(999)
  t.equal(takeMany(10), 0, 'the second is not over')
  clock.advance(1)
  t.equal(takeMany(1), 1)
  clock.advance(1_000)
  t.equal(takeMany(10), 3, 'two that were left over are gone')
  clock.advance(3_600_000)
  t.equal(takeMany(10), 3, 'an idle hour is worth one second')
  t.end()
})

t.test('it goes by the monotonic clock: a wall clock that is set back changes nothing', (t) => {
  let monotonicMs = 5_000
  const clock = { now: () => { throw new Error('asked for wall time') }, monotonic: () => monotonicMs }
  const budget = createPerSecond(clock, 1)
  t.same([budget.take(), budget.take()], [true, false])
  monotonicMs += 1_000
  t.ok(budget.take())
  t.end()
})
