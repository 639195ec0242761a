import { tmpdir } from 'node:os'
import type { Test } from 'tap'
import { systemClock, type Clock } from '../src/std/clock.ts'
import { randomText } from '../src/std/id.ts'
import { silentLog } from '../src/storage/log.ts'
import { openStorage } from '../src/storage/open.ts'
import type { CollectionDefinition, Storage } from '../src/storage/port.ts'

/**
 * A real storage, migrated, closed with the test: SQLite in a temporary folder, or with NEKO_TEST_STORE=mongodb a database
 * of its own on the server that MONGODB_TEST_URL names (test/run.ts runs the rooms' tests on both).
 */
export async function openTestStorage (t: Test, definitions: CollectionDefinition[] = [], clock: Clock = systemClock): Promise<Storage> {
  const mongodbUri = process.env.NEKO_TEST_STORE === 'mongodb' ? process.env.MONGODB_TEST_URL ?? null : null
  const config = mongodbUri === null ? { dataDir: ':memory:', mongodbUri, mongodbDatabase: 'neko-test' } : { dataDir: tmpdir(), mongodbUri, mongodbDatabase: `neko-test-${randomText(12)}` }
  const storage = await openStorage({ config, clock, log: silentLog })
  t.teardown(() => storage.close())
  await storage.migrate(definitions)
  return storage
}
