import fc from 'fast-check'
import t from 'tap'
import { createLoginLine, type LoginLine, type StrangersTry } from '../../src/identity/login-line.ts'
import { createLimits, type Limits } from '../../src/limits/limiter.ts'
import { createTestClock, type TestClock } from '../../src/std/clock.ts'
import { createTestHost, RATES } from '../limits/host.ts'
import { joinedFleets } from '../local-fleet.ts'
import type { Teardown } from '../server.ts'

/** Strangers to an account: slowed, never shut out. Time is the test's; each step of it is a look of the line. */
const STEP_MS = 250
const ACCOUNT = 'account:a'

function lineOf (limits: Limits, clock: TestClock): LoginLine {
  return createLoginLine({
    clock,
    strangers: {
      take: async (account) => (await limits.takeAttempt(`stranger|${account}`)).allowed,
      mayTake: (account) => limits.peekAttempt(`stranger|${account}`).allowed,
      giveBack: (account) => limits.refundAttempt(`stranger|${account}`)
    }
  })
}

function openLine (t: Teardown): { clock: TestClock, line: LoginLine, limits: Limits } {
  const clock = createTestClock()
  const limits = createLimits({ rates: RATES, fleet: joinedFleets(1)[0]!, clock, shadow: false })
  const line = lineOf(limits, clock)
  t.teardown(() => { line.close(); limits.close() })
  return { clock, line, limits }
}

const from = (address: string, about: Partial<StrangersTry> = {}): StrangersTry => ({ account: ACCOUNT, address, isGone: () => false, ...about })
const settled = async (): Promise<void> => { await new Promise((resolve) => setImmediate(resolve)) }

/** Comes again when it was sent away: at once, as told, or all together every so often; a turn is a wrong password. */
type Manner = 'at once' | 'as told' | 'together' | 'hangs up'
interface Stranger { address: string, manner: Manner, dueMs: number, isWaiting: boolean, tries: number, isIn: boolean }

function come (line: LoginLine, one: Stranger, clock: TestClock, onTurn: () => void): void {
  if (one.isWaiting || one.isIn || clock.monotonic() < one.dueMs) return
  one.isWaiting = true
  one.tries++
  const untilMs = clock.monotonic() + 700
  const isGone = (): boolean => one.manner === 'hangs up' && clock.monotonic() > untilMs
  Promise.resolve(line.enter(from(one.address, { isGone }))).then((seconds) => {
    one.isWaiting = false
    if (seconds === 0) onTurn()
    const nowMs = clock.monotonic()
    one.dueMs = one.manner === 'as told' ? nowMs + seconds * 1000 : one.manner === 'together' ? Math.ceil((nowMs + 1) / 7_000) * 7_000 : nowMs
  })
}

const manner = fc.constantFrom<Manner>('at once', 'as told', 'together', 'hangs up')
const attackers = fc.array(manner, { minLength: 1, maxLength: 40 })

t.test('whatever attackers do, an honest stranger gets in after about as many tries as there are of them, and 12 a minute are judged', async (t) => {
  let tries = 0
  let strangers = 0
  await fc.assert(fc.asyncProperty(attackers, fc.nat(90_000), async (manners, arrivesMs) => {
    const { clock, line, limits } = openLine({ teardown () {} })
    const judgedMs: number[] = []
    const hostile = manners.map((one, i): Stranger => ({ address: i % 3 === 0 ? `2001:db8:${i}:1::/64` : `198.51.100.${i}`, manner: one, dueMs: 0, isWaiting: false, tries: 0, isIn: false }))
    const honest: Stranger = { address: '203.0.113.9', manner: 'as told', dueMs: arrivesMs, isWaiting: false, tries: 0, isIn: false }
    while (!honest.isIn && honest.tries < 40 * (manners.length + 1)) {
      for (const one of hostile) come(line, one, clock, () => judgedMs.push(clock.monotonic()))
      come(line, honest, clock, () => { honest.isIn = true; judgedMs.push(clock.monotonic()) })
      clock.advance(STEP_MS)
      await settled()
    }
    line.close()
    limits.close()
    for (let newest = 12; newest < judgedMs.length; newest++) if (judgedMs[newest]! - judgedMs[newest - 12]! < 60_000) return false
    tries += honest.tries
    strangers += manners.length + 1
    return honest.isIn
  }), { numRuns: 40 })
  t.comment(`${tries} tries beside ${strangers} strangers`)
  t.ok(tries <= 2.5 * strangers, `${tries} tries, ${strangers} strangers in all lines`)
})

t.test('over all processes of a host 12 a minute are judged, and each process draws some', async (t) => {
  const clock = createTestClock()
  const { workers } = createTestHost(t, { clock, processes: 3 })
  const lines = workers.map((limits) => lineOf(limits, clock))
  t.teardown(() => { for (const line of lines) line.close() })
  const drawn = [0, 0, 0]
  const judgedMs: number[] = []
  const strangers = Array.from({ length: 30 }, (_, i): Stranger => ({ address: `198.51.100.${i}`, manner: 'at once', dueMs: 0, isWaiting: false, tries: 0, isIn: false }))
  for (let i = 0; i < 1_000; i++) {
    for (const [at, one] of strangers.entries()) come(lines[at % 3]!, one, clock, () => { drawn[at % 3]!++; judgedMs.push(clock.monotonic()) })
    clock.advance(STEP_MS)
    for (let turn = 0; turn < 5; turn++) await settled()
  }
  let worst = 0
  for (let newest = 0, oldest = 0; newest < judgedMs.length; newest++) {
    while (judgedMs[newest]! - judgedMs[oldest]! >= 60_000) oldest++
    worst = Math.max(worst, newest - oldest + 1)
  }
  t.ok(worst <= 12 && judgedMs.length >= 30, `${worst} in the fullest minute, ${judgedMs.length} in all`)
  t.ok(drawn.every((count) => count > 0), `drawn: ${drawn.join(' ')}`)
})

async function fill (line: LoginLine): Promise<void> {
  for (let i = 0; i < 12; i++) t.equal(await line.enter(from(`192.0.2.${i}`)), 0)
}

t.test('one try of an address waits, four of a /56 and sixteen of a /48; the others are told to come back in 1 to 5 s', async (t) => {
  const { line, clock } = openLine(t)
  await fill(line)
  const waits = async (address: string): Promise<boolean> => {
    const answer = line.enter(from(address))
    if (answer instanceof Promise) return true
    t.ok(Number.isInteger(answer) && answer >= 1 && answer <= 5, String(answer))
    return false
  }
  t.same([await waits('203.0.113.1'), await waits('203.0.113.1'), await waits('203.0.113.2')], [true, false, true])
  const ofNet = async (address: (i: number) => string): Promise<number> => {
    let count = 0
    for (let i = 0; i < 60; i++) if (await waits(address(i))) count++
    return count
  }
  t.equal(await ofNet((i) => `2001:db8:a:${(0x1200 + i).toString(16)}::/64`), 4)
  t.equal(await ofNet((i) => `2001:db8:a:${(0x2000 + 0x100 * i).toString(16)}::/64`), 12)
  t.equal(await ofNet((i) => `2001:db8:${(0xb + i).toString(16)}:0::/64`), 60, 'other networks are others')
  clock.advance(5_000)
  t.equal(line.waiting(), 0)
})

t.test('the line is bounded for an account and in all, and who hung up makes room', async (t) => {
  const { line, clock } = openLine(t)
  for (const account of ['a', 'b', 'c', 'd', 'e']) for (let i = 0; i < 12; i++) await line.enter(from(`192.0.2.${i}`, { account }))
  const gone = new Set<string>()
  const enter = (account: string, count: number): unknown[] => Array.from({ length: count }, (_, i) => line.enter(from(`10.${account.charCodeAt(0)}.0.${i}`, { account, isGone: () => gone.has(account) })))
  t.equal(enter('a', 140).filter((answer) => answer instanceof Promise).length, 128)
  for (const account of ['b', 'c', 'd']) enter(account, 128)
  t.equal(line.waiting(), 512)
  t.same(enter('e', 5).filter((answer) => answer instanceof Promise), [], 'full')
  gone.add('b')
  t.equal(enter('e', 140).filter((answer) => answer instanceof Promise).length, 128)
  t.equal(line.waiting(), 512)
  const last = line.enter(from('10.0.0.1', { account: 'f' }))
  t.equal(await last, 0, 'an account that is not attacked has its twelve')
  clock.advance(4_999)
  t.equal(line.waiting(), 512)
  clock.advance(1)
  t.equal(line.waiting(), 0)
})

t.test('when the server drains everybody who waits is answered, and nobody waits any more', async (t) => {
  const { line } = openLine(t)
  await fill(line)
  const waiting = Array.from({ length: 5 }, (_, i) => line.enter(from(`203.0.113.${i}`)))
  t.ok(waiting.every((one) => one instanceof Promise))
  line.close()
  for (const one of waiting) t.ok(await one >= 1)
  t.notOk(line.enter(from('203.0.113.7')) instanceof Promise)
  t.equal(line.waiting(), 0)
})
