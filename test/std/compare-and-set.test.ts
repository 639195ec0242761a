import t from 'tap'
import { compareAndSet } from '../../src/std/compare-and-set.ts'

const exhausted = (): Error => new Error('lost every race')

t.test('it reads anew after each lost race, and answers what was written', async (t) => {
  const attempts: number[] = []
  const written = await compareAndSet(5, async (number) => {
    attempts.push(number)
    return number < 3 ? null : `written at ${number}`
  }, exhausted)
  t.equal(written, 'written at 3')
  t.same(attempts, [1, 2, 3], 'counted from one, and not tried again after success')
})

t.test('what was written may be nothing much: only null is a lost race', async (t) => {
  for (const value of [0, '', false, undefined]) t.equal(await compareAndSet(1, async () => value, exhausted), value)
})

t.test('after the last lost race it ends with the error of its caller', async (t) => {
  let attempts = 0
  await t.rejects(compareAndSet(4, async () => { attempts++; return null }, exhausted), { message: 'lost every race' })
  t.equal(attempts, 4)
})

t.test('an error of an attempt ends it at once', async (t) => {
  let attempts = 0
  const down = new Error('the store is away')
  await t.rejects(compareAndSet(4, async () => { attempts++; throw down }, exhausted), down)
  t.equal(attempts, 1)
})

t.test('many writers of one number lose races, and no increment', async (t) => {
  let stored = { value: 0, revision: 0 }
  const increment = async (): Promise<number> => await compareAndSet(50, async () => {
    const read = stored
    await new Promise((resolve) => setImmediate(resolve))
    if (stored.revision !== read.revision) return null
    stored = { value: read.value + 1, revision: read.revision + 1 }
    return stored.value
  }, exhausted)
  const values = await Promise.all(Array.from({ length: 40 }, increment))
  t.equal(stored.value, 40)
  t.equal(new Set(values).size, 40)
})
