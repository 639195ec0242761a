import t from 'tap'
import { getNamedType, getNullableType, isCompositeType, isEnumType, isInputObjectType, isListType, isNonNullType, type GraphQLArgument, type GraphQLField, type GraphQLInputType } from 'graphql'
import { rooms } from '../../src/rooms.ts'
import { buildNekoSchema } from '../../src/schema/build-schema.ts'
import { openInspector } from '../inspector.ts'
import { until } from '../processes/load.ts'
import { startServer, type StartedServer, type Teardown } from '../server.ts'

/**
 * Who may do what, swept over the whole schema, and operators and prototype keys in every argument. What each role
 * may change is written down here once more, so that a directive changed by mistake is seen.
 */
const schema = buildNekoSchema(rooms)
const queries = Object.values(schema.getQueryType()!.getFields())
const mutations = Object.values(schema.getMutationType()!.getFields())
const PUBLIC = ['threatCounts', 'threatActors', 'threatActor', 'stats', 'health', 'rateLimit', 'login', 'refreshToken']
const OWN = ['logout', 'changePassword']
const ANALYST = ['assess', 'markFalsePositive', 'removeAllowance', 'addDecision', 'removeDecision', 'acknowledgeIncident', 'resolveIncident', 'runPlaybook']
const ADMIN_QUERIES = ['users', 'apiKeys', 'auditEvents', 'auditCheckpoint', 'cacheStats', 'webhookDeadLetters']
const PASSWORD = 'a pass phrase for this row'

type Caller = 'anonymous' | 'viewer' | 'analyst' | 'admin'
interface Answer { status: number, code: string | null, data: Record<string, unknown> | null, text: string }

function isOpenTo (caller: Caller, name: string, isMutation: boolean): boolean {
  if (PUBLIC.includes(name) || caller === 'admin') return true
  if (caller === 'anonymous') return false
  if (!isMutation) return !ADMIN_QUERIES.includes(name)
  return OWN.includes(name) || (caller === 'analyst' && ANALYST.includes(name))
}

/** A value that fits the type: enough for the resolver to be reached. */
function plausible (type: GraphQLInputType, id = 'x'): unknown {
  const nullable = getNullableType(type)
  if (isListType(nullable)) return [plausible(nullable.ofType, id)]
  if (isEnumType(nullable)) return nullable.getValues()[0]!.name
  if (isInputObjectType(nullable)) return Object.fromEntries(Object.values(nullable.getFields()).filter((field) => isNonNullType(field.type)).map((field) => [field.name, plausible(field.type, id)]))
  const name = getNamedType(nullable).name
  return name === 'Int' || name === 'Float' ? 1 : name === 'Boolean' ? true : name === 'DateTime' ? '2030-01-01T00:00:00Z' : id
}

/** A document that asks for the one field, with each argument as a variable of its name. */
function documentFor (operation: string, field: GraphQLField<unknown, unknown>, args: readonly GraphQLArgument[]): string {
  const declared = args.length === 0 ? '' : `(${args.map((argument) => `$${argument.name}: ${argument.type}`).join(', ')})`
  const given = args.length === 0 ? '' : `(${args.map((argument) => `${argument.name}: $${argument.name}`).join(', ')})`
  return `${operation} ${declared} { ${field.name}${given} ${isCompositeType(getNamedType(field.type)) ? '{ __typename }' : ''} }`
}

const requiredOf = (field: GraphQLField<unknown, unknown>): GraphQLArgument[] => field.args.filter((argument) => isNonNullType(argument.type) && argument.defaultValue === undefined)

interface Scene { server: StartedServer, ask (caller: string, body: object | string): Promise<Answer>, ids: Record<string, string> }

/** A server with an administrator, two viewers and an analyst, a key, a decision: everything that has an id. */
async function setScene (t: Teardown): Promise<Scene> {
  const server = await startServer(t, {
    env: { NODE_OPTIONS: '--inspect=127.0.0.1:0', ENFORCEMENT: 'shadow', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '1000000/60/0', RATE_LIMIT_RELAXED: '1000000/60/0', RATE_LIMIT_MAX: '1000000', RATE_LIMIT_STRICT: '1000/60/0' }
  })
  const tokens: Record<string, string> = {}
  const ask: Scene['ask'] = async (caller, body) => {
    const answer = await fetch(`${server.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json', ...(tokens[caller] === undefined ? {} : { authorization: `Bearer ${tokens[caller]}` }) }, body: typeof body === 'string' ? body : JSON.stringify(body) })
    const text = await answer.text()
    const { data = null, errors } = JSON.parse(text) as { data?: Record<string, unknown> | null, errors?: Array<{ extensions: { code: string } }> }
    return { status: answer.status, code: errors?.[0]?.extensions.code ?? null, data, text }
  }
  const login = async (name: string, username = name): Promise<void> => {
    const { data, text } = await ask('nobody', { query: 'mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { accessToken } }', variables: { u: username, p: PASSWORD } })
    const token = (data?.login as { accessToken?: string } | null)?.accessToken
    if (token === undefined) throw new Error(text)
    tokens[name] = token
  }
  const made = async (query: string): Promise<{ id: string }> => {
    const { data, text } = await ask('admin', { query })
    const object = Object.values(data ?? {})[0] as { id: string } | undefined
    if (object === undefined || object === null) throw new Error(text)
    return object
  }
  await login('admin')
  const ids: Record<string, string> = {}
  for (const [name, role] of [['viewer', 'VIEWER'], ['other', 'VIEWER'], ['analyst', 'ANALYST']] as const) {
    ids[name] = (await made(`mutation { createUser(username: "${name}", password: "${PASSWORD}", role: ${role}) { id } }`)).id
    await login(name)
  }
  ids.key = ((await made('mutation { createApiKey(name: "k", scopes: ["read"]) { apiKey { id } } }') as unknown as { apiKey: { id: string } }).apiKey).id
  ids.decision = (await made('mutation { addDecision(scope: IP, value: "203.0.113.9", action: BLOCK, reason: "row") { id } }')).id
  ids.actor = (await made('mutation { addThreatActor(input: { name: "Row Forty-Five" }) { id } }')).id
  return { server, ask, ids }
}

const { server, ask, ids } = await setScene(t)

t.test('every root field is open to whom the contract says, and to nobody else', async (t) => {
  let asked = 0
  for (const [operation, fields] of [['query', queries], ['mutation', mutations]] as const) {
    for (const field of fields) {
      for (const caller of ['anonymous', 'viewer', 'analyst', 'admin'] as const) {
        const isOpen = isOpenTo(caller, field.name, operation === 'mutation')
        // What is open and changes something is not tried: the refusals are what this row is about.
        if (isOpen && operation === 'mutation') continue
        const args = requiredOf(field)
        const variables = Object.fromEntries(args.map((argument) => [argument.name, plausible(argument.type)]))
        const { status, code, data } = await ask(caller, { query: documentFor(operation, field, args), variables })
        asked++
        const refusal = caller === 'anonymous' ? ['NEKO_ERR_UNAUTHENTICATED', 401] : ['NEKO_ERR_FORBIDDEN', 403]
        if (isOpen) t.notOk(code === 'NEKO_ERR_UNAUTHENTICATED' || code === 'NEKO_ERR_FORBIDDEN', `${caller} may ${field.name}`)
        else t.same([code, status, data?.[field.name] ?? null], [...refusal, null], `${caller} may not ${field.name}`)
      }
    }
  }
  t.comment(`${queries.length} queries and ${mutations.length} mutations, ${asked} asked`)
})

t.test('nobody reaches an object of others by its id', async (t) => {
  let tried = 0
  for (const [operation, fields] of [['query', queries], ['mutation', mutations]] as const) {
    for (const field of fields.filter(({ name, args }) => !PUBLIC.includes(name) && args.some((argument) => /^(id|.*Id)$/.test(argument.name)))) {
      for (const caller of ['anonymous', 'viewer', 'analyst'] as const) {
        if (isOpenTo(caller, field.name, operation === 'mutation')) continue
        for (const id of Object.values(ids)) {
          const args = requiredOf(field)
          const variables = Object.fromEntries(args.map((argument) => [argument.name, plausible(argument.type, id)]))
          const { status, data } = await ask(caller, { query: documentFor(operation, field, args), variables })
          tried++
          t.same([status === 401 || status === 403, data?.[field.name] ?? null], [true, null], `${caller}: ${field.name}(${id})`)
        }
      }
    }
  }
  // What each sees of himself is his own, and what one ends is his own session.
  for (const name of ['viewer', 'other', 'analyst']) t.equal(((await ask(name, { query: '{ me { username } }' })).data?.me as { username: string }).username, name)
  t.same((await ask('viewer', { query: 'mutation { logout }' })).data, { logout: true })
  t.equal((await ask('other', { query: '{ me { username } }' })).status, 200)
  t.equal((await ask('viewer', { query: '{ me { username } }' })).status, 401)
  const { data } = await ask('admin', { query: `{ decision(id: "${ids.decision}") { id action } users(first: 10) { nodes { username role disabled } } apiKeys { nodes { revokedAt } } }` })
  t.match(data, { decision: { id: ids.decision, action: 'BLOCK' }, apiKeys: { nodes: [{ revokedAt: null }] } }, 'nothing was changed')
  t.ok((data?.users as { nodes: Array<{ disabled: boolean }> }).nodes.every((user) => !user.disabled))
  t.comment(`${tried} foreign objects asked for`)
})

const OPERATORS = ['{"$ne":null}', '{"$where":"1"}', '{"a.b":1}', '{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}', '{"prototype":1}', '[{"x":{"$gt":""}}]']

t.test('operators and prototype keys are refused in every argument, counted and recorded', async (t) => {
  const inspector = await openInspector(server)
  t.teardown(() => inspector.close())
  const shape = 'Object.getOwnPropertyNames(Object.prototype).sort().join() + ({}).polluted'
  const before = await inspector.evaluate(shape)
  let refused = 0
  for (const [operation, fields] of [['query', queries], ['mutation', mutations]] as const) {
    for (const field of fields) {
      for (const argument of field.args) {
        const args = [...new Set([...requiredOf(field), argument])]
        for (const operator of OPERATORS) {
          const variables = args.map((one) => `${JSON.stringify(one.name)}:${one === argument ? operator : JSON.stringify(plausible(one.type))}`).join()
          const { status, code, data } = await ask('admin', `{"query":${JSON.stringify(documentFor(operation, field, args))},"variables":{${variables}}}`)
          t.same([status, code, data], [400, 'NEKO_ERR_KEY_FORBIDDEN', null], `${field.name}(${argument.name}: ${operator})`)
          refused++
        }
        // The same as a text is a text, and what has no forbidden key is no value of the argument's type.
        const { code } = await ask('admin', { query: documentFor(operation, field, args), variables: Object.fromEntries(args.map((one) => [one.name, one === argument ? { ne: 1 } : plausible(one.type)])) })
        t.equal(code, 'NEKO_ERR_INPUT_INVALID', `${field.name}(${argument.name}: {ne: 1})`)
      }
    }
  }
  for (const path of ['/graphql?query={health{status}}&a[$ne]=1', '/graphql?query={health{status}}&$where=1', '/graphql?query={health{status}}&a.b=1', '/graphql?query={health{status}}&__proto__[x]=1', '/graphql?query={health{status}}&a[constructor]=1', `/graphql?query={health{status}}&variables=${encodeURIComponent('{"a":{"$ne":1}}')}`]) {
    const answer = await fetch(server.url + path)
    t.same([answer.status, /NEKO_ERR_KEY_FORBIDDEN/.test(await answer.text())], [400, true], path)
    refused++
  }
  for (const query of ['{ constructor: health { status } }', '{ threatActors(search: { __proto__: 1 }) { totalCount } }']) {
    t.same(await ask('admin', { query }).then(({ status, code }) => [status, code]), [400, 'NEKO_ERR_KEY_FORBIDDEN'], query)
    refused++
  }
  t.equal(await inspector.evaluate(shape), before, 'Object.prototype is what it was')
  const metrics = await (await fetch(`${server.metricsUrl}/metrics`)).text()
  const counted = [...metrics.matchAll(/^neko_forbidden_keys_total\{place="\w+"\} (\d+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0)
  t.equal(counted, refused)
  const recorded = async (): Promise<{ totalCount: number, nodes: object[] }> => {
    const { data } = await ask('admin', { query: '{ auditEvents(category: SECURITY, type: "key.forbidden", first: 1) { totalCount nodes { outcome actor details } } }' })
    return data?.auditEvents as { totalCount: number, nodes: object[] }
  }
  // The index follows the log by up to a hundred events, at once or within ten seconds.
  const { totalCount, nodes } = await until('they are recorded', async () => {
    const found = await recorded()
    return found.totalCount >= refused - 100 ? found : null
  }, 20_000)
  t.match(nodes, [{ outcome: 'REFUSED' }])
  t.comment(`${refused} refused and counted, ${totalCount} recorded so far`)
})

t.test('the headers of a request to assess are other people\'s, its other keys are not', async (t) => {
  const { data } = await ask('admin', { query: 'mutation { createApiKey(name: "gateway", scopes: ["assess"]) { key } }' })
  const key = (data?.createApiKey as { key: string }).key
  const assess = async (body: string): Promise<{ status: number, text: string }> => {
    const answer = await fetch(`${server.url}/v1/assess`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-api-key': key }, body })
    return { status: answer.status, text: await answer.text() }
  }
  const foreign = await assess('{"requests":[{"method":"POST","url":"/x","headers":{"__proto__":"x","$where":"y","a.b":"z","constructor":"c"},"body":"{\\"$ne\\":1}"}]}')
  t.equal(foreign.status, 200, foreign.text)
  for (const body of ['{"requests":[{"method":"GET","url":"/","$ne":1}]}', '{"requests":[{"method":"GET","url":"/"}],"__proto__":{"act":true}}', '{"requests":{"constructor":1}}']) {
    const answer = await assess(body)
    t.same([answer.status, JSON.parse(answer.text).error?.code], [400, 'NEKO_ERR_KEY_FORBIDDEN'], body)
  }
})
