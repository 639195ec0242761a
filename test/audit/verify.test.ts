import t from 'tap'
import { createAudit, prepareSigningKey } from '../../src/audit/audit.ts'
import { auditCollections } from '../../src/audit/collections.ts'
import { verifyDataDir } from '../../src/audit/verify.ts'
import { systemClock } from '../../src/std/clock.ts'
import { seen, silentLog, temporaryFolder } from '../journal/disk.ts'
import { openTestStorage } from '../storage.ts'
import { turns } from '../time.ts'

const secret = 'a secret of the tests that is long enough'

t.test('verification runs beside a writer, with its checkpoints in the store', async (t) => {
  const storage = await openTestStorage(t, auditCollections)
  const local = { dataDir: temporaryFolder(t), auditSigningKey: null }
  prepareSigningKey(local)
  const audit = createAudit({ config: local, storage, clock: systemClock, log: silentLog, processId: 'live', segmentBytes: 200_000 })
  const writing = { now: true }
  const writer = (async () => {
    while (writing.now) {
      for (let i = 0; i < 500; i++) audit.record(seen)
      await audit.drained()
      await turns()
    }
  })()
  for (let i = 0; i < 15; i++) {
    const report = await verifyDataDir(local, storage)
    t.same(report.findings, [], `${report.events} events, ${report.checkpoints} checkpoints`)
  }
  writing.now = false
  await writer
  await audit.close()
  const closed = await verifyDataDir(local, storage)
  t.ok(closed.ok && closed.unsealed === 0 && closed.checkpoints > 1)

  const another = await verifyDataDir({ ...local, auditSigningKey: secret }, null)
  t.notOk(another.ok, 'another key does not verify')
})
