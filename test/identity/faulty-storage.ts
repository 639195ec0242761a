import { NEKO_ERR_STORE_UNAVAILABLE } from '../../src/errors.ts'
import type { Collection, CollectionDefinition, Document, Storage } from '../../src/storage/port.ts'

/** A real storage that can be taken away: then every call is refused as the port says it is. */
export function createFaultyStorage (storage: Storage): Storage & { setUp (up: boolean): void } {
  const listeners = new Set<Parameters<Storage['onHealth']>[0]>()
  let up = true
  const health = (): ReturnType<Storage['health']> => ({ up, reason: up ? null : 'refused' })
  return {
    ...storage,
    collection<T extends Document> (definition: CollectionDefinition) {
      return new Proxy(storage.collection<T>(definition), {
        get (target, name) {
          const value = target[name as keyof Collection<T>]
          if (typeof value !== 'function') return value
          return async (...args: unknown[]) => {
            if (!up) throw new NEKO_ERR_STORE_UNAVAILABLE()
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
    }
  } as Storage & { setUp (up: boolean): void }
}
