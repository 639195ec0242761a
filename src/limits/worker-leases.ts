import type { Clock } from '../std/clock.ts'
import type { Order } from './shapes.ts'
import { keysOf } from './rates.ts'

/** A worker's side of lending: points of a few busy buckets that the primary counted ahead for this process. */
export interface WorkerLeases {
  /** Takes one; returns how many are left, or -1 when there is none. */
  spend (key: string): number
  put (key: string, order: Order, lease: { points: number, untilMs: number }): void
  /** Gives up a lease, and returns the points left of it; null when there is none. */
  empty (key: string): Order | null
  /** The buckets of leases that are over, or of all. */
  keys (which: 'ended' | 'all'): string[]
  forget (clientKey: string): void
  size (): number
}

interface Lease { order: Order, points: number, untilMs: number }

export function createWorkerLeases (clock: Clock): WorkerLeases {
  const leases = new Map<string, Lease>()

  return {
    spend (key) {
      const lease = leases.get(key)
      if (lease === undefined || lease.points === 0 || lease.untilMs <= clock.monotonic()) return -1
      return --lease.points
    },
    put (key, order, { points, untilMs }) {
      leases.set(key, { order, points, untilMs })
    },
    empty (key) {
      const lease = leases.get(key)
      if (lease === undefined) return null
      leases.delete(key)
      return { ...lease.order, points: lease.points }
    },
    keys (which) {
      const now = clock.monotonic()
      return [...leases].filter(([, { untilMs }]) => which === 'all' || untilMs <= now).map(([key]) => key)
    },
    forget (clientKey) {
      for (const key of keysOf(clientKey)) leases.delete(key)
    },
    size: () => leases.size
  }
}
