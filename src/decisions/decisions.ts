import type { Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Principal } from '../identity/shapes.ts'
import type { Logged } from '../journal/pending-effects.ts'
import { createBatched } from '../std/batched.ts'
import type { Clock } from '../std/clock.ts'
import type { Page, Storage } from '../storage/port.ts'
import { superseded } from './audit-events.ts'
import { createPersonDecisions } from './by-person.ts'
import { createPlaybookDecisions } from './by-playbook.ts'
import { fillMemory, type LoggedChange } from './filling.ts'
import { createLookUps, type LookUps } from './look-ups.ts'
import { NeverBlock } from './never-block.ts'
import { createPendingWrites } from './pending-writes.ts'
import type { ScopesOf, Target } from './permission.ts'
import { Readmission } from './readmission.ts'
import { reconcileWithSiblings } from './reconcile.ts'
import { removedOf } from './removals.ts'
import { createRepeatOffenders } from './repeat-offenders.ts'
import { endOf, Replica, type DecisionChange } from './replica.ts'
import {
  decisionCollection,
  type Action,
  type Decision,
  type DecisionInput,
  type DecisionOrigin,
  type DecisionScope
} from './shapes.ts'
import { joinSiblings } from './siblings.ts'
import { createStanding } from './standing.ts'
import { endsBy, madeBy, StoredDecisions } from './stored-decisions.ts'

/**
 * Standing decisions: memory first, store behind, siblings told.
 *
 * Owns: which decisions stand (replica.ts over standing.ts), and the steps of repeat offenders (repeat-offenders.ts).
 * Never does: judge a request, or know a playbook. In: what people (by-person.ts) and playbooks (by-playbook.ts)
 * decide, siblings' messages (siblings.ts) and the store (stored-decisions.ts). Out: the decision about an address or a
 * caller, from memory, for hops 1 and 3.
 *
 * A person's change is acknowledged when its audit record is synced and memory has it; the store follows, also after an
 * outage (pending-writes.ts), and a start replays the log. A playbook's decision stands from memory at once. Whatever
 * is away or dies, what was acknowledged stands: a process that starts takes it from the store, the host's logs and its
 * siblings (filling.ts), and nothing ends because the store does not know it (stored-decisions.ts).
 */
export interface Decisions extends LookUps {
  /**
   * By a person: durable before it returns.
   * @throws NEKO_ERR_INPUT_INVALID, NEKO_ERR_DECISION_SELF, NEKO_ERR_AUDIT_UNAVAILABLE, and as `requirePermission`
   */
  add (input: DecisionInput, by: DecisionOrigin): Promise<Decision>
  /**
   * Whether somebody may have a block made of that target, by hand or by a playbook (permission.ts).
   * @throws NEKO_ERR_FORBIDDEN, NEKO_ERR_STORE_UNAVAILABLE when memory cannot tell what the target may do
   */
  requirePermission (maker: Principal, target: Target): Promise<void>
  /**
   * By a playbook: stands at once, longer for repeat offenders; null when NEVER_BLOCK (by the client's own
   * address or by the one that its request came from) or an allow spares the client.
   */
  addNow (input: DecisionInput & { ttlSeconds: number }, by: DecisionOrigin): Decision | null
  /** How long the decision of `addNow` would stand, null when the client is spared. */
  preview (
    input: Pick<DecisionInput, 'scope' | 'value' | 'action'> & { ttlSeconds: number },
    address?: string | null
  ): { ttlSeconds: number } | null
  /**
   * Also forgets the client's history, limits and step.
   * @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_AUDIT_UNAVAILABLE
   */
  remove (id: string, actor: string): Promise<Decision>
  get (id: string): Promise<Decision | null>
  list (filter: DecisionFilter, page: { first: number, after: string | null }): Promise<Page<Decision>>
  count (filter: DecisionFilter): Promise<number>
  /** Changes made here and by siblings. */
  onChanged (listener: (change: DecisionChange) => void): () => void
  /**
   * Fills memory: from the store, from the host's logs, which it may lag behind, and from siblings. Resolves within two
   * seconds of the store's answer, also when that was none; what siblings still owe then comes later. False
   * when the store could not be read: load is owed.
   */
  start (): Promise<boolean>
  /**
   * Brings memory and store together, as after an outage or a recovery.
   * @throws NEKO_ERR_STORE_UNAVAILABLE: call again
   */
  load (): Promise<void>
  /** How many stand; simulated ones are left out. */
  active (): Record<Action, number>
  /** Resolves when the store was offered all that memory is ahead. */
  settled (): Promise<void>
  close (): Promise<void>
}

interface DecisionParts {
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  neverBlock: readonly string[]
  scopesOf: ScopesOf
  /** Changes of decisions in the logs of this host, oldest first. */
  loggedChanges (wanted: Logged): Promise<LoggedChange[]>
  /** Forgets what this process knows about a client: history, limits, tries of login. */
  forgetClient (clientKey: string): void
  log: { warn (details: object, message: string): void, error (details: object, message: string): void }
}

interface DecisionFilter { scope?: DecisionScope, action?: Action, value?: string }

const SWEEP_MS = 500
const ASKED_MAX = 100
/** What the store may refuse as an id is asked for alone. */
const OWN_ID = /^[\w-]{1,64}$/

export function createDecisions (
  { storage, audit, fleet, clock, neverBlock: neverBlockRanges, scopesOf, loggedChanges, forgetClient, log }:
  DecisionParts
): Decisions {
  const neverBlock = new NeverBlock(neverBlockRanges)
  const standing = createStanding({ neverBlock })
  const store = storage.collection<Decision>(decisionCollection)
  // A list of receipts asks for the decision of each.
  const storedOf = createBatched(async (ids: string[]) => byId(await store.getMany(ids)), { keysMax: ASKED_MAX })
  const pending = createPendingWrites({
    clock,
    store: storage.collection<Decision>(decisionCollection, 'background'),
    onStored: (decisions) => markStored(decisions),
    onError: (error) => log.error({ err: error }, 'decisions wait for the store')
  })
  const offenders = createRepeatOffenders({ storage, clock })
  const readmission = new Readmission({ clock, offenders, forgetClient })
  const replica = new Replica({
    standing,
    clock,
    onSuperseded (decision, madeHere) {
      // Its maker alone: whoever missed the end of the other takes a decision for superseded that stands elsewhere.
      if (!madeHere) return
      pending.delete(decision.id, endsBy(decision))
      audit.record(superseded(decision))
    },
    onRevived (decision, madeHere) {
      if (madeHere) pending.put(decision)
    },
    onRemoved (decision, removedAt) {
      // Also where a sibling removed it: this process may have written it behind that.
      pending.delete(decision.id, madeBy(removedAt))
      readmission.readmit(decision)
    }
  })
  const siblings = joinSiblings({ fleet, replica, offenders, readmission, pending, clock })
  const parts = { replica, store, pending, siblings, offenders, readmission, neverBlock, scopesOf, audit, clock }
  const stored = new StoredDecisions({
    store,
    replica,
    pending,
    siblings,
    removedOf: (ids) => removedOf(storage, ids),
    clock
  })
  const reconciling = reconcileWithSiblings({
    fleet,
    standing,
    sharing: siblings.sharing,
    clock,
    reload: () => stored.reload(),
    readSince: (ms) => stored.readSince(ms),
    mark: () => replica.mark()
  })
  const timer = clock.every(SWEEP_MS, () => replica.sweep())

  function markStored (decisions: readonly Decision[]): void {
    for (const { id, expiresAt } of decisions) {
      const known = standing.get(id)
      // A sibling renewed it while it was written, and its own write may have come before.
      if (known !== null && endOf(known) > endOf({ expiresAt })) pending.put(known)
      else replica.markStored(id, expiresAt)
    }
    siblings.stored(decisions)
  }

  return {
    ...createPersonDecisions(parts),
    ...createPlaybookDecisions(parts),
    ...createLookUps({ standing, clock }),
    async get (id) {
      return standing.get(id) ?? (OWN_ID.test(id) ? await storedOf(id) ?? null : await store.get(id))
    },
    list: async (filter, { first, after }) =>
      await store.find({ where: whereOf(filter), sort: [['createdAt', -1]], first, after }),
    count: async (filter) => await store.count(whereOf(filter)),
    onChanged: (listener) => replica.onChanged(listener),
    start: () =>
      fillMemory({
        replica,
        clock,
        loggedChanges,
        log,
        sharing: siblings.sharing,
        async load () {
          await stored.load()
          await offenders.load()
        }
      }),
    async load () {
      await Promise.all([stored.reload(), offenders.load()])
    },
    active: () => standing.active(),
    async settled () { await Promise.all([pending.settled(), offenders.settled()]) },
    async close () {
      timer.cancel()
      readmission.close()
      reconciling.close()
      await Promise.all([pending.close(), offenders.close()])
    }
  }
}

function byId (decisions: readonly Decision[]): Map<string, Decision> {
  return new Map(decisions.map((decision) => [decision.id, decision]))
}

/** Without the conditions that a caller left open. */
function whereOf ({ scope, action, value }: DecisionFilter): Record<string, string> {
  return Object.fromEntries(
    Object.entries({ scope, action, value }).filter(([, given]) => given !== undefined && given !== null)
  ) as Record<string, string>
}
