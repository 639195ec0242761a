import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { AuditEvent } from '../../src/audit/shapes.ts'
import { until } from '../processes/load.ts'
import { makeDataDir, startServer, type Teardown } from '../server.ts'
import { openApp, type TestApp } from '../transaction/app.ts'
import { PASSWORD, asAdmin, createTestClient } from './client.ts'
import type { Reply } from './client.ts'
import { neko } from './neko.ts'

/** What a request, a refusal and a start leave in the trail, read from the log itself: it is there at once. */
/** Ends a test that would hang. */
const HANGS_MS = 20_000
const ATTACK = `/search?q=${encodeURIComponent("1' UNION SELECT username, password FROM users WHERE 1=1--")}`

async function openHere (t: Teardown): Promise<TestApp & { dataDir: string }> {
  const dataDir = makeDataDir(t)
  return { ...await openApp(t, { DATA_DIR: dataDir, ADMIN_PASSWORD: PASSWORD }), dataDir }
}

const receipt = (reply: Reply): string => String(reply.headers['x-neko-assessment'])

t.test("every event of a request carries the request's receipt and score", async (t) => {
  const server = await openHere(t)
  const client = createTestClient(t, server).as({ 'x-forwarded-for': '198.51.100.7' })
  const login = await client.graphql('mutation ($p: String!) { login(username: "admin", password: $p) { accessToken } }', { p: PASSWORD })
  const admin = client.as({ authorization: `Bearer ${(login.json as { data: { login: { accessToken: string } } }).data.login.accessToken}` })
  const asked = new Map<string, Reply>([['login', login]])
  const ask = async (type: string, query: string, variables: object = {}): Promise<Record<string, { id: string }>> => {
    const reply = await admin.graphql(query, variables)
    asked.set(type, reply)
    return (reply.json as { data: Record<string, { id: string }> }).data
  }
  await ask('user.create', 'mutation ($p: String!) { createUser(username: "vera", password: $p, role: VIEWER) { id } }', { p: PASSWORD })
  await ask('key.create', 'mutation { createApiKey(name: "k", scopes: ["read"]) { key } }')
  await ask('actor.add', 'mutation { addThreatActor(input: { name: "Paper Tiger" }) { id } }')
  const added = await ask('decision.add', 'mutation { addDecision(scope: IP, value: "203.0.113.5", action: BLOCK, ttlSeconds: 60, reason: "r") { id } }')
  await ask('decision.remove', 'mutation ($id: ID!) { removeDecision(id: $id) { id } }', { id: added.addDecision!.id })
  const attack = await client.as({ 'x-forwarded-for': '203.0.113.77' }).ask(ATTACK)
  const incident = await until('the incident', async () => ((await admin.graphql('{ incidents { nodes { id } } }')).json as { data: { incidents: { nodes: Array<{ id: string }> } } }).data.incidents.nodes[0], HANGS_MS)
  await ask('incident.resolved', 'mutation ($id: ID!) { resolveIncident(id: $id) { id } }', { id: incident.id })
  await ask('user.password', 'mutation ($p: String!) { changePassword(currentPassword: "not this one at all", newPassword: $p) }', { p: PASSWORD })
  const order = await admin.graphql('mutation ($id: ID!) { runPlaybook(name: STANDARD_MONITORING, assessmentId: $id) { id } }', { id: receipt(attack) })
  await ask('session.logout', 'mutation { logout }')

  const events = eventsOf(server.dataDir)
  for (const [type, reply] of asked) {
    t.match(events.filter((one) => one.assessmentId === receipt(reply)), [{ type, score: Number }], type)
  }
  t.match(events.find(({ type }) => type === 'playbook.order'), { assessmentId: receipt(attack), details: { request: receipt(order) } }, 'an event about another receipt names both')
  const run = events.find(({ type }) => type === 'playbook.run')
  t.match(run, { assessmentId: receipt(attack), factor: 'payload' })
  t.notOk(run!.details!.request, 'what the server does by itself belongs to what it saw')
})

t.test('who is refused what leaves an access event, and who hammers leaves no flood', async (t) => {
  const server = await openHere(t)
  const client = createTestClient(t, server).as({ 'x-forwarded-for': '198.51.100.7' })
  const admin = await asAdmin(client)
  await admin.graphql('mutation ($p: String!) { createUser(username: "vera", password: $p, role: VIEWER) { id } }', { p: PASSWORD })
  const { accessToken } = await client.login('vera', PASSWORD)
  const vera = client.as({ authorization: `Bearer ${accessToken}` })
  const block = 'mutation { addDecision(scope: IP, value: "203.0.113.5", action: BLOCK, reason: "x") { id } }'
  const first = await vera.graphql(block)
  t.equal(first.status, 403)
  for (let i = 0; i < 9; i++) await vera.graphql(block)
  const anonymous = await client.graphql('{ auditEvents { totalCount } }')
  t.equal(anonymous.status, 401)
  const assess = await client.ask('/v1/assess', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"requests":[]}' })
  t.equal(assess.status, 401)
  const imported = await vera.ask('/v1/intel/import?format=stix', { method: 'POST', body: '{}' })
  t.equal(imported.status, 403)
  await server.app.close()

  const denied = eventsOf(server.dataDir).filter(({ category }) => category === 'access').map(({ id, at, processId, seq, ...event }) => event)
  t.match(denied, [
    { type: 'access.denied', actor: /^user:/, target: 'Mutation.addDecision', outcome: 'refused', assessmentId: receipt(first), score: Number, details: { needs: 'decide', code: 'NEKO_ERR_FORBIDDEN', times: 1 } },
    { actor: 'ip:198.51.100.7', target: 'Query.auditEvents', assessmentId: receipt(anonymous), details: { needs: 'manage', code: 'NEKO_ERR_UNAUTHENTICATED', times: 1 } },
    { actor: 'ip:198.51.100.7', target: 'POST /v1/assess', assessmentId: receipt(assess), details: { needs: 'assess', times: 1 } },
    { actor: /^user:/, target: 'POST /v1/intel/import', assessmentId: receipt(imported), details: { needs: 'manage', times: 1 } },
    { actor: /^user:/, target: 'Mutation.addDecision', details: { times: 9 } }
  ])
  t.equal(denied.length, 5)
})

t.test('a start or a reload with other settings is one event of the host, without a secret in it', async (t) => {
  const dataDir = makeDataDir(t)
  const secret = 'a webhook secret that nobody may read'
  const env = { WORKERS: '2', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn' }
  const changes = (): Array<AuditEvent['details']> => eventsOf(dataDir).filter(({ type }) => type === 'config.change').sort((a, b) => a.at - b.at).map(({ details }) => details)
  let server = await startServer(t, { dataDir, env })
  await until('the event', () => changes()[0], HANGS_MS)
  await server.stop()
  t.same(changes(), [{ first: true }])

  server = await startServer(t, { dataDir, env: { ...env, CHALLENGE_THRESHOLD: '41', WEBHOOK_SECRET: secret } })
  await until('the event', () => changes()[1], HANGS_MS)
  t.same(changes()[1], { changed: ['CHALLENGE_THRESHOLD', 'WEBHOOK_SECRET'], values: { CHALLENGE_THRESHOLD: ['40', '41'] } })
  // The environment of a process cannot change: what it does not set is read from .env.
  writeFileSync(join(dataDir, '.env'), `BLOCK_THRESHOLD=80\nMETRICS_PORT=1\nJWT_SECRET=${secret}\n`)
  const reload = await neko(dataDir, ['reload'])
  t.equal(reload.code, 0, reload.stderr)
  await until('the event', () => changes()[2], HANGS_MS)
  t.same(changes()[2], { changed: ['JWT_SECRET', 'BLOCK_THRESHOLD'], values: { BLOCK_THRESHOLD: ['75', '80'] } })
  const again = await neko(dataDir, ['reload'])
  t.equal(again.code, 0)
  await server.stop()
  t.equal(changes().length, 3, 'the same again is no change, and workers are not counted')
  t.equal((await neko(dataDir, ['explain', 'as_000000000000_0'])).code, 1)
  t.equal(changes().length, 3, 'a verb on the store alone is no start')
  const everything = [...readdirSync(join(dataDir, 'audit')).map((name) => join('audit', name)), 'neko.db'].map((name) => readFileSync(join(dataDir, name), 'latin1')).join('')
  t.notMatch(everything, new RegExp(secret))
})

function eventsOf (dataDir: string): AuditEvent[] {
  const directory = join(dataDir, 'audit')
  const lines = readdirSync(directory).filter((name) => name.endsWith('.log')).flatMap((name) => readFileSync(join(directory, name), 'utf8').split('\n'))
  return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as { event?: AuditEvent }).flatMap(({ event }) => event === undefined ? [] : [event])
}
