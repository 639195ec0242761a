import type { Order } from './shapes.ts'
import type { Note } from './codec.ts'

/**
 * What a worker has to tell the primary and needs no answer to, one note per bucket: points that were admitted without
 * asking, points given back, violations. What was admitted and given back before it was told is never told.
 */
export interface Notes {
  /** Beyond NOTES_MAX a note is lost: points not given back make a limit stricter for one window, points not told looser by them. */
  add (note: Note): void
  /** The oldest, taken out. */
  draw (max: number): Note[]
  /** Points of a bucket (by its key) that were admitted and not told yet. */
  unsent (key: string): number
  size (): number
}

const NOTES_MAX = 10_000

export function createNotes (): Notes {
  const notes = new Map<string, Note>()

  function add (note: Note): void {
    const { about, order, ms } = note
    const points = about === 'refund' ? giveBack(order) : order.points
    if (about === 'refund' && points === 0) return
    const key = keyOf(about, order)
    const before = notes.get(key)
    if (before !== undefined) before.order.points += points
    else if (notes.size < NOTES_MAX) notes.set(key, { about, order: { ...order, points }, ms })
  }

  /** What is left to give back once it is taken off what was not told yet. */
  function giveBack (order: Order): number {
    const key = keyOf('admitted', order)
    const admitted = notes.get(key)
    if (admitted === undefined) return order.points
    const taken = Math.min(order.points, admitted.order.points)
    admitted.order.points -= taken
    if (admitted.order.points === 0) notes.delete(key)
    return order.points - taken
  }

  return {
    add,
    draw (max) {
      const drawn: Note[] = []
      for (const [key, note] of notes) {
        if (drawn.length >= max) break
        drawn.push(note)
        notes.delete(key)
      }
      return drawn
    },
    unsent: (key) => notes.get(`admitted|${key}`)?.order.points ?? 0,
    size: () => notes.size
  }
}

/** Of all that is admitted without asking while the primary counts, cost alone, this is the bucket's own key. */
function keyOf (about: Note['about'], { kind, tier, client }: Order): string {
  return `${about}|${tier}|${kind}|${client}`
}
