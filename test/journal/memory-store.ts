import type { Collection, CollectionDefinition, Document, Storage, Stored } from '../../src/storage/port.ts'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../../src/errors.ts'

/** As much of a store as the audit room asks for, in memory and without delay: thousands of recoveries stand on it. */
export function memoryStore (): { storage: Storage, documents: (name: string) => Map<string, Document>, down: { now: boolean } } {
  const collections = new Map<string, Map<string, Document>>()
  const down = { now: false }
  const documents = (name: string): Map<string, Document> => {
    let found = collections.get(name)
    if (found === undefined) collections.set(name, found = new Map())
    return found
  }
  function collection<T extends Document> (definition: CollectionDefinition): Collection<T> {
    const held = (): Map<string, Document> => {
      if (down.now) throw new NEKO_ERR_STORE_UNAVAILABLE()
      return documents(definition.name)
    }
    const put = async (doc: T): Promise<Stored<T>> => {
      held().set(doc.id, doc)
      return { ...doc, revision: 1 }
    }
    const part = {
      definition,
      get: async (id: string) => held().get(id) ?? null,
      getMany: async (ids: string[]) => ids.map((id) => held().get(id)).filter((doc) => doc !== undefined),
      // Only asked for later changes of other processes: there are none.
      find: async () => ({ items: [], cursors: [], hasNextPage: false }),
      async insertMany (docs: T[]) {
        const fresh = docs.filter((doc) => !held().has(doc.id))
        for (const doc of fresh) held().set(doc.id, doc)
        return fresh.length
      },
      put,
      putMany: async (docs: T[]) => { for (const doc of docs) await put(doc) },
      deleteWhere: async ({ id }: { id: { in: string[] } }) => id.in.filter((one) => held().delete(one)).length
    }
    return part as unknown as Collection<T>
  }
  const storage = { kind: 'sqlite', collection, health: () => ({ up: !down.now, reason: null }), onHealth () {} } as unknown as Storage
  return { storage, documents, down }
}
