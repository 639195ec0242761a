import type { Collection, CollectionDefinition, Condition, Document, Scalar, Storage, Stored, Where } from '../../src/storage/port.ts'
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
    const revisionOf = (id: string): number => (held().get(id) as Stored<T> | undefined)?.revision ?? 0
    const put = async (doc: T): Promise<Stored<T>> => {
      const stored = { ...doc, revision: revisionOf(doc.id) + 1 }
      held().set(doc.id, stored)
      return stored
    }
    const part = {
      definition,
      get: async (id: string) => held().get(id) ?? null,
      getMany: async (ids: string[]) => ids.map((id) => held().get(id)).filter((doc) => doc !== undefined),
      // In no order: each page holds all.
      find: async ({ where = {} }: { where?: Where }) =>
        ({ items: [...held().values()].filter((doc) => isMatch(doc, where)), cursors: [], hasNextPage: false }),
      async insertMany (docs: T[]) {
        const fresh = docs.filter((doc) => !held().has(doc.id))
        for (const doc of fresh) await put(doc)
        return fresh.length
      },
      put,
      putMany: async (docs: T[]) => { for (const doc of docs) await put(doc) },
      delete: async (id: string) => held().delete(id),
      replace: async (doc: T, revision: number) => revisionOf(doc.id) === revision ? await put(doc) : null,
      deleteWhere: async ({ id, revision }: { id: string, revision: number }) =>
        revisionOf(id) === revision && held().delete(id) ? 1 : 0
    }
    return part as unknown as Collection<T>
  }
  const storage = { kind: 'sqlite', collection, health: () => ({ up: !down.now, reason: null }), onHealth () {} } as unknown as Storage
  return { storage, documents, down }
}

function isMatch (doc: Document, where: Where): boolean {
  return Object.entries(where).every(([path, condition]) => meets(path.split('.').reduce<unknown>((at, name) => (at as { [name: string]: unknown } | null)?.[name], doc), condition))
}

function meets (value: unknown, condition: Condition): boolean {
  if (condition === null || typeof condition !== 'object') return value === condition
  if ('in' in condition) return condition.in.includes(value as Scalar)
  const { gt, gte, ...others } = condition as { gt?: number, gte?: number }
  if (Object.keys(others).length > 0) throw new TypeError(`not in the memory store: ${Object.keys(others).join()}`)
  return typeof value === 'number' && (gt === undefined || value > gt) && (gte === undefined || value >= gte)
}
