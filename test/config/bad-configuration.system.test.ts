import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { strongKey } from '../e2e/client.ts'
import { makeDataDir, spawnServer, startServer } from '../server.ts'
import { showFigure } from '../bar.ts'

/**
 * Every bad configuration ends the real server with 78 and one JSON line that names the variable and never its value;
 * what merely looks like ours only warns, and what is merely down lets it start degraded. How fast: start.timing.
 */
/** Servers at once. */
const LANES = 3

t.test('bad configurations', async (t) => {
  const busy = createServer().listen(0, '127.0.0.1')
  await once(busy, 'listening')
  t.teardown(() => busy.close())
  const port = String((busy.address() as AddressInfo).port)
  const directory = mkdtempSync(join(tmpdir(), 'neko-r46-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const closed = join(directory, 'closed')
  writeFileSync(closed, strongKey())
  chmodSync(closed, 0)
  const unreadable = process.getuid?.() === 0 ? join(directory, 'absent') : closed
  const file = join(directory, 'file')
  writeFileSync(file, '')
  const secret = ['hunter', '2-', 'hunter', '2'].join('')
  const production = { NODE_ENV: 'production', JWT_SECRET: strongKey(), AUDIT_SIGNING_KEY: strongKey() }
  const bad: Array<[variable: string, env: Record<string, string>, damage?: (dataDir: string) => void]> = [
    ['JWT_SECRET', { NODE_ENV: 'production', AUDIT_SIGNING_KEY: strongKey() }],
    ['JWT_SECRET', { ...production, JWT_SECRET: secret }],
    ['JWT_SECRET', { ...production, JWT_SECRET: `change-me-${secret}-change-me-please` }],
    ['AUDIT_SIGNING_KEY', { NODE_ENV: 'production', JWT_SECRET: strongKey() }],
    ['AUDIT_SIGNING_KEY', { ...production, AUDIT_SIGNING_KEY: secret }],
    ['ADMIN_PASSWORD', { ADMIN_PASSWORD: 'hunter2' }],
    ['JWT_SECRET_FILE', { JWT_SECRET_FILE: unreadable }],
    ['PORT', { PORT: 'eighty' }],
    ['PORT', { PORT: port }],
    ['PORT', { PORT: port, WORKERS: '2' }],
    ['METRICS_PORT', { METRICS_PORT: port }],
    ['METRICS_PORT', { METRICS_PORT: port, WORKERS: '2' }],
    ['HOST', { HOST: '203.0.113.1' }],
    ['WORKERS', { WORKERS: '0' }],
    ['LOG_LEVEL', { LOG_LEVEL: 'loud' }],
    ['TRUST_PROXY', { TRUST_PROXY: '10.0.0.0/64' }],
    ['TRUST_PROXY', { TRUST_PROXY: 'true' }],
    ['DATA_DIR', { DATA_DIR: '/dev/null/neko' }],
    ['DATA_DIR', { DATA_DIR: '/proc/neko' }],
    ['DATA_DIR', { DATA_DIR: file }],
    ['DATA_DIR', { DATA_DIR: file, LOG_LEVEL: 'silent' }],
    ['REDIS_URL', { REDIS_URL: ['reddis://u:', secret, '@127.0.0.1'].join('') }],
    ['MONGODB_URI', { MONGODB_URI: ['mongo://u:', secret, '@127.0.0.1'].join('') }],
    ['RATE_LIMIT_STRICT', { RATE_LIMIT_STRICT: 'ten' }],
    ['CORS_ORIGIN', { CORS_ORIGIN: '*' }],
    ['WEBHOOK_SECRET', { WEBHOOK_URLS: `https://hooks.example/${secret}` }],
    // The servers run in their data directories: that is where they look for .env.
    ['.env', {}, (dataDir) => { writeFileSync(join(dataDir, '.env'), '') }],
    ['.env', {}, (dataDir) => { writeFileSync(join(dataDir, '.env'), Buffer.from(`\ufeffREGION=${secret}\n`, 'utf16le')) }],
    ['JWT_SECRET', {}, (dataDir) => { writeFileSync(join(dataDir, 'jwt.secret'), '', { mode: 0o600 }) }],
    // As a file system shows bytes that a power cut kept from the disk.
    ['JWT_SECRET', { WORKERS: '2' }, (dataDir) => { writeFileSync(join(dataDir, 'jwt.secret'), Buffer.alloc(65), { mode: 0o600 }) }],
    ['AUDIT_SIGNING_KEY', {}, (dataDir) => {
      mkdirSync(join(dataDir, 'audit'))
      writeFileSync(join(dataDir, 'audit', 'signing.key'), secret, { mode: 0o600 })
    }],
    ['DATA_DIR', {}, (dataDir) => { mkdirSync(join(dataDir, 'neko.sock')) }],
    ['DATA_DIR', {}, (dataDir) => { writeFileSync(join(dataDir, 'playbooks.json'), `[{"name":"${secret}`) }]
  ]
  let slowestMs = 0
  const refuses = async ([variable, env, damage]: typeof bad[number]): Promise<void> => {
    const dataDir = makeDataDir(t)
    damage?.(dataDir)
    const startMs = performance.now()
    const server = spawnServer(t, { env, dataDir })
    const { code } = await server.ended
    slowestMs = Math.max(slowestMs, performance.now() - startMs)
    const title = `${variable} of ${Object.keys(env).join(' ')} ${damage ?? ''}`
    t.equal(code, 78, title)
    const lines = server.output().trim().split('\n').filter((line) => !line.startsWith('(')).filter((line) => line !== '')
    t.equal(lines.length, 1, server.output())
    t.match(server.logs()[0], { level: 'fatal', variable, message: String }, title)
    for (const hidden of [secret, 'hunter2', production.JWT_SECRET]) t.notOk(server.output().includes(hidden), title)
  }
  const waiting = [...bad]
  await Promise.all(Array.from({ length: LANES }, async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await refuses(next)
  }))
  showFigure(t, `the slowest of ${bad.length} configurations`, slowestMs, 2000)
})

t.test('a near miss and a key that others may read only warn, and the REDIS_PORT that Kubernetes injects is ignored', async (t) => {
  const dataDir = makeDataDir(t)
  writeFileSync(join(dataDir, 'jwt.secret'), strongKey().repeat(2), { mode: 0o644 })
  const server = await startServer(t, { dataDir, env: { RATE_LIMIT_STIRCT: '1/1', REDIS_PORT: 'tcp' + '://10.0.0.1:6379' } })
  t.match(server.logs().find(({ msg }) => msg === 'an unknown variable looks like one of ours'), { level: 'warn', variable: 'RATE_LIMIT_STIRCT', meant: 'RATE_LIMIT_STRICT' })
  t.match(server.logs().filter(({ file }) => file === 'jwt.secret'), [{ level: 'warn', mode: '0644' }])
  t.equal(statSync(join(dataDir, 'jwt.secret')).mode & 0o777, 0o600)
  t.equal((await fetch(`${server.url}/health`)).status, 200)
  t.equal(await server.stop(), 0)
})

t.test('Redis or the database down: it serves, and says that it is degraded', async (t) => {
  const down: Array<Record<string, string>> = [{ REDIS_URL: 'redis://127.0.0.1:1' }, { MONGODB_URI: 'mongodb://127.0.0.1:1/', REDIS_URL: 'redis://127.0.0.1:1', WORKERS: '2' }]
  for (const env of down) {
    const dataDir = makeDataDir(t)
    const title = Object.keys(env).join(' ')
    const startMs = performance.now()
    const server = await startServer(t, { env, dataDir })
    const reply = await fetch(`${server.url}/health/ready`)
    const ms = performance.now() - startMs
    showFigure(t, title, ms, 3000)
    t.equal(reply.status, 200, title)
    t.match(await reply.json(), { status: 'MONGODB_URI' in env ? 'degraded' : /^(ok|degraded)$/ }, title)
    t.equal((await fetch(`${server.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"query":"{ health { status } }"}' })).status, 200)
    t.equal(await server.stop(), 0, title)
  }
})
