/**
 * What a blocked address costs (hop 1) beside `/health/live`: requests per second of both in one run, alternating, server
 * and load in separate processes. The bar is 80 %. CPU per request is shown beside it: it says more on a busy machine.
 *
 *   node bench/blocked.ts [seconds per round]
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SECONDS = Number(process.argv[2] ?? 3)
const ROUNDS = 6
const PASSWORD = 'a long enough password'
const BLOCKED = '203.0.113.9'

const dataDir = mkdtempSync(join(tmpdir(), 'neko-bench-'))
const server = spawn(process.execPath, [fileURLToPath(new URL('../src/main.ts', import.meta.url))], {
  cwd: dataDir,
  env: { PATH: process.env['PATH'] ?? '', HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0', WORKERS: '1', DATA_DIR: dataDir, LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'info', TRUST_PROXY: '127.0.0.1/32', ADMIN_PASSWORD: PASSWORD },
  stdio: ['ignore', 'pipe', 'ignore']
})
try {
  const url = await bannerUrl()
  await block(url)
  const rates: Record<'live' | 'blocked', number[]> = { live: [], blocked: [] }
  const costs: Record<'live' | 'blocked', number[]> = { live: [], blocked: [] }
  measure(`${url}/health/live`)
  measure(`${url}/graphql?query=%7B__typename%7D`)
  for (let round = 0; round < ROUNDS; round++) {
    const pair = [['live', '/health/live'], ['blocked', '/graphql?query=%7B__typename%7D']] as const
    // Each goes first as often: a machine that gets busier must not favour one.
    for (const [kind, path] of round % 2 === 0 ? pair : pair.toReversed()) {
      const before = cpuMs()
      const rate = measure(url + path)
      rates[kind].push(rate)
      costs[kind].push((cpuMs() - before) * 1000 / (rate * SECONDS))
    }
  }
  const middle = (list: number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1] as number
  console.log(`node ${process.version}, ${cpus().length} cores, ${SECONDS} s per round`)
  console.log(`CPU us per request: live ${middle(costs.live).toFixed(1)}   blocked ${middle(costs.blocked).toFixed(1)}   live/blocked ${(middle(costs.live) / middle(costs.blocked)).toFixed(2)}`)
  console.log(`live ${rates.live.join(' ')}   blocked ${rates.blocked.join(' ')}   blocked/live ${middle(rates.blocked.map((rate, i) => rate / rates.live[i]!)).toFixed(2)} (middle of the pairs)`)
} finally {
  server.kill('SIGTERM')
  await once(server, 'close')
  rmSync(dataDir, { recursive: true, force: true })
}

/** Of the server, all threads, in steps of 10 ms (Linux only; elsewhere 0). */
function cpuMs (): number {
  try {
    const fields = readFileSync(`/proc/${server.pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return 0
  }
}

async function bannerUrl (): Promise<string> {
  let text = ''
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  // Read to the end: what it logs must not fill the pipe.
  server.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    if (text.length > 10_000) return
    text += chunk
    const found = /health +(http:\/\/\S+)\/health\/ready/.exec(text)
    if (found !== null) resolve(found[1] as string)
  })
  server.once('close', () => reject(new Error(`the server did not start: ${text}`)))
  return await promise
}

async function block (url: string): Promise<void> {
  const ask = async (query: string, token?: string): Promise<{ data: { login: { accessToken: string } } }> => await (await fetch(`${url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) }, body: JSON.stringify({ query }) })).json() as never
  const { data } = await ask(`mutation { login(username: "admin", password: ${JSON.stringify(PASSWORD)}) { accessToken } }`)
  await ask(`mutation { addDecision(scope: IP, value: "${BLOCKED}", action: BLOCK, reason: "bench") { id } }`, data.login.accessToken)
}

/** Requests per second by autocannon, in a process of its own. */
function measure (url: string): number {
  const text = execFileSync(process.execPath, [fileURLToPath(new URL('../node_modules/autocannon/autocannon.js', import.meta.url)), '-j', '-c', '32', '-d', String(SECONDS), '-H', `x-forwarded-for=${BLOCKED}`, url], { stdio: ['ignore', 'pipe', 'ignore'] })
  return Math.round((JSON.parse(String(text)) as { requests: { average: number } }).requests.average)
}
