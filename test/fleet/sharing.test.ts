import t from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { createSharing } from '../../src/fleet/sharing.ts'
import type { Fleet } from '../../src/fleet/port.ts'
import type { Json } from '../../src/std/json.ts'

t.test('a hand-over lasts as long as it is asked for, and ends a minute behind the last question', async (t) => {
  const clock = createTestClock()
  let answer: Parameters<Fleet['answer']>[1] = () => null
  createSharing({
    fleet: { processId: 'p', ask: async () => [], answer: (_topic, handler) => { answer = handler } },
    clock,
    topic: 'test.share',
    state: () => ({ size: 0, mark: '' }),
    items: () => Array.from({ length: 10 }, () => 'x'.repeat(50_000)),
    takeIn () {}
  })
  const ask = async (isFirst: boolean): Promise<Json> => await answer({ share: 's', what: 'all', isFirst })
  t.match(await ask(true), { isLast: false })
  for (let i = 0; i < 5; i++) {
    clock.advance(50_000)
    t.match(await ask(false), { isLast: false })
  }
  clock.advance(61_000)
  t.equal(await ask(false), null)
})
