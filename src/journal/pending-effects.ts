import type { Json } from '../std/json.ts'
import type { CollectionDefinition, Storage } from '../storage/port.ts'
import { CHUNK, dueEffects, storedOf } from './due-effects.ts'
import { EffectSet } from './effect-set.ts'
import { openEffects } from './apply-effects.ts'
import type { FileLayer } from './files.ts'
import { countProven, linkedLines, NOWHERE } from './linked-lines.ts'
import type { LogPlace, Sealed } from './linked-lines.ts'
import { openSealed } from './pseudonyms.ts'
import type { Pseudonyms } from './pseudonyms.ts'
import type { LogSeals } from './recovery.ts'
import { readReplayed } from './replay-mark.ts'
import type { Replayed } from './replay-mark.ts'
import { eventOf, listProcesses, segmentName } from './segments.ts'
import type { Pending } from './shapes.ts'

/** The last acknowledged change of one document that the store may not have yet. */
export interface PendingEffect {
  collection: string
  id: string
  op: 'put' | 'delete'
  /** Of a `delete` the fields of the version that ended, or null. */
  doc: { id: string } & { [key: string]: Json } | null
  /** When it was recorded, or its version made, ms since the epoch. */
  at: number
}

/**
 * pending: what the store may lack. all: also what it has, for who cannot read it. Older changes than the newest logs
 * hold are not among them, nor those of other hosts.
 */
export type Logged = 'pending' | 'all'

interface PendingEffectsOptions {
  wanted: Logged
  directory: string
  files: FileLayer
  /** Whose changes are wanted. */
  collections: readonly CollectionDefinition[]
  pseudonyms: Pseudonyms | null
  /** Asked for later changes where it answers; null where nobody can be asked. */
  storage: Storage | null
  /** Nothing is taken that the seals of its log do not prove, as in recovery. */
  examine: LogSeals['examine']
  log: { warn (fields: object, message: string): void }
}

/** Segments read at a start: the newest ones, eight whole ones. */
const BYTES_MAX = 128 * 1024 * 1024
/** As many decisions as memory takes from the store. */
const EFFECTS_MAX = 200_000

/**
 * Changes that logs of this host hold, of living and of dead processes, and that their writers did not see settle in
 * the store. Memory that is filled from the store takes these on top: a store that is away, or that another process
 * holds locked and still lets read, lacks the newest. Reads files alone: no lock is taken and nothing is written.
 *
 * Oldest first. A later change that another log or the store's index knows leaves an earlier one out, as in recovery.
 */
export async function readPendingEffects (options: PendingEffectsOptions): Promise<PendingEffect[]> {
  const { collections, storage, pseudonyms, log } = options
  const effects = await readLogs(options)
  const names = new Set(collections.map(({ name }) => name))
  const pending = effects.pending().filter(({ effect }) => names.has(effect.collection))
  const { opened, unreadable } = openEffects(pending, (effect) => openSealed(effect, pseudonyms))
  if (unreadable > 0) {
    log.warn({ effects: unreadable }, 'changes that the store may lack were sealed by another AUDIT_PSEUDONYM_KEY')
  }
  if (opened.length > EFFECTS_MAX) {
    log.warn({ effects: opened.length, taken: EFFECTS_MAX }, 'more changes wait for the store than memory takes')
  }
  const newest = opened.slice(-EFFECTS_MAX)
  const due = storage === null ? newest : await withoutOutdated(newest, { storage, collections, effects })
  return due.map(({ effect: { collection, id, op, doc, version }, at }) =>
    ({ collection, id, op, doc: doc ?? null, at: version?.madeAt ?? at }))
}

/** A store that cannot be asked leaves them all: what it knows is read when it answers. */
async function withoutOutdated (
  pending: Pending[],
  { storage, collections, effects }: {
    storage: Storage,
    collections: readonly CollectionDefinition[],
    effects: EffectSet
  }
): Promise<Pending[]> {
  const due = new Set<Pending>()
  try {
    for (const [name, group] of Map.groupBy(pending, ({ effect }) => effect.collection)) {
      const definition = collections.find((collection) => collection.name === name)!
      for (let at = 0; at < group.length; at += CHUNK) {
        const chunk = group.slice(at, at + CHUNK)
        const stored = await storedOf(storage, definition, chunk)
        for (const one of await dueEffects({ storage, definition, stored, chunk, effects })) due.add(one.pending)
      }
    }
  } catch {
    return pending
  }
  return pending.filter((one) => due.has(one))
}

/** Of one process start. */
interface Log { processId: string, replayed: Replayed, segments: number[], newestMs: number }

async function readLogs (options: PendingEffectsOptions): Promise<EffectSet> {
  const { files, directory, log, examine, wanted } = options
  const isPending = wanted === 'pending'
  const effects = new EffectSet()
  const logs = await listLogs(options)
  let bytesLeft = BYTES_MAX
  const read = async (some: Log[]): Promise<void> => {
    // Newest first: what no longer fits is what recovery brought in long ago.
    for (const { processId, replayed, segments } of some.sort((a, b) => b.newestMs - a.newestMs)) {
      const { problem, sealed } = await examine(processId)
      if (problem !== null) continue
      const place = { files, directory, processId }
      const from = isPending ? Math.min(replayed.segment, sealed.reaches?.segment ?? Infinity) : 0
      const sized = await withSizes(place, segments.filter((segment) => segment >= from))
      const fitting = sized.filter((_, index) => total(sized.slice(index)) <= bytesLeft).map(({ segment }) => segment)
      bytesLeft -= total(sized)
      const settledSeq = !isPending ? -1 : replayed.done ? Infinity : replayed.effectsSeq
      await readLog({ place, segments: fitting, sealed, settledSeq, effects })
    }
  }
  await read(isPending ? logs.filter(({ replayed }) => !replayed.done) : logs)
  if (!isPending) return effects
  const oldestMs = effects.pending()[0]?.at
  // The store has all of a log that is done, but what it says about a pending change must count without the store too.
  if (oldestMs !== undefined) await read(logs.filter(({ replayed, newestMs }) => replayed.done && newestMs >= oldestMs))
  if (bytesLeft < 0) {
    log.warn({ bytesMax: BYTES_MAX }, 'the audit logs that the store may lack are too large to be read at a start')
  }
  return effects
}

async function listLogs ({ files, directory }: PendingEffectsOptions): Promise<Log[]> {
  const logs: Log[] = []
  for (const { processId, segments } of await listProcesses(files, directory)) {
    const newest = segments.at(-1)
    const newestMs = newest === undefined
      ? 0
      : await files.modifiedMs(`${directory}/${segmentName(processId, newest)}`).catch(() => 0)
    logs.push({ processId, replayed: await readReplayed(files, directory, processId), segments, newestMs })
  }
  return logs
}

interface Sized { segment: number, bytes: number }

/** What retention removes meanwhile is as if it had not been there. */
async function withSizes ({ files, directory, processId }: LogPlace, segments: readonly number[]): Promise<Sized[]> {
  const sized = await Promise.all(segments.map(async (segment) => {
    const bytes = await files.size(`${directory}/${segmentName(processId, segment)}`).catch(() => null)
    return bytes === null ? [] : [{ segment, bytes }]
  }))
  return sized.flat()
}

function total (sized: readonly Sized[]): number {
  return sized.reduce((sum, { bytes }) => sum + bytes, 0)
}

async function readLog ({ place, segments, sealed, settledSeq, effects }: {
  place: LogPlace,
  segments: readonly number[],
  sealed: Sealed,
  settledSeq: number,
  effects: EffectSet
}): Promise<void> {
  let { lines: left } = await countProven(place, segments, { start: NOWHERE, sealed })
  for await (const { lines } of linkedLines(place, segments, { ...NOWHERE })) {
    for (const event of lines.slice(0, left).map(eventOf)) {
      if (event !== null) effects.add(event, event.seq > settledSeq)
    }
    left -= lines.length
    if (left <= 0) return
  }
}
