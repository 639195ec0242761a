import { hostname } from 'node:os'
import { resolve } from 'node:path'
import type { Storage } from '../storage/port.ts'
import { auditTrails, newestCheckpoints } from './collections.ts'
import type { StoredCheckpoint, StoredTrail } from './collections.ts'
import type { FileLayer } from '../journal/files.ts'
import { listProcesses } from '../journal/segments.ts'
import { readTrailId, trailIdOf, writeTrailId } from './trail-id.ts'

/**
 * The trails and logs that the store knows. A directory names its trail in `trail.id`, which nobody signs: a hand that
 * can remove logs can remove or change that name too. So the store remembers which trails were written where; which
 * logs belong to this directory is told by the store, never by the directory alone.
 *
 * The embedded store lies in the same DATA_DIR: all that it knows belongs here. A database that hosts share knows other
 * directories too; theirs are told apart by host name and path, so hosts that share one need different names or paths.
 */
interface Known {
  /** Checkpoints whose logs this directory must hold. */
  checkpoints: StoredCheckpoint[]
  /** Trails that were begun in this directory, with a checkpoint or without. */
  trailIds: Set<string>
}

/** What the store knows: its newest checkpoints, the trails of this place, and when the first trail of any began. */
interface StoreRead {
  checkpoints: StoredCheckpoint[]
  trails: StoredTrail[]
  oldestTrailMs: number | null
  isShared: boolean
}

const TRAILS_MAX = 1_000
/** Trails that one line of the log names. */
const KNOWN_SHOWN_MAX = 10

/** The place of a data directory, as the store names it. */
export function placeOf (dataDir: string): string {
  return `${hostname()}:${resolve(dataDir)}`
}

/**
 * Read before the directory is: logs that the store knows were in the files before.
 * @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function readStore (storage: Storage, place: string): Promise<StoreRead> {
  const isShared = storage.kind === 'mongodb'
  const checkpoints = await newestCheckpoints(storage)
  const trails = storage.collection<StoredTrail>(auditTrails)
  const reading = Promise.all([
    trails.find({ where: isShared ? { place } : {}, first: TRAILS_MAX }),
    trails.find({ sort: [['at', 1]], first: 1 })
  ])
  // A store of an older version has no such table before the first start; its checkpoints say enough.
  const [own, oldest] = isShared ? await reading : await reading.catch(() => [{ items: [] }, { items: [] }])
  return { checkpoints, trails: own.items, oldestTrailMs: oldest.items[0]?.at ?? null, isShared }
}

/** The part that this directory must hold: everything of the trails that it ever had, and whatever logs it holds. */
export function ownOf (
  { checkpoints, trails, isShared }: StoreRead,
  trailId: string | null,
  processIds: ReadonlySet<string>
): Known {
  const trailIds = new Set(trails.map(({ id }) => id))
  const own = checkpoints.filter((checkpoint) =>
    !isShared || checkpoint.trailId === trailId || trailIds.has(checkpoint.trailId ?? '') ||
    processIds.has(checkpoint.processId)
  )
  for (const checkpoint of own) {
    if (checkpoint.trailId !== null && checkpoint.trailId !== '' && !processIds.has(checkpoint.processId)) {
      trailIds.add(checkpoint.trailId)
    }
  }
  if (trailId !== null && own.some((checkpoint) => checkpoint.trailId === trailId)) trailIds.add(trailId)
  return { checkpoints: own, trailIds }
}

/** A trail that begins where the store knows earlier ones, whose logs are not here. */
export interface LostTrails { trailId: string, earlier: string[], logs: number }

interface RestoreOptions {
  storage: Storage
  files: FileLayer
  directory: string
  place: string
  log: { warn (fields: object, message: string): void }
}

/**
 * The directory's trail. Where `trail.id` is missing or damaged it is made again as the store knows it: the trail of
 * the newest log that is here, else the last one that was begun in this place. A new one is named only where the store
 * knows none. Never throws for the disk: the trail stays without a name then, which verification tells.
 * @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function restoreTrailId (
  { storage, files, directory, place, log }: RestoreOptions
): Promise<string | null> {
  const named = await readTrailId(files, directory)
  if (named !== null) return named
  const { checkpoints, trails } = await readStore(storage, place)
  const processIds = (await listProcesses(files, directory)).map(({ processId }) => processId)
  const here = checkpoints.find(({ processId, trailId }) => processIds.includes(processId) && trailId)?.trailId
  const trailId = here ?? trails.toSorted((a, b) => b.at - a.at)[0]?.id ?? null
  const known = [...new Set([...here == null ? [] : [here], ...trails.map(({ id }) => id)])]
  const made = trailId ?? trailIdOf(processIds)
  try {
    await writeTrailId(files, directory, made)
  } catch (error) {
    const { code = null } = error as NodeJS.ErrnoException
    log.warn({ code }, 'audit/trail.id is missing or damaged and cannot be written: see to DATA_DIR/audit')
    return null
  }
  const how = trailId === null
    ? 'the store knows no trail of this directory, so a new one was named'
    : known.length === 1
      ? 'it was made again from the store'
      : 'the store knows several trails of this directory, and the last one was taken (run neko audit verify)'
  log.warn({ trailId: made, known: known.slice(0, KNOWN_SHOWN_MAX) }, `audit/trail.id was missing or damaged: ${how}`)
  return await readTrailId(files, directory)
}

interface BeginOptions extends RestoreOptions {
  nowMs: number
  /** The store had users before this start. */
  hadUsers: boolean
}

/**
 * Has the store remember this directory's trail; `onLost` is told first when that trail stands in the place of others.
 * @throws NEKO_ERR_STORE_UNAVAILABLE, the disk's error, and what `onLost` throws: call again.
 */
export async function registerTrail (
  { storage, files, directory, place, log, nowMs, hadUsers }: BeginOptions,
  onLost: (lost: LostTrails) => Promise<unknown>
): Promise<void> {
  const trails = storage.collection<StoredTrail>(auditTrails)
  const trailId = await restoreTrailId({ storage, files, directory, place, log })
  const known = trailId === null ? null : await trails.get(trailId)
  if (trailId === null || known?.place === place) return
  const stored = await readStore(storage, place)
  const processIds = new Set((await listProcesses(files, directory)).map(({ processId }) => processId))
  const { checkpoints, trailIds } = ownOf(stored, trailId, processIds)
  const earlier = [...trailIds].filter((id) => id !== trailId)
  // A store that is in use, knows no trail at all and gets its first with this start has lost one.
  const knowsNone = stored.oldestTrailMs === null && stored.checkpoints.length === 0
  const isEmptied = hadUsers && knowsNone && processIds.size === 0
  if (known === null && (earlier.length > 0 || isEmptied)) {
    await onLost({
      trailId,
      earlier,
      logs: checkpoints.filter(({ processId }) => !processIds.has(processId)).length
    })
  }
  await trails.put({ id: trailId, place, at: known?.at ?? nowMs })
}
