import type { Json } from '../std/json.ts'

export type AuditCategory = 'auth' | 'access' | 'security' | 'data'

/**
 * A change of the store that this event stands for (with outcome `ok` only): replayed at start when the store
 * did not have it yet. The room writes its document itself. A `put` holds the whole document; with an
 * `updatedAt` (ms) in it, one that is newer in the store is kept.
 */
export interface StoreEffect {
  collection: string
  op: 'put' | 'delete'
  id: string
  doc?: { id: string } & { [key: string]: Json }
  /** In place of `doc` where the log was written with AUDIT_PSEUDONYM_KEY (entries.ts). */
  sealed?: string
}

/** What a room says happened. Nothing secret goes in: values of credentials are never part of an event. */
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

/** The request that an event belongs to, with what it scored. */
export interface Receipt { assessmentId: string | null, score: number | null, factor: string | null }

/**
 * Records a privileged change before it is made, as a change without a trace must not exist; one that then fails is
 * followed by an event that says so, why, and which event it takes back.
 * @throws NEKO_ERR_AUDIT_UNAVAILABLE before anything was done, and what `change` throws.
 */
export async function attempt<T> (
  audit: Audit,
  event: Omit<AuditInput, 'outcome'>,
  change: () => Promise<T>
): Promise<T> {
  const { id } = await audit.durable({ ...event, outcome: 'ok' })
  try {
    return await change()
  } catch (error) {
    const { effects: _effects, ...failed } = event
    audit.record({ ...failed, outcome: 'failed', details: { ...event.details, takesBack: id, code: codeOf(error) } })
    throw error
  }
}

/** Of an error of ours; of others only that there was one. */
export function codeOf (error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code.slice(0, 64) : 'unknown'
}

export interface Audit {
  /**
   * Written with the next group commit; never throws. When the backlog (10,000) is full the oldest are never
   * dropped: `durable` callers wait, and a plain record is committed on its caller's own time; only while the
   * disk hangs or fails is it counted instead, and the counts become an `audit.overflow` event.
   */
  record (event: AuditInput): void
  /**
   * Resolves when the record is fsynced (group commit, at most 10 ms): then a privileged mutation may be
   * acknowledged. Throws NEKO_ERR_AUDIT_UNAVAILABLE.
   */
  durable (event: AuditInput): Promise<AuditEvent>
  /** False while the log cannot be written. */
  healthy (): boolean
}
