/** What the two formats have in common for the importer. */
import type { ActorRecord } from './shapes.ts'

export type ImportFormat = 'stix' | 'misp'

/**
 * Takes a file's elements one by one and gives its records at the end. Hostile elements are skipped with a
 * reason, never thrown for.
 */
export interface RecordReader {
  take (element: unknown): void
  onField (key: string, value: string | number | boolean | null): void
  finish (): { records: ActorRecord[], skipped: Map<string, number> }
  actorCount (): number
}
