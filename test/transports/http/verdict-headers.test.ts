import fc from 'fast-check'
import type { FastifyReply } from 'fastify'
import t from 'tap'
import { decideVerdict } from '../../../src/decisions/verdict.ts'
import { FACTOR_NAMES, type Score } from '../../../src/detect/shapes.ts'
import type { Transaction } from '../../../src/transaction/transaction.ts'
import { showVerdict } from '../../../src/transports/http/verdict-headers.ts'

/** @param hundredths of each factor, as FACTOR_NAMES has them; the score is their sum */
function shownOf (hundredths: number[], thresholds: { challenge: number, block: number }): Shown {
  const score = {
    value: hundredths.reduce((sum, one) => sum + one, 0) / 100,
    factors: hundredths.map((one, i) => ({ name: FACTOR_NAMES[i]!, contribution: one / 100, evidence: [] })),
    degraded: false
  } as unknown as Score
  const verdict = decideVerdict({ score, decision: null, method: 'GET', thresholds: { ...thresholds, shadow: false } })
  const headers: Record<string, unknown> = {}
  const reply = { headers: (shown: object) => Object.assign(headers, shown) } as unknown as FastifyReply
  showVerdict(reply, { score, verdict } as Transaction)
  return {
    score: headers['x-neko-score'] as number,
    action: headers['x-neko-action'] as string,
    factors: headers['x-neko-factors'] as string
  }
}

interface Shown { score: number, action: string, factors: string }

const NOTHING = [0, 0, 0, 0, 0, 0]
const alone = (hundredths: number): number[] => [hundredths, ...NOTHING]

t.test('a score is shown rounded down: never a threshold beside the action below it', (t) => {
  const thresholds = { challenge: 40, block: 75 }
  t.same(shownOf(alone(3999), thresholds), { score: 39, action: 'ALLOW', factors: 'frequency=39' })
  t.same(shownOf(alone(4000), thresholds), { score: 40, action: 'CHALLENGE', factors: 'frequency=40' })
  t.same(shownOf(alone(7499), thresholds), { score: 74, action: 'CHALLENGE', factors: 'frequency=74' })
  t.same(shownOf(alone(7500), thresholds), { score: 75, action: 'BLOCK', factors: 'frequency=75' })
  t.same(shownOf(alone(99), thresholds), { score: 0, action: 'ALLOW', factors: '' }, 'less than a point says nothing')
  t.end()
})

t.test('score, action and factors that are shown never contradict each other', (t) => {
  const scores = fc.integer({ min: 0, max: 10_000 }).chain((total) =>
    fc.array(fc.integer({ min: 0, max: total }), { minLength: 6, maxLength: 6 }).map((cuts) => {
      const ends = [...cuts.toSorted((a, b) => a - b), total]
      return ends.map((end, i) => end - (ends[i - 1] ?? 0))
    }))
  const thresholds = fc.tuple(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 100 }))
    .map(([a, b]) => ({ challenge: Math.min(a, b), block: Math.max(a, b) }))
  fc.assert(fc.property(scores, thresholds, (hundredths, thresholds) => {
    const { score, action, factors } = shownOf(hundredths, thresholds)
    const expected = score >= thresholds.block ? 'BLOCK' : score >= thresholds.challenge ? 'CHALLENGE' : 'ALLOW'
    const points = factors === '' ? [] : factors.split(',').map((one) => Number(one.split('=')[1]))
    return action === expected && points.every((one) => one >= 1) &&
      points.reduce((sum, one) => sum + one, 0) <= score
  }), { numRuns: 5_000 })
  t.end()
})
