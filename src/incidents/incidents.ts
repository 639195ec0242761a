import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND } from '../errors.ts'
import { attempt, type Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Evidence } from '../detect/shapes.ts'
import type { Clock } from '../std/clock.ts'
import { newId } from '../std/id.ts'
import type { Page, Storage, Stored } from '../storage/port.ts'
import {
  incidentCollection,
  isByPerson,
  PLAYBOOK_NAMES,
  type Incident,
  type IncidentStatus,
  type Notice,
  type PlaybookName,
  type TimelineEntry
} from '../playbooks/shapes.ts'

/**
 * Incidents: what a person should see, one open one per attacker, whichever process saw it.
 *
 * Owns: the documents and their bounds. Never does: decide that something is an incident (playbooks do), or act.
 * Runs of one attacker that come in a burst are joined in memory and written once; two processes that open one for the
 * same attacker meet at a unique index, and the slower one joins the faster one's.
 */
export interface Joining {
  attacker: string
  playbook: PlaybookName
  critical: boolean
  entry: TimelineEntry
  assessmentId: string | null
  evidence: Evidence[]
  techniques: string[]
  /** Somebody should be told by webhook, unless this incident was told of already. */
  notice: Notice | null
}

export interface Incidents {
  /**
   * Queued: never throws, never waits. False when the queue is full (the run stands in the audit trail all
   * the same).
   */
  join (joining: Joining): boolean
  get (id: string): Promise<Incident | null>
  list (status: IncidentStatus | null, page: { first: number, after: string | null }): Promise<Page<Incident>>
  count (status: IncidentStatus | null): Promise<number>
  /** By a person. @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_INPUT_INVALID when it is resolved already */
  setStatus (id: string, status: 'ACKNOWLEDGED' | 'RESOLVED', actor: string): Promise<Incident>
  /** Here and in siblings. */
  onChanged (listener: (incident: Incident) => void): () => void
  /** Resolves when nothing waits to be written. */
  settled (): Promise<void>
  close (): Promise<void>
}

interface StoredIncident extends Incident {
  /** The attacker while open, else null: unique. */
  openKey: string | null
  /**
   * When the webhooks last spoke of it, and whether as of something critical: one process tells, whichever
   * wrote this.
   */
  notifiedAt: number | null
  notifiedCritical: boolean
  /** The process whose webhooks spoke of it; absent in what an older version wrote. */
  notifiedBy?: string | null
}

/**
 * As long as a message may gather: what turns critical meanwhile is told by the process that has it, so that
 * one attack is one message.
 */
const GATHERING_MS = 10_000
const HANDOVER_MS = 500
/** Beyond it each process tells what it has. */
const HANDOVERS_MAX = 1_000
const TOLD_AGAIN_MS = 3_600_000
/** Incidents written at the same time, so that group commits are shared. */
const WRITING_MAX = 16
const WAITING_MAX = 10_000
const TIMELINE_MAX = 200
const ASSESSMENTS_MAX = 200
const EVIDENCE_MAX = 50
const TECHNIQUES_MAX = 30
const ATTEMPTS_MAX = 5
const RETRY_MS = 500

const UNSEEN = { acknowledgedBy: null, acknowledgedAt: null, resolvedBy: null, resolvedAt: null }

export interface IncidentParts {
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  log: { error (details: object, message: string): void }
  /** By webhook. */
  notify (notice: Notice): void
}

export function createIncidents ({ storage, audit, fleet, clock, log, notify }: IncidentParts): Incidents {
  const store = storage.collection<StoredIncident>(incidentCollection)
  const waiting = new Map<string, Joining[]>()
  const listeners = new Set<(incident: Incident) => void>()
  const handovers = new Set<Promise<void>>()
  let writing: Promise<void> | null = null
  let retry: NodeJS.Timeout | null = null
  let closed = false

  function tell (incident: Incident): void {
    for (const listener of listeners) listener(incident)
  }

  fleet.subscribe('incidents.changed', (id) => {
    if (listeners.size > 0) {
      store.get(id as string).then((incident) => {
        if (incident !== null) tell(shown(incident))
      }, () => { /* the store is down: the next change tells again */ })
    }
  })

  fleet.answer('incidents.notice', (message) => {
    if (closed) return null
    notify(message as unknown as Notice)
    return true
  })

  function join (joining: Joining): boolean {
    const joinings = waiting.get(joining.attacker)
    if (joinings !== undefined) {
      if (joinings.length >= TIMELINE_MAX) return false
      joinings.push(joining)
    } else {
      if (waiting.size >= WAITING_MAX) return false
      waiting.set(joining.attacker, [joining])
    }
    writing ??= write().finally(() => { writing = null })
    return true
  }

  async function write (): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    while (waiting.size > 0) {
      const batch = [...waiting.entries().take(WRITING_MAX)]
      for (const [attacker] of batch) waiting.delete(attacker)
      const done = await Promise.allSettled(batch.map(([attacker, joinings]) => writeOne(attacker, joinings)))
      const failed = batch.filter((_one, i) => done[i]!.status === 'rejected')
      if (failed.length === 0) continue
      log.error({
        err: (done.find(({ status }) => status === 'rejected') as PromiseRejectedResult).reason,
        incidents: failed.length
      }, 'incidents wait for the store')
      for (const [attacker, joinings] of failed) waitAgain(attacker, joinings)
      if (!closed) {
        retry = setTimeout(() => { writing ??= write().finally(() => { writing = null }) }, RETRY_MS)
        retry.unref()
      }
      return
    }
  }

  /** Webhooks do not wait for the store. */
  function waitAgain (attacker: string, joinings: Joining[]): void {
    const loudest = loudestOf(joinings)
    if (loudest !== null) notify(loudest)
    for (const joining of joinings) joining.notice = null
    waiting.set(attacker, bounded([...joinings, ...waiting.get(attacker) ?? []], TIMELINE_MAX))
  }

  /** Opens or joins; a sibling that was faster makes this one try again with what it wrote. */
  async function writeOne (attacker: string, joinings: Joining[]): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const found = await store.findOne({ openKey: attacker })
      const incident = joinings.reduce<StoredIncident>(
        (one, joining) => joined(one, joining),
        found ?? opened(attacker, joinings[0] as Joining)
      )
      const notice = noticeFor(found, joinings)
      if (notice !== null) {
        Object.assign(incident, {
          notifiedAt: clock.now(),
          notifiedCritical: notice.kind === 'escalate',
          notifiedBy: fleet.processId
        })
      }
      const written = found === null
        ? await inserted(incident)
        : await store.replace(withoutRevision(incident), found.revision)
      if (written === null) continue
      if (notice !== null) tellByWebhook({ ...notice, incident: written.id }, found)
      tell(shown(written))
      fleet.publish('incidents.changed', written.id)
      return
    }
    throw new Error('an incident changed under every attempt')
  }

  /** Once per incident, again when it turns critical, and again after an hour. */
  function noticeFor (found: StoredIncident | null, joinings: Joining[]): Notice | null {
    const notice = loudestOf(joinings)
    if (notice === null || found === null || found.notifiedAt === null) return notice
    if (clock.now() - found.notifiedAt >= TOLD_AGAIN_MS) return notice
    return notice.kind === 'escalate' && !found.notifiedCritical ? notice : null
  }

  /**
   * A sibling whose message about this incident may still be gathering takes it in; one that does not say so
   * in time is not relied on.
   */
  function tellByWebhook (notice: Notice, before: StoredIncident | null): void {
    const by = before?.notifiedBy ?? fleet.processId
    if (
      by === fleet.processId || clock.now() - (before?.notifiedAt ?? 0) >= GATHERING_MS ||
      handovers.size >= HANDOVERS_MAX
    ) return notify(notice)
    const handover: Promise<void> = fleet.ask('incidents.notice', { ...notice }, {
      timeoutMs: HANDOVER_MS,
      processId: by
    }).then((answers) => {
      handovers.delete(handover)
      if (answers[0] !== true) notify(notice)
    })
    handovers.add(handover)
  }

  async function inserted (incident: StoredIncident): Promise<Stored<StoredIncident> | null> {
    try {
      return await store.insert(incident)
    } catch (error) {
      if ((error as { code?: string }).code === 'NEKO_ERR_STORE_DUPLICATE') return null
      throw error
    }
  }

  function opened (attacker: string, first: Joining): StoredIncident {
    const now = clock.now()
    return {
      id: newId('in', now),
      status: 'OPEN',
      critical: false,
      playbook: first.playbook,
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

  async function setStatus (id: string, status: 'ACKNOWLEDGED' | 'RESOLVED', actor: string): Promise<Incident> {
    const found = await changeable(id, status)
    return await attempt(audit, {
      category: 'security',
      type: `incident.${status.toLowerCase()}`,
      actor,
      target: id
    }, () => writeStatus(found, status, actor))
  }

  async function changeable (id: string, status: IncidentStatus): Promise<Stored<StoredIncident>> {
    const found = await store.get(id)
    if (found === null) throw new NEKO_ERR_NOT_FOUND('There is no such incident')
    if (found.status === 'RESOLVED' || found.status === status) {
      throw new NEKO_ERR_INPUT_INVALID(`The incident is ${found.status.toLowerCase()} already`)
    }
    return found
  }

  async function writeStatus (
    first: Stored<StoredIncident>,
    status: 'ACKNOWLEDGED' | 'RESOLVED',
    actor: string
  ): Promise<Incident> {
    for (
      let found = first, attempts = 0;
      attempts < ATTEMPTS_MAX;
      attempts++, found = await changeable(first.id, status)
    ) {
      const now = clock.now()
      const isResolved = status === 'RESOLVED'
      const next: StoredIncident = {
        ...found,
        status,
        updatedAt: now,
        ...(isResolved
          ? { openKey: null, resolvedBy: actor, resolvedAt: now }
          : { acknowledgedBy: actor, acknowledgedAt: now }),
        timeline: boundedTimeline([...found.timeline, {
          at: now,
          actor,
          what: isResolved ? 'resolved' : 'acknowledged',
          assessmentId: null
        }])
      }
      const written = await store.replace(withoutRevision(next), found.revision)
      if (written === null) continue
      tell(shown(written))
      fleet.publish('incidents.changed', first.id)
      return shown(written)
    }
    throw new NEKO_ERR_INPUT_INVALID('The incident changes too fast: try again')
  }

  const whereOf = (status: IncidentStatus | null): Record<string, string> => status === null ? {} : { status }

  return {
    join,
    async get (id) {
      const found = await store.get(id)
      return found === null ? null : shown(found)
    },
    async list (status, { first, after }) {
      const page = await store.find({ where: whereOf(status), sort: [['updatedAt', -1]], first, after })
      return { ...page, items: page.items.map(shown) }
    },
    count: async (status) => await store.count(whereOf(status)),
    setStatus,
    onChanged (listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async settled () {
      while (waiting.size > 0 || writing !== null) await (writing ?? write())
      await Promise.all(handovers)
    },
    async close () {
      closed = true
      if (retry !== null) clearTimeout(retry)
      await (writing ?? write())
      await Promise.all(handovers)
    }
  }
}

/** The incident with one more run: its playbook is the highest that fired, and every list keeps its newest. */
function joined (
  incident: StoredIncident,
  { playbook, critical, entry, assessmentId, evidence, techniques }: Joining
): StoredIncident {
  const higher = PLAYBOOK_NAMES.indexOf(playbook) < PLAYBOOK_NAMES.indexOf(incident.playbook)
  const known = new Set(incident.evidence.map((one) => `${one.rule}|${one.place}`))
  return {
    ...incident,
    critical: incident.critical || critical,
    playbook: higher ? playbook : incident.playbook,
    updatedAt: Math.max(incident.updatedAt, entry.at),
    count: incident.count + 1,
    timeline: boundedTimeline([...incident.timeline, entry]),
    assessmentIds: assessmentId === null || incident.assessmentIds.at(-1) === assessmentId
      ? incident.assessmentIds
      : bounded([...incident.assessmentIds, assessmentId], ASSESSMENTS_MAX),
    evidence: bounded([
      ...incident.evidence,
      ...evidence.filter((one) => !known.has(`${one.rule}|${one.place}`))
    ], EVIDENCE_MAX),
    techniques: [...new Set([...incident.techniques, ...techniques])].slice(0, TECHNIQUES_MAX)
  }
}

/** Within its bound: the oldest runs go first, so that a flood of them does not wash away what people did. */
function boundedTimeline (timeline: TimelineEntry[]): TimelineEntry[] {
  if (timeline.length <= TIMELINE_MAX) return timeline
  const oldestRun = timeline.findIndex((entry) => !isByPerson(entry))
  return timeline.toSpliced(Math.max(0, oldestRun), 1)
}

function bounded<T> (list: T[], max: number): T[] {
  return list.length > max ? list.slice(list.length - max) : list
}

function withoutRevision (incident: StoredIncident): StoredIncident {
  const { revision: _revision, ...document } = incident as Stored<StoredIncident>
  return document
}

function shown (incident: StoredIncident): Incident {
  const {
    openKey: _openKey,
    notifiedAt: _notifiedAt,
    notifiedCritical: _notifiedCritical,
    notifiedBy: _notifiedBy,
    ...rest
  } = withoutRevision(incident)
  // One that an older version wrote has no names.
  return { ...UNSEEN, ...rest }
}

function loudestOf (joinings: Joining[]): Notice | null {
  return joinings.find(({ notice }) => notice?.kind === 'escalate')?.notice ??
    joinings.find(({ notice }) => notice !== null)?.notice ?? null
}
