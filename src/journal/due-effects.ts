import { isDeepStrictEqual } from 'node:util'
import type { Collection, CollectionDefinition, Document, Page, Storage, Stored, Where } from '../storage/port.ts'
import { auditEvents, endsThrough } from './collections.ts'
import type { StoredAuditEvent } from './collections.ts'
import { effectKey, withdrawnBy } from './effect-set.ts'
import type { EffectSet } from './effect-set.ts'
import type { EffectVersion, Pending, StoreEffect } from './shapes.ts'
import { lastsLonger } from './versions.ts'

/** Keys looked up, and documents written, in one command of the store. */
export const CHUNK = 200
/** Later changes read at a time. */
const LATER_MAX = 1_000

/** Documents by id, as the store has them. */
type StoredDocuments = ReadonlyMap<string, Stored<Document & { updatedAt?: number }>>

/** What the store has in the place of these. At most 200 of one collection. @throws NEKO_ERR_STORE_UNAVAILABLE */
export async function storedOf (
  storage: Storage,
  definition: CollectionDefinition,
  chunk: readonly Pending[]
): Promise<StoredDocuments> {
  const documents = await storage.collection(definition).getMany(chunk.map(({ effect }) => effect.id))
  return new Map(documents.map((doc) => [doc.id, doc]))
}

/**
 * The effects that change something: where neither the index knows a later change of the document nor the document
 * itself says that it is newer. At most 200 of one collection. @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function dueEffects (options: DueOptions): Promise<DueEffect[]> {
  const { definition: { versionFields: fields }, stored, chunk } = options
  const whole = chunk.filter(({ effect }) => effect.op === 'delete' || effect.doc !== undefined)
  const { versions = [], others = [] } = Object.groupBy(whole, ({ effect }) =>
    fields === undefined || effect.version === undefined ? 'others' : 'versions')
  const due = new Set([
    ...fields === undefined || versions.length === 0 ? [] : await dueVersions({ ...options, chunk: versions, fields }),
    ...others.length === 0 ? [] : await dueOthers({ ...options, chunk: others })
  ])
  return chunk.filter((one) => due.has(one)).map((pending) =>
    ({ pending, revision: stored.get(pending.effect.id)?.revision ?? null }))
}

/** `revision`: that of the document which the store has in its place; null where it has none. */
export interface DueEffect { pending: Pending, revision: number | null }

interface DueOptions {
  storage: Storage
  definition: CollectionDefinition
  stored: StoredDocuments
  chunk: Pending[]
  effects: EffectSet
}

/** By the order of the events, and by what the documents say of themselves. */
async function dueOthers ({ storage, chunk, effects, stored }: DueOptions): Promise<Pending[]> {
  const outdated = await outdatedIn(storage, chunk, effects)
  return chunk.filter((pending) => {
    if (outdated.has(pending)) return false
    const { effect, at, over } = pending
    const known = stored.get(effect.id)
    if (over !== undefined && !(known !== undefined && isVersion(known, over.doc))) return false
    if (effect.op === 'delete') return known !== undefined && isVersion(known, effect.doc)
    // Not written once more: somebody may remove it meanwhile, and it would be back.
    if (known !== undefined && isDeepStrictEqual(withoutRevision(known), effect.doc)) return false
    const meant = typeof effect.doc?.updatedAt === 'number' ? effect.doc.updatedAt : at
    return typeof known?.updatedAt !== 'number' || known.updatedAt < meant
  })
}

interface DueVersions extends DueOptions {
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
  return Object.entries(named ?? {}).every(([field, value]) => isDeepStrictEqual(fields[field], value))
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
export function withoutRevision (doc: Document): Document {
  const { revision, ...plain } = doc as Document & { revision?: unknown }
  return plain
}
