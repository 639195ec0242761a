import t from 'tap'
import { BACKOFF_MS_MAX, FRESH, NEVER_READY_MS, nextRestart, replacementReason, shouldGiveUp, STABLE_MS } from '../../src/processes/restart.ts'

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

t.test('the primary gives up only when no worker ever was ready', async (t) => {
  t.equal(shouldGiveUp({ everReady: false, sinceStartMs: NEVER_READY_MS }), true)
  t.equal(shouldGiveUp({ everReady: false, sinceStartMs: NEVER_READY_MS - 1 }), false)
  t.equal(shouldGiveUp({ everReady: true, sinceStartMs: 10 * NEVER_READY_MS }), false)
  t.ok(NEVER_READY_MS < 60_000)
})

t.test('a worker is replaced above nine tenths of its heap, or above the RSS that was set', async (t) => {
  const beat = { rssBytes: 100, heapUsedBytes: 89, heapMaxBytes: 100 }
  t.equal(replacementReason(beat, null), null)
  t.equal(replacementReason({ ...beat, heapUsedBytes: 91 }, null), 'heap')
  t.equal(replacementReason(beat, 99), 'rss')
  t.equal(replacementReason(beat, 100), null)
})
