/** Entry of a scoring thread, opened by path by src/threads/start-thread.ts, which runs `ring`. */
import { serveRing } from '../src/threads/ring-thread.ts'
import { createThreadScorer, warmUp } from '../src/threads/thread.ts'
import type { RingTask } from '../src/threads/ring-thread.ts'

const score = createThreadScorer()
const warmUpUs = warmUp(score)

export const ring = (task: RingTask): void => serveRing(task, score, warmUpUs)
