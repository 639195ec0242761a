import fc from 'fast-check'
import t from 'tap'
import { createPolicy } from '../../src/detect/policy.ts'
import { cheapScore, scoreObservation } from '../../src/detect/score.ts'
import { FACTOR_NAMES } from '../../src/detect/shapes.ts'
import { HISTORY_FACTS, HISTORY_LENGTH, decodeHistory, emptyHistory, encodeHistory } from '../../src/detect/history-shapes.ts'
import type { HistorySnapshot } from '../../src/detect/history-shapes.ts'
import type { Observation, Score } from '../../src/detect/shapes.ts'
import type { Sensitivity } from '../../src/detect/policy.ts'
import { slack, threadMs } from '../bar.ts'
import { scaled } from '../scale.ts'

const RUNS = scaled(2_500, 10_000)
const CASE_MS_MAX = 50

function policyOf (sensitivity: Sensitivity = 2) {
  return createPolicy({ sensitivity, challengeThreshold: 40, blockThreshold: 75 })
}

function observe (fields: Partial<Observation> = {}): Observation {
  return { id: 'as_test', at: 1, client: 'ip:192.0.2.1', method: 'GET', url: '/graphql', headers: ['Host', 'a.example', 'User-Agent', 'curl/8.5.0'], body: null, route: '/graphql', history: null, ...fields }
}

function sumsUp (score: Score): boolean {
  const hundredths = score.factors.reduce((sum, factor) => sum + Math.round(factor.contribution * 100), 0)
  return hundredths === Math.round(score.value * 100) && score.factors.every((factor) => Math.abs(factor.contribution * 100 - Math.round(factor.contribution * 100)) < 1e-9)
}

const text = fc.oneof(fc.string({ maxLength: 60 }), fc.string({ unit: 'binary', maxLength: 60 }), fc.constantFrom('/.env', '/graphql', '/a/../b', '%c0%ae%c0%ae', '/%zz', '?a=1&b[]=2', 'sqlmap/1.5', 'Mozilla/5.0', 'chunked', '0', '/index.php~'))
const headers = fc.array(fc.tuple(fc.oneof(text, fc.constantFrom('Host', 'User-Agent', 'Content-Length', 'Transfer-Encoding', 'Content-Type', 'Range', 'sec-ch-ua', 'sec-ch-ua-platform', 'Referer', 'Cookie')), text), { maxLength: 12 }).map((pairs) => pairs.flat())
const fact = fc.oneof(fc.constantFrom(-1, 0, 1, 5, 40, 1e9), fc.double({ min: 0, max: 1e6, noNaN: true }))
const history = fc.option(fc.array(fact, { minLength: HISTORY_LENGTH, maxLength: HISTORY_LENGTH }).map((facts) => decodeHistory(Float64Array.from(facts))), { nil: null })
const observation: fc.Arbitrary<Observation> = fc.record({
  id: fc.constant('as_fuzz'),
  at: fc.nat(),
  client: fc.constantFrom('ip:192.0.2.1', 'key:k1', 'user:u1'),
  method: fc.oneof(fc.constantFrom('GET', 'POST', 'PROPFIND', 'TRACE', 'FOO'), text),
  url: text,
  headers,
  body: fc.option(fc.oneof(fc.uint8Array({ maxLength: 200 }), text.map((one) => new Uint8Array(Buffer.from(one)))), { nil: null }),
  route: fc.constantFrom(null, '/graphql'),
  history
})

t.test('seven contributions add up to the score exactly, whatever comes, and none takes over 50 ms', (t) => {
  let slowest = 0
  // The first calls compile.
  for (let i = 0; i < 200; i++) cheapScore(observe({ url: `/a${i}` }), policyOf())
  const policies = ([1, 2, 3, 4] as const).map(policyOf)
  fc.assert(fc.property(observation, fc.constantFrom(...policies), (one, policy) => {
    const startedMs = threadMs()
    const score = cheapScore(one, policy)
    slowest = Math.max(slowest, threadMs() - startedMs)
    const evidence = score.factors.flatMap((factor) => factor.evidence)
    return sumsUp(score) && score.value >= 0 && score.value < 75 && score.factors.length === 7 &&
      score.factors.every((factor, i) => factor.name === FACTOR_NAMES[i] && factor.contribution >= 0 && factor.evidence.length <= 8) &&
      evidence.every((item) => item.text.length <= 160 && item.rule !== '')
  }), { numRuns: RUNS })
  t.ok(slowest <= slack(CASE_MS_MAX), `the slowest case: ${slowest.toFixed(1)} ms`)
  t.end()
})

t.test('the same observation and policy give the same score', (t) => {
  fc.assert(fc.property(observation, (one) => {
    const policy = policyOf()
    return JSON.stringify(scoreObservation(one, policy)) === JSON.stringify(scoreObservation(structuredClone(one), policy))
  }), { numRuns: 500 })
  t.end()
})

t.test('one strong factor is enough to block, and the decisive one is named', (t) => {
  const tool = scoreObservation(observe({ headers: ['Host', 'a.example', 'User-Agent', 'sqlmap/1.8#stable (https://sqlmap.org)'] }), policyOf())
  t.ok(tool.value >= 75)
  t.equal(tool.factors.find((factor) => factor.name === 'userAgent')?.contribution, tool.value)
  const hidden = scoreObservation(observe({ url: '/.git/config', route: null }), policyOf())
  t.ok(hidden.value >= 75)
  t.equal(hidden.factors[2]?.evidence[0]?.rule, 'endpoint.hidden-file')
  t.end()
})

t.test('the cheap answer never reaches the block threshold and says that it is cheap', (t) => {
  const score = cheapScore(observe({ url: '/.env', route: null, headers: ['User-Agent', 'nikto'] }), policyOf())
  t.ok(score.value < 75)
  t.ok(score.value >= 40, 'it still challenges the risky')
  t.equal(score.degraded, true)
  t.equal(score.grade, null)
  t.ok(score.notInspected.length > 0)
  t.end()
})

t.test('a higher sensitivity never lowers a score', (t) => {
  fc.assert(fc.property(observation, (one) => {
    const values = ([1, 2, 3, 4] as const).map((sensitivity) => cheapScore(one, policyOf(sensitivity)).value)
    return values.every((value, i) => i === 0 || value >= (values[i - 1] as number))
  }), { numRuns: 1000 })
  t.end()
})

t.test('the policy version names every number', (t) => {
  t.equal(policyOf(2).version, policyOf(2).version)
  t.not(policyOf(2).version, policyOf(3).version)
  t.not(policyOf(2).version, createPolicy({ sensitivity: 2, challengeThreshold: 41, blockThreshold: 75 }).version)
  t.ok(Object.isFrozen(policyOf()))
  t.end()
})

t.test('a rate that the limiter allows does not challenge a script for its manners; what it asks for may', (t) => {
  const busy: Partial<HistorySnapshot> = { requests10s: 100, requests60s: 100, limitUsed: 0.99 }
  const script = { headers: ['Host', 'a.example', 'Content-Type', 'application/json', 'Connection', 'keep-alive'] }
  const score = scoreObservation(observe({ ...script, history: { ...observe({}).history!, ...busy } }), policyOf())
  t.ok(score.value > 20 && score.value < 40, String(score.value))
  const asking = scoreObservation(observe({ ...script, url: '/search?q=1%27%20or%201=1--', history: { ...observe({}).history!, ...busy } }), policyOf())
  t.ok(asking.value >= 75)
  t.end()
})

t.test('no fact of ordinary life alone reaches the challenge threshold', (t) => {
  const alone: Array<Partial<HistorySnapshot>> = [
    { requests10s: 400, requests60s: 2000, requests600s: 9000, limitUsed: 1, habitPerMinute: 10 },
    { intervals: 64, intervalMeanMs: 1000, intervalDeviationMs: 1, streakRequests: 5000, streakSeconds: 5000, requests3600s: 3600, distinctTargets3600s: 2 },
    { failedLogins600s: 4, failedLogins3600s: 4, requests3600s: 9, loginAttempts600s: 5, intervalMeanMs: 4000 },
    { distinctAgents3600s: 12, agentChanges3600s: 150, requests3600s: 200, requests600s: 200, distinctShapes3600s: 9, distinctHeaderSets3600s: 9, distinctTargets3600s: 40 },
    { notFound600s: 8, notFound3600s: 8, requests600s: 40, requests3600s: 40, guesses3600s: 8, distinctShapes3600s: 12 },
    { badTokens600s: 400, badTokens3600s: 400, distinctCredentials3600s: 1, requests3600s: 400, requests600s: 400 }
  ]
  for (const facts of alone) {
    const score = scoreObservation(observe({ history: { ...emptyHistory(), ...facts } }), policyOf())
    t.ok(score.value < 40, `${score.value} for ${JSON.stringify(facts)}`)
  }
  t.end()
})

t.test('the key of a fleet is used by many programs from everywhere, and not challenged for that', (t) => {
  for (const client of ['key:k_1', 'user:u_1']) {
    for (const [addresses, agents] of [[3, 2], [10, 6], [40, 12], [500, 60]] as const) {
      const facts = { distinctAddresses3600s: addresses, distinctAgents3600s: agents, agentChanges3600s: 400, requests600s: 500, requests3600s: 500, limitUsed: 1, requests10s: 500, requests60s: 500 }
      const score = scoreObservation(observe({ client, history: { ...emptyHistory(), ...facts } }), policyOf())
      t.ok(score.value < 40, `${score.value} for ${client} from ${addresses} addresses`)
      t.equal(score.factors.some(({ evidence }) => evidence.some(({ rule }) => rule === 'behavior.roaming')), agents > 2, 'and seen')
    }
  }
  t.end()
})

t.test('a snapshot survives its way through an array of numbers', (t) => {
  const facts = Float64Array.from(HISTORY_FACTS, (_, i) => i + 0.5)
  const out = new Float64Array(HISTORY_LENGTH + 3)
  const snapshot = decodeHistory(facts)
  HISTORY_FACTS.forEach((name, i) => t.equal(snapshot[name], i + 0.5, name))
  encodeHistory(snapshot, out, 3)
  t.same([...out.subarray(3)], [...facts])
  t.same(Object.keys(emptyHistory()), [...HISTORY_FACTS])
  t.end()
})
