import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import { auditCollections } from '../../src/audit/collections.ts'
import { prepareAudit } from '../../src/audit/prepare.ts'
import { systemClock } from '../../src/std/clock.ts'
import type { CollectionDefinition } from '../../src/storage/port.ts'
import { withinBar } from '../bar.ts'
import { scaled } from '../scale.ts'
import { openTestStorage } from '../storage.ts'
import { seen, silentLog, temporaryFolder } from './disk.ts'

/** A start waits for it. */
const EVENTS = scaled(20_000, 100_000)
const things: CollectionDefinition = { name: 'things', indexes: [] }

t.test('the events of a dead process are replayed at 20,000 a second', async (t) => {
  const config = { dataDir: temporaryFolder(t), auditSigningKey: 'a secret of the tests that is long enough' }
  const storage = await openTestStorage(t, [...auditCollections, things])
  const dead = createAudit({ config, storage: null, clock: systemClock, log: silentLog, processId: 'dead' })
  for (let i = 0; i < EVENTS; i++) {
    dead.record(i % 100 === 0 ? { ...seen, effects: [{ collection: 'things', op: 'put', id: `t${i}`, doc: { id: `t${i}` } }] } : seen)
    if (i % 5_000 === 0) await dead.drained()
  }
  await dead.drained()

  const startMs = performance.now()
  const report = await prepareAudit({ config, storage, clock: systemClock, log: silentLog, collections: [things] })
  withinBar(t, `replay of ${EVENTS} events`, performance.now() - startMs, EVENTS / 20)
  t.equal(report.events, EVENTS)
  t.equal(report.effects, EVENTS / 100)
})
