/**
 * The catalogue: id, folded names and category of every actor, in memory, sorted by name. Counts, search and pages are
 * answered from it; the page's actors are then read from the store by id.
 *
 * Why not ask the store: the port's substring search scans and parses every document (12 KiB each: 20 ms of main
 * thread for 1,000 actors), and these fields are public. Here a search over 1,000 actors takes 0.1 ms, and an actor
 * costs 0.5 KiB. Kept until somebody says `invalidate`, at most MAX_AGE in case the message was lost. While the
 * store is down the last one goes on serving.
 */
import type { Clock } from '../std/clock.ts'
import { makeCursor } from '../storage/cursor.ts'
import { pagesOf } from '../storage/pages.ts'
import type { ActorStore } from './actor-store.ts'
import { searchNames } from './profile.ts'
import { ACTORS_MAX, THREAT_CATEGORIES, type ActorDocument, type ThreatCategory, type ThreatCount } from './shapes.ts'

/** Messages between processes may be lost; counts are then this old at most. */
const MAX_AGE_MS = 300_000
/** 100 documents are about 1 MiB of JSON: the event loop is held for some 10 ms. */
const PAGE = 100

export interface CatalogueRow {
  id: string
  nameKey: string
  category: ThreatCategory
  /** Folded names, each between newlines, so that one search covers all and never two at once. */
  names: string
  /** Where the row stands in every list of actors. */
  readonly cursor: string
}

/** Of every list of actors. */
export const SORT: Array<[string, 1 | -1]> = [['nameKey', 1]]

export interface Catalogue {
  /** Sorted by nameKey, then id. Never edit it. */
  rows (): Promise<readonly CatalogueRow[]>
  counts (): Promise<ThreatCount[]>
  /** The next call reads the store again. */
  invalidate (): void
  /** What was answered last was read before a change, or a while ago, and could not be read again. */
  isOld (): boolean
}

/** Read from the store when first asked for, again after `invalidate` or five minutes. */
export function createCatalogue (actors: ActorStore, clock: Clock): Catalogue {
  let loaded: { rows: CatalogueRow[], counts: ThreatCount[], atMs: number } | null = null
  let loading: Promise<{ rows: CatalogueRow[], counts: ThreatCount[] }> | null = null
  let stale = true
  /** Rises with each invalidation: rows that were read before one must not count as fresh after it. */
  let generation = 0

  let isOld = false

  const load = async (): Promise<{ rows: CatalogueRow[], counts: ThreatCount[] }> => {
    const startedAt = generation
    try {
      const rows = await readRows(actors)
      loaded = { rows, counts: countCategories(rows), atMs: clock.monotonic() }
      stale = generation !== startedAt
      isOld = false
    } catch (error) {
      // Fail-open for reads: the last known actors are better than none; without any the store's error stands.
      if (loaded === null) throw error
      isOld = true
    }
    return loaded
  }
  const current = async (): Promise<{ rows: CatalogueRow[], counts: ThreatCount[] }> => {
    if (loaded !== null && !stale && clock.monotonic() - loaded.atMs < MAX_AGE_MS) return loaded
    // One load at a time; a call during one that began before an invalidation waits for the next.
    if (loading !== null) {
      await loading
      if (!stale) return loaded!
    }
    loading ??= load().finally(() => { loading = null })
    return await loading
  }
  return {
    rows: async () => (await current()).rows,
    counts: async () => (await current()).counts,
    isOld: () => isOld,
    invalidate () {
      generation++
      stale = true
    }
  }
}

async function readRows (actors: ActorStore): Promise<CatalogueRow[]> {
  const rows: CatalogueRow[] = []
  for await (const page of pagesOf(actors, { first: PAGE, most: ACTORS_MAX * 2 })) {
    for (const document of page) {
      rows.push(toRow(document))
    }
  }
  return rows.sort(compareRows)
}

function toRow (document: ActorDocument): CatalogueRow {
  return {
    id: document.id,
    nameKey: document.nameKey,
    category: document.category,
    names: `\n${searchNames(document).join('\n')}\n`,
    cursor: makeCursor(SORT, document)
  }
}

/** By folded name, then id: the order of every page. */
export function compareRows (a: Pick<CatalogueRow, 'nameKey' | 'id'>, b: Pick<CatalogueRow, 'nameKey' | 'id'>): number {
  if (a.nameKey !== b.nameKey) return a.nameKey < b.nameKey ? -1 : 1
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}

/** All categories, also the empty ones, in the order of the enum. */
function countCategories (rows: readonly CatalogueRow[]): ThreatCount[] {
  const counts = new Map<ThreatCategory, number>(THREAT_CATEGORIES.map((category) => [category, 0]))
  for (const row of rows) counts.set(row.category, (counts.get(row.category) ?? 0) + 1)
  return [...counts].map(([category, count]) => ({ category, count }))
}
