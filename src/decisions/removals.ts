import { auditEvents, type StoredAuditEvent } from '../journal/collections.ts'
import type { Storage, Where } from '../storage/port.ts'
import { REMOVED } from './audit-events.ts'
import { decisionCollection } from './shapes.ts'

/**
 * When people removed which of these decisions, as the trail's index in the store tells: the process that removed them
 * may have died before it told anybody; of several removals the last one. At most 200 ids.
 * @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function removedOf (storage: Storage, ids: string[]): Promise<Map<string, number>> {
  const events = storage.collection<StoredAuditEvent>(auditEvents)
  const find = async (where: Where): Promise<StoredAuditEvent[]> => (await events.find({ where, first: 1_000 })).items
  const removals = await find({
    effectKey: { in: ids.map((id) => `${decisionCollection.name}/${id}`) },
    type: REMOVED,
    outcome: 'ok'
  })
  if (removals.length === 0) return new Map()
  const withdrawn = await find({ type: 'audit.withdrawn', target: { in: removals.map(({ id }) => id) } })
  const without = new Set(withdrawn.map(({ target }) => target))
  const standing = removals.filter(({ id }) => !without.has(id))
  const removedAt = new Map<string, number>()
  for (const { effectKey, at, details } of standing) {
    const id = effectKey!.slice(decisionCollection.name.length + 1)
    // The clock of the host that made it may be ahead of the one that removed it.
    const madeAt = typeof details?.createdAt === 'number' ? details.createdAt : 0
    removedAt.set(id, Math.max(at, madeAt, removedAt.get(id) ?? 0))
  }
  return removedAt
}
