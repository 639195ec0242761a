/**
 * Figures of the last seconds to a day at a cost that does not grow with the number of requests: a ring of
 * seconds and a ring of minutes, each slot holding counts by action, a histogram of scores and the points of
 * each factor. About
 * 1.4 MB per host, whatever the load: who keeps the rings and how workers hand over theirs stands in stats-sharing.ts.
 */
import { FACTOR_NAMES } from '../detect/shapes.ts'
import type { Action } from '../decisions/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { FactorContribution } from '../detect/shapes.ts'
import type { Stats } from './shapes.ts'

interface StatsCounter {
  /** 0.2 us. `factors` empty for a request refused before scoring. */
  count (action: Action, score: number, factors: readonly FactorContribution[]): void
  /**
   * Figures that another process counted in one second of the wall clock, at most two minutes ago to be seen in short
   * windows; other shapes are ignored.
   */
  add (second: number, sums: Json): void
  /** Sums of the last `windowSeconds`, 1 to 86,400; over two minutes in whole minutes. */
  sums (windowSeconds: number): number[]
}

/** Counts of one process that were not yet handed over. */
interface StatsTally {
  count (action: Action, score: number, factors: readonly FactorContribution[]): void
  /** The oldest seconds, at most 30 (some 30 KB as JSON), and forgets them. */
  take (): Array<[second: number, sums: number[]]>
}

const ACTIONS: readonly Action[] = ['ALLOW', 'CHALLENGE', 'BLOCK']
const SECONDS = 120
const MINUTES = 1_440
export const WINDOW_SECONDS_MAX = MINUTES * 60
/** One bin per point of the score, 0 to 100. */
const BINS = 101
const BINS_AT = ACTIONS.length
const FACTORS_AT = BINS_AT + BINS
const SLOT = FACTORS_AT + FACTOR_NAMES.length

interface Ring {
  readonly sums: Float64Array
  readonly times: Float64Array
  readonly size: number
  readonly unitMs: number
}

/** By second for two minutes and by minute for a day; its memory does not grow. */
export function createStats (clock: Pick<Clock, 'now'>): StatsCounter {
  const seconds = createRing(SECONDS, 1_000)
  const minutes = createRing(MINUTES, 60_000)

  return {
    count (action, score, factors) {
      const nowMs = clock.now()
      for (const ring of [seconds, minutes]) addTo(ring.sums, slotAt(ring, nowMs), action, score, factors)
    },
    add (second, sums) {
      if (!Number.isSafeInteger(second) || !isSums(sums)) return
      const nowMs = clock.now()
      for (const ring of [seconds, minutes]) {
        // A second further back than the ring reaches would take the place of something newer.
        if (second * 1_000 <= nowMs - ring.size * ring.unitMs) continue
        const at = slotAt(ring, second * 1_000)
        for (let i = 0; i < SLOT; i++) ring.sums[at + i]! += sums[i] as number
      }
    },
    sums (windowSeconds) {
      const window = Math.min(Math.max(1, Math.floor(windowSeconds)), WINDOW_SECONDS_MAX)
      const ring = window <= SECONDS ? seconds : minutes
      return sumOf(ring, clock.now(), Math.ceil(window * 1_000 / ring.unitMs))
    }
  }
}

function createRing (size: number, unitMs: number): Ring {
  return { sums: new Float64Array(size * SLOT), times: new Float64Array(size).fill(-1), size, unitMs }
}

/** Where the slot of this time begins, emptied when it held an older one. */
function slotAt ({ sums, times, size, unitMs }: Ring, atMs: number): number {
  const time = Math.floor(atMs / unitMs)
  const slot = time % size
  if (times[slot] !== time) {
    times[slot] = time
    sums.fill(0, slot * SLOT, (slot + 1) * SLOT)
  }
  return slot * SLOT
}

function addTo (
  sums: Float64Array,
  at: number,
  action: Action,
  score: number,
  factors: readonly FactorContribution[]
): void {
  sums[at + (action === 'ALLOW' ? 0 : action === 'CHALLENGE' ? 1 : 2)]! += 1
  sums[at + BINS_AT + Math.min(BINS - 1, Math.max(0, Math.round(score)))]! += 1
  for (let i = 0; i < factors.length; i++) sums[at + FACTORS_AT + i]! += (factors[i] as FactorContribution).contribution
}

/** Seconds that wait while the keeper does not answer; beyond it what was counted joins the newest one that waits. */
const TALLY_SECONDS_MAX = 120
const TAKEN_MAX = 30

/** The figures that a worker counts until it hands them over. */
export function createTally (clock: Pick<Clock, 'now'>): StatsTally {
  const waiting = new Map<number, Float64Array>()
  let newest: { second: number, sums: Float64Array } | null = null
  return {
    count (action, score, factors) {
      const second = Math.floor(clock.now() / 1_000)
      if (newest === null || (newest.second !== second && waiting.size < TALLY_SECONDS_MAX)) {
        newest = { second, sums: waiting.get(second) ?? new Float64Array(SLOT) }
        waiting.set(second, newest.sums)
      }
      addTo(newest.sums, 0, action, score, factors)
    },
    take () {
      const taken = [...waiting].slice(0, TAKEN_MAX)
      for (const [second] of taken) waiting.delete(second)
      if (waiting.size === 0) newest = null
      return taken.map(([second, sums]) => [second, [...sums]])
    }
  }
}

function sumOf (ring: Ring, nowMs: number, units: number): number[] {
  const total = noSums()
  const newest = Math.floor(nowMs / ring.unitMs)
  for (let slot = 0; slot < ring.size; slot++) {
    const time = ring.times[slot] as number
    if (time < 0 || time > newest || time <= newest - units) continue
    for (let i = 0; i < SLOT; i++) total[i]! += ring.sums[slot * SLOT + i] as number
  }
  return total
}

/** The sums of nothing. */
export function noSums (): number[] {
  return new Array<number>(SLOT).fill(0)
}

/** Adds what another process answered; anything of another shape is ignored. */
export function addSums (total: number[], other: Json): void {
  if (!isSums(other)) return
  for (let i = 0; i < SLOT; i++) total[i]! += other[i] as number
}

function isSums (given: Json): given is number[] {
  return Array.isArray(given) && given.length === SLOT && given.every((one) => typeof one === 'number')
}

/** Sums as people read them; quantiles are those of whole points. */
export function describeSums (windowSeconds: number, total: readonly number[]): Stats {
  const requests = ACTIONS.reduce((sum, _, i) => sum + (total[i] as number), 0)
  const bins = total.slice(BINS_AT, FACTORS_AT)
  const topFactors = FACTOR_NAMES
    .map((name, i) => ({
      name,
      contribution: requests === 0 ? 0 : Math.round((total[FACTORS_AT + i] as number) / requests * 100) / 100
    }))
    .filter((share) => share.contribution > 0)
    .sort((a, b) => b.contribution - a.contribution)
  return {
    windowSeconds,
    requests,
    byAction: ACTIONS.map((action, i) => ({ action, count: total[i] as number })),
    scoreP50: percentile(bins, requests, 0.5),
    scoreP95: percentile(bins, requests, 0.95),
    scoreP99: percentile(bins, requests, 0.99),
    topFactors
  }
}

/** The smallest score that at least this share of requests does not exceed. */
function percentile (bins: readonly number[], requests: number, share: number): number {
  const rank = Math.ceil(requests * share)
  let seen = 0
  for (let score = 0; score < bins.length; score++) {
    seen += bins[score] as number
    if (seen >= rank && seen > 0) return score
  }
  return 0
}
