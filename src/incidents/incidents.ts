import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND } from '../errors.ts'
import { attempt, type Audit } from '../audit/shapes.ts'
import type { Config } from '../config/config.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import { compareAndSet } from '../std/compare-and-set.ts'
import { newId } from '../std/id.ts'
import { createWriteBehind } from '../std/write-behind.ts'
import type { Collection, Page, Storage, Stored } from '../storage/port.ts'
import type { Notice } from '../webhooks/shapes.ts'
import { openIncident, toIncident, withoutRevision, withRun, withStatus } from './document.ts'
import { IncidentFeed } from './feed.ts'
import { WaitingJoinings, type Joining } from './joining.ts'
import { IncidentNotices } from './notices.ts'
import { keepRetention } from './retention.ts'
import { incidentCollection, type Incident, type IncidentStatus, type StoredIncident } from './shapes.ts'

/**
 * Incidents: what a person should see, one open one per attacker, whichever process saw it.
 *
 * Owns: the documents (document.ts: what they say; here: when they are written; feed.ts: who hears of it). Never does:
 * decide that something is an incident (playbooks do), or act. Runs of one attacker that come in a burst are joined in
 * memory (joining.ts) and written once; two processes that open one for the same attacker meet at a unique index, and
 * the slower one joins the faster one's. The one that wrote tells by webhook (notices.ts). Resolved ones go after
 * INCIDENT_RETENTION_DAYS (retention.ts).
 */
export interface Incidents {
  /**
   * Queued: never throws, never waits. False when the queue is full; the run stands in the audit trail all the same.
   */
  join (joining: Joining): boolean
  get (id: string): Promise<Incident | null>
  list (status: IncidentStatus | null, page: { first: number, after: string | null }): Promise<Page<Incident>>
  count (status: IncidentStatus | null): Promise<number>
  /**
   * By a person.
   * @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_INPUT_INVALID when it is resolved already
   */
  setStatus (id: string, status: 'ACKNOWLEDGED' | 'RESOLVED', actor: string): Promise<Incident>
  /** Here and in siblings. */
  onChanged (listener: (incident: Incident) => void): () => void
  /** Resolves when nothing waits to be written. */
  settled (): Promise<void>
  close (): Promise<void>
}

/** Incidents written at the same time, so that group commits are shared. */
const WRITING_MAX = 16
const ATTEMPTS_MAX = 5
const RETRY_MS = 500

interface IncidentParts {
  config: Pick<Config, 'incidentRetentionDays'>
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  log: { warn (details: object, message: string): void, error (details: object, message: string): void }
  /** By webhook. */
  notify (notice: Notice): void
}

export function createIncidents (parts: IncidentParts): Incidents {
  const { storage, audit, fleet, clock, log, notify } = parts
  const store = storage.collection<StoredIncident>(incidentCollection)
  const notices = new IncidentNotices({ fleet, clock, notify })
  const feed = new IncidentFeed(fleet, store)
  const stopRetention = keepRetention({ storage, store, fleet, clock, log, days: parts.config.incidentRetentionDays })
  const waiting = new WaitingJoinings()
  const writeBehind = createWriteBehind({
    clock,
    waits: () => waiting.size > 0,
    write: writeSome,
    onError: (err) => log.error({ err, incidents: waiting.size }, 'incidents wait for the store'),
    retryMs: RETRY_MS
  })

  /** The incidents of some attackers, each apart: one that cannot be written keeps no other back. */
  async function writeSome (): Promise<void> {
    const batch = waiting.take(WRITING_MAX)
    const failures = await Promise.all(batch.map(async ([attacker, joinings]) => {
      try {
        await writeRuns(attacker, joinings)
        return null
      } catch (error) {
        notices.tellWithoutIncident(joinings)
        waiting.putBack(attacker, joinings)
        return { error }
      }
    }))
    const failure = failures.find((one) => one !== null)
    if (failure !== undefined) throw failure.error
  }

  /** Opens or joins; a sibling that was faster makes this one try again with what it wrote. */
  async function writeRuns (attacker: string, joinings: Joining[]): Promise<void> {
    const { written, before, notice } = await compareAndSet(ATTEMPTS_MAX, async () => {
      const before = await store.findOne({ openKey: attacker })
      const opened = before ?? openIncident(newId('in', clock.now()), joinings[0] as Joining, clock.now())
      const notice = notices.due(before, joinings)
      const incident = {
        ...joinings.reduce(withRun, opened),
        ...(notice === null ? {} : notices.mark(notice))
      }
      const written = before === null ? await insertFirst(store, incident) : await replaceAt(store, incident, before)
      return written === null ? null : { written, before, notice }
    }, () => new Error('an incident changed under every attempt'))
    if (notice !== null) notices.tell({ ...notice, incident: written.id }, before)
    feed.changed(written)
  }

  async function setStatus (id: string, status: 'ACKNOWLEDGED' | 'RESOLVED', actor: string): Promise<Incident> {
    const first = await changeable(id, status)
    return await attempt(audit, {
      category: 'security',
      type: `incident.${status.toLowerCase()}`,
      actor,
      target: id
    }, async () => {
      const written = await compareAndSet(ATTEMPTS_MAX, async (number) => {
        const found = number === 1 ? first : await changeable(id, status)
        return await replaceAt(store, withStatus(found, status, actor, clock.now()), found)
      }, () => new NEKO_ERR_INPUT_INVALID('The incident changes too fast: try again'))
      feed.changed(written)
      return toIncident(written)
    })
  }

  async function changeable (id: string, status: IncidentStatus): Promise<Stored<StoredIncident>> {
    const found = await store.get(id)
    if (found === null) throw new NEKO_ERR_NOT_FOUND('There is no such incident')
    if (found.status === 'RESOLVED' || found.status === status) {
      throw new NEKO_ERR_INPUT_INVALID(`The incident is ${found.status.toLowerCase()} already`)
    }
    return found
  }

  return {
    join (joining) {
      const isQueued = waiting.add(joining)
      if (isQueued) writeBehind.wake()
      return isQueued
    },
    async get (id) {
      const found = await store.get(id)
      return found === null ? null : toIncident(found)
    },
    async list (status, { first, after }) {
      const page = await store.find({ where: whereOf(status), sort: [['updatedAt', -1]], first, after })
      return { ...page, items: page.items.map(toIncident) }
    },
    count: async (status) => await store.count(whereOf(status)),
    setStatus,
    onChanged: (listener) => feed.listen(listener),
    async settled () {
      await writeBehind.settled()
      await notices.settled()
    },
    async close () {
      stopRetention()
      notices.close()
      await writeBehind.close()
      await notices.settled()
    }
  }
}

type IncidentStore = Collection<StoredIncident>

/** Null when a sibling has opened one for this attacker. */
async function insertFirst (store: IncidentStore, incident: StoredIncident): Promise<StoredIncident | null> {
  try {
    return await store.insert(incident)
  } catch (error) {
    if ((error as { code?: string }).code === 'NEKO_ERR_STORE_DUPLICATE') return null
    throw error
  }
}

/** Null when it is not as it was before any more. */
async function replaceAt (
  store: IncidentStore,
  next: StoredIncident,
  before: Stored<StoredIncident>
): Promise<StoredIncident | null> {
  return await store.replace(withoutRevision(next), before.revision)
}

function whereOf (status: IncidentStatus | null): Record<string, string> {
  return status === null ? {} : { status }
}
