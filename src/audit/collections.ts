import type { CollectionDefinition } from '../storage/port.ts'
import type { AuditEvent } from './shapes.ts'

/** The index of the log: `effectKey` is `<collection>/<id>` of the event's first effect, by which recovery sees what came later. */
export type StoredAuditEvent = AuditEvent & { effectKey?: string }

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

/** The newest checkpoint of each process start; its id is the process id. */
export const auditCheckpoints: CollectionDefinition = { name: 'auditCheckpoints', indexes: [{ name: 'auditCheckpoints_at', fields: [['at', -1]] }] }

export const auditCollections: CollectionDefinition[] = [auditEvents, auditCheckpoints]
