import { mock } from 'node:test'
import t from 'tap'
import { createWriteBehind } from '../../src/std/write-behind.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('while the store is away one pause runs at a time, however many callers ask whether it has settled', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let tries = 0
  let away = true
  let waiting = true
  const behind = createWriteBehind({
    waits: () => waiting,
    async write () {
      tries++
      if (away) throw new Error('the store is away')
      waiting = false
    },
    onError: () => {},
    retryMs: 1_000
  })
  for (let i = 0; i < 5; i++) await behind.settled()
  t.equal(tries, 5, 'each caller had its try')
  for (let second = 0; second < 2; second++) {
    mock.timers.tick(1_000)
    await turn()
    await turn()
  }
  t.equal(tries, 7, 'one more per pause')
  away = false
  await behind.settled()
  t.notOk(waiting)
  await behind.close()
})
