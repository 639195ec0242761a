import { isAttackId } from './facts.ts'
import { foldName } from './match.ts'
import { BOUNDS, type ActorRecord } from './shapes.ts'

/** Where aliases are merged: those of one object of a source, and those of all records of an actor. Pure. */

/** Of one object: names, each once by its folding, without ATT&CK ids (those are ids) and without `except`. */
export function asAliases (names: string[], except: string): string[] {
  const byFold = new Map<string, string>()
  for (const name of names) if (!isAttackId(name) && !byFold.has(foldName(name))) byFold.set(foldName(name), name)
  byFold.delete(foldName(except))
  return [...byFold.values()].slice(0, BOUNDS.aliases)
}

/**
 * Of an actor: every other name, each once, spelled as the most trusted source spells it. Proper names of other
 * sources are aliases here.
 */
export function joinAliases (records: readonly ActorRecord[], name: string): string[] {
  const byFold = new Map<string, string>()
  const corrected = records.some((record) => record.source === 'administrator' && record.aliases !== null)
  const names = corrected ? [] : records.map((record) => record.name ?? '')
  for (const alias of [...names, ...mergedList(records, (record) => record.aliases)]) {
    const fold = foldName(alias)
    if (fold !== '' && !byFold.has(fold)) byFold.set(fold, alias)
  }
  byFold.delete(foldName(name))
  return [...byFold.values()]
}

/** The list that an administrator gave, if there is one; else those of all sources, the most trusted first. */
export function mergedList<T> (records: readonly ActorRecord[], list: (record: ActorRecord) => T[] | null): T[] {
  const corrected = records.find((record) => record.source === 'administrator' && list(record) !== null)
  return corrected === undefined ? records.flatMap((record) => list(record) ?? []) : list(corrected) as T[]
}
