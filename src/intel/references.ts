import type { ActorDocument, ThreatCategory } from './shapes.ts'

/**
 * What answers about actors are read from, by name: an answer that is kept ends with a change of any of its references.
 * Pure.
 */
export const COUNTS = 'counts'
const ALL = 'actors'

/** Of one actor, also of an id that no actor has: one may be added with it. */
export function actorReference (id: string): string {
  // Ids come from callers; ours are 23 characters.
  return `actor:${id.slice(0, ID_MAX)}`
}

const ID_MAX = 64

/** Of a list: that of a category, or of all. */
export function listReference (category: ThreatCategory | null | undefined): string {
  return category === null || category === undefined ? ALL : `category:${category}`
}

/** Of all that a change of these documents may change: as they were before it, and as they are after. */
export function referencesOf (documents: ReadonlyArray<Pick<ActorDocument, 'id' | 'category'>>): string[] {
  const touched = documents.flatMap(({ id, category }) => [actorReference(id), listReference(category)])
  return [COUNTS, ALL, ...new Set(touched)]
}
