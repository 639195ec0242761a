import t from 'tap'
import type { Audit, AuditInput } from '../../src/audit/shapes.ts'
import { NEKO_ERR_NOT_FOUND, NEKO_ERR_STORE_UNAVAILABLE } from '../../src/errors.ts'
import type { GraphqlContext, Resolver } from '../../src/schema/context.ts'
import { incidentCollection, incidentCollections } from '../../src/incidents/shapes.ts'
import { playbookCollections } from '../../src/playbooks/shapes.ts'
import { webhooksGraphql } from '../../src/webhooks/graphql.ts'
import type { Collection, CollectionDefinition, Document, Storage } from '../../src/storage/port.ts'
import { openTestStorage } from '../storage.ts'
import { openPlaybooks, detection } from './room.ts'

/** A change that failed must not stand in the trail as one that was made. */
t.test('an incident that could not be changed is recorded as failed, and names the event that it takes back', async (t) => {
  const storage = await openTestStorage(t, [...incidentCollections, ...playbookCollections])
  let isDown = false
  const failing = {
    ...storage,
    collection (definition: CollectionDefinition) {
      const collection = storage.collection<Document>(definition)
      if (definition.name !== incidentCollection.name) return collection
      return Object.assign(Object.create(collection) as Collection<Document>, {
        replace: async (doc: Document, revision: number) => isDown ? await Promise.reject(new NEKO_ERR_STORE_UNAVAILABLE()) : await collection.replace(doc, revision)
      })
    }
  } as Storage
  const { rooms: [room] } = await openPlaybooks(t, { storage: failing })
  room!.playbooks.respond(detection({ score: 95, refused: true }))
  await room!.settled()
  const { items: [incident] } = await room!.incidents.list(null, { first: 1, after: null })
  isDown = true
  await t.rejects(room!.incidents.setStatus(incident!.id, 'RESOLVED', 'user:1'), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
  t.match(room!.audited.slice(-2), [
    { type: 'incident.resolved', outcome: 'ok' },
    { type: 'incident.resolved', target: incident!.id, outcome: 'failed', details: { takesBack: 'ev', code: 'NEKO_ERR_STORE_UNAVAILABLE' } }
  ])
  isDown = false
  t.match(await room!.incidents.setStatus(incident!.id, 'RESOLVED', 'user:1'), { status: 'RESOLVED' })
  t.match(room!.audited.at(-1), { outcome: 'ok' })
  const before = room!.audited.length
  await t.rejects(room!.incidents.setStatus(incident!.id, 'RESOLVED', 'user:1'), { code: 'NEKO_ERR_INPUT_INVALID' })
  t.equal(room!.audited.length, before, 'what may not be is not tried')
})

t.test('the replay of a webhook is recorded as what it came to', async (t) => {
  const events: AuditInput[] = []
  let isHealthy = true
  const audit: Audit = {
    record: (event) => { events.push(event) },
    durable: async (event) => { events.push(event); return { ...event, id: 'ev', at: 0, processId: '', seq: 0 } },
    healthy: () => isHealthy
  }
  let asked = 0
  const replay = (answer: () => Promise<boolean>): Promise<boolean> => {
    const app = { audit, webhooks: { replay: () => { asked++; return answer() } } }
    const { replayWebhook } = webhooksGraphql.resolvers.Mutation as { replayWebhook: Resolver }
    return replayWebhook(null, { id: 'wm_1' }, { app, principal: { clientKey: 'user:1' } } as unknown as GraphqlContext) as Promise<boolean>
  }
  t.equal(await replay(async () => true), true)
  t.equal(await replay(async () => false), false)
  await t.rejects(replay(async () => { throw new NEKO_ERR_NOT_FOUND('There is none') }), { code: 'NEKO_ERR_NOT_FOUND' })
  t.match(events, [{ type: 'webhook.replay', outcome: 'ok' }, { type: 'webhook.replay', outcome: 'failed' }, { type: 'webhook.replay', outcome: 'failed', details: { code: 'NEKO_ERR_NOT_FOUND' } }])
  isHealthy = false
  await t.rejects(replay(async () => true), { code: 'NEKO_ERR_AUDIT_UNAVAILABLE' })
  t.equal(asked, 3, 'what cannot be recorded is not sent')
})
