import t from 'tap'
import { createDenials } from '../../src/audit/denials.ts'
import type { AuditInput } from '../../src/audit/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'

t.test('a refusal is recorded at once, its repetitions once a minute, and too many callers together', (t) => {
  const clock = createTestClock()
  const events: AuditInput[] = []
  const denials = createDenials({ clock, record: (event) => { events.push(event) } })
  const deny = (actor: string, assessmentId = 'as_1', target = 'Query.users'): void => denials.note({ actor, target, needs: 'manage', code: 'NEKO_ERR_FORBIDDEN', assessmentId, score: 3, factor: null })

  for (let i = 0; i < 1_000; i++) deny('user:1', `as_${i}`)
  deny('user:1', 'as_x', 'Query.apiKeys')
  t.match(events, [
    { category: 'access', type: 'access.denied', actor: 'user:1', target: 'Query.users', outcome: 'refused', assessmentId: 'as_0', score: 3, details: { times: 1 } },
    { target: 'Query.apiKeys' }
  ])
  clock.advance(50_000)
  t.equal(events.length, 2)
  clock.advance(20_000)
  t.match(events.slice(2), [{ target: 'Query.users', assessmentId: 'as_999', details: { times: 999 } }])
  deny('user:1')
  t.equal(events.length, 4, 'then it is news again')

  events.length = 0
  for (let i = 0; i < 5_000; i++) deny(`ip:${i}`)
  t.equal(events.length, 999, 'a flood of callers is bounded')
  denials.close()
  t.match(events.slice(999), [{ actor: 'system', outcome: 'refused', details: { times: 4_001 } }])
  t.end()
})
