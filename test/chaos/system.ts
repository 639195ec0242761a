import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { askServer } from '../../src/processes/control-client.ts'
import type { ClusterStatus } from '../../src/processes/status.ts'
import { PASSWORD } from '../e2e/client.ts'
import { until } from '../processes/load.ts'
import { makeDataDir, startServer, type StartedServer, type Teardown } from '../server.ts'
import { freePort } from '../services/free-port.ts'
import type { MongoServer } from '../services/mongo.ts'
import { redisOn } from '../services/redis.ts'

/**
 * The system under trial: one server of two workers, a Redis and a store, each on an address that it keeps over its
 * ends. What is done to it is noted here, so that deaths that nobody caused can be told from those that somebody did.
 */
export const WORKERS = 2
const WHOLE_TIMEOUT_MS = 60_000
const UNASKED = /^(a worker (hangs|died|was not ready in time|is replaced before its memory is full)|no worker became ready)/

export interface Outage {
  down (): Promise<void>
  up (): Promise<void>
  isDown (): boolean
}

export interface System {
  readonly url: string
  readonly dataDir: string
  /** That whoever reads the store needs. */
  readonly storeEnv: Record<string, string>
  readonly store: Outage
  readonly redis: Outage
  /** Pids of workers that are ready. */
  workerPids (): Promise<number[]>
  killWorkers (count: number): Promise<void>
  killServer (): Promise<void>
  /** SIGTERM. The exit code. */
  stopServer (): Promise<number | null>
  startServer (): Promise<void>
  /** SIGSTOP, and SIGCONT after so long. One worker that hangs may be killed and replaced meanwhile. */
  freeze (whom: 'all' | 'primary' | 'worker', ms: number): Promise<void>
  isServerDown (): boolean
  /** When the last standstill ended; Infinity during one. */
  frozenUntilMs (): number
  /** Every worker is ready. */
  whole (): Promise<void>
  /** Since the beginning: starts that failed, ends by itself, and workers that died though the trial left them alone. */
  faults (): string[]
  output (): string
}

export interface SystemOptions { mongo: MongoServer | null, nowMs: () => number }

export async function startSystem (t: Teardown, { mongo, nowMs }: SystemOptions): Promise<System> {
  const dataDir = makeDataDir(t)
  const port = await freePort()
  // It forgets everything when it ends: nothing that must last may live there.
  const redisServer = redisOn(t, await freePort())
  const redis = outage(redisServer)
  const store = outage(mongo === null ? sqliteIn(t, dataDir) : mongo)
  await redis.up()
  const storeEnv: Record<string, string> = mongo === null ? {} : { MONGODB_URI: mongo.uri, MONGODB_DATABASE: `chaos-${port}` }
  const env = {
    WORKERS: String(WORKERS),
    ADMIN_PASSWORD: PASSWORD,
    PORT: String(port),
    REDIS_URL: redisServer.url,
    ...storeEnv,
    TRUST_PROXY: '127.0.0.1/32',
    JWT_EXPIRATION: '1d',
    // The trial is about what lasts, not about rates, and its own requests must not be judged.
    ENFORCEMENT: 'shadow',
    EXPOSE_SCORE: 'true',
    RATE_LIMIT_MAX: '1000000',
    RATE_LIMIT_STRICT: '100000/60/0',
    RATE_LIMIT_STANDARD: '1000000/60/0',
    RATE_LIMIT_RELAXED: '1000000/60/0'
  }
  const servers: StartedServer[] = []
  const killed = new Set<number>()
  /** Workers that hung because of us: whether they are killed is up to the server. */
  const excused = new Set<number>()
  const faults: string[] = []
  let isServerDown = true
  let frozenUntilMs = 0
  const current = (): StartedServer => servers.at(-1)!
  const status = async (): Promise<ClusterStatus | null> => {
    const reply = await askServer({ dataDir, verb: 'status', args: null }, () => {}).catch(() => null)
    return reply?.ok === true ? reply.result as unknown as ClusterStatus : null
  }
  const workerPids = async (): Promise<number[]> =>
    ((await status())?.processes ?? []).filter(({ state }) => state === 'ready').map(({ pid }) => pid)

  async function start (): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        const server = await startServer(t, { env, dataDir, readyTimeoutMs: WHOLE_TIMEOUT_MS })
        servers.push(server)
        isServerDown = false
        server.ended.then(({ code, signal }) => {
          if (!isServerDown && server === current()) faults.push(`${nowMs()} ms: the server ended by itself: ${code ?? signal}`)
        })
        return
      } catch (error) {
        faults.push(`${nowMs()} ms: a start failed: ${(error as Error).message.slice(-1500)}`)
        if (tries === 3) throw error
        await sleep(1000)
      }
    }
  }

  await start()
  return {
    url: `http://127.0.0.1:${port}`,
    dataDir,
    storeEnv,
    store,
    redis,
    workerPids,
    async killWorkers (count) {
      for (const pid of (await workerPids()).slice(0, count)) {
        killed.add(pid)
        process.kill(pid, 'SIGKILL')
      }
    },
    async killServer () {
      isServerDown = true
      await current().kill()
    },
    async stopServer () {
      isServerDown = true
      const code = await current().stop()
      if (code !== 0) faults.push(`${nowMs()} ms: after SIGTERM the server ended with ${code}`)
      return code
    },
    startServer: start,
    async freeze (whom, ms) {
      frozenUntilMs = Infinity
      const workers = await workerPids()
      const pids = whom === 'all' ? [current().pid, ...workers] : whom === 'primary' ? [current().pid] : workers.slice(0, 1)
      if (whom === 'worker') for (const pid of pids) excused.add(pid)
      for (const pid of pids) signalIfThere(pid, 'SIGSTOP')
      await sleep(ms)
      for (const pid of pids.reverse()) signalIfThere(pid, 'SIGCONT')
      frozenUntilMs = nowMs()
    },
    isServerDown: () => isServerDown,
    frozenUntilMs: () => frozenUntilMs,
    whole: async () => { await until('every worker is ready', async () => (await workerPids()).filter((pid) => !killed.has(pid)).length === WORKERS, WHOLE_TIMEOUT_MS) },
    faults: () => [...faults, ...servers.flatMap((server) => killings(server, new Set([...killed, ...excused])))],
    output: () => servers.map((server) => server.output()).join('\n')
  }
}

/** Ends and replacements of workers that the trial did not cause, as the server's log has them. */
function killings (server: StartedServer, caused: ReadonlySet<number>): string[] {
  const lines = server.logs() as Array<{ msg: string, time: number, workerPid?: number, signal?: string | null, code?: number | null }>
  return lines
    .filter(({ msg, workerPid }) => UNASKED.test(msg) && !caused.has(workerPid ?? 0))
    .map(({ msg, workerPid, signal, code }) => `${msg} (pid ${workerPid}, ${signal ?? code ?? 'alive'})`)
}

function signalIfThere (pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

interface Service { kill (): Promise<void>, start (): Promise<void> }

function outage (service: Service): Outage {
  let isDown = false
  return {
    async down () {
      isDown = true
      await service.kill()
    },
    async up () {
      await service.start()
      isDown = false
    },
    isDown: () => isDown
  }
}

/** A child that can be started and killed again and again, and is gone after the test. */
function startable (t: Teardown, start: () => Promise<ChildProcess>): Service {
  let child: ChildProcess | null = null
  const kill = async (): Promise<void> => {
    if (child === null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    child = null
    await ended
  }
  t.teardown(kill)
  return { kill, start: async () => { child = await start() } }
}

/** Away is locked by another process: nothing can be written, and what is there can be read. */
const LOCKER = `
  import { DatabaseSync } from 'node:sqlite'
  const database = new DatabaseSync(process.argv[1])
  database.exec('PRAGMA busy_timeout = 20000; BEGIN EXCLUSIVE')
  process.stdout.write('locked')
  process.stdin.resume()
`

function sqliteIn (t: Teardown, dataDir: string): Service {
  const locker = startable(t, async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', LOCKER, join(dataDir, 'neko.db')], { stdio: ['pipe', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    return child
  })
  return { kill: locker.start, start: locker.kill }
}
