import t from 'tap'
import { NEKO_ERR_OVERLOADED } from '../../src/errors.ts'
import { retryable, retryAfterOf } from '../../src/std/retryable.ts'

t.test('an error keeps what it is, and says when to come back', (t) => {
  const error = new NEKO_ERR_OVERLOADED('2')
  const marked = retryable(error, 2)
  t.equal(marked, error)
  t.match(marked, { code: 'NEKO_ERR_OVERLOADED', statusCode: 503, retryAfterSeconds: 2 })
  t.equal(retryAfterOf(marked), 2)
  t.end()
})

t.test('what says nothing of coming back, or no number, is null', (t) => {
  for (const thrown of [new Error('x'), { retryAfterSeconds: '2' }, { retryAfterSeconds: null }, {}, 'text', 7, null, undefined]) {
    t.equal(retryAfterOf(thrown), null)
  }
  t.end()
})
