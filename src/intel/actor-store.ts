import type { Collection, Storage, Stored } from '../storage/port.ts'
import { actorCollection, type ActorDocument, type ActorRecord, type IntelSource } from './shapes.ts'

/**
 * The documents of actors as this version knows them, whichever version wrote them. A record's `source` was called
 * `lane` once: documents that nobody changed since still say so, and processes of that version may still be running on
 * this store. Reading accepts both names, writing writes both; ids are made of the value, so they stay.
 */
export type ActorStore = Pick<
  Collection<ActorDocument>,
  'get' | 'getChanged' | 'find' | 'count' | 'insert' | 'insertMany' | 'replace' | 'delete'
>

type StoredRecord = Omit<ActorRecord, 'source'> & { source?: IntelSource, lane?: IntelSource }
type StoredDocument = Omit<ActorDocument, 'records'> & { records: StoredRecord[] }

export function openActors (storage: Storage): ActorStore {
  const documents = storage.collection<StoredDocument>(actorCollection)
  return {
    async get (id) {
      const document = await documents.get(id)
      return document === null ? null : present(document)
    },
    async getChanged (known) {
      const readings = await documents.getChanged(known)
      return readings.map(({ id, mark, document }) =>
        ({ id, mark, document: document === null ? null : present(document) })
      )
    },
    async find (options) {
      const page = await documents.find(options)
      return { ...page, items: page.items.map(present) }
    },
    insert: async (document) => present(await documents.insert(asStored(document))),
    async replace (document, revision) {
      const written = await documents.replace(asStored(document), revision)
      return written === null ? null : present(written)
    },
    insertMany: (list) => documents.insertMany(list.map(asStored)),
    count: (where) => documents.count(where),
    delete: (id) => documents.delete(id)
  }
}

function present (document: Stored<StoredDocument>): Stored<ActorDocument> {
  return { ...document, records: document.records.map(presentRecord) }
}

function presentRecord ({ lane, source = lane, ...rest }: StoredRecord): ActorRecord {
  return { source: source as IntelSource, ...rest }
}

function asStored<D extends ActorDocument> (document: D): D & StoredDocument {
  return { ...document, records: document.records.map((record) => ({ ...record, lane: record.source })) }
}
