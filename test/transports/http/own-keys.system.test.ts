import t from 'tap'
import { asAdmin, createTestClient, makeKey, PASSWORD, type Reply, type TestClient } from '../../e2e/client.ts'
import { startServer } from '../../server.ts'
import { openApp } from '../../transaction/app.ts'

/**
 * Operators and prototype keys in NEKO's own arguments are a mistake or a probe: 400, counted and recorded, and no more. In
 * what others saw they stay evidence. NEVER_BLOCK does not cover this host here, so that a standing block would show.
 */
const ENV = { ADMIN_PASSWORD: PASSWORD, NEVER_BLOCK: '192.0.2.1/32', LOG_LEVEL: 'warn' }
const JSON_TYPE = { 'content-type': 'application/json' }
const HEALTH = '{ health { status } }'
const code = ({ status, json }: Reply): unknown => {
  const body = json as { error?: { code: string }, errors?: Array<{ extensions: { code: string } }> }
  return `${status} ${body.error?.code ?? body.errors?.[0]?.extensions.code ?? 'none'}`
}
const post = async (client: TestClient, path: string, body: string): Promise<Reply> => await client.ask(path, { method: 'POST', headers: JSON_TYPE, body })
const variables = (text: string): string => `{"query":"query ($a: String) { threatActors(search: $a) { totalCount } }","variables":{"a":${text}}}`

const BODIES = ['{"$ne":null}', '{"$where":"1"}', '{"$gt":""}', '{"a.b":1}', '{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}', '{"prototype":1}', '[{"x":{"$regex":"^a"}}]', '{"class.module.x":1}']
const QUERIES = ['a[$ne]=1', '$where=1', 'a.b=1', '__proto__[x]=1', 'constructor[prototype][x]=1', 'a[constructor]=1', `variables=${encodeURIComponent('{"a":{"$ne":1}}')}`, `variables=${encodeURIComponent('{"__proto__":{"a":1}}')}`, `extensions=${encodeURIComponent('{"a":{"$ne":1}}')}`]
const REFUSED = '400 NEKO_ERR_KEY_FORBIDDEN'

t.test('forbidden keys in our own arguments are 400 for everybody, recorded, and ban nobody', async (t) => {
  const server = await startServer(t, { env: ENV })
  const anyone = createTestClient(t, server)
  const admin = await asAdmin(anyone)
  const gateway = anyone.as({ 'x-api-key': (await makeKey(admin, ['assess'])).key })
  let refused = 0
  const isRefused = (answer: Reply, what: string): void => {
    t.equal(code(answer), REFUSED, what)
    refused++
  }
  for (const [name, client] of Object.entries({ anyone, admin })) {
    for (const body of BODIES) isRefused(await post(client, '/graphql', variables(body)), `${name}: ${body}`)
    for (const query of QUERIES) isRefused(await client.ask(`/graphql?query=${encodeURIComponent(HEALTH)}&${query}`), `${name}: ${query}`)
    isRefused(await post(client, '/graphql', `{"query":"${HEALTH}","__proto__":{"admin":true}}`), `${name}: beside the query`)
    isRefused(await post(client, '/graphql', '{"query":"{ constructor: health { status } }"}'), `${name}: in the document`)
  }
  for (const body of ['{"requests":[{"method":"GET","url":"/","$ne":1}]}', '{"requests":[{"method":"GET","url":"/"}],"__proto__":{"act":true}}', '{"requests":{"constructor":1}}']) isRefused(await post(gateway, '/v1/assess', body), body)
  isRefused(await admin.ask('/v1/intel/import?format[$ne]=stix', { method: 'POST', headers: JSON_TYPE, body: '{}' }), 'of an import')

  t.equal(code(await anyone.graphql(HEALTH)), '200 none', 'nobody is banned')
  const { data } = (await admin.graphql('{ decisions { totalCount } auditEvents(category: SECURITY, type: "key.forbidden", first: 1) { totalCount } }')).json as { data: { decisions: { totalCount: number }, auditEvents: { totalCount: number } } }
  t.equal(data.decisions.totalCount, 0)
  // The index follows the log by up to a hundred events.
  t.ok(data.auditEvents.totalCount > 0 || refused < 100)
  const metrics = await (await fetch(`${server.metricsUrl}/metrics`)).text()
  t.equal([...metrics.matchAll(/^neko_forbidden_keys_total\{[^}]*\} (\d+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0), refused)
})

t.test('beside an attack a forbidden key changes nothing, and in what others saw it refuses', async (t) => {
  const server = await openApp(t, { ...ENV, NEVER_BLOCK: '127.0.0.0/8', SCORING_MODE: 'inline' })
  const anyone = createTestClient(t, server)
  t.equal(code(await post(anyone, '/graphql', variables('{"$ne":"1\' UNION SELECT name, pass FROM users-- "}'))), '403 NEKO_ERR_BLOCKED')
  t.equal(code(await post(anyone, '/api/users', '{"username":{"$ne":null},"password":{"$ne":null}}')), '403 NEKO_ERR_BLOCKED', 'on an unknown route')
  const admin = await asAdmin(anyone)
  const foreign = [
    { method: 'POST', url: '/login', headers: JSON_TYPE, body: '{"username":{"$ne":null},"password":{"$ne":null}}' },
    { method: 'GET', url: '/users?name[$gt]=' },
    { method: 'POST', url: '/merge', headers: JSON_TYPE, body: '{"__proto__":{"isAdmin":true}}' },
    { method: 'POST', url: '/graphql', headers: JSON_TYPE, body: variables('{"$ne":null}') }
  ]
  const { assessments } = (await post(admin, '/v1/assess', JSON.stringify({ requests: foreign }))).json as { assessments: Array<{ action: string, factors: Array<{ evidence: Array<{ rule: string, grade: string }> }> }> }
  t.same(assessments.map(({ action }) => action), foreign.map(() => 'BLOCK'))
  for (const { factors } of assessments) for (const one of factors.flatMap(({ evidence }) => evidence)) if (/key$/.test(one.rule)) t.not(one.grade, 'certain', `a key alone is no ground for a ban: ${one.rule}`)
})
