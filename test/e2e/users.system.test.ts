import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { neko as runNeko, type Done } from './neko.ts'
import { makeDataDir, startServer } from '../server.ts'
import { PASSWORD, asAdmin, bearer, createTestClient, dataOf } from './client.ts'

/** `neko users password` and `unlock`, beside a server of two workers and on its store alone. */
const NEXT = 'a phrase nobody printed'

const neko = async (dataDir: string, ...args: string[]): Promise<Done> => await runNeko(dataDir, args)

t.test('somebody who lost a password comes in again, beside the server and without one', async (t) => {
  const dataDir = makeDataDir(t)
  const env = { WORKERS: '2', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'info', RATE_LIMIT_STRICT: '1000/60/0' }
  const server = await startServer(t, { dataDir, env })
  t.notMatch(server.output(), /ADMIN_PASSWORD/, 'the password is the one that is stored')
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const { createUser: { id } } = await dataOf<{ createUser: { id: string } }>(admin.graphql('mutation ($p: String!) { createUser(username: "zoe", password: $p, role: ANALYST) { id } }', { p: PASSWORD }))

  for (const args of [['users', 'password'], ['users', 'unlock', 'a', 'b']]) t.match(await neko(dataDir, ...args), { code: 64, stderr: /neko/ }, args.join(' '))
  t.match(await neko(dataDir, 'users', 'password', 'nobody'), { code: 1, stdout: '', stderr: /no such user \(NEKO_ERR_NOT_FOUND\)/ })
  const given = await neko(dataDir, 'users', 'password', 'admin')
  const password = /: ([0-9a-z]{24})\n/.exec(given.stdout)?.[1] ?? ''
  t.match(given, { code: 0, stdout: /one-time password of admin/ })
  t.match(await admin.graphql('{ me { username } }', {}, { connection: 'close' }), { status: 401 })

  const first = client.as(bearer((await client.login('admin', password)).accessToken))
  for (let i = 0; i < 4; i++) t.match(await dataOf(first.graphql('{ me { scopes mustChangePassword } threatCounts { count } }', {}, { connection: 'close' })), { me: { scopes: [], mustChangePassword: true } })
  for (const query of ['{ users { nodes { id } } }', '{ decisions { nodes { id } } }', 'mutation { createApiKey(name: "x", scopes: ["read"]) { key } }', '{ incidents { nodes { id } } }']) t.match(await first.graphql(query), { status: 403, text: /changePassword/ }, query)
  t.match(await first.ask('/v1/assess', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"requests":[]}' }), { status: 403 })
  t.match(await dataOf(first.graphql('mutation ($o: String!, $n: String!) { changePassword(currentPassword: $o, newPassword: $n) }', { o: password, n: NEXT })), { changePassword: true })
  const again = client.as(bearer((await client.login('admin', NEXT)).accessToken))

  await dataOf(again.graphql('mutation ($id: String!) { addDecision(scope: USER, value: $id, action: BLOCK, reason: "locked") { id } }', { id }))
  const zoe = client.as(bearer((await client.login('zoe', PASSWORD)).accessToken))
  t.match(await zoe.graphql('{ me { username } }'), { status: 403 })
  const unlocked = await neko(dataDir, 'users', 'unlock', 'Zoe', '--json')
  t.match(JSON.parse(unlocked.stdout), { username: 'zoe', decisions: [String], disabled: false })
  for (let i = 0; i < 4; i++) t.match(await zoe.graphql('{ me { username } }', {}, { connection: 'close' }), { status: 200 })

  await server.stop()
  const alone = JSON.parse((await neko(dataDir, 'users', 'password', 'zoe', '--json')).stdout) as { username: string, password: string }
  t.match(alone, { username: 'zoe', password: /^[0-9a-z]{24}$/ })
  t.match(await neko(dataDir, 'users', 'unlock', 'zoe'), { code: 0, stdout: /unlocked: zoe/ })
  t.match(await neko(dataDir, 'users', 'password', 'zoe', '--data-dir', join(dataDir, 'nowhere')), { code: 1, stderr: /no data directory/ })

  const restarted = await startServer(t, { dataDir, env: { ...env, WORKERS: '1' } })
  t.equal(restarted.logs().filter(({ msg, level }) => level === 'warn' && /^ADMIN_PASSWORD is not the password/.test(String(msg))).length, 1, 'one line says that ADMIN_PASSWORD is another one')
  const later = createTestClient(t, restarted)
  const asZoe = later.as(bearer((await later.login('zoe', alone.password)).accessToken))
  t.match(await asZoe.graphql('{ threats { nodes { id } } }'), { status: 403, text: /changePassword/ })
  const back = later.as(bearer((await later.login('admin', NEXT)).accessToken))
  const { auditEvents } = await dataOf<{ auditEvents: { nodes: Array<{ type: string }> } }>(back.graphql('{ auditEvents(category: AUTH, first: 100) { nodes { type actor target outcome } } }'))
  const types = auditEvents.nodes.map(({ type }) => type)
  for (const type of ['user.password.reset', 'user.unlock']) t.equal(types.filter((one) => one === type).length, 2, `${type} is in the trail, from beside the server and from without it`)
  await restarted.stop()
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
  for (const secret of [password, alone.password, NEXT]) t.notOk([...files, server.output(), restarted.output()].some((text) => text.includes(secret)), 'no file and no log has a password')
})
