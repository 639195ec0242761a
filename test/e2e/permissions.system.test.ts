import { readFileSync } from 'node:fs'
import { isEnumType, isInputObjectType, isListType, isNonNullType, isScalarType, buildSchema, getNamedType, isObjectType } from 'graphql'
import type { GraphQLInputType } from 'graphql'
import t from 'tap'
import WebSocket from 'ws'
import type { Teardown } from '../server.ts'
import { openApp, type TestApp } from '../transaction/app.ts'
import { PASSWORD, asAdmin, bearer, createTestClient, dataOf, makeKey } from './client.ts'
import type { TestClient } from './client.ts'

/**
 * Every root field of the schema for every kind of caller: exactly the permission that the table says, and a field that
 * is not in the table fails the test. What is permitted may still fail for its arguments: only the permission counts.
 */
type Need = 'public' | 'signed in' | 'a person' | 'read' | 'assess' | 'decide' | 'manage'
const NEEDS: Record<string, Record<string, Need>> = {
  Query: {
    threatCounts: 'public',
    threatActors: 'public',
    threatActor: 'public',
    stats: 'public',
    health: 'public',
    rateLimit: 'public',
    me: 'signed in',
    threats: 'read',
    assessment: 'read',
    decisions: 'read',
    decision: 'read',
    incidents: 'read',
    incident: 'read',
    playbooks: 'read',
    allowances: 'read',
    auditEvents: 'manage',
    auditCheckpoint: 'manage',
    breakers: 'read',
    cluster: 'read',
    cacheStats: 'manage',
    users: 'manage',
    apiKeys: 'manage',
    webhookDeadLetters: 'manage'
  },
  Mutation: {
    login: 'public',
    refreshToken: 'public',
    logout: 'signed in',
    changePassword: 'a person',
    assess: 'assess',
    addDecision: 'decide',
    removeDecision: 'decide',
    acknowledgeIncident: 'decide',
    resolveIncident: 'decide',
    markFalsePositive: 'decide',
    removeAllowance: 'decide',
    runPlaybook: 'decide',
    clearCache: 'manage',
    createUser: 'manage',
    setUserRole: 'manage',
    disableUser: 'manage',
    enableUser: 'manage',
    createApiKey: 'manage',
    rotateApiKey: 'manage',
    revokeApiKey: 'manage',
    addThreatActor: 'manage',
    updateThreatActor: 'manage',
    removeThreatActor: 'manage',
    replayWebhook: 'manage'
  },
  Subscription: { assessmentAdded: 'read', incidentChanged: 'read', decisionChanged: 'read' }
}
const schema = buildSchema(readFileSync(new URL('../schema.graphql', import.meta.url), 'utf8'))

interface Caller { name: string, headers: Record<string, string>, scopes: string[] | null }

function mayAsk (caller: Caller, need: Need): boolean {
  if (need === 'public') return true
  if (caller.scopes === null) return false
  if (need === 'a person') return !caller.name.includes('key')
  return need === 'signed in' || caller.scopes.includes(need)
}

/** A value that the type takes, and that names nothing that is there. */
function valueOf (type: GraphQLInputType): unknown {
  if (isNonNullType(type)) return valueOf(type.ofType)
  if (isListType(type)) return [valueOf(type.ofType)]
  if (isEnumType(type)) return type.getValues()[0]!.name
  if (isInputObjectType(type)) return Object.fromEntries(Object.values(type.getFields()).filter((field) => isNonNullType(field.type)).map((field) => [field.name, valueOf(field.type)]))
  if (isScalarType(type)) return { Int: 1, Float: 1, Boolean: true, DateTime: '2030-01-01T00:00:00.000Z' }[type.name] ?? 'none'
  return null
}

function operationOf (root: string, name: string): { query: string, variables: Record<string, unknown> } {
  const field = schema.getType(root)
  if (!isObjectType(field)) throw new Error(root)
  const { args, type } = field.getFields()[name]!
  const needed = args.filter((arg) => isNonNullType(arg.type) && arg.defaultValue === undefined)
  const variables = Object.fromEntries(needed.map((arg) => [arg.name, valueOf(arg.type)]))
  const declared = needed.length === 0 ? '' : `(${needed.map((arg) => `$${arg.name}: ${String(arg.type)}`).join(', ')})`
  const given = needed.length === 0 ? '' : `(${needed.map((arg) => `${arg.name}: $${arg.name}`).join(', ')})`
  return { query: `${root.toLowerCase()} ${declared} { ${name}${given} ${isObjectType(getNamedType(type)) ? '{ __typename }' : ''} }`, variables }
}

async function callersOf (admin: TestClient, client: TestClient): Promise<Caller[]> {
  const callers: Caller[] = [{ name: 'anonymous', headers: {}, scopes: null }]
  for (const [role, scopes] of [['VIEWER', ['read']], ['ANALYST', ['read', 'assess', 'decide']], ['ADMIN', ['read', 'assess', 'decide', 'manage']]] as const) {
    await dataOf(admin.graphql('mutation ($u: String!, $p: String!, $r: Role!) { createUser(username: $u, password: $p, role: $r) { id } }', { u: `the-${role.toLowerCase()}`, p: PASSWORD, r: role }))
    callers.push({ name: role, headers: bearer((await client.login(`the-${role.toLowerCase()}`, PASSWORD)).accessToken), scopes: [...scopes] })
  }
  for (const scope of ['read', 'assess', 'decide', 'manage']) callers.push({ name: `a key for ${scope}`, headers: { 'x-api-key': (await makeKey(admin, [scope])).key }, scopes: [scope] })
  return callers
}

async function started (t: Teardown): Promise<{ server: TestApp, callers: Caller[] }> {
  const server = await openApp(t, { ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_STRICT: '1000/60/0', RATE_LIMIT_STANDARD: '10000/60/0', RATE_LIMIT_RELAXED: '10000/60/0', RATE_LIMIT_MAX: '10000', ENFORCEMENT: 'shadow' })
  const client = createTestClient(t, server)
  return { server, callers: await callersOf(await asAdmin(client), client) }
}

t.test('the table names every root field, and none that is not there', (t) => {
  for (const [root, needs] of Object.entries(NEEDS)) {
    const type = schema.getType(root)
    t.same(Object.keys(needs).sort(), isObjectType(type) ? Object.keys(type.getFields()).sort() : [], root)
  }
  t.end()
})

t.test('queries and mutations: each caller has exactly the documented permission', async (t) => {
  const { server, callers } = await started(t)
  const client = createTestClient(t, server)
  let asked = 0
  for (const root of ['Query', 'Mutation']) {
    for (const [name, need] of Object.entries(NEEDS[root]!)) {
      // These end the session that the next ones need.
      if (name === 'logout') continue
      const { query, variables } = operationOf(root, name)
      for (const caller of callers) {
        const { status, text, json } = await client.as(caller.headers).graphql(query, variables)
        const codes = ((json as { errors?: Array<{ extensions: { code: string } }> }).errors ?? []).map(({ extensions }) => extensions.code)
        asked++
        if (need !== 'public' && mayAsk(caller, need)) t.notOk(codes.includes('NEKO_ERR_FORBIDDEN') || (codes.includes('NEKO_ERR_UNAUTHENTICATED') && name !== 'changePassword'), `${caller.name} may ${name}: ${text.slice(0, 160)}`)
        else if (need !== 'public') t.same([status, codes[0]], caller.scopes === null ? [401, 'NEKO_ERR_UNAUTHENTICATED'] : [403, 'NEKO_ERR_FORBIDDEN'], `${caller.name} may not ${name}`)
        else t.notOk(codes.includes('NEKO_ERR_FORBIDDEN'), `${name} is open to ${caller.name}`)
        t.notMatch(codes, ['NEKO_ERR_INTERNAL'], `${caller.name} ${name}: ${text.slice(0, 200)}`)
      }
    }
  }
  t.comment(`${asked} operations`)
  for (const caller of callers.reverse()) {
    const { json, status } = await client.as(caller.headers).graphql('mutation { logout }')
    if (caller.scopes === null) t.equal(status, 401)
    else t.match(json, { data: { logout: !caller.name.includes('key') } }, `logout by ${caller.name}`)
  }
})

t.test('subscriptions: the same over WebSocket', async (t) => {
  const { server, callers } = await started(t)
  for (const caller of callers) {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers: { 'user-agent': 'Mozilla/5.0' } })
    const messages: Array<{ type: string, id?: string, payload?: Array<{ extensions: { code: string } }> }> = []
    const errors = new Map<string, string>()
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no end for ${caller.name}: ${JSON.stringify(messages)}`)), 20_000)
      socket.on('error', reject)
      socket.on('open', () => socket.send(JSON.stringify({ type: 'connection_init', payload: caller.headers })))
      socket.on('message', (data) => {
        const message = JSON.parse(String(data)) as (typeof messages)[number]
        messages.push(message)
        if (message.type === 'connection_ack') {
          for (const name of Object.keys(NEEDS.Subscription!)) socket.send(JSON.stringify({ type: 'subscribe', id: name, payload: operationOf('Subscription', name) }))
          // Answered after the subscriptions, and asked again then: whatever is refused was refused by then.
          socket.send(JSON.stringify({ type: 'subscribe', id: 'last', payload: { query: '{ health { status } }' } }))
        }
        if (message.type === 'error') errors.set(message.id!, message.payload![0]!.extensions.code)
        const expected = caller.scopes?.includes('read') === true ? 0 : 3
        if (message.type !== 'complete' || !/^(last|again)$/.test(message.id!)) return
        if (message.id === 'again' && errors.size >= expected) {
          clearTimeout(timer)
          resolve()
        } else socket.send(JSON.stringify({ type: 'subscribe', id: 'again', payload: { query: '{ health { status } }' } }))
      })
      socket.on('close', (code) => { clearTimeout(timer); reject(new Error(`closed ${code} for ${caller.name}`)) })
    }).catch((error: Error) => t.fail(error.message))
    for (const [name, need] of Object.entries(NEEDS.Subscription!)) {
      t.equal(errors.get(name), mayAsk(caller, need) ? undefined : caller.scopes === null ? 'NEKO_ERR_UNAUTHENTICATED' : 'NEKO_ERR_FORBIDDEN', `${caller.name}: ${name}`)
    }
    socket.removeAllListeners('close')
    socket.terminate()
  }
})
