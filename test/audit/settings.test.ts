import t from 'tap'
import { auditCollections, auditSettings } from '../../src/audit/collections.ts'
import { noteSettings } from '../../src/audit/settings.ts'
import type { AuditInput } from '../../src/audit/shapes.ts'
import { createSigner } from '../../src/audit/signing.ts'
import { loadConfig } from '../../src/config/config.ts'
import type { Storage } from '../../src/storage/port.ts'
import { openTestStorage } from '../storage.ts'

/** config.change: what the store keeps of a configuration, and what of a change is told. */
const first = 'the first secret of the tests that is long enough'
const second = 'the second secret of the tests that is long enough'

t.test('names of what changed are told, values only where they are neither secret nor an address', async (t) => {
  const storage = await openTestStorage(t, auditCollections)
  t.match(await start(storage, {}), { category: 'data', type: 'config.change', target: 'host:/data', outcome: 'ok', details: { first: true } })
  t.equal(await start(storage, {}), null, 'the same again')
  const given = { CHALLENGE_THRESHOLD: '41', WEBHOOK_URLS: 'https://hooks.example/token-of-ours', WEBHOOK_SECRET: second, NEVER_BLOCK: '192.0.2.0/24', ADMIN_PASSWORD: 'a password for the start', LOG_LEVEL: 'warn' }
  const changed = await start(storage, given)
  t.same(changed!.details, {
    changed: ['LOG_LEVEL', 'ADMIN_PASSWORD', 'CHALLENGE_THRESHOLD', 'NEVER_BLOCK', 'WEBHOOK_URLS', 'WEBHOOK_SECRET'],
    values: { LOG_LEVEL: ['info', 'warn'], CHALLENGE_THRESHOLD: ['40', '41'] }
  })
  t.same((await start(storage, { ...given, WEBHOOK_SECRET: first }))!.details, { changed: ['WEBHOOK_SECRET'], values: {} })
  const kept = JSON.stringify(await storage.collection(auditSettings).find({ first: 10 }))
  for (const hidden of [first, second, 'token-of-ours', '192.0.2', 'a password']) t.notOk(kept.includes(hidden), 'not kept either')
})

t.test('a new signing key hides only which other secret changed with it', async (t) => {
  const storage = await openTestStorage(t, auditCollections)
  await start(storage, { AUDIT_SIGNING_KEY: first, WEBHOOK_SECRET: first })
  const rotated = await start(storage, { AUDIT_SIGNING_KEY: `${second},${first}`, WEBHOOK_SECRET: first, REDIS_URL: 'redis://127.0.0.1/' }, second)
  t.same(rotated!.details, { changed: ['REDIS_URL', 'AUDIT_SIGNING_KEY'], values: {}, secretsCompared: false })
  t.same((await start(storage, { AUDIT_SIGNING_KEY: second, WEBHOOK_SECRET: first }, second))!.details, { changed: ['REDIS_URL', 'AUDIT_SIGNING_KEY'], values: {} })
})

t.test('what could not be recorded is recorded with the next start', async (t) => {
  const storage = await openTestStorage(t, auditCollections)
  await t.rejects(start(storage, {}, first, new Error('the disk is full')))
  t.match(await start(storage, {}), { details: { first: true } })
  // A variable that the version before did not know was as it is by default.
  const { revision, values, ...kept } = (await storage.collection<{ id: string, values: Record<string, string> }>(auditSettings).find({ first: 1 })).items[0]!
  const { SENSITIVITY: _gone, ...older } = values
  await storage.collection<typeof kept & { values: object }>(auditSettings).put({ ...kept, values: older })
  t.equal(await start(storage, {}), null)
})

async function start (storage: Storage, env: Record<string, string>, key = first, failure: Error | null = null): Promise<AuditInput | null> {
  let recorded: AuditInput | null = null
  const durable = async (event: AuditInput): Promise<void> => {
    if (failure !== null) throw failure
    recorded = event
  }
  await noteSettings({ storage, place: 'host:/data', signer: createSigner(key), settings: loadConfig(env).settings, nowMs: Date.now(), durable })
  return recorded
}
