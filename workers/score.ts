/** Entry of a scoring thread, opened by path by src/scoring/pool/start-thread.ts: one handler per way of bringing observations. */
import { serveRing } from '../src/scoring/pool/ring-thread.ts'
import { createThreadScorer, serveBatch, warmUp } from '../src/scoring/pool/thread.ts'
import type { RingTask } from '../src/scoring/pool/ring-thread.ts'
import type { BatchTask } from '../src/scoring/pool/thread.ts'

const score = createThreadScorer()
warmUp(score)

export const batch = (task: BatchTask): unknown => serveBatch(task, score)
export const ring = (task: RingTask): void => serveRing(task, score)
