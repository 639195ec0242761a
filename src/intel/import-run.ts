/**
 * One import against the store: read all, plan, audit, write; and plan again when somebody wrote in between.
 *
 * A reader may see in the middle: some actors new, some old, never half an actor (each is one document). A crash in the
 * middle leaves that state, and the same import again completes it. One import at a time per process, because each
 * holds its records in memory; two processes at once are kept apart by compare-and-set alone.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { attempt, type Audit } from '../audit/shapes.ts'
import { NEKO_ERR_OVERLOADED } from '../errors.ts'
import { compareAndSet } from '../std/compare-and-set.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Collection, Stored } from '../storage/port.ts'
import type { ActorStore } from './actor-store.ts'
import { planImport, readRecords, type ImportPlan } from './import.ts'
import type { ImportOptions } from './import-shapes.ts'
import { ACTORS_MAX, type ActorDocument, type ActorRedirect, type ImportCounts } from './shapes.ts'

/** Each attempt but the first is owed to a change that others made within its second. */
const ATTEMPTS_MAX = 8
/**
 * A store that went away in the middle is waited for: documents that were written stand, and a new plan finds the rest.
 * With the calls' own 2 s each that is some 15 s.
 */
const OUTAGES_MAX = 5
const OUTAGE_MS = 1_000
const INSERT_BATCH = 500
/**
 * Compare-and-set writes under way at once: fewer than the 10 connections to MongoDB, where a hundred waited beyond the
 * 2 s of a call; SQLite's group commit makes one transaction of them.
 */
const REPLACE_BATCH = 8
const READ_PAGE = 200

interface Parts { actors: ActorStore, redirects: Collection<ActorRedirect>, audit: Audit }

/** @throws as Intel.importStream */
export function createImportRun (
  parts: Parts
): (chunks: AsyncIterable<Uint8Array>, options: ImportOptions) => Promise<ImportCounts> {
  let running = false
  return async (chunks, options) => {
    if (running) throw new NEKO_ERR_OVERLOADED(5)
    running = true
    try {
      return await runImport(parts, chunks, options)
    } finally {
      running = false
    }
  }
}

async function runImport (
  parts: Parts,
  chunks: AsyncIterable<Uint8Array>,
  options: ImportOptions
): Promise<ImportCounts> {
  const read = await readRecords(chunks, { format: options.format, onProgress: options.onProgress })
  const progress = { bytes: read.bytes, objects: read.objects, actors: read.records.length }
  options.onProgress?.({ phase: 'merge', ...progress })
  const replan = async (): Promise<ImportPlan> => planImport(await readStored(parts.actors), read.records, read.skipped)
  const plan = await replan()
  // The first plan's counts are the import's; later plans only finish it.
  const { counts } = plan
  const skipped = counts.skipped.reduce((sum, { count }) => sum + count, 0)
  const details = {
    added: counts.added,
    updated: counts.updated,
    merged: counts.merged,
    unchanged: counts.unchanged,
    skipped
  }
  await attempt(parts.audit, {
    category: 'data',
    type: 'intel.import',
    actor: options.actor,
    target: options.target ?? null,
    details
  }, async () => {
    options.onProgress?.({ phase: 'write', ...progress })
    await writeUntilSettled(parts, plan, replan)
  })
  return counts
}

/**
 * Writes and plans again until a fresh plan finds nothing to do. Compare-and-set alone is not enough: two imports that
 * insert the two halves of one adversary touch no common document, and only a second look sees that they belong
 * together.
 */
async function writeUntilSettled (parts: Parts, first: ImportPlan, replan: () => Promise<ImportPlan>): Promise<void> {
  const outages = new Outages()
  let next: ImportPlan | null = first
  const tryToFinish = async (number: number): Promise<'settled' | null> => {
    const plan = next ?? await replan()
    next = null
    if (isEmpty(plan)) return 'settled'
    // The attempt after the last only looks whether the last one settled it.
    if (number <= ATTEMPTS_MAX) await writePlan(parts, plan)
    return null
  }
  await compareAndSet(
    ATTEMPTS_MAX + 1,
    (number) => outages.waitOut(() => tryToFinish(number)),
    () => new NEKO_ERR_OVERLOADED(5)
  )
}

/** A store that goes away is waited for, a bounded number of times in one import. */
class Outages {
  #count = 0

  /** Does it again after each outage. */
  async waitOut<T> (work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        const isOutage = (error as { code?: unknown }).code === 'NEKO_ERR_STORE_UNAVAILABLE'
        if (!isOutage || ++this.#count > OUTAGES_MAX) throw error
        await sleep(OUTAGE_MS)
      }
    }
  }
}

function isEmpty (plan: ImportPlan): boolean {
  return plan.insert.length + plan.replace.length + plan.remove.length + plan.putRedirects.length +
      plan.removeRedirects.length === 0
}

async function readStored (actors: ActorStore): Promise<Array<Stored<ActorDocument>>> {
  const stored: Array<Stored<ActorDocument>> = []
  for await (const page of pagesOf(actors, { first: READ_PAGE, most: ACTORS_MAX * 2 })) stored.push(...page)
  return stored
}

/**
 * Redirects come first: one that points nowhere yet harms nobody, one that were missing after a crash would stay
 * missing. Removals come last: an actor is shown twice for a moment rather than not at all; and not when somebody else
 * changed what the plan was made on.
 */
async function writePlan ({ actors, redirects }: Parts, plan: ImportPlan): Promise<void> {
  let isWhole = true
  for (const batch of inBatches(plan.putRedirects, INSERT_BATCH)) await redirects.putMany(batch)
  for (const batch of inBatches(plan.insert, INSERT_BATCH)) {
    if (await actors.insertMany(batch) < batch.length) isWhole = false
  }
  for (const batch of inBatches(plan.replace, REPLACE_BATCH)) {
    const written = await Promise.all(batch.map(({ document, revision }) => actors.replace(document, revision)))
    if (written.includes(null)) isWhole = false
  }
  if (!isWhole) return
  for (const batch of inBatches(plan.remove, REPLACE_BATCH)) {
    await Promise.all(batch.map((each) => removeUnchanged(actors, each)))
  }
  for (const batch of inBatches(plan.removeRedirects, REPLACE_BATCH)) {
    await Promise.all(batch.map((id) => redirects.delete(id)))
  }
}

/**
 * The port has no compare-and-delete: taking the revision first makes an edit under way fail and find the merged actor
 * instead of being lost.
 */
async function removeUnchanged (
  actors: ActorStore,
  { document, revision }: { document: ActorDocument, revision: number }
): Promise<void> {
  if (await actors.replace(document, revision) !== null) await actors.delete(document.id)
}

function inBatches<T> (items: readonly T[], size: number): T[][] {
  const batches: T[][] = []
  for (let from = 0; from < items.length; from += size) batches.push(items.slice(from, from + size))
  return batches
}
