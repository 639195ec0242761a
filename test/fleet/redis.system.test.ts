import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createFleetHub } from '../../src/fleet/hub.ts'
import { createLocalFleet } from '../../src/fleet/local.ts'
import { createRedisBridge } from '../../src/fleet/redis.ts'
import { systemClock } from '../../src/std/clock.ts'
import type { Clock } from '../../src/std/clock.ts'
import { until } from '../processes/load.ts'
import { Redis } from 'ioredis'
import { PASSWORD, asAdmin, createTestClient, dataOf } from '../e2e/client.ts'
import { startServer } from '../server.ts'
import type { Teardown } from '../server.ts'
import { showFigure } from '../bar.ts'
import { freePort } from '../services/free-port.ts'
import { redisOn, skipWithoutRedis, startRedis } from '../services/redis.ts'

const skip = skipWithoutRedis
/** More than a file may take: a question that is answered did not wait for it. */
const ASK_MS = 600_000
const log = { error: () => {}, warn: () => {}, info: () => {} }

/** One host: its hub, its bridge, and two processes on it. */
function host (t: Teardown, port: number, name: string, { clock = systemClock, presenceMs = 100 }: { clock?: Clock, presenceMs?: number } = {}) {
  const hub = createFleetHub(systemClock)
  const bridge = createRedisBridge({ url: `redis://127.0.0.1:${port}`, database: 'test', hub, clock, log, presenceMs })
  hub.setBridge(bridge)
  t.teardown(() => bridge.close())
  const fleets = [1, 2].map((n) => createLocalFleet({ processId: `${name}${n}`, clock: systemClock, log, hub }))
  return { hub, bridge, first: fleets[0]!, second: fleets[1]! }
}

t.test('hosts hear each other through Redis, and nobody hears itself', { skip }, async (t) => {
  const { port } = await startRedis(t)
  const x = host(t, port, 'x')
  const y = host(t, port, 'y')
  await until('all four are counted everywhere', () => x.first.processCount() === 4 && y.first.processCount() === 4)
  const heard: string[] = []
  for (const fleet of [x.first, x.second, y.first, y.second]) fleet.subscribe('topic', (_message, from) => heard.push(`${fleet.processId}<${from}`))
  x.first.publish('topic', { n: 1 })
  await until('three others heard', () => heard.length >= 3)
  t.same(heard.sort(), ['x2<x1', 'y1<x1', 'y2<x1'])

  for (const fleet of [x.second, y.first, y.second]) fleet.answer('who', () => fleet.processId)
  t.same((await x.first.ask('who', null, { timeoutMs: ASK_MS })).sort(), ['x2', 'y1', 'y2'], 'no timeout is waited for')
  t.same(await x.first.ask('who', null, { timeoutMs: ASK_MS, processId: 'y2' }), ['y2'])
})

t.test('a host that was stopped for a minute takes nobody for gone', { skip }, async (t) => {
  const { port } = await startRedis(t)
  let stoppedMs = 0
  // Silence counts from four of these on: more than the second from which on a pause of this process is known for one.
  const presenceMs = 400
  const x = host(t, port, 'x', { clock: { ...systemClock, monotonic: () => systemClock.monotonic() + stoppedMs }, presenceMs })
  host(t, port, 'y', { presenceMs })
  await until('all four are counted', () => x.first.processCount() === 4)
  let least = 4
  const looking = setInterval(() => { least = Math.min(least, x.first.processCount()) }, 1)
  t.teardown(() => clearInterval(looking))
  stoppedMs = 60_000
  // Two looks of its own at who is there, of which nothing tells.
  await sleep(2.5 * presenceMs)
  host(t, port, 'z', { presenceMs })
  await until('the newcomer is counted', () => x.first.processCount() === 6)
  t.equal(least, 4)
})

t.test('Redis dying, stalling and returning costs messages, never a wait or a crash', { skip }, async (t) => {
  const redis = await startRedis(t)
  const x = host(t, redis.port, 'x')
  const y = host(t, redis.port, 'y')
  await until('all four are counted', () => x.first.processCount() === 4 && y.first.processCount() === 4)
  let heard = 0
  y.first.subscribe('topic', () => { heard++ })
  x.second.answer('who', () => 'x2')

  await redis.kill()
  const startMs = performance.now()
  x.first.publish('topic', 1)
  showFigure(t, 'publishing does not wait', performance.now() - startMs, 50)
  t.ok((await x.first.ask('who', null, { timeoutMs: 300 })).includes('x2'), 'this host still answers')
  // More than the silence of a host that is gone: nothing tells that it was passed over.
  await sleep(1_000)
  t.equal(x.first.processCount(), 4, 'the last known hosts stay while Redis is away: shares of a limit never become looser')

  await redis.start()
  await until('messages pass again', () => {
    x.first.publish('topic', 1)
    return heard > 0
  })
  redis.signal('SIGSTOP')
  for (let i = 0; i < 100; i++) x.first.publish('topic', i)
  await until('it shows', () => x.hub.bridgeUp() === false)
  redis.signal('SIGCONT')
  heard = 0
  await until('messages pass after the stall', () => {
    x.first.publish('topic', 1)
    return heard > 0
  })
})

t.test('a host that ends says goodbye and is no longer counted', { skip }, async (t) => {
  const { port } = await startRedis(t)
  const x = host(t, port, 'x')
  const y = host(t, port, 'y')
  await until('all four are counted', () => x.first.processCount() === 4 && y.first.processCount() === 4)
  await y.bridge.close()
  await until('two are left', () => x.first.processCount() === 2)
})

t.test('Redis that is not there at start delays nothing', { skip }, async (t) => {
  const x = host(t, await freePort(), 'x')
  x.second.answer('who', () => 'x2')
  t.same(await x.first.ask('who', null, { timeoutMs: ASK_MS }), ['x2'])
})

t.test('the bridge is up when Redis takes what it says, whatever the sockets look like', { skip }, async (t) => {
  const redis = redisOn(t, await freePort())
  const lines: string[] = []
  const hub = createFleetHub(systemClock)
  const note = (_facts: unknown, text: string): void => { lines.push(text) }
  const bridge = createRedisBridge({ url: redis.url, database: 'test', hub, clock: systemClock, log: { error: note, warn: note, info: note } as never, presenceMs: 100 })
  hub.setBridge(bridge)
  t.teardown(() => bridge.close())
  await until('a Redis that is away from the start is said', () => lines.length === 1)
  t.equal(hub.bridgeUp(), false)

  await redis.start()
  await until('up', () => hub.bridgeUp() === true)
  redis.signal('SIGSTOP')
  await until('a stalled Redis is not up, though its sockets are open', () => hub.bridgeUp() === false)
  redis.signal('SIGCONT')
  await until('up again', () => hub.bridgeUp() === true)

  const operator = new Redis(redis.port, '127.0.0.1')
  t.teardown(() => { operator.disconnect() })
  for (const type of ['normal', 'pubsub'] as const) {
    const told = lines.length
    await operator.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
    await until(`the ${type} connection alone is cut`, () => lines.length > told)
    await until('and comes back', () => hub.bridgeUp() === true)
  }
  await operator.config('SET', 'requirepass', 'changed')
  await operator.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await until('a Redis that refuses us is not up', () => hub.bridgeUp() === false)
})

t.test('readiness, the gauges and `breakers` say how Redis is', { skip }, async (t) => {
  const redis = await startRedis(t)
  const server = await startServer(t, { env: { WORKERS: '2', ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_RELAXED: '100000/60/0', REDIS_URL: redis.url } })
  const admin = await asAdmin(createTestClient(t, server))
  const seen = async (): Promise<unknown> => {
    const ready = await (await fetch(`${server.url}/health/ready`)).json() as { status: string, checks: { redis: { up: boolean } } }
    const metrics = await (await fetch(`${server.metricsUrl}/metrics`)).text()
    const gauge = (name: string): string | undefined => new RegExp(`^${name} (\\d)`, 'm').exec(metrics)?.[1]
    const { breakers } = await dataOf<{ breakers: Array<{ name: string, state: string }> }>(admin.graphql('{ breakers { name state } }'))
    return { status: ready.status, redis: ready.checks.redis, up: gauge('neko_redis_up'), breaker: gauge('neko_breaker_state{name="redis"}'), breakers: breakers.map(({ name, state }) => `${name} ${state}`).sort() }
  }
  const becomes = async (what: string, wanted: unknown): Promise<void> => {
    let last: unknown
    await until(what, async () => JSON.stringify(last = await seen()) === JSON.stringify(wanted)).catch(() => {})
    t.same(last, wanted, what)
  }
  await becomes('Redis is up', { status: 'ok', redis: { up: true }, up: '1', breaker: '0', breakers: ['cache closed', 'redis closed', 'storage closed'] })
  await redis.kill()
  await becomes('Redis is away', { status: 'degraded', redis: { up: false }, up: '0', breaker: '2', breakers: ['cache open', 'redis open', 'storage closed'] })
  await redis.start()
  await becomes('Redis is back', { status: 'ok', redis: { up: true }, up: '1', breaker: '0', breakers: ['cache closed', 'redis closed', 'storage closed'] })
})
