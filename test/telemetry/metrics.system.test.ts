import t from 'tap'
import { PASSWORD, asAdmin, createTestClient } from '../e2e/client.ts'
import { until } from '../processes/load.ts'
import { startServer } from '../server.ts'

/** The metrics endpoint of two processes: every promised name is there, sums are what was sent, hostile names add no series. */
const NAMES = [
  'neko_http_requests_total', 'neko_http_request_duration_seconds', 'neko_http_requests_in_flight', 'neko_assessments_total', 'neko_assessment_score', 'neko_factor_contribution', 'neko_scoring_duration_seconds',
  'neko_scoring_queue_size', 'neko_limit_decisions_total', 'neko_cache_requests_total', 'neko_breaker_state', 'neko_decisions_active', 'neko_playbook_runs_total', 'neko_audit_events_total', 'neko_audit_backlog',
  'neko_storage_up', 'neko_redis_up', 'neko_processes', 'neko_process_restarts_total', 'neko_log_lines_dropped_total'
]
const SERIES_MAX = 2000

t.test('metrics over two processes', async (t) => {
  const server = await startServer(t, { env: { WORKERS: '2', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '200/60/60', RATE_LIMIT_RELAXED: '100000/60/0' } })
  const client = createTestClient(t, server)
  const scrape = async (): Promise<string> => await (await fetch(`${server.metricsUrl}/metrics`)).text()
  const sum = (text: string, name: string, labels = ''): number => [...text.matchAll(new RegExp(`^${name}(?:\\{([^}]*)\\})? ([\\d.e+-]+)$`, 'gm'))].filter((match) => (match[1] ?? '').includes(labels)).reduce((total, match) => total + Number(match[2]), 0)
  const before = await scrape()
  const admin = await asAdmin(client)
  let sent = 1
  let previous = before
  for (let round = 0; round < 5; round++) {
    await Promise.all(Array.from({ length: 40 }, async (_, i) => {
      sent++
      return await admin.ask([`/hostile/${round}/${i}`, '/graphql?query={health{status}}', `/x?${'a'.repeat(50)}=${i}`, '/graphql?query=query+Op' + round + 'x' + i + '{health{status}}'][i % 4]!, { headers: { 'user-agent': `agent ${round} ${i} "}\\n` } })
    }))
    const now = await scrape()
    for (const name of ['neko_http_requests_total', 'neko_assessments_total', 'neko_http_request_duration_seconds_count']) t.ok(sum(now, name) >= sum(previous, name), `${name} does not fall`)
    previous = now
  }
  // Anonymous ones beyond the limit: refused ones count as well.
  await Promise.all(Array.from({ length: 260 }, async () => { sent++; return await client.ask('/nothing') }))
  // What a reply leaves behind is counted after it has left: one thing after the other, so until the last is.
  const isCounted = (text: string): boolean =>
    ['neko_http_requests_total', 'neko_http_request_duration_seconds_count', 'neko_assessments_total'].every((name) => sum(text, name) - sum(before, name) >= sent) &&
    sum(text, 'neko_http_requests_in_flight') === 0
  const text = await until('all is counted', async () => {
    const now = await scrape()
    return isCounted(now) ? now : null
  })
  t.equal(sum(text, 'neko_http_requests_total') - sum(before, 'neko_http_requests_total'), sent, 'every request is counted once')
  t.equal(sum(text, 'neko_http_request_duration_seconds_count') - sum(before, 'neko_http_request_duration_seconds_count'), sent)
  t.equal(sum(text, 'neko_assessments_total') - sum(before, 'neko_assessments_total'), sent, 'and judged once')
  const loginTries = sum(text, 'neko_limit_decisions_total', 'tier="strict"')
  t.equal(loginTries, 2, 'the login asked for its account and for its address')
  t.equal(sum(text, 'neko_limit_decisions_total') - sum(before, 'neko_limit_decisions_total') - loginTries, sent, 'every request asked once')
  t.equal(sum(text, 'neko_limit_decisions_total', 'result="refused"'), sum(text, 'neko_assessments_total', 'source="limit"'))
  t.ok(sum(text, 'neko_assessments_total', 'source="limit"') >= 50)
  t.equal(sum(text, 'neko_http_requests_in_flight'), 0)
  t.equal(sum(text, 'neko_processes', 'state="ready"'), 2)
  t.equal(sum(text, 'neko_storage_up'), 1)
  for (const name of NAMES) t.match(text, new RegExp(`^# TYPE ${name} `, 'm'), name)
  t.match(text, /^process_resident_memory_bytes/m)
  t.match(text, /^nodejs_eventloop_lag_seconds/m)
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  t.ok(series.length <= SERIES_MAX, `${series.length} series`)
  t.notMatch(text, /hostile|agent \d|Op\dx|aaaaa/)
  t.equal((await fetch(`${server.metricsUrl}/`)).status, 404)
  t.equal((await fetch(`${server.metricsUrl}/metrics`, { method: 'POST' })).status, 404)
  t.notMatch((await admin.ask('/metrics')).text, /neko_http/, 'not on the public port')
})
