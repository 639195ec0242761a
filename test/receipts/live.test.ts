import t from 'tap'
import { createLive, SHOWN_PER_SECOND_MAX, type LiveParts } from '../../src/receipts/live.ts'
import type { AddedListener } from '../../src/receipts/intake.ts'
import type { Assessment } from '../../src/receipts/shapes.ts'
import type { Fleet } from '../../src/fleet/port.ts'
import { createTestClock } from '../../src/std/clock.ts'

/** Two processes whose messages arrive at once, and a way to make a receipt in each. */
function openTwo (t: { teardown (handler: () => unknown): void }): [Process, Process] {
  const clock = createTestClock()
  const handlers = [0, 1].map(() => new Map<string, (message: never, from: string) => void>())
  return [0, 1].map((own) => {
    const listeners = new Set<AddedListener>()
    const published: unknown[] = []
    const fleet = {
      processCount: () => 2,
      bridgeUp: () => null,
      publish (topic: string, message: never) {
        published.push(message)
        handlers[1 - own]!.get(topic)?.(message, `p${own}`)
      },
      subscribe (topic: string, handler: (message: never, from: string) => void) {
        handlers[own]!.set(topic, handler)
        return () => handlers[own]!.delete(topic)
      }
    } as unknown as Fleet
    const onAdded: LiveParts['onAdded'] = (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    }
    const live = createLive({ fleet, clock, slices: { run: async (work) => work() }, onAdded, log: { error () {} } })
    t.teardown(() => live.close())
    let described = 0
    const make = (score: number): void => {
      for (const listener of listeners) {
        listener({ score: { value: score } } as never, () => {
          described++
          return { id: `as_${own}`, score, observation: {} } as unknown as Assessment
        })
      }
    }
    return { live, make, clock, published, listeners, described: () => described }
  }) as [Process, Process]
}

interface Process { live: ReturnType<typeof createLive>, make (score: number): void, clock: ReturnType<typeof createTestClock>, published: unknown[], listeners: Set<AddedListener>, described (): number }

t.test('nobody watching costs nothing', (t) => {
  const [here] = openTwo(t)
  here.make(90)
  t.equal(here.listeners.size, 0)
  t.equal(here.published.length, 0)
  t.end()
})

t.test('receipts of every process reach a subscriber, from its score on, without their observation', (t) => {
  const [here, there] = openTwo(t)
  const seen: Assessment[] = []
  const leave = here.live.subscribe(20, (assessment) => seen.push(assessment))
  there.make(19)
  there.make(50)
  here.make(30)
  here.make(10)
  t.match(seen, [{ id: 'as_1', score: 50, observation: null }, { id: 'as_0', score: 30, observation: null }])
  t.equal(seen.length, 2)
  t.equal(there.described(), 1, 'what nobody wants is not described')
  leave()
  t.equal(here.listeners.size, 0)
  there.clock.advance(5_001)
  there.make(50)
  t.equal(there.published.length, 1, 'a sibling that no longer asks is forgotten')
  t.equal(there.listeners.size, 0)
  t.end()
})

t.test('a storm shows fifty receipts a second', (t) => {
  const [here, there] = openTwo(t)
  let seen = 0
  here.live.subscribe(0, () => seen++)
  for (let i = 0; i < 500; i++) there.make(90)
  t.equal(seen, SHOWN_PER_SECOND_MAX)
  t.equal(there.described(), SHOWN_PER_SECOND_MAX)
  there.clock.advance(1_000)
  there.make(90)
  t.equal(seen, SHOWN_PER_SECOND_MAX + 1)
  t.end()
})
