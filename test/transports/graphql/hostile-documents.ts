import { randomBytes } from 'node:crypto'
import { getIntrospectionQuery } from 'graphql'
import { Client } from 'undici'
import { startServer, type StartedServer, type Teardown } from '../../server.ts'

/** Hostile GraphQL documents, each with the code that refuses it, and a server of production to send them to. */
const times = (count: number, part: (i: number) => string): string => Array.from({ length: count }, (_, i) => part(i)).join(' ')
export const GRAPHQL = 'application/graphql-response+json'

export interface Case { title: string, query?: unknown, body?: string, get?: string, variables?: unknown, operationName?: string, code: string, status?: number }

const deepList = '['.repeat(400) + ']'.repeat(400)
export const CASES: Case[] = [
  { title: 'depth 9', query: '{ a '.repeat(9) + '}'.repeat(9), code: 'NEKO_ERR_QUERY_TOO_DEEP' },
  { title: 'depth 9 in inline fragments', query: '{ ... { a '.repeat(9) + '} }'.repeat(9), code: 'NEKO_ERR_QUERY_TOO_DEEP' },
  { title: 'depth 9 through fragments', query: `{ threatActors { ...F0 } } ${times(8, (i) => `fragment F${i} on A { a { ...F${i + 1} } }`)} fragment F8 on A { a }`, code: 'NEKO_ERR_QUERY_TOO_DEEP' },
  { title: 'a circle of fragments', query: '{ ...F } fragment F on Query { threatActors { nodes { id } } ...G } fragment G on Query { ...F }', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'a circle that validation overflows on', query: `{ a { ...F0 ...F1 } } ${times(50, (i) => `fragment F${i} on A { s a { ...F${(i + 1) % 50} ...F${(i + 2) % 50} } }`)}`, code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'fifty fragments that double', query: `{ threatActors { ...F0 } } ${times(50, (i) => `fragment F${i} on ThreatActorConnection { ...F${i + 1} ...F${i + 1} }`)} fragment F50 on ThreatActorConnection { totalCount }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '1,000 aliases', query: `{ ${times(1000, (i) => `a${i}: health { status }`)} }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '31 aliases', query: `{ health { ${times(31, (i) => `a${i}: status`)} } }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '3,000 equal fields', query: `{ health { ${'status '.repeat(3000)} } }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '1,000 directives', query: `{ health ${'@include(if: true) '.repeat(1000)} { status } }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '51 directives', query: `{ health ${'@x '.repeat(51)} { status } }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '11 root fields', query: `{ ${'health { status } '.repeat(11)} }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: 'a deep list literal', query: `{ threatActors(search: ${deepList}) { totalCount } }`, code: 'NEKO_ERR_QUERY_TOO_DEEP' },
  { title: 'a JSON AST as a text', query: '{"kind":"Document","definitions":[]}', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'a JSON AST as an object', query: { kind: 'Document', definitions: [] }, code: 'NEKO_ERR_BODY_INVALID', status: 400 },
  { title: 'a document of 64 kB', query: `{ health { ${'status '.repeat(9000)} } }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: 'a document of more than the body limit', query: `{ health { ${'status '.repeat(12_000)} } }`, code: 'NEKO_ERR_BODY_TOO_LARGE', status: 413 },
  { title: 'introspection in production', query: getIntrospectionQuery(), code: 'NEKO_ERR_INPUT_INVALID' },
  { title: '__type in production', query: '{ __type(name: "Query") { name } }', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'a mistyped field', query: '{ healt { status } }', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'a batch of 11', body: JSON.stringify(new Array(11).fill({ query: '{ health { status } }' })), code: 'NEKO_ERR_BODY_INVALID', status: 400 },
  { title: 'a mutation by GET', get: `/graphql?query=${encodeURIComponent('mutation { logout }')}`, code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'an unknown operationName', query: 'query A { health { status } }', operationName: 'B', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'an unknown operationName with variables', query: 'query A { health { status } }', operationName: 'B', variables: { a: 1 }, code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'two operations', query: 'query A { health { status } } query B { health { notes } }', operationName: 'B', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'variables 100,000 deep', body: `{"query":"query ($a: Int) { health { status } }","variables":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`, code: 'NEKO_ERR_BODY_TOO_LARGE', status: 413 },
  { title: 'variables 30,000 deep', body: `{"query":"query ($a: Int) { health { status } }","variables":{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}}`, code: 'NEKO_ERR_BODY_INVALID', status: 400 },
  { title: 'variables 33 deep by GET', get: `/graphql?query={health{status}}&variables=${encodeURIComponent(`{"a":${'['.repeat(40)}${']'.repeat(40)}}`)}`, code: 'NEKO_ERR_BODY_INVALID', status: 400 },
  { title: 'a page that costs more than the budget', query: '{ threatActors(first: 1000000000) { nodes { id } } }', code: 'NEKO_ERR_QUERY_TOO_COSTLY' },
  { title: 'a subscription by POST', query: 'subscription { decisionChanged { id } }', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'broken JSON', body: '{"query":', code: 'NEKO_ERR_BODY_INVALID', status: 400 },
  { title: 'an empty document', query: '#', code: 'NEKO_ERR_INPUT_INVALID' }
]

export interface Answer { status: number, text: string, ms: number }
export type Ask = (document: Partial<Case>, accept: string, from?: Pick<Client, 'request'>) => Promise<Answer>

/** It runs in shadow, so that it is the GraphQL edge that answers and not the score. Its code is warm. */
export async function openServer (t: Teardown): Promise<{ server: StartedServer, ask: Ask }> {
  const server = await startServer(t, { env: { NODE_ENV: 'production', ENFORCEMENT: 'shadow', RATE_LIMIT_STANDARD: '1000000/60/0', LOG_LEVEL: 'warn', JWT_SECRET: randomBytes(48).toString('base64url'), AUDIT_SIGNING_KEY: randomBytes(48).toString('base64url'), ADMIN_PASSWORD: 'a long pass phrase for r40' } })
  const client = new Client(server.url)
  t.teardown(async () => await client.destroy())
  const ask: Ask = async ({ query, body, get, variables, operationName }, accept, from = client) => {
    const started = performance.now()
    const answer = await from.request({ method: get === undefined ? 'POST' : 'GET', path: get ?? '/graphql', headers: { accept, 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', ...(get === undefined ? { 'content-type': 'application/json' } : {}) }, ...(get === undefined ? { body: body ?? JSON.stringify({ query, variables, operationName }) } : {}) })
    const text = await answer.body.text()
    return { status: answer.statusCode, text, ms: performance.now() - started }
  }
  for (let i = 0; i < 100; i++) await ask({ query: '{ health { status } }' }, GRAPHQL)
  return { server, ask }
}
