/**
 * The thread's side of the ring: one task that lasts as long as the thread. It takes small requests first, and after
 * BURST_MAX of them a big one, so that a flood of 64 KiB bodies does not hold up everybody and is not starved either.
 */
import { receiveMessageOnPort } from 'node:worker_threads'
import { createScoreWriter, readRequest } from './ring-codec.ts'
import {
  BIG_DONE,
  BIG_TAIL,
  BIG_TAKEN,
  DONE,
  POLICY,
  READY,
  STOP,
  TAIL,
  TAKEN,
  SMALL,
  awaitWork,
  noteSlowness,
  noteSpent,
  openRing,
  raiseResults,
  slotAt
} from './ring.ts'
import { attempt } from './thread.ts'
import type { MessagePort } from 'node:worker_threads'
import type { Geometry } from './ring.ts'
import type { Policy } from '../detect/policy.ts'
import type { Scorer } from './thread.ts'
import type { Observation } from '../detect/shapes.ts'

export interface RingTask {
  memory: SharedArrayBuffer
  geometry: Geometry
  /** Big observations come in, their scores (null: the scorer threw) go out. */
  port: MessagePort
  /** Policies come in, each before POLICY names its number. */
  policyPort: MessagePort
  policy: Policy
  policyNumber: number
}

export interface PolicyMessage { policy: Policy, policyNumber: number }

/** Small requests served before a waiting big one gets its turn. */
const BURST_MAX = 64
/**
 * When main is woken though more is waiting here. A wake-up costs it 10 to 60 us, so results come in lots;
 * half of what is in flight is one, and the thread works on the other half while main takes it. Nobody waits
 * for a full lot longer than this.
 */
const RESULTS_PER_WAKE_MIN = 16
const RESULTS_PER_WAKE_MAX = 32
const UNHEARD_MS_MAX = 2
/** CPU time of a warm-up on an ordinary machine. */
const WARM_UP_US = 20_000

/** Returns when it is told to stop. `warmUpUs`: CPU time that the thread's warm-up took. */
export function serveRing (task: RingTask, score: Scorer, warmUpUs = 0): void {
  const ring = openRing(task.memory, task.geometry)
  const { words } = ring
  const writer = createScoreWriter()
  // Two system calls: nothing beside a heavy request, a tenth of a small one.
  const isMeasured = ring.slotBytes > SMALL.slotBytes
  let { policy, policyNumber } = task
  let burst = 0
  let unheard = 0
  let unheardSinceMs = 0
  const watch = { misses: 0 }

  function tell (): void {
    if (unheard === 0) return
    unheard = 0
    raiseResults(ring)
  }

  function takeSmall (): void {
    const sequence = Atomics.load(words, TAKEN)
    Atomics.store(words, TAKEN, sequence + 1)
    const slot = slotAt(ring, sequence)
    const before = isMeasured ? process.threadCpuUsage() : undefined
    writer.write(ring, slot, attempt(score, readRequest(ring, slot), policy), policyNumber)
    if (before !== undefined) noteSpent(ring, sequence, sumOf(process.threadCpuUsage(before)))
    Atomics.store(words, DONE, sequence + 1)
    burst++
    if (unheard++ === 0) unheardSinceMs = performance.now()
    if (isLot((Atomics.load(words, TAIL) - sequence - 1) | 0)) tell()
  }

  function isLot (waiting: number): boolean {
    if (unheard >= RESULTS_PER_WAKE_MAX || (unheard >= RESULTS_PER_WAKE_MIN && unheard >= waiting)) return true
    return waiting > 0 && performance.now() - unheardSinceMs >= UNHEARD_MS_MAX
  }

  function takeBig (): void {
    tell()
    const sequence = Atomics.load(words, BIG_TAKEN)
    Atomics.store(words, BIG_TAKEN, sequence + 1)
    const observation = receiveMessageOnPort(task.port)?.message as Observation
    task.port.postMessage(attempt(score, observation, policy))
    Atomics.store(words, BIG_DONE, sequence + 1)
    burst = 0
    unheard++
  }

  function takePolicy (): void {
    const message = receiveMessageOnPort(task.policyPort)?.message as PolicyMessage
    policy = message.policy
    policyNumber = message.policyNumber
  }

  noteSlowness(ring, warmUpUs / WARM_UP_US)
  Atomics.store(words, READY, 1)
  raiseResults(ring)
  while (Atomics.load(words, STOP) === 0) {
    if (Atomics.load(words, POLICY) !== policyNumber) takePolicy()
    const isBig = Atomics.load(words, BIG_TAIL) !== Atomics.load(words, BIG_TAKEN)
    const isSmall = Atomics.load(words, TAIL) !== Atomics.load(words, TAKEN)
    if (isSmall && !(isBig && burst >= BURST_MAX)) takeSmall()
    else if (isBig) takeBig()
    else {
      tell()
      awaitWork(ring, watch)
    }
  }
}

function sumOf ({ user, system }: { user: number, system: number }): number {
  return user + system
}
