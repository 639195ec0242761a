import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { createRecorder } from '../../src/receipts/recorder.ts'
import { createSlices } from '../../src/receipts/slices.ts'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import { createRecentReceipts } from '../../src/receipts/recent-receipts.ts'
import type { Recorded } from '../../src/receipts/receipt.ts'
import { BODY_KEPT_MAX } from '../../src/receipts/redact-parts.ts'
import type { StoredAssessment } from '../../src/receipts/shapes.ts'
import type { Collection } from '../../src/storage/port.ts'
import { observation } from '../detect/observations.ts'

const busy = (ms: number): void => { for (const until = performance.now() + ms; performance.now() < until;); }

t.test('work that waits is done in its order, a few milliseconds in each turn', async (t) => {
  const slices = createSlices(systemClock)
  const done: number[] = []
  const all = Promise.all(Array.from({ length: 20 }, (_, i) => slices.run(() => { busy(3); done.push(i) })))
  t.same(done, [], 'nothing at once')
  let turns = 0
  while (done.length < 20) {
    const before = done.length
    await nextTurn()
    turns++
    t.ok(done.length - before <= 3, 'no turn does more than its slice')
  }
  await all
  t.ok(turns >= 7)
  t.same(done, Array.from({ length: 20 }, (_, i) => i))
})

t.test('a piece that fails is its own asker\'s alone', async (t) => {
  const slices = createSlices(createTestClock())
  const [failed, fine] = await Promise.allSettled([slices.run(() => { throw new Error('on purpose') }), slices.run(() => 7)])
  t.equal(failed.status, 'rejected')
  t.same(fine, { status: 'fulfilled', value: 7 })
  t.equal(await slices.run(() => 8), 8, 'and work goes on')
})

t.test('a receipt that cannot be described counts as not stored, and the next ones are stored', async (t) => {
  const clock = createTestClock()
  const stored: StoredAssessment[] = []
  const store = { insertMany: async (docs: StoredAssessment[]) => { stored.push(...docs); return docs.length } } as unknown as Collection<StoredAssessment>
  const recorder = createRecorder({ store, clock, slices: createSlices(clock), retentionDays: 1, log: { warn () {} } })
  t.teardown(() => recorder.close())
  const receipt = (about: object): Recorded => ({ observation: observation(about), score: { value: 90, factors: [], source: 'thread' }, verdict: { action: 'BLOCK' }, status: 403, decisionId: null, address: '192.0.2.1', at: 0 }) as never
  recorder.offer(receipt({ headers: null }), true)
  await recorder.flush()
  recorder.offer(receipt({}), true)
  await recorder.flush()
  t.equal(recorder.left().failed, 1)
  t.equal(stored.length, 1)
})

t.test('a receipt that cannot be described costs none of the others of its write', async (t) => {
  const clock = createTestClock()
  const stored: StoredAssessment[] = []
  const store = { insertMany: async (docs: StoredAssessment[]) => { stored.push(...docs); return docs.length } } as unknown as Collection<StoredAssessment>
  const warned: object[] = []
  const recorder = createRecorder({ store, clock, slices: createSlices(clock), retentionDays: 1, log: { warn: (facts) => { warned.push(facts) } } })
  t.teardown(() => recorder.close())
  const receipt = (about: object): Recorded => ({ observation: observation(about), score: { value: 90, factors: [], source: 'thread' }, verdict: { action: 'BLOCK' }, status: 403, decisionId: null, address: '192.0.2.1', at: 0 }) as never
  for (const id of ['a', 'b', 'c', 'd']) recorder.offer(receipt({ id, ...(id === 'b' ? { headers: null } : {}) }), true)
  await recorder.flush()
  t.same(stored.map(({ id }) => id), ['a', 'c', 'd'])
  t.equal(recorder.left().failed, 1)
  t.match(warned, [{ err: Error, failed: 1 }])
})

t.test('work is added while a slice runs, and still comes in its order', async (t) => {
  const slices = createSlices(createTestClock())
  const done: string[] = []
  const first = slices.run(() => {
    done.push('first')
    return slices.run(() => { done.push('added') })
  })
  const second = slices.run(() => { done.push('second') })
  await Promise.all([first, second])
  await slices.run(() => { done.push('later') })
  t.same(done, ['first', 'second', 'added', 'later'])
})

t.test('a receipt keeps its body when the memory that it came in is used again', async (t) => {
  const recent = createRecentReceipts(createTestClock())
  const lent = Buffer.alloc(65_536, 'a')
  for (const [id, length] of [['slow', 5_000], ['exact', BODY_KEPT_MAX]] as const) {
    recent.keep({ observation: { ...observation({}), id, body: lent.subarray(0, length) }, score: { value: 0, factors: [] } } as never)
  }
  lent.fill('b')
  for (const [id, length] of [['slow', 5_000], ['exact', BODY_KEPT_MAX]] as const) {
    const { observation: { body } } = recent.get(id) as Recorded
    t.equal(Buffer.from(body!).toString(), 'a'.repeat(length), id)
  }
})
