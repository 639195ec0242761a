import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PASSWORD, asAdmin, bearer, createTestClient, dataOf, makeKey, strongKey } from './client.ts'
import { until } from '../processes/load.ts'
import { scaled } from '../scale.ts'
import { makeDataDir, startServer } from '../server.ts'

/**
 * The signing key is rotated by reloads under load (A, then A and B, then B and A, then B alone), and an API key
 * meanwhile, and no request fails; what only A signed is refused once A is gone.
 */
const REQUESTS_MIN = scaled(600, 20_000)
const THINK_MS = scaled(60, 5)
const ME = '{ me { tier } }'

t.test(`rotation under load: 0 failed of at least ${REQUESTS_MIN}`, async (t) => {
  const dataDir = makeDataDir(t)
  const file = join(dataDir, 'jwt.keys')
  const [A, B] = [strongKey(), strongKey()]
  const sign = (...keys: string[]): void => writeFileSync(file, keys.join(','), { mode: 0o600 })
  sign(A)
  const server = await startServer(t, { dataDir, env: { WORKERS: '2', NODE_ENV: 'production', JWT_SECRET_FILE: file, AUDIT_SIGNING_KEY: strongKey(), ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'info', RATE_LIMIT_STRICT: '1000/60/0', RATE_LIMIT_RELAXED: '1000000/60/0', RATE_LIMIT_MAX: '1000000', ENFORCEMENT: 'shadow' } })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const { key, id } = await makeKey(admin, ['read'])
  const first = await client.login('admin', PASSWORD)
  const credentials: Array<Record<string, string>> = [bearer(first.accessToken), { 'x-api-key': key }]

  const failures: string[] = []
  let sent = 0
  const stopping = new AbortController()
  const load = Array.from({ length: 6 }, async (_, i) => {
    // A connection of its own, which never pauses for long: the pool of a client has some that lie idle, and closing
    // those races with the client's next request (processes/serving.ts).
    const own = createTestClient(t, server)
    while (!stopping.signal.aborted) {
      const reply = await own.as(credentials[(i + sent) % credentials.length]!).graphql(ME).catch((error: Error) => ({ status: 0, text: String(error.cause ?? error) }))
      sent++
      // The reloads need the processor too.
      await new Promise((resolve) => setTimeout(resolve, THINK_MS))
      if (reply.status !== 200 || reply.text.includes('errors')) failures.push(`${reply.status} ${reply.text.slice(0, 150)}`)
    }
  })
  let reloads = 0
  const reload = async (): Promise<void> => {
    reloads++
    server.signal('SIGHUP')
    // Not by its parsed lines: each request of the load is one.
    await until('reloaded', () => server.output().split('"msg":"reloaded"').length - 1 === reloads, 60_000)
  }
  sign(A, B)
  await reload()
  sign(B, A)
  await reload()
  // Signed by B from here on; those of A go on until A is gone.
  const second = await client.login('admin', PASSWORD)
  credentials.push(bearer(second.accessToken))
  const rotated = await dataOf<{ rotateApiKey: { key: string } }>(client.as(credentials[0]!).graphql('mutation ($id: ID!) { rotateApiKey(id: $id, overlapSeconds: 600) { key } }', { id }))
  credentials.push({ 'x-api-key': rotated.rotateApiKey.key })
  await until('enough under load', () => sent >= REQUESTS_MIN * 0.8, 60_000)
  credentials.splice(0, 1)
  // Whoever asks with it now has been answered.
  const asked = sent
  await until('each has asked once more', () => sent >= asked + 2 * load.length, 60_000)
  sign(B)
  await reload()
  await until('enough after it', () => sent >= REQUESTS_MIN, 60_000)
  stopping.abort()
  await Promise.all(load)
  t.same([...new Set(failures)].slice(0, 5), [], `${failures.length} failed of ${sent}`)
  t.comment(`${sent} requests, ${reloads} reloads, ${failures.length} failed`)
  t.equal((await client.as(bearer(first.accessToken)).graphql(ME)).status, 401, 'what only A signed')
  t.equal((await client.as(bearer(second.accessToken)).graphql(ME)).status, 200)
  t.match(await dataOf(client.graphql('mutation ($t: String!) { refreshToken(refreshToken: $t) { expiresInSeconds } }', { t: first.refreshToken })), { refreshToken: { expiresInSeconds: 900 } }, 'its session goes on by refresh')
  t.equal(await server.stop(), 0)
})
