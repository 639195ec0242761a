import { threadMs } from '../bar.ts'
import { textOf } from './linear-pumps.ts'
import type { Pump } from './linear-pumps.ts'

/** Characters of the longer text; the shorter one is a quarter of it. */
export const SIZE = 65_536
/** Four times the text may cost six times as much, where it costs anything at all. */
const GROWTH_MAX = 6
const FREE_MS = 0.3
/** Warm runs, of which the quickest counts. */
const RUNS = 5

/** What one run may cost at SIZE, the longest text that the code ever gives it, and the short texts that come first. */
export interface Bounds { msMax: number, sizeMax: number, screen: readonly number[] }
export interface Growth { ms: number, quarterMs: number }
export type Run = (text: string) => unknown

/** What the work below takes on the machine on which the bounds were set. */
const REFERENCE_MS = 10
let sink = 0
/** How much slower the machine at hand is; 1 at least. */
export const SLOWNESS = Math.max(1, Math.min(...Array.from({ length: 9 }, workMs)) / REFERENCE_MS)

function workMs (): number {
  const started = performance.now()
  for (let i = 0; i < 8_000_000; i++) sink = (Math.imul(sink, 31) + (i & 127)) | 0
  return performance.now() - started
}

/** A line for a report: what is repeated, and what it cost. */
export function shown ({ lead, unit, tail }: Pump, { ms, quarterMs }: Growth): string {
  const [first, again, last] = [lead, unit, tail].map((part) => JSON.stringify(part.length > 60 ? part.slice(0, 57) + '...' : part))
  return `${first} + ${again}* + ${last}: ${ms.toFixed(2)} ms, a quarter of it ${quarterMs.toFixed(2)} ms`
}

/** Short texts first: what is exponential or cubic in the text would not come back from a long one. */
export const FINE_SCREEN: readonly number[] = [24, 32, 40, 48, 64, 96, 128, 256, 512, 2_048]
/** The same for what is made of expressions that are known to be linear. */
export const COARSE_SCREEN: readonly number[] = [64, 1_024]
const SCREEN_SIZE = 8_192
/** No text of up to SCREEN_SIZE that is read once costs this. */
const SCREEN_MS = 5
/** Part of a bound below which, at SCREEN_SIZE, even a quadratic one is within it at SIZE. */
const FLOOR = 0.8 * (SCREEN_SIZE / SIZE) ** 2

/**
 * The growth of `run` over the pump when it is over its bound, or null. What grows in step from SCREEN_SIZE to four
 * times as much, far within the bound, is not measured further.
 */
export function growthOver (pump: Pump, run: Run, bounds: Bounds): Growth | null {
  const text = textOf(pump, Math.min(SCREEN_SIZE, bounds.sizeMax))
  for (const size of bounds.screen) {
    if (size >= text.length) break
    const piece = text.slice(0, size)
    if (onceMs(piece, run) > SCREEN_MS && leastMs(piece, run, 2) > SCREEN_MS) return measureGrowth(pump, run, bounds)
  }
  const floorMs = FLOOR * bounds.msMax
  if (onceMs(text, run) < floorMs) return null
  const screenMs = leastMs(text, run, 2)
  if (screenMs < floorMs) return null
  if (screenMs > SCREEN_MS || text.length < SCREEN_SIZE / 2) return measureGrowth(pump, run, bounds)
  const longer = Math.min(4 * SCREEN_SIZE, bounds.sizeMax)
  const longerMs = leastMs(textOf(pump, longer), run, 1)
  const inStep = longerMs <= GROWTH_IN_STEP * screenMs * longer / (4 * SCREEN_SIZE)
  return inStep && longerMs * SIZE / longer < 0.9 * bounds.msMax ? null : measureGrowth(pump, run, bounds)
}

/** Four times the text, with what a machine under load adds. */
const GROWTH_IN_STEP = 5

/** Both sizes to the letter, or null within the bounds. What is over them at a short text is not run at a long one. */
export function measureGrowth (pump: Pump, run: Run, bounds: Bounds): Growth | null {
  const size = Math.min(SIZE, bounds.sizeMax)
  for (let small = 24; small < size / 4; small = Math.ceil(small * 1.3)) {
    const ms = onceMs(textOf(pump, small), run)
    if (ms > 2 * bounds.msMax) return { ms, quarterMs: NaN }
  }
  const [quarter, whole] = [textOf(pump, size / 4), textOf(pump, size)]
  const growth = { quarterMs: leastMs(quarter, run, RUNS), ms: leastMs(whole, run, RUNS) }
  for (let turn = 0; turn < TURNS && !isWithin(growth, bounds); turn++) {
    // Another process may have had the processor: only this thread's own time counts.
    growth.ms = Math.min(growth.ms, ownMs(whole, run))
    growth.quarterMs = ownMs(quarter, run)
  }
  return isWithin(growth, bounds) ? null : growth
}

/** What is over its bounds is measured again before it is held to be: a collection of garbage may have come between. */
const TURNS = 3

function isWithin ({ ms, quarterMs }: Growth, { msMax }: Bounds): boolean {
  return ms <= msMax && (ms <= FREE_MS || ms <= GROWTH_MAX * quarterMs)
}

/** The least time of some warm runs. */
export function leastMs (text: string, run: Run, runs: number): number {
  let least = onceMs(text, run)
  for (let turn = 0; turn < runs && least < 200; turn++) least = Math.min(least, onceMs(text, run))
  return least
}

/** The wall clock says at most too much, and is fine enough for microseconds; a long run is judged by its own time. */
function onceMs (text: string, run: Run): number {
  const ownBefore = threadMs()
  const started = performance.now()
  run(text)
  const wallMs = performance.now() - started
  return wallMs < TICK_MS ? wallMs : Math.min(wallMs, threadMs() - ownBefore + TICK_MS)
}

/** The step in which some machines count processor time. */
const TICK_MS = 4

/** Runs are added up until many ticks have passed. */
const OWN_MS_MIN = 60
const OWN_RUNS_MAX = 400

/** This thread's processor time for one run. */
function ownMs (text: string, run: Run): number {
  const started = threadMs()
  let spent = 0
  let runs = 0
  while (spent < OWN_MS_MIN && runs < OWN_RUNS_MAX) {
    run(text)
    runs++
    spent = threadMs() - started
  }
  return spent / runs
}
