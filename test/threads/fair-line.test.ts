import t from 'tap'
import { FairLine } from '../../src/threads/fair-line.ts'
import { createThreadCost } from '../../src/threads/thread-cost.ts'
import { waiting } from './waiting.ts'
import type { Waiting } from '../../src/threads/shapes.ts'

const KIB = 1024
/** The first prediction: 150 us for each KiB; 3.9 ms for a body. */
const BODY_KIB = 26
const BODY_US = 150 * BODY_KIB

interface Thread { taken: Waiting[], ids: () => string[], finish: (cpuUs?: number) => void, close: () => void }

/** A line before a thread that holds what it is given until it is told to be done with the first. */
function line (refused: Waiting[] = []): { line: FairLine, thread: Thread } {
  const inside: Waiting[] = []
  const taken: Waiting[] = []
  let closed = false
  const made: FairLine = new FairLine({
    hasRoom: () => inside.length < 3,
    hand (one) {
      if (closed) return false
      inside.push(one)
      taken.push(one)
      return true
    },
    refuse: (one) => refused.push(one),
    cost: createThreadCost(),
    ofClientMax: 64,
    ofAllMax: 256,
    fullUs: 250_000
  })
  return {
    line: made,
    thread: {
      taken,
      ids: () => taken.map(({ observation }) => observation.id),
      finish: (cpuUs = BODY_US) => made.leave(inside.shift() as Waiting, cpuUs),
      close () { closed = true }
    }
  }
}

function from (client: string, id: string, kib = BODY_KIB): Waiting {
  return waiting({ client, id, url: '', headers: [], body: new Uint8Array(kib * KIB) })
}

t.test('clients take turns, however many one of them brought', async (t) => {
  const { line: made, thread } = line()
  for (let i = 0; i < 30; i++) made.push(from('ip:192.0.2.1', `a${i}`))
  made.push(from('ip:192.0.2.2', 'b0'))
  made.push(from('ip:192.0.2.2', 'b1'))
  made.push(from('key:c', 'c0'))
  t.equal(made.size, 33)
  for (let i = 0; i < 7; i++) thread.finish()
  t.same(thread.ids(), ['a0', 'a1', 'a2', 'a3', 'b0', 'c0', 'a4', 'b1', 'a5', 'a6'])
  t.equal(made.drain().length, 23)
  t.equal(made.size, 3)
})

t.test('the addresses of one /48 of IPv6 take one turn, those of another have their own', async (t) => {
  const { line: made, thread } = line()
  for (let i = 0; i < 6; i++) made.push(from(`ip:2001:db8:7:${i.toString(16)}::/64`, `a${i}`))
  made.push(from('ip:2001:db8:8:1::/64', 'b0'))
  made.push(from('ip:192.0.2.1', 'c0'))
  for (let i = 0; i < 4; i++) thread.finish()
  t.same(thread.ids(), ['a0', 'a1', 'a2', 'a3', 'b0', 'c0', 'a4'])
})

t.test('requests that were refused meanwhile are dropped, those that are scored afterwards are not', async (t) => {
  const refused: Waiting[] = []
  const { line: made, thread } = line(refused)
  const all = Array.from({ length: 6 }, (_, i) => from('ip:192.0.2.1', String(i)))
  for (const one of all) made.push(one)
  all[3]!.answered = true
  all[4]!.answered = true
  all[4]!.later = () => {}
  thread.finish()
  t.same(thread.ids(), ['0', '1', '2', '4'])
  thread.close()
  thread.finish()
  t.same(refused.map(({ observation }) => observation.id), ['5'], 'a closed channel refuses')
  t.equal(made.size, 2)
})

t.test('one that waits can be taken out, one that the thread has cannot', async (t) => {
  const { line: made, thread } = line()
  const all = Array.from({ length: 5 }, (_, i) => from('ip:192.0.2.1', String(i)))
  for (const one of all) made.push(one)
  t.equal(made.withdraw(all[0]!), false)
  t.equal(made.withdraw(all[3]!), true)
  t.equal(made.withdraw(all[3]!), false)
  thread.finish()
  t.same(thread.ids(), ['0', '1', '2', '4'])
  t.equal(made.size, 3)
})

t.test('a client has its own backlog only beyond its budget, and only if the thread had the time', async (t) => {
  // 100 ms are 25 bodies of 3.9 ms.
  const cases: Array<[string, number, boolean]> = [['ip:192.0.2.1', 20, false], ['ip:192.0.2.1', 40, true], ['key:k', 60, false]]
  for (const [client, count, isOwn] of cases) {
    const { line: made, thread } = line()
    const all = Array.from({ length: count }, (_, i) => from(client, String(i)))
    for (const one of all) t.equal(made.push(one), 'taken')
    for (let i = 0; i < 12; i++) thread.finish()
    t.equal(made.isOwnBacklog(all.at(-1)!, 50), isOwn, `${count} of ${client}`)
    t.equal(made.isOwnBacklog(all[7]!, 50), false, 'never one of its first eight')
  }
  const { line: slow, thread } = line()
  const all = Array.from({ length: 40 }, (_, i) => from('ip:192.0.2.1', String(i)))
  for (const one of all) slow.push(one)
  for (let i = 0; i < 12; i++) thread.finish()
  t.equal(slow.isOwnBacklog(all.at(-1)!, 150), false, 'the thread had 47 of 150 ms: the machine is to blame')
  const { line: flood } = line()
  const many = Array.from({ length: 64 }, (_, i) => from('ip:192.0.2.1', String(i)))
  for (const one of many) flood.push(one)
  t.equal(flood.isOwnBacklog(many.at(-1)!, 150), true, 'twice the budget is its own doing on any machine')
})

t.test('one client may bring 64, and does not fill the line for others', async (t) => {
  const { line: made } = line()
  for (let i = 0; i < 64; i++) t.equal(made.push(from('ip:192.0.2.1', `a${i}`)), 'taken')
  t.equal(made.push(from('ip:192.0.2.1', 'one more')), 'backlog')
  t.equal(made.push(from('ip:192.0.2.2', 'b')), 'taken')
})

t.test('a full line takes no more of anonymous clients, and signed-in ones keep their place', async (t) => {
  const { line: made, thread } = line()
  let taken = 0
  while (made.push(from(`ip:192.0.2.${taken}`, String(taken))) === 'taken') taken++
  t.ok(taken >= 62 && taken <= 66, `${taken} bodies of 3.9 ms fill a quarter of a second`)
  t.equal(made.push(from('ip:198.51.100.1', 'late')), 'full')
  t.equal(made.push(from('user:u', 'known')), 'taken')
  for (let i = 0; i < 3; i++) thread.finish()
  t.equal(made.push(from('ip:198.51.100.1', 'again')), 'taken', 'there is room again')
  const held = Array.from({ length: 300 }, (_, i) => made.push(from(`key:${i}`, `k${i}`)))
  t.equal(made.size, 256)
  t.equal(held.at(-1), 'full', 'not even known clients grow it without bound')
})

t.test('what a client costs is its own measure, and never less than the median of all', async (t) => {
  const cost = createThreadCost()
  t.equal(cost.predictUs('a', 10 * KIB), 1_500, 'nothing is known yet')
  for (let i = 0; i < 64; i++) cost.learn(`other${i}`, 10 * KIB, 400)
  t.equal(cost.predictUs('a', 10 * KIB), 400)
  cost.learn('dear', 10 * KIB, 2_000)
  t.equal(cost.predictUs('dear', 10 * KIB), 2_000)
  cost.learn('cheap', 10 * KIB, 1)
  t.equal(cost.predictUs('cheap', 10 * KIB), 400)
  t.equal(cost.predictUs('a', 20 * KIB), 800)
})
