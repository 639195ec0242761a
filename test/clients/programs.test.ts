import fc from 'fast-check'
import t from 'tap'
import { createHistory } from '../../src/clients/history.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { scoreObservation } from '../../src/detect/score.ts'
import type { Score } from '../../src/detect/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { scaled } from '../scale.ts'

/** Boring programs, played against history and scorer alone: whoever is allowed N requests gets N. */
const POLICY = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
const LIMITS = { key: 1000, user: 500, ip: 100 }

interface Program {
  as: 'key' | 'user' | 'ip'
  /** name, value ... */
  headers: string[]
  requests: Asked[]
  /** Before each, in turn. */
  intervalsMs: number[]
}
interface Asked { method: string, url: string, body?: string, status?: number, notFound?: boolean }

function play ({ as, headers, requests, intervalsMs }: Program): Score[] {
  const clock = createTestClock()
  const history = createHistory({ clock, clientsMax: 64, fingerprintsMax: 64 })
  const address = '192.0.2.9'
  const client = as === 'ip' ? `ip:${address}` : `${as}:one`
  const credential = as === 'ip' ? [] : as === 'key' ? ['x-api-key', 'nk_abc'] : ['authorization', 'Bearer a.b.c']
  const startedMs = clock.monotonic()
  return requests.map(({ method, url, body = null, status = 200, notFound = false }, i) => {
    clock.advance(intervalsMs[i % intervalsMs.length]!)
    // The window of the limit is a minute.
    const used = (i + 1) % Math.max(1, Math.round((i + 1) * 60_000 / Math.max(60_000, clock.monotonic() - startedMs)) + 1)
    const observation = {
      id: 'as_program',
      at: 0,
      client,
      method,
      url,
      headers: ['Host', 'neko.example', ...headers, ...credential],
      body: body === null ? null : Buffer.from(body),
      route: url.startsWith('/graphql') ? '/graphql' : null,
      history: null
    }
    const limit = { limit: LIMITS[as], remaining: Math.max(0, LIMITS[as] - used) }
    const score = scoreObservation({ ...observation, history: history.observe(observation, { address, limit }) }, POLICY)
    const action = score.value >= 75 ? 'BLOCK' : score.value >= 40 ? 'CHALLENGE' : 'ALLOW'
    history.settle({ client, address, status, action, score: score.value, factors: score.factors, notFound, denied: status === 403 })
    return score
  })
}

const flaggedAt = (scores: Score[]): number =>
  scores.findIndex(({ value, automation, anomaly }) => value >= 40 || automation || anomaly) + 1

const json = (query: string, variables: object = {}): Asked => ({ method: 'POST', url: '/graphql', body: JSON.stringify({ query, variables }) })
const ACTOR = 'query ($id: ID!) { threatActor(id: $id) { name description } }'
const PAGE = 'query ($a: String) { threatActors(first: 20, after: $a) { nodes { id name } pageInfo { endCursor } } }'
const DECIDE = 'mutation ($v: String!) { addDecision(scope: IP, value: $v, action: BLOCK, ttlSeconds: 600, reason: "list") { id } }'

/** The n-th question of a sweep. */
const PAGES: Array<(n: number) => Asked> = [
  (n) => json(PAGE, { a: Buffer.from(`actors:${n * 20}`).toString('base64') }),
  (n) => ({ method: 'GET', url: `/v1/things?page=${n}&size=100` }),
  (n) => ({ method: 'GET', url: `/v1/things?limit=100&offset=${n}` })
]
const NUMBERS: Array<(n: number) => Asked> = [
  (n) => json(ACTOR, { id: `ta_${n}` }),
  (n) => json(`{ threatActor(id: "ta_${n}") { name } }`),
  (n) => json(DECIDE, { v: `203.0.${n >> 8}.${n & 255}` }),
  (n) => ({ method: 'GET', url: `/graphql?query=%7BthreatActor(id:%22ta_${n}%22)%7Bname%7D%7D` }),
  (n) => ({ method: 'GET', url: `/v1/things/${n}` })
]
const sweep = fc.constantFrom(...PAGES, ...NUMBERS)
/** Upwards, downwards, by tens, in no order, back and forth. */
const order = fc.constantFrom<(i: number) => number>(
  (i) => i + 1, (i) => 5000 - i, (i) => (i + 1) * 10, (i) => (i * 7919 + 13) % 9973, (i) => i % 2 === 0 ? i : 4000 - i
)
const headers = fc.constantFrom(
  ['User-Agent', 'curl/8.5.0', 'Accept', '*/*'],
  [],
  ['Connection', 'keep-alive'],
  ['User-Agent', 'python-requests/2.34.2', 'Accept-Encoding', 'gzip, deflate', 'Accept', '*/*', 'Connection', 'keep-alive'],
  ['Accept-Encoding', 'identity', 'User-Agent', 'Python-urllib/3.13', 'Connection', 'close'],
  ['User-Agent', 'Go-http-client/1.1', 'Accept-Encoding', 'gzip'],
  ['user-agent', 'node']
).map((some) => [...some, 'Content-Type', 'application/json'])
const jitter = fc.array(fc.double({ min: 0.2, max: 1.8, noNaN: true }), { minLength: 16, maxLength: 16 })
/** Constant, or jittered, at this mean. */
const rhythm = (minMs: number, maxMs: number): fc.Arbitrary<number[]> =>
  fc.tuple(fc.integer({ min: minMs, max: maxMs }), fc.option(jitter, { nil: [1] }))
    .map(([mean, shares]) => shares.map((share) => Math.max(1, Math.round(mean * share))))

t.test('whoever shows a credential may sweep, enumerate and keep time, up to the whole tier', (t) => {
  const signedIn = fc.constantFrom('key' as const, 'user' as const)
  fc.assert(fc.property(signedIn, headers, sweep, order, rhythm(20, 1500), fc.double({ min: 0, max: 0.5, noNaN: true }), (as, headers, question, order, intervalsMs, missing) => {
    // Up to half of what it asks for does not exist.
    const requests = Array.from({ length: 240 }, (_, i) => ({ ...question(order(i)), notFound: Math.floor((i + 1) * missing) > Math.floor(i * missing) }))
    return flaggedAt(play({ as, headers, requests, intervalsMs })) === 0
  }), { numRuns: scaled(80, 300) })
  t.end()
})

t.test('what a credential fails at is a sign: things that do not exist beyond half, scopes it lacks, probes', (t) => {
  const base = { headers: ['User-Agent', 'curl/8.5.0', 'Accept', '*/*'], intervalsMs: [500] }
  const doors = ['users', 'apiKeys', 'auditEvents', 'decisions', 'incidents', 'playbooks', 'cluster', 'breakers']
  const failing: Array<[string, (i: number) => Asked]> = [
    ['ids that do not exist', (i) => ({ ...json(ACTOR, { id: `ta_${i}` }), notFound: i % 10 !== 0 })],
    ['paths that do not exist', (i) => ({ method: 'GET', url: `/v1/${doors[i % 8]}/${i}`, status: 404 })],
    ['scopes that it lacks', (i) => ({ ...json(`{ ${doors[i % 8]} { id } }`), status: 403 })],
    ['probes', (i) => ({ method: 'GET', url: ['/.env', '/wp-login.php', '/backup.sql'][i % 3]!, status: 404 })]
  ]
  for (const as of ['key', 'user'] as const) {
    for (const [what, ask] of failing) {
      const at = flaggedAt(play({ ...base, as, requests: Array.from({ length: 60 }, (_, i) => ask(i)) }))
      t.ok(at > 0, `${as}: ${what}, at its ${at}th`)
    }
    const stuck = Array.from({ length: 200 }, () => ({ ...json('{ users { id } }'), status: 403 }))
    t.equal(flaggedAt(play({ ...base, as, requests: stuck })), 0, 'a forgotten program asks one forbidden question for ever')
  }
  t.end()
})

t.test('an anonymous program that repeats a handful of questions within its tier is left alone', (t) => {
  const various = fc.array(fc.tuple(sweep, fc.integer({ min: 1, max: 12 })), { minLength: 1, maxLength: 8 })
    .map((some) => some.map(([question, n]) => question(n)))
  const alike = fc.tuple(sweep, fc.integer({ min: 2, max: 8 }))
    .map(([question, count]) => Array.from({ length: count }, (_, i) => question(i + 1)))
  const paths = fc.uniqueArray(fc.constantFrom('/status', '/ping', '/v2/feed', '/old/feed', '/metrics', '/alive', '/v1/version', '/news'), { minLength: 1 })
    .map((some) => some.map((url): Asked => ({ method: 'GET', url })))
  // Some of it may have gone, and the program does not mind.
  const handful = fc.tuple(fc.oneof(various, alike, paths), fc.integer({ min: 0, max: 255 })).map(([some, gone]) => some.map((asked, i) =>
    ((gone >> (i % 8)) & 1) === 0 ? asked : { ...asked, notFound: true, status: asked.url.startsWith('/graphql') ? 200 : 404 }))
  fc.assert(fc.property(headers, handful, rhythm(600, 3000), fc.boolean(), (headers, questions, intervalsMs, isShuffled) => {
    const requests = Array.from({ length: 200 }, (_, i) => questions[(isShuffled ? (i * 7919 + (i >> 3)) : i) % questions.length]!)
    return flaggedAt(play({ as: 'ip', headers, requests, intervalsMs })) === 0
  }), { numRuns: scaled(80, 300) })
  t.end()
})

t.test('nor is one that pages through 30 pages, once or again and again', (t) => {
  fc.assert(fc.property(headers, sweep, order, rhythm(20, 2000), fc.integer({ min: 1, max: 3 }), (headers, question, order, intervalsMs, times) => {
    const requests = Array.from({ length: 30 * times }, (_, i) => question(order(i % 30)))
    return flaggedAt(play({ as: 'ip', headers, requests, intervalsMs })) === 0
  }), { numRuns: scaled(80, 300) })
  t.end()
})

t.test('an anonymous sweep through ever new pages is flagged, and not before its 40th request', (t) => {
  const found: number[] = []
  // Numbers in a row that are no pages may be a list that is worked through, from the 32nd on.
  const kind = fc.oneof(fc.constantFrom(...PAGES).map((question) => ({ question, first: 40 })), fc.constantFrom(...NUMBERS).map((question) => ({ question, first: 32 })))
  fc.assert(fc.property(headers, kind, order, rhythm(20, 2000), (headers, { question, first }, order, intervalsMs) => {
    const at = flaggedAt(play({ as: 'ip', headers, requests: Array.from({ length: 90 }, (_, i) => question(order(i))), intervalsMs }))
    found.push(at)
    return at === 0 || at >= first
  }), { numRuns: scaled(80, 300) })
  const share = found.filter((at) => at > 0 && at <= 60).length / found.length
  t.comment(`${Math.round(100 * share)} % within 60 requests, first at ${Math.min(...found.filter((at) => at > 0))}`)
  t.ok(share >= 0.9, 'nine in ten within 60 requests')
  t.end()
})
