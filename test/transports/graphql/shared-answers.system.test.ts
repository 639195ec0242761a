import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { asAdmin, createTestClient, dataOf, PASSWORD, type Reply, type TestClient } from '../../e2e/client.ts'
import { until } from '../../processes/load.ts'
import { startServer } from '../../server.ts'
import { startMongo } from '../../services/mongo.ts'
import { skipWithoutRedis, startRedis } from '../../services/redis.ts'
import { replace } from '../../transaction/app.ts'
import { addActor, NO_LIMITS, openKept, statusOf } from './kept.ts'

/** Kept answers of several processes and hosts: whose write is seen where, and what is computed how often. */
t.jobs = 3

const env = { ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', ENFORCEMENT: 'shadow', ...NO_LIMITS }
const COUNTS = '{ threatCounts { count } }'
const PAGE = '{ threatActors(first: 5) { totalCount nodes { id name } } }'

/** Over connections of their own, so that each process answers some. */
const many = async (client: TestClient, query: string, times: number): Promise<Reply[]> => await Promise.all(Array.from({ length: times }, () => client.graphql(query, undefined, { connection: 'close' })))
const countOf = ({ text }: Reply): number => (JSON.parse(text) as { data: { threatCounts: Array<{ count: number }> } }).data.threatCounts.reduce((sum, { count }) => sum + count, 0)

t.test('own writes are seen at the next read, whichever of two processes answers', async (t) => {
  const server = await startServer(t, { env: { ...env, WORKERS: '2' } })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  let count = countOf(await client.graphql(COUNTS))
  let hits = 0
  for (let i = 0; i < 15; i++) {
    hits += (await many(client, COUNTS, 4)).filter((reply) => statusOf(reply) === 'HIT').length
    const id = await addActor(admin, `Heron ${i}`)
    t.same((await many(client, COUNTS, 6)).map(countOf), Array(6).fill(++count), 'added')
    if (i % 5 !== 0) continue
    const ONE = `{ threatActor(id: "${id}") { name } }`
    await many(client, ONE, 4)
    await dataOf(admin.graphql('mutation ($id: ID!) { updateThreatActor(id: $id, input: { name: "Crane" }) { id } }', { id }))
    t.same((await many(client, ONE, 6)).map(({ text }) => text), Array(6).fill('{"data":{"threatActor":{"name":"Crane"}}}'), 'changed')
    await dataOf(admin.graphql('mutation ($id: ID!) { removeThreatActor(id: $id) { id } }', { id }))
    t.same((await many(client, COUNTS, 6)).map(countOf), Array(6).fill(--count), 'removed')
    t.same((await many(client, ONE, 6)).map(({ text }) => text), Array(6).fill('{"data":{"threatActor":null}}'))
  }
  t.ok(hits > 15, `${hits} hits between`)
  await many(client, COUNTS, 8)
  await dataOf(admin.graphql('mutation { clearCache { name } }'))
  const stats = await Promise.all((await many(admin, '{ cluster { processId } cacheStats { entries } }', 12)).map(async (reply) => await dataOf<{ cluster: { processId: string }, cacheStats: Array<{ entries: number }> }>(Promise.resolve(reply))))
  t.equal(new Set(stats.map(({ cluster }) => cluster.processId)).size, 2)
  t.same([...new Set(stats.map(({ cacheStats }) => cacheStats[0]!.entries))], [0], 'emptied in both')
})

t.test('two hosts: what one writes the other shows within a second, with and without its Redis', { skip: skipWithoutRedis }, async (t) => {
  const mongo = await startMongo(t)
  if (mongo === null) return
  const redis = await startRedis(t)
  const shared = { ...env, MONGODB_URI: mongo.uri, MONGODB_DATABASE: `kept-${process.pid}`, REDIS_URL: redis.url, JWT_SECRET: 'a secret of two hosts that is long enough to sign with', AUDIT_SIGNING_KEY: 'a key of two hosts that is long enough to sign with' }
  const first = await startServer(t, { env: shared })
  const second = await startServer(t, { env: shared })
  const [here, there] = [createTestClient(t, first), createTestClient(t, second)]
  const admin = await asAdmin(here)
  let asked = 0
  // Neither waits for Redis when it starts.
  await until('one host takes what the other computed', async () => {
    const query = `{ a${asked++}: threatCounts { count } }`
    await here.graphql(query)
    const taken = await there.graphql(query)
    return statusOf(taken) === 'HIT' && taken.headers.age !== undefined
  })
  let latest = 0
  for (let i = 0; i < 5; i++) {
    await there.graphql(COUNTS)
    await addActor(admin, `Heron ${i}`)
    const expected = (await here.graphql(COUNTS)).text
    const startMs = performance.now()
    await until('the other host shows it', async () => (await there.graphql(COUNTS)).text === expected)
    latest = Math.max(latest, performance.now() - startMs)
  }
  t.ok(latest < 1_000 + 500, `after ${latest.toFixed(0)} ms at most, with what a busy machine takes`)

  await redis.kill()
  await until('both know', async () => (await Promise.all([first, second].map(async ({ url }) => await (await fetch(`${url}/health/ready`)).text()))).every((text) => /redis[^}]*"up":false/.test(text)))
  await there.graphql(COUNTS)
  await addActor(admin, 'Heron alone')
  await sleep(1_100)
  t.equal((await there.graphql(COUNTS)).text, (await here.graphql(COUNTS)).text, 'and nobody keeps anything longer than a second while it is away')
})

t.test('with Redis one computes in all, of the processes of two hosts', { skip: skipWithoutRedis }, async (t) => {
  const redis = await startRedis(t)
  const hosts = await Promise.all([1, 2].map(() => openKept(t, { ENFORCEMENT: 'shadow', CACHE_REDIS_URL: redis.url, LOG_LEVEL: 'info' })))
  const { promise: release, resolve } = Promise.withResolvers<void>()
  let calls = 0
  let walked = 0
  for (const { app } of hosts) {
    const { page } = app.intel
    replace(t, app.intel, 'page', async (...given) => {
      calls++
      await release
      return await page(...given)
    })
    const { inspect } = app.walk
    replace(t, app.walk, 'inspect', (...given) => {
      walked++
      return inspect(...given)
    })
  }
  await Promise.all(hosts.map(({ takeLines, clock }) => until('Redis is there', () => {
    // One that did not answer in time is asked again after a while, by this clock.
    clock.advance(40)
    return takeLines().some(({ msg }) => msg === 'the cache is shared through Redis')
  })))
  // Redis has 100 ms for a reply: who asks it first does so while nothing else goes on.
  const first = hosts.map(({ client }) => client.graphql(PAGE))
  await until('one computes and the other waits', () => walked === 2 && calls > 0)
  const others = hosts.flatMap(({ client }) => Array.from({ length: 10 }, () => client.graphql(PAGE)))
  await until('all of them wait', () => walked === 22)
  resolve()
  const ticking = setInterval(() => { for (const { clock } of hosts) clock.advance(20) }, 20)
  t.teardown(() => clearInterval(ticking))
  const answers = await Promise.all([...first, ...others])
  t.equal(calls, 1)
  t.equal(new Set(answers.map(({ text }) => text)).size, 1)
  t.same([...new Set(answers.map(({ status }) => status))], [200])
})

t.test('while the database is away old answers stand in for errors, and changes are refused', async (t) => {
  const mongo = await startMongo(t)
  if (mongo === null) return
  if (mongo.pid() === null) return t.comment('# SKIP the server of MONGODB_TEST_URL cannot be stopped')
  const server = await startServer(t, { env: { ...env, MONGODB_URI: mongo.uri, MONGODB_DATABASE: `away-${process.pid}`, CACHE_TTL_LONG: '1', CACHE_TTL: '1' } })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  await addActor(admin, 'Heron')
  const fresh = await client.graphql(PAGE)
  t.equal(statusOf(fresh), 'MISS')
  await client.graphql(COUNTS)
  await mongo.kill()
  await until('the answer is old', async () => statusOf(await client.graphql(PAGE)) === 'STALE')
  await sleep(1_000)
  for (const reply of [await client.graphql(PAGE), await client.ask(`/graphql?query=${encodeURIComponent(PAGE)}`)]) {
    t.match(reply, { status: 200, text: fresh.text, headers: { 'x-cache': 'STALE', age: /^[1-9]/, 'cache-control': 'no-store, no-cache, must-revalidate', pragma: 'no-cache' } })
  }
  t.match(await client.graphql('{ threatActors(first: 6) { nodes { id } } }'), { status: 503, headers: { 'x-cache': 'BYPASS' } }, 'what nobody asked before')
  t.equal((await client.graphql(COUNTS)).status, 200, 'from the catalogue in memory')
  t.match(await admin.graphql('mutation { addThreatActor(input: { name: "Crane" }) { id } }'), { status: 503 })
  const metrics = await (await fetch(`${server.metricsUrl}/metrics`)).text()
  t.match(metrics, /neko_cache_requests_total\{cache="graphql",result="stale"\} [1-9]/)
  await mongo.start()
  await until('it is computed again', async () => statusOf(await client.graphql(PAGE)) === 'MISS')
  t.equal(statusOf(await client.graphql(PAGE)), 'HIT')
})
