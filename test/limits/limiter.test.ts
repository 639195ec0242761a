import t from 'tap'
import { createTestClock, type TestClock } from '../../src/std/clock.ts'
import type { Limits } from '../../src/limits/limiter.ts'
import type { LimitAnswer } from '../../src/limits/shapes.ts'
import { createLimits } from '../../src/limits/limiter.ts'
import { joinedFleets } from '../local-fleet.ts'
import { turns, whileTimePasses } from '../time.ts'
import { createTestHost, RATES } from './host.ts'

const C = 'ip:198.51.100.1'

async function takeMany (workers: Limits[], count: number, client = C): Promise<LimitAnswer[]> {
  return await Promise.all(Array.from({ length: count }, (_, i) => workers[i % workers.length]!.take('standard', client)))
}
const allowed = (answers: LimitAnswer[]): number => answers.filter((answer) => answer.allowed).length
/** What is under way arrives, and what waits for something to travel with. */
async function settled (clock: TestClock): Promise<void> {
  await turns()
  clock.advance(150)
  await turns()
}

t.test('at WORKERS=1 an answer is no promise', (t) => {
  const limits = createLimits({ rates: RATES, fleet: joinedFleets(1)[0]!, clock: createTestClock(), shadow: false })
  t.teardown(() => limits.close())
  const answer = limits.take('standard', C)
  t.notOk(answer instanceof Promise)
  t.match(answer, { allowed: true, remaining: 99, store: 'local' })
  t.match(limits.takeCost('standard', C, 50), { allowed: true, remaining: 1950 })
  limits.refundCost('standard', C, 20)
  t.equal(limits.peekCost('standard', C).remaining, 1970)
  t.end()
})

t.test('N at once over all processes, and one crossing', async (t) => {
  const { workers } = createTestHost(t, { clock: createTestClock(), processes: 3 })
  const answers = await takeMany(workers, 300)
  t.equal(allowed(answers), 100)
  t.equal(answers.filter(({ crossed }) => crossed).length, 1)
  t.same(new Set(answers.map(({ remaining }) => remaining)).size, 100, 'each of the admitted is told another number')
  for (const { store, tier, limit } of answers) t.match({ store, tier, limit }, { store: 'primary', tier: 'standard', limit: 100 })
  for (const worker of workers) t.equal(worker.countViolation(C, { tier: 'standard', attempt: false }), 1, 'known to each')
})

t.test('one after the other, each is told one less than the one before, whichever process answers', async (t) => {
  const clock = createTestClock()
  const { workers } = createTestHost(t, { clock })
  for (let i = 0; i < 100; i++) {
    const answer = await workers[i % 2]!.take('standard', C)
    t.equal(answer.remaining, 99 - i)
  }
  t.match(await workers[0]!.take('standard', C), { allowed: false, remaining: 0, retryAfterSeconds: 64, crossed: true })
  t.match(await workers[1]!.take('standard', C), { allowed: false, remaining: 0, retryAfterSeconds: 64, crossed: false })
  clock.advance(64_000)
  t.match(await workers[1]!.take('standard', C), { allowed: true, remaining: 99 }, 'whoever waits as told is admitted')
})

t.test('what one turn orders travels in one message and comes back in one', async (t) => {
  const { workers, messages } = createTestHost(t, { clock: createTestClock() })
  await Promise.all(Array.from({ length: 60 }, (_, i) => workers[0]!.take('standard', `ip:${i}`)))
  t.same(messages, { up: 1, down: 1 })
})

t.test('who is refused for a while costs no message, until shortly before that ends', async (t) => {
  const clock = createTestClock()
  const { workers, messages } = createTestHost(t, { clock })
  await takeMany(workers, 200)
  await settled(clock)
  const before = { ...messages }
  for (let second = 1; second < 63; second++) {
    clock.advance(1000)
    t.match(workers[second % 2]!.take('standard', C), { allowed: false, crossed: false, retryAfterSeconds: 64 - second }, 'at once')
  }
  t.same(messages, before)
  clock.advance(2_000)
  t.equal((await workers[0]!.take('standard', C)).allowed, true)
})

t.test('a busy client far from its limit is lent ahead: few messages, and still N at once over all processes', async (t) => {
  const { workers, messages } = createTestHost(t, { clock: createTestClock(), processes: 3 })
  const service = async (count: number, by: Limits[]): Promise<LimitAnswer[]> => await Promise.all(Array.from({ length: count }, (_, i) => by[i % by.length]!.take('service', C)))
  const admitted: LimitAnswer[] = []
  for (let i = 0; i < 25; i++) admitted.push(...await service(8, [workers[i % 2]!]))
  t.equal(allowed(admitted), 200)
  t.ok(messages.up < 25, `${messages.up} messages for 200 requests in 25 turns`)
  // All of what is lent is called back before anybody is refused.
  const rest = await service(1500, [workers[2]!])
  t.equal(allowed(rest), 800)
  t.equal(rest.filter(({ crossed }) => crossed).length, 1)
  t.equal(allowed(await service(60, workers)), 0)
})

t.test('256 at a time over four processes: exactly 1000 of 4000, whatever was lent', async (t) => {
  const { workers } = createTestHost(t, { clock: createTestClock(), processes: 4 })
  let sent = 0
  let admitted = 0
  await Promise.all(Array.from({ length: 256 }, async (_, i) => {
    while (sent++ < 4000) if ((await workers[(i + sent) % 4]!.take('service', C)).allowed) admitted++
  }))
  t.equal(admitted, 1000)
})

t.test('what was lent and not used comes back, and is not used after its time: never more than N in any window', async (t) => {
  const clock = createTestClock()
  const { workers } = createTestHost(t, { clock })
  const at: number[] = []
  let random = 7
  const next = (below: number): number => { random = (random * 48271) % 2147483647; return random % below }
  for (let round = 0; round < 60; round++) {
    const answers = await Promise.all(Array.from({ length: next(80) }, async () => await workers[next(2)]!.take('service', C)))
    for (const answer of answers) if (answer.allowed) at.push(clock.monotonic())
    clock.advance(next(3000))
    await turns()
  }
  let worst = 0
  for (let newest = 0, oldest = 0; newest < at.length; newest++) {
    while (at[newest]! - at[oldest]! >= 60_000) oldest++
    worst = Math.max(worst, newest - oldest + 1)
  }
  t.ok(worst <= 1000 && worst >= 900, `${worst} in the fullest window`)
  clock.advance(70_000)
  const burst = await Promise.all(Array.from({ length: 1200 }, async (_, i) => await workers[i % 2]!.take('service', C)))
  t.equal(allowed(burst), 1000)
})

t.test('a process that cannot give back what it was lent makes nobody wait for long', async (t) => {
  const clock = createTestClock()
  const { workers, freeze } = createTestHost(t, { clock })
  await Promise.all(Array.from({ length: 8 }, async () => await workers[0]!.take('service', C)))
  freeze(0)
  const asked = Promise.all(Array.from({ length: 1200 }, async () => await workers[1]!.take('service', C)))
  const answers = await whileTimePasses(clock, asked, 10)
  t.equal(clock.monotonic(), 50)
  t.equal(allowed(answers), 992 - 15, 'it is taken to have used them')
})

t.test('attempts and refused credentials are exact too', async (t) => {
  const clock = createTestClock()
  const { workers } = createTestHost(t, { clock })
  const attempts = await Promise.all(Array.from({ length: 40 }, (_, i) => workers[i % 2]!.takeAttempt('login|account:a')))
  t.equal(allowed(attempts), 10)
  const failed = await Promise.all(Array.from({ length: 150 }, (_, i) => workers[i % 2]!.takeNamed('standard', 'failed', C)))
  t.equal(allowed(failed), 100)
  t.ok(failed.every(({ crossed }) => !crossed), 'no violation of the rate of requests')
  await settled(clock)
  for (const worker of workers) t.equal(worker.peekNamed('standard', 'failed', C).allowed, false, 'refused before any cryptography')
  t.equal(workers[0]!.peek('standard', C).count, 0)
})

t.test('standing decisions on the word of one caller: 60 a minute over all processes, whatever the rates are', async (t) => {
  const clock = createTestClock()
  const strict = { max: 1, windowSeconds: 600, blockSeconds: 600 }
  const { workers } = createTestHost(t, { clock, rates: { strict, standard: strict, relaxed: strict, service: strict } })
  const ask = async (client: string): Promise<number> => allowed(await Promise.all(
    Array.from({ length: 100 }, (_, i) => workers[i % 2]!.takeDecision(client))))
  t.equal(await ask('key:k1'), 60)
  t.equal(await ask('user:u1'), 60, 'each caller has its own')
  t.equal(workers[0]!.peek('service', 'key:k1').count, 0, 'no request of theirs')
  clock.advance(65_000)
  t.equal(await ask('key:k1'), 60)
})

t.test('cost: unasked up to the share of a process, exact from there on, and what is given back is there for others', async (t) => {
  const clock = createTestClock()
  const { workers: [a, b], messages } = createTestHost(t, { clock })
  t.notOk(a!.takeCost('standard', C, 900) instanceof Promise)
  t.same(messages, { up: 0, down: 0 })
  a!.refundCost('standard', C, 400)
  t.equal(a!.peekCost('standard', C).remaining, 1500)
  await settled(clock)
  t.match(await b!.takeCost('standard', C, 1400), { allowed: true, remaining: 100 }, 'the other process heard of 500')
  t.match(await a!.takeCost('standard', C, 600), { allowed: false })
  t.match(await a!.takeCost('standard', C, 100), { allowed: true, remaining: 0 }, 'a cheaper one still fits')
  b!.refundCost('standard', C, 300)
  await settled(clock)
  t.match(await a!.takeCost('standard', C, 300), { allowed: true, remaining: 0 })
})

t.test('a client that is held has the strict rate in every process, and never more than its own', async (t) => {
  const clock = createTestClock()
  const { workers } = createTestHost(t, { clock })
  t.equal(allowed(await takeMany(workers, 40)), 40)
  workers[0]!.hold(C, 600_000)
  await settled(clock)
  const held = await takeMany(workers, 40)
  t.equal(allowed(held), 10)
  t.ok(held.every(({ tier, crossed }) => tier === 'strict' && !crossed))
  t.equal(allowed(await takeMany(workers, 96, 'ip:2')), 96)
  workers[1]!.hold('ip:2', 600_000)
  await settled(clock)
  t.same((await takeMany(workers, 8, 'ip:2')).filter((answer) => answer.allowed).map(({ remaining }) => remaining), [3, 2, 1, 0])
})

t.test('a worker that died changes nothing', async (t) => {
  const clock = createTestClock()
  const { workers, restart } = createTestHost(t, { clock })
  t.equal(allowed(await takeMany(workers, 60)), 60)
  workers[0]!.hold('ip:held', 600_000)
  await settled(clock)
  const successor = restart(0)
  t.equal(allowed(await takeMany([successor, workers[1]!], 100)), 40)
  t.equal(allowed(await takeMany([successor], 20, 'ip:held')), 10, 'nor for who is held')
})

t.test('a block and a forgetting reach every process, also what is on its way', async (t) => {
  const clock = createTestClock()
  const { workers } = createTestHost(t, { clock })
  await takeMany(workers, 150)
  workers[0]!.block('standard', C, 300_000)
  await settled(clock)
  for (const worker of workers) t.match(await worker.take('standard', C), { allowed: false, retryAfterSeconds: 300 })
  const late = workers[1]!.takeNamed('standard', 'failed', C)
  workers[1]!.forget(C)
  await late
  await settled(clock)
  t.equal(allowed(await takeMany(workers, 150)), 100)
})

t.test('who is forgotten may try to log in again in every process, and nobody else', async (t) => {
  const clock = createTestClock()
  const { workers } = createTestHost(t, { clock })
  const tryAll = async (key: string): Promise<number> => allowed(await Promise.all(Array.from({ length: 12 }, (_, i) => workers[i % 2]!.takeAttempt(key))))
  const keys = [`login|${C}`, `refresh|${C}`, 'login|account:a', 'password|user:u1', 'login|ip:198.51.100.2']
  for (const key of keys) t.equal(await tryAll(key), 10, key)
  workers[0]!.forget(C)
  await settled(clock)
  t.same(await Promise.all(keys.map(tryAll)), [10, 10, 0, 0, 0])
  workers[1]!.forget('account:a')
  workers[1]!.forget('user:u1')
  await settled(clock)
  t.same(await Promise.all(keys.map(tryAll)), [0, 0, 10, 10, 0])
})

t.test('who is forgotten may follow links of other sites again', async (t) => {
  const clock = createTestClock()
  const { workers } = createTestHost(t, { clock })
  const apart = `cross-site ${C}`
  for (let i = 0; i < 12; i++) await workers[i % 2]!.takeNamed('standard', 'cross-site', apart)
  workers[0]!.block('standard', apart, 600_000)
  await settled(clock)
  for (const worker of workers) t.notOk((await worker.take('standard', apart)).allowed)
  workers[1]!.forget(C)
  await settled(clock)
  for (const worker of workers) {
    t.ok((await worker.take('standard', apart)).allowed)
    t.equal((await worker.takeNamed('standard', 'cross-site', apart)).allowed, true)
  }
})

t.test('violations: one per crossing, over all processes; the third is told its lengthened block', async (t) => {
  const clock = createTestClock()
  const { workers } = createTestHost(t, { clock })
  for (let crossing = 1; crossing <= 3; crossing++) {
    const crossed = (await takeMany(workers, 210)).filter((answer) => answer.crossed)
    t.equal(crossed.length, 1)
    t.equal(crossed[0]!.retryAfterSeconds, crossing < 3 ? 64 : 300)
    t.equal(workers[crossing % 2]!.countViolation(C, { tier: 'standard', attempt: false }), crossing)
    clock.advance(64_000)
  }
  const attempts = workers.map((worker) => worker.countViolation('ip:9', { tier: 'strict', attempt: true }))
  t.same(attempts, [1, 1], 'both saw the same one')
  await settled(clock)
  t.same(workers.map((worker) => worker.countViolation('ip:9', { tier: 'strict', attempt: true })), [1, 1])
})

t.test('how long a violation blocks is what the playbook says, in every answer, but never less than the tier does', async (t) => {
  for (const [seconds, third, isFourthLong, ofAttempts] of [[900, 900, false, 900], [300, 300, true, 300], [10, 64, false, 300], [0, 64, false, 300]] as const) {
    const clock = createTestClock()
    const { workers } = createTestHost(t, { clock })
    for (const worker of workers) worker.lengthenBlocks(seconds)
    const [tries, crossings]: [LimitAnswer[], LimitAnswer[]] = [[], []]
    for (let i = 0; i < 14; i++) tries.push(await workers[i % 2]!.takeAttempt(`login|${C}`))
    t.same(tries.slice(10).map(({ retryAfterSeconds }) => retryAfterSeconds), Array(4).fill(ofAttempts), `login, ${seconds} s`)
    for (let crossing = 1; crossing <= 4; crossing++) {
      const answers = await takeMany(workers, 210)
      const first = answers.find(({ crossed }) => crossed)!
      crossings.push(first)
      t.equal(new Set(answers.filter((answer) => !answer.allowed).map(({ retryAfterSeconds }) => retryAfterSeconds)).size, 1, 'all say the same')
      clock.advance((first.retryAfterSeconds - 1) * 1000)
      t.notOk((await workers[0]!.take('standard', C)).allowed)
      clock.advance(1000)
    }
    t.same(crossings.slice(0, 3).map(({ retryAfterSeconds }) => retryAfterSeconds), [64, 64, third])
    t.equal(crossings[3]!.retryAfterSeconds >= 300, isFourthLong, 'by those of the last ten minutes')
  }
})

t.test('a playbook whose order comes a little later does not move the end of a block that was told', async (t) => {
  const clock = createTestClock()
  const { workers } = createTestHost(t, { clock })
  workers[0]!.block('standard', C, 300_000)
  await settled(clock)
  clock.advance(400)
  workers[1]!.block('standard', C, 300_000)
  await settled(clock)
  clock.advance(299_600)
  t.ok((await workers[0]!.take('standard', C)).allowed)
  workers[0]!.block('standard', C, 300_000)
  clock.advance(2_000)
  workers[0]!.block('standard', C, 300_000)
  await settled(clock)
  clock.advance(298_500)
  t.notOk((await workers[0]!.take('standard', C)).allowed, 'a new one does')
})

t.test('a silent primary: answers within the bar, by the share, nothing looser than N; told when it is back', async (t) => {
  const clock = createTestClock()
  const { workers, stall, resume, lines, primary } = createTestHost(t, { clock })
  t.equal(allowed(await takeMany(workers, 40)), 40)
  stall()
  const first = await whileTimePasses(clock, takeMany(workers, 20), 10)
  t.equal(clock.monotonic(), 100, 'for the first')
  t.ok(first.every(({ store, limit }) => store === 'local' && limit === 100))
  const alone = [...first]
  for (let i = 0; i < 200; i++) {
    const answer = workers[i % 2]!.take('standard', C)
    t.notOk(answer instanceof Promise, 'nobody waits again')
    alone.push(answer as LimitAnswer)
  }
  t.ok(alone.every(({ crossed }) => !crossed), 'a used up share is no crossing')
  const admitted = 40 + allowed(alone)
  t.ok(admitted <= 100 && admitted >= 85, `${admitted} of 100`)
  resume()
  await settled(clock)
  const after = await takeMany(workers, 100)
  t.ok(admitted + allowed(after) <= 100, `${admitted} + ${allowed(after)}`)
  t.ok(primary.peek('standard', C).count >= 95, 'it was told of what was admitted meanwhile')
  t.same(lines.filter((line) => /^primary (not responding;|responding again;)/.test(line)).length, 4, 'one line per process and change')
  t.match(after[0], { store: 'primary' })
})

t.test('without a primary that ever answers, a process gives its share of a client it never met', async (t) => {
  const clock = createTestClock()
  const { workers, stall } = createTestHost(t, { clock, processes: 4 })
  stall()
  t.equal(allowed(await whileTimePasses(clock, takeMany([workers[0]!], 100))), Math.floor((100 - 6) / 4))
})

t.test('closing answers what waits', async (t) => {
  const { workers, stall } = createTestHost(t, { clock: createTestClock() })
  stall()
  const waiting = workers[0]!.take('standard', C)
  workers[0]!.close()
  t.match(await waiting, { allowed: true, store: 'local' })
})

t.test('a reload may change the window: what was admitted before still counts', async (t) => {
  const clock = createTestClock()
  const host = createTestHost(t, { clock })
  t.equal(allowed(await takeMany(host.workers, 60)), 60)
  const reloaded = createLimits({ rates: { ...RATES, standard: { max: 100, windowSeconds: 600, blockSeconds: 0 } }, fleet: host.fleets[0]!, clock, shadow: false })
  t.teardown(() => reloaded.close())
  t.equal(allowed(await takeMany([reloaded], 100)), 40)
  clock.advance(64_000)
  t.equal((await reloaded.take('standard', C)).allowed, false, 'in the new window')
})

t.test('hosts that are joined tell each other what they admitted', async (t) => {
  const fleets = joinedFleets(2).map((fleet) => ({ ...fleet, bridgeUp: () => true }))
  const clock = createTestClock()
  const [one, other] = fleets.map((fleet) => createLimits({ rates: RATES, fleet, clock, shadow: false }))
  t.teardown(() => { one!.close(); other!.close() })
  await takeMany([one!], 70)
  clock.advance(250)
  await turns()
  t.equal(allowed(await takeMany([other!], 100)), 30)
})
