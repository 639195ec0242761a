import type { Json } from '../std/json.ts'

/** Records of the journal: events, with the changes of the store that they stand for. */
type AuditCategory = 'auth' | 'access' | 'security' | 'data'

/**
 * A change of the store that this event stands for (with outcome `ok` only): replayed at start when the store
 * did not have it yet. The room writes its document itself. A `put` holds the whole document; with an
 * `updatedAt` (ms) in it, one that is newer in the store is kept. A `delete` with a document names fields of the
 * version that ended: another version is kept.
 */
export interface StoreEffect {
  collection: string
  op: 'put' | 'delete'
  id: string
  doc?: { id: string } & { [key: string]: Json }
  version?: EffectVersion
  /** In place of `doc` where the log was written with AUDIT_PSEUDONYM_KEY (pseudonyms.ts). */
  sealed?: string
}

/**
 * Of documents of which several processes make versions at the same time, each by its own clock: neither the order of
 * the logs nor the times of events count then. A put makes the version of `madeAt`, which lasts until `endsAt` (null:
 * for ever). A delete with `madeAt` alone ends all versions that were made up to then, one with `endsAt` that version.
 * Of those that stand the one that lasts longest counts, then the newest: as memory has it (decisions/replica.ts).
 */
export interface EffectVersion {
  /** ms since the epoch, as `endsAt` */
  madeAt: number
  endsAt?: number | null
}

/** One change of one document, and the event that stands for it. */
export interface Pending {
  effect: StoreEffect
  /** The store has it, or its living writer will see to that: it counts against earlier ones alone. */
  isSettled: boolean
  /** An earlier put that did not settle: where the store has that one, this change is made again. */
  over?: StoreEffect
  at: number
  processId: string
  seq: number
  eventId: string
}

/** An event as a room reports it. Nothing secret goes in: values of credentials are never part of an event. */
export interface AuditInput {
  category: AuditCategory
  /** `noun.verb`, like `decision.add`, `login.refused`, `playbook.run`. */
  type: string
  /** Who: `user:<id>`, `key:<id>`, `ip:<address>`, or `system`. */
  actor: string
  /** On what, or null. */
  target?: string | null
  outcome: 'ok' | 'refused' | 'failed'
  assessmentId?: string | null
  score?: number | null
  /** The decisive factor's name. */
  factor?: string | null
  /** Small facts, at most 4 KiB as JSON. */
  details?: { [key: string]: Json }
  effects?: StoreEffect[]
}

/** An event as written: id, time, place in its chain. */
export interface AuditEvent extends Omit<AuditInput, 'effects'> {
  id: string
  at: number
  /** The process start whose chain holds it, and its place in that chain, rising by one from 0. */
  processId: string
  seq: number
}

/** An event as its line holds it: with the effects that only recovery reads. */
export type WrittenEvent = AuditEvent & { effects?: StoreEffect[] }
