import t from 'tap'
import type { Test } from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { answerTimeLeftMs, PrimaryWatch } from '../../src/limits/primary-watch.ts'
import { turns } from '../time.ts'

t.test('an answer may take 100 ms, longer while the primary is heard otherwise, and never longer than 500', (t) => {
  t.equal(answerTimeLeftMs({ nowMs: 1_000, sentMs: 1_000, heardMs: 0 }), 100)
  t.equal(answerTimeLeftMs({ nowMs: 1_100, sentMs: 1_000, heardMs: 0 }), 0)
  t.equal(answerTimeLeftMs({ nowMs: 1_100, sentMs: 1_000, heardMs: 1_090 }), 90, 'it handed out a connection')
  t.equal(answerTimeLeftMs({ nowMs: 1_480, sentMs: 1_000, heardMs: 1_479 }), 20, 'it has been busy for long')
  t.equal(answerTimeLeftMs({ nowMs: 1_020, sentMs: 1_000, heardMs: 400 }), 80, 'heard before it was asked')
  t.end()
})

/** A watch on a clock of the test; a look comes a turn of the event loop behind its time. */
function watch (t: Test) {
  const clock = createTestClock()
  const seen = { silentMs: [] as number[], probes: 0, sentAtMs: null as number | null }
  const watched = new PrimaryWatch({
    clock,
    sentAtMs: () => seen.sentAtMs,
    heardAtMs: () => 0,
    onSilent: (waitedMs) => seen.silentMs.push(waitedMs),
    probe () {
      seen.probes++
      seen.sentAtMs = clock.monotonic()
      watched.start()
    }
  })
  t.teardown(() => watched.close())
  return { clock, seen, watched }
}

t.test('a primary that answers is never silent, and nobody looks once nothing is under way', async (t) => {
  const { clock, seen, watched } = watch(t)
  seen.sentAtMs = 0
  watched.start()
  seen.sentAtMs = null
  clock.advance(100)
  await turns()
  seen.sentAtMs = 0
  clock.advance(10_000)
  await turns()
  t.same(seen.silentMs, [])
  t.notOk(watched.hear(), 'it was not silent')
})

t.test('silence is told once, is probed once a second by one timer, and ends with the first answer', async (t) => {
  const { clock, seen, watched } = watch(t)
  seen.sentAtMs = clock.monotonic()
  watched.start()
  watched.start()
  clock.advance(150)
  await turns()
  t.same(seen.silentMs, [150])
  t.ok(watched.isSilent)
  for (let second = 0; second < 3; second++) {
    clock.advance(1_000)
    await turns()
  }
  t.equal(seen.probes, 3, 'in three seconds')
  t.equal(seen.silentMs.length, 1)
  t.ok(watched.hear(), 'it was')
  t.notOk(watched.hear())
  t.notOk(watched.isSilent)
})

t.test('closed it is silent, and asks nobody', async (t) => {
  const { clock, seen, watched } = watch(t)
  seen.sentAtMs = 0
  watched.start()
  watched.close()
  clock.advance(5_000)
  await turns()
  t.ok(watched.isSilent)
  t.same(seen, { silentMs: [], probes: 0, sentAtMs: 0 })
})
