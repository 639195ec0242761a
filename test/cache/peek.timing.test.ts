import t from 'tap'
import { hash } from 'node:crypto'
import { threadMs, withinBar } from '../bar.ts'
import { systemClock } from '../../src/std/clock.ts'
import { cacheRoom, computed } from './room.ts'

const ENTRIES = 10_000
const LOOKS = 200_000
const ROUNDS = 15

/** Nanoseconds of one call, of the best round. */
function best (look: (i: number) => unknown): number {
  let least = Infinity
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = threadMs()
    for (let i = 0; i < LOOKS; i++) look(i)
    least = Math.min(least, threadMs() - startMs)
  }
  return least * 1_000_000 / LOOKS
}

t.test('a look-up costs a fraction of a microsecond: among few, among many, and without an answer', async (t) => {
  const cache = cacheRoom(t).open({ clock: systemClock })
  const keys = Array.from({ length: ENTRIES }, (_, i) => hash('sha256', `key ${i}`, 'base64url'))
  for (const [i, key] of keys.entries()) await cache.load(key, async () => computed(i, { references: [`x${i % 100}`], bytes: 1_000 }))
  withinBar(t, 'of one key', best(() => cache.peek(keys[0]!)), 100, 'ns')
  withinBar(t, 'of 100 keys', best((i) => cache.peek(keys[(i * 7_919) % 100]!)), 150, 'ns')
  withinBar(t, 'of 10,000 keys', best((i) => cache.peek(keys[(i * 7_919) % ENTRIES]!)), 300, 'ns')
  withinBar(t, 'of a key that is not there', best(() => cache.peek('absent')), 50, 'ns')
  t.equal(cache.peek(keys[0]!)?.value, 0)
})
