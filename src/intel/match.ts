/**
 * When are two records the same adversary? Pure: records in, groups out, no clock, no store.
 *
 * Owns: the folding of names, and the grouping. Never does: read or write anything. The groups depend only on
 * the set of records and never on the order in which they arrived, so importing A then B equals B then A.
 *
 * How records of two sources are paired. Evidence, strongest first: (1) a common ATT&CK group id, (2) equal folded
 * names, (3) the name of one is an alias of the other, (4) a common alias; then how many names they share. A pair is
 * joined when each is strictly the best of the other's source for the other; the rest is tried again without the
 * paired. Equal evidence for two candidates joins nobody: a doubled actor is a nuisance, two adversaries in one are
 * a lie.
 *
 * Three guards. Two records of one source are never joined: it says that they are two. A name that two actors of one
 * source share as an alias counts for neither (real: "UAC-0056" is Ember Bear and Saint Bear in ATT&CK), unless it
 * is the proper name of exactly one of them. And two records that both carry ATT&CK ids, none in common, are never
 * joined by names, as long as the id of each is known in the source of the other (a withdrawn id stops nobody).
 *
 * Rejected: MISP's `related: similar` links (they tie Charming Kitten to three different ATT&CK groups), and
 * transitive closure over shared aliases (it makes one actor of half of North Korea).
 */
import { createHash } from 'node:crypto'
import { INTEL_SOURCES, type ActorRecord, type IntelSource } from './shapes.ts'

/**
 * Case, accents, punctuation and spaces do not count: `APT-28`, `apt 28` and `ÀPT28` fold to `apt28`. Letters
 * and digits of any script stay.
 */
export function foldName (name: string): string {
  const folded = name.normalize('NFKD').replace(/\p{M}+/gu, '').toLowerCase().replaceAll('ß', 'ss')
    .replace(/[^\p{L}\p{N}]+/gu, '')
  return folded === '' ? name.trim().toLowerCase() : folded
}

/** `source:key`, unique among records. */
export function recordKey (record: Pick<ActorRecord, 'source' | 'key'>): string {
  return `${record.source}:${record.key}`
}

/**
 * The id an actor has when this record leads it. Made from the record alone, so that every process and every
 * order of imports gives the same.
 */
export function actorId (record: Pick<ActorRecord, 'source' | 'key'>): string {
  return 'ta_' + createHash('sha256').update(recordKey(record)).digest('hex').slice(0, 20)
}

/**
 * The record whose id is the actor's: of the steadiest source. Seeds and people come last on purpose: imports
 * must find the actor they will find again.
 */
export function leadRecord (records: readonly ActorRecord[]): ActorRecord {
  const rank = (record: ActorRecord): number =>
    record.source === 'administrator' ? INTEL_SOURCES.length : trustRank(record)
  return records.reduce((lead, record) => rank(record) < rank(lead) ? record : lead)
}

/** 0 is the most trusted source. */
export function trustRank ({ source }: Pick<ActorRecord, 'source'>): number {
  return INTEL_SOURCES.indexOf(source)
}

/** A record as matching looks at it, computed once. */
interface Profile { record: ActorRecord, id: string, name: string, names: Set<string>, attackIds: Set<string> }

/** How well two fit; compared as one number. 0 is no evidence. */
type Evidence = number
const ATTACK_ID = 1_000_000
const SAME_NAME = 300_000
const NAME_IS_ALIAS = 200_000
const SAME_ALIAS = 100_000

/**
 * More rounds than sources have chains of second choices in practice (real data needs 3); the loop ends by
 * itself when a round joins nobody.
 */
const ROUNDS_MAX = 50

/**
 * Records -> groups, each one adversary. Every record is in exactly one group; groups and their records come in a fixed
 * order. Two records with the same source and key: the newer version is kept, of equal ones the first.
 */
export function groupRecords (given: readonly ActorRecord[]): ActorRecord[][] {
  const records = uniqueRecords(given)
  const profiles = records.filter((record) => record.amends === null).map(toProfile)
  const groups = new Groups(profiles)
  const sources = INTEL_SOURCES.filter((source) => profiles.some(({ record }) => record.source === source))
  const links: Array<{ evidence: Evidence, a: Profile, b: Profile }> = []
  for (const [i, left] of sources.entries()) {
    for (const right of sources.slice(i + 1)) {
      const profilesOf = (source: IntelSource): Profile[] => profiles.filter(({ record }) => record.source === source)
      links.push(...pairSources(profilesOf(left), profilesOf(right)))
    }
  }
  // The strongest first, because a group takes one record of each source; ids break ties, so that no order of
  // input shows.
  links.sort((x, y) => y.evidence - x.evidence || compare(x.a.id, y.a.id) || compare(x.b.id, y.b.id))
  for (const link of links) groups.join(link.a, link.b)
  return groups.withAmendments(records.filter((record) => record.amends !== null))
}

/** Sorted by `source:key`, each once, the newest version of it. */
function uniqueRecords (given: readonly ActorRecord[]): ActorRecord[] {
  const byKey = new Map<string, ActorRecord>()
  for (const record of given) {
    const known = byKey.get(recordKey(record))
    if (known === undefined || record.version > known.version) byKey.set(recordKey(record), record)
  }
  return [...byKey.entries()].sort(([a], [b]) => compare(a, b)).map(([, record]) => record)
}

function toProfile (record: ActorRecord): Profile {
  const name = foldName(record.name ?? '')
  const names = new Set([name, ...(record.aliases ?? []).map(foldName)])
  names.delete('')
  return { record, id: recordKey(record), name, names, attackIds: new Set(record.attackIds) }
}

/** One-to-one pairs of two sources by mutual strict best choice, round after round among the unpaired. */
function pairSources (left: Profile[], right: Profile[]): Array<{ evidence: Evidence, a: Profile, b: Profile }> {
  const edges = findEdges(left, right)
  const paired = new Set<Profile>()
  const pairs: Array<{ evidence: Evidence, a: Profile, b: Profile }> = []
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const open = edges.filter((edge) => !paired.has(edge.a) && !paired.has(edge.b))
    const bestOfLeft = strictBest(open, (edge) => edge.a)
    const bestOfRight = strictBest(open, (edge) => edge.b)
    const mutual = open.filter((edge) => bestOfLeft.get(edge.a) === edge && bestOfRight.get(edge.b) === edge)
    if (mutual.length === 0) break
    for (const edge of mutual) {
      pairs.push(edge)
      paired.add(edge.a).add(edge.b)
    }
  }
  return pairs
}

/** For each profile its one best edge; undefined where two are equally good. */
function strictBest<E extends { evidence: Evidence, a: Profile, b: Profile }> (
  edges: E[],
  end: (edge: E) => Profile
): Map<Profile, E | undefined> {
  const best = new Map<Profile, { edge: E, tied: boolean }>()
  for (const edge of edges) {
    const known = best.get(end(edge))
    if (known === undefined || edge.evidence > known.edge.evidence) best.set(end(edge), { edge, tied: false })
    else if (edge.evidence === known.edge.evidence) known.tied = true
  }
  return new Map([...best].map(([profile, { edge, tied }]) => [profile, tied ? undefined : edge]))
}

/** All pairs with evidence, found through the names and ids they share and not by comparing all with all. */
function findEdges (left: Profile[], right: Profile[]): Array<{ evidence: Evidence, a: Profile, b: Profile }> {
  const rightByName = ownersByName(right)
  const leftByName = ownersByName(left)
  const rightById = holdersById(right)
  const leftById = holdersById(left)
  const edges: Array<{ evidence: Evidence, a: Profile, b: Profile }> = []
  for (const a of left) {
    const shared = new Map<Profile, string[]>()
    for (const name of a.names) {
      const b = rightByName.get(name)
      if (b !== undefined && leftByName.get(name) === a) shared.set(b, [...(shared.get(b) ?? []), name])
    }
    for (const id of a.attackIds) for (const b of rightById.get(id) ?? []) if (!shared.has(b)) shared.set(b, [])
    for (const [b, names] of shared) {
      const evidence = weigh(a, b, names)
      if (evidence > 0 && !isVetoed(a, b, leftById, rightById)) edges.push({ evidence, a, b })
    }
  }
  return edges
}

function weigh (a: Profile, b: Profile, sharedNames: string[]): Evidence {
  const sameId = !a.attackIds.isDisjointFrom(b.attackIds)
  const properName = a.name === b.name && sharedNames.includes(a.name)
  const nameIsAlias = sharedNames.includes(a.name) || sharedNames.includes(b.name)
  const byName = properName ? SAME_NAME : nameIsAlias ? NAME_IS_ALIAS : sharedNames.length > 0 ? SAME_ALIAS : 0
  return (sameId ? ATTACK_ID : 0) + byName + Math.min(sharedNames.length, 1000)
}

/** Both carry ATT&CK ids, none in common, and each one's id is somebody else over there. */
function isVetoed (
  a: Profile,
  b: Profile,
  leftById: Map<string, Profile[]>,
  rightById: Map<string, Profile[]>
): boolean {
  if (a.attackIds.size === 0 || b.attackIds.size === 0 || !a.attackIds.isDisjointFrom(b.attackIds)) return false
  const isKnown = (ids: Set<string>, holders: Map<string, Profile[]>): boolean => [...ids].some((id) => holders.has(id))
  return isKnown(a.attackIds, rightById) || isKnown(b.attackIds, leftById)
}

/**
 * A name -> the one profile of the source that it stands for: the only one with that proper name, else the only
 * one with that alias.
 */
function ownersByName (profiles: Profile[]): Map<string, Profile> {
  const proper = new Map<string, Profile[]>()
  const any = new Map<string, Profile[]>()
  for (const profile of profiles) {
    push(proper, profile.name, profile)
    for (const name of profile.names) push(any, name, profile)
  }
  const owners = new Map<string, Profile>()
  for (const [name, profiles] of any) {
    const named = proper.get(name) ?? []
    const owner = named.length === 1 ? named[0] : named.length === 0 && profiles.length === 1 ? profiles[0] : undefined
    if (owner !== undefined) owners.set(name, owner)
  }
  return owners
}

function holdersById (profiles: Profile[]): Map<string, Profile[]> {
  const holders = new Map<string, Profile[]>()
  for (const profile of profiles) for (const id of profile.attackIds) push(holders, id, profile)
  return holders
}

/** Groups under way: union of profiles that refuses two records of one source. */
class Groups {
  readonly #groupOf = new Map<Profile, Profile[]>()

  constructor (profiles: Profile[]) {
    for (const profile of profiles) this.#groupOf.set(profile, [profile])
  }

  join (a: Profile, b: Profile): void {
    const one = this.#groupOf.get(a)!
    const other = this.#groupOf.get(b)!
    if (one === other || one.some((x) => other.some((y) => x.record.source === y.record.source))) return
    one.push(...other)
    for (const profile of other) this.#groupOf.set(profile, one)
  }

  /**
   * Each amendment goes where the record it amends is; one whose record is gone stands alone as long as it has a
   * name.
   */
  withAmendments (amendments: ActorRecord[]): ActorRecord[][] {
    const groups = [...new Set(this.#groupOf.values())].map((group) => group.map((profile) => profile.record))
    const byKey = new Map(groups.flatMap((group) => group.map((record) => [recordKey(record), group] as const)))
    for (const amendment of amendments) {
      const group = byKey.get(amendment.amends!)
      if (group !== undefined) group.push(amendment)
      else if (amendment.name !== null) groups.push([amendment])
    }
    for (const group of groups) {
      group.sort((x, y) => trustRank(x) - trustRank(y) || compare(x.key, y.key))
    }
    return groups.sort((x, y) => compare(recordKey(leadRecord(x)), recordKey(leadRecord(y))))
  }
}

function push<K, V> (lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}

/** Code unit order: the same under every locale. */
function compare (a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
