import type { Fleet } from '../fleet/port.ts'

/**
 * What dead processes left in their logs is in the store from now on: whoever fills memory from it reads it again. Told
 * to every other process of the fleet by the one that brought it in, which sees to itself.
 */
const TOPIC = 'journal.recovered'

export function tellRecovered (fleet: Fleet): void {
  fleet.publish(TOPIC, null)
}

/** Returns the unsubscribe. */
export function onRecovered (fleet: Fleet, listener: () => void): () => void {
  return fleet.subscribe(TOPIC, listener)
}
