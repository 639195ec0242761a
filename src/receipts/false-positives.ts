/**
 * False alarms: what people allowed. Each is one sign (this rule, at this place of this target, in a text of this
 * shape), for thirty days, for any client; the scorer leaves it out through the policy. A sign of grade `certain` has
 * no ordinary reading, so only who may manage can allow it, and has to say that it is meant.
 */
import {
  NEKO_ERR_EVIDENCE_CERTAIN,
  NEKO_ERR_FORBIDDEN,
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_NOT_FOUND
} from '../errors.ts'
import { decisiveFactor } from '../detect/decisive-factor.ts'
import { findLetThrough, mayMeet, type LetThrough } from './let-through.ts'
import { createMarkedSigns } from './marked-signs.ts'
import { newAllowances, PER_RECEIPT_MAX } from './new-allowances.ts'
import { ALLOWANCES_MAX, createStandingAllowances, type StandingAllowances } from './standing-allowances.ts'
import { allowanceCollection, isBoundAllowance } from './shapes.ts'
import type { RecentReceipts } from './recent-receipts.ts'
import type { Recorded } from './receipt.ts'
import type { Assessment, StoredAllowance, StoredAssessment } from './shapes.ts'
import type { Slices } from './slices.ts'
import { attempt, type Audit, type AuditInput } from '../audit/shapes.ts'
import type { Action } from '../decisions/shapes.ts'
import type { Policy } from '../detect/policy.ts'
import type { Allowance, Observation, Score } from '../detect/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Collection } from '../storage/port.ts'

/** Who marks or removes. */
export interface AllowanceActor {
  /** `user:<id>`, `key:<id>` or `system`. */
  actor: string
  mayManage: boolean
  /** `cli` for the operator of this machine. */
  origin?: string
}

export interface MarkOptions extends AllowanceActor {
  /** Nothing is kept. */
  dryRun: boolean
  /** A certain sign is meant. */
  force: boolean
}

/** What marking a false alarm came to. */
export interface FalsePositive {
  allowances: StoredAllowance[]
  changedVerdicts: number
  dryRun: boolean
  /** Of a dry run. */
  letThrough: LetThrough | null
}

interface FalsePositives extends Pick<StandingAllowances, 'all' | 'page' | 'load' | 'close'> {
  /**
   * @throws NEKO_ERR_INPUT_INVALID when the receipt holds nothing that can be allowed, NEKO_ERR_EVIDENCE_CERTAIN,
   * NEKO_ERR_AUDIT_UNAVAILABLE
   */
  mark (assessment: Assessment, options: MarkOptions): Promise<FalsePositive>
  /** @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_FORBIDDEN, NEKO_ERR_AUDIT_UNAVAILABLE */
  remove (id: string, by: AllowanceActor): Promise<StoredAllowance>
}

interface FalsePositiveParts {
  store: Collection<StoredAllowance>
  assessments: Collection<StoredAssessment>
  audit: Audit
  fleet: Fleet
  clock: Clock
  log: { warn: (facts: object, message: string) => void }
  receipts: RecentReceipts
  slices: Slices
  isDecoy (target: string): boolean
  policy (): Policy
  allow (allowances: readonly Allowance[]): void
  score (observation: Observation): Promise<Score>
  judge (score: Score, about: { method: string }): Action
}

const ASK_MS = 1_500
/** Receipts that are scored again to say what would change; in portions, so that the threads stay free for requests. */
const RESCORED_MAX = 500
const PORTION = 8
/** Receipts that are made and compared in one go: a millisecond. */
const LOOKED_AT_ONCE = 256
const QUESTION = 'assessments.wouldChange'

export function createFalsePositives (parts: FalsePositiveParts): FalsePositives {
  const { store, audit, clock, fleet, receipts } = parts
  const standing = createStandingAllowances(parts)
  const marked = createMarkedSigns(parts)

  async function mark (assessment: Assessment, options: MarkOptions): Promise<FalsePositive> {
    const signs = await marked.of(assessment)
    const by = { assessmentId: assessment.id, actor: options.actor, endedAt: standing.endedAt }
    const allowances = newAllowances(signs, by, parts)
    if (options.dryRun) {
      const letThrough = await findLetThrough(allowances, standing.all(), { ...parts, store: parts.assessments })
      return { allowances, changedVerdicts: letThrough.count, dryRun: true, letThrough }
    }
    const event = markedBy(options, assessment, allowances)
    if (allowances.some(({ grade }) => grade === 'certain') && !(options.force && options.mayManage)) {
      audit.record({ ...event, outcome: 'refused' })
      throw new NEKO_ERR_EVIDENCE_CERTAIN()
    }
    requireRoom(allowances)
    await attempt(audit, {
      ...event,
      effects: allowances.map(putOf)
    }, () => store.putMany(allowances))
    standing.put(allowances)
    return { allowances, changedVerdicts: await changedEverywhere(allowances), dryRun: false, letThrough: null }
  }

  function requireRoom (allowances: readonly StoredAllowance[]): void {
    const added = allowances.filter(({ id }) => standing.get(id) === null).length
    if (standing.all().length + added > ALLOWANCES_MAX) {
      throw new NEKO_ERR_INPUT_INVALID(`there are ${ALLOWANCES_MAX} allowances at most: remove some`)
    }
  }

  async function remove (id: string, { actor, mayManage, origin = 'api' }: AllowanceActor): Promise<StoredAllowance> {
    const allowance = standing.get(id)
    if (allowance === null) throw new NEKO_ERR_NOT_FOUND('There is no such allowance')
    if (allowance.grade === 'certain' && !mayManage) throw new NEKO_ERR_FORBIDDEN('the scope manage')
    const { target, rule, place, assessmentId, createdAt } = allowance
    const version = { madeAt: Math.max(clock.now(), createdAt) }
    await attempt(audit, {
      category: 'security',
      type: 'allowance.remove',
      actor,
      target: id,
      details: { on: target, rule, place, receipt: assessmentId, origin },
      effects: [{ collection: allowanceCollection.name, op: 'delete', id, version }]
    }, () => store.deleteWhere({ id, createdAt: { lte: version.madeAt } }, 1))
    standing.end(id, version.madeAt)
    return allowance
  }

  async function changedEverywhere (allowances: readonly StoredAllowance[]): Promise<number> {
    const others = await fleet.ask(QUESTION, allowances as unknown as Json, { timeoutMs: ASK_MS })
    return others.reduce<number>(
      (sum, one) => sum + (typeof one === 'number' ? one : 0),
      await countChanged(allowances)
    )
  }

  /** A few at a time: there may be thousands to look at. */
  async function touchedBy (allowances: readonly StoredAllowance[]): Promise<Recorded[]> {
    const rules = new Set(allowances.map(({ rule }) => rule))
    const touched: Recorded[] = []
    let looked = 0
    for (const receipt of receipts.recent(({ rule }) => rules.has(rule))) {
      const { isWhole, observation, score: { factors } } = receipt
      if (isWhole !== false && mayMeet({ observation, factors }, allowances)) touched.push(receipt)
      if (touched.length >= RESCORED_MAX) break
      if (++looked % LOOKED_AT_ONCE === 0) await parts.slices.run(() => {})
    }
    return touched
  }

  /**
   * Recent requests of this process that hold the evidence and would now be judged otherwise; not those whose
   * body was too large to be kept.
   */
  async function countChanged (allowances: readonly StoredAllowance[]): Promise<number> {
    const touched = await touchedBy(allowances)
    let changed = 0
    for (let i = 0; i < touched.length; i += PORTION) {
      const verdicts = await Promise.all(touched.slice(i, i + PORTION).map(async (receipt) => {
        const score = await parts.score(receipt.observation)
        // Not against the recorded verdict: a standing decision may have had its say in that.
        return !score.degraded &&
            parts.judge(score, receipt.observation) !== parts.judge(receipt.score, receipt.observation)
      }))
      changed += verdicts.filter(Boolean).length
    }
    return changed
  }

  fleet.answer(QUESTION, async (message) => {
    if (!Array.isArray(message)) return null
    const allowances = (message as unknown[]).filter(isBoundAllowance).slice(0, PER_RECEIPT_MAX)
    standing.hear(allowances)
    return await countChanged(allowances)
  })

  return { mark, remove, all: standing.all, page: standing.page, load: standing.load, close: standing.close }
}

function putOf (one: StoredAllowance): NonNullable<AuditInput['effects']>[number] {
  const version = { madeAt: one.createdAt, endsAt: one.expiresAt }
  return { collection: allowanceCollection.name, op: 'put', id: one.id, doc: { ...one }, version }
}

function markedBy (
  { actor, force }: MarkOptions,
  assessment: Assessment,
  allowances: readonly StoredAllowance[]
): Omit<AuditInput, 'outcome'> {
  return {
    category: 'security',
    type: 'falsePositive.mark',
    actor,
    target: assessment.id,
    assessmentId: assessment.id,
    score: assessment.score,
    factor: decisiveFactor(assessment),
    details: {
      on: allowances[0]!.target,
      allowed: allowances.map((one) => `${one.id}: ${one.grade} ${one.rule} in ${one.place}`),
      force
    }
  }
}
