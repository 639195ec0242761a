import t from 'tap'
import * as errors from '../../src/errors.ts'
import { createBegin } from '../../src/transaction/begin.ts'
import { limitHeaders } from '../../src/transaction/limit-headers.ts'
import { refusalBody, refusalFrom, type Refusal } from '../../src/transaction/refusal.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { NO_ROUTE } from '../../src/transaction/transaction.ts'

/** What a refused caller is told, and what a limit says of itself. */
type Known = Error & { code: string, statusCode?: number }

const ALL = Object.entries(errors).filter(([name]) => name.startsWith('NEKO_ERR_')) as Array<[
  string,
  new (...given: string[]) => Known
]>

function idsOf (count: number): string[] {
  const begin = createBegin({ processId: 'abcdefghij01', clock: createTestClock() })
  const arrival = { authority: 'caller', acts: true, address: '192.0.2.1', neverBlockApplies: true, unnamedProxy: null } as const
  const rest = { method: 'GET', target: '/', headers: [], route: NO_ROUTE, shown: null, submitter: null, holder: null }
  return Array.from({ length: count }, (_, i) =>
    begin({ ...arrival, ...rest, door: (['http', 'websocket', 'assess'] as const)[i % 3]! }).id)
}

t.test('the body that was made once is the body that would be built, for every error and every id', async (t) => {
  t.ok(ALL.length > 20)
  const ids = idsOf(120)
  for (const [name, NekoError] of ALL) {
    const { prepared, ...bare } = refusalFrom(new NekoError('one', 'two'))
    t.equal(bare.code, name)
    const wrong = ids.filter((id) => [false, true].some((graphql) =>
      refusalBody({ ...bare, prepared } as Refusal, id, graphql) !== refusalBody(bare, id, graphql)))
    t.strictSame(wrong, [], name)
  }
})

t.test('a message is escaped as JSON wants it, prepared or built', async (t) => {
  const messages = [
    'a "quoted" word',
    'a back\\slash',
    'lines\nand\ttabs\u0000',
    'caf\u00e9 \u2028 \ud83d\ude00',
    '</script><b>',
    'lone \ud800'
  ]
  for (const message of messages) {
    const error = Object.assign(new Error(message), { code: 'NEKO_ERR_INPUT_INVALID', statusCode: 400 })
    const refusal = refusalFrom(error)
    const plain = JSON.parse(refusalBody(refusal, 'as_1', false)) as object
    t.strictSame(plain, { error: { code: 'NEKO_ERR_INPUT_INVALID', message, assessment: 'as_1' } })
    const graphql = JSON.parse(refusalBody(refusal, 'as_1', true)) as object
    const extensions = { code: 'NEKO_ERR_INPUT_INVALID', assessment: 'as_1' }
    t.strictSame(graphql, { errors: [{ message, extensions }] })
  }
})

t.test('a body says how long to wait and what went wrong only where there is something to say', async (t) => {
  const refusal = refusalFrom(new errors.NEKO_ERR_OVERLOADED('1'))
  const extensions = { code: 'NEKO_ERR_OVERLOADED', assessment: 'as_1', retryAfterSeconds: 1 }
  t.strictSame(JSON.parse(refusalBody({ ...refusal, retryAfterSeconds: 1 }, 'as_1', true)), {
    errors: [{ message: refusal.message, extensions }]
  })
  t.strictSame(JSON.parse(refusalBody({ ...refusal, detail: 'why' }, null, false)), {
    error: { code: 'NEKO_ERR_OVERLOADED', message: refusal.message, detail: 'why' }
  })
  t.strictSame(JSON.parse(refusalBody(refusal, null, false)), {
    error: { code: 'NEKO_ERR_OVERLOADED', message: refusal.message }
  })
})

t.test('a refusal has the status of its error, or 500, and keeps what it is sent with', async (t) => {
  t.match(refusalFrom(new errors.NEKO_ERR_BLOCKED(), { bodyUnread: true }), { status: 403, bodyUnread: true })
  const headers = { 'www-authenticate': 'Bearer' }
  t.strictSame(refusalFrom(new errors.NEKO_ERR_UNAUTHENTICATED(), { headers }).headers, headers)
  t.equal(refusalFrom(Object.assign(new Error('x'), { code: 'NEKO_ERR_INTERNAL' })).status, 500)
})

t.test('a limit speaks in the customary headers and in those of the IETF, with the same numbers', async (t) => {
  const shown = { tier: 'standard', limit: 100, remaining: 7, resetSeconds: 42, windowSeconds: 60 }
  t.strictSame(limitHeaders(shown), {
    'x-ratelimit-limit': 100,
    'x-ratelimit-remaining': 7,
    'x-ratelimit-reset': 42,
    'ratelimit-policy': '"standard";q=100;w=60',
    ratelimit: '"standard";r=7;t=42'
  })
  t.strictSame(limitHeaders({ ...shown, remaining: 0 })['ratelimit'], '"standard";r=0;t=42')
})
