import type { Order } from './shapes.ts'
import type { Update } from './codec.ts'

/**
 * News of a worker for the primary that need no answer, one update per bucket: points that were admitted without
 * asking, points given back, violations. Points that were admitted and given back before they were told are never told.
 */
interface PendingUpdates {
  /**
   * Beyond UPDATES_MAX an update is lost: points not given back make a limit stricter for one window, points not told
   * make it looser by them.
   */
  add (update: Update): void
  /** The oldest, taken out. */
  draw (max: number): Update[]
  /** Points of a bucket (by its key) that were admitted and not told yet. */
  unsent (key: string): number
  size (): number
}

const UPDATES_MAX = 10_000

export function createPendingUpdates (): PendingUpdates {
  const updates = new Map<string, Update>()

  function add (update: Update): void {
    const { about, order, ms } = update
    const points = about === 'refund' ? giveBack(order) : order.points
    if (about === 'refund' && points === 0) return
    const key = keyOf(about, order)
    const before = updates.get(key)
    if (before !== undefined) before.order.points += points
    else if (updates.size < UPDATES_MAX) updates.set(key, { about, order: { ...order, points }, ms })
  }

  /** The points left to give back once they are taken off those that were not told yet. */
  function giveBack (order: Order): number {
    const key = keyOf('admitted', order)
    const admitted = updates.get(key)
    if (admitted === undefined) return order.points
    const taken = Math.min(order.points, admitted.order.points)
    admitted.order.points -= taken
    if (admitted.order.points === 0) updates.delete(key)
    return order.points - taken
  }

  return {
    add,
    draw (max) {
      const drawn: Update[] = []
      for (const [key, update] of updates) {
        if (drawn.length >= max) break
        drawn.push(update)
        updates.delete(key)
      }
      return drawn
    },
    unsent: (key) => updates.get(`admitted|${key}`)?.order.points ?? 0,
    size: () => updates.size
  }
}

/** Of all that is admitted without asking while the primary counts, cost alone, this is the bucket's own key. */
function keyOf (about: Update['about'], { kind, tier, client }: Order): string {
  return `${about}|${tier}|${kind}|${client}`
}
