/** A scoring thread that gives every observation one and the same score: what is left is the hop (bench/hop.ts). */
import { serveRing } from '../src/threads/ring-thread.ts'
import { FACTOR_NAMES } from '../src/detect/shapes.ts'
import type { RingTask } from '../src/threads/ring-thread.ts'
import type { Scorer } from '../src/threads/thread.ts'

const score: Scorer = (_observation, policy) => ({
  value: 3.5,
  factors: FACTOR_NAMES.map((name) => ({ name, contribution: 0.5, evidence: [] })),
  grade: null,
  decoy: false,
  automation: false,
  anomaly: false,
  policyVersion: policy.version,
  notInspected: [],
  source: 'thread',
  beyond: null,
  payloadValue: 0,
  degraded: false
})

export const ring = (task: RingTask): void => serveRing(task, score)
