import type { Channel, Waiting } from './shapes.ts'

/**
 * Requests that were answered in a hurry, for want of room or of time: they are scored in full when a thread has
 * nothing better to do. Bounded; beyond it the hurried answer is all there is.
 */
export interface Afterwards {
  /** False when there are too many. */
  keep (waiting: Waiting): boolean
  /** Hands on what the channel has room for, beside the requests that are being waited for. */
  feed (channel: Channel): void
  drain (): Waiting[]
}

/** `max`: that wait here. `portion`: handed on at a time, to a channel that holds fewer. */
export function createAfterwards ({ max, portion }: { max: number, portion: number }): Afterwards {
  let waiting: Waiting[] = []
  return {
    keep (one) {
      if (waiting.length >= max) return false
      waiting.push(one)
      return true
    },
    feed (channel) {
      if (waiting.length === 0 || !channel.isAlive() || channel.size() >= portion) return
      for (const one of waiting.splice(0, portion)) if (!channel.push(one)) waiting.push(one)
    },
    drain () {
      const left = waiting
      waiting = []
      return left
    }
  }
}
