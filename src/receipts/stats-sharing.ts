/**
 * The keeper of a host's figures, so that they outlive its workers. With a primary it is the primary, which lives
 * longest: workers hand over what they counted four times a second, when somebody asks, and when they end, so that a
 * reload forgets nothing and a killed worker a quarter of a second at most. Without one (WORKERS=1) each
 * process keeps its own.
 *
 * The process that is asked first has all workers hand over, then adds what the keepers of all hosts hold:
 * every process gives the same answer, two round trips for any window and any history.
 */
import { addSums, createStats, createTally, describeSums, noSums } from './stats.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Stats } from './shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Action } from '../decisions/shapes.ts'
import type { FactorContribution } from '../detect/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'

export interface SharedStats {
  count (action: Action, score: number, factors: readonly FactorContribution[]): void
  /** Of all processes, 1 to 86,400 seconds. */
  of (windowSeconds: number): Promise<Stats>
  /** Hands over the rest. */
  close (): Promise<void>
}

type StatsFleet = Pick<Fleet, 'processId' | 'primaryId' | 'processCount' | 'ask' | 'answer'>

const ASK_MS = 500
const HAND_OVER_EVERY_MS = 250
const STATS_QUESTION = 'assessments.stats'
const HAND_OVER_QUESTION = 'assessments.stats.hand-over'
const SETTLE_QUESTION = 'assessments.stats.settle'
/** Processes whose last batch is known; one that is forgotten could at worst be counted twice for one batch. */
const SENDERS_MAX = 1_024

export function createSharedStats (
  { fleet, clock }: { fleet: StatsFleet, clock: Pick<Clock, 'now' | 'every'> }
): SharedStats {
  return fleet.primaryId === null ? createKept(fleet, clock) : createHanded(fleet, fleet.primaryId, clock)
}

/** The keeper in the primary. */
export function createStatsKeeper (
  { fleet, clock }: { fleet: Pick<Fleet, 'answer'>, clock: Pick<Clock, 'now'> }
): void {
  const stats = createStats(clock)
  const batches = new BoundedMap<string, number>(SENDERS_MAX)
  fleet.answer(STATS_QUESTION, (windowSeconds) => typeof windowSeconds === 'number' ? stats.sums(windowSeconds) : null)
  fleet.answer(HAND_OVER_QUESTION, (message) => {
    const { from, batch, seconds } = message as { from?: Json, batch?: Json, seconds?: Json }
    if (typeof from !== 'string' || typeof batch !== 'number' || !Array.isArray(seconds)) return null
    // Sent again because the answer came late: it was counted then.
    if ((batches.get(from) ?? 0) >= batch) return true
    batches.set(from, batch)
    for (const one of seconds) {
      const [second, sums] = one as [number, Json]
      stats.add(second, sums)
    }
    return true
  })
}

function createKept (fleet: StatsFleet, clock: Pick<Clock, 'now'>): SharedStats {
  const stats = createStats(clock)
  fleet.answer(STATS_QUESTION, (windowSeconds) => typeof windowSeconds === 'number' ? stats.sums(windowSeconds) : null)
  return {
    count: (action, score, factors) => stats.count(action, score, factors),
    async of (windowSeconds) {
      if (fleet.processCount() > 1) await fleet.ask(SETTLE_QUESTION, null, { timeoutMs: ASK_MS })
      const total = stats.sums(windowSeconds)
      if (fleet.processCount() > 1) {
        for (const one of await fleet.ask(STATS_QUESTION, windowSeconds, { timeoutMs: ASK_MS })) {
          addSums(total, one)
        }
      }
      return describeSums(windowSeconds, total)
    },
    async close () {}
  }
}

function createHanded (fleet: StatsFleet, primaryId: string, clock: Pick<Clock, 'now' | 'every'>): SharedStats {
  const tally = createTally(clock)
  let batch = 0
  let onItsWay: Json | null = null
  let turn: Promise<boolean> = Promise.resolve(true)

  async function send (): Promise<boolean> {
    for (;;) {
      if (onItsWay === null) {
        const seconds = tally.take()
        if (seconds.length === 0) return true
        onItsWay = { from: fleet.processId, batch: ++batch, seconds }
      }
      const [taken] = await fleet.ask(HAND_OVER_QUESTION, onItsWay, { timeoutMs: ASK_MS, processId: primaryId })
      // Kept, and sent again as the same batch.
      if (taken !== true) return false
      onItsWay = null
    }
  }

  /** The figures counted until now, after those that are under way. */
  function handOver (): Promise<boolean> {
    turn = turn.then(send)
    return turn
  }

  let isDue = true
  const timer = clock.every(HAND_OVER_EVERY_MS, () => {
    if (!isDue) return
    isDue = false
    handOver().finally(() => { isDue = true }).catch(() => { /* ask never rejects */ })
  })
  fleet.answer(SETTLE_QUESTION, () => handOver())
  return {
    count: (action, score, factors) => tally.count(action, score, factors),
    async of (windowSeconds) {
      await Promise.all([
        handOver(),
        fleet.processCount() > 1 ? fleet.ask(SETTLE_QUESTION, null, { timeoutMs: ASK_MS }) : null
      ])
      const total = noSums()
      for (const one of await fleet.ask(STATS_QUESTION, windowSeconds, { timeoutMs: ASK_MS })) addSums(total, one)
      return describeSums(windowSeconds, total)
    },
    async close () {
      timer.cancel()
      await handOver()
    }
  }
}
