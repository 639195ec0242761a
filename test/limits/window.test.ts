import t from 'tap'
import fc from 'fast-check'
import { createTestClock } from '../../src/std/clock.ts'
import { createWindowLimiter } from '../../src/limits/window.ts'

const rate = { max: 100, windowSeconds: 60, blockSeconds: 0 }

t.test('N pass at once, the next is refused, and no window ever holds more than N under a greedy client', (t) => {
  const clock = createTestClock()
  const limiter = createWindowLimiter({ clock, capacity: 1024 })
  const admittedAt: number[] = []
  for (let ms = 0; ms < 300_000; ms += 7) {
    clock.advance(7)
    if (limiter.take('standard', 'a', rate).allowed) admittedAt.push(ms)
  }
  let worst = 0
  for (let newest = 0, oldest = 0; newest < admittedAt.length; newest++) {
    while (admittedAt[newest]! - admittedAt[oldest]! >= 60_000) oldest++
    worst = Math.max(worst, newest - oldest + 1)
  }
  t.equal(worst, 100)
  t.ok(admittedAt.length >= 400, `${admittedAt.length} of at most 500 in five windows`)
  t.end()
})

t.test('N-1 at the end of a window and N after the boundary admit N in any window', (t) => {
  const clock = createTestClock()
  const limiter = createWindowLimiter({ clock, capacity: 1024 })
  clock.advance(59_000)
  let admitted = 0
  for (let i = 0; i < 99; i++) if (limiter.take('standard', 'a', rate).allowed) admitted++
  clock.advance(1_500)
  for (let i = 0; i < 100; i++) if (limiter.take('standard', 'a', rate).allowed) admitted++
  t.equal(admitted, 100)
  t.end()
})

t.test('a client that waits Retry-After is always admitted, whatever it did before', (t) => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 9_000 }), { minLength: 1, maxLength: 60 }), fc.integer({ min: 0, max: 30 }), (gaps, blockSeconds) => {
    const clock = createTestClock()
    const limiter = createWindowLimiter({ clock, capacity: 64 })
    const small = { max: 5, windowSeconds: 10, blockSeconds }
    for (const gap of gaps) {
      clock.advance(gap)
      const answer = limiter.take('strict', 'a', small)
      if (answer.allowed) continue
      if (!Number.isInteger(answer.retryAfterSeconds) || answer.retryAfterSeconds < 1) return false
      clock.advance(answer.retryAfterSeconds * 1000)
      if (!limiter.take('strict', 'a', small).allowed) return false
    }
    return true
  }), { numRuns: 2000 })
  t.end()
})

t.test('a crossing is told once, however many are refused while its block lasts', (t) => {
  const clock = createTestClock()
  const limiter = createWindowLimiter({ clock, capacity: 64 })
  const strict = { max: 10, windowSeconds: 60, blockSeconds: 300 }
  let crossings = 0
  for (let i = 0; i < 50; i++) if (limiter.take('strict', 'a', strict).crossed) crossings++
  t.equal(crossings, 1)
  const refused = limiter.take('strict', 'a', strict)
  t.equal(refused.allowed, false)
  t.equal(refused.retryAfterSeconds, 300)
  clock.advance(300_000)
  t.equal(limiter.take('strict', 'a', strict).allowed, true)
  t.end()
})

t.test('what siblings admitted counts, a block refuses, and forgetting lets back in', (t) => {
  const clock = createTestClock()
  const limiter = createWindowLimiter({ clock, capacity: 64 })
  limiter.absorb('a', rate, 100)
  t.equal(limiter.take('standard', 'a', rate).allowed, false)
  limiter.forget('a')
  t.equal(limiter.take('standard', 'a', rate).allowed, true)
  limiter.block('a', rate, 5_000)
  t.equal(limiter.take('standard', 'a', rate).retryAfterSeconds, 5)
  t.equal(limiter.peek('standard', 'nobody', rate).remaining, 100)
  t.end()
})

t.test('a flood of a million addresses leaves memory as it was and a block in force', (t) => {
  const clock = createTestClock()
  const limiter = createWindowLimiter({ clock, capacity: 4096 })
  limiter.block('blocked', rate, 60_000)
  for (let i = 0; i < 200_000; i++) limiter.take('standard', `ip:${i}`, rate)
  t.equal(limiter.take('standard', 'blocked', rate).allowed, false)
  t.end()
})
