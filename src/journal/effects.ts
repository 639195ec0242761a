import { isDeepStrictEqual } from 'node:util'
import type { Collection, CollectionDefinition, Document, Page, Storage, Where } from '../storage/port.ts'
import { auditEvents, endsThrough } from './collections.ts'
import type { StoredAuditEvent } from './collections.ts'
import type { FileLayer } from './files.ts'
import type { Portion } from './portion.ts'
import { readReplayed } from './replay-mark.ts'
import { listProcesses, readEvents } from './segments.ts'
import type { EffectVersion, Pending, StoreEffect, WrittenEvent } from './shapes.ts'
import { lastsLonger, leftBy } from './versions.ts'

/** Keys looked up, and documents written, in one command of the store. */
export const CHUNK = 200
/** Later changes read at a time. */
const LATER_MAX = 1_000

/**
 * Changes of one document that are kept behind the newest one: those count when the newer ones turn out to be
 * withdrawn, as those of callers who try again while the disk is slow. They are told as withdrawn only when it answers,
 * after some seconds: more than a minute's tries of one caller may stand before that.
 */
const EARLIER_MAX = 128

/**
 * The last effect on each document, over all logs that are read: since a put replaces the whole document, only the last
 * counts (of documents with versions the one that stands), and order between documents does not. Bounded by what was
 * changed since the logs' markers (minutes).
 */
export class EffectSet {
  /** By document, the last one at the end. */
  readonly #changes = new Map<string, Pending[]>()
  readonly #withdrawn = new Set<string>()

  /** `wanted` false: settled, and read for what it says about others. */
  add (event: WrittenEvent, wanted: boolean): void {
    const withdrawn = withdrawnBy(event)
    if (withdrawn !== null) this.#withdrawn.add(withdrawn)
    if (event.effects === undefined || event.outcome !== 'ok') return
    const { at, processId, seq, id: eventId } = event
    for (const effect of event.effects) {
      const key = effectKey(effect)
      const changes = this.#changes.get(key) ?? []
      const before = changes.findLastIndex((change) => isLater(event, change))
      changes.splice(before + 1, 0, { effect, isSettled: !wanted, at, processId, seq, eventId })
      // Those that are known as withdrawn go first: an acknowledged one may stand before any number of them.
      this.#changes.set(key, changes.length <= EARLIER_MAX
        ? changes
        : changes.filter((change) => !this.#withdrawn.has(change.eventId)).slice(-EARLIER_MAX))
    }
  }

  /** The caller was told that this change did not happen. */
  isWithdrawn (eventId: string): boolean {
    return this.#withdrawn.has(eventId)
  }

  /** What is to be made up for, oldest first; of a document with versions its removal, and the put behind it. */
  pending (): Pending[] {
    const left = [...this.#changes.values()].map((changes) => this.#leftOf(changes)).filter(({ length }) => length > 0)
    return left.sort((a, b) => a.at(-1)!.at - b.at(-1)!.at).flat()
  }

  /** Up to when the logs say that versions of this effect's document ended. */
  endedAt (effect: StoreEffect): number {
    const changes = this.#standing(this.#changes.get(effectKey(effect)) ?? [])
    return Math.max(-Infinity, ...changes.map((change) => endsThrough(change.effect) ?? -Infinity))
  }

  #standing (changes: readonly Pending[]): Pending[] {
    return changes.filter(({ eventId }) => !this.#withdrawn.has(eventId))
  }

  #leftOf (changes: readonly Pending[]): Pending[] {
    const standing = this.#standing(changes)
    const last = standing.at(-1)
    if (last === undefined) return []
    if (standing.every(({ effect }) => effect.version !== undefined)) return leftBy(standing)
    return last.isSettled ? [] : [last]
  }
}

/** The event whose caller was told that it did not happen: the disk was too slow, or the store refused the change. */
function withdrawnBy ({ type, target, outcome, details }: WrittenEvent): string | null {
  if (type === 'audit.withdrawn') return target ?? null
  const takenBack = outcome === 'failed' ? details?.takesBack : undefined
  return typeof takenBack === 'string' ? takenBack : null
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
  collections: readonly CollectionDefinition[]
  isLive: (processId: string) => boolean
  effects: EffectSet
  /** Undoes what AUDIT_PSEUDONYM_KEY did to them; throws where another key did it. */
  open: (effect: StoreEffect) => StoreEffect
  /** `applied`: the store has these already, as the last call found. */
  progress: { portion: Portion, applied: Set<string> }
}

/** The outcome. `unknown`: collections that are not declared. `unreadable`: effects that another key sealed. */
interface Applied { applied: number, unknown: Set<string>, unreadable: number }

/** Puts and deletes what the store lacks. @throws NEKO_ERR_STORE_UNAVAILABLE */
export async function applyEffects (options: ApplyOptions): Promise<Applied> {
  const { effects, collections, storage } = options
  const unknown = new Set<string>()
  if (effects.pending().length === 0) return { applied: 0, unknown, unreadable: 0 }
  await yieldToTheLiving(options)
  const { portion, applied: before } = options.progress
  const missing = effects.pending().filter((one) => !before.has(progressKey(one)))
  const { opened, unreadable } = openEffects(missing, options.open)
  let applied = 0
  for (const [name, group] of Map.groupBy(opened, ({ effect }) => effect.collection)) {
    const definition = collections.find((collection) => collection.name === name)
    if (definition === undefined) unknown.add(name)
    else {
      for (let at = 0; at < group.length;) {
        const chunk = group.slice(at, at + Math.min(CHUNK, portion.size))
        applied += await portion.through(() => applyChunk(storage, definition, chunk, effects))
        for (const one of chunk) before.add(progressKey(one))
        at += chunk.length
      }
    }
  }
  return { applied, unknown, unreadable }
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
      return [{ ...one, effect: open(one.effect) }]
    } catch {
      return []
    }
  })
  return { opened, unreadable: pending.length - opened.length }
}

/** Changes that living processes of this host logged and the store may not have yet. */
async function yieldToTheLiving ({ directory, files, isLive, effects }: ApplyOptions): Promise<void> {
  for (const { processId } of await listProcesses(files, directory)) {
    if (!isLive(processId)) continue
    const { seq: afterSeq, segment: fromSegment } = await readReplayed(files, directory, processId)
    const wanted = { files, directory, processId, afterSeq, untilSeq: Infinity, fromSegment }
    for await (const chunk of readEvents(wanted)) {
      for (const event of chunk) effects.add(event, false)
    }
  }
}

async function applyChunk (
  storage: Storage,
  definition: CollectionDefinition,
  chunk: Pending[],
  effects: EffectSet
): Promise<number> {
  const collection = storage.collection<Document>(definition)
  const due = await dueEffects({ storage, definition, chunk, effects })
  const puts = due.filter(({ effect }) => effect.op === 'put' && effect.doc !== undefined).map(({ effect }) =>
    withoutRevision(effect.doc as Document)
  )
  if (puts.length > 0) await collection.putMany(puts)
  const deletes = due.filter(({ effect }) => effect.op === 'delete').map(({ effect }) => effect.id)
  if (deletes.length > 0) await collection.deleteWhere({ id: { in: deletes } }, deletes.length)
  return due.length
}

/**
 * The effects that change something: where neither the index knows a later change of the document nor the document
 * itself says that it is newer. At most 200 of one collection. @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function dueEffects ({ storage, definition, chunk, effects }: DueOptions): Promise<Pending[]> {
  const collection = storage.collection<Document & { updatedAt?: number }>(definition)
  const stored = new Map((await collection.getMany(chunk.map(({ effect }) => effect.id))).map((doc) => [doc.id, doc]))
  const fields = definition.versionFields
  const versions = chunk.filter(({ effect }) => fields !== undefined && effect.version !== undefined)
  const others = chunk.filter((one) => !versions.includes(one))
  const due = new Set(fields === undefined || versions.length === 0
    ? []
    : await dueVersions({ storage, chunk: versions, effects, stored, fields }))
  const outdated = others.length === 0 ? new Set() : await outdatedIn(storage, others, effects)
  return chunk.filter((pending) => {
    const { effect, at } = pending
    if (effect.version !== undefined && fields !== undefined) return due.has(pending)
    if (outdated.has(pending)) return false
    const known = stored.get(effect.id)
    if (effect.op === 'delete') return known !== undefined && isVersion(known, effect.doc)
    // Not written once more: somebody may remove it meanwhile, and it would be back.
    if (known !== undefined && isDeepStrictEqual(withoutRevision(known), effect.doc)) return false
    const meant = typeof effect.doc?.updatedAt === 'number' ? effect.doc.updatedAt : at
    return typeof known?.updatedAt !== 'number' || known.updatedAt < meant
  })
}

interface DueOptions {
  storage: Storage
  definition: CollectionDefinition
  chunk: Pending[]
  effects: EffectSet
}

interface DueVersions extends Omit<DueOptions, 'definition'> {
  stored: ReadonlyMap<string, Document>
  fields: NonNullable<CollectionDefinition['versionFields']>
}

/** By the versions alone: no time of an event counts. */
async function dueVersions ({ storage, chunk, effects, stored, fields }: DueVersions): Promise<Pending[]> {
  const keys = chunk.map(({ effect }) => effectKey(effect))
  const ended = await endedInIndex(storage, keys, (id) => effects.isWithdrawn(id))
  const versionOf = (id: string): EffectVersion | null => {
    const known: { [field: string]: unknown } | undefined = stored.get(id) as never
    if (known === undefined) return null
    return { madeAt: Number(known[fields.madeAt]), endsAt: (known[fields.endsAt] ?? null) as number | null }
  }
  const puts = new Map(chunk.filter(({ effect }) => effect.op === 'put').map((one) => [one.effect.id, one]))
  const isPutDue = ({ effect }: Pending): boolean => {
    const endedAt = Math.max(ended.get(effectKey(effect)) ?? -Infinity, effects.endedAt(effect))
    if (effect.version!.madeAt <= endedAt) return false
    const known = versionOf(effect.id)
    return known === null || known.madeAt <= endedAt || lastsLonger(effect.version!, known)
  }
  return chunk.filter((one) => {
    const { effect } = one
    if (effect.op === 'put') return isPutDue(one)
    const known = versionOf(effect.id)
    if (known === null) return false
    const endsAt = endsThrough(effect)
    if (endsAt === null) return isVersion(stored.get(effect.id)!, effect.doc)
    const put = puts.get(effect.id)
    return known.madeAt <= endsAt && !(put !== undefined && isPutDue(put))
  })
}

/** A delete that names fields of the version that ended leaves any other alone. */
function isVersion (known: Document, named: StoreEffect['doc']): boolean {
  const fields: { [field: string]: unknown } = { ...known }
  return Object.entries(named ?? {}).every(([field, value]) => fields[field] === value)
}

/** Those of whose document the index holds a later event. One that was withdrawn is no change. */
async function outdatedIn (
  storage: Storage,
  chunk: readonly Pending[],
  effects: EffectSet
): Promise<Set<Pending>> {
  const events = storage.collection<StoredAuditEvent>(auditEvents)
  const oldest = chunk.reduce((least, pending) => Math.min(least, pending.at), Infinity)
  const asked = new Map(chunk.map((pending) => [effectKey(pending.effect), pending]))
  const outdated = new Set<Pending>()
  // A document that changed a thousand times fills a page: what is known is asked for no more, so each page ends some.
  for (let after: string | null = null; asked.size > 0;) {
    const page: Page<StoredAuditEvent> = await events.find({
      where: { effectKey: { in: [...asked.keys()] }, outcome: 'ok', at: { gt: oldest } },
      sort: [['at', -1]],
      first: LATER_MAX,
      after
    })
    const later = page.items.filter((event) =>
      !effects.isWithdrawn(event.id) && isAfter(event, asked.get(event.effectKey!))
    )
    const withdrawn = await withdrawnIn(events, later)
    for (const event of later) {
      const pending = asked.get(event.effectKey!)
      if (pending === undefined || withdrawn.has(event.id)) continue
      outdated.add(pending)
      asked.delete(event.effectKey!)
    }
    after = page.hasNextPage ? page.cursors.at(-1) ?? null : null
    if (after === null) break
  }
  return outdated
}

/** Within one log its own numbers count, whatever the clock did; between logs only the time is there. */
function isAfter (event: StoredAuditEvent, pending: Pending | undefined): boolean {
  if (pending === undefined) return false
  return event.processId === pending.processId ? event.seq > pending.seq : event.at > pending.at
}

/**
 * Up to when the index says that versions of these documents ended, by `<collection>/<id>`; of several times the last.
 * At most 200. @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function endedInIndex (
  storage: Storage,
  keys: readonly string[],
  isWithdrawn: (eventId: string) => boolean = () => false
): Promise<Map<string, number>> {
  const events = storage.collection<StoredAuditEvent>(auditEvents)
  const where = { effectKey: { in: [...new Set(keys)] }, effectEnds: { gte: 0 }, outcome: 'ok' }
  const { items } = await events.find({ where, sort: [['at', -1]], first: LATER_MAX })
  const withdrawn = await withdrawnIn(events, items)
  const ended = new Map<string, number>()
  for (const { id, effectKey, effectEnds } of items) {
    if (withdrawn.has(id) || isWithdrawn(id)) continue
    ended.set(effectKey!, Math.max(effectEnds!, ended.get(effectKey!) ?? 0))
  }
  return ended
}

/** Which of these the index knows as withdrawn: by logs that are read no more, as the store has all of them. */
async function withdrawnIn (
  events: Collection<StoredAuditEvent>,
  known: readonly StoredAuditEvent[]
): Promise<Set<string>> {
  const withdrawn = new Set<string>()
  for (let at = 0; at < known.length; at += CHUNK) {
    const chunk = known.slice(at, at + CHUNK)
    const ids = chunk.map(({ id }) => id)
    const types = [...new Set(chunk.map(({ type }) => type))]
    const since = { gte: chunk.reduce((least, event) => Math.min(least, event.at), Infinity) }
    const told: Where[] = [
      { type: 'audit.withdrawn', target: { in: ids }, at: since },
      // An event that takes one back is of its type.
      { type: { in: types }, outcome: 'failed', 'details.takesBack': { in: ids }, at: since }
    ]
    for (const where of told) {
      const { items } = await events.find({ where, sort: [['at', -1]], first: LATER_MAX })
      for (const event of items) withdrawn.add(withdrawnBy(event)!)
    }
  }
  return withdrawn
}

/** The adapter keeps the revision; one that a room copied along would be stored as a field. */
function withoutRevision (doc: Document): Document {
  const { revision, ...plain } = doc as Document & { revision?: unknown }
  return plain
}
