import { createHash } from 'node:crypto'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { freePort } from './free-port.ts'

/**
 * A real server of MongoDB's protocol for a test: FerretDB in the Go program beside this file, built once per version
 * of it into the temporary folder of the system. MONGODB_TEST_URL names another server instead, which cannot be killed.
 */
export interface MongoServer {
  uri: string
  /** Own process, or null for a server of MONGODB_TEST_URL: tests that kill or stop it skip then. */
  pid (): number | null
  /** SIGKILL; resolves when it is gone. */
  kill (): Promise<void>
  /** Starts it again on the same port and data; resolves when it accepts connections. */
  start (): Promise<void>
}

const source = join(import.meta.dirname, 'mongo')
const run = promisify(execFile)

/** null after a comment that counts as a skip: no Go here. With REQUIRE_SERVICES=1 that fails instead. */
export async function startMongo (t: Test, options: { tls?: { cert: string, key: string } } = {}): Promise<MongoServer | null> {
  const given = process.env.MONGODB_TEST_URL
  if (given !== undefined && given !== '' && options.tls === undefined) return { uri: given, pid: () => null, kill: async () => {}, start: async () => {} }
  const binary = await buildMongo()
  if (binary === null) return lacking(t)
  const directory = mkdtempSync(join(tmpdir(), 'neko-mongo-data-'))
  const port = await freePort()
  const address = ['-addr', `127.0.0.1:${options.tls === undefined ? port : await freePort()}`]
  const tls = options.tls === undefined ? [] : ['-tls-addr', `127.0.0.1:${port}`, '-tls-cert', options.tls.cert, '-tls-key', options.tls.key]
  let child: ChildProcess | null = null
  const start = async (): Promise<void> => {
    child = spawn(binary, [...address, ...tls, '-dir', directory], { stdio: 'ignore' })
    await accepting(port)
  }
  const kill = async (): Promise<void> => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise<void>((resolve) => child!.once('exit', () => resolve()))
    child.kill('SIGKILL')
    await ended
  }
  t.teardown(async () => {
    await kill()
    rmSync(directory, { recursive: true, force: true })
  })
  await start()
  return { uri: `mongodb://127.0.0.1:${port}/`, pid: () => child?.pid ?? null, kill, start }
}

function lacking (t: Test): null {
  const message = 'no Go compiler here: the MongoDB tests need one, or MONGODB_TEST_URL'
  if (process.env.REQUIRE_SERVICES === '1') t.fail(message)
  else t.comment(`# SKIP ${message}`)
  return null
}

/** The path of the program, or null without Go. The name holds the hash of the sources, so a change builds anew. */
async function buildMongo (): Promise<string | null> {
  const hash = createHash('sha256')
  for (const name of ['go.mod', 'go.sum', 'main.go']) hash.update(readFileSync(join(source, name)))
  const folder = join(tmpdir(), `neko-mongo-${hash.digest('hex').slice(0, 16)}`)
  const binary = join(folder, 'neko-mongo')
  if (existsSync(binary)) return binary
  mkdirSync(folder, { recursive: true })
  const fresh = `${binary}.${process.pid}`
  try {
    await run('go', ['build', '-o', fresh, '.'], { cwd: source, timeout: 600_000 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  // Two test files may build at once: the last rename wins, and both are the same program.
  renameSync(fresh, binary)
  return binary
}

/** Resolves when something accepts connections there; rejects after 20 s. */
async function accepting (port: number): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => { socket.destroy(); resolve(true) })
      socket.once('error', () => resolve(false))
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('the MongoDB-protocol server did not start within 20 s')
}
