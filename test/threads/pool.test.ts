import t from 'tap'
import { createPolicy } from '../../src/detect/policy.ts'
import { scoreObservation } from '../../src/detect/score.ts'
import type { Observation } from '../../src/detect/shapes.ts'
import { observation } from '../detect/observations.ts'
import { inFull, meaning, policy, pool } from './pools.ts'

for (const mode of ['ring', 'inline'] as const) {
  t.test(`${mode}: gives the score that the pure scorer gives`, async (t) => {
    const made = await pool(t, { mode })
    const seen = [
      observation(),
      observation({ history: null, route: null, client: 'key:абв', headers: [] }),
      observation({ method: 'POST', url: '/find?q=%27%20union%20select%201', body: new TextEncoder().encode('{"name":"ok ☕","at":"\u0000"}') }),
      observation({ headers: ['User-Agent', 'sqlmap/1.8', 'X-Odd', 'a\nb\u0000c', 'X-Wide', '☕'.repeat(40)] }),
      observation({ url: '/' + 'a'.repeat(20_000), body: new Uint8Array(64 * 1024).fill(97) }),
      observation({ body: new Uint8Array(0) }),
      observation({ headers: Array.from({ length: 3_000 }, (_, i) => `h${i}`) })
    ]
    const scores = await Promise.all(seen.map((one) => inFull(made, one)))
    scores.forEach((score, i) => {
      t.same(meaning(score), meaning(scoreObservation(seen[i] as Observation, policy)), `observation ${i}`)
      t.equal(score.source, mode === 'inline' ? 'inline' : 'thread')
    })
    t.equal(made.queueSize(), 0)
    t.ok(made.healthy())
  })

  t.test(`${mode}: the seven contributions add up to the score exactly`, async (t) => {
    const made = await pool(t, { mode })
    const score = await inFull(made, observation({ headers: ['User-Agent', 'nikto/2.5'], history: { ...observation().history!, failedLogins600s: 7, requests10s: 300 } }))
    t.equal(score.factors.reduce((sum, one) => sum + Math.round(one.contribution * 100), 0), Math.round(score.value * 100))
    t.equal(score.factors.length, 7)
  })

  t.test(`${mode}: repeated payloads get the same findings, and the history of the moment`, async (t) => {
    const made = await pool(t, { mode })
    const calm = await inFull(made, observation({ url: '/same' }))
    const stuffing = await inFull(made, observation({ url: '/same', history: { ...observation().history!, failedLogins600s: 9 } }))
    t.ok(stuffing.value > calm.value)
  })

  t.test(`${mode}: answers every one of many observations, in the right places`, async (t) => {
    const made = await pool(t, { mode })
    for (let round = 0; round < 5; round++) {
      const seen = Array.from({ length: 200 }, (_, i) => observation({ history: { ...observation().history!, failedLogins600s: i % 11 } }))
      const scores = await Promise.all(seen.map((one) => made.score(one)))
      scores.forEach((score, i) => { if (!score.degraded) t.same(meaning(score), meaning(scoreObservation(seen[i] as Observation, policy))) })
    }
  })

  t.test(`${mode}: after close the answer is the cheap score`, async (t) => {
    const made = await pool(t, { mode })
    const under = made.score(observation())
    await made.close()
    t.ok(await under)
    const score = await made.score(observation())
    t.equal(score.degraded, mode !== 'inline')
  })

  t.test(`${mode}: a new policy answers from then on`, async (t) => {
    const made = await pool(t, { mode })
    const next = createPolicy({ sensitivity: 4, challengeThreshold: 30, blockThreshold: 60 })
    made.usePolicy(next)
    t.equal((await inFull(made, observation())).policyVersion, next.version)
  })
}
