import { targetOf, withAllowances } from '../detect/allowances.ts'
import { rescore } from '../detect/rescore.ts'
import { pagesOf } from '../storage/pages.ts'
import { replayAssessment } from './replay.ts'
import type { Slices } from './slices.ts'
import type { Assessment, StoredAssessment } from './shapes.ts'
import type { Action } from '../decisions/shapes.ts'
import type { Policy } from '../detect/policy.ts'
import type { Allowance, FactorContribution, Observation, Score } from '../detect/shapes.ts'
import type { Collection } from '../storage/port.ts'

/** What allowances would have let through among the stored receipts. */
export interface LetThrough {
  count: number
  /** Receipts that were looked at, newest first. */
  scanned: number
  /** The first of them. */
  examples: LetThroughExample[]
}

interface LetThroughExample {
  assessmentId: string
  /** By the rules as they are now, without and with the allowances. */
  score: number
  scoreAfter: number
  action: Action
  actionAfter: Action
}

interface LetThroughParts {
  store: Pick<Collection<StoredAssessment>, 'find'>
  slices: Slices
  policy (): Policy
  judge (score: Score, about: { method: string }): Action
}

const SCANNED_MAX = 2_000
const PAGE = 100
/** Of the same target, with the same rule at the same place: each is scored twice, here, in some milliseconds. */
const RESCORED_MAX = 200
const EXAMPLES_MAX = 10

/**
 * Looks through the newest stored receipts from the challenge threshold on. One whose evidence stands in a masked place
 * keeps its score, since the masked text is what would have to be compared.
 * @param standing the allowances that stand already
 * @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function findLetThrough (
  allowances: readonly Allowance[],
  standing: readonly Allowance[],
  { store, slices, policy, judge }: LetThroughParts
): Promise<LetThrough> {
  const found: LetThrough = { count: 0, scanned: 0, examples: [] }
  const now = policy()
  const after = withAllowances(now, [...standing, ...allowances])
  const where = { score: { gte: now.challengeThreshold } }
  let rescored = 0
  for await (const page of pagesOf(store, { where, sort: [['at', -1]], first: PAGE, most: SCANNED_MAX })) {
    for (const assessment of page) {
      found.scanned++
      if (!mayMeet(assessment, allowances)) continue
      if (++rescored > RESCORED_MAX) return found
      const example = await slices.run(() => compare(assessment, [now, after], judge))
      if (example === null || example.action === example.actionAfter) continue
      found.count++
      if (found.examples.length < EXAMPLES_MAX) found.examples.push(example)
    }
  }
  return found
}

/** A look before anything is scored: the request had the target of one, and evidence of its rule somewhere. */
export function mayMeet (
  { observation, factors }: {
    observation: Pick<Observation, 'route' | 'url'> | null,
    factors: readonly FactorContribution[]
  },
  allowances: readonly Allowance[]
): boolean {
  if (observation === null) return false
  const target = targetOf(observation)
  return allowances.some((allowance) => allowance.target === target &&
    factors.some(({ evidence }) => evidence.some((one) => one.rule === allowance.rule)))
}

function compare (
  assessment: Assessment,
  [now, after]: [Policy, Policy],
  judge: LetThroughParts['judge']
): LetThroughExample | null {
  const [before, then] = [now, after].map((policy) => replayAssessment(assessment, {
    policy: () => policy,
    rescore: (observation, payload) => rescore(observation, payload, policy)
  })?.score)
  if (before === undefined || then === undefined) return null
  return {
    assessmentId: assessment.id,
    score: before.value,
    scoreAfter: then.value,
    action: judge(before, assessment),
    actionAfter: judge(then, assessment)
  }
}
