/**
 * The intel room: known adversaries, read by everybody, changed by imports and administrators.
 *
 * Owns: the collections threatActors and threatActorRedirects, and the catalogue in memory. Never does: name a driver
 * or Fastify. In: records of sources and administrators' words. Out: ThreatActor, counts, pages.
 *
 * One document per actor holds what each source says, apart (shapes.ts); what readers see is worked out on reading
 * (profile.ts). So no write can lose a source's facts, and a repeated import finds nothing to do.
 *
 * Every change is audited before it is written, and acknowledged after both; writes are compare-and-set, so that two
 * administrators, or one and an import, never undo each other. Then the siblings are told to forget their catalogue,
 * and everybody what was answered from it, before the change is acknowledged.
 */
import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import { readCursor } from '../storage/cursor.ts'
import type { Page, Storage } from '../storage/port.ts'
import { openActors } from './actor-store.ts'
import type { ActorInput, ActorPatch } from './actor-input.ts'
import { compareRows, createCatalogue, SORT, type CatalogueRow } from './catalogue.ts'
import { createEdits, findActor } from './edits.ts'
import type { ImportOptions } from './import-shapes.ts'
import { createImportRun } from './import-run.ts'
import { openSource, sourceLabel } from './import-source.ts'
import { foldName } from './match.ts'
import { referencesOf } from './references.ts'
import { createShownActors } from './shown-actors.ts'
import {
  redirectCollection,
  type ActorDocument,
  type ActorRedirect,
  type ImportCounts,
  type ThreatActor,
  type ThreatCategory,
  type ThreatCount
} from './shapes.ts'

/** Topic by which processes tell each other that actors changed. */
const INTEL_CHANGED = 'intel.changed'
/** Asked after an import, so that the command returns when every process shows the new counts. */
const INTEL_FORGET = 'intel.forget'
/** Siblings answer within a tick; one that is stuck must not hold the import's answer for longer. */
const FORGET_TIMEOUT_MS = 1000

const SEARCH_CHARS_MAX = 200

interface ActorQuery {
  category?: ThreatCategory | null
  /** Part of a name or alias; case, accents, spaces and punctuation do not count. At most 200 characters. */
  search?: string | null
  /** 1-100. */
  first: number
  after?: string | null
}

export interface Intel {
  /** All categories, also the empty ones. */
  counts (): Promise<ThreatCount[]>
  /**
   * Sorted by name.
   * @throws NEKO_ERR_CURSOR_INVALID, NEKO_ERR_INPUT_INVALID
   */
  page (query: ActorQuery): Promise<Page<ThreatActor> & { totalCount: number }>
  /** By its id, or one it had before a merge; null when there is none. */
  get (id: string): Promise<ThreatActor | null>
  /** @throws NEKO_ERR_INPUT_INVALID; NEKO_ERR_STORE_DUPLICATE when an actor has that name or alias */
  add (input: ActorInput, by: string): Promise<ThreatActor>
  /** @throws NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND, NEKO_ERR_STORE_DUPLICATE */
  update (id: string, patch: ActorPatch, by: string): Promise<ThreatActor>
  /**
   * An import that still holds the actor brings it back.
   * @throws NEKO_ERR_NOT_FOUND
   */
  remove (id: string, by: string): Promise<ThreatActor>
  /**
   * Bytes of a STIX bundle or MISP galaxy cluster, packed by gzip or not (the first bytes tell; do not unpack before).
   * Invalid input changes nothing.
   * @throws NEKO_ERR_BODY_INVALID, NEKO_ERR_BODY_TOO_LARGE, NEKO_ERR_INPUT_INVALID; NEKO_ERR_OVERLOADED while another
   * runs in this process
   */
  importStream (chunks: AsyncIterable<Uint8Array>, options: ImportOptions): Promise<ImportCounts>
  /**
   * The same from a file of this machine or an https address. For the owner of this machine, not for callers over the
   * network.
   * @throws as importStream, and NEKO_ERR_TIMEOUT
   */
  importSource (source: string, options: Omit<ImportOptions, 'target'>): Promise<ImportCounts>
  /** What was read last may be older than what is stored: the store is away. */
  isOld (): boolean
  close (): void
}

interface IntelParts {
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  /** Ends answers that were read from these references, or from anything of ours (null), in every process. */
  forgetAnswers (references: readonly string[] | null): Promise<void>
}

export function createIntel (
  { storage, audit, fleet, clock, forgetAnswers }: IntelParts
): Intel {
  const actors = openActors(storage)
  const redirects = storage.collection<ActorRedirect>(redirectCollection)
  const catalogue = createCatalogue(actors, clock)
  const unsubscribe = fleet.subscribe(INTEL_CHANGED, () => { catalogue.invalidate() })
  fleet.answer(INTEL_FORGET, () => {
    catalogue.invalidate()
    return true
  })

  // In this order: a sibling hears of the change before it is asked to forget what it answered.
  const changed = (documents: readonly ActorDocument[] | null): Promise<void> => {
    catalogue.invalidate()
    fleet.publish(INTEL_CHANGED, null)
    return forgetAnswers(documents === null ? null : referencesOf(documents))
  }
  const shown = createShownActors(actors)
  const importRun = createImportRun({ actors, redirects, audit })
  const edits = createEdits({ actors, redirects, audit, clock, catalogue, changed })
  const importStream: Intel['importStream'] = async (chunks, options) => {
    try {
      return await importRun(chunks, options)
    } finally {
      // Also one that broke off may have written.
      await changed(null)
      if (fleet.processCount() > 1) await fleet.ask(INTEL_FORGET, null, { timeoutMs: FORGET_TIMEOUT_MS })
    }
  }

  return {
    counts: () => catalogue.counts(),
    async page (query) {
      const rows = select(await catalogue.rows(), query)
      const from = query.after === undefined || query.after === null ? 0 : startAfter(rows, query.after)
      const slice = rows.slice(from, from + query.first)
      const items = await shown.getMany(slice.map((row) => row.id))
      // A row whose document went away since the catalogue was read is left out.
      const there = new Set(items.map(({ id }) => id))
      return {
        items,
        cursors: slice.filter(({ id }) => there.has(id)).map(({ cursor }) => cursor),
        hasNextPage: from + query.first < rows.length,
        totalCount: rows.length
      }
    },
    get: (id) => findActor(id, shown, redirects),
    add: (input, by) => edits.add(input, by),
    update: (id, patch, by) => edits.update(id, patch, by),
    remove: (id, by) => edits.remove(id, by),
    importStream,
    importSource: (source, options) => importStream(openSource(source), { ...options, target: sourceLabel(source) }),
    isOld: catalogue.isOld,
    close: unsubscribe
  }
}

/** Rows of one category whose names contain the search; in the catalogue's order. */
function select (rows: readonly CatalogueRow[], { category, search, first }: ActorQuery): readonly CatalogueRow[] {
  if (!Number.isInteger(first) || first < 1 || first > 100) {
    throw new NEKO_ERR_INPUT_INVALID('first must be from 1 to 100')
  }
  const wanted = (search ?? '').trim()
  if (wanted.length > SEARCH_CHARS_MAX) {
    throw new NEKO_ERR_INPUT_INVALID(`search must have at most ${SEARCH_CHARS_MAX} characters`)
  }
  const isOfAll = category === undefined || category === null
  if (isOfAll && wanted === '') return rows
  const fold = wanted === '' ? '' : foldName(wanted)
  return rows.filter((row) =>
    (isOfAll || row.category === category) && row.names.includes(fold)
  )
}

/** Index of the first row behind the cursor, which need not be there any more. */
function startAfter (rows: readonly CatalogueRow[], after: string): number {
  const { values, id } = readCursor(SORT, after)
  const position = { nameKey: String(values[0]), id }
  const index = rows.findIndex((row) => compareRows(row, position) > 0)
  return index < 0 ? rows.length : index
}
