import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Teardown } from '../server.ts'
import { freePort } from './free-port.ts'

/** A real Redis that keeps nothing on disk: one that was killed comes back empty, on the same port. */
export interface RedisServer {
  port: number
  url: string
  /** SIGKILL; resolves when it is gone. */
  kill (): Promise<void>
  /** Starts it again; resolves when it accepts connections. */
  start (): Promise<void>
  signal (name: NodeJS.Signals): void
}

const isHere = spawnSync('redis-server', ['--version']).status === 0

/** What a test that needs Redis says to tap. With REQUIRE_SERVICES=1 it fails where there is none. */
export const skipWithoutRedis: string | false = isHere || process.env.REQUIRE_SERVICES === '1' ? false : 'redis-server is absent'

/** On a port of its own, and already started. It ends with the test. */
export async function startRedis (t: Teardown): Promise<RedisServer> {
  const redis = redisOn(t, await freePort())
  await redis.start()
  return redis
}

/** Not started yet. */
export function redisOn (t: Teardown, port: number): RedisServer {
  let child: ChildProcess | null = null
  const kill = async (): Promise<void> => {
    if (child === null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    child = null
    await ended
  }
  const start = async (): Promise<void> => {
    const started = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: ['ignore', 'pipe', 'ignore'] })
    child = started
    await listening(started)
  }
  t.teardown(kill)
  return { port, url: `redis://127.0.0.1:${port}`, kill, start, signal: (name) => { child?.kill(name) } }
}

async function listening (child: ChildProcess): Promise<void> {
  let text = ''
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`Redis did not start:\n${text}`)))
    child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
      // What it says later is read, so that it never waits for this process, and not kept.
      if (text.length < 10_000) text += chunk
      if (text.includes('Ready to accept')) resolve()
    })
  })
}
