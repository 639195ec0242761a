import t from 'tap'
import { countedMs, createAwakeTime } from '../../src/std/awake.ts'
import { createTestClock } from '../../src/std/clock.ts'

t.test('a look in time counts as long as it took, one that comes late as long as it was due', async (t) => {
  t.equal(countedMs(250, 250), 250)
  t.equal(countedMs(900, 250), 900, 'a busy moment')
  t.equal(countedMs(20_000, 250), 250, 'a pause')
})

t.test('a pause does not count, whenever within it the time is asked for', async (t) => {
  const clock = createTestClock()
  const awake = createAwakeTime({ clock, lookMs: 250 })
  for (let look = 0; look < 8; look++) {
    clock.advance(250)
    awake.look()
  }
  t.equal(awake.ms(), 2_000)
  clock.advance(100)
  t.equal(awake.ms(), 2_100, 'between two looks it goes on')
  clock.advance(20_000)
  t.equal(awake.ms(), 2_250)
  awake.look()
  t.equal(awake.ms(), 2_250)
  clock.advance(250)
  awake.look()
  t.equal(awake.ms(), 2_500)
})

t.test('time never falls, also where a busy moment turns out to be a pause', async (t) => {
  const clock = createTestClock()
  const awake = createAwakeTime({ clock, lookMs: 250 })
  let beforeMs = 0
  for (let step = 0; step < 60; step++) {
    clock.advance(100)
    t.ok(awake.ms() >= beforeMs)
    beforeMs = awake.ms()
  }
  awake.look()
  t.equal(awake.ms(), beforeMs)
})
