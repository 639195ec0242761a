import type { Collection, CollectionDefinition, Document, Storage } from '../../src/storage/port.ts'

interface Call { name: string, method: string, when: 'before' | 'behind' }

/** A store that tells `onCall` before each call and behind it, and fails where that does. */
export function watched (storage: Storage, onCall: (call: Call) => Promise<void>): Storage {
  const collection = (definition: CollectionDefinition): Collection<Document> => {
    const inner = storage.collection(definition) as unknown as { [method: string]: (...given: unknown[]) => Promise<unknown> }
    return new Proxy(inner, {
      get: (_, method: string) => async (...given: unknown[]) => {
        await onCall({ name: definition.name, method, when: 'before' })
        const answer = await inner[method]!(...given)
        await onCall({ name: definition.name, method, when: 'behind' })
        return answer
      }
    }) as unknown as Collection<Document>
  }
  return { ...storage, collection } as unknown as Storage
}
