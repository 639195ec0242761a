import type { AuditEvent, AuditInput } from '../journal/shapes.ts'

/** The shapes of an event are the journal's, which writes them; rooms that record one need this file alone. */
export type { AuditEvent, AuditInput } from '../journal/shapes.ts'

/** The request that an event belongs to, with what it scored. */
export interface Receipt { assessmentId: string | null, score: number | null, factor: string | null }

/**
 * Records a privileged change before it is made, as a change without a trace must not exist; one that then fails is
 * followed by an event that says so, why, and which event it takes back. That event is on the disk before the caller
 * hears of the failure: a process that dies in between would leave a change that replay makes after it was refused.
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
    const { effects: _effects, ...fields } = event
    const details = { ...event.details, takesBack: id, code: codeOf(error) }
    const failed: AuditInput = { ...fields, outcome: 'failed', details }
    // Fail-open: with the disk away as well, the record waits for it.
    await audit.durable(failed).catch(() => audit.record(failed))
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
