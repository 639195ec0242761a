/**
 * Figures of the last seconds to a day at a cost that does not grow with the number of requests: a ring of seconds and a
 * ring of minutes, each slot holding counts by action, a histogram of scores and the points of each factor. About
 * 0.8 MB per process, whatever the load. Processes add their sums, so each gives the same answer.
 */
import { FACTOR_NAMES } from '../scoring/shapes.ts'
import type { Action } from '../decisions/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { FactorContribution } from '../scoring/shapes.ts'
import type { Stats } from './shapes.ts'

export interface StatsCounter {
  /** 0.2 us. `factors` empty for a request refused before scoring. */
  count (action: Action, score: number, factors: readonly FactorContribution[]): void
  /** Sums of the last `windowSeconds`, 1 to 86,400; over two minutes in whole minutes. */
  sums (windowSeconds: number): number[]
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

interface Ring { readonly sums: Float64Array, readonly times: Float64Array, readonly size: number, readonly unitMs: number }

export function createStats (clock: Pick<Clock, 'now'>): StatsCounter {
  const seconds = createRing(SECONDS, 1_000)
  const minutes = createRing(MINUTES, 60_000)

  return {
    count (action, score, factors) {
      const nowMs = clock.now()
      add(seconds, nowMs, action, score, factors)
      add(minutes, nowMs, action, score, factors)
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

function add (ring: Ring, nowMs: number, action: Action, score: number, factors: readonly FactorContribution[]): void {
  const time = Math.floor(nowMs / ring.unitMs)
  const slot = time % ring.size
  const at = slot * SLOT
  const { sums } = ring
  if (ring.times[slot] !== time) {
    ring.times[slot] = time
    sums.fill(0, at, at + SLOT)
  }
  sums[at + (action === 'ALLOW' ? 0 : action === 'CHALLENGE' ? 1 : 2)]! += 1
  sums[at + BINS_AT + Math.min(BINS - 1, Math.max(0, Math.round(score)))]! += 1
  for (let i = 0; i < factors.length; i++) sums[at + FACTORS_AT + i]! += (factors[i] as FactorContribution).contribution
}

function sumOf (ring: Ring, nowMs: number, units: number): number[] {
  const total = new Array<number>(SLOT).fill(0)
  const newest = Math.floor(nowMs / ring.unitMs)
  for (let slot = 0; slot < ring.size; slot++) {
    const time = ring.times[slot] as number
    if (time < 0 || time > newest || time <= newest - units) continue
    for (let i = 0; i < SLOT; i++) total[i]! += ring.sums[slot * SLOT + i] as number
  }
  return total
}

/** Adds what another process answered; anything of another shape is ignored. */
export function addSums (total: number[], other: Json): void {
  if (!Array.isArray(other) || other.length !== SLOT || !other.every((one) => typeof one === 'number')) return
  for (let i = 0; i < SLOT; i++) total[i]! += other[i] as number
}

export function describeSums (windowSeconds: number, total: readonly number[]): Stats {
  const requests = ACTIONS.reduce((sum, _, i) => sum + (total[i] as number), 0)
  const bins = total.slice(BINS_AT, FACTORS_AT)
  const topFactors = FACTOR_NAMES
    .map((name, i) => ({ name, contribution: requests === 0 ? 0 : Math.round((total[FACTORS_AT + i] as number) / requests * 100) / 100 }))
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
