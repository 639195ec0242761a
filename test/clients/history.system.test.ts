import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import { createHistory } from '../../src/clients/history.ts'
import { readTraits } from '../../src/clients/traits.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { History, ObservedRequest } from '../../src/clients/history.ts'
import type { Json } from '../../src/std/json.ts'
import { scaled } from '../scale.ts'
import { anything } from './anything.ts'

const CASES = scaled(2_000, 10_000)
/** Several times what a history keeps. */
const CLIENTS = scaled(300_000, 1_000_000)

function ask (fields: Partial<ObservedRequest> = {}): ObservedRequest {
  return { client: 'ip:192.0.2.1', method: 'GET', url: '/graphql', headers: ['Host', 'a.example', 'User-Agent', 'curl/8.5.0'], body: null, route: '/graphql', ...fields }
}

function see (history: History, fields: Partial<ObservedRequest> = {}, address = '192.0.2.1') {
  return history.observe(ask(fields), { address })
}

t.test('counts slide: what was long ago is forgotten, what was lately is not', (t) => {
  const clock = createTestClock()
  const history = createHistory({ clock, clientsMax: 64, fingerprintsMax: 64 })
  for (let i = 0; i < 20; i++) { see(history); clock.advance(100) }
  t.match(see(history), { requests10s: 21, requests60s: 21, requests3600s: 21, intervalMs: 100 })
  clock.advance(25_000)
  const later = see(history)
  t.equal(later.requests10s, 1)
  t.ok(later.requests600s >= 22)
  t.equal(later.streakRequests, 1, 'a pause ends the streak')
  clock.advance(3 * 3_600_000)
  t.match(see(history), { requests600s: 1, requests3600s: 1, distinctTargets3600s: 1 })
  t.end()
})

t.test('outcomes are told of the client, the address and the fingerprint', (t) => {
  const clock = createTestClock()
  const history = createHistory({ clock, clientsMax: 64, fingerprintsMax: 64 })
  for (let i = 0; i < 6; i++) {
    const address = `198.51.100.${i}`
    const client = `ip:${address}`
    see(history, { client, method: 'POST', body: Buffer.from('{"query":"mutation { login(username: \\"a\\") }"}') }, address)
    history.settle({ client, address, status: 401, action: 'ALLOW', failedLogin: true })
  }
  const facts = see(history, { client: 'ip:198.51.100.99', method: 'POST', body: Buffer.from('{"query":"mutation { login(username: \\"z\\") }"}') }, '198.51.100.99')
  t.match(facts, { failedLogins600s: 0, loginAttempt: 1, fingerprintFailedLogins600s: 6 })
  t.ok(facts.fingerprintFailingAddresses600s >= 5 && facts.fingerprintFailingAddresses600s <= 7)
  t.ok(facts.fingerprintAddresses600s >= 5 && facts.fingerprintAddresses600s <= 9, 'distinct counts are estimates')
  see(history, { client: 'key:k1' }, '203.0.113.7')
  history.settle({ client: 'key:k1', address: '203.0.113.7', status: 401, action: 'ALLOW', badToken: true })
  t.equal(see(history, { client: 'ip:203.0.113.7' }, '203.0.113.7').badTokens600s, 1, 'a bad token counts on the address too')
  t.end()
})

t.test('times, cache-busters and retries are one target; ids are many of one shape', (t) => {
  const target = (url: string, body: string | null = null) => readTraits({ ...ask({ url }), method: body === null ? 'GET' : 'POST', body: body === null ? null : Buffer.from(body) })
  t.equal(target('/status?_=1700000000001').targetHash, target('/status?_=1700000000902').targetHash)
  t.equal(target('/log?since=2026-11-21T10:20:28Z').targetHash, target('/log?since=2026-11-21T10:21:44Z').targetHash)
  t.not(target('/users/1').targetHash, target('/users/2').targetHash)
  t.equal(target('/users/1').shapeHash, target('/users/29').shapeHash)
  t.equal(target('/p/blue-shoe-42').shapeHash, target('/p/red-hat-7').shapeHash)
  t.not(target('/users/1').shapeHash, target('/orders/1').shapeHash)
  t.equal(target('/users/17').number, 17)
  const query = (id: string) => JSON.stringify({ query: 'query ($id: ID!) { threatActor(id: $id) { name } }', variables: { id } })
  t.equal(target('/graphql', query('abc')).shapeHash, target('/graphql', query('xyz')).shapeHash)
  t.not(target('/graphql', query('abc')).targetHash, target('/graphql', query('xyz')).targetHash)
  const inline = (id: string) => JSON.stringify({ query: `{ threatActor(id: "${id}") { name } }` })
  t.equal(target('/graphql', inline('abc')).shapeHash, target('/graphql', inline('xyzz')).shapeHash)
  const long = (id: string) => JSON.stringify({ query: 'query { a { ' + 'field '.repeat(300) + '} }', variables: { id } })
  t.not(target('/graphql', long('1')).targetHash, target('/graphql', long('2')).targetHash, 'the end of a long body counts')
  t.end()
})

t.test('a sibling that absorbs the deltas judges alike', (t) => {
  const clock = createTestClock()
  const one = createHistory({ clock, clientsMax: 1024, fingerprintsMax: 64 })
  const two = createHistory({ clock, clientsMax: 1024, fingerprintsMax: 64 })
  for (let i = 0; i < 30; i++) {
    const history = i % 2 === 0 ? one : two
    const facts = see(history, { url: `/missing/page${i}/x`, route: null })
    history.settle({ client: 'ip:192.0.2.1', address: '192.0.2.1', status: 404, action: 'ALLOW' })
    const delta = history.drainDelta()
    const other = history === one ? two : one
    other.absorb(JSON.parse(JSON.stringify(delta)) as Json)
    t.ok(facts.requests600s >= i, 'requests of both')
    clock.advance(400)
  }
  const facts = see(one)
  t.equal(facts.notFound600s, 30)
  t.ok(facts.distinctTargets3600s >= 27)
  t.equal(one.drainDelta() === null, false)
  t.equal(one.drainDelta(), null, 'told once')
  t.end()
})

t.test('a delta stays under 64 KiB, and the one with signs is in it', (t) => {
  const clock = createTestClock()
  const history = createHistory({ clock, clientsMax: 4096, fingerprintsMax: 1024 })
  for (let i = 0; i < 2000; i++) see(history, { client: `ip:10.0.${i >> 8}.${i & 255}`, headers: ['User-Agent', `agent-${i}`] }, `10.0.0.${i}`)
  see(history, { client: 'ip:10.99.0.1' })
  history.settle({ client: 'ip:10.99.0.1', address: '10.99.0.1', status: 401, action: 'ALLOW', failedLogin: true })
  const delta = history.drainDelta()
  t.ok(JSON.stringify(delta).length < 65_536, `${JSON.stringify(delta).length} bytes`)
  const sibling = createHistory({ clock, clientsMax: 4096, fingerprintsMax: 1024 })
  sibling.absorb(delta)
  t.equal(see(sibling, { client: 'ip:10.99.0.1' }).failedLogins600s, 1)
  t.end()
})

t.test('what is no delta is ignored, whatever it is', (t) => {
  const history = createHistory({ clock: createTestClock(), clientsMax: 64, fingerprintsMax: 64 })
  fc.assert(fc.property(fc.jsonValue(), (value) => { history.absorb(value as Json) }), { numRuns: 2000 })
  fc.assert(fc.property(fc.array(fc.array(fc.double(), { maxLength: 40 })), (lists) => { history.absorb({ clients: lists, prints: lists }) }), { numRuns: 2000 })
  t.match(see(history), { requests3600s: 1 })
  t.end()
})

t.test('forget starts with a clean record; peek counts nothing', (t) => {
  const clock = createTestClock()
  const history = createHistory({ clock, clientsMax: 64, fingerprintsMax: 64 })
  t.equal(history.peek(ask()), null)
  see(history)
  history.settle({ client: 'ip:192.0.2.1', address: '192.0.2.1', status: 404, action: 'BLOCK' })
  t.match(history.peek(ask()), { requests3600s: 1, refused600s: 1, notFound600s: 1 })
  t.match(history.peek(ask()), { requests3600s: 1 })
  history.forget('ip:192.0.2.1')
  t.match(see(history), { refused600s: 0, requests3600s: 1 })
  t.end()
})

t.test('a flood of new clients does not wash out the one with signs', (t) => {
  const clock = createTestClock()
  const history = createHistory({ clock, clientsMax: 1024, fingerprintsMax: 64 })
  see(history)
  for (let i = 0; i < 10; i++) history.settle({ client: 'ip:192.0.2.1', address: '192.0.2.1', status: 401, action: 'ALLOW', failedLogin: true })
  for (let i = 0; i < 900; i++) { see(history, { client: `ip:10.0.${i >> 8}.${i & 255}` }); clock.advance(1) }
  t.equal(history.peek(ask())?.failedLogins600s, 10)
  t.end()
})

t.test(`traits of anything are finite (${CASES} cases)`, (t) => {
  fc.assert(fc.property(anything, ({ url, headers, body }) => {
    const traits = readTraits({ method: 'POST', url, headers, body, route: null })
    return Object.values(traits).every((value) => typeof value === 'boolean' || Number.isFinite(value))
  }), { numRuns: CASES })
  t.end()
})

t.test(`${CLIENTS} distinct clients grow a process by at most 64 MB`, (t) => {
  const script = `
    import { createHistory } from ${JSON.stringify(new URL('../../src/clients/history.ts', import.meta.url).href)}
    let now = 0
    const clock = { monotonic: () => now }
    const headers = ['Host', 'a.example', 'User-Agent', 'curl/8.5.0', 'Accept', '*/*']
    const play = (history, from, to) => { for (let i = from; i < to; i++) { now += 0.05; history.observe({ client: 'ip:10.' + (i >> 16) + '.' + ((i >> 8) & 255) + '.' + (i & 255), method: 'GET', url: '/x', headers, body: null, route: null }, { address: 'a' + i }) } }
    play(createHistory({ clock, clientsMax: 1024 }), 0, 100000)
    gc()
    const before = process.memoryUsage().rss
    const history = createHistory({ clock })
    play(history, 0, ${CLIENTS})
    gc()
    console.log(JSON.stringify({ grownMb: (process.memoryUsage().rss - before) / 1e6 }))
  `
  const child = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], { encoding: 'utf8', cwd: fileURLToPath(new URL('../..', import.meta.url)) })
  const { grownMb } = JSON.parse(child.stdout) as { grownMb: number }
  t.ok(grownMb <= 64, `grown by ${grownMb.toFixed(1)} MB`)
  t.end()
})

t.test('what nothing led to is told from what a page, a form or a credential led to', (t) => {
  const ask = (url: string, headers: string[] = [], body: string | null = null): { led: boolean, guessed: boolean } => {
    const { led, guessed } = readTraits({ method: body === null ? 'GET' : 'POST', url, headers: ['User-Agent', 'curl/8.5.0', ...headers], body: body === null ? null : Buffer.from(body), route: null })
    return { led, guessed }
  }
  for (const url of ['/backup', '/admin/login.php', '/db.sql', '/api/v1/internal']) t.same(ask(url), { led: false, guessed: true }, url)
  for (const url of ['/robots.txt', '/static/app.81cd83.js', '/img/a.png?v=2', '/.well-known/security.txt', '/']) t.same(ask(url), { led: true, guessed: false }, url)
  for (const name of ['Referer', 'Cookie', 'Authorization', 'X-Api-Key', 'If-None-Match', 'Range']) t.same(ask('/old-page', [name, 'x']), { led: true, guessed: false }, name)
  t.same(ask('/contact', [], 'name=a'), { led: true, guessed: false }, 'a form')
  t.same(ask('/articles?page=2'), { led: false, guessed: false }, 'a query is no guess, nor does it lead')
  t.end()
})
