import t from 'tap'
import type { Decision } from '../../src/decisions/shapes.ts'
import { decisiveFactor } from '../../src/detect/decisive-factor.ts'
import type { FactorContribution, FactorName, Score } from '../../src/detect/shapes.ts'
import { receiptOf } from '../../src/schema/audit-receipt.ts'
import { holdAfterChallenges } from '../../src/transaction/challenge-hold.ts'
import { detectionOf, type DetectionOptions } from '../../src/transaction/detection.ts'
import { isBlock, standingBlock } from '../../src/transaction/standing-block.ts'
import { isTokenAlone } from '../../src/transaction/token-attack.ts'
import type { Transaction } from '../../src/transaction/transaction.ts'

/** The pure rules of the walk, with plain objects. */
const NAMES = ['frequency', 'userAgent', 'endpoint', 'headers', 'timing', 'payload', 'behavior'] as const

function score (points: Partial<Record<FactorName, number>>, more: Partial<Score> = {}, rule = 'x'): Score {
  const evidence = [{ rule, place: 'query.q', grade: 'certain', text: 'matched', technique: null }] as const
  const factors = NAMES.map((name): FactorContribution =>
    ({ name, contribution: points[name] ?? 0, evidence: points[name] === undefined ? [] : [...evidence] }))
  return {
    value: factors.reduce((sum, { contribution }) => sum + contribution, 0),
    factors,
    grade: null,
    payloadValue: 0,
    decoy: false,
    automation: false,
    anomaly: false,
    policyVersion: '1',
    notInspected: [],
    beyond: null,
    source: 'inline',
    degraded: false,
    ...more
  }
}

const SEEN = { method: 'GET', url: '/a?password=secret', headers: [], body: null, history: null }
const CALM = { limit: null, verdict: { action: 'ALLOW', simulated: false }, observation: SEEN }

function transaction (given: object): Transaction {
  return {
    id: 'as_1',
    at: 5,
    client: 'ip:192.0.2.1',
    address: '192.0.2.1',
    neverBlockApplies: true,
    unnamedProxy: null,
    principal: null,
    method: 'GET',
    target: SEEN.url,
    credentialRefused: null,
    score: null,
    scoreWithoutData: null,
    heldScore: null,
    refusedBy: null,
    attemptLimited: false,
    ...CALM,
    ...given
  } as unknown as Transaction
}

t.test('the third challenge of one client within ten minutes holds it for ten', async (t) => {
  const held: unknown[] = []
  const limits = { hold: (client: string, ms: number) => { held.push([client, ms]) } }
  const challenged = (before: number | null, verdict = { action: 'CHALLENGE', simulated: false }): Transaction =>
    transaction({ verdict, observation: { ...SEEN, history: before === null ? null : { challenged600s: before } } })
  for (const before of [null, 0, 1]) holdAfterChallenges(challenged(before), limits)
  t.strictSame(held, [], 'two may be chance')
  holdAfterChallenges(challenged(2), limits)
  holdAfterChallenges(challenged(7), limits)
  t.strictSame(held.splice(0), [['ip:192.0.2.1', 600_000], ['ip:192.0.2.1', 600_000]], 'each further one anew')
  holdAfterChallenges(challenged(9, { action: 'CHALLENGE', simulated: true }), limits)
  for (const action of ['ALLOW', 'BLOCK']) holdAfterChallenges(challenged(9, { action, simulated: false }), limits)
  holdAfterChallenges(transaction({ verdict: null, observation: null }), limits)
  t.strictSame(held, [], 'neither in shadow, nor for another verdict, nor before there is one')
})

t.test('a refused token that is itself the attack stands alone unless something beside it is suspicious', async (t) => {
  const token = (more: Partial<Record<FactorName, number>> = {}): Score =>
    score({ headers: 80, ...more }, {}, 'headers.token-head')
  const isAlone = (one: Score | null, credentialRefused: string | null = 'malformed'): boolean =>
    isTokenAlone(transaction({ score: one, credentialRefused }), 40)
  t.ok(isAlone(token()))
  t.ok(isAlone(token({ payload: 39.99 })))
  t.ok(isAlone(token({ behavior: 60, frequency: 60, timing: 60 })), 'more like it before tells of the token')
  t.notOk(isAlone(token({ payload: 40 })))
  t.notOk(isAlone(token({ endpoint: 20, userAgent: 20 })), 'they add up')
  t.notOk(isAlone(token(), null), 'a credential that holds, or none')
  t.notOk(isAlone(null))
  t.notOk(isAlone(score({ headers: 80 })), 'other evidence')
})

t.test('only a block that is no simulation stands', async (t) => {
  const decision = (action: string, simulated = false): Decision => ({ action, simulated }) as unknown as Decision
  t.ok(isBlock(decision('BLOCK')))
  t.notOk(isBlock(decision('BLOCK', true)))
  t.notOk(isBlock(decision('CHALLENGE')))
  t.notOk(isBlock(decision('ALLOW')))
  t.notOk(isBlock(null))
})

t.test('the block against a caller is asked by address first, then by who it is', async (t) => {
  const block = { action: 'BLOCK', originKind: 'person', simulated: false } as Decision
  const allow = { action: 'ALLOW', simulated: false } as Decision
  const asked: unknown[][] = []
  const decisions = (byAddress: Decision | null, byPrincipal: Decision | null) => ({
    forAddress: (...given: unknown[]) => { asked.push(given); return byAddress },
    byPeopleAbout: () => null,
    forCaller: (principal: unknown, other: Decision | null) => principal === null ? other : byPrincipal ?? other
  })
  const caller = { address: '192.0.2.1', neverBlockApplies: false, unnamedProxy: null, principal: null }
  const holder = { ...caller, principal: { id: 'k1' } as never }
  t.equal(standingBlock(decisions(block, null), caller), block)
  t.strictSame(asked, [['192.0.2.1', false]], 'NEVER_BLOCK is told whether it may look')
  t.equal(standingBlock(decisions(block, allow), holder), null, 'an allow of the key lifts it')
  t.equal(standingBlock(decisions(block, allow), caller), block, 'for nobody else')
  t.equal(standingBlock(decisions(null, block), holder), block)
  t.equal(standingBlock(decisions({ ...block, simulated: true }, null), caller), null)
  t.equal(standingBlock(decisions(null, null), holder), null)
  for (const originKind of ['playbook', 'import', 'region'] as const) {
    t.match(standingBlock(decisions({ ...block, originKind }, null), caller), { originKind }, `${originKind}: for who shows nothing`)
    t.equal(standingBlock(decisions({ ...block, originKind }, null), holder), null, `${originKind}: not for who is signed in`)
    t.equal(standingBlock(decisions({ ...block, originKind }, block), holder), block, 'unless he is blocked himself')
  }
})

t.test('the decisive factor is the first of the largest, and nobody\'s where nothing counted', async (t) => {
  t.equal(decisiveFactor(null), null)
  t.equal(decisiveFactor(score({})), null)
  t.equal(decisiveFactor({ factors: [] }), null)
  t.equal(decisiveFactor(score({ payload: 10, behavior: 10.01 })), 'behavior')
  t.equal(decisiveFactor(score({ endpoint: 10, payload: 10 })), 'endpoint')
  t.equal(decisiveFactor(score({ timing: 0.01 })), 'timing')
  t.strictSame(receiptOf('as_1', score({ payload: 80 })), { assessmentId: 'as_1', score: 80, factor: 'payload' })
  t.strictSame(receiptOf(null, null), { assessmentId: null, score: null, factor: null })
})

function options (more: Partial<DetectionOptions['limits']> = {}, shadow = false): DetectionOptions {
  const limits = { isHeld: () => false, countViolation: () => 1, ...more }
  return {
    challengeThreshold: 40,
    shadow,
    limits,
    decisions: { blocksNeighbour: () => false },
    unnamedProxies: { kindOf: () => null },
    methodLabel: (method) => method.toLowerCase()
  }
}

t.test('playbooks are told of what is notable, and of nothing else', async (t) => {
  const isTold = (one: Score): boolean => detectionOf(transaction({ score: one }), options()) !== null
  t.notOk(isTold(score({ payload: 39.99 })))
  t.ok(isTold(score({ payload: 40 })))
  for (const sign of ['decoy', 'automation', 'anomaly'] as const) t.ok(isTold(score({}, { [sign]: true })), sign)
  t.equal(detectionOf(transaction({ score: null, verdict: null, observation: null }), options()), null)
})

t.test('a detection tells flat facts: whom to act against, what decided, and no secret of the target', async (t) => {
  const block = { action: 'BLOCK', simulated: false }
  const one = score({ payload: 90 }, { grade: 'certain' })
  const observation = { ...SEEN, history: { refused600s: 2 } }
  const given = { score: one, verdict: block, observation, refusedBy: 'score' }
  const detection = detectionOf(transaction(given), options())
  t.match(detection, { assessmentId: 'as_1', at: 5, attacker: { scope: 'IP', value: '192.0.2.1' }, score: 90 })
  t.match(detection, { action: 'BLOCK', refused: true, refusals600s: 3, factor: 'payload', method: 'get', path: '/a' })
  t.match(detection, { evidence: [{ rule: 'x' }], crossed: null, simulated: false })
  t.notOk(JSON.stringify(detection).includes('secret'))
  t.equal(detectionOf(transaction({ ...given, neverBlockApplies: false }), options())?.address, null)
  const key = detectionOf(transaction({ ...given, client: 'key:k1' }), options())
  t.match(key, { attacker: { scope: 'KEY', value: 'k1' }, client: 'key:k1', address: '192.0.2.1' })
})

t.test('refused is what the score refused, or would have in shadow', async (t) => {
  const refused = (given: object): boolean | undefined =>
    detectionOf(transaction({ score: score({ payload: 90 }), ...given }), options())?.refused
  t.equal(refused({ refusedBy: 'score', verdict: { action: 'BLOCK', simulated: false } }), true)
  t.equal(refused({ verdict: { action: 'BLOCK', simulated: true } }), true)
  t.equal(refused({ verdict: { action: 'BLOCK', simulated: false } }), false, 'a decoy answered its bait')
  t.equal(refused({ verdict: { action: 'CHALLENGE', simulated: true } }), false)
})

t.test('a crossed limit is told with its violations, also where nothing was scored', async (t) => {
  const limit = { tier: 'standard', crossed: true, allowed: false }
  const counted: unknown[] = []
  const countViolation = (...given: unknown[]): number => counted.push(given)
  const unscored = { score: null, verdict: null, observation: null }
  const of = (given: object, more = {}, shadow = false): ReturnType<typeof detectionOf> =>
    detectionOf(transaction({ ...unscored, ...given }), options({ countViolation, ...more }, shadow))
  t.match(of({ limit }), {
    score: 0,
    action: 'BLOCK',
    simulated: false,
    refused: false,
    crossed: { tier: 'standard', key: 'ip:192.0.2.1', attempt: false, violations600s: 1 }
  })
  t.equal(of({ limit }, {}, true)?.simulated, true)
  t.strictSame(counted.splice(0), [...Array(2)].map(() => ['ip:192.0.2.1', { tier: 'standard', attempt: false }]))
  t.equal(of({ limit: { ...limit, crossed: false } }), null, 'refused again within the same block')
  t.equal(of({ limit }, { isHeld: () => true }), null, 'the rate that a challenge imposes')
  t.equal(of({ limit: null }), null)
  t.strictSame(counted, [])
})

t.test('an attempt over the strict tier counts as one, whatever the request itself was worth', async (t) => {
  const counted: unknown[] = []
  const limits = { isHeld: () => true, countViolation: (...given: unknown[]) => counted.push(given) + 2 }
  const detection = detectionOf(transaction({ score: score({}), attemptLimited: true }), options(limits))
  t.match(detection, { score: 0, action: 'ALLOW', refused: false })
  t.strictSame(detection?.crossed, { tier: 'strict', key: 'ip:192.0.2.1', attempt: true, violations600s: 3 })
  t.strictSame(counted, [['ip:192.0.2.1', { tier: 'strict', attempt: true }]])
})
