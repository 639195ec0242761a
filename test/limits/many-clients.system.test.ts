import { readFileSync } from 'node:fs'
import t from 'tap'
import { Client } from 'undici'
import { BROWSER } from '../e2e/client.ts'
import { openInspector } from '../inspector.ts'
import { scaled } from '../scale.ts'
import { startServer } from '../server.ts'

/** What each distinct address adds to a real server. What it costs the rooms themselves: many-clients.timing.test.ts. */
const OVER_HTTP = scaled(2_000, 20_000)
const GROWTH_MB_MAX = 64

t.test(`${OVER_HTTP} distinct addresses over HTTP`, async (t) => {
  const server = await startServer(t, { env: { NODE_OPTIONS: '--inspect=127.0.0.1:0', TRUST_PROXY: '127.0.0.1/32', RATE_LIMIT_STANDARD: '9999999/60/0', CHALLENGE_THRESHOLD: '100', BLOCK_THRESHOLD: '100', LOG_LEVEL: 'error', NEVER_BLOCK: '192.0.2.1/32' } })
  const client = new Client(server.url, { pipelining: 1 })
  const inspector = await openInspector(server)
  t.teardown(() => {
    inspector.close()
    return client.destroy()
  })
  // Garbage that V8 has not collected yet grows with the requests, whoever sends them: some 2.5 KB each.
  const grown = async (): Promise<number> => {
    await inspector.heapBytes()
    return rssMb(server.pid)
  }
  const ask = async (i: number): Promise<number> => {
    const { statusCode, body } = await client.request({ path: '/item/1', method: 'GET', headers: { ...BROWSER, 'x-forwarded-for': `100.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}` } })
    await body.dump()
    return statusCode
  }
  // As many of few addresses first: they compile the code and fill the receipts, whoever asks.
  for (let i = 0; i < OVER_HTTP; i++) await ask(i % 50)
  const before = await grown()
  let answered = 0
  for (let i = 0; i < OVER_HTTP; i++) if (await ask(i) < 500) answered++
  t.equal(answered, OVER_HTTP, 'all are answered')
  const grownMb = await grown() - before
  t.comment(`+${grownMb.toFixed(1)} MB`)
  t.ok(grownMb <= GROWTH_MB_MAX, `grew by ${grownMb.toFixed(1)} MB`)
})

function rssMb (pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}
