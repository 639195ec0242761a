/**
 * An import from bytes to records, and from records to what must change in the store.
 *
 * Two halves on purpose. `readRecords` reads the input to its end before anything is written: an input that breaks in
 * its last line changes nothing. `planImport` is pure: stored documents and new records in, the least set of writes
 * out; the same records a second time plan nothing.
 */
import { isDeepStrictEqual } from 'node:util'
import { NEKO_ERR_BODY_INVALID, NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import { createMispReader } from './import-misp.ts'
import { createStixReader } from './import-stix.ts'
import type { ImportFormat, RecordReader } from './import-shapes.ts'
import { plainBytes, SOURCE_BOUNDS, type SourceBounds } from './import-source.ts'
import { actorId, groupRecords, recordKey } from './match.ts'
import { toDocument } from './profile.ts'
import { readJson } from './read-json.ts'
import {
  ACTORS_MAX,
  type ActorDocument,
  type ActorRecord,
  type ActorRedirect,
  type ImportCounts,
  type ImportProgress
} from './shapes.ts'

const ARRAY_OF: Record<ImportFormat, string> = { stix: 'objects', misp: 'values' }

interface ReadOptions {
  /** null: found out from the input (`objects` is STIX, `values` is MISP). */
  format: ImportFormat | null
  bounds?: SourceBounds
  onProgress?: (progress: ImportProgress) => void
}

interface ReadResult { records: ActorRecord[], skipped: Map<string, number>, bytes: number, objects: number }

/**
 * Reads bytes (gzip or not) of one STIX bundle or MISP galaxy cluster.
 * @throws NEKO_ERR_BODY_INVALID (with the place), NEKO_ERR_BODY_TOO_LARGE, NEKO_ERR_INPUT_INVALID (more actors than
 * ACTORS_MAX)
 */
export async function readRecords (chunks: AsyncIterable<Uint8Array>, options: ReadOptions): Promise<ReadResult> {
  const readers: Record<ImportFormat, RecordReader> = { stix: createStixReader(), misp: createMispReader() }
  let found: ImportFormat | null = null
  let objects = 0
  const bytes = await readJson(plainBytes(chunks, options.bounds ?? SOURCE_BOUNDS), {
    arrays: Object.values(ARRAY_OF),
    onField (key, value) {
      readers.stix.onField(key, value)
      readers.misp.onField(key, value)
    },
    onElement (arrayKey, element) {
      const format = arrayKey === ARRAY_OF.stix ? 'stix' : 'misp'
      if (found !== null && found !== format) {
        throw new NEKO_ERR_BODY_INVALID('it has both `objects` and `values`: is it STIX or MISP?')
      }
      found = format
      objects++
      readers[format].take(element)
      if (readers[format].actorCount() > ACTORS_MAX) {
        throw new NEKO_ERR_INPUT_INVALID(`The input has more than ${ACTORS_MAX} actors`)
      }
    },
    onProgress (read) {
      options.onProgress?.({
        phase: 'read',
        bytes: read,
        objects,
        actors: found === null ? 0 : readers[found].actorCount()
      })
    }
  })
  const format = agreedFormat(found, options.format)
  return { ...readers[format].finish(), bytes, objects }
}

function agreedFormat (found: ImportFormat | null, wanted: ImportFormat | null): ImportFormat {
  if (found === null) {
    throw new NEKO_ERR_BODY_INVALID(
      'it has neither `objects` (a STIX bundle) nor `values` (a MISP galaxy cluster) with anything in it'
    )
  }
  if (wanted !== null && wanted !== found) {
    throw new NEKO_ERR_BODY_INVALID(`it was said to be ${wanted} and looks like ${found}`)
  }
  return found
}

export interface ImportPlan {
  insert: ActorDocument[]
  /** A stored document is replaced only at the revision that it had when the plan was made. */
  replace: Array<{ document: ActorDocument, revision: number }>
  /** Actors that became part of another. */
  remove: Array<{ document: ActorDocument, revision: number }>
  putRedirects: ActorRedirect[]
  removeRedirects: string[]
  counts: ImportCounts
  /** Every document as it will stand. */
  documents: ActorDocument[]
}

type StoredActor = ActorDocument & { revision: number }

/**
 * Pure. An older version of a stored record is skipped; all else joins the stored records, and all are grouped anew.
 */
export function planImport (
  stored: readonly StoredActor[],
  incoming: readonly ActorRecord[],
  skippedBefore: ReadonlyMap<string, number>
): ImportPlan {
  const known = new Map(
    stored.flatMap((document) => document.records.map((record) => [recordKey(record), record] as const))
  )
  const skipped = new Map(skippedBefore)
  const accepted: ActorRecord[] = []
  for (const record of incoming) {
    if (record.version >= (known.get(recordKey(record))?.version ?? 0)) accepted.push(record)
    else skipped.set('older than what is stored', (skipped.get('older than what is stored') ?? 0) + 1)
  }
  const all = new Map(known)
  for (const record of accepted) all.set(recordKey(record), record)
  const documents = groupRecords([...all.values()]).map(toDocument)
  if (documents.length > ACTORS_MAX) {
    throw new NEKO_ERR_INPUT_INVALID(`The store would hold more than ${ACTORS_MAX} actors`)
  }
  return {
    ...diffDocuments(stored, documents),
    ...diffRedirects(stored, documents),
    counts: { ...countRecords(accepted, known, documents), skipped: listSkipped(skipped) },
    documents
  }
}

function diffDocuments (
  stored: readonly StoredActor[],
  documents: ActorDocument[]
): Pick<ImportPlan, 'insert' | 'replace' | 'remove'> {
  const old = new Map(stored.map((document) => [document.id, document]))
  const plan: Pick<ImportPlan, 'insert' | 'replace' | 'remove'> = { insert: [], replace: [], remove: [] }
  for (const document of documents) {
    const before = old.get(document.id)
    old.delete(document.id)
    if (before === undefined) {
      plan.insert.push(document)
      continue
    }
    if (!isDeepStrictEqual(unstored(before).document, document)) {
      plan.replace.push({ document, revision: before.revision })
    }
  }
  plan.remove = [...old.values()].map(unstored)
  return plan
}

function unstored ({ revision, ...document }: StoredActor): { document: ActorDocument, revision: number } {
  return { document, revision }
}

/** Each record of an actor but the leading one has an id too, under which the actor was or would be known. */
export function redirectsOf (documents: readonly ActorDocument[]): Map<string, string> {
  const redirects = new Map<string, string>()
  for (const document of documents) {
    for (const record of document.records) {
      const id = actorId(record)
      if (id !== document.id && record.amends === null) redirects.set(id, document.id)
    }
  }
  return redirects
}

function diffRedirects (
  stored: readonly ActorDocument[],
  documents: readonly ActorDocument[]
): Pick<ImportPlan, 'putRedirects' | 'removeRedirects'> {
  const before = redirectsOf(stored)
  const after = redirectsOf(documents)
  return {
    putRedirects: [...after].filter(([id, to]) => before.get(id) !== to).map(([id, to]) => ({ id, to })),
    removeRedirects: [...before.keys()].filter((id) => !after.has(id))
  }
}

/**
 * A new record that joins others is merged, one that stands alone is added; a known one is updated when it says
 * something else.
 */
function countRecords (
  accepted: readonly ActorRecord[],
  known: ReadonlyMap<string, ActorRecord>,
  documents: readonly ActorDocument[]
): Omit<ImportCounts, 'skipped'> {
  const joined = new Set(
    documents.filter((document) => document.records.length > 1).flatMap((document) =>
      document.records.map(recordKey)
    )
  )
  const counts = { added: 0, updated: 0, merged: 0, unchanged: 0 }
  for (const record of accepted) {
    const before = known.get(recordKey(record))
    if (before === undefined) counts[joined.has(recordKey(record)) ? 'merged' : 'added']++
    else counts[isDeepStrictEqual(before, record) ? 'unchanged' : 'updated']++
  }
  return counts
}

function listSkipped (skipped: ReadonlyMap<string, number>): ImportCounts['skipped'] {
  return [...skipped].map(([reason, count]) => ({ reason, count })).sort((a, b) =>
    b.count - a.count || (a.reason < b.reason ? -1 : 1)
  )
}
