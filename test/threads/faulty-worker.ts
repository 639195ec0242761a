/** A scoring thread that fails on purpose when the path says so. */
import { threadId } from 'node:worker_threads'
import { serveRing } from '../../src/threads/ring-thread.ts'
import { createThreadScorer, warmUp } from '../../src/threads/thread.ts'
import type { RingTask } from '../../src/threads/ring-thread.ts'
import type { Scorer } from '../../src/threads/thread.ts'

const real = createThreadScorer()
warmUp(real)
const hoard: unknown[] = []

const score: Scorer = (observation, policy) => {
  const [, fault, number] = /^\/fault\/([a-z]+)\/?(\d*)/.exec(observation.url) ?? []
  if (fault === 'throw') throw new Error('thrown on purpose')
  if (fault === 'exit' && threadId <= Number(number || Infinity)) process.exit(3)
  if (fault === 'hang') for (;;);
  if (fault === 'memory') for (;;) hoard.push(new Array(4_000_000).fill(1.5))
  if (fault === 'slow') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  if (fault === 'asleep') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(number))
  if (fault === 'busy') burn(Number(number))
  // A pattern with nested quantifiers over a text that nearly matches: exponential time.
  if (fault === 'redos') /^(a+)+$/.test('a'.repeat(50) + '!')
  return real(observation, policy)
}

/** Uses so much of the thread's time. */
function burn (ms: number): void {
  const before = process.threadCpuUsage()
  for (let used = 0; used < ms * 1000;) {
    for (let i = 0; i < 100_000; i++) Math.sqrt(i)
    const { user, system } = process.threadCpuUsage(before)
    used = user + system
  }
}

export const ring = (task: RingTask): void => serveRing(task, score)
