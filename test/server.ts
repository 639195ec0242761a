import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Whatever runs teardowns: tap's `t`, or node:test's by a wrapper. */
export interface Teardown { teardown (handler: () => unknown): void }

export interface StartedServer {
  url: string
  /** Without `/metrics`. */
  metricsUrl: string
  port: number
  dataDir: string
  /** Of the primary, or of the one server. */
  pid: number
  /** stdout and stderr so far. */
  output (): string
  /** Log lines so far, parsed. */
  logs (): Array<Record<string, unknown>>
  /** SIGTERM, and the exit code (null when it was killed). */
  stop (): Promise<number | null>
  /** SIGKILL, and waits. */
  kill (): Promise<void>
  signal (name: NodeJS.Signals): void
  /** Settles when the process is gone. */
  ended: Promise<{ code: number | null, signal: NodeJS.Signals | null }>
}

export interface StartOptions {
  env?: Record<string, string>
  /** Default: a new one, removed afterwards. */
  dataDir?: string
  /** Default: the real one. */
  main?: URL
  /** Default: the data directory, away from the project, so that nobody's .env is read. */
  cwd?: string
  /** Default 60 s: it only ends a wait that would not end. */
  readyTimeoutMs?: number
}

const MAIN = new URL('../src/main.ts', import.meta.url)
const READY_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 30_000
const IS_COVERED = process.env.NODE_V8_COVERAGE !== undefined

/**
 * Only what a process needs: the environment of whoever runs the tests must not configure the server. Compiled code is
 * shared by all processes of a run, except where coverage needs it compiled anew.
 */
export function bareEnvironment (): Record<string, string> {
  const { PATH = '', HOME = '', TZ, NODE_V8_COVERAGE, NODE_COMPILE_CACHE } = process.env
  const set = { TZ, ...(NODE_V8_COVERAGE === undefined ? { NODE_COMPILE_CACHE } : { NODE_V8_COVERAGE }) }
  return { PATH, HOME, ...Object.fromEntries(Object.entries(set).filter((entry): entry is [string, string] => entry[1] !== undefined)) }
}

/** With NEKO_TEST_STORE=mongodb a database of its own for each data directory, so that a restart finds what it left (as test/storage.ts). */
function storeEnvironment (dataDir: string): Record<string, string> {
  const { NEKO_TEST_STORE, MONGODB_TEST_URL } = process.env
  if (NEKO_TEST_STORE !== 'mongodb' || MONGODB_TEST_URL === undefined) return {}
  return { MONGODB_URI: MONGODB_TEST_URL, MONGODB_DATABASE: basename(dataDir) }
}

/** A new data directory, removed after the test. */
export function makeDataDir (t: Teardown): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'neko-test-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }))
  return dataDir
}

/** Starts a process without waiting for it to become ready: for those that are meant to refuse. */
export function spawnServer (t: Teardown, options: StartOptions = {}): Omit<StartedServer, 'url' | 'metricsUrl' | 'port'> {
  const dataDir = options.dataDir ?? makeDataDir(t)
  const child = spawn(process.execPath, [fileURLToPath(options.main ?? MAIN)], {
    // Relative paths in tests are none.
    cwd: options.cwd ?? dataDir,
    env: { ...bareEnvironment(), NODE_ENV: 'test', HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0', WORKERS: '1', DATA_DIR: dataDir, LOG_LEVEL: 'info', SHUTDOWN_TIMEOUT_MS: '25000', ...storeEnvironment(dataDir), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
  const ended = once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as NodeJS.Signals | null }))
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  const stop = async (): Promise<number | null> => {
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    const { code } = await ended
    clearTimeout(timer)
    return code
  }
  // What a killed process ran is not counted: while coverage is taken, whoever is left is asked to end.
  t.teardown(IS_COVERED ? stop : kill)
  return {
    dataDir,
    pid: child.pid as number,
    output: () => text,
    logs: () => text.split('\n').filter((line) => line.startsWith('{')).flatMap((line) => {
      try {
        return [JSON.parse(line) as Record<string, unknown>]
      } catch {
        return []
      }
    }),
    stop,
    kill,
    signal: (name) => { child.kill(name) },
    ended
  }
}

/** The real server as a process of its own, on free ports; resolves when it has printed its banner. */
export async function startServer (t: Teardown, options: StartOptions = {}): Promise<StartedServer> {
  const server = spawnServer(t, options)
  const [url, metricsUrl] = await bannerOf(server, options.readyTimeoutMs ?? READY_TIMEOUT_MS)
  return { ...server, url, metricsUrl, port: Number(new URL(url).port) }
}

async function bannerOf (server: Pick<StartedServer, 'output' | 'ended'>, timeoutMs: number): Promise<[string, string]> {
  let isEnded = false
  server.ended.then(() => { isEnded = true })
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    const health = /^ {2}health +(http:\/\/\S+)\/health\/ready$/m.exec(server.output())
    const metrics = /^ {2}metrics +(http:\/\/\S+)\/metrics$/m.exec(server.output())
    if (health !== null && metrics !== null) return [health[1] as string, metrics[1] as string]
    if (isEnded) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`the server did not become ready:\n${server.output().slice(-4000)}`)
}
