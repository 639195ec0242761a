/**
 * The queue in front of the channel for large bodies: clients take turns, however many requests each has. At 5 ms for
 * the worst 64 KiB, 32 of one client are 160 ms, and the client after them would miss the deadline of the score.
 *
 * Only a few observations are handed to the channel at a time; the rest wait here, those of one client in the order of
 * their arrival. Bounded by `max` for all together. An observation that waited for too long was answered by the pool
 * meanwhile, and is dropped.
 */
import type { Channel, Waiting } from './shapes.ts'

export interface FairQueue {
  /** False when it is full. */
  push (waiting: Waiting): boolean
  /** Hands on what the channel has room for; to be called whenever the channel answered. */
  feed (): void
  /** Observations here and in the channel. */
  size (): number
  /** Takes out all observations that wait here. */
  drain (): Waiting[]
}

/** Enough that the thread has work while main is on its way. */
const IN_CHANNEL_MAX = 3

/** `refuse` gets the observations that the channel does not take. */
export function createFairQueue (
  channel: Pick<Channel, 'size' | 'push'>,
  max: number,
  refuse: (waiting: Waiting) => void
): FairQueue {
  /** In the order of their turns; no list is empty. */
  const byClient = new Map<string, Waiting[]>()
  let waitingHere = 0

  function feed (): void {
    while (waitingHere > 0 && channel.size() < IN_CHANNEL_MAX) {
      const next = takeNext()
      if (!next.answered && !channel.push(next)) refuse(next)
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
      if (waitingHere + channel.size() >= max) return false
      const { client } = waiting.observation
      const theirs = byClient.get(client)
      if (theirs === undefined) byClient.set(client, [waiting])
      else theirs.push(waiting)
      waitingHere++
      feed()
      return true
    },
    feed,
    size: () => waitingHere + channel.size(),
    drain () {
      const left = [...byClient.values()].flat()
      byClient.clear()
      waitingHere = 0
      return left
    }
  }
}
