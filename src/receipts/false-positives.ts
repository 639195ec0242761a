/**
 * False alarms: what people allowed. Each is one piece of evidence at one place of one route, for thirty
 * days, kept in the store and in memory and told to siblings; the scorer leaves it out through the policy.
 */
import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import { ALLOWABLE_FACTORS, allowanceKey } from '../detect/shapes.ts'
import { newId } from '../std/id.ts'
import type { RecentReceipts, Recorded } from './recent-receipts.ts'
import type { Assessment, StoredAllowance } from './shapes.ts'
import { attempt, type Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Action } from '../decisions/shapes.ts'
import type { Allowance, FactorName, Observation, Score } from '../detect/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Collection } from '../storage/port.ts'

interface FalsePositives {
  /** @throws NEKO_ERR_INPUT_INVALID when the receipt holds nothing that can be allowed, NEKO_ERR_AUDIT_UNAVAILABLE */
  mark (assessment: Assessment, actor: string): Promise<{ allowances: StoredAllowance[], changedVerdicts: number }>
  list (): StoredAllowance[]
  /** Reads what stands from the store. */
  load (): Promise<void>
  close (): void
}

interface FalsePositiveParts {
  store: Collection<StoredAllowance>
  audit: Audit
  fleet: Fleet
  clock: Clock
  receipts: RecentReceipts
  allow (allowances: readonly Allowance[]): void
  score (observation: Observation): Promise<Score>
  judge (score: Score, observation: Observation): Action
}

const ALLOWED_MS = 30 * 86_400_000
const ALLOWANCES_MAX = 1_000
const PER_RECEIPT_MAX = 16
const ALLOWED_FROM_POINTS = 5
const SWEEP_MS = 60_000
const ASK_MS = 1_500
/** Receipts that are scored again to say what would change; in portions, so that the threads stay free for requests. */
const RESCORED_MAX = 500
const PORTION = 8
const TOPIC = 'assessments.allowances'
const QUESTION = 'assessments.wouldChange'

export function createFalsePositives (parts: FalsePositiveParts): FalsePositives {
  const { store, audit, fleet, clock, receipts } = parts
  const standing = new Map<string, StoredAllowance>()

  function apply (): void {
    parts.allow([...standing.values()])
  }

  /** Later ones of the same evidence take the place of earlier ones. */
  function take (allowances: readonly StoredAllowance[]): void {
    let isNew = false
    for (const one of allowances) {
      if (
        one.expiresAt <= clock.now() || (standing.size >= ALLOWANCES_MAX && !standing.has(allowanceKey(one)))
      ) {
        continue
      }
      isNew ||= !standing.has(allowanceKey(one))
      standing.set(allowanceKey(one), one)
    }
    if (isNew) apply()
  }

  function sweep (): void {
    const before = standing.size
    for (const [key, one] of standing) if (one.expiresAt <= clock.now()) standing.delete(key)
    if (standing.size !== before) apply()
  }

  async function mark (
    assessment: Assessment,
    actor: string
  ): Promise<{ allowances: StoredAllowance[], changedVerdicts: number }> {
    const allowances = allowancesFor(assessment, actor, clock.now())
    if (allowances.length === 0) {
      throw new NEKO_ERR_INPUT_INVALID(
        'this assessment holds no evidence that can be allowed: what a client does over time cannot'
      )
    }
    await attempt(audit, {
      category: 'security',
      type: 'falsePositive.mark',
      actor,
      target: assessment.id,
      assessmentId: assessment.id,
      score: assessment.score,
      factor: largestFactor(assessment),
      details: { allowed: allowances.map((one) => `${one.rule} in ${one.place} of ${one.route ?? 'unknown routes'}`) },
      effects: allowances.map((one) => ({ collection: store.definition.name, op: 'put', id: one.id, doc: { ...one } }))
    }, async () => {
      take(allowances)
      await store.putMany(allowances)
    })
    fleet.publish(TOPIC, allowances as unknown as Json)
    const others = await fleet.ask(QUESTION, allowances as unknown as Json, { timeoutMs: ASK_MS })
    const changedVerdicts = others.reduce<number>(
      (sum, one) => sum + (typeof one === 'number' ? one : 0),
      await countChanged(allowances)
    )
    return { allowances, changedVerdicts }
  }

  /**
   * Recent requests of this process that hold the evidence and would now be judged otherwise; not those whose
   * body was too large to be kept.
   */
  async function countChanged (allowances: readonly StoredAllowance[]): Promise<number> {
    const keys = new Set(allowances.map(allowanceKey))
    const touched = receipts.recent()
      .filter((receipt) => receipt.isWhole !== false && holdsAny(receipt, keys))
      .slice(0, RESCORED_MAX)
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

  const unsubscribe = fleet.subscribe(TOPIC, (message) => take(readAllowances(message)))
  fleet.answer(QUESTION, async (message) => {
    const allowances = readAllowances(message)
    take(allowances)
    return await countChanged(allowances)
  })
  const timer = setInterval(sweep, SWEEP_MS).unref()

  return {
    mark,
    list: () => [...standing.values()],
    async load () {
      const { items } = await store.find({ sort: [['createdAt', -1]], first: ALLOWANCES_MAX })
      take(items)
    },
    close () {
      clearInterval(timer)
      unsubscribe()
    }
  }
}

function allowancesFor (assessment: Assessment, actor: string, nowMs: number): StoredAllowance[] {
  const found = new Map<string, StoredAllowance>()
  for (const factor of assessment.factors) {
    // Evidence that hardly counted did not raise the alarm, and stays forbidden.
    if (!ALLOWABLE_FACTORS.has(factor.name) || factor.contribution < ALLOWED_FROM_POINTS) continue
    for (const evidence of factor.evidence) {
      if (evidence.place === 'client') continue
      const allowance = { rule: evidence.rule, place: evidence.place, route: assessment.route }
      found.set(allowanceKey(allowance), {
        id: newId('al', nowMs),
        ...allowance,
        origin: actor,
        assessmentId: assessment.id,
        createdAt: nowMs,
        expiresAt: nowMs + ALLOWED_MS
      })
    }
  }
  return [...found.values()].slice(0, PER_RECEIPT_MAX)
}

/** The decisive one; null when nothing contributed. */
function largestFactor ({ factors }: Assessment): FactorName | null {
  const largest = factors.reduce<Assessment['factors'][number] | null>(
    (best, one) => one.contribution > (best?.contribution ?? 0) ? one : best,
    null
  )
  return largest?.name ?? null
}

function holdsAny ({ observation, score }: Recorded, keys: ReadonlySet<string>): boolean {
  return score.factors.some((factor) =>
    factor.evidence.some((one) =>
      keys.has(allowanceKey({ rule: one.rule, place: one.place, route: observation.route }))
    )
  )
}

/** A message of a sibling; what has another shape is dropped. */
function readAllowances (message: Json): StoredAllowance[] {
  if (!Array.isArray(message)) return []
  return (message as unknown as StoredAllowance[]).filter((one) =>
    typeof one?.rule === 'string' && typeof one.place === 'string' && typeof one.expiresAt === 'number'
  ).slice(0, PER_RECEIPT_MAX)
}
