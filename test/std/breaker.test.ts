import { getEventListeners } from 'node:events'
import t from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { type BreakerState, createBreaker } from '../../src/std/breaker.ts'
import { backoffMs, pause, withDeadline } from '../../src/std/deadline.ts'
import { turns, whileTimePasses } from '../time.ts'

function create () {
  const clock = createTestClock()
  const states: BreakerState[] = []
  const breaker = createBreaker({ clock, failuresMax: 3, openMsMin: 100, openMsMax: 400, onState: (state) => states.push(state) })
  return { clock, states, breaker }
}

t.test('it opens after failures in a row, and a success between them starts the count anew', async (t) => {
  const { breaker } = create()
  breaker.fail()
  breaker.fail()
  breaker.succeed()
  breaker.fail()
  breaker.fail()
  t.equal(breaker.state, 'closed')
  t.equal(breaker.waitMs(), 0)
  breaker.fail()
  t.equal(breaker.state, 'open')
  t.equal(breaker.allows(), false)
  t.ok(breaker.waitMs() >= 50 && breaker.waitMs() <= 100)
})

t.test('after the wait one trial may go; its success closes, its failure doubles the wait up to the bound', async (t) => {
  const { breaker, clock, states } = create()
  for (let i = 0; i < 3; i++) breaker.fail()
  const waits: number[] = []
  for (let round = 0; round < 5; round++) {
    waits.push(breaker.waitMs())
    clock.advance(400)
    t.equal(breaker.allows(), true)
    t.equal(breaker.state, 'half-open')
    t.equal(breaker.allows(), false, 'one at a time')
    breaker.fail()
  }
  t.ok(waits[4]! >= 200 && waits[4]! <= 400)
  clock.advance(400)
  breaker.allows()
  breaker.succeed()
  t.equal(breaker.allows(), true)
  t.equal(states.at(-1), 'closed')
})

t.test('a trial whose end is never told does not keep it shut for ever', async (t) => {
  const { breaker, clock } = create()
  for (let i = 0; i < 3; i++) breaker.fail()
  clock.advance(100)
  t.equal(breaker.allows(), true)
  clock.advance(400)
  t.equal(breaker.allows(), true)
})

t.test('a deadline ends the waiting and drops what comes too late', async (t) => {
  t.equal(await withDeadline(Promise.resolve(1), 1000, () => new Error('late')), 1)
  await t.rejects(withDeadline(Promise.reject(new Error('own')), 1000, () => new Error('late')), { message: 'own' })
  const slow = Promise.withResolvers<never>()
  await t.rejects(withDeadline(slow.promise, 5, () => new Error('late')), { message: 'late' })
  slow.reject(new Error('too late'))
  await turns()
})

t.test('backoff doubles up to its bound, jittered by half', async (t) => {
  for (let attempt = 0; attempt < 40; attempt++) {
    const ms = backoffMs(attempt, 100, 5000)
    const whole = Math.min(5000, 100 * 2 ** attempt)
    t.ok(ms >= whole / 2 && ms <= whole)
  }
})

t.test('a pause ends early when its signal says so, and leaves nothing on a signal that outlives it', async (t) => {
  const ending = new AbortController()
  const clock = createTestClock()
  await whileTimePasses(clock, pause(clock, 100, ending.signal))
  t.equal(clock.monotonic(), 100)
  t.equal(getEventListeners(ending.signal, 'abort').length, 0, 'nothing stays behind')
  let isOver = false
  pause(clock, 60_000, ending.signal).then(() => { isOver = true })
  ending.abort()
  await turns()
  t.ok(isOver)
  t.equal(getEventListeners(ending.signal, 'abort').length, 0)
})
