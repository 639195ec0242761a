import t from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { openTestStorage } from '../storage.ts'
import { animals, runContract } from './contract.ts'

t.test('the contract holds on SQLite', async (t) => {
  await runContract(t, {
    plans: true,
    async open (t) {
      const clock = createTestClock()
      return { storage: await openTestStorage(t, [animals], clock), clock }
    }
  })
})
