import { randomBytes } from 'node:crypto'
import { Agent, request } from 'undici'
import type { Dispatcher } from 'undici'
import type { StartedServer, Teardown } from '../server.ts'

/** What a browser of today says of itself: the score of an ordinary request must stay low. */
export const BROWSER = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', accept: '*/*', 'accept-language': 'en' }
export const PASSWORD = 'a long pass phrase for tests'

export interface Reply {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
  /** Of a JSON body; undefined otherwise. */
  json: never
}

export interface Call { method?: string, headers?: Record<string, string | string[]>, body?: string | Buffer }

/** A client of one server: nothing is retried, whatever fails is shown. `headers` go with every request. */
export interface TestClient {
  ask (path: string, call?: Call): Promise<Reply>
  graphql (query: string, variables?: object, headers?: Record<string, string>): Promise<Reply>
  /** The same server with another credential. */
  as (headers: Record<string, string>): TestClient
  login (username: string, password: string): Promise<{ accessToken: string, refreshToken: string }>
}

export function createTestClient (t: Teardown, server: Pick<StartedServer, 'url'>): TestClient {
  const dispatcher = new Agent({ connections: 32, keepAliveTimeout: 10_000 })
  t.teardown(() => dispatcher.destroy())
  return clientWith(server.url, dispatcher, {})
}

function clientWith (url: string, dispatcher: Dispatcher, fixed: Record<string, string>): TestClient {
  const client: TestClient = {
    async ask (path, { method = 'GET', headers = {}, body } = {}) {
      const answer = await request(url + path, { method: method as 'GET', dispatcher, headers: { ...BROWSER, ...fixed, ...headers }, ...(body === undefined ? {} : { body }) })
      const text = await answer.body.text()
      return { status: answer.statusCode, headers: answer.headers, text, json: parsed(text) as never }
    },
    graphql: (query, variables, headers = {}) => client.ask('/graphql', { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ query, variables }) }),
    as: (headers) => clientWith(url, dispatcher, headers),
    async login (username, password) {
      const { text, json } = await client.graphql('mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { accessToken refreshToken } }', { u: username, p: password })
      const tokens = (json as { data?: { login?: { accessToken: string, refreshToken: string } } } | undefined)?.data?.login
      if (tokens === undefined || tokens === null) throw new Error(`no login: ${text}`)
      return tokens
    }
  }
  return client
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const bearer = (accessToken: string): Record<string, string> => ({ authorization: `Bearer ${accessToken}` })

/** The administrator made at start by `ADMIN_PASSWORD: PASSWORD`. */
export async function asAdmin (client: TestClient): Promise<TestClient> {
  return client.as(bearer((await client.login('admin', PASSWORD)).accessToken))
}

/** What a GraphQL answer holds; fails loudly when it holds errors. */
export async function dataOf<T> (reply: Promise<Reply>): Promise<T> {
  const { text, json } = await reply
  const { data, errors } = json as { data?: T, errors?: unknown[] }
  if (errors !== undefined || data === undefined) throw new Error(text)
  return data
}

export async function makeKey (admin: TestClient, scopes: string[], name = `key ${scopes.join(' ')}`): Promise<{ key: string, id: string }> {
  const { createApiKey } = await dataOf<{ createApiKey: { key: string, apiKey: { id: string } } }>(admin.graphql('mutation ($n: String!, $s: [String!]!) { createApiKey(name: $n, scopes: $s) { key apiKey { id } } }', { n: name, s: scopes }))
  return { key: createApiKey.key, id: createApiKey.apiKey.id }
}

/** A key that production takes. */
export const strongKey = (): string => randomBytes(48).toString('base64url')

/** What a production server needs. */
export const productionEnv = (): Record<string, string> => ({ NODE_ENV: 'production', JWT_SECRET: strongKey(), AUDIT_SIGNING_KEY: strongKey(), ADMIN_PASSWORD: PASSWORD })
