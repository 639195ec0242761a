import { attempt, type Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND } from '../errors.ts'
import type { Principal } from '../identity/shapes.ts'
import type { Assessment } from '../receipts/shapes.ts'
import type { Incidents } from '../incidents/incidents.ts'
import type { Clock } from '../std/clock.ts'
import { createPerSecond } from '../std/per-second.ts'
import type { Storage } from '../storage/port.ts'
import type { ScoreThresholds } from './match.ts'
import { createRunLog, type StoredRun } from './run-log.ts'
import { createRunner } from './runner.ts'
import { createRecount } from './recount.ts'
import {
  attackerName,
  attackerOf,
  runCollection,
  type Attacker,
  type Detection,
  type Playbook,
  type PlaybookName,
  type Run
} from './shapes.ts'
import type { Actions } from './steps.ts'

/**
 * The room's service: runs that a request set off, runs that a person orders, and the record of both.
 *
 * Never does: decide what a step does (steps.ts), or show incidents. In: detections and receipts. Out: runs.
 */
export interface Playbooks {
  /** Hop 9: acts at once, records behind. Never throws. */
  respond (detection: Detection): Run[]
  /**
   * A request that others saw and handed in to be acted on (`act: true`): as if it had been asked of us, but for the
   * number of standing decisions that its submitter may have.
   */
  respondToSample (detection: Detection, submitter: string): Promise<Run[]>
  list (): Array<Omit<Playbook, 'steps'> & { steps: string[] }>
  /**
   * Runs one on a receipt, for a person: durable in the audit trail before it acts.
   * @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_AUDIT_UNAVAILABLE, NEKO_ERR_FORBIDDEN when `maker` may not block the attacker
   */
  runOn (name: PlaybookName, assessmentId: string, options: OrderOptions): Promise<Run>
  /** A client was let back in. */
  forget (attacker: string): void
  /** Resolves when no step waits to be tried again and no run to be written. */
  settled (): Promise<void>
  close (): Promise<void>
}

/** `maker`: the person, where one is known. */
interface OrderOptions { dryRun: boolean, actor: string, maker?: Principal }

interface PlaybookParts {
  playbooks: readonly Playbook[]
  thresholds: ScoreThresholds
  actions: Actions
  incidents: Pick<Incidents, 'join'>
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  log: Record<'error' | 'warn', (details: object, message: string) => void>
  /** @throws NEKO_ERR_FORBIDDEN */
  requirePermission (maker: Principal, attacker: Attacker): Promise<void>
  findAssessment (id: string): Promise<Assessment | null>
  /** Refusals of a client within ten minutes, in all processes as far as they have told. */
  refusalsOf (client: string): number
  /** One standing decision on the word of that ClientKey; false beyond its bound. */
  takeDecision (submitter: string): boolean | Promise<boolean>
  onRun (run: Run): void
}

export function createPlaybooks (parts: PlaybookParts): Playbooks {
  const { playbooks, storage, audit, fleet, clock, log, refusalsOf } = parts
  const runs = storage.collection<StoredRun>(runCollection)
  const runLog = createRunLog({ clock, store: runs, processId: fleet.processId, log })
  const runner = createRunner({ ...parts, runLog })
  const recount = createRecount({ fleet, clock, refusalsOf, respond: respondAgain })
  const warnings = createPerSecond(clock, 1)

  function respondNow (detection: Detection, decisionsMax: number): Run[] {
    try {
      return runner.respond(detection, decisionsMax)
    } catch (error) {
      log.error({ err: error, assessment: detection.assessmentId }, 'playbooks failed on a request')
      return []
    }
  }

  function respondAgain (detection: Detection): void {
    const { submitter } = detection
    if (submitter === undefined) respondNow(detection, Infinity)
    else {
      takeDecisions(detection, submitter).then(
        (decisionsMax) => respondNow(detection, decisionsMax),
        (error: unknown) => log.error({ err: error, assessment: detection.assessmentId }, 'a sample was not acted on')
      )
    }
  }

  /** How many of the standing decisions that are due its submitter may still have. */
  async function takeDecisions (detection: Detection, submitter: string): Promise<number> {
    const due = runner.decisionsDue(detection)
    let taken = 0
    while (taken < due && await parts.takeDecision(submitter)) taken++
    if (taken < due && warnings.take()) {
      log.warn({ submitter, assessment: detection.assessmentId }, 'too many standing decisions by act: true; skipped')
    }
    return taken
  }

  const service: Playbooks = {
    respond (detection) {
      recount.offer(detection)
      return respondNow(detection, Infinity)
    },
    async respondToSample (detection, submitter) {
      const asked = { ...detection, submitter }
      recount.offer(asked)
      return respondNow(asked, await takeDecisions(asked, submitter))
    },
    list: () => playbooks.map(({ steps, ...playbook }) =>
      ({ ...playbook, steps: [...new Set(steps.map((step) => step.do))] })
    ),
    async runOn (name, assessmentId, options) {
      const assessment = await parts.findAssessment(assessmentId)
      if (assessment === null) throw new NEKO_ERR_NOT_FOUND('There is no such receipt')
      const playbook = playbooks.find((one) => one.name === name) as Playbook
      const detection = detectionOf(assessment)
      if (options.maker !== undefined) await parts.requirePermission(options.maker, detection.attacker)
      if (options.dryRun) return runner.runOne(playbook, detection, options)
      return await attempt(audit, {
        category: 'security',
        type: 'playbook.order',
        actor: options.actor,
        target: attackerName(detection),
        assessmentId,
        score: detection.score,
        factor: detection.factor,
        details: { playbook: name }
      }, async () => runner.runOne(playbook, detection, options))
    },
    forget: runner.forget,
    async settled () {
      await runner.settled()
      await runLog.settled()
    },
    async close () {
      recount.close()
      runner.close()
      await runner.settled()
      await runLog.close()
    }
  }
  return service
}

/** A stored receipt as the runner sees it. */
function detectionOf (assessment: Assessment): Detection {
  const { client, address, factors } = assessment
  const attacker = attackerOf(client, address === '' ? null : address)
  if (attacker === null) throw new NEKO_ERR_INPUT_INVALID('The receipt names no client to act against')
  const largest = factors.reduce<{ name: Detection['factor'], contribution: number }>(
    (best, one) => one.contribution > best.contribution ? one : best,
    { name: null, contribution: 0 }
  )
  return {
    assessmentId: assessment.id,
    at: assessment.at,
    attacker,
    client,
    // A person's order says whom it means.
    address: null,
    score: assessment.score,
    grade: assessment.grade,
    decoy: false,
    automation: false,
    anomaly: false,
    action: assessment.action,
    // A person's order is carried out, also in shadow.
    simulated: false,
    refused: false,
    refusals600s: 0,
    exhausts600s: 0,
    method: assessment.method,
    path: assessment.path,
    factor: largest.name,
    evidence: factors.toSorted((a, b) => b.contribution - a.contribution).flatMap((factor) => factor.evidence),
    crossed: null
  }
}
