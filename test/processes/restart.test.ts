import t from 'tap'
import type { Child } from '../../src/processes/child.ts'
import { BACKOFF_MS_MAX, FRESH, HUNG_MS, hungSlot, nextRestart, replacementReason, STABLE_MS } from '../../src/processes/restart.ts'
import { Slot } from '../../src/processes/slot.ts'

/** Forks of one slot within a minute when every start fails at once. */
function forksInAMinute (random: number): number {
  let state = FRESH
  let nowMs = 0
  let forks = 1
  while (true) {
    const next = nextRestart(state, { readyMs: null }, random)
    state = next.state
    nowMs += next.delayMs
    if (nowMs > 60_000) return forks
    forks++
  }
}

t.test('a worker that died once is tried again after 80 to 120 ms', async (t) => {
  t.equal(nextRestart(FRESH, { readyMs: 5 }, 0).delayMs, 80)
  t.equal(nextRestart(FRESH, { readyMs: 5 }, 0.5).delayMs, 100)
  t.ok(nextRestart(FRESH, { readyMs: 5 }, 0.999).delayMs <= 120)
})

t.test('the delay doubles and never passes 15 s', async (t) => {
  let state = FRESH
  const delays = []
  for (let i = 0; i < 12; i++) {
    const next = nextRestart(state, { readyMs: null }, 0.5)
    state = next.state
    delays.push(next.delayMs)
  }
  t.same(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000, 15_000, 15_000])
  t.equal(nextRestart({ failures: 5000 }, { readyMs: null }, 0.99).delayMs, BACKOFF_MS_MAX)
})

t.test('a crash loop forks at most 12 times per slot and minute, whatever the jitter', async (t) => {
  for (const random of [0, 0.25, 0.5, 0.75, 0.999]) t.ok(forksInAMinute(random) <= 12, `${forksInAMinute(random)} forks at ${random}`)
})

t.test('a worker that served long starts at the first delay again', async (t) => {
  t.equal(nextRestart({ failures: 7 }, { readyMs: STABLE_MS }, 0.5).delayMs, 100)
  t.equal(nextRestart({ failures: 7 }, { readyMs: STABLE_MS - 1 }, 0.5).delayMs, 12_800)
})

t.test('workers that hang are replaced one at a time, the longest silent first', async (t) => {
  const well = { silentMs: 200, isBeingReplaced: false }
  const hung = { silentMs: HUNG_MS + 1, isBeingReplaced: false }
  t.equal(hungSlot([]), null)
  t.equal(hungSlot([well, { ...well, silentMs: HUNG_MS }]), null)
  t.equal(hungSlot([well, hung]), 1)
  t.equal(hungSlot([hung, { ...hung, silentMs: 4 * HUNG_MS }, hung]), 1)
  t.equal(hungSlot([hung, { ...hung, isBeingReplaced: true }]), null, 'the next one waits for the first')
  t.equal(hungSlot([hung, { ...well, isBeingReplaced: true }]), null, 'and for a reload')
  t.equal(hungSlot([{ silentMs: null, isBeingReplaced: false }, well]), null, 'a slot without a ready worker waits for its own')
})

t.test('a slot whose replacement failed leaves the turn to another one that hangs', async (t) => {
  const failed = Promise.withResolvers<void>()
  const hanging = (silentMs: number): Child => ({
    state: 'stalled',
    readyForMs: () => 60_000,
    silentMs: () => silentMs,
    ready: Promise.resolve('http://127.0.0.1'),
    ended: new Promise(() => {})
  }) as unknown as Child
  const dead = { readyForMs: () => null, ready: Promise.reject(new Error('a broken build')), ended: Promise.resolve({ code: 1, signal: null }) } as unknown as Child
  const slotOf = (silentMs: number): Slot => {
    const children = [hanging(silentMs), dead]
    const slot = new Slot({
      index: 0,
      fork: () => children.shift()!,
      log: { info () {}, warn () {}, error: (_fields: unknown, message?: string) => { if (message === 'the replacement failed') failed.resolve() } } as never,
      startTimeoutMs: 10_000,
      drainTimeoutMs: 10_000,
      rssBytesMax: () => null,
      onReady () {},
      onGone () {},
      onRestart () {},
      onFailedStart () {}
    })
    slot.start()
    t.teardown(() => slot.stop())
    return slot
  }
  const slots = [slotOf(4 * HUNG_MS), slotOf(2 * HUNG_MS)]
  const hung = (): number | null => hungSlot(slots.map((slot) => slot.state()))
  t.equal(hung(), 0)
  slots[0]!.replaceHung()
  await failed.promise
  t.equal(hung(), 1)
})

t.test('a worker is replaced above nine tenths of its heap, or above the RSS that was set', async (t) => {
  const beat = { rssBytes: 100, heapUsedBytes: 89, heapMaxBytes: 100 }
  t.equal(replacementReason(beat, null), null)
  t.equal(replacementReason({ ...beat, heapUsedBytes: 91 }, null), 'heap')
  t.equal(replacementReason(beat, 99), 'rss')
  t.equal(replacementReason(beat, 100), null)
})
