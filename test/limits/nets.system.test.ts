import fc from 'fast-check'
import t from 'tap'
import { createLimits, type Limits } from '../../src/limits/limiter.ts'
import type { LimitAnswer } from '../../src/limits/shapes.ts'
import { createTestClock, type TestClock } from '../../src/std/clock.ts'
import { widerNets } from '../../src/std/ip.ts'
import { joinedFleets } from '../local-fleet.ts'
import type { Teardown } from '../server.ts'
import { turns } from '../time.ts'
import { openApp } from '../transaction/app.ts'
import { createTestHost, RATES } from './host.ts'

/** Whoever has a /48 has 65,536 clients: limits of the networks around a /64, in one process, in several and over hosts. */
const SMALL = { ...RATES, standard: { max: 3, windowSeconds: 60, blockSeconds: 60 } }
const PASSWORD = 'a long pass phrase of the contract suite'
const hex = (number: number): string => number.toString(16)
/** A /64 of the n-th /48, by its number in it. */
const client = (n: number, subnet: number): string => `ip:2001:db8:${hex(n)}:${hex(subnet)}::/64`

interface Host { clock: TestClock, workers: Limits[] }
const HOSTS: Array<[title: string, (t: Teardown) => Host]> = [
  ['one process', (t) => {
    const clock = createTestClock()
    const limits = createLimits({ rates: SMALL, fleet: joinedFleets(1)[0]!, clock, shadow: false })
    t.teardown(() => limits.close())
    return { clock, workers: [limits] }
  }],
  ['three workers and their primary', (t) => {
    const clock = createTestClock()
    return { clock, workers: createTestHost(t, { clock, processes: 3, rates: SMALL }).workers }
  }]
]
type Take = (limits: Limits, client: string) => Promise<LimitAnswer> | LimitAnswer
const KINDS: Array<[kind: string, own: number, of56: number, of48: number, Take]> = [
  ['requests', 3, 48, 192, (limits, one) => limits.take('standard', one)],
  ['login attempts', 10, 40, 160, (limits, one) => limits.takeAttempt(`login|${one}`)],
  ['refresh attempts', 10, 40, 160, (limits, one) => limits.takeAttempt(`refresh|${one}`)],
  ['refused credentials', 3, 12, 48, (limits, one) => limits.takeNamed('standard', 'failed', one)]
]
const allowed = (answers: LimitAnswer[]): number => answers.filter((answer) => answer.allowed).length

for (const [title, open] of HOSTS) {
  for (const [kind, own, of56, of48, take] of KINDS) {
    t.test(`${kind} of ever new /64s of one /56 and of one /48, in ${title}`, async (t) => {
      const { clock, workers } = open(t)
      const each = async (count: number, one: (i: number) => string): Promise<LimitAnswer[]> => await Promise.all(Array.from({ length: count }, async (_, i) => await take(workers[i % workers.length]!, one(i))))
      const known = client(1, 0x12ff)
      t.equal((await take(workers[0]!, known)).allowed, true)
      const of56s = await each(256, (i) => client(1, 0x1200 + (i % 255)))
      t.equal(allowed(of56s.slice(0, 255)), of56 - 1, 'the /56')
      const refusal = of56s.find((answer) => !answer.allowed)!
      t.match(refusal, { limit: of56, remaining: 0, windowSeconds: 60, crossed: false, net: 0 })
      t.ok(refusal.retryAfterSeconds >= 1 && refusal.retryAfterSeconds <= 64, 'no block')
      t.equal(allowed(await each(own - 1, () => known)), own - 1, 'who was there before goes on')
      t.equal((await take(workers[0]!, known)).allowed, false, 'as far as its own limit')
      const of48s = await each(250, (i) => client(1, 0x2000 + 0x100 * (i % 200) + i))
      t.ok(of48s.some((answer) => answer.net === 1 && answer.limit === of48))
      t.ok(allowed(of48s) <= of48 - of56 && allowed(of48s) >= of48 - of56 - own, `the /48: ${allowed(of48s)}`)
      t.equal(allowed(await each(20, (i) => client(2 + i, 0x1200))), 20, 'other /48s')
      t.equal(allowed(await each(300, (i) => `ip:198.51.100.${i}`)), 300, 'IPv4')
      clock.advance(64_000)
      t.equal((await take(workers[0]!, client(1, 0x12fe))).allowed, true, 'who waits is admitted')
    })
  }
}

for (const [title, open] of HOSTS) {
  for (const [kind, own, of56, of48, take] of KINDS.slice(1)) {
    t.test(`${kind}: one /56 that tries on and on weighs on its /48 as a full one, in ${title}`, async (t) => {
      const { clock, workers } = open(t)
      const each = async (count: number, one: (i: number) => string): Promise<LimitAnswer[]> => await Promise.all(Array.from({ length: count }, async (_, i) => await take(workers[i % workers.length]!, one(i))))
      // More than two minutes of it: the /56 never has room, nor does its part of the /48.
      for (let round = 0; round < 2 * own; round++) {
        const answers = await each(of56, (i) => client(1, 0x1200 + i))
        if (allowed(answers) !== of56) t.fail(`round ${round}: a client has its own tries`)
        clock.advance(80_000 / own)
      }
      t.match(await take(workers[0]!, client(1, 0x12ff)), { allowed: false, net: 0 }, 'the /56 is shut for new ones')
      const others = await each(250, (i) => client(1, 0x2000 + 0x100 * (i % 200) + i))
      t.ok(allowed(others) >= of48 - of56 && allowed(others) <= of48, `the rest of the /48: ${allowed(others)}`)
    })
  }
}

t.test('in any order of clients and times: those that are known are refused by their own limit alone, new ones within their networks\'', async () => {
  const step = fc.tuple(fc.nat(1), fc.nat(3), fc.nat(90), fc.nat(200))
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 200, maxLength: 600 }), async (steps) => {
    const { clock, workers } = HOSTS[0]![1]({ teardown () {} })
    const limits = workers[0]!
    const admittedMs = new Map<string, number[]>()
    const firstMs = new Map<string, number[]>()
    for (const [n, high, low, ms] of steps) {
      clock.advance(ms)
      const nowMs = clock.monotonic()
      const one = client(n, high * 0x100 + low)
      const own = (admittedMs.get(one) ?? []).filter((at) => at > nowMs - 60_000)
      const { allowed, net } = limits.take('standard', one) as LimitAnswer
      const certainlyKnown = own.some((at) => at > nowMs - 55_000)
      if (!allowed && net !== undefined && certainlyKnown) return false
      if (!allowed && net === undefined && (admittedMs.get(one) ?? []).filter((at) => at > nowMs - 130_000).length < 3) return false
      if (!allowed) continue
      admittedMs.set(one, [...own, nowMs])
      if (own.length > 0) continue
      for (const [i, key] of widerNets(one).entries()) {
        const first = [...(firstMs.get(key) ?? []).filter((at) => at > nowMs - 60_000), nowMs]
        if (first.length > [48, 192][i]!) return false
        firstMs.set(key, first)
      }
    }
    limits.close()
    return true
  }), { numRuns: 60 })
})

t.test('requests that were refused by their score weigh on new clients of their networks, in every process', async (t) => {
  for (const [, open] of HOSTS) {
    const { clock, workers } = open(t)
    const known = client(1, 0x12ff)
    await workers[0]!.take('standard', known)
    for (let i = 0; i < 12; i++) workers[i % workers.length]!.noteRefused(client(1, 0x1200 + i))
    for (let i = 0; i < 50; i++) workers[0]!.noteRefused(`ip:198.51.100.${i}`)
    await turns()
    clock.advance(150)
    await turns()
    for (const limits of workers) {
      t.match(await limits.take('standard', client(1, 0x1280)), { allowed: false, net: 2, limit: 12, retryAfterSeconds: Number })
      t.match(await limits.take('standard', client(1, 0x1300)), { allowed: true }, 'another /56')
    }
    t.equal((await workers[0]!.take('standard', known)).allowed, true)
    clock.advance(64_000)
    t.equal((await workers[0]!.take('standard', client(1, 0x1280))).allowed, true)
  }
})

t.test('credentials of new clients of a network with too many refused ones are not looked at; of clients that are known they are', async (t) => {
  for (const [, open] of HOSTS) {
    const { clock, workers } = open(t)
    const known = client(1, 0x12ff)
    for (const limits of workers) await limits.take('standard', known)
    for (let i = 0; i < 60; i++) await workers[i % workers.length]!.takeNamed('standard', 'failed', client(1, 0x1200 + i))
    await turns()
    clock.advance(300)
    await turns()
    for (const limits of workers) {
      t.match(limits.peekNamed('standard', 'failed', client(1, 0x1280)), { allowed: false })
      t.match(limits.peekNamed('standard', 'failed', known), { allowed: true })
      t.match(limits.peekNamed('standard', 'failed', client(2, 0x1280)), { allowed: true })
    }
  }
})

t.test('hosts that are joined tell each other of networks', async (t) => {
  const clock = createTestClock()
  const [one, other] = joinedFleets(2).map((fleet) => createLimits({ rates: SMALL, fleet: { ...fleet, bridgeUp: () => true }, clock, shadow: false }))
  t.teardown(() => { one!.close(); other!.close() })
  for (let i = 0; i < 48; i++) await one!.take('standard', client(1, 0x1200 + i))
  for (let i = 0; i < 40; i++) await one!.takeAttempt(`login|${client(1, 0x1200 + i)}`)
  clock.advance(400)
  await turns()
  t.match(await other!.take('standard', client(1, 0x12ff)), { allowed: false, net: 0 })
  t.match(await other!.takeAttempt(`login|${client(1, 0x12ff)}`), { allowed: false, net: 0 })
})

t.test('a client that its network\'s limit refuses is told so, and nothing is held against it', async (t) => {
  const { app, url } = await openApp(t)
  const address = (i: number): string => `2001:db8:7:${hex(0x100 + i)}::1`
  const login = async (i: number): Promise<Response> => await fetch(`${url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-forwarded-for': address(i) }, body: '{"query":"mutation { login(username: \\"nobody\\", password: \\"wrong pass phrase\\") { accessToken } }"}' })
  for (let i = 0; i < 39; i++) await app.limits.takeAttempt(`login|${client(7, 0x100 + i)}`)
  t.equal((await login(40)).status, 401)
  const refused = await login(41)
  t.equal(refused.status, 429)
  t.match(Object.fromEntries(refused.headers), { 'x-ratelimit-limit': '40', 'x-ratelimit-remaining': '0', 'ratelimit-policy': '"strict";q=40;w=60', 'retry-after': /^[1-9]\d?$/ })
  t.equal(refused.headers.get('retry-after'), refused.headers.get('x-ratelimit-reset'))
  const ofIt = `ip:2001:db8:7:${hex(0x100 + 41)}::/64`
  t.equal(app.limits.countViolation(ofIt, { tier: 'standard', attempt: false }), 0)
  for (let i = 0; i < 1_600; i++) await app.limits.take('standard', client(8, (i % 256) + 0x1000 * (i >> 8)))
  for (let i = 0; i < 4_900; i++) await app.limits.take('standard', client(8, 0x7000 + i))
  const asked = await fetch(`${url}/nothing`, { headers: { 'x-forwarded-for': '2001:db8:8:ffff::1' } })
  t.equal(asked.status, 429)
  t.match(Object.fromEntries(asked.headers), { 'x-ratelimit-limit': '6400', 'ratelimit-policy': '"standard";q=6400;w=60', 'retry-after': /^[1-9]\d?$/ })
})

t.test('an address that signed in before has its tries while the networks around them have none', async (t) => {
  const { app, url, clock } = await openApp(t)
  const login = async (address: string, password: string): Promise<Response> => await fetch(`${url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-forwarded-for': address }, body: JSON.stringify({ query: 'mutation ($p: String!) { login(username: "admin", password: $p) { accessToken } }', variables: { p: password } }) })
  const [home, neighbour] = ['2001:db8:9:1234::7', '2001:db8:9:1235::7']
  t.equal((await login(home, PASSWORD)).status, 200)
  clock.advance(120_000)
  for (let i = 0; i < 160; i++) await app.limits.takeAttempt(`login|${client(9, 0x100 * (i % 64) + i)}`)
  for (let i = 0; i < 40; i++) await app.limits.takeAttempt(`login|${client(9, 0x1200 + i)}`)
  t.equal((await login(neighbour, PASSWORD)).status, 429, 'a stranger is refused as before')
  const statuses = [(await login(home, PASSWORD)).status]
  for (let i = 0; i < 11; i++) statuses.push((await login(home, 'wrong pass phrase')).status)
  t.same(statuses, [200, ...Array(9).fill(401), 429, 429], 'ten tries as any')
  app.limits.forget('ip:2001:db8:9:1234::/64')
  t.equal((await login(home, PASSWORD)).status, 200, 'and forgotten with the address')
})
