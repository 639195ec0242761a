/**
 * What do the rounds of `bench/price.ts` come to? Medians, and ratios and differences within each round, whose medians
 * hold still on a machine that does not: a busy second makes both sides of a pair dear.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { machineFacts } from './machine.ts'
import { BARE, PARTS, type Step } from './price-steps.ts'

/** One step in one round. */
export interface Round {
  /** Microseconds of CPU per request: of all threads, of the main one, and by the threads' names. */
  cpuUs: number
  mainUs: number
  byName: Record<string, number>
  perSecond: number
  /** Shares of a core: of the server, of the load, of the servers that waited, and of whatever else runs here. */
  serverBusy: number
  loadBusy: number
  waitingBusy: number
  foreignBusy: number
  /** Milliseconds, at as many requests as it can answer. */
  p50: number
  p99: number
  reconnects: number
  /** Answers of another status than the step's, by status, and requests without an answer. */
  unexpected: Record<string, number>
  /** At a share of that rate. */
  paced: Paced | null
}

export interface Paced {
  perSecond: number
  cpuUs: number
  foreignBusy: number
  p50: number
  p99: number
  max: number
}

export interface Measured { step: Step, rounds: Round[] }

/** Of a core. Somebody who takes a slice of a few milliseconds in hundred makes the 99th percentile. */
const FOREIGN_QUIET = 0.05

const MEDIANS = [
  'cpuUs', 'mainUs', 'perSecond', 'serverBusy', 'loadBusy', 'waitingBusy', 'foreignBusy', 'p50', 'p99'
] as const

export function showSteps (list: readonly Measured[]): void {
  console.log(
    '\nstep                  CPU us    least  main us  of bare    of another step          ' +
    '  req/s  server  load   p50 ms   p99 ms'
  )
  for (const { step, rounds } of list) {
    const of = (pick: (round: Round) => number): number => median(rounds.map(pick))
    const cells = [
      of(({ cpuUs }) => cpuUs).toFixed(1).padStart(8),
      leastOf(rounds).toFixed(1).padStart(9),
      of(({ mainUs }) => mainUs).toFixed(1).padStart(9),
      shown(ratio(list, step.name, BARE)).padStart(9),
      `    ${step.against === undefined ? '' : otherRatio(list, step.name, step.against)}`.padEnd(29),
      of(({ perSecond }) => perSecond).toFixed(0).padStart(6),
      of(({ serverBusy }) => serverBusy).toFixed(2).padStart(8),
      of(({ loadBusy }) => loadBusy).toFixed(2).padStart(6),
      of(({ p50 }) => p50).toFixed(2).padStart(9),
      of(({ p99 }) => p99).toFixed(2).padStart(9)
    ]
    console.log(step.name.padEnd(20) + cells.join(''))
  }
}

/** What one step costs above another. */
export function showParts (list: readonly Measured[]): void {
  const parts = partsOf(list).filter(({ us }) => us !== null)
  if (parts.length > 0) console.log('\npart                                CPU us')
  for (const { name, us } of parts) console.log(`${name.padEnd(34)}${us?.toFixed(1).padStart(8)}`)
}

/** Latency at a share of each step's own peak, by bare mercurius' own ratio in the same rounds. */
export function showPaced (list: readonly Measured[], share: number): void {
  const bare = list.find(({ step }) => step.name === BARE)?.rounds.map(tailOf)
  console.log(`\nat ${share * 100} % of its peak    req/s  CPU us   p50 ms   p99 ms   max ms   p99/p50   of bare`)
  for (const { step, rounds } of list) {
    const of = (pick: (paced: Paced) => number): number => {
      return median(rounds.flatMap(({ paced }) => paced === null ? [] : pick(paced)))
    }
    const own = rounds.map(tailOf)
    const cells = [
      of(({ perSecond }) => perSecond).toFixed(0).padStart(7),
      of(({ cpuUs }) => cpuUs).toFixed(1).padStart(8),
      of(({ p50 }) => p50).toFixed(3).padStart(9),
      of(({ p99 }) => p99).toFixed(3).padStart(9),
      of(({ max }) => max).toFixed(2).padStart(9),
      median(own).toFixed(2).padStart(10),
      shown(bare === undefined ? null : median(own.map((tail, i) => tail / (bare[i] as number)))).padStart(10)
    ]
    console.log(step.name.padEnd(20) + cells.join(''))
  }
  const foreign = median(list.flatMap(({ rounds }) => rounds.flatMap(({ paced }) => paced?.foreignBusy ?? [])))
  if (foreign > FOREIGN_QUIET) console.log(`others took ${foreign.toFixed(2)} of a core: the tails are theirs`)
}

/** Whose microseconds they are. */
export function showThreads (list: readonly Measured[]): void {
  console.log('\nCPU us per request by thread')
  for (const { step, rounds } of list) {
    const named = Object.entries(threadsOf(rounds)).sort(([, a], [, b]) => b - a).filter(([, us]) => us >= 0.05)
    console.log(`${step.name.padEnd(20)} ${named.map(([name, us]) => `${name} ${us.toFixed(1)}`).join(', ')}`)
  }
}

/** How quiet the machine was; and whatever else should not be. */
export function showDoubts (list: readonly Measured[]): void {
  const all = list.flatMap(({ rounds }) => rounds)
  const foreign = all.map(({ foreignBusy }) => foreignBusy)
  const waiting = median(all.map(({ waitingBusy }) => waitingBusy))
  console.log(
    `\nothers on this machine took ${median(foreign).toFixed(2)} of a core ` +
    `(at most ${Math.max(...foreign).toFixed(2)} in a round), servers that waited ${waiting.toFixed(2)}`
  )
  for (const { step, rounds } of list) {
    const busy = median(rounds.map(({ loadBusy }) => loadBusy))
    if (busy > 0.9) console.log(`${step.name}: the load took ${busy.toFixed(2)} of its core: this is its rate`)
    const reconnects = rounds.reduce((sum, round) => sum + round.reconnects, 0)
    if (reconnects > 0) console.log(`${step.name}: ${reconnects} connections were closed by the server`)
    for (const { unexpected } of rounds) {
      if (isAny(unexpected)) console.log(`${step.name}: answered with ${JSON.stringify(unexpected)}`)
    }
  }
}

export function isExpected (list: readonly Measured[]): boolean {
  return !list.some(({ rounds }) => rounds.some(({ unexpected }) => isAny(unexpected)))
}

export function writeJson (
  file: string,
  list: readonly Measured[],
  facts: { machine: ReturnType<typeof machineFacts>, options: object }
): void {
  const steps = list.map(({ step, rounds }) => ({
    name: step.name,
    server: step.server,
    load: step.load,
    median: mediansOf(rounds),
    leastCpuUs: leastOf(rounds),
    threads: threadsOf(rounds),
    ofBare: ratio(list, step.name, BARE),
    against: step.against === undefined ? null : { step: step.against, ratio: ratio(list, step.name, step.against) },
    rounds
  }))
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, JSON.stringify({ ...facts, steps, parts: partsOf(list) }, null, 2) + '\n')
}

/** CPU of one step by that of another, null where one of them did not run. */
function ratio (list: readonly Measured[], name: string, base: string): number | null {
  return between(list, name, base, (a, b) => a / b)
}

function between (
  list: readonly Measured[],
  name: string,
  base: string,
  of: (us: number, baseUs: number) => number
): number | null {
  const [own, other] = [name, base].map((wanted) => list.find(({ step }) => step.name === wanted)?.rounds)
  if (own === undefined || other === undefined) return null
  return median(own.map(({ cpuUs }, round) => of(cpuUs, (other[round] as Round).cpuUs)))
}

function otherRatio (list: readonly Measured[], name: string, base: string): string {
  return `${shown(ratio(list, name, base))} ${base}`
}

interface Part { name: string, having: string, without: string, us: number | null }

function partsOf (list: readonly Measured[]): Part[] {
  return PARTS.map(([name, having, without]) => {
    return { name, having, without, us: between(list, having, without, (us, withoutUs) => us - withoutUs) }
  })
}

function tailOf ({ paced }: Round): number {
  return paced === null ? NaN : paced.p99 / paced.p50
}

/** Neighbours only ever add: on a busy machine the least of the rounds is nearest to what a quiet one would show. */
function leastOf (rounds: readonly Round[]): number {
  return Math.min(...rounds.map(({ cpuUs }) => cpuUs).filter(Number.isFinite))
}

function threadsOf (rounds: readonly Round[]): Record<string, number> {
  const names = new Set(rounds.flatMap(({ byName }) => Object.keys(byName)))
  return Object.fromEntries([...names].map((name) => [name, median(rounds.map(({ byName }) => byName[name] ?? 0))]))
}

function mediansOf (rounds: readonly Round[]): Record<string, number> {
  return Object.fromEntries(MEDIANS.map((key) => [key, median(rounds.map((round) => round[key]))]))
}

function isAny (counts: Record<string, number>): boolean {
  return Object.keys(counts).length > 0
}

function shown (figure: number | null): string {
  return figure === null ? '-' : figure.toFixed(2)
}

function median (values: readonly number[]): number {
  // A round without any answer has no figure; showDoubts tells of it.
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  const half = (sorted.length - 1) / 2
  return ((sorted[Math.floor(half)] ?? NaN) + (sorted[Math.ceil(half)] ?? NaN)) / 2
}
