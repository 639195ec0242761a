import type { Collection, CollectionDefinition, Document, Storage } from '../storage/port.ts'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import { CHUNK, dueEffects, storedOf, withoutRevision } from './due-effects.ts'
import type { DueEffect } from './due-effects.ts'
import { effectKey } from './effect-set.ts'
import type { EffectSet } from './effect-set.ts'
import type { FileLayer } from './files.ts'
import { LivingLogs } from './living-logs.ts'
import type { LivingSince } from './living-logs.ts'
import { Portion } from './portion.ts'
import type { Pending, StoreEffect } from './shapes.ts'

/** Looks at one document that changes between look and write: its writers wait for answers, so they are few. */
const LOOKS_MAX = 8

/** How far recovery came, over the calls that it takes a store that is slow or comes and goes. */
export class RecoveryProgress {
  readonly portion = new Portion()
  /** Effects that the store has, as an earlier call found. */
  readonly applied = new Set<string>()
  readonly since: LivingSince = { hasBegun: false, marks: new Map() }
}

interface ApplyOptions {
  directory: string
  files: FileLayer
  storage: Storage
  collections: readonly CollectionDefinition[]
  isLive: (processId: string) => boolean
  effects: EffectSet
  /** Undoes what AUDIT_PSEUDONYM_KEY did to them; throws where another key did it. */
  open: (effect: StoreEffect) => StoreEffect
  progress: RecoveryProgress
}

/** The outcome. `unknown`: collections that are not declared. `unreadable`: effects that another key sealed. */
interface Applied { applied: number, unknown: Set<string>, unreadable: number }

/**
 * Puts and deletes what the store lacks. Living processes change the same documents meanwhile, and theirs is the later
 * word: nothing is written over a document but the one that was looked at, and behind the writes their logs are looked
 * at once more, as one may have deleted what was only then put.
 * @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function applyEffects (options: ApplyOptions): Promise<Applied> {
  const living = new LivingLogs({ ...options, since: options.progress.since })
  const outcome = { applied: 0, unknown: new Set<string>(), unreadable: 0 }
  if (options.effects.pending().length === 0) return outcome
  await applyPending(options, living, outcome)
  if (outcome.applied > 0) await applyPending(options, living, outcome)
  return outcome
}

async function applyPending (options: ApplyOptions, living: LivingLogs, outcome: Applied): Promise<void> {
  const { effects, collections, storage, progress: { portion, applied: before } } = options
  await living.read()
  // What the dead left, and what the living made of it.
  const missing = [...effects.pending(), ...effects.overtaking()].filter((one) => !before.has(progressKey(one)))
  const { opened, unreadable } = openEffects(missing, options.open)
  outcome.unreadable = unreadable
  for (const [name, group] of Map.groupBy(opened, ({ effect }) => effect.collection)) {
    const definition = collections.find((collection) => collection.name === name)
    if (definition === undefined) outcome.unknown.add(name)
    else {
      for (let at = 0; at < group.length;) {
        const chunk = group.slice(at, at + Math.min(CHUNK, portion.size))
        outcome.applied += await portion.through(() => applyChunk({ storage, definition, chunk, effects, living }))
        for (const one of chunk) before.add(progressKey(one))
        at += chunk.length
      }
    }
  }
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
    // The logs are read behind the documents: what a living process made of one of them by then is logged.
    const stored = await storedOf(storage, definition, chunk)
    await living.read()
    const left = chunk.filter((one) => effects.isLeft(one))
    const due = await dueEffects({ storage, definition, stored, chunk: left, effects })
    const written = await write(collection, due)
    applied += written
    if (written === due.length) return applied
  }
  throw new NEKO_ERR_STORE_UNAVAILABLE({ cause: new Error(`documents of ${definition.name} change all the time`) })
}

/** How many of them met the store as it was looked at. */
async function write (collection: Collection<Document>, due: readonly DueEffect[]): Promise<number> {
  const inserts = due.filter(({ revision }) => revision === null).map(({ pending }) => asDocument(pending.effect))
  const inserted = inserts.length === 0 ? 0 : await collection.insertMany(inserts)
  const changed = await Promise.all(due.map(async ({ pending: { effect }, revision }) => {
    if (revision === null) return 0
    if (effect.op === 'delete') return await collection.deleteWhere({ id: effect.id, revision }, 1)
    return await collection.replace(asDocument(effect), revision) === null ? 0 : 1
  }))
  return changed.reduce((sum, one) => sum + one, inserted)
}

function asDocument ({ doc }: StoreEffect): Document {
  return withoutRevision(doc as Document)
}
