import t from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { processOfReceipt } from '../../src/std/id.ts'
import { createBegin } from '../../src/transaction/begin.ts'
import { NO_ROUTE, type Arrival, type Door } from '../../src/transaction/transaction.ts'

const PROCESS = 'abcdefghij01'
const DOORS: readonly Door[] = ['http', 'websocket', 'assess']

function arrival (given: Partial<Arrival> = {}): Arrival {
  return {
    door: 'http',
    authority: 'caller',
    acts: true,
    address: '192.0.2.1',
    neverBlockApplies: true,
    unnamedProxy: null,
    method: 'GET',
    target: '/',
    headers: [],
    route: NO_ROUTE,
    shown: null,
    submitter: null,
    holder: null,
    ...given
  }
}

t.test('ids of the three doors never collide, and name their process', async (t) => {
  const begin = createBegin({ processId: PROCESS, clock: createTestClock() })
  const ids = new Set<string>()
  for (let i = 0; i < 40_000; i++) for (const door of DOORS) ids.add(begin(arrival({ door })).id)
  t.equal(ids.size, 120_000)
  t.strictSame([...new Set([...ids].map(processOfReceipt))], [PROCESS])
})

t.test('the ids of requests reach those of the other doors after 36^10 requests, and not before', async (t) => {
  const begin = createBegin({ processId: PROCESS, clock: createTestClock() })
  const series = (door: Door): string => begin(arrival({ door })).id.split('_')[2] as string
  t.equal(series('assess').length, 11)
  t.equal(series('websocket').length, 11)
  t.equal(series('http').length, 1)
  t.equal(parseInt(series('assess'), 36) >= 36 ** 10, true, 'above every number of ten digits')
  t.not(series('assess')[0], series('websocket')[0])
})

t.test('ids of other forms name no process', async (t) => {
  const ends = ['', '000000000000', 'A', '0 ', '-1']
  const ids = ['', 'as_abc_0', `xx_${PROCESS}_0`, ...ends.map((end) => `as_${PROCESS}_${end}`)]
  for (const id of ids) t.equal(processOfReceipt(id), null, id)
})

t.test('a transaction begins with what was read, the moment, and nothing that a later hop finds', async (t) => {
  const clock = createTestClock(1_000)
  clock.advance(25)
  const given = arrival({ method: 'POST', target: '/a?b', headers: ['Host', 'a'], shown: { authorization: 'x' } })
  const transaction = createBegin({ processId: PROCESS, clock })(given)
  t.match(transaction, given)
  t.match(transaction, { at: 1_025, startedMs: 25, client: 'ip:192.0.2.1', principal: null, refusedBy: null })
  const later = ['limit', 'decision', 'body', 'observation', 'score', 'verdict', 'credentialRefused'] as const
  t.strictSame(later.map((name) => transaction[name]), later.map(() => null))
  t.strictSame([transaction.submittedSample, transaction.responded, transaction.loginFailed], [false, false, false])
})

t.test('the client is who holds the connection, else the address or its /64, else nobody', async (t) => {
  const begin = createBegin({ processId: PROCESS, clock: createTestClock() })
  const holder = {
    kind: 'key',
    id: 'k1',
    name: 'k',
    role: null,
    scopes: [],
    tier: 'service',
    sessionId: null,
    clientKey: 'key:k1',
    expiresAt: null
  } as const
  t.match(begin(arrival({ holder })), { client: 'key:k1', principal: holder })
  t.equal(begin(arrival({ address: '2001:db8:0:1:0:0:0:9' })).client, 'ip:2001:db8:0:1::/64')
  t.equal(begin(arrival({ address: null, authority: 'sample' })).client, 'ip:unknown')
})
