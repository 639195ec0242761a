import type { Fleet } from '../cluster/fleet.ts'
import type { Json } from '../std/json.ts'
import type { Standing } from './standing.ts'

/**
 * Messages between processes arrive at most once: one that is lost would leave a process with a block that was lifted, or
 * without one that was made. So each tells the others every few seconds what it holds, as one number; who hears another
 * number from the same sibling twice running reads the store again, which has what every process wrote.
 */
export interface Reconciling { close (): void }

const TELL_MS = 5_000
/** A busy fleet's numbers differ for a moment all the time: reading everything again is bounded. */
const AGAIN_MS = 30_000
const SIBLINGS_MAX = 1_000
export const PENDING_ASKED_MAX = 500

export function reconcileWithSiblings ({ fleet, standing, monotonic, reload, tellMs = TELL_MS, againMs = AGAIN_MS }: {
  fleet: Fleet
  standing: Standing
  monotonic (): number
  /** Reads the store; what it lacks falls here. */
  reload (): Promise<void>
  tellMs?: number
  againMs?: number
}): Reconciling {
  const differed = new Map<string, number>()
  let lastMs = -Infinity

  const unsubscribe = fleet.subscribe('decisions.digest', (message, from) => {
    const [size, digest] = message as [number, number]
    if (size === standing.size && digest === standing.digest()) {
      differed.delete(from)
      return
    }
    const times = (differed.get(from) ?? 0) + 1
    if (differed.size >= SIBLINGS_MAX) differed.clear()
    differed.set(from, times)
    if (times < 2 || monotonic() - lastMs < againMs) return
    lastMs = monotonic()
    differed.clear()
    reload().catch(() => { /* the store is down: the next number asks again */ })
  })
  const timer = setInterval(() => {
    if (fleet.processCount() > 1) fleet.publish('decisions.digest', [standing.size, standing.digest()] as Json)
  }, tellMs)
  timer.unref()

  return {
    close () {
      clearInterval(timer)
      unsubscribe()
    }
  }
}
