import type { Collection, CollectionDefinition, Document, Storage } from '../storage/port.ts'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import { CHUNK, dueEffects, storedOf, withoutRevision } from './due-effects.ts'
import type { DueEffect } from './due-effects.ts'
import { effectKey } from './effect-set.ts'
import type { EffectSet } from './effect-set.ts'
import type { FileLayer } from './files.ts'
import { LivingLogs } from './living-logs.ts'
import { Portion } from './portion.ts'
import type { Pending, StoreEffect } from './shapes.ts'

/** Looks at documents that change between look and write: their writers wait for answers, so they are few. */
const LOOKS_MAX = 8
/** Writes under way at once: requests of the same process wait for the same connections. */
const IN_FLIGHT = 4

/** How far recovery came, over the calls that it takes a store that is slow or comes and goes. */
export class RecoveryProgress {
  readonly portion = new Portion()
  /** Effects of the dead that the store needs no more, as an earlier look found. */
  readonly settled = new Set<string>()
}

interface ApplyOptions {
  directory: string
  files: FileLayer
  storage: Storage
  collections: readonly CollectionDefinition[]
  /** Logs whose changes are in `effects`; all others are of the living. */
  ended: ReadonlySet<string>
  effects: EffectSet
  /** Undoes what AUDIT_PSEUDONYM_KEY did to them; throws where another key did it. */
  open: (effect: StoreEffect) => StoreEffect
  progress: RecoveryProgress
}

/** The outcome. `unknown`: collections that are not declared. `unreadable`: effects that another key sealed. */
interface Applied { applied: number, unknown: Set<string>, unreadable: number }

/**
 * Puts and deletes what the store lacks. Living processes change the same documents meanwhile, and theirs is the later
 * word: nothing is written over a document but the one that was looked at, and behind writes their logs are looked at
 * once more, as one may have deleted what was only then put.
 * @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function applyEffects (options: ApplyOptions): Promise<Applied> {
  const outcome = { applied: 0, unknown: new Set<string>(), unreadable: 0 }
  if (options.effects.pending().length === 0) return outcome
  const living = new LivingLogs(options)
  for (let passes = 0; passes < LOOKS_MAX; passes++) {
    const written = await applyLeft(options, living, outcome)
    if (written === 0) return outcome
    outcome.applied += written
  }
  throw changesAllTheTime('documents')
}

/** One pass over what the dead left, and what the living made of it. Documents written or deleted. */
async function applyLeft (options: ApplyOptions, living: LivingLogs, outcome: Applied): Promise<number> {
  const { effects, collections, progress: { settled } } = options
  await living.read()
  const left = [...effects.pending(), ...effects.overtaking()].filter((one) => !settled.has(progressKey(one)))
  const { opened, unreadable } = openEffects(left, options.open)
  outcome.unreadable = unreadable
  let written = 0
  for (const [name, group] of Map.groupBy(opened, ({ effect }) => effect.collection)) {
    const definition = collections.find((collection) => collection.name === name)
    if (definition === undefined) outcome.unknown.add(name)
    else written += await applyGroup(options, { definition, group, living })
  }
  return written
}

/** Effects of one collection, chunk by chunk. */
async function applyGroup (
  { storage, effects, progress: { portion, settled } }: ApplyOptions,
  { definition, group, living }: { definition: CollectionDefinition, group: Pending[], living: LivingLogs }
): Promise<number> {
  let written = 0
  for (let at = 0; at < group.length;) {
    const chunk = group.slice(at, at + Math.min(CHUNK, portion.size))
    written += await portion.through(() => applyChunk({ storage, definition, chunk, effects, living }))
    // What the living changed is theirs to settle: they may die before, or take it back.
    for (const one of chunk) if (!one.isSettled && effects.isLeft(one)) settled.add(progressKey(one))
    at += chunk.length
  }
  return written
}

function progressKey ({ effect, eventId }: Pending): string {
  return `${eventId} ${effectKey(effect)}`
}

/** The effects in clear text, and how many cannot be opened. */
export function openEffects (
  pending: readonly Pending[],
  open: (effect: StoreEffect) => StoreEffect
): { opened: Pending[], unreadable: number } {
  const opened = pending.flatMap((one) => {
    try {
      return [{ ...one, effect: open(one.effect), ...one.over === undefined ? {} : { over: open(one.over) } }]
    } catch {
      return []
    }
  })
  return { opened, unreadable: pending.length - opened.length }
}

interface ApplyChunk {
  storage: Storage
  definition: CollectionDefinition
  chunk: Pending[]
  effects: EffectSet
  living: LivingLogs
}

/** Documents written or deleted. */
async function applyChunk ({ storage, definition, chunk, effects, living }: ApplyChunk): Promise<number> {
  const collection = storage.collection<Document>(definition)
  let applied = 0
  for (let looks = 0; looks < LOOKS_MAX; looks++) {
    // The logs are read behind the documents: what somebody made of one of them is logged by then.
    const stored = await storedOf(storage, definition, chunk)
    await living.read()
    const left = chunk.filter((one) => effects.isLeft(one))
    const due = await dueEffects({ storage, definition, stored, chunk: left, effects })
    const written = await write(collection, due)
    applied += written
    if (written === due.length) return applied
  }
  throw changesAllTheTime(`documents of ${definition.name}`)
}

/** How many of them met the store as it was looked at. */
async function write (collection: Collection<Document>, due: readonly DueEffect[]): Promise<number> {
  const inserts = due.filter(({ revision }) => revision === null).map(({ pending }) => asDocument(pending.effect))
  const inserted = inserts.length === 0 ? 0 : await collection.insertMany(inserts)
  const found = due.filter(({ revision }) => revision !== null)
  let written = inserted
  for (let at = 0; at < found.length; at += IN_FLIGHT) {
    const some = await Promise.allSettled(found.slice(at, at + IN_FLIGHT).map((one) => change(collection, one)))
    for (const one of some) {
      // Only now, when none of them is under way.
      if (one.status === 'rejected') throw one.reason
      written += one.value
    }
  }
  return written
}

/** 1 when the document still was the one that was looked at. */
async function change (collection: Collection<Document>, { pending, revision }: DueEffect): Promise<number> {
  const { effect } = pending
  if (effect.op === 'delete') return await collection.deleteWhere({ id: effect.id, revision }, 1)
  return await collection.replace(asDocument(effect), revision!) === null ? 0 : 1
}

function changesAllTheTime (what: string): Error {
  return new NEKO_ERR_STORE_UNAVAILABLE({ cause: new Error(`${what} change all the time`) })
}

function asDocument ({ doc }: StoreEffect): Document {
  return withoutRevision(doc as Document)
}
