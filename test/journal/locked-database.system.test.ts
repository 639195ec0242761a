import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { PASSWORD, asAdmin, bearer, createTestClient, dataOf, makeKey } from '../e2e/client.ts'
import { until } from '../processes/load.ts'
import { readyOf } from '../processes/status-of.ts'
import { scaled } from '../scale.ts'
import { makeDataDir, startServer } from '../server.ts'

/**
 * SQLite that another program keeps locked still gives what it had before, and takes nothing. What is acknowledged
 * meanwhile is in force in every process, in those that start then too, and stays so when the lock is gone, though the
 * worker that acknowledged it died.
 */
const env = { WORKERS: '2', ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_STRICT: '10000/60/0', RATE_LIMIT_STANDARD: '100000/60/0', RATE_LIMIT_RELAXED: '100000/60/0', RATE_LIMIT_MAX: '100000', TRUST_PROXY: '127.0.0.1/32' }
/** Connections go to the two workers in turn, so that both are asked of each. */
const EACH = scaled(2, 4)
const TRIES = scaled(6, 24)
const ME = '{ me { username } }'

t.setTimeout(180_000)

t.test('what is acknowledged while SQLite is locked holds when a worker dies, and when the lock is gone', async (t) => {
  const server = await startServer(t, { env, dataDir: makeDataDir(t) })
  const from = (n: number): Record<string, string> => ({ 'x-forwarded-for': `198.51.100.${n}`, connection: 'close' })
  const client = createTestClient(t, server).as(from(250))
  const admin = (await asAdmin(client)).as({ ...from(250), ...bearer((await client.login('admin', PASSWORD)).accessToken) })
  const sessions = await Promise.all(Array.from({ length: EACH }, () => client.login('admin', PASSWORD)))
  const keys = await Promise.all(Array.from({ length: EACH }, (_, n) => makeKey(admin, ['read'], `key ${n}`)))
  const add = (n: number): Promise<{ addDecision: { id: string } }> => dataOf(admin.graphql('mutation ($v: String!) { addDecision(scope: IP, value: $v, action: BLOCK, reason: "test") { id } }', { v: `198.51.100.${n}` }))
  const { addDecision: lifted } = await add(100)

  // Waits for the writes that are under way.
  const lock = new DatabaseSync(`${server.dataDir}/neko.db`, { timeout: 10_000 })
  t.teardown(() => { if (lock.isOpen) lock.close() })
  lock.exec('BEGIN EXCLUSIVE')
  for (let n = 0; n < EACH; n++) {
    await dataOf(client.as({ ...from(251), ...bearer(sessions[n]!.accessToken) }).graphql('mutation { logout }'))
    await dataOf(admin.graphql('mutation ($id: ID!) { revokeApiKey(id: $id) { id } }', { id: keys[n]!.id }))
    await add(n)
  }
  await dataOf(admin.graphql('mutation ($id: ID!) { removeDecision(id: $id) { id } }', { id: lifted.id }))

  /** Of tries that must be refused those that pass, and the other way round. */
  const wrong = async (): Promise<string[]> => {
    const found: string[] = []
    const tries = Array.from({ length: TRIES }, async (_, i) => {
      const n = i % EACH
      const asked = async (what: string, headers: Record<string, string>, expected: number): Promise<void> => {
        const { status } = await client.as(headers).graphql(what === 'lifted' ? '{ health { status } }' : ME)
        if (status !== expected) found.push(`${what}: ${status}`)
      }
      await asked('session', { ...from(252), ...bearer(sessions[n]!.accessToken) }, 401)
      await asked('key', { ...from(252), 'x-api-key': keys[n]!.key }, 401)
      await asked('block', from(n), 403)
      await asked('lifted', from(100), 200)
    })
    await Promise.all(tries)
    return found
  }
  t.same(await wrong(), [], 'before')
  const [victim] = await readyOf(server)
  process.kill(victim!.pid, 'SIGKILL')
  await until('the slot is whole again', async () => {
    const ready = await readyOf(server)
    return ready.length === 2 && ready.every(({ pid }) => pid !== victim!.pid)
  })
  t.same(await wrong(), [], 'with a worker that started on the locked store')
  lock.exec('ROLLBACK')
  lock.close()
  // What the dead worker acknowledged is brought in then, and behind that nothing changes any more.
  await until('the store has all', async () => {
    const isOver = server.logs().some(({ msg }) => msg === 'what ended workers left is in the store')
    t.same(await wrong(), [], 'behind the lock')
    if (!isOver) await sleep(150)
    return isOver
  })
  t.equal(await server.stop(), 0)
})
