import { createCleaning } from '../../src/receipts/cleaning.ts'
import { assessmentCollection, assessmentCollections, type StoredAssessment } from '../../src/receipts/shapes.ts'
import { createSlices } from '../../src/receipts/slices.ts'
import { systemClock } from '../../src/std/clock.ts'
import { silentLog } from '../../src/storage/log.ts'
import { openStorage } from '../../src/storage/open.ts'
import type { Collection } from '../../src/storage/port.ts'

/** Cleans the store of the folder that it is given, and says so after the first portion; to be killed then. */
const storage = await openStorage({ config: { dataDir: process.argv[2] as string, mongodbUri: null, mongodbDatabase: '' }, clock: systemClock, log: silentLog })
await storage.migrate(assessmentCollections)
const store = storage.collection<StoredAssessment>(assessmentCollection)
const telling: Collection<StoredAssessment> = {
  ...store,
  async putMany (docs) {
    await store.putMany(docs)
    process.stdout.write('a portion\n')
  }
}
await createCleaning({ store: telling, slices: createSlices(systemClock), log: { warn () {} } }).run()
