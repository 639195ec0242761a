/**
 * Shapes of intel: what one source says about an adversary (ActorRecord), the stored whole (ActorDocument), and what
 * readers see (ThreatActor).
 *
 * A document keeps the records of its sources apart and whole. That is what makes an import repeatable and its order
 * irrelevant: the groups and every shown fact are pure functions of the set of records (match.ts, profile.ts).
 */
import type { CollectionDefinition } from '../storage/port.ts'

export const THREAT_CATEGORIES = [
  'STATE_SPONSORED',
  'CYBERCRIME',
  'RANSOMWARE',
  'HACKTIVIST',
  'TERRORIST',
  'INSIDER',
  'UNKNOWN'
] as const
export type ThreatCategory = typeof THREAT_CATEGORIES[number]

/**
 * Where records come from, the most trusted first: the order in which their facts win. A source is a publisher and,
 * where one publisher names an adversary twice on purpose (STIX has threat actors and their intrusion sets), the
 * kind of object. One actor holds at most one record of each source: two objects of one source are two adversaries,
 * because it says so.
 */
export const INTEL_SOURCES = [
  'administrator',
  'mitre-attack',
  'stix-intrusion-set',
  'stix-threat-actor',
  'misp-galaxy',
  'seed'
] as const
export type IntelSource = typeof INTEL_SOURCES[number]

/** The name of a source as `ThreatActor.sources` shows it. */
export const SOURCE_NAMES: Record<IntelSource, string> = {
  administrator: 'administrator',
  'mitre-attack': 'mitre-attack',
  'stix-intrusion-set': 'stix',
  'stix-threat-actor': 'stix',
  'misp-galaxy': 'misp-galaxy',
  seed: 'seed'
}

/** Bounds of one record: an import is cut at them, and an administrator's input beyond them is refused. */
export const BOUNDS = {
  nameChars: 200,
  aliases: 200,
  techniques: 1000,
  references: 200,
  urlChars: 2048,
  referenceNameChars: 300,
  motivationChars: 300,
  descriptionChars: 4000,
  attackIds: 20
} as const

/** Actors of one store; memory of an import and of the catalogue grows with it (about 12 KiB and 0.5 KiB each). */
export const ACTORS_MAX = 10_000

export interface Technique { id: string, name: string | null }
export interface Reference { name: string | null, url: string }

/** One source's word. `null` and empty lists: it says nothing about that. Times are ms since the epoch. */
export interface ActorRecord {
  source: IntelSource
  /** The source's own stable id: STIX id, MISP uuid, seed slug, ours for an administrator's. */
  key: string
  /**
   * Rises when the source changes the object (STIX `modified` in ms, MISP cluster version); an older one never
   * replaces a newer.
   */
  version: number
  /** Administrators' edits only: `source:key` of the record that this one amends. */
  amends: string | null
  name: string | null
  /** null: nothing said (an administrator may say "none" by []). */
  aliases: string[] | null
  /** ATT&CK group ids it claims, like G0006. */
  attackIds: string[]
  /** ISO 3166-1 alpha-2. */
  country: string | null
  category: ThreatCategory
  /** How strong the facts behind the category are, 0 (none) to 5 (stated by name); see category.ts. */
  categoryGrade: number
  motivation: string | null
  techniques: Technique[] | null
  references: Reference[] | null
  firstSeen: number | null
  lastSeen: number | null
  description: string | null
}

/** As stored. `name`, `nameKey` and `category` repeat what the records come to, for readers of the store. */
export interface ActorDocument {
  id: string
  name: string
  nameKey: string
  category: ThreatCategory
  records: ActorRecord[]
}

/** An id that an actor had, or a record of it would have alone: links given out before a merge keep working. */
export interface ActorRedirect { id: string, to: string }

export interface ThreatActor {
  id: string
  name: string
  aliases: string[]
  country: string | null
  category: ThreatCategory
  motivation: string | null
  techniques: Technique[]
  references: Reference[]
  sources: string[]
  firstSeen: number | null
  lastSeen: number | null
  description: string | null
}

export interface ThreatCount { category: ThreatCategory, count: number }

/** Counts of a finished import. The first four add up, with the skipped actors, to the actors that the input holds. */
export interface ImportCounts {
  added: number
  updated: number
  merged: number
  unchanged: number
  skipped: Array<{ reason: string, count: number }>
}

export interface ImportProgress { phase: 'read' | 'merge' | 'write', bytes: number, objects: number, actors: number }

/** No index: ids are the only way in; lists and search are answered from the catalogue in memory (catalogue.ts). */
export const actorCollection: CollectionDefinition = { name: 'threatActors', indexes: [] }
export const redirectCollection: CollectionDefinition = { name: 'threatActorRedirects', indexes: [] }
export const intelCollections: CollectionDefinition[] = [actorCollection, redirectCollection]
