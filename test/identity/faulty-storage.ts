import { NEKO_ERR_STORE_UNAVAILABLE } from '../../src/errors.ts'
import type { Collection, CollectionDefinition, Document, Storage } from '../../src/storage/port.ts'

/** `locked`: another program holds SQLite's lock, so that it gives what it had before, and takes nothing. */
export type StoreState = 'up' | 'locked' | 'away'

const READS = ['get', 'getMany', 'getChanged', 'find', 'findOne', 'count']

/** A real storage that can be taken away or locked: then its calls are refused as the port says they are. */
export function createFaultyStorage (
  storage: Storage,
  stateOf: () => StoreState = () => 'up'
): Storage & { setUp (up: boolean): void, setLocked (locked: boolean): void } {
  const listeners = new Set<Parameters<Storage['onHealth']>[0]>()
  let up = true
  let locked = false
  const health = (): ReturnType<Storage['health']> => ({ up, reason: up ? null : 'refused' })
  return {
    ...storage,
    collection<T extends Document> (definition: CollectionDefinition) {
      return new Proxy(storage.collection<T>(definition), {
        get (target, name) {
          const value = target[name as keyof Collection<T>]
          if (typeof value !== 'function') return value
          return async (...args: unknown[]) => {
            const state = stateOf()
            const refusesWrites = locked || state === 'locked'
            if (!up || state === 'away' || (refusesWrites && !READS.includes(String(name)))) throw new NEKO_ERR_STORE_UNAVAILABLE()
            return await (value as (...all: unknown[]) => unknown).apply(target, args)
          }
        }
      })
    },
    health,
    onHealth (listener) { listeners.add(listener) },
    setUp (next) {
      up = next
      for (const listener of listeners) listener(health())
    },
    setLocked (next) { locked = next }
  } as Storage & { setUp (up: boolean): void, setLocked (locked: boolean): void }
}
