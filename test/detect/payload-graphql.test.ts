import { test } from 'tap'
import { inspect } from './payload-observation.ts'

const JSON_TYPE = ['content-type', 'application/json']

function post (body: unknown): number {
  return inspect({ url: '/graphql', headers: JSON_TYPE, body: JSON.stringify(body) }).value
}

function link (query: string, accept: string): number {
  return inspect({ url: '/graphql?query=' + encodeURIComponent(query), headers: ['Accept', accept] }).value
}

test('credentials tried by alias or in a batch are a flood earlier than fields of a page', (t) => {
  const logins = (count: number): string => 'mutation { ' + Array.from({ length: count }, (_, at) => `a${at}: login(user: "root", pass: "p${at}") { token }`).join(' ') + ' }'
  const products = (count: number): string => 'query { ' + Array.from({ length: count }, (_, at) => `a${at}: product(id: ${at}) { name }`).join(' ') + ' }'
  t.ok(post({ query: logins(4) }) >= 0.75)
  t.ok(post({ query: logins(1) }) < 0.4)
  t.ok(post({ query: products(12) }) < 0.4)
  const batch = (query: string, count: number): unknown => Array.from({ length: count }, (_, at) => ({ query, variables: { code: String(1000 + at) } }))
  t.ok(post(batch('mutation ($code: String!) { verifyOtp(code: $code) { token } }', 4)) >= 0.75)
  t.ok(post(batch('query ($code: String!) { product(sku: $code) { name } }', 4)) < 0.4)
  t.ok(post(batch('query ($code: String!) { product(sku: $code) { name } }', 30)) >= 0.75)
  t.end()
})

test('a schema asked for from the address bar is a probe, by a tool it is a sign', (t) => {
  const page = 'text/html,application/xhtml+xml,*/*;q=0.8'
  t.ok(link('{ __schema { types { name } } }', page) >= 0.75)
  t.ok(link('{ __schema { types { name } } }', 'application/json') < 0.4)
  t.ok(link('{ viewer { __typename } }', page) < 0.4)
  t.ok(post({ query: '{ __type(name: "User") { fields { name } } }' }) < 0.4)
  t.end()
})

test('a document that never ends keeps the shape it was made for, and its text is judged too', (t) => {
  t.ok(post({ query: '{ a ' + '{ a '.repeat(40) + '}' }) >= 0.75)
  t.ok(post({ query: '{ ' + 'ping '.repeat(80) }) >= 0.75)
  t.ok(post({ query: '{ user(name: "x\' UNION SELECT a, b FROM c-- ") { id }' }) >= 0.75)
  t.ok(post({ query: '{ user(id: 1) { id name }' }) < 0.4, 'a slip of the keyboard')
  t.end()
})
