import t from 'tap'
import { identityCollections } from '../../../src/identity/collections.ts'
import { decisionCollections } from '../../../src/decisions/shapes.ts'
import { incidentCollections, incidentCollection, type StoredIncident } from '../../../src/incidents/shapes.ts'
import { intelCollections } from '../../../src/intel/shapes.ts'
import { auditCollections } from '../../../src/audit/collections.ts'
import { auditEvents } from '../../../src/journal/collections.ts'
import { assessmentCollection, assessmentCollections, type StoredAssessment } from '../../../src/receipts/shapes.ts'
import type { CollectionDefinition } from '../../../src/storage/port.ts'
import { dataOf, makeKey } from '../../e2e/client.ts'
import { oldReceipt } from '../../receipts/old-receipts.ts'
import type { Teardown } from '../../server.ts'
import { until } from '../../processes/load.ts'
import { replace } from '../../transaction/app.ts'
import { addActor, newUser, openKept, type Kept } from './kept.ts'

/** Reads of a list, counted at the driver: as many for a hundred things as for one. */
const DEFINITIONS: CollectionDefinition[] = [...identityCollections, ...decisionCollections, ...incidentCollections, ...intelCollections, ...auditCollections, ...assessmentCollections]
const READS = ['get', 'getMany', 'getChanged', 'find', 'findOne', 'count'] as const

/** Calls of the driver since the last look. */
function countReads (t: Teardown, { app }: Kept): () => string[] {
  const reads: string[] = []
  for (const definition of DEFINITIONS) {
    const collection = app.storage.collection(definition)
    for (const name of READS) {
      const own = collection[name] as (...given: unknown[]) => unknown
      replace(t, collection, name, ((...given: unknown[]) => {
        reads.push(`${definition.name}.${name}`)
        return own.apply(collection, given)
      }) as never)
    }
  }
  return () => reads.splice(0)
}

async function fill (kept: Kept): Promise<void> {
  const { admin, app, client } = kept
  for (let i = 0; i < 12; i++) await addActor(admin, `Heron ${i}`)
  for (let i = 0; i < 12; i++) await dataOf(admin.graphql('mutation ($v: String!) { addDecision(scope: IP, value: $v, action: CHALLENGE, ttlSeconds: 600, reason: "test") { id } }', { v: `198.51.100.${i}` }))
  await app.decisions.settled()
  for (const name of ['vera', 'otto', 'anna']) {
    const { headers } = await newUser(kept, name, 'ADMIN')
    for (let i = 0; i < 2; i++) await makeKey(client.as(headers), ['read'], `${name} ${i}`)
  }
  const incident = (i: number): StoredIncident => ({ id: `in_${i}`, status: 'RESOLVED', critical: false, playbook: 'STANDARD_MONITORING', attacker: `ip:198.51.100.${i}`, openedAt: i, updatedAt: i, acknowledgedBy: null, acknowledgedAt: null, resolvedBy: null, resolvedAt: null, count: 1, timeline: [], assessmentIds: [], evidence: [], techniques: [], openKey: null, notifiedAt: null, notifiedCritical: false })
  await app.storage.collection<StoredIncident>(incidentCollection).insertMany(Array.from({ length: 12 }, (_, i) => incident(i)))
  // Of decisions that are over: memory has those that stand.
  await app.storage.collection<StoredAssessment>(assessmentCollection).insertMany(Array.from({ length: 12 }, (_, i) => ({ ...oldReceipt(i), decisionId: `dc_${i}` })))
}

t.test('no list asks the store once for each of its things', async (t) => {
  const kept = await openKept(t, { ENFORCEMENT: 'shadow' })
  await fill(kept)
  await until('the index holds the events', async () => {
    kept.clock.advance(1_000)
    return await kept.app.storage.collection(auditEvents).count() > 20
  })
  const { admin } = kept
  const reads = countReads(t, kept)
  const lists: Array<[list: string, things: number]> = [
    ['threatActors(first: $n) { totalCount nodes { id name techniques { id } references { url } } }', 12],
    ['decisions(first: $n) { totalCount nodes { id value reason } }', 12],
    ['incidents(first: $n) { totalCount nodes { id status timeline { what } } }', 12],
    ['auditEvents(first: $n) { totalCount nodes { id type details } }', 20],
    ['users(first: $n) { totalCount nodes { username apiKeys { id name revokedAt } } }', 4],
    ['apiKeys(first: $n) { totalCount nodes { id name lastUsedAt } }', 6],
    ['threats(first: $n) { totalCount nodes { id score factors { name } decision { id } } }', 12],
    ['allowances(first: $n) { totalCount nodes { id } }', 0]
  ]
  for (const [list, things] of lists) {
    const asked = async (n: number): Promise<[count: number, reads: string[]]> => {
      await kept.app.caches.clear()
      reads()
      const data = await dataOf<Record<string, { nodes: unknown[] }>>(admin.graphql(`query ($n: Int!) { ${list} }`, { n }))
      return [Object.values(data)[0]!.nodes.length, reads()]
    }
    const [[, ofOne], [count, ofAll]] = [await asked(1), await asked(100)]
    t.ok(count >= things, `${list}: ${count}`)
    t.ok(ofAll.length <= Math.max(ofOne.length, 4), `${list}: ${ofAll.join(' ')}`)
  }
  const { users: { nodes } } = await dataOf<{ users: { nodes: Array<{ username: string, apiKeys: Array<{ name: string }> }> } }>(admin.graphql('{ users { nodes { username apiKeys { name } } } }'))
  for (const { username, apiKeys } of nodes) t.same(apiKeys.map(({ name }) => name).sort(), username === 'admin' ? [] : [`${username} 0`, `${username} 1`], 'each has its own')
})
