import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Collection, Where } from '../storage/port.ts'
import type { PendingWrites } from './pending-writes.ts'
import { PENDING_ASKED_MAX } from './reconcile.ts'
import type { Replica } from './replica.ts'
import { withOriginKind, type Decision } from './shapes.ts'

const LOADED_MAX = 200_000
const PAGE = 1000
/** Younger decisions may not have reached the store yet. */
const SETTLED_MS = 30_000
const ASK_MS = 1000

interface StoredDecisionsOptions {
  store: Collection<Decision>
  replica: Replica
  pending: PendingWrites<Decision>
  fleet: Fleet
  clock: Clock
}

/** Brings into the replica what the store holds. All of it @throws NEKO_ERR_STORE_UNAVAILABLE. */
export class StoredDecisions {
  readonly #options: StoredDecisionsOptions

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

  /** The store's word counts, but for decisions too young to be there, or still on their way from a sibling. */
  async reload (): Promise<void> {
    const { replica, pending, fleet, clock } = this.#options
    const before = clock.now() - SETTLED_MS
    const stored = new Set<string>()
    await this.#read({}, (id) => stored.add(id))
    if (stored.size >= LOADED_MAX) return
    const lacking = replica.standing.values()
      .filter(({ id, createdAt }) => !stored.has(id) && createdAt < before && !pending.isPending(id))
      .map(({ id }) => id).take(PENDING_ASKED_MAX).toArray()
    if (lacking.length === 0) return
    const onTheirWay = new Set((await fleet.ask('decisions.pending', lacking, { timeoutMs: ASK_MS })).flat())
    for (const id of lacking) if (!onTheirWay.has(id)) replica.deactivate(id)
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
    if (pending.isPending(id) || replica.isEntombed(id)) return
    const known = replica.standing.get(id)
    if (known !== null && known.expiresAt === expiresAt) return
    replica.activate({
      id, scope, value, action, origin, originKind, reason, simulated, createdAt, expiresAt, assessmentId
    })
  }
}
