import type { Json } from '../std/json.ts'
import type { CollectionDefinition, Storage } from '../storage/port.ts'
import { CHUNK, dueEffects, EffectSet, openEffects } from './effects.ts'
import type { Pending } from './effects.ts'
import { isErrno } from './files.ts'
import type { FileLayer } from './files.ts'
import { openSealed } from './pseudonyms.ts'
import type { Pseudonyms } from './pseudonyms.ts'
import type { LogSeals } from './recovery.ts'
import { readReplayed } from './replay-mark.ts'
import type { Replayed } from './replay-mark.ts'
import { countedLines, eventOf, listProcesses, readLines, segmentName } from './segments.ts'
import type { SegmentLines } from './segments.ts'

/** The last acknowledged change of one document that the store may not have yet. */
export interface PendingEffect {
  collection: string
  id: string
  op: 'put' | 'delete'
  /** Of a `delete` the fields of the version that ended, or null. */
  doc: { id: string } & { [key: string]: Json } | null
  /** When it was recorded, ms since the epoch. */
  at: number
}

interface PendingEffectsOptions {
  directory: string
  files: FileLayer
  /** Whose changes are wanted. */
  collections: readonly CollectionDefinition[]
  pseudonyms: Pseudonyms | null
  /** Asked for later changes where it answers; null where nobody can be asked. */
  storage: Storage | null
  /** Of a log whose seals do not hold nothing is taken, as in recovery. */
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
  const wanted = effects.pending().filter(({ effect }) => names.has(effect.collection))
  const { opened, unreadable } = openEffects(wanted, (effect) => openSealed(effect, pseudonyms))
  if (unreadable > 0) {
    log.warn({ effects: unreadable }, 'changes that the store may lack were sealed by another AUDIT_PSEUDONYM_KEY')
  }
  if (opened.length > EFFECTS_MAX) {
    log.warn({ effects: opened.length, taken: EFFECTS_MAX }, 'more changes wait for the store than memory takes')
  }
  const newest = opened.slice(-EFFECTS_MAX)
  const due = storage === null ? newest : await withoutOutdated(newest, { storage, collections, effects })
  return due.map(({ effect: { collection, id, op, doc }, at }) => ({ collection, id, op, doc: doc ?? null, at }))
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
        for (const one of await dueEffects({ storage, definition, chunk, effects })) due.add(one)
      }
    }
  } catch {
    return pending
  }
  return pending.filter((one) => due.has(one))
}

/** Of one process: the segments that are still to be read, rising, and the bytes of all. */
interface Log {
  processId: string
  replayed: Replayed
  segments: Array<{ segment: number, bytes: number }>
  newestMs: number
}

async function readLogs (options: PendingEffectsOptions): Promise<EffectSet> {
  const { files, directory, log, examine } = options
  const effects = new EffectSet()
  const logs = await listLogs(files, directory)
  let bytesLeft = BYTES_MAX
  const read = async (found: Log[]): Promise<void> => {
    const some: Log[] = []
    for (const one of found) if ((await examine(one.processId)).problem === null) some.push(one)
    // Newest first: what no longer fits is what recovery brought in long ago.
    for (const one of some.sort((a, b) => b.newestMs - a.newestMs)) {
      const fitting = one.segments.filter((_, index) =>
        one.segments.slice(index).reduce((sum, { bytes }) => sum + bytes, 0) <= bytesLeft
      )
      bytesLeft -= one.segments.reduce((sum, { bytes }) => sum + bytes, 0)
      await readLog({ files, directory, log: { ...one, segments: fitting }, effects })
    }
  }
  await read(logs.filter(({ replayed }) => !replayed.done))
  const oldestMs = effects.pending()[0]?.at
  // The store has all of a log that is done, but what it says about a pending change must count without the store too.
  if (oldestMs !== undefined) await read(logs.filter(({ replayed, newestMs }) => replayed.done && newestMs >= oldestMs))
  if (bytesLeft < 0) {
    log.warn({ bytesMax: BYTES_MAX }, 'the audit logs that the store may lack are too large to be read at a start')
  }
  return effects
}

async function listLogs (files: FileLayer, directory: string): Promise<Log[]> {
  const logs: Log[] = []
  for (const { processId, segments } of await listProcesses(files, directory)) {
    const replayed = await readReplayed(files, directory, processId)
    const pathOf = (segment: number): string => `${directory}/${segmentName(processId, segment)}`
    const wanted = segments.filter((segment) => segment >= replayed.segment)
    // What retention removes meanwhile is as if it had not been there.
    const sized = await Promise.all(wanted.map(async (segment) => ({
      segment,
      bytes: await files.size(pathOf(segment)).catch(() => 0)
    })))
    const newestMs = wanted.length === 0 ? 0 : await files.modifiedMs(pathOf(wanted.at(-1)!)).catch(() => 0)
    logs.push({ processId, replayed, segments: sized, newestMs })
  }
  return logs
}

async function readLog ({ files, directory, log: { processId, segments, replayed }, effects }: {
  files: FileLayer,
  directory: string,
  log: Log,
  effects: EffectSet
}): Promise<void> {
  const settledSeq = replayed.done ? Infinity : replayed.effectsSeq
  const read = async (index: number): Promise<SegmentLines | undefined> => {
    const { segment } = segments[index] ?? {}
    if (segment === undefined) return undefined
    try {
      return readLines(await files.read(`${directory}/${segmentName(processId, segment)}`))
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return NO_LINES
      throw error
    }
  }
  let current = await read(0)
  for (let index = 1; current !== undefined; index++) {
    const next = await read(index)
    for (const event of countedLines(current, next?.lines[0]).map(eventOf)) {
      if (event !== null) effects.add(event, event.seq > settledSeq)
    }
    current = next
  }
}

/** Of a segment that retention removed meanwhile. */
const NO_LINES: SegmentLines = { lines: [], ends: [], tornBytes: 0, problem: null }
