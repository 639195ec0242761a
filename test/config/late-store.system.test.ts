import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { PASSWORD, createTestClient, dataOf } from '../e2e/client.ts'
import { startServer } from '../server.ts'
import { startMongo } from '../services/mongo.ts'
import { until } from '../processes/load.ts'
import { scaled } from '../scale.ts'

/** The database comes up after NEKO: everything that a start prepares is prepared then, without a restart. */

/** How long the driver looks for a server before it gives up its pool, by the URI; 5 s are its own. */
const SELECTION_MS = scaled(300, 5_000)

t.jobs = 2
for (const WORKERS of ['1', '2']) {
  t.test(`NEKO first, then its database: login works without a restart (WORKERS=${WORKERS})`, { buffered: true }, async (t) => {
    const mongo = await startMongo(t)
    if (mongo === null) return
    if (mongo.pid() === null) return t.comment('# SKIP the server of MONGODB_TEST_URL cannot be stopped')
    await mongo.kill()
    const server = await startServer(t, { env: { WORKERS, MONGODB_URI: `${mongo.uri}?serverSelectionTimeoutMS=${SELECTION_MS}`, ADMIN_PASSWORD: WORKERS === '1' ? PASSWORD : '' } })
    const client = createTestClient(t, server)
    t.match((await client.ask('/health/ready')).json, { status: 'degraded', checks: { storage: { up: false } } })
    const refused = await client.graphql(`mutation { login(username: "admin", password: "${PASSWORD}") { accessToken } }`)
    t.equal(refused.status, 503)
    t.match(refused.text, /NEKO_ERR_STORE_UNAVAILABLE/)
    t.notMatch(refused.text, /127\.0\.0\.1|ECONNREFUSED|mongo/i, 'says nothing of the inside')
    // The driver gives up its pool, of which nobody is told, and must find a new one.
    if (WORKERS === '1') await sleep(SELECTION_MS + 1_000)
    t.match((await client.ask('/health/ready')).json, { checks: { storage: { up: false, detail: 'refused' } } })
    await mongo.start()
    await until('health is ok again', async () => /"status":"ok"/.test((await client.ask('/health/ready')).text))
    // Outside production somebody must be able to log in: the password that was made late is shown late, and once.
    const password = WORKERS === '1' ? PASSWORD : await until('the password is shown', () => /first login +admin \/ (\S+)/.exec(server.output())?.[1])
    const { accessToken } = await until('the administrator is there', async () => await client.login('admin', password).catch(() => null))
    t.equal(server.output().match(/first login/g)?.length ?? 0, WORKERS === '1' ? 0 : 1)
    t.notOk(server.logs().some((line) => JSON.stringify(line).includes(password)), 'and in no log line')
    const admin = client.as({ authorization: `Bearer ${accessToken}` })
    // Every process reads its users when the first one has prepared the store; either may answer.
    const me = await until('every process knows its users', async () => await dataOf(admin.graphql('{ me { username role } threatCounts { count } }')).catch(() => null))
    t.match(me, { me: { username: 'admin', role: 'ADMIN' } })
    const seeded = async (): Promise<number> => (await dataOf<{ threatCounts: Array<{ count: number }> }>(admin.graphql('{ threatCounts { count } }'))).threatCounts.reduce((sum, { count }) => sum + count, 0)
    t.ok(await until('actors are seeded', async () => await seeded().catch(() => 0) > 0))
    t.equal(await server.stop(), 0)
  })
}
