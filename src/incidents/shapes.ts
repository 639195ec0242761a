import type { Evidence } from '../detect/shapes.ts'
import type { CollectionDefinition } from '../storage/port.ts'

/** Shapes of incidents: what a person sees (Incident, TimelineEntry), and how it is stored. */
export type IncidentStatus = 'OPEN' | 'ACKNOWLEDGED' | 'RESOLVED'

export interface TimelineEntry { at: number, actor: string, what: string, assessmentId: string | null }

export interface Incident {
  id: string
  status: IncidentStatus
  critical: boolean
  /** Name of the highest that fired. */
  playbook: string
  /** `ip:192.0.2.1`, `key:<id>`, `user:<id>`. */
  attacker: string
  openedAt: number
  updatedAt: number
  /** People who saw to it, and when; null until somebody did. */
  acknowledgedBy: string | null
  acknowledgedAt: number | null
  resolvedBy: string | null
  resolvedAt: number | null
  /** Runs that joined it. */
  count: number
  /** Newest last, at most 200; what people did stays longest. */
  timeline: TimelineEntry[]
  /** Receipts, newest last, at most 200. */
  assessmentIds: string[]
  /** Redacted evidence, at most 50. */
  evidence: Evidence[]
  techniques: string[]
}

export interface StoredIncident extends Incident {
  /** The attacker while open, else null: unique. */
  openKey: string | null
  /** When webhooks last spoke of it, and whether as of something critical: the process that wrote this tells. */
  notifiedAt: number | null
  notifiedCritical: boolean
  /** The process whose webhooks spoke of it; absent in what an older version wrote. */
  notifiedBy?: string | null
}

export const incidentCollection: CollectionDefinition = {
  name: 'incidents',
  indexes: [
    { name: 'incidents_status', fields: [['status', 1], ['updatedAt', -1]] },
    { name: 'incidents_updated', fields: [['updatedAt', -1]] },
    { name: 'incidents_attacker', fields: [['attacker', 1], ['status', 1]] },
    // One open incident per attacker, whichever process opens it: the key is null once it is resolved.
    { name: 'incidents_open', fields: [['openKey', 1]], unique: true }
  ]
}

export const incidentCollections: CollectionDefinition[] = [incidentCollection]

/** Acts of playbooks are signed with the playbook's name, acts of people with theirs. */
export function isByPerson ({ actor }: TimelineEntry): boolean {
  return !actor.startsWith('playbook:')
}
