/**
 * Can servers be compared that nobody looked at? This starts those of `bench/price.ts`, each on the servers' core, and
 * asks each for the measured answers: what they are worth comparing for is that all give the same.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { ACTORS, BLOCKED, COUNTS, type Server, type Step } from './price-steps.ts'

export interface Running { pid: number, port: number, stop (): Promise<void> }

export interface Places {
  /** For what servers keep; removed by whoever made it. */
  directory: string
  /** What NEKO answered: the rivals' data. */
  factsFile: string
  /** The baselines' one answer. */
  answerFile: string
}

/** `data` of the measured queries. */
export interface Answers { counts: unknown, actors: unknown }

const START_MS_MAX = 30_000
const STOP_MS_MAX = 10_000
const PATH = process.env['PATH'] ?? ''
const RIVALS = fileURLToPath(new URL('./rivals', import.meta.url))
const ADMIN = { username: 'admin', password: randomBytes(18).toString('base64url') }
const ACTORS_WHOLE = `{ threatActors(first: 100) { nodes {
  id name aliases country category motivation techniques { id name url } references { name url } sources description
} } }`

/** One core for servers and one for all else; null where they cannot be told apart. */
const CORES = cpus().length >= 2 && spawnSync('taskset', ['-V']).error === undefined
  ? { servers: '0', load: '1' }
  : null
export const isPinned = CORES !== null

/** Starts a program with Node on the core of its side. */
export function spawnOn (
  side: 'servers' | 'load',
  args: string[],
  { cwd, env = { PATH, NODE_ENV: 'production' } }: { cwd?: string, env?: Record<string, string> } = {}
): ChildProcess {
  const [command = '', ...before] = CORES === null
    ? [process.execPath]
    : ['taskset', '-c', CORES[side], process.execPath]
  return spawn(command, [...before, ...args], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'inherit', ...(side === 'load' ? ['ipc' as const] : [])]
  })
}

/** This process reads what servers print: it must not do so on their core. */
export function leaveServersCore (): void {
  if (CORES !== null) spawnSync('taskset', ['-a', '-p', '-c', CORES.load, String(process.pid)])
}

/**
 * The rivals' packages, which `npm ci` of the project leaves out. What NEKO and they have in common must be of one
 * version, or versions would be compared.
 * @throws when it is not, or when they cannot be installed.
 */
export function prepareRivals (steps: readonly Step[]): void {
  const ours = dependenciesIn(new URL('../package.json', import.meta.url))
  const differing = Object.entries(dependenciesIn(new URL('./rivals/package.json', import.meta.url)))
    .filter(([name, version]) => (ours[name] ?? version) !== version)
    .map(([name]) => name)
  if (differing.length > 0) throw new Error(`bench/rivals and NEKO have other versions of ${differing.join(', ')}`)
  // Written when an installation is whole.
  if (existsSync(join(RIVALS, 'node_modules', '.package-lock.json'))) return
  if (!steps.some(({ server }) => server.kind === 'rival' && server.own)) return
  console.log('installing the rivals, once (npm ci --ignore-scripts --prefix bench/rivals; --rivals no does without)')
  const install = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', RIVALS]
  const { status } = spawnSync('npm', install, { stdio: 'inherit' })
  if (status !== 0) throw new Error('the rivals could not be installed; --rivals no does without them')
}

function dependenciesIn (file: URL): Record<string, string> {
  return (JSON.parse(readFileSync(file, 'utf8')) as { dependencies: Record<string, string> }).dependencies
}

/** Started, blocked where the step says so, and asked. @throws when it answers anything but what NEKO answers. */
export async function startStep ({ name, server, load }: Step, places: Places, expected: Answers): Promise<Running> {
  const running = await startServer(server, places)
  if (load.startsWith('blocked')) await blockAddress(running.port)
  const questions: Array<[query: string, answer: unknown]> = [[COUNTS, expected.counts], [ACTORS, expected.actors]]
  for (const [query, answer] of server.kind === 'baseline' ? questions.slice(0, 1) : questions) {
    const data = await ask(running.port, query)
    if (isDeepStrictEqual(data, answer)) continue
    throw new Error(`${name} answers ${query} with ${JSON.stringify(data)} and NEKO with ${JSON.stringify(answer)}`)
  }
  return running
}

/** NEKO's answers are what all others must give; the rivals' data and the baselines' answer are made of them. */
export async function writeFacts (places: Places): Promise<Answers> {
  const server = await startServer({ kind: 'neko', env: {} }, places)
  const counts = await ask(server.port, COUNTS) as { threatCounts: unknown }
  const actors = await ask(server.port, ACTORS)
  const whole = await ask(server.port, ACTORS_WHOLE) as { threatActors: { nodes: unknown } }
  await server.stop()
  writeFileSync(places.factsFile, JSON.stringify({ counts: counts.threatCounts, actors: whole.threatActors.nodes }))
  writeFileSync(places.answerFile, JSON.stringify({ data: counts }))
  return { counts, actors }
}

/** None outlives this process, however it ends. */
const children = new Set<ChildProcess>()
process.once('exit', () => { for (const child of children) child.kill('SIGKILL') })
let started = 0

async function startServer (server: Server, { directory, factsFile, answerFile }: Places): Promise<Running> {
  const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
  switch (server.kind) {
    case 'baseline': return await ready(spawnOn('servers', [file('./baseline.ts'), server.name, answerFile]))
    case 'rival': return await ready(spawnOn('servers', [join(RIVALS, server.file), factsFile, ...server.parts]))
    case 'neko': return await startNeko(directory, server.env, server.node)
  }
}

/** In production, with a data directory of its own in `directory`. @throws when it does not come up in time. */
export async function startNeko (
  directory: string,
  env: Record<string, string>,
  nodeOptions: readonly string[] = []
): Promise<Running> {
  const cwd = join(directory, `neko-${started++}`)
  mkdirSync(cwd)
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
  return await ready(spawnOn('servers', [...nodeOptions, main], { cwd, env: { ...nekoEnvironment(cwd), ...env } }))
}

/** As it would run for others: production, behind a proxy that names each client, all else at its default. */
function nekoEnvironment (dataDir: string): Record<string, string> {
  return {
    PATH,
    NODE_ENV: 'production',
    HOST: '127.0.0.1',
    PORT: '0',
    METRICS_PORT: '0',
    WORKERS: '1',
    DATA_DIR: dataDir,
    TRUST_PROXY: '127.0.0.1/32',
    JWT_SECRET: randomBytes(48).toString('base64url'),
    AUDIT_SIGNING_KEY: randomBytes(48).toString('base64url'),
    ADMIN_USERNAME: ADMIN.username,
    ADMIN_PASSWORD: ADMIN.password
  }
}

/** Resolves when it has said where it listens; what it prints is read and thrown away from then on. */
async function ready (child: ChildProcess): Promise<Running> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const ended = once(child, 'close')
  children.add(child)
  let text = ''
  let isReady = false
  const timer = setTimeout(() => {
    reject(new Error(`${child.spawnargs.join(' ')} was not ready in time:\n${text.slice(-4000)}`))
  }, START_MS_MAX)
  ended.then(() => {
    children.delete(child)
    reject(new Error(`${child.spawnargs.join(' ')} did not start:\n${text.slice(-4000)}`))
  })
  child.stdout?.on('data', (chunk: Buffer) => {
    if (isReady) return
    text += chunk.toString()
    const found = /(?:listening|health) +http:\/\/127\.0\.0\.1:(\d+)/.exec(text)
    if (found === null) return
    isReady = true
    resolve(Number(found[1]))
  })
  async function stop (): Promise<void> {
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
    await ended
    clearTimeout(timer)
  }
  try {
    return { pid: child.pid as number, port: await promise, stop }
  } finally {
    clearTimeout(timer)
  }
}

async function blockAddress (port: number): Promise<void> {
  const token = await logIn(port)
  const decision = `scope: IP, value: "${BLOCKED}", action: BLOCK, reason: "bench"`
  await ask(port, `mutation { addDecision(${decision}) { id } }`, token)
}

/** An access token of the administrator of a NEKO. */
export async function logIn (port: number): Promise<string> {
  const { username, password } = ADMIN
  const login = `mutation { login(username: "${username}", password: "${password}") { accessToken } }`
  const { login: { accessToken } } = await ask(port, login) as { login: { accessToken: string } }
  return accessToken
}

/** `data` of the answer. @throws when it holds anything else. */
export async function ask (port: number, query: string, token?: string): Promise<unknown> {
  const reply = await fetch(`http://127.0.0.1:${port}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      connection: 'close',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
    },
    body: JSON.stringify({ query })
  })
  const { data, errors } = await reply.json() as { data?: unknown, errors?: unknown }
  if (reply.status !== 200 || errors !== undefined) {
    throw new Error(`${query} is answered with ${reply.status} ${JSON.stringify(errors)}`)
  }
  return data
}
