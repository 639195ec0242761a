import t from 'tap'
import { asAdmin, createTestClient, dataOf, makeKey, PASSWORD } from '../../e2e/client.ts'
import { openApp, replace, spyOn } from '../../transaction/app.ts'
import { NEKO_ERR_AUDIT_UNAVAILABLE } from '../../../src/errors.ts'

/** The caches, for whoever administers them. */
const STATS = 'name entries bytes bytesMax hits misses stale evictions invalidations'
const COUNTS = '{ threatCounts { count } }'

interface Stats { name: string, entries: number, bytes: number, bytesMax: number, hits: number, misses: number, invalidations: number }

t.test('an administrator sees what is held, and empties it: recorded before it is done', async (t) => {
  const { app, ...server } = await openApp(t, { ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  for (let i = 0; i < 3; i++) await client.graphql(COUNTS)
  const { cacheStats: [before] } = await dataOf<{ cacheStats: [Stats] }>(admin.graphql(`{ cacheStats { ${STATS} } }`))
  t.match(before, { name: 'graphql', entries: 1, bytesMax: 64 * 1_048_576, hits: 2, misses: 1, stale: 0, evictions: 0 })
  t.ok(before.bytes > 100)

  const events = spyOn(t, app.audit, 'durable') as Array<[Record<string, unknown>]>
  const cleared = await admin.graphql(`mutation { clearCache(name: "graphql") { ${STATS} } }`)
  t.match(cleared.json, { data: { clearCache: [{ name: 'graphql', entries: 0, bytes: 0, invalidations: before.invalidations + 1 }] } })
  t.match(events, [[{ category: 'data', type: 'cache.clear', target: 'graphql', outcome: 'ok', actor: /^user:/, assessmentId: cleared.headers['x-neko-assessment'] }]])
  t.equal((await client.graphql(COUNTS)).headers['x-cache'], 'MISS')
  t.match((await admin.graphql('mutation { clearCache { entries } }')).json, { data: { clearCache: [{ entries: 0 }] } })
  t.equal(events.length, 2)
  for (const name of ['nothing', '', 'GRAPHQL', '__proto__']) {
    t.match((await admin.graphql('mutation ($name: String) { clearCache(name: $name) { name } }', { name })).json, { errors: [{ extensions: { code: 'NEKO_ERR_NOT_FOUND' } }] }, name)
  }
  t.equal(events.length, 2, 'what finds nothing changes nothing')

  await client.graphql(COUNTS)
  replace(t, app.audit, 'durable', async () => { throw new NEKO_ERR_AUDIT_UNAVAILABLE() })
  t.match(await admin.graphql('mutation { clearCache { entries } }'), { status: 503 })
  t.equal((await client.graphql(COUNTS)).headers['x-cache'], 'HIT', 'what cannot be recorded is not done')
})

t.test('who may not manage neither sees nor empties them', async (t) => {
  const server = await openApp(t, { ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  const { key } = await makeKey(await asAdmin(client), ['read', 'decide', 'assess'])
  const analyst = client.as({ 'x-api-key': key })
  for (const query of ['{ cacheStats { name } }', 'mutation { clearCache { name } }']) {
    t.match(await client.graphql(query), { status: 401 }, query)
    t.match(await analyst.graphql(query), { status: 403 }, query)
  }
})
