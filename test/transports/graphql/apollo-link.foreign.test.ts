import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { startServer } from '../../server.ts'

/** Apollo's own client and its link of persisted queries, as they are shipped, against a real server. */
const PACKAGES = ['@apollo/client@4.3.8', 'graphql@16.15.0', 'rxjs@7.8.2']
const INSTALL_MS = 120_000

t.setTimeout(180_000)

interface Client { query (asked: object): Promise<{ data?: unknown }>, mutate (asked: object): Promise<unknown> }
interface Apollo {
  ApolloClient: new (options: object) => Client
  HttpLink: new (options: object) => object
  InMemoryCache: new () => object
  gql: (text: string) => object
  PersistedQueryLink: new (options: object) => { concat (link: object): object }
}

/** Null after a comment that counts as a skip: nothing could be fetched here. */
async function installApollo (t: Test): Promise<Apollo | null> {
  const directory = mkdtempSync(join(tmpdir(), 'neko-apollo-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  writeFileSync(join(directory, 'package.json'), '{"private":true}')
  try {
    await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...PACKAGES], { cwd: directory, timeout: INSTALL_MS })
  } catch (error) {
    t.comment(`# SKIP ${PACKAGES[0]} cannot be fetched here: ${(error as Error).message.split('\n')[0]}`)
    return null
  }
  const { resolve } = createRequire(join(directory, 'package.json'))
  const [core, link] = await Promise.all(['@apollo/client', '@apollo/client/link/persisted-queries'].map(async (name) => await import(resolve(name)) as Apollo))
  return { ...core!, PersistedQueryLink: link!.PersistedQueryLink }
}

t.test('the link asks by hash, brings its document when it is not known, and never again', async (t) => {
  const apollo = await installApollo(t)
  if (apollo === null) return
  const { ApolloClient, HttpLink, InMemoryCache, PersistedQueryLink, gql } = apollo
  const { url } = await startServer(t, { env: { LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '1000/60/0' } })
  const COUNTS = gql('query Counts { threatCounts { category count } }')
  const FIND = gql('query Find($search: String!) { threatActors(search: $search, first: 2) { totalCount nodes { id name } } }')
  const LOGIN = gql('mutation Login { login(username: "admin", password: "not the pass phrase at all") { accessToken } }')
  for (const useGETForHashedQueries of [false, true]) {
    const sent: string[] = []
    const watched = async (target: string, options: RequestInit): Promise<Response> => {
      const answer = await fetch(target, options)
      const has = options.body === undefined ? new URL(target).searchParams.has('query') : (JSON.parse(String(options.body)) as object & { query?: string }).query !== undefined
      sent.push(`${options.method} ${has ? 'document' : 'hash'} ${answer.status} ${answer.headers.get('x-cache')}`)
      return answer
    }
    const http = new HttpLink({ uri: `${url}/graphql`, fetch: watched })
    const link = new PersistedQueryLink({ sha256: (text: string) => createHash('sha256').update(text).digest('hex'), useGETForHashedQueries }).concat(http)
    const client = new ApolloClient({ link, cache: new InMemoryCache(), defaultOptions: { query: { fetchPolicy: 'no-cache' } } })
    const ask = async (query: object, variables = {}): Promise<string[]> => {
      sent.length = 0
      const { data } = await client.query({ query, variables })
      t.ok(data !== undefined && data !== null)
      return [...sent]
    }
    const method = useGETForHashedQueries ? 'GET' : 'POST'
    const first = await ask(COUNTS)
    if (useGETForHashedQueries) t.same(first, ['GET hash 200 HIT'], 'brought by the first client')
    else t.same(first, ['POST hash 200 BYPASS', 'POST document 200 MISS'])
    t.same(await ask(COUNTS), [`${method} hash 200 HIT`])
    if (!useGETForHashedQueries) t.equal((await ask(FIND, { search: 'panda' })).length, 2)
    t.same((await ask(FIND, { search: 'bear' })).map((line) => line.split(' ').slice(0, 3).join(' ')), [`${method} hash 200`])
    const late = gql(`query Late${method} { stats { requests } }`)
    t.same((await ask(late)).map((line) => line.split(' ')[1]), ['hash', 'document'])
    sent.length = 0
    await t.rejects(client.mutate({ mutation: LOGIN }))
    t.ok(sent.every((line) => line.startsWith('POST')), 'a change is never sent by GET')
  }
})
