import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { cleanReceipt, createCleaning, OUTDATED, REDACTION_VERSION } from '../../src/receipts/cleaning.ts'
import { assessmentCollection, assessmentCollections, type StoredAssessment } from '../../src/receipts/shapes.ts'
import { createSlices } from '../../src/receipts/slices.ts'
import { replayAssessment } from '../../src/receipts/replay.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { rescore } from '../../src/detect/rescore.ts'
import { scoreObservation } from '../../src/detect/score.ts'
import { systemClock } from '../../src/std/clock.ts'
import { silentLog } from '../../src/storage/log.ts'
import { openStorage } from '../../src/storage/open.ts'
import { observation } from '../detect/observations.ts'
import { makeDataDir } from '../server.ts'
import { openTestStorage } from '../storage.ts'
import { OLD_SECRET, oldReceipt } from './old-receipts.ts'
import type { Storage } from '../../src/storage/port.ts'

/** Receipts that a version before stored, with the secrets that it did not see, and their way to today's. */
const WRITER = join(import.meta.dirname, 'cleaning-process.ts')

const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
const rescorer = { policy: () => policy, rescore: (given: Parameters<typeof rescore>[0], payload: Parameters<typeof rescore>[1]) => rescore(given, payload, policy) }
const log = { warn () {} }

function cleaningOf (storage: Storage): ReturnType<typeof createCleaning> {
  return createCleaning({ store: storage.collection<StoredAssessment>(assessmentCollection), slices: createSlices(systemClock), log })
}

function isReadable (stored: StoredAssessment): boolean {
  return (JSON.stringify(stored) + Buffer.from(stored.observation?.bodyBase64 ?? '', 'base64').toString()).includes(OLD_SECRET)
}

t.test('stored receipts are cleaned once, portion by portion, and a second run finds nothing to do', async (t) => {
  const storage = await openTestStorage(t, assessmentCollections)
  const store = storage.collection<StoredAssessment>(assessmentCollection)
  await store.insertMany(Array.from({ length: 130 }, (_, i) => oldReceipt(i)))
  t.ok((await store.find({ first: 200 })).items.every(isReadable), 'they hold the secret before')
  t.equal(await cleaningOf(storage).run(), 130)
  const { items } = await store.find({ first: 200 })
  t.equal(items.length, 130)
  t.notOk(items.some(isReadable))
  t.ok(items.every(({ redaction }) => redaction === REDACTION_VERSION))
  t.equal(await cleaningOf(storage).run(), 0)
  await store.insert(oldReceipt(500))
  t.equal(await cleaningOf(storage).run(), 1, 'what an old process writes meanwhile is found by the next run')
  if (storage.kind === 'sqlite') {
    for (const outdated of OUTDATED) t.same(await storage.explain(assessmentCollection, { ...outdated, first: 20 }), ['assessments_redaction'])
  }
})

t.test('what is clean stays as it is, and what was seen stays told', async (t) => {
  for (let i = 0; i < 12; i++) {
    const once = cleanReceipt(oldReceipt(i))
    t.same(cleanReceipt(once), once)
    t.same(once.factors.map(({ contribution }) => contribution), oldReceipt(i).factors.map(({ contribution }) => contribution))
  }
})

t.test('a cleaned receipt, and one of today, is replayed to the score that it had', async (t) => {
  const body = (variables: object): Uint8Array => new TextEncoder().encode(JSON.stringify({ query: 'query ($s: String, $n: Int) { threatActors(search: $s, first: $n) { totalCount } }', variables }))
  for (const variables of [{ s: "x' UNION SELECT name FROM users WHERE 1=1--", n: 3 }, { s: 'bear', n: 20 }, { s: '<script>alert(1)</script>', n: 1, unused: 'x' }]) {
    const given = observation({ method: 'POST', url: '/graphql', route: '/graphql', headers: ['host', 'a', 'content-type', 'application/json', 'user-agent', 'curl/8.5.0'], body: body(variables) })
    const score = scoreObservation(given, policy)
    const stored = oldReceipt(1, { given, score })
    const replay = replayAssessment(cleanReceipt(stored), rescorer)
    t.ok(replay?.reproduced, `${replay?.recorded} -> ${replay?.score.value}`)
  }
})

t.test('a run that is killed is gone on with where it was', { skip: process.env.NEKO_TEST_STORE === 'mongodb' ? 'about the file of SQLite' : false }, async (t) => {
  const dataDir = makeDataDir(t)
  const open = async (): Promise<Storage> => {
    const storage = await openStorage({ config: { dataDir, mongodbUri: null, mongodbDatabase: '' }, clock: systemClock, log: silentLog })
    await storage.migrate(assessmentCollections)
    return storage
  }
  const filled = await open()
  await filled.collection<StoredAssessment>(assessmentCollection).insertMany(Array.from({ length: 400 }, (_, i) => oldReceipt(i)))
  await filled.close()
  const child = spawn(process.execPath, [WRITER, dataDir], { stdio: ['ignore', 'pipe', 'inherit'], cwd: tmpdir() })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'close')
  const storage = await open()
  const store = storage.collection<StoredAssessment>(assessmentCollection)
  const left = await store.count({ redaction: null })
  t.ok(left < 400, `${left} are left`)
  t.equal(await cleaningOf(storage).run(), left)
  t.equal(await store.count(), 400, 'none is lost')
  await storage.close()
  t.notOk(readFileSync(join(dataDir, 'neko.db'), 'latin1').includes(OLD_SECRET), 'nor does a free page of the file hold one')
})
