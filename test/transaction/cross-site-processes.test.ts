import { setImmediate as breathe } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { createTestClock, type TestClock } from '../../src/std/clock.ts'
import { createCrossSiteTurns, type CrossSiteTurns } from '../../src/transaction/cross-site-turns.ts'
import { countedAs } from '../../src/transaction/cross-site.ts'
import type { Refusal } from '../../src/transaction/refusal.ts'
import type { Transaction } from '../../src/transaction/transaction.ts'
import { createTestHost, type TestHost } from '../limits/host.ts'
import { whileTimePasses } from '../time.ts'

/** The bounds of requests of other sites' pages, with the limits of a primary and its workers. */
interface Room { host: TestHost, clock: TestClock, turns: CrossSiteTurns[], lines: object[] }

const BLOCKED: Refusal = { status: 403, code: 'NEKO_ERR_BLOCKED', message: 'blocked' }

function openRoom (t: Test, processes: number): Room {
  const clock = createTestClock()
  const host = createTestHost(t, { clock, processes })
  const lines: object[] = []
  const log = { info: (facts: object) => { lines.push(facts) } }
  return { host, clock, lines, turns: host.workers.map((limits) => createCrossSiteTurns({ limits, clock, log })) }
}

const transaction = (address: string): Transaction =>
  ({ id: 'as_1', client: `ip:${address}`, crossSite: true, refusedBy: null, unjudged: null, limit: null } as unknown as Transaction)

/** Scored like an attack, or like an image, as slowly as a thread that has others before it. */
function judgement (asked: Transaction, { attacks, onScored }: { attacks: boolean, onScored (): void }): () => Promise<Refusal | null> {
  return async () => {
    onScored()
    for (let i = 0; i < 3; i++) await breathe()
    if (attacks) asked.refusedBy = 'score'
    return attacks ? BLOCKED : null
  }
}

t.test('ten attacks are scored over all processes, however many come at once', async (t) => {
  for (const processes of [2, 4]) {
    const { turns, lines, host, clock } = openRoom(t, processes)
    let scored = 0
    const answers = await whileTimePasses(clock, Promise.all(Array.from({ length: 200 }, (_, i) => {
      const asked = transaction('192.0.2.1')
      return turns[i % processes]!.take(asked, judgement(asked, { attacks: true, onScored: () => { scored++ } }))
    })), 10)
    t.equal(scored, 10, `${processes} processes`)
    t.equal(answers.filter((answer) => answer === BLOCKED).length, 10)
    t.strictSame(new Set(answers.filter((answer) => answer !== BLOCKED).map((answer) => answer?.status)), new Set([429]))
    t.equal(lines.length, 1)
    for (const limits of host.workers) {
      t.equal((await limits.take('standard', 'cross-site ip:192.0.2.1')).allowed, false)
      t.equal((await limits.take('standard', 'ip:192.0.2.1')).allowed, true, 'its own requests are not concerned')
    }
  }
})

t.test('ever new /64s of one /56 or one /48 do not begin anew, known ones neither, and others are not concerned', async (t) => {
  for (const processes of [1, 2]) {
    for (const [step, max] of [[1, 40], [0x100, 160]] as const) {
      const { turns, host, clock } = openRoom(t, processes)
      let scored = 0
      const ask = async (address: string, i: number): Promise<Refusal | null> => {
        const asked = transaction(address)
        await host.workers[i % processes]!.take('standard', countedAs(asked))
        return await turns[i % processes]!.take(asked, judgement(asked, { attacks: true, onScored: () => { scored++ } }))
      }
      for (let i = 0; i < 240; i++) await ask(`2001:db8:1:${(step * (i % 80)).toString(16)}::/64`, i)
      t.ok(scored >= max && scored <= max + 3 * processes, `${processes} processes, ${scored} of ${max}`)
      t.equal(await ask('2001:db8:2:1::/64', 0), BLOCKED, 'another /48')
      clock.advance(700_000)
      t.equal(await ask('2001:db8:1:ff::/64', 0), BLOCKED, 'afterwards as at first')
    }
  }
})

t.test('images are all scored, however many come at once', async (t) => {
  const { turns, clock } = openRoom(t, 2)
  let scored = 0
  const answers = await whileTimePasses(clock, Promise.all(Array.from({ length: 100 }, (_, i) => {
    const asked = transaction('192.0.2.2')
    return turns[i % 2]!.take(asked, judgement(asked, { attacks: false, onScored: () => { scored++ } }))
  })), 10)
  t.strictSame(new Set(answers), new Set([null]))
  t.equal(scored, 100)
})

t.test('the third refused one holds requests of other sites to the strict rate in every process, and none beside it', async (t) => {
  const { turns, host } = openRoom(t, 2)
  for (let i = 0; i < 3; i++) {
    t.equal(host.workers[0]!.isHeld('cross-site ip:192.0.2.3'), false)
    const asked = transaction('192.0.2.3')
    await turns[i % 2]!.take(asked, judgement(asked, { attacks: true, onScored () {} }))
  }
  for (let i = 0; i < 3; i++) await breathe()
  t.strictSame(host.workers.map((limits) => limits.isHeld('cross-site ip:192.0.2.3')), [true, true])
  t.strictSame(host.workers.map((limits) => limits.isHeld('ip:192.0.2.3')), [false, false])
})

t.test('what others keep waiting is not counted, and a judge that throws gives its turn back', async (t) => {
  const { turns, host } = openRoom(t, 1)
  for (const unjudged of ['backlog', 'full'] as const) {
    const asked = Object.assign(transaction('192.0.2.4'), { refusedBy: 'unjudged', unjudged })
    await turns[0]!.take(asked, async () => BLOCKED)
  }
  for (let i = 0; i < 12; i++) await t.rejects(turns[0]!.take(transaction('192.0.2.4'), async () => { throw new Error('judge') }), { message: 'judge' })
  t.equal(host.workers[0]!.peekNamed('standard', 'cross-site', 'cross-site ip:192.0.2.4').count, 0)
  const asked = transaction('192.0.2.4')
  t.equal(await turns[0]!.take(asked, async () => null), null)
})

t.test('who finds no turn within a second is told to come again', async (t) => {
  const { turns, clock } = openRoom(t, 2)
  const ends: Array<() => void> = []
  const slow = Array.from({ length: 10 }, () => turns[0]!.take(transaction('192.0.2.5'), async () => await new Promise((resolve) => { ends.push(() => resolve(null)) })))
  while (ends.length < 10) await breathe()
  const asked = transaction('192.0.2.5')
  const refused = await whileTimePasses(clock, turns[1]!.take(asked, async () => null), 10)
  t.match(refused, { status: 429, retryAfterSeconds: 1 })
  t.equal(clock.monotonic(), 1_000)
  t.equal(asked.refusedBy, 'limit')
  for (const end of ends) end()
  t.strictSame(new Set(await Promise.all(slow)), new Set([null]))
  t.equal(await whileTimePasses(clock, turns[1]!.take(transaction('192.0.2.5'), async () => null), 10), null)
})
