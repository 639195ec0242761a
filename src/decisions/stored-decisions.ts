import type { Clock } from '../std/clock.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Collection, Where } from '../storage/port.ts'
import type { PendingWrites } from './pending-writes.ts'
import { endOf, type Replica } from './replica.ts'
import { withOriginKind, type Decision } from './shapes.ts'
import type { Siblings } from './siblings.ts'

/**
 * What the store says about the replica, which it lags behind: after an outage, and where a process died before it had
 * written what it acknowledged.
 *
 * A decision that was seen in the store and is there no more was removed, and ends here. One that was never seen there
 * stands until somebody knows that it was removed, a sibling or the audit trail; where nobody does, and nobody is
 * writing it, its maker is gone, and whoever holds it offers it to the store in the maker's place.
 */
const LOADED_MAX = 200_000
const PAGE = 1000
/** Younger decisions may not have reached the store yet. */
const SETTLED_MS = 30_000
/** One question to siblings, and one look into the trail. */
const ASKED_MAX = 200
/** Of those the store never had, in one go; the next reload goes on. */
const UNSTORED_MAX = 5_000

interface StoredDecisionsOptions {
  store: Collection<Decision>
  replica: Replica
  pending: PendingWrites<Decision>
  siblings: Siblings
  /** When people removed which of these decisions, as the trail tells. @throws NEKO_ERR_STORE_UNAVAILABLE */
  removedOf (ids: string[]): Promise<Map<string, number>>
  clock: Clock
}

/** All of it @throws NEKO_ERR_STORE_UNAVAILABLE. */
export class StoredDecisions {
  readonly #options: StoredDecisionsOptions
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null

  constructor (options: StoredDecisionsOptions) {
    this.#options = options
  }

  async load (): Promise<void> {
    await this.#read()
  }

  /** Decided since, ms since the epoch. */
  async readSince (ms: number): Promise<void> {
    await this.#read({ createdAt: { gte: ms } })
  }

  /** Brings memory and store together. Begins after the call: calls that come while another runs share the next. */
  reload (): Promise<void> {
    if (this.#running !== null) {
      this.#next ??= this.#running.catch(() => null).then(() => {
        this.#next = null
        return this.reload()
      })
      return this.#next
    }
    this.#running = this.#reload().finally(() => { this.#running = null })
    return this.#running
  }

  async #reload (): Promise<void> {
    const { replica } = this.#options
    // As known before the reading: what is stored meanwhile may lie behind it.
    const lacking = new Set(replica.standing.values().map(({ id }) => id).filter((id) => !replica.isUnstored(id)))
    let count = 0
    await this.#read({}, (id) => {
      count++
      lacking.delete(id)
    })
    if (count < LOADED_MAX) await this.#letFall([...lacking])
    await this.#settleUnstored()
  }

  /** The store had them: they were removed, unless somebody is writing them anew. */
  async #letFall (lacking: string[]): Promise<void> {
    const { replica, pending } = this.#options
    let isAnyBare = false
    for (let at = 0; at < lacking.length; at += ASKED_MAX) {
      const ids = lacking.slice(at, at + ASKED_MAX)
      const elsewhere = await this.#buryRemoved(ids)
      for (const id of ids) {
        if (elsewhere.has(id) || pending.isPending(id) || replica.isUnstored(id)) continue
        isAnyBare = replica.deactivate(id) || isAnyBare
      }
    }
    if (isAnyBare) await this.#read()
  }

  /** Removals that others know of. Returns the ids that siblings are writing. */
  async #buryRemoved (ids: string[]): Promise<Set<string>> {
    const { replica, siblings, removedOf } = this.#options
    const { pending, removed } = await siblings.statesOf(ids)
    for (const [id, removedAt] of [...await removedOf(ids), ...removed]) replica.bury(id, removedAt)
    return pending
  }

  async #settleUnstored (): Promise<void> {
    const { replica, clock } = this.#options
    const before = clock.now() - SETTLED_MS
    const old = replica.unstored().filter((id) => (replica.standing.get(id)?.createdAt ?? Infinity) < before)
    const ids = old.take(UNSTORED_MAX).toArray()
    for (let at = 0; at < ids.length; at += ASKED_MAX) await this.#settle(ids.slice(at, at + ASKED_MAX))
  }

  async #settle (ids: string[]): Promise<void> {
    const { replica, pending } = this.#options
    const elsewhere = await this.#buryRemoved(ids)
    for (const id of ids) {
      const decision = replica.isUnstored(id) ? replica.standing.get(id) : null
      if (decision !== null && !elsewhere.has(id) && !pending.isPending(id)) pending.put(decision)
    }
  }

  async #read (where: Where = {}, seen: (id: string) => void = () => {}): Promise<void> {
    for await (const page of pagesOf(this.#options.store, { where, first: PAGE, most: LOADED_MAX })) {
      for (const decision of page) {
        seen(decision.id)
        this.#takeIn(decision)
      }
    }
  }

  /** Without the store's own fields. */
  #takeIn (stored: Decision): void {
    const { id, scope, value, action, origin, originKind, reason, simulated, createdAt, expiresAt, assessmentId } =
      withOriginKind(stored)
    const { replica, pending } = this.#options
    const before = replica.standing.get(id)
    if (pending.isPending(id) && (before === null || endOf(before) >= endOf(stored))) return
    // Written behind its removal, by a process that had not heard of it.
    if (replica.isEntombed(stored)) return pending.delete(id, madeBy(replica.removedAt(id)!))
    replica.activate({
      id, scope, value, action, origin, originKind, reason, simulated, createdAt, expiresAt, assessmentId
    })
    const known = replica.standing.get(id)
    if (known !== null && endOf(known) > endOf(stored)) replica.markUnstored(id)
    else replica.markStored(id, expiresAt)
  }
}

/** The versions of a decision that end no later than this one. */
export function endsBy ({ expiresAt }: Decision): Where | undefined {
  return expiresAt === null ? undefined : { expiresAt: { lte: expiresAt } }
}

/** The versions of a decision that were made by then, ms since the epoch. */
export function madeBy (ms: number): Where {
  return { createdAt: { lte: ms } }
}
