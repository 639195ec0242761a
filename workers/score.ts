/**
 * Entry of a scoring thread, opened by path by src/threads/start-thread.ts: one handler per way of bringing
 * observations.
 */
import { serveRing } from '../src/threads/ring-thread.ts'
import { createThreadScorer, serveBatch, warmUp } from '../src/threads/thread.ts'
import type { RingTask } from '../src/threads/ring-thread.ts'
import type { BatchTask } from '../src/threads/thread.ts'

const score = createThreadScorer()
warmUp(score)

export const batch = (task: BatchTask): unknown => serveBatch(task, score)
export const ring = (task: RingTask): void => serveRing(task, score)
