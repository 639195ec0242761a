import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { systemClock } from '../../src/std/clock.ts'
import { silentLog } from '../../src/storage/log.ts'
import { openStorage, storageFile } from '../../src/storage/open.ts'
import { withinBar } from '../bar.ts'
import { makeDataDir } from '../server.ts'
import { type Animal, animals } from './contract.ts'

t.test('a file that another process keeps locked is answered for within a second, also behind a batch that waits', async (t) => {
  const dataDir = makeDataDir(t)
  const storage = await openStorage({ config: { dataDir, mongodbUri: null, mongodbDatabase: 'x' }, clock: systemClock, log: silentLog })
  t.teardown(() => storage.close())
  await storage.migrate([animals])
  const collection = storage.collection<Animal>(animals)
  const other = new DatabaseSync(storageFile(dataDir))
  t.teardown(() => other.close())
  other.exec('BEGIN IMMEDIATE')
  const insert = async (id: string): Promise<number> => {
    const startMs = performance.now()
    await t.rejects(collection.insert({ id }), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
    return performance.now() - startMs
  }
  const first = insert('a')
  // Its second began when it was asked.
  await sleep(300)
  const second = insert('b')
  withinBar(t, 'the first', await first, 1_000)
  withinBar(t, 'the second, 300 ms later', await second, 1_000)
})
