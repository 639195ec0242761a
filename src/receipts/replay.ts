/**
 * Replay: the score of a receipt, worked out again from its stored observation. Pure. Where a secret was
 * masked the text is no longer there: the payload's contribution is then taken from the receipt, and the
 * answer says so.
 */
import type { Assessment, RedactedObservation } from './shapes.ts'
import type { HistorySnapshot } from '../detect/history-shapes.ts'
import type { PayloadFinding } from '../detect/factors/payload.ts'
import type { Policy } from '../detect/policy.ts'
import type { FactorContribution, FactorName, Observation, Score } from '../detect/shapes.ts'

interface Replay {
  score: Score
  /** The score in the receipt. */
  recorded: number
  /** True when both are the same, to a hundredth. */
  reproduced: boolean
  /** False when the receipt was made under another policy: then another score is no surprise. */
  samePolicy: boolean
  /** Factors whose contribution was taken from the receipt, and the masked places that made it necessary. */
  taken: Array<{ factor: FactorName, contribution: number, places: string[] }>
}

/** The scorer of today (app.threads, or detect/rescore.ts with a policy). */
interface Rescorer {
  policy (): Policy
  rescore (observation: Observation, payload: PayloadFinding | null): Score
}

/** Null when the request was refused before it was scored, or answered by the cheap score. */
export function replayAssessment (assessment: Assessment, scoring: Rescorer): Replay | null {
  if (assessment.observation === null || assessment.degraded) return null
  const observation = restoreObservation(assessment, assessment.observation)
  const places = assessment.observation.masked.filter((one) => one.factors.includes('payload')).map((one) => one.place)
  const recorded = assessment.factors.find((factor) => factor.name === 'payload')
  const isTaken = places.length > 0 && recorded !== undefined
  const policy = scoring.policy()
  const score = scoring.rescore(observation, isTaken ? payloadOf(assessment, recorded, policy) : null)
  return {
    score,
    recorded: assessment.score,
    reproduced: Math.abs(score.value - assessment.score) < 0.015,
    samePolicy: policy.version === assessment.policyVersion,
    taken: isTaken ? [{ factor: 'payload', contribution: recorded.contribution, places }] : []
  }
}

/** What was kept of a request, as the scorer takes it. */
export function restoreObservation (assessment: Assessment, stored: RedactedObservation): Observation {
  return {
    id: assessment.id,
    at: assessment.at,
    client: assessment.client,
    method: stored.method,
    url: stored.url,
    headers: stored.headers,
    body: stored.bodyBase64 === null ? null : new Uint8Array(Buffer.from(stored.bodyBase64, 'base64')),
    route: stored.route,
    history: stored.history as HistorySnapshot | null
  }
}

/** A contribution is a share of the evidence: from it and the score the payload's own value follows. */
function payloadOf (assessment: Assessment, recorded: FactorContribution, policy: Policy): PayloadFinding {
  const evidence = assessment.score <= 0
    ? 0
    : -Math.log(1 - Math.min(assessment.score, 99.995) / 100) * recorded.contribution / assessment.score
  const strong = 1 - Math.exp(-evidence / Math.max(1, policy.evidenceScale))
  const value = strong >= policy.strongValue ? strong : 1 - Math.exp(-evidence / policy.evidenceScale)
  return {
    name: 'payload',
    value,
    evidence: recorded.evidence,
    grade: assessment.grade,
    notInspected: assessment.notInspected,
    beyond: null
  }
}

/** For `neko replay`. */
export function describeReplay (assessment: Assessment, replay: Replay): string {
  const { score, recorded, reproduced, samePolicy, taken } = replay
  const lines = [
    `${assessment.id}  recorded ${recorded.toFixed(2)}, replayed ${score.value.toFixed(2)}: ` +
      (reproduced ? 'the same' : 'not the same')
  ]
  if (!samePolicy) lines.push(`  policy then ${assessment.policyVersion}, now ${score.policyVersion}`)
  for (const { name, contribution } of score.factors) {
    const before = assessment.factors.find((factor) => factor.name === name)?.contribution ?? 0
    if (contribution > 0 || before > 0) {
      lines.push(
        `  ${name.padEnd(10)} ${before.toFixed(2).padStart(6)} -> ${contribution.toFixed(2).padStart(6)}`
      )
    }
  }
  for (const one of taken) {
    lines.push(`  ${one.factor}: taken from the receipt, since ${one.places.join(', ')} was masked`)
  }
  return lines.join('\n') + '\n'
}
