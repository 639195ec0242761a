import { createServer } from 'node:net'
import { Writable } from 'node:stream'
import t from 'tap'
import { createLogger } from '../../src/telemetry/logger.ts'
import { openMetricsServer } from '../../src/telemetry/metrics-server.ts'

t.test('one line per event, secrets hidden, and text cannot forge a line', (t) => {
  const lines: string[] = []
  const destination = new Writable({ write (chunk, _encoding, done) { lines.push(String(chunk)); done() } })
  const { log, flush } = createLogger({ level: 'info', processId: 'p', slot: 1, destination: destination as never })
  log.debug('not shown')
  log.info({ headers: { authorization: 'Bearer abc', cookie: 'c', 'x-api-key': 'k', accept: '*/*' }, password: 'p4', user: { token: 't0k', name: 'n' } }, 'a\n{"level":"fatal"}')
  flush()
  t.equal(lines.length, 1)
  t.equal(lines[0]!.trimEnd().split('\n').length, 1)
  const line = JSON.parse(lines[0]!) as Record<string, unknown>
  t.match(line, { level: 'info', process: 'p', slot: 1, msg: 'a\n{"level":"fatal"}', headers: { accept: '*/*', authorization: '[redacted]', cookie: '[redacted]', 'x-api-key': '[redacted]' }, password: '[redacted]', user: { token: '[redacted]', name: 'n' } })
  const broken = createLogger({ level: 'info', processId: 'p', slot: null, destination: Object.assign(destination, { flushSync () { throw new Error('EPIPE') } }) as never })
  t.doesNotThrow(() => broken.flush(), 'a closed stdout stops no exit')
  t.end()
})

t.test('lines about requests come before whatever is said after them', async (t) => {
  const written: string[] = []
  const { log, requests, flush } = createLogger({ level: 'info', processId: 'p', slot: null, destination: { write: (text: string) => { written.push(text) } } })
  requests.write(`${requests.head}2027-01-15T08:00:00.000Z","msg":"request"}`)
  t.same(written, [], 'they wait for others')
  log.warn('said after it')
  requests.write('{}')
  flush()
  t.same(written.join('').trimEnd().split('\n').map((line) => (JSON.parse(line) as { msg?: string }).msg), ['request', 'said after it', undefined])
  t.match(JSON.parse(written[0]!), { level: 'info', process: 'p', slot: 'primary', pid: process.pid })
  t.equal(createLogger({ level: 'warn', processId: 'p', slot: 0, destination: { write () {} } }).requests.isOn, false)
})

t.test('the metrics server: figures, 503 without, 404 beside, and a port in use is an error', async (t) => {
  let fails = false
  const server = await openMetricsServer({ host: '127.0.0.1', port: 0, render: async () => { if (fails) throw new Error('no'); return 'neko_x 1\n' } })
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${server.port}`
  const good = await fetch(`${url}/metrics?x=1`)
  t.equal(await good.text(), 'neko_x 1\n')
  t.match(good.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  t.equal((await fetch(`${url}/other`)).status, 404)
  fails = true
  t.equal((await fetch(`${url}/metrics`)).status, 503)
  const busy = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => busy.once('listening', resolve))
  t.teardown(() => busy.close())
  await t.rejects(openMetricsServer({ host: '127.0.0.1', port: (busy.address() as { port: number }).port, render: async () => '' }), { code: 'EADDRINUSE' })
})
