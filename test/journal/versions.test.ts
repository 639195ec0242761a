import fc from 'fast-check'
import t from 'tap'
import { EffectSet } from '../../src/journal/effect-set.ts'
import type { WrittenEvent } from '../../src/journal/shapes.ts'

/** Versions of one document, made and ended by several processes with clocks of their own. */
const collection = 'decisions'
const step = fc.record({
  processId: fc.constantFrom('a', 'b', 'c'),
  op: fc.constantFrom('put', 'put', 'remove', 'end'),
  madeAt: fc.integer({ min: 1, max: 8 }),
  endsAt: fc.option(fc.integer({ min: 10, max: 16 })),
  at: fc.integer({ min: 0, max: 20 }),
  isWithdrawn: fc.integer({ min: 0, max: 9 }).map((n) => n === 0)
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

const written = (steps: readonly Step[]): WrittenEvent[] => steps.flatMap(({ processId, op, madeAt, endsAt, at, isWithdrawn }, i) => {
  const version = op === 'remove' ? { madeAt } : { madeAt, endsAt }
  const doc = op === 'remove' ? {} : { doc: { id: 'x', madeAt, endsAt } }
  const common = { category: 'security', actor: 'user:1', processId, at } as const
  const event: WrittenEvent = { ...common, id: `${i}`, seq: 2 * i, type: 'decision', outcome: 'ok', effects: [{ collection, id: 'x', op: op === 'put' ? 'put' : 'delete', version, ...doc }] }
  const back: WrittenEvent = { ...common, id: `${i}w`, seq: 2 * i + 1, type: 'audit.withdrawn', outcome: 'ok', target: event.id }
  return isWithdrawn ? [event, back] : [event]
})

/** By the words of EffectVersion. */
function meant (steps: readonly Step[]): { removedAt: number, madeAt: number, endsAt: number } | null {
  const counted = steps.filter(({ isWithdrawn }) => !isWithdrawn)
  const removedAt = Math.max(-1, ...counted.filter(({ op }) => op === 'remove').map(({ madeAt }) => madeAt))
  const ended = counted.filter(({ op }) => op === 'end').map(({ endsAt }) => endsAt)
  const standing = counted.filter(({ op, madeAt, endsAt }) => op === 'put' && madeAt > removedAt && !ended.includes(endsAt))
  if (standing.length === 0) return removedAt < 0 ? null : { removedAt, madeAt: -1, endsAt: -1 }
  const endsAt = Math.max(...standing.map((one) => one.endsAt ?? Infinity))
  return { removedAt, endsAt, madeAt: Math.max(...standing.filter((one) => (one.endsAt ?? Infinity) === endsAt).map(({ madeAt }) => madeAt)) }
}

function found (events: readonly WrittenEvent[]): ReturnType<typeof meant> {
  const effects = new EffectSet()
  for (const event of events) effects.add(event, true)
  const left = effects.pending().map(({ effect }) => effect)
  const removal = left.find(({ op, doc }) => op === 'delete' && doc === undefined)
  const put = left.find(({ op }) => op === 'put')
  if (removal === undefined && put === undefined) return null
  return { removedAt: removal?.version?.madeAt ?? -1, madeAt: put?.version?.madeAt ?? -1, endsAt: put === undefined ? -1 : put.version?.endsAt ?? Infinity }
}

t.test('what stands of a document is the same in whatever order logs are read', (t) => {
  const logs = fc.array(step, { minLength: 1, maxLength: 12 })
  fc.assert(fc.property(logs, fc.infiniteStream(fc.nat()), (steps, random) => {
    const events = written(steps)
    // Within one log the order holds; between logs any.
    const lines = Map.groupBy(events, ({ processId }) => processId)
    const shuffled: WrittenEvent[] = []
    for (let left = [...lines.values()].map((log) => [...log]); left.length > 0; left = left.filter(({ length }) => length > 0)) {
      shuffled.push(left[random.next().value! % left.length]!.shift()!)
    }
    t.same(found(shuffled), meant(steps), JSON.stringify(steps))
  }), { numRuns: 500 })
  t.end()
})
