import t from 'tap'
import { PASSWORD, asAdmin, bearer, createTestClient, dataOf } from './client.ts'
import type { Reply, TestClient } from './client.ts'
import { showFigure } from '../bar.ts'
import { until } from '../processes/load.ts'
import { neko } from './neko.ts'
import { makeDataDir, startServer } from '../server.ts'

/** Marking false alarms on a server of two workers: who may, what passes then and what does not, how it ends. */
const ENV = { WORKERS: '2', TRUST_PROXY: '127.0.0.1', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '10000/60/0', RATE_LIMIT_RELAXED: '10000/60/0' }
const UNION = "1' UNION SELECT name, password FROM users-- "
const NAME = "O'Brien (Smith"

interface Allowance { id: string, rule: string, place: string, route: string | null, path: string | null, grade: string, shape: string, origin: string, assessmentId: string, expiresAt: string }
interface Marked { allowances: Allowance[], changedVerdicts: number, dryRun: boolean, letThrough: { count: number, scanned: number, examples: Array<{ assessmentId: string, score: number, scoreAfter: number, action: string, actionAfter: string }> } | null }

const ALLOWANCE = 'id rule place route path grade shape origin assessmentId expiresAt'
const MARK = `mutation ($id: ID!, $dry: Boolean, $force: Boolean) { markFalsePositive(assessmentId: $id, dryRun: $dry, force: $force) { allowances { ${ALLOWANCE} } changedVerdicts dryRun letThrough { count scanned examples { assessmentId score scoreAfter action actionAfter } } } }`
const REMOVE = 'mutation ($id: ID!) { removeAllowance(id: $id) { id } }'

let address = 0
/** From an address that never asked before, on a connection of its own, so that either worker may answer. */
function askAnew (client: TestClient, name: string, text: string, path = '/reports'): Promise<Reply> {
  address++
  return client.ask(`${path}?${name}=${encodeURIComponent(text)}`, { headers: { 'x-forwarded-for': `198.18.${address >> 8}.${address & 255}`, connection: 'close' } })
}

async function statusesOf (client: TestClient, name: string, text: string, times = 6): Promise<number[]> {
  return [...new Set((await Promise.all(Array.from({ length: times }, () => askAnew(client, name, text)))).map(({ status }) => status))]
}

const receiptOf = (reply: Reply): string => String(reply.headers['x-neko-assessment'])
const codeOf = (reply: Reply): string | undefined => (reply.json as { errors?: Array<{ extensions: { code: string } }> }).errors?.[0]?.extensions.code
const mark = async (who: TestClient, id: string, options: { dry?: boolean, force?: boolean } = {}): Promise<Marked> => (await dataOf<{ markFalsePositive: Marked }>(who.graphql(MARK, { id, ...options }))).markFalsePositive

async function makeAnalyst (client: TestClient, admin: TestClient): Promise<TestClient> {
  await dataOf(admin.graphql('mutation ($p: String!) { createUser(username: "analyst", password: $p, role: ANALYST) { id } }', { p: PASSWORD }))
  return client.as(bearer((await client.login('analyst', PASSWORD)).accessToken))
}

/** Receipts are stored some moments after their answers. */
async function dryRunOf (who: TestClient, id: string): Promise<Marked> {
  return await until('the receipt is stored', async () => {
    const marked = await mark(who, id, { dry: true })
    return marked.letThrough?.count === 0 ? null : marked
  }, 20_000)
}

/** What the trail says of allowances. */
async function toldOf (admin: TestClient): Promise<string[]> {
  const told: string[] = []
  for (const type of ['falsePositive.mark', 'allowance.remove']) {
    const { auditEvents } = await dataOf<{ auditEvents: { nodes: Array<{ actor: string, outcome: string }> } }>(admin.graphql('query ($type: String) { auditEvents(category: SECURITY, type: $type) { nodes { actor outcome } } }', { type }))
    told.push(...auditEvents.nodes.map(({ actor, outcome }) => `${type} ${outcome} ${actor.split(':')[0]}`))
  }
  return told.sort()
}

function neighbours (): Array<[name: string, text: string, path: string]> {
  const found: Array<[string, string, string]> = []
  for (const table of ['admins', 'accounts', 'users2', 'information_schema.tables', 'mysql.user']) for (const columns of ['name, password', 'name', 'null, null']) found.push(['q', `1' UNION SELECT ${columns} FROM ${table}-- `, '/reports'])
  for (const tail of [' WHERE 1=1-- ', ' WHERE 2=2-- ', ' LIMIT 1-- ', ' UNION SELECT 1, 2-- ', '; DROP TABLE users-- ', '#']) found.push(['q', UNION.replace('-- ', tail), '/reports'])
  for (const text of [UNION.toLowerCase(), UNION.replaceAll(' ', '/**/'), ` ${UNION}`, UNION.replace('1', '2'), "1' OR 1=1-- ", "1' OR 2=2-- ", '<script>alert(1)</script>', 'x;cat /etc/passwd']) found.push(['q', text, '/reports'])
  for (const name of ['id', 'Q', 'q2', 'filter', 'name', 'search', 'qq', 'sort', 'x', 'page', 'user', 'where']) found.push([name, UNION, '/reports'])
  for (const path of ['/report', '/reports/', '/reports/1', '/Reports', '/', '/search', '/v1', '/api/reports', '/graphql', '/products']) found.push(['q', UNION, path])
  return found
}

t.test('an attack that an administrator allowed passes from anywhere, alone, and until it is removed', async (t) => {
  const dataDir = makeDataDir(t)
  const server = await startServer(t, { dataDir, env: ENV })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const analyst = await makeAnalyst(client, admin)
  const attack = await askAnew(client, 'q', UNION)
  t.equal(attack.status, 403)
  const id = receiptOf(attack)

  for (const [who, variables] of [[analyst, { id }], [analyst, { id, force: true }], [admin, { id }]] as const) {
    const refused = await who.graphql(MARK, variables)
    t.equal(codeOf(refused), 'NEKO_ERR_EVIDENCE_CERTAIN', refused.text)
  }
  const dry = await dryRunOf(analyst, id)
  t.match(dry, { dryRun: true, changedVerdicts: 1, letThrough: { count: 1, examples: [{ assessmentId: id, action: 'BLOCK', actionAfter: 'ALLOW' }] } })
  t.ok(dry.letThrough!.examples[0]!.score >= 90 && dry.letThrough!.examples[0]!.scoreAfter < 40)
  t.same(await statusesOf(client, 'q', UNION), [403], 'nothing of that was kept')

  const marked = await mark(admin, id, { force: true })
  t.ok(marked.allowances.some(({ rule, grade }) => rule === 'sqli.union-select' && grade === 'certain'))
  t.ok(marked.allowances.every(({ path, route, place, shape }) => path === '/reports' && route === null && place === 'query.q' && shape === 'exact'))
  t.ok(marked.changedVerdicts >= 7, 'over both workers')
  t.same(await statusesOf(client, 'q', UNION), [404], 'from any address, whichever worker answers')
  const others = neighbours()
  t.ok(others.length >= 50, String(others.length))
  const passed = (await Promise.all(others.map(async ([name, text, path]) => ({ name, text, path, status: (await askAnew(client, name, text, path)).status })))).filter(({ status }) => status !== 403)
  t.same(passed, [], 'none of its neighbours')

  const alarm = await askAnew(client, 'name', NAME)
  t.equal(alarm.status, 403)
  t.match(await mark(analyst, receiptOf(alarm)), { allowances: [{ grade: 'likely', shape: "w'w (w" }], dryRun: false, letThrough: null })
  for (const twin of ["D'Arcy (Jones", "O'Neill (Cork", "L'Ouverture (Breda"]) t.same(await statusesOf(client, 'name', twin, 2), [404], twin)
  t.same(await statusesOf(client, 'other', NAME, 2), [403])

  const { allowances } = await dataOf<{ allowances: { totalCount: number, nodes: Allowance[], pageInfo: { endCursor: string } } }>(analyst.graphql(`{ allowances(first: 1) { totalCount nodes { ${ALLOWANCE} text createdAt } pageInfo { endCursor hasNextPage } } }`))
  t.match(allowances, { totalCount: marked.allowances.length + 1, nodes: [{ place: 'query.name', assessmentId: receiptOf(alarm), origin: /^user:/ }], pageInfo: { hasNextPage: true } })
  const rest = await dataOf<{ allowances: { nodes: Allowance[] } }>(admin.graphql(`query ($after: String) { allowances(after: $after) { nodes { ${ALLOWANCE} } } }`, { after: allowances.pageInfo.endCursor }))
  t.same(rest.allowances.nodes.map((one) => one.id).sort(), marked.allowances.map((one) => one.id).sort())
  t.match(await neko(dataDir, ['allowances', 'list']), { code: 0, stdout: /query\.q of path \/reports: that text alone[^]*by user:/ })

  const certain = marked.allowances.find(({ grade }) => grade === 'certain')!.id
  t.equal(codeOf(await analyst.graphql(REMOVE, { id: certain })), 'NEKO_ERR_FORBIDDEN')
  t.equal(codeOf(await admin.graphql(REMOVE, { id: 'al_none' })), 'NEKO_ERR_NOT_FOUND')
  await dataOf(admin.graphql(REMOVE, { id: certain }))
  const startMs = performance.now()
  await until('refused, whichever worker answers', async () => {
    const statuses = await statusesOf(client, 'q', UNION)
    return statuses.length === 1 && statuses[0] === 403
  }, 20_000)
  showFigure(t, 'refused by every worker after', performance.now() - startMs, 1_000)
  const second = marked.allowances.find(({ grade }) => grade !== 'certain')!.id
  t.match(JSON.parse((await neko(dataDir, ['allowances', 'remove', second, '--json'])).stdout), { allowance: { id: second } })
  t.equal((await neko(dataDir, ['allowances', 'remove', second])).code, 1, 'once')

  await server.stop()
  const after = createTestClient(t, await startServer(t, { dataDir, env: { ...ENV, WORKERS: '1' } }))
  t.same(await statusesOf(after, 'q', UNION, 1), [403], 'what was removed does not come back with a restart')
  t.same(await statusesOf(after, 'name', NAME, 1), [404], 'and what was not stands')
  t.same(await toldOf(await asAdmin(after)), ['allowance.remove OK system', 'allowance.remove OK user', 'falsePositive.mark OK user', 'falsePositive.mark OK user', 'falsePositive.mark REFUSED user', 'falsePositive.mark REFUSED user', 'falsePositive.mark REFUSED user'])
})
