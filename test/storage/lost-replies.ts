import type { Test } from 'tap'
import { type Clock, systemClock } from '../../src/std/clock.ts'
import { randomText } from '../../src/std/id.ts'
import { type StorageLog, silentLog } from '../../src/storage/log.ts'
import { openMongoStorage } from '../../src/storage/mongo.ts'
import type { Collection, Storage } from '../../src/storage/port.ts'
import { type FaultProxy, startFaultProxy } from '../fault-proxy.ts'
import type { MongoServer } from '../services/mongo.ts'
import { type Animal, animals } from './contract.ts'

/** A database of its own for each test on one server. */
export async function openMongo (t: Test, uri: string, options: { clock?: Clock, log?: StorageLog, database?: string } = {}): Promise<Storage> {
  const { clock = systemClock, log = silentLog, database = `neko-test-${randomText(8)}` } = options
  const storage = await openMongoStorage({ uri, database, clock, log })
  t.teardown(() => storage.close())
  await storage.migrate([animals])
  return storage
}

/** Resolves when the store is up; rejects after the time given. */
export function whenUp (storage: Storage, ms = 40_000): Promise<void> {
  return new Promise((resolve, reject) => {
    if (storage.health().up) return resolve()
    const timer = setTimeout(() => reject(new Error(`the store was not up after ${ms} ms: ${storage.health().reason}`)), ms)
    storage.onHealth((health) => { if (health.up) { clearTimeout(timer); resolve() } })
  })
}

export async function missingOf (collection: Collection<Animal>, ids: string[]): Promise<string[]> {
  const there = new Set<string>()
  for (let start = 0; start < ids.length; start += 500) for (const doc of await collection.getMany(ids.slice(start, start + 500))) there.add(doc.id)
  return ids.filter((id) => !there.has(id))
}

export async function proxied (t: Test, uri: string): Promise<{ proxy: FaultProxy, uri: string }> {
  const proxy = await startFaultProxy(t, { port: Number(new URL(uri).port) })
  return { proxy, uri: `mongodb://127.0.0.1:${proxy.port}/?heartbeatFrequencyMS=500` }
}

/** The server does what was asked and its reply is cut, three times a round: each write counts exactly once. */
export async function runLostReplies (t: Test, { rounds, server }: { rounds: number, server: MongoServer | null }): Promise<void> {
  if (server === null) return
  const { proxy, uri } = await proxied(t, server.uri)
  const storage = await openMongo(t, uri)
  const collection = storage.collection<Animal>(animals)
  await collection.insert({ id: 'counter', legs: 0 })
  const acknowledged: string[] = []
  let counted = 0
  const once = async (work: () => Promise<unknown>): Promise<void> => {
    proxy.setFault({ kind: 'cut', replyBytes: 0, times: 1 })
    // The caller's own rule: UNAVAILABLE is tried again with the same id, which is what makes it exactly once.
    for (let tries = 0; tries < 20; tries++) {
      const error = await work().then(() => null, (error: { code: string }) => error)
      if (error === null) return
      t.equal(error.code, 'NEKO_ERR_STORE_UNAVAILABLE')
      await whenUp(storage)
    }
  }
  for (let round = 0; round < rounds; round++) {
    await once(async () => { await collection.insert({ id: `one${round}` }); acknowledged.push(`one${round}`) })
    await once(async () => { await collection.insertMany([{ id: `many${round}a` }, { id: `many${round}b` }]); acknowledged.push(`many${round}a`, `many${round}b`) })
    await once(async () => {
      const counter = await collection.get('counter')
      if (await collection.replace({ id: 'counter', legs: (counter!.legs as number) + 1 }, counter!.revision) !== null) counted++
    })
  }
  proxy.setFault(null)
  await whenUp(storage)
  t.ok(proxy.cuts() >= rounds * 3, `${proxy.cuts()} replies cut`)
  t.equal(acknowledged.length, rounds * 3, 'an insert that was done is acknowledged, not called a duplicate')
  t.strictSame(await missingOf(collection, acknowledged), [])
  t.equal(await collection.count(), rounds * 3 + 1)
  t.equal((await collection.get('counter'))?.legs, counted, 'the compare-and-set recognises its own work')
}
