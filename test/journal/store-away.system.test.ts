import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { PASSWORD, asAdmin, bearer, createTestClient, dataOf, makeKey } from '../e2e/client.ts'
import type { TestClient } from '../e2e/client.ts'
import { until } from '../processes/load.ts'
import { readyOf } from '../processes/status-of.ts'
import { scaled } from '../scale.ts'
import { makeDataDir, startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'
import { startMongo } from '../services/mongo.ts'

/**
 * What was acknowledged while the database was away is in force: in every process, whichever of them dies, while
 * it is away, when it comes back, and after a restart. `locked-database` is the same for SQLite.
 */
/** Connections go to the two workers in turn, so that both are asked of each caller. */
const COUNT = scaled(3, 12)
const TRIES = 2 * COUNT
const WORKERS = 2
const UNLIMITED = '100000/60/0'
const env = {
  WORKERS: String(WORKERS),
  ADMIN_PASSWORD: PASSWORD,
  TRUST_PROXY: '127.0.0.1/32',
  ENFORCEMENT: 'shadow',
  LOG_LEVEL: 'info',
  RATE_LIMIT_STRICT: UNLIMITED,
  RATE_LIMIT_STANDARD: UNLIMITED,
  RATE_LIMIT_RELAXED: UNLIMITED,
  RATE_LIMIT_MAX: '100000'
}

/** Callers by what becomes of them while the store is away. */
interface Callers { tokens: string[], keys: Array<{ key: string, id: string }>, blocked: string[], lifted: Array<{ address: string, id: string }> }

const block = async (admin: TestClient, address: string): Promise<string> =>
  (await dataOf<{ addDecision: { id: string } }>(admin.graphql('mutation ($v: String!) { addDecision(scope: IP, value: $v, action: BLOCK, reason: "test") { id } }', { v: address }))).addDecision.id

/** `net`: the third byte of their addresses. */
async function makeCallers (client: TestClient, admin: TestClient, net: number): Promise<Callers> {
  const each = <T>(make: (i: number) => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: COUNT }, (_, i) => make(i)))
  return {
    tokens: await each(async () => (await client.login('admin', PASSWORD)).accessToken),
    keys: await each((i) => makeKey(admin, ['read'], `away ${net} ${i}`)),
    blocked: Array.from({ length: COUNT }, (_, i) => `198.51.${net}.${i + 1}`),
    lifted: await each(async (i) => ({ address: `198.51.${net}.${i + 101}`, id: await block(admin, `198.51.${net}.${i + 101}`) }))
  }
}

/** Everything is acknowledged, or this rejects. */
async function change (client: TestClient, admin: TestClient, { tokens, keys, blocked, lifted }: Callers): Promise<void> {
  await Promise.all([
    ...tokens.map((token) => dataOf(client.as(bearer(token)).graphql('mutation { logout }'))),
    ...keys.map(({ id }) => dataOf(admin.graphql('mutation ($id: ID!) { revokeApiKey(id: $id) { id } }', { id }))),
    ...blocked.map((address) => block(admin, address)),
    ...lifted.map(({ id }) => dataOf(admin.graphql('mutation ($id: ID!) { removeDecision(id: $id) { id } }', { id })))
  ])
}

/** How many of so many tries each pass that must not; each over a connection of its own, so that every process answers. */
async function wrongs (client: TestClient, { tokens, keys, blocked, lifted }: Callers): Promise<Record<string, number>> {
  const count = async (isWrong: (status: number) => boolean, headersOf: (i: number) => Record<string, string>): Promise<number> => {
    const replies = await Promise.all(Array.from({ length: TRIES }, (_, i) =>
      client.graphql('{ health { status } }', {}, { connection: 'close', ...headersOf(i % COUNT) })))
    return replies.filter(({ status }) => isWrong(status)).length
  }
  const passes = (status: number): boolean => status === 200
  const [token, key, address, liftedAddress] = await Promise.all([
    count(passes, (i) => bearer(tokens[i]!)),
    count(passes, (i) => ({ 'x-api-key': keys[i]!.key })),
    count((status) => status !== 403, (i) => ({ 'x-forwarded-for': blocked[i]! })),
    count((status) => status !== 200, (i) => ({ 'x-forwarded-for': lifted[i]!.address }))
  ])
  return { token, key, address, liftedAddress }
}

const NONE = { token: 0, key: 0, address: 0, liftedAddress: 0 }

async function hold (t: Test, when: string, client: TestClient, callers: Callers): Promise<void> {
  t.same(await wrongs(client, callers), NONE, when)
}

/** Refusals are watched until the event, behind which nothing changes any more, and once more behind it. */
async function holdUntil (t: Test, what: string, client: TestClient, { callers, event }: { callers: Callers, event: () => boolean | Promise<boolean> }): Promise<void> {
  await until(what, async () => {
    const isOver = await event()
    t.same(await wrongs(client, callers), NONE, `before: ${what}`)
    // Each look is dozens of requests.
    if (!isOver) await sleep(150)
    return isOver
  })
}

/** SIGKILL to the workers of these slots; resolves when others stand in their places. */
async function replaceWorkers (server: StartedServer, slots: number[]): Promise<void> {
  const victims = (await readyOf(server)).filter(({ slot }) => slots.includes(slot)).map(({ pid }) => pid)
  for (const pid of victims) process.kill(pid, 'SIGKILL')
  await until(`other workers stand in ${slots.join()}`, async () => {
    const ready = await readyOf(server)
    return ready.length === WORKERS && ready.every(({ pid }) => !victims.includes(pid))
  })
}

const isRecovered = (server: StartedServer): boolean => server.logs().some(({ msg }) => msg === 'what ended workers left is in the store')

t.test('a database that is away: what is acknowledged meanwhile holds, whoever dies and whatever starts anew', async (t) => {
  const mongo = await startMongo(t)
  if (mongo === null) return
  if (mongo.pid() === null) return t.comment('# SKIP the server of MONGODB_TEST_URL cannot be stopped')
  const dataDir = makeDataDir(t)
  const start = { env: { ...env, MONGODB_URI: mongo.uri }, dataDir }
  let server = await startServer(t, start)
  let client = createTestClient(t, server)
  let admin = await asAdmin(client)
  const first = await makeCallers(client, admin, 100)
  const second = await makeCallers(client, admin, 101)
  const stays = await makeKey(admin, ['read'], 'stays')

  await mongo.kill()
  await change(client, admin, first)
  await replaceWorkers(server, [1])
  await hold(t, 'away, with a new worker', client, first)
  await mongo.start()
  await holdUntil(t, 'the log of the dead worker is brought in', client, { callers: first, event: () => isRecovered(server) })
  await replaceWorkers(server, [0])
  await hold(t, 'with two new workers', client, first)

  admin = await asAdmin(client)
  await mongo.kill()
  await change(client, admin, second)
  await server.kill()
  server = await startServer(t, start)
  client = createTestClient(t, server)
  await hold(t, 'restarted while it is away', client, second)
  await mongo.start()
  const isLetIn = async (): Promise<boolean> => {
    const replies = await Promise.all(Array.from({ length: 6 }, () => client.graphql('{ me { role } }', {}, { connection: 'close', 'x-api-key': stays.key })))
    return replies.every(({ status }) => status === 200)
  }
  await holdUntil(t, 'whoever was not ended is let in', client, { callers: second, event: isLetIn })
  await replaceWorkers(server, [0, 1])
  await hold(t, 'with two new workers', client, second)
  await hold(t, 'with two new workers', client, first)
  t.equal(await server.stop(), 0)
})
