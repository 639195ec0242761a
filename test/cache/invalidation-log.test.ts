import t from 'tap'
import fc from 'fast-check'
import { createInvalidationLog } from '../../src/cache/invalidation-log.ts'

t.test('what was invalidated after a moment does not hold from then on, and all else does', (t) => {
  const reference = fc.constantFrom('a', 'b', 'c', '__proto__')
  const step = fc.oneof(fc.array(reference, { maxLength: 2 }), fc.constant(null))
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), fc.nat({ max: 30 }), fc.array(reference, { maxLength: 3 }), (steps, begun, references) => {
    const log = createInvalidationLog()
    for (const some of steps.slice(0, begun)) log.note(some)
    const since = log.now
    for (const some of steps.slice(begun)) log.note(some)
    const isHit = steps.slice(begun).some((some) => some === null || some.some((one) => references.includes(one)))
    return log.holds(references, since) === !isHit
  }), { numRuns: 1_000 })
  t.end()
})

t.test('what it has forgotten does not hold: bounded, and never wrong', (t) => {
  const log = createInvalidationLog()
  const before = log.now
  log.note(['early'])
  for (let i = 0; i < 4_096; i++) log.note([`x${i}`])
  const middle = log.now
  t.equal(log.holds(['early'], before), false)
  t.equal(log.holds(['other'], before), true)
  for (let i = 0; i < 8_192; i++) log.note([`y${i}`])
  t.equal(log.holds(['early'], before), false)
  t.equal(log.holds(['other'], before), false, 'it cannot be known any more')
  t.equal(log.holds(['other'], log.now), true)
  t.equal(log.holds(['early'], log.now), true)
  t.equal(log.holds(['early'], middle), false)
  t.end()
})
