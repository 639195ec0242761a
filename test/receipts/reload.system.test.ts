import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { request } from 'undici'
import { askServer } from '../../src/processes/control-client.ts'
import { until } from '../processes/load.ts'
import { readyOf } from '../processes/status-of.ts'
import { startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'

/** What is counted outlives the process that counted it: figures of `stats`, and Prometheus' counters. */
const COUNTERS = ['neko_http_requests_total', 'neko_assessments_total', 'neko_assessment_score_count', 'neko_limit_decisions_total', 'neko_scoring_duration_seconds_count']
const LOOK_MS = 150
/** How often a worker hands over what it counted. */
const HAND_OVER_MS = 250

async function pidsOf (server: StartedServer): Promise<number[]> {
  return (await readyOf(server)).map(({ pid }) => pid)
}

t.test('figures and counters survive a reload and the death of every worker', async (t) => {
  const server = await startServer(t, { env: { WORKERS: '2', LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '100000/60/0', ENFORCEMENT: 'shadow' } })
  let sent = 0
  const ask = async (path: string, body: string): Promise<string> => {
    const reply = await request(server.url + path, { reset: true, method: 'POST', headers: { 'content-type': 'application/json' }, body })
    sent++
    return await reply.body.text()
  }
  const traffic = async (count: number): Promise<void> => { for (let i = 0; i < count; i++) await ask('/graphql', '{"query": "{ threatCounts { count } }"}') }
  const requests = async (windowSeconds: number): Promise<number> => (JSON.parse(await ask('/graphql', JSON.stringify({ query: `{ stats(windowSeconds: ${windowSeconds}) { requests } }` }))) as { data: { stats: { requests: number } } }).data.stats.requests

  const seen = new Map<string, number>()
  const fallen: string[] = []
  const look = async (): Promise<void> => {
    const text = await (await request(`${server.metricsUrl}/metrics`)).body.text()
    for (const name of COUNTERS) {
      const now = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce((sum, match) => sum + Number(match[1]), 0)
      const before = seen.get(name) ?? 0
      if (now < before) fallen.push(`${name}: ${before} -> ${now}`)
      seen.set(name, now)
    }
  }
  let isOver = false
  const watch = (async () => {
    for (; !isOver; await sleep(LOOK_MS)) await look()
  })()
  /** All that was asked before is counted, once: what a reply leaves behind a moment later, and never more. */
  const same = async (what: string): Promise<void> => {
    for (const windowSeconds of [3_600, 86_400, 3_600, 86_400]) {
      await until(`${what}: the last ${windowSeconds} s`, async () => {
        const told = sent
        const counted = await requests(windowSeconds)
        if (counted > told) throw new Error(`${what}: ${counted} of ${told} in the last ${windowSeconds} s`)
        return counted === told
      })
    }
    t.pass(`${what}: all is counted, once`)
  }
  /** Both workers had a turn after their time to hand over, and had counted all by then: the answer to a scrape says so. */
  const handedOver = async (): Promise<void> => {
    await sleep(HAND_OVER_MS + 50)
    await until('both workers tell all counters', async () => {
      await look()
      return seen.get('neko_http_requests_total') === sent
    })
  }

  await traffic(120)
  await same('before')
  const first = await pidsOf(server)
  const reload = askServer({ dataDir: server.dataDir, verb: 'reload', args: null }, () => {})
  let isReloading = true
  reload.finally(() => { isReloading = false }).catch(() => {})
  for (; isReloading; await sleep(10)) await traffic(2)
  t.match(await reload, { ok: true })
  const second = await pidsOf(server)
  t.notOk(second.some((pid) => first.includes(pid)), 'all workers are other ones')
  await same('after a reload under load')

  await traffic(40)
  await handedOver()
  for (const pid of second) process.kill(pid, 'SIGKILL')
  await until('both are replaced', async () => {
    const now = await pidsOf(server)
    return now.length === 2 && !now.some((pid) => second.includes(pid))
  })
  await same('after both were killed in one moment')
  isOver = true
  await watch
  t.same(fallen, [], 'no counter ever fell')
  t.equal(await server.stop(), 0)
})
