/**
 * A lane by messages: observations gathered over one turn of the event loop travel as one Piscina task of up to 64.
 * Costs 1 us each when many are under way and 41 us when alone: the ring is the default, this is the plain way.
 */
import { BATCH_MAX, HANG_MS, CHANNEL_MAX, RESTART_DELAY_MS_MAX, THREAD_START_MS_MAX } from './shapes.ts'
import { startThread } from './start-thread.ts'
import type { Channel, ChannelOptions, Waiting } from './shapes.ts'
import type { BatchTask } from './thread.ts'
import type { Observation, Score } from '../detect/shapes.ts'

interface Batch { waiting: Waiting[], controller: AbortController }

export function createBatchLane (options: ChannelOptions): Channel {
  const { events } = options
  const thread = startThread(options.workerUrl, 'batch')
  const progress = new Int32Array(new SharedArrayBuffer(4))
  let policy = options.policy
  let queue: Waiting[] = []
  let current: Batch | null = null
  let scheduled: NodeJS.Immediate | null = null
  let restart: NodeJS.Timeout | null = null
  let state: 'starting' | 'alive' | 'dead' | 'closed' = 'starting'
  let deaths = 0
  let stuckMs = 0
  let lastProgress = 0

  function schedule (): void {
    if (scheduled === null && current === null && restart === null && state !== 'closed') scheduled = setImmediate(send)
  }

  function send (): void {
    scheduled = null
    dropAnswered()
    if (queue.length > 0 && current === null) run(queue.splice(0, BATCH_MAX))
  }

  /** Whose deadline is over needs no thread any more. */
  function dropAnswered (): void {
    if (queue.some((waiting) => waiting.answered)) queue = queue.filter((waiting) => !waiting.answered)
  }

  /** Never rejects. */
  async function run (waiting: Waiting[]): Promise<void> {
    const batch: Batch = { waiting, controller: new AbortController() }
    current = batch
    stuckMs = lastProgress = 0
    Atomics.store(progress, 0, 0)
    const loading = state === 'alive'
      ? null
      : setTimeout(() => batch.controller.abort(new Error('the thread does not start')), THREAD_START_MS_MAX)
        .unref()
    const task: BatchTask = { observations: waiting.map((one) => compact(one.observation)), progress, policy }
    try {
      const scores = await thread.run(task, { signal: batch.controller.signal }) as Array<Score | null>
      state = state === 'closed' ? 'closed' : 'alive'
      deaths = 0
      current = null
      waiting.forEach((one, i) => events.answer(one, scores[i] ?? null))
      if (queue.length > 0) schedule()
    } catch (error) {
      current = null
      endThread(waiting, error)
    } finally {
      if (loading !== null) clearTimeout(loading)
    }
  }

  /**
   * The one in hand is not tried again: it may be what killed the thread. The others are, also those whose
   * answers died with it.
   */
  function endThread (waiting: Waiting[], error: unknown): void {
    const inHand = Atomics.load(progress, 0) - 1
    if (state === 'closed') {
      for (const one of waiting) events.answer(one, null)
      return
    }
    state = 'dead'
    events.onDeath(error instanceof Error ? error.message : String(error))
    if (waiting[inHand] !== undefined) events.answer(waiting[inHand], null)
    queue = [...waiting.filter((_, i) => i !== inHand), ...queue]
    // Only threads that die before their first observation wait: a poisoned request must not slow down the others.
    const delayMs = inHand >= 0 ? 0 : Math.min(RESTART_DELAY_MS_MAX, 10 * 2 ** Math.min(deaths++, 10))
    restart = setTimeout(() => {
      restart = null
      // An empty batch: its answer says that the thread is there again.
      if (current === null) run(queue.splice(0, BATCH_MAX))
    }, delayMs).unref()
  }

  function tick (passedMs: number): void {
    dropAnswered()
    const at = Atomics.load(progress, 0)
    // Place 0 means that the thread is still loading.
    stuckMs = current === null || at === 0 || at !== lastProgress ? 0 : stuckMs + passedMs
    lastProgress = at
    if (stuckMs >= HANG_MS) {
      stuckMs = 0
      current?.controller.abort(new Error(`no answer within ${HANG_MS} ms`))
    }
  }

  return {
    ready: run([]),
    size: () => queue.length + (current === null ? 0 : current.waiting.length),
    push (waiting) {
      if (state === 'closed' || queue.length + (current?.waiting.length ?? 0) >= CHANNEL_MAX) return false
      queue.push(waiting)
      schedule()
      return true
    },
    tick,
    isAlive: () => state === 'alive',
    usePolicy (next) { policy = next },
    async close () {
      state = 'closed'
      if (scheduled !== null) clearImmediate(scheduled)
      if (restart !== null) clearTimeout(restart)
      for (const waiting of queue) events.answer(waiting, null)
      queue = []
      current?.controller.abort(new Error('closing'))
      await thread.close()
    }
  }
}

/** Cloning a view copies the whole buffer under it, and Node's small buffers share one of 64 KiB. */
export function compact (observation: Observation): Observation {
  const { body } = observation
  if (body === null || (body.byteLength === body.buffer.byteLength && !Buffer.isBuffer(body))) return observation
  return { ...observation, body: new Uint8Array(body) }
}
