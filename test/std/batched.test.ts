import t from 'tap'
import { createBatched } from '../../src/std/batched.ts'

t.test('what is asked in one turn is one question, each key once, and each gets its own answer', async (t) => {
  const loads: string[][] = []
  const ask = createBatched(async (keys: string[]) => {
    loads.push(keys)
    return new Map(keys.filter((key) => key !== 'none').map((key) => [key, key.toUpperCase()]))
  }, { keysMax: 3 })
  t.same(await Promise.all(['a', 'b', 'a', 'none'].map(ask)), ['A', 'B', 'A', undefined])
  t.same(loads.splice(0), [['a', 'b', 'none']])
  t.same(await Promise.all(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(ask)), ['A', 'B', 'C', 'D', 'E', 'F', 'G'])
  t.same(loads.splice(0), [['a', 'b', 'c'], ['d', 'e', 'f'], ['g']], 'in portions')
  const settled = Promise.resolve()
  await Promise.all([ask('a'), settled.then(() => ask('b')), settled.then(() => {}).then(() => ask('c'))])
  t.same(loads.splice(0), [['a', 'b', 'c']], 'also behind promises that are settled')
  await ask('a')
  await ask('a')
  t.same(loads, [['a'], ['a']], 'nothing is remembered')
})

t.test('where a question fails, all who asked hear of it, and the next is asked anew', async (t) => {
  let fails = true
  const ask = createBatched(async (keys: number[]) => {
    if (fails) throw new Error('away')
    return new Map(keys.map((key) => [key, key + 1]))
  }, { keysMax: 10 })
  t.same((await Promise.allSettled([ask(1), ask(2)])).map(({ status }) => status), ['rejected', 'rejected'])
  fails = false
  t.same(await Promise.all([ask(1), ask(2)]), [2, 3])
})
