/**
 * Receipts: the assessment of every request, and what can be asked about it.
 *
 * Owns: the recent receipts of this process, the stored ones, the figures, allowances for false alarms. Never does:
 * score, judge or refuse. In: what the walk knew of a request when its answer had left; out: assessments without
 * secrets.
 *
 * On the request path a receipt costs 1-2 us; redaction and JSON wait until somebody asks or it is stored.
 */
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND } from '../errors.ts'
import { keepBelowCeiling } from './ceiling.ts'
import { createCleaning, type Cleaning } from './cleaning.ts'
import { describeAllowances } from './describe-allowances.ts'
import { explainAssessment } from './explain.ts'
import { decoyUrls } from '../detect/signs/decoy-paths.ts'
import { createFalsePositives, type AllowanceActor, type FalsePositive, type MarkOptions } from './false-positives.ts'
import { createIntake, type Intake } from './intake.ts'
import { createLive, type Live } from './live.ts'
import { createLookup, type Lookup } from './lookup.ts'
import { createRecentReceipts } from './recent-receipts.ts'
import { createRecorder } from './recorder.ts'
import { describeReplay, replayAssessment } from './replay.ts'
import { createSlices } from './slices.ts'
import { createSharedStats } from './stats-sharing.ts'
import { WINDOW_SECONDS_MAX } from './stats.ts'
import { allowanceCollection, assessmentCollection } from './shapes.ts'
import type { Stats, StoredAllowance, StoredAssessment } from './shapes.ts'
import type { Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Config } from '../config/config.ts'
import type { Verdict } from '../decisions/shapes.ts'
import type { Threads } from '../threads/plugin.ts'
import type { Score } from '../detect/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Collection, Page, Storage } from '../storage/port.ts'

export interface Receipts extends Intake, Lookup {
  /** @throws NEKO_ERR_INPUT_INVALID unless 1 to 86,400 */
  stats (windowSeconds: number): Promise<Stats>
  /** The printable waterfall, or null. */
  explain (id: string): Promise<string | null>
  /**
   * The score worked out again from the stored observation, printable, or null.
   * @throws NEKO_ERR_INPUT_INVALID when it was refused before scoring or scored in a hurry
   */
  replay (id: string): Promise<string | null>
  /** @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_INPUT_INVALID, NEKO_ERR_EVIDENCE_CERTAIN, NEKO_ERR_AUDIT_UNAVAILABLE */
  markFalsePositive (id: string, options: MarkOptions): Promise<FalsePositive>
  /** Those that stand, newest first. @throws NEKO_ERR_CURSOR_INVALID */
  allowances (options: { first: number, after: string | null }): Page<StoredAllowance>
  countAllowances (): number
  /** All that stand, printable. */
  describeAllowances (): string
  /** @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_FORBIDDEN, NEKO_ERR_AUDIT_UNAVAILABLE */
  removeAllowance (id: string, by: AllowanceActor): Promise<StoredAllowance>
  /** Receipts as they are made in any process, at most 50 a second of each. */
  onShown: Live['subscribe']
  load (): Promise<void>
  /** Everything offered so far is in the store. */
  flush (): Promise<void>
  close (): Promise<void>
}

interface ReceiptParts {
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  config: Pick<Config, 'assessmentRetentionDays' | 'decoyPaths'>
  log: { warn: (facts: object, message: string) => void, error: (facts: object, message: string) => void }
  threads: Pick<Threads, 'score' | 'policy' | 'allow' | 'rescore'>
  /** Score to Verdict where no decision stands. */
  judge (score: Score, about: { method: string }): Verdict
}

const UPKEEP_EVERY_MS = 5 * 60_000

export function createReceipts (parts: ReceiptParts): Receipts {
  const { storage, audit, fleet, clock, log, threads, judge } = parts
  const store = storage.collection<StoredAssessment>(assessmentCollection)
  // Nobody waits for these: a database that is late with them is not down.
  const behind = storage.collection<StoredAssessment>(assessmentCollection, 'background')
  const recent = createRecentReceipts(clock)
  const stats = createSharedStats({ fleet, clock })
  const slices = createSlices(clock)
  const retentionDays = parts.config.assessmentRetentionDays
  const recorder = createRecorder({ store: behind, clock, slices, retentionDays, log })
  const intake = createIntake({ clock, recent, recorder, stats, log })
  const lookup = createLookup({ fleet, recent, slices, store })
  const live = createLive({ fleet, clock, slices, onAdded: intake.onAdded, log })
  const falsePositives = createFalsePositives({
    store: storage.collection<StoredAllowance>(allowanceCollection),
    assessments: store,
    audit,
    fleet,
    clock,
    log,
    receipts: recent,
    slices,
    isDecoy: decoyTargets(parts.config.decoyPaths),
    policy: threads.policy,
    allow: threads.allow,
    score: threads.score,
    judge: (score, about) => judge(score, about).action
  })
  const cleaning = createCleaning({ store: behind, slices, log })
  const stopUpkeep = keepUp(behind, cleaning, { fleet, clock, log })

  return {
    ...intake,
    ...lookup,
    async stats (windowSeconds) {
      if (!Number.isInteger(windowSeconds) || windowSeconds < 1 || windowSeconds > WINDOW_SECONDS_MAX) {
        throw new NEKO_ERR_INPUT_INVALID(`windowSeconds must be from 1 to ${WINDOW_SECONDS_MAX}`)
      }
      return await stats.of(windowSeconds)
    },
    async explain (id) {
      const assessment = await lookup.get(id)
      return assessment === null ? null : explainAssessment(assessment)
    },
    async replay (id) {
      const assessment = await lookup.get(id)
      if (assessment === null) return null
      const replay = replayAssessment(assessment, threads)
      if (replay === null) throw new NEKO_ERR_INPUT_INVALID(`${id} cannot be replayed: no thread scored it`)
      return describeReplay(assessment, replay)
    },
    async markFalsePositive (id, options) {
      const assessment = await lookup.get(id)
      if (assessment === null) throw new NEKO_ERR_NOT_FOUND('There is no such assessment')
      return await falsePositives.mark(assessment, options)
    },
    allowances: falsePositives.page,
    countAllowances: () => falsePositives.all().length,
    describeAllowances: () => describeAllowances(falsePositives.all()),
    removeAllowance: falsePositives.remove,
    onShown: live.subscribe,
    async load () {
      if (fleet.slot === 0) cleaning.run()
      await falsePositives.load()
    },
    flush: recorder.flush,
    async close () {
      stopUpkeep()
      falsePositives.close()
      live.close()
      await Promise.all([stats.close(), recorder.close()])
    }
  }
}

/**
 * Keeps the stored receipts below their bound and cleaned, from one process of the host. Returns what ends it.
 */
function keepUp (
  store: Collection<StoredAssessment>,
  cleaning: Cleaning,
  { fleet, clock, log }: Pick<ReceiptParts, 'fleet' | 'clock' | 'log'>
): () => void {
  const timer = clock.every(UPKEEP_EVERY_MS, () => {
    if (fleet.slot !== 0) return
    keepBelowCeiling(store).catch((error: unknown) => log.warn({ err: error }, 'old receipts could not be removed'))
    cleaning.run()
  })
  return () => {
    timer.cancel()
    cleaning.close()
  }
}

/** Whether a target of an allowance is a decoy, as the router reads it. */
function decoyTargets (configured: readonly string[]): (target: string) => boolean {
  const urls = decoyUrls(configured)
  return (target) => target.startsWith('path ') && urls.has(asRouted(target.slice('path '.length)))
}

function asRouted (path: string): string {
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
