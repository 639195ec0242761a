import type { CollectionDefinition, Document, Storage } from '../storage/port.ts'
import { auditEvents } from './collections.ts'
import type { StoredAuditEvent } from './collections.ts'
import type { FileLayer } from './files.ts'
import { readReplayed } from './replay-mark.ts'
import { listProcesses, readEvents } from './segments.ts'
import type { StoreEffect, WrittenEvent } from './shapes.ts'

interface Pending {
  effect: StoreEffect
  at: number
  processId: string
  seq: number
  eventId: string
  /** The effect that it replaced: counts when this one turns out to be withdrawn. */
  before: Pending | null
}

/** Keys looked up, and documents written, in one command of the store. */
const CHUNK = 200

/**
 * The last effect on each document, over all logs that are brought in: since a put replaces the whole
 * document, only the last counts, and order between documents does not. Bounded by what was changed since the
 * logs' markers (minutes).
 */
export class EffectSet {
  readonly #last = new Map<string, Pending>()
  readonly #withdrawn = new Set<string>()

  /** `wanted` false: only read for what it says about others. */
  add (event: WrittenEvent, wanted: boolean): void {
    if (event.type === 'audit.withdrawn' && typeof event.target === 'string') this.#withdrawn.add(event.target)
    if (!wanted || event.effects === undefined || event.outcome !== 'ok') return
    for (const effect of event.effects) {
      const key = effectKey(effect)
      const before = this.#last.get(key)
      if (before !== undefined && !isLater(event, before)) continue
      if (before !== undefined) before.before = null
      this.#last.set(key, {
        effect,
        at: event.at,
        processId: event.processId,
        seq: event.seq,
        eventId: event.id,
        before: before ?? null
      })
    }
  }

  /** A later change by a living process, which writes it itself. */
  yieldTo (event: WrittenEvent): void {
    for (const effect of event.effects ?? []) {
      const before = this.#last.get(effectKey(effect))
      if (before !== undefined && event.at > before.at) this.#last.delete(effectKey(effect))
    }
  }

  pending (): Pending[] {
    const standing = [...this.#last.values()].map((last) => this.#withdrawn.has(last.eventId) ? last.before : last)
    return standing.filter((pending) => pending !== null && !this.#withdrawn.has(pending.eventId)).sort((
      a,
      b
    ) => a!.at - b!.at) as Pending[]
  }
}

/** Within one log its own numbers count, whatever the clock did; between logs only the time is there. */
function isLater (event: WrittenEvent, before: Pending): boolean {
  return event.processId === before.processId ? event.seq > before.seq : event.at >= before.at
}

function effectKey (effect: StoreEffect): string {
  return `${effect.collection}/${effect.id}`
}

interface ApplyOptions {
  directory: string
  files: FileLayer
  storage: Storage
  collections: CollectionDefinition[]
  isLive: (processId: string) => boolean
  effects: EffectSet
  /** Undoes what AUDIT_PSEUDONYM_KEY did to them; throws where another key did it. */
  open: (effect: StoreEffect) => StoreEffect
}

/** The outcome. `unknown`: collections that are not declared. `unreadable`: effects that another key sealed. */
interface Applied { applied: number, unknown: Set<string>, unreadable: number }

/** Puts and deletes what the store lacks. @throws NEKO_ERR_STORE_UNAVAILABLE */
export async function applyEffects (options: ApplyOptions): Promise<Applied> {
  const { effects, collections, storage } = options
  const unknown = new Set<string>()
  if (effects.pending().length === 0) return { applied: 0, unknown, unreadable: 0 }
  await yieldToTheLiving(options)
  const byCollection = new Map<string, Pending[]>()
  let unreadable = 0
  for (const pending of effects.pending()) {
    try {
      pending.effect = options.open(pending.effect)
    } catch {
      unreadable++
      continue
    }
    const group = byCollection.get(pending.effect.collection)
    if (group === undefined) byCollection.set(pending.effect.collection, [pending])
    else group.push(pending)
  }
  let applied = 0
  for (const [name, group] of byCollection) {
    const definition = collections.find((collection) => collection.name === name)
    if (definition === undefined) unknown.add(name)
    else {
      for (let at = 0; at < group.length; at += CHUNK) {
        applied += await applyChunk(storage, definition, group.slice(at, at + CHUNK))
      }
    }
  }
  return { applied, unknown, unreadable }
}

/** Changes that living processes of this host logged and the store may not have yet. */
async function yieldToTheLiving ({ directory, files, isLive, effects }: ApplyOptions): Promise<void> {
  for (const { processId } of await listProcesses(files, directory)) {
    if (!isLive(processId)) continue
    const { seq } = await readReplayed(files, directory, processId)
    for await (const chunk of readEvents({ files, directory, processId, afterSeq: seq, untilSeq: Infinity })) {
      for (const event of chunk) effects.yieldTo(event)
    }
  }
}

async function applyChunk (storage: Storage, definition: CollectionDefinition, chunk: Pending[]): Promise<number> {
  const collection = storage.collection<Document & { updatedAt?: number }>(definition)
  const later = await laterChanges(storage, chunk)
  const stored = new Map((await collection.getMany(chunk.map(({ effect }) => effect.id))).map((doc) => [doc.id, doc]))
  const due = chunk.filter(({ effect, at }) => {
    if ((later.get(effectKey(effect)) ?? 0) > at) return false
    const known = stored.get(effect.id)
    if (effect.op === 'delete') return known !== undefined
    const meant = typeof effect.doc?.updatedAt === 'number' ? effect.doc.updatedAt : at
    return typeof known?.updatedAt !== 'number' || known.updatedAt < meant
  })
  const puts = due.filter(({ effect }) => effect.op === 'put' && effect.doc !== undefined).map(({ effect }) =>
    withoutRevision(effect.doc as Document)
  )
  if (puts.length > 0) await collection.putMany(puts)
  for (const { effect } of due) if (effect.op === 'delete') await collection.delete(effect.id)
  return due.length
}

/**
 * The time of the newest event that the index holds for each document, where it is newer than the oldest of
 * the chunk.
 */
async function laterChanges (storage: Storage, chunk: Pending[]): Promise<Map<string, number>> {
  const events = storage.collection<StoredAuditEvent>(auditEvents)
  const oldest = chunk.reduce((least, pending) => Math.min(least, pending.at), Infinity)
  const page = await events.find({
    where: { effectKey: { in: chunk.map(({ effect }) => effectKey(effect)) }, outcome: 'ok', at: { gt: oldest } },
    sort: [['at', -1]],
    first: 1_000
  })
  const newest = new Map<string, number>()
  for (const event of page.items) {
    const key = event.effectKey as string
    if (!newest.has(key)) newest.set(key, event.at)
  }
  return newest
}

/** The adapter keeps the revision; one that a room copied along would be stored as a field. */
function withoutRevision (doc: Document): Document {
  const { revision, ...plain } = doc as Document & { revision?: unknown }
  return plain
}
