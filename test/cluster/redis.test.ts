import { spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { createFleetHub } from '../../src/cluster/fleet-hub.ts'
import { createLocalFleet } from '../../src/cluster/fleet-local.ts'
import { createRedisBridge } from '../../src/cluster/fleet-redis.ts'
import { systemClock } from '../../src/std/clock.ts'
import { until } from './load.ts'
import type { Teardown } from '../server.ts'

const isHere = spawnSync('redis-server', ['--version']).status === 0
const skip = isHere || process.env.REQUIRE_SERVICES === '1' ? false : 'redis-server is absent'
const log = { error: () => {}, warn: () => {}, info: () => {} }

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

async function startRedis (t: Teardown, port: number): Promise<{ kill: () => Promise<void>, signal: (name: NodeJS.Signals) => void }> {
  const child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = once(child, 'exit')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  t.teardown(kill)
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => { text += chunk.toString() })
  await until('redis listens', () => text.includes('Ready to accept'))
  return { kill, signal: (name) => { child.kill(name) } }
}

/** One host: its hub, its bridge, and two processes on it. */
function host (t: Teardown, port: number, name: string) {
  const hub = createFleetHub()
  const bridge = createRedisBridge({ url: `redis://127.0.0.1:${port}`, database: 'test', hub, clock: systemClock, log, presenceMs: 100 })
  hub.setBridge(bridge)
  t.teardown(() => bridge.close())
  const fleets = [1, 2].map((n) => createLocalFleet({ processId: `${name}${n}`, log, hub }))
  return { hub, bridge, first: fleets[0]!, second: fleets[1]! }
}

t.test('hosts hear each other through Redis, and nobody hears itself', { skip }, async (t) => {
  const port = await freePort()
  await startRedis(t, port)
  const x = host(t, port, 'x')
  const y = host(t, port, 'y')
  await until('all four are counted everywhere', () => x.first.processCount() === 4 && y.first.processCount() === 4)
  const heard: string[] = []
  for (const fleet of [x.first, x.second, y.first, y.second]) fleet.subscribe('topic', (_message, from) => heard.push(`${fleet.processId}<${from}`))
  x.first.publish('topic', { n: 1 })
  await until('three others heard', () => heard.length >= 3)
  t.same(heard.sort(), ['x2<x1', 'y1<x1', 'y2<x1'])

  for (const fleet of [x.second, y.first, y.second]) fleet.answer('who', () => fleet.processId)
  const startMs = performance.now()
  t.same((await x.first.ask('who', null, { timeoutMs: 5000 })).sort(), ['x2', 'y1', 'y2'])
  t.same(await x.first.ask('who', null, { timeoutMs: 5000, processId: 'y2' }), ['y2'])
  t.ok(performance.now() - startMs < 2000, 'no timeout was waited for')
})

t.test('Redis dying, stalling and returning costs messages, never a wait or a crash', { skip }, async (t) => {
  const port = await freePort()
  const redis = await startRedis(t, port)
  const x = host(t, port, 'x')
  const y = host(t, port, 'y')
  await until('all four are counted', () => x.first.processCount() === 4 && y.first.processCount() === 4)
  let heard = 0
  y.first.subscribe('topic', () => { heard++ })
  x.second.answer('who', () => 'x2')

  await redis.kill()
  const startMs = performance.now()
  x.first.publish('topic', 1)
  t.ok(performance.now() - startMs < 50, 'publishing does not wait')
  t.ok((await x.first.ask('who', null, { timeoutMs: 300 })).includes('x2'), 'this host still answers')
  await new Promise((resolve) => setTimeout(resolve, 1000))
  t.equal(x.first.processCount(), 4, 'the last known hosts stay while Redis is away: shares of a limit never become looser')

  const again = await startRedis(t, port)
  await until('messages pass again', () => {
    x.first.publish('topic', 1)
    return heard > 0
  })
  again.signal('SIGSTOP')
  for (let i = 0; i < 100; i++) x.first.publish('topic', i)
  await new Promise((resolve) => setTimeout(resolve, 500))
  again.signal('SIGCONT')
  heard = 0
  await until('messages pass after the stall', () => {
    x.first.publish('topic', 1)
    return heard > 0
  })
})

t.test('a host that ends says goodbye and is no longer counted', { skip }, async (t) => {
  const port = await freePort()
  await startRedis(t, port)
  const x = host(t, port, 'x')
  const y = host(t, port, 'y')
  await until('all four are counted', () => x.first.processCount() === 4 && y.first.processCount() === 4)
  await y.bridge.close()
  await until('two are left', () => x.first.processCount() === 2, 2000)
})

t.test('Redis that is not there at start delays nothing', { skip }, async (t) => {
  const x = host(t, await freePort(), 'x')
  x.second.answer('who', () => 'x2')
  const startMs = performance.now()
  t.same(await x.first.ask('who', null, { timeoutMs: 5000 }), ['x2'])
  t.ok(performance.now() - startMs < 500)
})
