import type { Fleet } from '../fleet/port.ts'
import { createSharing, type Sharing, type Shared } from '../fleet/sharing.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Step } from './escalation.ts'
import type { PendingWrites } from './pending-writes.ts'
import type { Readmission } from './readmission.ts'
import type { RepeatOffenders } from './repeat-offenders.ts'
import { endOf, type Replica } from './replica.ts'
import { asDocument, withOriginKind, type Decision } from './shapes.ts'
import { subjectKey } from './subject.ts'

/** Told to all other processes of the fleet, at most once: reconcile.ts makes up for messages that were lost. */
export interface Siblings {
  /** `step`: the step that the client takes with it. */
  put (decision: Decision, step: Step | null): void
  /** `removedAt` in ms since the epoch. */
  removed (decision: Decision, removedAt: number): void
  /** The store has these: from now on its silence says that they were removed. */
  stored (decisions: readonly Decision[]): void
  /** What becomes of decisions that the store lacks, as siblings know. At most 200 ids. */
  statesOf (ids: string[]): Promise<States>
  /** What siblings hold and this process may lack. */
  sharing: Sharing
}

/** Ids on their way to the store, and when others were removed, ms since the epoch. */
interface States { pending: Set<string>, removed: Map<string, number> }

interface SiblingsOptions {
  fleet: Fleet
  replica: Replica
  offenders: RepeatOffenders
  readmission: Readmission
  pending: PendingWrites<Decision>
  clock: Clock
}

/** One item of what is handed over: a decision with its client's step, or the removal of one. */
type Item = { decision: Decision, step: Step | null } | { removed: string, at: number }

const ASK_MS = 1000
/** One message: below 64 KiB with room to spare. */
const STORED_MAX = 500

/** Applies what siblings tell from now on. */
export function joinSiblings (options: SiblingsOptions): Siblings {
  const { fleet, replica, offenders, readmission, pending, clock } = options

  function take ({ decision: told, step }: { decision: Decision, step: Step | null }): void {
    const decision = withOriginKind(told)
    if (replica.isEntombed(decision)) return
    if (step !== null) offenders.applyRemote(subjectKey(decision), step)
    replica.activate(decision)
  }

  fleet.subscribe('decisions.put', (message) => take(message as unknown as { decision: Decision, step: Step | null }))
  fleet.subscribe('decisions.remove', (message) => {
    const { removedAt = clock.now(), ...told } = message as unknown as Decision & { removedAt?: number }
    // The client is let back in also where the decision did not stand.
    if (replica.standing.get(told.id) === null) readmission.readmit(withOriginKind(told))
    replica.bury(told.id, removedAt)
  })
  fleet.subscribe('decisions.stored', (message) => {
    for (const [id, expiresAt] of message as Array<[string, number | null]>) replica.markStored(id, expiresAt)
  })
  fleet.answer('decisions.states', (ids) => {
    const asked = ids as string[]
    const removed = asked.flatMap((id) => {
      const at = replica.removedAt(id)
      return at === null ? [] : [[id, at]]
    })
    return { pending: asked.filter((id) => pending.isPending(id)), removed } as Json
  })

  return {
    put (decision, step) {
      fleet.publish('decisions.put', { decision: asDocument(decision), step: step === null ? null : { ...step } })
    },
    removed (decision, removedAt) { fleet.publish('decisions.remove', { ...asDocument(decision), removedAt }) },
    stored (decisions) {
      if (fleet.processCount() === 1) return
      for (let at = 0; at < decisions.length; at += STORED_MAX) {
        const some = decisions.slice(at, at + STORED_MAX)
        fleet.publish('decisions.stored', some.map(({ id, expiresAt }) => [id, expiresAt]))
      }
    },
    async statesOf (ids) {
      const states: States = { pending: new Set(), removed: new Map() }
      for (const answer of await fleet.ask('decisions.states', ids, { timeoutMs: ASK_MS })) {
        const told = answer as { pending: string[], removed: Array<[string, number]> }
        for (const id of told.pending) states.pending.add(id)
        for (const [id, at] of told.removed) states.removed.set(id, Math.max(at, states.removed.get(id) ?? 0))
      }
      return states
    },
    sharing: createSharing({
      clock,
      fleet,
      topic: 'decisions.share',
      state: () => ({ size: replica.standing.size, mark: replica.mark() }),
      items: (what) => itemsOf(what, options) as Iterable<Json>,
      takeIn (items) {
        for (const item of items as unknown as Item[]) {
          if ('decision' in item) take(item)
          else replica.bury(item.removed, item.at)
        }
      }
    })
  }
}

/** Removals first: what was removed must not stand for a moment. */
function * itemsOf (what: Shared, { replica, offenders, clock }: SiblingsOptions): Iterable<Item> {
  for (const [id, at] of replica.tombstones()) yield { removed: id, at }
  const decisions = what === 'all' ? replica.standing.values() : unstoredOf(replica)
  for (const decision of decisions) {
    if (endOf(decision) > clock.now()) yield { decision, step: offenders.stepOf(subjectKey(decision)) }
  }
}

function * unstoredOf (replica: Replica): Iterable<Decision> {
  for (const id of replica.unstored()) {
    const decision = replica.standing.get(id)
    if (decision !== null) yield decision
  }
}
