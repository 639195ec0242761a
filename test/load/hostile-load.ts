import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { asAdmin, createTestClient, dataOf, productionEnv, type TestClient } from '../e2e/client.ts'
import { bareEnvironment, startServer, type StartedServer } from '../server.ts'
import type { KindSeen, LoadMessage, LoadOrder, LoadSeen } from './hostile-load-process.ts'
import { hostileAddresses } from './hostile-traffic.ts'

/**
 * One round of hostile load against the real server: a process of its own sends, this one watches. What others see of
 * it, and what a round must hold whatever the machine does besides.
 */
export interface Round extends LoadSeen {
  /** The longest turn of the server's event loop. */
  loopMsMax: number
  /** 1 on a machine that nobody else uses: how many times longer the main thread took because it waited for a core. */
  slowness: number
  /** Of the server while the flood lasted, in cores. */
  cpuCores: number
  /** Milliseconds from the flood's start to the block of each hostile address, or null. */
  blockedMs: Array<number | null>
  /** A line of the log about scoring threads that ended. */
  threadsEnded: number
}

const SENDER = fileURLToPath(new URL('hostile-load-process.ts', import.meta.url))
const PAGE = `query ($after: String) {
  decisions(action: BLOCK, first: 100, after: $after) { nodes { value createdAt } pageInfo { hasNextPage endCursor } }
}`
const BLOCKED_MS_MAX = 10_000
const LOOP_MS_MAX = 250
/** Of /proc/<pid>/stat. */
const TICKS_PER_SECOND = 100

export async function runRound (t: Test, { scenario, seconds, quietSeconds }: Omit<LoadOrder, 'port'>): Promise<Round> {
  // One process carries it all: were there two, half of the requests would not meet the flood.
  const env = { ...productionEnv(), TRUST_PROXY: '127.0.0.0/8', LOG_LEVEL: 'warn', NODE_V8_COVERAGE: '' }
  const server = await startServer(t, { env })
  const admin = await asAdmin(createTestClient(t, server))
  const order: LoadOrder = { port: server.port, scenario, seconds, quietSeconds }
  const child = fork(SENDER, [JSON.stringify(order)], { execArgv: [], env: bareEnvironment() })
  t.teardown(() => child.kill('SIGKILL'))
  await nextMessage(child)
  const startedAt = Date.now()
  // Before anything else is waited for: a server that stands still answers its metrics late, too.
  const over = nextMessage(child)
  over.catch(() => {})
  await loopMsOf(server)
  const scheduled = scheduledMsOf(server.pid)
  const cpuBefore = cpuSecondsOf(server.pid)
  const message = await over
  const lastedSeconds = (Date.now() - startedAt) / 1000
  const cpuCores = (cpuSecondsOf(server.pid) - cpuBefore) / lastedSeconds
  const slowness = slownessOf(scheduled, scheduledMsOf(server.pid))
  const loopMsMax = await loopMsOf(server)
  const blockedMs = await blockedMsOf(admin, hostileAddresses(scenario), startedAt)
  await server.kill()
  return {
    ...(message as { seen: LoadSeen }).seen,
    loopMsMax,
    slowness,
    cpuCores,
    blockedMs,
    threadsEnded: server.logs().filter(({ msg }) => /scoring thread ended/.test(String(msg))).length
  }
}

async function nextMessage (child: ChildProcess): Promise<LoadMessage> {
  // Unlike the exit, the end of the channel comes after all messages.
  const died = once(child, 'disconnect').then(() => { throw new Error('the sender ended before it was done') })
  const [message] = await Promise.race([once(child, 'message'), died]) as [LoadMessage]
  return message
}

/** What every round must hold, however slow the machine is. */
export function checkRound (t: Test, round: Round, { scenario }: Pick<LoadOrder, 'scenario'>): void {
  const { flood, quiet, blockedMs, slowness } = round
  for (const [what, kinds] of Object.entries({ quiet, flood })) {
    for (const [kind, { statuses, ms }] of Object.entries(kinds)) {
      t.comment(`${what}, ${kind}: ${JSON.stringify(statuses)}, p50 ${ms.p50.toFixed(1)}, p99 ${ms.p99.toFixed(1)} ms`)
    }
  }
  const { ordinaryMs, loopMsMax, liveMsMax, cpuCores, threadsEnded, lateMsMax } = round
  const [before, beside, loop, live, late] = [
    ordinaryMs.quiet.p99, ordinaryMs.flood.p99, loopMsMax, liveMsMax, lateMsMax
  ].map((ms) => ms.toFixed(1))
  t.comment(`ordinary p99 ${before} quiet, ${beside} ms beside; event loop ${loop}, liveness ${live}, ` +
    `sender late ${late} ms; machine ${slowness.toFixed(1)} times slower, ${cpuCores.toFixed(2)} cores; ` +
    `${threadsEnded} threads ended; ` +
    `blocked after ${JSON.stringify(blockedMs)} ms`)
  t.same(without(quiet.ordinary, ['200']), {}, 'before it ordinary requests are answered')
  t.same(without(quiet['ordinary, large'], ['200']), {}, 'and large ones')
  t.same(without(flood['plain attack'], ['403', '429', '503']), {}, 'no plain attack of others passes')
  // A server that refuses a body unread may end the connection before the answer was read: that is no passage.
  t.same(without(flood.hostile, ['403', '429', '503', '0']), {}, 'nothing hostile passes')
  t.same(without(flood.ordinary, ['200']), {}, 'ordinary requests are answered')
  t.same(without(flood['ordinary, large'], ['200', '429', '503']), {}, 'large ordinary ones too, or told to come again')
  if (scenario === 'four clients') {
    t.ok(blockedMs.every((ms) => ms !== null && ms <= BLOCKED_MS_MAX), 'each hostile client is blocked in time')
  }
  t.ok(loopMsMax <= LOOP_MS_MAX * slowness, `the event loop stood still for ${loopMsMax.toFixed(0)} ms`)
}

/** How many times its quiet p99 the p99 of ordinary requests was. */
export function slowerOf ({ ordinaryMs: { quiet, flood } }: Round): number {
  return flood.p99 / quiet.p99
}

function without (seen: KindSeen | undefined, expected: string[]): Record<string, number> {
  if (seen === undefined) return { 'none was sent': 1 }
  return Object.fromEntries(Object.entries(seen.statuses).filter(([status]) => !expected.includes(status)))
}

/** The longest turn of the loop since the last look: the server forgets what it has told. */
async function loopMsOf (server: StartedServer): Promise<number> {
  const text = await (await fetch(`${server.metricsUrl}/metrics`)).text()
  const seconds = /^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text)?.[1]
  if (seconds === undefined) throw new Error('the metrics tell no delay of the event loop')
  return Number(seconds) * 1000
}

/** All its threads; 0 where the system has no /proc. */
function cpuSecondsOf (pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  } catch {
    return 0
  }
}

interface Scheduled { ranMs: number, waitedMs: number }

/** How long the main thread ran, and how long it was ready to run while others had the cores. Null without /proc. */
function scheduledMsOf (pid: number): Scheduled | null {
  try {
    const [ran, waited] = readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')
    return { ranMs: Number(ran) / 1e6, waitedMs: Number(waited) / 1e6 }
  } catch {
    return null
  }
}

function slownessOf (before: Scheduled | null, after: Scheduled | null): number {
  if (before === null || after === null) return 1
  return 1 + (after.waitedMs - before.waitedMs) / Math.max(1, after.ranMs - before.ranMs)
}

interface Page {
  decisions: {
    nodes: Array<{ value: string, createdAt: string }>
    pageInfo: { hasNextPage: boolean, endCursor: string | null }
  }
}

async function blockedMsOf (admin: TestClient, addresses: string[], startedAt: number): Promise<Array<number | null>> {
  const blockedAt = new Map<string, number>()
  let after: string | null = null
  do {
    const { decisions }: Page = await dataOf<Page>(admin.graphql(PAGE, { after }))
    for (const { value, createdAt } of decisions.nodes) {
      blockedAt.set(value, Math.min(Date.parse(createdAt), blockedAt.get(value) ?? Infinity))
    }
    after = decisions.pageInfo.hasNextPage ? decisions.pageInfo.endCursor : null
  } while (after !== null)
  return addresses.map((address) => {
    const at = blockedAt.get(address) ?? blockedAt.get(address.replace(/::1$/, ':0:0:0:0/64'))
    return at === undefined ? null : at - startedAt
  })
}
