import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { createPolicy } from '../../src/detect/policy.ts'
import { RingRun } from '../../src/threads/ring-run.ts'
import { READY, SMALL, TAKEN, openRing, raiseResults } from '../../src/threads/ring.ts'
import { EXHAUSTED_CPU_MS, SILENT_MS_MAX } from '../../src/threads/shapes.ts'
import { waiting } from './waiting.ts'
import type { RingTask } from '../../src/threads/ring-thread.ts'
import type { PoolThread } from '../../src/threads/start-thread.ts'

const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })

/** A run whose thread has taken one request and never ends it. The thread is numbers: what it says of its CPU time. */
async function stuckRun (): Promise<{ tick (ms: number): Promise<void>, use (ms: number): void, fallSilent (): void, ended: () => string | null }> {
  let usedUs = 1_000_000
  let isSilent = false
  let memory: SharedArrayBuffer | null = null
  let reason: string | null = null
  const thread: PoolThread = {
    run (task, { signal }) {
      memory = (task as RingTask).memory
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
    cpuUs: () => isSilent ? new Promise(() => {}) : Promise.resolve(usedUs),
    close: () => Promise.resolve()
  }
  const run = new RingRun({ geometry: SMALL, answer () {}, onReady () {}, onSuspect () {}, policyVersions: [policy.version], cpuMsMax: EXHAUSTED_CPU_MS })
  run.start(thread, { policy, policyNumber: 0 }).then((end) => {
    reason = `${end.end}: ${end.reason}`
    run.end()
  })
  const ring = openRing(memory!, SMALL)
  Atomics.store(ring.words, READY, 1)
  raiseResults(ring)
  await turn()
  run.requests.send(waiting())
  Atomics.store(ring.words, TAKEN, 1)
  run.tick(0)
  return {
    async tick (ms) {
      run.tick(ms)
      await turn()
    },
    use (ms) { usedUs += ms * 1000 },
    fallSilent () { isSilent = true },
    ended: () => reason
  }
}

t.test('a thread that its machine hardly runs is judged by its own CPU time, however long that takes', async (t) => {
  const run = await stuckRun()
  for (let second = 0; second < 20; second++) {
    run.use(2)
    await run.tick(1_000)
    t.equal(run.ended(), null, `${second} s`)
  }
  for (let second = 0; second < 6; second++) {
    run.use(2)
    await run.tick(1_000)
  }
  t.match(run.ended(), /^cpu: one request used 50 ms of its time/)
})

for (const [what, silence] of [['uses no CPU', () => {}], ['does not even say how much CPU it uses', (run: { fallSilent (): void }) => run.fallSilent()]] as const) {
  t.test(`a thread that ${what} is stopped after a generous time`, async (t) => {
    const run = await stuckRun()
    silence(run)
    for (let ms = 20; ms < SILENT_MS_MAX; ms += 20) await run.tick(20)
    t.equal(run.ended(), null)
    // The first answer is where its CPU time is counted from.
    for (let look = 0; look < 2; look++) await run.tick(20)
    t.match(run.ended(), /^stopped: no answer within 5000 ms/)
  })
}
