import type { AuditInput } from '../audit/shapes.ts'
import type { Joining } from '../incidents/joining.ts'
import type { Notice } from '../webhooks/shapes.ts'
import { outranks, type Detection, type Playbook, type Run, type Step } from './shapes.ts'
import { reasonOf, timelineText } from './wording.ts'

/** The report of a finished run to the audit trail, its incident and webhooks (pure). */
export interface FinishedRun {
  run: Run
  playbook: Playbook
  detection: Detection
  /** `system`, or the person who ordered it. */
  actor: string
}

/** Pieces of evidence that one run adds to its incident. */
const EVIDENCE_MAX = 8

export function auditEventOf ({ run, detection, actor }: FinishedRun): AuditInput {
  return {
    category: 'security',
    type: 'playbook.run',
    actor,
    target: run.attacker,
    outcome: run.result === 'failed' ? 'failed' : 'ok',
    assessmentId: detection.assessmentId,
    score: detection.score,
    factor: detection.factor,
    details: {
      playbook: run.playbook,
      run: run.id,
      result: run.result,
      steps: run.steps.map((step) => `${step.do}: ${step.result}`).join(', ')
    }
  }
}

/** The message for webhooks; null when no step asks for one. Its incident is not known yet. */
export function noticeOf ({ run, playbook, detection }: FinishedRun): Notice | null {
  const kind = has(run, 'escalate') ? 'escalate' : has(run, 'alert') ? 'alert' : null
  return kind === null
    ? null
    : {
        kind,
        playbook: playbook.name,
        attacker: run.attacker,
        assessmentId: detection.assessmentId,
        score: detection.score,
        reason: reasonOf(playbook, detection),
        simulated: detection.simulated,
        incident: null
      }
}

export function joiningOf (finished: FinishedRun): Joining {
  const { run, detection, actor } = finished
  const { assessmentId, evidence } = detection
  return {
    attacker: run.attacker,
    playbook: run.playbook,
    outranks: (other) => outranks(run.playbook, other),
    critical: has(run, 'escalate'),
    entry: {
      at: run.at,
      actor: actor === 'system' ? `playbook:${run.playbook}` : actor,
      what: timelineText(run, actor),
      assessmentId
    },
    assessmentId,
    evidence: has(run, 'capture') ? evidence.slice(0, EVIDENCE_MAX) : [],
    notice: noticeOf(finished),
    techniques: has(run, 'tag') ? [...new Set(evidence.flatMap(({ technique }) => technique ?? []))] : []
  }
}

function has ({ steps }: Run, kind: Step['do']): boolean {
  return steps.some((step) => step.do === kind)
}
