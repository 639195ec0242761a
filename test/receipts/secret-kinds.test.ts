import { isInputObjectType, isObjectType, getNamedType, type GraphQLField, type GraphQLInputType, type GraphQLNamedType, type GraphQLOutputType } from 'graphql'
import t from 'tap'
import { newSecret } from '../../src/identity/new-key.ts'
import { SECRET_OPERATIONS } from '../../src/identity/shapes.ts'
import { isSecretName } from '../../src/receipts/secret-names.ts'
import { redactFactors } from '../../src/receipts/redact-evidence.ts'
import { redactObservation } from '../../src/receipts/redact.ts'
import { rooms } from '../../src/rooms.ts'
import { buildNekoSchema } from '../../src/schema/build-schema.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { scoreObservation } from '../../src/detect/score.ts'
import { observation } from '../detect/observations.ts'
import type { Observation } from '../../src/detect/shapes.ts'

/** Kinds of secrets, each with its neighbours: names in any spelling, forms, operations and the variables that feed them. */
const SECRET = 'hUnter7Zq9x'
const ATTACK = "1' UNION SELECT name FROM users WHERE 1=1--"

function stored (override: Partial<Observation>): string {
  const redacted = redactObservation(observation(override), { factors: [] })
  return JSON.stringify(redacted) + Buffer.from(redacted.bodyBase64 ?? '', 'base64').toString()
}

function posted (body: unknown): Partial<Observation> {
  return { method: 'POST', url: '/graphql', route: '/graphql', headers: ['content-type', 'application/json'], body: new TextEncoder().encode(JSON.stringify(body)) }
}

const spellings: Array<(words: string[]) => string> = [
  (words) => words.join('_'),
  (words) => words.join('-'),
  (words) => words.join('.'),
  (words) => words.join('_').toUpperCase(),
  (words) => words.map((word, at) => at === 0 ? word : word[0]!.toUpperCase() + word.slice(1)).join(''),
  (words) => words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('-'),
  (words) => `${words[0]}[${words.slice(1).join('_')}]`
]

t.test('names of secrets with any prefix, number, case and separator', async (t) => {
  const secrets = ['password', 'passwd', 'pwd', 'pw', 'pass', 'passphrase', '2fa', 'mfa', 'otp', 'totp', 'pin', 'token', 'secret', 'jwt', 'session', 'sid', 'auth', 'signature', 'credentials', 'subscription key', 'api key', 'access key']
  const missed: string[] = []
  for (const secret of secrets) {
    for (const spell of spellings) {
      for (const prefix of ['', 'user', 'x', 'new', 'my app']) {
        for (const number of ['', '1', '2', '_2', '-02']) {
          const words = [...(prefix === '' ? [] : prefix.split(' ')), ...secret.split(' ')]
          const name = spell(words) + number
          if (words.length === 1 && name.includes('[')) continue
          if (!isSecretName(name)) missed.push(name)
        }
      }
    }
  }
  t.same(missed, [])
  for (const name of ['userpass', 'dbpass', 'userpw', 'pass_confirm', 'passwordAgain', 'x-key', 'X-Key', 'x-functions-key', 'Ocp-Apim-Subscription-Key', 'x-foo-key', '2faCode', 'pass1']) t.ok(isSecretName(name), name)
  const plain = ['compass', 'bypass', 'passenger', 'passive', 'author', 'authors', 'spin', 'pipeline', 'pinned', 'design', 'sessions_count', 'session_count', 'tokens_used', 'keyword', 'monkey', 'sort_key', 'primary_key', 'cache-key', 'Sec-WebSocket-Key', 'inside', 'tango', 'q', 'page', 'user', 'name', 'email', 'id', 'path', 'pathway', 'upward']
  t.same(plain.filter(isSecretName), [])
})

t.test('our keys and tokens, and those of others, are known by their form in every place', async (t) => {
  const tail = SECRET.toLowerCase().padEnd(40, 'k7')
  const own = newSecret('0123456789abcdef', 0).key
  const forms = [`nekr_se_0123456789abcdefghij_0123456789abcdefghijklmn_${tail}`, `neko_0123456789abcdef_${tail}`, own, `eyJhbGciOiJIUzI1NiJ9.eyJz${SECRET}.c2ln${SECRET}`, `ghp_${tail}`, `glpat-${tail}`, `sk-ant-api03-${tail}`, `xoxb-1-${tail}`, `SG.${tail}`]
  const places: Array<(token: string) => Partial<Observation>> = [
    (token) => ({ url: `/x?a=${token}` }),
    (token) => ({ url: `/x?${token}` }),
    (token) => ({ url: `/x?${token}=1` }),
    (token) => ({ url: `/x/${token}/y` }),
    (token) => ({ url: `/x?a=${encodeURIComponent(`b c=${token}`)}` }),
    (token) => ({ url: `/x?a=${token.replace('_', '%5F')}` }),
    (token) => ({ headers: ['x-note', `see ${token} there`] }),
    (token) => ({ headers: [token, 'x'] }),
    (token) => ({ headers: ['cookie', `${token}=1`] }),
    (token) => posted({ a: [{ note: `see ${token}` }] }),
    (token) => posted({ [token]: 1 }),
    (token) => ({ body: new TextEncoder().encode(`<a><b>${token}</b></a>`) }),
    (token) => ({ body: new TextEncoder().encode(`a=1&b=${token}`) })
  ]
  for (const form of forms) {
    const end = form.slice(-12)
    for (const put of places) {
      const text = stored(put(form))
      t.notOk(text.includes(end) || text.includes(SECRET), `${form}: ${text.slice(0, 300)}`)
    }
  }
})

t.test('a secret is seen in the forms that have no separator', async (t) => {
  const hiding = [
    `mysql --password ${SECRET} -h db`, `cmd --api-key "${SECRET} x" run`, `curl -u bob:${SECRET} https://h.example`, `curl --user 'bob:${SECRET}' x`,
    `//bob:${SECRET}@h.example/x`, `ftp:${'//'}bob:a@${SECRET}@h.example`, `see redis:${'//'}:${SECRET}@h:6379/0`,
    `["password","${SECRET}"]`, `{"a":[["user","bob"],["pw","${SECRET}"]]}`, `('password', '${SECRET}')`, `["x-api-key", ["${SECRET}"]]`,
    `<member><name>password</name><value><string>${SECRET}</string></value></member>`, `<e><value>${SECRET}</value><name>pw</name></e>`, `<dict><key>password</key><string>${SECRET}</string></dict>`, `<param name="password">${SECRET}</param>`,
    `{"query":"mutation { login(username: \\"${SECRET}\\", password: \\"x\\") { a } }"}`, `mutation { login(username: ${SECRET}) { a } }`,
    JSON.stringify({ body: JSON.stringify({ query: 'mutation($a: String!) { x(pw: $a) }', variables: { a: SECRET } }) })
  ]
  const places: Array<(text: string) => Partial<Observation>> = [
    (text) => ({ url: `/x?a=${encodeURIComponent(text)}` }),
    (text) => ({ headers: ['x-note', text] }),
    (text) => ({ body: new TextEncoder().encode(text) }),
    (text) => posted({ note: text })
  ]
  for (const text of hiding) {
    for (const put of places) t.notOk(stored(put(text)).includes(SECRET), `${text}: ${stored(put(text))}`)
  }
  for (const text of ['see --verbose mode', 'a - b', '["user","bob"]', '<name>colour</name><value>red</value>', 'mail bob@h.example, https://h.example/@bob', 'a login (form) here', 'function x() { f("a") }']) {
    t.ok(stored({ headers: ['x-note', text] }).includes(JSON.stringify(text).slice(1, -1)), text)
  }
  t.notOk(stored({ headers: ['sec-websocket-protocol', `graphql-transport-ws, ${SECRET}`] }).includes(SECRET))
  t.ok(stored({ headers: ['sec-websocket-protocol', 'graphql-transport-ws, mqtt, v12.stomp'] }).includes('graphql-transport-ws, mqtt, v12.stomp'))
})

t.test('every operation whose arguments or results are secret is in the list that keeps their shape only', async (t) => {
  const schema = buildNekoSchema(rooms)
  const found = new Set<string>()
  for (const root of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]) {
    for (const field of Object.values(root?.getFields() ?? {})) if (isSecretField(field)) found.add(field.name)
  }
  // A signature of the trail is shown so that others can check it.
  found.delete('auditCheckpoint')
  // Requests of others, whose headers and bodies no name of an argument tells.
  found.add('assess')
  t.same([...found].sort(), [...SECRET_OPERATIONS].sort())
})

const isText = ({ name }: GraphQLNamedType): boolean => name === 'String' || name === 'ID'

/** By the names of its arguments, through input types, and of what it returns, through plain objects. */
function isSecretField ({ args, type }: GraphQLField<unknown, unknown>): boolean {
  const seen = new Set<string>()
  const holds = (of: GraphQLNamedType): boolean => {
    if (seen.has(of.name) || !(isInputObjectType(of) || isObjectType(of)) || of.name.endsWith('Connection')) return false
    seen.add(of.name)
    return Object.values(of.getFields()).some((field: { name: string, type: GraphQLOutputType | GraphQLInputType }) => (isSecretName(field.name) && isText(getNamedType(field.type))) || holds(getNamedType(field.type)))
  }
  return args.some((arg) => isSecretName(arg.name) || holds(getNamedType(arg.type))) || holds(getNamedType(type))
}

t.test('of an operation that names a secret one nothing but its shape is kept', async (t) => {
  const documents = (operation: string): Array<[query: string, variables: object]> => [
    [`mutation ($a: String!) { ${operation}(x: $a) { id } }`, { a: SECRET }],
    [`mutation { ${operation}(x: "${SECRET}") { id } }`, {}],
    [`mutation { x: ${operation}(x: ${SECRET}, y: 12) { id } }`, {}],
    [`mutation ($a: String = "${SECRET}") { ${operation}(x: $a) { id } }`, {}],
    [`mutation { ...F } fragment F on Mutation { ${operation}(x: """${SECRET}""") { id } }`, {}],
    [`mutation { ${operation}(x: {a: ["${SECRET}"]}) { id } } # ${SECRET}`, {}],
    [`mutation { ${operation}(x: "${SECRET}"y") { id } }`, {}],
    [`mutation { ${operation}(x: "${SECRET}`, {}],
    [`mutation ($a: String!) { ${operation}(x: $a) { id } }`, { a: 'x', [SECRET]: 1, b: { c: [SECRET] } }]
  ]
  for (const operation of SECRET_OPERATIONS) {
    for (const [query, variables] of documents(operation)) {
      const link = `/graphql?query=${encodeURIComponent(query)}&variables=${encodeURIComponent(JSON.stringify(variables))}`
      for (const given of [posted({ query, variables }), posted([{ query: '{ a }' }, { query, variables }]), { url: link, route: '/graphql' }, posted({ variables, query, operationName: null })]) {
        const text = stored(given)
        t.notOk(text.includes(SECRET), text)
        t.ok(text.includes(operation), 'its name is')
      }
    }
  }
})

t.test('a variable is as secret as the argument that it feeds, and what a factor found in another stays', async (t) => {
  const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
  const told = (query: string, variables: object): string => {
    const given = observation(posted({ query, variables }))
    const score = scoreObservation(given, policy)
    const redacted = redactObservation(given, score)
    return JSON.stringify([redactFactors(score.factors, given), redacted]) + Buffer.from(redacted.bodyBase64 ?? '', 'base64').toString()
  }
  const feeds = ['x(password: $v)', 'x(input: {pw: $v})', 'x(input: [{list: [{token: $v}]}])', 'x(credentials: {name: $v})', 'x(password: [$v])', 'x(secret # c :\n , : $v)', 'y { z(otp: $v) { id } }', 'x @d(key: $v)']
  for (const feed of feeds) t.notOk(told(`mutation ($v: String, $w: Int) { ${feed} { id } }`, { v: `${SECRET} ${ATTACK}`, w: 1 }).includes(SECRET), feed)
  const other = told('query ($v: String, $w: String) { x(q: $v, r: $w) { id } }', { v: `${ATTACK} beside ${SECRET}`, w: SECRET })
  t.notOk(other.includes(SECRET))
  t.ok(other.includes('UNION SELECT'))
})
