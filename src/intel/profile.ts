/**
 * From a group of records to the actor that readers see. Pure. The first source that says something wins; lists are
 * joined; nothing is lost, since the records stay.
 */
import { joinAliases, mergedList } from './aliases.ts'
import { foldName, actorId, leadRecord } from './match.ts'
import {
  SOURCE_NAMES,
  type ActorDocument,
  type ActorRecord,
  type Reference,
  type Technique,
  type ThreatActor,
  type ThreatCategory
} from './shapes.ts'

/** Records in the order of INTEL_SOURCES (groupRecords gives them so) -> the document to store. */
export function toDocument (records: ActorRecord[]): ActorDocument {
  const name = firstSaid(records, (record) => record.name) ?? ''
  return {
    id: actorId(leadRecord(records)),
    name,
    nameKey: foldName(name),
    category: strongestCategory(records),
    records
  }
}

/** The actor as shown. */
export function toActor (document: ActorDocument): ThreatActor {
  const { records } = document
  return {
    id: document.id,
    name: document.name,
    aliases: joinAliases(records, document.name),
    country: firstSaid(records, (record) => record.country),
    category: document.category,
    motivation: firstSaid(records, (record) => record.motivation),
    techniques: joinTechniques(records),
    references: joinReferences(records),
    sources: [...new Set(records.map((record) => SOURCE_NAMES[record.source]))],
    firstSeen: extreme(records, 'firstSeen', Math.min),
    lastSeen: extreme(records, 'lastSeen', Math.max),
    description: firstSaid(records, (record) => record.description)
  }
}

/** Folded names and aliases of all records, the proper name first: what search looks at. */
export function searchNames (document: ActorDocument): string[] {
  const { nameKey, records } = document
  const names = [...records.map((record) => record.name ?? ''), ...joinAliases(records, '')]
  return [...new Set([nameKey, ...names.map(foldName)])].filter((name) => name !== '')
}

function joinTechniques (records: readonly ActorRecord[]): Technique[] {
  const byId = new Map<string, Technique>()
  for (const technique of mergedList(records, (record) => record.techniques)) {
    if ((byId.get(technique.id)?.name ?? null) === null) byId.set(technique.id, technique)
  }
  // An administrator gives ids only; the sources know the names.
  const named = records.flatMap(({ techniques }) => techniques ?? []).filter(({ name }) => name !== null)
  const names = new Map(named.map(({ id, name }) => [id, name]))
  return [...byId.values()]
    .map(({ id, name }) => ({ id, name: name ?? names.get(id) ?? null }))
    .sort((a, b) => a.id < b.id ? -1 : 1)
}

function joinReferences (records: readonly ActorRecord[]): Reference[] {
  const byUrl = new Map<string, Reference>()
  for (const reference of mergedList(records, (record) => record.references)) {
    const url = reference.url.replace(/\/$/, '')
    const known = byUrl.get(url)
    if (known === undefined) byUrl.set(url, reference)
    else if (known.name === null && reference.name !== null) byUrl.set(url, { ...known, name: reference.name })
  }
  return [...byUrl.values()]
}

function firstSaid<T> (records: readonly ActorRecord[], fact: (record: ActorRecord) => T | null): T | null {
  for (const record of records) {
    const value = fact(record)
    if (value !== null) return value
  }
  return null
}

function strongestCategory (records: readonly ActorRecord[]): ThreatCategory {
  return records.reduce((best, record) => record.categoryGrade > best.categoryGrade ? record : best).category
}

/** An administrator's date is the date; of the sources' the widest span holds. */
function extreme (
  records: readonly ActorRecord[],
  field: 'firstSeen' | 'lastSeen',
  pick: (...values: number[]) => number
): number | null {
  const corrected = records.find((record) => record.source === 'administrator')?.[field] ?? null
  if (corrected !== null) return corrected
  const values = records.map((record) => record[field]).filter((value) => value !== null)
  return values.length === 0 ? null : pick(...values)
}
