import type { Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import { NEKO_ERR_AUDIT_UNAVAILABLE } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import { createWriteBehind } from '../std/write-behind.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Storage, Where } from '../storage/port.ts'
import { revocationCollection } from './collections.ts'
import type { Revocation, RevokedKind } from './shapes.ts'

/**
 * Revocations: sessions and API keys that are over before their time.
 *
 * Memory first: a revocation holds here at once, siblings are told in the same tick, and then it is made durable, in
 * the audit log (whose effects are replayed at start) and in the store; one of the two must have it before the caller
 * hears that it is done. With the store down it stays in line until the store takes it.
 * Never does: forget one that could still matter, whatever its number.
 */
const RETRY_MS = 1_000
const PAGE = 1_000
/** Read in one go at most; the next poll goes on. */
const READ_MAX = 1_000_000

interface RevokeOrder {
  kind: RevokedKind
  id: string
  /** ms, or null: for ever. */
  expiresAt: number | null
  /** AuditInput.actor and type. */
  actor: string
  type: string
  details?: { [key: string]: Json }
}

export interface Revocations {
  has (kind: RevokedKind, id: string): boolean
  /**
   * In force in this process when it returns its promise; durable when that resolves.
   * @throws NEKO_ERR_AUDIT_UNAVAILABLE when nothing could store it (it is in force all the same)
   */
  revoke (order: RevokeOrder): Promise<void>
  /**
   * Takes over the store's revocations: all of them, or those added since a time.
   * @throws NEKO_ERR_STORE_UNAVAILABLE
   */
  load (sinceMs?: number): Promise<void>
  /** Forgets those that have run out. */
  tick (): void
  /** How many are held, and how many wait for the store. */
  counts (): { held: number, waiting: number }
  close (): Promise<void>
}

interface RevocationsOptions {
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  /** Called once for each that is new to this process. */
  onRevoked (kind: RevokedKind, id: string): void
}

export function createRevocations ({ storage, audit, fleet, clock, onRevoked }: RevocationsOptions): Revocations {
  const store = storage.collection<Revocation>(revocationCollection)
  const held = { session: new Map<string, number>(), key: new Map<string, number>() }
  const waiting = new Map<string, Revocation>()
  const behind = createWriteBehind({
    waits: () => waiting.size > 0,
    write: writeWaiting,
    // Fail-open on purpose: memory holds it and the log holds it until the store does.
    onError: () => {},
    retryMs: RETRY_MS
  })

  function apply (kind: RevokedKind, id: string, expiresAt: number | null): void {
    const known = held[kind].has(id)
    held[kind].set(id, expiresAt ?? Infinity)
    if (!known) onRevoked(kind, id)
  }

  const unsubscribe = fleet.subscribe('identity.revoked', (message) => {
    const { kind, value, expiresAt } = (message ?? {}) as unknown as Revocation
    if ((kind === 'session' || kind === 'key') && typeof value === 'string') apply(kind, value, expiresAt)
  })

  async function writeWaiting (): Promise<void> {
    for (const doc of [...waiting.values()]) {
      await store.put(doc)
      if (waiting.get(doc.id) === doc) waiting.delete(doc.id)
    }
  }

  return {
    has: (kind, id) => held[kind].has(id),
    async revoke ({ kind, id, expiresAt, actor, type, details }) {
      const doc: Revocation = { id: `${kind}:${id}`, kind, value: id, at: clock.now(), expiresAt }
      apply(kind, id, expiresAt)
      fleet.publish('identity.revoked', { ...doc })
      waiting.set(doc.id, doc)
      const [logged] = await Promise.allSettled([
        audit.durable({
          category: 'auth',
          type,
          actor,
          target: doc.id,
          outcome: 'ok',
          ...(details === undefined ? {} : { details }),
          effects: [{ collection: revocationCollection.name, op: 'put', id: doc.id, doc: { ...doc } }]
        }),
        behind.settled()
      ])
      // A flush that was already under way may have failed before it came to this one.
      if (logged.status === 'rejected' && waiting.has(doc.id)) await behind.settled()
      if (logged.status === 'rejected' && waiting.has(doc.id)) {
        throw new NEKO_ERR_AUDIT_UNAVAILABLE({ cause: logged.reason })
      }
    },
    async load (sinceMs) {
      const where: Where = sinceMs === undefined ? {} : { at: { gte: sinceMs } }
      for await (const page of pagesOf(store, { where, sort: [['at', 1]], first: PAGE, most: READ_MAX })) {
        for (const { kind, value, expiresAt } of page) apply(kind, value, expiresAt)
      }
    },
    tick () {
      const now = clock.now()
      for (const ids of Object.values(held)) {
        for (const [id, expiresAt] of ids) if (expiresAt <= now) ids.delete(id)
      }
    },
    counts: () => ({ held: held.session.size + held.key.size, waiting: waiting.size }),
    async close () {
      unsubscribe()
      await behind.close()
    }
  }
}
