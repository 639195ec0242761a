import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import { auditCollections } from '../../src/audit/collections.ts'
import { auditEvents } from '../../src/journal/collections.ts'
import type { StoredAuditEvent } from '../../src/journal/collections.ts'
import { listAuditEvents } from '../../src/audit/graphql.ts'
import { prepareAudit } from '../../src/audit/prepare.ts'
import type { AuditInput } from '../../src/audit/shapes.ts'
import { systemClock } from '../../src/std/clock.ts'
import type { CollectionDefinition } from '../../src/storage/port.ts'
import { openTestStorage } from '../storage.ts'
import { silentLog, temporaryFolder } from '../journal/disk.ts'

/** AUDIT_PSEUDONYM_KEY: no address of a client can be read in the trail, and what replay needs is still there. */
const key = 'the pseudonym key of the tests that is long enough'
const other = 'another pseudonym key of the tests, as long as that'
const secret = 'the first secret of the tests that is long enough'
const things: CollectionDefinition = { name: 'things', indexes: [] }
const collections = [...auditCollections, things]
/** One client in every spelling that an event may hold. */
const FOUR = ['ip:203.0.113.14', 'range:203.0.113.14/32', 'IP|203.0.113.14', 'RANGE|203.0.113.14/32']
const SIX = ['ip:2001:db8:1:2::/64', 'range:2001:db8:1:2::/64', 'RANGE|2001:db8:1:2:0:0:0:0/64']
const bare = (name: string): string => name.replace(/^\w+[:|]/, '')

t.test('no field of an event shows an address, however it is spelled, and one network has one stand-in', async (t) => {
  const storage = await openTestStorage(t, collections)
  const dataDir = temporaryFolder(t)
  const audit = createAudit({ config: { dataDir, auditSigningKey: secret, auditPseudonymKey: key }, storage, clock: systemClock, log: silentLog, processId: 'hidden' })
  const event = (type: string, name: string): AuditInput => ({ category: 'security', type, actor: name, target: name, outcome: 'ok', details: { about: bare(name), deep: [{ names: [name] }], reason: 'a person wrote this' } })
  for (const name of FOUR) await audit.durable(event('four', name))
  for (const name of SIX) await audit.durable(event('six', name))
  await audit.durable({ ...event('else', 'user:us_1'), details: { version: '1.2.3', id: 'dc_1' } })
  await audit.close()

  const { items } = await storage.collection<StoredAuditEvent>(auditEvents).find({ sort: [['at', 1]], first: 100 })
  t.notMatch(JSON.stringify(items), /203\.0\.113|2001:db8/)
  t.notMatch(logsOf(dataDir), /203\.0\.113|2001:db8/, 'nor do the logs')
  for (const type of ['four', 'six']) {
    const hidden = items.filter((item) => item.type === type)
    t.same(new Set(hidden.flatMap(({ actor, target, details }) => [bare(actor), bare(target as string), details!.about])).size, 1, `${type}: one stand-in`)
  }
  t.match(items.find(({ type }) => type === 'else'), { actor: 'user:us_1', details: { version: '1.2.3', id: 'dc_1' } }, 'what is no address stands as it is')
  const { actor } = items.find(({ type }) => type === 'four')!
  t.ok((await listAuditEvents(storage, { actor, first: 10 })).nodes.length >= 1, 'and is what one filters by')
})

t.test('documents that replay needs are sealed in the log, and brought back by who holds the key alone', async (t) => {
  const storage = await openTestStorage(t, collections)
  const dataDir = temporaryFolder(t)
  const config = { dataDir, auditSigningKey: secret, auditPseudonymKey: key }
  const dead = createAudit({ config, storage: null, clock: systemClock, log: silentLog, processId: 'dead' })
  await dead.durable({ category: 'security', type: 'thing.put', actor: 'user:1', outcome: 'ok', effects: [{ collection: 'things', op: 'put', id: 't1', doc: { id: 't1', value: '203.0.113.14' } }] })
  await dead.close()
  t.notMatch(logsOf(dataDir), /203\.0\.113/)

  const errors: string[] = []
  const log = { ...silentLog, error: (_fields: object, message: string) => { errors.push(message) } }
  const recover = async (auditPseudonymKey: string | null): Promise<string[]> => (await prepareAudit({ config: { ...config, auditPseudonymKey }, storage, clock: systemClock, log, collections })).unapplied
  t.same(await recover(other), ['dead'], 'another key brings nothing back')
  t.same(await recover(null), ['dead'], 'nor does none')
  t.match(errors.join(), /AUDIT_PSEUDONYM_KEY/)
  t.equal(await storage.collection(things).get('t1'), null)
  t.same(await recover(key), [])
  t.match(await storage.collection(things).get('t1'), { value: '203.0.113.14' })
})

function logsOf (dataDir: string): string {
  const directory = join(dataDir, 'audit')
  return readdirSync(directory).filter((name) => name.endsWith('.log')).map((name) => readFileSync(join(directory, name), 'utf8')).join('')
}
