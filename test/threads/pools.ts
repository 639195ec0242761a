import { enableCompileCache } from 'node:module'
import type { Test } from 'tap'
import { createPolicy } from '../../src/detect/policy.ts'
import type { Observation, Score } from '../../src/detect/shapes.ts'
import { systemClock } from '../../src/std/clock.ts'
import { createScoringPool } from '../../src/threads/pool.ts'
import type { ScoringPool } from '../../src/threads/pool.ts'
import type { Ask, PoolMode, ScoringPoolOptions } from '../../src/threads/shapes.ts'

/** Pools of real threads: their times are those of the machine. */
export const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
// As src/main.ts does: a new thread is there in 30 ms.
enableCompileCache()
const START_MS_MAX = 10_000

export async function pool (t: Test, options: Partial<ScoringPoolOptions> & { mode: PoolMode }): Promise<ScoringPool & { deaths: string[] }> {
  const deaths: string[] = []
  const made = createScoringPool({ threads: 1, policy, clock: systemClock, log: { warn () {} }, onDeath: (reason) => deaths.push(reason), ...options })
  t.teardown(() => made.close())
  await made.ready(START_MS_MAX)
  return Object.assign(made, { deaths })
}

/** What all modes must agree on: everything but which thread said it. */
export function meaning (score: Score): object {
  return { ...score, source: null }
}

/** Asks again while the answer is the cheap one: a cold thread on a busy machine may miss the deadline. */
export async function inFull (pool: ScoringPool, seen: Observation): Promise<Score> {
  for (let tries = 0; tries < 20; tries++) {
    const score = await pool.score(seen)
    if (!score.degraded) return score
  }
  return pool.score(seen)
}

export const own = (client = 'ip:192.0.2.7'): Ask => ({ client, secondTry: true, patient: false })
