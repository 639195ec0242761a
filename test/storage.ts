import type { Test } from 'tap'
import { systemClock, type Clock } from '../src/std/clock.ts'
import { silentLog } from '../src/storage/log.ts'
import { openStorage } from '../src/storage/open.ts'
import type { CollectionDefinition, Storage } from '../src/storage/port.ts'

/** A real SQLite storage in a temporary folder, migrated, closed with the test. */
export async function openTestStorage (t: Test, definitions: CollectionDefinition[] = [], clock: Clock = systemClock): Promise<Storage> {
  const storage = await openStorage({ config: { dataDir: ':memory:', mongodbUri: null, mongodbDatabase: 'neko-test' }, clock, log: silentLog })
  t.teardown(() => storage.close())
  await storage.migrate(definitions)
  return storage
}
