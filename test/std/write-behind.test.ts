import t from 'tap'
import type { Test } from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { createWriteBehind } from '../../src/std/write-behind.ts'
import { turns } from '../time.ts'

/** A store that can be away, what it holds, and what waits to be written to it, two at a time. */
function create (t: Test) {
  const clock = createTestClock()
  const store = { isUp: true, held: [] as string[], tries: 0, atOnce: 0, atOnceMax: 0, onWritten: (): void => {} }
  const waiting: string[] = []
  const errors: unknown[] = []
  const runner = createWriteBehind({
    clock,
    waits: () => waiting.length > 0,
    async write () {
      store.tries++
      store.atOnceMax = Math.max(store.atOnceMax, ++store.atOnce)
      await new Promise((resolve) => setImmediate(resolve))
      store.atOnce--
      if (!store.isUp) throw new Error('away')
      store.held.push(...waiting.splice(0, 2))
      store.onWritten()
    },
    onError: (error) => errors.push(error)
  })
  t.teardown(() => runner.close())
  const add = (...texts: string[]): void => { waiting.push(...texts); runner.wake() }
  return { clock, store, waiting, errors, runner, add }
}

t.test('what one turn adds is written together, one flush at a time, until nothing waits', async (t) => {
  const { store, runner, add } = create(t)
  for (let i = 0; i < 5; i++) add(`a${i}`)
  t.equal(store.tries, 0, 'not in the turn that adds')
  await runner.settled()
  t.same(store.held, ['a0', 'a1', 'a2', 'a3', 'a4'])
  t.equal(store.tries, 3, 'two by two')
  await Promise.all([runner.settled(), runner.settled()])
  t.equal(store.tries, 3, 'with nothing waiting, nothing is tried')
  t.equal(store.atOnceMax, 1)
})

t.test('what comes while a flush is under way is written by it', async (t) => {
  const { store, runner, add } = create(t)
  store.onWritten = () => { if (store.held.length < 6) add(`late${store.held.length}`) }
  add('first')
  await runner.settled()
  t.equal(store.held.length, 6)
  t.equal(store.atOnceMax, 1)
})

t.test('what comes in the moment between the last look and the end of a flush is not forgotten', async (t) => {
  const written: string[] = []
  const waiting = ['first']
  let looks = 0
  const runner = createWriteBehind({
    clock: createTestClock(),
    waits () {
      looks++
      // After the flush saw that nothing waits, before anybody hears that it ended.
      if (waiting.length === 0 && written.length === 1) queueMicrotask(() => { waiting.push('second'); runner.wake() })
      return waiting.length > 0
    },
    async write () { written.push(...waiting.splice(0)) },
    onError () {}
  })
  runner.wake()
  await turns()
  t.same(written, ['first', 'second'], `after ${looks} looks`)
})

t.test('a store that is away is tried once per pause, by the timer alone, however much comes', async (t) => {
  const { clock, store, waiting, errors, add } = create(t)
  store.isUp = false
  for (let i = 0; i < 40; i++) {
    add(`a${i}`)
    await turns()
    clock.advance(100)
  }
  t.equal(store.tries, 4, 'in four seconds')
  t.equal(errors.length, store.tries, 'one report for each')
  t.equal(waiting.length, 40)
  store.isUp = true
  await turns()
  clock.advance(1_000)
  await turns(100)
  t.equal(store.held.length, 40, 'written without another wake')
  add('after')
  await turns()
  t.equal(store.held.at(-1), 'after', 'and at once again')
})

t.test('settled tries now, once, and leaves one timer behind', async (t) => {
  const { clock, store, errors, runner, add } = create(t)
  store.isUp = false
  add('a')
  for (let i = 0; i < 10; i++) await runner.settled()
  t.equal(store.tries, 10, 'what waits was tried, and the failure is no rejection')
  t.equal(errors.length, 10)
  clock.advance(1_500)
  await turns()
  t.equal(store.tries, 11, 'ten tries did not make ten timers')
})

t.test('settled during an outage that is over writes, and new things no longer wait for the pause', async (t) => {
  const { store, runner, add } = create(t)
  store.isUp = false
  add('a')
  await runner.settled()
  store.isUp = true
  await runner.settled()
  t.same(store.held, ['a'])
  add('b')
  await turns()
  t.same(store.held, ['a', 'b'])
})

t.test('close writes what waits', async (t) => {
  const { store, runner, add } = create(t)
  add('a', 'b', 'c')
  await runner.close()
  t.same(store.held, ['a', 'b', 'c'])
  const { tries } = store
  add('late')
  await runner.settled()
  await runner.close()
  t.equal(store.tries, tries, 'nothing is tried after it')
})

t.test('close during an outage is one last try, and leaves no timer', async (t) => {
  const { clock, store, errors, runner, add } = create(t)
  store.isUp = false
  add('a')
  await runner.settled()
  await runner.settled()
  const { tries } = store
  await runner.close()
  t.equal(store.tries, tries + 1)
  t.equal(errors.length, store.tries)
  store.isUp = true
  clock.advance(10_000)
  await turns()
  t.equal(store.tries, tries + 1)
  t.same(store.held, [])
})

t.test('close waits for a flush that is under way, and a failure of it is not tried again', async (t) => {
  const { clock, store, runner, add } = create(t)
  store.isUp = false
  add('a')
  while (store.atOnce === 0) await new Promise((resolve) => setImmediate(resolve))
  await runner.close()
  t.equal(store.atOnce, 0)
  clock.advance(10_000)
  await turns()
  t.equal(store.tries, 1)
})

t.test('with nothing waiting, close asks nothing of the store', async (t) => {
  const { store, runner } = create(t)
  await runner.close()
  t.equal(store.tries, 0)
})
