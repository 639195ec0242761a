import fc from 'fast-check'
import t from 'tap'
import { withAllowances } from '../../src/detect/allowances.ts'
import { emptyHistory, type HistorySnapshot } from '../../src/detect/history-shapes.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { scoreObservation } from '../../src/detect/score.ts'
import type { Observation } from '../../src/detect/shapes.ts'
import { createKnownRequests } from '../../src/threads/known-requests.ts'
import { scaled } from '../scale.ts'

/** What is remembered on main must score like what a thread reads: for every client, whatever the request holds. */
const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
const ATTACKS = ["1' UNION SELECT password FROM users--", '<script>alert(1)</script>', '../../../../etc/passwd', '; cat /etc/passwd', '$' + '{jndi:ldap://a/b}', '{{7*7}}', 'http://169.254.169.254/latest/meta-data/']

const text = fc.oneof(fc.constantFrom(...ATTACKS), fc.string({ maxLength: 30 }), fc.constantFrom('', '100.64.1.2', '::1', '127.0.0.1, 10.0.0.1', 'gzip', '0', 'a\nb'))
const name = fc.constantFrom('Host', 'User-Agent', 'Accept', 'X-Forwarded-For', 'x-real-ip', 'CF-Connecting-IP', 'Content-Type', 'Content-Length', 'Cookie', 'Referer', 'X-Query', 'Transfer-Encoding', 'X-HTTP-Method-Override')
const headers = fc.array(fc.tuple(name, fc.oneof(text, fc.ipV4(), fc.ipV6())), { maxLength: 10 }).map((pairs) => pairs.flat())
const request = fc.record({
  method: fc.constantFrom('GET', 'POST', 'DELETE', 'PROPFIND'),
  url: fc.tuple(fc.constantFrom('/', '/graphql', '/wp-login.php', '/a/b'), text).map(([path, value]) => value === '' ? path : `${path}?q=${encodeURIComponent(value.toWellFormed())}`),
  headers,
  body: fc.option(text.map((value) => Buffer.from(`{"query":${JSON.stringify(value)}}`))),
  route: fc.constantFrom('/graphql', null)
})
const history: fc.Arbitrary<HistorySnapshot | null> = fc.option(fc.array(fc.oneof(fc.constant(0), fc.nat({ max: 200 })), { minLength: 60, maxLength: 60 }).map((numbers) =>
  Object.fromEntries(Object.keys(emptyHistory()).map((key, i) => [key, numbers[i % numbers.length]])) as unknown as HistorySnapshot))

function observationOf (given: Omit<Observation, 'id' | 'at' | 'client' | 'history'>, client: string, history: HistorySnapshot | null): Observation {
  return { id: 'as_abcdefghijkl_0', at: 1_800_000_000_000, client, history, ...given }
}

/** The same request as another client's proxy would pass it on. */
function behindProxy (given: readonly string[], address: string): string[] {
  return given.map((value, i) => i % 2 === 1 && /^[\da-f.:]{3,45}$/i.test(value) && value.length === address.length ? address : value)
}

t.test('a request that is known scores as if a thread had read it again, whoever sends it', async (t) => {
  let recalled = 0
  fc.assert(fc.property(request, history, history, fc.ipV4(), (given, first, second, address) => {
    const known = createKnownRequests()
    const one = observationOf(given, 'ip:192.0.2.1', first)
    // What comes once is not worth an entry.
    known.recall({ ...one }, policy)
    if (known.recall(one, policy) !== null) return false
    // The client of the first one may have exhausted threads: its score is not learnt then.
    known.learn(one, scoreObservation(one, policy), policy)
    const others = [observationOf(given, 'user:u1', second), observationOf({ ...given, headers: behindProxy(given.headers, address) }, `ip:${address}`, second)]
    return others.every((other) => {
      const score = known.recall(other, policy)
      if (score === null) return true
      recalled++
      return JSON.stringify(score) === JSON.stringify(scoreObservation(other, policy))
    })
  }), { numRuns: scaled(1_000, 10_000) })
  t.ok(recalled > scaled(300, 3_000), `${recalled} are recalled`)
})

t.test('nothing is kept across policies, for a target with allowances, or of an answer in a hurry', async (t) => {
  const known = createKnownRequests()
  const one = observationOf({ method: 'GET', url: `/a?q=${encodeURIComponent(ATTACKS[0]!)}`, headers: [], body: null, route: null }, 'ip:192.0.2.1', null)
  const score = scoreObservation(one, policy)
  known.recall(one, policy)
  known.learn(one, score, policy)
  t.equal(known.recall(one, policy), null, 'it came once')
  known.learn(one, { ...score, degraded: true }, policy)
  t.equal(known.recall(one, policy), null)
  known.learn(one, score, policy)
  t.strictSame(known.recall({ ...one }, policy), score)
  const stricter = createPolicy({ sensitivity: 4, challengeThreshold: 40, blockThreshold: 75 })
  t.equal(known.recall({ ...one }, stricter), null)
  known.learn(one, score, stricter)
  t.equal(known.recall({ ...one }, stricter), null, 'a score of another policy')
  const allowing = withAllowances(policy, [{ rule: 'sqli.union-select', place: 'query.q', target: 'path /a', shape: 'x' }])
  t.equal(known.recall({ ...one }, allowing), null)
  known.learn(one, { ...score, policyVersion: allowing.version }, allowing)
  t.equal(known.recall({ ...one }, allowing), null)
})
