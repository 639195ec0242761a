import fc from 'fast-check'
import t from 'tap'
import { createIdIndex } from '../../src/receipts/id-index.ts'

t.test('an id is found at its latest place as long as that is not cleared, whatever shares its bucket', async (t) => {
  const PLACES = 5
  const steps = fc.array(fc.constantFrom('a', 'b', 'c', '', 'd', 'e', 'f', 'g'), { maxLength: 40 })
  fc.assert(fc.property(steps, (ids) => {
    const index = createIdIndex(PLACES)
    const held: Array<{ place: number, id: string }> = []
    return ids.every((id, i) => {
      const place = i % PLACES
      if (held.length === PLACES) index.clear(held.shift()!.place)
      index.put(place, id)
      held.push({ place, id })
      return ['a', 'b', 'c', '', 'd', 'e', 'f', 'g', 'h'].every((one) => index.placeOf(one) === (held.findLast(({ id }) => id === one)?.place ?? -1)) &&
        held.every(({ place, id }) => index.isLatest(place) === (held.findLast((other) => other.id === id)!.place === place))
    })
  }), { numRuns: 500 })
  t.pass()
})
