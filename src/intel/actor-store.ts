import type { Collection, Storage, Stored } from '../storage/port.ts'
import { actorCollection, type ActorDocument, type ActorRecord, type IntelSource } from './shapes.ts'

/**
 * The documents of actors as this version knows them, whichever version wrote them. A record's `source` was called
 * `lane` once: documents that nobody changed since still say so. Reading accepts both, writing writes `source`; ids are
 * made of the value and not of the field's name, so they stay.
 */
export type ActorStore = Pick<
  Collection<ActorDocument>,
  'get' | 'getMany' | 'find' | 'count' | 'insert' | 'insertMany' | 'replace' | 'delete'
>

type FormerRecord = Omit<ActorRecord, 'source'> & { lane: IntelSource }
type ReadDocument = Omit<ActorDocument, 'records'> & { records: Array<ActorRecord | FormerRecord> }

export function openActors (storage: Storage): ActorStore {
  const documents = storage.collection<ReadDocument>(actorCollection)
  return {
    async get (id) {
      const document = await documents.get(id)
      return document === null ? null : present(document)
    },
    getMany: async (ids) => (await documents.getMany(ids)).map(present),
    async find (options) {
      const page = await documents.find(options)
      return { ...page, items: page.items.map(present) }
    },
    insert: async (document) => present(await documents.insert(document)),
    async replace (document, revision) {
      const written = await documents.replace(document, revision)
      return written === null ? null : present(written)
    },
    insertMany: (list) => documents.insertMany(list),
    count: (where) => documents.count(where),
    delete: (id) => documents.delete(id)
  }
}

function present (document: Stored<ReadDocument>): Stored<ActorDocument> {
  return { ...document, records: document.records.map(presentRecord) }
}

function presentRecord (record: ActorRecord | FormerRecord): ActorRecord {
  if ('source' in record) return record
  const { lane, ...rest } = record
  return { source: lane, ...rest }
}
