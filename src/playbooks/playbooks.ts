import type { Audit } from '../audit/shapes.ts'
import type { Fleet } from '../cluster/fleet.ts'
import { NEKO_ERR_NOT_FOUND } from '../errors.ts'
import type { Assessment } from '../assessments/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { createIncidents, type Incidents } from './incidents.ts'
import { createRunner, type Actions } from './runner.ts'
import { attackerOf, runCollection, type Playbook, type PlaybookName, type Run, type Sighting } from './shapes.ts'

/**
 * The room's service: what a request set off, what a person runs by hand, and the record of both.
 */
export interface Playbooks {
  readonly incidents: Incidents
  /** Hop 9: acts at once, records behind. Never throws. */
  sight (sighting: Sighting): Run[]
  list (): Array<Omit<Playbook, 'steps'> & { steps: string[] }>
  /** Runs one on a receipt. @throws NEKO_ERR_NOT_FOUND */
  runOn (name: PlaybookName, assessmentId: string, options: { dryRun: boolean, actor: string }): Promise<Run>
  close (): Promise<void>
}

export interface PlaybookParts {
  playbooks: readonly Playbook[]
  blockThreshold: number
  actions: Actions
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  log: { error (details: object, message: string): void }
  findAssessment (id: string): Promise<Assessment | null>
  onRun (run: Run): void
}

const RUN_KEPT_MS = 90 * 86_400_000
/** Runs waiting for the store; beyond it they stand in the audit trail only. */
const RUNS_WAITING_MAX = 5000
const FLUSH_MS = 1000
const BATCH = 500

export function createPlaybooks (parts: PlaybookParts): Playbooks {
  const { playbooks, storage, log } = parts
  const incidents = createIncidents(parts)
  const runs = storage.collection<Run & { expiresAt: number }>(runCollection)
  const waiting: Array<Run & { expiresAt: number }> = []
  const runner = createRunner({
    ...parts,
    incidents,
    onRun (run) {
      parts.onRun(run)
      if (waiting.length < RUNS_WAITING_MAX) waiting.push({ ...run, expiresAt: run.at + RUN_KEPT_MS })
    }
  })

  async function flush (): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH)
      try {
        await runs.insertMany(batch)
      } catch (error) {
        log.error({ err: error }, 'runs of playbooks wait for the store')
        return
      }
      waiting.splice(0, batch.length)
    }
  }

  const timer = setInterval(() => { flush().catch(() => { /* logged within */ }) }, FLUSH_MS)
  timer.unref()

  return {
    incidents,
    sight (sighting) {
      try {
        return runner.sight(sighting)
      } catch (error) {
        log.error({ err: error, assessment: sighting.assessmentId }, 'playbooks failed on a request')
        return []
      }
    },
    list: () => playbooks.map((playbook) => ({ ...playbook, steps: playbook.steps.map((step) => step.do) })),
    async runOn (name, assessmentId, options) {
      const assessment = await parts.findAssessment(assessmentId)
      if (assessment === null) throw new NEKO_ERR_NOT_FOUND('There is no such receipt')
      const playbook = playbooks.find((one) => one.name === name) as Playbook
      return runner.runOne(playbook, sightingOf(assessment), options)
    },
    async close () {
      clearInterval(timer)
      await incidents.close()
      await flush()
    }
  }
}

/** A stored receipt as the runner sees it. */
function sightingOf (assessment: Assessment): Sighting {
  const { client, factors } = assessment
  const largest = factors.reduce<{ name: Sighting['factor'], contribution: number }>((best, one) => one.contribution > best.contribution ? one : best, { name: null, contribution: 0 })
  return {
    assessmentId: assessment.id,
    at: assessment.at,
    attacker: attackerOf(client),
    client,
    score: assessment.score,
    grade: assessment.grade,
    decoy: false,
    automation: false,
    anomaly: false,
    action: assessment.action,
    simulated: assessment.simulated,
    refused: false,
    refusals600s: 0,
    method: assessment.method,
    path: assessment.path,
    factor: largest.name,
    evidence: factors.flatMap((factor) => factor.evidence),
    crossed: null
  }
}
