import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import type { Notice } from '../webhooks/shapes.ts'
import { loudestNotice, type Joining } from './joining.ts'
import type { StoredIncident } from './shapes.ts'

/**
 * Which process tells of an incident by webhook, and when. One tells: the one that wrote that it does. An incident that
 * turns critical here, while another process' message about it may still be gathering, is handed over to that process,
 * so that one attack is one message.
 */

/** As long as a message may gather (webhooks: its window). */
const GATHERING_MS = 10_000
const HANDOVER_MS = 500
/** Beyond it each process tells what it has. */
const HANDOVERS_MAX = 1_000
const TOLD_AGAIN_MS = 3_600_000

interface NoticeParts {
  fleet: Fleet
  clock: Pick<Clock, 'now'>
  /** By webhook. */
  notify (notice: Notice): void
}

export class IncidentNotices {
  readonly #parts: NoticeParts
  readonly #handovers = new Set<Promise<void>>()
  #closed = false

  constructor (parts: NoticeParts) {
    this.#parts = parts
    parts.fleet.answer('incidents.notice', (message) => {
      if (this.#closed) return null
      parts.notify(message as unknown as Notice)
      return true
    })
  }

  /** The notice to give of these runs: once per incident, again when it turns critical, and again after an hour. */
  due (before: StoredIncident | null, joinings: readonly Joining[]): Notice | null {
    const notice = loudestNotice(joinings)
    if (notice === null || before === null || before.notifiedAt === null) return notice
    if (this.#parts.clock.now() - before.notifiedAt >= TOLD_AGAIN_MS) return notice
    return notice.kind === 'escalate' && !before.notifiedCritical ? notice : null
  }

  /** Fields of the document that say that this process tells, so that no other does. */
  mark (notice: Notice): Pick<StoredIncident, 'notifiedAt' | 'notifiedCritical' | 'notifiedBy'> {
    const { clock, fleet } = this.#parts
    return {
      notifiedAt: clock.now(),
      notifiedCritical: notice.kind === 'escalate',
      notifiedBy: fleet.processId
    }
  }

  /** Tells, or lets the sibling tell that did before; a sibling that does not say so in time is not relied on. */
  tell (notice: Notice, before: StoredIncident | null): void {
    const { fleet, clock, notify } = this.#parts
    const by = before?.notifiedBy ?? fleet.processId
    const isGathering = clock.now() - (before?.notifiedAt ?? 0) < GATHERING_MS
    if (by === fleet.processId || !isGathering || this.#handovers.size >= HANDOVERS_MAX) return notify(notice)
    const handover: Promise<void> = fleet.ask('incidents.notice', { ...notice }, {
      timeoutMs: HANDOVER_MS,
      processId: by
    }).then((answers) => {
      this.#handovers.delete(handover)
      if (answers[0] !== true) notify(notice)
    })
    this.#handovers.add(handover)
  }

  /** Webhooks do not wait for the store: what runs have to tell is told at once, of no incident yet, and once. */
  tellWithoutIncident (joinings: Joining[]): void {
    const loudest = loudestNotice(joinings)
    if (loudest !== null) this.#parts.notify(loudest)
    for (const joining of joinings) joining.notice = null
  }

  /** Resolves when no sibling is asked. */
  async settled (): Promise<void> {
    await Promise.all(this.#handovers)
  }

  /** From now on siblings tell what they have themselves. */
  close (): void {
    this.#closed = true
  }
}
