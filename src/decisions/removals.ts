import { endedInIndex } from '../journal/due-effects.ts'
import type { Storage } from '../storage/port.ts'
import { decisionCollection } from './shapes.ts'

/**
 * When people removed which of these decisions, as the trail's index in the store tells: the process that removed them
 * may have died before it told anybody; of several removals the last one. At most 200 ids.
 * @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function removedOf (storage: Storage, ids: string[]): Promise<Map<string, number>> {
  const prefix = `${decisionCollection.name}/`
  const ended = await endedInIndex(storage, ids.map((id) => prefix + id))
  return new Map([...ended].map(([key, removedAt]) => [key.slice(prefix.length), removedAt]))
}
