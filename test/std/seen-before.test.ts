import t from 'tap'
import { createSeenBefore } from '../../src/std/seen-before.ts'

t.test('what comes again soon came before, and a flood of others makes it forgotten', async (t) => {
  const seen = createSeenBefore(64)
  t.equal(seen.note('a'), false)
  t.equal(seen.note('a'), true)
  t.equal(seen.note('a'.repeat(9_000)), false)
  t.equal(seen.note('a'.repeat(9_001)), false, 'of long texts the length counts')
  let again = 0
  for (let i = 0; i < 10_000; i++) if (seen.note(`flood ${i}`)) again++
  t.equal(again, 0)
  t.equal(seen.note('a'), false, 'forgotten')
})
