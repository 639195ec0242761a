import type { CollectionDefinition } from '../storage/port.ts'
import type { AuditEvent, StoreEffect, WrittenEvent } from './shapes.ts'

/**
 * An event in the store, which is the log's index: `effectKey` is `<collection>/<id>` of its first effect, by which
 * recovery finds later changes of the same document; `effectEnds` is there where it ends the versions made up to then.
 */
export type StoredAuditEvent = AuditEvent & { effectKey?: string, effectEnds?: number }

export const auditEvents: CollectionDefinition = {
  name: 'auditEvents',
  indexes: [
    { name: 'auditEvents_at', fields: [['at', -1]] },
    { name: 'auditEvents_category_at', fields: [['category', 1], ['at', -1]] },
    { name: 'auditEvents_type_at', fields: [['type', 1], ['at', -1]] },
    { name: 'auditEvents_actor_at', fields: [['actor', 1], ['at', -1]] },
    { name: 'auditEvents_effectKey_at', fields: [['effectKey', 1], ['at', -1]] }
  ]
}

/** The document of an event: without effects, which may hold fields that only their own collection may show. */
export function storedEvent (event: WrittenEvent): StoredAuditEvent {
  const { effects, ...stored } = event
  const first = effects?.[0]
  if (first === undefined) return stored
  const effectKey = `${first.collection}/${first.id}`
  const effectEnds = endsThrough(first)
  return effectEnds === null ? { ...stored, effectKey } : { ...stored, effectKey, effectEnds }
}

/** Up to when an effect ends the versions of its document; null for any other. */
export function endsThrough ({ op, version }: StoreEffect): number | null {
  return op === 'delete' && version !== undefined && version.endsAt === undefined ? version.madeAt : null
}
