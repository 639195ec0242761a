/** Shapes of imports: how one is asked for, and what the readers of the two formats have in common. */
import type { ActorRecord, ImportProgress } from './shapes.ts'

export type ImportFormat = 'stix' | 'misp'

export interface ImportOptions {
  /** null: found out from the content. */
  format: ImportFormat | null
  /** `user:<id>`, `key:<id>` or `system`, for the audit. */
  actor: string
  /** For the audit: the file's name or the address without its query (sourceLabel). */
  target?: string | null
  /** About every 256 KiB, and at each phase. */
  onProgress?: (progress: ImportProgress) => void
}

/**
 * Takes a file's elements one by one and gives its records at the end. Hostile elements are skipped with a reason,
 * never thrown for.
 */
export interface RecordReader {
  take (element: unknown): void
  onField (key: string, value: string | number | boolean | null): void
  finish (): { records: ActorRecord[], skipped: Map<string, number> }
  actorCount (): number
}
