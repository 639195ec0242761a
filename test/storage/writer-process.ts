// A process of its own that writes to a shared file: forked by sqlite.test.ts with the folder and a name.
import { systemClock } from '../../src/std/clock.ts'
import { silentLog } from '../../src/storage/log.ts'
import { openStorage } from '../../src/storage/open.ts'
import { animals, type Animal } from './contract.ts'

const [dataDir, name, count] = process.argv.slice(2) as [string, string, string]
const storage = await openStorage({ config: { dataDir, mongodbUri: null, mongodbDatabase: 'x' }, clock: systemClock, log: silentLog })
const collection = storage.collection<Animal>(animals)
let failed = 0
let won = 0
const writes = Array.from({ length: Number(count) }, (_, i) => i)
for (let start = 0; start < writes.length; start += 50) {
  await Promise.all(writes.slice(start, start + 50).map((i) => collection.insert({ id: `${name}-${i}`, at: i }).catch(() => { failed++ })))
  // The processes race for one document: the sum of their wins must be its revision.
  const race = await collection.get('race')
  if (race !== null && await collection.replace({ ...race, legs: start }, race.revision) !== null) won++
}
await storage.close()
process.send?.({ failed, won })
process.disconnect?.()
