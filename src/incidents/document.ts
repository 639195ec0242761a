import type { Stored } from '../storage/port.ts'
import type { Joining } from './joining.ts'
import { isByPerson, type Incident, type StoredIncident, type TimelineEntry } from './shapes.ts'

/** An incident's document through its life, within its bounds (pure): opened, joined by runs, seen to by people. */
const TIMELINE_MAX = 200
const ASSESSMENTS_MAX = 200
const EVIDENCE_MAX = 50
const TECHNIQUES_MAX = 30

const UNSEEN = { acknowledgedBy: null, acknowledgedAt: null, resolvedBy: null, resolvedAt: null }

/** Without any run yet. */
export function openIncident (id: string, { attacker, playbook }: Joining, now: number): StoredIncident {
  return {
    id,
    status: 'OPEN',
    critical: false,
    playbook,
    attacker,
    openKey: attacker,
    openedAt: now,
    updatedAt: now,
    ...UNSEEN,
    count: 0,
    timeline: [],
    assessmentIds: [],
    evidence: [],
    techniques: [],
    notifiedAt: null,
    notifiedCritical: false,
    notifiedBy: null
  }
}

/** With one more run: its playbook is the highest that fired, and every list keeps its newest. */
export function withRun (
  incident: StoredIncident,
  { playbook, outranks, critical, entry, assessmentId, evidence, techniques }: Joining
): StoredIncident {
  const known = new Set(incident.evidence.map(placeOf))
  return {
    ...incident,
    critical: incident.critical || critical,
    playbook: outranks(incident.playbook) ? playbook : incident.playbook,
    updatedAt: Math.max(incident.updatedAt, entry.at),
    count: incident.count + 1,
    timeline: boundedTimeline([...incident.timeline, entry]),
    assessmentIds: assessmentId === null || incident.assessmentIds.at(-1) === assessmentId
      ? incident.assessmentIds
      : [...incident.assessmentIds, assessmentId].slice(-ASSESSMENTS_MAX),
    evidence: [...incident.evidence, ...evidence.filter((one) => !known.has(placeOf(one)))].slice(-EVIDENCE_MAX),
    techniques: [...new Set([...incident.techniques, ...techniques])].slice(0, TECHNIQUES_MAX)
  }
}

function placeOf ({ rule, place }: { rule: string, place: string }): string {
  return `${rule}|${place}`
}

/** Acknowledged or resolved by a person; a resolved one makes room for the attacker's next. */
export function withStatus (
  incident: StoredIncident,
  status: 'ACKNOWLEDGED' | 'RESOLVED',
  actor: string,
  now: number
): StoredIncident {
  const isResolved = status === 'RESOLVED'
  const entry = { at: now, actor, what: isResolved ? 'resolved' : 'acknowledged', assessmentId: null }
  return {
    ...incident,
    status,
    updatedAt: now,
    ...(isResolved
      ? { openKey: null, resolvedBy: actor, resolvedAt: now }
      : { acknowledgedBy: actor, acknowledgedAt: now }),
    timeline: boundedTimeline([...incident.timeline, entry])
  }
}

/** Within its bound: the oldest runs go first, so that a flood of them does not wash away what people did. */
function boundedTimeline (timeline: TimelineEntry[]): TimelineEntry[] {
  if (timeline.length <= TIMELINE_MAX) return timeline
  const oldestRun = timeline.findIndex((entry) => !isByPerson(entry))
  return timeline.toSpliced(Math.max(0, oldestRun), 1)
}

export function withoutRevision (incident: StoredIncident | Stored<StoredIncident>): StoredIncident {
  const { revision: _revision, ...document } = incident as Stored<StoredIncident>
  return document
}

/** The incident as people see it. */
export function toIncident (stored: StoredIncident): Incident {
  const {
    openKey: _openKey,
    notifiedAt: _notifiedAt,
    notifiedCritical: _notifiedCritical,
    notifiedBy: _notifiedBy,
    ...rest
  } = withoutRevision(stored)
  // One that an older version wrote has no names.
  return { ...UNSEEN, ...rest }
}
