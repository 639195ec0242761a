import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ACTORS, BLOCKED, COUNTS, type Server } from './price-steps.ts'

/**
 * Can two servers be compared that nobody looked at? This starts the servers of `bench/price.ts`, each on the servers'
 * core, and asks each for the measured answers before anything is measured.
 */
export interface Running { pid: number, port: number, stop (): Promise<void> }

export interface Places {
  /** A directory for what servers keep; removed by whoever made it. */
  directory: string
  /** What NEKO answered: the rivals' data. */
  factsFile: string
  /** The baselines' one answer. */
  answerFile: string
}

const START_MS_MAX = 30_000
const STOP_MS_MAX = 10_000
const ADMIN = { username: 'admin', password: randomBytes(18).toString('base64url') }
const ACTORS_WHOLE = `{ threatActors(first: 100) { nodes {
  id name aliases country category motivation techniques { id name url } references { name url } sources description
} } }`

/** One core for servers and one for all else; null where they cannot be told apart. */
const CORES = cpus().length >= 2 && spawnSync('taskset', ['-V']).error === undefined ? { servers: '0', load: '1' } : null
export const isPinned = CORES !== null

/** Starts a program with Node on the core of its side. */
export function spawnOn (side: 'servers' | 'load', args: string[], options: { cwd?: string, env?: Record<string, string> } = {}): ChildProcess {
  const [command = '', ...rest] = CORES === null ? [process.execPath] : ['taskset', '-c', CORES[side], process.execPath]
  return spawn(command, [...rest, ...args], { env: { PATH: process.env['PATH'] ?? '' }, ...options, stdio: ['ignore', 'pipe', 'inherit'] })
}

/** This process reads what servers print: it must not do so on their core. */
export function leaveServersCore (): void {
  if (CORES !== null) spawnSync('taskset', ['-a', '-p', '-c', CORES.load, String(process.pid)])
}

let started = 0

export async function startServer (server: Server, { directory, factsFile, answerFile }: Places): Promise<Running> {
  const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
  if (server.kind === 'baseline') return await ready(spawnOn('servers', [file('./baseline.ts'), server.name, answerFile]))
  if (server.kind === 'rival') return await ready(spawnOn('servers', [file(`./rivals/${server.file}`), factsFile], { env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production' } }))
  const dataDir = join(directory, `neko-${started++}`)
  mkdirSync(dataDir)
  return await ready(spawnOn('servers', [file('../src/main.ts')], { cwd: dataDir, env: { ...nekoEnvironment(dataDir), ...server.env } }))
}

/** As it would run for others: production, behind a proxy that names each client, everything at its default. */
function nekoEnvironment (dataDir: string): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    NODE_ENV: 'production',
    HOST: '127.0.0.1',
    PORT: '0',
    METRICS_PORT: '0',
    WORKERS: '1',
    DATA_DIR: dataDir,
    TRUST_PROXY: '127.0.0.1/32',
    JWT_SECRET: randomBytes(48).toString('base64url'),
    AUDIT_SIGNING_KEY: randomBytes(48).toString('base64url'),
    ADMIN_PASSWORD: ADMIN.password
  }
}

async function ready (child: ChildProcess): Promise<Running> {
  const pid = child.pid as number
  const ended = once(child, 'close')
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  let text = ''
  let isReady = false
  // Read to the end: what it logs must not fill the pipe.
  child.stdout?.on('data', (chunk: Buffer) => {
    if (isReady) return
    text += chunk.toString()
    const found = /(?:listening|health) +http:\/\/127\.0\.0\.1:(\d+)/.exec(text)
    if (found === null) return
    isReady = true
    resolve(Number(found[1]))
  })
  ended.then(() => { reject(new Error(`a server did not start:\n${text.slice(-4000)}`)) })
  const timer = setTimeout(() => { reject(new Error(`a server was not ready within ${START_MS_MAX} ms:\n${text.slice(-4000)}`)) }, START_MS_MAX)
  const kill = (): void => { child.kill('SIGKILL') }
  process.once('exit', kill)
  async function stop (): Promise<void> {
    child.kill('SIGTERM')
    const timer = setTimeout(kill, STOP_MS_MAX)
    await ended
    clearTimeout(timer)
    process.off('exit', kill)
  }
  try {
    return { pid, port: await promise, stop }
  } finally {
    clearTimeout(timer)
  }
}

/** NEKO's answers are what all others must give; the data of the rivals and the baselines' answer are made of them. */
export async function writeFacts (places: Places): Promise<{ counts: unknown, actors: unknown }> {
  const server = await startServer({ kind: 'neko', env: {} }, places)
  const counts = await ask(server.port, COUNTS) as { threatCounts: unknown }
  const actors = await ask(server.port, ACTORS)
  const whole = await ask(server.port, ACTORS_WHOLE) as { threatActors: { nodes: unknown } }
  writeFileSync(places.factsFile, JSON.stringify({ counts: counts.threatCounts, actors: whole.threatActors.nodes }))
  writeFileSync(places.answerFile, JSON.stringify({ data: counts }))
  await server.stop()
  return { counts, actors }
}

export async function blockAddress (port: number): Promise<void> {
  const { login } = await ask(port, `mutation { login(username: "${ADMIN.username}", password: "${ADMIN.password}") { accessToken } }`) as { login: { accessToken: string } }
  await ask(port, `mutation { addDecision(scope: IP, value: "${BLOCKED}", action: BLOCK, reason: "bench") { id } }`, login.accessToken)
}

/** `data` of the answer. @throws when it holds anything else. */
export async function ask (port: number, query: string, token?: string): Promise<unknown> {
  const reply = await fetch(`http://127.0.0.1:${port}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query })
  })
  const { data, errors } = await reply.json() as { data?: unknown, errors?: unknown }
  if (reply.status !== 200 || errors !== undefined) throw new Error(`${query}: ${reply.status} ${JSON.stringify(errors)}`)
  return data
}
