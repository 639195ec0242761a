import type { Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import { newId } from '../std/id.ts'
import type { Incidents } from '../incidents/incidents.ts'
import { Claims } from './claims.ts'
import { matchPlaybooks, stepsOf, type Match, type ScoreThresholds } from './match.ts'
import { Retries } from './retries.ts'
import type { RunLog } from './run-log.ts'
import { auditEventOf, joiningOf, noticeOf, type FinishedRun } from './run-report.ts'
import { attackerName, type Detection, type Playbook, type Run, type RunResult, type StepOutcome } from './shapes.ts'
import { decides, previewStep, takeStep, type Actions } from './steps.ts'

/**
 * Runs playbooks: one request's detection in, actions out.
 *
 * Owns: the order of things. A run is claimed (claims.ts), its steps are taken (steps.ts), those that failed are tried
 * again (retries.ts), and what it came to is recorded (run-log.ts) and then told (run-report.ts). Never does: decide
 * what matches (match.ts), write incidents or send webhooks. Steps that protect (blocks, limits, quarantine) act from
 * memory before this returns; the record, incident, webhook and audit event follow behind.
 */
interface Runner {
  /**
   * Runs of what fired, highest first; the actions have been taken. Never throws.
   * @param decisionsMax a run that would make more standing decisions makes none, and says so
   */
  respond (detection: Detection, decisionsMax: number): Run[]
  /** How many standing decisions a response would make now. */
  decisionsDue (detection: Detection): number
  /** Runs one playbook, or says what it would do, whatever its condition says. */
  runOne (playbook: Playbook, detection: Detection, options: { dryRun: boolean, actor: string }): Run
  /** An attacker who was let back in and attacks again is met as if for the first time. */
  forget (attacker: string): void
  /** Resolves when no step waits to be tried again. */
  settled (): Promise<void>
  close (): void
}

interface RunnerParts {
  playbooks: readonly Playbook[]
  thresholds: ScoreThresholds
  actions: Actions
  incidents: Pick<Incidents, 'join'>
  runLog: RunLog
  audit: Audit
  fleet: Fleet
  clock: Clock
  onRun (run: Run): void
}

export function createRunner (
  { playbooks, thresholds, actions, incidents, runLog, audit, fleet, clock, onRun }: RunnerParts
): Runner {
  const claims = new Claims({ fleet, clock, actions })
  const retries = new Retries(clock)

  function respond (detection: Detection, decisionsMax: number): Run[] {
    const runs: Run[] = []
    let left = decisionsMax
    for (const match of matchPlaybooks(detection, playbooks, thresholds)) {
      const decisions = decisionsOf(match, detection)
      const withheld = decisions > left
      if (!claims.claim(match, detection, withheld)) continue
      if (!withheld) left -= decisions
      runs.push(run(match, detection, { actor: 'system', withheld }))
    }
    return runs
  }

  function decisionsDue (detection: Detection): number {
    let due = 0
    for (const match of matchPlaybooks(detection, playbooks, thresholds)) {
      if (!claims.isClaimed(match, detection)) due += decisionsOf(match, detection)
    }
    return due
  }

  function decisionsOf ({ steps }: Match, detection: Detection): number {
    return steps.filter((step) => decides(actions, step, detection)).length
  }

  function run (match: Match, detection: Detection, { actor, withheld }: { actor: string, withheld: boolean }): Run {
    const { playbook, steps } = match
    const take = (index: number, attempts: number): StepOutcome =>
      takeStep(actions, steps[index]!, { playbook, detection, withheld }, attempts)
    const done = begun(match, detection, { actor, withheld })
    done.steps = steps.map((_step, index) => take(index, 1))
    done.result = resultOf(done, detection, withheld)
    const finish = (): void => {
      done.result = resultOf(done, detection, withheld)
      runLog.offer(done, () => tell({ run: done, playbook, detection, actor }))
    }
    if (done.result !== 'failed' || retries.isFull) finish()
    else retries.start(done.steps, take, finish)
    return done
  }

  function preview (match: Match, detection: Detection, actor: string): Run {
    const steps = match.steps.map((step) => previewStep(actions, step, detection))
    return { ...begun(match, detection, { actor, withheld: false }), result: 'simulated', steps, dryRun: true }
  }

  /** Without its steps. A run that a person ordered claims nothing: its id is its own. */
  function begun (match: Match, detection: Detection, { actor, withheld }: { actor: string, withheld: boolean }): Run {
    return {
      id: actor === 'system' ? claims.runId(match, detection, withheld) : newId('pr', clock.now()),
      playbook: match.playbook.name,
      attacker: attackerName(detection),
      at: clock.now(),
      assessmentId: detection.assessmentId,
      result: 'done',
      steps: [],
      dryRun: false
    }
  }

  function tell (finished: FinishedRun): void {
    audit.record(auditEventOf(finished))
    onRun(finished.run)
    if (finished.playbook.opensIncident) {
      incidents.join(joiningOf(finished))
      return
    }
    const notice = noticeOf(finished)
    if (notice !== null) actions.notify(notice)
  }

  return {
    respond,
    decisionsDue,
    runOne (playbook, detection, { dryRun, actor }) {
      const match = { playbook, steps: stepsOf(playbook, detection, thresholds) }
      return dryRun ? preview(match, detection, actor) : run(match, detection, { actor, withheld: false })
    },
    forget: (attacker) => claims.forget(attacker, playbooks),
    settled: () => retries.settled(),
    close: () => retries.close()
  }
}

/** The worst of a run's steps; a run in shadow did nothing, nor one that may not decide. */
function resultOf ({ steps }: Run, { simulated }: Detection, withheld: boolean): RunResult {
  if (steps.some(({ result }) => result === 'failed')) return 'failed'
  if (withheld) return 'skipped'
  if (simulated) return 'simulated'
  return steps.length > 0 && steps.every(({ result }) => result === 'skipped') ? 'skipped' : 'done'
}
