import t from 'tap'
import { openIncident, withStatus } from '../../src/incidents/document.ts'
import { removeResolved } from '../../src/incidents/retention.ts'
import { incidentCollection, incidentCollections, type StoredIncident } from '../../src/incidents/shapes.ts'
import type { Joining } from '../../src/incidents/joining.ts'
import { openPlaybooks } from '../playbooks/room.ts'
import { openTestStorage } from '../storage.ts'
import { until } from '../time.ts'

const DAY_MS = 86_400_000
const NOW = Date.UTC(2026, 0, 1)

/** Of one attacker each, last changed so many days ago. */
function incident (id: string, status: StoredIncident['status'], days: number): StoredIncident {
  const atMs = NOW - days * DAY_MS
  const opened = openIncident(id, { attacker: `ip:${id}`, playbook: 'HONEYPOT_CAPTURE' } as Joining, atMs - DAY_MS)
  return status === 'OPEN' ? { ...opened, updatedAt: atMs } : withStatus(opened, status, 'user:us_1', atMs)
}

t.test('resolved incidents go when they did not change for so long; open and acknowledged ones stay for ever', async (t) => {
  const storage = await openTestStorage(t, incidentCollections)
  const store = storage.collection<StoredIncident>(incidentCollection)
  await store.putMany([
    incident('open', 'OPEN', 4000), incident('acknowledged', 'ACKNOWLEDGED', 4000), incident('fresh', 'RESOLVED', 29), incident('just', 'RESOLVED', 30),
    ...Array.from({ length: 230 }, (_, i) => incident(`old${i}`, 'RESOLVED', 31 + i % 7))
  ])
  t.equal(await removeResolved(store, NOW - 30 * DAY_MS), 230, 'in portions')
  t.same((await store.find({ first: 300 })).items.map(({ id }) => id), ['acknowledged', 'fresh', 'just', 'open'])
  t.equal(await removeResolved(store, NOW - 30 * DAY_MS), 0)
  t.same(await storage.explain(incidentCollection, { where: { status: 'RESOLVED', updatedAt: { lt: NOW } }, sort: [['updatedAt', 1]], first: 100 }), ['incidents_status'])
  await store.put(incident('other', 'RESOLVED', 90))
  t.equal(await removeResolved(store, NOW, () => true), 0, 'a server that ends begins no portion')
})

t.test('the first process of a host removes them by itself, once the store is up', async (t) => {
  const storage = await openTestStorage(t, incidentCollections)
  const store = storage.collection<StoredIncident>(incidentCollection)
  const { clock } = await openPlaybooks(t, { count: 2, storage })
  const left = async (): Promise<string[]> => (await store.find({ first: 10 })).items.map(({ id }) => id)
  const at = (id: string, days: number): StoredIncident => ({ ...incident(id, 'RESOLVED', 0), updatedAt: clock.now() - days * DAY_MS })
  await store.putMany([at('old', 366), at('young', 364)])
  const { rooms } = await openPlaybooks(t, { count: 2, storage, clock })
  await until('the old one goes', async () => (await left()).length === 1)
  t.same(await left(), ['young'])
  for (const room of rooms) await room.close()
})
