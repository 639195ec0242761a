/**
 * The line in front of a lane for large bodies: clients take turns, whoever brought how many. At 5 ms for the
 * worst 64 KiB, 32 of one client are 160 ms, and whoever came after them would miss the deadline of the
 * score.
 *
 * Only a few are handed to the lane at a time; the rest wait here, each client's in the order of their
 * coming. Bounded by `max` for all together. Who has waited for too long was answered by the pool meanwhile,
 * and is dropped.
 */
import type { Channel, Waiting } from './shapes.ts'

export interface FairLine {
  /** False when it is full. */
  push (waiting: Waiting): boolean
  /** Hands on what the lane has room for; to be called whenever the lane answered. */
  feed (): void
  /** Those here and in the lane. */
  size (): number
  /** Takes out all that wait here. */
  drain (): Waiting[]
}

/** Enough that the thread has work while main is on its way. */
const IN_LANE_MAX = 3

/** `refuse` gets what the lane does not take. */
export function createFairLine (
  lane: Pick<Channel, 'size' | 'push'>,
  max: number,
  refuse: (waiting: Waiting) => void
): FairLine {
  /** In the order of their turns; no list is empty. */
  const byClient = new Map<string, Waiting[]>()
  let waitingHere = 0

  function feed (): void {
    while (waitingHere > 0 && lane.size() < IN_LANE_MAX) {
      const next = takeNext()
      if (!next.answered && !lane.push(next)) refuse(next)
    }
  }

  function takeNext (): Waiting {
    const [client, theirs] = byClient.entries().next().value as [string, Waiting[]]
    byClient.delete(client)
    const next = theirs.shift() as Waiting
    waitingHere--
    if (theirs.length > 0) byClient.set(client, theirs)
    return next
  }

  return {
    push (waiting) {
      if (waitingHere + lane.size() >= max) return false
      const { client } = waiting.observation
      const theirs = byClient.get(client)
      if (theirs === undefined) byClient.set(client, [waiting])
      else theirs.push(waiting)
      waitingHere++
      feed()
      return true
    },
    feed,
    size: () => waitingHere + lane.size(),
    drain () {
      const left = [...byClient.values()].flat()
      byClient.clear()
      waitingHere = 0
      return left
    }
  }
}
