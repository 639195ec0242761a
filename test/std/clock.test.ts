import t from 'tap'
import { createTestClock, systemClock } from '../../src/std/clock.ts'

t.test('timers run in the order of their times, each at its own, whatever the order they were set in', (t) => {
  const clock = createTestClock(1_000)
  const seen: Array<[string, number, number]> = []
  const see = (name: string) => () => { seen.push([name, clock.now(), clock.monotonic()]) }
  clock.after(30, see('c'))
  clock.every(20, see('b'))
  clock.after(10, see('a'))
  clock.after(40, see('first of two'))
  clock.advance(9)
  t.same(seen, [])
  clock.advance(36)
  t.same(seen, [['a', 1_010, 10], ['b', 1_020, 20], ['c', 1_030, 30], ['first of two', 1_040, 40], ['b', 1_040, 40]])
  t.equal(clock.monotonic(), 45, 'the advance ends where it was told')
  clock.advance(15)
  t.same(seen.at(-1), ['b', 1_060, 60], 'due at the very end')
  t.end()
})

t.test('what a run adds is run within the same advance when it is due by then', (t) => {
  const clock = createTestClock()
  const seen: number[] = []
  const again = (): void => {
    seen.push(clock.monotonic())
    clock.after(100, again)
  }
  clock.after(100, again)
  clock.advance(350)
  t.same(seen, [100, 200, 300])
  clock.after(0, () => seen.push(clock.monotonic()))
  t.equal(seen.length, 3, 'never in the call that sets it')
  clock.advance(0)
  t.equal(seen.at(-1), 350)
  t.end()
})

t.test('a cancelled timer runs no more, also when it is cancelled by another one, by itself or twice', (t) => {
  const clock = createTestClock()
  let runs = 0
  const count = (): void => { runs++ }
  const once = clock.after(10, count)
  once.cancel()
  once.cancel()
  const other = clock.after(20, count)
  clock.after(15, () => other.cancel())
  const repeated = clock.every(30, () => { if (++runs === 2) repeated.cancel() })
  clock.advance(1_000)
  t.equal(runs, 2)
  t.end()
})

t.test('timers that rearm themselves without time are an error, not a test that hangs', (t) => {
  const clock = createTestClock()
  const again = (): void => { clock.after(0, again) }
  again()
  t.throws(() => clock.advance(1), /for ever/)
  const often = createTestClock()
  let runs = 0
  often.every(0, () => { runs++ })
  often.advance(5)
  t.equal(runs, 5, 'a repeated one takes a millisecond at least')
  t.end()
})

t.test('a long advance runs the last repetitions only, and none of the single ones is lost', (t) => {
  const clock = createTestClock()
  let repeated = 0
  let first = 0
  let single = 0
  clock.every(100, () => {
    if (repeated++ === 0) first = clock.monotonic()
  })
  clock.after(86_400_000, () => { single++ })
  clock.advance(30 * 86_400_000)
  t.same([repeated, single], [100, 1])
  t.equal(first, 30 * 86_400_000 - 9_900)
  clock.advance(100)
  t.equal(repeated, 101, 'and goes on in step')
  t.end()
})

t.test('set back, people read another time, and durations do not', (t) => {
  const clock = createTestClock(1_000)
  let runs = 0
  clock.after(10, () => { runs++ })
  clock.advance(5)
  clock.advance(-500)
  t.same([clock.now(), clock.monotonic(), runs], [505, 5, 0])
  clock.advance(5)
  t.same([clock.now(), clock.monotonic(), runs], [510, 10, 1])
  t.end()
})

t.test('the system clock runs timers in real time, and cancels them', async (t) => {
  // Its timers hold up no exit, not even this test's.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const cancelled = systemClock.after(1, () => t.fail('it was cancelled'))
  cancelled.cancel()
  await new Promise<void>((resolve) => { systemClock.after(2, resolve) })
  let runs = 0
  await new Promise<void>((resolve) => {
    const repeated = systemClock.every(1, () => {
      if (++runs < 3) return
      repeated.cancel()
      resolve()
    })
  })
  t.equal(runs, 3)
})
