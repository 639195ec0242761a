import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { neko as runNeko } from './neko.ts'
import { connect } from '../transports/websocket/client.ts'
import { PASSWORD, asAdmin, createTestClient, dataOf, makeKey, type Call, type TestClient } from './client.ts'
import { startServer, type StartedServer, type Teardown } from '../server.ts'

/**
 * Secrets in every place that a request has, beside attacks, so that receipts are stored, incidents open and webhooks
 * go out: none of them is readable anywhere afterwards.
 */
const ATTACK = "1' UNION SELECT username, name FROM users WHERE 1=1--"

/** Secrets as they are planted, each once, with the place that it is planted in. */
class Plants {
  readonly places = new Map<string, string>()

  /** A password of our own making. */
  at (place: string): string {
    const secret = `Zq${this.places.size.toString().padStart(3, '0')}hUnter${(this.places.size * 7919).toString(36)}x7`
    this.places.set(secret, place)
    return secret
  }

  /** A whole token; found where its random part is. */
  token (place: string, prefix: string): string {
    return prefix + this.at(place).toLowerCase().padEnd(40, '0')
  }

  /** Places whose secret stands in the text, whatever its case, and in base64 of it. */
  foundIn (text: string): string[] {
    const folded = text.toLowerCase()
    const decoded = (text.match(/[A-Za-z0-9+/]{40,}={0,2}/g) ?? []).map((one) => Buffer.from(one, 'base64').toString('latin1').toLowerCase())
    return [...this.places].filter(([secret]) => folded.includes(secret.toLowerCase()) || decoded.some((one) => one.includes(secret.toLowerCase()))).map(([, place]) => place)
  }
}

const form = { 'content-type': 'application/x-www-form-urlencoded' }
const json = { 'content-type': 'application/json' }
const asForm = (fields: object): string => String(new URLSearchParams(fields as Record<string, string>))
const LOGIN = 'mutation ($a: String!, $b: String!) { login(username: $a, password: $b) { accessToken } }'

/** Requests by HTTP with a secret each, and the attack beside it. */
function httpRequests (plants: Plants): Array<[path: string, call?: Call]> {
  const at = (place: string): string => plants.at(place)
  const beside = `&q=${encodeURIComponent(ATTACK)}`
  const get = (query: string): [string] => [`/shop?${query}${beside}`]
  const attacking = (headers: Record<string, string>): [string, Call] => [`/shop?a=1${beside}`, { headers }]
  const post = (headers: Record<string, string>, body: string): [string, Call] => ['/login.php', { method: 'POST', headers, body }]
  const graphql = (query: string, variables: object = {}, more: object = {}): [string, Call] =>
    ['/graphql', { method: 'POST', headers: json, body: JSON.stringify({ query, variables, ...more }) }]
  const names = ['pw', 'pass1', 'userpass', '2fa', 'token2', 'user[pw]', 'password', 'accessToken', 'sid']
  const headers = ['x-session', 'ocp-apim-subscription-key', 'x-key', 'x-api-key2', 'x-auth-token', 'x-csrf-token', 'proxy-authorization']
  return [
    ...names.map((name) => get(`${encodeURIComponent(name)}=${at(`query.${name}`)}`)),
    get(`next=${encodeURIComponent(`//bob:${at('user info without a scheme')}@h.example/x`)}`),
    get(`next=${encodeURIComponent(`ftp:${'//'}bob:a@${at('user info with a sign in it')}@h.example/x`)}`),
    get(`t=${plants.token('query, our refresh token', 'nekr_se_0123456789abcdefghij_')}`),
    get(`${plants.token('query, a name that is our key', 'neko_')}=1`),
    get(`x=${encodeURIComponent(`mysql --password ${at('option of a command')} -h x`)}`),
    get(`x=${encodeURIComponent(`["password","${at('list in a query')}"]`)}`),
    [`/reset;token=${at('path parameter')}/x?a=1${beside}`],
    [`/reset/password/${at('path segment behind a name')}?a=1${beside}`],
    [`/${plants.token('path, our key', 'neko_0123456789abcdef_')}/x?a=1${beside}`],
    ...headers.map((name) => attacking({ [name]: at(`header.${name}`) })),
    attacking({ authorization: `Bearer ${at('bearer')}` }),
    attacking({ authorization: `Basic ${Buffer.from(`bob:${at('basic')}`).toString('base64')}` }),
    attacking({ referer: `https://h.example/cb?id_token=${at('referer')}` }),
    attacking({ cookie: `session=${at('cookie')}; theme=dark` }),
    attacking({ cookie: `${at('cookie name')}=1` }),
    attacking({ 'sec-websocket-protocol': `graphql-transport-ws, bearer.${at('protocol')}` }),
    attacking({ 'x-note': `curl -u bob:${at('option in a header')} https://x` }),
    ...names.map((name) => post(form, asForm({ user: 'bob', [name]: at(`form.${name}`), q: ATTACK }))),
    ...names.map((name) => post(json, JSON.stringify({ user: { [name]: at(`json.${name}`) }, q: ATTACK }))),
    post(json, JSON.stringify([['password', at('json list')], ['q', ATTACK]])),
    post(json, JSON.stringify({ list: [{ name: 'password', value: at('json pair') }], q: ATTACK })),
    post(json, `{"q":"${ATTACK}","password":"${at('json cut off')}`),
    post({ 'content-type': 'multipart/form-data; boundary=x' }, `--x\r\nContent-Disposition: form-data; name="pw"\r\n\r\n${at('multipart')}\r\n--x\r\nContent-Disposition: form-data; name="q"\r\n\r\n${ATTACK}\r\n--x--\r\n`),
    post({ 'content-type': 'multipart/form-data; boundary=x' }, `--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n${JSON.stringify({ query: LOGIN, variables: { a: at('multipart operations, user'), b: at('multipart operations') } })}\r\n--x--\r\n`),
    post({ 'content-type': 'text/xml' }, `<methodCall><methodName>x</methodName><params><param><value><struct><member><name>password</name><value><string>${at('XML-RPC')}</string></value></member><member><name>q</name><value>${ATTACK}</value></member></struct></value></param></params></methodCall>`),
    post({ 'content-type': 'text/xml' }, `<a><param name="password">${at('XML parameter')}</param><q>${ATTACK}</q></a>`),
    graphql(LOGIN, { a: at('password typed as the user name'), b: at('variable of any name') }),
    graphql(LOGIN, { a: `${at('attack as the user name')} ${ATTACK}`, b: `${ATTACK} ${at('attack as the password')}` }),
    graphql(`mutation { login(username: "${at('literal user name')}", password: "${at('literal')}") { accessToken } } # ${ATTACK}`),
    graphql(`mutation { login(username: ${at('bare user name')}, password: ${at('bare literal')}) { accessToken } } # ${ATTACK}`),
    graphql(`mutation ($p: String! = "${at('default')}") { login(username: "a", password: $p) { accessToken } } # ${ATTACK}`),
    graphql(`mutation { login(username: "a", password: "${at('broken literal')}"x") { accessToken } } # ${ATTACK}`),
    graphql(`mutation { login(username: """${at('block')}""", password: "b") { accessToken } } # ${ATTACK} ${at('comment')}`),
    graphql('mutation ($t: String!) { refreshToken(refreshToken: $t) { accessToken } }', { t: at('refresh token without a form') }),
    graphql('mutation ($t: String!) { refreshToken(refreshToken: $t) { accessToken } }', { t: plants.token('refresh token', 'nekr_se_0123456789abcdefghij_') }),
    graphql('mutation ($o: String!, $n: String!) { changePassword(currentPassword: $o, newPassword: $n) }', { o: at('old password'), n: at('new password') }),
    graphql('mutation ($n: String!, $x: String!) { createUser(username: $n, password: $x, role: VIEWER) { id } }', { n: at('name of a new user'), x: at('password of a new user') }),
    graphql('query ($s: String, $q: String) { threatActors(search: $s) { nodes { id } } x: threatActors(search: $q) { totalCount } }', { s: at('unnamed variable'), q: ATTACK, other: at('unused variable') }),
    graphql('mutation ($z: String) { other(input: { list: [{ pw: $z }] }, q: $q) { id } }', { z: `${at('variable bound through an object')} ${ATTACK}` }),
    graphql('{ health { status } }', { [at('name of a variable')]: 1 }, { extensions: { token: at('extension') } }),
    ['/graphql', { method: 'POST', headers: json, body: JSON.stringify([{ query: LOGIN, variables: { a: 'x', b: at('batch') } }, { query: `{ threatActors(search: "${ATTACK}") { totalCount } }` }]) }],
    ['/graphql', { method: 'POST', headers: { 'content-type': 'application/graphql' }, body: `mutation { login(username: "${at('application/graphql, user')}", password: "${at('application/graphql')}") { accessToken } } # ${ATTACK}` }],
    [`/graphql?query=${encodeURIComponent(LOGIN)}&variables=${encodeURIComponent(JSON.stringify({ a: at('GET, user'), b: `${ATTACK} ${at('GET')}` }))}`],
    [`/graphql?query=${encodeURIComponent(`mutation{login(username:"${at('GET literal, user')}",password:"${at('GET literal')}"){accessToken}}`)}${beside}`],
    ['/graphql', { method: 'POST', headers: form, body: asForm({ query: LOGIN, variables: JSON.stringify({ a: at('form, user'), b: `${ATTACK} ${at('form')}` }) }) }]
  ]
}

async function overSockets (t: Teardown, server: StartedServer, plants: Plants): Promise<void> {
  const at = (place: string): string => plants.at(place)
  const refused = await connect(t, server)
  refused.send({ type: 'connection_init', payload: { authorization: `Bearer ${at('connection_init')}`, 'x-api-key': at('connection_init key') } })
  await refused.closed
  const withHeaders = await connect(t, server, { headers: { 'x-session': at('header of the upgrade'), cookie: `sid=${at('cookie of the upgrade')}` } })
  await withHeaders.init({ note: at('connection_init, another member') })
  await withHeaders.ask(LOGIN, { a: at('socket, user'), b: `${ATTACK} ${at('socket')}` })
  await withHeaders.ask(`mutation { login(username: "${at('socket literal, user')}", password: "${at('socket literal')}") { accessToken } } # ${ATTACK}`)
  await withHeaders.ask('query ($s: String) { threatActors(search: $s) { totalCount } }', { s: ATTACK, more: at('socket, unused variable') })
  withHeaders.ws.close()
  await withHeaders.closed
}

/** Requests that others saw. */
async function samples (admin: TestClient, key: string, plants: Plants): Promise<void> {
  const at = (place: string): string => plants.at(place)
  const request = (place: string): object => ({ method: 'POST', url: `/a?pw=${at(`${place}, url`)}&q=${encodeURIComponent(ATTACK)}`, headers: [['x-session', at(`${place}, header`)], ['content-type', 'application/json']], body: JSON.stringify({ pw: at(`${place}, body`), q: ATTACK }) })
  const { body, ...rest } = request('assess, bytes') as { body: string }
  const requests = [request('assess'), { ...rest, body_b64: Buffer.from(body).toString('base64') }, { method: 'POST', url: 'https://h.example/graphql', headers: json, body: JSON.stringify({ query: LOGIN, variables: { a: at('assess, user'), b: `${at('assess, variable')} ${ATTACK}` } }) }]
  const done = await admin.as({ 'x-api-key': key }).ask('/v1/assess', { method: 'POST', headers: json, body: JSON.stringify({ requests, act: true }) })
  if (done.status !== 200) throw new Error(done.text)
  const asked = { method: 'POST', url: `/a?pw=${at('assess by GraphQL, url')}&q=${encodeURIComponent(ATTACK)}`, headers: [{ name: 'cookie', value: `a=${at('assess by GraphQL, cookie')}` }], body: asForm({ pw: at('assess by GraphQL, body'), q: ATTACK }) }
  await dataOf(admin.graphql('mutation ($r: [AssessRequest!]!) { assess(requests: $r) { id } }', { r: [asked] }))
}

async function neko ({ dataDir }: StartedServer, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await runNeko(dataDir, args)
  return stdout + stderr
}

const PAGE = 'pageInfo { hasNextPage endCursor }'
const LISTS: Record<string, string> = {
  threats: `nodes { id client method path score factors { name evidence } notInspected decision { reason } } ${PAGE}`,
  incidents: `nodes { attacker timeline { actor what } evidence { rule place text } assessments { nodes { path factors { evidence } } } } ${PAGE}`,
  auditEvents: `nodes { type actor target details } ${PAGE}`,
  decisions: `nodes { value reason origin } ${PAGE}`,
  webhookDeadLetters: `nodes { url body problem } ${PAGE}`
}

/** Every list to its end, as text, and the ids of the receipts. */
async function answersOf (admin: TestClient): Promise<{ texts: string[], ids: string[] }> {
  const texts: string[] = []
  const ids: string[] = []
  for (const [list, fields] of Object.entries(LISTS)) {
    for (let after: string | null = null, more = true; more;) {
      const reply = await admin.graphql(`query ($a: String) { ${list}(first: 50, after: $a) { ${fields} } }`, { a: after })
      const page: { nodes: Array<{ id: string }>, pageInfo: { hasNextPage: boolean, endCursor: string } } = (await dataOf<Record<string, never>>(Promise.resolve(reply)))[list]!
      texts.push(reply.text)
      if (list === 'threats') ids.push(...page.nodes.map(({ id }) => id))
      more = page.pageInfo.hasNextPage
      after = page.pageInfo.endCursor
    }
  }
  return { texts, ids }
}

function filesOf (folder: string): Array<[name: string, text: string]> {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile())
    .map((one) => [join(one.parentPath, one.name), readFileSync(join(one.parentPath, one.name), 'latin1')])
}

t.test('no planted secret is readable in the store, the log, the trail, a webhook or an answer', async (t) => {
  const plants = new Plants()
  const told: string[] = []
  const hook = createServer((request, response) => {
    let body = JSON.stringify(request.headers)
    request.on('data', (chunk: Buffer) => { body += chunk.toString() }).on('end', () => {
      told.push(body)
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(hook, 'listening')
  t.teardown(() => hook.close())
  const env = { ADMIN_PASSWORD: PASSWORD, ENFORCEMENT: 'shadow', RATE_LIMIT_STANDARD: '100000/60/0', RATE_LIMIT_STRICT: '100000/60/0', LOG_LEVEL: 'debug', WEBHOOK_URLS: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`, WEBHOOK_SECRET: 'a secret that signs webhooks of this test' }
  const server = await startServer(t, { env })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const { key } = await makeKey(admin, ['assess', 'decide'])

  const requests = httpRequests(plants)
  const ids: string[] = []
  for (const [path, call] of requests) ids.push(String((await client.ask(path, call)).headers['x-neko-assessment']))
  await overSockets(t, server, plants)
  await samples(admin, key, plants)
  t.comment(await neko(server, 'intel', 'import', `https:${'//'}bob:${plants.at('import, user info')}@127.0.0.1:9/${plants.token('import, path', 'neko_')}/feed.json?token=${plants.at('import, query')}`))
  await neko(server, 'intel', 'import', `https://127.0.0.1:9/${plants.at('import, a segment')}/feed.json`)
  t.ok(plants.places.size >= 100, `${plants.places.size} secrets`)

  const answers = await answersOf(admin)
  for (const id of ids) {
    answers.texts.push((await admin.graphql('query ($id: ID!) { assessment(id: $id) { path client factors { evidence } notInspected } }', { id })).text)
  }
  t.ok(answers.ids.length >= requests.length, `${answers.ids.length} receipts are stored`)
  for (const [at, id] of answers.ids.entries()) {
    if (at % 60 === 0) answers.texts.push(await neko(server, 'explain', id), await neko(server, 'replay', id))
  }
  t.same(plants.foundIn(answers.texts.join('\n')), [], 'answers')
  const running = filesOf(server.dataDir)
  t.ok(running.some(([name, text]) => name.endsWith('-wal') && text.length > 0), 'the write-ahead log of the store is there')
  await server.stop()
  for (const [name, text] of [...running, ...filesOf(server.dataDir)]) t.same(plants.foundIn(text), [], name)
  t.same(plants.foundIn(server.output()), [], 'the log')
  t.ok(told.length > 0, 'webhooks went out')
  t.same(plants.foundIn(told.join('\n')), [], 'webhooks')
  const stored = storedReceipts(server)
  t.same(plants.foundIn(stored.join('\n')), [], 'stored receipts')
  t.ok(stored.join('\n').toLowerCase().includes('union select'), 'what factors found is still there')
})

/** With bodies as they are read. */
function storedReceipts ({ dataDir }: StartedServer): string[] {
  const file = readdirSync(dataDir).find((name) => name.endsWith('.db') || name.endsWith('.sqlite'))
  const db = new DatabaseSync(join(dataDir, file as string), { readOnly: true })
  const rows = db.prepare('SELECT doc FROM c_assessments').all() as Array<{ doc: string }>
  db.close()
  return rows.map(({ doc }) => {
    const { observation } = JSON.parse(doc) as { observation: { bodyBase64: string | null } | null }
    return doc + Buffer.from(observation?.bodyBase64 ?? '', 'base64').toString('latin1')
  })
}
