/**
 * Plays whole sessions in real time against the real server, each from its own address, and prints how many of the
 * hostile ones were challenged or blocked, after how many requests, and how many of ordinary life were.
 *
 * `node bench/sessions.ts [--seed 1] [--each 3] [--workers 1] [--kind name] [--variants]`: starts a server of its own on
 * free ports and ends it. About three minutes: the longest session decides.
 */
import { Pool } from 'undici'
import { startServer } from '../test/server.ts'
import { BENIGN_KINDS, HOSTILE_KINDS } from './session-kinds.ts'
import { BENIGN_VARIANTS, HOSTILE_VARIANTS } from './session-variants.ts'
import { createDice } from './session-scripts.ts'
import type { Session, Step } from './session-scripts.ts'

interface Played extends Session {
  /** Number of the request that was first challenged or blocked, or -1. */
  foundAt: number
  sent: number
  limited: number
  failed: number
  scoreMax: number
}

interface Credentials { key: string, user: string }

const STAGGER_MS = 10_000
const ADMIN = { username: 'bench-admin', password: 'several words and ' + Math.random().toString(36).slice(2) }

function option (name: string, fallback: string): string {
  const at = process.argv.indexOf('--' + name)
  return at === -1 ? fallback : process.argv[at + 1] ?? fallback
}

const seed = Number(option('seed', '1'))
const each = Number(option('each', '3'))
const kindOnly = option('kind', '')
const kinds = process.argv.includes('--variants') ? [...HOSTILE_VARIANTS, ...BENIGN_VARIANTS] : [...HOSTILE_KINDS, ...BENIGN_KINDS]
const endings: Array<() => unknown> = []

try {
  const server = await startServer({ teardown: (handler) => { endings.push(handler) } }, {
    env: {
      WORKERS: option('workers', '1'),
      TRUST_PROXY: '127.0.0.1/32',
      EXPOSE_SCORE: 'true',
      LOG_LEVEL: 'error',
      ADMIN_USERNAME: ADMIN.username,
      ADMIN_PASSWORD: ADMIN.password
    }
  })
  const played = await playAll(server.url)
  report(played)
  await server.stop()
} finally {
  for (const ending of endings.reverse()) await ending()
}

async function playAll (url: string): Promise<Played[]> {
  const sessions: Session[] = []
  for (let i = 0; i < each; i++) {
    kinds.forEach((make, j) => sessions.push(make(createDice(seed * 1_000_003 + i * 97 + j))))
  }
  const chosen = sessions.filter((session) => kindOnly === '' || session.kind === kindOnly)
  const credentials = await signIn(url, chosen)
  const dice = createDice(seed)
  return Promise.all(chosen.map((session, i) => play(url, session, credentials[i] as Credentials, dice.between(0, STAGGER_MS))))
}

/** Each integration has its key and each app its user, made before the clock starts. */
async function signIn (url: string, sessions: Session[]): Promise<Credentials[]> {
  const login = async (username: string, password: string, address: string): Promise<string> => (await ask(url, 'mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { accessToken } }', { u: username, p: password }, { 'x-forwarded-for': address })).login.accessToken
  const admin = { authorization: 'Bearer ' + await login(ADMIN.username, ADMIN.password, '10.255.0.1') }
  const made: Credentials[] = []
  for (const [i, session] of sessions.entries()) {
    const needs = new Set(session.steps.map((step) => step.as))
    const credentials = { key: '', user: '' }
    if (needs.has('key')) credentials.key = (await ask(url, 'mutation ($n: String!) { createApiKey(name: $n, scopes: ["read"]) { key } }', { n: `bench ${i}` }, admin)).createApiKey.key
    if (needs.has('user')) {
      const person = { username: `bench-user-${i}`, password: 'several words and ' + Math.random().toString(36).slice(2) }
      await ask(url, 'mutation ($u: String!, $p: String!) { createUser(username: $u, password: $p, role: VIEWER) { id } }', { u: person.username, p: person.password }, admin)
      credentials.user = await login(person.username, person.password, `10.254.${i >> 8}.${i & 255}`)
    }
    made.push(credentials)
  }
  return made
}

interface Answers { login: { accessToken: string }, createApiKey: { key: string } }

async function ask (url: string, query: string, variables: object, headers: Record<string, string>): Promise<Answers> {
  const response = await fetch(url + '/graphql', { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ query, variables }) })
  const { data, errors } = await response.json() as { data: Answers, errors?: Array<{ message: string }> }
  if (errors !== undefined) throw new Error(`${query}: ${errors.map((error) => error.message).join('; ')}`)
  return data
}

async function play (url: string, session: Session, credentials: Credentials, startMs: number): Promise<Played> {
  const played: Played = { ...session, foundAt: -1, sent: 0, limited: 0, failed: 0, scoreMax: 0 }
  // A tool keeps its connections, and with them its process, as the real ones do.
  const pool = new Pool(url, { connections: 4, pipelining: 1 })
  const startedMs = performance.now() + startMs
  const answers = session.steps.map((step) => new Promise<void>((resolve) => {
    setTimeout(() => { send(pool, step, credentials, played).catch(() => { played.failed++ }).finally(resolve) }, Math.max(0, startedMs + step.atMs - performance.now()))
  }))
  await Promise.all(answers)
  await pool.close()
  return played
}

async function send (pool: Pool, step: Step, credentials: Credentials, played: Played): Promise<void> {
  const number = ++played.sent
  const headers = [...step.headers, 'X-Forwarded-For', step.address]
  if (step.as === 'key') headers.push('x-api-key', credentials.key)
  if (step.as === 'user') headers.push('authorization', 'Bearer ' + credentials.user)
  const response = await pool.request({ method: step.method as 'GET', path: step.url, headers, body: step.body })
  await response.body.dump()
  const action = response.headers['x-neko-action']
  if (response.statusCode === 429) played.limited++
  played.scoreMax = Math.max(played.scoreMax, Number(response.headers['x-neko-score'] ?? 0))
  // A limit's own refusal was not scored and names no action; one that comes after the score, of a login say, does.
  if ((action === 'CHALLENGE' || action === 'BLOCK') && (played.foundAt === -1 || number < played.foundAt)) played.foundAt = number
}

function report (sessions: Played[]): void {
  const line = (text: string): void => { process.stdout.write(text + '\n') }
  line(`sessions in real time: seed ${seed}, ${each} of each kind, WORKERS=${option('workers', '1')}, Node ${process.version}`)
  line('kind                      hostile  found  after requests (median)  scores (highest)         limited  failed')
  for (const kind of new Set(sessions.map((session) => session.kind))) {
    const some = sessions.filter((session) => session.kind === kind)
    const found = some.filter((session) => session.foundAt !== -1)
    const after = found.map((session) => session.foundAt).sort((a, b) => a - b)[found.length >> 1] ?? '-'
    const sum = (field: 'limited' | 'failed'): number => some.reduce((total, session) => total + session[field], 0)
    line(`${kind.padEnd(26)}${(some[0]?.hostile === true ? 'yes' : 'no').padEnd(9)}${`${found.length}/${some.length}`.padEnd(7)}${String(after).padEnd(25)}${some.map((session) => session.scoreMax).join(' ').padEnd(25)}${String(sum('limited')).padEnd(9)}${sum('failed')}`)
  }
  const share = (hostile: boolean): number => {
    const some = sessions.filter((session) => session.hostile === hostile)
    return 100 * some.filter((session) => session.foundAt !== -1).length / Math.max(1, some.length)
  }
  line(`hostile challenged or blocked ${share(true).toFixed(1)} %, benign ${share(false).toFixed(1)} %, balanced ${((share(true) + 100 - share(false)) / 2).toFixed(1)} %`)
}
