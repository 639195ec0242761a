import fc from 'fast-check'
import t from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { createRequestLines } from '../../src/transaction/request-line.ts'
import type { LogLine, Transaction } from '../../src/transaction/transaction.ts'
import { scaled } from '../scale.ts'

/** The one line of a request: what it says, what it never says, and how many there are. */
const HTTP: LogLine = { requestId: 'r-1', method: 'GET', route: '/graphql', status: 200, ms: 1.25 }
const PLAIN = {
  door: 'http',
  id: 'as_abcdefghijkl_0',
  client: 'ip:192.0.2.1',
  address: '192.0.2.1',
  principal: null,
  target: '/graphql?query=secret',
  headers: ['Host', 'a', 'User-Agent', 'curl/8'],
  refusedBy: null,
  verdict: { action: 'ALLOW', simulated: false },
  score: { value: 3.5, factors: [{ name: 'userAgent', contribution: 3.5, evidence: [] }] }
} as unknown as Transaction

function openLines (which: 'all' | 'acted' | 'off' = 'all', isOn = true): { write (about: Partial<Transaction>, line?: Partial<LogLine>): void, take (): Array<Record<string, unknown>>, clock: ReturnType<typeof createTestClock> } {
  const clock = createTestClock(1_800_000_000_007)
  const written: string[] = []
  const requests = { isOn, head: '{"level":"info","process":"p","slot":0,"pid":7,"time":"', write: (line: string) => { written.push(line) }, flush () {}, dropped: () => 0 }
  const lines = createRequestLines({ requests, clock, which })
  return {
    clock,
    write: (about, line = {}) => lines.write({ ...PLAIN, ...about }, { ...HTTP, ...line }),
    take: () => written.splice(0).map((line) => JSON.parse(line) as Record<string, unknown>)
  }
}

t.test('what it says', async (t) => {
  const lines = openLines()
  lines.write({})
  t.strictSame(lines.take(), [{ level: 'info', process: 'p', slot: 0, pid: 7, time: new Date(1_800_000_000_007).toISOString(), assessment: 'as_abcdefghijkl_0', client: 'ip:192.0.2.1', requestId: 'r-1', method: 'GET', route: '/graphql', path: '/graphql', agent: 'curl/8', status: 200, ms: 1.25, score: 3.5, action: 'ALLOW', factor: 'userAgent', msg: 'request' }])
  lines.clock.advance(1_993)
  lines.write({ door: 'websocket', principal: {} as never, client: 'user:u1', headers: [], refusedBy: 'score', score: null, verdict: null }, { method: 'WS', requestId: null, route: null, ms: null, status: 403 })
  t.strictSame(lines.take(), [{ level: 'info', process: 'p', slot: 0, pid: 7, time: new Date(1_800_000_002_000).toISOString(), assessment: 'as_abcdefghijkl_0', client: 'user:u1', address: '192.0.2.1', method: 'WS', route: null, path: '/graphql', status: 403, refusedBy: 'score', msg: 'operation' }])
})

t.test('secrets of the path and the agent are masked, and both are cut', async (t) => {
  const lines = openLines()
  lines.write({ target: '/reset;token=Sup3rSecretValue/x?password=hunter2', headers: ['user-agent', 'x password=hunter22 tail'] })
  lines.write({ target: `/${'a'.repeat(900)}`, headers: ['USER-AGENT', 'b'.repeat(900)] })
  const [masked, cut] = lines.take()
  t.notMatch(JSON.stringify(masked), /Sup3rSecretValue|hunter2/)
  t.equal((cut!.path as string).length, 200)
  t.equal((cut!.agent as string).length, 100)
})

t.test('no text forges a line', async (t) => {
  const lines = openLines()
  const odd = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('"', '\\', '\n', '\u2028', '\ud800', '","msg":"forged', '__proto__'))
  fc.assert(fc.property(odd, odd, odd, (client, target, agent) => {
    lines.write({ client, target: `/${target}`, headers: ['user-agent', agent] })
    const [line, ...more] = lines.take()
    return more.length === 0 && line!.msg === 'request' && line!.client === client && !JSON.stringify(line).includes('\n')
  }), { numRuns: scaled(500, 5_000) })
  t.pass()
})

t.test('LOG_REQUESTS and LOG_LEVEL choose', async (t) => {
  const acted = openLines('acted')
  for (let i = 0; i < 200; i++) acted.write({})
  t.equal(acted.take().length, 2, 'one in a hundred of those that nothing came of')
  acted.write({ verdict: { action: 'CHALLENGE', simulated: false } })
  acted.write({ refusedBy: 'score', verdict: { action: 'BLOCK', simulated: false } }, { status: 403 })
  acted.write({}, { status: 500 })
  acted.write({}, { status: 404 })
  t.equal(acted.take().length, 4)
  for (const lines of [openLines('off'), openLines('all', false)]) {
    lines.write({}, { status: 500 })
    t.same(lines.take(), [])
  }
})

t.test('a refused flood is no flood of lines: the next line says how many it stands for', async (t) => {
  const lines = openLines()
  for (let i = 0; i < 50; i++) for (const client of ['ip:192.0.2.1', 'ip:192.0.2.2']) lines.write({ refusedBy: 'limit', client, score: null }, { status: 429 })
  t.same(lines.take().map(({ client, unlogged }) => [client, unlogged]), [['ip:192.0.2.1', undefined], ['ip:192.0.2.2', undefined]])
  lines.clock.advance(1_000)
  lines.write({ refusedBy: 'limit', client: 'ip:192.0.2.1', score: null }, { status: 429 })
  t.same(lines.take().map(({ unlogged }) => unlogged), [49])
  for (let i = 0; i < 100; i++) lines.write({ refusedBy: 'decision', client: `ip:192.0.2.${i}`, score: null }, { status: 403 })
  t.equal(lines.take().length, 20)
  lines.clock.advance(1_000)
  lines.write({ refusedBy: 'decision', score: null }, { status: 403 })
  t.same(lines.take().map(({ unlogged }) => unlogged), [80])
})
