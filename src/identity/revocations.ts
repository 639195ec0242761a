import type { Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import { createSharing } from '../fleet/sharing.ts'
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
 * hears that it is done. With the store down it stays in line until the store takes it; whoever holds one that the
 * store still lacks writes it, since its maker may have died. A process that starts takes over from the host's logs and
 * from siblings what the store may lack.
 * Never does: forget one that could still matter, whatever its number.
 */
const RETRY_MS = 1_000
/** Messages may be lost: what the store does not have yet is told again this often. */
const TELL_AGAIN_MS = 5_000
/** Of that, in one round; the next round goes on behind it. */
const TOLD_AGAIN_MAX = 500
/** Beyond it the maker of a revocation counts as gone. */
const SETTLED_MS = 30_000
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
  /** Takes over what the host's logs and siblings hold and the store may lack. Never rejects. */
  takeOver (): Promise<void>
  /** Forgets those that have run out. */
  tick (): void
  /** How many are held, and how many wait for the store. */
  counts (): { held: number, waiting: number }
  close (): Promise<void>
}

export interface LoggedRevocation { op: 'put' | 'delete', doc: { id: string } | null }

interface RevocationsOptions {
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  /** Changes of revocations in the logs of this host that the store may not have yet. */
  loggedChanges (): Promise<LoggedRevocation[]>
  log: { warn (fields: object, message: string): void }
  /** Called once for each that is new to this process. */
  onRevoked (kind: RevokedKind, id: string): void
}

export function createRevocations (options: RevocationsOptions): Revocations {
  const { storage, audit, fleet, clock, onRevoked } = options
  const store = storage.collection<Revocation>(revocationCollection)
  const held = { session: new Map<string, number>(), key: new Map<string, number>() }
  const waiting = new Map<string, Revocation>()
  /** Held, and not seen in the store yet. */
  const unstored = new Map<string, Revocation>()
  const behind = createWriteBehind({
    clock,
    waits: () => waiting.size > 0,
    write: writeWaiting,
    // Fail-open on purpose: memory holds it and the log holds it until the store does.
    onError: () => {},
    retryMs: RETRY_MS
  })

  function apply ({ kind, value, expiresAt }: Revocation): void {
    const known = held[kind].has(value)
    held[kind].set(value, expiresAt ?? Infinity)
    if (!known) onRevoked(kind, value)
  }

  /** Of a log, a message or a sibling, which may be of any version of ours. */
  function takeIn (told: unknown): void {
    const { kind, value, expiresAt = null, at = 0 } = (told ?? {}) as Partial<Revocation>
    if ((kind !== 'session' && kind !== 'key') || typeof value !== 'string') return
    const doc: Revocation = { id: `${kind}:${value}`, kind, value, at, expiresAt }
    if (!held[kind].has(value)) unstored.set(doc.id, doc)
    apply(doc)
  }

  const unsubscribe = fleet.subscribe('identity.revoked', takeIn)
  const sharing = createSharing({
    fleet,
    clock,
    topic: 'identity.share',
    state: () => ({ size: unstored.size, mark: '' }),
    // Whatever the store has is read from there, and until it was nobody is let in.
    items: () => unstored.values() as Iterable<unknown> as Iterable<Json>,
    takeIn: (items) => { for (const item of items) takeIn(item) }
  })
  let untold = waiting.values()
  const teller = clock.every(TELL_AGAIN_MS, () => {
    if (fleet.processCount() === 1) return
    const docs = untold.take(TOLD_AGAIN_MAX).toArray()
    for (const doc of docs) fleet.publish('identity.revoked', { ...doc })
    if (docs.length < TOLD_AGAIN_MAX) untold = waiting.values()
  })

  async function writeWaiting (): Promise<void> {
    for (const doc of [...waiting.values()]) {
      await store.put(doc)
      unstored.delete(doc.id)
      if (waiting.get(doc.id) === doc) waiting.delete(doc.id)
    }
  }

  /** All of the store was read: who should have written the rest is gone. */
  function offerUnstored (): void {
    const before = clock.now() - SETTLED_MS
    for (const doc of unstored.values()) if (doc.at < before) waiting.set(doc.id, doc)
    behind.wake()
  }

  return {
    has: (kind, id) => held[kind].has(id),
    async revoke ({ kind, id, expiresAt, actor, type, details }) {
      const doc: Revocation = { id: `${kind}:${id}`, kind, value: id, at: clock.now(), expiresAt }
      apply(doc)
      unstored.set(doc.id, doc)
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
        for (const doc of page) {
          unstored.delete(doc.id)
          apply(doc)
        }
      }
      if (sinceMs === undefined) offerUnstored()
    },
    async takeOver () {
      await Promise.all([takeFromLogs(options, takeIn), sharing.askAll()])
    },
    tick () {
      const now = clock.now()
      for (const ids of Object.values(held)) {
        for (const [id, expiresAt] of ids) if (expiresAt <= now) ids.delete(id)
      }
      for (const { id, expiresAt } of unstored.values()) if ((expiresAt ?? Infinity) <= now) unstored.delete(id)
    },
    counts: () => ({ held: held.session.size + held.key.size, waiting: waiting.size }),
    async close () {
      teller.cancel()
      unsubscribe()
      await behind.close()
    }
  }
}

async function takeFromLogs (
  { loggedChanges, clock, log }: RevocationsOptions,
  takeIn: (revocation: unknown) => void
): Promise<void> {
  try {
    for (const { op, doc } of await loggedChanges()) {
      if (op === 'put' && ((doc as Revocation).expiresAt ?? Infinity) > clock.now()) takeIn(doc)
    }
  } catch (error) {
    log.warn({ err: error }, 'revocations in the audit logs could not be read')
  }
}
