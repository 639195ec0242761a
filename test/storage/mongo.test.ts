import t from 'tap'
import type { Test } from 'tap'
import { type Clock, createTestClock, systemClock } from '../../src/std/clock.ts'
import { randomText } from '../../src/std/id.ts'
import { type StorageLog, silentLog } from '../../src/storage/log.ts'
import { openMongoStorage } from '../../src/storage/mongo.ts'
import type { Storage } from '../../src/storage/port.ts'
import { startMongo } from '../services/mongo.ts'
import { animals, runContract } from './contract.ts'

/** A database of its own for each test on one server. */
async function open (t: Test, uri: string, options: { clock?: Clock, log?: StorageLog, database?: string } = {}): Promise<Storage> {
  const { clock = systemClock, log = silentLog, database = `neko-test-${randomText(8)}` } = options
  const storage = await openMongoStorage({ uri, database, clock, log })
  t.teardown(() => storage.close())
  await storage.migrate([animals])
  return storage
}

t.test('the contract holds on a server of MongoDB\'s protocol', async (t) => {
  const server = await startMongo(t)
  if (server === null) return
  await runContract(t, {
    plans: false,
    async open (t) {
      const clock = createTestClock()
      return { storage: await open(t, server.uri, { clock }), clock }
    }
  })
})
