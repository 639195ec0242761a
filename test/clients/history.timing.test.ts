import fc from 'fast-check'
import t from 'tap'
import { readTraits } from '../../src/clients/traits.ts'
import { threadMs, withinBar } from '../bar.ts'
import { scaled } from '../scale.ts'
import { anything } from './anything.ts'

t.test('traits of anything are read quickly', (t) => {
  let slowestMs = 0
  fc.assert(fc.property(anything, ({ url, headers, body }) => {
    const startMs = threadMs()
    readTraits({ method: 'POST', url, headers, body, route: null })
    slowestMs = Math.max(slowestMs, threadMs() - startMs)
  }), { numRuns: scaled(2_000, 10_000) })
  withinBar(t, 'the slowest case', slowestMs, 50)
  t.end()
})
